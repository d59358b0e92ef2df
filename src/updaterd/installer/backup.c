/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/backup.h"

#include <fcntl.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/reltar.h"
#include "common/xz.h"

static int hash_bytes(void *userdata, const void *bytes, size_t size)
{
	return digest_update(userdata, bytes, size);
}

static int check_fd(int fd, const uint8_t tar_sha256[SHA256_BYTES], uint64_t max_tar_bytes)
{
	_cleanup_(digest_freep) struct digest *digest = NULL;
	struct fd_stream stream = { .fd = fd };
	uint8_t sha256[SHA256_BYTES];
	int r;

	r = digest_new(&digest);
	if (r < 0)
		return r;
	r = xz_decompress(fd_stream_read, &stream, hash_bytes, digest, max_tar_bytes);
	if (r == 0)
		r = digest_final(digest, sha256);
	if (r < 0)
		return r == -EFBIG ? -EBADMSG : r;
	return memcmp(sha256, tar_sha256, sizeof sha256) == 0 ? 0 : -EBADMSG;
}

int backup_check(const struct store *store, const struct version *version,
		 const uint8_t tar_sha256[SHA256_BYTES], uint64_t max_tar_bytes)
{
	_cleanup_close_ int fd = store_backup_open(store, version);

	return fd < 0 ? fd : check_fd(fd, tar_sha256, max_tar_bytes);
}

int backup_find(const struct store *store, const struct version *version, uint64_t max_tar_bytes,
		uint8_t ret_tar_sha256[SHA256_BYTES])
{
	uint8_t sha256[SHA256_BYTES];
	int r;

	r = store_backup_noted(store, version, sha256);
	if (r == 0)
		r = backup_check(store, version, sha256, max_tar_bytes);
	if (r < 0)
		return r;
	memcpy(ret_tar_sha256, sha256, sizeof sha256);
	return 0;
}

static int write_backup(struct store *store, const struct version *version,
			struct reltar_view *view, const uint8_t sha256[SHA256_BYTES])
{
	struct reltar_reader reader = { .view = view };
	_cleanup_close_ int fd = store_backup_begin(store, version);
	struct fd_stream stream = { .fd = fd };
	int r;

	if (fd < 0)
		return fd;
	r = xz_compress(reltar_reader_read, &reader, fd_stream_write, &stream, BACKUP_XZ_PRESET, 0);
	if (r < 0)
		return r;
	if (fsync(fd) < 0)
		return -errno;
	/* Read back before it gets its name: a name stands for a backup that is right. */
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	r = check_fd(fd, sha256, reltar_view_size(view));
	if (r < 0)
		return r;
	r = store_backup_note(store, version, sha256);
	if (r == 0)
		r = store_backup_commit(store, version);
	if (r < 0)
		return r;
	return close(TAKE_FD(fd)) < 0 ? -errno : 0;
}

int backup_make(struct store *store, const struct version *version, uint64_t max_tar_bytes,
		struct failure *failure)
{
	_cleanup_(reltar_view_closep) struct reltar_view *view = NULL;
	_cleanup_free_ char *error = NULL;
	_cleanup_close_ int release_fd = FD_NONE;
	uint8_t sha256[SHA256_BYTES], there[SHA256_BYTES];
	int r;

	r = store_check_release(store, version, &error);
	if (r < 0 && !fs_is_accident(r))
		return failure_set(failure, r, REASON_DAMAGED, "%s is damaged: %s", version->text,
				   error ? error : strerror(-r));
	if (r == 0)
		r = release_fd = store_open_release(store, version);
	if (r >= 0)
		r = reltar_view_open(release_fd, &view);
	if (r >= 0)
		r = reltar_view_sha256(view, sha256);
	if (r < 0)
		return failure_set_errno(failure, r, "reading %s", version->text);
	if (backup_find(store, version, max_tar_bytes, there) == 0 &&
	    memcmp(there, sha256, sizeof sha256) == 0)
		return 0;
	r = write_backup(store, version, view, sha256);
	return r < 0 ? failure_set_errno(failure, r, "writing the backup of %s", version->text) : 0;
}

const char *backup_where(const struct store *store, const struct version *version)
{
	_cleanup_close_ int fd = store_backup_open(store, version);

	if (store_backup_told(store, version) == 0)
		return fd >= 0 ? BACKUP_WHERE_LOCAL : NULL;
	return fd >= 0 ? BACKUP_WHERE_BOTH : BACKUP_WHERE_SERVER;
}

#define COPY_BYTES (64u << 10)

/* Whoever gave the file may still write to it: what counts is our copy. */
static int copy_bounded(int from_fd, int to_fd, uint64_t max_bytes)
{
	_cleanup_free_ char *buffer = malloc(COPY_BYTES);
	uint64_t offset = 0;
	size_t n;

	if (!buffer)
		return -ENOMEM;
	do {
		int r = fs_pread_upto(from_fd, buffer, COPY_BYTES, offset, &n);

		if (r == 0 && n > max_bytes - offset)
			r = -EFBIG;
		if (r == 0)
			r = fs_pwrite_all(to_fd, buffer, n, offset);
		if (r < 0)
			return r;
		offset += n;
	} while (n == COPY_BYTES);
	return fsync(to_fd) < 0 ? -errno : 0;
}

int backup_put_back(struct store *store, const struct version *version, int from_fd,
		    uint64_t max_bytes, struct failure *failure)
{
	uint8_t tar_sha256[SHA256_BYTES];
	_cleanup_close_ int fd = FD_NONE;
	int r;

	r = store_backup_noted(store, version, tar_sha256);
	if (r < 0)
		return failure_set(failure, r, REASON_DAMAGED,
				   "there is no note of what the backup of %s hashes to",
				   version->text);
	fd = store_backup_begin(store, version);
	r = fd < 0 ? fd : copy_bounded(from_fd, fd, max_bytes);
	if (r == 0)
		r = check_fd(fd, tar_sha256, max_bytes);
	if (r == -EBADMSG)
		return failure_set(failure, r, REASON_HASH,
				   "the file is not the backup of %s that was made here",
				   version->text);
	if (r == 0)
		r = store_backup_commit(store, version);
	if (r < 0)
		return failure_set_errno(failure, r, "putting back the backup of %s",
					 version->text);
	return close(TAKE_FD(fd)) < 0 ? failure_set_errno(failure, -errno, "the backup") : 0;
}
