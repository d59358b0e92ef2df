/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: the half of updaterd that talks to the network, as a user of its own. These are its
 * entrances, called from main.c.
 */
#ifndef UPDATERD_AGENT_H
#define UPDATERD_AGENT_H

#include <stdbool.h>

#include "common/cleanup.h"
#include "common/version.h"
#include "updaterd/conf.h"
#include "updaterd/medium.h"
#include "updaterd/progress.h"

/* One cycle, what the timer runs: deliver results, ask, and for each new version trust, fetch,
 * install, follow, report. An exit code. */
_must_check_ int agent_run_once(const struct conf *conf, struct progress *progress);

/* Only asks. The new versions are written to standard output, one a line. An exit code. */
_must_check_ int agent_check(const struct conf *conf, bool as_json);

/* Installs from a medium: program 0 means every configured one, version NULL the newest. An exit
 * code. */
_must_check_ int agent_install_from(const struct conf *conf, struct medium *medium, char program,
				    const struct version *version, struct progress *progress);

/* Delivers the results that wait. 0, or a negative errno that was logged. */
_must_check_ int agent_deliver(const struct conf *conf);

#endif
