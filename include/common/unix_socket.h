/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of servers that are files, and what a server that was killed leaves of one. */
#ifndef COMMON_UNIX_SOCKET_H
#define COMMON_UNIX_SOCKET_H

#include <sys/types.h>

#include "common/cleanup.h"

/* Listens at path, without blocking, with this mode at no moment exceeded. A socket file that nobody
 * listens on is replaced; -EADDRINUSE if somebody does, -EEXIST if it is no socket, -ENAMETOOLONG.
 * Returns the descriptor. */
_must_check_ int unix_socket_listen(const char *path, mode_t mode);
/* At the end, by who got a descriptor. */
void unix_socket_remove(const char *path);

#endif
