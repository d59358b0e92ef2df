/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much the next request asks for. Pure: no clock.
 *
 * A request costs some hundred bytes and, with none beside it, a round trip; so it covers as long a
 * run of segments as goes well. The first one is short, each whole one makes the next four times as
 * long, and each trouble shrinks it by as much, down to a single segment: whatever cuts long answers
 * is found out in a few steps.
 */
#ifndef UPDATERD_PACER_H
#define UPDATERD_PACER_H

#include <stdint.h>

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

#endif
