/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical JSON: one text for one value, however it was written; and a text that says the value
 * again (but for control characters, which it does not escape and the strict reader refuses).
 */
#include "fuzz.h"

#include <string.h>

#include "common/json.h"
#include "tuf/canonical.h"

static void check_same(const cJSON *json, const char *canonical, size_t size)
{
	_cleanup_free_ char *again = NULL;
	size_t again_size;

	check(tuf_canonical(json, &again, &again_size) == 0);
	check(again_size == size && memcmp(again, canonical, size) == 0);
}

/* White space, escapes and the order of members are no part of the value. */
static void check_written_otherwise(const cJSON *json, const char *canonical, size_t size)
{
	_cleanup_json_ cJSON *copy = cJSON_Duplicate(json, true), *again = NULL;
	char *pretty;

	check(copy);
	if (cJSON_IsObject(copy))
		for (int i = 1, n = cJSON_GetArraySize(copy); i < n; i++)
			check(cJSON_InsertItemInArray(copy, 0, cJSON_DetachItemFromArray(copy, i)));
	check_same(copy, canonical, size);
	pretty = cJSON_Print(json);
	check(pretty);
	/* cJSON rounds what is over 10^15 (see json_print): such a text means another number. */
	if (json_parse(pretty, strlen(pretty), NULL, &again, NULL) == 0 &&
	    cJSON_Compare(json, again, true))
		check_same(again, canonical, size);
	free(pretty);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ cJSON *json = NULL, *again = NULL;
	_cleanup_free_ char *canonical = NULL;
	size_t canonical_size;
	bool has_controls = false;

	if (json_parse(data, size, NULL, &json, NULL) < 0)
		return 0;
	check(tuf_canonical(json, &canonical, &canonical_size) == 0);
	check(strlen(canonical) == canonical_size);
	for (size_t i = 0; i < canonical_size; i++)
		has_controls |= (uint8_t)canonical[i] < 0x20;
	check_same(json, canonical, canonical_size);
	check_written_otherwise(json, canonical, canonical_size);
	if (has_controls)
		return 0;
	check(json_parse(canonical, canonical_size, NULL, &again, NULL) == 0);
	check(cJSON_Compare(json, again, true));
	check_same(again, canonical, canonical_size);
	return 0;
}
