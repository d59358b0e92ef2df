/* SPDX-License-Identifier: Apache-2.0 */
/* bms-boardsim(1): the simulated board of simboard.h at the end of a pseudo terminal or of TCP. */
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "bmsd/simboard.h"
#include "bmsd/simcontrol.h"
#include "bmsd/simport.h"
#include "bmsd/simwords.h"
#include "bmsd/stop_signals.h"
#include "common/log.h"

#define TICK_USEC     UINT64_C(50000)
#define TICK_ACCURACY 10000
#define SPEED_MAX     100000

struct arguments {
	struct simport_settings port;
	const char *control;
	const char *tell;
	const char *profile;
	const char *load;
	char *faults; /* of the command line, split at the commas */
	struct simboard_settings board;
};

struct sim {
	struct arguments a;
	struct simload_profile *profile;
	struct simboard *board;
	struct simline_faults faults;
	struct simport *port;
	struct simcontrol *control;
	sd_event *event;
	uint64_t passed_usec; /* of real time, that the board has lived */
	double owed_msec;
	double reconnect_sec; /* of the pack's time; 0: stays as it is */
	double heard_sec;     /* when the terminal's gateway last spoke */
	double pause_sec;     /* the longest time that it did not */
};

static const char help[] =
	"Usage: bms-boardsim --link PATH | --listen ADDRESS:PORT [OPTION…]\n"
	"       bms-boardsim --control PATH --tell COMMAND\n"
	"\n"
	"A simulated battery board on a pseudo terminal; PATH becomes a link to it.\n"
	"\n"
	"      --link PATH        where the board is found\n"
	"      --group NAME       this group may use it too\n"
	"      --listen ADDR:PORT and over TCP, for some gateways at a time\n"
	"      --protocol NAME    jbd or daly (jbd)\n"
	"      --model TEXT       what the board calls itself (BMS-GATEWAY-SIM)\n"
	"      --chemistry NAME   p42a, 40t, nmc, nmc-example, lfp, lfp-prismatic (p42a)\n"
	"      --cells N          cells in series, 1 to 32 (13)\n"
	"      --ntc N            temperature sensors, 0 to 8 (2)\n"
	"      --current-ma N     mean current, negative discharges (0)\n"
	"      --profile FILE     a drive cycle instead: lines CURRENT,SECOND for 5 Ah\n"
	"      --load NAME        steady, profile, charge, rest or cycle\n"
	"      --soc PERCENT      state of charge at the start (80)\n"
	"      --capacity-mah N   (40000)\n"
	"      --health PERCENT   of the capacity that is really left (100)\n"
	"      --gain-ppm N, --offset-ma N, --noise-ma N   of the current sensor (0)\n"
	"      --seed N           of the random numbers (1)\n"
	"      --speed N          the pack's time runs N times faster (1)\n"
	"      --faults LIST      commands, with commas, such as junk,split,echo\n"
	"      --control PATH     a socket that takes commands\n"
	"      --tell COMMAND     gives one to the board with this socket\n"
	"      --help, --version\n";

/* ---- time ---- */

static void catch_up(struct sim *s)
{
	struct timespec now = { 0 };
	uint64_t usec;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	usec = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	if (s->passed_usec)
		s->owed_msec += (double)(usec - s->passed_usec) / 1000 * s->a.port.speed;
	s->passed_usec = usec;
	simboard_advance(s->board, (uint64_t)s->owed_msec);
	s->owed_msec -= floor(s->owed_msec);
}

static double pack_time_sec(const struct sim *s)
{
	struct plant_truth t;

	simboard_truth(s->board, &t);
	return t.time_sec;
}

static void reconnect_when_due(struct sim *s)
{
	int r;

	if (s->reconnect_sec == 0 || pack_time_sec(s) < s->reconnect_sec)
		return;
	s->reconnect_sec = 0;
	r = simport_connect(s->port);
	if (r < 0)
		log_error("cannot come back: %s", strerror(-r));
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct sim *s = userdata;

	(void)usec;
	catch_up(s);
	reconnect_when_due(s);
	(void)sd_event_source_set_time_relative(source, TICK_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void note_pause(struct sim *s)
{
	double now_sec = (double)s->passed_usec / 1e6 * s->a.port.speed;

	if (s->heard_sec > 0)
		s->pause_sec = fmax(s->pause_sec, now_sec - s->heard_sec);
	s->heard_sec = now_sec;
}

static void on_heard(void *userdata, unsigned line, const uint8_t *bytes, size_t size,
		     struct simline *l)
{
	struct sim *s = userdata;
	uint8_t frame[SIMBOARD_ANSWER_BYTES];

	catch_up(s);
	if (line == 0)
		note_pause(s);
	simline_heard(l, &s->faults, bytes, size);
	for (size_t i = 0; i < size; i++)
		simline_answer(l, &s->faults, frame,
			       simboard_rx_line(s->board, line, bytes[i], frame));
}

/* ---- commands ---- */

static void say_truth(const struct sim *s, char *ret, size_t size)
{
	struct plant_truth t;

	simboard_truth(s->board, &t);
	(void)snprintf(ret, size,
		       "{\"time_sec\":%.3f,\"soc_percent\":%.4f,\"charge_ah\":%.5f,"
		       "\"capacity_ah\":%.5f,\"current_a\":%.4f,\"voltage\":%.4f,"
		       "\"temperature_c\":%.2f,\"charged_ah\":%.5f,\"discharged_ah\":%.5f,"
		       "\"residual_mah\":%.1f,\"answers\":%" PRIu64 ",\"faults\":%" PRIu64
		       ",\"pause_sec\":%.2f,\"port\":%u}",
		       t.time_sec, 100 * t.soc, t.charge_ah, t.capacity_ah, t.current_a,
		       t.voltage_volt, t.temperature_c, t.charged_ah, t.discharged_ah,
		       simboard_residual_mah(s->board), simboard_answers(s->board),
		       s->faults.struck, s->pause_sec, simport_tcp_port(s->port));
}

static int disconnect(struct sim *s, const struct simwords *w)
{
	long sec = 0;

	if (w->n > 2 || (w->n == 2 && simwords_number(w->at[1], 1, 1000000, &sec) < 0))
		return -EINVAL;
	simport_disconnect(s->port);
	s->reconnect_sec = sec > 0 ? pack_time_sec(s) + (double)sec : 0;
	return 0;
}

static int set_speed(struct sim *s, const struct simwords *w)
{
	long speed = 0;
	int r = simwords_number(w->at[1], 1, SPEED_MAX, &speed);

	if (r >= 0)
		s->a.port.speed = (double)speed;
	return r;
}

static int run_own(struct sim *s, const char *command)
{
	struct simwords w;
	int r = simwords_split(command, &w);

	if (r < 0)
		return r;
	if (strcmp(w.at[0], "disconnect") == 0)
		return disconnect(s, &w);
	if (strcmp(w.at[0], "speed") == 0)
		return set_speed(s, &w);
	if (strcmp(w.at[0], "forget") == 0) {
		s->pause_sec = 0;
		return 0;
	}
	if (strcmp(w.at[0], "connect") != 0)
		return -ENOENT;
	s->reconnect_sec = 0;
	return simport_connect(s->port);
}

/* "fault junk" is "junk": both may be written. */
static int run_command(struct sim *s, const char *command)
{
	int r;

	if (strncmp(command, "fault ", 6) == 0)
		command += 6;
	r = run_own(s, command);
	if (r == -ENOENT)
		r = simline_command(&s->faults, command);
	if (r == -ENOENT)
		r = simboard_command(s->board, command);
	return r;
}

static void on_command(void *userdata, const char *command, char *ret_answer, size_t size)
{
	struct sim *s = userdata;
	int r = 0;

	catch_up(s);
	if (strncmp(command, "truth", 5) != 0)
		r = run_command(s, command);
	if (r >= 0)
		say_truth(s, ret_answer, size);
	else
		(void)snprintf(ret_answer, size, "error: %s",
			       r == -ENOENT ? "no such command" : strerror(-r));
}

/* ---- running ---- */

static int watch(struct sim *s)
{
	int r = stop_signals_watch(s->event);

	if (r >= 0)
		r = sd_event_add_time_relative(s->event, NULL, CLOCK_MONOTONIC, TICK_USEC,
					       TICK_ACCURACY, on_tick, s);
	if (r >= 0)
		r = simport_new(s->event, &s->a.port, on_heard, s, &s->port);
	if (r >= 0 && s->a.control)
		r = simcontrol_new(s->event, s->a.control, on_command, s, &s->control);
	return r;
}

static int load_profile(struct sim *s)
{
	int r;

	if (!s->a.profile)
		return 0;
	/* Drive cycles are published for a cell of 5 Ah. */
	r = simload_profile_load(s->a.profile, s->a.board.capacity_mah / 5000.0, &s->profile);
	if (r < 0)
		log_error("profile '%s': %s", s->a.profile, strerror(-r));
	s->a.board.load.profile = s->profile;
	if (s->profile && s->a.board.load.mode == SIMLOAD_STEADY)
		s->a.board.load.mode = SIMLOAD_PROFILE;
	return r;
}

static int take_faults(struct sim *s)
{
	char *rest = NULL;

	for (char *f = s->a.faults ? strtok_r(s->a.faults, ",", &rest) : NULL; f;
	     f = strtok_r(NULL, ",", &rest)) {
		int r = run_command(s, f);

		if (r < 0) {
			log_error("no such fault: '%s'", f);
			return r;
		}
	}
	return 0;
}

static int serve(struct sim *s)
{
	int r;

	s->a.board.load.current_a = s->a.board.current_ma / 1000.0;
	s->faults.random = s->a.board.seed;
	r = load_profile(s);
	if (r >= 0)
		r = simboard_new(&s->a.board, &s->board);
	if (r >= 0)
		r = sd_event_default(&s->event);
	if (r >= 0)
		r = watch(s);
	if (r >= 0)
		r = take_faults(s);
	if (r < 0)
		return r;
	(void)sd_notifyf(0, "READY=1\nSTATUS=%u cells at %s", s->a.board.cells,
			 s->a.port.link ? s->a.port.link : s->a.port.listen);
	return sd_event_loop(s->event);
}

static void clean_up(struct sim *s)
{
	(void)simcontrol_free(s->control);
	(void)simport_free(s->port);
	sd_event_unref(s->event);
	(void)simboard_free(s->board);
	(void)simload_profile_free(s->profile);
}

static int tell(const struct arguments *a)
{
	char answer[SIMCONTROL_BYTES];
	int r = simcontrol_tell(a->control, a->tell, answer);

	if (r < 0) {
		log_error("board at '%s': %s", a->control, strerror(-r));
		return EXIT_FAILURE;
	}
	(void)puts(answer);
	return strncmp(answer, "error", 5) == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- arguments ---- */

enum option_name {
	OPT_LINK = 256,
	OPT_GROUP,
	OPT_LISTEN,
	OPT_PROTOCOL,
	OPT_MODEL,
	OPT_CHEMISTRY,
	OPT_PROFILE,
	OPT_LOAD,
	OPT_FAULTS,
	OPT_CONTROL,
	OPT_TELL,
	OPT_HELP,
	OPT_VERSION,
	/* Numbers; in the order of the table below. */
	OPT_CELLS,
	OPT_NTC,
	OPT_CURRENT,
	OPT_SOC,
	OPT_CAPACITY,
	OPT_HEALTH,
	OPT_GAIN,
	OPT_OFFSET,
	OPT_NOISE,
	OPT_SEED,
	OPT_SPEED,
};

static void keep_number(int option, long n, struct arguments *a)
{
	switch (option) {
	case OPT_CELLS: a->board.cells = (unsigned)n; break;
	case OPT_NTC: a->board.ntcs = (unsigned)n; break;
	case OPT_CURRENT: a->board.current_ma = (int)n; break;
	case OPT_SOC: a->board.soc_percent = (unsigned)n; break;
	case OPT_CAPACITY: a->board.capacity_mah = (unsigned)n; break;
	case OPT_HEALTH: a->board.true_capacity_part = (double)n / 100; break;
	case OPT_GAIN: a->board.current_gain_error = (double)n / 1e6; break;
	case OPT_OFFSET: a->board.current_offset_a = (double)n / 1000; break;
	case OPT_NOISE: a->board.current_noise_a = (double)n / 1000; break;
	case OPT_SEED: a->board.seed = (uint32_t)n; break;
	default: a->port.speed = (double)n; break;
	}
}

static int take_number(int option, struct arguments *a)
{
	static const struct {
		long min, max;
	} ranges[] = {
		{ 1, 32 },	  { 0, 8 },	  { -260000, 260000 }, { 0, 100 },
		{ 1000, 650000 }, { 10, 110 },	  { -100000, 100000 }, { -5000, 5000 },
		{ 0, 5000 },	  { 0, INT_MAX }, { 1, SPEED_MAX },
	};
	long n = 0, min = ranges[option - OPT_CELLS].min, max = ranges[option - OPT_CELLS].max;
	int r = simwords_number(optarg, min, max, &n);

	if (r < 0)
		log_error("'%s' is no number from %ld to %ld", optarg, min, max);
	else
		keep_number(option, n, a);
	return r < 0 ? EX_USAGE : -1;
}

/* -1: go on; else the exit status. */
static int take_name(int option, struct arguments *a)
{
	static const char *const protocols[] = { "jbd", "daly", NULL };
	static const char *const loads[] = { "steady", "",	"profile", "charge",
					     "rest",   "cycle", NULL };
	const char *const *names = option == OPT_PROTOCOL ? protocols : loads;
	unsigned i = 0;

	if (option == OPT_CHEMISTRY) {
		a->board.table = plant_table_find(optarg);
		if (a->board.table)
			return -1;
	} else {
		while (names[i] && strcmp(names[i], optarg) != 0)
			i++;
		if (names[i] && option == OPT_PROTOCOL)
			a->board.protocol = i;
		else if (names[i])
			a->board.load.mode = i;
		if (names[i])
			return -1;
	}
	log_error("'%s' is not known", optarg);
	return EX_USAGE;
}

static int take_option(int option, struct arguments *a)
{
	switch (option) {
	case OPT_LINK: a->port.link = optarg; return -1;
	case OPT_GROUP: a->port.group = optarg; return -1;
	case OPT_LISTEN: a->port.listen = optarg; return -1;
	case OPT_MODEL: a->board.model = optarg; return -1;
	case OPT_PROFILE: a->profile = optarg; return -1;
	case OPT_FAULTS: a->faults = optarg; return -1;
	case OPT_CONTROL: a->control = optarg; return -1;
	case OPT_TELL: a->tell = optarg; return -1;
	case OPT_PROTOCOL:
	case OPT_CHEMISTRY:
	case OPT_LOAD: return take_name(option, a);
	case OPT_HELP: return fputs(help, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	case OPT_VERSION: (void)printf("bms-boardsim %s\n", PROJECT_VERSION); return EXIT_SUCCESS;
	case '?': return EX_USAGE;
	default: return take_number(option, a);
	}
}

static int complete(const struct arguments *a, int argc)
{
	if (optind < argc || (a->tell && !a->control) ||
	    (!a->tell && !a->port.link && !a->port.listen)) {
		(void)fputs(help, stderr);
		return EX_USAGE;
	}
	return -1;
}

static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{ "link", required_argument, NULL, OPT_LINK },
		{ "group", required_argument, NULL, OPT_GROUP },
		{ "listen", required_argument, NULL, OPT_LISTEN },
		{ "protocol", required_argument, NULL, OPT_PROTOCOL },
		{ "model", required_argument, NULL, OPT_MODEL },
		{ "chemistry", required_argument, NULL, OPT_CHEMISTRY },
		{ "cells", required_argument, NULL, OPT_CELLS },
		{ "ntc", required_argument, NULL, OPT_NTC },
		{ "current-ma", required_argument, NULL, OPT_CURRENT },
		{ "profile", required_argument, NULL, OPT_PROFILE },
		{ "load", required_argument, NULL, OPT_LOAD },
		{ "soc", required_argument, NULL, OPT_SOC },
		{ "capacity-mah", required_argument, NULL, OPT_CAPACITY },
		{ "health", required_argument, NULL, OPT_HEALTH },
		{ "gain-ppm", required_argument, NULL, OPT_GAIN },
		{ "offset-ma", required_argument, NULL, OPT_OFFSET },
		{ "noise-ma", required_argument, NULL, OPT_NOISE },
		{ "seed", required_argument, NULL, OPT_SEED },
		{ "speed", required_argument, NULL, OPT_SPEED },
		{ "faults", required_argument, NULL, OPT_FAULTS },
		{ "control", required_argument, NULL, OPT_CONTROL },
		{ "tell", required_argument, NULL, OPT_TELL },
		{ "help", no_argument, NULL, OPT_HELP },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ NULL, 0, NULL, 0 },
	};
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		r = take_option(option, a);
		if (r >= 0)
			return r;
	}
	return complete(a, argc);
}

int main(int argc, char **argv)
{
	_cleanup_(clean_up) struct sim s = {
		.a.port.speed = 1,
		.a.board = { .model = "BMS-GATEWAY-SIM",
			     .cells = 13,
			     .ntcs = 2,
			     .soc_percent = 80,
			     .capacity_mah = 40000,
			     .seed = 1 },
	};
	int r;

	log_set_name("bms-boardsim");
	r = parse(argc, argv, &s.a);
	if (r >= 0)
		return r;
	if (s.a.tell)
		return tell(&s.a);
	r = serve(&s);
	if (r < 0) {
		log_error("board: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
