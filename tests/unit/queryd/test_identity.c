/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queryd/identity.h"

#define HEX32 "0123456789abcdef0123456789abcdef"
#define X16   "xxxxxxxxxxxxxxxx"

static void expect_refused(const char *type, const char *value, const char *field)
{
	struct json_error error = { 0 };
	struct identity id = { "untouched" };

	assert_int_equal(identity_set(type, value, &id, &error), -EBADMSG);
	assert_string_equal(error.field, field);
	assert_true(error.text[0] != '\0');
	assert_string_equal(id.text, "untouched");
}

static void expect_text(const char *type, const char *value, const char *text)
{
	struct json_error error = { 0 };
	struct identity id, again;

	assert_int_equal(identity_set(type, value, &id, &error), 0);
	assert_string_equal(id.text, text);
	assert_int_equal(identity_parse(text, &again, &error), 0);
	assert_string_equal(again.text, text);
}

static void test_accepts(void **state)
{
	(void)state;
	expect_text("imei", "490154203237518", "imei:490154203237518");
	expect_text("imei", "000000000000000", "imei:000000000000000");
	expect_text("imei", "356938035643809", "imei:356938035643809");
	expect_text("machine-id", HEX32, "machine-id:" HEX32);
	expect_text("name", "a", "name:a");
	expect_text("name", "gw:01.B_x-9", "name:gw:01.B_x-9");
	expect_text("name", X16 X16 X16 X16, "name:" X16 X16 X16 X16);
}

static void test_machine_id_case_does_not_matter(void **state)
{
	(void)state;
	expect_text("machine-id", "0123456789ABCDEF0123456789abcdef", "machine-id:" HEX32);
	expect_text("name", "ABC", "name:ABC");
}

/* Each of the nine other check digits is wrong. */
static void test_luhn(void **state)
{
	char imei[] = "490154203237518";

	(void)state;
	for (char digit = '0'; digit <= '9'; digit++) {
		imei[14] = digit;
		if (digit != '8')
			expect_refused("imei", imei, "value");
	}
	/* Two neighbouring digits exchanged. */
	expect_refused("imei", "940154203237518", "value");
}

static void test_refuses(void **state)
{
	(void)state;
	expect_refused("imei", "", "value");
	expect_refused("imei", "49015420323751", "value");
	expect_refused("imei", "4901542032375180", "value");
	expect_refused("imei", "49015420323751a", "value");
	expect_refused("imei", "+90154203237518", "value");
	expect_refused("machine-id", "0123", "value");
	expect_refused("machine-id", HEX32 "0", "value");
	expect_refused("machine-id", "0123456789abcdef0123456789abcdeg", "value");
	expect_refused("name", "", "value");
	expect_refused("name", "a b", "value");
	expect_refused("name", "a/b", "value");
	expect_refused("name", "\xc3\xa4", "value");
	expect_refused("name", X16 X16 X16 X16 "x", "value");
	expect_refused("serial", "1", "type");
	expect_refused("IMEI", "490154203237518", "type");
	expect_refused("", "", "type");
}

static void test_refuses_texts(void **state)
{
	static const char *const bad[] = {
		"", ":", "imei", "imei:", "490154203237518", "x:y", "averyveryverylongtype:x"
	};
	struct json_error error = { 0 };
	struct identity id;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_int_equal(identity_parse(bad[i], &id, &error), -EBADMSG);
}

static int from_json(const char *text, struct identity *ret, struct json_error *error)
{
	_cleanup_json_ cJSON *json = NULL;

	*error = (struct json_error){ 0 };
	assert_int_equal(json_parse(text, strlen(text), NULL, &json, NULL), 0);
	return identity_from_json(json, ret, error);
}

static void test_json_names_the_field(void **state)
{
	static const struct {
		const char *text, *field;
	} bad[] = {
		{ "{}", "identity" },
		{ "{\"identity\":1}", "identity" },
		{ "{\"identity\":[]}", "identity" },
		{ "{\"identity\":{}}", "identity.type" },
		{ "{\"identity\":{\"type\":1,\"value\":\"a\"}}", "identity.type" },
		{ "{\"identity\":{\"type\":\"x\",\"value\":\"a\"}}", "identity.type" },
		{ "{\"identity\":{\"type\":\"name\"}}", "identity.value" },
		{ "{\"identity\":{\"type\":\"name\",\"value\":null}}", "identity.value" },
		{ "{\"identity\":{\"type\":\"imei\",\"value\":490154203237518}}",
		  "identity.value" },
		{ "{\"identity\":{\"type\":\"imei\",\"value\":\"490154203237519\"}}",
		  "identity.value" },
		{ "{\"identity\":{\"type\":\"name\",\"value\":\"a\",\"x\":1}}", "identity.x" },
	};
	struct json_error error;
	struct identity id;

	(void)state;
	assert_int_equal(
		from_json("{\"identity\":{\"type\":\"name\",\"value\":\"a\"}}", &id, &error), 0);
	assert_string_equal(id.text, "name:a");
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		assert_true(from_json(bad[i].text, &id, &error) < 0);
		assert_string_equal(error.field, bad[i].field);
	}
}

static void test_to_json(void **state)
{
	_cleanup_json_ cJSON *json = identity_to_json("name:a:b");
	_cleanup_free_ char *text = json_print(json);

	(void)state;
	assert_string_equal(text, "{\"type\":\"name\",\"value\":\"a:b\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_machine_id_case_does_not_matter),
		cmocka_unit_test(test_luhn),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_refuses_texts),
		cmocka_unit_test(test_json_names_the_field),
		cmocka_unit_test(test_to_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
