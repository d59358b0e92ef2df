/* SPDX-License-Identifier: Apache-2.0 */
/* A directory for targets that read files: in memory where there is such a file system, gone at exit. */
#ifndef TESTS_FUZZ_DIRECTORY_H
#define TESTS_FUZZ_DIRECTORY_H

#include <fcntl.h>
#include <string.h>

#include "common/fsutil.h"
#include "fuzz.h"

static char directory_path[64];

static inline void directory_remove(void)
{
	(void)!fs_remove_tree(AT_FDCWD, directory_path);
}

static inline int directory_open(void)
{
	static int fd = FD_NONE;

	if (fd >= 0)
		return fd;
	(void)strcpy(directory_path, "/dev/shm/fuzz-XXXXXX");
	if (!mkdtemp(directory_path)) {
		(void)strcpy(directory_path, "/tmp/fuzz-XXXXXX");
		check(mkdtemp(directory_path));
	}
	fd = open(directory_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(fd >= 0 && atexit(directory_remove) == 0);
	return fd;
}

static inline void directory_put(int directory, const char *name, const void *bytes, size_t size)
{
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	check(fd >= 0 && fs_write_all(fd, bytes, size) == 0 && close(fd) == 0);
}

#endif
