/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an answer, line by line as it arrives: bounded, and taken into the few fields that
 * matter here. Knows nothing of the transport; http.c feeds it and judges the result.
 */
#ifndef COMMON_HTTP_HEAD_H
#define COMMON_HTTP_HEAD_H

#include <time.h>

#include "common/http.h"

/* Over everything that comes before (and after) the body of one answer, interim answers included. */
#define HTTP_MAX_HEAD_LINES 64u
#define HTTP_MAX_HEAD_BYTES (16u << 10)

struct http_head {
	unsigned n_lines;
	size_t n_bytes;
	bool complete; /* of the final answer: the body comes next */
	struct http_response fields;
	bool has_content_range; /* fields.has_range tells whether it made sense */
	bool has_content_encoding;
	bool has_transfer_encoding;
	bool has_content_length;
	uint64_t content_length;
	time_t date, retry_at; /* 0: none */
	const char *fault;     /* what was wrong, when a line was refused */
};

/* One line with its line end, as it came. -EPROTO with head->fault set. */
_must_check_ int http_head_line(struct http_head *head, const char *line, size_t size);

/* Settles what needs the whole head: turns a Retry-After date into seconds, by the server's own
 * clock if it told its time, since ours may be far off. */
void http_head_finish(struct http_head *head);

#endif
