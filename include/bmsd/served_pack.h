/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pack as the daemon serves it: its line, and all that a sample goes through, in this order
 *
 *	gates (poller)  estimator  lifetime  limits  alarms  history  state
 *
 * and what of it is worth an event, a line of the log, or a save at once. Lives in the event loop.
 */
#ifndef BMSD_SERVED_PACK_H
#define BMSD_SERVED_PACK_H

#include <systemd/sd-event.h>

#include "bmsd/conf.h"
#include "bmsd/events.h"
#include "bmsd/facts.h"
#include "bmsd/fet.h"
#include "bmsd/history.h"
#include "bmsd/poller.h"
#include "common/cleanup.h"

struct served_pack;

/* What all packs share; outlives them. */
struct served_shared {
	const struct bmsd_conf *conf;
	sd_event *event;
	int state_dirfd;
	int running_dirfd; /* in memory, for what outlives bmsd but not the machine; negative: none */
	struct events *events; /* from served_pack_start() on; NULL: there is no log */
	bool events_failure_said;
	char boot_id[STATE_BOOT_ID_BYTES];
	poller_changed_fn changed; /* something new is in the facts */
	void *userdata;
};

/* Restores what is on disk. Failures are logged. */
_must_check_ int served_pack_open(struct served_shared *shared, const struct bmsd_conf_pack *conf,
				  struct served_pack **ret);
/* Says what was restored, begins to poll. */
_must_check_ int served_pack_start(struct served_pack *p);
struct served_pack *served_pack_free(struct served_pack *p);
DEFINE_CLEANUP(struct served_pack *, served_pack_free);

/* Twice a second: what grows old, what is due. */
void served_pack_tick(struct served_pack *p);
/* Everything to the medium. 0, or the first error, which was logged. */
_must_check_ int served_pack_flush(struct served_pack *p);

void served_pack_look(const struct served_pack *p, int64_t now_msec, struct pack_facts *ret);
unsigned served_pack_number(const struct served_pack *p);
/* The highest number of an event that its state knows. */
uint64_t served_pack_event_sequence(const struct served_pack *p);
int64_t served_pack_saved_msec(const struct served_pack *p); /* -1: never */
int64_t served_pack_progress_msec(const struct served_pack *p);
bool served_pack_is_stuck(const struct served_pack *p, int64_t now_msec);
const struct history *served_pack_history(const struct served_pack *p);

/* As fet_request(). */
_must_check_ int served_pack_set_fet(struct served_pack *p, const struct fet_request *request,
				     char ret_refusal[FET_REFUSAL_BYTES]);
/* How many were cleared. */
int served_pack_reset_alarms(struct served_pack *p);

/* One event that is no pack's own; pack -1. Logged once if it cannot be kept. */
void served_shared_event(struct served_shared *shared, const struct event_new *event);

/* Now, as a state file wants it. */
struct state_stamp served_shared_stamp(const struct served_shared *shared);
/* The loop's monotonic time. */
int64_t served_shared_msec(const struct served_shared *shared);

#endif
