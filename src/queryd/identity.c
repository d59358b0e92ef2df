/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/identity.h"

#include <stdbool.h>
#include <string.h>

#define IMEI_DIGITS	  15
#define MACHINE_ID_DIGITS 32
#define NAME_MAX_LENGTH	  64

_Static_assert(sizeof "machine-id:" + NAME_MAX_LENGTH <= IDENTITY_TEXT_BYTES,
	       "every identity fits its text");

/* ISO/IEC 7812-1: every second digit from the right is doubled. */
static bool luhn_is_right(const char *digits, size_t n)
{
	unsigned sum = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned d = (unsigned)(digits[n - 1 - i] - '0');

		if (i % 2 == 1)
			d = d > 4 ? 2 * d - 9 : 2 * d;
		sum += d;
	}
	return sum % 10 == 0;
}

static int check_imei(const char *value, struct json_error *error)
{
	if (strlen(value) != IMEI_DIGITS || strspn(value, "0123456789") != IMEI_DIGITS)
		return json_refuse(error, "value", "not a valid IMEI (it has 15 digits)");
	if (!luhn_is_right(value, IMEI_DIGITS))
		return json_refuse(error, "value", "not a valid IMEI (the check digit is wrong)");
	return 0;
}

static int check_machine_id(const char *value, struct json_error *error)
{
	if (strlen(value) != MACHINE_ID_DIGITS ||
	    strspn(value, "0123456789abcdefABCDEF") != MACHINE_ID_DIGITS)
		return json_refuse(error, "value", "not a machine-id (it has 32 hex digits)");
	return 0;
}

static int check_name(const char *value, struct json_error *error)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._:-";
	size_t length = strlen(value);

	if (length < 1 || length > NAME_MAX_LENGTH || strspn(value, allowed) != length)
		return json_refuse(error, "value", "not a name (1 to 64 of A-Z a-z 0-9 . _ : -)");
	return 0;
}

static const struct {
	const char *name;
	int (*check)(const char *value, struct json_error *error);
	bool any_case;
} types[] = {
	{ "imei", check_imei, false },
	{ "machine-id", check_machine_id, true },
	{ "name", check_name, false },
};

/* Hex digits are the same in either case; nobody may leave a blacklist by writing them otherwise. */
static void lower_ascii(char *text)
{
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text - 'A' + 'a');
}

int identity_set(const char *type, const char *value, struct identity *ret,
		 struct json_error *error)
{
	for (size_t i = 0; i < ELEMENTSOF(types); i++) {
		struct identity identity;
		int r;

		if (strcmp(types[i].name, type) != 0)
			continue;
		r = types[i].check(value, error);
		if (r < 0)
			return r;
		(void)snprintf(identity.text, sizeof identity.text, "%s:%s", type, value);
		if (types[i].any_case)
			lower_ascii(identity.text);
		*ret = identity;
		return 0;
	}
	return json_refuse(error, "type", "must be imei, machine-id or name");
}

int identity_parse(const char *text, struct identity *ret, struct json_error *error)
{
	const char *colon = strchr(text, ':');
	char type[16];

	if (!colon || (size_t)(colon - text) >= sizeof type)
		return json_refuse(error, "type", "must be imei, machine-id or name, then a colon");
	(void)snprintf(type, sizeof type, "%.*s", (int)(colon - text), text);
	return identity_set(type, colon + 1, ret, error);
}

int identity_from_json(const cJSON *object, struct identity *ret, struct json_error *error)
{
	static const char *const members[] = { "type", "value", NULL };
	const char *type = NULL, *value = NULL;
	const cJSON *identity = NULL;
	int r;

	r = json_get_object(object, "identity", &identity, error);
	if (r < 0)
		return r;
	r = json_only_keys(identity, members, error);
	if (r >= 0)
		r = json_get_string(identity, "type", &type, error);
	if (r >= 0)
		r = json_get_string(identity, "value", &value, error);
	if (r >= 0)
		r = identity_set(type, value, ret, error);
	if (r < 0)
		json_error_prefix(error, "identity");
	return r;
}

cJSON *identity_to_json(const char *text)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();
	const char *colon = strchr(text, ':');
	char type[16];

	if (!json || !colon)
		return NULL;
	(void)snprintf(type, sizeof type, "%.*s", (int)(colon - text), text);
	if (!cJSON_AddStringToObject(json, "type", type) ||
	    !cJSON_AddStringToObject(json, "value", colon + 1))
		return NULL;
	return TAKE_PTR(json);
}
