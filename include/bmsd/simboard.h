/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A board that exists in memory only: it answers JBD requests as a real one does, for a pack whose
 * values move with time. No descriptors and no clock in here; bms-boardsim(1) brings them.
 */
#ifndef BMSD_SIMBOARD_H
#define BMSD_SIMBOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bmsd/jbd.h"
#include "common/cleanup.h"

struct simboard;

struct simboard_settings {
	const char *model; /* borrowed; at most 31 characters are said */
	unsigned cells;	   /* 1 … 32 */
	unsigned ntcs;	   /* 0 … 8 */
	int current_ma;	   /* the mean that the load swings around; negative discharges */
	unsigned soc_percent;
	unsigned capacity_mah;
	uint32_t seed;
};

_must_check_ int simboard_new(const struct simboard_settings *settings, struct simboard **ret);
struct simboard *simboard_free(struct simboard *b);
DEFINE_CLEANUP(struct simboard *, simboard_free);

/* Lets time pass for the pack. */
void simboard_advance(struct simboard *b, uint64_t msec);

/* One byte that the gateway sent. When it completes a request: the size of the answer in ret_frame,
 * else 0. */
size_t simboard_rx(struct simboard *b, uint8_t byte, uint8_t ret_frame[JBD_FRAME_BYTES]);

/* The board's own random numbers, for faults too: the same seed gives the same run. */
uint32_t simboard_random(struct simboard *b);

#endif
