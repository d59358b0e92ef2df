/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/copy_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/fsutil.h"

static int copy_file(int from_dirfd, int to_dirfd, const char *name, size_t max_bytes)
{
	_cleanup_free_ char *bytes = NULL;
	struct stat st;
	size_t size;
	int r;

	if (fstatat(from_dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return 0;
	r = fs_read_file(from_dirfd, name, max_bytes, &bytes, &size);
	return r < 0 ? r : fs_write_file_atomic(to_dirfd, name, bytes, size, 0600);
}

int copy_files(int from_dirfd, int to_dirfd, size_t max_bytes)
{
	_cleanup_dir_ DIR *dir = NULL;
	const char *name;
	unsigned n = 0;
	int r;

	r = fs_open_dir(from_dirfd, ".", &dir);
	if (r < 0)
		return r;
	while ((name = fs_next_name(dir))) {
		if (name[0] == '.')
			continue;
		if (n++ == COPY_FILES_MAX)
			return -E2BIG;
		r = copy_file(from_dirfd, to_dirfd, name, max_bytes);
		if (r < 0)
			return r;
	}
	return -errno;
}
