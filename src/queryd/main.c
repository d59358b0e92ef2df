/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queryd: answers gateways' queries for new versions and archives their results. Stays in the
 * foreground; systemd or a shell looks after it.
 */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "queryd/server.h"
#include "queryd/token.h"

#define EXIT_USAGE 2
#define TICK_MSEC  1000 /* how soon a publication is noticed */
#define TIDY_MSEC  86400000u

static const char help[] =
	"Usage: queryd [--config FILE] [--check-config]\n"
	"Answers gateways' queries for new program versions and archives their results.\n"
	"\n"
	"  --config FILE   instead of " QUERYD_CONF_PATH "\n"
	"  --check-config  read the configuration, say what is wrong with it, end\n"
	"  --help          this text\n"
	"  --version       the version\n"
	"\n"
	"SIGHUP reads the repository again, SIGTERM answers what came and ends. See queryd(8).\n";

struct options {
	const char *config;
	bool check_config;
};

/* What lives as long as the program. */
struct queryd {
	struct queryd_conf *conf;
	char *token;
	struct store *store;
	struct catalog *catalog;
	struct backups *backups;
	struct server *server;
	struct service service;
	int signals;
	char told_error[512]; /* the last complaint about the repository */
	int64_t told_expired_sec;
	uint64_t tidied_msec; /* CLOCK_BOOTTIME */
};

/* Returns an exit code, or -1 to go on. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option long_options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check-config", no_argument, NULL, 'C' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) >= 0) {
		switch (c) {
		case 'c': o->config = optarg; break;
		case 'C': o->check_config = true; break;
		case 'h': (void)fputs(help, stdout); return EXIT_SUCCESS;
		case 'V': (void)puts("queryd " PROJECT_VERSION); return EXIT_SUCCESS;
		default: (void)fputs("queryd: see queryd --help\n", stderr); return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "queryd: unexpected '%s'; see queryd --help\n", argv[optind]);
		return EXIT_USAGE;
	}
	return -1;
}

/* ---- the repository ---- */

static void tell_catalog(struct queryd *q)
{
	struct releases *releases = catalog_acquire(q->catalog);
	size_t n = releases_count(releases);

	(void)releases_unref(releases);
	q->told_error[0] = '\0';
	log_info("repository '%s': verified, %zu releases", q->conf->repository, n);
	if (*catalog_warning(q->catalog))
		log_warning("repository '%s': %s", q->conf->repository,
			    catalog_warning(q->catalog));
	(void)sd_notifyf(0, "STATUS=Serving %zu releases", n);
}

/* The same complaint again would only fill the log. */
static void tell_failure(struct queryd *q)
{
	const char *error = catalog_error(q->catalog);

	if (strcmp(q->told_error, error) == 0)
		return;
	(void)snprintf(q->told_error, sizeof q->told_error, "%s", error);
	log_error("repository '%s' is not used as it is now: %s", q->conf->repository, error);
	(void)sd_notifyf(0, "STATUS=Repository refused: %s", error);
}

static void tell_expired(struct queryd *q, int64_t now_sec)
{
	int64_t expires_sec = catalog_expires_sec(q->catalog);

	if (expires_sec == 0 || now_sec < expires_sec || q->told_expired_sec == expires_sec)
		return;
	q->told_expired_sec = expires_sec;
	log_warning("repository '%s': its metadata have expired; gateways refuse them until it "
		    "is published again",
		    q->conf->repository);
}

static void look_at_repository(struct queryd *q, bool force)
{
	int64_t now_sec = (int64_t)time(NULL);
	int r = catalog_refresh(q->catalog, force, now_sec);

	if (r < 0)
		tell_failure(q);
	else if (r > 0)
		tell_catalog(q);
	tell_expired(q, now_sec);
}

/* ---- backups ---- */

static void tidy_backups(struct queryd *q)
{
	uint64_t now_msec = clock_now_msec(CLOCK_BOOTTIME);
	int r;

	if (now_msec - q->tidied_msec < TIDY_MSEC)
		return;
	q->tidied_msec = now_msec;
	r = backups_tidy(q->backups, (int64_t)time(NULL));
	if (r < 0)
		log_error("backups in '%s' cannot be tidied up: %s", q->conf->backup_path,
			  strerror(-r));
	else if (r > 0)
		log_notice("backups: %d went, since their time was over", r);
}

/* Queries are worth more than backups: they are answered without. */
static void open_backups(struct queryd *q)
{
	_cleanup_free_ char *error = NULL;
	int r = backups_open(q->conf, q->store, q->catalog, &q->backups, &error);

	if (r < 0)
		log_error("backups: %s; none are kept until the next start",
			  error ? error : strerror(-r));
	q->tidied_msec = clock_now_msec(CLOCK_BOOTTIME);
	q->service.backups = q->backups;
}

/* ---- start ---- */

static int open_token(struct queryd *q)
{
	const char *path = q->conf->token_file;
	int r;

	if (!path)
		return 0;
	r = token_read(path, &q->token);
	if (r == -ENOENT) {
		r = token_make(path);
		if (r >= 0)
			r = token_read(path, &q->token);
		if (r >= 0)
			log_notice("administration token made: '%s'", path);
	}
	if (r == -EINVAL)
		log_error("token file '%s': needs 16 to 256 characters without blanks", path);
	else if (r < 0)
		log_error("token file '%s': %s", path, strerror(-r));
	return r;
}

/* Each connection is a descriptor, each file being sent another. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Before any thread, so that all of them leave these signals to us. */
static int block_signals(void)
{
	sigset_t set;
	int fd;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return -EINVAL;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int start(struct queryd *q)
{
	_cleanup_free_ char *error = NULL;
	int r;

	raise_descriptor_limit();
	r = q->signals = block_signals();
	if (r < 0)
		return r;
	r = open_token(q);
	if (r < 0)
		return r;
	r = store_open(q->conf->store, &q->store, &error);
	if (r < 0) {
		log_error("store: %s", error ? error : strerror(-r));
		return r;
	}
	r = catalog_new(q->conf->repository, q->conf->trusted_root, &q->catalog);
	if (r < 0)
		return r;
	look_at_repository(q, true);
	open_backups(q);
	q->service.conf = q->conf;
	q->service.store = q->store;
	q->service.catalog = q->catalog;
	q->service.admin_token = q->token;
	r = server_start(&q->service, &q->server, &error);
	if (r < 0)
		log_error("listen: %s", error ? error : strerror(-r));
	return r;
}

/* ---- run ---- */

/* False when it is time to end. */
static bool take_signals(struct queryd *q)
{
	struct signalfd_siginfo info;

	while (read(q->signals, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo != SIGHUP)
			return false;
		log_info("SIGHUP: reading the repository again");
		look_at_repository(q, true);
	}
	return true;
}

static void serve(struct queryd *q)
{
	struct pollfd pollfd = { .fd = q->signals, .events = POLLIN };
	uint64_t watchdog_usec = 0;
	int timeout_msec = TICK_MSEC;

	if (sd_watchdog_enabled(0, &watchdog_usec) > 0 && watchdog_usec / 2000 < TICK_MSEC)
		timeout_msec = (int)(watchdog_usec / 2000);
	(void)sd_notify(0, "READY=1");
	for (;;) {
		int n = poll(&pollfd, 1, timeout_msec);

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0 && !take_signals(q))
			break;
		look_at_repository(q, false);
		if (q->backups)
			tidy_backups(q);
		if (watchdog_usec > 0)
			(void)sd_notify(0, "WATCHDOG=1");
	}
	(void)sd_notify(0, "STOPPING=1");
	log_info("ending");
}

static void queryd_done(struct queryd *q)
{
	if (q->server)
		q->server = server_stop(q->server, q->conf->drain_sec);
	q->backups = backups_close(q->backups);
	q->catalog = catalog_free(q->catalog);
	q->store = store_close(q->store);
	q->conf = queryd_conf_free(q->conf);
	free(q->token);
	close_fd(&q->signals);
}

int main(int argc, char **argv)
{
	_cleanup_(queryd_done) struct queryd q = { .signals = FD_NONE };
	struct options options = { .config = QUERYD_CONF_PATH };
	_cleanup_free_ char *error = NULL;
	int r;

	log_set_name("queryd");
	r = parse_options(argc, argv, &options);
	if (r >= 0)
		return r;
	r = queryd_conf_load(options.config, &q.conf, &error);
	if (r < 0) {
		log_error("%s", error ? error : strerror(-r));
		return EXIT_FAILURE;
	}
	if (options.check_config) {
		(void)printf("%s: good\n", options.config);
		return EXIT_SUCCESS;
	}
	if (start(&q) < 0)
		return EXIT_FAILURE;
	serve(&q);
	return EXIT_SUCCESS;
}
