/* SPDX-License-Identifier: Apache-2.0 */
/* What --rollback makes of the end of an attempt. The installer is played. */
#include "updaterd/commands.h"

#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/json.h"
#include "common/log.h"
#include "played_client.h"
#include "updaterd/exit_codes.h"

static const char *result_text;
static int rollback_error;

int __wrap_client_rollback(struct client *c, char program, char **ret_txid,
			   struct failure *failure);
int __wrap_client_rollback(struct client *c, char program, char **ret_txid, struct failure *failure)
{
	(void)c;
	assert_int_equal(program, 'A');
	if (rollback_error)
		return failure_set(failure, rollback_error, REASON_BUSY, "as planned");
	*ret_txid = strdup("x");
	return 0;
}

int __wrap_client_follow(struct client *c, const char *txid, uint64_t limit_sec,
			 client_progress_fn progress, void *userdata, cJSON **ret,
			 struct failure *failure);
int __wrap_client_follow(struct client *c, const char *txid, uint64_t limit_sec,
			 client_progress_fn progress, void *userdata, cJSON **ret,
			 struct failure *failure)
{
	(void)c, (void)limit_sec, (void)progress, (void)userdata, (void)failure;
	assert_string_equal(txid, "x");
	return json_parse(result_text, strlen(result_text), NULL, ret, NULL);
}

static int rollback_ending(const char *result)
{
	_cleanup_(progress_freep) struct progress *progress = NULL;
	const struct conf conf = { 0 };

	result_text = result;
	assert_int_equal(progress_new(PROGRESS_QUIET, stdout, &progress), 0);
	return command_rollback(&conf, 'A', progress);
}

#define RESULT(kind, outcome, reason)                                                              \
	"{\"kind\":\"" kind "\",\"outcome\":\"" outcome "\",\"reason\":\"" reason "\"}"

static void test_rollback_ends(void **state)
{
	(void)state;
	assert_int_equal(rollback_ending(RESULT("rollback", "confirmed", "operator")), EXIT_OK);
	assert_int_equal(rollback_ending(RESULT("rollback", "failed", "io")), EXIT_FAILED);
	assert_int_equal(rollback_ending(RESULT("rollback", "rolled_back", "io")), EXIT_FAILED);
	assert_int_equal(rollback_ending(RESULT("rollback", "postponed", "x")), EXIT_TEMPORARY);
	assert_int_equal(rollback_ending("{}"), EXIT_FAILED);
}

static void test_rollback_of_what_is_on_trial(void **state)
{
	(void)state;
	assert_int_equal(rollback_ending(RESULT("upgrade", "rolled_back", "operator")), EXIT_OK);
	/* It had failed before it could be called off: what was wanted is there. */
	assert_int_equal(rollback_ending(RESULT("upgrade", "rolled_back", "crashed")), EXIT_OK);
	assert_int_equal(rollback_ending(RESULT("upgrade", "failed", "io")), EXIT_FAILED);
	/* It was confirmed before it could be called off: nothing went back. */
	assert_int_equal(rollback_ending(RESULT("upgrade", "confirmed", "none")), EXIT_TEMPORARY);
}

static void test_rollback_that_does_not_begin(void **state)
{
	(void)state;
	rollback_error = -EBUSY;
	assert_int_equal(rollback_ending("{}"), EXIT_TEMPORARY);
	rollback_error = -EACCES;
	assert_int_equal(rollback_ending("{}"), EXIT_NOT_PERMITTED);
	rollback_error = 0;
}

/* ---- status ---- */

static const char *status_text;

int __wrap_client_status(struct client *c, cJSON **ret, struct failure *failure);
int __wrap_client_status(struct client *c, cJSON **ret, struct failure *failure)
{
	(void)c, (void)failure;
	return json_parse(status_text, strlen(status_text), NULL, ret, NULL);
}

/* What the command prints, which must have this in it. */
static void expect_status(const struct scratch *s, bool as_json, const char *expected)
{
	static char a[] = "updaterd", b[] = "bmsd";
	_cleanup_free_ char *text = NULL;
	struct conf conf = { .n_programs = 2 };
	int saved = dup(STDOUT_FILENO),
	    fd = openat(s->dirfd, "out", O_RDWR | O_CREAT | O_TRUNC, 0600);
	size_t size;

	conf.agent_dir = (char *)(uintptr_t)s->path;
	conf.programs[0] = (struct conf_program){ .letter = 'A', .name = a };
	conf.programs[1] = (struct conf_program){ .letter = 'B', .name = b };
	assert_true(saved >= 0 && fd >= 0);
	(void)fflush(stdout);
	assert_true(dup2(fd, STDOUT_FILENO) >= 0);
	assert_int_equal(command_status(&conf, as_json), EXIT_OK);
	(void)fflush(stdout);
	assert_true(dup2(saved, STDOUT_FILENO) >= 0);
	(void)close(fd);
	(void)close(saved);
	assert_int_equal(fs_read_file(s->dirfd, "out", 4096, &text, &size), 0);
	if (!strstr(text, expected))
		fail_msg("%s: no %s", text, expected);
	if (!*expected)
		assert_null(strstr(text, "waits"));
}

#define STATUS(a) "{\"programs\":{\"A\":{\"current\":\"A202108010001\"" a "},\"B\":{}}}"

static void test_status_says_who_waits_for_what(void **state)
{
	static const char waits[] = "B202110010001 waits for A202110010001 or newer of program A, ";
	const struct scratch *s = *state;
	char expected[256];

	status_text = STATUS("");
	expect_status(s, false, "");
	expect_status(s, true, "");
	scratch_text(s->dirfd, "waiting", "B202110010001 A202110010001\n", 0600);
	(void)snprintf(expected, sizeof expected, "   %swhich has not come yet\n", waits);
	expect_status(s, false, expected);
	status_text = STATUS(",\"held\":\"forever\"");
	(void)snprintf(expected, sizeof expected, "%swhich is held: updaterd --unhold A\n", waits);
	expect_status(s, false, expected);
	expect_status(s, true,
		      "\"waits\":{\"version\":\"B202110010001\","
		      "\"needs\":\"A202110010001\",\"why\":\"held\"}");
	status_text = STATUS(",\"quarantined\":[\"A202110010001\"]");
	(void)snprintf(expected, sizeof expected,
		       "%swhich is quarantined: updaterd --clear-quarantine A202110010001\n",
		       waits);
	expect_status(s, false, expected);
	/* The agent's word is not always one. */
	scratch_text(s->dirfd, "waiting", "B202110010001 \033[2J\n", 0600);
	expect_status(s, false, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rollback_ends),
		cmocka_unit_test(test_rollback_of_what_is_on_trial),
		cmocka_unit_test(test_rollback_that_does_not_begin),
		cmocka_unit_test_setup_teardown(test_status_says_who_waits_for_what, scratch_setup,
						scratch_teardown),
	};

	log_set_level(LOG_CRIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
