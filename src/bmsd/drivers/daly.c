/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One poll is a list of commands. Boards differ in which of them they answer: one that was never
 * answered is given up after a few polls, and what it tells is unknown; one that was answered before
 * has to be answered again, or the poll failed.
 *
 * The receiver looks at the last 13 bytes at every byte, so nothing before a frame hides it. A sum of
 * eight bits is weak: only an answer of our board to the command that was asked counts.
 */
#include "bmsd/daly.h"

#include <string.h>

#include "bmsd/driver.h"

#define TRIES	   3
#define QUIET_MSEC 20

/* Two words with the same meaning in the alarms, the first to warn, the second when the board acts. */
#define ALARM_LEVELS 2

enum ask {
	ASK_RATED,
	ASK_DATE,
	ASK_CODE,
	ASK_STATUS, /* how many frames the others have */
	ASK_BASIC,
	ASK_CELLS,
	ASK_TEMPERATURES,
	ASK_SWITCHES,
	ASK_BALANCING,
	ASK_ALARMS,
	ASK_COUNT,
	ASK_NOTHING = ASK_COUNT,
	ASK_TO_SWITCH,
};

static const struct {
	uint8_t command;
	bool once;  /* does not change */
	bool vital; /* no sample without it */
} asks[ASK_COUNT] = {
	[ASK_RATED] = { .command = DALY_RATED, .once = true },
	[ASK_DATE] = { .command = DALY_DATE, .once = true },
	[ASK_CODE] = { .command = DALY_CODE, .once = true },
	[ASK_STATUS] = { .command = DALY_STATUS, .vital = true },
	[ASK_BASIC] = { .command = DALY_BASIC, .vital = true },
	[ASK_CELLS] = { .command = DALY_CELLS, .vital = true },
	[ASK_TEMPERATURES] = { .command = DALY_TEMPERATURES },
	[ASK_SWITCHES] = { .command = DALY_SWITCHES },
	[ASK_BALANCING] = { .command = DALY_BALANCING },
	[ASK_ALARMS] = { .command = DALY_ALARMS },
};

struct daly {
	uint8_t window[DALY_FRAME_BYTES];
	size_t seen; /* bytes since the request or the last good frame */
	unsigned asked;
	uint8_t command;
	bool echoed;  /* our request came back */
	bool damaged; /* an answer came, but not a good one */
	bool done;
	uint32_t frames; /* of an answer of several: those that came */

	unsigned tries[ASK_COUNT];
	bool answered[ASK_COUNT]; /* ever, on this line */
	bool got[ASK_COUNT];	  /* in this poll; for what does not change: ever */
	uint8_t data[ASK_COUNT][DALY_DATA_BYTES];
	char code[DALY_CODE_FRAMES * DALY_TEMPERATURES_PER_FRAME];
	size_t n_cells, n_temperatures;
	uint16_t cells_mv[SAMPLE_MAX_CELLS];
	uint8_t temperatures[SAMPLE_MAX_TEMPERATURES];
};

static uint16_t u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t u32(const uint8_t *p)
{
	return (uint32_t)u16(p) << 16 | u16(p + 2);
}

/* ---- asking ---- */

static void daly_init(void *state)
{
	struct daly *d = state;

	*d = (struct daly){};
}

static bool is_due(const struct daly *d, unsigned ask)
{
	if (ask == ASK_TEMPERATURES && d->n_temperatures == 0)
		return false;
	if (asks[ask].once && d->answered[ask])
		return false;
	return asks[ask].vital || d->answered[ask] || d->tries[ask] < TRIES;
}

/* The first of the list from here on that is to be asked; ASK_NOTHING at its end. */
static unsigned due_from(const struct daly *d, unsigned ask)
{
	while (ask < ASK_COUNT && !is_due(d, ask))
		ask++;
	return ask;
}

/* What came before the request is no part of its answer. */
static void listen_anew(struct daly *d)
{
	memset(d->window, 0, sizeof d->window);
	d->seen = 0;
	d->echoed = d->damaged = false;
}

static size_t daly_next(void *state, uint8_t *ret_request)
{
	struct daly *d = state;

	d->frames = 0;
	d->command = asks[d->asked].command;
	listen_anew(d);
	return daly_build(DALY_HOST, d->command, NULL, ret_request);
}

static size_t daly_begin(void *state, uint8_t *ret_request)
{
	struct daly *d = state;

	d->done = false;
	for (unsigned i = 0; i < ASK_COUNT; i++)
		d->got[i] = asks[i].once && d->answered[i];
	d->asked = due_from(d, 0);
	return daly_next(state, ret_request);
}

static enum driver_step go_on(struct daly *d)
{
	d->asked = due_from(d, d->asked + 1);
	if (d->asked != ASK_NOTHING)
		return DRIVER_SEND;
	d->done = true;
	return DRIVER_DONE;
}

static ssize_t daly_set_fet(void *state, enum fet fet, bool on, uint8_t *ret_request)
{
	const uint8_t data[DALY_DATA_BYTES] = { on };
	struct daly *d = state;

	d->done = false;
	d->asked = ASK_TO_SWITCH;
	listen_anew(d);
	d->command = fet == FET_CHARGE ? DALY_SET_CHARGE_FET : DALY_SET_DISCHARGE_FET;
	return (ssize_t)daly_build(DALY_HOST, d->command, data, ret_request);
}

/* ---- what comes back ---- */

static bool is_zero(const uint8_t *data)
{
	static const uint8_t zero[DALY_DATA_BYTES];

	return memcmp(data, zero, sizeof zero) == 0;
}

static enum driver_step asleep(struct link_errors *errors)
{
	errors->n[LINK_ERROR_ASLEEP]++;
	return DRIVER_ASLEEP;
}

/* It may be junk that looks like a frame: the real one is still waited for. */
static enum driver_step malformed(struct daly *d, struct link_errors *errors)
{
	d->damaged = true;
	errors->n[LINK_ERROR_MALFORMED]++;
	return DRIVER_WAIT;
}

static enum driver_step got(struct daly *d, const uint8_t *data)
{
	memcpy(d->data[d->asked], data, DALY_DATA_BYTES);
	d->got[d->asked] = d->answered[d->asked] = true;
	return go_on(d);
}

/* One frame of several: its number, then n values. Boards may send more than they have cells for. */
static enum driver_step collect(struct daly *d, const uint8_t *data, size_t n_frames,
				struct link_errors *errors)
{
	if (data[0] == 0)
		return malformed(d, errors);
	if (data[0] > n_frames)
		return DRIVER_WAIT;
	d->frames |= 1u << (data[0] - 1);
	return d->frames == (1u << n_frames) - 1 ? got(d, data) : DRIVER_WAIT;
}

static size_t frames_of(size_t n, size_t per_frame)
{
	return (n + per_frame - 1) / per_frame;
}

static enum driver_step take_cells(struct daly *d, const uint8_t *data, struct link_errors *errors)
{
	size_t at = (data[0] - (size_t)1) * DALY_CELLS_PER_FRAME;

	for (size_t i = 0; i < DALY_CELLS_PER_FRAME && data[0] > 0 && at + i < d->n_cells; i++)
		d->cells_mv[at + i] = u16(data + 1 + 2 * i);
	return collect(d, data, frames_of(d->n_cells, DALY_CELLS_PER_FRAME), errors);
}

static enum driver_step take_temperatures(struct daly *d, const uint8_t *data,
					  struct link_errors *errors)
{
	size_t at = (data[0] - (size_t)1) * DALY_TEMPERATURES_PER_FRAME;

	for (size_t i = 0;
	     i < DALY_TEMPERATURES_PER_FRAME && data[0] > 0 && at + i < d->n_temperatures; i++)
		d->temperatures[at + i] = data[1 + i];
	return collect(d, data, frames_of(d->n_temperatures, DALY_TEMPERATURES_PER_FRAME), errors);
}

static enum driver_step take_code(struct daly *d, const uint8_t *data, struct link_errors *errors)
{
	size_t at = (data[0] - (size_t)1) * DALY_TEMPERATURES_PER_FRAME;

	if (data[0] > 0 && data[0] <= DALY_CODE_FRAMES)
		memcpy(d->code + at, data + 1, DALY_TEMPERATURES_PER_FRAME);
	return collect(d, data, DALY_CODE_FRAMES, errors);
}

static enum driver_step take_status(struct daly *d, const uint8_t *data, struct link_errors *errors)
{
	if (data[0] == 0)
		return asleep(errors);
	if (data[0] > SAMPLE_MAX_CELLS || data[1] > SAMPLE_MAX_TEMPERATURES)
		return malformed(d, errors);
	d->n_cells = data[0];
	d->n_temperatures = data[1];
	return got(d, data);
}

static enum driver_step take(struct daly *d, const uint8_t *data, struct link_errors *errors)
{
	switch (d->asked) {
	case ASK_TO_SWITCH: return DRIVER_DONE;
	case ASK_CODE: return take_code(d, data, errors);
	case ASK_STATUS: return take_status(d, data, errors);
	case ASK_CELLS: return take_cells(d, data, errors);
	case ASK_TEMPERATURES: return take_temperatures(d, data, errors);
	case ASK_BASIC: return is_zero(data) ? asleep(errors) : got(d, data);
	default: return got(d, data);
	}
}

/* The window is a good frame of someone. */
static enum driver_step take_frame(struct daly *d, struct link_errors *errors)
{
	const uint8_t *f = d->window;

	if (d->seen > DALY_FRAME_BYTES)
		errors->n[LINK_ERROR_JUNK]++;
	d->seen = 0;
	if (f[1] == DALY_HOST) {
		d->echoed = true;
		errors->n[LINK_ERROR_ECHO]++;
		return DRIVER_WAIT;
	}
	if (f[1] != DALY_BOARD || f[2] != d->command) {
		errors->n[LINK_ERROR_REGISTER]++;
		return DRIVER_WAIT;
	}
	return take(d, f + 4, errors);
}

static enum driver_step daly_rx(void *state, uint8_t byte, struct link_errors *errors)
{
	struct daly *d = state;
	uint8_t *f = d->window;

	if (d->done)
		return DRIVER_DONE;
	memmove(f, f + 1, DALY_FRAME_BYTES - 1);
	f[DALY_FRAME_BYTES - 1] = byte;
	d->seen++;
	if (daly_frame_is_good(f))
		return take_frame(d, errors);
	if (f[0] == DALY_START && f[1] == DALY_BOARD && f[2] == d->command &&
	    f[3] == DALY_DATA_BYTES) {
		d->damaged = true;
		errors->n[LINK_ERROR_CHECKSUM]++;
	}
	return DRIVER_WAIT;
}

static enum driver_step daly_timeout(void *state, struct link_errors *errors)
{
	struct daly *d = state;

	/* A sleeping board answers nothing else: no use in asking on. */
	if (d->echoed && !d->damaged && !d->frames)
		return asleep(errors);
	if (!d->damaged)
		errors->n[LINK_ERROR_TIMEOUT]++;
	if (d->asked >= ASK_COUNT || asks[d->asked].vital || d->answered[d->asked])
		return DRIVER_FAILED;
	d->tries[d->asked]++;
	return go_on(d);
}

/* ---- a sample of it ---- */

/* For each byte of the alarms, what its pairs of bits mean. */
static const uint8_t alarm_pairs[][4] = {
	{ PROTECTION_CELL_OVERVOLTAGE, PROTECTION_CELL_UNDERVOLTAGE, PROTECTION_PACK_OVERVOLTAGE,
	  PROTECTION_PACK_UNDERVOLTAGE },
	{ PROTECTION_CHARGE_OVERTEMPERATURE, PROTECTION_CHARGE_UNDERTEMPERATURE,
	  PROTECTION_DISCHARGE_OVERTEMPERATURE, PROTECTION_DISCHARGE_UNDERTEMPERATURE },
	{ PROTECTION_CHARGE_OVERCURRENT, PROTECTION_DISCHARGE_OVERCURRENT, PROTECTION_COUNT,
	  PROTECTION_COUNT }, /* the last two: state of charge, nothing to switch off for */
};

static void decode_alarms(const uint8_t *d, struct sample *s)
{
	for (size_t i = 0; i < ELEMENTSOF(alarm_pairs); i++) {
		for (size_t pair = 0; pair < 4; pair++) {
			unsigned bits = d[i] >> (pair * ALARM_LEVELS) & 3u;

			if (alarm_pairs[i][pair] == PROTECTION_COUNT)
				continue;
			s->warnings |= (bits & 1u) << alarm_pairs[i][pair];
			s->protections |= (bits >> 1) << alarm_pairs[i][pair];
		}
	}
	/* Cells or sensors that differ: a warning of no kind that has a name here. */
	if (d[3] & 0x0f)
		s->warnings |= 1u << PROTECTION_OTHER;
	if (d[5] & 0x03)
		s->protections |= 1u << PROTECTION_FRONT_END_ERROR;
	if (d[6] & 0x04)
		s->protections |= 1u << PROTECTION_SHORT_CIRCUIT;
	if (d[4] || d[5] & 0xfc || d[6] & 0xfb)
		s->protections |= 1u << PROTECTION_OTHER;
}

static void set_valid(struct sample *s, enum sample_field field)
{
	s->valid |= 1u << field;
}

static void decode_vital(const struct daly *d, struct sample *s)
{
	const uint8_t *basic = d->data[ASK_BASIC];

	s->voltage_uv = u16(basic) * INT64_C(100000);
	s->current_ua = (DALY_CURRENT_ZERO - u16(basic + 4)) * INT64_C(100000);
	/* Over 100 % is for the gates to refuse, so it must not be cut here. */
	s->capacity_percent = u16(basic + 6) / 10 + (u16(basic + 6) > 1000 ? 1 : 0);
	s->cycles = u16(d->data[ASK_STATUS] + 5);
	s->n_cells = d->n_cells;
	for (size_t i = 0; i < d->n_cells; i++)
		s->cells_uv[i] = d->cells_mv[i] * INT64_C(1000);
	s->valid |= 1u << SAMPLE_VOLTAGE | 1u << SAMPLE_CURRENT | 1u << SAMPLE_CAPACITY |
		    1u << SAMPLE_CYCLES | 1u << SAMPLE_CELLS;
}

static void decode_switches(const struct daly *d, struct sample *s)
{
	const uint8_t *data = d->data[ASK_SWITCHES];

	s->charge_fet = data[1];
	s->discharge_fet = data[2];
	s->charge_uah = u32(data + 4) * INT64_C(1000);
	s->valid |= 1u << SAMPLE_CHARGE_FET | 1u << SAMPLE_DISCHARGE_FET | 1u << SAMPLE_CHARGE;
}

static void decode_optional(const struct daly *d, struct sample *s)
{
	if (d->got[ASK_SWITCHES])
		decode_switches(d, s);
	if (d->got[ASK_TEMPERATURES]) {
		s->n_temperatures = d->n_temperatures;
		for (size_t i = 0; i < d->n_temperatures; i++)
			s->temperatures_decicelsius[i] = (d->temperatures[i] - DALY_CELSIUS_ZERO) *
							 INT64_C(10);
		set_valid(s, SAMPLE_TEMPERATURES);
	}
	if (d->got[ASK_BALANCING]) {
		for (unsigned i = 0; i < 4; i++)
			s->balancing |= (uint32_t)d->data[ASK_BALANCING][i] << (8 * i);
		set_valid(s, SAMPLE_BALANCING);
	}
	if (d->got[ASK_ALARMS]) {
		decode_alarms(d->data[ASK_ALARMS], s);
		set_valid(s, SAMPLE_PROTECTIONS);
	}
	if (d->got[ASK_RATED] && u32(d->data[ASK_RATED]) > 0) {
		s->charge_full_design_uah = u32(d->data[ASK_RATED]) * INT64_C(1000);
		set_valid(s, SAMPLE_CHARGE_FULL_DESIGN);
	}
}

static void decode_identity(const struct daly *d, struct sample *s)
{
	const uint8_t *date = d->data[ASK_DATE] + 2;
	size_t n = 0;

	if (d->got[ASK_DATE] && date[0] < 100 && date[1] >= 1 && date[1] <= 12 && date[2] >= 1 &&
	    date[2] <= 31)
		(void)snprintf(s->manufactured, sizeof s->manufactured, "20%02u-%02u-%02u", date[0],
			       date[1], date[2]);
	if (!d->got[ASK_CODE])
		return;
	for (size_t i = 0; i < sizeof d->code; i++)
		if (d->code[i] >= 0x20 && d->code[i] < 0x7f)
			s->model[n++] = d->code[i];
	while (n > 0 && s->model[n - 1] == ' ')
		n--;
	s->model[n] = '\0';
}

static int daly_commit(void *state, struct sample *ret)
{
	const struct daly *d = state;
	struct sample s = {};

	if (!d->done)
		return -ENODATA;
	decode_identity(d, &s);
	decode_vital(d, &s);
	decode_optional(d, &s);
	*ret = s;
	return 0;
}

const struct driver driver_daly = {
	.name = "daly",
	.capabilities = DRIVER_CAN_FET | DRIVER_CAN_BALANCE,
	.quiet_msec = QUIET_MSEC,
	.state_bytes = sizeof(struct daly),
	.init = daly_init,
	.begin = daly_begin,
	.next = daly_next,
	.rx = daly_rx,
	.timeout = daly_timeout,
	.commit = daly_commit,
	.set_fet = daly_set_fet,
};
