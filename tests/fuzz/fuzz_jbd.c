/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiver of JBD boards: a board whose every value tells in which poll it was asked, at the end
 * of a line that the input makes bad. What is committed is of one poll; a frame behind any junk that
 * the driver did not take for an answer is found at its last byte; commands are never samples; an
 * answer that comes too late is not taken for that to a later request.
 */
#include "fuzz.h"

#include <string.h>

#include "bmsd/driver.h"
#include "bmsd/jbd.h"

#define MAX_POLLS 200
#define MAX_LATE  8
#define N_CELLS	  4
/* What each poll asks for. */
#define ALL_LATE  7u

struct late {
	uint8_t frame[JBD_FRAME_BYTES];
	size_t size;
};

struct game {
	struct input in;
	uint8_t *state;
	struct link_errors errors;
	uint16_t poll; /* stands in every value */
	bool trusted;  /* nothing but the board spoke in this poll */
	size_t n_late;
	struct late late[MAX_LATE]; /* under way, in order */
	unsigned unanswered;	    /* registers, since one that was answered in time */
	bool confused;		    /* until all that is late has come */
};

static void put_u16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)(value & 0xff);
}

static size_t answer(const struct game *g, uint8_t reg, uint8_t *frame)
{
	uint8_t data[64] = { 0 };
	uint8_t size = 0;

	switch (reg) {
	case JBD_MODEL:
		memcpy(data, "FUZZ", 4);
		size = 4;
		break;
	case JBD_BASIC:
		for (size_t at = 0; at < 10; at += 2)
			put_u16(data + at, g->poll);
		data[20] = 3;
		data[21] = N_CELLS;
		data[22] = 2;
		put_u16(data + JBD_BASIC_BYTES, g->poll);
		put_u16(data + JBD_BASIC_BYTES + 2, g->poll);
		size = JBD_BASIC_BYTES + 4;
		break;
	case JBD_CELLS:
		for (size_t at = 0; at < 2 * (size_t)N_CELLS; at += 2)
			put_u16(data + at, g->poll);
		size = 2 * N_CELLS;
		break;
	case JBD_ERROR_COUNTERS:
		for (size_t at = 0; at < JBD_COUNTERS_MIN_BYTES; at += 2)
			put_u16(data + at, g->poll);
		size = 24;
		break;
	default: break; /* JBD_SWITCHES */
	}
	return jbd_build_answer(reg, JBD_STATUS_OK, data, size, frame);
}

static enum driver_step give(struct game *g, const uint8_t *bytes, size_t size)
{
	enum driver_step step = DRIVER_WAIT;

	for (size_t i = 0; i < size && step == DRIVER_WAIT; i++)
		step = driver_jbd.rx(g->state, bytes[i], &g->errors);
	return step;
}

static enum driver_step give_junk(struct game *g)
{
	enum driver_step step = DRIVER_WAIT;

	for (size_t n = take_below(&g->in, 300); n > 0 && step == DRIVER_WAIT; n--) {
		uint8_t byte = (uint8_t)take_byte(&g->in);

		step = give(g, &byte, 1);
	}
	/* The input may be clever enough to make a whole answer. */
	if (step != DRIVER_WAIT)
		g->trusted = false;
	return step;
}

/* The whole frame, which must be found with its last byte and not before. */
static enum driver_step give_good(struct game *g, const uint8_t *frame, size_t size)
{
	enum driver_step step = give(g, frame, size - 1);

	/* Junk before it and its own first bytes may have made another frame. */
	if (step != DRIVER_WAIT) {
		g->trusted = false;
		return step;
	}
	step = give(g, frame + size - 1, 1);
	check(step == DRIVER_SEND || step == DRIVER_DONE);
	return step;
}

static enum driver_step give_bad(struct game *g, uint8_t *frame, size_t size)
{
	size_t at = take_below(&g->in, size);
	enum driver_step step;

	frame[at] ^= (uint8_t)(1 + take_below(&g->in, 255));
	step = give(g, frame, size - take_below(&g->in, 2));
	if (step != DRIVER_WAIT)
		g->trusted = false;
	return step;
}

static unsigned register_bit(uint8_t reg)
{
	return reg == JBD_BASIC ? 1u : reg == JBD_CELLS ? 2u : reg == JBD_MODEL ? 4u : 0;
}

/* The board is lost to us, or only slow. */
static enum driver_step give_nothing(struct game *g, uint8_t reg)
{
	g->unanswered |= register_bit(reg);
	if (take_byte(&g->in) % 2 && g->n_late < MAX_LATE) {
		struct late *late = &g->late[g->n_late++];

		late->size = answer(g, reg, late->frame);
	}
	return driver_jbd.timeout(g->state, &g->errors);
}

/* Boards answer in order. */
static enum driver_step give_late(struct game *g)
{
	enum driver_step step = DRIVER_WAIT;
	size_t n = 0;

	while (n < g->n_late && step == DRIVER_WAIT) {
		step = give(g, g->late[n].frame, g->late[n].size);
		n++;
	}
	check(step == DRIVER_WAIT || g->confused || !g->trusted);
	memmove(g->late, g->late + n, (g->n_late - n) * sizeof *g->late);
	g->n_late -= n;
	if (step != DRIVER_WAIT)
		g->trusted = false;
	return step;
}

/* Where every register is late, or an answer was made up, the next one may be anybody's. */
static void doubt(struct game *g)
{
	if (g->unanswered == ALL_LATE) {
		g->unanswered = 0;
		g->confused = true;
	}
	if (!g->trusted)
		g->confused = true;
	if (g->confused)
		g->trusted = false;
}

static enum driver_step speak(struct game *g, const uint8_t *request, size_t request_size)
{
	uint8_t frame[JBD_FRAME_BYTES], reg = request[2];
	enum driver_step step = DRIVER_WAIT;
	size_t size;

	unsigned what = take_byte(&g->in) % 8;

	if (what == 0)
		return give_junk(g);
	if (what == 1)
		return give(g, request, request_size); /* echo */
	if (what == 5)
		return give_nothing(g, reg);
	step = give_late(g);
	if (step != DRIVER_WAIT)
		return step;
	switch (what) {
	case 2:
		size = answer(g, reg == JBD_BASIC ? JBD_CELLS : JBD_BASIC, frame);
		step = give(g, frame, size); /* to another question */
		break;
	case 3:
		size = jbd_build_answer(reg, JBD_STATUS_ERROR, NULL, 0, frame);
		step = give(g, frame, size);
		break;
	case 4:
		size = answer(g, reg, frame);
		step = give_bad(g, frame, size);
		break;
	default:
		size = answer(g, reg, frame);
		step = give_good(g, frame, size);
		if (step != DRIVER_WAIT && !(g->unanswered & register_bit(reg)))
			g->unanswered = 0;
		break;
	}
	return step;
}

static void judge(const struct game *g)
{
	struct sample s = { .voltage_uv = -1 };

	if (driver_jbd.commit(g->state, &s) < 0)
		return;
	check(s.n_cells <= SAMPLE_MAX_CELLS && s.n_temperatures <= SAMPLE_MAX_TEMPERATURES);
	check(memchr(s.model, 0, sizeof s.model));
	check(s.valid >> SAMPLE_FIELD_COUNT == 0);
	if (!g->trusted)
		return;
	check(s.voltage_uv == g->poll * INT64_C(10000));
	check(s.current_ua == g->poll * INT64_C(10000));
	check(s.charge_uah == g->poll * INT64_C(10000));
	check(s.cycles == g->poll);
	check(s.n_cells == N_CELLS && s.n_temperatures == 2);
	for (size_t i = 0; i < N_CELLS; i++)
		check(s.cells_uv[i] == g->poll * INT64_C(1000));
	for (size_t i = 0; i < 2; i++)
		check(s.temperatures_decicelsius[i] == g->poll - 2731);
	if (sample_has(&s, SAMPLE_COUNTERS) && s.counters_age_msec == SAMPLE_COUNTERS_NEW)
		check(s.counters[PROTECTION_PACK_UNDERVOLTAGE] == g->poll);
}

/* One poll, or one command if size is that of one. */
static void run(struct game *g, uint8_t *request, size_t size, bool is_command)
{
	enum driver_step step = DRIVER_SEND;

	for (unsigned turns = 0; step == DRIVER_SEND || step == DRIVER_WAIT; turns++) {
		struct sample untouched;

		check(size > 0 && size <= DRIVER_REQUEST_BYTES);
		check(driver_jbd.commit(g->state, &untouched) == -ENODATA);
		step = turns < 64 ? speak(g, request, size) : give_nothing(g, request[2]);
		check(!is_command || step != DRIVER_SEND);
		doubt(g);
		if (step == DRIVER_SEND)
			size = driver_jbd.next(g->state, request);
	}
	if (step == DRIVER_DONE && !is_command)
		judge(g);
	else if (is_command)
		check(driver_jbd.commit(g->state, &(struct sample){}) == -ENODATA);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct game g = { .in = { data, data + size } };
	uint8_t request[DRIVER_REQUEST_BYTES];

	g.state = calloc(1, driver_jbd.state_bytes);
	check(g.state);
	driver_jbd.init(g.state);
	while (!input_is_empty(&g.in) && g.poll < MAX_POLLS) {
		unsigned what = take_byte(&g.in);
		ssize_t n;

		g.poll++;
		g.trusted = true;
		/* What the driver holds for late after it was confused nobody can tell. */
		if (what % 16 == 15 || (g.confused && g.n_late == 0)) {
			driver_jbd.init(g.state);
			g.unanswered = 0;
			g.confused = g.n_late > 0;
		}
		doubt(&g);
		n = what % 16 == 14
			    ? driver_jbd.set_fet(g.state, what >> 4 & 1, what >> 5 & 1, request)
			    : -1;
		if (n > 0)
			run(&g, request, (size_t)n, true);
		else
			run(&g, request, driver_jbd.begin(g.state, request), false);
	}
	free(g.state);
	return 0;
}
