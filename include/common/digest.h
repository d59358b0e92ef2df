/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 and SHA-512, the only hashes here (OpenSSL EVP). Hex is lower case.
 */
#ifndef COMMON_DIGEST_H
#define COMMON_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define SHA256_BYTES	  32
#define SHA256_HEX_LENGTH 64
#define SHA512_BYTES	  64

struct digest; /* a running SHA-256 */

_must_check_ int digest_new(struct digest **ret);
struct digest *digest_free(struct digest *d);
DEFINE_CLEANUP(struct digest *, digest_free);
_must_check_ int digest_update(struct digest *d, const void *bytes, size_t size);
/* Ends it; the object can then only be freed. */
_must_check_ int digest_final(struct digest *d, uint8_t ret[SHA256_BYTES]);

/* In one go. */
_must_check_ int digest_sha256(const void *bytes, size_t size, uint8_t ret[SHA256_BYTES]);
_must_check_ int digest_sha512(const void *bytes, size_t size, uint8_t ret[SHA512_BYTES]);
/* A whole file from its beginning, by pread; ret_size may be NULL. */
_must_check_ int digest_fd(int fd, uint8_t ret[SHA256_BYTES], uint64_t *ret_size);

void hex_encode(const uint8_t *bytes, size_t size, char *ret_text /* 2 * size + 1 */);
/* Exactly 2 * size lower-case hex digits; -EINVAL otherwise. */
_must_check_ int hex_decode(const char *text, uint8_t *ret, size_t size);

#endif
