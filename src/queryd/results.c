/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/results.h"

#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/reason.h"
#include "common/txid.h"
#include "common/version.h"
#include "queryd/query.h"
#include "queryd/service.h"

#define U64_JSON_MAX ((UINT64_C(1) << 53) - 1)

/* ---- the members ---- */

static int parse_txid(const cJSON *json, const char *expected, struct store_result *row,
		      struct json_error *error)
{
	int r = json_get_string(json, "txid", &row->txid, error);

	if (r < 0)
		return r;
	return strcmp(row->txid, expected) == 0
		       ? 0
		       : json_refuse(error, "txid", "is not that of the path");
}

static int parse_program(const cJSON *json, struct store_result *row, struct json_error *error)
{
	int r = json_get_string(json, "program", &row->program, error);

	if (r < 0)
		return r;
	if (row->program[0] < 'A' || row->program[0] > 'Z' || row->program[1] != '\0')
		return json_refuse(error, "program", "must be a letter A to Z");
	return 0;
}

/* An attempt that failed early may not know one of its versions; it is empty then. */
static int parse_version(const cJSON *json, const char *key, const char *program, const char **ret,
			 struct json_error *error)
{
	const char *text = NULL;
	struct version version;
	int r;

	r = json_get_string(json, key, &text, error);
	if (r < 0)
		return r;
	if (*text && version_parse(text, &version) < 0)
		return json_refuse(error, key, "not a version (like B202109010001)");
	if (*text && version.program != program[0])
		return json_refuse(error, key, "a version of another program");
	*ret = text;
	return 0;
}

static int parse_kind(const cJSON *json, struct json_error *error)
{
	const char *kind = NULL;
	int r = json_get_string(json, "kind", &kind, error);

	if (r < 0)
		return r;
	if (strcmp(kind, "upgrade") != 0 && strcmp(kind, "rollback") != 0 &&
	    strcmp(kind, "repair") != 0)
		return json_refuse(error, "kind", "must be upgrade, rollback or repair");
	return 0;
}

static int parse_word(const cJSON *json, const char *key, int (*from_name)(const char *name),
		      const char **ret, struct json_error *error)
{
	int r = json_get_string(json, key, ret, error);

	if (r < 0)
		return r;
	return from_name(*ret) < 0 ? json_refuse(error, key, "not a word of the protocol") : 0;
}

static int parse_optional(const cJSON *json, struct json_error *error)
{
	static const char *const numbers[] = {
		"started_sec",	 "duration_ms",	     "downtime_ms",
		"bytes_fetched", "segments_fetched", "segments_again",
	};
	const char *detail = "";
	uint64_t number;
	int r;

	r = json_get_string(json, "detail", &detail, error);
	if (r < 0 && r != -ENOENT)
		return r;
	if (strlen(detail) > RESULT_DETAIL_MAX_BYTES)
		return json_refuse(error, "detail", "must be at most 500 bytes");
	for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
		r = json_get_u64(json, numbers[i], U64_JSON_MAX, &number, error);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

static int parse_versions(const cJSON *json, char **ret, struct json_error *error)
{
	const cJSON *versions = NULL;
	int r;

	r = json_get_object(json, "versions", &versions, error);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	r = query_parse_versions(versions, error);
	if (r < 0) {
		json_error_prefix(error, "versions");
		return r;
	}
	if (!versions->child)
		return 0;
	*ret = json_print(versions);
	return *ret ? 0 : -ENOMEM;
}

static int parse_members(const char *txid, struct result_parsed *p, struct json_error *error)
{
	struct store_result *row = &p->row;
	int r;

	r = parse_txid(p->json, txid, row, error);
	if (r >= 0)
		r = identity_from_json(p->json, &p->identity, error);
	if (r >= 0)
		r = parse_program(p->json, row, error);
	if (r >= 0)
		r = parse_kind(p->json, error);
	if (r >= 0)
		r = parse_version(p->json, "from", row->program, &row->from, error);
	if (r >= 0)
		r = parse_version(p->json, "to", row->program, &row->to, error);
	if (r >= 0)
		r = parse_word(p->json, "outcome", outcome_from_name, &row->outcome, error);
	if (r >= 0)
		r = parse_word(p->json, "step", step_from_name, &row->step, error);
	if (r >= 0)
		r = parse_word(p->json, "reason", reason_from_name, &row->reason, error);
	if (r >= 0)
		r = parse_optional(p->json, error);
	if (r >= 0)
		r = parse_versions(p->json, &p->versions, error);
	return r < 0 ? r : 0;
}

void results_parsed_done(struct result_parsed *p)
{
	cJSON_Delete(p->json);
	free(p->versions);
	*p = (struct result_parsed){ 0 };
}

int results_parse(const char *txid, const char *body, size_t size, struct result_parsed *ret,
		  struct json_error *error)
{
	const struct json_limits limits = { .max_bytes = 16384 };
	_cleanup_(results_parsed_done) struct result_parsed p = { 0 };
	int r;

	*error = (struct json_error){ 0 };
	r = json_parse(body, size, &limits, &p.json, error);
	if (r < 0)
		return r;
	if (!cJSON_IsObject(p.json))
		return json_refuse(error, "", "must be an object");
	r = parse_members(txid, &p, error);
	if (r < 0)
		return r;
	*ret = p;
	ret->row.body = body;
	ret->row.identity = ret->identity.text;
	ret->row.versions = ret->versions;
	p = (struct result_parsed){ 0 };
	return 0;
}

/* ---- the call ---- */

void results_handle(struct service *s, const struct request *request, struct answer *ret)
{
	_cleanup_(results_parsed_done) struct result_parsed p = { 0 };
	_cleanup_json_ cJSON *json = NULL;
	struct json_error error;
	int r;

	if (!txid_is_valid(request->rest)) {
		answer_error(ret, 400, "txid", "must be a UUID in lower case, with dashes");
		return;
	}
	r = results_parse(request->rest, request->body, request->body_size, &p, &error);
	if (r < 0) {
		answer_error(ret, r == -ENOMEM ? 500 : 400, error.field, "%s", error.text);
		return;
	}
	p.row.received_sec = (int64_t)time(NULL);
	r = store_archive_result(s->store, &p.row);
	if (r < 0) {
		service_answer_store_error(s, r, ret);
		return;
	}
	service_note_store(s, 0);
	if (r > 0)
		log_info("result of %s: program %s, '%s' to '%s': %s at %s (%s)", p.row.identity,
			 p.row.program, p.row.from, p.row.to, p.row.outcome, p.row.step,
			 p.row.reason);
	json = cJSON_CreateObject();
	answer_json(ret, r > 0 ? 201 : 200, json);
}
