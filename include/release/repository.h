/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The working directory of a release engineer:
 *
 *	settings.json		how long each role's metadata is valid (settings.h)
 *	root.json		the newest root that was published completely
 *	keys/			public keys, and the private ones that are here (keystore.h)
 *	staged/B.json		the next version of a role, with the signatures that it has so far
 *	staged/targets/B/…	its new files
 *	repository/metadata/…	what gateways see; any static server can serve it
 *	repository/targets/…
 *
 * It is locked while it is open.
 *
 * Who signs for a role is what metadata says: root for the four top-level roles, targets for those it
 * delegates to. repository/ may lie on a public server, and its content is what the next version is
 * built on: what is read there counts only if the threshold of its role's keys signed it. The trust
 * begins at root.json, which is ours alone, and follows the chain of roots from there as a client does.
 * Between the publishing of a root with new keys and that of the timestamp after it, the other
 * top-level roles may still be signed by the keys of root.json's root: that counts, so an
 * interrupted publishing can be taken up again.
 *
 * staged/ is ours, too: how far its files are signed is looked at when they are published.
 */
#ifndef RELEASE_REPOSITORY_H
#define RELEASE_REPOSITORY_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "release/authority.h"
#include "release/keystore.h"
#include "release/problem.h"
#include "release/role_file.h"
#include "release/settings.h"

#define REPOSITORY_SETTINGS	  "settings.json"
#define REPOSITORY_ROOT		  "root.json"
#define REPOSITORY_KEYS		  "keys"
#define REPOSITORY_STAGED	  "staged"
#define REPOSITORY_PUBLIC	  "repository"
#define REPOSITORY_METADATA	  REPOSITORY_PUBLIC "/metadata"
#define REPOSITORY_TARGETS	  REPOSITORY_PUBLIC "/targets"
#define REPOSITORY_STAGED_TARGETS REPOSITORY_STAGED "/targets"
#define REPOSITORY_MAX_PROGRAMS	  26
#define REPOSITORY_MAX_ROLES	  (2 + AUTHORITY_MAX_DELEGATIONS) /* that can be staged */
#define REPOSITORY_NAME_BYTES	  128

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
/* When something that is signed now expires. */
int64_t repository_expires_sec(const struct repository *r, const char *role);

/* ---- what is there ---- */

enum repository_which {
	REPOSITORY_PUBLISHED,
	REPOSITORY_STAGED_ONLY,
	REPOSITORY_NEWEST, /* the staged version if there is one */
};
/* A role's metadata: verified if it is published; if staged, as far as it is signed. -ENOENT (problem
 * untouched) if there is none. */
_must_check_ int repository_load_file(struct repository *r, const char *role,
				      enum repository_which which, struct role_file **ret,
				      struct problem *problem);
/* The same, the signed part only, to be changed. */
_must_check_ int repository_load(struct repository *r, const char *role,
				 enum repository_which which, cJSON **ret, struct problem *problem);
/* The version that clients know of, 0 if none; also of a role that is no role any more, since its
 * versions go on if it becomes one again. */
_must_check_ int repository_published_version(struct repository *r, const char *role, uint64_t *ret,
					      struct problem *problem);
/* An older version in repository/metadata/, signed as the published or the newest metadata demands. */
_must_check_ int repository_load_version(struct repository *r, const char *role, uint64_t version,
					 struct role_file **ret, struct problem *problem);

/* The delegated roles of the newest targets metadata, in its order. */
struct role_names {
	char name[AUTHORITY_MAX_DELEGATIONS][AUTHORITY_NAME_MAX_LENGTH + 1];
	unsigned n;
};
_must_check_ int repository_delegated(struct repository *r, struct role_names *ret,
				      struct problem *problem);
/* Those of them that are programs' letters. */
_must_check_ int repository_programs(struct repository *r, char ret[REPOSITORY_MAX_PROGRAMS + 1],
				     struct problem *problem);
/* -ENOENT with a sentence if role is neither one of the four nor a delegated one. */
_must_check_ int repository_check_role(struct repository *r, const char *role,
				       struct problem *problem);

/* Whose thresholds a file must meet to become the next version of a role: one document, the newest
 * that names the role's keys; for root two, itself and the published one (if there is one). */
struct authorities {
	struct role_file *by[2];
	unsigned n;
};
void authorities_done(struct authorities *a);
_must_check_ int repository_authorities(struct repository *r, const char *role,
					struct role_file *file, struct authorities *ret,
					struct problem *problem);

/* The private root.json, NULL if nothing was published completely: whether keys changed since. */
_must_check_ int repository_anchor(struct repository *r, const struct role_file **ret,
				   struct problem *problem);
_must_check_ int repository_set_anchor(struct repository *r, const struct role_file *root,
				       struct problem *problem);

/* True if the role's published metadata is missing or has less than half of its life left. */
_must_check_ int repository_is_due(struct repository *r, const char *role, bool *ret,
				   struct problem *problem);

/* ---- what is going to be staged (stage.h); looked at first by REPOSITORY_NEWEST ---- */

struct repository_plan {
	struct {
		char role[AUTHORITY_NAME_MAX_LENGTH + 1];
		struct role_file *file; /* NULL: nothing is staged any more */
	} entry[REPOSITORY_MAX_ROLES];
	unsigned n;
};
struct repository_plan *repository_plan(struct repository *r);
void repository_forget_plan(struct repository *r);

#endif
