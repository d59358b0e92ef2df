/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a program file to a complete release in the space. Nothing is visible as a release before
 * store_stage_seal(); what a crash leaves is a stage, and store_sweep() removes it.
 */
#ifndef UPDATERD_STAGE_H
#define UPDATERD_STAGE_H

#include "common/cleanup.h"
#include "common/reltar.h"
#include "updaterd/failure.h"
#include "updaterd/store.h"
#include "updaterd/verify.h"

/* How far it is: bytes of the program file that were read. May be NULL. */
struct stage_progress {
	void (*report)(void *userdata, uint64_t done_bytes, uint64_t total_bytes);
	void *userdata;
};

/* Unpacks the program file below stage_fd. It is hashed as a whole before a byte of it is parsed,
 * and again while it is read for unpacking, since its owner may still write to it. */
_must_check_ int stage_unpack(int program_fd, const struct release_target *target, int stage_fd,
			      const struct stage_progress *progress, struct failure *failure);
/* The same from a patch: applied while it is read to the tar of the release in base_fd, which must be the
 * one that was signed (REASON_BASE_DIFFERS, or REASON_DAMAGED if its files do not match its release.json).
 * Whatever else is wrong with the patch or with what it makes is REASON_BAD_PATCH. */
_must_check_ int stage_patch(int program_fd, const struct release_target *target, int base_fd,
			     int stage_fd, const struct stage_progress *progress,
			     struct failure *failure);
/* The same from a backup file, which must hold the tar of this SHA-256; what is wrong with it is
 * REASON_DAMAGED. */
_must_check_ int stage_restore(int backup_fd, const struct version *version,
			       const uint8_t tar_sha256[SHA256_BYTES], uint64_t max_tar_bytes,
			       int stage_fd, struct failure *failure);
/* Copies a release that is a directory already (the factory's), by the same tar. */
_must_check_ int stage_copy(int release_fd, int stage_fd, struct failure *failure);

/* Reads all of it again from the disk: every file against release.json, and the tar that it makes
 * against tar_sha256 (NULL: not known). Then makes the directories read-only. */
_must_check_ int stage_check(int stage_fd, const uint8_t *tar_sha256, struct failure *failure);

#endif
