/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/releases.h"

#include <stdatomic.h>
#include <string.h>

#include "common/json.h"

#define MODELS_MAX 256

struct releases {
	atomic_uint references;
	struct release *items;
	size_t n, capacity;
};

static void release_done(struct release *r)
{
	for (size_t i = 0; i < r->n_models; i++)
		free(r->models[i]);
	free(r->models);
	free(r->target);
	*r = (struct release){ 0 };
}
#define _cleanup_release_ _cleanup_(release_done)

int releases_new(struct releases **ret)
{
	struct releases *l = calloc(1, sizeof *l);

	if (!l)
		return -ENOMEM;
	atomic_init(&l->references, 1);
	*ret = l;
	return 0;
}

struct releases *releases_ref(struct releases *l)
{
	(void)atomic_fetch_add(&l->references, 1);
	return l;
}

struct releases *releases_unref(struct releases *l)
{
	if (!l || atomic_fetch_sub(&l->references, 1) != 1)
		return NULL;
	for (size_t i = 0; i < l->n; i++)
		release_done(&l->items[i]);
	free(l->items);
	free(l);
	return NULL;
}

static int read_models(const cJSON *custom, struct release *release)
{
	struct json_error error;
	const cJSON *models = NULL, *model;
	int r, n;

	r = json_get_array(custom, "model", &models, &error);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	n = cJSON_GetArraySize(models);
	if (n == 0)
		return 0;
	if (n > MODELS_MAX)
		return -EBADMSG;
	release->models = calloc((size_t)n, sizeof *release->models);
	if (!release->models)
		return -ENOMEM;
	cJSON_ArrayForEach (model, models) {
		if (!cJSON_IsString(model))
			return -EBADMSG;
		release->models[release->n_models] = strdup(model->valuestring);
		if (!release->models[release->n_models++])
			return -ENOMEM;
	}
	return 0;
}

static int read_release(const char *target, const cJSON *custom, struct release *release)
{
	const char *program = NULL, *version = NULL, *arch = NULL;
	struct json_error error;

	if (json_get_string(custom, "program", &program, &error) < 0 ||
	    json_get_string(custom, "version", &version, &error) < 0 ||
	    json_get_string(custom, "arch", &arch, &error) < 0 ||
	    version_parse(version, &release->version) < 0)
		return -EBADMSG;
	if (program[0] != release->version.program || program[1] != '\0' ||
	    target[0] != program[0] || target[1] != '/')
		return -EBADMSG;
	if (arch[0] == '\0' || strlen(arch) >= sizeof release->arch)
		return -EBADMSG;
	(void)snprintf(release->arch, sizeof release->arch, "%s", arch);
	release->target = strdup(target);
	if (!release->target)
		return -ENOMEM;
	return read_models(custom, release);
}

/* Only what backups are compared with: without it there is nothing to compare. */
static void read_tar(const cJSON *custom, struct release *release)
{
	uint8_t sha256[SHA256_BYTES];
	const cJSON *tar = NULL;
	const char *text = NULL;

	if (json_get_object(custom, "tar", &tar, NULL) == 0 &&
	    json_get_string(tar, "sha256", &text, NULL) == 0 &&
	    hex_decode(text, sha256, sizeof sha256) == 0)
		hex_encode(sha256, sizeof sha256, release->tar_sha256);
}

static int append(struct releases *l, struct release *release)
{
	if (l->n == l->capacity) {
		size_t capacity = l->capacity ? 2 * l->capacity : 16;
		struct release *items = reallocarray(l->items, capacity, sizeof *items);

		if (!items)
			return -ENOMEM;
		l->items = items;
		l->capacity = capacity;
	}
	l->items[l->n++] = *release;
	*release = (struct release){ 0 };
	return 0;
}

int releases_add(struct releases *l, const char *target, uint64_t length_bytes, const cJSON *custom)
{
	_cleanup_release_ struct release release = { .length_bytes = length_bytes };
	struct json_error error;
	const char *kind = NULL;
	int r;

	if (!custom || json_get_string(custom, "kind", &kind, &error) < 0 ||
	    strcmp(kind, "full") != 0)
		return 0;
	r = read_release(target, custom, &release);
	if (r < 0)
		return r;
	read_tar(custom, &release);
	r = append(l, &release);
	return r < 0 ? r : 1;
}

void releases_note_sha256(struct releases *l, const uint8_t sha256[SHA256_BYTES])
{
	hex_encode(sha256, SHA256_BYTES, l->items[l->n - 1].sha256);
}

/* By program, newest first; what was made for one architecture before what runs on all. */
static int compare(const void *left, const void *right)
{
	const struct release *a = left, *b = right;
	int c;

	if (a->version.program != b->version.program)
		return a->version.program < b->version.program ? -1 : 1;
	c = version_compare(&b->version, &a->version);
	if (c != 0)
		return c;
	c = (strcmp(a->arch, "all") == 0) - (strcmp(b->arch, "all") == 0);
	return c != 0 ? c : strcmp(a->target, b->target);
}

void releases_sort(struct releases *l)
{
	if (l->n > 1)
		qsort(l->items, l->n, sizeof *l->items, compare);
}

size_t releases_count(const struct releases *l)
{
	return l->n;
}

const struct release *releases_at(const struct releases *l, size_t index)
{
	return &l->items[index];
}

static bool is_for(const struct release *release, const char *arch, const char *model)
{
	if (strcmp(release->arch, "all") != 0 && strcmp(release->arch, arch) != 0)
		return false;
	for (size_t i = 0; i < release->n_models; i++)
		if (strcmp(release->models[i], model) == 0)
			return true;
	return release->n_models == 0;
}

const struct release *releases_newest(const struct releases *l, char program, const char *arch,
				      const char *model)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->items[i].version.program == program && is_for(&l->items[i], arch, model))
			return &l->items[i];
	return NULL;
}

const struct release *releases_with_tar(const struct releases *l, const char *tar_sha256)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->items[i].sha256[0] && strcmp(l->items[i].tar_sha256, tar_sha256) == 0)
			return &l->items[i];
	return NULL;
}
