/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "estimator_parts.h"

#define SEC_PER_HOUR 3600.0
#define MEAN_SEC     60.0 /* of the currents that times are made of */

#define QUIET_SEC	  600.0 /* of a current that is presumed to be none */
#define QUIET_CERTAIN_SEC 60.0	/* of one that cannot be any */
#define QUIET_WITHIN_A	  0.15
#define QUIET_SMOOTH_SEC  20.0 /* over noise and the steps of a coarse board */
#define QUIET_NOISE_A	  0.5
#define OFFSET_CERTAIN_A  0.05 /* left of an offset that was seen with both FETs off */

/* A wrong gain is wrong both ways and cancels, and the capacity was measured with it; what is left is
 * the part of it that is not the same for every current. */
#define GAIN_UNEVEN 0.25

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
	double error_a = GAIN_UNEVEN * milli(e->s.current_error_permille) *
				 (fabs(before) + fabs(now)) / 2 +
			 estimator_offset_error(e);

	if (mean > 0)
		error_a += lost * mean;
	move_charge(e, mean * (mean > 0 ? 1 - lost : 1) * sec / SEC_PER_HOUR);
	e->error_ah += error_a * sec / SEC_PER_HOUR;
	follow(&e->mean_charge_a, fmax(now, 0), sec);
	follow(&e->mean_discharge_a, fmax(-now, 0), sec);
	follow(&e->mean_weight, 1, sec);
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

static bool is_quiet(struct quiet *q, double measured_a, double most_a, double sec)
{
	if (fabs(measured_a) > most_a + QUIET_NOISE_A)
		return false;
	q->sec += sec;
	q->smooth_a += (measured_a - q->smooth_a) * fmin(1, sec / fmin(q->sec, QUIET_SMOOTH_SEC));
	q->mean_a += (measured_a - q->mean_a) * fmin(1, sec / fmin(q->sec, QUIET_SEC));
	return fabs(q->smooth_a) <= most_a + QUIET_WITHIN_A &&
	       (q->sec < QUIET_SMOOTH_SEC || fabs(q->smooth_a - q->mean_a) <= QUIET_WITHIN_A);
}

void estimator_learn_offset(struct estimator *e, const struct input *in, double sec)
{
	double most_a = milli(e->s.offset_max_ma), offset_a;
	bool off = in->has_fets && !in->charge_fet && !in->discharge_fet;
	struct quiet *q = &e->quiet;

	if (!is_quiet(q, in->current_a, most_a, sec)) {
		*q = (struct quiet){ 0 };
		return;
	}
	offset_a = clamp(q->mean_a, -most_a, most_a);
	if (off && q->sec >= QUIET_CERTAIN_SEC) {
		e->offset_a = offset_a;
		e->offset_error_a = OFFSET_CERTAIN_A;
	} else if (q->sec >= QUIET_SEC) {
		presume_offset(e, offset_a);
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

/* A board sets its counter when it takes the pack for full or empty: what it counted is then not what
 * flowed. */
static double reset_error_ah(const struct estimator *e, const struct input *in, double most_ah)
{
	double board_error = (double)e->s.board_error_centipercent / 10000;

	if (!in->board_at_end || fabs(in->board_ah - e->last.board_ah) <= BOARD_STEP_AH)
		return 0;
	return fmin(most_ah, board_error * e->full_ah);
}

bool estimator_bridge(struct estimator *e, const struct input *in, double sec)
{
	double most_ah = milli(e->s.current_max_ma) * sec / SEC_PER_HOUR;
	/* The board's sensor is ours, but whether it knows its offset is not known. */
	double offset_a = estimator_offset_error(e) + fabs(e->offset_a);

	if (board_went_on(e, in) &&
	    fabs(in->board_ah - e->last.board_ah) <= most_ah * BOARD_SLACK + BOARD_STEP_AH) {
		take_board(e, in, offset_a * sec / SEC_PER_HOUR + reset_error_ah(e, in, most_ah));
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
