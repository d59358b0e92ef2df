/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bmsd/daly.h"
#include "bmsd/driver.h"
#include "bmsd/sample.h"

/* Frames of one real board, 16 cells under load. */
#define REAL_BASIC	       "a5 01 90 08 02 03 00 00 77 24 03 38 19"
#define REAL_SWITCHES	       "a5 01 93 08 02 01 01 71 00 04 86 c0 00"
#define REAL_CELL_RANGE	       "a5 01 91 08 0c b7 07 0c 13 05 03 38 68"
#define REAL_STATUS	       "a5 01 94 08 10 01 00 00 02 00 05 c0 1a"
#define REAL_CELLS_1	       "a5 01 95 08 01 0c aa 0c 95 0c 59 c0 c0"
#define REAL_TEMPERATURE_RANGE "a5 01 92 08 47 01 47 01 13 05 03 38 23"
/* The example of the vendor's document. */
#define VENDOR_BASIC	       "A5 01 90 08 02 FC 00 00 75 A1 00 00 52"

#define ANSWER_MAX (DALY_FRAME_BYTES * 32)

struct bytes {
	uint8_t at[ANSWER_MAX];
	size_t size;
};

/* What the board answers to each command. */
struct board {
	struct bytes answers[256];
};

struct fixture {
	uint8_t *state;
	struct link_errors errors;
	struct sample sample;
	struct board board;
	unsigned asked[256];
};

static void add_hex(struct bytes *b, const char *text)
{
	unsigned value;
	int used;

	while (sscanf(text, "%2x%n", &value, &used) == 1) {
		assert_true(b->size < sizeof b->at);
		b->at[b->size++] = (uint8_t)value;
		text += used;
	}
}

static void add_frame(struct bytes *b, uint8_t command, const uint8_t data[DALY_DATA_BYTES])
{
	assert_true(b->size + DALY_FRAME_BYTES <= sizeof b->at);
	b->size += daly_build(DALY_BOARD, command, data, b->at + b->size);
}

static void answer_data(struct board *b, uint8_t command, uint8_t d0, uint8_t d1, uint8_t d2,
			uint8_t d3, uint32_t rest)
{
	uint8_t data[DALY_DATA_BYTES] = { d0,
					  d1,
					  d2,
					  d3,
					  (uint8_t)(rest >> 24),
					  (uint8_t)(rest >> 16 & 0xff),
					  (uint8_t)(rest >> 8 & 0xff),
					  (uint8_t)(rest & 0xff) };

	b->answers[command].size = 0;
	add_frame(&b->answers[command], command, data);
}

static void answer_hex(struct board *b, uint8_t command, const char *text)
{
	b->answers[command].size = 0;
	add_hex(&b->answers[command], text);
}

/* The first three are of the real frame; 7 is the highest and 5 the lowest, as the board says. */
static const uint16_t cells_mv[] = { 3242, 3221, 3161, 3230, 3091, 3240, 3255, 3222,
				     3225, 3231, 3219, 3228, 3240, 3218, 3227, 3234 };

static void answer_cells(struct board *b, const uint16_t *mv, size_t n)
{
	b->answers[DALY_CELLS].size = 0;
	for (size_t i = 0; i < n; i += DALY_CELLS_PER_FRAME) {
		uint8_t data[DALY_DATA_BYTES] = { (uint8_t)(i / 3 + 1), [7] = 0xc0 };

		for (size_t j = 0; j < DALY_CELLS_PER_FRAME && i + j < n; j++) {
			data[1 + 2 * j] = (uint8_t)(mv[i + j] >> 8);
			data[2 + 2 * j] = (uint8_t)(mv[i + j] & 0xff);
		}
		add_frame(&b->answers[DALY_CELLS], DALY_CELLS, data);
	}
}

static void answer_code(struct board *b, const char *code)
{
	char padded[DALY_CODE_FRAMES * 7 + 1];

	(void)snprintf(padded, sizeof padded, "%-35s", code);
	b->answers[DALY_CODE].size = 0;
	for (size_t i = 0; i < DALY_CODE_FRAMES; i++) {
		uint8_t data[DALY_DATA_BYTES] = { (uint8_t)(i + 1) };

		memcpy(data + 1, padded + 7 * i, 7);
		add_frame(&b->answers[DALY_CODE], DALY_CODE, data);
	}
}

/* The real board; what there is no frame of is made up. */
static void make_real(struct board *b)
{
	*b = (struct board){};
	answer_hex(b, DALY_BASIC, REAL_BASIC);
	answer_hex(b, DALY_SWITCHES, REAL_SWITCHES);
	answer_hex(b, DALY_STATUS, REAL_STATUS);
	answer_cells(b, cells_mv, ELEMENTSOF(cells_mv));
	answer_data(b, DALY_TEMPERATURES, 1, 0x47, 0xff, 0xff, 0);
	answer_data(b, DALY_BALANCING, 0x01, 0x80, 0, 0, 0);
	answer_data(b, DALY_ALARMS, 0, 0, 0, 0, 0);
	answer_data(b, DALY_RATED, 0x00, 0x05, 0x57, 0x30, 0x00000c80);
	answer_data(b, DALY_DATE, 0, 0, 21, 8, 0x1f000000);
	answer_code(b, "DL-16S-100A");
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	f->state = calloc(1, driver_daly.state_bytes);
	assert_non_null(f->state);
	driver_daly.init(f->state);
	make_real(&f->board);
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

static uint8_t command_of(const uint8_t *request, size_t size)
{
	assert_int_equal(size, DALY_FRAME_BYTES);
	assert_true(daly_frame_is_good(request));
	assert_int_equal(request[1], DALY_HOST);
	return request[2];
}

/* Silence after the last byte of an answer is a timeout. */
static enum driver_step poll_board(struct fixture *f)
{
	uint8_t request[DRIVER_REQUEST_BYTES];
	enum driver_step step = DRIVER_SEND;
	size_t size = driver_daly.begin(f->state, request);

	while (step == DRIVER_SEND) {
		uint8_t command = command_of(request, size);
		const struct bytes *answer = &f->board.answers[command];

		f->asked[command]++;
		step = DRIVER_WAIT;
		for (size_t i = 0; i < answer->size && step == DRIVER_WAIT; i++)
			step = driver_daly.rx(f->state, answer->at[i], &f->errors);
		if (step == DRIVER_WAIT)
			step = driver_daly.timeout(f->state, &f->errors);
		if (step == DRIVER_SEND)
			size = driver_daly.next(f->state, request);
	}
	if (step == DRIVER_DONE)
		assert_int_equal(driver_daly.commit(f->state, &f->sample), 0);
	else
		assert_int_equal(driver_daly.commit(f->state, &f->sample), -ENODATA);
	return step;
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

static void test_real_frames_can_be_made_again(void **state)
{
	static const char *const frames[] = {
		REAL_BASIC,   REAL_SWITCHES, REAL_CELL_RANGE,	    REAL_STATUS,
		REAL_CELLS_1, VENDOR_BASIC,  REAL_TEMPERATURE_RANGE
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(frames); i++) {
		struct bytes b = {};
		uint8_t made[DALY_FRAME_BYTES];

		add_hex(&b, frames[i]);
		assert_int_equal(b.size, DALY_FRAME_BYTES);
		assert_true(daly_frame_is_good(b.at));
		assert_int_equal(daly_build(b.at[1], b.at[2], b.at + 4, made), b.size);
		assert_memory_equal(made, b.at, b.size);
		b.at[DALY_FRAME_BYTES - 1]++;
		assert_false(daly_frame_is_good(b.at));
	}
}

static void test_the_real_board(void **state)
{
	struct fixture *f = *state;
	char reason[SAMPLE_REASON_BYTES] = "";
	const struct sample *s = &f->sample;

	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_int_equal(s->voltage_uv, 51500000);
	assert_int_equal(s->current_ua, -50000000); /* the board counts discharge upwards */
	assert_int_equal(s->capacity_percent, 82);
	assert_int_equal(s->charge_uah, 296640000);
	assert_int_equal(s->charge_full_design_uah, 350000000);
	assert_int_equal(s->cycles, 5);
	assert_true(s->charge_fet && s->discharge_fet);
	assert_int_equal(s->n_cells, 16);
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(s->cells_uv[i], cells_mv[i] * 1000);
	assert_int_equal(s->n_temperatures, 1);
	assert_int_equal(s->temperatures_decicelsius[0], 310);
	assert_int_equal(s->balancing, 0x8001);
	assert_int_equal(s->protections, 0);
	assert_int_equal(s->warnings, 0);
	assert_string_equal(s->model, "DL-16S-100A");
	assert_string_equal(s->manufactured, "2021-08-31");
	assert_int_equal(s->valid, ((1u << SAMPLE_FIELD_COUNT) - 1) &
					   ~(1u << SAMPLE_CHARGE_FULL |
					     1u << SAMPLE_FET_TEMPERATURE | 1u << SAMPLE_COUNTERS));
	assert_int_equal(sample_check(s, &limits, reason), 0);
	assert_int_equal(total(&f->errors), 0);
}

static void test_other_frames_of_real_boards(void **state)
{
	struct fixture *f = *state;

	answer_hex(&f->board, DALY_BASIC, VENDOR_BASIC);
	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_int_equal(f->sample.voltage_uv, 76400000);
	assert_int_equal(f->sample.current_ua, -11300000);
	assert_int_equal(f->sample.capacity_percent, 0);
	answer_data(&f->board, DALY_SWITCHES, 1, 1, 1, 0xca, 0x0003dd38);
	answer_data(&f->board, DALY_STATUS, 8, 1, 0, 0, 0x020035dc);
	answer_cells(&f->board, cells_mv, 8);
	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_int_equal(f->sample.charge_uah, 253240000);
	assert_int_equal(f->sample.n_cells, 8);
	assert_int_equal(f->sample.cycles, 53);
}

static void test_charging_and_full(void **state)
{
	struct fixture *f = *state;
	char reason[SAMPLE_REASON_BYTES] = "";

	answer_data(&f->board, DALY_BASIC, 0x02, 0x03, 0, 0, 0x753003e8 - 0x00640000);
	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_int_equal(f->sample.current_ua, 10000000);
	assert_int_equal(f->sample.capacity_percent, 100);
	assert_int_equal(sample_check(&f->sample, &limits, reason), 0);
	/* 100.1 % is not cut to what can be. */
	answer_data(&f->board, DALY_BASIC, 0x02, 0x03, 0, 0, 0x753003e9);
	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_int_equal(f->sample.current_ua, 0);
	assert_int_equal(sample_check(&f->sample, &limits, reason), -ERANGE);
	assert_string_equal(reason, "the state of charge is 101 %");
}

static void test_alarms(void **state)
{
	static const struct {
		uint8_t byte, bit;
		int warning, protection; /* -1: none */
	} table[] = {
		{ 0, 0, PROTECTION_CELL_OVERVOLTAGE, -1 },
		{ 0, 1, -1, PROTECTION_CELL_OVERVOLTAGE },
		{ 0, 3, -1, PROTECTION_CELL_UNDERVOLTAGE },
		{ 0, 5, -1, PROTECTION_PACK_OVERVOLTAGE },
		{ 0, 6, PROTECTION_PACK_UNDERVOLTAGE, -1 },
		{ 0, 7, -1, PROTECTION_PACK_UNDERVOLTAGE },
		{ 1, 1, -1, PROTECTION_CHARGE_OVERTEMPERATURE },
		{ 1, 2, PROTECTION_CHARGE_UNDERTEMPERATURE, -1 },
		{ 1, 5, -1, PROTECTION_DISCHARGE_OVERTEMPERATURE },
		{ 1, 7, -1, PROTECTION_DISCHARGE_UNDERTEMPERATURE },
		{ 2, 1, -1, PROTECTION_CHARGE_OVERCURRENT },
		{ 2, 2, PROTECTION_DISCHARGE_OVERCURRENT, -1 },
		{ 2, 3, -1, PROTECTION_DISCHARGE_OVERCURRENT },
		{ 2, 7, -1, -1 },
		{ 3, 0, PROTECTION_OTHER, -1 },
		{ 3, 4, -1, -1 },
		{ 4, 6, -1, PROTECTION_OTHER },
		{ 5, 0, -1, PROTECTION_FRONT_END_ERROR },
		{ 5, 4, -1, PROTECTION_OTHER },
		{ 6, 2, -1, PROTECTION_SHORT_CIRCUIT },
		{ 6, 3, -1, PROTECTION_OTHER },
		{ 7, 0, -1, -1 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		uint8_t data[DALY_DATA_BYTES] = { 0 };

		data[table[i].byte] = (uint8_t)(1u << table[i].bit);
		f->board.answers[DALY_ALARMS].size = 0;
		add_frame(&f->board.answers[DALY_ALARMS], DALY_ALARMS, data);
		assert_int_equal(poll_board(f), DRIVER_DONE);
		assert_int_equal(f->sample.warnings,
				 table[i].warning < 0 ? 0 : 1u << table[i].warning);
		assert_int_equal(f->sample.protections,
				 table[i].protection < 0 ? 0 : 1u << table[i].protection);
	}
}

static void join_before(struct bytes *b, const uint8_t *junk, size_t size)
{
	assert_true(b->size + size <= sizeof b->at);
	memmove(b->at + size, b->at, b->size);
	memcpy(b->at, junk, size);
	b->size += size;
}

/* ---- asleep ---- */

static void test_an_echo_alone_is_sleep(void **state)
{
	struct fixture *f = *state;

	for (unsigned command = 0; command < 256; command++) {
		f->board.answers[command].size = daly_build(DALY_HOST, (uint8_t)command, NULL,
							    f->board.answers[command].at);
	}
	/* However often: it is never taken for a board that knows less. */
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(poll_board(f), DRIVER_ASLEEP);
		assert_int_equal(f->errors.n[LINK_ERROR_ASLEEP], i);
		assert_int_equal(f->errors.n[LINK_ERROR_TIMEOUT], 0);
	}
	make_real(&f->board);
	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_true(sample_has(&f->sample, SAMPLE_CHARGE_FULL_DESIGN));
}

static void test_an_echo_before_the_answer_is_none(void **state)
{
	struct fixture *f = *state;
	struct sample expected;

	assert_int_equal(poll_board(f), DRIVER_DONE);
	expected = f->sample;
	for (unsigned command = 0; command < 256; command++) {
		uint8_t request[DALY_FRAME_BYTES];

		(void)daly_build(DALY_HOST, (uint8_t)command, NULL, request);
		join_before(&f->board.answers[command], request, sizeof request);
	}
	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_memory_equal(&f->sample, &expected, sizeof expected);
	assert_int_equal(f->errors.n[LINK_ERROR_ECHO], 7);
}

static void test_zeros_are_sleep_not_data(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(poll_board(f), DRIVER_DONE);
	answer_data(&f->board, DALY_BASIC, 0, 0, 0, 0, 0); /* −3000 A, they would be */
	assert_int_equal(poll_board(f), DRIVER_ASLEEP);
	make_real(&f->board);
	answer_data(&f->board, DALY_STATUS, 0, 0, 0, 0, 0);
	assert_int_equal(poll_board(f), DRIVER_ASLEEP);
	assert_int_equal(f->errors.n[LINK_ERROR_ASLEEP], 2);
	assert_int_equal(total(&f->errors), 2);
}

/* ---- what the line does to frames ---- */

static void test_junk_before_every_answer(void **state)
{
	static const uint8_t starts[] = { 0xa5, 0x01, 0x90, 0x08, 0x95, 0x40, 0x00 };
	struct fixture *f = *state;
	struct board clean = f->board;
	struct sample expected;
	uint32_t random = 1;

	assert_int_equal(poll_board(f), DRIVER_DONE);
	expected = f->sample;
	for (unsigned round = 0; round < 1000; round++) {
		uint8_t junk[200];
		size_t size = round % sizeof junk;

		for (size_t i = 0; i < size; i++) {
			random = random * 1103515245 + 12345;
			junk[i] = round % 2 ? (uint8_t)(random >> 16)
					    : starts[(random >> 16) % sizeof starts];
		}
		f->board = clean;
		for (unsigned command = 0; command < 256; command++)
			if (clean.answers[command].size)
				join_before(&f->board.answers[command], junk, size);
		driver_daly.init(f->state);
		assert_int_equal(poll_board(f), DRIVER_DONE);
		assert_memory_equal(&f->sample, &expected, sizeof expected);
	}
	assert_int_equal(f->errors.n[LINK_ERROR_TIMEOUT], 0);
	assert_true(f->errors.n[LINK_ERROR_JUNK] >= 1000);
}

static void test_junk_between_the_frames_of_one_answer(void **state)
{
	struct fixture *f = *state;
	struct bytes clean = f->board.answers[DALY_CELLS];
	struct sample expected;

	assert_int_equal(poll_board(f), DRIVER_DONE);
	expected = f->sample;
	for (size_t at = 0; at <= clean.size; at += DALY_FRAME_BYTES) {
		struct bytes b = clean;

		memmove(b.at + at + 5, b.at + at, b.size - at);
		memcpy(b.at + at, "\xa5\x01\x95\x08\x01", 5);
		b.size += 5;
		f->board.answers[DALY_CELLS] = b;
		assert_int_equal(poll_board(f), DRIVER_DONE);
		assert_memory_equal(&f->sample, &expected, sizeof expected);
	}
}

static void test_complete_at_the_last_byte_and_never_before(void **state)
{
	struct fixture *f = *state;
	uint8_t request[DRIVER_REQUEST_BYTES];
	enum driver_step step = DRIVER_SEND;
	size_t size = driver_daly.begin(f->state, request);

	while (step == DRIVER_SEND) {
		const struct bytes *b = &f->board.answers[command_of(request, size)];

		for (size_t i = 0; i + 1 < b->size; i++) {
			assert_int_equal(driver_daly.rx(f->state, b->at[i], &f->errors),
					 DRIVER_WAIT);
			assert_int_equal(driver_daly.commit(f->state, &f->sample), -ENODATA);
		}
		step = driver_daly.rx(f->state, b->at[b->size - 1], &f->errors);
		assert_true(step == DRIVER_SEND || step == DRIVER_DONE);
		if (step == DRIVER_SEND)
			size = driver_daly.next(f->state, request);
	}
	assert_int_equal(total(&f->errors), 0);
}

static void test_no_flipped_byte_gives_another_sample(void **state)
{
	static const uint8_t commands[] = { DALY_BASIC, DALY_STATUS, DALY_CELLS, DALY_SWITCHES };
	struct fixture *f = *state;

	assert_int_equal(poll_board(f), DRIVER_DONE);
	for (size_t c = 0; c < sizeof commands; c++) {
		struct bytes clean = f->board.answers[commands[c]];

		for (size_t at = 0; at < clean.size; at++) {
			for (unsigned flip = 1; flip < 256; flip++) {
				struct link_errors before = f->errors;

				f->board.answers[commands[c]] = clean;
				f->board.answers[commands[c]].at[at] ^= (uint8_t)flip;
				assert_int_equal(poll_board(f), DRIVER_FAILED);
				assert_true(total(&f->errors) > total(&before));
			}
		}
		f->board.answers[commands[c]] = clean;
	}
}

static void test_answers_to_other_questions_and_of_other_boards(void **state)
{
	struct fixture *f = *state;
	struct bytes cells = f->board.answers[DALY_CELLS];
	uint8_t data[DALY_DATA_BYTES] = { 2, 3 };

	join_before(&f->board.answers[DALY_BASIC], cells.at, cells.size);
	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_int_equal(f->errors.n[LINK_ERROR_REGISTER], 6);
	f->board.answers[DALY_BASIC].size = daly_build(2, DALY_BASIC, data,
						       f->board.answers[DALY_BASIC].at);
	assert_int_equal(poll_board(f), DRIVER_FAILED);
}

static void test_cells_out_of_order_twice_and_too_many(void **state)
{
	struct fixture *f = *state;
	struct bytes *b = &f->board.answers[DALY_CELLS];
	struct bytes clean = *b;
	uint8_t data[DALY_DATA_BYTES] = { 16, 0xff, 0xff };
	struct sample expected;

	assert_int_equal(poll_board(f), DRIVER_DONE);
	expected = f->sample;
	/* The last one first, then the first again. */
	memcpy(b->at, clean.at + clean.size - DALY_FRAME_BYTES, DALY_FRAME_BYTES);
	memcpy(b->at + clean.size - DALY_FRAME_BYTES, clean.at, DALY_FRAME_BYTES);
	join_before(b, clean.at, DALY_FRAME_BYTES);
	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_memory_equal(&f->sample, &expected, sizeof expected);
	/* Boards behind Bluetooth send sixteen frames, whatever they have. */
	*b = (struct bytes){};
	add_frame(b, DALY_CELLS, data);
	data[0] = 255;
	add_frame(b, DALY_CELLS, data);
	memcpy(b->at + b->size, clean.at, clean.size);
	b->size += clean.size;
	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_memory_equal(&f->sample, &expected, sizeof expected);
	/* One missing, and it is no sample. */
	*b = clean;
	b->size -= DALY_FRAME_BYTES;
	assert_int_equal(poll_board(f), DRIVER_FAILED);
	data[0] = 0;
	add_frame(b, DALY_CELLS, data);
	assert_int_equal(poll_board(f), DRIVER_FAILED);
	assert_int_equal(f->errors.n[LINK_ERROR_MALFORMED], 1);
}

static void test_impossible_numbers(void **state)
{
	struct fixture *f = *state;

	answer_data(&f->board, DALY_STATUS, SAMPLE_MAX_CELLS + 1, 1, 0, 0, 0);
	assert_int_equal(poll_board(f), DRIVER_FAILED);
	answer_data(&f->board, DALY_STATUS, 16, SAMPLE_MAX_TEMPERATURES + 1, 0, 0, 0);
	assert_int_equal(poll_board(f), DRIVER_FAILED);
	answer_data(&f->board, DALY_STATUS, 255, 255, 255, 255, UINT32_MAX);
	assert_int_equal(poll_board(f), DRIVER_FAILED);
	assert_int_equal(f->errors.n[LINK_ERROR_MALFORMED], 3);
	answer_data(&f->board, DALY_STATUS, 16, 0, 0, 0, 0);
	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_false(sample_has(&f->sample, SAMPLE_TEMPERATURES));
	assert_int_equal(f->asked[DALY_TEMPERATURES], 0);
	answer_data(&f->board, DALY_DATE, 0, 0, 21, 13, 0x01000000);
	driver_daly.init(f->state);
	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_string_equal(f->sample.manufactured, "");
}

static void test_most_cells_and_sensors(void **state)
{
	struct fixture *f = *state;
	uint16_t mv[SAMPLE_MAX_CELLS];
	uint8_t data[DALY_DATA_BYTES];

	for (size_t i = 0; i < SAMPLE_MAX_CELLS; i++)
		mv[i] = (uint16_t)(3000 + i);
	answer_cells(&f->board, mv, SAMPLE_MAX_CELLS);
	answer_data(&f->board, DALY_STATUS, SAMPLE_MAX_CELLS, SAMPLE_MAX_TEMPERATURES, 0, 0, 0);
	f->board.answers[DALY_TEMPERATURES].size = 0;
	for (unsigned i = 0; i < 3; i++) {
		data[0] = (uint8_t)(i + 1);
		for (unsigned j = 0; j < 7; j++)
			data[1 + j] = (uint8_t)(7 * i + j);
		add_frame(&f->board.answers[DALY_TEMPERATURES], DALY_TEMPERATURES, data);
	}
	answer_data(&f->board, DALY_BALANCING, 0xff, 0, 0, 0x80, 0xffff0000);
	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_int_equal(f->sample.n_cells, SAMPLE_MAX_CELLS);
	for (size_t i = 0; i < SAMPLE_MAX_CELLS; i++)
		assert_int_equal(f->sample.cells_uv[i], mv[i] * 1000);
	assert_int_equal(f->sample.n_temperatures, SAMPLE_MAX_TEMPERATURES);
	for (int i = 0; i < SAMPLE_MAX_TEMPERATURES; i++)
		assert_int_equal(f->sample.temperatures_decicelsius[i], (i - 40) * 10);
	assert_int_equal(f->sample.balancing, 0x800000ff);
}

/* ---- boards that answer less ---- */

static void test_what_is_never_answered_is_unknown_and_not_asked_for_ever(void **state)
{
	static const uint8_t optional[] = { DALY_RATED,	       DALY_DATE,     DALY_CODE,
					    DALY_TEMPERATURES, DALY_SWITCHES, DALY_BALANCING,
					    DALY_ALARMS };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof optional; i++)
		f->board.answers[optional[i]].size = 0;
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(poll_board(f), DRIVER_DONE);
		assert_int_equal(f->sample.valid, 1u << SAMPLE_VOLTAGE | 1u << SAMPLE_CURRENT |
							  1u << SAMPLE_CAPACITY |
							  1u << SAMPLE_CYCLES | 1u << SAMPLE_CELLS);
		assert_string_equal(f->sample.model, "");
		assert_false(f->sample.discharge_fet);
	}
	for (size_t i = 0; i < sizeof optional; i++)
		assert_int_equal(f->asked[optional[i]], 3);
	assert_int_equal(f->errors.n[LINK_ERROR_TIMEOUT], 3 * sizeof optional);
}

static void test_what_was_answered_once_must_be_answered_again(void **state)
{
	static const uint8_t commands[] = { DALY_TEMPERATURES, DALY_SWITCHES, DALY_BALANCING,
					    DALY_ALARMS };
	struct fixture *f = *state;

	assert_int_equal(poll_board(f), DRIVER_DONE);
	for (size_t i = 0; i < sizeof commands; i++) {
		struct bytes clean = f->board.answers[commands[i]];

		f->board.answers[commands[i]].size = 0;
		for (unsigned n = 0; n < 5; n++)
			assert_int_equal(poll_board(f), DRIVER_FAILED);
		f->board.answers[commands[i]] = clean;
		assert_int_equal(poll_board(f), DRIVER_DONE);
	}
	/* Who it is was asked once. */
	assert_int_equal(f->asked[DALY_RATED], 1);
	assert_int_equal(f->asked[DALY_CODE], 1);
	assert_int_equal(f->sample.charge_full_design_uah, 350000000);
	driver_daly.init(f->state);
	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_int_equal(f->asked[DALY_RATED], 2);
}

static void test_the_name_is_cleaned(void **state)
{
	struct fixture *f = *state;

	answer_code(&f->board, "A\x1b[31m\xff ok");
	assert_int_equal(poll_board(f), DRIVER_DONE);
	assert_string_equal(f->sample.model, "A[31m ok");
}

/* ---- switches ---- */

static void test_switches(void **state)
{
	static const struct {
		enum fet fet;
		bool on;
		uint8_t command;
	} table[] = {
		{ FET_CHARGE, true, 0xda },
		{ FET_CHARGE, false, 0xda },
		{ FET_DISCHARGE, true, 0xd9 },
		{ FET_DISCHARGE, false, 0xd9 },
	};
	struct fixture *f = *state;
	uint8_t request[DRIVER_REQUEST_BYTES], answer[DALY_FRAME_BYTES];

	assert_int_equal(poll_board(f), DRIVER_DONE);
	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		enum driver_step step = DRIVER_WAIT;

		assert_int_equal(driver_daly.set_fet(f->state, table[i].fet, table[i].on, request),
				 DALY_FRAME_BYTES);
		assert_int_equal(command_of(request, DALY_FRAME_BYTES), table[i].command);
		assert_int_equal(request[4], table[i].on);
		(void)daly_build(DALY_BOARD, table[i].command, request + 4, answer);
		for (size_t j = 0; j < sizeof answer; j++) {
			assert_int_equal(step, DRIVER_WAIT);
			step = driver_daly.rx(f->state, answer[j], &f->errors);
		}
		assert_int_equal(step, DRIVER_DONE);
		assert_int_equal(driver_daly.commit(f->state, &f->sample), -ENODATA);
	}
	assert_int_equal(driver_daly.set_fet(f->state, FET_CHARGE, false, request), 13);
	for (size_t j = 0; j < DALY_FRAME_BYTES; j++)
		assert_int_equal(driver_daly.rx(f->state, request[j], &f->errors), DRIVER_WAIT);
	assert_int_equal(driver_daly.timeout(f->state, &f->errors), DRIVER_ASLEEP);
	assert_int_equal(driver_daly.set_fet(f->state, FET_CHARGE, false, request), 13);
	assert_int_equal(driver_daly.timeout(f->state, &f->errors), DRIVER_FAILED);
	assert_int_equal(poll_board(f), DRIVER_DONE);
}

static void test_the_driver_says_how_long_the_board_needs(void **state)
{
	(void)state;
	assert_int_equal(driver_daly.quiet_msec, 20);
	assert_int_equal(driver_jbd.quiet_msec, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_real_frames_can_be_made_again),
		TEST(test_the_real_board),
		TEST(test_other_frames_of_real_boards),
		TEST(test_charging_and_full),
		TEST(test_alarms),
		TEST(test_an_echo_alone_is_sleep),
		TEST(test_an_echo_before_the_answer_is_none),
		TEST(test_zeros_are_sleep_not_data),
		TEST(test_junk_before_every_answer),
		TEST(test_junk_between_the_frames_of_one_answer),
		TEST(test_complete_at_the_last_byte_and_never_before),
		TEST(test_no_flipped_byte_gives_another_sample),
		TEST(test_answers_to_other_questions_and_of_other_boards),
		TEST(test_cells_out_of_order_twice_and_too_many),
		TEST(test_impossible_numbers),
		TEST(test_most_cells_and_sensors),
		TEST(test_what_is_never_answered_is_unknown_and_not_asked_for_ever),
		TEST(test_what_was_answered_once_must_be_answered_again),
		TEST(test_the_name_is_cleaned),
		TEST(test_switches),
		TEST(test_the_driver_says_how_long_the_board_needs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
