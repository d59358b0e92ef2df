/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPS client, the only place that knows libcurl. One struct http keeps its connections and TLS
 * sessions: requests to the same host go over one kept TLS connection, one after another or, as
 * ranges in flight, side by side (HTTP/2; with HTTP/1.1 over a connection each). A connection that
 * was lost is made again by resuming its session. One that a request timed out on is not used
 * again, whatever it looks like.
 *
 * Always: https only (unless allow_plain, for test programs), TLS 1.2 or newer (to a proxy as well),
 * peer and host name verified, no content decoding (any Content-Encoding is an error), no cookies, no netrc, no proxy
 * but the configured one, bodies and headers counted while they arrive. Nothing of the answer's
 * lengths is trusted. A redirect of a GET is followed where allowed_hosts names the host, over https,
 * at most HTTP_MAX_REDIRECTS times, without the Authorization header; any other redirect is -EREMCHG.
 */
#ifndef COMMON_HTTP_H
#define COMMON_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define HTTP_MAX_REDIRECTS 3u
#define HTTP_MAX_IN_FLIGHT 16u

struct http_options {
	const char *ca_file;	 /* trust only these CAs; NULL: the system's */
	const char *client_cert; /* NULL: none */
	const char *client_key;
	const char *proxy;	   /* NULL: none, whatever the environment says */
	const char *interface;	   /* bind to it; NULL: any */
	const char *unix_socket;   /* connect to this instead (queryctl); NULL: no */
	const char *allowed_hosts; /* separated by spaces, for redirects; NULL: none */
	const char *user_agent;
	const char *bearer_token; /* sent as Authorization: Bearer; NULL: none */
	uint64_t connect_timeout_sec;
	/* Slower than this for low_speed_sec: give up. Ranges in flight are counted together. */
	uint64_t low_speed_bytes_per_sec;
	uint64_t low_speed_sec;
	uint64_t request_timeout_sec; /* one request, as a whole; ranges see http_limit_time() */
	/* 0: none. Each request waits until all before it have had their time, what was sent too. A range
	 * comes as fast as it can, so with a limit ranges should be short, and one at a time. */
	uint64_t rate_limit_bytes_per_sec;
	/* How often http_get() and http_send() ask, for what a link or a server that is down has lost:
	 * with the waits of common/backoff.h, and within http_limit_time(). 0: once. Ranges are asked for
	 * once. Before each wait, waiting (NULL: none) is told. */
	unsigned attempts;
	void (*waiting)(void *userdata, uint64_t msec, const char *why);
	void *userdata;
	bool allow_plain; /* http:// and Unix sockets too */
	/* The time by which certificates must not have expired; 0: what the system clock says. If it is
	 * given it need only be known to have passed, as on a machine that has lost its clock: so a
	 * certificate may also be from later. Who signs it for that does not sign it for a date to come. */
	int64_t now_sec;
};

struct http;
_must_check_ int http_new(const struct http_options *options, struct http **ret);
struct http *http_free(struct http *h);
DEFINE_CLEANUP(struct http *, http_free);

/* From now on all requests together may take so long, then they end with -ETIMEDOUT; 0: no limit.
 * While there is one, a range may take all of it, and not only request_timeout_sec. */
void http_limit_time(struct http *h, uint64_t sec);

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
 * -ECONNREFUSED, -ENETUNREACH (name resolution, connection), -ECONNABORTED (a TLS handshake that broke
 * off, or that found no version both speak), -EKEYREJECTED (TLS verification),
 * -EKEYEXPIRED (the same, since the time of a certificate is over),
 * -EPROTO (malformed), -EREMCHG (redirect), -EFBIG, -EINVAL (URL), -ECANCELED, -EIO. http_error()
 * has the sentence. -EBUSY while ranges are in flight. */
_must_check_ int http_get(struct http *h, const char *url, size_t max_bytes,
			  struct http_response *ret);
_must_check_ int http_send(struct http *h, const char *method, const char *url, const void *body,
			   size_t size, size_t max_bytes, struct http_response *ret);

/* PUT of a part of something that is total bytes long: size bytes from first on, with Content-Range. The rest
 * is as http_send(). */
_must_check_ int http_send_part(struct http *h, const char *url, const void *bytes, size_t size,
				uint64_t first, uint64_t total, size_t max_bytes,
				struct http_response *ret);

/* GET of bytes first … last. The sink sees only body bytes of a 206 whose Content-Range is exactly
 * what was asked (its total included), at most last-first+1 of them; it may stop the
 * request by returning a negative errno, which is passed on. A 200 is -ENOTSUP (Range ignored)
 * before any byte reaches the sink; another total, or an ETag or date that is not if_range's, is
 * -ESTALE; another range is -EPROTO. A body that ends early is -EIO. Statuses other than 2xx are no error here:
 * look at status; their body is dropped. */
typedef int (*http_sink_fn)(void *userdata, const void *bytes, size_t size);
struct http_range {
	const char *url;
	uint64_t first, last;
	uint64_t total;	      /* of the whole file */
	const char *if_range; /* an ETag or date from an earlier answer, NULL for none */
	http_sink_fn sink;    /* called from within http_wait() */
	void *userdata;
};

/* Asks for one more range, HTTP_MAX_IN_FLIGHT at most (-EBUSY). What is in *range is copied. */
_must_check_ int http_start_range(struct http *h, const struct http_range *range);

struct http_ended {
	void *userdata; /* of its http_range */
	int error;	/* 0, or why it failed: as above */
	/* Of a failed one: as far as its head had come, status 0 if not at all. Nothing to release. */
	struct http_response response;
};

/* Moves bytes. 1 when a range has ended, 0 when something has come or the time is up. One that has
 * ended is told once. -ENOENT when nothing is in flight. */
_must_check_ int http_wait(struct http *h, uint64_t timeout_msec, struct http_ended *ret);
/* Ends all that is in flight; nothing of it is told. */
void http_cancel(struct http *h);

/* The last error as a sentence, never NULL. */
const char *http_error(const struct http *h);
/* Bytes received so far over all requests that have ended (headers and bodies) and number of
 * connections made. */
uint64_t http_received_bytes(const struct http *h);
uint64_t http_connections(const struct http *h);

/* Appends path to base ("https://h/repo" + "metadata/timestamp.json"), percent-encoding each
 * component of path by RFC 3986 (slashes kept). Caller frees. */
_must_check_ int http_join_url(const char *base, const char *path, char **ret);
/* Host (lower case) of an https URL. -EINVAL if it is none or has user info. Caller frees. */
_must_check_ int http_url_host(const char *url, char **ret_host);
/* Is host one of the words of list (separated by spaces; NULL: none)? */
bool http_host_is_listed(const char *list, const char *host);

#endif
