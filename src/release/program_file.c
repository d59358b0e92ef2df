/* SPDX-License-Identifier: Apache-2.0 */
#include "release/program_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "common/segments.h"
#include "common/xz.h"

#define TEMPORARY_NAME ".new"
#define XZ_PRESET      9

/* ---- reading back ---- */

struct tar_digest {
	struct digest *digest;
	uint64_t bytes;
};

static int hash_bytes(void *tar_digest, const void *bytes, size_t size)
{
	struct tar_digest *d = tar_digest;

	d->bytes += size;
	return digest_update(d->digest, bytes, size);
}

int program_file_tar_sha256(int fd, uint64_t max_bytes, uint8_t ret[SHA256_BYTES],
			    uint64_t *ret_bytes)
{
	_cleanup_(digest_freep) struct digest *digest = NULL;
	struct fd_stream from = { .fd = fd };
	struct tar_digest to = { 0 };
	int r;

	r = digest_new(&digest);
	if (r < 0)
		return r;
	to.digest = digest;
	r = xz_decompress(fd_stream_read, &from, hash_bytes, &to, max_bytes);
	if (r < 0)
		return r;
	r = digest_final(digest, ret);
	if (r < 0)
		return r;
	*ret_bytes = to.bytes;
	return 0;
}

/* Nothing is signed that was not seen to give the tar again. */
static int check_round_trip(int fd, const struct release_tar *tar)
{
	uint8_t sha256[SHA256_BYTES];
	uint64_t bytes;
	int r = program_file_tar_sha256(fd, release_tar_bytes(tar), sha256, &bytes);

	if (r < 0)
		return r;
	if (bytes != release_tar_bytes(tar) ||
	    memcmp(sha256, release_tar_sha256(tar), SHA256_BYTES) != 0)
		return -EIO;
	return 0;
}

/* ---- making ---- */

static int made_file_name(const struct made_file *file, const char *name, char **ret)
{
	char hex[SHA256_HEX_LENGTH + 1];

	hex_encode(file->sha256, sizeof file->sha256, hex);
	return asprintf(ret, "%s.%s", hex, name) < 0 ? -ENOMEM : 0;
}

static int compress(struct release_tar *tar, int fd, struct made_file *ret)
{
	struct fd_stream to = { .fd = fd };
	int r;

	r = xz_compress(release_tar_read, tar, fd_stream_write, &to, XZ_PRESET, 1);
	if (r < 0)
		return r;
	if (fchmod(fd, 0644) < 0 || fsync(fd) < 0)
		return -errno;
	r = digest_fd(fd, ret->sha256, &ret->bytes);
	return r < 0 ? r : check_round_trip(fd, tar);
}

int program_file_make(int dirfd, const char *name, struct release_tar *tar, struct made_file *ret,
		      struct problem *problem)
{
	_cleanup_close_ int fd = FD_NONE;
	_cleanup_free_ char *final = NULL;
	struct made_file made = { 0 };
	int r;

	fd = openat(dirfd, TEMPORARY_NAME, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return problem_set(problem, -errno, "cannot make '%s': %m", name);
	r = compress(tar, fd, &made);
	if (r == 0)
		r = made_file_name(&made, name, &final);
	if (r == 0 && renameat(dirfd, TEMPORARY_NAME, dirfd, final) < 0)
		r = -errno;
	if (r == 0)
		r = fs_fsync_dir(dirfd, ".");
	if (r < 0) {
		(void)unlinkat(dirfd, TEMPORARY_NAME, 0);
		return problem_set(problem, r, "cannot make '%s': %s", name, strerror(-r));
	}
	*ret = made;
	return 0;
}

static int make_segments(int dirfd, const char *program_file, const char *name,
			 uint32_t segment_bytes, struct made_file *ret)
{
	_cleanup_close_ int fd = fs_open_beneath(dirfd, program_file, O_RDONLY, 0);
	_cleanup_(segments_freep) struct segments *segments = NULL;
	_cleanup_free_ char *bytes = NULL, *final = NULL;
	struct made_file made = { 0 };
	size_t size;
	int r;

	if (fd < 0)
		return fd;
	r = segments_from_fd(fd, segment_bytes, &segments);
	if (r < 0)
		return r;
	r = segments_format(segments, &bytes, &size);
	if (r < 0)
		return r;
	made.bytes = size;
	r = digest_sha256(bytes, size, made.sha256);
	if (r < 0)
		return r;
	r = made_file_name(&made, name, &final);
	if (r < 0)
		return r;
	r = fs_write_file_atomic(dirfd, final, bytes, size, 0644);
	if (r < 0)
		return r;
	*ret = made;
	return 0;
}

int program_file_make_segments(int dirfd, const char *name, const struct made_file *program_file,
			       uint32_t segment_bytes, struct made_file *ret,
			       struct problem *problem)
{
	_cleanup_free_ char *from = NULL, *list = NULL;
	int r = made_file_name(program_file, name, &from);

	if (r == 0 && asprintf(&list, "%s.seg%u", name, segment_bytes) < 0)
		r = -ENOMEM;
	if (r == 0)
		r = make_segments(dirfd, from, list, segment_bytes, ret);
	return r < 0 ? problem_set(problem, r, "cannot make the segment list of '%s': %s", name,
				   strerror(-r))
		     : 0;
}
