/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a server wants to be left alone, as its Retry-After said: also by the next run, where that
 * begins before.
 *
 *	agent_dir/patience	"<since> <until>\n", both by the system clock
 *
 * A gateway must not be kept away by its own clock, so a wish counts only where the clock can be
 * believed: neither before the time of the build, nor set back to before the wish, nor far from it.
 */
#ifndef UPDATERD_PATIENCE_H
#define UPDATERD_PATIENCE_H

#include <stdint.h>

#include "common/cleanup.h"

#define PATIENCE_MAX_SEC 86400u

struct patience {
	int64_t since_sec, until_sec; /* 0: nothing was asked for */
};

/* A server asked for so long, now. What was asked for before, and is longer, stays. */
void patience_ask(struct patience *p, int64_t now_sec, uint64_t sec);
/* What is left of it; 0: none. */
uint64_t patience_left_sec(const struct patience *p, int64_t now_sec);

/* What an earlier run kept; nothing, if there is nothing that can be read. */
struct patience patience_load(int dirfd);
_must_check_ int patience_store(int dirfd, const struct patience *p);

#endif
