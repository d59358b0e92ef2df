/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much may be charged and discharged now: CVL, CCL, DCL of inverters and motor controllers. Advice;
 * the board protects. Each limit is the rated current times the lowest of its curves (cell voltage,
 * temperature, state of charge, MOSFET temperature; values of dbus-serialbattery). A lower limit holds
 * at once. A higher one only after it has been allowed for hold_sec without a break, and then it rises
 * by rise_ma_per_sec: a limit that follows a sagging voltage would swing.
 *
 * Regeneration has a limit of its own: that of charging, and nothing any more near full, where a
 * charger goes on gently to the end (vedderb/bldc#201, #607). A motor controller wants this one.
 *
 * A charger that obeys ends where charge_cell_mv comes near 0, with LFP at 3.45 V: the estimator's
 * cell_full_mv must not be above it, or full is never seen.
 *
 * Pure: time comes with each step.
 */
#ifndef BMSD_LIMITS_H
#define BMSD_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bmsd/ocv.h"
#include "bmsd/sample.h"
#include "common/cleanup.h"

#define LIMITS_CURVE_POINTS 8

/* Linear between the points, x ascending; beyond the ends, the value of the end. */
struct limits_point {
	int64_t x;
	unsigned permille;
};
struct limits_curve {
	size_t n_points; /* 0: no limit */
	struct limits_point points[LIMITS_CURVE_POINTS];
};
unsigned limits_curve_permille(const struct limits_curve *c, int64_t x);

struct limits_settings {
	uint64_t charge_current_max_ma; /* rated */
	uint64_t discharge_current_max_ma;
	uint64_t cell_charge_max_mv; /* CVL: times the number of cells */
	uint64_t hold_sec;
	uint64_t rise_ma_per_sec;
	struct limits_curve charge_cell_mv;    /* x: highest cell */
	struct limits_curve discharge_cell_mv; /* x: lowest cell */
	/* Of the hottest and of the coldest sensor, the lower result. */
	struct limits_curve charge_decicelsius;
	struct limits_curve discharge_decicelsius;
	struct limits_curve fet_decicelsius;
	struct limits_curve charge_soc_centipercent; /* x: state of charge */
	struct limits_curve regeneration_soc_centipercent;
	struct limits_curve discharge_soc_centipercent;
};
struct limits_settings limits_settings_default(enum chemistry chemistry);
/* -EINVAL with a sentence. */
_must_check_ int limits_settings_check(const struct limits_settings *s,
				       char ret_reason[SAMPLE_REASON_BYTES]);

/* What holds a limit down most. */
enum limits_reason {
	LIMITS_REASON_NONE,
	LIMITS_REASON_CELL_VOLTAGE,
	LIMITS_REASON_TEMPERATURE,
	LIMITS_REASON_FET_TEMPERATURE,
	LIMITS_REASON_SOC,
	LIMITS_REASON_FET_OFF,	/* the board has switched this direction off */
	LIMITS_REASON_UNKNOWN,	/* no voltage or temperature: nothing may flow in */
	LIMITS_REASON_RECOVERY, /* nothing any more, but it rises slowly */
	LIMITS_REASON_COUNT,
};
/* "none", "cell-voltage", "temperature", "fet-temperature", "soc", "fet-off", "unknown", "recovery". */
const char *limits_reason_name(unsigned reason);

struct limits_view {
	int64_t constant_charge_voltage_max_uv; /* CVL; -1: number of cells not known */
	int64_t charge_current_max_ua;		/* CCL; -1: before the first step */
	int64_t discharge_current_max_ua;	/* DCL, a magnitude */
	int64_t regeneration_current_max_ua;
	enum limits_reason charge_reason;
	enum limits_reason regeneration_reason;
	enum limits_reason discharge_reason;
};

struct limits;
/* settings are copied. */
_must_check_ int limits_new(const struct limits_settings *settings, struct limits **ret);
struct limits *limits_free(struct limits *l);
DEFINE_CLEANUP(struct limits *, limits_free);

/* soc_centipercent: -1 unknown, its curves then do not count. The first step sets the limits without
 * waiting. A step longer than LIMITS_GAP_MSEC is a break: nobody looked. */
#define LIMITS_GAP_MSEC 60000
void limits_step(struct limits *l, const struct sample *sample, int soc_centipercent,
		 uint64_t dt_msec);
void limits_look(const struct limits *l, struct limits_view *ret);

#endif
