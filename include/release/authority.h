/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who signs for a role, as root metadata (for root, targets, snapshot, timestamp) and targets metadata
 * (for the roles that it delegates to) say: reading and changing the signed part, a cJSON tree. What
 * follows from a change (which files must be signed again) is release/rotate.h's and delegate.h's.
 */
#ifndef RELEASE_AUTHORITY_H
#define RELEASE_AUTHORITY_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

#define AUTHORITY_NAME_MAX_LENGTH 32
#define AUTHORITY_MAX_DELEGATIONS 32 /* what a client visits */

/* A name for a delegated role: [A-Za-z0-9_-]{1,32}, and no word that means something else. */
bool authority_name_is_delegable(const char *name);
/* The document that names the role's keys: "root" or "targets". NULL for root itself. */
const char *authority_of(const char *role);

/* The role's object, {"keyids":[…],"threshold":…,…}; NULL if there is none. */
cJSON *authority_find(const cJSON *document, const char *role);
/* The array of delegated roles; NULL if there is none. */
cJSON *authority_delegations(const cJSON *document);
/* The key object of an id. */
const cJSON *authority_key(const cJSON *document, const char *keyid);
bool authority_lists(const cJSON *document, const char *role, const char *keyid);
unsigned authority_count(const cJSON *document, const char *role);
uint64_t authority_threshold(const cJSON *document, const char *role);
/* The same keys and threshold in both. */
bool authority_same(const cJSON *a, const cJSON *b, const char *role);

/* 1 if it was changed, 0 if it was so already, -ENOENT if there is no such role (or key), -ENOMEM. */
_must_check_ int authority_add_key(cJSON *document, const char *role, const char *keyid,
				   const cJSON *object);
_must_check_ int authority_remove_key(cJSON *document, const char *role, const char *keyid);
_must_check_ int authority_set_threshold(cJSON *document, const char *role, uint64_t threshold);

/* Appends a delegated role without keys, threshold 1, or changes what it may sign for. paths is an
 * array of strings, copied. */
_must_check_ int authority_delegate(cJSON *targets, const char *name, const cJSON *paths,
				    bool terminating);
_must_check_ int authority_undelegate(cJSON *targets, const char *name);

#endif
