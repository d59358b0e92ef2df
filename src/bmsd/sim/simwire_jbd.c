/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "bmsd/jbd.h"
#include "bmsd/simwire.h"

#define MODEL_MAX      31
#define DATA_BYTES     255
#define COUNTERS_BYTES 24
#define SET_FETS       0xe1
/* Bits of the data of SET_FETS: forced off. */
#define CHARGE_OFF     1
#define DISCHARGE_OFF  2

static void put_u16(uint8_t *at, long value)
{
	at[0] = (uint8_t)((value >> 8) & 0xff);
	at[1] = (uint8_t)(value & 0xff);
}

static long clamped_u16(double value)
{
	return lround(fmin(fmax(value, 0), 0xffff));
}

static uint8_t fill_basic(const struct simwire_values *v, uint8_t *data)
{
	put_u16(data, lround((double)v->voltage_mv / 10));
	put_u16(data + 2, lround((double)v->current_ma / 10));
	put_u16(data + 4, clamped_u16(v->residual_mah / 10));
	put_u16(data + 6, clamped_u16(v->nominal_mah / 10));
	put_u16(data + 8, (long)v->cycles);
	put_u16(data + 10, (21 << 9) | (8 << 5) | 1); /* made 2021-08-01 */
	put_u16(data + 12, (long)(v->balancing & 0xffff));
	put_u16(data + 14, (long)(v->balancing >> 16));
	put_u16(data + 16, (long)(v->protections & 0x3fff));
	data[18] = 0x23; /* software 2.3 */
	data[19] = (uint8_t)lround(v->soc_percent);
	data[20] = (uint8_t)(v->charge_fet | v->discharge_fet << 1);
	data[21] = (uint8_t)v->n_cells;
	data[22] = (uint8_t)v->n_ntcs;
	for (unsigned i = 0; i < v->n_ntcs; i++)
		put_u16(data + JBD_BASIC_BYTES + 2 * (size_t)i, v->ntcs_decicelsius[i] + 2731);
	return (uint8_t)(JBD_BASIC_BYTES + 2 * v->n_ntcs);
}

static uint8_t fill_cells(const struct simwire_values *v, uint8_t *data)
{
	for (unsigned i = 0; i < v->n_cells; i++)
		put_u16(data + 2 * (size_t)i, v->cells_mv[i]);
	return (uint8_t)(2 * v->n_cells);
}

static uint8_t fill_model(const struct simwire_values *v, uint8_t *data)
{
	size_t size = strnlen(v->model, MODEL_MAX);

	memcpy(data, v->model, size);
	return (uint8_t)size;
}

static uint8_t fill_counters(const struct simwire_values *v, uint8_t *data)
{
	for (size_t i = 0; i < SIMWIRE_COUNTERS; i++)
		put_u16(data + 2 * i, v->counters[i]);
	return COUNTERS_BYTES;
}

static size_t refuse(uint8_t reg, uint8_t *ret_frame)
{
	return jbd_build_answer(reg, JBD_STATUS_ERROR, NULL, 0, ret_frame);
}

static size_t read_register(const struct simwire_values *v, uint8_t reg, uint8_t *ret_frame)
{
	uint8_t data[DATA_BYTES] = { 0 }, size;

	switch (reg) {
	case JBD_BASIC: size = fill_basic(v, data); break;
	case JBD_CELLS: size = fill_cells(v, data); break;
	case JBD_MODEL: size = fill_model(v, data); break;
	case JBD_ERROR_COUNTERS: size = fill_counters(v, data); break;
	default: return refuse(reg, ret_frame);
	}
	if (v->all_zero)
		memset(data, 0, size);
	return jbd_build_answer(reg, JBD_STATUS_OK, data, size, ret_frame);
}

static size_t write_register(const uint8_t *request, struct simwire_order *ret_order,
			     uint8_t *ret_frame)
{
	if (request[2] != SET_FETS || request[3] != 2 || request[4] != 0 || request[5] > 3)
		return refuse(request[2], ret_frame);
	*ret_order = (struct simwire_order){
		.sets_charge_fet = true,
		.sets_discharge_fet = true,
		.charge_fet = !(request[5] & CHARGE_OFF),
		.discharge_fet = !(request[5] & DISCHARGE_OFF),
	};
	return jbd_build_answer(SET_FETS, JBD_STATUS_OK, NULL, 0, ret_frame);
}

static size_t answer(const struct simwire_values *v, const uint8_t *request,
		     struct simwire_order *ret_order, uint8_t ret_frame[SIMWIRE_ANSWER_BYTES])
{
	if (v->refuses)
		return refuse(request[2], ret_frame);
	if (request[1] == JBD_WRITE)
		return write_register(request, ret_order, ret_frame);
	return read_register(v, request[2], ret_frame);
}

static int check(const uint8_t *q, size_t used)
{
	size_t size;

	if (q[0] != JBD_START || (used > 1 && q[1] != JBD_READ && q[1] != JBD_WRITE))
		return -1;
	if (used < JBD_OVERHEAD_BYTES || used < q[3] + (size_t)JBD_OVERHEAD_BYTES)
		return 0;
	size = q[3];
	if (jbd_checksum(q + 2, size + 2) != (q[4 + size] << 8 | q[5 + size]) ||
	    q[6 + size] != JBD_END)
		return -1;
	return 1;
}

const struct simwire simwire_jbd = { .name = "jbd", .check = check, .answer = answer };
