/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd's watchdog. It is fed only when the caller can say that polling made progress, so a loop
 * that still turns but polls no more is restarted too.
 */
#ifndef BMSD_WATCHDOG_H
#define BMSD_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

struct watchdog {
	uint64_t interval_msec; /* 0: nobody watches */
	int64_t fed_msec;
};

/* Reads WATCHDOG_USEC and WATCHDOG_PID. */
void watchdog_init(struct watchdog *w);
/* To be called more often than every quarter interval. True if it was fed. */
bool watchdog_feed(struct watchdog *w, int64_t now_msec, bool progressed);

#endif
