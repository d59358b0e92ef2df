/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/client.h"

#include <fcntl.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "common/clock.h"
#include "common/log.h"
#include "updaterd/conf.h"
#include "updaterd/prove.h"

#define ANSWER_MAX_BYTES (4u << 20)
/* Long enough for the installer to be started and to recover first. */
#define CALL_USEC	 (90 * UINT64_C(1000000))
/* How long silence may last before the installer is asked. */
#define SILENCE_USEC	 (10 * UINT64_C(1000000))
#define UNANSWERED_MAX	 6u
#define ERROR_PREFIX	 UPDATER_BUS_IFACE ".Error."

struct client {
	sd_bus *bus;
	/* what client_follow() waits for */
	char txid[64];
	client_progress_fn progress;
	void *userdata;
	cJSON *result;
	bool heard, owner_lost;
};

static void free_bus_error(sd_bus_error *error)
{
	sd_bus_error_free(error);
}
#define _cleanup_bus_error_ _cleanup_(free_bus_error)

static void unref_message(sd_bus_message **m)
{
	(void)sd_bus_message_unref(*m);
}
#define _cleanup_message_ _cleanup_(unref_message)

/* ---- what the installer says of itself ---- */

static int parse_json(const char *text, cJSON **ret)
{
	const struct json_limits limits = { .max_bytes = ANSWER_MAX_BYTES };

	return json_parse(text, strlen(text), &limits, ret, NULL);
}

static int on_progress(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct client *c = userdata;
	const char *txid, *program, *step;
	uint32_t percent;
	int known;

	(void)error;
	if (sd_bus_message_read(m, "sssu", &txid, &program, &step, &percent) < 0 ||
	    strcmp(txid, c->txid) != 0)
		return 0;
	c->heard = true;
	known = step_from_name(step);
	if (c->progress && known >= 0)
		c->progress(c->userdata, program[0], (enum step)known,
			    percent > 100 ? 100 : percent);
	return 0;
}

static int on_finished(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct client *c = userdata;
	const char *txid, *outcome, *result;

	(void)error;
	if (sd_bus_message_read(m, "sss", &txid, &outcome, &result) < 0 ||
	    strcmp(txid, c->txid) != 0 || c->result)
		return 0;
	c->heard = true;
	if (parse_json(result, &c->result) < 0)
		log_debug("client: Finished carries no valid result");
	return 0;
}

static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct client *c = userdata;
	const char *name, *old_owner, *new_owner;

	(void)error;
	if (sd_bus_message_read(m, "sss", &name, &old_owner, &new_owner) >= 0 && !new_owner[0])
		c->owner_lost = true;
	return 0;
}

static int listen_to(struct client *c)
{
	int r;

	r = sd_bus_match_signal(c->bus, NULL, UPDATER_BUS_NAME, UPDATER_BUS_PATH, UPDATER_BUS_IFACE,
				"Progress", on_progress, c);
	if (r >= 0)
		r = sd_bus_match_signal(c->bus, NULL, UPDATER_BUS_NAME, UPDATER_BUS_PATH,
					UPDATER_BUS_IFACE, "Finished", on_finished, c);
	if (r >= 0)
		r = sd_bus_add_match(c->bus, NULL,
				     "type='signal',sender='org.freedesktop.DBus',"
				     "interface='org.freedesktop.DBus',member='NameOwnerChanged',"
				     "arg0='" UPDATER_BUS_NAME "'",
				     on_owner_changed, c);
	return r;
}

int client_open(struct client **ret, struct failure *failure)
{
	_cleanup_(client_closep) struct client *c = calloc(1, sizeof *c);
	int r;

	if (!c)
		return failure_set_errno(failure, -ENOMEM, "system bus");
	r = sd_bus_open_system(&c->bus);
	if (r >= 0)
		r = sd_bus_set_method_call_timeout(c->bus, CALL_USEC);
	if (r >= 0)
		r = listen_to(c);
	if (r < 0)
		return failure_set(failure, -ECONNREFUSED, REASON_IO, "system bus: %s",
				   strerror(-r));
	*ret = TAKE_PTR(c);
	return 0;
}

struct client *client_close(struct client *c)
{
	if (!c)
		return NULL;
	(void)sd_bus_flush_close_unref(c->bus);
	cJSON_Delete(c->result);
	free(c);
	return NULL;
}

/* ---- calls ---- */

/* "quarantined: it failed before" → the reason and the sentence. */
static int set_refused(struct failure *failure, const char *message)
{
	const char *colon = strchr(message, ':');
	char word[32] = "";
	int reason;

	if (colon && (size_t)(colon - message) < sizeof word)
		memcpy(word, message, (size_t)(colon - message));
	reason = word[0] ? reason_from_name(word) : -1;
	if (reason < 0)
		return failure_set(failure, -EPERM, REASON_INTERNAL, "%s", message);
	message = colon + 1;
	while (*message == ' ')
		message++;
	return failure_set(failure, -EPERM, (enum reason)reason, "%s", message);
}

static int judge_error(const char *member, int error, const sd_bus_error *e,
		       struct failure *failure)
{
	const char *message = e->message ? e->message : strerror(-error);

	if (sd_bus_error_has_name(e, ERROR_PREFIX "Busy"))
		return failure_set(failure, -EBUSY, REASON_BUSY, "the installer is busy: %s",
				   message);
	if (sd_bus_error_has_name(e, ERROR_PREFIX "Refused"))
		return set_refused(failure, message);
	if (sd_bus_error_has_name(e, SD_BUS_ERROR_ACCESS_DENIED) ||
	    sd_bus_error_has_name(e, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED))
		return failure_set(failure, -EACCES, REASON_INTERNAL, "%s: not permitted", member);
	if (sd_bus_error_has_name(e, SD_BUS_ERROR_INVALID_ARGS))
		return failure_set(failure, -EINVAL, REASON_INTERNAL, "%s: %s", member, message);
	return failure_set(failure, -ECONNREFUSED, REASON_IO,
			   "the installer does not answer %s: %s", member, message);
}

static int call(struct client *c, sd_bus_message *m, const char *member, sd_bus_message **ret_reply,
		struct failure *failure)
{
	_cleanup_bus_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = sd_bus_call(c->bus, m, 0, &error, ret_reply);

	return r < 0 ? judge_error(member, r, &error, failure) : 0;
}

static int new_call(struct client *c, const char *member, sd_bus_message **ret,
		    struct failure *failure)
{
	int r = sd_bus_message_new_method_call(c->bus, ret, UPDATER_BUS_NAME, UPDATER_BUS_PATH,
					       UPDATER_BUS_IFACE, member);

	return r < 0 ? failure_set_errno(failure, r, "%s", member) : 0;
}

static int bad_answer(const char *member, struct failure *failure)
{
	return failure_set(failure, -EPROTO, REASON_BAD_ANSWER, "the answer to %s is malformed",
			   member);
}

/* A call that answers with one string of JSON. */
static int call_for_json(struct client *c, sd_bus_message *m, const char *member, cJSON **ret,
			 struct failure *failure)
{
	_cleanup_message_ sd_bus_message *reply = NULL;
	const char *text;
	int r;

	r = call(c, m, member, &reply, failure);
	if (r < 0)
		return r;
	if (sd_bus_message_read(reply, "s", &text) < 0 || parse_json(text, ret) < 0)
		return bad_answer(member, failure);
	return 0;
}

int client_status(struct client *c, cJSON **ret, struct failure *failure)
{
	_cleanup_message_ sd_bus_message *m = NULL;
	int r = new_call(c, "Status", &m, failure);

	return r < 0 ? r : call_for_json(c, m, "Status", ret, failure);
}

int client_history(struct client *c, uint32_t n, cJSON **ret, struct failure *failure)
{
	_cleanup_message_ sd_bus_message *m = NULL;
	int r = new_call(c, "History", &m, failure);

	if (r < 0)
		return r;
	r = sd_bus_message_append(m, "u", n);
	if (r < 0)
		return failure_set_errno(failure, r, "History");
	return call_for_json(c, m, "History", ret, failure);
}

static int read_results(sd_bus_message *reply, cJSON *array)
{
	const char *text;
	int r = sd_bus_message_enter_container(reply, 'a', "s");

	while (r >= 0 && (r = sd_bus_message_read(reply, "s", &text)) > 0) {
		cJSON *result;

		if (parse_json(text, &result) < 0)
			return -EPROTO;
		if (!cJSON_AddItemToArray(array, result)) {
			cJSON_Delete(result);
			return -ENOMEM;
		}
	}
	return r;
}

int client_results(struct client *c, cJSON **ret, struct failure *failure)
{
	_cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
	_cleanup_json_ cJSON *array = cJSON_CreateArray();
	int r;

	if (!array)
		return failure_set_errno(failure, -ENOMEM, "Results");
	r = new_call(c, "Results", &m, failure);
	if (r >= 0)
		r = call(c, m, "Results", &reply, failure);
	if (r < 0)
		return r;
	if (read_results(reply, array) < 0)
		return bad_answer("Results", failure);
	*ret = TAKE_PTR(array);
	return 0;
}

int client_archived(struct client *c, const char *txid, struct failure *failure)
{
	_cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
	int r = new_call(c, "Archived", &m, failure);

	if (r < 0)
		return r;
	r = sd_bus_message_append(m, "s", txid);
	if (r < 0)
		return failure_set_errno(failure, r, "Archived");
	return call(c, m, "Archived", &reply, failure);
}

int client_install(struct client *c, int metadata_fd, int file_fd, const char *target,
		   const char *txid, const char *share, struct failure *failure)
{
	_cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
	int r = new_call(c, "Install", &m, failure);

	if (r < 0)
		return r;
	r = sd_bus_message_append(m, "hhsss", metadata_fd, file_fd, target, txid, share);
	if (r < 0)
		return failure_set_errno(failure, r, "Install");
	return call(c, m, "Install", &reply, failure);
}

static int call_for_txid(struct client *c, sd_bus_message *m, const char *member, char **ret_txid,
			 struct failure *failure)
{
	_cleanup_message_ sd_bus_message *reply = NULL;
	const char *txid;
	char *copy;
	int r = call(c, m, member, &reply, failure);

	if (r < 0)
		return r;
	if (sd_bus_message_read(reply, "s", &txid) < 0)
		return bad_answer(member, failure);
	copy = strdup(txid);
	if (!copy)
		return failure_set_errno(failure, -ENOMEM, "%s", member);
	*ret_txid = copy;
	return 0;
}

int client_rollback(struct client *c, char program, char **ret_txid, struct failure *failure)
{
	_cleanup_message_ sd_bus_message *m = NULL;
	const char letter[2] = { program, '\0' };
	int r = new_call(c, "Rollback", &m, failure);

	if (r < 0)
		return r;
	r = sd_bus_message_append(m, "s", letter);
	if (r < 0)
		return failure_set_errno(failure, r, "Rollback");
	return call_for_txid(c, m, "Rollback", ret_txid, failure);
}

int client_rollback_with(struct client *c, int metadata_fd, int file_fd, const char *target,
			 const char *share, char **ret_txid, struct failure *failure)
{
	_cleanup_message_ sd_bus_message *m = NULL;
	int r = new_call(c, "RollbackWith", &m, failure);

	if (r < 0)
		return r;
	r = sd_bus_message_append(m, "hhss", metadata_fd, file_fd, target, share);
	if (r < 0)
		return failure_set_errno(failure, r, "RollbackWith");
	return call_for_txid(c, m, "RollbackWith", ret_txid, failure);
}

/* ---- backups ---- */

static int take_backup(const char *version, const char *where, const char *tar_sha256,
		       int64_t told_sec, struct client_backup *ret)
{
	uint8_t sha256[SHA256_BYTES];

	if (version_parse(version, &ret->version) < 0 ||
	    hex_decode(tar_sha256, sha256, sizeof sha256) < 0)
		return -EPROTO;
	hex_encode(sha256, sizeof sha256, ret->tar_sha256);
	ret->is_here = strcmp(where, "server") != 0;
	ret->told_sec = told_sec;
	return 0;
}

static int read_backups(sd_bus_message *reply, struct client_backup *list)
{
	const char *version, *where, *tar_sha256;
	int64_t told_sec;
	int n = 0, r;

	r = sd_bus_message_enter_container(reply, 'a', "(sssx)");
	while (r >= 0 && (r = sd_bus_message_read(reply, "(sssx)", &version, &where, &tar_sha256,
						  &told_sec)) > 0) {
		if (n == CLIENT_MAX_BACKUPS)
			return n;
		r = take_backup(version, where, tar_sha256, told_sec, &list[n++]);
	}
	return r < 0 ? r : n;
}

int client_backups(struct client *c, struct client_backup **ret, struct failure *failure)
{
	_cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
	_cleanup_free_ struct client_backup *list = calloc(CLIENT_MAX_BACKUPS, sizeof *list);
	int n, r;

	if (!list)
		return failure_set_errno(failure, -ENOMEM, "Backups");
	r = new_call(c, "Backups", &m, failure);
	if (r >= 0)
		r = call(c, m, "Backups", &reply, failure);
	if (r < 0)
		return r;
	n = read_backups(reply, list);
	if (n < 0)
		return bad_answer("Backups", failure);
	*ret = TAKE_PTR(list);
	return n;
}

int client_backup(struct client *c, const struct version *version, struct failure *failure)
{
	_cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
	int fd, copy, r = new_call(c, "Backup", &m, failure);

	if (r < 0)
		return r;
	r = sd_bus_message_append(m, "s", version->text);
	if (r < 0)
		return failure_set_errno(failure, r, "Backup");
	r = call(c, m, "Backup", &reply, failure);
	if (r < 0)
		return r;
	if (sd_bus_message_read(reply, "h", &fd) < 0)
		return bad_answer("Backup", failure);
	/* That one is the message's. */
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return copy < 0 ? failure_set_errno(failure, -errno, "Backup") : copy;
}

int client_backup_held(struct client *c, const struct version *version, const char *tar_sha256,
		       struct failure *failure)
{
	_cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
	int r = new_call(c, "BackupHeld", &m, failure);

	if (r < 0)
		return r;
	r = sd_bus_message_append(m, "ss", version->text, tar_sha256);
	if (r < 0)
		return failure_set_errno(failure, r, "BackupHeld");
	return call(c, m, "BackupHeld", &reply, failure);
}

int client_put_back(struct client *c, const struct version *version, int fd,
		    struct failure *failure)
{
	_cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
	int r = new_call(c, "PutBack", &m, failure);

	if (r < 0)
		return r;
	r = sd_bus_message_append(m, "sh", version->text, fd);
	if (r < 0)
		return failure_set_errno(failure, r, "PutBack");
	return call(c, m, "PutBack", &reply, failure);
}

/* ---- the installer on trial ---- */

static int prove_by(sd_bus *bus, int metadata_fd, char **ret_status, struct failure *failure)
{
	_cleanup_bus_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_message_ sd_bus_message *reply = NULL;
	const char *status;
	char *copy;
	int r;

	r = sd_bus_call_method(bus, TRIAL_BUS_NAME, TRIAL_BUS_PATH, TRIAL_BUS_IFACE, "Prove",
			       &error, &reply, "h", metadata_fd);
	if (r < 0)
		return judge_error("Prove", r, &error, failure);
	if (sd_bus_message_read(reply, "s", &status) < 0)
		return bad_answer("Prove", failure);
	copy = strdup(status);
	if (!copy)
		return failure_set_errno(failure, -ENOMEM, "Prove");
	*ret_status = copy;
	return 0;
}

int client_prove(int metadata_fd, char **ret_status, struct failure *failure)
{
	sd_bus *bus = NULL;
	int r;

	r = sd_bus_open_system(&bus);
	if (r >= 0)
		r = sd_bus_set_method_call_timeout(bus, CALL_USEC);
	if (r < 0)
		r = failure_set(failure, -ECONNREFUSED, REASON_IO, "system bus: %s", strerror(-r));
	else
		r = prove_by(bus, metadata_fd, ret_status, failure);
	(void)sd_bus_flush_close_unref(bus);
	return r;
}

/* ---- following a transaction ---- */

static bool has_txid(const cJSON *result, const char *txid)
{
	const char *text;

	return json_get_string(result, "txid", &text, NULL) >= 0 && strcmp(text, txid) == 0;
}

/* The transaction that Status tells of is this one. */
static bool is_under_way(const cJSON *status, const char *txid)
{
	const cJSON *transaction;

	return json_get_object(status, "transaction", &transaction, NULL) >= 0 &&
	       has_txid(transaction, txid);
}

/* Signals may have been lost with the installer that sent them: its journal has not. */
static int ask_for_result(struct client *c, const char *txid, struct failure *failure)
{
	_cleanup_json_ cJSON *results = NULL, *status = NULL;
	cJSON *result;
	int r;

	r = client_status(c, &status, failure);
	if (r < 0)
		return r;
	if (is_under_way(status, txid))
		return 0;
	r = client_history(c, 16, &results, failure);
	if (r < 0)
		return r;
	for (int i = cJSON_GetArraySize(results) - 1; i >= 0; i--) {
		if (!has_txid(cJSON_GetArrayItem(results, i), txid))
			continue;
		result = cJSON_DetachItemFromArray(results, i);
		cJSON_Delete(c->result);
		c->result = result;
		return 0;
	}
	return failure_set(failure, -EPROTO, REASON_INTERNAL,
			   "the installer knows nothing of transaction %s", txid);
}

bool client_knows(struct client *c, const char *txid)
{
	struct failure ignored;

	return ask_for_result(c, txid, &ignored) >= 0;
}

/* Deals with what has arrived, then waits for more. 0 after silence, 1 if something came. */
static int wait_for_signal(struct client *c, uint64_t deadline_usec)
{
	uint64_t until = clock_now_usec(CLOCK_BOOTTIME) + SILENCE_USEC;

	c->heard = false;
	if (until > deadline_usec)
		until = deadline_usec;
	for (;;) {
		uint64_t now;
		int r = sd_bus_process(c->bus, NULL);

		if (r < 0)
			return r;
		if (c->result || c->heard || c->owner_lost)
			return 1;
		if (r > 0)
			continue;
		now = clock_now_usec(CLOCK_BOOTTIME);
		if (now >= until)
			return 0;
		r = sd_bus_wait(c->bus, until - now);
		if (r < 0 && r != -EINTR)
			return r;
	}
}

static int follow(struct client *c, const char *txid, uint64_t limit_sec, struct failure *failure)
{
	uint64_t deadline_usec = clock_now_usec(CLOCK_BOOTTIME) + limit_sec * 1000000;
	unsigned unanswered = 0;

	while (!c->result) {
		int r = wait_for_signal(c, deadline_usec);

		if (r < 0)
			return failure_set(failure, -ECONNREFUSED, REASON_IO, "system bus: %s",
					   strerror(-r));
		if (c->result)
			break;
		if (clock_now_usec(CLOCK_BOOTTIME) >= deadline_usec)
			return failure_set(failure, -ETIMEDOUT, REASON_INTERNAL,
					   "the installer has not finished after %ju seconds",
					   (uintmax_t)limit_sec);
		if (r > 0 && !c->owner_lost)
			continue;
		c->owner_lost = false;
		r = ask_for_result(c, txid, failure);
		if (r < 0 && (r != -ECONNREFUSED || ++unanswered == UNANSWERED_MAX))
			return r;
		if (r >= 0)
			unanswered = 0;
	}
	return 0;
}

int client_follow(struct client *c, const char *txid, uint64_t limit_sec,
		  client_progress_fn progress, void *userdata, cJSON **ret, struct failure *failure)
{
	int r;

	(void)snprintf(c->txid, sizeof c->txid, "%s", txid);
	c->progress = progress;
	c->userdata = userdata;
	c->owner_lost = false;
	cJSON_Delete(TAKE_PTR(c->result));
	r = follow(c, txid, limit_sec, failure);
	c->txid[0] = '\0';
	c->progress = NULL;
	if (r >= 0)
		*ret = TAKE_PTR(c->result);
	return r;
}

/* ---- reading a Status ---- */

static int find_program(const cJSON *status, char program, const cJSON **ret)
{
	const char letter[2] = { program, '\0' };
	const cJSON *programs;
	int r = json_get_object(status, "programs", &programs, NULL);

	return r < 0 ? r : json_get_object(programs, letter, ret, NULL);
}

int client_status_current(const cJSON *status, char program, struct version *ret)
{
	const cJSON *object;
	const char *current;

	if (find_program(status, program, &object) < 0 ||
	    json_get_string(object, "current", &current, NULL) < 0)
		return -ENOENT;
	return version_parse(current, ret) < 0 ? -ENOENT : 0;
}

bool client_status_is_quarantined(const cJSON *status, const struct version *version)
{
	const cJSON *object, *list, *item;

	if (find_program(status, version->program, &object) < 0 ||
	    json_get_array(object, "quarantined", &list, NULL) < 0)
		return false;
	cJSON_ArrayForEach (item, list)
		if (cJSON_IsString(item) && strcmp(item->valuestring, version->text) == 0)
			return true;
	return false;
}

/* "held": the time at which that ends, or "forever"; what is not understood holds as well. */
bool client_status_is_held(const cJSON *status, char program, int64_t now_sec)
{
	const cJSON *object, *held;
	uint64_t until_sec;

	if (find_program(status, program, &object) < 0)
		return false;
	held = cJSON_GetObjectItemCaseSensitive(object, "held");
	if (!held)
		return false;
	if (json_get_u64(object, "held", INT64_MAX >> 10, &until_sec, NULL) < 0)
		return true;
	return (int64_t)until_sec > now_sec;
}
