/* SPDX-License-Identifier: Apache-2.0 */
/* The D-Bus interface org.bmsgateway.Updater1 (docs/PROTOCOL.md). */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"
#include "updaterd/backup_bus.h"
#include "updaterd/caller.h"
#include "updaterd/exit_codes.h"
#include "updaterd/installer.h"
#include "updaterd/record.h"
#include "updaterd/recover.h"
#include "updaterd/release_version.h"
#include "updaterd/status.h"
#include "updaterd/systemd.h"
#include "updaterd/updater_trial.h"
#include "updaterd/worker.h"

#define ERROR_BUSY     UPDATER_BUS_IFACE ".Error.Busy"
#define ERROR_REFUSED  UPDATER_BUS_IFACE ".Error.Refused"
#define IDLE_USEC      UINT64_C(30000000)
#define MAX_HISTORY    RESULT_HISTORY_LINES
#define MAX_SHARE_SIZE (16u << 10)
/* What is told to stop ends its attempt first. After this there are still 90 seconds of TimeoutStopSec= for
 * the way back. */
#define GRACE_USEC     UINT64_C(90000000)

struct server {
	const struct conf *conf;
	sd_bus *bus;
	sd_event *event;
	sd_event_source *idle, *grace;
	bool is_leaving; /* SIGTERM came: the end of the attempt is waited for */

	/* The attempt under way; worker is NULL if there is none. */
	struct worker *worker;
	struct worker_events events;
	struct transaction_request request;
	sd_bus_message *call; /* answered when the attempt is recorded */
	bool is_recorded;
	bool is_recovering;
	enum step step;
	unsigned percent;
};

/* ---- leaving when idle ---- */

static void rearm_idle(struct server *server)
{
	(void)sd_event_source_set_time_relative(server->idle, IDLE_USEC);
	(void)sd_event_source_set_enabled(server->idle, SD_EVENT_ONESHOT);
}

/* Calls that came while the name was given up are still answered; one that began an attempt makes us
 * stay. */
static void leave_if_idle(struct server *server)
{
	if (server->worker)
		return;
	(void)sd_notify(0, "STOPPING=1");
	(void)sd_bus_release_name(server->bus, UPDATER_BUS_NAME);
	while (sd_bus_process(server->bus, NULL) > 0)
		;
	if (server->worker) {
		(void)sd_bus_request_name(server->bus, UPDATER_BUS_NAME, 0);
		return;
	}
	(void)sd_event_exit(server->event, EXIT_OK);
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	leave_if_idle(userdata);
	return 0;
}

static bool is_on_trial(const struct server *server)
{
	return server->worker && !server->is_recovering && !server->request.is_rollback &&
	       server->request.program == CONF_OWN_LETTER &&
	       (server->step == STEP_PROBE || server->step == STEP_WAIT);
}

static int on_grace_over(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct server *server = userdata;

	(void)source;
	(void)usec;
	if (server->worker)
		worker_call_off(server->worker, REASON_INTERRUPTED);
	return 0;
}

/* A trial of A can last for a day. In a machine that goes down nothing can be on trial, nor where that cannot
 * be found out. Neither is held against the release. */
static bool may_end_by_itself(struct server *server)
{
	if (is_on_trial(server) || systemd_is_stopping(server->bus) != 0)
		return false;
	return server->grace ||
	       sd_event_add_time_relative(server->event, &server->grace, CLOCK_MONOTONIC,
					  GRACE_USEC, 0, on_grace_over, server) >= 0;
}

static int on_sigterm(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct server *server = userdata;

	(void)source;
	(void)info;
	server->is_leaving = true;
	if (server->worker && !may_end_by_itself(server))
		worker_call_off(server->worker, REASON_INTERRUPTED);
	leave_if_idle(server);
	return 0;
}

static int on_any_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)m;
	(void)error;
	rearm_idle(userdata);
	return 0;
}

/* ---- the attempt under way ---- */

static void emit_busy(struct server *server)
{
	(void)sd_bus_emit_properties_changed(server->bus, UPDATER_BUS_PATH, UPDATER_BUS_IFACE,
					     "Busy", NULL);
}

static void emit_progress(struct server *server)
{
	const char letter[2] = { server->request.program, '\0' };

	(void)sd_bus_emit_signal(server->bus, UPDATER_BUS_PATH, UPDATER_BUS_IFACE, "Progress",
				 "sssu", server->request.txid, letter, step_name(server->step),
				 server->percent);
}

static void emit_finished(struct server *server)
{
	_cleanup_(state_closep) struct state *s = NULL;
	_cleanup_free_ char *json = NULL;
	_cleanup_json_ cJSON *result = NULL;
	const char *outcome = outcome_name(OUTCOME_FAILED);

	if (state_open(server->conf, STATE_READ, &s) < 0 ||
	    record_find(s, server->request.txid, &json) < 0 ||
	    json_parse(json, strlen(json), NULL, &result, NULL) < 0 ||
	    json_get_string(result, "outcome", &outcome, NULL) < 0) {
		log_error("attempt '%s' has no result", server->request.txid);
		return;
	}
	(void)sd_bus_emit_signal(server->bus, UPDATER_BUS_PATH, UPDATER_BUS_IFACE, "Finished",
				 "sss", server->request.txid, outcome, json);
}

static void answer_call(struct server *server)
{
	if (!server->call)
		return;
	if (server->request.is_rollback)
		(void)sd_bus_reply_method_return(server->call, "s", server->request.txid);
	else
		(void)sd_bus_reply_method_return(server->call, NULL);
	server->call = sd_bus_message_unref(server->call);
}

static void on_recorded(void *userdata)
{
	struct server *server = userdata;

	server->is_recorded = true;
	answer_call(server);
}

static void on_progress(void *userdata, enum step step, unsigned percent)
{
	struct server *server = userdata;

	/* What comes again is a sign of life. */
	if (step == server->step && percent == server->percent && step != STEP_WAIT)
		return;
	server->step = step;
	server->percent = percent;
	emit_progress(server);
}

static void on_refused(void *userdata, const struct failure *failure)
{
	struct server *server = userdata;

	if (!server->call)
		return;
	if (failure->reason == REASON_BUSY)
		(void)sd_bus_reply_method_errorf(server->call, ERROR_BUSY, "%s", failure->text);
	else
		(void)sd_bus_reply_method_errorf(server->call, ERROR_REFUSED, "%s: %s",
						 reason_name(failure->reason), failure->text);
	server->call = sd_bus_message_unref(server->call);
}

static int start_recovery(struct server *server)
{
	server->is_recovering = true;
	return worker_start(server->event, server->conf, NULL, sd_bus_get_fd(server->bus),
			    &server->events, &server->worker);
}

static void on_ended(void *userdata, bool is_good)
{
	struct server *server = userdata;
	const struct failure died = { .reason = REASON_INTERNAL, .text = "the worker died" };

	server->worker = worker_free(server->worker);
	on_refused(server, &died);
	if (!is_good && server->is_recorded && !server->is_recovering) {
		log_error("attempt '%s' was cut; recovering", server->request.txid);
		if (start_recovery(server) == 0)
			return;
		log_error("cannot start the recovery of '%s'", server->request.txid);
	}
	if (server->is_recorded)
		emit_finished(server);
	emit_busy(server);
	rearm_idle(server);
	/* The next call is for the updater that is `current` now. */
	if (server->is_leaving || server->request.program == CONF_OWN_LETTER)
		leave_if_idle(server);
}

/* The call is answered when the worker has recorded the attempt, or refused it. */
static int start_attempt(struct server *server, sd_bus_message *m,
			 const struct transaction_request *request, sd_bus_error *error)
{
	int r;

	if (server->worker)
		return sd_bus_error_setf(error, ERROR_BUSY, "attempt %s is under way",
					 server->request.txid);
	if (server->is_leaving)
		return sd_bus_error_setf(error, ERROR_BUSY, "the installer is being stopped");
	server->request = *request;
	server->is_recorded = false;
	server->is_recovering = false;
	server->step = STEP_NONE;
	server->percent = 0;
	r = worker_start(server->event, server->conf, request, sd_bus_get_fd(server->bus),
			 &server->events, &server->worker);
	if (r < 0)
		return sd_bus_error_set_errno(error, r);
	server->call = sd_bus_message_ref(m);
	/* Descriptors and strings of the message were the worker's. */
	server->request.metadata_fd = server->request.program_fd = -1;
	server->request.target = NULL;
	emit_busy(server);
	return 1;
}

/* ---- methods ---- */

static int check_descriptors(int metadata_fd, int program_fd, sd_bus_error *error)
{
	struct stat st;

	if (fstat(metadata_fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
					 "the metadata is no directory");
	if (fstat(program_fd, &st) < 0 || !S_ISREG(st.st_mode))
		return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
					 "the program file is no regular file");
	return 0;
}

static int check_install(struct transaction_request *request, const char *txid, const char *share,
			 sd_bus_error *error)
{
	_cleanup_free_ char *sentence = NULL;
	const char *target = request->target;

	if (!txid_is_valid(txid))
		return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "txid: not a UUID");
	if (!fs_is_safe_path(target) || target[0] < 'A' || target[0] > 'Z' || target[1] != '/')
		return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
					 "target: not the path of a program file");
	if (strlen(share) > MAX_SHARE_SIZE ||
	    result_share_parse(share, &request->share, &sentence) < 0)
		return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "the agent's share: %s",
					 sentence ? sentence : "too long");
	memcpy(request->txid, txid, sizeof request->txid);
	request->program = target[0];
	return check_descriptors(request->metadata_fd, request->program_fd, error);
}

static int method_install(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct transaction_request request = { 0 };
	struct server *server = userdata;
	const char *txid, *share;
	int r;

	r = caller_check_agent(server->conf, m, error);
	if (r < 0)
		return r;
	r = sd_bus_message_read(m, "hhsss", &request.metadata_fd, &request.program_fd,
				&request.target, &txid, &share);
	if (r < 0)
		return r;
	r = check_install(&request, txid, share, error);
	return r < 0 ? r : start_attempt(server, m, &request, error);
}

/* The way out of a trial is its end; that attempt is the answer. Nor does a person who wants another program
 * back wait for the world to come back: that trial is for another night. */
static int end_trial_for(struct server *server, sd_bus_message *m,
			 const struct transaction_request *request, sd_bus_error *error)
{
	if (request->program == server->request.program) {
		worker_call_off(server->worker, REASON_OPERATOR);
		return sd_bus_reply_method_return(m, "s", server->request.txid);
	}
	worker_call_off(server->worker, REASON_INTERRUPTED);
	return sd_bus_error_setf(error, ERROR_BUSY,
				 "the trial of program %c is being ended for this; ask again",
				 server->request.program);
}

static int method_rollback(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct transaction_request request = { .is_rollback = true,
					       .metadata_fd = -1,
					       .program_fd = -1 };
	struct server *server = userdata;
	const char *program;
	int r;

	r = caller_check_root(m, error);
	if (r < 0)
		return r;
	r = sd_bus_message_read(m, "s", &program);
	if (r < 0)
		return r;
	if (strlen(program) != 1 || *program < 'A' || *program > 'Z')
		return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
					 "not the letter of a program");
	r = txid_new(request.txid);
	if (r < 0)
		return sd_bus_error_set_errno(error, r);
	request.program = *program;
	if (is_on_trial(server) && conf_program(server->conf, request.program))
		return end_trial_for(server, m, &request, error);
	return start_attempt(server, m, &request, error);
}

/* The same, where what was kept is damaged and its file has been fetched. */
static int method_rollback_with(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct transaction_request request = { .is_rollback = true };
	struct server *server = userdata;
	char txid[TXID_LENGTH + 1];
	const char *share;
	int r;

	r = caller_check_root(m, error);
	if (r < 0)
		return r;
	r = sd_bus_message_read(m, "hhss", &request.metadata_fd, &request.program_fd,
				&request.target, &share);
	if (r < 0)
		return r;
	r = txid_new(txid);
	if (r < 0)
		return sd_bus_error_set_errno(error, r);
	r = check_install(&request, txid, share, error);
	return r < 0 ? r : start_attempt(server, m, &request, error);
}

static int method_status(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct server *server = userdata;
	const struct status_transaction under_way = {
		.txid = server->request.txid,
		.program = server->request.program,
		.kind = server->request.is_rollback ? RESULT_KIND_ROLLBACK : RESULT_KIND_UPGRADE,
		.step = step_name(server->step),
		.percent = server->percent,
	};
	_cleanup_free_ char *json = NULL;
	int r;

	(void)error;
	r = status_format(server->conf, server->worker ? &under_way : NULL, &json);
	return r < 0 ? r : sd_bus_reply_method_return(m, "s", json);
}

static int method_history(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_(state_closep) struct state *s = NULL;
	_cleanup_free_ char *json = NULL;
	struct server *server = userdata;
	uint32_t n;
	int r;

	(void)error;
	r = sd_bus_message_read(m, "u", &n);
	if (r < 0)
		return r;
	r = state_open(server->conf, STATE_READ, &s);
	if (r == -ENOENT)
		return sd_bus_reply_method_return(m, "s", "[]");
	if (r >= 0)
		r = result_history(s->dirfd, n < MAX_HISTORY ? n : MAX_HISTORY, &json);
	return r < 0 ? r : sd_bus_reply_method_return(m, "s", json);
}

static int reply_strings(sd_bus_message *m, char **strings)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int r;

	r = sd_bus_message_new_method_return(m, &reply);
	if (r >= 0)
		r = sd_bus_message_append_strv(reply, strings);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_results(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_(result_list_freep) char **results = NULL;
	_cleanup_(state_closep) struct state *s = NULL;
	struct server *server = userdata;
	int r;

	r = caller_check_agent(server->conf, m, error);
	if (r < 0)
		return r;
	r = state_open(server->conf, STATE_READ, &s);
	if (r == 0)
		r = result_list(s->dirfd, &results);
	if (r < 0 && r != -ENOENT)
		return r;
	return reply_strings(m, results);
}

static int method_archived(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct server *server = userdata;
	const char *txid;
	int r;

	r = caller_check_agent(server->conf, m, error);
	if (r < 0)
		return r;
	r = sd_bus_message_read(m, "s", &txid);
	if (r < 0)
		return r;
	r = state_open(server->conf, STATE_READ, &s);
	if (r == 0)
		r = result_archived(s->dirfd, txid);
	if (r == -EINVAL)
		return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "txid: not a UUID");
	if (r < 0 && r != -ENOENT)
		return r;
	return sd_bus_reply_method_return(m, NULL);
}

static int get_version(sd_bus *bus, const char *path, const char *interface, const char *property,
		       sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	(void)bus, (void)path, (void)interface, (void)property, (void)userdata, (void)error;
	return sd_bus_message_append(reply, "s", updaterd_release_version);
}

static int get_busy(sd_bus *bus, const char *path, const char *interface, const char *property,
		    sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	const struct server *server = userdata;

	(void)bus, (void)path, (void)interface, (void)property, (void)error;
	return sd_bus_message_append(reply, "b", server->worker != NULL);
}

/* Unprivileged for sd-bus: who may what is decided by the policy and updaterd/caller.h. */
#define METHOD(name, in, out, handler)                                                             \
	SD_BUS_METHOD(name, in, out, handler, SD_BUS_VTABLE_UNPRIVILEGED)

#define METHOD_OF_CONF(name, in, out, handler)                                                     \
	SD_BUS_METHOD_WITH_OFFSET(name, in, out, handler, offsetof(struct server, conf),           \
				  SD_BUS_VTABLE_UNPRIVILEGED)

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	METHOD("Install", "hhsss", "", method_install),
	METHOD("Rollback", "s", "s", method_rollback),
	METHOD("RollbackWith", "hhss", "s", method_rollback_with),
	METHOD("Status", "", "s", method_status),
	METHOD("History", "u", "s", method_history),
	METHOD("Results", "", "as", method_results),
	METHOD("Archived", "s", "", method_archived),
	METHOD_OF_CONF("Backups", "", "a(sssx)", backup_bus_backups),
	METHOD_OF_CONF("Backup", "s", "h", backup_bus_backup),
	METHOD_OF_CONF("BackupHeld", "ss", "", backup_bus_held),
	METHOD_OF_CONF("PutBack", "sh", "", backup_bus_put_back),
	SD_BUS_SIGNAL("Progress", "sssu", 0),
	SD_BUS_SIGNAL("Finished", "sss", 0),
	SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Busy", "b", get_busy, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_VTABLE_END
};

/* ---- serving ---- */

/* Before anybody can call: what they see then is in order. */
static void recover_first(const struct conf *conf)
{
	_cleanup_(systemd_freep) struct systemd *systemd = NULL;
	_cleanup_(state_closep) struct state *s = NULL;
	int r;

	r = systemd_new(&systemd);
	if (r == 0)
		r = state_open(conf, STATE_WAIT, &s);
	if (r == 0) {
		updater_trial_stop_left(s, systemd_service(systemd));
		r = recover(s, systemd_service(systemd), false);
	}
	if (r < 0)
		log_error("cannot bring '%s' in order: %s", conf->installer_dir, strerror(-r));
}

static int open_bus(struct server *server)
{
	int r;

	r = sd_bus_open_system(&server->bus);
	if (r >= 0)
		r = sd_bus_add_object_vtable(server->bus, NULL, UPDATER_BUS_PATH, UPDATER_BUS_IFACE,
					     vtable, server);
	if (r >= 0)
		r = sd_bus_add_filter(server->bus, NULL, on_any_message, server);
	if (r >= 0)
		r = sd_bus_attach_event(server->bus, server->event, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = sd_bus_request_name(server->bus, UPDATER_BUS_NAME, 0);
	return r;
}

static int open_server(struct server *server)
{
	sigset_t blocked;
	int r;

	(void)sigemptyset(&blocked);
	(void)sigaddset(&blocked, SIGCHLD);
	(void)sigaddset(&blocked, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &blocked, NULL) < 0)
		return -errno;
	r = sd_event_new(&server->event);
	if (r >= 0)
		r = sd_event_add_signal(server->event, NULL, SIGTERM, on_sigterm, server);
	if (r >= 0)
		r = sd_event_add_time_relative(server->event, &server->idle, CLOCK_MONOTONIC,
					       IDLE_USEC, 0, on_idle, server);
	return r < 0 ? r : open_bus(server);
}

static void server_done(struct server *server)
{
	(void)worker_free(server->worker);
	(void)sd_bus_message_unref(server->call);
	(void)sd_bus_flush_close_unref(server->bus);
	(void)sd_event_source_unref(server->idle);
	(void)sd_event_source_unref(server->grace);
	(void)sd_event_unref(server->event);
}

int installer_serve(const struct conf *conf)
{
	_cleanup_(server_done) struct server server = { .conf = conf };
	int r;

	if (geteuid() != 0) {
		log_error("the installer runs as root only");
		return EXIT_NOT_PERMITTED;
	}
	server.events = (struct worker_events){ .recorded = on_recorded,
						.progress = on_progress,
						.refused = on_refused,
						.ended = on_ended,
						.userdata = &server };
	recover_first(conf);
	r = open_server(&server);
	if (r >= 0)
		r = sd_event_loop(server.event);
	if (r < 0) {
		log_error("cannot serve %s: %s", UPDATER_BUS_NAME, strerror(-r));
		return EXIT_FAILED;
	}
	return r;
}
