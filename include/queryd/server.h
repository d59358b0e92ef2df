/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listeners: HTTPS (or plain HTTP on loopback) and the Unix socket, with libmicrohttpd, which is
 * known only here. Bodies are counted while they arrive; what exceeds the limit is never kept.
 */
#ifndef QUERYD_SERVER_H
#define QUERYD_SERVER_H

#include "common/cleanup.h"
#include "queryd/service.h"

struct server;

/* Listens and answers, in threads of its own, until server_stop(). service is borrowed. Logs one
 * line for each listener. On failure *ret_error is a sentence; caller frees. */
_must_check_ int server_start(struct service *service, struct server **ret, char **ret_error);

/* Accepts no more, lets requests that came before be answered for up to drain_sec, ends. */
struct server *server_stop(struct server *s, uint64_t drain_sec);

#endif
