/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: options that every verb has, and how the verbs read theirs.
 */
#ifndef RELEASE_OPTIONS_H
#define RELEASE_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/version.h"
#include "release/repository.h"

enum release_exit {
	RELEASE_OK = 0,
	RELEASE_FAILED = 1,
	RELEASE_USAGE = 2,
};

struct verb;

struct options {
	const struct verb
		*verb; /* whose help --help prints; NULL: options_next() gives OPTION_HELP */
	const char *repo;
	const char *passphrase_file;
	const char *pin_file;
	int64_t time_sec; /* negative: the clock's */
	int64_t expires_sec;
	bool json;
	bool dry_run;
};

struct verb {
	const char *name;
	const char *summary;
	const char *help; /* usage line and the verb's own options */
	int (*run)(struct options *o, int argc, char **argv);
};

enum {
	OPTION_COMMON_FIRST = 0x100,
	OPTION_REPO = OPTION_COMMON_FIRST,
	OPTION_PASSPHRASE_FILE,
	OPTION_PIN_FILE,
	OPTION_TIME,
	OPTION_EXPIRES_SEC,
	OPTION_JSON,
	OPTION_DRY_RUN,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_OWN, /* a verb's own options count from here */

	OPTION_END = -1,  /* no option left; operands from optind on */
	OPTION_STOP = -2, /* *exit_code is the program's answer */
};

/* clang-format off */
#define OPTIONS_COMMON                                                       \
	{ "repo", required_argument, NULL, OPTION_REPO },                        \
	{ "passphrase-file", required_argument, NULL, OPTION_PASSPHRASE_FILE },  \
	{ "pin-file", required_argument, NULL, OPTION_PIN_FILE },                \
	{ "time", required_argument, NULL, OPTION_TIME },                        \
	{ "expires-sec", required_argument, NULL, OPTION_EXPIRES_SEC },          \
	{ "json", no_argument, NULL, OPTION_JSON },                              \
	{ "help", no_argument, NULL, OPTION_HELP }
/* Of verbs that change something; the others do not know it. */
#define OPTIONS_CHANGING                                                     \
	{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },                        \
	OPTIONS_COMMON
/* clang-format on */

void options_init(struct options *o);
/* The next option that is the verb's own, its argument in optarg; the common ones are taken in. */
int options_next(struct options *o, int argc, char **argv, const char *short_options,
		 const struct option *table, int *exit_code);
/* A decimal number within limits; else prints what is wrong with the option's argument. */
_must_check_ int options_number(const char *option, const char *text, int64_t min, int64_t max,
				int64_t *ret);
/* Prints the sentence and where help is; RELEASE_USAGE. */
int options_usage(const struct options *o, const char *format, ...) _printf_(2, 3);
int64_t options_now_sec(const struct options *o);
_must_check_ int options_open(const struct options *o, bool exclusive, struct repository **ret);
/* Prints one line of JSON. */
_must_check_ int options_print_json(const cJSON *json);

/* ---- which release: --program, --version, --arch of add and manifest ---- */

struct release_id {
	char program;
	struct version version;
	const char *arch;
};

enum {
	OPTION_PROGRAM = OPTION_OWN,
	OPTION_RELEASE_VERSION,
	OPTION_ARCH,
	OPTION_AFTER_RELEASE_ID,
};

/* clang-format off */
#define OPTIONS_RELEASE_ID                                                   \
	{ "program", required_argument, NULL, OPTION_PROGRAM },                  \
	{ "version", required_argument, NULL, OPTION_RELEASE_VERSION },          \
	{ "arch", required_argument, NULL, OPTION_ARCH }
/* clang-format on */

/* RELEASE_OK, or RELEASE_USAGE after saying what is wrong. */
int options_release_id(const struct options *o, int option, struct release_id *id);
/* All three are given and agree. */
int options_check_release_id(const struct options *o, const struct release_id *id);

/* ---- the verbs ---- */

int verb_init(struct options *o, int argc, char **argv);
int verb_keys(struct options *o, int argc, char **argv);
int verb_add(struct options *o, int argc, char **argv);
int verb_publish(struct options *o, int argc, char **argv);
int verb_list(struct options *o, int argc, char **argv);
int verb_verify(struct options *o, int argc, char **argv);
int verb_manifest(struct options *o, int argc, char **argv);
int verb_rotate(struct options *o, int argc, char **argv);
int verb_delegate(struct options *o, int argc, char **argv);
int verb_undelegate(struct options *o, int argc, char **argv);
int verb_revoke(struct options *o, int argc, char **argv);
int verb_export(struct options *o, int argc, char **argv);
int verb_import(struct options *o, int argc, char **argv);
int verb_keygen(struct options *o, int argc, char **argv);
int verb_sign(struct options *o, int argc, char **argv);
int verb_renew(struct options *o, int argc, char **argv);

#endif
