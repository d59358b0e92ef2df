/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/rescue.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "space.h"
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

static int open_session(const struct rescue *r, struct session *s)
{
	struct stat st;

	*s = (struct session){ .lock_fd = FD_NONE };
	s->dirfd = open(r->installer_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* Whoever else could write there could tell us where to flip to. */
	if (s->dirfd >= 0 &&
	    (fstat(s->dirfd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 0022) != 0)) {
		close_fd(&s->dirfd);
		s->dirfd = -EPERM;
		errno = EPERM;
	}
	if (s->dirfd < 0)
		log_warning("'%s' does not count: %s", r->installer_dir, strerror(errno));
	return programs_load(s->dirfd, r->defaults, &s->programs);
}

/* -EBUSY, or 0 also where it cannot be had at all: then nobody else has it. */
static int take_lock(const struct session *s)
{
	const struct timespec pause = { .tv_nsec = 100000000 };

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0 ||
		    (errno != EWOULDBLOCK && errno != EINTR))
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

static int begin(const struct rescue *r, struct session *s)
{
	int ret = open_session(r, s);

	if (ret < 0 || s->dirfd < 0)
		return ret;
	s->lock_fd = openat(s->dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	ret = take_lock(s);
	if (ret < 0 && r->end_installer) {
		r->end_installer();
		ret = take_lock(s);
	}
	if (ret < 0)
		log_error("the installer is at work, and does not let go of its lock");
	else if (journal_open(s->dirfd, &s->journal) < 0 && journal_load(s->dirfd, &s->journal) < 0)
		log_warning("going on without the journal, which cannot be read");
	return ret;
}

/* What was put back is started when the lock is free again. */
static int end(const struct rescue *r, struct session *s, int ret)
{
	close_fd(&s->lock_fd);
	s->lock_fd = FD_NONE;
	for (size_t i = 0; i < s->programs.n; i++) {
		const struct program *p = &s->programs.list[i];

		if (p->is_changed && p->unit)
			r->restart(p->unit);
		ret = p->is_changed && ret >= 0 ? 1 : ret;
	}
	return ret;
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

/* What a person leaves is not installed again. In front: only the first words of the list count. */
static void quarantine(struct journal *j, const struct version *version)
{
	char key[] = "quarantine_?";
	_cleanup_free_ char *list = NULL;
	const char *old;

	key[sizeof key - 2] = version->program;
	old = journal_get(j, key);
	if (old && strstr(old, version->text))
		return;
	if (asprintf(&list, "%s%s%s", version->text, old ? " " : "", old ? old : "") < 0 ||
	    journal_set(j, key, list) < 0)
		log_warning("'%s' may be installed again", version->text);
}

static struct program *attempted(struct session *s)
{
	const char *letter = journal_get(s->journal, "program");

	return letter && strlen(letter) == 1 ? programs_find(&s->programs, *letter) : NULL;
}

static bool get_version(const struct journal *j, const char *key, char letter, struct version *ret)
{
	const char *text = journal_get(j, key);

	return text && version_parse(text, ret) == 0 && ret->program == letter;
}

/* ---- a trial that was cut ---- */

/* Should we be cut, what is noted first tells recovery that the release was on trial. */
static int undo_flip(struct journal *j, struct program *p, int fd, const struct version *from,
		     bool is_wanted)
{
	const char *const begun[][2] = { { RESCUE_KEY, "1" }, { "reason", "operator" } };
	const char *const done[][2] = { { "state", "rolled-back" } };
	struct version to, before;
	bool had_previous = get_version(j, RECORD_BEFORE_PREVIOUS, p->letter, &before) &&
			    space_is_complete(fd, &before) > 0;
	int r;

	if (is_wanted && get_version(j, "to", p->letter, &to))
		quarantine(j, &to);
	write_down(j, begun, is_wanted ? 2 : 1);
	r = space_make_way(fd);
	if (r == 0)
		r = swap_back(fd, from, had_previous ? &before : NULL);
	if (r < 0)
		return r;
	write_down(j, done, ELEMENTSOF(done));
	p->is_changed = true;
	log_notice("the trial in '%s' is over: '%s' is back", p->space, from->text);
	return 0;
}

/* Where nothing was flipped yet, or there is nothing to go back to, recovery does what there is to do.
 * by_person: the program whose trial a person ends, NULL: none. */
static int undo_trial(struct session *s, const struct program *by_person)
{
	enum journal_state state = s->journal ? journal_state(s->journal) : JOURNAL_IDLE;
	_cleanup_close_ int fd = FD_NONE;
	struct version from, current;
	struct program *p;
	int r;

	if (state != JOURNAL_TRIAL && state != JOURNAL_UNKNOWN)
		return 0;
	p = attempted(s);
	if (!p || !get_version(s->journal, "from", p->letter, &from))
		return 0;
	fd = space_open(p);
	r = fd < 0 ? fd : space_is_complete(fd, &from);
	if (r <= 0)
		return r == -ENOENT ? 0 : r;
	if (swap_read_text(fd, SWAP_CURRENT, &current) == 0 &&
	    strcmp(current.text, from.text) == 0 && !journal_get(s->journal, RESCUE_KEY))
		return 0;
	r = undo_flip(s->journal, p, fd, &from, p == by_person);
	if (r < 0)
		log_error("cannot put '%s' back: %s", p->space, strerror(-r));
	return r;
}

/* ---- `current` ---- */

static int flip(struct program *p, int fd, const struct version *to, const struct version *from)
{
	int r = space_make_way(fd);

	if (r == 0 && to->program && from)
		r = swap_prepare(fd, to, from, NULL);
	if (r == 0 && to->program && from)
		r = swap_previous(fd);
	if (r == 0)
		r = to->program ? swap_point(fd, to) : swap_point_at(fd, p->factory);
	if (r < 0)
		return r;
	p->is_changed = true;
	log_notice("'%s/current' leads to '%s' now", p->space, to->program ? to->text : p->factory);
	return 0;
}

static int mend(struct program *p)
{
	_cleanup_close_ int fd = space_open(p);
	struct version to;
	int r;

	r = fd < 0 ? fd : space_is_sound(fd, p);
	if (r != 0)
		return r == -ENOENT || r > 0 ? 0 : r;
	log_error("'%s/current' leads to nothing that can be run", p->space);
	r = space_choose(fd, p, NULL, &to);
	return r > 0 ? flip(p, fd, &to, NULL) : r < 0 ? r : -ENOENT;
}

int rescue_run(const struct rescue *r)
{
	_cleanup_(session_done) struct session s;
	int ret = begin(r, &s), first;

	if (ret < 0)
		return ret;
	first = undo_trial(&s, NULL);
	/* Every space gets its turn, whatever is wrong with another. */
	for (size_t i = 0; i < s.programs.n; i++) {
		ret = mend(&s.programs.list[i]);
		if (ret < 0)
			log_error("cannot mend '%s': %s", s.programs.list[i].space, strerror(-ret));
		first = first < 0 ? first : ret;
	}
	return end(r, &s, first);
}

/* ---- a person's way back ---- */

/* Where nothing is under way, an attempt of its own, of which recovery makes a result. An attempt that has
 * not come to its flip must not take `current` back to where that was: it begins here. */
static void record(struct session *s, const struct program *p, const struct version *from,
		   const struct version *to)
{
	const char *from_text = from ? from->text : NULL, *to_text = to->program ? to->text : NULL;
	const char letter[] = { p->letter, '\0' };
	enum journal_state state = journal_state(s->journal);
	_cleanup_free_ char *txid = NULL;
	char seconds[24];
	size_t n;

	(void)snprintf(seconds, sizeof seconds, "%lld", (long long)time(NULL));
	if (fs_read_file(AT_FDCWD, "/proc/sys/kernel/random/uuid", 64, &txid, &n) == 0)
		txid[strcspn(txid, "\n")] = '\0';
	const char *const own[][2] = {
		{ "txid", txid },
		{ "kind", RESULT_KIND_ROLLBACK },
		{ "program", letter },
		{ "from", from_text },
		{ "to", to_text },
		{ "outcome", "confirmed" },
		{ "step", "confirm" },
		{ "reason", "operator" },
		{ "detail", "by the rescue" },
		{ "started_sec", seconds },
		{ RESCUE_KEY, "1" },
		{ "state", "confirmed" },
	};
	const char *const other[][2] = { { "from", to_text },
					 { RECORD_BEFORE_PREVIOUS, from_text } };
	bool is_over = state == JOURNAL_CONFIRMED || state == JOURNAL_ROLLED_BACK;

	if (from)
		quarantine(s->journal, from);
	if (state == JOURNAL_IDLE)
		write_down(s->journal, own, ELEMENTSOF(own));
	else
		write_down(s->journal, other, is_over || attempted(s) != p ? 0 : ELEMENTSOF(other));
}

static int roll_back(struct session *s, struct program *p)
{
	_cleanup_close_ int fd = space_open(p);
	struct version to, version, *from = &version;
	int r;

	if (fd < 0)
		return fd;
	if (swap_read_text(fd, SWAP_CURRENT, from) < 0 || from->program != p->letter)
		from = NULL;
	/* What is sound and no release is the factory's: nothing is older. */
	r = !from && space_is_sound(fd, p) > 0 ? 0 : space_choose(fd, p, from, &to);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	if (s->journal)
		record(s, p, from, &to);
	return flip(p, fd, &to, from);
}

int rescue_rollback(const struct rescue *r, char letter)
{
	_cleanup_(session_done) struct session s;
	struct program *p;
	int ret = begin(r, &s);

	if (ret < 0)
		return ret;
	p = programs_find(&s.programs, letter);
	ret = p ? undo_trial(&s, p) : -EINVAL;
	if (ret == 0 && !p->is_changed)
		ret = roll_back(&s, p);
	if (ret < 0)
		log_error("cannot roll %c back: %s", letter,
			  ret == -ENOENT ? "there is nothing older" : strerror(-ret));
	return end(r, &s, ret);
}

/* ---- for people ---- */

static void show(const struct program *p, FILE *out)
{
	_cleanup_close_ int fd = open(p->space, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (const char *const *link = (const char *[]){ SWAP_CURRENT, SWAP_PREVIOUS, NULL }; *link;
	     link++) {
		struct version version = { .text = "none" };
		int r = fd < 0 ? -ENOENT : swap_read(fd, *link, &version);

		(void)fprintf(out, "%c %-9s %s\n", p->letter, *link,
			      r == -ENOENT || (r == 0 && space_is_complete(fd, &version) == 1)
				      ? version.text
				      : "cannot be run");
	}
}

void rescue_status(const struct rescue *r, FILE *out)
{
	static const char *const keys[] = { "state", "program", "kind",	    "from",
					    "to",    "reason",	RESCUE_KEY, "txid" };
	_cleanup_(session_done) struct session s;

	if (open_session(r, &s) < 0)
		return;
	for (size_t i = 0; i < s.programs.n; i++)
		show(&s.programs.list[i], out);
	if (s.dirfd < 0 || journal_load(s.dirfd, &s.journal) < 0)
		return;
	for (size_t i = 0; i < ELEMENTSOF(keys); i++)
		if (journal_get(s.journal, keys[i]))
			(void)fprintf(out, "%-11s %s\n", keys[i], journal_get(s.journal, keys[i]));
}
