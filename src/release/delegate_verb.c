/* SPDX-License-Identifier: Apache-2.0 */
/* The verb delegate: the command line around delegate_plan(). */
#include <string.h>

#include "release/changing.h"
#include "release/delegate.h"
#include "release/options.h"

enum {
	OPTION_PATH = OPTION_OWN,
	OPTION_KEY,
	OPTION_THRESHOLD,
	OPTION_TERMINATING,
};

static const struct option table[] = {
	{ "path", required_argument, NULL, OPTION_PATH },
	{ "key", required_argument, NULL, OPTION_KEY },
	{ "threshold", required_argument, NULL, OPTION_THRESHOLD },
	{ "terminating", no_argument, NULL, OPTION_TERMINATING },
	OPTIONS_CHANGING,
	{ 0 },
};

static int parse_option(const struct options *o, int option, struct delegate_request *request)
{
	int64_t number;

	switch (option) {
	case OPTION_PATH:
		if (!*optarg || strlen(optarg) > 255)
			return options_usage(o, "--path: '%.300s' is no pattern", optarg);
		if (request->n_paths == DELEGATE_MAX_PATHS)
			return options_usage(o, "more than %d --path", DELEGATE_MAX_PATHS);
		request->path[request->n_paths++] = optarg;
		return RELEASE_OK;
	case OPTION_KEY:
		if (request->n_keys == DELEGATE_MAX_KEYS)
			return options_usage(o, "more than %d --key", DELEGATE_MAX_KEYS);
		request->key[request->n_keys++] = optarg;
		return RELEASE_OK;
	case OPTION_THRESHOLD:
		if (options_number("threshold", optarg, 1, DELEGATE_MAX_KEYS, &number) < 0)
			return RELEASE_USAGE;
		request->threshold = (uint64_t)number;
		return RELEASE_OK;
	default: request->terminating = true; return RELEASE_OK;
	}
}

static int parse(struct options *o, int argc, char **argv, struct delegate_request *request,
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
		return options_usage(o, "one name of a role is needed");
	request->name = argv[optind];
	*ret_stop = false;
	return RELEASE_OK;
}

int verb_delegate(struct options *o, int argc, char **argv)
{
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_(changes_done) struct changes changes = { 0 };
	struct delegate_request request = { 0 };
	struct problem problem = { 0 };
	bool stop;
	int n = parse(o, argc, argv, &request, &stop);

	if (stop)
		return n;
	if (options_open(o, true, &r) < 0)
		return RELEASE_FAILED;
	n = delegate_plan(r, &request, &changes, &problem);
	return changing_finish(o, r, &changes, n, &problem);
}
