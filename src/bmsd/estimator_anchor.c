/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "estimator_parts.h"

#define COLD_C	       10.0
#define REST_MAX_C     40.0
/* A rest says where on the scale we are, but not well enough to measure a capacity by. */
#define TEACHING_ERROR 5.0
/* Less than this part of the capacity away from the last time, it is the same anchor again. */
#define SAME_PLACE     0.1

static double volt(uint64_t mv)
{
	return (double)mv / 1000;
}

static double centi(uint64_t centipercent)
{
	return (double)centipercent / 100;
}

static double of_capacity(const struct estimator *e, uint64_t permille)
{
	return e->design_ah * (double)permille / 1000;
}

static void hold(double *held_sec, bool condition, double sec)
{
	*held_sec = condition ? *held_sec + sec : 0;
}

/* A charger may end before the tail is over; a cell that stands so high at rest is as full. */
static bool looks_full(const struct estimator *e, const struct input *in, double flowing_a)
{
	return in->cell_max_v >= volt(e->s.cell_full_mv - e->s.full_tolerance_mv) &&
	       flowing_a > -(double)e->s.rest_current_ma / 1000 &&
	       flowing_a <= of_capacity(e, e->s.full_current_permille);
}

static bool looks_empty(const struct estimator *e, const struct input *in, double flowing_a)
{
	return in->cell_min_v <= volt(e->s.cell_empty_mv) && flowing_a < 0 &&
	       -flowing_a <= of_capacity(e, e->s.empty_current_permille);
}

static struct anchor anchor_here(const struct estimator *e, const struct input *in, double soc,
				 double error)
{
	return (struct anchor){
		.valid = true,
		.cold = !in->has_temperature || in->coldest_c < COLD_C,
		.soc = soc,
		.error = error,
		.counter_ah = e->counter_ah,
		.error_ah = e->error_ah,
	};
}

static bool is_new(const struct estimator *e, enum soc_anchor kind)
{
	const struct anchor *a = &e->anchors[kind];

	return !a->valid || e->anchor != kind ||
	       fabs(e->counter_ah - a->counter_ah) > SAME_PLACE * e->full_ah;
}

/* The condition that brought us here may last, or come and go: then the place is held, but is no new
 * anchor. */
static unsigned settle(struct estimator *e, const struct input *in, enum soc_anchor kind)
{
	bool full = kind == SOC_ANCHOR_FULL;
	double soc = full ? 100 : 0;
	double error = centi(full ? e->s.full_error_centipercent : e->s.empty_error_centipercent);
	struct anchor here = anchor_here(e, in, soc, error);
	unsigned events = 0;

	if (is_new(e, kind)) {
		events = ESTIMATOR_ANCHORED;
		e->anchors_total++;
		if (estimator_learn_capacity(e, &here))
			events |= ESTIMATOR_CAPACITY_LEARNED;
	}
	e->anchors[kind] = here;
	e->anchor = kind;
	e->anchor_age_sec = 0;
	estimator_correct(e, soc, error);
	return events;
}

/* What a rested voltage says, on our scale: 0 at cell_empty_mv, 100 at cell_full_mv. */
static bool read_table(const struct estimator *e, double mv, double *ret_soc, double *ret_error)
{
	const struct ocv_table *t = e->s.ocv_table;
	double empty = ocv_soc_percent(t, (double)e->s.cell_empty_mv);
	double full = ocv_soc_percent(t, (double)e->s.cell_full_mv);
	struct ocv_interval i = ocv_invert(t, mv, (double)e->s.ocv_tolerance_mv);
	double scale = 100 / (full - empty);

	if (full - empty < 1)
		return false;
	*ret_soc = clamp(((i.low_percent + i.high_percent) / 2 - empty) * scale, 0, 100);
	*ret_error = fmax((i.high_percent - i.low_percent) / 2 * scale,
			  centi(e->s.ocv_error_centipercent));
	return true;
}

static unsigned correct_by_rest(struct estimator *e, const struct input *in)
{
	double was = estimator_soc(e), soc = 0, sigma = 0, m = estimator_margin(e), k = 1;
	struct anchor here;
	unsigned events = ESTIMATOR_REST_CORRECTED;

	if (!read_table(e, in->cell_mean_v * 1000, &soc, &sigma) || sigma >= m)
		return 0;
	here = anchor_here(e, in, soc, sigma);
	if (sigma <= TEACHING_ERROR) {
		if (estimator_learn_capacity(e, &here))
			events |= ESTIMATOR_CAPACITY_LEARNED;
		e->anchors[SOC_ANCHOR_REST] = here;
	}
	if (3 * sigma >= m)
		k = m * m / (m * m + sigma * sigma);
	/* Both as they were before a capacity was learned, which moves the scale. */
	estimator_correct(e, was + k * (soc - was), (1 - k) * m + k * sigma);
	e->anchor = SOC_ANCHOR_REST;
	e->anchor_age_sec = 0;
	return events;
}

static bool is_resting(const struct estimator *e, const struct input *in, double flowing_a)
{
	bool switched = in->has_fets && e->last.has_fets &&
			(in->charge_fet != e->last.charge_fet ||
			 in->discharge_fet != e->last.discharge_fet);

	return fabs(flowing_a) < (double)e->s.rest_current_ma / 1000 && !switched &&
	       in->has_temperature && in->coldest_c >= COLD_C && in->hottest_c <= REST_MAX_C;
}

static unsigned find_rest(struct estimator *e, const struct input *in, double flowing_a, double sec)
{
	if (!e->s.ocv_table || !e->s.ocv_verified)
		return 0;
	hold(&e->rest_sec, is_resting(e, in, flowing_a), sec);
	if (e->rest_sec < (double)e->s.rest_sec)
		return 0;
	e->rest_sec = 0;
	return correct_by_rest(e, in);
}

unsigned estimator_find_anchors(struct estimator *e, const struct input *in, double sec)
{
	double flowing_a = in->current_a - e->offset_a;

	if (in->n_cells == 0) {
		e->full_sec = e->empty_sec = e->rest_sec = 0;
		return 0;
	}
	hold(&e->full_sec, looks_full(e, in, flowing_a), sec);
	hold(&e->empty_sec, looks_empty(e, in, flowing_a), sec);
	if (e->full_sec >= (double)e->s.full_hold_sec)
		return settle(e, in, SOC_ANCHOR_FULL);
	if (e->empty_sec >= (double)e->s.empty_hold_sec)
		return settle(e, in, SOC_ANCHOR_EMPTY);
	return find_rest(e, in, flowing_a, sec);
}
