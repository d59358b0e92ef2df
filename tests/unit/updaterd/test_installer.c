/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that need no bus, and what Status says of what they did. */
#include "updaterd/installer.h"

#include "gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/json.h"
#include "updaterd/answered.h"
#include "updaterd/exit_codes.h"
#include "updaterd/status.h"

static int64_t now_sec;

int64_t __wrap_conf_effective_time_sec(int64_t last_trusted_sec);
int64_t __wrap_conf_effective_time_sec(int64_t last_trusted_sec)
{
	(void)last_trusted_sec;
	return now_sec;
}

static uid_t euid;

uid_t __wrap_geteuid(void);
uid_t __wrap_geteuid(void)
{
	return euid;
}

static int setup(void **state)
{
	now_sec = REPO_NOW_SEC;
	euid = 0;
	return gateway_setup(state);
}

/* ---- helpers ---- */

/* The member of a program's part of Status as text; "": it is not there. */
static void expect_status(struct gateway *g, char letter, const char *key, const char *expected)
{
	const char name[2] = { letter, '\0' };
	const cJSON *programs, *program, *member;
	_cleanup_free_ char *json = NULL, *text = NULL;
	_cleanup_json_ cJSON *status = NULL;

	assert_int_equal(status_format(&g->conf, NULL, &json), 0);
	assert_int_equal(json_parse(json, strlen(json), NULL, &status, NULL), 0);
	assert_int_equal(json_get_object(status, "programs", &programs, NULL), 0);
	assert_int_equal(json_get_object(programs, name, &program, NULL), 0);
	member = cJSON_GetObjectItemCaseSensitive(program, key);
	text = member ? json_print(member) : strdup("");
	assert_string_equal(text, expected);
}

static void fail_often(struct gateway *g, const char *text)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct version version = gateway_version(text);
	bool is_quarantined = false;

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	for (unsigned i = 0; i < STATE_MAX_FAILURES; i++)
		assert_int_equal(state_count_failure(s, &version, &is_quarantined), 0);
	assert_true(is_quarantined);
	assert_int_equal(journal_write(s->journal), 0);
}

/* ---- tests ---- */

static void test_holds_a_program(void **state)
{
	struct gateway *g = *state;
	char text[24];

	expect_status(g, 'B', "held", "");
	assert_int_equal(installer_hold(&g->conf, 'B', NULL), EXIT_OK);
	expect_status(g, 'B', "held", "\"forever\"");
	expect_status(g, 'A', "held", "");
	assert_int_equal(installer_hold(&g->conf, 'B', "+7d"), EXIT_OK);
	(void)snprintf(text, sizeof text, "%llu", REPO_NOW_SEC + 604800ULL);
	expect_status(g, 'B', "held", text);
	now_sec += 604800;
	expect_status(g, 'B', "held", "");
	assert_int_equal(installer_hold(&g->conf, 'B', "2001-01-01"), EXIT_USAGE);
	expect_status(g, 'B', "held", "");
}

static void test_holds_all_of_them(void **state)
{
	struct gateway *g = *state;

	assert_int_equal(installer_hold(&g->conf, 0, NULL), EXIT_OK);
	expect_status(g, 'A', "held", "\"forever\"");
	expect_status(g, 'B', "held", "\"forever\"");
	assert_int_equal(installer_unhold(&g->conf, 'A'), EXIT_OK);
	expect_status(g, 'A', "held", "");
	expect_status(g, 'B', "held", "\"forever\"");
	assert_int_equal(installer_unhold(&g->conf, 0), EXIT_OK);
	expect_status(g, 'B', "held", "");
	assert_int_equal(installer_unhold(&g->conf, 0), EXIT_OK);
}

/* What a newer updaterd means by it is not known, and not to upgrade is the safe side. */
static void test_what_is_not_understood_holds(void **state)
{
	struct gateway *g = *state;
	_cleanup_(state_closep) struct state *s = NULL;

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(journal_set(s->journal, "held_B", "until-the-weekend"), 0);
	assert_int_equal(state_held_until(s, 'B', REPO_NOW_SEC), STATE_FOREVER);
	assert_int_equal(journal_write(s->journal), 0);
	expect_status(g, 'B', "held", "\"forever\"");
}

/* An attempt has the journal in memory, and would write over what is decided meanwhile. */
static void test_decides_nothing_during_an_attempt(void **state)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct gateway *g = *state;

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(installer_hold(&g->conf, 'B', NULL), EXIT_TEMPORARY);
	assert_int_equal(installer_unhold(&g->conf, 'B'), EXIT_TEMPORARY);
	expect_status(g, 'B', "held", "");
}

/* A trial may wait for a day, and dpkg with it. */
static void test_nobody_waits_for_an_attempt(void **state)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct version version = gateway_version(NEW_B);
	struct gateway *g = *state;

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(installer_adopt(&g->conf, 'B'), EXIT_OK);
	assert_int_equal(installer_clear_quarantine(&g->conf, &version), EXIT_TEMPORARY);
	assert_int_equal(installer_clear_quarantine(&g->conf, NULL), EXIT_TEMPORARY);
	assert_int_equal(installer_disown(&g->conf, 'B'), EXIT_TEMPORARY);
	assert_int_equal(access(gateway_program(g, 'B')->space, F_OK), 0);
}

static void test_disowns_a_program(void **state)
{
	struct gateway *g = *state;

	assert_int_equal(installer_hold(&g->conf, 'B', NULL), EXIT_OK);
	assert_int_equal(installer_disown(&g->conf, 'B'), EXIT_OK);
	assert_int_equal(access(gateway_program(g, 'B')->space, F_OK), -1);
	expect_status(g, 'B', "held", "");
}

static void test_only_root_decides(void **state)
{
	struct gateway *g = *state;
	struct version version = gateway_version(NEW_B);

	euid = 1000;
	assert_int_equal(installer_hold(&g->conf, 'B', NULL), EXIT_NOT_PERMITTED);
	assert_int_equal(installer_unhold(&g->conf, 'B'), EXIT_NOT_PERMITTED);
	assert_int_equal(installer_clear_quarantine(&g->conf, &version), EXIT_NOT_PERMITTED);
	euid = 0;
	expect_status(g, 'B', "held", "");
}

static void test_clears_the_quarantine(void **state)
{
	struct version version = gateway_version(NEW_B);
	struct gateway *g = *state;

	fail_often(g, NEW_A);
	fail_often(g, NEW_B);
	fail_often(g, NEXT_B);
	expect_status(g, 'B', "quarantined", "[\"" NEW_B "\",\"" NEXT_B "\"]");
	assert_int_equal(installer_clear_quarantine(&g->conf, &version), EXIT_OK);
	expect_status(g, 'B', "quarantined", "[\"" NEXT_B "\"]");
	assert_int_equal(installer_clear_quarantine(&g->conf, &version), EXIT_OK);
	assert_int_equal(installer_clear_quarantine(&g->conf, NULL), EXIT_OK);
	expect_status(g, 'A', "quarantined", "[]");
	expect_status(g, 'B', "quarantined", "[]");
}

static void test_tells_since_when_it_is_postponed(void **state)
{
	struct gateway *g = *state;
	struct result r;
	char text[24];

	g->before = PROBE_NOT_NOW;
	g->before_output = "{}";
	gateway_publish(g, NEW_B, NULL);
	expect_status(g, 'B', "postponed_since_sec", "");
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	(void)snprintf(text, sizeof text, "%llu", (unsigned long long)REPO_NOW_SEC);
	expect_status(g, 'B', "postponed_since_sec", text);
	g->before = PROBE_GOOD;
	assert_int_equal(gateway_upgrade(g, NEW_B, &r), 0);
	expect_status(g, 'B', "postponed_since_sec", "");
}

static void expect_answered(struct gateway *g, const char *expected)
{
	_cleanup_free_ char *json = NULL, *text = NULL;
	_cleanup_json_ cJSON *status = NULL;
	const cJSON *member;

	assert_int_equal(status_format(&g->conf, NULL, &json), 0);
	assert_int_equal(json_parse(json, strlen(json), NULL, &status, NULL), 0);
	member = cJSON_GetObjectItemCaseSensitive(status, "answered_sec");
	text = member ? json_print(member) : strdup("");
	assert_string_equal(text, expected);
}

static void test_tells_when_the_server_last_answered(void **state)
{
	struct gateway *g = *state;
	_cleanup_close_ int agent_fd = FD_NONE;

	expect_answered(g, "");
	assert_int_equal(mkdir(g->conf.agent_dir, 0700), 0);
	agent_fd = open(g->conf.agent_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(agent_fd >= 0);
	expect_answered(g, "");
	assert_int_equal(answered_store(agent_fd, 1800000000), 0);
	expect_answered(g, "1800000000");
	/* More than JSON may hold: Status answers all the same. */
	assert_int_equal(answered_store(agent_fd, INT64_MAX), 0);
	expect_answered(g, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, gateway_teardown)
		TEST(test_holds_a_program),
		TEST(test_holds_all_of_them),
		TEST(test_what_is_not_understood_holds),
		TEST(test_decides_nothing_during_an_attempt),
		TEST(test_nobody_waits_for_an_attempt),
		TEST(test_disowns_a_program),
		TEST(test_only_root_decides),
		TEST(test_clears_the_quarantine),
		TEST(test_tells_since_when_it_is_postponed),
		TEST(test_tells_when_the_server_last_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
