/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tar that is to be published: made from a directory, or a given file as it is.
 */
#ifndef RELEASE_RELEASE_TAR_H
#define RELEASE_RELEASE_TAR_H

#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/version.h"
#include "common/xz.h"
#include "release/problem.h"

struct release_tar;

/* Copies the tree at path to a scratch directory below dirfd, which lives until close, and describes
 * the copy: a tree that changes while we read it cannot give a tar that differs from its manifest.
 * The bytes depend on the files, version and arch alone. */
_must_check_ int release_tar_from_tree(int dirfd, const char *path, const struct version *version,
				       const char *arch, struct release_tar **ret,
				       struct problem *problem);
/* Any bytes; nothing in them is looked at. */
_must_check_ int release_tar_from_file(const char *path, struct release_tar **ret,
				       struct problem *problem);
struct release_tar *release_tar_close(struct release_tar *t);
DEFINE_CLEANUP(struct release_tar *, release_tar_close);

uint64_t release_tar_bytes(const struct release_tar *t);
const uint8_t *release_tar_sha256(const struct release_tar *t);
/* A stream_read_fn over it, from where the last read ended; begins at 0. */
ssize_t release_tar_read(void *release_tar, void *buffer, size_t size);

#endif
