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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs_grow_and_shrink),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
