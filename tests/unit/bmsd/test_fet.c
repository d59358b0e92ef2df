/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "scratch.h"

#include "bmsd/fet.h"

#define NOW 1700000000

static const struct fet_settings settings = {
	.allowed = true,
	.open_max_ua = 1000000,
	.lease_max_sec = 3600,
};

struct bench {
	struct fet_control control;
	struct sample sample;
	char refusal[FET_REFUSAL_BYTES];
};

/* Both on, nothing flows. */
static struct bench bench_of(const struct fet_settings *s)
{
	struct bench b = {
		.sample = { .valid = UINT32_MAX, .charge_fet = true, .discharge_fet = true }
	};

	fet_init(&b.control, s, NULL, 0);
	return b;
}

static int ask(struct bench *b, enum fet which, bool on, uint64_t lease_sec)
{
	struct fet_request request = { which, on, "service", lease_sec };

	return fet_request(&b->control, &request, &b->sample, true, NOW, b->refusal);
}

static bool is_locked(const struct bench *b, enum fet which)
{
	return b->control.memory.locks[which].locked;
}

static struct fet_action step(struct bench *b, uint64_t dt_msec)
{
	return fet_step(&b->control, &b->sample, dt_msec);
}

/* Commands sent in so many seconds. */
static unsigned count_sent(struct bench *b, unsigned seconds)
{
	unsigned n = 0;

	for (unsigned i = 0; i < seconds; i++)
		n += step(b, 1000).send;
	return n;
}

static void test_off_is_held_off(void **state)
{
	struct bench b = bench_of(&settings);
	struct fet_action action;

	(void)state;
	assert_int_equal(ask(&b, FET_DISCHARGE, false, 60), 0);
	assert_true(is_locked(&b, FET_DISCHARGE));
	assert_int_equal(b.control.memory.locks[FET_DISCHARGE].since_sec, NOW);
	assert_string_equal(b.control.memory.locks[FET_DISCHARGE].reason, "service");
	action = step(&b, 0);
	assert_true(action.send);
	assert_int_equal(action.which, FET_DISCHARGE);
	assert_false(action.on);
	b.sample.discharge_fet = false;
	assert_int_equal(count_sent(&b, 30), 0);
	/* The board forgot. */
	b.sample.discharge_fet = true;
	assert_true(step(&b, 1000).send);
}

static void test_never_opened_under_current(void **state)
{
	static const int64_t currents[] = { -1000001, 1000001, -80000000, 50000000 };
	struct bench b = bench_of(&settings);

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(currents); i++) {
		b.sample.current_ua = currents[i];
		assert_int_equal(ask(&b, FET_DISCHARGE, false, 60), -EBUSY);
		assert_non_null(strstr(b.refusal, "flowing"));
		assert_false(is_locked(&b, FET_DISCHARGE));
	}
	b.sample.current_ua = 0;
	b.sample.valid &= ~(1u << SAMPLE_CURRENT);
	assert_int_equal(ask(&b, FET_DISCHARGE, false, 60), -EBUSY);
	assert_int_equal(ask(&b, FET_CHARGE, false, 60), -EBUSY);
	assert_string_equal(b.refusal, "the current is not known");
	assert_int_equal(step(&b, 1000).send, false);
}

/* Asked for at rest, and then somebody rides off: the command waits. */
static void test_the_current_counts_at_the_moment_of_sending(void **state)
{
	struct bench b = bench_of(&settings);

	(void)state;
	assert_int_equal(ask(&b, FET_DISCHARGE, false, 0), 0);
	b.sample.current_ua = -30000000;
	assert_int_equal(count_sent(&b, 600), 0);
	b.sample.current_ua = 30000000;
	assert_int_equal(count_sent(&b, 600), 0);
	assert_false(fet_step(&b.control, NULL, 1000).send);
	b.sample.valid &= ~(1u << SAMPLE_CURRENT);
	assert_int_equal(count_sent(&b, 600), 0);
	b.sample.valid = UINT32_MAX;
	b.sample.current_ua = -1000000;
	assert_true(step(&b, 1000).send);
}

static void test_charging_may_be_ended_while_it_charges(void **state)
{
	struct bench b = bench_of(&settings);

	(void)state;
	b.sample.current_ua = 15000000;
	assert_int_equal(ask(&b, FET_CHARGE, false, 60), 0);
	assert_true(step(&b, 0).send);
	assert_int_equal(ask(&b, FET_CHARGE, true, 0), 0);
	b.sample.current_ua = -15000000;
	assert_int_equal(ask(&b, FET_CHARGE, false, 60), -EBUSY);
}

static void test_a_lease_is_over(void **state)
{
	struct bench b = bench_of(&settings);
	struct fet_action action;

	(void)state;
	assert_int_equal(ask(&b, FET_CHARGE, false, 60), 0);
	assert_true(step(&b, 0).send);
	b.sample.charge_fet = false;
	for (unsigned i = 0; i < 59; i++)
		assert_int_equal(step(&b, 1000).change, FET_CHANGE_NONE);
	action = step(&b, 1000);
	assert_int_equal(action.change, FET_CHANGE_LEASE_OVER);
	assert_int_equal(action.changed, FET_CHARGE);
	assert_false(is_locked(&b, FET_CHARGE));
	action = step(&b, 0);
	assert_true(action.send);
	assert_true(action.on);
	b.sample.charge_fet = true;
	assert_int_equal(count_sent(&b, 60), 0);
}

static void test_two_leases_end_together(void **state)
{
	struct bench b = bench_of(&settings);

	(void)state;
	assert_int_equal(ask(&b, FET_CHARGE, false, 10), 0);
	assert_int_equal(ask(&b, FET_DISCHARGE, false, 10), 0);
	assert_int_equal(step(&b, 10000).changed, FET_CHARGE);
	assert_int_equal(step(&b, 0).changed, FET_DISCHARGE);
	assert_int_equal(step(&b, 0).change, FET_CHANGE_NONE);
}

static void test_without_an_end(void **state)
{
	struct bench b = bench_of(&settings);

	(void)state;
	assert_int_equal(ask(&b, FET_CHARGE, false, 0), 0);
	assert_int_equal(step(&b, UINT64_C(1000) * 86400 * 365).change, FET_CHANGE_NONE);
	assert_true(is_locked(&b, FET_CHARGE));
	assert_int_equal(ask(&b, FET_CHARGE, true, 0), 0);
	assert_false(is_locked(&b, FET_CHARGE));
}

static void test_a_restart_keeps_the_lock(void **state)
{
	struct bench b = bench_of(&settings), later = bench_of(&settings);

	(void)state;
	assert_int_equal(ask(&b, FET_DISCHARGE, false, 100), 0);
	fet_init(&later.control, &settings, &b.control.memory, 40);
	assert_true(is_locked(&later, FET_DISCHARGE));
	assert_int_equal(later.control.memory.locks[FET_DISCHARGE].lease_left_msec, 60000);
	/* The board was reset meanwhile. */
	assert_true(step(&later, 0).send);
	fet_init(&later.control, &settings, &b.control.memory, 1000);
	assert_int_equal(step(&later, 0).change, FET_CHANGE_LEASE_OVER);
}

/* The lease is over, and before the board was told there is another start. */
static void test_a_restart_gives_back(void **state)
{
	struct bench b = bench_of(&settings), later = bench_of(&settings);

	(void)state;
	assert_int_equal(ask(&b, FET_CHARGE, false, 10), 0);
	assert_int_equal(fet_step(&b.control, NULL, 10000).change, FET_CHANGE_LEASE_OVER);
	assert_true(b.control.memory.give_back[FET_CHARGE]);
	fet_init(&later.control, &settings, &b.control.memory, 0);
	later.sample.charge_fet = false;
	assert_true(step(&later, 0).on);
	later.sample.charge_fet = true;
	assert_int_equal(count_sent(&later, 60), 0);
	assert_false(later.control.memory.give_back[FET_CHARGE]);
}

static void test_a_lock_that_is_not_allowed_any_more(void **state)
{
	struct fet_settings never = settings;
	struct bench b = bench_of(&never);

	(void)state;
	assert_int_equal(ask(&b, FET_DISCHARGE, false, 0), 0);
	never.allowed = false;
	assert_int_equal(count_sent(&b, 600), 0);
	assert_true(is_locked(&b, FET_DISCHARGE));
}

static void test_what_did_not_go_out_is_no_try(void **state)
{
	struct bench b = bench_of(&settings);

	(void)state;
	assert_int_equal(ask(&b, FET_DISCHARGE, false, 600), 0);
	for (unsigned i = 0; i < 10; i++) {
		assert_true(step(&b, 1000).send);
		fet_unsent(&b.control, FET_DISCHARGE);
		assert_false(step(&b, 0).send);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_true(step(&b, 5000).send);
	assert_int_equal(step(&b, 5000).change, FET_CHANGE_FAILED);
	/* From then on it is asserted now and then; that is no news again. */
	assert_true(step(&b, 60000).send);
	fet_unsent(&b.control, FET_DISCHARGE);
	assert_true(step(&b, 1000).send);
	assert_int_equal(step(&b, 0).change, FET_CHANGE_NONE);
}

static void test_a_board_that_does_not_obey(void **state)
{
	struct bench b = bench_of(&settings);
	unsigned sent = 0, failed = 0;

	(void)state;
	assert_int_equal(ask(&b, FET_DISCHARGE, false, 0), 0);
	for (unsigned i = 0; i < 600; i++) {
		struct fet_action action = step(&b, 1000);

		sent += action.send;
		failed += action.change == FET_CHANGE_FAILED;
	}
	assert_int_equal(failed, 1);
	assert_true(sent >= 10 && sent <= 14);
	/* Given back, and the board keeps it off for its own reasons: its matter. */
	assert_int_equal(ask(&b, FET_DISCHARGE, true, 0), 0);
	b.sample.discharge_fet = false;
	sent = count_sent(&b, 600);
	assert_int_equal(sent, 3);
}

static void test_refused_with_a_reason(void **state)
{
	struct fet_settings never = settings;
	struct bench b = bench_of(&never);
	struct fet_request request = { FET_CHARGE, false, "", 10 };

	(void)state;
	assert_int_equal(ask(&b, FET_CHARGE, false, 3601), -EINVAL);
	assert_int_equal(fet_request(&b.control, &request, &b.sample, true, NOW, b.refusal),
			 -EINVAL);
	request.reason = NULL;
	assert_int_equal(fet_request(&b.control, &request, &b.sample, true, NOW, b.refusal),
			 -EINVAL);
	request.reason = "service";
	assert_int_equal(fet_request(&b.control, &request, &b.sample, false, NOW, b.refusal),
			 -EOPNOTSUPP);
	request.which = FET_COUNT;
	assert_int_equal(fet_request(&b.control, &request, &b.sample, true, NOW, b.refusal),
			 -EINVAL);
	assert_int_equal(ask(&b, FET_CHARGE, false, 60), 0);
	/* Not allowed any more: what is locked can be given back, nothing else. */
	never.allowed = false;
	assert_int_equal(ask(&b, FET_DISCHARGE, false, 60), -EPERM);
	assert_int_equal(ask(&b, FET_DISCHARGE, true, 60), -EPERM);
	assert_int_equal(ask(&b, FET_CHARGE, true, 0), 0);
}

static void test_a_switch_that_nobody_sees_is_left_alone(void **state)
{
	struct bench b = bench_of(&settings);

	(void)state;
	assert_int_equal(ask(&b, FET_DISCHARGE, false, 0), 0);
	b.sample.valid &= ~(1u << SAMPLE_DISCHARGE_FET);
	assert_int_equal(count_sent(&b, 100), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_off_is_held_off),
		cmocka_unit_test(test_never_opened_under_current),
		cmocka_unit_test(test_the_current_counts_at_the_moment_of_sending),
		cmocka_unit_test(test_charging_may_be_ended_while_it_charges),
		cmocka_unit_test(test_a_lease_is_over),
		cmocka_unit_test(test_two_leases_end_together),
		cmocka_unit_test(test_without_an_end),
		cmocka_unit_test(test_a_restart_keeps_the_lock),
		cmocka_unit_test(test_a_restart_gives_back),
		cmocka_unit_test(test_a_lock_that_is_not_allowed_any_more),
		cmocka_unit_test(test_what_did_not_go_out_is_no_try),
		cmocka_unit_test(test_a_board_that_does_not_obey),
		cmocka_unit_test(test_refused_with_a_reason),
		cmocka_unit_test(test_a_switch_that_nobody_sees_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
