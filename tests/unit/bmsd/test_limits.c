/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bmsd/limits.h"

#define UNKNOWN_SOC (-1)

static struct limits_settings settings_of(enum chemistry chemistry)
{
	struct limits_settings s = limits_settings_default(chemistry);

	s.charge_current_max_ma = 20000;
	s.discharge_current_max_ma = 60000;
	return s;
}

static struct limits *new_limits(enum chemistry chemistry)
{
	struct limits_settings s = settings_of(chemistry);
	struct limits *l = NULL;

	assert_int_equal(limits_new(&s, &l), 0);
	return l;
}

/* Three cells at 3.7 V (NMC) and 25 degrees: no curve holds anything down. */
static struct sample sample_of(int64_t cell_mv)
{
	struct sample s = { .valid = 1u << SAMPLE_CELLS | 1u << SAMPLE_TEMPERATURES,
			    .n_cells = 3,
			    .n_temperatures = 2 };

	for (size_t i = 0; i < 3; i++)
		s.cells_uv[i] = cell_mv * 1000;
	s.temperatures_decicelsius[0] = s.temperatures_decicelsius[1] = 250;
	return s;
}

static struct limits_view step(struct limits *l, const struct sample *s, int soc, uint64_t msec)
{
	struct limits_view v;

	limits_step(l, s, soc, msec);
	limits_look(l, &v);
	return v;
}

static void test_curves(void **state)
{
	const struct limits_settings lfp = settings_of(CHEMISTRY_LFP);
	static const struct limits_curve none;

	(void)state;
	assert_int_equal(limits_curve_permille(&lfp.charge_cell_mv, 3000), 1000);
	assert_int_equal(limits_curve_permille(&lfp.charge_cell_mv, 3400), 250);
	assert_int_equal(limits_curve_permille(&lfp.charge_cell_mv, 3425), 50);
	assert_int_equal(limits_curve_permille(&lfp.charge_cell_mv, 3450), 5);
	assert_int_equal(limits_curve_permille(&lfp.charge_cell_mv, 3500), 0);
	assert_int_equal(limits_curve_permille(&lfp.charge_cell_mv, 9000), 0);
	/* Half way between 0.25 at 3.4 V and 0.05 at 3.425 V … */
	assert_int_equal(limits_curve_permille(&lfp.charge_cell_mv, 3412), 154);
	assert_int_equal(limits_curve_permille(&lfp.discharge_cell_mv, 2900), 5);
	assert_int_equal(limits_curve_permille(&lfp.charge_decicelsius, 50), 500);
	assert_int_equal(limits_curve_permille(&lfp.charge_decicelsius, 525), 125);
	assert_int_equal(limits_curve_permille(&lfp.fet_decicelsius, 850), 125);
	assert_int_equal(limits_curve_permille(&none, 12345), 1000);
}

static void test_nothing_holds_a_pack_that_is_well(void **state)
{
	struct limits *l = new_limits(CHEMISTRY_NMC);
	struct sample s = sample_of(3700);
	struct limits_view v;

	(void)state;
	limits_look(l, &v);
	assert_int_equal(v.charge_current_max_ua, -1);
	assert_int_equal(v.constant_charge_voltage_max_uv, -1);
	v = step(l, &s, 5000, 1000);
	assert_int_equal(v.charge_current_max_ua, 20000000);
	assert_int_equal(v.regeneration_current_max_ua, 20000000);
	assert_int_equal(v.discharge_current_max_ua, 60000000);
	assert_int_equal(v.constant_charge_voltage_max_uv, 12600000);
	assert_int_equal(v.charge_reason, LIMITS_REASON_NONE);
	(void)limits_free(l);
}

/* One cell of three is enough, in either direction, and one sensor. */
static void test_the_worst_cell_and_sensor_count(void **state)
{
	struct limits *l = new_limits(CHEMISTRY_NMC);
	struct sample s = sample_of(3700);
	struct limits_view v;

	(void)state;
	s.cells_uv[1] = 4150000;
	s.cells_uv[2] = 3200000;
	v = step(l, &s, UNKNOWN_SOC, 1000);
	assert_int_equal(v.charge_current_max_ua, 5000000);
	assert_int_equal(v.discharge_current_max_ua, 15000000);
	assert_int_equal(v.charge_reason, LIMITS_REASON_CELL_VOLTAGE);
	s.temperatures_decicelsius[1] = 0;
	v = step(l, &s, UNKNOWN_SOC, 1000);
	assert_int_equal(v.charge_current_max_ua, 0);
	assert_int_equal(v.charge_reason, LIMITS_REASON_TEMPERATURE);
	(void)limits_free(l);
}

static void test_falls_at_once_and_rises_slowly(void **state)
{
	struct limits *l = new_limits(CHEMISTRY_NMC);
	struct sample well = sample_of(3700), low = sample_of(3000);
	struct limits_view v = step(l, &well, UNKNOWN_SOC, 1000);

	(void)state;
	v = step(l, &low, UNKNOWN_SOC, 1);
	assert_int_equal(v.discharge_current_max_ua, 0);
	for (unsigned i = 0; i < 30; i++)
		v = step(l, &well, UNKNOWN_SOC, 1000);
	assert_int_equal(v.discharge_current_max_ua, 0);
	assert_int_equal(v.discharge_reason, LIMITS_REASON_RECOVERY);
	v = step(l, &well, UNKNOWN_SOC, 1000);
	assert_int_equal(v.discharge_current_max_ua, 5000000);
	v = step(l, &well, UNKNOWN_SOC, 500);
	assert_int_equal(v.discharge_current_max_ua, 7500000);
	for (unsigned i = 0; i < 11; i++)
		v = step(l, &well, UNKNOWN_SOC, 1000);
	assert_int_equal(v.discharge_current_max_ua, 60000000);
	assert_int_equal(v.discharge_reason, LIMITS_REASON_NONE);
	(void)limits_free(l);
}

static void test_a_break_starts_the_hold_anew(void **state)
{
	struct limits *l = new_limits(CHEMISTRY_NMC);
	struct sample well = sample_of(3700), low = sample_of(3000);
	struct limits_view v = step(l, &low, UNKNOWN_SOC, 1000);

	(void)state;
	for (unsigned i = 0; i < 29; i++)
		v = step(l, &well, UNKNOWN_SOC, 1000);
	v = step(l, &low, UNKNOWN_SOC, 1000);
	for (unsigned i = 0; i < 30; i++)
		v = step(l, &well, UNKNOWN_SOC, 1000);
	assert_int_equal(v.discharge_current_max_ua, 0);
	/* A long step counts only what is after the hold, and never beyond what is allowed. */
	v = step(l, &well, UNKNOWN_SOC, 2000);
	assert_int_equal(v.discharge_current_max_ua, 10000000);
	v = step(l, &well, UNKNOWN_SOC, 60000);
	assert_int_equal(v.discharge_current_max_ua, 60000000);
	/* Nobody looked for longer than that: it may have been low in between. */
	(void)step(l, &low, UNKNOWN_SOC, 1000);
	for (unsigned i = 0; i < 29; i++)
		v = step(l, &well, UNKNOWN_SOC, 1000);
	v = step(l, &well, UNKNOWN_SOC, UINT64_MAX / 2);
	assert_int_equal(v.discharge_current_max_ua, 0);
	v = step(l, &well, UNKNOWN_SOC, 30000);
	assert_int_equal(v.discharge_current_max_ua, 0);
	v = step(l, &well, UNKNOWN_SOC, 1000);
	assert_int_equal(v.discharge_current_max_ua, 5000000);
	(void)limits_free(l);
}

static void test_no_regeneration_near_full(void **state)
{
	struct limits *l = new_limits(CHEMISTRY_NMC);
	struct sample s = sample_of(4050);
	struct limits_view v = step(l, &s, 9500, 1000);

	(void)state;
	assert_int_equal(v.regeneration_current_max_ua, 10000000);
	assert_int_equal(v.charge_current_max_ua, 20000000);
	v = step(l, &s, 9800, 1000);
	assert_int_equal(v.regeneration_current_max_ua, 0);
	assert_int_equal(v.regeneration_reason, LIMITS_REASON_SOC);
	(void)limits_free(l);
}

static void test_what_is_unknown_may_not_be_charged(void **state)
{
	struct limits *l = new_limits(CHEMISTRY_NMC);
	struct sample s = { 0 };
	struct limits_view v = step(l, &s, UNKNOWN_SOC, 1000);

	(void)state;
	assert_int_equal(v.charge_current_max_ua, 0);
	assert_int_equal(v.charge_reason, LIMITS_REASON_UNKNOWN);
	/* Whoever rides is not stopped for a sensor. */
	assert_int_equal(v.discharge_current_max_ua, 60000000);
	(void)limits_free(l);
}

static void test_switched_off_is_zero(void **state)
{
	struct limits *l = new_limits(CHEMISTRY_NMC);
	struct sample s = sample_of(3700);
	struct limits_view v;

	(void)state;
	s.valid |= 1u << SAMPLE_CHARGE_FET | 1u << SAMPLE_DISCHARGE_FET;
	s.charge_fet = true;
	v = step(l, &s, UNKNOWN_SOC, 1000);
	assert_int_equal(v.charge_current_max_ua, 20000000);
	assert_int_equal(v.discharge_current_max_ua, 0);
	assert_int_equal(v.discharge_reason, LIMITS_REASON_FET_OFF);
	(void)limits_free(l);
}

static void test_refuses_settings_that_make_no_sense(void **state)
{
	struct limits_settings s = settings_of(CHEMISTRY_LFP);
	struct limits *l = NULL;
	char reason[SAMPLE_REASON_BYTES] = "";

	(void)state;
	assert_int_equal(limits_settings_check(&s, reason), 0);
	s.charge_cell_mv.points[1].x = s.charge_cell_mv.points[0].x;
	assert_int_equal(limits_settings_check(&s, reason), -EINVAL);
	assert_non_null(strstr(reason, "charge_cell_mv"));
	assert_int_equal(limits_new(&s, &l), -EINVAL);
	assert_null(l);
	s = settings_of(CHEMISTRY_LFP);
	s.fet_decicelsius.n_points = LIMITS_CURVE_POINTS + 1;
	assert_int_equal(limits_settings_check(&s, reason), -EINVAL);
	s = settings_of(CHEMISTRY_LFP);
	s.rise_ma_per_sec = 0;
	assert_int_equal(limits_settings_check(&s, reason), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_curves),
		cmocka_unit_test(test_nothing_holds_a_pack_that_is_well),
		cmocka_unit_test(test_the_worst_cell_and_sensor_count),
		cmocka_unit_test(test_falls_at_once_and_rises_slowly),
		cmocka_unit_test(test_a_break_starts_the_hold_anew),
		cmocka_unit_test(test_no_regeneration_near_full),
		cmocka_unit_test(test_what_is_unknown_may_not_be_charged),
		cmocka_unit_test(test_switched_off_is_zero),
		cmocka_unit_test(test_refuses_settings_that_make_no_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
