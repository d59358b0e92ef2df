/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"

#define MAX_INTEGER UINT64_C(9007199254740991)

/* Parses from a buffer of exactly the size, so that a sanitizer sees a read beyond it. */
static int parse_bytes(const char *bytes, size_t size, const struct json_limits *limits,
		       cJSON **ret, struct json_error *error)
{
	_cleanup_free_ char *copy = malloc(size > 0 ? size : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, size);
	return json_parse(copy, size, limits, ret, error);
}

static int try(const char *text)
{
	_cleanup_json_ cJSON *json = NULL;
	struct json_error error = { 0 };
	int r = parse_bytes(text, strlen(text), NULL, &json, &error);

	assert_true((r == 0) == (json != NULL));
	assert_true((r < 0) == (*error.text != '\0'));
	return r;
}

static void assert_all_refused(const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (try(texts[i]) != -EBADMSG)
			fail_msg("this was accepted: %s", texts[i]);
}

static void assert_all_accepted(const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (try(texts[i]) != 0)
			fail_msg("this was refused: %s", texts[i]);
}

static cJSON *parsed(const char *text)
{
	struct json_error error = { 0 };
	cJSON *json = NULL;

	if (parse_bytes(text, strlen(text), NULL, &json, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	return json;
}

/* ---- the lexer ---- */

static void test_accepts(void **state)
{
	static const char *const good[] = {
		"{}",
		"[]",
		"0",
		"-1",
		"\"\"",
		"true",
		"false",
		"null",
		" \t\r\n{ \"a\" : [ 1 , 2 , { } , [ ] ] , \"b\" : null } \n",
		"{\"\":1}",
		"[[],[[]],{\"a\":{}}]",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e4\\u20AC\\ud83d\\uDE00\"",
		"\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf\"",
		"\"\xed\x9f\xbf\xee\x80\x80\xc2\x80\xe0\xa0\x80\xf0\x90\x80\x80\x7f\"",
		"{\"a\":1,\"A\":2}",
		"{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1}}",
		"[{\"a\":1},{\"a\":1}]",
	};

	(void)state;
	assert_all_accepted(good, ELEMENTSOF(good));
}

static void test_refuses_structure(void **state)
{
	static const char *const bad[] = {
		"",	    " ",	 "{",	       "[",	   "}",		 "]",
		"{]",	    "[}",	 "[1",	       "[1,",	   "[1,]",	 "[,1]",
		"[1 2]",    "[1,,2]",	 "{\"a\"}",    "{\"a\":}", "{\"a\":1,}", "{,}",
		"{a:1}",    "{1:1}",	 "{\"a\" 1}",  "{'a':1}",  "{} {}",	 "[]]",
		"{}x",	    "1 2",	 "nul",	       "nulll",	   "True",	 "NaN",
		"Infinity", "undefined", "// c\n{}",   "/**/{}",   "{\"a\":1;}", ":",
		",",	    "\"a\":1",	 "\xc2\xa0{}", "\f{}",	   "{\"a\":1",	 "{\"a\":[1}",
	};

	(void)state;
	assert_all_refused(bad, ELEMENTSOF(bad));
}

static void test_refuses_strings(void **state)
{
	static const char *const bad[] = {
		"\"",
		"\"a",
		"\"\\",
		"\"\\\"",
		"\"\n\"",
		"\"\x01\"",
		"\"\x1f\"",
		"\"\t\"",
		"\"\\x41\"",
		"\"\\a\"",
		"\"\\'\"",
		"\"\\U0041\"",
		"\"\\u\"",
		"\"\\u004\"",
		"\"\\u004g\"",
		"\"\\u 041\"",
		"\"\\u-041\"",
		"\"\\u0000\"",
		"[\"a\\u0000b\"]",
		"{\"a\\u0000\":1}",
		/* lone and swapped surrogates */
		"\"\\ud800\"",
		"\"\\udc00\"",
		"\"\\udfff\"",
		"\"\\ud83dx\"",
		"\"\\ud83d\\n\"",
		"\"\\ud83d\\u0041\"",
		"\"\\ud83d\\ud83d\"",
		"\"\\ude00\\ud83d\"",
		"\"\\ud83d",
		"\"\\ud83d\\u\"",
		"\"\\udbff\\ue000\"",
	};

	(void)state;
	assert_all_refused(bad, ELEMENTSOF(bad));
}

static void test_refuses_utf8(void **state)
{
	static const char *const bad[] = {
		"\"\x80\"",
		"\"\xbf\"",
		"\"\xc3\"",
		"\"\xc3(\"",
		"\"\xc0\x80\"",
		"\"\xc1\xbf\"", /* overlong */
		"\"\xe0\x80\x80\"",
		"\"\xe0\x9f\xbf\"",
		"\"\xf0\x80\x80\x80\"",
		"\"\xf0\x8f\xbf\xbf\"",
		"\"\xed\xa0\x80\"",
		"\"\xed\xbf\xbf\"", /* surrogates */
		"\"\xed\xa0\xbd\xed\xb8\x80\"",
		"\"\xf4\x90\x80\x80\"",
		"\"\xf5\x80\x80\x80\"",
		"\"\xff\"",
		"\"\xfe\"",
		"\"\xf8\x88\x80\x80\x80\"",
		"\"\xe2\x82\"",
		"\"\xf0\x9f\x98\"",
		"\"\xe2\x82",
		"\"\xf0\x9f\x98",
		"\"\xc3",
		"\"\xe2(\xa1\"",
		"\"\xe2\x82(\"",
		"\"\xf0\x9f\x98(\"",
		"{\"\xff\":1}",
		"\xef\xbb\xbf{}", /* a byte order mark */
		"\xff\xfe{\0}\0",
	};

	(void)state;
	assert_all_refused(bad, ELEMENTSOF(bad));
}

static void test_numbers(void **state)
{
	static const char *const good[] = {
		"0", "9", "10", "-1", "[1,-2]", "9007199254740991", "-9007199254740991"
	};
	static const char *const bad[] = {
		"-0",
		"-",
		"+1",
		"01",
		"-01",
		"00",
		"1.0",
		"1.",
		".5",
		"0.1",
		"1e3",
		"1E3",
		"1e999",
		"0e0",
		"1e-2",
		"0x10",
		"1_000",
		"--1",
		"9007199254740992",
		"-9007199254740992",
		"18446744073709551616",
		"18446744073709551617",
		"[1.5]",
		"1a",
		"[-]",
		"1-",
		"99999999999999999999999999999999999999999999999999999999999999999999999999999999",
	};

	(void)state;
	assert_all_accepted(good, ELEMENTSOF(good));
	assert_all_refused(bad, ELEMENTSOF(bad));
}

static void test_duplicate_keys(void **state)
{
	static const char *const bad[] = {
		"{\"a\":1,\"a\":1}",
		"{\"a\":1,\"b\":2,\"a\":3}",
		"{\"a\":1,\"\\u0061\":2}",
		"{\"\xc3\xa4\":1,\"\\u00e4\":2}",
		"{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}",
		"{\"/\":1,\"\\/\":2}",
		"{\"\":1,\"\":2}",
		"[{\"x\":{\"b\":1,\"a\":{\"b\":1},\"b\":1}}]",
		"{\"a\":{\"c\":{},\"d\":1},\"b\":[{\"e\":1}],\"a\":2}",
	};
	static const char *const good[] = { "{\"ab\":1,\"a\":2,\"abc\":3,\"b\":4}",
					    "{\"a\":\"a\",\"b\":\"a\"}" };

	(void)state;
	assert_all_refused(bad, ELEMENTSOF(bad));
	assert_all_accepted(good, ELEMENTSOF(good));
}

static void test_nul_bytes(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} cases[] = { { "\0", 1 },	 { "{}\0", 3 },	   { "\"a\0b\"", 5 },
		      { "\"\\\0\"", 4 }, { "[1\0,2]", 6 }, { "{\"a\0\":1}", 8 } };
	cJSON *json = NULL;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++)
		assert_int_equal(parse_bytes(cases[i].bytes, cases[i].size, NULL, &json, NULL),
				 -EBADMSG);
	assert_null(json);
}

/* Every beginning of a good text is refused, and nothing beyond it is read. */
static void test_truncation(void **state)
{
	static const char text[] = "{\"a\":[1,-20,true,false,null,\"\\n\\ud83d\\ude00\xc3\xa4\"],"
				   "\"b\":{\"c\":\"\xf0\x9f\x98\x80\"}}";

	(void)state;
	assert_int_equal(try(text), 0);
	for (size_t size = 0; size < sizeof text - 1; size++) {
		cJSON *json = NULL;

		assert_int_equal(parse_bytes(text, size, NULL, &json, NULL), -EBADMSG);
	}
}

static void test_error_names_the_place(void **state)
{
	struct json_error error = { 0 };
	cJSON *json = NULL;

	(void)state;
	assert_int_equal(json_parse("{\"a\":1.5}", 9, NULL, &json, &error), -EBADMSG);
	assert_string_equal(error.field, "");
	assert_non_null(strstr(error.text, "byte 6: "));
	assert_int_equal(json_parse("{\"a\":1,\"a\":2}", 13, NULL, &json, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "byte 12: "));
	assert_non_null(strstr(error.text, "'a' twice"));
}

/* ---- limits ---- */

static char *repeated(const char *before, const char *middle, size_t n, const char *after)
{
	size_t length = strlen(before) + n * strlen(middle) + strlen(after) + 1;
	char *text = malloc(length), *p;

	assert_non_null(text);
	p = stpcpy(text, before);
	for (size_t i = 0; i < n; i++)
		p = stpcpy(p, middle);
	(void)stpcpy(p, after);
	return text;
}

static int nested(size_t depth, unsigned max_depth)
{
	_cleanup_free_ char *open = repeated("", "[", depth, "");
	_cleanup_free_ char *text = repeated(open, "]", depth, "");
	struct json_limits limits = { .max_depth = max_depth };
	_cleanup_json_ cJSON *json = NULL;

	return parse_bytes(text, strlen(text), &limits, &json, NULL);
}

static void test_depth(void **state)
{
	(void)state;
	assert_int_equal(nested(16, 0), 0);
	assert_int_equal(nested(17, 0), -EFBIG);
	assert_int_equal(nested(2, 2), 0);
	assert_int_equal(nested(3, 2), -EFBIG);
	assert_int_equal(nested(128, 1000), 0);
	assert_int_equal(nested(129, 1000), -EFBIG);
	assert_int_equal(nested(30000, 0), -EFBIG);
}

static void test_bytes(void **state)
{
	struct json_limits limits = { .max_bytes = 4 };
	_cleanup_free_ char *large = repeated("\"", "x", (64u << 10) - 2, "\"");
	_cleanup_free_ char *larger = repeated("\"", "x", (64u << 10) - 1, "\"");
	_cleanup_json_ cJSON *json = NULL;

	(void)state;
	assert_int_equal(try(large), 0);
	assert_int_equal(try(larger), -EFBIG);
	assert_int_equal(parse_bytes("[10]x", 5, &limits, &json, NULL), -EFBIG);
	assert_int_equal(parse_bytes("[10]", 4, &limits, &json, NULL), 0);
}

static void test_tokens(void **state)
{
	struct json_limits limits = { .max_tokens = 4 };
	_cleanup_json_ cJSON *array = NULL, *object = NULL, *none = NULL;

	(void)state;
	assert_int_equal(parse_bytes("[1,2,3]", 7, &limits, &array, NULL), 0);
	assert_int_equal(parse_bytes("[1,2,3,4]", 9, &limits, &none, NULL), -EFBIG);
	assert_int_equal(parse_bytes("{\"a\":[1]}", 9, &limits, &object, NULL), 0);
	assert_int_equal(parse_bytes("{\"a\":[1,2]}", 11, &limits, &none, NULL), -EFBIG);
	assert_null(none);
}

/* An object of as many keys as the limits allow, in an order that is bad for simple ways of
 * sorting. The last key is the first again, if asked for. */
static char *large_object(size_t n, bool with_duplicate)
{
	char *text = malloc(n * 20 + 20), *p = text;

	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		p += sprintf(p, "%s\"k%08zu\":1", i == 0 ? "{" : ",",
			     with_duplicate && i == n - 1 ? (size_t)0 : i);
	(void)stpcpy(p, "}");
	return text;
}

static void test_many_keys(void **state)
{
	struct json_limits limits = { .max_bytes = 4u << 20, .max_tokens = 131073 };
	_cleanup_free_ char *good = large_object(65536, false), *bad = large_object(65536, true);
	_cleanup_json_ cJSON *json = NULL;

	(void)state;
	assert_int_equal(parse_bytes(bad, strlen(bad), &limits, &json, NULL), -EBADMSG);
	assert_int_equal(parse_bytes(good, strlen(good), &limits, &json, NULL), 0);
	assert_int_equal(cJSON_GetArraySize(json), 65536);
	limits.max_tokens = 131072;
	cJSON_Delete(TAKE_PTR(json));
	assert_int_equal(parse_bytes(good, strlen(good), &limits, &json, NULL), -EFBIG);
}

/* ---- getters ---- */

static void test_getters(void **state)
{
	_cleanup_json_ cJSON *json = parsed(
		"{\"s\":\"x\\u00e4\",\"n\":9007199254740991,\"t\":true,\"f\":false,"
		"\"o\":{\"a\":1},\"l\":[1,2],\"S\":\"other\"}");
	const cJSON *object, *array;
	const char *text;
	uint64_t number;
	bool flag = false;

	(void)state;
	assert_int_equal(json_get_string(json, "s", &text, NULL), 0);
	assert_string_equal(text, "x\xc3\xa4");
	assert_int_equal(json_get_u64(json, "n", UINT64_MAX, &number, NULL), 0);
	assert_true(number == MAX_INTEGER);
	assert_int_equal(json_get_bool(json, "t", &flag, NULL), 0);
	assert_true(flag);
	assert_int_equal(json_get_bool(json, "f", &flag, NULL), 0);
	assert_false(flag);
	assert_int_equal(json_get_object(json, "o", &object, NULL), 0);
	assert_int_equal(json_get_u64(object, "a", 1, &number, NULL), 0);
	assert_int_equal(number, 1);
	assert_int_equal(json_get_array(json, "l", &array, NULL), 0);
	assert_int_equal(cJSON_GetArraySize(array), 2);
}

static void test_getters_refuse_other_types(void **state)
{
	_cleanup_json_ cJSON *json = parsed(
		"{\"s\":\"1\",\"n\":1,\"z\":null,\"o\":{},\"l\":[],\"m\":-1}");
	static const char *const keys[] = { "s", "n", "z", "o", "l" };
	const cJSON *item = json;
	const char *text = "before";
	uint64_t number = 7;
	bool flag = true;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
		const char *key = keys[i];

		if (*key != 's')
			assert_int_equal(json_get_string(json, key, &text, NULL), -EBADMSG);
		if (*key != 'n')
			assert_int_equal(json_get_u64(json, key, 10, &number, NULL), -EBADMSG);
		if (*key != 'o')
			assert_int_equal(json_get_object(json, key, &item, NULL), -EBADMSG);
		if (*key != 'l')
			assert_int_equal(json_get_array(json, key, &item, NULL), -EBADMSG);
		assert_int_equal(json_get_bool(json, key, &flag, NULL), -EBADMSG);
	}
	assert_int_equal(json_get_u64(json, "m", 10, &number, NULL), -EBADMSG);
	assert_int_equal(json_get_u64(json, "n", 0, &number, NULL), -EBADMSG);
	assert_int_equal(json_get_u64(json, "none", 10, &number, NULL), -ENOENT);
	assert_int_equal(json_get_string(json, "S", &text, NULL), -ENOENT);
	assert_string_equal(text, "before");
	assert_int_equal(number, 7);
	assert_true(flag);
	assert_ptr_equal(item, json);
}

static void test_getters_on_what_is_no_object(void **state)
{
	_cleanup_json_ cJSON *array = parsed("[1]");
	struct json_error error = { 0 };
	const char *text;

	(void)state;
	assert_int_equal(json_get_string(array, "a", &text, &error), -EBADMSG);
	assert_string_equal(error.text, "must be an object");
	assert_int_equal(json_get_string(NULL, "a", &text, NULL), -EBADMSG);
	assert_int_equal(json_only_keys(array, (const char *const[]){ NULL }, NULL), -EBADMSG);
}

/* Trees that were not read by json_parse(). */
static void test_u64_of_other_trees(void **state)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();
	uint64_t number = 7;

	(void)state;
	assert_non_null(cJSON_AddNumberToObject(json, "half", 0.5));
	assert_non_null(cJSON_AddNumberToObject(json, "large", 1e300));
	assert_non_null(cJSON_AddNumberToObject(json, "nan", __builtin_nan("")));
	assert_non_null(cJSON_AddNumberToObject(json, "2^53", 9007199254740992.0));
	assert_int_equal(json_get_u64(json, "half", 10, &number, NULL), -EBADMSG);
	assert_int_equal(json_get_u64(json, "large", UINT64_MAX, &number, NULL), -EBADMSG);
	assert_int_equal(json_get_u64(json, "nan", UINT64_MAX, &number, NULL), -EBADMSG);
	assert_int_equal(json_get_u64(json, "2^53", UINT64_MAX, &number, NULL), -EBADMSG);
	assert_int_equal(number, 7);
}

static void test_errors_name_the_field(void **state)
{
	_cleanup_json_ cJSON *json = parsed("{\"value\":1,\"n\":11}");
	struct json_error error = { 0 };
	const char *text;
	uint64_t number;

	(void)state;
	assert_int_equal(json_get_string(json, "value", &text, &error), -EBADMSG);
	assert_string_equal(error.field, "value");
	assert_string_equal(error.text, "must be a string");
	json_error_prefix(&error, "identity");
	assert_string_equal(error.field, "identity.value");
	assert_int_equal(json_get_string(json, "none", &text, &error), -ENOENT);
	assert_string_equal(error.field, "none");
	assert_string_equal(error.text, "is missing");
	assert_int_equal(json_get_u64(json, "n", 10, &number, &error), -EBADMSG);
	assert_string_equal(error.text, "must be at most 10");
}

static void test_refuse(void **state)
{
	struct json_error error = { .field = "old", .text = "old" };

	(void)state;
	assert_int_equal(json_refuse(NULL, "new", "nobody hears of %s", "it"), -EBADMSG);
	assert_int_equal(json_refuse(&error, "new", "has %d entries", 65), -EBADMSG);
	assert_string_equal(error.field, "new");
	assert_string_equal(error.text, "has 65 entries");
}

static void test_text_or(void **state)
{
	_cleanup_json_ cJSON *json = parsed("{\"s\":\"text\",\"n\":1}");

	(void)state;
	assert_string_equal(json_text_or(json, "s", "-"), "text");
	assert_string_equal(json_text_or(json, "S", "-"), "-");
	assert_string_equal(json_text_or(json, "n", "-"), "-");
	assert_string_equal(json_text_or(NULL, "s", "-"), "-");
	assert_null(json_text_or(json, "missing", NULL));
}

static void test_prefix(void **state)
{
	struct json_error error = { .field = "[3]" };
	char prefix[200];

	(void)state;
	json_error_prefix(&error, "files");
	assert_string_equal(error.field, "files[3]");
	error.field[0] = '\0';
	json_error_prefix(&error, "files");
	assert_string_equal(error.field, "files");
	memset(prefix, 'p', sizeof prefix);
	prefix[sizeof prefix - 1] = '\0';
	json_error_prefix(&error, prefix);
	assert_int_equal(strlen(error.field), sizeof error.field - 1);
	json_error_prefix(NULL, "files");
}

static void test_only_keys(void **state)
{
	static const char *const keys[] = { "a", "b", NULL };
	_cleanup_json_ cJSON *good = parsed("{\"b\":1}"), *empty = parsed("{}");
	_cleanup_json_ cJSON *bad = parsed("{\"a\":1,\"A\":2,\"c\":3}");
	struct json_error error = { 0 };

	(void)state;
	assert_int_equal(json_only_keys(good, keys, &error), 0);
	assert_int_equal(json_only_keys(empty, keys, &error), 0);
	assert_int_equal(json_only_keys(bad, keys, &error), -EBADMSG);
	assert_string_equal(error.field, "A");
}

/* The name comes from the network and may go into an answer: it is cut, and cut between characters. */
static void test_field_is_cut_between_characters(void **state)
{
	_cleanup_free_ char *text = repeated("{\"a", "\xe2\x82\xac", 100, "\":1}");
	_cleanup_json_ cJSON *json = parsed(text), *again = NULL;
	_cleanup_free_ char *field = NULL;
	struct json_error error = { 0 };
	size_t length;

	(void)state;
	assert_int_equal(json_only_keys(json, (const char *const[]){ NULL }, &error), -EBADMSG);
	length = strlen(error.field);
	assert_int_equal(length, 1 + 31 * 3);
	assert_true(asprintf(&field, "\"%s\"", error.field) > 0);
	assert_int_equal(parse_bytes(field, length + 2, NULL, &again, NULL), 0);
}

/* ---- writing ---- */

static void test_writes_and_reads_back_exactly(void **state)
{
	static const uint64_t numbers[] = { 0,
					    1,
					    INT32_MAX,
					    UINT32_MAX,
					    UINT64_C(999999999999999),
					    UINT64_C(1000000000000000),
					    UINT64_C(1234567890123457),
					    MAX_INTEGER - 1,
					    MAX_INTEGER };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
		_cleanup_json_ cJSON *json = cJSON_CreateObject(), *again = NULL;
		_cleanup_free_ char *text = NULL;
		char expected[64];
		uint64_t number = 7;

		assert_true(json_add_u64(json, "n", numbers[i]));
		text = json_print(json);
		(void)snprintf(expected, sizeof expected, "{\"n\":%" PRIu64 "}", numbers[i]);
		assert_string_equal(text, expected);
		assert_int_equal(json_parse(text, strlen(text), NULL, &again, NULL), 0);
		assert_int_equal(json_get_u64(again, "n", UINT64_MAX, &number, NULL), 0);
		assert_true(number == numbers[i]);
		/* Printing leaves the tree as it was. */
		assert_int_equal(json_get_u64(json, "n", UINT64_MAX, &number, NULL), 0);
	}
}

static void test_print_is_compact(void **state)
{
	static const char text[] =
		"{\"b\":[1,-9007199254740991,true,null],\"a\":{\"s\":\"\xc3\xa4\\n\\\"\"}}";
	_cleanup_json_ cJSON *json = parsed(text);
	_cleanup_free_ char *printed = json_print(json);

	(void)state;
	assert_string_equal(printed, text);
	assert_null(json_print(NULL));
}

static void test_add_u64_refuses(void **state)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();

	(void)state;
	assert_false(json_add_u64(json, "n", MAX_INTEGER + 1));
	assert_false(json_add_u64(json, "n", UINT64_MAX));
	assert_int_equal(cJSON_GetArraySize(json), 0);
}

/* Any bytes: never a crash, and whatever is accepted comes back the same after printing. A fixed
 * seed, so that a failure can be repeated. */
static void test_mutations(void **state)
{
	static const char seed_text[] =
		"{\"a\":[1,-20,9007199254740991,true],\"b\":{\"c\":\"\\u00e4\xc3\xa4"
		"\\ud83d\\ude00\",\"d\":null}}";
	static const char interesting[] = "{}[],:\"\\u0d8e-19.\xc3\xed\xa0\xf0 \0n";
	unsigned random = 12345, accepted = 0;

	(void)state;
	for (int i = 0; i < 50000; i++) {
		_cleanup_json_ cJSON *json = NULL, *again = NULL;
		_cleanup_free_ char *printed = NULL, *reprinted = NULL;
		char text[sizeof seed_text];

		memcpy(text, seed_text, sizeof text);
		for (int j = 0; j < 1 + i % 3; j++) {
			random = random * 1103515245 + 12345;
			text[(random >> 8) % (sizeof text - 1)] =
				interesting[(random >> 20) % (sizeof interesting - 1)];
		}
		if (parse_bytes(text, sizeof text - 1, NULL, &json, NULL) < 0)
			continue;
		accepted++;
		printed = json_print(json);
		assert_non_null(printed);
		assert_int_equal(parse_bytes(printed, strlen(printed), NULL, &again, NULL), 0);
		reprinted = json_print(again);
		assert_string_equal(printed, reprinted);
	}
	assert_true(accepted > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_refuses_structure),
		cmocka_unit_test(test_refuses_strings),
		cmocka_unit_test(test_refuses_utf8),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_duplicate_keys),
		cmocka_unit_test(test_nul_bytes),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_error_names_the_place),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_getters),
		cmocka_unit_test(test_getters_refuse_other_types),
		cmocka_unit_test(test_getters_on_what_is_no_object),
		cmocka_unit_test(test_u64_of_other_trees),
		cmocka_unit_test(test_errors_name_the_field),
		cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_text_or),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_only_keys),
		cmocka_unit_test(test_field_is_cut_between_characters),
		cmocka_unit_test(test_writes_and_reads_back_exactly),
		cmocka_unit_test(test_print_is_compact),
		cmocka_unit_test(test_add_u64_refuses),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
