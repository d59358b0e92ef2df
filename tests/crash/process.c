/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fsutil.h"
#include "tracer.h"

#define SPACE_OPTIONS "size=48m,nr_inodes=500,mode=0755"

struct row {
	struct campaign *c;
	const struct scenario *s;
	struct tally *tally;
	bool errors; /* else death */
};

/* A gateway in memory that can be made again as it was before the scenario. */
struct stand {
	char directory[PATH_MAX - 128], root[PATH_MAX - 96], template[PATH_MAX - 96];
	bool is_mounted;
	struct world world;
	struct machine *machine, at_start;
	struct before before;
};

/* ---- trees ---- */

static int copy_file(int from_dir, int to_dir, const char *name, mode_t mode)
{
	_cleanup_close_ int from = openat(from_dir, name, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
					0600);
	char bytes[65536];
	ssize_t n;

	if (from < 0 || to < 0)
		return -errno;
	while ((n = read(from, bytes, sizeof bytes)) > 0)
		if (fs_write_all(to, bytes, (size_t)n) < 0)
			return -EIO;
	return n < 0 || fchmod(to, mode & 07777) < 0 ? -errno : 0;
}

static int copy_tree(int from_dir, int to_dir, const char *name);

static int copy_entry(int from_dir, int to_dir, const char *name)
{
	_cleanup_free_ char *target = NULL;
	struct stat st;

	if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return copy_tree(from_dir, to_dir, name);
	if (!S_ISLNK(st.st_mode))
		return copy_file(from_dir, to_dir, name, st.st_mode);
	if (fs_read_link(from_dir, name, &target) < 0)
		return -EIO;
	return symlinkat(target, to_dir, name) < 0 ? -errno : 0;
}

static int copy_tree(int from_dir, int to_dir, const char *name)
{
	_cleanup_close_ int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int to = FD_NONE;
	_cleanup_dir_ DIR *d = NULL;
	const char *entry;
	struct stat st;
	int r;

	if (from < 0 || fstat(from, &st) < 0 || mkdirat(to_dir, name, 0700) < 0)
		return -errno;
	to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = to < 0 ? -errno : fs_open_dir(from, ".", &d);
	while (r == 0 && (entry = fs_next_name(d)))
		r = copy_entry(from, to, entry);
	if (r == 0 && fchmod(to, st.st_mode & 07777) < 0)
		r = -errno;
	return r;
}

/* ---- the stand ---- */

static bool stand_mount(struct stand *st)
{
	st->is_mounted = mount("crash", st->directory, "tmpfs", 0, SPACE_OPTIONS) == 0;
	return st->is_mounted;
}

static int stand_prepare(struct stand *st, const struct row *row)
{
	int r;

	if (mkdir(st->root, 0755) < 0)
		return -errno;
	r = scenario_prepare(row->s, &st->world, &st->before);
	if (r < 0) {
		(void)printf("NOT OK  %s cannot be prepared: %s %s\n", row->s->name, strerror(-r),
			     st->machine->wrong);
		return r;
	}
	st->at_start = *st->machine;
	return rename(st->root, st->template) < 0 ? -errno : 0;
}

static int stand_open(struct stand *st, const struct row *row, unsigned job)
{
	memset(st, 0, sizeof *st);
	(void)snprintf(st->directory, sizeof st->directory, "%s/process%u", row->c->directory, job);
	(void)snprintf(st->root, sizeof st->root, "%s/world", st->directory);
	(void)snprintf(st->template, sizeof st->template, "%s/template", st->directory);
	st->machine = machine_new();
	if (mkdir(st->directory, 0755) < 0)
		return -errno;
	if (!stand_mount(st) && row->s->fills_disk)
		return -EOPNOTSUPP;
	world_init(&st->world, st->root, row->c->inputs, st->machine);
	return stand_prepare(st, row);
}

static void stand_close(struct stand *st)
{
	if (st->is_mounted)
		(void)umount2(st->directory, MNT_DETACH);
	(void)!fs_remove_tree(AT_FDCWD, st->directory);
}

static int stand_reset(struct stand *st)
{
	_cleanup_close_ int fd = open(st->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fs_remove_tree(fd, "world");

	*st->machine = st->at_start;
	if (r == 0 && renameat(fd, "template", fd, "world") < 0)
		return -errno;
	/* The copy becomes the template, so that it has its name when it is copied again. */
	if (r == 0)
		r = mkdirat(fd, "copy", 0700) < 0 ? -errno : 0;
	if (r == 0) {
		_cleanup_close_ int copy = openat(fd, "copy", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		r = copy_tree(fd, copy, "world");
		if (r == 0 && renameat(copy, "world", fd, "template") < 0)
			r = -errno;
	}
	return r < 0 ? r : unlinkat(fd, "copy", AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* ---- one cut ---- */

static void tell_how(const struct row *row, size_t at, int error, char ret[400])
{
	int n = snprintf(ret, 400, "%s %s --scenario=%s --at=%zu", row->c->program,
			 row->errors ? "errors" : "death", row->s->name, at);

	if (row->errors)
		(void)snprintf(ret + n, 400 - (size_t)n, " --error=%s",
			       trace_error_name((unsigned)error));
}

/* What the rescue program finds its way by, a copy of a root that was proved by another, and what is
 * put by for a full disk: all are made again when they are not there. */
static bool is_made_again(const struct trace_call *call)
{
	size_t n = strlen(call->object);

	return strstr(call->object, ".#programs") || strstr(call->object, "reserve") ||
	       strstr(call->object, ".#root.json") ||
	       (n > 6 && strcmp(call->object + n - 6, "/trust") == 0);
}

/* An error that is ignored before the end is known was no error to the result. */
static bool is_false_success(const struct row *row, const struct trace *t, const struct machine *m)
{
	const struct trace_call *call = &t->hit;

	if (t->error == TRACE_PLANTED && !row->s->is_by_rescue)
		return m->returned >= 0 && m->outcome == OUTCOME_CONFIRMED && call->is_before_end &&
		       !is_made_again(call);
	/* A lost write may have been noticed and done again, by a retry; what counts is what is there. */
	if (t->error == TRACE_LOST)
		return false;
	if (!call->is_mutating || !call->is_before_end || is_made_again(call) || m->returned < 0 ||
	    t->error == TRACE_SHORT)
		return false;
	if (call->is_retried && t->error < TRACE_ERRORS && trace_errors[t->error] == EINTR)
		return false;
	/* The links matter more than the record, and are looked at. */
	if (row->s->is_by_rescue)
		return false;
	/* What recovery could not make, adopting makes anew. */
	if (row->s->is_bare)
		return false;
	return row->s->program ? m->outcome == OUTCOME_CONFIRMED : true;
}

static void judge(const struct row *row, struct stand *st, const struct trace *t, size_t at)
{
	struct cut cut = { .w = &st->world, .s = row->s, .before = &st->before };
	struct verdict verdict = { "" };
	char replay[400];

	cut.is_off = row->s->is_boot || (t->plan == TRACE_KILL && at % 2 == 1);
	cut.has_rescue = cut.is_off && at % 4 == 3;
	cut.has_answered = st->machine->had_error = t->plan == TRACE_FAIL;
	if (t->plan == TRACE_FAIL && !st->machine->has_returned)
		(void)snprintf(verdict.text, sizeof verdict.text, "it died (wait status %#x)",
			       (unsigned)t->status);
	else if (t->plan == TRACE_FAIL && is_false_success(row, t, st->machine))
		(void)snprintf(verdict.text, sizeof verdict.text, "I10: the error is not told");
	else
		cut_judge(&cut, &verdict);
	if (!*verdict.text)
		return;
	tell_how(row, at, (int)t->error, replay);
	tally_broken(row->tally, replay, "%s of %s at %zu, %s%s %s: %s (%s, %s)",
		     row->errors ? trace_error_name(t->error) : "death", row->s->name, at,
		     row->errors ? "" : "before ", t->hit.name, t->hit.object, verdict.text,
		     outcome_name(st->machine->outcome), reason_name(st->machine->reason));
}

static void cut_once(const struct row *row, struct stand *st, size_t at, int error)
{
	struct trace t = {
		.plan = row->errors ? TRACE_FAIL : TRACE_KILL,
		.all_calls = row->errors,
		.at = at,
		.error = row->errors ? (unsigned)error : 0,
	};
	int r = stand_reset(st);

	if (r == 0)
		r = trace_run(&t, &st->world, row->s->run);
	__atomic_add_fetch(&row->tally->n_checked, 1, __ATOMIC_SEQ_CST);
	if (r < 0)
		tally_broken(row->tally, "-", "%s: the test itself failed: %s", row->s->name,
			     strerror(-r));
	else
		judge(row, st, &t, at);
}

/* ---- a row ---- */

/* I11: after the links were made, only what needs no room. */
static bool needs_no_room(const struct trace_call *call)
{
	static const char *const allowed[] = { "rename",   "renameat", "renameat2", "unlink",
					       "unlinkat", "fsync",    "fdatasync", "syncfs" };

	for (size_t i = 0; i < ELEMENTSOF(allowed); i++)
		if (strcmp(call->name, allowed[i]) == 0)
			return true;
	if (strcmp(call->name, "pwrite") != 0)
		return false;
	/* Both have had their blocks before; without a proof there is a way back. */
	return strstr(call->object, "/journal.") || strstr(call->object, "/proof");
}

static void check_i11(const struct row *row, const struct trace *t)
{
	char replay[256];

	(void)snprintf(replay, sizeof replay, "%s list --scenario=%s", row->c->program,
		       row->s->name);
	for (size_t i = 0; i < t->n_calls; i++) {
		const struct trace_call *call = &t->calls[i];

		if (call->is_after_links && call->is_mutating && !needs_no_room(call))
			tally_broken(row->tally, replay,
				     "%s at %zu: I11: %s %s may run out of space", row->s->name, i,
				     call->name, call->object);
	}
}

/* The calls of a scenario that is not cut, which must end as it should. */
static int count_calls(const struct row *row, struct stand *st, struct trace *t)
{
	struct cut cut = { .w = &st->world, .s = row->s, .before = &st->before };
	struct verdict verdict = { "" };
	int r = stand_reset(st);

	*t = (struct trace){ .plan = TRACE_COUNT, .all_calls = row->errors, .at = SIZE_MAX };
	if (r == 0)
		r = trace_run(t, &st->world, row->s->run);
	if (r < 0)
		return r;
	cut.has_answered = true;
	cut.is_off = row->s->is_boot;
	cut_judge(&cut, &verdict);
	if (st->machine->returned < 0 && !row->s->fills_disk)
		(void)snprintf(verdict.text, sizeof verdict.text, "it returned %s",
			       strerror(-st->machine->returned));
	if (*verdict.text)
		tally_broken(row->tally, row->c->program, "%s, not cut: %s", row->s->name,
			     verdict.text);
	return 0;
}

static void cut_deaths(const struct row *row, struct stand *st, const struct trace *t, unsigned job)
{
	for (size_t at = job; at < t->n_calls; at += row->c->jobs)
		if (row->c->at < 0 || (size_t)row->c->at == at)
			cut_once(row, st, at, 0);
}

static size_t count_errors(const struct trace *t)
{
	size_t n = 0;

	for (size_t at = 0; at < t->n_calls; at++)
		n += (size_t)__builtin_popcount(t->calls[at].errors);
	return n;
}

/* Every stride-th of all pairs of a call and an error, from where the seed says. */
static void cut_errors(const struct row *row, struct stand *st, const struct trace *t, unsigned job)
{
	const struct campaign *c = row->c;
	size_t all = count_errors(t), n = 0, stride = 1, first;
	uint64_t seed = c->seed;

	if (c->states > 0 && all > c->states)
		stride = (all + c->states - 1) / c->states;
	first = (size_t)(campaign_random(&seed) % stride);
	for (size_t at = 0; at < t->n_calls; at++)
		for (int e = 0; e < TRACE_KINDS; e++) {
			bool is_asked = (c->at < 0 || (size_t)c->at == at) &&
					(c->error < 0 || c->error == e);

			if (!(t->calls[at].errors & 1u << e))
				continue;
			if ((c->at >= 0 || c->error >= 0 || n % stride == first) &&
			    n / stride % c->jobs == job && is_asked)
				cut_once(row, st, at, e);
			n++;
		}
}

static void work(void *context, unsigned job)
{
	const struct row *row = context;
	struct stand st;
	struct trace t = { 0 };
	int r = stand_open(&st, row, job);

	if (r == 0)
		r = count_calls(row, &st, &t);
	if (r == -EOPNOTSUPP)
		row->tally->is_skipped = true;
	else if (r < 0)
		tally_broken(row->tally, "-", "%s: the test itself failed: %s", row->s->name,
			     strerror(-r));
	if (r == 0 && !row->errors) {
		if (job == 0 && row->s->program)
			check_i11(row, &t);
		cut_deaths(row, &st, &t, job);
	} else if (r == 0) {
		cut_errors(row, &st, &t, job);
	}
	free(t.calls);
	stand_close(&st);
}

static void run_row(struct campaign *c, const struct scenario *s, bool errors)
{
	struct row row = { .c = c, .s = s, .tally = tally_new(), .errors = errors };

	if (!campaign_fork(c->jobs, work, &row))
		tally_broken(row.tally, "-", "%s: the test itself died", s->name);
	if (row.tally->is_skipped)
		campaign_skip(errors ? "errors" : "death",
			      "%s needs a mount, or seccomp, that is not to be had here", s->name);
	else
		campaign_row(c, row.tally, errors ? "errors" : "death", s,
			     errors ? "errors" : "cuts");
	tally_free(row.tally);
}

void process_death(struct campaign *c, const struct scenario *s)
{
	run_row(c, s, false);
}

void process_errors(struct campaign *c, const struct scenario *s)
{
	run_row(c, s, true);
}

void process_list(struct campaign *c, const struct scenario *s)
{
	struct row row = { .c = c, .s = s, .tally = tally_new() };
	struct stand st;
	struct trace t = { 0 };

	if (stand_open(&st, &row, 0) == 0 && count_calls(&row, &st, &t) == 0)
		for (size_t i = 0; i < t.n_calls; i++)
			(void)printf("%4zu %s%-10s %s\n", i, t.calls[i].is_after_links ? "*" : " ",
				     t.calls[i].name, t.calls[i].object);
	free(t.calls);
	stand_close(&st);
	tally_free(row.tally);
}
