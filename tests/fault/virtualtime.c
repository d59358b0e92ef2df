/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into the agent: waiting costs nothing. When the agent waits for the network and server.py has
 * nothing to do before some time, all clocks of the agent jump to that time, or to the end of the wait;
 * while anything is under way they run as always. So a minute's silence is over at once, hours at one
 * byte a second take a moment, no time-out is shortened, and a busy machine changes nothing.
 *
 * Both sides share a page of 64-bit words (VIRTUAL_TIME names it) and two pipes beside it, .ask and .told:
 * the agent asks (ASKED), the server does all that is to be done, says when it will do something by itself
 * (DUE) and tells (TOLD).
 *
 * The resolver is played as well: query.test and files.test are this machine, and fail as the page says.
 * A connection to any other machine does not come about, and is counted.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SEC_NSEC  INT64_C(1000000000)
/* Longer than any pause of the server that is not on purpose. */
#define LOST_MSEC 20000

enum word {
	OFFSET,
	ASKED,
	TOLD,
	DUE,
	REALTIME_SHIFT,
	RESOLVER,
	RESOLVER_HOST,
	ELSEWHERE,
	_WORD_MAX
};
enum resolver { HONEST, NXDOMAIN, SERVFAIL, PORTAL, IPV6_FIRST };

static volatile int64_t *page;
static int ask_fd = -1, told_fd = -1;

static int open_pipe(const char *page_name, const char *suffix)
{
	char name[512];

	(void)snprintf(name, sizeof name, "%s%s", page_name, suffix);
	return open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

__attribute__((constructor)) static void begin(void)
{
	const char *name = getenv("VIRTUAL_TIME");
	int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, _WORD_MAX * sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	ask_fd = open_pipe(name, ".ask");
	told_fd = open_pipe(name, ".told");
	if (at != MAP_FAILED && ask_fd >= 0 && told_fd >= 0)
		page = at;
}

/* ---- clocks ---- */

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret);
	int64_t nsec;

	if (r < 0 || !page || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID)
		return r;
	nsec = ret->tv_sec * SEC_NSEC + ret->tv_nsec + page[OFFSET];
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
		nsec += page[REALTIME_SHIFT];
	ret->tv_sec = nsec / SEC_NSEC;
	ret->tv_nsec = nsec % SEC_NSEC;
	return 0;
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

static int64_t now_nsec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SEC_NSEC + now.tv_nsec;
}

static void jump_to(int64_t nsec)
{
	int64_t now = now_nsec();

	if (nsec > now)
		(void)__atomic_add_fetch(&page[OFFSET], nsec - now, __ATOMIC_SEQ_CST);
}

/* ---- sleeping ---- */

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *request,
		    struct timespec *rest)
{
	struct timespec now = { 0 };

	if (!page)
		return (int)-syscall(SYS_clock_nanosleep, clock, flags, request, rest);
	if (flags & TIMER_ABSTIME)
		(void)clock_gettime(clock, &now);
	jump_to(now_nsec() + (request->tv_sec - now.tv_sec) * SEC_NSEC + request->tv_nsec -
		now.tv_nsec);
	return 0;
}

int nanosleep(const struct timespec *request, struct timespec *rest)
{
	return clock_nanosleep(CLOCK_MONOTONIC, 0, request, rest);
}

int usleep(useconds_t usec)
{
	const struct timespec ts = { .tv_sec = usec / 1000000,
				     .tv_nsec = (long)(usec % 1000000) * 1000 };

	return clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

/* ---- waiting ---- */

static int really_poll(struct pollfd *fds, nfds_t n, int msec)
{
	const struct timespec ts = { .tv_sec = msec / 1000,
				     .tv_nsec = (long)(msec % 1000) * 1000000 };

	return (int)syscall(SYS_ppoll, fds, n, msec < 0 ? NULL : &ts, NULL, 0);
}

static bool is_network(const struct pollfd *fds, nfds_t n)
{
	for (nfds_t i = 0; i < n; i++) {
		int family = AF_UNSPEC;
		socklen_t size = sizeof family;

		if (getsockopt(fds[i].fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 &&
		    (family == AF_INET || family == AF_INET6))
			return true;
	}
	return false;
}

/* Until the server has nothing to do, or something happens here. As poll(). */
static int ask(struct pollfd *fds, nfds_t n)
{
	struct pollfd more[n + 1];
	int64_t asked = __atomic_add_fetch(&page[ASKED], 1, __ATOMIC_SEQ_CST);
	char bytes[64];
	int r;

	while (read(told_fd, bytes, sizeof bytes) > 0)
		;
	if (write(ask_fd, "", 1) != 1)
		return 0;
	memcpy(more, fds, n * sizeof *fds);
	more[n] = (struct pollfd){ .fd = told_fd, .events = POLLIN };
	while (page[TOLD] != asked) {
		r = really_poll(more, n + 1, LOST_MSEC);
		if (r <= 0 || (r > (more[n].revents != 0)))
			break;
		while (read(told_fd, bytes, sizeof bytes) > 0)
			;
	}
	return really_poll(fds, n, 0);
}

int poll(struct pollfd *fds, nfds_t n, int msec)
{
	int64_t end, until;
	int r = really_poll(fds, n, 0);

	if (r != 0 || msec == 0 || !page)
		return r != 0 || msec == 0 ? r : really_poll(fds, n, msec);
	if (n == 0)
		return usleep((useconds_t)msec * 1000);
	if (!is_network(fds, n))
		return really_poll(fds, n, msec);
	end = msec < 0 ? INT64_MAX : now_nsec() + msec * INT64_C(1000000);
	for (;;) {
		r = ask(fds, n);
		if (r != 0)
			return r;
		until = page[DUE] < end ? page[DUE] : end;
		if (until == INT64_MAX)
			return really_poll(fds, n, -1);
		jump_to(until);
		if (until == end)
			return 0;
	}
}

/* What _FORTIFY_SOURCE makes of poll(). */
int __poll_chk(struct pollfd *fds, nfds_t n, int msec, size_t size);
int __poll_chk(struct pollfd *fds, nfds_t n, int msec, size_t size)
{
	(void)size;
	return poll(fds, n, msec);
}

/* ---- names and machines ---- */

static int64_t resolver_for(const char *host)
{
	return page[RESOLVER_HOST] == (strcmp(host, "files.test") == 0) ? page[RESOLVER] : HONEST;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	struct addrinfo numeric = hints ? *hints : (struct addrinfo){ 0 };
	struct addrinfo *ipv6 = NULL;
	const char *address = "127.0.0.1";
	int r;

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (!page || !host || (strcmp(host, "query.test") != 0 && strcmp(host, "files.test") != 0))
		return real(host, service, hints, ret);
	numeric.ai_flags |= AI_NUMERICHOST;
	switch (resolver_for(host)) {
	case NXDOMAIN: return EAI_NONAME;
	case SERVFAIL: jump_to(now_nsec() + 10 * SEC_NSEC); return EAI_AGAIN;
	case PORTAL: address = "127.0.0.2"; break;
	case IPV6_FIRST:
		if (numeric.ai_family != AF_INET && real("::1", service, &numeric, &ipv6) != 0)
			return EAI_FAIL;
		if (numeric.ai_family == AF_INET6) {
			*ret = ipv6;
			return 0;
		}
		break;
	default: break;
	}
	if (numeric.ai_family == AF_INET6)
		return EAI_NONAME;
	numeric.ai_family = AF_INET;
	r = real(address, service, &numeric, ret);
	if (r == 0 && ipv6) {
		struct addrinfo *last = ipv6;

		while (last->ai_next)
			last = last->ai_next;
		last->ai_next = *ret;
		*ret = ipv6;
	}
	return r;
}

static bool is_here(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)address)
				     ->sin_addr.s_addr) >>
			       24 ==
		       127;
	if (address->sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(
			&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
	return true;
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	if (page && !is_here(address)) {
		(void)__atomic_add_fetch(&page[ELSEWHERE], 1, __ATOMIC_SEQ_CST);
		errno = ENETUNREACH;
		return -1;
	}
	return (int)syscall(SYS_connect, fd, address, size);
}
