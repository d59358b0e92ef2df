/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory for one test, gone when the test is over, and short words for putting files into it.
 * For cmocka tests: everything that fails here fails the test.
 */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fsutil.h"

struct scratch {
	char path[64];
	int dirfd;
};

static inline int scratch_setup(void **state)
{
	struct scratch *s = calloc(1, sizeof *s);

	assert_non_null(s);
	(void)strcpy(s->path, "/tmp/unit-XXXXXX");
	assert_non_null(mkdtemp(s->path));
	s->dirfd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(s->dirfd >= 0);
	*state = s;
	return 0;
}

static inline int scratch_teardown(void **state)
{
	struct scratch *s = *state;

	(void)close(s->dirfd);
	assert_int_equal(fs_remove_tree(AT_FDCWD, s->path), 0);
	free(s);
	return 0;
}

/* Makes parents as needed; the mode is exact, whatever the umask. */
static inline void scratch_write(int dirfd, const char *path, const void *bytes, size_t size,
				 mode_t mode)
{
	char parent[512];
	char *slash;
	int fd;

	assert_true(strlen(path) < sizeof parent);
	(void)strcpy(parent, path);
	slash = strrchr(parent, '/');
	if (slash) {
		*slash = '\0';
		assert_int_equal(fs_mkdir_p(dirfd, parent, 0755), 0);
	}
	(void)unlinkat(dirfd, path, 0);
	fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, bytes, size), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static inline void scratch_text(int dirfd, const char *path, const char *text, mode_t mode)
{
	scratch_write(dirfd, path, text, strlen(text), mode);
}

static inline int scratch_dir(int dirfd, const char *path)
{
	int fd;

	assert_int_equal(fs_mkdir_p(dirfd, path, 0755), 0);
	fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

#endif
