/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How one pack fared: a value each second for an hour, in memory; minimum, average and maximum of
 * each minute for 30 days in a ring file of fixed size, history.ring of the pack's directory:
 *
 *	block 0		"bmsd-history 1\n", bytes of a record, number of records, CRC-32
 *	record n	sequence, minute, values, CRC-32; place: (sequence - 1) % number of records
 *
 * all little-endian. All its blocks are allocated when it is made (2.7 MB), so a full disk cannot
 * stop it. A record whose CRC is wrong, or whose sequence does not belong to its place, is skipped.
 *
 * Wear, for each pack: a record of 64 bytes is written each minute, by pwrite(), so 1440 pages a
 * day at most; synced at most each HISTORY_SYNC_MSEC, 144 times a day. Killing bmsd loses the minute that is
 * being gathered; a power cut that and what was not synced: 10 minutes.
 *
 * Records are ordered by sequence, not by the clock: after it was set back a minute may be there
 * twice, and both are shown in the order they were written.
 */
#ifndef BMSD_HISTORY_H
#define BMSD_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bmsd/sample.h"
#include "common/cleanup.h"

#define HISTORY_FILE	     "history.ring"
#define HISTORY_RECORDS	     43200 /* minutes of 30 days */
#define HISTORY_RECORD_BYTES 64
#define HISTORY_SECONDS	     3600
#define HISTORY_SYNC_MSEC    600000

enum history_field {
	HISTORY_VOLTAGE,     /* mV */
	HISTORY_CURRENT,     /* mA */
	HISTORY_SOC,	     /* 0.01 % */
	HISTORY_TEMPERATURE, /* 0.1 degrees Celsius, all sensors together */
	HISTORY_CELLS,	     /* mV: lowest, average, highest of all cells */
	HISTORY_FIELDS,
};

/* "voltage", "current" …, and the power_supply name of the unit that JSON has it in. */
const char *history_field_name(unsigned field);

struct history_range {
	int32_t min, avg, max;
};

/* A second, or a minute. */
struct history_point {
	uint64_t wall_sec; /* the second, or the minute's first one */
	uint32_t samples;  /* that it is made of; a minute without any is not written */
	uint32_t valid;	   /* 1 << enum history_field */
	struct history_range fields[HISTORY_FIELDS];
};

struct history;

/* Makes the file where there is none; one that is not ours is renamed to history.ring.damaged first
 * (*ret_damaged). Without room for it (-ENOSPC and the like) there is a history in memory alone,
 * and *ret_error is the reason. */
_must_check_ int history_open(int dirfd, struct history **ret, bool *ret_damaged, int *ret_error);
struct history *history_free(struct history *h);
DEFINE_CLEANUP(struct history *, history_free);

/* soc_centipercent: -1 unknown. A minute that is over is written: 1, else 0. A failure to write is
 * returned each time it happens, what is in memory is good all the same. */
_must_check_ int history_add(struct history *h, const struct sample *s, int soc_centipercent,
			     uint64_t wall_sec, int64_t uptime_msec);
/* Writes a minute that is over though no sample came, syncs if it is time. 1: something was done. */
_must_check_ int history_tick(struct history *h, uint64_t wall_sec, int64_t uptime_msec);
/* Writes the minute as far as it goes, and syncs: the last act. The rest of the minute becomes a record
 * of its own. 1: something was done. */
_must_check_ int history_flush(struct history *h);

typedef int (*history_fn)(const struct history_point *point, void *userdata);

/* Oldest first; non-zero from the callback ends it and is returned. Bounds inclusive. */
_must_check_ int history_read_seconds(const struct history *h, uint64_t from_sec, uint64_t to_sec,
				      history_fn fn, void *userdata);
_must_check_ int history_read_minutes(const struct history *h, uint64_t from_sec, uint64_t to_sec,
				      history_fn fn, void *userdata);
/* From the file alone, where no bmsd runs. dirfd is the pack's directory. */
_must_check_ int history_read_file(int dirfd, uint64_t from_sec, uint64_t to_sec, history_fn fn,
				   void *userdata);

#endif
