/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A board that exists in memory only: it answers JBD or Daly requests as a real one does, for the pack
 * of plant.h under the load of simload.h. It counts charge by itself, balances, raises protections and
 * switches its FETs. No descriptors and no clock in here; bms-boardsim(1) brings them.
 */
#ifndef BMSD_SIMBOARD_H
#define BMSD_SIMBOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bmsd/jbd.h"
#include "bmsd/plant.h"
#include "bmsd/simload.h"
#include "common/cleanup.h"

/* The longest answer: one of JBD, or Daly's cells in eleven frames. */
#define SIMBOARD_ANSWER_BYTES JBD_FRAME_BYTES
/* Lines that may ask at the same time, each for itself. */
#define SIMBOARD_LINES	      8

struct simboard;

enum simboard_protocol {
	SIMBOARD_JBD,
	SIMBOARD_DALY,
	_SIMBOARD_PROTOCOL_MAX,
};

struct simboard_settings {
	const char *model; /* borrowed; at most 31 characters are said */
	unsigned cells;	   /* 1 … 32 */
	unsigned ntcs;	   /* 0 … 8 */
	int current_ma;	   /* the mean that the load swings around; negative discharges */
	unsigned soc_percent;
	unsigned capacity_mah;
	uint32_t seed;
	/* Zero stands for the usual value from here on. */
	enum simboard_protocol protocol;
	const struct plant_table *table; /* borrowed; p42a */
	double true_capacity_part;	 /* of capacity_mah, what an aged pack has left; 1 */
	struct simload load;		 /* a mode other than the first replaces current_ma */
	/* Of the board's current sensor; the steps of its numbers come by themselves. */
	double current_gain_error, current_offset_a, current_noise_a;
};

_must_check_ int simboard_new(const struct simboard_settings *settings, struct simboard **ret);
struct simboard *simboard_free(struct simboard *b);
DEFINE_CLEANUP(struct simboard *, simboard_free);

/* Lets time pass for the pack and the board. */
void simboard_advance(struct simboard *b, uint64_t msec);

/* One byte that the gateway sent. When it completes a request: the size of the answer in ret_frame,
 * else 0. */
size_t simboard_rx(struct simboard *b, uint8_t byte, uint8_t ret_frame[SIMBOARD_ANSWER_BYTES]);
/* The same on one of several lines; line < SIMBOARD_LINES, 0 is that of simboard_rx(). */
size_t simboard_rx_line(struct simboard *b, unsigned line, uint8_t byte,
			uint8_t ret_frame[SIMBOARD_ANSWER_BYTES]);

/* The board's own random numbers, for faults too: the same seed gives the same run. */
uint32_t simboard_random(struct simboard *b);

/* What is true of the pack, whatever the board says of it. */
void simboard_truth(const struct simboard *b, struct plant_truth *ret);
/* What the board counts: its residual charge, and how often a poll was answered. */
double simboard_residual_mah(const struct simboard *b);
uint64_t simboard_answers(const struct simboard *b);

/*
 * Faults of the board and changes of its world, one a line, as bms-boardsim(1) takes them from its
 * control socket:
 *
 *	current MA | swing MA | profile | charge | rest | cycle	what is done with the pack
 *	ambient CELSIUS
 *	sleep SECONDS | wake		no answer at all, in the pack's time
 *	asleep SECONDS			answers like a sleeping board: its request back (Daly), zeros (JBD)
 *	refuse [COUNT]			status 0x80 to the next requests
 *	zero [COUNT]			good frames full of zeros
 *	reset				the board starts anew: residual at half, cycles and FETs as made
 *	residual MAH
 *	cell N drift MV | cell N stuck | cell N free
 *	ntc N open | ntc N free
 *	protect NAME | clear NAME	a bit of its protections, as sample.h names them; all
 *	fet charge|discharge on|off
 *
 * -ENOENT if it is none of these, -EINVAL if it is one with wrong words.
 */
_must_check_ int simboard_command(struct simboard *b, const char *line);

#endif
