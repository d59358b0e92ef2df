/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing: what is staged becomes what gateways see. Target files first, then the versioned
 * metadata, snapshot included, and timestamp.json last, by rename; each durable before the next.
 * Whoever reads before the last rename sees the old state whole, after it the new one. If we die
 * inside, the next call does the same again.
 */
#ifndef RELEASE_PUBLISH_H
#define RELEASE_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "release/repository.h"

struct publish_outcome {
	unsigned roles; /* versions of root, targets and programs that became visible */
	unsigned files; /* target files moved */
	bool timestamp; /* false: nothing was to do */
	uint64_t snapshot_version, timestamp_version;
};

/* renew_snapshot, renew_timestamp: even if nothing changed. */
_must_check_ int publish_run(struct repository *r, bool renew_snapshot, bool renew_timestamp,
			     struct publish_outcome *ret, struct problem *problem);
/* Stages a role (root, targets, a program) again with a new expiry. */
_must_check_ int publish_renew(struct repository *r, const char *role, struct problem *problem);

#endif
