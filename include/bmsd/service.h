/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the interfaces (bus, metrics, signals) may ask of the daemon. One table, handed to each of
 * them; they know neither the daemon nor each other. All is called from the event loop.
 */
#ifndef BMSD_SERVICE_H
#define BMSD_SERVICE_H

#include <stddef.h>
#include <stdint.h>

#include "bmsd/events.h"
#include "bmsd/facts.h"
#include "bmsd/fet.h"
#include "bmsd/history.h"

struct service {
	/* Fills in what is true now. */
	void (*facts)(void *userdata, struct facts *ret);
	/* pack is its number in the configuration, not an index. As fet_request(); -ENOENT without such a
	 * pack. The answer of the board is awaited by nobody: the lock is in the facts. */
	int (*set_fet)(void *userdata, unsigned pack, const struct fet_request *request,
		       char ret_refusal[FET_REFUSAL_BYTES]);
	/* Everything is written and synced when it returns 0; bmsd goes on as before. The highest state
	 * sequence that was written. */
	int (*quiesce)(void *userdata, uint64_t *ret_sequence);
	/* Clears what is latched and over; -ENOENT. */
	int (*reset_alarms)(void *userdata, unsigned pack);
	/* Borrowed; NULL without such a pack. */
	const struct history *(*history)(void *userdata, unsigned pack);
	struct events *(*events)(void *userdata);
};

#endif
