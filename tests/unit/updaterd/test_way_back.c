/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes from the process that talks to the network is only words: here it says what it likes. The agent
 * is played.
 */
#include "updaterd/way_back.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/log.h"
#include "scratch.h"
#include "updaterd/agent.h"
#include "updaterd/agent_user.h"
#include "updaterd/exit_codes.h"

#define OLD "B202108010001"
#define HEX "abababababababababababababababababababababababababababababababab"

static struct play {
	struct scratch *scratch;
	const char *target;
	int code, becoming;
	bool is_killed;
} play;

int __wrap_agent_user_become(const struct conf *conf);
int __wrap_agent_user_become(const struct conf *conf)
{
	(void)conf;
	return play.becoming;
}

/* In the helper. */
int __wrap_agent_fetch_previous(const struct conf *conf, const struct version *version,
				struct progress *progress, struct agent_fetched *ret);
int __wrap_agent_fetch_previous(const struct conf *conf, const struct version *version,
				struct progress *progress, struct agent_fetched *ret)
{
	(void)conf, (void)progress;
	if (strcmp(version->text, OLD) != 0)
		return EXIT_FAILED;
	if (play.is_killed)
		(void)raise(SIGKILL);
	ret->target = play.target ? strdup(play.target) : NULL;
	memset(ret->sha256, 0xab, sizeof ret->sha256);
	return play.code;
}

static int setup(void **state)
{
	log_set_level(LOG_CRIT);
	play = (struct play){ .target = "B/" OLD "-amd64.tar.xz" };
	assert_int_equal(scratch_setup(state), 0);
	play.scratch = *state;
	scratch_text(play.scratch->dirfd, "agent/inbox/" HEX ".part", "bytes", 0600);
	scratch_text(play.scratch->dirfd, "agent/metadata/root.json", "{}", 0600);
	scratch_text(play.scratch->dirfd, "b/x", "", 0600);
	assert_int_equal(symlinkat("releases/" OLD, play.scratch->dirfd, "b/previous"), 0);
	return 0;
}

static int fetch(struct way_back *ret, struct failure *failure)
{
	char agent_dir[128], space[128];
	struct conf conf = { .agent_dir = agent_dir,
			     .programs = { { .letter = 'B', .space = space } },
			     .n_programs = 1 };

	(void)snprintf(agent_dir, sizeof agent_dir, "%s/agent", play.scratch->path);
	(void)snprintf(space, sizeof space, "%s/b", play.scratch->path);
	*failure = (struct failure){ 0 };
	return way_back_fetch(&conf, 'B', NULL, ret, failure);
}

static void test_hands_over_what_was_fetched(void **state)
{
	_cleanup_(way_back_done) struct way_back w = { .file_fd = FD_NONE, .metadata_fd = FD_NONE };
	struct failure failure;
	struct stat st;
	char bytes[6] = "";

	(void)state;
	assert_int_equal(fetch(&w, &failure), 0);
	assert_string_equal(w.version.text, OLD);
	assert_string_equal(w.target, "B/" OLD "-amd64.tar.xz");
	assert_int_equal(pread(w.file_fd, bytes, 5, 0), 5);
	assert_string_equal(bytes, "bytes");
	assert_int_equal(fstat(w.metadata_fd, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
}

static void test_a_backup_has_no_target(void **state)
{
	_cleanup_(way_back_done) struct way_back w = { .file_fd = FD_NONE, .metadata_fd = FD_NONE };
	struct failure failure;

	(void)state;
	play.target = NULL;
	assert_int_equal(fetch(&w, &failure), 0);
	assert_null(w.target);
	assert_true(w.file_fd >= 0);
}

static void refused(void)
{
	struct way_back w = { .file_fd = FD_NONE, .metadata_fd = FD_NONE };
	struct failure failure;

	assert_true(fetch(&w, &failure) < 0);
	assert_true(failure.text[0]);
	assert_int_equal(w.file_fd, FD_NONE);
}

static void test_what_a_hostile_helper_says(void **state)
{
	static const char *const targets[] = { "",	 "/etc/shadow", "../../etc/shadow",
					       "B/../x", "B//x",	"B/\n",
					       "B/x y" };
	char large[600];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
		play.target = targets[i];
		refused();
	}
	memset(large, 'x', sizeof large - 1);
	large[sizeof large - 1] = '\0';
	play.target = large;
	refused();
}

static void test_what_a_hostile_inbox_holds(void **state)
{
	int dirfd = play.scratch->dirfd;

	(void)state;
	scratch_text(dirfd, "secret", "of root", 0600);
	assert_int_equal(unlinkat(dirfd, "agent/inbox/" HEX ".part", 0), 0);
	refused();
	assert_int_equal(symlinkat("../../secret", dirfd, "agent/inbox/" HEX ".part"), 0);
	refused();
	assert_int_equal(unlinkat(dirfd, "agent/inbox/" HEX ".part", 0), 0);
	assert_int_equal(mkfifoat(dirfd, "agent/inbox/" HEX ".part", 0600), 0);
	refused();
	assert_int_equal(fs_remove_tree(dirfd, "agent/inbox"), 0);
	scratch_text(dirfd, "there/" HEX ".part", "of root", 0600);
	assert_int_equal(symlinkat("../there", dirfd, "agent/inbox"), 0);
	refused();
}

static void test_no_helper(void **state)
{
	(void)state;
	play.becoming = EXIT_NOT_PERMITTED;
	refused();
	play.becoming = EXIT_OK;
	play.code = EXIT_FAILED;
	refused();
	play.is_killed = true;
	refused();
}

static void test_no_previous(void **state)
{
	struct way_back w;
	struct failure failure;

	(void)state;
	assert_int_equal(unlinkat(play.scratch->dirfd, "b/previous", 0), 0);
	assert_int_equal(fetch(&w, &failure), -ENOENT);
	assert_int_equal(failure.reason, REASON_NO_PREVIOUS);
	assert_int_equal(symlinkat("/etc/shadow", play.scratch->dirfd, "b/previous"), 0);
	assert_true(fetch(&w, &failure) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hands_over_what_was_fetched),
		TEST(test_a_backup_has_no_target),
		TEST(test_what_a_hostile_helper_says),
		TEST(test_what_a_hostile_inbox_holds),
		TEST(test_no_helper),
		TEST(test_no_previous),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
