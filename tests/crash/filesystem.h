/* SPDX-License-Identifier: Apache-2.0 */
/* The file systems that a gateway may have, small, and how they are made, mounted and checked here. */
#ifndef TESTS_CRASH_FILESYSTEM_H
#define TESTS_CRASH_FILESYSTEM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

struct filesystem {
	const char *name;
	uint64_t bytes;
	const char *options[3];	 /* of the mount, in turn; there is a first one at least */
	const char *const *make; /* command line; the file is added */
	const char *const *check;
	unsigned check_each; /* every n-th state is checked; all others are mounted and read only */
	uint64_t superblocks[2];
	/* A small one that was full has no room for metadata until it is balanced, whatever is removed. */
	bool stays_full;
};

/* NULL: there is no such file system. */
const struct filesystem *filesystem_find(const char *name);
/* All of these rely on it that a superblock, which they write in its place, is not torn. */
bool filesystem_is_superblock(const struct filesystem *fs, uint64_t offset, uint64_t size);
/* Runs a command with the file as its last argument, silently. Its exit code, or -errno. */
int filesystem_run(const char *const *command, const char *file);
int filesystem_mount(const struct filesystem *fs, const char *device, const char *directory,
		     unsigned round);

#endif
