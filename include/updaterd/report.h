/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results on their way to the query server: those of the installer, and those of attempts that ended
 * before it had a part in them.
 */
#ifndef UPDATERD_REPORT_H
#define UPDATERD_REPORT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/reason.h"
#include "common/version.h"
#include "updaterd/context.h"
#include "updaterd/failure.h"
#include "updaterd/outbox.h"

/* One attempt, as the agent sees it. */
struct attempt {
	char txid[TXID_LENGTH + 1];
	struct version version;
	const char *kind, *file;	    /* RESULT_KIND_…, RESULT_FILE_… or NULL */
	enum step step;			    /* the one under way */
	uint64_t started_sec, started_msec; /* by the run's time; CLOCK_BOOTTIME */
	uint64_t bytes_fetched;
	uint32_t segments_fetched, segments_again;
	bool is_from_medium;
};

/* At an upgrade. */
_must_check_ int attempt_begin(struct attempt *a, const struct version *version,
			       const struct update_time *time);
/* The agent's share of the result, for Install. Caller frees. */
_must_check_ int attempt_share(const struct attempt *a, char **ret_json);

/* How an attempt that fails for this reason before the swap has ended. */
enum outcome report_outcome(enum reason reason);

/* The attempt ended in the agent: logs it, puts its result in the outbox and sets the exit code. */
void report_failure(struct context *c, const struct attempt *a, const struct failure *failure);
/* The installer has finished it: the exit code, and a line of log if it is not what was wanted. */
void report_finished(struct context *c, const cJSON *result);

/* Takes over the installer's results and sends all that wait. Failures are logged. Returns how many
 * wait still, or a negative errno. */
int report_deliver(struct context *c);

#endif
