/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/metrics.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "common/log.h"
#include "common/unix_socket.h"

#define ACCURACY_USEC 100000
#define RESUME_USEC   1000000
#define SOCKET_MODE   0660

struct client {
	struct metrics *metrics;
	int fd; /* negative: free */
	sd_event_source *io, *timer;
	char request[METRICS_REQUEST_BYTES];
	size_t request_bytes;
	char *answer;
	size_t answer_bytes, sent_bytes;
};

struct metrics {
	sd_event *event;
	const struct service *service;
	void *userdata;
	size_t n_sockets;
	int sockets[METRICS_MAX_SOCKETS];
	sd_event_source *sources[METRICS_MAX_SOCKETS];
	sd_event_source *resume;
	char *path; /* ours to remove */
	struct client clients[METRICS_MAX_CLIENTS];
};

int metrics_new(sd_event *event, const struct service *service, void *userdata,
		struct metrics **ret)
{
	struct metrics *m = calloc(1, sizeof *m);

	if (!m)
		return -ENOMEM;
	m->event = sd_event_ref(event);
	m->service = service;
	m->userdata = userdata;
	for (size_t i = 0; i < METRICS_MAX_CLIENTS; i++)
		m->clients[i].fd = FD_NONE;
	*ret = m;
	return 0;
}

static void listen_again(struct metrics *m, int state)
{
	for (size_t i = 0; i < m->n_sockets; i++)
		(void)sd_event_source_set_enabled(m->sources[i], state);
}

/* ---- a client ---- */

static void client_done(struct client *c)
{
	sd_event_source_disable_unref(c->io);
	sd_event_source_disable_unref(c->timer);
	close_fd(&c->fd);
	free(c->answer);
	*c = (struct client){ .metrics = c->metrics, .fd = FD_NONE };
}

static void client_drop(struct client *c)
{
	struct metrics *m = c->metrics;

	client_done(c);
	listen_again(m, SD_EVENT_ON);
}

static int on_client_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source, (void)usec;
	client_drop(userdata);
	return 0;
}

static int answer_with(struct client *c, const char *status, const char *type, const char *body,
		       bool with_body)
{
	int size;

	size = asprintf(&c->answer,
			"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
			"Connection: close\r\n\r\n%s",
			status, type, strlen(body), with_body ? body : "");
	if (size < 0) {
		c->answer = NULL;
		return -ENOMEM;
	}
	c->answer_bytes = (size_t)size;
	return 0;
}

static int answer_metrics(struct client *c, bool with_body)
{
	_cleanup_free_ char *text = NULL;
	struct facts *f = calloc(1, sizeof *f);
	int r;

	if (!f)
		return -ENOMEM;
	c->metrics->service->facts(c->metrics->userdata, f);
	r = metrics_build(f, &text);
	free(f);
	if (r < 0)
		return r;
	return answer_with(c, "200 OK", "text/plain; version=0.0.4; charset=utf-8", text,
			   with_body);
}

static bool asks_for(const char *request, const char *method)
{
	size_t length = strlen(method);
	const char *target = request + length + 1;
	size_t target_length;

	if (strncmp(request, method, length) != 0 || request[length] != ' ')
		return false;
	target_length = strcspn(target, " ?\r\n");
	return target_length == strlen("/metrics") &&
	       strncmp(target, "/metrics", target_length) == 0;
}

static int answer_request(struct client *c)
{
	static const char plain[] = "text/plain";

	if (!strstr(c->request, " HTTP/1."))
		return answer_with(c, "400 Bad Request", plain, "not HTTP/1\n", true);
	if (asks_for(c->request, "GET"))
		return answer_metrics(c, true);
	if (asks_for(c->request, "HEAD"))
		return answer_metrics(c, false);
	return answer_with(c, "404 Not Found", plain, "GET /metrics is all there is\n", true);
}

/* 1: the head of the request is there, 0: more is to come. */
static int client_read(struct client *c)
{
	size_t room = sizeof c->request - 1 - c->request_bytes;
	ssize_t n;

	if (room == 0)
		return -EMSGSIZE;
	n = recv(c->fd, c->request + c->request_bytes, room, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	if (memchr(c->request + c->request_bytes, '\0', (size_t)n))
		return -EBADMSG;
	c->request_bytes += (size_t)n;
	c->request[c->request_bytes] = '\0';
	return strstr(c->request, "\r\n\r\n") ? 1 : 0;
}

/* 1: all is sent, 0: the socket takes no more now. */
static int client_send(struct client *c)
{
	ssize_t n = send(c->fd, c->answer + c->sent_bytes, c->answer_bytes - c->sent_bytes,
			 MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	c->sent_bytes += (size_t)n;
	return c->sent_bytes == c->answer_bytes;
}

static int client_step(struct client *c)
{
	int r;

	if (!c->answer) {
		r = client_read(c);
		if (r <= 0)
			return r;
		r = answer_request(c);
		if (r < 0)
			return r;
		r = sd_event_source_set_io_events(c->io, EPOLLOUT);
		if (r < 0)
			return r;
	}
	return client_send(c);
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct client *c = userdata;

	(void)source, (void)fd, (void)events;
	if (client_step(c) != 0)
		client_drop(c);
	return 0;
}

static int client_begin(struct metrics *m, struct client *c, int fd)
{
	int r;

	c->metrics = m;
	c->fd = fd;
	r = sd_event_add_io(m->event, &c->io, fd, EPOLLIN, on_client, c);
	if (r >= 0)
		r = sd_event_add_time_relative(m->event, &c->timer, CLOCK_MONOTONIC,
					       METRICS_CLIENT_MSEC * UINT64_C(1000), ACCURACY_USEC,
					       on_client_late, c);
	if (r < 0)
		client_done(c);
	return r;
}

static struct client *free_client(struct metrics *m)
{
	for (size_t i = 0; i < METRICS_MAX_CLIENTS; i++)
		if (m->clients[i].fd < 0)
			return &m->clients[i];
	return NULL;
}

/* ---- sockets ---- */

static int on_resume(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source, (void)usec;
	listen_again(userdata, SD_EVENT_ON);
	return 0;
}

/* No descriptors left, for one: a level-triggered socket would keep the loop spinning. */
static void pause_listening(struct metrics *m)
{
	listen_again(m, SD_EVENT_OFF);
	if (!m->resume && sd_event_add_time_relative(m->event, &m->resume, CLOCK_MONOTONIC,
						     RESUME_USEC, ACCURACY_USEC, on_resume, m) < 0)
		return;
	(void)sd_event_source_set_time_relative(m->resume, RESUME_USEC);
	(void)sd_event_source_set_enabled(m->resume, SD_EVENT_ONESHOT);
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct metrics *m = userdata;
	struct client *c = free_client(m);
	int client;

	(void)source, (void)events;
	if (!c) {
		/* They wait in the backlog until one of ours has ended. */
		listen_again(m, SD_EVENT_OFF);
		return 0;
	}
	client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client >= 0)
		(void)client_begin(m, c, client);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		pause_listening(m);
	return 0;
}

int metrics_add_socket(struct metrics *m, int fd)
{
	_cleanup_close_ int owned = fd;
	sd_event_source *source = NULL;
	int r;

	if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
		return -ENOTSOCK;
	if (m->n_sockets == METRICS_MAX_SOCKETS)
		return -E2BIG;
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return -errno;
	r = sd_event_add_io(m->event, &source, fd, EPOLLIN, on_connection, m);
	if (r < 0)
		return r;
	m->sources[m->n_sockets] = source;
	m->sockets[m->n_sockets++] = TAKE_FD(owned);
	return 0;
}

static void free_names(char ***names)
{
	for (char **name = *names; name && *name; name++)
		free(*name);
	free(*names);
}

int metrics_add_from_systemd(struct metrics *m)
{
	_cleanup_(free_names) char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names), added = 0;

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		int r = 0;

		if (strcmp(names[i], METRICS_DESCRIPTOR_NAME) == 0)
			r = metrics_add_socket(m, SD_LISTEN_FDS_START + i);
		if (r < 0)
			return r;
		added += strcmp(names[i], METRICS_DESCRIPTOR_NAME) == 0;
	}
	return added;
}

int metrics_add_path(struct metrics *m, const char *path)
{
	_cleanup_close_ int fd = unix_socket_listen(path, SOCKET_MODE);

	if (fd < 0)
		return fd;
	free(m->path);
	m->path = strdup(path);
	if (!m->path) {
		unix_socket_remove(path);
		return -ENOMEM;
	}
	return metrics_add_socket(m, TAKE_FD(fd));
}

struct metrics *metrics_free(struct metrics *m)
{
	if (!m)
		return NULL;
	for (size_t i = 0; i < METRICS_MAX_CLIENTS; i++)
		client_done(&m->clients[i]);
	for (size_t i = 0; i < m->n_sockets; i++) {
		sd_event_source_disable_unref(m->sources[i]);
		close_fd(&m->sockets[i]);
	}
	sd_event_source_disable_unref(m->resume);
	if (m->path)
		unix_socket_remove(m->path);
	free(m->path);
	sd_event_unref(m->event);
	free(m);
	return NULL;
}
