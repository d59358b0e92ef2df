/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP exchange, free of the HTTP library: what the handlers get and what they give. So every
 * handler can be called by a test as the server calls it.
 */
#ifndef QUERYD_EXCHANGE_H
#define QUERYD_EXCHANGE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

enum method {
	METHOD_GET = 1 << 0,
	METHOD_HEAD = 1 << 1,
	METHOD_POST = 1 << 2,
	METHOD_PUT = 1 << 3,
	METHOD_DELETE = 1 << 4,
	METHOD_OTHER = 1 << 5,
};

#define REQUEST_MAX_ARGUMENTS 8

struct request_argument {
	const char *name;
	const char *value; /* "" for a name alone */
};

/* Everything is borrowed from the server, for the time of the call. */
struct request {
	enum method method;
	const char *path; /* percent-decoded */
	const char *rest; /* what follows the route's prefix; set by the router */
	const char *body; /* NUL-terminated, the NUL is not counted */
	size_t body_size;
	bool announced_body;	   /* Content-Length or chunked */
	const char *authorization; /* header values; NULL if absent */
	const char *range;
	const char *if_range;
	const char *if_none_match;
	const char *content_range;
	const char *content_length;
	struct request_argument arguments[REQUEST_MAX_ARGUMENTS];
	size_t n_arguments;
};

/* NULL if there is no such argument. */
const char *request_argument(const struct request *r, const char *name);

#define ANSWER_MAX_HEADERS	8
#define ANSWER_HEADER_MAX_BYTES 128

struct answer {
	unsigned status;
	char *body; /* malloc'd, or NULL */
	size_t body_size;
	int fd; /* the body is length bytes of this file from offset, if not FD_NONE */
	uint64_t offset, length;
	struct {
		const char *name; /* static */
		char value[ANSWER_HEADER_MAX_BYTES];
	} headers[ANSWER_MAX_HEADERS];
	size_t n_headers;
};

void answer_init(struct answer *a);
void answer_done(struct answer *a);

/* A name must be a string constant; a value that does not fit is a bug of ours and is left out. */
void answer_header(struct answer *a, const char *name, const char *format, ...) _printf_(3, 4);
/* The body is json's compact text (json may be NULL when memory ran out: 500). Takes nothing. */
void answer_json(struct answer *a, unsigned status, const cJSON *json);
/* {"error":"field: sentence","field":"field"}; field may be NULL. */
void answer_error(struct answer *a, unsigned status, const char *field, const char *format, ...)
	_printf_(4, 5);

#endif
