/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files: INI as inih reads it, against a table of keys. Strict, since a gateway with
 * a typing error in its configuration cannot be asked what was meant: an unknown section or key, a
 * key given twice, a value out of range are errors that name file, line, key and what is allowed.
 *
 *	static const struct config_key keys[] = {
 *		{ "server", "url", CONFIG_STRING, offsetof(struct conf, server_url), 0, 0, NULL },
 *		{ "network", "timeout_sec", CONFIG_U64, offsetof(struct conf, timeout_sec), 1, 3600, NULL },
 *		{ "program *", "unit", CONFIG_STRING, offsetof(struct program, unit), 0, 0, NULL },
 *	};
 *
 * A section that ends in " *" stands for any number of sections ("[program A]", "[program B]");
 * the resolve callback then gives the structure that the key's offset counts from.
 */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

enum config_type {
	CONFIG_STRING, /* char *, malloc'd; an empty value gives NULL */
	CONFIG_PATH,   /* char *, malloc'd; absolute, or empty for NULL */
	CONFIG_U64,    /* uint64_t within min … max */
	CONFIG_S64,    /* int64_t within min … max, both cast */
	CONFIG_BOOL,   /* bool: yes/no, true/false, on/off, 1/0 */
	CONFIG_CHOICE, /* char *, malloc'd; one of choices */
};

struct config_key {
	const char *section;
	const char *key;
	enum config_type type;
	size_t offset;
	uint64_t min, max;	    /* CONFIG_U64, CONFIG_S64 */
	const char *const *choices; /* CONFIG_CHOICE, NULL-terminated */
};

/* For "[program B]" called with "program B": returns the structure that keys of this section are
 * stored in, or NULL if there may be no such section. */
typedef void *(*config_resolve_fn)(const char *section, void *userdata);

/* What a file has that is not taken. Valid during the call. */
struct config_refusal {
	const char *section; /* that the line is in; "": none, or none that can be read */
	const char *key;     /* NULL: the section itself, or a line that cannot be read */
	const char *sentence;
};

/* Told each of them; it is then skipped, and what stood in target before stays. */
typedef void (*config_refused_fn)(const struct config_refusal *refusal, void *userdata);

/* Reads path into target; strings already in target are freed when replaced, so defaults may be set
 * before (strdup'd). A missing file is -ENOENT. On failure *ret_error (may be NULL) is a sentence
 * for the user; caller frees. target may be half filled then: release it as usual. */
_must_check_ int config_load(const char *path, const struct config_key *keys, size_t n_keys,
			     void *target, config_resolve_fn resolve, void *userdata,
			     char **ret_error);
/* The same, for a program that must run with whatever is in the file, as one that a newer version has
 * written: nothing in it is an error. A line that cannot be read is skipped, after one that should have
 * been a [section] all up to the next; of a key given twice the first one counts. Fails only with what
 * reading the file fails with (-EFBIG: it is too large), before anything is taken, and with -ENOMEM. */
_must_check_ int config_load_lenient(const char *path, const struct config_key *keys, size_t n_keys,
				     void *target, config_resolve_fn resolve,
				     config_refused_fn refused, void *userdata, char **ret_error);

/* For what the table cannot say: sets *ret_error (may be NULL) as config_load() does, gives -EINVAL. */
int _printf_(2, 3) config_invalid(char **ret_error, const char *format, ...);

#endif
