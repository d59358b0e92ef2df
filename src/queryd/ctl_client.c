/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <string.h>

#include "common/http.h"
#include "common/json.h"
#include "queryd/ctl.h"
#include "queryd/identity.h"
#include "queryd/token.h"

#define ANSWER_MAX_BYTES (64u << 20)
#define RESULTS_PAGE	 100

struct ctl {
	struct http *http;
	char *socket;
	char error[512];
};

_printf_(3, 4) static int fail(struct ctl *c, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(c->error, sizeof c->error, format, args);
	va_end(args);
	return error;
}

int ctl_open(const char *socket, const char *token_file, struct ctl **ret, char **ret_error)
{
	_cleanup_(ctl_closep) struct ctl *c = calloc(1, sizeof *c);
	_cleanup_free_ char *token = NULL;
	struct http_options options = {
		.unix_socket = socket,
		.user_agent = "queryctl/" PROJECT_VERSION,
		.connect_timeout_sec = 5,
		.low_speed_bytes_per_sec = 1,
		.low_speed_sec = 60,
		.request_timeout_sec = 300,
		.allow_plain = true,
	};
	int r;

	if (!c)
		return -ENOMEM;
	c->socket = strdup(socket);
	if (!c->socket)
		return -ENOMEM;
	r = token_read(token_file, &token);
	if (r < 0) {
		if (asprintf(ret_error, "token file '%s': %s", token_file, strerror(-r)) < 0)
			*ret_error = NULL;
		return r;
	}
	options.bearer_token = token;
	r = http_new(&options, &c->http);
	explicit_bzero(token, strlen(token));
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct ctl *ctl_close(struct ctl *c)
{
	if (!c)
		return NULL;
	(void)http_free(c->http);
	free(c->socket);
	free(c);
	return NULL;
}

const char *ctl_error(const struct ctl *c)
{
	return c->error;
}

/* ---- one call ---- */

static int parse_answer(struct ctl *c, const struct http_response *response, cJSON **ret)
{
	const struct json_limits limits = { .max_bytes = ANSWER_MAX_BYTES,
					    .max_depth = 20,
					    .max_tokens = 1u << 24 };
	struct json_error error = { 0 };
	int r;

	r = json_parse(response->body ? response->body : "", response->body_size, &limits, ret,
		       &error);
	if (r < 0)
		return fail(c, r, "the answer is no JSON: %s", error.text);
	return 0;
}

static int refused(struct ctl *c, const struct http_response *response)
{
	_cleanup_json_ cJSON *json = NULL;
	struct json_error error = { 0 };
	const char *sentence = NULL;

	if (parse_answer(c, response, &json) < 0 ||
	    json_get_string(json, "error", &sentence, &error) < 0)
		return fail(c, -EPROTO, "HTTP status %ld", response->status);
	return fail(c, response->status == 404 ? -ENOENT : -EPROTO, "%s", sentence);
}

int ctl_call(struct ctl *c, const char *method, const char *path, const char *body,
	     cJSON **ret_json)
{
	_cleanup_(http_response_done) struct http_response response = { 0 };
	_cleanup_free_ char *url = NULL;
	int r;

	if (asprintf(&url, "http://queryd/v1/admin/%s", path) < 0) {
		url = NULL;
		return fail(c, -ENOMEM, "out of memory");
	}
	if (strcmp(method, "GET") == 0)
		r = http_get(c->http, url, ANSWER_MAX_BYTES, &response);
	else
		r = http_send(c->http, method, url, body ? body : "", body ? strlen(body) : 0,
			      ANSWER_MAX_BYTES, &response);
	if (r == -ECONNREFUSED || r == -ENETUNREACH)
		return fail(c, r, "no connection to '%s'; is queryd running?", c->socket);
	if (r < 0)
		return fail(c, r, "%s", http_error(c->http));
	if (response.status < 200 || response.status > 299)
		return refused(c, &response);
	if (ret_json) {
		r = parse_answer(c, &response, ret_json);
		if (r < 0)
			return r;
	}
	return (int)response.status;
}

/* ---- lists ---- */

static int take_list(struct ctl *c, const cJSON *page, const char *name, const cJSON **ret)
{
	struct json_error error = { 0 };
	int r = json_get_array(page, name, ret, &error);

	return r < 0 ? fail(c, -EPROTO, "%s: %s", error.field, error.text) : 0;
}

int ctl_get_list(struct ctl *c, const char *name, const char *query, cJSON **ret)
{
	_cleanup_json_ cJSON *json = NULL;
	_cleanup_free_ char *path = NULL;
	const cJSON *list;
	int r;

	if (asprintf(&path, "%s%s", name, query) < 0) {
		path = NULL;
		return fail(c, -ENOMEM, "out of memory");
	}
	r = ctl_call(c, "GET", path, NULL, &json);
	if (r >= 0)
		r = take_list(c, json, name, &list);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(json);
	return 0;
}

static cJSON *last_of(const cJSON *array)
{
	return array->child ? array->child->prev : NULL;
}

/* Moves all entries to the end of another array. Returns how many there were. */
static uint64_t move_entries(cJSON *from, cJSON *to)
{
	uint64_t n = 0;

	for (; from->child; n++)
		cJSON_AddItemToArray(to, cJSON_DetachItemViaPointer(from, from->child));
	return n;
}

/* The same, last first. */
static uint64_t move_entries_turned(cJSON *from, cJSON *to)
{
	uint64_t n = 0;

	for (; from->child; n++)
		cJSON_AddItemToArray(to, cJSON_DetachItemViaPointer(from, last_of(from)));
	return n;
}

static cJSON *list_of(cJSON *page, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(page, name);
}

int ctl_get_gateways(struct ctl *c, uint64_t limit, cJSON **ret)
{
	_cleanup_json_ cJSON *all = cJSON_CreateObject();
	cJSON *list = cJSON_AddArrayToObject(all, "gateways");
	struct identity after = { "" };
	uint64_t total = 0;

	if (!list)
		return fail(c, -ENOMEM, "out of memory");
	while (limit == 0 || total < limit) {
		uint64_t wanted = limit == 0 || limit - total > 1000 ? 1000 : limit - total;
		_cleanup_json_ cJSON *page = NULL;
		struct json_error error = { 0 };
		char query[160];
		uint64_t n;
		int r;

		(void)snprintf(query, sizeof query, "?limit=%ju&after=%s", (uintmax_t)wanted,
			       after.text);
		r = ctl_get_list(c, "gateways", query, &page);
		if (r < 0)
			return r;
		n = move_entries(list_of(page, "gateways"), list);
		if (n == 0)
			break;
		total += n;
		r = identity_from_json(last_of(list), &after, &error);
		if (r < 0)
			return fail(c, -EPROTO, "%s: %s", error.field, error.text);
	}
	*ret = TAKE_PTR(all);
	return 0;
}

int ctl_get_results(struct ctl *c, const char *query, uint64_t limit, cJSON **ret)
{
	_cleanup_json_ cJSON *all = cJSON_CreateObject();
	cJSON *turned = cJSON_AddArrayToObject(all, "results");
	_cleanup_json_ cJSON *list = cJSON_CreateArray(); /* newest first, as the pages come */
	uint64_t total = 0, before = 0;

	if (!turned || !list)
		return fail(c, -ENOMEM, "out of memory");
	while (limit == 0 || total < limit) {
		uint64_t wanted = limit == 0 || limit - total > RESULTS_PAGE ? RESULTS_PAGE
									     : limit - total;
		_cleanup_json_ cJSON *page = NULL;
		struct json_error error = { 0 };
		char text[256];
		uint64_t n;
		int r;

		(void)snprintf(text, sizeof text, "?limit=%ju&before=%ju%s", (uintmax_t)wanted,
			       (uintmax_t)before, query);
		r = ctl_get_list(c, "results", text, &page);
		if (r < 0)
			return r;
		n = move_entries_turned(list_of(page, "results"), list);
		if (n == 0)
			break;
		total += n;
		r = json_get_u64(last_of(list), "id", UINT64_C(1) << 53, &before, &error);
		if (r < 0)
			return fail(c, -EPROTO, "%s: %s", error.field, error.text);
	}
	(void)move_entries_turned(list, turned);
	*ret = TAKE_PTR(all);
	return 0;
}
