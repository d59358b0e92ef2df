/* SPDX-License-Identifier: Apache-2.0 */
/* The verb keys: which role has which keys, where they are, when the role expires. */
#include <inttypes.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "release/metadata.h"
#include "release/options.h"

struct key_line {
	const char *role;
	const char *keyid;
	const struct keystore_key *key; /* NULL: keys/ does not know it */
	uint64_t threshold;
	unsigned n_keys;
	int64_t expires_sec; /* negative: the role was never signed */
};

static const char *where(const struct keystore_key *key)
{
	if (!key || !key->has_private)
		return "elsewhere";
	if (key->in_token)
		return "token";
	return key->encrypted ? "encrypted" : "plain";
}

static void print_line(const struct key_line *line)
{
	char expires[METADATA_TIME_LENGTH + 1] = "-";

	if (line->expires_sec >= 0 && metadata_format_time(line->expires_sec, expires) < 0)
		return;
	(void)printf("%-10s %-10s %-21s %s %" PRIu64 "/%u %s\n", line->role, where(line->key),
		     expires, line->keyid, line->threshold, line->n_keys,
		     line->key ? line->key->name : "-");
}

static int add_line(cJSON *keys, const struct key_line *line)
{
	const struct keystore_key *key = line->key;
	cJSON *object = cJSON_CreateObject();

	if (!object || !cJSON_AddItemToArray(keys, object)) {
		cJSON_Delete(object);
		return -ENOMEM;
	}
	if (!cJSON_AddStringToObject(object, "role", line->role) ||
	    !cJSON_AddStringToObject(object, "keyid", line->keyid) ||
	    (key && !cJSON_AddStringToObject(object, "name", key->name)) ||
	    !json_add_u64(object, "threshold", line->threshold) ||
	    !cJSON_AddBoolToObject(object, "private", key && key->has_private) ||
	    !cJSON_AddBoolToObject(object, "encrypted", key && key->encrypted) ||
	    !cJSON_AddBoolToObject(object, "token", key && key->in_token))
		return -ENOMEM;
	if (line->expires_sec >= 0 &&
	    !json_add_u64(object, "expires_sec", (uint64_t)line->expires_sec))
		return -ENOMEM;
	return 0;
}

static int load_expiry(struct repository *r, const char *role, int64_t *ret,
		       struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *file = NULL;
	int n = repository_load_file(r, role, REPOSITORY_NEWEST, &file, problem);

	if (n < 0 && n != -ENOENT)
		return n;
	*ret = file ? role_file_metadata(file)->expires_sec : -1;
	return 0;
}

/* A line for each key of the role, as the newest metadata has them. */
static int show_role(struct repository *r, const char *role, cJSON *keys, struct problem *problem)
{
	const char *by = authority_of(role);
	_cleanup_json_ cJSON *document = NULL;
	struct key_line line = { .role = role };
	const cJSON *keyid;
	int n;

	n = repository_load(r, by ? by : "root", REPOSITORY_NEWEST, &document, problem);
	if (n == -ENOENT)
		return problem_set(problem, n, "the repository has no root metadata");
	if (n == 0)
		n = load_expiry(r, role, &line.expires_sec, problem);
	if (n < 0)
		return n;
	line.threshold = authority_threshold(document, role);
	line.n_keys = authority_count(document, role);
	cJSON_ArrayForEach (
		keyid, cJSON_GetObjectItemCaseSensitive(authority_find(document, role), "keyids")) {
		line.keyid = keyid->valuestring;
		line.key = keystore_find(repository_keys(r), line.keyid);
		if (!keys)
			print_line(&line);
		else if (add_line(keys, &line) < 0)
			return problem_no_memory(problem);
	}
	return 0;
}

static int show_roles(struct repository *r, cJSON *keys, struct problem *problem)
{
	static const char *const top_roles[] = { "root", "targets", "snapshot", "timestamp" };
	struct role_names names;
	int n = repository_delegated(r, &names, problem);

	for (size_t i = 0; n == 0 && i < ELEMENTSOF(top_roles); i++)
		n = show_role(r, top_roles[i], keys, problem);
	for (unsigned i = 0; n == 0 && i < names.n; i++)
		n = show_role(r, names.name[i], keys, problem);
	return n;
}

int verb_keys(struct options *o, int argc, char **argv)
{
	static const struct option table[] = { OPTIONS_COMMON, { 0 } };
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_json_ cJSON *answer = NULL;
	struct problem problem = { 0 };
	cJSON *keys = NULL;
	int exit_code = RELEASE_OK;

	if (options_next(o, argc, argv, ":", table, &exit_code) != OPTION_END)
		return exit_code;
	if (optind < argc)
		return options_usage(o, "'%s' is too much", argv[optind]);
	if (options_open(o, false, &r) < 0)
		return RELEASE_FAILED;
	if (o->json) {
		answer = cJSON_CreateObject();
		keys = cJSON_AddArrayToObject(answer, "keys");
	} else {
		(void)printf("%-10s %-10s %-21s %-64s %s %s\n", "ROLE", "KEY", "EXPIRES", "KEY-ID",
			     "OF", "NAME");
	}
	if (show_roles(r, keys, &problem) < 0) {
		log_error("%s", problem.text);
		return RELEASE_FAILED;
	}
	return answer && options_print_json(answer) < 0 ? RELEASE_FAILED : RELEASE_OK;
}
