/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiver keeps a window of the last bytes and recognises a frame by its end: when an end byte
 * arrives it looks for a start before it whose length and checksum fit. So neither junk before a
 * frame nor a false start in that junk can hide the frame behind it, and no byte is waited for that
 * a damaged length promised.
 */
#include <stdbool.h>
#include <string.h>

#include "bmsd/driver.h"
#include "bmsd/jbd.h"

/* A board that never answers for its model, or its counters, is asked a few times, then left in
 * peace. */
#define TRIES	       3
/* Counters change when something happens, not by themselves. The first sample does not wait for
 * them. */
#define COUNTERS_EACH  60
#define COUNTERS_FIRST 2
/* Above, the board has counted below zero. */
#define CYCLES_MAX     0x7fff
#define JBD_FIELDS                                                                                 \
	(1u << SAMPLE_VOLTAGE | 1u << SAMPLE_CURRENT | 1u << SAMPLE_CHARGE |                       \
	 1u << SAMPLE_CHARGE_FULL_DESIGN | 1u << SAMPLE_CAPACITY | 1u << SAMPLE_CELLS |            \
	 1u << SAMPLE_PROTECTIONS | 1u << SAMPLE_BALANCING | 1u << SAMPLE_CHARGE_FET |             \
	 1u << SAMPLE_DISCHARGE_FET)

/* What the counters of JBD_ERROR_COUNTERS count. */
static const enum protection counted[JBD_COUNTERS] = {
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

enum question {
	ABOUT_BASIC,
	ABOUT_CELLS,
	ABOUT_MODEL,
	ABOUT_OTHER, /* what is not asked in each poll */
	ALL_LATE = 1 << ABOUT_BASIC | 1 << ABOUT_CELLS | 1 << ABOUT_MODEL,
};

struct jbd {
	uint8_t window[JBD_FRAME_BYTES];
	size_t used;
	size_t known;  /* of used: up to the end of the last whole frame */
	uint8_t asked; /* register */
	bool damaged;  /* an answer came, but not a good one */
	bool done;
	unsigned late; /* 1 << enum question: not answered in time, so it may be yet */
	unsigned model_tries;
	char model[SAMPLE_MODEL_BYTES];
	bool has_basic, has_cells; /* of this poll */
	uint8_t basic[255];
	size_t basic_bytes;
	uint8_t cells[255];
	size_t cells_bytes;

	unsigned counters_in; /* polls until they are asked for */
	unsigned counters_tries;
	bool counters_known, counters_new;
	uint16_t counters[JBD_COUNTERS];

	/* The switches, as the last whole poll had them. */
	bool switches_known, charge_fet, discharge_fet, locked;
	/* What we forced off ourselves, and what is being written. */
	bool forced_known;
	uint8_t forced, forcing;
};

static uint16_t u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void jbd_init(void *state)
{
	struct jbd *j = state;

	*j = (struct jbd){ .counters_in = COUNTERS_FIRST };
}

static size_t jbd_next(void *state, uint8_t *ret_request)
{
	struct jbd *j = state;

	j->used = j->known = 0;
	j->damaged = false;
	return jbd_build_request(j->asked, ret_request);
}

static unsigned question_of(uint8_t reg)
{
	switch (reg) {
	case JBD_BASIC: return 1u << ABOUT_BASIC;
	case JBD_CELLS: return 1u << ABOUT_CELLS;
	case JBD_MODEL: return 1u << ABOUT_MODEL;
	default: return 1u << ABOUT_OTHER;
	}
}

/* An answer says which register it is of, but not to which request. Boards answer in order: once
 * another register is answered, what is late will not come any more. So a poll does not begin with a
 * register whose answer is late. Where all of them are, as of a board that was away, nothing can be
 * told. */
static uint8_t first_register(const struct jbd *j)
{
	if (j->model_tries < TRIES && !(j->late & 1u << ABOUT_MODEL))
		return JBD_MODEL;
	if (!(j->late & 1u << ABOUT_BASIC))
		return JBD_BASIC;
	return j->late & 1u << ABOUT_CELLS ? JBD_MODEL : JBD_CELLS;
}

static bool all_are_late(const struct jbd *j)
{
	return (j->late & ALL_LATE) == ALL_LATE;
}

static size_t jbd_begin(void *state, uint8_t *ret_request)
{
	struct jbd *j = state;

	j->done = j->counters_new = false;
	j->has_basic = j->has_cells = false;
	if (j->counters_in > 0)
		j->counters_in--;
	if (all_are_late(j))
		j->late = 0;
	j->asked = first_register(j);
	return jbd_next(state, ret_request);
}

static enum driver_step ask(struct jbd *j, uint8_t reg)
{
	j->asked = reg;
	return DRIVER_SEND;
}

/* It may be junk that looks like a frame: the real one is still waited for. */
static enum driver_step malformed(struct jbd *j, struct link_errors *errors)
{
	j->damaged = true;
	errors->n[LINK_ERROR_MALFORMED]++;
	return DRIVER_WAIT;
}

static enum driver_step take_model(struct jbd *j, const uint8_t *data, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < size && n < sizeof j->model - 1; i++)
		if (data[i] >= 0x20 && data[i] < 0x7f)
			j->model[n++] = (char)data[i];
	j->model[n] = '\0';
	j->model_tries = TRIES;
	return ask(j, JBD_BASIC);
}

static enum driver_step whole(struct jbd *j)
{
	j->switches_known = true;
	j->charge_fet = j->basic[20] & 1;
	j->discharge_fet = j->basic[20] & 2;
	j->locked = u16(j->basic + 16) & 1u << PROTECTION_SOFTWARE_LOCK;
	/* What will be locked then is not what we locked. */
	if (!j->locked)
		j->forced_known = false;
	j->done = true;
	return DRIVER_DONE;
}

/* Which of the two halves came first is all the same. */
static enum driver_step go_on(struct jbd *j)
{
	if (!j->has_basic)
		return ask(j, JBD_BASIC);
	if (!j->has_cells)
		return ask(j, JBD_CELLS);
	if (j->counters_in == 0 && j->counters_tries < TRIES)
		return ask(j, JBD_ERROR_COUNTERS);
	return whole(j);
}

static enum driver_step take_basic(struct jbd *j, const uint8_t *data, size_t size,
				   struct link_errors *errors)
{
	if (size < JBD_BASIC_BYTES || size < JBD_BASIC_BYTES + 2 * (size_t)data[22] ||
	    data[22] > SAMPLE_MAX_TEMPERATURES || data[21] > SAMPLE_MAX_CELLS)
		return malformed(j, errors);
	memcpy(j->basic, data, size);
	j->basic_bytes = size;
	j->has_basic = true;
	return go_on(j);
}

static enum driver_step take_cells(struct jbd *j, const uint8_t *data, size_t size,
				   struct link_errors *errors)
{
	if (size % 2 || size / 2 > SAMPLE_MAX_CELLS)
		return malformed(j, errors);
	memcpy(j->cells, data, size);
	j->cells_bytes = size;
	j->has_cells = true;
	return go_on(j);
}

static enum driver_step take_counters(struct jbd *j, const uint8_t *data, size_t size,
				      struct link_errors *errors)
{
	if (size < (size_t)JBD_COUNTERS_MIN_BYTES)
		return malformed(j, errors);
	for (size_t i = 0; i < JBD_COUNTERS; i++)
		j->counters[i] = u16(data + 2 * i);
	j->counters_known = j->counters_new = true;
	j->counters_tries = 0;
	j->counters_in = COUNTERS_EACH;
	return whole(j);
}

/* The sample is good without them, but what is not confirmed is not known. */
static enum driver_step miss_counters(struct jbd *j)
{
	j->counters_known = false;
	j->counters_in = COUNTERS_EACH;
	return whole(j);
}

static enum driver_step take_refusal(struct jbd *j, struct link_errors *errors)
{
	if (j->asked == JBD_ERROR_COUNTERS) {
		/* An older board; no fault of the line. */
		j->counters_tries = TRIES;
		return miss_counters(j);
	}
	errors->n[LINK_ERROR_STATUS]++;
	if (j->asked != JBD_MODEL)
		return DRIVER_FAILED;
	j->model_tries = TRIES;
	return ask(j, JBD_BASIC);
}

static enum driver_step take_switches(struct jbd *j)
{
	j->forced = j->forcing;
	j->forced_known = true;
	return DRIVER_DONE;
}

static enum driver_step take_answer(struct jbd *j, const uint8_t *frame, struct link_errors *errors)
{
	const uint8_t *data = frame + 4;
	uint8_t size = frame[3];

	if (frame[2] != JBD_STATUS_OK)
		return take_refusal(j, errors);
	switch ((enum jbd_register)j->asked) {
	case JBD_MODEL: return take_model(j, data, size);
	case JBD_BASIC: return take_basic(j, data, size, errors);
	case JBD_CELLS: return take_cells(j, data, size, errors);
	case JBD_ERROR_COUNTERS: return take_counters(j, data, size, errors);
	case JBD_SWITCHES: return take_switches(j);
	}
	return DRIVER_WAIT;
}

/* frame has a good checksum. */
static enum driver_step take_frame(struct jbd *j, const uint8_t *frame, struct link_errors *errors)
{
	unsigned question = question_of(j->asked);
	enum driver_step step;

	/* An echoed request has the shape of an answer: register A5. */
	if (frame[1] == JBD_READ || frame[1] == JBD_WRITE) {
		errors->n[LINK_ERROR_ECHO]++;
		return DRIVER_WAIT;
	}
	if (frame[1] != j->asked) {
		errors->n[LINK_ERROR_REGISTER]++;
		return DRIVER_WAIT;
	}
	step = take_answer(j, frame, errors);
	if (step != DRIVER_WAIT && !(j->late & question))
		j->late = 0;
	return step;
}

/* Whether a frame runs from start to the end of the window; damaged ones of ours are counted. */
static bool frame_ends_here(struct jbd *j, size_t start, struct link_errors *errors)
{
	const uint8_t *f = j->window + start;
	size_t size = f[3];

	if (f[0] != JBD_START || start + size + JBD_OVERHEAD_BYTES != j->used)
		return false;
	if (jbd_checksum(f + 2, size + 2) == u16(f + 4 + size))
		return true;
	if (f[1] == j->asked) {
		j->damaged = true;
		errors->n[LINK_ERROR_CHECKSUM]++;
	}
	return false;
}

static void append(struct jbd *j, uint8_t byte)
{
	if (j->used == sizeof j->window) {
		memmove(j->window, j->window + 1, --j->used);
		if (j->known > 0)
			j->known--;
	}
	j->window[j->used++] = byte;
}

/* A frame that is no answer stays in the window: it may be junk that ends where the answer's own
 * bytes have begun. */
static enum driver_step jbd_rx(void *state, uint8_t byte, struct link_errors *errors)
{
	struct jbd *j = state;
	enum driver_step step = DRIVER_WAIT;

	if (j->done)
		return DRIVER_DONE;
	append(j, byte);
	if (byte != JBD_END)
		return DRIVER_WAIT;
	for (size_t start = 0; start + JBD_OVERHEAD_BYTES <= j->used && step == DRIVER_WAIT;
	     start++) {
		if (!frame_ends_here(j, start, errors))
			continue;
		if (start > j->known)
			errors->n[LINK_ERROR_JUNK]++;
		j->known = j->used;
		step = take_frame(j, j->window + start, errors);
	}
	if (step != DRIVER_WAIT)
		j->used = j->known = 0;
	return step;
}

static enum driver_step jbd_timeout(void *state, struct link_errors *errors)
{
	struct jbd *j = state;

	if (!j->damaged)
		errors->n[LINK_ERROR_TIMEOUT]++;
	j->late |= question_of(j->asked);
	if (j->asked == JBD_ERROR_COUNTERS) {
		j->counters_tries++;
		return miss_counters(j);
	}
	/* The board may have taken the command all the same: the next poll tells. */
	if (j->asked == JBD_SWITCHES)
		j->switches_known = j->forced_known = false;
	if (j->asked != JBD_MODEL || j->model_tries >= TRIES || all_are_late(j))
		return DRIVER_FAILED;
	j->model_tries++;
	return ask(j, first_register(j));
}

static void decode_basic(const uint8_t *d, struct sample *s)
{
	uint16_t bits = u16(d + 16);

	s->voltage_uv = u16(d) * INT64_C(10000);
	s->current_ua = (int16_t)u16(d + 2) * INT64_C(10000);
	s->charge_uah = u16(d + 4) * INT64_C(10000);
	s->charge_full_design_uah = u16(d + 6) * INT64_C(10000);
	s->balancing = (uint32_t)u16(d + 14) << 16 | u16(d + 12);
	s->protections = bits & ((1u << PROTECTION_OTHER) - 1);
	if (bits >> PROTECTION_OTHER)
		s->protections |= 1u << PROTECTION_OTHER;
	/* Relative to the capacity that the board counts with, which is not the nominal one: the
	 * quotient of charge and nominal capacity would be wrong. */
	s->capacity_percent = d[19];
	s->charge_fet = d[20] & 1;
	s->discharge_fet = d[20] & 2;
	s->n_temperatures = d[22];
	for (size_t i = 0; i < s->n_temperatures; i++)
		s->temperatures_decicelsius[i] = u16(d + JBD_BASIC_BYTES + 2 * i) - 2731;
}

static void set_valid(struct sample *s, enum sample_field field)
{
	s->valid |= 1u << field;
}

/* Day, month, year since 2000, in 5, 4 and 7 bits. */
static void decode_identity(const uint8_t *d, struct sample *s)
{
	unsigned date = u16(d + 10), version = d[18];
	unsigned year = 2000 + (date >> 9), month = date >> 5 & 15, day = date & 31;

	if (month >= 1 && month <= 12 && day >= 1)
		(void)snprintf(s->manufactured, sizeof s->manufactured, "%04u-%02u-%02u", year,
			       month, day);
	(void)snprintf(s->firmware, sizeof s->firmware, "%u.%u", version >> 4, version & 15);
}

/* Only where it is what we take it for: the residual charge stands in both places. */
static void decode_appended(const uint8_t *basic, size_t size, struct sample *s)
{
	const uint8_t *d = basic + JBD_BASIC_BYTES + 2 * (size_t)basic[22];

	if (size < (size_t)(d - basic) + JBD_APPEND_BYTES)
		return;
	if (u16(d + 5) != u16(basic + 4) || u16(d + 3) == 0)
		return;
	s->charge_full_uah = u16(d + 3) * INT64_C(10000);
	set_valid(s, SAMPLE_CHARGE_FULL);
}

static void decode_optional(const struct jbd *j, struct sample *s)
{
	unsigned cycles = u16(j->basic + 8);

	if (cycles <= CYCLES_MAX) {
		s->cycles = cycles;
		set_valid(s, SAMPLE_CYCLES);
	}
	if (s->n_temperatures > 0)
		set_valid(s, SAMPLE_TEMPERATURES);
	decode_appended(j->basic, j->basic_bytes, s);
	if (!j->counters_known)
		return;
	for (size_t i = 0; i < JBD_COUNTERS; i++) {
		s->counters[counted[i]] = j->counters[i];
		s->counters_known |= 1u << counted[i];
	}
	s->counters_age_msec = j->counters_new ? SAMPLE_COUNTERS_NEW : SAMPLE_COUNTERS_KEPT;
	set_valid(s, SAMPLE_COUNTERS);
}

static int jbd_commit(void *state, struct sample *ret)
{
	const struct jbd *j = state;
	struct sample s = { .valid = JBD_FIELDS };

	if (!j->done)
		return -ENODATA;
	if ((size_t)j->basic[21] * 2 != j->cells_bytes)
		return -EBADMSG;
	memcpy(s.model, j->model, sizeof s.model);
	decode_identity(j->basic, &s);
	decode_basic(j->basic, &s);
	decode_optional(j, &s);
	s.n_cells = j->basic[21];
	for (size_t i = 0; i < s.n_cells; i++)
		s.cells_uv[i] = u16(j->cells + 2 * i) * INT64_C(1000);
	*ret = s;
	return 0;
}

/* What is forced off now. One register holds both switches, so the other one has to be written as it
 * is; and a FET that the board itself keeps off must not become one that we keep off. Where the lock
 * is not our own, a FET that is off while the board says "locked" counts as forced. */
static uint8_t forced_now(const struct jbd *j)
{
	uint8_t forced = 0;

	if (!j->locked)
		return 0;
	if (j->forced_known)
		return j->forced;
	if (!j->charge_fet)
		forced |= JBD_FORCE_CHARGE_OFF;
	if (!j->discharge_fet)
		forced |= JBD_FORCE_DISCHARGE_OFF;
	return forced;
}

static ssize_t jbd_set_fet(void *state, enum fet fet, bool on, uint8_t *ret_request)
{
	struct jbd *j = state;
	uint8_t bit = fet == FET_CHARGE ? JBD_FORCE_CHARGE_OFF : JBD_FORCE_DISCHARGE_OFF;

	if (!j->switches_known)
		return -ENODATA;
	j->done = j->damaged = false;
	j->used = j->known = 0;
	j->asked = JBD_SWITCHES;
	j->forcing = (uint8_t)(on ? forced_now(j) & ~bit : forced_now(j) | bit);
	return (ssize_t)jbd_build_write(JBD_SWITCHES, j->forcing, ret_request);
}

const struct driver driver_jbd = {
	.name = "jbd",
	.capabilities = DRIVER_CAN_FET | DRIVER_CAN_BALANCE | DRIVER_CAN_COUNTERS,
	.state_bytes = sizeof(struct jbd),
	.init = jbd_init,
	.begin = jbd_begin,
	.next = jbd_next,
	.rx = jbd_rx,
	.timeout = jbd_timeout,
	.commit = jbd_commit,
	.set_fet = jbd_set_fet,
};
