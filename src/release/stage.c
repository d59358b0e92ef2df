/* SPDX-License-Identifier: Apache-2.0 */
#include "release/stage.h"

#include <inttypes.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "release/metadata.h"
#include "tuf/client.h"

/* ---- the plan ---- */

/* Takes file over, also on failure. */
static int plan(struct repository *r, const char *role, struct role_file *file,
		struct problem *problem)
{
	struct repository_plan *p = repository_plan(r);
	unsigned i = 0;

	while (i < p->n && strcmp(p->entry[i].role, role) != 0)
		i++;
	if (i == ELEMENTSOF(p->entry)) {
		role_file_unref(file);
		return problem_set(problem, -ENOSPC, "too many roles to stage at once");
	}
	if (i == p->n) {
		(void)snprintf(p->entry[i].role, sizeof p->entry[i].role, "%s", role);
		p->entry[i].file = NULL;
		p->n++;
	}
	role_file_unref(p->entry[i].file);
	p->entry[i].file = file;
	return 0;
}

static size_t max_bytes(const char *role)
{
	return role_file_type(role) == TUF_ROOT ? TUF_ROOT_MAX_BYTES : TUF_TARGETS_MAX_BYTES;
}

/* A signature that a key elsewhere gave and that is void now. */
static void tell_lost_signatures(struct repository *r, const char *role,
				 const struct role_file *before, const struct role_file *after,
				 struct changes *changes)
{
	struct keystore *k = repository_keys(r);
	const cJSON *item;

	if (role_file_same(before, after))
		return;
	cJSON_ArrayForEach (item, role_file_metadata(before)->signatures) {
		const char *keyid = json_text_or(item, "keyid", "?");
		const struct keystore_key *key = keystore_find(k, keyid);
		char label[KEYSTORE_LABEL_BYTES];

		if (key && key->has_private)
			continue;
		keystore_label(k, keyid, label);
		changes_add(changes,
			    "%s version %" PRIu64 ": the signature of %s is void, since what it "
			    "signed changes; it must sign again",
			    role, role_file_version(after), label);
	}
}

/* What the new version is compared with; NULL where there is nothing, or nothing good: then it is told,
 * and the new version heals it. */
static struct role_file *load_before(struct repository *r, const char *role,
				     struct changes *changes)
{
	struct role_file *before = NULL;
	struct problem problem = { 0 };
	int n = repository_load_file(r, role, REPOSITORY_NEWEST, &before, &problem);

	if (n < 0 && n != -ENOENT)
		changes_add(changes, "the present %s is not good: %s", role, problem.text);
	return before;
}

static int tell(struct repository *r, const char *role, const struct role_file *after,
		struct changes *changes, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *before = NULL;
	_cleanup_(role_file_unrefp) struct role_file *staged = NULL;
	int n;

	if (!changes)
		return 0;
	if (!changes->only_losses) {
		before = load_before(r, role, changes);
		changes_compare(changes, repository_keys(r), role,
				before ? role_file_document(before) : NULL,
				role_file_document(after));
	}
	n = repository_load_file(r, role, REPOSITORY_STAGED_ONLY, &staged, problem);
	if (staged)
		tell_lost_signatures(r, role, staged, after, changes);
	return n == -ENOENT ? 0 : n;
}

int stage_put(struct repository *r, const char *role, cJSON *document, struct changes *changes,
	      struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *file = NULL;
	uint64_t published = 0;
	size_t size;
	int n;

	n = repository_published_version(r, role, &published, problem);
	if (n < 0)
		return n;
	n = metadata_set(document, published + 1, repository_expires_sec(r, role));
	if (n == 0)
		n = role_file_new(document, role_file_type(role), &file, problem);
	if (n < 0)
		return n == -ENOMEM ? problem_no_memory(problem)
				    : problem_set(problem, n, "cannot make metadata of %s: %s",
						  role, strerror(-n));
	(void)role_file_bytes(file, &size);
	if (size > max_bytes(role))
		return problem_set(problem, -EFBIG,
				   "the metadata of %s would be larger than clients accept", role);
	n = tell(r, role, file, changes, problem);
	return n < 0 ? n : plan(r, role, TAKE_PTR(file), problem);
}

int stage_drop(struct repository *r, const char *role, struct problem *problem)
{
	return plan(r, role, NULL, problem);
}

/* ---- signing and writing ---- */

int stage_sign(struct repository *r, const char *role, struct role_file **file,
	       struct problem *problem)
{
	_cleanup_(authorities_done) struct authorities a = { .n = 0 };
	int n = repository_authorities(r, role, *file, &a, problem);

	for (unsigned i = 0; n == 0 && i < a.n; i++)
		n = role_file_sign(file, a.by[i], role, repository_keys(r), problem);
	return n;
}

static void staged_name(const char *role, char ret[REPOSITORY_NAME_BYTES])
{
	(void)snprintf(ret, REPOSITORY_NAME_BYTES, REPOSITORY_STAGED "/%s.json", role);
}

int stage_write(struct repository *r, const char *role, const struct role_file *file,
		struct problem *problem)
{
	char name[REPOSITORY_NAME_BYTES];
	size_t size;
	const char *bytes = role_file_bytes(file, &size);
	int n;

	staged_name(role, name);
	n = fs_write_file_atomic(repository_fd(r), name, bytes, size, 0644);
	return n < 0 ? problem_set(problem, n, "cannot write '%s': %s", name, strerror(-n)) : 0;
}

static int remove_staged(struct repository *r, const char *role, struct problem *problem)
{
	char name[REPOSITORY_NAME_BYTES], targets[REPOSITORY_NAME_BYTES];
	int n;

	staged_name(role, name);
	(void)snprintf(targets, sizeof targets, REPOSITORY_STAGED_TARGETS "/%s", role);
	n = fs_remove_tree(repository_fd(r), name);
	if (n == 0)
		n = fs_remove_tree(repository_fd(r), targets);
	return n < 0 ? problem_set(problem, n, "cannot remove '%s': %s", name, strerror(-n)) : 0;
}

/* What is staged already stays, signatures and all, if it says the same to the byte. */
static int sign_entry(struct repository *r, const char *role, struct role_file **file,
		      struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *staged = NULL;
	int n = repository_load_file(r, role, REPOSITORY_STAGED_ONLY, &staged, problem);

	if (n < 0 && n != -ENOENT)
		return n;
	if (staged && role_file_same(staged, *file)) {
		role_file_unref(*file);
		*file = TAKE_PTR(staged);
	}
	return stage_sign(r, role, file, problem);
}

/* Root after targets after the delegated roles. */
static unsigned rank(const char *role)
{
	return strcmp(role, "root") == 0 ? 2 : strcmp(role, "targets") == 0 ? 1 : 0;
}

int stage_commit(struct repository *r, struct problem *problem)
{
	struct repository_plan *p = repository_plan(r);
	int n = keystore_commit(repository_keys(r), problem);

	for (unsigned i = 0; n == 0 && i < p->n; i++)
		if (p->entry[i].file)
			n = sign_entry(r, p->entry[i].role, &p->entry[i].file, problem);
	for (unsigned turn = 0; n == 0 && turn <= rank("root"); turn++)
		for (unsigned i = 0; n == 0 && i < p->n; i++) {
			if (rank(p->entry[i].role) != turn)
				continue;
			n = p->entry[i].file
				    ? stage_write(r, p->entry[i].role, p->entry[i].file, problem)
				    : remove_staged(r, p->entry[i].role, problem);
		}
	repository_forget_plan(r);
	return n;
}

int stage_role(struct repository *r, const char *role, cJSON *document, struct problem *problem)
{
	int n = stage_put(r, role, document, NULL, problem);

	return n < 0 ? n : stage_commit(r, problem);
}

/* ---- how far it is signed ---- */

static bool lists(const cJSON *missing, const char *keyid)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, missing)
		if (strcmp(json_text_or(item, "keyid", ""), keyid) == 0)
			return true;
	return false;
}

static bool add_missing_key(struct repository *r, cJSON *missing, const char *keyid)
{
	const struct keystore_key *key = keystore_find(repository_keys(r), keyid);
	cJSON *object = cJSON_CreateObject();

	if (!object || !cJSON_AddItemToArray(missing, object)) {
		cJSON_Delete(object);
		return false;
	}
	return cJSON_AddStringToObject(object, "keyid", keyid) &&
	       (!key || cJSON_AddStringToObject(object, "name", key->name)) &&
	       cJSON_AddBoolToObject(object, "here", key && key->has_private);
}

static int add_missing(struct repository *r, const char *role, const struct role_file *file,
		       const struct role_file *by, cJSON *missing)
{
	const struct tuf_role *authority = tuf_roles_find(&role_file_metadata(by)->roles, role);
	const cJSON *item;

	cJSON_ArrayForEach (item, authority->keyids) {
		const char *keyid = item->valuestring;

		if (!role_file_signed_by(file, by, role, keyid) && !lists(missing, keyid) &&
		    !add_missing_key(r, missing, keyid))
			return -ENOMEM;
	}
	return 0;
}

static int add_counts(struct repository *r, const char *role, const struct role_file *file,
		      const struct authorities *a, cJSON *status)
{
	static const char *const names[2][2] = { { "signatures", "threshold" },
						 { "old_signatures", "old_threshold" } };
	cJSON *missing = cJSON_CreateArray();
	bool complete = true;

	if (!missing || !cJSON_AddItemToObject(status, "missing", missing)) {
		cJSON_Delete(missing);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < a->n && i < ELEMENTSOF(names); i++) {
		struct role_signatures signatures = { 0 };
		int n = role_file_verify(file, a->by[i], role, &signatures);

		if (n < 0)
			complete = false;
		if (!json_add_u64(status, names[i][0], signatures.have) ||
		    !json_add_u64(status, names[i][1], signatures.threshold))
			return -ENOMEM;
		if (n < 0 && add_missing(r, role, file, a->by[i], missing) < 0)
			return -ENOMEM;
	}
	return cJSON_AddBoolToObject(status, "complete", complete) ? 0 : -ENOMEM;
}

int stage_status(struct repository *r, const char *role, struct role_file *file, cJSON **ret,
		 struct problem *problem)
{
	_cleanup_(authorities_done) struct authorities a = { .n = 0 };
	_cleanup_json_ cJSON *status = cJSON_CreateObject();
	int64_t expires_sec = role_file_metadata(file)->expires_sec;
	int n;

	n = repository_authorities(r, role, file, &a, problem);
	if (n < 0)
		return n;
	if (!cJSON_AddStringToObject(status, "role", role) ||
	    !json_add_u64(status, "version", role_file_version(file)) ||
	    !json_add_u64(status, "expires_sec", expires_sec < 0 ? 0 : (uint64_t)expires_sec) ||
	    add_counts(r, role, file, &a, status) < 0)
		return problem_no_memory(problem);
	*ret = TAKE_PTR(status);
	return 0;
}

static int add_status(struct repository *r, const char *role, cJSON *all, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *file = NULL;
	cJSON *status = NULL;
	int n;

	n = repository_load_file(r, role, REPOSITORY_STAGED_ONLY, &file, problem);
	if (n < 0)
		return n == -ENOENT ? 0 : n;
	n = stage_status(r, role, file, &status, problem);
	if (n < 0)
		return n;
	if (!cJSON_AddItemToArray(all, status)) {
		cJSON_Delete(status);
		return problem_no_memory(problem);
	}
	return 0;
}

int stage_status_all(struct repository *r, cJSON **ret, struct problem *problem)
{
	_cleanup_json_ cJSON *all = cJSON_CreateArray();
	struct role_names names;
	int n = repository_delegated(r, &names, problem);

	if (n == 0)
		n = add_status(r, "root", all, problem);
	if (n == 0)
		n = add_status(r, "targets", all, problem);
	for (unsigned i = 0; n == 0 && i < names.n; i++)
		n = add_status(r, names.name[i], all, problem);
	if (n < 0)
		return n;
	*ret = TAKE_PTR(all);
	return 0;
}

bool stage_is_complete(const cJSON *status)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(status, "complete"));
}

static uint64_t number(const cJSON *status, const char *key)
{
	uint64_t value = 0;

	return json_get_u64(status, key, UINT64_MAX, &value, NULL) < 0 ? 0 : value;
}

static void print_missing(FILE *stream, const cJSON *status)
{
	const char *separator = " (missing: ";
	const cJSON *item;

	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(status, "missing")) {
		const char *name = json_text_or(item, "name", "");

		(void)fprintf(stream, "%s%s%s%.*s", separator, name, *name ? " " : "",
			      KEYSTORE_SHORT_ID_LENGTH, json_text_or(item, "keyid", "?"));
		separator = ", ";
	}
	if (*separator == ',')
		(void)fputc(')', stream);
}

char *stage_sentence(const cJSON *status)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return NULL;
	(void)fprintf(stream, "%s version %" PRIu64 " has %" PRIu64 " of %" PRIu64 " signatures",
		      json_text_or(status, "role", "?"), number(status, "version"),
		      number(status, "signatures"), number(status, "threshold"));
	if (number(status, "old_threshold") > 0)
		(void)fprintf(stream, " and %" PRIu64 " of %" PRIu64 " of the present root's keys",
			      number(status, "old_signatures"), number(status, "old_threshold"));
	print_missing(stream, status);
	return fclose(stream) == 0 ? TAKE_PTR(text) : NULL;
}
