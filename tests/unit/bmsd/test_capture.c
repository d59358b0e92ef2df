/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include "bmsd/capture.h"

static char path[128];

static int setup(void **state)
{
	const struct scratch *s;

	assert_int_equal(scratch_setup(state), 0);
	s = *state;
	(void)snprintf(path, sizeof path, "%s/session.jsonl", s->path);
	return 0;
}

static char *content(void **state, size_t *ret_size)
{
	const struct scratch *s = *state;
	char *bytes = NULL;

	assert_int_equal(fs_read_file(s->dirfd, "session.jsonl", 1 << 20, &bytes, ret_size), 0);
	return bytes;
}

static void test_a_session_is_lines(void **state)
{
	_cleanup_(capture_freep) struct capture *c = NULL;
	_cleanup_free_ char *text = NULL;
	size_t size;

	assert_int_equal(capture_open(path, 4096, &c), 0);
	capture_note(c, CAPTURE_OPEN, NULL, 0, 5000);
	capture_note(c, CAPTURE_TX, "\xdd\xa5\x03\x00\xff\xfd\x77", 7, 5051);
	capture_note(c, CAPTURE_RX, "\x00", 1, 5100);
	text = content(state, &size);
	assert_string_equal(text, "{\"t_msec\":0,\"dir\":\"open\",\"hex\":\"\"}\n"
				  "{\"t_msec\":51,\"dir\":\"tx\",\"hex\":\"dda50300fffd77\"}\n"
				  "{\"t_msec\":100,\"dir\":\"rx\",\"hex\":\"00\"}\n");
	capture_note(NULL, CAPTURE_RX, "x", 1, 0);
}

static void test_lines_are_read_again(void **state)
{
	static const char line[] = "{\"t_msec\":51,\"dir\":\"tx\",\"hex\":\"dda50300fffd77\"}\n";
	struct capture_record r = {};

	(void)state;
	assert_int_equal(capture_parse(line, sizeof line - 1, &r), 0);
	assert_int_equal(r.t_msec, 51);
	assert_int_equal(r.dir, CAPTURE_TX);
	assert_int_equal(r.size, 7);
	assert_memory_equal(r.bytes, "\xdd\xa5\x03\x00\xff\xfd\x77", 7);
	/* A torn one is none. */
	for (size_t size = 0; size < sizeof line - 2; size++)
		assert_int_equal(capture_parse(line, size, &r), -EBADMSG);
}

static void test_lines_that_are_no_records(void **state)
{
	static const char *const lines[] = {
		"",
		"[]",
		"{}",
		"{\"t_msec\":1,\"dir\":\"rx\"}",
		"{\"t_msec\":1,\"hex\":\"\"}",
		"{\"dir\":\"rx\",\"hex\":\"\"}",
		"{\"t_msec\":-1,\"dir\":\"rx\",\"hex\":\"\"}",
		"{\"t_msec\":1,\"dir\":\"up\",\"hex\":\"\"}",
		"{\"t_msec\":1,\"dir\":\"rx\",\"hex\":\"0\"}",
		"{\"t_msec\":1,\"dir\":\"rx\",\"hex\":\"0g\"}",
		"{\"t_msec\":1,\"dir\":\"rx\",\"hex\":\"DD\"}",
		"{\"t_msec\":1,\"dir\":\"rx\",\"hex\":\" 1\"}",
		"{\"t_msec\":1,\"dir\":\"rx\",\"hex\":7}",
		"{\"t_msec\":1,\"dir\":\"rx\",\"hex\":{\"hex\":\"\"}}",
	};
	struct capture_record untouched = { .t_msec = 77 }, r = untouched;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(lines); i++)
		assert_int_equal(capture_parse(lines[i], strlen(lines[i]), &r), -EBADMSG);
	assert_memory_equal(&r, &untouched, sizeof r);
}

static void test_long_reads_are_several_records(void **state)
{
	_cleanup_(capture_freep) struct capture *c = NULL;
	_cleanup_free_ char *text = NULL;
	uint8_t bytes[2 * CAPTURE_RECORD_BYTES + 1];
	struct capture_record r = {};
	size_t size, at = 0, total = 0;

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(capture_open(path, 1 << 20, &c), 0);
	capture_note(c, CAPTURE_RX, bytes, sizeof bytes, 1);
	text = content(state, &size);
	while (at < size) {
		size_t length = strcspn(text + at, "\n");

		assert_int_equal(capture_parse(text + at, length, &r), 0);
		assert_memory_equal(r.bytes, bytes + total, r.size);
		total += r.size;
		at += length + 1;
	}
	assert_int_equal(total, sizeof bytes);
}

static void test_a_full_file_ends_with_a_line_and_grows_no_more(void **state)
{
	for (uint64_t max = 0; max < 300; max++) {
		_cleanup_(capture_freep) struct capture *c = NULL;
		_cleanup_free_ char *text = NULL;
		size_t size;

		(void)unlink(path);
		assert_int_equal(capture_open(path, max, &c), 0);
		for (int i = 0; i < 20; i++)
			capture_note(c, CAPTURE_RX, "abc", i % 2 ? 1 : 3, i);
		text = content(state, &size);
		assert_true(size <= max);
		assert_true(max < 45 || size > 0);
		assert_true(size == 0 || text[size - 1] == '\n');
	}
}

static void test_a_session_is_continued(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	for (unsigned i = 0; i < 10; i++) {
		_cleanup_(capture_freep) struct capture *c = NULL;

		assert_int_equal(capture_open(path, 100, &c), 0);
		capture_note(c, CAPTURE_OPEN, NULL, 0, 1000);
	}
	text = content(state, &size);
	/* 35 bytes each: what was there before counts. */
	assert_int_equal(size, 70);
}

static void test_a_torn_line_spoils_no_other(void **state)
{
	static const char whole[] = "{\"t_msec\":0,\"dir\":\"open\",\"hex\":\"\"}\n";
	static const char *const torn[] = { "", "{", "{\"t_msec\":1,\"dir\":\"rx\",\"hex\":\"00" };

	for (unsigned i = 0; i < ELEMENTSOF(torn) * 2; i++) {
		const char *before = i % 2 ? whole : "";
		_cleanup_(capture_freep) struct capture *c = NULL;
		_cleanup_free_ char *text = NULL;
		char expected[256];
		FILE *f = fopen(path, "we");
		size_t size;

		assert_non_null(f);
		assert_true(fprintf(f, "%s%s", before, torn[i / 2]) >= 0);
		assert_int_equal(fclose(f), 0);
		assert_int_equal(capture_open(path, 1000, &c), 0);
		capture_note(c, CAPTURE_OPEN, NULL, 0, 5);
		text = content(state, &size);
		(void)snprintf(expected, sizeof expected, "%s%s", before, whole);
		assert_string_equal(text, expected);
	}
}

static void test_what_is_no_file_is_refused(void **state)
{
	const struct scratch *s = *state;
	struct capture *c = NULL;

	assert_int_equal(capture_open("/dev/null", 100, &c), -EINVAL);
	assert_int_equal(capture_open(s->path, 100, &c), -EISDIR);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(capture_open(path, 100, &c), -ELOOP);
	assert_null(c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_session_is_lines),
		TEST(test_lines_are_read_again),
		TEST(test_lines_that_are_no_records),
		TEST(test_long_reads_are_several_records),
		TEST(test_a_full_file_ends_with_a_line_and_grows_no_more),
		TEST(test_a_session_is_continued),
		TEST(test_a_torn_line_spoils_no_other),
		TEST(test_what_is_no_file_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
