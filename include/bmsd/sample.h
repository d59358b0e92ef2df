/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sample of one pack: everything that one poll of a board gave, taken together or not at all.
 * Units are those of the kernel's power_supply class. Current is positive while charging.
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

struct sample {
	char model[SAMPLE_MODEL_BYTES]; /* what the board calls itself; "" if it does not say */
	int64_t voltage_uv;
	int64_t current_ua;
	int64_t charge_uah;
	int64_t charge_full_design_uah;
	int capacity_percent; /* the board's own; -1 unknown */
	uint32_t cycles;
	uint32_t protections; /* 1 << enum protection */
	uint32_t balancing;   /* bit 0 is cell 1 */
	bool charge_fet;
	bool discharge_fet;
	size_t n_cells;
	int64_t cells_uv[SAMPLE_MAX_CELLS];
	size_t n_temperatures;
	int64_t temperatures_decicelsius[SAMPLE_MAX_TEMPERATURES];
};

/* What a sample must fit to be believed. */
struct sample_limits {
	int64_t cell_min_uv;
	int64_t cell_max_uv;
	int64_t current_max_ua; /* magnitude */
	size_t cells;		/* 0: any number */
};

/* A checksum proves the cable, not the board: refuses zeros of a sleeping board, cells that do not
 * add up to the pack, sensors outside their range. 0, or -ERANGE with a sentence in ret_reason. */
_must_check_ int sample_check(const struct sample *s, const struct sample_limits *limits,
			      char ret_reason[SAMPLE_REASON_BYTES]);

/* "cell-overvoltage"; never NULL. */
const char *protection_name(unsigned protection);

#endif
