/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The new installer on trial: it reads the old one's state without changing it, verifies the release that
 * it is itself again, and writes the proof that the old installer waits for (updaterd/updater_trial.h).
 */
#ifndef UPDATERD_PROVE_H
#define UPDATERD_PROVE_H

#include "common/cleanup.h"
#include "common/version.h"
#include "updaterd/conf.h"
#include "updaterd/failure.h"

/* The system bus (docs/PROTOCOL.md). */
#define TRIAL_BUS_NAME	"org.bmsgateway.Updater1.Trial"
#define TRIAL_BUS_PATH	"/org/bmsgateway/Updater1/Trial"
#define TRIAL_BUS_IFACE "org.bmsgateway.Updater1.Trial"

/* own is the release that runs here, metadata_fd the trusted copies of the agent that is on trial with
 * it, work_fd a directory for a copy of the installer's own. ret_status is Status, to be freed by the
 * caller. The proof is written last. */
_must_check_ int prove(const struct conf *conf, const struct version *own, int metadata_fd,
		       int work_fd, char **ret_status, struct failure *failure);

/* `updaterd --installer --trial`: answers one Prove on the system bus, and leaves. An exit code. */
_must_check_ int prove_serve(const struct conf *conf);

#endif
