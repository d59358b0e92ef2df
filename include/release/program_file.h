/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program file (.tar.xz) and its segment lists, as files named "<sha256>.<name>" in a directory.
 */
#ifndef RELEASE_PROGRAM_FILE_H
#define RELEASE_PROGRAM_FILE_H

#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "release/problem.h"
#include "release/release_tar.h"

struct made_file {
	uint64_t bytes;
	uint8_t sha256[SHA256_BYTES];
};

/* Compresses (xz -9e), reads it back and compares with the tar, then gives it its name, durably. */
_must_check_ int program_file_make(int dirfd, const char *name, struct release_tar *tar,
				   struct made_file *ret, struct problem *problem);
/* Makes "<name>.seg<segment_bytes>" for the program file that program_file_make() made. */
_must_check_ int program_file_make_segments(int dirfd, const char *name,
					    const struct made_file *program_file,
					    uint32_t segment_bytes, struct made_file *ret,
					    struct problem *problem);

/* Length and SHA-256 of what the .xz in fd decompresses to. -EFBIG if that is more than max_bytes. */
_must_check_ int program_file_tar_sha256(int fd, uint64_t max_bytes, uint8_t ret[SHA256_BYTES],
					 uint64_t *ret_bytes);

#endif
