/* SPDX-License-Identifier: Apache-2.0 */
#include "delta/apply.h"

#include <lzma.h>
#include <stdbool.h>
#include <string.h>

#include "delta/patch.h"

#define CHUNK_BYTES (16u << 10)

struct patch_apply {
	patch_old_fn read_old;
	void *old_data;
	uint64_t old_bytes, max_new_bytes;
	stream_write_fn write;
	void *write_data;

	int error; /* of the first failure */
	uint8_t header_bytes[PATCH_HEADER_BYTES];
	size_t header_filled;
	struct patch_header header;
	lzma_stream lzma;
	bool has_ended;

	/* The frame that is being collected: first its length, then what it holds. */
	uint8_t *frame;
	size_t frame_filled, frame_bytes; /* frame_bytes 0: the length is not complete yet */

	uint64_t old_position, new_position;
	uint8_t chunk[CHUNK_BYTES];
};

/* ---- one frame, whole in memory ---- */

/* Readers over the sections of a frame, each at its next element. */
struct frame {
	const uint8_t *records, *zeros, *lengths, *differences, *extras, *end;
	uint64_t n_records, n_runs;
	uint64_t zeros_left, run_left; /* of the run under way */
};

static int skip_varints(const uint8_t **pos, const uint8_t *end, uint64_t n)
{
	uint64_t ignored;
	int r = 0;

	for (; n > 0 && r == 0; n--)
		r = patch_varint_read(pos, end, INT64_MAX, &ignored);
	return r;
}

/* Sums n varints, each at least min. They cannot overflow: each is at most PATCH_MAX_FILE_BYTES, and
 * there are at most PATCH_FRAME_MAX_BYTES. */
static int sum_varints(const uint8_t **pos, const uint8_t *end, uint64_t n, uint64_t min,
		       uint64_t *sum)
{
	uint64_t value;
	int r;

	for (; n > 0; n--) {
		r = patch_varint_read(pos, end, PATCH_MAX_FILE_BYTES, &value);
		if (r < 0)
			return r;
		if (value < min)
			return -EBADMSG;
		*sum += value;
	}
	return 0;
}

/* None may make nothing: a few bytes of patch would keep a reader busy for hours. */
static int check_records(struct frame *f, const uint8_t **pos, uint64_t *ret_similar,
			 uint64_t *ret_extra)
{
	uint64_t similar = 0, extra = 0;
	int r;

	for (uint64_t i = 0; i < f->n_records; i++) {
		uint64_t before = similar + extra;

		r = skip_varints(pos, f->end, 1);
		if (r == 0)
			r = sum_varints(pos, f->end, 1, 0, &similar);
		if (r == 0)
			r = sum_varints(pos, f->end, 1, 0, &extra);
		if (r < 0)
			return r;
		if (similar + extra == before)
			return -EBADMSG;
	}
	*ret_similar = similar;
	*ret_extra = extra;
	return 0;
}

/* Finds where the sections begin, and that they fill the frame exactly. */
static int open_frame(const uint8_t *bytes, size_t size, struct frame *ret, uint64_t *ret_new_bytes)
{
	struct frame f = { .end = bytes + size };
	uint64_t similar = 0, extra = 0, zeros = 0, differences = 0;
	const uint8_t *pos = bytes;
	int r;

	r = patch_varint_read(&pos, f.end, PATCH_FRAME_MAX_BYTES, &f.n_records);
	if (r == 0)
		r = patch_varint_read(&pos, f.end, PATCH_FRAME_MAX_BYTES, &f.n_runs);
	f.records = pos;
	if (r == 0)
		r = check_records(&f, &pos, &similar, &extra);
	f.zeros = pos;
	if (r == 0)
		r = sum_varints(&pos, f.end, f.n_runs, 0, &zeros);
	f.lengths = pos;
	if (r == 0)
		r = sum_varints(&pos, f.end, f.n_runs, 1, &differences);
	if (r < 0)
		return r;
	f.differences = pos;
	if (zeros + differences > similar || differences > (uint64_t)(f.end - pos))
		return -EBADMSG;
	f.extras = pos + differences;
	if (extra != (uint64_t)(f.end - f.extras) || f.n_records == 0)
		return -EBADMSG;
	*ret = f;
	*ret_new_bytes = similar + extra;
	return 0;
}

/* open_frame() has read them all once: this cannot fail any more. */
static uint64_t next_varint(const uint8_t **pos, const uint8_t *end)
{
	uint64_t value = 0;

	if (patch_varint_read(pos, end, INT64_MAX, &value) < 0)
		return 0;
	return value;
}

static bool next_run(struct frame *f)
{
	if (f->n_runs == 0)
		return false;
	f->n_runs--;
	f->zeros_left = next_varint(&f->zeros, f->end);
	f->run_left = next_varint(&f->lengths, f->end);
	return true;
}

/* Adds the next size differences to bytes. */
static void add_differences(struct frame *f, uint8_t *bytes, size_t size)
{
	while (size > 0) {
		size_t n;

		if (f->zeros_left == 0 && f->run_left == 0 && !next_run(f))
			return;
		n = f->zeros_left < size ? (size_t)f->zeros_left : size;
		f->zeros_left -= n;
		bytes += n;
		size -= n;
		n = f->run_left < size ? (size_t)f->run_left : size;
		f->run_left -= n;
		size -= n;
		for (; n > 0; n--)
			*bytes++ += *f->differences++;
	}
}

static int read_old_exactly(struct patch_apply *p, size_t size)
{
	size_t filled = 0;

	while (filled < size) {
		ssize_t n = p->read_old(p->old_data, p->chunk + filled, size - filled,
					p->old_position + filled);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EUCLEAN;
		filled += (size_t)n;
	}
	return 0;
}

static int apply_similar(struct patch_apply *p, struct frame *f, uint64_t similar)
{
	while (similar > 0) {
		size_t n = similar < CHUNK_BYTES ? (size_t)similar : CHUNK_BYTES;
		int r;

		r = read_old_exactly(p, n);
		if (r < 0)
			return r;
		add_differences(f, p->chunk, n);
		r = p->write(p->write_data, p->chunk, n);
		if (r < 0)
			return r;
		p->old_position += n;
		similar -= n;
	}
	return 0;
}

static int apply_record(struct patch_apply *p, struct frame *f)
{
	int64_t seek = patch_unzigzag(next_varint(&f->records, f->end));
	uint64_t similar = next_varint(&f->records, f->end);
	uint64_t extra = next_varint(&f->records, f->end);
	uint64_t position = p->old_position;
	int r;

	/* Both sides are far below INT64_MAX after these two lines, so nothing can wrap. */
	if (seek < 0 ? (uint64_t) - (seek + 1) >= position : (uint64_t)seek > p->old_bytes)
		return -EBADMSG;
	position += (uint64_t)seek;
	if (position > p->old_bytes || similar > p->old_bytes - position)
		return -EBADMSG;
	p->old_position = position;
	r = apply_similar(p, f, similar);
	if (r < 0 || extra == 0)
		return r;
	r = p->write(p->write_data, f->extras, (size_t)extra);
	f->extras += extra;
	return r;
}

static int apply_frame(struct patch_apply *p)
{
	struct frame f;
	uint64_t new_bytes;
	int r;

	r = open_frame(p->frame, p->frame_bytes, &f, &new_bytes);
	if (r < 0)
		return r;
	if (new_bytes > p->header.new_bytes - p->new_position)
		return -EBADMSG;
	for (uint64_t i = 0; i < f.n_records; i++) {
		r = apply_record(p, &f);
		if (r < 0)
			return r;
	}
	p->new_position += new_bytes;
	return 0;
}

/* ---- frames out of decompressed bytes ---- */

/* 1 if the length is complete, 0 if it goes on. */
static int take_frame_length(struct patch_apply *p, uint8_t byte)
{
	const uint8_t *pos = p->frame;
	uint64_t length;
	int r;

	p->frame[p->frame_filled++] = byte;
	if (byte & 0x80)
		return p->frame_filled < PATCH_VARINT_MAX_BYTES ? 0 : -EBADMSG;
	r = patch_varint_read(&pos, p->frame + p->frame_filled, PATCH_FRAME_MAX_BYTES, &length);
	if (r < 0 || length == 0)
		return -EBADMSG;
	p->frame_bytes = (size_t)length;
	p->frame_filled = 0;
	return 1;
}

static int take_frames(struct patch_apply *p, const uint8_t *bytes, size_t size)
{
	int r;

	while (size > 0) {
		size_t n;

		if (p->frame_bytes == 0) {
			r = take_frame_length(p, *bytes++);
			size--;
			if (r < 0)
				return r;
			continue;
		}
		n = p->frame_bytes - p->frame_filled;
		n = n < size ? n : size;
		memcpy(p->frame + p->frame_filled, bytes, n);
		p->frame_filled += n;
		bytes += n;
		size -= n;
		if (p->frame_filled < p->frame_bytes)
			continue;
		r = apply_frame(p);
		if (r < 0)
			return r;
		p->frame_filled = p->frame_bytes = 0;
	}
	return 0;
}

/* ---- the LZMA stream ---- */

static int lzma_error(lzma_ret ret)
{
	return ret == LZMA_MEM_ERROR || ret == LZMA_MEMLIMIT_ERROR ? -ENOMEM : -EBADMSG;
}

static int open_lzma(struct patch_apply *p)
{
	lzma_options_lzma options = {
		.dict_size = p->header.dict_bytes,
		.lc = p->header.lc,
		.lp = p->header.lp,
		.pb = p->header.pb,
	};
	const lzma_filter filters[] = { { LZMA_FILTER_LZMA1, &options },
					{ LZMA_VLI_UNKNOWN, NULL } };
	lzma_ret ret = lzma_raw_decoder(&p->lzma, filters);

	return ret == LZMA_OK ? 0 : lzma_error(ret);
}

static int decode(struct patch_apply *p, const uint8_t *bytes, size_t size)
{
	uint8_t out[4096];
	lzma_ret ret;
	int r;

	if (p->has_ended)
		return size > 0 ? -EBADMSG : 0;
	p->lzma.next_in = bytes;
	p->lzma.avail_in = size;
	do {
		p->lzma.next_out = out;
		p->lzma.avail_out = sizeof out;
		ret = lzma_code(&p->lzma, LZMA_RUN);
		/* No progress was possible: more input is needed. */
		if (ret == LZMA_BUF_ERROR)
			return 0;
		if (ret != LZMA_OK && ret != LZMA_STREAM_END)
			return lzma_error(ret);
		r = take_frames(p, out, sizeof out - p->lzma.avail_out);
		if (r < 0)
			return r;
	} while (ret == LZMA_OK && (p->lzma.avail_in > 0 || p->lzma.avail_out == 0));
	if (ret != LZMA_STREAM_END)
		return 0;
	p->has_ended = true;
	return p->lzma.avail_in > 0 ? -EBADMSG : 0;
}

/* ---- the patch ---- */

static int open_patch(struct patch_apply *p)
{
	int r = patch_header_parse(p->header_bytes, &p->header);

	if (r < 0)
		return r;
	if (p->header.old_bytes != p->old_bytes)
		return -ESTALE;
	if (p->header.new_bytes > p->max_new_bytes)
		return -EFBIG;
	return open_lzma(p);
}

static int take_patch(struct patch_apply *p, const uint8_t *bytes, size_t size)
{
	size_t n = PATCH_HEADER_BYTES - p->header_filled;

	if (n > 0) {
		int r;

		n = n < size ? n : size;
		memcpy(p->header_bytes + p->header_filled, bytes, n);
		p->header_filled += n;
		bytes += n;
		size -= n;
		if (p->header_filled < PATCH_HEADER_BYTES)
			return 0;
		r = open_patch(p);
		if (r < 0)
			return r;
	}
	return decode(p, bytes, size);
}

int patch_apply_write(void *patch_apply, const void *bytes, size_t size)
{
	struct patch_apply *p = patch_apply;

	if (p->error == 0)
		p->error = take_patch(p, bytes, size);
	return p->error;
}

int patch_apply_finish(struct patch_apply *p, uint64_t *ret_new_bytes)
{
	if (p->error < 0)
		return p->error;
	if (!p->has_ended || p->frame_bytes > 0 || p->frame_filled > 0 ||
	    p->new_position != p->header.new_bytes)
		return -EBADMSG;
	*ret_new_bytes = p->new_position;
	return 0;
}

int patch_apply_new(patch_old_fn read_old, void *old_data, uint64_t old_bytes,
		    stream_write_fn write, void *write_data, uint64_t max_new_bytes,
		    struct patch_apply **ret)
{
	_cleanup_(patch_apply_freep) struct patch_apply *p = calloc(1, sizeof *p);

	if (!p)
		return -ENOMEM;
	p->frame = malloc(PATCH_FRAME_MAX_BYTES);
	if (!p->frame)
		return -ENOMEM;
	p->lzma = (lzma_stream)LZMA_STREAM_INIT;
	p->read_old = read_old;
	p->old_data = old_data;
	p->old_bytes = old_bytes;
	p->write = write;
	p->write_data = write_data;
	p->max_new_bytes = max_new_bytes;
	*ret = TAKE_PTR(p);
	return 0;
}

struct patch_apply *patch_apply_free(struct patch_apply *p)
{
	if (p) {
		lzma_end(&p->lzma);
		free(p->frame);
		free(p);
	}
	return NULL;
}
