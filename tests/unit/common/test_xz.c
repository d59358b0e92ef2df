/* SPDX-License-Identifier: Apache-2.0 */
#include "common/xz.h"

#include <fcntl.h>
#include <lzma.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

struct bytes {
	uint8_t *data;
	size_t size, at; /* at: read so far */
	size_t piece;	 /* at most so many a read; 0: any */
	int error;	 /* instead of data, when `at` reaches error_at */
	size_t error_at;
	size_t room; /* of what bytes_write made: `data` grows by doubling */
};

static ssize_t bytes_read(void *userdata, void *buffer, size_t size)
{
	struct bytes *b = userdata;
	size_t n = b->size - b->at;

	if (b->error && b->at >= b->error_at)
		return b->error;
	if (n > size)
		n = size;
	if (b->piece && n > b->piece)
		n = b->piece;
	if (n)
		memcpy(buffer, b->data + b->at, n);
	b->at += n;
	return (ssize_t)n;
}

static int bytes_write(void *userdata, const void *bytes, size_t size)
{
	struct bytes *b = userdata;

	if (b->error && b->size + size > b->error_at)
		return b->error;
	if (b->size + size >= b->room) {
		b->room = 2 * (b->size + size + 1);
		b->data = realloc(b->data, b->room);
		assert_non_null(b->data);
	}
	memcpy(b->data + b->size, bytes, size);
	b->size += size;
	return 0;
}

static void bytes_done(struct bytes *b)
{
	free(b->data);
}
#define _cleanup_bytes_ _cleanup_(bytes_done)

static struct bytes make_text(size_t size)
{
	struct bytes b = { .data = malloc(size + 1), .size = size };
	uint32_t x = 1;

	assert_non_null(b.data);
	for (size_t i = 0; i < size; i++) {
		x = x * 1664525u + 1013904223u;
		b.data[i] = (uint8_t)("battery "[x >> 29] + (char)(i / 4096 % 8));
	}
	return b;
}

static struct bytes pack(struct bytes *plain)
{
	struct bytes packed = { 0 };

	plain->at = 0;
	assert_int_equal(xz_compress(bytes_read, plain, bytes_write, &packed, 6, 0), 0);
	return packed;
}

static int unpack(const void *data, size_t size, size_t piece, uint64_t max_out, struct bytes *out)
{
	struct bytes in = { .data = (uint8_t *)(uintptr_t)data, .size = size, .piece = piece };

	return xz_decompress(bytes_read, &in, bytes_write, out, max_out);
}

/* What liblzma itself makes with other settings than ours. */
static struct bytes pack_otherwise(const struct bytes *plain, uint32_t dictionary, lzma_check check)
{
	struct bytes packed = { .data = malloc(plain->size + 65536) };
	lzma_options_lzma options;
	lzma_filter filters[2] = { { LZMA_FILTER_LZMA2, &options }, { LZMA_VLI_UNKNOWN, NULL } };

	assert_false(lzma_lzma_preset(&options, 0));
	options.dict_size = dictionary;
	assert_int_equal(lzma_stream_buffer_encode(filters, check, NULL, plain->data, plain->size,
						   packed.data, &packed.size, plain->size + 65536),
			 LZMA_OK);
	return packed;
}

static void test_what_goes_in_comes_out(void **state)
{
	static const size_t sizes[] = { 0, 1, 4096, 32768, 32769, 300000 };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		_cleanup_bytes_ struct bytes plain = make_text(sizes[i]);
		_cleanup_bytes_ struct bytes packed = pack(&plain);
		_cleanup_bytes_ struct bytes again = { 0 };

		assert_int_equal(unpack(packed.data, packed.size, 0, sizes[i], &again), 0);
		assert_int_equal(again.size, plain.size);
		if (plain.size)
			assert_memory_equal(again.data, plain.data, plain.size);
	}
}

static void test_pieces_of_any_size(void **state)
{
	_cleanup_bytes_ struct bytes plain = make_text(50000);
	_cleanup_bytes_ struct bytes packed = pack(&plain);
	_cleanup_bytes_ struct bytes again = { 0 }, packed_again = { 0 };

	(void)state;
	assert_int_equal(unpack(packed.data, packed.size, 1, UINT64_MAX, &again), 0);
	assert_int_equal(again.size, plain.size);
	assert_memory_equal(again.data, plain.data, plain.size);
	plain.at = 0;
	plain.piece = 7;
	assert_int_equal(xz_compress(bytes_read, &plain, bytes_write, &packed_again, 6, 0), 0);
	assert_int_equal(packed_again.size, packed.size);
	assert_memory_equal(packed_again.data, packed.data, packed.size);
}

static void test_presets(void **state)
{
	_cleanup_bytes_ struct bytes plain = make_text(10000);

	(void)state;
	for (unsigned preset = 0; preset <= 9; preset += 9) {
		_cleanup_bytes_ struct bytes packed = { 0 }, again = { 0 };

		plain.at = 0;
		assert_int_equal(xz_compress(bytes_read, &plain, bytes_write, &packed, preset, 1),
				 0);
		assert_int_equal(packed.data[7], LZMA_CHECK_CRC64);
		assert_int_equal(unpack(packed.data, packed.size, 0, 10000, &again), 0);
		assert_memory_equal(again.data, plain.data, plain.size);
	}
	assert_int_equal(xz_compress(bytes_read, &plain, bytes_write, &plain, 10, 0), -EINVAL);
}

static void test_every_truncation_is_refused(void **state)
{
	_cleanup_bytes_ struct bytes plain = make_text(3000);
	_cleanup_bytes_ struct bytes packed = pack(&plain);

	(void)state;
	for (size_t size = 0; size < packed.size; size++) {
		_cleanup_bytes_ struct bytes out = { 0 };

		assert_int_equal(unpack(packed.data, size, 0, UINT64_MAX, &out), -EBADMSG);
	}
}

static void test_every_flipped_bit_is_refused(void **state)
{
	_cleanup_bytes_ struct bytes plain = make_text(600);
	_cleanup_bytes_ struct bytes packed = pack(&plain);

	(void)state;
	for (size_t bit = 0; bit < 8 * packed.size; bit++) {
		_cleanup_bytes_ struct bytes out = { 0 };
		int r;

		packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		r = unpack(packed.data, packed.size, 0, UINT64_MAX, &out);
		/* A flipped dictionary size may ask for too much memory. */
		assert_true(r == -EBADMSG || r == -ENOMEM);
		packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void test_nothing_may_follow_the_stream(void **state)
{
	_cleanup_bytes_ struct bytes plain = make_text(3000);
	_cleanup_bytes_ struct bytes packed = pack(&plain);
	_cleanup_free_ uint8_t *two = calloc(2, packed.size);

	(void)state;
	assert_non_null(two);
	memcpy(two, packed.data, packed.size);
	for (size_t piece = 0; piece <= packed.size; piece += packed.size) {
		_cleanup_bytes_ struct bytes a = { 0 }, b = { 0 }, c = { 0 };

		memset(two + packed.size, 0, packed.size);
		assert_int_equal(unpack(two, packed.size + 1, piece, UINT64_MAX, &a), -EBADMSG);
		assert_int_equal(unpack(two, packed.size + 4, piece, UINT64_MAX, &b), -EBADMSG);
		memcpy(two + packed.size, packed.data, packed.size);
		assert_int_equal(unpack(two, 2 * packed.size, piece, UINT64_MAX, &c), -EBADMSG);
	}
}

static void test_output_is_bounded(void **state)
{
	_cleanup_bytes_ struct bytes zeros = { .data = calloc(1, 64u << 20), .size = 64u << 20 };
	_cleanup_bytes_ struct bytes bomb = pack(&zeros);
	_cleanup_bytes_ struct bytes out = { 0 }, all = { 0 };

	(void)state;
	assert_true(bomb.size < 16384);
	assert_int_equal(unpack(bomb.data, bomb.size, 0, 100000, &out), -EFBIG);
	assert_true(out.size <= 100000);
	assert_int_equal(unpack(bomb.data, bomb.size, 0, zeros.size - 1, &all), -EFBIG);
	assert_true(all.size <= zeros.size - 1);
}

static void test_memory_is_bounded(void **state)
{
	_cleanup_bytes_ struct bytes plain = make_text(1000);
	_cleanup_bytes_ struct bytes usual = pack_otherwise(&plain, 64u << 20, LZMA_CHECK_CRC64);
	_cleanup_bytes_ struct bytes greedy = pack_otherwise(&plain, 128u << 20, LZMA_CHECK_CRC64);
	_cleanup_bytes_ struct bytes a = { 0 }, b = { 0 };

	(void)state;
	assert_int_equal(unpack(usual.data, usual.size, 0, 1000, &a), 0);
	assert_int_equal(unpack(greedy.data, greedy.size, 0, 1000, &b), -ENOMEM);
	assert_int_equal(b.size, 0);
}

static void test_stream_without_check_is_refused(void **state)
{
	_cleanup_bytes_ struct bytes plain = make_text(1000);
	_cleanup_bytes_ struct bytes none = pack_otherwise(&plain, 65536, LZMA_CHECK_NONE);
	_cleanup_bytes_ struct bytes sha256 = pack_otherwise(&plain, 65536, LZMA_CHECK_SHA256);
	_cleanup_bytes_ struct bytes a = { 0 }, b = { 0 };

	(void)state;
	assert_int_equal(unpack(none.data, none.size, 0, 1000, &a), -EBADMSG);
	assert_int_equal(unpack(sha256.data, sha256.size, 0, 1000, &b), 0);
}

static void test_other_formats_are_refused(void **state)
{
	static const uint8_t gzip[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3,
					3,    0,    0, 0, 0, 0, 0, 0, 0, 0 };
	_cleanup_bytes_ struct bytes out = { 0 };

	(void)state;
	assert_int_equal(unpack(gzip, sizeof gzip, 0, UINT64_MAX, &out), -EBADMSG);
	assert_int_equal(unpack("<html>login</html>", 18, 0, UINT64_MAX, &out), -EBADMSG);
}

static void test_errors_of_both_ends_are_passed_on(void **state)
{
	_cleanup_bytes_ struct bytes plain = make_text(200000);
	_cleanup_bytes_ struct bytes packed = pack(&plain);
	_cleanup_bytes_ struct bytes full = { .error = -ENOSPC, .error_at = 40000 };
	_cleanup_bytes_ struct bytes full_too = { .error = -ENOSPC, .error_at = 10 };
	_cleanup_bytes_ struct bytes out = { 0 };
	struct bytes broken = { packed.data, packed.size, 0, 1000, -EIO, 3000, 0 };

	(void)state;
	assert_int_equal(unpack(packed.data, packed.size, 0, UINT64_MAX, &full), -ENOSPC);
	assert_int_equal(xz_decompress(bytes_read, &broken, bytes_write, &out, UINT64_MAX), -EIO);
	plain.at = 0;
	assert_int_equal(xz_compress(bytes_read, &plain, bytes_write, &full_too, 1, 0), -ENOSPC);
	plain.at = 0;
	plain.error = -EIO;
	plain.error_at = 100;
	assert_int_equal(xz_compress(bytes_read, &plain, bytes_write, &out, 1, 0), -EIO);
}

static void test_descriptors(void **state)
{
	_cleanup_close_ int in = memfd_create("in", MFD_CLOEXEC);
	_cleanup_close_ int out = memfd_create("out", MFD_CLOEXEC);
	struct fd_stream reader = { .fd = in, .offset = 2 }, writer = { .fd = out, .offset = 3 };
	char text[16] = "";

	(void)state;
	assert_int_equal(pwrite(in, "xxhello", 7, 0), 7);
	assert_int_equal(lseek(in, 5, SEEK_SET), 5);
	assert_int_equal(fd_stream_read(&reader, text, 4), 4);
	assert_string_equal(text, "hell");
	assert_int_equal(fd_stream_read(&reader, text, sizeof text), 1);
	assert_int_equal(fd_stream_read(&reader, text, sizeof text), 0);
	assert_int_equal(reader.offset, 7);
	assert_int_equal(lseek(in, 0, SEEK_CUR), 5);
	assert_int_equal(fd_stream_write(&writer, "ab", 2), 0);
	assert_int_equal(fd_stream_write(&writer, "c", 1), 0);
	assert_int_equal(writer.offset, 6);
	assert_int_equal(pread(out, text, sizeof text, 0), 6);
	assert_memory_equal(text, "\0\0\0abc", 6);
	reader.fd = -1;
	assert_int_equal(fd_stream_read(&reader, text, 1), -EBADF);
	writer.fd = -1;
	assert_int_equal(fd_stream_write(&writer, "x", 1), -EBADF);
	assert_int_equal(writer.offset, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_goes_in_comes_out),
		cmocka_unit_test(test_pieces_of_any_size),
		cmocka_unit_test(test_presets),
		cmocka_unit_test(test_every_truncation_is_refused),
		cmocka_unit_test(test_every_flipped_bit_is_refused),
		cmocka_unit_test(test_nothing_may_follow_the_stream),
		cmocka_unit_test(test_output_is_bounded),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_stream_without_check_is_refused),
		cmocka_unit_test(test_other_formats_are_refused),
		cmocka_unit_test(test_errors_of_both_ends_are_passed_on),
		cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
