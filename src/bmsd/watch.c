/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/watch.h"

#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>

#include "bmsd/client.h"
#include "common/clock.h"
#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"

#define PERIOD_MSEC 1000
#define ANSWER_MSEC 1000
#define MIN_COLUMNS 40
#define MAX_COLUMNS 400
#define MIN_ROWS    10
#define MAX_ROWS    200
/* Another screen, so that what was on this one is there again afterwards; no cursor, no wrapping. */
#define ENTER	    "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
#define LEAVE	    "\x1b[?7h\x1b[?25h\x1b[?1049l"
#define HOME	    "\x1b[H"
#define BELOW	    "\x1b[J"

struct watch {
	struct watch_screen screen;
	struct termios before;
	bool entered;
	bool quit;
	int signal_fd;
	cJSON *status;
	char *error;
};

/* ---- the terminal ---- */

static void say(const char *sequence)
{
	if (fs_write_all(STDOUT_FILENO, sequence, strlen(sequence)) < 0)
		log_debug("terminal: %s", strerror(errno));
}

static int enter(struct watch *w)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &w->before) < 0)
		return -errno;
	raw = w->before;
	raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
		return -errno;
	w->entered = true;
	say(ENTER);
	return 0;
}

static void leave(struct watch *w)
{
	if (!w->entered)
		return;
	w->entered = false;
	say(LEAVE);
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &w->before);
}

static unsigned clamp(unsigned value, unsigned min, unsigned max)
{
	return value < min ? min : value > max ? max : value;
}

static void measure(struct watch *w)
{
	struct winsize size = {};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
		size = (struct winsize){ .ws_col = 80, .ws_row = 24 };
	w->screen.columns = clamp(size.ws_col, MIN_COLUMNS, MAX_COLUMNS);
	w->screen.rows = clamp(size.ws_row, MIN_ROWS, MAX_ROWS);
}

static void draw(struct watch *w)
{
	_cleanup_free_ char *text = NULL;

	if (watch_render(&w->screen, w->status, w->error, &text) < 0)
		return;
	say(HOME);
	say(text);
	say(BELOW);
}

/* ---- what happens ---- */

static void look(struct watch *w)
{
	static const struct json_limits limits = { .max_bytes = CLIENT_ANSWER_MAX_BYTES };
	_cleanup_free_ char *text = NULL;

	json_delete(&w->status);
	w->status = NULL;
	free(w->error);
	w->error = NULL;
	if (client_call("Status", ANSWER_MSEC, &text, &w->error) < 0)
		return;
	if (json_parse(text, strlen(text), &limits, &w->status, NULL) < 0)
		log_debug("watch: the answer is no JSON");
}

static void take_key(struct watch *w, char key)
{
	switch (key) {
	case 'q':
	case 'Q': w->quit = true; break;
	case '\t':
	case 'n': w->screen.selected++; break;
	case 'p': w->screen.selected -= w->screen.selected > 0; break;
	default:
		if (key >= '0' && key <= '9')
			w->screen.selected = (unsigned)(key - '0');
		break;
	}
}

static void take_keys(struct watch *w)
{
	char keys[32];
	ssize_t n = read(STDIN_FILENO, keys, sizeof keys);

	/* The terminal is gone. */
	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		w->quit = true;
	for (ssize_t i = 0; i < n; i++)
		take_key(w, keys[i]);
}

/* Ctrl-Z: the shell gets its terminal as it was, and we ours when we are continued. */
static void pause_until_continued(struct watch *w)
{
	leave(w);
	(void)raise(SIGSTOP);
	if (enter(w) < 0)
		w->quit = true;
	measure(w);
}

static void take_signal(struct watch *w)
{
	struct signalfd_siginfo info = {};

	if (read(w->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
		return;
	switch (info.ssi_signo) {
	case SIGWINCH:
		measure(w);
		say("\x1b[2J");
		break;
	case SIGTSTP: pause_until_continued(w); break;
	default: w->quit = true; break;
	}
}

static void wait_until(struct watch *w, uint64_t until_msec)
{
	struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
				{ .fd = w->signal_fd, .events = POLLIN } };

	while (!w->quit) {
		uint64_t now = clock_now_msec(CLOCK_MONOTONIC);
		int n;

		if (now >= until_msec)
			return;
		n = poll(fds, ELEMENTSOF(fds), (int)(until_msec - now));
		if (n < 0 && errno != EINTR)
			w->quit = true;
		if (n <= 0)
			continue;
		if (fds[1].revents)
			take_signal(w);
		if (fds[0].revents)
			take_keys(w);
		if (!w->quit)
			draw(w);
	}
}

static int watch_signals(struct watch *w)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH };
	sigset_t mask;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&mask);
	for (size_t i = 0; i < ELEMENTSOF(signals); i++)
		(void)sigaddset(&mask, signals[i]);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	w->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return w->signal_fd < 0 ? -errno : 0;
}

static void look_at_locale(struct watch *w)
{
	const char *no_colour = getenv("NO_COLOR");

	(void)setlocale(LC_CTYPE, "");
	w->screen.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	w->screen.colour = !no_colour || !no_colour[0];
}

static void watch_done(struct watch *w)
{
	leave(w);
	close_fd(&w->signal_fd);
	json_delete(&w->status);
	free(w->error);
}

int watch_run(void)
{
	_cleanup_(watch_done) struct watch w = { .signal_fd = FD_NONE };
	const char *term = getenv("TERM");
	int r;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !term || strcmp(term, "dumb") == 0) {
		log_error("--watch needs a terminal; --status prints once");
		return EXIT_FAILURE;
	}
	look_at_locale(&w);
	measure(&w);
	r = watch_signals(&w);
	if (r >= 0)
		r = enter(&w);
	if (r < 0) {
		log_error("terminal: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	while (!w.quit) {
		uint64_t began = clock_now_msec(CLOCK_MONOTONIC);

		look(&w);
		draw(&w);
		wait_until(&w, began + PERIOD_MSEC);
	}
	return EXIT_SUCCESS;
}
