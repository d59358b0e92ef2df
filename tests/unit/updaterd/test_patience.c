/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/patience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "scratch.h"
#include "updaterd/conf.h"

static void test_it_ends(void **state)
{
	struct patience p = { 0, 0 };
	int64_t now = conf_build_time_sec() + 1000;

	(void)state;
	assert_int_equal(patience_left_sec(&p, now), 0);
	patience_ask(&p, now, 100);
	assert_int_equal(patience_left_sec(&p, now), 100);
	assert_int_equal(patience_left_sec(&p, now + 99), 1);
	assert_int_equal(patience_left_sec(&p, now + 100), 0);
	assert_int_equal(patience_left_sec(&p, INT64_MAX), 0);
	assert_int_equal(patience_left_sec(&p, now - 1), 0);
}

static void test_the_longest_counts(void **state)
{
	struct patience p = { 0, 0 };
	int64_t now = conf_build_time_sec() + 1000;

	(void)state;
	patience_ask(&p, now, 100);
	patience_ask(&p, now + 10, 0);
	patience_ask(&p, now + 10, 89);
	assert_int_equal(patience_left_sec(&p, now + 10), 90);
	patience_ask(&p, now + 10, 91);
	assert_int_equal(patience_left_sec(&p, now + 10), 91);
	patience_ask(&p, now + 10, UINT64_MAX);
	assert_int_equal(patience_left_sec(&p, now + 10), PATIENCE_MAX_SEC);
}

/* Such a clock may say the same at each start: it would keep the gateway away for ever. */
static void test_a_clock_that_nobody_set(void **state)
{
	struct patience p = { 0, 0 };

	(void)state;
	patience_ask(&p, 100, 100);
	assert_int_equal(patience_left_sec(&p, 101), 0);
}

static void test_it_is_kept(void **state)
{
	struct scratch *s = *state;
	struct patience p = patience_load(s->dirfd);
	int64_t now = conf_build_time_sec() + 1000;

	assert_int_equal(p.until_sec, 0);
	patience_ask(&p, now, 100);
	assert_int_equal(patience_store(s->dirfd, &p), 0);
	p = patience_load(s->dirfd);
	assert_int_equal(patience_left_sec(&p, now), 100);
}

static void test_what_is_damaged_is_nothing(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"1700000000",
		"1700000000 1700000100",
		"1700000000 1700000100\nx",
		"-1 5\n",
		" 1700000000 1700000100\n",
		"99999999999999999999 99999999999999999999\n",
		"1700000000 1700000100\n\n",
		"1700000000 -1700000100\n",
		"1700000000 1700000100 and more than a record can be, so that it is cut off\n"
	};
	struct scratch *s = *state;

	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		scratch_text(s->dirfd, "patience", texts[i], 0600);
		assert_int_equal(patience_load(s->dirfd).until_sec, 0);
	}
	/* A year is not what a server can have asked for. */
	{
		int64_t now = conf_build_time_sec() + 1000;
		struct patience p = { now, now + INT64_C(365) * 86400 };

		assert_int_equal(patience_store(s->dirfd, &p), 0);
		p = patience_load(s->dirfd);
		assert_int_equal(patience_left_sec(&p, now), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_ends),
		cmocka_unit_test(test_the_longest_counts),
		cmocka_unit_test(test_a_clock_that_nobody_set),
		cmocka_unit_test_setup_teardown(test_it_is_kept, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(test_what_is_damaged_is_nothing, scratch_setup,
						scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
