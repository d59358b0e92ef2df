/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/plant.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define KELVIN		   273.15
#define REFERENCE_K	   298.15
#define ACTIVATION_K	   (20000.0 / 8.314) /* 20 kJ/mol over the gas constant */
#define HEAT_CAPACITY	   900.0	     /* J/K/kg */
#define USUAL_OHM_AH	   0.0756
#define USUAL_KG_PER_AH	   (0.070 / 4.2)
#define USUAL_COOLING_SEC  900.0
#define CAPACITY_SPREAD	   0.01
#define SOC_SPREAD	   0.005
#define RESISTANCE_SPREAD  0.05
#define HYSTERESIS_CURRENT 0.2
#define STEP_SEC	   1.0
#define SEC_PER_HOUR	   3600.0
/* No chemistry is known beyond these. */
#define SOC_LOWEST	   (-0.03)
#define SOC_HIGHEST	   1.05
#define VOLT_LOWEST	   1.2

struct cell {
	double capacity_ah, soc, ohm; /* ohm: R50 at the reference temperature */
	double v1;
	double drift_volt;
};

struct plant {
	struct plant_settings s;
	struct cell cells[PLANT_MAX_CELLS];
	uint64_t random;
	double time_sec, current_a, temperature_c;
	double cold; /* how much more resistance it has at this temperature */
	double hysteresis_sign;
	uint32_t bleeding;
	double bleed_a;
	double charged_ah, discharged_ah, charged_wh, discharged_wh;
};

/* ---- random numbers: splitmix64 (Steele, Lea, Flood 2014) ---- */

static uint64_t next_random(struct plant *p)
{
	uint64_t z = p->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint32_t plant_random(struct plant *p)
{
	return (uint32_t)(next_random(p) >> 32);
}

/* -1 … 1 */
static double spread(struct plant *p)
{
	return 2 * (double)plant_random(p) / UINT32_MAX - 1;
}

/* Variance 1; the sum of twelve is near enough to a normal distribution. */
static double noise(struct plant *p)
{
	double sum = -6;

	for (unsigned i = 0; i < 12; i++)
		sum += (double)plant_random(p) / UINT32_MAX;
	return sum;
}

/* ---- making ---- */

static bool is_possible(const struct plant_settings *s)
{
	return s->table && s->table->n_points >= 2 && s->cells >= 1 &&
	       s->cells <= PLANT_MAX_CELLS && s->capacity_ah > 0 && s->capacity_ah < 1e6 &&
	       s->soc >= 0 && s->soc <= 1 && s->spread >= 0 && s->spread <= 10 &&
	       s->ambient_c > -100 && s->ambient_c < 200 && s->dcir_ohm >= 0 &&
	       s->efficiency >= 0 && s->efficiency <= 1 && s->mass_kg >= 0 &&
	       s->cooling_w_per_k >= 0;
}

static void use_usual_values(struct plant_settings *s)
{
	if (s->dcir_ohm == 0)
		s->dcir_ohm = USUAL_OHM_AH / s->capacity_ah;
	if (s->efficiency == 0)
		s->efficiency = 1;
	if (s->mass_kg == 0)
		s->mass_kg = USUAL_KG_PER_AH * s->capacity_ah * s->cells;
	if (s->cooling_w_per_k == 0)
		s->cooling_w_per_k = s->mass_kg * HEAT_CAPACITY / USUAL_COOLING_SEC;
}

static void set_temperature(struct plant *p, double celsius)
{
	p->temperature_c = celsius;
	p->cold = exp(ACTIVATION_K * (1 / (celsius + KELVIN) - 1 / REFERENCE_K));
}

int plant_new(const struct plant_settings *settings, struct plant **ret)
{
	struct plant *p;

	if (!is_possible(settings))
		return -EINVAL;
	p = calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	p->s = *settings;
	use_usual_values(&p->s);
	p->random = settings->seed;
	set_temperature(p, settings->ambient_c);
	for (unsigned i = 0; i < p->s.cells; i++) {
		struct cell *c = &p->cells[i];

		c->capacity_ah = p->s.capacity_ah * (1 + p->s.spread * CAPACITY_SPREAD * spread(p));
		c->soc = p->s.soc + p->s.spread * SOC_SPREAD * spread(p);
		c->ohm = p->s.dcir_ohm * (1 + p->s.spread * RESISTANCE_SPREAD * spread(p));
	}
	*ret = p;
	return 0;
}

struct plant *plant_free(struct plant *p)
{
	free(p);
	return NULL;
}

/* ---- the circuit ---- */

static double resistance(const struct plant *p, const struct cell *c)
{
	double x = fmin(fmax((c->soc - 0.5) / 0.5, -1), 1);

	return c->ohm * (1 + 0.2 * x * x) * p->cold;
}

/* Without the drop over R0. */
static double inner_volt(const struct plant *p, const struct cell *c)
{
	return plant_table_volt(p->s.table, c->soc) + c->drift_volt + c->v1 +
	       p->hysteresis_sign * p->s.table->hysteresis_mv / 1000;
}

static double cell_volt(const struct plant *p, const struct cell *c)
{
	double volt = inner_volt(p, c) + p->current_a * PLANT_R0_PART * resistance(p, c);

	return fmax(volt, VOLT_LOWEST);
}

static double pack_volt(const struct plant *p)
{
	double sum = 0;

	for (unsigned i = 0; i < p->s.cells; i++)
		sum += cell_volt(p, &p->cells[i]);
	return sum;
}

/* decay: of the voltage over the RC element, within these seconds. */
static double step_cell(struct plant *p, struct cell *c, double current_a, double seconds,
			double decay)
{
	double ohm = resistance(p, c), r0 = PLANT_R0_PART * ohm, r1 = ohm - r0;
	double to = current_a * r1, eta = current_a > 0 ? p->s.efficiency : 1;
	double v1_before = c->v1;

	c->v1 = to + (c->v1 - to) * decay;
	c->soc += eta * current_a * seconds / SEC_PER_HOUR / c->capacity_ah;
	c->soc = fmin(fmax(c->soc, SOC_LOWEST), SOC_HIGHEST);
	return (current_a * current_a * r0 + (c->v1 * c->v1 + v1_before * v1_before) / 2 / r1) *
	       seconds;
}

static void count(struct plant *p, double seconds)
{
	double ah = fabs(p->current_a) * seconds / SEC_PER_HOUR, wh = ah * pack_volt(p);

	*(p->current_a > 0 ? &p->charged_ah : &p->discharged_ah) += ah;
	*(p->current_a > 0 ? &p->charged_wh : &p->discharged_wh) += wh;
}

static void step(struct plant *p, double seconds)
{
	double heat_j = 0, kelvin = p->temperature_c - p->s.ambient_c;
	double heat_capacity = p->s.mass_kg * HEAT_CAPACITY;
	double decay = exp(-seconds / PLANT_TAU_SEC);

	for (unsigned i = 0; i < p->s.cells; i++) {
		double bleed = p->bleeding & UINT32_C(1) << i ? p->bleed_a : 0;

		heat_j += step_cell(p, &p->cells[i], p->current_a - bleed, seconds, decay);
	}
	set_temperature(
		p, p->temperature_c + heat_j / heat_capacity -
			   kelvin * (1 - exp(-seconds * p->s.cooling_w_per_k / heat_capacity)));
	p->time_sec += seconds;
	count(p, seconds);
}

void plant_advance(struct plant *p, double current_a, double seconds)
{
	p->current_a = current_a;
	if (fabs(current_a) > HYSTERESIS_CURRENT)
		p->hysteresis_sign = current_a > 0 ? 1 : -1;
	while (seconds > 0) {
		step(p, fmin(seconds, STEP_SEC));
		seconds -= STEP_SEC;
	}
}

double plant_current_at(const struct plant *p, double volt)
{
	double lowest = INFINITY;

	for (unsigned i = 0; i < p->s.cells; i++) {
		const struct cell *c = &p->cells[i];
		double a = (volt - inner_volt(p, c)) / (PLANT_R0_PART * resistance(p, c));

		lowest = fmin(lowest, a);
	}
	return lowest;
}

void plant_bleed(struct plant *p, uint32_t cells, double current_a)
{
	p->bleeding = cells;
	p->bleed_a = current_a;
}

void plant_drift(struct plant *p, unsigned cell, double volt)
{
	if (cell < p->s.cells)
		p->cells[cell].drift_volt = volt;
}

void plant_set_ambient(struct plant *p, double ambient_c)
{
	p->s.ambient_c = ambient_c;
}

/* ---- looking ---- */

static void look_at_charge(const struct plant *p, struct plant_truth *ret)
{
	double above = INFINITY, below = INFINITY;

	for (unsigned i = 0; i < p->s.cells; i++) {
		const struct cell *c = &p->cells[i];

		below = fmin(below, c->soc * c->capacity_ah);
		above = fmin(above, (1 - c->soc) * c->capacity_ah);
	}
	ret->charge_ah = below;
	ret->capacity_ah = below + above;
	ret->soc = below / (below + above);
}

void plant_look(const struct plant *p, struct plant_truth *ret)
{
	memset(ret, 0, sizeof *ret);
	ret->time_sec = p->time_sec;
	ret->current_a = p->current_a;
	ret->voltage_volt = pack_volt(p);
	ret->temperature_c = p->temperature_c;
	ret->cells = p->s.cells;
	for (unsigned i = 0; i < p->s.cells; i++) {
		ret->cells_volt[i] = cell_volt(p, &p->cells[i]);
		ret->cells_soc[i] = p->cells[i].soc;
	}
	look_at_charge(p, ret);
	ret->charged_ah = p->charged_ah;
	ret->discharged_ah = p->discharged_ah;
	ret->charged_wh = p->charged_wh;
	ret->discharged_wh = p->discharged_wh;
}

/* In millionths, by steps of lsb. */
static int64_t quantized(double value, double lsb)
{
	if (lsb > 0)
		value = round(value / lsb) * lsb;
	return (int64_t)llround(value * 1e6);
}

void plant_measure(struct plant *p, const struct plant_sensors *sensors, struct plant_reading *ret)
{
	double amperes = p->current_a * (1 + sensors->current_gain_error) +
			 sensors->current_offset_a;

	if (sensors->current_noise_a > 0)
		amperes += sensors->current_noise_a * noise(p);
	memset(ret, 0, sizeof *ret);
	ret->current_ua = quantized(amperes, sensors->current_lsb_a);
	ret->voltage_uv = quantized(pack_volt(p), sensors->pack_lsb_volt);
	ret->temperature_decicelsius = quantized(p->temperature_c, sensors->temperature_lsb_c) /
				       100000;
	ret->n_cells = p->s.cells;
	for (unsigned i = 0; i < p->s.cells; i++) {
		double volt = cell_volt(p, &p->cells[i]);

		if (sensors->cell_noise_volt > 0)
			volt += sensors->cell_noise_volt * noise(p);
		ret->cells_uv[i] = quantized(volt, sensors->cell_lsb_volt);
	}
}
