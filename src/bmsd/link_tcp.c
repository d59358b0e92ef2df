/* SPDX-License-Identifier: Apache-2.0 */
/* A serial line behind the network: ser2net and the like, in raw mode. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "link_ops.h"

#define DISCARD_BYTES 65536
#define UNHEARD_MSEC  5000

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static int parse_port(const char *text, in_port_t *ret)
{
	unsigned long port = 0;
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 5 || text[n] != '\0')
		return -EINVAL;
	port = strtoul(text, NULL, 10);
	if (port == 0 || port > 65535)
		return -EINVAL;
	*ret = htons((uint16_t)port);
	return 0;
}

/* "192.0.2.7:2000" or "[2001:db8::7]:2000" */
static int parse(const char *text, union address *ret, socklen_t *ret_size)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2];
	union address a = {};
	in_port_t port = 0;
	size_t size;

	if (!colon || parse_port(colon + 1, &port) < 0)
		return -EINVAL;
	size = (size_t)(colon - text);
	if (size < 2 || size >= sizeof host)
		return -EINVAL;
	memcpy(host, text, size);
	host[size] = '\0';
	if (host[0] == '[' && host[size - 1] == ']') {
		host[size - 1] = '\0';
		a.v6.sin6_family = AF_INET6;
		a.v6.sin6_port = port;
		if (inet_pton(AF_INET6, host + 1, &a.v6.sin6_addr) != 1)
			return -EINVAL;
	} else {
		a.v4.sin_family = AF_INET;
		a.v4.sin_port = port;
		if (inet_pton(AF_INET, host, &a.v4.sin_addr) != 1)
			return -EINVAL;
	}
	*ret_size = a.any.sa_family == AF_INET6 ? sizeof a.v6 : sizeof a.v4;
	*ret = a;
	return 0;
}

static int tcp_check(const char *address, const char **ret_error)
{
	union address a;
	socklen_t size;
	int r;

	r = parse(address, &a, &size);
	if (r < 0)
		*ret_error = "tcp: must be followed by an address (no name) and a port, as in "
			     "tcp:192.0.2.7:2000 or tcp:[2001:db8::7]:2000";
	return r;
}

/* The kernel would go on for a quarter of an hour to deliver what was written to a line that went
 * away, even after close(): a switch must not be switched then. */
static int never_late(int fd)
{
	static const struct linger none = { .l_onoff = 1, .l_linger = 0 };
	static const unsigned unheard_msec = UNHEARD_MSEC;

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard_msec, sizeof unheard_msec) < 0)
		return -errno;
	return 0;
}

static int tcp_open(struct link *l, const char *address, unsigned baud)
{
	static const int on = 1;
	union address a;
	socklen_t size = 0;
	int r;

	(void)baud;
	r = parse(address, &a, &size);
	if (r < 0)
		return r;
	l->fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return -errno;
	/* Requests are small, and each waits for its answer. */
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	r = never_late(l->fd);
	if (r < 0)
		return r;
	if (connect(l->fd, &a.any, size) == 0)
		return 0;
	l->connecting = errno == EINPROGRESS;
	return l->connecting ? 0 : -errno;
}

static int tcp_finish(struct link *l)
{
	socklen_t size = sizeof(int);
	int error = 0;

	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	if (error == 0)
		l->connecting = false;
	return -error;
}

static ssize_t tcp_read(struct link *l, void *bytes, size_t size)
{
	ssize_t n = recv(l->fd, bytes, size, 0);

	if (n < 0)
		return -errno;
	return n == 0 ? -ECONNRESET : n;
}

static ssize_t tcp_write(struct link *l, const void *bytes, size_t size)
{
	ssize_t n = send(l->fd, bytes, size, MSG_NOSIGNAL);

	return n < 0 ? -errno : n;
}

/* An end that is met here is met again by the next read. */
static void tcp_discard(struct link *l)
{
	char bytes[1024];

	for (size_t done = 0; done < DISCARD_BYTES; done += sizeof bytes)
		if (recv(l->fd, bytes, sizeof bytes, 0) <= 0)
			break;
}

const struct link_ops link_ops_tcp = {
	.prefix = "tcp:",
	.check = tcp_check,
	.open = tcp_open,
	.finish = tcp_finish,
	.read = tcp_read,
	.write = tcp_write,
	.discard = tcp_discard,
};
