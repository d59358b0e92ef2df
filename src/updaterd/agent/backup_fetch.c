/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/backup_fetch.h"

#include <fcntl.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "updaterd/checkpoint.h"
#include "updaterd/fetch.h"
#include "updaterd/network.h"

#define ANSWER_MAX_BYTES (16u << 10)
#define PIECE_BYTES	 (1u << 20)
#define WAIT_MSEC	 1000

struct coming {
	struct context *c;
	char *base; /* the backup's URL */
	uint8_t sha256[SHA256_BYTES];
	uint64_t length, offset;
	int fd;
	struct failure *failure;
};

static void coming_done(struct coming *b)
{
	free(b->base);
	close_fd(&b->fd);
}

static int make_url(struct coming *b, const struct version *version)
{
	const struct identity *identity = &b->c->identity;
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "v1/backups/%s/%s/%s", identity->type, identity->value, version->text) <
	    0) {
		path = NULL;
		return -ENOMEM;
	}
	return http_join_url(b->c->conf->url, path, &b->base);
}

static int read_answer(struct coming *b, const struct http_response *response)
{
	_cleanup_json_ cJSON *json = NULL;
	const char *state, *sha256;

	if (response->status == 404)
		return failure_set(b->failure, -ENOENT, REASON_DAMAGED,
				   "the query server has no backup of it");
	if (response->status != 200)
		return failure_set(b->failure, -EAGAIN, REASON_SERVER_ERROR,
				   "the query server answered %ld", response->status);
	if (json_parse(response->body, response->body_size, NULL, &json, NULL) < 0 ||
	    json_get_string(json, "state", &state, NULL) < 0 ||
	    json_get_string(json, "sha256", &sha256, NULL) < 0 ||
	    json_get_u64(json, "length", UINT64_C(1) << 53, &b->length, NULL) < 0 ||
	    hex_decode(sha256, b->sha256, sizeof b->sha256) < 0 || b->length == 0)
		return failure_set(b->failure, -EPROTO, REASON_BAD_ANSWER,
				   "the answer about the backup is malformed");
	if (strcmp(state, "held") != 0)
		return failure_set(b->failure, -ENOENT, REASON_DAMAGED,
				   "the query server has only a part of its backup");
	return 0;
}

static int ask(struct coming *b)
{
	_cleanup_(http_response_done) struct http_response response = { 0 };
	int r = http_get(b->c->http, b->base, ANSWER_MAX_BYTES, &response);

	return r < 0 ? failure_set_http(b->failure, r, b->c->http, b->base)
		     : read_answer(b, &response);
}

static int sink(void *userdata, const void *bytes, size_t size)
{
	struct coming *b = userdata;
	int r = fs_pwrite_all(b->fd, bytes, size, b->offset);

	b->offset += size;
	return r;
}

static int get_piece(struct coming *b, const char *url)
{
	uint64_t left = b->length - b->offset;
	const struct http_range range = { .url = url,
					  .first = b->offset,
					  .last = b->offset +
						  (left < PIECE_BYTES ? left : PIECE_BYTES) - 1,
					  .total = b->length,
					  .sink = sink,
					  .userdata = b };
	struct http_ended ended = { 0 };
	int r = http_start_range(b->c->http, &range);

	while (r == 0)
		r = http_wait(b->c->http, WAIT_MSEC, &ended);
	if (r > 0)
		r = ended.error;
	if (r < 0)
		return failure_set_http(b->failure, r, b->c->http, url);
	if (ended.response.status != 206)
		return failure_set(b->failure, -EAGAIN, REASON_SERVER_ERROR,
				   "the query server answered %ld", ended.response.status);
	progress_update(b->c->progress, b->offset);
	return 0;
}

static int get_all(struct coming *b)
{
	_cleanup_free_ char *url = NULL;
	_cleanup_close_ int fd = FD_NONE;
	int r = 0;

	if (asprintf(&url, "%s/bytes", b->base) < 0) {
		url = NULL;
		return failure_set_errno(b->failure, -ENOMEM, "backup");
	}
	while (r == 0 && b->offset < b->length)
		r = get_piece(b, url);
	if (r < 0)
		return r;
	fd = fetch_check_whole(b->c->inbox_fd, b->fd, b->sha256, b->failure);
	return fd < 0 ? fd : 0;
}

int backup_fetch(struct context *c, const struct version *version, uint8_t ret_sha256[SHA256_BYTES],
		 struct failure *failure)
{
	_cleanup_(coming_done) struct coming b = { .c = c, .fd = FD_NONE, .failure = failure };
	int r;

	r = make_url(&b, version);
	if (r < 0)
		return failure_set_errno(failure, r, "backup");
	http_limit_time(c->http, c->conf->fetch_timeout_sec);
	r = ask(&b);
	if (r >= 0)
		r = fetch_check_room(c->inbox_fd, b.length, c->conf->max_program_bytes, b.sha256,
				     failure);
	if (r >= 0)
		r = network_admit(c->conf, b.length, failure);
	if (r < 0)
		return r;
	progress_begin(c->progress, STEP_FETCH, version->text, b.length, 1);
	b.fd = checkpoint_open_file(c->inbox_fd, b.sha256, "part", O_RDWR | O_CREAT | O_TRUNC);
	if (b.fd < 0)
		return failure_set_errno(failure, b.fd, "inbox");
	r = get_all(&b);
	http_limit_time(c->http, 0);
	if (r < 0)
		return r;
	progress_end(c->progress, NULL);
	memcpy(ret_sha256, b.sha256, sizeof b.sha256);
	return 0;
}
