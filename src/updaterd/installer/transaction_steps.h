/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an attempt knows while it runs, and its steps: transaction.c has their order and nothing else, the
 * other files have what each does. All return 0, or a negative errno with result->failure set.
 *
 * What a power cut, or a failure, after each step finds on the disk, and what becomes of it:
 *
 *	step                  on the disk, durably                        the way back
 *	   begin              journal ACCEPTED: versions, target          the attempt failed
 *	0  judge … ask        old left-overs are gone; perhaps the        the same
 *	                      backup of the older release, or that
 *	1  journal_staging    journal STAGING                             the same
 *	2  unpack             releases/.stage-<txid>, all of it synced    the stage is swept
 *	3  read_again         the same, read back                         the same
 *	4  seal               releases/<to>, by one rename                it is pruned
 *	5  back_up            backups/<from>.tar.xz, read back            it is kept
 *	6  journal_ready      journal READY                               as 4
 *	7  prepare_links      current.new, previous.new, and .back        links are cleared; from here on
 *	                      of both                                     nothing takes space
 *	8  flip_previous      `previous` -> from                          previous.back is renamed onto it
 *	9  journal_trial      journal TRIAL                               as 8
 *	10 flip_current       perhaps `current` -> to: COMMIT POINT       current.back first, then 8
 *	11 settle             `current` -> to, read back                  the same
 *	12 restart, probe     nothing more                                the same, and `from` restarted
 *	13 journal_confirmed  journal CONFIRMED, with floor or            none: a person's roll back
 *	                      quarantine in the same write
 *	14 confirm            the result; then the rest is pruned;        none
 *	                      journal IDLE
 */
#ifndef UPDATERD_TRANSACTION_STEPS_H
#define UPDATERD_TRANSACTION_STEPS_H

#include "updaterd/store.h"
#include "updaterd/transaction.h"
#include "updaterd/trial.h"
#include "updaterd/verify.h"

struct transaction {
	struct state *state;
	const struct transaction_request *request;
	const struct transaction_hooks *hooks;
	const struct conf_program *program;
	struct store *store;
	struct version from, to;
	struct version before_previous;
	bool has_before_previous;
	struct release_target target;
	bool is_staged;	    /* `to` is a complete release already */
	bool is_repair;	    /* `to` is `from`, which is damaged */
	bool is_restored;   /* `to` is damaged, and comes from its backup */
	bool is_overdue;    /* the program has said "not now" for too long */
	bool is_going_down; /* it was called off because the machine is being shut down */
	int stage_fd;
	char *probe_release;
	struct trial trial;
	struct service_start start;
	uint64_t began_msec;
	struct result *result;
};

/* ---- what steps have in common (transaction.c) ---- */

/* How much of the whole a step stands for, for people who wait. */
unsigned transaction_percent_of(enum step step);
void transaction_tell(const struct transaction *t, enum step step, unsigned percent);
int transaction_io_failure(struct transaction *t, int error, const char *what);
_must_check_ int transaction_write_journal(struct transaction *t, enum journal_state state);
/* What `previous` led to, NULL if there was none. */
const struct version *transaction_before_previous(const struct transaction *t);

/* ---- before anything is changed (transaction_begin.c, transaction_check.c) ---- */

/* Finds the versions and records the attempt. What fails here was never an attempt. */
_must_check_ int transaction_begin(struct transaction *t);
_must_check_ int step_judge_request(struct transaction *t);
_must_check_ int step_check_hold(struct transaction *t);
_must_check_ int step_check_space(struct transaction *t);
_must_check_ int step_ask_program(struct transaction *t);

/* ---- the new release (transaction_stage.c) ---- */

_must_check_ int step_journal_staging(struct transaction *t);
/* Nothing, if it is there. */
_must_check_ int step_unpack(struct transaction *t);
_must_check_ int step_read_again(struct transaction *t);
_must_check_ int step_seal(struct transaction *t);
_must_check_ int step_back_up(struct transaction *t);
_must_check_ int step_journal_ready(struct transaction *t);
/* Of a repair: into a stage whatever is there, which takes the place of the damaged release. */
_must_check_ int step_unpack_again(struct transaction *t);
_must_check_ int step_replace(struct transaction *t);

/* ---- the flip and the trial (transaction_flip.c) ---- */

_must_check_ int step_prepare_links(struct transaction *t);
_must_check_ int step_flip_previous(struct transaction *t);
_must_check_ int step_journal_trial(struct transaction *t);
_must_check_ int step_flip_current(struct transaction *t);
_must_check_ int step_settle(struct transaction *t);
_must_check_ int step_restart(struct transaction *t);
_must_check_ int step_probe(struct transaction *t);
_must_check_ int step_journal_confirmed(struct transaction *t);

#endif
