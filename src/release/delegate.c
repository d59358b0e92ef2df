/* SPDX-License-Identifier: Apache-2.0 */
#include "release/delegate.h"

#include <inttypes.h>
#include <string.h>

#include "common/json.h"
#include "release/changing.h"
#include "release/metadata.h"
#include "release/stage.h"

static int load_targets(struct repository *r, cJSON **ret, struct problem *problem)
{
	int n = repository_load(r, "targets", REPOSITORY_NEWEST, ret, problem);

	return n == -ENOENT ? problem_set(problem, n, "the repository has no targets metadata") : n;
}

static bool is_program(const char *name)
{
	return role_kind_from_name(name) == ROLE_PROGRAM;
}

static cJSON *paths_of(const struct delegate_request *request)
{
	const char pattern[] = { request->name[0], '/', '*', 0 };
	const char *const standard[] = { pattern };

	return request->n_paths ? cJSON_CreateStringArray(request->path, (int)request->n_paths)
				: cJSON_CreateStringArray(standard, 1);
}

static int add_keys(struct repository *r, const struct delegate_request *request, cJSON *targets,
		    struct problem *problem)
{
	uint64_t threshold = request->threshold ? request->threshold : 1;
	int n;

	for (size_t i = 0; i < request->n_keys; i++) {
		_cleanup_(keystore_key_done) struct keystore_key key = { 0 };

		n = changing_resolve_key(r, request->key[i], &key, problem);
		if (n < 0)
			return n;
		if (authority_add_key(targets, request->name, key.id, key.object) < 0)
			return problem_no_memory(problem);
	}
	if (authority_count(targets, request->name) < threshold)
		return problem_set(problem, -EINVAL,
				   "%s would have %u keys and a threshold of %" PRIu64
				   "; name more with --key",
				   request->name, authority_count(targets, request->name),
				   threshold);
	n = authority_set_threshold(targets, request->name, threshold);
	return n < 0 ? problem_no_memory(problem) : 0;
}

static int stage_empty(struct repository *r, const char *name, struct changes *changes,
		       struct problem *problem)
{
	_cleanup_json_ cJSON *document = NULL;

	if (metadata_new("targets", &document) < 0 || !cJSON_AddObjectToObject(document, "targets"))
		return problem_no_memory(problem);
	return stage_put(r, name, document, changes, problem);
}

static int check_new(const struct delegate_request *request, const cJSON *targets,
		     struct problem *problem)
{
	if (!authority_name_is_delegable(request->name))
		return problem_set(problem, -EINVAL,
				   "'%s' can be no role's name: 1 to %d of A-Z a-z 0-9 _ -, and no "
				   "name that has a meaning already",
				   request->name, AUTHORITY_NAME_MAX_LENGTH);
	if (cJSON_GetArraySize(authority_delegations(targets)) >= AUTHORITY_MAX_DELEGATIONS)
		return problem_set(problem, -E2BIG, "there are %d delegated roles already",
				   AUTHORITY_MAX_DELEGATIONS);
	if (request->n_keys == 0)
		return problem_set(problem, -EINVAL, "%s needs a key: --key", request->name);
	if (request->n_paths == 0 && !is_program(request->name))
		return problem_set(problem, -EINVAL, "%s needs what it may sign for: --path",
				   request->name);
	return 0;
}

/* The keys given may be those it has; others are rotate's. */
static int check_present(struct repository *r, const struct delegate_request *request,
			 const cJSON *targets, struct problem *problem)
{
	bool other = request->threshold &&
		     request->threshold != authority_threshold(targets, request->name);

	for (size_t i = 0; i < request->n_keys && !other; i++) {
		_cleanup_(keystore_key_done) struct keystore_key key = { 0 };
		int n = changing_resolve_key(r, request->key[i], &key, problem);

		if (n < 0)
			return n;
		other = !authority_lists(targets, request->name, key.id);
	}
	if (other)
		return problem_set(problem, -EEXIST,
				   "%s is a role already; 'bms-release rotate %s' changes its keys "
				   "and threshold",
				   request->name, request->name);
	return 0;
}

int delegate_plan(struct repository *r, const struct delegate_request *request,
		  struct changes *changes, struct problem *problem)
{
	_cleanup_json_ cJSON *paths = paths_of(request);
	_cleanup_json_ cJSON *targets = NULL;
	bool terminating = request->terminating || is_program(request->name), is_new;
	int changed, n;

	n = load_targets(r, &targets, problem);
	if (n < 0)
		return n;
	is_new = !authority_find(targets, request->name);
	n = is_new ? check_new(request, targets, problem)
		   : check_present(r, request, targets, problem);
	if (n < 0 || (!is_new && request->n_paths == 0))
		return n;
	if (!paths)
		return problem_no_memory(problem);
	changed = authority_delegate(targets, request->name, paths, terminating);
	if (changed < 0)
		return problem_no_memory(problem);
	n = is_new ? add_keys(r, request, targets, problem) : 0;
	if (n == 0 && changed)
		n = stage_put(r, "targets", targets, changes, problem);
	if (n == 0 && is_new)
		n = stage_empty(r, request->name, changes, problem);
	return n < 0 ? n : changed;
}

int undelegate_plan(struct repository *r, const char *name, struct changes *changes,
		    struct problem *problem)
{
	_cleanup_json_ cJSON *targets = NULL;
	uint64_t version = 0;
	int n = load_targets(r, &targets, problem);

	if (n == 0)
		n = repository_published_version(r, name, &version, problem);
	if (n < 0)
		return n;
	n = authority_undelegate(targets, name);
	if (n == -ENOENT)
		return problem_set(problem, n, "targets delegates to no role '%s'", name);
	n = stage_put(r, "targets", targets, changes, problem);
	if (n == 0)
		n = stage_drop(r, name, problem);
	if (n < 0)
		return n;
	if (version > 0)
		changes_add(changes,
			    "%s stays in the snapshot at version %" PRIu64
			    ", as clients demand, and its files stay where they are; nothing of it "
			    "can be installed",
			    name, version);
	if (is_program(name))
		changes_add(changes, "gateways that run a release of program %s stay on it", name);
	return 1;
}
