/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backups on their way to a query server that is played here, byte for byte, with all that may go wrong; the
 * installer is played too.
 */
#include "updaterd/backup_upload.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/json.h"
#include "common/log.h"
#include "scratch.h"

#define SIZE	 500000u
#define NOW	 1795305600
#define VERSION0 "B202108010001"
#define VERSION1 "A202108010001"
#define TAR	 "1111111111111111111111111111111111111111111111111111111111111111"

enum trouble {
	NOTHING,
	CUT,	   /* the connection breaks; half of the part has come */
	LOST,	   /* the part has come, the answer is lost */
	BUSY,	   /* 503 */
	ELSEWHERE, /* 409 and the offset */
	SAME,	   /* 202, and the offset does not move */
	BACK,	   /* 202 with an offset before what was sent */
	TEASE,	   /* one byte of each part is kept */
	BEYOND,	   /* 202 with an offset beyond the end */
	JUNK,
	WRONG, /* 422 */
	FULL,  /* 507 */
};

static struct play {
	struct scratch *scratch;
	char bytes[SIZE], arrived[SIZE];
	uint64_t offset;
	bool is_held, takes_none;
	enum trouble troubles[64]; /* of each part in turn */
	unsigned n_troubles;
	unsigned n_tells, n_parts, n_pauses;
	uint64_t sent, largest,
		odd;	 /* in parts; the largest; that do not end where a segment does */
	bool knows_file; /* what is told has sha256 and length */
	struct client_backup backups[2];
	int n_backups;
	char held[128]; /* the versions that the installer was told of */
	bool is_offline;
} play;

static char dummy;

/* ---- the installer ---- */

int __wrap_client_backups(struct client *c, struct client_backup **ret, struct failure *failure);
int __wrap_client_backups(struct client *c, struct client_backup **ret, struct failure *failure)
{
	(void)c, (void)failure;
	*ret = calloc(2, sizeof **ret);
	assert_non_null(*ret);
	memcpy(*ret, play.backups, sizeof play.backups);
	return play.n_backups;
}

int __wrap_client_backup(struct client *c, const struct version *version, struct failure *failure);
int __wrap_client_backup(struct client *c, const struct version *version, struct failure *failure)
{
	(void)c, (void)version, (void)failure;
	return openat(play.scratch->dirfd, "backup", O_RDONLY | O_CLOEXEC);
}

int __wrap_client_backup_held(struct client *c, const struct version *version,
			      const char *tar_sha256, struct failure *failure);
int __wrap_client_backup_held(struct client *c, const struct version *version,
			      const char *tar_sha256, struct failure *failure)
{
	(void)c, (void)failure;
	assert_string_equal(tar_sha256, TAR);
	(void)strcat(strcat(play.held, version->text), " ");
	return 0;
}

/* ---- the server ---- */

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

int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *t,
			   struct timespec *rest);
int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *t,
			   struct timespec *rest)
{
	(void)clock, (void)flags, (void)t, (void)rest;
	play.n_pauses++;
	return 0;
}

static _printf_(3, 4) int answer(struct http_response *ret, long status, const char *format, ...)
{
	va_list args;

	*ret = (struct http_response){ .status = status };
	va_start(args, format);
	assert_true(vasprintf(&ret->body, format, args) >= 0);
	va_end(args);
	ret->body_size = strlen(ret->body);
	return 0;
}

static int answer_state(struct http_response *ret)
{
	if (play.is_held)
		return answer(ret, 201, "{\"state\":\"held\"}");
	return answer(ret, 202, "{\"state\":\"wanted\",\"offset\":%ju}", (uintmax_t)play.offset);
}

int __wrap_http_send(struct http *h, const char *method, const char *url, const void *body,
		     size_t size, size_t max_bytes, struct http_response *ret);
int __wrap_http_send(struct http *h, const char *method, const char *url, const void *body,
		     size_t size, size_t max_bytes, struct http_response *ret)
{
	(void)h, (void)max_bytes, (void)size;
	play.n_tells++;
	assert_string_equal(method, "PUT");
	assert_non_null(strstr(url, "/v1/backups/name/gw/"));
	assert_null(strstr(url, "/bytes"));
	assert_non_null(strstr(body, "\"tar_sha256\":\"" TAR "\""));
	play.knows_file = strstr(body, "\"length\":500000") && strstr(body, "\"sha256\":");
	if (play.is_offline)
		return -ECONNREFUSED;
	if (play.takes_none)
		return answer(ret, 404, "{\"error\":\"no such call\"}");
	return answer_state(ret);
}

static void take(const void *bytes, size_t size)
{
	memcpy(play.arrived + play.offset, bytes, size);
	play.offset += size;
	play.is_held = play.offset == SIZE;
}

int __wrap_http_send_part(struct http *h, const char *url, const void *bytes, size_t size,
			  uint64_t first, uint64_t total, size_t max_bytes,
			  struct http_response *ret);
int __wrap_http_send_part(struct http *h, const char *url, const void *bytes, size_t size,
			  uint64_t first, uint64_t total, size_t max_bytes,
			  struct http_response *ret)
{
	enum trouble trouble = play.n_parts < play.n_troubles ? play.troubles[play.n_parts]
							      : NOTHING;

	(void)h, (void)max_bytes;
	play.n_parts++;
	assert_true(play.n_parts < 1000);
	assert_non_null(strstr(url, "/bytes"));
	assert_int_equal(total, SIZE);
	assert_int_equal(first, play.offset);
	play.sent += size;
	if (size > play.largest)
		play.largest = size;
	play.odd += (first + size) % 4096 && first + size != SIZE;
	switch (trouble) {
	case NOTHING: take(bytes, size); return answer_state(ret);
	case CUT: take(bytes, size / 2 + 1); return -EIO;
	case LOST: take(bytes, size); return -ETIMEDOUT;
	case BUSY: return answer(ret, 503, "later");
	case ELSEWHERE:
		return answer(ret, 409, "{\"error\":\"x\",\"offset\":%ju}", (uintmax_t)play.offset);
	case SAME: return answer_state(ret);
	case BACK: play.offset = 0; return answer_state(ret);
	case TEASE: play.offset++; return answer_state(ret);
	case BEYOND: return answer(ret, 202, "{\"state\":\"wanted\",\"offset\":%u}", SIZE);
	case JUNK: return answer(ret, 200, "<html>");
	case WRONG: play.offset = 0; return answer(ret, 422, "{\"error\":\"sha256: wrong\"}");
	case FULL:
	default: return answer(ret, 507, "{\"error\":\"full\"}");
	}
}

/* ---- helpers ---- */

static int setup(void **state)
{
	log_set_level(LOG_CRIT);
	play = (struct play){ .n_backups = 1 };
	assert_int_equal(scratch_setup(state), 0);
	play.scratch = *state;
	for (size_t i = 0; i < SIZE; i++)
		play.bytes[i] = (char)(i * 13 + i / 251);
	scratch_write(play.scratch->dirfd, "backup", play.bytes, SIZE, 0600);
	for (int i = 0; i < 2; i++) {
		play.backups[i].is_here = true;
		(void)strcpy(play.backups[i].tar_sha256, TAR);
		assert_int_equal(
			version_parse(i == 0 ? VERSION0 : VERSION1, &play.backups[i].version), 0);
	}
	return 0;
}

static char url[] = "https://q.example", both[] = "both", local[] = "local", no[] = "no",
	    yes[] = "yes";

static void run_with(const struct conf *conf)
{
	struct context c = { .conf = conf,
			     .lock_fd = FD_NONE,
			     .http = (struct http *)(void *)&dummy,
			     .client = (struct client *)(void *)&dummy,
			     .time = { .now_sec = NOW },
			     .identity = { .type = "name", .value = "gw" } };

	backup_upload(&c);
	assert_int_equal(c.exit_code, 0);
}

static struct conf conf_of(void)
{
	return (struct conf){ .url = url,
			      .backup_where = both,
			      .upload_timeout_sec = 3600,
			      .metered = no,
			      .segment_bytes = 4096 };
}

static void run(void)
{
	struct conf conf = conf_of();

	run_with(&conf);
}

static void assert_brought(void)
{
	assert_true(play.is_held);
	assert_memory_equal(play.arrived, play.bytes, SIZE);
	assert_string_equal(play.held, VERSION0 " ");
}

static void assert_brought_second(void)
{
	assert_true(play.is_held);
	assert_memory_equal(play.arrived, play.bytes, SIZE);
	assert_string_equal(play.held, VERSION1 " ");
}

/* ---- tests ---- */

static void test_brings_what_is_wanted(void **state)
{
	(void)state;
	run();
	assert_brought();
	assert_true(play.knows_file);
	assert_int_equal(play.n_tells, 1);
	/* Few parts, since it went well, and none too large. */
	assert_in_range(play.n_parts, 2, 5);
	assert_in_range(play.largest, 65536, 256 << 10);
	assert_int_equal(play.odd, 0);
}

static void test_held_needs_no_bytes(void **state)
{
	(void)state;
	play.is_held = true;
	run();
	assert_int_equal(play.n_parts, 0);
	assert_string_equal(play.held, VERSION0 " ");
}

static void test_told_again_after_a_week(void **state)
{
	(void)state;
	play.is_held = true;
	play.backups[0].told_sec = NOW - BACKUP_TELL_AGAIN_SEC + 1;
	run();
	assert_int_equal(play.n_tells, 0);
	play.backups[0].told_sec--;
	run();
	assert_int_equal(play.n_tells, 1);
	/* By a clock that was wrong then. */
	play.backups[0].told_sec = NOW + 1;
	run();
	assert_int_equal(play.n_tells, 2);
	assert_string_equal(play.held, VERSION0 " " VERSION0 " ");
}

static void test_goes_on_where_the_last_run_ended(void **state)
{
	(void)state;
	play.offset = 123457;
	memcpy(play.arrived, play.bytes, play.offset);
	run();
	assert_brought();
	assert_int_equal(play.odd, 0);
}

static void test_troubles_that_pass(void **state)
{
	static const enum trouble troubles[] = { CUT,  NOTHING, LOST,	   BUSY, BUSY, CUT,
						 BACK, NOTHING, ELSEWHERE, JUNK, CUT };

	(void)state;
	memcpy(play.troubles, troubles, sizeof troubles);
	play.n_troubles = ELEMENTSOF(troubles);
	run();
	assert_brought();
	assert_in_range(play.n_pauses, 1, 20);
}

static void give_up_after(enum trouble trouble, unsigned max_parts)
{
	for (size_t i = 0; i < ELEMENTSOF(play.troubles); i++)
		play.troubles[i] = trouble;
	play.n_troubles = ELEMENTSOF(play.troubles);
	run();
	assert_in_range(play.n_parts, 1, max_parts);
	assert_string_equal(play.held, "");
	play.n_parts = 0;
	play.offset = 0;
}

static void test_troubles_that_stay(void **state)
{
	(void)state;
	give_up_after(BUSY, 4);
	give_up_after(SAME, 4);
	give_up_after(BEYOND, 4);
	give_up_after(JUNK, 4);
	give_up_after(ELSEWHERE, 4);
	give_up_after(FULL, 4);
	give_up_after(WRONG, 4);
}

static void test_no_server_no_failure(void **state)
{
	(void)state;
	play.n_backups = 2;
	play.is_offline = true;
	run();
	/* What stopped one would stop the next. */
	assert_int_equal(play.n_tells, 1);
	play.is_offline = false;
	play.takes_none = true;
	run();
	assert_int_equal(play.n_tells, 3);
	assert_string_equal(play.held, "");
}

static void test_only_asked_without_the_file(void **state)
{
	(void)state;
	play.backups[0].is_here = false;
	play.is_held = true;
	run();
	assert_false(play.knows_file);
	assert_string_equal(play.held, VERSION0 " ");
	play.takes_none = true;
	run();
	assert_string_equal(play.held, VERSION0 " ");
	assert_int_equal(play.n_parts, 0);
}

/* A server that wants what is only noted here asks for what nobody has. */
static void test_wanted_without_the_file(void **state)
{
	(void)state;
	play.n_backups = 2;
	play.backups[0].is_here = false;
	run();
	assert_brought_second();
	assert_int_equal(play.n_tells, 2);
	assert_true(play.n_parts < 10);
}

/* Bytes cost money: a server that loses what it is sent gets it twice, and no more. */
static void test_sends_not_for_ever(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(play.troubles); i++)
		play.troubles[i] = i % 2 ? TEASE : BACK;
	play.n_troubles = ELEMENTSOF(play.troubles);
	run();
	assert_string_equal(play.held, "");
	assert_in_range(play.sent, 1, 3 * SIZE);
}

static void test_where_and_what_each_byte_costs(void **state)
{
	struct conf conf = conf_of();

	(void)state;
	conf.backup_where = local;
	run_with(&conf);
	assert_int_equal(play.n_tells, 0);
	conf.backup_where = both;
	conf.metered = yes;
	conf.metered_max_bytes = 100000;
	run_with(&conf);
	assert_int_equal(play.n_tells, 1);
	assert_int_equal(play.n_parts, 0);
	/* The rest of one is less than all of it. */
	play.offset = SIZE - 100000;
	memcpy(play.arrived, play.bytes, play.offset);
	run_with(&conf);
	assert_brought();
}

static void test_segments_of_any_size(void **state)
{
	static const uint64_t sizes[] = { 512, 10240, 65536, 1 << 20 };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		struct conf conf = conf_of();

		conf.segment_bytes = sizes[i];
		play.offset = 0;
		play.is_held = false;
		play.held[0] = '\0';
		run_with(&conf);
		assert_brought();
	}
	assert_in_range(play.largest, 1, 256 << 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_brings_what_is_wanted),
		TEST(test_held_needs_no_bytes),
		TEST(test_told_again_after_a_week),
		TEST(test_goes_on_where_the_last_run_ended),
		TEST(test_troubles_that_pass),
		TEST(test_troubles_that_stay),
		TEST(test_no_server_no_failure),
		TEST(test_only_asked_without_the_file),
		TEST(test_wanted_without_the_file),
		TEST(test_sends_not_for_ever),
		TEST(test_where_and_what_each_byte_costs),
		TEST(test_segments_of_any_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
