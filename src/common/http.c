/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http.h"

#include <ctype.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "http_head.h"

#define RECEIVE_BUFFER_BYTES (16L << 10)
/* The page that comes with an error of a ranged request is read this far, to keep the connection. */
#define ERROR_PAGE_MAX_BYTES (16u << 10)

struct http {
	CURL *easy;
	CURLcode setup; /* the first option that could not be set */
	char *bearer_token;
	char curl_error[CURL_ERROR_SIZE];
	char error[CURL_ERROR_SIZE + 64];
	uint64_t received_bytes;
	uint64_t connections;
	uint64_t rate_limit_bytes_per_sec; /* 0: none */
	uint64_t paid_until_usec;	   /* CLOCK_MONOTONIC; see pace() */
	int64_t now_sec;		   /* 0: the system clock */
};

#define SET(h, option, value)                                                                      \
	do {                                                                                       \
		CURLcode set_ = curl_easy_setopt((h)->easy, option, value);                        \
		if ((h)->setup == CURLE_OK)                                                        \
			(h)->setup = set_;                                                         \
	} while (0)

static void slist_free(struct curl_slist **list)
{
	curl_slist_free_all(*list);
}

static _printf_(2, 3) void say(struct http *h, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(h->error, sizeof h->error, format, args);
	va_end(args);
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

static long as_long(uint64_t value)
{
	/* libcurl keeps times in milliseconds. */
	return value > LONG_MAX / 1000 ? LONG_MAX / 1000 : (long)value;
}

static int on_verify(int is_good, X509_STORE_CTX *store)
{
	if (is_good || X509_STORE_CTX_get_error(store) != X509_V_ERR_CERT_NOT_YET_VALID)
		return is_good;
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

static CURLcode on_tls_context(CURL *easy, void *tls_context, void *userdata)
{
	const struct http *h = userdata;
	SSL_CTX *context = tls_context;

	(void)easy;
	X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(context), (time_t)h->now_sec);
	SSL_CTX_set_verify(context, SSL_CTX_get_verify_mode(context), on_verify);
	return CURLE_OK;
}

static void set_time(struct http *h, int64_t now_sec)
{
	if (now_sec == 0)
		return;
	h->now_sec = now_sec;
	SET(h, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
	SET(h, CURLOPT_SSL_CTX_DATA, h);
}

static void set_security(struct http *h, const struct http_options *o)
{
	SET(h, CURLOPT_PROTOCOLS_STR, o->allow_plain ? "https,http" : "https");
	SET(h, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	SET(h, CURLOPT_FOLLOWLOCATION, 0L);
	SET(h, CURLOPT_AUTOREFERER, 0L);
	SET(h, CURLOPT_UNRESTRICTED_AUTH, 0L);
	SET(h, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(h, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(h, CURLOPT_SSL_VERIFYPEER, 1L);
	SET(h, CURLOPT_SSL_VERIFYHOST, 2L);
	if (o->ca_file) {
		SET(h, CURLOPT_CAINFO, o->ca_file);
		/* Without this the system's directory of CAs would be trusted as well. */
		SET(h, CURLOPT_CAPATH, NULL);
	}
	if (o->client_cert) {
		SET(h, CURLOPT_SSLCERT, o->client_cert);
		SET(h, CURLOPT_SSLKEY, o->client_key);
	}
	SET(h, CURLOPT_ACCEPT_ENCODING, NULL);
	SET(h, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	SET(h, CURLOPT_HTTP09_ALLOWED, 0L);
}

static void set_network(struct http *h, const struct http_options *o)
{
	SET(h, CURLOPT_NOSIGNAL, 1L);
	SET(h, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_BYTES);
	SET(h, CURLOPT_PROXY, o->proxy ? o->proxy : "");
	SET(h, CURLOPT_NOPROXY, "");
	SET(h, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(h, CURLOPT_INTERFACE, o->interface);
	SET(h, CURLOPT_UNIX_SOCKET_PATH, o->unix_socket);
	SET(h, CURLOPT_USERAGENT, o->user_agent);
	SET(h, CURLOPT_CONNECTTIMEOUT, as_long(o->connect_timeout_sec));
	SET(h, CURLOPT_LOW_SPEED_LIMIT, as_long(o->low_speed_bytes_per_sec));
	SET(h, CURLOPT_LOW_SPEED_TIME, as_long(o->low_speed_sec));
	SET(h, CURLOPT_TIMEOUT, as_long(o->request_timeout_sec));
	SET(h, CURLOPT_MAX_RECV_SPEED_LARGE, (curl_off_t)o->rate_limit_bytes_per_sec);
	h->rate_limit_bytes_per_sec = o->rate_limit_bytes_per_sec;
	/* A libcurl without HTTP/2 refuses this, and is as good with HTTP/1.1. */
	(void)curl_easy_setopt(h->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
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
	h->easy = curl_easy_init();
	if (!h->easy)
		return -ENOMEM;
	if (options->bearer_token) {
		h->bearer_token = strdup(options->bearer_token);
		if (!h->bearer_token)
			return -ENOMEM;
	}
	say(h, "no error");
	SET(h, CURLOPT_ERRORBUFFER, h->curl_error);
	set_security(h, options);
	set_time(h, options->now_sec);
	set_network(h, options);
	if (h->setup != CURLE_OK)
		return h->setup == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EIO;
	*ret = TAKE_PTR(h);
	return 0;
}

struct http *http_free(struct http *h)
{
	if (!h)
		return NULL;
	curl_easy_cleanup(h->easy);
	free(h->bearer_token);
	free(h);
	curl_global_cleanup();
	return NULL;
}

/* ---- one request ---- */

struct range {
	uint64_t first, last, total;
	const char *if_range;
};

struct request {
	struct http *http;
	struct http_head head;
	bool judged;
	int error;   /* our own verdict, which ended the transfer */
	bool enough; /* we ended it, but what is there will do */

	char *body; /* without a range: collected */
	size_t body_size, body_allocated, max_bytes;

	const struct range *range;
	http_sink_fn sink;
	void *userdata;
	uint64_t sunk_bytes;
	size_t error_page_bytes;
};

static void request_done(struct request *q)
{
	free(q->body);
}

static _printf_(3, 4) int refuse(struct request *q, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(q->http->error, sizeof q->http->error, format, args);
	va_end(args);
	return error;
}

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Does the answer say of itself that it is not the file that If-Range named? */
static bool is_another_file(const struct request *q)
{
	const char *want = q->range->if_range;
	const char *have;

	if (!want)
		return false;
	have = *want == '"' ? q->head.fields.etag : q->head.fields.last_modified;
	return *have && strcmp(have, want) != 0;
}

static int judge_range(struct request *q)
{
	const struct http_response *a = &q->head.fields;
	const struct range *asked = q->range;

	if (a->status < 200 || a->status > 299)
		return 0;
	if (a->status == 200 && is_another_file(q))
		return refuse(q, -ESTALE, "the file on the server has changed");
	if (a->status == 200)
		return refuse(q, -ENOTSUP, "the server ignored Range");
	if (a->status != 206 || !a->has_range)
		return refuse(q, -EPROTO, "status %ld without a proper Content-Range", a->status);
	if (a->range_first != asked->first || a->range_last != asked->last ||
	    a->range_total != asked->total || is_another_file(q))
		return refuse(q, -ESTALE,
			      "asked for bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64
			      ", the server has %" PRIu64 "-%" PRIu64 "/%" PRIu64 "%s",
			      asked->first, asked->last, asked->total, a->range_first,
			      a->range_last, a->range_total,
			      is_another_file(q) ? " of another file" : "");
	if (q->head.has_content_length && q->head.content_length != asked->last - asked->first + 1)
		return refuse(q, -EPROTO, "Content-Length and Content-Range do not agree");
	return 0;
}

/* The whole head is there, nothing of the body has been passed on yet. */
static int judge_head(struct request *q)
{
	const struct http_head *head = &q->head;

	if (is_redirect(head->fields.status))
		return refuse(q, -EREMCHG,
			      "the server redirects (status %ld), which is not allowed",
			      head->fields.status);
	if (head->has_content_encoding)
		return refuse(q, -EPROTO,
			      "the answer has a Content-Encoding, which is not allowed");
	if (head->has_content_length && head->has_transfer_encoding)
		return refuse(q, -EPROTO, "the answer has two lengths");
	return q->range ? judge_range(q) : 0;
}

static size_t on_header(char *line, size_t one, size_t size, void *userdata)
{
	struct request *q = userdata;
	int r;

	(void)one;
	if (q->error < 0)
		return 0;
	r = http_head_line(&q->head, line, size);
	if (r < 0)
		r = refuse(q, r, "malformed answer: %s", q->head.fault);
	else if (q->head.complete && !q->judged) {
		q->judged = true;
		r = judge_head(q);
	}
	q->error = r;
	return r < 0 ? 0 : size;
}

static int collect(struct request *q, const char *bytes, size_t size)
{
	if (size > q->max_bytes - q->body_size)
		return refuse(q, -EFBIG, "the answer is larger than %zu bytes", q->max_bytes);
	if (q->body_size + size + 1 > q->body_allocated) {
		size_t n = 2 * (q->body_size + size + 1);
		char *body;

		if (n > q->max_bytes + 1)
			n = q->max_bytes + 1;
		body = realloc(q->body, n);
		if (!body)
			return refuse(q, -ENOMEM, "out of memory");
		q->body = body;
		q->body_allocated = n;
	}
	memcpy(q->body + q->body_size, bytes, size);
	q->body_size += size;
	q->body[q->body_size] = '\0';
	return 0;
}

static int pass_on(struct request *q, const char *bytes, size_t size)
{
	uint64_t left = q->range->last - q->range->first + 1 - q->sunk_bytes;
	int r;

	if (size > left)
		return refuse(q, -EPROTO, "the server sent more bytes than it was asked for");
	r = q->sink(q->userdata, bytes, size);
	if (r < 0)
		return refuse(q, r, "the received bytes were not accepted: %s", strerror(-r));
	q->sunk_bytes += size;
	return 0;
}

static int skip_error_page(struct request *q, size_t size)
{
	q->error_page_bytes += size;
	q->enough = q->error_page_bytes > ERROR_PAGE_MAX_BYTES;
	return q->enough ? -EFBIG : 0;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *userdata)
{
	struct request *q = userdata;
	int r;

	(void)one;
	if (!q->head.complete)
		q->error = refuse(q, -EPROTO, "a body without a head");
	if (q->error < 0)
		return CURL_WRITEFUNC_ERROR;
	if (!q->range)
		q->error = r = collect(q, bytes, size);
	else if (q->head.fields.status == 206)
		q->error = r = pass_on(q, bytes, size);
	else
		r = skip_error_page(q, size);
	return r < 0 ? CURL_WRITEFUNC_ERROR : size;
}

static int errno_of_connect(struct http *h)
{
	long os_error = 0;

	(void)curl_easy_getinfo(h->easy, CURLINFO_OS_ERRNO, &os_error);
	if (os_error == ECONNREFUSED || os_error == ETIMEDOUT)
		return (int)-os_error;
	return -ENETUNREACH;
}

/* libcurl says the same of a URL that it will not even try and of an answer it cannot read. */
static int errno_of_protocol(struct http *h)
{
	curl_off_t usec = 0;

	(void)curl_easy_getinfo(h->easy, CURLINFO_PRETRANSFER_TIME_T, &usec);
	return usec > 0 ? -EPROTO : -EINVAL;
}

static int errno_of_verification(struct http *h)
{
	long verdict = X509_V_OK;

	(void)curl_easy_getinfo(h->easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
	return verdict == X509_V_ERR_CERT_HAS_EXPIRED ? -EKEYEXPIRED : -EKEYREJECTED;
}

static int errno_of(struct request *q, CURLcode code)
{
	/* An int, since one case is enough for all that is not listed. */
	switch ((int)code) {
	case CURLE_OPERATION_TIMEDOUT: return -ETIMEDOUT;
	case CURLE_COULDNT_CONNECT: return errno_of_connect(q->http);
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_PROXY:
	case CURLE_INTERFACE_FAILED: return -ENETUNREACH;
	case CURLE_PEER_FAILED_VERIFICATION: return errno_of_verification(q->http);
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ISSUER_ERROR: return -EKEYREJECTED;
	case CURLE_UNSUPPORTED_PROTOCOL: return errno_of_protocol(q->http);
	case CURLE_URL_MALFORMAT:
	case CURLE_LOGIN_DENIED: return -EINVAL;
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM: return -EPROTO;
	case CURLE_FILESIZE_EXCEEDED: return -EFBIG;
	/* What libcurl says of a header line that outgrows its buffer. */
	case CURLE_OUT_OF_MEMORY: return q->head.complete ? -ENOMEM : -EPROTO;
	default: return -EIO;
	}
}

static void count(struct request *q)
{
	CURL *easy = q->http->easy;
	long head_bytes = 0, connections = 0;
	curl_off_t body_bytes = 0;

	(void)curl_easy_getinfo(easy, CURLINFO_HEADER_SIZE, &head_bytes);
	(void)curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &body_bytes);
	(void)curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connections);
	q->head.fields.received_bytes = (uint64_t)head_bytes + (uint64_t)body_bytes;
	q->http->received_bytes += q->head.fields.received_bytes;
	q->http->connections += (uint64_t)connections;
}

/* libcurl limits the rate within one request only, and a segment is over before that begins to
 * count. So each request is paid for in time: the next one waits until all bytes before it have had
 * theirs. */
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

static int verdict(struct request *q, CURLcode code)
{
	struct http *h = q->http;

	if (q->error < 0)
		return q->error;
	if (code != CURLE_OK && !q->enough) {
		say(h, "%s", *h->curl_error ? h->curl_error : curl_easy_strerror(code));
		return errno_of(q, code);
	}
	if (!q->head.complete)
		return refuse(q, -EPROTO, "an answer without a head");
	if (q->range && q->head.fields.status == 206 &&
	    q->sunk_bytes != q->range->last - q->range->first + 1)
		return refuse(q, -EIO, "the body ended early");
	return 0;
}

/* All that is set per request is set for each: nothing stays from the one before. */
static int perform(struct request *q, const char *url, struct http_response *ret)
{
	struct http *h = q->http;
	CURLcode code;
	int r;

	SET(h, CURLOPT_URL, url);
	SET(h, CURLOPT_HEADERFUNCTION, on_header);
	SET(h, CURLOPT_HEADERDATA, q);
	SET(h, CURLOPT_WRITEFUNCTION, on_body);
	SET(h, CURLOPT_WRITEDATA, q);
	if (h->setup != CURLE_OK) {
		h->setup = CURLE_OK;
		return refuse(q, -ENOMEM, "out of memory");
	}
	h->curl_error[0] = '\0';
	pace(h);
	code = curl_easy_perform(h->easy);
	count(q);
	pay(h, q->head.fields.received_bytes);
	r = verdict(q, code);
	if (r < 0) {
		log_debug("'%s': %s", url, h->error);
		return r;
	}
	http_head_finish(&q->head);
	*ret = q->head.fields;
	ret->body = TAKE_PTR(q->body);
	ret->body_size = q->body_size;
	return 0;
}

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

static int make_headers(const struct http *h, const char *content_type, const char *if_range,
			struct curl_slist **ret)
{
	_cleanup_(slist_free) struct curl_slist *list = NULL;
	int r;

	/* Without a value: libcurl leaves the header out. */
	r = add_header(&list, "Expect", "");
	if (r == 0 && h->bearer_token) {
		_cleanup_free_ char *value = NULL;

		if (asprintf(&value, "Bearer %s", h->bearer_token) < 0)
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

/* Bytes or an empty body go with the methods that have one. */
static void set_method(struct http *h, const char *method, const void *body, size_t size)
{
	bool has_body = size > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;

	SET(h, CURLOPT_RANGE, NULL);
	SET(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
	SET(h, CURLOPT_POSTFIELDS, has_body ? (size > 0 ? body : "") : NULL);
	if (has_body)
		SET(h, CURLOPT_POST, 1L);
	else
		SET(h, CURLOPT_HTTPGET, 1L);
	SET(h, CURLOPT_CUSTOMREQUEST, strcmp(method, "GET") == 0 ? NULL : method);
}

static bool is_method(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "POST") == 0 ||
	       strcmp(method, "PUT") == 0 || strcmp(method, "DELETE") == 0;
}

int http_send(struct http *h, const char *method, const char *url, const void *body, size_t size,
	      size_t max_bytes, struct http_response *ret)
{
	_cleanup_(slist_free) struct curl_slist *headers = NULL;
	_cleanup_(request_done) struct request q = { .http = h };
	int r;

	if (!is_method(method) || max_bytes > SIZE_MAX / 4 || (size > 0 && !body))
		return refuse(&q, -EINVAL, "not a request that can be sent");
	q.max_bytes = max_bytes;
	r = make_headers(h, size > 0 ? "application/json" : NULL, NULL, &headers);
	if (r < 0)
		return refuse(&q, r, "out of memory");
	set_method(h, method, body, size);
	SET(h, CURLOPT_HTTPHEADER, headers);
	SET(h, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)max_bytes);
	r = collect(&q, "", 0); /* an answer without a body has an empty one */
	if (r < 0)
		return r;
	return perform(&q, url, ret);
}

int http_get(struct http *h, const char *url, size_t max_bytes, struct http_response *ret)
{
	return http_send(h, "GET", url, NULL, 0, max_bytes, ret);
}

int http_get_range(struct http *h, const char *url, uint64_t first, uint64_t last,
		   uint64_t expected_total, const char *if_range, http_sink_fn sink, void *userdata,
		   struct http_response *ret)
{
	const struct range range = { first, last, expected_total, if_range };
	_cleanup_(slist_free) struct curl_slist *headers = NULL;
	_cleanup_(request_done) struct request q = {
		.http = h, .range = &range, .sink = sink, .userdata = userdata
	};
	char text[48];
	int r;

	if (first > last || last >= expected_total || (if_range && !is_header_text(if_range)))
		return refuse(&q, -EINVAL, "not a range that can be asked for");
	r = make_headers(h, NULL, if_range, &headers);
	if (r < 0)
		return refuse(&q, r, "out of memory");
	(void)snprintf(text, sizeof text, "%" PRIu64 "-%" PRIu64, first, last);
	set_method(h, "GET", NULL, 0);
	SET(h, CURLOPT_RANGE, text);
	SET(h, CURLOPT_HTTPHEADER, headers);
	SET(h, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)0);
	return perform(&q, url, ret);
}

/* ---- URLs: by the parser that will be given them ---- */

static void curlu_free(CURLU **u)
{
	curl_url_cleanup(*u);
}

static void curl_text_free(char **text)
{
	curl_free(*text);
}

static bool has_user_info(CURLU *u)
{
	_cleanup_(curl_text_free) char *user = NULL, *password = NULL;

	return curl_url_get(u, CURLUPART_USER, &user, 0) != CURLUE_NO_USER ||
	       curl_url_get(u, CURLUPART_PASSWORD, &password, 0) != CURLUE_NO_PASSWORD;
}

int http_url_host(const char *url, char **ret_host)
{
	_cleanup_(curlu_free) CURLU *u = curl_url();
	_cleanup_(curl_text_free) char *scheme = NULL, *host = NULL;
	char *copy;

	if (!u)
		return -ENOMEM;
	if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		return -EINVAL;
	if (strcasecmp(scheme, "https") != 0 || !*host || has_user_info(u))
		return -EINVAL;
	copy = strdup(host);
	if (!copy)
		return -ENOMEM;
	for (char *p = copy; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	*ret_host = copy;
	return 0;
}
