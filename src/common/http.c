/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "http_transfer.h"

/* How often is looked whether bytes move; and the longest poll, since deadlines are looked at then. */
#define LOOK_MSEC 1000u

struct http {
	CURL *template; /* what all requests have in common */
	CURLSH *share;	/* TLS sessions */
	CURLM *multi;
	struct transfer *idle, *active;
	unsigned n_active;
	bool is_stale; /* a request timed out: its connection may be dead without knowing */
	int64_t now_sec;
	char *bearer_token, *allowed_hosts;
	char error[HTTP_ERROR_BYTES];
	uint64_t received_bytes;
	uint64_t connections;
	unsigned attempts;
	void (*waiting)(void *userdata, uint64_t msec, const char *why);
	void *userdata;
	uint64_t request_timeout_msec;
	uint64_t deadline_msec;		   /* CLOCK_BOOTTIME; 0: none */
	uint64_t rate_limit_bytes_per_sec; /* 0: none */
	uint64_t paid_until_usec;	   /* CLOCK_MONOTONIC; see pace() */
	/* Do the ranges in flight move? */
	uint64_t low_speed_bytes_per_sec, low_speed_sec;
	uint64_t moved_bytes;	   /* since looked_msec */
	uint64_t looked_msec;	   /* CLOCK_MONOTONIC */
	uint64_t fast_enough_msec; /* when they last were */
};

static void slist_free(struct curl_slist **list)
{
	curl_slist_free_all(*list);
}

static _printf_(3, 4) int refuse(struct http *h, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(h->error, sizeof h->error, format, args);
	va_end(args);
	return error;
}

const char *http_error(const struct http *h)
{
	return h->error;
}

uint64_t http_received_bytes(const struct http *h)
{
	return h->received_bytes;
}

uint64_t http_connections(const struct http *h)
{
	return h->connections;
}

void http_response_done(struct http_response *r)
{
	free(r->body);
	*r = (struct http_response){ 0 };
}

/* ---- the handle ---- */

/* Text that becomes part of a header must not be able to end it. */
static bool is_header_text(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

static int check_options(const struct http_options *o)
{
	if (o->unix_socket && !o->allow_plain)
		return -EINVAL;
	if (!o->client_cert != !o->client_key)
		return -EINVAL;
	if ((o->bearer_token && !is_header_text(o->bearer_token)) ||
	    (o->user_agent && !is_header_text(o->user_agent)))
		return -EINVAL;
	return 0;
}

static int copy_text(char **to, const char *from)
{
	if (!from)
		return 0;
	*to = strdup(from);
	return *to ? 0 : -ENOMEM;
}

static int open_multi(struct http *h)
{
	h->multi = curl_multi_init();
	if (!h->multi)
		return -ENOMEM;
	(void)curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
	(void)curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HTTP_MAX_IN_FLIGHT);
	return 0;
}

static int take_options(struct http *h, const struct http_options *o)
{
	int r;

	h->now_sec = o->now_sec;
	h->attempts = o->attempts;
	h->waiting = o->waiting;
	h->userdata = o->userdata;
	h->request_timeout_msec = o->request_timeout_sec * 1000;
	h->low_speed_bytes_per_sec = o->low_speed_bytes_per_sec;
	h->low_speed_sec = o->low_speed_sec;
	h->rate_limit_bytes_per_sec = o->rate_limit_bytes_per_sec;
	r = copy_text(&h->bearer_token, o->bearer_token);
	if (r >= 0)
		r = copy_text(&h->allowed_hosts, o->allowed_hosts);
	return r < 0 ? r : transfer_make_template(o, &h->now_sec, &h->template);
}

static int open_share(struct http *h)
{
	h->share = curl_share_init();
	if (!h->share)
		return -ENOMEM;
	return curl_share_setopt(h->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) ==
			       CURLSHE_OK
		       ? 0
		       : -ENOMEM;
}

int http_new(const struct http_options *options, struct http **ret)
{
	_cleanup_(http_freep) struct http *h = NULL;
	int r;

	r = check_options(options);
	if (r < 0)
		return r;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -EIO;
	h = calloc(1, sizeof *h);
	if (!h) {
		curl_global_cleanup();
		return -ENOMEM;
	}
	(void)refuse(h, 0, "no error");
	r = take_options(h, options);
	if (r >= 0)
		r = open_share(h);
	if (r >= 0)
		r = open_multi(h);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(h);
	return 0;
}

struct http *http_free(struct http *h)
{
	struct transfer *t;

	if (!h)
		return NULL;
	http_cancel(h);
	while ((t = h->idle)) {
		h->idle = t->next;
		(void)transfer_free(t);
	}
	(void)curl_multi_cleanup(h->multi);
	(void)curl_share_cleanup(h->share);
	curl_easy_cleanup(h->template);
	free(h->bearer_token);
	free(h->allowed_hosts);
	free(h);
	curl_global_cleanup();
	return NULL;
}

/* ---- time ---- */

void http_limit_time(struct http *h, uint64_t sec)
{
	h->deadline_msec = sec > 0 ? clock_now_msec(CLOCK_BOOTTIME) + sec * 1000 : 0;
}

static uint64_t left_msec(const struct http *h)
{
	uint64_t now = clock_now_msec(CLOCK_BOOTTIME);

	return h->deadline_msec > now ? h->deadline_msec - now : 0;
}

/* libcurl limits the rate within one request only, and roughly: what is short is over before that
 * begins to count. So each request is paid for in time: the next one waits until all bytes before it
 * have had theirs. */
static void pace(struct http *h)
{
	const struct timespec until = {
		.tv_sec = (time_t)(h->paid_until_usec / 1000000),
		.tv_nsec = (long)(h->paid_until_usec % 1000000) * 1000,
	};

	if (h->rate_limit_bytes_per_sec == 0)
		return;
	if (clock_now_usec(CLOCK_MONOTONIC) < h->paid_until_usec)
		(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	h->paid_until_usec = clock_now_usec(CLOCK_MONOTONIC);
}

static void pay(struct http *h, uint64_t bytes)
{
	if (h->rate_limit_bytes_per_sec > 0)
		h->paid_until_usec += bytes * 1000000 / h->rate_limit_bytes_per_sec;
}

/* A range goes on for as long as it moves and the phase lasts: it may be most of a large file. */
static int limit(struct http *h, struct transfer *t)
{
	uint64_t msec = h->request_timeout_msec;

	if (h->deadline_msec > 0) {
		uint64_t left = left_msec(h);

		if (left == 0)
			return refuse(h, -ETIMEDOUT, "the time for this is over");
		if (t->is_range || msec == 0 || left < msec)
			msec = left;
	}
	if (t->is_range)
		transfer_limit(t, msec, 0, 0);
	else
		transfer_limit(t, msec, h->low_speed_bytes_per_sec, h->low_speed_sec);
	return 0;
}

/* ---- headers ---- */

static int add_header(struct curl_slist **list, const char *name, const char *value)
{
	_cleanup_free_ char *line = NULL;
	struct curl_slist *longer;

	if (asprintf(&line, "%s:%s%s", name, *value ? " " : "", value) < 0)
		return -ENOMEM;
	longer = curl_slist_append(*list, line);
	if (!longer)
		return -ENOMEM;
	*list = longer;
	return 0;
}

static int make_headers(const char *bearer_token, const char *content_type, const char *if_range,
			struct curl_slist **ret)
{
	_cleanup_(slist_free) struct curl_slist *list = NULL;
	int r;

	/* Without a value: libcurl leaves the header out. */
	r = add_header(&list, "Expect", "");
	if (r == 0 && bearer_token) {
		_cleanup_free_ char *value = NULL;

		if (asprintf(&value, "Bearer %s", bearer_token) < 0)
			return -ENOMEM;
		r = add_header(&list, "Authorization", value);
	}
	if (r == 0 && content_type)
		r = add_header(&list, "Content-Type", content_type);
	if (r == 0 && if_range)
		r = add_header(&list, "If-Range", if_range);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	return 0;
}

/* ---- transfers ---- */

static int take_idle(struct http *h, struct transfer **ret)
{
	struct transfer *t = h->idle;

	if (!t)
		return transfer_new(h->template, h->share, ret);
	h->idle = t->next;
	*ret = t;
	return 0;
}

static void put_idle(struct http *h, struct transfer *t)
{
	t->next = h->idle;
	h->idle = t;
}

/* All connections are given up with the handle that keeps them; the sessions are not. */
static int renew_connections(struct http *h)
{
	if (!h->is_stale || h->n_active > 0)
		return 0;
	(void)curl_multi_cleanup(h->multi);
	h->multi = NULL;
	h->is_stale = false;
	return open_multi(h);
}

static int start(struct http *h, struct transfer *t)
{
	int r;

	r = limit(h, t);
	if (r < 0)
		return r;
	if (!h->multi)
		r = open_multi(h);
	if (r < 0 || renew_connections(h) < 0)
		return refuse(h, -ENOMEM, "out of memory");
	pace(h);
	if (h->n_active == 0)
		h->looked_msec = h->fast_enough_msec = clock_now_msec(CLOCK_MONOTONIC);
	if (curl_multi_add_handle(h->multi, t->easy) != CURLM_OK)
		return refuse(h, -ENOMEM, "out of memory");
	t->next = h->active;
	h->active = t;
	h->n_active++;
	return 0;
}

static void count(struct http *h, struct transfer *t)
{
	long head_bytes = 0, connections = 0;
	curl_off_t body_bytes = 0, sent_bytes = 0;
	uint64_t bytes;

	(void)curl_easy_getinfo(t->easy, CURLINFO_HEADER_SIZE, &head_bytes);
	(void)curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &body_bytes);
	(void)curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent_bytes);
	(void)curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connections);
	bytes = (uint64_t)head_bytes + (uint64_t)body_bytes;
	t->head.fields.received_bytes = bytes;
	h->received_bytes += bytes;
	h->connections += (uint64_t)connections;
	pay(h, bytes + (uint64_t)sent_bytes);
}

static void detach(struct http *h, struct transfer *t)
{
	struct transfer **at = &h->active;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	h->n_active--;
	count(h, t);
	(void)curl_multi_remove_handle(h->multi, t->easy);
}

void http_cancel(struct http *h)
{
	while (h->active) {
		struct transfer *t = h->active;

		detach(h, t);
		put_idle(h, t);
	}
}

/* ---- redirects ---- */

static int check_redirect(struct http *h, struct transfer *t, const char *url)
{
	_cleanup_free_ char *host = NULL;
	int r;

	r = url ? http_url_host(url, &host) : -EINVAL;
	if (r == -ENOMEM)
		return transfer_refuse(t, r, "out of memory");
	if (r < 0)
		return transfer_refuse(t, -EREMCHG, "the server redirects to what is no https URL");
	if (!http_host_is_listed(h->allowed_hosts, host))
		return transfer_refuse(
			t, -EREMCHG,
			"the server redirects to host '%.100s', which is not in allowed_hosts",
			host);
	return 0;
}

/* Follows it. What the server is told about us it was told at the first address only. */
static int follow(struct http *h, struct transfer *t)
{
	_cleanup_(slist_free) struct curl_slist *headers = NULL;
	_cleanup_free_ char *url = NULL;
	char *said = NULL;
	int r;

	(void)curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &said);
	r = check_redirect(h, t, said);
	if (r >= 0)
		r = copy_text(&url, said);
	if (r >= 0)
		r = make_headers(NULL, NULL, t->is_range ? t->range.if_range : NULL, &headers);
	if (r < 0)
		return r;
	r = transfer_redirect(t, url, TAKE_PTR(headers));
	if (r < 0)
		return r;
	r = start(h, t);
	return r < 0 ? transfer_refuse(t, r, "%s", http_error(h)) : r;
}

/* ---- moving bytes ---- */

static void tell(struct http *h, struct transfer *t, int error, struct http_ended *ret)
{
	http_head_finish(&t->head);
	*ret = (struct http_ended){ .userdata = t->range.userdata,
				    .error = error,
				    .response = t->head.fields };
	if (error == 0) {
		ret->response.body = TAKE_PTR(t->body);
		ret->response.body_size = t->body_size;
	} else {
		(void)refuse(h, error, "%s", t->error);
		log_debug("request: %s", h->error);
		h->is_stale |= error == -ETIMEDOUT;
	}
	put_idle(h, t);
}

/* False if it goes on elsewhere. */
static bool end(struct http *h, struct transfer *t, CURLcode code, struct http_ended *ret)
{
	int r = transfer_judge(t, code);

	detach(h, t);
	if (r == 0 && t->is_redirected) {
		r = follow(h, t);
		if (r == 0)
			return false;
	}
	tell(h, t, r, ret);
	return true;
}

static bool take_ended(struct http *h, struct http_ended *ret)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(h->multi, &left))) {
		CURLcode code = message->data.result;
		char *private = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		if (end(h, (struct transfer *)(void *)private, code, ret))
			return true;
	}
	return false;
}

static bool is_connected(const struct transfer *t)
{
	curl_off_t usec = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &usec);
	return usec > 0;
}

/* Until there is a connection, connect_timeout_sec goes. */
static bool is_moving(struct http *h, uint64_t passed_msec)
{
	if (h->moved_bytes * 1000 >= h->low_speed_bytes_per_sec * passed_msec)
		return true;
	for (struct transfer *t = h->active; t; t = t->next)
		if (t->is_range && is_connected(t))
			return false;
	return true;
}

/* One stream may well stand still while another one moves: what counts is all of them together. */
static bool look_for_standstill(struct http *h, struct http_ended *ret)
{
	uint64_t now = clock_now_msec(CLOCK_MONOTONIC);
	struct transfer *t = h->active;

	if (h->low_speed_sec == 0 || now - h->looked_msec < LOOK_MSEC)
		return false;
	if (is_moving(h, now - h->looked_msec))
		h->fast_enough_msec = now;
	h->looked_msec = now;
	h->moved_bytes = 0;
	while (t && !t->is_range)
		t = t->next;
	if (!t || now - h->fast_enough_msec < h->low_speed_sec * 1000)
		return false;
	/* One now, the others when it is asked again: they are as slow. */
	h->looked_msec -= LOOK_MSEC;
	detach(h, t);
	tell(h, t,
	     transfer_refuse(t, -ETIMEDOUT, "slower than %ju bytes a second for %ju seconds",
			     (uintmax_t)h->low_speed_bytes_per_sec, (uintmax_t)h->low_speed_sec),
	     ret);
	return true;
}

int http_wait(struct http *h, uint64_t timeout_msec, struct http_ended *ret)
{
	int running, poll_msec = (int)(timeout_msec < LOOK_MSEC ? timeout_msec : LOOK_MSEC);

	if (h->n_active == 0)
		return -ENOENT;
	for (int round = 0; round < 2; round++) {
		if (curl_multi_perform(h->multi, &running) != CURLM_OK)
			return refuse(h, -ENOMEM, "out of memory");
		if (take_ended(h, ret) || look_for_standstill(h, ret))
			return 1;
		if (round == 0)
			(void)curl_multi_poll(h->multi, NULL, 0, poll_msec, NULL);
	}
	return 0;
}

/* ---- requests ---- */

/* The only one in flight, so that it is the one that ends. */
static int perform(struct http *h, struct transfer *t, struct http_response *ret)
{
	struct http_ended ended = { .error = -EIO };
	int r;

	r = start(h, t);
	if (r < 0) {
		put_idle(h, t);
		return r;
	}
	while ((r = http_wait(h, LOOK_MSEC, &ended)) == 0)
		;
	if (r < 0) {
		http_cancel(h);
		return r;
	}
	if (ended.error == 0)
		*ret = ended.response;
	return ended.error;
}

static bool is_method(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "POST") == 0 ||
	       strcmp(method, "PUT") == 0 || strcmp(method, "DELETE") == 0;
}

/* Takes headers. */
static int send_request(struct http *h, const struct request *q, struct curl_slist *headers,
			struct http_response *ret)
{
	_cleanup_(slist_free) struct curl_slist *list = headers;
	struct transfer *t;
	int r;

	r = take_idle(h, &t);
	if (r < 0)
		return refuse(h, r, "out of memory");
	r = transfer_prepare(t, q, TAKE_PTR(list));
	if (r < 0) {
		put_idle(h, t);
		return refuse(h, r, "out of memory");
	}
	t->may_redirect = h->allowed_hosts && strcmp(q->method, "GET") == 0;
	return perform(h, t, ret);
}

static int send_once(struct http *h, const char *method, const char *url, const void *body,
		     size_t size, size_t max_bytes, struct http_response *ret)
{
	const struct request q = {
		method, url, body, size, max_bytes, h->rate_limit_bytes_per_sec
	};
	_cleanup_(slist_free) struct curl_slist *headers = NULL;
	int r;

	if (h->n_active > 0)
		return refuse(h, -EBUSY, "other requests are in flight");
	if (!is_method(method) || max_bytes > SIZE_MAX / 4 || (size > 0 && !body))
		return refuse(h, -EINVAL, "not a request that can be sent");
	r = make_headers(h->bearer_token, size > 0 ? "application/json" : NULL, NULL, &headers);
	if (r < 0)
		return refuse(h, r, "out of memory");
	return send_request(h, &q, TAKE_PTR(headers), ret);
}

int http_send_part(struct http *h, const char *url, const void *bytes, size_t size, uint64_t first,
		   uint64_t total, size_t max_bytes, struct http_response *ret)
{
	const struct request q = {
		"PUT", url, bytes, size, max_bytes, h->rate_limit_bytes_per_sec
	};
	_cleanup_(slist_free) struct curl_slist *headers = NULL;
	char range[96];
	int r;

	if (h->n_active > 0)
		return refuse(h, -EBUSY, "other requests are in flight");
	if (size == 0 || first > total || size > total - first || max_bytes > SIZE_MAX / 4)
		return refuse(h, -EINVAL, "not a part that can be sent");
	(void)snprintf(range, sizeof range, "bytes %ju-%ju/%ju", (uintmax_t)first,
		       (uintmax_t)(first + size - 1), (uintmax_t)total);
	r = make_headers(h->bearer_token, "application/octet-stream", NULL, &headers);
	if (r == 0)
		r = add_header(&headers, "Content-Range", range);
	if (r < 0)
		return refuse(h, r, "out of memory");
	return send_request(h, &q, TAKE_PTR(headers), ret);
}

/* What may be different in a minute. A server that names a time has the last word. */
static bool is_passing(struct http *h, int error, const struct http_response *response)
{
	long status = error < 0 ? 0 : response->status;

	if (status != 0 && response->retry_after_sec > 0)
		return false;
	if (status >= 500 || status == 408)
		(void)refuse(h, 0, "the server answered %ld", status);
	return status == 408 || status == 500 || (status >= 502 && status <= 504) ||
	       error == -ETIMEDOUT || error == -ECONNREFUSED || error == -ENETUNREACH ||
	       error == -ECONNABORTED || error == -EIO;
}

static bool wait_for_next(struct http *h, unsigned failures)
{
	uint64_t msec = backoff_msec(failures, BACKOFF_FIRST_MSEC, backoff_random());

	if (h->deadline_msec > 0 && msec >= left_msec(h))
		return false;
	if (h->waiting)
		h->waiting(h->userdata, msec, h->error);
	backoff_sleep(msec);
	return true;
}

int http_send(struct http *h, const char *method, const char *url, const void *body, size_t size,
	      size_t max_bytes, struct http_response *ret)
{
	for (unsigned failures = 1;; failures++) {
		struct http_response response = { 0 };
		int r = send_once(h, method, url, body, size, max_bytes, &response);

		if (failures < h->attempts && is_passing(h, r, &response) &&
		    wait_for_next(h, failures)) {
			http_response_done(&response);
			continue;
		}
		if (r >= 0)
			*ret = response;
		return r;
	}
}

int http_get(struct http *h, const char *url, size_t max_bytes, struct http_response *ret)
{
	return http_send(h, "GET", url, NULL, 0, max_bytes, ret);
}

static bool is_range(const struct http_range *range)
{
	return range->first <= range->last && range->last < range->total &&
	       (!range->if_range || (is_header_text(range->if_range) &&
				     strlen(range->if_range) < HTTP_MAX_VALIDATOR_BYTES));
}

int http_start_range(struct http *h, const struct http_range *range)
{
	_cleanup_(slist_free) struct curl_slist *headers = NULL;
	struct transfer *t;
	int r;

	if (!is_range(range))
		return refuse(h, -EINVAL, "not a range that can be asked for");
	if (h->n_active >= HTTP_MAX_IN_FLIGHT)
		return refuse(h, -EBUSY, "too many requests are in flight");
	r = make_headers(h->bearer_token, NULL, range->if_range, &headers);
	if (r >= 0)
		r = take_idle(h, &t);
	if (r < 0)
		return refuse(h, r, "out of memory");
	r = transfer_prepare_range(t, range, TAKE_PTR(headers));
	if (r < 0)
		r = refuse(h, r, "out of memory");
	if (r >= 0) {
		t->may_redirect = !!h->allowed_hosts;
		t->moved_bytes = &h->moved_bytes;
		r = start(h, t);
	}
	if (r < 0)
		put_idle(h, t);
	return r;
}
