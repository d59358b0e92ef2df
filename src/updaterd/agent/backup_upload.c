/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/backup_upload.h"

#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"
#include "updaterd/network.h"
#include "updaterd/pacer.h"

#define ANSWER_MAX_BYTES (16u << 10)
/* As long a part as one request carries; what a broken connection costs of it is asked for again. */
#define PART_MAX_BYTES	 (256u << 10)
#define FIRST_PART_BYTES (32u << 10)
#define ATTEMPTS	 4  /* failures in a row without a byte that stays */
#define MAX_SENT	 2u /* times its length, and some */
#define MAX_FILE_BYTES	 (UINT64_C(1) << 53)

/* What the server said. */
enum word { WORD_HELD, WORD_WANTED, WORD_LATER, WORD_NO };

struct answered {
	enum word word;
	uint64_t offset;
	uint64_t retry_after_sec;
};

struct upload {
	struct context *c;
	const struct version *version;
	const char *tar_sha256;
	char sha256[SHA256_HEX_LENGTH + 1];
	int fd;
	uint64_t length, offset, sent_bytes;
	uint32_t segment_bytes;
	struct pacer pacer;
	uint8_t *buffer; /* a part */
	uint64_t deadline_msec;
	struct failure *failure;
};

static void upload_done(struct upload *u)
{
	free(u->buffer);
}

/* ---- what the server says ---- */

static int make_url(const struct upload *u, const char *suffix, char **ret)
{
	const struct identity *identity = &u->c->identity;
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "v1/backups/%s/%s/%s%s", identity->type, identity->value,
		     u->version->text, suffix) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return http_join_url(u->c->conf->url, path, ret);
}

/* An answer without these members is none of the protocol's. */
static void read_answer(const struct upload *u, const struct http_response *response,
			struct answered *ret)
{
	_cleanup_json_ cJSON *json = NULL;
	const char *state;

	if (json_parse(response->body ? response->body : "", response->body_size, NULL, &json,
		       NULL) < 0)
		return;
	if (response->status == 409) {
		if (json_get_u64(json, "offset", u->length - 1, &ret->offset, NULL) == 0)
			ret->word = WORD_LATER;
		return;
	}
	if (json_get_string(json, "state", &state, NULL) < 0)
		return;
	if (strcmp(state, "held") == 0)
		ret->word = WORD_HELD;
	else if (strcmp(state, "wanted") == 0 &&
		 json_get_u64(json, "offset", u->length - 1, &ret->offset, NULL) == 0)
		ret->word = WORD_WANTED;
}

static int judge(const struct upload *u, const struct http_response *response, struct answered *ret)
{
	long status = response->status;
	struct answered a = { .word = WORD_NO, .retry_after_sec = response->retry_after_sec };

	if (status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
	    status == 504)
		a.word = WORD_LATER;
	else if ((status >= 200 && status < 300) || status == 409)
		read_answer(u, response, &a);
	*ret = a;
	if (a.word == WORD_HELD || a.word == WORD_WANTED)
		return 0;
	return failure_set(u->failure, a.word == WORD_LATER ? -EAGAIN : -EPROTO,
			   REASON_SERVER_ERROR, "the query server answered %ld: %.120s", status,
			   response->body ? response->body : "");
}

/* ---- telling ---- */

static int make_body(const struct upload *u, char **ret)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();

	if (!json || !cJSON_AddStringToObject(json, "tar_sha256", u->tar_sha256) ||
	    (u->fd >= 0 && (!cJSON_AddStringToObject(json, "sha256", u->sha256) ||
			    !json_add_u64(json, "length", u->length))))
		return -ENOMEM;
	*ret = json_print(json);
	return *ret ? 0 : -ENOMEM;
}

/* 404 is a server that takes no backups; where there is no file, one that holds it no more. */
static int tell(struct upload *u, struct answered *ret)
{
	_cleanup_(http_response_done) struct http_response response = { 0 };
	_cleanup_free_ char *url = NULL, *body = NULL;
	int r;

	r = make_url(u, "", &url);
	if (r >= 0)
		r = make_body(u, &body);
	if (r < 0)
		return failure_set_errno(u->failure, r, "backup");
	r = http_send(u->c->http, "PUT", url, body, strlen(body), ANSWER_MAX_BYTES, &response);
	if (r < 0)
		return failure_set_http(u->failure, r, u->c->http, url);
	if (response.status == 404)
		return failure_set(u->failure, -ENOENT, REASON_SERVER_ERROR,
				   "the query server has none");
	return judge(u, &response, ret);
}

/* ---- bytes ---- */

static int send_part(struct upload *u, struct answered *ret)
{
	_cleanup_(http_response_done) struct http_response response = { 0 };
	uint64_t left = u->length - u->offset, size = (uint64_t)u->pacer.length * u->segment_bytes;
	_cleanup_free_ char *url = NULL;
	int r;

	/* Parts end where segments do, wherever the last one was cut. */
	size -= u->offset % u->segment_bytes;
	if (size > left)
		size = left;
	r = make_url(u, "/bytes", &url);
	if (r >= 0)
		r = fs_pread_all(u->fd, u->buffer, (size_t)size, u->offset);
	if (r < 0)
		return failure_set_errno(u->failure, r, "backup");
	u->sent_bytes += size;
	r = http_send_part(u->c->http, url, u->buffer, (size_t)size, u->offset, u->length,
			   ANSWER_MAX_BYTES, &response);
	if (r < 0)
		return failure_set_http(u->failure, r, u->c->http, url);
	return judge(u, &response, ret);
}

/* Bytes may cost money, and a server may want the same ones again and again. */
static int check_sent(const struct upload *u)
{
	if (u->sent_bytes <= MAX_SENT * u->length + PART_MAX_BYTES)
		return 0;
	return failure_set(u->failure, -EPROTO, REASON_BAD_ANSWER,
			   "the query server has been sent all of it %u times", MAX_SENT);
}

static bool is_worth_another(int error)
{
	return error == -EAGAIN || error == -ETIMEDOUT || error == -EIO || error == -ECONNREFUSED ||
	       error == -ENETUNREACH || error == -EPROTO;
}

/* False if the time would be over. */
static bool wait_a_little(const struct upload *u, unsigned failures, uint64_t retry_after_sec)
{
	uint64_t msec = retry_after_sec * 1000 +
			backoff_msec(failures, BACKOFF_FIRST_MSEC, backoff_random());

	if (clock_now_msec(CLOCK_BOOTTIME) + msec >= u->deadline_msec)
		return false;
	backoff_sleep(msec);
	return true;
}

/* After a failure the server is asked anew how far it is: of a part that was cut something may have
 * come. */
static int bring(struct upload *u, struct answered answered)
{
	unsigned failures = 0;
	bool is_asking = false;

	while (answered.word != WORD_HELD) {
		uint64_t before = u->offset;
		int r = check_sent(u);

		if (r < 0)
			return r;
		r = is_asking ? tell(u, &answered) : send_part(u, &answered);

		if (r >= 0) {
			if (answered.word == WORD_WANTED)
				u->offset = answered.offset;
			if (!is_asking)
				pacer_grow(&u->pacer);
			if (u->offset > before)
				failures = 0;
			else if (!is_asking)
				failures++;
			is_asking = false;
		} else {
			if (!is_worth_another(r))
				return r;
			pacer_shrink(&u->pacer);
			failures++;
			is_asking = true;
		}
		if (failures >= ATTEMPTS ||
		    (r < 0 && !wait_a_little(u, failures, answered.retry_after_sec)))
			return r < 0 ? r
				     : failure_set(u->failure, -EPROTO, REASON_BAD_ANSWER,
						   "the query server keeps nothing of it");
	}
	return 1;
}

/* ---- one file ---- */

static int prepare(struct upload *u)
{
	uint8_t sha256[SHA256_BYTES];
	int r;

	if (u->fd < 0)
		return 0;
	r = digest_fd(u->fd, sha256, &u->length);
	if (r == 0 && (u->length == 0 || u->length > MAX_FILE_BYTES))
		r = -EFBIG;
	u->buffer = malloc(PART_MAX_BYTES);
	if (r == 0 && !u->buffer)
		r = -ENOMEM;
	if (r < 0)
		return failure_set_errno(u->failure, r, "backup");
	hex_encode(sha256, sizeof sha256, u->sha256);
	u->segment_bytes = u->c->conf->segment_bytes < PART_MAX_BYTES
				   ? (uint32_t)u->c->conf->segment_bytes
				   : PART_MAX_BYTES;
	pacer_begin(&u->pacer, FIRST_PART_BYTES / u->segment_bytes,
		    PART_MAX_BYTES / u->segment_bytes);
	return 0;
}

static int upload(struct upload *u)
{
	struct answered answered = { .word = WORD_NO };
	int r;

	r = prepare(u);
	if (r >= 0)
		r = tell(u, &answered);
	if (r < 0 || answered.word == WORD_HELD)
		return r < 0 ? r : 1;
	if (u->fd < 0)
		return failure_set(u->failure, -ENOENT, REASON_BAD_ANSWER,
				   "the query server has lost it, and it is not here any more");
	u->offset = answered.offset;
	r = network_admit(u->c->conf, u->length - u->offset, u->failure);
	if (r < 0)
		return r;
	log_debug("backup of '%s': %ju of %ju bytes to go", u->version->text,
		  (uintmax_t)(u->length - u->offset), (uintmax_t)u->length);
	return bring(u, answered);
}

int backup_upload_file(struct context *c, const struct version *version, const char *tar_sha256,
		       int fd, struct failure *failure)
{
	_cleanup_(upload_done) struct upload u = { .c = c,
						   .version = version,
						   .tar_sha256 = tar_sha256,
						   .fd = fd,
						   .deadline_msec = clock_now_msec(CLOCK_BOOTTIME) +
								    c->conf->upload_timeout_sec *
									    1000,
						   .failure = failure };
	int r = upload(&u);

	return r == -ENOENT && fd >= 0 ? 0 : r;
}

/* ---- all of them ---- */

static int upload_backup(struct context *c, const struct client_backup *backup,
			 struct failure *failure)
{
	_cleanup_close_ int fd = FD_NONE;
	int r;

	if (backup->is_here) {
		fd = client_backup(c->client, &backup->version, failure);
		if (fd < 0)
			return fd;
	}
	r = backup_upload_file(c, &backup->version, backup->tar_sha256, fd, failure);
	if (r <= 0)
		return r;
	return client_backup_held(c->client, &backup->version, backup->tar_sha256, failure);
}

static bool is_told(const struct context *c, const struct client_backup *backup)
{
	int64_t now_sec = c->time.now_sec, told_sec = backup->told_sec;

	return told_sec > 0 && told_sec <= now_sec && now_sec - told_sec < BACKUP_TELL_AGAIN_SEC;
}

/* What stopped one would stop the next as well, unless it was about that one. */
static bool is_about_one(int error)
{
	return error == -EPROTO || error == -ENOENT;
}

static void upload_all(struct context *c, const struct client_backup *backups, int n)
{
	struct failure failure = { 0 };

	http_limit_time(c->http, c->conf->upload_timeout_sec);
	for (int i = 0; i < n; i++) {
		int r;

		if (is_told(c, &backups[i]))
			continue;
		r = upload_backup(c, &backups[i], &failure);
		if (r >= 0)
			continue;
		log_notice("the backup of '%s' is not on the server yet: %s (%s)",
			   backups[i].version.text, failure.text, reason_name(failure.reason));
		if (!is_about_one(r))
			break;
	}
	http_limit_time(c->http, 0);
}

void backup_upload(struct context *c)
{
	_cleanup_free_ struct client_backup *backups = NULL;
	struct failure failure = { 0 };
	int n;

	if (!c->http || !c->client || !c->identity.type[0] ||
	    strcmp(c->conf->backup_where, "local") == 0)
		return;
	/* It may last, and nothing of the agent's directory is needed for it: who wants to upgrade meanwhile
	 * shall not wait. */
	if (c->lock_fd >= 0)
		(void)flock(c->lock_fd, LOCK_UN);
	n = client_backups(c->client, &backups, &failure);
	if (n < 0)
		log_debug("backups: %s", failure.text);
	else
		upload_all(c, backups, n);
}
