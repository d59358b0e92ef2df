/* SPDX-License-Identifier: Apache-2.0 */
/* The verb add: the command line around add_release(). */
#include <inttypes.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"
#include "common/segments.h"
#include "release/add.h"
#include "release/changing.h"
#include "release/options.h"
#include "release/stage.h"

#define MODEL_MAX_LENGTH 64

enum {
	OPTION_MODEL = OPTION_AFTER_RELEASE_ID,
	OPTION_REQUIRES,
	OPTION_SEGMENT_BYTES,
	OPTION_TAR,
	OPTION_PATCHES_FROM,
	OPTION_PATCH_MARGIN,
};

static const struct option add_table[] = {
	OPTIONS_RELEASE_ID,
	{ "model", required_argument, NULL, OPTION_MODEL },
	{ "requires", required_argument, NULL, OPTION_REQUIRES },
	{ "segment-bytes", required_argument, NULL, OPTION_SEGMENT_BYTES },
	{ "tar", required_argument, NULL, OPTION_TAR },
	{ "patches-from", required_argument, NULL, OPTION_PATCHES_FROM },
	{ "patch-margin", required_argument, NULL, OPTION_PATCH_MARGIN },
	OPTIONS_CHANGING,
	{ 0 },
};

static int parse_model(const struct options *o, struct add_request *request)
{
	if (!fs_is_safe_name(optarg) || strlen(optarg) > MODEL_MAX_LENGTH)
		return options_usage(o, "--model: '%s' is no model name", optarg);
	if (request->n_models == ADD_MAX_MODELS)
		return options_usage(o, "more than %d models", ADD_MAX_MODELS);
	request->models[request->n_models++] = optarg;
	return RELEASE_OK;
}

/* "A=A202108010001" */
static int parse_requires(const struct options *o, struct add_request *request)
{
	struct version version;

	if (!optarg[0] || optarg[1] != '=' || version_parse(optarg + 2, &version) < 0 ||
	    version.program != optarg[0])
		return options_usage(o, "--requires: '%s' is not of the form A=A202108010001",
				     optarg);
	for (size_t i = 0; i < request->n_requires; i++)
		if (version_same_program(&request->requires[i], &version))
			return options_usage(o, "--requires: program %c twice", version.program);
	request->requires[request->n_requires++] = version;
	return RELEASE_OK;
}

static int compare_sizes(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int parse_segment_sizes(const struct options *o, const char *list,
			       struct add_request *request)
{
	_cleanup_free_ char *copy = strdup(list);
	char *rest = copy, *item;

	request->n_segment_sizes = 0;
	while ((item = strsep(&rest, ","))) {
		int64_t bytes;

		if (options_number("segment-bytes", item, SEGMENT_MIN_BYTES, SEGMENT_MAX_BYTES,
				   &bytes) < 0)
			return RELEASE_USAGE;
		for (size_t i = 0; i < request->n_segment_sizes; i++)
			if (request->segment_bytes[i] == bytes)
				return options_usage(o, "--segment-bytes: %s twice", item);
		if (request->n_segment_sizes == ADD_MAX_SEGMENT_SIZES)
			return options_usage(o, "more than %d segment sizes",
					     ADD_MAX_SEGMENT_SIZES);
		request->segment_bytes[request->n_segment_sizes++] = (uint32_t)bytes;
	}
	qsort(request->segment_bytes, request->n_segment_sizes, sizeof request->segment_bytes[0],
	      compare_sizes);
	return RELEASE_OK;
}

static int parse_number(const char *option, int64_t min, int64_t max, unsigned *ret)
{
	int64_t value;

	if (options_number(option, optarg, min, max, &value) < 0)
		return RELEASE_USAGE;
	*ret = (unsigned)value;
	return RELEASE_OK;
}

static int parse_option(const struct options *o, int option, struct add_request *request)
{
	switch (option) {
	case OPTION_MODEL: return parse_model(o, request);
	case OPTION_REQUIRES: return parse_requires(o, request);
	case OPTION_SEGMENT_BYTES: return parse_segment_sizes(o, optarg, request);
	case OPTION_TAR: request->tar = optarg; return RELEASE_OK;
	case OPTION_PATCHES_FROM:
		return parse_number("patches-from", 0, ADD_MAX_PATCHES, &request->patches_from);
	case OPTION_PATCH_MARGIN:
		return parse_number("patch-margin", 1, 100, &request->patch_margin);
	default: return options_release_id(o, option, &request->id);
	}
}

static int check_request(const struct options *o, const struct add_request *request)
{
	int exit_code = options_check_release_id(o, &request->id);

	if (exit_code != RELEASE_OK)
		return exit_code;
	for (size_t i = 0; i < request->n_requires; i++)
		if (request->requires[i].program == request->id.program)
			return options_usage(o, "--requires: %c cannot require itself",
					     request->id.program);
	if (!request->directory == !request->tar)
		return options_usage(o, "one directory, or --tar, is needed");
	return RELEASE_OK;
}

static int parse(struct options *o, int argc, char **argv, struct add_request *request,
		 bool *ret_stop)
{
	int option, exit_code = parse_segment_sizes(o, "1024,4096,10240", request);

	*ret_stop = true;
	while ((option = options_next(o, argc, argv, ":", add_table, &exit_code)) >= 0) {
		exit_code = parse_option(o, option, request);
		if (exit_code != RELEASE_OK)
			return exit_code;
	}
	if (option == OPTION_STOP)
		return exit_code;
	if (optind < argc)
		request->directory = argv[optind++];
	if (optind < argc)
		return options_usage(o, "'%s' is too much", argv[optind]);
	exit_code = check_request(o, request);
	*ret_stop = exit_code != RELEASE_OK;
	return exit_code;
}

static int add_patch_json(cJSON *list, const struct add_patch *patch)
{
	cJSON *object = cJSON_CreateObject();
	char hex[SHA256_HEX_LENGTH + 1];

	if (!object || !cJSON_AddItemToArray(list, object)) {
		cJSON_Delete(object);
		return -ENOMEM;
	}
	hex_encode(patch->sha256, SHA256_BYTES, hex);
	if (!cJSON_AddStringToObject(object, "from", patch->from.text) ||
	    !cJSON_AddBoolToObject(object, "added", patch->error == 0))
		return -ENOMEM;
	if (patch->error < 0)
		return 0;
	return cJSON_AddStringToObject(object, "target", patch->path) &&
			       json_add_u64(object, "length", patch->bytes) &&
			       cJSON_AddStringToObject(object, "sha256", hex)
		       ? 0
		       : -ENOMEM;
}

static int add_patches_json(cJSON *object, const struct add_answer *answer)
{
	cJSON *list = cJSON_AddArrayToObject(object, "patches");
	int n = list ? 0 : -ENOMEM;

	for (size_t i = 0; n == 0 && i < answer->n_patches; i++)
		n = add_patch_json(list, &answer->patches[i]);
	return n;
}

static int print_json(const struct options *o, const struct add_request *request,
		      const struct add_answer *answer, struct changes *changes, cJSON *staged)
{
	_cleanup_json_ cJSON *object = NULL;
	char hex[SHA256_HEX_LENGTH + 1];
	cJSON *tar;

	if (changing_json(o, changes, staged, &object) < 0)
		return -ENOMEM;
	if (!cJSON_AddBoolToObject(object, "added", answer->added && !o->dry_run) ||
	    !cJSON_AddStringToObject(object, "version", request->id.version.text) ||
	    !cJSON_AddStringToObject(object, "arch", request->id.arch) ||
	    !cJSON_AddStringToObject(object, "target", answer->path))
		return -ENOMEM;
	hex_encode(answer->sha256, SHA256_BYTES, hex);
	if (answer->bytes > 0 && (!json_add_u64(object, "length", answer->bytes) ||
				  !cJSON_AddStringToObject(object, "sha256", hex)))
		return -ENOMEM;
	tar = cJSON_AddObjectToObject(object, "tar");
	hex_encode(answer->tar_sha256, SHA256_BYTES, hex);
	if (!tar || !json_add_u64(tar, "length", answer->tar_bytes) ||
	    !cJSON_AddStringToObject(tar, "sha256", hex))
		return -ENOMEM;
	if (add_patches_json(object, answer) < 0)
		return -ENOMEM;
	return options_print_json(object);
}

static void print_patch(const struct add_patch *patch, unsigned margin, uint64_t full_bytes)
{
	if (patch->error == -EFBIG)
		(void)printf("  no patch from %s: it would be over %u %% of the program file\n",
			     patch->from.text, margin);
	else if (patch->error < 0)
		(void)printf("  no patch from %s: its program file cannot be used: %s\n",
			     patch->from.text, strerror(-patch->error));
	else
		(void)printf("  patch from %s: %" PRIu64 " bytes, %.1f %% of the program file\n",
			     patch->from.text, patch->bytes,
			     100.0 * (double)patch->bytes / (double)full_bytes);
}

static void print_answer(const struct options *o, const struct add_request *request,
			 const struct add_answer *answer)
{
	char hex[SHA256_HEX_LENGTH + 1], tar_hex[SHA256_HEX_LENGTH + 1];

	hex_encode(answer->sha256, SHA256_BYTES, hex);
	hex_encode(answer->tar_sha256, SHA256_BYTES, tar_hex);
	if (!answer->added)
		(void)printf("Nothing to do: %s for %s is there already, with the same bytes.\n",
			     request->id.version.text, request->id.arch);
	else if (o->dry_run)
		(void)printf("Would add %s for %s; nothing was written: --dry-run.\n",
			     request->id.version.text, request->id.arch);
	else
		(void)printf("Added %s for %s; 'bms-release publish' makes it visible.\n",
			     request->id.version.text, request->id.arch);
	if (answer->bytes > 0)
		(void)printf("  %s: %" PRIu64 " bytes, SHA-256 %s\n", answer->path, answer->bytes,
			     hex);
	(void)printf("  tar: %" PRIu64 " bytes, SHA-256 %s\n", answer->tar_bytes, tar_hex);
	for (size_t i = 0; i < answer->n_patches; i++)
		print_patch(&answer->patches[i], request->patch_margin, answer->bytes);
}

static int answer(const struct options *o, struct repository *r, const struct add_request *request,
		  const struct add_answer *added, struct changes *changes, struct problem *problem)
{
	cJSON *staged = NULL;
	int n = stage_status_all(r, &staged, problem);

	if (n < 0)
		return n;
	if (o->json)
		return print_json(o, request, added, changes, staged) < 0
			       ? problem_no_memory(problem)
			       : 0;
	changing_print(changes);
	print_answer(o, request, added);
	changing_print_incomplete(staged);
	cJSON_Delete(staged);
	return 0;
}

int verb_add(struct options *o, int argc, char **argv)
{
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_(changes_done) struct changes changes = { 0 };
	struct add_request request = { .patches_from = ADD_PATCHES_FROM,
				       .patch_margin = ADD_PATCH_MARGIN };
	struct add_answer added = { 0 };
	struct problem problem = { 0 };
	bool stop;
	int n = parse(o, argc, argv, &request, &stop);

	if (stop)
		return n;
	request.dry_run = o->dry_run;
	if (options_open(o, true, &r) < 0)
		return RELEASE_FAILED;
	n = add_release(r, &request, &added, &changes, &problem);
	if (n == 0)
		n = answer(o, r, &request, &added, &changes, &problem);
	if (n < 0) {
		log_error("%s", problem.text);
		return RELEASE_FAILED;
	}
	return RELEASE_OK;
}
