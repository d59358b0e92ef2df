/* SPDX-License-Identifier: Apache-2.0 */
#include "release/patch_file.h"

#include <string.h>

#include "common/fsutil.h"
#include "common/xz.h"
#include "delta/apply.h"
#include "delta/make.h"
#include "delta/patch.h"

#define READ_BYTES (64u << 10)

/* ---- bytes that come one after another into memory ---- */

struct sink {
	uint8_t *bytes;
	size_t used, size, max;
};

static int sink_write(void *sink, const void *bytes, size_t size)
{
	struct sink *s = sink;

	if (size > s->max - s->used)
		return -EFBIG;
	if (size > s->size - s->used) {
		size_t grown = s->used + size > s->max / 2 ? s->max : 2 * (s->used + size);
		uint8_t *moved = realloc(s->bytes, grown);

		if (!moved)
			return -ENOMEM;
		s->bytes = moved;
		s->size = grown;
	}
	if (size > 0)
		memcpy(s->bytes + s->used, bytes, size);
	s->used += size;
	return 0;
}

static void sink_done(struct sink *s)
{
	free(s->bytes);
}

/* ---- tars ---- */

void patch_tar_done(struct patch_tar *t)
{
	free(t->bytes);
	*t = (struct patch_tar){ .bytes = NULL };
}

int patch_tar_read(int fd, uint64_t tar_bytes, const uint8_t tar_sha256[SHA256_BYTES],
		   struct patch_tar *ret)
{
	_cleanup_(sink_done) struct sink sink = { .max = 0 };
	struct fd_stream from = { .fd = fd };
	uint8_t sha256[SHA256_BYTES];
	int r;

	if (tar_bytes > PATCH_MAX_FILE_BYTES)
		return -EFBIG;
	sink.max = (size_t)tar_bytes;
	r = xz_decompress(fd_stream_read, &from, sink_write, &sink, tar_bytes);
	if (r == -EFBIG)
		return -EBADMSG;
	if (r == 0)
		r = digest_sha256(sink.bytes, sink.used, sha256);
	if (r < 0)
		return r;
	if (sink.used != tar_bytes || memcmp(sha256, tar_sha256, SHA256_BYTES) != 0)
		return -EBADMSG;
	ret->view = (struct bytes_view){ .bytes = sink.bytes, .size = sink.used };
	ret->bytes = TAKE_PTR(sink.bytes);
	return 0;
}

/* ---- applying ---- */

static ssize_t read_old(void *old_tar, void *buffer, size_t size, uint64_t offset)
{
	const struct bytes_view *old = old_tar;

	if (offset >= old->size)
		return 0;
	if (size > old->size - offset)
		size = (size_t)(old->size - offset);
	memcpy(buffer, old->bytes + offset, size);
	return (ssize_t)size;
}

static int hash_bytes(void *digest, const void *bytes, size_t size)
{
	return digest_update(digest, bytes, size);
}

static int apply(stream_read_fn read, void *read_data, const struct bytes_view *old_tar,
		 uint64_t tar_bytes, struct digest *digest, uint64_t *ret_bytes)
{
	struct bytes_view old = *old_tar;
	_cleanup_(patch_apply_freep) struct patch_apply *p = NULL;
	_cleanup_free_ char *buffer = NULL;
	ssize_t n;
	int r;

	buffer = malloc(READ_BYTES);
	if (!buffer)
		return -ENOMEM;
	r = patch_apply_new(read_old, &old, old.size, hash_bytes, digest, tar_bytes, &p);
	if (r < 0)
		return r;
	while ((n = read(read_data, buffer, READ_BYTES)) > 0) {
		r = patch_apply_write(p, buffer, (size_t)n);
		if (r < 0)
			return r;
	}
	return n < 0 ? (int)n : patch_apply_finish(p, ret_bytes);
}

static int check(stream_read_fn read, void *read_data, const struct bytes_view *old_tar,
		 uint64_t tar_bytes, const uint8_t tar_sha256[SHA256_BYTES])
{
	_cleanup_(digest_freep) struct digest *digest = NULL;
	uint8_t sha256[SHA256_BYTES];
	uint64_t bytes = 0;
	int r = digest_new(&digest);

	if (r == 0)
		r = apply(read, read_data, old_tar, tar_bytes, digest, &bytes);
	if (r == 0)
		r = digest_final(digest, sha256);
	if (r < 0)
		return r;
	return bytes == tar_bytes && memcmp(sha256, tar_sha256, SHA256_BYTES) == 0 ? 0 : -EBADMSG;
}

int patch_file_check(int fd, const struct bytes_view *old_tar, uint64_t tar_bytes,
		     const uint8_t tar_sha256[SHA256_BYTES])
{
	struct fd_stream from = { .fd = fd };

	return check(fd_stream_read, &from, old_tar, tar_bytes, tar_sha256);
}

/* ---- making ---- */

struct source {
	const struct sink *sink;
	size_t offset;
};

static ssize_t source_read(void *source, void *buffer, size_t size)
{
	struct source *s = source;
	size_t left = s->sink->used - s->offset;

	if (size > left)
		size = left;
	memcpy(buffer, s->sink->bytes + s->offset, size);
	s->offset += size;
	return (ssize_t)size;
}

/* Nothing is signed that was not seen to give the tar. */
static int check_round_trip(const struct sink *patch, const struct bytes_view *old_tar,
			    const struct bytes_view *new_tar)
{
	struct source source = { .sink = patch };
	uint8_t sha256[SHA256_BYTES];
	int r = digest_sha256(new_tar->bytes, new_tar->size, sha256);

	if (r == 0)
		r = check(source_read, &source, old_tar, new_tar->size, sha256);
	return r == -EBADMSG ? -EIO : r;
}

int patch_file_make(int dirfd, const char *name, const struct bytes_view *old_tar,
		    const struct bytes_view *new_tar, uint64_t max_bytes, struct made_file *ret)
{
	_cleanup_(sink_done) struct sink patch = { .max = (size_t)max_bytes };
	char hex[SHA256_HEX_LENGTH + 1];
	_cleanup_free_ char *final = NULL;
	struct made_file made = { 0 };
	int r;

	r = patch_make(old_tar, new_tar, sink_write, &patch);
	if (r == 0)
		r = check_round_trip(&patch, old_tar, new_tar);
	if (r == 0)
		r = digest_sha256(patch.bytes, patch.used, made.sha256);
	if (r < 0)
		return r;
	made.bytes = patch.used;
	hex_encode(made.sha256, sizeof made.sha256, hex);
	if (asprintf(&final, "%s.%s", hex, name) < 0) {
		final = NULL;
		return -ENOMEM;
	}
	r = fs_write_file_atomic(dirfd, final, patch.bytes, patch.used, 0644);
	if (r < 0)
		return r;
	*ret = made;
	return 0;
}
