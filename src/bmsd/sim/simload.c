/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/simload.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>

#include "common/fsutil.h"

#define PROFILE_BYTES	((size_t)4 << 20)
#define SWING_SEC	20.0
#define SWING_PART	0.25
#define USUAL_CHARGE_C	0.3
#define USUAL_REST_SEC	1800.0
#define USUAL_RIDE_TO	0.15
#define CHARGE_END_PART 0.05

enum cycle_phase { CYCLE_RIDE, CYCLE_REST_EMPTY, CYCLE_CHARGE, CYCLE_REST_FULL, _CYCLE_MAX };

/* ---- the profile ---- */

/* Holds the last value up to second at, and takes current_a from there on. */
static int profile_put(struct simload_profile *p, long at, double current_a)
{
	if (at < 0 || at >= SIMLOAD_PROFILE_SAMPLES || (size_t)at + 1 < p->n)
		return -EINVAL;
	while (p->n < (size_t)at) {
		p->current_a[p->n] = p->n > 0 ? p->current_a[p->n - 1] : current_a;
		p->n++;
	}
	p->current_a[at] = current_a;
	p->n = (size_t)at + 1;
	return 0;
}

/* 0 for a heading too, before the first value. */
static int profile_line(struct simload_profile *p, const char *line, double scale)
{
	char *end = NULL;
	double current = strtod(line, &end), seconds;

	if (line[0] == '#' || line[0] == 0)
		return 0;
	if (end == line)
		return p->n == 0 ? 0 : -EINVAL;
	if (*end != ',')
		return -EINVAL;
	line = end + 1;
	seconds = strtod(line, &end);
	if (end == line || (*end && *end != '\r') || !isfinite(current) || !isfinite(seconds) ||
	    seconds < 0 || seconds >= SIMLOAD_PROFILE_SAMPLES)
		return -EINVAL;
	return profile_put(p, lround(seconds), -current * scale);
}

static int profile_parse(struct simload_profile *p, char *text, double scale)
{
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		int r = profile_line(p, line, scale);

		if (r < 0)
			return r;
	}
	return p->n > 0 ? 0 : -EINVAL;
}

int simload_profile_load(const char *path, double scale, struct simload_profile **ret)
{
	_cleanup_(simload_profile_freep) struct simload_profile *p = calloc(1, sizeof *p);
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int r;

	if (!p)
		return -ENOMEM;
	p->current_a = calloc(SIMLOAD_PROFILE_SAMPLES, sizeof *p->current_a);
	if (!p->current_a)
		return -ENOMEM;
	r = fs_read_file(AT_FDCWD, path, PROFILE_BYTES, &text, &size);
	if (r < 0)
		return r;
	if (strlen(text) != size)
		return -EINVAL;
	r = profile_parse(p, text, scale);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

struct simload_profile *simload_profile_free(struct simload_profile *p)
{
	if (p)
		free(p->current_a);
	free(p);
	return NULL;
}

/* ---- the load ---- */

void simload_init(struct simload *l, double capacity_ah)
{
	if (l->charge_a == 0)
		l->charge_a = USUAL_CHARGE_C * capacity_ah;
	if (l->rest_sec == 0)
		l->rest_sec = USUAL_REST_SEC;
	if (l->ride_to_soc == 0)
		l->ride_to_soc = USUAL_RIDE_TO;
}

static double ride(const struct simload *l)
{
	if (!l->profile)
		return l->current_a;
	return l->profile->current_a[(size_t)l->phase_sec % l->profile->n];
}

static double charge(struct simload *l, const struct plant *p, const struct plant_table *table)
{
	double current_a = fmin(l->charge_a, plant_current_at(p, table->full_mv / 1000));

	if (l->charged || current_a < l->charge_a * CHARGE_END_PART) {
		l->charged = true;
		return 0;
	}
	return current_a;
}

static bool phase_is_over(const struct simload *l, const struct plant *p)
{
	struct plant_truth t;

	switch ((enum cycle_phase)l->phase) {
	case CYCLE_RIDE: plant_look(p, &t); return t.soc <= l->ride_to_soc;
	case CYCLE_CHARGE: return l->charged;
	case CYCLE_REST_EMPTY:
	case CYCLE_REST_FULL: return l->phase_sec >= l->rest_sec;
	case _CYCLE_MAX: break;
	}
	return true;
}

static double cycle(struct simload *l, const struct plant *p, const struct plant_table *table)
{
	if (phase_is_over(l, p)) {
		l->phase = (l->phase + 1) % _CYCLE_MAX;
		l->phase_sec = 0;
		l->charged = false;
	}
	switch ((enum cycle_phase)l->phase) {
	case CYCLE_RIDE: return ride(l);
	case CYCLE_CHARGE: return charge(l, p, table);
	case CYCLE_REST_EMPTY:
	case CYCLE_REST_FULL:
	case _CYCLE_MAX: break;
	}
	return 0;
}

double simload_step(struct simload *l, const struct plant *p, const struct plant_table *table,
		    double seconds)
{
	double current_a = 0;

	switch (l->mode) {
	case SIMLOAD_STEADY: current_a = l->current_a; break;
	case SIMLOAD_SWING:
		current_a = l->current_a *
			    (1 + SWING_PART * sin(2 * M_PI * (l->phase_sec + seconds) / SWING_SEC));
		break;
	case SIMLOAD_PROFILE: current_a = ride(l); break;
	case SIMLOAD_CHARGE: current_a = charge(l, p, table); break;
	case SIMLOAD_CYCLE: current_a = cycle(l, p, table); break;
	case SIMLOAD_REST:
	case _SIMLOAD_MAX: break;
	}
	l->phase_sec += seconds;
	return current_a;
}
