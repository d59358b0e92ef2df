/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The working directory of a release engineer:
 *
 *	settings.json		how long each role's metadata is valid
 *	keys/			private (keystore.h)
 *	staged/B.json		the next version of a role, signed, not published
 *	staged/targets/B/…	its new files
 *	repository/metadata/…	what gateways see; any static server can serve it
 *	repository/targets/…
 *
 * It is locked while it is open. What is read from repository/ counts only if it carries the
 * signature of the role's key: that directory may lie on a public server, and its content is what the
 * next version is built on.
 */
#ifndef RELEASE_REPOSITORY_H
#define RELEASE_REPOSITORY_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "release/keystore.h"
#include "release/problem.h"

#define REPOSITORY_SETTINGS	  "settings.json"
#define REPOSITORY_KEYS		  "keys"
#define REPOSITORY_STAGED	  "staged"
#define REPOSITORY_PUBLIC	  "repository"
#define REPOSITORY_METADATA	  REPOSITORY_PUBLIC "/metadata"
#define REPOSITORY_TARGETS	  REPOSITORY_PUBLIC "/targets"
#define REPOSITORY_STAGED_TARGETS REPOSITORY_STAGED "/targets"
#define REPOSITORY_MAX_PROGRAMS	  26
#define REPOSITORY_NAME_BYTES	  64

enum role_kind {
	ROLE_ROOT,
	ROLE_TARGETS,
	ROLE_PROGRAM,
	ROLE_SNAPSHOT,
	ROLE_TIMESTAMP,
	_ROLE_KIND_MAX,
};
/* By the role's name; a single letter A-Z is a program. -EINVAL for anything else. */
_must_check_ int role_kind_from_name(const char *role);

struct expiry {
	unsigned days[_ROLE_KIND_MAX]; /* validity of what is signed from now on */
};

struct repository_options {
	bool exclusive; /* the verb writes */
	int64_t now_sec;
	int64_t expires_sec; /* not 0: the expiry of everything signed, whatever the settings say */
	const char *passphrase_file;
	const char *pin_file;
};

struct repository;

/* Makes the empty directories and settings.json. -EEXIST if there is a repository already. */
_must_check_ int repository_create(const char *path, const struct expiry *expiry,
				   struct problem *problem);
/* Undoes repository_create() and all that was put there since. */
void repository_discard(const char *path);

_must_check_ int repository_open(const char *path, const struct repository_options *options,
				 struct repository **ret, struct problem *problem);
struct repository *repository_close(struct repository *r);
DEFINE_CLEANUP(struct repository *, repository_close);

/* Forgets what was read of repository/, after it was changed. */
void repository_reload(struct repository *r);

int repository_fd(const struct repository *r);
struct keystore *repository_keys(struct repository *r);
int64_t repository_now_sec(const struct repository *r);

enum repository_which {
	REPOSITORY_PUBLISHED,
	REPOSITORY_STAGED_ONLY,
	REPOSITORY_NEWEST, /* the staged version if there is one */
};
/* The verified signed part of a role. -ENOENT (problem untouched) if there is none. */
_must_check_ int repository_load(struct repository *r, const char *role,
				 enum repository_which which, cJSON **ret, struct problem *problem);
/* The version that clients see, 0 if none. */
_must_check_ int repository_published_version(struct repository *r, const char *role, uint64_t *ret,
					      struct problem *problem);
/* The programs' letters, as the newest targets metadata delegates to them. */
_must_check_ int repository_programs(struct repository *r, char ret[REPOSITORY_MAX_PROGRAMS + 1],
				     struct problem *problem);

/* True if the role's published metadata is missing or has less than half of its life left. */
_must_check_ int repository_is_due(struct repository *r, const char *role, bool *ret,
				   struct problem *problem);
/* Signs the next version of a role with its key. */
_must_check_ int repository_sign(struct repository *r, const char *role, cJSON *document,
				 uint64_t version, char **ret_bytes, size_t *ret_size,
				 struct problem *problem);
/* The same, into staged/: the version after the published one. Staging again replaces it. */
_must_check_ int repository_stage(struct repository *r, const char *role, cJSON *document,
				  struct problem *problem);

#endif
