/* SPDX-License-Identifier: Apache-2.0 */
#include "release/revoke.h"

#include <string.h>

#include "release/stage.h"
#include "release/target.h"

#define LIST_ENDING ".seg"

/* The program file of the version, for the architecture if one is given. */
static bool is_release(const cJSON *entry, const struct version *version, const char *arch)
{
	struct target_entry target;
	struct full_target full;

	return target_parse(entry, &target) == 0 && target_parse_full(target.custom, &full) == 0 &&
	       strcmp(full.version, version->text) == 0 && (!arch || strcmp(full.arch, arch) == 0);
}

/* A patch that leads to the version, or away from it. */
static bool is_patch(const cJSON *entry, const struct version *version, const char *arch)
{
	struct target_entry target;
	struct patch_target patch;

	return target_parse(entry, &target) == 0 &&
	       target_parse_patch(target.custom, &patch) == 0 &&
	       (strcmp(patch.to.version, version->text) == 0 ||
		strcmp(patch.from, version->text) == 0) &&
	       (!arch || strcmp(patch.to.arch, arch) == 0);
}

static bool is_list_of(const cJSON *entry, const char *path)
{
	size_t length = strlen(path);

	return strncmp(entry->string, path, length) == 0 &&
	       strncmp(entry->string + length, LIST_ENDING, strlen(LIST_ENDING)) == 0;
}

static void drop_lists(cJSON *targets, const char *path)
{
	cJSON *entry = targets->child, *next;

	for (; entry; entry = next) {
		next = entry->next;
		if (is_list_of(entry, path))
			cJSON_Delete(cJSON_DetachItemViaPointer(targets, entry));
	}
}

static cJSON *find(cJSON *targets,
		   bool (*is_it)(const cJSON *, const struct version *, const char *),
		   const struct version *version, const char *arch)
{
	cJSON *entry;

	cJSON_ArrayForEach (entry, targets)
		if (is_it(entry, version, arch))
			return entry;
	return NULL;
}

static unsigned drop(cJSON *targets,
		     bool (*is_it)(const cJSON *, const struct version *, const char *),
		     const struct version *version, const char *arch)
{
	unsigned count = 0;
	cJSON *entry;

	for (; (entry = find(targets, is_it, version, arch)); count++) {
		drop_lists(targets, entry->string);
		cJSON_Delete(cJSON_DetachItemViaPointer(targets, entry));
	}
	return count;
}

static void tell_consequences(const cJSON *targets, const struct version *version,
			      struct changes *changes)
{
	const char *newest = NULL;
	const cJSON *entry;

	cJSON_ArrayForEach (entry, targets) {
		struct target_entry target;
		struct full_target full;

		if (target_parse(entry, &target) == 0 &&
		    target_parse_full(target.custom, &full) == 0 &&
		    (!newest || strcmp(full.version, newest) > 0))
			newest = full.version;
	}
	changes_add(changes,
		    "gateways that run %s stay on it until a newer one is published; others cannot "
		    "install it any more",
		    version->text);
	if (newest)
		changes_add(changes, "the newest release of %c is %s then", version->program,
			    newest);
	else
		changes_add(changes, "there is no release of %c then", version->program);
}

int revoke_plan(struct repository *r, const struct version *version, const char *arch,
		struct changes *changes, struct problem *problem)
{
	const char role[] = { version->program, 0 };
	_cleanup_json_ cJSON *document = NULL;
	cJSON *targets;
	int n = repository_check_role(r, role, problem);

	if (n < 0)
		return n;
	n = repository_load(r, role, REPOSITORY_NEWEST, &document, problem);
	if (n < 0)
		return n == -ENOENT ? problem_set(problem, n, "the metadata of %s is missing", role)
				    : n;
	targets = cJSON_GetObjectItemCaseSensitive(document, "targets");
	if (drop(targets, is_release, version, arch) == 0)
		return problem_set(problem, -ENOENT, "there is no release %s%s%s", version->text,
				   arch ? " for " : "", arch ? arch : "");
	(void)drop(targets, is_patch, version, arch);
	n = stage_put(r, role, document, changes, problem);
	if (n < 0)
		return n;
	tell_consequences(targets, version, changes);
	return 1;
}
