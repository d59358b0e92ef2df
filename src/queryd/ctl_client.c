/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <string.h>

#include "common/digest.h"
#include "common/fsutil.h"
#include "common/http.h"
#include "common/json.h"
#include "queryd/ctl.h"
#include "queryd/identity.h"
#include "queryd/token.h"

#define ANSWER_MAX_BYTES (64u << 20)
#define RESULTS_PAGE	 100
#define BACKUPS_PAGE	 1000
#define PIECE_BYTES	 (8u << 20)
#define WAIT_MSEC	 1000

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

static int call(struct ctl *c, const char *method, const char *path, const char *body,
		cJSON **ret_json)
{
	_cleanup_(http_response_done) struct http_response response = { 0 };
	_cleanup_free_ char *url = NULL;
	int r;

	if (asprintf(&url, "http://queryd/v1/%s", path) < 0) {
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

int ctl_call(struct ctl *c, const char *method, const char *path, const char *body,
	     cJSON **ret_json)
{
	_cleanup_free_ char *whole = NULL;

	if (asprintf(&whole, "admin/%s", path) < 0) {
		whole = NULL;
		return fail(c, -ENOMEM, "out of memory");
	}
	return call(c, method, whole, body, ret_json);
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
static int64_t move_entries(cJSON *from, cJSON *to)
{
	int64_t n = 0;

	for (; from->child; n++)
		cJSON_AddItemToArray(to, cJSON_DetachItemViaPointer(from, from->child));
	return n;
}

/* The same, last first. */
static int64_t move_entries_turned(cJSON *from, cJSON *to)
{
	int64_t n = 0;

	for (; from->child; n++)
		cJSON_AddItemToArray(to, cJSON_DetachItemViaPointer(from, last_of(from)));
	return n;
}

/* A list that comes in pages. Each page is asked for with where the one before ended. */
struct listing {
	const char *name;
	const char *query;   /* more that is asked for; "" or begins with & */
	const char *cursor;  /* the parameter that says where to go on */
	uint64_t page;	     /* entries of one at most */
	bool is_by_identity; /* where a page ends is its last entry's identity, else its id */
	bool is_turned;	     /* pages come newest first, and each is oldest first */
};

static int cursor_of(struct ctl *c, const struct listing *l, const cJSON *last,
		     struct identity *ret)
{
	struct json_error error = { 0 };
	uint64_t id;
	int r;

	if (l->is_by_identity) {
		r = identity_from_json(last, ret, &error);
	} else {
		r = json_get_u64(last, "id", UINT64_C(1) << 53, &id, &error);
		if (r >= 0)
			(void)snprintf(ret->text, sizeof ret->text, "%ju", (uintmax_t)id);
	}
	return r < 0 ? fail(c, -EPROTO, "%s: %s", error.field, error.text) : 0;
}

/* Returns how many came, and puts them at the end of list. */
static int64_t get_page(struct ctl *c, const struct listing *l, uint64_t wanted,
			const struct identity *cursor, cJSON *list)
{
	_cleanup_json_ cJSON *page = NULL;
	_cleanup_free_ char *query = NULL;
	cJSON *entries;
	int r;

	if (asprintf(&query, "?limit=%ju&%s=%s%s", (uintmax_t)wanted, l->cursor, cursor->text,
		     l->query) < 0) {
		query = NULL;
		return fail(c, -ENOMEM, "out of memory");
	}
	r = ctl_get_list(c, l->name, query, &page);
	if (r < 0)
		return r;
	entries = cJSON_GetObjectItemCaseSensitive(page, l->name);
	return l->is_turned ? move_entries_turned(entries, list) : move_entries(entries, list);
}

/* limit 0: all of them. */
static int get_pages(struct ctl *c, const struct listing *l, uint64_t limit, cJSON **ret)
{
	_cleanup_json_ cJSON *all = cJSON_CreateObject();
	_cleanup_json_ cJSON *list = cJSON_CreateArray();
	cJSON *told = cJSON_AddArrayToObject(all, l->name);
	struct identity cursor = { "" };
	uint64_t total = 0;

	if (!told || !list)
		return fail(c, -ENOMEM, "out of memory");
	if (!l->is_by_identity)
		(void)snprintf(cursor.text, sizeof cursor.text, "0");
	while (limit == 0 || total < limit) {
		uint64_t wanted = limit == 0 || limit - total > l->page ? l->page : limit - total;
		int64_t n = get_page(c, l, wanted, &cursor, list);
		int r;

		if (n <= 0) {
			if (n < 0)
				return (int)n;
			break;
		}
		total += (uint64_t)n;
		r = cursor_of(c, l, last_of(list), &cursor);
		if (r < 0)
			return r;
	}
	(void)(l->is_turned ? move_entries_turned(list, told) : move_entries(list, told));
	*ret = TAKE_PTR(all);
	return 0;
}

int ctl_get_gateways(struct ctl *c, uint64_t limit, cJSON **ret)
{
	const struct listing gateways = { .name = "gateways",
					  .query = "",
					  .cursor = "after",
					  .page = 1000,
					  .is_by_identity = true };

	return get_pages(c, &gateways, limit, ret);
}

int ctl_get_results(struct ctl *c, const char *query, uint64_t limit, cJSON **ret)
{
	const struct listing results = { .name = "results",
					 .query = query,
					 .cursor = "before",
					 .page = RESULTS_PAGE,
					 .is_turned = true };

	return get_pages(c, &results, limit, ret);
}

int ctl_get_backups(struct ctl *c, const char *query, uint64_t limit, cJSON **ret)
{
	const struct listing backups = {
		.name = "backups", .query = query, .cursor = "after", .page = BACKUPS_PAGE
	};

	return get_pages(c, &backups, limit, ret);
}

/* ---- the bytes of a backup ---- */

struct piece {
	int fd;
	uint64_t offset;
};

static int write_piece(void *userdata, const void *bytes, size_t size)
{
	struct piece *piece = userdata;
	int r = fs_pwrite_all(piece->fd, bytes, size, piece->offset);

	piece->offset += size;
	return r;
}

static int get_piece(struct ctl *c, const char *url, uint64_t total, struct piece *piece)
{
	uint64_t left = total - piece->offset;
	const struct http_range range = {
		.url = url,
		.first = piece->offset,
		.last = piece->offset + (left < PIECE_BYTES ? left : PIECE_BYTES) - 1,
		.total = total,
		.sink = write_piece,
		.userdata = piece,
	};
	struct http_ended ended = { 0 };
	int r = http_start_range(c->http, &range);

	while (r == 0)
		r = http_wait(c->http, WAIT_MSEC, &ended);
	if (r > 0)
		r = ended.error;
	if (r < 0)
		return fail(c, r, "%s", http_error(c->http));
	if (ended.response.status == 404)
		return fail(c, -ENOENT, "its bytes are on another file server");
	if (ended.response.status != 206)
		return fail(c, -EPROTO, "HTTP status %ld", ended.response.status);
	return 0;
}

static int get_bytes(struct ctl *c, const char *path, uint64_t total, const char *sha256, int fd)
{
	char hex[SHA256_HEX_LENGTH + 1];
	struct piece piece = { .fd = fd };
	_cleanup_free_ char *url = NULL;
	uint8_t digest[SHA256_BYTES];
	int r = 0;

	if (asprintf(&url, "http://queryd/v1/backups/%s/bytes", path) < 0) {
		url = NULL;
		return fail(c, -ENOMEM, "out of memory");
	}
	while (r == 0 && piece.offset < total)
		r = get_piece(c, url, total, &piece);
	if (r < 0)
		return r;
	r = digest_fd(fd, digest, NULL);
	if (r < 0 || fsync(fd) < 0)
		return fail(c, r < 0 ? r : -errno, "the file: %s", strerror(r < 0 ? -r : errno));
	hex_encode(digest, sizeof digest, hex);
	return strcmp(hex, sha256) == 0
		       ? 0
		       : fail(c, -EBADMSG, "the bytes are damaged: SHA-256 %s", hex);
}

int ctl_get_backup(struct ctl *c, const char *path, int fd)
{
	_cleanup_json_ cJSON *json = NULL;
	_cleanup_free_ char *whole = NULL;
	const char *state = NULL, *sha256 = NULL;
	struct json_error error = { 0 };
	uint64_t length = 0;
	int r;

	if (asprintf(&whole, "backups/%s", path) < 0) {
		whole = NULL;
		return fail(c, -ENOMEM, "out of memory");
	}
	r = call(c, "GET", whole, NULL, &json);
	if (r < 0)
		return r;
	if (json_get_string(json, "state", &state, &error) == 0 && strcmp(state, "held") != 0)
		return fail(c, -ENOENT, "it has not come whole yet");
	if (json_get_string(json, "sha256", &sha256, &error) < 0 ||
	    json_get_u64(json, "length", UINT64_C(1) << 53, &length, &error) < 0)
		return fail(c, -EPROTO, "%s: %s", error.field, error.text);
	return get_bytes(c, path, length, sha256, fd);
}
