/* SPDX-License-Identifier: Apache-2.0 */
/* The verb add: a directory (or a tar) becomes a signed, staged release. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/segments.h"
#include "release/options.h"
#include "release/program_file.h"
#include "release/release_tar.h"
#include "release/target.h"

#define MAX_MODELS	  16
#define MAX_SEGMENT_SIZES 8
#define MODEL_MAX_LENGTH  64

struct add_request {
	char program;
	struct version version;
	const char *arch;
	const char *models[MAX_MODELS];
	size_t n_models;
	struct version requires[REPOSITORY_MAX_PROGRAMS];
	size_t n_requires;
	uint32_t segment_bytes[MAX_SEGMENT_SIZES]; /* ascending */
	size_t n_segment_sizes;
	const char *directory; /* or */
	const char *tar;
};

struct add_answer {
	char path[TARGET_PATH_BYTES];
	bool added;
	uint64_t bytes;
	uint8_t sha256[SHA256_BYTES];
	uint64_t tar_bytes;
	uint8_t tar_sha256[SHA256_BYTES];
};

/* ---- what is signed ---- */

static bool add_models(cJSON *custom, const struct add_request *request)
{
	cJSON *models = cJSON_AddArrayToObject(custom, "model");

	for (size_t i = 0; i < request->n_models; i++)
		if (!cJSON_AddItemToArray(models, cJSON_CreateString(request->models[i])))
			return false;
	return models != NULL;
}

static bool add_segment_sizes(cJSON *custom, const struct add_request *request)
{
	cJSON *sizes = cJSON_AddArrayToObject(custom, "segment_bytes");

	for (size_t i = 0; i < request->n_segment_sizes; i++)
		if (!cJSON_AddItemToArray(sizes, cJSON_CreateNumber(request->segment_bytes[i])))
			return false;
	return sizes != NULL;
}

static bool add_requires(cJSON *custom, const struct add_request *request)
{
	cJSON *requires;

	if (request->n_requires == 0)
		return true;
	requires = cJSON_AddObjectToObject(custom, "requires");
	for (size_t i = 0; i < request->n_requires; i++) {
		const struct version *v = &request->requires[i];

		if (!cJSON_AddStringToObject(requires, (const char[]){ v->program, 0 }, v->text))
			return false;
	}
	return requires != NULL;
}

static bool add_tar(cJSON *custom, const struct release_tar *tar)
{
	cJSON *object = cJSON_AddObjectToObject(custom, "tar");
	char hex[SHA256_HEX_LENGTH + 1];

	hex_encode(release_tar_sha256(tar), SHA256_BYTES, hex);
	return object && json_add_u64(object, "length", release_tar_bytes(tar)) &&
	       cJSON_AddStringToObject(object, "sha256", hex);
}

static int build_custom(const struct add_request *request, const struct release_tar *tar,
			cJSON **ret)
{
	_cleanup_json_ cJSON *custom = cJSON_CreateObject();

	if (!cJSON_AddStringToObject(custom, "program", (const char[]){ request->program, 0 }) ||
	    !cJSON_AddStringToObject(custom, "version", request->version.text) ||
	    !cJSON_AddStringToObject(custom, "arch", request->arch) ||
	    !cJSON_AddStringToObject(custom, "kind", "full"))
		return -ENOMEM;
	if (!add_models(custom, request) || !add_tar(custom, tar) ||
	    !add_segment_sizes(custom, request) || !add_requires(custom, request))
		return -ENOMEM;
	*ret = TAKE_PTR(custom);
	return 0;
}

static int build_segments_custom(cJSON **ret)
{
	_cleanup_json_ cJSON *custom = cJSON_CreateObject();

	if (!cJSON_AddStringToObject(custom, "kind", "segments"))
		return -ENOMEM;
	*ret = TAKE_PTR(custom);
	return 0;
}

/* ---- the same version again ---- */

/* 1: exactly this release is there already; 0: the version is new; -EEXIST: it is something else. */
static int compare_existing(const cJSON *document, const cJSON *custom, struct add_answer *answer,
			    struct problem *problem)
{
	const cJSON *entry = target_get(document, answer->path);
	struct target_entry target;
	struct full_target full;

	if (!entry)
		return 0;
	if (target_parse(entry, &target) < 0 || target_parse_full(target.custom, &full) < 0)
		return problem_set(problem, -EBADMSG, "the present target '%s' is malformed",
				   answer->path);
	if (memcmp(full.tar_sha256, answer->tar_sha256, SHA256_BYTES) != 0)
		return problem_set(
			problem, -EEXIST,
			"'%s' exists with other content; a version is never changed, give "
			"this one a new version",
			answer->path);
	if (!cJSON_Compare(target.custom, custom, true))
		return problem_set(problem, -EEXIST,
				   "'%s' exists with the same content but another --model, "
				   "--requires or --segment-bytes; give this one a new version",
				   answer->path);
	answer->bytes = target.length;
	memcpy(answer->sha256, target.sha256, SHA256_BYTES);
	return 1;
}

/* ---- files ---- */

/* The directory staged/targets/B; returns the descriptor. */
static int open_staged_targets(struct repository *r, char program, struct problem *problem)
{
	char path[REPOSITORY_NAME_BYTES];
	int fd, n;

	(void)snprintf(path, sizeof path, REPOSITORY_STAGED_TARGETS "/%c", program);
	n = fs_mkdir_p(repository_fd(r), path, 0755);
	if (n == 0)
		n = fs_fsync_dir(repository_fd(r), REPOSITORY_STAGED_TARGETS);
	if (n == 0)
		n = fs_fsync_dir(repository_fd(r), REPOSITORY_STAGED);
	if (n < 0)
		return problem_set(problem, n, "cannot make '%s': %s", path, strerror(-n));
	fd = fs_open_beneath(repository_fd(r), path, O_RDONLY | O_DIRECTORY, 0);
	return fd < 0 ? problem_set(problem, fd, "cannot open '%s': %s", path, strerror(-fd)) : fd;
}

static int put_target(cJSON *document, const char *path, const struct made_file *file,
		      cJSON *custom, struct problem *problem)
{
	int n = target_put(document, path, file->bytes, file->sha256, custom);

	return n < 0 ? problem_no_memory(problem) : 0;
}

static int add_segment_lists(int dirfd, const struct add_request *request,
			     const struct made_file *program_file, cJSON *document,
			     const char *path, struct problem *problem)
{
	for (size_t i = 0; i < request->n_segment_sizes; i++) {
		char list_path[TARGET_PATH_BYTES + 16];
		struct made_file list;
		cJSON *custom;
		int n;

		n = program_file_make_segments(dirfd, path + strlen("B/"), program_file,
					       request->segment_bytes[i], &list, problem);
		if (n < 0)
			return n;
		if (build_segments_custom(&custom) < 0)
			return problem_no_memory(problem);
		(void)snprintf(list_path, sizeof list_path, "%s.seg%" PRIu32, path,
			       request->segment_bytes[i]);
		n = put_target(document, list_path, &list, custom, problem);
		if (n < 0)
			return n;
	}
	return 0;
}

/* Takes custom over. */
static int make_files(int dirfd, const struct add_request *request, struct release_tar *tar,
		      cJSON *document, cJSON *custom, struct add_answer *answer,
		      struct problem *problem)
{
	_cleanup_json_ cJSON *owned = custom;
	struct made_file program_file;
	int n;

	n = program_file_make(dirfd, answer->path + strlen("B/"), tar, &program_file, problem);
	if (n < 0)
		return n;
	n = put_target(document, answer->path, &program_file, TAKE_PTR(owned), problem);
	if (n < 0)
		return n;
	answer->bytes = program_file.bytes;
	memcpy(answer->sha256, program_file.sha256, SHA256_BYTES);
	return add_segment_lists(dirfd, request, &program_file, document, answer->path, problem);
}

/* ---- the story ---- */

static int load_role(struct repository *r, char program, cJSON **ret, struct problem *problem)
{
	const char role[] = { program, 0 };
	char programs[REPOSITORY_MAX_PROGRAMS + 1];
	int n;

	n = repository_programs(r, programs, problem);
	if (n < 0)
		return n;
	if (!strchr(programs, program))
		return problem_set(problem, -ENOENT, "this repository has no program %c; it has %s",
				   program, programs);
	n = repository_load(r, role, REPOSITORY_NEWEST, ret, problem);
	return n == -ENOENT ? problem_set(problem, n, "the metadata of %s is missing", role) : n;
}

static int open_tar(int dirfd, const struct add_request *request, struct release_tar **ret,
		    struct problem *problem)
{
	if (request->tar)
		return release_tar_from_file(request->tar, ret, problem);
	return release_tar_from_tree(dirfd, request->directory, &request->version, request->arch,
				     ret, problem);
}

static int add(struct repository *r, const struct add_request *request, struct add_answer *answer,
	       struct problem *problem)
{
	_cleanup_(release_tar_closep) struct release_tar *tar = NULL;
	_cleanup_json_ cJSON *document = NULL;
	_cleanup_json_ cJSON *custom = NULL;
	_cleanup_close_ int dirfd = FD_NONE;
	int n;

	n = load_role(r, request->program, &document, problem);
	if (n < 0)
		return n;
	n = dirfd = open_staged_targets(r, request->program, problem);
	if (n < 0)
		return n;
	n = open_tar(dirfd, request, &tar, problem);
	if (n < 0)
		return n;
	target_path(&request->version, request->arch, answer->path);
	answer->tar_bytes = release_tar_bytes(tar);
	memcpy(answer->tar_sha256, release_tar_sha256(tar), SHA256_BYTES);
	if (build_custom(request, tar, &custom) < 0)
		return problem_no_memory(problem);
	n = compare_existing(document, custom, answer, problem);
	if (n != 0)
		return n < 0 ? n : 0;
	n = make_files(dirfd, request, tar, document, TAKE_PTR(custom), answer, problem);
	if (n < 0)
		return n;
	n = repository_stage(r, (const char[]){ request->program, 0 }, document, problem);
	answer->added = n == 0;
	return n;
}

/* ---- command line ---- */

enum {
	OPTION_PROGRAM = OPTION_OWN,
	OPTION_RELEASE_VERSION,
	OPTION_ARCH,
	OPTION_MODEL,
	OPTION_REQUIRES,
	OPTION_SEGMENT_BYTES,
	OPTION_TAR,
};

static const struct option add_table[] = {
	{ "program", required_argument, NULL, OPTION_PROGRAM },
	{ "version", required_argument, NULL, OPTION_RELEASE_VERSION },
	{ "arch", required_argument, NULL, OPTION_ARCH },
	{ "model", required_argument, NULL, OPTION_MODEL },
	{ "requires", required_argument, NULL, OPTION_REQUIRES },
	{ "segment-bytes", required_argument, NULL, OPTION_SEGMENT_BYTES },
	{ "tar", required_argument, NULL, OPTION_TAR },
	OPTIONS_COMMON,
	{ 0 },
};

static int parse_model(const struct options *o, struct add_request *request)
{
	if (!fs_is_safe_name(optarg) || strlen(optarg) > MODEL_MAX_LENGTH)
		return options_usage(o, "--model: '%s' is no model name", optarg);
	if (request->n_models == MAX_MODELS)
		return options_usage(o, "more than %d models", MAX_MODELS);
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
		if (request->n_segment_sizes == MAX_SEGMENT_SIZES)
			return options_usage(o, "more than %d segment sizes", MAX_SEGMENT_SIZES);
		request->segment_bytes[request->n_segment_sizes++] = (uint32_t)bytes;
	}
	qsort(request->segment_bytes, request->n_segment_sizes, sizeof request->segment_bytes[0],
	      compare_sizes);
	return RELEASE_OK;
}

static int parse_option(const struct options *o, int option, struct add_request *request)
{
	switch (option) {
	case OPTION_PROGRAM:
		if (role_kind_from_name(optarg) != ROLE_PROGRAM)
			return options_usage(o, "--program: '%s' is no letter A to Z", optarg);
		request->program = optarg[0];
		return RELEASE_OK;
	case OPTION_RELEASE_VERSION:
		if (version_parse(optarg, &request->version) < 0)
			return options_usage(o,
					     "--version: '%s' is not a letter, a date and four "
					     "digits, like B202109010001",
					     optarg);
		return RELEASE_OK;
	case OPTION_ARCH:
		if (!fs_is_safe_name(optarg) || strlen(optarg) > ARCH_MAX_LENGTH)
			return options_usage(o, "--arch: '%s' is no architecture", optarg);
		request->arch = optarg;
		return RELEASE_OK;
	case OPTION_MODEL: return parse_model(o, request);
	case OPTION_REQUIRES: return parse_requires(o, request);
	case OPTION_SEGMENT_BYTES: return parse_segment_sizes(o, optarg, request);
	default: request->tar = optarg; return RELEASE_OK;
	}
}

static int check_request(const struct options *o, const struct add_request *request)
{
	if (!request->program || !request->version.program || !request->arch)
		return options_usage(o, "--%s is missing",
				     !request->program		 ? "program"
				     : !request->version.program ? "version"
								 : "arch");
	if (request->version.program != request->program)
		return options_usage(o, "%s is no version of program %c: its letter is %c",
				     request->version.text, request->program,
				     request->version.program);
	for (size_t i = 0; i < request->n_requires; i++)
		if (request->requires[i].program == request->program)
			return options_usage(o, "--requires: %c cannot require itself",
					     request->program);
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

static int print_json(const struct add_request *request, const struct add_answer *answer)
{
	_cleanup_json_ cJSON *object = cJSON_CreateObject();
	char hex[SHA256_HEX_LENGTH + 1];
	cJSON *tar;

	hex_encode(answer->sha256, SHA256_BYTES, hex);
	if (!cJSON_AddBoolToObject(object, "added", answer->added) ||
	    !cJSON_AddStringToObject(object, "version", request->version.text) ||
	    !cJSON_AddStringToObject(object, "arch", request->arch) ||
	    !cJSON_AddStringToObject(object, "target", answer->path) ||
	    !json_add_u64(object, "length", answer->bytes) ||
	    !cJSON_AddStringToObject(object, "sha256", hex))
		return -ENOMEM;
	tar = cJSON_AddObjectToObject(object, "tar");
	hex_encode(answer->tar_sha256, SHA256_BYTES, hex);
	if (!tar || !json_add_u64(tar, "length", answer->tar_bytes) ||
	    !cJSON_AddStringToObject(tar, "sha256", hex))
		return -ENOMEM;
	return options_print_json(object);
}

static void print(const struct add_request *request, const struct add_answer *answer)
{
	char hex[SHA256_HEX_LENGTH + 1], tar_hex[SHA256_HEX_LENGTH + 1];

	hex_encode(answer->sha256, SHA256_BYTES, hex);
	hex_encode(answer->tar_sha256, SHA256_BYTES, tar_hex);
	if (answer->added)
		(void)printf("Added %s for %s; 'bms-release publish' makes it visible.\n",
			     request->version.text, request->arch);
	else
		(void)printf("Nothing to do: %s for %s is there already, with the same bytes.\n",
			     request->version.text, request->arch);
	(void)printf("  %s: %" PRIu64 " bytes, SHA-256 %s\n", answer->path, answer->bytes, hex);
	(void)printf("  tar: %" PRIu64 " bytes, SHA-256 %s\n", answer->tar_bytes, tar_hex);
}

int add_run(struct options *o, int argc, char **argv)
{
	_cleanup_(repository_closep) struct repository *r = NULL;
	struct add_request request = { 0 };
	struct add_answer answer = { 0 };
	struct problem problem = { 0 };
	bool stop;
	int n = parse(o, argc, argv, &request, &stop);

	if (stop)
		return n;
	if (options_open(o, true, &r) < 0)
		return RELEASE_FAILED;
	n = add(r, &request, &answer, &problem);
	if (n < 0) {
		log_error("%s", problem.text);
		return RELEASE_FAILED;
	}
	if (o->json)
		return print_json(&request, &answer) < 0 ? RELEASE_FAILED : RELEASE_OK;
	print(&request, &answer);
	return RELEASE_OK;
}
