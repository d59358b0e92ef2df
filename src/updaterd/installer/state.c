/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/state.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "updaterd/programs.h"
#include "updaterd/record.h"
#include "updaterd/rescue.h"
#include "updaterd/swap.h"
#include "updaterd/updater_trial.h"

#define LOCK_FILE	   "lock"
#define PROGRAMS_MAX_BYTES 16384u
#define HELD		   "held"
#define FOREVER		   "forever"
#define POSTPONED	   "postponed"
#define MAX_FAILURES_DIGIT ('0' + (char)STATE_MAX_FAILURES)

struct key {
	char text[32];
};

static struct key key_of(const char *what, char letter)
{
	struct key k;

	(void)snprintf(k.text, sizeof k.text, "%s_%c", what, letter);
	return k;
}

/* Whoever could write here could plant a floor or a root of trust. */
static int check_directory(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || (st.st_mode & 0022) != 0)
		return -EPERM;
	return 0;
}

static int take_lock(int dirfd, enum state_mode mode)
{
	_cleanup_close_ int fd = FD_NONE;

	fd = openat(dirfd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	while (flock(fd, mode == STATE_TRY ? LOCK_EX | LOCK_NB : LOCK_EX) < 0) {
		if (errno == EWOULDBLOCK)
			return -EBUSY;
		if (errno != EINTR)
			return -errno;
	}
	return TAKE_FD(fd);
}

int state_open(const struct conf *conf, enum state_mode mode, struct state **ret)
{
	_cleanup_(state_closep) struct state *s = NULL;
	int r;

	s = malloc(sizeof *s);
	if (!s)
		return -ENOMEM;
	*s = (struct state){ .conf = conf, .dirfd = FD_NONE, .lock_fd = FD_NONE };
	if (mode != STATE_READ) {
		r = fs_mkdir_p(AT_FDCWD, conf->installer_dir, 0700);
		if (r < 0)
			return r;
	}
	s->dirfd = open(conf->installer_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dirfd < 0)
		return -errno;
	r = check_directory(s->dirfd);
	if (r < 0)
		return r;
	if (mode == STATE_READ) {
		r = journal_load(s->dirfd, &s->journal);
	} else {
		s->lock_fd = take_lock(s->dirfd, mode);
		r = s->lock_fd < 0 ? s->lock_fd : journal_open(s->dirfd, &s->journal);
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

struct state *state_close(struct state *s)
{
	if (s) {
		(void)journal_close(s->journal);
		close_fd(&s->lock_fd);
		close_fd(&s->dirfd);
		free(s);
	}
	return NULL;
}

int state_current(const struct conf *conf, char letter, struct version *ret)
{
	const struct conf_program *program = conf_program(conf, letter);
	_cleanup_close_ int fd = FD_NONE;

	if (!program)
		return -ENOENT;
	fd = open(program->space, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return swap_read(fd, SWAP_CURRENT, ret);
}

/* ---- what is known of a program ---- */

static int get_version(const struct state *s, const char *what, char letter, struct version *ret)
{
	const char *text = journal_get(s->journal, key_of(what, letter).text);
	struct version version;

	if (!text || version_parse(text, &version) < 0 || version.program != letter)
		return -ENOENT;
	*ret = version;
	return 0;
}

int state_floor(const struct state *s, char letter, struct version *ret)
{
	return get_version(s, "floor", letter, ret);
}

int state_raise_floor(struct state *s, const struct version *version)
{
	struct version floor;

	if (state_floor(s, version->program, &floor) == 0 && version_compare(version, &floor) < 0)
		return 0;
	return journal_set(s->journal, key_of("floor", version->program).text, version->text);
}

/* ---- versions that are remembered: "B202109010001:2 B202110010001:1" ---- */

struct remembered {
	struct version version;
	unsigned n; /* 0: it is not counted */
};

struct memory {
	struct remembered list[STATE_MAX_REMEMBERED];
	size_t n;
};

static bool parse_remembered(const char *text, size_t length, char letter, struct remembered *ret)
{
	char version[VERSION_LENGTH + 1];
	struct remembered one = { 0 };

	if (length < VERSION_LENGTH)
		return false;
	(void)snprintf(version, sizeof version, "%.*s", VERSION_LENGTH, text);
	if (version_parse(version, &one.version) < 0 || one.version.program != letter)
		return false;
	text += VERSION_LENGTH;
	length -= VERSION_LENGTH;
	if (length == 2 && text[0] == ':' && text[1] > '0' && text[1] <= MAX_FAILURES_DIGIT)
		one.n = (unsigned)(text[1] - '0');
	else if (length != 0)
		return false;
	*ret = one;
	return true;
}

static struct memory recall(const struct state *s, const char *what, char letter)
{
	const char *text = journal_get(s->journal, key_of(what, letter).text);
	struct memory m = { .n = 0 };

	while (text && *text && m.n < STATE_MAX_REMEMBERED) {
		size_t length = strcspn(text, " ");

		if (parse_remembered(text, length, letter, &m.list[m.n]))
			m.n++;
		text += length;
		text += strspn(text, " ");
	}
	return m;
}

static int memorize(struct state *s, const char *what, char letter, const struct memory *m)
{
	char text[STATE_MAX_REMEMBERED * (VERSION_LENGTH + 8) + 1];
	size_t used = 0;

	for (size_t i = 0; i < m->n; i++) {
		used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? " " : "",
					 m->list[i].version.text);
		if (m->list[i].n > 0)
			used += (size_t)snprintf(text + used, sizeof text - used, ":%u",
						 m->list[i].n);
	}
	return journal_set(s->journal, key_of(what, letter).text, used ? text : NULL);
}

/* Its place in m, or m->n. */
static size_t find_version(const struct memory *m, const struct version *version)
{
	size_t i = 0;

	while (i < m->n && strcmp(m->list[i].version.text, version->text) != 0)
		i++;
	return i;
}

static void drop(struct memory *m, size_t i)
{
	m->n--;
	memmove(&m->list[i], &m->list[i + 1], (m->n - i) * sizeof m->list[0]);
}

/* The lowest is the one that is the least likely to be offered again. */
static struct remembered *find_or_add(struct memory *m, const struct version *version)
{
	size_t i = find_version(m, version), lowest = 0;

	if (i < m->n)
		return &m->list[i];
	if (m->n == STATE_MAX_REMEMBERED) {
		for (i = 1; i < m->n; i++)
			if (version_compare(&m->list[i].version, &m->list[lowest].version) < 0)
				lowest = i;
		drop(m, lowest);
	}
	m->list[m->n] = (struct remembered){ .version = *version };
	return &m->list[m->n++];
}

size_t state_quarantined(const struct state *s, char letter,
			 struct version ret[STATE_MAX_REMEMBERED])
{
	struct memory m = recall(s, "quarantine", letter);

	for (size_t i = 0; i < m.n; i++)
		ret[i] = m.list[i].version;
	return m.n;
}

bool state_is_quarantined(const struct state *s, const struct version *version)
{
	struct memory m = recall(s, "quarantine", version->program);

	return find_version(&m, version) < m.n;
}

unsigned state_failures(const struct state *s, const struct version *version)
{
	struct memory m = recall(s, "failures", version->program);
	size_t i = find_version(&m, version);

	return i < m.n ? m.list[i].n : 0;
}

int state_set_quarantine(struct state *s, const struct version *version)
{
	struct memory m = recall(s, "quarantine", version->program);

	(void)find_or_add(&m, version);
	return memorize(s, "quarantine", version->program, &m);
}

int state_quarantine_left(struct state *s, char letter)
{
	struct memory m = recall(s, RESCUE_LEFT, letter);
	int r = 0;

	for (size_t i = 0; i < m.n && r == 0; i++)
		r = state_set_quarantine(s, &m.list[i].version);
	if (r == 0)
		r = journal_set(s->journal, key_of(RESCUE_LEFT, letter).text, NULL);
	return r < 0 ? r : m.n > 0;
}

static int forget_version(struct state *s, const char *what, const struct version *version)
{
	struct memory m = recall(s, what, version->program);
	size_t i = find_version(&m, version);

	if (i == m.n)
		return 0;
	drop(&m, i);
	return memorize(s, what, version->program, &m);
}

int state_pardon(struct state *s, const struct version *version)
{
	int r = forget_version(s, "failures", version);

	return r < 0 ? r : forget_version(s, "quarantine", version);
}

static int forget_not_newer(struct state *s, const char *what, const struct version *confirmed)
{
	struct memory m = recall(s, what, confirmed->program);

	for (size_t i = m.n; i-- > 0;)
		if (version_compare(&m.list[i].version, confirmed) <= 0)
			drop(&m, i);
	return memorize(s, what, confirmed->program, &m);
}

int state_clear_failures(struct state *s, const struct version *confirmed)
{
	int r = forget_not_newer(s, "failures", confirmed);

	return r < 0 ? r : forget_not_newer(s, "quarantine", confirmed);
}

int state_count_failure(struct state *s, const struct version *version, bool *ret_quarantined)
{
	struct memory m = recall(s, "failures", version->program);
	struct remembered *one = find_or_add(&m, version);
	bool is_enough;
	int r;

	if (one->n < STATE_MAX_FAILURES)
		one->n++;
	is_enough = one->n >= STATE_MAX_FAILURES;
	r = memorize(s, "failures", version->program, &m);
	if (r == 0 && is_enough)
		r = state_set_quarantine(s, version);
	if (r < 0)
		return r;
	*ret_quarantined = is_enough;
	return 0;
}

/* ---- when not to upgrade ---- */

int state_hold(struct state *s, char letter, uint64_t until_sec)
{
	const struct key key = key_of(HELD, letter);

	if (until_sec == 0)
		return journal_set(s->journal, key.text, NULL);
	if (until_sec == STATE_FOREVER)
		return journal_set(s->journal, key.text, FOREVER);
	return journal_set_u64(s->journal, key.text, until_sec);
}

uint64_t state_held_until(const struct state *s, char letter, uint64_t now_sec)
{
	const struct key key = key_of(HELD, letter);
	const char *text = journal_get(s->journal, key.text);
	uint64_t until_sec = journal_get_u64(s->journal, key.text);

	/* A word of a newer updaterd, too: not to upgrade is what was asked for. */
	if (text && until_sec == 0)
		return STATE_FOREVER;
	return until_sec > now_sec ? until_sec : 0;
}

int state_note_postponed(struct state *s, char letter, uint64_t now_sec)
{
	uint64_t since_sec = state_postponed_since(s, letter);

	/* By a clock that was ahead it would not be told for years. */
	if (since_sec > 0 && since_sec <= now_sec)
		return 0;
	return journal_set_u64(s->journal, key_of(POSTPONED, letter).text, now_sec);
}

int state_clear_postponed(struct state *s, char letter)
{
	return journal_set(s->journal, key_of(POSTPONED, letter).text, NULL);
}

uint64_t state_postponed_since(const struct state *s, char letter)
{
	return journal_get_u64(s->journal, key_of(POSTPONED, letter).text);
}

/* ---- all of it ---- */

static const char *const known[] = { "floor", "quarantine", "failures", HELD, POSTPONED };
_Static_assert(ELEMENTSOF(known) == ELEMENTSOF(((struct state_known *)0)->values),
	       "what is known cannot be saved");

int state_forget(struct state *s, char letter)
{
	for (size_t i = 0; i < ELEMENTSOF(known); i++) {
		int r = journal_set(s->journal, key_of(known[i], letter).text, NULL);

		if (r < 0)
			return r;
	}
	return 0;
}

int state_save(const struct state *s, char letter, struct state_known *ret)
{
	for (size_t i = 0; i < ELEMENTSOF(known); i++) {
		const char *value = journal_get(s->journal, key_of(known[i], letter).text);

		ret->values[i] = value ? strdup(value) : NULL;
		if (value && !ret->values[i])
			return -ENOMEM;
	}
	return 0;
}

int state_restore(struct state *s, char letter, const struct state_known *saved)
{
	for (size_t i = 0; i < ELEMENTSOF(known); i++) {
		int r = journal_set(s->journal, key_of(known[i], letter).text, saved->values[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

void state_known_done(struct state_known *saved)
{
	for (size_t i = 0; i < ELEMENTSOF(known); i++)
		free(saved->values[i]);
}

static void print_program(FILE *out, const struct conf_program *program)
{
	(void)fprintf(out, "%c %s %s", program->letter, program->space,
		      program->factory ? program->factory : "-");
	if (program->unit)
		(void)fprintf(out, " %s", program->unit);
	(void)fputc('\n', out);
}

static int format_programs(const struct conf *conf, char **ret, size_t *ret_size)
{
	FILE *out = open_memstream(ret, ret_size);

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < conf->n_programs; i++)
		print_program(out, &conf->programs[i]);
	return fclose(out) == 0 ? 0 : -ENOMEM;
}

int state_write_programs(const struct state *s)
{
	_cleanup_free_ char *text = NULL, *there = NULL;
	size_t size, size_there;
	int r;

	r = format_programs(s->conf, &text, &size);
	if (r < 0)
		return r;
	if (fs_read_file(s->dirfd, PROGRAMS_FILE, PROGRAMS_MAX_BYTES, &there, &size_there) == 0 &&
	    size_there == size && memcmp(there, text, size) == 0)
		return 0;
	return fs_write_file_atomic(s->dirfd, PROGRAMS_FILE, text, size, 0600);
}

int state_end_attempt(struct state *s)
{
	/* It names its attempt, so that a left-over is good for nothing. */
	(void)!updater_trial_forget(s->dirfd);
	return record_end_durably(s->journal);
}

int state_prune(struct store *store, const struct version *extra)
{
	struct version keep[3];
	size_t n = 0;
	int r;

	r = swap_read(store_dirfd(store), SWAP_CURRENT, &keep[n]);
	/* Without a sound `current` nothing is known to be superfluous. */
	if (r == -ENOENT || r == -EUCLEAN)
		return store_sweep(store);
	if (r < 0)
		return r;
	n++;
	/* Of one that is gone the backup may still be there. */
	r = swap_read_text(store_dirfd(store), SWAP_PREVIOUS, &keep[n]);
	if (r == 0)
		n++;
	else if (r != -ENOENT && r != -EUCLEAN)
		return r;
	if (extra)
		keep[n++] = *extra;
	return store_prune(store, keep, n);
}
