/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/state.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "updaterd/swap.h"

#define LOCK_FILE	   "lock"
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

int state_quarantine(const struct state *s, char letter, struct version *ret)
{
	return get_version(s, "quarantine", letter, ret);
}

/* "B202109010001:2" */
unsigned state_failures(const struct state *s, char letter, const struct version *version)
{
	const char *text = journal_get(s->journal, key_of("failures", letter).text);

	if (!text || strncmp(text, version->text, VERSION_LENGTH) != 0 ||
	    text[VERSION_LENGTH] != ':')
		return 0;
	text += VERSION_LENGTH + 1;
	if (*text < '0' || *text > MAX_FAILURES_DIGIT || text[1] != '\0')
		return 0;
	return (unsigned)(*text - '0');
}

int state_raise_floor(struct state *s, const struct version *version)
{
	struct version floor;

	if (state_floor(s, version->program, &floor) == 0 && version_compare(version, &floor) < 0)
		return 0;
	return journal_set(s->journal, key_of("floor", version->program).text, version->text);
}

int state_set_quarantine(struct state *s, const struct version *version)
{
	return journal_set(s->journal, key_of("quarantine", version->program).text, version->text);
}

int state_clear_failures(struct state *s, const struct version *confirmed)
{
	struct version quarantined;
	int r;

	r = journal_set(s->journal, key_of("failures", confirmed->program).text, NULL);
	if (r < 0)
		return r;
	if (state_quarantine(s, confirmed->program, &quarantined) < 0 ||
	    version_compare(&quarantined, confirmed) > 0)
		return 0;
	return journal_set(s->journal, key_of("quarantine", confirmed->program).text, NULL);
}

int state_count_failure(struct state *s, const struct version *version, bool *ret_quarantined)
{
	unsigned n = state_failures(s, version->program, version) + 1;
	char text[VERSION_LENGTH + 8];
	int r;

	if (n > STATE_MAX_FAILURES)
		n = STATE_MAX_FAILURES;
	(void)snprintf(text, sizeof text, "%s:%u", version->text, n);
	r = journal_set(s->journal, key_of("failures", version->program).text, text);
	if (r < 0)
		return r;
	if (n >= STATE_MAX_FAILURES) {
		r = state_set_quarantine(s, version);
		if (r < 0)
			return r;
	}
	*ret_quarantined = n >= STATE_MAX_FAILURES;
	return 0;
}

int state_forget(struct state *s, char letter)
{
	static const char *const what[] = { "floor", "quarantine", "failures" };

	for (size_t i = 0; i < ELEMENTSOF(what); i++) {
		int r = journal_set(s->journal, key_of(what[i], letter).text, NULL);

		if (r < 0)
			return r;
	}
	return 0;
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
	r = swap_read(store_dirfd(store), SWAP_PREVIOUS, &keep[n]);
	if (r == 0)
		n++;
	else if (r != -ENOENT && r != -EUCLEAN)
		return r;
	if (extra)
		keep[n++] = *extra;
	return store_prune(store, keep, n);
}
