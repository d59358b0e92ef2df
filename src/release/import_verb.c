/* SPDX-License-Identifier: Apache-2.0 */
/* The verb import: the command line around exchange_import(). */
#include "common/json.h"
#include "common/log.h"
#include "release/changing.h"
#include "release/exchange.h"
#include "release/options.h"
#include "release/stage.h"

static void print_staged(const struct options *o, const cJSON *staged)
{
	const cJSON *status;
	bool complete = true;

	cJSON_ArrayForEach (status, staged) {
		_cleanup_free_ char *sentence = stage_sentence(status);

		(void)printf("%s.\n", sentence ? sentence : "out of memory");
		complete &= stage_is_complete(status);
	}
	if (o->dry_run)
		(void)puts("Nothing was written: --dry-run.");
	else if (complete && cJSON_GetArraySize(staged) > 0)
		(void)puts("All signatures are there: 'bms-release publish' makes it visible.");
}

static int answer(const struct options *o, const struct exchange_outcome *outcome,
		  struct changes *changes, cJSON *staged)
{
	_cleanup_json_ cJSON *json = NULL;

	if (!o->json) {
		changing_print(changes);
		print_staged(o, staged);
		cJSON_Delete(staged);
		return 0;
	}
	if (changing_json(o, changes, staged, &json) < 0 ||
	    !json_add_u64(json, "added", outcome->added) ||
	    !json_add_u64(json, "known", outcome->known) ||
	    !json_add_u64(json, "refused", outcome->refused))
		return -ENOMEM;
	return options_print_json(json);
}

int verb_import(struct options *o, int argc, char **argv)
{
	static const struct option table[] = { OPTIONS_CHANGING, { 0 } };
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_(changes_done) struct changes changes = { 0 };
	struct exchange_outcome outcome = { 0 };
	struct problem problem = { 0 };
	cJSON *staged = NULL;
	int n, exit_code = RELEASE_OK;

	if (options_next(o, argc, argv, ":", table, &exit_code) != OPTION_END)
		return exit_code;
	if (argc - optind != 1)
		return options_usage(o, "one file is needed");
	if (options_open(o, true, &r) < 0)
		return RELEASE_FAILED;
	n = exchange_import(r, argv[optind], o->dry_run, &outcome, &changes, &problem);
	if (n == 0)
		n = stage_status_all(r, &staged, &problem);
	if (n == 0 && answer(o, &outcome, &changes, staged) < 0)
		n = problem_no_memory(&problem);
	if (n == 0 && outcome.refused > 0)
		n = problem_set(&problem, -EKEYREJECTED, "not everything in '%s' was good",
				argv[optind]);
	if (n < 0) {
		log_error("%s", problem.text);
		return RELEASE_FAILED;
	}
	return RELEASE_OK;
}
