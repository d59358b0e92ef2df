/* SPDX-License-Identifier: Apache-2.0 */
/* The new installer on trial, within a whole upgrade of A by the old one. */
#include "updaterd/prove.h"

#include "gateway.h"

#include <errno.h>
#include <stdio.h>

#include "common/json.h"
#include "updaterd/swap.h"
#include "updaterd/updater_trial.h"

#define NEXT_A "A202110010001"

int64_t __wrap_conf_effective_time_sec(int64_t last_trusted_sec);
int64_t __wrap_conf_effective_time_sec(int64_t last_trusted_sec)
{
	(void)last_trusted_sec;
	return REPO_NOW_SEC;
}

/* What happens in the trial, and what came of it. */
static struct {
	const char *own;      /* the version that the new installer is */
	const char *metadata; /* the directory that the new agent hands over */
	void (*first)(struct gateway *g);
	unsigned n_trials;
	int r;
	struct failure failure;
	char *status;
} play;

static void prove_it(struct gateway *g, const char *unit, struct service_end *ret)
{
	_cleanup_close_ int metadata_fd = FD_NONE, work_fd = FD_NONE;
	struct version own = gateway_version(play.own);

	if (strcmp(unit, "updaterd-trial.service") != 0)
		return;
	play.n_trials++;
	if (play.first)
		play.first(g);
	metadata_fd = gateway_open(g, play.metadata, O_RDONLY | O_DIRECTORY);
	work_fd = gateway_open(g, "work", O_RDONLY | O_DIRECTORY);
	free(TAKE_PTR(play.status));
	play.failure = (struct failure){ 0 };
	play.r = prove(&g->conf, &own, metadata_fd, work_fd, &play.status, &play.failure);
	ret->status = play.r < 0 ? 1 : 0;
	if (play.r < 0)
		(void)snprintf(ret->said, sizeof ret->said, "prove: %.100s", play.failure.text);
}

static int setup(void **state)
{
	static char unit[] = "updaterd-trial.service";
	struct gateway *g;

	(void)gateway_setup(state);
	g = *state;
	g->conf.programs[0].trial_unit = unit;
	g->conf.programs[0].probe_timeout_sec = 600;
	g->conf.programs[0].trial_retry_sec = 60;
	g->run_unit = prove_it;
	play.own = NEW_A;
	play.metadata = "metadata";
	play.first = NULL;
	play.n_trials = 0;
	assert_int_equal(mkdirat(g->scratch->dirfd, "work", 0700), 0);
	assert_int_equal(mkdirat(g->scratch->dirfd, "nothing", 0700), 0);
	gateway_publish(g, NEW_A, NULL);
	return 0;
}

static int teardown(void **state)
{
	free(TAKE_PTR(play.status));
	return gateway_teardown(state);
}

/* The attempt ends as it has to if the new installer cannot prove itself. */
static void expect_undone_for(struct gateway *g, enum reason reason, enum reason result_reason)
{
	struct result result;

	assert_int_equal(gateway_upgrade(g, NEW_A, &result), 0);
	assert_true(play.r < 0);
	assert_string_equal(reason_name(play.failure.reason), reason_name(reason));
	assert_int_equal(result.outcome, OUTCOME_ROLLED_BACK);
	assert_string_equal(reason_name(result.failure.reason), reason_name(result_reason));
	gateway_expect_links(g, 'A', OLD_A, "");
	gateway_expect_order(g);
	assert_int_equal(faccessat(g->scratch->dirfd, "installer/" UPDATER_TRIAL_PROOF, F_OK, 0),
			 -1);
}

static void expect_undone(struct gateway *g, enum reason reason)
{
	expect_undone_for(g, reason, REASON_UNHEALTHY);
	assert_int_equal(play.n_trials, 2);
}

/* ---- tests ---- */

static void test_proves_itself(void **state)
{
	struct gateway *g = *state;
	struct result result;

	assert_int_equal(gateway_upgrade(g, NEW_A, &result), 0);
	assert_int_equal(play.r, 0);
	assert_int_equal(play.n_trials, 1);
	assert_int_equal(result.outcome, OUTCOME_CONFIRMED);
	assert_non_null(strstr(play.status, "\"A\":{"));
	assert_non_null(strstr(play.status, "\"current\":\"" NEW_A "\""));
	gateway_expect_links(g, 'A', NEW_A, OLD_A);
	gateway_expect_order(g);
	assert_int_equal(faccessat(g->scratch->dirfd, "installer/" UPDATER_TRIAL_PROOF, F_OK, 0),
			 -1);
}

static void test_by_patch(void **state)
{
	struct gateway *g = *state;
	struct result result;

	gateway_publish_patch(g, OLD_A, NEW_A, NULL, 0, NULL);
	assert_int_equal(gateway_upgrade_by_patch(g, OLD_A, NEW_A, &result), 0);
	assert_int_equal(play.r, 0);
	assert_int_equal(result.outcome, OUTCOME_CONFIRMED);
}

/* The way back of a person is no trial. */
static void test_rollback_is_no_trial(void **state)
{
	struct gateway *g = *state;
	struct result result;

	assert_int_equal(gateway_upgrade(g, NEW_A, &result), 0);
	play.n_trials = 0;
	assert_int_equal(gateway_rollback(g, 'A', &result), 0);
	assert_int_equal(result.outcome, OUTCOME_CONFIRMED);
	assert_int_equal(play.n_trials, 0);
	gateway_expect_links(g, 'A', OLD_A, NEW_A);
}

static void test_built_as_another_version(void **state)
{
	play.own = NEXT_A;
	expect_undone(*state, REASON_WRONG_VERSION);
}

static void damage(struct gateway *g)
{
	static const char path[] = "a/releases/" NEW_A "/bin/program";
	int fd;

	assert_int_equal(fchmodat(g->scratch->dirfd, path, 0755, 0), 0);
	fd = openat(g->scratch->dirfd, path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "X", 1, 0), 1);
	(void)close(fd);
}

static void test_other_bytes_on_the_disk(void **state)
{
	play.first = damage;
	expect_undone(*state, REASON_DAMAGED);
}

static void test_nothing_signed(void **state)
{
	play.metadata = "nothing";
	expect_undone(*state, REASON_BAD_METADATA);
}

static void take_proof_away(struct gateway *g)
{
	assert_int_equal(unlinkat(g->scratch->dirfd, "installer/" UPDATER_TRIAL_PROOF, 0), 0);
}

/* It is the old installer that makes the file; a trial makes none. */
static void test_no_place_for_the_proof(void **state)
{
	play.first = take_proof_away;
	expect_undone_for(*state, REASON_IO, REASON_IO);
	assert_int_equal(play.n_trials, 1);
}

static void take_target_away(struct gateway *g)
{
	_cleanup_(journal_closep) struct journal *journal = NULL;
	_cleanup_close_ int fd = gateway_open(g, "installer", O_RDONLY | O_DIRECTORY);

	assert_int_equal(journal_open(fd, &journal), 0);
	assert_int_equal(journal_set(journal, "target", NULL), 0);
	assert_int_equal(journal_write(journal), 0);
}

static void test_journal_without_target(void **state)
{
	play.first = take_target_away;
	expect_undone(*state, REASON_INTERNAL);
}

/* What the installer has kept is only read: none of it may be new, and nothing may come or go. */
static struct timespec newest(struct gateway *g, const char *path)
{
	_cleanup_close_ int fd = gateway_open(g, path, O_RDONLY | O_DIRECTORY);
	_cleanup_dir_ DIR *dir = NULL;
	struct timespec ret = { 0 };
	const char *name;
	struct stat st;

	assert_int_equal(fs_open_dir(fd, ".", &dir), 0);
	while ((name = fs_next_name(dir))) {
		assert_int_equal(fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
		if (strcmp(name, UPDATER_TRIAL_PROOF) == 0)
			continue;
		if (st.st_ctim.tv_sec > ret.tv_sec ||
		    (st.st_ctim.tv_sec == ret.tv_sec && st.st_ctim.tv_nsec > ret.tv_nsec))
			ret = st.st_ctim;
	}
	return ret;
}

static void prove_and_look(struct gateway *g, const char *unit, struct service_end *ret)
{
	struct timespec trust = newest(g, "installer/trust"), own = newest(g, "installer"), after;

	/* The new agent has found newer metadata. */
	gateway_publish(g, NEXT_A, NULL);
	prove_it(g, unit, ret);
	after = newest(g, "installer/trust");
	assert_memory_equal(&trust, &after, sizeof trust);
	after = newest(g, "installer");
	assert_memory_equal(&own, &after, sizeof own);
}

static void test_changes_nothing(void **state)
{
	struct gateway *g = *state;
	struct result result;

	g->run_unit = prove_and_look;
	assert_int_equal(gateway_upgrade(g, NEW_A, &result), 0);
	assert_int_equal(play.n_trials, 1);
	assert_int_equal(result.outcome, OUTCOME_CONFIRMED);
}

/* ---- without a trial ---- */

static void expect_refused(struct gateway *g, const char *own)
{
	struct service_end end = { 0 };

	play.own = own;
	free(TAKE_PTR(play.status));
	prove_it(g, "updaterd-trial.service", &end);
	assert_true(play.r < 0);
	assert_int_equal(play.failure.reason, REASON_INTERNAL);
	assert_null(play.status);
}

static void test_nothing_under_way(void **state)
{
	struct result result;

	assert_int_equal(gateway_upgrade(*state, NEW_A, &result), 0);
	assert_int_equal(result.outcome, OUTCOME_CONFIRMED);
	expect_refused(*state, OLD_A);
	expect_refused(*state, NEW_A);
}

/* B is on trial: no updater has anything to prove. */
static void set_trial_of_b(struct gateway *g)
{
	_cleanup_(journal_closep) struct journal *journal = NULL;
	_cleanup_close_ int fd = gateway_open(g, "installer", O_RDONLY | O_DIRECTORY);
	static const char *const lines[][2] = {
		{ "state", "trial" }, { "txid", "6b1f0f0e-1111-4222-8333-444455556666" },
		{ "program", "B" },   { "kind", "upgrade" },
		{ "from", OLD_B },    { "to", NEW_B }
	};

	assert_int_equal(journal_open(fd, &journal), 0);
	for (size_t i = 0; i < ELEMENTSOF(lines); i++)
		assert_int_equal(journal_set(journal, lines[i][0], lines[i][1]), 0);
	assert_int_equal(journal_write(journal), 0);
}

static void test_trial_of_another_program(void **state)
{
	struct result result;

	assert_int_equal(gateway_upgrade(*state, NEW_A, &result), 0);
	set_trial_of_b(*state);
	expect_refused(*state, NEW_A);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_proves_itself),
		TEST(test_by_patch),
		TEST(test_rollback_is_no_trial),
		TEST(test_built_as_another_version),
		TEST(test_other_bytes_on_the_disk),
		TEST(test_nothing_signed),
		TEST(test_no_place_for_the_proof),
		TEST(test_journal_without_target),
		TEST(test_changes_nothing),
		TEST(test_nothing_under_way),
		TEST(test_trial_of_another_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
