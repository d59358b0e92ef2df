/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trial of a program after the flip: restart its unit, watch it, ask its probe, until it is
 * confirmed or judged bad. Knows units and probes, not spaces.
 */
#ifndef UPDATERD_TRIAL_H
#define UPDATERD_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "updaterd/conf.h"
#include "updaterd/failure.h"
#include "updaterd/service.h"
#include "updaterd/updater_trial.h"

/* How long the program was away, over all restarts of an attempt. */
struct downtime {
	bool is_down;
	uint64_t since_msec;
	uint64_t total_msec;
};

/* The release is to blame, not the machine. */
static inline bool trial_reason_blames_release(enum reason reason)
{
	return reason >= REASON_EXITED && reason <= REASON_PROBE_FAILED;
}

struct trial {
	const struct conf_program *program;
	struct service service;
	const char *version;	   /* on trial */
	const char *probe_release; /* the directory whose probe judges */
	char *baseline;		   /* what the probe printed before; NULL: none */
	bool had_answer;	   /* the probe could be run before */
	struct downtime downtime;
	/* Asked while it is watched: other than REASON_NONE ends the trial. May be NULL. */
	enum reason (*called_off)(void *userdata);
	void *userdata;
	/* Of a program with a trial_unit, which then stands in the place of its probe. Without txid there is
	 * none: a release that a person goes back to has proved itself before. */
	struct updater_trial updater;
};

/* Frees what it holds, and removes what the trial left in the installer's directory. */
void trial_done(struct trial *t);

/* Asks the running program whether now is a good time, and keeps its baseline. -EAGAIN with
 * REASON_NOT_NOW if it is none. A probe that fails gives no baseline, and is no failure here. */
_must_check_ int trial_ask_before(struct trial *t, const char *running_version,
				  struct failure *failure);
/* Restart; READY in time. */
_must_check_ int trial_restart(struct trial *t, struct service_start *ret, struct failure *failure);
/* After trial_restart(): until the probe says yes and the settling time is over, or -EIO with the
 * reason; -ECANCELED: called off. */
_must_check_ int trial_judge(struct trial *t, const struct service_start *start,
			     struct failure *failure);

#endif
