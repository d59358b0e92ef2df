/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/backup.h"

#include "gateway.h"

#include <errno.h>

#include "common/reltar.h"

#define MAX_BYTES (16u << 20)

/* ---- faults ---- */

static int fail_fsync;
static unsigned n_fsyncs;
static bool is_written_wrong;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	char byte = 'x';

	n_fsyncs++;
	if (is_written_wrong) {
		is_written_wrong = false;
		assert_int_equal(pwrite(fd, &byte, 1, 64), 1);
	}
	if (fail_fsync) {
		errno = fail_fsync;
		return -1;
	}
	return __real_fsync(fd);
}

static int setup(void **state)
{
	fail_fsync = 0;
	is_written_wrong = false;
	return gateway_setup(state);
}

/* ---- helpers ---- */

static int make(struct gateway *g, struct failure *failure)
{
	_cleanup_(store_closep) struct store *store = NULL;
	struct version version = gateway_version(OLD_B);

	*failure = (struct failure){ 0 };
	assert_int_equal(store_open(gateway_program(g, 'B')->space, &store), 0);
	return backup_make(store, &version, MAX_BYTES, failure);
}

static int check_backup(struct gateway *g)
{
	_cleanup_(reltar_view_closep) struct reltar_view *view = NULL;
	_cleanup_(store_closep) struct store *store = NULL;
	_cleanup_close_ int fd = open(gateway_make_tree(g, OLD_B), O_RDONLY | O_CLOEXEC);
	struct version version = gateway_version(OLD_B);
	uint8_t sha256[SHA256_BYTES];

	assert_int_equal(store_open(gateway_program(g, 'B')->space, &store), 0);
	assert_int_equal(reltar_view_open(fd, &view), 0);
	assert_int_equal(reltar_view_sha256(view, sha256), 0);
	return backup_check(store, &version, sha256, MAX_BYTES);
}

/* ---- tests ---- */

static void test_holds_the_tar_that_was_published(void **state)
{
	struct gateway *g = *state;
	struct failure failure;

	assert_int_equal(check_backup(g), -ENOENT);
	n_fsyncs = 0;
	assert_int_equal(make(g, &failure), 0);
	assert_true(n_fsyncs >= 2);
	assert_int_equal(check_backup(g), 0);
	assert_int_equal(gateway_count(g, "b/backups"), 2);
}

static int find(struct gateway *g)
{
	_cleanup_(store_closep) struct store *store = NULL;
	struct version version = gateway_version(OLD_B);
	uint8_t sha256[SHA256_BYTES];

	assert_int_equal(store_open(gateway_program(g, 'B')->space, &store), 0);
	return backup_find(store, &version, MAX_BYTES, sha256);
}

/* Without the release there is only what was written down when the backup was made. */
static void test_is_found_when_the_release_is_gone(void **state)
{
	struct gateway *g = *state;
	struct failure failure;

	assert_int_equal(find(g), -ENOENT);
	assert_int_equal(make(g, &failure), 0);
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "b/releases/" OLD_B), 0);
	assert_int_equal(find(g), 0);
	scratch_text(g->scratch->dirfd, "b/backups/" OLD_B ".tar.xz", "rubbish", 0600);
	assert_int_equal(find(g), -EBADMSG);
	assert_int_equal(unlinkat(g->scratch->dirfd, "b/backups/" OLD_B ".tar.xz", 0), 0);
	assert_int_equal(find(g), -ENOENT);
}

static void test_one_of_which_nothing_is_known_is_written_again(void **state)
{
	struct gateway *g = *state;
	struct failure failure;

	assert_int_equal(make(g, &failure), 0);
	assert_int_equal(unlinkat(g->scratch->dirfd, "b/backups/" OLD_B ".sha256", 0), 0);
	assert_int_equal(find(g), -ENOENT);
	assert_int_equal(make(g, &failure), 0);
	assert_int_equal(find(g), 0);
}

static void test_a_good_one_is_not_written_again(void **state)
{
	struct gateway *g = *state;
	struct failure failure;

	assert_int_equal(make(g, &failure), 0);
	n_fsyncs = 0;
	assert_int_equal(make(g, &failure), 0);
	assert_int_equal(n_fsyncs, 0);
}

static void test_a_bad_one_is_replaced(void **state)
{
	struct gateway *g = *state;
	struct failure failure;

	scratch_text(g->scratch->dirfd, "b/backups/" OLD_B ".tar.xz", "rubbish", 0600);
	assert_int_equal(check_backup(g), -EBADMSG);
	assert_int_equal(make(g, &failure), 0);
	assert_int_equal(check_backup(g), 0);
}

static void test_what_reads_back_wrong_gets_no_name(void **state)
{
	struct gateway *g = *state;
	struct failure failure;

	is_written_wrong = true;
	assert_true(make(g, &failure) < 0);
	assert_false(is_written_wrong);
	assert_int_equal(check_backup(g), -ENOENT);
}

static void test_a_failed_sync_is_a_failed_backup(void **state)
{
	struct gateway *g = *state;
	struct failure failure;

	fail_fsync = EIO;
	n_fsyncs = 0;
	assert_int_equal(make(g, &failure), -EIO);
	assert_int_equal(failure.reason, REASON_IO);
	assert_int_equal(n_fsyncs, 1);
	assert_int_equal(check_backup(g), -ENOENT);
}

static void test_a_damaged_release_is_no_backup(void **state)
{
	struct gateway *g = *state;
	struct failure failure;

	scratch_text(g->scratch->dirfd, "b/releases/" OLD_B "/bin/program", "changed", 0555);
	assert_true(make(g, &failure) < 0);
	assert_int_equal(failure.reason, REASON_DAMAGED);
	assert_non_null(strstr(failure.text, "bin/program"));
	assert_int_equal(gateway_count(g, "b/backups"), 0);
}

/* ---- one that comes back ---- */

static int put_back(struct gateway *g, int fd, uint64_t max_bytes, struct failure *failure)
{
	_cleanup_(store_closep) struct store *store = NULL;
	struct version version = gateway_version(OLD_B);

	*failure = (struct failure){ 0 };
	assert_int_equal(store_open(gateway_program(g, 'B')->space, &store), 0);
	return backup_put_back(store, &version, fd, max_bytes, failure);
}

/* Out of the space, as a server would have it. */
static int take_away(struct gateway *g)
{
	int dirfd = g->scratch->dirfd, fd;

	assert_int_equal(renameat(dirfd, "b/backups/" OLD_B ".tar.xz", dirfd, "elsewhere"), 0);
	fd = openat(dirfd, "elsewhere", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void test_comes_back(void **state)
{
	_cleanup_close_ int fd = FD_NONE;
	struct gateway *g = *state;
	struct failure failure;

	assert_int_equal(make(g, &failure), 0);
	fd = take_away(g);
	assert_int_equal(find(g), -ENOENT);
	assert_int_equal(put_back(g, fd, MAX_BYTES, &failure), 0);
	assert_int_equal(find(g), 0);
	assert_int_equal(gateway_count(g, "b/backups"), 2);
	/* In the place of a bad one, too. */
	scratch_text(g->scratch->dirfd, "b/backups/" OLD_B ".tar.xz", "rubbish", 0600);
	assert_int_equal(put_back(g, fd, MAX_BYTES, &failure), 0);
	assert_int_equal(find(g), 0);
}

static void test_only_what_was_noted_comes_back(void **state)
{
	_cleanup_close_ int fd = FD_NONE;
	struct gateway *g = *state;
	struct failure failure;

	assert_int_equal(make(g, &failure), 0);
	fd = take_away(g);
	assert_int_equal(put_back(g, fd, 100, &failure), -EFBIG);
	assert_int_equal(pwrite(fd, "x", 1, 64), 1);
	assert_int_equal(put_back(g, fd, MAX_BYTES, &failure), -EBADMSG);
	assert_int_equal(failure.reason, REASON_HASH);
	assert_int_equal(ftruncate(fd, 50), 0);
	assert_int_equal(put_back(g, fd, MAX_BYTES, &failure), -EBADMSG);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(put_back(g, fd, MAX_BYTES, &failure), -EBADMSG);
	assert_int_equal(find(g), -ENOENT);
	assert_int_equal(unlinkat(g->scratch->dirfd, "b/backups/" OLD_B ".sha256", 0), 0);
	assert_true(put_back(g, fd, MAX_BYTES, &failure) < 0);
	assert_int_equal(failure.reason, REASON_DAMAGED);
}

static const char *where(struct gateway *g)
{
	_cleanup_(store_closep) struct store *store = NULL;
	struct version version = gateway_version(OLD_B);
	const char *word;

	assert_int_equal(store_open(gateway_program(g, 'B')->space, &store), 0);
	word = backup_where(store, &version);
	return word ? word : "nowhere";
}

static void test_where_it_is(void **state)
{
	struct gateway *g = *state;
	struct failure failure;

	assert_string_equal(where(g), "nowhere");
	assert_int_equal(make(g, &failure), 0);
	assert_string_equal(where(g), BACKUP_WHERE_LOCAL);
	scratch_text(g->scratch->dirfd, "b/backups/" OLD_B ".server", "1795305600\n", 0644);
	assert_string_equal(where(g), BACKUP_WHERE_BOTH);
	assert_int_equal(close(take_away(g)), 0);
	assert_string_equal(where(g), BACKUP_WHERE_SERVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, gateway_teardown)
		TEST(test_holds_the_tar_that_was_published),
		TEST(test_is_found_when_the_release_is_gone),
		TEST(test_one_of_which_nothing_is_known_is_written_again),
		TEST(test_a_good_one_is_not_written_again),
		TEST(test_a_bad_one_is_replaced),
		TEST(test_what_reads_back_wrong_gets_no_name),
		TEST(test_a_failed_sync_is_a_failed_backup),
		TEST(test_a_damaged_release_is_no_backup),
		TEST(test_comes_back),
		TEST(test_only_what_was_noted_comes_back),
		TEST(test_where_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
