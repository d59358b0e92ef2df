/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/link.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "link_ops.h"

static const struct link_ops *const kinds[] = {
	&link_ops_tcp, &link_ops_replay, &link_ops_replay_fast, &link_ops_serial, /* any path */
};

static const struct link_ops *find(const char *device, const char **ret_address)
{
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
		size_t size = strlen(kinds[i]->prefix);

		if (strncmp(device, kinds[i]->prefix, size) != 0)
			continue;
		*ret_address = device + size;
		return kinds[i];
	}
	return NULL;
}

/* Which of the two a path is can be seen only where it is. */
static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int link_check(const char *device, const char **ret_error)
{
	const struct link_ops *ops;
	const char *address = NULL;

	if (device[0] == '/')
		return 0;
	ops = find(device, &address);
	if (ops && ops->check)
		return ops->check(address, ret_error);
	*ret_error = "neither an absolute path nor tcp:ADDRESS:PORT nor replay:PATH";
	return -EINVAL;
}

int link_open(const char *device, unsigned baud, struct link **ret)
{
	_cleanup_(link_freep) struct link *l = NULL;
	const char *address = device, *error;
	int r;

	r = link_check(device, &error);
	if (r < 0)
		return r;
	l = calloc(1, sizeof *l);
	if (!l)
		return -ENOMEM;
	l->fd = FD_NONE;
	l->ops = find(device, &address);
	if (device[0] == '/') {
		address = device;
		l->ops = is_directory(device) ? &link_ops_directory : &link_ops_serial;
	}
	r = l->ops->open(l, address, baud);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(l);
	return 0;
}

struct link *link_free(struct link *l)
{
	if (!l)
		return NULL;
	if (l->ops->close)
		l->ops->close(l);
	close_fd(&l->fd);
	free(l);
	return NULL;
}

bool link_is_connecting(const struct link *l)
{
	return l->connecting;
}

uint32_t link_events(const struct link *l)
{
	if (!l->ops->read)
		return 0;
	return l->connecting ? EPOLLOUT : EPOLLIN;
}

int link_finish(struct link *l)
{
	return l->connecting ? l->ops->finish(l) : 0;
}

ssize_t link_read(struct link *l, void *bytes, size_t size)
{
	return l->ops->read ? l->ops->read(l, bytes, size) : -EISDIR;
}

ssize_t link_write(struct link *l, const void *bytes, size_t size)
{
	return l->ops->write ? l->ops->write(l, bytes, size) : -EISDIR;
}

void link_discard(struct link *l)
{
	if (l->ops->discard)
		l->ops->discard(l);
}

int link_directory(const struct link *l)
{
	return l->ops->read ? -ENOTDIR : l->fd;
}

int link_fd(const struct link *l)
{
	return l->fd;
}
