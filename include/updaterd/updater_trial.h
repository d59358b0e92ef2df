/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trial of a new updater, as the old installer leads it. The proof that an updater works is that it
 * can upgrade again: trial_unit runs the new agent, which reaches the query server, refreshes trust, and
 * calls the new installer (updaterd/prove.h), which verifies its own release again and writes the proof.
 *
 *	unit ended with 0, and the proof has this txid	good
 *	ended with 0 without proof			bad: unhealthy
 *	killed by a signal				bad: crashed
 *	could not be executed				bad: exited
 *	did not end in time, or ended with another	asked is the old updater: if it reaches the server,
 *	code (75: could not reach the server)		and the new one fails once more, it is bad:
 *							not-ready, cannot-reach, unhealthy, exited; if
 *							not, the world is down: again after a pause
 *
 * The installer's directory has the file `proof` from updater_trial_prepare() to updater_trial_forget().
 * The new installer may write to it alone. One left by a crash is judged by nobody: recovery undoes the
 * trial and removes it.
 */
#ifndef UPDATERD_UPDATER_TRIAL_H
#define UPDATERD_UPDATER_TRIAL_H

#include <stdbool.h>

#include "common/cleanup.h"
#include "updaterd/conf.h"
#include "updaterd/failure.h"
#include "updaterd/service.h"
#include "updaterd/state.h"

#define UPDATER_TRIAL_PROOF "proof"
/* The old updater, asked whether it reaches the server: an instance for each version. */
#define UPDATER_REACH_UNIT  "updaterd-reach@%s.service"

struct updater_trial {
	int installer_fd; /* borrowed, as all of it */
	const char *txid; /* NULL: no trial */
	const char *old_version;
	/* The release came from a medium: that nobody reaches the server says nothing. */
	bool is_offline_ok;
	/* May be NULL; userdata is of both. */
	void (*progress)(void *userdata, enum step step, unsigned percent);
	enum reason (*called_off)(void *userdata);
	void *userdata;
};

/* Makes the file for the proof, all of its blocks included, before anything is flipped. */
_must_check_ int updater_trial_prepare(int installer_fd);
/* The whole trial. 0, or -EIO with the reason; REASON_NETWORK: neither of the two reached the server
 * for trial_extend_max_sec. -ECANCELED: called off. */
_must_check_ int updater_trial_run(const struct updater_trial *u,
				   const struct conf_program *program, struct service service,
				   struct failure *failure);
/* Before recovery, where the journal says that an attempt was cut: stops what may have been on trial. */
void updater_trial_stop_left(const struct state *s, struct service service);
/* A missing file is success. */
_must_check_ int updater_trial_forget(int installer_fd);

#endif
