/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a simulated board says what it measures, in the frames of one kind of board. Written from the
 * vendors' documents, not from the drivers, so that each checks the other.
 */
#ifndef BMSD_SIMWIRE_H
#define BMSD_SIMWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define SIMWIRE_CELLS	      32
#define SIMWIRE_NTCS	      8
#define SIMWIRE_COUNTERS      11
#define SIMWIRE_REQUEST_BYTES 262
#define SIMWIRE_ANSWER_BYTES  262

/* What a board knows at one moment. Current is positive while charging. */
struct simwire_values {
	const char *model; /* borrowed */
	int64_t voltage_mv;
	int64_t current_ma;
	double residual_mah;
	double nominal_mah;
	double soc_percent;
	unsigned cycles;
	uint32_t balancing;
	uint32_t protections; /* 1 << enum protection */
	bool charge_fet, discharge_fet;
	unsigned n_cells;
	int cells_mv[SIMWIRE_CELLS];
	unsigned n_ntcs;
	int ntcs_decicelsius[SIMWIRE_NTCS];
	uint16_t counters[SIMWIRE_COUNTERS]; /* of protections, in JBD's order */
	uint8_t heartbeat;
	/* Faults: every byte of data zero, and the refusal of everything. */
	bool all_zero, refuses;
};

/* What a request wants to be done. */
struct simwire_order {
	bool sets_charge_fet, sets_discharge_fet;
	bool charge_fet, discharge_fet;
};

struct simwire {
	const char *name;
	/* Of the bytes so far (1 … SIMWIRE_REQUEST_BYTES - 1): 0 go on, 1 a whole request, -1 this
	 * cannot become one. */
	int (*check)(const uint8_t *request, size_t size);
	/* The answer to a whole request; 0: none. *ret_order is zero before. */
	size_t (*answer)(const struct simwire_values *v, const uint8_t *request,
			 struct simwire_order *ret_order, uint8_t ret_frame[SIMWIRE_ANSWER_BYTES]);
	/* Does a sleeping board send requests back (or zeros)? */
	bool echoes_asleep;
};

extern const struct simwire simwire_jbd;
extern const struct simwire simwire_daly;

#endif
