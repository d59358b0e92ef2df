/* SPDX-License-Identifier: Apache-2.0 */
#include "delta/patch.h"

#include <lzma.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "delta/apply.h"
#include "delta/make.h"

/* ---- memory as files ---- */

struct memory {
	uint8_t *bytes;
	size_t size, room;
};

static void memory_done(struct memory *m)
{
	free(m->bytes);
	m->bytes = NULL;
}
#define _cleanup_memory_ _cleanup_(memory_done)

static int memory_write(void *userdata, const void *bytes, size_t size)
{
	struct memory *m = userdata;

	if (m->room - m->size < size) {
		m->room = 2 * (m->size + size);
		m->bytes = realloc(m->bytes, m->room);
		assert_non_null(m->bytes);
	}
	if (size > 0)
		memcpy(m->bytes + m->size, bytes, size);
	m->size += size;
	return 0;
}

static ssize_t view_read(void *userdata, void *buffer, size_t size, uint64_t offset)
{
	const struct bytes_view *v = userdata;
	size_t n;

	if (offset >= v->size)
		return 0;
	n = v->size - (size_t)offset < size ? v->size - (size_t)offset : size;
	n = n > 1000 ? 1000 : n; /* a read may give less than was asked for */
	memcpy(buffer, v->bytes + offset, n);
	return (ssize_t)n;
}

static int apply(const struct bytes_view *old_file, const struct memory *patch, size_t step,
		 uint64_t max_new_bytes, struct memory *ret_new)
{
	_cleanup_(patch_apply_freep) struct patch_apply *p = NULL;
	struct bytes_view view = *old_file;
	uint64_t new_bytes = 0;
	int r = 0;

	ret_new->size = 0;
	assert_int_equal(patch_apply_new(view_read, &view, view.size, memory_write, ret_new,
					 max_new_bytes, &p),
			 0);
	for (size_t i = 0; i < patch->size && r == 0; i += step)
		r = patch_apply_write(p, patch->bytes + i,
				      patch->size - i < step ? patch->size - i : step);
	if (r == 0)
		r = patch_apply_finish(p, &new_bytes);
	if (r == 0)
		assert_int_equal(new_bytes, ret_new->size);
	return r;
}

/* ---- files to make patches of ---- */

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Looks a little like a program: words that repeat, addresses that move. */
static void fill(uint8_t *bytes, size_t size, uint32_t seed)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = next_random(&seed) % 4 ? (uint8_t)(i / 7 % 251)
						  : (uint8_t)next_random(&seed);
}

static void edit(uint8_t *bytes, size_t size, uint32_t seed)
{
	for (size_t i = 0; i < size; i += 1 + next_random(&seed) % 600)
		bytes[i] = (uint8_t)(bytes[i] + 1 + next_random(&seed) % 5);
}

static void assert_round_trip(const struct bytes_view *old_file, const struct bytes_view *new_file)
{
	_cleanup_memory_ struct memory patch = { 0 };
	_cleanup_memory_ struct memory made = { 0 };
	static const size_t steps[] = { 1, 7, 4096, SIZE_MAX / 2 };

	assert_int_equal(patch_make(old_file, new_file, memory_write, &patch), 0);
	for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
		assert_int_equal(apply(old_file, &patch, steps[i], new_file->size, &made), 0);
		assert_int_equal(made.size, new_file->size);
		if (made.size > 0)
			assert_memory_equal(made.bytes, new_file->bytes, made.size);
	}
}

#define OLD_BYTES 60000u
#define NEW_BYTES 61000u

struct pair {
	uint8_t old_bytes[OLD_BYTES], new_bytes[NEW_BYTES];
	struct bytes_view old_file, new_file;
};

/* The new file: an edited copy with bytes taken out, moved and put in. */
static void make_pair(struct pair *p)
{
	fill(p->old_bytes, OLD_BYTES, 1);
	memcpy(p->new_bytes, p->old_bytes + 30000, 20000);
	fill(p->new_bytes + 20000, 11000, 99);
	memcpy(p->new_bytes + 31000, p->old_bytes, 30000);
	edit(p->new_bytes, NEW_BYTES, 3);
	p->old_file = (struct bytes_view){ p->old_bytes, OLD_BYTES };
	p->new_file = (struct bytes_view){ p->new_bytes, NEW_BYTES };
}

static void a_patch_makes_the_new_file(void **unused)
{
	static struct pair pair;
	const struct bytes_view empty = { (const uint8_t *)"", 0 };
	const struct bytes_view one = { (const uint8_t *)"x", 1 };

	(void)unused;
	make_pair(&pair);
	assert_round_trip(&pair.old_file, &pair.new_file);
	assert_round_trip(&pair.new_file, &pair.old_file);
	assert_round_trip(&pair.old_file, &pair.old_file);
	assert_round_trip(&pair.old_file, &empty);
	assert_round_trip(&empty, &pair.new_file);
	assert_round_trip(&empty, &empty);
	assert_round_trip(&one, &pair.new_file);
	assert_round_trip(&pair.old_file, &one);
}

/* Where everything differs, frames fill up, inside stretches and inside runs. */
static void dense_differences_go_over_frames(void **unused)
{
	size_t size = 3 * PATCH_FRAME_MAX_BYTES / 2;
	_cleanup_free_ uint8_t *old_bytes = malloc(size), *new_bytes = malloc(size);
	struct bytes_view old_file = { old_bytes, size }, new_file = { new_bytes, size };
	uint32_t seed = 5;

	(void)unused;
	for (size_t i = 0; i < size; i++) {
		old_bytes[i] = (uint8_t)next_random(&seed);
		new_bytes[i] = i % 16 < 12 ? old_bytes[i] : (uint8_t)next_random(&seed);
	}
	assert_round_trip(&old_file, &new_file);
	for (size_t i = 0; i < size; i++)
		new_bytes[i] = (uint8_t)next_random(&seed);
	assert_round_trip(&old_file, &new_file);
	memset(old_bytes, 0, size);
	memset(new_bytes, 0, size);
	assert_round_trip(&old_file, &new_file);
}

static void edited_copies_make_small_patches(void **unused)
{
	static struct pair pair;
	_cleanup_memory_ struct memory patch = { 0 };
	_cleanup_memory_ struct memory again = { 0 };

	(void)unused;
	make_pair(&pair);
	assert_int_equal(patch_make(&pair.old_file, &pair.new_file, memory_write, &patch), 0);
	assert_int_equal(patch_make(&pair.old_file, &pair.new_file, memory_write, &again), 0);
	/* 11000 bytes are new and hardly compressible, 100 and some bytes are edited. */
	assert_in_range(patch.size, 1000, 11000);
	assert_int_equal(patch.size, again.size);
	assert_memory_equal(patch.bytes, again.bytes, patch.size);
}

/* ---- hostile patches ---- */

static void a_cut_patch_is_refused_at_each_length(void **unused)
{
	static struct pair pair;
	_cleanup_memory_ struct memory patch = { 0 };
	_cleanup_memory_ struct memory made = { 0 };

	(void)unused;
	make_pair(&pair);
	assert_int_equal(patch_make(&pair.old_file, &pair.new_file, memory_write, &patch), 0);
	for (size_t whole = patch.size; patch.size > 0;) {
		patch.size -= patch.size > whole - 64 || patch.size < 64 ? 1 : 37;
		assert_int_equal(apply(&pair.old_file, &patch, 512, NEW_BYTES, &made), -EBADMSG);
	}
}

/* Wrong bytes may come out, never more than the header says, and never without an end. */
static void a_changed_patch_at_most_fails(void **unused)
{
	static struct pair pair;
	_cleanup_memory_ struct memory patch = { 0 };
	_cleanup_memory_ struct memory made = { 0 };
	unsigned refused = 0, tried = 0;

	(void)unused;
	make_pair(&pair);
	assert_int_equal(patch_make(&pair.old_file, &pair.new_file, memory_write, &patch), 0);
	for (size_t i = 0; i < patch.size; i += i < 200 ? 1 : 13) {
		uint8_t was = patch.bytes[i];

		patch.bytes[i] ^= (uint8_t)(1u << (i % 8));
		refused += apply(&pair.old_file, &patch, 4096, NEW_BYTES, &made) < 0;
		assert_true(made.size <= NEW_BYTES);
		patch.bytes[i] = was;
		tried++;
	}
	print_message("%u of %u changed patches were refused\n", refused, tried);
	assert_true(refused > 0);
	assert_int_equal(apply(&pair.old_file, &patch, 4096, NEW_BYTES, &made), 0);
}

/* Packs raw frames as a patch of a 10-byte old file. */
static void pack(const char *frames, size_t size, uint64_t new_bytes, struct memory *ret)
{
	struct patch_header h = { .lc = 3,
				  .dict_bytes = PATCH_DICT_DEFAULT_BYTES,
				  .old_bytes = 10,
				  .new_bytes = new_bytes };
	lzma_options_lzma options;
	const lzma_filter filters[] = { { LZMA_FILTER_LZMA1, &options },
					{ LZMA_VLI_UNKNOWN, NULL } };
	uint8_t header[PATCH_HEADER_BYTES], packed[4096];
	size_t packed_size = 0;

	assert_false(lzma_lzma_preset(&options, 6));
	options.dict_size = h.dict_bytes;
	options.lc = h.lc;
	options.lp = options.pb = 0;
	assert_int_equal(lzma_raw_buffer_encode(filters, NULL, (const uint8_t *)frames, size,
						packed, &packed_size, sizeof packed),
			 LZMA_OK);
	patch_header_format(&h, header);
	ret->size = 0;
	(void)memory_write(ret, header, sizeof header);
	(void)memory_write(ret, packed, packed_size);
}

struct crafted {
	const char *name;
	const char *frames;
	size_t size;
	uint64_t new_bytes;
	int result;
};

#define CRAFTED(name, frames, new_bytes, result)                                                   \
	{                                                                                          \
		name, frames, sizeof(frames) - 1, new_bytes, result                                \
	}

/* frame: length, records, runs, (seek, similar, extra) …, zeros …, lengths …, differences, extras */
static const struct crafted crafted[] = {
	CRAFTED("copy", "\x05\x01\x00\x00\x0a\x00", 10, 0),
	CRAFTED("copy, seek forth and back", "\x08\x02\x00\x0a\x05\x00\x13\x05\x00", 10, 0),
	CRAFTED("extra only", "\x07\x01\x00\x00\x00\x02hi", 2, 0),
	CRAFTED("one run", "\x08\x01\x01\x00\x0a\x00\x03\x01\x05", 10, 0),
	CRAFTED("empty run", "\x07\x01\x01\x00\x0a\x00\x00\x00", 10, -EBADMSG),
	CRAFTED("record that makes nothing", "\x08\x02\x00\x00\x00\x00\x00\x0a\x00", 10, -EBADMSG),
	CRAFTED("last record that makes nothing", "\x08\x02\x00\x00\x0a\x00\x00\x00\x00", 10,
		-EBADMSG),
	CRAFTED("two frames", "\x05\x01\x00\x00\x05\x00\x05\x01\x00\x00\x05\x00", 10, 0),
	CRAFTED("no frame", "", 0, 0),
	CRAFTED("no frame where bytes are due", "", 1, -EBADMSG),
	CRAFTED("empty frame", "\x00", 0, -EBADMSG),
	CRAFTED("frame that makes nothing", "\x05\x01\x00\x00\x00\x00", 0, -EBADMSG),
	CRAFTED("no records", "\x02\x00\x00", 0, -EBADMSG),
	CRAFTED("frame length cut", "\x85", 10, -EBADMSG),
	CRAFTED("frame cut", "\x06\x01\x00\x00\x0a\x00", 10, -EBADMSG),
	CRAFTED("frame too long", "\x81\x80\x10\x01", 10, -EBADMSG),
	CRAFTED("frame length without end", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10,
		-EBADMSG),
	CRAFTED("frame length not in its shortest form", "\x85\x00\x01\x00\x00\x0a\x00", 10,
		-EBADMSG),
	CRAFTED("byte left over in the frame", "\x06\x01\x00\x00\x0a\x00x", 10, -EBADMSG),
	CRAFTED("more records than there are", "\x05\x02\x00\x00\x0a\x00", 10, -EBADMSG),
	CRAFTED("more runs than there are", "\x05\x01\x09\x00\x0a\x00", 10, -EBADMSG),
	CRAFTED("more new bytes than the header says", "\x05\x01\x00\x00\x0a\x00", 9, -EBADMSG),
	CRAFTED("fewer new bytes than the header says", "\x05\x01\x00\x00\x0a\x00", 11, -EBADMSG),
	CRAFTED("similar bytes after the old end", "\x05\x01\x00\x00\x0b\x00", 11, -EBADMSG),
	CRAFTED("similar bytes after the old end by seek", "\x05\x01\x00\x04\x09\x00", 9, -EBADMSG),
	CRAFTED("seek after the old end", "\x06\x01\x00\x16\x00\x01x", 1, -EBADMSG),
	CRAFTED("seek before the beginning", "\x05\x01\x00\x01\x01\x00", 1, -EBADMSG),
	CRAFTED("seek by the largest number",
		"\x0d\x01\x00\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x01\x00", 1, -EBADMSG),
	CRAFTED("seek by the smallest number",
		"\x0d\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x01\x00", 1, -EBADMSG),
	CRAFTED("runs longer than the similar bytes", "\x08\x01\x01\x00\x0a\x00\x0a\x01\x05", 10,
		-EBADMSG),
	CRAFTED("zeros longer than the similar bytes", "\x08\x01\x01\x00\x0a\x00\x0b\x01\x05", 10,
		-EBADMSG),
	CRAFTED("run without its bytes", "\x07\x01\x01\x00\x0a\x00\x03\x02", 10, -EBADMSG),
	CRAFTED("extra without its bytes", "\x05\x01\x00\x00\x00\x02", 2, -EBADMSG),
	CRAFTED("extra of any size", "\x0a\x01\x00\x00\x00\xff\xff\xff\xff\x0fx", 1, -EBADMSG),
	CRAFTED("frame after the new end", "\x05\x01\x00\x00\x0a\x00\x05\x01\x00\x00\x01\x00", 10,
		-EBADMSG),
};

static void crafted_frames_are_judged(void **unused)
{
	const struct bytes_view old_file = { (const uint8_t *)"0123456789", 10 };
	_cleanup_memory_ struct memory patch = { 0 };
	_cleanup_memory_ struct memory made = { 0 };

	(void)unused;
	for (size_t i = 0; i < ELEMENTSOF(crafted); i++) {
		const struct crafted *c = &crafted[i];
		int r;

		pack(c->frames, c->size, c->new_bytes, &patch);
		r = apply(&old_file, &patch, 5, 100, &made);
		if (r != c->result)
			fail_msg("%s: %d instead of %d", c->name, r, c->result);
	}
	pack(crafted[1].frames, crafted[1].size, 10, &patch);
	assert_int_equal(apply(&old_file, &patch, 5, 100, &made), 0);
	assert_memory_equal(made.bytes, "56789", 5);
	assert_memory_equal(made.bytes + 5, "01234", 5);
}

static void bytes_after_the_end_are_refused(void **unused)
{
	const struct bytes_view old_file = { (const uint8_t *)"0123456789", 10 };
	_cleanup_memory_ struct memory patch = { 0 };
	_cleanup_memory_ struct memory made = { 0 };

	(void)unused;
	pack(crafted[0].frames, crafted[0].size, 10, &patch);
	(void)memory_write(&patch, "", 1);
	assert_int_equal(apply(&old_file, &patch, 1, 100, &made), -EBADMSG);
	assert_int_equal(apply(&old_file, &patch, 1000, 100, &made), -EBADMSG);
}

static void another_old_file_is_refused(void **unused)
{
	const struct bytes_view longer = { (const uint8_t *)"01234567890", 11 };
	_cleanup_memory_ struct memory patch = { 0 };
	_cleanup_memory_ struct memory made = { 0 };

	(void)unused;
	pack(crafted[0].frames, crafted[0].size, 10, &patch);
	assert_int_equal(apply(&longer, &patch, 100, 100, &made), -ESTALE);
}

static ssize_t short_read(void *userdata, void *buffer, size_t size, uint64_t offset)
{
	(void)userdata;
	(void)buffer;
	(void)size;
	return offset < 4 ? (memset(buffer, 'x', 1), 1) : 0;
}

static ssize_t failing_read(void *userdata, void *buffer, size_t size, uint64_t offset)
{
	(void)userdata;
	(void)buffer;
	(void)size;
	(void)offset;
	return -EIO;
}

static int failing_write(void *userdata, const void *bytes, size_t size)
{
	(void)userdata;
	(void)bytes;
	(void)size;
	return -ENOSPC;
}

static int apply_with(patch_old_fn read_old, stream_write_fn write, const struct memory *patch)
{
	_cleanup_(patch_apply_freep) struct patch_apply *p = NULL;
	_cleanup_memory_ struct memory made = { 0 };
	struct bytes_view old_file = { (const uint8_t *)"0123456789", 10 };
	int r;

	assert_int_equal(patch_apply_new(read_old, &old_file, 10, write, &made, 100, &p), 0);
	r = patch_apply_write(p, patch->bytes, patch->size);
	/* A failure stays. */
	assert_int_equal(patch_apply_write(p, "", 0), r);
	return r;
}

static void failures_of_files_are_passed_on(void **unused)
{
	_cleanup_memory_ struct memory patch = { 0 };

	(void)unused;
	pack(crafted[0].frames, crafted[0].size, 10, &patch);
	assert_int_equal(apply_with(view_read, memory_write, &patch), 0);
	assert_int_equal(apply_with(short_read, memory_write, &patch), -EUCLEAN);
	assert_int_equal(apply_with(failing_read, memory_write, &patch), -EIO);
	assert_int_equal(apply_with(view_read, failing_write, &patch), -ENOSPC);
	pack(crafted[2].frames, crafted[2].size, 2, &patch);
	assert_int_equal(apply_with(view_read, failing_write, &patch), -ENOSPC);
}

/* ---- the header ---- */

static void headers_are_judged(void **unused)
{
	const struct patch_header good = { .lc = 1,
					   .lp = 2,
					   .pb = 3,
					   .dict_bytes = PATCH_DICT_MAX_BYTES,
					   .old_bytes = PATCH_MAX_FILE_BYTES,
					   .new_bytes = 0x01020304 };
	uint8_t bytes[PATCH_HEADER_BYTES];
	struct patch_header h, wrong;

	(void)unused;
	patch_header_format(&good, bytes);
	assert_int_equal(patch_header_parse(bytes, &h), 0);
	assert_memory_equal(&h, &good, sizeof h);
	assert_memory_equal(bytes + 22, "\x04\x03\x02\x01\0\0\0\0", 8);
	for (size_t i = 0; i < 8; i++) {
		bytes[i] ^= 1;
		assert_int_equal(patch_header_parse(bytes, &h), -EBADMSG);
		bytes[i] ^= 1;
	}
	bytes[8]++;
	assert_int_equal(patch_header_parse(bytes, &h), -EPROTONOSUPPORT);
	bytes[8]--;
	for (unsigned i = 0; i < 256; i++) {
		bool is_good = i / 45 <= 4 && i % 9 + i / 9 % 5 <= 4;

		bytes[9] = (uint8_t)i;
		assert_int_equal(patch_header_parse(bytes, &h), is_good ? 0 : -EBADMSG);
	}
	wrong = good;
	wrong.dict_bytes = PATCH_DICT_MAX_BYTES + 1;
	patch_header_format(&wrong, bytes);
	assert_int_equal(patch_header_parse(bytes, &h), -EFBIG);
	wrong.dict_bytes = PATCH_DICT_MIN_BYTES - 1;
	patch_header_format(&wrong, bytes);
	assert_int_equal(patch_header_parse(bytes, &h), -EFBIG);
	wrong = good;
	wrong.old_bytes++;
	patch_header_format(&wrong, bytes);
	assert_int_equal(patch_header_parse(bytes, &h), -EFBIG);
	wrong = good;
	wrong.new_bytes = UINT64_MAX;
	patch_header_format(&wrong, bytes);
	assert_int_equal(patch_header_parse(bytes, &h), -EFBIG);
}

static void a_patch_may_not_make_more_than_allowed(void **unused)
{
	const struct bytes_view old_file = { (const uint8_t *)"0123456789", 10 };
	_cleanup_memory_ struct memory patch = { 0 };
	_cleanup_memory_ struct memory made = { 0 };

	(void)unused;
	pack(crafted[0].frames, crafted[0].size, 10, &patch);
	assert_int_equal(apply(&old_file, &patch, 100, 10, &made), 0);
	assert_int_equal(apply(&old_file, &patch, 100, 9, &made), -EFBIG);
	assert_int_equal(made.size, 0);
}

static void varints_have_one_form(void **unused)
{
	static const uint64_t values[] = { 0,	  1,	    127,	128,	  16383,
					   16384, 1u << 21, UINT32_MAX, INT64_MAX };
	uint8_t bytes[PATCH_VARINT_MAX_BYTES];
	uint64_t value;

	(void)unused;
	for (size_t i = 0; i < ELEMENTSOF(values); i++) {
		size_t size = patch_varint_write(bytes, values[i]);
		const uint8_t *pos = bytes;

		assert_int_equal(patch_varint_read(&pos, bytes + size, INT64_MAX, &value), 0);
		assert_int_equal(value, values[i]);
		assert_ptr_equal(pos, bytes + size);
		pos = bytes;
		assert_int_equal(patch_varint_read(&pos, bytes + size - 1, INT64_MAX, &value),
				 -EBADMSG);
		assert_ptr_equal(pos, bytes);
		if (values[i] > 0)
			assert_int_equal(
				patch_varint_read(&pos, bytes + size, values[i] - 1, &value),
				-EBADMSG);
	}
	assert_int_equal(patch_unzigzag(patch_zigzag(-1)), -1);
	assert_int_equal(patch_unzigzag(patch_zigzag(INT64_MIN / 2)), INT64_MIN / 2);
	assert_int_equal(patch_unzigzag(patch_zigzag(INT64_MAX / 2)), INT64_MAX / 2);
	assert_int_equal(patch_zigzag(-1), 1);
	assert_int_equal(patch_zigzag(1), 2);
}

static void files_that_are_too_large_are_refused(void **unused)
{
	const struct bytes_view small = { (const uint8_t *)"x", 1 };
	const struct bytes_view large = { (const uint8_t *)"x", (size_t)PATCH_MAX_FILE_BYTES + 1 };
	_cleanup_memory_ struct memory patch = { 0 };

	(void)unused;
	assert_int_equal(patch_make(&large, &small, memory_write, &patch), -EFBIG);
	assert_int_equal(patch_make(&small, &large, memory_write, &patch), -EFBIG);
	assert_int_equal(patch_make(&small, &small, failing_write, NULL), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_patch_makes_the_new_file),
		cmocka_unit_test(dense_differences_go_over_frames),
		cmocka_unit_test(edited_copies_make_small_patches),
		cmocka_unit_test(a_cut_patch_is_refused_at_each_length),
		cmocka_unit_test(a_changed_patch_at_most_fails),
		cmocka_unit_test(crafted_frames_are_judged),
		cmocka_unit_test(bytes_after_the_end_are_refused),
		cmocka_unit_test(another_old_file_is_refused),
		cmocka_unit_test(failures_of_files_are_passed_on),
		cmocka_unit_test(headers_are_judged),
		cmocka_unit_test(a_patch_may_not_make_more_than_allowed),
		cmocka_unit_test(varints_have_one_form),
		cmocka_unit_test(files_that_are_too_large_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
