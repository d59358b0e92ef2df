/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "estimator_parts.h"

#define SEC_PER_HOUR 3600.0
#define MEAN_SEC     60.0 /* of the currents that times are made of */

#define QUIET_SEC	  600.0 /* of a current that is presumed to be none */
#define QUIET_CERTAIN_SEC 60.0	/* of one that cannot be any */
#define QUIET_WITHIN_A	  0.15	/* noise and the steps of a coarse board */
#define OFFSET_CERTAIN_A  0.05	/* left of an offset that was seen with both FETs off */

/* What the board's own counter may be off, by its steps, at both ends. */
#define BOARD_STEP_AH	0.02
#define BOARD_SLACK	1.1
#define CYCLES_IN_A_GAP 2
#define UNTIMED_ERROR	0.05 /* of the capacity: for a time that nobody knows */
/* Equivalent full cycles age a pack: 20 % in some 670 of them. */
#define FADE_PER_CYCLE	0.0003

static double milli(uint64_t value)
{
	return (double)value / 1000;
}

double estimator_offset_error(const struct estimator *e)
{
	return e->offset_error_a > 0 ? e->offset_error_a : milli(e->s.offset_max_ma);
}

/* Keeps the charge on the scale. What is cut off was counted wrong somewhere. */
static void move_charge(struct estimator *e, double ah)
{
	double to = e->now_ah + ah;

	e->now_ah = clamp(to, 0, e->full_ah);
	e->counter_ah += ah;
	e->error_ah += fabs(to - e->now_ah);
	if (ah < 0) {
		e->discharged_ah -= ah;
		e->capacity_error = fmin(1, e->capacity_error - ah / e->design_ah * FADE_PER_CYCLE);
	}
}

static double flowing(const struct estimator *e, double measured_a)
{
	double a = measured_a - e->offset_a;

	return fabs(a) < milli(e->s.current_deadband_ma) ? 0 : a;
}

static void follow(double *mean, double value, double sec)
{
	*mean += (value - *mean) * (1 - exp(-sec / MEAN_SEC));
}

void estimator_count(struct estimator *e, const struct input *in, double sec)
{
	double before = flowing(e, e->last.has_current ? e->last.current_a : in->current_a);
	double now = flowing(e, in->current_a), mean = (before + now) / 2;
	double lost = 1 - milli(e->s.charge_efficiency_permille);
	double error_a = milli(e->s.current_error_permille) * fmax(fabs(before), fabs(now)) +
			 estimator_offset_error(e);

	if (mean > 0)
		error_a += lost * mean;
	move_charge(e, mean * (mean > 0 ? 1 - lost : 1) * sec / SEC_PER_HOUR);
	e->error_ah += error_a * sec / SEC_PER_HOUR;
	follow(&e->mean_charge_a, fmax(now, 0), sec);
	follow(&e->mean_discharge_a, fmax(-now, 0), sec);
}

/* A current that is presumed to be none may be a small one that really flows; then what is learned is
 * the mistake. */
static void presume_offset(struct estimator *e, double offset_a)
{
	if (e->offset_error_a > 0 && e->offset_error_a <= OFFSET_CERTAIN_A)
		return;
	e->offset_a = offset_a;
	e->offset_error_a = fmax(milli(e->s.offset_error_ma), fabs(offset_a));
}

void estimator_learn_offset(struct estimator *e, const struct input *in, double sec)
{
	double most = milli(e->s.offset_max_ma);
	bool off = in->has_fets && !in->charge_fet && !in->discharge_fet;
	struct quiet *q = &e->quiet;

	if (fabs(in->current_a) > most + QUIET_WITHIN_A ||
	    (q->sec > 0 && fabs(in->current_a - q->mean_a) > 2 * QUIET_WITHIN_A)) {
		*q = (struct quiet){ 0 };
		return;
	}
	q->sec += sec;
	q->mean_a += (in->current_a - q->mean_a) * fmin(1, sec / fmin(q->sec, QUIET_SEC));
	if (fabs(q->mean_a) > most)
		return;
	if (off && q->sec >= QUIET_CERTAIN_SEC) {
		e->offset_a = q->mean_a;
		e->offset_error_a = OFFSET_CERTAIN_A;
	} else if (q->sec >= QUIET_SEC) {
		presume_offset(e, q->mean_a);
	}
}

/* The board may have been reset, or set to another value by hand. */
static bool board_went_on(const struct estimator *e, const struct input *in)
{
	uint32_t cycles = in->board_cycles - e->last.board_cycles;

	return e->last.has_board && in->has_board && cycles <= CYCLES_IN_A_GAP;
}

static void take_board(struct estimator *e, const struct input *in, double error_ah)
{
	double ah = in->board_ah - e->last.board_ah;

	move_charge(e, ah);
	e->error_ah += milli(e->s.current_error_permille) * fabs(ah) + BOARD_STEP_AH + error_ah;
}

bool estimator_bridge(struct estimator *e, const struct input *in, double sec)
{
	double most_ah = milli(e->s.current_max_ma) * sec / SEC_PER_HOUR;
	/* The board's sensor is ours, but whether it knows its offset is not known. */
	double offset_a = estimator_offset_error(e) + fabs(e->offset_a);

	if (board_went_on(e, in) &&
	    fabs(in->board_ah - e->last.board_ah) <= most_ah * BOARD_SLACK + BOARD_STEP_AH) {
		take_board(e, in, offset_a * sec / SEC_PER_HOUR);
		return true;
	}
	e->error_ah += most_ah;
	return false;
}

bool estimator_bridge_untimed(struct estimator *e, const struct input *in)
{
	if (board_went_on(e, in) && fabs(in->board_ah - e->last.board_ah) <= e->full_ah) {
		take_board(e, in, UNTIMED_ERROR * e->full_ah);
		return true;
	}
	e->error_ah += e->full_ah;
	return false;
}
