/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys in PKCS#11 tokens, for release/signer.c: a URI becomes an OpenSSL key whose private half stays
 * in the token. The OpenSSL engine "pkcs11" is loaded at run time; a program that uses no token needs
 * none of it.
 */
#ifndef RELEASE_SIGNER_TOKEN_H
#define RELEASE_SIGNER_TOKEN_H

#include <openssl/types.h>
#include <stdbool.h>

#include "common/cleanup.h"
#include "release/problem.h"
#include "release/signer.h"

#define SIGNER_URI_MAX_LENGTH 1024

/* allow_pin_value: the URI comes from a file that only its owner can read. -EINVAL for a URI that does
 * not name one token and one key, -ENODEV: no such token, -ENOENT: no such key in it, -EKEYREJECTED:
 * wrong PIN, -ENOTSUP: the engine is not installed. The key is the caller's to EVP_PKEY_free(). */
_must_check_ int signer_token_load(const char *uri, bool allow_pin_value,
				   struct signer_secrets *secrets, EVP_PKEY **ret,
				   struct problem *problem);

#endif
