/* SPDX-License-Identifier: Apache-2.0 */
/* Cut at each call that changes something, and with each of them failing: the next run comes to the same
 * end. */
#include "updaterd/rescue.h"

#include "gateway_tree.h"

#include <sys/wait.h>

#define CUT 99

static int calls, fatal, failing;

/* True if this call is to fail; it does not return if it is to be the last. */
static bool meets_fault(void)
{
	calls++;
	if (calls == fatal)
		_exit(CUT);
	if (calls != failing)
		return false;
	errno = EIO;
	return true;
}

#define WRAP(name, parameters, arguments)                                                          \
	int __real_##name parameters;                                                              \
	int __wrap_##name parameters;                                                              \
	int __wrap_##name parameters                                                               \
	{                                                                                          \
		return meets_fault() ? -1 : __real_##name arguments;                               \
	}

/* The kernel lives on, so nothing has to reach the disk. */
#define WRAP_SYNC(name)                                                                            \
	int __wrap_##name(int fd);                                                                 \
	int __wrap_##name(int fd)                                                                  \
	{                                                                                          \
		(void)fd;                                                                          \
		return meets_fault() ? -1 : 0;                                                     \
	}

WRAP_SYNC(fdatasync)
WRAP_SYNC(fsync)
WRAP_SYNC(syncfs)
WRAP(mkdirat, (int fd, const char *name, mode_t mode), (fd, name, mode))

static bool are_lies;

int __real_renameat(int from, const char *old, int to, const char *new);
int __wrap_renameat(int from, const char *old, int to, const char *new);
int __wrap_renameat(int from, const char *old, int to, const char *new)
{
	if (are_lies)
		return 0;
	return meets_fault() ? -1 : __real_renameat(from, old, to, new);
}

WRAP(symlinkat, (const char *text, int fd, const char *name), (text, fd, name))
WRAP(unlinkat, (int fd, const char *name, int flags), (fd, name, flags))

ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
	if (!meets_fault())
		return __real_pwrite64(fd, bytes, size, offset);
	/* Half of it came to the disk. */
	(void)!__real_pwrite64(fd, bytes, size / 2, offset);
	return -1;
}

/* ---- scenarios ---- */

static void put_trial(const struct scratch *s)
{
	put_attempt(s, "trial");
}

static void put_trial_with_links(const struct scratch *s)
{
	put_attempt(s, "trial");
	point(s, "b/current.back", "releases/" B2);
	point(s, "b/previous.back", "releases/" B1);
}

static void put_first_trial(const struct scratch *s)
{
	put_attempt(s, "trial");
	put_journal(s, (const char *[]){ "before_previous", NULL, NULL });
	point(s, "b/current.new", "releases/" B1);
}

static void put_directory_on_trial(const struct scratch *s)
{
	put_attempt(s, "novel word");
	assert_int_equal(fs_remove_tree(s->dirfd, "b/current"), 0);
	scratch_text(s->dirfd, "b/current/bin/x", "x", 0644);
	assert_int_equal(fs_remove_tree(s->dirfd, "a/current"), 0);
}

static void put_dangling(const struct scratch *s)
{
	point(s, "b/current", "releases/B209901010001");
	point(s, "a/current", "nowhere");
}

static void put_nothing_but_the_factory(const struct scratch *s)
{
	assert_int_equal(fs_remove_tree(s->dirfd, "b"), 0);
	assert_int_equal(fs_remove_tree(s->dirfd, "a/releases"), 0);
}

static void put_order(const struct scratch *s)
{
	put_journal(s, (const char *[]){ "floor_B", B1, NULL });
}

static void put_ready(const struct scratch *s)
{
	put_attempt(s, "ready");
	point(s, "b/current", "releases/" B2);
	point(s, "b/previous", "releases/" B1);
}

static int boot(const struct scratch *s)
{
	const struct rescue r = rescue_of(s);

	return rescue_run(&r);
}

/* After a cut a person looks, and asks once more if it has not come about. */
static int roll_back(const struct scratch *s, const char *from)
{
	const struct rescue r = rescue_of(s);
	int ret = boot(s);

	if (ret < 0 || strcmp(target(s, "b/current"), from) != 0)
		return ret;
	return rescue_rollback(&r, 'B');
}

static int roll_back_3(const struct scratch *s)
{
	return roll_back(s, "releases/" B3);
}

static int roll_back_2(const struct scratch *s)
{
	return roll_back(s, "releases/" B2);
}

/* A boot would undo it before. */
static int end_trial(const struct scratch *s)
{
	const struct rescue r = rescue_of(s);

	if (strcmp(journaled(s, "state"), "trial") != 0)
		return boot(s);
	return rescue_rollback(&r, 'B');
}

static const struct scenario {
	const char *name;
	void (*put)(const struct scratch *s);
	int (*play)(const struct scratch *s);
} scenarios[] = {
	{ "trial", put_trial, boot },
	{ "trial, the links are there", put_trial_with_links, boot },
	{ "first trial", put_first_trial, boot },
	{ "a directory on trial", put_directory_on_trial, boot },
	{ "dangling", put_dangling, boot },
	{ "only the factory", put_nothing_but_the_factory, boot },
	{ "roll back", put_order, roll_back_3 },
	{ "roll back under an attempt", put_ready, roll_back_2 },
	{ "roll back a trial", put_trial, end_trial },
};

/* All that counts of a tree, but what is different each time. */
static void describe(const struct scratch *s, char ret[4096])
{
	static const char *const links[] = { "a/current", "a/previous", "b/current", "b/previous" };
	static const char *const keys[] = { "state",  "kind",	 "program",	    "from",
					    "to",     "reason",	 "before_previous", "rescued",
					    "zeta",   "floor_B", "left_A",	    "left_B",
					    "outcome" };
	size_t used = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < ELEMENTSOF(links); i++)
		used += (size_t)snprintf(ret + used, 4096 - used, "%s -> %s\n", links[i],
					 target(s, links[i]));
	for (size_t i = 0; i < ELEMENTSOF(keys); i++)
		used += (size_t)snprintf(ret + used, 4096 - used, "%s=%s\n", keys[i],
					 journaled(s, keys[i]));
}

/* The number of calls, and the end, when nothing goes wrong. */
static int play_undisturbed(struct scratch *s, const struct scenario *scenario, char ret[4096])
{
	int n;

	renew_tree(s);
	scenario->put(s);
	calls = 0;
	assert_int_equal(scenario->play(s), 1);
	n = calls;
	describe(s, ret);
	return n;
}

/* False if there was nothing more to be cut. */
static bool play_cut(struct scratch *s, const struct scenario *scenario, int at)
{
	int status = 0;
	pid_t pid;

	renew_tree(s);
	scenario->put(s);
	(void)fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		calls = failing = 0;
		fatal = at;
		_exit(scenario->play(s) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) == CUT;
}

static void expect_same_end(struct scratch *s, const struct scenario *scenario,
			    const char *expected, const char *what, int at)
{
	char found[4096];

	calls = fatal = failing = 0;
	if (scenario->play(s) < 0)
		fail_msg("%s, %s %d: fails again", scenario->name, what, at);
	describe(s, found);
	if (strcmp(found, expected) != 0)
		fail_msg("%s, %s %d:\n%s\nis not\n%s", scenario->name, what, at, found, expected);
}

static void test_cut_at_every_call(void **state)
{
	struct scratch *s = *state;
	char expected[4096];
	int cuts = 0;

	for (size_t i = 0; i < ELEMENTSOF(scenarios); i++) {
		int n = play_undisturbed(s, &scenarios[i], expected);

		for (int at = 1; at <= n; at++) {
			if (!play_cut(s, &scenarios[i], at))
				fail_msg("%s: no cut at %d of %d", scenarios[i].name, at, n);
			expect_same_end(s, &scenarios[i], expected, "cut at", at);
			cuts++;
		}
		assert_false(play_cut(s, &scenarios[i], n + 1));
	}
	print_message("%d cuts\n", cuts);
	assert_true(cuts > 100);
}

/* The sanitizer's fork() takes fifty times as long; it need not see every pair. */
#ifdef __SANITIZE_ADDRESS__
#define LATER_STEP 7
#else
#define LATER_STEP 1
#endif

/* The second run is cut as well, at each of its calls. */
static void test_cut_twice(void **state)
{
	struct scratch *s = *state;
	char expected[4096];
	int cuts = 0;

	for (size_t i = 0; i < ELEMENTSOF(scenarios); i++) {
		int n = play_undisturbed(s, &scenarios[i], expected);

		for (int at = 1; at <= n; at++) {
			for (int later = 1;; later += LATER_STEP) {
				int status = 0;
				pid_t pid;

				assert_true(play_cut(s, &scenarios[i], at));
				pid = fork();
				assert_true(pid >= 0);
				if (pid == 0) {
					calls = failing = 0;
					fatal = later;
					_exit(scenarios[i].play(s) < 0);
				}
				assert_int_equal(waitpid(pid, &status, 0), pid);
				expect_same_end(s, &scenarios[i], expected, "cut twice at", at);
				cuts++;
				if (WEXITSTATUS(status) != CUT)
					break;
			}
		}
	}
	print_message("%d double cuts\n", cuts);
	assert_true(cuts > 500 / LATER_STEP);
}

/* What fails is told; and a success is one: it is true at once, without another run. */
static void test_every_call_fails(void **state)
{
	struct scratch *s = *state;
	char expected[4096], found[4096];
	int failures = 0;

	for (size_t i = 0; i < ELEMENTSOF(scenarios); i++) {
		int n = play_undisturbed(s, &scenarios[i], expected);
		size_t links = (size_t)(strstr(expected, "state=") - expected);

		for (int at = 1; at <= n; at++) {
			int r;

			renew_tree(s);
			scenarios[i].put(s);
			calls = 0;
			failing = at;
			r = scenarios[i].play(s);
			failing = 0;
			describe(s, found);
			/* Without a journal it goes on without a record. */
			if (r >= 0 && strncmp(found, expected, links) != 0)
				fail_msg("%s, fault %d: no success\n%s", scenarios[i].name, at,
					 found);
			failures++;
		}
	}
	print_message("%d faults\n", failures);
	assert_true(failures > 100);
}

/* A file system that says yes and does nothing. */
static void test_reads_back_what_it_flipped(void **state)
{
	struct scratch *s = *state;

	for (size_t i = 0; i < ELEMENTSOF(scenarios); i++) {
		renew_tree(s);
		scenarios[i].put(s);
		are_lies = true;
		if (scenarios[i].play(s) >= 0)
			fail_msg("%s: no success", scenarios[i].name);
		are_lies = false;
	}
}

/* In memory, where there is a file system for that: it is thousands of trees. */
static int setup(void **state)
{
	struct scratch *s;

	(void)scratch_setup(state);
	s = *state;
	if (access("/dev/shm", W_OK) == 0) {
		(void)close(s->dirfd);
		assert_int_equal(rmdir(s->path), 0);
		(void)strcpy(s->path, "/dev/shm/unit-XXXXXX");
		assert_non_null(mkdtemp(s->path));
		s->dirfd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(s->dirfd >= 0);
	}
	put_tree(s);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cut_at_every_call, setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(test_cut_twice, setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(test_reads_back_what_it_flipped, setup,
						scratch_teardown),
		cmocka_unit_test_setup_teardown(test_every_call_fails, setup, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
