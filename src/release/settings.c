/* SPDX-License-Identifier: Apache-2.0 */
#include "release/settings.h"

#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "release/repository.h"

#define SETTINGS_MAX_BYTES (64u << 10)
#define MAX_DAYS	   36500

static const char *const kind_names[_ROLE_KIND_MAX] = {
	[ROLE_ROOT] = "root",	      [ROLE_TARGETS] = "targets",     [ROLE_PROGRAM] = "programs",
	[ROLE_SNAPSHOT] = "snapshot", [ROLE_TIMESTAMP] = "timestamp",
};

int role_kind_from_name(const char *role)
{
	if (role[0] >= 'A' && role[0] <= 'Z' && !role[1])
		return ROLE_PROGRAM;
	for (int i = 0; i < _ROLE_KIND_MAX; i++)
		if (i != ROLE_PROGRAM && strcmp(role, kind_names[i]) == 0)
			return i;
	return -EINVAL;
}

unsigned expiry_days(const struct expiry *expiry, const char *role)
{
	int kind = role_kind_from_name(role);

	return expiry->days[kind < 0 ? ROLE_PROGRAM : kind];
}

static int format(const struct expiry *expiry, char **ret)
{
	_cleanup_json_ cJSON *settings = cJSON_CreateObject();
	cJSON *days = cJSON_AddObjectToObject(settings, "expires_days");
	_cleanup_free_ char *text = NULL;

	for (int i = 0; i < _ROLE_KIND_MAX; i++)
		if (!days || !json_add_u64(days, kind_names[i], expiry->days[i]))
			return -ENOMEM;
	text = json_print(settings);
	if (!text || asprintf(ret, "%s\n", text) < 0)
		return -ENOMEM;
	return 0;
}

int settings_write(int dirfd, const struct expiry *expiry)
{
	_cleanup_free_ char *text = NULL;
	int r = format(expiry, &text);

	return r < 0 ? r
		     : fs_write_file_atomic(dirfd, REPOSITORY_SETTINGS, text, strlen(text), 0644);
}

static int parse(const char *text, size_t size, struct expiry *ret, struct json_error *error)
{
	_cleanup_json_ cJSON *settings = NULL;
	const cJSON *days;
	struct expiry expiry;
	int r;

	r = json_parse(text, size, NULL, &settings, error);
	if (r < 0)
		return r;
	r = json_get_object(settings, "expires_days", &days, error);
	if (r < 0)
		return r;
	for (int i = 0; i < _ROLE_KIND_MAX; i++) {
		uint64_t value;

		r = json_get_u64(days, kind_names[i], MAX_DAYS, &value, error);
		if (r < 0) {
			json_error_prefix(error, "expires_days");
			return r;
		}
		expiry.days[i] = (unsigned)value;
	}
	*ret = expiry;
	return 0;
}

int settings_read(int dirfd, const char *path, struct expiry *ret, struct problem *problem)
{
	struct json_error error = { 0 };
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	r = fs_read_file(dirfd, REPOSITORY_SETTINGS, SETTINGS_MAX_BYTES, &text, &size);
	if (r == -ENOENT)
		return r;
	if (r < 0)
		return problem_set(problem, r, "cannot read '%s/" REPOSITORY_SETTINGS "': %s", path,
				   strerror(-r));
	r = parse(text, size, ret, &error);
	if (r < 0)
		return problem_set(problem, -EBADMSG, "'%s/" REPOSITORY_SETTINGS "': %s %s", path,
				   error.field, error.text);
	return 0;
}
