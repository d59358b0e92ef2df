/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/transaction.h"

#include "gateway.h"

#include <errno.h>
#include <stdio.h>

#include "common/json.h"
#include "updaterd/recover.h"
#include "updaterd/swap.h"

/* ---- faults ---- */

static int64_t now_sec;

int64_t __wrap_conf_effective_time_sec(int64_t last_trusted_sec);
int64_t __wrap_conf_effective_time_sec(int64_t last_trusted_sec)
{
	(void)last_trusted_sec;
	return now_sec;
}

/* The n-th call from now on fails; 0: none does. */
static unsigned fail_renameat, fail_syncfs, fail_fdatasync, fail_fsync;
static int space_error;
static unsigned n_space_errors;
static bool is_hopeless;

static bool is_due(unsigned *countdown)
{
	return *countdown > 0 && --*countdown == 0;
}

/* Nothing is cut here, so nothing has to reach the disk. */
static int sync_or_fail(int fd, unsigned *countdown)
{
	assert_true(fd >= 0);
	errno = EIO;
	return is_due(countdown) ? -1 : 0;
}

/* What the journal said when `current` was flipped for the first time. */
static int installer_fd = FD_NONE;
static enum journal_state state_at_flip;

static void look_at_journal(void)
{
	_cleanup_(journal_closep) struct journal *journal = NULL;

	if (installer_fd < 0)
		return;
	assert_int_equal(journal_load(installer_fd, &journal), 0);
	state_at_flip = journal_state(journal);
	close_fd(&installer_fd);
	installer_fd = FD_NONE;
}

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	if (strcmp(to, SWAP_CURRENT) == 0) {
		look_at_journal();
		if (is_due(&fail_renameat)) {
			errno = EIO;
			return -1;
		}
	}
	return __real_renameat(from_fd, from, to_fd, to);
}

int __wrap_syncfs(int fd);
int __wrap_syncfs(int fd)
{
	return sync_or_fail(fd, &fail_syncfs);
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	return sync_or_fail(fd, &fail_fdatasync);
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	return sync_or_fail(fd, &fail_fsync);
}

int __real_store_check_space(const struct store *s, uint64_t unpacked_bytes);
int __wrap_store_check_space(const struct store *s, uint64_t unpacked_bytes);
int __wrap_store_check_space(const struct store *s, uint64_t unpacked_bytes)
{
	if (n_space_errors > 0) {
		n_space_errors--;
		return -ENOSPC;
	}
	return space_error ? space_error : __real_store_check_space(s, unpacked_bytes);
}

int __real_store_would_free_enough(const struct store *s, const struct version *version,
				   uint64_t unpacked_bytes);
int __wrap_store_would_free_enough(const struct store *s, const struct version *version,
				   uint64_t unpacked_bytes);
int __wrap_store_would_free_enough(const struct store *s, const struct version *version,
				   uint64_t unpacked_bytes)
{
	return is_hopeless ? 0 : __real_store_would_free_enough(s, version, unpacked_bytes);
}

static int setup(void **state)
{
	fail_renameat = fail_syncfs = fail_fdatasync = fail_fsync = 0;
	space_error = 0;
	n_space_errors = 0;
	is_hopeless = false;
	now_sec = REPO_NOW_SEC;
	return gateway_setup(state);
}

/* ---- helpers ---- */

static void expect_result(const struct result *r, enum outcome outcome, enum step step,
			  enum reason reason)
{
	if (r->outcome != outcome || r->step != step || r->failure.reason != reason)
		fail_msg("%s %s %s '%s', not %s %s %s", outcome_name(r->outcome),
			 step_name(r->step), reason_name(r->failure.reason), r->failure.text,
			 outcome_name(outcome), step_name(step), reason_name(reason));
}

static char *journal_value(struct gateway *g, const char *key)
{
	_cleanup_(state_closep) struct state *s = NULL;
	const char *value;

	assert_int_equal(state_open(&g->conf, STATE_READ, &s), 0);
	value = journal_get(s->journal, key);
	return strdup(value ? value : "");
}

static void expect_journal(struct gateway *g, const char *key, const char *value)
{
	_cleanup_free_ char *found = journal_value(g, key);

	assert_string_equal(found, value);
}

static void expect_journal_number(struct gateway *g, const char *key, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	expect_journal(g, key, text);
}

static void expect_kept(struct gateway *g, const struct result *r, const char *what)
{
	_cleanup_(state_closep) struct state *s = NULL;
	_cleanup_(result_list_freep) char **list = NULL;
	size_t n = 0;

	assert_int_equal(state_open(&g->conf, STATE_READ, &s), 0);
	assert_int_equal(result_list(s->dirfd, &list), 0);
	while (list[n])
		n++;
	assert_true(n > 0);
	assert_non_null(strstr(list[n - 1], r->txid));
	if (!strstr(list[n - 1], what))
		fail_msg("%s: no %s", list[n - 1], what);
}

static void upgrade_well(struct gateway *g, const char *version)
{
	struct result r;

	gateway_publish(g, version, NULL);
	assert_int_equal(gateway_upgrade(g, version, &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_NONE);
}

/* ---- it goes well ---- */

static void test_upgrades(void **state)
{
	struct gateway *g = *state;
	struct result r;

	g->before_output = "{\"cells\":13}";
	gateway_publish(g, NEW_B, NULL);
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_NONE);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	gateway_expect_order(g);
	expect_journal(g, "floor_B", NEW_B);
	assert_int_equal(g->n_restarts, 1);
	assert_string_equal(g->last_started, NEW_B);
	assert_string_equal(g->last_baseline, "{\"cells\":13}");
	assert_non_null(strstr(g->last_probe_release, "/b/releases/" OLD_B));
	assert_int_equal(r.downtime_ms, 100);
	assert_int_equal(gateway_count(g, "b/backups"), 2);
	expect_kept(g, &r, "\"outcome\":\"confirmed\"");
	expect_kept(g, &r, "\"versions\":{\"A\":\"" OLD_A "\",\"B\":\"" NEW_B "\"}");
	expect_kept(g, &r, "\"from\":\"" OLD_B "\",\"to\":\"" NEW_B "\"");
}

static void test_upgrades_again_and_keeps_two(void **state)
{
	struct gateway *g = *state;

	upgrade_well(g, NEW_B);
	upgrade_well(g, NEXT_B);
	gateway_expect_links(g, 'B', NEXT_B, NEW_B);
	gateway_expect_order(g);
	assert_int_equal(gateway_count(g, "b/releases"), 2);
}

/* Intent before effect: recovery must know of a flip that it finds. */
static void test_flips_only_what_the_journal_knows(void **state)
{
	struct gateway *g = *state;

	gateway_publish(g, NEW_B, NULL);
	upgrade_well(g, NEW_A);
	installer_fd = gateway_open(g, "installer", O_RDONLY | O_DIRECTORY);
	upgrade_well(g, NEW_B);
	assert_int_equal(installer_fd, FD_NONE);
	assert_int_equal(state_at_flip, JOURNAL_TRIAL);
}

/* No unit, no probe: confirmed when the link reads back. */
static void test_upgrades_the_updater(void **state)
{
	struct gateway *g = *state;

	upgrade_well(g, NEW_A);
	gateway_expect_links(g, 'A', NEW_A, OLD_A);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	assert_int_equal(g->n_restarts, 0);
	assert_int_equal(g->n_probes, 0);
}

struct told {
	unsigned n_recorded, last_percent;
	char steps[256];
	enum step step;
};

static void hear_recorded(void *userdata)
{
	struct told *told = userdata;

	assert_int_equal(told->step, STEP_NONE);
	told->n_recorded++;
}

static void hear_progress(void *userdata, enum step step, unsigned percent)
{
	struct told *told = userdata;

	assert_true(percent >= told->last_percent && percent <= 100);
	told->last_percent = percent;
	if (step == told->step)
		return;
	told->step = step;
	(void)strcat(strcat(told->steps, step_name(step)), " ");
}

static void test_tells_its_story(void **state)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct gateway *g = *state;
	struct told told = { 0 };
	const struct transaction_hooks hooks = { .recorded = hear_recorded,
						 .progress = hear_progress,
						 .userdata = &told };
	_cleanup_close_ int metadata_fd = FD_NONE, program_fd = FD_NONE;
	struct transaction_request request = { .program = 'B' };
	struct result r;

	gateway_publish(g, NEW_B, NULL);
	metadata_fd = gateway_open(g, "metadata", O_RDONLY | O_DIRECTORY);
	program_fd = gateway_open(g, "files/" NEW_B, O_RDONLY);
	request.metadata_fd = metadata_fd;
	request.program_fd = program_fd;
	request.target = gateway_target(NEW_B);
	assert_int_equal(txid_new(request.txid), 0);
	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(transaction_run(s, gateway_service(g), &request, &hooks, &r), 0);
	assert_int_equal(told.n_recorded, 1);
	assert_string_equal(told.steps, "check stage backup swap restart probe confirm ");
	assert_int_equal(told.last_percent, 100);
	/* The same txid never runs twice. */
	assert_int_equal(transaction_run(s, gateway_service(g), &request, &hooks, &r), -EEXIST);
	assert_int_equal(told.n_recorded, 1);
}

/* ---- refused, postponed, failed: nothing was touched ---- */

static void expect_untouched(struct gateway *g)
{
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	assert_int_equal(g->n_restarts, 0);
	expect_journal(g, "floor_B", "");
	expect_journal(g, "failures_B", "");
}

static void expect_ends_before_swap(struct gateway *g, enum outcome outcome, enum step step,
				    enum reason reason)
{
	struct result r;

	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, outcome, step, reason);
	expect_untouched(g);
	expect_kept(g, &r, reason_name(reason));
}

static void test_refuses_what_is_not_signed(void **state)
{
	struct gateway *g = *state;

	gateway_publish(g, NEW_B, NULL);
	repo_set_signers(g->repo, "B", 1, repo_new_key(g->repo));
	repo_next(g->repo);
	gateway_write_metadata(g);
	expect_ends_before_swap(g, OUTCOME_REFUSED, STEP_CHECK, REASON_BAD_SIGNATURE);
}

static void test_refuses_another_file_than_was_signed(void **state)
{
	struct gateway *g = *state;
	char byte;
	int fd;

	gateway_publish(g, NEW_B, NULL);
	fd = gateway_open(g, "files/" NEW_B, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, 40), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, 40), 1);
	(void)close(fd);
	expect_ends_before_swap(g, OUTCOME_REFUSED, STEP_STAGE, REASON_HASH);
}

static void test_refuses_the_same_version(void **state)
{
	struct gateway *g = *state;
	struct result r;

	gateway_publish(g, OLD_B, NULL);
	assert_int_equal(gateway_upgrade(g, OLD_B, &r), 0);
	expect_result(&r, OUTCOME_REFUSED, STEP_CHECK, REASON_OLDER_VERSION);
	expect_untouched(g);
}

static void test_waits_when_the_program_asks(void **state)
{
	struct gateway *g = *state;

	g->before = PROBE_NOT_NOW;
	g->before_output = "{\"reasons\":[\"the motorcycle is being ridden\"]}";
	gateway_publish(g, NEW_B, NULL);
	expect_ends_before_swap(g, OUTCOME_POSTPONED, STEP_CHECK, REASON_NOT_NOW);
	g->before = PROBE_GOOD;
	upgrade_well(g, NEW_B);
}

/* A probe that is broken in the old version must not keep the new one out. */
static void test_goes_on_without_a_baseline(void **state)
{
	struct gateway *g = *state;

	g->before = PROBE_NO_ANSWER;
	upgrade_well(g, NEW_B);
	assert_string_equal(g->last_baseline, "");
	g->before = PROBE_GOOD;
	g->before_output = "no JSON";
	upgrade_well(g, NEXT_B);
	assert_string_equal(g->last_baseline, "");
}

static void test_fails_without_space(void **state)
{
	struct gateway *g = *state;

	space_error = -ENOSPC;
	gateway_publish(g, NEW_B, NULL);
	expect_ends_before_swap(g, OUTCOME_FAILED, STEP_CHECK, REASON_NO_SPACE);
}

/* Where no result can be written the journal keeps why, rather than that it was interrupted. */
static void expect_reason_to_last(struct gateway *g, enum step step, enum reason reason)
{
	_cleanup_(state_closep) struct state *s = NULL;
	_cleanup_free_ char *json = NULL;
	char expected[128];
	struct result r;

	(void)snprintf(expected, sizeof expected,
		       "\"outcome\":\"failed\",\"step\":\"%s\",\"reason\":\"%s\"", step_name(step),
		       reason_name(reason));
	gateway_publish(g, NEW_B, NULL);
	scratch_text(g->scratch->dirfd, "installer/results", "in the way", 0600);
	assert_true(gateway_upgrade(g, NEW_B, &r) < 0);
	assert_int_equal(unlinkat(g->scratch->dirfd, "installer/results", 0), 0);
	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(recover(s, gateway_service(g), false), 0);
	assert_int_equal(result_find(s->dirfd, r.txid, &json), 0);
	if (!strstr(json, expected))
		fail_msg("%s: no %s", json, expected);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
}

static void test_a_full_disk_is_told_in_the_end(void **state)
{
	space_error = -ENOSPC;
	expect_reason_to_last(*state, STEP_CHECK, REASON_NO_SPACE);
}

static void test_a_failed_flip_is_told_in_the_end(void **state)
{
	fail_renameat = 1;
	expect_reason_to_last(*state, STEP_SWAP, REASON_IO);
}

static void test_prunes_before_it_asks_for_space(void **state)
{
	struct gateway *g = *state;

	gateway_publish(g, NEW_B, NULL);
	scratch_text(g->scratch->dirfd, "b/releases/.stage-old/x", "", 0444);
	space_error = -ENOSPC;
	expect_ends_before_swap(g, OUTCOME_FAILED, STEP_CHECK, REASON_NO_SPACE);
}

static void damage(struct gateway *g)
{
	(void)unlinkat(g->scratch->dirfd, "b/releases/" OLD_B "/bin/program", 0);
	scratch_text(g->scratch->dirfd, "b/releases/" OLD_B "/bin/program", "changed", 0555);
}

static void test_a_damaged_running_release_is_said(void **state)
{
	struct gateway *g = *state;
	struct result r;

	gateway_publish(g, NEW_B, NULL);
	gateway_publish_patch(g, OLD_B, NEW_B, NULL, 0, NULL);
	damage(g);
	assert_int_equal(gateway_upgrade_by_patch(g, OLD_B, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_FAILED, STEP_STAGE, REASON_DAMAGED);
	gateway_expect_links(g, 'B', OLD_B, "");
	assert_int_equal(gateway_count(g, "b/releases"), 1);
	assert_int_equal(g->n_restarts, 0);
}

/* There is nothing to go back to, and what is damaged is not to stay for that. */
static void test_a_damaged_running_release_is_replaced_without_backup(void **state)
{
	struct gateway *g = *state;
	struct result r;

	gateway_publish(g, NEW_B, NULL);
	damage(g);
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_NONE);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	assert_int_equal(gateway_count(g, "b/backups"), 0);
}

/* ---- patches ---- */

static void test_upgrades_by_patch(void **state)
{
	struct gateway *g = *state;
	struct result r;

	gateway_publish_patch(g, OLD_B, NEW_B, NULL, 0, NULL);
	assert_int_equal(gateway_upgrade_by_patch(g, OLD_B, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_NONE);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	gateway_expect_order(g);
	expect_kept(g, &r, "\"file\":\"patch\"");
	expect_kept(g, &r, "\"kind\":\"upgrade\"");
	upgrade_well(g, NEXT_B);
	assert_int_equal(gateway_count(g, "b/backups"), 2);
}

static void test_a_bad_patch_changes_nothing(void **state)
{
	struct gateway *g = *state;
	struct result r;

	gateway_publish_patch(g, OLD_B, NEW_B, "no patch, though it was signed as one", 37, NULL);
	assert_int_equal(gateway_upgrade_by_patch(g, OLD_B, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_REFUSED, STEP_STAGE, REASON_BAD_PATCH);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	assert_int_equal(g->n_restarts, 0);
	expect_kept(g, &r, "\"file\":\"patch\"");
	upgrade_well(g, NEW_B);
	expect_journal(g, "floor_B", NEW_B);
}

static void test_a_patch_from_another_version_changes_nothing(void **state)
{
	struct gateway *g = *state;
	struct result r;

	gateway_publish_patch(g, NEW_B, NEXT_B, NULL, 0, NULL);
	assert_int_equal(gateway_upgrade_by_patch(g, NEW_B, NEXT_B, &r), 0);
	expect_result(&r, OUTCOME_REFUSED, STEP_CHECK, REASON_BASE_DIFFERS);
	gateway_expect_order(g);
}

/* ---- repair ---- */

static void test_repairs_what_runs(void **state)
{
	struct gateway *g = *state;
	struct result r;

	upgrade_well(g, NEW_B);
	gateway_publish(g, OLD_B, NULL);
	scratch_text(g->scratch->dirfd, "b/releases/" NEW_B "/bin/program", "changed", 0555);
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_NONE);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	gateway_expect_order(g);
	assert_int_equal(g->n_restarts, 2);
	expect_kept(g, &r, "\"kind\":\"repair\"");
	expect_kept(g, &r, "\"from\":\"" NEW_B "\",\"to\":\"" NEW_B "\"");
	expect_journal(g, "floor_B", NEW_B);
}

static void test_repairs_only_what_is_damaged(void **state)
{
	struct gateway *g = *state;
	struct result r;

	gateway_publish(g, OLD_B, NULL);
	gateway_publish_patch(g, OLD_B, OLD_B, NULL, 0, NULL);
	assert_int_equal(gateway_upgrade(g, OLD_B, &r), 0);
	expect_result(&r, OUTCOME_REFUSED, STEP_CHECK, REASON_OLDER_VERSION);
	expect_kept(g, &r, "\"kind\":\"upgrade\"");
	damage(g);
	assert_int_equal(gateway_upgrade_by_patch(g, OLD_B, OLD_B, &r), 0);
	expect_result(&r, OUTCOME_REFUSED, STEP_CHECK, REASON_OLDER_VERSION);
}

/* A person went back below the floor, and what runs there is repaired as well. */
static void test_repairs_below_the_floor(void **state)
{
	struct gateway *g = *state;
	struct result r;

	upgrade_well(g, NEW_B);
	assert_int_equal(gateway_rollback(g, 'B', &r), 0);
	gateway_publish(g, OLD_B, NULL);
	damage(g);
	assert_int_equal(gateway_upgrade(g, OLD_B, &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_NONE);
	gateway_expect_links(g, 'B', OLD_B, NEW_B);
	expect_journal(g, "floor_B", NEW_B);
}

static void test_a_repair_that_does_not_run_is_said(void **state)
{
	struct gateway *g = *state;
	struct result r;

	gateway_publish(g, OLD_B, NULL);
	damage(g);
	g->odd_version = OLD_B;
	g->odd = PROBED_BAD;
	assert_int_equal(gateway_upgrade(g, OLD_B, &r), 0);
	expect_result(&r, OUTCOME_FAILED, STEP_PROBE, REASON_UNHEALTHY);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
}

static void test_no_repair_while_now_is_no_good_time(void **state)
{
	struct gateway *g = *state;
	struct result r;

	gateway_publish(g, OLD_B, NULL);
	damage(g);
	g->before = PROBE_NOT_NOW;
	assert_int_equal(gateway_upgrade(g, OLD_B, &r), 0);
	expect_result(&r, OUTCOME_POSTPONED, STEP_CHECK, REASON_NOT_NOW);
	assert_int_equal(g->n_restarts, 0);
}

/* Whichever write fails: the next attempt finds it damaged still, or there is nothing left to repair. */
static void test_a_repair_may_fail_anywhere(void **state)
{
	struct gateway *g = *state;
	unsigned n_repaired = 0;

	gateway_publish(g, OLD_B, NULL);
	/* The first four are those of the recovery before. */
	for (unsigned n = 5; n < 40; n++) {
		struct result r;
		int ret;

		damage(g);
		fail_fsync = n;
		ret = gateway_upgrade(g, OLD_B, &r);
		fail_fsync = 0;
		n_repaired += ret == 0 && r.outcome == OUTCOME_CONFIRMED;
		gateway_expect_links(g, 'B', OLD_B, "");
		(void)!gateway_upgrade(g, OLD_B, &r);
		gateway_expect_order(g);
	}
	assert_true(n_repaired > 5 && n_repaired < 35);
}

static void test_an_io_error_before_the_commit_point_changes_nothing(void **state)
{
	struct gateway *g = *state;

	gateway_publish(g, NEW_B, NULL);
	fail_syncfs = 1;
	expect_ends_before_swap(g, OUTCOME_FAILED, STEP_SWAP, REASON_IO);
	fail_renameat = 1;
	expect_ends_before_swap(g, OUTCOME_FAILED, STEP_SWAP, REASON_IO);
	upgrade_well(g, NEW_B);
}

/* `previous` is flipped when the next write to the journal fails: it has to come back too. */
static void test_previous_comes_back_too(void **state)
{
	struct gateway *g = *state;
	struct result r;

	upgrade_well(g, NEW_B);
	gateway_publish(g, NEXT_B, NULL);
	fail_renameat = 1;
	assert_int_equal(gateway_upgrade(g, NEXT_B, &r), 0);
	expect_result(&r, OUTCOME_FAILED, STEP_SWAP, REASON_IO);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	gateway_expect_order(g);
	assert_int_equal(g->n_restarts, 1);
}

static void test_nothing_begins_that_cannot_be_recorded(void **state)
{
	struct gateway *g = *state;
	struct result r;

	gateway_publish(g, NEW_B, NULL);
	upgrade_well(g, NEW_A);
	gateway_publish(g, NEW_B, NULL);
	fail_fdatasync = 1;
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), -EIO);
	assert_int_equal(r.failure.reason, REASON_IO);
	gateway_expect_links(g, 'B', OLD_B, "");
}

static void test_one_attempt_at_a_time(void **state)
{
	struct transaction_request request = { .program = 'B', .is_rollback = true };
	_cleanup_(state_closep) struct state *s = NULL, *other = NULL;
	struct gateway *g = *state;
	struct result r;

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(state_open(&g->conf, STATE_TRY, &other), -EBUSY);
	assert_int_equal(journal_set(s->journal, "state", "trial"), 0);
	assert_int_equal(txid_new(request.txid), 0);
	assert_int_equal(transaction_run(s, gateway_service(g), &request, NULL, &r), -EBUSY);
	assert_int_equal(r.failure.reason, REASON_BUSY);
}

static void test_there_is_no_such_program(void **state)
{
	struct gateway *g = *state;
	struct result r;

	assert_int_equal(gateway_rollback(g, 'C', &r), -ENOENT);
	assert_int_equal(r.failure.reason, REASON_WRONG_PROGRAM);
}

/* ---- rolled back ---- */

static void expect_rolled_back(struct gateway *g, enum behaviour odd, enum step step,
			       enum reason reason)
{
	struct result r;

	g->odd_version = NEW_B;
	g->odd = odd;
	gateway_publish(g, NEW_B, NULL);
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_ROLLED_BACK, step, reason);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	assert_int_equal(g->n_restarts, 2);
	assert_string_equal(g->last_started, OLD_B);
	expect_journal(g, "floor_B", "");
	expect_journal(g, "failures_B", NEW_B ":1");
	expect_kept(g, &r, "\"outcome\":\"rolled_back\"");
	expect_kept(g, &r, "\"B\":\"" OLD_B "\"}");
}

static void test_rolls_back_what_exits(void **state)
{
	expect_rolled_back(*state, EXITS_AT_ONCE, STEP_RESTART, REASON_EXITED);
}

static void test_rolls_back_what_is_never_ready(void **state)
{
	expect_rolled_back(*state, NEVER_READY, STEP_RESTART, REASON_NOT_READY);
}

static void test_rolls_back_what_crashes(void **state)
{
	expect_rolled_back(*state, CRASHES_AFTER_READY, STEP_PROBE, REASON_CRASHED);
}

static void test_rolls_back_what_the_probe_calls_bad(void **state)
{
	struct gateway *g = *state;
	struct result r = { 0 };

	expect_rolled_back(g, PROBED_BAD, STEP_PROBE, REASON_UNHEALTHY);
	g->n_restarts = 0;
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_kept(g, &r, "cell 3 is gone");
}

static void test_rolls_back_what_the_probe_never_calls_good(void **state)
{
	struct gateway *g = *state;

	expect_rolled_back(g, PROBED_NEVER_YES, STEP_PROBE, REASON_UNHEALTHY);
	/* Until the deadline, and no longer. */
	assert_true(g->n_probes > 5);
	assert_in_range(g->clock_msec, 1020000, 1022000);
}

static void test_rolls_back_another_version(void **state)
{
	expect_rolled_back(*state, PROBED_WRONG_VERSION, STEP_PROBE, REASON_WRONG_VERSION);
}

static void test_rolls_back_what_cannot_be_probed(void **state)
{
	expect_rolled_back(*state, PROBE_DOES_NOT_RUN, STEP_PROBE, REASON_PROBE_FAILED);
}

static void test_counts_all_the_time_it_was_away(void **state)
{
	struct gateway *g = *state;
	struct result r;

	g->odd_version = NEW_B;
	g->odd = NEVER_READY;
	gateway_publish(g, NEW_B, NULL);
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	/* 10 s until it was given up, and the old one's start. */
	assert_int_equal(r.downtime_ms, 10100);
	g->odd = PROBED_BAD;
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	/* Two starts; in between it ran. */
	assert_int_equal(r.downtime_ms, 200);
}

static void test_the_older_previous_comes_back(void **state)
{
	struct gateway *g = *state;
	struct result r;

	upgrade_well(g, NEW_B);
	g->odd_version = NEXT_B;
	g->odd = EXITS_AT_ONCE;
	gateway_publish(g, NEXT_B, NULL);
	assert_int_equal(gateway_upgrade(g, NEXT_B, &r), 0);
	expect_result(&r, OUTCOME_ROLLED_BACK, STEP_RESTART, REASON_EXITED);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	gateway_expect_order(g);
	expect_journal(g, "floor_B", NEW_B);
}

static void test_three_failures_and_no_more(void **state)
{
	struct gateway *g = *state;
	struct result r;

	g->odd_version = NEW_B;
	g->odd = EXITS_AT_ONCE;
	gateway_publish(g, NEW_B, NULL);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
		expect_result(&r, OUTCOME_ROLLED_BACK, STEP_RESTART, REASON_EXITED);
		if (i < 3)
			expect_journal(g, "quarantine_B", "");
	}
	expect_journal(g, "quarantine_B", NEW_B);
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_REFUSED, STEP_CHECK, REASON_QUARANTINED);
	assert_int_equal(g->n_restarts, 6);
	/* A newer one is another matter, and ends it. */
	upgrade_well(g, NEXT_B);
	expect_journal(g, "quarantine_B", "");
	expect_journal(g, "failures_B", "");
}

static void test_a_disk_that_fails_is_not_the_releases_fault(void **state)
{
	struct gateway *g = *state;
	struct result r;

	gateway_publish(g, NEW_B, NULL);
	/* ACCEPTED, STAGING, READY, TRIAL pass; CONFIRMED does not. */
	fail_fdatasync = 5;
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_ROLLED_BACK, STEP_CONFIRM, REASON_IO);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	expect_journal(g, "failures_B", "");
	expect_journal(g, "floor_B", "");
	upgrade_well(g, NEW_B);
}

static void fail_once(struct gateway *g, const char *version)
{
	struct result r;

	g->odd_version = version;
	g->odd = EXITS_AT_ONCE;
	assert_int_equal(gateway_upgrade(g, version, &r), 0);
	expect_result(&r, OUTCOME_ROLLED_BACK, STEP_RESTART, REASON_EXITED);
}

/* A query server that names two bad releases in turn does not get them tried for ever. */
static void test_bad_releases_in_turn_are_counted_each(void **state)
{
	struct gateway *g = *state;
	struct result r;

	gateway_publish(g, NEW_B, NULL);
	gateway_publish(g, NEXT_B, NULL);
	for (unsigned i = 0; i < 3; i++) {
		fail_once(g, NEW_B);
		fail_once(g, NEXT_B);
	}
	expect_journal(g, "quarantine_B", NEW_B " " NEXT_B);
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_REFUSED, STEP_CHECK, REASON_QUARANTINED);
	assert_int_equal(gateway_upgrade(g, NEXT_B, &r), 0);
	expect_result(&r, OUTCOME_REFUSED, STEP_CHECK, REASON_QUARANTINED);
}

static void test_a_person_lets_it_in_again(void **state)
{
	struct version version = gateway_version(NEW_B);
	struct gateway *g = *state;
	struct result r;

	gateway_publish(g, NEW_B, NULL);
	for (unsigned i = 0; i < 3; i++)
		fail_once(g, NEW_B);
	{
		_cleanup_(state_closep) struct state *s = NULL;

		assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
		assert_true(state_is_quarantined(s, &version));
		assert_int_equal(state_pardon(s, &version), 0);
		assert_false(state_is_quarantined(s, &version));
		assert_int_equal(journal_write(s->journal), 0);
	}
	expect_journal(g, "failures_B", "");
	g->odd_version = NULL;
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_NONE);
}

/* More than are remembered: the newest stay. */
static void test_memory_is_bounded(void **state)
{
	struct version versions[STATE_MAX_REMEMBERED], v;
	_cleanup_(state_closep) struct state *s = NULL;
	struct gateway *g = *state;
	char text[VERSION_LENGTH + 1];
	bool is_quarantined;

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	for (unsigned i = 1; i <= STATE_MAX_REMEMBERED + 2; i++) {
		(void)snprintf(text, sizeof text, "B20210901%04u", i);
		v = gateway_version(text);
		assert_int_equal(state_set_quarantine(s, &v), 0);
		assert_int_equal(state_count_failure(s, &v, &is_quarantined), 0);
		assert_int_equal(state_failures(s, &v), 1);
	}
	assert_int_equal(state_quarantined(s, 'B', versions), STATE_MAX_REMEMBERED);
	v = gateway_version("B202109010002");
	assert_false(state_is_quarantined(s, &v));
	assert_int_equal(state_failures(s, &v), 0);
	v = gateway_version("B202109010003");
	assert_true(state_is_quarantined(s, &v));
	assert_int_equal(journal_set(s->journal, "failures_B",
				     "rubbish B202109010003:9 A202109010003:1 B202109010003:2x "
				     "B202109010005:2"),
			 0);
	assert_int_equal(state_failures(s, &v), 0);
	v = gateway_version("B202109010005");
	assert_int_equal(state_failures(s, &v), 2);
}

/* A probe_user that does not exist must not put every release into quarantine. */
static void test_a_probe_that_never_ran_is_not_the_releases_fault(void **state)
{
	struct gateway *g = *state;
	struct result r;

	g->before = PROBE_NO_ANSWER;
	g->odd_version = NEW_B;
	g->odd = PROBE_DOES_NOT_RUN;
	gateway_publish(g, NEW_B, NULL);
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_ROLLED_BACK, STEP_PROBE, REASON_PROBE_FAILED);
	expect_journal(g, "failures_B", "");
}

/* ---- a person rolls back ---- */

static void test_a_person_goes_back(void **state)
{
	struct gateway *g = *state;
	struct result r;

	upgrade_well(g, NEW_B);
	g->n_probes = 0;
	assert_int_equal(gateway_rollback(g, 'B', &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_OPERATOR);
	assert_string_equal(r.kind, "rollback");
	gateway_expect_links(g, 'B', OLD_B, NEW_B);
	gateway_expect_order(g);
	assert_string_equal(g->last_started, OLD_B);
	/* No question before, and the version that is gone back to judges. */
	assert_int_equal(g->n_probes, 1);
	assert_non_null(strstr(g->last_probe_release, "/b/releases/" OLD_B));
	/* The next cycle must not undo what a person did. */
	expect_journal(g, "quarantine_B", NEW_B);
	expect_journal(g, "floor_B", NEW_B);
	gateway_publish(g, NEW_B, NULL);
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_REFUSED, STEP_CHECK, REASON_QUARANTINED);
	upgrade_well(g, NEXT_B);
	gateway_expect_order(g);
}

static void test_a_person_goes_back_and_forth(void **state)
{
	struct gateway *g = *state;
	struct result r;

	upgrade_well(g, NEW_B);
	gateway_publish(g, NEXT_B, NULL);
	for (unsigned i = 0; i < 3; i++)
		fail_once(g, NEXT_B);
	assert_int_equal(gateway_rollback(g, 'B', &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_OPERATOR);
	/* What is in quarantine already stays there. */
	expect_journal(g, "quarantine_B", NEXT_B " " NEW_B);
	assert_int_equal(gateway_upgrade(g, NEXT_B, &r), 0);
	expect_result(&r, OUTCOME_REFUSED, STEP_CHECK, REASON_QUARANTINED);
	assert_int_equal(gateway_rollback(g, 'B', &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_OPERATOR);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	expect_journal(g, "quarantine_B", NEXT_B " " OLD_B);
	expect_journal(g, "floor_B", NEW_B);
}

static void test_a_way_back_that_is_bad_is_undone(void **state)
{
	struct gateway *g = *state;
	struct result r;

	upgrade_well(g, NEW_B);
	g->odd_version = OLD_B;
	g->odd = EXITS_AT_ONCE;
	assert_int_equal(gateway_rollback(g, 'B', &r), 0);
	expect_result(&r, OUTCOME_ROLLED_BACK, STEP_RESTART, REASON_EXITED);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	gateway_expect_order(g);
	assert_string_equal(g->last_started, NEW_B);
	expect_journal(g, "quarantine_B", "");
	expect_journal(g, "failures_B", "");
}

static void test_there_may_be_no_way_back(void **state)
{
	struct gateway *g = *state;
	struct result r;
	size_t n_kept;

	assert_int_equal(gateway_rollback(g, 'B', &r), -ENOENT);
	assert_int_equal(r.failure.reason, REASON_NO_PREVIOUS);
	assert_int_equal(gateway_count(g, "installer/results"), 0);
	upgrade_well(g, NEW_B);
	damage(g);
	scratch_text(g->scratch->dirfd, "b/backups/" OLD_B ".tar.xz", "rubbish", 0600);
	n_kept = gateway_count(g, "installer/results");
	assert_int_equal(gateway_rollback(g, 'B', &r), -EUCLEAN);
	assert_int_equal(r.failure.reason, REASON_DAMAGED);
	assert_non_null(strstr(r.failure.text, "bin/program"));
	assert_int_equal(gateway_count(g, "installer/results"), n_kept);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	expect_journal(g, "state", "idle");
	assert_int_equal(g->n_restarts, 1);
}

/* ---- what a person goes back to is damaged ---- */

static void expect_back_from_backup(struct gateway *g)
{
	struct result r;

	assert_int_equal(gateway_rollback(g, 'B', &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_OPERATOR);
	gateway_expect_links(g, 'B', OLD_B, NEW_B);
	gateway_expect_order(g);
	assert_string_equal(g->last_started, OLD_B);
}

static void test_goes_back_by_the_backup(void **state)
{
	struct gateway *g = *state;

	upgrade_well(g, NEW_B);
	damage(g);
	expect_back_from_backup(g);
}

static void test_goes_back_by_the_backup_of_what_is_gone(void **state)
{
	struct gateway *g = *state;

	upgrade_well(g, NEW_B);
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "b/releases/" OLD_B), 0);
	expect_back_from_backup(g);
}

/* It is sound as a file, and no longer what it was made of. */
static void test_a_backup_of_something_else_is_none(void **state)
{
	struct gateway *g = *state;
	_cleanup_free_ char *bytes = NULL;
	struct result r;
	size_t size;

	upgrade_well(g, NEW_B);
	damage(g);
	bytes = gateway_pack(g, NEXT_B, &size);
	assert_int_equal(unlinkat(g->scratch->dirfd, "b/backups/" OLD_B ".tar.xz", 0), 0);
	scratch_write(g->scratch->dirfd, "b/backups/" OLD_B ".tar.xz", bytes, size, 0600);
	assert_int_equal(gateway_rollback(g, 'B', &r), -EUCLEAN);
	assert_int_equal(r.failure.reason, REASON_DAMAGED);
}

/* Below the floor, as a roll back is; and only what is the previous version. */
static void test_goes_back_with_a_file(void **state)
{
	struct gateway *g = *state;
	struct result r;

	upgrade_well(g, NEW_B);
	gateway_publish(g, OLD_B, NULL);
	damage(g);
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "b/backups/" OLD_B ".tar.xz"), 0);
	assert_int_equal(gateway_rollback_with(g, OLD_B, &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_OPERATOR);
	gateway_expect_links(g, 'B', OLD_B, NEW_B);
	gateway_expect_order(g);
	expect_kept(g, &r, "\"kind\":\"rollback\"");
	expect_kept(g, &r, "\"file\":\"full\"");
	expect_journal(g, "quarantine_B", NEW_B);
	expect_journal(g, "floor_B", NEW_B);
}

static void test_goes_back_with_the_right_file_only(void **state)
{
	struct gateway *g = *state;
	struct result r;

	upgrade_well(g, NEW_B);
	gateway_publish(g, NEXT_B, NULL);
	damage(g);
	assert_int_equal(gateway_rollback_with(g, NEXT_B, &r), 0);
	expect_result(&r, OUTCOME_FAILED, STEP_CHECK, REASON_NO_PREVIOUS);
	assert_int_equal(gateway_rollback_with(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_FAILED, STEP_CHECK, REASON_NO_PREVIOUS);
	/* A file that is not the one that was signed changes nothing, and takes nothing away. */
	gateway_publish(g, OLD_B, NULL);
	scratch_text(g->scratch->dirfd, "files/" OLD_B ".other", "rubbish", 0644);
	assert_int_equal(renameat(g->scratch->dirfd, "files/" OLD_B ".other", g->scratch->dirfd,
				  "files/" OLD_B),
			 0);
	assert_int_equal(gateway_rollback_with(g, OLD_B, &r), 0);
	expect_result(&r, OUTCOME_REFUSED, STEP_STAGE, REASON_LENGTH);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	assert_int_equal(g->n_restarts, 1);
	expect_back_from_backup(g);
}

/* What is sound stays, file or not. */
static void test_goes_back_without_need_of_the_file(void **state)
{
	struct gateway *g = *state;
	struct stat before, after;
	struct result r;

	upgrade_well(g, NEW_B);
	gateway_publish(g, OLD_B, NULL);
	assert_int_equal(fstatat(g->scratch->dirfd, "b/releases/" OLD_B, &before, 0), 0);
	assert_int_equal(gateway_rollback_with(g, OLD_B, &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_OPERATOR);
	assert_int_equal(fstatat(g->scratch->dirfd, "b/releases/" OLD_B, &after, 0), 0);
	assert_int_equal(before.st_ino, after.st_ino);
}

/* ---- a person holds ---- */

static void hold(struct gateway *g, char letter, uint64_t until_sec)
{
	_cleanup_(state_closep) struct state *s = NULL;

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(state_hold(s, letter, until_sec), 0);
	assert_int_equal(journal_write(s->journal), 0);
}

static void test_what_is_held_is_not_upgraded(void **state)
{
	struct gateway *g = *state;
	struct result r;

	gateway_publish(g, NEW_B, NULL);
	hold(g, 'B', STATE_FOREVER);
	expect_journal(g, "held_B", "forever");
	expect_ends_before_swap(g, OUTCOME_POSTPONED, STEP_CHECK, REASON_HELD);
	assert_int_equal(g->n_probes, 0);
	hold(g, 'B', REPO_NOW_SEC + 1);
	expect_ends_before_swap(g, OUTCOME_POSTPONED, STEP_CHECK, REASON_HELD);
	/* The other program is not. */
	upgrade_well(g, NEW_A);
	gateway_publish(g, NEW_B, NULL);
	hold(g, 'B', REPO_NOW_SEC);
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_NONE);
	hold(g, 'B', STATE_FOREVER);
	hold(g, 'B', 0);
	upgrade_well(g, NEXT_B);
}

/* To hold is to keep what runs, and that includes to keep it whole. */
static void test_what_is_held_is_rolled_back_and_repaired(void **state)
{
	struct gateway *g = *state;
	struct result r;

	upgrade_well(g, NEW_B);
	hold(g, 'B', STATE_FOREVER);
	assert_int_equal(gateway_rollback(g, 'B', &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_OPERATOR);
	gateway_publish(g, OLD_B, NULL);
	damage(g);
	assert_int_equal(gateway_upgrade(g, OLD_B, &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_NONE);
	assert_string_equal(r.kind, "repair");
}

/* ---- the program says "not now" for too long ---- */

static void test_a_long_wait_is_told(void **state)
{
	struct gateway *g = *state;
	struct result r;

	g->conf.programs[1].postpone_max_sec = 604800;
	g->before = PROBE_NOT_NOW;
	g->before_output = "{}";
	gateway_publish(g, NEW_B, NULL);
	now_sec = REPO_NOW_SEC;
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_POSTPONED, STEP_CHECK, REASON_NOT_NOW);
	assert_null(strstr(r.failure.text, "hours"));
	expect_journal_number(g, "postponed_B", REPO_NOW_SEC);
	now_sec += 604799;
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	assert_null(strstr(r.failure.text, "hours"));
	expect_journal_number(g, "postponed_B", REPO_NOW_SEC);
	now_sec += 1;
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_POSTPONED, STEP_CHECK, REASON_NOT_NOW);
	expect_kept(g, &r, "so it has said for 168 hours");
	/* At last. */
	g->before = PROBE_GOOD;
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_CONFIRMED, STEP_CONFIRM, REASON_NONE);
	expect_journal(g, "postponed_B", "");
}

/* The clock of the first time was ahead: from then on it would not have been told for years. */
static void test_a_long_wait_survives_the_clock(void **state)
{
	struct gateway *g = *state;
	struct result r;

	g->conf.programs[1].postpone_max_sec = 604800;
	g->before = PROBE_NOT_NOW;
	g->before_output = "{}";
	gateway_publish(g, NEW_B, NULL);
	now_sec = REPO_NOW_SEC + 3600;
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_journal_number(g, "postponed_B", REPO_NOW_SEC + 3600);
	now_sec = REPO_NOW_SEC;
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	assert_null(strstr(r.failure.text, "hours"));
	expect_journal_number(g, "postponed_B", REPO_NOW_SEC);
}

/* ---- room ---- */

/* Room for what is asked for, if only the older release went. */
static void expect_room_from(struct gateway *g, unsigned n_full, const char *previous)
{
	struct result r;

	upgrade_well(g, NEW_B);
	assert_int_equal(gateway_count(g, "b/backups"), 2);
	n_space_errors = n_full;
	gateway_publish(g, NEXT_B, NULL);
	g->odd_version = NEXT_B;
	g->odd = EXITS_AT_ONCE;
	assert_int_equal(gateway_upgrade(g, NEXT_B, &r), 0);
	expect_result(&r, OUTCOME_ROLLED_BACK, STEP_RESTART, REASON_EXITED);
	gateway_expect_links(g, 'B', NEW_B, previous);
	gateway_expect_order(g);
	g->odd_version = NULL;
	upgrade_well(g, NEXT_B);
	gateway_expect_links(g, 'B', NEXT_B, NEW_B);
}

static void test_a_backup_goes_to_make_room(void **state)
{
	/* The first look, and ten after the sweep. */
	expect_room_from(*state, 11, OLD_B);
}

static void test_the_older_release_goes_to_make_room(void **state)
{
	expect_room_from(*state, 21, "");
}

/* Nothing is given up that would not be enough. */
static void test_what_does_not_help_stays(void **state)
{
	struct gateway *g = *state;
	struct result r;

	upgrade_well(g, NEW_B);
	gateway_publish(g, NEXT_B, NULL);
	space_error = -ENOSPC;
	is_hopeless = true;
	assert_int_equal(gateway_upgrade(g, NEXT_B, &r), 0);
	expect_result(&r, OUTCOME_FAILED, STEP_CHECK, REASON_NO_SPACE);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	gateway_expect_order(g);
}

/* ---- a version that once worked ---- */

static void pardon(struct gateway *g, const char *text)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct version version = gateway_version(text);

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(state_pardon(s, &version), 0);
	assert_int_equal(journal_write(s->journal), 0);
}

static void test_a_version_that_once_worked_stays_installable(void **state)
{
	struct gateway *g = *state;
	struct result r;

	upgrade_well(g, NEW_B);
	assert_int_equal(gateway_rollback(g, 'B', &r), 0);
	pardon(g, NEW_B);
	/* It is the floor, and is there already. */
	upgrade_well(g, NEW_B);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	assert_int_equal(gateway_rollback(g, 'B', &r), 0);
	pardon(g, NEW_B);
	/* Also when it is not. */
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "b/releases/" NEW_B), 0);
	upgrade_well(g, NEW_B);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	gateway_expect_order(g);
}

/* ---- errors on the way back ---- */

/* The disk fails when the old one is put back: it is not left stopped, and recovery ends it. */
static void test_a_way_back_that_fails_leaves_nothing_stopped(void **state)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct gateway *g = *state;
	struct result r;

	g->odd_version = NEW_B;
	g->odd = EXITS_AT_ONCE;
	gateway_publish(g, NEW_B, NULL);
	fail_renameat = 2;
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), -EIO);
	assert_int_equal(g->n_restarts, 2);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(recover(s, gateway_service(g), false), 0);
	assert_int_equal(g->n_restarts, 3);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	expect_kept(g, &r,
		    "\"outcome\":\"rolled_back\",\"step\":\"restart\",\"reason\":\"exited\"");
	expect_journal(g, "failures_B", NEW_B ":1");
}

/* ---- called off ---- */

static void expect_shut_down(struct gateway *g, enum behaviour odd, enum step step)
{
	struct result r;

	g->is_going_down = true;
	g->odd_version = NEW_B;
	g->odd = odd;
	gateway_publish(g, NEW_B, NULL);
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_ROLLED_BACK, step, REASON_INTERRUPTED);
	expect_kept(g, &r, "\"detail\":\"the machine was shut down\"");
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	expect_journal(g, "failures_B", "");
	/* Nothing can be started in a machine that goes down, and nothing is left to be said about that. */
	assert_int_equal(g->n_restarts, 1);
}

static void test_a_shut_down_is_not_the_releases_fault(void **state)
{
	expect_shut_down(*state, CRASHES_AFTER_READY, STEP_PROBE);
}

static void test_a_shut_down_while_it_starts_is_not_either(void **state)
{
	expect_shut_down(*state, NEVER_READY, STEP_RESTART);
}

static void test_what_is_good_is_confirmed_in_a_shut_down(void **state)
{
	struct gateway *g = *state;

	g->is_going_down = true;
	upgrade_well(g, NEW_B);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
}

static enum reason call_off_at_once(void *userdata)
{
	(void)userdata;
	return REASON_INTERRUPTED;
}

static enum reason call_off_on_trial(void *userdata)
{
	const struct gateway *g = userdata;

	return g->n_probes >= 2 ? REASON_INTERRUPTED : REASON_NONE;
}

static void test_called_off_before_the_swap(void **state)
{
	struct gateway *g = *state;

	g->called_off = call_off_at_once;
	gateway_publish(g, NEW_B, NULL);
	expect_ends_before_swap(g, OUTCOME_FAILED, STEP_CHECK, REASON_INTERRUPTED);
	g->called_off = NULL;
	upgrade_well(g, NEW_B);
}

static void test_called_off_on_trial(void **state)
{
	struct gateway *g = *state;
	struct result r;

	g->called_off = call_off_on_trial;
	gateway_publish(g, NEW_B, NULL);
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_ROLLED_BACK, STEP_PROBE, REASON_INTERRUPTED);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	expect_journal(g, "failures_B", "");
	assert_int_equal(g->n_restarts, 2);
	assert_string_equal(g->last_started, OLD_B);
}

static void test_an_old_one_that_does_not_start_is_told(void **state)
{
	struct gateway *g = *state;
	struct result r;

	g->all_are_odd = true;
	g->odd = EXITS_AT_ONCE;
	gateway_publish(g, NEW_B, NULL);
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_result(&r, OUTCOME_ROLLED_BACK, STEP_RESTART, REASON_EXITED);
	expect_kept(g, &r, "; and " OLD_B " after the roll back: ended");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, gateway_teardown)
		TEST(test_upgrades),
		TEST(test_upgrades_again_and_keeps_two),
		TEST(test_flips_only_what_the_journal_knows),
		TEST(test_upgrades_the_updater),
		TEST(test_tells_its_story),
		TEST(test_refuses_what_is_not_signed),
		TEST(test_refuses_another_file_than_was_signed),
		TEST(test_refuses_the_same_version),
		TEST(test_waits_when_the_program_asks),
		TEST(test_goes_on_without_a_baseline),
		TEST(test_fails_without_space),
		TEST(test_a_full_disk_is_told_in_the_end),
		TEST(test_a_failed_flip_is_told_in_the_end),
		TEST(test_prunes_before_it_asks_for_space),
		TEST(test_a_damaged_running_release_is_said),
		TEST(test_a_damaged_running_release_is_replaced_without_backup),
		TEST(test_upgrades_by_patch),
		TEST(test_a_bad_patch_changes_nothing),
		TEST(test_a_patch_from_another_version_changes_nothing),
		TEST(test_repairs_what_runs),
		TEST(test_repairs_only_what_is_damaged),
		TEST(test_repairs_below_the_floor),
		TEST(test_a_repair_that_does_not_run_is_said),
		TEST(test_no_repair_while_now_is_no_good_time),
		TEST(test_a_repair_may_fail_anywhere),
		TEST(test_an_io_error_before_the_commit_point_changes_nothing),
		TEST(test_previous_comes_back_too),
		TEST(test_nothing_begins_that_cannot_be_recorded),
		TEST(test_one_attempt_at_a_time),
		TEST(test_there_is_no_such_program),
		TEST(test_rolls_back_what_exits),
		TEST(test_rolls_back_what_is_never_ready),
		TEST(test_rolls_back_what_crashes),
		TEST(test_rolls_back_what_the_probe_calls_bad),
		TEST(test_rolls_back_what_the_probe_never_calls_good),
		TEST(test_rolls_back_another_version),
		TEST(test_rolls_back_what_cannot_be_probed),
		TEST(test_counts_all_the_time_it_was_away),
		TEST(test_the_older_previous_comes_back),
		TEST(test_three_failures_and_no_more),
		TEST(test_a_disk_that_fails_is_not_the_releases_fault),
		TEST(test_bad_releases_in_turn_are_counted_each),
		TEST(test_a_person_lets_it_in_again),
		TEST(test_memory_is_bounded),
		TEST(test_a_probe_that_never_ran_is_not_the_releases_fault),
		TEST(test_a_person_goes_back),
		TEST(test_a_person_goes_back_and_forth),
		TEST(test_a_way_back_that_is_bad_is_undone),
		TEST(test_there_may_be_no_way_back),
		TEST(test_goes_back_by_the_backup),
		TEST(test_goes_back_by_the_backup_of_what_is_gone),
		TEST(test_a_backup_of_something_else_is_none),
		TEST(test_goes_back_with_a_file),
		TEST(test_goes_back_with_the_right_file_only),
		TEST(test_goes_back_without_need_of_the_file),
		TEST(test_what_is_held_is_not_upgraded),
		TEST(test_what_is_held_is_rolled_back_and_repaired),
		TEST(test_a_long_wait_is_told),
		TEST(test_a_long_wait_survives_the_clock),
		TEST(test_a_backup_goes_to_make_room),
		TEST(test_the_older_release_goes_to_make_room),
		TEST(test_what_does_not_help_stays),
		TEST(test_a_version_that_once_worked_stays_installable),
		TEST(test_a_way_back_that_fails_leaves_nothing_stopped),
		TEST(test_an_old_one_that_does_not_start_is_told),
		TEST(test_a_shut_down_is_not_the_releases_fault),
		TEST(test_a_shut_down_while_it_starts_is_not_either),
		TEST(test_what_is_good_is_confirmed_in_a_shut_down),
		TEST(test_called_off_before_the_swap),
		TEST(test_called_off_on_trial),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
