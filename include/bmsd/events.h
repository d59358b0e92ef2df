/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened: one log for all packs, JSON lines in events.jsonl of the state directory:
 *
 *	{"sequence":41,"boot_id":"…32 hex…","wall_sec":1796…,"uptime_msec":…,"pack":0,
 *	 "event":"alarm-set","name":"cell-overvoltage","level":"alarm","detail":"…",
 *	 "values":{"voltage_now":…,"current_now":…,"temp":…,"cell_min":…,"cell_max":…,
 *	           "soc_centipercent":…}}
 *
 * pack, name, level, detail and values are absent where they say nothing. A newer bmsd may add
 * members and kinds.
 *
 * An event is appended by one write() and is in the kernel's hands when events_add() returns: killing
 * bmsd loses none. It is shown to nobody before it was synced to the medium, so no number is ever
 * seen twice, whatever the power does. Syncs are immediate while events are rare (EVENTS_BURST, then
 * EVENTS_SYNC_MSEC apart): what a power cut takes in a storm are its last EVENTS_SYNC_MSEC, never
 * shown. A torn last line is cut off at the next start, a line that is no event is skipped.
 *
 * At half of max_bytes the file becomes events.jsonl.1, in place of the one before.
 */
#ifndef BMSD_EVENTS_H
#define BMSD_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bmsd/sample.h"
#include "common/cleanup.h"

#define EVENTS_FILE	    "events.jsonl"
#define EVENTS_OLD_FILE	    "events.jsonl.1"
#define EVENTS_BURST	    20
#define EVENTS_SYNC_MSEC    60000
#define EVENT_NAME_BYTES    40
#define EVENT_DETAIL_BYTES  160
#define EVENT_BOOT_ID_BYTES 33
#define EVENT_LINE_BYTES    1024

enum event_kind {
	EVENT_STARTED, /* detail: release, what the state was restored from */
	EVENT_STOPPED,
	EVENT_QUIESCED,
	EVENT_ALARM_SET,      /* name, level */
	EVENT_ALARM_CLEARED,  /* name, level; detail: since when */
	EVENT_PROTECTION_SET, /* the board's own; name */
	EVENT_PROTECTION_CLEARED,
	EVENT_LINK_UP,
	EVENT_LINK_DOWN,
	EVENT_ANCHOR,	  /* name: full, empty, rest */
	EVENT_RECONCILED, /* name: the path that was taken */
	EVENT_CAPACITY_LEARNED,
	EVENT_FET_COMMAND, /* name: charge-off, discharge-on …; detail: the reason given */
	EVENT_FET_REFUSED,
	EVENT_FET_LEASE_OVER,
	EVENT_FET_FAILED, /* the board does not do it */
	EVENT_STATE_DAMAGED,
	EVENT_STATE_LOST, /* no valid state was left though there had been one */
	EVENT_OTHER_BOARD,
	EVENT_CONFIG_REFUSED, /* detail: what of bmsd.conf is not taken; of a pack if that is left out, else
			       * the first of what may be more */
	EVENT_KIND_COUNT,
};

/* "alarm-set"; never NULL. */
const char *event_kind_name(unsigned kind);

struct events;

struct events_settings {
	uint64_t max_bytes; /* of both files together */
};

struct event_new {
	enum event_kind kind;
	int pack;	  /* -1: none */
	const char *name; /* NULL: none */
	const char *level;
	const char *detail;
	const struct sample *sample; /* its values are kept; NULL: none */
	int soc_centipercent;	     /* -1: not known; counts only with a sample */
	/* Of EVENT_CAPACITY_LEARNED, with a sample; 0: none. */
	uint64_t charge_full_uah;
	uint32_t charge_full_error_permille;
};

/* An event as it is shown in a list. */
struct event_view {
	uint64_t sequence;
	uint64_t wall_sec;
	int pack; /* -1: none */
	char kind[EVENT_NAME_BYTES];
	char name[EVENT_NAME_BYTES];
	char level[16];
	char detail[EVENT_DETAIL_BYTES];
};

/* boot_id: 32 hex digits, borrowed text is copied. floor is the highest number known from elsewhere
 * (the state files): the next event's is higher than it and than all in the files. Where there is no room
 * for the file, or it cannot be written, there is a log all the same: each events_add() tries again. */
_must_check_ int events_open(int dirfd, const struct events_settings *settings, const char *boot_id,
			     uint64_t floor, struct events **ret);
struct events *events_free(struct events *e);
DEFINE_CLEANUP(struct events *, events_free);

/* uptime_msec is monotonic. On failure either nothing was added, and the number goes to the next one
 * (what was half written is cut off), or it was not synced, and is shown once a sync succeeds. */
_must_check_ int events_add(struct events *e, const struct event_new *event, uint64_t wall_sec,
			    int64_t uptime_msec);

/* Syncs what waits for it if its time has come, or in any case. 1 done, 0 nothing to do (yet). */
_must_check_ int events_tick(struct events *e, int64_t uptime_msec);
_must_check_ int events_sync(struct events *e);

/* The number of the last event that may be shown; 0: none yet. */
uint64_t events_sequence(const struct events *e);
/* Of the last event that was added. */
uint64_t events_added(const struct events *e);

/* Lines after the number after, oldest first, at most max, as they are in the file, without '\n'.
 * The callback ends it early by returning non-zero, which is then returned. */
typedef int (*events_line_fn)(const char *line, size_t size, void *userdata);
_must_check_ int events_read(struct events *e, uint64_t after, size_t max, events_line_fn fn,
			     void *userdata);
/* The same from the files alone, where no bmsd runs or it does not answer. */
_must_check_ int events_read_files(int dirfd, uint64_t after, size_t max, events_line_fn fn,
				   void *userdata);

/* The newest ones of memory, newest first; how many. */
size_t events_last(const struct events *e, struct event_view *ret, size_t max);

#endif
