/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/simboard.h"

#include <math.h>
#include <string.h>

#include "bmsd/sample.h"

#define NTC_MAX	       8
#define MODEL_MAX      31
#define DATA_BYTES     255
/* The load swings by a quarter around its mean, once in this time. */
#define SWING_SEC      20.0
#define SWING_PART     0.25
#define CELL_OHM       0.0015
#define AMBIENT_C      22.0
#define HEAT_C_PER_A2S 2e-6
#define COOLING_PER_S  1e-3

struct simboard {
	struct simboard_settings s;
	uint8_t request[DATA_BYTES + JBD_OVERHEAD_BYTES];
	size_t used;
	uint32_t random;
	double time_sec;
	double charge_mah;
	double throughput_mah;
	double current_ma;
	double temperature_c;
	int offset_mv[SAMPLE_MAX_CELLS];
};

/* Open-circuit voltage of a cell (Molicel INR21700-P42A at C/32, IEEE TIM 2025), percent and mV. */
static const struct {
	double soc, mv;
} ocv[] = {
	{ 0, 2506 },	 { 1.51, 2898 },  { 4.52, 3146 },  { 9.55, 3323 },  { 15.08, 3422 },
	{ 29.15, 3574 }, { 45.73, 3702 }, { 83.42, 4064 }, { 94.97, 4101 }, { 100, 4193 },
};

static double cell_mv_at(double soc)
{
	for (size_t i = 1; i < ELEMENTSOF(ocv); i++)
		if (soc <= ocv[i].soc)
			return ocv[i - 1].mv + (soc - ocv[i - 1].soc) *
						       (ocv[i].mv - ocv[i - 1].mv) /
						       (ocv[i].soc - ocv[i - 1].soc);
	return ocv[ELEMENTSOF(ocv) - 1].mv;
}

uint32_t simboard_random(struct simboard *b)
{
	/* xorshift32 (Marsaglia 2003); its state is never zero. */
	b->random ^= b->random << 13;
	b->random ^= b->random >> 17;
	b->random ^= b->random << 5;
	return b->random;
}

int simboard_new(const struct simboard_settings *settings, struct simboard **ret)
{
	struct simboard *b;

	if (settings->cells < 1 || settings->cells > SAMPLE_MAX_CELLS || settings->ntcs > NTC_MAX ||
	    settings->soc_percent > 100 || settings->capacity_mah == 0)
		return -EINVAL;
	b = calloc(1, sizeof *b);
	if (!b)
		return -ENOMEM;
	b->s = *settings;
	b->random = settings->seed ? settings->seed : 1;
	b->charge_mah = (double)settings->capacity_mah * settings->soc_percent / 100;
	b->current_ma = settings->current_ma;
	b->temperature_c = AMBIENT_C;
	for (unsigned i = 0; i < settings->cells; i++)
		b->offset_mv[i] = (int)(simboard_random(b) % 9) - 4;
	*ret = b;
	return 0;
}

struct simboard *simboard_free(struct simboard *b)
{
	free(b);
	return NULL;
}

static double soc_of(const struct simboard *b)
{
	return 100 * b->charge_mah / b->s.capacity_mah;
}

void simboard_advance(struct simboard *b, uint64_t msec)
{
	double seconds = (double)msec / 1000, amperes;

	b->time_sec += seconds;
	b->current_ma = b->s.current_ma *
			(1 + SWING_PART * sin(2 * M_PI * b->time_sec / SWING_SEC));
	b->charge_mah += b->current_ma * seconds / 3600;
	b->throughput_mah += fabs(b->current_ma) * seconds / 3600 / 2;
	if (b->charge_mah <= 0 || b->charge_mah >= b->s.capacity_mah) {
		b->charge_mah = fmin(fmax(b->charge_mah, 0), b->s.capacity_mah);
		b->current_ma = 0;
	}
	amperes = b->current_ma / 1000;
	b->temperature_c += amperes * amperes * HEAT_C_PER_A2S * seconds;
	b->temperature_c -= (b->temperature_c - AMBIENT_C) * fmin(COOLING_PER_S * seconds, 1);
}

static double cell_mv(const struct simboard *b, unsigned cell)
{
	return cell_mv_at(soc_of(b)) + b->offset_mv[cell] + b->current_ma * CELL_OHM;
}

static void put_u16(uint8_t *at, long value)
{
	at[0] = (uint8_t)((value >> 8) & 0xff);
	at[1] = (uint8_t)(value & 0xff);
}

static uint8_t fill_basic(const struct simboard *b, uint8_t *data)
{
	double pack_mv = 0;

	for (unsigned i = 0; i < b->s.cells; i++)
		pack_mv += cell_mv(b, i);
	memset(data, 0, JBD_BASIC_BYTES);
	put_u16(data, lround(pack_mv / 10));
	put_u16(data + 2, lround(b->current_ma / 10));
	put_u16(data + 4, lround(b->charge_mah / 10));
	put_u16(data + 6, b->s.capacity_mah / 10);
	put_u16(data + 8, 100 + (long)(b->throughput_mah / b->s.capacity_mah));
	put_u16(data + 10, (21 << 9) | (8 << 5) | 1); /* made 2021-08-01 */
	data[18] = 0x23;			      /* software 2.3 */
	data[19] = (uint8_t)lround(soc_of(b));
	data[20] = 3; /* both switches on */
	data[21] = (uint8_t)b->s.cells;
	data[22] = (uint8_t)b->s.ntcs;
	for (unsigned i = 0; i < b->s.ntcs; i++)
		put_u16(data + JBD_BASIC_BYTES + 2 * (size_t)i,
			lround(b->temperature_c * 10) + (long)i + 2731);
	return (uint8_t)(JBD_BASIC_BYTES + 2 * b->s.ntcs);
}

static uint8_t fill_cells(const struct simboard *b, uint8_t *data)
{
	for (unsigned i = 0; i < b->s.cells; i++)
		put_u16(data + 2 * (size_t)i, lround(cell_mv(b, i)));
	return (uint8_t)(2 * b->s.cells);
}

static size_t answer(const struct simboard *b, uint8_t reg, uint8_t *ret_frame)
{
	uint8_t data[DATA_BYTES] = { 0 };
	size_t size;

	switch (reg) {
	case JBD_BASIC:
		return jbd_build_answer(reg, JBD_STATUS_OK, data, fill_basic(b, data), ret_frame);
	case JBD_CELLS:
		return jbd_build_answer(reg, JBD_STATUS_OK, data, fill_cells(b, data), ret_frame);
	case JBD_MODEL:
		size = strnlen(b->s.model, MODEL_MAX);
		memcpy(data, b->s.model, size);
		return jbd_build_answer(reg, JBD_STATUS_OK, data, (uint8_t)size, ret_frame);
	case JBD_ERROR_COUNTERS: return jbd_build_answer(reg, JBD_STATUS_OK, data, 24, ret_frame);
	default: return jbd_build_answer(reg, JBD_STATUS_ERROR, NULL, 0, ret_frame);
	}
}

/* 0: go on, 1: complete, -1: this cannot become a request. */
static int check_request(const struct simboard *b)
{
	const uint8_t *q = b->request;
	size_t size;

	if (q[0] != JBD_START || (b->used > 1 && q[1] != JBD_READ && q[1] != JBD_WRITE))
		return -1;
	if (b->used < JBD_OVERHEAD_BYTES || b->used < q[3] + (size_t)JBD_OVERHEAD_BYTES)
		return 0;
	size = q[3];
	if (jbd_checksum(q + 2, size + 2) != (q[4 + size] << 8 | q[5 + size]) ||
	    q[6 + size] != JBD_END)
		return -1;
	return 1;
}

size_t simboard_rx(struct simboard *b, uint8_t byte, uint8_t ret_frame[JBD_FRAME_BYTES])
{
	int r;

	b->request[b->used++] = byte;
	r = check_request(b);
	if (r == 0)
		return 0;
	b->used = 0;
	if (r < 0) {
		/* The byte that did not fit may be the start of a request. */
		if (byte == JBD_START)
			b->request[b->used++] = byte;
		return 0;
	}
	/* Nothing can be written to this board. */
	if (b->request[1] == JBD_WRITE)
		return jbd_build_answer(b->request[2], JBD_STATUS_ERROR, NULL, 0, ret_frame);
	return answer(b, b->request[2], ret_frame);
}
