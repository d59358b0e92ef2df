/* SPDX-License-Identifier: Apache-2.0 */
/* The verb publish: the command line around publish_prepare() and publish_write(). */
#include <inttypes.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "release/changing.h"
#include "release/options.h"
#include "release/publish.h"

struct plan {
	const char *renew[REPOSITORY_MAX_ROLES]; /* what is staged again */
	unsigned n_renew;
	bool renew_all;
	struct publish_request request;
};

/* ---- --renew ---- */

static int parse_renew(const struct options *o, const char *role, struct plan *plan)
{
	int kind = role_kind_from_name(role);

	if (strcmp(role, "all") == 0)
		plan->renew_all = true;
	else if (kind == ROLE_SNAPSHOT)
		plan->request.renew_snapshot = true;
	else if (kind == ROLE_TIMESTAMP)
		plan->request.renew_timestamp = true;
	else if (kind < 0 && !authority_name_is_delegable(role))
		return options_usage(o, "--renew: '%s' is no role", role);
	else if (plan->n_renew == ELEMENTSOF(plan->renew))
		return options_usage(o, "--renew: too many roles");
	else
		plan->renew[plan->n_renew++] = role;
	return RELEASE_OK;
}

static int renew_all(struct repository *r, struct changes *changes, struct problem *problem)
{
	struct role_names names;
	int n = repository_delegated(r, &names, problem);

	if (n == 0)
		n = publish_renew(r, "root", false, changes, problem);
	if (n == 0)
		n = publish_renew(r, "targets", false, changes, problem);
	for (unsigned i = 0; n == 0 && i < names.n; i++)
		n = publish_renew(r, names.name[i], false, changes, problem);
	return n;
}

static int renew(struct repository *r, const struct plan *plan, struct changes *changes,
		 struct problem *problem)
{
	int n = 0;

	/* A letter that is no program of this repository is an error, not silence. */
	for (unsigned i = 0; n == 0 && i < plan->n_renew; i++)
		n = repository_check_role(r, plan->renew[i], problem);
	if (n < 0)
		return n;
	if (plan->renew_all)
		return renew_all(r, changes, problem);
	for (unsigned i = 0; n == 0 && i < plan->n_renew; i++)
		n = publish_renew(r, plan->renew[i], false, changes, problem);
	return n;
}

/* ---- what is said ---- */

static void print(const struct options *o, const struct publish_outcome *outcome)
{
	if (!outcome->timestamp && outcome->roles == 0) {
		(void)puts("Nothing to publish: nothing is staged and nothing is about to expire.");
		return;
	}
	if (o->dry_run) {
		(void)puts("Nothing was written: --dry-run.");
		return;
	}
	(void)printf("Published: %u new metadata, %u files", outcome->roles, outcome->files);
	if (outcome->removed > 0)
		(void)printf(", %u removed", outcome->removed);
	if (outcome->timestamp)
		(void)printf("; snapshot %" PRIu64 ", timestamp %" PRIu64,
			     outcome->snapshot_version, outcome->timestamp_version);
	(void)printf(". A web server may serve '%s/" REPOSITORY_PUBLIC "'.\n", o->repo);
}

static int print_json(const struct options *o, const struct publish_outcome *outcome,
		      struct changes *changes)
{
	_cleanup_json_ cJSON *answer = NULL;

	if (changing_json(o, changes, NULL, &answer) < 0)
		return -ENOMEM;
	if (!cJSON_AddBoolToObject(answer, "published",
				   !o->dry_run && (outcome->timestamp || outcome->roles > 0)) ||
	    !json_add_u64(answer, "roles", outcome->roles) ||
	    !json_add_u64(answer, "files", outcome->files) ||
	    !json_add_u64(answer, "removed", outcome->removed))
		return -ENOMEM;
	if (outcome->timestamp &&
	    (!json_add_u64(answer, "snapshot_version", outcome->snapshot_version) ||
	     !json_add_u64(answer, "timestamp_version", outcome->timestamp_version)))
		return -ENOMEM;
	return options_print_json(answer);
}

/* ---- the story ---- */

static int publish(const struct options *o, struct repository *r, const struct plan *plan,
		   struct changes *changes, struct publish_outcome *ret, struct problem *problem)
{
	_cleanup_(publication_freep) struct publication *p = NULL;
	int n;

	/* What is renewed is told with the rest of what is published. */
	changes->only_losses = true;
	n = renew(r, plan, changes, problem);
	if (n == 0)
		n = publish_prepare(r, &plan->request, o->dry_run, &p, changes, problem);
	if (n == 0 && changes->out_of_memory)
		n = problem_no_memory(problem);
	if (n < 0)
		return n;
	if (!o->json)
		changing_print(changes);
	*ret = *publication_outcome(p);
	return o->dry_run ? 0 : publish_write(p, ret, problem);
}

enum {
	OPTION_RENEW = OPTION_OWN,
};

static int parse(struct options *o, int argc, char **argv, struct plan *plan, bool *ret_stop)
{
	static const struct option table[] = {
		{ "renew", required_argument, NULL, OPTION_RENEW },
		OPTIONS_CHANGING,
		{ 0 },
	};
	int option, exit_code = RELEASE_OK;

	*ret_stop = true;
	while ((option = options_next(o, argc, argv, ":", table, &exit_code)) >= 0) {
		exit_code = parse_renew(o, optarg, plan);
		if (exit_code != RELEASE_OK)
			return exit_code;
	}
	if (option == OPTION_STOP)
		return exit_code;
	if (o->dry_run && (plan->n_renew > 0 || plan->renew_all))
		return options_usage(o,
				     "--renew of a staged role and --dry-run exclude each other");
	plan->request.renew_snapshot |= plan->renew_all;
	plan->request.renew_timestamp |= plan->renew_all;
	plan->request.roles = (const char *const *)(argv + optind);
	plan->request.n_roles = (size_t)(argc - optind);
	*ret_stop = false;
	return RELEASE_OK;
}

int verb_publish(struct options *o, int argc, char **argv)
{
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_(changes_done) struct changes changes = { 0 };
	struct publish_outcome outcome = { 0 };
	struct problem problem = { 0 };
	struct plan plan = { 0 };
	bool stop;
	int n = parse(o, argc, argv, &plan, &stop);

	if (stop)
		return n;
	if (options_open(o, true, &r) < 0)
		return RELEASE_FAILED;
	n = publish(o, r, &plan, &changes, &outcome, &problem);
	if (n < 0) {
		log_error("%s", problem.text);
		return RELEASE_FAILED;
	}
	if (o->json)
		return print_json(o, &outcome, &changes) < 0 ? RELEASE_FAILED : RELEASE_OK;
	print(o, &outcome);
	return RELEASE_OK;
}
