/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Staging: the next versions of roles, put together in memory, told in sentences, then signed and
 * written at once. Whatever is staged of a role is its published version plus one, so several changes
 * one after the other are one new version.
 *
 * A role whose keys are elsewhere is staged without (all) their signatures; release/exchange.h brings
 * them. If we die while writing, the same command again stages all of it: what is signed for is written
 * before what names its keys.
 */
#ifndef RELEASE_STAGE_H
#define RELEASE_STAGE_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "release/changes.h"
#include "release/problem.h"
#include "release/repository.h"

/* The signed part of a role's next version; version and expiry are set in document. Tells what differs
 * from the newest version, and which signatures that were brought get lost. changes may be NULL. */
_must_check_ int stage_put(struct repository *r, const char *role, cJSON *document,
			   struct changes *changes, struct problem *problem);
/* Nothing of the role is to be staged, its files included. */
_must_check_ int stage_drop(struct repository *r, const char *role, struct problem *problem);
/* Signs with every key that is here, and writes. */
_must_check_ int stage_commit(struct repository *r, struct problem *problem);
/* One role alone. */
_must_check_ int stage_role(struct repository *r, const char *role, cJSON *document,
			    struct problem *problem);

/* Adds the signatures of all keys that are here to a file that is or will be staged. */
_must_check_ int stage_sign(struct repository *r, const char *role, struct role_file **file,
			    struct problem *problem);
/* Writes a file to staged/ as it is. */
_must_check_ int stage_write(struct repository *r, const char *role, const struct role_file *file,
			     struct problem *problem);

/* ---- how far it is signed ---- */

/* {"role":"root","version":3,"expires_sec":…,"signatures":1,"threshold":2,"old_signatures":1,
 *  "old_threshold":1,"complete":false,"missing":[{"keyid":"…","name":"bob","here":false}]}
 * The members old_… are there for a root that replaces another: by the keys of that one. missing lists
 * who has not signed, name only if it is known here; it may be longer than what is needed. */
_must_check_ int stage_status(struct repository *r, const char *role, struct role_file *file,
			      cJSON **ret, struct problem *problem);
/* An array of that, of all that is staged. */
_must_check_ int stage_status_all(struct repository *r, cJSON **ret, struct problem *problem);
bool stage_is_complete(const cJSON *status);
/* "root version 3 has 1 of 2 signatures (missing: bob 1a2b3c4d)". Caller frees; NULL when out of
 * memory. */
char *stage_sentence(const cJSON *status);

#endif
