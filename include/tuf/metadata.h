/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TUF metadata file, read strictly: form only, no trust. What a file says is believed after
 * tuf_role_verify() and the checks of the client workflow (tuf/client.h), not before.
 *
 * Unknown members are tolerated where the specification allows for them (and are covered by the
 * signature), as are key types that are not known here (such a key never counts).
 *
 * Narrower than the specification: a delegated role's name is none of the four top-level ones and no
 * "<digits>.root" (tuf/name.h).
 */
#ifndef TUF_METADATA_H
#define TUF_METADATA_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/json.h"
#include "tuf/client.h"
#include "tuf/key.h"

#define TUF_MAX_ROLE_KEYS 64u

enum tuf_type {
	TUF_ROOT,
	TUF_TIMESTAMP,
	TUF_SNAPSHOT,
	TUF_TARGETS, /* delegated roles too */
};

struct tuf_named_key {
	const char *id;
	struct tuf_key *key; /* NULL: of a type that is not known here */
};

/* Who may sign for a role and, where it is delegated, for which targets. */
struct tuf_role {
	const char *name;
	const cJSON *keyids; /* array of strings, TUF_MAX_ROLE_KEYS at most */
	uint64_t threshold;
	bool terminating;
	const cJSON *paths; /* a delegated role has exactly one of the two */
	const cJSON *path_hash_prefixes;
};

/* The keys and roles of a root, or of the delegations of a targets file, in order of appearance. */
struct tuf_roles {
	struct tuf_named_key *keys;
	size_t n_keys;
	struct tuf_role *roles;
	size_t n_roles;
};

/* What a timestamp or snapshot says of another file. */
struct tuf_meta {
	const char *name; /* "B.json" */
	uint64_t version;
	uint64_t length_bytes;
	uint8_t sha256[SHA256_BYTES];
	uint8_t sha512[SHA512_BYTES];
	bool has_length;
	bool has_hashes; /* any, of whatever kind: one of those below must be there to be checked */
	bool has_sha256, has_sha512;
};

struct tuf_metadata {
	enum tuf_type type;
	cJSON *json; /* everything below borrows from it */
	const cJSON *signatures;
	char *signed_bytes; /* canonical */
	size_t signed_size;
	uint64_t version;
	const char *expires;
	int64_t expires_sec;
	bool consistent_snapshot; /* root */
	struct tuf_roles roles;	  /* root, targets */
	struct tuf_meta *meta;	  /* timestamp, snapshot; sorted by name */
	size_t n_meta;
	struct tuf_target *targets; /* targets; sorted by path; role is NULL */
	size_t n_targets;
};

/* -EBADMSG (error says where and why), -EFBIG (over a limit of the JSON reader), -ENOMEM. */
_must_check_ int tuf_metadata_parse(const void *bytes, size_t size, enum tuf_type type,
				    struct tuf_metadata **ret, struct json_error *error);
struct tuf_metadata *tuf_metadata_free(struct tuf_metadata *m);
DEFINE_CLEANUP(struct tuf_metadata *, tuf_metadata_free);

/* NULL if there is none. */
const struct tuf_role *tuf_roles_find(const struct tuf_roles *roles, const char *name);
const struct tuf_meta *tuf_metadata_find_meta(const struct tuf_metadata *m, const char *name);
const struct tuf_target *tuf_metadata_find_target(const struct tuf_metadata *m, const char *path);

/* 0 if at least the threshold of the role's keys signed m; else -EKEYREJECTED. A key counts once
 * however many key ids it has. *ret_signed is the number of keys found good, set in both cases. */
_must_check_ int tuf_role_verify(const struct tuf_roles *roles, const struct tuf_role *role,
				 const struct tuf_metadata *m, unsigned *ret_signed);

/* A key that could sign for the role by a cannot by b any more. */
bool tuf_role_rotated(const struct tuf_roles *a, const struct tuf_roles *b, const char *name);

/* Whether a delegated role may speak for a target. sha256_hex is of the path. '*' and '?' match
 * anything but '/'; nothing else is special. */
bool tuf_role_matches(const struct tuf_role *role, const char *path, const char *sha256_hex);

/* 0 if bytes have the length and the hashes that meta names (those that it names), else -EBADMSG; also
 * if it names only hashes that are not known here. */
_must_check_ int tuf_meta_check(const struct tuf_meta *meta, const void *bytes, size_t size);

#endif
