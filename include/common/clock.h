/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks for durations and deadlines, never set back: CLOCK_MONOTONIC stands still while the machine
 * sleeps, CLOCK_BOOTTIME does not.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_now_usec(clockid_t clock)
{
	struct timespec now = { 0 };

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline uint64_t clock_now_msec(clockid_t clock)
{
	return clock_now_usec(clock) / 1000;
}

#endif
