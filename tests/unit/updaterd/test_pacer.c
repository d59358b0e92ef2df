/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "updaterd/pacer.h"

static void test_runs_grow_and_shrink(void **state)
{
	struct pacer p;

	(void)state;
	pacer_begin(&p, 8, 100);
	assert_int_equal(p.length, 8);
	pacer_grow(&p);
	assert_int_equal(p.length, 32);
	pacer_grow(&p);
	assert_int_equal(p.length, 100);
	pacer_grow(&p);
	assert_int_equal(p.length, 100);
	pacer_shrink(&p);
	assert_int_equal(p.length, 25);
	for (int i = 0; i < 9; i++)
		pacer_shrink(&p);
	assert_int_equal(p.length, 1);
	pacer_grow(&p);
	assert_int_equal(p.length, 4);
}

static void test_limits(void **state)
{
	struct pacer p;

	(void)state;
	pacer_begin(&p, 0, 100);
	assert_int_equal(p.length, 1);
	pacer_begin(&p, 8, 1);
	assert_int_equal(p.length, 1);
	pacer_grow(&p);
	assert_int_equal(p.length, 1);
	pacer_begin(&p, 8, 0);
	for (int i = 0; i < 40; i++)
		pacer_grow(&p);
	assert_int_equal(p.length, UINT32_MAX);
}

static void test_waits(void **state)
{
	(void)state;
	/* From nothing to the whole … */
	assert_int_equal(pacer_wait_msec(1, 1000, 0, 0), 0);
	assert_int_equal(pacer_wait_msec(1, 1000, 0, 1000), 1000);
	assert_int_equal(pacer_wait_msec(1, 1000, 0, 1001), 0);
	/* … which doubles, up to a limit. */
	assert_int_equal(pacer_wait_msec(2, 1000, 0, 2000), 2000);
	assert_int_equal(pacer_wait_msec(5, 1000, 0, 16000), 16000);
	assert_int_equal(pacer_wait_msec(6, 1000, 0, PACER_WAIT_MAX_MSEC), PACER_WAIT_MAX_MSEC);
	for (unsigned failures = 0; failures < 100; failures++)
		assert_true(pacer_wait_msec(failures, 1000, 0, UINT64_MAX - failures) <=
			    PACER_WAIT_MAX_MSEC);
	assert_int_equal(pacer_wait_msec(0, 1000, 0, 1000), 1000);
	assert_int_equal(pacer_wait_msec(3, 0, 0, UINT64_MAX), 0);
	assert_true(pacer_wait_msec(3, UINT64_MAX, 0, UINT64_MAX) <= PACER_WAIT_MAX_MSEC);
	/* What the server asks for is the least. */
	assert_int_equal(pacer_wait_msec(1, 1000, 86400, 0), 86400000);
	assert_int_equal(pacer_wait_msec(1, 1000, 17, 500), 17500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs_grow_and_shrink),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
