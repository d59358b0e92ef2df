/* SPDX-License-Identifier: Apache-2.0 */
/* A backup on its way back from a query server that is played here. */
#include "updaterd/backup_fetch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "scratch.h"

#define SIZE	(2500u << 10)
#define VERSION "B202108010001"

static struct play {
	struct scratch *scratch;
	uint8_t *bytes;
	char sha256[SHA256_HEX_LENGTH + 1];
	long status, part_status;
	const char *body; /* in the place of the right answer */
	bool is_cut;
	unsigned n_parts;
	struct http_range range; /* under way */
} play;

static char dummy;

const char *__wrap_http_error(const struct http *h);
const char *__wrap_http_error(const struct http *h)
{
	(void)h;
	return "as planned";
}

void __wrap_http_limit_time(struct http *h, uint64_t sec);
void __wrap_http_limit_time(struct http *h, uint64_t sec)
{
	(void)h, (void)sec;
}

int __wrap_http_get(struct http *h, const char *url, size_t max_bytes, struct http_response *ret);
int __wrap_http_get(struct http *h, const char *url, size_t max_bytes, struct http_response *ret)
{
	(void)h, (void)max_bytes;
	assert_string_equal(url, "https://q.example/v1/backups/name/gw/" VERSION);
	if (play.status == 0)
		return -ECONNREFUSED;
	*ret = (struct http_response){ .status = play.status };
	if (play.body)
		ret->body = strdup(play.body);
	else
		assert_true(asprintf(&ret->body,
				     "{\"state\":\"held\",\"tar_sha256\":\"x\",\"sha256\":\"%s\","
				     "\"length\":%u}",
				     play.sha256, SIZE) > 0);
	ret->body_size = strlen(ret->body);
	return 0;
}

int __wrap_http_start_range(struct http *h, const struct http_range *range);
int __wrap_http_start_range(struct http *h, const struct http_range *range)
{
	(void)h;
	assert_string_equal(range->url, "https://q.example/v1/backups/name/gw/" VERSION "/bytes");
	assert_true(range->last < SIZE);
	play.range = *range;
	play.n_parts++;
	return 0;
}

int __wrap_http_wait(struct http *h, uint64_t timeout_msec, struct http_ended *ret);
int __wrap_http_wait(struct http *h, uint64_t timeout_msec, struct http_ended *ret)
{
	struct http_range *r = &play.range;
	size_t half = (size_t)(r->last - r->first + 1) / 2;

	(void)h, (void)timeout_msec;
	*ret = (struct http_ended){ .response = { .status = play.part_status } };
	if (play.part_status == 206) {
		assert_int_equal(r->sink(r->userdata, play.bytes + r->first, half), 0);
		if (!play.is_cut)
			assert_int_equal(r->sink(r->userdata, play.bytes + r->first + half,
						 (size_t)(r->last - r->first + 1) - half),
					 0);
	}
	ret->error = play.is_cut ? -EIO : 0;
	return 1;
}

static int setup(void **state)
{
	uint8_t sha256[SHA256_BYTES];

	log_set_level(LOG_CRIT);
	play = (struct play){ .status = 200, .part_status = 206 };
	assert_int_equal(scratch_setup(state), 0);
	play.scratch = *state;
	play.bytes = malloc(SIZE);
	assert_non_null(play.bytes);
	for (size_t i = 0; i < SIZE; i++)
		play.bytes[i] = (uint8_t)(i * 13 + i / 251);
	assert_int_equal(digest_sha256(play.bytes, SIZE, sha256), 0);
	hex_encode(sha256, sizeof sha256, play.sha256);
	scratch_text(play.scratch->dirfd, "inbox/x", "", 0600);
	return 0;
}

static int teardown(void **state)
{
	free(play.bytes);
	return scratch_teardown(state);
}

static int fetch_within(uint64_t max_bytes, struct failure *failure)
{
	_cleanup_(progress_freep) struct progress *progress = NULL;
	_cleanup_close_ int inbox_fd = openat(play.scratch->dirfd, "inbox", O_RDONLY | O_DIRECTORY);
	static char url[] = "https://q.example", no[] = "no";
	struct conf conf = { .url = url, .metered = no, .max_program_bytes = max_bytes };
	struct context c = { .conf = &conf,
			     .inbox_fd = inbox_fd,
			     .http = (struct http *)(void *)&dummy,
			     .identity = { .type = "name", .value = "gw" } };
	uint8_t sha256[SHA256_BYTES];
	char hex[SHA256_HEX_LENGTH + 1];
	struct version version;
	int r;

	assert_int_equal(progress_new(PROGRESS_QUIET, stdout, &progress), 0);
	c.progress = progress;
	assert_int_equal(version_parse(VERSION, &version), 0);
	*failure = (struct failure){ 0 };
	r = backup_fetch(&c, &version, sha256, failure);
	if (r == 0) {
		hex_encode(sha256, sizeof sha256, hex);
		assert_string_equal(hex, play.sha256);
	} else {
		assert_true(failure->text[0]);
	}
	return r;
}

static int fetch(struct failure *failure)
{
	return fetch_within(16u << 20, failure);
}

static void test_comes_in_pieces(void **state)
{
	_cleanup_free_ char *path = NULL, *bytes = NULL;
	struct failure failure;
	size_t size = 0;

	(void)state;
	assert_int_equal(fetch(&failure), 0);
	assert_int_equal(play.n_parts, 3);
	assert_true(asprintf(&path, "inbox/%s.part", play.sha256) > 0);
	assert_int_equal(fs_read_file(play.scratch->dirfd, path, SIZE, &bytes, &size), 0);
	assert_int_equal(size, SIZE);
	assert_memory_equal(bytes, play.bytes, SIZE);
	/* What is there from before is no hindrance. */
	assert_int_equal(fetch(&failure), 0);
}

static void test_answers_that_are_none(void **state)
{
	static const char *const bodies[] = {
		"",
		"{}",
		"[]",
		"{\"state\":\"held\"}",
		"{\"state\":\"held\",\"sha256\":\"../../etc/passwd\",\"length\":5}",
		"{\"state\":\"held\",\"sha256\":1,\"length\":5}",
	};
	struct failure failure;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bodies); i++) {
		play.body = bodies[i];
		assert_int_equal(fetch(&failure), -EPROTO);
	}
	assert_int_equal(play.n_parts, 0);
}

static void test_what_is_not_there(void **state)
{
	struct failure failure;

	(void)state;
	play.status = 404;
	assert_int_equal(fetch(&failure), -ENOENT);
	play.status = 503;
	assert_int_equal(fetch(&failure), -EAGAIN);
	play.status = 0;
	assert_int_equal(fetch(&failure), -ECONNREFUSED);
	play.status = 200;
	play.part_status = 404;
	assert_int_equal(fetch(&failure), -EAGAIN);
}

static void test_bytes_that_are_wrong(void **state)
{
	struct failure failure;

	(void)state;
	play.is_cut = true;
	assert_int_equal(fetch(&failure), -EIO);
	play.is_cut = false;
	play.bytes[SIZE / 2] ^= 1;
	assert_true(fetch(&failure) < 0);
	assert_int_equal(failure.reason, REASON_HASH);
	play.bytes[SIZE / 2] ^= 1;
	assert_int_equal(fetch(&failure), 0);
}

static void test_more_than_there_may_be(void **state)
{
	struct failure failure;

	(void)state;
	assert_true(fetch_within(SIZE - 1, &failure) < 0);
	assert_int_equal(play.n_parts, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_comes_in_pieces),	   TEST(test_answers_that_are_none),
		TEST(test_what_is_not_there),	   TEST(test_bytes_that_are_wrong),
		TEST(test_more_than_there_may_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
