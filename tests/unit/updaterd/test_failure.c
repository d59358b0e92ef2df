/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/failure.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_sets_word_and_sentence(void **state)
{
	struct failure f = { 0 };

	(void)state;
	assert_int_equal(failure_set(&f, -EPERM, REASON_EXPIRED, "%s: %d", "x", 7), -EPERM);
	assert_int_equal(f.reason, REASON_EXPIRED);
	assert_string_equal(f.text, "x: 7");
	assert_int_equal(failure_set_errno(&f, -ENOSPC, "%s", "x"), -ENOSPC);
	assert_int_equal(f.reason, REASON_NO_SPACE);
	assert_string_equal(f.text, "x: No space left on device");
}

/* Metadata may call a role or a target anything, and the sentence ends where the room does. */
static void test_carries_anybodys_words(void **state)
{
	char words[1000];
	struct failure f = { 0 };

	(void)state;
	(void)failure_set(&f, -1, REASON_IO, "'%s'", "a\xc3\xa4\x1b[2J\n\xff\x7f%s");
	assert_string_equal(f.text, "'a???[2J???%s'");
	for (size_t i = 0; i < sizeof words - 1; i++)
		words[i] = i % 2 ? '\xa4' : '\xc3';
	words[sizeof words - 1] = '\0';
	(void)failure_set(&f, -1, REASON_IO, "%s", words);
	assert_int_equal(strspn(f.text, "?"), sizeof f.text - 1);
	(void)failure_set_errno(&f, -EIO, "%s", words);
	assert_int_equal(strspn(f.text, "?"), sizeof f.text - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sets_word_and_sentence),
		cmocka_unit_test(test_carries_anybodys_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
