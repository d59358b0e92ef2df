/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"

static void assert_masked(const char *text, const char *want)
{
	char copy[64];

	assert_true(strlen(text) < sizeof copy);
	memcpy(copy, text, strlen(text) + 1);
	log_mask_controls(copy);
	assert_string_equal(copy, want);
}

static void test_masks_controls(void **state)
{
	(void)state;
	assert_masked("", "");
	assert_masked("a\nb\tc\x1b[2J\x7f", "a?b?c?[2J?");
	assert_masked("\x01 \x1f~", "? ?~");
	assert_masked("\xc2\x80\xc2\x9f", "????");
	assert_masked("a\xc2\x9b"
		      "2J",
		      "a??2J");
}

static void test_leaves_text(void **state)
{
	(void)state;
	assert_masked("Größe 5 \xc2\xa0\xc2\xb5", "Größe 5 \xc2\xa0\xc2\xb5");
	assert_masked("\xe2\x82\xac \xf0\x9f\x98\x80", "\xe2\x82\xac \xf0\x9f\x98\x80");
	assert_masked("cut \xc2", "cut \xc2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_masks_controls),
		cmocka_unit_test(test_leaves_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
