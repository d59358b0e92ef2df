/* SPDX-License-Identifier: Apache-2.0 */
/* Each formula against values worked by hand, each anchor and each way to resume. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bmsd/estimator.h"

#define CELLS	   10
#define DESIGN_UAH INT64_C(40000000)
#define SEC	   1000

#define assert_near(a, b, by) assert_true(fabs((double)(a) - (double)(b)) <= (by))

/* No offset and no loss to be accounted for, so that the numbers are round. */
static struct estimator_settings settings_of(enum chemistry chemistry)
{
	struct estimator_settings s = estimator_settings_default(chemistry);

	s.capacity_design_mah = 40000;
	s.charge_efficiency_permille = 1000;
	return s;
}

static struct sample sample_of(int64_t current_ma, int64_t cell_mv)
{
	struct sample s = { .valid = 1u << SAMPLE_VOLTAGE | 1u << SAMPLE_CURRENT |
				     1u << SAMPLE_CELLS | 1u << SAMPLE_TEMPERATURES |
				     1u << SAMPLE_CAPACITY | 1u << SAMPLE_CHARGE,
			    .voltage_uv = cell_mv * 1000 * CELLS,
			    .current_ua = current_ma * 1000,
			    .charge_uah = DESIGN_UAH / 2,
			    .capacity_percent = 50,
			    .n_cells = CELLS,
			    .n_temperatures = 1,
			    .temperatures_decicelsius = { 250 } };

	for (size_t i = 0; i < CELLS; i++)
		s.cells_uv[i] = cell_mv * 1000;
	return s;
}

static struct estimator *start(const struct estimator_settings *settings)
{
	struct estimator *e = NULL;
	struct sample s = sample_of(0, 3700);

	assert_int_equal(estimator_new(settings, &e), 0);
	assert_int_equal(estimator_resume(e, NULL, &s, -1), SOC_SOURCE_BOARD);
	return e;
}

static struct estimator *start_default(void)
{
	struct estimator_settings s = settings_of(CHEMISTRY_NMC);

	return start(&s);
}

static struct estimator_view look(const struct estimator *e)
{
	struct estimator_view v;

	memset(&v, 0xff, sizeof v);
	estimator_look(e, &v);
	assert_in_range(v.soc_centipercent + 1, 0, 10001);
	return v;
}

/* So many seconds of it; what happened. */
static unsigned flow(struct estimator *e, int64_t current_ma, int64_t cell_mv, unsigned sec)
{
	struct sample s = sample_of(current_ma, cell_mv);
	unsigned events = 0;

	for (unsigned i = 0; i < sec; i++)
		events |= estimator_step(e, &s, SEC);
	return events;
}

static void test_starts_from_the_board(void **state)
{
	struct estimator *e = start_default();
	struct estimator_view v = look(e);

	(void)state;
	assert_int_equal(v.soc_centipercent, 5000);
	assert_int_equal(v.margin_centipercent, 2500);
	assert_int_equal(v.charge_now_uah, DESIGN_UAH / 2);
	assert_int_equal(v.soh_source, SOH_SOURCE_CYCLES);
	assert_int_equal(v.soh_centipercent, 10000);
	assert_int_equal(v.time_to_empty_sec, -1);
	assert_int_equal(v.resistance_uohm, -1);
	assert_int_equal(v.anchor_age_sec, -1);
	(void)estimator_free(e);
}

/* Not as if the pack had been at rest for the minute before. */
static void test_tells_the_time_left_at_once(void **state)
{
	struct estimator *e = start_default();

	(void)state;
	(void)flow(e, -4000, 3600, 1);
	(void)flow(e, -4000, 3600, 5);
	assert_near(look(e).time_to_empty_sec, 5 * 3600, 120);
	assert_int_equal(look(e).time_to_full_sec, -1);
	(void)estimator_free(e);
	e = start_default();
	(void)flow(e, -400, 3600, 10);
	assert_int_equal(look(e).time_to_empty_sec, -1);
	(void)estimator_free(e);
}

/* 4 A for an hour are 4 Ah: 10 % of 40 Ah; and the margin takes 0.3 A for the unknown offset, a quarter
 * of 1 % of the gain, and 26 % of what was moved. */
static void test_counts(void **state)
{
	struct estimator *e = start_default();
	struct estimator_view v;

	(void)state;
	(void)flow(e, -4000, 3600, 1);
	(void)flow(e, -4000, 3600, 3599);
	v = look(e);
	assert_near(v.soc_centipercent, 4000, 1);
	assert_near(v.charge_counter_uah, -4000000, 2000);
	assert_near(v.cycles_milli, 100, 1);
	assert_near(v.margin_centipercent,
		    2500 + (0.3 + 0.0025 * 4) / 40 * 10000 * 1.26 + 0.26 * 1000, 3);
	/* 16 Ah at 4 A. */
	assert_near(v.time_to_empty_sec, 4 * 3600, 20);
	(void)flow(e, 8000, 3800, 3600);
	v = look(e);
	assert_near(v.soc_centipercent, 6000, 2);
	assert_near(v.cycles_milli, 100, 1);
	assert_near(v.time_to_full_sec, 2 * 3600, 20);
	(void)estimator_free(e);
}

static void test_never_leaves_the_scale(void **state)
{
	struct estimator *e = start_default();

	(void)state;
	(void)flow(e, -40000, 3500, 7200);
	assert_int_equal(look(e).soc_centipercent, 0);
	assert_int_equal(look(e).margin_centipercent, 10000);
	(void)flow(e, 40000, 3900, 14400);
	assert_int_equal(look(e).soc_centipercent, 10000);
	assert_int_equal(look(e).charge_now_uah, look(e).charge_full_uah);
	(void)estimator_free(e);
}

static void test_full_anchor(void **state)
{
	struct estimator *e = start_default();

	(void)state;
	assert_int_equal(flow(e, 1500, 4180, 179), 0);
	assert_int_equal(flow(e, 1500, 4180, 1), ESTIMATOR_ANCHORED);
	assert_int_equal(look(e).soc_centipercent, 10000);
	/* 1 %, but no more than the scale leaves. */
	assert_int_equal(look(e).margin_centipercent, 100);
	assert_int_equal(look(e).anchor, SOC_ANCHOR_FULL);
	/* It lasts: held, but not told again. */
	assert_int_equal(flow(e, 1500, 4180, 600), 0);
	assert_int_equal(look(e).anchors_total, 1);
	(void)estimator_free(e);
}

static void test_no_full_anchor(void **state)
{
	static const struct {
		int64_t current_ma, cell_mv;
	} cases[] = { { 2100, 4190 }, { 1500, 4179 }, { -1500, 4190 } };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct estimator *e = start_default();

		assert_int_equal(flow(e, cases[i].current_ma, cases[i].cell_mv, 400), 0);
		assert_int_equal(look(e).anchor, SOC_ANCHOR_NONE);
		(void)estimator_free(e);
	}
}

/* mr-manuel/venus-os_dbus-serialbattery#491: a timer that is not cleared makes a false 0 %. */
static void test_empty_timer_starts_anew(void **state)
{
	struct estimator *e = start_default();

	(void)state;
	assert_int_equal(flow(e, -5000, 2990, 59), 0);
	assert_int_equal(flow(e, -5000, 3100, 1), 0);
	assert_int_equal(flow(e, -5000, 2990, 59), 0);
	assert_true(look(e).soc_centipercent > 4500);
	/* Sagging under a load says nothing. */
	assert_int_equal(flow(e, -12500, 2900, 300), 0);
	assert_int_equal(flow(e, -5000, 2990, 60), ESTIMATOR_ANCHORED);
	assert_int_equal(look(e).soc_centipercent, 0);
	assert_int_equal(look(e).margin_centipercent, 200);
	(void)estimator_free(e);
}

/* sqrt(0.5^2 + 2^2) = 2.06: over 40 %, 60 %, 80 %, with 1 % of gain and 0.1 A in 15 A. */
static void test_capacity_error_as_published(void **state)
{
	(void)state;
	assert_near(estimator_capacity_error(0.5, 2, 40, 0.01, 0.1 / 15), 0.0530, 0.0002);
	assert_near(estimator_capacity_error(0.5, 2, 60, 0.01, 0.1 / 15), 0.0364, 0.0002);
	assert_near(estimator_capacity_error(0.5, 2, 80, 0.01, 0.1 / 15), 0.0284, 0.0002);
}

/* 36 Ah between full and empty; not more than 3 % nearer each time. */
static void test_learns_the_capacity(void **state)
{
	struct estimator *e = start_default();
	struct estimator_view v;

	(void)state;
	for (unsigned n = 0; n < 4; n++) {
		(void)flow(e, 1500, 4190, 180);
		(void)flow(e, -10000, 3500, 12960 - 60);
		assert_int_equal(flow(e, -10000, 2950, 60),
				 ESTIMATOR_ANCHORED | ESTIMATOR_CAPACITY_LEARNED);
		v = look(e);
		if (n == 0)
			assert_near(v.charge_full_uah, 38800000, 10);
		(void)flow(e, 10000, 3700, 12960);
	}
	v = look(e);
	assert_near(v.charge_full_uah, 36000000, 500000);
	assert_int_equal(v.soh_source, SOH_SOURCE_LEARNED);
	assert_near(v.soh_centipercent, 9000, 130);
	assert_true(v.charge_full_error_permille < 120);
	(void)estimator_free(e);
}

static void test_learns_nothing_in_the_cold(void **state)
{
	struct estimator *e = start_default();
	struct sample s = sample_of(-10000, 2950);

	(void)state;
	(void)flow(e, 1500, 4190, 180);
	(void)flow(e, -10000, 3500, 12900);
	s.temperatures_decicelsius[0] = 90;
	for (unsigned i = 0; i < 60; i++)
		assert_int_equal(estimator_step(e, &s, SEC) & ESTIMATOR_CAPACITY_LEARNED, 0);
	assert_int_equal(look(e).soc_centipercent, 0);
	assert_int_equal(look(e).charge_full_learned, 0);
	(void)estimator_free(e);
}

static void test_learns_the_offset(void **state)
{
	struct estimator *e = start_default();
	int margin;

	(void)state;
	(void)flow(e, 200, 3700, 599);
	assert_false(look(e).offset_learned);
	(void)flow(e, 200, 3700, 1);
	assert_true(look(e).offset_learned);
	assert_near(look(e).offset_ua, 200000, 1);
	/* It may be a charger that trickles: the margin takes 0.2 A, 0.5 % of 40 Ah in an hour. */
	margin = look(e).margin_centipercent;
	(void)flow(e, 200, 3700, 3600);
	assert_near(look(e).margin_centipercent, margin + 50 * 1.26, 2);
	(void)estimator_free(e);
	/* More than it can be: a load. */
	e = start_default();
	(void)flow(e, -800, 3700, 3600);
	assert_false(look(e).offset_learned);
	(void)estimator_free(e);
	e = start_default();
	(void)flow(e, -400, 3700, 3600);
	assert_int_equal(look(e).offset_ua, -300000);
	(void)estimator_free(e);
}

/* Both FETs off: certain, and no presumption overrides it. */
static void test_offset_is_certain_with_both_fets_off(void **state)
{
	struct estimator *e = start_default();
	struct sample s = sample_of(100, 3700);

	(void)state;
	s.valid |= 1u << SAMPLE_CHARGE_FET | 1u << SAMPLE_DISCHARGE_FET;
	for (unsigned i = 0; i < 60; i++)
		(void)estimator_step(e, &s, SEC);
	assert_near(look(e).offset_ua, 100000, 1);
	(void)flow(e, -250, 3700, 3600);
	assert_near(look(e).offset_ua, 100000, 1);
	(void)estimator_free(e);
}

static struct estimator *start_with_table(enum chemistry chemistry, const char *table,
					  bool verified)
{
	struct estimator_settings s = settings_of(chemistry);

	s.ocv_table = ocv_find(table);
	s.ocv_verified = verified;
	return start(&s);
}

/* 3.638 V is 37.44 % of the table; 3.0 V is 2.74 % of it and 4.2 V all: 35.7 % of our scale. */
static void test_rest_voltage_of_a_verified_table(void **state)
{
	struct estimator *e = start_with_table(CHEMISTRY_NMC, "p42a", true);

	(void)state;
	assert_int_equal(flow(e, 0, 3638, 1799), 0);
	assert_int_equal(flow(e, 0, 3638, 1), ESTIMATOR_REST_CORRECTED);
	assert_near(look(e).soc_centipercent, 3568, 2);
	assert_int_equal(look(e).margin_centipercent, 250);
	assert_int_equal(look(e).anchor, SOC_ANCHOR_REST);
	(void)estimator_free(e);
}

static void test_no_correction_by_an_unverified_table(void **state)
{
	struct estimator *e = start_with_table(CHEMISTRY_NMC, "p42a", false);

	(void)state;
	assert_int_equal(flow(e, 0, 3638, 7200), 0);
	assert_int_equal(look(e).soc_centipercent, 5000);
	(void)estimator_free(e);
}

/* In the flat part 15 mV are 14 %: worse than what is known after an anchor. */
static void test_no_correction_in_the_flat_part_of_lfp(void **state)
{
	struct estimator *e = start_with_table(CHEMISTRY_LFP, "apr18650", true);

	(void)state;
	(void)flow(e, 1500, 3590, 180);
	(void)flow(e, -10000, 3300, 3600);
	assert_int_equal(flow(e, 0, 3300, 7300), 0);
	assert_near(look(e).soc_centipercent, 7500, 3);
	(void)estimator_free(e);
}

static struct estimator_memory memory_at_half(void)
{
	struct estimator *e = start_default();
	struct estimator_memory m;

	(void)flow(e, 1500, 4190, 180);
	(void)flow(e, -10000, 3700, 7200);
	estimator_export(e, &m);
	(void)estimator_free(e);
	return m;
}

static enum soc_source resume(const struct estimator_memory *m, const struct sample *s,
			      int64_t elapsed_msec, struct estimator_view *ret)
{
	struct estimator_settings settings = settings_of(CHEMISTRY_NMC);
	struct estimator *e = NULL;
	enum soc_source source;

	assert_int_equal(estimator_new(&settings, &e), 0);
	source = estimator_resume(e, m, s, elapsed_msec);
	estimator_look(e, ret);
	assert_int_equal(ret->soc_source, source);
	(void)estimator_free(e);
	return source;
}

static void test_resumes_by_the_boards_counter(void **state)
{
	struct estimator_memory m = memory_at_half();
	struct sample s = sample_of(0, 3700);
	struct estimator_view v;

	(void)state;
	/* Two of 40 Ah went while nobody looked. */
	s.charge_uah -= 2000000;
	assert_int_equal(resume(&m, &s, 600000, &v), SOC_SOURCE_BOARD_DELTA);
	assert_near(v.soc_centipercent, 4500, 2);
	assert_true(v.margin_centipercent >= (int)m.margin_centipercent);
	assert_int_equal(v.anchor, SOC_ANCHOR_FULL);
	/* No clock can say how long it was. */
	assert_int_equal(resume(&m, &s, -1, &v), SOC_SOURCE_BOARD_DELTA);
	assert_near(v.soc_centipercent, 4500, 2);
}

/* Kept an hour after it was true: 60 A move 2 Ah in that, not in ten seconds. */
static void test_a_memory_may_be_older_than_its_file(void **state)
{
	struct estimator_memory m = memory_at_half();
	struct sample s = sample_of(0, 3700);
	struct estimator_view v, later;
	const char *member;

	(void)state;
	s.charge_uah -= 2000000;
	assert_int_equal(resume(&m, &s, 10000, &v), SOC_SOURCE_MEMORY);
	m.age_msec = 3600000;
	assert_int_equal(resume(&m, &s, 10000, &v), SOC_SOURCE_BOARD_DELTA);
	m.age_msec = 7200000;
	assert_int_equal(resume(&m, &s, 10000, &later), SOC_SOURCE_BOARD_DELTA);
	assert_true(later.margin_centipercent > v.margin_centipercent);
	/* What the log knew better may be newer than the file. */
	m.age_msec = -9000;
	assert_int_equal(resume(&m, &s, 10000, &v), SOC_SOURCE_MEMORY);
	m.age_msec = ESTIMATOR_AGE_UNKNOWN;
	assert_int_equal(estimator_memory_check(&m, &member), 0);
	assert_int_equal(resume(&m, &s, 10000, &v), SOC_SOURCE_BOARD_DELTA);
	m.age_msec++;
	assert_int_equal(estimator_memory_check(&m, &member), -ERANGE);
}

/* Samples without a current are not counted by us: what is exported is older than the last sample. */
static void test_exports_how_old_it_is(void **state)
{
	struct estimator *e = start_default();
	struct sample blind = sample_of(0, 3700);
	struct estimator_memory m;

	(void)state;
	(void)flow(e, -1000, 3700, 5);
	estimator_export(e, &m);
	assert_int_equal(m.age_msec, 0);
	blind.valid &= ~(1u << SAMPLE_CURRENT);
	(void)estimator_step(e, &blind, 3000);
	estimator_export(e, &m);
	assert_int_equal(m.age_msec, 3000);
	(void)estimator_free(e);
}

/* The board's counter is where it was set, if that is an end of its scale: 10 Ah of a quarter of 40 Ah
 * that the board may have been wrong by. */
static void test_a_board_that_came_to_its_end(void **state)
{
	struct estimator_memory m = memory_at_half();
	struct sample s = sample_of(0, 3700);
	struct estimator_view v, at_end;

	(void)state;
	s.charge_uah -= 4000000;
	assert_int_equal(resume(&m, &s, 1800000, &v), SOC_SOURCE_BOARD_DELTA);
	s.capacity_percent = 0;
	assert_int_equal(resume(&m, &s, 1800000, &at_end), SOC_SOURCE_BOARD_DELTA);
	assert_near(at_end.soc_centipercent, v.soc_centipercent, 0);
	assert_true(at_end.margin_centipercent >= v.margin_centipercent + 2500);
	/* It did not move: it was there before. */
	s.charge_uah += 4000000;
	assert_int_equal(resume(&m, &s, 1800000, &at_end), SOC_SOURCE_BOARD_DELTA);
	assert_true(at_end.margin_centipercent < v.margin_centipercent);
}

/* syssi/esphome-jk-bms#535: a capacity that is entered anew does not erase what a pack went through. */
static void test_another_design_capacity_keeps_the_cycles(void **state)
{
	struct estimator_memory m = memory_at_half();
	struct sample s = sample_of(0, 3700);
	struct estimator_settings settings = settings_of(CHEMISTRY_NMC);
	struct estimator *e = NULL;
	struct estimator_memory after;

	(void)state;
	settings.capacity_design_mah = 42000;
	assert_int_equal(estimator_new(&settings, &e), 0);
	assert_int_equal(estimator_resume(e, &m, &s, 1000), SOC_SOURCE_BOARD);
	estimator_export(e, &after);
	assert_int_equal(after.discharged_uah, m.discharged_uah);
	assert_int_equal(after.charge_counter_uah, m.charge_counter_uah);
	assert_int_equal(after.charge_full_uah, 42000000);
	assert_false(after.anchors[0].valid);
	(void)estimator_free(e);
}

static void test_resumes_from_memory_when_the_board_was_reset(void **state)
{
	struct estimator_memory m = memory_at_half();
	struct sample s = sample_of(0, 3700);
	struct estimator_view v;

	(void)state;
	/* 60 A for 10 s move no 2 Ah. */
	s.charge_uah -= 2000000;
	assert_int_equal(resume(&m, &s, 10000, &v), SOC_SOURCE_MEMORY);
	assert_near(v.soc_centipercent, 5000, 2);
	s = sample_of(0, 3700);
	s.valid |= 1u << SAMPLE_CYCLES;
	s.cycles = 50;
	assert_int_equal(resume(&m, &s, 10000, &v), SOC_SOURCE_MEMORY);
}

static void test_resumes_from_the_board_when_memory_is_too_old(void **state)
{
	struct estimator_memory m = memory_at_half();
	struct sample s = sample_of(0, 3700);
	struct estimator_view v;

	(void)state;
	s.valid &= ~(1u << SAMPLE_CHARGE);
	s.capacity_percent = 71;
	assert_int_equal(resume(&m, &s, INT64_C(86400000), &v), SOC_SOURCE_BOARD);
	assert_int_equal(v.soc_centipercent, 7100);
	/* What was learned is kept. */
	assert_int_equal(v.charge_full_uah, m.charge_full_uah);
	assert_int_equal(resume(NULL, &s, 0, &v), SOC_SOURCE_BOARD);
	s.valid = 0;
	assert_int_equal(resume(NULL, &s, 0, &v), SOC_SOURCE_NONE);
	assert_int_equal(v.soc_centipercent, -1);
}

static void test_memory_that_nobody_wrote(void **state)
{
	struct estimator_memory good = memory_at_half(), m;
	struct sample s = sample_of(0, 3700);
	const char *member = NULL;
	struct estimator_view v;

	(void)state;
	assert_int_equal(estimator_memory_check(&good, &member), 0);
	m = good;
	m.charge_now_uah = m.charge_full_uah + 1;
	assert_int_equal(estimator_memory_check(&m, &member), -ERANGE);
	assert_string_equal(member, "charge_now");
	assert_int_equal(resume(&m, &s, 1000, &v), SOC_SOURCE_BOARD);
	m = good;
	m.charge_counter_uah = INT64_MIN;
	assert_int_equal(estimator_memory_check(&m, &member), -ERANGE);
	m = good;
	m.board_charge_uah = -1;
	assert_int_equal(estimator_memory_check(&m, &member), -ERANGE);
	m = good;
	m.anchors[0].error_uah = m.error_uah + 1;
	assert_int_equal(estimator_memory_check(&m, &member), -ERANGE);
	/* Any bytes at all: refused, or good for a state of charge on the scale. */
	for (unsigned byte = 0; byte < sizeof m; byte++) {
		m = good;
		((unsigned char *)&m)[byte] ^= 0x80;
		/* A bool holds nothing but 0 and 1, whoever reads it. */
		m.valid = m.board_valid = true;
		for (size_t i = 0; i < ESTIMATOR_MEMORY_ANCHORS; i++)
			m.anchors[i].valid = m.anchors[i].cold = false;
		(void)resume(&m, &s, 1000, &v);
		assert_in_range(v.soc_centipercent, 0, 10000);
		assert_in_range(v.margin_centipercent, 0, 10000);
	}
}

static void test_restart_changes_nothing(void **state)
{
	struct estimator_memory m = memory_at_half(), again;
	struct sample s = sample_of(0, 3700);
	struct estimator_settings settings = settings_of(CHEMISTRY_NMC);

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		struct estimator *e = NULL;

		assert_int_equal(estimator_new(&settings, &e), 0);
		assert_int_equal(estimator_resume(e, &m, &s, 0), SOC_SOURCE_BOARD_DELTA);
		estimator_export(e, &again);
		(void)estimator_free(e);
		assert_near(again.charge_now_uah, m.charge_now_uah, 1);
		m = again;
	}
	assert_near(m.charge_now_uah, DESIGN_UAH / 2, 2000);
}

static void test_gaps(void **state)
{
	struct estimator *e = start_default();
	struct sample s = sample_of(-10000, 3700);
	int margin;

	(void)state;
	(void)flow(e, 1500, 4190, 180);
	/* By the board: 1 Ah went, whatever flows now. */
	s.charge_uah -= 1000000;
	assert_int_equal(estimator_step(e, &s, 600000), ESTIMATOR_GAP_BOARD);
	assert_near(look(e).soc_centipercent, 9750, 2);
	margin = look(e).margin_centipercent;
	/* Blind: 60 A for a minute are 1 Ah, 2.5 % of 40 Ah and what the capacity may be off. */
	s.charge_uah = 0;
	assert_int_equal(estimator_step(e, &s, 60000), ESTIMATOR_GAP_BLIND);
	assert_near(look(e).soc_centipercent, 9750, 2);
	assert_near(look(e).margin_centipercent, margin + 250 * 1.26, 3);
	(void)estimator_free(e);
}

/* The board does not say its counter for a while: what we counted then is not counted again by it. */
static void test_a_gap_after_a_silent_counter(void **state)
{
	struct estimator *e = start_default();
	struct sample s = sample_of(-10000, 3700);

	(void)state;
	(void)flow(e, 1500, 4190, 180);
	s.valid &= ~(1u << SAMPLE_CHARGE);
	for (unsigned i = 0; i < 360; i++)
		(void)estimator_step(e, &s, SEC);
	assert_near(look(e).soc_centipercent, 9750, 3);
	/* 1 Ah that we saw, and another one that we did not. */
	s = sample_of(-10000, 3700);
	s.charge_uah -= 2000000;
	assert_int_equal(estimator_step(e, &s, 600000), ESTIMATOR_GAP_BOARD);
	assert_near(look(e).soc_centipercent, 9500, 3);
	(void)estimator_free(e);
}

/* 10 A more make 0.5 V less: 50 mOhm; at 25 degrees what it is. */
static void test_resistance_from_steps(void **state)
{
	struct estimator *e = start_default();
	unsigned events = 0;

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		events |= flow(e, -2000, 3700, 1);
		events |= flow(e, -12000, 3650, 1);
	}
	assert_int_equal(events & ESTIMATOR_RESISTANCE_LEARNED, 0);
	assert_int_equal(flow(e, -2000, 3700, 1), ESTIMATOR_RESISTANCE_LEARNED);
	assert_near(look(e).resistance_uohm, 50000, 2);
	assert_int_equal(look(e).resistance_growth_permille, 1000);
	assert_int_equal(look(e).n_cells, CELLS);
	assert_near(look(e).cells_uohm[3], 5000, 2);
	/* 20000 / 8.314 * (1/273.15 - 1/298.15) = 0.7385: twice as much at 0 degrees. */
	assert_near(estimator_resistance_at_25c(0.1, 0), 0.1 / 2.0928, 0.0001);
	assert_near(estimator_resistance_at_25c(0.1, 25), 0.1, 1e-9);
	(void)estimator_free(e);
}

static void test_settings_are_checked(void **state)
{
	struct estimator_settings s = settings_of(CHEMISTRY_LFP);
	char reason[SAMPLE_REASON_BYTES] = "";
	struct estimator *e = NULL;

	(void)state;
	assert_int_equal(estimator_settings_check(&s, reason), 0);
	s.cell_empty_mv = s.cell_full_mv;
	assert_int_equal(estimator_settings_check(&s, reason), -EINVAL);
	assert_non_null(strstr(reason, "cell_full_mv"));
	assert_int_equal(estimator_new(&s, &e), -EINVAL);
	s = settings_of(CHEMISTRY_NMC);
	s.ocv_verified = true;
	assert_int_equal(estimator_settings_check(&s, reason), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_starts_from_the_board),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_tells_the_time_left_at_once),
		cmocka_unit_test(test_never_leaves_the_scale),
		cmocka_unit_test(test_full_anchor),
		cmocka_unit_test(test_no_full_anchor),
		cmocka_unit_test(test_empty_timer_starts_anew),
		cmocka_unit_test(test_capacity_error_as_published),
		cmocka_unit_test(test_learns_the_capacity),
		cmocka_unit_test(test_learns_nothing_in_the_cold),
		cmocka_unit_test(test_learns_the_offset),
		cmocka_unit_test(test_offset_is_certain_with_both_fets_off),
		cmocka_unit_test(test_rest_voltage_of_a_verified_table),
		cmocka_unit_test(test_no_correction_by_an_unverified_table),
		cmocka_unit_test(test_no_correction_in_the_flat_part_of_lfp),
		cmocka_unit_test(test_resumes_by_the_boards_counter),
		cmocka_unit_test(test_a_memory_may_be_older_than_its_file),
		cmocka_unit_test(test_exports_how_old_it_is),
		cmocka_unit_test(test_a_board_that_came_to_its_end),
		cmocka_unit_test(test_another_design_capacity_keeps_the_cycles),
		cmocka_unit_test(test_a_gap_after_a_silent_counter),
		cmocka_unit_test(test_resumes_from_memory_when_the_board_was_reset),
		cmocka_unit_test(test_resumes_from_the_board_when_memory_is_too_old),
		cmocka_unit_test(test_memory_that_nobody_wrote),
		cmocka_unit_test(test_restart_changes_nothing),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_resistance_from_steps),
		cmocka_unit_test(test_settings_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
