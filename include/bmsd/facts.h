/* SPDX-License-Identifier: Apache-2.0 */
/* All that the daemon can say of itself at one moment; health, status and bus are made from it. */
#ifndef BMSD_FACTS_H
#define BMSD_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bmsd/alarms.h"
#include "bmsd/conf.h"
#include "bmsd/estimator.h"
#include "bmsd/events.h"
#include "bmsd/fet.h"
#include "bmsd/lifetime.h"
#include "bmsd/limits.h"
#include "bmsd/pack.h"
#include "bmsd/state.h"

#define FACTS_LAST_EVENTS 8

struct pack_facts {
	unsigned number;
	struct pack_view pack;
	struct state_view state;
	/* Names and levels by alarm_name() and settings; borrowed, good until the next step. */
	const struct alarms_memory *alarms;
	const struct alarms_settings *alarm_settings;
	const struct fet_memory *fet;
	bool charge_fet_changing;
	bool fet_allowed; /* by the configuration, and the driver is able to */
	struct estimator_view estimator;
	struct limits_view limits;
	const struct lifetime *lifetime; /* borrowed, as above */
};

struct facts {
	const char *version; /* release */
	bool ready;
	int64_t started_msec; /* monotonic */
	int64_t now_msec;
	int64_t loop_age_msec;	/* since a poller last made progress */
	uint64_t watchdog_msec; /* 0: nobody watches */
	int64_t update_current_max_ua;
	int64_t saved_age_msec;	 /* since all states were written; -1: never */
	uint64_t event_sequence; /* of the last event that may be shown */
	size_t n_events;
	struct event_view events[FACTS_LAST_EVENTS]; /* newest first */
	/* Borrowed, for what of the file was not taken; NULL: all was. */
	const struct bmsd_conf *conf;
	size_t n_packs;
	struct pack_facts packs[BMSD_MAX_PACKS];
};

#endif
