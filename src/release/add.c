/* SPDX-License-Identifier: Apache-2.0 */
#include "release/add.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "release/add_patches.h"
#include "release/program_file.h"
#include "release/release_tar.h"
#include "release/stage.h"
#include "release/target.h"

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

	if (!cJSON_AddStringToObject(custom, "program", (const char[]){ request->id.program, 0 }) ||
	    !cJSON_AddStringToObject(custom, "version", request->id.version.text) ||
	    !cJSON_AddStringToObject(custom, "arch", request->id.arch) ||
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

int add_segment_lists(int dirfd, const struct add_request *request, const struct made_file *file,
		      cJSON *document, const char *path, struct problem *problem)
{
	for (size_t i = 0; i < request->n_segment_sizes; i++) {
		char list_path[TARGET_PATH_BYTES + 16];
		struct made_file list;
		cJSON *custom;
		int n;

		n = program_file_make_segments(dirfd, path + strlen("B/"), file,
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
	return release_tar_from_tree(dirfd, request->directory, &request->id.version,
				     request->id.arch, ret, problem);
}

static int stage(struct repository *r, const struct add_request *request, cJSON *document,
		 struct changes *changes, struct problem *problem)
{
	int n = stage_put(r, (const char[]){ request->id.program, 0 }, document, changes, problem);

	return n < 0 ? n : stage_commit(r, problem);
}

int add_release(struct repository *r, const struct add_request *request, struct add_answer *ret,
		struct changes *changes, struct problem *problem)
{
	_cleanup_(release_tar_closep) struct release_tar *tar = NULL;
	_cleanup_json_ cJSON *document = NULL;
	_cleanup_json_ cJSON *custom = NULL;
	_cleanup_close_ int dirfd = FD_NONE;
	struct add_answer answer = { 0 };
	int n;

	n = load_role(r, request->id.program, &document, problem);
	if (n < 0)
		return n;
	n = dirfd = open_staged_targets(r, request->id.program, problem);
	if (n < 0)
		return n;
	n = open_tar(dirfd, request, &tar, problem);
	if (n < 0)
		return n;
	target_path(&request->id.version, request->id.arch, answer.path);
	answer.tar_bytes = release_tar_bytes(tar);
	memcpy(answer.tar_sha256, release_tar_sha256(tar), SHA256_BYTES);
	if (build_custom(request, tar, &custom) < 0)
		return problem_no_memory(problem);
	n = compare_existing(document, custom, &answer, problem);
	if (n < 0)
		return n;
	answer.added = n == 0;
	if (answer.added && !request->dry_run) {
		n = make_files(dirfd, request, tar, document, TAKE_PTR(custom), &answer, problem);
		if (n == 0)
			n = add_patches(r, dirfd, request, document, &answer, problem);
		if (n == 0)
			n = stage(r, request, document, changes, problem);
		if (n < 0)
			return n;
	}
	*ret = answer;
	return 0;
}
