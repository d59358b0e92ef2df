/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/choose.h"

#include "gateway.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/reltar.h"

/* ---- what is signed ---- */

static struct play {
	int find; /* what looking for the patch gives */
	uint64_t patch_bytes, list_bytes, full_list_bytes;
	uint64_t base_bytes;
	uint8_t base_sha256[SHA256_BYTES];
	bool has_no_list;
} play;

int __wrap_trust_find_patch(struct trust *t, const struct program_file *full,
			    const struct version *from, struct program_file *ret,
			    struct failure *failure);
int __wrap_trust_find_patch(struct trust *t, const struct program_file *full,
			    const struct version *from, struct program_file *ret,
			    struct failure *failure)
{
	(void)t;
	assert_string_equal(from->text, OLD_B);
	if (play.find < 0)
		return failure_set(failure, play.find, REASON_BAD_METADATA, "as planned");
	*ret = (struct program_file){ .version = full->version,
				      .path = strdup("patch"),
				      .file = strdup("patch"),
				      .length_bytes = play.patch_bytes,
				      .segment_bytes = { 4096 },
				      .n_segment_bytes = 1,
				      .is_patch = true,
				      .base_bytes = play.base_bytes };
	memcpy(ret->base_sha256, play.base_sha256, SHA256_BYTES);
	return 0;
}

int __wrap_trust_find_target(struct trust *t, const char *path, struct tuf_target *ret,
			     struct failure *failure);
int __wrap_trust_find_target(struct trust *t, const char *path, struct tuf_target *ret,
			     struct failure *failure)
{
	(void)t;
	if (play.has_no_list)
		return failure_set(failure, -ENOENT, REASON_NO_TARGET, "as planned");
	if (strcmp(path, "patch.seg4096") == 0)
		*ret = (struct tuf_target){ .length = play.list_bytes };
	else if (strcmp(path, "full.seg4096") == 0)
		*ret = (struct tuf_target){ .length = play.full_list_bytes };
	else
		fail_msg("'%s' is asked for", path);
	return 0;
}

/* ---- helpers ---- */

static int setup(void **state)
{
	_cleanup_(reltar_view_closep) struct reltar_view *view = NULL;
	_cleanup_close_ int fd = FD_NONE;
	struct gateway *g;

	assert_int_equal(gateway_setup(state), 0);
	g = *state;
	fd = gateway_open(g, "b/releases/" OLD_B, O_RDONLY | O_DIRECTORY);
	assert_int_equal(reltar_view_open(fd, &view), 0);
	play = (struct play){ .patch_bytes = 100,
			      .list_bytes = 60,
			      .full_list_bytes = 90,
			      .base_bytes = reltar_view_size(view) };
	assert_int_equal(reltar_view_sha256(view, play.base_sha256), 0);
	return 0;
}

static int choose(struct gateway *g, struct failure *why)
{
	struct program_file full = { .version = gateway_version(NEW_B),
				     .path = (char[]){ "full" },
				     .length_bytes = 1000,
				     .segment_bytes = { 4096 },
				     .n_segment_bytes = 1 };
	struct version current = gateway_version(OLD_B);
	_cleanup_close_ int inbox_fd = scratch_dir(g->scratch->dirfd, "inbox");
	struct choice c = { .program = gateway_program(g, 'B'),
			    .current = &current,
			    .inbox_fd = inbox_fd,
			    .segment_bytes = 4096 };
	struct program_file patch = { .path = NULL };
	int r;

	*why = (struct failure){ .reason = REASON_NONE };
	r = choose_patch(&c, &full, &patch, why);
	assert_int_equal(r == 1, patch.path != NULL);
	program_file_done(&patch);
	return r;
}

static void expect_full(struct gateway *g, enum reason reason)
{
	struct failure why;

	assert_int_equal(choose(g, &why), 0);
	assert_string_equal(reason_name(why.reason), reason_name(reason));
	assert_true(why.text[0]);
}

static void expect_patch(struct gateway *g)
{
	struct failure why;

	assert_int_equal(choose(g, &why), 1);
	assert_string_equal(why.text, "");
}

static void damage(struct gateway *g, const char *content)
{
	const char *path = "b/releases/" OLD_B "/bin/program";

	assert_int_equal(unlinkat(g->scratch->dirfd, path, 0), 0);
	scratch_text(g->scratch->dirfd, path, content, 0555);
}

/* ---- tests ---- */

static void test_the_patch_from_what_runs(void **state)
{
	expect_patch(*state);
}

static void test_there_is_no_patch(void **state)
{
	struct failure why;

	play.find = -ENOENT;
	assert_int_equal(choose(*state, &why), 0);
	assert_string_equal(why.text, "");
	play.find = -EBADMSG;
	expect_full(*state, REASON_BAD_METADATA);
}

static void test_the_smaller_one_with_its_list(void **state)
{
	struct gateway *g = *state;

	play.patch_bytes = 1029;
	expect_patch(g);
	play.patch_bytes = 1030;
	expect_full(g, REASON_LENGTH);
	play.list_bytes--;
	expect_patch(g);
	play.patch_bytes = UINT64_MAX;
	expect_full(g, REASON_NO_TARGET);
	play.patch_bytes = 1;
	play.has_no_list = true;
	expect_full(g, REASON_NO_TARGET);
}

static void test_another_base(void **state)
{
	struct gateway *g = *state;

	play.base_sha256[31] ^= 1;
	expect_full(g, REASON_BASE_DIFFERS);
	play.base_sha256[31] ^= 1;
	play.base_bytes += 512;
	expect_full(g, REASON_BASE_DIFFERS);
}

static void test_a_damaged_base(void **state)
{
	struct gateway *g = *state;

	damage(g, "#!/bin/sh\necho B202108010002\n"); /* as long as it was */
	expect_full(g, REASON_DAMAGED);
	damage(g, "short");
	expect_full(g, REASON_DAMAGED);
	assert_int_equal(unlinkat(g->scratch->dirfd, "b/releases/" OLD_B "/bin/program", 0), 0);
	expect_full(g, REASON_DAMAGED);
}

static void test_a_base_that_is_gone(void **state)
{
	struct gateway *g = *state;

	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "b/releases"), 0);
	expect_full(g, REASON_IO);
}

static void test_a_full_file_that_was_begun(void **state)
{
	struct gateway *g = *state;

	scratch_text(g->scratch->dirfd,
		     "inbox/"
		     "0000000000000000000000000000000000000000000000000000000000000000.part",
		     "x", 0600);
	expect_full(g, REASON_NONE);
}

static void test_checks_what_runs(void **state)
{
	struct gateway *g = *state;
	_cleanup_free_ char *error = NULL;
	struct version current = gateway_version(OLD_B), other = gateway_version(NEW_B);

	assert_int_equal(choose_check_running(gateway_program(g, 'B'), &current, &error), 0);
	assert_null(error);
	assert_int_equal(choose_check_running(gateway_program(g, 'B'), &other, &error), -ENOENT);
	damage(g, "changed");
	assert_int_equal(choose_check_running(gateway_program(g, 'B'), &current, &error), -EUCLEAN);
	assert_non_null(strstr(error, "bin/program"));
}

static void test_what_falls_back(void **state)
{
	(void)state;
	assert_true(choose_falls_back(0, REASON_BAD_PATCH));
	assert_true(choose_falls_back(-EPROTO, REASON_SERVER_ERROR));
	assert_false(choose_falls_back(-EAGAIN, REASON_SERVER_ERROR));
	assert_false(choose_falls_back(-EIO, REASON_NETWORK));
	assert_false(choose_falls_back(0, REASON_NO_SPACE));
	assert_false(choose_falls_back(0, REASON_QUARANTINED));
	assert_false(choose_falls_back(0, REASON_NOT_NOW));
	assert_false(choose_falls_back(0, REASON_BAD_SIGNATURE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, gateway_teardown)
		TEST(test_the_patch_from_what_runs),
		TEST(test_there_is_no_patch),
		TEST(test_the_smaller_one_with_its_list),
		TEST(test_another_base),
		TEST(test_a_damaged_base),
		TEST(test_a_base_that_is_gone),
		TEST(test_a_full_file_that_was_begun),
		TEST(test_checks_what_runs),
		cmocka_unit_test(test_what_falls_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
