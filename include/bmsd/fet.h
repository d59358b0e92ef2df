/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May an operator switch one of a board's two switches (FETs), and what is to be sent to the board
 * now? Policy only; the driver sends. Pure: time and samples come from the caller.
 *
 * - Only on request, with a reason, and for a lease, after which the switch is given back to the
 *   board (or until somebody says otherwise). What a request holds off is a lock; it survives a restart, and is
 *   asserted again if the board forgets it, but not where the configuration does not allow it any more.
 *   That a switch is still to be given back survives a restart too.
 * - A switch is never opened while the current is not known. The discharge switch is never opened while more
 *   than open_max_ua flows either way (somebody rides, or brakes into the pack); the charge switch not while
 *   more than that is drawn (it would flow through the switch's diode). That holds at the moment of
 *   sending too, not only when asked.
 * - "on" takes back the lock. It cannot override the board's own protections.
 */
#ifndef BMSD_FET_H
#define BMSD_FET_H

#include <stdbool.h>
#include <stdint.h>

#include "bmsd/sample.h"
#include "common/cleanup.h"

enum fet {
	FET_CHARGE,
	FET_DISCHARGE,
	FET_COUNT,
};

#define FET_REASON_BYTES  96
#define FET_REFUSAL_BYTES 160

struct fet_settings {
	bool allowed; /* default: no */
	int64_t open_max_ua;
	uint64_t lease_max_sec;
};

struct fet_lock {
	bool locked; /* held off */
	char reason[FET_REASON_BYTES];
	uint64_t since_sec; /* by the wall clock */
	bool endless;	    /* until somebody says otherwise */
	uint64_t lease_left_msec;
};

/* For the state file. */
struct fet_memory {
	struct fet_lock locks[FET_COUNT];
	bool give_back[FET_COUNT]; /* not held off any more, but the board was not told yet */
};

struct fet_request {
	enum fet which;
	bool on;
	const char *reason;
	uint64_t lease_sec; /* at most lease_max_sec; 0: until somebody says otherwise */
};

enum fet_change {
	FET_CHANGE_NONE,
	FET_CHANGE_LEASE_OVER,
	FET_CHANGE_FAILED, /* sent FET_TRIES times, and the board does not do it; said once */
};

/* What is to be done after a step. */
struct fet_action {
	bool send;
	enum fet which;
	bool on;
	enum fet_change change;
	enum fet changed; /* whose */
};

struct fet_control {
	const struct fet_settings *settings; /* borrowed */
	struct fet_memory memory;
	unsigned sent[FET_COUNT];	/* without the effect */
	uint64_t pause_msec[FET_COUNT]; /* until it may be sent again */
};

/* "charge", "discharge"; never NULL. */
const char *fet_name(unsigned which);

/* elapsed_sec: how long the leases ran while nobody counted (0 if the clock is not to be trusted). */
void fet_init(struct fet_control *f, const struct fet_settings *settings,
	      const struct fet_memory *memory, uint64_t elapsed_sec);

/* sample: the latest if it is fresh, else NULL; can_switch: the driver is able to. 0: it is noted and
 * fet_step() will say what to send. -EPERM not allowed at all, -EINVAL, -EOPNOTSUPP, -EBUSY not now;
 * then a sentence in ret_refusal. */
_must_check_ int fet_request(struct fet_control *f, const struct fet_request *request,
			     const struct sample *sample, bool can_switch, uint64_t now_sec,
			     char ret_refusal[FET_REFUSAL_BYTES]);

/* Is the current such that this switch may be opened now? Not if it is not known. */
bool fet_may_open(const struct fet_control *f, enum fet which, const struct sample *sample);

/* What the last step said to send did not go out: it counts as no try, and is tried again soon. */
void fet_unsent(struct fet_control *f, enum fet which);

/* One step. To be called until neither send nor change is given, with 0 for the further calls: each
 * names one switch's. */
struct fet_action fet_step(struct fet_control *f, const struct sample *sample, uint64_t dt_msec);

#endif
