/* SPDX-License-Identifier: Apache-2.0 */
/* The verb undelegate: the command line around undelegate_plan(). */
#include "release/changing.h"
#include "release/delegate.h"
#include "release/options.h"

int verb_undelegate(struct options *o, int argc, char **argv)
{
	static const struct option table[] = { OPTIONS_CHANGING, { 0 } };
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_(changes_done) struct changes changes = { 0 };
	struct problem problem = { 0 };
	int n, exit_code = RELEASE_OK;

	if (options_next(o, argc, argv, ":", table, &exit_code) != OPTION_END)
		return exit_code;
	if (argc - optind != 1)
		return options_usage(o, "one name of a role is needed");
	if (options_open(o, true, &r) < 0)
		return RELEASE_FAILED;
	n = undelegate_plan(r, argv[optind], &changes, &problem);
	return changing_finish(o, r, &changes, n, &problem);
}
