/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /v1/query: what a gateway says of itself, and what it is offered.
 *
 * For each program the newest release for the gateway's architecture and model counts, and only
 * that: it is offered if it is newer than what runs and the gateway is not on its blacklist. A
 * blacklisted gateway is not offered a version in between, which nobody chose for it.
 */
#ifndef QUERYD_QUERY_H
#define QUERYD_QUERY_H

#include <cjson/cJSON.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/manifest.h"
#include "common/version.h"
#include "queryd/identity.h"
#include "queryd/releases.h"
#include "queryd/store.h"

#define QUERY_MAX_PROGRAMS 26
#define MODEL_MAX_LENGTH   64

struct query {
	struct identity identity;
	char arch[ARCH_MAX_LENGTH + 1];
	char model[MODEL_MAX_LENGTH + 1];	     /* "" if none was told */
	struct version programs[QUERY_MAX_PROGRAMS]; /* sorted by letter, each once */
	size_t n_programs;
};

/* Strict: an unknown member is refused as well. -EBADMSG naming the field. */
_must_check_ int query_parse(const void *body, size_t size, struct query *ret,
			     struct json_error *error);
/* The answer's object; file_server may be NULL. Errors are the store's. */
_must_check_ int query_answer(const struct query *q, const struct releases *releases,
			      struct store *store, const char *file_server, cJSON **ret);

/* {"A":"A202108010001",…}: the member "versions" of a result, or what the programs of a query come
 * to. A letter must be that of its version. */
_must_check_ int query_parse_versions(const cJSON *object, struct json_error *error);

#endif
