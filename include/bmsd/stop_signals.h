/* SPDX-License-Identifier: Apache-2.0 */
/* How a program with an event loop is ended from outside. */
#ifndef BMSD_STOP_SIGNALS_H
#define BMSD_STOP_SIGNALS_H

#include <systemd/sd-event.h>

#include "common/cleanup.h"

/* SIGTERM and SIGINT, blocked from now on, end the loop with 0. SIGPIPE is ignored: a peer that is gone
 * is an error where it is written to. */
_must_check_ int stop_signals_watch(sd_event *event);

#endif
