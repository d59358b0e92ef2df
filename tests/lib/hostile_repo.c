/* SPDX-License-Identifier: Apache-2.0 */
#include "hostile_repo.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/cleanup.h"

#define MADE_UP_VERSION "B202109010001"
#define SEED		"attacks"

/* ---- the world ---- */

static void format_date(int64_t sec, char ret[24])
{
	time_t t = (time_t)sec;
	struct tm tm;

	assert_non_null(gmtime_r(&t, &tm));
	assert_true(strftime(ret, 24, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
}

static cJSON *program_file(const char *version, const char *content)
{
	const char program[2] = { version[0], '\0' };
	uint8_t sha256[SHA256_BYTES];
	char hex[SHA256_HEX_LENGTH + 1];
	cJSON *target = cJSON_CreateObject(), *custom, *tar;

	assert_int_equal(digest_sha256(content, strlen(content), sha256), 0);
	hex_encode(sha256, sizeof sha256, hex);
	cJSON_AddNumberToObject(target, "length", (double)strlen(content));
	cJSON_AddStringToObject(cJSON_AddObjectToObject(target, "hashes"), "sha256", hex);
	custom = cJSON_AddObjectToObject(target, "custom");
	cJSON_AddStringToObject(custom, "program", program);
	cJSON_AddStringToObject(custom, "version", version);
	cJSON_AddStringToObject(custom, "arch", "all");
	cJSON_AddStringToObject(custom, "kind", "full");
	tar = cJSON_AddObjectToObject(custom, "tar");
	cJSON_AddNumberToObject(tar, "length", 10240);
	cJSON_AddStringToObject(tar, "sha256", hex);
	return target;
}

/* The program file is the one that is not a list of segments. */
static void choose_target(struct hostile_world *w)
{
	const cJSON *target;

	cJSON_ArrayForEach (target, w->targets) {
		const cJSON *custom = cJSON_GetObjectItemCaseSensitive(target, "custom");
		const char *version = cJSON_GetStringValue(
			cJSON_GetObjectItemCaseSensitive(custom, "version"));

		if (!version)
			continue;
		w->target = strdup(target->string);
		w->version = strdup(version);
		assert_true(w->target && w->version);
		return;
	}
	fail_msg("no program file among the targets");
}

void hostile_world_init(struct hostile_world *w, int64_t now_sec, const cJSON *targets)
{
	*w = (struct hostile_world){ .now_sec = now_sec };
	format_date(now_sec + 100 * HOSTILE_DAY_SEC, w->far);
	format_date(now_sec - HOSTILE_DAY_SEC, w->past);
	w->targets = targets ? cJSON_Duplicate(targets, true) : cJSON_CreateObject();
	if (!targets)
		cJSON_AddItemToObject(
			w->targets, "B/" MADE_UP_VERSION "-all.tar.xz",
			program_file(MADE_UP_VERSION, "the program that B's team made"));
	choose_target(w);
}

void hostile_world_done(struct hostile_world *w)
{
	cJSON_Delete(w->targets);
	free(w->target);
	free(w->version);
}

/* ---- for builders ---- */

cJSON *hostile_member(cJSON *object, const char *name)
{
	cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!item)
		fail_msg("no member '%s'", name);
	return item;
}

void hostile_seize(struct repo *r, const char *name, size_t n)
{
	struct repo_role *role = repo_role(r, name);

	for (size_t i = n; i < role->n_keys; i++)
		role->keys[i] = repo_new_key(r);
}

static bool is_among(const char *name, const char *names)
{
	size_t size = strlen(name);

	for (const char *p = names; (p = strstr(p, name)); p += size)
		if ((p == names || p[-1] == ' ') && (p[size] == '\0' || p[size] == ' '))
			return true;
	return false;
}

/* Timestamps have no number in their name: each is kept under one as well. */
static void keep_timestamp(struct repo *r)
{
	char name[32];

	(void)snprintf(name, sizeof name, "%u.timestamp.json", repo_version(r, "timestamp"));
	hostile_copy(r, "timestamp.json", name);
}

void hostile_bump(struct repo *r, const char *roles)
{
	for (size_t i = 0; i < r->n_roles; i++)
		if (is_among(r->roles[i].name, roles))
			repo_set_version(r, r->roles[i].name,
					 repo_version(r, r->roles[i].name) + 1);
	repo_publish(r);
	keep_timestamp(r);
}

void hostile_copy(struct repo *r, const char *from, const char *to)
{
	const struct repo_file *f = files_get(&r->files, from);
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	if (!f) {
		fail_msg("no file '%s'", from);
		return;
	}
	size = f->size;
	bytes = malloc(size + 1);
	assert_non_null(bytes);
	memcpy(bytes, f->bytes, size);
	files_put(&r->files, to, bytes, size);
}

void hostile_pad(struct repo *r, const char *name, size_t size)
{
	const struct repo_file *f = files_get(&r->files, name);
	_cleanup_free_ char *bytes = malloc(size);

	assert_true(f && bytes && f->size < size);
	memset(bytes, ' ', size);
	memcpy(bytes, f->bytes, f->size);
	files_put(&r->files, name, bytes, size);
}

void hostile_release(struct repo *r, const struct hostile_world *w)
{
	cJSON *targets = hostile_member(repo_role(r, "B")->body, "targets");
	const cJSON *target;

	cJSON_ArrayForEach (target, w->targets) {
		cJSON_DeleteItemFromObjectCaseSensitive(targets, target->string);
		cJSON_AddItemToObject(targets, target->string, cJSON_Duplicate(target, true));
	}
}

void hostile_replace(struct repo *r, const struct hostile_world *w)
{
	static const char evil[] = "the attacker's program";
	uint8_t sha256[SHA256_BYTES];
	char hex[SHA256_HEX_LENGTH + 1];
	cJSON *target;

	hostile_release(r, w);
	target = hostile_member(hostile_member(repo_role(r, "B")->body, "targets"), w->target);
	assert_int_equal(digest_sha256(evil, strlen(evil), sha256), 0);
	hex_encode(sha256, sizeof sha256, hex);
	repo_set_number(target, "length", (double)strlen(evil));
	repo_set_string(hostile_member(target, "hashes"), "sha256", hex);
}

void hostile_rotate(struct repo *r)
{
	struct repo_key *timestamp = repo_new_key(r), *snapshot = repo_new_key(r);

	repo_root_says(r, "timestamp", 1, 1, timestamp);
	repo_root_says(r, "snapshot", 1, 1, snapshot);
	repo_set_signers(r, "timestamp", 1, timestamp);
	repo_set_signers(r, "snapshot", 1, snapshot);
	repo_next_root(r);
}

/* ---- honest states ---- */

/* Three keys of which two are needed; the third is in a safe. */
static void add_keys(struct repo *r, const char *name)
{
	struct repo_role *role = repo_role(r, name);

	role->keys[1] = repo_new_key(r);
	role->keys[2] = repo_new_key(r);
	role->n_keys = 2;
}

static void set_thresholds(struct repo *r)
{
	struct repo_key **k;

	add_keys(r, "root");
	add_keys(r, "targets");
	add_keys(r, "B");
	k = repo_role(r, "root")->keys;
	repo_root_says(r, "root", 2, 3, k[0], k[1], k[2]);
	k = repo_role(r, "targets")->keys;
	repo_root_says(r, "targets", 2, 3, k[0], k[1], k[2]);
	k = repo_role(r, "B")->keys;
	repo_delegation_says(r, "targets", "B", 2, 3, k[0], k[1], k[2]);
}

static void set_targets(struct repo *r, const char *role, const char *path, const char *version)
{
	cJSON *body = repo_role(r, role)->body;

	cJSON_DeleteItemFromObjectCaseSensitive(body, "targets");
	cJSON_AddItemToObject(cJSON_AddObjectToObject(body, "targets"), path,
			      program_file(version, version));
}

static struct repo *make_honest(const struct hostile_world *w, const char *expires)
{
	struct repo *r = repo_new_seeded(SEED, w->far);

	set_thresholds(r);
	set_targets(r, "A", HOSTILE_PATH_OF_A, "A202101010001");
	set_targets(r, "B", HOSTILE_OLD_PATH, "B202101010001");
	if (expires)
		repo_set_string(repo_role(r, expires)->body, "expires", w->past);
	repo_write(r, "root");
	hostile_bump(r, "");
	hostile_bump(r, "timestamp snapshot targets A B");
	hostile_bump(r, "timestamp snapshot targets A B");
	return r;
}

struct repo *hostile_trusted(const struct hostile_world *w, const struct hostile_variant *v)
{
	const char *expires = v ? v->expires : NULL;
	struct repo *r = make_honest(w, expires);
	struct tuf_client *c = repo_client_at(r, expires ? w->now_sec - 2 * HOSTILE_DAY_SEC
							 : w->now_sec);
	const struct repo_file *root;
	struct tuf_target target;

	assert_int_equal(tuf_client_refresh(c), 0);
	assert_int_equal(tuf_client_find_target(c, w->target, &target), -ENOENT);
	(void)tuf_client_free(c);
	root = files_get(&r->files, "1.root.json");
	files_put(&r->local, "root.json", root->bytes, root->size);
	return r;
}

struct repo *hostile_state(const struct hostile_world *w, const struct hostile_variant *v)
{
	struct repo *r = hostile_trusted(w, v);

	if (v->build) {
		v->build(r, w);
	} else if (!v->expires) {
		hostile_release(r, w);
		hostile_bump(r, "timestamp snapshot targets A B");
	}
	r->fail_fetch = v->fetch_name;
	r->fail_errno = v->fetch_errno;
	return r;
}

struct repo *hostile_recovered(const struct hostile_world *w, bool is_rotated)
{
	struct repo *r = make_honest(w, NULL);

	repo_next_root(r);
	repo_next_root(r);
	if (is_rotated)
		hostile_rotate(r);
	hostile_release(r, w);
	for (unsigned i = 0; i < 3; i++)
		hostile_bump(r, "timestamp snapshot targets A B");
	return r;
}

/* ---- the catalogue ---- */

void hostile_id(const struct hostile_variant *v, char *ret, size_t size)
{
	unsigned n = 1;

	for (const struct hostile_variant *p = v; p > hostile_variants; p--)
		if (strcmp(p[-1].attack, v->attack) == 0)
			n++;
	(void)snprintf(ret, size, "%s-%u", v->attack, n);
	for (char *c = ret; *c; c++)
		if (*c == ' ')
			*c = '-';
}
