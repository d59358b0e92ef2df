/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a program, makes it believe that its clock says something else: WRONG_CLOCK=@60 is
 * a minute past 1970 when it starts, +86400 a day from now. Only the time of day is wrong, as it is on
 * a real machine: the clocks that timers and durations go by stay as they are.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t shift_sec;

__attribute__((constructor)) static void read_shift(void)
{
	const char *text = getenv("WRONG_CLOCK");
	struct timespec now = { 0 };

	if (!text || (*text != '@' && *text != '+'))
		return;
	(void)syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
	shift_sec = strtol(text + 1, NULL, 10) - (*text == '@' ? now.tv_sec : 0);
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret);

	if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		ret->tv_sec += shift_sec;
	return r;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	*ret = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
	return 0;
}

time_t time(time_t *ret)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}
