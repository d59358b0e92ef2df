/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/store.h"

#include "scratch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "updaterd/swap.h"

#define V1 "B202108010001"
#define V2 "B202109010001"
#define V3 "B202110010001"

/* A file system whose free space the test says. */
static struct statvfs *pretended;

int __real_fstatvfs64(int fd, struct statvfs *ret);
int __wrap_fstatvfs64(int fd, struct statvfs *ret);
int __wrap_fstatvfs64(int fd, struct statvfs *ret)
{
	if (!pretended)
		return __real_fstatvfs64(fd, ret);
	*ret = *pretended;
	return 0;
}

/* A removal that is cut at its first file. */
static bool is_unlink_cut;

int __real_unlinkat(int dirfd, const char *name, int flags);
int __wrap_unlinkat(int dirfd, const char *name, int flags);
int __wrap_unlinkat(int dirfd, const char *name, int flags)
{
	if (is_unlink_cut) {
		errno = EIO;
		return -1;
	}
	return __real_unlinkat(dirfd, name, flags);
}

/* The next file that is opened below a release, and the next link that is read. */
static int fail_openat, fail_readlink;
/* After so many it goes well again; 0: never. */
static unsigned fail_times;

int __real_openat64(int dirfd, const char *name, int flags, mode_t mode);
int __wrap_openat64(int dirfd, const char *name, int flags, mode_t mode);
int __wrap_openat64(int dirfd, const char *name, int flags, mode_t mode)
{
	if (!fail_openat)
		return __real_openat64(dirfd, name, flags, mode);
	errno = fail_openat;
	if (fail_times > 0 && --fail_times == 0)
		fail_openat = 0;
	return -1;
}

ssize_t __real_readlinkat(int dirfd, const char *name, char *buffer, size_t size);
ssize_t __wrap_readlinkat(int dirfd, const char *name, char *buffer, size_t size);
ssize_t __wrap_readlinkat(int dirfd, const char *name, char *buffer, size_t size)
{
	if (!fail_readlink)
		return __real_readlinkat(dirfd, name, buffer, size);
	errno = fail_readlink;
	return -1;
}

struct space {
	struct scratch *scratch;
	struct store *store;
	char path[96];
};

static int setup(void **state)
{
	struct space *s = calloc(1, sizeof *s);

	assert_non_null(s);
	assert_int_equal(scratch_setup((void **)&s->scratch), 0);
	(void)snprintf(s->path, sizeof s->path, "%s/opt/b", s->scratch->path);
	assert_int_equal(store_create(s->path, &s->store), 0);
	pretended = NULL;
	is_unlink_cut = false;
	fail_openat = fail_readlink = 0;
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct space *s = *state;

	(void)store_close(s->store);
	assert_int_equal(scratch_teardown((void **)&s->scratch), 0);
	free(s);
	return 0;
}

static struct version version_of(const char *text)
{
	struct version version;

	assert_int_equal(version_parse(text, &version), 0);
	return version;
}

static bool is_there(struct space *s, const char *path)
{
	struct stat st;

	return fstatat(store_dirfd(s->store), path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void fill_stage(int fd, const char *version)
{
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	struct version v = version_of(version);
	_cleanup_free_ char *json = NULL;
	size_t size;

	scratch_text(fd, "bin/program", version, 0555);
	scratch_text(fd, "lib/data", "data", 0444);
	assert_int_equal(manifest_from_tree(fd, &v, "amd64", &manifest, NULL), 0);
	assert_int_equal(manifest_format(manifest, &json, &size), 0);
	scratch_write(fd, MANIFEST_NAME, json, size, 0444);
	assert_int_equal(fchmodat(fd, "bin", 0555, 0), 0);
	assert_int_equal(fchmodat(fd, "lib", 0555, 0), 0);
	assert_int_equal(fchmod(fd, 0555), 0);
}

static void add_release(struct space *s, const char *version)
{
	_cleanup_close_ int fd = store_stage_begin(s->store, "test");
	struct version v = version_of(version);

	assert_true(fd >= 0);
	fill_stage(fd, version);
	assert_int_equal(store_stage_seal(s->store, "test", &v), 0);
}

static void add_backup(struct space *s, const char *version)
{
	struct version v = version_of(version);
	int fd = store_backup_begin(s->store, &v);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, version, strlen(version)), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(store_backup_commit(s->store, &v), 0);
}

static void set_current(struct space *s, const char *current, const char *previous)
{
	struct version c = version_of(current), p = version_of(previous);

	assert_int_equal(swap_back(store_dirfd(s->store), &c, &p), 0);
}

/* ---- tests ---- */

static void test_makes_a_space_once(void **state)
{
	_cleanup_(store_closep) struct store *again = NULL, *none = NULL;
	struct space *s = *state;

	add_release(s, V1);
	assert_int_equal(store_create(s->path, &again), 0);
	assert_true(is_there(s, "releases/" V1));
	assert_int_equal(store_open("/nonexistent/space", &none), -ENOENT);
	assert_int_equal(store_destroy(s->path), 0);
	assert_int_equal(store_open(s->path, &none), -ENOENT);
	assert_int_equal(store_destroy(s->path), 0);
}

/* [program B] space=/srv, by mistake. */
static void test_removes_nothing_else(void **state)
{
	struct space *s = *state;

	add_release(s, V1);
	scratch_text(s->scratch->dirfd, "opt/b/photos/cat", "", 0600);
	assert_int_equal(store_destroy(s->path), 0);
	assert_false(is_there(s, "releases"));
	assert_true(is_there(s, "photos/cat"));
}

static void test_a_stage_is_no_release_before_it_is_sealed(void **state)
{
	_cleanup_free_ struct version *versions = NULL;
	struct space *s = *state;
	struct version v = version_of(V1);
	struct stat st;
	size_t n;
	int fd;

	fd = store_stage_begin(s->store, "tx");
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	fill_stage(fd, V1);
	(void)close(fd);
	assert_int_equal(store_list(s->store, &versions, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(store_check_release(s->store, &v, NULL), -ENOENT);
	assert_int_equal(store_stage_seal(s->store, "tx", &v), 0);
	assert_int_equal(store_check_release(s->store, &v, NULL), 0);
	assert_false(is_there(s, "releases/.stage-tx"));
}

static void test_a_stage_from_before_is_replaced(void **state)
{
	struct space *s = *state;
	int fd = store_stage_begin(s->store, "tx");

	assert_true(fd >= 0);
	fill_stage(fd, V1);
	(void)close(fd);
	fd = store_stage_begin(s->store, "tx");
	assert_true(fd >= 0);
	assert_int_equal(faccessat(fd, "bin", F_OK, 0), -1);
	(void)close(fd);
}

static void test_a_release_is_never_overwritten(void **state)
{
	struct space *s = *state;
	struct version v = version_of(V1);
	int fd;

	add_release(s, V1);
	fd = store_stage_begin(s->store, "tx");
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(store_stage_seal(s->store, "tx", &v), -EEXIST);
	assert_int_equal(store_check_release(s->store, &v, NULL), 0);
}

static void test_lists_newest_first(void **state)
{
	_cleanup_free_ struct version *versions = NULL;
	struct space *s = *state;
	size_t n;

	add_release(s, V2);
	add_release(s, V1);
	add_release(s, V3);
	scratch_text(store_dirfd(s->store), "releases/README", "", 0644);
	assert_int_equal(store_list(s->store, &versions, &n), 0);
	assert_int_equal(n, 3);
	assert_string_equal(versions[0].text, V3);
	assert_string_equal(versions[2].text, V1);
}

static void expect_unclean(struct space *s, const char *sentence)
{
	_cleanup_free_ char *error = NULL;
	struct version v = version_of(V1);

	assert_int_equal(store_check_release(s->store, &v, &error), -EUCLEAN);
	assert_non_null(error);
	if (!strstr(error, sentence))
		fail_msg("'%s' is not '%s'", error, sentence);
}

static void test_checks_every_byte(void **state)
{
	struct space *s = *state;
	int dirfd = store_dirfd(s->store);

	add_release(s, V1);
	scratch_text(dirfd, "releases/" V1 "/bin/program", V2, 0555);
	expect_unclean(s, "bin/program");
	scratch_text(dirfd, "releases/" V1 "/bin/program", V1, 0555);
	scratch_text(dirfd, "releases/" V1 "/extra", "", 0444);
	expect_unclean(s, "extra");
	assert_int_equal(unlinkat(dirfd, "releases/" V1 "/extra", 0), 0);
	scratch_text(dirfd, "releases/" V1 "/release.json", "{}", 0444);
	expect_unclean(s, "");
	assert_int_equal(fs_remove_tree(dirfd, "releases/" V1), 0);
	add_release(s, V2);
	assert_int_equal(renameat(dirfd, "releases/" V2, dirfd, "releases/" V1), 0);
	expect_unclean(s, "another version");
	assert_int_equal(fs_remove_tree(dirfd, "releases/" V1), 0);
	assert_int_equal(symlinkat("../../elsewhere", dirfd, "releases/" V1), 0);
	expect_unclean(s, "directory");
}

static void test_removes_releases_but_never_the_current(void **state)
{
	struct space *s = *state;
	struct version v1 = version_of(V1), v2 = version_of(V2), v3 = version_of(V3);

	add_release(s, V1);
	add_release(s, V2);
	add_release(s, V3);
	set_current(s, V2, V1);
	assert_int_equal(store_remove_release(s->store, &v2), -EBUSY);
	assert_int_equal(store_check_release(s->store, &v2, NULL), 0);
	assert_int_equal(store_remove_release(s->store, &v3), 0);
	assert_false(is_there(s, "releases/" V3));
	assert_true(is_there(s, "previous"));
	assert_int_equal(store_remove_release(s->store, &v1), 0);
	assert_false(is_there(s, "releases/" V1));
	assert_false(is_there(s, "previous"));
	assert_int_equal(store_remove_release(s->store, &v1), 0);
}

/* Nobody may take what is half removed for a release. */
static void test_a_removal_that_is_cut_leaves_no_half_release(void **state)
{
	struct space *s = *state;
	struct version v = version_of(V1);

	add_release(s, V1);
	is_unlink_cut = true;
	assert_int_equal(store_remove_release(s->store, &v), -EIO);
	is_unlink_cut = false;
	assert_int_equal(store_check_release(s->store, &v, NULL), -ENOENT);
	assert_int_equal(store_sweep(s->store), 0);
	assert_false(is_there(s, "releases/.drop-" V1));
	add_release(s, V1);
	assert_int_equal(store_remove_release(s->store, &v), 0);
}

static void test_prunes_to_what_is_kept(void **state)
{
	struct space *s = *state;
	struct version keep[] = { version_of(V2), version_of(V3) };
	int dirfd = store_dirfd(s->store);

	add_release(s, V1);
	add_release(s, V2);
	add_release(s, V3);
	add_backup(s, V1);
	add_backup(s, V2);
	set_current(s, V3, V2);
	scratch_text(dirfd, "releases/.stage-x/bin/a", "", 0444);
	scratch_text(dirfd, "releases/.drop-" V1 "/bin/a", "", 0444);
	scratch_text(dirfd, "backups/.new-" V1, "", 0600);
	scratch_text(dirfd, "backups/notes.tar.xz", "", 0600);
	assert_int_equal(store_prune(s->store, keep, ELEMENTSOF(keep)), 0);
	assert_false(is_there(s, "releases/" V1));
	assert_true(is_there(s, "releases/" V2));
	assert_true(is_there(s, "releases/" V3));
	assert_false(is_there(s, "releases/.stage-x"));
	assert_false(is_there(s, "releases/.drop-" V1));
	assert_false(is_there(s, "backups/" V1 ".tar.xz"));
	assert_true(is_there(s, "backups/" V2 ".tar.xz"));
	assert_false(is_there(s, "backups/.new-" V1));
	assert_true(is_there(s, "backups/notes.tar.xz"));
}

/* When the server last said that it holds one; a file that says nothing says never. */
static void test_what_the_server_holds(void **state)
{
	static const char *const nothing[] = { "",     "\n",   "x\n",	 "12",
					       "1 \n", "-5\n", "1\n2\n", "1234567890123456\n" };
	struct version v1 = version_of(V1), v2 = version_of(V2);
	_cleanup_free_ struct version *list = NULL;
	const uint8_t sha256[SHA256_BYTES] = { 1 };
	struct space *s = *state;
	size_t n = 0;

	add_backup(s, V1);
	assert_int_equal(store_backup_note(s->store, &v1, sha256), 0);
	assert_int_equal(store_backup_note(s->store, &v2, sha256), 0);
	assert_int_equal(store_backup_told(s->store, &v1), 0);
	assert_int_equal(store_backup_tell(s->store, &v1, 1795305600), 0);
	assert_int_equal(store_backup_told(s->store, &v1), 1795305600);
	for (size_t i = 0; i < ELEMENTSOF(nothing); i++) {
		scratch_text(store_dirfd(s->store), "backups/" V1 ".server", nothing[i], 0644);
		assert_int_equal(store_backup_told(s->store, &v1), 0);
	}
	assert_int_equal(store_backup_list(s->store, &list, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(list[0].text, V2);
	/* The file goes, what is known of it stays. */
	assert_int_equal(store_backup_drop(s->store, &v1), 0);
	assert_int_equal(store_backup_drop(s->store, &v1), 0);
	assert_false(is_there(s, "backups/" V1 ".tar.xz"));
	assert_true(is_there(s, "backups/" V1 ".sha256"));
	assert_int_equal(store_prune(s->store, &v2, 1), 0);
	assert_false(is_there(s, "backups/" V1 ".sha256"));
	assert_false(is_there(s, "backups/" V1 ".server"));
	assert_true(is_there(s, "backups/" V2 ".sha256"));
	assert_int_equal(store_backup_tell(s->store, &v2, 1), 0);
	assert_int_equal(store_backup_remove(s->store, &v2), 0);
	assert_false(is_there(s, "backups/" V2 ".server"));
}

static void test_sweeps_left_overs_only(void **state)
{
	struct space *s = *state;
	int dirfd = store_dirfd(s->store);

	add_release(s, V1);
	add_backup(s, V1);
	scratch_text(dirfd, "releases/.stage-x/deep/er/a", "", 0444);
	assert_int_equal(fchmodat(dirfd, "releases/.stage-x/deep/er", 0555, 0), 0);
	assert_int_equal(store_sweep(s->store), 0);
	assert_false(is_there(s, "releases/.stage-x"));
	assert_true(is_there(s, "releases/" V1));
	assert_true(is_there(s, "backups/" V1 ".tar.xz"));
}

static void test_a_backup_has_its_name_when_it_is_whole(void **state)
{
	struct space *s = *state;
	struct version v = version_of(V1);
	int fd;

	assert_int_equal(store_backup_open(s->store, &v), -ENOENT);
	fd = store_backup_begin(s->store, &v);
	assert_true(fd >= 0);
	assert_int_equal(store_backup_open(s->store, &v), -ENOENT);
	(void)close(fd);
	/* One that was cut is no obstacle. */
	add_backup(s, V1);
	fd = store_backup_open(s->store, &v);
	assert_true(fd >= 0);
	(void)close(fd);
}

static void test_a_backup_tells_what_it_is_of(void **state)
{
	static const char rubbish[] = "rubbish of the right length is not hex digits, it is "
				      "said, so no  -\n";
	static const char *const bad[] = { "", "00", rubbish };
	struct version v1 = version_of(V1), v2 = version_of(V2);
	uint8_t sha256[SHA256_BYTES] = { 1, 2, 3 }, found[SHA256_BYTES] = { 0 };
	struct space *s = *state;
	int dirfd = store_dirfd(s->store);

	assert_int_equal(store_backup_noted(s->store, &v1, found), -ENOENT);
	assert_int_equal(store_backup_note(s->store, &v1, sha256), 0);
	assert_int_equal(store_backup_note(s->store, &v2, sha256), 0);
	assert_int_equal(store_backup_noted(s->store, &v1, found), 0);
	assert_memory_equal(found, sha256, sizeof found);
	add_backup(s, V1);
	add_backup(s, V2);
	assert_int_equal(store_prune(s->store, &v2, 1), 0);
	assert_int_equal(store_backup_noted(s->store, &v1, found), -ENOENT);
	assert_false(is_there(s, "backups/" V1 ".tar.xz"));
	assert_int_equal(store_backup_noted(s->store, &v2, found), 0);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		assert_int_equal(unlinkat(dirfd, "backups/" V2 ".sha256", 0), 0);
		scratch_text(dirfd, "backups/" V2 ".sha256", bad[i], 0644);
		assert_int_equal(store_backup_noted(s->store, &v2, found), -EBADMSG);
	}
	assert_int_equal(store_backup_remove(s->store, &v2), 0);
	assert_int_equal(store_backup_remove(s->store, &v2), 0);
	assert_false(is_there(s, "backups/" V2 ".tar.xz"));
	assert_false(is_there(s, "backups/" V2 ".sha256"));
}

/* Not to be able to look is not to know that it is bad. */
static void test_trouble_of_the_machine_is_no_damage(void **state)
{
	static const int troubles[] = { EMFILE, ENOMEM, EINTR, EROFS, EACCES };
	struct version v1 = version_of(V1), v2 = version_of(V2);
	struct space *s = *state;

	add_release(s, V1);
	add_release(s, V2);
	assert_int_equal(symlinkat("releases/" V2, store_dirfd(s->store), "current"), 0);
	assert_int_equal(store_has_release(s->store, &v1), 1);
	for (size_t i = 0; i < ELEMENTSOF(troubles); i++) {
		fail_openat = troubles[i];
		assert_int_equal(store_check_release(s->store, &v1, NULL), -troubles[i]);
		fail_openat = troubles[i];
		assert_int_equal(store_has_release(s->store, &v1), -troubles[i]);
		fail_readlink = troubles[i];
		assert_int_equal(store_remove_release(s->store, &v2), -troubles[i]);
		assert_true(is_there(s, "releases/" V2));
		fail_openat = fail_readlink = 0;
	}
	assert_int_equal(unlinkat(store_dirfd(s->store), "releases/" V1 "/" MANIFEST_NAME, 0), 0);
	assert_int_equal(store_has_release(s->store, &v1), 0);
	assert_int_equal(store_check_release(s->store, &v1, NULL), -EUCLEAN);
}

/* A block that is lost stays lost, also at a second look. */
static void test_looks_twice_at_what_cannot_be_read(void **state)
{
	struct version v1 = version_of(V1);
	struct space *s = *state;

	add_release(s, V1);
	for (fail_times = 1; fail_times <= 2; fail_times++) {
		unsigned times = fail_times;

		fail_openat = EIO;
		assert_int_equal(store_check_release(s->store, &v1, NULL), times == 1 ? 0 : -EIO);
		fail_times = times;
		fail_openat = EIO;
		assert_int_equal(store_has_release(s->store, &v1), times == 1);
		fail_times = times;
	}
	fail_times = 0;
}

static void expect_space(struct space *s, uint64_t bytes, uint64_t inodes, uint64_t all_inodes,
			 int expected)
{
	struct statvfs fs = { .f_frsize = 1,
			      .f_bsize = 4096,
			      .f_bavail = bytes,
			      .f_favail = inodes,
			      .f_files = all_inodes };

	pretended = &fs;
	assert_int_equal(store_check_space(s->store, 10u << 20), expected);
	pretended = NULL;
}

static void test_asks_for_room_for_two(void **state)
{
	/* 2 x 10 MiB + 10 % of that + 16 MiB; inodes for files of 2 KiB, and 64. */
	const uint64_t bytes = (22u + 16u) << 20, inodes = 5120 + 64;
	struct space *s = *state;

	expect_space(s, bytes, inodes, 100000, 0);
	expect_space(s, bytes - 1, inodes, 100000, -ENOSPC);
	expect_space(s, bytes, inodes - 1, 100000, -ENOSPC);
	/* btrfs has no table of inodes. */
	expect_space(s, bytes, 0, 0, 0);
	assert_int_equal(store_check_space(s->store, UINT64_MAX), -ENOSPC);
	assert_int_equal(store_check_space(s->store, 0), 0);
}

static void test_tells_what_a_release_would_free(void **state)
{
	struct statvfs fs = { .f_frsize = 1, .f_bsize = 4096, .f_favail = 64, .f_files = 1000 };
	struct version v1 = version_of(V1), v2 = version_of(V2);
	struct space *s = *state;

	add_release(s, V1);
	pretended = &fs;
	/* Its two files are of 13 and 4 bytes. */
	fs.f_bavail = (16u << 20) - 17;
	assert_int_equal(store_would_free_enough(s->store, &v1, 0), 1);
	fs.f_bavail--;
	assert_int_equal(store_would_free_enough(s->store, &v1, 0), 0);
	fs.f_bavail = 16u << 20;
	fs.f_favail = 62;
	assert_int_equal(store_would_free_enough(s->store, &v1, 0), 1);
	fs.f_favail = 61;
	assert_int_equal(store_would_free_enough(s->store, &v1, 0), 0);
	assert_int_equal(store_would_free_enough(s->store, &v2, 0), -ENOENT);
	pretended = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(test_makes_a_space_once),
		TEST(test_removes_nothing_else),
		TEST(test_a_stage_is_no_release_before_it_is_sealed),
		TEST(test_a_stage_from_before_is_replaced),
		TEST(test_a_release_is_never_overwritten),
		TEST(test_lists_newest_first),
		TEST(test_checks_every_byte),
		TEST(test_removes_releases_but_never_the_current),
		TEST(test_a_removal_that_is_cut_leaves_no_half_release),
		TEST(test_prunes_to_what_is_kept),
		TEST(test_sweeps_left_overs_only),
		TEST(test_what_the_server_holds),
		TEST(test_a_backup_has_its_name_when_it_is_whole),
		TEST(test_a_backup_tells_what_it_is_of),
		TEST(test_trouble_of_the_machine_is_no_damage),
		TEST(test_looks_twice_at_what_cannot_be_read),
		TEST(test_asks_for_room_for_two),
		TEST(test_tells_what_a_release_would_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
