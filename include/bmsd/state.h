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
 * Members that this version does not know are kept and written back: after a rollback the older
 * bmsd loses nothing of the newer one's.
 */
#ifndef BMSD_STATE_H
#define BMSD_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "bmsd/sample.h"
#include "common/cleanup.h"

struct state;

/* The members, as last restored or noted. */
struct state_view {
	bool restored;		  /* a valid file was there at start */
	bool on_disk;		  /* restored, or saved since */
	int damaged;		  /* files that were set aside at start: 0, 1, 2 */
	int soc_percent;	  /* -1 unknown */
	int soc_restored_percent; /* what the start found; -1 nothing */
	uint64_t charge_uah;
	uint64_t samples_total; /* over all the years */
	uint64_t cycles;
	uint64_t saved_sec; /* by the wall clock; 0: never */
	char writer[32];    /* release that saved last */
	char model[SAMPLE_MODEL_BYTES];
	uint64_t cells;
};

/* Opens (makes) the directory name below dirfd and restores. A damaged file is copied to
 * state.a.damaged before it is written over, and counted; that is no failure. Fails only when the
 * directory cannot be made or opened, or without memory. */
_must_check_ int state_open(int dirfd, const char *name, struct state **ret);
struct state *state_free(struct state *s);
DEFINE_CLEANUP(struct state *, state_free);

/* Takes over what a good sample says. True if it comes from another board than the state was of
 * (another model or number of cells): the counters then start anew, and what was is kept as
 * state.replaced at the next save. */
bool state_note(struct state *s, const struct sample *sample);

/* Writes if anything was noted since the last save. 1 written, 0 nothing to do. On failure the next
 * call tries again. */
_must_check_ int state_save(struct state *s, const char *writer, uint64_t now_sec);

void state_look(const struct state *s, struct state_view *ret);

#endif
