/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiver of Daly boards: a board whose every value tells in which poll it was asked, at the end
 * of a line that the input makes bad. What is committed is of one poll, nothing is taken for it that
 * was not said, and a frame behind any junk is found at its last byte.
 */
#include "fuzz.h"

#include <string.h>

#include "bmsd/daly.h"
#include "bmsd/driver.h"

#define MAX_POLLS 200
#define N_CELLS	  7
#define N_SENSORS 8

struct game {
	struct input in;
	uint8_t *state;
	struct link_errors errors;
	uint8_t poll; /* stands in every value */
	bool trusted; /* nothing but the board answered in this poll */
	uint8_t command;
	uint8_t window[DALY_FRAME_BYTES]; /* the last bytes, as the driver has them */
};

static unsigned frames_of(uint8_t command)
{
	switch (command) {
	case DALY_CODE: return DALY_CODE_FRAMES;
	case DALY_CELLS: return (N_CELLS + 2) / 3;
	case DALY_TEMPERATURES: return (N_SENSORS + 6) / 7;
	default: return 1;
	}
}

static void answer(const struct game *g, uint8_t command, unsigned number, uint8_t *frame)
{
	uint8_t data[DALY_DATA_BYTES];

	memset(data, g->poll, sizeof data);
	if (frames_of(command) > 1)
		data[0] = (uint8_t)number;
	if (command == DALY_STATUS) {
		data[0] = N_CELLS;
		data[1] = N_SENSORS;
	}
	(void)daly_build(DALY_BOARD, command, data, frame);
}

/* Eight bits of sum are soon right by chance: an answer that the board did not give ends its
 * promises. */
static void notice(struct game *g, uint8_t byte, bool honest)
{
	memmove(g->window, g->window + 1, DALY_FRAME_BYTES - 1);
	g->window[DALY_FRAME_BYTES - 1] = byte;
	if (!honest && daly_frame_is_good(g->window) && g->window[1] == DALY_BOARD &&
	    g->window[2] == g->command)
		g->trusted = false;
}

static enum driver_step give(struct game *g, const uint8_t *bytes, size_t size, bool honest)
{
	enum driver_step step = DRIVER_WAIT;

	for (size_t i = 0; i < size && step == DRIVER_WAIT; i++) {
		notice(g, bytes[i], honest && i + 1 == size);
		step = driver_daly.rx(g->state, bytes[i], &g->errors);
	}
	return step;
}

static enum driver_step give_junk(struct game *g)
{
	uint8_t junk[300];
	size_t size = take_below(&g->in, sizeof junk);

	for (size_t i = 0; i < size; i++)
		junk[i] = (uint8_t)take_byte(&g->in);
	return give(g, junk, size, false);
}

/* All frames of the answer; the last byte of the last one, and none before, completes it. */
static enum driver_step give_good(struct game *g)
{
	unsigned n = frames_of(g->command);
	enum driver_step step = DRIVER_WAIT;

	for (unsigned i = 1; i <= n && step == DRIVER_WAIT; i++) {
		uint8_t frame[DALY_FRAME_BYTES];

		answer(g, g->command, i, frame);
		step = give(g, frame, sizeof frame, true);
		check(!g->trusted || i == n || step == DRIVER_WAIT);
		if (i < n && take_byte(&g->in) % 4 == 0 && step == DRIVER_WAIT)
			step = give_junk(g);
	}
	/* Whatever was there before it. */
	check(!g->trusted || step != DRIVER_WAIT);
	return step;
}

static enum driver_step give_bad(struct game *g)
{
	uint8_t frame[DALY_FRAME_BYTES];
	size_t at = take_below(&g->in, DALY_FRAME_BYTES);

	answer(g, g->command, 1 + (unsigned)take_below(&g->in, frames_of(g->command)), frame);
	frame[at] ^= (uint8_t)(1 + take_below(&g->in, 255));
	return give(g, frame, sizeof frame - take_below(&g->in, 2), false);
}

static enum driver_step speak(struct game *g, const uint8_t *request, size_t request_size)
{
	uint8_t frame[DALY_FRAME_BYTES] = { 0 };

	switch (take_byte(&g->in) % 8) {
	case 0: return give_junk(g);
	case 1: return give(g, request, request_size, false); /* echo */
	case 2:
		answer(g, g->command ^ 1, 1, frame); /* to another question */
		return give(g, frame, sizeof frame, false);
	case 3:
		(void)daly_build(DALY_BOARD, g->command, frame + 4, frame);
		return give(g, frame, sizeof frame, false); /* zeros */
	case 4: return give_bad(g);
	case 5: return driver_daly.timeout(g->state, &g->errors);
	default: return give_good(g);
	}
}

static void judge_optional(const struct game *g, const struct sample *s)
{
	if (sample_has(s, SAMPLE_CHARGE))
		check(s->charge_uah == (int64_t)g->poll * 0x01010101 * 1000);
	if (sample_has(s, SAMPLE_TEMPERATURES)) {
		check(s->n_temperatures == N_SENSORS);
		for (size_t i = 0; i < N_SENSORS; i++)
			check(s->temperatures_decicelsius[i] == (g->poll - 40) * 10);
	}
	if (sample_has(s, SAMPLE_BALANCING))
		check(s->balancing == g->poll * 0x01010101u);
	if (!sample_has(s, SAMPLE_PROTECTIONS))
		check(s->protections == 0 && s->warnings == 0);
	if (!sample_has(s, SAMPLE_DISCHARGE_FET))
		check(!s->discharge_fet && !s->charge_fet);
}

static void judge(const struct game *g)
{
	struct sample s = { .voltage_uv = -1 };

	if (driver_daly.commit(g->state, &s) < 0)
		return;
	check(s.n_cells <= SAMPLE_MAX_CELLS && s.n_temperatures <= SAMPLE_MAX_TEMPERATURES);
	check(memchr(s.model, 0, sizeof s.model) && memchr(s.manufactured, 0, SAMPLE_DATE_BYTES));
	check(s.valid >> SAMPLE_FIELD_COUNT == 0);
	if (!g->trusted)
		return;
	check(s.voltage_uv == g->poll * 0x0101 * INT64_C(100000));
	check(s.current_ua == (30000 - g->poll * 0x0101) * INT64_C(100000));
	check(s.cycles == g->poll * 0x0101u);
	check(s.n_cells == N_CELLS);
	for (size_t i = 0; i < N_CELLS; i++)
		check(s.cells_uv[i] == g->poll * 0x0101 * INT64_C(1000));
	judge_optional(g, &s);
}

/* One poll, or one command. */
static void run(struct game *g, uint8_t *request, size_t size, bool is_command)
{
	enum driver_step step = DRIVER_SEND;

	for (unsigned turns = 0; step == DRIVER_SEND || step == DRIVER_WAIT; turns++) {
		struct sample untouched;

		if (step == DRIVER_SEND)
			memset(g->window, 0, sizeof g->window);
		g->command = request[2];
		check(size == DALY_FRAME_BYTES && daly_frame_is_good(request));
		check(driver_daly.commit(g->state, &untouched) == -ENODATA);
		step = turns < 64 ? speak(g, request, size)
				  : driver_daly.timeout(g->state, &g->errors);
		check(!is_command || step != DRIVER_SEND);
		if (step == DRIVER_SEND)
			size = driver_daly.next(g->state, request);
	}
	if (step == DRIVER_DONE && !is_command)
		judge(g);
	else
		check(driver_daly.commit(g->state, &(struct sample){}) == -ENODATA);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct game g = { .in = { data, data + size } };
	uint8_t request[DRIVER_REQUEST_BYTES];

	g.state = calloc(1, driver_daly.state_bytes);
	check(g.state);
	driver_daly.init(g.state);
	while (!input_is_empty(&g.in) && g.poll < MAX_POLLS) {
		unsigned what = take_byte(&g.in) % 16;

		g.poll++;
		g.trusted = true;
		if (what == 15)
			driver_daly.init(g.state);
		if (what == 14)
			run(&g, request,
			    (size_t)driver_daly.set_fet(g.state, g.poll & 1, g.poll & 2, request),
			    true);
		else
			run(&g, request, driver_daly.begin(g.state, request), false);
	}
	free(g.state);
	return 0;
}
