/* SPDX-License-Identifier: Apache-2.0 */
/* Who may call. The policy of the bus says the same; this is for a bus whose policy was changed. */
#ifndef UPDATERD_CALLER_H
#define UPDATERD_CALLER_H

#include <systemd/sd-bus.h>

#include "common/cleanup.h"
#include "updaterd/conf.h"

/* The agent may not what is root's: taken over it could restart the program without end, and take back
 * every upgrade. */
_must_check_ int caller_check_root(sd_bus_message *m, sd_bus_error *error);
/* Root, or the agent's user. */
_must_check_ int caller_check_agent(const struct conf *conf, sd_bus_message *m,
				    sd_bus_error *error);

#endif
