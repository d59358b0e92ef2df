/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets over TCP. */
#ifndef QUERYD_LISTEN_H
#define QUERYD_LISTEN_H

#include <stdint.h>

#include "common/cleanup.h"

/* A numeric address, or "*" for every one of both families. Returns the descriptor. */
_must_check_ int listen_tcp(const char *address, uint16_t port);
/* The port that a TCP socket got. */
uint16_t listen_port(int fd);

#endif
