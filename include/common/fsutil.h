/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and directories, safely: bounded reads, atomic replacement, trees that are removed without
 * following links. The convention is (dirfd, name); AT_FDCWD and a path work as well.
 *
 * All functions return 0 (or a positive count) or a negative errno. An fsync() or close() that fails
 * is an error of the whole call and is never tried again: the kernel may have dropped the pages.
 */
#ifndef COMMON_FSUTIL_H
#define COMMON_FSUTIL_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"

/* Does an error tell of the machine that tried (memory, descriptors, permission, room, a signal) rather
 * than of what it tried it on? Then that may be as good as ever. EIO is none: look again. */
bool fs_is_accident(int error);

/* Opens name below dirfd with openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), O_CLOEXEC added: the
 * result can be neither outside dirfd nor reached through a link. Returns the descriptor. */
_must_check_ int fs_open_beneath(int dirfd, const char *name, int flags, mode_t mode);

/* The same for reading, and only if it is a regular file, else -EINVAL; a fifo does not hold us up.
 * ret_size_bytes may be NULL. */
_must_check_ int fs_open_regular(int dirfd, const char *name, uint64_t *ret_size_bytes);

/* A directory as a stream, opened beneath dirfd; "." for dirfd itself, whose position stays. */
_must_check_ int fs_open_dir(int dirfd, const char *name, DIR **ret);
/* The next name but "." and ".."; NULL at the end, with errno 0, or after an error in errno. */
const char *fs_next_name(DIR *dir);
static inline void close_dir(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}
#define _cleanup_dir_ _cleanup_(close_dir)

/* Reads a whole regular file of at most max_bytes. The buffer gets a terminating NUL that is not
 * counted. -EFBIG if it is larger, -EISDIR or -EINVAL if it is no regular file. Caller frees. */
_must_check_ int fs_read_file(int dirfd, const char *name, size_t max_bytes, char **ret_bytes,
			      size_t *ret_size);
/* The same from an open descriptor, from offset 0, by pread(). */
_must_check_ int fs_read_fd(int fd, size_t max_bytes, char **ret_bytes, size_t *ret_size);

/* Replaces name by these bytes: temporary file beside it, write, fchmod, fsync, close, rename, fsync
 * of the directory. If we die inside, name holds the old bytes or the new ones; a left-over
 * temporary file ('.#name') is replaced by the next call. name may contain directories. */
_must_check_ int fs_write_file_atomic(int dirfd, const char *name, const void *bytes, size_t size,
				      mode_t mode);

/* write() until all is written. */
_must_check_ int fs_write_all(int fd, const void *bytes, size_t size);
/* pwrite() until all is written. */
_must_check_ int fs_pwrite_all(int fd, const void *bytes, size_t size, uint64_t offset);
/* pread() until size bytes are there or the file ends; how many there are. */
_must_check_ int fs_pread_upto(int fd, void *bytes, size_t size, uint64_t offset, size_t *ret_size);
/* pread() until size bytes are there; -ENODATA if the file ends before. */
_must_check_ int fs_pread_all(int fd, void *bytes, size_t size, uint64_t offset);

/* mkdir -p below dirfd; directories that exist are left as they are. -ENOTDIR if one is something
 * else. Links are not followed. */
_must_check_ int fs_mkdir_p(int dirfd, const char *path, mode_t mode);

/* fsync of a directory by name ("." for dirfd itself). */
_must_check_ int fs_fsync_dir(int dirfd, const char *name);

/* Removes a file or a whole tree below dirfd. Never follows a link, never leaves the file system.
 * Directories made read-only are made writable first. A missing name is success. */
_must_check_ int fs_remove_tree(int dirfd, const char *name);

/* True for names that may become one path component: [A-Za-z0-9][A-Za-z0-9._+-]{0,127}. */
bool fs_is_safe_name(const char *name);
/* True for a relative path of such components (a leading '.' or '_' of a component is allowed, '.'
 * and '..' are not), 255 bytes at most, no empty component, no leading or trailing slash. */
bool fs_is_safe_path(const char *path);

/* Reads a link's target into a new string; -EINVAL if name is no link. Caller frees. */
_must_check_ int fs_read_link(int dirfd, const char *name, char **ret_target);

#endif
