/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/transaction.h"

#include <string.h>

#include "common/log.h"
#include "transaction_steps.h"
#include "updaterd/record.h"
#include "updaterd/swap.h"

static void transaction_done(struct transaction *t)
{
	(void)store_close(t->store);
	close_fd(&t->stage_fd);
	free(t->probe_release);
	trial_done(&t->trial);
}

/* How much of the whole a step stands for, for people who wait. */
unsigned transaction_percent_of(enum step step)
{
	static const unsigned char percents[_STEP_MAX] = {
		[STEP_CHECK] = 2,    [STEP_STAGE] = 10, [STEP_BACKUP] = 50,   [STEP_SWAP] = 65,
		[STEP_RESTART] = 70, [STEP_PROBE] = 80, [STEP_ROLLBACK] = 90, [STEP_CONFIRM] = 98,
	};

	return percents[step];
}

void transaction_tell(const struct transaction *t, enum step step, unsigned percent)
{
	if (t->hooks->progress)
		t->hooks->progress(t->hooks->userdata, step, percent);
}

/* What was asked for is no error, and what was said before is no news. */
static int level_of(const struct transaction *t)
{
	enum reason reason = t->result->failure.reason;

	if (reason == REASON_NOT_NOW)
		return t->is_overdue ? LOG_ERR : LOG_NOTICE;
	if (reason == REASON_INTERRUPTED || reason == REASON_OPERATOR)
		return LOG_NOTICE;
	return reason == REASON_HELD || reason == REASON_QUARANTINED ? LOG_INFO : LOG_ERR;
}

static bool is_going_down(const struct transaction *t)
{
	const struct service *service = &t->trial.service;

	return service->ops->is_going_down(service->userdata);
}

static enum reason called_off(const struct transaction *t)
{
	return t->hooks->called_off ? t->hooks->called_off(t->hooks->userdata) : REASON_NONE;
}

static int end_called_off(struct transaction *t, enum reason reason)
{
	t->is_going_down = is_going_down(t);
	return failure_set(&t->result->failure, -ECANCELED, reason, "%s",
			   t->is_going_down ? "the machine was shut down" : "it was called off");
}

/* A machine that goes down takes the program with it, and perhaps before anybody has told us. What the trial
 * then saw is not the release's fault. */
static int excuse(struct transaction *t, int error)
{
	enum reason reason = called_off(t);

	if (reason == REASON_NONE && is_going_down(t))
		reason = REASON_INTERRUPTED;
	return reason == REASON_NONE ? error : end_called_off(t, reason);
}

static int do_step(struct transaction *t, enum step step, int (*run)(struct transaction *t))
{
	enum reason reason = step == STEP_CONFIRM ? REASON_NONE : called_off(t);
	int r;

	if (reason != REASON_NONE)
		return end_called_off(t, reason);
	r = run(t);
	return r < 0 && (step == STEP_RESTART || step == STEP_PROBE) ? excuse(t, r) : r;
}

/* One step of the story: told, done, and logged if it fails. */
static int step(struct transaction *t, enum step step, int (*run)(struct transaction *t))
{
	struct result *result = t->result;
	int r;

	if (result->step != step)
		transaction_tell(t, step, transaction_percent_of(step));
	result->step = step;
	r = do_step(t, step, run);
	if (r >= 0)
		return r;
	log_write(level_of(t), "%s of program %c from '%s' to '%s': %s: %s (%s)", result->kind,
		  result->program, result->from, result->to, step_name(step), result->failure.text,
		  reason_name(result->failure.reason));
	return r;
}

int transaction_io_failure(struct transaction *t, int error, const char *what)
{
	return failure_set_errno(&t->result->failure, error, "%s", what);
}

int transaction_write_journal(struct transaction *t, enum journal_state state)
{
	int r = record_durably(t->state->journal, state, t->result);

	return r < 0 ? transaction_io_failure(t, r, "writing the journal") : 0;
}

const struct version *transaction_before_previous(const struct transaction *t)
{
	return t->has_before_previous ? &t->before_previous : NULL;
}

/* ---- ends ---- */

/* The result is kept before anything is tidied up: what a crash then leaves is only litter. */
static int finish(struct transaction *t, enum outcome outcome, int (*tidy)(struct transaction *t))
{
	struct result *result = t->result;
	int r;

	result->outcome = outcome;
	result->share.duration_ms += t->trial.service.ops->now_msec(t->trial.service.userdata) -
				     t->began_msec;
	result->downtime_ms = t->trial.downtime.total_msec;
	record_versions(t->state->conf, result);
	r = result_keep(t->state->dirfd, result);
	if (r < 0) {
		log_error("cannot keep the result of '%s': %s", result->txid, strerror(-r));
		/* The journal has its blocks on a full disk too: recovery will know what it was. */
		(void)!record_durably(t->state->journal, journal_state(t->state->journal), result);
		return r;
	}
	r = tidy ? tidy(t) : 0;
	if (r < 0)
		return r;
	r = swap_clear(store_dirfd(t->store));
	if (r == 0)
		r = state_prune(t->store, NULL);
	if (r < 0)
		log_warning("cannot prune '%s': %s", t->program->space, strerror(-r));
	r = state_end_attempt(t->state);
	if (r < 0)
		log_error("cannot close '%s' in the journal: %s", result->txid, strerror(-r));
	return r;
}

/* Where that fails the attempt is not over, and recovery goes on with it. */
static int put_links_back(struct transaction *t)
{
	int r;

	close_fd(&t->stage_fd);
	t->stage_fd = FD_NONE;
	if (journal_state(t->state->journal) < JOURNAL_READY)
		return 0;
	r = swap_undo(store_dirfd(t->store), &t->from, transaction_before_previous(t));
	if (r < 0)
		log_error("cannot put back the links of '%s': %s", t->program->space, strerror(-r));
	return r;
}

static enum outcome outcome_of(enum reason reason)
{
	if (reason == REASON_NOT_NOW || reason == REASON_HELD)
		return OUTCOME_POSTPONED;
	return reason >= REASON_BAD_SIGNATURE && reason <= REASON_TAR_CONTENT ? OUTCOME_REFUSED
									      : OUTCOME_FAILED;
}

/* Before the commit point: the old version runs and was never touched. */
static int abandon(struct transaction *t)
{
	return finish(t, outcome_of(t->result->failure.reason), put_links_back);
}

/* A disk that fails is not the release's fault, nor is a probe that could not be run before. */
static bool is_release_to_blame(const struct transaction *t)
{
	enum reason reason = t->result->failure.reason;

	return !t->request->is_rollback && trial_reason_blames_release(reason) &&
	       (reason != REASON_PROBE_FAILED || t->trial.had_answer);
}

static int count_failure(struct transaction *t)
{
	bool is_quarantined;
	int r;

	/* A person who called its trial off does not want it again in the next night. */
	if (!t->request->is_rollback && t->result->failure.reason == REASON_OPERATOR)
		return state_set_quarantine(t->state, &t->to);
	if (!is_release_to_blame(t))
		return 0;
	r = state_count_failure(t->state, &t->to, &is_quarantined);
	if (r == 0 && is_quarantined)
		log_notice("'%s' failed %u times and is quarantined", t->to.text,
			   STATE_MAX_FAILURES);
	return r;
}

static void restart_old(struct transaction *t)
{
	char *text = t->result->failure.text;
	size_t used = strlen(text);
	struct failure failure;

	if (trial_restart(&t->trial, &t->start, &failure) == 0)
		return;
	log_error("'%s' after the roll back: %s", t->from.text, failure.text);
	(void)snprintf(text + used, sizeof t->result->failure.text - used,
		       "; and %s after the roll back: %s", t->from.text, failure.text);
}

/* After the commit point: the same flip back, and the old version must run again. */
static int roll_back(struct transaction *t)
{
	int r;

	transaction_tell(t, STEP_ROLLBACK, transaction_percent_of(STEP_ROLLBACK));
	/* Should the way back be cut, recovery knows from this why it was begun. */
	t->result->outcome = OUTCOME_ROLLED_BACK;
	r = record_durably(t->state->journal, JOURNAL_TRIAL, t->result);
	if (r < 0)
		log_warning("cannot write down what is wrong with '%s': %s", t->to.text,
			    strerror(-r));
	r = swap_undo(store_dirfd(t->store), &t->from, transaction_before_previous(t));
	/* Nothing is left stopped, whatever `current` leads to: recovery sees to that. A machine that goes down
	 * starts nothing any more. */
	if (!t->is_going_down)
		restart_old(t);
	if (r < 0) {
		log_error("cannot roll '%s' back to '%s': %s", t->program->space, t->from.text,
			  strerror(-r));
		return r;
	}
	t->result->downtime_ms = t->trial.downtime.total_msec;
	r = count_failure(t);
	if (r == 0)
		r = record_durably(t->state->journal, JOURNAL_ROLLED_BACK, t->result);
	if (r < 0) {
		log_error("cannot write the roll back to '%s' down: %s", t->from.text,
			  strerror(-r));
		return r;
	}
	log_notice("rolled '%s' back from '%s' to '%s'", t->program->name, t->to.text,
		   t->from.text);
	return finish(t, OUTCOME_ROLLED_BACK, NULL);
}

static int confirm(struct transaction *t)
{
	transaction_tell(t, STEP_CONFIRM, 100);
	log_notice("'%s' now runs '%s' (before: '%s', down for %llu ms)", t->program->name,
		   t->to.text, t->from.text, (unsigned long long)t->trial.downtime.total_msec);
	return finish(t, OUTCOME_CONFIRMED, NULL);
}

/* ---- repair ---- */

/* What runs, damaged, is replaced by the same release, whole. There is no way back, and none is wanted:
 * cut before the exchange nothing has changed, cut after it the damage is gone. */
static int repair(struct transaction *t)
{
	if (step(t, STEP_STAGE, step_journal_staging) < 0 || /* 1 */
	    step(t, STEP_STAGE, step_unpack_again) < 0 ||    /* 2 */
	    step(t, STEP_STAGE, step_read_again) < 0 ||	     /* 3 */
	    step(t, STEP_SWAP, step_replace) < 0)	     /* 4  <== COMMIT POINT */
		return abandon(t);

	if (step(t, STEP_RESTART, step_restart) < 0 ||	       /* 5 */
	    step(t, STEP_PROBE, step_probe) < 0 ||	       /* */
	    step(t, STEP_CONFIRM, step_journal_confirmed) < 0) /* 6 */
		return finish(t, OUTCOME_FAILED, NULL);

	transaction_tell(t, STEP_CONFIRM, 100);
	log_notice("'%s': '%s' was damaged and is repaired (down for %llu ms)", t->program->name,
		   t->to.text, (unsigned long long)t->trial.downtime.total_msec);
	return finish(t, OUTCOME_CONFIRMED, NULL);
}

/* The order is the safety argument: what each step relies on is durable before it begins, and only
 * one of them changes what runs. */
static int run(struct transaction *t)
{
	if (step(t, STEP_CHECK, step_judge_request) < 0 || /*  0 */
	    step(t, STEP_CHECK, step_check_hold) < 0 ||	   /*    */
	    step(t, STEP_CHECK, step_check_space) < 0 ||   /*    */
	    step(t, STEP_CHECK, step_ask_program) < 0)	   /*    */
		return abandon(t);
	if (t->is_repair)
		return repair(t);

	if (step(t, STEP_STAGE, step_journal_staging) < 0 || /*  1 */
	    step(t, STEP_STAGE, step_unpack) < 0 ||	     /*  2 */
	    step(t, STEP_STAGE, step_read_again) < 0 ||	     /*  3 */
	    step(t, STEP_STAGE, step_seal) < 0 ||	     /*  4 */
	    step(t, STEP_BACKUP, step_back_up) < 0 ||	     /*  5 */
	    step(t, STEP_BACKUP, step_journal_ready) < 0 ||  /*  6 */
	    step(t, STEP_SWAP, step_prepare_links) < 0 ||    /*  7 */
	    step(t, STEP_SWAP, step_flip_previous) < 0 ||    /*  8 */
	    step(t, STEP_SWAP, step_journal_trial) < 0 ||    /*  9 */
	    step(t, STEP_SWAP, step_flip_current) < 0)	     /* 10  <== COMMIT POINT */
		return abandon(t);

	if (step(t, STEP_SWAP, step_settle) < 0 ||	       /* 11 */
	    step(t, STEP_RESTART, step_restart) < 0 ||	       /* 12 */
	    step(t, STEP_PROBE, step_probe) < 0 ||	       /*    */
	    step(t, STEP_CONFIRM, step_journal_confirmed) < 0) /* 13  good … */
		return roll_back(t);			       /*     … or bad */

	return confirm(t); /* 14 */
}

int transaction_run(struct state *s, struct service service,
		    const struct transaction_request *request,
		    const struct transaction_hooks *hooks, struct result *ret)
{
	static const struct transaction_hooks no_hooks;
	_cleanup_(transaction_done) struct transaction t = {
		.state = s,
		.request = request,
		.hooks = hooks ? hooks : &no_hooks,
		.stage_fd = FD_NONE,
		.trial.service = service,
		.began_msec = service.ops->now_msec(service.userdata),
		.result = ret,
	};
	int r;

	*ret = (struct result){ 0 };
	r = transaction_begin(&t);
	return r < 0 ? r : run(&t);
}
