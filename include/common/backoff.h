/* SPDX-License-Identifier: Apache-2.0 */
/* How long to wait before something that failed is tried again: exponential, with full jitter. */
#ifndef COMMON_BACKOFF_H
#define COMMON_BACKOFF_H

#include <stdint.h>

#define BACKOFF_FIRST_MSEC 1000u
#define BACKOFF_MAX_MSEC   120000u

/* After so many failures in a row (from 1): anything from nothing to first_msec * 2^(failures-1),
 * BACKOFF_MAX_MSEC at most, as random (64 random bits) has it, so that gateways that failed together
 * do not come back together. */
uint64_t backoff_msec(unsigned failures, uint64_t first_msec, uint64_t random);
/* 64 bits of the kernel's; 0 while it has none, then there is only no jitter. */
uint64_t backoff_random(void);
void backoff_sleep(uint64_t msec);

#endif
