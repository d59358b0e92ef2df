/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patches between the tars of two releases (delta/patch.h), as files named "<sha256>.<name>" in a
 * directory. Both tars are in memory; finding what they share takes 5 times the old one besides.
 */
#ifndef RELEASE_PATCH_FILE_H
#define RELEASE_PATCH_FILE_H

#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "delta/align.h"
#include "release/program_file.h"

/* The tar in the program file in fd; freed with patch_tar_done(). -EBADMSG if it is another one than these
 * two say, -EFBIG if it is more than a patch can be made of. */
struct patch_tar {
	struct bytes_view view;
	uint8_t *bytes; /* owned */
};
_must_check_ int patch_tar_read(int fd, uint64_t tar_bytes, const uint8_t tar_sha256[SHA256_BYTES],
				struct patch_tar *ret);
void patch_tar_done(struct patch_tar *t);

/* Makes the patch, applies it to old_tar and compares with new_tar, then gives it its name, durably.
 * -EFBIG, and nothing is left, if it would have more than max_bytes. */
_must_check_ int patch_file_make(int dirfd, const char *name, const struct bytes_view *old_tar,
				 const struct bytes_view *new_tar, uint64_t max_bytes,
				 struct made_file *ret);

/* 0 if the patch in fd, applied to old_tar, gives the tar of this length and SHA-256; else -EBADMSG,
 * or what patch_apply_write() returns. */
_must_check_ int patch_file_check(int fd, const struct bytes_view *old_tar, uint64_t tar_bytes,
				  const uint8_t tar_sha256[SHA256_BYTES]);

#endif
