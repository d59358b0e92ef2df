/* SPDX-License-Identifier: Apache-2.0 */
#include "invariants.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "updaterd/backup.h"
#include "updaterd/journal.h"
#include "updaterd/result.h"
#include "updaterd/state.h"
#include "updaterd/swap.h"

#define MAX_SWAP_DOWN_MSEC     5000u
#define MAX_ROLLBACK_DOWN_MSEC 15000u

/* What is on the disk, read once. */
struct sight {
	const struct world *w;
	const struct scenario *s;
	const struct before *before;
	struct verdict *verdict;
	struct state *state; /* NULL: there is no installer's directory yet */
	struct known now[CONF_MAX_PROGRAMS];
	int current_error[CONF_MAX_PROGRAMS]; /* as swap_read() */
	bool is_factory[CONF_MAX_PROGRAMS];   /* `current` leads to the factory release */
	char txid[TXID_LENGTH + 1];	      /* of the attempt */
	enum outcome outcome;		      /* of that, by its result; OUTCOME_NONE: has none */
};

/* The first one counts. Returns false, so that a check ends with it. */
static _printf_(2, 3) bool broken(const struct sight *v, const char *format, ...)
{
	va_list args;

	if (*v->verdict->text)
		return false;
	va_start(args, format);
	(void)vsnprintf(v->verdict->text, sizeof v->verdict->text, format, args);
	va_end(args);
	return false;
}

static const struct conf_program *program(const struct sight *v, size_t i)
{
	return &v->w->conf.programs[i];
}

static bool is_tried(const struct sight *v, size_t i)
{
	return v->s->program == program(v, i)->letter;
}

static bool is_whole(const struct sight *v, size_t i, const char *version, char *ret, size_t size)
{
	world_judge_release(v->w, program(v, i)->letter, version, ret, size);
	return *ret == '\0';
}

/* ---- reading ---- */

/* Where the rescue program found no release that could run. */
static bool leads_to_factory(int space_fd, const char *factory)
{
	_cleanup_free_ char *target = NULL;

	return fs_read_link(space_fd, SWAP_CURRENT, &target) == 0 && strcmp(target, factory) == 0;
}

static void see_links(struct sight *v, size_t i)
{
	_cleanup_close_ int fd = open(program(v, i)->space,
				      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct version version;

	v->current_error[i] = fd < 0 ? -ENOENT : swap_read(fd, SWAP_CURRENT, &version);
	if (v->current_error[i] == 0)
		memcpy(v->now[i].current, version.text, sizeof version.text);
	v->is_factory[i] = fd >= 0 && leads_to_factory(fd, program(v, i)->factory);
	if (fd >= 0 && swap_read(fd, SWAP_PREVIOUS, &version) == 0)
		memcpy(v->now[i].previous, version.text, sizeof version.text);
}

static void see_state(struct sight *v)
{
	struct version floor;

	if (state_open(&v->w->conf, STATE_READ, &v->state) < 0)
		return;
	for (size_t i = 0; i < v->w->conf.n_programs; i++)
		if (state_floor(v->state, program(v, i)->letter, &floor) == 0)
			memcpy(v->now[i].floor, floor.text, sizeof floor.text);
}

static enum outcome outcome_in(const char *json)
{
	_cleanup_json_ cJSON *object = NULL;
	int outcome = -1;

	if (json_parse(json, strlen(json), NULL, &object, NULL) == 0)
		outcome = outcome_from_name(json_text_or(object, "outcome", ""));
	return outcome < 0 ? OUTCOME_NONE : (enum outcome)outcome;
}

/* The rescue program makes one up. */
static void see_txid_of_rescue(struct sight *v)
{
	_cleanup_(result_list_freep) char **results = NULL;

	if (!v->state || result_list(v->state->dirfd, &results) < 0)
		return;
	for (char **r = results; *r; r++) {
		_cleanup_json_ cJSON *object = NULL;

		if (json_parse(*r, strlen(*r), NULL, &object, NULL) == 0 &&
		    strcmp(json_text_or(object, "kind", ""), RESULT_KIND_ROLLBACK) == 0)
			(void)snprintf(v->txid, sizeof v->txid, "%s",
				       json_text_or(object, "txid", ""));
	}
}

static void see_result(struct sight *v)
{
	_cleanup_free_ char *json = NULL;

	(void)snprintf(v->txid, sizeof v->txid, "%s", world_txid(SCENARIO_ATTEMPT));
	if (v->s->is_by_rescue)
		see_txid_of_rescue(v);
	if (v->state && result_find(v->state->dirfd, v->txid, &json) == 0)
		v->outcome = outcome_in(json);
}

static void look(struct sight *v)
{
	for (size_t i = 0; i < v->w->conf.n_programs; i++)
		see_links(v, i);
	see_state(v);
	see_result(v);
}

/* How many names a directory has, and how many of them begin with this. */
static size_t count_names(const char *directory, const char *start, size_t *ret_all)
{
	DIR *d = opendir(directory);
	const struct dirent *entry;
	size_t n = 0, all = 0;

	while (d && (entry = readdir(d))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		all++;
		n += strncmp(entry->d_name, start, strlen(start)) == 0;
	}
	if (d)
		(void)closedir(d);
	if (ret_all)
		*ret_all = all;
	return n;
}

static size_t count_in_space(const struct sight *v, size_t i, const char *below, const char *start,
			     size_t *ret_all)
{
	char path[PATH_MAX + 32];

	(void)snprintf(path, sizeof path, "%s/%s", program(v, i)->space, below);
	return count_names(path, start, ret_all);
}

/* ---- I1: `current` leads to a whole release, of both programs, always ---- */

static bool may_be_missing(const struct sight *v)
{
	return v->s->is_bare && !v->w->machine->ended.is_made;
}

/* Recovery reads every byte of what runs at boot only. */
static bool may_be_damaged(const struct sight *v, size_t i, bool at_rest)
{
	return v->s->is_damaged && is_tried(v, i) && v->outcome != OUTCOME_CONFIRMED &&
	       !(at_rest && v->w->machine->was_off);
}

static bool i1_current_is_whole(const struct sight *v, bool at_rest)
{
	char wrong[256];

	for (size_t i = 0; i < v->w->conf.n_programs; i++) {
		char letter = program(v, i)->letter;

		if (v->current_error[i] == -ENOENT && may_be_missing(v))
			continue;
		/* Recovery adopts it. */
		if (v->is_factory[i] && !at_rest)
			continue;
		if (v->current_error[i] < 0)
			return broken(v, "I1: %c has no current release: %s", letter,
				      strerror(-v->current_error[i]));
		if (may_be_damaged(v, i, at_rest))
			continue;
		if (!is_whole(v, i, v->now[i].current, wrong, sizeof wrong))
			return broken(v, "I1: %c's current release: %s", letter, wrong);
	}
	return true;
}

/* ---- I2: from READY to the end of the trial the old and the new release are whole ---- */

static bool i2_both_are_whole(const struct sight *v)
{
	static const char *const ends[] = { "from", "to" };
	enum journal_state state = v->state ? journal_state(v->state->journal) : JOURNAL_IDLE;
	const char *letter = v->state ? journal_get(v->state->journal, "program") : NULL;
	char wrong[256];

	if ((state != JOURNAL_READY && state != JOURNAL_TRIAL) || !letter)
		return true;
	for (size_t e = 0; e < ELEMENTSOF(ends); e++) {
		const char *version = journal_get(v->state->journal, ends[e]);

		if (!version)
			return broken(v, "I2: the journal has no '%s' in %s", ends[e],
				      journal_state_name(state));
		if (!is_whole(v, *letter == 'A' ? 0 : 1, version, wrong, sizeof wrong))
			return broken(v, "I2: in %s: %s", journal_state_name(state), wrong);
	}
	return true;
}

/* Before it says TRIAL, `current` was not touched. */
static bool i2_flip_was_announced(const struct sight *v)
{
	enum journal_state state = v->state ? journal_state(v->state->journal) : JOURNAL_IDLE;
	const char *letter = v->state ? journal_get(v->state->journal, "program") : NULL;
	const char *from = v->state ? journal_get(v->state->journal, "from") : NULL;
	size_t i = letter && *letter == 'A' ? 0 : 1;

	if (state == JOURNAL_IDLE || state >= JOURNAL_TRIAL || !letter || !from ||
	    strcmp(v->now[i].current, from) == 0)
		return true;
	return broken(v, "I2: in %s current is %s already", journal_state_name(state),
		      v->now[i].current);
}

/* A backup has its name only when it is right. */
static bool i2_backups_are_right(const struct sight *v)
{
	for (size_t i = 0; i < v->w->conf.n_programs; i++) {
		_cleanup_(store_closep) struct store *store = NULL;
		_cleanup_free_ struct version *versions = NULL;
		size_t n = 0;

		if (store_open(program(v, i)->space, &store) < 0 ||
		    store_list(store, &versions, &n) < 0)
			continue;
		for (size_t k = 0; k < n; k++) {
			const struct golden *golden = inputs_golden(v->w->inputs, versions[k].text);
			int r = golden ? backup_check(store, &versions[k], golden->tar_sha256,
						      v->w->conf.max_program_bytes)
				       : 0;

			if (r < 0 && r != -ENOENT)
				return broken(v, "I2: the backup of %s: %s", versions[k].text,
					      strerror(-r));
		}
	}
	return true;
}

/* ---- I3: one transaction at a time; a stage is never run ---- */

static bool i3_one_at_a_time(const struct sight *v)
{
	size_t n = 0;

	for (size_t i = 0; i < v->w->conf.n_programs; i++)
		n += count_in_space(v, i, "releases", ".stage-", NULL);
	if (n > 1)
		return broken(v, "I3: %zu stages", n);
	if (*v->w->machine->wrong)
		return broken(v, "I3: %s", v->w->machine->wrong);
	return true;
}

/* ---- I4: floors never go down, nor up but by a confirmed upgrade ---- */

static bool i4_floors_stand(const struct sight *v, bool at_rest)
{
	if (v->state && journal_is_damaged(v->state->journal) && at_rest)
		return broken(v, "I4: the journal is damaged");
	for (size_t i = 0; i < v->w->conf.n_programs; i++) {
		const char *floor = v->now[i].floor, *before = v->before->programs[i].floor;

		if (strcmp(floor, before) < 0)
			return broken(v, "I4: the floor of %c went from '%s' to '%s'",
				      program(v, i)->letter, before, floor);
		/* Where the journal could not be read, what ran becomes the floor. */
		if (v->w->machine->had_error && strcmp(floor, v->before->programs[i].current) == 0)
			continue;
		if (strcmp(floor, before) > 0 &&
		    (!is_tried(v, i) || v->s->ends_badly || strcmp(floor, v->s->to) != 0))
			return broken(v, "I4: the floor of %c went from '%s' to '%s'",
				      program(v, i)->letter, before, floor);
		if (at_rest && is_tried(v, i) && strcmp(floor, before) > 0 &&
		    v->outcome != OUTCOME_CONFIRMED)
			return broken(v, "I4: the floor of %c is '%s', which was not confirmed",
				      program(v, i)->letter, floor);
	}
	return true;
}

/* ---- I5: an attempt ends, once, and what its end says is so ---- */

static const char *expected_current(const struct sight *v, size_t i)
{
	if (is_tried(v, i) && v->outcome == OUTCOME_CONFIRMED)
		return v->s->to;
	return v->before->programs[i].current;
}

static bool is_previous_right(const struct sight *v, size_t i)
{
	const struct known *before = &v->before->programs[i], *now = &v->now[i];

	if (is_tried(v, i) && v->outcome == OUTCOME_CONFIRMED && !v->s->is_damaged)
		return strcmp(now->previous, before->current) == 0;
	return strcmp(now->previous, before->previous) == 0;
}

static bool i5_links_say_what_the_result_says(const struct sight *v)
{
	for (size_t i = 0; i < v->w->conf.n_programs && !v->s->is_bare; i++) {
		bool is_given_up = v->s->is_damaged && is_tried(v, i);

		/* The rescue program may do it without a record. */
		if (v->s->is_by_rescue && v->w->machine->had_error && v->outcome == OUTCOME_NONE &&
		    is_tried(v, i) && strcmp(v->now[i].current, v->s->to) == 0)
			continue;
		/* What was damaged is left for what there is. */
		if (is_given_up && strcmp(v->now[i].current, v->before->programs[i].previous) == 0)
			continue;
		if (strcmp(v->now[i].current, expected_current(v, i)) != 0)
			return broken(v, "I5: %c runs %s, the result says %s (%s)",
				      program(v, i)->letter, v->now[i].current,
				      outcome_name(v->outcome), expected_current(v, i));
		if (!is_given_up && !is_previous_right(v, i))
			return broken(v, "I5: %c's previous is '%s' (%s)", program(v, i)->letter,
				      v->now[i].previous, outcome_name(v->outcome));
	}
	return true;
}

static bool i5_attempt_has_ended(const struct sight *v)
{
	const struct machine *m = v->w->machine;
	enum journal_state state = v->state ? journal_state(v->state->journal) : JOURNAL_IDLE;

	if (state != JOURNAL_IDLE)
		return broken(v, "I5: after recovery the journal says %s",
			      journal_state_name(state));
	if (m->recorded.is_made && v->outcome == OUTCOME_NONE)
		return broken(v, "I5: the attempt was recorded and has no result");
	if (m->ended.is_made && v->s->program && v->outcome != m->outcome)
		return broken(v, "I5: it ended %s, its result says %s", outcome_name(m->outcome),
			      outcome_name(v->outcome));
	if (v->s->ends_badly && v->outcome == OUTCOME_CONFIRMED)
		return broken(v, "I5: a bad release was confirmed");
	return i5_links_say_what_the_result_says(v);
}

/* A person's way back by the rescue program, once it is in the journal, is not lost. */
static void note_way_back(const struct sight *v)
{
	v->w->machine->is_wanted_back = v->s->is_by_rescue && v->state &&
					journal_state(v->state->journal) == JOURNAL_CONFIRMED;
}

static bool i5_who_asked_for_the_way_back_gets_it(const struct sight *v)
{
	if (!v->w->machine->is_wanted_back || v->outcome == OUTCOME_CONFIRMED)
		return true;
	return broken(v, "I5: a person's way back was cut and ended %s", outcome_name(v->outcome));
}

/* ---- I6: one result for an attempt ---- */

static size_t count_lines_of(const char *history, const char *txid)
{
	size_t n = 0;

	for (const char *p = history; (p = strstr(p, txid)); p++)
		n++;
	return n;
}

static bool has_one_result(const struct sight *v, const char *history, const char *txid)
{
	char name[64];
	size_t n = count_lines_of(history, txid);

	(void)snprintf(name, sizeof name, "results/%s.json", txid);
	if (n != 1)
		return broken(v, "I6: %zu results of %s in the history", n, txid);
	if (faccessat(v->state->dirfd, name, F_OK, 0) < 0)
		return broken(v, "I6: the result of %s is not to be sent", txid);
	return true;
}

static bool i6_one_result_each(const struct sight *v)
{
	_cleanup_free_ char *history = NULL, *path = NULL;
	size_t all, expected = v->before->n_results + (v->outcome != OUTCOME_NONE);

	if (!v->state)
		return true;
	if (result_history(v->state->dirfd, 200, &history) < 0)
		return broken(v, "I6: no history can be read");
	for (unsigned i = 1; i <= v->before->n_results; i++)
		if (!has_one_result(v, history, world_txid(i)))
			return false;
	if (v->outcome != OUTCOME_NONE && !has_one_result(v, history, v->txid))
		return false;
	if (asprintf(&path, "%s/results", v->w->conf.installer_dir) < 0)
		return broken(v, "no memory");
	(void)count_names(path, "", &all);
	return all == expected || broken(v, "I6: %zu results wait, not %zu", all, expected);
}

/* ---- I7: nothing is left over ---- */

static bool is_ours(const char *const *names, const char *name)
{
	for (; *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static bool has_only(const struct sight *v, const char *path, const char *const *names)
{
	DIR *d = opendir(path);
	const struct dirent *entry;
	bool ok = true;

	while (d && ok && (entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    !is_ours(names, entry->d_name))
			ok = broken(v, "I7: '%s' is left in '%s'", entry->d_name,
				    strrchr(path, '/') + 1);
	if (d)
		(void)closedir(d);
	return ok;
}

/* V.tar.xz and what is noted of it, of the versions that are kept. */
static bool has_backups_of_its_own(const struct sight *v, size_t i)
{
	const struct known *now = &v->now[i];
	char path[PATH_MAX + 32], names[4][32];
	const char *list[] = { names[0], names[1], names[2], names[3], NULL };

	(void)snprintf(names[0], sizeof names[0], "%s.tar.xz", now->current);
	(void)snprintf(names[1], sizeof names[1], "%s.sha256", now->current);
	(void)snprintf(names[2], sizeof names[2], "%s.tar.xz", now->previous);
	(void)snprintf(names[3], sizeof names[3], "%s.sha256", now->previous);
	(void)snprintf(path, sizeof path, "%s/backups", program(v, i)->space);
	return has_only(v, path, list);
}

static bool i7_nothing_is_left(const struct sight *v)
{
	static const char *const in_space[] = { "releases", "backups", "current", "previous",
						NULL };
	static const char *const in_installer[] = { "lock",    "journal.a",	"journal.b",
						    "trust",   "results",	"programs",
						    "reserve", "history.jsonl", NULL };

	for (size_t i = 0; i < v->w->conf.n_programs; i++) {
		size_t n, expected = 1;

		if (v->current_error[i] == -ENOENT)
			continue;
		expected += *v->now[i].previous &&
			    strcmp(v->now[i].previous, v->now[i].current) != 0;
		if (count_in_space(v, i, "releases", "", &n), n != expected)
			return broken(v, "I7: %c has %zu releases, not %zu", program(v, i)->letter,
				      n, expected);
		if (!has_backups_of_its_own(v, i))
			return false;
		if (!has_only(v, program(v, i)->space, in_space))
			return false;
	}
	return has_only(v, v->w->conf.installer_dir, in_installer);
}

/* ---- I8: B runs, and was not away for long ---- */

static bool i8_b_runs(const struct sight *v)
{
	const struct machine *m = v->w->machine;
	unsigned most = v->s->ends_badly ? MAX_ROLLBACK_DOWN_MSEC : MAX_SWAP_DOWN_MSEC;

	if (may_be_missing(v) || v->s->is_bare)
		return true;
	if (!m->b.is_running)
		return broken(v, "I8: B does not run");
	if (strcmp(m->b.version, v->now[1].current) != 0)
		return broken(v, "I8: B runs %s, current is %s", m->b.version, v->now[1].current);
	if (m->down_msec > most)
		return broken(v, "I8: B was away for %llu ms", (unsigned long long)m->down_msec);
	return true;
}

/* ---- I9: a new updater is kept only after it has proved itself ---- */

static bool i9_a_has_proved_itself(const struct sight *v)
{
	/* What a person goes back to has proved itself before. */
	if (v->s->program != 'A' || strcmp(v->s->to, v->before->programs[0].current) < 0 ||
	    v->outcome != OUTCOME_CONFIRMED || v->w->machine->n_trials_a > 0)
		return true;
	return broken(v, "I9: %s was confirmed and not tried", v->s->to);
}

/* ---- I10: an error is told ---- */

static bool i10_what_it_says_is_true(const struct sight *v)
{
	const struct machine *m = v->w->machine;

	if (!m->has_returned)
		return broken(v, "I10: it did not come back");
	if (!v->s->program || v->s->is_cut_before || m->returned < 0)
		return true;
	if (v->s->is_by_rescue)
		return strcmp(v->now[v->s->program == 'A' ? 0 : 1].current, v->s->to) == 0 ||
		       broken(v, "I10: it says that it went back, and did not");
	if (m->outcome == OUTCOME_NONE)
		return broken(v, "I10: it came back without an outcome");
	if (m->outcome != OUTCOME_CONFIRMED && m->reason == REASON_NONE)
		return broken(v, "I10: it ended %s without a reason", outcome_name(m->outcome));
	if (v->outcome != m->outcome)
		return broken(v, "I10: it says %s, its result %s", outcome_name(m->outcome),
			      outcome_name(v->outcome));
	if (m->outcome == OUTCOME_CONFIRMED)
		return i5_links_say_what_the_result_says(v);
	return true;
}

/* I11 is about what an attempt does, not about what it leaves: the tracer watches it (tracer.c). */

/* ---- together ---- */

void invariants_at_cut(const struct world *w, const struct scenario *s, const struct before *before,
		       struct verdict *verdict)
{
	struct sight v = { .w = w, .s = s, .before = before, .verdict = verdict };

	look(&v);
	note_way_back(&v);
	(void)(i1_current_is_whole(&v, false) && i2_both_are_whole(&v) &&
	       i2_flip_was_announced(&v) && i2_backups_are_right(&v) && i3_one_at_a_time(&v) &&
	       i4_floors_stand(&v, false));
	(void)state_close(v.state);
}

void invariants_at_rest(const struct world *w, const struct scenario *s,
			const struct before *before, struct verdict *verdict)
{
	struct sight v = { .w = w, .s = s, .before = before, .verdict = verdict };

	look(&v);
	(void)(i1_current_is_whole(&v, true) && i2_backups_are_right(&v) && i3_one_at_a_time(&v) &&
	       i4_floors_stand(&v, true) && i5_attempt_has_ended(&v) &&
	       i5_who_asked_for_the_way_back_gets_it(&v) && i6_one_result_each(&v) &&
	       i7_nothing_is_left(&v) && i8_b_runs(&v) && i9_a_has_proved_itself(&v));
	(void)state_close(v.state);
}

void invariants_in_between(const struct world *w, const struct scenario *s,
			   const struct before *before, struct verdict *verdict)
{
	struct sight v = { .w = w, .s = s, .before = before, .verdict = verdict };

	look(&v);
	(void)(i1_current_is_whole(&v, false) && i3_one_at_a_time(&v) &&
	       i4_floors_stand(&v, false));
	(void)state_close(v.state);
}

void invariants_of_answer(const struct world *w, const struct scenario *s,
			  const struct before *before, struct verdict *verdict)
{
	struct sight v = { .w = w, .s = s, .before = before, .verdict = verdict };

	look(&v);
	(void)(i1_current_is_whole(&v, false) && i3_one_at_a_time(&v) &&
	       i4_floors_stand(&v, false) && i10_what_it_says_is_true(&v));
	(void)state_close(v.state);
}
