/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/show.h"

#include <inttypes.h>
#include <time.h>

#include "common/json.h"
#include "common/log.h"

bool show_has(const cJSON *object, const char *key)
{
	return cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(object, key));
}

int64_t show_number(const cJSON *object, const char *key, int64_t otherwise)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : otherwise;
}

bool show_flag(const cJSON *object, const char *key)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

const cJSON *show_object(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsObject(item) ? item : NULL;
}

struct show_text show_value(const cJSON *object, const char *key, int64_t unit, int digits,
			    const char *suffix)
{
	struct show_text t = { "-" };

	if (show_has(object, key))
		(void)snprintf(t.text, sizeof t.text, "%.*f%s", digits,
			       (double)show_number(object, key, 0) / (double)unit, suffix);
	return t;
}

struct show_text show_duration(int64_t sec)
{
	struct show_text t = { "-" };

	if (sec < 0)
		return t;
	if (sec < 60)
		(void)snprintf(t.text, sizeof t.text, "%" PRId64 " s", sec);
	else if (sec < 3600)
		(void)snprintf(t.text, sizeof t.text, "%" PRId64 " min", sec / 60);
	else if (sec < 86400)
		(void)snprintf(t.text, sizeof t.text, "%" PRId64 " h %" PRId64 " min", sec / 3600,
			       sec / 60 % 60);
	else
		(void)snprintf(t.text, sizeof t.text, "%" PRId64 " d %" PRId64 " h", sec / 86400,
			       sec / 3600 % 24);
	return t;
}

struct show_text show_time(uint64_t wall_sec)
{
	struct show_text t = { "-" };
	time_t when = (time_t)wall_sec;
	struct tm local = {};

	if (wall_sec > 0 && localtime_r(&when, &local))
		(void)strftime(t.text, sizeof t.text, "%Y-%m-%d %H:%M:%S", &local);
	return t;
}

void show_event(const cJSON *event, char *ret, size_t size)
{
	struct show_text when = show_time((uint64_t)show_number(event, "wall_sec", 0));
	const char *name = json_text_or(event, "name", ""),
		   *level = json_text_or(event, "level", ""),
		   *detail = json_text_or(event, "detail", "");
	char pack[24] = "";

	if (show_has(event, "pack"))
		(void)snprintf(pack, sizeof pack, " pack %" PRId64, show_number(event, "pack", 0));
	(void)snprintf(ret, size, "%s%s %s%s%s%s%s%s%s%s", when.text, pack,
		       json_text_or(event, "event", "?"), name[0] ? " " : "", name,
		       level[0] ? " (" : "", level, level[0] ? ")" : "", detail[0] ? ": " : "",
		       detail);
	log_mask_controls(ret);
}
