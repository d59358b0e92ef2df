/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps one pack polled: opens its line, sends what the driver asks, feeds it what arrives, tells
 * the pack the outcome. Lives in the event loop and never blocks. A line that cannot be opened, or
 * is pulled out, is tried again with growing pauses: a missing device is a state, not an error.
 */
#ifndef BMSD_POLLER_H
#define BMSD_POLLER_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "bmsd/driver.h"
#include "bmsd/pack.h"
#include "bmsd/sample.h"
#include "common/cleanup.h"

struct poller;

struct poller_settings {
	const char *device; /* borrowed, as long as the poller lives */
	unsigned baud;
	uint64_t interval_msec;
	uint64_t timeout_msec; /* for one answer */
	struct sample_limits limits;
};

/* Called after every poll and every change of the link. */
typedef void (*poller_changed_fn)(void *userdata);

/* pack is borrowed. The first attempt to open is made by the loop, not here. */
_must_check_ int poller_new(sd_event *event, const struct driver *driver,
			    const struct poller_settings *settings, struct pack *pack,
			    poller_changed_fn changed, void *userdata, struct poller **ret);
struct poller *poller_free(struct poller *p);
DEFINE_CLEANUP(struct poller *, poller_free);

/* When the poller last did something (monotonic). */
int64_t poller_progress_msec(const struct poller *p);
/* It should have done something by now and has not: the watchdog must not be fed. */
bool poller_is_stuck(const struct poller *p, int64_t now_msec);

#endif
