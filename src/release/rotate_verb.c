/* SPDX-License-Identifier: Apache-2.0 */
/* The verb rotate: the command line around rotate_plan(). */
#include "release/changing.h"
#include "release/options.h"
#include "release/rotate.h"

enum {
	OPTION_ADD = OPTION_OWN,
	OPTION_REMOVE,
	OPTION_THRESHOLD,
	OPTION_RESET_TO,
};

static const struct option table[] = {
	{ "add", required_argument, NULL, OPTION_ADD },
	{ "remove", required_argument, NULL, OPTION_REMOVE },
	{ "threshold", required_argument, NULL, OPTION_THRESHOLD },
	{ "reset-to", required_argument, NULL, OPTION_RESET_TO },
	OPTIONS_CHANGING,
	{ 0 },
};

static int parse_option(const struct options *o, int option, struct rotate_request *request)
{
	int64_t number;

	switch (option) {
	case OPTION_ADD:
		if (request->n_add == ROTATE_MAX_KEYS)
			return options_usage(o, "more than %d --add", ROTATE_MAX_KEYS);
		request->add[request->n_add++] = optarg;
		return RELEASE_OK;
	case OPTION_REMOVE:
		if (request->n_remove == ROTATE_MAX_KEYS)
			return options_usage(o, "more than %d --remove", ROTATE_MAX_KEYS);
		request->remove[request->n_remove++] = optarg;
		return RELEASE_OK;
	case OPTION_THRESHOLD:
		if (options_number("threshold", optarg, 1, TUF_MAX_ROLE_KEYS, &number) < 0)
			return RELEASE_USAGE;
		request->threshold = (uint64_t)number;
		return RELEASE_OK;
	default:
		if (options_number("reset-to", optarg, 0, UINT32_MAX, &number) < 0)
			return RELEASE_USAGE;
		request->reset = true;
		request->reset_to = (uint64_t)number;
		return RELEASE_OK;
	}
}

static int parse(struct options *o, int argc, char **argv, struct rotate_request *request,
		 bool *ret_stop)
{
	int option, exit_code = RELEASE_OK;

	*ret_stop = true;
	while ((option = options_next(o, argc, argv, ":", table, &exit_code)) >= 0) {
		exit_code = parse_option(o, option, request);
		if (exit_code != RELEASE_OK)
			return exit_code;
	}
	if (option == OPTION_STOP)
		return exit_code;
	if (argc - optind != 1)
		return options_usage(o, "one role is needed");
	request->role = argv[optind];
	if (request->n_add + request->n_remove == 0 && !request->threshold && !request->reset)
		return options_usage(o, "--add, --remove, --threshold or --reset-to is needed");
	*ret_stop = false;
	return RELEASE_OK;
}

int verb_rotate(struct options *o, int argc, char **argv)
{
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_(changes_done) struct changes changes = { 0 };
	struct rotate_request request = { 0 };
	struct problem problem = { 0 };
	bool stop;
	int n = parse(o, argc, argv, &request, &stop);

	if (stop)
		return n;
	if (options_open(o, true, &r) < 0)
		return RELEASE_FAILED;
	n = rotate_plan(r, &request, &changes, &problem);
	return changing_finish(o, r, &changes, n, &problem);
}
