/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pack has been through: counters that only ever grow, and extremes that only ever widen. The
 * struct is at once the working memory and what the state file holds. Pure.
 */
#ifndef BMSD_LIFETIME_H
#define BMSD_LIFETIME_H

#include <stdbool.h>
#include <stdint.h>

#include "bmsd/sample.h"

/* Below -10, then -10 … 0, 10 degrees wide each, up to 60 and above. */
#define LIFETIME_TEMPERATURE_BINS 9
/* 0 … 10 %, … 90 … 100 %. */
#define LIFETIME_SOC_BINS	  10
/* A step that is longer than this counts as this long: nobody looked. No poll is longer apart. */
#define LIFETIME_STEP_MAX_MSEC	  60000

struct lifetime {
	uint64_t charged_uah;
	uint64_t discharged_uah;
	uint64_t charged_uwh;
	uint64_t discharged_uwh;
	uint64_t watched_sec; /* with samples */
	uint64_t in_bin_sec[LIFETIME_TEMPERATURE_BINS]
			   [LIFETIME_SOC_BINS]; /* by the hottest sensor */
	/* Of the following, only what has been seen: seen is a mask of enum lifetime_extreme. */
	uint32_t seen;
	int64_t cell_min_uv;
	int64_t cell_max_uv;
	int64_t temperature_min_decicelsius;
	int64_t temperature_max_decicelsius;
	int64_t charge_current_max_ua;
	int64_t discharge_current_max_ua;
	/* What does not yet make a unit; not kept. */
	double rest_charged_uah, rest_discharged_uah, rest_charged_uwh, rest_discharged_uwh;
	uint64_t rest_watched_msec;
	uint64_t rest_in_bin_msec[LIFETIME_TEMPERATURE_BINS][LIFETIME_SOC_BINS];
};

enum lifetime_extreme {
	LIFETIME_SEEN_CELLS = 1 << 0,
	LIFETIME_SEEN_TEMPERATURES = 1 << 1,
	LIFETIME_SEEN_CURRENT = 1 << 2,
};

/* soc_centipercent: -1 unknown, then no bin counts. */
void lifetime_step(struct lifetime *l, const struct sample *sample, int soc_centipercent,
		   uint64_t dt_msec);

/* The larger of each counter, the wider of each extreme: what of two copies may be believed of a thing
 * that only grows. */
void lifetime_merge(struct lifetime *l, const struct lifetime *other);

/* -ERANGE with the name of the first member that no pack can have reached. */
_must_check_ int lifetime_check(const struct lifetime *l, const char **ret_member);

/* The lower edge of a temperature bin, in degrees; the first has none: INT32_MIN. */
int32_t lifetime_bin_celsius(unsigned bin);

#endif
