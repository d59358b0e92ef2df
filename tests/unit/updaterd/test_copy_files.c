/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/copy_files.h"

#include <errno.h>
#include <stdio.h>

#include "scratch.h"

static int open_dir(struct scratch *s, const char *name)
{
	int fd;

	assert_int_equal(fs_mkdir_p(s->dirfd, name, 0700), 0);
	fd = openat(s->dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static unsigned count(int dirfd)
{
	_cleanup_dir_ DIR *dir = NULL;
	unsigned n = 0;

	assert_int_equal(fs_open_dir(dirfd, ".", &dir), 0);
	while (fs_next_name(dir))
		n++;
	return n;
}

static void test_copies_files_only(void **state)
{
	_cleanup_close_ int from_fd = open_dir(*state, "from"), to_fd = open_dir(*state, "to");
	_cleanup_free_ char *text = NULL;
	size_t size;

	scratch_text(from_fd, "timestamp.json", "new", 0600);
	scratch_text(from_fd, "1.a%2Fb.json", "role", 0600);
	scratch_text(from_fd, ".#half", "half", 0600);
	scratch_text(from_fd, "directory/file", "deep", 0600);
	assert_int_equal(symlinkat("/etc/passwd", from_fd, "link"), 0);
	assert_int_equal(mkfifoat(from_fd, "fifo", 0600), 0);
	scratch_text(to_fd, "timestamp.json", "old", 0600);
	assert_int_equal(copy_files(from_fd, to_fd, 1024), 0);
	assert_int_equal(count(to_fd), 2);
	assert_int_equal(fs_read_file(to_fd, "timestamp.json", 64, &text, &size), 0);
	assert_string_equal(text, "new");
	assert_int_equal(faccessat(to_fd, "1.a%2Fb.json", F_OK, 0), 0);
}

static void test_limits(void **state)
{
	_cleanup_close_ int from_fd = open_dir(*state, "from"), to_fd = open_dir(*state, "to");

	scratch_text(from_fd, "four", "four", 0600);
	assert_int_equal(copy_files(from_fd, to_fd, 4), 0);
	assert_int_equal(copy_files(from_fd, to_fd, 3), -EFBIG);
	for (unsigned i = 0; i < COPY_FILES_MAX; i++) {
		char name[32];

		(void)snprintf(name, sizeof name, "%u", i);
		assert_int_equal(symlinkat("x", from_fd, name), 0);
	}
	assert_int_equal(copy_files(from_fd, to_fd, 4), -E2BIG);
}

static void test_no_directory(void **state)
{
	_cleanup_close_ int to_fd = open_dir(*state, "to");

	assert_int_equal(copy_files(FD_NONE, to_fd, 4), -EBADF);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_copies_files_only),
		TEST(test_limits),
		TEST(test_no_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
