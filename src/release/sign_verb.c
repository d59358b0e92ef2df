/* SPDX-License-Identifier: Apache-2.0 */
/* The verb sign: shows a signing request, signs it with one key. Needs no repository. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "release/options.h"
#include "release/request.h"
#include "release/summary.h"

struct sign_plan {
	const char *request_path;
	const char *key;
	const char *token;
	const char *out; /* NULL: in the place of the request */
	bool show;
};

/* ---- what is said of a role ---- */

static void print_text(const char *prefix, const char *text)
{
	_cleanup_free_ char *printable = summary_printable(text);

	(void)printf("%s%s\n", prefix, printable ? printable : "?");
}

static void print_list(const cJSON *list, const char *prefix)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, list)
		print_text(prefix, item->valuestring);
}

static const cJSON *find_keyid(const cJSON *list, const char *keyid)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, list)
		if (strcmp(json_text_or(item, "keyid", ""), keyid) == 0)
			return item;
	return NULL;
}

/* Those of list that are not in without; their names by "needs", the sender's word. */
static void print_keys(const char *what, const cJSON *list, const cJSON *without,
		       const cJSON *needs)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, list) {
		const char *keyid = json_text_or(item, "keyid", "?");
		const cJSON *need = find_keyid(needs, keyid);
		_cleanup_free_ char *text = NULL;

		if (find_keyid(without, keyid))
			continue;
		if (asprintf(&text, "%s %s %s", what, keyid,
			     need ? json_text_or(need, "name", "") : "") > 0)
			print_text("  ", text);
	}
}

static void print_role(const struct request_role *role, const struct tuf_metadata *m,
		       const struct tuf_metadata *previous, const cJSON *summary)
{
	_cleanup_free_ char *name = summary_printable(role->role);

	(void)printf("%s version %" PRIu64 ", expires %s\n", name ? name : "?", m->version,
		     m->expires);
	print_list(cJSON_GetObjectItemCaseSensitive(summary, "contents"), "  ");
	if (previous) {
		(void)printf("  compared with version %" PRIu64 " as the sender has it:\n",
			     previous->version);
		print_list(cJSON_GetObjectItemCaseSensitive(summary, "differences"), "    ");
	}
	print_list(role->changes, "  the sender says: ");
	print_keys("carries a signature of", m->signatures, NULL, role->needs);
	print_keys("wants a signature of", role->needs, m->signatures, role->needs);
	print_list(cJSON_GetObjectItemCaseSensitive(summary, "warnings"), "  WARNING: ");
}

static bool add_role_json(cJSON *roles, const struct request_role *role,
			  const struct tuf_metadata *m, cJSON *summary)
{
	cJSON *object = summary;

	return cJSON_AddItemToArray(roles, object) &&
	       cJSON_AddStringToObject(object, "role", role->role) &&
	       json_add_u64(object, "version", m->version) &&
	       cJSON_AddStringToObject(object, "expires", m->expires) &&
	       json_add_u64(object, "threshold", role->threshold) &&
	       json_add_u64(object, "signatures", (uint64_t)cJSON_GetArraySize(m->signatures)) &&
	       (!role->changes ||
		cJSON_AddItemToObject(object, "sender_says", cJSON_Duplicate(role->changes, true)));
}

static int show(const struct options *o, const struct request *request, cJSON *roles,
		struct problem *problem)
{
	struct request_role role;

	for (size_t i = 0; request_role(request, i, &role); i++) {
		const struct tuf_metadata *m = request_metadata(request, i);
		const struct tuf_metadata *previous = request_previous(request, i);
		cJSON *summary;

		if (summary_make(m, previous, options_now_sec(o), &summary) < 0)
			return problem_no_memory(problem);
		if (!o->json)
			print_role(&role, m, previous, summary);
		if (!add_role_json(roles, &role, m, summary))
			return problem_no_memory(problem);
	}
	return 0;
}

/* ---- signing ---- */

/* Who signed the version before knows that it is the one; for others it is the sender's word. */
static void warn_of_previous(const struct options *o, const struct request_role *role,
			     const struct tuf_metadata *previous, const struct signer *signer,
			     cJSON *report)
{
	cJSON *warnings = cJSON_GetObjectItemCaseSensitive(report, "warnings");
	char text[160];

	if (!previous || request_signed_by(previous, signer))
		return;
	(void)snprintf(text, sizeof text,
		       "version %" PRIu64 ", with which this was compared, is not signed by this "
		       "key: it may not be the published one",
		       previous->version);
	if (o->json)
		(void)cJSON_AddItemToArray(warnings, cJSON_CreateString(text));
	else
		(void)printf("%s: WARNING: %s\n", role->role, text);
}

static void tell_outcome(const struct options *o, const struct request_role *role,
			 const struct tuf_metadata *m, enum request_outcome outcome, cJSON *report)
{
	static const char *const words[] = {
		[REQUEST_NOT_NEEDED] = "not-needed",
		[REQUEST_SIGNED_BEFORE] = "signed-before",
		[REQUEST_SIGNED] = "signed",
	};
	static const char *const sentences[] = {
		[REQUEST_NOT_NEEDED] = "does not want this key's signature",
		[REQUEST_SIGNED_BEFORE] = "was signed with this key before",
		[REQUEST_SIGNED] = "signed",
	};
	_cleanup_free_ char *name = summary_printable(role->role);
	int n = cJSON_GetArraySize(m->signatures);

	(void)cJSON_AddStringToObject(report, "outcome", words[outcome]);
	(void)cJSON_ReplaceItemInObjectCaseSensitive(report, "signatures", cJSON_CreateNumber(n));
	if (!o->json)
		(void)printf("%s version %" PRIu64 ": %s; it carries %d signature%s, its threshold "
			     "is %" PRIu64 "\n",
			     name ? name : "?", m->version, sentences[outcome], n,
			     n == 1 ? "" : "s", role->threshold);
}

struct tally {
	unsigned wanted, made;
};

static int sign_roles(const struct options *o, struct request *request, const struct signer *signer,
		      cJSON *roles, struct tally *tally, struct problem *problem)
{
	struct request_role role;

	for (size_t i = 0; request_role(request, i, &role); i++) {
		cJSON *report = cJSON_GetArrayItem(roles, (int)i);
		enum request_outcome outcome;
		int r = request_sign(request, i, signer, &outcome, problem);

		if (r < 0)
			return r;
		if (outcome != REQUEST_NOT_NEEDED) {
			tally->wanted++;
			warn_of_previous(o, &role, request_previous(request, i), signer, report);
		}
		tally->made += outcome == REQUEST_SIGNED;
		tell_outcome(o, &role, request_metadata(request, i), outcome, report);
	}
	return 0;
}

static int open_signer(const struct sign_plan *plan, struct signer_secrets *secrets,
		       struct signer **ret, struct problem *problem)
{
	return plan->key ? signer_open_file(AT_FDCWD, plan->key, secrets, ret, problem)
			 : signer_open_token(plan->token, secrets, ret, problem);
}

static int sign(const struct options *o, const struct sign_plan *plan, struct request *request,
		cJSON *answer, struct problem *problem)
{
	_cleanup_(signer_secrets_done) struct signer_secrets secrets = {
		.passphrase_file = o->passphrase_file,
		.pin_file = o->pin_file,
	};
	_cleanup_(signer_freep) struct signer *signer = NULL;
	cJSON *roles = cJSON_GetObjectItemCaseSensitive(answer, "roles");
	const char *out = plan->out ? plan->out : plan->request_path;
	struct tally tally = { 0 };
	int r;

	/* What was shown must be there to be read while a passphrase is asked for. */
	(void)fflush(stdout);
	r = open_signer(plan, &secrets, &signer, problem);
	if (r < 0)
		return r;
	r = sign_roles(o, request, signer, roles, &tally, problem);
	if (r < 0)
		return r;
	if (tally.wanted == 0)
		return problem_set(problem, -EKEYREJECTED,
				   "nothing in this request wants a signature of this key, %s",
				   signer_id(signer));
	if (tally.made == 0 && !plan->out)
		return 0;
	if (!cJSON_AddStringToObject(answer, "keyid", signer_id(signer)) ||
	    !cJSON_AddStringToObject(answer, "out", out))
		return problem_no_memory(problem);
	return request_write(request, out, problem);
}

static int run(const struct options *o, const struct sign_plan *plan, struct problem *problem)
{
	_cleanup_(request_freep) struct request *request = NULL;
	_cleanup_json_ cJSON *answer = cJSON_CreateObject();
	cJSON *roles = cJSON_AddArrayToObject(answer, "roles");
	int r;

	if (!roles)
		return problem_no_memory(problem);
	r = request_read(plan->request_path, &request, problem);
	if (r < 0)
		return r;
	r = show(o, request, roles, problem);
	if (r == 0 && !plan->show)
		r = sign(o, plan, request, answer, problem);
	if (r < 0)
		return r;
	return o->json ? options_print_json(answer) : 0;
}

/* ---- command line ---- */

enum {
	OPTION_KEY = OPTION_OWN,
	OPTION_TOKEN,
	OPTION_OUT,
	OPTION_SHOW,
};

static const struct option sign_table[] = {
	{ "key", required_argument, NULL, OPTION_KEY },
	{ "token", required_argument, NULL, OPTION_TOKEN },
	{ "out", required_argument, NULL, OPTION_OUT },
	{ "show", no_argument, NULL, OPTION_SHOW },
	OPTIONS_COMMON,
	{ 0 },
};

static int check_plan(const struct options *o, const struct sign_plan *plan)
{
	if (!plan->request_path)
		return options_usage(o, "the file of the request is missing");
	if (!plan->show && !plan->key && !plan->token)
		return options_usage(o, "one of --key, --token and --show is missing");
	if (!!plan->show + !!plan->key + !!plan->token > 1)
		return options_usage(o, "only one of --key, --token and --show can be given");
	return RELEASE_OK;
}

static int parse(struct options *o, int argc, char **argv, struct sign_plan *plan, bool *ret_stop)
{
	int option, exit_code = RELEASE_OK;

	*ret_stop = true;
	while ((option = options_next(o, argc, argv, ":", sign_table, &exit_code)) >= 0) {
		switch (option) {
		case OPTION_KEY: plan->key = optarg; break;
		case OPTION_TOKEN: plan->token = optarg; break;
		case OPTION_OUT: plan->out = optarg; break;
		default: plan->show = true; break;
		}
	}
	if (option == OPTION_STOP)
		return exit_code;
	if (optind < argc)
		plan->request_path = argv[optind++];
	if (optind < argc)
		return options_usage(o, "'%s' is too much", argv[optind]);
	exit_code = check_plan(o, plan);
	*ret_stop = exit_code != RELEASE_OK;
	return exit_code;
}

int verb_sign(struct options *o, int argc, char **argv)
{
	struct sign_plan plan = { 0 };
	struct problem problem = { 0 };
	bool stop;
	int r = parse(o, argc, argv, &plan, &stop);

	if (stop)
		return r;
	r = run(o, &plan, &problem);
	if (r < 0 && *problem.text)
		log_error("%s", problem.text);
	return r < 0 ? RELEASE_FAILED : RELEASE_OK;
}
