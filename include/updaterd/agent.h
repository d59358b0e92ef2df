/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: the half of updaterd that talks to the network, as a user of its own. These are its
 * entrances, called from main.c.
 */
#ifndef UPDATERD_AGENT_H
#define UPDATERD_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/version.h"
#include "updaterd/conf.h"
#include "updaterd/medium.h"
#include "updaterd/progress.h"

/* Instead of an exit code: updaterd itself was upgraded, and the new one is to go on. */
#define AGENT_REPLACED (-1)

/* One cycle, what the timer runs: deliver results, ask, and for each new version trust, fetch,
 * install, follow, report. An exit code, or AGENT_REPLACED. */
_must_check_ int agent_run_once(const struct conf *conf, struct progress *progress);

/* `updaterd --missed`: EXIT_OK if the last run that the query server answered is too long ago
 * (updaterd/answered.h), else EXIT_NOTHING_NEW; without a server there is nothing to miss. Changes nothing. */
_must_check_ int agent_look_whether_missed(const struct conf *conf);

/* Only asks. The new versions are written to standard output, one a line. An exit code. */
_must_check_ int agent_check(const struct conf *conf, bool as_json);

/* Installs from a medium: program 0 means every configured one, version NULL the newest. An exit
 * code. */
_must_check_ int agent_install_from(const struct conf *conf, struct medium *medium, char program,
				    const struct version *version, struct progress *progress);

/* `updaterd --trial`: one cycle of a new updater that changes nothing, with the proof at its end
 * (updaterd/updater_trial.h). An exit code; EXIT_TEMPORARY: the server was not reached, and all the rest
 * is well. */
_must_check_ int agent_trial(const struct conf *conf);
/* `updaterd --reach`: its first part, the server and the repository, to compare an old updater with. */
_must_check_ int agent_reach(const struct conf *conf);

/* What was fetched, and lies in the inbox as <sha256>.part. */
struct agent_fetched {
	char *target; /* the program file's path; NULL: it is a backup that the query server held */
	uint8_t sha256[SHA256_BYTES];
};

/* Fetches a version that is to be gone back to: its program file, or where the repository has none its
 * backup. Caller frees ret->target. An exit code. */
_must_check_ int agent_fetch_previous(const struct conf *conf, const struct version *version,
				      struct progress *progress, struct agent_fetched *ret);

/* Delivers the results that wait. 0, or a negative errno that was logged. */
_must_check_ int agent_deliver(const struct conf *conf);

#endif
