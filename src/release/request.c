/* SPDX-License-Identifier: Apache-2.0 */
#include "release/request.h"

#include <fcntl.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"

#define TYPE		"bms-signing-request"
#define VERSION		1
#define MAX_NEEDS	256u
#define MAX_CHANGES	1024u
#define MAX_TEXT_LENGTH 1024u

static const struct json_limits limits = {
	.max_bytes = REQUEST_MAX_BYTES,
	.max_depth = 24,
	.max_tokens = 1u << 21,
};

/* A role of the request: the JSON is the truth, the metadata is made of it. */
struct item {
	struct request_role view;
	struct tuf_metadata *metadata;
	struct tuf_metadata *previous;
};

struct request {
	cJSON *json;
	cJSON *roles; /* borrowed from json */
	struct item item[REQUEST_MAX_ROLES];
	size_t n;
};

static void item_done(struct item *item)
{
	tuf_metadata_free(item->metadata);
	tuf_metadata_free(item->previous);
}

struct request *request_free(struct request *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < r->n; i++)
		item_done(&r->item[i]);
	cJSON_Delete(r->json);
	free(r);
	return NULL;
}

int request_new(struct request **ret)
{
	_cleanup_(request_freep) struct request *r = calloc(1, sizeof *r);

	if (!r)
		return -ENOMEM;
	r->json = cJSON_CreateObject();
	if (!cJSON_AddStringToObject(r->json, "_type", TYPE) ||
	    !json_add_u64(r->json, "version", VERSION))
		return -ENOMEM;
	r->roles = cJSON_AddArrayToObject(r->json, "roles");
	if (!r->roles)
		return -ENOMEM;
	*ret = TAKE_PTR(r);
	return 0;
}

/* ---- one role, read strictly ---- */

static enum tuf_type type_of(const char *role)
{
	static const char *const names[] = {
		[TUF_ROOT] = "root", [TUF_TIMESTAMP] = "timestamp", [TUF_SNAPSHOT] = "snapshot"
	};

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (strcmp(names[i], role) == 0)
			return (enum tuf_type)i;
	return TUF_TARGETS;
}

/* By way of its text: the reader makes the canonical bytes of what it read, so what is shown and what
 * is signed are one. (The canonical form itself is no JSON where a string, a PEM key, has lines.) */
static int parse_metadata(const cJSON *envelope, const char *role, struct tuf_metadata **ret,
			  struct json_error *error)
{
	static const char *const members[] = { "signatures", "signed", NULL };
	_cleanup_free_ char *text = NULL;
	int r;

	r = json_only_keys(envelope, members, error);
	if (r < 0)
		return r;
	text = json_print(envelope);
	return text ? tuf_metadata_parse(text, strlen(text), type_of(role), ret, error) : -ENOMEM;
}

static int check_text(const cJSON *text, const char *what, struct json_error *error)
{
	if (!text || !cJSON_IsString(text) || !*text->valuestring ||
	    strlen(text->valuestring) > MAX_TEXT_LENGTH)
		return json_refuse(error, what, "is no text of 1 to %u characters",
				   MAX_TEXT_LENGTH);
	return 0;
}

static int check_need(const cJSON *need, struct json_error *error)
{
	static const char *const members[] = { "keyid", "name", "keytype", NULL };
	int r = cJSON_IsObject(need) ? json_only_keys(need, members, error)
				     : json_refuse(error, "needs", "holds no object");

	for (size_t i = 0; r == 0 && members[i]; i++) {
		const cJSON *text = cJSON_GetObjectItemCaseSensitive(need, members[i]);

		if (text || i == 0)
			r = check_text(text, members[i], error);
	}
	return r;
}

static int check_lists(const struct request_role *view, struct json_error *error)
{
	const cJSON *member;
	int r;

	if (cJSON_GetArraySize(view->needs) > (int)MAX_NEEDS ||
	    cJSON_GetArraySize(view->changes) > (int)MAX_CHANGES)
		return json_refuse(error, "needs", "or changes has too many members");
	cJSON_ArrayForEach (member, view->needs) {
		r = check_need(member, error);
		if (r < 0)
			return r;
	}
	cJSON_ArrayForEach (member, view->changes) {
		r = check_text(member, "changes", error);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Members that may be missing. */
static int read_optional(const cJSON *role, struct request_role *view, struct json_error *error)
{
	int r = json_get_object(role, "previous", &view->previous, error);

	if (r == 0 || r == -ENOENT)
		r = json_get_array(role, "changes", &view->changes, error);
	return r == -ENOENT ? 0 : r;
}

static int read_view(const cJSON *role, struct request_role *ret, struct json_error *error)
{
	static const char *const members[] = { "role",	    "file",    "previous", "needs",
					       "threshold", "changes", NULL };
	struct request_role view = { 0 };
	int r;

	r = json_only_keys(role, members, error);
	if (r == 0)
		r = json_get_string(role, "role", &view.role, error);
	if (r == 0)
		r = check_text(cJSON_GetObjectItemCaseSensitive(role, "role"), "role", error);
	if (r == 0)
		r = json_get_object(role, "file", &view.file, error);
	if (r == 0)
		r = json_get_array(role, "needs", &view.needs, error);
	if (r == 0)
		r = json_get_u64(role, "threshold", UINT32_MAX, &view.threshold, error);
	if (r == 0 && view.threshold == 0)
		r = json_refuse(error, "threshold", "is 0");
	if (r == 0)
		r = read_optional(role, &view, error);
	if (r == 0)
		r = check_lists(&view, error);
	if (r == 0)
		*ret = view;
	return r;
}

static int read_previous(struct item *item, struct json_error *error)
{
	int r;

	if (!item->view.previous)
		return 0;
	r = parse_metadata(item->view.previous, item->view.role, &item->previous, error);
	if (r < 0) {
		json_error_prefix(error, "previous");
		return r;
	}
	if (item->previous->version >= item->metadata->version)
		return json_refuse(error, "previous", "is not older than what is to be signed");
	return 0;
}

static int read_item(const cJSON *role, struct item *ret, struct json_error *error)
{
	_cleanup_(item_done) struct item item = { 0 };
	int r;

	if (!cJSON_IsObject(role))
		return json_refuse(error, "roles", "holds no object");
	r = read_view(role, &item.view, error);
	if (r < 0)
		return r;
	r = parse_metadata(item.view.file, item.view.role, &item.metadata, error);
	if (r < 0) {
		json_error_prefix(error, "file");
		return r;
	}
	r = read_previous(&item, error);
	if (r < 0)
		return r;
	*ret = item;
	item = (struct item){ 0 };
	return 0;
}

static bool has_role(const struct request *r, const char *role)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->item[i].view.role, role) == 0)
			return true;
	return false;
}

static int take_item(struct request *r, const cJSON *role, struct problem *problem)
{
	struct json_error error = { 0 };
	const char *name = json_text_or(role, "role", "?");
	int n;

	if (r->n == REQUEST_MAX_ROLES)
		return problem_set(problem, -EFBIG, "a request has at most %u roles",
				   REQUEST_MAX_ROLES);
	if (has_role(r, name))
		return problem_set(problem, -EEXIST, "role '%s' is there twice", name);
	n = read_item(role, &r->item[r->n], &error);
	if (n == -ENOMEM)
		return problem_no_memory(problem);
	if (n < 0)
		return problem_set(problem, -EBADMSG, "role '%s': %s %s", name, error.field,
				   error.text);
	r->n++;
	return 0;
}

/* ---- sender ---- */

static bool add_copy(cJSON *object, const char *key, const cJSON *value)
{
	cJSON *copy = value ? cJSON_Duplicate(value, true) : NULL;

	if (!value || (copy && cJSON_AddItemToObject(object, key, copy)))
		return true;
	cJSON_Delete(copy);
	return false;
}

int request_add_role(struct request *r, const struct request_role *role, struct problem *problem)
{
	cJSON *object = cJSON_CreateObject();
	int n;

	if (!cJSON_AddStringToObject(object, "role", role->role) ||
	    !add_copy(object, "file", role->file) ||
	    !add_copy(object, "previous", role->previous) ||
	    !add_copy(object, "needs", role->needs) ||
	    !json_add_u64(object, "threshold", role->threshold) ||
	    !add_copy(object, "changes", role->changes)) {
		cJSON_Delete(object);
		return problem_no_memory(problem);
	}
	n = take_item(r, object, problem);
	if (n < 0) {
		cJSON_Delete(object);
		return n;
	}
	(void)cJSON_AddItemToArray(r->roles, object);
	return 0;
}

int request_write(const struct request *r, const char *path, struct problem *problem)
{
	_cleanup_free_ char *text = json_print(r->json);
	size_t size = text ? strlen(text) : 0;
	int n;

	if (!text)
		return problem_no_memory(problem);
	if (size >= REQUEST_MAX_BYTES)
		return problem_set(problem, -EFBIG, "the request would be larger than %u MiB",
				   REQUEST_MAX_BYTES >> 20);
	text[size] = '\n'; /* in the place of the NUL: the size is given */
	n = fs_write_file_atomic(AT_FDCWD, path, text, size + 1, 0644);
	return n < 0 ? problem_set(problem, n, "cannot write '%s': %s", path, strerror(-n)) : 0;
}

/* ---- reader ---- */

static int read_head(const cJSON *json, struct json_error *error)
{
	static const char *const members[] = { "_type", "version", "roles", NULL };
	const cJSON *roles;
	uint64_t version;
	int r;

	if (strcmp(json_text_or(json, "_type", ""), TYPE) != 0)
		return json_refuse(error, "_type", "is not '" TYPE "'");
	r = json_get_u64(json, "version", UINT32_MAX, &version, error);
	if (r == 0 && version != VERSION)
		r = json_refuse(error, "version", "is not %d: made by a newer bms-release",
				VERSION);
	if (r == 0)
		r = json_only_keys(json, members, error);
	if (r == 0)
		r = json_get_array(json, "roles", &roles, error);
	if (r == 0 && cJSON_GetArraySize(roles) == 0)
		r = json_refuse(error, "roles", "is empty");
	return r;
}

int request_parse(const void *bytes, size_t size, struct request **ret, struct problem *problem)
{
	_cleanup_(request_freep) struct request *r = calloc(1, sizeof *r);
	struct json_error error = { 0 };
	const cJSON *role;
	int n;

	if (!r)
		return problem_no_memory(problem);
	n = json_parse(bytes, size, &limits, &r->json, &error);
	if (n < 0)
		return problem_set(problem, n, "is no strict JSON: %s", error.text);
	n = read_head(r->json, &error);
	if (n < 0)
		return problem_set(problem, -EBADMSG, "is no signing request: %s %s", error.field,
				   error.text);
	r->roles = cJSON_GetObjectItemCaseSensitive(r->json, "roles");
	cJSON_ArrayForEach (role, r->roles) {
		n = take_item(r, role, problem);
		if (n < 0)
			return n;
	}
	*ret = TAKE_PTR(r);
	return 0;
}

int request_read(const char *path, struct request **ret, struct problem *problem)
{
	_cleanup_free_ char *bytes = NULL;
	struct problem inner = { 0 };
	size_t size;
	int r;

	r = fs_read_file(AT_FDCWD, path, REQUEST_MAX_BYTES, &bytes, &size);
	if (r < 0)
		return problem_set(problem, r, "cannot read '%s': %s", path, strerror(-r));
	r = request_parse(bytes, size, ret, &inner);
	return r < 0 ? problem_set(problem, r, "'%s': %s", path, inner.text) : 0;
}

bool request_role(const struct request *r, size_t index, struct request_role *ret)
{
	if (index >= r->n)
		return false;
	*ret = r->item[index].view;
	return true;
}

const struct tuf_metadata *request_metadata(const struct request *r, size_t index)
{
	return index < r->n ? r->item[index].metadata : NULL;
}

const struct tuf_metadata *request_previous(const struct request *r, size_t index)
{
	return index < r->n ? r->item[index].previous : NULL;
}

/* ---- signer ---- */

static const cJSON *find_by_keyid(const cJSON *array, const char *id)
{
	const cJSON *member;

	cJSON_ArrayForEach (member, array)
		if (strcmp(json_text_or(member, "keyid", ""), id) == 0)
			return member;
	return NULL;
}

bool request_signed_by(const struct tuf_metadata *m, const struct signer *signer)
{
	const cJSON *found = find_by_keyid(m->signatures, signer_id(signer));
	const char *hex = json_text_or(found, "sig", "");
	uint8_t signature[SIGNER_SIGNATURE_MAX_BYTES];
	_cleanup_(tuf_key_freep) struct tuf_key *key = NULL;
	size_t size = strlen(hex) / 2;

	return size > 0 && size <= sizeof signature && hex_decode(hex, signature, size) == 0 &&
	       tuf_key_parse(signer_public(signer), &key) == 0 &&
	       tuf_key_verify(key, signature, size, m->signed_bytes, m->signed_size) == 0;
}

/* In the place of one that does not verify, if there is one. Takes signature over. */
static int put_signature(const cJSON *file, const char *id, cJSON *signature)
{
	cJSON *signatures = cJSON_GetObjectItemCaseSensitive(file, "signatures");

	for (int i = cJSON_GetArraySize(signatures) - 1; i >= 0; i--)
		if (strcmp(json_text_or(cJSON_GetArrayItem(signatures, i), "keyid", ""), id) == 0)
			cJSON_DeleteItemFromArray(signatures, i);
	if (cJSON_AddItemToArray(signatures, signature))
		return 0;
	cJSON_Delete(signature);
	return -ENOMEM;
}

static int add_signature(struct item *item, const struct signer *signer)
{
	struct tuf_metadata *m = item->metadata, *signed_metadata = NULL;
	cJSON *signature = cJSON_CreateObject();
	_cleanup_free_ char *hex = NULL;
	int r = signer_sign(signer, m->signed_bytes, m->signed_size, &hex);

	if (r == 0 && (!cJSON_AddStringToObject(signature, "keyid", signer_id(signer)) ||
		       !cJSON_AddStringToObject(signature, "sig", hex)))
		r = -ENOMEM;
	if (r < 0) {
		cJSON_Delete(signature);
		return r;
	}
	r = put_signature(item->view.file, signer_id(signer), signature);
	if (r == 0)
		r = parse_metadata(item->view.file, item->view.role, &signed_metadata, NULL);
	if (r < 0)
		return r;
	tuf_metadata_free(m);
	item->metadata = signed_metadata;
	return 0;
}

int request_sign(struct request *r, size_t index, const struct signer *signer,
		 enum request_outcome *ret, struct problem *problem)
{
	struct item *item = &r->item[index];
	int n;

	if (!find_by_keyid(item->view.needs, signer_id(signer))) {
		*ret = REQUEST_NOT_NEEDED;
		return 0;
	}
	if (request_signed_by(item->metadata, signer)) {
		*ret = REQUEST_SIGNED_BEFORE;
		return 0;
	}
	n = add_signature(item, signer);
	if (n == -EKEYREJECTED)
		return problem_set(problem, n,
				   "what the key signed for %s does not verify with its own public "
				   "half: it is damaged, or the token is",
				   item->view.role);
	if (n < 0)
		return problem_set(problem, n, "cannot sign %s: %s", item->view.role, strerror(-n));
	*ret = REQUEST_SIGNED;
	return 0;
}
