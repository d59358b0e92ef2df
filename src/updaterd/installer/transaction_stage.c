/* SPDX-License-Identifier: Apache-2.0 */
#include "transaction_steps.h"

#include <string.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "common/reltar.h"
#include "updaterd/backup.h"
#include "updaterd/stage.h"

int step_journal_staging(struct transaction *t)
{
	return transaction_write_journal(t, JOURNAL_STAGING);
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
	unsigned from = transaction_percent_of(STEP_STAGE),
		 to = transaction_percent_of(STEP_BACKUP) - 10;

	if (total_bytes > 0)
		transaction_tell(t, STEP_STAGE,
				 from + (unsigned)(done_bytes * (to - from) / total_bytes));
}

static int unpack_patch(struct transaction *t, const struct stage_progress *progress)
{
	_cleanup_close_ int base_fd = store_open_release(t->store, &t->from);

	if (base_fd < 0)
		return transaction_io_failure(t, base_fd, "opening what the patch is from");
	return stage_patch(t->request->program_fd, &t->target, base_fd, t->stage_fd, progress,
			   &t->result->failure);
}

static int unpack_backup(struct transaction *t)
{
	_cleanup_close_ int backup_fd = store_backup_open(t->store, &t->to);

	if (backup_fd < 0)
		return transaction_io_failure(t, backup_fd, "opening the backup");
	return stage_restore(backup_fd, &t->to, t->target.tar_sha256,
			     t->state->conf->max_program_bytes, t->stage_fd, &t->result->failure);
}

int step_unpack_again(struct transaction *t)
{
	const struct stage_progress progress = { .report = report_unpacked, .userdata = t };

	t->stage_fd = store_stage_begin(t->store, t->result->txid);
	if (t->stage_fd < 0)
		return transaction_io_failure(t, t->stage_fd, "making the stage");
	if (t->is_restored)
		return unpack_backup(t);
	if (t->target.is_patch)
		return unpack_patch(t, &progress);
	return stage_unpack(t->request->program_fd, &t->target, t->stage_fd, &progress,
			    &t->result->failure);
}

int step_unpack(struct transaction *t)
{
	int r;

	if (t->is_staged)
		return 0;
	r = t->is_restored ? 0 : is_there(t);
	if (r < 0)
		return transaction_io_failure(t, r, "looking for the release in the space");
	t->is_staged = r > 0;
	return t->is_staged ? 0 : step_unpack_again(t);
}

int step_read_again(struct transaction *t)
{
	if (t->is_staged)
		return 0;
	return stage_check(t->stage_fd, t->target.tar_sha256, &t->result->failure);
}

int step_seal(struct transaction *t)
{
	int r;

	if (t->is_staged)
		return 0;
	r = store_stage_seal(t->store, t->result->txid, &t->to);
	if (r == -EEXIST && t->request->is_rollback)
		r = store_stage_replace(t->store, t->result->txid, &t->to);
	return r < 0 ? transaction_io_failure(t, r, "giving the release its name") : 0;
}

int step_back_up(struct transaction *t)
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

int step_journal_ready(struct transaction *t)
{
	return transaction_write_journal(t, JOURNAL_READY);
}

/* ---- a repair ---- */

int step_replace(struct transaction *t)
{
	int r = store_stage_replace(t->store, t->result->txid, &t->to);

	return r < 0 ? transaction_io_failure(t, r, "putting the release in its place") : 0;
}
