/* SPDX-License-Identifier: Apache-2.0 */
#include "tuf_repo.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "tuf/canonical.h"
#include "tuf/key.h"
#include "tuf/name.h"

/* ---- keys ---- */

static char *public_text(const struct repo_key *k)
{
	uint8_t raw[32];
	size_t size = sizeof raw;
	char *text = NULL;
	BIO *bio;
	long length;
	char *data;

	if (k->kind == REPO_ED25519) {
		assert_int_equal(EVP_PKEY_get_raw_public_key(k->pkey, raw, &size), 1);
		text = malloc(2 * sizeof raw + 1);
		assert_non_null(text);
		hex_encode(raw, sizeof raw, text);
		return text;
	}
	bio = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_PUBKEY(bio, k->pkey), 1);
	length = BIO_get_mem_data(bio, &data);
	text = strndup(data, (size_t)length);
	BIO_free(bio);
	return text;
}

static struct repo_key *key_of(enum repo_key_kind kind, EVP_PKEY *pkey)
{
	static const struct {
		const char *keytype, *scheme;
	} names[] = {
		[REPO_ED25519] = { "ed25519", "ed25519" },
		[REPO_P256] = { "ecdsa", "ecdsa-sha2-nistp256" },
		[REPO_RSA] = { "rsa", "rsassa-pss-sha256" },
	};
	struct repo_key *k = calloc(1, sizeof *k);
	_cleanup_free_ char *text = NULL;

	assert_non_null(k);
	assert_non_null(pkey);
	k->kind = kind;
	k->pkey = pkey;
	text = public_text(k);
	k->object = cJSON_CreateObject();
	cJSON_AddStringToObject(k->object, "keytype", names[kind].keytype);
	cJSON_AddStringToObject(k->object, "scheme", names[kind].scheme);
	cJSON_AddStringToObject(cJSON_AddObjectToObject(k->object, "keyval"), "public", text);
	assert_int_equal(tuf_key_id(k->object, k->id), 0);
	return k;
}

struct repo_key *repo_key_new(enum repo_key_kind kind)
{
	if (kind == REPO_ED25519)
		return key_of(kind, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
	if (kind == REPO_P256)
		return key_of(kind, EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"));
	return key_of(kind, EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048));
}

struct repo_key *repo_key_from_seed(const char *seed)
{
	uint8_t secret[SHA256_BYTES];

	assert_int_equal(digest_sha256(seed, strlen(seed), secret), 0);
	return key_of(REPO_ED25519,
		      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, sizeof secret));
}

void repo_key_free(struct repo_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey);
	cJSON_Delete(k->object);
	free(k);
}

uint8_t *repo_key_sign(const struct repo_key *k, const void *bytes, size_t size, size_t *ret_size)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pkey_ctx = NULL;
	uint8_t *signature;

	assert_int_equal(EVP_DigestSignInit(ctx, &pkey_ctx,
					    k->kind == REPO_ED25519 ? NULL : EVP_sha256(), NULL,
					    k->pkey),
			 1);
	if (k->kind == REPO_RSA)
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING), 1);
	assert_int_equal(EVP_DigestSign(ctx, NULL, ret_size, bytes, size), 1);
	signature = malloc(*ret_size);
	assert_non_null(signature);
	assert_int_equal(EVP_DigestSign(ctx, signature, ret_size, bytes, size), 1);
	EVP_MD_CTX_free(ctx);
	return signature;
}

char *repo_sign(const cJSON *body, struct repo_key *const *keys, size_t n_keys, size_t *ret_size)
{
	cJSON *file = cJSON_CreateObject();
	cJSON *signatures = cJSON_AddArrayToObject(file, "signatures");
	_cleanup_free_ char *canonical = NULL;
	size_t canonical_size;
	char *text;

	assert_int_equal(tuf_canonical(body, &canonical, &canonical_size), 0);
	for (size_t i = 0; i < n_keys; i++) {
		_cleanup_free_ uint8_t *signature = NULL;
		_cleanup_free_ char *hex = NULL;
		cJSON *entry = cJSON_CreateObject();
		size_t size;

		signature = repo_key_sign(keys[i], canonical, canonical_size, &size);
		hex = malloc(2 * size + 1);
		assert_non_null(hex);
		hex_encode(signature, size, hex);
		cJSON_AddStringToObject(entry, "keyid", keys[i]->id);
		cJSON_AddStringToObject(entry, "sig", hex);
		cJSON_AddItemToArray(signatures, entry);
	}
	cJSON_AddItemToObject(file, "signed", cJSON_Duplicate(body, true));
	text = json_print(file);
	assert_non_null(text);
	cJSON_Delete(file);
	*ret_size = strlen(text);
	return text;
}

/* ---- files ---- */

struct repo_file *files_get(const struct repo_files *files, const char *name)
{
	for (size_t i = 0; i < files->n; i++)
		if (strcmp(files->list[i].name, name) == 0)
			return &files->list[i];
	return NULL;
}

void files_put(struct repo_files *files, const char *name, const void *bytes, size_t size)
{
	char *copy = malloc(size + 1);

	assert_non_null(copy);
	memcpy(copy, bytes, size);
	copy[size] = '\0';
	files_remove(files, name);
	files->list = realloc(files->list, (files->n + 1) * sizeof *files->list);
	assert_non_null(files->list);
	files->list[files->n++] = (struct repo_file){ strdup(name), copy, size };
}

void files_remove(struct repo_files *files, const char *name)
{
	struct repo_file *f = files_get(files, name);

	if (!f)
		return;
	free(f->name);
	free(f->bytes);
	*f = files->list[--files->n];
}

void files_clear(struct repo_files *files)
{
	while (files->n > 0)
		files_remove(files, files->list[0].name);
	free(files->list);
	files->list = NULL;
}

bool files_equal(const struct repo_file *a, const struct repo_file *b)
{
	return a && b && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* ---- the source ---- */

_printf_(2, 3) static void note(struct repo *r, const char *format, ...)
{
	size_t used = strlen(r->log);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(r->log + used, sizeof r->log - used, format, args);
	va_end(args);
}

static int give(const struct repo_files *files, const char *name, size_t max_bytes,
		char **ret_bytes, size_t *ret_size)
{
	const struct repo_file *f = files_get(files, name);
	char *copy;

	if (!f)
		return -ENOENT;
	if (f->size > max_bytes)
		return -EFBIG;
	/* Exactly as long as the file: reading past its end is seen by ASan. */
	copy = malloc(f->size ? f->size : 1);
	assert_non_null(copy);
	memcpy(copy, f->bytes, f->size);
	*ret_bytes = copy;
	*ret_size = f->size;
	return 0;
}

static int source_fetch(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
			size_t *ret_size)
{
	struct repo *r = userdata;

	note(r, "fetch %s\n", name);
	if (r->fail_fetch && strcmp(r->fail_fetch, name) == 0)
		return r->fail_errno;
	return give(&r->files, name, max_bytes, ret_bytes, ret_size);
}

static int source_load(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
		       size_t *ret_size)
{
	struct repo *r = userdata;

	return give(&r->local, name, max_bytes, ret_bytes, ret_size);
}

static int source_store(void *userdata, const char *name, const void *bytes, size_t size)
{
	struct repo *r = userdata;

	if (r->fail_store && strcmp(r->fail_store, name) == 0)
		return r->fail_errno;
	note(r, size ? "store %s\n" : "void %s\n", name);
	files_put(&r->local, name, bytes, size);
	return 0;
}

/* ---- roles ---- */

struct repo_key *repo_new_key(struct repo *r)
{
	struct repo_key *k;
	char seed[128];

	assert_true(r->n_keys < REPO_MAX_KEYS);
	(void)snprintf(seed, sizeof seed, "%s %zu", r->seed ? r->seed : "", r->n_keys);
	k = r->seed ? repo_key_from_seed(seed) : repo_key_new(REPO_ED25519);
	r->keys[r->n_keys++] = k;
	return k;
}

static struct repo_role *find_role(struct repo *r, const char *name)
{
	for (size_t i = 0; i < r->n_roles; i++)
		if (strcmp(r->roles[i].name, name) == 0)
			return &r->roles[i];
	return NULL;
}

struct repo_role *repo_role(struct repo *r, const char *name)
{
	struct repo_role *role = find_role(r, name);

	assert_non_null(role);
	return role;
}

void repo_set_number(cJSON *body, const char *member, double value)
{
	cJSON_DeleteItemFromObjectCaseSensitive(body, member);
	assert_non_null(cJSON_AddNumberToObject(body, member, value));
}

void repo_set_string(cJSON *body, const char *member, const char *value)
{
	cJSON_DeleteItemFromObjectCaseSensitive(body, member);
	assert_non_null(cJSON_AddStringToObject(body, member, value));
}

void repo_set_version(struct repo *r, const char *role, unsigned version)
{
	repo_set_number(repo_role(r, role)->body, "version", version);
}

unsigned repo_version(struct repo *r, const char *role)
{
	const cJSON *body = repo_role(r, role)->body;

	return (unsigned)cJSON_GetObjectItemCaseSensitive(body, "version")->valueint;
}

static bool is_targets_role(const char *name)
{
	return strcmp(name, "root") != 0 && strcmp(name, "timestamp") != 0 &&
	       strcmp(name, "snapshot") != 0;
}

static struct repo_role *add_role(struct repo *r, const char *name)
{
	struct repo_role *role = &r->roles[r->n_roles++];

	assert_true(r->n_roles <= REPO_MAX_ROLES);
	(void)snprintf(role->name, sizeof role->name, "%s", name);
	role->body = cJSON_CreateObject();
	cJSON_AddStringToObject(role->body, "_type", is_targets_role(name) ? "targets" : name);
	cJSON_AddStringToObject(role->body, "spec_version", "1.0.31");
	cJSON_AddNumberToObject(role->body, "version", 1);
	cJSON_AddStringToObject(role->body, "expires", r->expires);
	if (is_targets_role(name))
		cJSON_AddObjectToObject(role->body, "targets");
	role->keys[role->n_keys++] = repo_new_key(r);
	return role;
}

void repo_set_signers(struct repo *r, const char *name, size_t n, ...)
{
	struct repo_role *role = repo_role(r, name);
	va_list args;

	assert_true(n <= ELEMENTSOF(role->keys));
	va_start(args, n);
	for (role->n_keys = 0; role->n_keys < n;)
		role->keys[role->n_keys++] = va_arg(args, struct repo_key *);
	va_end(args);
}

static cJSON *member(cJSON *object, const char *name)
{
	cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	return item ? item : cJSON_AddObjectToObject(object, name);
}

static void add_key(cJSON *keys, const struct repo_key *k)
{
	if (!cJSON_GetObjectItemCaseSensitive(keys, k->id))
		cJSON_AddItemToObject(keys, k->id, cJSON_Duplicate(k->object, true));
}

static void say_keys(cJSON *keys, cJSON *entry, unsigned threshold, size_t n, va_list args)
{
	cJSON *keyids;

	cJSON_DeleteItemFromObjectCaseSensitive(entry, "keyids");
	keyids = cJSON_AddArrayToObject(entry, "keyids");
	for (size_t i = 0; i < n; i++) {
		const struct repo_key *k = va_arg(args, struct repo_key *);

		add_key(keys, k);
		cJSON_AddItemToArray(keyids, cJSON_CreateString(k->id));
	}
	repo_set_number(entry, "threshold", threshold);
}

void repo_root_says(struct repo *r, const char *name, unsigned threshold, size_t n, ...)
{
	cJSON *root = repo_role(r, "root")->body;
	cJSON *entry = cJSON_CreateObject();
	va_list args;

	va_start(args, n);
	say_keys(member(root, "keys"), entry, threshold, n, args);
	va_end(args);
	cJSON_DeleteItemFromObjectCaseSensitive(member(root, "roles"), name);
	cJSON_AddItemToObject(member(root, "roles"), name, entry);
}

cJSON *repo_delegate(struct repo *r, const char *parent, const char *name, const char *pattern,
		     struct repo_key *key)
{
	cJSON *delegations = member(repo_role(r, parent)->body, "delegations");
	struct repo_role *role = find_role(r, name);
	cJSON *entry = cJSON_CreateObject(), *roles;

	if (!role)
		role = add_role(r, name);
	if (!key)
		key = role->keys[0];
	add_key(member(delegations, "keys"), key);
	roles = cJSON_GetObjectItemCaseSensitive(delegations, "roles");
	if (!roles)
		roles = cJSON_AddArrayToObject(delegations, "roles");
	cJSON_AddStringToObject(entry, "name", name);
	cJSON_AddItemToArray(cJSON_AddArrayToObject(entry, "keyids"), cJSON_CreateString(key->id));
	cJSON_AddNumberToObject(entry, "threshold", 1);
	cJSON_AddBoolToObject(entry, "terminating", false);
	cJSON_AddItemToArray(cJSON_AddArrayToObject(entry, "paths"), cJSON_CreateString(pattern));
	cJSON_AddItemToArray(roles, entry);
	return entry;
}

void repo_delegation_says(struct repo *r, const char *parent, const char *name, unsigned threshold,
			  size_t n, ...)
{
	cJSON *delegations = member(repo_role(r, parent)->body, "delegations"), *entry;
	va_list args;

	cJSON_ArrayForEach (entry, cJSON_GetObjectItemCaseSensitive(delegations, "roles")) {
		const cJSON *item = cJSON_GetObjectItemCaseSensitive(entry, "name");

		if (strcmp(cJSON_GetStringValue(item), name) != 0)
			continue;
		va_start(args, n);
		say_keys(member(delegations, "keys"), entry, threshold, n, args);
		va_end(args);
		return;
	}
	fail_msg("%s delegates nothing to %s", parent, name);
}

void repo_add_target(struct repo *r, const char *role, const char *path, const char *content)
{
	cJSON *target = cJSON_CreateObject();
	uint8_t sha256[SHA256_BYTES];
	char hex[SHA256_HEX_LENGTH + 1];

	assert_int_equal(digest_sha256(content, strlen(content), sha256), 0);
	hex_encode(sha256, sizeof sha256, hex);
	cJSON_AddNumberToObject(target, "length", (double)strlen(content));
	cJSON_AddStringToObject(member(target, "hashes"), "sha256", hex);
	cJSON_AddStringToObject(member(target, "custom"), "kind", "full");
	cJSON_AddItemToObject(member(repo_role(r, role)->body, "targets"), path, target);
}

/* ---- publishing ---- */

static void file_name(struct repo *r, const char *role, char ret[TUF_FILE_NAME_BYTES])
{
	bool is_numbered = strcmp(role, "timestamp") != 0 &&
			   (r->is_consistent || strcmp(role, "root") == 0);

	assert_int_equal(tuf_file_name(is_numbered ? repo_version(r, role) : 0, role, ret), 0);
}

void repo_write(struct repo *r, const char *name)
{
	const struct repo_role *role = repo_role(r, name);
	_cleanup_free_ char *bytes = NULL;
	char file[TUF_FILE_NAME_BYTES];
	size_t size;

	bytes = repo_sign(role->body, role->keys, role->n_keys, &size);
	file_name(r, name, file);
	files_put(&r->files, file, bytes, size);
}

static void describe(struct repo *r, cJSON *meta, const char *role)
{
	cJSON *entry = cJSON_CreateObject();
	uint8_t sha256[SHA256_BYTES];
	char hex[SHA256_HEX_LENGTH + 1], file[TUF_FILE_NAME_BYTES], name[128];
	const struct repo_file *f;

	file_name(r, role, file);
	f = files_get(&r->files, file);
	assert_non_null(f);
	cJSON_AddNumberToObject(entry, "version", repo_version(r, role));
	if (r->has_hashes) {
		cJSON_AddNumberToObject(entry, "length", (double)f->size);
		assert_int_equal(digest_sha256(f->bytes, f->size, sha256), 0);
		hex_encode(sha256, sizeof sha256, hex);
		cJSON_AddStringToObject(member(entry, "hashes"), "sha256", hex);
	}
	(void)snprintf(name, sizeof name, "%s.json", role);
	cJSON_AddItemToObject(meta, name, entry);
}

static cJSON *fresh_meta(struct repo *r, const char *role)
{
	cJSON *body = repo_role(r, role)->body;

	cJSON_DeleteItemFromObjectCaseSensitive(body, "meta");
	return cJSON_AddObjectToObject(body, "meta");
}

void repo_publish(struct repo *r)
{
	cJSON *meta = fresh_meta(r, "snapshot");

	for (size_t i = 0; i < r->n_roles; i++) {
		if (!is_targets_role(r->roles[i].name))
			continue;
		repo_write(r, r->roles[i].name);
		if (!r->roles[i].is_unlisted)
			describe(r, meta, r->roles[i].name);
	}
	repo_write(r, "snapshot");
	describe(r, fresh_meta(r, "timestamp"), "snapshot");
	repo_write(r, "timestamp");
}

void repo_next_root(struct repo *r)
{
	repo_set_version(r, "root", repo_version(r, "root") + 1);
	repo_write(r, "root");
}

void repo_next(struct repo *r)
{
	for (size_t i = 0; i < r->n_roles; i++)
		if (strcmp(r->roles[i].name, "root") != 0)
			repo_set_version(r, r->roles[i].name,
					 repo_version(r, r->roles[i].name) + 1);
	repo_publish(r);
}

struct repo *repo_new_seeded(const char *seed, const char *expires)
{
	static const char *const top[] = { "root", "timestamp", "snapshot", "targets" };
	struct repo *r = calloc(1, sizeof *r);

	assert_non_null(r);
	r->seed = seed;
	r->expires = expires;
	r->is_consistent = r->has_hashes = true;
	r->source = (struct tuf_source){ r, source_fetch, source_load, source_store };
	for (size_t i = 0; i < ELEMENTSOF(top); i++)
		(void)add_role(r, top[i]);
	cJSON_AddBoolToObject(repo_role(r, "root")->body, "consistent_snapshot", true);
	for (size_t i = 0; i < ELEMENTSOF(top); i++)
		repo_root_says(r, top[i], 1, 1, repo_role(r, top[i])->keys[0]);
	(void)repo_delegate(r, "targets", "A", "A/*", NULL);
	(void)repo_delegate(r, "targets", "B", "B/*", NULL);
	repo_add_target(r, "A", "A/a.tar.xz", "program A");
	repo_add_target(r, "B", "B/b.tar.xz", "program B");
	repo_write(r, "root");
	repo_publish(r);
	return r;
}

struct repo *repo_new(void)
{
	return repo_new_seeded(NULL, REPO_EXPIRES);
}

void repo_free(struct repo *r)
{
	for (size_t i = 0; i < r->n_roles; i++)
		cJSON_Delete(r->roles[i].body);
	for (size_t i = 0; i < r->n_keys; i++)
		repo_key_free(r->keys[i]);
	files_clear(&r->files);
	files_clear(&r->local);
	free(r);
}

struct tuf_client *repo_client_at(struct repo *r, int64_t now_sec)
{
	const struct repo_file *root = files_get(&r->local, "root.json");
	struct tuf_client *c = NULL;

	if (!root)
		root = files_get(&r->files, "1.root.json");
	assert_non_null(root);
	r->log[0] = '\0';
	assert_int_equal(tuf_client_new(root->bytes, root->size, now_sec, &r->source, NULL, &c), 0);
	return c;
}

struct tuf_client *repo_client(struct repo *r)
{
	return repo_client_at(r, REPO_NOW_SEC);
}
