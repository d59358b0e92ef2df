/* SPDX-License-Identifier: Apache-2.0 */
#include "transaction_steps.h"

#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "updaterd/record.h"

#define FREED_TRIES	 10u
#define FREED_PAUSE_MSEC 100u

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

int step_judge_request(struct transaction *t)
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

int step_check_hold(struct transaction *t)
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
int step_check_space(struct transaction *t)
{
	int r;

	r = state_prune(t->store, NULL);
	if (t->request->is_rollback) {
		make_room_for_rollback(t);
		return 0;
	}
	if (r < 0)
		return transaction_io_failure(t, r, "pruning");
	r = store_check_space(t->store, t->target.tar_length_bytes);
	if (r == -ENOSPC)
		r = make_room(t);
	return r < 0 ? transaction_io_failure(t, r, "checking free space") : 0;
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

int step_ask_program(struct transaction *t)
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
		r = transaction_io_failure(t, -ENOMEM, "the journal");
	return r;
}
