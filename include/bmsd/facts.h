/* SPDX-License-Identifier: Apache-2.0 */
/* All that the daemon can say of itself at one moment; health, status and bus are made from it. */
#ifndef BMSD_FACTS_H
#define BMSD_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bmsd/conf.h"
#include "bmsd/pack.h"
#include "bmsd/state.h"

struct pack_facts {
	unsigned number;
	struct pack_view pack;
	struct state_view state;
};

struct facts {
	const char *version; /* release */
	bool ready;
	int64_t started_msec; /* monotonic */
	int64_t now_msec;
	int64_t loop_age_msec;	/* since a poller last made progress */
	uint64_t watchdog_msec; /* 0: nobody watches */
	int64_t update_current_max_ua;
	size_t n_packs;
	struct pack_facts packs[BMSD_MAX_PACKS];
};

#endif
