/* SPDX-License-Identifier: Apache-2.0 */
/* The D-Bus interface org.bmsgateway.Updater1.Trial (docs/PROTOCOL.md): one call, one answer. */
#include "updaterd/prove.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include "common/clock.h"
#include "common/log.h"
#include "updaterd/caller.h"
#include "updaterd/exit_codes.h"
#include "updaterd/release_version.h"

#define ERROR_REFUSED UPDATER_BUS_IFACE ".Error.Refused"
#define WAIT_USEC     UINT64_C(30000000)

struct trial_server {
	const struct conf *conf;
	sd_bus *bus;
	bool is_answered;
};

static int open_work(void)
{
	const char *path = getenv("RUNTIME_DIRECTORY");
	int fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;

	if (!path)
		return -ENOENT;
	return fd < 0 ? -errno : fd;
}

static int run_proof(const struct conf *conf, int metadata_fd, char **ret_status,
		     struct failure *failure)
{
	_cleanup_close_ int work_fd = open_work();
	struct version own;
	struct stat st;

	if (work_fd < 0)
		return failure_set_errno(failure, work_fd, "$RUNTIME_DIRECTORY");
	if (fstat(metadata_fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return failure_set(failure, -ENOTDIR, REASON_INTERNAL,
				   "the metadata is no directory");
	if (version_parse(updaterd_release_version, &own) < 0)
		return failure_set(failure, -EINVAL, REASON_WRONG_VERSION,
				   "'%s' is no version of a release", updaterd_release_version);
	return prove(conf, &own, metadata_fd, work_fd, ret_status, failure);
}

static int method_prove(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct trial_server *server = userdata;
	_cleanup_free_ char *status = NULL;
	struct failure failure = { 0 };
	int metadata_fd, r;

	r = caller_check_agent(server->conf, m, error);
	if (r < 0)
		return r;
	server->is_answered = true;
	r = sd_bus_message_read(m, "h", &metadata_fd);
	if (r < 0)
		return r;
	r = run_proof(server->conf, metadata_fd, &status, &failure);
	if (r >= 0)
		return sd_bus_reply_method_return(m, "s", status);
	log_error("the new updater cannot prove itself: %s (%s)", failure.text,
		  reason_name(failure.reason));
	return sd_bus_error_setf(error, ERROR_REFUSED, "%s: %s", reason_name(failure.reason),
				 failure.text);
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Prove", "h", "s", method_prove, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static int open_bus(struct trial_server *server)
{
	int r;

	r = sd_bus_open_system(&server->bus);
	if (r >= 0)
		r = sd_bus_add_object_vtable(server->bus, NULL, TRIAL_BUS_PATH, TRIAL_BUS_IFACE,
					     vtable, server);
	return r < 0 ? r : sd_bus_request_name(server->bus, TRIAL_BUS_NAME, 0);
}

/* Whoever was going to call does so at once: we were started by the call. */
static int serve(struct trial_server *server)
{
	uint64_t until_usec = clock_now_usec(CLOCK_BOOTTIME) + WAIT_USEC;

	while (!server->is_answered) {
		uint64_t now_usec;
		int r = sd_bus_process(server->bus, NULL);

		if (r < 0)
			return r;
		if (r > 0)
			continue;
		now_usec = clock_now_usec(CLOCK_BOOTTIME);
		if (now_usec >= until_usec)
			return 0;
		r = sd_bus_wait(server->bus, until_usec - now_usec);
		if (r < 0 && r != -EINTR)
			return r;
	}
	return sd_bus_flush(server->bus);
}

int prove_serve(const struct conf *conf)
{
	struct trial_server server = { .conf = conf };
	int r;

	if (geteuid() != 0) {
		log_error("the installer runs as root only");
		return EXIT_NOT_PERMITTED;
	}
	r = open_bus(&server);
	if (r >= 0)
		r = serve(&server);
	(void)sd_notify(0, "STOPPING=1");
	(void)sd_bus_flush_close_unref(server.bus);
	if (r < 0)
		log_error("cannot serve %s: %s", TRIAL_BUS_NAME, strerror(-r));
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}
