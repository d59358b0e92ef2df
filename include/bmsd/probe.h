/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bmsd --probe: is the daemon that now answers at least as well as before? (docs/PROTOCOL.md, "The
 * probe"). Everything is judged against the baseline, never in the absolute: a pack that was not
 * there before need not be there now. But for one thing: a daemon to which its configuration left no
 * pack shows nothing that could be judged, and is bad, before as well as after.
 */
#ifndef BMSD_PROBE_H
#define BMSD_PROBE_H

#include <cjson/cJSON.h>

#include "common/cleanup.h"

/* Exit statuses of the probe. */
enum probe_verdict {
	PROBE_WELL = 0,
	PROBE_NOT_YET = 1,
	PROBE_BAD = 2,
	PROBE_NOT_NOW = 3,
	PROBE_OTHER_VERSION = 4,
};

/* The state of charge that a board says may move this much between the two looks. */
#define PROBE_SOC_TOLERANCE_PERCENT	     3
/* bmsd's own, which it must have brought over the restart; little flows while an upgrade is let in. */
#define PROBE_OWN_SOC_TOLERANCE_CENTIPERCENT 100
/* An error rate is damning only once it stands on this many polls; before, it is "not yet". */
#define PROBE_RATE_POLLS		     20
#define PROBE_RATE_FLOOR_PERMILLE	     50

/* health as health_build() makes it, of any version: a member that is missing is not judged.
 * reasons is an array that sentences are added to. */
enum probe_verdict probe_judge_before(const cJSON *health, cJSON *reasons);
/* baseline may be NULL (none), expected_version too (any). */
enum probe_verdict probe_judge_after(const cJSON *baseline, const cJSON *health,
				     const char *expected_version, cJSON *reasons);

/* The command: environment and standard input as the protocol has it, prints one JSON object. */
enum probe_verdict probe_run(void);

#endif
