/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cuts of the power, block by block: a scenario runs on a real file system whose disk logs every write
 * and every flush; then the disk is put into each state that it may have had when the power went:
 *
 *	prefix	all that was written up to one write
 *	torn	the same, and some sectors of the next write
 *	subset	all up to a flush, and any of the writes between that and the next one
 *
 * and from each the machine boots: mount, recovery, invariants, fsck.
 */
#ifndef TESTS_CRASH_BLOCKS_H
#define TESTS_CRASH_BLOCKS_H

#include "campaign.h"

/* What the outside had been told at the cut whose disk was kept. */
struct image_facts {
	bool is_recorded;
	bool has_rescue;
	int ended; /* enum outcome; 0: it had not */
};

/* c->states states in all, shared out over the scenarios; 0: every prefix. is_double: cuts recovery
 * from some of these states, at every block that it writes. */
void blocks_run(struct campaign *c, const char *fs, bool is_double);
/* One kept state again. */
void blocks_again(struct campaign *c, const char *fs, const char *file,
		  const struct image_facts *facts);

#endif
