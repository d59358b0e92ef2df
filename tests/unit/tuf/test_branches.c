/* SPDX-License-Identifier: Apache-2.0 */
/* Ways through the TUF client that no file alone leads to: what OpenSSL and the digests may refuse to
 * do, and odd corners. In each the answer is no. */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "tuf/client.h"
#include "tuf/key.h"
#include "tuf/metadata.h"
#include "tuf/name.h"
#include "tuf_repo.h"

/* ---- what fails when it is told to ---- */

static struct {
	bool sha256, sha512, padding, salt, context, number, reference;
} broken;

int __real_digest_sha256(const void *bytes, size_t size, uint8_t ret[SHA256_BYTES]);
int __wrap_digest_sha256(const void *bytes, size_t size, uint8_t ret[SHA256_BYTES]);
int __real_digest_sha512(const void *bytes, size_t size, uint8_t ret[SHA512_BYTES]);
int __wrap_digest_sha512(const void *bytes, size_t size, uint8_t ret[SHA512_BYTES]);
int __real_EVP_PKEY_CTX_set_rsa_padding(EVP_PKEY_CTX *ctx, int padding);
int __wrap_EVP_PKEY_CTX_set_rsa_padding(EVP_PKEY_CTX *ctx, int padding);
int __real_EVP_PKEY_CTX_set_rsa_pss_saltlen(EVP_PKEY_CTX *ctx, int length);
int __wrap_EVP_PKEY_CTX_set_rsa_pss_saltlen(EVP_PKEY_CTX *ctx, int length);
EVP_PKEY_CTX *__real_EVP_PKEY_CTX_new_from_pkey(OSSL_LIB_CTX *lib, EVP_PKEY *pkey, const char *q);
EVP_PKEY_CTX *__wrap_EVP_PKEY_CTX_new_from_pkey(OSSL_LIB_CTX *lib, EVP_PKEY *pkey, const char *q);
int __real_EVP_PKEY_get_bn_param(const EVP_PKEY *pkey, const char *name, BIGNUM **ret);
int __wrap_EVP_PKEY_get_bn_param(const EVP_PKEY *pkey, const char *name, BIGNUM **ret);
cJSON_bool __real_cJSON_AddItemReferenceToObject(cJSON *object, const char *name, cJSON *item);
cJSON_bool __wrap_cJSON_AddItemReferenceToObject(cJSON *object, const char *name, cJSON *item);

int __wrap_digest_sha256(const void *bytes, size_t size, uint8_t ret[SHA256_BYTES])
{
	return broken.sha256 ? -EIO : __real_digest_sha256(bytes, size, ret);
}

int __wrap_digest_sha512(const void *bytes, size_t size, uint8_t ret[SHA512_BYTES])
{
	return broken.sha512 ? -EIO : __real_digest_sha512(bytes, size, ret);
}

int __wrap_EVP_PKEY_CTX_set_rsa_padding(EVP_PKEY_CTX *ctx, int padding)
{
	return broken.padding ? -2 : __real_EVP_PKEY_CTX_set_rsa_padding(ctx, padding);
}

int __wrap_EVP_PKEY_CTX_set_rsa_pss_saltlen(EVP_PKEY_CTX *ctx, int length)
{
	return broken.salt ? -2 : __real_EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, length);
}

EVP_PKEY_CTX *__wrap_EVP_PKEY_CTX_new_from_pkey(OSSL_LIB_CTX *lib, EVP_PKEY *pkey, const char *q)
{
	return broken.context ? NULL : __real_EVP_PKEY_CTX_new_from_pkey(lib, pkey, q);
}

int __wrap_EVP_PKEY_get_bn_param(const EVP_PKEY *pkey, const char *name, BIGNUM **ret)
{
	return broken.number ? 0 : __real_EVP_PKEY_get_bn_param(pkey, name, ret);
}

cJSON_bool __wrap_cJSON_AddItemReferenceToObject(cJSON *object, const char *name, cJSON *item)
{
	return broken.reference ? false : __real_cJSON_AddItemReferenceToObject(object, name, item);
}

static int setup(void **state)
{
	memset(&broken, 0, sizeof broken);
	*state = repo_new_seeded("branches", REPO_EXPIRES);
	return 0;
}

static int teardown(void **state)
{
	memset(&broken, 0, sizeof broken);
	repo_free(*state);
	return 0;
}

static cJSON *member(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* ---- keys ---- */

static const char message[] = "what is signed";

static void expect_verdict(const struct repo_key *k, const struct tuf_key *key, int result)
{
	size_t size;
	_cleanup_free_ uint8_t *signature = repo_key_sign(k, message, sizeof message, &size);

	assert_int_equal(tuf_key_verify(key, signature, size, message, sizeof message), result);
}

static void test_padding_refused(void **state)
{
	struct repo_key *k = repo_key_new(REPO_RSA);
	_cleanup_(tuf_key_freep) struct tuf_key *key = NULL;
	size_t size;
	uint8_t *signature = repo_key_sign(k, message, sizeof message, &size);

	(void)state;
	assert_int_equal(tuf_key_parse(k->object, &key), 0);
	broken.padding = true;
	assert_int_equal(tuf_key_verify(key, signature, size, message, sizeof message),
			 -EKEYREJECTED);
	broken.padding = false;
	broken.salt = true;
	assert_int_equal(tuf_key_verify(key, signature, size, message, sizeof message),
			 -EKEYREJECTED);
	broken.salt = false;
	expect_verdict(k, key, 0);
	free(signature);
	repo_key_free(k);
}

static void test_keys_that_cannot_be_looked_at(void **state)
{
	struct repo_key *ec = repo_key_new(REPO_P256), *rsa = repo_key_new(REPO_RSA);
	struct tuf_key *key = NULL;

	(void)state;
	broken.context = broken.number = true;
	assert_int_equal(tuf_key_parse(ec->object, &key), -EBADMSG);
	assert_int_equal(tuf_key_parse(rsa->object, &key), -EBADMSG);
	assert_null(key);
	repo_key_free(ec);
	repo_key_free(rsa);
}

/* A key with a member of its own, under the id that its three usual ones make. */
static void test_no_memory_for_a_key_id(void **state)
{
	struct repo *r = *state;
	const struct repo_key *k = repo_role(r, "timestamp")->keys[0];
	cJSON *keys = member(repo_role(r, "root")->body, "keys");
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;

	cJSON_AddStringToObject(member(keys, k->id), "x-comment", "of the night shift");
	repo_write(r, "root");
	c = repo_client(r);
	assert_int_equal(tuf_client_refresh(c), 0);
	c = tuf_client_free(c);

	broken.reference = true;
	c = repo_client(r);
	assert_int_equal(tuf_client_refresh(c), -ENOMEM);
	assert_int_equal(tuf_client_reason(c), REASON_NO_MEMORY);
	assert_non_null(strstr(tuf_client_error(c), "timestamp.json"));
}

/* ---- digests ---- */

static void test_no_digest_for_a_key_id(void **state)
{
	struct repo *r = *state;
	const struct repo_file *root = files_get(&r->files, "1.root.json");
	struct tuf_client *c = NULL;

	broken.sha256 = true;
	assert_true(tuf_client_new(root->bytes, root->size, REPO_NOW_SEC, &r->source, NULL, &c) <
		    0);
	assert_null(c);
}

static void test_no_digest_for_a_search(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);
	struct tuf_target target;

	assert_int_equal(tuf_client_refresh(c), 0);
	broken.sha256 = true;
	assert_int_equal(tuf_client_find_target(c, "B/b.tar.xz", &target), -EIO);
	broken.sha256 = false;
	assert_int_equal(tuf_client_find_target(c, "B/b.tar.xz", &target), 0);
}

static void test_no_digest_for_a_file(void **state)
{
	struct tuf_meta meta = { .name = "x.json", .has_hashes = true, .has_sha512 = true };

	(void)state;
	assert_int_equal(digest_sha512("x", 1, meta.sha512), 0);
	assert_int_equal(tuf_meta_check(&meta, "x", 1), 0);
	broken.sha512 = true;
	assert_int_equal(tuf_meta_check(&meta, "x", 1), -EIO);
	broken.sha512 = false;
	assert_int_equal(tuf_meta_check(&meta, "y", 1), -EBADMSG);
	meta.has_sha256 = true;
	assert_int_equal(digest_sha256("x", 1, meta.sha256), 0);
	assert_int_equal(tuf_meta_check(&meta, "x", 1), 0);
	broken.sha256 = true;
	assert_int_equal(tuf_meta_check(&meta, "x", 1), -EIO);
}

/* ---- names ---- */

/* "<role>.json" is short enough for a file, "1.<role>.json" is not. */
static void test_name_too_long_with_its_version(void **state)
{
	struct repo *r = *state;
	cJSON *delegations = member(repo_role(r, "targets")->body, "delegations");
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	char role[249], file[sizeof role + 8], name[TUF_FILE_NAME_BYTES];
	struct tuf_target target;
	cJSON *meta;

	memset(role, 'x', sizeof role - 1);
	role[sizeof role - 1] = '\0';
	assert_int_equal(tuf_file_name(0, role, name), 0);
	assert_int_equal(tuf_file_name(1, role, name), -ENAMETOOLONG);
	(void)snprintf(file, sizeof file, "%s.json", role);

	repo_set_string(cJSON_GetArrayItem(member(delegations, "roles"), 1), "name", role);
	r->has_hashes = false;
	repo_publish(r);
	meta = member(repo_role(r, "snapshot")->body, "meta");
	cJSON_AddItemToObject(meta, file, cJSON_Duplicate(member(meta, "B.json"), true));
	/* One that begins as another does, and comes before it. */
	cJSON_AddItemToObject(meta, "targets-old.json",
			      cJSON_Duplicate(member(meta, "B.json"), true));
	repo_write(r, "snapshot");
	c = repo_client(r);
	assert_int_equal(tuf_client_refresh(c), 0);
	assert_true(tuf_client_find_target(c, "B/b.tar.xz", &target) < 0);
	assert_null(strstr(r->log, "xxx"));
}

static void test_dots_in_paths(void **state)
{
	(void)state;
	assert_true(tuf_path_is_plain("a/.b"));
	assert_true(tuf_path_is_plain("a/b."));
	assert_true(tuf_path_is_plain("..."));
	assert_false(tuf_path_is_plain("a/."));
	assert_false(tuf_path_is_plain("a/.."));
}

/* ---- the rest ---- */

/* A copy of the next root that is older than it should be: as if it were not there. */
static void test_kept_root_is_an_old_one(void **state)
{
	struct repo *r = *state;
	const struct repo_file *old = files_get(&r->files, "1.root.json");
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;

	files_put(&r->local, "2.root.json", old->bytes, old->size);
	repo_next_root(r);
	c = repo_client(r);
	assert_int_equal(tuf_client_refresh(c), 0);
	assert_int_equal(tuf_client_role_version(c, "root"), 2);
}

static int stop(const struct tuf_target *target, void *userdata)
{
	(void)target;
	(*(unsigned *)userdata)++;
	return 4711;
}

static void test_visit_that_stops(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	unsigned n = 0;

	repo_add_target(r, "A", "A/another", "another");
	repo_publish(r);
	c = repo_client(r);
	assert_int_equal(tuf_client_refresh(c), 0);
	assert_int_equal(tuf_client_each_target(c, stop, &n), 4711);
	assert_int_equal(n, 1);
}

static void test_nothing_to_free(void **state)
{
	(void)state;
	assert_null(tuf_client_free(NULL));
	assert_null(tuf_metadata_free(NULL));
	assert_null(tuf_key_free(NULL));
}

#define repo_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		repo_test(test_padding_refused),
		repo_test(test_keys_that_cannot_be_looked_at),
		repo_test(test_no_memory_for_a_key_id),
		repo_test(test_no_digest_for_a_key_id),
		repo_test(test_no_digest_for_a_search),
		repo_test(test_no_digest_for_a_file),
		repo_test(test_name_too_long_with_its_version),
		repo_test(test_dots_in_paths),
		repo_test(test_kept_root_is_an_old_one),
		repo_test(test_visit_that_stops),
		repo_test(test_nothing_to_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
