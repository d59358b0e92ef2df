/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Target files on their way from staged/targets/ to repository/targets/, and out of it again.
 */
#ifndef RELEASE_TARGET_STORE_H
#define RELEASE_TARGET_STORE_H

#include <cjson/cJSON.h>

#include "common/cleanup.h"
#include "release/changes.h"
#include "release/problem.h"

/* Moves every file that document names and that is staged; each must be in one of the two places, in
 * its signed length. Durable when it returns. *count grows by the files moved. */
_must_check_ int target_store_place(int repofd, const cJSON *document, unsigned *count,
				    struct problem *problem);
/* The same, only looking. */
_must_check_ int target_store_check(int repofd, const cJSON *document, struct problem *problem);

/* Removes the files that before names and none of the n documents does. *count grows by the files
 * removed. */
_must_check_ int target_store_purge(int repofd, const cJSON *before, const cJSON *const *documents,
				    size_t n, unsigned *count, struct problem *problem);
/* Tells which files that would be. */
void target_store_tell(const cJSON *before, const cJSON *const *documents, size_t n,
		       struct changes *changes);

#endif
