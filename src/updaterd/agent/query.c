/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/query.h"

#include <ctype.h>
#include <string.h>

#include "common/fsutil.h"

#define FILE_SERVER_MAX_BYTES 1024u

void answer_done(struct answer *a)
{
	free(a->file_server);
	memset(a, 0, sizeof *a);
}

static int parse_offer(const cJSON *object, struct offer *ret, struct json_error *error)
{
	static const char *const known[] = { "program", "version", "target", NULL };
	const char *program, *version, *target;
	struct offer o = { 0 };
	int r;

	if (!cJSON_IsObject(object))
		return json_refuse(error, "", "not an object");
	r = json_only_keys(object, known, error);
	if (r >= 0)
		r = json_get_string(object, "program", &program, error);
	if (r >= 0)
		r = json_get_string(object, "version", &version, error);
	if (r >= 0)
		r = json_get_string(object, "target", &target, error);
	if (r < 0)
		return -EBADMSG;
	if (version_parse(version, &o.version) < 0)
		return json_refuse(error, "version", "not a version");
	if (program[0] != o.version.program || program[1] != '\0')
		return json_refuse(error, "program", "not the program of the version");
	if (strlen(target) > QUERY_MAX_TARGET_BYTES || !fs_is_safe_path(target))
		return json_refuse(error, "target", "not a safe path");
	(void)snprintf(o.target, sizeof o.target, "%s", target);
	*ret = o;
	return 0;
}

static int by_program(const void *a, const void *b)
{
	const struct offer *x = a, *y = b;

	return x->version.program - y->version.program;
}

static int parse_offers(const cJSON *array, struct answer *a, struct json_error *error)
{
	const cJSON *item;

	if (cJSON_GetArraySize(array) > CONF_MAX_PROGRAMS)
		return json_refuse(error, "new", "too many entries");
	cJSON_ArrayForEach (item, array) {
		int r = parse_offer(item, &a->offers[a->n_offers], error);

		if (r < 0) {
			json_error_prefix(error, "new");
			return r;
		}
		a->n_offers++;
	}
	qsort(a->offers, a->n_offers, sizeof a->offers[0], by_program);
	for (size_t i = 1; i < a->n_offers; i++)
		if (version_same_program(&a->offers[i - 1].version, &a->offers[i].version))
			return json_refuse(error, "new", "two entries for one program");
	return 0;
}

static int parse_file_server(const cJSON *object, char **ret, struct json_error *error)
{
	const char *url;
	int r = json_get_string(object, "file_server", &url, error);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (strncmp(url, "https://", 8) != 0 || strlen(url) > FILE_SERVER_MAX_BYTES)
		return json_refuse(error, "file_server", "not an https URL");
	for (const char *p = url; *p; p++)
		if (!isgraph((unsigned char)*p) || strchr("?#\"<>\\^`{|}", *p))
			return json_refuse(error, "file_server", "not a plain URL");
	*ret = strdup(url);
	return *ret ? 0 : -ENOMEM;
}

/* Members that are not known are let through at the top: a later server may say more. */
int offer_parse(const void *bytes, size_t size, struct answer *ret, struct json_error *error)
{
	const struct json_limits limits = { .max_bytes = QUERY_MAX_ANSWER_BYTES, .max_depth = 8 };
	_cleanup_json_ cJSON *object = NULL;
	struct json_error ignored = { 0 };
	struct answer a = { 0 };
	const cJSON *array;
	int r;

	if (!error)
		error = &ignored;
	r = json_parse(bytes, size, &limits, &object, error);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || !cJSON_IsObject(object))
		return r < 0 ? -EBADMSG : json_refuse(error, "", "not an object");
	r = json_get_array(object, "new", &array, error);
	if (r < 0)
		return -EBADMSG;
	r = parse_offers(array, &a, error);
	if (r >= 0)
		r = parse_file_server(object, &a.file_server, error);
	if (r < 0)
		return r;
	*ret = a;
	return 0;
}

static bool add_programs(cJSON *body, const struct version *versions, size_t n_versions)
{
	cJSON *programs = cJSON_AddObjectToObject(body, "programs");

	for (size_t i = 0; programs && i < n_versions; i++) {
		const char letter[2] = { versions[i].program, '\0' };
		cJSON *program = cJSON_AddObjectToObject(programs, letter);

		if (!program || !cJSON_AddStringToObject(program, "version", versions[i].text))
			return false;
	}
	return programs;
}

int query_build(const struct conf *conf, const struct identity *identity,
		const struct version *versions, size_t n_versions, char **ret_body)
{
	_cleanup_json_ cJSON *body = cJSON_CreateObject();
	char *text;

	if (!body)
		return -ENOMEM;
	if (!cJSON_AddItemToObject(body, "identity", identity_to_json(identity)) ||
	    !cJSON_AddStringToObject(body, "arch", conf->arch) ||
	    (conf->model && !cJSON_AddStringToObject(body, "model", conf->model)) ||
	    !add_programs(body, versions, n_versions))
		return -ENOMEM;
	text = json_print(body);
	if (!text)
		return -ENOMEM;
	*ret_body = text;
	return 0;
}

int query_check_file_server(const struct conf *conf, const char *file_server)
{
	_cleanup_free_ char *host = NULL, *own = NULL;
	int r;

	r = http_url_host(file_server, &host);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return -EACCES;
	r = http_url_host(conf->url, &own);
	if (r < 0)
		return r;
	return strcmp(host, own) == 0 || http_host_is_listed(conf->allowed_hosts, host) ? 0
											: -EACCES;
}

static int judge_status(const struct http_response *response, struct failure *failure)
{
	if (response->status == 200)
		return 0;
	if (response->status == 429 || response->status >= 500) {
		(void)failure_set(failure, -EAGAIN, REASON_SERVER_ERROR,
				  "the query server answered %ld%s", response->status,
				  response->retry_after_sec ? " and asks for patience" : "");
		failure->retry_after_sec = response->retry_after_sec;
		return -EAGAIN;
	}
	return failure_set(failure, -EPROTO, REASON_SERVER_ERROR,
			   "the query server answered %ld: %.200s", response->status,
			   response->body ? response->body : "");
}

int query_ask(struct http *http, const struct conf *conf, const struct identity *identity,
	      const struct version *versions, size_t n_versions, struct answer *ret,
	      struct failure *failure)
{
	_cleanup_(http_response_done) struct http_response response = { 0 };
	_cleanup_free_ char *url = NULL, *body = NULL;
	struct json_error error = { 0 };
	int r;

	r = query_build(conf, identity, versions, n_versions, &body);
	if (r >= 0)
		r = http_join_url(conf->url, "v1/query", &url);
	if (r < 0)
		return failure_set_errno(failure, r, "query");
	http_limit_time(http, conf->query_timeout_sec);
	r = http_send(http, "POST", url, body, strlen(body), QUERY_MAX_ANSWER_BYTES, &response);
	if (r < 0)
		return failure_set_http(failure, r, http, conf->url);
	r = judge_status(&response, failure);
	if (r < 0)
		return r;
	r = offer_parse(response.body, response.body_size, ret, &error);
	if (r < 0)
		return failure_set(failure, r, REASON_BAD_ANSWER, "the answer is malformed: %s%s%s",
				   error.field, error.field[0] ? ": " : "", error.text);
	if (ret->file_server && query_check_file_server(conf, ret->file_server) < 0) {
		(void)failure_set(
			failure, -EPROTO, REASON_BAD_ANSWER,
			"the answer names file server '%.200s', which is not in allowed_hosts",
			ret->file_server);
		answer_done(ret);
		return -EPROTO;
	}
	return 0;
}
