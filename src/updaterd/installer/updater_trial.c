/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/updater_trial.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "updaterd/exit_codes.h"

#define PROOF_BYTES	  64u
#define PAUSE_MSEC	  1000u
/* A pause is twice the one before it, up to so many times the first one. */
#define MAX_PAUSES	  15u
/* What systemd itself exits with where the executable is missing, or none for this machine. Its other codes
 * are about what the unit needs of the machine: room in /run, memory, a user. */
#define SYSTEMD_EXIT_EXEC 203
#define WAIT_PERCENT	  85u

/* ---- the proof ---- */

static int write_empty(int fd)
{
	static const char zeros[PROOF_BYTES];
	int r = fs_pwrite_all(fd, zeros, sizeof zeros, 0);

	if (r < 0)
		return r;
	return fsync(fd) < 0 ? -errno : 0;
}

int updater_trial_prepare(int installer_fd)
{
	_cleanup_close_ int fd = FD_NONE;
	int r;

	r = updater_trial_forget(installer_fd);
	if (r < 0)
		return r;
	fd = fs_open_beneath(installer_fd, UPDATER_TRIAL_PROOF, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return fd;
	r = write_empty(fd);
	if (r < 0)
		return r;
	return close(TAKE_FD(fd)) < 0 ? -errno : 0;
}

int updater_trial_forget(int installer_fd)
{
	return fs_remove_tree(installer_fd, UPDATER_TRIAL_PROOF);
}

/* Each trial of an attempt proves itself anew. */
static int clear_proof(const struct updater_trial *u)
{
	_cleanup_close_ int fd = fs_open_beneath(u->installer_fd, UPDATER_TRIAL_PROOF, O_WRONLY, 0);

	return fd < 0 ? fd : write_empty(fd);
}

static bool has_proof(const struct updater_trial *u)
{
	_cleanup_free_ char *text = NULL;
	size_t size, length = strlen(u->txid);

	if (fs_read_file(u->installer_fd, UPDATER_TRIAL_PROOF, PROOF_BYTES, &text, &size) < 0)
		return false;
	return size > length && strncmp(text, u->txid, length) == 0 && text[length] == '\n';
}

/* ---- units ---- */

struct context {
	const struct updater_trial *u;
	const struct conf_program *program;
	const struct service_ops *ops;
	void *userdata; /* of ops */
	char *helper;	/* the new installer, while it is on trial */
	bool has_waited;
};

static enum reason called_off(const struct context *c)
{
	return c->u->called_off ? c->u->called_off(c->u->userdata) : REASON_NONE;
}

static bool is_called_off(void *userdata)
{
	return called_off(userdata) != REASON_NONE;
}

static int end_called_off(const struct context *c, struct failure *failure)
{
	return failure_set(failure, -ECANCELED, called_off(c), "the trial was called off");
}

static int run_unit(struct context *c, const char *unit, struct service_end *end,
		    struct failure *failure)
{
	const struct service_job job = { .unit = unit,
					 .timeout_sec = c->program->probe_timeout_sec,
					 .is_called_off = is_called_off,
					 .userdata = c };
	int r = c->ops->run(c->userdata, &job, end, failure);

	/* The signal that calls it off may have cut what was being waited for. */
	return r < 0 && is_called_off(c) ? end_called_off(c, failure) : r;
}

/* "updaterd-trial.service" → "updaterd-trial-installer.service" */
static int name_helper(const char *unit, char **ret)
{
	static const char ending[] = ".service";
	size_t length = strlen(unit) - strlen(ending);

	return asprintf(ret, "%.*s-installer%s", (int)length, unit, ending) < 0 ? -ENOMEM : 0;
}

/* What was on trial when the installer died may hang there, or run in circles, for ever. */
static void stop_left(const struct conf_program *program, struct service service)
{
	_cleanup_free_ char *helper = NULL;

	(void)!service.ops->stop(service.userdata, program->trial_unit);
	if (name_helper(program->trial_unit, &helper) < 0)
		helper = NULL;
	else
		(void)!service.ops->stop(service.userdata, helper);
}

void updater_trial_stop_left(const struct state *s, struct service service)
{
	if (journal_state(s->journal) == JOURNAL_IDLE)
		return;
	for (size_t i = 0; i < s->conf->n_programs; i++)
		if (s->conf->programs[i].trial_unit)
			stop_left(&s->conf->programs[i], service);
}

/* 1: the old updater reaches the server. 0: it does not, and what it said is in *end. */
static int old_reaches(struct context *c, struct service_end *end, struct failure *failure)
{
	char unit[sizeof UPDATER_REACH_UNIT + 64];
	int r;

	(void)snprintf(unit, sizeof unit, UPDATER_REACH_UNIT, c->u->old_version);
	r = run_unit(c, unit, end, failure);
	if (r < 0)
		return r;
	return end->is_exited && !end->is_late && end->status == EXIT_OK;
}

/* ---- the verdict ---- */

static int bad(struct failure *failure, enum reason reason, const struct service_end *end,
	       const char *format, ...) _printf_(4, 5);

static int bad(struct failure *failure, enum reason reason, const struct service_end *end,
	       const char *format, ...)
{
	char what[120];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(what, sizeof what, format, args);
	va_end(args);
	return failure_set(failure, -EIO, reason, "the new updater %s%s%s", what,
			   end->said[0] ? ": " : "", end->said);
}

/* What one trial has shown, where that is no failure for good. */
enum verdict {
	VERDICT_GOOD = 0,
	VERDICT_WORLD_DOWN, /* neither of the two reaches the server */
	VERDICT_WORSE, /* the old one does: *failure says in what the new one did not do as well */
};

static int worse(const struct context *c, const struct service_end *end, struct failure *failure)
{
	if (end->is_late)
		(void)bad(failure, REASON_NOT_READY, end, "did not end its trial within %ju s",
			  (uintmax_t)c->program->probe_timeout_sec);
	else if (end->status == EXIT_TEMPORARY)
		(void)bad(failure, REASON_CANNOT_REACH, end,
			  "cannot reach the server, and the old one can");
	else
		(void)bad(failure, end->said[0] ? REASON_UNHEALTHY : REASON_EXITED, end,
			  "ended its trial with exit status %d", end->status);
	return VERDICT_WORSE;
}

/* Only what may be the world's doing is left: what does the old one say? */
static int compare(struct context *c, const struct service_end *end, struct failure *failure)
{
	struct service_end old = { 0 };
	int r = old_reaches(c, &old, failure);

	if (r < 0)
		return r;
	if (r > 0)
		return worse(c, end, failure);
	if (c->u->is_offline_ok && end->is_exited && end->status == EXIT_TEMPORARY &&
	    has_proof(c->u))
		return VERDICT_GOOD;
	(void)failure_set(failure, 0, REASON_NETWORK,
			  "neither the new updater nor the old one reaches the server%s%s",
			  old.said[0] ? ": " : "", old.said);
	return VERDICT_WORLD_DOWN;
}

/* A verdict, or negative: bad. */
static int judge(struct context *c, const struct service_end *end, struct failure *failure)
{
	if (end->is_late)
		return compare(c, end, failure);
	if (!end->is_exited)
		return bad(failure, REASON_CRASHED, end, "was killed by signal %d", end->status);
	if (end->status == SYSTEMD_EXIT_EXEC)
		return bad(failure, REASON_EXITED, end, "cannot be started (status %d)",
			   end->status);
	if (end->status != EXIT_OK)
		return compare(c, end, failure);
	if (!has_proof(c->u))
		return bad(failure, REASON_UNHEALTHY, end,
			   "says that all is well, and proved nothing");
	return VERDICT_GOOD;
}

static int try_once(struct context *c, struct failure *failure)
{
	struct service_end end = { 0 };
	int r;

	r = clear_proof(c->u);
	if (r < 0)
		return failure_set_errno(failure, r, "'%s'", UPDATER_TRIAL_PROOF);
	/* One of an earlier trial may hang there still, and would answer in the place of this one. */
	(void)!c->ops->stop(c->userdata, c->helper);
	r = run_unit(c, c->program->trial_unit, &end, failure);
	/* A bus that was restarted has taken away what it was stopped by. */
	if (r < 0)
		(void)!c->ops->stop(c->userdata, c->program->trial_unit);
	(void)!c->ops->stop(c->userdata, c->helper);
	/* Whoever called it off was told that it ends so, however it ended meanwhile. */
	if (r == 0 && is_called_off(c))
		return end_called_off(c, failure);
	return r < 0 ? r : judge(c, &end, failure);
}

/* ---- while the world is down ---- */

static int pause_trial(struct context *c, uint64_t pause_sec, struct failure *failure)
{
	uint64_t until_msec = c->ops->now_msec(c->userdata) + pause_sec * 1000;

	while (c->ops->now_msec(c->userdata) < until_msec) {
		if (is_called_off(c))
			return end_called_off(c, failure);
		c->ops->pause(c->userdata, PAUSE_MSEC);
	}
	return 0;
}

static int wait_for_world(struct context *c, uint64_t pause_sec, struct failure *failure)
{
	log_write(c->has_waited ? LOG_DEBUG : LOG_NOTICE, "%s; the trial goes on in %ju s",
		  failure->text, (uintmax_t)pause_sec);
	c->has_waited = true;
	if (c->u->progress)
		c->u->progress(c->u->userdata, STEP_WAIT, WAIT_PERCENT);
	return pause_trial(c, pause_sec, failure);
}

static int give_up(const struct context *c, struct failure *failure)
{
	return failure_set(failure, -EIO, REASON_NETWORK,
			   "no trial was possible for %ju s: the old updater did not reach the "
			   "server either",
			   (uintmax_t)c->program->trial_extend_max_sec);
}

static int try_until_judged(struct context *c, struct failure *failure)
{
	const struct conf_program *p = c->program;
	uint64_t end_msec = c->ops->now_msec(c->userdata) + p->trial_extend_max_sec * 1000;
	uint64_t pause_sec = p->trial_retry_sec;
	bool was_worse = false;

	for (;;) {
		uint64_t now_msec, left_sec;
		int r = try_once(c, failure);

		if (r <= VERDICT_GOOD)
			return r;
		if (r == VERDICT_WORSE && was_worse)
			return -EIO;
		was_worse = r == VERDICT_WORSE;
		if (was_worse) {
			/* The world may have come back between the two: another chance, in a while. */
			r = pause_trial(c, p->trial_retry_sec, failure);
			if (r < 0)
				return r;
			continue;
		}
		now_msec = c->ops->now_msec(c->userdata);
		if (now_msec >= end_msec)
			return give_up(c, failure);
		left_sec = (end_msec - now_msec) / 1000 + 1;
		r = wait_for_world(c, pause_sec < left_sec ? pause_sec : left_sec, failure);
		if (r < 0)
			return r;
		pause_sec *= 2;
		if (pause_sec > p->trial_retry_sec * MAX_PAUSES)
			pause_sec = p->trial_retry_sec * MAX_PAUSES;
	}
}

int updater_trial_run(const struct updater_trial *u, const struct conf_program *program,
		      struct service service, struct failure *failure)
{
	_cleanup_free_ char *helper = NULL;
	struct context c = {
		.u = u, .program = program, .ops = service.ops, .userdata = service.userdata
	};

	if (name_helper(program->trial_unit, &helper) < 0) {
		helper = NULL;
		return failure_set_errno(failure, -ENOMEM, "trial");
	}
	c.helper = helper;
	return try_until_judged(&c, failure);
}
