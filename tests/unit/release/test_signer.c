/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>

#include "common/json.h"
#include "release/signer.h"
#include "scratch.h"
#include "tuf/key.h"

#define PASSPHRASE "correct horse battery staple"

static void assert_verifies(const cJSON *object, const void *bytes, size_t size,
			    const uint8_t *signature, int expected)
{
	struct tuf_key *key = NULL;

	assert_int_equal(tuf_key_parse(object, &key), 0);
	assert_int_equal(tuf_key_verify(key, signature, SIGNER_SIGNATURE_BYTES, bytes, size),
			 expected);
	tuf_key_free(key);
}

static void test_signature_is_verified_by_its_key_only(void **state)
{
	_cleanup_(signer_freep) struct signer *a = NULL;
	_cleanup_(signer_freep) struct signer *b = NULL;
	uint8_t signature[SIGNER_SIGNATURE_BYTES];

	(void)state;
	assert_int_equal(signer_generate(&a), 0);
	assert_int_equal(signer_generate(&b), 0);
	assert_int_equal(signer_sign(a, "release", 7, signature), 0);
	assert_verifies(signer_public(a), "release", 7, signature, 0);
	assert_verifies(signer_public(a), "Release", 7, signature, -EKEYREJECTED);
	assert_verifies(signer_public(b), "release", 7, signature, -EKEYREJECTED);
	assert_string_not_equal(signer_id(a), signer_id(b));
}

/* RFC 8032, section 7.1, test 2: the key, wrapped as PKCS#8, and its signature. */
static void test_signature_is_that_of_the_standard(void **state)
{
	static const char pem[] =
		"-----BEGIN PRIVATE KEY-----\n"
		"MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7\n"
		"-----END PRIVATE KEY-----\n";
	static const char expected[] =
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
		"085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
	struct scratch *s = *state;
	_cleanup_(signer_freep) struct signer *signer = NULL;
	uint8_t signature[SIGNER_SIGNATURE_BYTES], message = 0x72;
	char hex[2 * SIGNER_SIGNATURE_BYTES + 1];
	const cJSON *value;
	const char *public_hex;

	scratch_text(s->dirfd, "k.pem", pem, 0600);
	assert_int_equal(signer_load(s->dirfd, "k.pem", NULL, &signer), 0);
	value = cJSON_GetObjectItemCaseSensitive(signer_public(signer), "keyval");
	assert_int_equal(json_get_string(value, "public", &public_hex, NULL), 0);
	assert_string_equal(public_hex,
			    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
	assert_int_equal(signer_sign(signer, &message, 1, signature), 0);
	hex_encode(signature, sizeof signature, hex);
	assert_string_equal(hex, expected);
}

static void test_encrypted_key_needs_its_passphrase(void **state)
{
	struct scratch *s = *state;
	_cleanup_(signer_freep) struct signer *made = NULL;
	_cleanup_(signer_freep) struct signer *loaded = NULL;
	_cleanup_free_ char *pem = NULL;
	bool encrypted = false;
	struct stat st;
	size_t size;

	assert_int_equal(signer_generate(&made), 0);
	assert_int_equal(signer_save(made, s->dirfd, "k.pem", PASSPHRASE), 0);
	assert_int_equal(fstatat(s->dirfd, "k.pem", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fs_read_file(s->dirfd, "k.pem", 4096, &pem, &size), 0);
	assert_non_null(strstr(pem, "BEGIN ENCRYPTED PRIVATE KEY"));

	assert_int_equal(signer_is_encrypted(s->dirfd, "k.pem", &encrypted), 0);
	assert_true(encrypted);
	assert_int_equal(signer_load(s->dirfd, "k.pem", NULL, &loaded), -ENOKEY);
	assert_int_equal(signer_load(s->dirfd, "k.pem", PASSPHRASE "r", &loaded), -EKEYREJECTED);
	assert_int_equal(signer_load(s->dirfd, "k.pem", "", &loaded), -EKEYREJECTED);
	assert_null(loaded);
	assert_int_equal(signer_load(s->dirfd, "k.pem", PASSPHRASE, &loaded), 0);
	assert_string_equal(signer_id(loaded), signer_id(made));
}

static void test_plain_key_needs_none(void **state)
{
	struct scratch *s = *state;
	_cleanup_(signer_freep) struct signer *made = NULL;
	_cleanup_(signer_freep) struct signer *loaded = NULL;
	bool encrypted = true;

	assert_int_equal(signer_generate(&made), 0);
	assert_int_equal(signer_save(made, s->dirfd, "k.pem", NULL), 0);
	assert_int_equal(signer_is_encrypted(s->dirfd, "k.pem", &encrypted), 0);
	assert_false(encrypted);
	assert_int_equal(signer_load(s->dirfd, "k.pem", NULL, &loaded), 0);
	assert_string_equal(signer_id(loaded), signer_id(made));
}

static void test_public_half_comes_back(void **state)
{
	struct scratch *s = *state;
	_cleanup_(signer_freep) struct signer *made = NULL;
	_cleanup_json_ cJSON *object = NULL;

	assert_int_equal(signer_generate(&made), 0);
	assert_int_equal(signer_save_public(made, s->dirfd, "k.pub.pem"), 0);
	assert_int_equal(signer_load_public(s->dirfd, "k.pub.pem", &object), 0);
	assert_true(cJSON_Compare(object, signer_public(made), true));
}

static void test_what_is_no_key_is_refused(void **state)
{
	/* A P-256 key: a fine private key, of a kind that is not made here. */
	static const char p256[] =
		"-----BEGIN PRIVATE KEY-----\n"
		"MEECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCAAAAAAAAAAAAAAAAAA\n"
		"AAAAAAAAAAAAAAAAAAAAAAAAAQ==\n"
		"-----END PRIVATE KEY-----\n";
	struct scratch *s = *state;
	_cleanup_(signer_freep) struct signer *loaded = NULL;
	_cleanup_json_ cJSON *object = NULL;

	assert_int_equal(signer_load(s->dirfd, "none.pem", NULL, &loaded), -ENOENT);
	scratch_text(s->dirfd, "junk.pem", "no key\n", 0600);
	assert_int_equal(signer_load(s->dirfd, "junk.pem", NULL, &loaded), -EBADMSG);
	assert_int_equal(signer_load_public(s->dirfd, "junk.pem", &object), -EBADMSG);
	scratch_text(s->dirfd, "empty.pem", "", 0600);
	assert_int_equal(signer_load(s->dirfd, "empty.pem", NULL, &loaded), -EBADMSG);
	scratch_text(s->dirfd, "p256.pem", p256, 0600);
	assert_int_equal(signer_load(s->dirfd, "p256.pem", NULL, &loaded), -ENOTSUP);
	assert_null(loaded);
	assert_null(object);
}

int main(void)
{
#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signature_is_verified_by_its_key_only),
		SCRATCH_TEST(test_signature_is_that_of_the_standard),
		SCRATCH_TEST(test_encrypted_key_needs_its_passphrase),
		SCRATCH_TEST(test_plain_key_needs_none),
		SCRATCH_TEST(test_public_half_comes_back),
		SCRATCH_TEST(test_what_is_no_key_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
