/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/backups/{type}/{value}/{version}: what a gateway tells of a backup and asks about it; with /bytes
 * behind it, the backup itself.
 */
#include <string.h>
#include <time.h>

#include "common/json.h"
#include "common/log.h"
#include "queryd/range.h"
#include "queryd/service.h"

#define U64_JSON_MAX	   ((UINT64_C(1) << 53) - 1)
#define BYTES_NAME	   "bytes"
#define BYTES_SUFFIX	   "/" BYTES_NAME
#define FULL_RETRY_SECONDS "86400"

struct backup_path {
	struct identity identity;
	struct version version;
	bool is_bytes;
};

/* ---- the path ---- */

/* The next component of a path, into size bytes. False if it is empty or longer. */
static bool take_component(const char **path, char *ret, size_t size)
{
	size_t n = strcspn(*path, "/");

	if (n == 0 || n >= size)
		return false;
	memcpy(ret, *path, n);
	ret[n] = '\0';
	*path += n;
	if (**path == '/' && (*path)[1])
		++*path;
	return true;
}

static int parse_path(const char *rest, struct backup_path *ret, struct json_error *error)
{
	char type[16], value[IDENTITY_TEXT_BYTES], version[VERSION_LENGTH + 1];
	int r;

	if (!take_component(&rest, type, sizeof type) ||
	    !take_component(&rest, value, sizeof value) ||
	    !take_component(&rest, version, sizeof version))
		return json_refuse(error, "", "the path is not TYPE/VALUE/VERSION");
	ret->is_bytes = strcmp(rest, BYTES_NAME) == 0;
	if (*rest && !ret->is_bytes)
		return json_refuse(error, "", "the path is not TYPE/VALUE/VERSION");
	r = identity_set(type, value, &ret->identity, error);
	if (r < 0) {
		json_error_prefix(error, "identity");
		return r;
	}
	if (version_parse(version, &ret->version) < 0)
		return json_refuse(error, "version", "not a version (like B202109010001)");
	return 0;
}

/* False after having answered. */
static bool open_path(struct service *s, const struct request *request, struct backup_path *ret,
		      struct answer *answer)
{
	struct json_error error = { 0 };

	if (!s->backups) {
		answer_error(answer, 404, NULL, "no backups are kept here");
		return false;
	}
	if (parse_path(request->rest, ret, &error) == 0)
		return true;
	answer_error(answer, 400, error.field, "%s", error.text);
	return false;
}

/* ---- answers ---- */

/* A full disk is told once, and when it is over. */
static void note(struct service *s, int error)
{
	bool failed = error < 0;

	if (atomic_exchange(&s->backups_failed, failed) == failed)
		return;
	if (failed)
		log_error("backups in '%s': %s; this is told once until it works again",
			  s->conf->backup_path, strerror(-error));
	else
		log_notice("backups in '%s': work again", s->conf->backup_path);
}

static void answer_offset(struct answer *ret, const char *sentence, uint64_t offset)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();

	if (!json || !cJSON_AddStringToObject(json, "error", sentence) ||
	    !json_add_u64(json, "offset", offset))
		answer_json(ret, 500, NULL);
	else
		answer_json(ret, 409, json);
}

static void answer_full(struct answer *ret, const char *sentence)
{
	answer_error(ret, 507, NULL, "%s", sentence);
	answer_header(ret, "Retry-After", FULL_RETRY_SECONDS);
}

static void answer_failure(struct service *s, int error, const struct backup_state *state,
			   struct answer *ret)
{
	uint64_t offset = state ? state->offset_bytes : 0;

	switch (-error) {
	case ENOENT: answer_error(ret, 404, NULL, "there is no such backup"); break;
	case EEXIST:
		answer_error(ret, 409, "tar_sha256", "another backup of this version is held");
		break;
	case EFBIG: answer_error(ret, 413, "length", "the backup is larger than is taken"); break;
	case EDQUOT: answer_full(ret, "there is no more room for backups"); break;
	case EBUSY:
		answer_offset(ret, "another request brings it now", offset);
		/* It may be one whose connection is dead: then it ends with that. */
		answer_header(ret, "Retry-After", "%ju", (uintmax_t)s->conf->timeout_sec);
		break;
	case ESTALE: answer_offset(ret, "these are not the next bytes", offset); break;
	case ERANGE: answer_error(ret, 400, "Content-Range", "not a part of this backup"); break;
	case ENODATA:
		answer_error(ret, 400, NULL, "the body is shorter than its Content-Range");
		break;
	case EBADMSG:
		answer_error(ret, 422, "sha256", "these are not the bytes that it was told to be");
		break;
	case ENOSPC:
		note(s, error);
		answer_full(ret, "there is no more room for backups");
		break;
	default:
		note(s, error);
		answer_error(ret, 503, NULL, "backups are not available now");
		answer_header(ret, "Retry-After", "300");
	}
}

static bool add_state(cJSON *json, const struct backup_state *state)
{
	if (!json || !cJSON_AddStringToObject(json, "state", state->is_held ? "held" : "wanted"))
		return false;
	return state->is_held || json_add_u64(json, "offset", state->offset_bytes);
}

static void answer_state(struct service *s, unsigned status, const struct backup_state *state,
			 struct answer *ret)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();

	note(s, 0);
	answer_json(ret, status, add_state(json, state) ? json : NULL);
}

/* ---- telling ---- */

static int get_sha256(const cJSON *json, const char *key, const char **ret,
		      struct json_error *error)
{
	uint8_t sha256[SHA256_BYTES];
	int r = json_get_string(json, key, ret, error);

	if (r == 0 && hex_decode(*ret, sha256, sizeof sha256) < 0)
		return json_refuse(error, key, "must be 64 lower-case hex digits");
	return r;
}

static int parse_told(const cJSON *json, struct backup_told *ret, struct json_error *error)
{
	static const char *const members[] = { "tar_sha256", "sha256", "length", NULL };
	int r;

	if (!cJSON_IsObject(json))
		return json_refuse(error, "", "must be an object");
	r = json_only_keys(json, members, error);
	if (r == 0)
		r = get_sha256(json, "tar_sha256", &ret->tar_sha256, error);
	if (r < 0)
		return r;
	ret->sha256 = "";
	r = get_sha256(json, "sha256", &ret->sha256, error);
	if (r == -ENOENT && !cJSON_HasObjectItem(json, "length"))
		return 0;
	if (r == 0)
		r = json_get_u64(json, "length", U64_JSON_MAX, &ret->length_bytes, error);
	if (r == 0 && ret->length_bytes == 0)
		return json_refuse(error, "length", "must not be 0");
	return r;
}

static void tell(struct service *s, const struct request *request, const struct backup_path *path,
		 struct answer *ret)
{
	struct backup_told told = { .identity = path->identity.text,
				    .version = path->version.text,
				    .now_sec = (int64_t)time(NULL) };
	_cleanup_json_ cJSON *json = NULL;
	struct json_error error = { 0 };
	struct backup_state state;
	int r;

	r = json_parse(request->body, request->body_size, NULL, &json, &error);
	if (r == 0)
		r = parse_told(json, &told, &error);
	if (r < 0) {
		answer_error(ret, r == -ENOMEM ? 500 : 400, error.field, "%s", error.text);
		return;
	}
	r = backups_tell(s->backups, &told, &state);
	if (r < 0) {
		answer_failure(s, r, NULL, ret);
		return;
	}
	if (r > 0)
		log_info("backup of %s: %s is %s", told.identity, told.version,
			 !state.is_held		 ? "wanted"
			 : state.is_by_reference ? "held by the repository"
						 : "held already");
	answer_state(s, !state.is_held ? 202 : r > 0 ? 201 : 200, &state, ret);
}

/* ---- asking ---- */

static void show(struct service *s, const struct request *request, const struct backup_path *path,
		 struct answer *ret)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();
	struct store_backup backup;
	struct backup_state state;
	int r = backups_get(s->backups, path->identity.text, path->version.text, &backup, &state);

	if (r < 0) {
		answer_failure(s, r, NULL, ret);
	} else if (path->is_bytes) {
		files_answer_fd(request, backups_open_file(s->backups, &backup), ret);
	} else if (!add_state(json, &state) ||
		   !cJSON_AddStringToObject(json, "tar_sha256", backup.tar_sha256) ||
		   (state.sha256[0] && (!cJSON_AddStringToObject(json, "sha256", state.sha256) ||
					!json_add_u64(json, "length", state.length_bytes)))) {
		answer_json(ret, 500, NULL);
	} else {
		answer_json(ret, 200, json);
	}
}

void backups_handle(struct service *s, const struct request *request, struct answer *ret)
{
	struct backup_path path;

	if (!open_path(s, request, &path, ret))
		return;
	if (request->method != METHOD_PUT)
		show(s, request, &path, ret);
	else if (!request->announced_body)
		answer_error(ret, 411, NULL, "a body with its length is needed");
	else
		tell(s, request, &path, ret);
}

/* ---- bytes ---- */

static bool is_bytes_path(const char *path)
{
	size_t n = strlen(path), suffix = strlen(BYTES_SUFFIX);

	return n > suffix && strcmp(path + n - suffix, BYTES_SUFFIX) == 0;
}

/* Where the body's length is told, it must be that of its range. */
static bool is_length_right(const struct request *request, uint64_t first, uint64_t last)
{
	char length[24];

	(void)snprintf(length, sizeof length, "%ju", (uintmax_t)(last - first + 1));
	return !request->content_length || strcmp(request->content_length, length) == 0;
}

int backups_begin_call(struct service *s, const struct request *request, struct backup_upload **ret,
		       struct answer *answer)
{
	uint64_t first = 0, last = 0, total = 0;
	struct backup_state state = { 0 };
	struct backup_path path;
	int r;

	if (!is_bytes_path(request->rest))
		return 0;
	if (!open_path(s, request, &path, answer))
		return -ECANCELED;
	if (range_parse_content(request->content_range, &first, &last, &total) < 0 ||
	    !is_length_right(request, first, last)) {
		answer_failure(s, -ERANGE, NULL, answer);
		return -ECANCELED;
	}
	r = backups_begin(s->backups, path.identity.text, path.version.text, first, last, total,
			  ret, &state);
	if (r == 0)
		return 1;
	if (r == -EALREADY)
		answer_state(s, 200, &state, answer);
	else
		answer_failure(s, r, &state, answer);
	return -ECANCELED;
}

void backups_end_call(struct service *s, struct backup_upload *upload, int write_error,
		      struct answer *ret)
{
	struct backup_state state = { 0 };
	int r = write_error;

	if (r < 0)
		(void)backups_abort(upload);
	else
		r = backups_end(upload, &state);
	if (r < 0) {
		answer_failure(s, r, &state, ret);
		return;
	}
	if (state.is_held)
		log_info("backup '%s' has come, %ju bytes", state.sha256,
			 (uintmax_t)state.length_bytes);
	answer_state(s, state.is_held ? 201 : 202, &state, ret);
}
