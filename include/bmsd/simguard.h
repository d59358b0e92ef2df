/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protections of a simulated board: each is set when its quantity was beyond a threshold for a
 * time, and cleared when it is back behind another one. Pure.
 */
#ifndef BMSD_SIMGUARD_H
#define BMSD_SIMGUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "bmsd/plant.h"
#include "bmsd/sample.h"
#include "bmsd/simwire.h"

struct simguard {
	const struct plant_table *table; /* borrowed */
	double capacity_ah;
	double beyond_sec[PROTECTION_COUNT];
	double active_sec[PROTECTION_COUNT];
	uint32_t active; /* 1 << enum protection */
	uint32_t forced; /* active whatever is measured */
	uint16_t counters[SIMWIRE_COUNTERS];
};

/* What was measured stood for this time. The protections that were set just now. */
uint32_t simguard_step(struct simguard *g, const struct plant_reading *reading, double seconds);
/* Active or forced. */
uint32_t simguard_protections(const struct simguard *g);
void simguard_force(struct simguard *g, uint32_t protections);
/* Takes back what was forced or found; what is still so comes again. */
void simguard_clear(struct simguard *g, uint32_t protections);

bool simguard_lets_charge(const struct simguard *g);
bool simguard_lets_discharge(const struct simguard *g);

#endif
