/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys of metadata roles, in files or in PKCS#11 tokens: the only place that signs (OpenSSL
 * EVP). A key has a NAME, for people only; metadata knows it by its TUF key id, which is computed from
 * the public half. In a directory of keys:
 *
 *	NAME.pem	the private key: PEM, PKCS#8, mode 0600, encrypted with AES-256-CBC under
 *			PBKDF2-HMAC-SHA256 when it has a passphrase; `openssl pkey` reads it
 *	NAME.uri	instead of NAME.pem: one line, a pkcs11: URI (RFC 7512) of a key in a token
 *	NAME.pub.pem	the public half: PEM, SubjectPublicKeyInfo
 *
 * A token is spoken to by OpenSSL's engine "pkcs11" (libengine-pkcs11-openssl), loaded when a token is
 * first used. Of the URI's query attributes module-path, pin-source and pin-value are understood. One
 * login is tried for a PIN, since tokens lock themselves after a few.
 */
#ifndef RELEASE_SIGNER_H
#define RELEASE_SIGNER_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "release/problem.h"

#define SIGNER_NAME_MAX_LENGTH	   64
#define SIGNER_SIGNATURE_MAX_BYTES 1024 /* RSA of 8192 bits */

enum signer_type {
	SIGNER_ED25519,
	SIGNER_ECDSA_P256, /* SHA-256 */
	SIGNER_ECDSA_P384, /* SHA-384 */
	SIGNER_RSA_PSS, /* SHA-256, MGF1 with SHA-256, a salt of 32 bytes; 3072 bits when made here */
	_SIGNER_TYPE_MAX,
};
/* "ed25519", "ecdsa-p256", "ecdsa-p384", "rsa". -EINVAL for anything else. */
_must_check_ int signer_type_from_name(const char *name);
const char *signer_type_name(enum signer_type type);
/* A NAME of a key: a safe file name of at most SIGNER_NAME_MAX_LENGTH that does not end in ".pub". */
bool signer_name_is_valid(const char *name);

/* What opens locked keys. Everything is asked for when it is first needed. One passphrase is tried for
 * all encrypted files; at the terminal it is asked for again for one that it does not open. A PIN typed
 * in is for one token. Zero-initialised is fine. */
struct signer_secrets {
	const char *passphrase_file; /* borrowed; NULL: the terminal */
	const char *pin_file;	     /* borrowed; NULL: the URI's pin-source, or the terminal */
	char *passphrase;	     /* once it was needed */
	char *pin;		     /* once it was needed, and the token that it is for */
	char *pin_token;
};
/* Wipes them. */
void signer_secrets_done(struct signer_secrets *secrets);

struct signer;

_must_check_ int signer_generate(enum signer_type type, struct signer **ret);
struct signer *signer_free(struct signer *s);
DEFINE_CLEANUP(struct signer *, signer_free);

/* From NAME.pem, or else NAME.uri, below dirfd. -ENOENT if neither is there, -EKEYREJECTED for a wrong
 * passphrase or PIN, -ENOTSUP for a key of another type; the sentence is in problem in all cases. */
_must_check_ int signer_open(int dirfd, const char *name, struct signer_secrets *secrets,
			     struct signer **ret, struct problem *problem);
/* From a file of any name; and from a URI of the command line, which may not hold a pin-value. */
_must_check_ int signer_open_file(int dirfd, const char *file, struct signer_secrets *secrets,
				  struct signer **ret, struct problem *problem);
_must_check_ int signer_open_token(const char *uri, struct signer_secrets *secrets,
				   struct signer **ret, struct problem *problem);

enum signer_type signer_type(const struct signer *s);
/* The TUF key object {"keytype":"ed25519",…} and its id; borrowed from s. */
const cJSON *signer_public(const struct signer *s);
const char *signer_id(const struct signer *s);

/* Signs exactly these bytes: *ret_hex is what metadata has in "sig", lower-case hex, at most
 * 2 * SIGNER_SIGNATURE_MAX_BYTES. It was verified with the public half before it is given out. Caller
 * frees. */
_must_check_ int signer_sign(const struct signer *s, const void *bytes, size_t size,
			     char **ret_hex);

/* To NAME.pem; passphrase NULL: not encrypted. Replaces the file atomically. -ENOTSUP for a token. */
_must_check_ int signer_save(const struct signer *s, int dirfd, const char *name,
			     const char *passphrase);
/* How a private key is kept. -ENOENT (as *ret too) if it is not here. */
enum signer_place {
	SIGNER_ELSEWHERE,
	SIGNER_PLAIN,
	SIGNER_ENCRYPTED,
	SIGNER_TOKEN,
};
_must_check_ int signer_find(int dirfd, const char *name, enum signer_place *ret);

/* The public half as NAME.pub.pem, mode 0644. */
_must_check_ int signer_save_public(const struct signer *s, int dirfd, const char *name);
/* A key object of a PEM public key. file is a file name, ending included. -ENOTSUP: of a type that is
 * not known here; -EBADMSG: no public key in PEM. */
_must_check_ int signer_load_public(int dirfd, const char *file, cJSON **ret_object);

#endif
