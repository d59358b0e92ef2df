/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/recover.h"

#include <fcntl.h>
#include <string.h>

#include "common/log.h"
#include "updaterd/adopt.h"
#include "updaterd/record.h"
#include "updaterd/swap.h"
#include "updaterd/trial.h"

/* ---- `current` ---- */

static bool leads_to_release(const struct store *store)
{
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	_cleanup_close_ int fd = FD_NONE;
	struct version current;

	if (swap_read(store_dirfd(store), SWAP_CURRENT, &current) < 0)
		return false;
	fd = store_open_release(store, &current);
	return fd >= 0 && store_read_manifest(fd, &manifest, NULL) == 0;
}

/* Every byte of it, which takes its time. */
static bool leads_to_sound_release(const struct store *store)
{
	_cleanup_free_ char *error = NULL;
	struct version current;

	if (swap_read(store_dirfd(store), SWAP_CURRENT, &current) < 0)
		return false;
	if (store_check_release(store, &current, &error) == 0)
		return true;
	log_error("'%s/current' leads to '%s', which is damaged: %s", store_path(store),
		  current.text, error ? error : "it cannot be read");
	return false;
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
		if (store_check_release(store, &versions[i], NULL) < 0)
			continue;
		*ret = versions[i];
		return 0;
	}
	return -ENOENT;
}

/* `previous`, else the newest complete release, else the factory's. */
static int find_replacement(const struct conf_program *program, struct store *store,
			    struct version *ret)
{
	struct failure failure;
	struct version version;
	int r;

	if (swap_read(store_dirfd(store), SWAP_PREVIOUS, &version) == 0 &&
	    store_check_release(store, &version, NULL) == 0) {
		*ret = version;
		return 0;
	}
	r = find_newest(store, ret);
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

	if (is_thorough ? leads_to_sound_release(store) : leads_to_release(store))
		return 0;
	r = find_replacement(program, store, &version);
	if (r < 0)
		return leads_to_release(store) ? -EUCLEAN : r;
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

/* At boot the programs start after us. Else the one that runs may be the one that was undone. */
static void restart_program(const struct recovery *rec)
{
	const struct service_ops *ops = rec->service.ops;
	struct service_start start;
	struct failure failure;

	if (!rec->program->unit)
		return;
	if (rec->at_boot && ops->is_alive(rec->service.userdata, rec->program->unit) <= 0)
		return;
	if (ops->restart(rec->service.userdata, rec->program->unit, rec->program->ready_timeout_sec,
			 &start, &failure) < 0)
		log_error("'%s' after recovery: %s", rec->result.from, failure.text);
}

/* What `previous` led to, if that is still there: an attempt at it again may have removed it. */
static bool read_before_previous(const struct recovery *rec, struct version *ret)
{
	const char *text = journal_get(rec->state->journal, RECORD_BEFORE_PREVIOUS);
	_cleanup_close_ int fd = FD_NONE;

	if (!text || version_parse(text, ret) < 0)
		return false;
	fd = store_open_release(rec->store, ret);
	return fd >= 0;
}

/* Puts both links back to what they were before the attempt. 1 if the new release was `current`. Where
 * the old release is gone, recover_current() has to find what is left. */
static int undo_flip(const struct recovery *rec)
{
	int space_fd = store_dirfd(rec->store);
	struct version from, current, previous, before;
	bool had_previous = read_before_previous(rec, &before);
	bool was_flipped, is_moved;
	_cleanup_close_ int from_fd = FD_NONE;
	int r;

	if (version_parse(rec->result.from, &from) < 0)
		return 0;
	from_fd = store_open_release(rec->store, &from);
	if (from_fd < 0) {
		log_error("'%s' is gone from '%s'", from.text, rec->program->space);
		return 0;
	}
	r = swap_read(space_fd, SWAP_CURRENT, &current);
	was_flipped = r < 0 || strcmp(current.text, from.text) != 0;
	r = swap_read(space_fd, SWAP_PREVIOUS, &previous);
	is_moved = had_previous ? r < 0 || strcmp(previous.text, before.text) != 0 : r != -ENOENT;
	if (was_flipped || is_moved) {
		r = swap_back(space_fd, &from, had_previous ? &before : NULL);
		if (r < 0)
			return r;
	}
	return was_flipped;
}

static void set_interrupted(struct result *result, enum outcome outcome, enum step step)
{
	result->outcome = outcome;
	result->step = step;
	(void)failure_set(&result->failure, 0, REASON_INTERRUPTED, "a crash or power cut during %s",
			  step_name(step));
}

/* With an outcome in the journal it is not the attempt that was cut, but its end. */
static int end_before_swap(struct recovery *rec, enum step step)
{
	if (rec->result.outcome == OUTCOME_NONE)
		set_interrupted(&rec->result, OUTCOME_FAILED, step);
	return rec->store ? undo_flip(rec) : 0;
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

/* A trial that was cut is undone. (To finish it instead, judge the program here as trial_judge()
 * does, and count the starts in the journal's "tries".) Where the journal has a reason, it was judged
 * already, and it is the way back that was cut. */
static int end_trial(struct recovery *rec)
{
	enum reason reason = rec->result.failure.reason;
	int was_flipped = 0;

	if (rec->store) {
		was_flipped = undo_flip(rec);
		if (was_flipped < 0)
			return was_flipped;
		restart_program(rec);
	}
	/* It ended before its flip, that is. */
	if (reason != REASON_NONE && rec->result.outcome == OUTCOME_FAILED && !was_flipped)
		return 0;
	if (reason != REASON_NONE) {
		rec->result.outcome = OUTCOME_ROLLED_BACK;
		return trial_reason_blames_release(reason) ? count_failure(rec) : 0;
	}
	if (!was_flipped) {
		set_interrupted(&rec->result, OUTCOME_FAILED, STEP_SWAP);
		return 0;
	}
	set_interrupted(&rec->result, OUTCOME_ROLLED_BACK, STEP_PROBE);
	return count_failure(rec);
}

static int end_confirmed(struct recovery *rec)
{
	struct version current;

	if (rec->store && swap_read(store_dirfd(rec->store), SWAP_CURRENT, &current) == 0 &&
	    strcmp(current.text, rec->result.to) != 0)
		set_interrupted(&rec->result, OUTCOME_ROLLED_BACK, STEP_CONFIRM);
	else
		rec->result.outcome = OUTCOME_CONFIRMED;
	return 0;
}

static int end_by_state(struct recovery *rec)
{
	switch (journal_state(rec->state->journal)) {
	case JOURNAL_ACCEPTED: return end_before_swap(rec, STEP_CHECK);
	case JOURNAL_STAGING: return end_before_swap(rec, STEP_STAGE);
	case JOURNAL_READY: return end_before_swap(rec, STEP_SWAP);
	case JOURNAL_CONFIRMED: return end_confirmed(rec);
	case JOURNAL_ROLLED_BACK: rec->result.outcome = OUTCOME_ROLLED_BACK; return 0;
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
		return record_end_durably(s->journal);
	}
	rec->program = conf_program(s->conf, rec->result.program);
	rec->store = NULL;
	if (rec->program) {
		r = store_open(rec->program->space, &rec->store);
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
	return record_end_durably(s->journal);
}

/* ---- all of it ---- */

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

static int recover_space(const struct conf_program *program, bool at_boot)
{
	_cleanup_(store_closep) struct store *store = NULL;
	int r, recovered;

	r = open_space(program, &store);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	recovered = recover_current(program, store, at_boot);
	if (recovered < 0 && recovered != -ENOENT && recovered != -EUCLEAN)
		return recovered;
	r = swap_clear(store_dirfd(store));
	if (r == 0)
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

		if (state_current(s->conf, s->conf->programs[i].letter, &current) < 0)
			continue;
		r = state_raise_floor(s, &current);
		if (r < 0)
			return r;
	}
	return journal_write(s->journal);
}

int recover(struct state *s, struct service service, bool at_boot)
{
	struct recovery rec = { .state = s, .service = service, .at_boot = at_boot };
	int r = 0, first = 0;

	if (journal_is_damaged(s->journal))
		first = renew_floors(s);
	if (journal_state(s->journal) != JOURNAL_IDLE) {
		r = recover_attempt(&rec);
		(void)store_close(rec.store);
	}
	if (r < 0) {
		log_error("cannot recover the attempt in the journal: %s", strerror(-r));
		first = r;
	}
	/* Every space gets its turn, whatever is wrong with another. */
	for (size_t i = 0; i < s->conf->n_programs; i++) {
		r = recover_space(&s->conf->programs[i], at_boot);
		if (r < 0) {
			log_error("cannot recover '%s': %s", s->conf->programs[i].space,
				  strerror(-r));
			first = first ? first : r;
		}
	}
	return first;
}
