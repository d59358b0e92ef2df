/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bmsd/probe.h"
#include "common/json.h"

#define VERSION "B202109010001"

/* A healthy daemon with one pack, before and after. */
static const char good[] =
	"{\"schema\":1,\"version\":\"B202109010001\",\"ready\":true,\"update_ok\":true,"
	"\"update_reasons\":[],\"packs\":[{\"number\":0,\"name\":\"0\",\"link\":\"up\","
	"\"detail\":\"\",\"model\":\"BOARD\",\"present\":true,\"cells\":13,\"recent_polls\":60,"
	"\"error_rate_permille\":0,\"soc_percent\":72,"
	"\"state\":{\"on_disk\":true,\"restored\":true}}]}";

static cJSON *parse(const char *text)
{
	cJSON *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), NULL, &json, NULL), 0);
	return json;
}

/* good with one member's value replaced: path "ready", "pack.link" or "state.restored". value is
 * JSON, or NULL to remove the member. */
static cJSON *good_but(const char *path, const char *value)
{
	cJSON *root = parse(good), *at = root;
	const char *key = path;

	if (strncmp(path, "pack.", 5) == 0 || strncmp(path, "state.", 6) == 0) {
		at = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "packs"), 0);
		key = strchr(path, '.') + 1;
	}
	if (path[0] == 's' && at != root)
		at = cJSON_GetObjectItem(at, "state");
	cJSON_DeleteItemFromObjectCaseSensitive(at, key);
	if (value)
		assert_true(cJSON_AddItemToObject(at, key, cJSON_Parse(value)));
	return root;
}

static enum probe_verdict judge(cJSON *before, cJSON *after, char *ret_reason, size_t size)
{
	_cleanup_json_ cJSON *b = before, *a = after, *reasons = cJSON_CreateArray();
	enum probe_verdict v = probe_judge_after(b, a, VERSION, reasons);
	const cJSON *first = cJSON_GetArrayItem(reasons, 0);

	(void)snprintf(ret_reason, size, "%s", first ? first->valuestring : "");
	/* A verdict other than "well" says why. */
	assert_int_equal(v != PROBE_WELL, cJSON_GetArraySize(reasons) > 0);
	return v;
}

static void expect(cJSON *before, cJSON *after, enum probe_verdict verdict, const char *reason)
{
	char first[256];

	assert_int_equal(judge(before, after, first, sizeof first), verdict);
	if (!strstr(first, reason))
		fail_msg("'%s' is not in '%s'", reason, first);
}

static void test_as_well_as_before(void **state)
{
	(void)state;
	expect(parse(good), parse(good), PROBE_WELL, "");
	expect(NULL, parse(good), PROBE_WELL, "");
}

static void test_another_version_answers(void **state)
{
	(void)state;
	expect(parse(good), good_but("version", "\"B202108010001\""), PROBE_OTHER_VERSION,
	       "'B202108010001' answers, expected is 'B202109010001'");
	expect(NULL, good_but("version", NULL), PROBE_OTHER_VERSION, "''");
	expect(NULL, good_but("version", "7"), PROBE_OTHER_VERSION, "''");
}

static void test_any_version_is_expected(void **state)
{
	_cleanup_json_ cJSON *h = good_but("version", "\"x\""), *reasons = cJSON_CreateArray();

	(void)state;
	assert_int_equal(probe_judge_after(NULL, h, NULL, reasons), PROBE_WELL);
}

static void test_not_ready(void **state)
{
	(void)state;
	expect(parse(good), good_but("ready", "false"), PROBE_NOT_YET, "not ready");
	expect(NULL, good_but("ready", "false"), PROBE_NOT_YET, "not ready");
}

static void test_link_and_sample_must_come_back(void **state)
{
	(void)state;
	expect(parse(good), good_but("pack.link", "\"down\""), PROBE_NOT_YET, "link was up before");
	expect(parse(good), good_but("pack.present", "false"), PROBE_NOT_YET, "no fresh plausible");
	expect(parse(good), good_but("pack.soc_percent", NULL), PROBE_NOT_YET, "unknown");
	expect(parse(good), good_but("packs", "[]"), PROBE_BAD, "served before");
	expect(parse(good), good_but("packs", NULL), PROBE_BAD, "served before");
}

static void test_what_was_not_there_need_not_be(void **state)
{
	(void)state;
	expect(good_but("pack.link", "\"down\""), good_but("pack.link", "\"down\""), PROBE_WELL,
	       "");
	expect(good_but("pack.link", "\"down\""), parse(good), PROBE_WELL, "");
	/* Up, but it never said anything that could be believed. */
	expect(good_but("pack.present", "false"), good_but("pack.present", "false"), PROBE_WELL,
	       "");
	expect(good_but("pack.present", "false"), good_but("pack.link", "\"down\""), PROBE_NOT_YET,
	       "link was up");
	expect(good_but("packs", "[]"), parse(good), PROBE_WELL, "");
}

/* What a bmsd says that runs with the file of another one. */
static cJSON *left_out(const char *packs)
{
	cJSON *health = good_but("packs", packs);

	assert_true(cJSON_AddItemToObject(
		health, "config_refused",
		parse("[{\"text\":\"[future]: unknown section\"},"
		      "{\"pack\":0,\"text\":\"[pack 0] is left out: driver = canbus\"}]")));
	return health;
}

static const char other_pack[] = "[{\"number\":1,\"name\":\"1\"}]";

static void test_packs_that_the_configuration_lost(void **state)
{
	_cleanup_json_ cJSON *lost = left_out("[]"), *half = left_out(other_pack),
			     *reasons = cJSON_CreateArray(), *none = good_but("packs", "[]");

	(void)state;
	expect(parse(good), left_out(other_pack), PROBE_BAD,
	       "pack 0: it was served before and is not now: [pack 0] is left out: driver");
	/* The other one is as good as it was. */
	expect(good_but("packs", other_pack), left_out(other_pack), PROBE_WELL, "");
	expect(good_but("packs", "[]"), left_out("[]"), PROBE_BAD, "no pack is left: [future]");
	expect(NULL, left_out("[]"), PROBE_BAD, "no pack is left: [future]: unknown section");
	/* None was configured. */
	expect(NULL, good_but("packs", "[]"), PROBE_WELL, "");
	/* No baseline comes of it, so the release that mends it is not held to it. */
	assert_int_equal(probe_judge_before(lost, reasons), PROBE_BAD);
	assert_int_equal(cJSON_GetArraySize(reasons), 1);
	assert_int_equal(probe_judge_before(half, reasons), PROBE_WELL);
	assert_int_equal(probe_judge_before(none, reasons), PROBE_WELL);
}

static void test_another_board(void **state)
{
	(void)state;
	expect(parse(good), good_but("pack.model", "\"TOAST\""), PROBE_BAD,
	       "the board was 'BOARD' and is now 'TOAST'");
	expect(parse(good), good_but("pack.model", "\"\""), PROBE_NOT_YET, "not said its model");
	expect(good_but("pack.model", "\"\""), parse(good), PROBE_WELL, "");
	expect(parse(good), good_but("pack.cells", "12"), PROBE_BAD, "13 cells and has now 12");
	expect(parse(good), good_but("pack.cells", NULL), PROBE_BAD, "13 cells");
}

static void test_error_rate_against_the_baseline(void **state)
{
	cJSON *few;

	(void)state;
	expect(parse(good), good_but("pack.error_rate_permille", "50"), PROBE_WELL, "");
	expect(parse(good), good_but("pack.error_rate_permille", "51"), PROBE_BAD, "51 of 1000");
	expect(good_but("pack.error_rate_permille", "100"),
	       good_but("pack.error_rate_permille", "200"), PROBE_WELL, "");
	expect(good_but("pack.error_rate_permille", "100"),
	       good_but("pack.error_rate_permille", "201"), PROBE_BAD, "100 before");
	/* One failure of the first two polls proves nothing yet. */
	few = good_but("pack.error_rate_permille", "500");
	cJSON_SetNumberValue(
		cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(few, "packs"), 0),
				    "recent_polls"),
		PROBE_RATE_POLLS - 1);
	expect(parse(good), few, PROBE_NOT_YET, "500 of 1000");
}

static void test_state_of_charge_may_move_a_little(void **state)
{
	(void)state;
	expect(parse(good), good_but("pack.soc_percent", "75"), PROBE_WELL, "");
	expect(parse(good), good_but("pack.soc_percent", "69"), PROBE_WELL, "");
	expect(parse(good), good_but("pack.soc_percent", "76"), PROBE_BAD,
	       "was 72 % and is now 76");
	expect(parse(good), good_but("pack.soc_percent", "0"), PROBE_BAD, "is now 0 %");
	expect(good_but("pack.soc_percent", NULL), parse(good), PROBE_WELL, "");
}

static void test_state_must_be_restored(void **state)
{
	(void)state;
	expect(parse(good), good_but("state.restored", "false"), PROBE_BAD, "not restored");
	expect(good_but("state.on_disk", "false"), good_but("state.restored", "false"), PROBE_WELL,
	       "");
	/* Also where the pack did not answer before. */
	expect(good_but("pack.link", "\"down\""), good_but("state.restored", "false"), PROBE_BAD,
	       "not restored");
	/* A release that does not say is not judged for it. */
	expect(parse(good), good_but("pack.state", NULL), PROBE_WELL, "");
}

static void test_bad_outweighs_not_yet(void **state)
{
	cJSON *after = good_but("state.restored", "false");

	(void)state;
	cJSON_DeleteItemFromObject(after, "ready");
	expect(parse(good), after, PROBE_BAD, "not ready");
}

static void test_hostile_baselines(void **state)
{
	static const char *const hostile[] = {
		"{}",
		"[]",
		"7",
		"{\"packs\":7}",
		"{\"packs\":[7,null,[],\"x\"]}",
		"{\"packs\":[{\"name\":7,\"link\":[],\"present\":\"yes\",\"cells\":\"13\"}]}",
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(hostile); i++) {
		_cleanup_json_ cJSON *before = parse(hostile[i]), *after = parse(good),
				     *reasons = cJSON_CreateArray();

		(void)probe_judge_after(before, after, VERSION, reasons);
		/* And as an answer: never well. */
		assert_true(probe_judge_after(after, before, VERSION, reasons) != PROBE_WELL);
	}
}

static void test_before(void **state)
{
	_cleanup_json_ cJSON *ok = parse(good), *busy = good_but("update_ok", "false"),
			     *silent = good_but("update_ok", NULL), *reasons = cJSON_CreateArray();

	(void)state;
	assert_int_equal(probe_judge_before(ok, reasons), PROBE_WELL);
	assert_int_equal(probe_judge_before(silent, reasons), PROBE_WELL);
	assert_int_equal(cJSON_GetArraySize(reasons), 0);
	cJSON_DeleteItemFromObject(busy, "update_reasons");
	assert_true(cJSON_AddItemToObject(busy, "update_reasons",
					  cJSON_Parse("[\"pack 0: 5.0 A is flowing\",7]")));
	assert_int_equal(probe_judge_before(busy, reasons), PROBE_NOT_NOW);
	assert_int_equal(cJSON_GetArraySize(reasons), 1);
	assert_string_equal(cJSON_GetArrayItem(reasons, 0)->valuestring,
			    "pack 0: 5.0 A is flowing");
}

/* What a later schema adds is judged where both sides have it, and nowhere else. */
static void test_what_bmsd_counts_itself_must_be_kept(void **state)
{
	static const struct {
		const char *path, *before, *after;
		enum probe_verdict verdict;
		const char *reason;
	} table[] = {
		{ "pack.soc_centipercent", "7234", "7334", PROBE_WELL, "" },
		{ "pack.soc_centipercent", "7234", "7335", PROBE_BAD, "own state of charge" },
		{ "pack.soc_centipercent", "7234", "7133", PROBE_BAD, "own state of charge" },
		{ "pack.soc_centipercent", NULL, "7133", PROBE_WELL, "" },
		{ "pack.soc_centipercent", "7234", NULL, PROBE_WELL, "" },
		{ "pack.cycles_milli", "9500", "9500", PROBE_WELL, "" },
		{ "pack.cycles_milli", "9500", "9499", PROBE_BAD, "full cycles" },
		{ "event_sequence", "41", "41", PROBE_WELL, "" },
		{ "event_sequence", "41", "40", PROBE_BAD, "event was number 41" },
		{ "event_sequence", NULL, "0", PROBE_WELL, "" },
		{ "event_sequence", "41", NULL, PROBE_WELL, "" },
	};
	char reason[200];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		assert_int_equal(judge(good_but(table[i].path, table[i].before),
				       good_but(table[i].path, table[i].after), reason,
				       sizeof reason),
				 table[i].verdict);
		assert_non_null(strstr(reason, table[i].reason));
	}
}

static void test_what_was_not_restarted_restored_nothing(void **state)
{
	char reason[200];
	static const struct {
		const char *pid, *uptime_was, *uptime_is;
		enum probe_verdict verdict;
	} table[] = {
		{ "17", "5000", "6000", PROBE_WELL },
		{ "18", "5000", "6000", PROBE_BAD },
		{ "17", "5000", "4999", PROBE_BAD }, /* the same number by chance */
		{ NULL, "5000", "6000", PROBE_BAD },
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		cJSON *before = good_but("pid", "17"), *after = good_but("pid", table[i].pid);
		cJSON *pack = cJSON_GetArrayItem(cJSON_GetObjectItem(after, "packs"), 0);

		assert_true(cJSON_AddItemToObject(before, "uptime_msec",
						  cJSON_Parse(table[i].uptime_was)));
		assert_true(cJSON_AddItemToObject(after, "uptime_msec",
						  cJSON_Parse(table[i].uptime_is)));
		assert_true(cJSON_ReplaceItemInObject(cJSON_GetObjectItem(pack, "state"),
						      "restored", cJSON_CreateFalse()));
		assert_int_equal(judge(before, after, reason, sizeof reason), table[i].verdict);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_bmsd_counts_itself_must_be_kept),
		cmocka_unit_test(test_what_was_not_restarted_restored_nothing),
		cmocka_unit_test(test_as_well_as_before),
		cmocka_unit_test(test_another_version_answers),
		cmocka_unit_test(test_any_version_is_expected),
		cmocka_unit_test(test_not_ready),
		cmocka_unit_test(test_link_and_sample_must_come_back),
		cmocka_unit_test(test_what_was_not_there_need_not_be),
		cmocka_unit_test(test_another_board),
		cmocka_unit_test(test_error_rate_against_the_baseline),
		cmocka_unit_test(test_state_of_charge_may_move_a_little),
		cmocka_unit_test(test_state_must_be_restored),
		cmocka_unit_test(test_bad_outweighs_not_yet),
		cmocka_unit_test(test_hostile_baselines),
		cmocka_unit_test(test_before),
		cmocka_unit_test(test_packs_that_the_configuration_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
