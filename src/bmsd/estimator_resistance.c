/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "estimator_parts.h"

#define STEP_MAX_SEC	 2.0
#define ACTIVATION_K	 (20000.0 / 8.314462618) /* 20 kJ/mol over the gas constant */
#define KELVIN		 273.15
#define REFERENCE_K	 298.15
#define OHM_MAX		 10.0
/* A cell's median is worth showing from so many steps on. */
#define CELL_STEPS_LEAST 5

double estimator_resistance_at_25c(double resistance, double celsius)
{
	double kelvin = clamp(celsius, -60, 150) + KELVIN;

	return resistance / exp(ACTIVATION_K * (1 / kelvin - 1 / REFERENCE_K));
}

/* By insertion: there are few. */
static double median(float *values, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		float value = values[i];
		size_t at = i;

		for (; at > 0 && values[at - 1] > value; at--)
			values[at] = values[at - 1];
		values[at] = value;
	}
	return (double)(values[(n - 1) / 2] + values[n / 2]) / 2;
}

static size_t steps_kept(const struct resistances *r)
{
	return r->n < ESTIMATOR_STEPS ? r->n : ESTIMATOR_STEPS;
}

static void take_medians_of_cells(struct resistances *r)
{
	size_t n = steps_kept(r);

	for (size_t cell = 0; n >= CELL_STEPS_LEAST && cell < r->n_cells; cell++) {
		float values[ESTIMATOR_STEPS];

		for (size_t i = 0; i < n; i++)
			values[i] = r->cells[i][cell];
		r->cells_ohm[cell] = median(values, n);
	}
}

static bool take_median(struct resistances *r)
{
	float values[ESTIMATOR_STEPS];
	bool first = r->reference_ohm <= 0;

	if (r->n < ESTIMATOR_STEPS)
		return false;
	memcpy(values, r->pack, sizeof values);
	r->pack_ohm = median(values, ESTIMATOR_STEPS);
	if (first)
		r->reference_ohm = r->pack_ohm;
	return first;
}

static double ohm_at_25c(const struct input *in, double volt, double ampere)
{
	double ohm = volt / ampere;

	return in->has_temperature
		       ? estimator_resistance_at_25c(ohm, (in->coldest_c + in->hottest_c) / 2)
		       : ohm;
}

bool estimator_find_resistance(struct estimator *e, const struct input *in, double sec)
{
	const struct input *before = &e->last;
	double ampere = in->current_a - before->current_a;
	double ohm;
	struct resistances *r = &e->r;
	size_t slot;

	if (!before->has_current || !before->has_voltage || !in->has_voltage ||
	    sec > STEP_MAX_SEC ||
	    fabs(ampere) < e->design_ah * (double)e->s.resistance_step_permille / 1000)
		return false;
	ohm = ohm_at_25c(in, in->voltage_v - before->voltage_v, ampere);
	/* Voltage and current were not taken at the same moment. */
	if (!(ohm > 0 && ohm < OHM_MAX))
		return false;
	if (in->n_cells != r->n_cells)
		*r = (struct resistances){ .n_cells = in->n_cells,
					   .pack_ohm = r->pack_ohm,
					   .reference_ohm = r->reference_ohm };
	slot = r->n % ESTIMATOR_STEPS;
	r->pack[slot] = (float)ohm;
	for (size_t i = 0; i < in->n_cells && before->n_cells == in->n_cells; i++)
		r->cells[slot][i] = (float)ohm_at_25c(in, in->cells_v[i] - before->cells_v[i],
						      ampere);
	r->n++;
	take_medians_of_cells(r);
	return take_median(r);
}
