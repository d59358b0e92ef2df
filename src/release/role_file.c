/* SPDX-License-Identifier: Apache-2.0 */
#include "release/role_file.h"

#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "tuf/canonical.h"

struct role_file {
	unsigned references;
	char *bytes;
	size_t size;
	struct tuf_metadata *metadata;
};

static const char *const type_names[] = {
	[TUF_ROOT] = "root",
	[TUF_TIMESTAMP] = "timestamp",
	[TUF_SNAPSHOT] = "snapshot",
	[TUF_TARGETS] = "targets",
};

enum tuf_type role_file_type(const char *role)
{
	static const enum tuf_type types[] = { TUF_ROOT, TUF_TIMESTAMP, TUF_SNAPSHOT };

	for (size_t i = 0; i < ELEMENTSOF(types); i++)
		if (strcmp(role, type_names[types[i]]) == 0)
			return types[i];
	return TUF_TARGETS;
}

/* ---- making and freeing ---- */

/* Takes bytes over, also on failure. */
static int take_bytes(char *bytes, size_t size, enum tuf_type type, struct role_file **ret,
		      struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *f = calloc(1, sizeof *f);
	struct json_error error = { 0 };
	int r;

	if (!f) {
		free(bytes);
		return problem_no_memory(problem);
	}
	f->references = 1;
	f->bytes = bytes;
	f->size = size;
	r = tuf_metadata_parse(bytes, size, type, &f->metadata, &error);
	if (r == -ENOMEM)
		return problem_no_memory(problem);
	if (r < 0)
		return problem_set(problem, r, "is no %s metadata: %s%s%s", type_names[type],
				   error.field, *error.field ? " " : "", error.text);
	*ret = TAKE_PTR(f);
	return 0;
}

int role_file_parse(const void *bytes, size_t size, enum tuf_type type, struct role_file **ret,
		    struct problem *problem)
{
	char *copy = malloc(size + 1);

	if (!copy)
		return problem_no_memory(problem);
	memcpy(copy, bytes, size);
	copy[size] = '\0';
	return take_bytes(copy, size, type, ret, problem);
}

/* Canonical JSON is no JSON where a string holds a line feed, as the PEM of a key does: it stands there
 * as it is, and JSON wants "\\n". NULL when out of memory. */
static char *escape_lines(const char *canonical, size_t size, size_t *ret_size)
{
	char *out = malloc(2 * size + 1);
	size_t n = 0;

	if (!out)
		return NULL;
	for (size_t i = 0; i < size; i++) {
		if (canonical[i] == '\n')
			out[n++] = '\\';
		out[n++] = canonical[i] == '\n' ? 'n' : canonical[i];
	}
	out[n] = '\0';
	*ret_size = n;
	return out;
}

/* Takes envelope over, also on failure. */
static int take_envelope(cJSON *envelope, enum tuf_type type, struct role_file **ret,
			 struct problem *problem)
{
	_cleanup_json_ cJSON *owned = envelope;
	_cleanup_free_ char *canonical = NULL;
	char *bytes;
	size_t size;
	int r = tuf_canonical(owned, &canonical, &size);

	if (r < 0)
		return r == -ENOMEM ? problem_no_memory(problem)
				    : problem_set(problem, r, "cannot be written");
	bytes = escape_lines(canonical, size, &size);
	if (!bytes)
		return problem_no_memory(problem);
	return take_bytes(bytes, size, type, ret, problem);
}

int role_file_new(const cJSON *document, enum tuf_type type, struct role_file **ret,
		  struct problem *problem)
{
	_cleanup_json_ cJSON *envelope = cJSON_CreateObject();
	cJSON *copy = cJSON_Duplicate(document, true);

	if (!copy || !cJSON_AddItemToObject(envelope, "signed", copy)) {
		cJSON_Delete(copy);
		return problem_no_memory(problem);
	}
	if (!cJSON_AddArrayToObject(envelope, "signatures"))
		return problem_no_memory(problem);
	return take_envelope(TAKE_PTR(envelope), type, ret, problem);
}

struct role_file *role_file_ref(struct role_file *f)
{
	if (f)
		f->references++;
	return f;
}

struct role_file *role_file_unref(struct role_file *f)
{
	if (!f || --f->references > 0)
		return NULL;
	tuf_metadata_free(f->metadata);
	free(f->bytes);
	free(f);
	return NULL;
}

/* ---- looking at it ---- */

const char *role_file_bytes(const struct role_file *f, size_t *ret_size)
{
	*ret_size = f->size;
	return f->bytes;
}

const struct tuf_metadata *role_file_metadata(const struct role_file *f)
{
	return f->metadata;
}

const cJSON *role_file_envelope(const struct role_file *f)
{
	return f->metadata->json;
}

const cJSON *role_file_document(const struct role_file *f)
{
	return cJSON_GetObjectItemCaseSensitive(f->metadata->json, "signed");
}

uint64_t role_file_version(const struct role_file *f)
{
	return f->metadata->version;
}

bool role_file_same(const struct role_file *a, const struct role_file *b)
{
	return a->metadata->signed_size == b->metadata->signed_size &&
	       memcmp(a->metadata->signed_bytes, b->metadata->signed_bytes,
		      a->metadata->signed_size) == 0;
}

/* ---- signatures ---- */

static const struct tuf_role *find_role(const struct role_file *by, const char *role)
{
	return tuf_roles_find(&by->metadata->roles, role);
}

int role_file_verify(const struct role_file *f, const struct role_file *by, const char *role,
		     struct role_signatures *ret)
{
	const struct tuf_role *r = find_role(by, role);
	struct role_signatures signatures = { 0 };
	int n;

	if (!r)
		return -ENOENT;
	signatures.threshold = r->threshold;
	n = tuf_role_verify(&by->metadata->roles, r, f->metadata, &signatures.have);
	*ret = signatures;
	return n;
}

static bool lists_key(const struct tuf_role *role, const char *keyid)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, role->keyids)
		if (strcmp(item->valuestring, keyid) == 0)
			return true;
	return false;
}

/* The client's verifier, asked about a role that has this key alone. */
bool role_file_signed_by(const struct role_file *f, const struct role_file *by, const char *role,
			 const char *keyid)
{
	const struct tuf_role *whole = find_role(by, role);
	_cleanup_json_ cJSON *keyids = NULL;
	struct tuf_role one = { .name = role, .threshold = 1 };
	unsigned n;

	if (!whole || !lists_key(whole, keyid))
		return false;
	keyids = cJSON_CreateStringArray(&keyid, 1);
	if (!keyids)
		return false;
	one.keyids = keyids;
	return tuf_role_verify(&by->metadata->roles, &one, f->metadata, &n) == 0;
}

bool role_file_was_changed(const struct role_file *f, const struct role_file *by, const char *role)
{
	const struct tuf_role *r = find_role(by, role);
	const cJSON *item;

	cJSON_ArrayForEach (item, f->metadata->signatures) {
		const char *keyid = json_text_or(item, "keyid", "");

		if (r && lists_key(r, keyid) && !role_file_signed_by(f, by, role, keyid))
			return true;
	}
	return false;
}

unsigned role_file_count_keys(const struct role_file *by, const char *role)
{
	const struct tuf_role *r = find_role(by, role);
	const cJSON *keyids = r ? r->keyids : NULL, *item;
	const struct tuf_key *keys[TUF_MAX_ROLE_KEYS];
	unsigned n = 0;

	cJSON_ArrayForEach (item, keyids) {
		const struct tuf_key *key = NULL;
		bool known = tuf_roles_key(&by->metadata->roles, item->valuestring, &key) < 0 ||
			     !key;

		for (unsigned i = 0; i < n && !known; i++)
			known = tuf_key_equal(keys[i], key);
		if (!known)
			keys[n++] = key;
	}
	return n;
}

static void drop_signature(cJSON *signatures, const char *keyid)
{
	for (int i = cJSON_GetArraySize(signatures) - 1; i >= 0; i--)
		if (strcmp(json_text_or(cJSON_GetArrayItem(signatures, i), "keyid", ""), keyid) ==
		    0)
			cJSON_DeleteItemFromArray(signatures, i);
}

int role_file_add_signature(struct role_file **f, const char *keyid, const char *sig,
			    struct problem *problem)
{
	_cleanup_json_ cJSON *envelope = cJSON_Duplicate((*f)->metadata->json, true);
	cJSON *signatures = cJSON_GetObjectItemCaseSensitive(envelope, "signatures");
	cJSON *signature = cJSON_CreateObject();
	struct role_file *signed_file = NULL;
	int r;

	drop_signature(signatures, keyid);
	if (!signature || !cJSON_AddItemToArray(signatures, signature)) {
		cJSON_Delete(signature);
		return problem_no_memory(problem);
	}
	if (!cJSON_AddStringToObject(signature, "keyid", keyid) ||
	    !cJSON_AddStringToObject(signature, "sig", sig))
		return problem_no_memory(problem);
	r = take_envelope(TAKE_PTR(envelope), (*f)->metadata->type, &signed_file, problem);
	if (r < 0)
		return r;
	role_file_unref(*f);
	*f = signed_file;
	return 0;
}

static int sign_with(struct role_file **f, const char *keyid, struct keystore *k,
		     struct problem *problem)
{
	const struct tuf_metadata *m = (*f)->metadata;
	_cleanup_free_ char *sig = NULL;
	int r;

	r = keystore_sign(k, keyid, m->signed_bytes, m->signed_size, &sig, problem);
	if (r == -ENODEV) {
		log_debug("not signed by %s: %s", keyid, problem->text);
		return 0;
	}
	return r < 0 ? r : role_file_add_signature(f, keyid, sig, problem);
}

int role_file_sign(struct role_file **f, struct role_file *by, const char *role, struct keystore *k,
		   struct problem *problem)
{
	/* A root signs itself: *f may be by, and is replaced below. */
	_cleanup_(role_file_unrefp) struct role_file *authority = role_file_ref(by);
	const struct tuf_role *r = find_role(authority, role);
	const cJSON *item;

	if (!r)
		return 0;
	cJSON_ArrayForEach (item, r->keyids) {
		const struct keystore_key *key = keystore_find(k, item->valuestring);
		int n;

		if (!key || !key->has_private ||
		    role_file_signed_by(*f, authority, role, item->valuestring))
			continue;
		n = sign_with(f, item->valuestring, k, problem);
		if (n < 0)
			return n;
	}
	return 0;
}
