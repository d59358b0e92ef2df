/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finishes or undoes what a crash left, and repairs a `current` that is missing or dangling.
 * Idempotent; may itself be cut anywhere.
 *
 *	journal       what is done                                          result
 *	IDLE          sweep                                                 -
 *	ACCEPTED,     the old version stays; stage and new release go       failed, interrupted
 *	STAGING,
 *	READY
 *	TRIAL, or a   `current` and `previous` are put back, the program    rolled_back, interrupted;
 *	word that is  is restarted                                          or what it was judged
 *	not known                                                           for, if it was
 *	CONFIRMED     prune                                                 confirmed
 *	ROLLED_BACK   prune                                                 as the journal has it
 *
 * A trial that was called off, as by a shut-down, has its outcome in the journal, and is not counted.
 *
 * A `current` that does not lead to a release: `previous`, else the newest complete release, else
 * the factory's.
 */
#ifndef UPDATERD_RECOVER_H
#define UPDATERD_RECOVER_H

#include <stdbool.h>

#include "common/cleanup.h"
#include "updaterd/service.h"
#include "updaterd/state.h"

/* At boot a program is restarted only if it runs already, and every byte of what `current` leads to is
 * read. A space that is gone, or a part of it, is made again if the program is installed. The state must
 * be held. */
_must_check_ int recover(struct state *s, struct service service, bool at_boot);

/* Makes sure that `current` of a program's space leads to a complete release; thorough: whose files
 * match, too. 0: it did; 1: it was repaired; -ENOENT: there is nothing that it could point to; -EUCLEAN:
 * it is damaged, and there is nothing better. */
_must_check_ int recover_current(const struct conf_program *program, struct store *store,
				 bool is_thorough);

#endif
