/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every byte counts: a small repository (two roots, timestamp, snapshot, targets, a delegated role,
 * a program file's segment list) of which one byte is changed, or the end is missing. Each change is
 * refused, or it is shown to be without meaning: what is signed has the same canonical bytes and the
 * same values as before (white space, a signature that is not needed). That goes for what the
 * server gives and for the copies that are kept here.
 *
 * `make check` takes a sample: BYTES_SAMPLE changes of each kind (default 400) by BYTES_SEED (printed;
 * random by default). `make check-bytes` takes all: BYTES_ALL=1, positions shared out by
 * BYTES_SHARD=<index>/<shards>.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/json.h"
#include "common/segments.h"
#include "tuf/client.h"
#include "tuf/metadata.h"
#include "tuf_repo.h"

#define PROGRAM	      "B/p.tar.xz"
#define LIST	      PROGRAM ".seg512"
#define PROGRAM_BYTES 1400u

/* ---- the repository ---- */

struct site {
	struct repo *repo;
	struct repo_key *rsa, *ec;
	uint8_t program[PROGRAM_BYTES];
	struct repo_files local; /* what is kept when all is good */
	char *list;		 /* the segment list */
	size_t list_size;
};

static struct site site;

static void add_target(const char *path, const void *bytes, size_t size)
{
	cJSON *target = cJSON_CreateObject(), *body = repo_role(site.repo, "B")->body;
	uint8_t sha256[SHA256_BYTES];
	char hex[SHA256_HEX_LENGTH + 1];

	assert_int_equal(digest_sha256(bytes, size, sha256), 0);
	hex_encode(sha256, sizeof sha256, hex);
	cJSON_AddNumberToObject(target, "length", (double)size);
	cJSON_AddStringToObject(cJSON_AddObjectToObject(target, "hashes"), "sha256", hex);
	cJSON_AddItemToObject(cJSON_GetObjectItemCaseSensitive(body, "targets"), path, target);
}

static void make_list(void)
{
	_cleanup_(segments_freep) struct segments *s = calloc(1, sizeof *s);

	assert_non_null(s);
	s->segment_bytes = 512;
	s->file_bytes = PROGRAM_BYTES;
	s->count = 3;
	s->sha256 = calloc(s->count, sizeof *s->sha256);
	assert_non_null(s->sha256);
	for (uint32_t i = 0; i < s->count; i++)
		assert_int_equal(digest_sha256(site.program + segments_offset(s, i),
					       segments_length(s, i), s->sha256[i]),
				 0);
	assert_int_equal(segments_format(s, &site.list, &site.list_size), 0);
}

/* A root that two of three keys must sign, and three do; no hashes in snapshot and timestamp unless a
 * test wants them: the signatures alone must do. */
static int setup(void **state)
{
	struct repo *r = repo_new_seeded("bytes", REPO_EXPIRES);
	struct repo_key *old = repo_role(r, "root")->keys[0];
	struct repo_key *a = repo_new_key(r), *b = repo_new_key(r), *c = repo_new_key(r);

	(void)state;
	site.repo = r;
	for (size_t i = 0; i < sizeof site.program; i++)
		site.program[i] = (uint8_t)(i * 7 + i / 256);
	make_list();
	add_target(PROGRAM, site.program, sizeof site.program);
	add_target(LIST, site.list, site.list_size);
	repo_root_says(r, "root", 2, 3, a, b, c);
	repo_set_signers(r, "root", 4, old, a, b, c);
	repo_next_root(r);
	r->has_hashes = false;
	repo_publish(r);
	return 0;
}

static void use_other_keys(void)
{
	struct repo *r = site.repo;

	site.rsa = repo_key_new(REPO_RSA);
	site.ec = repo_key_new(REPO_P256);
	repo_delegation_says(r, "targets", "B", 1, 1, site.ec);
	repo_set_signers(r, "B", 1, site.ec);
	repo_root_says(r, "targets", 1, 1, site.rsa);
	repo_set_signers(r, "targets", 1, site.rsa);
	repo_write(r, "root");
	repo_publish(r);
}

static int teardown(void **state)
{
	(void)state;
	repo_free(site.repo);
	files_clear(&site.local);
	repo_key_free(site.rsa);
	repo_key_free(site.ec);
	free(site.list);
	memset(&site, 0, sizeof site);
	return 0;
}

/* ---- the verdict ---- */

static bool is_target(const struct tuf_target *target, const void *bytes, size_t size)
{
	uint8_t sha256[SHA256_BYTES];

	assert_true(target->has_sha256);
	assert_int_equal(digest_sha256(bytes, size, sha256), 0);
	return target->length == size && memcmp(target->sha256, sha256, sizeof sha256) == 0;
}

/* All that a gateway does with a repository, up to the segments. */
static bool is_accepted(const void *root, size_t root_size)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	struct tuf_target program, list;

	site.repo->log[0] = '\0';
	if (tuf_client_new(root, root_size, REPO_NOW_SEC, &site.repo->source, NULL, &c) < 0 ||
	    tuf_client_refresh(c) < 0)
		return false;
	if (tuf_client_find_target(c, PROGRAM, &program) < 0 ||
	    tuf_client_find_target(c, LIST, &list) < 0)
		return false;
	/* Whatever was done to the metadata: it speaks for these bytes, and for no others. */
	assert_true(is_target(&program, site.program, sizeof site.program));
	assert_true(is_target(&list, site.list, site.list_size));
	assert_int_equal(tuf_client_role_version(c, "root"), 2);
	assert_int_equal(tuf_client_role_version(c, "B"), 1);
	return true;
}

static enum tuf_type type_of(const char *name)
{
	return strstr(name, "root")	   ? TUF_ROOT
	       : strstr(name, "timestamp") ? TUF_TIMESTAMP
	       : strstr(name, "snapshot")  ? TUF_SNAPSHOT
					   : TUF_TARGETS;
}

static bool says_the_same(const char *name, const struct repo_file *before,
			  const struct repo_file *after)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *a = NULL, *b = NULL;
	struct json_error error;

	return tuf_metadata_parse(before->bytes, before->size, type_of(name), &a, &error) == 0 &&
	       tuf_metadata_parse(after->bytes, after->size, type_of(name), &b, &error) == 0 &&
	       a->signed_size == b->signed_size &&
	       memcmp(a->signed_bytes, b->signed_bytes, a->signed_size) == 0 &&
	       cJSON_Compare(cJSON_GetObjectItemCaseSensitive(a->json, "signed"),
			     cJSON_GetObjectItemCaseSensitive(b->json, "signed"), true);
}

struct counts {
	uint64_t refused, meaningless;
};

/* served: what the server has under that name is changed (of 1.root.json: what is trusted from the
 * start). Or else the copy that is kept here. */
struct subject {
	const char *name;
	bool is_served;
};

static const struct subject served[] = {
	{ "1.root.json", true },     { "2.root.json", true },	 { "timestamp.json", true },
	{ "1.snapshot.json", true }, { "1.targets.json", true }, { "1.B.json", true },
};
static const struct subject kept[] = {
	{ "root.json", false },	    { "2.root.json", false },  { "timestamp.json", false },
	{ "snapshot.json", false }, { "targets.json", false }, { "B.json", false },
};

static struct repo_file *file_of(const struct subject *s)
{
	return files_get(s->is_served ? &site.repo->files : &site.repo->local, s->name);
}

/* With the file as it is now. Nothing that was refused is kept. */
static void try_served(const struct subject *s, const struct repo_file *before, struct counts *n)
{
	const char *start = type_of(s->name) == TUF_ROOT ? "1.root.json" : "2.root.json";
	const struct repo_file *root = files_get(&site.repo->files, start);
	const struct repo_file *now = file_of(s);

	files_clear(&site.repo->local);
	if (is_accepted(root->bytes, root->size)) {
		if (!says_the_same(s->name, before, now))
			fail_msg("%s, changed, was accepted:\n%.*s", s->name, (int)now->size,
				 now->bytes);
		n->meaningless++;
		return;
	}
	for (size_t i = 0; i < site.repo->local.n; i++)
		assert_false(files_equal(&site.repo->local.list[i], now) &&
			     !says_the_same(s->name, before, now));
	n->refused++;
}

/* A copy that was damaged here is dropped and fetched again: nothing but the root can do harm. */
static void try_kept(const struct subject *s, const struct repo_file *before, struct counts *n)
{
	const struct repo_file now = *file_of(s);
	struct repo_file *root = files_get(&site.repo->local, "root.json");
	_cleanup_free_ char *bytes = malloc(root->size ? root->size : 1);
	bool same = says_the_same(s->name, before, &now);

	assert_non_null(bytes);
	memcpy(bytes, root->bytes, root->size);
	if (is_accepted(bytes, root->size)) {
		n->meaningless += same;
		n->refused += !same;
	} else {
		assert_string_equal(s->name, "root.json");
		assert_false(same);
		n->refused++;
	}
}

static void fill_local(void)
{
	const struct repo_file *root = files_get(&site.repo->files, "1.root.json");

	files_clear(&site.repo->local);
	assert_true(is_accepted(root->bytes, root->size));
	files_clear(&site.local);
	for (size_t i = 0; i < site.repo->local.n; i++)
		files_put(&site.local, site.repo->local.list[i].name,
			  site.repo->local.list[i].bytes, site.repo->local.list[i].size);
}

/* Calls try with one change made, and undoes it. With value 0: the file ends at position. */
static void try_change(const struct subject *s, size_t position, unsigned value, struct counts *n)
{
	struct repo_file *f = file_of(s), before = *f;
	_cleanup_free_ char *saved = malloc(before.size);

	assert_non_null(saved);
	memcpy(saved, f->bytes, before.size);
	before.bytes = saved;
	if (value == 0)
		f->size = position;
	else
		f->bytes[position] = (char)(f->bytes[position] ^ (char)value);
	if (s->is_served)
		try_served(s, &before, n);
	else
		try_kept(s, &before, n);
	if (s->is_served) {
		memcpy(f->bytes, saved, before.size);
		f->size = before.size;
	} else {
		files_clear(&site.repo->local);
		for (size_t i = 0; i < site.local.n; i++)
			files_put(&site.repo->local, site.local.list[i].name,
				  site.local.list[i].bytes, site.local.list[i].size);
	}
}

/* ---- which changes ---- */

static uint64_t sample_state;

static uint64_t next_random(void)
{
	uint64_t z = sample_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static bool is_whole(void)
{
	return number_from("BYTES_ALL", 0) != 0;
}

static void get_shard(size_t *ret_index, size_t *ret_shards)
{
	const char *text = getenv("BYTES_SHARD");
	unsigned index = 0, shards = 1;

	if (text)
		assert_int_equal(sscanf(text, "%u/%u", &index, &shards), 2);
	assert_true(shards > 0 && index < shards);
	*ret_index = index;
	*ret_shards = shards;
}

enum what {
	ALL_VALUES, /* instead of the one that is there */
	ALL_BITS,   /* each of the eight turned over */
	THE_END,
};

/* 0: the file ends there. */
static const uint8_t bits[] = { 1, 2, 4, 8, 16, 32, 64, 128 }, end[] = { 0 };

static unsigned nth_change(enum what what, size_t n)
{
	return what == ALL_VALUES ? (unsigned)n + 1 : what == ALL_BITS ? bits[n] : end[n];
}

static size_t count_of(enum what what)
{
	return what == ALL_VALUES ? 255 : what == ALL_BITS ? ELEMENTSOF(bits) : ELEMENTSOF(end);
}

static void try_all(const struct subject *list, size_t n_list, enum what what, struct counts *n)
{
	size_t shard, shards;

	get_shard(&shard, &shards);
	for (size_t i = 0; i < n_list; i++)
		for (size_t at = shard; at < file_of(&list[i])->size; at += shards)
			for (size_t k = 0; k < count_of(what); k++)
				try_change(&list[i], at, nth_change(what, k), n);
}

static void try_some(const struct subject *list, size_t n_list, enum what what, struct counts *n)
{
	const uint64_t seed = number_from("BYTES_SEED",
					  (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid());
	const uint64_t sample = number_from("BYTES_SAMPLE", 400);

	print_message("BYTES_SEED=%" PRIu64 " BYTES_SAMPLE=%" PRIu64 "\n", seed, sample);
	sample_state = seed;
	for (uint64_t i = 0; i < sample; i++) {
		const struct subject *s = &list[next_random() % n_list];
		size_t at = (size_t)(next_random() % file_of(s)->size);

		try_change(s, at, nth_change(what, next_random() % count_of(what)), n);
	}
}

static void try_changes(const char *name, const struct subject *list, size_t n_list, enum what what)
{
	struct counts n = { 0, 0 };

	fill_local();
	if (is_whole())
		try_all(list, n_list, what, &n);
	else
		try_some(list, n_list, what, &n);
	print_message("bytes: %s: %" PRIu64 " refused, %" PRIu64 " without meaning\n", name,
		      n.refused, n.meaningless);
	assert_true(n.refused > 0);
	/* All is as before, and good. */
	fill_local();
}

/* ---- the tests ---- */

static void test_changes(void **state)
{
	(void)state;
	try_changes("changes", served, ELEMENTSOF(served), ALL_VALUES);
}

static void test_changes_with_hashes(void **state)
{
	(void)state;
	site.repo->has_hashes = true;
	repo_publish(site.repo);
	try_changes("changes, with hashes", served, ELEMENTSOF(served), ALL_BITS);
}

static void test_changes_with_other_keys(void **state)
{
	(void)state;
	use_other_keys();
	try_changes("changes, with RSA and ECDSA", served, ELEMENTSOF(served), ALL_BITS);
}

static void test_truncations(void **state)
{
	(void)state;
	try_changes("truncations", served, ELEMENTSOF(served), THE_END);
}

static void test_changes_of_copies(void **state)
{
	(void)state;
	try_changes("changes of copies", kept, ELEMENTSOF(kept), ALL_BITS);
}

static void test_truncations_of_copies(void **state)
{
	(void)state;
	try_changes("truncations of copies", kept, ELEMENTSOF(kept), THE_END);
}

/* Were its hash not looked at, a list that still reads would refuse the right bytes. */
static bool takes_the_program(const char *bytes, size_t size)
{
	_cleanup_(segments_freep) struct segments *s = NULL;

	if (segments_parse(bytes, size, &s) < 0)
		return false;
	if (s->file_bytes != sizeof site.program)
		return false;
	for (uint32_t i = 0; i < s->count; i++)
		if (segments_check(s, i, site.program + segments_offset(s, i),
				   segments_length(s, i)) < 0)
			return false;
	return true;
}

/* Small enough to be taken whole, always. */
static void test_segment_list(void **state)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(site.repo);
	struct tuf_target target;
	uint64_t n = 0;

	(void)state;
	assert_int_equal(tuf_client_refresh(c), 0);
	assert_int_equal(tuf_client_find_target(c, LIST, &target), 0);
	assert_true(is_target(&target, site.list, site.list_size));
	assert_true(takes_the_program(site.list, site.list_size));
	for (size_t at = 0; at < site.list_size; at++) {
		assert_false(is_target(&target, site.list, at));
		assert_false(takes_the_program(site.list, at));
		n++;
		for (unsigned value = 1; value < 256; value++) {
			site.list[at] = (char)(site.list[at] ^ (char)value);
			assert_false(is_target(&target, site.list, site.list_size));
			assert_false(takes_the_program(site.list, site.list_size));
			site.list[at] = (char)(site.list[at] ^ (char)value);
			n++;
		}
	}
	print_message("bytes: segment list: %" PRIu64 " refused, 0 without meaning\n", n);
}

#define site_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		site_test(test_changes),
		site_test(test_changes_with_hashes),
		site_test(test_changes_with_other_keys),
		site_test(test_truncations),
		site_test(test_changes_of_copies),
		site_test(test_truncations_of_copies),
		site_test(test_segment_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
