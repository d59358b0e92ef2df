/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The faults of a line between a board and its gateway: bytes go in, and come out changed, late or in
 * pieces. Pure; the caller brings time and writes what is due.
 *
 *	junk [COUNT]	random bytes before the next answers, the last often a start byte
 *	split		answers come in pieces of three bytes; split N: in two, the first of N bytes;
 *			split every: as N with N one more at each answer
 *	drop [COUNT] | dup [COUNT] | flip [COUNT]	one byte of the next answers
 *	late MSEC [COUNT]	answers come late
 *	echo		requests come back
 *	well		none of these any more
 *
 * Without a COUNT a fault stays until "well".
 */
#ifndef BMSD_SIMLINE_H
#define BMSD_SIMLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define SIMLINE_BYTES 4096

enum simline_fault {
	SIMLINE_JUNK,
	SIMLINE_SPLIT,
	SIMLINE_DROP,
	SIMLINE_DUP,
	SIMLINE_FLIP,
	SIMLINE_LATE,
	SIMLINE_ECHO,
	_SIMLINE_FAULT_MAX,
};

/* Set by command, shared by all lines of a board. */
struct simline_faults {
	uint32_t left[_SIMLINE_FAULT_MAX]; /* answers that it still strikes; UINT32_MAX: all */
	uint32_t split_at;		   /* 0: pieces of three bytes */
	bool split_every;
	uint32_t late_msec;
	uint64_t random;
	uint64_t struck; /* how often any did */
};

/* What is on its way to one gateway. */
struct simline {
	uint8_t bytes[SIMLINE_BYTES];
	size_t used;
	size_t piece;	     /* as many at most at the next write; 0: all */
	size_t pieces_of;    /* and after it */
	uint32_t delay_msec; /* before the next write */
};

/* As simboard_command(). */
_must_check_ int simline_command(struct simline_faults *f, const char *line);

/* Bytes of a gateway's request, which an echo sends back. */
void simline_heard(struct simline *l, struct simline_faults *f, const uint8_t *bytes, size_t size);
/* An answer of the board. What has no room any more is lost. */
void simline_answer(struct simline *l, struct simline_faults *f, const uint8_t *bytes, size_t size);

/* How many of l->bytes may be written now. */
size_t simline_due(const struct simline *l);
/* So many were. */
void simline_written(struct simline *l, size_t size);

#endif
