/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a program: its time runs faster. FASTTIME="SPEED@START" with START in nanoseconds of the
 * monotonic clock, from which on it does, so that programs started later, and again, have the same time.
 *
 * All clocks but those of processor time stand at START + SPEED times what passed since; timers,
 * time-outs and sleeps last a SPEEDth. What is not a time of this process is untouched: the kernel's
 * stamps on files, what others say.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SEC_NSEC     INT64_C(1000000000)
#define FDS	     4096
#define CLOCKS	     16
/* As the kernel has it. */
#define SIGSET_BYTES 8

static int64_t speed = 1;
static int64_t start_nsec[CLOCKS]; /* of each clock, at the moment of START */
static clockid_t clock_of_fd[FDS];

/* ---- reading clocks ---- */

static int64_t nsec_of(const struct timespec *t)
{
	return t->tv_sec * SEC_NSEC + t->tv_nsec;
}

static struct timespec timespec_of(int64_t nsec)
{
	return (struct timespec){ .tv_sec = nsec / SEC_NSEC, .tv_nsec = nsec % SEC_NSEC };
}

static int64_t really_now(clockid_t clock)
{
	struct timespec t = { 0 };

	(void)syscall(SYS_clock_gettime, clock, &t);
	return nsec_of(&t);
}

static bool is_ours(clockid_t clock)
{
	return speed != 1 && clock >= 0 && clock < CLOCKS && clock != CLOCK_PROCESS_CPUTIME_ID &&
	       clock != CLOCK_THREAD_CPUTIME_ID;
}

__attribute__((constructor)) static void begin(void)
{
	const char *text = getenv("FASTTIME");
	char *at = NULL;
	int64_t n = text ? strtoll(text, &at, 10) : 0, start;

	if (n < 1 || *at != '@')
		return;
	start = strtoll(at + 1, NULL, 10);
	for (clockid_t c = 0; c < CLOCKS; c++)
		start_nsec[c] = really_now(c) - (really_now(CLOCK_MONOTONIC) - start);
	speed = n;
}

static int64_t fast(clockid_t clock, int64_t real_nsec)
{
	return start_nsec[clock] + (real_nsec - start_nsec[clock]) * speed;
}

static int64_t real(clockid_t clock, int64_t fast_nsec)
{
	return start_nsec[clock] + (fast_nsec - start_nsec[clock]) / speed;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret);

	if (r == 0 && is_ours(clock))
		*ret = timespec_of(fast(clock, nsec_of(ret)));
	return r;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	struct timespec now = { 0 };

	(void)zone;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	*ret = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
	return 0;
}

time_t time(time_t *ret)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}

/* ---- sleeping and waiting ---- */

/* A time that was asked for; never nothing at all where something was. NULL: for ever. */
static const struct timespec *shortened(const struct timespec *asked, struct timespec *buffer)
{
	int64_t nsec;

	if (!asked)
		return NULL;
	nsec = nsec_of(asked);
	*buffer = timespec_of(nsec > 0 && nsec < speed ? 1 : nsec / speed);
	return buffer;
}

static const struct timespec *of_msec(int msec, struct timespec *buffer)
{
	const struct timespec asked = timespec_of(msec * INT64_C(1000000));

	return msec < 0 ? NULL : shortened(&asked, buffer);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *request,
		    struct timespec *rest)
{
	struct timespec t = *request;

	if (flags & TIMER_ABSTIME && is_ours(clock))
		t = timespec_of(real(clock, nsec_of(request)));
	else
		(void)shortened(request, &t);
	return syscall(SYS_clock_nanosleep, clock, flags, &t, rest) < 0 ? errno : 0;
}

int nanosleep(const struct timespec *request, struct timespec *rest)
{
	int r = clock_nanosleep(CLOCK_MONOTONIC, 0, request, rest);

	errno = r;
	return r ? -1 : 0;
}

int usleep(useconds_t usec)
{
	const struct timespec t = timespec_of(usec * INT64_C(1000));

	return nanosleep(&t, NULL);
}

unsigned sleep(unsigned sec)
{
	const struct timespec t = timespec_of(sec * SEC_NSEC);

	return nanosleep(&t, NULL) < 0;
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	struct timespec t;

	/* The kernel writes the rest into it. */
	return (int)syscall(SYS_ppoll, fds, n, shortened(timeout, &t), mask, SIGSET_BYTES);
}

int poll(struct pollfd *fds, nfds_t n, int msec)
{
	struct timespec t;

	return (int)syscall(SYS_ppoll, fds, n, of_msec(msec, &t), NULL, 0);
}

/* What _FORTIFY_SOURCE makes of them. */
int __poll_chk(struct pollfd *fds, nfds_t n, int msec, size_t size);
int __poll_chk(struct pollfd *fds, nfds_t n, int msec, size_t size)
{
	(void)size;
	return poll(fds, n, msec);
}

int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
		size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
		size_t size)
{
	(void)size;
	return ppoll(fds, n, timeout, mask);
}

int epoll_pwait2(int fd, struct epoll_event *events, int n, const struct timespec *timeout,
		 const sigset_t *mask)
{
	struct timespec t;

	return (int)syscall(SYS_epoll_pwait2, fd, events, n, shortened(timeout, &t), mask,
			    SIGSET_BYTES);
}

int epoll_pwait(int fd, struct epoll_event *events, int n, int msec, const sigset_t *mask)
{
	struct timespec t;

	return (int)syscall(SYS_epoll_pwait2, fd, events, n, of_msec(msec, &t), mask, SIGSET_BYTES);
}

int epoll_wait(int fd, struct epoll_event *events, int n, int msec)
{
	return epoll_pwait(fd, events, n, msec, NULL);
}

int select(int n, fd_set *restrict reading, fd_set *restrict writing, fd_set *restrict failing,
	   struct timeval *restrict timeout)
{
	struct timespec t = { 0 }, asked = { 0 };

	if (timeout)
		asked = (struct timespec){ timeout->tv_sec, timeout->tv_usec * 1000 };
	return (int)syscall(SYS_pselect6, n, reading, writing, failing,
			    shortened(timeout ? &asked : NULL, &t), NULL);
}

/* ---- timers ---- */

int timerfd_create(int clock, int flags)
{
	int fd = (int)syscall(SYS_timerfd_create, clock, flags);

	if (fd >= 0 && fd < FDS)
		clock_of_fd[fd] = clock;
	return fd;
}

/* Times that mean "never" stay as far away as they are. */
static int64_t scaled(int fd, int64_t nsec, bool absolute)
{
	clockid_t clock = fd < FDS ? clock_of_fd[fd] : CLOCK_MONOTONIC;
	int64_t t;

	if (nsec <= 0 || !is_ours(clock))
		return nsec;
	t = absolute ? real(clock, nsec) : nsec / speed;
	return t > 0 ? t : 1; /* zero would disarm it */
}

int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	const struct itimerspec t = {
		.it_value = timespec_of(
			scaled(fd, nsec_of(&new->it_value), flags & TFD_TIMER_ABSTIME)),
		.it_interval = timespec_of(scaled(fd, nsec_of(&new->it_interval), false)),
	};

	return (int)syscall(SYS_timerfd_settime, fd, flags, &t, old);
}
