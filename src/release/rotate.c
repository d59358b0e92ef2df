/* SPDX-License-Identifier: Apache-2.0 */
#include "release/rotate.h"

#include <inttypes.h>
#include <string.h>

#include "common/json.h"
#include "release/changing.h"
#include "release/metadata.h"
#include "release/stage.h"

#define MIN_ID_LENGTH 6

/* ---- keys ---- */

static int add_keys(struct repository *r, const struct rotate_request *request, cJSON *document,
		    bool *changed, struct problem *problem)
{
	for (size_t i = 0; i < request->n_add; i++) {
		_cleanup_(keystore_key_done) struct keystore_key key = { 0 };
		int n = changing_resolve_key(r, request->add[i], &key, problem);

		if (n < 0)
			return n;
		if (authority_count(document, request->role) == TUF_MAX_ROLE_KEYS)
			return problem_set(problem, -E2BIG, "%s has %u keys already", request->role,
					   TUF_MAX_ROLE_KEYS);
		n = authority_add_key(document, request->role, key.id, key.object);
		if (n < 0)
			return problem_no_memory(problem);
		*changed |= n == 1;
	}
	return 0;
}

static bool is_hex(const char *text)
{
	return text[strspn(text, "0123456789abcdef")] == '\0';
}

/* A key of the role, by its name or the beginning of its id. */
static int find_key(struct repository *r, const cJSON *document, const char *role, const char *text,
		    const char **ret, struct problem *problem)
{
	const cJSON *keyids = cJSON_GetObjectItemCaseSensitive(authority_find(document, role),
							       "keyids");
	const char *found = NULL;
	const cJSON *item;

	cJSON_ArrayForEach (item, keyids) {
		const char *keyid = item->valuestring;
		const struct keystore_key *key = keystore_find(repository_keys(r), keyid);
		bool by_id = strlen(text) >= MIN_ID_LENGTH && is_hex(text) &&
			     strncmp(keyid, text, strlen(text)) == 0;

		if (!by_id && !(key && strcmp(key->name, text) == 0))
			continue;
		if (found)
			return problem_set(
				problem, -EINVAL,
				"'%s' may be more than one of the keys of %s; name one by "
				"its id",
				text, role);
		found = keyid;
	}
	if (!found)
		return problem_set(problem, -ENOENT,
				   "%s has no key '%s'; 'bms-release keys' lists them", role, text);
	*ret = found;
	return 0;
}

static int remove_keys(struct repository *r, const struct rotate_request *request, cJSON *document,
		       bool *changed, struct problem *problem)
{
	for (size_t i = 0; i < request->n_remove; i++) {
		char keyid[SHA256_HEX_LENGTH + 1];
		const char *found = NULL;
		int n = find_key(r, document, request->role, request->remove[i], &found, problem);

		if (n < 0)
			return n;
		(void)snprintf(keyid, sizeof keyid, "%s", found);
		n = authority_remove_key(document, request->role, keyid);
		if (n < 0)
			return problem_no_memory(problem);
		*changed = true;
	}
	return 0;
}

static int set_threshold(const struct rotate_request *request, cJSON *document, bool *changed,
			 struct problem *problem)
{
	unsigned keys = authority_count(document, request->role);
	uint64_t threshold;
	int n = request->threshold
			? authority_set_threshold(document, request->role, request->threshold)
			: 0;

	if (n < 0)
		return problem_no_memory(problem);
	*changed |= n == 1;
	threshold = authority_threshold(document, request->role);
	if (keys < threshold)
		return problem_set(problem, -EINVAL,
				   "%s would have %u keys and a threshold of %" PRIu64
				   ": nobody could sign for it; add a key, or lower the threshold",
				   request->role, keys, threshold);
	return 0;
}

/* ---- content ---- */

static int empty_targets(cJSON **ret, struct problem *problem)
{
	_cleanup_json_ cJSON *document = NULL;

	if (metadata_new("targets", &document) < 0 || !cJSON_AddObjectToObject(document, "targets"))
		return problem_no_memory(problem);
	*ret = TAKE_PTR(document);
	return 0;
}

static int load_older(struct repository *r, const struct rotate_request *request, cJSON **ret,
		      struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *file = NULL;
	int n;

	if (request->reset_to == 0)
		return empty_targets(ret, problem);
	n = repository_load_version(r, request->role, request->reset_to, &file, problem);
	if (n < 0)
		return n;
	*ret = cJSON_Duplicate(role_file_document(file), true);
	return *ret ? 0 : problem_no_memory(problem);
}

/* What the new keys are going to vouch for. */
static int load_content(struct repository *r, const struct rotate_request *request, cJSON **ret,
			struct problem *problem)
{
	struct problem inner = { 0 };
	int n;

	if (request->reset)
		return load_older(r, request, ret, problem);
	n = repository_load(r, request->role, REPOSITORY_NEWEST, ret, &inner);
	if (n == -ENOENT)
		return empty_targets(ret, problem);
	if (n < 0)
		return problem_set(problem, n,
				   "%.700s; --reset-to VERSION takes the content of an older "
				   "version, --reset-to 0 none",
				   inner.text);
	return 0;
}

/* Who held the old key may have signed what is published: a person has to look at it. */
static int restage_content(struct repository *r, const struct rotate_request *request,
			   struct changes *changes, struct problem *problem)
{
	_cleanup_json_ cJSON *document = NULL;
	int n = load_content(r, request, &document, problem);

	if (n == 0)
		n = stage_put(r, request->role, document, changes, problem);
	if (n < 0)
		return n;
	changes_list_releases(changes, request->role, document);
	changes_list_delegations(changes, repository_keys(r), document);
	return 0;
}

/* ---- the story ---- */

static int check_request(struct repository *r, const struct rotate_request *request,
			 struct problem *problem)
{
	const char *by = authority_of(request->role);

	if (request->reset && (!by || strcmp(by, "targets") != 0))
		return problem_set(problem, -EINVAL,
				   "only a delegated role's content can be reset");
	return repository_check_role(r, request->role, problem);
}

static int change_keys(struct repository *r, const struct rotate_request *request, cJSON *document,
		       bool *changed, struct problem *problem)
{
	int n = add_keys(r, request, document, changed, problem);

	if (n == 0)
		n = remove_keys(r, request, document, changed, problem);
	return n < 0 ? n : set_threshold(request, document, changed, problem);
}

int rotate_plan(struct repository *r, const struct rotate_request *request, struct changes *changes,
		struct problem *problem)
{
	const char *by = authority_of(request->role) ? authority_of(request->role) : "root";
	int kind = role_kind_from_name(request->role);
	_cleanup_json_ cJSON *document = NULL;
	bool changed = false;
	int n = check_request(r, request, problem);

	if (n == 0)
		n = repository_load(r, by, REPOSITORY_NEWEST, &document, problem);
	if (n == -ENOENT && !*problem->text)
		return problem_set(problem, n, "the repository has no %s metadata", by);
	if (n == 0)
		n = change_keys(r, request, document, &changed, problem);
	if (n == 0 && changed)
		n = stage_put(r, by, document, changes, problem);
	if (n < 0 || !(changed || request->reset))
		return n;
	if (kind == ROLE_SNAPSHOT || kind == ROLE_TIMESTAMP)
		changes_add(changes, "publish signs %s again with its new keys", request->role);
	else if (kind != ROLE_ROOT)
		n = restage_content(r, request, changes, problem);
	return n < 0 ? n : 1;
}
