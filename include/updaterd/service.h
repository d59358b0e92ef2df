/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's unit and its probe, behind a table so that a test can play them. The real ones talk
 * to systemd by sd-bus.
 */
#ifndef UPDATERD_SERVICE_H
#define UPDATERD_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "updaterd/failure.h"

#define PROBE_MAX_OUTPUT_BYTES (64u << 10)

/* A restart on the monotonic clock, and what the unit looked like when it was READY. */
struct service_start {
	uint64_t down_at_msec;	/* the old main process was gone (or the restart was asked for) */
	uint64_t ready_at_msec; /* 0: it never was READY */
	pid_t main_pid;
	uint32_t n_restarts;
};

enum probe_phase { PROBE_BEFORE, PROBE_AFTER };

/* Exit codes of the probe (docs/PROTOCOL.md). */
enum probe_verdict {
	PROBE_GOOD = 0,
	PROBE_NOT_YET = 1,
	PROBE_BAD = 2,
	PROBE_NOT_NOW = 3,
	PROBE_WRONG_VERSION = 4,
	PROBE_NO_ANSWER = -1, /* killed, timed out, or an exit code of no meaning */
};

struct probe_request {
	const char *command; /* as configured */
	const char *user;
	const char *release; /* what {release} stands for */
	char program;
	enum probe_phase phase;
	const char *version;  /* expected to run */
	const char *baseline; /* given on standard input; NULL: none */
};

struct probe_answer {
	enum probe_verdict verdict;
	char output[PROBE_MAX_OUTPUT_BYTES + 1]; /* NUL-terminated */
	size_t output_size;
};

/* A unit that runs to its end (Type=oneshot). */
struct service_job {
	const char *unit;
	uint64_t timeout_sec;
	/* Asked every second, unless NULL: true stops the unit. */
	bool (*is_called_off)(void *userdata);
	void *userdata;
};

/* How it ended. */
struct service_end {
	bool is_late;	/* the time was over, and it was stopped */
	bool is_exited; /* by itself, with an exit code; else by a signal */
	int status; /* exit code or signal; 200 and more are systemd's: 203 could not be executed */
	char said[200]; /* its last STATUS=, one printable line; "" */
};

struct service_ops {
	/* Restarts the unit and waits until it is READY. -EIO with REASON_EXITED or REASON_NOT_READY
	 * if it does not become so within the time; *ret_start is filled either way. */
	int (*restart)(void *userdata, const char *unit, uint64_t ready_timeout_sec,
		       struct service_start *ret_start, struct failure *failure);
	/* 0 if it still runs as it did at *start, -EIO with REASON_CRASHED if not. */
	int (*check)(void *userdata, const char *unit, const struct service_start *start,
		     struct failure *failure);
	/* 1 if the unit is doing anything (not "inactive"), 0 if not. */
	int (*is_alive)(void *userdata, const char *unit);
	/* The whole machine is being shut down: what becomes of a unit then is not its release's doing. */
	bool (*is_going_down)(void *userdata);
	/* Runs the probe once. -EIO with REASON_PROBE_FAILED if it could not be run. */
	int (*probe)(void *userdata, const struct probe_request *request,
		     struct probe_answer *ret_answer, struct failure *failure);
	/* Runs a unit from its start to its end. -EIO with REASON_INTERNAL if systemd does not do that,
	 * -ECANCELED if it was called off. The unit does not run any more on return. */
	int (*run)(void *userdata, const struct service_job *job, struct service_end *ret,
		   struct failure *failure);
	/* Stops a unit, and waits for that. One that does not run is success. */
	int (*stop)(void *userdata, const char *unit);
	uint64_t (*now_msec)(void *userdata);
	void (*pause)(void *userdata, uint64_t msec);
};

struct service {
	const struct service_ops *ops;
	void *userdata;
};

struct systemd;
/* Connects to systemd over the system bus on first use, so this never fails for want of it. */
_must_check_ int systemd_new(struct systemd **ret);
struct systemd *systemd_free(struct systemd *s);
DEFINE_CLEANUP(struct systemd *, systemd_free);
/* The table over it; valid as long as s. */
struct service systemd_service(struct systemd *s);

#endif
