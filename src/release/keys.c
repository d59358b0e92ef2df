/* SPDX-License-Identifier: Apache-2.0 */
/* The verb keys: which role has which key, where it is, when the role expires. */
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "release/metadata.h"
#include "release/options.h"

struct key_line {
	const char *role;
	struct keystore_key key;
	int64_t expires_sec; /* negative: the role was never signed */
};

static int read_line(struct repository *r, const char *role, struct key_line *ret,
		     struct problem *problem)
{
	_cleanup_json_ cJSON *document = NULL;
	struct key_line line = { .role = role, .expires_sec = -1 };
	int n;

	n = repository_load(r, role, REPOSITORY_NEWEST, &document, problem);
	if (n < 0 && n != -ENOENT)
		return n;
	if (document && metadata_expires_sec(document, &line.expires_sec) < 0)
		return problem_set(problem, -EBADMSG, "the metadata of %s has no expiry", role);
	n = keystore_public(repository_keys(r), role, &line.key, problem);
	if (n < 0)
		return n;
	*ret = line;
	return 0;
}

static const char *where(const struct keystore_key *key)
{
	if (!key->has_private)
		return "elsewhere";
	return key->encrypted ? "encrypted" : "plain";
}

static void print_line(const struct key_line *line)
{
	char expires[METADATA_TIME_LENGTH + 1] = "-";

	if (line->expires_sec >= 0 && metadata_format_time(line->expires_sec, expires) < 0)
		return;
	(void)printf("%-10s %-10s %-21s %s\n", line->role, where(&line->key), expires,
		     line->key.id);
}

static int add_line(cJSON *keys, const struct key_line *line)
{
	cJSON *object = cJSON_CreateObject();

	if (!object || !cJSON_AddItemToArray(keys, object)) {
		cJSON_Delete(object);
		return -ENOMEM;
	}
	if (!cJSON_AddStringToObject(object, "role", line->role) ||
	    !cJSON_AddStringToObject(object, "keyid", line->key.id) ||
	    !cJSON_AddBoolToObject(object, "private", line->key.has_private) ||
	    !cJSON_AddBoolToObject(object, "encrypted", line->key.encrypted))
		return -ENOMEM;
	if (line->expires_sec >= 0 &&
	    !json_add_u64(object, "expires_sec", (uint64_t)line->expires_sec))
		return -ENOMEM;
	return 0;
}

static int show_role(struct repository *r, const char *role, cJSON *keys, struct problem *problem)
{
	struct key_line line = { 0 };
	int n = read_line(r, role, &line, problem);

	if (n < 0)
		return n;
	if (!keys)
		print_line(&line);
	else if (add_line(keys, &line) < 0)
		n = problem_no_memory(problem);
	keystore_key_done(&line.key);
	return n;
}

static int show_roles(struct repository *r, cJSON *keys, struct problem *problem)
{
	static const char *const top_roles[] = { "root", "targets", "snapshot", "timestamp" };
	char programs[REPOSITORY_MAX_PROGRAMS + 1];
	int n = repository_programs(r, programs, problem);

	for (size_t i = 0; n == 0 && i < ELEMENTSOF(top_roles); i++)
		n = show_role(r, top_roles[i], keys, problem);
	for (const char *p = programs; n == 0 && *p; p++)
		n = show_role(r, (const char[]){ *p, 0 }, keys, problem);
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
		(void)printf("%-10s %-10s %-21s %s\n", "ROLE", "KEY", "EXPIRES", "KEY-ID");
	}
	if (show_roles(r, keys, &problem) < 0) {
		log_error("%s", problem.text);
		return RELEASE_FAILED;
	}
	return answer && options_print_json(answer) < 0 ? RELEASE_FAILED : RELEASE_OK;
}
