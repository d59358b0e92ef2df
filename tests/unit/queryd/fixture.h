/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service as queryd has it, over a store in a scratch directory and releases made on the spot.
 */
#ifndef TESTS_QUERYD_FIXTURE_H
#define TESTS_QUERYD_FIXTURE_H

#include "scratch.h"

#include "common/json.h"
#include "queryd/service.h"

#define TOKEN "0123456789abcdef0123456789abcdef"
#define IMEI  "490154203237518"

struct fixture {
	struct scratch *dir;
	struct queryd_conf *conf;
	struct service service;
	struct answer answer;
};

static inline char *in_scratch(const struct fixture *f, const char *name)
{
	char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", f->dir->path, name) > 0);
	return path;
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	void *dir = NULL;

	assert_non_null(f);
	assert_int_equal(scratch_setup(&dir), 0);
	f->dir = dir;
	assert_int_equal(queryd_conf_default(&f->conf), 0);
	free(f->conf->repository);
	f->conf->repository = in_scratch(f, "repository");
	free(f->conf->store);
	f->conf->store = in_scratch(f, "queryd.db");
	assert_int_equal(store_open(f->conf->store, &f->service.store, NULL), 0);
	assert_int_equal(catalog_new(f->conf->repository, "/nonexistent", &f->service.catalog), 0);
	f->service.conf = f->conf;
	f->service.admin_token = TOKEN;
	answer_init(&f->answer);
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;

	answer_done(&f->answer);
	(void)catalog_free(f->service.catalog);
	(void)store_close(f->service.store);
	(void)queryd_conf_free(f->conf);
	free(f);
	return scratch_teardown(&dir);
}

static inline cJSON *parsed_json(const char *text)
{
	cJSON *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), NULL, &json, NULL), 0);
	return json;
}

static inline int add_release(struct releases *l, const char *target, const char *custom)
{
	_cleanup_json_ cJSON *json = parsed_json(custom);

	return releases_add(l, target, 1000, json);
}

/* "B", "B202109010001", "amd64", "[]": a release as bms-release describes it. */
static inline void add_full(struct releases *l, const char *version, const char *arch,
			    const char *models)
{
	char target[96], custom[256];

	(void)snprintf(target, sizeof target, "%c/%s-%s.tar.xz", version[0], version, arch);
	(void)snprintf(custom, sizeof custom,
		       "{\"kind\":\"full\",\"program\":\"%c\",\"version\":\"%s\",\"arch\":\"%s\","
		       "\"model\":%s}",
		       version[0], version, arch, models);
	assert_int_equal(add_release(l, target, custom), 1);
}

static inline struct releases *new_releases(void)
{
	struct releases *l = NULL;

	assert_int_equal(releases_new(&l), 0);
	return l;
}

/* Hands the request to the router, as the server does; the answer is in f->answer, whose body ends
 * with a NUL. Returns the status. */
static inline unsigned handle(struct fixture *f, struct request *request)
{
	answer_done(&f->answer);
	service_handle(&f->service, request, &f->answer);
	return f->answer.status;
}

static inline unsigned call(struct fixture *f, enum method method, const char *path,
			    const char *body)
{
	struct request request = {
		.method = method,
		.path = path,
		.body = body ? body : "",
		.body_size = body ? strlen(body) : 0,
		.announced_body = body,
		.authorization = "Bearer " TOKEN,
	};

	return handle(f, &request);
}

static inline unsigned call_with(struct fixture *f, const char *path, const char *name,
				 const char *value)
{
	struct request request = {
		.method = METHOD_GET,
		.path = path,
		.body = "",
		.authorization = "Bearer " TOKEN,
		.arguments = { { name, value } },
		.n_arguments = 1,
	};

	return handle(f, &request);
}

static inline const char *header(const struct fixture *f, const char *name)
{
	for (size_t i = 0; i < f->answer.n_headers; i++)
		if (strcmp(f->answer.headers[i].name, name) == 0)
			return f->answer.headers[i].value;
	return NULL;
}

/* The field that a 4xx names, "" if none; valid until the next call. */
static inline const char *named_field(const struct fixture *f)
{
	static char field[128];
	_cleanup_json_ cJSON *json = parsed_json(f->answer.body);
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, "field");

	assert_non_null(cJSON_GetObjectItemCaseSensitive(json, "error"));
	(void)snprintf(field, sizeof field, "%s", item ? item->valuestring : "");
	return field;
}

#endif
