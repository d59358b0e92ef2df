/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TUF metadata file, read strictly: form only, no trust. What a file says is believed after
 * tuf_role_verify() and the checks of the client workflow (tuf/client.h), not before.
 *
 * The format is that of the specification 1.0.37, section 4, in strict JSON (common/json.h: no
 * repeated members, no number but integers below 2^53). Unknown members are tolerated everywhere
 * ("the ability to add more attribute-value fields to objects") and are covered by the signature;
 * so are files other than snapshot.json in a timestamp, and hashes of unknown kinds. Where such a
 * hash is the only one of a file, that file is refused when it is wanted.
 *
 * Narrower than the specification: a delegated role's name is none of the four top-level ones and no
 * "<digits>.root", and a target's path is not empty (tuf/name.h).
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
#include "tuf/roles.h"

/* In the order of tuf_top_level_roles (tuf/name.h). */
enum tuf_type {
	TUF_ROOT,
	TUF_TIMESTAMP,
	TUF_SNAPSHOT,
	TUF_TARGETS, /* delegated roles too */
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
const struct tuf_meta *tuf_metadata_find_meta(const struct tuf_metadata *m, const char *name);
const struct tuf_target *tuf_metadata_find_target(const struct tuf_metadata *m, const char *path);

/* 0 if bytes have the length and the hashes that meta names (those that it names), else -EBADMSG; also
 * if it names only hashes that are not known here. */
_must_check_ int tuf_meta_check(const struct tuf_meta *meta, const void *bytes, size_t size);

#endif
