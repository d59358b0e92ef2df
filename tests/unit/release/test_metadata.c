/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "common/json.h"
#include "release/metadata.h"
#include "scratch.h"

struct signed_file {
	struct signer *signer;
	char *bytes;
	size_t size;
};

static int setup(void **state)
{
	struct signed_file *f = calloc(1, sizeof *f);
	_cleanup_json_ cJSON *document = NULL;

	assert_non_null(f);
	assert_int_equal(signer_generate(SIGNER_ED25519, &f->signer), 0);
	assert_int_equal(metadata_new("snapshot", &document), 0);
	assert_int_equal(metadata_sign(document, 7, 1795305600, f->signer, &f->bytes, &f->size), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct signed_file *f = *state;

	signer_free(f->signer);
	free(f->bytes);
	free(f);
	return 0;
}

static void test_what_was_signed_is_opened(void **state)
{
	const struct signed_file *f = *state;
	_cleanup_json_ cJSON *document = NULL;
	struct problem problem = { 0 };
	const char *type;
	uint64_t version;
	int64_t expires_sec;

	assert_int_equal(
		metadata_open(f->bytes, f->size, signer_public(f->signer), &document, &problem), 0);
	assert_int_equal(json_get_string(document, "_type", &type, NULL), 0);
	assert_string_equal(type, "snapshot");
	assert_int_equal(metadata_version(document, &version), 0);
	assert_int_equal(version, 7);
	assert_int_equal(metadata_expires_sec(document, &expires_sec), 0);
	assert_int_equal(expires_sec, 1795305600);
}

/* Also what scripts rely on: the signed bytes are a literal part of the file. */
static void test_file_is_canonical(void **state)
{
	const struct signed_file *f = *state;
	static const char end[] =
		"\"signed\":{\"_type\":\"snapshot\",\"expires\":\"2026-11-22T00:00:00Z\","
		"\"spec_version\":\"" METADATA_SPEC_VERSION "\",\"version\":7}}";

	assert_int_equal(strncmp(f->bytes, "{\"signatures\":[{\"keyid\":\"", 25), 0);
	assert_true(f->size > strlen(end));
	assert_string_equal(f->bytes + f->size - strlen(end), end);
}

static void test_every_changed_bit_is_noticed(void **state)
{
	struct signed_file *f = *state;

	for (size_t i = 0; i < f->size; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			_cleanup_json_ cJSON *document = NULL;
			struct problem problem = { 0 };

			f->bytes[i] ^= (char)(1 << bit);
			assert_int_not_equal(metadata_open(f->bytes, f->size,
							   signer_public(f->signer), &document,
							   &problem),
					     0);
			assert_null(document);
			assert_true(*problem.text);
			f->bytes[i] ^= (char)(1 << bit);
		}
}

static void test_another_key_is_refused(void **state)
{
	const struct signed_file *f = *state;
	_cleanup_(signer_freep) struct signer *other = NULL;
	_cleanup_json_ cJSON *document = NULL;
	struct problem problem = { 0 };

	assert_int_equal(signer_generate(SIGNER_ED25519, &other), 0);
	assert_int_equal(
		metadata_open(f->bytes, f->size, signer_public(other), &document, &problem),
		-EKEYREJECTED);
}

static void test_hostile_envelopes_are_refused(void **state)
{
	static const char *const envelopes[] = {
		"",
		"{}",
		"[]",
		"{\"signed\":{}}",
		"{\"signatures\":[]}",
		"{\"signatures\":{},\"signed\":{}}",
		"{\"signatures\":[],\"signed\":[]}",
		"{\"signatures\":[1,null,{}],\"signed\":{}}",
		"{\"signatures\":[],\"signed\":{},\"signed\":{}}",
		"{\"signatures\":[],\"signed\":{\"version\":1e3}}",
	};
	const struct signed_file *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(envelopes); i++) {
		_cleanup_json_ cJSON *document = NULL;
		struct problem problem = { 0 };

		assert_true(metadata_open(envelopes[i], strlen(envelopes[i]),
					  signer_public(f->signer), &document, &problem) < 0);
		assert_null(document);
	}
}

static void test_times_come_back(void **state)
{
	static const int64_t times[] = { 0, 951782399, 951782400, 1795305600, 253402300799 };
	char text[METADATA_TIME_LENGTH + 1];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(times); i++) {
		int64_t sec;

		assert_int_equal(metadata_format_time(times[i], text), 0);
		assert_int_equal(metadata_parse_time(text, &sec), 0);
		assert_int_equal(sec, times[i]);
	}
	assert_int_equal(metadata_format_time(-1, text), -ERANGE);
	assert_int_equal(metadata_format_time(253402300800, text), -ERANGE);
}

static void test_what_is_no_time_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"2026-11-22",
		"2026-11-22T00:00:00",
		"2026-11-22T00:00:00Z ",
		" 2026-11-22T00:00:00Z",
		"2026-02-30T00:00:00Z",
		"2026-11-22T24:00:00Z",
		"2026-11-22T00:00:60Z",
		"2026-1-22T00:00:00Z",
		"+026-11-22T00:00:00Z",
		"2026-11-22T00:00:00+00:00",
		"1969-12-31T23:59:59Z",
	};
	int64_t sec = 42;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(texts); i++)
		assert_int_equal(metadata_parse_time(texts[i], &sec), -EBADMSG);
	assert_int_equal(sec, 42);
}

int main(void)
{
#define SIGNED_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		SIGNED_TEST(test_what_was_signed_is_opened),
		SIGNED_TEST(test_file_is_canonical),
		SIGNED_TEST(test_every_changed_bit_is_noticed),
		SIGNED_TEST(test_another_key_is_refused),
		SIGNED_TEST(test_hostile_envelopes_are_refused),
		cmocka_unit_test(test_times_come_back),
		cmocka_unit_test(test_what_is_no_time_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
