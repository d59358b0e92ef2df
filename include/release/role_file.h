/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One metadata file as the release tool handles it: read by the strict reader of the TUF client, judged
 * by the client's own verifier, with any number of signatures, none included. A file never changes: one
 * more signature makes a new one. Files are counted references.
 */
#ifndef RELEASE_ROLE_FILE_H
#define RELEASE_ROLE_FILE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "release/keystore.h"
#include "release/problem.h"
#include "tuf/metadata.h"

struct role_file;

/* By the role's name: the four top-level ones have their own, any other is TUF_TARGETS. */
enum tuf_type role_file_type(const char *role);

/* -EBADMSG with a sentence that has no subject ("is no targets metadata: …"). */
_must_check_ int role_file_parse(const void *bytes, size_t size, enum tuf_type type,
				 struct role_file **ret, struct problem *problem);
/* An unsigned file of a signed part, in canonical form. */
_must_check_ int role_file_new(const cJSON *document, enum tuf_type type, struct role_file **ret,
			       struct problem *problem);
struct role_file *role_file_ref(struct role_file *f);
struct role_file *role_file_unref(struct role_file *f);
DEFINE_CLEANUP(struct role_file *, role_file_unref);

/* Borrowed. The bytes are those that were read, or canonical. */
const char *role_file_bytes(const struct role_file *f, size_t *ret_size);
const struct tuf_metadata *role_file_metadata(const struct role_file *f);
const cJSON *role_file_document(const struct role_file *f); /* the signed part */
const cJSON *role_file_envelope(const struct role_file *f);
uint64_t role_file_version(const struct role_file *f);
/* The same signed part, byte for byte. */
bool role_file_same(const struct role_file *a, const struct role_file *b);

/* How many of the keys that by (root, or targets for a delegated role) names for the role signed f. */
struct role_signatures {
	unsigned have;
	uint64_t threshold;
};
/* 0 if the threshold is met, else -EKEYREJECTED; -ENOENT if by knows no such role. */
_must_check_ int role_file_verify(const struct role_file *f, const struct role_file *by,
				  const char *role, struct role_signatures *ret);
/* Whether this one key, of those that by names for the role, signed f. */
bool role_file_signed_by(const struct role_file *f, const struct role_file *by, const char *role,
			 const char *keyid);
/* How many different keys that can be used here by names for the role. */
unsigned role_file_count_keys(const struct role_file *by, const char *role);
/* A signature by a key of the role that does not verify: f was changed after it was signed. */
bool role_file_was_changed(const struct role_file *f, const struct role_file *by, const char *role);

/* Replaces *f by the same with one more signature; one of the same key id makes room for it. */
_must_check_ int role_file_add_signature(struct role_file **f, const char *keyid, const char *sig,
					 struct problem *problem);
/* Signs with every key of the role whose private half is in k and that has not signed yet. A token
 * that is not plugged in is as good as a key that is elsewhere. */
_must_check_ int role_file_sign(struct role_file **f, struct role_file *by, const char *role,
				struct keystore *k, struct problem *problem);

#endif
