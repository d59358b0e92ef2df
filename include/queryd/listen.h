/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets.
 */
#ifndef QUERYD_LISTEN_H
#define QUERYD_LISTEN_H

#include <stdint.h>

#include "common/cleanup.h"

/* A numeric address, or "*" for every one of both families. Returns the descriptor. */
_must_check_ int listen_tcp(const char *address, uint16_t port);
/* The port that a TCP socket got. */
uint16_t listen_port(int fd);

/* Replaces a socket file that nobody listens on any more; -EADDRINUSE if somebody does, -EEXIST if
 * it is no socket. Returns the descriptor. */
_must_check_ int listen_unix(const char *path);
/* At the end, by who got a descriptor from listen_unix(). */
void listen_unix_remove(const char *path);

#endif
