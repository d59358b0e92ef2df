/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/query.h"

#include <string.h>
#include <time.h>

#include "common/log.h"
#include "queryd/service.h"

/* ---- parsing ---- */

static int parse_arch(const cJSON *json, struct query *q, struct json_error *error)
{
	const char *arch = NULL;
	size_t length;
	int r;

	r = json_get_string(json, "arch", &arch, error);
	if (r < 0)
		return r;
	length = strlen(arch);
	if (length < 1 || length > ARCH_MAX_LENGTH || arch[0] == '-' ||
	    strspn(arch, "abcdefghijklmnopqrstuvwxyz0123456789-") != length)
		return json_refuse(error, "arch", "must be as dpkg names it (1 to %d of a-z 0-9 -)",
				   ARCH_MAX_LENGTH);
	memcpy(q->arch, arch, length + 1);
	return 0;
}

static int parse_model(const cJSON *json, struct query *q, struct json_error *error)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._:-";
	const char *model = NULL;
	size_t length;
	int r;

	r = json_get_string(json, "model", &model, error);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	length = strlen(model);
	if (length < 1 || length > MODEL_MAX_LENGTH || strspn(model, allowed) != length)
		return json_refuse(error, "model", "must be 1 to %d of A-Z a-z 0-9 . _ : -",
				   MODEL_MAX_LENGTH);
	memcpy(q->model, model, length + 1);
	return 0;
}

/* One version under its letter. path is what the letter is a member of. */
static int parse_version(const char *letter, const char *text, struct version *ret,
			 struct json_error *error)
{
	struct version version;

	if (version_parse(text, &version) < 0)
		return json_refuse(error, "", "not a version (like %c202109010001)", letter[0]);
	if (version.program != letter[0])
		return json_refuse(error, "", "a version of program %c, not of %c", version.program,
				   letter[0]);
	*ret = version;
	return 0;
}

static int check_letter(const char *key, struct json_error *error)
{
	if (key[0] < 'A' || key[0] > 'Z' || key[1] != '\0')
		return json_refuse(error, key, "not a program (a letter A to Z)");
	return 0;
}

static int parse_program(const cJSON *program, struct version *ret, struct json_error *error)
{
	static const char *const members[] = { "version", NULL };
	const char *version = NULL;
	int r;

	r = check_letter(program->string, error);
	if (r < 0)
		return r;
	if (!cJSON_IsObject(program))
		return json_refuse(error, program->string, "must be an object");
	r = json_only_keys(program, members, error);
	if (r >= 0)
		r = json_get_string(program, "version", &version, error);
	if (r >= 0) {
		r = parse_version(program->string, version, ret, error);
		if (r < 0)
			json_error_prefix(error, "version");
	}
	if (r < 0)
		json_error_prefix(error, program->string);
	return r;
}

static int compare_letters(const void *left, const void *right)
{
	const struct version *a = left, *b = right;

	return (a->program > b->program) - (a->program < b->program);
}

static int parse_programs(const cJSON *json, struct query *q, struct json_error *error)
{
	const cJSON *programs = NULL, *program;
	int r;

	r = json_get_object(json, "programs", &programs, error);
	if (r < 0)
		return r;
	if (!programs->child)
		return json_refuse(error, "programs", "must name one program at least");
	/* A letter comes once, since the reader refuses duplicate members: there are at most 26. */
	cJSON_ArrayForEach (program, programs) {
		r = parse_program(program, &q->programs[q->n_programs], error);
		if (r < 0) {
			json_error_prefix(error, "programs");
			return r;
		}
		q->n_programs++;
	}
	qsort(q->programs, q->n_programs, sizeof q->programs[0], compare_letters);
	return 0;
}

int query_parse(const void *body, size_t size, struct query *ret, struct json_error *error)
{
	static const char *const members[] = { "identity", "arch", "model", "programs", NULL };
	const struct json_limits limits = { .max_bytes = 16384, .max_depth = 8 };
	_cleanup_json_ cJSON *json = NULL;
	struct query q = { 0 };
	int r;

	*error = (struct json_error){ 0 };
	r = json_parse(body, size, &limits, &json, error);
	if (r < 0)
		return r;
	if (!cJSON_IsObject(json))
		return json_refuse(error, "", "must be an object");
	r = json_only_keys(json, members, error);
	if (r >= 0)
		r = identity_from_json(json, &q.identity, error);
	if (r >= 0)
		r = parse_arch(json, &q, error);
	if (r >= 0)
		r = parse_model(json, &q, error);
	if (r >= 0)
		r = parse_programs(json, &q, error);
	if (r < 0)
		return r;
	*ret = q;
	return 0;
}

int query_parse_versions(const cJSON *object, struct json_error *error)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, object) {
		struct version version;
		int r = check_letter(item->string, error);

		if (r < 0)
			return r;
		if (!cJSON_IsString(item))
			return json_refuse(error, item->string, "must be a string");
		r = parse_version(item->string, item->valuestring, &version, error);
		if (r < 0) {
			json_error_prefix(error, item->string);
			return r;
		}
	}
	return 0;
}

/* ---- answering ---- */

/* NULL in *ret if this program stays as it is. */
static int choose(const struct query *q, const struct version *running,
		  const struct releases *releases, struct store *store, const struct release **ret)
{
	const struct release *newest;
	int r;

	*ret = NULL;
	newest = releases_newest(releases, running->program, q->arch, q->model);
	if (!newest || version_compare(&newest->version, running) <= 0)
		return 0;
	r = store_is_blacklisted(store, newest->version.text, q->identity.text);
	if (r == 0)
		*ret = newest;
	return r < 0 ? r : 0;
}

static int add_offer(cJSON *list, const struct release *release)
{
	cJSON *offer = cJSON_CreateObject();
	const char program[2] = { release->version.program, '\0' };

	if (!offer || !cJSON_AddItemToArray(list, offer)) {
		cJSON_Delete(offer);
		return -ENOMEM;
	}
	if (!cJSON_AddStringToObject(offer, "program", program) ||
	    !cJSON_AddStringToObject(offer, "version", release->version.text) ||
	    !cJSON_AddStringToObject(offer, "target", release->target))
		return -ENOMEM;
	return 0;
}

int query_answer(const struct query *q, const struct releases *releases, struct store *store,
		 const char *file_server, cJSON **ret)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();
	cJSON *list = cJSON_AddArrayToObject(json, "new");

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < q->n_programs; i++) {
		const struct release *release;
		int r = choose(q, &q->programs[i], releases, store, &release);

		if (r == 0 && release)
			r = add_offer(list, release);
		if (r < 0)
			return r;
	}
	/* Only an offer names the file server: "nothing new" is the same bytes everywhere. */
	if (list->child && file_server &&
	    !cJSON_AddStringToObject(json, "file_server", file_server))
		return -ENOMEM;
	*ret = TAKE_PTR(json);
	return 0;
}

/* ---- the call ---- */

static int record(struct service *s, const struct query *q)
{
	_cleanup_json_ cJSON *versions = cJSON_CreateObject();
	_cleanup_free_ char *text = NULL;
	int64_t now_sec = (int64_t)time(NULL);

	for (size_t i = 0; i < q->n_programs; i++) {
		const char letter[2] = { q->programs[i].program, '\0' };

		if (!cJSON_AddStringToObject(versions, letter, q->programs[i].text))
			return -ENOMEM;
	}
	text = json_print(versions);
	if (!text)
		return -ENOMEM;
	return store_record_gateway(s->store, &(struct store_gateway){
						      .identity = q->identity.text,
						      .arch = q->arch,
						      .model = q->model,
						      .versions = text,
						      .first_seen_sec = now_sec,
						      .last_seen_sec = now_sec,
					      });
}

void query_handle(struct service *s, const struct request *request, struct answer *ret)
{
	_cleanup_(releases_unrefp) struct releases *releases = NULL;
	_cleanup_json_ cJSON *json = NULL;
	struct query q = { 0 };
	struct json_error error;
	int r;

	r = query_parse(request->body, request->body_size, &q, &error);
	if (r < 0) {
		answer_error(ret, r == -ENOMEM ? 500 : 400, error.field, "%s", error.text);
		return;
	}
	releases = catalog_acquire(s->catalog);
	r = query_answer(&q, releases, s->store, s->conf->file_server, &json);
	if (r < 0) {
		service_answer_store_error(s, r, ret);
		return;
	}
	log_debug("query of %s: %d new", q.identity.text,
		  cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(json, "new")));
	/* A disk that is full must not keep a gateway from its upgrade. */
	service_note_store(s, record(s, &q));
	answer_json(ret, 200, json);
}
