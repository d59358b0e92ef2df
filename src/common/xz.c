/* SPDX-License-Identifier: Apache-2.0 */
#include "common/xz.h"

#include <lzma.h>
#include <stdbool.h>
#include <string.h>

#include "common/fsutil.h"

#define BUFFER_BYTES (32u << 10)

/* One coder between a source and a sink. */
struct coder {
	lzma_stream stream;
	stream_read_fn read;
	void *read_data;
	stream_write_fn write;
	void *write_data;
	uint64_t max_out;
	bool input_ended;
	uint8_t in[BUFFER_BYTES];
	uint8_t out[BUFFER_BYTES];
};

static int coder_new(stream_read_fn read, void *read_data, stream_write_fn write, void *write_data,
		     uint64_t max_out, struct coder **ret)
{
	struct coder *c = malloc(sizeof *c);

	if (!c)
		return -ENOMEM;
	c->stream = (lzma_stream)LZMA_STREAM_INIT;
	c->read = read;
	c->read_data = read_data;
	c->write = write;
	c->write_data = write_data;
	c->max_out = max_out;
	c->input_ended = false;
	*ret = c;
	return 0;
}

static struct coder *coder_free(struct coder *c)
{
	if (c)
		lzma_end(&c->stream);
	free(c);
	return NULL;
}
DEFINE_CLEANUP(struct coder *, coder_free);

static int errno_of(lzma_ret result)
{
	if (result == LZMA_MEM_ERROR || result == LZMA_MEMLIMIT_ERROR)
		return -ENOMEM;
	if (result == LZMA_PROG_ERROR)
		return -EINVAL;
	/* Checks that are missing or that cannot be verified are no checks: corrupt as well. */
	return -EBADMSG;
}

static int fill_input(struct coder *c)
{
	ssize_t n;

	if (c->input_ended || c->stream.avail_in > 0)
		return 0;
	n = c->read(c->read_data, c->in, sizeof c->in);
	if (n < 0)
		return (int)n;
	c->input_ended = n == 0;
	c->stream.next_in = c->in;
	c->stream.avail_in = (size_t)n;
	return 0;
}

static int drain_output(struct coder *c)
{
	size_t n = sizeof c->out - c->stream.avail_out;

	if (c->stream.total_out > c->max_out)
		return -EFBIG;
	c->stream.next_out = c->out;
	c->stream.avail_out = sizeof c->out;
	return n > 0 ? c->write(c->write_data, c->out, n) : 0;
}

/* Until the coder says that the stream is at its end. */
static int run(struct coder *c)
{
	c->stream.avail_in = 0;
	c->stream.next_out = c->out;
	c->stream.avail_out = sizeof c->out;
	for (;;) {
		lzma_ret result;
		int r;

		r = fill_input(c);
		if (r < 0)
			return r;
		result = lzma_code(&c->stream, c->input_ended ? LZMA_FINISH : LZMA_RUN);
		if (result != LZMA_OK && result != LZMA_STREAM_END)
			return errno_of(result);
		if (c->stream.avail_out == 0 || result == LZMA_STREAM_END) {
			r = drain_output(c);
			if (r < 0)
				return r;
		}
		if (result == LZMA_STREAM_END)
			return 0;
	}
}

int xz_compress(stream_read_fn read, void *read_data, stream_write_fn write, void *write_data,
		unsigned preset, int extreme)
{
	_cleanup_(coder_freep) struct coder *c = NULL;
	lzma_ret result;
	int r;

	if (preset > 9)
		return -EINVAL;
	r = coder_new(read, read_data, write, write_data, UINT64_MAX, &c);
	if (r < 0)
		return r;
	result = lzma_easy_encoder(&c->stream, preset | (extreme ? LZMA_PRESET_EXTREME : 0),
				   LZMA_CHECK_CRC64);
	if (result != LZMA_OK)
		return errno_of(result);
	return run(c);
}

/* The decoder stops at the end of the stream; it does not look at what comes after it. */
static int refuse_trailing_bytes(struct coder *c)
{
	int r = fill_input(c);

	if (r < 0)
		return r;
	return c->stream.avail_in > 0 ? -EBADMSG : 0;
}

int xz_decompress(stream_read_fn read, void *read_data, stream_write_fn write, void *write_data,
		  uint64_t max_out)
{
	_cleanup_(coder_freep) struct coder *c = NULL;
	lzma_ret result;
	int r;

	r = coder_new(read, read_data, write, write_data, max_out, &c);
	if (r < 0)
		return r;
	result = lzma_stream_decoder(&c->stream, XZ_MEMORY_LIMIT_BYTES,
				     LZMA_TELL_NO_CHECK | LZMA_TELL_UNSUPPORTED_CHECK);
	if (result != LZMA_OK)
		return errno_of(result);
	r = run(c);
	if (r < 0)
		return r;
	return refuse_trailing_bytes(c);
}

ssize_t fd_stream_read(void *fd_stream, void *buffer, size_t size)
{
	struct fd_stream *s = fd_stream;
	ssize_t n;

	do {
		n = pread(s->fd, buffer, size, (off_t)s->offset);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	s->offset += (uint64_t)n;
	return n;
}

int fd_stream_write(void *fd_stream, const void *bytes, size_t size)
{
	struct fd_stream *s = fd_stream;
	int r = fs_pwrite_all(s->fd, bytes, size, s->offset);

	if (r == 0)
		s->offset += size;
	return r;
}
