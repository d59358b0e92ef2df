/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/until.h"

#include "scratch.h"

#include <errno.h>

#define NOW_SEC 1795305600 /* 2026-11-22 00:00:00 UTC */

static void test_reads_times(void **state)
{
	static const struct {
		const char *text;
		uint64_t sec;
	} times[] = {
		{ "2026-11-23", NOW_SEC + 86400 },
		{ "2026-11-23 08:30", NOW_SEC + 86400 + 30600 },
		{ "2026-11-23 08:30:15", NOW_SEC + 86400 + 30615 },
		{ "2026-11-23T08:30:15Z", NOW_SEC + 86400 + 30615 },
		{ "2026-11-23t08:30:15z", NOW_SEC + 86400 + 30615 },
		{ "2026-11-23T09:30:15+01:00", NOW_SEC + 86400 + 30615 },
		{ "2026-11-22T23:00:15-09:30", NOW_SEC + 86400 + 30615 },
		{ "2028-02-29", 1835395200 },
		{ "9999-12-31 23:59:59", 253402300799 },
		{ "+1m", NOW_SEC + 60 },
		{ "+12h", NOW_SEC + 43200 },
		{ "+7d", NOW_SEC + 604800 },
		{ "+2w", NOW_SEC + 1209600 },
		{ "+999999m", NOW_SEC + 59999940 },
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(times); i++) {
		uint64_t sec = 0;

		if (until_parse(times[i].text, NOW_SEC, &sec) != 0 || sec != times[i].sec)
			fail_msg("'%s' is %llu", times[i].text, (unsigned long long)sec);
	}
}

static void test_reads_nothing_else(void **state)
{
	static const char *const bad[] = {
		"",
		"tomorrow",
		"2026",
		"2026-13-01",
		"2026-00-01",
		"2027-02-29",
		"2026-11-31",
		"2026-12-01 24:00",
		"2026-12-01 12:60",
		"2026-12-01T08:00Z",
		"2026-12-01T08:00:00",
		"2026-12-01T08:00:00+1:00",
		"2026-12-01T08:00:61Z",
		"2026-12-01 ",
		"2026-12-01x",
		"2026-12-01T08:00:00Zx",
		" 2026-12-01",
		"26-12-01",
		"2026-12-1",
		"+",
		"+7",
		"+d",
		"+7y",
		"+7dd",
		"+ 7d",
		"+-7d",
		"+1000000m",
		"7d",
		"-7d",
		"2026-12-01T08:00:00+24:00",
	};
	uint64_t sec = 7;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		if (until_parse(bad[i], NOW_SEC, &sec) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	assert_int_equal(sec, 7);
}

static void test_takes_the_future_only(void **state)
{
	uint64_t sec = 7;

	(void)state;
	assert_int_equal(until_parse("2026-11-22", NOW_SEC, &sec), -ERANGE);
	assert_int_equal(until_parse("2026-11-22T00:59:59+01:00", NOW_SEC, &sec), -ERANGE);
	assert_int_equal(until_parse("1969-12-31", 0, &sec), -ERANGE);
	assert_int_equal(until_parse("+0d", NOW_SEC, &sec), -ERANGE);
	assert_int_equal(until_parse("+1m", UINT64_MAX, &sec), -ERANGE);
	assert_int_equal(until_parse("+1m", 253402300799, &sec), -ERANGE);
	assert_int_equal(sec, 7);
	assert_int_equal(until_parse("2026-11-22 00:00:01", NOW_SEC, &sec), 0);
}

static void test_writes_what_it_reads(void **state)
{
	char text[UNTIL_TEXT_BYTES];

	(void)state;
	assert_string_equal(until_format(NOW_SEC, text), "2026-11-22 00:00:00 UTC");
	assert_string_equal(until_format(253402300799, text), "9999-12-31 23:59:59 UTC");
	assert_string_equal(until_format(UINT64_MAX, text), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_times),
		cmocka_unit_test(test_reads_nothing_else),
		cmocka_unit_test(test_takes_the_future_only),
		cmocka_unit_test(test_writes_what_it_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
