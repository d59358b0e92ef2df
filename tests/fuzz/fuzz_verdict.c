/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verdict: a file that was changed under unchanged signatures never verifies, unless what is
 * signed still says the same. The input is a file of a repository and a list of changes: to its
 * bytes, and to the tree that it holds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "fuzz.h"
#include "tuf_repo.h"

#define MAX_FILE_BYTES (64u << 10)
#define MAX_CHANGES    32

struct base {
	const char *name, *role;
	enum tuf_type type;
	const struct tuf_metadata *delegator; /* whose roles say who signs */
	struct tuf_metadata *m;
	const struct repo_file *file;
};

static struct base bases[] = {
	{ "1.root.json", "root", TUF_ROOT, NULL, NULL, NULL },
	{ "2.root.json", "root", TUF_ROOT, NULL, NULL, NULL },
	{ "timestamp.json", "timestamp", TUF_TIMESTAMP, NULL, NULL, NULL },
	{ "1.snapshot.json", "snapshot", TUF_SNAPSHOT, NULL, NULL, NULL },
	{ "2.snapshot.json", "snapshot", TUF_SNAPSHOT, NULL, NULL, NULL },
	{ "1.targets.json", "targets", TUF_TARGETS, NULL, NULL, NULL },
	{ "2.targets.json", "targets", TUF_TARGETS, NULL, NULL, NULL },
	{ "1.A.json", "A", TUF_TARGETS, NULL, NULL, NULL },
	{ "2.B.json", "B", TUF_TARGETS, NULL, NULL, NULL },
	{ "1.ec.json", "ec", TUF_TARGETS, NULL, NULL, NULL },
	{ "1.rsa.json", "rsa", TUF_TARGETS, NULL, NULL, NULL },
};

/* ---- what is changed ---- */

static void add_role_of_kind(struct repo *r, const char *name, enum repo_key_kind kind)
{
	struct repo_key *k = repo_key_new(kind);

	(void)repo_delegate(r, "targets", name, "C/*", k);
	repo_set_signers(r, name, 1, k);
	repo_add_target(r, name, "C/c", "content");
	/* repo_free() is never called, so nobody needs to know of k. */
}

static struct repo *make_repo(void)
{
	struct repo *r = repo_new_seeded("verdict", REPO_EXPIRES);
	struct repo_key *a = repo_new_key(r), *b = repo_new_key(r), *c = repo_new_key(r);

	add_role_of_kind(r, "ec", REPO_P256);
	add_role_of_kind(r, "rsa", REPO_RSA);
	repo_publish(r);
	repo_next(r);
	/* Signed by its old key too, as the workflow wants it: threshold 2 of 3. */
	repo_root_says(r, "root", 2, 3, a, b, c);
	repo_set_signers(r, "root", 3, a, c, repo_role(r, "root")->keys[0]);
	repo_next_root(r);
	return r;
}

static void prepare(void)
{
	static struct repo *r;
	struct json_error error;
	unsigned n;

	if (r)
		return;
	r = make_repo();
	for (size_t i = 0; i < ELEMENTSOF(bases); i++) {
		struct base *b = &bases[i];

		b->file = files_get(&r->files, b->name);
		check(b->file);
		check(tuf_metadata_parse(b->file->bytes, b->file->size, b->type, &b->m, &error) ==
		      0);
	}
	for (size_t i = 0; i < ELEMENTSOF(bases); i++) {
		struct base *b = &bases[i];

		/* 1.targets.json is from before ec and rsa, its successor knows all. */
		b->delegator = i == 1 ? bases[1].m : i < 7 ? bases[0].m : bases[6].m;
		check(tuf_role_verify(&b->delegator->roles,
				      tuf_roles_find(&b->delegator->roles, b->role), b->m,
				      &n) == 0);
	}
}

/* ---- changes to the bytes ---- */

struct text {
	char bytes[MAX_FILE_BYTES];
	size_t size;
};

static void splice(struct text *t, size_t at, size_t gone, const void *bytes, size_t size)
{
	char copy[1024];

	if (gone > t->size - at)
		gone = t->size - at;
	if (size > sizeof copy || t->size - gone + size > sizeof t->bytes)
		return;
	memcpy(copy, bytes, size); /* it may be a part of the text */
	memmove(t->bytes + at + size, t->bytes + at + gone, t->size - at - gone);
	memcpy(t->bytes + at, copy, size);
	t->size += size - gone;
}

static const char *const words[] = {
	" ",
	"\n",
	"\t ",
	"{",
	"}",
	"[",
	"]",
	",",
	":",
	"\"",
	"\\",
	"0",
	"-1",
	"1",
	"true",
	"null",
	"\\u0061",
	"\\u0000",
	"\\ud83d\\ude00",
	"\xc3\xa9",
	"\"signed\":",
	"\"signatures\":[],",
	"\"version\":9,",
	"\"threshold\":1,",
	"\"_type\":\"root\",",
	"\"expires\":\"2999-01-01T00:00:00Z\",",
	"\"keyids\":[],",
	"\"x\":{},",
	"1e3",
	"1.0",
	"9007199254740992",
};

static void change_bytes(struct text *t, struct input *in, unsigned how)
{
	size_t at = take_below(in, t->size + 1), n = 1 + take_byte(in);
	const struct base *other;
	const char *word;
	char byte;

	switch (how) {
	case 0:
		byte = (char)take_byte(in);
		splice(t, at, 1, &byte, 1);
		return;
	case 1:
		if (at < t->size)
			t->bytes[at] = (char)(t->bytes[at] ^ (char)(1u << (n & 7)));
		return;
	case 2: splice(t, at, n, "", 0); return;
	case 3:
		word = words[take_below(in, ELEMENTSOF(words))];
		splice(t, at, n & 1 ? strlen(word) : 0, word, strlen(word));
		return;
	case 4:
		splice(t, take_below(in, t->size + 1), 0, t->bytes + at, n < t->size - at ? n : 0);
		return;
	default:
		other = &bases[take_below(in, ELEMENTSOF(bases))];
		if (at + n <= other->file->size)
			splice(t, at, n, other->file->bytes + at, n);
		return;
	}
}

/* ---- changes to the tree ---- */

static cJSON *nth_node(cJSON *json, size_t *n)
{
	cJSON *item, *found;

	cJSON_ArrayForEach (item, json) {
		if ((*n)-- == 0)
			return item;
		found = nth_node(item, n);
		if (found)
			return found;
	}
	return NULL;
}

static size_t count_nodes(const cJSON *json)
{
	size_t n = 0;
	const cJSON *item;

	cJSON_ArrayForEach (item, json)
		n += 1 + count_nodes(item);
	return n;
}

static cJSON *parent_of(cJSON *json, const cJSON *node)
{
	cJSON *item, *found;

	cJSON_ArrayForEach (item, json) {
		if (item == node)
			return json;
		found = parent_of(item, node);
		if (found)
			return found;
	}
	return NULL;
}

static cJSON *take_node(cJSON *json, struct input *in)
{
	size_t n = take_below(in, count_nodes(json) + 1);

	return nth_node(json, &n);
}

static void change_scalar(cJSON *node, struct input *in)
{
	size_t length = cJSON_IsString(node) ? strlen(node->valuestring) : 0;

	if (cJSON_IsNumber(node))
		cJSON_SetNumberHelper(node, node->valuedouble + (double)take_byte(in) - 100);
	else if (cJSON_IsBool(node))
		node->type ^= cJSON_True ^ cJSON_False;
	else if (length > 0)
		node->valuestring[take_below(in, length)] = (char)(0x20 + take_below(in, 95));
}

static void change_tree(cJSON *json, struct input *in, unsigned how)
{
	cJSON *node = take_node(json, in), *other, *parent = node ? parent_of(json, node) : NULL;

	if (!parent)
		return;
	switch (how) {
	case 0: change_scalar(node, in); return;
	case 1: cJSON_Delete(cJSON_DetachItemViaPointer(parent, node)); return;
	case 2:
		other = take_node(json, in);
		other = other ? cJSON_Duplicate(other, true) : cJSON_CreateNull();
		if (cJSON_IsArray(parent))
			(void)cJSON_InsertItemInArray(parent, 0, other);
		else
			cJSON_AddItemToObject(parent, words[take_below(in, 21)], other);
		return;
	default: /* first to last: the order of members means nothing, that of elements does */
		node = cJSON_DetachItemFromArray(parent, 0);
		if (cJSON_IsArray(parent))
			cJSON_AddItemToArray(parent, node);
		else
			(void)cJSON_InsertItemInArray(parent, cJSON_GetArraySize(parent), node);
		return;
	}
}

static void change(struct text *t, struct input *in)
{
	unsigned how = take_byte(in) % 10;
	_cleanup_json_ cJSON *json = NULL;
	char *text;

	if (how < 6) {
		change_bytes(t, in, how);
		return;
	}
	if (json_parse(t->bytes, t->size, &(struct json_limits){ MAX_FILE_BYTES, 32, 65536 }, &json,
		       NULL) < 0)
		return;
	change_tree(json, in, how - 6);
	text = json_print(json);
	check(text);
	if (strlen(text) <= sizeof t->bytes) {
		t->size = strlen(text);
		memcpy(t->bytes, text, t->size);
	}
	free(text);
}

/* ---- the verdict ---- */

/* By the bytes that were signed, and by the values, with cJSON's own comparison. */
static bool says_what_was_signed(const struct base *b, const struct tuf_metadata *m)
{
	for (size_t i = 0; i < ELEMENTSOF(bases); i++)
		if (strcmp(bases[i].role, b->role) == 0 &&
		    bases[i].m->signed_size == m->signed_size &&
		    memcmp(bases[i].m->signed_bytes, m->signed_bytes, m->signed_size) == 0)
			return cJSON_Compare(
				cJSON_GetObjectItemCaseSensitive(bases[i].m->json, "signed"),
				cJSON_GetObjectItemCaseSensitive(m->json, "signed"), true);
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *m = NULL;
	struct input in = { data, data + size };
	static struct text t;
	struct json_error error;
	const struct base *b;
	unsigned n;

	prepare();
	b = &bases[take_below(&in, ELEMENTSOF(bases))];
	check(b->file->size <= sizeof t.bytes);
	t.size = b->file->size;
	memcpy(t.bytes, b->file->bytes, t.size);
	for (int i = 0; i < MAX_CHANGES && !input_is_empty(&in); i++)
		change(&t, &in);
	if (tuf_metadata_parse(t.bytes, t.size, b->type, &m, &error) < 0)
		return 0;
	if (tuf_role_verify(&b->delegator->roles, tuf_roles_find(&b->delegator->roles, b->role), m,
			    &n) == 0)
		check(says_what_was_signed(b, m));
	return 0;
}
