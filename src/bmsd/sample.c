/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/sample.h"

#include <inttypes.h>
#include <stdarg.h>

#define TEMPERATURE_MIN_DECICELSIUS (-400)
#define TEMPERATURE_MAX_DECICELSIUS 1250
/* Cells and pack are measured by different converters, and not at the same moment. */
#define SUM_TOLERANCE_UV	    INT64_C(1000000)
#define SUM_TOLERANCE_PERCENT	    2

static const char *const protection_names[PROTECTION_COUNT] = {
	[PROTECTION_CELL_OVERVOLTAGE] = "cell-overvoltage",
	[PROTECTION_CELL_UNDERVOLTAGE] = "cell-undervoltage",
	[PROTECTION_PACK_OVERVOLTAGE] = "pack-overvoltage",
	[PROTECTION_PACK_UNDERVOLTAGE] = "pack-undervoltage",
	[PROTECTION_CHARGE_OVERTEMPERATURE] = "charge-overtemperature",
	[PROTECTION_CHARGE_UNDERTEMPERATURE] = "charge-undertemperature",
	[PROTECTION_DISCHARGE_OVERTEMPERATURE] = "discharge-overtemperature",
	[PROTECTION_DISCHARGE_UNDERTEMPERATURE] = "discharge-undertemperature",
	[PROTECTION_CHARGE_OVERCURRENT] = "charge-overcurrent",
	[PROTECTION_DISCHARGE_OVERCURRENT] = "discharge-overcurrent",
	[PROTECTION_SHORT_CIRCUIT] = "short-circuit",
	[PROTECTION_FRONT_END_ERROR] = "front-end-error",
	[PROTECTION_SOFTWARE_LOCK] = "software-lock",
	[PROTECTION_CHARGE_TIMEOUT] = "charge-timeout",
	[PROTECTION_OTHER] = "other",
};

const char *protection_name(unsigned protection)
{
	return protection < PROTECTION_COUNT ? protection_names[protection] : "other";
}

static int _printf_(2, 3) refuse(char *reason, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(reason, SAMPLE_REASON_BYTES, format, args);
	va_end(args);
	return -ERANGE;
}

static int check_cells(const struct sample *s, const struct sample_limits *limits, char *reason)
{
	int64_t sum_uv = 0, off_uv, tolerance_uv;

	if (s->n_cells == 0 || s->n_cells > SAMPLE_MAX_CELLS)
		return refuse(reason, "the board says that it has %zu cells", s->n_cells);
	if (limits->cells && s->n_cells != limits->cells)
		return refuse(reason, "the board has %zu cells, configured are %zu", s->n_cells,
			      limits->cells);
	for (size_t i = 0; i < s->n_cells; i++) {
		if (s->cells_uv[i] < limits->cell_min_uv || s->cells_uv[i] > limits->cell_max_uv)
			return refuse(reason, "cell %zu says %" PRId64 " mV", i + 1,
				      s->cells_uv[i] / 1000);
		sum_uv += s->cells_uv[i];
	}
	off_uv = llabs(sum_uv - s->voltage_uv);
	tolerance_uv = s->voltage_uv * SUM_TOLERANCE_PERCENT / 100;
	if (tolerance_uv < SUM_TOLERANCE_UV)
		tolerance_uv = SUM_TOLERANCE_UV;
	if (off_uv > tolerance_uv)
		return refuse(reason,
			      "the cells add up to %" PRId64 " mV, the pack says %" PRId64 " mV",
			      sum_uv / 1000, s->voltage_uv / 1000);
	return 0;
}

int sample_check(const struct sample *s, const struct sample_limits *limits,
		 char ret_reason[SAMPLE_REASON_BYTES])
{
	int r;

	if (s->voltage_uv <= 0)
		return refuse(ret_reason, "the pack says 0 V: asleep, or no measurement");
	r = check_cells(s, limits, ret_reason);
	if (r < 0)
		return r;
	if (llabs(s->current_ua) > limits->current_max_ua)
		return refuse(ret_reason, "the current is %" PRId64 " mA", s->current_ua / 1000);
	if (s->capacity_percent > 100)
		return refuse(ret_reason, "the state of charge is %d %%", s->capacity_percent);
	for (size_t i = 0; i < s->n_temperatures; i++) {
		int64_t t = s->temperatures_decicelsius[i];

		if (t < TEMPERATURE_MIN_DECICELSIUS || t > TEMPERATURE_MAX_DECICELSIUS)
			return refuse(ret_reason,
				      "temperature %zu is %" PRId64 " tenths of a degree", i + 1,
				      t);
	}
	return 0;
}
