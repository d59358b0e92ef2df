/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TUF repository in memory, for tests: roles whose bodies the test may change at will, keys made
 * on the spot, publishing, and a struct tuf_source that serves it and keeps local copies. Failures
 * of the helper itself end the test (cmocka assertions).
 *
 * repo_new() gives version 1 of everything: root, timestamp, snapshot, targets (no targets of its
 * own) and the delegated roles A and B for "A/" and "B/" + '*', each with a key of its own.
 */
#ifndef TESTS_LIB_TUF_REPO_H
#define TESTS_LIB_TUF_REPO_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "tuf/client.h"

#define REPO_NOW_SEC   INT64_C(1790000000) /* 2026-09-21 */
#define REPO_EXPIRES   "2027-01-01T00:00:00Z"
#define REPO_PAST      "2026-09-20T00:00:00Z"
#define REPO_MAX_ROLES 64
#define REPO_MAX_KEYS  64

enum repo_key_kind { REPO_ED25519, REPO_P256, REPO_RSA };

struct repo_key {
	void *pkey;
	enum repo_key_kind kind;
	cJSON *object;
	char id[SHA256_HEX_LENGTH + 1];
};

struct repo_key *repo_key_new(enum repo_key_kind kind);
/* An Ed25519 key that is the same for the same seed. */
struct repo_key *repo_key_from_seed(const char *seed);
void repo_key_free(struct repo_key *k);
/* Caller frees. */
uint8_t *repo_key_sign(const struct repo_key *k, const void *bytes, size_t size, size_t *ret_size);
/* The bytes of a metadata file; body is copied. Caller frees. */
char *repo_sign(const cJSON *body, struct repo_key *const *keys, size_t n_keys, size_t *ret_size);

struct repo_file {
	char *name;
	char *bytes;
	size_t size;
};

struct repo_files {
	struct repo_file *list;
	size_t n;
};

void files_put(struct repo_files *files, const char *name, const void *bytes, size_t size);
struct repo_file *files_get(const struct repo_files *files, const char *name); /* or NULL */
void files_remove(struct repo_files *files, const char *name);
void files_clear(struct repo_files *files);
bool files_equal(const struct repo_file *a, const struct repo_file *b);

struct repo_role {
	char name[64];
	cJSON *body; /* the "signed" member */
	struct repo_key *keys[4];
	size_t n_keys;
	bool is_unlisted; /* the snapshot leaves it out */
};

struct repo {
	const char *seed;    /* NULL: keys are random */
	const char *expires; /* of roles that are made */
	struct repo_role roles[REPO_MAX_ROLES];
	size_t n_roles;
	struct repo_key *keys[REPO_MAX_KEYS]; /* all that were made, to free them */
	size_t n_keys;
	bool is_consistent, has_hashes; /* of the next publish; default true */
	struct repo_files files;	/* what the server has */
	struct repo_files local;	/* what the client kept */
	/* Faults: the name whose fetch or store fails, and how. */
	const char *fail_fetch, *fail_store;
	int fail_errno;
	char log[16384]; /* "fetch 2.root.json\nstore root.json\n…" */
	struct tuf_source source;
};

struct repo *repo_new(void);
/* As repo_new(), but with the same keys for the same seed, and everything expires at the given time;
 * both are borrowed. */
struct repo *repo_new_seeded(const char *seed, const char *expires);
void repo_free(struct repo *r);

struct repo_key *repo_new_key(struct repo *r);
struct repo_role *repo_role(struct repo *r, const char *name);
/* Who signs the role's file from now on; n keys. */
void repo_set_signers(struct repo *r, const char *role, size_t n, ...);
/* What the root says of a top-level role: threshold, n keys. */
void repo_root_says(struct repo *r, const char *role, unsigned threshold, size_t n, ...);
/* A new delegation, at the end; the role is made if it is not there. key NULL: the role's own. */
cJSON *repo_delegate(struct repo *r, const char *parent, const char *name, const char *pattern,
		     struct repo_key *key);
/* What a delegation that is there says from now on: threshold, n keys. */
void repo_delegation_says(struct repo *r, const char *parent, const char *name, unsigned threshold,
			  size_t n, ...);
void repo_set_number(cJSON *body, const char *member, double value);
void repo_set_string(cJSON *body, const char *member, const char *value);
void repo_set_version(struct repo *r, const char *role, unsigned version);
unsigned repo_version(struct repo *r, const char *role);
void repo_add_target(struct repo *r, const char *role, const char *path, const char *content);

/* Signs one role's body and writes its file, as it stands. */
void repo_write(struct repo *r, const char *role);
/* Targets roles, then snapshot (what it says of the others is made anew), then timestamp; versions
 * as they stand. */
void repo_publish(struct repo *r);
/* The next version of the root: counted up and written. */
void repo_next_root(struct repo *r);
/* Everything but the root one version up, and published. */
void repo_next(struct repo *r);

/* A client that starts from what it kept ("root.json" of local, else 1.root.json). */
struct tuf_client *repo_client(struct repo *r);
struct tuf_client *repo_client_at(struct repo *r, int64_t now_sec);

#endif
