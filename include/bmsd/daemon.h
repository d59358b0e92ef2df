/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon: restores the state, polls the packs, serves the bus, saves now and then and at
 * SIGTERM. READY=1 is said when it can serve, not when a pack answers.
 */
#ifndef BMSD_DAEMON_H
#define BMSD_DAEMON_H

#include "bmsd/conf.h"
#include "common/cleanup.h"

/* Runs until SIGTERM or SIGINT; 0 then. -EBUSY if another bmsd uses the state directory. Failures
 * are logged. If the process dies, what was noted since the last save is lost, nothing else. */
_must_check_ int daemon_run(const struct bmsd_conf *conf);

#endif
