/* SPDX-License-Identifier: Apache-2.0 */
/*
 * org.bmsgateway.Battery1 on the system bus (docs/PROTOCOL.md). Lives in the event loop. Without a
 * bus, or when it goes away, it is tried again every few seconds: polling does not depend on it.
 */
#ifndef BMSD_BUS_H
#define BMSD_BUS_H

#include <stdbool.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "bmsd/facts.h"
#include "bmsd/service.h"
#include "common/cleanup.h"

#define BATTERY_BUS_NAME   "org.bmsgateway.Battery1"
#define BATTERY_BUS_PATH   "/org/bmsgateway/Battery1"
#define BATTERY_BUS_IFACE  "org.bmsgateway.Battery1"
#define BATTERY_PACK_IFACE "org.bmsgateway.Battery1.Pack"

/* The policy of fet.h says no; the message is its sentence. */
#define BATTERY_ERROR_REFUSED "org.bmsgateway.Battery1.Error.Refused"

struct bus;

/* Fills in what is true now. */
typedef void (*bus_facts_fn)(void *userdata, struct facts *ret);
/* The name is ours, or it is known that there is no bus for now (error < 0). Called once for each
 * attempt. */
typedef void (*bus_settled_fn)(void *userdata, int error);

/* The first attempt is made by the loop. */
_must_check_ int bus_new(sd_event *event, bus_facts_fn facts, bus_settled_fn settled,
			 void *userdata, struct bus **ret);
struct bus *bus_free(struct bus *b);
DEFINE_CLEANUP(struct bus *, bus_free);

/* What the methods beside Status and Health need; without it they are "not supported". service is
 * borrowed; its userdata is that of bus_new(). Who may command is checked here too, not by the bus's
 * policy alone: root. */
void bus_set_service(struct bus *b, const struct service *service);

/* The objects, on a connection that may be no bus at all: what bus_new() does on its own, and tests on
 * one of theirs. */
_must_check_ int bus_add_objects(struct bus *b, sd_bus *connection);

/* Sends change signals for what differs from the last call. */
void bus_publish(struct bus *b);

#endif
