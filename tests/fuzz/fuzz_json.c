/* SPDX-License-Identifier: Apache-2.0 */
/* The strict reader: what it accepts is printed and read again to the same, and limits only refuse. */
#include "fuzz.h"

#include <string.h>

#include "common/json.h"

static void check_limits(const uint8_t *data, size_t size, bool is_accepted)
{
	static const struct json_limits limits[] = {
		{ .max_bytes = 16 }, { .max_depth = 2 }, { .max_tokens = 4 }, { .max_depth = 128 }
	};

	for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
		_cleanup_json_ cJSON *json = NULL;
		struct json_error error = {};
		int r = json_parse(data, size, &limits[i], &json, &error);

		check(r == 0 || r == -EBADMSG || r == -EFBIG);
		check((r == 0) == (json != NULL));
		check(r == 0 || error.text[0]);
		if (limits[i].max_depth == 128)
			check(r == 0 || !is_accepted);
		else
			check(r != 0 || is_accepted);
	}
}

static void check_getters(const cJSON *json)
{
	static const char *const keys[] = { "a", "version", "", NULL };
	struct json_error error = {};
	const cJSON *item;
	const char *text;
	uint64_t number;
	bool truth;

	for (size_t i = 0; keys[i]; i++) {
		int there = 0;

		there += json_get_string(json, keys[i], &text, &error) == 0;
		there += json_get_u64(json, keys[i], 1000, &number, &error) == 0;
		there += json_get_bool(json, keys[i], &truth, &error) == 0;
		there += json_get_object(json, keys[i], &item, &error) == 0;
		there += json_get_array(json, keys[i], &item, &error) == 0;
		check(there <= 1);
		check(strlen(json_text_or(json, keys[i], "otherwise")) <= 65536);
	}
	check(json_only_keys(json, keys, &error) <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ cJSON *json = NULL, *again = NULL;
	_cleanup_free_ char *text = NULL, *text_again = NULL;
	struct json_error error = {};
	int r;

	r = json_parse(data, size, NULL, &json, &error);
	check_limits(data, size, r == 0);
	if (r < 0)
		return 0;
	/* Nothing that ends a C string early, nothing after the value. */
	check(!memchr(data, '\0', size));
	text = json_print(json);
	check(text);
	check(json_parse(text, strlen(text), NULL, &again, &error) == 0);
	check(cJSON_Compare(json, again, true));
	text_again = json_print(again);
	check(text_again && strcmp(text, text_again) == 0);
	check_getters(json);
	return 0;
}
