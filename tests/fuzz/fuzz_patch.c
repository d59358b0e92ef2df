/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The patch applier. The first byte says what the rest is: a patch as it is (even), or what its LZMA
 * stream holds (odd), which is compressed here so that the frames are reached. The second one is how
 * many bytes are handed over at a time. However they are cut, the same patch gives the same bytes and
 * the same verdict.
 */
#include "fuzz.h"

#include <errno.h>
#include <lzma.h>
#include <string.h>

#include "delta/apply.h"
#include "delta/patch.h"

#define OLD_BYTES 1000u
#define MAX_BYTES 70000u

static ssize_t read_old(void *userdata, void *buffer, size_t size, uint64_t offset)
{
	const uint8_t *old = userdata;

	check(size > 0 && offset <= OLD_BYTES);
	if (size > OLD_BYTES - offset)
		size = OLD_BYTES - (size_t)offset;
	memcpy(buffer, old + offset, size);
	return (ssize_t)size;
}

struct output {
	uint8_t bytes[MAX_BYTES];
	size_t size;
};

static int write_new(void *userdata, const void *bytes, size_t size)
{
	struct output *out = userdata;

	check(size <= sizeof out->bytes - out->size);
	if (size > 0)
		memcpy(out->bytes + out->size, bytes, size);
	out->size += size;
	return 0;
}

/* The verdict: what the applier may say, and nothing else. */
static int apply(uint8_t *old, const uint8_t *patch, size_t size, size_t piece, struct output *out)
{
	_cleanup_(patch_apply_freep) struct patch_apply *p = NULL;
	uint64_t made = UINT64_MAX;
	int r = 0;

	out->size = 0;
	check(patch_apply_new(read_old, old, OLD_BYTES, write_new, out, MAX_BYTES, &p) == 0);
	for (size_t at = 0; r == 0 && at < size; at += piece)
		r = patch_apply_write(p, patch + at, piece < size - at ? piece : size - at);
	check(r == 0 || r == -EBADMSG || r == -EPROTONOSUPPORT || r == -ESTALE || r == -EFBIG);
	if (r < 0) {
		check(patch_apply_write(p, patch, size) == r);
		check(patch_apply_finish(p, &made) < 0 && made == UINT64_MAX);
		return r;
	}
	r = patch_apply_finish(p, &made);
	check(r == 0 || r == -EBADMSG);
	check(r < 0 ? made == UINT64_MAX : made == out->size);
	return r;
}

/* The encoder is kept from one input to the next: to set one up takes longer than all the rest. */
static size_t compress(const struct patch_header *h, const uint8_t *bytes, size_t size,
		       uint8_t *ret, size_t max)
{
	static lzma_stream encoder = LZMA_STREAM_INIT;
	lzma_options_lzma options;
	const lzma_filter filters[] = { { LZMA_FILTER_LZMA1, &options },
					{ LZMA_VLI_UNKNOWN, NULL } };

	check(!lzma_lzma_preset(&options, 0));
	options.dict_size = h->dict_bytes;
	options.lc = h->lc;
	options.lp = h->lp;
	options.pb = h->pb;
	check(lzma_raw_encoder(&encoder, filters) == LZMA_OK);
	encoder.next_in = bytes;
	encoder.avail_in = size;
	encoder.next_out = ret;
	encoder.avail_out = max;
	check(lzma_code(&encoder, LZMA_FINISH) == LZMA_STREAM_END);
	return max - encoder.avail_out;
}

/* A patch with these frames: right around them, so that it is they that are judged. */
static size_t wrap(const uint8_t *frames, size_t size, uint8_t *ret, size_t max)
{
	struct patch_header h = { .lc = 3,
				  .dict_bytes = PATCH_DICT_MIN_BYTES,
				  .old_bytes = OLD_BYTES,
				  .new_bytes = size > 1 ? (uint64_t)frames[0] << 8 | frames[1]
							: 0 };

	patch_header_format(&h, ret);
	frames += size > 1 ? 2 : size;
	size -= size > 1 ? 2 : size;
	return PATCH_HEADER_BYTES +
	       compress(&h, frames, size, ret + PATCH_HEADER_BYTES, max - PATCH_HEADER_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t wrapped[20000];
	static struct output whole, pieces;
	uint8_t old[OLD_BYTES];
	struct patch_header h;
	size_t piece;
	int r;

	if (size < 2 || size > sizeof wrapped / 2)
		return 0;
	piece = data[1] ? data[1] : 1;
	if (data[0] & 1) {
		size = wrap(data + 2, size - 2, wrapped, sizeof wrapped);
		data = wrapped;
	} else {
		data += 2;
		size -= 2;
	}
	for (size_t i = 0; i < sizeof old; i++)
		old[i] = (uint8_t)(i * 7 >> 3);
	r = apply(old, data, size, size + 1, &whole);
	check(apply(old, data, size, piece, &pieces) == r);
	check(whole.size <= MAX_BYTES);
	if (r < 0)
		return 0;
	check(whole.size == pieces.size && memcmp(whole.bytes, pieces.bytes, whole.size) == 0);
	check(size >= PATCH_HEADER_BYTES && patch_header_parse(data, &h) == 0);
	check(h.old_bytes == OLD_BYTES && h.new_bytes == whole.size);
	return 0;
}
