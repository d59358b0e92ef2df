/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bmsd/pack.h"

#define STALE_MSEC 5000

static int setup(void **state)
{
	struct pack *p = NULL;

	assert_int_equal(pack_new("rear", "jbd", STALE_MSEC, &p), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	(void)pack_free(*state);
	return 0;
}

static struct sample sample_of(int capacity_percent)
{
	struct sample s = { .model = "BOARD", .voltage_uv = 52000000, .n_cells = 13 };

	s.capacity_percent = capacity_percent;
	return s;
}

static struct pack_view look(const struct pack *p, int64_t now_msec)
{
	struct pack_view v;

	memset(&v, 0xff, sizeof v);
	pack_look(p, now_msec, &v);
	return v;
}

static void test_nothing_is_known_at_first(void **state)
{
	struct pack_view v = look(*state, 1000);

	assert_string_equal(v.name, "rear");
	assert_string_equal(v.driver, "jbd");
	assert_string_equal(v.model, "");
	assert_false(v.link_up);
	assert_false(v.present);
	assert_int_equal(v.sample.capacity_percent, -1);
	assert_int_equal(v.sample.voltage_uv, 0);
	assert_int_equal(v.age_msec, -1);
	assert_int_equal(v.first_sample_msec, -1);
	assert_int_equal(v.recent_polls, 0);
	assert_int_equal(pack_error_rate_permille(&v), 0);
}

static void test_a_sample_ages_into_unknown(void **state)
{
	struct sample s = sample_of(72);
	struct pack_view v;

	pack_poll_good(*state, &s, 1000);
	v = look(*state, 1000 + STALE_MSEC);
	assert_true(v.link_up);
	assert_true(v.present);
	assert_int_equal(v.age_msec, STALE_MSEC);
	assert_int_equal(v.first_sample_msec, 1000);
	assert_memory_equal(&v.sample, &s, sizeof s);
	v = look(*state, 1001 + STALE_MSEC);
	assert_false(v.present);
	assert_int_equal(v.sample.capacity_percent, -1);
	assert_int_equal(v.sample.voltage_uv, 0);
	assert_int_equal(v.sample.n_cells, 0);
	/* Which board it was is still known. */
	assert_string_equal(v.model, "BOARD");
	s = sample_of(71);
	pack_poll_good(*state, &s, 9000);
	v = look(*state, 9000);
	assert_int_equal(v.sample.capacity_percent, 71);
	assert_int_equal(v.first_sample_msec, 1000);
	assert_int_equal(v.samples_ok, 2);
}

static void test_three_failures_in_a_row_and_the_link_is_down(void **state)
{
	struct sample s = sample_of(72);

	pack_poll_good(*state, &s, 0);
	pack_poll_failed(*state, "silence");
	pack_poll_failed(*state, "silence");
	assert_true(look(*state, 1).link_up);
	pack_poll_good(*state, &s, 1);
	assert_string_equal(look(*state, 1).detail, "");
	pack_poll_failed(*state, "silence");
	pack_poll_failed(*state, "silence");
	assert_true(look(*state, 1).link_up);
	pack_poll_failed(*state, "silence");
	assert_false(look(*state, 1).link_up);
	assert_string_equal(look(*state, 1).detail, "silence");
	/* The sample lives on until it is stale. */
	assert_true(look(*state, 1).present);
}

/* The name of a device is any bytes, and is cut anywhere. */
static void test_a_reason_can_be_said_everywhere(void **state)
{
	char reason[PACK_DETAIL_BYTES * 2];

	for (size_t length = 1; length < sizeof reason - 1; length++) {
		struct pack_view v;

		for (size_t i = 0; i < length; i++)
			reason[i] = "\xc3\xa9\x1b\xff/"[i % 5];
		reason[length] = '\0';
		pack_link_lost(*state, reason);
		v = look(*state, 1000);
		assert_int_equal(strlen(v.detail),
				 length < sizeof v.detail ? length : sizeof v.detail - 1);
		for (const char *at = v.detail; *at; at++)
			assert_true(*at >= ' ' && *at <= '~');
	}
}

static void test_a_refused_sample_keeps_the_link_and_the_older_sample(void **state)
{
	struct sample s = sample_of(72);
	struct pack_view v;

	pack_poll_good(*state, &s, 0);
	for (unsigned i = 0; i < 10; i++)
		pack_poll_refused(*state, SAMPLE_GATE_SUM, "nonsense");
	v = look(*state, STALE_MSEC);
	assert_true(v.link_up);
	assert_true(v.refused);
	assert_true(v.present);
	assert_int_equal(v.sample.capacity_percent, 72);
	assert_int_equal(v.errors.n[LINK_ERROR_IMPLAUSIBLE], 10);
	assert_string_equal(v.detail, "nonsense");
	assert_false(look(*state, STALE_MSEC + 1).present);
	pack_poll_good(*state, &s, 1);
	assert_false(look(*state, 1).refused);
}

static void test_a_pulled_cable_ends_the_sample_at_once(void **state)
{
	struct sample s = sample_of(72);
	struct pack_view v;

	pack_poll_good(*state, &s, 1000);
	pack_link_lost(*state, "no such device");
	v = look(*state, 1001);
	assert_false(v.link_up);
	assert_false(v.present);
	assert_int_equal(v.age_msec, -1);
	assert_string_equal(v.detail, "no such device");
	/* It is not a poll that failed. */
	assert_int_equal(v.polls_failed, 0);
	assert_int_equal(v.recent_polls, 1);
}

static void test_error_rate_looks_back_over_recent_polls(void **state)
{
	struct sample s = sample_of(72);
	struct pack_view v;

	pack_poll_failed(*state, "");
	pack_poll_good(*state, &s, 0);
	pack_poll_good(*state, &s, 0);
	pack_poll_refused(*state, SAMPLE_GATE_SUM, "");
	v = look(*state, 0);
	assert_int_equal(v.recent_polls, 4);
	assert_int_equal(v.recent_failed, 2);
	assert_int_equal(pack_error_rate_permille(&v), 500);
	for (unsigned i = 0; i < PACK_RECENT_POLLS - 1; i++)
		pack_poll_good(*state, &s, 0);
	v = look(*state, 0);
	assert_int_equal(v.recent_polls, PACK_RECENT_POLLS);
	assert_int_equal(v.recent_failed, 1);
	pack_poll_good(*state, &s, 0);
	v = look(*state, 0);
	assert_int_equal(v.recent_failed, 0);
	assert_int_equal(v.polls, PACK_RECENT_POLLS + 4);
	assert_int_equal(v.polls_failed, 2);
}

static void test_long_reasons_are_cut(void **state)
{
	char reason[PACK_DETAIL_BYTES * 2];

	memset(reason, 'x', sizeof reason);
	reason[sizeof reason - 1] = '\0';
	pack_poll_failed(*state, reason);
	assert_int_equal(strlen(look(*state, 0).detail), PACK_DETAIL_BYTES - 1);
}

static void test_gates_are_counted_by_name(void **state)
{
	struct pack_view v;

	pack_poll_refused(*state, SAMPLE_GATE_SUM, "");
	pack_poll_refused(*state, SAMPLE_GATE_SUM, "");
	pack_poll_refused(*state, SAMPLE_GATE_CELL_STEP, "");
	v = look(*state, 0);
	assert_int_equal(v.gates.n[SAMPLE_GATE_SUM], 2);
	assert_int_equal(v.gates.n[SAMPLE_GATE_CELL_STEP], 1);
	assert_int_equal(v.gates.n[SAMPLE_GATE_ASLEEP], 0);
	assert_int_equal(v.errors.n[LINK_ERROR_IMPLAUSIBLE], 3);
	assert_false(v.asleep);
}

static void test_sleep_is_told_from_silence(void **state)
{
	struct sample s = sample_of(72);

	pack_poll_refused(*state, SAMPLE_GATE_ASLEEP, "zeros");
	assert_true(look(*state, 0).asleep);
	assert_true(look(*state, 0).link_up);
	pack_poll_good(*state, &s, 0);
	assert_false(look(*state, 0).asleep);
	for (unsigned i = 0; i < 3; i++)
		pack_poll_asleep(*state, "echo");
	assert_true(look(*state, 0).asleep);
	assert_false(look(*state, 0).link_up);
	assert_int_equal(look(*state, 0).polls_failed, 4);
	pack_poll_failed(*state, "silence");
	assert_false(look(*state, 0).asleep);
}

static void test_the_line_is_not_the_board(void **state)
{
	assert_false(look(*state, 0).line_open);
	pack_link_lost(*state, "no such file");
	/* What was never there was not lost. */
	assert_int_equal(look(*state, 0).lines_lost, 0);
	pack_line_opened(*state);
	assert_true(look(*state, 0).line_open);
	assert_false(look(*state, 0).link_up);
	for (unsigned i = 0; i < 5; i++)
		pack_poll_failed(*state, "silence");
	assert_true(look(*state, 0).line_open);
	pack_link_lost(*state, "unplugged");
	pack_link_lost(*state, "no such file");
	assert_int_equal(look(*state, 0).lines_lost, 1);
	assert_false(look(*state, 0).line_open);
}

static void test_counters_bring_their_age(void **state)
{
	struct sample s = sample_of(72);

	pack_poll_good(*state, &s, 1000);
	assert_int_equal(look(*state, 1000).sample.counters_age_msec, 0);
	s.valid |= 1u << SAMPLE_COUNTERS;
	s.counters_age_msec = SAMPLE_COUNTERS_NEW;
	pack_poll_good(*state, &s, 2000);
	assert_int_equal(look(*state, 2500).sample.counters_age_msec, 500);
	s.counters_age_msec = SAMPLE_COUNTERS_KEPT;
	pack_poll_good(*state, &s, 3000);
	pack_poll_good(*state, &s, 4000);
	assert_int_equal(look(*state, 4000).sample.counters_age_msec, 2000);
	assert_int_equal(look(*state, 4000).age_msec, 0);
	s.counters_age_msec = SAMPLE_COUNTERS_NEW;
	pack_poll_good(*state, &s, 5000);
	assert_int_equal(look(*state, 5001).sample.counters_age_msec, 1);
	/* With the sample they are unknown too. */
	assert_int_equal(look(*state, 5001 + STALE_MSEC).sample.valid, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_is_known_at_first),
		TEST(test_a_sample_ages_into_unknown),
		TEST(test_three_failures_in_a_row_and_the_link_is_down),
		TEST(test_a_reason_can_be_said_everywhere),
		TEST(test_a_refused_sample_keeps_the_link_and_the_older_sample),
		TEST(test_a_pulled_cable_ends_the_sample_at_once),
		TEST(test_error_rate_looks_back_over_recent_polls),
		TEST(test_long_reasons_are_cut),
		TEST(test_gates_are_counted_by_name),
		TEST(test_sleep_is_told_from_silence),
		TEST(test_the_line_is_not_the_board),
		TEST(test_counters_bring_their_age),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
