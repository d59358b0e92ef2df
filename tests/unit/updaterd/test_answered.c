/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/answered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"
#include "updaterd/conf.h"

#define SEC	INT64_C(1800000000)
#define SEC_CRC "5478b1d0"

static void test_a_day_and_an_hour(void **state)
{
	int64_t answered = conf_build_time_sec() + 1000;

	(void)state;
	assert_false(answered_is_missed(answered, answered));
	assert_false(answered_is_missed(answered, answered + 86400));
	assert_false(answered_is_missed(answered, answered + ANSWERED_MAX_AGE_SEC));
	assert_true(answered_is_missed(answered, answered + ANSWERED_MAX_AGE_SEC + 1));
	assert_true(answered_is_missed(answered, INT64_MAX));
	assert_int_equal(ANSWERED_MAX_AGE_SEC, 25 * 3600);
}

static void test_a_clock_that_lies(void **state)
{
	int64_t built = conf_build_time_sec();

	(void)state;
	assert_true(answered_is_missed(0, built + 1000));
	/* From the future, if only by a second; and by a clock that nobody has set. */
	assert_true(answered_is_missed(built + 1000, built + 999));
	assert_true(answered_is_missed(built + 1000, 60));
	assert_true(answered_is_missed(built + 1000, INT64_MIN));
	assert_true(answered_is_missed(INT64_MAX, built + 1000));
	/* Such a clock may say the same at each start. */
	assert_true(answered_is_missed(60, 61));
	assert_true(answered_is_missed(0, 0));
	assert_true(answered_is_missed(built - 1, built));
	assert_false(answered_is_missed(built, built));
}

static void test_it_is_kept(void **state)
{
	struct scratch *s = *state;
	char name[] = "/nowhere";

	assert_int_equal(answered_load(s->dirfd), 0);
	assert_int_equal(answered_store(s->dirfd, SEC), 0);
	assert_int_equal(answered_load(s->dirfd), SEC);
	assert_int_equal(answered_load_from(s->path), SEC);
	assert_int_equal(answered_load_from(name), 0);
	assert_int_equal(answered_store(s->dirfd, SEC + 1), 0);
	assert_int_equal(answered_load(s->dirfd), SEC + 1);
}

/* None is a little off: each would be a time if it were not looked at closely. */
static void test_what_is_damaged_is_none(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"1800000000",
		"1800000000\n",
		"1800000000 " SEC_CRC,
		"1800000001 " SEC_CRC "\n",
		"1800000000 5478b1d1\n",
		"1800000000 5478B1D0\n",
		"01800000000 " SEC_CRC "\n",
		" 1800000000 " SEC_CRC "\n",
		"+1800000000 " SEC_CRC "\n",
		"1800000000  " SEC_CRC "\n",
		"1800000000 " SEC_CRC "\n\n",
		"1800000000 " SEC_CRC "\nand more than a record can be, so that it is cut off\n"
	};
	struct scratch *s = *state;

	scratch_text(s->dirfd, "answered", "1800000000 " SEC_CRC "\n", 0600);
	assert_int_equal(answered_load(s->dirfd), SEC);
	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		scratch_text(s->dirfd, "answered", texts[i], 0600);
		assert_int_equal(answered_load(s->dirfd), 0);
	}
}

/* The installer reads it too, where an agent that was taken over may write what it wants. */
static void test_what_is_no_time_or_no_file_is_none(void **state)
{
	static const int64_t times[] = { -1, INT64_MIN, INT64_C(253402300800), INT64_MAX };
	struct scratch *s = *state;

	for (size_t i = 0; i < ELEMENTSOF(times); i++) {
		assert_int_equal(answered_store(s->dirfd, times[i]), 0);
		assert_int_equal(answered_load(s->dirfd), 0);
	}
	assert_int_equal(answered_store(s->dirfd, INT64_C(253402300799)), 0);
	assert_int_equal(answered_load(s->dirfd), INT64_C(253402300799));
	assert_int_equal(renameat(s->dirfd, "answered", s->dirfd, "elsewhere"), 0);
	assert_int_equal(symlinkat("elsewhere", s->dirfd, "answered"), 0);
	assert_int_equal(answered_load(s->dirfd), 0);
	assert_int_equal(unlinkat(s->dirfd, "answered", 0), 0);
	assert_int_equal(mkfifoat(s->dirfd, "answered", 0600), 0);
	assert_int_equal(answered_load(s->dirfd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
		cmocka_unit_test(test_a_day_and_an_hour),
		cmocka_unit_test(test_a_clock_that_lies),
		TEST(test_it_is_kept),
		TEST(test_what_is_damaged_is_none),
		TEST(test_what_is_no_time_or_no_file_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
