/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queryd/ctl.h"

static const char *const headings[] = { "NAME", "N", "NOTE", NULL };

static char *printed(const struct table *t, bool is_terminal)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	assert_non_null(to);
	assert_int_equal(table_print(t, to, is_terminal), 0);
	assert_int_equal(fclose(to), 0);
	return text;
}

static void test_columns(void **state)
{
	_cleanup_(table_freep) struct table *t = NULL;
	_cleanup_free_ char *text = NULL;

	(void)state;
	assert_int_equal(table_new(headings, &t), 0);
	table_cell(t, "a");
	table_cell(t, "%d", 12345);
	table_cell(t, "x");
	table_cell(t, "gr\xc3\xb6\xc3\x9f"
		      "e");
	table_cell(t, "1");
	table_cell(t, "%s", "");
	text = printed(t, false);
	assert_string_equal(text, "NAME   N      NOTE\n"
				  "a      12345  x\n"
				  "gr\xc3\xb6\xc3\x9f"
				  "e  1      \n");
}

static void test_empty(void **state)
{
	_cleanup_(table_freep) struct table *t = NULL;
	_cleanup_free_ char *text = NULL;

	(void)state;
	assert_int_equal(table_new(headings, &t), 0);
	text = printed(t, true);
	assert_string_equal(text, "\033[1mNAME  N  NOTE\n\033[0m");
}

/* A note may come from anywhere; no byte of it may reach the terminal as a command. */
static void test_control_characters(void **state)
{
	_cleanup_(table_freep) struct table *t = NULL;
	_cleanup_free_ char *text = NULL;

	(void)state;
	assert_int_equal(table_new(headings, &t), 0);
	table_cell(t, "\033[2J\n\t\r");
	table_cell(t, "\x7f");
	table_cell(t, "\xc2\x9b"
		      "31m\xc2\xa0\xc2");
	text = printed(t, false);
	assert_string_equal(text, "NAME     N  NOTE\n"
				  "?[2J???  ?  ??31m\xc2\xa0\xc2\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_control_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
