/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/systemd.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"

#define CALL_TIMEOUT_USEC UINT64_C(30000000)
#define MAX_POLL_MSEC	  60000u
/* How often it is asked whether a run is called off. */
#define LOOK_MSEC	  1000u
/* Longer than systemd waits by default before it kills. */
#define STOP_MAX_MSEC	  UINT64_C(120000)

int systemd_new(struct systemd **ret)
{
	struct systemd *s = calloc(1, sizeof *s);

	if (!s)
		return -ENOMEM;
	*ret = s;
	return 0;
}

struct systemd *systemd_free(struct systemd *s)
{
	if (s) {
		(void)sd_bus_flush_close_unref(s->bus);
		free(s->job);
		free(s);
	}
	return NULL;
}

uint64_t systemd_now_msec(void)
{
	return clock_now_msec(CLOCK_MONOTONIC);
}

/* ---- jobs ---- */

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *path, *unit, *result;
	struct systemd *s = userdata;
	uint32_t id;

	(void)error;
	if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) < 0)
		return 0;
	if (s->job && strcmp(path, s->job) == 0)
		(void)snprintf(s->job_result, sizeof s->job_result, "%s", result);
	return 0;
}

static int connect_anew(struct systemd *s)
{
	sd_bus *bus = NULL;
	int r;

	r = sd_bus_open_system(&bus);
	if (r < 0)
		return r;
	(void)sd_bus_set_method_call_timeout(bus, CALL_TIMEOUT_USEC);
	r = sd_bus_match_signal(bus, NULL, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER,
				"JobRemoved", on_job_removed, s);
	if (r >= 0)
		r = sd_bus_call_method(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER,
				       "Subscribe", NULL, NULL, NULL);
	if (r < 0) {
		(void)sd_bus_flush_close_unref(bus);
		return r;
	}
	s->bus = bus;
	return 0;
}

int systemd_connect(struct systemd *s)
{
	int r;

	if (s->bus && sd_bus_is_open(s->bus) > 0)
		return 0;
	/* A bus that was restarted meanwhile: the way back must find systemd again. */
	s->bus = sd_bus_flush_close_unref(s->bus);
	/* sd-bus lets go of what it waits for when the signal comes that calls an attempt off, as it does where
	 * the bus goes. */
	do
		r = connect_anew(s);
	while (r == -EINTR);
	return r;
}

int systemd_follow_job(struct systemd *s, sd_bus_message *reply)
{
	const char *job;
	char *copy;
	int r;

	r = sd_bus_message_read(reply, "o", &job);
	if (r < 0)
		return r;
	copy = strdup(job);
	if (!copy)
		return -ENOMEM;
	free(s->job);
	s->job = copy;
	s->job_result[0] = '\0';
	return 0;
}

/* Until the bus has nothing more to say. Its signals set what the caller looks at. */
static int process_all(struct systemd *s)
{
	int r;

	do
		r = sd_bus_process(s->bus, NULL);
	while (r > 0);
	return r;
}

int systemd_wait(struct systemd *s, const int fds[2], uint64_t deadline_msec, unsigned *ret_ready)
{
	struct pollfd polled[3] = { { .fd = fds[0], .events = POLLIN },
				    { .fd = fds[1], .events = POLLIN },
				    { .fd = -1 } };
	uint64_t now_msec = systemd_now_msec(), left_msec;
	bool had_result = s->job_result[0];
	int r;

	r = process_all(s);
	if (r < 0)
		return r;
	*ret_ready = 0;
	if (!had_result && s->job_result[0])
		return 0;
	polled[2].fd = sd_bus_get_fd(s->bus);
	r = sd_bus_get_events(s->bus);
	if (r < 0)
		return r;
	polled[2].events = (short)r;
	left_msec = deadline_msec > now_msec ? deadline_msec - now_msec : 0;
	if (left_msec > MAX_POLL_MSEC)
		left_msec = MAX_POLL_MSEC;
	r = poll(polled, ELEMENTSOF(polled), (int)left_msec);
	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	for (unsigned i = 0; i < 2; i++)
		if (polled[i].revents)
			*ret_ready |= 1u << i;
	return process_all(s);
}

/* ---- units ---- */

static int load_unit(struct systemd *s, const char *unit, char **ret_path)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	const char *path;
	int r;

	r = systemd_connect(s);
	if (r < 0)
		return r;
	r = sd_bus_call_method(s->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "LoadUnit",
			       NULL, &reply, "s", unit);
	if (r < 0)
		return r;
	r = sd_bus_message_read(reply, "o", &path);
	if (r < 0)
		return r;
	*ret_path = strdup(path);
	return *ret_path ? 0 : -ENOMEM;
}

/* All that is asked begins here, and so does what is asked of a bus that is new. */
int systemd_load_unit(struct systemd *s, const char *unit, char **ret_path)
{
	int r = load_unit(s, unit, ret_path);

	if (r < 0 && s->bus && sd_bus_is_open(s->bus) <= 0)
		r = load_unit(s, unit, ret_path);
	return r;
}

int systemd_get_u32(struct systemd *s, const char *path, const char *interface,
		    const char *property, char type, uint32_t *ret)
{
	return sd_bus_get_property_trivial(s->bus, SYSTEMD_NAME, path, interface, property, NULL,
					   type, ret);
}

int systemd_get_string(struct systemd *s, const char *path, const char *interface,
		       const char *property, char **ret)
{
	return sd_bus_get_property_string(s->bus, SYSTEMD_NAME, path, interface, property, NULL,
					  ret);
}

static int read_mark(struct systemd *s, const char *path, struct service_start *start)
{
	uint32_t pid = 0;
	int r;

	r = systemd_get_u32(s, path, SYSTEMD_SERVICE, "MainPID", 'u', &pid);
	if (r < 0)
		return r;
	start->main_pid = (pid_t)pid;
	return systemd_get_u32(s, path, SYSTEMD_SERVICE, "NRestarts", 'u', &start->n_restarts);
}

/* ---- restart ---- */

/* A descriptor that becomes readable when the process ends; negative if there is none. */
static int open_pid(pid_t pid)
{
	return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

static int ask_restart(struct systemd *s, const char *unit)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int r;

	/* Restarts of a bad release must not use up the start limit of the good one. */
	(void)sd_bus_call_method(s->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER,
				 "ResetFailedUnit", NULL, NULL, "s", unit);
	r = sd_bus_call_method(s->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "RestartUnit",
			       NULL, &reply, "ss", unit, "replace");
	return r < 0 ? r : systemd_follow_job(s, reply);
}

/* Until the job ends or the time is over, which begins when the old process is gone: how long that takes
 * to end is not the new one's fault. */
static int wait_restart(struct systemd *s, int pid_fd, uint64_t timeout_msec,
			struct service_start *start)
{
	uint64_t deadline_msec = start->down_at_msec + timeout_msec;
	bool is_gone = pid_fd < 0;

	if (!is_gone)
		deadline_msec += STOP_MAX_MSEC;
	while (!s->job_result[0] && systemd_now_msec() < deadline_msec) {
		const int fds[2] = { is_gone ? -1 : pid_fd, -1 };
		unsigned ready;
		int r;

		r = systemd_wait(s, fds, deadline_msec, &ready);
		if (r < 0)
			return r;
		if (ready & 1u) {
			is_gone = true;
			start->down_at_msec = systemd_now_msec();
			deadline_msec = start->down_at_msec + timeout_msec;
		}
	}
	return 0;
}

/* Why it did not become ready, as systemd has it. */
static int judge_failed_start(struct systemd *s, const char *path, const char *unit,
			      struct failure *failure)
{
	_cleanup_free_ char *result = NULL;

	if (!s->job_result[0])
		return failure_set(failure, -EIO, REASON_NOT_READY,
				   "'%s' was not ready within its time", unit);
	if (systemd_get_string(s, path, SYSTEMD_SERVICE, "Result", &result) < 0)
		return failure_set(failure, -EIO, REASON_NOT_READY, "'%s': start job: %s", unit,
				   s->job_result);
	if (strcmp(result, "timeout") == 0 || strcmp(result, "watchdog") == 0)
		return failure_set(failure, -EIO, REASON_NOT_READY, "'%s' did not become ready: %s",
				   unit, result);
	return failure_set(failure, -EIO, REASON_EXITED, "'%s' ended while it started: %s", unit,
			   result);
}

static int restart_unit(struct systemd *s, const char *unit, const char *path, uint64_t timeout_sec,
			struct service_start *start, struct failure *failure)
{
	_cleanup_close_ int pid_fd = FD_NONE;
	int r;

	pid_fd = open_pid(start->main_pid);
	start->down_at_msec = systemd_now_msec();
	r = ask_restart(s, unit);
	if (r < 0)
		return failure_set(failure, -EIO, REASON_INTERNAL, "cannot restart '%s': %s", unit,
				   strerror(-r));
	r = wait_restart(s, pid_fd, timeout_sec * 1000, start);
	if (r < 0)
		return failure_set(failure, -EIO, REASON_INTERNAL, "waiting for '%s': %s", unit,
				   strerror(-r));
	if (strcmp(s->job_result, "done") != 0)
		return judge_failed_start(s, path, unit, failure);
	start->ready_at_msec = systemd_now_msec();
	r = read_mark(s, path, start);
	if (r < 0)
		return failure_set(failure, -EIO, REASON_INTERNAL, "asking for '%s': %s", unit,
				   strerror(-r));
	return 0;
}

static int systemd_restart(void *userdata, const char *unit, uint64_t ready_timeout_sec,
			   struct service_start *ret_start, struct failure *failure)
{
	struct service_start start = { .down_at_msec = systemd_now_msec() };
	_cleanup_free_ char *path = NULL;
	struct systemd *s = userdata;
	int r;

	r = systemd_load_unit(s, unit, &path);
	if (r == 0)
		r = read_mark(s, path, &start);
	if (r < 0)
		r = failure_set(failure, -EIO, REASON_INTERNAL, "cannot ask systemd for '%s': %s",
				unit, strerror(-r));
	else
		r = restart_unit(s, unit, path, ready_timeout_sec, &start, failure);
	*ret_start = start;
	return r;
}

/* ---- a unit that runs to its end ---- */

static int call_for_unit(struct systemd *s, const char *method, const char *unit)
{
	return sd_bus_call_method(s->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, method, NULL,
				  NULL, "s", unit);
}

static int ask_job(struct systemd *s, const char *method, const char *unit)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int r;

	r = sd_bus_call_method(s->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, method, NULL,
			       &reply, "ss", unit, "replace");
	return r < 0 ? r : systemd_follow_job(s, reply);
}

/* 1 when the job has ended, 0 when the time is over; -ECANCELED. */
static int wait_job(struct systemd *s, uint64_t timeout_msec, const struct service_job *job)
{
	uint64_t deadline_msec = systemd_now_msec() + timeout_msec;
	const int no_fds[2] = { -1, -1 };

	while (!s->job_result[0]) {
		uint64_t now_msec = systemd_now_msec(), until_msec = now_msec + LOOK_MSEC;
		unsigned ready;
		int r;

		if (now_msec >= deadline_msec)
			return 0;
		if (job && job->is_called_off && job->is_called_off(job->userdata))
			return -ECANCELED;
		r = systemd_wait(s, no_fds, until_msec < deadline_msec ? until_msec : deadline_msec,
				 &ready);
		if (r < 0)
			return r;
	}
	return 1;
}

static int stop_unit(struct systemd *s, const char *unit)
{
	int r = ask_job(s, "StopUnit", unit);

	if (r >= 0)
		r = wait_job(s, STOP_MAX_MSEC, NULL);
	if (r < 0)
		return r;
	/* Else a unit that failed would be there for ever, and the machine be called degraded. */
	(void)call_for_unit(s, "ResetFailedUnit", unit);
	return r > 0 ? 0 : -ETIMEDOUT;
}

static int systemd_stop(void *userdata, const char *unit)
{
	_cleanup_free_ char *path = NULL;
	struct systemd *s = userdata;
	int r = systemd_load_unit(s, unit, &path);

	return r < 0 ? r : stop_unit(s, unit);
}

/* What a program says of itself is nobody's word but its own: one printable line of ASCII. */
static void take_status(char *ret, size_t size, const char *text)
{
	size_t n = 0;

	for (; text[n] && n + 1 < size; n++)
		ret[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
	ret[n] = '\0';
}

static int read_end(struct systemd *s, const char *path, struct service_end *ret)
{
	_cleanup_free_ char *said = NULL;
	uint32_t code = 0, status = 0;
	int r;

	r = systemd_get_u32(s, path, SYSTEMD_SERVICE, "ExecMainCode", 'i', &code);
	if (r >= 0)
		r = systemd_get_u32(s, path, SYSTEMD_SERVICE, "ExecMainStatus", 'i', &status);
	if (r >= 0)
		r = systemd_get_string(s, path, SYSTEMD_SERVICE, "StatusText", &said);
	if (r < 0)
		return r;
	/* No process at all: what its unit needs failed, or it was stopped by somebody. */
	if (code == 0 && strcmp(s->job_result, "done") != 0)
		return -ECHILD;
	ret->is_exited = code == CLD_EXITED;
	ret->status = (int)status;
	take_status(ret->said, sizeof ret->said, said);
	return 0;
}

/* Held, so that systemd still knows its end when it has ended. */
static int run_held_unit(struct systemd *s, const struct service_job *job, const char *path,
			 struct service_end *end)
{
	int r, waited;

	/* What a trial that was cut has left. */
	(void)!stop_unit(s, job->unit);
	r = ask_job(s, "StartUnit", job->unit);
	if (r < 0)
		return r;
	waited = wait_job(s, job->timeout_sec * 1000, job);
	end->is_late = waited == 0;
	if (waited > 0) {
		r = read_end(s, path, end);
	} else {
		_cleanup_free_ char *said = NULL;

		if (systemd_get_string(s, path, SYSTEMD_SERVICE, "StatusText", &said) >= 0)
			take_status(end->said, sizeof end->said, said);
	}
	(void)!stop_unit(s, job->unit);
	return waited < 0 ? waited : r;
}

static int systemd_run(void *userdata, const struct service_job *job, struct service_end *ret,
		       struct failure *failure)
{
	_cleanup_free_ char *path = NULL;
	struct service_end end = { 0 };
	struct systemd *s = userdata;
	int r;

	r = systemd_load_unit(s, job->unit, &path);
	if (r >= 0)
		r = call_for_unit(s, "RefUnit", job->unit);
	if (r >= 0) {
		r = run_held_unit(s, job, path, &end);
		(void)call_for_unit(s, "UnrefUnit", job->unit);
	}
	if (r == -ECANCELED)
		return failure_set(failure, r, REASON_OPERATOR, "'%s' was called off", job->unit);
	if (r < 0)
		return failure_set(failure, -EIO, REASON_INTERNAL, "cannot run '%s': %s", job->unit,
				   strerror(-r));
	*ret = end;
	return 0;
}

/* ---- watching ---- */

static int systemd_check(void *userdata, const char *unit, const struct service_start *start,
			 struct failure *failure)
{
	_cleanup_free_ char *path = NULL, *active = NULL;
	struct service_start now = { 0 };
	struct systemd *s = userdata;
	int r;

	r = systemd_load_unit(s, unit, &path);
	if (r == 0)
		r = systemd_get_string(s, path, SYSTEMD_UNIT, "ActiveState", &active);
	if (r >= 0)
		r = read_mark(s, path, &now);
	if (r < 0)
		return failure_set(failure, -EIO, REASON_INTERNAL, "asking for '%s': %s", unit,
				   strerror(-r));
	if (strcmp(active, "active") != 0 && strcmp(active, "reloading") != 0)
		return failure_set(failure, -EIO, REASON_CRASHED, "'%s' is %s after it was ready",
				   unit, active);
	if (now.main_pid != start->main_pid || now.n_restarts != start->n_restarts)
		return failure_set(failure, -EIO, REASON_CRASHED,
				   "'%s' was restarted after it was ready", unit);
	return 0;
}

static int systemd_is_alive(void *userdata, const char *unit)
{
	_cleanup_free_ char *path = NULL, *active = NULL;
	struct systemd *s = userdata;
	int r;

	r = systemd_load_unit(s, unit, &path);
	if (r < 0)
		return r;
	r = systemd_get_string(s, path, SYSTEMD_UNIT, "ActiveState", &active);
	return r < 0 ? r : strcmp(active, "inactive") != 0;
}

int systemd_is_stopping(sd_bus *bus)
{
	_cleanup_free_ char *state = NULL;
	int r;

	r = sd_bus_get_property_string(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER,
				       "SystemState", NULL, &state);
	return r < 0 ? r : strcmp(state, "stopping") == 0;
}

static bool service_is_going_down(void *userdata)
{
	struct systemd *s = userdata;

	return systemd_connect(s) == 0 && systemd_is_stopping(s->bus) > 0;
}

static uint64_t service_now_msec(void *userdata)
{
	(void)userdata;
	return systemd_now_msec();
}

static void service_pause(void *userdata, uint64_t msec)
{
	struct timespec pause = { .tv_sec = (time_t)(msec / 1000),
				  .tv_nsec = (long)(msec % 1000) * 1000000 };

	(void)userdata;
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, &pause) == EINTR)
		;
}

struct service systemd_service(struct systemd *s)
{
	static const struct service_ops ops = {
		.restart = systemd_restart,
		.check = systemd_check,
		.is_alive = systemd_is_alive,
		.is_going_down = service_is_going_down,
		.probe = probe_run,
		.run = systemd_run,
		.stop = systemd_stop,
		.now_msec = service_now_msec,
		.pause = service_pause,
	};

	return (struct service){ .ops = &ops, .userdata = s };
}
