/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/status.h"

#include <fcntl.h>
#include <string.h>

#include "common/json.h"
#include "updaterd/answered.h"
#include "updaterd/backup.h"
#include "updaterd/result.h"
#include "updaterd/state.h"
#include "updaterd/swap.h"
#include "updaterd/verify.h"

static bool add_version(cJSON *object, const char *key, int known, const struct version *version)
{
	return known < 0 || cJSON_AddStringToObject(object, key, version->text);
}

static bool add_to_array(cJSON *array, const struct version *version)
{
	return cJSON_AddItemToArray(array, cJSON_CreateString(version->text));
}

static bool add_releases(cJSON *object, const struct store *store)
{
	_cleanup_free_ struct version *versions = NULL;
	cJSON *array = cJSON_AddArrayToObject(object, "releases");
	size_t n = 0;

	if (!array || store_list(store, &versions, &n) == -ENOMEM)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!add_to_array(array, &versions[i]))
			return false;
	return true;
}

/* Which backups there are, and where: what only the server had would be told as well. */
static bool add_backups(cJSON *object, const struct store *store)
{
	_cleanup_free_ struct version *versions = NULL;
	cJSON *backups = cJSON_AddObjectToObject(object, "backups");
	size_t n = 0;

	if (!backups || store_backup_list(store, &versions, &n) == -ENOMEM)
		return false;
	for (size_t i = 0; i < n; i++) {
		const char *where = backup_where(store, &versions[i]);

		if (where && !cJSON_AddStringToObject(backups, versions[i].text, where))
			return false;
	}
	return true;
}

/* Why there is no upgrade, though there may be a new version. */
static bool add_waiting(cJSON *object, const struct state *s, char letter)
{
	uint64_t now_sec = (uint64_t)verify_time(s).now_sec;
	uint64_t held_until_sec = state_held_until(s, letter, now_sec),
		 postponed_since_sec = state_postponed_since(s, letter);

	if (postponed_since_sec > 0 &&
	    !json_add_u64(object, "postponed_since_sec", postponed_since_sec))
		return false;
	if (held_until_sec == STATE_FOREVER)
		return cJSON_AddStringToObject(object, "held", "forever");
	return held_until_sec == 0 || json_add_u64(object, "held", held_until_sec);
}

static bool add_known(cJSON *object, const struct state *s, char letter)
{
	cJSON *quarantined = cJSON_AddArrayToObject(object, "quarantined");
	struct version version, versions[STATE_MAX_REMEMBERED];

	if (!quarantined)
		return false;
	if (!s)
		return true;
	if (!add_waiting(object, s, letter))
		return false;
	for (size_t i = 0, n = state_quarantined(s, letter, versions); i < n; i++)
		if (!add_to_array(quarantined, &versions[i]))
			return false;
	return add_version(object, "floor", state_floor(s, letter, &version), &version);
}

/* Of a space that is not whole there is still something to tell. */
static bool add_links(cJSON *object, const struct conf_program *program)
{
	_cleanup_close_ int fd = open(program->space,
				      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct version version;

	return fd < 0 ||
	       (add_version(object, "current", swap_read(fd, SWAP_CURRENT, &version), &version) &&
		add_version(object, "previous", swap_read(fd, SWAP_PREVIOUS, &version), &version));
}

static bool add_program(cJSON *programs, const struct conf_program *program, const struct state *s)
{
	const char letter[2] = { program->letter, '\0' };
	_cleanup_(store_closep) struct store *store = NULL;
	cJSON *object = cJSON_AddObjectToObject(programs, letter);

	if (!object || !add_known(object, s, program->letter) || !add_links(object, program))
		return false;
	return store_open(program->space, &store) < 0 ||
	       (add_releases(object, store) && add_backups(object, store));
}

static bool add_under_way(cJSON *status, const struct status_transaction *under_way)
{
	const char letter[2] = { under_way->program, '\0' };
	cJSON *object = cJSON_AddObjectToObject(status, "transaction");

	return object && cJSON_AddStringToObject(object, "txid", under_way->txid) &&
	       cJSON_AddStringToObject(object, "program", letter) &&
	       cJSON_AddStringToObject(object, "kind", under_way->kind) &&
	       cJSON_AddStringToObject(object, "step", under_way->step) &&
	       json_add_u64(object, "percent", under_way->percent);
}

/* The history holds what result_format() made, so it is put in as it is. */
static bool add_last(cJSON *status, const struct state *s)
{
	_cleanup_free_ char *history = NULL;
	size_t size;

	if (!s || result_history(s->dirfd, 1, &history) < 0)
		return true;
	size = strlen(history);
	if (size <= strlen("[]"))
		return true;
	history[size - 1] = '\0';
	return cJSON_AddRawToObject(status, "last", history + 1);
}

/* The agent's own word, and nothing goes by it here. */
static bool add_answered(cJSON *status, const struct conf *conf)
{
	int64_t sec = answered_load_from(conf->agent_dir);

	return sec == 0 || json_add_u64(status, "answered_sec", (uint64_t)sec);
}

int status_format(const struct conf *conf, const struct status_transaction *under_way,
		  char **ret_json)
{
	_cleanup_json_ cJSON *status = cJSON_CreateObject();
	_cleanup_(state_closep) struct state *s = NULL;
	cJSON *programs;
	char *json;

	if (state_open(conf, STATE_READ, &s) == -ENOMEM)
		return -ENOMEM;
	programs = cJSON_AddObjectToObject(status, "programs");
	if (!programs)
		return -ENOMEM;
	for (size_t i = 0; i < conf->n_programs; i++)
		if (!add_program(programs, &conf->programs[i], s))
			return -ENOMEM;
	if ((under_way && !add_under_way(status, under_way)) || !add_answered(status, conf) ||
	    !add_last(status, s))
		return -ENOMEM;
	json = json_print(status);
	if (!json)
		return -ENOMEM;
	*ret_json = json;
	return 0;
}
