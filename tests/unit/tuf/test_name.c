/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tuf/name.h"

static void expect_name(uint64_t version, const char *role, const char *expected)
{
	char name[TUF_FILE_NAME_BYTES];

	assert_int_equal(tuf_file_name(version, role, name), 0);
	assert_string_equal(name, expected);
}

static void test_file_names(void **state)
{
	(void)state;
	expect_name(0, "timestamp", "timestamp.json");
	expect_name(7, "snapshot", "7.snapshot.json");
	expect_name(9007199254740991, "B", "9007199254740991.B.json");
	expect_name(1, "azAZ09-._~", "1.azAZ09-._~.json");
	expect_name(1, "../a/b", "1...%2Fa%2Fb.json");
	expect_name(0, "..", "...json");
	expect_name(0, "/", "%2F.json");
	expect_name(0, "a%2Fb", "a%252Fb.json");
	expect_name(0, "\n \x7f?#[]@!$&'()*+,;=:",
		    "%0A%20%7F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C"
		    "%3B%3D%3A.json");
	expect_name(0, "\xc3\xb6", "%C3%B6.json");
}

static void test_every_byte_is_encoded_once(void **state)
{
	(void)state;
	for (int c = 1; c < 256; c++) {
		const char role[] = { (char)c, '\0' };
		char name[TUF_FILE_NAME_BYTES], expected[16];
		bool plain = c < 128 &&
			     strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~",
				    c);

		assert_int_equal(tuf_file_name(0, role, name), 0);
		if (plain)
			(void)snprintf(expected, sizeof expected, "%c.json", c);
		else
			(void)snprintf(expected, sizeof expected, "%%%02X.json", (unsigned)c);
		assert_string_equal(name, expected);
	}
}

static void test_too_long_for_a_file(void **state)
{
	char role[TUF_FILE_NAME_BYTES], name[TUF_FILE_NAME_BYTES] = "untouched";
	size_t most = TUF_FILE_NAME_BYTES - sizeof ".json";

	(void)state;
	memset(role, 'a', sizeof role);
	role[most + 1] = '\0';
	assert_int_equal(tuf_file_name(0, role, name), -ENAMETOOLONG);
	role[most] = '\0';
	assert_int_equal(tuf_file_name(1, role, name), -ENAMETOOLONG);
	assert_string_equal(name, "untouched");
	assert_int_equal(tuf_file_name(0, role, name), 0);
	assert_int_equal(strlen(name), TUF_FILE_NAME_BYTES - 1);
	role[most - 2] = '\0';
	assert_int_equal(tuf_file_name(1, role, name), 0);
	role[most - 3] = '/';
	assert_int_equal(tuf_file_name(1, role, name), -ENAMETOOLONG);
}

static void test_free_role_names(void **state)
{
	static const char *const taken[] = { "",	"root",	  "timestamp",	 "snapshot",
					     "targets", "1.root", "0012345.root" };
	static const char *const free_names[] = { "B",	     "Root",	 ".root",  "x.root",
						  "1.rooty", "1.2.root", "a/root", "..",
						  " ",	     "1.B" };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(taken); i++)
		assert_false(tuf_role_name_is_free(taken[i]));
	for (size_t i = 0; i < ELEMENTSOF(free_names); i++)
		assert_true(tuf_role_name_is_free(free_names[i]));
}

static void test_plain_paths(void **state)
{
	static const char *const bad[] = {
		"",	 "/etc/passwd", "..", "../x", "a/../b", "a/..",	  ".",
		"a/./b", "a//b",	"a/", "a\\b", "a\nb",	"a\177b", "/",
	};
	static const char *const fine[] = { "a",   "...",      "a/..b", ".hidden",
					    "a b", "\xc3\xa9", "%2e%2e" };
	char longest[1026];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		if (tuf_path_is_plain(bad[i]))
			fail_msg("'%s' passes for plain", bad[i]);
	for (size_t i = 0; i < ELEMENTSOF(fine); i++)
		if (!tuf_path_is_plain(fine[i]))
			fail_msg("'%s' does not pass for plain", fine[i]);
	memset(longest, 'a', sizeof longest);
	longest[1025] = '\0';
	assert_false(tuf_path_is_plain(longest));
	longest[1024] = '\0';
	assert_true(tuf_path_is_plain(longest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_names),
		cmocka_unit_test(test_every_byte_is_encoded_once),
		cmocka_unit_test(test_too_long_for_a_file),
		cmocka_unit_test(test_free_role_names),
		cmocka_unit_test(test_plain_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
