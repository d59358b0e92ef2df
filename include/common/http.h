/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPS client, the only place that knows libcurl. One struct http keeps its connections: requests
 * to the same host, one after another, go over one kept TLS connection.
 *
 * Always: https only (unless allow_plain, for test programs), TLS 1.2 or newer, peer and host name
 * verified, no redirects (a redirect is answered with -EREMCHG), no content decoding (any
 * Content-Encoding is an error), no cookies, no netrc, no proxy but the configured one, bodies and
 * headers counted while they arrive. Nothing of the answer's lengths is trusted.
 */
#ifndef COMMON_HTTP_H
#define COMMON_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct http_options {
	const char *ca_file;	 /* trust only these CAs; NULL: the system's */
	const char *client_cert; /* NULL: none */
	const char *client_key;
	const char *proxy;	 /* NULL: none, whatever the environment says */
	const char *interface;	 /* bind to it; NULL: any */
	const char *unix_socket; /* connect to this instead (queryctl); NULL: no */
	const char *user_agent;
	const char *bearer_token; /* sent as Authorization: Bearer; NULL: none */
	uint64_t connect_timeout_sec;
	uint64_t low_speed_bytes_per_sec; /* slower than this for low_speed_sec: give up */
	uint64_t low_speed_sec;
	uint64_t request_timeout_sec;	   /* one request, as a whole */
	uint64_t rate_limit_bytes_per_sec; /* 0: none */
	bool allow_plain;		   /* http:// and Unix sockets too */
	/* The time by which certificates must not have expired; 0: what the system clock says. If it is
	 * given it need only be known to have passed, as on a machine that has lost its clock: so a
	 * certificate may also be from later. Who signs it for that does not sign it for a date to come. */
	int64_t now_sec;
};

struct http;
_must_check_ int http_new(const struct http_options *options, struct http **ret);
struct http *http_free(struct http *h);
DEFINE_CLEANUP(struct http *, http_free);

struct http_response {
	long status;
	char *body; /* NUL-terminated, NULL if a sink took it */
	size_t body_size;
	char content_type[64];
	char etag[128]; /* as sent, "" if none or longer */
	char last_modified[64];
	bool has_range; /* a well-formed Content-Range: bytes first-last/total came */
	uint64_t range_first, range_last, range_total;
	uint64_t retry_after_sec; /* 0: none; dates are turned into seconds from now; ≤ 86400 */
	uint64_t received_bytes;  /* headers and body, as libcurl counted them */
};
void http_response_done(struct http_response *r);

/* The answer's body is collected up to max_bytes: more is -EFBIG, at once. An HTTP status that is
 * not 2xx is no error here: look at status. A body sent without a length ends where the connection
 * ends, so its reader must be able to tell a whole one (JSON, a hash). Errors: -ETIMEDOUT,
 * -ECONNREFUSED, -ENETUNREACH (name resolution, connection), -EKEYREJECTED (TLS verification),
 * -EKEYEXPIRED (the same, since the time of a certificate is over),
 * -EPROTO (malformed), -EREMCHG (redirect), -EFBIG, -EINVAL (URL), -ECANCELED, -EIO. http_error()
 * has the sentence. */
_must_check_ int http_get(struct http *h, const char *url, size_t max_bytes,
			  struct http_response *ret);
_must_check_ int http_send(struct http *h, const char *method, const char *url, const void *body,
			   size_t size, size_t max_bytes, struct http_response *ret);

/* GET of bytes first … last. The sink sees only body bytes of a 206 whose Content-Range is exactly
 * what was asked (total equal to expected_total), at most last-first+1 of them; it may stop the
 * request by returning a negative errno, which is passed on. A 200 is -ENOTSUP (Range ignored)
 * before any byte reaches the sink; another total or range, or an ETag or date that is not
 * if_range's, is -ESTALE. A body that ends early is -EIO. Statuses other than 2xx are no error here:
 * look at status; their body is dropped. if_range: an ETag or date from an earlier answer, NULL for
 * none. */
typedef int (*http_sink_fn)(void *userdata, const void *bytes, size_t size);
_must_check_ int http_get_range(struct http *h, const char *url, uint64_t first, uint64_t last,
				uint64_t expected_total, const char *if_range, http_sink_fn sink,
				void *userdata, struct http_response *ret);

/* The last error as a sentence, never NULL. */
const char *http_error(const struct http *h);
/* Bytes received so far over all requests (headers and bodies) and number of connections made. */
uint64_t http_received_bytes(const struct http *h);
uint64_t http_connections(const struct http *h);

/* Appends path to base ("https://h/repo" + "metadata/timestamp.json"), percent-encoding each
 * component of path by RFC 3986 (slashes kept). Caller frees. */
_must_check_ int http_join_url(const char *base, const char *path, char **ret);
/* Host (lower case) of an https URL. -EINVAL if it is none or has user info. Caller frees. */
_must_check_ int http_url_host(const char *url, char **ret_host);

#endif
