/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done with a simulated pack: a current that is asked for at each moment. Whether it flows is
 * for the board's switches to say.
 */
#ifndef BMSD_SIMLOAD_H
#define BMSD_SIMLOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "bmsd/plant.h"
#include "common/cleanup.h"

#define SIMLOAD_PROFILE_SAMPLES 100000

/* A current over time, one value a second, positive while charging. */
struct simload_profile {
	size_t n;
	double *current_a;
};

/* Reads lines "current,seconds" where the current is positive while *discharging* (as drive cycles are
 * published), with comments (#) and a heading before; times ascend, gaps hold the value. Multiplied
 * with scale. -EINVAL, or what open and read said. */
_must_check_ int simload_profile_load(const char *path, double scale, struct simload_profile **ret);
struct simload_profile *simload_profile_free(struct simload_profile *p);
DEFINE_CLEANUP(struct simload_profile *, simload_profile_free);

enum simload_mode {
	SIMLOAD_STEADY,	 /* current_a */
	SIMLOAD_SWING,	 /* swings by a quarter around current_a, once in 20 s */
	SIMLOAD_PROFILE, /* the profile over and over */
	SIMLOAD_CHARGE, /* charge_a, then at the table's full voltage, until a twentieth of charge_a */
	SIMLOAD_REST,
	/* Ride by the profile (or current_a) down to ride_to_soc, rest, charge, rest, ride … */
	SIMLOAD_CYCLE,
	_SIMLOAD_MAX,
};

struct simload {
	enum simload_mode mode;
	double current_a;
	const struct simload_profile *profile; /* borrowed; NULL: current_a */
	double charge_a;
	double rest_sec;
	double ride_to_soc;
	/* Where it is; zero at first. */
	unsigned phase;
	double phase_sec;
	bool charged; /* SIMLOAD_CHARGE: the end was reached */
};

/* Zeros become usual values: a charger of 0.3 C, half an hour of rest, down to 15 %. */
void simload_init(struct simload *l, double capacity_ah);

/* The current that is asked for during the next seconds (1 at most), of a pack that is so. */
double simload_step(struct simload *l, const struct plant *p, const struct plant_table *table,
		    double seconds);

#endif
