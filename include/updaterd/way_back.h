/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way back where nothing good was kept: the previous release's own full file, signed as any other, from
 * the file server; or, of a release that was never published, the backup that the query server holds. Root
 * asks; what talks to the network is a process of its own, which becomes the agent's user first, has
 * nothing of ours, and says only what it has laid into the inbox. Nothing of that is believed here: the
 * installer judges the bytes.
 */
#ifndef UPDATERD_WAY_BACK_H
#define UPDATERD_WAY_BACK_H

#include "common/cleanup.h"
#include "common/version.h"
#include "updaterd/conf.h"
#include "updaterd/failure.h"
#include "updaterd/progress.h"

struct way_back {
	struct version version;
	char *target; /* of a program file; NULL: it is a backup */
	int file_fd;
	int metadata_fd;
};

/* Fetches what a program would go back to. Not with a bus open: it forks. */
_must_check_ int way_back_fetch(const struct conf *conf, char program, struct progress *progress,
				struct way_back *ret, struct failure *failure);
void way_back_done(struct way_back *w);

#endif
