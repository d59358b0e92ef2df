/* SPDX-License-Identifier: Apache-2.0 */
/*
 * org.bmsgateway.Battery1 on the system bus (docs/PROTOCOL.md). Lives in the event loop. Without a
 * bus, or when it goes away, it is tried again every few seconds: polling does not depend on it.
 */
#ifndef BMSD_BUS_H
#define BMSD_BUS_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "bmsd/facts.h"
#include "bmsd/sample.h"
#include "common/cleanup.h"

struct events;
struct history;

#define BATTERY_BUS_NAME   "org.bmsgateway.Battery1"
#define BATTERY_BUS_PATH   "/org/bmsgateway/Battery1"
#define BATTERY_BUS_IFACE  "org.bmsgateway.Battery1"
#define BATTERY_PACK_IFACE "org.bmsgateway.Battery1.Pack"

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

/* What SetFet asks for. The texts are borrowed from the message. */
struct bus_fet_command {
	bool discharge; /* which one: else the charge FET */
	bool on;
	const char *reason; /* not empty */
	uint32_t lease_sec; /* 0: until somebody says otherwise */
	uint32_t uid;	    /* of the caller */
};

/* What the methods beside Status and Health need. pack is the index in facts, not the number. A
 * function that is NULL, or answers NULL, gives the caller of the method "not supported". */
struct bus_handlers {
	struct events *(*events)(void *userdata);
	struct history *(*history)(void *userdata, size_t pack);
	/* A negative answer refuses; ret_reason says why, for people. Root only: checked here too. */
	int (*set_fet)(void *userdata, size_t pack, const struct bus_fet_command *command,
		       char ret_reason[SAMPLE_REASON_BYTES]);
	/* An operator has seen the latched alarms; how many were cleared. Root only. */
	int (*reset_alarms)(void *userdata, size_t pack);
	/* All that is in memory alone is on the medium when it answers. Root only. */
	int (*quiesce)(void *userdata, uint64_t *ret_event_sequence);
};

/* handlers is copied; userdata is that of bus_new(). */
void bus_set_handlers(struct bus *b, const struct bus_handlers *handlers);

/* Sends change signals for what differs from the last call. */
void bus_publish(struct bus *b);

#endif
