/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/backoff.h"

static void test_waits(void **state)
{
	(void)state;
	/* From nothing to the whole … */
	assert_int_equal(backoff_msec(1, 1000, 0), 0);
	assert_int_equal(backoff_msec(1, 1000, 1000), 1000);
	assert_int_equal(backoff_msec(1, 1000, 1001), 0);
	/* … which doubles, up to a limit. */
	assert_int_equal(backoff_msec(2, 1000, 2000), 2000);
	assert_int_equal(backoff_msec(5, 1000, 16000), 16000);
	assert_int_equal(backoff_msec(8, 1000, BACKOFF_MAX_MSEC), BACKOFF_MAX_MSEC);
	for (unsigned failures = 0; failures < 100; failures++)
		assert_true(backoff_msec(failures, 1000, UINT64_MAX - failures) <=
			    BACKOFF_MAX_MSEC);
	assert_int_equal(backoff_msec(0, 1000, 1000), 1000);
	assert_int_equal(backoff_msec(3, 0, UINT64_MAX), 0);
	assert_true(backoff_msec(3, UINT64_MAX, UINT64_MAX) <= BACKOFF_MAX_MSEC);
}

static void test_random(void **state)
{
	uint64_t first = backoff_random();

	(void)state;
	assert_true(first != backoff_random() || first != backoff_random());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
