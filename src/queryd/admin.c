/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/admin/…: what queryctl(1) asks for. Lists come in pages, so that an answer stays small
 * whatever the archive has become.
 */
#include <string.h>
#include <time.h>

#include "common/json.h"
#include "common/log.h"
#include "common/version.h"
#include "queryd/identity.h"
#include "queryd/service.h"

#define GATEWAYS_PAGE  1000
#define RESULTS_PAGE   100 /* each may be 16 KiB */
#define BACKUPS_PAGE   1000
#define NOTE_MAX_BYTES 500

/* ---- who may ---- */

/* Takes the same time wherever the first difference is. */
static bool is_same_token(const char *given, const char *expected)
{
	size_t given_length = strlen(given), length = strlen(expected);
	volatile unsigned char differences = given_length != length;

	for (size_t i = 0; i < length; i++)
		differences |= (unsigned char)(given[i < given_length ? i : 0] ^ expected[i]);
	return differences == 0;
}

bool admin_is_allowed(const struct service *s, const struct request *request, struct answer *ret)
{
	static const char scheme[] = "Bearer ";
	const char *given = request->authorization;

	if (!s->admin_token) {
		answer_error(ret, 403, NULL, "administration is closed: no [admin] token_file");
		return false;
	}
	if (given && strncasecmp(given, scheme, sizeof scheme - 1) == 0 &&
	    is_same_token(given + sizeof scheme - 1, s->admin_token))
		return true;
	answer_error(ret, 401, NULL, "a valid token is needed");
	answer_header(ret, "WWW-Authenticate", "Bearer");
	return false;
}

/* ---- arguments ---- */

/* A decimal number without anything around it. False after having answered. */
static bool number_argument(const struct request *request, const char *name, uint64_t max,
			    uint64_t otherwise, uint64_t *ret_number, struct answer *ret)
{
	const char *text = request_argument(request, name);
	uint64_t n = 0;

	if (!text) {
		*ret_number = otherwise;
		return true;
	}
	if (!*text || strlen(text) > 16 || text[strspn(text, "0123456789")] != '\0') {
		answer_error(ret, 400, name, "must be a number");
		return false;
	}
	for (; *text; text++)
		n = n * 10 + (uint64_t)(*text - '0');
	*ret_number = n < max ? n : max;
	return true;
}

/* *ret_text is NULL if there is no such argument. */
static bool identity_argument(const struct request *request, struct identity *storage,
			      const char **ret_text, struct answer *ret)
{
	const char *text = request_argument(request, "identity");
	struct json_error error = { 0 };

	*ret_text = NULL;
	if (!text)
		return true;
	if (identity_parse(text, storage, &error) < 0) {
		answer_error(ret, 400, "identity", "%s", error.text);
		return false;
	}
	*ret_text = storage->text;
	return true;
}

/* {name: []}, with *ret_list the array. NULL when out of memory. */
static cJSON *new_list(const char *name, cJSON **ret_list)
{
	cJSON *json = cJSON_CreateObject();
	cJSON *list = cJSON_AddArrayToObject(json, name);

	if (!list) {
		cJSON_Delete(json);
		return NULL;
	}
	*ret_list = list;
	return json;
}

static cJSON *add_item(cJSON *list)
{
	cJSON *item = cJSON_CreateObject();

	if (item && !cJSON_AddItemToArray(list, item)) {
		cJSON_Delete(item);
		return NULL;
	}
	return item;
}

static bool add_owned(cJSON *object, const char *key, cJSON *value)
{
	if (value && cJSON_AddItemToObject(object, key, value))
		return true;
	cJSON_Delete(value);
	return false;
}

static bool add_time(cJSON *object, const char *key, int64_t sec)
{
	return json_add_u64(object, key, sec < 0 ? 0 : (uint64_t)sec);
}

/* The end of every list: r is what the walk over the store gave. */
static void answer_list(struct service *s, int r, const cJSON *json, struct answer *ret)
{
	if (r == -ENOMEM || !json)
		answer_json(ret, 500, NULL);
	else if (r < 0)
		service_answer_store_error(s, r, ret);
	else
		answer_json(ret, 200, json);
}

/* ---- releases ---- */

static bool add_release(cJSON *list, const struct release *release)
{
	const char program[2] = { release->version.program, '\0' };
	cJSON *item = add_item(list), *models;

	if (!item || !cJSON_AddStringToObject(item, "program", program) ||
	    !cJSON_AddStringToObject(item, "version", release->version.text) ||
	    !cJSON_AddStringToObject(item, "arch", release->arch))
		return false;
	models = cJSON_AddArrayToObject(item, "models");
	for (size_t i = 0; models && i < release->n_models; i++) {
		cJSON *model = cJSON_CreateString(release->models[i]);

		if (!model || !cJSON_AddItemToArray(models, model)) {
			cJSON_Delete(model);
			return false;
		}
	}
	return models && cJSON_AddStringToObject(item, "target", release->target) &&
	       json_add_u64(item, "length", release->length_bytes);
}

void admin_handle_releases(struct service *s, const struct request *request, struct answer *ret)
{
	_cleanup_(releases_unrefp) struct releases *releases = catalog_acquire(s->catalog);
	_cleanup_json_ cJSON *json = NULL;
	cJSON *list = NULL;
	int r = 0;

	(void)request;
	json = new_list("releases", &list);
	for (size_t i = 0; json && r == 0 && i < releases_count(releases); i++)
		r = add_release(list, releases_at(releases, i)) ? 0 : -ENOMEM;
	answer_list(s, r, json, ret);
}

/* ---- gateways ---- */

static int add_gateway(const struct store_gateway *gateway, void *userdata)
{
	_cleanup_json_ cJSON *versions = NULL;
	cJSON *item = add_item(userdata);
	int r;

	r = json_parse(gateway->versions, strlen(gateway->versions), NULL, &versions, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : -EUCLEAN;
	if (!item || !add_owned(item, "identity", identity_to_json(gateway->identity)) ||
	    !cJSON_AddStringToObject(item, "arch", gateway->arch) ||
	    (*gateway->model && !cJSON_AddStringToObject(item, "model", gateway->model)) ||
	    !add_owned(item, "versions", TAKE_PTR(versions)) ||
	    !add_time(item, "first_seen_sec", gateway->first_seen_sec) ||
	    !add_time(item, "last_seen_sec", gateway->last_seen_sec))
		return -ENOMEM;
	return 0;
}

void admin_handle_gateways(struct service *s, const struct request *request, struct answer *ret)
{
	const char *text = request_argument(request, "after");
	_cleanup_json_ cJSON *json = NULL;
	struct json_error error = { 0 };
	struct identity after = { "" };
	cJSON *list = NULL;
	uint64_t limit = 0;
	int r = 0;

	if (!number_argument(request, "limit", GATEWAYS_PAGE, GATEWAYS_PAGE, &limit, ret))
		return;
	if (text && *text && identity_parse(text, &after, &error) < 0) {
		answer_error(ret, 400, "after", "%s", error.text);
		return;
	}
	json = new_list("gateways", &list);
	if (json)
		r = store_each_gateway(s->store, after.text, limit, add_gateway, list);
	answer_list(s, r, json, ret);
}

/* ---- results ---- */

static int add_result(const struct store_result *result, void *userdata)
{
	_cleanup_json_ cJSON *item = NULL;
	cJSON *list = userdata;
	int r;

	r = json_parse(result->body, strlen(result->body), NULL, &item, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : -EUCLEAN;
	/* The archive's own members win over what a gateway may have put there. */
	cJSON_DeleteItemFromObjectCaseSensitive(item, "received_sec");
	cJSON_DeleteItemFromObjectCaseSensitive(item, "id");
	if (!add_time(item, "received_sec", result->received_sec) ||
	    !json_add_u64(item, "id", result->id) || !cJSON_AddItemToArray(list, item))
		return -ENOMEM;
	item = NULL;
	return 0;
}

/* Without 'after' it is the newest that are wanted. */
static bool result_filter(const struct request *request, struct identity *identity,
			  struct store_result_filter *filter, struct answer *ret)
{
	filter->newest = !request_argument(request, "after");
	filter->program = request_argument(request, "program");
	if (filter->program &&
	    (filter->program[0] < 'A' || filter->program[0] > 'Z' || filter->program[1])) {
		answer_error(ret, 400, "program", "must be a letter A to Z");
		return false;
	}
	return number_argument(request, "limit", RESULTS_PAGE, RESULTS_PAGE, &filter->limit, ret) &&
	       number_argument(request, "after", INT64_MAX, 0, &filter->after, ret) &&
	       number_argument(request, "before", INT64_MAX, 0, &filter->before, ret) &&
	       identity_argument(request, identity, &filter->identity, ret);
}

void admin_handle_results(struct service *s, const struct request *request, struct answer *ret)
{
	struct store_result_filter filter = { 0 };
	_cleanup_json_ cJSON *json = NULL;
	struct identity identity;
	cJSON *list = NULL;
	int r = 0;

	if (!result_filter(request, &identity, &filter, ret))
		return;
	json = new_list("results", &list);
	if (json)
		r = store_each_result(s->store, &filter, add_result, list);
	answer_list(s, r, json, ret);
}

/* ---- blacklist ---- */

static int add_blacklist_entry(const struct store_blacklist_entry *entry, void *userdata)
{
	cJSON *item = add_item(userdata);

	if (!item || !cJSON_AddStringToObject(item, "version", entry->version) ||
	    !add_owned(item, "identity", identity_to_json(entry->identity)) ||
	    !add_time(item, "added_sec", entry->added_sec) ||
	    !cJSON_AddStringToObject(item, "note", entry->note))
		return -ENOMEM;
	return 0;
}

void admin_handle_blacklist(struct service *s, const struct request *request, struct answer *ret)
{
	const char *text = request_argument(request, "version");
	_cleanup_json_ cJSON *json = NULL;
	struct version version;
	cJSON *list = NULL;
	int r = 0;

	if (text && version_parse(text, &version) < 0) {
		answer_error(ret, 400, "version", "not a version (like B202109010001)");
		return;
	}
	json = new_list("blacklist", &list);
	if (json)
		r = store_each_blacklist(s->store, text, add_blacklist_entry, list);
	answer_list(s, r, json, ret);
}

/* "B202109010001/imei:490154203237518" */
static bool parse_entry_path(const char *path, struct version *version, struct identity *identity,
			     struct answer *ret)
{
	struct json_error error = { 0 };
	char text[VERSION_LENGTH + 1];

	if (strlen(path) <= VERSION_LENGTH || path[VERSION_LENGTH] != '/') {
		answer_error(ret, 400, "version", "the path is not VERSION/TYPE:VALUE");
		return false;
	}
	memcpy(text, path, VERSION_LENGTH);
	text[VERSION_LENGTH] = '\0';
	if (version_parse(text, version) < 0) {
		answer_error(ret, 400, "version", "not a version (like B202109010001)");
		return false;
	}
	if (identity_parse(path + VERSION_LENGTH + 1, identity, &error) < 0) {
		answer_error(ret, 400, "identity", "%s", error.text);
		return false;
	}
	return true;
}

/* The body is {"note":"…"} or nothing; *ret_json owns the note. */
static bool parse_note(const struct request *request, cJSON **ret_json, const char **ret_note,
		       struct answer *ret)
{
	static const char *const members[] = { "note", NULL };
	struct json_error error = { 0 };
	int r;

	*ret_note = "";
	if (request->body_size == 0)
		return true;
	r = json_parse(request->body, request->body_size, NULL, ret_json, &error);
	if (r >= 0 && !cJSON_IsObject(*ret_json)) {
		answer_error(ret, 400, NULL, "must be an object");
		return false;
	}
	if (r >= 0)
		r = json_only_keys(*ret_json, members, &error);
	if (r >= 0)
		r = json_get_string(*ret_json, "note", ret_note, &error);
	if (r < 0 && r != -ENOENT) {
		answer_error(ret, r == -ENOMEM ? 500 : 400, error.field, "%s", error.text);
		return false;
	}
	if (strlen(*ret_note) > NOTE_MAX_BYTES) {
		answer_error(ret, 400, "note", "must be at most %d bytes", NOTE_MAX_BYTES);
		return false;
	}
	return true;
}

static void answer_changed(struct service *s, int r, unsigned status, struct answer *ret)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();

	if (r < 0)
		service_answer_store_error(s, r, ret);
	else
		answer_json(ret, status, json);
}

void admin_handle_blacklist_entry(struct service *s, const struct request *request,
				  struct answer *ret)
{
	_cleanup_json_ cJSON *json = NULL;
	struct identity identity;
	struct version version;
	const char *note;
	int r;

	if (!parse_entry_path(request->rest, &version, &identity, ret))
		return;
	if (request->method == METHOD_DELETE) {
		r = store_blacklist_remove(s->store, version.text, identity.text);
		if (r == 0)
			answer_error(ret, 404, NULL, "%s is not on the blacklist of %s",
				     identity.text, version.text);
		else
			answer_changed(s, r, 200, ret);
	} else if (parse_note(request, &json, &note, ret)) {
		r = store_blacklist_add(s->store, &(struct store_blacklist_entry){
							  .version = version.text,
							  .identity = identity.text,
							  .note = note,
							  .added_sec = (int64_t)time(NULL),
						  });
		answer_changed(s, r, r > 0 ? 201 : 200, ret);
	} else {
		return;
	}
	if (r > 0)
		log_notice("blacklist of %s: %s %s", version.text, identity.text,
			   request->method == METHOD_DELETE ? "removed" : "added");
}

/* ---- backups ---- */

struct backups_list {
	struct service *service;
	cJSON *list;
};

static bool add_backup_state(cJSON *item, const struct store_backup *backup,
			     const struct backup_state *state)
{
	const char *word = !state->is_held	    ? "wanted"
			   : state->is_by_reference ? "repository"
						    : "held";

	if (!cJSON_AddStringToObject(item, "state", word) ||
	    (!state->is_held && !json_add_u64(item, "offset", state->offset_bytes)))
		return false;
	return cJSON_AddStringToObject(item, "tar_sha256", backup->tar_sha256) &&
	       (!state->sha256[0] || (cJSON_AddStringToObject(item, "sha256", state->sha256) &&
				      json_add_u64(item, "length", state->length_bytes)));
}

static int add_backup(const struct store_backup *backup, void *userdata)
{
	struct backups_list *l = userdata;
	cJSON *item = add_item(l->list);
	struct backup_state state;
	int r;

	r = backups_describe(l->service->backups, backup, &state);
	if (r < 0)
		return r;
	if (!item || !add_owned(item, "identity", identity_to_json(backup->identity)) ||
	    !cJSON_AddStringToObject(item, "version", backup->version) ||
	    !add_backup_state(item, backup, &state) ||
	    !add_time(item, "made_sec", backup->made_sec) ||
	    !add_time(item, "told_sec", backup->told_sec) || !json_add_u64(item, "id", backup->id))
		return -ENOMEM;
	return 0;
}

static bool has_backups(const struct service *s, struct answer *ret)
{
	if (!s->backups)
		answer_error(ret, 404, NULL, "no backups are kept here");
	return s->backups;
}

void admin_handle_backups(struct service *s, const struct request *request, struct answer *ret)
{
	struct store_backup_filter filter = { 0 };
	struct backups_list l = { .service = s };
	_cleanup_json_ cJSON *json = NULL;
	struct identity identity;
	int r = 0;

	if (!has_backups(s, ret) ||
	    !number_argument(request, "limit", BACKUPS_PAGE, BACKUPS_PAGE, &filter.limit, ret) ||
	    !number_argument(request, "after", INT64_MAX, 0, &filter.after, ret) ||
	    !identity_argument(request, &identity, &filter.identity, ret))
		return;
	json = new_list("backups", &l.list);
	if (json)
		r = store_each_backup(s->store, &filter, add_backup, &l);
	answer_list(s, r, json, ret);
}

void admin_handle_backup(struct service *s, const struct request *request, struct answer *ret)
{
	struct identity identity;
	struct version version;
	int r;

	if (!has_backups(s, ret) || !parse_entry_path(request->rest, &version, &identity, ret))
		return;
	r = backups_remove(s->backups, identity.text, version.text);
	if (r == -ENOENT) {
		answer_error(ret, 404, NULL, "there is no backup of %s of %s", version.text,
			     identity.text);
	} else if (r == -EBUSY) {
		answer_error(ret, 409, NULL, "it is being uploaded right now");
	} else {
		answer_changed(s, r, 200, ret);
		if (r == 0)
			log_notice("backup of %s: %s removed", identity.text, version.text);
	}
}
