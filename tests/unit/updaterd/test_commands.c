/* SPDX-License-Identifier: Apache-2.0 */
/* What --rollback makes of the end of an attempt. The installer is played. */
#include "updaterd/commands.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rollback_ends),
		cmocka_unit_test(test_rollback_of_what_is_on_trial),
		cmocka_unit_test(test_rollback_that_does_not_begin),
	};

	log_set_level(LOG_CRIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
