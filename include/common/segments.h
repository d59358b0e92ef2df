/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segment list of a program file: one SHA-256 for each segment, so that each is checked when it
 * arrives. A segment list is a TUF target of its own, named as the program file with ".seg" and the
 * segment size: "B/B202109010001-amd64.tar.xz.seg4096".
 *
 *	bms-segments 1 <segment_bytes> <file_bytes>\n
 *	32 raw bytes for each segment, in order; the last segment may be short
 */
#ifndef COMMON_SEGMENTS_H
#define COMMON_SEGMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"

#define SEGMENT_MIN_BYTES 512u
#define SEGMENT_MAX_BYTES (1u << 20)

struct segments {
	uint32_t segment_bytes;
	uint64_t file_bytes;
	uint32_t count;
	uint8_t (*sha256)[SHA256_BYTES];
};

struct segments *segments_free(struct segments *s);
DEFINE_CLEANUP(struct segments *, segments_free);

/* -EBADMSG if anything is off, sizes that do not agree included. */
_must_check_ int segments_parse(const void *bytes, size_t size, struct segments **ret);
/* Hashes the file in fd. */
_must_check_ int segments_from_fd(int fd, uint32_t segment_bytes, struct segments **ret);
_must_check_ int segments_format(const struct segments *s, char **ret_bytes, size_t *ret_size);

/* Where segment index lies, and how long it is (short at the end). */
uint64_t segments_offset(const struct segments *s, uint32_t index);
uint32_t segments_length(const struct segments *s, uint32_t index);
/* 0 if these bytes are segment index, -EBADMSG if not. */
_must_check_ int segments_check(const struct segments *s, uint32_t index, const void *bytes,
				size_t size);

#endif
