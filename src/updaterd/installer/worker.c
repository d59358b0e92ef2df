/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include "common/log.h"
#include "updaterd/recover.h"
#include "updaterd/service.h"
#include "updaterd/state.h"
#include "updaterd/updater_trial.h"

#define LINE_BYTES 512
#define EXIT_KEPT  0
#define EXIT_NOT   1 /* refused, or cut: recovery knows */

struct worker {
	pid_t pid;
	sd_event_source *child, *output;
	int output_fd;
	const struct worker_events *events;
	char line[LINE_BYTES];
	size_t used;
};

/* ---- the worker's side ---- */

static void say(int fd, const char *format, ...) _printf_(2, 3);

/* A parent that is gone is no reason to stop half way. */
static void say(int fd, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof line - 1, format, args);
	va_end(args);
	if (n < 0)
		return;
	if (n > (int)sizeof line - 2)
		n = (int)sizeof line - 2;
	for (int i = 0; i < n; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	line[n] = '\n';
	while (write(fd, line, (size_t)n + 1) < 0 && errno == EINTR)
		;
}

static void say_recorded(void *userdata)
{
	const int *fd = userdata;

	say(*fd, "recorded");
}

static void say_progress(void *userdata, enum step step, unsigned percent)
{
	const int *fd = userdata;

	say(*fd, "progress %s %u", step_name(step), percent);
}

static void say_refused(int fd, const struct failure *failure)
{
	say(fd, "refused %s %s", reason_name(failure->reason), failure->text);
}

/* One signal for each reason, since a signal says nothing else. */
#define SIGNAL_OPERATOR	   SIGUSR1
#define SIGNAL_INTERRUPTED SIGUSR2

static volatile sig_atomic_t calling_off; /* the signal, 0: none */

static void on_call_off(int signal)
{
	calling_off = signal;
}

static enum reason read_call_off(void *userdata)
{
	(void)userdata;
	if (calling_off == 0)
		return REASON_NONE;
	return calling_off == SIGNAL_OPERATOR ? REASON_OPERATOR : REASON_INTERRUPTED;
}

static void listen_for_call_off(void)
{
	const struct sigaction action = { .sa_handler = on_call_off, .sa_flags = SA_RESTART };

	(void)sigaction(SIGNAL_OPERATOR, &action, NULL);
	(void)sigaction(SIGNAL_INTERRUPTED, &action, NULL);
}

static int run_request(struct state *s, struct service service,
		       const struct transaction_request *request, int fd)
{
	const struct transaction_hooks hooks = { .recorded = say_recorded,
						 .progress = say_progress,
						 .called_off = read_call_off,
						 .userdata = &fd };
	struct result result;
	int r;

	r = transaction_run(s, service, request, &hooks, &result);
	if (r < 0)
		say_refused(fd, &result.failure);
	return r;
}

/* Before every attempt, since much may have happened since we were started. What is wrong with another
 * space is no reason to leave this one as it is. */
static int put_in_order(struct state *s, struct service service,
			const struct transaction_request *request, struct failure *failure)
{
	int r;

	updater_trial_stop_left(s, service);
	r = recover(s, service, false);
	if (r == 0 || (request && journal_state(s->journal) == JOURNAL_IDLE))
		return 0;
	return failure_set_errno(failure, r, "recovering what was cut before");
}

static int work(const struct conf *conf, const struct transaction_request *request, int fd)
{
	_cleanup_(systemd_freep) struct systemd *systemd = NULL;
	_cleanup_(state_closep) struct state *s = NULL;
	struct failure failure;
	int r;

	r = systemd_new(&systemd);
	if (r == 0)
		r = state_open(conf, request ? STATE_TRY : STATE_WAIT, &s);
	if (r == -EBUSY)
		(void)failure_set(&failure, r, REASON_BUSY, "another upgrade is under way");
	else if (r < 0)
		(void)failure_set_errno(&failure, r, "'%s'", conf->installer_dir);
	if (r == 0)
		r = put_in_order(s, systemd_service(systemd), request, &failure);
	if (r < 0) {
		say_refused(fd, &failure);
		return r;
	}
	return request ? run_request(s, systemd_service(systemd), request, fd) : 0;
}

static void __attribute__((noreturn))
be_worker(const struct conf *conf, const struct transaction_request *request, int fd,
	  int private_fd)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	listen_for_call_off();
	if (private_fd >= 0)
		(void)close(private_fd);
	_exit(work(conf, request, fd) < 0 ? EXIT_NOT : EXIT_KEPT);
}

/* ---- the parent's side ---- */

static void hear_progress(struct worker *w, const char *text)
{
	char name[32];
	unsigned percent;
	int step;

	if (sscanf(text, "%31s %u", name, &percent) != 2)
		return;
	step = step_from_name(name);
	if (step >= 0 && percent <= 100)
		w->events->progress(w->events->userdata, (enum step)step, percent);
}

static void hear_refused(struct worker *w, const char *text)
{
	const char *sentence = strchr(text, ' ');
	struct failure failure = { .reason = REASON_INTERNAL };
	char name[32];
	int reason;

	(void)snprintf(name, sizeof name, "%.*s", (int)strcspn(text, " "), text);
	reason = reason_from_name(name);
	if (reason >= 0)
		failure.reason = (enum reason)reason;
	(void)snprintf(failure.text, sizeof failure.text, "%s", sentence ? sentence + 1 : text);
	w->events->refused(w->events->userdata, &failure);
}

static void hear_line(struct worker *w, const char *line)
{
	if (strcmp(line, "recorded") == 0)
		w->events->recorded(w->events->userdata);
	else if (strncmp(line, "progress ", strlen("progress ")) == 0)
		hear_progress(w, line + strlen("progress "));
	else if (strncmp(line, "refused ", strlen("refused ")) == 0)
		hear_refused(w, line + strlen("refused "));
}

/* Reads what is in the pipe. False at its end. */
static bool hear(struct worker *w)
{
	for (;;) {
		ssize_t n = read(w->output_fd, w->line + w->used, sizeof w->line - w->used);
		char *newline;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		w->used += (size_t)n;
		while ((newline = memchr(w->line, '\n', w->used))) {
			*newline++ = '\0';
			hear_line(w, w->line);
			w->used -= (size_t)(newline - w->line);
			memmove(w->line, newline, w->used);
		}
		if (w->used == sizeof w->line)
			w->used = 0;
	}
}

static int on_output(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct worker *w = userdata;

	(void)fd;
	(void)revents;
	if (!hear(w))
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

static int on_exit_of_child(sd_event_source *source, const siginfo_t *info, void *userdata)
{
	struct worker *w = userdata;
	bool is_good = info->si_code == CLD_EXITED && info->si_status == EXIT_KEPT;

	(void)source;
	(void)hear(w);
	if (info->si_code != CLD_EXITED)
		log_error("the worker was killed by signal %d", info->si_status);
	w->events->ended(w->events->userdata, is_good);
	return 0;
}

static int watch(struct worker *w, sd_event *event, pid_t pid)
{
	int r;

	r = sd_event_add_io(event, &w->output, w->output_fd, EPOLLIN, on_output, w);
	if (r < 0)
		return r;
	return sd_event_add_child(event, &w->child, pid, WEXITED, on_exit_of_child, w);
}

int worker_start(sd_event *event, const struct conf *conf,
		 const struct transaction_request *request, int private_fd,
		 const struct worker_events *events, struct worker **ret)
{
	_cleanup_(worker_freep) struct worker *w = calloc(1, sizeof *w);
	int fds[2], r;
	pid_t pid;

	if (!w)
		return -ENOMEM;
	w->output_fd = FD_NONE;
	w->events = events;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	w->output_fd = fds[0];
	if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0) {
		close_fd(&fds[1]);
		return -errno;
	}
	pid = fork();
	if (pid == 0)
		be_worker(conf, request, fds[1], private_fd);
	close_fd(&fds[1]);
	if (pid < 0)
		return -errno;
	r = watch(w, event, pid);
	if (r < 0) {
		/* A worker that nobody watches would be a transaction that nobody ends. */
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return r;
	}
	w->pid = pid;
	*ret = TAKE_PTR(w);
	return 0;
}

/* Its event ends before the worker is freed, so the process is there, or its zombie. */
void worker_call_off(struct worker *w, enum reason reason)
{
	(void)kill(w->pid, reason == REASON_OPERATOR ? SIGNAL_OPERATOR : SIGNAL_INTERRUPTED);
}

struct worker *worker_free(struct worker *w)
{
	if (w) {
		(void)sd_event_source_unref(w->output);
		(void)sd_event_source_unref(w->child);
		close_fd(&w->output_fd);
		free(w);
	}
	return NULL;
}
