/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "common/backoff.h"
#include "common/digest.h"
#include "range_server.h"
#include "scratch.h"
#include "updaterd/fetch.h"

#define SEGMENT_BYTES 1024u
#define SEGMENTS      100u
#define FILE_BYTES    (SEGMENTS * SEGMENT_BYTES - 300) /* the last one is short */
#define PATH	      "/targets/B/file"

/* Nobody waits here; how long it would have been is noted. */
static uint64_t slept_msec;

int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *t,
			   struct timespec *left);
int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *t,
			   struct timespec *left)
{
	assert_int_equal(clock, CLOCK_MONOTONIC);
	assert_int_equal(flags, 0);
	(void)left;
	slept_msec += (uint64_t)t->tv_sec * 1000 + (uint64_t)t->tv_nsec / 1000000;
	return 0;
}

/* The n-th read from now on fails. */
static unsigned fail_pread;

ssize_t __real_pread64(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset)
{
	if (fail_pread > 0 && --fail_pread == 0) {
		errno = EIO;
		return -1;
	}
	return __real_pread64(fd, bytes, size, offset);
}

/* Time stands still where a test sets it; a clock that people and servers set is never asked. */
static struct timespec still;

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	assert_true(clock == CLOCK_BOOTTIME || clock == CLOCK_MONOTONIC);
	if (still.tv_sec == 0)
		return __real_clock_gettime(clock, ret);
	*ret = still;
	return 0;
}

static unsigned n_syncs;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	n_syncs++;
	return __real_fdatasync(fd);
}

struct fixture {
	struct scratch *scratch;
	struct range_server server;
	uint8_t bytes[FILE_BYTES];
	uint8_t sha256[SHA256_BYTES];
	struct segments *segments;
	char url[128];
	int inbox_fd;
	struct http *http;
	uint64_t told_bytes;
	unsigned stop_after; /* segments; 0: never */
	time_t pass_sec;     /* with each segment, where time stands still */
	unsigned in_flight;
	uint64_t low_speed_sec;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	void *scratch;
	int fd;

	assert_non_null(f);
	slept_msec = 0;
	n_syncs = 0;
	still = (struct timespec){ 0 };
	f->low_speed_sec = 30;
	fail_pread = 0;
	assert_int_equal(scratch_setup(&scratch), 0);
	f->scratch = scratch;
	for (size_t i = 0; i < FILE_BYTES; i++)
		f->bytes[i] = (uint8_t)(i * 7919 >> 5);
	scratch_write(f->scratch->dirfd, "file", f->bytes, FILE_BYTES, 0600);
	fd = openat(f->scratch->dirfd, "file", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(segments_from_fd(fd, SEGMENT_BYTES, &f->segments), 0);
	assert_int_equal(digest_fd(fd, f->sha256, NULL), 0);
	assert_int_equal(close(fd), 0);
	f->inbox_fd = scratch_dir(f->scratch->dirfd, "inbox");
	range_server_add(&f->server, PATH, f->bytes, FILE_BYTES);
	range_server_start(&f->server, f->scratch->path);
	(void)snprintf(f->url, sizeof f->url, "%s" PATH, f->server.base);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *scratch = f->scratch;

	http_free(f->http);
	range_server_stop(&f->server);
	segments_free(f->segments);
	(void)close(f->inbox_fd);
	assert_int_equal(scratch_teardown(&scratch), 0);
	free(f);
	return 0;
}

static int on_progress(void *userdata, uint64_t done_bytes)
{
	struct fixture *f = userdata;

	assert_true(done_bytes > f->told_bytes);
	f->told_bytes = done_bytes;
	still.tv_sec += f->pass_sec;
	return f->stop_after && done_bytes >= (uint64_t)f->stop_after * SEGMENT_BYTES ? -EINTR : 0;
}

/* A fetch as a new process would start it. */
static struct fetch new_fetch(struct fixture *f, uint32_t request_segments)
{
	const struct http_options options = { .ca_file = f->server.ca_file,
					      .connect_timeout_sec = 10,
					      .request_timeout_sec = 60,
					      .low_speed_bytes_per_sec = 1,
					      .low_speed_sec = f->low_speed_sec };

	f->http = http_free(f->http);
	f->told_bytes = 0;
	assert_int_equal(http_new(&options, &f->http), 0);
	return (struct fetch){ .http = f->http,
			       .url = f->url,
			       .inbox_fd = f->inbox_fd,
			       .sha256 = f->sha256,
			       .segments = f->segments,
			       .request_segments = request_segments,
			       .in_flight = f->in_flight,
			       .timeout_sec = 120,
			       .attempts = 4,
			       .progress = on_progress,
			       .userdata = f };
}

static void assert_complete(struct fixture *f, int fd)
{
	uint8_t sha256[SHA256_BYTES];
	uint64_t size;

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(digest_fd(fd, sha256, &size), 0);
	assert_int_equal(size, FILE_BYTES);
	assert_memory_equal(sha256, f->sha256, sizeof sha256);
	assert_int_equal(close(fd), 0);
}

static void assert_fails(struct fixture *f, struct fetch *fetch, int error, enum reason reason)
{
	struct failure failure = { 0 };

	(void)f;
	assert_int_equal(fetch_run(fetch, &failure), error);
	assert_int_equal(failure.reason, reason);
	assert_true(failure.text[0]);
}

static void inbox_name(struct fixture *f, const char *suffix, char ret[128])
{
	char hex[SHA256_HEX_LENGTH + 1];

	hex_encode(f->sha256, SHA256_BYTES, hex);
	(void)snprintf(ret, 128, "%s.%s", hex, suffix);
}

/* ---- the whole way ---- */

static void test_one_segment_a_request(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 1);
	struct failure failure = { 0 };

	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fetch.requests, SEGMENTS);
	assert_int_equal(fetch.segments_fetched, SEGMENTS);
	assert_int_equal(fetch.segments_again, 0);
	assert_int_equal(fetch.segments_resumed, 0);
	assert_true(fetch.received_bytes >= FILE_BYTES);
	assert_int_equal(f->told_bytes, FILE_BYTES);
	assert_int_equal(f->server.shared->requests, SEGMENTS);
	assert_int_equal(f->server.shared->connections, 1);
	assert_int_equal(f->server.shared->log[1].first, SEGMENT_BYTES);
	assert_int_equal(f->server.shared->log[1].last, 2 * SEGMENT_BYTES - 1);
	assert_int_equal(f->server.shared->log[SEGMENTS - 1].last, FILE_BYTES - 1);
}

static void test_runs_of_segments(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 8);
	struct failure failure = { 0 };

	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fetch.requests, (SEGMENTS + 7) / 8);
	assert_int_equal(fetch.segments_fetched, SEGMENTS);
	assert_int_equal(f->server.shared->log[0].last, 8 * SEGMENT_BYTES - 1);
}

static void test_requests_of_few_bytes(void **state)
{
	static const struct {
		uint64_t bytes;
		uint32_t segments, requests;
	} limits[] = { { 1, 0, SEGMENTS },
		       { 10 * SEGMENT_BYTES + 1, 0, SEGMENTS / 10 },
		       { UINT64_MAX, 20, SEGMENTS / 20 },
		       { UINT64_MAX, 0, 1 } };
	struct fixture *f = *state;
	struct failure failure = { 0 };

	for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
		struct fetch fetch = new_fetch(f, limits[i].segments);

		fetch.request_bytes = limits[i].bytes;
		assert_complete(f, fetch_run(&fetch, &failure));
		assert_int_equal(fetch.requests, limits[i].requests);
		assert_int_equal(fetch_clean(f->inbox_fd, NULL, 0), 0);
	}
}

static uint64_t first_of(struct fixture *f, unsigned request)
{
	return f->server.shared->log[request].first / SEGMENT_BYTES;
}

static uint64_t length_of(struct fixture *f, unsigned request)
{
	return (f->server.shared->log[request].last + SEGMENT_BYTES) / SEGMENT_BYTES -
	       first_of(f, request);
}

static void test_several_in_flight(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };

	for (unsigned in_flight = 2; in_flight <= FETCH_MAX_IN_FLIGHT + 1; in_flight++) {
		struct fetch fetch = new_fetch(f, 3);

		fetch.in_flight = in_flight;
		f->server.shared->connections = 0;
		assert_complete(f, fetch_run(&fetch, &failure));
		assert_int_equal(fetch.requests, (SEGMENTS + 2) / 3);
		assert_int_equal(fetch.segments_fetched, SEGMENTS);
		assert_int_equal(fetch.segments_again, 0);
		assert_int_equal(f->told_bytes, FILE_BYTES);
		assert_in_range(http_connections(f->http), 1, FETCH_MAX_IN_FLIGHT);
		assert_int_equal(f->server.shared->connections, http_connections(f->http));
		assert_int_equal(fetch_clean(f->inbox_fd, NULL, 0), 0);
	}
}

/* Until something right has come there is one request, so that little is asked of a bad server. */
static void test_a_bad_server_gets_one_request(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 0);

	fetch.in_flight = 4;
	f->server.shared->ignores_range = true;
	assert_fails(f, &fetch, -ENOTSUP, REASON_RANGE_IGNORED);
	assert_int_equal(f->server.shared->requests, 1);
}

static void test_complete_file_costs_no_request(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 8);
	struct failure failure = { 0 };
	unsigned before;

	assert_complete(f, fetch_run(&fetch, &failure));
	before = f->server.shared->requests;
	fetch = new_fetch(f, 8);
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fetch.segments_resumed, SEGMENTS);
	assert_int_equal(fetch.requests, 0);
	assert_int_equal(f->server.shared->requests, before);
}

/* ---- taken up again ---- */

static void run_until_killed(struct fixture *f, uint32_t request_segments)
{
	struct failure failure = { 0 };
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct fetch fetch = new_fetch(f, request_segments);

		(void)!fetch_run(&fetch, &failure);
		_exit(0);
	}
	range_server_wait_stalled(&f->server);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_killed_and_taken_up(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch;

	f->server.shared->stall_at = 41;
	run_until_killed(f, 1);
	f->server.shared->stall_at = 0;
	fetch = new_fetch(f, 1);
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fetch.segments_resumed, 40);
	assert_int_equal(fetch.segments_fetched, SEGMENTS - 40);
	assert_int_equal(f->server.shared->log[41].first, 40 * SEGMENT_BYTES);
}

static void test_killed_within_a_run(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch;

	f->server.shared->stall_at = 3;
	run_until_killed(f, 10);
	f->server.shared->stall_at = 0;
	fetch = new_fetch(f, 10);
	assert_complete(f, fetch_run(&fetch, &failure));
	/* Two whole runs, and what had arrived of the third. */
	assert_in_range(fetch.segments_resumed, 20, 25);
	assert_int_equal(fetch.segments_resumed + fetch.segments_fetched, SEGMENTS);
}

/* What was arriving is lost, a part of a segment for each request in flight, and nothing else. */
static void test_killed_with_several_in_flight(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch;

	f->in_flight = 3;
	f->server.shared->stall_at = 9;
	run_until_killed(f, 4);
	f->server.shared->stall_at = 0;
	fetch = new_fetch(f, 4);
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_true(fetch.segments_resumed >= 6 * 4);
	assert_int_equal(fetch.segments_resumed + fetch.segments_fetched, SEGMENTS);
}

static void test_map_is_only_a_hint(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 1);
	char name[128];
	int fd;

	f->stop_after = 50;
	assert_fails(f, &fetch, -EINTR, REASON_INTERRUPTED);
	inbox_name(f, "part", name);
	fd = openat(f->inbox_fd, name, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "wrong", 5, 7 * SEGMENT_BYTES + 3), 5);
	assert_int_equal(close(fd), 0);
	f->stop_after = 0;
	fetch = new_fetch(f, 1);
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fetch.segments_resumed, 49);
	assert_int_equal(f->server.shared->log[50].first, 7 * SEGMENT_BYTES);
}

static void test_a_lost_block_is_fetched_again(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 1);

	f->stop_after = 50;
	assert_fails(f, &fetch, -EINTR, REASON_INTERRUPTED);
	f->stop_after = 0;
	fetch = new_fetch(f, 1);
	fail_pread = 3; /* the map is read first, by two calls */
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fail_pread, 0);
	assert_int_equal(fetch.segments_resumed, 49);
}

static void test_foreign_map_is_not_believed(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 1);
	char name[128], junk[128 + (SEGMENTS + 7) / 8];

	f->stop_after = 50;
	assert_fails(f, &fetch, -EINTR, REASON_INTERRUPTED);
	f->stop_after = 0;
	/* Of the right size, and with every bit set. */
	memset(junk, 0xff, sizeof junk);
	inbox_name(f, "map", name);
	scratch_write(f->inbox_fd, name, junk, sizeof junk, 0600);
	fetch = new_fetch(f, 100);
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fetch.segments_resumed, 0);
}

static void test_map_of_other_segments(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 1);
	int fd;

	f->stop_after = 50;
	assert_fails(f, &fetch, -EINTR, REASON_INTERRUPTED);
	f->stop_after = 0;
	segments_free(f->segments);
	fd = openat(f->scratch->dirfd, "file", O_RDONLY | O_CLOEXEC);
	assert_int_equal(segments_from_fd(fd, 4096, &f->segments), 0);
	assert_int_equal(close(fd), 0);
	fetch = new_fetch(f, 1);
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fetch.segments_resumed, 0);
	assert_int_equal(fetch.segments_fetched, 25);
}

/* Two files, at the begin of each second and in the end: flash wears, and a slow link has few bytes. */
static void test_syncs_once_a_second_at_most(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 1);

	still.tv_sec = 1000;
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(n_syncs, 2);
	assert_int_equal(fetch_clean(f->inbox_fd, NULL, 0), 0);
	n_syncs = 0;
	f->pass_sec = 1;
	fetch = new_fetch(f, 10);
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_in_range(n_syncs, 4, 2 * (SEGMENTS + 1));
}

/* What is there and cannot be added to, since the server gives whole files only now, is there the next time;
 * and what nobody knows where it came from is no more in the way. */
static void test_a_part_does_not_stand_in_the_way(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 1);
	_cleanup_free_ char *junk = malloc(2 * FILE_BYTES);
	char name[128];

	assert_non_null(junk);
	f->stop_after = 50;
	assert_fails(f, &fetch, -EINTR, REASON_INTERRUPTED);
	f->stop_after = 0;
	f->server.shared->ignores_range = true;
	fetch = new_fetch(f, 1);
	assert_fails(f, &fetch, -ENOTSUP, REASON_RANGE_IGNORED);
	assert_int_equal(fetch.requests, 1);
	f->server.shared->ignores_range = false;
	fetch = new_fetch(f, 1);
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fetch.segments_resumed, 50);
	assert_int_equal(fetch_clean(f->inbox_fd, NULL, 0), 0);
	memset(junk, 'x', 2 * FILE_BYTES);
	inbox_name(f, "part", name);
	scratch_write(f->inbox_fd, name, junk, 2 * FILE_BYTES, 0600);
	inbox_name(f, "map", name);
	scratch_write(f->inbox_fd, name, junk, 2 * FILE_BYTES, 0600);
	fetch = new_fetch(f, 0);
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fetch.segments_resumed, 0);
}

/* ---- wrong bytes ---- */

static void test_wrong_once_is_fetched_alone(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 10);

	f->server.shared->corrupt_offset = 23 * SEGMENT_BYTES + 5;
	f->server.shared->corrupt_times = 1;
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fetch.segments_again, 1);
	assert_int_equal(fetch.segments_fetched, SEGMENTS);
	assert_int_equal(fetch.requests, 11);
	assert_int_equal(f->server.shared->log[3].first, 23 * SEGMENT_BYTES);
	assert_int_equal(f->server.shared->log[3].last, 24 * SEGMENT_BYTES - 1);
	assert_int_equal(f->server.shared->log[4].first, 30 * SEGMENT_BYTES);
}

static void test_wrong_twice_fails(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 10);

	f->server.shared->corrupt_offset = 23 * SEGMENT_BYTES + 5;
	f->server.shared->corrupt_times = 1000;
	assert_fails(f, &fetch, -EBADMSG, REASON_SEGMENT_HASH);
	assert_int_equal(f->server.shared->requests, 4);
	assert_int_equal(fetch.segments_again, 2);
	/* The others are kept. */
	f->server.shared->corrupt_times = 0;
	fetch = new_fetch(f, 10);
	{
		struct failure failure = { 0 };

		assert_complete(f, fetch_run(&fetch, &failure));
	}
	assert_int_equal(fetch.segments_resumed, 29);
}

/* The rest of an answer that is nothing but wrong is not waited for. */
static void test_an_answer_of_wrong_bytes_is_given_up(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 0);

	f->server.shared->corrupt_offset = 40 * SEGMENT_BYTES;
	f->server.shared->corrupt_length = FILE_BYTES;
	f->server.shared->corrupt_times = 1;
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fetch.segments_again, 2);
	assert_int_equal(fetch.segments_fetched, SEGMENTS);
	/* 0-99 given up after 41, 40 alone, 41 alone, and the rest, in larger steps again. */
	assert_int_equal(first_of(f, 1), 40);
	assert_int_equal(length_of(f, 1), 1);
	assert_int_equal(first_of(f, 2), 41);
	assert_int_equal(length_of(f, 2), 1);
	assert_int_equal(first_of(f, 3), 42);
}

/* A file of the same size took its place: nothing of it is joined to what came before. */
static void test_another_file_of_that_size(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 10);

	f->server.shared->change_at = 4;
	f->server.shared->corrupt_offset = 30 * SEGMENT_BYTES;
	f->server.shared->corrupt_length = FILE_BYTES;
	f->server.shared->corrupt_times = 1000;
	assert_fails(f, &fetch, -ESTALE, REASON_FILE_CHANGED);
	assert_int_equal(fetch.segments_fetched, 30);
}

static void test_whole_file_is_checked(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 100);
	char name[128];

	inbox_name(f, "part", name);
	f->sha256[0] ^= 1; /* the segments are right, the file is not the signed one */
	assert_fails(f, &fetch, -EBADMSG, REASON_HASH);
	inbox_name(f, "part", name);
	assert_int_equal(faccessat(f->inbox_fd, name, F_OK, 0), -1);
}

/* ---- servers and networks ---- */

static void test_range_ignored(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 1);

	f->server.shared->ignores_range = true;
	assert_fails(f, &fetch, -ENOTSUP, REASON_RANGE_IGNORED);
	assert_int_equal(f->server.shared->requests, 1);
	assert_int_equal(fetch.segments_fetched, 0);
}

static void test_range_ignored_later_is_another_file(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 1);

	f->server.shared->ignore_range_at = 5;
	assert_fails(f, &fetch, -ESTALE, REASON_FILE_CHANGED);
}

/* Two machines behind one name: the bytes are what was signed, whatever they are tagged with. */
static void test_etag_changes(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 1);

	f->server.shared->change_at = 5;
	assert_complete(f, fetch_run(&fetch, &failure));
}

static void test_total_changes(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 1);

	f->server.shared->lie_at = 5;
	assert_fails(f, &fetch, -ESTALE, REASON_FILE_CHANGED);
	assert_int_equal(fetch.segments_fetched, 4);
}

static void test_another_range_than_asked_for(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 1);

	fetch.attempts = 1;
	f->server.shared->shift_at = 5;
	assert_fails(f, &fetch, -EAGAIN, REASON_BAD_ANSWER);
	assert_int_equal(fetch.segments_fetched, 4);
	/* Once is worth another try. */
	fetch = new_fetch(f, 1);
	f->server.shared->shift_at = f->server.shared->requests + 2;
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fetch.segments_again, 0);
}

static void test_a_dead_connection_is_left(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch;

	f->low_speed_sec = 1;
	f->in_flight = 2;
	f->server.shared->stall_at = 2;
	fetch = new_fetch(f, 10);
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fetch.segments_fetched, SEGMENTS);
	assert_true(http_connections(f->http) >= 2);
}

static void test_runs_shrink_and_grow_again(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 0);

	f->server.shared->cut_times = 2;
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(length_of(f, 0), SEGMENTS);
	/* The cut comes at half of the bytes, in the middle of a segment. */
	assert_int_equal(first_of(f, 1), 49);
	assert_int_equal(length_of(f, 1), 32);
	assert_int_equal(first_of(f, 2), 65);
	assert_int_equal(length_of(f, 2), 8);
	assert_int_equal(first_of(f, 3), 73);
	assert_int_equal(length_of(f, 3), SEGMENTS - 73);
	assert_int_equal(fetch.segments_fetched, SEGMENTS);
}

static uint64_t most(void)
{
	return BACKOFF_MAX_MSEC;
}

static void test_waits_grow(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 0);

	fetch.timeout_sec = 600;
	fetch.retry_wait_msec = 90001;
	fetch.random = most;
	f->server.shared->fail_times = 3;
	f->server.shared->fail_status = 500;
	assert_complete(f, fetch_run(&fetch, &failure));
	/* 120000 % 90002, then twice the most that there is, less what the requests took. */
	assert_in_range(slept_msec, 260000, 269998);
}

static void test_cut_connections(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 10);

	fetch.attempts = 2;
	f->server.shared->cut_times = 3; /* more than attempts, but not each brought nothing */
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(fetch.segments_fetched, SEGMENTS);
	assert_int_equal(fetch.segments_again, 0);
}

/* A handshake that breaks off is what any flaky link does. */
static void test_broken_handshakes(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 10);

	f->server.shared->break_times = 3;
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_int_equal(f->server.shared->connections, 4);
}

static void test_broken_handshakes_end_it(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 10);

	f->server.shared->break_times = 1000;
	assert_fails(f, &fetch, -EAGAIN, REASON_NETWORK);
	assert_int_equal(fetch.requests, 4);
}

static void test_no_progress_ends_it(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 1);

	f->server.shared->fail_times = 1000;
	f->server.shared->fail_status = 503;
	assert_fails(f, &fetch, -EAGAIN, REASON_SERVER_ERROR);
	assert_int_equal(f->server.shared->requests, 4);
}

static void test_a_server_that_asks_for_patience_gets_it(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 1);

	f->server.shared->fail_times = 2;
	f->server.shared->fail_status = 503;
	f->server.shared->retry_after_sec = 17;
	assert_complete(f, fetch_run(&fetch, &failure));
	/* What the requests themselves took is off the wait. */
	assert_in_range(slept_msec, 24000, 34000);
}

/* The next run asks again; nothing is gained by asking before the time. */
static void test_patience_ends_with_the_time(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 1);

	f->server.shared->fail_times = 1000;
	f->server.shared->fail_status = 429;
	f->server.shared->retry_after_sec = 3600;
	assert_int_equal(fetch_run(&fetch, &failure), -EAGAIN);
	assert_int_equal(failure.reason, REASON_SERVER_ERROR);
	assert_int_equal(failure.retry_after_sec, 3600);
	assert_int_equal(f->server.shared->requests, 1);
	assert_int_equal(slept_msec, 0);
}

/* Requests that fail together are one failure; but what only the last of them is told holds, too. */
static void test_patience_with_several_in_flight(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch;

	f->in_flight = 2;
	fetch = new_fetch(f, 1);
	fetch.attempts = 2;
	f->server.shared->fail_from = 2;
	f->server.shared->fail_times = 2;
	f->server.shared->fail_status = 503;
	/* It needs a connection of its own, and so comes after the second. */
	f->server.shared->retry_after_at = 3;
	f->server.shared->retry_after_sec = 17;
	assert_complete(f, fetch_run(&fetch, &failure));
	assert_in_range(slept_msec, 16000, 17000);
}

static void test_server_recovers(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct fetch fetch = new_fetch(f, 1);

	f->server.shared->fail_times = 3;
	f->server.shared->fail_status = 500;
	assert_complete(f, fetch_run(&fetch, &failure));
}

static void test_missing_file_is_not_tried_again(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 1);

	f->server.shared->fail_times = 1000;
	f->server.shared->fail_status = 404;
	assert_fails(f, &fetch, -EPROTO, REASON_SERVER_ERROR);
	assert_int_equal(f->server.shared->requests, 1);
	f->server.shared->fail_status = 410;
	fetch = new_fetch(f, 1);
	assert_fails(f, &fetch, -EPROTO, REASON_SERVER_ERROR);
	assert_int_equal(f->server.shared->requests, 2);
}

/* The release is revoked while gateways fetch it: they stop, and what they have waits for somebody to want it. */
static void test_a_file_that_is_withdrawn_is_left(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch;

	f->in_flight = 2;
	f->server.shared->fail_from = 6;
	f->server.shared->fail_times = 1000;
	f->server.shared->fail_status = 404;
	fetch = new_fetch(f, 1);
	assert_fails(f, &fetch, -EPROTO, REASON_SERVER_ERROR);
	assert_in_range(f->server.shared->requests, 6, 7);
	assert_in_range(fetch.segments_fetched, 4, 5);
	assert_int_equal(slept_msec, 0);
}

static void test_no_server(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 1);

	fetch.url = "https://127.0.0.1:1/file";
	assert_fails(f, &fetch, -EAGAIN, REASON_NETWORK);
	assert_int_equal(fetch.requests, 4);
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	struct fetch fetch = new_fetch(f, 1);

	fetch.timeout_sec = 0;
	/* The first instant after the deadline may come at any segment, but it comes. */
	while (true) {
		struct failure failure = { 0 };
		int r = fetch_run(&fetch, &failure);

		if (r < 0) {
			assert_int_equal(r, -ETIMEDOUT);
			assert_int_equal(failure.reason, REASON_NETWORK);
			break;
		}
		assert_int_equal(close(r), 0);
		assert_int_equal(fetch_clean(f->inbox_fd, NULL, 0), 0);
	}
}

/* ---- pure ---- */

static void test_next_run(void **state)
{
	uint8_t have[6] = { 1, 0, 0, 0, 1, 0 }, again[6] = { 0 };
	uint32_t first = 99;

	(void)state;
	assert_int_equal(fetch_next_run(have, again, 6, 10, &first), 3);
	assert_int_equal(first, 1);
	assert_int_equal(fetch_next_run(have, again, 6, 2, &first), 2);
	again[2] = 1;
	assert_int_equal(fetch_next_run(have, again, 6, 10, &first), 1);
	again[1] = 1;
	assert_int_equal(fetch_next_run(have, again, 6, 10, &first), 1);
	assert_int_equal(first, 1);
	have[1] = 1;
	assert_int_equal(fetch_next_run(have, again, 6, 10, &first), 1);
	assert_int_equal(first, 2);
	have[2] = have[3] = 1;
	assert_int_equal(fetch_next_run(have, again, 6, 10, &first), 1);
	assert_int_equal(first, 5);
	have[5] = 1;
	assert_int_equal(fetch_next_run(have, again, 6, 10, &first), 0);
	assert_int_equal(first, 5);
	assert_int_equal(fetch_next_run(have, again, 0, 10, &first), 0);
}

static void test_segment_choice(void **state)
{
	const uint32_t sizes[] = { 4096, 1024, 10240 };

	(void)state;
	assert_int_equal(fetch_choose_segment_bytes(sizes, 3, 1024), 1024);
	assert_int_equal(fetch_choose_segment_bytes(sizes, 3, 10239), 4096);
	assert_int_equal(fetch_choose_segment_bytes(sizes, 3, 65536), 10240);
	assert_int_equal(fetch_choose_segment_bytes(sizes, 3, 512), 1024);
	assert_int_equal(fetch_choose_segment_bytes(sizes, 0, 512), 0);
}

/* ---- without a server ---- */

static void test_copy(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	int from = openat(f->scratch->dirfd, "file", O_RDONLY | O_CLOEXEC);

	assert_complete(
		f, fetch_copy(from, f->inbox_fd, FILE_BYTES, f->sha256, on_progress, f, &failure));
	assert_int_equal(f->told_bytes, FILE_BYTES);
	assert_int_equal(
		fetch_copy(from, f->inbox_fd, FILE_BYTES + 1, f->sha256, NULL, NULL, &failure),
		-EBADMSG);
	assert_int_equal(failure.reason, REASON_LENGTH);
	f->sha256[31] ^= 1;
	assert_int_equal(fetch_copy(from, f->inbox_fd, FILE_BYTES, f->sha256, NULL, NULL, &failure),
			 -EBADMSG);
	assert_int_equal(failure.reason, REASON_HASH);
	assert_int_equal(close(from), 0);
}

static void test_clean_keeps_what_is_wanted(void **state)
{
	struct fixture *f = *state;
	uint8_t keep[2][SHA256_BYTES] = { { 0 } };
	char name[128];

	memcpy(keep[1], f->sha256, sizeof keep[1]);

	inbox_name(f, "part", name);
	scratch_text(f->inbox_fd, name, "x", 0600);
	scratch_text(f->inbox_fd, "0000.part", "x", 0600);
	scratch_text(f->inbox_fd, ".#left", "x", 0600);
	scratch_text(f->inbox_fd, "dir/file", "x", 0600);
	assert_int_equal(symlinkat("/etc/passwd", f->inbox_fd, "link"), 0);
	assert_int_equal(fetch_clean(f->inbox_fd, keep, 2), 0);
	assert_int_equal(faccessat(f->inbox_fd, name, F_OK, 0), 0);
	assert_int_equal(faccessat(f->inbox_fd, "0000.part", F_OK, 0), -1);
	assert_int_equal(faccessat(f->inbox_fd, ".#left", F_OK, 0), -1);
	assert_int_equal(faccessat(f->inbox_fd, "dir", F_OK, 0), -1);
	assert_int_equal(faccessat(f->inbox_fd, "link", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(fetch_clean(f->inbox_fd, NULL, 0), 0);
	assert_int_equal(faccessat(f->inbox_fd, name, F_OK, 0), -1);
}

static void test_remove_takes_one_file(void **state)
{
	struct fixture *f = *state;
	char name[128];

	inbox_name(f, "part", name);
	scratch_text(f->inbox_fd, name, "x", 0600);
	scratch_text(f->inbox_fd, "0000.part", "x", 0600);
	assert_int_equal(fetch_remove(f->inbox_fd, f->sha256), 0);
	assert_int_equal(faccessat(f->inbox_fd, name, F_OK, 0), -1);
	assert_int_equal(faccessat(f->inbox_fd, "0000.part", F_OK, 0), 0);
}

static void test_room(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };

	assert_int_equal(fetch_check_room(f->inbox_fd, 1000, 1000, f->sha256, &failure), 0);
	assert_int_equal(fetch_check_room(f->inbox_fd, 1001, 1000, f->sha256, &failure), -EFBIG);
	assert_int_equal(failure.reason, REASON_LENGTH);
	assert_int_equal(fetch_check_room(f->inbox_fd, 0, 1000, f->sha256, &failure), -EFBIG);
	assert_int_equal(
		fetch_check_room(f->inbox_fd, UINT64_C(1) << 60, UINT64_MAX, f->sha256, &failure),
		-ENOSPC);
	assert_int_equal(failure.reason, REASON_NO_SPACE);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(test_one_segment_a_request),
		WITH_SERVER(test_runs_of_segments),
		WITH_SERVER(test_requests_of_few_bytes),
		WITH_SERVER(test_several_in_flight),
		WITH_SERVER(test_a_bad_server_gets_one_request),
		WITH_SERVER(test_complete_file_costs_no_request),
		WITH_SERVER(test_killed_and_taken_up),
		WITH_SERVER(test_killed_within_a_run),
		WITH_SERVER(test_killed_with_several_in_flight),
		WITH_SERVER(test_map_is_only_a_hint),
		WITH_SERVER(test_a_lost_block_is_fetched_again),
		WITH_SERVER(test_foreign_map_is_not_believed),
		WITH_SERVER(test_map_of_other_segments),
		WITH_SERVER(test_syncs_once_a_second_at_most),
		WITH_SERVER(test_a_part_does_not_stand_in_the_way),
		WITH_SERVER(test_wrong_once_is_fetched_alone),
		WITH_SERVER(test_wrong_twice_fails),
		WITH_SERVER(test_an_answer_of_wrong_bytes_is_given_up),
		WITH_SERVER(test_another_file_of_that_size),
		WITH_SERVER(test_whole_file_is_checked),
		WITH_SERVER(test_range_ignored),
		WITH_SERVER(test_range_ignored_later_is_another_file),
		WITH_SERVER(test_etag_changes),
		WITH_SERVER(test_total_changes),
		WITH_SERVER(test_another_range_than_asked_for),
		WITH_SERVER(test_a_dead_connection_is_left),
		WITH_SERVER(test_runs_shrink_and_grow_again),
		WITH_SERVER(test_waits_grow),
		WITH_SERVER(test_cut_connections),
		WITH_SERVER(test_broken_handshakes),
		WITH_SERVER(test_broken_handshakes_end_it),
		WITH_SERVER(test_no_progress_ends_it),
		WITH_SERVER(test_a_server_that_asks_for_patience_gets_it),
		WITH_SERVER(test_patience_ends_with_the_time),
		WITH_SERVER(test_patience_with_several_in_flight),
		WITH_SERVER(test_server_recovers),
		WITH_SERVER(test_missing_file_is_not_tried_again),
		WITH_SERVER(test_a_file_that_is_withdrawn_is_left),
		WITH_SERVER(test_no_server),
		WITH_SERVER(test_deadline),
		cmocka_unit_test(test_next_run),
		cmocka_unit_test(test_segment_choice),
		WITH_SERVER(test_copy),
		WITH_SERVER(test_clean_keeps_what_is_wanted),
		WITH_SERVER(test_remove_takes_one_file),
		WITH_SERVER(test_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
