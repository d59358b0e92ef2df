/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/recover.h"

#include "gateway.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>

#include "common/crc32.h"
#include "updaterd/adopt.h"
#include "updaterd/programs.h"
#include "updaterd/record.h"
#include "updaterd/rescue.h"
#include "updaterd/swap.h"
#include "updaterd/updater_trial.h"

#define FORMER_B "B202107010001"
#define TXID	 "6b1f0c1e-0000-4000-8000-000000000001"

static int64_t now_sec;

int64_t __wrap_conf_effective_time_sec(int64_t last_trusted_sec);
int64_t __wrap_conf_effective_time_sec(int64_t last_trusted_sec)
{
	(void)last_trusted_sec;
	return now_sec;
}

/* ---- death before the n-th call that changes anything ---- */

#define DIED 77

static unsigned n_mutations, die_before;

static void mutation(void)
{
	if (++n_mutations == die_before)
		_exit(DIED);
}

#define WRAP(type, name, parameters, arguments)                                                    \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		mutation();                                                                        \
		return __real_##name arguments;                                                    \
	}

WRAP(int, renameat, (int a, const char *b, int c, const char *d), (a, b, c, d))
WRAP(int, renameat2, (int a, const char *b, int c, const char *d, unsigned e), (a, b, c, d, e))
WRAP(int, symlinkat, (const char *a, int b, const char *c), (a, b, c))
WRAP(int, unlinkat, (int a, const char *b, int c), (a, b, c))
WRAP(int, mkdirat, (int a, const char *b, mode_t c), (a, b, c))
WRAP(int, fchmod, (int a, mode_t b), (a, b))
WRAP(ssize_t, write, (int a, const void *b, size_t c), (a, b, c))
WRAP(ssize_t, pwrite64, (int a, const void *b, size_t c, off_t d), (a, b, c, d))

static bool does_fsync_fail, does_fdatasync_fail, does_syncfs_fail;

/* It is processes that die here, not the machine: nothing has to reach the disk. */
#define WRAP_SYNC(name)                                                                            \
	int __wrap_##name(int fd);                                                                 \
	int __wrap_##name(int fd)                                                                  \
	{                                                                                          \
		(void)fd;                                                                          \
		mutation();                                                                        \
		if (!does_##name##_fail)                                                           \
			return 0;                                                                  \
		errno = EIO;                                                                       \
		return -1;                                                                         \
	}

WRAP_SYNC(fsync)
WRAP_SYNC(fdatasync)
WRAP_SYNC(syncfs)

static int setup(void **state)
{
	now_sec = REPO_NOW_SEC;
	die_before = 0;
	does_fsync_fail = does_fdatasync_fail = does_syncfs_fail = false;
	return gateway_setup(state);
}

/* ---- a gateway that stands still ---- */

static int run_recover(struct gateway *g, bool at_boot)
{
	_cleanup_(state_closep) struct state *s = NULL;

	assert_int_equal(state_open(&g->conf, STATE_WAIT, &s), 0);
	return recover(s, gateway_service(g), at_boot);
}

static void upgrade_well(struct gateway *g, const char *version)
{
	struct result r;

	gateway_publish(g, version, NULL);
	assert_int_equal(gateway_upgrade(g, version, &r), 0);
	assert_int_equal(r.outcome, OUTCOME_CONFIRMED);
}

static void judge(struct result *r)
{
	r->step = STEP_RESTART;
	(void)failure_set(&r->failure, 0, REASON_EXITED, "it ended");
}

/* The journal as an upgrade from OLD_B to NEW_B leaves it when it is cut. */
static void leave_journal(struct gateway *g, enum journal_state state, const char *before)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct result r = {
		.txid = TXID,
		.program = 'B',
		.kind = RESULT_KIND_UPGRADE,
		.from = OLD_B,
		.to = NEW_B,
		.step = STEP_SWAP,
	};

	if (state == JOURNAL_ROLLED_BACK)
		judge(&r);
	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(journal_set(s->journal, RECORD_BEFORE_PREVIOUS, before), 0);
	assert_int_equal(record_durably(s->journal, state, &r), 0);
}

static void set_key(struct gateway *g, const char *key, const char *value)
{
	_cleanup_(state_closep) struct state *s = NULL;

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(journal_set(s->journal, key, value), 0);
	assert_int_equal(journal_write(s->journal), 0);
}

static void put_release(struct gateway *g, const char *version)
{
	_cleanup_(store_closep) struct store *store = NULL;
	struct conf_program program = *gateway_program(g, 'B');
	struct failure failure;
	struct version adopted;
	char path[128];

	(void)snprintf(path, sizeof path, "%s", gateway_make_tree(g, version));
	program.factory = path;
	assert_int_equal(store_open(program.space, &store), 0);
	assert_int_equal(adopt_factory(&program, store, &adopted, &failure), 0);
}

static void set_links(struct gateway *g, const char *current, const char *previous)
{
	_cleanup_(store_closep) struct store *store = NULL;
	struct version c = gateway_version(current), p = { 0 };

	if (previous)
		p = gateway_version(previous);
	assert_int_equal(store_open(gateway_program(g, 'B')->space, &store), 0);
	assert_int_equal(swap_back(store_dirfd(store), &c, previous ? &p : NULL), 0);
}

static void expect_result(struct gateway *g, const char *what)
{
	_cleanup_(state_closep) struct state *s = NULL;
	_cleanup_free_ char *json = NULL;

	assert_int_equal(state_open(&g->conf, STATE_READ, &s), 0);
	assert_int_equal(result_find(s->dirfd, TXID, &json), 0);
	if (!strstr(json, what))
		fail_msg("%s: no %s", json, what);
}

static void expect_journal(struct gateway *g, const char *key, const char *value)
{
	_cleanup_(state_closep) struct state *s = NULL;
	const char *found;

	assert_int_equal(state_open(&g->conf, STATE_READ, &s), 0);
	found = journal_get(s->journal, key);
	assert_string_equal(found ? found : "", value);
}

/* ---- each state ---- */

static void test_nothing_to_do(void **state)
{
	struct gateway *g = *state;

	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	assert_int_equal(g->n_restarts, 0);
}

static void expect_failed(struct gateway *g, enum journal_state state, const char *step)
{
	leave_journal(g, state, NULL);
	scratch_text(g->scratch->dirfd, "b/releases/.stage-" TXID "/x", "half", 0444);
	assert_int_equal(run_recover(g, false), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	expect_result(g, "\"outcome\":\"failed\"");
	expect_result(g, "\"reason\":\"interrupted\"");
	expect_result(g, step);
	assert_int_equal(g->n_restarts, 0);
	assert_int_equal(gateway_count(g, "b/releases"), 1);
}

static void test_accepted(void **state)
{
	expect_failed(*state, JOURNAL_ACCEPTED, "\"step\":\"check\"");
}

static void test_staging(void **state)
{
	expect_failed(*state, JOURNAL_STAGING, "\"step\":\"stage\"");
}

static void test_ready(void **state)
{
	struct gateway *g = *state;

	put_release(g, NEW_B);
	expect_failed(g, JOURNAL_READY, "\"step\":\"swap\"");
}

static void test_ready_with_previous_flipped(void **state)
{
	struct gateway *g = *state;

	put_release(g, FORMER_B);
	put_release(g, NEW_B);
	set_links(g, OLD_B, OLD_B);
	leave_journal(g, JOURNAL_READY, FORMER_B);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, FORMER_B);
	gateway_expect_order(g);
}

static void test_trial_before_the_flip(void **state)
{
	struct gateway *g = *state;

	put_release(g, NEW_B);
	set_links(g, OLD_B, OLD_B);
	leave_journal(g, JOURNAL_TRIAL, NULL);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	expect_result(g, "\"outcome\":\"failed\"");
	expect_journal(g, "failures_B", "");
}

static void cut_trial(struct gateway *g, enum journal_state state)
{
	put_release(g, NEW_B);
	set_links(g, NEW_B, OLD_B);
	leave_journal(g, state, NULL);
}

static void test_trial(void **state)
{
	struct gateway *g = *state;

	cut_trial(g, JOURNAL_TRIAL);
	assert_int_equal(run_recover(g, false), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	expect_result(g, "\"outcome\":\"rolled_back\"");
	expect_result(g, "\"reason\":\"interrupted\"");
	expect_journal(g, "failures_B", NEW_B ":1");
	/* What runs may be the new one. */
	assert_int_equal(g->n_restarts, 1);
	assert_string_equal(g->last_started, OLD_B);
}

/* It was bad, and the way back was cut before or after its flip: not an accident of the trial. */
static void expect_judged(struct gateway *g, const char *current, const char *previous)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct result r;

	put_release(g, NEW_B);
	set_links(g, current, previous);
	leave_journal(g, JOURNAL_TRIAL, NULL);
	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(record_load(s->journal, &r), 0);
	judge(&r);
	assert_int_equal(record_durably(s->journal, JOURNAL_TRIAL, &r), 0);
	assert_int_equal(recover(s, gateway_service(g), false), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	expect_result(g, "\"outcome\":\"rolled_back\",\"step\":\"restart\",\"reason\":\"exited\"");
	expect_journal(g, "failures_B", NEW_B ":1");
	assert_string_equal(g->last_started, OLD_B);
}

static void test_a_way_back_before_its_flip(void **state)
{
	expect_judged(*state, NEW_B, OLD_B);
}

static void test_a_way_back_after_its_flip(void **state)
{
	expect_judged(*state, OLD_B, NULL);
}

/* By a shut-down, say, and the power went before the way back was gone. */
static void test_a_trial_that_was_called_off_is_not_counted(void **state)
{
	struct gateway *g = *state;

	cut_trial(g, JOURNAL_TRIAL);
	set_key(g, "outcome", "rolled_back");
	set_key(g, "reason", "interrupted");
	set_key(g, "detail", "the machine was shut down");
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	expect_result(g, "\"reason\":\"interrupted\",\"detail\":\"the machine was shut down\"");
	expect_journal(g, "failures_B", "");
}

static void test_trial_at_boot(void **state)
{
	struct gateway *g = *state;

	cut_trial(g, JOURNAL_TRIAL);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	assert_int_equal(g->n_restarts, 0);
}

/* It lay in a cellar meanwhile: that all metadata has expired, or is gone, is none of recovery's business. */
static void test_trial_at_boot_years_later(void **state)
{
	struct gateway *g = *state;

	upgrade_well(g, NEW_A);
	cut_trial(g, JOURNAL_TRIAL);
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "metadata"), 0);
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "installer/trust"), 0);
	now_sec += INT64_C(10) * 365 * 86400;
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_links(g, 'A', NEW_A, OLD_A);
	expect_result(g, "\"reason\":\"interrupted\"");
}

/* The way back fails: all that it needs stays, until a later recovery can go it. */
static void expect_failed_way_back(struct gateway *g, bool *does_fail)
{
	put_release(g, FORMER_B);
	put_release(g, NEW_B);
	set_links(g, NEW_B, OLD_B);
	leave_journal(g, JOURNAL_TRIAL, FORMER_B);
	*does_fail = true;
	assert_int_equal(run_recover(g, true), -EIO);
	*does_fail = false;
	expect_journal(g, "state", "trial");
	assert_int_equal(gateway_count(g, "b/releases"), 3);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, FORMER_B);
	gateway_expect_order(g);
	expect_result(g, "\"outcome\":\"rolled_back\"");
	expect_result(g, "\"reason\":\"interrupted\"");
	expect_journal(g, "failures_B", NEW_B ":1");
}

static void test_a_way_back_that_fails_before_its_flip(void **state)
{
	expect_failed_way_back(*state, &does_syncfs_fail);
}

/* `current` is the old release already, but there was a trial all the same. */
static void test_a_way_back_that_fails_after_its_flip(void **state)
{
	expect_failed_way_back(*state, &does_fsync_fail);
}

/* A release that takes the machine down each time is not tried for ever. */
static void test_three_cut_trials_are_enough(void **state)
{
	struct gateway *g = *state;

	for (unsigned i = 0; i < 3; i++) {
		cut_trial(g, JOURNAL_TRIAL);
		assert_int_equal(run_recover(g, true), 0);
	}
	expect_journal(g, "quarantine_B", NEW_B);
}

/* The journal of an updaterd that knows more than this one. */
static void test_a_state_of_the_future_is_undone(void **state)
{
	struct gateway *g = *state;
	_cleanup_(state_closep) struct state *s = NULL;

	cut_trial(g, JOURNAL_TRIAL);
	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(journal_set(s->journal, "state", "hovering"), 0);
	assert_int_equal(journal_set(s->journal, "altitude", "12"), 0);
	assert_int_equal(recover(s, gateway_service(g), true), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	expect_result(g, "\"outcome\":\"rolled_back\"");
	expect_journal(g, "altitude", "12");
}

/* The same bytes as a format of the future would have them. */
static void raise_format(struct gateway *g, const char *slot)
{
	char bytes[JOURNAL_SLOT_BYTES + 1] = { 0 }, crc[10];
	int fd = gateway_open(g, slot, O_RDWR);
	char *payload;
	unsigned size;

	assert_int_equal(pread(fd, bytes, JOURNAL_SLOT_BYTES, 0), JOURNAL_SLOT_BYTES);
	if (*bytes) {
		assert_int_equal(sscanf(bytes, "bms-journal 1 %*16x %4x ", &size), 1);
		bytes[12] = '9';
		payload = strchr(bytes, '\n') + 1;
		(void)snprintf(crc, sizeof crc, "%08x\n",
			       crc32_update(crc32_update(0, bytes, (size_t)(payload - bytes) - 9),
					    payload, size));
		memcpy(payload - 9, crc, 9);
		assert_int_equal(pwrite(fd, bytes, JOURNAL_SLOT_BYTES, 0), JOURNAL_SLOT_BYTES);
	}
	(void)close(fd);
}

/* A newer updaterd was rolled back in the middle: its journal and its history are read by this one. */
static void test_what_a_newer_updaterd_wrote_is_read(void **state)
{
	static const char line[] = "{\"txid\":\"6b1f0c1e-0000-4000-8000-000000000009\",\"outcome\":"
				   "\"levitated\",\"altitude\":{\"m\":12}}\n";
	struct gateway *g = *state;
	_cleanup_free_ char *history = NULL;
	size_t size;

	cut_trial(g, JOURNAL_TRIAL);
	set_key(g, "floor_B", OLD_B);
	set_key(g, "altitude", "12");
	set_key(g, "held_B", "while-it-rains");
	scratch_text(g->scratch->dirfd, "installer/history.jsonl", line, 0600);
	raise_format(g, "installer/journal.a");
	raise_format(g, "installer/journal.b");
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	expect_result(g, "\"outcome\":\"rolled_back\"");
	expect_journal(g, "failures_B", NEW_B ":1");
	expect_journal(g, "floor_B", OLD_B);
	expect_journal(g, "altitude", "12");
	expect_journal(g, "held_B", "while-it-rains");
	assert_int_equal(
		fs_read_file(g->scratch->dirfd, "installer/history.jsonl", 65536, &history, &size),
		0);
	assert_int_equal(strncmp(history, line, strlen(line)), 0);
}

static void test_confirmed(void **state)
{
	struct gateway *g = *state;

	cut_trial(g, JOURNAL_CONFIRMED);
	put_release(g, FORMER_B);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	gateway_expect_order(g);
	expect_result(g, "\"outcome\":\"confirmed\"");
}

static void test_rolled_back(void **state)
{
	struct gateway *g = *state;

	put_release(g, NEW_B);
	leave_journal(g, JOURNAL_ROLLED_BACK, NULL);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	expect_result(g, "\"outcome\":\"rolled_back\"");
	expect_result(g, "\"reason\":\"exited\",\"detail\":\"it ended\"");
}

/* ---- what the rescue program did ---- */

/* It put the links back, wrote that down, and left the rest to us. */
static void test_a_rescued_trial_is_ended(void **state)
{
	struct gateway *g = *state;

	put_release(g, NEW_B);
	leave_journal(g, JOURNAL_TRIAL, NULL);
	set_key(g, "state", "rolled-back");
	set_key(g, "reason", "interrupted");
	set_key(g, RESCUE_KEY, "1");
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	expect_result(g, "\"outcome\":\"rolled_back\"");
	expect_result(g, "\"reason\":\"interrupted\"");
	expect_journal(g, "failures_B", NEW_B ":1");
	expect_journal(g, RESCUE_KEY, "");
	assert_int_equal(run_recover(g, true), 0);
	expect_journal(g, "failures_B", NEW_B ":1");
}

/* It was cut after the links were back: that they are is not the end of a trial that never began. */
static void test_a_rescue_that_was_cut(void **state)
{
	struct gateway *g = *state;

	put_release(g, NEW_B);
	leave_journal(g, JOURNAL_TRIAL, NULL);
	set_key(g, RESCUE_KEY, "1");
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	expect_result(g, "\"outcome\":\"rolled_back\"");
	expect_journal(g, "failures_B", NEW_B ":1");
}

static void test_a_rescued_trial_that_was_judged(void **state)
{
	struct gateway *g = *state;

	put_release(g, NEW_B);
	leave_journal(g, JOURNAL_ROLLED_BACK, NULL);
	set_key(g, RESCUE_KEY, "1");
	assert_int_equal(run_recover(g, true), 0);
	expect_result(g, "\"outcome\":\"rolled_back\"");
	expect_result(g, "\"reason\":\"exited\",\"detail\":\"it ended\"");
	expect_journal(g, "failures_B", NEW_B ":1");
}

/* `updaterd-rescue --rollback B`: from NEW_B to OLD_B, with nobody but the rescue program. */
static void test_a_person_went_back_by_the_rescue(void **state)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct version old = gateway_version(OLD_B);
	struct result r = {
		.txid = TXID,
		.program = 'B',
		.kind = RESULT_KIND_ROLLBACK,
		.from = NEW_B,
		.to = OLD_B,
		.failure = { .reason = REASON_OPERATOR },
	};
	struct gateway *g = *state;

	put_release(g, NEW_B);
	set_links(g, OLD_B, NEW_B);
	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(state_set_quarantine(s, &old), 0);
	assert_int_equal(journal_set(s->journal, RESCUE_KEY, "1"), 0);
	assert_int_equal(record_durably(s->journal, JOURNAL_CONFIRMED, &r), 0);
	assert_int_equal(recover(s, gateway_service(g), false), 0);
	gateway_expect_links(g, 'B', OLD_B, NEW_B);
	gateway_expect_order(g);
	expect_result(g, "\"kind\":\"rollback\"");
	expect_result(g, "\"outcome\":\"confirmed\"");
	expect_result(g, "\"reason\":\"operator\"");
	expect_journal(g, "quarantine_B", "");
}

/* To OLD_B, says the journal; then once more. */
static void expect_rescued_again(struct gateway *g, const char *current, const char *previous,
				 const char *expected)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct result r = {
		.txid = TXID,
		.program = 'B',
		.kind = RESULT_KIND_ROLLBACK,
		.from = NEW_B,
		.to = OLD_B,
		.failure = { .reason = REASON_OPERATOR },
	};

	put_release(g, NEW_B);
	put_release(g, FORMER_B);
	set_links(g, current, previous);
	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(journal_set(s->journal, RESCUE_KEY, "1"), 0);
	assert_int_equal(record_durably(s->journal, JOURNAL_CONFIRMED, &r), 0);
	assert_int_equal(recover(s, gateway_service(g), false), 0);
	expect_result(g, expected);
}

static void test_a_person_went_back_by_the_rescue_again(void **state)
{
	struct gateway *g = *state;

	expect_rescued_again(g, FORMER_B, OLD_B,
			     "\"to\":\"" FORMER_B "\",\"outcome\":\"confirmed\"");
}

/* It was cut before its flip, and after that of `previous`, which nothing else leads back to. */
static void test_a_person_gets_back_though_the_rescue_was_cut(void **state)
{
	struct gateway *g = *state;

	expect_rescued_again(g, NEW_B, NEW_B, "\"to\":\"" OLD_B "\",\"outcome\":\"confirmed\"");
	gateway_expect_links(g, 'B', OLD_B, NEW_B);
	gateway_expect_order(g);
	assert_int_equal(g->n_restarts, 1);
	assert_string_equal(g->last_started, OLD_B);
}

static void test_a_person_did_not_get_back_to_what_is_damaged(void **state)
{
	struct gateway *g = *state;

	assert_int_equal(unlinkat(g->scratch->dirfd, "b/releases/" OLD_B "/bin/program", 0), 0);
	expect_rescued_again(g, NEW_B, OLD_B, "\"to\":\"" OLD_B "\",\"outcome\":\"rolled_back\"");
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
}

/* By the rescue program: what they came from is not what the next night brings. */
static void test_what_a_person_left_is_quarantined(void **state)
{
	struct gateway *g = *state;

	set_key(g, "left_A", "A209901010001");
	set_key(g, "left_B", NEXT_B " " NEW_B " ../x");
	assert_int_equal(run_recover(g, true), 0);
	expect_journal(g, "quarantine_A", "A209901010001");
	expect_journal(g, "quarantine_B", NEXT_B " " NEW_B);
	expect_journal(g, "left_A", "");
	expect_journal(g, "left_B", "");
}

/* It runs what the package shipped, and nothing else: that is what becomes a release of the space. */
static void test_current_that_leads_to_the_factory_is_adopted(void **state)
{
	struct gateway *g = *state;

	put_release(g, NEW_B);
	assert_int_equal(unlinkat(g->scratch->dirfd, "b/current", 0), 0);
	assert_int_equal(
		symlinkat(gateway_program(g, 'B')->factory, g->scratch->dirfd, "b/current"), 0);
	assert_int_equal(run_recover(g, false), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
	assert_int_equal(g->n_restarts, 1);
	assert_string_equal(g->last_started, OLD_B);
}

/* It needs no configuration: this is where it learns where the spaces are. */
static void test_tells_the_rescue_where_the_spaces_are(void **state)
{
	_cleanup_free_ char *text = NULL, *expected = NULL;
	struct gateway *g = *state;
	struct stat before, after;
	size_t size;

	assert_int_equal(run_recover(g, true), 0);
	assert_true(asprintf(&expected, "A %s %s\nB %s %s bmsd.service\n",
			     g->conf.programs[0].space, g->conf.programs[0].factory,
			     g->conf.programs[1].space, g->conf.programs[1].factory) > 0);
	assert_int_equal(
		fs_read_file(g->scratch->dirfd, "installer/" PROGRAMS_FILE, 4096, &text, &size), 0);
	assert_string_equal(text, expected);
	/* Written only where it says something else. */
	assert_int_equal(fstatat(g->scratch->dirfd, "installer/" PROGRAMS_FILE, &before, 0), 0);
	assert_int_equal(run_recover(g, true), 0);
	assert_int_equal(fstatat(g->scratch->dirfd, "installer/" PROGRAMS_FILE, &after, 0), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	g->conf.n_programs = 1;
	assert_int_equal(run_recover(g, true), 0);
	free(TAKE_PTR(text));
	assert_int_equal(
		fs_read_file(g->scratch->dirfd, "installer/" PROGRAMS_FILE, 4096, &text, &size), 0);
	assert_null(strstr(text, "\nB "));
}

/* The old one judged nothing: a proof that lies there is worth nothing any more. */
static void test_a_proof_goes_with_its_attempt(void **state)
{
	struct gateway *g = *state;

	cut_trial(g, JOURNAL_TRIAL);
	scratch_text(g->scratch->dirfd, "installer/" UPDATER_TRIAL_PROOF, TXID "\n", 0600);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	expect_result(g, "\"outcome\":\"rolled_back\"");
	assert_int_equal(faccessat(g->scratch->dirfd, "installer/" UPDATER_TRIAL_PROOF, F_OK, 0),
			 -1);
	/* Its removal did not reach the disk, the end of the attempt did. */
	scratch_text(g->scratch->dirfd, "installer/" UPDATER_TRIAL_PROOF, TXID "\n", 0600);
	assert_int_equal(run_recover(g, true), 0);
	assert_int_equal(faccessat(g->scratch->dirfd, "installer/" UPDATER_TRIAL_PROOF, F_OK, 0),
			 -1);
}

static void test_nonsense_in_the_journal_is_forgotten(void **state)
{
	struct gateway *g = *state;
	_cleanup_(state_closep) struct state *s = NULL;

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(journal_set(s->journal, "state", "trial"), 0);
	assert_int_equal(journal_set(s->journal, "txid", "../../etc/passwd"), 0);
	assert_int_equal(recover(s, gateway_service(g), true), 0);
	gateway_expect_order(g);
}

/* The old release is gone: what there is stays, rather than a link to nothing. */
static void test_never_flips_to_a_release_that_is_gone(void **state)
{
	struct gateway *g = *state;

	cut_trial(g, JOURNAL_TRIAL);
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "b/releases/" OLD_B), 0);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', NEW_B, NULL);
}

static void test_a_program_that_is_no_longer_configured(void **state)
{
	struct gateway *g = *state;

	leave_journal(g, JOURNAL_TRIAL, NULL);
	g->conf.n_programs = 1;
	assert_int_equal(run_recover(g, true), 0);
	expect_journal(g, "state", "idle");
}

static void test_a_damaged_journal_keeps_the_floors(void **state)
{
	struct gateway *g = *state;

	upgrade_well(g, NEW_B);
	scratch_text(g->scratch->dirfd, "installer/journal.a", "bms-journal 1 rubbish", 0600);
	scratch_text(g->scratch->dirfd, "installer/journal.b", "bms-journal 1 rubbish", 0600);
	assert_int_equal(run_recover(g, true), 0);
	expect_journal(g, "floor_A", OLD_A);
	expect_journal(g, "floor_B", NEW_B);
	gateway_expect_order(g);
}

/* ---- `current` ---- */

static void break_current(struct gateway *g, const char *target)
{
	assert_int_equal(unlinkat(g->scratch->dirfd, "b/current", 0), 0);
	if (target)
		assert_int_equal(symlinkat(target, g->scratch->dirfd, "b/current"), 0);
}

static void expect_current_repaired(struct gateway *g, const char *target, const char *version)
{
	break_current(g, target);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', version, NULL);
}

static void test_current_from_previous(void **state)
{
	struct gateway *g = *state;

	upgrade_well(g, NEW_B);
	expect_current_repaired(g, NULL, OLD_B);
	expect_current_repaired(g, "releases/B202112310001", OLD_B);
	expect_current_repaired(g, "/etc", OLD_B);
	assert_int_equal(unlinkat(g->scratch->dirfd, "b/current", 0), 0);
	scratch_text(g->scratch->dirfd, "b/current.new", "in the way", 0644);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, NULL);
}

static void test_current_from_the_newest_complete(void **state)
{
	struct gateway *g = *state;

	put_release(g, FORMER_B);
	put_release(g, NEW_B);
	put_release(g, NEXT_B);
	scratch_text(g->scratch->dirfd, "b/releases/" NEXT_B "/bin/program", "half", 0555);
	expect_current_repaired(g, NULL, NEW_B);
}

static void test_current_from_the_factory(void **state)
{
	struct gateway *g = *state;

	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "b/releases/" OLD_B), 0);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, NULL);
	gateway_expect_order(g);
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "b/releases/" OLD_B), 0);
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "trees"), 0);
	assert_int_equal(run_recover(g, true), 0);
	assert_int_equal(gateway_count(g, "b/releases"), 0);
}

/* ---- damage ---- */

static void damage(struct gateway *g, const char *version)
{
	char path[64];

	(void)snprintf(path, sizeof path, "b/releases/%s/bin/program", version);
	scratch_text(g->scratch->dirfd, path, "something else", 0555);
}

/* Not whenever somebody asks for the status: to read all of it takes its time. */
static void test_a_damaged_current_is_noticed_at_boot(void **state)
{
	struct gateway *g = *state;

	upgrade_well(g, NEW_B);
	damage(g, NEW_B);
	assert_int_equal(run_recover(g, false), 0);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, NULL);
	/* And the next upgrade puts it right. */
	upgrade_well(g, NEW_B);
	gateway_expect_order(g);
}

static void test_a_damaged_factory_release_is_replaced(void **state)
{
	struct gateway *g = *state;

	damage(g, OLD_B);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
}

static void test_what_cannot_be_replaced_stays(void **state)
{
	struct gateway *g = *state;

	damage(g, OLD_B);
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "trees"), 0);
	scratch_text(g->scratch->dirfd, "b/releases/.stage-old/x", "", 0444);
	assert_int_equal(run_recover(g, true), -EUCLEAN);
	gateway_expect_links(g, 'B', OLD_B, "");
	assert_int_equal(gateway_count(g, "b/releases"), 1);
}

static void test_a_space_that_is_gone_is_made_again(void **state)
{
	struct gateway *g = *state;

	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "b"), 0);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	gateway_expect_order(g);
}

static void test_a_directory_that_is_gone_is_made_again(void **state)
{
	struct gateway *g = *state;

	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "b/backups"), 0);
	upgrade_well(g, NEW_B);
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "b/releases"), 0);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, NULL);
}

/* [program B] of a gateway that has no such package. */
static void test_no_space_without_a_program(void **state)
{
	struct gateway *g = *state;

	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "b"), 0);
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "trees"), 0);
	assert_int_equal(run_recover(g, true), 0);
	assert_int_equal(faccessat(g->scratch->dirfd, "b", F_OK, 0), -1);
}

/* `previous` led to what was tried again, which was removed for it. */
static void test_previous_is_never_put_back_to_nothing(void **state)
{
	struct gateway *g = *state;
	char target[64];

	leave_journal(g, JOURNAL_STAGING, NEW_B);
	assert_int_equal(run_recover(g, true), 0);
	gateway_expect_links(g, 'B', OLD_B, "");
	assert_int_equal(readlinkat(g->scratch->dirfd, "b/previous", target, sizeof target), -1);
}

/* ---- the sweep ---- */

/* Program A's space is never written to here. */
static const char *const kept_dirs[] = { "b", "installer" };

static void copy_dirs(struct gateway *g, const char *from, const char *to)
{
	for (size_t i = 0; i < ELEMENTSOF(kept_dirs); i++) {
		char command[256], path[64];

		(void)snprintf(path, sizeof path, "%s%s", to, kept_dirs[i]);
		assert_int_equal(fs_remove_tree(g->scratch->dirfd, path), 0);
		(void)snprintf(command, sizeof command, "cp -a %s/%s%s %s/%s", g->scratch->path,
			       from, kept_dirs[i], g->scratch->path, path);
		assert_int_equal(system(command), 0);
	}
}

static void take_snapshot(struct gateway *g)
{
	(void)close(scratch_dir(g->scratch->dirfd, "snapshot"));
	copy_dirs(g, "", "snapshot/");
}

static void restore_snapshot(struct gateway *g)
{
	copy_dirs(g, "snapshot/", "");
}

/* Runs it in a child that dies before its n-th mutating call. True if it came to its end. */
static bool run_and_die(struct gateway *g, int (*scenario)(struct gateway *g), unsigned n)
{
	int status;
	pid_t pid;

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		n_mutations = 0;
		die_before = n;
		_exit(scenario(g) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == DIED)
		return false;
	assert_int_equal(WEXITSTATUS(status), 0);
	return true;
}

static int scenario_upgrade(struct gateway *g)
{
	struct result r;

	return gateway_upgrade(g, NEXT_B, &r);
}

static int scenario_rollback(struct gateway *g)
{
	struct result r;

	return gateway_rollback(g, 'B', &r);
}

static int scenario_recover(struct gateway *g)
{
	return run_recover(g, true);
}

struct crash {
	bool was_recorded;
	bool had_result;
};

static struct crash look_at_crash(struct gateway *g)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct crash crash;

	assert_int_equal(state_open(&g->conf, STATE_READ, &s), 0);
	crash.was_recorded = journal_state(s->journal) != JOURNAL_IDLE;
	crash.had_result = result_is_kept(s->dirfd, TXID);
	return crash;
}

/* One attempt that was recorded has one result, and it says what is the case. */
static void expect_true_result(struct gateway *g, const struct crash *crash, const char *from,
			       const char *to)
{
	_cleanup_(state_closep) struct state *s = NULL;
	_cleanup_free_ char *json = NULL, *history = NULL;
	struct version current;
	const char *first;

	assert_int_equal(state_open(&g->conf, STATE_READ, &s), 0);
	assert_int_equal(state_current(&g->conf, 'B', &current), 0);
	if (!crash->was_recorded && !crash->had_result) {
		assert_string_equal(current.text, from);
		return;
	}
	assert_int_equal(result_find(s->dirfd, TXID, &json), 0);
	assert_string_equal(current.text, strstr(json, "\"outcome\":\"confirmed\"") ? to : from);
	assert_int_equal(result_history(s->dirfd, 100, &history), 0);
	first = strstr(history, TXID);
	assert_non_null(first);
	assert_null(strstr(first + 1, TXID));
}

static void expect_floor(struct gateway *g, const char *least)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct version floor, minimum = gateway_version(least);

	assert_int_equal(state_open(&g->conf, STATE_READ, &s), 0);
	assert_int_equal(state_floor(s, 'B', &floor), 0);
	assert_true(version_compare(&floor, &minimum) >= 0);
}

/* What always holds after a recovery, whenever the crash was. */
static void expect_recovered(struct gateway *g, const struct crash *crash, const char *from,
			     const char *to)
{
	struct version current;

	gateway_expect_order(g);
	gateway_expect_links(g, 'A', OLD_A, "");
	assert_int_equal(state_current(&g->conf, 'B', &current), 0);
	/* `previous` is what it was, or what was left. */
	gateway_expect_links(g, 'B', NULL, strcmp(current.text, from) == 0 ? OLD_B : from);
	expect_true_result(g, crash, from, to);
	expect_floor(g, NEW_B);
}

/* OLD_B, then NEW_B; NEXT_B is published. */
static void prepare_sweep(struct gateway *g)
{
	upgrade_well(g, NEW_B);
	gateway_publish(g, NEXT_B, NULL);
	(void)strcpy(g->txid, TXID);
	take_snapshot(g);
}

static unsigned sweep(struct gateway *g, int (*scenario)(struct gateway *g), const char *to)
{
	for (unsigned n = 1;; n++) {
		struct crash crash;
		bool is_over;

		restore_snapshot(g);
		is_over = run_and_die(g, scenario, n);
		crash = look_at_crash(g);
		assert_int_equal(run_recover(g, true), 0);
		expect_recovered(g, &crash, NEW_B, to);
		assert_int_equal(run_recover(g, true), 0);
		expect_recovered(g, &crash, NEW_B, to);
		if (is_over)
			return n - 1;
	}
}

static void test_sweep_upgrade(void **state)
{
	struct gateway *g = *state;
	unsigned n;

	prepare_sweep(g);
	n = sweep(g, scenario_upgrade, NEXT_B);
	print_message("upgrade: %u crash points\n", n);
	assert_true(n > 80);
	gateway_expect_links(g, 'B', NEXT_B, NEW_B);
}

static void test_sweep_upgrade_that_is_rolled_back(void **state)
{
	struct gateway *g = *state;
	unsigned n;

	prepare_sweep(g);
	g->odd_version = NEXT_B;
	g->odd = PROBED_BAD;
	n = sweep(g, scenario_upgrade, NEXT_B);
	print_message("upgrade, rolled back: %u crash points\n", n);
	assert_true(n > 80);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
}

static void test_sweep_rollback(void **state)
{
	struct gateway *g = *state;
	unsigned n;

	prepare_sweep(g);
	n = sweep(g, scenario_rollback, OLD_B);
	print_message("roll back: %u crash points\n", n);
	assert_true(n > 30);
	gateway_expect_links(g, 'B', OLD_B, NEW_B);
}

/* Whatever was cut, the next attempt goes through. */
static void test_sweep_and_upgrade_again(void **state)
{
	struct gateway *g = *state;
	unsigned n_crashes = 0;

	prepare_sweep(g);
	for (unsigned n = 1;; n += 7) {
		struct version current;

		restore_snapshot(g);
		(void)strcpy(g->txid, TXID);
		if (run_and_die(g, scenario_upgrade, n))
			break;
		n_crashes++;
		g->txid[0] = '\0';
		assert_int_equal(run_recover(g, true), 0);
		assert_int_equal(state_current(&g->conf, 'B', &current), 0);
		if (strcmp(current.text, NEW_B) == 0)
			assert_int_equal(scenario_upgrade(g), 0);
		gateway_expect_links(g, 'B', NEXT_B, NEW_B);
		gateway_expect_order(g);
	}
	assert_true(n_crashes > 10);
}

/* Recovery is cut at each of its calls, from crashes all over an upgrade, and recovers. */
static void test_sweep_recovery(void **state)
{
	struct gateway *g = *state;
	unsigned n_states = 0;

	prepare_sweep(g);
	for (unsigned n = 1;; n += 11) {
		for (unsigned m = 1;; m++) {
			struct crash crash;
			bool is_recovered;

			restore_snapshot(g);
			if (run_and_die(g, scenario_upgrade, n)) {
				print_message("recovery: %u crash points\n", n_states);
				assert_true(n_states > 50);
				return;
			}
			crash = look_at_crash(g);
			is_recovered = run_and_die(g, scenario_recover, m);
			assert_int_equal(run_recover(g, true), 0);
			expect_recovered(g, &crash, NEW_B, NEXT_B);
			if (is_recovered)
				break;
			n_states++;
		}
	}
}

/* The first release of a space. */
static int scenario_adopt(struct gateway *g)
{
	_cleanup_(store_closep) struct store *store = NULL;
	const struct conf_program *program = gateway_program(g, 'B');
	int r;

	r = store_create(program->space, &store);
	if (r == 0)
		r = recover_current(program, store, false);
	return r < 0 ? r : 0;
}

static void test_sweep_adoption(void **state)
{
	struct gateway *g = *state;
	unsigned n = 0;
	bool is_over;

	do {
		assert_int_equal(fs_remove_tree(g->scratch->dirfd, "b"), 0);
		is_over = run_and_die(g, scenario_adopt, ++n);
		assert_int_equal(scenario_adopt(g), 0);
		assert_int_equal(run_recover(g, true), 0);
		gateway_expect_links(g, 'B', OLD_B, "");
		gateway_expect_order(g);
	} while (!is_over);
	print_message("adoption: %u crash points\n", n - 1);
	assert_true(n > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, gateway_teardown)
		TEST(test_nothing_to_do),
		TEST(test_accepted),
		TEST(test_staging),
		TEST(test_ready),
		TEST(test_ready_with_previous_flipped),
		TEST(test_trial_before_the_flip),
		TEST(test_trial),
		TEST(test_a_way_back_before_its_flip),
		TEST(test_a_way_back_after_its_flip),
		TEST(test_a_trial_that_was_called_off_is_not_counted),
		TEST(test_trial_at_boot),
		TEST(test_trial_at_boot_years_later),
		TEST(test_a_way_back_that_fails_before_its_flip),
		TEST(test_a_way_back_that_fails_after_its_flip),
		TEST(test_three_cut_trials_are_enough),
		TEST(test_a_state_of_the_future_is_undone),
		TEST(test_what_a_newer_updaterd_wrote_is_read),
		TEST(test_confirmed),
		TEST(test_rolled_back),
		TEST(test_a_rescued_trial_is_ended),
		TEST(test_a_rescue_that_was_cut),
		TEST(test_a_rescued_trial_that_was_judged),
		TEST(test_a_person_went_back_by_the_rescue),
		TEST(test_a_person_went_back_by_the_rescue_again),
		TEST(test_a_person_gets_back_though_the_rescue_was_cut),
		TEST(test_a_person_did_not_get_back_to_what_is_damaged),
		TEST(test_what_a_person_left_is_quarantined),
		TEST(test_current_that_leads_to_the_factory_is_adopted),
		TEST(test_tells_the_rescue_where_the_spaces_are),
		TEST(test_a_proof_goes_with_its_attempt),
		TEST(test_nonsense_in_the_journal_is_forgotten),
		TEST(test_never_flips_to_a_release_that_is_gone),
		TEST(test_a_program_that_is_no_longer_configured),
		TEST(test_a_damaged_journal_keeps_the_floors),
		TEST(test_current_from_previous),
		TEST(test_current_from_the_newest_complete),
		TEST(test_current_from_the_factory),
		TEST(test_a_damaged_current_is_noticed_at_boot),
		TEST(test_a_damaged_factory_release_is_replaced),
		TEST(test_what_cannot_be_replaced_stays),
		TEST(test_a_space_that_is_gone_is_made_again),
		TEST(test_a_directory_that_is_gone_is_made_again),
		TEST(test_no_space_without_a_program),
		TEST(test_previous_is_never_put_back_to_nothing),
		TEST(test_sweep_upgrade),
		TEST(test_sweep_upgrade_that_is_rolled_back),
		TEST(test_sweep_rollback),
		TEST(test_sweep_and_upgrade_again),
		TEST(test_sweep_recovery),
		TEST(test_sweep_adoption),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
