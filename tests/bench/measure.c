/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command N times, its output thrown away: wall time (ms), CPU time (ms) and peak memory (kB),
 * the median of each, on one line. Memory is that of the largest process of the command.
 *
 *	measure N COMMAND...
 *
 * The command is started by fork(), since what vfork() and posix_spawn() share with their parent would
 * count as the command's memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_RUNS 101

enum figure { WALL_MSEC, CPU_MSEC, PEAK_KB, FIGURES };

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
	exit(125);
}

static double now_msec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static double msec_of(struct timeval tv)
{
	return (double)tv.tv_sec * 1e3 + (double)tv.tv_usec / 1e3;
}

static _Noreturn void run(char **command)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		_exit(125);
	execvp(command[0], command);
	_exit(127);
}

/* Returns the exit status. */
static int measure(char **command, double ret[FIGURES])
{
	double started = now_msec();
	struct rusage used;
	int status;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		run(command);
	if (wait4(pid, &status, 0, &used) < 0)
		die(command[0]);
	ret[WALL_MSEC] = now_msec() - started;
	ret[CPU_MSEC] = msec_of(used.ru_utime) + msec_of(used.ru_stime);
	ret[PEAK_KB] = (double)used.ru_maxrss;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	double values[FIGURES][MAX_RUNS], one[FIGURES];
	int runs = argc > 2 ? atoi(argv[1]) : 0;
	int status = 0;

	if (runs < 1 || runs > MAX_RUNS) {
		fputs("usage: measure N COMMAND...\n", stderr);
		return 125;
	}
	for (int i = 0; i < runs; i++) {
		int r = measure(argv + 2, one);

		status = r != 0 ? r : status;
		for (size_t f = 0; f < FIGURES; f++)
			values[f][i] = one[f];
	}
	for (size_t f = 0; f < FIGURES; f++)
		qsort(values[f], (size_t)runs, sizeof values[f][0], by_size);
	printf("%.1f %.1f %.0f\n", values[WALL_MSEC][runs / 2], values[CPU_MSEC][runs / 2],
	       values[PEAK_KB][runs / 2]);
	return status;
}
