/* SPDX-License-Identifier: Apache-2.0 */
/* What a simulated board does, and every command that it takes. Frames are checked by hand here, not
 * with the drivers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "bmsd/simboard.h"
#include "bmsd/simline.h"
#include "bmsd/simwords.h"

#define DALY_BYTES 13

static const struct simboard_settings jbd_settings = {
	.model = "SIM", .cells = 8, .ntcs = 2, .soc_percent = 50, .capacity_mah = 40000, .seed = 3
};

struct answer {
	uint8_t bytes[SIMBOARD_ANSWER_BYTES];
	size_t size;
};

static struct simboard *make(const struct simboard_settings *s)
{
	struct simboard *b = NULL;

	assert_int_equal(simboard_new(s, &b), 0);
	return b;
}

static void tell(struct simboard *b, const char *command)
{
	assert_int_equal(simboard_command(b, command), 0);
}

static void pass(struct simboard *b, unsigned sec)
{
	for (unsigned i = 0; i < sec; i++)
		simboard_advance(b, 1000);
}

/* ---- JBD ---- */

static struct answer read_jbd(struct simboard *b, uint8_t reg)
{
	uint8_t request[JBD_REQUEST_BYTES];
	struct answer a = {};
	size_t size = jbd_build_request(reg, request);

	for (size_t i = 0; i < size; i++)
		a.size = simboard_rx(b, request[i], a.bytes);
	return a;
}

static int16_t u16_at(const struct answer *a, size_t at)
{
	return (int16_t)(a->bytes[4 + at] << 8 | a->bytes[5 + at]);
}

static struct answer basic(struct simboard *b)
{
	struct answer a = read_jbd(b, JBD_BASIC);

	assert_true(a.size >= JBD_BASIC_BYTES + JBD_OVERHEAD_BYTES);
	assert_int_equal(a.bytes[0], JBD_START);
	assert_int_equal(a.bytes[1], JBD_BASIC);
	assert_int_equal(a.bytes[2], JBD_STATUS_OK);
	assert_int_equal(jbd_checksum(a.bytes + 2, a.bytes[3] + 2u),
			 a.bytes[a.size - 3] << 8 | a.bytes[a.size - 2]);
	return a;
}

static int current_of(struct simboard *b)
{
	struct answer a = basic(b);

	return u16_at(&a, 2) * 10;
}

static int protections_of(struct simboard *b)
{
	struct answer a = basic(b);

	return u16_at(&a, 16);
}

static int fets_of(struct simboard *b)
{
	return basic(b).bytes[4 + 20];
}

static int percent_of(struct simboard *b)
{
	return basic(b).bytes[4 + 19];
}

static int residual_of(struct simboard *b)
{
	struct answer a = basic(b);

	return u16_at(&a, 4) * 10;
}

static void test_jbd_registers(void **state)
{
	_cleanup_(simboard_freep) struct simboard *b = make(&jbd_settings);
	struct answer a = basic(b), cells = read_jbd(b, JBD_CELLS), model = read_jbd(b, JBD_MODEL);
	int sum = 0;

	(void)state;
	assert_int_equal(a.bytes[4 + 21], 8);
	assert_int_equal(a.bytes[4 + 22], 2);
	assert_int_equal(u16_at(&a, 6), 4000);
	assert_int_equal(u16_at(&a, 4), 2000);
	assert_int_equal(a.bytes[4 + 20], 3);
	assert_int_equal(cells.bytes[3], 16);
	for (size_t i = 0; i < 8; i++)
		sum += u16_at(&cells, 2 * i);
	assert_true(abs(sum - u16_at(&a, 0) * 10) < 15);
	assert_memory_equal(model.bytes + 4, "SIM", 3);
	assert_int_equal(simboard_answers(b), 3);
}

static void test_board_counts_what_it_measures(void **state)
{
	struct simboard_settings s = jbd_settings;
	_cleanup_(simboard_freep) struct simboard *b = NULL;
	struct plant_truth t;

	(void)state;
	s.current_gain_error = 0.02;
	s.load = (struct simload){ .mode = SIMLOAD_PROFILE, .current_a = -10 };
	b = make(&s);
	pass(b, 3600);
	simboard_truth(b, &t);
	assert_true(fabs(t.discharged_ah - 10) < 0.01);
	assert_true(fabs(simboard_residual_mah(b) - (20000 - 10200)) < 1);
	assert_int_equal(residual_of(b), 9800);
	assert_int_equal(current_of(b), -10200);
}

static void test_an_aged_pack_is_empty_before_its_board_says_so(void **state)
{
	struct simboard_settings s = jbd_settings;
	_cleanup_(simboard_freep) struct simboard *b = NULL;

	(void)state;
	s.true_capacity_part = 0.7;
	s.soc_percent = 100;
	s.load = (struct simload){ .mode = SIMLOAD_PROFILE, .current_a = -20 };
	b = make(&s);
	pass(b, 4000);
	assert_true(percent_of(b) > 40);
	pass(b, 1600);
	/* Cell undervoltage: the FET is off, the counter corrected, the event counted. */
	assert_int_equal(percent_of(b), 0);
	assert_int_equal(current_of(b), 0);
	assert_true(protections_of(b) & 1 << 1);
	assert_int_equal(fets_of(b), 1);
	struct answer counters = read_jbd(b, JBD_ERROR_COUNTERS);

	assert_int_equal(u16_at(&counters, 2 * 4), 1);
	/* It charges, and gives current again once it is above the other threshold. */
	tell(b, "current 10000");
	pass(b, 600);
	assert_int_equal(protections_of(b), 0);
	assert_int_equal(fets_of(b), 3);
}

static void test_charging_ends(void **state)
{
	struct simboard_settings s = jbd_settings;
	_cleanup_(simboard_freep) struct simboard *b = NULL;

	(void)state;
	s.soc_percent = 90;
	b = make(&s);
	tell(b, "charge");
	pass(b, 3 * 3600);
	assert_int_equal(percent_of(b), 100);
	assert_int_equal(current_of(b), 0);
	assert_int_equal(protections_of(b), 0);
	/* Without an end it is the board that ends it. */
	tell(b, "current 12000");
	pass(b, 3600);
	assert_true(protections_of(b) & 1);
	assert_int_equal(current_of(b), 0);
	assert_int_equal(fets_of(b), 2);
}

static void test_temperature_protection_has_two_thresholds(void **state)
{
	_cleanup_(simboard_freep) struct simboard *b = make(&jbd_settings);

	(void)state;
	tell(b, "ambient -1");
	pass(b, 7200);
	assert_int_equal(protections_of(b), 1 << 5);
	assert_int_equal(fets_of(b), 2);
	tell(b, "ambient 2");
	pass(b, 7200);
	assert_int_equal(protections_of(b), 1 << 5);
	tell(b, "ambient 5");
	pass(b, 7200);
	assert_int_equal(protections_of(b), 0);
}

/* Cells that are much higher than the lowest, near the end of charging, and no others. */
static void test_balancing(void **state)
{
	struct simboard_settings s = jbd_settings;
	_cleanup_(simboard_freep) struct simboard *b = NULL;
	struct answer a;

	(void)state;
	s.soc_percent = 70;
	b = make(&s);
	tell(b, "cell 5 drift 50");
	tell(b, "charge");
	pass(b, 60);
	a = basic(b);
	assert_int_equal(u16_at(&a, 12), 0);
	pass(b, 2400);
	a = basic(b);
	assert_true(u16_at(&a, 2) > 0);
	assert_int_equal(u16_at(&a, 12) & 1 << 4, 1 << 4);
	assert_int_not_equal(u16_at(&a, 12), 0xff);
	tell(b, "rest");
	pass(b, 1);
	a = basic(b);
	assert_int_equal(u16_at(&a, 12), 0);
}

static void test_fets_by_request(void **state)
{
	static const uint8_t discharge_off[] = { 0xdd, 0x5a, 0xe1, 0x02, 0x00,
						 0x02, 0xff, 0x1b, 0x77 };
	static const uint8_t both_on[] = { 0xdd, 0x5a, 0xe1, 0x02, 0x00, 0x00, 0xff, 0x1d, 0x77 };
	_cleanup_(simboard_freep) struct simboard *b = make(&jbd_settings);
	uint8_t frame[SIMBOARD_ANSWER_BYTES];
	size_t size = 0;

	(void)state;
	tell(b, "current -5000");
	pass(b, 1);
	assert_int_equal(current_of(b), -5000);
	for (size_t i = 0; i < sizeof discharge_off; i++)
		size = simboard_rx(b, discharge_off[i], frame);
	assert_int_equal(size, 7);
	assert_int_equal(frame[2], JBD_STATUS_OK);
	pass(b, 1);
	assert_int_equal(current_of(b), 0);
	assert_int_equal(fets_of(b), 1);
	assert_int_equal(protections_of(b), 1 << 12);
	for (size_t i = 0; i < sizeof both_on; i++)
		size = simboard_rx(b, both_on[i], frame);
	pass(b, 1);
	assert_int_equal(current_of(b), -5000);
	assert_int_equal(protections_of(b), 0);
}

static void test_lines_do_not_mix(void **state)
{
	_cleanup_(simboard_freep) struct simboard *b = make(&jbd_settings);
	uint8_t request[JBD_REQUEST_BYTES], frame[SIMBOARD_ANSWER_BYTES];
	size_t size = jbd_build_request(JBD_MODEL, request), a = 0, c = 0;

	(void)state;
	for (size_t i = 0; i < size; i++) {
		a = simboard_rx_line(b, 1, request[i], frame);
		c = simboard_rx_line(b, 7, request[i], frame);
	}
	assert_int_equal(a, 10);
	assert_int_equal(c, 10);
}

/* ---- Daly ---- */

static struct answer read_daly(struct simboard *b, uint8_t command, uint8_t first)
{
	uint8_t request[DALY_BYTES] = { 0xa5, 0x40, command, 8, first };
	struct answer a = {};

	for (size_t i = 0; i < DALY_BYTES - 1; i++)
		request[DALY_BYTES - 1] = (uint8_t)(request[DALY_BYTES - 1] + request[i]);
	for (size_t i = 0; i < DALY_BYTES; i++)
		a.size = simboard_rx(b, request[i], a.bytes);
	return a;
}

static void assert_daly(const struct answer *a, uint8_t command, size_t frames)
{
	assert_int_equal(a->size, frames * DALY_BYTES);
	for (size_t f = 0; f < frames; f++) {
		const uint8_t *frame = a->bytes + f * DALY_BYTES;
		uint8_t sum = 0;

		for (size_t i = 0; i < DALY_BYTES - 1; i++)
			sum = (uint8_t)(sum + frame[i]);
		assert_int_equal(frame[DALY_BYTES - 1], sum);
		assert_int_equal(frame[0], 0xa5);
		assert_int_equal(frame[1], 0x01);
		assert_int_equal(frame[2], command);
		assert_int_equal(frame[3], 8);
	}
}

static void test_daly_commands(void **state)
{
	struct simboard_settings s = jbd_settings;
	_cleanup_(simboard_freep) struct simboard *b = NULL;
	struct answer a;

	(void)state;
	s.protocol = SIMBOARD_DALY;
	b = make(&s);
	tell(b, "current -50000");
	pass(b, 1);
	a = read_daly(b, 0x90, 0);
	assert_daly(&a, 0x90, 1);
	assert_int_equal(u16_at(&a, 4), 30500); /* discharging is more than 30000 */
	assert_int_equal(u16_at(&a, 6), 500);
	a = read_daly(b, 0x93, 0);
	assert_daly(&a, 0x93, 1);
	assert_int_equal(a.bytes[4], 2);
	assert_int_equal(a.bytes[5], 1);
	assert_int_equal(a.bytes[6], 1);
	a = read_daly(b, 0x94, 0);
	assert_int_equal(a.bytes[4], 8);
	assert_int_equal(a.bytes[5], 2);
	a = read_daly(b, 0x95, 0);
	assert_daly(&a, 0x95, 3); /* 8 cells, 3 a frame */
	assert_int_equal(a.bytes[4], 1);
	assert_int_equal(a.bytes[DALY_BYTES + 4], 2);
	a = read_daly(b, 0x96, 0);
	assert_daly(&a, 0x96, 1);
	assert_int_equal(a.bytes[5], 22 + 40);
	a = read_daly(b, 0x57, 0);
	assert_daly(&a, 0x57, 5);
	a = read_daly(b, 0x50, 0);
	assert_int_equal(u16_at(&a, 2), (int16_t)40000);
	assert_int_equal(read_daly(b, 0x4f, 0).size, 0);
}

static void test_daly_fets_and_alarms(void **state)
{
	struct simboard_settings s = jbd_settings;
	_cleanup_(simboard_freep) struct simboard *b = NULL;
	struct answer a;

	(void)state;
	s.protocol = SIMBOARD_DALY;
	b = make(&s);
	a = read_daly(b, 0xd9, 0);
	assert_daly(&a, 0xd9, 1);
	a = read_daly(b, 0x93, 0);
	assert_int_equal(a.bytes[5], 1);
	assert_int_equal(a.bytes[6], 0);
	a = read_daly(b, 0xda, 0);
	assert_daly(&a, 0xda, 1);
	a = read_daly(b, 0xd9, 1);
	a = read_daly(b, 0x93, 0);
	assert_int_equal(a.bytes[5], 0);
	assert_int_equal(a.bytes[6], 1);
	tell(b, "protect cell-undervoltage");
	a = read_daly(b, 0x98, 0);
	assert_int_equal(a.bytes[4], 1 << 3);
}

static void test_daly_asleep_sends_the_request_back(void **state)
{
	struct simboard_settings s = jbd_settings;
	_cleanup_(simboard_freep) struct simboard *b = NULL;
	struct answer a;

	(void)state;
	s.protocol = SIMBOARD_DALY;
	b = make(&s);
	tell(b, "asleep 10");
	a = read_daly(b, 0x90, 0);
	assert_int_equal(a.size, DALY_BYTES);
	assert_int_equal(a.bytes[1], 0x40);
	pass(b, 10);
	a = read_daly(b, 0x90, 0);
	assert_daly(&a, 0x90, 1);
	tell(b, "zero");
	a = read_daly(b, 0x90, 0);
	assert_daly(&a, 0x90, 1);
	assert_int_equal(u16_at(&a, 4), 0);
}

/* ---- commands ---- */

static void test_silence(void **state)
{
	_cleanup_(simboard_freep) struct simboard *b = make(&jbd_settings);

	(void)state;
	tell(b, "sleep 5");
	assert_int_equal(read_jbd(b, JBD_BASIC).size, 0);
	pass(b, 4);
	assert_int_equal(read_jbd(b, JBD_BASIC).size, 0);
	pass(b, 1);
	assert_true(read_jbd(b, JBD_BASIC).size > 0);
	tell(b, "sleep 500");
	tell(b, "wake");
	assert_true(read_jbd(b, JBD_BASIC).size > 0);
}

static void test_refusals_and_zeros(void **state)
{
	_cleanup_(simboard_freep) struct simboard *b = make(&jbd_settings);

	(void)state;
	tell(b, "refuse 2");
	assert_int_equal(read_jbd(b, JBD_BASIC).bytes[2], JBD_STATUS_ERROR);
	assert_int_equal(read_jbd(b, JBD_BASIC).bytes[2], JBD_STATUS_ERROR);
	assert_int_equal(read_jbd(b, JBD_BASIC).bytes[2], JBD_STATUS_OK);
	tell(b, "zero");
	assert_int_equal(percent_of(b), 0);
	assert_int_equal(percent_of(b), 50);
}

static void test_reset_and_residual(void **state)
{
	struct simboard_settings s = jbd_settings;
	_cleanup_(simboard_freep) struct simboard *b = NULL;

	(void)state;
	s.soc_percent = 80;
	b = make(&s);
	tell(b, "residual 12340");
	assert_int_equal(residual_of(b), 12340);
	tell(b, "fet charge off");
	assert_int_equal(fets_of(b), 2);
	tell(b, "reset");
	assert_int_equal(residual_of(b), 20000);
	assert_int_equal(fets_of(b), 3);
}

static void test_cells_and_sensors_at_fault(void **state)
{
	_cleanup_(simboard_freep) struct simboard *b = make(&jbd_settings);
	struct answer before = read_jbd(b, JBD_CELLS), a;

	(void)state;
	tell(b, "cell 7 drift -30");
	pass(b, 1);
	a = read_jbd(b, JBD_CELLS);
	assert_int_equal(u16_at(&a, 12), u16_at(&before, 12) - 30);
	tell(b, "cell 7 free");
	tell(b, "cell 3 stuck");
	tell(b, "current -20000");
	pass(b, 60);
	a = read_jbd(b, JBD_CELLS);
	assert_int_equal(u16_at(&a, 4), u16_at(&before, 4));
	assert_true(u16_at(&a, 2) < u16_at(&before, 2));
	tell(b, "ntc 2 open");
	a = basic(b);
	assert_int_equal(u16_at(&a, JBD_BASIC_BYTES + 2), 2731 - 400);
	assert_true(u16_at(&a, JBD_BASIC_BYTES) > 2731 + 200);
	tell(b, "ntc 2 free");
	a = basic(b);
	assert_true(u16_at(&a, JBD_BASIC_BYTES + 2) > 2731 + 200);
}

static void test_protections_by_command(void **state)
{
	_cleanup_(simboard_freep) struct simboard *b = make(&jbd_settings);

	(void)state;
	tell(b, "protect short-circuit");
	assert_int_equal(protections_of(b), 1 << 10);
	assert_int_equal(fets_of(b), 0);
	pass(b, 100);
	assert_int_equal(protections_of(b), 1 << 10);
	tell(b, "protect cell-overvoltage");
	tell(b, "clear short-circuit");
	assert_int_equal(protections_of(b), 1);
	assert_int_equal(fets_of(b), 2);
	tell(b, "clear all");
	assert_int_equal(protections_of(b), 0);
}

static void test_commands_that_are_none(void **state)
{
	static const char *const wrong[] = {
		"current",
		"current x",
		"current 1 2",
		"profile 1",
		"ambient",
		"sleep",
		"sleep -1",
		"refuse x",
		"residual 40001",
		"cell 9 stuck",
		"cell 0 stuck",
		"cell 1",
		"cell 1 drift",
		"cell 1 drift x",
		"ntc 3 open",
		"ntc 1",
		"protect",
		"protect me",
		"clear",
		"fet",
		"fet charge",
		"fet both off",
		"fet charge maybe",
		"",
		"   ",
		"cell 1 drift 1 1 1 1 1",
	};
	_cleanup_(simboard_freep) struct simboard *b = make(&jbd_settings);
	char tediously[400];

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		if (simboard_command(b, wrong[i]) != -EINVAL)
			fail_msg("'%s'", wrong[i]);
	assert_int_equal(simboard_command(b, "explode"), -ENOENT);
	memset(tediously, 'x', sizeof tediously);
	tediously[sizeof tediously - 1] = 0;
	assert_int_equal(simboard_command(b, tediously), -EINVAL);
}

/* ---- the line ---- */

struct wire {
	struct simline_faults faults;
	struct simline line;
};

static const uint8_t frame[] = { 0xdd, 1, 2, 3, 4, 5, 6, 0x77 };

static void answer(struct wire *w)
{
	simline_answer(&w->line, &w->faults, frame, sizeof frame);
}

static void drain(struct wire *w)
{
	while (w->line.used)
		simline_written(&w->line, simline_due(&w->line));
}

static void test_line_is_well(void **state)
{
	struct wire w = {};

	(void)state;
	answer(&w);
	assert_int_equal(simline_due(&w.line), sizeof frame);
	assert_memory_equal(w.line.bytes, frame, sizeof frame);
	simline_heard(&w.line, &w.faults, frame, sizeof frame);
	assert_int_equal(w.line.used, sizeof frame);
	assert_int_equal(w.faults.struck, 0);
}

static void test_line_damages(void **state)
{
	struct wire w = { .faults.random = 5 };

	(void)state;
	assert_int_equal(simline_command(&w.faults, "drop 1"), 0);
	answer(&w);
	assert_int_equal(w.line.used, sizeof frame - 1);
	drain(&w);
	answer(&w);
	assert_int_equal(w.line.used, sizeof frame);
	drain(&w);
	assert_int_equal(simline_command(&w.faults, "dup 1"), 0);
	answer(&w);
	assert_int_equal(w.line.used, sizeof frame + 1);
	drain(&w);
	assert_int_equal(simline_command(&w.faults, "flip 1"), 0);
	answer(&w);
	assert_int_equal(w.line.used, sizeof frame);
	assert_memory_not_equal(w.line.bytes, frame, sizeof frame);
	drain(&w);
	assert_int_equal(simline_command(&w.faults, "junk"), 0);
	for (unsigned i = 0; i < 100; i++) {
		answer(&w);
		assert_in_range(w.line.used, sizeof frame + 1, sizeof frame + 6);
		assert_memory_equal(w.line.bytes + w.line.used - sizeof frame, frame, sizeof frame);
		drain(&w);
	}
	assert_int_equal(simline_command(&w.faults, "well"), 0);
	answer(&w);
	assert_int_equal(w.line.used, sizeof frame);
	assert_int_equal(w.faults.struck, 103);
}

static void test_line_splits_everywhere(void **state)
{
	struct wire w = {};
	bool split_at[sizeof frame] = { false };

	(void)state;
	assert_int_equal(simline_command(&w.faults, "split"), 0);
	answer(&w);
	for (size_t left = sizeof frame; left; left -= left < 3 ? left : 3) {
		assert_int_equal(simline_due(&w.line), left < 3 ? left : 3);
		simline_written(&w.line, simline_due(&w.line));
	}
	assert_int_equal(simline_command(&w.faults, "split every"), 0);
	for (size_t i = 0; i < sizeof frame; i++) {
		answer(&w);
		split_at[simline_due(&w.line) - 1] = true;
		simline_written(&w.line, simline_due(&w.line));
		assert_int_equal(simline_due(&w.line), w.line.used);
		drain(&w);
	}
	for (size_t i = 0; i < sizeof frame; i++)
		assert_true(split_at[i]);
}

static void test_line_is_late_and_echoes(void **state)
{
	struct wire w = {};

	(void)state;
	assert_int_equal(simline_command(&w.faults, "late 700 1"), 0);
	answer(&w);
	assert_int_equal(w.line.delay_msec, 700);
	drain(&w);
	answer(&w);
	assert_int_equal(w.line.delay_msec, 0);
	drain(&w);
	assert_int_equal(simline_command(&w.faults, "echo"), 0);
	simline_heard(&w.line, &w.faults, frame, 3);
	assert_memory_equal(w.line.bytes, frame, 3);
	assert_int_equal(w.line.used, 3);
}

static void test_line_has_an_end(void **state)
{
	struct wire w = {};

	(void)state;
	for (unsigned i = 0; i < SIMLINE_BYTES; i++)
		answer(&w);
	assert_true(w.line.used <= SIMLINE_BYTES);
	drain(&w);
	assert_int_equal(w.line.used, 0);
	simline_answer(&w.line, &w.faults, frame, 0);
	assert_int_equal(w.line.used, 0);
}

static void test_line_commands_that_are_none(void **state)
{
	struct wire w = {};

	(void)state;
	assert_int_equal(simline_command(&w.faults, "split x"), -EINVAL);
	assert_int_equal(simline_command(&w.faults, "split 0"), -EINVAL);
	assert_int_equal(simline_command(&w.faults, "junk -1"), -EINVAL);
	assert_int_equal(simline_command(&w.faults, "late"), -EINVAL);
	assert_int_equal(simline_command(&w.faults, "late 5 5 5"), -EINVAL);
	assert_int_equal(simline_command(&w.faults, "well now"), -EINVAL);
	assert_int_equal(simline_command(&w.faults, "sleep 5"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jbd_registers),
		cmocka_unit_test(test_board_counts_what_it_measures),
		cmocka_unit_test(test_an_aged_pack_is_empty_before_its_board_says_so),
		cmocka_unit_test(test_charging_ends),
		cmocka_unit_test(test_temperature_protection_has_two_thresholds),
		cmocka_unit_test(test_balancing),
		cmocka_unit_test(test_fets_by_request),
		cmocka_unit_test(test_lines_do_not_mix),
		cmocka_unit_test(test_daly_commands),
		cmocka_unit_test(test_daly_fets_and_alarms),
		cmocka_unit_test(test_daly_asleep_sends_the_request_back),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_refusals_and_zeros),
		cmocka_unit_test(test_reset_and_residual),
		cmocka_unit_test(test_cells_and_sensors_at_fault),
		cmocka_unit_test(test_protections_by_command),
		cmocka_unit_test(test_commands_that_are_none),
		cmocka_unit_test(test_line_is_well),
		cmocka_unit_test(test_line_damages),
		cmocka_unit_test(test_line_splits_everywhere),
		cmocka_unit_test(test_line_is_late_and_echoes),
		cmocka_unit_test(test_line_has_an_end),
		cmocka_unit_test(test_line_commands_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
