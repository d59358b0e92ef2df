/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transaction, or a recovery, in a process of its own, so that the bus is answered meanwhile. The
 * worker tells its parent how far it is over a pipe, one line each:
 *
 *	recorded
 *	progress <step> <percent>
 *	refused <reason> <sentence>
 *
 * and exits 0 when the result is kept, or there was nothing to keep.
 */
#ifndef UPDATERD_WORKER_H
#define UPDATERD_WORKER_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "updaterd/conf.h"
#include "updaterd/failure.h"
#include "updaterd/transaction.h"

struct worker;

struct worker_events {
	void (*recorded)(void *userdata);
	void (*progress)(void *userdata, enum step step, unsigned percent);
	void (*refused)(void *userdata, const struct failure *failure);
	/* The worker is gone; free it. is_good: it exited 0. */
	void (*ended)(void *userdata, bool is_good);
	void *userdata;
};

/* request NULL: a recovery. SIGCHLD must be blocked. private_fd is closed in the worker (the bus, so
 * that its name does not outlive us). */
_must_check_ int worker_start(sd_event *event, const struct conf *conf,
			      const struct transaction_request *request, int private_fd,
			      const struct worker_events *events, struct worker **ret);
/* The attempt, unless it is confirmed already, ends before its next step, its trial now, for this reason:
 * REASON_OPERATOR or REASON_INTERRUPTED. */
void worker_call_off(struct worker *w, enum reason reason);
struct worker *worker_free(struct worker *w);
DEFINE_CLEANUP(struct worker *, worker_free);

#endif
