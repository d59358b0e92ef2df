/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "queryd/query.h"

#define HEAD	"{\"identity\":{\"type\":\"imei\",\"value\":\"" IMEI "\"},\"arch\":\"amd64\","
#define NOTHING "{\"new\":[]}"
#define OLD_B	HEAD "\"programs\":{\"B\":{\"version\":\"B202108010001\"}}}"

static void publish(struct fixture *f, struct releases *l)
{
	releases_sort(l);
	catalog_use(f->service.catalog, l);
}

static void publish_b(struct fixture *f, const char *version)
{
	struct releases *l = new_releases();

	add_full(l, version, "amd64", "[]");
	publish(f, l);
}

static void blacklist(struct fixture *f, const char *version)
{
	struct store_blacklist_entry entry = { version, "imei:" IMEI, "", 1 };

	assert_int_equal(store_blacklist_add(f->service.store, &entry), 1);
}

static const char *answer_to(struct fixture *f, const char *body)
{
	assert_int_equal(call(f, METHOD_POST, "/v1/query", body), 200);
	return f->answer.body;
}

/* ---- parsing ---- */

static void test_parses(void **state)
{
	static const char body[] = HEAD
		"\"model\":\"gw1\",\"programs\":{\"B\":{\"version\":"
		"\"B202108010001\"},\"A\":{\"version\":\"A202108010002\"}}}";
	struct json_error error;
	struct query q;

	(void)state;
	assert_int_equal(query_parse(body, strlen(body), &q, &error), 0);
	assert_string_equal(q.identity.text, "imei:" IMEI);
	assert_string_equal(q.arch, "amd64");
	assert_string_equal(q.model, "gw1");
	assert_int_equal(q.n_programs, 2);
	assert_string_equal(q.programs[0].text, "A202108010002");
	assert_string_equal(q.programs[1].text, "B202108010001");
}

static void test_parses_every_letter(void **state)
{
	char body[4096] = HEAD "\"programs\":{";
	struct json_error error;
	struct query q;

	(void)state;
	for (char letter = 'Z'; letter >= 'A'; letter--) {
		size_t n = strlen(body);

		(void)snprintf(body + n, sizeof body - n,
			       "\"%c\":{\"version\":\"%c202108010001\"}%s", letter, letter,
			       letter == 'A' ? "}}" : ",");
	}
	assert_int_equal(query_parse(body, strlen(body), &q, &error), 0);
	assert_int_equal(q.n_programs, 26);
	assert_int_equal(q.programs[25].program, 'Z');
	assert_string_equal(q.model, "");
}

#define PROGRAMS(x) HEAD "\"programs\":" x "}"

static const struct {
	const char *body, *field;
} bad_queries[] = {
	{ "", "" },
	{ "[]", "" },
	{ "\"x\"", "" },
	{ "{", "" },
	{ "{}", "identity" },
	{ OLD_B "x", "" },
	{ OLD_B OLD_B, "" },
	{ "{\"identity\":{\"type\":\"imei\",\"value\":\"490154203237519\"},\"arch\":\"amd64\","
	  "\"programs\":{\"B\":{\"version\":\"B202108010001\"}}}",
	  "identity.value" },
	{ "{\"identity\":{\"type\":\"serial\",\"value\":\"1\"},\"arch\":\"amd64\","
	  "\"programs\":{\"B\":{\"version\":\"B202108010001\"}}}",
	  "identity.type" },
	{ "{\"identity\":{\"type\":\"name\",\"value\":\"a\"},"
	  "\"programs\":{\"B\":{\"version\":\"B202108010001\"}}}",
	  "arch" },
	{ "{\"identity\":{\"type\":\"name\",\"value\":\"a\"},\"arch\":\"AMD64\","
	  "\"programs\":{\"B\":{\"version\":\"B202108010001\"}}}",
	  "arch" },
	{ "{\"identity\":{\"type\":\"name\",\"value\":\"a\"},\"arch\":\"\","
	  "\"programs\":{\"B\":{\"version\":\"B202108010001\"}}}",
	  "arch" },
	{ "{\"identity\":{\"type\":\"name\",\"value\":\"a\"},"
	  "\"arch\":\"0123456789012345678901234567890x\","
	  "\"programs\":{\"B\":{\"version\":\"B202108010001\"}}}",
	  "arch" },
	{ HEAD "\"model\":7,\"programs\":{\"B\":{\"version\":\"B202108010001\"}}}", "model" },
	{ HEAD "\"model\":\"\",\"programs\":{\"B\":{\"version\":\"B202108010001\"}}}", "model" },
	{ HEAD "\"model\":\"a b\",\"programs\":{\"B\":{\"version\":\"B202108010001\"}}}", "model" },
	{ HEAD "\"modell\":\"a\",\"programs\":{\"B\":{\"version\":\"B202108010001\"}}}", "modell" },
	{ HEAD "\"arch\":\"arm64\",\"programs\":{\"B\":{\"version\":\"B202108010001\"}}}", NULL },
	{ PROGRAMS("1"), "programs" },
	{ PROGRAMS("[]"), "programs" },
	{ PROGRAMS("{}"), "programs" },
	{ PROGRAMS("{\"b\":{\"version\":\"B202108010001\"}}"), "programs.b" },
	{ PROGRAMS("{\"BB\":{\"version\":\"B202108010001\"}}"), "programs.BB" },
	{ PROGRAMS("{\"B\":\"B202108010001\"}"), "programs.B" },
	{ PROGRAMS("{\"B\":{}}"), "programs.B.version" },
	{ PROGRAMS("{\"B\":{\"version\":1}}"), "programs.B.version" },
	{ PROGRAMS("{\"B\":{\"version\":\"1.0\"}}"), "programs.B.version" },
	{ PROGRAMS("{\"B\":{\"version\":\"B202113010001\"}}"), "programs.B.version" },
	{ PROGRAMS("{\"B\":{\"version\":\"A202108010001\"}}"), "programs.B.version" },
	{ PROGRAMS("{\"B\":{\"version\":\"B202108010001\",\"x\":1}}"), "programs.B.x" },
};

static void test_names_what_is_wrong(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(bad_queries); i++) {
		const char *field = bad_queries[i].field;

		assert_int_equal(call(f, METHOD_POST, "/v1/query", bad_queries[i].body), 400);
		if (field)
			assert_string_equal(named_field(f), field);
	}
	assert_int_equal(call(f, METHOD_GET, "/v1/admin/gateways", NULL), 200);
	assert_string_equal(f->answer.body, "{\"gateways\":[]}");
}

/* ---- comparing ---- */

static void test_offers_what_is_newer(void **state)
{
	struct fixture *f = *state;

	publish_b(f, "B202109010001");
	assert_string_equal(answer_to(f, OLD_B),
			    "{\"new\":[{\"program\":\"B\",\"version\":\"B202109010001\","
			    "\"target\":\"B/B202109010001-amd64.tar.xz\"}]}");
}

static void test_names_the_file_server(void **state)
{
	struct fixture *f = *state;

	f->conf->file_server = strdup("https://files.example.com/bms");
	publish_b(f, "B202109010001");
	assert_string_equal(answer_to(f, OLD_B),
			    "{\"new\":[{\"program\":\"B\",\"version\":\"B202109010001\","
			    "\"target\":\"B/B202109010001-amd64.tar.xz\"}],"
			    "\"file_server\":\"https://files.example.com/bms\"}");
	publish_b(f, "B202108010001");
	assert_string_equal(answer_to(f, OLD_B), NOTHING);
}

/* The one property that the blacklist's secrecy rests on: every kind of "nothing new" is the same
 * bytes under the same headers. */
static void test_nothing_new_is_always_the_same(void **state)
{
	struct fixture *f = *state;
	struct answer first;
	struct releases *l;

	publish_b(f, "B202108010001");
	assert_string_equal(answer_to(f, OLD_B), NOTHING);
	first = f->answer; /* only its headers are looked at */

	publish_b(f, "B202107010001");
	assert_string_equal(answer_to(f, OLD_B), NOTHING);
	publish(f, new_releases());
	assert_string_equal(answer_to(f, OLD_B), NOTHING);
	l = new_releases();
	add_full(l, "B202109010001", "arm64", "[]");
	add_full(l, "B202109010001", "amd64", "[\"gw9\"]");
	publish(f, l);
	assert_string_equal(answer_to(f, OLD_B), NOTHING);

	publish_b(f, "B202109010001");
	blacklist(f, "B202109010001");
	assert_string_equal(answer_to(f, OLD_B), NOTHING);
	assert_int_equal(f->answer.body_size, strlen(NOTHING));
	assert_int_equal(f->answer.n_headers, first.n_headers);
	for (size_t i = 0; i < first.n_headers; i++) {
		assert_string_equal(f->answer.headers[i].name, first.headers[i].name);
		assert_string_equal(f->answer.headers[i].value, first.headers[i].value);
	}
}

static void test_blacklist_offers_nothing_in_between(void **state)
{
	struct fixture *f = *state;
	struct releases *l = new_releases();

	add_full(l, "B202108150001", "amd64", "[]");
	add_full(l, "B202109010001", "amd64", "[]");
	publish(f, l);
	blacklist(f, "B202109010001");
	assert_string_equal(answer_to(f, OLD_B), NOTHING);
}

static void test_blacklist_is_of_one_version_and_one_gateway(void **state)
{
	struct fixture *f = *state;

	blacklist(f, "B202109010001");
	publish_b(f, "B202109010002");
	assert_non_null(strstr(answer_to(f, OLD_B), "B202109010002"));
	publish_b(f, "B202109010001");
	assert_string_equal(answer_to(f, OLD_B), NOTHING);
	assert_non_null(strstr(answer_to(f, "{\"identity\":{\"type\":\"imei\",\"value\":"
					    "\"356938035643809\"},\"arch\":\"amd64\",\"programs\":"
					    "{\"B\":{\"version\":\"B202108010001\"}}}"),
			       "B202109010001"));
}

static void test_programs_are_compared_each_for_itself(void **state)
{
	static const char both[] = HEAD "\"programs\":{\"B\":{\"version\":\"B202108010001\"},"
					"\"A\":{\"version\":\"A202108010001\"}}}";
	struct fixture *f = *state;
	struct releases *l = new_releases();

	add_full(l, "B202109010001", "amd64", "[]");
	add_full(l, "A202110010001", "amd64", "[]");
	publish(f, l);
	assert_string_equal(answer_to(f, both),
			    "{\"new\":[{\"program\":\"A\",\"version\":\"A202110010001\","
			    "\"target\":\"A/A202110010001-amd64.tar.xz\"},"
			    "{\"program\":\"B\",\"version\":\"B202109010001\","
			    "\"target\":\"B/B202109010001-amd64.tar.xz\"}]}");
	/* What the gateway does not name is not offered. */
	assert_null(strstr(answer_to(f, OLD_B), "A202110010001"));
	blacklist(f, "A202110010001");
	assert_non_null(strstr(answer_to(f, both), "\"new\":[{\"program\":\"B\""));
	assert_null(strstr(f->answer.body, "A202110010001"));
}

/* ---- remembering ---- */

static void test_records_the_gateway(void **state)
{
	struct fixture *f = *state;

	(void)answer_to(f, HEAD
			"\"model\":\"gw1\",\"programs\":{\"B\":{\"version\":\"B202108010001\"},"
			"\"A\":{\"version\":\"A202108010001\"}}}");
	assert_int_equal(call(f, METHOD_GET, "/v1/admin/gateways", NULL), 200);
	assert_non_null(strstr(f->answer.body,
			       "{\"identity\":{\"type\":\"imei\",\"value\":\"" IMEI "\"},"
			       "\"arch\":\"amd64\",\"model\":\"gw1\",\"versions\":"
			       "{\"A\":\"A202108010001\",\"B\":\"B202108010001\"},"
			       "\"first_seen_sec\":"));
	(void)answer_to(f, OLD_B);
	assert_int_equal(call(f, METHOD_GET, "/v1/admin/gateways", NULL), 200);
	assert_null(strstr(f->answer.body, "gw1"));
	assert_non_null(strstr(f->answer.body, "\"versions\":{\"B\":\"B202108010001\"}"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parses),
		cmocka_unit_test(test_parses_every_letter),
		TEST(test_names_what_is_wrong),
		TEST(test_offers_what_is_newer),
		TEST(test_names_the_file_server),
		TEST(test_nothing_new_is_always_the_same),
		TEST(test_blacklist_offers_nothing_in_between),
		TEST(test_blacklist_is_of_one_version_and_one_gateway),
		TEST(test_programs_are_compared_each_for_itself),
		TEST(test_records_the_gateway),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
