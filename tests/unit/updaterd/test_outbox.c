/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "scratch.h"
#include "updaterd/outbox.h"

/* A server: answers by a plan, and remembers. */
struct server {
	enum delivery answer;
	unsigned refuse_after; /* from this one on: later */
	unsigned n_sent, n_archived, n_rejected;
	char sent[200][TXID_LENGTH + 1];
	char body[256];
	int outbox_fd;
	bool there_when_archived;
};

static void name_of(char *ret, const char *txid, const char *suffix)
{
	(void)snprintf(ret, 64, "%s.%s", txid, suffix);
}

static bool is_there(int fd, const char *txid, const char *suffix)
{
	char name[64];

	name_of(name, txid, suffix);
	return faccessat(fd, name, F_OK, 0) == 0;
}

static enum delivery on_send(void *userdata, const char *txid, const char *body, size_t size)
{
	struct server *s = userdata;

	assert_int_equal(strlen(body), size);
	if (s->refuse_after && s->n_sent >= s->refuse_after)
		return DELIVERY_LATER;
	(void)snprintf(s->sent[s->n_sent++], TXID_LENGTH + 1, "%s", txid);
	(void)snprintf(s->body, sizeof s->body, "%s", body);
	return s->answer;
}

static void on_archived(void *userdata, const char *txid)
{
	struct server *s = userdata;

	s->n_archived++;
	s->there_when_archived = is_there(s->outbox_fd, txid, "json");
}

static void on_rejected(void *userdata, const char *txid)
{
	struct server *s = userdata;

	(void)txid;
	s->n_rejected++;
}

static int flush(struct scratch *scratch, struct server *s)
{
	const struct outbox_ops ops = {
		.userdata = s, .send = on_send, .archived = on_archived, .rejected = on_rejected
	};

	s->outbox_fd = scratch->dirfd;
	return outbox_flush(scratch->dirfd, &ops);
}

static void txid_of(unsigned n, char ret[TXID_LENGTH + 1])
{
	(void)snprintf(ret, TXID_LENGTH + 1, "00000000-0000-4000-8000-%012x", n);
}

/* Put at second n, so that the order does not hang on how fast the test runs. */
static int put(struct scratch *s, unsigned n)
{
	const struct timespec times[2] = { { .tv_sec = 1000 + n }, { .tv_sec = 1000 + n } };
	_cleanup_json_ cJSON *result = cJSON_CreateObject();
	char txid[TXID_LENGTH + 1], name[64];
	int r;

	txid_of(n, txid);
	assert_non_null(cJSON_AddStringToObject(result, "txid", txid));
	assert_non_null(cJSON_AddStringToObject(result, "outcome", "failed"));
	r = outbox_put(s->dirfd, result);
	name_of(name, txid, "json");
	if (r > 0)
		assert_int_equal(utimensat(s->dirfd, name, times, 0), 0);
	return r;
}

static unsigned count(struct scratch *s, const char *suffix)
{
	DIR *dir = opendir(s->path);
	const struct dirent *d;
	unsigned n = 0;

	assert_non_null(dir);
	while ((d = readdir(dir)))
		n += strlen(d->d_name) > strlen(suffix) &&
		     strcmp(d->d_name + strlen(d->d_name) - strlen(suffix), suffix) == 0;
	assert_int_equal(closedir(dir), 0);
	return n;
}

static void test_txid(void **state)
{
	char a[TXID_LENGTH + 1], b[TXID_LENGTH + 1];

	(void)state;
	assert_int_equal(txid_new(a), 0);
	assert_int_equal(txid_new(b), 0);
	assert_true(txid_is_valid(a));
	assert_string_not_equal(a, b);
	assert_int_equal(a[14], '4');
	assert_non_null(strchr("89ab", a[19]));
	assert_false(txid_is_valid(""));
	assert_false(txid_is_valid("00000000-0000-4000-8000-00000000000"));
	assert_false(txid_is_valid("00000000-0000-4000-8000-0000000000000"));
	assert_false(txid_is_valid("00000000-0000-4000-8000-00000000000A"));
	assert_false(txid_is_valid("00000000x0000-4000-8000-000000000000"));
	assert_false(txid_is_valid("../../../../../../../../../../etc/pa"));
}

static void test_archived(void **state)
{
	struct scratch *s = *state;
	struct server server = { .answer = DELIVERY_ARCHIVED };

	assert_int_equal(put(s, 2), 1);
	assert_int_equal(put(s, 1), 1);
	assert_int_equal(flush(s, &server), 0);
	assert_int_equal(server.n_sent, 2);
	assert_int_equal(server.n_archived, 2);
	/* Only when the others know is it forgotten here. */
	assert_true(server.there_when_archived);
	assert_string_equal(server.sent[0], "00000000-0000-4000-8000-000000000001");
	assert_string_equal(server.sent[1], "00000000-0000-4000-8000-000000000002");
	assert_string_equal(server.body, "{\"txid\":\"00000000-0000-4000-8000-000000000002\","
					 "\"outcome\":\"failed\"}");
	assert_int_equal(count(s, ".json"), 0);
	assert_int_equal(flush(s, &server), 0);
	assert_int_equal(server.n_sent, 2);
}

static void test_later(void **state)
{
	struct scratch *s = *state;
	struct server server = { .answer = DELIVERY_ARCHIVED, .refuse_after = 1 };

	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(put(s, i), 1);
	assert_int_equal(flush(s, &server), 4);
	assert_int_equal(server.n_sent, 1);
	assert_int_equal(count(s, ".json"), 4);
	server.refuse_after = 0;
	assert_int_equal(flush(s, &server), 0);
	assert_int_equal(server.n_sent, 5);
}

static void test_rejected(void **state)
{
	struct scratch *s = *state;
	struct server server = { .answer = DELIVERY_REJECTED };

	assert_int_equal(put(s, 1), 1);
	assert_int_equal(put(s, 2), 1);
	assert_int_equal(flush(s, &server), 0);
	assert_int_equal(server.n_rejected, 2);
	assert_int_equal(server.n_archived, 0);
	assert_true(is_there(s->dirfd, server.sent[0], "rejected"));
	assert_false(is_there(s->dirfd, server.sent[0], "json"));
	/* Said once: neither sent again nor taken in again. */
	assert_int_equal(put(s, 1), 0);
	assert_int_equal(flush(s, &server), 0);
	assert_int_equal(server.n_rejected, 2);
}

static void test_first_body_stays(void **state)
{
	struct scratch *s = *state;
	struct server server = { .answer = DELIVERY_ARCHIVED };
	_cleanup_json_ cJSON *other = cJSON_CreateObject();

	assert_int_equal(put(s, 1), 1);
	assert_int_equal(put(s, 1), 0);
	assert_non_null(
		cJSON_AddStringToObject(other, "txid", "00000000-0000-4000-8000-000000000001"));
	assert_int_equal(outbox_put(s->dirfd, other), 0);
	assert_int_equal(flush(s, &server), 0);
	assert_non_null(strstr(server.body, "failed"));
}

static void test_bounded(void **state)
{
	struct scratch *s = *state;
	struct server server = { .answer = DELIVERY_ARCHIVED };

	for (unsigned i = 0; i < OUTBOX_MAX_RESULTS + 10; i++)
		assert_int_equal(put(s, i), 1);
	assert_int_equal(count(s, ".json"), OUTBOX_MAX_RESULTS);
	assert_int_equal(flush(s, &server), 0);
	assert_string_equal(server.sent[0], "00000000-0000-4000-8000-00000000000a");
	server.answer = DELIVERY_REJECTED;
	for (unsigned i = 0; i < OUTBOX_MAX_RESULTS + 10; i++) {
		assert_int_equal(put(s, 1000 + i), 1);
		assert_int_equal(flush(s, &server), 0);
	}
	assert_int_equal(count(s, ".rejected"), OUTBOX_MAX_RESULTS);
}

static void test_hostile_results(void **state)
{
	struct scratch *s = *state;
	_cleanup_json_ cJSON *result = cJSON_CreateObject();
	char *big = calloc(1, OUTBOX_MAX_RESULT_BYTES + 2);

	assert_non_null(big);
	assert_int_equal(outbox_put(s->dirfd, result), -EBADMSG);
	assert_non_null(cJSON_AddStringToObject(result, "txid", "../x"));
	assert_int_equal(outbox_put(s->dirfd, result), -EBADMSG);
	cJSON_DeleteItemFromObject(result, "txid");
	assert_non_null(
		cJSON_AddStringToObject(result, "txid", "00000000-0000-4000-8000-000000000001"));
	memset(big, 'x', OUTBOX_MAX_RESULT_BYTES + 1);
	assert_non_null(cJSON_AddStringToObject(result, "detail", big));
	assert_int_equal(outbox_put(s->dirfd, result), -EFBIG);
	assert_int_equal(count(s, ".json"), 0);
	free(big);
}

static void test_strange_files_are_left(void **state)
{
	struct scratch *s = *state;
	struct server server = { .answer = DELIVERY_ARCHIVED };

	scratch_text(s->dirfd, "notes.json", "{}", 0600);
	scratch_text(s->dirfd, ".#00000000-0000-4000-8000-000000000001.json", "{", 0600);
	assert_int_equal(flush(s, &server), 0);
	assert_int_equal(server.n_sent, 0);
	assert_int_equal(faccessat(s->dirfd, "notes.json", F_OK, 0), 0);
	/* But for what a crash left of a write. */
	assert_int_equal(
		faccessat(s->dirfd, ".#00000000-0000-4000-8000-000000000001.json", F_OK, 0), -1);
}

static void test_one_that_cannot_be_read_holds_up_no_other(void **state)
{
	struct scratch *s = *state;
	struct server server = { .answer = DELIVERY_ARCHIVED };
	char txid[TXID_LENGTH + 1], name[64];

	txid_of(1, txid);
	name_of(name, txid, "json/in the way");
	scratch_text(s->dirfd, name, "", 0600);
	assert_int_equal(put(s, 2), 1);
	assert_true(flush(s, &server) < 0);
	assert_int_equal(server.n_sent, 1);
	assert_int_equal(server.n_archived, 1);
}

static enum delivery judge(long status, const char *body)
{
	return outbox_judge(status, body, body ? strlen(body) : 0);
}

static void test_answers(void **state)
{
	static const long later[] = { 0,   100, 202, 204, 206, 301, 401, 403,
				      404, 405, 408, 429, 500, 502, 503 };
	static const long rejected[] = { 400, 409, 413, 415, 422 };
	static const char error[] = "{\"error\":\"step: not a step\",\"field\":\"step\"}";

	(void)state;
	assert_int_equal(judge(200, NULL), DELIVERY_ARCHIVED);
	assert_int_equal(judge(201, "{}"), DELIVERY_ARCHIVED);
	for (size_t i = 0; i < ELEMENTSOF(later); i++)
		assert_int_equal(judge(later[i], error), DELIVERY_LATER);
	for (size_t i = 0; i < ELEMENTSOF(rejected); i++) {
		assert_int_equal(judge(rejected[i], error), DELIVERY_REJECTED);
		/* A proxy that wants a certificate, say: the result is not to blame. */
		assert_int_equal(judge(rejected[i], "<html>400 No required SSL certificate"),
				 DELIVERY_LATER);
		assert_int_equal(judge(rejected[i], "{\"message\":\"no\"}"), DELIVERY_LATER);
		assert_int_equal(judge(rejected[i], "[]"), DELIVERY_LATER);
		assert_int_equal(judge(rejected[i], NULL), DELIVERY_LATER);
	}
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_txid),
		WITH_SCRATCH(test_archived),
		WITH_SCRATCH(test_later),
		WITH_SCRATCH(test_rejected),
		WITH_SCRATCH(test_first_body_stays),
		WITH_SCRATCH(test_bounded),
		WITH_SCRATCH(test_hostile_results),
		WITH_SCRATCH(test_strange_files_are_left),
		WITH_SCRATCH(test_one_that_cannot_be_read_holds_up_no_other),
		cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
