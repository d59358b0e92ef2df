/* SPDX-License-Identifier: Apache-2.0 */
/* The verdict on a new updater: the units are played here. */
#include "updaterd/updater_trial.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/fsutil.h"
#include "scratch.h"
#include "updaterd/exit_codes.h"
#include "updaterd/trial.h"

#define TXID	"6b1f0f0e-1111-4222-8333-444455556666"
#define OTHER	"6b1f0f0e-1111-4222-8333-444455556667"
#define OLD	"A202108010001"
#define MAX_RUN 32

/* ---- the play ---- */

/* One run of a unit. */
struct run {
	struct service_end end;
	const char *proof; /* what the new installer writes; NULL: nothing */
	int error;	   /* of the run itself */
};

static struct play {
	struct scratch *scratch;
	struct run trials[MAX_RUN], reaches[MAX_RUN]; /* the last one is played again and again */
	size_t n_trials, n_reaches, n_tried, n_asked, n_stopped;
	uint64_t now_msec, run_msec, stop_msec; /* a trial and a stop take so long */
	enum reason called_off;
	uint64_t called_off_at_msec;
	size_t n_waits, n_trials_stopped;
	bool may_stop_trial;
	struct conf_program program;
} play;

static const struct run good = { .end = { .is_exited = true }, .proof = TXID };
static const struct run reached = { .end = { .is_exited = true } };
static const struct run unreached = {
	.end = { .is_exited = true, .status = EXIT_TEMPORARY, .said = "query: no route" }
};

static struct run exits(int status)
{
	return (struct run){ .end = { .is_exited = true, .status = status } };
}

static void write_proof(const char *text)
{
	_cleanup_close_ int fd = openat(play.scratch->dirfd, UPDATER_TRIAL_PROOF,
					O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fs_pwrite_all(fd, text, strlen(text), 0), 0);
	assert_int_equal(fs_pwrite_all(fd, "\n", 1, strlen(text)), 0);
}

static const struct run *next(const struct run *runs, size_t n, size_t *played)
{
	size_t i = *played < n ? *played : n - 1;

	assert_true(n > 0);
	(*played)++;
	return &runs[i];
}

static int play_run(void *userdata, const struct service_job *job, struct service_end *ret,
		    struct failure *failure)
{
	bool is_trial = strcmp(job->unit, "updaterd-trial.service") == 0;
	const struct run *run;

	(void)userdata;
	if (!is_trial)
		assert_string_equal(job->unit, "updaterd-reach@" OLD ".service");
	assert_int_equal(job->timeout_sec, play.program.probe_timeout_sec);
	play.now_msec += play.run_msec;
	if (job->is_called_off(job->userdata))
		return failure_set(failure, -ECANCELED, REASON_OPERATOR, "called off");
	run = is_trial ? next(play.trials, play.n_trials, &play.n_tried)
		       : next(play.reaches, play.n_reaches, &play.n_asked);
	if (run->error)
		return failure_set(failure, run->error, REASON_INTERNAL, "as planned");
	if (run->proof)
		write_proof(run->proof);
	*ret = run->end;
	return 0;
}

static int play_stop(void *userdata, const char *unit)
{
	(void)userdata;
	if (play.may_stop_trial && strcmp(unit, "updaterd-trial.service") == 0)
		play.n_trials_stopped++;
	else
		assert_string_equal(unit, "updaterd-trial-installer.service");
	play.now_msec += play.stop_msec;
	play.n_stopped++;
	return -ENOENT; /* is nobody's failure */
}

static uint64_t play_now_msec(void *userdata)
{
	(void)userdata;
	return play.now_msec;
}

static void play_pause(void *userdata, uint64_t msec)
{
	(void)userdata;
	play.now_msec += msec;
}

static const struct service_ops ops = {
	.run = play_run, .stop = play_stop, .now_msec = play_now_msec, .pause = play_pause
};

static enum reason play_called_off(void *userdata)
{
	(void)userdata;
	return play.now_msec >= play.called_off_at_msec ? play.called_off : REASON_NONE;
}

static void play_progress(void *userdata, enum step step, unsigned percent)
{
	(void)userdata;
	assert_int_equal(step, STEP_WAIT);
	assert_true(percent <= 100);
	play.n_waits++;
}

static int setup(void **state)
{
	static char unit[] = "updaterd-trial.service";

	play = (struct play){ 0 };
	play.program = (struct conf_program){ .letter = 'A',
					      .trial_unit = unit,
					      .probe_timeout_sec = 600,
					      .trial_retry_sec = 60,
					      .trial_extend_max_sec = 86400 };
	play.now_msec = 1000000;
	(void)scratch_setup(state);
	play.scratch = *state;
	return updater_trial_prepare(play.scratch->dirfd);
}

static int run_trial(bool is_offline_ok, struct failure *failure)
{
	const struct updater_trial u = { .installer_fd = play.scratch->dirfd,
					 .txid = TXID,
					 .old_version = OLD,
					 .is_offline_ok = is_offline_ok,
					 .progress = play_progress,
					 .called_off = play_called_off };
	const struct service service = { .ops = &ops };

	return updater_trial_run(&u, &play.program, service, failure);
}

#define PLAY(what, ...)                                                                            \
	do {                                                                                       \
		const struct run runs[] = { __VA_ARGS__ };                                         \
                                                                                                   \
		memcpy(play.what, runs, sizeof runs);                                              \
		play.n_##what = sizeof runs / sizeof runs[0];                                      \
	} while (0)

static void expect_bad(enum reason reason, const char *text)
{
	struct failure failure = { 0 };

	assert_int_equal(run_trial(false, &failure), -EIO);
	assert_string_equal(reason_name(failure.reason), reason_name(reason));
	assert_non_null(strstr(failure.text, text));
	assert_true(trial_reason_blames_release(failure.reason));
	assert_int_equal(play.n_waits, 0);
}

/* ---- tests ---- */

static void test_good(void **state)
{
	struct failure failure = { 0 };

	(void)state;
	PLAY(trials, good);
	assert_int_equal(run_trial(false, &failure), 0);
	assert_int_equal(play.n_asked, 0);
	/* An installer that was left from before, and the one that is left now. */
	assert_int_equal(play.n_stopped, 2);
}

static void test_no_proof(void **state)
{
	(void)state;
	PLAY(trials, exits(0));
	expect_bad(REASON_UNHEALTHY, "proved nothing");
	assert_int_equal(play.n_asked, 0);
}

static void test_proof_of_another_attempt(void **state)
{
	(void)state;
	PLAY(trials, ((struct run){ .end = { .is_exited = true }, .proof = OTHER }));
	expect_bad(REASON_UNHEALTHY, "proved nothing");
}

static void test_proof_with_more(void **state)
{
	(void)state;
	PLAY(trials, ((struct run){ .end = { .is_exited = true }, .proof = TXID "x" }));
	expect_bad(REASON_UNHEALTHY, "proved nothing");
}

/* What an earlier trial of this attempt has proved is not worth anything in the next. */
static void test_proof_is_cleared(void **state)
{
	struct run half = exits(EXIT_FAILED);

	(void)state;
	half.proof = TXID;
	PLAY(trials, half, exits(0));
	PLAY(reaches, unreached);
	{
		struct failure failure = { 0 };

		assert_int_equal(run_trial(false, &failure), -EIO);
		assert_int_equal(failure.reason, REASON_UNHEALTHY);
	}
	assert_int_equal(play.n_tried, 2);
}

static void test_killed(void **state)
{
	(void)state;
	PLAY(trials, ((struct run){ .end = { .status = 11 } }));
	expect_bad(REASON_CRASHED, "signal 11");
	assert_int_equal(play.n_tried, 1);
	assert_int_equal(play.n_asked, 0);
}

static void test_not_executable(void **state)
{
	(void)state;
	PLAY(trials, exits(203));
	expect_bad(REASON_EXITED, "203");
	assert_int_equal(play.n_asked, 0);
}

static void test_no_room_for_its_unit(void **state)
{
	struct failure failure = { 0 };

	(void)state;
	/* $RUNTIME_DIRECTORY cannot be made, nor the namespace; nor those of the old one. */
	PLAY(trials, exits(233), exits(226), good);
	PLAY(reaches, exits(233), exits(226));
	assert_int_equal(run_trial(false, &failure), 0);
	assert_int_equal(play.n_waits, 2);
	/* Only the new one's. */
	play.n_tried = play.n_asked = 0;
	PLAY(trials, exits(233));
	PLAY(reaches, reached);
	assert_int_equal(run_trial(false, &failure), -EIO);
	assert_int_equal(failure.reason, REASON_EXITED);
	assert_non_null(strstr(failure.text, "233"));
}

/* Each of these fails twice before it is bad: the world may have come back in between. */
static void test_worse_than_the_old_one(void **state)
{
	struct run fails = exits(EXIT_FAILED);

	(void)state;
	(void)snprintf(fails.end.said, sizeof fails.end.said, "trust: not signed");
	PLAY(reaches, reached);
	PLAY(trials, exits(EXIT_TEMPORARY));
	expect_bad(REASON_CANNOT_REACH, "the old one can");
	assert_int_equal(play.n_tried, 2);
	assert_int_equal(play.n_asked, 2);
	PLAY(trials, fails);
	expect_bad(REASON_UNHEALTHY, "trust: not signed");
	PLAY(trials, exits(EXIT_FAILED));
	expect_bad(REASON_EXITED, "status 1");
	PLAY(trials, ((struct run){ .end = { .is_late = true } }));
	expect_bad(REASON_NOT_READY, "600 s");
}

static void test_world_comes_back_in_between(void **state)
{
	struct failure failure = { 0 };

	(void)state;
	PLAY(trials, exits(EXIT_TEMPORARY), good);
	PLAY(reaches, reached);
	assert_int_equal(run_trial(false, &failure), 0);
	assert_int_equal(play.n_tried, 2);
	assert_int_equal(play.n_waits, 0);
}

static void test_world_down(void **state)
{
	struct failure failure = { 0 };
	uint64_t began_msec = play.now_msec;

	(void)state;
	PLAY(trials, exits(EXIT_TEMPORARY), ((struct run){ .end = { .is_late = true } }),
	     exits(EXIT_TEMPORARY), good);
	PLAY(reaches, unreached);
	assert_int_equal(run_trial(false, &failure), 0);
	assert_int_equal(play.n_waits, 3);
	assert_int_equal(play.now_msec - began_msec, (60 + 120 + 240) * 1000);
}

static void test_pauses_have_a_limit(void **state)
{
	struct failure failure = { 0 };
	uint64_t began_msec = play.now_msec;

	(void)state;
	PLAY(trials, exits(EXIT_TEMPORARY));
	PLAY(reaches, unreached);
	assert_int_equal(run_trial(false, &failure), -EIO);
	assert_int_equal(failure.reason, REASON_NETWORK);
	/* Nothing that is held against the release. */
	assert_false(trial_reason_blames_release(failure.reason));
	assert_in_range(play.now_msec - began_msec, 86400000, 86402000);
	/* 60, 120, 240, 480, then 900 each. */
	assert_in_range(play.n_tried, 98, 102);
}

static void test_no_extension(void **state)
{
	struct failure failure = { 0 };

	(void)state;
	play.program.trial_extend_max_sec = 0;
	PLAY(trials, exits(EXIT_TEMPORARY));
	PLAY(reaches, unreached);
	assert_int_equal(run_trial(false, &failure), -EIO);
	assert_int_equal(failure.reason, REASON_NETWORK);
	assert_int_equal(play.n_tried, 1);
}

/* The old one hanging, crashing or gone reaches nothing either. */
static void test_old_one_fails_otherwise(void **state)
{
	struct failure failure = { 0 };

	(void)state;
	PLAY(trials, exits(EXIT_TEMPORARY), exits(EXIT_TEMPORARY), exits(EXIT_TEMPORARY), good);
	PLAY(reaches, ((struct run){ .end = { .is_late = true, .is_exited = true } }),
	     ((struct run){ .end = { .status = 6 } }), exits(203));
	assert_int_equal(run_trial(false, &failure), 0);
	assert_int_equal(play.n_waits, 3);
}

static void test_from_a_medium(void **state)
{
	struct run proved = exits(EXIT_TEMPORARY);
	struct failure failure = { 0 };

	(void)state;
	proved.proof = TXID;
	PLAY(trials, proved);
	PLAY(reaches, unreached);
	assert_int_equal(run_trial(true, &failure), 0);
	assert_int_equal(play.n_waits, 0);
	/* But not if the old one reaches the server … */
	PLAY(reaches, reached);
	assert_int_equal(run_trial(true, &failure), -EIO);
	assert_int_equal(failure.reason, REASON_CANNOT_REACH);
	/* … and not without proof. */
	PLAY(trials, exits(EXIT_TEMPORARY));
	PLAY(reaches, unreached);
	assert_int_equal(run_trial(true, &failure), -EIO);
	assert_int_equal(failure.reason, REASON_NETWORK);
}

static void test_called_off(void **state)
{
	struct failure failure = { 0 };

	(void)state;
	PLAY(trials, exits(EXIT_TEMPORARY));
	PLAY(reaches, unreached);
	play.called_off = REASON_OPERATOR;
	play.called_off_at_msec = play.now_msec + 30000;
	assert_int_equal(run_trial(false, &failure), -ECANCELED);
	assert_int_equal(failure.reason, REASON_OPERATOR);
	assert_int_equal(play.now_msec, play.called_off_at_msec);
	assert_int_equal(play.n_tried, 1);

	/* While a unit runs. */
	play.may_stop_trial = true;
	play.run_msec = 5000;
	play.called_off = REASON_INTERRUPTED;
	assert_int_equal(run_trial(false, &failure), -ECANCELED);
	assert_int_equal(failure.reason, REASON_INTERRUPTED);
	assert_false(trial_reason_blames_release(failure.reason));
}

/* A person who was told that the trial ends must not find the new one confirmed. And what is killed because
 * the machine goes down has not crashed. */
static void test_called_off_when_it_has_ended(void **state)
{
	struct failure failure = { 0 };

	(void)state;
	PLAY(trials, good, ((struct run){ .end = { .status = 15 } }));
	play.stop_msec = 5000;
	play.called_off = REASON_OPERATOR;
	play.called_off_at_msec = play.now_msec + 7000;
	assert_int_equal(run_trial(false, &failure), -ECANCELED);
	assert_int_equal(failure.reason, REASON_OPERATOR);

	play.called_off = REASON_INTERRUPTED;
	play.called_off_at_msec = play.now_msec + 7000;
	assert_int_equal(run_trial(false, &failure), -ECANCELED);
	assert_int_equal(failure.reason, REASON_INTERRUPTED);
	assert_int_equal(play.n_tried, 2);
}

static void test_systemd_does_not_run_it(void **state)
{
	struct failure failure = { 0 };

	(void)state;
	play.may_stop_trial = true;
	PLAY(trials, ((struct run){ .error = -EIO }));
	assert_int_equal(run_trial(false, &failure), -EIO);
	assert_int_equal(failure.reason, REASON_INTERNAL);
	/* It may be the bus that is gone, and the trial goes on. */
	assert_int_equal(play.n_trials_stopped, 1);
	PLAY(trials, exits(EXIT_TEMPORARY));
	PLAY(reaches, ((struct run){ .error = -EIO }));
	assert_int_equal(run_trial(false, &failure), -EIO);
	assert_int_equal(failure.reason, REASON_INTERNAL);
}

static void test_proof_file(void **state)
{
	int dirfd = play.scratch->dirfd;
	struct failure failure = { 0 };

	(void)state;
	/* One of an attempt that was cut is replaced. */
	write_proof(TXID);
	assert_int_equal(updater_trial_prepare(dirfd), 0);
	PLAY(trials, exits(0));
	assert_int_equal(run_trial(false, &failure), -EIO);
	assert_int_equal(failure.reason, REASON_UNHEALTHY);
	assert_int_equal(updater_trial_forget(dirfd), 0);
	assert_int_equal(faccessat(dirfd, UPDATER_TRIAL_PROOF, F_OK, 0), -1);
	assert_int_equal(updater_trial_forget(dirfd), 0);
	/* Without one nothing can be proved, and nothing is run. */
	play.n_tried = 0;
	PLAY(trials, good);
	assert_int_equal(run_trial(false, &failure), -ENOENT);
	assert_int_equal(play.n_tried, 0);
}

/* One that hangs when the installer dies would do so for ever. */
static void test_stops_what_a_crash_left(void **state)
{
	_cleanup_(journal_closep) struct journal *journal = NULL;
	const struct service service = { .ops = &ops };
	struct conf conf = { .n_programs = 2 };
	struct state s = { .conf = &conf };

	(void)state;
	conf.programs[0] = play.program;
	play.may_stop_trial = true;
	assert_int_equal(journal_open(play.scratch->dirfd, &journal), 0);
	s.journal = journal;
	updater_trial_stop_left(&s, service);
	assert_int_equal(play.n_stopped, 0);
	assert_int_equal(journal_set(journal, "state", "trial"), 0);
	updater_trial_stop_left(&s, service);
	assert_int_equal(play.n_trials_stopped, 1);
	assert_int_equal(play.n_stopped, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_teardown)
		TEST(test_good),
		TEST(test_no_proof),
		TEST(test_proof_of_another_attempt),
		TEST(test_proof_with_more),
		TEST(test_proof_is_cleared),
		TEST(test_killed),
		TEST(test_not_executable),
		TEST(test_no_room_for_its_unit),
		TEST(test_worse_than_the_old_one),
		TEST(test_world_comes_back_in_between),
		TEST(test_world_down),
		TEST(test_pauses_have_a_limit),
		TEST(test_no_extension),
		TEST(test_old_one_fails_otherwise),
		TEST(test_from_a_medium),
		TEST(test_called_off),
		TEST(test_called_off_when_it_has_ended),
		TEST(test_systemd_does_not_run_it),
		TEST(test_proof_file),
		TEST(test_stops_what_a_crash_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
