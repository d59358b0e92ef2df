/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/medium.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/fsutil.h"
#include "tuf/name.h"

#define REQUEST_MAX_BYTES 1024

struct medium {
	int dirfd;    /* opened directly … */
	int opener;   /* … or by the helper at the other end of this socket */
	pid_t helper; /* 0: none */
};

static int open_regular(int dirfd, const char *path)
{
	return tuf_path_is_plain(path) ? fs_open_regular(dirfd, path, NULL) : -EINVAL;
}

/* An answer is the result as an int, with the descriptor beside it if there is one. */
static int send_answer(int socket, int result)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = &result, .iov_len = sizeof result };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (result >= 0) {
		struct cmsghdr *c;

		message.msg_control = control.bytes;
		message.msg_controllen = sizeof control.bytes;
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &result, sizeof(int));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int receive_answer(int socket)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	int result = 0, fd = FD_NONE;
	struct iovec iov = { .iov_base = &result, .iov_len = sizeof result };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof control.bytes };
	const struct cmsghdr *c;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof result)
		return -EIO;
	c = CMSG_FIRSTHDR(&message);
	if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	if (result < 0)
		return result;
	return fd >= 0 ? fd : -EIO;
}

/* The helper: answers until the other end is closed. */
_Noreturn static void serve(int socket, int dirfd)
{
	char path[REQUEST_MAX_BYTES + 1];

	for (;;) {
		_cleanup_close_ int fd = FD_NONE;
		ssize_t n = recv(socket, path, REQUEST_MAX_BYTES, 0);

		if (n <= 0)
			_exit(0);
		path[n] = '\0';
		fd = open_regular(dirfd, path);
		if (send_answer(socket, fd) < 0)
			_exit(1);
	}
}

static int start_helper(struct medium *m)
{
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	m->helper = fork();
	if (m->helper < 0) {
		int r = -errno;

		m->helper = 0;
		(void)close(sockets[0]);
		(void)close(sockets[1]);
		return r;
	}
	if (m->helper == 0) {
		(void)close(sockets[0]);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(sockets[1], m->dirfd);
	}
	(void)close(sockets[1]);
	m->opener = sockets[0];
	return 0;
}

int medium_open(const char *path, struct medium **ret)
{
	_cleanup_(medium_closep) struct medium *m = calloc(1, sizeof *m);
	int r;

	if (!m)
		return -ENOMEM;
	m->opener = FD_NONE;
	m->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->dirfd < 0)
		return -errno;
	if (geteuid() == 0) {
		r = start_helper(m);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(m);
	return 0;
}

struct medium *medium_close(struct medium *m)
{
	if (!m)
		return NULL;
	close_fd(&m->opener);
	close_fd(&m->dirfd);
	if (m->helper > 0)
		(void)waitpid(m->helper, NULL, 0);
	free(m);
	return NULL;
}

int medium_open_file(struct medium *m, const char *path)
{
	if (m->opener < 0)
		return open_regular(m->dirfd, path);
	if (!tuf_path_is_plain(path) || strlen(path) > REQUEST_MAX_BYTES)
		return -EINVAL;
	if (send(m->opener, path, strlen(path), MSG_NOSIGNAL) < 0)
		return -errno;
	return receive_answer(m->opener);
}
