/* SPDX-License-Identifier: Apache-2.0 */
/* The verb renew, for a timer: snapshot and timestamp with the online keys, nothing that is staged. */
#include <inttypes.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "release/changing.h"
#include "release/options.h"
#include "release/publish.h"

#define DAY_SEC	    INT64_C(86400)
#define NOTICE_DAYS 30
#define MAX_DAYS    36500

struct renew_plan {
	int64_t within_days; /* negative: when less than half of a life is left */
};

/* ---- what is due ---- */

/* Whether the published version expires within so many days. -ENOENT if there is none. */
static int expires_within(struct repository *r, const char *role, int64_t days, bool *ret,
			  int64_t *ret_expires_sec, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *f = NULL;
	int n = repository_load_file(r, role, REPOSITORY_PUBLISHED, &f, problem);

	if (n < 0)
		return n;
	*ret_expires_sec = role_file_metadata(f)->expires_sec;
	*ret = *ret_expires_sec - repository_now_sec(r) <= days * DAY_SEC;
	return 0;
}

static int choose(struct repository *r, const struct renew_plan *plan, struct publish_request *ret,
		  struct problem *problem)
{
	struct publish_request request = { .online_only = true };
	int64_t expires_sec;
	int n = 0;

	if (plan->within_days >= 0)
		n = expires_within(r, "snapshot", plan->within_days, &request.renew_snapshot,
				   &expires_sec, problem);
	if (n == 0 && plan->within_days >= 0)
		n = expires_within(r, "timestamp", plan->within_days, &request.renew_timestamp,
				   &expires_sec, problem);
	if (n == -ENOENT)
		return problem_set(problem, n, "nothing is published yet");
	if (n == 0)
		*ret = request;
	return n;
}

/* ---- who has to sign offline soon ---- */

static int note_role(struct repository *r, const char *role, cJSON *expiring,
		     struct problem *problem)
{
	int64_t expires_sec;
	cJSON *object;
	bool soon;
	int n = expires_within(r, role, NOTICE_DAYS, &soon, &expires_sec, problem);

	if (n < 0 || !soon)
		return n == -ENOENT ? 0 : n;
	object = cJSON_CreateObject();
	if (!cJSON_AddStringToObject(object, "role", role) ||
	    !json_add_u64(object, "expires_sec", (uint64_t)expires_sec) ||
	    !cJSON_AddItemToArray(expiring, object)) {
		cJSON_Delete(object);
		return problem_no_memory(problem);
	}
	return 0;
}

static int note_expiring(struct repository *r, cJSON *expiring, struct problem *problem)
{
	struct role_names names;
	int n = repository_delegated(r, &names, problem);

	if (n == 0)
		n = note_role(r, "root", expiring, problem);
	if (n == 0)
		n = note_role(r, "targets", expiring, problem);
	for (unsigned i = 0; n == 0 && i < names.n; i++)
		n = note_role(r, names.name[i], expiring, problem);
	return n;
}

static void print_expiring(const struct repository *r, const cJSON *expiring)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, expiring) {
		const char *role = json_text_or(item, "role", "?");
		int64_t left_sec = (int64_t)cJSON_GetObjectItemCaseSensitive(item, "expires_sec")
					   ->valuedouble -
				   repository_now_sec(r);

		if (left_sec < 0)
			log_warning("%s has expired: gateways install nothing; sign it again with "
				    "'bms-release publish --renew %s', or 'export --renew %s FILE' "
				    "where its keys are elsewhere",
				    role, role, role);
		else
			log_warning("%s expires in %" PRId64 " days: sign it again with "
				    "'bms-release publish --renew %s', or 'export --renew %s FILE' "
				    "where its keys are elsewhere",
				    role, left_sec / DAY_SEC, role, role);
	}
}

/* ---- the story ---- */

static int renew(struct repository *r, const struct options *o, const struct renew_plan *plan,
		 struct publish_outcome *ret, struct problem *problem)
{
	_cleanup_(publication_freep) struct publication *p = NULL;
	struct publish_request request;
	int n = choose(r, plan, &request, problem);

	if (n == 0)
		n = publish_prepare(r, &request, o->dry_run, &p, NULL, problem);
	if (n < 0)
		return n;
	*ret = *publication_outcome(p);
	return ret->timestamp && !o->dry_run ? publish_write(p, ret, problem) : 0;
}

static int print_json(const struct options *o, const struct publish_outcome *outcome,
		      bool new_snapshot, cJSON *expiring)
{
	_cleanup_json_ cJSON *answer = cJSON_CreateObject();
	cJSON *renewed = cJSON_AddArrayToObject(answer, "renewed");

	if (!answer || !cJSON_AddItemToObject(answer, "expiring", expiring)) {
		cJSON_Delete(expiring);
		return -ENOMEM;
	}
	if (!cJSON_AddBoolToObject(answer, "dry_run", o->dry_run) ||
	    (new_snapshot && !cJSON_AddItemToArray(renewed, cJSON_CreateString("snapshot"))) ||
	    (outcome->timestamp &&
	     !cJSON_AddItemToArray(renewed, cJSON_CreateString("timestamp"))) ||
	    !json_add_u64(answer, "snapshot_version", outcome->snapshot_version) ||
	    !json_add_u64(answer, "timestamp_version", outcome->timestamp_version))
		return -ENOMEM;
	return options_print_json(answer);
}

static void print_text(const struct options *o, const struct publish_outcome *outcome,
		       bool new_snapshot)
{
	const char *verb = o->dry_run ? "Would renew" : "Renewed";

	if (!outcome->timestamp)
		(void)puts("Nothing to renew.");
	else if (new_snapshot)
		(void)printf("%s snapshot (version %" PRIu64 ") and timestamp (version %" PRIu64
			     ").\n",
			     verb, outcome->snapshot_version, outcome->timestamp_version);
	else
		(void)printf("%s timestamp (version %" PRIu64 ").\n", verb,
			     outcome->timestamp_version);
}

static int run(const struct options *o, const struct renew_plan *plan, struct repository *r,
	       struct problem *problem)
{
	_cleanup_json_ cJSON *expiring = cJSON_CreateArray();
	struct publish_outcome outcome = { 0 };
	uint64_t snapshot_before;
	int n;

	if (!expiring)
		return problem_no_memory(problem);
	n = repository_published_version(r, "snapshot", &snapshot_before, problem);
	if (n == 0)
		n = renew(r, o, plan, &outcome, problem);
	if (n == 0)
		n = note_expiring(r, expiring, problem);
	if (n < 0)
		return n;
	if (o->json)
		return print_json(o, &outcome, outcome.snapshot_version != snapshot_before,
				  TAKE_PTR(expiring)) < 0
			       ? problem_no_memory(problem)
			       : 0;
	print_text(o, &outcome, outcome.snapshot_version != snapshot_before);
	print_expiring(r, expiring);
	return 0;
}

/* ---- command line ---- */

enum {
	OPTION_WITHIN = OPTION_OWN,
};

int verb_renew(struct options *o, int argc, char **argv)
{
	static const struct option table[] = {
		{ "within", required_argument, NULL, OPTION_WITHIN },
		OPTIONS_CHANGING,
		{ 0 },
	};
	_cleanup_(repository_closep) struct repository *r = NULL;
	struct renew_plan plan = { .within_days = -1 };
	struct problem problem = { 0 };
	int option, exit_code = RELEASE_OK;

	while ((option = options_next(o, argc, argv, ":", table, &exit_code)) >= 0)
		if (options_number("within", optarg, 0, MAX_DAYS, &plan.within_days) < 0)
			return RELEASE_USAGE;
	if (option == OPTION_STOP)
		return exit_code;
	if (optind < argc)
		return options_usage(o, "'%s' is too much", argv[optind]);
	if (options_open(o, true, &r) < 0)
		return RELEASE_FAILED;
	if (run(o, &plan, r, &problem) < 0) {
		log_error("%s", problem.text);
		return RELEASE_FAILED;
	}
	return RELEASE_OK;
}
