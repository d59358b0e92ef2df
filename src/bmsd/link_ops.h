/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of links. Adding one is a file link_<name>.c and a line in the table of link.c. */
#ifndef BMSD_LINK_OPS_H
#define BMSD_LINK_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/cleanup.h"

struct link {
	const struct link_ops *ops;
	int fd;
	bool connecting;
	void *priv;
};

/* Members may be NULL where there is nothing to do; a link without read() is a directory. */
struct link_ops {
	const char *prefix; /* of the device; what follows is the address */
	int (*check)(const char *address, const char **ret_error);
	/* Sets l->fd, l->priv and l->connecting. If it fails, close() is called all the same. */
	int (*open)(struct link *l, const char *address, unsigned baud);
	int (*finish)(struct link *l);
	ssize_t (*read)(struct link *l, void *bytes, size_t size);
	ssize_t (*write)(struct link *l, const void *bytes, size_t size);
	void (*discard)(struct link *l);
	void (*close)(struct link *l); /* what is beside l->fd */
};

extern const struct link_ops link_ops_serial, link_ops_tcp, link_ops_directory, link_ops_replay,
	link_ops_replay_fast;

#endif
