/* SPDX-License-Identifier: Apache-2.0 */
/* The verb init: keys, root of trust, delegations. */
#include <string.h>

#include "common/digest.h"
#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"
#include "release/metadata.h"
#include "release/options.h"

#define ROOT_PATH REPOSITORY_METADATA "/1.root.json"
#define MAX_DAYS  36500

struct init_plan {
	char programs[REPOSITORY_MAX_PROGRAMS + 1];
	struct expiry expiry;
	bool encrypt_all;
};

static const char *const top_roles[] = { "root", "targets", "snapshot", "timestamp" };

/* ---- documents ---- */

static int add_key(struct repository *r, const char *role, cJSON *keys, char ret_id[],
		   struct problem *problem)
{
	struct keystore_key key = { 0 };
	int n = keystore_public(repository_keys(r), role, &key, problem);

	if (n < 0)
		return n;
	memcpy(ret_id, key.id, sizeof key.id);
	if (cJSON_AddItemToObject(keys, key.id, key.object))
		return 0;
	keystore_key_done(&key);
	return problem_no_memory(problem);
}

/* "keyids":["…"],"threshold":1 */
static bool add_signers(cJSON *object, const char *id)
{
	cJSON *ids = cJSON_AddArrayToObject(object, "keyids");

	return ids && cJSON_AddItemToArray(ids, cJSON_CreateString(id)) &&
	       json_add_u64(object, "threshold", 1);
}

static int build_root(struct repository *r, cJSON **ret, struct problem *problem)
{
	_cleanup_json_ cJSON *root = NULL;
	cJSON *keys, *roles;

	if (metadata_new("root", &root) < 0 || !cJSON_AddTrueToObject(root, "consistent_snapshot"))
		return problem_no_memory(problem);
	keys = cJSON_AddObjectToObject(root, "keys");
	roles = cJSON_AddObjectToObject(root, "roles");
	for (size_t i = 0; i < ELEMENTSOF(top_roles); i++) {
		char id[SHA256_HEX_LENGTH + 1];
		int n = add_key(r, top_roles[i], keys, id, problem);

		if (n < 0)
			return n;
		if (!add_signers(cJSON_AddObjectToObject(roles, top_roles[i]), id))
			return problem_no_memory(problem);
	}
	*ret = TAKE_PTR(root);
	return 0;
}

/* {"name":"B","keyids":[…],"threshold":1,"paths":["B/…"],"terminating":true} */
static bool add_delegation(cJSON *roles, char letter, const char *id)
{
	cJSON *role = cJSON_CreateObject(), *paths;

	if (!role || !cJSON_AddItemToArray(roles, role)) {
		cJSON_Delete(role);
		return false;
	}
	paths = cJSON_AddArrayToObject(role, "paths");
	return cJSON_AddStringToObject(role, "name", (const char[]){ letter, 0 }) &&
	       add_signers(role, id) &&
	       cJSON_AddItemToArray(paths,
				    cJSON_CreateString((const char[]){ letter, '/', '*', 0 })) &&
	       cJSON_AddTrueToObject(role, "terminating");
}

static int build_targets(struct repository *r, const char *programs, cJSON **ret,
			 struct problem *problem)
{
	_cleanup_json_ cJSON *targets = NULL;
	cJSON *delegations, *keys, *roles;

	if (metadata_new("targets", &targets) < 0 || !cJSON_AddObjectToObject(targets, "targets"))
		return problem_no_memory(problem);
	delegations = cJSON_AddObjectToObject(targets, "delegations");
	keys = cJSON_AddObjectToObject(delegations, "keys");
	roles = cJSON_AddArrayToObject(delegations, "roles");
	for (; *programs; programs++) {
		char id[SHA256_HEX_LENGTH + 1];
		int n = add_key(r, (const char[]){ *programs, 0 }, keys, id, problem);

		if (n < 0)
			return n;
		if (!add_delegation(roles, *programs, id))
			return problem_no_memory(problem);
	}
	*ret = TAKE_PTR(targets);
	return 0;
}

/* ---- the story ---- */

static int make_keys(struct repository *r, const struct init_plan *plan, struct problem *problem)
{
	struct keystore *keys = repository_keys(r);
	int n;

	for (size_t i = 0; i < ELEMENTSOF(top_roles); i++) {
		int kind = role_kind_from_name(top_roles[i]);
		bool offline = kind == ROLE_ROOT || kind == ROLE_TARGETS;

		n = keystore_generate(keys, top_roles[i], offline || plan->encrypt_all, problem);
		if (n < 0)
			return n;
	}
	for (const char *p = plan->programs; *p; p++) {
		n = keystore_generate(keys, (const char[]){ *p, 0 }, plan->encrypt_all, problem);
		if (n < 0)
			return n;
	}
	return 0;
}

/* The root is public from the start: gateways are built with it before the first release. */
static int write_root(struct repository *r, struct problem *problem)
{
	_cleanup_json_ cJSON *root = NULL;
	_cleanup_free_ char *bytes = NULL;
	size_t size;
	int n;

	n = build_root(r, &root, problem);
	if (n < 0)
		return n;
	n = repository_sign(r, "root", root, 1, &bytes, &size, problem);
	if (n < 0)
		return n;
	n = fs_write_file_atomic(repository_fd(r), ROOT_PATH, bytes, size, 0644);
	return n < 0 ? problem_set(problem, n, "cannot write '" ROOT_PATH "': %s", strerror(-n))
		     : 0;
}

static int stage_roles(struct repository *r, const char *programs, struct problem *problem)
{
	_cleanup_json_ cJSON *targets = NULL;
	int n;

	n = build_targets(r, programs, &targets, problem);
	if (n < 0)
		return n;
	n = repository_stage(r, "targets", targets, problem);
	for (; n == 0 && *programs; programs++) {
		_cleanup_json_ cJSON *role = NULL;

		if (metadata_new("targets", &role) < 0 || !cJSON_AddObjectToObject(role, "targets"))
			return problem_no_memory(problem);
		n = repository_stage(r, (const char[]){ *programs, 0 }, role, problem);
	}
	return n;
}

static int fill_repository(struct repository *r, const struct init_plan *plan,
			   struct problem *problem)
{
	int n;

	n = keystore_new_passphrase(repository_keys(r), problem);
	if (n < 0)
		return n;
	n = make_keys(r, plan, problem);
	if (n < 0)
		return n;
	n = write_root(r, problem);
	if (n < 0)
		return n;
	return stage_roles(r, plan->programs, problem);
}

static int make_repository(const struct options *o, const struct init_plan *plan,
			   struct problem *problem)
{
	const struct repository_options options = {
		.exclusive = true,
		.now_sec = options_now_sec(o),
		.expires_sec = o->expires_sec,
		.passphrase_file = o->passphrase_file,
		.pin_file = o->pin_file,
	};
	_cleanup_(repository_closep) struct repository *r = NULL;
	int n;

	n = repository_create(o->repo, &plan->expiry, problem);
	if (n < 0)
		return n;
	n = repository_open(o->repo, &options, &r, problem);
	if (n == 0)
		n = fill_repository(r, plan, problem);
	if (n < 0)
		repository_discard(o->repo);
	return n;
}

/* ---- command line ---- */

enum {
	OPTION_PROGRAMS = OPTION_OWN,
	OPTION_ENCRYPT_ALL,
	OPTION_DAYS, /* + enum role_kind */
};

static const struct option init_table[] = {
	{ "programs", required_argument, NULL, OPTION_PROGRAMS },
	{ "encrypt-all", no_argument, NULL, OPTION_ENCRYPT_ALL },
	{ "expires-days-root", required_argument, NULL, OPTION_DAYS + ROLE_ROOT },
	{ "expires-days-targets", required_argument, NULL, OPTION_DAYS + ROLE_TARGETS },
	{ "expires-days-programs", required_argument, NULL, OPTION_DAYS + ROLE_PROGRAM },
	{ "expires-days-snapshot", required_argument, NULL, OPTION_DAYS + ROLE_SNAPSHOT },
	{ "expires-days-timestamp", required_argument, NULL, OPTION_DAYS + ROLE_TIMESTAMP },
	OPTIONS_COMMON,
	{ 0 },
};

/* "A,B": letters, each once. */
static int parse_programs(const char *text, char ret[REPOSITORY_MAX_PROGRAMS + 1])
{
	char letters[REPOSITORY_MAX_PROGRAMS + 1] = "";
	size_t n = 0;

	for (;; text += 2) {
		if (*text < 'A' || *text > 'Z' || strchr(letters, *text))
			return -EINVAL;
		letters[n++] = *text;
		if (text[1] == 0)
			break;
		if (text[1] != ',')
			return -EINVAL;
	}
	memcpy(ret, letters, sizeof letters);
	return 0;
}

static int parse_option(const struct options *o, int option, struct init_plan *plan)
{
	int64_t days;

	if (option == OPTION_ENCRYPT_ALL) {
		plan->encrypt_all = true;
		return RELEASE_OK;
	}
	if (option == OPTION_PROGRAMS) {
		if (parse_programs(optarg, plan->programs) < 0)
			return options_usage(o, "--programs: '%s' is no list of letters like A,B",
					     optarg);
		return RELEASE_OK;
	}
	if (options_number("expires-days-...", optarg, 1, MAX_DAYS, &days) < 0)
		return RELEASE_USAGE;
	plan->expiry.days[option - OPTION_DAYS] = (unsigned)days;
	return RELEASE_OK;
}

static int parse(struct options *o, int argc, char **argv, struct init_plan *plan, bool *ret_stop)
{
	int option, exit_code = RELEASE_OK;

	*ret_stop = true;
	while ((option = options_next(o, argc, argv, ":", init_table, &exit_code)) >= 0) {
		exit_code = parse_option(o, option, plan);
		if (exit_code != RELEASE_OK)
			return exit_code;
	}
	if (option == OPTION_STOP)
		return exit_code;
	if (optind < argc)
		return options_usage(o, "'%s' is too much", argv[optind]);
	if (!*plan->programs)
		return options_usage(o, "--programs is missing");
	*ret_stop = false;
	return RELEASE_OK;
}

static int print(const struct options *o, const struct init_plan *plan)
{
	_cleanup_json_ cJSON *answer = NULL;

	if (!o->json) {
		(void)printf(
			"New repository in '%s' for the programs %s.\n"
			"The root of trust for gateways: %s/" ROOT_PATH "\n"
			"Move " REPOSITORY_KEYS "/root.pem and " REPOSITORY_KEYS
			"/targets.pem to a safe place offline; they are needed to renew, not to "
			"release.\n",
			o->repo, plan->programs, o->repo);
		return RELEASE_OK;
	}
	answer = cJSON_CreateObject();
	if (!cJSON_AddStringToObject(answer, "repo", o->repo) ||
	    !cJSON_AddStringToObject(answer, "root", ROOT_PATH) ||
	    !cJSON_AddStringToObject(answer, "programs", plan->programs))
		return RELEASE_FAILED;
	return options_print_json(answer) < 0 ? RELEASE_FAILED : RELEASE_OK;
}

int verb_init(struct options *o, int argc, char **argv)
{
	struct init_plan plan = {
		.expiry.days = { [ROLE_ROOT] = 365,
				 [ROLE_TARGETS] = 365,
				 [ROLE_PROGRAM] = 365,
				 [ROLE_SNAPSHOT] = 30,
				 [ROLE_TIMESTAMP] = 30 },
	};
	struct problem problem = { 0 };
	bool stop;
	int r = parse(o, argc, argv, &plan, &stop);

	if (stop)
		return r;
	r = make_repository(o, &plan, &problem);
	if (r < 0) {
		log_error("%s", problem.text);
		return RELEASE_FAILED;
	}
	return print(o, &plan);
}
