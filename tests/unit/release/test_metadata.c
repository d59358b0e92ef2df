/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "release/metadata.h"
#include "scratch.h"

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
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times_come_back),
		cmocka_unit_test(test_what_is_no_time_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
