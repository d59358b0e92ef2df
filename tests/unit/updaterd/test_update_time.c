/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/update_time.h"

#include <stdio.h>
#include <time.h>

#include "scratch.h"
#include "tuf_repo.h"

#define BUILT_SEC INT64_C(1627689600) /* 2021-07-31 */
#define DAY_SEC	  86400

static const struct tuf_limits limits = TUF_LIMITS_DEFAULT;
static time_t system_clock;
static struct timespec boot_clock;

time_t __wrap_time(time_t *t);
time_t __wrap_time(time_t *t)
{
	if (t)
		*t = system_clock;
	return system_clock;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	assert_true(clock == CLOCK_BOOTTIME);
	*ret = boot_clock;
	return 0;
}

static void keep_timestamp(struct scratch *s)
{
	struct repo *r = repo_new(); /* it expires 2027-01-01 */
	const struct repo_file *file = files_get(&r->files, "timestamp.json");

	scratch_write(s->dirfd, "timestamp.json", file->bytes, file->size, 0644);
	repo_free(r);
}

/* ---- the time of a run ---- */

static void test_is_the_latest_of_three(void **state)
{
	(void)state;
	system_clock = 60;
	assert_int_equal(update_time_begin(0).now_sec, BUILT_SEC);
	assert_int_equal(update_time_begin(BUILT_SEC + 7).now_sec, BUILT_SEC + 7);
	system_clock = BUILT_SEC + 100;
	assert_int_equal(update_time_begin(BUILT_SEC + 7).now_sec, BUILT_SEC + 100);
	assert_int_equal(update_time_begin(BUILT_SEC + 7).clock_sec, BUILT_SEC + 100);
}

/* The clock is set while the run is under way: forwards, backwards. */
static void test_passes_whatever_the_clock_does(void **state)
{
	struct update_time t;

	(void)state;
	system_clock = REPO_NOW_SEC;
	boot_clock = (struct timespec){ .tv_sec = 1000 };
	t = update_time_begin(0);
	boot_clock.tv_sec += 30;
	system_clock += 10 * 365 * (time_t)DAY_SEC;
	assert_int_equal(update_time_passing_sec(&t), REPO_NOW_SEC + 30);
	system_clock = 0;
	assert_int_equal(update_time_passing_sec(&t), REPO_NOW_SEC + 30);
	assert_int_equal(t.now_sec, REPO_NOW_SEC);
}

/* ---- for people ---- */

static void expect_text(time_t clock, int64_t trusted, const char *expected)
{
	char text[UPDATE_TIME_TEXT_BYTES];
	struct update_time t;

	system_clock = clock;
	t = update_time_begin(trusted);
	update_time_describe(&t, text);
	assert_string_equal(text, expected);
}

static void test_says_what_to_look_at(void **state)
{
	(void)state;
	expect_text(
		60, 0,
		"the clock says 1970-01-01 00:01 UTC, which is wrong: this release was built at "
		"2021-07-31 00:00 UTC");
	expect_text(60, REPO_NOW_SEC,
		    "the clock says 1970-01-01 00:01 UTC, which is wrong: metadata was last "
		    "trusted at 2026-09-21 14:13 UTC");
	expect_text(REPO_NOW_SEC + 3650 * (time_t)DAY_SEC, REPO_NOW_SEC,
		    "the clock says 2036-09-18 14:13 UTC, 3650 days after metadata was last "
		    "trusted: is it right?");
	expect_text(BUILT_SEC + 2 * DAY_SEC, 0,
		    "the clock says 2021-08-02 00:00 UTC, 2 days after this release was built: is "
		    "it right?");
	/* Years that no date is made of. */
	expect_text(INT64_MAX, 0,
		    "the clock says 9223372036854775807, 106751991148461 days after this release "
		    "was built: is it right?");
}

static void test_a_long_story_gives_way(void **state)
{
	struct failure failure = { .reason = REASON_EXPIRED };
	struct update_time t;

	(void)state;
	system_clock = REPO_NOW_SEC;
	t = update_time_begin(0);
	memset(failure.text, 'x', sizeof failure.text - 1);
	assert_int_equal(update_time_explain(&t, -ESTALE, &failure), -ESTALE);
	assert_int_equal(strlen(failure.text), sizeof failure.text - 1);
	assert_non_null(strstr(failure.text, "xx; the clock says 2026-09-21"));
	assert_non_null(strstr(failure.text, "is it right?"));
	(void)strcpy(failure.text, "short");
	(void)update_time_explain(&t, 0, &failure);
	assert_true(strncmp(failure.text, "short; the clock says", 21) == 0);
}

/* ---- the time of the last trust ---- */

static void test_only_what_is_signed_vouches(void **state)
{
	struct scratch *s = *state;
	const int64_t expires = INT64_C(1798761600); /* 2027-01-01 */

	assert_int_equal(update_time_vouched(s->dirfd, REPO_NOW_SEC, &limits), 0);
	keep_timestamp(s);
	assert_int_equal(update_time_vouched(s->dirfd, REPO_NOW_SEC, &limits), REPO_NOW_SEC);
	assert_int_equal(update_time_vouched(s->dirfd, expires - 1, &limits), expires - 1);
	assert_int_equal(update_time_vouched(s->dirfd, expires, &limits), 0);
	assert_int_equal(update_time_vouched(s->dirfd, INT64_MAX, &limits), 0);
	assert_int_equal(update_time_vouched(s->dirfd, -1, &limits), 0);
	scratch_text(s->dirfd, "timestamp.json", "", 0644);
	assert_int_equal(update_time_vouched(s->dirfd, REPO_NOW_SEC, &limits), 0);
	scratch_text(s->dirfd, "timestamp.json", "{\"signed\":{\"expires\":\"2099", 0644);
	assert_int_equal(update_time_vouched(s->dirfd, REPO_NOW_SEC, &limits), 0);
}

static void test_record(void **state)
{
	struct scratch *s = *state;

	keep_timestamp(s);
	assert_int_equal(update_time_load(s->dirfd, &limits), 0);
	assert_int_equal(update_time_store(s->dirfd, REPO_NOW_SEC), 0);
	assert_int_equal(update_time_load(s->dirfd, &limits), REPO_NOW_SEC);
	assert_int_equal(update_time_store(s->dirfd, REPO_NOW_SEC + 1), 0);
	assert_int_equal(update_time_load(s->dirfd, &limits), REPO_NOW_SEC + 1);
}

static void expect_no_record(struct scratch *s, const char *bytes, size_t size)
{
	scratch_write(s->dirfd, "last-trusted", bytes, size, 0644);
	if (update_time_load(s->dirfd, &limits) != 0)
		fail_msg("believed: %.*s", (int)size, bytes);
}

static void test_damaged_record(void **state)
{
	struct scratch *s = *state;
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	keep_timestamp(s);
	assert_int_equal(update_time_store(s->dirfd, REPO_NOW_SEC), 0);
	assert_int_equal(fs_read_file(s->dirfd, "last-trusted", 4096, &bytes, &size), 0);
	for (size_t at = 0; at < size; at++) {
		char right = bytes[at];

		expect_no_record(s, bytes, at);
		for (int bit = 0; bit < 8; bit++) {
			bytes[at] = (char)(right ^ (1 << bit));
			expect_no_record(s, bytes, size);
		}
		bytes[at] = right;
	}
	expect_no_record(s, "99999999999999999999999 00000000\n", 33);
	expect_no_record(s, "\n", 1);
	scratch_write(s->dirfd, "last-trusted", bytes, size, 0644);
	assert_int_equal(update_time_load(s->dirfd, &limits), REPO_NOW_SEC);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_the_latest_of_three),
		cmocka_unit_test(test_passes_whatever_the_clock_does),
		cmocka_unit_test(test_says_what_to_look_at),
		cmocka_unit_test(test_a_long_story_gives_way),
		WITH_SCRATCH(test_only_what_is_signed_vouches),
		WITH_SCRATCH(test_record),
		WITH_SCRATCH(test_damaged_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
