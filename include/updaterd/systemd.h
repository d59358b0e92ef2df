/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to systemd that the real service_ops (updaterd/service.h) share: jobs and
 * properties of units by sd-bus. For systemd.c and probe.c.
 */
#ifndef UPDATERD_SYSTEMD_H
#define UPDATERD_SYSTEMD_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "common/cleanup.h"
#include "updaterd/service.h"

#define SYSTEMD_NAME	"org.freedesktop.systemd1"
#define SYSTEMD_PATH	"/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"
#define SYSTEMD_UNIT	"org.freedesktop.systemd1.Unit"
#define SYSTEMD_SERVICE "org.freedesktop.systemd1.Service"

struct systemd {
	sd_bus *bus;
	char *job;	     /* object path of the job that is waited for */
	char job_result[32]; /* "" until it was removed: "done", "failed", "timeout" … */
};

/* Connects if it is not connected (any more). */
_must_check_ int systemd_connect(struct systemd *s);

uint64_t systemd_now_msec(void);

/* From now on the end of the job that reply (of RestartUnit and the like) names is waited for. */
_must_check_ int systemd_follow_job(struct systemd *s, sd_bus_message *reply);

/* Handles what the bus has, waits until something happens on it or on one of the descriptors
 * (-1: none; readable sets its bit in *ret_ready), or until the monotonic time deadline_msec. */
_must_check_ int systemd_wait(struct systemd *s, const int fds[2], uint64_t deadline_msec,
			      unsigned *ret_ready);

/* Properties of a unit that is loaded by this call. ret_path is the caller's to free. */
_must_check_ int systemd_load_unit(struct systemd *s, const char *unit, char **ret_path);
_must_check_ int systemd_get_u32(struct systemd *s, const char *path, const char *interface,
				 const char *property, char type, uint32_t *ret);
_must_check_ int systemd_get_string(struct systemd *s, const char *path, const char *interface,
				    const char *property, char **ret);

/* 1 if systemd is shutting the machine down, 0 if not, negative if it cannot be asked. */
_must_check_ int systemd_is_stopping(sd_bus *bus);

/* One row of the table, in probe.c: runs a probe as a transient unit. */
_must_check_ int probe_run(void *systemd, const struct probe_request *request,
			   struct probe_answer *ret_answer, struct failure *failure);

/* The words of a command line: separated by blanks, '"' groups, "{release}" is replaced. No shell.
 * The first is an absolute path. -EINVAL. Caller frees with probe_words_free(). */
_must_check_ int probe_split(const char *command, const char *release, char ***ret);
char **probe_words_free(char **words);
DEFINE_CLEANUP(char **, probe_words_free);

#endif
