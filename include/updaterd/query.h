/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The question and the answer: POST /v1/query of docs/PROTOCOL.md. The answer only chooses; nothing
 * in it is a reason to install anything.
 */
#ifndef UPDATERD_QUERY_H
#define UPDATERD_QUERY_H

#include <stddef.h>

#include "common/cleanup.h"
#include "common/http.h"
#include "common/json.h"
#include "common/version.h"
#include "updaterd/conf.h"
#include "updaterd/failure.h"
#include "updaterd/identity.h"

#define QUERY_MAX_ANSWER_BYTES (64u << 10)
#define QUERY_MAX_TARGET_BYTES 255

struct offer {
	struct version version;
	char target[QUERY_MAX_TARGET_BYTES +
		    1]; /* "B/B202109010001-arm64.tar.xz", fs_is_safe_path() */
};

struct answer {
	struct offer offers[CONF_MAX_PROGRAMS]; /* sorted by program: A first */
	size_t n_offers;
	char *file_server; /* base URL of the repository; NULL: the query server's own */
};

void answer_done(struct answer *a);

/* Pure: bytes in, answer out; ret is untouched on failure. -EBADMSG, with the field in error (may be
 * NULL), for anything that is not exactly the form. Call answer_done() on the result. */
_must_check_ int offer_parse(const void *bytes, size_t size, struct answer *ret,
			     struct json_error *error);

/* The body of the question. versions are those that run, one for each program that has one. Caller
 * frees. */
_must_check_ int query_build(const struct conf *conf, const struct identity *identity,
			     const struct version *versions, size_t n_versions, char **ret_body);

/* May the repository be fetched from here? https, and the host of the query server or one of
 * allowed_hosts. -EACCES if not. */
_must_check_ int query_check_file_server(const struct conf *conf, const char *file_server);

/* Asks. Fails with -EAGAIN where the same question may be answered later (429, 5xx), with the
 * reason in failure as always. */
_must_check_ int query_ask(struct http *http, const struct conf *conf,
			   const struct identity *identity, const struct version *versions,
			   size_t n_versions, struct answer *ret, struct failure *failure);

#endif
