/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/recover.h"

#include <fcntl.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "updaterd/adopt.h"
#include "updaterd/record.h"
#include "updaterd/rescue.h"
#include "updaterd/swap.h"
#include "updaterd/trial.h"
#include "updaterd/updater_trial.h"

/* ---- spaces ---- */

static bool is_installed(const struct conf_program *program)
{
	return faccessat(AT_FDCWD, program->space, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
	       (program->factory && faccessat(AT_FDCWD, program->factory, F_OK, 0) == 0);
}

/* A space that is gone, or a directory of it, is made again where a program is installed. */
static int open_space(const struct conf_program *program, struct store **ret)
{
	int r = store_open(program->space, ret);

	if (r != -ENOENT || !is_installed(program))
		return r;
	log_error("'%s' is not whole; it is made again", program->space);
	return store_create(program->space, ret);
}

/* ---- `current` ---- */

/* 1 if `current` leads to a release, 0 if not; thorough: every byte of it, which takes its time. A
 * machine in need is no reason to flip anything, and is passed on. */
static int leads_to_release(const struct store *store, bool is_thorough)
{
	_cleanup_free_ char *error = NULL;
	struct version current;
	int r;

	r = swap_read(store_dirfd(store), SWAP_CURRENT, &current);
	if (r < 0)
		return fs_is_accident(r) ? r : 0;
	if (!is_thorough)
		return store_has_release(store, &current);
	r = store_check_release(store, &current, &error);
	if (r == 0 || fs_is_accident(r))
		return r == 0 ? 1 : r;
	log_error("'%s/current' leads to '%s', which is damaged: %s", store_path(store),
		  current.text, error ? error : strerror(-r));
	return 0;
}

/* 1 if it is sound, 0 if it is not. */
static int is_sound(const struct store *store, const struct version *version)
{
	int r = store_check_release(store, version, NULL);

	return r == 0 ? 1 : fs_is_accident(r) ? r : 0;
}

static int find_newest(const struct store *store, struct version *ret)
{
	_cleanup_free_ struct version *versions = NULL;
	size_t n;
	int r;

	r = store_list(store, &versions, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		r = is_sound(store, &versions[i]);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		*ret = versions[i];
		return 0;
	}
	return -ENOENT;
}

static int find_previous(const struct store *store, struct version *ret)
{
	struct version version;
	int r;

	r = swap_read(store_dirfd(store), SWAP_PREVIOUS, &version);
	if (r == 0)
		r = is_sound(store, &version);
	if (r <= 0)
		return fs_is_accident(r) ? r : -ENOENT;
	*ret = version;
	return 0;
}

/* The rescue program found nothing else that could run. */
static int leads_to_factory(const struct conf_program *program, const struct store *store)
{
	_cleanup_free_ char *target = NULL;
	int r = fs_read_link(store_dirfd(store), SWAP_CURRENT, &target);

	if (r < 0)
		return fs_is_accident(r) ? r : 0;
	return program->factory && strcmp(target, program->factory) == 0;
}

/* `previous`, else the newest complete release, else the factory's. */
static int find_replacement(const struct conf_program *program, struct store *store,
			    struct version *ret)
{
	struct failure failure;
	int r = leads_to_factory(program, store);

	if (r == 0) {
		r = find_previous(store, ret);
		if (r == -ENOENT)
			r = find_newest(store, ret);
	} else if (r > 0) {
		r = -ENOENT;
	}
	if (r != -ENOENT)
		return r;
	r = adopt_factory(program, store, ret, &failure);
	if (r < 0)
		log_debug("%s", failure.text);
	return r;
}

int recover_current(const struct conf_program *program, struct store *store, bool is_thorough)
{
	struct version version;
	int r;

	r = leads_to_release(store, is_thorough);
	if (r != 0)
		return r < 0 ? r : 0;
	r = find_replacement(program, store, &version);
	if (r < 0)
		return leads_to_release(store, false) > 0 ? -EUCLEAN : r;
	r = swap_point(store_dirfd(store), &version);
	if (r < 0)
		return r;
	log_notice("'%s/current' leads to '%s' now", program->space, version.text);
	return 1;
}

/* ---- the attempt in the journal ---- */

struct recovery {
	struct state *state;
	struct service service;
	bool at_boot;
	const struct conf_program *program; /* NULL: no longer configured */
	struct store *store;		    /* NULL: there is no space */
	struct result result;
};

/* At boot the programs start after us. Else what runs may be what was undone, or nothing at all. */
static void restart_program(struct service service, const struct conf_program *program,
			    bool at_boot)
{
	uint64_t timeout_sec = at_boot ? 0 : program->ready_timeout_sec;
	struct service_start start;
	struct failure failure;

	if (!program->unit)
		return;
	if (at_boot && service.ops->is_alive(service.userdata, program->unit) <= 0)
		return;
	/* systemd waits for updaterd-recover.service before it starts one, so that to wait for it there
	 * would be in vain. */
	if (service.ops->restart(service.userdata, program->unit, timeout_sec, &start, &failure) <
		    0 &&
	    !(at_boot && failure.reason == REASON_NOT_READY))
		log_error("'%s' after recovery: %s", program->unit, failure.text);
}

static void set_interrupted(struct result *result, enum outcome outcome, enum step step)
{
	result->outcome = outcome;
	result->step = step;
	(void)failure_set(&result->failure, 0, REASON_INTERRUPTED, "a crash or power cut during %s",
			  step_name(step));
}

/* 1 and the version to go back to; 0 if there is none. */
static int find_way_back(const struct recovery *rec, struct version *ret)
{
	_cleanup_close_ int fd = FD_NONE;

	if (!rec->store || version_parse(rec->result.from, ret) < 0)
		return 0;
	fd = store_open_release(rec->store, ret);
	if (fd == -EIO)
		fd = store_open_release(rec->store, ret);
	if (fd >= 0)
		return 1;
	if (!fs_is_accident(fd))
		log_error("'%s' is gone from '%s': %s", ret->text, rec->program->space,
			  strerror(-fd));
	return fs_is_accident(fd) ? fd : 0;
}

/* Should we be cut after the flip, the next one knows from this that there was one to undo. */
static void note_way_back(struct recovery *rec)
{
	if (rec->result.failure.reason != REASON_NONE)
		return;
	set_interrupted(&rec->result, OUTCOME_NONE, STEP_PROBE);
	if (record_durably(rec->state->journal, JOURNAL_TRIAL, &rec->result) < 0)
		log_warning("cannot write down that '%s' was on trial", rec->result.to);
}

/* Puts both links back to what they were before the attempt. 1 if the new release was `current`. Where
 * the old release is gone, recover_current() has to find what is left. */
static int undo_flip(struct recovery *rec)
{
	const char *text = journal_get(rec->state->journal, RECORD_BEFORE_PREVIOUS);
	struct version from, current, before;
	bool was_flipped, had_previous = text && version_parse(text, &before) == 0;
	int r;

	r = find_way_back(rec, &from);
	if (r <= 0)
		return r;
	r = swap_read(store_dirfd(rec->store), SWAP_CURRENT, &current);
	if (r < 0 && r != -ENOENT && r != -EUCLEAN)
		return r;
	was_flipped = r < 0 || strcmp(current.text, from.text) != 0;
	if (was_flipped)
		note_way_back(rec);
	r = swap_back(store_dirfd(rec->store), &from, had_previous ? &before : NULL);
	return r < 0 ? r : was_flipped;
}

/* With an outcome in the journal it is not the attempt that was cut, but its end. */
static int end_before_swap(struct recovery *rec, enum step step)
{
	if (rec->result.outcome == OUTCOME_NONE)
		set_interrupted(&rec->result, OUTCOME_FAILED, step);
	return undo_flip(rec);
}

/* A release that takes the machine down with it must not get a chance every night. */
static int count_failure(struct recovery *rec)
{
	struct version to;
	bool is_quarantined;
	int r;

	if (strcmp(rec->result.kind, RESULT_KIND_UPGRADE) != 0 ||
	    version_parse(rec->result.to, &to) < 0)
		return 0;
	r = state_count_failure(rec->state, &to, &is_quarantined);
	if (r == 0 && is_quarantined)
		log_notice("'%s' failed %u times and is quarantined", to.text, STATE_MAX_FAILURES);
	return r;
}

static bool was_rescued(const struct recovery *rec)
{
	return journal_get(rec->state->journal, RESCUE_KEY);
}

/* Where the journal has a reason, it was judged already, and it is the way back that was cut. What was called
 * off has its outcome, too; what only recovery has seen has none. */
static int end_undone(struct recovery *rec)
{
	enum reason reason = rec->result.failure.reason;

	if (reason == REASON_NONE ||
	    (reason == REASON_INTERRUPTED && rec->result.outcome == OUTCOME_NONE)) {
		set_interrupted(&rec->result, OUTCOME_ROLLED_BACK, STEP_PROBE);
		return count_failure(rec);
	}
	rec->result.outcome = OUTCOME_ROLLED_BACK;
	return trial_reason_blames_release(reason) ? count_failure(rec) : 0;
}

/* A trial that was cut is undone: to finish it would be to judge by less than was asked for. */
static int end_trial(struct recovery *rec)
{
	enum reason reason = rec->result.failure.reason;
	int was_flipped = undo_flip(rec);

	if (was_flipped < 0)
		return was_flipped;
	if (rec->store)
		restart_program(rec->service, rec->program, rec->at_boot);
	if (was_flipped || was_rescued(rec))
		return end_undone(rec);
	if (reason == REASON_NONE)
		set_interrupted(&rec->result, OUTCOME_FAILED, STEP_SWAP);
	else if (rec->result.outcome != OUTCOME_FAILED) /* else it ended before its flip */
		return end_undone(rec);
	return 0;
}

/* The rescue program has put the links back, and no more. */
static int end_rolled_back(struct recovery *rec)
{
	if (was_rescued(rec))
		return end_undone(rec);
	rec->result.outcome = OUTCOME_ROLLED_BACK;
	return 0;
}

static bool is_rescued_rollback(const struct recovery *rec)
{
	return was_rescued(rec) && strcmp(rec->result.kind, RESULT_KIND_ROLLBACK) == 0;
}

/* What a person came back to by the rescue program is wanted, whatever it was before. */
static int pardon_rescued(const struct recovery *rec)
{
	struct version to;

	if (!is_rescued_rollback(rec) || version_parse(rec->result.to, &to) < 0)
		return 0;
	return state_pardon(rec->state, &to);
}

/* A person's way back by the rescue program that was cut before its flip, and perhaps after that of `previous`:
 * who asked for it gets it. */
static int finish_rescued(struct recovery *rec)
{
	struct version current, from, to;
	int r;

	if (!is_rescued_rollback(rec) || !rec->store ||
	    swap_read(store_dirfd(rec->store), SWAP_CURRENT, &current) < 0 ||
	    strcmp(current.text, rec->result.from) != 0 ||
	    version_parse(rec->result.from, &from) < 0 || version_parse(rec->result.to, &to) < 0)
		return 0;
	r = is_sound(rec->store, &to);
	if (r <= 0)
		return r;
	r = swap_back(store_dirfd(rec->store), &to, &from);
	if (r == 0)
		restart_program(rec->service, rec->program, rec->at_boot);
	return r;
}

/* They may have gone back several times before we came: one roll back, to where they are now. */
static void find_rescued(struct recovery *rec)
{
	struct result *result = &rec->result;
	struct version current = { 0 };
	int r;

	if (!is_rescued_rollback(rec) || !rec->store)
		return;
	r = swap_read(store_dirfd(rec->store), SWAP_CURRENT, &current);
	if (r < 0 && leads_to_factory(rec->program, rec->store) <= 0)
		return;
	if (strcmp(current.text, result->from) != 0)
		memcpy(result->to, current.text, sizeof result->to);
}

static int end_confirmed(struct recovery *rec)
{
	struct version current;
	int r = finish_rescued(rec);

	if (r < 0)
		return r;
	find_rescued(rec);
	if (rec->store && swap_read(store_dirfd(rec->store), SWAP_CURRENT, &current) == 0 &&
	    strcmp(current.text, rec->result.to) != 0)
		set_interrupted(&rec->result, OUTCOME_ROLLED_BACK, STEP_CONFIRM);
	else
		rec->result.outcome = OUTCOME_CONFIRMED;
	return pardon_rescued(rec);
}

static int end_by_state(struct recovery *rec)
{
	switch (journal_state(rec->state->journal)) {
	case JOURNAL_ACCEPTED: return end_before_swap(rec, STEP_CHECK);
	case JOURNAL_STAGING: return end_before_swap(rec, STEP_STAGE);
	case JOURNAL_READY: return end_before_swap(rec, STEP_SWAP);
	case JOURNAL_CONFIRMED: return end_confirmed(rec);
	case JOURNAL_ROLLED_BACK: return end_rolled_back(rec);
	case JOURNAL_TRIAL:
	case JOURNAL_UNKNOWN:
	case JOURNAL_IDLE: break;
	}
	return end_trial(rec);
}

static int recover_attempt(struct recovery *rec)
{
	struct state *s = rec->state;
	int r;

	r = record_load(s->journal, &rec->result);
	if (r < 0) {
		log_error("the attempt in the journal makes no sense; forgotten");
		return state_end_attempt(s);
	}
	rec->program = conf_program(s->conf, rec->result.program);
	rec->store = NULL;
	if (rec->program) {
		r = open_space(rec->program, &rec->store);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	r = end_by_state(rec);
	if (r < 0)
		return r;
	record_versions(s->conf, &rec->result);
	r = result_keep(s->dirfd, &rec->result);
	if (r < 0)
		return r;
	log_notice("%s of program %c to '%s' was interrupted: %s", rec->result.kind,
		   rec->result.program, rec->result.to, outcome_name(rec->result.outcome));
	return state_end_attempt(s);
}

/* ---- all of it ---- */

/* An attempt that could not be ended needs all that it left. */
static int recover_space(const struct conf_program *program, struct service service, bool at_boot,
			 bool is_ended)
{
	_cleanup_(store_closep) struct store *store = NULL;
	int r, recovered;

	r = open_space(program, &store);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	recovered = recover_current(program, store, at_boot);
	if (recovered < 0 && recovered != -ENOENT && recovered != -EUCLEAN)
		return recovered;
	if (recovered > 0)
		restart_program(service, program, at_boot);
	r = is_ended ? swap_clear(store_dirfd(store)) : 0;
	if (r == 0 && is_ended)
		r = state_prune(store, NULL);
	return r == 0 && recovered == -EUCLEAN ? recovered : r;
}

/* Without the journal the floors are gone: what runs is the least that must not be undercut. */
static int renew_floors(struct state *s)
{
	log_error("the journal is damaged; the versions that run become the floors");
	for (size_t i = 0; i < s->conf->n_programs; i++) {
		struct version current;
		int r;

		r = state_current(s->conf, s->conf->programs[i].letter, &current);
		if (r == -ENOENT || r == -EUCLEAN)
			continue;
		if (r == 0)
			r = state_raise_floor(s, &current);
		if (r < 0)
			return r;
	}
	return journal_write(s->journal);
}

static int end_attempt(struct state *s, struct service service, bool at_boot)
{
	struct recovery rec = { .state = s, .service = service, .at_boot = at_boot };
	int r;

	if (journal_state(s->journal) == JOURNAL_IDLE)
		return 0;
	r = recover_attempt(&rec);
	(void)store_close(rec.store);
	if (r < 0)
		log_error("cannot recover the attempt in the journal: %s", strerror(-r));
	return r;
}

/* What a person left by the rescue program is not installed again. */
static int quarantine_left(struct state *s)
{
	bool is_any = false;

	for (size_t i = 0; i < s->conf->n_programs; i++) {
		int r = state_quarantine_left(s, s->conf->programs[i].letter);

		if (r < 0)
			return r;
		is_any = is_any || r > 0;
	}
	return is_any ? journal_write(s->journal) : 0;
}

/* Every space gets its turn, whatever is wrong with another. open: the program whose attempt is not ended,
 * if any. */
static int recover_spaces(const struct conf *conf, struct service service, bool at_boot, char open)
{
	int first = 0;

	for (size_t i = 0; i < conf->n_programs; i++) {
		int r = recover_space(&conf->programs[i], service, at_boot,
				      conf->programs[i].letter != open);

		if (r >= 0)
			continue;
		log_error("cannot recover '%s': %s", conf->programs[i].space, strerror(-r));
		first = first ? first : r;
	}
	return first;
}

/* What will be needed when something is wrong that is not wrong now. */
static void provide(const struct state *s)
{
	int r = state_write_programs(s);

	if (r < 0)
		log_warning("cannot tell the rescue program where the spaces are: %s",
			    strerror(-r));
	r = result_reserve(s->dirfd);
	if (r < 0)
		log_debug("no room is reserved for a result: %s", strerror(-r));
}

int recover(struct state *s, struct service service, bool at_boot)
{
	const char *letter = journal_get(s->journal, "program");
	char open = letter ? *letter : '\0';
	int r, first = 0;

	/* That it was removed with its attempt may not have reached the disk. */
	(void)!updater_trial_forget(s->dirfd);
	if (journal_is_damaged(s->journal))
		first = renew_floors(s);
	r = end_attempt(s, service, at_boot);
	if (r == 0) {
		open = '\0';
		r = quarantine_left(s);
	}
	first = r < 0 ? r : first;
	r = recover_spaces(s->conf, service, at_boot, open);
	first = first ? first : r;
	provide(s);
	return first;
}
