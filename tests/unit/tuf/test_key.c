/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/ui.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "tuf/key.h"
#include "tuf_repo.h"

static const char message[] = "what is signed";

static struct tuf_key *parse(const struct repo_key *k)
{
	struct tuf_key *key = NULL;

	assert_int_equal(tuf_key_parse(k->object, &key), 0);
	return key;
}

static void expect_rejected(const struct tuf_key *key, const uint8_t *signature, size_t size)
{
	assert_int_equal(tuf_key_verify(key, signature, size, message, sizeof message),
			 -EKEYREJECTED);
}

/* DER and PSS may hold bytes whose change is no change only in theory: every one must matter. */
static void check_every_byte_matters(const struct tuf_key *key, uint8_t *signature, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		signature[i] ^= 0x41;
		expect_rejected(key, signature, size);
		signature[i] ^= 0x41;
	}
	for (size_t i = 0; i < size; i++)
		expect_rejected(key, signature, i);
}

static void check_junk(const struct tuf_key *key)
{
	uint8_t junk[512];

	for (unsigned fill = 0; fill < 256; fill++) {
		memset(junk, (int)fill, sizeof junk);
		expect_rejected(key, junk, 64);
		expect_rejected(key, junk, 256);
		expect_rejected(key, junk, sizeof junk);
	}
	expect_rejected(key, junk, 0);
	expect_rejected(key, NULL, 0);
}

static void check_kind(enum repo_key_kind kind)
{
	struct repo_key *good = repo_key_new(kind), *other = repo_key_new(kind);
	_cleanup_(tuf_key_freep) struct tuf_key *key = parse(good);
	_cleanup_free_ uint8_t *signature = NULL, *foreign = NULL, *longer = NULL;
	size_t size, foreign_size;
	char changed[sizeof message];

	signature = repo_key_sign(good, message, sizeof message, &size);
	foreign = repo_key_sign(other, message, sizeof message, &foreign_size);
	assert_int_equal(tuf_key_verify(key, signature, size, message, sizeof message), 0);

	expect_rejected(key, foreign, foreign_size);
	check_every_byte_matters(key, signature, size);
	check_junk(key);
	longer = calloc(1, size + 1);
	assert_non_null(longer);
	memcpy(longer, signature, size);
	expect_rejected(key, longer, size + 1);

	memcpy(changed, message, sizeof message);
	changed[3] ^= 1;
	assert_int_equal(tuf_key_verify(key, signature, size, changed, sizeof changed),
			 -EKEYREJECTED);
	assert_int_equal(tuf_key_verify(key, signature, size, message, sizeof message - 1),
			 -EKEYREJECTED);
	assert_int_equal(tuf_key_verify(key, signature, size, "", 0), -EKEYREJECTED);
	repo_key_free(good);
	repo_key_free(other);
}

static void test_ed25519(void **state)
{
	(void)state;
	check_kind(REPO_ED25519);
}

static void test_p256(void **state)
{
	(void)state;
	check_kind(REPO_P256);
}

static void test_rsa(void **state)
{
	(void)state;
	check_kind(REPO_RSA);
}

/* RFC 8032, 7.1, test 2. */
static void test_ed25519_vector(void **state)
{
	static const char object[] =
		"{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":"
		"\"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c\"}}";
	static const char hex[] =
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
		"085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
	_cleanup_json_ cJSON *json = NULL;
	_cleanup_(tuf_key_freep) struct tuf_key *key = NULL;
	uint8_t signature[64];

	(void)state;
	assert_int_equal(json_parse(object, strlen(object), NULL, &json, NULL), 0);
	assert_int_equal(tuf_key_parse(json, &key), 0);
	assert_int_equal(hex_decode(hex, signature, sizeof signature), 0);
	assert_int_equal(tuf_key_verify(key, signature, sizeof signature, "\x72", 1), 0);
}

static void expect_parse(const char *text, int result)
{
	_cleanup_json_ cJSON *json = NULL;
	struct tuf_key *key = NULL;

	assert_int_equal(json_parse(text, strlen(text), NULL, &json, NULL), 0);
	assert_int_equal(tuf_key_parse(json, &key), result);
	assert_null(key);
}

#define HEX31 "72378e5bc588793e58f81c8533da64a2e8f1565c1fcc7f253496394ffc5254"

static void test_malformed(void **state)
{
	(void)state;
	expect_parse("{}", -EBADMSG);
	expect_parse("[]", -EBADMSG);
	expect_parse("{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\"}", -EBADMSG);
	expect_parse("{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{}}", -EBADMSG);
	expect_parse("{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":7}}",
		     -EBADMSG);
	expect_parse(
		"{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"\"}}",
		-EBADMSG);
	expect_parse(
		"{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"" HEX31
		"\"}}",
		-EBADMSG);
	expect_parse(
		"{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"" HEX31
		"2c00\"}}",
		-EBADMSG);
	expect_parse(
		"{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"" HEX31
		"zz\"}}",
		-EBADMSG);
	expect_parse("{\"keytype\":\"rsa\",\"scheme\":\"rsassa-pss-sha256\",\"keyval\":{\"public\":"
		     "\"-----BEGIN PUBLIC KEY-----\\n!!\\n-----END PUBLIC KEY-----\\n\"}}",
		     -EBADMSG);
	expect_parse("{\"keytype\":\"dsa\",\"scheme\":\"dsa\",\"keyval\":{\"public\":\"x\"}}",
		     -ENOTSUP);
	expect_parse("{\"keytype\":\"ed25519\",\"scheme\":\"rsassa-pss-sha256\",\"keyval\":{}}",
		     -ENOTSUP);
}

static bool was_asked;

static int note_question(UI *ui)
{
	(void)ui;
	was_asked = true;
	return 0;
}

/* A PEM that claims to be encrypted must not make OpenSSL ask for its passphrase. */
static void test_encrypted_pem(void **state)
{
	UI_METHOD *method = UI_create_method("test");

	(void)state;
	assert_non_null(method);
	(void)UI_method_set_opener(method, note_question);
	UI_set_default_method(method);
	was_asked = false;
	expect_parse("{\"keytype\":\"ecdsa\",\"scheme\":\"ecdsa-sha2-nistp256\",\"keyval\":"
		     "{\"public\":\"-----BEGIN PUBLIC KEY-----\\nProc-Type: 4,ENCRYPTED\\n"
		     "DEK-Info: AES-128-CBC,00000000000000000000000000000000\\n\\n"
		     "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\\n-----END PUBLIC KEY-----\\n\"}}",
		     -EBADMSG);
	UI_set_default_method(NULL);
	UI_destroy_method(method);
	assert_false(was_asked);
}

/* A key of one kind that is called another: neither accepted nor a crash. */
static void test_kinds_are_not_confused(void **state)
{
	struct repo_key *p256 = repo_key_new(REPO_P256), *rsa = repo_key_new(REPO_RSA);
	struct tuf_key *key = NULL;

	(void)state;
	repo_set_string(p256->object, "keytype", "rsa");
	repo_set_string(p256->object, "scheme", "rsassa-pss-sha256");
	assert_int_equal(tuf_key_parse(p256->object, &key), -EBADMSG);
	repo_set_string(rsa->object, "keytype", "ecdsa-sha2-nistp256");
	repo_set_string(rsa->object, "scheme", "ecdsa-sha2-nistp256");
	assert_int_equal(tuf_key_parse(rsa->object, &key), -EBADMSG);
	repo_key_free(p256);
	repo_key_free(rsa);
}

static void test_equal(void **state)
{
	struct repo_key *a = repo_key_new(REPO_ED25519), *b = repo_key_new(REPO_ED25519);
	struct repo_key *c = repo_key_new(REPO_P256);
	_cleanup_(tuf_key_freep) struct tuf_key *ka = parse(a), *again = parse(a), *kb = parse(b),
						*kc = parse(c);

	(void)state;
	assert_true(tuf_key_equal(ka, again));
	assert_false(tuf_key_equal(ka, kb));
	assert_false(tuf_key_equal(ka, kc));
	repo_key_free(a);
	repo_key_free(b);
	repo_key_free(c);
}

/* The key of the example in the TUF specification, and the id that it has there. */
static void test_key_id(void **state)
{
	static const char object[] = "{ \"scheme\":\"ed25519\", \"keyval\":{\"public\":\"" HEX31
				     "2c\"}, \"keytype\":\"ed25519\" }";
	_cleanup_json_ cJSON *json = NULL;
	char hex[SHA256_HEX_LENGTH + 1];

	(void)state;
	assert_int_equal(json_parse(object, strlen(object), NULL, &json, NULL), 0);
	assert_int_equal(tuf_key_id(json, hex), 0);
	assert_string_equal(hex,
			    "1bf1c6e3cdd3d3a8420b19199e27511999850f4b376c4547b2f32fba7e80fca3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ed25519),
		cmocka_unit_test(test_p256),
		cmocka_unit_test(test_rsa),
		cmocka_unit_test(test_ed25519_vector),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_encrypted_pem),
		cmocka_unit_test(test_kinds_are_not_confused),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_key_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
