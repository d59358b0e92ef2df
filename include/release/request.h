/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signing request: metadata on its way to keys that are kept elsewhere. One file of JSON,
 *
 *	{"_type":"bms-signing-request","version":1,"roles":[
 *	  {"role":"root","file":{"signatures":[…],"signed":{…}},"previous":{"signatures":[…],…},
 *	   "needs":[{"keyid":"…","name":"alice","keytype":"ed25519"}],"threshold":2,
 *	   "changes":["a sentence"]}]}
 *
 * It goes out with what is staged, comes back with more signatures, and may pass through several hands
 * on its way. "file" is the metadata file as it will be published, "previous" the published one (absent
 * if there is none). "needs" lists keys whose signature is wanted, "threshold" how many of them there
 * must be; for a root that replaces another, both mean the new root's. "needs", "previous" and "changes"
 * are the sender's words: nothing is believed because it stands there.
 *
 * What is signed is the canonical form of "signed", made again from the parsed JSON, and only if
 * it is metadata of the role's type by the strict reader of the TUF client.
 */
#ifndef RELEASE_REQUEST_H
#define RELEASE_REQUEST_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "release/problem.h"
#include "release/signer.h"
#include "tuf/metadata.h"

#define REQUEST_MAX_BYTES (16u << 20)
#define REQUEST_MAX_ROLES 64u

struct request;

struct request_role {
	const char *role;
	const cJSON *file;     /* the envelope */
	const cJSON *previous; /* the published envelope, or NULL */
	const cJSON *needs;    /* [{"keyid":…,"name":…,"keytype":…}]; name may be missing */
	uint64_t threshold;    /* at least 1 */
	const cJSON *changes;  /* ["sentence"], or NULL */
};

/* ---- sender ---- */

_must_check_ int request_new(struct request **ret);
struct request *request_free(struct request *r);
DEFINE_CLEANUP(struct request *, request_free);

/* Copies everything. -EEXIST for a role that is in it already, -EBADMSG if the reader on the other
 * machine would refuse it. */
_must_check_ int request_add_role(struct request *r, const struct request_role *role,
				  struct problem *problem);
/* Replaces the file at path atomically. -EFBIG if it would be too large to be read. */
_must_check_ int request_write(const struct request *r, const char *path, struct problem *problem);

/* ---- reader ---- */

/* Refuses what is no request, strictly: unknown members, a role twice, metadata of the wrong type,
 * more than the limits. */
_must_check_ int request_read(const char *path, struct request **ret, struct problem *problem);
_must_check_ int request_parse(const void *bytes, size_t size, struct request **ret,
			       struct problem *problem);

/* The role at index, 0 …; false after the last. Borrowed from r until it is signed or freed. */
bool request_role(const struct request *r, size_t index, struct request_role *ret);
/* Its metadata, parsed; borrowed likewise. signed_bytes is what is signed. */
const struct tuf_metadata *request_metadata(const struct request *r, size_t index);
/* The same of "previous"; NULL if there is none. */
const struct tuf_metadata *request_previous(const struct request *r, size_t index);

/* ---- signer ---- */

enum request_outcome {
	REQUEST_NOT_NEEDED,    /* "needs" does not list this key */
	REQUEST_SIGNED_BEFORE, /* by this key; nothing changed */
	REQUEST_SIGNED,
};
/* Whether m carries a good signature of this key. */
bool request_signed_by(const struct tuf_metadata *m, const struct signer *signer);
_must_check_ int request_sign(struct request *r, size_t index, const struct signer *signer,
			      enum request_outcome *ret, struct problem *problem);

#endif
