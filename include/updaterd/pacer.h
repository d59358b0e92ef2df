/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much the next request asks for, and how long to wait after a failure. Pure: no clock, no random
 * numbers of its own.
 *
 * A request costs some hundred bytes and, with none beside it, a round trip; so it covers as long a
 * run of segments as goes well. The first one is short, each whole one makes the next four times as
 * long, and each trouble shrinks it by as much, down to a single segment: whatever cuts long answers
 * is found out in a few steps.
 */
#ifndef UPDATERD_PACER_H
#define UPDATERD_PACER_H

#include <stdint.h>

#define PACER_WAIT_MAX_MSEC 30000u

struct pacer {
	uint32_t length; /* segments, for the next request */
	uint32_t max;
};

/* max 0: no limit. */
void pacer_begin(struct pacer *p, uint32_t first, uint32_t max);
/* A request brought all that it asked for, and nothing wrong. */
void pacer_grow(struct pacer *p);
/* One did not. */
void pacer_shrink(struct pacer *p);

/* Before the request after so many failures in a row (from 1): anything from nothing to
 * first_msec * 2^(failures-1), PACER_WAIT_MAX_MSEC at most, as random (64 random bits) has it, so
 * that gateways that failed together do not come back together; on top of what the server asked for. */
uint64_t pacer_wait_msec(unsigned failures, uint64_t first_msec, uint64_t retry_after_sec,
			 uint64_t random);

#endif
