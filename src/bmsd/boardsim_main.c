/* SPDX-License-Identifier: Apache-2.0 */
/* bms-boardsim(1): the simulated board of simboard.h at the end of a pseudo terminal. */
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <termios.h>

#include "bmsd/simboard.h"
#include "common/log.h"

#define TICK_MSEC     UINT64_C(100)
#define TICK_ACCURACY 10000
#define SPLIT_USEC    2000
#define SPLIT_BYTES   3
#define JUNK_BYTES    6
#define OUTPUT_BYTES  2048

struct arguments {
	const char *link;
	const char *group;
	bool junk, split, echo;
	struct simboard_settings board;
};

struct sim {
	struct arguments a;
	struct simboard *board;
	sd_event *event;
	sd_event_source *sender;
	int master;
	int slave; /* held open: a terminal that nobody has open hangs up */
	bool linked;
	uint8_t output[OUTPUT_BYTES];
	size_t used;
};

static const char help[] =
	"Usage: bms-boardsim --link PATH [OPTION…]\n"
	"\n"
	"A simulated JBD battery board on a pseudo terminal; PATH becomes a link to it.\n"
	"\n"
	"      --link PATH        where the board is found\n"
	"      --group NAME       this group may use it too\n"
	"      --model TEXT       what the board calls itself (BMS-GATEWAY-SIM)\n"
	"      --cells N          cells in series, 1 to 32 (13)\n"
	"      --ntc N            temperature sensors, 0 to 8 (2)\n"
	"      --current-ma N     mean current, negative discharges (0)\n"
	"      --soc PERCENT      state of charge at the start (80)\n"
	"      --capacity-mah N   (40000)\n"
	"      --seed N           of the random numbers (1)\n"
	"      --faults LIST      junk, split, echo, with commas\n"
	"      --help, --version\n";

/* ---- sending ---- */

static void put(struct sim *s, const uint8_t *bytes, size_t size)
{
	if (size > sizeof s->output - s->used)
		return;
	memcpy(s->output + s->used, bytes, size);
	s->used += size;
}

static int on_send(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct sim *s = userdata;
	size_t size = s->a.split && s->used > SPLIT_BYTES ? SPLIT_BYTES : s->used;
	ssize_t n;

	(void)usec;
	n = write(s->master, s->output, size);
	if (n > 0) {
		s->used -= (size_t)n;
		memmove(s->output, s->output + n, s->used);
	}
	if (s->used == 0)
		return 0;
	(void)sd_event_source_set_time_relative(source, SPLIT_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void send_soon(struct sim *s)
{
	(void)sd_event_source_set_time_relative(s->sender, 0);
	(void)sd_event_source_set_enabled(s->sender, SD_EVENT_ONESHOT);
}

static void put_junk(struct sim *s)
{
	uint8_t junk[JUNK_BYTES];
	size_t size = 1 + simboard_random(s->board) % JUNK_BYTES;

	for (size_t i = 0; i < size; i++)
		junk[i] = (uint8_t)simboard_random(s->board);
	/* The worst junk looks like the start of a frame. */
	if (simboard_random(s->board) % 2)
		junk[size - 1] = JBD_START;
	put(s, junk, size);
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct sim *s = userdata;
	uint8_t bytes[256], frame[JBD_FRAME_BYTES];
	ssize_t n = read(fd, bytes, sizeof bytes);

	(void)source, (void)events;
	for (ssize_t i = 0; i < n; i++) {
		size_t size = simboard_rx(s->board, bytes[i], frame);

		if (s->a.echo)
			put(s, &bytes[i], 1);
		if (size == 0)
			continue;
		if (s->a.junk)
			put_junk(s);
		put(s, frame, size);
	}
	if (s->used)
		send_soon(s);
	return 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct sim *s = userdata;

	(void)usec;
	simboard_advance(s->board, TICK_MSEC);
	/* A real line is free again when its user dies; ours would stay exclusive, since we keep it
	 * open. */
	(void)ioctl(s->slave, TIOCNXCL);
	(void)sd_event_source_set_time_relative(source, TICK_MSEC * 1000);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* ---- the terminal ---- */

static int make_raw(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return -errno;
	cfmakeraw(&t);
	return tcsetattr(fd, TCSANOW, &t) < 0 ? -errno : 0;
}

static int share(const char *path, const char *group)
{
	const struct group *g;

	if (!group)
		return 0;
	g = getgrnam(group);
	if (!g)
		return -ESRCH;
	if (chown(path, (uid_t)-1, g->gr_gid) < 0 || chmod(path, 0660) < 0)
		return -errno;
	return 0;
}

/* Takes the place of a link that an earlier run left, but of nothing else. */
static int make_link(const char *target, const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && unlink(path) < 0)
		return -errno;
	return symlink(target, path) < 0 ? -errno : 0;
}

static int open_terminal(struct sim *s)
{
	char path[PATH_MAX];
	int r;

	s->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (s->master < 0)
		return -errno;
	if (grantpt(s->master) < 0 || unlockpt(s->master) < 0)
		return -errno;
	r = ptsname_r(s->master, path, sizeof path);
	if (r != 0)
		return -r;
	s->slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (s->slave < 0)
		return -errno;
	r = make_raw(s->slave);
	if (r < 0)
		return r;
	r = share(path, s->a.group);
	if (r < 0)
		return r;
	r = make_link(path, s->a.link);
	s->linked = r >= 0;
	return r;
}

static int watch(struct sim *s)
{
	sigset_t mask;
	int r;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	r = sd_event_add_signal(s->event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(s->event, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_io(s->event, NULL, s->master, EPOLLIN, on_readable, s);
	if (r >= 0)
		r = sd_event_add_time_relative(s->event, &s->sender, CLOCK_MONOTONIC, 0, 1, on_send,
					       s);
	if (r >= 0)
		r = sd_event_add_time_relative(s->event, NULL, CLOCK_MONOTONIC, TICK_MSEC * 1000,
					       TICK_ACCURACY, on_tick, s);
	return r;
}

static int serve(struct sim *s)
{
	int r;

	r = simboard_new(&s->a.board, &s->board);
	if (r < 0)
		return r;
	r = open_terminal(s);
	if (r < 0)
		return r;
	r = sd_event_default(&s->event);
	if (r < 0)
		return r;
	r = watch(s);
	if (r < 0)
		return r;
	(void)sd_notifyf(0, "READY=1\nSTATUS=%u cells at %s", s->a.board.cells, s->a.link);
	return sd_event_loop(s->event);
}

static void clean_up(struct sim *s)
{
	if (s->linked)
		(void)unlink(s->a.link);
	sd_event_source_unref(s->sender);
	sd_event_unref(s->event);
	close_fd(&s->master);
	close_fd(&s->slave);
	(void)simboard_free(s->board);
}

/* ---- arguments ---- */

static int parse_number(const char *text, long min, long max, long *ret)
{
	char *end = NULL;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < min || value > max) {
		log_error("'%s' is no number from %ld to %ld", text, min, max);
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

static int parse_faults(char *list, struct arguments *a)
{
	char *rest = NULL;

	for (char *f = strtok_r(list, ",", &rest); f; f = strtok_r(NULL, ",", &rest)) {
		if (strcmp(f, "junk") == 0) {
			a->junk = true;
		} else if (strcmp(f, "split") == 0) {
			a->split = true;
		} else if (strcmp(f, "echo") == 0) {
			a->echo = true;
		} else {
			log_error("no such fault: '%s'", f);
			return -EINVAL;
		}
	}
	return 0;
}

enum option_name {
	OPT_LINK = 256,
	OPT_GROUP,
	OPT_MODEL,
	OPT_CELLS,
	OPT_NTC,
	OPT_CURRENT,
	OPT_SOC,
	OPT_CAPACITY,
	OPT_SEED,
	OPT_FAULTS,
	OPT_HELP,
	OPT_VERSION,
};

static int take_number(int option, struct arguments *a)
{
	long n = 0;
	int r;

	switch (option) {
	case OPT_CELLS:
		r = parse_number(optarg, 1, 32, &n);
		a->board.cells = (unsigned)n;
		return r;
	case OPT_NTC:
		r = parse_number(optarg, 0, 8, &n);
		a->board.ntcs = (unsigned)n;
		return r;
	case OPT_CURRENT:
		r = parse_number(optarg, -260000, 260000, &n);
		a->board.current_ma = (int)n;
		return r;
	case OPT_SOC:
		r = parse_number(optarg, 0, 100, &n);
		a->board.soc_percent = (unsigned)n;
		return r;
	case OPT_CAPACITY:
		r = parse_number(optarg, 1000, 650000, &n);
		a->board.capacity_mah = (unsigned)n;
		return r;
	case OPT_SEED:
		r = parse_number(optarg, 0, INT_MAX, &n);
		a->board.seed = (uint32_t)n;
		return r;
	default: return -EINVAL;
	}
}

/* -1: go on; else the exit status. */
static int take_option(int option, struct arguments *a)
{
	switch (option) {
	case OPT_LINK: a->link = optarg; return -1;
	case OPT_GROUP: a->group = optarg; return -1;
	case OPT_MODEL: a->board.model = optarg; return -1;
	case OPT_FAULTS: return parse_faults(optarg, a) < 0 ? EX_USAGE : -1;
	case OPT_HELP: return fputs(help, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	case OPT_VERSION: (void)printf("bms-boardsim %s\n", PROJECT_VERSION); return EXIT_SUCCESS;
	default: return take_number(option, a) < 0 ? EX_USAGE : -1;
	}
}

static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{ "link", required_argument, NULL, OPT_LINK },
		{ "group", required_argument, NULL, OPT_GROUP },
		{ "model", required_argument, NULL, OPT_MODEL },
		{ "cells", required_argument, NULL, OPT_CELLS },
		{ "ntc", required_argument, NULL, OPT_NTC },
		{ "current-ma", required_argument, NULL, OPT_CURRENT },
		{ "soc", required_argument, NULL, OPT_SOC },
		{ "capacity-mah", required_argument, NULL, OPT_CAPACITY },
		{ "seed", required_argument, NULL, OPT_SEED },
		{ "faults", required_argument, NULL, OPT_FAULTS },
		{ "help", no_argument, NULL, OPT_HELP },
		{ "version", no_argument, NULL, OPT_VERSION },
		{},
	};
	int option, status;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		status = take_option(option, a);
		if (status >= 0)
			return status;
	}
	if (!a->link || optind < argc) {
		log_error("--link PATH is needed, and nothing but options; see --help");
		return EX_USAGE;
	}
	return -1;
}

int main(int argc, char **argv)
{
	_cleanup_(clean_up) struct sim s = {
		.a.board = { .model = "BMS-GATEWAY-SIM",
			     .cells = 13,
			     .ntcs = 2,
			     .soc_percent = 80,
			     .capacity_mah = 40000,
			     .seed = 1 },
		.master = FD_NONE,
		.slave = FD_NONE,
	};
	int r;

	log_set_name("bms-boardsim");
	r = parse(argc, argv, &s.a);
	if (r >= 0)
		return r;
	r = serve(&s);
	if (r < 0) {
		log_error("board at '%s': %s", s.a.link, strerror(-r));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
