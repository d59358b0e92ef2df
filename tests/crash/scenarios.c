/* SPDX-License-Identifier: Apache-2.0 */
#include "scenarios.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fsutil.h"
#include "updaterd/adopt.h"
#include "updaterd/result.h"
#include "updaterd/state.h"
#include "updaterd/swap.h"

/* ---- beginnings ---- */

static int confirmed(struct world *w, unsigned n, char letter, const char *version)
{
	int r = world_attempt(w, n, letter, version, false);

	if (r < 0)
		return r;
	return w->machine->outcome == OUTCOME_CONFIRMED ? 0 : -EIO;
}

static int runs_first_b(struct world *w)
{
	return confirmed(w, 1, 'B', FIRST_B);
}

/* It failed once, so what it left, a backup, is there already. */
static int has_failed_once(struct world *w)
{
	int r;

	w->odd_version = FIRST_B;
	w->odd = PLAYS_EXIT;
	r = world_attempt(w, 1, 'B', FIRST_B, false);
	w->odd_version = NULL;
	return r < 0 ? r : w->machine->outcome == OUTCOME_ROLLED_BACK ? 0 : -EIO;
}

static int runs_first_a(struct world *w)
{
	return confirmed(w, 1, 'A', FIRST_A);
}

static int runs_first_of_both(struct world *w)
{
	int r = runs_first_b(w);

	return r < 0 ? r : confirmed(w, 2, 'A', FIRST_A);
}

static int write_litter(const struct world *w, const char *name)
{
	_cleanup_close_ int root = open(w->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char directory[PATH_MAX];
	int r;

	(void)snprintf(directory, sizeof directory, "%s", name);
	*strrchr(directory, '/') = '\0';
	r = fs_mkdir_p(root, directory, 0700);
	return r < 0 ? r : fs_write_file_atomic(root, name, "litter\n", 7, 0400);
}

/* A third release, whole, that nothing leads to; and all that a cut may leave. */
static int is_littered(struct world *w)
{
	static const char *const names[] = {
		"b/releases/.stage-c4a54000-0000-4000-8000-000000000042/bin/program",
		"b/releases/.drop-" THIRD_B "/share/x",
		"b/backups/.new-" THIRD_B,
		"b/backups/" THIRD_B ".tar.xz",
	};
	_cleanup_(store_closep) struct store *store = NULL;
	struct version version;
	struct failure failure;
	int r = runs_first_b(w);

	if (r == 0)
		r = confirmed(w, 2, 'B', SECOND_B);
	for (size_t i = 0; i < ELEMENTSOF(names) && r == 0; i++)
		r = write_litter(w, names[i]);
	if (r == 0)
		r = store_open(w->conf.programs[1].space, &store);
	if (r == 0)
		r = adopt_factory(&w->conf.programs[1], store, &version, &failure);
	return r;
}

static int damage_b(struct world *w, const char *version)
{
	char path[PATH_MAX];
	int r, fd;

	(void)snprintf(path, sizeof path, "%s/b/releases/%s/bin/program", w->root, version);
	if (chmod(path, 0600) < 0)
		return -errno;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fs_pwrite_all(fd, "damage", 6, 5000);
	if (r == 0 && fchmod(fd, 0555) < 0)
		r = -errno;
	return close(fd) < 0 ? -errno : r;
}

static int is_damaged(struct world *w)
{
	int r = runs_first_b(w);

	return r < 0 ? r : damage_b(w, FIRST_B);
}

/* There is a backup of it. */
static int previous_is_damaged(struct world *w)
{
	int r = runs_first_b(w);

	return r < 0 ? r : damage_b(w, FACTORY_B);
}

/* An installer that is gone when the new version starts. */
static int is_cut_on_trial(struct world *w)
{
	int r = runs_first_b(w), status;
	pid_t pid;

	if (r < 0)
		return r;
	memset(&w->machine->recorded, 0, sizeof w->machine->recorded);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		w->odd_version = SECOND_B;
		w->odd = PLAYS_CUT;
		_exit(world_attempt(w, SCENARIO_ATTEMPT, 'B', SECOND_B, false) == 0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != CUT_STATUS)
		return -EIO;
	w->machine->is_outside = false;
	return 0;
}

/* ---- what is cut ---- */

static int adopt_both(struct world *w)
{
	int r = world_adopt(w, 'A');

	return r < 0 ? r : world_adopt(w, 'B');
}

static int adopt_run(struct world *w)
{
	struct machine *m = w->machine;
	int r = adopt_both(w);

	if (r == 0) {
		m->ended.position = m->log_length;
		m->ended.is_made = true;
	}
	m->returned = r;
	m->has_returned = true;
	return r;
}

static int upgrade(struct world *w, const char *version)
{
	return world_attempt(w, SCENARIO_ATTEMPT, version[0], version, false);
}

static int upgrade_to_first_a(struct world *w)
{
	return upgrade(w, FIRST_A);
}

static int upgrade_to_first_b(struct world *w)
{
	return upgrade(w, FIRST_B);
}

static int upgrade_to_new_a(struct world *w)
{
	return upgrade(w, SECOND_A);
}

static int upgrade_to_new_b(struct world *w)
{
	return upgrade(w, SECOND_B);
}

static int patch_to_new_b(struct world *w)
{
	return world_attempt(w, SCENARIO_ATTEMPT, 'B', SECOND_B, true);
}

static int roll_back_a(struct world *w)
{
	return world_attempt(w, SCENARIO_ATTEMPT, 'A', NULL, false);
}

static int roll_back_b(struct world *w)
{
	return world_attempt(w, SCENARIO_ATTEMPT, 'B', NULL, false);
}

static int rescue_back_a(struct world *w)
{
	return world_rescue_back(w, 'A');
}

static int rescue_back_b(struct world *w)
{
	return world_rescue_back(w, 'B');
}

static int recover_as(struct world *w, bool has_rescue)
{
	struct machine *m = w->machine;
	int r = has_rescue ? world_rescue(w) : 0;

	if (r >= 0)
		r = world_recover(w, true);

	m->returned = r;
	m->has_returned = true;
	return r;
}

static int recover_only(struct world *w)
{
	return recover_as(w, false);
}

static int rescue_and_recover(struct world *w)
{
	return recover_as(w, true);
}

const struct scenario scenarios[] = {
	{ .name = "adopt",
	  .what = "the packages' factory releases are adopted",
	  .run = adopt_run,
	  .is_bare = true },
	{ .name = "upgrade-b",
	  .what = "B is upgraded, there was no previous release",
	  .run = upgrade_to_first_b,
	  .program = 'B',
	  .to = FIRST_B },
	{ .name = "again-b",
	  .what = "the same after an attempt that failed",
	  .prepare = has_failed_once,
	  .run = upgrade_to_first_b,
	  .program = 'B',
	  .to = FIRST_B },
	{ .name = "patch-b",
	  .what = "B is upgraded by patch, the release before the last goes",
	  .prepare = runs_first_of_both,
	  .run = patch_to_new_b,
	  .program = 'B',
	  .to = SECOND_B },
	{ .name = "bad-b",
	  .what = "B's new release ends at once and is rolled back",
	  .prepare = runs_first_b,
	  .run = upgrade_to_new_b,
	  .program = 'B',
	  .to = SECOND_B,
	  .odd_version = SECOND_B,
	  .odd = PLAYS_EXIT,
	  .ends_badly = true },
	{ .name = "bad-b-first",
	  .what = "the same where there was no previous release, by the probe's word",
	  .run = upgrade_to_first_b,
	  .program = 'B',
	  .to = FIRST_B,
	  .odd_version = FIRST_B,
	  .odd = PLAYS_BAD,
	  .ends_badly = true },
	{ .name = "rollback-b",
	  .what = "a person goes back to B's previous release",
	  .prepare = runs_first_b,
	  .run = roll_back_b,
	  .program = 'B',
	  .to = FACTORY_B },
	{ .name = "restore-b",
	  .what = "the same where that is damaged, and comes from its backup",
	  .prepare = previous_is_damaged,
	  .run = roll_back_b,
	  .program = 'B',
	  .to = FACTORY_B },
	{ .name = "rescue-back-b",
	  .what = "a person goes back to B's previous release by the rescue program",
	  .prepare = runs_first_b,
	  .run = rescue_back_b,
	  .program = 'B',
	  .to = FACTORY_B,
	  .is_by_rescue = true },
	{ .name = "rescue-back-a",
	  .what = "the same with A",
	  .prepare = runs_first_a,
	  .run = rescue_back_a,
	  .program = 'A',
	  .to = FACTORY_A,
	  .is_by_rescue = true },
	{ .name = "upgrade-a",
	  .what = "A is upgraded",
	  .run = upgrade_to_first_a,
	  .program = 'A',
	  .to = FIRST_A },
	{ .name = "upgrade-a-again",
	  .what = "A is upgraded, the release before the last goes",
	  .prepare = runs_first_a,
	  .run = upgrade_to_new_a,
	  .program = 'A',
	  .to = SECOND_A },
	{ .name = "bad-a",
	  .what = "A's new release exits 0 and proves nothing, and is rolled back",
	  .prepare = runs_first_a,
	  .run = upgrade_to_new_a,
	  .program = 'A',
	  .to = SECOND_A,
	  .odd_version = SECOND_A,
	  .odd = PLAYS_BAD,
	  .ends_badly = true },
	{ .name = "rollback-a",
	  .what = "a person goes back to A's previous release",
	  .prepare = runs_first_a,
	  .run = roll_back_a,
	  .program = 'A',
	  .to = FACTORY_A },
	{ .name = "prune",
	  .what = "recovery removes what earlier cuts left",
	  .prepare = is_littered,
	  .run = recover_only },
	{ .name = "repair-b",
	  .what = "B's running release is damaged and is repaired",
	  .prepare = is_damaged,
	  .run = upgrade_to_first_b,
	  .program = 'B',
	  .to = FIRST_B,
	  .is_damaged = true },
	{ .name = "recover",
	  .what = "recovery at boot ends a trial that was cut",
	  .prepare = is_cut_on_trial,
	  .run = recover_only,
	  .program = 'B',
	  .to = SECOND_B,
	  .ends_badly = true,
	  .is_cut_before = true },
	{ .name = "rescue",
	  .what = "the same with the rescue program before it",
	  .prepare = is_cut_on_trial,
	  .run = rescue_and_recover,
	  .is_boot = true,
	  .program = 'B',
	  .to = SECOND_B,
	  .ends_badly = true,
	  .is_cut_before = true },
	{ .name = "full-b",
	  .what = "B's new release fills the disk and is rolled back",
	  .prepare = runs_first_b,
	  .run = upgrade_to_new_b,
	  .program = 'B',
	  .to = SECOND_B,
	  .odd_version = SECOND_B,
	  .odd = PLAYS_FULL,
	  .ends_badly = true,
	  .fills_disk = true },
};
const size_t n_scenarios = ELEMENTSOF(scenarios);

const struct scenario *scenario_find(const char *name)
{
	for (size_t i = 0; i < n_scenarios; i++)
		if (strcmp(scenarios[i].name, name) == 0)
			return &scenarios[i];
	return NULL;
}

/* ---- before ---- */

static void note_link(int space_fd, const char *link, char ret[VERSION_LENGTH + 1])
{
	struct version version;

	if (space_fd >= 0 && swap_read(space_fd, link, &version) == 0)
		memcpy(ret, version.text, sizeof version.text);
}

static int note_before(const struct world *w, struct before *ret)
{
	_cleanup_(state_closep) struct state *s = NULL;
	_cleanup_(result_list_freep) char **results = NULL;
	int r = state_open(&w->conf, STATE_READ, &s);

	if (r < 0)
		return r;
	for (size_t i = 0; i < w->conf.n_programs; i++) {
		const struct conf_program *p = &w->conf.programs[i];
		struct known *known = &ret->programs[i];
		_cleanup_close_ int fd = open(p->space, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		struct version floor;

		note_link(fd, SWAP_CURRENT, known->current);
		note_link(fd, SWAP_PREVIOUS, known->previous);
		if (state_floor(s, p->letter, &floor) == 0)
			memcpy(known->floor, floor.text, sizeof floor.text);
	}
	r = result_list(s->dirfd, &results);
	while (r == 0 && results[ret->n_results])
		ret->n_results++;
	return r;
}

/* A trial that was cut has the links of the new release; what it is to go back to is what was before. */
static void note_cut(struct before *ret)
{
	struct known *b = &ret->programs[1];

	(void)strcpy(b->current, FIRST_B);
	(void)strcpy(b->previous, FACTORY_B);
}

int scenario_prepare(const struct scenario *s, struct world *w, struct before *ret)
{
	struct machine *m = w->machine;
	int r = 0;

	memset(ret, 0, sizeof *ret);
	memset(m, 0, sizeof *m);
	m->listener = -1;
	m->clock_msec = 1000000;
	if (!s->is_bare) {
		r = adopt_both(w);
		if (r == 0)
			world_boot(w);
		if (r == 0 && s->prepare)
			r = s->prepare(w);
		if (r == 0)
			r = note_before(w, ret);
	}
	if (r < 0)
		return r;
	if (s->is_cut_before)
		note_cut(ret);
	else
		m->recorded.is_made = false;
	m->ended.is_made = false;
	m->has_returned = false;
	m->outcome = OUTCOME_NONE;
	m->reason = REASON_NONE;
	m->down_msec = 0;
	m->n_trials_a = 0;
	if (s->is_boot)
		m->b.is_running = false;
	w->odd_version = s->odd_version;
	w->odd = s->odd;
	return *m->wrong ? -EUCLEAN : 0;
}
