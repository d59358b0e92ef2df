/* SPDX-License-Identifier: Apache-2.0 */
/* The verb publish: the command line around publish_run(). */
#include <inttypes.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "release/options.h"
#include "release/publish.h"

struct renewal {
	bool kind[_ROLE_KIND_MAX]; /* all but programs */
	bool letter[26];
	bool all;
};

static int parse_role(const struct options *o, const char *role, struct renewal *renewal)
{
	int kind;

	if (strcmp(role, "all") == 0) {
		renewal->all = true;
		return RELEASE_OK;
	}
	kind = role_kind_from_name(role);
	if (kind < 0)
		return options_usage(o, "--renew: '%s' is no role", role);
	if (kind == ROLE_PROGRAM)
		renewal->letter[role[0] - 'A'] = true;
	else
		renewal->kind[kind] = true;
	return RELEASE_OK;
}

/* A letter that is no program of this repository is an error, not silence. */
static int renew_programs(struct repository *r, const struct renewal *renewal,
			  struct problem *problem)
{
	char programs[REPOSITORY_MAX_PROGRAMS + 1];
	int n = repository_programs(r, programs, problem);

	for (char letter = 'A'; n == 0 && letter <= 'Z'; letter++) {
		bool wanted = renewal->letter[letter - 'A'];

		if (wanted && !strchr(programs, letter))
			return problem_set(problem, -ENOENT, "there is no program %c", letter);
		if (wanted || (renewal->all && strchr(programs, letter)))
			n = publish_renew(r, (const char[]){ letter, 0 }, problem);
	}
	return n;
}

static int renew(struct repository *r, const struct renewal *renewal, struct problem *problem)
{
	int n = 0;

	if (renewal->all || renewal->kind[ROLE_ROOT])
		n = publish_renew(r, "root", problem);
	if (n == 0 && (renewal->all || renewal->kind[ROLE_TARGETS]))
		n = publish_renew(r, "targets", problem);
	return n < 0 ? n : renew_programs(r, renewal, problem);
}

static void print(const struct options *o, const struct publish_outcome *outcome)
{
	if (!outcome->timestamp && outcome->roles == 0) {
		(void)puts("Nothing to publish: nothing is staged and nothing is about to expire.");
		return;
	}
	(void)printf("Published: %u new metadata, %u files", outcome->roles, outcome->files);
	if (outcome->timestamp)
		(void)printf("; snapshot %" PRIu64 ", timestamp %" PRIu64,
			     outcome->snapshot_version, outcome->timestamp_version);
	(void)printf(". A web server may serve '%s/" REPOSITORY_PUBLIC "'.\n", o->repo);
}

static int print_json(const struct publish_outcome *outcome)
{
	_cleanup_json_ cJSON *answer = cJSON_CreateObject();

	if (!cJSON_AddBoolToObject(answer, "published", outcome->timestamp || outcome->roles > 0) ||
	    !json_add_u64(answer, "roles", outcome->roles) ||
	    !json_add_u64(answer, "files", outcome->files))
		return -ENOMEM;
	if (outcome->timestamp &&
	    (!json_add_u64(answer, "snapshot_version", outcome->snapshot_version) ||
	     !json_add_u64(answer, "timestamp_version", outcome->timestamp_version)))
		return -ENOMEM;
	return options_print_json(answer);
}

enum {
	OPTION_RENEW = OPTION_OWN,
};

int verb_publish(struct options *o, int argc, char **argv)
{
	static const struct option table[] = {
		{ "renew", required_argument, NULL, OPTION_RENEW },
		OPTIONS_COMMON,
		{ 0 },
	};
	_cleanup_(repository_closep) struct repository *r = NULL;
	struct publish_outcome outcome = { 0 };
	struct problem problem = { 0 };
	struct renewal renewal = { 0 };
	int option, exit_code = RELEASE_OK, n;

	while ((option = options_next(o, argc, argv, ":", table, &exit_code)) >= 0) {
		exit_code = parse_role(o, optarg, &renewal);
		if (exit_code != RELEASE_OK)
			return exit_code;
	}
	if (option == OPTION_STOP)
		return exit_code;
	if (optind < argc)
		return options_usage(o, "'%s' is too much", argv[optind]);
	if (options_open(o, true, &r) < 0)
		return RELEASE_FAILED;
	n = renew(r, &renewal, &problem);
	if (n == 0)
		n = publish_run(r, renewal.all || renewal.kind[ROLE_SNAPSHOT],
				renewal.all || renewal.kind[ROLE_TIMESTAMP], &outcome, &problem);
	if (n < 0) {
		log_error("%s", problem.text);
		return RELEASE_FAILED;
	}
	if (!o->json) {
		print(o, &outcome);
		return RELEASE_OK;
	}
	return print_json(&outcome) < 0 ? RELEASE_FAILED : RELEASE_OK;
}
