/* SPDX-License-Identifier: Apache-2.0 */
/* The verb export: the command line around exchange_export(). */
#include "common/json.h"
#include "common/log.h"
#include "release/changing.h"
#include "release/exchange.h"
#include "release/options.h"
#include "release/publish.h"

enum {
	OPTION_RENEW = OPTION_OWN,
};

struct plan {
	const char *path;
	const char *const *roles;
	size_t n_roles;
	const char *renew[REPOSITORY_MAX_ROLES];
	unsigned n_renew;
};

static int parse(struct options *o, int argc, char **argv, struct plan *plan, bool *ret_stop)
{
	static const struct option table[] = {
		{ "renew", required_argument, NULL, OPTION_RENEW },
		OPTIONS_COMMON,
		{ 0 },
	};
	int option, exit_code = RELEASE_OK;

	*ret_stop = true;
	while ((option = options_next(o, argc, argv, ":", table, &exit_code)) >= 0) {
		int kind = role_kind_from_name(optarg);

		if (kind == ROLE_SNAPSHOT || kind == ROLE_TIMESTAMP ||
		    (kind < 0 && !authority_name_is_delegable(optarg)))
			return options_usage(o, "--renew: '%s' is no role that is staged", optarg);
		if (plan->n_renew == ELEMENTSOF(plan->renew))
			return options_usage(o, "--renew: too many roles");
		plan->renew[plan->n_renew++] = optarg;
	}
	if (option == OPTION_STOP)
		return exit_code;
	if (optind == argc)
		return options_usage(o, "the file to write is needed");
	plan->path = argv[optind++];
	plan->roles = (const char *const *)(argv + optind);
	plan->n_roles = (size_t)(argc - optind);
	*ret_stop = false;
	return RELEASE_OK;
}

static int answer(const struct options *o, const struct plan *plan, struct changes *changes,
		  int count)
{
	_cleanup_json_ cJSON *json = NULL;

	if (o->json) {
		if (changing_json(o, changes, NULL, &json) < 0 ||
		    !json_add_u64(json, "roles", (uint64_t)count))
			return -ENOMEM;
		return options_print_json(json);
	}
	changing_print(changes);
	if (count == 0)
		(void)puts("Nothing to export: nothing that is staged lacks a signature.");
	else
		(void)printf("Wrote '%s'. 'bms-release sign' it where the keys are, and 'import' "
			     "it here.\n",
			     plan->path);
	return 0;
}

int verb_export(struct options *o, int argc, char **argv)
{
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_(changes_done) struct changes changes = { 0 };
	struct problem problem = { 0 };
	struct plan plan = { 0 };
	bool stop;
	int n = parse(o, argc, argv, &plan, &stop);

	if (stop)
		return n;
	if (options_open(o, true, &r) < 0)
		return RELEASE_FAILED;
	n = 0;
	for (unsigned i = 0; n == 0 && i < plan.n_renew; i++)
		n = publish_renew(r, plan.renew[i], true, &changes, &problem);
	if (n == 0)
		n = exchange_export(r, plan.roles, plan.n_roles, plan.path, &changes, &problem);
	if (n >= 0 && answer(o, &plan, &changes, n) < 0)
		n = problem_no_memory(&problem);
	if (n < 0) {
		log_error("%s", problem.text);
		return RELEASE_FAILED;
	}
	return RELEASE_OK;
}
