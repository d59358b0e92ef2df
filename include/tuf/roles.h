/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may sign for what: the keys and roles of a root, or of the delegations of a targets file.
 *
 * The rules for key ids, by the specification 1.0.37:
 *  - 4.3: "Clients MUST calculate each KEYID to verify this is correct for the associated key." A key
 *    that is listed under another id never counts. Its id is the SHA-256 of the canonical JSON of the
 *    key object, or of its members keytype, keyval and scheme alone: both are in use, and differ only
 *    for a key with members of its own.
 *  - 4.2.1: "multiple signatures with the same keyid are not allowed": such a file is refused.
 *  - 5.3.4 and the like: "each KEY MUST only contribute one SIGNATURE". Ids may repeat in a role, and
 *    two ids may stand for one public key; it counts once.
 *  - 4.2.2: "Adopters can define and use any particular KEYTYPE, signing SCHEME": a key of a type that
 *    is not known here, or with a value that is no such key, never counts.
 *
 * The specification 1.0.37 has no succinct hash bins (TAP 15): "succinct_roles" is refused.
 */
#ifndef TUF_ROLES_H
#define TUF_ROLES_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "tuf/key.h"

#define TUF_MAX_ROLE_KEYS 64u
#define TUF_MAX_INTEGER	  ((UINT64_C(1) << 53) - 1)

struct tuf_metadata;

struct tuf_named_key {
	const char *id;
	const cJSON *object;
	struct tuf_key *key; /* once it is read: see tuf_roles_key() */
	bool is_read;
};

/* Who may sign for a role and, where it is delegated, for which targets. */
struct tuf_role {
	const char *name;
	const cJSON *keyids; /* array of strings, TUF_MAX_ROLE_KEYS at most */
	uint64_t threshold;
	bool terminating;
	const cJSON *paths; /* one of the two, or none: then it speaks for nothing */
	const cJSON *path_hash_prefixes;
};

/* In order of appearance; borrows from the JSON it was read from. */
struct tuf_roles {
	struct tuf_named_key *keys;
	size_t n_keys;
	struct tuf_role *roles;
	size_t n_roles;
};

/* From the "signed" part of a root: its four top-level roles. From the "delegations" of a targets
 * file. 0, -EBADMSG (error says why), -ENOENT (a member is missing, error names it), -ENOMEM. In
 * any case tuf_roles_done() is due. */
_must_check_ int tuf_roles_parse_root(const cJSON *object, struct tuf_roles *roles,
				      struct json_error *error);
_must_check_ int tuf_roles_parse_delegations(const cJSON *object, struct tuf_roles *roles,
					     struct json_error *error);
void tuf_roles_done(struct tuf_roles *roles);

/* NULL if there is none. */
const struct tuf_role *tuf_roles_find(const struct tuf_roles *roles, const char *name);

/* The key of this id; NULL if there is none, or if it never counts, see above. Keys are read when they
 * are first asked for: a file may list thousands, each takes a while, and whether anybody trusted signed
 * the file is not known before. -ENOMEM. */
_must_check_ int tuf_roles_key(const struct tuf_roles *roles, const char *id,
			       const struct tuf_key **ret);

/* 0 if at least the threshold of the role's keys signed m; else -EKEYREJECTED, or -ENOMEM. *ret_signed
 * is the number of keys found good, set in any case. */
_must_check_ int tuf_role_verify(const struct tuf_roles *roles, const struct tuf_role *role,
				 const struct tuf_metadata *m, unsigned *ret_signed);

/* 1 if a key that could sign for the role by a cannot by b any more, else 0; -ENOMEM. */
_must_check_ int tuf_role_rotated(const struct tuf_roles *a, const struct tuf_roles *b,
				  const char *name);

/* Whether a delegated role may speak for a target. sha256_hex is of the path. '*' and '?' match
 * anything but '/'; nothing else is special. */
bool tuf_role_matches(const struct tuf_role *role, const char *path, const char *sha256_hex);

#endif
