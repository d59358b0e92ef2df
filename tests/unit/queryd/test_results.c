/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "common/txid.h"
#include "queryd/results.h"

#define TXID "6b1f0c1e-0d6b-4f6e-9a51-0123456789ab"
#define PATH "/v1/results/" TXID

static const char full_body[] =
	"{\"txid\":\"" TXID "\",\"identity\":{\"type\":\"imei\",\"value\":\"" IMEI "\"},"
	"\"program\":\"B\",\"kind\":\"upgrade\",\"from\":\"B202108010001\",\"to\":"
	"\"B202109010001\","
	"\"outcome\":\"confirmed\",\"step\":\"confirm\",\"reason\":\"none\",\"detail\":\"\","
	"\"started_sec\":1795305600,\"duration_ms\":48211,\"downtime_ms\":412,"
	"\"bytes_fetched\":482113,\"segments_fetched\":121,\"segments_again\":0,"
	"\"versions\":{\"A\":\"A202108010001\",\"B\":\"B202109010001\"}}";

/* The body with one member replaced, added (value is JSON) or removed (value NULL). */
static char *body_with(const char *key, const char *value)
{
	_cleanup_json_ cJSON *json = parsed_json(full_body);

	cJSON_DeleteItemFromObjectCaseSensitive(json, key);
	if (value)
		assert_non_null(cJSON_AddRawToObject(json, key, value));
	return json_print(json);
}

static unsigned put_with(struct fixture *f, const char *key, const char *value)
{
	_cleanup_free_ char *body = body_with(key, value);

	return call(f, METHOD_PUT, PATH, body);
}

static const char *archived(struct fixture *f)
{
	assert_int_equal(call(f, METHOD_GET, "/v1/admin/results", NULL), 200);
	return f->answer.body;
}

static void test_archived_once(void **state)
{
	_cleanup_free_ char *other = body_with("duration_ms", "1");
	struct fixture *f = *state;

	assert_int_equal(call(f, METHOD_PUT, PATH, full_body), 201);
	assert_string_equal(f->answer.body, "{}");
	assert_int_equal(call(f, METHOD_PUT, PATH, full_body), 200);
	assert_int_equal(call(f, METHOD_PUT, PATH, other), 200);
	assert_non_null(strstr(archived(f), "\"duration_ms\":48211"));
	assert_null(strstr(f->answer.body, "\"duration_ms\":1,"));
	assert_non_null(strstr(f->answer.body, "\"id\":1}]}"));
}

static void test_unknown_members_are_kept(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put_with(f, "battery", "{\"soc\":[1,2,{\"x\":null}]}"), 201);
	assert_non_null(strstr(archived(f), "\"battery\":{\"soc\":[1,2,{\"x\":null}]}"));
}

/* What a gateway calls "id" must not be taken for the archive's. */
static void test_archive_members_win(void **state)
{
	_cleanup_json_ cJSON *json = NULL;
	const cJSON *result;
	struct fixture *f = *state;

	assert_int_equal(put_with(f, "id", "777"), 201);
	json = parsed_json(archived(f));
	result = json->child->child;
	assert_int_equal(cJSON_GetObjectItemCaseSensitive(result, "id")->valueint, 1);
	assert_true(cJSON_GetObjectItemCaseSensitive(result, "received_sec")->valuedouble > 1e9);
}

static const struct {
	const char *key, *value, *field;
} bad[] = {
	{ "txid", NULL, "txid" },
	{ "txid", "1", "txid" },
	{ "txid", "\"6b1f0c1e-0d6b-4f6e-9a51-0123456789ac\"", "txid" },
	{ "identity", NULL, "identity" },
	{ "identity", "{\"type\":\"imei\",\"value\":\"490154203237519\"}", "identity.value" },
	{ "program", NULL, "program" },
	{ "program", "\"\"", "program" },
	{ "program", "\"b\"", "program" },
	{ "program", "\"BB\"", "program" },
	{ "program", "\"A\"", "from" },
	{ "kind", NULL, "kind" },
	{ "kind", "\"install\"", "kind" },
	{ "from", NULL, "from" },
	{ "from", "\"1\"", "from" },
	{ "to", "7", "to" },
	{ "to", "\"A202109010001\"", "to" },
	{ "outcome", NULL, "outcome" },
	{ "outcome", "\"good\"", "outcome" },
	{ "outcome", "\"\"", "outcome" },
	{ "step", "\"confirmed\"", "step" },
	{ "reason", "\"because\"", "reason" },
	{ "reason", "[]", "reason" },
	{ "detail", "7", "detail" },
	{ "started_sec", "\"now\"", "started_sec" },
	{ "started_sec", "-1", "started_sec" },
	{ "duration_ms", "1.5", "" },
	{ "duration_ms", "1e3", "" },
	{ "downtime_ms", "true", "downtime_ms" },
	{ "bytes_fetched", "99999999999999999999", "" },
	{ "segments_fetched", "null", "segments_fetched" },
	{ "segments_again", "-5", "segments_again" },
	{ "versions", "[]", "versions" },
	{ "versions", "{\"b\":\"B202109010001\"}", "versions.b" },
	{ "versions", "{\"B\":7}", "versions.B" },
	{ "versions", "{\"B\":\"A202109010001\"}", "versions.B" },
	{ "x", "\"\\u0000\"", "" },
	{ "x", "1}{", "" },
	{ "txid", "\"" TXID "\",\"txid\":\"" TXID "\"", "" },
};

static void test_names_what_is_wrong(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		assert_int_equal(put_with(f, bad[i].key, bad[i].value), 400);
		if (*bad[i].field)
			assert_string_equal(named_field(f), bad[i].field);
	}
	for (size_t n = 0; n < strlen(full_body); n++) {
		char *cut = strndup(full_body, n);

		assert_int_equal(call(f, METHOD_PUT, PATH, cut), 400);
		free(cut);
	}
	assert_string_equal(archived(f), "{\"results\":[]}");
}

static void test_what_may_be_absent(void **state)
{
	static const char least[] = "{\"txid\":\"" TXID "\",\"identity\":{\"type\":\"name\","
				    "\"value\":\"a\"},\"program\":\"B\",\"kind\":\"upgrade\","
				    "\"from\":\"\",\"to\":\"\",\"outcome\":\"failed\","
				    "\"step\":\"query\",\"reason\":\"network\"}";
	struct fixture *f = *state;

	assert_int_equal(call(f, METHOD_PUT, PATH, least), 201);
}

static void test_detail_is_bounded(void **state)
{
	char detail[RESULT_DETAIL_MAX_BYTES + 4] = "\"";
	struct fixture *f = *state;

	memset(detail + 1, 'x', RESULT_DETAIL_MAX_BYTES + 1);
	detail[RESULT_DETAIL_MAX_BYTES + 2] = '"';
	assert_int_equal(put_with(f, "detail", detail), 400);
	assert_string_equal(named_field(f), "detail");
	detail[RESULT_DETAIL_MAX_BYTES + 1] = '"';
	detail[RESULT_DETAIL_MAX_BYTES + 2] = '\0';
	assert_int_equal(put_with(f, "detail", detail), 201);
}

static void test_txid_of_the_path(void **state)
{
	static const char *const wrong[] = {
		"6B1F0C1E-0d6b-4f6e-9a51-0123456789ab",	 "6b1f0c1e0d6b4f6e9a510123456789ab",
		"6b1f0c1e-0d6b-4f6e-9a51-0123456789a",	 "6b1f0c1e-0d6b-4f6e-9a51-0123456789abc",
		"6b1f0c1e-0d6b-4f6e-9a51-0123456789ag",	 "x",
		"../../../../../../../../../../../../x",
	};
	struct fixture *f = *state;

	assert_true(txid_is_valid(TXID));
	assert_false(txid_is_valid(""));
	for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
		_cleanup_free_ char *path = NULL;

		assert_false(txid_is_valid(wrong[i]));
		assert_true(asprintf(&path, "/v1/results/%s", wrong[i]) > 0);
		assert_int_equal(call(f, METHOD_PUT, path, full_body), 400);
		assert_string_equal(named_field(f), "txid");
	}
}

static void test_pages(void **state)
{
	struct fixture *f = *state;
	char txid[64], path[96], body[sizeof full_body + 64];

	for (unsigned i = 0; i < 120; i++) {
		_cleanup_free_ char *text = NULL;

		(void)snprintf(txid, sizeof txid, "\"6b1f0c1e-0d6b-4f6e-9a51-%012x\"", i);
		(void)snprintf(path, sizeof path, "/v1/results/%.36s", txid + 1);
		text = body_with("txid", txid);
		(void)snprintf(body, sizeof body, "%s", text);
		assert_int_equal(call(f, METHOD_PUT, path, body), 201);
	}
	assert_int_equal(call_with(f, "/v1/admin/results", "limit", "1"), 200);
	assert_non_null(strstr(f->answer.body, "\"id\":120}]}"));
	assert_int_equal(call_with(f, "/v1/admin/results", "after", "0"), 200);
	assert_non_null(strstr(f->answer.body, "\"id\":1}"));
	assert_non_null(strstr(f->answer.body, "\"id\":100}]}"));
	assert_int_equal(call_with(f, "/v1/admin/results", "after", "119"), 200);
	assert_null(strstr(f->answer.body, "\"id\":119}"));
	assert_int_equal(call_with(f, "/v1/admin/results", "program", "A"), 200);
	assert_string_equal(f->answer.body, "{\"results\":[]}");
	assert_int_equal(call_with(f, "/v1/admin/results", "identity", "name:x"), 200);
	assert_string_equal(f->answer.body, "{\"results\":[]}");
	assert_int_equal(call_with(f, "/v1/admin/results", "identity", "imei:1"), 400);
	assert_string_equal(named_field(f), "identity");
	assert_int_equal(call_with(f, "/v1/admin/results", "program", "b"), 400);
	assert_int_equal(call_with(f, "/v1/admin/results", "limit", "-1"), 400);
	assert_int_equal(call_with(f, "/v1/admin/results", "limit", ""), 400);
	assert_int_equal(call_with(f, "/v1/admin/results", "before", "1x"), 400);
	assert_string_equal(named_field(f), "before");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_archived_once),	TEST(test_unknown_members_are_kept),
		TEST(test_archive_members_win), TEST(test_names_what_is_wrong),
		TEST(test_what_may_be_absent),	TEST(test_detail_is_bounded),
		TEST(test_txid_of_the_path),	TEST(test_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
