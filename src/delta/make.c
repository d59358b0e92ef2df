/* SPDX-License-Identifier: Apache-2.0 */
#include "delta/make.h"

#include <lzma.h>
#include <stdbool.h>
#include <string.h>

/* A frame is closed when it holds this much: what one more step can add still fits. */
#define FRAME_FULL_BYTES  (PATCH_FRAME_MAX_BYTES - 128)
/* A larger dictionary must save this part of the patch. */
#define DICT_PAYS_PERCENT 2

struct buffer {
	uint8_t *bytes;
	size_t size, room;
};

static void buffer_done(struct buffer *b)
{
	free(b->bytes);
}
#define _cleanup_buffer_ _cleanup_(buffer_done)

static int buffer_add(struct buffer *b, const void *bytes, size_t size)
{
	if (b->room - b->size < size) {
		size_t room = 2 * (b->size + size);
		uint8_t *longer = realloc(b->bytes, room);

		if (!longer)
			return -ENOMEM;
		b->bytes = longer;
		b->room = room;
	}
	if (size > 0)
		memcpy(b->bytes + b->size, bytes, size);
	b->size += size;
	return 0;
}

static int buffer_add_varint(struct buffer *b, uint64_t value)
{
	uint8_t bytes[PATCH_VARINT_MAX_BYTES];

	return buffer_add(b, bytes, patch_varint_write(bytes, value));
}

/* ---- frames ---- */

enum section {
	SECTION_RECORDS,
	SECTION_ZEROS,
	SECTION_LENGTHS,
	SECTION_DIFFERENCES,
	SECTION_EXTRAS,
	_SECTION_MAX,
};

struct writer {
	const struct bytes_view *old_file, *new_file;
	uint64_t old_position; /* where the last record left it */
	size_t new_position;
	struct buffer section[_SECTION_MAX];
	uint64_t n_records, n_runs;
	uint64_t zeros;	      /* differences of 0 since the last run */
	struct buffer frames; /* those that are closed */
};

static void writer_done(struct writer *w)
{
	for (unsigned i = 0; i < _SECTION_MAX; i++)
		buffer_done(&w->section[i]);
	buffer_done(&w->frames);
}

static size_t frame_bytes(const struct writer *w)
{
	size_t size = 0;

	for (unsigned i = 0; i < _SECTION_MAX; i++)
		size += w->section[i].size;
	return size;
}

static int close_frame(struct writer *w)
{
	uint8_t counts[2 * PATCH_VARINT_MAX_BYTES];
	size_t n;
	int r;

	if (w->n_records == 0)
		return 0;
	n = patch_varint_write(counts, w->n_records);
	n += patch_varint_write(counts + n, w->n_runs);
	r = buffer_add_varint(&w->frames, n + frame_bytes(w));
	if (r == 0)
		r = buffer_add(&w->frames, counts, n);
	for (unsigned i = 0; i < _SECTION_MAX && r == 0; i++) {
		r = buffer_add(&w->frames, w->section[i].bytes, w->section[i].size);
		w->section[i].size = 0;
	}
	w->n_records = w->n_runs = w->zeros = 0;
	return r;
}

static uint8_t difference(const struct writer *w, size_t old_offset, size_t i)
{
	return (uint8_t)(w->new_file->bytes[w->new_position + i] -
			 w->old_file->bytes[old_offset + i]);
}

/* Adds the next run, or the zeros to the end if there is none. Gives how far it came. */
static int add_run(struct writer *w, size_t old_offset, size_t from, size_t end, size_t *ret)
{
	size_t room = FRAME_FULL_BYTES - frame_bytes(w);
	size_t begin = from, i;
	int r;

	while (begin < end && difference(w, old_offset, begin) == 0)
		begin++;
	w->zeros += begin - from;
	*ret = begin;
	if (begin == end)
		return 0;
	for (i = begin; i < end && i - begin < room && difference(w, old_offset, i) != 0; i++) {
		uint8_t byte = difference(w, old_offset, i);

		r = buffer_add(&w->section[SECTION_DIFFERENCES], &byte, 1);
		if (r < 0)
			return r;
	}
	r = buffer_add_varint(&w->section[SECTION_ZEROS], w->zeros);
	if (r == 0)
		r = buffer_add_varint(&w->section[SECTION_LENGTHS], i - begin);
	w->zeros = 0;
	w->n_runs++;
	*ret = i;
	return r;
}

/* As much of a stretch as the frame has room for becomes a record; the stretch is what is left. */
static int add_record(struct writer *w, struct stretch *stretch)
{
	size_t similar = 0, extra = 0, old_offset = stretch->old_offset;
	int64_t seek = 0;
	int r;

	while (similar < stretch->similar_bytes && frame_bytes(w) < FRAME_FULL_BYTES) {
		r = add_run(w, old_offset, similar, stretch->similar_bytes, &similar);
		if (r < 0)
			return r;
	}
	if (similar == stretch->similar_bytes && frame_bytes(w) < FRAME_FULL_BYTES) {
		extra = FRAME_FULL_BYTES - frame_bytes(w);
		extra = extra < stretch->extra_bytes ? extra : stretch->extra_bytes;
	}
	if (similar + extra == 0)
		return 0;
	if (similar > 0) {
		seek = (int64_t)old_offset - (int64_t)w->old_position;
		w->old_position = old_offset + similar;
	}
	r = buffer_add(&w->section[SECTION_EXTRAS], w->new_file->bytes + w->new_position + similar,
		       extra);
	if (r == 0)
		r = buffer_add_varint(&w->section[SECTION_RECORDS], patch_zigzag(seek));
	if (r == 0)
		r = buffer_add_varint(&w->section[SECTION_RECORDS], similar);
	if (r == 0)
		r = buffer_add_varint(&w->section[SECTION_RECORDS], extra);
	w->n_records++;
	w->new_position += similar + extra;
	stretch->old_offset += similar;
	stretch->similar_bytes -= similar;
	stretch->extra_bytes -= extra;
	return r;
}

static int add_stretch(void *userdata, const struct stretch *stretch)
{
	struct writer *w = userdata;
	struct stretch left = *stretch;

	while (left.similar_bytes + left.extra_bytes > 0) {
		int r = add_record(w, &left);

		if (r == 0 && frame_bytes(w) >= FRAME_FULL_BYTES)
			r = close_frame(w);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- compression ---- */

static int compress(const struct buffer *raw, const struct patch_header *h, struct buffer *ret)
{
	lzma_options_lzma options;
	const lzma_filter filters[] = { { LZMA_FILTER_LZMA1, &options },
					{ LZMA_VLI_UNKNOWN, NULL } };
	/* liblzma stores what it cannot compress, in chunks, with little on top. */
	size_t room = raw->size + raw->size / 8 + 1024, size = 0;
	uint8_t *bytes;

	if (lzma_lzma_preset(&options, 9 | LZMA_PRESET_EXTREME))
		return -EINVAL;
	options.dict_size = h->dict_bytes;
	options.lc = h->lc;
	options.lp = h->lp;
	options.pb = h->pb;
	options.nice_len = 273;
	bytes = malloc(room);
	if (!bytes)
		return -ENOMEM;
	if (lzma_raw_buffer_encode(filters, NULL, raw->bytes, raw->size, bytes, &size, room) !=
	    LZMA_OK) {
		free(bytes);
		return -ENOMEM;
	}
	*ret = (struct buffer){ bytes, size, room };
	return 0;
}

/* Keeps the new result in best if it is smaller than percent of the best one. */
static int try_options(const struct buffer *raw, const struct patch_header *h, unsigned percent,
		       struct patch_header *best_header, struct buffer *best)
{
	struct buffer result = { 0 };
	int r = compress(raw, h, &result);

	if (r < 0)
		return r;
	if (best->bytes && result.size * 100 >= best->size * percent) {
		buffer_done(&result);
		return 0;
	}
	buffer_done(best);
	*best = result;
	*best_header = *h;
	return 0;
}

static int compress_best(const struct buffer *raw, struct patch_header *h, struct buffer *ret)
{
	_cleanup_buffer_ struct buffer best = { 0 };
	struct patch_header candidate = *h;
	int r;

	candidate.dict_bytes = PATCH_DICT_DEFAULT_BYTES;
	for (candidate.lc = 0; candidate.lc <= 4; candidate.lc++) {
		r = try_options(raw, &candidate, 100, h, &best);
		if (r < 0)
			return r;
	}
	candidate = *h;
	while (candidate.dict_bytes < PATCH_DICT_MAX_BYTES && candidate.dict_bytes < raw->size) {
		candidate.dict_bytes *= 2;
		r = try_options(raw, &candidate, 100 - DICT_PAYS_PERCENT, h, &best);
		if (r < 0)
			return r;
	}
	*ret = best;
	best.bytes = NULL;
	return 0;
}

int patch_make(const struct bytes_view *old_file, const struct bytes_view *new_file,
	       stream_write_fn write, void *userdata)
{
	_cleanup_(writer_done) struct writer w = { .old_file = old_file, .new_file = new_file };
	struct patch_header h = { .old_bytes = old_file->size, .new_bytes = new_file->size };
	_cleanup_buffer_ struct buffer packed = { 0 };
	uint8_t header_bytes[PATCH_HEADER_BYTES];
	int r;

	r = align(old_file, new_file, add_stretch, &w);
	if (r == 0)
		r = close_frame(&w);
	if (r == 0)
		r = compress_best(&w.frames, &h, &packed);
	if (r < 0)
		return r;
	patch_header_format(&h, header_bytes);
	r = write(userdata, header_bytes, sizeof header_bytes);
	return r < 0 ? r : write(userdata, packed.bytes, packed.size);
}
