/* SPDX-License-Identifier: Apache-2.0 */
#include "common/unix_socket.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "scratch.h"

static const char *path_of(struct scratch *s)
{
	static char path[96];

	(void)snprintf(path, sizeof path, "%s/socket", s->path);
	return path;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	return connect(fd, (const struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
}

static void test_listens_with_its_mode(void **state)
{
	const char *path = path_of(*state);
	_cleanup_close_ int fd = unix_socket_listen(path, 0660);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0660);
	assert_int_equal(connect_to(path), 0);
	unix_socket_remove(path);
	assert_int_equal(connect_to(path), -ENOENT);
}

static void test_takes_no_place_of_one_that_lives(void **state)
{
	const char *path = path_of(*state);
	_cleanup_close_ int fd = unix_socket_listen(path, 0600);

	assert_true(fd >= 0);
	assert_int_equal(unix_socket_listen(path, 0600), -EADDRINUSE);
	assert_int_equal(connect_to(path), 0);
}

static void test_takes_the_place_of_a_dead_one(void **state)
{
	const char *path = path_of(*state);
	int fd = unix_socket_listen(path, 0600);

	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(connect_to(path), -ECONNREFUSED);
	fd = unix_socket_listen(path, 0666);
	assert_true(fd >= 0);
	assert_int_equal(connect_to(path), 0);
	(void)close(fd);
}

static void test_removes_nothing_else(void **state)
{
	struct scratch *s = *state;
	const char *path = path_of(s);
	struct stat st;

	scratch_text(s->dirfd, "socket", "a file of somebody", 0600);
	assert_int_equal(unix_socket_listen(path, 0600), -EEXIST);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_size, strlen("a file of somebody"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("elsewhere", path), 0);
	assert_int_equal(unix_socket_listen(path, 0600), -EEXIST);
}

static void test_a_path_too_long(void **state)
{
	char path[200];

	(void)state;
	memset(path, 'a', sizeof path);
	path[0] = '/';
	path[sizeof path - 1] = '\0';
	assert_int_equal(unix_socket_listen(path, 0600), -ENAMETOOLONG);
	assert_int_equal(unix_socket_listen("/nowhere/at/all/socket", 0600), -ENOENT);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_listens_with_its_mode),
		TEST(test_takes_no_place_of_one_that_lives),
		TEST(test_takes_the_place_of_a_dead_one),
		TEST(test_removes_nothing_else),
		TEST(test_a_path_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
