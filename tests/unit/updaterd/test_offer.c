/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "updaterd/query.h"

#define A_OFFER "{\"program\":\"A\",\"version\":\"A202109010001\",\"target\":\"A/a.tar.xz\"}"
#define B_OFFER "{\"program\":\"B\",\"version\":\"B202109010001\",\"target\":\"B/b.tar.xz\"}"

static int parse(const char *text, struct answer *ret, struct json_error *error)
{
	return offer_parse(text, strlen(text), ret, error);
}

static void assert_refused(const char *text, const char *field)
{
	struct answer a = { .n_offers = 77 };
	struct json_error error = { 0 };

	if (parse(text, &a, &error) != -EBADMSG)
		fail_msg("not refused: %s", text);
	assert_int_equal(a.n_offers, 77);
	if (field && strcmp(error.field, field) != 0)
		fail_msg("'%s' is not '%s': %s", error.field, field, text);
}

static void test_nothing_new(void **state)
{
	struct answer a = { 0 };

	(void)state;
	assert_int_equal(parse("{\"new\":[]}", &a, NULL), 0);
	assert_int_equal(a.n_offers, 0);
	assert_null(a.file_server);
	answer_done(&a);
}

static void test_two_programs_a_first(void **state)
{
	struct answer a = { 0 };

	(void)state;
	assert_int_equal(parse("{\"new\":[" B_OFFER "," A_OFFER
			       "],\"file_server\":\"https://files.example.com/bms\"}",
			       &a, NULL),
			 0);
	assert_int_equal(a.n_offers, 2);
	assert_string_equal(a.offers[0].version.text, "A202109010001");
	assert_string_equal(a.offers[0].target, "A/a.tar.xz");
	assert_string_equal(a.offers[1].version.text, "B202109010001");
	assert_string_equal(a.file_server, "https://files.example.com/bms");
	answer_done(&a);
	assert_null(a.file_server);
}

static void test_later_servers_may_say_more(void **state)
{
	struct answer a = { 0 };

	(void)state;
	assert_int_equal(parse("{\"new\":[],\"poll_sec\":3600}", &a, NULL), 0);
	answer_done(&a);
}

static void test_not_an_answer(void **state)
{
	(void)state;
	assert_refused("", NULL);
	assert_refused("<html>", NULL);
	assert_refused("[]", NULL);
	assert_refused("null", NULL);
	assert_refused("{}", "new");
	assert_refused("{\"new\":{}}", "new");
	assert_refused("{\"new\":null}", "new");
	assert_refused("{\"new\":[]} x", NULL);
	assert_refused("{\"new\":[],\"new\":[]}", NULL);
	assert_refused("{\"new\":[1]}", "new");
	assert_refused("{\"new\":[" B_OFFER "," B_OFFER "]}", "new");
	assert_refused("{\"new\":[" B_OFFER "," B_OFFER "," B_OFFER "," B_OFFER "," B_OFFER "]}",
		       "new");
}

static void test_bad_offers(void **state)
{
	(void)state;
	assert_refused("{\"new\":[{\"version\":\"B202109010001\",\"target\":\"B/b\"}]}",
		       "new.program");
	assert_refused("{\"new\":[{\"program\":\"B\",\"target\":\"B/b\"}]}", "new.version");
	assert_refused("{\"new\":[{\"program\":\"B\",\"version\":\"B202109010001\"}]}",
		       "new.target");
	assert_refused("{\"new\":[{\"program\":\"A\",\"version\":\"B202109010001\","
		       "\"target\":\"B/b\"}]}",
		       "new.program");
	assert_refused("{\"new\":[{\"program\":\"BB\",\"version\":\"B202109010001\","
		       "\"target\":\"B/b\"}]}",
		       "new.program");
	assert_refused("{\"new\":[{\"program\":\"B\",\"version\":\"B202113010001\","
		       "\"target\":\"B/b\"}]}",
		       "new.version");
	assert_refused("{\"new\":[{\"program\":\"B\",\"version\":7,\"target\":\"B/b\"}]}",
		       "new.version");
	assert_refused("{\"new\":[{\"program\":\"B\",\"version\":\"B202109010001\","
		       "\"target\":\"B/b\",\"run\":\"rm\"}]}",
		       NULL);
}

static void test_bad_targets(void **state)
{
	static const char *const targets[] = { "",     "/etc/passwd", "../b", "B/../b", "B//b",
					       "B/b/", "B/b c",	      ".",    "B/.." };
	char text[512], path[300];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
		(void)snprintf(text, sizeof text,
			       "{\"new\":[{\"program\":\"B\",\"version\":\"B202109010001\","
			       "\"target\":\"%s\"}]}",
			       targets[i]);
		assert_refused(text, "new.target");
	}
	memset(path, 'x', sizeof path);
	path[256] = '\0';
	(void)snprintf(text, sizeof text,
		       "{\"new\":[{\"program\":\"B\",\"version\":\"B202109010001\","
		       "\"target\":\"%s\"}]}",
		       path);
	assert_refused(text, "new.target");
}

static void test_bad_file_servers(void **state)
{
	static const char *const servers[] = {
		"http://h/", "file:///etc", "https://h/a b",	 "https://h/?q", "https://h/#f",
		"",	     "h",	    "https://h/\\u000a",
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(servers); i++) {
		(void)snprintf(text, sizeof text, "{\"new\":[" B_OFFER "],\"file_server\":\"%s\"}",
			       servers[i]);
		assert_refused(text, "file_server");
	}
	assert_refused("{\"new\":[],\"file_server\":null}", "file_server");
}

static void test_every_truncation(void **state)
{
	static const char good[] = "{\"new\":[" A_OFFER "," B_OFFER
				   "],\"file_server\":\"https://h/\"}";
	struct answer a = { 0 };

	(void)state;
	for (size_t n = 0; n < sizeof good - 1; n++) {
		char *copy = malloc(n + 1); /* so that a read behind the end is seen */

		assert_non_null(copy);
		memcpy(copy, good, n);
		assert_int_equal(offer_parse(copy, n, &a, NULL), -EBADMSG);
		free(copy);
	}
	assert_int_equal(parse(good, &a, NULL), 0);
	answer_done(&a);
}

/* ---- the question ---- */

static char url[] = "https://updates.example.com/bms", arch[] = "arm64", model[] = "gw1";

static void test_question(void **state)
{
	struct conf conf = { .url = url, .arch = arch, .model = model };
	struct identity id = { "imei", "490154203237518" };
	struct version versions[2];
	_cleanup_free_ char *body = NULL, *bare = NULL;

	(void)state;
	assert_int_equal(version_parse("A202108010001", &versions[0]), 0);
	assert_int_equal(version_parse("B202108010001", &versions[1]), 0);
	assert_int_equal(query_build(&conf, &id, versions, 2, &body), 0);
	assert_string_equal(body, "{\"identity\":{\"type\":\"imei\",\"value\":\"490154203237518\"},"
				  "\"arch\":\"arm64\",\"model\":\"gw1\",\"programs\":{"
				  "\"A\":{\"version\":\"A202108010001\"},"
				  "\"B\":{\"version\":\"B202108010001\"}}}");
	conf.model = NULL;
	assert_int_equal(query_build(&conf, &id, versions, 1, &bare), 0);
	assert_null(strstr(bare, "model"));
}

static void test_file_server_policy(void **state)
{
	char hosts[] = "files.example.com  CDN.example.net";
	struct conf conf = { .url = url, .allowed_hosts = hosts };

	(void)state;
	assert_int_equal(query_check_file_server(&conf, "https://updates.example.com/other"), 0);
	assert_int_equal(query_check_file_server(&conf, "https://updates.example.com:8443/"), 0);
	assert_int_equal(query_check_file_server(&conf, "https://files.example.com/bms"), 0);
	assert_int_equal(query_check_file_server(&conf, "https://FILES.example.com/bms"), 0);
	assert_int_equal(query_check_file_server(&conf, "https://cdn.example.net/"), 0);
	assert_int_equal(query_check_file_server(&conf, "https://example.com/"), -EACCES);
	assert_int_equal(query_check_file_server(&conf, "https://files.example.com.evil.net/"),
			 -EACCES);
	assert_int_equal(query_check_file_server(&conf, "https://127.0.0.1/"), -EACCES);
	assert_int_equal(query_check_file_server(&conf, "http://files.example.com/"), -EACCES);
	assert_int_equal(query_check_file_server(&conf, "https://files.example.com@evil.net/"),
			 -EACCES);
	conf.allowed_hosts = NULL;
	assert_int_equal(query_check_file_server(&conf, "https://files.example.com/bms"), -EACCES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_new),
		cmocka_unit_test(test_two_programs_a_first),
		cmocka_unit_test(test_later_servers_may_say_more),
		cmocka_unit_test(test_not_an_answer),
		cmocka_unit_test(test_bad_offers),
		cmocka_unit_test(test_bad_targets),
		cmocka_unit_test(test_bad_file_servers),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_question),
		cmocka_unit_test(test_file_server_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
