/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/simguard.h"

#include <math.h>

#define DELAY_SEC	 2.0
#define OVERCURRENT_SEC	 5.0
#define OVERCURRENT_HOLD 30.0
#define CHARGE_MAX_C	 1.5
#define DISCHARGE_MAX_C	 6.0
#define OVER_MV		 50.0
#define OVER_RELEASE_MV	 (-50.0)
#define UNDER_MV	 (-100.0)
#define UNDER_RELEASE_MV 100.0

#define BIT(p) (UINT32_C(1) << (p))

static const uint32_t stops_charge = BIT(PROTECTION_CELL_OVERVOLTAGE) |
				     BIT(PROTECTION_PACK_OVERVOLTAGE) |
				     BIT(PROTECTION_CHARGE_OVERTEMPERATURE) |
				     BIT(PROTECTION_CHARGE_UNDERTEMPERATURE) |
				     BIT(PROTECTION_CHARGE_OVERCURRENT) |
				     BIT(PROTECTION_SHORT_CIRCUIT) |
				     BIT(PROTECTION_FRONT_END_ERROR) |
				     BIT(PROTECTION_CHARGE_TIMEOUT);
static const uint32_t stops_discharge = BIT(PROTECTION_CELL_UNDERVOLTAGE) |
					BIT(PROTECTION_PACK_UNDERVOLTAGE) |
					BIT(PROTECTION_DISCHARGE_OVERTEMPERATURE) |
					BIT(PROTECTION_DISCHARGE_UNDERTEMPERATURE) |
					BIT(PROTECTION_DISCHARGE_OVERCURRENT) |
					BIT(PROTECTION_SHORT_CIRCUIT) |
					BIT(PROTECTION_FRONT_END_ERROR);

/* Of register 0xAA. */
static const enum protection counted[SIMWIRE_COUNTERS] = {
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

static void count(struct simguard *g, uint32_t set)
{
	for (size_t i = 0; i < ELEMENTSOF(counted); i++)
		if (set & BIT(counted[i]))
			g->counters[i]++;
}

/* As quantities that are too large above set, and well below release again. */
static void judge(struct simguard *g, enum protection p, double value, double set, double release,
		  double delay_sec, double hold_sec, double seconds)
{
	g->beyond_sec[p] = value > set ? g->beyond_sec[p] + seconds : 0;
	g->active_sec[p] = g->active & BIT(p) ? g->active_sec[p] + seconds : 0;
	if (g->beyond_sec[p] >= delay_sec)
		g->active |= BIT(p);
	else if (value < release && g->active_sec[p] >= hold_sec)
		g->active &= ~BIT(p);
}

static void judge_voltages(struct simguard *g, const struct plant_reading *r, double seconds)
{
	double max = 0, min = INFINITY, n = r->n_cells, pack = (double)r->voltage_uv / 1000;
	double full = g->table->full_mv, empty = g->table->empty_mv;

	for (unsigned i = 0; i < r->n_cells; i++) {
		max = fmax(max, (double)r->cells_uv[i] / 1000);
		min = fmin(min, (double)r->cells_uv[i] / 1000);
	}
	judge(g, PROTECTION_CELL_OVERVOLTAGE, max, full + OVER_MV, full + OVER_RELEASE_MV,
	      DELAY_SEC, 0, seconds);
	judge(g, PROTECTION_CELL_UNDERVOLTAGE, -min, -(empty + UNDER_MV),
	      -(empty + UNDER_RELEASE_MV), DELAY_SEC, 0, seconds);
	judge(g, PROTECTION_PACK_OVERVOLTAGE, pack, n * (full + OVER_MV),
	      n * (full + OVER_RELEASE_MV), DELAY_SEC, 0, seconds);
	judge(g, PROTECTION_PACK_UNDERVOLTAGE, -pack, -n * (empty + UNDER_MV),
	      -n * (empty + UNDER_RELEASE_MV), DELAY_SEC, 0, seconds);
}

static void judge_temperature(struct simguard *g, const struct plant_reading *r, double seconds)
{
	double c = (double)r->temperature_decicelsius / 10;

	judge(g, PROTECTION_CHARGE_OVERTEMPERATURE, c, 50, 47, DELAY_SEC, 0, seconds);
	judge(g, PROTECTION_CHARGE_UNDERTEMPERATURE, -c, 0, -3, DELAY_SEC, 0, seconds);
	judge(g, PROTECTION_DISCHARGE_OVERTEMPERATURE, c, 65, 60, DELAY_SEC, 0, seconds);
	judge(g, PROTECTION_DISCHARGE_UNDERTEMPERATURE, -c, 20, 15, DELAY_SEC, 0, seconds);
}

static void judge_current(struct simguard *g, const struct plant_reading *r, double seconds)
{
	double c = (double)r->current_ua / 1e6 / g->capacity_ah;

	judge(g, PROTECTION_CHARGE_OVERCURRENT, c, CHARGE_MAX_C, CHARGE_MAX_C, OVERCURRENT_SEC,
	      OVERCURRENT_HOLD, seconds);
	judge(g, PROTECTION_DISCHARGE_OVERCURRENT, -c, DISCHARGE_MAX_C, DISCHARGE_MAX_C,
	      OVERCURRENT_SEC, OVERCURRENT_HOLD, seconds);
}

uint32_t simguard_step(struct simguard *g, const struct plant_reading *reading, double seconds)
{
	uint32_t before = simguard_protections(g), set;

	judge_voltages(g, reading, seconds);
	judge_temperature(g, reading, seconds);
	judge_current(g, reading, seconds);
	set = simguard_protections(g) & ~before;
	count(g, set);
	return set;
}

uint32_t simguard_protections(const struct simguard *g)
{
	return g->active | g->forced;
}

void simguard_force(struct simguard *g, uint32_t protections)
{
	count(g, protections & ~simguard_protections(g));
	g->forced |= protections;
}

void simguard_clear(struct simguard *g, uint32_t protections)
{
	g->forced &= ~protections;
	g->active &= ~protections;
}

bool simguard_lets_charge(const struct simguard *g)
{
	return !(simguard_protections(g) & stops_charge);
}

bool simguard_lets_discharge(const struct simguard *g)
{
	return !(simguard_protections(g) & stops_discharge);
}
