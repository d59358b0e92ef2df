/* SPDX-License-Identifier: Apache-2.0 */
/* The verb manifest: release.json for a directory that is installed by other means. */
#include <fcntl.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"
#include "common/manifest.h"
#include "release/options.h"

static int write_manifest(const char *directory, const struct release_id *id, size_t *ret_files,
			  struct problem *problem)
{
	_cleanup_close_ int dirfd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	_cleanup_free_ char *bytes = NULL, *error = NULL;
	size_t size;
	int n;

	if (dirfd < 0)
		return problem_set(problem, -errno, "cannot open the directory '%s': %m",
				   directory);
	n = manifest_from_tree(dirfd, &id->version, id->arch, &m, &error);
	if (n < 0)
		return problem_set(problem, n, "'%s' cannot be a release: %s", directory,
				   error ? error : strerror(-n));
	n = manifest_format(m, &bytes, &size);
	if (n == 0)
		n = fs_write_file_atomic(dirfd, MANIFEST_NAME, bytes, size, 0644);
	if (n < 0)
		return problem_set(problem, n, "cannot write '%s/" MANIFEST_NAME "': %s", directory,
				   strerror(-n));
	*ret_files = m->n_files;
	return 0;
}

static int print(const struct options *o, const struct release_id *id, size_t files)
{
	_cleanup_json_ cJSON *answer = NULL;

	if (!o->json) {
		(void)printf("Wrote " MANIFEST_NAME " of %s for %s: %zu files.\n", id->version.text,
			     id->arch, files);
		return RELEASE_OK;
	}
	answer = cJSON_CreateObject();
	if (!cJSON_AddStringToObject(answer, "version", id->version.text) ||
	    !cJSON_AddStringToObject(answer, "arch", id->arch) ||
	    !json_add_u64(answer, "files", files))
		return RELEASE_FAILED;
	return options_print_json(answer) < 0 ? RELEASE_FAILED : RELEASE_OK;
}

int verb_manifest(struct options *o, int argc, char **argv)
{
	static const struct option table[] = { OPTIONS_RELEASE_ID, OPTIONS_COMMON, { 0 } };
	struct release_id id = { 0 };
	struct problem problem = { 0 };
	int option, exit_code = RELEASE_OK;
	size_t files = 0;

	while ((option = options_next(o, argc, argv, ":", table, &exit_code)) >= 0) {
		exit_code = options_release_id(o, option, &id);
		if (exit_code != RELEASE_OK)
			return exit_code;
	}
	if (option == OPTION_STOP)
		return exit_code;
	if (argc - optind != 1)
		return options_usage(o, "one directory is needed");
	exit_code = options_check_release_id(o, &id);
	if (exit_code != RELEASE_OK)
		return exit_code;
	if (write_manifest(argv[optind], &id, &files, &problem) < 0) {
		log_error("%s", problem.text);
		return RELEASE_FAILED;
	}
	return print(o, &id, files);
}
