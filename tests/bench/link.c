/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slow link for one command: a TCP proxy on a loopback port of its own, through which the command
 * reaches a server on this machine.
 *
 *	link [--rtt-msec N] [--rate-bits N] [--port N] --to PORT COMMAND...
 *
 * "{port}" in the command becomes the proxy's port. In each direction all connections share one link:
 * bytes queue up in packets of at most 1448 bytes, each charged 52 bytes more for IP and TCP, leave at
 * the rate, and arrive half a round trip later. A new connection is heard of after one round trip
 * (the handshake). At most WINDOW_BYTES of a connection are on the way in each direction, as with a
 * receiver's window. Not modelled: loss, slow start, acknowledgements.
 *
 * When the command has ended, what it took is printed on the standard output, name<TAB>value<TAB>unit
 * a line, and its exit status is passed on. The command's own output goes to the standard error.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PACKET_BYTES	1448u
#define OVERHEAD_BYTES	52u
#define WINDOW_BYTES	(44u * PACKET_BYTES)
#define QUEUE_PACKETS	512u
#define MAX_CONNECTIONS 64u
#define NSEC_PER_SEC	UINT64_C(1000000000)

enum direction { UP, DOWN, DIRECTIONS };

/* What all connections share in one direction. */
struct lane {
	uint64_t free_nsec; /* when what is queued now will have left */
	uint64_t payload_bytes, packets;
};

struct packet {
	uint64_t arrives_nsec;
	size_t bytes; /* 0: the end of the stream */
};

struct pipe {
	int from, to;
	uint64_t opens_nsec; /* not heard before */
	bool ended;	     /* the source has nothing more */
	bool blocked;	     /* the receiver takes no more for now */
	uint8_t buffer[WINDOW_BYTES];
	size_t start, fill;
	struct packet packets[QUEUE_PACKETS];
	size_t first, n_packets;
};

struct connection {
	int client, server;
	struct pipe pipes[DIRECTIONS];
};

static struct {
	uint64_t rtt_nsec;
	uint64_t rate_bits; /* per second, 0: no limit */
	uint16_t to_port;
	struct lane lanes[DIRECTIONS];
	struct connection *connections[MAX_CONNECTIONS];
	uint64_t connections_made;
} link_;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
	exit(125);
}

static uint64_t now_nsec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* ---- the link ---- */

static uint64_t send_packet(struct lane *lane, uint64_t now, size_t bytes)
{
	uint64_t bits = (bytes + OVERHEAD_BYTES) * 8;

	if (lane->free_nsec < now)
		lane->free_nsec = now;
	if (link_.rate_bits > 0)
		lane->free_nsec += bits * NSEC_PER_SEC / link_.rate_bits;
	lane->payload_bytes += bytes;
	lane->packets++;
	return lane->free_nsec + link_.rtt_nsec / 2;
}

static void queue(struct pipe *p, struct lane *lane, uint64_t now, size_t bytes)
{
	struct packet *packet = &p->packets[(p->first + p->n_packets++) % QUEUE_PACKETS];

	packet->bytes = bytes;
	packet->arrives_nsec = send_packet(lane, now, bytes);
}

/* How much may be taken: whole packets, and with room for the end behind them. */
static size_t room(const struct pipe *p)
{
	size_t packets = (WINDOW_BYTES - p->fill) / PACKET_BYTES;

	if (packets + p->n_packets + 1 > QUEUE_PACKETS)
		packets = QUEUE_PACKETS - p->n_packets - 1;
	return packets * PACKET_BYTES;
}

static void take(struct pipe *p, struct lane *lane, uint64_t now)
{
	uint8_t bytes[WINDOW_BYTES];
	ssize_t n = recv(p->from, bytes, room(p), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		p->ended = true;
		queue(p, lane, now, 0);
		return;
	}
	for (size_t i = 0; i < (size_t)n; i++)
		p->buffer[(p->start + p->fill + i) % WINDOW_BYTES] = bytes[i];
	p->fill += (size_t)n;
	for (size_t left = (size_t)n; left > 0;) {
		size_t packet = left < PACKET_BYTES ? left : PACKET_BYTES;

		queue(p, lane, now, packet);
		left -= packet;
	}
}

/* Hands on what is of the first packet. False if the receiver takes nothing now. */
static bool hand_on(struct pipe *p, struct packet *packet)
{
	while (packet->bytes > 0) {
		size_t n = packet->bytes;
		ssize_t sent;

		if (n > WINDOW_BYTES - p->start)
			n = WINDOW_BYTES - p->start;
		sent = send(p->to, p->buffer + p->start, n, MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN)
			return false;
		if (sent < 0)
			sent = (ssize_t)n; /* the receiver is gone: thrown away */
		p->start = (p->start + (size_t)sent) % WINDOW_BYTES;
		p->fill -= (size_t)sent;
		packet->bytes -= (size_t)sent;
	}
	return true;
}

static void deliver(struct pipe *p, uint64_t now)
{
	p->blocked = false;
	while (p->n_packets > 0) {
		struct packet *packet = &p->packets[p->first];

		if (packet->arrives_nsec > now)
			return;
		if (packet->bytes == 0)
			(void)shutdown(p->to, SHUT_WR);
		if (!hand_on(p, packet)) {
			p->blocked = true;
			return;
		}
		p->first = (p->first + 1) % QUEUE_PACKETS;
		p->n_packets--;
	}
}

/* ---- connections ---- */

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void set_up(int fd)
{
	int one = 1;

	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
		die("socket");
}

static void accept_one(int listener, uint64_t now)
{
	struct sockaddr_in to = loopback(link_.to_port);
	struct connection *c = calloc(1, sizeof *c);
	size_t i = 0;

	if (!c)
		die("connection");
	c->client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	c->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->client < 0 || c->server < 0)
		die("connection");
	if (connect(c->server, (struct sockaddr *)&to, sizeof to) < 0)
		die("the server");
	set_up(c->client);
	set_up(c->server);
	c->pipes[UP].from = c->pipes[DOWN].to = c->client;
	c->pipes[UP].to = c->pipes[DOWN].from = c->server;
	c->pipes[UP].opens_nsec = c->pipes[DOWN].opens_nsec = now + link_.rtt_nsec;
	while (i < MAX_CONNECTIONS && link_.connections[i])
		i++;
	if (i == MAX_CONNECTIONS) {
		errno = EMFILE;
		die("connection");
	}
	link_.connections[i] = c;
	link_.connections_made++;
}

static bool is_over(const struct connection *c)
{
	return c->pipes[UP].ended && c->pipes[UP].n_packets == 0 && c->pipes[DOWN].ended &&
	       c->pipes[DOWN].n_packets == 0;
}

static void close_connection(struct connection **c)
{
	close((*c)->client);
	close((*c)->server);
	free(*c);
	*c = NULL;
}

/* ---- the loop ---- */

/* What to wait for, and until when. The entry of a pipe's source is asked for input and that of its
 * receiver for output only where either would do something, so that nothing spins. */
static void plan(const struct pipe *p, uint64_t now, struct pollfd *source, struct pollfd *receiver,
		 uint64_t *wake_nsec)
{
	source->fd = receiver->fd = -1;
	source->events = POLLIN;
	receiver->events = POLLOUT;
	if (now < p->opens_nsec) {
		if (p->opens_nsec < *wake_nsec)
			*wake_nsec = p->opens_nsec;
		return;
	}
	if (!p->ended && room(p) > 0)
		source->fd = p->from;
	if (p->blocked)
		receiver->fd = p->to;
	else if (p->n_packets > 0 && p->packets[p->first].arrives_nsec < *wake_nsec)
		*wake_nsec = p->packets[p->first].arrives_nsec;
}

static void wait_until(struct pollfd *fds, size_t n, uint64_t now, uint64_t wake_nsec)
{
	uint64_t wait = wake_nsec > now ? wake_nsec - now : 0;
	struct timespec ts = { .tv_sec = (time_t)(wait / NSEC_PER_SEC),
			       .tv_nsec = (long)(wait % NSEC_PER_SEC) };

	if (ppoll(fds, n, wake_nsec == UINT64_MAX ? NULL : &ts, NULL) < 0 && errno != EINTR)
		die("poll");
}

static void move_bytes(struct connection **c, const struct pollfd *fds, uint64_t now)
{
	for (size_t d = 0; d < DIRECTIONS; d++) {
		struct pipe *p = &(*c)->pipes[d];

		if (fds[2 * d].revents)
			take(p, &link_.lanes[d], now);
		deliver(p, now);
	}
	if (is_over(*c))
		close_connection(c);
}

/* Until the command has ended. */
static void serve(int listener, int command_fd)
{
	struct pollfd fds[2 + MAX_CONNECTIONS * DIRECTIONS * 2] = {
		{ .fd = command_fd, .events = POLLIN }, { .fd = listener, .events = POLLIN }
	};

	do {
		uint64_t now = now_nsec(), wake_nsec = UINT64_MAX;

		for (size_t i = 0; i < MAX_CONNECTIONS * DIRECTIONS; i++) {
			const struct connection *c = link_.connections[i / DIRECTIONS];
			struct pollfd *pair = fds + 2 + 2 * i;

			pair[0].fd = pair[1].fd = -1;
			if (c)
				plan(&c->pipes[i % DIRECTIONS], now, &pair[0], &pair[1],
				     &wake_nsec);
		}
		wait_until(fds, sizeof fds / sizeof fds[0], now, wake_nsec);
		now = now_nsec();
		for (size_t i = 0; i < MAX_CONNECTIONS; i++)
			if (link_.connections[i])
				move_bytes(&link_.connections[i], fds + 2 + 4 * i, now);
		if (fds[1].revents)
			accept_one(listener, now);
	} while (!fds[0].revents);
}

/* ---- the command ---- */

static int listen_on(uint16_t port, uint16_t *ret_port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = loopback(port);
	socklen_t size = sizeof address;
	int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 64) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		die("port");
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static char *with_port(const char *word, uint16_t port)
{
	const char *place = strstr(word, "{port}");
	char *ret;

	if (!place)
		return strdup(word);
	if (asprintf(&ret, "%.*s%u%s", (int)(place - word), word, port, place + strlen("{port}")) <
	    0)
		return NULL;
	return ret;
}

static void end_with_parent(void)
{
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		die("parent");
}

static pid_t start(char **command, uint16_t port)
{
	pid_t pid;

	for (char **word = command; *word; word++)
		if (!(*word = with_port(*word, port)))
			die("command");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid > 0)
		return pid;
	end_with_parent();
	if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		die("output");
	execvp(command[0], command);
	die(command[0]);
}

static double msec_of(struct timeval tv)
{
	return (double)tv.tv_sec * 1e3 + (double)tv.tv_usec / 1e3;
}

static uint64_t wire_bytes(const struct lane *lane)
{
	return lane->payload_bytes + lane->packets * OVERHEAD_BYTES;
}

static void print(uint64_t took_nsec, const struct rusage *used)
{
	printf("wall\t%.1f\tms\n", (double)took_nsec / 1e6);
	printf("cpu\t%.1f\tms\n", msec_of(used->ru_utime) + msec_of(used->ru_stime));
	printf("peak_memory\t%ld\tkB\n", used->ru_maxrss);
	printf("connections\t%ju\tconnections\n", (uintmax_t)link_.connections_made);
	printf("down\t%ju\tbytes\n", (uintmax_t)wire_bytes(&link_.lanes[DOWN]));
	printf("up\t%ju\tbytes\n", (uintmax_t)wire_bytes(&link_.lanes[UP]));
}

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (end == text || *end != '\0') {
		fprintf(stderr, "link: %s: not a number\n", text);
		exit(125);
	}
	return value;
}

static void parse(int argc, char **argv, uint16_t *ret_port)
{
	static const struct option options[] = { { "rtt-msec", required_argument, NULL, 'd' },
						 { "rate-bits", required_argument, NULL, 'r' },
						 { "port", required_argument, NULL, 'p' },
						 { "to", required_argument, NULL, 't' },
						 { NULL, 0, NULL, 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
		if (option == 'd')
			link_.rtt_nsec = number(optarg) * 1000000;
		else if (option == 'r')
			link_.rate_bits = number(optarg);
		else if (option == 'p')
			*ret_port = (uint16_t)number(optarg);
		else if (option == 't')
			link_.to_port = (uint16_t)number(optarg);
		else
			exit(125);
	}
	if (link_.to_port == 0 || optind == argc) {
		fputs("usage: link [--rtt-msec N] [--rate-bits N] [--port N] --to PORT "
		      "COMMAND...\n",
		      stderr);
		exit(125);
	}
}

int main(int argc, char **argv)
{
	uint16_t port = 0;
	struct rusage used;
	uint64_t started;
	int listener, command_fd, status;
	pid_t pid;

	parse(argc, argv, &port);
	end_with_parent();
	listener = listen_on(port, &port);
	started = now_nsec();
	pid = start(argv + optind, port);
	command_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (command_fd < 0)
		die("command");
	serve(listener, command_fd);
	if (wait4(pid, &status, 0, &used) < 0)
		die("command");
	print(now_nsec() - started, &used);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
