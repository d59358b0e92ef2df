/* SPDX-License-Identifier: Apache-2.0 */
#include "http_transfer.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <string.h>

#define RECEIVE_BUFFER_BYTES (16L << 10)
/* The page that comes with an error of a ranged request is read this far, to keep the connection. */
#define ERROR_PAGE_MAX_BYTES (16u << 10)

#define SET(t, option, value)                                                                      \
	do {                                                                                       \
		CURLcode set_ = curl_easy_setopt((t)->easy, option, value);                        \
		if ((t)->setup == CURLE_OK)                                                        \
			(t)->setup = set_;                                                         \
	} while (0)

int transfer_refuse(struct transfer *t, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(t->error, sizeof t->error, format, args);
	va_end(args);
	return error;
}

/* ---- the same for all ---- */

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
	const int64_t *now_sec = userdata;
	SSL_CTX *context = tls_context;

	(void)easy;
	X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(context), (time_t)*now_sec);
	SSL_CTX_set_verify(context, SSL_CTX_get_verify_mode(context), on_verify);
	return CURLE_OK;
}

static void set_time(struct transfer *t, const int64_t *now_sec)
{
	if (*now_sec == 0)
		return;
	SET(t, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
	SET(t, CURLOPT_SSL_CTX_DATA, now_sec);
}

static void set_security(struct transfer *t, const struct http_options *o)
{
	SET(t, CURLOPT_PROTOCOLS_STR, o->allow_plain ? "https,http" : "https");
	SET(t, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	SET(t, CURLOPT_FOLLOWLOCATION, 0L);
	SET(t, CURLOPT_AUTOREFERER, 0L);
	SET(t, CURLOPT_UNRESTRICTED_AUTH, 0L);
	SET(t, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(t, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(t, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(t, CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(t, CURLOPT_SSL_VERIFYPEER, 1L);
	SET(t, CURLOPT_SSL_VERIFYHOST, 2L);
	if (o->ca_file) {
		SET(t, CURLOPT_CAINFO, o->ca_file);
		/* Without this the system's directory of CAs would be trusted as well. */
		SET(t, CURLOPT_CAPATH, NULL);
	}
	if (o->client_cert) {
		SET(t, CURLOPT_SSLCERT, o->client_cert);
		SET(t, CURLOPT_SSLKEY, o->client_key);
	}
	SET(t, CURLOPT_ACCEPT_ENCODING, NULL);
	SET(t, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	SET(t, CURLOPT_HTTP09_ALLOWED, 0L);
}

static void set_network(struct transfer *t, const struct http_options *o)
{
	SET(t, CURLOPT_NOSIGNAL, 1L);
	SET(t, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_BYTES);
	SET(t, CURLOPT_PROXY, o->proxy ? o->proxy : "");
	SET(t, CURLOPT_NOPROXY, "");
	SET(t, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(t, CURLOPT_INTERFACE, o->interface);
	SET(t, CURLOPT_UNIX_SOCKET_PATH, o->unix_socket);
	SET(t, CURLOPT_USERAGENT, o->user_agent);
	SET(t, CURLOPT_CONNECTTIMEOUT, as_long(o->connect_timeout_sec));
	/* A libcurl without HTTP/2 refuses this, and is as good with HTTP/1.1. */
	(void)curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	/* A second request waits to see whether the first one's connection takes it too. */
	SET(t, CURLOPT_PIPEWAIT, 1L);
}

int transfer_make_template(const struct http_options *options, const int64_t *now_sec, CURL **ret)
{
	struct transfer t = { .easy = curl_easy_init() };

	if (!t.easy)
		return -ENOMEM;
	set_security(&t, options);
	set_time(&t, now_sec);
	set_network(&t, options);
	if (t.setup != CURLE_OK) {
		curl_easy_cleanup(t.easy);
		return t.setup == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EIO;
	}
	*ret = t.easy;
	return 0;
}

/* ---- what comes ---- */

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Does the answer say of itself that it is not the file that If-Range named? */
static bool is_another_file(const struct transfer *t)
{
	const char *want = t->range.if_range;
	const char *have;

	if (!want)
		return false;
	have = *want == '"' ? t->head.fields.etag : t->head.fields.last_modified;
	return *have && strcmp(have, want) != 0;
}

static int judge_range(struct transfer *t)
{
	const struct http_response *a = &t->head.fields;
	const struct http_range *asked = &t->range;

	if (a->status < 200 || a->status > 299)
		return 0;
	if (a->status == 200 && is_another_file(t))
		return transfer_refuse(t, -ESTALE, "the file on the server has changed");
	if (a->status == 200)
		return transfer_refuse(t, -ENOTSUP, "the server ignored Range");
	if (a->status != 206 || !a->has_range)
		return transfer_refuse(t, -EPROTO, "status %ld without a proper Content-Range",
				       a->status);
	if (a->range_total != asked->total || is_another_file(t))
		return transfer_refuse(t, -ESTALE,
				       "asked for a file of %ju bytes, the server has %ju%s",
				       (uintmax_t)asked->total, (uintmax_t)a->range_total,
				       is_another_file(t) ? " of another file" : "");
	if (a->range_first != asked->first || a->range_last != asked->last)
		return transfer_refuse(t, -EPROTO,
				       "asked for bytes %ju-%ju, the server sends %ju-%ju",
				       (uintmax_t)asked->first, (uintmax_t)asked->last,
				       (uintmax_t)a->range_first, (uintmax_t)a->range_last);
	if (t->head.has_content_length && t->head.content_length != asked->last - asked->first + 1)
		return transfer_refuse(t, -EPROTO, "Content-Length and Content-Range do not agree");
	return 0;
}

static int judge_redirect(struct transfer *t)
{
	long status = t->head.fields.status;

	if (!t->may_redirect)
		return transfer_refuse(t, -EREMCHG,
				       "the server redirects (status %ld), which is not allowed",
				       status);
	if (t->n_redirects == HTTP_MAX_REDIRECTS)
		return transfer_refuse(t, -EREMCHG, "the server redirects more than %u times",
				       HTTP_MAX_REDIRECTS);
	t->is_redirected = true;
	return 0;
}

/* The whole head is there, nothing of the body has been passed on yet. */
static int judge_head(struct transfer *t)
{
	const struct http_head *head = &t->head;

	if (is_redirect(head->fields.status))
		return judge_redirect(t);
	if (head->has_content_encoding)
		return transfer_refuse(t, -EPROTO,
				       "the answer has a Content-Encoding, which is not allowed");
	if (head->has_content_length && head->has_transfer_encoding)
		return transfer_refuse(t, -EPROTO, "the answer has two lengths");
	return t->is_range ? judge_range(t) : 0;
}

static size_t on_header(char *line, size_t one, size_t size, void *userdata)
{
	struct transfer *t = userdata;
	int r;

	(void)one;
	if (t->verdict < 0)
		return 0;
	if (t->moved_bytes)
		*t->moved_bytes += size;
	r = http_head_line(&t->head, line, size);
	if (r < 0)
		r = transfer_refuse(t, r, "malformed answer: %s", t->head.fault);
	else if (t->head.complete && !t->is_judged) {
		t->is_judged = true;
		r = judge_head(t);
	}
	t->verdict = r;
	return r < 0 ? 0 : size;
}

static int collect(struct transfer *t, const char *bytes, size_t size)
{
	if (size > t->max_bytes - t->body_size)
		return transfer_refuse(t, -EFBIG, "the answer is larger than %zu bytes",
				       t->max_bytes);
	if (t->body_size + size + 1 > t->body_allocated) {
		size_t n = 2 * (t->body_size + size + 1);
		char *body;

		if (n > t->max_bytes + 1)
			n = t->max_bytes + 1;
		body = realloc(t->body, n);
		if (!body)
			return transfer_refuse(t, -ENOMEM, "out of memory");
		t->body = body;
		t->body_allocated = n;
	}
	memcpy(t->body + t->body_size, bytes, size);
	t->body_size += size;
	t->body[t->body_size] = '\0';
	return 0;
}

static int pass_on(struct transfer *t, const char *bytes, size_t size)
{
	uint64_t left = t->range.last - t->range.first + 1 - t->sunk_bytes;
	int r;

	if (size > left)
		return transfer_refuse(t, -EPROTO,
				       "the server sent more bytes than it was asked for");
	r = t->range.sink(t->range.userdata, bytes, size);
	if (r < 0)
		return transfer_refuse(t, r, "the received bytes were not accepted: %s",
				       strerror(-r));
	t->sunk_bytes += size;
	return 0;
}

static int drop(struct transfer *t, size_t size)
{
	t->dropped_bytes += size;
	t->is_enough = t->dropped_bytes > ERROR_PAGE_MAX_BYTES;
	return t->is_enough ? -EFBIG : 0;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *userdata)
{
	struct transfer *t = userdata;
	int r;

	(void)one;
	if (!t->head.complete)
		t->verdict = transfer_refuse(t, -EPROTO, "a body without a head");
	if (t->verdict < 0)
		return CURL_WRITEFUNC_ERROR;
	if (t->moved_bytes)
		*t->moved_bytes += size;
	if (t->is_redirected || (t->is_range && t->head.fields.status != 206))
		r = drop(t, size);
	else
		t->verdict = r = t->is_range ? pass_on(t, bytes, size) : collect(t, bytes, size);
	return r < 0 ? CURL_WRITEFUNC_ERROR : size;
}

/* ---- what its end means ---- */

static int errno_of_connect(struct transfer *t)
{
	long os_error = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os_error);
	if (os_error == ECONNREFUSED || os_error == ETIMEDOUT)
		return (int)-os_error;
	return -ENETUNREACH;
}

/* libcurl says the same of a URL that it will not even try and of an answer it cannot read. */
static int errno_of_protocol(struct transfer *t)
{
	curl_off_t usec = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &usec);
	return usec > 0 ? -EPROTO : -EINVAL;
}

static int errno_of_verification(struct transfer *t)
{
	long verdict = X509_V_OK;

	(void)curl_easy_getinfo(t->easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
	return verdict == X509_V_ERR_CERT_HAS_EXPIRED ? -EKEYEXPIRED : -EKEYREJECTED;
}

static int errno_of(struct transfer *t, CURLcode code)
{
	/* An int, since one case is enough for all that is not listed. */
	switch ((int)code) {
	case CURLE_OPERATION_TIMEDOUT: return -ETIMEDOUT;
	case CURLE_COULDNT_CONNECT: return errno_of_connect(t);
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_PROXY:
	case CURLE_INTERFACE_FAILED: return -ENETUNREACH;
	case CURLE_SSL_CONNECT_ERROR: return -ECONNABORTED;
	case CURLE_PEER_FAILED_VERIFICATION: return errno_of_verification(t);
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ISSUER_ERROR: return -EKEYREJECTED;
	case CURLE_UNSUPPORTED_PROTOCOL: return errno_of_protocol(t);
	case CURLE_URL_MALFORMAT:
	case CURLE_LOGIN_DENIED: return -EINVAL;
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM: return -EPROTO;
	case CURLE_FILESIZE_EXCEEDED: return -EFBIG;
	/* What libcurl says of a header line that outgrows its buffer. */
	case CURLE_OUT_OF_MEMORY: return t->head.complete ? -ENOMEM : -EPROTO;
	default: return -EIO;
	}
}

/* libcurl tells it in OpenSSL's words only: "error:0A000102:SSL routines::unsupported protocol". */
static bool is_other_version(const char *text)
{
	const char *quoted = strstr(text, "error:");
	int reason = quoted ? ERR_GET_REASON(strtoul(quoted + strlen("error:"), NULL, 16)) : 0;

	return reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION;
}

static int refuse_ended(struct transfer *t, CURLcode code)
{
	const char *text = *t->curl_error ? t->curl_error : curl_easy_strerror(code);
	const char *hint = "";

	if (code == CURLE_SSL_CONNECT_ERROR)
		hint = is_other_version(text) ? "the server speaks no TLS 1.2 or newer: "
					      : "the TLS handshake failed: ";
	return transfer_refuse(t, errno_of(t, code), "%s%s", hint, text);
}

int transfer_judge(struct transfer *t, CURLcode code)
{
	if (t->verdict < 0)
		return t->verdict;
	if (code != CURLE_OK && !t->is_enough)
		return refuse_ended(t, code);
	if (!t->head.complete)
		return transfer_refuse(t, -EPROTO, "an answer without a head");
	if (t->is_range && t->head.fields.status == 206 &&
	    t->sunk_bytes != t->range.last - t->range.first + 1)
		return transfer_refuse(t, -EIO, "the body ended early");
	return 0;
}

/* ---- a request ---- */

int transfer_new(CURL *template, CURLSH *share, struct transfer **ret)
{
	_cleanup_(transfer_freep) struct transfer *t = calloc(1, sizeof *t);

	if (!t)
		return -ENOMEM;
	t->easy = curl_easy_duphandle(template);
	if (!t->easy)
		return -ENOMEM;
	SET(t, CURLOPT_ERRORBUFFER, t->curl_error);
	SET(t, CURLOPT_PRIVATE, t);
	SET(t, CURLOPT_SHARE, share);
	SET(t, CURLOPT_HEADERFUNCTION, on_header);
	SET(t, CURLOPT_HEADERDATA, t);
	SET(t, CURLOPT_WRITEFUNCTION, on_body);
	SET(t, CURLOPT_WRITEDATA, t);
	if (t->setup != CURLE_OK)
		return -ENOMEM;
	*ret = TAKE_PTR(t);
	return 0;
}

struct transfer *transfer_free(struct transfer *t)
{
	if (!t)
		return NULL;
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	free(t->body);
	free(t);
	return NULL;
}

static void take_headers(struct transfer *t, struct curl_slist *headers)
{
	SET(t, CURLOPT_HTTPHEADER, headers);
	curl_slist_free_all(t->headers);
	t->headers = headers;
}

static void forget_answer(struct transfer *t)
{
	t->curl_error[0] = '\0';
	t->head = (struct http_head){ 0 };
	t->is_judged = t->is_enough = t->is_redirected = false;
	t->verdict = 0;
	t->sunk_bytes = 0;
	t->dropped_bytes = 0;
}

static void forget(struct transfer *t)
{
	forget_answer(t);
	free(TAKE_PTR(t->body));
	t->body_size = t->body_allocated = t->max_bytes = 0;
	t->is_range = t->may_redirect = false;
	t->n_redirects = 0;
	t->moved_bytes = NULL;
	t->setup = CURLE_OK;
}

/* Bytes or an empty body go with the methods that have one. */
static void set_method(struct transfer *t, const char *method, const void *body, size_t size)
{
	bool has_body = size > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;

	SET(t, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
	SET(t, CURLOPT_POSTFIELDS, has_body ? (size > 0 ? body : "") : NULL);
	if (has_body)
		SET(t, CURLOPT_POST, 1L);
	else
		SET(t, CURLOPT_HTTPGET, 1L);
	SET(t, CURLOPT_CUSTOMREQUEST, strcmp(method, "GET") == 0 ? NULL : method);
}

static int check_setup(struct transfer *t)
{
	return t->setup == CURLE_OK ? 0 : transfer_refuse(t, -ENOMEM, "out of memory");
}

int transfer_prepare(struct transfer *t, const struct request *q, struct curl_slist *headers)
{
	int r;

	forget(t);
	take_headers(t, headers);
	t->max_bytes = q->max_bytes;
	set_method(t, q->method, q->body, q->size);
	SET(t, CURLOPT_URL, q->url);
	SET(t, CURLOPT_RANGE, NULL);
	SET(t, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)q->max_bytes);
	SET(t, CURLOPT_MAX_RECV_SPEED_LARGE, (curl_off_t)q->rate_limit_bytes_per_sec);
	SET(t, CURLOPT_MAX_SEND_SPEED_LARGE, (curl_off_t)q->rate_limit_bytes_per_sec);
	r = check_setup(t);
	return r < 0 ? r : collect(t, "", 0); /* an answer without a body has an empty one */
}

int transfer_prepare_range(struct transfer *t, const struct http_range *range,
			   struct curl_slist *headers)
{
	char text[48];

	forget(t);
	take_headers(t, headers);
	t->is_range = true;
	t->range = *range;
	t->range.url = NULL;
	if (range->if_range) {
		(void)snprintf(t->if_range, sizeof t->if_range, "%s", range->if_range);
		t->range.if_range = t->if_range;
	}
	(void)snprintf(text, sizeof text, "%ju-%ju", (uintmax_t)range->first,
		       (uintmax_t)range->last);
	set_method(t, "GET", NULL, 0);
	SET(t, CURLOPT_URL, range->url);
	SET(t, CURLOPT_RANGE, text);
	SET(t, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)0);
	/* libcurl takes all that is there and then stops reading for as long as that should have taken,
	 * which nobody could tell from a link that stands still. */
	SET(t, CURLOPT_MAX_RECV_SPEED_LARGE, (curl_off_t)0);
	return check_setup(t);
}

void transfer_limit(struct transfer *t, uint64_t timeout_msec, uint64_t low_speed_bytes_per_sec,
		    uint64_t low_speed_sec)
{
	(void)curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, as_long(timeout_msec));
	(void)curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_LIMIT, as_long(low_speed_bytes_per_sec));
	(void)curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, as_long(low_speed_sec));
}

int transfer_redirect(struct transfer *t, const char *url, struct curl_slist *headers)
{
	take_headers(t, headers);
	forget_answer(t);
	t->n_redirects++;
	SET(t, CURLOPT_URL, url);
	return check_setup(t);
}
