/* SPDX-License-Identifier: Apache-2.0 */
/* The verb list: the releases, published or staged, and how far what is staged is signed. */
#include <inttypes.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "release/options.h"
#include "release/stage.h"
#include "release/target.h"

struct row {
	const char *path;
	char program;
	bool published;
	struct target_entry target;
	struct full_target full;
};

static void print_row(const struct row *row)
{
	const char *separator = "";
	const cJSON *model;

	(void)printf("%-8c %-14s %-8s %10" PRIu64 "  %-10s ", row->program, row->full.version,
		     row->full.arch, row->target.length, row->published ? "published" : "staged");
	cJSON_ArrayForEach (model, row->full.model) {
		(void)printf("%s%s", separator, cJSON_GetStringValue(model));
		separator = ",";
	}
	(void)puts(*separator ? "" : "any");
}

static int add_row(cJSON *releases, const struct row *row)
{
	cJSON *object = cJSON_CreateObject();
	char sha256[SHA256_HEX_LENGTH + 1];
	cJSON *models;

	if (!object || !cJSON_AddItemToArray(releases, object)) {
		cJSON_Delete(object);
		return -ENOMEM;
	}
	hex_encode(row->target.sha256, SHA256_BYTES, sha256);
	models = row->full.model ? cJSON_Duplicate(row->full.model, true) : cJSON_CreateArray();
	if (!models || !cJSON_AddItemToObject(object, "models", models))
		return -ENOMEM;
	if (!cJSON_AddStringToObject(object, "program", (const char[]){ row->program, 0 }) ||
	    !cJSON_AddStringToObject(object, "version", row->full.version) ||
	    !cJSON_AddStringToObject(object, "arch", row->full.arch) ||
	    !cJSON_AddStringToObject(object, "target", row->path) ||
	    !json_add_u64(object, "length", row->target.length) ||
	    !cJSON_AddStringToObject(object, "sha256", sha256) ||
	    !cJSON_AddBoolToObject(object, "published", row->published))
		return -ENOMEM;
	return 0;
}

/* The same file of the same target is published; not merely its name. */
static bool is_published(const cJSON *published, const char *path,
			 const struct target_entry *target)
{
	struct target_entry entry;

	return published && target_parse(target_get(published, path), &entry) == 0 &&
	       memcmp(entry.sha256, target->sha256, SHA256_BYTES) == 0;
}

static int add_patch(cJSON *patches, const struct patch_target *patch,
		     const struct target_entry *target, bool published)
{
	cJSON *object = cJSON_CreateObject();

	if (!object || !cJSON_AddItemToArray(patches, object)) {
		cJSON_Delete(object);
		return -ENOMEM;
	}
	return cJSON_AddStringToObject(object, "from", patch->from) &&
			       json_add_u64(object, "length", target->length) &&
			       cJSON_AddBoolToObject(object, "published", published)
		       ? 0
		       : -ENOMEM;
}

/* The patches that lead to the release of a row: below it, or into its object. */
static int show_patches(const cJSON *newest, const cJSON *published, const struct row *row,
			cJSON *releases)
{
	cJSON *object = cJSON_GetArrayItem(releases, cJSON_GetArraySize(releases) - 1);
	cJSON *patches = releases ? cJSON_AddArrayToObject(object, "patches") : NULL;
	const cJSON *entry;

	cJSON_ArrayForEach (entry, cJSON_GetObjectItemCaseSensitive(newest, "targets")) {
		struct target_entry target;
		struct patch_target patch;
		bool is_there;

		if (target_parse(entry, &target) < 0 ||
		    target_parse_patch(target.custom, &patch) < 0 ||
		    strcmp(patch.to.version, row->full.version) != 0 ||
		    strcmp(patch.to.arch, row->full.arch) != 0)
			continue;
		is_there = is_published(published, entry->string, &target);
		if (!releases)
			(void)printf("%-8s from %s      %10" PRIu64 "  %s\n", "", patch.from,
				     target.length, is_there ? "published" : "staged");
		else if (add_patch(patches, &patch, &target, is_there) < 0)
			return -ENOMEM;
	}
	return releases && !patches ? -ENOMEM : 0;
}

static int show_program(struct repository *r, char letter, cJSON *releases, struct problem *problem)
{
	const char role[] = { letter, 0 };
	_cleanup_json_ cJSON *newest = NULL;
	_cleanup_json_ cJSON *published = NULL;
	const cJSON *entry;
	int n;

	n = repository_load(r, role, REPOSITORY_NEWEST, &newest, problem);
	if (n < 0)
		return n == -ENOENT ? 0 : n;
	n = repository_load(r, role, REPOSITORY_PUBLISHED, &published, problem);
	if (n < 0 && n != -ENOENT)
		return n;
	cJSON_ArrayForEach (entry, cJSON_GetObjectItemCaseSensitive(newest, "targets")) {
		struct row row = { .path = entry->string, .program = letter };

		if (target_parse(entry, &row.target) < 0 ||
		    target_parse_full(row.target.custom, &row.full) < 0)
			continue;
		row.published = is_published(published, row.path, &row.target);
		if (!releases)
			print_row(&row);
		else if (add_row(releases, &row) < 0)
			return problem_no_memory(problem);
		if (show_patches(newest, published, &row, releases) < 0)
			return problem_no_memory(problem);
	}
	return 0;
}

static int show_programs(struct repository *r, cJSON *releases, struct problem *problem)
{
	char programs[REPOSITORY_MAX_PROGRAMS + 1];
	int n = repository_programs(r, programs, problem);

	for (const char *p = programs; n == 0 && *p; p++)
		n = show_program(r, *p, releases, problem);
	return n;
}

/* What waits for signatures or for the next publishing. */
static int show_staged(struct repository *r, cJSON *answer, struct problem *problem)
{
	_cleanup_json_ cJSON *staged = NULL;
	const cJSON *status;
	int n = stage_status_all(r, &staged, problem);

	if (n < 0)
		return n;
	if (answer)
		return cJSON_AddItemToObject(answer, "staged", TAKE_PTR(staged))
			       ? 0
			       : problem_no_memory(problem);
	if (cJSON_GetArraySize(staged) > 0)
		(void)puts("\nStaged:");
	cJSON_ArrayForEach (status, staged) {
		_cleanup_free_ char *sentence = stage_sentence(status);

		(void)printf("  %s\n", sentence ? sentence : "out of memory");
	}
	return 0;
}

int verb_list(struct options *o, int argc, char **argv)
{
	static const struct option table[] = { OPTIONS_COMMON, { 0 } };
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_json_ cJSON *answer = NULL;
	struct problem problem = { 0 };
	cJSON *releases = NULL;
	int exit_code = RELEASE_OK;

	if (options_next(o, argc, argv, ":", table, &exit_code) != OPTION_END)
		return exit_code;
	if (optind < argc)
		return options_usage(o, "'%s' is too much", argv[optind]);
	if (options_open(o, false, &r) < 0)
		return RELEASE_FAILED;
	if (o->json) {
		answer = cJSON_CreateObject();
		releases = cJSON_AddArrayToObject(answer, "releases");
	} else {
		(void)printf("%-8s %-14s %-8s %10s  %-10s %s\n", "PROGRAM", "VERSION", "ARCH",
			     "BYTES", "STATE", "MODELS");
	}
	if (show_programs(r, releases, &problem) < 0 || show_staged(r, answer, &problem) < 0) {
		log_error("%s", problem.text);
		return RELEASE_FAILED;
	}
	return answer && options_print_json(answer) < 0 ? RELEASE_FAILED : RELEASE_OK;
}
