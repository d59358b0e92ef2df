/* SPDX-License-Identifier: Apache-2.0 */
#include "transaction_steps.h"

#include <string.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "updaterd/backup.h"
#include "updaterd/record.h"
#include "updaterd/swap.h"

#define MAX_DURATION_SEC 604800u /* a week */

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
	t->trial.called_off = t->hooks->called_off;
	t->trial.userdata = t->hooks->userdata;
	if (t->request->is_rollback)
		return 0;
	t->trial.updater = (struct updater_trial){
		.installer_fd = t->state->dirfd,
		.txid = t->result->txid,
		.old_version = t->from.text,
		.is_offline_ok = t->request->share.is_from_medium,
		.progress = t->hooks->progress,
		.called_off = t->hooks->called_off,
		.userdata = t->hooks->userdata
	};
	return 0;
}

int transaction_begin(struct transaction *t)
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
