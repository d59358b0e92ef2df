/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/sample.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define TEMPERATURE_MIN_DECICELSIUS (-400)
#define TEMPERATURE_MAX_DECICELSIUS 1250
/* Cells and pack are measured by different converters, and not at the same moment. */
#define SUM_TOLERANCE_UV	    INT64_C(1000000)
#define SUM_TOLERANCE_PERCENT	    2
#define STEPS_FORGOTTEN_MSEC	    INT64_C(60000)

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

static const char *const field_names[SAMPLE_FIELD_COUNT] = {
	[SAMPLE_VOLTAGE] = "voltage",
	[SAMPLE_CURRENT] = "current",
	[SAMPLE_CHARGE] = "charge",
	[SAMPLE_CHARGE_FULL] = "charge-full",
	[SAMPLE_CHARGE_FULL_DESIGN] = "charge-full-design",
	[SAMPLE_CAPACITY] = "capacity",
	[SAMPLE_CYCLES] = "cycles",
	[SAMPLE_CELLS] = "cells",
	[SAMPLE_TEMPERATURES] = "temperatures",
	[SAMPLE_FET_TEMPERATURE] = "fet-temperature",
	[SAMPLE_PROTECTIONS] = "protections",
	[SAMPLE_BALANCING] = "balancing",
	[SAMPLE_CHARGE_FET] = "charge-fet",
	[SAMPLE_DISCHARGE_FET] = "discharge-fet",
	[SAMPLE_COUNTERS] = "counters",
};

static const char *const gate_names[SAMPLE_GATE_COUNT] = {
	[SAMPLE_GATE_ASLEEP] = "asleep",
	[SAMPLE_GATE_CELL_COUNT] = "cell-count",
	[SAMPLE_GATE_CELL_RANGE] = "cell-range",
	[SAMPLE_GATE_SUM] = "sum",
	[SAMPLE_GATE_CURRENT] = "current",
	[SAMPLE_GATE_CAPACITY] = "capacity",
	[SAMPLE_GATE_TEMPERATURE] = "temperature",
	[SAMPLE_GATE_CELL_STEP] = "cell-step",
	[SAMPLE_GATE_TEMPERATURE_STEP] = "temperature-step",
};

const char *sample_field_name(unsigned field)
{
	return field < SAMPLE_FIELD_COUNT ? field_names[field] : "other";
}

const char *sample_gate_name(unsigned gate)
{
	return gate < SAMPLE_GATE_COUNT ? gate_names[gate] : "other";
}

const char *protection_name(unsigned protection)
{
	return protection < PROTECTION_COUNT ? protection_names[protection] : "other";
}

struct refusal {
	enum sample_gate gate;
	char reason[SAMPLE_REASON_BYTES];
};

static int _printf_(3, 4) refuse(struct refusal *to, enum sample_gate gate, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(to->reason, sizeof to->reason, format, args);
	va_end(args);
	to->gate = gate;
	return -ERANGE;
}

/* ---- what one sample says of itself ---- */

static int check_sum(const struct sample *s, int64_t sum_uv, struct refusal *to)
{
	int64_t tolerance_uv = s->voltage_uv * SUM_TOLERANCE_PERCENT / 100;

	if (!sample_has(s, SAMPLE_VOLTAGE))
		return 0;
	if (tolerance_uv < SUM_TOLERANCE_UV)
		tolerance_uv = SUM_TOLERANCE_UV;
	if (llabs(sum_uv - s->voltage_uv) <= tolerance_uv)
		return 0;
	return refuse(to, SAMPLE_GATE_SUM,
		      "the cells add up to %" PRId64 " mV, the pack says %" PRId64 " mV",
		      sum_uv / 1000, s->voltage_uv / 1000);
}

static int check_cells(const struct sample *s, const struct sample_limits *limits,
		       struct refusal *to)
{
	int64_t sum_uv = 0;

	if (!sample_has(s, SAMPLE_CELLS))
		return 0;
	if (s->n_cells == 0 || s->n_cells > SAMPLE_MAX_CELLS)
		return refuse(to, SAMPLE_GATE_CELL_COUNT, "the board says that it has %zu cells",
			      s->n_cells);
	if (limits->cells && s->n_cells != limits->cells)
		return refuse(to, SAMPLE_GATE_CELL_COUNT,
			      "the board has %zu cells, configured are %zu", s->n_cells,
			      limits->cells);
	for (size_t i = 0; i < s->n_cells; i++) {
		if (s->cells_uv[i] < limits->cell_min_uv || s->cells_uv[i] > limits->cell_max_uv)
			return refuse(to, SAMPLE_GATE_CELL_RANGE, "cell %zu says %" PRId64 " mV",
				      i + 1, s->cells_uv[i] / 1000);
		sum_uv += s->cells_uv[i];
	}
	return check_sum(s, sum_uv, to);
}

/* Gauges that say nothing of their cells: what the pack says must be what cells can give. */
static int check_pack_alone(const struct sample *s, const struct sample_limits *limits,
			    struct refusal *to)
{
	int64_t most = (int64_t)(limits->cells ? limits->cells : SAMPLE_MAX_CELLS);
	int64_t least = limits->cells ? most : 1;

	if (sample_has(s, SAMPLE_CELLS) || !sample_has(s, SAMPLE_VOLTAGE))
		return 0;
	if (s->voltage_uv >= least * limits->cell_min_uv &&
	    s->voltage_uv <= most * limits->cell_max_uv)
		return 0;
	return refuse(to, SAMPLE_GATE_CELL_RANGE,
		      "the pack says %" PRId64 " mV, which is not of %" PRId64 " cells%s",
		      s->voltage_uv / 1000, most, limits->cells ? "" : " or less");
}

static int check_temperatures(const struct sample *s, struct refusal *to)
{
	if (!sample_has(s, SAMPLE_TEMPERATURES))
		return 0;
	if (s->n_temperatures > SAMPLE_MAX_TEMPERATURES)
		return refuse(to, SAMPLE_GATE_TEMPERATURE, "the board says that it has %zu sensors",
			      s->n_temperatures);
	for (size_t i = 0; i < s->n_temperatures; i++) {
		int64_t t = s->temperatures_decicelsius[i];

		if (t < TEMPERATURE_MIN_DECICELSIUS || t > TEMPERATURE_MAX_DECICELSIUS)
			return refuse(to, SAMPLE_GATE_TEMPERATURE,
				      "temperature %zu is %" PRId64 " tenths of a degree", i + 1,
				      t);
	}
	return 0;
}

static int check_quantities(const struct sample *s, const struct sample_limits *limits,
			    struct refusal *to)
{
	if (sample_has(s, SAMPLE_CURRENT) &&
	    (s->current_ua > limits->current_max_ua || s->current_ua < -limits->current_max_ua))
		return refuse(to, SAMPLE_GATE_CURRENT, "the current is %" PRId64 " mA",
			      s->current_ua / 1000);
	if (sample_has(s, SAMPLE_CAPACITY) &&
	    (s->capacity_percent < 0 || s->capacity_percent > 100))
		return refuse(to, SAMPLE_GATE_CAPACITY, "the state of charge is %d %%",
			      s->capacity_percent);
	return 0;
}

static int check(const struct sample *s, const struct sample_limits *limits, struct refusal *to)
{
	int r;

	if (!sample_has(s, SAMPLE_VOLTAGE) && !sample_has(s, SAMPLE_CAPACITY))
		return refuse(to, SAMPLE_GATE_ASLEEP, "the board measures nothing");
	if (sample_has(s, SAMPLE_VOLTAGE) && s->voltage_uv <= 0)
		return refuse(to, SAMPLE_GATE_ASLEEP,
			      "the pack says 0 V: asleep, or no measurement");
	r = check_cells(s, limits, to);
	if (r == 0)
		r = check_pack_alone(s, limits, to);
	if (r < 0)
		return r;
	r = check_quantities(s, limits, to);
	if (r < 0)
		return r;
	return check_temperatures(s, to);
}

int sample_check(const struct sample *s, const struct sample_limits *limits,
		 char ret_reason[SAMPLE_REASON_BYTES])
{
	struct refusal to = {};
	int r = check(s, limits, &to);

	if (r < 0)
		memcpy(ret_reason, to.reason, sizeof to.reason);
	return r;
}

/* ---- what the sample before says of it ---- */

static struct sample_step_memory remember(const struct sample *s, int64_t now_msec)
{
	struct sample_step_memory m = { .known = true, .at_msec = now_msec };

	if (sample_has(s, SAMPLE_CELLS)) {
		m.n_cells = s->n_cells;
		memcpy(m.cells_uv, s->cells_uv, sizeof m.cells_uv);
	}
	if (sample_has(s, SAMPLE_TEMPERATURES)) {
		m.n_temperatures = s->n_temperatures;
		memcpy(m.temperatures_decicelsius, s->temperatures_decicelsius,
		       sizeof m.temperatures_decicelsius);
	}
	return m;
}

/* The first value that moved too far; n if none did. */
static size_t find_step(const int64_t *before, const int64_t *now, size_t n, int64_t at_most)
{
	size_t i = 0;

	while (i < n && llabs(now[i] - before[i]) <= at_most)
		i++;
	return i;
}

static int check_steps(const struct sample_step_memory *before,
		       const struct sample_step_memory *now, struct refusal *to)
{
	int64_t gap_msec = now->at_msec - before->at_msec;
	size_t at;

	if (!before->known)
		return 0;
	if (gap_msec < 1000)
		gap_msec = 1000;
	/* After so long everything may have moved, and no product overflows. */
	if (gap_msec > STEPS_FORGOTTEN_MSEC)
		return 0;
	if (before->n_cells == now->n_cells) {
		at = find_step(before->cells_uv, now->cells_uv, now->n_cells,
			       SAMPLE_CELL_STEP_UV_PER_SEC * gap_msec / 1000);
		if (at < now->n_cells)
			return refuse(to, SAMPLE_GATE_CELL_STEP,
				      "cell %zu jumped from %" PRId64 " to %" PRId64 " mV", at + 1,
				      before->cells_uv[at] / 1000, now->cells_uv[at] / 1000);
	}
	if (before->n_temperatures == now->n_temperatures) {
		at = find_step(before->temperatures_decicelsius, now->temperatures_decicelsius,
			       now->n_temperatures,
			       SAMPLE_TEMPERATURE_STEP_DECICELSIUS_PER_SEC * gap_msec / 1000);
		if (at < now->n_temperatures)
			return refuse(to, SAMPLE_GATE_TEMPERATURE_STEP,
				      "temperature %zu jumped from %" PRId64 " to %" PRId64
				      " tenths of a degree",
				      at + 1, before->temperatures_decicelsius[at],
				      now->temperatures_decicelsius[at]);
	}
	return 0;
}

static int admit(struct sample_gates *g, const struct sample *s, const struct sample_limits *limits,
		 int64_t now_msec, struct refusal *to)
{
	struct sample_step_memory now = remember(s, now_msec);
	struct refusal unconfirmed = {};
	int r;

	r = check(s, limits, to);
	if (r < 0)
		return r;
	r = check_steps(&g->admitted, &now, to);
	if (r < 0 && (!g->jumped.known || check_steps(&g->jumped, &now, &unconfirmed) < 0)) {
		g->jumped = now;
		return r;
	}
	g->admitted = now;
	g->jumped = (struct sample_step_memory){};
	return 0;
}

int sample_admit(struct sample_gates *g, const struct sample *s, const struct sample_limits *limits,
		 int64_t now_msec, enum sample_gate *ret_gate, char ret_reason[SAMPLE_REASON_BYTES])
{
	struct refusal to = {};
	int r = admit(g, s, limits, now_msec, &to);

	if (r < 0) {
		memcpy(ret_reason, to.reason, sizeof to.reason);
		*ret_gate = to.gate;
	}
	return r;
}
