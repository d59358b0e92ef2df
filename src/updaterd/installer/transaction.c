/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/transaction.h"

#include <string.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "common/reltar.h"
#include "updaterd/backup.h"
#include "updaterd/record.h"
#include "updaterd/stage.h"
#include "updaterd/swap.h"
#include "updaterd/trial.h"
#include "updaterd/verify.h"

#define MAX_DURATION_SEC 604800u /* a week */
#define FREED_TRIES	 10u
#define FREED_PAUSE_MSEC 100u

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
	bool is_staged;	  /* `to` is a complete release already */
	bool is_repair;	  /* `to` is `from`, which is damaged */
	bool is_restored; /* `to` is damaged, and comes from its backup */
	bool is_overdue;  /* the program has said "not now" for too long */
	int stage_fd;
	char *probe_release;
	struct trial trial;
	struct service_start start;
	uint64_t began_msec;
	struct result *result;
};

static void transaction_done(struct transaction *t)
{
	(void)store_close(t->store);
	close_fd(&t->stage_fd);
	free(t->probe_release);
	trial_done(&t->trial);
}

/* How much of the whole a step stands for, for people who wait. */
static unsigned percent_of(enum step step)
{
	static const unsigned char percents[_STEP_MAX] = {
		[STEP_CHECK] = 2,    [STEP_STAGE] = 10, [STEP_BACKUP] = 50,   [STEP_SWAP] = 65,
		[STEP_RESTART] = 70, [STEP_PROBE] = 80, [STEP_ROLLBACK] = 90, [STEP_CONFIRM] = 98,
	};

	return percents[step];
}

static void tell(const struct transaction *t, enum step step, unsigned percent)
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
	return reason == REASON_HELD || reason == REASON_QUARANTINED ? LOG_INFO : LOG_ERR;
}

/* One step of the story: told, done, and logged if it fails. */
static int step(struct transaction *t, enum step step, int (*run)(struct transaction *t))
{
	struct result *result = t->result;
	int r;

	if (result->step != step)
		tell(t, step, percent_of(step));
	result->step = step;
	r = run(t);
	if (r >= 0)
		return r;
	log_write(level_of(t), "%s of program %c from '%s' to '%s': %s: %s (%s)", result->kind,
		  result->program, result->from, result->to, step_name(step), result->failure.text,
		  reason_name(result->failure.reason));
	return r;
}

static int io_failure(struct transaction *t, int error, const char *what)
{
	return failure_set_errno(&t->result->failure, error, "%s", what);
}

/* ---- before anything is changed ---- */

/* A person goes back with a file that was fetched for it, since what was kept is damaged: the same
 * version, and nothing below it. */
static int judge_way_back(struct transaction *t)
{
	const struct version *version = &t->target.version;

	if (!t->target.is_patch && strcmp(version->text, t->to.text) == 0)
		return 0;
	return failure_set(&t->result->failure, -EPERM, REASON_NO_PREVIOUS,
			   "'%s' is not the full file of %s, the previous version",
			   t->request->target, t->to.text);
}

static int judge_upgrade(struct transaction *t)
{
	int r;

	t->to = t->target.version;
	memcpy(t->result->to, t->to.text, sizeof t->result->to);
	r = verify_admit(t->state, &t->target, &t->result->failure);
	t->is_repair = r > 0;
	if (t->is_repair)
		t->result->kind = RESULT_KIND_REPAIR;
	return r;
}

static int judge_request(struct transaction *t)
{
	struct failure *failure = &t->result->failure;
	int r;

	if (t->request->program_fd < 0)
		return 0;
	r = verify_target(t->state, t->request->metadata_fd, t->request->target, &t->target,
			  failure);
	if (r < 0)
		return r;
	if (t->target.version.program != t->program->letter)
		return failure_set(failure, -EPERM, REASON_WRONG_PROGRAM,
				   "'%s' is no release of program %c", t->request->target,
				   t->program->letter);
	t->result->share.file = t->target.is_patch ? RESULT_FILE_PATCH : RESULT_FILE_FULL;
	return t->request->is_rollback ? judge_way_back(t) : judge_upgrade(t);
}

/* A person who goes back, or a repair, is no upgrade. */
static bool is_upgrade(const struct transaction *t)
{
	return !t->request->is_rollback && !t->is_repair;
}

static int check_hold(struct transaction *t)
{
	uint64_t now_sec = (uint64_t)verify_time(t->state).now_sec;

	if (!is_upgrade(t) || state_held_until(t->state, t->program->letter, now_sec) == 0)
		return 0;
	return failure_set(&t->result->failure, -EAGAIN, REASON_HELD, "program %c is held",
			   t->program->letter);
}

/* What is removed is free on some file systems only a little later. */
static int check_space_again(const struct transaction *t)
{
	const struct service *service = &t->trial.service;
	int r = -ENOSPC;

	(void)syncfs(store_dirfd(t->store));
	for (unsigned i = 0; i < FREED_TRIES && r == -ENOSPC; i++) {
		if (i > 0)
			service->ops->pause(service->userdata, FREED_PAUSE_MSEC);
		r = store_check_space(t->store, t->target.tar_length_bytes);
	}
	return r;
}

/* What the invariants do not need goes when it must: first the backup of the older release, since that
 * is there; then that release, if that helps. A release that nobody could go back to is worth less than
 * one that never comes. */
static int make_room(struct transaction *t)
{
	uint64_t bytes = t->target.tar_length_bytes;
	int r;

	r = check_space_again(t);
	if (r != -ENOSPC || !t->has_before_previous)
		return r;
	r = store_backup_remove(t->store, &t->before_previous);
	if (r == 0)
		r = check_space_again(t);
	if (r != -ENOSPC)
		return r;
	r = store_would_free_enough(t->store, &t->before_previous, bytes);
	if (r <= 0)
		return r < 0 && r != -ENOENT ? r : -ENOSPC;
	log_notice("'%s' is full: '%s' goes to make room for '%s'", t->program->space,
		   t->before_previous.text, t->to.text);
	t->has_before_previous = false;
	r = journal_set(t->state->journal, RECORD_BEFORE_PREVIOUS, NULL);
	return r < 0 ? r : store_remove_release(t->store, &t->before_previous);
}

/* The way back takes nearly nothing, and gets that from what it does not need. */
static void make_room_for_rollback(struct transaction *t)
{
	if (t->is_restored || store_check_space(t->store, 0) != -ENOSPC)
		return;
	(void)!store_backup_remove(t->store, &t->to);
	(void)check_space_again(t);
}

/* What earlier attempts left goes first, so that a full disk is no reason to stay old. */
static int check_space(struct transaction *t)
{
	int r;

	r = state_prune(t->store, NULL);
	if (t->request->is_rollback) {
		make_room_for_rollback(t);
		return 0;
	}
	if (r < 0)
		return io_failure(t, r, "pruning");
	r = store_check_space(t->store, t->target.tar_length_bytes);
	if (r == -ENOSPC)
		r = make_room(t);
	return r < 0 ? io_failure(t, r, "checking free space") : 0;
}

/* It may say so for a time. After that somebody has to know. */
static int postpone(struct transaction *t)
{
	uint64_t now_sec = (uint64_t)verify_time(t->state).now_sec, since_sec;
	struct failure *failure = &t->result->failure;
	char letter = t->program->letter;
	size_t used = strlen(failure->text);

	if (state_note_postponed(t->state, letter, now_sec) < 0)
		return -EAGAIN;
	since_sec = state_postponed_since(t->state, letter);
	t->is_overdue = now_sec >= since_sec && now_sec - since_sec >= t->program->postpone_max_sec;
	if (t->is_overdue)
		(void)snprintf(failure->text + used, sizeof failure->text - used,
			       "; so it has said for %llu hours",
			       (unsigned long long)(now_sec - since_sec) / 3600);
	return -EAGAIN;
}

static int ask_program(struct transaction *t)
{
	int r;

	/* A person who asks for the way back has decided about the time, and what is to be compared
	 * with may be what is broken. */
	if (t->request->is_rollback)
		return 0;
	r = trial_ask_before(&t->trial, t->from.text, &t->result->failure);
	if (r < 0 && t->result->failure.reason == REASON_NOT_NOW)
		return postpone(t);
	if (r == 0 && state_clear_postponed(t->state, t->program->letter) < 0)
		r = io_failure(t, -ENOMEM, "the journal");
	return r;
}

/* ---- the new release ---- */

static int write_journal(struct transaction *t, enum journal_state state)
{
	int r = record_durably(t->state->journal, state, t->result);

	return r < 0 ? io_failure(t, r, "writing the journal") : 0;
}

static int journal_staging(struct transaction *t)
{
	return write_journal(t, JOURNAL_STAGING);
}

/* 1 if the release is in the space already, with the bytes that were signed. One with others goes, but
 * for one that a person goes back to: that is replaced when there is something better. */
static int is_there(struct transaction *t)
{
	_cleanup_(reltar_view_closep) struct reltar_view *view = NULL;
	_cleanup_close_ int fd = store_open_release(t->store, &t->to);
	uint8_t sha256[SHA256_BYTES];
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = store_check_release(t->store, &t->to, NULL);
	if (r == 0)
		r = reltar_view_open(fd, &view);
	if (r == 0)
		r = reltar_view_sha256(view, sha256);
	if (fs_is_accident(r))
		return r;
	if (r == 0 && memcmp(sha256, t->target.tar_sha256, sizeof sha256) == 0)
		return 1;
	return t->request->is_rollback ? 0 : store_remove_release(t->store, &t->to);
}

static void report_unpacked(void *userdata, uint64_t done_bytes, uint64_t total_bytes)
{
	const struct transaction *t = userdata;
	unsigned from = percent_of(STEP_STAGE), to = percent_of(STEP_BACKUP) - 10;

	if (total_bytes > 0)
		tell(t, STEP_STAGE, from + (unsigned)(done_bytes * (to - from) / total_bytes));
}

static int unpack_patch(struct transaction *t, const struct stage_progress *progress)
{
	_cleanup_close_ int base_fd = store_open_release(t->store, &t->from);

	if (base_fd < 0)
		return io_failure(t, base_fd, "opening what the patch is from");
	return stage_patch(t->request->program_fd, &t->target, base_fd, t->stage_fd, progress,
			   &t->result->failure);
}

static int unpack_backup(struct transaction *t)
{
	_cleanup_close_ int backup_fd = store_backup_open(t->store, &t->to);

	if (backup_fd < 0)
		return io_failure(t, backup_fd, "opening the backup");
	return stage_restore(backup_fd, &t->to, t->target.tar_sha256,
			     t->state->conf->max_program_bytes, t->stage_fd, &t->result->failure);
}

static int unpack_into_stage(struct transaction *t)
{
	const struct stage_progress progress = { .report = report_unpacked, .userdata = t };

	t->stage_fd = store_stage_begin(t->store, t->result->txid);
	if (t->stage_fd < 0)
		return io_failure(t, t->stage_fd, "making the stage");
	if (t->is_restored)
		return unpack_backup(t);
	if (t->target.is_patch)
		return unpack_patch(t, &progress);
	return stage_unpack(t->request->program_fd, &t->target, t->stage_fd, &progress,
			    &t->result->failure);
}

static int unpack_release(struct transaction *t)
{
	int r;

	if (t->is_staged)
		return 0;
	r = t->is_restored ? 0 : is_there(t);
	if (r < 0)
		return io_failure(t, r, "looking for the release in the space");
	t->is_staged = r > 0;
	return t->is_staged ? 0 : unpack_into_stage(t);
}

static int read_again(struct transaction *t)
{
	if (t->is_staged)
		return 0;
	return stage_check(t->stage_fd, t->target.tar_sha256, &t->result->failure);
}

static int seal_release(struct transaction *t)
{
	int r;

	if (t->is_staged)
		return 0;
	r = store_stage_seal(t->store, t->result->txid, &t->to);
	if (r == -EEXIST && t->request->is_rollback)
		r = store_stage_replace(t->store, t->result->txid, &t->to);
	return r < 0 ? io_failure(t, r, "giving the release its name") : 0;
}

static int back_up_running(struct transaction *t)
{
	struct failure *failure = &t->result->failure;
	int r;

	/* The way back needs no backup of what it leaves, and must not fail because that is damaged. */
	if (t->request->is_rollback)
		return 0;
	r = backup_make(t->store, &t->from, t->state->conf->max_program_bytes, failure);
	if (r >= 0 || failure->reason != REASON_DAMAGED)
		return r;
	/* To stay on what is damaged would be no better, and there is nothing else to go back to. */
	log_warning("%s; '%s' replaces it all the same, without a backup of it", failure->text,
		    t->to.text);
	*failure = (struct failure){ .reason = REASON_NONE };
	return 0;
}

static int journal_ready(struct transaction *t)
{
	return write_journal(t, JOURNAL_READY);
}

/* ---- the flip ---- */

static const struct version *before_previous(const struct transaction *t)
{
	return t->has_before_previous ? &t->before_previous : NULL;
}

/* From here on the way forth and the way back take no space any more. */
static int prepare_links(struct transaction *t)
{
	int r = swap_prepare(store_dirfd(t->store), &t->to, &t->from, before_previous(t));

	return r < 0 ? io_failure(t, r, "making the links") : 0;
}

static int flip_previous(struct transaction *t)
{
	int r = swap_previous(store_dirfd(t->store));

	return r < 0 ? io_failure(t, r, "flipping 'previous'") : 0;
}

static int journal_trial(struct transaction *t)
{
	int r = journal_set_u64(t->state->journal, "tries", 1);

	return r < 0 ? io_failure(t, r, "the journal") : write_journal(t, JOURNAL_TRIAL);
}

static int flip_current(struct transaction *t)
{
	int r = swap_current(store_dirfd(t->store));

	return r < 0 ? io_failure(t, r, "flipping 'current'") : 0;
}

static int settle_current(struct transaction *t)
{
	int r = swap_settle(store_dirfd(t->store), &t->to);

	return r < 0 ? io_failure(t, r, "reading 'current' back") : 0;
}

/* ---- the trial ---- */

static int restart_program(struct transaction *t)
{
	return trial_restart(&t->trial, &t->start, &t->result->failure);
}

static int judge_program(struct transaction *t)
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

static int journal_confirmed(struct transaction *t)
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
		return io_failure(t, r, "writing the journal");
	r = note_confirmed(t);
	if (r == 0)
		r = record_durably(t->state->journal, JOURNAL_CONFIRMED, &confirmed);
	if (r < 0) {
		/* What is not confirmed raises no floor, also not with the next write. */
		(void)!state_restore(t->state, t->program->letter, &before);
		return io_failure(t, r, "writing the journal");
	}
	*t->result = confirmed;
	return 0;
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
	r = swap_undo(store_dirfd(t->store), &t->from, before_previous(t));
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

	tell(t, STEP_ROLLBACK, percent_of(STEP_ROLLBACK));
	/* Should the way back be cut, recovery knows from this why it was begun. */
	r = record_durably(t->state->journal, JOURNAL_TRIAL, t->result);
	if (r < 0)
		log_warning("cannot write down what is wrong with '%s': %s", t->to.text,
			    strerror(-r));
	r = swap_undo(store_dirfd(t->store), &t->from, before_previous(t));
	/* Nothing is left stopped, whatever `current` leads to: recovery sees to that. */
	restart_old(t);
	if (r < 0) {
		log_error("cannot roll '%s' back to '%s': %s", t->program->space, t->from.text,
			  strerror(-r));
		return r;
	}
	t->result->outcome = OUTCOME_ROLLED_BACK;
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
	tell(t, STEP_CONFIRM, 100);
	log_notice("'%s' now runs '%s' (before: '%s', down for %llu ms)", t->program->name,
		   t->to.text, t->from.text, (unsigned long long)t->trial.downtime.total_msec);
	return finish(t, OUTCOME_CONFIRMED, NULL);
}

/* ---- repair ---- */

static int replace_release(struct transaction *t)
{
	int r = store_stage_replace(t->store, t->result->txid, &t->to);

	return r < 0 ? io_failure(t, r, "putting the release in its place") : 0;
}

/* What runs, damaged, is replaced by the same release, whole. There is no way back, and none is wanted:
 * cut before the exchange nothing has changed, cut after it the damage is gone. */
static int repair(struct transaction *t)
{
	if (step(t, STEP_STAGE, journal_staging) < 0 ||	  /* 1 */
	    step(t, STEP_STAGE, unpack_into_stage) < 0 || /* 2 */
	    step(t, STEP_STAGE, read_again) < 0 ||	  /* 3 */
	    step(t, STEP_SWAP, replace_release) < 0)	  /* 4  <== COMMIT POINT */
		return abandon(t);

	if (step(t, STEP_RESTART, restart_program) < 0 || /* 5 */
	    step(t, STEP_PROBE, judge_program) < 0 ||	  /* */
	    step(t, STEP_CONFIRM, journal_confirmed) < 0) /* 6 */
		return finish(t, OUTCOME_FAILED, NULL);

	tell(t, STEP_CONFIRM, 100);
	log_notice("'%s': '%s' was damaged and is repaired (down for %llu ms)", t->program->name,
		   t->to.text, (unsigned long long)t->trial.downtime.total_msec);
	return finish(t, OUTCOME_CONFIRMED, NULL);
}

/* ---- the beginning ---- */

/* The kept release; where that is damaged, its backup; else whoever asks has to bring it. */
static int find_way_back(struct transaction *t, struct failure *failure)
{
	_cleanup_free_ char *error = NULL;
	int r, found;

	if (t->request->program_fd >= 0)
		return 0;
	r = store_check_release(t->store, &t->to, &error);
	t->is_staged = r == 0;
	if (t->is_staged)
		return 0;
	if (fs_is_accident(r))
		return failure_set_errno(failure, r, "reading %s", t->to.text);
	found = backup_find(t->store, &t->to, t->state->conf->max_program_bytes,
			    t->target.tar_sha256);
	if (fs_is_accident(found))
		return failure_set_errno(failure, found, "reading the backup of %s", t->to.text);
	t->is_restored = found == 0;
	if (!t->is_restored)
		return failure_set(failure, -EUCLEAN, REASON_DAMAGED,
				   "%s is damaged (%s), and there is no good backup of it",
				   t->to.text, error ? error : strerror(-r));
	log_notice("%s is damaged (%s); its backup takes its place", t->to.text,
		   error ? error : strerror(-r));
	return 0;
}

static int find_versions(struct transaction *t, struct failure *failure)
{
	int space_fd = store_dirfd(t->store);
	int r;

	r = swap_read(space_fd, SWAP_CURRENT, &t->from);
	if (fs_is_accident(r))
		return failure_set_errno(failure, r, "reading 'current'");
	if (r < 0)
		return failure_set(failure, r, REASON_DAMAGED, "'%s' has no current release",
				   t->program->space);
	r = swap_read_text(space_fd, SWAP_PREVIOUS, &t->before_previous);
	if (r < 0 && r != -ENOENT && r != -EUCLEAN)
		return failure_set_errno(failure, r, "reading 'previous'");
	t->has_before_previous = r == 0;
	if (!t->request->is_rollback)
		return 0;
	if (r < 0 || strcmp(t->before_previous.text, t->from.text) == 0)
		return failure_set(failure, -ENOENT, REASON_NO_PREVIOUS,
				   "'%s' has no previous release", t->program->space);
	t->to = t->before_previous;
	return find_way_back(t, failure);
}

static int open_program(struct transaction *t, struct failure *failure)
{
	const struct transaction_request *request = t->request;
	int r;

	if (journal_state(t->state->journal) != JOURNAL_IDLE)
		return failure_set(failure, -EBUSY, REASON_BUSY, "an attempt is not ended yet");
	if (result_is_kept(t->state->dirfd, request->txid))
		return failure_set(failure, -EEXIST, REASON_INTERNAL, "'%s' had its attempt",
				   request->txid);
	t->program = conf_program(t->state->conf, request->program);
	if (!t->program)
		return failure_set(failure, -ENOENT, REASON_WRONG_PROGRAM, "there is no program %c",
				   request->program);
	r = store_open(t->program->space, &t->store);
	if (r < 0)
		return failure_set_errno(failure, r, "'%s'", t->program->space);
	return find_versions(t, failure);
}

/* The version in a target's path, for the report of an attempt that is refused before it is known. */
static void guess_version(const char *target, char ret[VERSION_LENGTH + 1])
{
	const char *name = strrchr(target, '/');
	struct version version;
	char text[VERSION_LENGTH + 1];

	(void)snprintf(text, sizeof text, "%.*s", VERSION_LENGTH, name ? name + 1 : target);
	if (version_parse(text, &version) == 0)
		memcpy(ret, version.text, sizeof version.text);
}

static void begin_result(struct transaction *t)
{
	const struct transaction_request *request = t->request;
	struct result *result = t->result;
	uint64_t now_sec = (uint64_t)verify_time(t->state).now_sec;

	result->program = request->program;
	result->kind = request->is_rollback ? RESULT_KIND_ROLLBACK : RESULT_KIND_UPGRADE;
	result->share = request->share;
	memcpy(result->txid, request->txid, sizeof result->txid);
	memcpy(result->from, t->from.text, sizeof result->from);
	if (request->is_rollback)
		memcpy(result->to, t->to.text, sizeof result->to);
	else
		guess_version(request->target, result->to);
	if (result->share.started_sec == 0)
		result->share.started_sec = now_sec;
	/* What the agent did took as long as its clock says, unless the clock was set meanwhile. */
	if (result->share.duration_ms == 0 && now_sec > result->share.started_sec &&
	    now_sec - result->share.started_sec < MAX_DURATION_SEC)
		result->share.duration_ms = (now_sec - result->share.started_sec) * 1000;
}

static int begin_trial(struct transaction *t)
{
	const struct version *judge = t->request->is_rollback ? &t->to : &t->from;

	if (asprintf(&t->probe_release, "%s/releases/%s", t->program->space, judge->text) < 0)
		return -ENOMEM;
	t->trial.program = t->program;
	t->trial.probe_release = t->probe_release;
	t->trial.version = t->to.text;
	if (t->request->is_rollback)
		return 0;
	t->trial.updater = (struct updater_trial){
		.installer_fd = t->state->dirfd,
		.txid = t->result->txid,
		.old_version = t->from.text,
		.is_offline_ok = t->request->share.bytes_fetched == 0,
		.progress = t->hooks->progress,
		.called_off = t->hooks->called_off,
		.userdata = t->hooks->userdata
	};
	return 0;
}

static int begin(struct transaction *t)
{
	struct failure *failure = &t->result->failure;
	struct journal *journal = t->state->journal;
	int r;

	r = open_program(t, failure);
	if (r < 0)
		return r;
	begin_result(t);
	r = begin_trial(t);
	if (r == 0)
		r = journal_set(journal, RECORD_BEFORE_PREVIOUS,
				t->has_before_previous ? t->before_previous.text : NULL);
	if (r == 0)
		r = journal_set(journal, RECORD_TARGET, t->request->target);
	if (r == 0)
		r = record_durably(journal, JOURNAL_ACCEPTED, t->result);
	if (r < 0)
		return failure_set_errno(failure, r, "recording the attempt");
	if (t->hooks->recorded)
		t->hooks->recorded(t->hooks->userdata);
	return 0;
}

/* The order is the safety argument: what each step relies on is durable before it begins, and only
 * one of them changes what runs. */
static int run(struct transaction *t)
{
	if (step(t, STEP_CHECK, judge_request) < 0 || /*  0 */
	    step(t, STEP_CHECK, check_hold) < 0 ||    /*    */
	    step(t, STEP_CHECK, check_space) < 0 ||   /*    */
	    step(t, STEP_CHECK, ask_program) < 0)     /*    */
		return abandon(t);
	if (t->is_repair)
		return repair(t);

	if (step(t, STEP_STAGE, journal_staging) < 0 ||	 /*  1 */
	    step(t, STEP_STAGE, unpack_release) < 0 ||	 /*  2 */
	    step(t, STEP_STAGE, read_again) < 0 ||	 /*  3 */
	    step(t, STEP_STAGE, seal_release) < 0 ||	 /*  4 */
	    step(t, STEP_BACKUP, back_up_running) < 0 || /*  5 */
	    step(t, STEP_BACKUP, journal_ready) < 0 ||	 /*  6 */
	    step(t, STEP_SWAP, prepare_links) < 0 ||	 /*  7 */
	    step(t, STEP_SWAP, flip_previous) < 0 ||	 /*  8 */
	    step(t, STEP_SWAP, journal_trial) < 0 ||	 /*  9 */
	    step(t, STEP_SWAP, flip_current) < 0)	 /* 10  <== COMMIT POINT */
		return abandon(t);

	if (step(t, STEP_SWAP, settle_current) < 0 ||	  /* 11 */
	    step(t, STEP_RESTART, restart_program) < 0 || /* 12 */
	    step(t, STEP_PROBE, judge_program) < 0 ||	  /*    */
	    step(t, STEP_CONFIRM, journal_confirmed) < 0) /* 13  good … */
		return roll_back(t);			  /*     … or bad */

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
	r = begin(&t);
	return r < 0 ? r : run(&t);
}
