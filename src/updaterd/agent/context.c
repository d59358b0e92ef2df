/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/context.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "updaterd/exit_codes.h"
#include "updaterd/release_version.h"

/* ---- directories ---- */

static int open_directory(int dirfd, const char *name, int *ret)
{
	int fd, r = fs_mkdir_p(dirfd, name, 0700);

	if (r < 0)
		return r;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

static int open_directories(struct context *c)
{
	const char *name = c->conf->agent_dir;
	int r;

	r = open_directory(AT_FDCWD, name, &c->dir_fd);
	if (r >= 0)
		r = open_directory(c->dir_fd, name = "metadata", &c->metadata_fd);
	if (r >= 0)
		r = open_directory(c->dir_fd, name = "inbox", &c->inbox_fd);
	if (r >= 0)
		r = open_directory(c->dir_fd, name = "outbox", &c->outbox_fd);
	if (r < 0) {
		log_error("directory '%s': %s", name, strerror(-r));
		return r == -EACCES || r == -EPERM ? EXIT_NOT_PERMITTED : EXIT_FAILED;
	}
	c->lock_fd = fs_open_beneath(c->dir_fd, "lock", O_RDWR | O_CREAT, 0600);
	if (c->lock_fd < 0) {
		log_error("lock in '%s': %s", c->conf->agent_dir, strerror(-c->lock_fd));
		return EXIT_FAILED;
	}
	if (flock(c->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		log_error("another run is under way ('%s' is locked)", c->conf->agent_dir);
		return EXIT_TEMPORARY;
	}
	return EXIT_OK;
}

/* ---- the time ---- */

/* --check opens no directories, but knows what an earlier run knew. */
static int64_t load_last_trusted(const struct context *c)
{
	const struct tuf_limits limits = conf_tuf_limits(c->conf);
	_cleanup_close_ int dirfd = FD_NONE, fd = FD_NONE;

	if (c->metadata_fd >= 0)
		return update_time_load(c->metadata_fd, &limits);
	dirfd = open(c->conf->agent_dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dirfd >= 0)
		fd = openat(dirfd, "metadata", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd >= 0 ? update_time_load(fd, &limits) : 0;
}

static void open_patience(struct context *c)
{
	_cleanup_close_ int dirfd = FD_NONE;

	if (c->dir_fd >= 0) {
		c->patience = patience_load(c->dir_fd);
		return;
	}
	dirfd = open(c->conf->agent_dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dirfd >= 0)
		c->patience = patience_load(dirfd);
}

void context_ask_patience(struct context *c, uint64_t sec)
{
	int r;

	if (sec == 0)
		return;
	patience_ask(&c->patience, time(NULL), sec);
	r = c->dir_fd >= 0 ? patience_store(c->dir_fd, &c->patience) : 0;
	if (r < 0)
		log_warning("that a server asks for patience cannot be kept: %s", strerror(-r));
}

bool context_is_put_off(const struct context *c)
{
	uint64_t left_sec = patience_left_sec(&c->patience, time(NULL));

	if (left_sec == 0)
		return false;
	log_notice("a server asked to be left alone for another %ju seconds", (uintmax_t)left_sec);
	return true;
}

static void open_time(struct context *c)
{
	char text[UPDATE_TIME_TEXT_BYTES];

	c->time = update_time_begin(load_last_trusted(c));
	if (!update_time_clock_is_behind(&c->time))
		return;
	update_time_describe(&c->time, text);
	log_notice("%s; that counts", text);
}

/* ---- the server ---- */

static void tell_waiting(void *userdata, uint64_t msec, const char *why)
{
	(void)userdata;
	log_info("%s; asked again in %ju s", why, (uintmax_t)(msec + 999) / 1000);
}

static int open_server(struct context *c, enum context_needs needs)
{
	const struct conf *conf = c->conf;
	_cleanup_free_ char *user_agent = NULL;
	struct http_options options = {
		.ca_file = conf->ca_file,
		.client_cert = conf->client_cert,
		.client_key = conf->client_key,
		.proxy = conf->proxy,
		.interface = conf->interface,
		.allowed_hosts = conf->allowed_hosts,
		.connect_timeout_sec = conf->connect_timeout_sec,
		.low_speed_bytes_per_sec = conf->low_speed_bytes_per_sec,
		.low_speed_sec = conf->low_speed_sec,
		.request_timeout_sec = conf->request_timeout_sec,
		.rate_limit_bytes_per_sec = conf->rate_limit_bytes_per_sec,
		.attempts = needs & CONTEXT_RETRIES ? (unsigned)conf->attempts : 1,
		.waiting = tell_waiting,
		.now_sec = c->time.now_sec,
	};
	int r;

	if (asprintf(&user_agent, "updaterd/%s", updaterd_release_version) < 0) {
		user_agent = NULL;
		log_error("out of memory");
		return EXIT_FAILED;
	}
	options.user_agent = user_agent;
	r = http_new(&options, &c->http);
	if (r < 0) {
		log_error("HTTPS cannot be set up: %s", strerror(-r));
		return EXIT_CONFIG;
	}
	return EXIT_OK;
}

static int open_identity(struct context *c)
{
	struct failure failure = { 0 };
	int r = identity_load(c->conf, &c->identity, &failure);

	if (r >= 0)
		return EXIT_OK;
	log_error("%s", failure.text);
	return r == -EINVAL ? EXIT_CONFIG : EXIT_FAILED;
}

/* ---- what runs ---- */

static int version_from_space(const struct conf_program *p, struct version *ret)
{
	_cleanup_free_ char *link = NULL, *target = NULL;
	const char *slash;
	int r;

	if (asprintf(&link, "%s/current", p->space) < 0) {
		link = NULL;
		return -ENOMEM;
	}
	r = fs_read_link(AT_FDCWD, link, &target);
	if (r < 0)
		return r;
	slash = strrchr(target, '/');
	return version_parse(slash ? slash + 1 : target, ret);
}

static void open_installer(struct context *c)
{
	struct failure failure = { 0 };
	int r;

	if (!c->client) {
		r = client_open(&c->client, &failure);
		if (r < 0) {
			log_warning("%s", failure.text);
			return;
		}
	}
	cJSON_Delete(TAKE_PTR(c->status));
	r = client_status(c->client, &c->status, &failure);
	if (r < 0) {
		log_warning("%s", failure.text);
		c->client = client_close(c->client);
	}
}

void context_refresh_versions(struct context *c)
{
	open_installer(c);
	c->n_versions = 0;
	for (size_t i = 0; i < c->conf->n_programs; i++) {
		const struct conf_program *p = &c->conf->programs[i];
		struct version *v = &c->versions[c->n_versions];
		int r = c->status ? client_status_current(c->status, p->letter, v)
				  : version_from_space(p, v);

		if (r >= 0 && v->program == p->letter)
			c->n_versions++;
		else
			log_debug("program %c: no version runs in '%s'", p->letter, p->space);
	}
}

const struct version *context_version(const struct context *c, char program)
{
	for (size_t i = 0; i < c->n_versions; i++)
		if (c->versions[i].program == program)
			return &c->versions[i];
	return NULL;
}

static int severity(int exit_code)
{
	return exit_code == EXIT_OK ? 0 : exit_code == EXIT_TEMPORARY ? 1 : 2;
}

void context_worsen(struct context *c, int exit_code)
{
	if (severity(exit_code) > severity(c->exit_code))
		c->exit_code = exit_code;
}

/* ---- all of it ---- */

int context_open(const struct conf *conf, enum context_needs needs, struct progress *progress,
		 struct context **ret)
{
	_cleanup_(context_closep) struct context *c = calloc(1, sizeof *c);
	int code;

	if (!c) {
		log_error("out of memory");
		return EXIT_FAILED;
	}
	c->conf = conf;
	c->progress = progress;
	c->dir_fd = c->lock_fd = c->metadata_fd = c->inbox_fd = c->outbox_fd = FD_NONE;
	if ((needs & CONTEXT_SERVER) && !conf->url) {
		log_error("[server] url is not set");
		return EXIT_CONFIG;
	}
	code = open_identity(c);
	/* A medium is what is left when the modem, which would tell the IMEI, is dead. */
	if (code != EXIT_OK && !(needs & CONTEXT_SERVER)) {
		log_warning("going on without identity; results are sent when there is one");
		code = EXIT_OK;
	}
	if (code == EXIT_OK && (needs & CONTEXT_DIRECTORIES))
		code = open_directories(c);
	if (code == EXIT_OK) {
		open_time(c);
		open_patience(c);
	}
	if (code == EXIT_OK && conf->url)
		code = open_server(c, needs);
	if (code != EXIT_OK)
		return code;
	context_refresh_versions(c);
	if (c->n_versions == 0) {
		log_error("no program has a version that runs: has a release been adopted?");
		return EXIT_FAILED;
	}
	*ret = TAKE_PTR(c);
	return EXIT_OK;
}

struct context *context_close(struct context *c)
{
	if (!c)
		return NULL;
	http_free(c->http);
	client_close(c->client);
	cJSON_Delete(c->status);
	close_fd(&c->inbox_fd);
	close_fd(&c->metadata_fd);
	close_fd(&c->outbox_fd);
	close_fd(&c->lock_fd);
	close_fd(&c->dir_fd);
	free(c);
	return NULL;
}
