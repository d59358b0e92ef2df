/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bmsd/driver.h"
#include "bmsd/jbd.h"
#include "bmsd/sample.h"

#define FRAME_MAX (JBD_FRAME_BYTES * 4)

/* Frames of real boards and of the vendor's document. */
#define VENDOR_17S_BASIC                                                                           \
	"DD 03 00 1F 19 DF F8 24 0D A5 0F A0 00 02 24 91 00 00 00 00 00 00 12 57 03 11 04 "        \
	"0B 98 0B A9 0B 96 0B 97 F8 9A 77"
#define VENDOR_17S_CELLS                                                                           \
	"DD 04 00 22 0E C8 0E C8 0E CB 0E CF 0E CA 0E C7 0E CA 0E CD 0E C9 0E CA 0E CB 0E CB "     \
	"0E C8 0E CC 0E C8 0E C9 0E C9 F1 87 77"
#define VENDOR_15S_BASIC                                                                           \
	"DD 03 00 1B 17 00 00 00 02 D0 03 E8 00 00 20 78 00 00 00 00 00 00 10 48 03 0F 02 "        \
	"0B 76 0B 82 FB FF 77"
#define VENDOR_15S_CELLS                                                                           \
	"DD 04 00 1E 0F 66 0F 63 0F 63 0F 64 0F 3E 0F 63 0F 37 0F 5B 0F 65 0F 3B 0F 63 0F 63 "     \
	"0F 3C 0F 66 0F 3D F9 F9 77"
#define SP04S034_BASIC                                                                             \
	"DD 03 00 1D 06 18 00 00 01 F2 01 F4 00 00 2C 7C 00 00 00 00 00 00 80 64 03 04 03 "        \
	"0B 8B 0B 8A 0B 84 FA 8D 77"
#define BALANCING_BASIC                                                                            \
	"DD 03 00 1B 05 4A 01 76 4D C3 4E 20 00 E7 28 91 00 08 00 00 00 00 16 64 03 04 02 0B D8 "  \
	"0B E3 F9 A5 77"
#define SP04S034_CELLS "DD 04 00 08 0F 45 0F 3D 0F 37 0F 3D FE C6 77"
#define SP04S034_MODEL                                                                             \
	"DD 05 00 19 4A 42 44 2D 53 50 30 34 53 30 33 34 2D 4C 34 53 2D 32 30 30 41 2D 42 2D 55 "  \
	"FA 08 77"
#define SP04S034_COUNTERS                                                                          \
	"DD AA 00 18 00 00 00 00 00 00 00 7A 00 02 00 00 00 00 00 00 00 00 00 00 00 00 00 01 "     \
	"FF 6B 77"
#define DP04S007_BASIC                                                                             \
	"DD 03 00 22 05 5F 00 00 4A DF 4E 20 00 02 2D 14 00 00 00 00 00 00 23 60 03 04 01 0B B1 "  \
	"00 00 00 4E 20 4A DF 00 00 FA C2 77"
#define REFUSED_MODEL	 "DD 05 80 00 FF 80 77"
#define REFUSED_COUNTERS "DD AA 80 00 FF 80 77"
#define SWITCHES_TAKEN	 "DD E1 00 00 00 00 77"

struct bytes {
	uint8_t at[FRAME_MAX];
	size_t size;
};

static struct bytes hex(const char *text)
{
	struct bytes b = {};
	unsigned value;
	int used;

	while (sscanf(text, "%2x%n", &value, &used) == 1) {
		assert_true(b.size < sizeof b.at);
		b.at[b.size++] = (uint8_t)value;
		text += used;
	}
	return b;
}

static struct bytes answer_of(uint8_t reg, const uint8_t *data, uint8_t size)
{
	struct bytes b = {};

	b.size = jbd_build_answer(reg, JBD_STATUS_OK, data, size, b.at);
	return b;
}

static struct bytes join(const void *before, size_t size, struct bytes b)
{
	struct bytes joined = { .size = size + b.size };

	assert_true(joined.size <= sizeof joined.at);
	memcpy(joined.at, before, size);
	memcpy(joined.at + size, b.at, b.size);
	return joined;
}

/* What each answer to a poll tells. */
#define EVERY_POLL                                                                                 \
	(1u << SAMPLE_VOLTAGE | 1u << SAMPLE_CURRENT | 1u << SAMPLE_CHARGE |                       \
	 1u << SAMPLE_CHARGE_FULL_DESIGN | 1u << SAMPLE_CAPACITY | 1u << SAMPLE_CYCLES |           \
	 1u << SAMPLE_CELLS | 1u << SAMPLE_TEMPERATURES | 1u << SAMPLE_PROTECTIONS |               \
	 1u << SAMPLE_BALANCING | 1u << SAMPLE_CHARGE_FET | 1u << SAMPLE_DISCHARGE_FET)

/* A board with one canned answer for each question. */
struct board {
	struct bytes model, basic, cells, counters;
};

struct fixture {
	struct bytes late; /* what arrives before the first answer */
	uint8_t *state;
	struct link_errors errors;
	struct sample sample;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	f->state = calloc(1, driver_jbd.state_bytes);
	assert_non_null(f->state);
	driver_jbd.init(f->state);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->state);
	free(f);
	return 0;
}

static const struct bytes *question(const struct board *b, const uint8_t *request, size_t size)
{
	uint8_t expected[JBD_REQUEST_BYTES];

	assert_int_equal(size, jbd_build_request(request[2], expected));
	assert_memory_equal(request, expected, size);
	switch (request[2]) {
	case JBD_MODEL: return &b->model;
	case JBD_BASIC: return &b->basic;
	case JBD_CELLS: return &b->cells;
	default: assert_int_equal(request[2], JBD_ERROR_COUNTERS); return &b->counters;
	}
}

/* One poll; silence after the last byte of an answer is a timeout. */
static enum driver_step poll_board(struct fixture *f, const struct board *b)
{
	uint8_t request[DRIVER_REQUEST_BYTES];
	enum driver_step step = DRIVER_SEND;
	size_t size = driver_jbd.begin(f->state, request);

	for (size_t i = 0; i < f->late.size; i++)
		assert_int_equal(driver_jbd.rx(f->state, f->late.at[i], &f->errors), DRIVER_WAIT);
	f->late.size = 0;
	while (step == DRIVER_SEND) {
		const struct bytes *answer = question(b, request, size);

		step = DRIVER_WAIT;
		for (size_t i = 0; i < answer->size && step == DRIVER_WAIT; i++)
			step = driver_jbd.rx(f->state, answer->at[i], &f->errors);
		if (step == DRIVER_WAIT)
			step = driver_jbd.timeout(f->state, &f->errors);
		if (step == DRIVER_SEND)
			size = driver_jbd.next(f->state, request);
	}
	if (step == DRIVER_DONE)
		assert_int_equal(driver_jbd.commit(f->state, &f->sample), 0);
	return step;
}

static struct board board_of(const char *model, const char *basic, const char *cells)
{
	return (struct board){ hex(model), hex(basic), hex(cells), hex(REFUSED_COUNTERS) };
}

static uint64_t total(const struct link_errors *e)
{
	uint64_t n = 0;

	for (size_t i = 0; i < LINK_ERROR_COUNT; i++)
		n += e->n[i];
	return n;
}

static const struct sample_limits limits = {
	.cell_min_uv = 1000000,
	.cell_max_uv = 5000000,
	.current_max_ua = 500000000,
};

/* ---- frames ---- */

static void test_requests_are_the_vendors(void **state)
{
	static const struct {
		uint8_t reg;
		const char *frame;
	} table[] = {
		{ JBD_BASIC, "DD A5 03 00 FF FD 77" },
		{ JBD_CELLS, "DD A5 04 00 FF FC 77" },
		{ JBD_MODEL, "DD A5 05 00 FF FB 77" },
		{ JBD_ERROR_COUNTERS, "DD A5 AA 00 FF 56 77" },
	};
	static const uint8_t discharge_off[] = { 0xe1, 0x02, 0x00, 0x02 };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		struct bytes expected = hex(table[i].frame);
		uint8_t frame[JBD_REQUEST_BYTES];

		assert_int_equal(jbd_build_request(table[i].reg, frame), expected.size);
		assert_memory_equal(frame, expected.at, expected.size);
	}
	assert_int_equal(jbd_checksum(discharge_off, sizeof discharge_off), 0xff1b);
}

static void test_real_answers_can_be_made_again(void **state)
{
	static const char *const frames[] = {
		VENDOR_17S_BASIC, VENDOR_17S_CELLS, VENDOR_15S_BASIC, VENDOR_15S_CELLS,
		SP04S034_BASIC,	  SP04S034_CELLS,   SP04S034_MODEL,   SP04S034_COUNTERS,
		DP04S007_BASIC,	  REFUSED_MODEL,
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(frames); i++) {
		struct bytes b = hex(frames[i]);
		uint8_t made[JBD_FRAME_BYTES];

		assert_int_equal(b.size, b.at[3] + JBD_OVERHEAD_BYTES);
		assert_int_equal(jbd_build_answer(b.at[1], b.at[2], b.at + 4, b.at[3], made),
				 b.size);
		assert_memory_equal(made, b.at, b.size);
	}
}

static void test_vendor_17s(void **state)
{
	static const int64_t cells_mv[] = { 3784, 3784, 3787, 3791, 3786, 3783, 3786, 3789, 3785,
					    3786, 3787, 3787, 3784, 3788, 3784, 3785, 3785 };
	static const int64_t temperatures[] = { 237, 254, 235, 236 };
	struct board b = board_of(REFUSED_MODEL, VENDOR_17S_BASIC, VENDOR_17S_CELLS);
	char reason[SAMPLE_REASON_BYTES] = "";
	struct fixture *f = *state;

	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_string_equal(f->sample.model, "");
	assert_int_equal(f->sample.voltage_uv, 66230000);
	assert_int_equal(f->sample.current_ua, -20120000);
	assert_int_equal(f->sample.charge_uah, 34930000);
	assert_int_equal(f->sample.charge_full_design_uah, 40000000);
	assert_int_equal(f->sample.cycles, 2);
	assert_string_equal(f->sample.manufactured, "2018-04-17");
	assert_string_equal(f->sample.firmware, "1.2");
	assert_string_equal(f->sample.serial, "");
	assert_int_equal(f->sample.valid, EVERY_POLL);
	assert_int_equal(f->sample.protections, 0);
	assert_int_equal(f->sample.balancing, 0);
	assert_int_equal(f->sample.capacity_percent, 87);
	assert_true(f->sample.charge_fet);
	assert_true(f->sample.discharge_fet);
	assert_int_equal(f->sample.n_temperatures, 4);
	assert_memory_equal(f->sample.temperatures_decicelsius, temperatures, sizeof temperatures);
	assert_int_equal(f->sample.n_cells, 17);
	for (size_t i = 0; i < 17; i++)
		assert_int_equal(f->sample.cells_uv[i], cells_mv[i] * 1000);
	/* The two frames were not taken at one moment: a sample like this must not be believed. */
	assert_int_equal(sample_check(&f->sample, &limits, reason), -ERANGE);
	assert_string_equal(reason, "the cells add up to 64361 mV, the pack says 66230 mV");
}

static void test_vendor_15s(void **state)
{
	static const int64_t cells_mv[] = { 3942, 3939, 3939, 3940, 3902, 3939, 3895, 3931,
					    3941, 3899, 3939, 3939, 3900, 3942, 3901 };
	struct board b = board_of(REFUSED_MODEL, VENDOR_15S_BASIC, VENDOR_15S_CELLS);
	char reason[SAMPLE_REASON_BYTES] = "";
	struct fixture *f = *state;

	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(f->sample.voltage_uv, 58880000);
	assert_int_equal(f->sample.current_ua, 0);
	assert_int_equal(f->sample.charge_uah, 7200000);
	assert_int_equal(f->sample.charge_full_design_uah, 10000000);
	assert_int_equal(f->sample.cycles, 0);
	assert_int_equal(f->sample.capacity_percent, 72);
	assert_int_equal(f->sample.n_temperatures, 2);
	assert_int_equal(f->sample.temperatures_decicelsius[0], 203);
	assert_int_equal(f->sample.temperatures_decicelsius[1], 215);
	assert_int_equal(f->sample.n_cells, 15);
	for (size_t i = 0; i < 15; i++)
		assert_int_equal(f->sample.cells_uv[i], cells_mv[i] * 1000);
	assert_int_equal(sample_check(&f->sample, &limits, reason), 0);
}

static void test_sp04s034(void **state)
{
	static const int64_t cells_uv[] = { 3909000, 3901000, 3895000, 3901000 };
	static const int64_t temperatures[] = { 224, 223, 217 };
	struct board b = board_of(SP04S034_MODEL, SP04S034_BASIC, SP04S034_CELLS);
	char reason[SAMPLE_REASON_BYTES] = "";
	struct fixture *f = *state;

	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_string_equal(f->sample.model, "JBD-SP04S034-L4S-200A-B-U");
	assert_string_equal(f->sample.manufactured, "2022-03-28");
	assert_string_equal(f->sample.firmware, "8.0");
	assert_int_equal(f->sample.voltage_uv, 15600000);
	assert_int_equal(f->sample.current_ua, 0);
	assert_int_equal(f->sample.charge_uah, 4980000);
	assert_int_equal(f->sample.charge_full_design_uah, 5000000);
	assert_int_equal(f->sample.capacity_percent, 100);
	assert_int_equal(f->sample.n_cells, 4);
	assert_memory_equal(f->sample.cells_uv, cells_uv, sizeof cells_uv);
	assert_int_equal(f->sample.n_temperatures, 3);
	assert_memory_equal(f->sample.temperatures_decicelsius, temperatures, sizeof temperatures);
	assert_int_equal(sample_check(&f->sample, &limits, reason), 0);
	assert_int_equal(total(&f->errors), 0);
}

/* A board that balances while it is charged, from a report of a user: the cell is one of the four. */
static void test_a_board_that_balances(void **state)
{
	static const uint8_t cells[] = { 0x0d, 0x38, 0x0d, 0x38, 0x0d, 0x38, 0x0d, 0x40 };
	struct board b = { hex(REFUSED_MODEL), hex(BALANCING_BASIC),
			   answer_of(JBD_CELLS, cells, sizeof cells), hex(REFUSED_COUNTERS) };
	char reason[SAMPLE_REASON_BYTES] = "";
	struct fixture *f = *state;

	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(f->sample.voltage_uv, 13540000);
	assert_int_equal(f->sample.current_ua, 3740000);
	assert_int_equal(f->sample.cycles, 231);
	assert_int_equal(f->sample.n_cells, 4);
	assert_int_equal(f->sample.balancing, 1u << 3);
	assert_int_equal(sample_check(&f->sample, &limits, reason), 0);
}

static void test_dp04s007_appends_nine_bytes(void **state)
{
	static const uint8_t cells[] = { 0x0d, 0x6d, 0x0d, 0x6e, 0x0d, 0x6d, 0x0d, 0x6e };
	struct board b = { hex(REFUSED_MODEL), hex(DP04S007_BASIC),
			   answer_of(JBD_CELLS, cells, sizeof cells), hex(REFUSED_COUNTERS) };
	char reason[SAMPLE_REASON_BYTES] = "";
	struct fixture *f = *state;

	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(f->sample.voltage_uv, 13750000);
	assert_int_equal(f->sample.charge_uah, 191670000);
	assert_int_equal(f->sample.charge_full_design_uah, 200000000);
	assert_int_equal(f->sample.capacity_percent, 96);
	/* Among what is appended is the capacity that the board counts with. */
	assert_int_equal(f->sample.valid, EVERY_POLL | 1u << SAMPLE_CHARGE_FULL);
	assert_int_equal(f->sample.charge_full_uah, 200000000);
	assert_string_equal(f->sample.manufactured, "2022-08-20");
	assert_string_equal(f->sample.firmware, "2.3");
	assert_int_equal(f->sample.cycles, 2);
	assert_int_equal(f->sample.n_temperatures, 1);
	assert_int_equal(f->sample.temperatures_decicelsius[0], 262);
	assert_int_equal(sample_check(&f->sample, &limits, reason), 0);
}

/* The 15S frame with other bytes from at on. */
static struct bytes basic_with(size_t at, uint8_t a, uint8_t b)
{
	struct bytes f = hex(VENDOR_15S_BASIC);

	f.at[4 + at] = a;
	f.at[4 + at + 1] = b;
	return answer_of(JBD_BASIC, f.at + 4, f.at[3]);
}

static void test_charge_is_unsigned_and_current_is_signed(void **state)
{
	struct board b = board_of(REFUSED_MODEL, VENDOR_15S_BASIC, VENDOR_15S_CELLS);
	struct fixture *f = *state;

	b.basic = basic_with(4, 0xff, 0xdc);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(f->sample.charge_uah, 655000000);
	b.basic = basic_with(2, 0x80, 0x00);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(f->sample.current_ua, -327680000);
	b.basic = basic_with(2, 0x7f, 0xff);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(f->sample.current_ua, 327670000);
}

static void test_what_is_appended_must_be_what_we_take_it_for(void **state)
{
	static const uint8_t cells[] = { 0x0d, 0x6d, 0x0d, 0x6e, 0x0d, 0x6d, 0x0d, 0x6e };
	struct bytes basic = hex(DP04S007_BASIC);
	struct board b = { hex(REFUSED_MODEL), basic, answer_of(JBD_CELLS, cells, sizeof cells),
			   hex(REFUSED_COUNTERS) };
	struct fixture *f = *state;

	basic.at[4 + 31] ^= 1; /* of the residual charge, which stands there once more */
	b.basic = answer_of(JBD_BASIC, basic.at + 4, basic.at[3]);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_false(sample_has(&f->sample, SAMPLE_CHARGE_FULL));
	basic.at[4 + 31] ^= 1;
	b.basic = answer_of(JBD_BASIC, basic.at + 4, (uint8_t)(basic.at[3] - 1));
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_false(sample_has(&f->sample, SAMPLE_CHARGE_FULL));
	basic.at[4 + 28] = basic.at[4 + 29] = 0;
	b.basic = answer_of(JBD_BASIC, basic.at + 4, basic.at[3]);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_false(sample_has(&f->sample, SAMPLE_CHARGE_FULL));
}

static void test_cycles_below_zero_and_impossible_dates_are_unknown(void **state)
{
	struct board b = board_of(REFUSED_MODEL, VENDOR_15S_BASIC, VENDOR_15S_CELLS);
	struct fixture *f = *state;

	b.basic = basic_with(8, 0xff, 0xe9); /* 65513 */
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_false(sample_has(&f->sample, SAMPLE_CYCLES));
	assert_int_equal(f->sample.cycles, 0);
	b.basic = basic_with(8, 0x7f, 0xff);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_true(sample_has(&f->sample, SAMPLE_CYCLES));
	assert_int_equal(f->sample.cycles, 0x7fff);
	b.basic = basic_with(10, 0x24, 0x80); /* day 0 */
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_string_equal(f->sample.manufactured, "");
	b.basic = basic_with(10, 0x25, 0xb1); /* month 13 */
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_string_equal(f->sample.manufactured, "");
	b.basic = basic_with(10, 0xff, 0x9f); /* the last that there is */
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_string_equal(f->sample.manufactured, "2127-12-31");
}

/* ---- counters ---- */

static void test_counters_are_asked_for_now_and_then(void **state)
{
	struct board b = board_of(SP04S034_MODEL, SP04S034_BASIC, SP04S034_CELLS);
	struct fixture *f = *state;

	b.counters = hex(SP04S034_COUNTERS);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_false(sample_has(&f->sample, SAMPLE_COUNTERS));
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_true(sample_has(&f->sample, SAMPLE_COUNTERS));
	assert_int_equal(f->sample.counters_age_msec, SAMPLE_COUNTERS_NEW);
	assert_int_equal(f->sample.counters[PROTECTION_CELL_OVERVOLTAGE], 122);
	assert_int_equal(f->sample.counters[PROTECTION_CELL_UNDERVOLTAGE], 2);
	for (unsigned i = 0; i < PROTECTION_COUNT; i++)
		if (i != PROTECTION_CELL_OVERVOLTAGE && i != PROTECTION_CELL_UNDERVOLTAGE)
			assert_int_equal(f->sample.counters[i], 0);
	assert_int_equal(f->sample.counters_known, (1u << JBD_COUNTERS) - 1);
	b.counters.at[4 + 9] = 3;
	b.counters = answer_of(JBD_ERROR_COUNTERS, b.counters.at + 4, b.counters.at[3]);
	for (unsigned i = 1; i < 60; i++) {
		assert_int_equal(poll_board(f, &b), DRIVER_DONE);
		assert_int_equal(f->sample.counters_age_msec, SAMPLE_COUNTERS_KEPT);
		assert_int_equal(f->sample.counters[PROTECTION_CELL_UNDERVOLTAGE], 2);
	}
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(f->sample.counters_age_msec, SAMPLE_COUNTERS_NEW);
	assert_int_equal(f->sample.counters[PROTECTION_CELL_UNDERVOLTAGE], 3);
	assert_int_equal(total(&f->errors), 0);
}

static void test_each_counter_has_its_name(void **state)
{
	static const enum protection order[] = {
		PROTECTION_SHORT_CIRCUIT,
		PROTECTION_CHARGE_OVERCURRENT,
		PROTECTION_DISCHARGE_OVERCURRENT,
		PROTECTION_CELL_OVERVOLTAGE,
		PROTECTION_CELL_UNDERVOLTAGE,
		PROTECTION_CHARGE_OVERTEMPERATURE,
		PROTECTION_CHARGE_UNDERTEMPERATURE,
		PROTECTION_DISCHARGE_OVERTEMPERATURE,
		PROTECTION_DISCHARGE_UNDERTEMPERATURE,
		PROTECTION_PACK_OVERVOLTAGE,
		PROTECTION_PACK_UNDERVOLTAGE,
	};
	struct board b = board_of(REFUSED_MODEL, SP04S034_BASIC, SP04S034_CELLS);
	uint8_t data[JBD_COUNTERS_MIN_BYTES];
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(order); i++) {
		data[2 * i] = 1;
		data[2 * i + 1] = (uint8_t)i;
	}
	b.counters = answer_of(JBD_ERROR_COUNTERS, data, sizeof data);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	for (size_t i = 0; i < ELEMENTSOF(order); i++)
		assert_int_equal(f->sample.counters[order[i]], 256 + i);
}

static void test_counters_that_are_not_confirmed_are_not_known(void **state)
{
	struct board b = board_of(REFUSED_MODEL, SP04S034_BASIC, SP04S034_CELLS);
	struct fixture *f = *state;

	b.counters = hex(SP04S034_COUNTERS);
	for (unsigned i = 0; i < 61; i++)
		assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_true(sample_has(&f->sample, SAMPLE_COUNTERS));
	b.counters = (struct bytes){};
	/* Silence costs no sample, and three times is enough. */
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(poll_board(f, &b), DRIVER_DONE);
		assert_false(sample_has(&f->sample, SAMPLE_COUNTERS));
		assert_int_equal(f->sample.counters[PROTECTION_CELL_OVERVOLTAGE], 0);
	}
	assert_int_equal(f->errors.n[LINK_ERROR_TIMEOUT], 3);
}

static void test_refused_and_short_counters(void **state)
{
	struct board b = board_of(REFUSED_MODEL, SP04S034_BASIC, SP04S034_CELLS);
	struct bytes counters = hex(SP04S034_COUNTERS);
	struct fixture *f = *state;

	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	/* An older board is no worse for it: the one error is the refused model. */
	assert_int_equal(total(&f->errors), 1);
	driver_jbd.init(f->state);
	b.counters = answer_of(JBD_ERROR_COUNTERS, counters.at + 4, JBD_COUNTERS_MIN_BYTES - 1);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_false(sample_has(&f->sample, SAMPLE_COUNTERS));
	assert_int_equal(f->errors.n[LINK_ERROR_MALFORMED], 1);
}

/* ---- switches ---- */

static enum driver_step command(struct fixture *f, enum fet fet, bool on, const char *expected,
				const char *answer)
{
	uint8_t request[DRIVER_REQUEST_BYTES];
	struct bytes want = hex(expected), b = hex(answer);
	enum driver_step step = DRIVER_WAIT;

	assert_int_equal(driver_jbd.set_fet(f->state, fet, on, request), (int)want.size);
	assert_memory_equal(request, want.at, want.size);
	for (size_t i = 0; i < b.size && step == DRIVER_WAIT; i++)
		step = driver_jbd.rx(f->state, b.at[i], &f->errors);
	if (step == DRIVER_WAIT)
		step = driver_jbd.timeout(f->state, &f->errors);
	/* Whatever came: it is no sample. */
	assert_int_equal(driver_jbd.commit(f->state, &f->sample), -ENODATA);
	return step;
}

#define FORCE_NONE	"DD 5A E1 02 00 00 FF 1D 77"
#define FORCE_CHARGE	"DD 5A E1 02 00 01 FF 1C 77"
#define FORCE_DISCHARGE "DD 5A E1 02 00 02 FF 1B 77" /* the vendor's example */
#define FORCE_BOTH	"DD 5A E1 02 00 03 FF 1A 77"

/* The state of both FETs, and whether they are forced. */
static void poll_switches(struct fixture *f, unsigned fets, bool locked)
{
	struct board b = board_of(REFUSED_MODEL, VENDOR_15S_BASIC, VENDOR_15S_CELLS);

	b.basic = basic_with(20, (uint8_t)fets, 15);
	b.basic.at[4 + 16] = locked ? 0x10 : 0;
	b.basic = answer_of(JBD_BASIC, b.basic.at + 4, b.basic.at[3]);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
}

static void test_a_switch_leaves_the_other_as_it_is(void **state)
{
	struct fixture *f = *state;
	uint8_t request[DRIVER_REQUEST_BYTES];

	assert_int_equal(driver_jbd.set_fet(f->state, FET_CHARGE, false, request), -ENODATA);
	poll_switches(f, 3, false);
	assert_int_equal(command(f, FET_DISCHARGE, false, FORCE_DISCHARGE, SWITCHES_TAKEN),
			 DRIVER_DONE);
	poll_switches(f, 1, true);
	assert_int_equal(command(f, FET_CHARGE, false, FORCE_BOTH, SWITCHES_TAKEN), DRIVER_DONE);
	poll_switches(f, 0, true);
	assert_int_equal(command(f, FET_DISCHARGE, true, FORCE_CHARGE, SWITCHES_TAKEN),
			 DRIVER_DONE);
	poll_switches(f, 2, true);
	assert_int_equal(command(f, FET_CHARGE, true, FORCE_NONE, SWITCHES_TAKEN), DRIVER_DONE);
}

static void test_what_the_board_keeps_off_itself_is_not_forced(void **state)
{
	struct fixture *f = *state;

	/* The charge FET is off for a full cell: a discharge lock must not make that ours. */
	poll_switches(f, 2, false);
	assert_int_equal(command(f, FET_DISCHARGE, false, FORCE_DISCHARGE, SWITCHES_TAKEN),
			 DRIVER_DONE);
	/* Now both are off and the lock is set; only one of them is ours. */
	poll_switches(f, 0, true);
	assert_int_equal(command(f, FET_DISCHARGE, true, FORCE_NONE, SWITCHES_TAKEN), DRIVER_DONE);
	/* A lock that was there before us is kept. */
	driver_jbd.init(f->state);
	poll_switches(f, 2, true);
	assert_int_equal(command(f, FET_DISCHARGE, false, FORCE_BOTH, SWITCHES_TAKEN), DRIVER_DONE);
	/* The board has forgotten it. */
	poll_switches(f, 3, false);
	assert_int_equal(command(f, FET_DISCHARGE, false, FORCE_DISCHARGE, SWITCHES_TAKEN),
			 DRIVER_DONE);
}

static void test_commands_that_are_not_taken(void **state)
{
	struct fixture *f = *state;

	poll_switches(f, 3, false);
	assert_int_equal(command(f, FET_CHARGE, false, FORCE_CHARGE, "DD E1 80 00 FF 80 77"),
			 DRIVER_FAILED);
	assert_int_equal(command(f, FET_CHARGE, false, FORCE_CHARGE, ""), DRIVER_FAILED);
	poll_switches(f, 3, false);
	assert_int_equal(command(f, FET_CHARGE, false, FORCE_CHARGE, FORCE_CHARGE), DRIVER_FAILED);
	assert_int_equal(f->errors.n[LINK_ERROR_ECHO], 1);
	poll_switches(f, 3, false);
	assert_int_equal(command(f, FET_CHARGE, false, FORCE_CHARGE, "DD E1 00 00 00 01 77"),
			 DRIVER_FAILED);
	/* None of them counts as forced. */
	poll_switches(f, 3, true);
	assert_int_equal(command(f, FET_DISCHARGE, false, FORCE_DISCHARGE, SWITCHES_TAKEN),
			 DRIVER_DONE);
	/* And polls go on. */
	poll_switches(f, 3, false);
}

static void test_a_lost_answer_to_a_command(void **state)
{
	struct fixture *f = *state;
	uint8_t request[DRIVER_REQUEST_BYTES];

	poll_switches(f, 3, false);
	assert_int_equal(command(f, FET_DISCHARGE, false, FORCE_DISCHARGE, SWITCHES_TAKEN),
			 DRIVER_DONE);
	poll_switches(f, 1, true);
	/* The board took it, and nobody heard so: only the next poll can tell. */
	assert_int_equal(command(f, FET_CHARGE, false, FORCE_BOTH, ""), DRIVER_FAILED);
	assert_int_equal(driver_jbd.set_fet(f->state, FET_DISCHARGE, true, request), -ENODATA);
	poll_switches(f, 0, true);
	assert_int_equal(command(f, FET_DISCHARGE, true, FORCE_CHARGE, SWITCHES_TAKEN),
			 DRIVER_DONE);
}

static void test_what_others_locked_after_us_is_kept(void **state)
{
	struct fixture *f = *state;

	poll_switches(f, 3, false);
	assert_int_equal(command(f, FET_CHARGE, false, FORCE_CHARGE, SWITCHES_TAKEN), DRIVER_DONE);
	poll_switches(f, 2, true);
	assert_int_equal(command(f, FET_CHARGE, true, FORCE_NONE, SWITCHES_TAKEN), DRIVER_DONE);
	poll_switches(f, 3, false);
	/* An application of the maker's, say. */
	poll_switches(f, 1, true);
	assert_int_equal(command(f, FET_CHARGE, false, FORCE_BOTH, SWITCHES_TAKEN), DRIVER_DONE);
}

/* ---- answers that come too late ---- */

static struct bytes and_then(struct bytes a, struct bytes b)
{
	return join(a.at, a.size, b);
}

static void test_a_late_answer_is_not_the_next_ones(void **state)
{
	/* Which polls are not answered in time: the basic half, the cells, both. */
	static const struct {
		bool basic, cells;
		unsigned polls;
	} table[] = { { true, false, 1 }, { false, true, 1 }, { true, true, 2 } };
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		struct board b = board_of(SP04S034_MODEL, SP04S034_BASIC, SP04S034_CELLS), away = b;
		static const uint8_t cells[] = { 0x0f, 0, 0x0f, 0, 0x0f, 0, 0x0f, 0 };
		struct bytes none = {};

		driver_jbd.init(f->state);
		assert_int_equal(poll_board(f, &b), DRIVER_DONE);
		away.basic = table[i].basic ? none : b.basic;
		away.cells = table[i].cells ? none : b.cells;
		for (unsigned n = 0; n < table[i].polls; n++)
			assert_int_equal(poll_board(f, &away), DRIVER_FAILED);
		f->late = and_then(table[i].basic ? b.basic : none,
				   table[i].cells ? b.cells : none);
		b.basic.at[4 + 1] -= 20;
		b.basic = answer_of(JBD_BASIC, b.basic.at + 4, b.basic.at[3]);
		b.cells = answer_of(JBD_CELLS, cells, sizeof cells);
		assert_int_equal(poll_board(f, &b), DRIVER_DONE);
		assert_int_equal(f->sample.voltage_uv, 15400000);
		assert_int_equal(f->sample.cells_uv[0], 3840000);
		/* And as ever from there on. */
		assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	}
}

static void test_a_board_that_was_away_is_asked_as_ever(void **state)
{
	struct board b = board_of(SP04S034_MODEL, SP04S034_BASIC, SP04S034_CELLS), away = {};
	struct fixture *f = *state;

	for (unsigned n = 0; n < 12; n++) {
		driver_jbd.init(f->state);
		assert_int_equal(poll_board(f, &b), DRIVER_DONE);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(poll_board(f, &away), DRIVER_FAILED);
		assert_int_equal(poll_board(f, &b), DRIVER_DONE);
		assert_int_equal(f->sample.voltage_uv, 15600000);
	}
}

static void test_protections_and_switches(void **state)
{
	struct board b = board_of(REFUSED_MODEL, VENDOR_15S_BASIC, VENDOR_15S_CELLS);
	struct fixture *f = *state;

	for (unsigned bit = 0; bit < 16; bit++) {
		uint16_t bits = (uint16_t)(1u << bit);

		b.basic = basic_with(16, (uint8_t)(bits >> 8), (uint8_t)(bits & 0xff));
		assert_int_equal(poll_board(f, &b), DRIVER_DONE);
		assert_int_equal(f->sample.protections,
				 1u << (bit < PROTECTION_OTHER ? bit : PROTECTION_OTHER));
	}
	assert_string_equal(protection_name(0), "cell-overvoltage");
	assert_string_equal(protection_name(12), "software-lock");
	assert_string_equal(protection_name(PROTECTION_COUNT), "other");
	b.basic = basic_with(20, 2, 15);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_false(f->sample.charge_fet);
	assert_true(f->sample.discharge_fet);
	b.basic = basic_with(12, 0x00, 0x01);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(f->sample.balancing, 1);
	b.basic = basic_with(14, 0x00, 0x01);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(f->sample.balancing, 0x10000);
}

/* ---- what the line does to frames ---- */

static void test_complete_at_the_last_byte_and_never_before(void **state)
{
	struct board b = board_of(SP04S034_MODEL, VENDOR_15S_BASIC, VENDOR_15S_CELLS);
	const struct bytes *answers[] = { &b.model, &b.basic, &b.cells };
	const enum driver_step ends[] = { DRIVER_SEND, DRIVER_SEND, DRIVER_DONE };
	uint8_t request[DRIVER_REQUEST_BYTES];
	struct fixture *f = *state;

	(void)driver_jbd.begin(f->state, request);
	for (size_t a = 0; a < 3; a++) {
		for (size_t i = 0; i + 1 < answers[a]->size; i++) {
			assert_int_equal(driver_jbd.rx(f->state, answers[a]->at[i], &f->errors),
					 DRIVER_WAIT);
			assert_int_equal(driver_jbd.commit(f->state, &f->sample), -ENODATA);
		}
		assert_int_equal(driver_jbd.rx(f->state, JBD_END, &f->errors), ends[a]);
		if (ends[a] == DRIVER_SEND)
			(void)driver_jbd.next(f->state, request);
	}
	assert_int_equal(total(&f->errors), 0);
}

static void test_no_flipped_byte_gives_a_sample(void **state)
{
	const struct board clean = board_of(REFUSED_MODEL, VENDOR_15S_BASIC, VENDOR_15S_CELLS);
	struct fixture *f = *state;

	for (size_t at = 0; at < clean.basic.size + clean.cells.size; at++) {
		for (unsigned flip = 1; flip < 256; flip++) {
			struct board b = clean;
			struct link_errors before = f->errors;

			if (at < clean.basic.size)
				b.basic.at[at] ^= (uint8_t)flip;
			else
				b.cells.at[at - clean.basic.size] ^= (uint8_t)flip;
			assert_int_equal(poll_board(f, &b), DRIVER_FAILED);
			assert_true(total(&f->errors) > total(&before));
		}
	}
}

static void test_no_byte_too_many_or_too_few_gives_another_sample(void **state)
{
	const struct board clean = board_of(REFUSED_MODEL, VENDOR_15S_BASIC, VENDOR_15S_CELLS);
	struct fixture *f = *state;
	struct sample expected;
	unsigned good = 0;

	assert_int_equal(poll_board(f, &clean), DRIVER_DONE);
	expected = f->sample;
	for (size_t at = 0; at <= clean.basic.size; at++) {
		for (unsigned value = 0; value <= 256; value++) {
			struct board b = clean;
			uint8_t *p = b.basic.at + at;

			if (value < 256) {
				memmove(p + 1, p, b.basic.size++ - at);
				*p = (uint8_t)value;
			} else if (at < b.basic.size) {
				memmove(p, p + 1, --b.basic.size - at);
			}
			if (poll_board(f, &b) != DRIVER_DONE)
				continue;
			good++;
			assert_memory_equal(&f->sample, &expected, sizeof expected);
		}
	}
	/* Before the frame and behind it, and where the first byte only seems to be doubled. */
	assert_true(good >= 512 && good < 600);
}

static void test_junk_before_every_answer(void **state)
{
	const struct board clean = board_of(SP04S034_MODEL, VENDOR_15S_BASIC, VENDOR_15S_CELLS);
	static const uint8_t false_starts[] = { 0xdd, 0x03, 0x00, 0xff, 0x77, 0xdd, 0x04, 0x00,
						0x1e, 0xdd, 0xdd, 0x77, 0x03, 0xdd, 0x05, 0x04 };
	struct fixture *f = *state;
	struct sample expected;
	uint32_t random = 1;

	assert_int_equal(poll_board(f, &clean), DRIVER_DONE);
	expected = f->sample;
	for (unsigned round = 0; round < 2000; round++) {
		uint8_t junk[300];
		size_t size = round % sizeof junk;
		struct board b = clean;

		for (size_t i = 0; i < size; i++) {
			random = random * 1103515245 + 12345;
			junk[i] = round % 2 ? (uint8_t)(random >> 16)
					    : false_starts[(random >> 16) % sizeof false_starts];
		}
		b.model = join(junk, size, clean.model);
		b.basic = join(junk, size, clean.basic);
		b.cells = join(junk, size, clean.cells);
		driver_jbd.init(f->state);
		assert_int_equal(poll_board(f, &b), DRIVER_DONE);
		assert_memory_equal(&f->sample, &expected, sizeof expected);
	}
	assert_int_equal(f->errors.n[LINK_ERROR_TIMEOUT], 0);
	assert_true(f->errors.n[LINK_ERROR_JUNK] >= 2000);
}

static void test_echo_is_no_answer(void **state)
{
	struct board b = board_of(SP04S034_MODEL, SP04S034_BASIC, SP04S034_CELLS);
	struct fixture *f = *state;

	b.model = join(hex("DD A5 05 00 FF FB 77").at, 7, b.model);
	b.basic = join(hex("DD A5 03 00 FF FD 77").at, 7, b.basic);
	b.cells = join(hex("DD A5 04 00 FF FC 77").at, 7, b.cells);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(f->errors.n[LINK_ERROR_ECHO], 3);
	assert_int_equal(total(&f->errors), 3);
	/* A board that sleeps gives the echo alone. */
	b.basic = hex("DD A5 03 00 FF FD 77");
	assert_int_equal(poll_board(f, &b), DRIVER_FAILED);
	assert_int_equal(f->errors.n[LINK_ERROR_TIMEOUT], 1);
	assert_int_equal(driver_jbd.commit(f->state, &f->sample), -ENODATA);
}

static void test_answer_to_another_question(void **state)
{
	struct board b = board_of(SP04S034_MODEL, SP04S034_CELLS, SP04S034_CELLS);
	struct fixture *f = *state;

	assert_int_equal(poll_board(f, &b), DRIVER_FAILED);
	assert_int_equal(f->errors.n[LINK_ERROR_REGISTER], 1);
	/* Late, then the right one. */
	b.basic = join(b.cells.at, b.cells.size, hex(SP04S034_BASIC));
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
}

static void test_refusals(void **state)
{
	struct board b = board_of(REFUSED_MODEL, "DD 03 80 00 FF 80 77", SP04S034_CELLS);
	struct fixture *f = *state;

	assert_int_equal(poll_board(f, &b), DRIVER_FAILED);
	assert_int_equal(f->errors.n[LINK_ERROR_STATUS], 2);
	/* The model is not asked for again. */
	b.model = hex(SP04S034_MODEL);
	b.basic = hex(SP04S034_BASIC);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_string_equal(f->sample.model, "");
	assert_int_equal(f->errors.n[LINK_ERROR_STATUS], 2);
	b.cells = hex("DD 04 80 00 FF 80 77");
	assert_int_equal(poll_board(f, &b), DRIVER_FAILED);
}

static void test_silence_about_the_model_is_forgiven(void **state)
{
	struct board b = board_of("", SP04S034_BASIC, SP04S034_CELLS);
	struct fixture *f = *state;

	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(poll_board(f, &b), DRIVER_DONE);
		assert_int_equal(f->errors.n[LINK_ERROR_TIMEOUT], i < 3 ? i : 3);
	}
	driver_jbd.init(f->state);
	b.model = hex(SP04S034_MODEL);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_string_equal(f->sample.model, "JBD-SP04S034-L4S-200A-B-U");
}

static void test_model_is_cut_and_cleaned(void **state)
{
	struct board b = board_of("", SP04S034_BASIC, SP04S034_CELLS);
	struct fixture *f = *state;
	uint8_t data[255];

	memset(data, 'x', sizeof data);
	data[0] = 0x1b;
	data[1] = 0xff;
	data[2] = 'A';
	b.model = answer_of(JBD_MODEL, data, sizeof data);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(strlen(f->sample.model), SAMPLE_MODEL_BYTES - 1);
	assert_memory_equal(f->sample.model, "Axxx", 4);
}

static void test_impossible_lengths(void **state)
{
	struct bytes basic = hex(SP04S034_BASIC);
	struct board b = board_of(REFUSED_MODEL, SP04S034_BASIC, SP04S034_CELLS);
	struct fixture *f = *state;
	uint8_t data[255] = { 0 };

	b.basic = answer_of(JBD_BASIC, basic.at + 4, JBD_BASIC_BYTES - 1);
	assert_int_equal(poll_board(f, &b), DRIVER_FAILED);
	b.basic = answer_of(JBD_BASIC, basic.at + 4, JBD_BASIC_BYTES + 5); /* 2.5 of 3 sensors */
	assert_int_equal(poll_board(f, &b), DRIVER_FAILED);
	data[22] = 255;
	b.basic = answer_of(JBD_BASIC, data, sizeof data);
	assert_int_equal(poll_board(f, &b), DRIVER_FAILED);
	data[22] = 0;
	data[21] = SAMPLE_MAX_CELLS + 1;
	b.basic = answer_of(JBD_BASIC, data, sizeof data);
	assert_int_equal(poll_board(f, &b), DRIVER_FAILED);
	b.basic = hex(SP04S034_BASIC);
	b.cells = answer_of(JBD_CELLS, data, 7);
	assert_int_equal(poll_board(f, &b), DRIVER_FAILED);
	b.cells = answer_of(JBD_CELLS, data, (SAMPLE_MAX_CELLS + 1) * 2);
	assert_int_equal(poll_board(f, &b), DRIVER_FAILED);
	assert_int_equal(f->errors.n[LINK_ERROR_MALFORMED], 6);
}

static void test_frames_that_do_not_fit_each_other(void **state)
{
	struct board b = board_of(REFUSED_MODEL, VENDOR_15S_BASIC, SP04S034_CELLS);
	struct bytes *answers[] = { &b.model, &b.basic, &b.cells };
	uint8_t request[DRIVER_REQUEST_BYTES];
	struct fixture *f = *state;

	(void)driver_jbd.begin(f->state, request);
	for (size_t a = 0; a < 3; a++) {
		for (size_t i = 0; i < answers[a]->size; i++)
			(void)driver_jbd.rx(f->state, answers[a]->at[i], &f->errors);
		if (a < 2)
			(void)driver_jbd.next(f->state, request);
	}
	assert_int_equal(driver_jbd.commit(f->state, &f->sample), -EBADMSG);
}

static void test_a_sample_is_of_one_poll(void **state)
{
	struct board b = board_of(REFUSED_MODEL, VENDOR_15S_BASIC, VENDOR_15S_CELLS);
	struct fixture *f = *state;
	struct sample untouched;

	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	untouched = f->sample;
	b.basic = basic_with(0, 0x17, 0x01);
	b.cells = (struct bytes){};
	assert_int_equal(poll_board(f, &b), DRIVER_FAILED);
	assert_int_equal(driver_jbd.commit(f->state, &f->sample), -ENODATA);
	assert_memory_equal(&f->sample, &untouched, sizeof untouched);
}

/* ---- nonsense with good checksums ---- */

static void test_sleeping_and_half_dead_boards_are_refused(void **state)
{
	uint8_t basic[JBD_BASIC_BYTES] = { 0 }, cells[32];
	struct board b = { hex(REFUSED_MODEL), answer_of(JBD_BASIC, basic, sizeof basic),
			   answer_of(JBD_CELLS, NULL, 0), hex(REFUSED_COUNTERS) };
	char reason[SAMPLE_REASON_BYTES] = "";
	struct fixture *f = *state;

	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(sample_check(&f->sample, &limits, reason), -ERANGE);
	assert_string_equal(reason, "the pack says 0 V: asleep, or no measurement");
	/* 16 cells, the last one 0, no pack voltage, no sensors. */
	for (size_t i = 0; i < sizeof cells; i += 2) {
		cells[i] = 0x0c;
		cells[i + 1] = 0xf0;
	}
	cells[30] = cells[31] = 0;
	basic[20] = 1;
	basic[21] = 16;
	b.basic = answer_of(JBD_BASIC, basic, sizeof basic);
	b.cells = answer_of(JBD_CELLS, cells, sizeof cells);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(sample_check(&f->sample, &limits, reason), -ERANGE);
	basic[0] = 0x14; /* even with a voltage */
	b.basic = answer_of(JBD_BASIC, basic, sizeof basic);
	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	assert_int_equal(sample_check(&f->sample, &limits, reason), -ERANGE);
	assert_string_equal(reason, "cell 16 says 0 mV");
}

static void test_sample_check_at_its_edges(void **state)
{
	struct board b = board_of(REFUSED_MODEL, VENDOR_15S_BASIC, VENDOR_15S_CELLS);
	struct sample_limits own = limits;
	char reason[SAMPLE_REASON_BYTES];
	struct fixture *f = *state;
	struct sample good, s;

	assert_int_equal(poll_board(f, &b), DRIVER_DONE);
	good = s = f->sample;
	s.temperatures_decicelsius[1] = -401;
	assert_int_equal(sample_check(&s, &limits, reason), -ERANGE);
	s.temperatures_decicelsius[1] = 1251;
	assert_int_equal(sample_check(&s, &limits, reason), -ERANGE);
	s.temperatures_decicelsius[1] = 1250;
	assert_int_equal(sample_check(&s, &limits, reason), 0);
	s = good;
	s.capacity_percent = 101;
	assert_int_equal(sample_check(&s, &limits, reason), -ERANGE);
	s = good;
	s.current_ua = -500000001;
	assert_int_equal(sample_check(&s, &limits, reason), -ERANGE);
	s = good;
	/* 2 % of 58.88 V are 1.1776 V; the cells add up to 58.888 V. */
	s.cells_uv[0] += 1160000;
	own.cell_max_uv = 10000000;
	assert_int_equal(sample_check(&s, &own, reason), 0);
	s.cells_uv[0] += 20000;
	assert_int_equal(sample_check(&s, &own, reason), -ERANGE);
	own.cells = 16;
	assert_int_equal(sample_check(&good, &own, reason), -ERANGE);
	own.cells = 15;
	assert_int_equal(sample_check(&good, &own, reason), 0);
}

static void test_drivers_by_name(void **state)
{
	(void)state;
	for (size_t i = 0; driver_names[i]; i++)
		assert_string_equal(driver_find(driver_names[i])->name, driver_names[i]);
	assert_null(driver_find("daly2"));
	assert_string_equal(link_error_name(LINK_ERROR_CHECKSUM), "checksum");
	assert_string_equal(link_error_name(LINK_ERROR_COUNT), "other");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_requests_are_the_vendors),
		TEST(test_real_answers_can_be_made_again),
		TEST(test_vendor_17s),
		TEST(test_vendor_15s),
		TEST(test_sp04s034),
		TEST(test_a_board_that_balances),
		TEST(test_dp04s007_appends_nine_bytes),
		TEST(test_charge_is_unsigned_and_current_is_signed),
		TEST(test_protections_and_switches),
		TEST(test_what_is_appended_must_be_what_we_take_it_for),
		TEST(test_cycles_below_zero_and_impossible_dates_are_unknown),
		TEST(test_counters_are_asked_for_now_and_then),
		TEST(test_each_counter_has_its_name),
		TEST(test_counters_that_are_not_confirmed_are_not_known),
		TEST(test_refused_and_short_counters),
		TEST(test_a_switch_leaves_the_other_as_it_is),
		TEST(test_what_the_board_keeps_off_itself_is_not_forced),
		TEST(test_commands_that_are_not_taken),
		TEST(test_a_lost_answer_to_a_command),
		TEST(test_what_others_locked_after_us_is_kept),
		TEST(test_a_late_answer_is_not_the_next_ones),
		TEST(test_a_board_that_was_away_is_asked_as_ever),
		TEST(test_complete_at_the_last_byte_and_never_before),
		TEST(test_no_flipped_byte_gives_a_sample),
		TEST(test_no_byte_too_many_or_too_few_gives_another_sample),
		TEST(test_junk_before_every_answer),
		TEST(test_echo_is_no_answer),
		TEST(test_answer_to_another_question),
		TEST(test_refusals),
		TEST(test_silence_about_the_model_is_forgiven),
		TEST(test_model_is_cut_and_cleaned),
		TEST(test_impossible_lengths),
		TEST(test_frames_that_do_not_fit_each_other),
		TEST(test_a_sample_is_of_one_poll),
		TEST(test_sleeping_and_half_dead_boards_are_refused),
		TEST(test_sample_check_at_its_edges),
		TEST(test_drivers_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
