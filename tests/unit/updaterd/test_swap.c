/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/swap.h"

#include "scratch.h"

#include <errno.h>
#include <stdio.h>

/* ---- the order of what is done to the disk ---- */

static char trace[512];
static int fail_syncfs, fail_fsync, fail_readlink, fail_faccessat;

static void note(const char *what, const char *name)
{
	size_t used = strlen(trace);

	(void)snprintf(trace + used, sizeof trace - used, "%s%s%s%s", used ? "; " : "", what,
		       *name ? " " : "", name);
}

static int fail_or(int *fault, int r)
{
	if (!*fault)
		return r;
	errno = *fault;
	return -1;
}

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	note("rename", to);
	return __real_renameat(from_fd, from, to_fd, to);
}

int __real_symlinkat(const char *target, int dirfd, const char *name);
int __wrap_symlinkat(const char *target, int dirfd, const char *name);
int __wrap_symlinkat(const char *target, int dirfd, const char *name)
{
	note("symlink", name);
	return __real_symlinkat(target, dirfd, name);
}

int __real_syncfs(int fd);
int __wrap_syncfs(int fd);
int __wrap_syncfs(int fd)
{
	note("syncfs", "");
	return fail_or(&fail_syncfs, __real_syncfs(fd));
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	note("fsync", "");
	return fail_or(&fail_fsync, __real_fsync(fd));
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

int __real_faccessat(int dirfd, const char *name, int mode, int flags);
int __wrap_faccessat(int dirfd, const char *name, int mode, int flags);
int __wrap_faccessat(int dirfd, const char *name, int mode, int flags)
{
	return fail_or(&fail_faccessat, __real_faccessat(dirfd, name, mode, flags));
}

/* ---- a space with two releases ---- */

static struct version old, new, former;

static int setup(void **state)
{
	struct scratch *s;

	assert_int_equal(scratch_setup(state), 0);
	s = *state;
	assert_int_equal(version_parse("B202107010001", &former), 0);
	assert_int_equal(version_parse("B202108010001", &old), 0);
	assert_int_equal(version_parse("B202109010001", &new), 0);
	assert_int_equal(fs_mkdir_p(s->dirfd, "releases/B202107010001", 0755), 0);
	assert_int_equal(fs_mkdir_p(s->dirfd, "releases/B202108010001", 0755), 0);
	assert_int_equal(fs_mkdir_p(s->dirfd, "releases/B202109010001", 0755), 0);
	assert_int_equal(symlinkat("releases/B202108010001", s->dirfd, "current"), 0);
	assert_int_equal(symlinkat("releases/B202107010001", s->dirfd, "previous"), 0);
	trace[0] = '\0';
	fail_syncfs = fail_fsync = fail_readlink = fail_faccessat = 0;
	return 0;
}

static void expect(struct scratch *s, const char *link, const struct version *version)
{
	struct version found = { 0 };

	if (!version) {
		assert_int_equal(swap_read(s->dirfd, link, &found), -ENOENT);
		return;
	}
	assert_int_equal(swap_read(s->dirfd, link, &found), 0);
	assert_string_equal(found.text, version->text);
}

/* ---- tests ---- */

/* What makes the flip safe is this order: nothing is renamed before everything is durable. */
static void test_syncs_all_before_it_renames(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(swap_prepare(s->dirfd, &new, &old, &former), 0);
	expect(s, "current", &old);
	expect(s, "previous", &former);
	assert_int_equal(swap_previous(s->dirfd), 0);
	expect(s, "current", &old);
	expect(s, "previous", &old);
	assert_int_equal(swap_current(s->dirfd), 0);
	assert_int_equal(swap_settle(s->dirfd, &new), 0);
	expect(s, "current", &new);
	expect(s, "previous", &old);
	assert_string_equal(trace, "symlink current.back; symlink previous.back; "
				   "symlink previous.new; symlink current.new; syncfs; "
				   "rename previous; fsync; rename current; fsync");
}

static void test_heals_what_a_crash_left(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(symlinkat("nonsense", s->dirfd, "current.new"), 0);
	scratch_text(s->dirfd, "previous.new", "a file", 0644);
	assert_int_equal(swap_prepare(s->dirfd, &new, &old, &former), 0);
	assert_int_equal(swap_previous(s->dirfd), 0);
	assert_int_equal(swap_current(s->dirfd), 0);
	assert_int_equal(swap_settle(s->dirfd, &new), 0);
}

static void flip(struct scratch *s, const struct version *before)
{
	assert_int_equal(swap_prepare(s->dirfd, &new, &old, before), 0);
	assert_int_equal(swap_previous(s->dirfd), 0);
	assert_int_equal(swap_current(s->dirfd), 0);
	assert_int_equal(swap_settle(s->dirfd, &new), 0);
	trace[0] = '\0';
}

/* Nothing is made any more, so nothing can run out of space. */
static void test_undoes_by_renames_alone(void **state)
{
	struct scratch *s = *state;

	flip(s, &former);
	assert_int_equal(swap_undo(s->dirfd, &old, &former), 0);
	expect(s, "current", &old);
	expect(s, "previous", &former);
	assert_string_equal(trace, "rename current; fsync; rename previous; fsync");
	assert_int_equal(swap_undo(s->dirfd, &old, &former), 0);
	assert_int_equal(unlinkat(s->dirfd, "previous", 0), 0);
	flip(s, NULL);
	assert_int_equal(swap_undo(s->dirfd, &old, NULL), 0);
	expect(s, "current", &old);
	expect(s, "previous", NULL);
	assert_string_equal(trace, "rename current; fsync; fsync");
}

/* A flip that came half way. */
static void test_undoes_what_was_done_only(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(swap_prepare(s->dirfd, &new, &old, &former), 0);
	trace[0] = '\0';
	assert_int_equal(swap_undo(s->dirfd, &old, &former), 0);
	assert_string_equal(trace, "fsync");
	assert_int_equal(swap_previous(s->dirfd), 0);
	trace[0] = '\0';
	assert_int_equal(swap_undo(s->dirfd, &old, &former), 0);
	assert_string_equal(trace, "fsync; rename previous; fsync");
	expect(s, "current", &old);
	expect(s, "previous", &former);
}

/* Another process may have made the links and died before they were durable. */
static void test_syncs_what_it_finds_before_it_goes_back(void **state)
{
	struct scratch *s = *state;

	flip(s, &former);
	assert_int_equal(swap_back(s->dirfd, &old, &former), 0);
	expect(s, "current", &old);
	expect(s, "previous", &former);
	assert_string_equal(trace, "syncfs; rename current; fsync; rename previous; fsync");
}

static void test_makes_what_is_gone(void **state)
{
	struct scratch *s = *state;

	flip(s, &former);
	assert_int_equal(swap_clear(s->dirfd), 0);
	assert_int_equal(symlinkat("releases/B202109010001", s->dirfd, "current.back"), 0);
	trace[0] = '\0';
	assert_int_equal(swap_undo(s->dirfd, &old, &former), 0);
	expect(s, "current", &old);
	expect(s, "previous", &former);
	assert_string_equal(trace, "symlink current.back; symlink previous.back; syncfs; "
				   "rename current; fsync; rename previous; fsync");
	assert_int_equal(swap_back(s->dirfd, &old, NULL), 0);
	expect(s, "current", &old);
	expect(s, "previous", NULL);
	assert_int_equal(swap_back(s->dirfd, &old, NULL), 0);
}

/* There is no way back to what is gone; but only if that is certain. */
static void test_puts_previous_back_unless_it_is_gone(void **state)
{
	struct scratch *s = *state;
	struct version found;

	assert_int_equal(unlinkat(s->dirfd, "releases/B202107010001", AT_REMOVEDIR), 0);
	flip(s, &former);
	fail_faccessat = EMFILE;
	assert_int_equal(swap_back(s->dirfd, &old, &former), 0);
	assert_int_equal(swap_read_text(s->dirfd, "previous", &found), 0);
	assert_string_equal(found.text, former.text);
	fail_faccessat = 0;
	assert_int_equal(swap_back(s->dirfd, &old, &former), 0);
	assert_int_equal(swap_read_text(s->dirfd, "previous", &found), -ENOENT);
	expect(s, "current", &old);
}

/* Nothing can be renamed onto a directory. */
static void test_removes_directories_that_are_in_the_way(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(unlinkat(s->dirfd, "current", 0), 0);
	scratch_text(s->dirfd, "current/bin/x", "x", 0644);
	scratch_text(s->dirfd, "current.new/x", "x", 0644);
	assert_int_equal(swap_point(s->dirfd, &new), 0);
	expect(s, "current", &new);
	assert_int_equal(unlinkat(s->dirfd, "current", 0), 0);
	scratch_text(s->dirfd, "current/x", "x", 0644);
	assert_int_equal(unlinkat(s->dirfd, "previous", 0), 0);
	scratch_text(s->dirfd, "previous/x", "x", 0644);
	scratch_text(s->dirfd, "previous.back/x", "x", 0644);
	assert_int_equal(swap_back(s->dirfd, &old, &former), 0);
	expect(s, "current", &old);
	expect(s, "previous", &former);
}

static void test_points_current_anywhere(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(swap_point(s->dirfd, &new), 0);
	expect(s, "current", &new);
	expect(s, "previous", &former);
	assert_string_equal(trace, "symlink current.new; syncfs; rename current; fsync");
}

/* What is known of a release that is gone is still its name. */
static void test_reads_the_text_of_a_link(void **state)
{
	struct scratch *s = *state;
	struct version found;

	assert_int_equal(unlinkat(s->dirfd, "releases/B202107010001", AT_REMOVEDIR), 0);
	assert_int_equal(swap_read(s->dirfd, "previous", &found), -EUCLEAN);
	assert_int_equal(swap_read_text(s->dirfd, "previous", &found), 0);
	assert_string_equal(found.text, former.text);
	assert_int_equal(swap_read_text(s->dirfd, "nothing", &found), -ENOENT);
	assert_int_equal(swap_read_text(s->dirfd, "releases", &found), -EUCLEAN);
}

/* An error that says nothing about the link must not be taken for a broken link. */
static void test_an_error_is_no_broken_link(void **state)
{
	struct scratch *s = *state;
	struct version found;

	fail_readlink = EMFILE;
	assert_int_equal(swap_read(s->dirfd, "current", &found), -EMFILE);
	assert_int_equal(swap_settle(s->dirfd, &old), -EMFILE);
	assert_int_equal(swap_undo(s->dirfd, &old, &former), -EMFILE);
	fail_readlink = EIO;
	assert_int_equal(swap_read(s->dirfd, "current", &found), -EIO);
}

static void test_reads_links_of_its_own_kind_only(void **state)
{
	static const char *const bad[] = {
		"/opt/bmsd/releases/B202109010001",
		"releases/../releases/B202109010001",
		"releases/B202109010001/",
		"releases/.stage-x",
		"B202109010001",
		"releases/B202112310001", /* is not there */
		"releases/a-file",
	};
	struct scratch *s = *state;
	struct version found;

	assert_int_equal(swap_read(s->dirfd, "nothing", &found), -ENOENT);
	scratch_text(s->dirfd, "file", "", 0644);
	assert_int_equal(swap_read(s->dirfd, "file", &found), -EUCLEAN);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		(void)unlinkat(s->dirfd, "link", 0);
		assert_int_equal(symlinkat(bad[i], s->dirfd, "link"), 0);
		assert_int_equal(swap_read(s->dirfd, "link", &found), -EUCLEAN);
	}
	scratch_text(s->dirfd, "releases/B202112310002", "a file", 0644);
	(void)unlinkat(s->dirfd, "link", 0);
	assert_int_equal(symlinkat("releases/B202112310002", s->dirfd, "link"), 0);
	assert_int_equal(swap_read(s->dirfd, "link", &found), -EUCLEAN);
}

static void test_settles_only_on_what_it_should_be(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(swap_settle(s->dirfd, &old), 0);
	assert_int_equal(swap_settle(s->dirfd, &new), -EUCLEAN);
	assert_int_equal(unlinkat(s->dirfd, "current", 0), 0);
	assert_int_equal(swap_settle(s->dirfd, &old), -EUCLEAN);
}

static void test_passes_errors_on(void **state)
{
	struct scratch *s = *state;

	fail_syncfs = EIO;
	assert_int_equal(swap_prepare(s->dirfd, &new, &old, &former), -EIO);
	assert_int_equal(swap_back(s->dirfd, &new, &old), -EIO);
	expect(s, "current", &old);
	fail_syncfs = 0;
	fail_fsync = EIO;
	assert_int_equal(swap_prepare(s->dirfd, &new, &old, &former), 0);
	assert_int_equal(swap_previous(s->dirfd), -EIO);
	assert_int_equal(swap_settle(s->dirfd, &old), -EIO);
	fail_fsync = 0;
	assert_int_equal(swap_clear(s->dirfd), 0);
	assert_int_equal(swap_previous(s->dirfd), -ENOENT);
	assert_int_equal(swap_current(s->dirfd), -ENOENT);
	expect(s, "current", &old);
}

static void test_clears_left_overs(void **state)
{
	struct scratch *s = *state;
	struct stat st;

	assert_int_equal(swap_prepare(s->dirfd, &new, &old, &former), 0);
	assert_int_equal(swap_clear(s->dirfd), 0);
	assert_int_equal(fstatat(s->dirfd, "current.new", &st, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(fstatat(s->dirfd, "previous.new", &st, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(fstatat(s->dirfd, "current.back", &st, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(fstatat(s->dirfd, "previous.back", &st, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(swap_clear(s->dirfd), 0);
	expect(s, "current", &old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, scratch_teardown)
		TEST(test_syncs_all_before_it_renames),
		TEST(test_heals_what_a_crash_left),
		TEST(test_undoes_by_renames_alone),
		TEST(test_undoes_what_was_done_only),
		TEST(test_syncs_what_it_finds_before_it_goes_back),
		TEST(test_makes_what_is_gone),
		TEST(test_puts_previous_back_unless_it_is_gone),
		TEST(test_removes_directories_that_are_in_the_way),
		TEST(test_points_current_anywhere),
		TEST(test_reads_the_text_of_a_link),
		TEST(test_an_error_is_no_broken_link),
		TEST(test_reads_links_of_its_own_kind_only),
		TEST(test_settles_only_on_what_it_should_be),
		TEST(test_passes_errors_on),
		TEST(test_clears_left_overs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
