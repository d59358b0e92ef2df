/* SPDX-License-Identifier: Apache-2.0 */
#include "release/exchange.h"

#include <inttypes.h>
#include <string.h>

#include "common/json.h"
#include "release/request.h"
#include "release/stage.h"

/* ---- export ---- */

/* {"keyid","name","keytype"} of a key that did not sign yet. */
static int add_need(cJSON *needs, const cJSON *missing, const struct authorities *a)
{
	const char *keyid = json_text_or(missing, "keyid", "");
	const char *name = json_text_or(missing, "name", "");
	const cJSON *key = NULL;
	cJSON *need = cJSON_CreateObject();

	if (!need || !cJSON_AddItemToArray(needs, need)) {
		cJSON_Delete(need);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < a->n && !key; i++)
		key = authority_key(role_file_document(a->by[i]), keyid);
	if (!cJSON_AddStringToObject(need, "keyid", keyid) ||
	    (*name && !cJSON_AddStringToObject(need, "name", name)) ||
	    !cJSON_AddStringToObject(need, "keytype", json_text_or(key, "keytype", "?")))
		return -ENOMEM;
	return 0;
}

static int build_needs(const cJSON *status, const struct authorities *a, cJSON **ret)
{
	_cleanup_json_ cJSON *needs = cJSON_CreateArray();
	const cJSON *missing;

	cJSON_ArrayForEach (missing, cJSON_GetObjectItemCaseSensitive(status, "missing"))
		if (add_need(needs, missing, a) < 0)
			return -ENOMEM;
	*ret = TAKE_PTR(needs);
	return *ret ? 0 : -ENOMEM;
}

static int add_role(struct repository *r, struct request *request, const char *role,
		    struct role_file *file, const cJSON *status, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *previous = NULL;
	_cleanup_(changes_done) struct changes sentences = { 0 };
	_cleanup_(authorities_done) struct authorities a = { .n = 0 };
	_cleanup_json_ cJSON *needs = NULL;
	struct request_role entry = { .role = role, .file = role_file_envelope(file) };
	int n;

	n = repository_load_file(r, role, REPOSITORY_PUBLISHED, &previous, problem);
	if (n < 0 && n != -ENOENT)
		return n;
	n = repository_authorities(r, role, file, &a, problem);
	if (n < 0)
		return n;
	changes_compare(&sentences, repository_keys(r), role,
			previous ? role_file_document(previous) : NULL, role_file_document(file));
	if (build_needs(status, &a, &needs) < 0 || sentences.out_of_memory)
		return problem_no_memory(problem);
	entry.previous = previous ? role_file_envelope(previous) : NULL;
	entry.needs = needs;
	entry.threshold = authority_threshold(role_file_document(a.by[0]), role);
	entry.changes = sentences.sentences;
	return request_add_role(request, &entry, problem);
}

static bool is_wanted(const char *const *roles, size_t n_roles, const char *role)
{
	for (size_t i = 0; i < n_roles; i++)
		if (strcmp(roles[i], role) == 0)
			return true;
	return n_roles == 0;
}

static int export_role(struct repository *r, struct request *request, const cJSON *status,
		       struct changes *changes, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *file = NULL;
	_cleanup_free_ char *sentence = stage_sentence(status);
	const char *role = json_text_or(status, "role", "");
	int n;

	n = repository_load_file(r, role, REPOSITORY_STAGED_ONLY, &file, problem);
	if (n == 0)
		n = add_role(r, request, role, file, status, problem);
	if (n == 0)
		changes_add(changes, "%s", sentence ? sentence : role);
	return n;
}

int exchange_export(struct repository *r, const char *const *roles, size_t n_roles,
		    const char *path, struct changes *changes, struct problem *problem)
{
	_cleanup_(request_freep) struct request *request = NULL;
	_cleanup_json_ cJSON *staged = NULL;
	const cJSON *status;
	int n, count = 0;

	for (size_t i = 0; i < n_roles; i++) {
		n = repository_check_role(r, roles[i], problem);
		if (n < 0)
			return n;
	}
	n = stage_status_all(r, &staged, problem);
	if (n < 0)
		return n;
	if (request_new(&request) < 0)
		return problem_no_memory(problem);
	cJSON_ArrayForEach (status, staged) {
		if (stage_is_complete(status) ||
		    !is_wanted(roles, n_roles, json_text_or(status, "role", "")))
			continue;
		n = export_role(r, request, status, changes, problem);
		if (n < 0)
			return n;
		count++;
	}
	n = count > 0 ? request_write(request, path, problem) : 0;
	return n < 0 ? n : count;
}

/* ---- import ---- */

struct import {
	struct repository *r;
	struct changes *changes;
	struct exchange_outcome outcome;
	const char *role;
	struct role_file *file; /* staged, growing */
	struct authorities authorities;
};

static bool is_listed(const struct import *i, const char *keyid)
{
	for (unsigned a = 0; a < i->authorities.n; a++)
		if (authority_lists(role_file_document(i->authorities.by[a]), i->role, keyid))
			return true;
	return false;
}

static bool is_signed_by(const struct import *i, const struct role_file *file, const char *keyid)
{
	for (unsigned a = 0; a < i->authorities.n; a++)
		if (role_file_signed_by(file, i->authorities.by[a], i->role, keyid))
			return true;
	return false;
}

static void refuse(struct import *i, const char *label, const char *why)
{
	changes_add(i->changes, "%s version %" PRIu64 ": the signature of %s is refused: %s",
		    i->role, role_file_version(i->file), label, why);
	i->outcome.refused++;
}

static int import_signature(struct import *i, const cJSON *signature, struct problem *problem)
{
	const char *keyid = json_text_or(signature, "keyid", "?");
	_cleanup_(role_file_unrefp) struct role_file *more = role_file_ref(i->file);
	char label[KEYSTORE_LABEL_BYTES];
	int n;

	keystore_label(repository_keys(i->r), keyid, label);
	if (is_signed_by(i, i->file, keyid)) {
		i->outcome.known++;
		return 0;
	}
	if (!is_listed(i, keyid)) {
		refuse(i, label, "it is no key of this role");
		return 0;
	}
	n = role_file_add_signature(&more, keyid, json_text_or(signature, "sig", ""), problem);
	if (n < 0)
		return n;
	if (!is_signed_by(i, more, keyid)) {
		refuse(i, label, "it is not over what is staged");
		return 0;
	}
	changes_add(i->changes, "%s version %" PRIu64 ": adds the signature of %s", i->role,
		    role_file_version(more), label);
	i->outcome.added++;
	role_file_unref(i->file);
	i->file = TAKE_PTR(more);
	return 0;
}

/* What was signed must be what is staged: nothing but signatures is taken from a request. */
static bool is_current(struct import *i, const struct tuf_metadata *m)
{
	const struct tuf_metadata *staged = role_file_metadata(i->file);

	return m->signed_size == staged->signed_size &&
	       memcmp(m->signed_bytes, staged->signed_bytes, m->signed_size) == 0;
}

static int import_staged(struct import *i, const struct tuf_metadata *m, bool dry_run,
			 struct problem *problem)
{
	unsigned before = i->outcome.added;
	const cJSON *signature;
	int n = 0;

	if (!is_current(i, m)) {
		changes_add(
			i->changes,
			"%s version %" PRIu64
			" in the request is not what is staged now, it is refused; export again",
			i->role, m->version);
		i->outcome.refused++;
		return 0;
	}
	n = repository_authorities(i->r, i->role, i->file, &i->authorities, problem);
	cJSON_ArrayForEach (signature, m->signatures)
		if (n == 0)
			n = import_signature(i, signature, problem);
	if (n < 0 || dry_run || i->outcome.added == before)
		return n;
	return stage_write(i->r, i->role, i->file, problem);
}

static int import_role(struct import *i, const struct tuf_metadata *m, bool dry_run,
		       struct problem *problem)
{
	int n = repository_check_role(i->r, i->role, problem);

	/* Only then it may become part of a file's name. */
	if (n == 0)
		n = repository_load_file(i->r, i->role, REPOSITORY_STAGED_ONLY, &i->file, problem);
	if (n == 0)
		n = import_staged(i, m, dry_run, problem);
	else if (n == -ENOENT) {
		changes_add(i->changes,
			    "%s version %" PRIu64 " is not staged here, it is passed over", i->role,
			    m->version);
		n = 0;
	}
	i->file = role_file_unref(i->file);
	authorities_done(&i->authorities);
	return n;
}

int exchange_import(struct repository *r, const char *path, bool dry_run,
		    struct exchange_outcome *ret, struct changes *changes, struct problem *problem)
{
	_cleanup_(request_freep) struct request *request = NULL;
	struct import import = { .r = r, .changes = changes };
	struct request_role role;
	int n = request_read(path, &request, problem);

	for (size_t i = 0; n == 0 && request_role(request, i, &role); i++) {
		import.role = role.role;
		n = import_role(&import, request_metadata(request, i), dry_run, problem);
	}
	if (n == 0 && changes->out_of_memory)
		n = problem_no_memory(problem);
	if (n < 0)
		return n;
	*ret = import.outcome;
	return 0;
}
