/* SPDX-License-Identifier: Apache-2.0 */
/* The verb revoke: the command line around revoke_plan(). */
#include "release/changing.h"
#include "release/options.h"
#include "release/revoke.h"

int verb_revoke(struct options *o, int argc, char **argv)
{
	static const struct option table[] = {
		{ "arch", required_argument, NULL, OPTION_ARCH },
		OPTIONS_CHANGING,
		{ 0 },
	};
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_(changes_done) struct changes changes = { 0 };
	struct problem problem = { 0 };
	struct release_id id = { 0 };
	struct version version;
	int option, n, exit_code = RELEASE_OK;

	while ((option = options_next(o, argc, argv, ":", table, &exit_code)) >= 0) {
		exit_code = options_release_id(o, option, &id);
		if (exit_code != RELEASE_OK)
			return exit_code;
	}
	if (option == OPTION_STOP)
		return exit_code;
	if (argc - optind != 1)
		return options_usage(o, "one version is needed");
	if (version_parse(argv[optind], &version) < 0)
		return options_usage(o, "'%s' is no version like B202109010001", argv[optind]);
	if (options_open(o, true, &r) < 0)
		return RELEASE_FAILED;
	n = revoke_plan(r, &version, id.arch, &changes, &problem);
	return changing_finish(o, r, &changes, n, &problem);
}
