/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "estimator_parts.h"

#define APART_PERCENT	 60.0
#define STEP_MAX	 0.03
#define CAPACITY_LOWEST	 0.5
#define CAPACITY_HIGHEST 1.1
#define ERROR_USELESS	 0.25
#define ERROR_LEAST	 0.01
#define NEAR_PERCENT	 15.0
/* A measurement that is so much worse than what is known says nothing new. */
#define WORSE_AT_MOST	 1.5

double estimator_capacity_error(double error_a_percent, double error_b_percent,
				double delta_soc_percent, double gain_error, double offset_part)
{
	double ends = hypot(error_a_percent, error_b_percent) / delta_soc_percent;

	return hypot(hypot(ends, gain_error), offset_part);
}

/* A measurement of the capacity. */
struct measured {
	double ah;
	double error; /* as published: independent errors */
	double bound; /* all of them at once, in the worst direction */
};

static bool measure(const struct estimator *e, const struct anchor *a, const struct anchor *b,
		    struct measured *ret)
{
	double apart = fabs(a->soc - b->soc), ah = fabs(a->counter_ah - b->counter_ah);
	double gain = (double)e->s.current_error_permille / 1000, counted;

	if (!a->valid || a->cold || b->cold || apart < APART_PERCENT || ah <= 0)
		return false;
	if ((a->soc < b->soc) != (a->counter_ah < b->counter_ah))
		return false;
	counted = fmax(0, b->error_ah - a->error_ah) / ah;
	ret->ah = ah / apart * 100;
	ret->error = estimator_capacity_error(a->error, b->error, apart, gain, counted);
	ret->bound = (a->error + b->error) / apart + counted;
	return ret->error < ERROR_USELESS;
}

static bool measure_best(const struct estimator *e, const struct anchor *here, struct measured *ret)
{
	struct measured m = { 0 };
	bool found = false;

	for (size_t i = 0; i < ELEMENTSOF(e->anchors); i++) {
		if (measure(e, &e->anchors[i], here, &m) && (!found || m.error < ret->error)) {
			*ret = m;
			found = true;
		}
	}
	return found;
}

/* What the capacity was known to be within and what it is now measured to be within are both true, or
 * what was known is out of date. */
static double error_after(const struct estimator *e, const struct measured *m, double full_ah)
{
	double known_low = e->full_ah / (1 + e->capacity_error);
	double known_high = e->full_ah / fmax(0.1, 1 - e->capacity_error);
	double low = m->ah * (1 - m->bound), high = m->ah * (1 + m->bound);

	if (low < known_high && high > known_low) {
		low = fmax(low, known_low);
		high = fmin(high, known_high);
	}
	return clamp(fmax(full_ah / low - 1, 1 - full_ah / high), ERROR_LEAST, 1);
}

bool estimator_learn_capacity(struct estimator *e, const struct anchor *here)
{
	struct measured m = { 0 };
	double p = e->capacity_error, k, step, full_ah;

	if (!measure_best(e, here, &m) || m.bound > WORSE_AT_MOST * e->capacity_error)
		return false;
	k = p * p / (p * p + m.error * m.error);
	step = clamp(k * (m.ah - e->full_ah) / e->full_ah, -STEP_MAX, STEP_MAX);
	full_ah = clamp(e->full_ah * (1 + step), CAPACITY_LOWEST * e->design_ah,
			CAPACITY_HIGHEST * e->design_ah);
	e->capacity_error = error_after(e, &m, full_ah);
	e->full_ah = full_ah;
	e->learned++;
	return true;
}

bool estimator_is_learning(const struct estimator *e)
{
	double soc = estimator_soc(e);
	const struct anchor *from = NULL;
	struct anchor here = { .valid = true,
			       .counter_ah = e->counter_ah,
			       .error_ah = e->error_ah };
	struct measured m;

	if (soc <= NEAR_PERCENT && e->anchor != SOC_ANCHOR_EMPTY)
		from = &e->anchors[SOC_ANCHOR_FULL];
	if (soc >= 100 - NEAR_PERCENT && e->anchor != SOC_ANCHOR_FULL)
		from = &e->anchors[SOC_ANCHOR_EMPTY];
	here.soc = soc;
	return e->known && from && measure(e, from, &here, &m);
}
