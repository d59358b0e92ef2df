/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/json.h"
#include "release/signer.h"
#include "scratch.h"
#include "tuf/key.h"

#define PASSPHRASE "correct horse battery staple"

static void assert_verifies(const cJSON *object, const void *bytes, size_t size, const char *hex,
			    int expected)
{
	uint8_t signature[SIGNER_SIGNATURE_MAX_BYTES];
	size_t signature_size = strlen(hex) / 2;
	struct tuf_key *key = NULL;

	assert_true(signature_size <= sizeof signature);
	assert_int_equal(hex_decode(hex, signature, signature_size), 0);
	assert_int_equal(tuf_key_parse(object, &key), 0);
	assert_int_equal(tuf_key_verify(key, signature, signature_size, bytes, size), expected);
	tuf_key_free(key);
}

static void check_type(enum signer_type type, const char *keytype, const char *scheme)
{
	_cleanup_(signer_freep) struct signer *a = NULL;
	_cleanup_(signer_freep) struct signer *b = NULL;
	_cleanup_free_ char *hex = NULL;

	assert_int_equal(signer_generate(type, &a), 0);
	assert_int_equal(signer_generate(type, &b), 0);
	assert_int_equal(signer_type(a), type);
	assert_string_equal(json_text_or(signer_public(a), "keytype", ""), keytype);
	assert_string_equal(json_text_or(signer_public(a), "scheme", ""), scheme);
	assert_int_equal(signer_sign(a, "release", 7, &hex), 0);
	assert_verifies(signer_public(a), "release", 7, hex, 0);
	assert_verifies(signer_public(a), "Release", 7, hex, -EKEYREJECTED);
	assert_verifies(signer_public(b), "release", 7, hex, -EKEYREJECTED);
	assert_string_not_equal(signer_id(a), signer_id(b));
}

static void test_ed25519_signature_is_verified_by_its_key_only(void **state)
{
	(void)state;
	check_type(SIGNER_ED25519, "ed25519", "ed25519");
}

static void test_p256_signature_is_verified_by_its_key_only(void **state)
{
	(void)state;
	check_type(SIGNER_ECDSA_P256, "ecdsa", "ecdsa-sha2-nistp256");
}

static void test_p384_signature_is_verified_by_its_key_only(void **state)
{
	(void)state;
	check_type(SIGNER_ECDSA_P384, "ecdsa", "ecdsa-sha2-nistp384");
}

static void test_rsa_signature_is_verified_by_its_key_only(void **state)
{
	(void)state;
	check_type(SIGNER_RSA_PSS, "rsa", "rsassa-pss-sha256");
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
	_cleanup_free_ char *hex = NULL;
	struct signer_secrets secrets = { 0 };
	struct problem problem = { 0 };
	const cJSON *value;

	scratch_text(s->dirfd, "k.pem", pem, 0600);
	assert_int_equal(signer_open(s->dirfd, "k", &secrets, &signer, &problem), 0);
	value = cJSON_GetObjectItemCaseSensitive(signer_public(signer), "keyval");
	assert_string_equal(json_text_or(value, "public", ""),
			    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
	assert_int_equal(signer_sign(signer, "\x72", 1, &hex), 0);
	assert_string_equal(hex, expected);
}

/* Opens k below the scratch directory, with the passphrase in a file, or none. */
static int open_with(const struct scratch *s, const char *passphrase, struct signer **ret,
		     struct problem *problem)
{
	_cleanup_(signer_secrets_done) struct signer_secrets secrets = { 0 };
	_cleanup_free_ char *path = NULL;

	assert_true(asprintf(&path, "%s/pass", s->path) > 0);
	if (passphrase) {
		scratch_text(s->dirfd, "pass", passphrase, 0600);
		secrets.passphrase_file = path;
	}
	return signer_open(s->dirfd, "k", &secrets, ret, problem);
}

static void test_encrypted_key_needs_its_passphrase(void **state)
{
	struct scratch *s = *state;
	_cleanup_(signer_freep) struct signer *made = NULL;
	_cleanup_(signer_freep) struct signer *loaded = NULL;
	_cleanup_free_ char *pem = NULL;
	struct problem problem = { 0 };
	enum signer_place place = SIGNER_ELSEWHERE;
	struct stat st;
	size_t size;

	assert_int_equal(signer_generate(SIGNER_ED25519, &made), 0);
	assert_int_equal(signer_save(made, s->dirfd, "k", PASSPHRASE), 0);
	assert_int_equal(fstatat(s->dirfd, "k.pem", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fs_read_file(s->dirfd, "k.pem", 4096, &pem, &size), 0);
	assert_non_null(strstr(pem, "BEGIN ENCRYPTED PRIVATE KEY"));

	assert_int_equal(signer_find(s->dirfd, "k", &place), 0);
	assert_int_equal(place, SIGNER_ENCRYPTED);
	assert_int_equal(open_with(s, PASSPHRASE "r\n", &loaded, &problem), -EKEYREJECTED);
	assert_non_null(strstr(problem.text, "wrong passphrase"));
	assert_null(strstr(problem.text, PASSPHRASE));
	assert_int_equal(open_with(s, "", &loaded, &problem), -EINVAL);
	assert_null(loaded);
	assert_int_equal(open_with(s, PASSPHRASE "\n", &loaded, &problem), 0);
	assert_string_equal(signer_id(loaded), signer_id(made));
}

static void check_plain(const struct scratch *s, enum signer_type type)
{
	_cleanup_(signer_freep) struct signer *made = NULL;
	_cleanup_(signer_freep) struct signer *loaded = NULL;
	_cleanup_json_ cJSON *object = NULL;
	enum signer_place place = SIGNER_ELSEWHERE;
	struct problem problem = { 0 };

	assert_int_equal(signer_generate(type, &made), 0);
	assert_int_equal(signer_save(made, s->dirfd, "k", NULL), 0);
	assert_int_equal(signer_find(s->dirfd, "k", &place), 0);
	assert_int_equal(place, SIGNER_PLAIN);
	assert_int_equal(open_with(s, NULL, &loaded, &problem), 0);
	assert_string_equal(signer_id(loaded), signer_id(made));

	assert_int_equal(signer_save_public(made, s->dirfd, "k"), 0);
	assert_int_equal(signer_load_public(s->dirfd, "k.pub.pem", &object), 0);
	assert_true(cJSON_Compare(object, signer_public(made), true));
}

static void test_every_type_comes_back_from_its_files(void **state)
{
	check_plain(*state, SIGNER_ED25519);
	check_plain(*state, SIGNER_ECDSA_P256);
	check_plain(*state, SIGNER_ECDSA_P384);
	check_plain(*state, SIGNER_RSA_PSS);
}

static void assert_refused(const struct scratch *s, const char *pem, int expected, const char *says)
{
	_cleanup_(signer_freep) struct signer *loaded = NULL;
	struct problem problem = { 0 };

	scratch_text(s->dirfd, "k.pem", pem, 0600);
	assert_int_equal(open_with(s, NULL, &loaded, &problem), expected);
	assert_null(loaded);
	assert_non_null(strstr(problem.text, says));
}

static void test_what_is_no_key_is_refused(void **state)
{
	/* A curve of another trade. */
	static const char k256[] =
		"-----BEGIN PRIVATE KEY-----\n"
		"MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQg3kiJOpdPUAU9lzGoFUY1\n"
		"iGnNRc7SKEbzqOgpjt4q0Q+hRANCAARd7iDVNVfNxVyA9YGMlOmJ2yS6XvxUTcYJ\n"
		"2DLKibZ5rpacxCn6da9ZI0q9pxk9PTvY8h9a1Jp/eVCxyd8GnPMt\n"
		"-----END PRIVATE KEY-----\n";
	static const char x25519[] =
		"-----BEGIN PRIVATE KEY-----\n"
		"MC4CAQAwBQYDK2VuBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7\n"
		"-----END PRIVATE KEY-----\n";
	struct scratch *s = *state;
	_cleanup_(signer_freep) struct signer *loaded = NULL;
	_cleanup_json_ cJSON *object = NULL;
	struct problem problem = { 0 };

	assert_int_equal(open_with(s, NULL, &loaded, &problem), -ENOENT);
	assert_refused(s, "no key\n", -EBADMSG, "no private key in PEM");
	assert_refused(s, "", -EBADMSG, "no private key in PEM");
	assert_refused(s, k256, -ENOTSUP, "type");
	assert_refused(s, x25519, -ENOTSUP, "type");
	assert_int_equal(signer_load_public(s->dirfd, "k.pem", &object), -EBADMSG);
	assert_null(object);
}

static void test_names_are_file_names(void **state)
{
	struct scratch *s = *state;
	_cleanup_(signer_freep) struct signer *signer = NULL;
	struct signer_secrets secrets = { 0 };
	struct problem problem = { 0 };
	enum signer_place place;

	assert_true(signer_name_is_valid("alice"));
	assert_true(signer_name_is_valid("root-2"));
	assert_false(signer_name_is_valid(""));
	assert_false(signer_name_is_valid("../root"));
	assert_false(signer_name_is_valid(".root"));
	assert_false(signer_name_is_valid("root.pub"));
	assert_false(signer_name_is_valid(
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
	assert_int_equal(signer_open(s->dirfd, "../k", &secrets, &signer, &problem), -EINVAL);
	assert_int_equal(signer_find(s->dirfd, "../k", &place), -EINVAL);
	assert_int_equal(signer_type_from_name("rsa"), SIGNER_RSA_PSS);
	assert_int_equal(signer_type_from_name("dsa"), -EINVAL);
}

/* ---- tokens: what is refused before one is needed ---- */

static void assert_uri_refused(const char *uri, const char *says)
{
	_cleanup_(signer_freep) struct signer *signer = NULL;
	struct signer_secrets secrets = { 0 };
	struct problem problem = { 0 };

	assert_int_equal(signer_open_token(uri, &secrets, &signer, &problem), -EINVAL);
	assert_null(signer);
	assert_non_null(strstr(problem.text, says));
	assert_null(strstr(problem.text, "123456"));
}

static void test_uri_names_one_token_and_one_key(void **state)
{
	char longest[SIGNER_SIGNATURE_MAX_BYTES * 2] = "pkcs11:token=t;object=";
	size_t length = strlen(longest);

	(void)state;
	memset(longest + length, 'x', sizeof longest - length - 1);
	assert_uri_refused("", "does not name");
	assert_uri_refused("/root/key.pem", "does not name");
	assert_uri_refused("pkcs11:", "does not name");
	assert_uri_refused("pkcs11:object=root", "does not name");
	assert_uri_refused("pkcs11:token=t", "does not name");
	assert_uri_refused("pkcs11:token=t?object=root", "does not name");
	assert_uri_refused("pkcs11:token=%;object=root", "does not name");
	assert_uri_refused("pkcs11:token=%4;object=root", "does not name");
	assert_uri_refused("pkcs11:token=%4g;object=root", "does not name");
	assert_uri_refused("pkcs11:token=a%00b;object=root", "does not name");
	assert_uri_refused("pkcs11:token=t;object=k?pin-source=%7Cid", "does not name");
	assert_uri_refused("pkcs11:token=t;object=k?pin-source=pin", "does not name");
	assert_uri_refused("pkcs11:token=t;object=k?pin-source=/a&pin-source=/b", "does not name");
	assert_uri_refused("pkcs11:token=t;object=k?pin-value=12345%", "does not name");
	assert_uri_refused(longest, "does not name");
}

static void test_pin_is_not_taken_from_the_command_line(void **state)
{
	(void)state;
	assert_uri_refused("pkcs11:token=t;object=k?pin-value=123456", "--pin-file");
	assert_uri_refused("pkcs11:token=t;object=k?module-path=/x&pin-value=123456", "--pin-file");
}

static void test_uri_file_stands_for_a_key_file(void **state)
{
	struct scratch *s = *state;
	_cleanup_(signer_freep) struct signer *made = NULL;
	_cleanup_(signer_freep) struct signer *loaded = NULL;
	enum signer_place place = SIGNER_ELSEWHERE;
	struct problem problem = { 0 };

	scratch_text(s->dirfd, "k.uri", "pkcs11:nonsense\n", 0600);
	assert_int_equal(signer_find(s->dirfd, "k", &place), 0);
	assert_int_equal(place, SIGNER_TOKEN);
	assert_int_equal(open_with(s, NULL, &loaded, &problem), -EINVAL);
	assert_non_null(strstr(problem.text, "does not name"));
	assert_int_equal(signer_generate(SIGNER_ED25519, &made), 0);
	assert_int_equal(signer_save(made, s->dirfd, "k", NULL), 0);
	assert_int_equal(open_with(s, NULL, &loaded, &problem), 0);
	assert_int_equal(signer_find(s->dirfd, "other", &place), 0);
	assert_int_equal(place, SIGNER_ELSEWHERE);
}

int main(void)
{
#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ed25519_signature_is_verified_by_its_key_only),
		cmocka_unit_test(test_p256_signature_is_verified_by_its_key_only),
		cmocka_unit_test(test_p384_signature_is_verified_by_its_key_only),
		cmocka_unit_test(test_rsa_signature_is_verified_by_its_key_only),
		SCRATCH_TEST(test_signature_is_that_of_the_standard),
		SCRATCH_TEST(test_encrypted_key_needs_its_passphrase),
		SCRATCH_TEST(test_every_type_comes_back_from_its_files),
		SCRATCH_TEST(test_what_is_no_key_is_refused),
		SCRATCH_TEST(test_names_are_file_names),
		cmocka_unit_test(test_uri_names_one_token_and_one_key),
		cmocka_unit_test(test_pin_is_not_taken_from_the_command_line),
		SCRATCH_TEST(test_uri_file_stands_for_a_key_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
