/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/reason.h"

#define LOWER_CASE "abcdefghijklmnopqrstuvwxyz"

/* Names stand in the protocol, in archives and in scripts of operators. */
static void test_names_are_those_of_the_protocol(void **state)
{
	(void)state;
	assert_string_equal(step_name(STEP_NONE), "none");
	assert_string_equal(step_name(STEP_QUERY), "query");
	assert_string_equal(step_name(STEP_ROLLBACK), "rollback");
	assert_string_equal(step_name(STEP_REPORT), "report");
	assert_string_equal(outcome_name(OUTCOME_NONE), "none");
	assert_string_equal(outcome_name(OUTCOME_CONFIRMED), "confirmed");
	assert_string_equal(outcome_name(OUTCOME_ROLLED_BACK), "rolled_back");
	assert_string_equal(outcome_name(OUTCOME_FAILED), "failed");
	assert_string_equal(outcome_name(OUTCOME_REFUSED), "refused");
	assert_string_equal(outcome_name(OUTCOME_POSTPONED), "postponed");
	assert_string_equal(reason_name(REASON_NONE), "none");
	assert_string_equal(reason_name(REASON_NETWORK), "network");
	assert_string_equal(reason_name(REASON_METADATA_ROLLBACK), "metadata-rollback");
	assert_string_equal(reason_name(REASON_OLDER_VERSION), "older-version");
	assert_string_equal(reason_name(REASON_TAR_ESCAPE), "tar-escape");
	assert_string_equal(reason_name(REASON_TAR_SETID), "tar-setid");
	assert_string_equal(reason_name(REASON_NOT_READY), "not-ready");
	assert_string_equal(reason_name(REASON_INTERNAL), "internal");
}

/* A hole in a table, or a name given twice, would not come back as what it was. */
static void test_every_name_comes_back(void **state)
{
	(void)state;
	for (int i = 0; i < _STEP_MAX; i++) {
		assert_non_null(step_name((enum step)i));
		assert_int_equal(step_from_name(step_name((enum step)i)), i);
	}
	for (int i = 0; i < _OUTCOME_MAX; i++) {
		assert_non_null(outcome_name((enum outcome)i));
		assert_int_equal(outcome_from_name(outcome_name((enum outcome)i)), i);
	}
	for (int i = 0; i < _REASON_MAX; i++) {
		const char *name = reason_name((enum reason)i);

		assert_non_null(name);
		assert_int_equal(reason_from_name(name), i);
		assert_int_equal(strspn(name, LOWER_CASE "-"), strlen(name));
	}
}

static void test_every_reason_is_explained(void **state)
{
	(void)state;
	for (int i = 0; i < _REASON_MAX; i++) {
		const char *help = reason_help((enum reason)i);

		assert_non_null(help);
		assert_true(strlen(help) > 15);
		assert_int_equal(help[strlen(help) - 1], '.');
		for (int j = 0; j < i; j++)
			assert_string_not_equal(help, reason_help((enum reason)j));
	}
}

static void test_outside_the_tables(void **state)
{
	static const char *const unknown[] = { "",	 "Query", "tar_escape", "rolled-back",
					       "query ", "nosuch" };

	(void)state;
	assert_null(step_name(_STEP_MAX));
	assert_null(step_name((enum step) - 1));
	assert_null(outcome_name(_OUTCOME_MAX));
	assert_null(reason_name(_REASON_MAX));
	assert_null(reason_name((enum reason)1000));
	assert_null(reason_help(_REASON_MAX));
	for (size_t i = 0; i < ELEMENTSOF(unknown); i++) {
		assert_int_equal(step_from_name(unknown[i]), -1);
		assert_int_equal(outcome_from_name(unknown[i]), -1);
		assert_int_equal(reason_from_name(unknown[i]), -1);
	}
}

static void test_from_errno(void **state)
{
	(void)state;
	assert_int_equal(reason_from_errno(-ENOSPC), REASON_NO_SPACE);
	assert_int_equal(reason_from_errno(ENOSPC), REASON_NO_SPACE);
	assert_int_equal(reason_from_errno(-EDQUOT), REASON_NO_SPACE);
	assert_int_equal(reason_from_errno(-ENOMEM), REASON_NO_MEMORY);
	assert_int_equal(reason_from_errno(-EUCLEAN), REASON_DAMAGED);
	assert_int_equal(reason_from_errno(-EIO), REASON_IO);
	assert_int_equal(reason_from_errno(-EROFS), REASON_IO);
	assert_int_equal(reason_from_errno(0), REASON_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_those_of_the_protocol),
		cmocka_unit_test(test_every_name_comes_back),
		cmocka_unit_test(test_every_reason_is_explained),
		cmocka_unit_test(test_outside_the_tables),
		cmocka_unit_test(test_from_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
