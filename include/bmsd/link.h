/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a board is reached. The device of the configuration says it:
 *
 *	/dev/serial/by-id/…         a serial line (any absolute path but that of a directory)
 *	/sys/class/power_supply/…   a directory, for drivers that read one
 *	tcp:192.0.2.7:2000          a serial line behind the network (ser2net, raw mode)
 *	tcp:[2001:db8::7]:2000
 *	replay:/path                a session that capture.h recorded, at its own pace
 *	replay-fast:/path           the same, every answer at once
 *
 * Hosts are addresses, not names: the name service would block the loop, or need threads beside it,
 * for a board at the end of a cable that an administrator gave a fixed address anyway.
 *
 * A link never blocks. Its descriptor is watched for link_events(); for a TCP line that is not yet
 * connected they are EPOLLOUT, and link_finish() then tells the outcome.
 */
#ifndef BMSD_LINK_H
#define BMSD_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"

#define LINK_CONNECT_MSEC 5000 /* a connection that takes longer will not come */

struct link;

/* A kind of link: adding one is a file src/bmsd/link_<name>.c and a line in the table of link.c. */
struct link_ops {
	const char *name;
	const char *prefix; /* of the device; "" is the last resort */
	/* 0 if what follows the prefix can be right, else -EINVAL with a sentence. Touches nothing. */
	int (*check)(const char *address, const char **ret_error);
	/* ret->fd and ret->priv, to be released by close(). -EINPROGRESS never: see connecting. */
	int (*open)(struct link *l, const char *address, unsigned baud);
	int (*finish)(struct link *l); /* NULL: open() is enough */
	ssize_t (*read)(struct link *l, void *bytes, size_t size);
	ssize_t (*write)(struct link *l, const void *bytes, size_t size);
	void (*discard)(struct link *l); /* what has arrived and was not read */
	void (*close)(struct link *l);
};

struct link {
	const struct link_ops *ops;
	int fd;
	bool connecting;
	bool is_directory; /* fd is the directory; there are no bytes */
	void *priv;
};

/* -EINVAL with a sentence (static) if no link can be made of this device, whatever is there. */
_must_check_ int link_check(const char *device, const char **ret_error);

/* What open() said, -EINVAL for a device or speed that cannot be, -EBUSY while another program holds
 * it, -ENOTTY if it is nothing that talks. */
_must_check_ int link_open(const char *device, unsigned baud, struct link **ret);
struct link *link_free(struct link *l);
DEFINE_CLEANUP(struct link *, link_free);

/* What epoll is to look for. A directory cannot be watched: 0. */
uint32_t link_events(const struct link *l);
/* After EPOLLOUT: connected, or why not. */
_must_check_ int link_finish(struct link *l);
/* Bytes, 0 at the end of the line (it hung up), -EAGAIN if there are none yet. */
_must_check_ ssize_t link_read(struct link *l, void *bytes, size_t size);
_must_check_ ssize_t link_write(struct link *l, const void *bytes, size_t size);
void link_discard(struct link *l);

extern const struct link_ops link_serial, link_tcp, link_replay, link_replay_fast;

#endif
