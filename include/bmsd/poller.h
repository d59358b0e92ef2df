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

#include "bmsd/capture.h"
#include "bmsd/driver.h"
#include "bmsd/pack.h"
#include "bmsd/sample.h"
#include "common/cleanup.h"

struct poller;

struct poller_settings {
	const char *device; /* link.h; borrowed, as long as the poller lives */
	unsigned baud;
	uint64_t interval_msec;
	uint64_t timeout_msec; /* for one answer */
	struct sample_limits limits;
	struct capture *capture; /* records the session, borrowed; or NULL */
};

/* Called after every poll and every change of the link. */
typedef void (*poller_changed_fn)(void *userdata);

/* pack is borrowed. The first attempt to open is made by the loop, not here. */
_must_check_ int poller_new(sd_event *event, const struct driver *driver,
			    const struct poller_settings *settings, struct pack *pack,
			    poller_changed_fn changed, void *userdata, struct poller **ret);
struct poller *poller_free(struct poller *p);
DEFINE_CLEANUP(struct poller *, poller_free);

/* A FET to be switched. */
struct poller_command {
	enum fet fet;
	bool on;
	/* Asked with the sample that was taken just before the command would be sent: is it still
	 * right? NULL: always. */
	bool (*may)(void *userdata, enum fet fet, bool on, const struct sample *sample);
	/* error: 0, the board took the command; -EREMOTEIO, it refused it; -ETIMEDOUT, it did not answer.
	 * All others: it was told nothing. -EBUSY, it was not right any more; -EAGAIN, the board did not
	 * answer the poll before it; -ENODATA, nor with a believable sample; -ENOTCONN, the line went
	 * away meanwhile. */
	void (*done)(void *userdata, enum fet fet, int error);
	void *userdata;
};

/* Polls, switches if the sample of that poll allows it, then polls at once. The policy is not here
 * (fet.h). done is called once, unless this fails or the poller is freed. -EOPNOTSUPP if the driver
 * cannot, -EBUSY while a command waits, -ENOTCONN without a line, -ENODATA before the first sample. */
_must_check_ int poller_set_fet(struct poller *p, const struct poller_command *command);

/* When the poller last did something (monotonic). */
int64_t poller_progress_msec(const struct poller *p);
/* It should have done something by now and has not: the watchdog must not be fed. */
bool poller_is_stuck(const struct poller *p, int64_t now_msec);

#endif
