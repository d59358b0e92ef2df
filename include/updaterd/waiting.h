/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was offered in the last run and waits for another program: the file `waiting` in the agent's
 * directory, a line for each,
 *
 *	<version offered> <version that it needs, or a newer one>
 *
 * which `updaterd --status` shows to who may read it. The agent's word, believed for nothing else.
 */
#ifndef UPDATERD_WAITING_H
#define UPDATERD_WAITING_H

#include <cjson/cJSON.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/version.h"
#include "updaterd/conf.h"

#define WAITING_FILE "waiting"

struct waiting {
	struct waiting_for {
		struct version version, needed;
	} list[CONF_MAX_PROGRAMS];
	size_t n;
};

/* What is more than there are programs is left out. */
void waiting_add(struct waiting *w, const struct version *version, const struct version *needed);
/* Of none: the file goes. */
_must_check_ int waiting_store(int dir_fd, const struct waiting *w);
/* -ENOENT: there is none; -EBADMSG: it is nothing of ours. */
_must_check_ int waiting_load(int dir_fd, struct waiting *ret);

/* Adds to the answer of Status what is the case still: to each program that waits a member
 * "waits":{"version":"B…","needs":"A…","why":"held"}, where why is "held", "quarantined" or "missing".
 * -ENOMEM. */
_must_check_ int waiting_add_to_status(const struct waiting *w, cJSON *status);

#endif
