/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "queryd/range.h"

static void expect_part(const char *header, uint64_t size, uint64_t first, uint64_t last)
{
	uint64_t f = 99, l = 99;

	assert_int_equal(range_parse(header, size, &f, &l), RANGE_PART);
	assert_int_equal(f, first);
	assert_int_equal(l, last);
}

static void expect_untouched(const char *header, uint64_t size, enum range_kind kind)
{
	uint64_t f = 99, l = 98;

	assert_int_equal(range_parse(header, size, &f, &l), kind);
	assert_int_equal(f, 99);
	assert_int_equal(l, 98);
}

static void test_parts(void **state)
{
	(void)state;
	expect_part("bytes=0-0", 1000, 0, 0);
	expect_part("bytes=0-999", 1000, 0, 999);
	expect_part("bytes=100-199", 1000, 100, 199);
	expect_part("bytes=999-999", 1000, 999, 999);
	expect_part("bytes=500-", 1000, 500, 999);
	expect_part("bytes=500-5000", 1000, 500, 999);
	expect_part("Bytes=1-2", 1000, 1, 2);
	expect_part("bytes= 1-2", 1000, 1, 2);
	expect_part("bytes=5-99999999999999999999999999", 1000, 5, 999);
	expect_part("bytes=18446744073709551613-", UINT64_MAX, UINT64_MAX - 2, UINT64_MAX - 1);
}

static void test_suffixes(void **state)
{
	(void)state;
	expect_part("bytes=-1", 1000, 999, 999);
	expect_part("bytes=-100", 1000, 900, 999);
	expect_part("bytes=-1000", 1000, 0, 999);
	expect_part("bytes=-5000", 1000, 0, 999);
	expect_part("bytes=-99999999999999999999999999", 1000, 0, 999);
}

static void test_unsatisfiable(void **state)
{
	(void)state;
	expect_untouched("bytes=1000-", 1000, RANGE_UNSATISFIABLE);
	expect_untouched("bytes=1000-1001", 1000, RANGE_UNSATISFIABLE);
	expect_untouched("bytes=18446744073709551615-", 1000, RANGE_UNSATISFIABLE);
	expect_untouched("bytes=18446744073709551616-", 1000, RANGE_UNSATISFIABLE);
	expect_untouched("bytes=99999999999999999999999999-", 1000, RANGE_UNSATISFIABLE);
	expect_untouched("bytes=-0", 1000, RANGE_UNSATISFIABLE);
	expect_untouched("bytes=0-", 0, RANGE_UNSATISFIABLE);
	expect_untouched("bytes=-5", 0, RANGE_UNSATISFIABLE);
}

static void test_ignored(void **state)
{
	static const char *const ignored[] = {
		"",	     "bytes",	    "bytes=",	  "bytes=-",
		"bytes=a-b", "bytes=5-4",   "bytes=1-2x", "bytes=1-2,4-5",
		"bytes=1,2", "bytes=1",	    "bytes=--1",  "bytes=-1-",
		"lines=1-2", "bytes=0x1-2", "bytes=+1-2", "bytes = 1-2",
		"bytes=-1x", "bytes=1- 2",  "bytes=1-2 ",
	};

	(void)state;
	expect_untouched(NULL, 1000, RANGE_WHOLE);
	for (size_t i = 0; i < ELEMENTSOF(ignored); i++)
		expect_untouched(ignored[i], 1000, RANGE_WHOLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_suffixes),
		cmocka_unit_test(test_unsatisfiable),
		cmocka_unit_test(test_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
