/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT /v1/results/{txid}: the body is judged against the words of include/common/reason.h and
 * archived as it came, members that are not known here included.
 */
#ifndef QUERYD_RESULTS_H
#define QUERYD_RESULTS_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "queryd/identity.h"
#include "queryd/store.h"

#define RESULT_DETAIL_MAX_BYTES 500

struct result_parsed {
	struct store_result row; /* its strings are borrowed from the members below */
	struct identity identity;
	char *versions;
	cJSON *json;
};
/* -EBADMSG naming the field. txid is that of the path; the body's must be the same. */
_must_check_ int results_parse(const char *txid, const char *body, size_t size,
			       struct result_parsed *ret, struct json_error *error);
void results_parsed_done(struct result_parsed *r);

#endif
