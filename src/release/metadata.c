/* SPDX-License-Identifier: Apache-2.0 */
#include "release/metadata.h"

#include <string.h>
#include <time.h>

#include "common/digest.h"
#include "common/json.h"
#include "tuf/client.h"

#define LAST_SEC INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

static const struct json_limits limits = {
	.max_bytes = TUF_TARGETS_MAX_BYTES,
	.max_depth = 16,
	.max_tokens = 1u << 20,
};

int metadata_new(const char *type, cJSON **ret)
{
	_cleanup_json_ cJSON *document = cJSON_CreateObject();

	if (!cJSON_AddStringToObject(document, "_type", type) ||
	    !cJSON_AddStringToObject(document, "spec_version", METADATA_SPEC_VERSION))
		return -ENOMEM;
	*ret = TAKE_PTR(document);
	return 0;
}

/* Puts item in the place of a member, or adds it. Takes item over, also on failure. */
static bool put(cJSON *object, const char *key, cJSON *item)
{
	cJSON_DeleteItemFromObjectCaseSensitive(object, key);
	if (item && cJSON_AddItemToObject(object, key, item))
		return true;
	cJSON_Delete(item);
	return false;
}

int metadata_set(cJSON *document, uint64_t version, int64_t expires_sec)
{
	char expires[METADATA_TIME_LENGTH + 1];
	int r = metadata_format_time(expires_sec, expires);

	if (r < 0)
		return r;
	if (!put(document, "version", cJSON_CreateNumber((double)version)) ||
	    !put(document, "expires", cJSON_CreateString(expires)))
		return -ENOMEM;
	return 0;
}

static int parse_envelope(const void *bytes, size_t size, cJSON **ret_envelope,
			  struct problem *problem)
{
	_cleanup_json_ cJSON *envelope = NULL;
	struct json_error error = { 0 };
	const cJSON *part;
	int r;

	r = json_parse(bytes, size, &limits, &envelope, &error);
	if (r < 0)
		return problem_set(problem, r, "is no strict JSON: %s", error.text);
	if (json_get_object(envelope, "signed", &part, &error) < 0 ||
	    json_get_array(envelope, "signatures", &part, &error) < 0)
		return problem_set(problem, -EBADMSG, "is no TUF metadata: %s %s", error.field,
				   error.text);
	*ret_envelope = TAKE_PTR(envelope);
	return 0;
}

int metadata_parse(const void *bytes, size_t size, cJSON **ret, struct problem *problem)
{
	_cleanup_json_ cJSON *envelope = NULL;
	int r = parse_envelope(bytes, size, &envelope, problem);

	if (r < 0)
		return r;
	*ret = cJSON_DetachItemFromObjectCaseSensitive(envelope, "signed");
	return 0;
}

int metadata_version(const cJSON *document, uint64_t *ret)
{
	return json_get_u64(document, "version", METADATA_MAX_VERSION, ret, NULL);
}

int metadata_expires_sec(const cJSON *document, int64_t *ret)
{
	const char *text;
	int r = json_get_string(document, "expires", &text, NULL);

	return r < 0 ? r : metadata_parse_time(text, ret);
}

int metadata_format_time(int64_t sec, char ret[METADATA_TIME_LENGTH + 1])
{
	time_t t = sec;
	struct tm tm;

	if (sec < 0 || sec > LAST_SEC || !gmtime_r(&t, &tm))
		return -ERANGE;
	if (strftime(ret, METADATA_TIME_LENGTH + 1, "%Y-%m-%dT%H:%M:%SZ", &tm) !=
	    METADATA_TIME_LENGTH)
		return -ERANGE;
	return 0;
}

int metadata_parse_time(const char *text, int64_t *ret_sec)
{
	char again[METADATA_TIME_LENGTH + 1];
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	time_t t;

	if (!end || *end)
		return -EBADMSG;
	t = timegm(&tm);
	/* strptime() takes more than it should: spaces, signs, the 31st of February. */
	if (metadata_format_time(t, again) < 0 || strcmp(again, text) != 0)
		return -EBADMSG;
	*ret_sec = t;
	return 0;
}

int metadata_describe(uint64_t length, const uint8_t *sha256, cJSON **ret)
{
	_cleanup_json_ cJSON *object = cJSON_CreateObject();
	char hex[SHA256_HEX_LENGTH + 1];
	cJSON *hashes;

	hex_encode(sha256, SHA256_BYTES, hex);
	if (!object || !json_add_u64(object, "length", length))
		return -ENOMEM;
	hashes = cJSON_AddObjectToObject(object, "hashes");
	if (!cJSON_AddStringToObject(hashes, "sha256", hex))
		return -ENOMEM;
	*ret = TAKE_PTR(object);
	return 0;
}
