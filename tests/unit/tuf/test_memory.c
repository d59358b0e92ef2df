/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that runs out: a whole refresh and search, again and again, of which the n-th allocation
 * fails, for every n. Each time it is refused, or it went well in spite of it; nothing is kept but
 * what the server has, and nothing is in the way of the next refresh, which has all it needs.
 *
 * Counted apart: what this project allocates itself (each one fails once), what cJSON does, and what
 * OpenSSL does (some thousands, of which a part fails, from a place that MEMORY_SEED says).
 */
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/json.h"
#include "tuf/canonical.h"
#include "tuf/client.h"
#include "tuf_repo.h"

/* ---- allocations that fail ---- */

enum who { PROJECT, CJSON, OPENSSL, N_WHO };

static struct {
	bool is_armed;
	enum who who;
	uint64_t n, fails_at; /* counted from 1; 0: none fails */
	bool has_failed;
	const char *from; /* counted anew when this file is fetched; NULL: from the start */
} memory;

static bool fails(enum who who)
{
	if (!memory.is_armed || memory.who != who)
		return false;
	if (++memory.n != memory.fails_at)
		return false;
	memory.has_failed = true;
	errno = ENOMEM;
	return true;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
int __wrap_asprintf(char **ret, const char *format, ...) _printf_(2, 3);
int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...) _printf_(3, 4);
FILE *__real_open_memstream(char **bytes, size_t *size);
FILE *__wrap_open_memstream(char **bytes, size_t *size);
int __real_ferror(FILE *f);
int __wrap_ferror(FILE *f);
int __real_fclose(FILE *f);
int __wrap_fclose(FILE *f);

void *__wrap_malloc(size_t size)
{
	return fails(PROJECT) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails(PROJECT) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails(PROJECT) ? NULL : __real_realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return fails(PROJECT) ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *text)
{
	return fails(PROJECT) ? NULL : __real_strdup(text);
}

int __wrap_asprintf(char **ret, const char *format, ...)
{
	va_list args;
	int r;

	if (fails(PROJECT))
		return -1;
	va_start(args, format);
	r = vasprintf(ret, format, args);
	va_end(args);
	return r;
}

int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...)
{
	va_list args;
	int r;

	(void)flag;
	if (fails(PROJECT))
		return -1;
	va_start(args, format);
	r = vasprintf(ret, format, args);
	va_end(args);
	return r;
}

FILE *__wrap_open_memstream(char **bytes, size_t *size)
{
	return fails(PROJECT) ? NULL : __real_open_memstream(bytes, size);
}

/* A stream in memory that could not grow says so late. */
int __wrap_ferror(FILE *f)
{
	return fails(PROJECT) ? 1 : __real_ferror(f);
}

int __wrap_fclose(FILE *f)
{
	bool is_lost = fails(PROJECT);
	int r = __real_fclose(f);

	return is_lost ? EOF : r;
}

static void *cjson_malloc(size_t size)
{
	return fails(CJSON) ? NULL : __real_malloc(size);
}

static void *openssl_malloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return fails(OPENSSL) ? NULL : __real_malloc(size);
}

static void *openssl_realloc(void *p, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return fails(OPENSSL) ? NULL : __real_realloc(p, size);
}

static void openssl_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

/* ---- the repository, in whose own code no allocation fails ---- */

static int give(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
		size_t *ret_size)
{
	struct repo *r = userdata;
	const bool was_armed = memory.is_armed;
	int result;

	memory.is_armed = false;
	result = r->source.fetch(r, name, max_bytes, ret_bytes, ret_size);
	if (memory.from && strcmp(name, memory.from) == 0)
		memory.n = 0;
	memory.is_armed = was_armed;
	return result;
}

static int load(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
		size_t *ret_size)
{
	struct repo *r = userdata;
	const bool was_armed = memory.is_armed;
	int result;

	memory.is_armed = false;
	result = r->source.load(r, name, max_bytes, ret_bytes, ret_size);
	memory.is_armed = was_armed;
	return result;
}

static int store(void *userdata, const char *name, const void *bytes, size_t size)
{
	struct repo *r = userdata;
	const bool was_armed = memory.is_armed;
	int result;

	memory.is_armed = false;
	result = r->source.store(r, name, bytes, size);
	memory.is_armed = was_armed;
	return result;
}

struct world {
	struct repo *repo;
	struct tuf_source source;
	struct repo_key *rsa, *ec;
};

/* Keys of all kinds; a role for everything; a root that rotates the key of timestamp. */
static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct repo_key *a, *b;
	struct repo *r;

	assert_non_null(w);
	r = w->repo = repo_new_seeded("memory", REPO_EXPIRES);
	w->source = (struct tuf_source){ r, give, load, store };
	w->rsa = repo_key_new(REPO_RSA);
	w->ec = repo_key_new(REPO_P256);
	a = repo_role(r, "root")->keys[0];
	b = repo_new_key(r);
	repo_root_says(r, "targets", 1, 2, w->rsa, w->ec);
	repo_set_signers(r, "targets", 2, w->rsa, w->ec);
	repo_write(r, "root");
	repo_root_says(r, "timestamp", 1, 1, b);
	repo_set_signers(r, "timestamp", 1, b);
	repo_root_says(r, "root", 2, 2, a, b);
	repo_set_signers(r, "root", 2, a, b);
	repo_next_root(r);
	repo_publish(r);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	repo_free(w->repo);
	repo_key_free(w->rsa);
	repo_key_free(w->ec);
	free(w);
	return 0;
}

/* ---- a run ---- */

static int note_target(const struct tuf_target *target, void *userdata)
{
	(void)target;
	(*(unsigned *)userdata)++;
	return 0;
}

static int search(struct tuf_client *c)
{
	_cleanup_free_ char *file = NULL;
	struct tuf_target target;
	unsigned n = 0;
	int r;

	r = tuf_client_find_target(c, "B/b.tar.xz", &target);
	if (r < 0)
		return r;
	assert_string_equal(target.role, "B");
	r = tuf_client_target_file(c, &target, &file);
	if (r < 0)
		return r;
	r = tuf_client_each_target(c, note_target, &n);
	if (r == 0)
		assert_int_equal(n, 2);
	return r;
}

static int run_from(struct world *w, const char *name, const struct repo_files *files)
{
	const struct repo_file *root = files_get(files, name);
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	int r;

	w->repo->log[0] = '\0';
	memory.is_armed = true;
	r = tuf_client_new(root->bytes, root->size, REPO_NOW_SEC, &w->source, NULL, &c);
	if (r >= 0)
		r = tuf_client_refresh(c);
	if (r >= 0)
		r = search(c);
	memory.is_armed = false;
	if (r < 0 && c)
		assert_true(tuf_client_reason(c) != REASON_NONE || r == -ENOMEM);
	return r;
}

static int run(struct world *w)
{
	return run_from(w, "1.root.json", &w->repo->files);
}

static bool is_of_the_server(struct world *w, const struct repo_file *f)
{
	if (f->size == 0)
		return true;
	for (size_t i = 0; i < w->repo->files.n; i++)
		if (files_equal(f, &w->repo->files.list[i]))
			return true;
	return false;
}

/* -ENOMEM is all that the project's own allocations may lead to; what OpenSSL makes of its own may be
 * that a key or a signature is no good. */
static bool fail_once(struct world *w, enum who who, uint64_t at)
{
	int r;

	files_clear(&w->repo->local);
	memory.who = who;
	memory.n = 0;
	memory.fails_at = at;
	memory.has_failed = false;
	r = run(w);
	memory.fails_at = 0;
	if (memory.has_failed && who != OPENSSL && r != -ENOMEM)
		fail_msg("allocation %" PRIu64 " of %d failed: %d", at, who, r);
	for (size_t i = 0; i < w->repo->local.n; i++)
		assert_true(is_of_the_server(w, &w->repo->local.list[i]));
	/* With memory again, and what was kept until then. */
	r = run(w);
	if (r != 0)
		fail_msg("after allocation %" PRIu64 " of %d failed: %d", at, who, r);
	return memory.has_failed;
}

static uint64_t count_allocations(struct world *w, enum who who)
{
	files_clear(&w->repo->local);
	memory.who = who;
	memory.n = 0;
	memory.fails_at = 0;
	assert_int_equal(run(w), 0);
	return memory.n;
}

static uint64_t seed(void)
{
	const char *text = getenv("MEMORY_SEED");
	uint64_t value = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);

	print_message("MEMORY_SEED=%" PRIu64 "\n", value);
	return value;
}

static void fail_many(struct world *w, enum who who, uint64_t at_most)
{
	const uint64_t n = count_allocations(w, who);
	const uint64_t stride = n / at_most + 1;
	uint64_t tried = 0;

	assert_true(n > 10);
	for (uint64_t at = 1 + (stride > 1 ? seed() % stride : 0); at <= n; at += stride, tried++)
		assert_true(fail_once(w, who, at));
	print_message("memory: %" PRIu64 " of %" PRIu64 " allocations failed\n", tried, n);
}

/* ---- the tests ---- */

static void test_own(void **state)
{
	fail_many(*state, PROJECT, UINT32_MAX);
}

static void test_cjson(void **state)
{
	cJSON_Hooks hooks = { cjson_malloc, free };

	cJSON_InitHooks(&hooks);
	fail_many(*state, CJSON, 100);
	cJSON_InitHooks(NULL);
}

static void test_openssl(void **state)
{
	fail_many(*state, OPENSSL, 120);
}

static void copy_files(struct repo_files *to, const struct repo_files *from)
{
	files_clear(to);
	for (size_t i = 0; i < from->n; i++)
		files_put(to, from->list[i].name, from->list[i].bytes, from->list[i].size);
}

/* A root that rotates nothing, with no memory for one of its keys: that is no rotation, which would
 * make void what is kept and with it what is known against a rollback. Counted from when the new root
 * has come; the keys of root alone are of a kind that takes thousands of allocations. */
static void test_no_memory_is_no_rotation(void **state)
{
	struct world *w = *state;
	struct repo_files before = { .n = 0 };
	uint64_t n;

	repo_root_says(w->repo, "targets", 1, 1, repo_role(w->repo, "A")->keys[0]);
	repo_set_signers(w->repo, "targets", 1, repo_role(w->repo, "A")->keys[0]);
	cJSON_DeleteItemFromObjectCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(repo_role(w->repo, "root")->body, "keys"),
		w->rsa->id);
	cJSON_DeleteItemFromObjectCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(repo_role(w->repo, "root")->body, "keys"),
		w->ec->id);
	repo_next_root(w->repo);
	repo_publish(w->repo);
	files_clear(&w->repo->local);
	assert_int_equal(run(w), 0);
	copy_files(&before, &w->repo->local);
	repo_next_root(w->repo);

	memory.from = "4.root.json";
	memory.who = OPENSSL;
	memory.fails_at = 0;
	assert_int_equal(run_from(w, "root.json", &before), 0);
	n = memory.n;
	for (uint64_t at = 1; at <= n; at++) {
		copy_files(&w->repo->local, &before);
		memory.fails_at = at;
		memory.n = n; /* nothing fails before */
		memory.has_failed = false;
		(void)run_from(w, "root.json", &before);
		assert_true(memory.has_failed);
		assert_null(strstr(w->repo->log, "void "));
	}
	print_message("memory: %" PRIu64 " allocations failed\n", n);
	assert_true(n > 20 && n < 5000);
	memory.fails_at = 0;
	memory.from = NULL;
	files_clear(&before);
}

/* What was trusted before is not forgotten for want of memory to read it: older files are refused. */
static void test_no_memory_is_no_rollback(void **state)
{
	struct world *w = *state;
	struct repo_files before = { .n = 0 }, older = { .n = 0 };
	uint64_t n = 0;
	int r;

	copy_files(&older, &w->repo->files);
	repo_next(w->repo);
	files_clear(&w->repo->local);
	assert_int_equal(run(w), 0);
	copy_files(&before, &w->repo->local);
	copy_files(&w->repo->files, &older);

	memory.who = PROJECT;
	do {
		copy_files(&w->repo->local, &before);
		memory.n = 0;
		memory.fails_at = ++n;
		memory.has_failed = false;
		r = run_from(w, "root.json", &before);
		assert_int_equal(r, memory.has_failed ? -ENOMEM : -ESTALE);
	} while (memory.has_failed);
	assert_true(n > 10);
	memory.fails_at = 0;
	files_clear(&before);
	files_clear(&older);
}

/* Signed by nobody who counts: that is so with or without memory. */
static void test_bad_signature(void **state)
{
	struct world *w = *state;
	uint64_t n = count_allocations(w, OPENSSL), stride = n / 120 + 1;

	repo_set_signers(w->repo, "B", 1, w->ec);
	repo_write(w->repo, "B");
	repo_publish(w->repo);
	for (uint64_t at = 1 + seed() % stride; at <= n; at += stride) {
		files_clear(&w->repo->local);
		memory.who = OPENSSL;
		memory.n = 0;
		memory.fails_at = at;
		assert_true(run(w) < 0);
		assert_null(files_get(&w->repo->local, "B.json"));
	}
	memory.fails_at = 0;
}

/* One value, and all that may fail while it is written. */
static void test_canonical(void **state)
{
	static const char text[] = "{\"a\":[1,{\"b\":null}],\"c\":{}}";
	_cleanup_json_ cJSON *json = NULL;
	int r = -ENOMEM;

	(void)state;
	assert_int_equal(json_parse(text, strlen(text), NULL, &json, NULL), 0);
	memory.who = PROJECT;
	for (memory.fails_at = 1; r < 0; memory.fails_at++) {
		char *bytes = NULL;
		size_t size = 4711;

		memory.n = 0;
		memory.is_armed = true;
		r = tuf_canonical(json, &bytes, &size);
		memory.is_armed = false;
		assert_true(r == 0 || (r == -ENOMEM && !bytes && size == 4711));
		free(bytes);
	}
	assert_true(memory.fails_at > 5);
	memory.fails_at = 0;
}

/* What is wrong with the value is told, however the stream fared. */
static void test_canonical_of_a_fraction(void **state)
{
	_cleanup_json_ cJSON *json = cJSON_CreateNumber(0.5);

	(void)state;
	memory.who = PROJECT;
	for (memory.fails_at = 1; memory.fails_at < 5; memory.fails_at++) {
		char *bytes = NULL;
		size_t size;

		memory.n = 0;
		memory.is_armed = true;
		assert_int_equal(tuf_canonical(json, &bytes, &size),
				 memory.fails_at == 1 ? -ENOMEM : -EBADMSG);
		memory.is_armed = false;
		assert_null(bytes);
	}
	memory.fails_at = 0;
}

#define world_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(test_own),
		world_test(test_cjson),
		world_test(test_openssl),
		world_test(test_no_memory_is_no_rotation),
		world_test(test_no_memory_is_no_rollback),
		world_test(test_bad_signature),
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_canonical_of_a_fraction),
	};

	/* Before it allocates for the first time. */
	if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
