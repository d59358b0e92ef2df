/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patches by src/delta, on files:
 *
 *	delta make OLD NEW PATCH
 *	delta apply OLD PATCH NEW
 *	delta nothing			the same program, doing nothing: what an empty process takes
 *
 * apply reads and writes as the installer does: a stretch of the patch at a time, old bytes by
 * pread().
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fsutil.h"
#include "delta/apply.h"
#include "delta/make.h"

#define READ_BYTES (16u << 10)

static int open_to_read(const char *path, struct stat *ret_st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, ret_st) < 0)
		return -errno;
	return fd;
}

static int open_to_write(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	return fd < 0 ? -errno : fd;
}

static int write_bytes(void *userdata, const void *bytes, size_t size)
{
	int fd = *(int *)userdata;

	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0)
			return -errno;
		bytes = (const char *)bytes + n;
		size -= (size_t)n;
	}
	return 0;
}

static int map(const char *path, struct bytes_view *ret)
{
	_cleanup_close_ int fd = FD_NONE;
	struct stat st;
	void *bytes;

	fd = open_to_read(path, &st);
	if (fd < 0)
		return fd;
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	*ret = (struct bytes_view){ .bytes = bytes, .size = (size_t)st.st_size };
	return 0;
}

static int make(const char *old_path, const char *new_path, const char *patch_path)
{
	_cleanup_close_ int fd = FD_NONE;
	struct bytes_view old_file, new_file;
	int r;

	r = map(old_path, &old_file);
	if (r >= 0)
		r = map(new_path, &new_file);
	if (r >= 0)
		r = fd = open_to_write(patch_path);
	if (r < 0)
		return r;
	return patch_make(&old_file, &new_file, write_bytes, &fd);
}

static ssize_t read_old(void *userdata, void *buffer, size_t size, uint64_t offset)
{
	ssize_t n = pread(*(int *)userdata, buffer, size, (off_t)offset);

	return n < 0 ? -errno : n;
}

static int feed(struct patch_apply *apply, int patch_fd)
{
	uint8_t buffer[READ_BYTES];
	uint64_t new_bytes;
	ssize_t n;
	int r;

	while ((n = read(patch_fd, buffer, sizeof buffer)) > 0) {
		r = patch_apply_write(apply, buffer, (size_t)n);
		if (r < 0)
			return r;
	}
	return n < 0 ? -errno : patch_apply_finish(apply, &new_bytes);
}

static int apply(const char *old_path, const char *patch_path, const char *new_path)
{
	_cleanup_close_ int old_fd = FD_NONE, patch_fd = FD_NONE, new_fd = FD_NONE;
	_cleanup_(patch_apply_freep) struct patch_apply *p = NULL;
	struct stat old_st, patch_st;
	int r;

	r = old_fd = open_to_read(old_path, &old_st);
	if (r >= 0)
		r = patch_fd = open_to_read(patch_path, &patch_st);
	if (r >= 0)
		r = new_fd = open_to_write(new_path);
	if (r >= 0)
		r = patch_apply_new(read_old, &old_fd, (uint64_t)old_st.st_size, write_bytes,
				    &new_fd, PATCH_MAX_FILE_BYTES, &p);
	return r < 0 ? r : feed(p, patch_fd);
}

int main(int argc, char **argv)
{
	int r = -EINVAL;

	if (argc == 2 && strcmp(argv[1], "nothing") == 0)
		return 0;
	if (argc == 5 && strcmp(argv[1], "make") == 0)
		r = make(argv[2], argv[3], argv[4]);
	else if (argc == 5 && strcmp(argv[1], "apply") == 0)
		r = apply(argv[2], argv[3], argv[4]);
	if (r < 0)
		fprintf(stderr, "delta: %s\n", strerror(-r));
	return r < 0 ? 1 : 0;
}
