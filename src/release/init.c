/* SPDX-License-Identifier: Apache-2.0 */
/* The verb init: keys, root of trust, delegations. */
#include <inttypes.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"
#include "release/changing.h"
#include "release/metadata.h"
#include "release/options.h"
#include "release/stage.h"

#define ROOT_PATH REPOSITORY_METADATA "/1.root.json"
#define MAX_DAYS  36500

#define MAX_KEYS 16

/* What the command line says of one role's keys. */
struct role_keys {
	const char *role;
	const char *file[MAX_KEYS]; /* public keys; none: one is made here */
	unsigned n_files;
	uint64_t threshold;
};

struct init_plan {
	char programs[REPOSITORY_MAX_PROGRAMS + 1];
	struct expiry expiry;
	bool encrypt_all;
	struct role_keys keys[REPOSITORY_MAX_ROLES + 2];
	unsigned n_keys;
};

static const char *const top_roles[] = { "root", "targets", "snapshot", "timestamp" };

static const struct role_keys *find_keys(const struct init_plan *plan, const char *role)
{
	for (unsigned i = 0; i < plan->n_keys; i++)
		if (strcmp(plan->keys[i].role, role) == 0)
			return &plan->keys[i];
	return NULL;
}

/* ---- keys ---- */

static int make_key(struct repository *r, const struct init_plan *plan, const char *role,
		    struct problem *problem)
{
	int kind = role_kind_from_name(role);
	bool offline = kind == ROLE_ROOT || kind == ROLE_TARGETS;
	const struct role_keys *given = find_keys(plan, role);

	if (given && given->n_files > 0)
		return 0;
	return keystore_generate(repository_keys(r), role, offline || plan->encrypt_all, problem);
}

static int make_keys(struct repository *r, const struct init_plan *plan, struct problem *problem)
{
	int n = 0;

	for (size_t i = 0; n == 0 && i < ELEMENTSOF(top_roles); i++)
		n = make_key(r, plan, top_roles[i], problem);
	for (const char *p = plan->programs; n == 0 && *p; p++)
		n = make_key(r, plan, (const char[]){ *p, 0 }, problem);
	return n;
}

/* A passphrase is asked for only if a key is made that has one. */
static bool needs_passphrase(const struct init_plan *plan)
{
	const struct role_keys *root = find_keys(plan, "root"),
			       *targets = find_keys(plan, "targets");

	return plan->encrypt_all || !root || root->n_files == 0 || !targets ||
	       targets->n_files == 0;
}

/* ---- documents ---- */

static int add_key(struct repository *r, cJSON *document, const char *role, const char *file,
		   struct problem *problem)
{
	_cleanup_(keystore_key_done) struct keystore_key key = { 0 };
	struct keystore *k = repository_keys(r);
	int n = keystore_resolve(k, file ? file : role, &key, problem);

	if (n == 0 && file)
		n = keystore_keep(k, &key, file, problem);
	if (n < 0)
		return n;
	n = authority_add_key(document, role, key.id, key.object);
	return n < 0 ? problem_no_memory(problem) : 0;
}

static int add_keys(struct repository *r, const struct init_plan *plan, cJSON *document,
		    const char *role, struct problem *problem)
{
	const struct role_keys *given = find_keys(plan, role);
	uint64_t threshold = given && given->threshold ? given->threshold : 1;
	unsigned n_files = given ? given->n_files : 0;
	int n = n_files ? 0 : add_key(r, document, role, NULL, problem);

	for (unsigned i = 0; n == 0 && i < n_files; i++)
		n = add_key(r, document, role, given->file[i], problem);
	if (n < 0)
		return n;
	if (authority_count(document, role) < threshold)
		return problem_set(problem, -EINVAL,
				   "%s would have %u keys and a threshold of %" PRIu64
				   "; give more with --key %s=FILE",
				   role, authority_count(document, role), threshold, role);
	n = authority_set_threshold(document, role, threshold);
	return n < 0 ? problem_no_memory(problem) : 0;
}

/* {"keyids":[],"threshold":1} */
static bool add_empty_role(cJSON *roles, const char *role)
{
	cJSON *object = cJSON_AddObjectToObject(roles, role);

	return cJSON_AddArrayToObject(object, "keyids") && json_add_u64(object, "threshold", 1);
}

static int build_root(struct repository *r, const struct init_plan *plan, cJSON **ret,
		      struct problem *problem)
{
	_cleanup_json_ cJSON *root = NULL;
	cJSON *roles;

	if (metadata_new("root", &root) < 0 ||
	    !cJSON_AddTrueToObject(root, "consistent_snapshot") ||
	    !cJSON_AddObjectToObject(root, "keys"))
		return problem_no_memory(problem);
	roles = cJSON_AddObjectToObject(root, "roles");
	for (size_t i = 0; i < ELEMENTSOF(top_roles); i++) {
		int n;

		if (!add_empty_role(roles, top_roles[i]))
			return problem_no_memory(problem);
		n = add_keys(r, plan, root, top_roles[i], problem);
		if (n < 0)
			return n;
	}
	*ret = TAKE_PTR(root);
	return 0;
}

static int build_targets(struct repository *r, const struct init_plan *plan, cJSON **ret,
			 struct problem *problem)
{
	_cleanup_json_ cJSON *targets = NULL;

	if (metadata_new("targets", &targets) < 0 || !cJSON_AddObjectToObject(targets, "targets"))
		return problem_no_memory(problem);
	for (const char *p = plan->programs; *p; p++) {
		const char name[] = { *p, 0 }, pattern[] = { *p, '/', '*', 0 };
		const char *patterns[] = { pattern };
		_cleanup_json_ cJSON *paths = cJSON_CreateStringArray(patterns, 1);
		int n;

		if (!paths || authority_delegate(targets, name, paths, true) < 0)
			return problem_no_memory(problem);
		n = add_keys(r, plan, targets, name, problem);
		if (n < 0)
			return n;
	}
	*ret = TAKE_PTR(targets);
	return 0;
}

/* ---- the story ---- */

static int stage_all(struct repository *r, const struct init_plan *plan, struct problem *problem)
{
	_cleanup_json_ cJSON *root = NULL;
	_cleanup_json_ cJSON *targets = NULL;
	int n;

	n = build_root(r, plan, &root, problem);
	if (n == 0)
		n = stage_put(r, "root", root, NULL, problem);
	if (n == 0)
		n = build_targets(r, plan, &targets, problem);
	if (n == 0)
		n = stage_put(r, "targets", targets, NULL, problem);
	for (const char *p = plan->programs; n == 0 && *p; p++) {
		_cleanup_json_ cJSON *role = NULL;

		if (metadata_new("targets", &role) < 0 || !cJSON_AddObjectToObject(role, "targets"))
			return problem_no_memory(problem);
		n = stage_put(r, (const char[]){ *p, 0 }, role, NULL, problem);
	}
	return n < 0 ? n : stage_commit(r, problem);
}

/* A root that is signed is public from the start: gateways are built with it before the first
 * release. */
static int publish_root(struct repository *r, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *root = NULL;
	_cleanup_json_ cJSON *status = NULL;
	const char *bytes;
	size_t size;
	int n;

	n = repository_load_file(r, "root", REPOSITORY_STAGED_ONLY, &root, problem);
	if (n == 0)
		n = stage_status(r, "root", root, &status, problem);
	if (n < 0 || !stage_is_complete(status))
		return n;
	bytes = role_file_bytes(root, &size);
	n = fs_write_file_atomic(repository_fd(r), ROOT_PATH, bytes, size, 0644);
	if (n < 0)
		return problem_set(problem, n, "cannot write '" ROOT_PATH "': %s", strerror(-n));
	n = repository_set_anchor(r, root, problem);
	if (n < 0)
		return n;
	repository_reload(r);
	n = fs_remove_tree(repository_fd(r), REPOSITORY_STAGED "/root.json");
	return n < 0 ? problem_set(problem, n, "cannot clean '" REPOSITORY_STAGED "/': %s",
				   strerror(-n))
		     : 0;
}

static int fill_repository(struct repository *r, const struct init_plan *plan,
			   struct problem *problem)
{
	int n = 0;

	if (needs_passphrase(plan))
		n = keystore_new_passphrase(repository_keys(r), problem);
	if (n == 0)
		n = make_keys(r, plan, problem);
	if (n == 0)
		n = stage_all(r, plan, problem);
	return n < 0 ? n : publish_root(r, problem);
}

/* *ret_staged is what is left to be signed. */
static int make_repository(const struct options *o, const struct init_plan *plan,
			   cJSON **ret_staged, struct problem *problem)
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
	if (n == 0)
		n = stage_status_all(r, ret_staged, problem);
	if (n < 0)
		repository_discard(o->repo);
	return n;
}

/* ---- command line ---- */

enum {
	OPTION_PROGRAMS = OPTION_OWN,
	OPTION_ENCRYPT_ALL,
	OPTION_KEY,
	OPTION_THRESHOLD,
	OPTION_DAYS, /* + enum role_kind */
};

static const struct option init_table[] = {
	{ "programs", required_argument, NULL, OPTION_PROGRAMS },
	{ "encrypt-all", no_argument, NULL, OPTION_ENCRYPT_ALL },
	{ "key", required_argument, NULL, OPTION_KEY },
	{ "threshold", required_argument, NULL, OPTION_THRESHOLD },
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

/* "root=alice.pub.pem": cuts optarg into the two. */
static int split_role(const struct options *o, const char *option, struct init_plan *plan,
		      struct role_keys **ret, const char **ret_value)
{
	char *equals = strchr(optarg, '=');
	int kind;

	if (!equals || equals == optarg || !equals[1])
		return options_usage(o, "--%s: '%s' is not of the form ROLE=VALUE", option, optarg);
	*equals = '\0';
	*ret_value = equals + 1;
	kind = role_kind_from_name(optarg);
	if (kind < 0)
		return options_usage(o, "--%s: '%s' is no role", option, optarg);
	for (unsigned i = 0; i < plan->n_keys; i++)
		if (strcmp(plan->keys[i].role, optarg) == 0) {
			*ret = &plan->keys[i];
			return RELEASE_OK;
		}
	if (plan->n_keys == ELEMENTSOF(plan->keys))
		return options_usage(o, "--%s: too many roles", option);
	*ret = &plan->keys[plan->n_keys++];
	(*ret)->role = optarg;
	return RELEASE_OK;
}

static int parse_key(const struct options *o, int option, struct init_plan *plan)
{
	const char *name = option == OPTION_KEY ? "key" : "threshold", *value = NULL;
	struct role_keys *keys = NULL;
	int64_t threshold;
	int exit_code = split_role(o, name, plan, &keys, &value);

	if (exit_code != RELEASE_OK || !keys)
		return exit_code;
	if (option == OPTION_THRESHOLD) {
		if (options_number(name, value, 1, MAX_KEYS, &threshold) < 0)
			return RELEASE_USAGE;
		keys->threshold = (uint64_t)threshold;
		return RELEASE_OK;
	}
	if (keys->n_files == MAX_KEYS)
		return options_usage(o, "more than %d keys for %s", MAX_KEYS, keys->role);
	/* A name alone is a file, too: keys/ is still empty. */
	keys->file[keys->n_files++] = value;
	return RELEASE_OK;
}

static int parse_option(const struct options *o, int option, struct init_plan *plan)
{
	int64_t days;

	switch (option) {
	case OPTION_ENCRYPT_ALL: plan->encrypt_all = true; return RELEASE_OK;
	case OPTION_KEY:
	case OPTION_THRESHOLD: return parse_key(o, option, plan);
	case OPTION_PROGRAMS:
		if (parse_programs(optarg, plan->programs) < 0)
			return options_usage(o, "--programs: '%s' is no list of letters like A,B",
					     optarg);
		return RELEASE_OK;
	default: break;
	}
	if (options_number("expires-days-...", optarg, 1, MAX_DAYS, &days) < 0)
		return RELEASE_USAGE;
	plan->expiry.days[option - OPTION_DAYS] = (unsigned)days;
	return RELEASE_OK;
}

/* A role of --key and --threshold that this repository does not have. */
static int check_roles(const struct options *o, const struct init_plan *plan)
{
	for (unsigned i = 0; i < plan->n_keys; i++)
		if (role_kind_from_name(plan->keys[i].role) == ROLE_PROGRAM &&
		    !strchr(plan->programs, plan->keys[i].role[0]))
			return options_usage(o, "'%s' is none of the programs %s",
					     plan->keys[i].role, plan->programs);
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
	exit_code = check_roles(o, plan);
	*ret_stop = exit_code != RELEASE_OK;
	return exit_code;
}

static bool is_root_staged(const cJSON *staged)
{
	return strcmp(json_text_or(cJSON_GetArrayItem(staged, 0), "role", ""), "root") == 0;
}

static void print(const struct options *o, const struct init_plan *plan, const cJSON *staged)
{
	(void)printf("New repository in '%s' for the programs %s.\n", o->repo, plan->programs);
	if (is_root_staged(staged))
		(void)printf("The root of trust for gateways will be %s/" ROOT_PATH
			     ", when it is signed and published.\n",
			     o->repo);
	else
		(void)printf("The root of trust for gateways: %s/" ROOT_PATH "\n", o->repo);
	if (needs_passphrase(plan))
		(void)printf("Move the encrypted keys of root and targets from " REPOSITORY_KEYS
			     "/ to a safe place offline; they are needed to renew, not to "
			     "release.\n");
	changing_print_incomplete(staged);
}

static int print_json(const struct options *o, const struct init_plan *plan, cJSON *staged)
{
	_cleanup_json_ cJSON *answer = cJSON_CreateObject();

	if (!cJSON_AddItemToObject(answer, "staged", staged)) {
		cJSON_Delete(staged);
		return -ENOMEM;
	}
	if (!cJSON_AddStringToObject(answer, "repo", o->repo) ||
	    !cJSON_AddStringToObject(answer, "root", ROOT_PATH) ||
	    !cJSON_AddStringToObject(answer, "programs", plan->programs))
		return -ENOMEM;
	return options_print_json(answer);
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
	_cleanup_json_ cJSON *staged = NULL;
	struct problem problem = { 0 };
	bool stop;
	int r = parse(o, argc, argv, &plan, &stop);

	if (stop)
		return r;
	r = make_repository(o, &plan, &staged, &problem);
	if (r < 0) {
		log_error("%s", problem.text);
		return RELEASE_FAILED;
	}
	if (o->json)
		return print_json(o, &plan, TAKE_PTR(staged)) < 0 ? RELEASE_FAILED : RELEASE_OK;
	print(o, &plan, staged);
	return RELEASE_OK;
}
