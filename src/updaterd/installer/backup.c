/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/backup.h"

#include <fcntl.h>
#include <string.h>

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
	if (r == -EUCLEAN)
		return failure_set(failure, r, REASON_DAMAGED, "%s is damaged: %s", version->text,
				   error ? error : "");
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
