/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sample of one pack: everything that one poll of a board gave, taken together or not at all.
 * Units are those of the kernel's power_supply class. Current is positive while charging.
 *
 * A field that its bit in `valid` does not vouch for is not known: its value is zero (capacity -1)
 * and means nothing. No field is ever carried over from an earlier poll, but the board's counters,
 * which are asked for now and then only and bring their age.
 */
#ifndef BMSD_SAMPLE_H
#define BMSD_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define SAMPLE_MAX_CELLS	32
#define SAMPLE_MAX_TEMPERATURES 16
#define SAMPLE_MODEL_BYTES	64
#define SAMPLE_SERIAL_BYTES	40
#define SAMPLE_DATE_BYTES	11 /* "2018-04-17" */
#define SAMPLE_FIRMWARE_BYTES	32
#define SAMPLE_REASON_BYTES	128

/* What a board may have switched off for; bits of sample.protections. */
enum protection {
	PROTECTION_CELL_OVERVOLTAGE,
	PROTECTION_CELL_UNDERVOLTAGE,
	PROTECTION_PACK_OVERVOLTAGE,
	PROTECTION_PACK_UNDERVOLTAGE,
	PROTECTION_CHARGE_OVERTEMPERATURE,
	PROTECTION_CHARGE_UNDERTEMPERATURE,
	PROTECTION_DISCHARGE_OVERTEMPERATURE,
	PROTECTION_DISCHARGE_UNDERTEMPERATURE,
	PROTECTION_CHARGE_OVERCURRENT,
	PROTECTION_DISCHARGE_OVERCURRENT,
	PROTECTION_SHORT_CIRCUIT,
	PROTECTION_FRONT_END_ERROR,
	PROTECTION_SOFTWARE_LOCK,
	PROTECTION_CHARGE_TIMEOUT,
	PROTECTION_OTHER, /* a bit that no document explains */
	PROTECTION_COUNT,
};

/* Bits of sample.valid. */
enum sample_field {
	SAMPLE_VOLTAGE,
	SAMPLE_CURRENT,
	SAMPLE_CHARGE,
	SAMPLE_CHARGE_FULL,
	SAMPLE_CHARGE_FULL_DESIGN,
	SAMPLE_CAPACITY,
	SAMPLE_CYCLES,
	SAMPLE_CELLS,
	SAMPLE_TEMPERATURES,
	SAMPLE_FET_TEMPERATURE,
	SAMPLE_PROTECTIONS, /* and warnings */
	SAMPLE_BALANCING,
	SAMPLE_CHARGE_FET,
	SAMPLE_DISCHARGE_FET,
	SAMPLE_COUNTERS,
	SAMPLE_FIELD_COUNT,
};

/* counters_age_msec as a driver gives it, which knows no time. */
#define SAMPLE_COUNTERS_NEW  INT64_C(0)	 /* of this poll */
#define SAMPLE_COUNTERS_KEPT INT64_C(-1) /* of an earlier one; the pack knows when that was */

struct sample {
	uint32_t valid; /* 1 << enum sample_field */
	/* Who the board says it is; "" where it does not say. */
	char model[SAMPLE_MODEL_BYTES];
	char serial[SAMPLE_SERIAL_BYTES];
	char manufactured[SAMPLE_DATE_BYTES];
	char firmware[SAMPLE_FIRMWARE_BYTES];
	int64_t voltage_uv;
	int64_t current_ua;
	int64_t charge_uah;
	int64_t charge_full_uah; /* what the board counts with */
	int64_t charge_full_design_uah;
	int capacity_percent; /* the board's own; -1 unknown */
	uint32_t cycles;
	uint32_t protections; /* 1 << enum protection: switched off for it */
	uint32_t warnings;    /* the same bits: the board is about to */
	uint32_t balancing;   /* bit 0 is cell 1 */
	bool charge_fet;
	bool discharge_fet;
	size_t n_cells;
	int64_t cells_uv[SAMPLE_MAX_CELLS];
	size_t n_temperatures;
	int64_t temperatures_decicelsius[SAMPLE_MAX_TEMPERATURES];
	int64_t fet_temperature_decicelsius;
	/* How often in its life the board has switched off, by enum protection. */
	uint32_t counters[PROTECTION_COUNT];
	uint32_t counters_known; /* 1 << enum protection: those that the board has */
	int64_t counters_age_msec;
};

static inline bool sample_has(const struct sample *s, enum sample_field field)
{
	return s->valid >> field & 1u;
}

/* "voltage", "cells" …; never NULL. */
const char *sample_field_name(unsigned field);

/* What a sample must fit to be believed. */
struct sample_limits {
	int64_t cell_min_uv;
	int64_t cell_max_uv;
	int64_t current_max_ua; /* magnitude: 1.5 times what the pack is made for */
	size_t cells;		/* 0: any number */
};

/* What a sample is refused by; each is counted. */
enum sample_gate {
	SAMPLE_GATE_ASLEEP,	      /* zeros, or nothing measured at all */
	SAMPLE_GATE_CELL_COUNT,	      /* another number of cells than configured, or impossible */
	SAMPLE_GATE_CELL_RANGE,	      /* a cell outside its limits */
	SAMPLE_GATE_SUM,	      /* cells that do not add up to the pack */
	SAMPLE_GATE_CURRENT,	      /* more than the pack can give */
	SAMPLE_GATE_CAPACITY,	      /* a state of charge over 100 % */
	SAMPLE_GATE_TEMPERATURE,      /* a sensor outside its range */
	SAMPLE_GATE_CELL_STEP,	      /* a cell jumped, and no second sample confirms it yet */
	SAMPLE_GATE_TEMPERATURE_STEP, /* a temperature did */
	SAMPLE_GATE_COUNT,
};

/* "asleep", "cell-count" …; the names used in JSON; never NULL. */
const char *sample_gate_name(unsigned gate);

/* A checksum proves the cable, not the board: refuses zeros of a sleeping board, cells that do not
 * add up to the pack, sensors outside their range. Looks at valid fields only. 0, or -ERANGE with a
 * sentence in ret_reason. */
_must_check_ int sample_check(const struct sample *s, const struct sample_limits *limits,
			      char ret_reason[SAMPLE_REASON_BYTES]);

/* Nothing real jumps faster between two samples. Less than a second counts as one: a load that is
 * switched on makes a step, however soon one looks. */
#define SAMPLE_CELL_STEP_UV_PER_SEC		    INT64_C(500000)
#define SAMPLE_TEMPERATURE_STEP_DECICELSIUS_PER_SEC INT64_C(100)

/* What the gates remember of one pack: the last sample that was let in, and one that jumped and
 * waits to be confirmed. Starts as zero; reset to zero when another board may be there. */
struct sample_step_memory {
	bool known;
	int64_t at_msec;
	size_t n_cells;
	int64_t cells_uv[SAMPLE_MAX_CELLS];
	size_t n_temperatures;
	int64_t temperatures_decicelsius[SAMPLE_MAX_TEMPERATURES];
};

struct sample_gates {
	struct sample_step_memory admitted, jumped;
};

/* sample_check(), then the steps: a sample in which a cell or a temperature jumped is refused until
 * the next one confirms it, and let in then. ret_gate says which gate refused. */
_must_check_ int sample_admit(struct sample_gates *g, const struct sample *s,
			      const struct sample_limits *limits, int64_t now_msec,
			      enum sample_gate *ret_gate, char ret_reason[SAMPLE_REASON_BYTES]);

/* "cell-overvoltage"; never NULL. */
const char *protection_name(unsigned protection);

#endif
