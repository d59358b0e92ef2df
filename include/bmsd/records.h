/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events and history as the bus answers them (docs/PROTOCOL.md): a page at a time, so that no answer is
 * large. The next page begins after the last record of the one before, until a page is empty.
 *
 *	{"events":[{"sequence":41,"boot_id":"…","wall_sec":…,"pack":0,"event":"alarm-set",…}]}
 *	{"columns":["wall_sec","samples","voltage_min_uv","voltage_avg_uv","voltage_max_uv",…],
 *	 "points":[[1796000000,60,55100000,55120000,55150000,…]]}
 *
 * A value that is not known is null.
 */
#ifndef BMSD_RECORDS_H
#define BMSD_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "bmsd/events.h"
#include "bmsd/history.h"
#include "common/cleanup.h"

#define RECORDS_MAX_EVENTS 200
#define RECORDS_MAX_POINTS 720

/* max 0, or more than RECORDS_MAX_EVENTS: so many. */
_must_check_ int records_events(struct events *e, uint64_t after, uint32_t max, char **ret_json);
/* From the files of a bmsd that does not run; dirfd is its state directory. */
_must_check_ int records_events_files(int dirfd, uint64_t after, uint32_t max, char **ret_json);

struct records_range {
	bool minutes;		   /* else seconds */
	uint64_t from_sec, to_sec; /* inclusive; to_sec 0: without end */
	uint32_t max;		   /* 0, or more than RECORDS_MAX_POINTS: so many */
};
_must_check_ int records_history(const struct history *h, const struct records_range *range,
				 char **ret_json);
/* The minutes, from the file; dirfd is the pack's directory. -EOPNOTSUPP for seconds. */
_must_check_ int records_history_file(int dirfd, const struct records_range *range,
				      char **ret_json);

#endif
