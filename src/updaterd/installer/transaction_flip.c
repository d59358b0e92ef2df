/* SPDX-License-Identifier: Apache-2.0 */
#include "transaction_steps.h"

#include "updaterd/record.h"
#include "updaterd/swap.h"

/* ---- the flip ---- */

/* From here on the way forth and the way back take no space any more. */
int step_prepare_links(struct transaction *t)
{
	int r = swap_prepare(store_dirfd(t->store), &t->to, &t->from,
			     transaction_before_previous(t));

	return r < 0 ? transaction_io_failure(t, r, "making the links") : 0;
}

int step_flip_previous(struct transaction *t)
{
	int r = swap_previous(store_dirfd(t->store));

	return r < 0 ? transaction_io_failure(t, r, "flipping 'previous'") : 0;
}

int step_journal_trial(struct transaction *t)
{
	int r = journal_set_u64(t->state->journal, "tries", 1);

	return r < 0 ? transaction_io_failure(t, r, "the journal")
		     : transaction_write_journal(t, JOURNAL_TRIAL);
}

int step_flip_current(struct transaction *t)
{
	int r = swap_current(store_dirfd(t->store));

	return r < 0 ? transaction_io_failure(t, r, "flipping 'current'") : 0;
}

int step_settle(struct transaction *t)
{
	int r = swap_settle(store_dirfd(t->store), &t->to);

	return r < 0 ? transaction_io_failure(t, r, "reading 'current' back") : 0;
}

/* ---- the trial ---- */

int step_restart(struct transaction *t)
{
	return trial_restart(&t->trial, &t->start, &t->result->failure);
}

int step_probe(struct transaction *t)
{
	return trial_judge(&t->trial, &t->start, &t->result->failure);
}

static int note_confirmed(struct transaction *t)
{
	int r;

	if (t->request->is_rollback) {
		r = state_pardon(t->state, &t->to);
		return r < 0 ? r : state_set_quarantine(t->state, &t->from);
	}
	r = state_raise_floor(t->state, &t->to);
	return r < 0 ? r : state_clear_failures(t->state, &t->to);
}

int step_journal_confirmed(struct transaction *t)
{
	_cleanup_(state_known_done) struct state_known before = { 0 };
	struct result confirmed = *t->result;
	int r;

	confirmed.outcome = OUTCOME_CONFIRMED;
	confirmed.failure.reason = t->request->is_rollback ? REASON_OPERATOR : REASON_NONE;
	confirmed.failure.text[0] = '\0';
	confirmed.downtime_ms = t->trial.downtime.total_msec;
	r = state_save(t->state, t->program->letter, &before);
	if (r < 0)
		return transaction_io_failure(t, r, "writing the journal");
	r = note_confirmed(t);
	if (r == 0)
		r = record_durably(t->state->journal, JOURNAL_CONFIRMED, &confirmed);
	if (r < 0) {
		/* What is not confirmed raises no floor, also not with the next write. */
		(void)!state_restore(t->state, t->program->letter, &before);
		return transaction_io_failure(t, r, "writing the journal");
	}
	*t->result = confirmed;
	return 0;
}
