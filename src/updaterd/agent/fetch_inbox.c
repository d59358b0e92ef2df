/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/fetch.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "updaterd/checkpoint.h"

#define COPY_BYTES	  (64u << 10)
#define ROOM_MARGIN_BYTES (UINT64_C(1) << 20)

/* ---- a whole file ---- */

int fetch_check_whole(int inbox_fd, int fd, const uint8_t *sha256, struct failure *failure)
{
	uint8_t actual[SHA256_BYTES];
	int r;

	r = digest_fd(fd, actual, NULL);
	if (r < 0)
		return failure_set_errno(failure, r, "inbox");
	if (memcmp(actual, sha256, sizeof actual) == 0)
		return checkpoint_open_file(inbox_fd, sha256, "part", O_RDONLY);
	r = fetch_remove(inbox_fd, sha256);
	if (r < 0)
		log_debug("fetch: the inbox cannot be emptied: %s", strerror(-r));
	return failure_set(failure, -EBADMSG, REASON_HASH,
			   "the file is not the one that was signed");
}

static int copy_bytes(int from_fd, int to_fd, uint64_t length, fetch_progress_fn progress,
		      void *userdata)
{
	_cleanup_free_ uint8_t *buffer = malloc(COPY_BYTES);
	uint64_t done = 0;

	if (!buffer)
		return -ENOMEM;
	while (done < length) {
		size_t n = length - done < COPY_BYTES ? (size_t)(length - done) : COPY_BYTES;
		int r;

		r = fs_pread_all(from_fd, buffer, n, done);
		if (r >= 0)
			r = fs_pwrite_all(to_fd, buffer, n, done);
		if (r < 0)
			return r;
		done += n;
		r = progress ? progress(userdata, done) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

int fetch_copy(int from_fd, int inbox_fd, uint64_t length_bytes, const uint8_t *sha256,
	       fetch_progress_fn progress, void *userdata, struct failure *failure)
{
	_cleanup_close_ int fd = FD_NONE;
	struct stat st;
	int r;

	if (fstat(from_fd, &st) < 0)
		return failure_set_errno(failure, -errno, "program file");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != length_bytes)
		return failure_set(failure, -EBADMSG, REASON_LENGTH,
				   "the file has %jd bytes, %ju are signed", (intmax_t)st.st_size,
				   (uintmax_t)length_bytes);
	fd = checkpoint_open_file(inbox_fd, sha256, "part", O_RDWR | O_CREAT | O_TRUNC);
	if (fd < 0)
		return failure_set_errno(failure, fd, "inbox");
	r = copy_bytes(from_fd, fd, length_bytes, progress, userdata);
	if (r < 0)
		return failure_set_errno(failure, r, "program file");
	if (fdatasync(fd) < 0)
		return failure_set_errno(failure, -errno, "inbox");
	return fetch_check_whole(inbox_fd, fd, sha256, failure);
}

/* ---- the inbox ---- */

int fetch_check_room(int inbox_fd, uint64_t length_bytes, uint64_t max_bytes, const uint8_t *sha256,
		     struct failure *failure)
{
	_cleanup_close_ int fd = FD_NONE;
	struct statvfs fs;
	struct stat st;
	uint64_t there = 0, free_bytes, needed;

	if (length_bytes == 0 || length_bytes > max_bytes)
		return failure_set(failure, -EFBIG, REASON_LENGTH,
				   "the file has %ju bytes, [limits] max_program_bytes is %ju",
				   (uintmax_t)length_bytes, (uintmax_t)max_bytes);
	if (fstatvfs(inbox_fd, &fs) < 0)
		return failure_set_errno(failure, -errno, "inbox");
	fd = checkpoint_open_file(inbox_fd, sha256, "part", O_RDONLY);
	if (fd >= 0 && fstat(fd, &st) >= 0)
		there = (uint64_t)st.st_blocks * 512;
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	needed = (there < length_bytes ? length_bytes - there : 0) + ROOM_MARGIN_BYTES;
	if (free_bytes < needed)
		return failure_set(failure, -ENOSPC, REASON_NO_SPACE,
				   "the inbox has room for %ju bytes, %ju are needed",
				   (uintmax_t)free_bytes, (uintmax_t)needed);
	return 0;
}

static bool is_of(const char *name, const uint8_t *sha256)
{
	char hex[SHA256_HEX_LENGTH + 1];

	hex_encode(sha256, SHA256_BYTES, hex);
	return strncmp(name, hex, SHA256_HEX_LENGTH) == 0;
}

static bool is_of_any(const char *name, const uint8_t sha256[][SHA256_BYTES], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_of(name, sha256[i]))
			return true;
	return false;
}

/* Removes what is of the files (doomed), or what is not. */
static int remove_files(int inbox_fd, const uint8_t sha256[][SHA256_BYTES], size_t n, bool doomed)
{
	_cleanup_dir_ DIR *dir = NULL;
	const char *name;
	int removed, r;

	r = fs_open_dir(inbox_fd, ".", &dir);
	if (r < 0)
		return r;
	while ((name = fs_next_name(dir))) {
		if (is_of_any(name, sha256, n) != doomed)
			continue;
		removed = fs_remove_tree(inbox_fd, name);
		if (removed < 0)
			r = removed;
	}
	return r;
}

int fetch_clean(int inbox_fd, const uint8_t keep[][SHA256_BYTES], size_t n_keep)
{
	return remove_files(inbox_fd, keep, n_keep, false);
}

int fetch_remove(int inbox_fd, const uint8_t sha256[SHA256_BYTES])
{
	uint8_t one[1][SHA256_BYTES];

	memcpy(one[0], sha256, SHA256_BYTES);
	return remove_files(inbox_fd, one, 1, true);
}
