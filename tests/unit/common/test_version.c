/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/version.h"

static struct version parsed(const char *text)
{
	struct version v;

	assert_int_equal(version_parse(text, &v), 0);
	return v;
}

static void test_parses(void **state)
{
	struct version v = parsed("B202109010001");

	(void)state;
	assert_int_equal(v.program, 'B');
	assert_int_equal(v.date, 20210901);
	assert_int_equal(v.serial, 1);
	assert_string_equal(v.text, "B202109010001");
}

static void test_edges(void **state)
{
	static const char *const good[] = { "A200001010001", "Z219912319999", "B202402290001",
					    "B200002290001", "B202104300010", "B202112310100" };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		assert_string_equal(parsed(good[i]).text, good[i]);
}

static void test_refuses(void **state)
{
	static const char *const bad[] = {
		"",
		"B",
		"B20210901000",
		"B2021090100011",
		"B202109010001 ",
		" B202109010001",
		"B202109010001\n",
		"b202109010001",
		"1202109010001",
		"[202109010001",
		"@202109010001",
		"BB02109010001",
		"B2021-9010001",
		"B20210901000x",
		"B+02109010001",
		"B202109010000", /* serials start at 1 */
		"B199912310001",
		"B220001010001",
		"B202100010001",
		"B202113010001",
		"B202109000001",
		"B202109310001",
		"B202102290001",
		"B210002290001", /* no leap year */
		"B202109320001",
	};
	struct version v = { .program = 'X' };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		if (version_parse(bad[i], &v) != -EINVAL)
			fail_msg("'%s' was accepted", bad[i]);
	}
	assert_int_equal(v.program, 'X');
}

/* Each is older than all that follow it. */
static void test_order(void **state)
{
	static const char *const order[] = { "B200001010001", "B202109010001", "B202109010002",
					     "B202109010010", "B202109020001", "B202110010001",
					     "B202201010001" };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(order); i++) {
		for (size_t j = 0; j < ELEMENTSOF(order); j++) {
			struct version a = parsed(order[i]), b = parsed(order[j]);
			int r = version_compare(&a, &b);

			assert_int_equal((r > 0) - (r < 0), (i > j) - (i < j));
		}
	}
}

static void test_same_program(void **state)
{
	struct version a = parsed("A202109010001"), b = parsed("B202109010001");
	struct version b2 = parsed("B202109010002");

	(void)state;
	assert_false(version_same_program(&a, &b));
	assert_true(version_same_program(&b, &b2));
}

static void test_comparison_across_programs_is_a_bug(void **state)
{
	struct version a = parsed("A202109010001"), b = parsed("B202109010001");
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(1);
		_exit(version_compare(&a, &b));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parses),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_same_program),
		cmocka_unit_test(test_comparison_across_programs_is_a_bug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
