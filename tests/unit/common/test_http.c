/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "scratch.h"
#include "tls_server.h"

#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
/* Bytes 2-5 of a file of ten, "0123456789" */
#define PARTIAL	 "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-5/10\r\n"
#define OK_2345	 PARTIAL "Content-Length: 4\r\n\r\n2345"

#define SAYS(text)	    ((struct tls_answer){ .bytes = (text) })
#define ENDS(text, how)	    ((struct tls_answer){ .bytes = (text), .then = (how) })
#define REPEATS(text, what) ((struct tls_answer){ (text), 0, TLS_REPEAT, (what) })

static char pki[64];

static int make_pki(void **state)
{
	(void)state;
	(void)strcpy(pki, "/tmp/unit-pki-XXXXXX");
	assert_non_null(mkdtemp(pki));
	assert_int_equal(tls_make_pki(pki), 0);
	return 0;
}

static int remove_pki(void **state)
{
	(void)state;
	return fs_remove_tree(AT_FDCWD, pki);
}

static const char *pki_file(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % ELEMENTSOF(paths)];

	(void)snprintf(path, sizeof paths[0], "%s/%s", pki, name);
	return path;
}

/* ---- a server with its client ---- */

static struct http_options usual_options(void)
{
	return (struct http_options){
		.ca_file = pki_file("ca.pem"),
		.user_agent = "unit/1",
		.connect_timeout_sec = 20,
		.low_speed_bytes_per_sec = 1,
		.low_speed_sec = 20,
		.request_timeout_sec = 60,
	};
}

struct pair {
	struct tls_server server;
	struct http *http;
};

static void pair_done(struct pair *p)
{
	p->http = http_free(p->http);
	tls_server_stop(&p->server);
}
#define _cleanup_pair_ _cleanup_(pair_done)

static struct pair pair_with(const struct tls_server_options *server,
			     const struct http_options *client, const struct tls_answer *answers,
			     size_t n)
{
	struct pair p = { 0 };

	assert_int_equal(tls_server_start(server, answers, n, &p.server), 0);
	assert_int_equal(http_new(client, &p.http), 0);
	return p;
}

static struct pair pair_of(const struct tls_answer *answers, size_t n)
{
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();

	return pair_with(&server, &client, answers, n);
}
#define PAIR(...)                                                                                  \
	pair_of((const struct tls_answer[]){ __VA_ARGS__ },                                        \
		ELEMENTSOF(((const struct tls_answer[]){ __VA_ARGS__ })))

static int get(struct pair *p, size_t max_bytes, struct http_response *ret)
{
	return http_get(p->http, p->server.url, max_bytes, ret);
}

static struct http_response get_ok(struct pair *p)
{
	struct http_response response = { 0 };
	int r = get(p, 4096, &response);

	if (r < 0)
		fail_msg("%d: %s", r, http_error(p->http));
	return response;
}

/* One answer, one error, and the client can still be used. */
static void get_fails(const struct tls_answer *answer, size_t max_bytes, int error)
{
	_cleanup_pair_ struct pair p = PAIR(*answer, SAYS(OK_HELLO));
	struct http_response response = { .status = -1 };
	int r = get(&p, max_bytes, &response);

	if (r != error)
		fail_msg("%d, not %d: %s: %.200s", r, error, http_error(p.http), answer->bytes);
	assert_int_equal(response.status, -1);
	assert_true(strlen(http_error(p.http)) > 5);
	assert_int_equal(get(&p, max_bytes, &response), max_bytes < 5 ? -EFBIG : 0);
	http_response_done(&response);
}

static void malformed(const char *bytes)
{
	get_fails(&ENDS(bytes, TLS_CLOSE), 4096, -EPROTO);
}

/* ---- answers ---- */

static void test_answer(void **state)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\n"
				     "content-type:  application/json \r\n"
				     "ETag: \"v1\"\r\n"
				     "Last-Modified: Wed, 01 Sep 2021 00:00:00 GMT\r\n"
				     "Content-Length: 5\r\n"
				     "X-Other: y\r\n\r\nhe\0lo";
	_cleanup_pair_ struct pair p = PAIR({ .bytes = answer, .size = sizeof answer - 1 });
	_cleanup_(http_response_done) struct http_response response = get_ok(&p);

	(void)state;
	assert_int_equal(response.status, 200);
	assert_int_equal(response.body_size, 5);
	assert_memory_equal(response.body, "he\0lo", 6);
	assert_string_equal(response.content_type, "application/json");
	assert_string_equal(response.etag, "\"v1\"");
	assert_string_equal(response.last_modified, "Wed, 01 Sep 2021 00:00:00 GMT");
	assert_false(response.has_range);
	assert_int_equal(response.retry_after_sec, 0);
	assert_int_equal(response.received_bytes, sizeof answer - 1);
	assert_int_equal(http_received_bytes(p.http), sizeof answer - 1);
	assert_string_equal(http_error(p.http), "no error");
}

static void test_statuses_are_no_errors(void **state)
{
	_cleanup_pair_ struct pair p = PAIR(
		SAYS("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope"),
		SAYS("HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n"),
		SAYS("HTTP/1.1 204 No Content\r\n\r\n"));
	static const long expected[] = { 404, 500, 204 };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
		_cleanup_(http_response_done) struct http_response response = get_ok(&p);

		assert_int_equal(response.status, expected[i]);
		assert_string_equal(response.body, i == 0 ? "nope" : "");
	}
}

static void test_one_connection_for_many_requests(void **state)
{
	_cleanup_pair_ struct pair p = PAIR(SAYS(OK_HELLO));

	(void)state;
	for (int i = 0; i < 3; i++) {
		_cleanup_(http_response_done) struct http_response response = get_ok(&p);

		assert_string_equal(response.body, "hello");
	}
	assert_int_equal(http_connections(p.http), 1);
	assert_int_equal(p.server.seen->connections, 1);
	assert_int_equal(p.server.seen->requests, 3);
	assert_int_equal(http_received_bytes(p.http), 3 * strlen(OK_HELLO));
}

/* Time is not waited for here, but asked for. */
static uint64_t slept_usec;
int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *until,
			   struct timespec *left);
int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *until,
			   struct timespec *left)
{
	uint64_t until_usec = (uint64_t)until->tv_sec * 1000000 + (uint64_t)until->tv_nsec / 1000;

	(void)left;
	slept_usec += until_usec - (flags & TIMER_ABSTIME ? clock_now_usec(clock) : 0);
	return 0;
}

static void test_the_rate_holds_from_request_to_request(void **state)
{
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();
	const struct tls_answer answers[] = { SAYS(OK_HELLO) };

	(void)state;
	for (uint64_t limit = 0; limit <= 2; limit += 2) {
		_cleanup_pair_ struct pair p = { 0 };

		client.rate_limit_bytes_per_sec = limit;
		p = pair_with(&server, &client, answers, 1);
		slept_usec = 0;
		for (int i = 0; i < 3; i++) {
			_cleanup_(http_response_done) struct http_response response = get_ok(&p);

			assert_string_equal(response.body, "hello");
		}
		/* The last one is not followed by another. What the requests themselves took is off
		 * the wait; no machine needs half of it. */
		if (limit == 0)
			assert_int_equal(slept_usec, 0);
		else
			assert_true(slept_usec > strlen(OK_HELLO) * 1000000 / limit);
	}
}

static void test_fields_that_are_too_long(void **state)
{
	char answer[1024], long_tag[300];
	_cleanup_pair_ struct pair p = { 0 };
	struct http_response response;

	(void)state;
	memset(long_tag, 'e', sizeof long_tag);
	long_tag[sizeof long_tag - 1] = '\0';
	(void)snprintf(answer, sizeof answer,
		       "HTTP/1.1 200 OK\r\nETag: \"%.200s\"\r\nContent-Type: %s\r\n"
		       "Content-Length: 0\r\n\r\n",
		       long_tag, long_tag);
	p = PAIR(SAYS(answer));
	response = get_ok(&p);
	assert_string_equal(response.etag, "");
	assert_string_equal(response.content_type, "");
	http_response_done(&response);
}

static void test_body_limit(void **state)
{
	static const char chunked[] =
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
	_cleanup_pair_ struct pair p = PAIR(SAYS(OK_HELLO), SAYS(chunked));
	struct tls_answer endless = REPEATS("HTTP/1.1 200 OK\r\n\r\n", "endless");
	struct tls_answer endless_chunks = REPEATS(
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n");

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct http_response response = { 0 };

		assert_int_equal(get(&p, 5, &response), 0);
		assert_string_equal(response.body, "hello");
		http_response_done(&response);
	}
	get_fails(&SAYS(OK_HELLO), 4, -EFBIG);
	get_fails(&SAYS(chunked), 4, -EFBIG);
	get_fails(&SAYS(OK_HELLO), 0, -EFBIG);
	get_fails(&endless, 100000, -EFBIG);
	get_fails(&endless_chunks, 100000, -EFBIG);
}

static void test_redirects_are_not_followed(void **state)
{
	static const int statuses[] = { 301, 302, 303, 307, 308 };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(statuses); i++) {
		_cleanup_pair_ struct pair p = { 0 };
		char answer[256];
		struct http_response response;

		(void)snprintf(answer, sizeof answer,
			       "HTTP/1.1 %d Moved\r\nLocation: /elsewhere\r\n"
			       "Content-Length: 0\r\n\r\n",
			       statuses[i]);
		p = PAIR(SAYS(answer));
		assert_int_equal(get(&p, 4096, &response), -EREMCHG);
		assert_int_equal(p.server.seen->requests, 1);
	}
}

static void test_encodings_are_refused(void **state)
{
	(void)state;
	malformed("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello");
	malformed("HTTP/1.1 200 OK\r\ncontent-encoding:br\r\nContent-Length: 5\r\n\r\nhello");
	malformed("HTTP/1.1 404 No\r\nContent-Encoding: identity\r\nContent-Length: 0\r\n\r\n");
	malformed("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
}

static void test_malformed_heads(void **state)
{
	(void)state;
	malformed("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n");
	malformed("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n");
	malformed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!");
	malformed("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello");
	get_fails(&SAYS("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello"),
		  4096, -EFBIG);
	malformed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "5\r\nhello\r\n0\r\n\r\n");
	malformed("HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 0\r\n\r\n");
	malformed("HTTP/1.1 200 OK\r\nHTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n");
	malformed("HTTP/1.1 200 OK\r\nETag: \"a\"\rX: y\r\nContent-Length: 0\r\n\r\n");
	malformed("HTTP/1.1 200 OK\r\nETag: \"\x1b[31m\"\r\nContent-Length: 0\r\n\r\n");
	malformed("220 mail ESMTP\r\n\r\n");
}

static void test_heads_are_bounded(void **state)
{
	struct tls_answer endless = REPEATS("HTTP/1.1 200 OK\r\n", "X: y\r\n");
	struct tls_answer one_line = REPEATS("HTTP/1.1 200 OK\r\nX: ", "yyyyyyyyyyyyyyyy");
	struct tls_answer interim = REPEATS("H", "TTP/1.1 100 Continue\r\n\r\nH");
	char exact[2048] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
	char large[40000] = "HTTP/1.1 200 OK\r\n";
	_cleanup_pair_ struct pair p = { 0 };
	struct http_response response;

	(void)state;
	get_fails(&endless, 4096, -EPROTO);
	get_fails(&one_line, 4096, -EPROTO);
	get_fails(&interim, 4096, -EPROTO);
	/* Few lines, many bytes */
	for (int i = 0; i < 5; i++) {
		char *line = large + strlen(large);

		memset(line, 'x', 4000);
		(void)strcpy(line + 4000, ": y\r\n");
	}
	(void)strcat(large, "\r\n");
	malformed(large);
	/* 64 lines with the status line and the last, empty one; then one more */
	for (int i = 0; i < 61; i++)
		(void)strcat(exact, "X: y\r\n");
	(void)strcat(exact, "\r\n");
	p = PAIR(SAYS(exact));
	response = get_ok(&p);
	http_response_done(&response);
	(void)strcpy(exact + strlen(exact) - 2, "X: y\r\n\r\n");
	malformed(exact);
}

static void test_interim_answers_and_trailers(void **state)
{
	static const char answer[] = "HTTP/1.1 103 Early Hints\r\nETag: \"interim\"\r\n"
				     "Content-Encoding: gzip\r\n\r\n"
				     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				     "5\r\nhello\r\n0\r\nETag: \"trailer\"\r\n\r\n";
	_cleanup_pair_ struct pair p = PAIR(SAYS(answer));
	_cleanup_(http_response_done) struct http_response response = get_ok(&p);

	(void)state;
	assert_int_equal(response.status, 200);
	assert_string_equal(response.body, "hello");
	assert_string_equal(response.etag, "");
}

static void test_connections_that_break(void **state)
{
	(void)state;
	get_fails(&ENDS("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", TLS_CLOSE), 4096,
		  -EIO);
	get_fails(&ENDS("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", TLS_DROP), 4096, -EIO);
	get_fails(&ENDS("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", TLS_CLOSE),
		  4096, -EIO);
}

static void test_silence_times_out(void **state)
{
	const struct tls_answer answers[] = { ENDS(
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", TLS_STALL) };
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();
	_cleanup_pair_ struct pair p = { 0 };
	struct http_response response;

	(void)state;
	client.request_timeout_sec = 1;
	p = pair_with(&server, &client, answers, 1);
	assert_int_equal(get(&p, 4096, &response), -ETIMEDOUT);
}

static uint64_t retry_after(const char *fields)
{
	_cleanup_pair_ struct pair p = { 0 };
	struct http_response response;
	uint64_t seconds;
	char answer[512];

	(void)snprintf(answer, sizeof answer, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n%s\r\n",
		       fields);
	p = PAIR(SAYS(answer));
	response = get_ok(&p);
	assert_int_equal(response.status, 503);
	seconds = response.retry_after_sec;
	http_response_done(&response);
	return seconds;
}

static void count_wait(void *userdata, uint64_t msec, const char *why)
{
	unsigned *n = userdata;

	(*n)++;
	assert_true(msec <= BACKOFF_MAX_MSEC);
	assert_true(strlen(why) > 5);
}

/* How often a client with so many attempts asks a server of these two answers. */
static unsigned asked(const struct tls_answer *first, unsigned attempts, int error, long status)
{
	const struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();
	const struct tls_answer answers[] = { *first, *first, SAYS(OK_HELLO) };
	_cleanup_(http_response_done) struct http_response response = { 0 };
	_cleanup_pair_ struct pair p = { 0 };
	unsigned n_waits = 0;

	client.attempts = attempts;
	client.waiting = count_wait;
	client.userdata = &n_waits;
	p = pair_with(&server, &client, answers, ELEMENTSOF(answers));
	assert_int_equal(get(&p, 4096, &response), error);
	assert_int_equal(response.status, status);
	assert_int_equal(n_waits + 1, p.server.seen->requests);
	return p.server.seen->requests;
}

static void test_what_is_lost_is_asked_for_again(void **state)
{
	const struct tls_answer lost = ENDS("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel",
					    TLS_CLOSE);
	const struct tls_answer down = SAYS("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n");

	(void)state;
	assert_int_equal(asked(&lost, 0, -EIO, 0), 1);
	assert_int_equal(asked(&lost, 2, -EIO, 0), 2);
	assert_int_equal(asked(&lost, 3, 0, 200), 3);
	assert_int_equal(asked(&lost, 9, 0, 200), 3);
	assert_int_equal(asked(&down, 2, 0, 502), 2);
	assert_int_equal(asked(&down, 3, 0, 200), 3);
}

static void test_what_is_meant_is_not_asked_for_again(void **state)
{
	(void)state;
	assert_int_equal(asked(&SAYS("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), 9, 0, 404),
			 1);
	assert_int_equal(asked(&SAYS("HTTP/1.1 503 Busy\r\nRetry-After: 9\r\n"
				     "Content-Length: 0\r\n\r\n"),
			       9, 0, 503),
			 1);
	assert_int_equal(asked(&ENDS("SSH-2.0-OpenSSH\r\n\r\n", TLS_CLOSE), 9, -EPROTO, 0), 1);
}

static void test_time_ends_the_asking(void **state)
{
	const struct tls_server_options server = { .pki_directory = pki };
	const struct tls_answer down = SAYS("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n");
	_cleanup_(http_response_done) struct http_response response = { 0 };
	struct http_options client = usual_options();
	_cleanup_pair_ struct pair p = { 0 };

	(void)state;
	client.attempts = 1000;
	p = pair_with(&server, &client, &down, 1);
	http_limit_time(p.http, 60);
	/* Waits are not waited for here, so it is the first one longer than a minute that ends it. */
	assert_int_equal(get(&p, 4096, &response), 0);
	assert_int_equal(response.status, 502);
	assert_in_range(p.server.seen->requests, 7, 999);
}

static void test_retry_after(void **state)
{
	(void)state;
	assert_int_equal(retry_after("Retry-After: 120\r\n"), 120);
	assert_int_equal(retry_after("retry-after:0\r\n"), 0);
	assert_int_equal(retry_after("Retry-After: 86400\r\n"), 86400);
	assert_int_equal(retry_after("Retry-After: 315360000\r\n"), 86400);
	assert_int_equal(retry_after("Retry-After: 99999999999999999999999\r\n"), 86400);
	assert_int_equal(retry_after("Retry-After: -5\r\n"), 0);
	assert_int_equal(retry_after("Retry-After: soon\r\n"), 0);
	assert_int_equal(retry_after("Retry-After: 12 minutes\r\n"), 0);
	assert_int_equal(retry_after("Retry-After:\r\n"), 0);
	/* A date counts from the server's own time, */
	assert_int_equal(retry_after("Date: Wed, 01 Sep 2021 00:00:00 GMT\r\n"
				     "Retry-After: Wed, 01 Sep 2021 00:05:00 GMT\r\n"),
			 300);
	assert_int_equal(retry_after("Retry-After: Wed, 01 Sep 2021 00:05:00 GMT\r\n"
				     "Date: Wed, 01 Sep 2021 00:06:00 GMT\r\n"),
			 0);
	/* or from ours if it does not tell. */
	assert_int_equal(retry_after("Retry-After: Wed, 01 Sep 2021 00:05:00 GMT\r\n"), 0);
	assert_int_equal(retry_after("Retry-After: Sat, 01 Sep 2170 00:05:00 GMT\r\n"), 86400);
	assert_int_equal(retry_after("Retry-After: Sat, 01 Sep 2170 00:05:00 GMT and more\r\n"), 0);
}

/* ---- requests ---- */

static void has(const struct pair *p, const char *text)
{
	if (!strcasestr(p->server.seen->request, text))
		fail_msg("'%s' is not in: %s", text, p->server.seen->request);
}

static void has_not(const struct pair *p, const char *text)
{
	if (strcasestr(p->server.seen->request, text))
		fail_msg("'%s' is in: %s", text, p->server.seen->request);
}

static void test_what_is_sent(void **state)
{
	const struct tls_answer answers[] = { SAYS(OK_HELLO) };
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();
	_cleanup_pair_ struct pair p = { 0 };
	struct http_response response;

	(void)state;
	client.bearer_token = "s3cret";
	p = pair_with(&server, &client, answers, 1);
	response = get_ok(&p);
	http_response_done(&response);
	has(&p, "GET / HTTP/1.1\r\n");
	has(&p, "\r\nUser-Agent: unit/1\r\n");
	has(&p, "\r\nAuthorization: Bearer s3cret\r\n");
	has_not(&p, "Accept-Encoding");
	has_not(&p, "Cookie");
	has_not(&p, "Range");
	has_not(&p, "Content-Type");
}

static void send_ok(struct pair *p, const char *method, const char *body)
{
	struct http_response response;

	assert_int_equal(http_send(p->http, method, p->server.url, body, body ? strlen(body) : 0,
				   4096, &response),
			 0);
	assert_string_equal(response.body, "hello");
	http_response_done(&response);
}

static void test_methods(void **state)
{
	_cleanup_pair_ struct pair p = PAIR(SAYS(OK_HELLO));
	struct http_response response;

	(void)state;
	send_ok(&p, "POST", "{\"a\":1}");
	has(&p, "POST / HTTP/1.1\r\n");
	has(&p, "\r\nContent-Type: application/json\r\n");
	has(&p, "\r\nContent-Length: 7\r\n");
	has(&p, "\r\n\r\n{\"a\":1}");
	send_ok(&p, "PUT", "{}");
	has(&p, "PUT / HTTP/1.1\r\n");
	has(&p, "\r\n\r\n{}");
	send_ok(&p, "PUT", NULL);
	has(&p, "PUT / HTTP/1.1\r\n");
	has(&p, "\r\nContent-Length: 0\r\n");
	send_ok(&p, "DELETE", NULL);
	has(&p, "DELETE / HTTP/1.1\r\n");
	has_not(&p, "Content-Length");
	/* Nothing of all that is left over. */
	response = get_ok(&p);
	http_response_done(&response);
	has(&p, "GET / HTTP/1.1\r\n");
	has_not(&p, "Content-");
	assert_int_equal(http_connections(p.http), 1);
	assert_int_equal(http_send(p.http, "HEAD", p.server.url, NULL, 0, 1, &response), -EINVAL);
	assert_int_equal(http_send(p.http, "GET\r\nX: y", p.server.url, NULL, 0, 1, &response),
			 -EINVAL);
	assert_int_equal(p.server.seen->requests, 5);
}

static void test_parts(void **state)
{
	_cleanup_pair_ struct pair p = PAIR(SAYS(OK_HELLO));
	struct http_response response;

	(void)state;
	assert_int_equal(http_send_part(p.http, p.server.url, "four", 4, 10, 20, 4096, &response),
			 0);
	assert_string_equal(response.body, "hello");
	http_response_done(&response);
	has(&p, "PUT / HTTP/1.1\r\n");
	has(&p, "\r\nContent-Type: application/octet-stream\r\n");
	has(&p, "\r\nContent-Range: bytes 10-13/20\r\n");
	has(&p, "\r\nContent-Length: 4\r\n");
	has_not(&p, "Expect");
	has(&p, "\r\n\r\nfour");
	send_ok(&p, "PUT", "{}");
	has_not(&p, "Content-Range");
	assert_int_equal(http_send_part(p.http, p.server.url, "", 0, 0, 20, 1, &response), -EINVAL);
	assert_int_equal(http_send_part(p.http, p.server.url, "x", 1, 20, 20, 1, &response),
			 -EINVAL);
	assert_int_equal(http_send_part(p.http, p.server.url, "xx", 2, 19, 20, 1, &response),
			 -EINVAL);
	assert_int_equal(
		http_send_part(p.http, p.server.url, "xx", 2, UINT64_MAX, 20, 1, &response),
		-EINVAL);
	assert_int_equal(p.server.seen->requests, 2);
}

static void test_large_bodies_do_not_wait(void **state)
{
	_cleanup_pair_ struct pair p = PAIR(SAYS(OK_HELLO));
	const size_t size = 3u << 19;
	_cleanup_free_ char *body = malloc(size + 1);

	(void)state;
	assert_non_null(body);
	memset(body, 'b', size);
	body[size] = '\0';
	send_ok(&p, "POST", body);
	has(&p, "\r\nContent-Length: 1572864\r\n");
	has_not(&p, "Expect");
}

static void test_urls_that_are_refused(void **state)
{
	static const char *const urls[] = {
		"http://127.0.0.1:9/",
		"ftp://127.0.0.1/x",
		"file:///etc/passwd",
		"https://user:secret@127.0.0.1/",
		"https://",
		"",
		"not a url",
	};
	struct http_options client = usual_options();
	_cleanup_(http_freep) struct http *h = NULL;

	(void)state;
	assert_int_equal(http_new(&client, &h), 0);
	for (size_t i = 0; i < ELEMENTSOF(urls); i++) {
		struct http_response response;
		int r = http_get(h, urls[i], 100, &response);

		if (r != -EINVAL)
			fail_msg("%d for '%s': %s", r, urls[i], http_error(h));
	}
	assert_int_equal(http_connections(h), 0);
}

static void test_options_that_are_refused(void **state)
{
	struct http_options client = usual_options();
	struct http *h = NULL;

	(void)state;
	client.unix_socket = "/run/x";
	assert_int_equal(http_new(&client, &h), -EINVAL);
	client.unix_socket = NULL;
	client.client_cert = pki_file("client.pem");
	assert_int_equal(http_new(&client, &h), -EINVAL);
	client.client_cert = NULL;
	client.bearer_token = "x\r\nHost: y";
	assert_int_equal(http_new(&client, &h), -EINVAL);
	client.bearer_token = NULL;
	client.user_agent = "x\ny";
	assert_int_equal(http_new(&client, &h), -EINVAL);
	assert_null(h);
}

/* ---- ranges ---- */

struct sink {
	char bytes[256];
	size_t size;
	int error;
};

static int sink_write(void *userdata, const void *bytes, size_t size)
{
	struct sink *s = userdata;

	if (s->error)
		return s->error;
	assert_true(s->size + size < sizeof s->bytes);
	memcpy(s->bytes + s->size, bytes, size);
	s->size += size;
	s->bytes[s->size] = '\0';
	return 0;
}

/* Asks for one range and waits until it has ended. */
static int ask(struct pair *p, const struct http_range *range, struct http_response *ret)
{
	struct http_ended ended = { .error = 1 };
	int r = http_start_range(p->http, range);

	while (r == 0)
		r = http_wait(p->http, 1000, &ended);
	if (r < 0)
		return r;
	assert_int_equal(r, 1);
	assert_ptr_equal(ended.userdata, range->userdata);
	assert_int_equal(http_wait(p->http, 0, &ended), -ENOENT);
	if (ended.error == 0)
		*ret = ended.response;
	return ended.error;
}

static int get_range(struct pair *p, const char *if_range, struct sink *sink,
		     struct http_response *ret)
{
	return ask(p,
		   &(struct http_range){ .url = p->server.url,
					 .first = 2,
					 .last = 5,
					 .total = 10,
					 .if_range = if_range,
					 .sink = sink_write,
					 .userdata = sink },
		   ret);
}

static void test_range(void **state)
{
	_cleanup_pair_ struct pair p = PAIR(
		SAYS(OK_2345),
		SAYS(PARTIAL "Transfer-Encoding: chunked\r\nETag: \"v1\"\r\n\r\n"
			     "1\r\n2\r\n3\r\n345\r\n0\r\n\r\n"),
		ENDS(PARTIAL "\r\n2345", TLS_CLOSE));

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct http_response response;
		struct sink sink = { .size = 0 };

		assert_int_equal(get_range(&p, i == 1 ? "\"v1\"" : NULL, &sink, &response), 0);
		assert_string_equal(sink.bytes, "2345");
		assert_int_equal(response.status, 206);
		assert_true(response.has_range);
		assert_int_equal(response.range_first, 2);
		assert_int_equal(response.range_last, 5);
		assert_int_equal(response.range_total, 10);
		assert_null(response.body);
		has(&p, "\r\nRange: bytes=2-5\r\n");
		if (i == 1)
			has(&p, "\r\nIf-Range: \"v1\"\r\n");
		else
			has_not(&p, "If-Range");
	}
	assert_int_equal(http_connections(p.http), 1);
}

/* Of two, some servers honour the first, some the last, and what is joined is no file. */
static void has_one_range(const struct pair *p)
{
	const char *range = strcasestr(p->server.seen->request, "\r\nRange:");

	has(p, "\r\nRange: bytes=2-5\r\n");
	if (strcasestr(range + 1, "\r\nRange:"))
		fail_msg("two ranges: %s", p->server.seen->request);
}

static void test_a_request_again_has_one_range(void **state)
{
	_cleanup_pair_ struct pair p = PAIR(ENDS(PARTIAL "Content-Length: 4\r\n\r\n23", TLS_DROP),
					    SAYS("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
					    SAYS(OK_2345));

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct http_response response;
		struct sink sink = { .size = 0 };

		assert_int_equal(get_range(&p, NULL, &sink, &response) == 0, i > 0);
		has_one_range(&p);
	}
	assert_int_equal(p.server.seen->requests, 3);
}

/* One answer to the request for bytes 2-5/10, the error, and how much the sink may have seen. */
static void range_fails(const char *bytes, const char *if_range, int error, size_t max_seen)
{
	_cleanup_pair_ struct pair p = PAIR(ENDS(bytes, TLS_CLOSE), SAYS(OK_2345));
	struct http_response response = { .status = -1 };
	struct sink sink = { .size = 0 };
	int r = get_range(&p, if_range, &sink, &response);

	if (r != error || sink.size > max_seen)
		fail_msg("%d, not %d, %zu bytes: %s: %s", r, error, sink.size, http_error(p.http),
			 bytes);
	assert_int_equal(response.status, -1);
	sink.size = 0;
	assert_int_equal(get_range(&p, NULL, &sink, &response), 0);
	assert_string_equal(sink.bytes, "2345");
}

#define P206 "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n"

static void test_range_ignored(void **state)
{
	static const char whole[] =
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"v1\"\r\n"
		"Last-Modified: Wed, 01 Sep 2021 00:00:00 GMT\r\n\r\n0123456789";

	(void)state;
	range_fails(whole, NULL, -ENOTSUP, 0);
	range_fails("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n2345", NULL, -ENOTSUP, 0);
	range_fails(whole, "\"v1\"", -ENOTSUP, 0);
	range_fails(whole, "Wed, 01 Sep 2021 00:00:00 GMT", -ENOTSUP, 0);
	/* With If-Range it is how a server says that the file is another one. */
	range_fails(whole, "\"v0\"", -ESTALE, 0);
	range_fails(whole, "Wed, 01 Sep 2020 00:00:00 GMT", -ESTALE, 0);
}

static void test_another_range(void **state)
{
	(void)state;
	range_fails(P206 "Content-Range: bytes 0-3/10\r\n\r\n0123", NULL, -EPROTO, 0);
	range_fails(P206 "Content-Range: bytes 1-5/10\r\n\r\n1234", NULL, -EPROTO, 0);
	range_fails(P206 "Content-Range: bytes 2-6/10\r\n\r\n2345", NULL, -EPROTO, 0);
	range_fails(P206 "Content-Range: bytes 2-4/10\r\n\r\n2345", NULL, -EPROTO, 0);
	range_fails(P206 "Content-Range: bytes 2-5/11\r\n\r\n2345", NULL, -ESTALE, 0);
	range_fails(P206 "Content-Range: bytes 2-5/10\r\nETag: \"v2\"\r\n\r\n2345", "\"v1\"",
		    -ESTALE, 0);
}

static void test_malformed_ranges(void **state)
{
	static const char *const values[] = {
		"",
		"bytes",
		"bytes 2-5",
		"bytes 2-5/*",
		"bytes */10",
		"bytes 5-2/10",
		"bytes 2-10/10",
		"bytes 2-5/10x",
		"items 2-5/10",
		"bytes=2-5/10",
		"bytes +2-5/10",
		"bytes 2 - 5/10",
		"bytes 2-5/10, 7-8/10",
		"bytes 18446744073709551618-5/10",
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(values); i++) {
		char answer[256];

		(void)snprintf(answer, sizeof answer, P206 "Content-Range: %s\r\n\r\n2345",
			       values[i]);
		range_fails(answer, NULL, -EPROTO, 0);
	}
	range_fails(P206 "\r\n2345", NULL, -EPROTO, 0);
	range_fails(P206 "Content-Range: bytes 2-5/10\r\nContent-Range: bytes 2-5/10\r\n\r\n2345",
		    NULL, -EPROTO, 0);
	range_fails(
		"HTTP/1.1 206 P\r\nContent-Type: multipart/byteranges; boundary=b\r\n\r\n--b\r\n",
		NULL, -EPROTO, 0);
	range_fails("HTTP/1.1 204 No Content\r\n\r\n", NULL, -EPROTO, 0);
	range_fails(P206 "Content-Range: bytes 2-5/10\r\nContent-Encoding: gzip\r\n\r\n2345", NULL,
		    -EPROTO, 0);
}

static void test_bodies_of_another_length(void **state)
{
	(void)state;
	range_fails(PARTIAL "Content-Length: 5\r\n\r\n23456", NULL, -EPROTO, 0);
	range_fails(PARTIAL "Content-Length: 3\r\n\r\n234", NULL, -EPROTO, 0);
	range_fails(PARTIAL "\r\n23456", NULL, -EPROTO, 4);
	range_fails(PARTIAL "Transfer-Encoding: chunked\r\n\r\n4\r\n2345\r\n1\r\n6\r\n0\r\n\r\n",
		    NULL, -EPROTO, 4);
	range_fails(PARTIAL "\r\n234", NULL, -EIO, 3);
	range_fails(PARTIAL "Transfer-Encoding: chunked\r\n\r\n3\r\n234\r\n0\r\n\r\n", NULL, -EIO,
		    3);
	range_fails(PARTIAL "Content-Length: 4\r\n\r\n23", NULL, -EIO, 2);
	range_fails("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", NULL,
		    -EREMCHG, 0);
}

static void test_endless_ranges(void **state)
{
	_cleanup_pair_ struct pair p = PAIR(REPEATS(PARTIAL "\r\n", "2345"));
	struct sink sink = { .size = 0 };
	struct http_response response;

	(void)state;
	assert_int_equal(get_range(&p, NULL, &sink, &response), -EPROTO);
	assert_true(sink.size <= 4);
}

static void test_range_statuses(void **state)
{
	_cleanup_pair_ struct pair p = PAIR(
		SAYS("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope"),
		SAYS("HTTP/1.1 416 No\r\nContent-Range: bytes */7\r\nContent-Length: "
		     "4\r\n\r\nnope"),
		REPEATS("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n", "busy, busy, "),
		SAYS(OK_2345));
	static const long expected[] = { 404, 416, 503, 206 };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
		struct http_response response;
		struct sink sink = { .size = 0 };

		assert_int_equal(get_range(&p, NULL, &sink, &response), 0);
		assert_int_equal(response.status, expected[i]);
		assert_int_equal(response.retry_after_sec, expected[i] == 503 ? 7 : 0);
		assert_int_equal(response.has_range, expected[i] == 206);
		assert_null(response.body);
		assert_int_equal(sink.size, expected[i] == 206 ? 4 : 0);
	}
	/* The short pages were read to their end, the endless one was not. */
	assert_int_equal(http_connections(p.http), 2);
}

static void test_the_sink_may_stop_it(void **state)
{
	_cleanup_pair_ struct pair p = PAIR(SAYS(OK_2345));
	struct sink sink = { .error = -ENOSPC };
	struct http_response response;

	(void)state;
	assert_int_equal(get_range(&p, NULL, &sink, &response), -ENOSPC);
	sink.error = -ECANCELED;
	assert_int_equal(get_range(&p, NULL, &sink, &response), -ECANCELED);
	sink.error = 0;
	assert_int_equal(get_range(&p, NULL, &sink, &response), 0);
	http_response_done(&response);
	/* Nothing of a range is left over for the next request. */
	response = get_ok(&p);
	http_response_done(&response);
	has_not(&p, "Range");
}

static void test_ranges_that_are_none(void **state)
{
	_cleanup_pair_ struct pair p = PAIR(SAYS(OK_2345));
	struct sink s = { .size = 0 };
	struct http_range range = {
		.url = p.server.url, .total = 10, .sink = sink_write, .userdata = &s
	};
	struct http_response r;

	(void)state;
	range.first = 5;
	range.last = 4;
	assert_int_equal(ask(&p, &range, &r), -EINVAL);
	range.last = 10;
	assert_int_equal(ask(&p, &range, &r), -EINVAL);
	range.last = 9;
	range.if_range = "\"a\"\r\nX: y";
	assert_int_equal(ask(&p, &range, &r), -EINVAL);
	assert_int_equal(p.server.seen->connections, 0);
}

/* ---- ranges in flight ---- */

#define BODY_0_4 "HTTP/1.1 206 P\r\nContent-Range: bytes 0-4/10\r\nContent-Length: 5\r\n\r\n01234"
#define STALLED	 "HTTP/1.1 206 P\r\nContent-Range: bytes 0-4/10\r\nContent-Length: 5\r\n\r\n01"

static struct http_range range_0_4(const struct pair *p, struct sink *sink)
{
	return (struct http_range){
		.url = p->server.url, .last = 4, .total = 10, .sink = sink_write, .userdata = sink
	};
}

static int start_0_4(struct pair *p, struct sink *sink)
{
	const struct http_range range = range_0_4(p, sink);

	return http_start_range(p->http, &range);
}

static void test_ranges_in_flight(void **state)
{
	_cleanup_pair_ struct pair p = PAIR(SAYS(BODY_0_4));
	struct sink sinks[HTTP_MAX_IN_FLIGHT] = { 0 };
	struct http_response response;
	struct http_ended ended = { .userdata = NULL };
	uint64_t connections;
	unsigned n = 0;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(sinks); i++)
		assert_int_equal(start_0_4(&p, &sinks[i]), 0);
	assert_int_equal(start_0_4(&p, &sinks[0]), -EBUSY);
	assert_int_equal(get(&p, 100, &response), -EBUSY);
	while (http_wait(p.http, 1000, &ended) >= 0) {
		struct sink *sink = ended.userdata;

		ended.userdata = NULL;
		if (!sink)
			continue;
		assert_int_equal(ended.error, 0);
		assert_int_equal(ended.response.status, 206);
		assert_string_equal(sink->bytes, "01234");
		n += sink->size == 5;
		sink->size = 0; /* told once */
	}
	assert_int_equal(n, HTTP_MAX_IN_FLIGHT);
	assert_int_equal(p.server.seen->requests, HTTP_MAX_IN_FLIGHT);
	/* HTTP/1.1 here: as many connections as were needed, and they are kept. */
	connections = http_connections(p.http);
	assert_in_range(connections, 1, HTTP_MAX_IN_FLIGHT);
	assert_int_equal(start_0_4(&p, &sinks[0]), 0);
	while (http_wait(p.http, 1000, &ended) == 0)
		;
	assert_int_equal(http_connections(p.http), connections);
}

static void test_cancelled_ranges(void **state)
{
	_cleanup_pair_ struct pair p = PAIR(ENDS(STALLED, TLS_STALL), SAYS(OK_HELLO));
	struct sink sinks[2] = { 0 };
	struct http_response response;
	struct http_ended ended;

	(void)state;
	assert_int_equal(start_0_4(&p, &sinks[0]), 0);
	while (sinks[0].size == 0)
		assert_int_equal(http_wait(p.http, 1000, &ended), 0);
	http_cancel(p.http);
	assert_int_equal(http_wait(p.http, 1000, &ended), -ENOENT);
	assert_string_equal(sinks[0].bytes, "01");
	assert_true(http_received_bytes(p.http) > 2);
	response = get_ok(&p);
	http_response_done(&response);
}

/* The first stands still; so what is asked for next goes over a connection of its own. */
static void test_a_standstill_ends_all(void **state)
{
	const struct tls_answer answers[] = { ENDS(STALLED, TLS_STALL), ENDS(STALLED, TLS_STALL),
					      SAYS(BODY_0_4) };
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();
	_cleanup_pair_ struct pair p = { 0 };
	struct sink sinks[3] = { 0 };
	struct http_ended ended;

	(void)state;
	client.low_speed_bytes_per_sec = 1000;
	client.low_speed_sec = 1;
	p = pair_with(&server, &client, answers, ELEMENTSOF(answers));
	for (int i = 0; i < 2; i++)
		assert_int_equal(start_0_4(&p, &sinks[i]), 0);
	for (int i = 0; i < 2; i++) {
		while (http_wait(p.http, 1000, &ended) == 0)
			;
		assert_int_equal(ended.error, -ETIMEDOUT);
		assert_int_equal(ended.response.status, 206);
		assert_non_null(strstr(http_error(p.http), "slower than 1000"));
	}
	assert_int_equal(start_0_4(&p, &sinks[2]), 0);
	while (http_wait(p.http, 1000, &ended) == 0)
		;
	assert_int_equal(ended.error, 0);
	assert_int_equal(p.server.seen->connections, 3);
}

static void test_time_for_a_phase(void **state)
{
	const struct tls_answer answers[] = { ENDS(STALLED, TLS_STALL), SAYS(OK_HELLO) };
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();
	_cleanup_pair_ struct pair p = { 0 };
	struct sink sink = { .size = 0 };
	struct http_response response;
	struct http_range range;

	(void)state;
	p = pair_with(&server, &client, answers, ELEMENTSOF(answers));
	range = range_0_4(&p, &sink);
	http_limit_time(p.http, 1);
	assert_int_equal(ask(&p, &range, &response), -ETIMEDOUT);
	/* It is over for all that follows, until there is another one. */
	assert_int_equal(get(&p, 100, &response), -ETIMEDOUT);
	assert_int_equal(p.server.seen->requests, 1);
	http_limit_time(p.http, 0);
	response = get_ok(&p);
	http_response_done(&response);
}

/* While one range stands, another one needs a connection of its own; its session is the same. */
static void test_ranges_share_a_session(void **state)
{
	_cleanup_pair_ struct pair p = PAIR(ENDS(STALLED, TLS_STALL), SAYS(BODY_0_4));
	struct sink sinks[2] = { 0 };
	struct http_ended ended;

	(void)state;
	assert_int_equal(start_0_4(&p, &sinks[0]), 0);
	while (sinks[0].size == 0)
		assert_int_equal(http_wait(p.http, 1000, &ended), 0);
	assert_int_equal(start_0_4(&p, &sinks[1]), 0);
	while (http_wait(p.http, 1000, &ended) == 0)
		;
	assert_ptr_equal(ended.userdata, &sinks[1]);
	assert_int_equal(ended.error, 0);
	assert_int_equal(p.server.seen->connections, 2);
	assert_int_equal(p.server.seen->resumed, 1);
}

/* The certificate goes over the air once. */
static void test_sessions_are_resumed(void **state)
{
	static const char closing[] =
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
	_cleanup_pair_ struct pair p = PAIR(ENDS(closing, TLS_CLOSE));

	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		_cleanup_(http_response_done) struct http_response response = get_ok(&p);

		assert_string_equal(response.body, "hello");
		assert_int_equal(http_connections(p.http), i);
		assert_int_equal(p.server.seen->resumed, i - 1);
	}
}

/* ---- redirects ---- */

#define MOVED(where) "HTTP/1.1 302 Found\r\nLocation: " where "\r\nContent-Length: 5\r\n\r\nthere"

/* A server that redirects with this Location, and says hello when it is asked again. */
static int get_moved(const char *location, const char *allowed_hosts, struct pair *p)
{
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();
	struct http_response response = { 0 };
	char answer[512];
	int r;

	(void)snprintf(answer, sizeof answer,
		       "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 5\r\n\r\nthere",
		       location);
	client.allowed_hosts = allowed_hosts;
	client.bearer_token = "s3cret";
	*p = pair_with(&server, &client,
		       (const struct tls_answer[]){ SAYS(answer), SAYS(OK_HELLO) }, 2);
	r = get(p, 100, &response);
	if (r == 0)
		assert_string_equal(response.body, "hello");
	http_response_done(&response);
	return r;
}

static void test_redirects_to_allowed_hosts(void **state)
{
	static const struct {
		const char *location, *allowed_hosts;
		int expected;
	} cases[] = {
		{ "/elsewhere", "127.0.0.1", 0 },
		{ "/elsewhere", "other 127.0.0.1 another", 0 },
		{ "/elsewhere", "other", -EREMCHG },
		{ "/elsewhere", "", -EREMCHG },
		{ "/elsewhere", NULL, -EREMCHG },
		{ "https://localhost:1/x", "127.0.0.1", -EREMCHG },
		{ "http://127.0.0.1:1/x", "127.0.0.1", -EREMCHG },
		{ "file:///etc/passwd", "127.0.0.1", -EREMCHG },
		{ "https://user:pw@127.0.0.1:1/x", "127.0.0.1", -EREMCHG },
		{ "https://127.0.0.1.example.com/", "127.0.0.1", -EREMCHG },
		{ "", "127.0.0.1", -EREMCHG },
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_pair_ struct pair p = { 0 };
		int r = get_moved(cases[i].location, cases[i].allowed_hosts, &p);

		if (r != cases[i].expected)
			fail_msg("%d for '%s': %s", r, cases[i].location, http_error(p.http));
		assert_int_equal(p.server.seen->requests, r == 0 ? 2 : 1);
		if (r == 0) {
			has(&p, "GET /elsewhere HTTP/1.1\r\n");
			has_not(&p, "Authorization");
		}
	}
}

static void test_redirects_come_to_an_end(void **state)
{
	const struct tls_answer answers[] = { SAYS(MOVED("/a")), SAYS(MOVED("/b")),
					      SAYS(MOVED("/c")), SAYS(MOVED("/d")),
					      SAYS(OK_HELLO) };
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();
	struct http_response response;

	(void)state;
	client.allowed_hosts = "127.0.0.1";
	for (size_t first = 0; first < 2; first++) {
		_cleanup_pair_ struct pair p = pair_with(&server, &client, answers + first,
							 ELEMENTSOF(answers) - first);

		assert_int_equal(get(&p, 100, &response), first == 0 ? -EREMCHG : 0);
		assert_int_equal(p.server.seen->requests, 1 + HTTP_MAX_REDIRECTS);
		if (first > 0)
			http_response_done(&response);
	}
}

/* What has a body is meant for one server only. */
static void test_bodies_are_not_redirected(void **state)
{
	const struct tls_answer answers[] = { SAYS(MOVED("/a")), SAYS(OK_HELLO) };
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();
	_cleanup_pair_ struct pair p = { 0 };
	struct http_response response;

	(void)state;
	client.allowed_hosts = "127.0.0.1";
	p = pair_with(&server, &client, answers, ELEMENTSOF(answers));
	assert_int_equal(http_send(p.http, "POST", p.server.url, "{}", 2, 100, &response),
			 -EREMCHG);
	assert_int_equal(p.server.seen->requests, 1);
}

static void test_a_redirected_range(void **state)
{
	const struct tls_answer answers[] = { SAYS(MOVED("/a")), SAYS(OK_2345) };
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();
	_cleanup_pair_ struct pair p = { 0 };
	struct sink sink = { .size = 0 };
	struct http_response response;

	(void)state;
	client.allowed_hosts = "127.0.0.1";
	p = pair_with(&server, &client, answers, ELEMENTSOF(answers));
	assert_int_equal(get_range(&p, NULL, &sink, &response), 0);
	assert_string_equal(sink.bytes, "2345");
	has(&p, "GET /a HTTP/1.1\r\n");
	has_one_range(&p);
}

/* ---- trust and the way there ---- */

static int get_from_saying(const struct tls_server_options *server,
			   const struct http_options *client, const char *words)
{
	const struct tls_answer answers[] = { SAYS(OK_HELLO) };
	_cleanup_pair_ struct pair p = pair_with(server, client, answers, 1);
	struct http_response response = { 0 };
	int r = get(&p, 100, &response);

	http_response_done(&response);
	assert_int_equal(p.server.seen->requests, r == 0);
	if (!strstr(http_error(p.http), words))
		fail_msg("'%s' does not say '%s'", http_error(p.http), words);
	return r;
}

static int get_from(const struct tls_server_options *server, const struct http_options *client)
{
	return get_from_saying(server, client, "");
}

static void test_certificates(void **state)
{
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();

	(void)state;
	assert_int_equal(
		tls_make_certificate(pki, "elsewhere", "DNS:example.com,IP:127.0.0.2", 86400), 0);
	assert_int_equal(tls_make_certificate(pki, "expired", "IP:127.0.0.1", -60), 0);
	assert_int_equal(get_from(&server, &client), 0);
	client.ca_file = pki_file("other-ca.pem");
	assert_int_equal(get_from(&server, &client), -EKEYREJECTED);
	client.ca_file = NULL;
	assert_int_equal(get_from(&server, &client), -EKEYREJECTED);
	client.ca_file = pki_file("missing.pem");
	assert_int_equal(get_from(&server, &client), -EKEYREJECTED);
	client.ca_file = pki_file("ca.pem");
	server.certificate = "elsewhere";
	assert_int_equal(get_from(&server, &client), -EKEYREJECTED);
	server.certificate = "expired";
	assert_int_equal(get_from(&server, &client), -EKEYEXPIRED);
}

#define YEAR_SEC 31536000

/* On a machine that has lost its clock: later than known is no reason to refuse, over is one. */
static void test_certificates_by_a_given_time(void **state)
{
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();

	(void)state;
	assert_int_equal(tls_make_certificate(pki, "over", "IP:127.0.0.1", -60), 0);
	client.now_sec = 60;
	assert_int_equal(get_from(&server, &client), 0);
	client.now_sec = time(NULL) - 10 * YEAR_SEC;
	assert_int_equal(get_from(&server, &client), 0);
	server.certificate = "over";
	assert_int_equal(get_from(&server, &client), 0);
	client.now_sec = time(NULL);
	assert_int_equal(get_from(&server, &client), -EKEYEXPIRED);
	server.certificate = NULL;
	assert_int_equal(get_from(&server, &client), 0);
	client.now_sec = time(NULL) + 10 * YEAR_SEC;
	assert_int_equal(get_from(&server, &client), -EKEYEXPIRED);
}

/* Nothing else is forgiven with it. */
static void test_a_given_time_forgives_nothing_else(void **state)
{
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();

	(void)state;
	client.now_sec = 60;
	client.ca_file = pki_file("other-ca.pem");
	assert_int_equal(get_from(&server, &client), -EKEYREJECTED);
	client.ca_file = NULL;
	assert_int_equal(get_from(&server, &client), -EKEYREJECTED);
	client.ca_file = pki_file("ca.pem");
	assert_int_equal(
		tls_make_certificate(pki, "other-host", "DNS:example.com,IP:127.0.0.2", 86400), 0);
	server.certificate = "other-host";
	assert_int_equal(get_from(&server, &client), -EKEYREJECTED);
	/* Signed by one that is no CA. */
	server.certificate = "client";
	assert_int_equal(get_from(&server, &client), -EKEYREJECTED);
}

static void test_old_tls_is_refused(void **state)
{
	struct tls_server_options server = { .pki_directory = pki, .tls11_only = true };
	struct http_options client = usual_options();

	(void)state;
	assert_int_equal(get_from_saying(&server, &client, "the server speaks no TLS 1.2 or newer"),
			 -ECONNABORTED);
}

static void test_handshakes_that_break_off(void **state)
{
	static const struct {
		struct tls_answer babble;
		const char *words;
	} cases[] = {
		{ { .bytes = "" }, "the TLS handshake failed: " },
		{ { .bytes = "HTTP/1.1 400 Bad Request\r\n\r\n" }, "the TLS handshake failed: " },
		/* Alerts, both fatal: internal error, protocol version. */
		{ { .bytes = "\x15\3\1\0\2\2\x50", .size = 7 }, "the TLS handshake failed: " },
		{ { .bytes = "\x15\3\1\0\2\2\x46", .size = 7 }, "speaks no TLS 1.2 or newer: " },
	};
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		server.babble = &cases[i].babble;
		assert_int_equal(get_from_saying(&server, &client, cases[i].words), -ECONNABORTED);
	}
}

static void test_client_certificate(void **state)
{
	struct tls_server_options server = { .pki_directory = pki,
					     .wants_client_certificate = true };
	struct http_options client = usual_options();

	(void)state;
	assert_true(get_from(&server, &client) < 0);
	client.client_cert = pki_file("client.pem");
	client.client_key = pki_file("client.key");
	assert_int_equal(get_from(&server, &client), 0);
}

static void test_nobody_listens(void **state)
{
	struct http_options client = usual_options();
	_cleanup_(http_freep) struct http *h = NULL;
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof address;
	struct http_response response;
	char url[64];

	(void)state;
	/* Bound, so that nobody else gets the port, but not listening */
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	(void)snprintf(url, sizeof url, "https://127.0.0.1:%u/", ntohs(address.sin_port));
	assert_int_equal(http_new(&client, &h), 0);
	assert_int_equal(http_get(h, url, 100, &response), -ECONNREFUSED);
	h = http_free(h);
	client.interface = "if!nosuchinterface";
	assert_int_equal(http_new(&client, &h), 0);
	assert_int_equal(http_get(h, url, 100, &response), -ENETUNREACH);
}

static void test_the_environment_has_no_say(void **state)
{
	struct tls_server_options server = { .pki_directory = pki };
	struct http_options client = usual_options();

	(void)state;
	assert_int_equal(setenv("https_proxy", "http://127.0.0.1:1", 1), 0);
	assert_int_equal(setenv("ALL_PROXY", "http://127.0.0.1:1", 1), 0);
	assert_int_equal(get_from(&server, &client), 0);
	/* Nor has an empty one, there or in the configuration. */
	assert_int_equal(setenv("https_proxy", "", 1), 0);
	assert_int_equal(setenv("ALL_PROXY", "", 1), 0);
	client.proxy = "";
	assert_int_equal(get_from(&server, &client), 0);
	assert_int_equal(unsetenv("https_proxy"), 0);
	assert_int_equal(unsetenv("ALL_PROXY"), 0);
	assert_int_equal(setenv("no_proxy", "*", 1), 0);
	client.proxy = "http://127.0.0.1:1";
	assert_int_equal(get_from(&server, &client), -ECONNREFUSED);
	assert_int_equal(unsetenv("no_proxy"), 0);
}

static void test_unix_socket(void **state)
{
	struct tls_server_options server = { .unix_socket = pki_file("socket") };
	struct http_options client = usual_options();

	(void)state;
	client.allow_plain = true;
	client.unix_socket = server.unix_socket;
	assert_int_equal(get_from(&server, &client), 0);
}

/* ---- URLs ---- */

static void joins(const char *base, const char *path, const char *expected)
{
	_cleanup_free_ char *url = NULL;

	if (!expected) {
		assert_int_equal(http_join_url(base, path, &url), -EINVAL);
		assert_null(url);
		return;
	}
	assert_int_equal(http_join_url(base, path, &url), 0);
	assert_string_equal(url, expected);
}

static void test_join_url(void **state)
{
	(void)state;
	joins("https://h/repo", "metadata/1.root.json", "https://h/repo/metadata/1.root.json");
	joins("https://h/repo/", "/v1/query", "https://h/repo/v1/query");
	joins("https://h", "targets/B/a~b_c-d.e", "https://h/targets/B/a~b_c-d.e");
	joins("https://h", "a b/c+d%e?f#g:h\xc3\xa9",
	      "https://h/a%20b/c%2Bd%25e%3Ff%23g%3Ah%C3%A9");
	joins("https://h", "...", "https://h/...");
	joins("https://h", "", NULL);
	joins("https://h", "a//b", NULL);
	joins("https://h", "a/../b", NULL);
	joins("https://h", "./b", NULL);
	joins("https://h", "b/..", NULL);
	joins("https://h", "b/", NULL);
	joins("", "b", NULL);
	joins("https://h?x", "b", NULL);
	joins("https://h#x", "b", NULL);
}

static void has_host(const char *url, const char *expected)
{
	_cleanup_free_ char *host = NULL;

	if (!expected) {
		assert_int_equal(http_url_host(url, &host), -EINVAL);
		assert_null(host);
		return;
	}
	assert_int_equal(http_url_host(url, &host), 0);
	assert_string_equal(host, expected);
}

static void test_url_host(void **state)
{
	(void)state;
	has_host("https://Files.Example.com/bms", "files.example.com");
	has_host("HTTPS://h:8443", "h");
	has_host("https://[::1]:8443/x", "[::1]");
	has_host("https://h/@evil", "h");
	has_host("http://h/", NULL);
	has_host("https://user@h/", NULL);
	has_host("https://:pw@h/", NULL);
	has_host("https://user:pw@h/", NULL);
	has_host("https://", NULL);
	has_host("h/x", NULL);
	has_host("", NULL);
	has_host("file:///etc/passwd", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_statuses_are_no_errors),
		cmocka_unit_test(test_one_connection_for_many_requests),
		cmocka_unit_test(test_the_rate_holds_from_request_to_request),
		cmocka_unit_test(test_fields_that_are_too_long),
		cmocka_unit_test(test_body_limit),
		cmocka_unit_test(test_redirects_are_not_followed),
		cmocka_unit_test(test_encodings_are_refused),
		cmocka_unit_test(test_malformed_heads),
		cmocka_unit_test(test_heads_are_bounded),
		cmocka_unit_test(test_interim_answers_and_trailers),
		cmocka_unit_test(test_connections_that_break),
		cmocka_unit_test(test_silence_times_out),
		cmocka_unit_test(test_what_is_lost_is_asked_for_again),
		cmocka_unit_test(test_what_is_meant_is_not_asked_for_again),
		cmocka_unit_test(test_time_ends_the_asking),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_what_is_sent),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_large_bodies_do_not_wait),
		cmocka_unit_test(test_urls_that_are_refused),
		cmocka_unit_test(test_options_that_are_refused),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_a_request_again_has_one_range),
		cmocka_unit_test(test_range_ignored),
		cmocka_unit_test(test_another_range),
		cmocka_unit_test(test_malformed_ranges),
		cmocka_unit_test(test_bodies_of_another_length),
		cmocka_unit_test(test_endless_ranges),
		cmocka_unit_test(test_range_statuses),
		cmocka_unit_test(test_the_sink_may_stop_it),
		cmocka_unit_test(test_ranges_that_are_none),
		cmocka_unit_test(test_ranges_in_flight),
		cmocka_unit_test(test_cancelled_ranges),
		cmocka_unit_test(test_a_standstill_ends_all),
		cmocka_unit_test(test_time_for_a_phase),
		cmocka_unit_test(test_ranges_share_a_session),
		cmocka_unit_test(test_sessions_are_resumed),
		cmocka_unit_test(test_redirects_to_allowed_hosts),
		cmocka_unit_test(test_redirects_come_to_an_end),
		cmocka_unit_test(test_bodies_are_not_redirected),
		cmocka_unit_test(test_a_redirected_range),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_certificates_by_a_given_time),
		cmocka_unit_test(test_a_given_time_forgives_nothing_else),
		cmocka_unit_test(test_old_tls_is_refused),
		cmocka_unit_test(test_handshakes_that_break_off),
		cmocka_unit_test(test_client_certificate),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_the_environment_has_no_say),
		cmocka_unit_test(test_unix_socket),
		cmocka_unit_test(test_join_url),
		cmocka_unit_test(test_url_host),
	};

	return cmocka_run_group_tests(tests, make_pki, remove_pki);
}
