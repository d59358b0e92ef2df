/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "tuf/canonical.h"

static void expect(const char *text, const char *canonical)
{
	_cleanup_json_ cJSON *json = NULL;
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	assert_int_equal(json_parse(text, strlen(text), NULL, &json, NULL), 0);
	assert_int_equal(tuf_canonical(json, &bytes, &size), 0);
	assert_string_equal(bytes, canonical);
	assert_int_equal(size, strlen(canonical));
}

static void test_values(void **state)
{
	(void)state;
	expect(" [ 1 , -2 , 0 , true , false , null , \"x\" ] ", "[1,-2,0,true,false,null,\"x\"]");
	expect("9007199254740991", "9007199254740991");
	expect("-9007199254740991", "-9007199254740991");
	expect("{}", "{}");
	expect("[]", "[]");
	expect("[[],{},[{}]]", "[[],{},[{}]]");
	expect("\"\"", "\"\"");
}

static void test_members_sorted_by_bytes(void **state)
{
	(void)state;
	expect("{\"b\":1,\"a\":{\"d\":1,\"c\":2},\"B\":3,\"_\":4}",
	       "{\"B\":3,\"_\":4,\"a\":{\"c\":2,\"d\":1},\"b\":1}");
	expect("{\"ab\":1,\"a\":2,\"\":3}", "{\"\":3,\"a\":2,\"ab\":1}");
	/* U+FF5E sorts before U+1F600 in UTF-8, though not in UTF-16. */
	expect("{\"\\uD83D\\uDE00\":1,\"\\uFF5E\":2,\"z\":3}",
	       "{\"z\":3,\"\xef\xbd\x9e\":2,\"\xf0\x9f\x98\x80\":1}");
}

static void test_only_two_characters_escaped(void **state)
{
	(void)state;
	expect("\"a\\\"b\\\\c\"", "\"a\\\"b\\\\c\"");
	expect("\"\\n\\t\\u0001\\/\\u00e9\"", "\"\n\t\x01/\xc3\xa9\"");
	expect("{\"k\\\"\":0}", "{\"k\\\"\":0}");
}

static void test_refuses_what_it_cannot_hold(void **state)
{
	static const double bad[] = { 0.5, 9007199254740992.0, -9007199254740992.0, INFINITY, NAN };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_json_ cJSON *json = cJSON_CreateArray();
		char *bytes = (char *)(uintptr_t)1;
		size_t size = 77;

		cJSON_AddItemToArray(json, cJSON_CreateNumber(bad[i]));
		assert_int_equal(tuf_canonical(json, &bytes, &size), -EBADMSG);
		assert_int_equal((uintptr_t)bytes, 1);
		assert_int_equal(size, 77);
	}
}

static void test_refuses_raw(void **state)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();
	char *bytes = NULL;
	size_t size;

	(void)state;
	cJSON_AddItemToObject(json, "x", cJSON_CreateRaw("1"));
	assert_int_equal(tuf_canonical(json, &bytes, &size), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_members_sorted_by_bytes),
		cmocka_unit_test(test_only_two_characters_escaped),
		cmocka_unit_test(test_refuses_what_it_cannot_hold),
		cmocka_unit_test(test_refuses_raw),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
