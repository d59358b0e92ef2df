/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/simcontrol.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#define BACKLOG	   8
#define ANSWER_SEC 10

struct simcontrol {
	sd_event *event;
	sd_event_source *acceptor;
	simcontrol_command_fn command;
	void *userdata;
	int listener;
	struct sockaddr_un address;
};

static int fill_address(const char *path, struct sockaddr_un *ret)
{
	if (strlen(path) >= sizeof ret->sun_path)
		return -ENAMETOOLONG;
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path, path, strlen(path));
	return 0;
}

/* The source owns the descriptor, and the loop the source: it ends with its client. */
static int on_command(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct simcontrol *c = userdata;
	char command[SIMCONTROL_BYTES], answer[SIMCONTROL_BYTES] = "";
	ssize_t n = recv(fd, command, sizeof command - 1, MSG_DONTWAIT);

	(void)events;
	if (n <= 0) {
		sd_event_source_disable_unref(source);
		return 0;
	}
	command[n] = 0;
	c->command(c->userdata, command, answer, sizeof answer);
	(void)send(fd, answer, strlen(answer), MSG_DONTWAIT | MSG_NOSIGNAL);
	return 0;
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct simcontrol *c = userdata;
	_cleanup_close_ int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	sd_event_source *s = NULL;

	(void)source, (void)events;
	if (client < 0 || sd_event_add_io(c->event, &s, client, EPOLLIN, on_command, c) < 0)
		return 0;
	(void)sd_event_source_set_io_fd_own(s, 1);
	(void)TAKE_FD(client);
	return 0;
}

static int start_listening(struct simcontrol *c)
{
	struct stat st;

	c->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->listener < 0)
		return -errno;
	if (lstat(c->address.sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(c->address.sun_path);
	if (bind(c->listener, (const struct sockaddr *)&c->address, sizeof c->address) < 0 ||
	    listen(c->listener, BACKLOG) < 0)
		return -errno;
	return sd_event_add_io(c->event, &c->acceptor, c->listener, EPOLLIN, on_client, c);
}

int simcontrol_new(sd_event *event, const char *path, simcontrol_command_fn command, void *userdata,
		   struct simcontrol **ret)
{
	_cleanup_(simcontrol_freep) struct simcontrol *c = calloc(1, sizeof *c);
	int r;

	if (!c)
		return -ENOMEM;
	c->listener = FD_NONE;
	c->event = sd_event_ref(event);
	c->command = command;
	c->userdata = userdata;
	r = fill_address(path, &c->address);
	if (r < 0)
		return r;
	r = start_listening(c);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct simcontrol *simcontrol_free(struct simcontrol *c)
{
	if (!c)
		return NULL;
	sd_event_source_disable_unref(c->acceptor);
	if (c->acceptor)
		(void)unlink(c->address.sun_path);
	close_fd(&c->listener);
	sd_event_unref(c->event);
	free(c);
	return NULL;
}

int simcontrol_tell(const char *path, const char *command, char ret_answer[SIMCONTROL_BYTES])
{
	const struct timeval wait = { .tv_sec = ANSWER_SEC };
	_cleanup_close_ int fd = FD_NONE;
	struct sockaddr_un address;
	ssize_t n;
	int r;

	r = fill_address(path, &address);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
	    send(fd, command, strlen(command), MSG_NOSIGNAL) < 0)
		return -errno;
	n = recv(fd, ret_answer, SIMCONTROL_BYTES - 1, 0);
	if (n < 0)
		return -errno;
	ret_answer[n] = 0;
	return n > 0 ? 0 : -ECONNRESET;
}
