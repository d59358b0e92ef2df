/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adding a release: a directory, or a tar as it is, becomes a program file and patches, with segment
 * lists, and the program's role a new staged version that names them. A version's content never changes.
 */
#ifndef RELEASE_ADD_H
#define RELEASE_ADD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/version.h"
#include "release/changes.h"
#include "release/options.h"
#include "release/problem.h"
#include "release/repository.h"
#include "release/target.h"

#define ADD_MAX_MODELS	      16
#define ADD_MAX_SEGMENT_SIZES 8
#define ADD_MAX_PATCHES	      32
#define ADD_PATCHES_FROM      5	 /* versions */
#define ADD_PATCH_MARGIN      80 /* percent of the full file */

struct add_request {
	struct release_id id;
	const char *models[ADD_MAX_MODELS];
	size_t n_models;
	struct version requires[REPOSITORY_MAX_PROGRAMS];
	size_t n_requires;
	uint32_t segment_bytes[ADD_MAX_SEGMENT_SIZES]; /* ascending */
	size_t n_segment_sizes;
	unsigned patches_from; /* make patches from so many versions, at most ADD_MAX_PATCHES */
	unsigned
		patch_margin; /* and keep those that are at most so many percent of the full file */
	const char *directory; /* or */
	const char *tar;
	bool dry_run; /* only what would be the answer */
};

struct add_patch {
	struct version from;
	char path[TARGET_PATH_BYTES];
	int error; /* -EFBIG: over the margin; else why there is none. 0: it was made */
	uint64_t bytes;
	uint8_t sha256[SHA256_BYTES];
};

struct add_answer {
	char path[TARGET_PATH_BYTES];
	bool added; /* false: it was there already, with the same tar */
	uint64_t bytes;
	uint8_t sha256[SHA256_BYTES];
	uint64_t tar_bytes;
	uint8_t tar_sha256[SHA256_BYTES];
	struct add_patch patches[ADD_MAX_PATCHES]; /* from the newest first */
	size_t n_patches;
};

/* -EEXIST if the version is there with other content. Files are durable before the metadata that
 * names them; if we die inside, the same call again does it all. */
_must_check_ int add_release(struct repository *r, const struct add_request *request,
			     struct add_answer *ret, struct changes *changes,
			     struct problem *problem);

#endif
