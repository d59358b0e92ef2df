/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory keys/: <role>.pem, the private key, and <role>.pub.pem, its public half. One
 * passphrase opens all encrypted keys. An offline key is one whose <role>.pem is kept elsewhere; the
 * public half stays.
 */
#ifndef RELEASE_KEYSTORE_H
#define RELEASE_KEYSTORE_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "release/problem.h"
#include "release/signer.h"

struct keystore;

/* repofd is duplicated. The two files are borrowed and may be NULL: then a passphrase or PIN is asked
 * for on the terminal when the first key that has one is needed. Refuses a directory that others can
 * read. */
_must_check_ int keystore_open(int repofd, const char *passphrase_file, const char *pin_file,
			       struct keystore **ret, struct problem *problem);
struct keystore *keystore_close(struct keystore *k);
DEFINE_CLEANUP(struct keystore *, keystore_close);

/* Reads the passphrase for new keys: from the file, or from the terminal twice. */
_must_check_ int keystore_new_passphrase(struct keystore *k, struct problem *problem);
/* Makes the key of a role; encrypted needs keystore_new_passphrase() before. */
_must_check_ int keystore_generate(struct keystore *k, const char *role, bool encrypted,
				   struct problem *problem);

_must_check_ int keystore_signer(struct keystore *k, const char *role, struct signer **ret,
				 struct problem *problem);

struct keystore_key {
	cJSON *object; /* public key, a TUF key object */
	char id[SHA256_HEX_LENGTH + 1];
	bool has_private;
	bool encrypted;
};
void keystore_key_done(struct keystore_key *key);
_must_check_ int keystore_public(const struct keystore *k, const char *role,
				 struct keystore_key *ret, struct problem *problem);

#endif
