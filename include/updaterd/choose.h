/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which file brings an offered release: the full one, or the patch from what runs. The patch if what
 * runs is, byte for byte, what the patch starts from, and if it is smaller (each with its segment list);
 * a full file of which a part has arrived already is finished.
 */
#ifndef UPDATERD_CHOOSE_H
#define UPDATERD_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/version.h"
#include "updaterd/conf.h"
#include "updaterd/failure.h"
#include "updaterd/trust.h"

struct choice {
	struct trust *trust;
	const struct conf_program *program;
	const struct version *current; /* what runs */
	int inbox_fd;
	uint32_t segment_bytes; /* wanted */
};

/* 1 and the patch (done by the caller), or 0 for the full file. If there is a patch, and it is not
 * taken, *why tells; else why->text stays empty. */
_must_check_ int choose_patch(const struct choice *c, const struct program_file *full,
			      struct program_file *ret, struct failure *why);

/* The patch failed for this reason (error: of the agent, 0 of the installer): is the full file worth a
 * try now? */
bool choose_falls_back(int error, enum reason reason);

/* Reads all of the release that runs. -EUCLEAN with a sentence (caller frees) if its files do not match
 * its release.json; another errno if that cannot be told. */
_must_check_ int choose_check_running(const struct conf_program *program,
				      const struct version *current, char **ret_error);

#endif
