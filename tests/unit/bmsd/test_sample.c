/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bmsd/sample.h"

static const struct sample_limits limits = {
	.cell_min_uv = 1000000,
	.cell_max_uv = 5000000,
	.current_max_ua = 150000000,
};

#define FIELDS                                                                                     \
	(1u << SAMPLE_VOLTAGE | 1u << SAMPLE_CURRENT | 1u << SAMPLE_CAPACITY |                     \
	 1u << SAMPLE_CELLS | 1u << SAMPLE_TEMPERATURES)

static struct sample good(void)
{
	return (struct sample){
		.valid = FIELDS,
		.voltage_uv = 14800000,
		.current_ua = -2000000,
		.capacity_percent = 55,
		.n_cells = 4,
		.cells_uv = { 3700000, 3700000, 3700000, 3700000 },
		.n_temperatures = 2,
		.temperatures_decicelsius = { 250, 251 },
	};
}

static void refused(const struct sample *s, const struct sample_limits *l, enum sample_gate gate,
		    const char *sentence)
{
	struct sample_gates gates = {};
	enum sample_gate by = SAMPLE_GATE_COUNT;
	char reason[SAMPLE_REASON_BYTES] = "", again[SAMPLE_REASON_BYTES] = "";

	assert_int_equal(sample_admit(&gates, s, l, 0, &by, reason), -ERANGE);
	assert_int_equal(by, gate);
	assert_string_equal(reason, sentence);
	assert_int_equal(sample_check(s, l, again), -ERANGE);
	assert_string_equal(again, sentence);
}

static void admitted(const struct sample *s, const struct sample_limits *l)
{
	char reason[SAMPLE_REASON_BYTES] = "";

	assert_int_equal(sample_check(s, l, reason), 0);
}

static void test_each_gate(void **state)
{
	struct sample_limits own = limits;
	struct sample s = good();

	(void)state;
	admitted(&s, &limits);
	s.voltage_uv = 0;
	refused(&s, &limits, SAMPLE_GATE_ASLEEP, "the pack says 0 V: asleep, or no measurement");
	s = good();
	s.valid = 1u << SAMPLE_CURRENT;
	refused(&s, &limits, SAMPLE_GATE_ASLEEP, "the board measures nothing");
	s = good();
	own.cells = 13;
	refused(&s, &own, SAMPLE_GATE_CELL_COUNT, "the board has 4 cells, configured are 13");
	s.n_cells = 0;
	refused(&s, &limits, SAMPLE_GATE_CELL_COUNT, "the board says that it has 0 cells");
	s.n_cells = SAMPLE_MAX_CELLS + 1;
	refused(&s, &limits, SAMPLE_GATE_CELL_COUNT, "the board says that it has 33 cells");
	s = good();
	s.cells_uv[2] = 999999;
	refused(&s, &limits, SAMPLE_GATE_CELL_RANGE, "cell 3 says 999 mV");
	s.cells_uv[2] = 5000001;
	refused(&s, &limits, SAMPLE_GATE_CELL_RANGE, "cell 3 says 5000 mV");
	s = good();
	s.voltage_uv = 15800001;
	refused(&s, &limits, SAMPLE_GATE_SUM,
		"the cells add up to 14800 mV, the pack says 15800 mV");
	s.voltage_uv--;
	admitted(&s, &limits);
	s = good();
	s.current_ua = -150000001;
	refused(&s, &limits, SAMPLE_GATE_CURRENT, "the current is -150000 mA");
	s.current_ua = INT64_MIN;
	refused(&s, &limits, SAMPLE_GATE_CURRENT, "the current is -9223372036854775 mA");
	s.current_ua = 150000000;
	admitted(&s, &limits);
	s.capacity_percent = 101;
	refused(&s, &limits, SAMPLE_GATE_CAPACITY, "the state of charge is 101 %");
	s = good();
	s.temperatures_decicelsius[1] = -401;
	refused(&s, &limits, SAMPLE_GATE_TEMPERATURE, "temperature 2 is -401 tenths of a degree");
	s = good();
	s.n_temperatures = SAMPLE_MAX_TEMPERATURES + 1;
	refused(&s, &limits, SAMPLE_GATE_TEMPERATURE, "the board says that it has 17 sensors");
}

static void test_a_pack_that_says_nothing_of_its_cells(void **state)
{
	struct sample s = { .valid = 1u << SAMPLE_VOLTAGE };
	struct sample_limits own = limits;

	(void)state;
	own.cells = 4;
	for (unsigned configured = 0; configured < 2; configured++) {
		const struct sample_limits *l = configured ? &own : &limits;
		int64_t least = l->cell_min_uv * (configured ? 4 : 1);
		int64_t most = l->cell_max_uv * (configured ? 4 : SAMPLE_MAX_CELLS);

		s.voltage_uv = least;
		admitted(&s, l);
		s.voltage_uv = most;
		admitted(&s, l);
		s.voltage_uv = most + 1;
		refused(&s, l, SAMPLE_GATE_CELL_RANGE,
			configured ? "the pack says 20000 mV, which is not of 4 cells"
				   : "the pack says 160000 mV, which is not of 32 cells or less");
		s.voltage_uv = least - 1;
		refused(&s, l, SAMPLE_GATE_CELL_RANGE,
			configured ? "the pack says 3999 mV, which is not of 4 cells"
				   : "the pack says 999 mV, which is not of 32 cells or less");
	}
}

static void test_unknown_fields_pass(void **state)
{
	struct sample s = { .valid = 1u << SAMPLE_CAPACITY, .capacity_percent = 50 };

	(void)state;
	/* Whatever stands in what is not valid. */
	s.current_ua = INT64_MAX;
	s.n_cells = 99;
	s.n_temperatures = 99;
	admitted(&s, &limits);
	s = good();
	s.valid &= ~(1u << SAMPLE_VOLTAGE);
	s.voltage_uv = 0;
	admitted(&s, &limits);
}

/* ---- steps ---- */

struct run {
	struct sample_gates gates;
	struct sample s;
	int64_t now_msec;
	enum sample_gate gate;
	char reason[SAMPLE_REASON_BYTES];
};

static int next(struct run *r, int64_t gap_msec)
{
	r->now_msec += gap_msec;
	r->gate = SAMPLE_GATE_COUNT;
	return sample_admit(&r->gates, &r->s, &limits, r->now_msec, &r->gate, r->reason);
}

static void set_cell(struct run *r, int64_t uv)
{
	r->s.voltage_uv += uv - r->s.cells_uv[1];
	r->s.cells_uv[1] = uv;
}

static void test_a_step_has_to_be_confirmed(void **state)
{
	struct run r = { .s = good() };

	(void)state;
	assert_int_equal(next(&r, 0), 0);
	set_cell(&r, 4200000); /* 500 mV in a second is not yet a jump */
	assert_int_equal(next(&r, 1000), 0);
	set_cell(&r, 3699999);
	assert_int_equal(next(&r, 1000), -ERANGE);
	assert_int_equal(r.gate, SAMPLE_GATE_CELL_STEP);
	assert_string_equal(r.reason, "cell 2 jumped from 4200 to 3699 mV");
	set_cell(&r, 3690000);
	assert_int_equal(next(&r, 1000), 0);
	/* Polls that are close together do not make a jump of what a load does. */
	set_cell(&r, 3200000);
	assert_int_equal(next(&r, 100), 0);
}

static void test_a_spike_is_forgotten(void **state)
{
	struct run r = { .s = good() };

	(void)state;
	assert_int_equal(next(&r, 0), 0);
	set_cell(&r, 4900000);
	assert_int_equal(next(&r, 1000), -ERANGE);
	set_cell(&r, 3700000);
	assert_int_equal(next(&r, 1000), 0);
	/* What is like the spike of then does not confirm itself by it. */
	set_cell(&r, 4900000);
	assert_int_equal(next(&r, 500), -ERANGE);
	/* Noise never gets in. */
	set_cell(&r, 2000000);
	assert_int_equal(next(&r, 500), -ERANGE);
	set_cell(&r, 4800000);
	assert_int_equal(next(&r, 500), -ERANGE);
	set_cell(&r, 4810000);
	assert_int_equal(next(&r, 500), 0);
}

static void test_temperatures_step_too(void **state)
{
	struct run r = { .s = good() };

	(void)state;
	assert_int_equal(next(&r, 0), 0);
	r.s.temperatures_decicelsius[0] = 351;
	assert_int_equal(next(&r, 1000), -ERANGE);
	assert_int_equal(r.gate, SAMPLE_GATE_TEMPERATURE_STEP);
	assert_string_equal(r.reason, "temperature 1 jumped from 250 to 351 tenths of a degree");
	r.s.temperatures_decicelsius[0] = 352;
	assert_int_equal(next(&r, 1000), 0);
	r.s.temperatures_decicelsius[0] = 252;
	assert_int_equal(next(&r, 1000), 0);
	/* An open sensor stays out by its range, however often it says so. */
	r.s.temperatures_decicelsius[0] = -2731;
	assert_int_equal(next(&r, 1000), -ERANGE);
	assert_int_equal(next(&r, 1000), -ERANGE);
	assert_int_equal(r.gate, SAMPLE_GATE_TEMPERATURE);
}

static void test_after_a_gap_more_may_have_moved(void **state)
{
	struct run r = { .s = good() };

	(void)state;
	assert_int_equal(next(&r, 0), 0);
	set_cell(&r, 4700000);
	assert_int_equal(next(&r, 2000), 0);
	set_cell(&r, 3000000);
	assert_int_equal(next(&r, INT64_MAX / 2), 0);
	/* A clock that goes back is no gap. */
	set_cell(&r, 4500000);
	assert_int_equal(next(&r, -5000), -ERANGE);
}

static void test_what_cannot_be_compared_is_not(void **state)
{
	struct run r = { .s = good() };

	(void)state;
	assert_int_equal(next(&r, 0), 0);
	r.s.valid &= ~(1u << SAMPLE_CELLS | 1u << SAMPLE_TEMPERATURES);
	r.s.voltage_uv = 5000000;
	assert_int_equal(next(&r, 1000), 0);
	r.s = good();
	set_cell(&r, 4900000);
	assert_int_equal(next(&r, 1000), 0);
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SAMPLE_FIELD_COUNT; i++)
		assert_string_not_equal(sample_field_name(i), "other");
	for (unsigned i = 0; i < SAMPLE_GATE_COUNT; i++)
		assert_string_not_equal(sample_gate_name(i), "other");
	assert_string_equal(sample_field_name(SAMPLE_FIELD_COUNT), "other");
	assert_string_equal(sample_gate_name(SAMPLE_GATE_COUNT), "other");
	assert_string_equal(sample_gate_name(SAMPLE_GATE_CELL_STEP), "cell-step");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_gate),
		cmocka_unit_test(test_a_pack_that_says_nothing_of_its_cells),
		cmocka_unit_test(test_unknown_fields_pass),
		cmocka_unit_test(test_a_step_has_to_be_confirmed),
		cmocka_unit_test(test_a_spike_is_forgotten),
		cmocka_unit_test(test_temperatures_step_too),
		cmocka_unit_test(test_after_a_gap_more_may_have_moved),
		cmocka_unit_test(test_what_cannot_be_compared_is_not),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
