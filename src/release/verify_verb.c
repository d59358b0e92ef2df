/* SPDX-License-Identifier: Apache-2.0 */
/* The verb verify: the command line around verify_directory(). */
#include "common/json.h"
#include "common/log.h"
#include "release/options.h"
#include "release/verify.h"

static int count(const cJSON *report, const char *list)
{
	return cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(report, list));
}

static void print(const char *directory, const cJSON *report)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(report, "notices"))
		(void)printf("Note: %s\n", cJSON_GetStringValue(item));
	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(report, "problems"))
		log_error("%s", cJSON_GetStringValue(item));
	if (count(report, "problems") == 0)
		(void)printf(
			"Good: %s, %.0f targets in %d roles.\n", directory,
			cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(report, "targets")),
			count(report, "roles"));
}

enum {
	OPTION_ROOT = OPTION_OWN,
};

/* The directory to check: the operand, or the one of --repo. */
static int parse(struct options *o, int argc, char **argv, const char **ret_root,
		 const char **ret_directory)
{
	static const struct option table[] = {
		{ "root", required_argument, NULL, OPTION_ROOT },
		OPTIONS_COMMON,
		{ 0 },
	};
	int option, exit_code = RELEASE_OK;

	while ((option = options_next(o, argc, argv, ":", table, &exit_code)) >= 0)
		*ret_root = optarg;
	if (option == OPTION_STOP)
		return exit_code == RELEASE_OK ? -ECANCELED : exit_code;
	if (optind < argc)
		*ret_directory = argv[optind++];
	if (optind < argc)
		return options_usage(o, "'%s' is too much", argv[optind]);
	return RELEASE_OK;
}

int verb_verify(struct options *o, int argc, char **argv)
{
	_cleanup_free_ char *own = NULL;
	_cleanup_json_ cJSON *report = NULL;
	struct problem problem = { 0 };
	const char *root = NULL, *directory = NULL;
	int n = parse(o, argc, argv, &root, &directory);

	if (n != RELEASE_OK)
		return n == -ECANCELED ? RELEASE_OK : n;
	if (!directory) {
		if (asprintf(&own, "%s/" REPOSITORY_PUBLIC, o->repo) < 0)
			return RELEASE_FAILED;
		directory = own;
	}
	n = verify_directory(directory, root, options_now_sec(o), &report, &problem);
	if (n < 0) {
		log_error("%s", problem.text);
		return RELEASE_FAILED;
	}
	if (!o->json)
		print(directory, report);
	else if (options_print_json(report) < 0)
		return RELEASE_FAILED;
	return count(report, "problems") == 0 ? RELEASE_OK : RELEASE_FAILED;
}
