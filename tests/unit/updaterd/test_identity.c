/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "scratch.h"
#include "updaterd/identity.h"

static char imei[] = "imei", machine_id[] = "machine-id", name[] = "name";
static char good_imei[] = "490154203237518";

static void test_imei(void **state)
{
	(void)state;
	assert_true(identity_is_imei("490154203237518"));
	assert_true(identity_is_imei("352099001761481"));
	assert_true(identity_is_imei("000000000000000"));
	assert_false(identity_is_imei("490154203237519"));
	assert_false(identity_is_imei("490154203237581")); /* two digits swapped */
	assert_false(identity_is_imei("49015420323751"));
	assert_false(identity_is_imei("4901542032375180"));
	assert_false(identity_is_imei("49015420323751a"));
	assert_false(identity_is_imei("-90154203237518"));
	assert_false(identity_is_imei(""));
}

/* Luhn: of the ten last digits exactly one is right, whatever stands before. */
static void test_imei_check_digit(void **state)
{
	char text[16] = "356938035643800";

	(void)state;
	for (char seven = '0'; seven <= '9'; seven++) {
		unsigned right = 0;

		text[7] = seven;
		for (char last = '0'; last <= '9'; last++) {
			text[14] = last;
			right += identity_is_imei(text);
		}
		assert_int_equal(right, 1);
	}
}

static void test_forms(void **state)
{
	char longest[IDENTITY_MAX_LENGTH + 2];

	(void)state;
	assert_true(identity_is_valid("machine-id", "0123456789abcdef0123456789abcdef"));
	assert_false(identity_is_valid("machine-id", "0123456789ABCDEF0123456789abcdef"));
	assert_false(identity_is_valid("machine-id", "0123456789abcdef0123456789abcde"));
	assert_false(identity_is_valid("machine-id", "01234567-89ab-cdef-0123-456789abcdef"));
	assert_true(identity_is_valid("name", "gw-1.lab:A_7"));
	assert_false(identity_is_valid("name", ""));
	assert_false(identity_is_valid("name", "two words"));
	assert_false(identity_is_valid("name", "a/b"));
	assert_false(identity_is_valid("name", "\xc3\xa4"));
	memset(longest, 'x', sizeof longest);
	longest[IDENTITY_MAX_LENGTH] = '\0';
	assert_true(identity_is_valid("name", longest));
	longest[IDENTITY_MAX_LENGTH] = 'x';
	longest[IDENTITY_MAX_LENGTH + 1] = '\0';
	assert_false(identity_is_valid("name", longest));
	assert_false(identity_is_valid("mac", "0123"));
}

static void test_value(void **state)
{
	struct conf conf = { .identity_type = imei, .identity_value = good_imei };
	_cleanup_json_ cJSON *json = NULL;
	_cleanup_free_ char *text = NULL;
	struct failure failure = { 0 };
	struct identity id;
	char wrong[] = "490154203237517";

	(void)state;
	assert_int_equal(identity_load(&conf, &id, &failure), 0);
	assert_string_equal(id.type, "imei");
	assert_string_equal(id.value, good_imei);
	json = identity_to_json(&id);
	text = json_print(json);
	assert_string_equal(text, "{\"type\":\"imei\",\"value\":\"490154203237518\"}");
	conf.identity_value = wrong;
	assert_int_equal(identity_load(&conf, &id, &failure), -EINVAL);
	assert_non_null(strstr(failure.text, wrong));
	assert_string_equal(id.value, good_imei);
}

static void test_file(void **state)
{
	struct scratch *s = *state;
	struct failure failure = { 0 };
	char path[128], *big = calloc(1, 5000);
	struct conf conf = { .identity_type = imei, .identity_file = path };
	struct identity id;

	assert_non_null(big);
	(void)snprintf(path, sizeof path, "%s/imei", s->path);
	assert_int_equal(identity_load(&conf, &id, &failure), -ENOENT);
	scratch_text(s->dirfd, "imei", " \t490154203237518\r\n\n", 0644);
	assert_int_equal(identity_load(&conf, &id, &failure), 0);
	assert_string_equal(id.value, good_imei);
	scratch_write(s->dirfd, "imei", "490154203237518\0x", 17, 0644);
	assert_int_equal(identity_load(&conf, &id, &failure), -EINVAL);
	memset(big, ' ', 4999);
	scratch_text(s->dirfd, "imei", big, 0644);
	assert_int_equal(identity_load(&conf, &id, &failure), -EFBIG);
	free(big);
}

static void test_machine_id(void **state)
{
	struct scratch *s = *state;
	struct failure failure = { 0 };
	char path[128];
	struct conf conf = { .identity_type = machine_id, .identity_file = path };
	struct identity id;

	(void)snprintf(path, sizeof path, "%s/machine-id", s->path);
	scratch_text(s->dirfd, "machine-id", "0123456789abcdef0123456789abcdef\n", 0444);
	assert_int_equal(identity_load(&conf, &id, &failure), 0);
	assert_string_equal(id.value, "0123456789abcdef0123456789abcdef");
	scratch_text(s->dirfd, "machine-id", "uninitialized\n", 0444);
	assert_int_equal(identity_load(&conf, &id, &failure), -EINVAL);
}

static void test_command(void **state)
{
	struct scratch *s = *state;
	struct failure failure = { 0 };
	char command[160];
	struct conf conf = { .identity_type = name, .identity_command = command };
	struct identity id;

	(void)snprintf(command, sizeof command, "  printf   gw-%%s  7 ");
	assert_int_equal(identity_load(&conf, &id, &failure), 0);
	assert_string_equal(id.value, "gw-7");
	/* No shell: a semicolon is only an argument. */
	(void)snprintf(command, sizeof command, "echo x;touch %s/made", s->path);
	assert_int_equal(identity_load(&conf, &id, &failure), -EINVAL);
	assert_int_equal(faccessat(s->dirfd, "made", F_OK, 0), -1);
	(void)snprintf(command, sizeof command, "false");
	assert_int_equal(identity_load(&conf, &id, &failure), -ECHILD);
	(void)snprintf(command, sizeof command, "/nonexistent/command");
	assert_true(identity_load(&conf, &id, &failure) < 0);
}

static void test_command_limits(void **state)
{
	char *output = NULL, words[200] = "true";

	(void)state;
	assert_int_equal(identity_run_command("sleep 1000", 50, &output), -ETIMEDOUT);
	assert_int_equal(identity_run_command("yes", 10000, &output), -EFBIG);
	assert_int_equal(identity_run_command("", 1000, &output), -EINVAL);
	assert_int_equal(identity_run_command(" \t", 1000, &output), -EINVAL);
	for (int i = 0; i < 40; i++)
		(void)strcat(words, " a");
	assert_int_equal(identity_run_command(words, 1000, &output), -EINVAL);
	assert_null(output);
}

/* The output has ended, the process has not. */
static void test_command_that_stays(void **state)
{
	struct scratch *s = *state;
	char path[128], *output = NULL;

	(void)snprintf(path, sizeof path, "%s/command", s->path);
	scratch_text(s->dirfd, "command",
		     "#!/bin/sh\necho gw-9\nexec >&-\ni=0\n"
		     "while [ $i -lt 5000 ]; do i=$((i+1)); done\n",
		     0755);
	assert_int_equal(identity_run_command(path, 10000, &output), 0);
	assert_string_equal(output, "gw-9\n");
	free(output);
	scratch_text(s->dirfd, "command", "#!/bin/sh\necho gw-9\nexec >&-\nexec sleep 1000\n",
		     0755);
	assert_int_equal(identity_run_command(path, 50, &output), -ETIMEDOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_imei),
		cmocka_unit_test(test_imei_check_digit),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_value),
		cmocka_unit_test_setup_teardown(test_file, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(test_machine_id, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(test_command, scratch_setup, scratch_teardown),
		cmocka_unit_test(test_command_limits),
		cmocka_unit_test_setup_teardown(test_command_that_stays, scratch_setup,
						scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
