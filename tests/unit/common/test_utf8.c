/* SPDX-License-Identifier: Apache-2.0 */
#include "common/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* As RFC 3629 encodes it. */
static size_t encode(uint32_t c, uint8_t ret[4])
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		ret[i] = (uint8_t)(0x80 | (c & 0x3f));
	ret[0] = (uint8_t)(n == 1 ? c : (0xf00u >> n & 0xff) | c);
	return n;
}

static void test_every_character(void **state)
{
	(void)state;
	for (uint32_t c = 0; c < 0x200000; c++) {
		bool valid = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
		uint8_t bytes[4];
		size_t n = encode(c, bytes);
		uint32_t got = UINT32_MAX;

		assert_int_equal(utf8_character(bytes, n, &got), valid ? n : 0);
		assert_int_equal(got, valid ? c : UINT32_MAX);
		assert_int_equal(utf8_character(bytes, n - 1, &got), 0);
	}
}

/* As many as there are characters of one and of two bytes: nothing overlong is one. */
static void test_every_two_bytes(void **state)
{
	unsigned one = 0, two = 0;

	(void)state;
	for (unsigned n = 0; n < 65536; n++) {
		uint8_t bytes[2] = { (uint8_t)(n >> 8), (uint8_t)n };
		uint32_t c;
		size_t size = utf8_character(bytes, sizeof bytes, &c);

		one += size == 1;
		two += size == 2;
	}
	assert_int_equal(one, 128 * 256);
	assert_int_equal(two, 0x800 - 0x80);
}

static void test_overlong(void **state)
{
	static const uint8_t three[] = { 0xe0, 0x9f, 0xbf }, four[] = { 0xf0, 0x8f, 0xbf, 0xbf };
	uint32_t c;

	(void)state;
	assert_int_equal(utf8_character(three, sizeof three, &c), 0);
	assert_int_equal(utf8_character(four, sizeof four, &c), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_character),
		cmocka_unit_test(test_every_two_bytes),
		cmocka_unit_test(test_overlong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
