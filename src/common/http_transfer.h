/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request: an easy handle of libcurl, what it asks for, and the judgement of what comes. Knows
 * nothing of the other requests; http.c makes it move.
 */
#ifndef COMMON_HTTP_TRANSFER_H
#define COMMON_HTTP_TRANSFER_H

#include <curl/curl.h>

#include "common/http.h"
#include "http_head.h"

#define HTTP_ERROR_BYTES	 (CURL_ERROR_SIZE + 64)
#define HTTP_MAX_VALIDATOR_BYTES 128u

struct transfer {
	struct transfer *next; /* in http.c's lists */
	CURL *easy;
	CURLcode setup; /* the first option that could not be set */
	struct curl_slist *headers;
	char curl_error[CURL_ERROR_SIZE];
	char error[HTTP_ERROR_BYTES];

	struct http_head head;
	bool is_judged;
	int verdict;	/* our own, which ends the transfer */
	bool is_enough; /* we ended it, but what is there will do */

	bool may_redirect;    /* a GET, with hosts that are allowed */
	bool is_redirected;   /* the answer is one to follow */
	unsigned n_redirects; /* followed */

	char *body; /* without a range: collected */
	size_t body_size, body_allocated, max_bytes;

	bool is_range;
	struct http_range range;
	char if_range[HTTP_MAX_VALIDATOR_BYTES];
	uint64_t sunk_bytes;
	size_t dropped_bytes;
	uint64_t *moved_bytes; /* counted up as they come */
};

/* What is the same for all requests; *h_now_sec must live as long as the handle. */
_must_check_ int transfer_make_template(const struct http_options *options, const int64_t *now_sec,
					CURL **ret);
_must_check_ int transfer_new(CURL *template, CURLSH *share, struct transfer **ret);
struct transfer *transfer_free(struct transfer *t);
DEFINE_CLEANUP(struct transfer *, transfer_free);

struct request {
	const char *method, *url;
	const void *body;
	size_t size, max_bytes;
	uint64_t rate_limit_bytes_per_sec; /* 0: none */
};

/* Nothing of the request before is left. headers: "Name: value", taken over. */
_must_check_ int transfer_prepare(struct transfer *t, const struct request *q,
				  struct curl_slist *headers);
_must_check_ int transfer_prepare_range(struct transfer *t, const struct http_range *range,
					struct curl_slist *headers);
/* How long it may take, and how slow it may be; 0: no limit. */
void transfer_limit(struct transfer *t, uint64_t timeout_msec, uint64_t low_speed_bytes_per_sec,
		    uint64_t low_speed_sec);
/* The same request again, elsewhere. */
_must_check_ int transfer_redirect(struct transfer *t, const char *url, struct curl_slist *headers);

/* What its end means: as http_get() and http_start_range() say. Says what is wrong in t->error. */
_must_check_ int transfer_judge(struct transfer *t, CURLcode code);
int transfer_refuse(struct transfer *t, int error, const char *format, ...) _printf_(3, 4);

#endif
