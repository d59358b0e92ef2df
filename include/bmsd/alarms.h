/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The alarms of one pack: one table of rules, each with a level, a value at which it is set, one at
 * which it is cleared, and how long either must last. bmsd only tells: the board is the safety
 * device. Pure: time, samples and what others derived from them come from the caller.
 *
 * A quantity that is not known in a step neither sets nor clears its alarms, and their delays start
 * anew. That there is no data at all is an alarm of its own, "no-data".
 */
#ifndef BMSD_ALARMS_H
#define BMSD_ALARMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bmsd/ocv.h"
#include "bmsd/sample.h"
#include "common/cleanup.h"

enum alarm_level {
	ALARM_LEVEL_INFO,
	ALARM_LEVEL_WARNING,
	ALARM_LEVEL_ALARM,
	ALARM_LEVEL_COUNT,
};

enum alarm_id {
	ALARM_CELL_VOLTAGE_HIGH,
	ALARM_CELL_OVERVOLTAGE,
	ALARM_CELL_VOLTAGE_LOW,
	ALARM_CELL_UNDERVOLTAGE,
	ALARM_CELL_SPREAD,
	ALARM_CELL_SPREAD_LARGE,
	ALARM_CHARGE_TEMPERATURE_LOW,
	ALARM_CHARGE_UNDERTEMPERATURE,
	ALARM_CHARGE_TEMPERATURE_HIGH,
	ALARM_CHARGE_OVERTEMPERATURE,
	ALARM_TEMPERATURE_LOW,
	ALARM_UNDERTEMPERATURE,
	ALARM_TEMPERATURE_HIGH,
	ALARM_OVERTEMPERATURE,
	ALARM_FET_TEMPERATURE_HIGH,
	ALARM_FET_OVERTEMPERATURE,
	ALARM_CHARGE_CURRENT_HIGH,
	ALARM_CHARGE_OVERCURRENT,
	ALARM_DISCHARGE_CURRENT_HIGH,
	ALARM_DISCHARGE_OVERCURRENT,
	ALARM_CHARGE_LOW,
	ALARM_RESISTANCE_HIGH,
	ALARM_BOARD_PROTECTION,
	ALARM_NO_DATA,
	ALARM_COUNT,
};

/* What a rule's set and clear count in: the unit behind "set_" and "clear_" in bmsd.conf. */
enum alarm_unit {
	ALARM_UNIT_UV,		 /* set_mv: a thousandth */
	ALARM_UNIT_UA,		 /* set_ma: a thousandth */
	ALARM_UNIT_DECICELSIUS,	 /* set_decicelsius */
	ALARM_UNIT_CENTIPERCENT, /* set_percent: a hundredth */
	ALARM_UNIT_MSEC,	 /* set_sec: a thousandth */
	ALARM_UNIT_COUNT,	 /* of protections; nothing to configure */
};

struct alarm_rule {
	bool enabled;
	enum alarm_level level;
	int64_t set; /* reached: set. Above or below clear: which way is alarm_is_low() */
	int64_t clear;
	uint64_t set_delay_msec;
	uint64_t clear_delay_msec;
	bool latch; /* stays set until alarms_reset() */
};

struct alarms_settings {
	/* From this current on, either way, a pack counts as loaded: its cells may differ by
	 * load_factor_percent of what they may at rest. Below it, neither charging nor riding. */
	int64_t load_min_ua;
	unsigned load_factor_percent;
	struct alarm_rule rules[ALARM_COUNT];
};

/* The preset of a chemistry. charge_max_ua and discharge_max_ua are what the board allows
 * (magnitudes); 0: not known, the rules about current are off then. */
void alarms_preset(enum chemistry chemistry, int64_t charge_max_ua, int64_t discharge_max_ua,
		   struct alarms_settings *ret);

/* "cell-overvoltage"; also the section's name in bmsd.conf. Never NULL. */
const char *alarm_name(unsigned id);
/* -ENOENT if there is none. */
_must_check_ int alarm_find(const char *name, enum alarm_id *ret);
/* "info", "warning", "alarm"; never NULL. */
const char *alarm_level_name(unsigned level);
_must_check_ int alarm_level_find(const char *name, enum alarm_level *ret);
enum alarm_unit alarm_unit_of(enum alarm_id id);
/* It is set below its value, not above. */
bool alarm_is_low(enum alarm_id id);
/* -EINVAL with a sentence if a rule cannot work (clear on the wrong side of set). */
_must_check_ int alarms_check_settings(const struct alarms_settings *s,
				       char ret_reason[SAMPLE_REASON_BYTES]);

/* What the samples alone do not say. -1: not known. */
struct alarm_derived {
	int soc_centipercent;
	int resistance_growth_permille; /* 2000: twice what it was in the beginning */
};

struct alarm_state {
	bool set;
	bool gone;	    /* latched only: what set it is over */
	uint64_t since_sec; /* by the wall clock, while set */
	int64_t value;	    /* the last one known */
	int64_t extreme;    /* the worst one since it was set */
};

/* For the state file: what must be known after a restart. */
struct alarms_memory {
	struct alarm_state states[ALARM_COUNT];
};

struct alarm_change {
	enum alarm_id id;
	enum alarm_level level;
	bool set; /* or cleared */
	int64_t value;
	uint64_t since_sec; /* when it was set */
};

struct alarms {
	const struct alarms_settings *settings; /* borrowed */
	struct alarms_memory memory;
	bool pending[ALARM_COUNT];	   /* its condition is seen, but not for long enough */
	uint64_t lasted_msec[ALARM_COUNT]; /* since it was seen first */
	uint64_t no_data_msec;
};

/* memory may be NULL: nothing is set. What a restart finds set stays so until its clear value was
 * seen for its delay; the first step clears what a rule that is off now had set. */
void alarms_init(struct alarms *a, const struct alarms_settings *settings,
		 const struct alarms_memory *memory);

/* One step of dt_msec. sample is NULL if no fresh and plausible one is there. Returns how many
 * changes are in ret_changes. */
size_t alarms_step(struct alarms *a, const struct sample *sample,
		   const struct alarm_derived *derived, uint64_t dt_msec, uint64_t now_sec,
		   struct alarm_change ret_changes[ALARM_COUNT]);

/* An operator has seen the latched ones: those that are over are cleared. */
size_t alarms_reset(struct alarms *a, struct alarm_change ret_changes[ALARM_COUNT]);

/* The first rule that is set, of this level at least, or ALARM_COUNT. "no-data" does not count for
 * an upgrade (for_upgrade): a new bmsd may be what cures it. */
enum alarm_id alarms_first(const struct alarms_memory *m, const struct alarms_settings *s,
			   enum alarm_level at_least, bool for_upgrade);

#endif
