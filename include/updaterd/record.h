/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attempt that is under way, as the journal has it: enough to end it, and to write its result,
 * after a crash.
 */
#ifndef UPDATERD_RECORD_H
#define UPDATERD_RECORD_H

#include "common/cleanup.h"
#include "updaterd/conf.h"
#include "updaterd/journal.h"
#include "updaterd/result.h"
#include "updaterd/state.h"

/* Key of the version that `previous` led to before the attempt. */
#define RECORD_BEFORE_PREVIOUS "before_previous"
/* Key of the target's path, for who has to verify the release once more. A roll back has none. */
#define RECORD_TARGET	       "target"

/* All of these change the journal in memory; with durably in their name they write it. */

/* The facts of *r, and the state. */
_must_check_ int record_durably(struct journal *j, enum journal_state state,
				const struct result *r);
/* Nothing is under way any more. */
_must_check_ int record_end_durably(struct journal *j);

/* The attempt in the journal. -EBADMSG if it makes no sense. kind is a constant. */
_must_check_ int record_load(const struct journal *j, struct result *ret);

/* The JSON of a result: the one that is kept, or of an attempt that has ended and could not be kept yet.
 * -ENOENT. Caller frees. */
_must_check_ int record_find(const struct state *s, const char *txid, char **ret_json);

/* Fills in r->versions from what `current` of each program is now. */
void record_versions(const struct conf *conf, struct result *r);

#endif
