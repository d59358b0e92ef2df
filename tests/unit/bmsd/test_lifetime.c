/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bmsd/lifetime.h"

static struct sample sample_of(int64_t current_ma, int64_t decicelsius)
{
	struct sample s = { .valid = 1u << SAMPLE_VOLTAGE | 1u << SAMPLE_CURRENT |
				     1u << SAMPLE_CELLS | 1u << SAMPLE_TEMPERATURES,
			    .voltage_uv = 50000000,
			    .current_ua = current_ma * 1000,
			    .n_cells = 2,
			    .cells_uv = { 3600000, 3700000 },
			    .n_temperatures = 2 };

	s.temperatures_decicelsius[0] = decicelsius;
	s.temperatures_decicelsius[1] = decicelsius - 5;
	return s;
}

/* An hour with 10 A out and one with 4 A in, at 50 V, in steps of a second. */
static void test_counts_charge_and_energy(void **state)
{
	struct lifetime l = { 0 };
	struct sample out = sample_of(-10000, 250), in = sample_of(4000, 250);

	(void)state;
	for (unsigned i = 0; i < 3600; i++)
		lifetime_step(&l, &out, 5500, 1000);
	for (unsigned i = 0; i < 3600; i++)
		lifetime_step(&l, &in, 9999, 1000);
	assert_in_range(l.discharged_uah, 9999999, 10000000);
	assert_in_range(l.charged_uah, 3999999, 4000000);
	assert_in_range(l.discharged_uwh, 499999999, 500000000);
	assert_in_range(l.charged_uwh, 199999999, 200000000);
	assert_int_equal(l.watched_sec, 7200);
	/* 20 … 30 degrees is the fifth bin. */
	assert_int_equal(lifetime_bin_celsius(4), 20);
	assert_int_equal(l.in_bin_sec[4][5], 3600);
	assert_int_equal(l.in_bin_sec[4][9], 3600);
	assert_int_equal(l.charge_current_max_ua, 4000000);
	assert_int_equal(l.discharge_current_max_ua, 10000000);
}

/* Less than a unit in each step is not lost: 1 mA for 100 s is 27.8 uAh. */
static void test_loses_no_fraction(void **state)
{
	struct lifetime l = { 0 };
	struct sample s = sample_of(1, 250);

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		lifetime_step(&l, &s, -1, 100);
	assert_int_equal(l.charged_uah, 27);
	assert_int_equal(l.watched_sec, 100);
}

static void test_bins_have_ends(void **state)
{
	static const struct {
		int64_t decicelsius;
		unsigned bin;
	} cases[] = { { -400, 0 }, { -101, 0 }, { -100, 1 }, { -1, 1 },
		      { 0, 2 },	   { 599, 7 },	{ 600, 8 },  { 1250, 8 } };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct lifetime l = { 0 };
		struct sample s = sample_of(0, cases[i].decicelsius);

		lifetime_step(&l, &s, 10000, 1000);
		assert_int_equal(l.in_bin_sec[cases[i].bin][9], 1);
	}
	assert_int_equal(lifetime_bin_celsius(0), INT32_MIN);
	assert_int_equal(lifetime_bin_celsius(1), -10);
	assert_int_equal(lifetime_bin_celsius(8), 60);
}

static void test_extremes_widen_only(void **state)
{
	struct lifetime l = { 0 };
	struct sample s = sample_of(0, 250);

	(void)state;
	lifetime_step(&l, &s, 5000, 1000);
	assert_int_equal(l.cell_min_uv, 3600000);
	assert_int_equal(l.cell_max_uv, 3700000);
	assert_int_equal(l.temperature_min_decicelsius, 245);
	s.cells_uv[0] = 2900000;
	lifetime_step(&l, &s, 5000, 1000);
	s.cells_uv[0] = 3650000;
	lifetime_step(&l, &s, 5000, 1000);
	assert_int_equal(l.cell_min_uv, 2900000);
	assert_int_equal(l.cell_max_uv, 3700000);
}

/* Nobody looked: an hour's step does not count as an hour at this current. */
static void test_a_gap_is_not_integrated(void **state)
{
	struct lifetime l = { 0 };
	struct sample s = sample_of(-3600, 250);

	(void)state;
	lifetime_step(&l, &s, 5000, 3600000);
	assert_int_equal(l.discharged_uah, 60000);
	assert_int_equal(l.watched_sec, 60);
}

static void test_merge_takes_the_larger(void **state)
{
	struct lifetime a = { .charged_uah = 100, .discharged_uah = 7 };
	struct lifetime b = { .charged_uah = 90, .discharged_uah = 8, .watched_sec = 5 };
	struct sample s = sample_of(-1000, 100);

	(void)state;
	lifetime_step(&b, &s, 5000, 1000);
	a.in_bin_sec[0][0] = 3;
	lifetime_merge(&a, &b);
	assert_int_equal(a.charged_uah, 100);
	assert_int_equal(a.discharged_uah, b.discharged_uah);
	assert_int_equal(a.watched_sec, 6);
	assert_int_equal(a.in_bin_sec[0][0], 3);
	assert_int_equal(a.in_bin_sec[3][5], 1);
	assert_int_equal(a.cell_min_uv, 3600000);
	assert_int_equal(a.temperature_max_decicelsius, 100);
	assert_int_equal(a.discharge_current_max_ua, 1000000);
}

static void test_check_names_what_is_impossible(void **state)
{
	struct lifetime l = { 0 };
	const char *member = NULL;

	(void)state;
	assert_int_equal(lifetime_check(&l, &member), 0);
	l.charged_uwh = UINT64_MAX;
	assert_int_equal(lifetime_check(&l, &member), -ERANGE);
	assert_string_equal(member, "charged_uwh");
	l.charged_uwh = 0;
	l.in_bin_sec[8][9] = UINT64_MAX;
	assert_int_equal(lifetime_check(&l, &member), -ERANGE);
	l.in_bin_sec[8][9] = 0;
	l.seen = LIFETIME_SEEN_CELLS;
	l.cell_min_uv = 2;
	l.cell_max_uv = 1;
	assert_int_equal(lifetime_check(&l, &member), -ERANGE);
	assert_string_equal(member, "cell");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts_charge_and_energy),
		cmocka_unit_test(test_loses_no_fraction),
		cmocka_unit_test(test_bins_have_ends),
		cmocka_unit_test(test_extremes_widen_only),
		cmocka_unit_test(test_a_gap_is_not_integrated),
		cmocka_unit_test(test_merge_takes_the_larger),
		cmocka_unit_test(test_check_names_what_is_impossible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
