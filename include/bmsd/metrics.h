/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of the packs in the text format of Prometheus (version 0.0.4), answered to any GET of
 * /metrics on Unix and loopback sockets that systemd or the configuration brings. Lives in the event
 * loop: a client that is slow or silent is dropped and delays nobody. Nothing here changes anything.
 *
 * Names follow the rules of Prometheus: base units (volts, amperes, celsius, ratio, seconds), "_total"
 * for what only grows. What is not known is absent.
 */
#ifndef BMSD_METRICS_H
#define BMSD_METRICS_H

#include <stddef.h>
#include <systemd/sd-event.h>

#include "bmsd/facts.h"
#include "bmsd/service.h"
#include "common/cleanup.h"

#define METRICS_MAX_CLIENTS	8
#define METRICS_MAX_SOCKETS	4
#define METRICS_REQUEST_BYTES	4096
#define METRICS_CLIENT_MSEC	5000
/* The name of the sockets that systemd hands over (FileDescriptorName= of bmsd-metrics.socket). */
#define METRICS_DESCRIPTOR_NAME "metrics"

/* The whole text; caller frees. */
_must_check_ int metrics_build(const struct facts *f, char **ret_text);

struct metrics;

/* service is borrowed. Without any socket it does nothing, at no cost. */
_must_check_ int metrics_new(sd_event *event, const struct service *service, void *userdata,
			     struct metrics **ret);
struct metrics *metrics_free(struct metrics *m);
DEFINE_CLEANUP(struct metrics *, metrics_free);

/* Serves a listening stream socket; it is ours from here on, on failure too. -E2BIG over
 * METRICS_MAX_SOCKETS, -ENOTSOCK if it is none. */
_must_check_ int metrics_add_socket(struct metrics *m, int fd);
/* All that systemd has handed over by the name above; how many. */
_must_check_ int metrics_add_from_systemd(struct metrics *m);
/* Makes a Unix socket of mode 0660; a socket that nobody listens on is replaced, another file never.
 * It is removed by metrics_free(). */
_must_check_ int metrics_add_path(struct metrics *m, const char *path);

#endif
