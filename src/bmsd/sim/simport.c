/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/simport.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

#include "bmsd/simboard.h"

#define SPLIT_USEC     2000.0
#define READ_BYTES     256
#define BACKLOG	       4
#define TERMINAL       0 /* its line; the others are connections */
#define FREE_LINE_USEC UINT64_C(100000)

struct line {
	struct simport *port;
	unsigned number;
	int fd;
	sd_event_source *reader, *sender;
	struct simline out;
};

struct simport {
	struct simport_settings s;
	sd_event *event;
	simport_heard_fn heard;
	void *userdata;
	struct line lines[SIMBOARD_LINES];
	int slave; /* held open: a terminal that nobody has open hangs up */
	bool linked;
	int listener;
	sd_event_source *acceptor;
	sd_event_source *freer;
	struct sockaddr_in address;
};

/* ---- one line ---- */

static void close_line(struct line *l)
{
	l->reader = sd_event_source_disable_unref(l->reader);
	l->sender = sd_event_source_disable_unref(l->sender);
	close_fd(&l->fd);
	l->fd = FD_NONE;
	l->out = (struct simline){};
}

static void send_after(struct line *l, double usec)
{
	(void)sd_event_source_set_time_relative(l->sender, (uint64_t)(usec / l->port->s.speed));
	(void)sd_event_source_set_enabled(l->sender, SD_EVENT_ONESHOT);
}

static void send_due(struct line *l)
{
	ssize_t n = write(l->fd, l->out.bytes, simline_due(&l->out));

	if (n < 0 && errno != EAGAIN) {
		/* The gateway of a connection has gone; a terminal waits for the next one. */
		if (l->number != TERMINAL)
			close_line(l);
		return;
	}
	simline_written(&l->out, n > 0 ? (size_t)n : 0);
	if (l->out.used)
		send_after(l, SPLIT_USEC);
}

static int on_send(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source, (void)usec;
	send_due(userdata);
	return 0;
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct line *l = userdata;
	uint8_t bytes[READ_BYTES];
	ssize_t n = read(fd, bytes, sizeof bytes);

	(void)source, (void)events;
	if (n <= 0) {
		if (l->number != TERMINAL && (n == 0 || errno != EAGAIN))
			close_line(l);
		return 0;
	}
	l->port->heard(l->port->userdata, l->number, bytes, (size_t)n, &l->out);
	if (l->out.used == 0)
		return 0;
	if (l->out.delay_msec)
		send_after(l, 1000.0 * l->out.delay_msec);
	else
		send_due(l);
	return 0;
}

static int watch_line(struct line *l, int fd)
{
	int r;

	l->fd = fd;
	r = sd_event_add_io(l->port->event, &l->reader, fd, EPOLLIN, on_readable, l);
	if (r >= 0)
		r = sd_event_add_time_relative(l->port->event, &l->sender, CLOCK_MONOTONIC,
					       UINT64_C(1000000), 1, on_send, l);
	if (r >= 0)
		r = sd_event_source_set_enabled(l->sender, SD_EVENT_OFF);
	if (r < 0)
		close_line(l);
	return r;
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

/* Returns the master. */
static int make_terminal(char ret_path[PATH_MAX])
{
	_cleanup_close_ int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	int r;

	if (master < 0)
		return -errno;
	if (grantpt(master) < 0 || unlockpt(master) < 0)
		return -errno;
	r = ptsname_r(master, ret_path, PATH_MAX);
	if (r != 0)
		return -r;
	return TAKE_FD(master);
}

static int open_terminal(struct simport *p)
{
	_cleanup_close_ int master = FD_NONE;
	char path[PATH_MAX];
	int r;

	master = make_terminal(path);
	if (master < 0)
		return master;
	p->slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (p->slave < 0)
		return -errno;
	r = make_raw(p->slave);
	if (r < 0)
		return r;
	r = share(path, p->s.group);
	if (r < 0)
		return r;
	r = make_link(path, p->s.link);
	if (r < 0)
		return r;
	p->linked = true;
	return watch_line(&p->lines[TERMINAL], TAKE_FD(master));
}

static void close_terminal(struct simport *p)
{
	if (p->linked)
		(void)unlink(p->s.link);
	p->linked = false;
	close_line(&p->lines[TERMINAL]);
	close_fd(&p->slave);
	p->slave = FD_NONE;
}

/* A real line is free again when its user dies; ours would stay exclusive, since we keep it open. */
static int on_free(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct simport *p = userdata;

	(void)usec;
	if (p->slave >= 0)
		(void)ioctl(p->slave, TIOCNXCL);
	(void)sd_event_source_set_time_relative(source, FREE_LINE_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* ---- TCP ---- */

static struct line *find_free_line(struct simport *p)
{
	for (unsigned i = TERMINAL + 1; i < SIMBOARD_LINES; i++)
		if (p->lines[i].fd < 0)
			return &p->lines[i];
	return NULL;
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct simport *p = userdata;
	struct line *l = find_free_line(p);
	int connection = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;

	(void)source, (void)events;
	if (connection < 0)
		return 0;
	if (!l) {
		(void)close(connection);
		return 0;
	}
	(void)setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	(void)watch_line(l, connection);
	return 0;
}

static int parse_address(const char *text, struct sockaddr_in *ret)
{
	char host[64];
	const char *colon = strrchr(text, ':');
	char *end = NULL;
	unsigned long port;

	if (!colon || (size_t)(colon - text) >= sizeof host)
		return -EINVAL;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = 0;
	port = strtoul(colon + 1, &end, 10);
	if (end == colon + 1 || *end || port > 65535)
		return -EINVAL;
	*ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	return inet_pton(AF_INET, host, &ret->sin_addr) == 1 ? 0 : -EINVAL;
}

/* The port that was found at first is kept when the cable comes back. */
static int start_listening(struct simport *p)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof p->address;
	int on = 1, r;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&p->address, size) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&p->address, &size) < 0)
		return -errno;
	r = sd_event_add_io(p->event, &p->acceptor, fd, EPOLLIN, on_connection, p);
	if (r < 0)
		return r;
	p->listener = TAKE_FD(fd);
	return 0;
}

static void stop_listening(struct simport *p)
{
	p->acceptor = sd_event_source_disable_unref(p->acceptor);
	close_fd(&p->listener);
	p->listener = FD_NONE;
	for (unsigned i = TERMINAL + 1; i < SIMBOARD_LINES; i++)
		close_line(&p->lines[i]);
}

unsigned simport_tcp_port(const struct simport *p)
{
	return p->s.listen ? ntohs(p->address.sin_port) : 0;
}

/* ---- all of them ---- */

void simport_disconnect(struct simport *p)
{
	close_terminal(p);
	stop_listening(p);
}

int simport_connect(struct simport *p)
{
	int r;

	simport_disconnect(p);
	if (p->s.link) {
		r = open_terminal(p);
		if (r < 0)
			return r;
	}
	return p->s.listen ? start_listening(p) : 0;
}

int simport_new(sd_event *event, const struct simport_settings *settings, simport_heard_fn heard,
		void *userdata, struct simport **ret)
{
	_cleanup_(simport_freep) struct simport *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return -ENOMEM;
	p->s = *settings;
	p->slave = p->listener = FD_NONE;
	for (unsigned i = 0; i < SIMBOARD_LINES; i++)
		p->lines[i] = (struct line){ .port = p, .number = i, .fd = FD_NONE };
	p->event = sd_event_ref(event);
	p->heard = heard;
	p->userdata = userdata;
	if (settings->listen) {
		r = parse_address(settings->listen, &p->address);
		if (r < 0)
			return r;
	}
	r = sd_event_add_time_relative(event, &p->freer, CLOCK_MONOTONIC, FREE_LINE_USEC, 10000,
				       on_free, p);
	if (r < 0)
		return r;
	r = simport_connect(p);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

struct simport *simport_free(struct simport *p)
{
	if (!p)
		return NULL;
	simport_disconnect(p);
	sd_event_source_disable_unref(p->freer);
	sd_event_unref(p->event);
	free(p);
	return NULL;
}
