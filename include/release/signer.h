/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys of metadata roles: the only place that signs (OpenSSL EVP, Ed25519). On disk a key is
 * PEM PKCS#8, mode 0600, encrypted with AES-256-CBC under PBKDF2-HMAC-SHA256 when it has a passphrase;
 * `openssl pkey` reads it.
 */
#ifndef RELEASE_SIGNER_H
#define RELEASE_SIGNER_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define SIGNER_SIGNATURE_BYTES 64

struct signer;

_must_check_ int signer_generate(struct signer **ret);
struct signer *signer_free(struct signer *s);
DEFINE_CLEANUP(struct signer *, signer_free);

/* The TUF key object {"keytype":"ed25519",…} and its id; borrowed from s. */
const cJSON *signer_public(const struct signer *s);
const char *signer_id(const struct signer *s);

/* Pure Ed25519 over exactly these bytes. */
_must_check_ int signer_sign(const struct signer *s, const void *bytes, size_t size,
			     uint8_t ret[SIGNER_SIGNATURE_BYTES]);

/* passphrase NULL: not encrypted. Replaces the file atomically. */
_must_check_ int signer_save(const struct signer *s, int dirfd, const char *name,
			     const char *passphrase);
/* -ENOKEY: encrypted and no passphrase given; -EKEYREJECTED: wrong passphrase; -ENOTSUP: not an
 * Ed25519 key; -EBADMSG: no PEM private key. */
_must_check_ int signer_load(int dirfd, const char *name, const char *passphrase,
			     struct signer **ret);
_must_check_ int signer_is_encrypted(int dirfd, const char *name, bool *ret);

/* The public half as a PEM file of its own, mode 0644, and back to a key object. */
_must_check_ int signer_save_public(const struct signer *s, int dirfd, const char *name);
_must_check_ int signer_load_public(int dirfd, const char *name, cJSON **ret_object);

#endif
