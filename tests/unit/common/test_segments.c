/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "common/fsutil.h"
#include "common/segments.h"

static int file_of(const void *bytes, size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, bytes, size), 0);
	return fd;
}

/* A list with this header and n arbitrary hashes. */
static int parse_with(const char *header, size_t n_hashes, struct segments **ret)
{
	char bytes[1024] = { 0 };
	size_t length = strlen(header), size = length + n_hashes * SHA256_BYTES;

	assert_true(size <= sizeof bytes);
	memcpy(bytes, header, length);
	return segments_parse(bytes, size, ret);
}

static void test_round_trip(void **state)
{
	_cleanup_(segments_freep) struct segments *made = NULL, *read = NULL;
	_cleanup_free_ char *list = NULL;
	_cleanup_close_ int fd = FD_NONE;
	uint8_t file[1500], hash[SHA256_BYTES];
	size_t size;

	(void)state;
	for (size_t i = 0; i < sizeof file; i++)
		file[i] = (uint8_t)(i * 7 + i / 256);
	fd = file_of(file, sizeof file);
	assert_int_equal(segments_from_fd(fd, 512, &made), 0);
	assert_int_equal(made->count, 3);
	assert_int_equal(segments_format(made, &list, &size), 0);
	assert_int_equal(size, strlen("bms-segments 1 512 1500\n") + 3 * SHA256_BYTES);
	assert_memory_equal(list, "bms-segments 1 512 1500\n", 24);
	assert_int_equal(digest_sha256(file + 512, 512, hash), 0);
	assert_memory_equal(list + 24 + SHA256_BYTES, hash, sizeof hash);

	assert_int_equal(segments_parse(list, size, &read), 0);
	assert_int_equal(read->segment_bytes, 512);
	assert_int_equal(read->file_bytes, 1500);
	assert_int_equal(read->count, 3);
	assert_memory_equal(read->sha256, made->sha256, 3 * SHA256_BYTES);
	assert_int_equal(segments_offset(read, 2), 1024);
	assert_int_equal(segments_length(read, 1), 512);
	assert_int_equal(segments_length(read, 2), 476);
	assert_int_equal(segments_length(read, 3), 0);
	assert_int_equal(segments_length(read, UINT32_MAX), 0);
}

static void test_checks_a_segment(void **state)
{
	_cleanup_(segments_freep) struct segments *s = NULL;
	_cleanup_close_ int fd = FD_NONE;
	char file[1024 + 100];

	(void)state;
	memset(file, 'x', sizeof file);
	file[600] = 'y';
	fd = file_of(file, sizeof file);
	assert_int_equal(segments_from_fd(fd, 512, &s), 0);
	assert_int_equal(segments_check(s, 0, file, 512), 0);
	assert_int_equal(segments_check(s, 1, file + 512, 512), 0);
	assert_int_equal(segments_check(s, 2, file + 1024, 100), 0);

	assert_int_equal(segments_check(s, 0, file + 512, 512), -EBADMSG); /* of another place */
	assert_int_equal(segments_check(s, 0, file, 511), -EBADMSG);
	assert_int_equal(segments_check(s, 2, file, 512), -EBADMSG);
	assert_int_equal(segments_check(s, 3, file, 0), -EBADMSG);
	assert_int_equal(segments_check(s, UINT32_MAX, file, 512), -EBADMSG);
	file[511] ^= 1;
	assert_int_equal(segments_check(s, 0, file, 512), -EBADMSG);
}

static void test_counts_at_the_edges(void **state)
{
	static const struct {
		size_t file_bytes;
		uint32_t count, last_bytes;
	} cases[] = {
		{ 1, 1, 1 }, { 511, 1, 511 }, { 512, 1, 512 }, { 513, 2, 1 }, { 1024, 2, 512 }
	};
	static const char file[1024];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_(segments_freep) struct segments *s = NULL;
		_cleanup_close_ int fd = file_of(file, cases[i].file_bytes);

		assert_int_equal(segments_from_fd(fd, 512, &s), 0);
		assert_int_equal(s->count, cases[i].count);
		assert_int_equal(segments_length(s, s->count - 1), cases[i].last_bytes);
	}
}

static void test_sizes_that_cannot_be(void **state)
{
	_cleanup_(segments_freep) struct segments *s = NULL;
	_cleanup_close_ int empty = file_of("", 0), one = file_of("x", 1);

	(void)state;
	assert_int_equal(segments_from_fd(empty, 512, &s), -EINVAL);
	assert_int_equal(segments_from_fd(one, 511, &s), -EINVAL);
	assert_int_equal(segments_from_fd(one, 0, &s), -EINVAL);
	assert_int_equal(segments_from_fd(one, SEGMENT_MAX_BYTES + 1, &s), -EINVAL);
	assert_int_equal(segments_from_fd(FD_NONE, 512, &s), -EBADF);
	assert_null(s);
	assert_int_equal(segments_from_fd(one, SEGMENT_MAX_BYTES, &s), 0);
}

static void test_refuses_other_lists(void **state)
{
	static const struct {
		const char *header;
		size_t n_hashes;
	} cases[] = {
		{ "", 0 },
		{ "bms-segments 1 512 1500", 3 },
		{ "bms-segments 1 512 1500 \n", 3 },
		{ "bms-segments 1 512  1500\n", 3 },
		{ "bms-segments 1 5121500\n", 3 },
		{ "bms-segments 1 0512 1500\n", 3 },
		{ "bms-segments 1 512 01500\n", 3 },
		{ "bms-segments 1 +512 1500\n", 3 },
		{ "bms-segments 1 512 1500\r\n", 3 },
		{ "bms-segments 2 512 1500\n", 3 },
		{ "BMS-segments 1 512 1500\n", 3 },
		{ "bms-segments 1 512 1500\n", 2 },
		{ "bms-segments 1 512 1500\n", 4 },
		{ "bms-segments 1 512 1500\nx", 3 },
		{ "bms-segments 1 512 1536\n", 2 },
		{ "bms-segments 1 512 1537\n", 3 },
		{ "bms-segments 1 512 0\n", 0 },
		{ "bms-segments 1 0 1500\n", 3 },
		{ "bms-segments 1 0 0\n", 0 },
		{ "bms-segments 1 511 1500\n", 3 },
		{ "bms-segments 1 1048577 1500\n", 1 },
		/* More than 64 bits, in all senses. */
		{ "bms-segments 1 512 18446744073709551615\n", 0 },
		{ "bms-segments 1 512 18446744073709553116\n", 3 },
		{ "bms-segments 1 18446744073709552128 1500\n", 3 },
		{ "bms-segments 1 4294967808 1500\n", 1 },
		{ "bms-segments 1 99999999999999999999999999999999999999999999999999999999999\n",
		  3 },
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_(segments_freep) struct segments *s = NULL;

		if (parse_with(cases[i].header, cases[i].n_hashes, &s) != -EBADMSG)
			fail_msg("case %zu was accepted: %s", i, cases[i].header);
		assert_null(s);
	}
}

/* A short list must not make us reserve memory for what it claims. */
static void test_claims_are_checked_before_allocation(void **state)
{
	_cleanup_(segments_freep) struct segments *s = NULL;

	(void)state;
	assert_int_equal(parse_with("bms-segments 1 512 2199023255040\n", 1, &s), -EBADMSG);
	assert_int_equal(parse_with("bms-segments 1 512 9007199254740991\n", 1, &s), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_checks_a_segment),
		cmocka_unit_test(test_counts_at_the_edges),
		cmocka_unit_test(test_sizes_that_cannot_be),
		cmocka_unit_test(test_refuses_other_lists),
		cmocka_unit_test(test_claims_are_checked_before_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
