/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/waiting.h"

#include "scratch.h"

#include <errno.h>

#include "common/json.h"

#define A2 "A202110010002"
#define B2 "B202110010002"

static struct version version(const char *text)
{
	struct version v;

	assert_int_equal(version_parse(text, &v), 0);
	return v;
}

static void put(const struct scratch *s, const char *text)
{
	scratch_text(s->dirfd, WAITING_FILE, text, 0600);
}

static void test_is_kept(void **state)
{
	const struct scratch *s = *state;
	struct version b = version(B2), a = version(A2);
	struct waiting w = { .n = 0 }, found;

	waiting_add(&w, &b, &a);
	waiting_add(&w, &a, &b);
	assert_int_equal(waiting_store(s->dirfd, &w), 0);
	assert_int_equal(waiting_load(s->dirfd, &found), 0);
	assert_int_equal(found.n, 2);
	assert_string_equal(found.list[0].version.text, B2);
	assert_string_equal(found.list[0].needed.text, A2);
	assert_string_equal(found.list[1].needed.text, B2);
}

static void test_goes_when_nothing_waits(void **state)
{
	const struct scratch *s = *state;
	struct waiting none = { .n = 0 }, found;

	put(s, B2 " " A2 "\n");
	assert_int_equal(waiting_store(s->dirfd, &none), 0);
	assert_int_equal(waiting_load(s->dirfd, &found), -ENOENT);
	assert_int_equal(waiting_store(s->dirfd, &none), 0);
}

static void test_no_more_than_there_are_programs(void **state)
{
	const struct scratch *s = *state;
	struct version b = version(B2), a = version(A2);
	struct waiting w = { .n = 0 }, found;

	for (unsigned i = 0; i < CONF_MAX_PROGRAMS + 3; i++)
		waiting_add(&w, &b, &a);
	assert_int_equal(waiting_store(s->dirfd, &w), 0);
	assert_int_equal(waiting_load(s->dirfd, &found), 0);
	assert_int_equal(found.n, CONF_MAX_PROGRAMS);
}

static void test_reads_nothing_else(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		B2 " " A2,
		B2 "\n",
		B2 "  " A2 "\n",
		B2 " " A2 " \n",
		B2 " " A2 " " A2 "\n",
		B2 " ../../etc/passwd\n",
		B2 " " A2 "\n\n",
		B2 " " A2 "\r\n",
		"\x1b[2J " A2 "\n",
	};
	const struct scratch *s = *state;
	struct waiting found = { .n = 77 };

	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		put(s, texts[i]);
		if (waiting_load(s->dirfd, &found) != -EBADMSG)
			fail_msg("'%s' was read", texts[i]);
	}
	scratch_write(s->dirfd, WAITING_FILE, B2 "\0" A2 "\n", 2 * VERSION_LENGTH + 2, 0600);
	assert_int_equal(waiting_load(s->dirfd, &found), -EBADMSG);
	assert_int_equal(unlinkat(s->dirfd, WAITING_FILE, 0), 0);
	assert_int_equal(mkfifoat(s->dirfd, WAITING_FILE, 0600), 0);
	assert_true(waiting_load(s->dirfd, &found) < 0);
	assert_int_equal(unlinkat(s->dirfd, WAITING_FILE, 0), 0);
	assert_int_equal(symlinkat("/etc/hostname", s->dirfd, WAITING_FILE), 0);
	assert_true(waiting_load(s->dirfd, &found) < 0);
	assert_int_equal(found.n, 77);
}

/* What the status of B says, of B2 that waits for A2. */
static void expect_waits(const char *programs, const char *expected)
{
	struct version b = version(B2), a = version(A2);
	_cleanup_json_ cJSON *status = NULL;
	_cleanup_free_ char *text = NULL;
	struct waiting w = { .n = 0 };
	const cJSON *waits;

	waiting_add(&w, &b, &a);
	waiting_add(&w, &b, &a);
	assert_int_equal(json_parse(programs, strlen(programs), NULL, &status, NULL), 0);
	assert_int_equal(waiting_add_to_status(&w, status), 0);
	waits = cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(
			cJSON_GetObjectItemCaseSensitive(status, "programs"), "B"),
		"waits");
	text = waits ? json_print(waits) : strdup("");
	assert_string_equal(text, expected);
}

#define PROGRAMS(a, b) "{\"programs\":{\"A\":{" a "},\"B\":{" b "}}}"
#define OLD(letter)    "\"current\":\"" letter "202110010001\""
#define WAITS(why)     "{\"version\":\"" B2 "\",\"needs\":\"" A2 "\",\"why\":\"" why "\"}"

static void test_says_why(void **state)
{
	(void)state;
	expect_waits(PROGRAMS(OLD("A"), OLD("B")), WAITS("missing"));
	expect_waits(PROGRAMS(OLD("A") ",\"held\":\"forever\"", OLD("B")), WAITS("held"));
	expect_waits(PROGRAMS(OLD("A") ",\"held\":1796000000", OLD("B")), WAITS("held"));
	expect_waits(PROGRAMS(OLD("A") ",\"quarantined\":[\"" A2 "\"]", OLD("B")),
		     WAITS("quarantined"));
	expect_waits(PROGRAMS(OLD("A") ",\"quarantined\":[\"A202110010009\"]", OLD("B")),
		     WAITS("missing"));
	expect_waits(PROGRAMS("", OLD("B")), WAITS("missing"));
	expect_waits("{\"programs\":{\"B\":{}}}", WAITS("missing"));
}

/* Since the last run what was missing has come, or what waited has, by a person's hand. */
static void test_what_is_over_is_not_said(void **state)
{
	(void)state;
	expect_waits(PROGRAMS("\"current\":\"" A2 "\"", OLD("B")), "");
	expect_waits(PROGRAMS("\"current\":\"A202110010003\"", OLD("B")), "");
	expect_waits(PROGRAMS(OLD("A"), "\"current\":\"" B2 "\""), "");
	expect_waits(PROGRAMS(OLD("A"), OLD("B") ",\"waits\":0"), "0");
	expect_waits("{\"programs\":7}", "");
	expect_waits("{}", "");
}

#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_is_kept),
		T(test_goes_when_nothing_waits),
		T(test_no_more_than_there_are_programs),
		T(test_reads_nothing_else),
		cmocka_unit_test(test_says_why),
		cmocka_unit_test(test_what_is_over_is_not_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
