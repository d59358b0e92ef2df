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

/* -EINVAL with a sentence (static) if no link can be made of this device, whatever is there. */
_must_check_ int link_check(const char *device, const char **ret_error);

/* What open() said, -EINVAL for a device or speed that cannot be, -EBUSY while another program holds
 * it, -ENOTTY if it is nothing that talks. */
_must_check_ int link_open(const char *device, unsigned baud, struct link **ret);
struct link *link_free(struct link *l);
DEFINE_CLEANUP(struct link *, link_free);

/* Still on the way: link_events() is EPOLLOUT, and link_finish() is to be called then. */
bool link_is_connecting(const struct link *l);
/* What epoll is to look for. A directory cannot be watched: 0. */
uint32_t link_events(const struct link *l);
/* After EPOLLOUT: connected, or why not. */
_must_check_ int link_finish(struct link *l);
/* Bytes, -EAGAIN if there are none yet, -ENODATA at the end of a recording, else the line is lost. */
_must_check_ ssize_t link_read(struct link *l, void *bytes, size_t size);
_must_check_ ssize_t link_write(struct link *l, const void *bytes, size_t size);
/* Throws away what has arrived and was not read. */
void link_discard(struct link *l);

/* The link is a directory without bytes: its descriptor; else -ENOTDIR. */
int link_directory(const struct link *l);
/* For epoll. */
int link_fd(const struct link *l);

#endif
