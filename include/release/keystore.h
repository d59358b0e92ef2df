/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory keys/, by name and by key id. Names are for people (release/signer.h tells what files a
 * name has); which key may sign for what is written in the metadata alone. A key whose private half is
 * kept elsewhere has only NAME.pub.pem here. Two files with the same key are one key.
 */
#ifndef RELEASE_KEYSTORE_H
#define RELEASE_KEYSTORE_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "release/problem.h"
#include "release/signer.h"

#define KEYSTORE_SHORT_ID_LENGTH 8
#define KEYSTORE_LABEL_BYTES	 (SIGNER_NAME_MAX_LENGTH + 1 + KEYSTORE_SHORT_ID_LENGTH + 1)

struct keystore;

/* The two files are borrowed and may be NULL: then a passphrase or PIN is asked for on the terminal
 * when the first key that has one is needed. Refuses a directory that others can read. */
_must_check_ int keystore_open(int repofd, const char *passphrase_file, const char *pin_file,
			       struct keystore **ret, struct problem *problem);
struct keystore *keystore_close(struct keystore *k);
DEFINE_CLEANUP(struct keystore *, keystore_close);

/* Reads the passphrase for new keys: from the file, or from the terminal twice. */
_must_check_ int keystore_new_passphrase(struct keystore *k, struct problem *problem);
/* Makes a key of this name; encrypted needs keystore_new_passphrase() before. */
_must_check_ int keystore_generate(struct keystore *k, const char *name, bool encrypted,
				   struct problem *problem);

struct keystore_key {
	char name[SIGNER_NAME_MAX_LENGTH + 1];
	cJSON *object; /* public key, a TUF key object */
	char id[SHA256_HEX_LENGTH + 1];
	bool has_private; /* in a file or a token */
	bool encrypted, in_token;
};
void keystore_key_done(struct keystore_key *key);
_must_check_ int keystore_public(struct keystore *k, const char *name, struct keystore_key *ret,
				 struct problem *problem);
/* What a command line names: a name in keys/ or, with a '/' or the ending ".pem", a file that holds a
 * public key in PEM. */
_must_check_ int keystore_resolve(struct keystore *k, const char *name_or_file,
				  struct keystore_key *ret, struct problem *problem);
/* Knows the public key by its name from now on, if no file in keys/ has this key; -EEXIST if another
 * key has the name. keystore_commit() copies the files of all these to keys/. */
_must_check_ int keystore_keep(struct keystore *k, const struct keystore_key *key, const char *file,
			       struct problem *problem);
_must_check_ int keystore_commit(struct keystore *k, struct problem *problem);

/* The key as keys/ knows it, the one with a private half first; borrowed until the next key is made or
 * kept. NULL if it is not known, or keys/ cannot be read. */
const struct keystore_key *keystore_find(struct keystore *k, const char *id);
/* "alice 1a2b3c4d", or "1a2b3c4d" for a key without a name here. */
void keystore_label(struct keystore *k, const char *id, char ret[KEYSTORE_LABEL_BYTES]);

/* The signature of the key over these bytes, as lower-case hex. -ENOENT if its private half is not
 * here, -ENODEV if its token is not. Caller frees. */
_must_check_ int keystore_sign(struct keystore *k, const char *id, const void *bytes, size_t size,
			       char **ret_hex, struct problem *problem);

#endif
