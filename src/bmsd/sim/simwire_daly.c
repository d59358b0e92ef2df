/* SPDX-License-Identifier: Apache-2.0 */
/* Daly's 13-byte frames: A5 address command 08 data[8] sum8. */
#include <math.h>
#include <string.h>

#include "bmsd/sample.h"
#include "bmsd/simwire.h"

#define START	       0xa5
#define HOST	       0x40
#define BOARD	       0x01
#define DATA_BYTES     8
#define FRAME_BYTES    13
#define CURRENT_ZERO   30000
#define CELLS_A_FRAME  3
#define BYTES_A_FRAME  7
#define MODEL_FRAMES   5
#define TEMPERATURE_AT 40

enum command {
	RATED = 0x50,
	DATE = 0x53,
	MODEL = 0x57,
	PACK = 0x90,
	EXTREMES = 0x91,
	TEMPERATURE_EXTREMES = 0x92,
	SWITCHES = 0x93,
	STATUS = 0x94,
	CELLS = 0x95,
	TEMPERATURES = 0x96,
	BALANCING = 0x97,
	ALARMS = 0x98,
	SET_DISCHARGE = 0xd9,
	SET_CHARGE = 0xda,
};

/* What stands in the alarms for a protection that has acted (level 2). */
static const struct {
	enum protection protection;
	uint8_t byte, bit;
} alarms[] = {
	{ PROTECTION_CELL_OVERVOLTAGE, 0, 1 },
	{ PROTECTION_CELL_UNDERVOLTAGE, 0, 3 },
	{ PROTECTION_PACK_OVERVOLTAGE, 0, 5 },
	{ PROTECTION_PACK_UNDERVOLTAGE, 0, 7 },
	{ PROTECTION_CHARGE_OVERTEMPERATURE, 1, 1 },
	{ PROTECTION_CHARGE_UNDERTEMPERATURE, 1, 3 },
	{ PROTECTION_DISCHARGE_OVERTEMPERATURE, 1, 5 },
	{ PROTECTION_DISCHARGE_UNDERTEMPERATURE, 1, 7 },
	{ PROTECTION_CHARGE_OVERCURRENT, 2, 1 },
	{ PROTECTION_DISCHARGE_OVERCURRENT, 2, 3 },
	{ PROTECTION_FRONT_END_ERROR, 5, 0 },
	{ PROTECTION_SHORT_CIRCUIT, 6, 2 },
};

static void put_u16(uint8_t *at, long value)
{
	at[0] = (uint8_t)((value >> 8) & 0xff);
	at[1] = (uint8_t)(value & 0xff);
}

static void put_u32(uint8_t *at, double value)
{
	uint32_t n = (uint32_t)fmin(fmax(round(value), 0), UINT32_MAX);

	put_u16(at, (long)(n >> 16));
	put_u16(at + 2, (long)(n & 0xffff));
}

static uint8_t sum8(const uint8_t *frame)
{
	unsigned sum = 0;

	for (size_t i = 0; i < FRAME_BYTES - 1; i++)
		sum += frame[i];
	return (uint8_t)(sum & 0xff);
}

static size_t seal(uint8_t *frame, uint8_t command, const uint8_t data[DATA_BYTES])
{
	frame[0] = START;
	frame[1] = BOARD;
	frame[2] = command;
	frame[3] = DATA_BYTES;
	memcpy(frame + 4, data, DATA_BYTES);
	frame[FRAME_BYTES - 1] = sum8(frame);
	return FRAME_BYTES;
}

/* ---- what is in one frame ---- */

static void fill_pack(const struct simwire_values *v, uint8_t *data)
{
	put_u16(data, lround((double)v->voltage_mv / 100));
	put_u16(data + 4, CURRENT_ZERO - lround((double)v->current_ma / 100));
	put_u16(data + 6, lround(v->soc_percent * 10));
}

static void fill_extremes(const struct simwire_values *v, uint8_t *data)
{
	unsigned max = 0, min = 0;

	for (unsigned i = 1; i < v->n_cells; i++) {
		if (v->cells_mv[i] > v->cells_mv[max])
			max = i;
		if (v->cells_mv[i] < v->cells_mv[min])
			min = i;
	}
	put_u16(data, v->cells_mv[max]);
	data[2] = (uint8_t)(max + 1);
	put_u16(data + 3, v->cells_mv[min]);
	data[5] = (uint8_t)(min + 1);
}

static uint8_t temperature_byte(int decicelsius)
{
	return (uint8_t)(lround((double)decicelsius / 10) + TEMPERATURE_AT);
}

static void fill_temperature_extremes(const struct simwire_values *v, uint8_t *data)
{
	unsigned max = 0, min = 0;

	for (unsigned i = 1; i < v->n_ntcs; i++) {
		if (v->ntcs_decicelsius[i] > v->ntcs_decicelsius[max])
			max = i;
		if (v->ntcs_decicelsius[i] < v->ntcs_decicelsius[min])
			min = i;
	}
	data[0] = temperature_byte(v->ntcs_decicelsius[max]);
	data[1] = (uint8_t)(max + 1);
	data[2] = temperature_byte(v->ntcs_decicelsius[min]);
	data[3] = (uint8_t)(min + 1);
}

static void fill_switches(const struct simwire_values *v, uint8_t *data)
{
	data[0] = v->current_ma > 0 ? 1 : v->current_ma < 0 ? 2 : 0;
	data[1] = v->charge_fet;
	data[2] = v->discharge_fet;
	data[3] = v->heartbeat;
	put_u32(data + 4, v->residual_mah);
}

static void fill_status(const struct simwire_values *v, uint8_t *data)
{
	data[0] = (uint8_t)v->n_cells;
	data[1] = (uint8_t)v->n_ntcs;
	data[2] = v->current_ma > 0;
	data[3] = v->current_ma < 0;
	put_u16(data + 5, (long)v->cycles);
}

static void fill_balancing(const struct simwire_values *v, uint8_t *data)
{
	for (unsigned i = 0; i < 4; i++)
		data[i] = (uint8_t)(v->balancing >> (8 * i) & 0xff);
}

static void fill_alarms(const struct simwire_values *v, uint8_t *data)
{
	for (size_t i = 0; i < ELEMENTSOF(alarms); i++)
		if (v->protections & UINT32_C(1) << alarms[i].protection)
			data[alarms[i].byte] |= (uint8_t)(1 << alarms[i].bit);
}

static void fill_date(uint8_t *data)
{
	data[2] = 21;
	data[3] = 8;
	data[4] = 1;
}

static void fill_rated(const struct simwire_values *v, uint8_t *data)
{
	put_u32(data, v->nominal_mah);
	put_u32(data + 4, 3600);
}

/* ---- commands that several frames answer ---- */

static size_t seal_cells(const struct simwire_values *v, uint8_t *ret_frames)
{
	size_t used = 0;

	for (unsigned i = 0; i < v->n_cells; i += CELLS_A_FRAME) {
		uint8_t data[DATA_BYTES] = { (uint8_t)(i / CELLS_A_FRAME + 1) };

		for (unsigned j = 0; j < CELLS_A_FRAME && i + j < v->n_cells && !v->all_zero; j++)
			put_u16(data + 1 + 2 * (size_t)j, v->cells_mv[i + j]);
		used += seal(ret_frames + used, CELLS, data);
	}
	return used;
}

static size_t seal_temperatures(const struct simwire_values *v, uint8_t *ret_frames)
{
	size_t used = 0;

	for (unsigned i = 0; i < v->n_ntcs; i += BYTES_A_FRAME) {
		uint8_t data[DATA_BYTES] = { (uint8_t)(i / BYTES_A_FRAME + 1) };

		for (unsigned j = 0; j < BYTES_A_FRAME && i + j < v->n_ntcs && !v->all_zero; j++)
			data[1 + j] = temperature_byte(v->ntcs_decicelsius[i + j]);
		used += seal(ret_frames + used, TEMPERATURES, data);
	}
	return used;
}

static size_t seal_model(const struct simwire_values *v, uint8_t *ret_frames)
{
	size_t used = 0, length = strnlen(v->model, (size_t)MODEL_FRAMES * BYTES_A_FRAME);

	for (size_t i = 0; i < MODEL_FRAMES; i++) {
		uint8_t data[DATA_BYTES] = { (uint8_t)(i + 1) };

		for (size_t j = 0; j < BYTES_A_FRAME; j++) {
			size_t at = i * BYTES_A_FRAME + j;

			data[1 + j] = (uint8_t)(at < length ? v->model[at] : ' ');
		}
		used += seal(ret_frames + used, MODEL, data);
	}
	return used;
}

static size_t set_fet(const uint8_t *request, struct simwire_order *ret_order, uint8_t *ret_frame)
{
	bool on = request[4] == 1;
	uint8_t data[DATA_BYTES] = { on };

	if (request[2] == SET_CHARGE) {
		ret_order->sets_charge_fet = true;
		ret_order->charge_fet = on;
	} else {
		ret_order->sets_discharge_fet = true;
		ret_order->discharge_fet = on;
	}
	return seal(ret_frame, request[2], data);
}

static size_t answer(const struct simwire_values *v, const uint8_t *request,
		     struct simwire_order *ret_order, uint8_t ret_frame[SIMWIRE_ANSWER_BYTES])
{
	uint8_t data[DATA_BYTES] = { 0 };

	if (v->refuses)
		return 0; /* it has no word for that */
	switch (request[2]) {
	case RATED: fill_rated(v, data); break;
	case DATE: fill_date(data); break;
	case PACK: fill_pack(v, data); break;
	case EXTREMES: fill_extremes(v, data); break;
	case TEMPERATURE_EXTREMES: fill_temperature_extremes(v, data); break;
	case SWITCHES: fill_switches(v, data); break;
	case STATUS: fill_status(v, data); break;
	case BALANCING: fill_balancing(v, data); break;
	case ALARMS: fill_alarms(v, data); break;
	case CELLS: return seal_cells(v, ret_frame);
	case TEMPERATURES: return seal_temperatures(v, ret_frame);
	case MODEL: return seal_model(v, ret_frame);
	case SET_CHARGE:
	case SET_DISCHARGE: return set_fet(request, ret_order, ret_frame);
	default: return 0;
	}
	if (v->all_zero)
		memset(data, 0, sizeof data);
	return seal(ret_frame, request[2], data);
}

static int check(const uint8_t *q, size_t used)
{
	if (q[0] != START || (used > 1 && q[1] != HOST) || (used > 3 && q[3] != DATA_BYTES))
		return -1;
	if (used < FRAME_BYTES)
		return 0;
	return sum8(q) == q[FRAME_BYTES - 1] ? 1 : -1;
}

const struct simwire simwire_daly = {
	.name = "daly",
	.check = check,
	.answer = answer,
	.echoes_asleep = true,
};
