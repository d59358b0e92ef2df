/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/commands.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "common/json.h"
#include "common/log.h"
#include "common/reason.h"
#include "updaterd/client.h"
#include "updaterd/exit_codes.h"
#include "updaterd/result.h"
#include "updaterd/until.h"
#include "updaterd/waiting.h"
#include "updaterd/way_back.h"

#define MAX_TIME_SEC	 (UINT64_C(1) << 53)
#define FOLLOW_LIMIT_SEC 3600u

static int fail(int error, const struct failure *failure)
{
	log_error("%s", failure->text);
	if (error == -EACCES)
		return EXIT_NOT_PERMITTED;
	return error == -EBUSY ? EXIT_TEMPORARY : EXIT_FAILED;
}

static int print_json(const cJSON *json)
{
	_cleanup_free_ char *text = json_print(json);

	if (!text) {
		log_error("out of memory");
		return EXIT_FAILED;
	}
	(void)printf("%s\n", text);
	return EXIT_OK;
}

/* ---- status ---- */

static void print_waiting(const cJSON *object)
{
	char text[UNTIL_TEXT_BYTES];
	uint64_t sec;

	if (json_get_u64(object, "held", MAX_TIME_SEC, &sec, NULL) == 0)
		(void)printf("   held until %s\n", until_format(sec, text));
	else if (*json_text_or(object, "held", ""))
		(void)printf("   held\n");
	if (json_get_u64(object, "postponed_since_sec", MAX_TIME_SEC, &sec, NULL) == 0)
		(void)printf("   not a good time since %s\n", until_format(sec, text));
}

/* Who waits for what, and what to do. */
static void print_waits_for_other(const cJSON *object)
{
	const char *needed, *why;
	const cJSON *waits;

	if (json_get_object(object, "waits", &waits, NULL) < 0)
		return;
	needed = json_text_or(waits, "needs", "?");
	why = json_text_or(waits, "why", "");
	(void)printf("   %s waits for %s or newer of program %c, ",
		     json_text_or(waits, "version", "?"), needed, *needed);
	if (strcmp(why, "held") == 0)
		(void)printf("which is held: updaterd --unhold %c\n", *needed);
	else if (strcmp(why, "quarantined") == 0)
		(void)printf("which is quarantined: updaterd --clear-quarantine %s\n", needed);
	else
		(void)printf("which has not come yet\n");
}

static void print_backups(const cJSON *object)
{
	const cJSON *backups, *item;

	if (json_get_object(object, "backups", &backups, NULL) < 0)
		return;
	cJSON_ArrayForEach (item, backups) {
		const char *where = cJSON_IsString(item) ? item->valuestring : "";

		(void)printf("   backup of %s: %s\n", item->string,
			     strcmp(where, "local") == 0    ? "here"
			     : strcmp(where, "server") == 0 ? "on the server"
			     : strcmp(where, "both") == 0   ? "here and on the server"
							    : "?");
	}
}

static void print_answered(const cJSON *status)
{
	char text[UNTIL_TEXT_BYTES];
	uint64_t sec;

	if (json_get_u64(status, "answered_sec", MAX_TIME_SEC, &sec, NULL) == 0)
		(void)printf("the query server last answered at %s\n", until_format(sec, text));
}

static void print_program(const struct conf_program *p, const cJSON *programs)
{
	const char letter[2] = { p->letter, '\0' };
	const cJSON *object = NULL, *list = NULL, *item;

	if (programs)
		(void)!json_get_object(programs, letter, &object, NULL);
	(void)printf("%c  %-12s runs %-13s  previous %-13s  floor %s\n", p->letter, p->name,
		     json_text_or(object, "current", "-"), json_text_or(object, "previous", "-"),
		     json_text_or(object, "floor", "-"));
	if (!object)
		return;
	print_waiting(object);
	print_waits_for_other(object);
	print_backups(object);
	if (json_get_array(object, "quarantined", &list, NULL) < 0)
		return;
	cJSON_ArrayForEach (item, list)
		if (cJSON_IsString(item))
			(void)printf("   quarantined: %s\n", item->valuestring);
}

static void print_result(const cJSON *result)
{
	uint64_t started_sec = 0;
	char when[32] = "-";
	struct tm tm;
	time_t t;

	(void)!json_get_u64(result, "started_sec", UINT32_MAX, &started_sec, NULL);
	t = (time_t)started_sec;
	if (started_sec > 0 && localtime_r(&t, &tm))
		(void)strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
	(void)printf("%s  %-8s  %s -> %s  %s", when, json_text_or(result, "kind", "-"),
		     json_text_or(result, "from", "-"), json_text_or(result, "to", "-"),
		     json_text_or(result, "outcome", "-"));
	if (strcmp(json_text_or(result, "reason", "none"), "none") != 0)
		(void)printf(" at %s: %s", json_text_or(result, "step", "-"),
			     json_text_or(result, "reason", "-"));
	if (*json_text_or(result, "detail", ""))
		(void)printf(" (%s)", json_text_or(result, "detail", ""));
	(void)printf("\n");
}

/* For root: nobody else may look into the agent's directory. */
static int add_waiting(const struct conf *conf, cJSON *status)
{
	_cleanup_close_ int fd = open(conf->agent_dir,
				      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct waiting waiting;
	int r = fd < 0 ? -errno : waiting_load(fd, &waiting);

	if (r == 0)
		return waiting_add_to_status(&waiting, status);
	if (r != -ENOENT)
		log_debug("'%s/" WAITING_FILE "' cannot be read: %s", conf->agent_dir,
			  strerror(-r));
	return 0;
}

int command_status(const struct conf *conf, bool as_json)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_json_ cJSON *status = NULL;
	const cJSON *programs = NULL, *object;
	struct failure failure = { 0 };
	int r;

	r = client_open(&client, &failure);
	if (r >= 0)
		r = client_status(client, &status, &failure);
	if (r >= 0 && add_waiting(conf, status) < 0)
		r = failure_set_errno(&failure, -ENOMEM, "status");
	if (r < 0)
		return fail(r, &failure);
	if (as_json)
		return print_json(status);
	(void)!json_get_object(status, "programs", &programs, NULL);
	for (size_t i = 0; i < conf->n_programs; i++)
		print_program(&conf->programs[i], programs);
	if (json_get_object(status, "transaction", &object, NULL) >= 0)
		(void)printf("under way: program %s, step %s\n",
			     json_text_or(object, "program", "-"),
			     json_text_or(object, "step", "-"));
	print_answered(status);
	if (json_get_object(status, "last", &object, NULL) >= 0) {
		(void)printf("last: ");
		print_result(object);
	}
	return EXIT_OK;
}

int command_history(uint32_t n, bool as_json)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_json_ cJSON *history = NULL;
	struct failure failure = { 0 };
	const cJSON *result;
	int r;

	r = client_open(&client, &failure);
	if (r >= 0)
		r = client_history(client, n, &history, &failure);
	if (r < 0)
		return fail(r, &failure);
	cJSON_ArrayForEach (result, history) {
		if (!as_json)
			print_result(result);
		else if (print_json(result) != EXIT_OK)
			return EXIT_FAILED;
	}
	return EXIT_OK;
}

/* ---- roll back ---- */

static void on_progress(void *userdata, char program, enum step step, unsigned percent)
{
	(void)program;
	progress_step(userdata, step, percent);
}

/* What was fetched takes the place of what was kept. */
static int hand_over(struct client *client, const struct way_back *w, char **ret_txid,
		     struct failure *failure)
{
	static const char share[] = "{\"kind\":\"" RESULT_KIND_ROLLBACK "\"}";
	int r;

	if (w->target)
		return client_rollback_with(client, w->metadata_fd, w->file_fd, w->target, share,
					    ret_txid, failure);
	r = client_put_back(client, &w->version, w->file_fd, failure);
	return r < 0 ? r : client_rollback(client, w->version.program, ret_txid, failure);
}

static int fetch_and_begin(const struct conf *conf, struct client **client, char program,
			   struct progress *progress, char **ret_txid, struct failure *failure)
{
	_cleanup_(way_back_done) struct way_back w = { .file_fd = FD_NONE, .metadata_fd = FD_NONE };
	int r;

	log_notice("%s; fetching it from the server", failure->text);
	*client = client_close(*client);
	r = way_back_fetch(conf, program, progress, &w, failure);
	if (r >= 0)
		r = client_open(client, failure);
	return r < 0 ? r : hand_over(*client, &w, ret_txid, failure);
}

static int begin_rollback(const struct conf *conf, struct client **client, char program,
			  struct progress *progress, char **ret_txid, struct failure *failure)
{
	int r = client_open(client, failure);

	if (r >= 0)
		r = client_rollback(*client, program, ret_txid, failure);
	if (r == -EPERM && failure->reason == REASON_DAMAGED && conf->url)
		r = fetch_and_begin(conf, client, program, progress, ret_txid, failure);
	return r;
}

/* An attempt that was on trial, and was called off, has ended as it should, too, and so has one that had failed
 * by itself just before. One that had ended well has not: what a person wants to leave runs, and can be left
 * now. */
static int judge_rollback(const cJSON *result)
{
	int outcome = outcome_from_name(json_text_or(result, "outcome", ""));
	int reason = reason_from_name(json_text_or(result, "reason", ""));
	bool was_asked_for = strcmp(json_text_or(result, "kind", ""), RESULT_KIND_ROLLBACK) == 0;

	if (outcome == OUTCOME_POSTPONED)
		return EXIT_TEMPORARY;
	if (outcome == OUTCOME_ROLLED_BACK && reason == REASON_OPERATOR)
		return EXIT_OK;
	if (outcome == OUTCOME_ROLLED_BACK && !was_asked_for) {
		log_notice("the trial of '%s' had just failed by itself; '%s' runs already",
			   json_text_or(result, "to", "?"), json_text_or(result, "from", "?"));
		return EXIT_OK;
	}
	if (outcome != OUTCOME_CONFIRMED)
		return EXIT_FAILED;
	if (was_asked_for)
		return EXIT_OK;
	log_error("the trial had just ended, and '%s' runs: ask again to go back from it",
		  json_text_or(result, "to", "?"));
	return EXIT_TEMPORARY;
}

int command_rollback(const struct conf *conf, char program, struct progress *progress)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_json_ cJSON *result = NULL;
	_cleanup_free_ char *txid = NULL;
	const char object[] = { 'p', 'r', 'o', 'g', 'r', 'a', 'm', ' ', program, '\0' };
	struct failure failure = { 0 };
	int r;

	r = begin_rollback(conf, &client, program, progress, &txid, &failure);
	if (r >= 0) {
		progress_begin(progress, STEP_ROLLBACK, object, 100, 0);
		r = client_follow(client, txid, FOLLOW_LIMIT_SEC, on_progress, progress, &result,
				  &failure);
	}
	if (r < 0) {
		progress_end(progress, "failed");
		return fail(r, &failure);
	}
	progress_result(progress, result, false);
	return judge_rollback(result);
}

/* ---- words ---- */

static int print_word(const char *kind, const char *name, const char *text, bool as_json)
{
	_cleanup_json_ cJSON *object = NULL;

	if (!as_json) {
		(void)printf("  %-18s %s\n", name, text);
		return EXIT_OK;
	}
	object = cJSON_CreateObject();
	if (!object || !cJSON_AddStringToObject(object, kind, name) ||
	    !cJSON_AddStringToObject(object, "help", text)) {
		log_error("out of memory");
		return EXIT_FAILED;
	}
	return print_json(object);
}

static void print_title(const char *title, bool as_json)
{
	if (!as_json)
		(void)printf("%s\n", title);
}

int command_reasons(bool as_json)
{
	static const struct {
		enum outcome outcome;
		const char *help;
	} outcomes[] = {
		{ OUTCOME_CONFIRMED, "the new version runs and is kept" },
		{ OUTCOME_ROLLED_BACK, "it was swapped in, was bad, and the old one runs again" },
		{ OUTCOME_FAILED, "it ended before the swap; nothing was changed" },
		{ OUTCOME_REFUSED, "it was judged unacceptable before the swap" },
		{ OUTCOME_POSTPONED, "the program said that now is no good time" },
	};

	int code = EXIT_OK;

	print_title("Outcomes", as_json);
	for (size_t i = 0; i < ELEMENTSOF(outcomes) && code == EXIT_OK; i++)
		code = print_word("outcome", outcome_name(outcomes[i].outcome), outcomes[i].help,
				  as_json);
	print_title("\nReasons", as_json);
	for (int i = REASON_NONE + 1; i < _REASON_MAX && code == EXIT_OK; i++)
		code = print_word("reason", reason_name((enum reason)i),
				  reason_help((enum reason)i), as_json);
	return code;
}
