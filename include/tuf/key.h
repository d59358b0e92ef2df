/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public keys of TUF metadata, and the one place where a signature is verified (OpenSSL EVP; a
 * result counts only if it is exactly 1).
 */
#ifndef TUF_KEY_H
#define TUF_KEY_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"

struct tuf_key;

/* From a key object: {"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"<hex>"}}. Known are
 *
 *	keytype					scheme
 *	ed25519					ed25519
 *	ecdsa, ecdsa-sha2-nistp256		ecdsa-sha2-nistp256
 *	ecdsa, ecdsa-sha2-nistp384		ecdsa-sha2-nistp384
 *	rsa (2048 to 8192 bits)			rsassa-pss-sha256, rsa-pkcs1v15-sha256
 *
 * -ENOTSUP for another type or scheme, -EBADMSG if it is malformed. */
_must_check_ int tuf_key_parse(const cJSON *object, struct tuf_key **ret);
struct tuf_key *tuf_key_free(struct tuf_key *k);
DEFINE_CLEANUP(struct tuf_key *, tuf_key_free);

/* 0 only if signature is this key's over exactly these bytes; -EKEYREJECTED otherwise. */
_must_check_ int tuf_key_verify(const struct tuf_key *k, const uint8_t *signature,
				size_t signature_size, const void *bytes, size_t size);

/* The same public key, whatever the key ids say. */
bool tuf_key_equal(const struct tuf_key *a, const struct tuf_key *b);

/* The key id as securesystemslib computes it: SHA-256 of the canonical JSON of the key object. */
_must_check_ int tuf_key_id(const cJSON *object, char ret_hex[SHA256_HEX_LENGTH + 1]);

#endif
