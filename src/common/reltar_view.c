/* SPDX-License-Identifier: Apache-2.0 */
#include "common/reltar.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "common/fsutil.h"
#include "reltar_header.h"

/* Member 0 is release.json, member i + 1 is file i of the manifest. */
struct reltar_view {
	int dirfd;
	struct manifest *manifest;
	char *json;
	size_t json_size;
	uint64_t *starts; /* of each member, and where the last one ends */
	size_t n_members;
	/* The file read last stays open: reads come mostly in order. */
	int fd;
	size_t fd_member;
};

struct reltar_view *reltar_view_close(struct reltar_view *v)
{
	if (!v)
		return NULL;
	close_fd(&v->dirfd);
	close_fd(&v->fd);
	manifest_free(v->manifest);
	free(v->json);
	free(v->starts);
	free(v);
	return NULL;
}

static uint64_t member_size(const struct reltar_view *v, size_t member)
{
	return member == 0 ? v->json_size : v->manifest->files[member - 1].size_bytes;
}

static int lay_out(struct reltar_view *v)
{
	uint64_t at = 0;

	v->n_members = v->manifest->n_files + 1;
	v->starts = calloc(v->n_members + 1, sizeof *v->starts);
	if (!v->starts)
		return -ENOMEM;
	for (size_t i = 0; i < v->n_members; i++) {
		uint64_t size = member_size(v, i);

		v->starts[i] = at;
		at += RELTAR_BLOCK_BYTES + size + reltar_padding(size);
	}
	v->starts[v->n_members] = at;
	return 0;
}

int reltar_view_open(int dirfd, struct reltar_view **ret)
{
	_cleanup_(reltar_view_closep) struct reltar_view *v = NULL;
	int r;

	v = calloc(1, sizeof *v);
	if (!v)
		return -ENOMEM;
	v->fd = FD_NONE;
	v->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	if (v->dirfd < 0)
		return -errno;
	r = fs_read_file(dirfd, MANIFEST_NAME, MANIFEST_MAX_BYTES, &v->json, &v->json_size);
	if (r < 0)
		return r;
	r = manifest_parse(v->json, v->json_size, &v->manifest, NULL);
	if (r < 0)
		return r == -EBADMSG ? -EUCLEAN : r;
	r = lay_out(v);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(v);
	return 0;
}

uint64_t reltar_view_size(const struct reltar_view *v)
{
	return v->starts[v->n_members] + RELTAR_END_BYTES;
}

const struct manifest *reltar_view_manifest(const struct reltar_view *v)
{
	return v->manifest;
}

/* The member that offset, which lies before the end blocks, belongs to. */
static size_t find_member(const struct reltar_view *v, uint64_t offset)
{
	size_t low = 0, high = v->n_members;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (v->starts[middle] <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static bool means_other_tree(int error)
{
	return error == -ENOENT || error == -ENOTDIR || error == -ELOOP || error == -EXDEV ||
	       error == -EINVAL;
}

static int open_member(struct reltar_view *v, size_t member)
{
	const struct manifest_file *f = &v->manifest->files[member - 1];
	_cleanup_close_ int fd = FD_NONE;
	uint64_t size_bytes = 0;

	if (v->fd >= 0 && v->fd_member == member)
		return 0;
	fd = fs_open_regular(v->dirfd, f->path, &size_bytes);
	if (fd < 0)
		return means_other_tree(fd) ? -EUCLEAN : fd;
	if (size_bytes != f->size_bytes)
		return -EUCLEAN;
	close_fd(&v->fd);
	v->fd = TAKE_FD(fd);
	v->fd_member = member;
	return 0;
}

static int read_content(struct reltar_view *v, size_t member, void *buffer, size_t size,
			uint64_t offset)
{
	int r;

	if (member == 0) {
		memcpy(buffer, v->json + offset, size);
		return 0;
	}
	r = open_member(v, member);
	if (r < 0)
		return r;
	r = fs_pread_all(v->fd, buffer, size, offset);
	return r == -ENODATA ? -EUCLEAN : r;
}

static int make_header(const struct reltar_view *v, size_t member, uint8_t ret[RELTAR_BLOCK_BYTES])
{
	const struct manifest_file *f;

	if (member == 0)
		return reltar_header_make(MANIFEST_NAME, RELTAR_MANIFEST_MODE, v->json_size, ret);
	f = &v->manifest->files[member - 1];
	return reltar_header_make(f->path, f->mode, f->size_bytes, ret);
}

/* Some bytes, at least one, all of one header, one content or one run of zeros. */
static ssize_t read_piece(struct reltar_view *v, void *buffer, size_t size, uint64_t offset)
{
	uint8_t header[RELTAR_BLOCK_BYTES];
	uint64_t within, content;
	size_t member;
	int r;

	if (offset >= v->starts[v->n_members]) {
		size = reltar_at_most(size, reltar_view_size(v) - offset);
		memset(buffer, 0, size);
		return (ssize_t)size;
	}
	member = find_member(v, offset);
	within = offset - v->starts[member];
	content = member_size(v, member);
	if (within < RELTAR_BLOCK_BYTES) {
		size = reltar_at_most(size, RELTAR_BLOCK_BYTES - within);
		r = make_header(v, member, header);
		if (r < 0)
			return r;
		memcpy(buffer, header + within, size);
	} else if (within - RELTAR_BLOCK_BYTES < content) {
		within -= RELTAR_BLOCK_BYTES;
		size = reltar_at_most(size, content - within);
		r = read_content(v, member, buffer, size, within);
		if (r < 0)
			return r;
	} else {
		size = reltar_at_most(size, v->starts[member + 1] - offset);
		memset(buffer, 0, size);
	}
	return (ssize_t)size;
}

ssize_t reltar_view_pread(struct reltar_view *v, void *buffer, size_t size, uint64_t offset)
{
	uint64_t end = reltar_view_size(v);
	size_t done = 0;

	size = reltar_at_most(size, SSIZE_MAX);
	while (done < size && offset + done < end) {
		ssize_t n = read_piece(v, (char *)buffer + done, size - done, offset + done);

		if (n < 0)
			return n;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int reltar_view_sha256(struct reltar_view *v, uint8_t ret[SHA256_BYTES])
{
	_cleanup_(digest_freep) struct digest *digest = NULL;
	_cleanup_free_ char *buffer = NULL;
	struct reltar_reader reader = { .view = v };
	const size_t buffer_size = 64u << 10;
	int r;

	buffer = malloc(buffer_size);
	if (!buffer)
		return -ENOMEM;
	r = digest_new(&digest);
	if (r < 0)
		return r;
	for (;;) {
		ssize_t n = reltar_reader_read(&reader, buffer, buffer_size);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return digest_final(digest, ret);
		r = digest_update(digest, buffer, (size_t)n);
		if (r < 0)
			return r;
	}
}

ssize_t reltar_reader_read(void *reltar_reader, void *buffer, size_t size)
{
	struct reltar_reader *reader = reltar_reader;
	ssize_t n = reltar_view_pread(reader->view, buffer, size, reader->offset);

	if (n > 0)
		reader->offset += (uint64_t)n;
	return n;
}
