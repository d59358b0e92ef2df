/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/prove.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "common/reltar.h"
#include "updaterd/copy_files.h"
#include "updaterd/record.h"
#include "updaterd/result.h"
#include "updaterd/state.h"
#include "updaterd/status.h"
#include "updaterd/updater_trial.h"
#include "updaterd/verify.h"

#define TRUST		   "trust"
#define METADATA_MAX_BYTES (8u << 20)

/* ---- the attempt ---- */

/* Where what runs is repaired there is no flip, and so no TRIAL. */
static bool is_on_trial(const struct journal *journal, const struct result *attempt)
{
	enum journal_state state = journal_state(journal);

	return state == JOURNAL_TRIAL ||
	       (state == JOURNAL_STAGING && strcmp(attempt->kind, RESULT_KIND_REPAIR) == 0);
}

static int find_attempt(const struct state *s, const struct version *own, struct result *ret,
			struct failure *failure)
{
	int r = record_load(s->journal, ret);

	if (r < 0)
		return failure_set(failure, r, REASON_INTERNAL, "the journal has no attempt");
	if (!is_on_trial(s->journal, ret) || ret->program != own->program)
		return failure_set(failure, -EPERM, REASON_INTERNAL, "program %c is not on trial",
				   own->program);
	if (strcmp(ret->to, own->text) != 0)
		return failure_set(failure, -EPERM, REASON_WRONG_VERSION,
				   "%s is on trial, and this is %s", ret->to, own->text);
	return 0;
}

/* ---- trust ---- */

static int copy_trust(const struct state *s, int work_fd)
{
	_cleanup_close_ int from_fd = FD_NONE, to_fd = FD_NONE;
	int r;

	r = fs_remove_tree(work_fd, TRUST);
	if (r == 0)
		r = fs_mkdir_p(work_fd, TRUST, 0700);
	if (r < 0)
		return r;
	from_fd = fs_open_beneath(s->dirfd, TRUST, O_RDONLY | O_DIRECTORY, 0);
	if (from_fd < 0)
		return from_fd;
	to_fd = fs_open_beneath(work_fd, TRUST, O_RDONLY | O_DIRECTORY, 0);
	return to_fd < 0 ? to_fd : copy_files(from_fd, to_fd, METADATA_MAX_BYTES);
}

/* From a copy of what the old installer trusts, which a refresh may change as it likes. */
static int verify_own(const struct state *s, int metadata_fd, int work_fd,
		      struct release_target *ret, struct failure *failure)
{
	const char *target = journal_get(s->journal, RECORD_TARGET);
	_cleanup_free_ char *path = target ? strdup(target) : NULL;
	struct state copy = {
		.conf = s->conf, .dirfd = work_fd, .lock_fd = FD_NONE, .journal = s->journal
	};
	int r;

	if (!path)
		return failure_set(failure, -EBADMSG, REASON_INTERNAL,
				   "the journal does not say what was installed");
	r = copy_trust(s, work_fd);
	if (r < 0)
		return failure_set_errno(failure, r, "copying '%s'", TRUST);
	return verify_target(&copy, metadata_fd, path, ret, failure);
}

/* ---- the release on the disk ---- */

static int hash_release(const struct conf_program *program, const struct version *version,
			uint8_t ret[SHA256_BYTES])
{
	_cleanup_(reltar_view_closep) struct reltar_view *view = NULL;
	_cleanup_(store_closep) struct store *store = NULL;
	_cleanup_close_ int fd = FD_NONE;
	int r;

	r = store_open(program->space, &store);
	if (r < 0)
		return r;
	fd = store_open_release(store, version);
	if (fd < 0)
		return fd;
	r = reltar_view_open(fd, &view);
	return r < 0 ? r : reltar_view_sha256(view, ret);
}

static int compare_own(const struct conf *conf, const struct version *own,
		       const struct release_target *target, struct failure *failure)
{
	const struct conf_program *program = conf_program(conf, own->program);
	uint8_t sha256[SHA256_BYTES];
	struct version current;
	int r;

	if (!program || version_compare(&target->version, own) != 0)
		return failure_set(failure, -EPERM, REASON_WRONG_VERSION, "%s is signed, not %s",
				   target->version.text, own->text);
	r = state_current(conf, own->program, &current);
	if (r < 0 || version_compare(&current, own) != 0)
		return failure_set(failure, -EUCLEAN, REASON_WRONG_VERSION,
				   "'%s/current' does not lead to %s", program->space, own->text);
	r = hash_release(program, own, sha256);
	if (r < 0)
		return failure_set_errno(failure, r, "reading %s", own->text);
	if (memcmp(sha256, target->tar_sha256, sizeof sha256) != 0)
		return failure_set(failure, -EUCLEAN, REASON_DAMAGED,
				   "%s is on the disk otherwise than it was signed", own->text);
	return 0;
}

/* ---- the proof ---- */

/* In its place: the directory belongs to the old installer, and so does making the file. */
static int write_proof(const struct state *s, const char *txid)
{
	_cleanup_close_ int fd = fs_open_beneath(s->dirfd, UPDATER_TRIAL_PROOF, O_WRONLY, 0);
	char line[TXID_LENGTH + 2];
	int r;

	if (fd < 0)
		return fd;
	(void)snprintf(line, sizeof line, "%s\n", txid);
	r = fs_pwrite_all(fd, line, strlen(line), 0);
	if (r < 0)
		return r;
	return close(TAKE_FD(fd)) < 0 ? -errno : 0;
}

int prove(const struct conf *conf, const struct version *own, int metadata_fd, int work_fd,
	  char **ret_status, struct failure *failure)
{
	_cleanup_(state_closep) struct state *s = NULL;
	_cleanup_free_ char *status = NULL;
	struct release_target target;
	struct result attempt;
	int r;

	r = state_open(conf, STATE_READ, &s);
	if (r < 0)
		return failure_set_errno(failure, r, "'%s'", conf->installer_dir);
	r = find_attempt(s, own, &attempt, failure);
	if (r == 0)
		r = verify_own(s, metadata_fd, work_fd, &target, failure);
	if (r == 0)
		r = compare_own(conf, own, &target, failure);
	if (r < 0)
		return r;
	r = status_format(conf, NULL, &status);
	if (r < 0)
		return failure_set_errno(failure, r, "status");
	r = write_proof(s, attempt.txid);
	if (r < 0)
		return failure_set_errno(failure, r, "'%s'", UPDATER_TRIAL_PROOF);
	*ret_status = TAKE_PTR(status);
	return 0;
}
