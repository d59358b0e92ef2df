/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of one pack: the latest sample with its age, the state of its link, what went wrong.
 * Pure bookkeeping; the caller brings the time (monotonic, milliseconds).
 */
#ifndef BMSD_PACK_H
#define BMSD_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "bmsd/driver.h"
#include "bmsd/sample.h"
#include "common/cleanup.h"

/* Polls that the error rate looks back over. */
#define PACK_RECENT_POLLS 60
#define PACK_DETAIL_BYTES SAMPLE_REASON_BYTES

struct pack;

struct gate_counts {
	uint64_t n[SAMPLE_GATE_COUNT];
};

/* A copy of all that a reader may want, as of one moment. */
struct pack_view {
	const char *name; /* borrowed from the pack */
	const char *driver;
	char model[SAMPLE_MODEL_BYTES]; /* "" until the board has said it */
	bool line_open;			/* the device is there; false: a pulled cable, or not yet */
	bool link_up;			/* the board answers */
	bool asleep;			/* it answers, but does not measure */
	bool refused;			/* but its last answer was implausible */
	char detail[PACK_DETAIL_BYTES]; /* why not, or why there is no sample; "" if all is well */
	bool present;			/* sample is valid and fresh */
	struct sample sample;		/* not present: zero, and capacity_percent -1 */
	int64_t age_msec;		/* of the last good sample; -1: there was none */
	int64_t first_sample_msec;	/* when it came; -1: not yet */
	uint64_t samples_ok;
	uint64_t polls;
	uint64_t polls_failed;
	unsigned recent_polls; /* at most PACK_RECENT_POLLS */
	unsigned recent_failed;
	uint64_t lines_lost; /* how often the device went away */
	struct link_errors errors;
	struct gate_counts gates; /* refused samples, by what refused them */
};

/* name and driver are copied. A sample older than stale_msec counts no more. */
_must_check_ int pack_new(const char *name, const char *driver, uint64_t stale_msec,
			  struct pack **ret);
struct pack *pack_free(struct pack *p);
DEFINE_CLEANUP(struct pack *, pack_free);

/* The outcome of one poll: exactly one of these is called for each. */
void pack_poll_good(struct pack *p, const struct sample *s, int64_t now_msec);
void pack_poll_refused(struct pack *p, enum sample_gate gate, const char *reason); /* implausible */
void pack_poll_failed(struct pack *p, const char *reason); /* no usable answer */
void pack_poll_asleep(struct pack *p, const char *reason); /* the same, and we know why */

/* The line is open; whether a board answers is another question. */
void pack_line_opened(struct pack *p);
/* The line itself is gone: no device, no permission, unplugged. */
void pack_link_lost(struct pack *p, const char *reason);

/* The counters that drivers and links count in. */
struct link_errors *pack_errors(struct pack *p);

void pack_look(const struct pack *p, int64_t now_msec, struct pack_view *ret);

/* Failed of the recent polls in thousandths; 0 when there was none. */
unsigned pack_error_rate_permille(const struct pack_view *v);

#endif
