/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The installer's own judgement of a release: the whole TUF workflow from its own trusted root and
 * its own record of versions (trust/ in its directory), then policy. Trust starts from conf->root_file
 * and the chain that was kept (updaterd/root_chain.h).
 * What the agent says is only where to look.
 */
#ifndef UPDATERD_VERIFY_H
#define UPDATERD_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/version.h"
#include "updaterd/failure.h"
#include "updaterd/state.h"
#include "updaterd/update_time.h"

#define VERIFY_MAX_REQUIRES 4

/* What the signed metadata says of a program file. */
struct release_target {
	struct version version;
	uint64_t length_bytes; /* of the program file */
	uint8_t sha256[SHA256_BYTES];
	uint64_t tar_length_bytes;
	uint8_t tar_sha256[SHA256_BYTES];
	struct version requires[VERIFY_MAX_REQUIRES];
	size_t n_requires;
	/* A patch is applied to the tar of the release that runs. */
	bool is_patch;
	struct version from;
	uint64_t base_length_bytes;
	uint8_t base_sha256[SHA256_BYTES];
};

/* Refreshes trust from the metadata directory, finds the target and reads its custom part: program,
 * architecture, model and kind must be ours. Trust that passed is kept even if the target is refused.
 * The time at which the refresh passed becomes last_trusted_sec in the journal (in memory);
 * updaterd/update_time.h says how far that counts. */
_must_check_ int verify_target(struct state *s, int metadata_fd, const char *target_path,
			       struct release_target *ret, struct failure *failure);

/* The time as the installer knows it, for results as well: update_time_begin() from its own record. */
struct update_time verify_time(const struct state *s);

/* Policy: newer than what runs, not below the floor, not quarantined, and what it requires runs; a patch
 * is from the version that runs. 0; or 1 for the full file of the version that runs where that is damaged,
 * to repair it. */
_must_check_ int verify_admit(const struct state *s, const struct release_target *target,
			      struct failure *failure);

#endif
