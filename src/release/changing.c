/* SPDX-License-Identifier: Apache-2.0 */
#include "release/changing.h"

#include "common/json.h"
#include "common/log.h"
#include "release/stage.h"

void changing_print(const struct changes *changes)
{
	const cJSON *sentence;

	cJSON_ArrayForEach (sentence, changes->sentences)
		(void)puts(cJSON_GetStringValue(sentence));
}

void changing_print_incomplete(const cJSON *staged)
{
	const cJSON *status;
	bool any = false;

	cJSON_ArrayForEach (status, staged) {
		_cleanup_free_ char *sentence = NULL;

		if (stage_is_complete(status))
			continue;
		sentence = stage_sentence(status);
		(void)printf("%s.\n", sentence ? sentence : "out of memory");
		any = true;
	}
	if (any)
		(void)puts("'bms-release export FILE' makes a request for the missing signatures; "
			   "'sign' it where the keys are, and 'import' it.");
}

int changing_json(const struct options *o, struct changes *changes, cJSON *staged, cJSON **ret)
{
	_cleanup_json_ cJSON *answer = cJSON_CreateObject();
	cJSON *sentences = changes->sentences ? TAKE_PTR(changes->sentences) : cJSON_CreateArray();

	if (!sentences || !cJSON_AddItemToObject(answer, "changes", sentences)) {
		cJSON_Delete(sentences);
		cJSON_Delete(staged);
		return -ENOMEM;
	}
	if (staged && !cJSON_AddItemToObject(answer, "staged", staged)) {
		cJSON_Delete(staged);
		return -ENOMEM;
	}
	if (!cJSON_AddBoolToObject(answer, "dry_run", o->dry_run))
		return -ENOMEM;
	*ret = TAKE_PTR(answer);
	return 0;
}

static int answer(const struct options *o, struct changes *changes, bool any, cJSON *staged)
{
	_cleanup_json_ cJSON *json = NULL;

	if (o->json)
		return changing_json(o, changes, staged, &json) < 0 ? -ENOMEM
								    : options_print_json(json);
	if (!any)
		(void)puts("Nothing to do.");
	else if (o->dry_run)
		(void)puts("Nothing was written: --dry-run.");
	else
		changing_print_incomplete(staged);
	cJSON_Delete(staged);
	return 0;
}

static int stage(const struct options *o, struct repository *r, int n, cJSON **ret_staged,
		 struct problem *problem)
{
	if (n == 1 && !o->dry_run) {
		n = stage_commit(r, problem);
		if (n < 0)
			return n;
	}
	repository_forget_plan(r);
	return stage_status_all(r, ret_staged, problem);
}

int changing_finish(const struct options *o, struct repository *r, struct changes *changes, int n,
		    struct problem *problem)
{
	cJSON *staged = NULL;
	bool any = n == 1;

	if (n >= 0 && changes->out_of_memory)
		n = problem_no_memory(problem);
	if (n >= 0 && !o->json)
		changing_print(changes);
	if (n >= 0)
		n = stage(o, r, n, &staged, problem);
	if (n == 0 && answer(o, changes, any, staged) < 0)
		n = problem_no_memory(problem);
	if (n < 0) {
		log_error("%s", problem->text);
		return RELEASE_FAILED;
	}
	return RELEASE_OK;
}

int changing_resolve_key(struct repository *r, const char *name_or_file, struct keystore_key *ret,
			 struct problem *problem)
{
	_cleanup_(keystore_key_done) struct keystore_key key = { 0 };
	struct keystore *k = repository_keys(r);
	int n = keystore_resolve(k, name_or_file, &key, problem);

	if (n == 0)
		n = keystore_keep(k, &key, name_or_file, problem);
	if (n < 0)
		return n;
	*ret = key;
	key.object = NULL;
	return 0;
}
