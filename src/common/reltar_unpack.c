/* SPDX-License-Identifier: Apache-2.0 */
#include "common/reltar.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "reltar_header.h"

enum state {
	STATE_HEADER,
	STATE_CONTENT,
	STATE_PADDING,
	STATE_SECOND_END, /* one block of zeros has been read */
	STATE_END,
};

struct reltar_unpack {
	int dirfd;
	uint64_t max_bytes;
	uint64_t total_bytes;
	struct digest *digest; /* of all that came */
	enum reltar_fault fault;
	int error; /* the first one; everything after it fails the same way */

	enum state state;
	uint8_t block[RELTAR_BLOCK_BYTES];
	size_t block_bytes;
	uint64_t content_left;
	size_t padding_left;

	char *json; /* release.json while it arrives */
	size_t json_size, json_bytes;
	struct manifest *manifest; /* NULL until it is complete */
	size_t n_files;		   /* files begun */
	int fd;
	struct digest *file_digest;
};

int reltar_unpack_new(int dirfd, uint64_t max_bytes, struct reltar_unpack **ret)
{
	_cleanup_(reltar_unpack_freep) struct reltar_unpack *u = NULL;
	int r;

	u = calloc(1, sizeof *u);
	if (!u)
		return -ENOMEM;
	u->fd = FD_NONE;
	u->max_bytes = max_bytes;
	u->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	if (u->dirfd < 0)
		return -errno;
	r = digest_new(&u->digest);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(u);
	return 0;
}

struct reltar_unpack *reltar_unpack_free(struct reltar_unpack *u)
{
	if (!u)
		return NULL;
	close_fd(&u->dirfd);
	close_fd(&u->fd);
	digest_free(u->digest);
	digest_free(u->file_digest);
	manifest_free(u->manifest);
	free(u->json);
	free(u);
	return NULL;
}

enum reltar_fault reltar_unpack_fault(const struct reltar_unpack *u)
{
	return u->fault;
}

static int set_fault(struct reltar_unpack *u, enum reltar_fault fault)
{
	u->fault = fault;
	return -EBADMSG;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

/* ---- files ---- */

static int make_parents(int dirfd, const char *path)
{
	_cleanup_free_ char *parent = NULL;
	const char *slash = strrchr(path, '/');

	if (!slash)
		return 0;
	parent = strndup(path, (size_t)(slash - path));
	return parent ? fs_mkdir_p(dirfd, parent, 0755) : -ENOMEM;
}

static int create_file(struct reltar_unpack *u, const char *path)
{
	int r;

	r = make_parents(u->dirfd, path);
	if (r < 0)
		return r;
	u->fd = fs_open_beneath(u->dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	return u->fd < 0 ? u->fd : 0;
}

/* The file is durable when this returns 0; a close that fails is a failure of the file. */
static int seal_file(struct reltar_unpack *u, mode_t mode)
{
	if (fchmod(u->fd, mode & S_IXUSR ? 0555 : 0444) < 0)
		return -errno;
	if (fsync(u->fd) < 0)
		return -errno;
	if (close(TAKE_FD(u->fd)) < 0)
		return -errno;
	return 0;
}

/* ---- members ---- */

static int end_manifest(struct reltar_unpack *u)
{
	int r;

	r = manifest_parse(u->json, u->json_size, &u->manifest, NULL);
	if (r == -EBADMSG)
		return set_fault(u, RELTAR_FAULT_MALFORMED);
	if (r == -EFBIG)
		return set_fault(u, RELTAR_FAULT_TOO_BIG);
	if (r < 0)
		return r;
	r = create_file(u, MANIFEST_NAME);
	if (r < 0)
		return r;
	r = fs_write_all(u->fd, u->json, u->json_size);
	if (r < 0)
		return r;
	return seal_file(u, RELTAR_MANIFEST_MODE);
}

static int end_file(struct reltar_unpack *u)
{
	const struct manifest_file *f = &u->manifest->files[u->n_files - 1];
	uint8_t sha256[SHA256_BYTES];
	int r;

	r = digest_final(u->file_digest, sha256);
	if (r < 0)
		return r;
	u->file_digest = digest_free(u->file_digest);
	if (memcmp(sha256, f->sha256, sizeof sha256) != 0)
		return set_fault(u, RELTAR_FAULT_CONTENT);
	return seal_file(u, f->mode);
}

static int end_content(struct reltar_unpack *u)
{
	u->state = u->padding_left > 0 ? STATE_PADDING : STATE_HEADER;
	return u->manifest ? end_file(u) : end_manifest(u);
}

static int begin_manifest(struct reltar_unpack *u, const struct reltar_member *member)
{
	if (strcmp(member->path, MANIFEST_NAME) != 0 || member->mode != RELTAR_MANIFEST_MODE)
		return set_fault(u, RELTAR_FAULT_MALFORMED);
	if (member->size_bytes > MANIFEST_MAX_BYTES)
		return set_fault(u, RELTAR_FAULT_TOO_BIG);
	u->json_size = (size_t)member->size_bytes;
	u->json = malloc(u->json_size ? u->json_size : 1);
	return u->json ? 0 : -ENOMEM;
}

static bool was_read_before(const struct reltar_unpack *u, const char *path)
{
	for (size_t i = 0; i < u->n_files; i++)
		if (strcmp(u->manifest->files[i].path, path) == 0)
			return true;
	return strcmp(path, MANIFEST_NAME) == 0;
}

static int begin_file(struct reltar_unpack *u, const struct reltar_member *member)
{
	const struct manifest_file *f = &u->manifest->files[u->n_files];
	bool is_next = u->n_files < u->manifest->n_files && strcmp(f->path, member->path) == 0;
	int r;

	if (!is_next)
		return set_fault(u, was_read_before(u, member->path) ? RELTAR_FAULT_MALFORMED
								     : RELTAR_FAULT_CONTENT);
	if (f->mode != member->mode || f->size_bytes != member->size_bytes)
		return set_fault(u, RELTAR_FAULT_CONTENT);
	u->n_files++;
	r = digest_new(&u->file_digest);
	if (r < 0)
		return r;
	return create_file(u, f->path);
}

static int first_end_block(struct reltar_unpack *u)
{
	if (!u->manifest)
		return set_fault(u, RELTAR_FAULT_MALFORMED);
	if (u->n_files < u->manifest->n_files)
		return set_fault(u, RELTAR_FAULT_CONTENT);
	u->state = STATE_SECOND_END;
	return 0;
}

static int header_complete(struct reltar_unpack *u)
{
	struct reltar_member member;
	enum reltar_fault fault;
	int r;

	if (all_zero(u->block, sizeof u->block))
		return first_end_block(u);
	fault = reltar_header_read(u->block, &member);
	if (fault != RELTAR_OK)
		return set_fault(u, fault);
	r = u->manifest ? begin_file(u, &member) : begin_manifest(u, &member);
	if (r < 0)
		return r;
	u->content_left = member.size_bytes;
	u->padding_left = reltar_padding(member.size_bytes);
	u->state = STATE_CONTENT;
	return member.size_bytes == 0 ? end_content(u) : 0;
}

/* ---- the stream: each of these takes some bytes, at least one, and returns how many ---- */

static ssize_t take_block(struct reltar_unpack *u, const uint8_t *bytes, size_t size)
{
	size_t n = reltar_at_most(size, sizeof u->block - u->block_bytes);
	int r = 0;

	memcpy(u->block + u->block_bytes, bytes, n);
	u->block_bytes += n;
	if (u->block_bytes < sizeof u->block)
		return (ssize_t)n;
	u->block_bytes = 0;
	if (u->state == STATE_HEADER)
		r = header_complete(u);
	else if (all_zero(u->block, sizeof u->block))
		u->state = STATE_END;
	else
		r = set_fault(u, RELTAR_FAULT_MALFORMED);
	return r < 0 ? r : (ssize_t)n;
}

static int store_content(struct reltar_unpack *u, const uint8_t *bytes, size_t size)
{
	int r;

	if (!u->manifest) {
		memcpy(u->json + u->json_bytes, bytes, size);
		u->json_bytes += size;
		return 0;
	}
	r = digest_update(u->file_digest, bytes, size);
	if (r < 0)
		return r;
	return fs_write_all(u->fd, bytes, size);
}

static ssize_t take_content(struct reltar_unpack *u, const uint8_t *bytes, size_t size)
{
	size_t n = reltar_at_most(size, u->content_left);
	int r;

	r = store_content(u, bytes, n);
	if (r < 0)
		return r;
	u->content_left -= n;
	if (u->content_left == 0) {
		r = end_content(u);
		if (r < 0)
			return r;
	}
	return (ssize_t)n;
}

static ssize_t take_padding(struct reltar_unpack *u, const uint8_t *bytes, size_t size)
{
	size_t n = reltar_at_most(size, u->padding_left);

	if (!all_zero(bytes, n))
		return set_fault(u, RELTAR_FAULT_MALFORMED);
	u->padding_left -= n;
	if (u->padding_left == 0)
		u->state = STATE_HEADER;
	return (ssize_t)n;
}

static ssize_t take(struct reltar_unpack *u, const uint8_t *bytes, size_t size)
{
	switch (u->state) {
	case STATE_HEADER:
	case STATE_SECOND_END: return take_block(u, bytes, size);
	case STATE_CONTENT: return take_content(u, bytes, size);
	case STATE_PADDING: return take_padding(u, bytes, size);
	case STATE_END: break;
	}
	return set_fault(u, RELTAR_FAULT_MALFORMED);
}

static int write_bytes(struct reltar_unpack *u, const uint8_t *bytes, size_t size)
{
	int r;

	if (size > u->max_bytes - u->total_bytes)
		return set_fault(u, RELTAR_FAULT_TOO_BIG);
	u->total_bytes += size;
	r = digest_update(u->digest, bytes, size);
	if (r < 0)
		return r;
	while (size > 0) {
		ssize_t n = take(u, bytes, size);

		if (n < 0)
			return (int)n;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

int reltar_unpack_write(void *unpack, const void *bytes, size_t size)
{
	struct reltar_unpack *u = unpack;

	if (u->error == 0)
		u->error = write_bytes(u, bytes, size);
	return u->error;
}

/* ---- the end ---- */

/* Whatever the umask was, the program's own user must be able to enter. */
static int seal_directory(int dirfd, const char *path)
{
	_cleanup_close_ int fd = FD_NONE;

	fd = fs_open_beneath(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	if (fchmod(fd, 0755) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

/* Backwards through the files, a directory comes when all below it is done. */
static int seal_directories(struct reltar_unpack *u)
{
	for (size_t i = u->manifest->n_files; i-- > 0;) {
		_cleanup_free_ char *path = strdup(u->manifest->files[i].path);
		char *slash;

		if (!path)
			return -ENOMEM;
		while ((slash = strrchr(path, '/'))) {
			int r;

			*slash = '\0';
			if (!manifest_starts_directory(u->manifest, i, (size_t)(slash - path)))
				break;
			r = seal_directory(u->dirfd, path);
			if (r < 0)
				return r;
		}
	}
	return fs_fsync_dir(u->dirfd, ".");
}

int reltar_unpack_finish(struct reltar_unpack *u, uint8_t ret_sha256[SHA256_BYTES],
			 uint64_t *ret_size, const struct manifest **ret_manifest)
{
	if (u->error < 0)
		return u->error;
	if (u->state != STATE_END)
		return u->error = set_fault(u, RELTAR_FAULT_MALFORMED);
	u->error = seal_directories(u);
	if (u->error < 0)
		return u->error;
	u->error = digest_final(u->digest, ret_sha256);
	if (u->error < 0)
		return u->error;
	*ret_size = u->total_bytes;
	*ret_manifest = u->manifest;
	return 0;
}
