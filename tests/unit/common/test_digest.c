/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "common/digest.h"

/* Known answers of FIPS 180-4. */
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_SHA256   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_SHA512                                                                                 \
	"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"                         \
	"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
#define MILLION_A_SHA256 "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static void assert_hex(const uint8_t *bytes, size_t size, const char *expected)
{
	char text[2 * SHA512_BYTES + 1];

	hex_encode(bytes, size, text);
	assert_string_equal(text, expected);
}

static void test_known_answers(void **state)
{
	uint8_t hash[SHA512_BYTES];

	(void)state;
	assert_int_equal(digest_sha256("", 0, hash), 0);
	assert_hex(hash, SHA256_BYTES, EMPTY_SHA256);
	assert_int_equal(digest_sha256("abc", 3, hash), 0);
	assert_hex(hash, SHA256_BYTES, ABC_SHA256);
	assert_int_equal(digest_sha512("abc", 3, hash), 0);
	assert_hex(hash, SHA512_BYTES, ABC_SHA512);
}

static void test_in_parts(void **state)
{
	_cleanup_(digest_freep) struct digest *d = NULL;
	uint8_t hash[SHA256_BYTES];

	(void)state;
	assert_int_equal(digest_new(&d), 0);
	assert_int_equal(digest_update(d, "a", 1), 0);
	assert_int_equal(digest_update(d, "", 0), 0);
	assert_int_equal(digest_update(d, "bc", 2), 0);
	assert_int_equal(digest_final(d, hash), 0);
	assert_hex(hash, sizeof hash, ABC_SHA256);
}

static void test_ended_digest_refuses_more(void **state)
{
	_cleanup_(digest_freep) struct digest *d = NULL;
	uint8_t hash[SHA256_BYTES];

	(void)state;
	assert_int_equal(digest_new(&d), 0);
	assert_int_equal(digest_final(d, hash), 0);
	assert_hex(hash, sizeof hash, EMPTY_SHA256);
	assert_int_equal(digest_update(d, "a", 1), -EINVAL);
	assert_int_equal(digest_final(d, hash), -EINVAL);
	assert_null(digest_free(NULL));
}

static void test_file_from_its_beginning(void **state)
{
	_cleanup_close_ int fd = memfd_create("test", MFD_CLOEXEC);
	uint8_t hash[SHA256_BYTES];
	uint64_t size = 7;
	char thousand[1000];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(digest_fd(fd, hash, &size), 0);
	assert_hex(hash, sizeof hash, EMPTY_SHA256);
	assert_int_equal(size, 0);

	memset(thousand, 'a', sizeof thousand);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(write(fd, thousand, sizeof thousand), sizeof thousand);
	/* The position, now at the end, is neither used nor moved. */
	assert_int_equal(digest_fd(fd, hash, &size), 0);
	assert_hex(hash, sizeof hash, MILLION_A_SHA256);
	assert_int_equal(size, 1000000);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 1000000);
	assert_int_equal(digest_fd(fd, hash, NULL), 0);
}

static void test_file_errors(void **state)
{
	_cleanup_close_ int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint8_t hash[SHA256_BYTES];
	uint64_t size = 7;

	(void)state;
	assert_int_equal(digest_fd(dir, hash, &size), -EISDIR);
	assert_int_equal(digest_fd(FD_NONE, hash, &size), -EBADF);
	assert_int_equal(size, 7);
}

static void test_hex(void **state)
{
	uint8_t bytes[3] = { 1, 2, 3 };
	const uint8_t untouched[3] = { 1, 2, 3 };

	(void)state;
	assert_int_equal(hex_decode("00ff7a", bytes, 3), 0);
	assert_hex(bytes, 3, "00ff7a");
	assert_int_equal(hex_decode("", bytes, 0), 0);

	memcpy(bytes, untouched, sizeof bytes);
	assert_int_equal(hex_decode("00ff7", bytes, 3), -EINVAL);
	assert_int_equal(hex_decode("00ff7a0", bytes, 3), -EINVAL);
	assert_int_equal(hex_decode("00FF7A", bytes, 3), -EINVAL);
	assert_int_equal(hex_decode("00ff7g", bytes, 3), -EINVAL);
	assert_int_equal(hex_decode("00ff7:", bytes, 3), -EINVAL);
	assert_int_equal(hex_decode(" 0ff7a", bytes, 3), -EINVAL);
	assert_int_equal(hex_decode("0x00ff", bytes, 3), -EINVAL);
	assert_int_equal(hex_decode("", bytes, 3), -EINVAL);
	assert_memory_equal(bytes, untouched, sizeof bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_in_parts),
		cmocka_unit_test(test_ended_digest_refuses_more),
		cmocka_unit_test(test_file_from_its_beginning),
		cmocka_unit_test(test_file_errors),
		cmocka_unit_test(test_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
