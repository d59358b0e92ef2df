/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/rescue.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "common/manifest.h"
#include "updaterd/journal.h"
#include "updaterd/record.h"
#include "updaterd/swap.h"

#define LOCK_TRIES 50 /* five seconds */

/* What is missing of the installer's directory is done without: the links matter more than the record. */
struct session {
	int dirfd, lock_fd;
	struct journal *journal; /* NULL: none that can be read */
	struct programs programs;
};

static void session_done(struct session *s)
{
	(void)journal_close(s->journal);
	close_fd(&s->lock_fd);
	close_fd(&s->dirfd);
	programs_done(&s->programs);
}

/* Whoever else could write there could tell us where to flip to. */
static int open_directory(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 0022))
		return TAKE_FD(fd);
	log_warning("'%s' cannot be used", path);
	return FD_NONE;
}

/* Where the lock cannot be had at all, nobody else has it. */
static int begin(const struct rescue *r, struct session *s)
{
	int ret;

	*s = (struct session){ .dirfd = open_directory(r->installer_dir), .lock_fd = FD_NONE };
	ret = programs_load(s->dirfd, r->defaults, &s->programs);
	if (ret < 0 || s->dirfd < 0)
		return ret;
	s->lock_fd = openat(s->dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	for (int i = 0; flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK; i++) {
		if (i == LOCK_TRIES) {
			log_error("the installer is at work, and does not let go of its lock");
			return -EBUSY;
		}
		(void)nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	}
	if (journal_open(s->dirfd, &s->journal) < 0 && journal_load(s->dirfd, &s->journal) < 0)
		log_warning("going on without the journal, which cannot be read");
	return 0;
}

/* What was put back is started when the lock is free again. */
static int end(const struct rescue *r, struct session *s, int ret)
{
	(void)flock(s->lock_fd, LOCK_UN);
	for (size_t i = 0; i < s->programs.n; i++) {
		const struct program *p = &s->programs.list[i];

		if (p->is_changed && p->unit)
			r->restart(p->unit);
		ret = p->is_changed && ret >= 0 ? 1 : ret;
	}
	return ret;
}

/* ---- what can run: 1 or 0, or an error, which says that this could not be found out ---- */

static int open_path(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* One that is gone is made again if there is a factory release; else -ENOENT. */
static int open_space(const struct program *p)
{
	int r, fd = open_path(AT_FDCWD, p->space);

	if (fd != -ENOENT || !p->factory || faccessat(AT_FDCWD, p->factory, F_OK, 0) < 0)
		return fd;
	r = fs_mkdir_p(AT_FDCWD, p->space, 0755);
	return r < 0 ? r : open_path(AT_FDCWD, p->space);
}

static int has_executable(int release_fd)
{
	_cleanup_dir_ DIR *d = NULL;
	const char *name;
	struct stat st;
	int r = fs_open_dir(release_fd, "bin", &d);

	if (r < 0)
		return r;
	while ((name = fs_next_name(d))) {
		if (fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (S_ISREG(st.st_mode) && (st.st_mode & S_IXUSR) && st.st_size > 0)
			return 1;
	}
	return -errno;
}

/* What a lost block or a careless hand takes first: release.json, or the executables. It is not parsed:
 * what we do not understand must not be the reason to leave what runs. */
static int look_at(int dirfd, const char *release)
{
	_cleanup_close_ int fd = open_path(dirfd, release), manifest_fd = FD_NONE;
	char first;
	int r;

	if (fd < 0)
		return fd;
	manifest_fd = fs_open_regular(fd, MANIFEST_NAME, NULL);
	r = manifest_fd < 0 ? manifest_fd : fs_pread_all(manifest_fd, &first, 1, 0);
	return r == 0 && first == '{' ? has_executable(fd) : r;
}

/* A block that is lost stays lost; an accident does not happen twice. */
static int is_complete(int dirfd, const char *release)
{
	int r = look_at(dirfd, release);

	if (r == -EIO)
		r = look_at(dirfd, release);
	return r >= 0 || fs_is_accident(r) ? r : 0;
}

/* Can it be run, by what is quickly seen? To read all of it is recovery's. */
static int can_run(int space_fd, const struct version *version)
{
	char path[sizeof "releases/" + VERSION_LENGTH];

	(void)snprintf(path, sizeof path, "releases/%s", version->text);
	return is_complete(space_fd, path);
}

/* Of `current`, which has to lead to a release of the program, or to the factory's. */
static int is_sound(int fd, const struct program *p)
{
	_cleanup_free_ char *target = NULL;
	struct version current = { .program = '\0' };
	int r = fs_read_link(fd, SWAP_CURRENT, &target);

	if (r == 0 && p->factory && strcmp(target, p->factory) == 0)
		return is_complete(AT_FDCWD, p->factory);
	if (!fs_is_accident(r))
		r = swap_read(fd, SWAP_CURRENT, &current);
	if (r < 0)
		return fs_is_accident(r) ? r : 0;
	return current.program == p->letter ? can_run(fd, &current) : 0;
}

static int fits(int fd, const struct program *p, const struct version *left,
		const struct version *version)
{
	if (version->program != p->letter || (left && version_compare(version, left) >= 0))
		return 0;
	return can_run(fd, version);
}

static int find_newest(int fd, const struct program *p, const struct version *left,
		       struct version *ret)
{
	struct version version, best = { .program = '\0' };
	_cleanup_dir_ DIR *d = NULL;
	const char *name;
	int r = fs_open_dir(fd, "releases", &d);

	if (r < 0)
		return fs_is_accident(r) ? r : 0;
	while ((name = fs_next_name(d))) {
		if (version_parse(name, &version) < 0 || strcmp(version.text, best.text) <= 0)
			continue;
		r = fits(fd, p, left, &version);
		if (r < 0)
			return r;
		if (r > 0)
			best = version;
	}
	if (fs_is_accident(-errno))
		return -errno;
	*ret = best;
	return best.program != '\0';
}

/* 1 and what can take the place of left (NULL: of what cannot run), and is older: `previous`, else the newest
 * release, else program '\0', which stands for the factory's. */
static int choose(int fd, const struct program *p, const struct version *left, struct version *ret)
{
	struct version version;
	int r = swap_read(fd, SWAP_PREVIOUS, &version);

	r = r == 0 ? fits(fd, p, left, &version) : fs_is_accident(r) ? r : 0;
	if (r == 0)
		r = find_newest(fd, p, left, &version);
	if (r == 0) {
		version.program = '\0';
		r = p->factory ? is_complete(AT_FDCWD, p->factory) : 0;
	}
	if (r > 0)
		*ret = version;
	return r;
}

/* ---- the journal ---- */

/* Pairs of key and value. A journal that cannot be written is no reason to stay on what is bad. */
static void write_down(struct journal *j, const char *const (*pairs)[2], size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = journal_set(j, pairs[i][0], pairs[i][1]);
	if (r == 0)
		r = journal_write(j);
	if (r < 0)
		log_error("cannot write the journal: %s", strerror(-r));
}

/* A person leaves this version. Recovery sees to it that it is not installed again. */
static void note_left(struct journal *j, const struct version *version)
{
	char key[] = RESCUE_LEFT "_?";
	_cleanup_free_ char *list = NULL;
	const char *old;

	key[sizeof key - 2] = version->program;
	old = journal_get(j, key);
	if (!(old && strstr(old, version->text)) &&
	    (asprintf(&list, "%s %s", version->text, old ? old : "") < 0 ||
	     journal_set(j, key, list) < 0))
		log_warning("'%s' may be installed again", version->text);
}

static bool get_version(const struct journal *j, const char *key, char letter, struct version *ret)
{
	const char *text = journal_get(j, key);

	return text && version_parse(text, ret) == 0 && ret->program == letter;
}

/* ---- an attempt that was cut ---- */

/* Of the attempt to be undone, or NULL: one on trial; or any, if a person is in its way. */
static struct program *find_attempt(struct session *s, char by_person)
{
	enum journal_state state = s->journal ? journal_state(s->journal) : JOURNAL_IDLE;
	const char *letter = s->journal ? journal_get(s->journal, "program") : NULL;

	if (state == JOURNAL_IDLE || state == JOURNAL_CONFIRMED || state == JOURNAL_ROLLED_BACK ||
	    !letter || strlen(letter) != 1 || (state < JOURNAL_TRIAL && *letter != by_person))
		return NULL;
	return programs_find(&s->programs, *letter);
}

/* What has nothing to go back to, and what was not flipped yet, is recovery's as well. */
static int undo_attempt(struct session *s, char by_person)
{
	const char *const begun[][2] = { { RESCUE_KEY, "1" } };
	const char *const done[][2] = { { "state", "rolled-back" }, { "reason", "operator" } };
	struct program *p = find_attempt(s, by_person);
	bool is_wanted = p && p->letter == by_person, was_on_trial, had_previous;
	struct version from, to, before, current;
	_cleanup_close_ int fd = FD_NONE;
	int r;

	if (!p || !get_version(s->journal, "from", p->letter, &from))
		return 0;
	fd = open_space(p);
	r = fd < 0 ? fd : can_run(fd, &from);
	if (r <= 0)
		return r == -ENOENT ? 0 : r;
	r = swap_read_text(fd, SWAP_CURRENT, &current);
	if (fs_is_accident(r))
		return r;
	was_on_trial = r < 0 || strcmp(current.text, from.text) != 0 ||
		       journal_get(s->journal, RESCUE_KEY);
	if (!was_on_trial && !is_wanted)
		return 0;
	if (is_wanted && was_on_trial && get_version(s->journal, "to", p->letter, &to))
		note_left(s->journal, &to);
	/* Should we be cut, recovery knows from this that the release was on trial. */
	if (was_on_trial)
		write_down(s->journal, begun, ELEMENTSOF(begun));
	had_previous = get_version(s->journal, RECORD_BEFORE_PREVIOUS, p->letter, &before);
	p->is_changed = was_on_trial;
	r = swap_back(fd, &from, had_previous ? &before : NULL);
	if (r < 0) {
		log_error("cannot put '%s' back: %s", p->space, strerror(-r));
		return r;
	}
	write_down(s->journal, done, is_wanted ? 2 : 1);
	log_notice("the attempt in '%s' is over: '%s' is back", p->space, from.text);
	return 0;
}

/* ---- `current` ---- */

/* left: what becomes `previous`, if anything. */
static int flip(struct program *p, int fd, const struct version *to, const struct version *left)
{
	int r = left ? swap_prepare(fd, to, left, NULL) : 0;

	if (r == 0 && left)
		r = swap_previous(fd);
	if (r < 0)
		return r;
	/* Whatever becomes of it: what fails may have come about. */
	p->is_changed = true;
	r = to->program ? swap_point(fd, to) : swap_point_at(fd, p->factory);
	if (r == 0)
		log_notice("'%s/current' leads to '%s' now", p->space,
			   to->program ? to->text : p->factory);
	return r;
}

/* An attempt, of which recovery makes a result: its own, or, as long as another waits for its, none. */
static void record(struct journal *j, const struct program *p, const struct version *from,
		   const struct version *to)
{
	const char letter[] = { p->letter, '\0' };
	_cleanup_free_ char *txid = NULL;
	size_t n;

	if (fs_read_file(AT_FDCWD, "/proc/sys/kernel/random/uuid", 64, &txid, &n) == 0)
		txid[strcspn(txid, "\n")] = '\0';
	const char *const pairs[][2] = {
		{ "txid", txid },
		{ "kind", RESULT_KIND_ROLLBACK },
		{ "program", letter },
		{ "from", from ? from->text : NULL },
		{ "to", to->program ? to->text : NULL },
		{ "step", "confirm" },
		{ "reason", "operator" },
		{ "detail", "by the rescue" },
		{ RESCUE_KEY, "1" },
		{ "state", "confirmed" },
	};

	if (from)
		note_left(j, from);
	if (journal_state(j) != JOURNAL_IDLE)
		write_down(j, NULL, 0);
	else if (journal_set_u64(j, "started_sec", (uint64_t)time(NULL)) == 0)
		write_down(j, pairs, ELEMENTSOF(pairs));
}

/* left: what a person leaves, whatever it is; NULL: what cannot be run. */
static int replace(struct program *p, int fd, const struct version *left, struct journal *record_in)
{
	struct version to;
	int r = choose(fd, p, left, &to);

	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	if (record_in)
		record(record_in, p, left, &to);
	return flip(p, fd, &to, to.program ? left : NULL);
}

static int mend(struct program *p)
{
	_cleanup_close_ int fd = open_space(p);
	int r = fd < 0 ? fd : is_sound(fd, p);

	if (r != 0)
		return r > 0 || fd == -ENOENT ? 0 : r;
	log_error("'%s/current' leads to nothing that can be run", p->space);
	return replace(p, fd, NULL, NULL);
}

static int roll_back(struct program *p, struct journal *j)
{
	_cleanup_close_ int fd = open_space(p);
	struct version left;
	bool is_known;

	if (fd < 0)
		return fd;
	is_known = swap_read_text(fd, SWAP_CURRENT, &left) == 0 && left.program == p->letter;
	if (!is_known && is_sound(fd, p) > 0)
		return -ENOENT; /* nothing is older than the factory's */
	return replace(p, fd, is_known ? &left : NULL, j);
}

int rescue_run(const struct rescue *r)
{
	_cleanup_(session_done) struct session s;
	int ret = begin(r, &s), first;

	if (ret < 0)
		return ret;
	first = undo_attempt(&s, '\0');
	/* Every space gets its turn, whatever is wrong with another. */
	for (size_t i = 0; i < s.programs.n; i++) {
		ret = mend(&s.programs.list[i]);
		if (ret < 0)
			log_error("cannot mend '%s': %s", s.programs.list[i].space, strerror(-ret));
		first = first < 0 ? first : ret;
	}
	return end(r, &s, first);
}

int rescue_rollback(const struct rescue *r, char letter)
{
	_cleanup_(session_done) struct session s;
	struct program *p;
	int ret = begin(r, &s);

	if (ret < 0)
		return ret;
	p = programs_find(&s.programs, letter);
	ret = p ? undo_attempt(&s, letter) : -EINVAL;
	if (ret == 0 && !p->is_changed)
		ret = roll_back(p, s.journal);
	if (ret < 0)
		log_error("cannot roll %c back: %s", letter,
			  ret == -ENOENT ? "there is nothing to go back to" : strerror(-ret));
	return end(r, &s, ret);
}
