/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of a probe; running it needs systemd and is a system test's. */
#include "updaterd/systemd.h"

#include "scratch.h"

#include <errno.h>

#define RELEASE "/opt/bmsd/releases/B202108010001"

static void expect(const char *command, size_t n, const char *const *expected)
{
	_cleanup_(probe_words_freep) char **words = NULL;

	assert_int_equal(probe_split(command, RELEASE, &words), 0);
	for (size_t i = 0; i < n; i++) {
		assert_non_null(words[i]);
		assert_string_equal(words[i], expected[i]);
	}
	assert_null(words[n]);
}
#define EXPECT(command, ...)                                                                       \
	expect(command, ELEMENTSOF(((const char *const[]){ __VA_ARGS__ })),                        \
	       (const char *const[]){ __VA_ARGS__ })

static void test_splits_into_words(void **state)
{
	(void)state;
	EXPECT("/bin/true", "/bin/true");
	EXPECT(" \t/bin/a  b\tc ", "/bin/a", "b", "c");
	EXPECT("/bin/a \"b c\" d\"e f\"g \"\"", "/bin/a", "b c", "de fg", "");
	EXPECT("{release}/bin/bmsd --probe", RELEASE "/bin/bmsd", "--probe");
	EXPECT("/bin/a \"{release}\" x{release}y {releas} {}", "/bin/a", RELEASE, "x" RELEASE "y",
	       "{releas}", "{}");
	/* There is no shell, so these are but letters. */
	EXPECT("/bin/a $HOME `id` ; | 'b c'", "/bin/a", "$HOME", "`id`", ";", "|", "'b", "c'");
}

static void test_refuses_what_is_no_command(void **state)
{
	static const char *const bad[] = { "",	   "  ",  "bmsd --probe",    "/bin/a \"b",
					   "\"\"", "./a", "x{release}/bin/a" };
	_cleanup_(probe_words_freep) char **words = NULL;
	char many[256] = "/bin/a";

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_int_equal(probe_split(bad[i], RELEASE, &words), -EINVAL);
	for (size_t i = 0; i < 64; i++)
		(void)strcat(many, " b");
	assert_int_equal(probe_split(many, RELEASE, &words), -EINVAL);
	assert_null(words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_splits_into_words),
		cmocka_unit_test(test_refuses_what_is_no_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
