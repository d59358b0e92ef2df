/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must outlive bmsd, for one pack: two files, state.a and state.b, written in turn, each
 *
 *	bmsd-state 1 <bytes of the JSON> <CRC-32 of the JSON, 8 hex digits>\n
 *	{"sequence":…,…}\n
 *
 * A file counts only if it is exactly what its own JSON would be written as, so every wrong byte and
 * every missing one is noticed. The valid file with the higher sequence counts. If we die while
 * saving, the file of the save before is untouched.
 *
 * Members that this version does not know, also inside the sections, are kept and written back: after a
 * rollback the older bmsd loses nothing of the newer one's. A member's meaning never changes; what must
 * mean something else gets another name. A section with a number that cannot be is not believed, as
 * if it were not there, and that is said.
 *
 * Between saves the same members go to state.running in a directory in memory, if there is one, with the
 * CRC-32 of the save that they go on from before the number of bytes:
 *
 *	bmsd-running 1 <CRC-32 of that JSON> <bytes of the JSON> <CRC-32 of the JSON>\n
 *
 * so that killing bmsd takes no more than was noted since, and the flash is not worn. What does not go on
 * from the very save that is on disk, since an older release saved meanwhile, does not count.
 *
 * Once a day the same bytes go to state.daily too: counters that only grow never come back as less than
 * there, whatever happened to the two files, and if both are lost, what was learned comes from it.
 */
#ifndef BMSD_STATE_H
#define BMSD_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "bmsd/alarms.h"
#include "bmsd/estimator.h"
#include "bmsd/fet.h"
#include "bmsd/lifetime.h"
#include "bmsd/sample.h"
#include "common/cleanup.h"

#define STATE_BOOT_ID_BYTES 33

struct state;

/* The members, as last restored or noted. */
struct state_view {
	bool restored;		       /* a valid file was there at start */
	bool on_disk;		       /* restored, or saved since */
	int damaged;		       /* files that were set aside at start: 0, 1, 2 */
	bool copy_used;		       /* counters came back from state.daily */
	bool running_used;	       /* what was noted after the last save came back */
	const char *refused;	       /* the first member that was not believed; NULL: none */
	int soc_percent;	       /* the board's; -1 unknown */
	int soc_restored_percent;      /* what the start found; -1 nothing */
	int soc_restored_centipercent; /* bmsd's own; -1 nothing */
	uint64_t sequence;	       /* of the last save */
	uint64_t charge_uah;
	uint64_t samples_total; /* over all the years */
	uint64_t cycles;
	uint64_t saved_sec; /* by the wall clock; 0: never */
	char writer[32];    /* release that saved last */
	char model[SAMPLE_MODEL_BYTES];
	uint64_t cells;
};

/* The sections. */
struct state_kept {
	struct estimator_memory estimator; /* .valid: there is one */
	struct lifetime lifetime;
	struct alarms_memory alarms;
	struct fet_memory fet;
	uint32_t protections;	 /* the board's, as the events have them; 1 << enum protection */
	uint64_t event_sequence; /* at least so many events were numbered */
};

/* When, and by whom. */
struct state_stamp {
	const char *writer; /* release */
	uint64_t wall_sec;
	uint64_t boottime_msec; /* CLOCK_BOOTTIME */
	const char *boot_id;	/* which boot that counts from */
};

/* Opens (makes) the directory name below dirfd and restores. A damaged file is kept as
 * state.a.damaged before it is written over, and counted; that is no failure. A disk that has no room
 * for the directory, or is read-only, is none either: each save then tries again. Fails only when the
 * directory cannot be opened for other reasons, or without memory. */
_must_check_ int state_open(int dirfd, const char *name, struct state **ret);
struct state *state_free(struct state *s);
DEFINE_CLEANUP(struct state *, state_free);

/* Does a good sample come from another board than the state is of? */
bool state_is_of_other(const struct state *s, const struct sample *sample);
/* Takes over what a good sample says. True if it comes from another board than the state was of
 * (another model, serial number, date of manufacture or number of cells): all then starts anew, or goes on
 * where it was if it is that of state.replaced, and what was is kept as state.replaced at the next save. */
bool state_note(struct state *s, const struct sample *sample);

/* The board that it was of is gone, and which one is there will be known from the next sample. */
void state_forget(struct state *s);

/* As restored, or as written there since. */
const struct state_kept *state_kept(const struct state *s);
/* The same, to be changed; goes with the next save. */
struct state_kept *state_keep(struct state *s);

/* How long ago the sections were saved: by the time since boot if it was this boot, else by the wall
 * clock; -1: nobody knows. A clock that says that hardly more than the uptime has passed may have been
 * set to the time of the last save, as is done where no battery keeps it going: nobody knows then. */
int64_t state_elapsed_msec(const struct state *s, const struct state_stamp *now);

/* Would state_save() write? */
bool state_is_changed(const struct state *s);
/* Is it worth a write, msec after the last one? Every interval_msec when the charge has moved by 0.1 %
 * (four times as often below 15 %), else every 10 minutes if there is anything new. */
bool state_is_due(const struct state *s, uint64_t since_save_msec, uint64_t interval_msec);

/* Writes if anything was noted since the last save. 1 written, 0 nothing to do. On failure the next
 * call tries again. */
_must_check_ int state_save(struct state *s, const struct state_stamp *stamp);

/* Where it is kept between saves: the directory of its name below dirfd is made, and what is there taken
 * over (1) if it goes on from what was restored. Before anything is noted. -errno: saves alone keep it. */
_must_check_ int state_keep_running(struct state *s, int dirfd);
/* What state_save() would write, there. 0 also if there is nothing to write, or nowhere. */
_must_check_ int state_save_running(struct state *s, const struct state_stamp *stamp);

void state_look(const struct state *s, struct state_view *ret);

/* The pack's directory, for what else is kept there; borrowed. Negative: there is none yet. */
int state_dirfd(const struct state *s);

#endif
