/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The patch format, version 1 (docs/PATCH-FORMAT.md): how the bytes of a new file are made from those
 * of an old one. The construction is that of bsdiff (C. Percival, "Naive Differences of Executable
 * Code", 2003): stretches of the new file that resemble a stretch of the old one are carried as
 * byte-wise differences, mostly zero; the rest as it is.
 *
 * A header, then one raw LZMA1 stream with end marker. What it holds is a sequence of frames, each
 * small enough to be kept whole, so that a patch is applied while it arrives, in memory that depends
 * on neither file:
 *
 *	varint		bytes of the frame that follow, 1 … PATCH_FRAME_MAX_BYTES
 *	varint		n records
 *	varint		m runs
 *	n times		zigzag varint: seek, moves the position in the old file
 *			varint: similar bytes; the position moves on by them
 *			varint: extra bytes
 *	m varints	the zero differences before each run
 *	m varints	the differences of each run, 1 at least
 *	the differences of all runs, one byte each: new minus old, modulo 256
 *	the extra bytes of all records
 *
 * Runs count through the similar bytes of all records of the frame; what comes after the last run is
 * zero. A varint is little-endian base 128 in its shortest form, 63 bits at most. Each frame has a
 * record, each record makes one byte of the new file at least, and each run has one difference at
 * least; so the stream is bounded by what it makes. With the last frame the new file ends, and the
 * stream.
 */
#ifndef DELTA_PATCH_H
#define DELTA_PATCH_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define PATCH_MAGIC		 "BMSPATCH"
#define PATCH_VERSION		 1
#define PATCH_HEADER_BYTES	 30u
#define PATCH_FRAME_MAX_BYTES	 (256u << 10)
#define PATCH_DICT_MIN_BYTES	 (4u << 10)
#define PATCH_DICT_DEFAULT_BYTES (64u << 10)
#define PATCH_DICT_MAX_BYTES	 (512u << 10)
#define PATCH_MAX_FILE_BYTES	 ((uint64_t)INT32_MAX)
#define PATCH_VARINT_MAX_BYTES	 9u

/*	offset	bytes
 *	0	8	magic
 *	8	1	version
 *	9	1	LZMA properties (pb * 5 + lp) * 9 + lc
 *	10	4	dictionary size, little-endian
 *	14	8	length of the old file, little-endian
 *	22	8	length of the new file, little-endian
 */
struct patch_header {
	uint32_t lc, lp, pb;
	uint32_t dict_bytes;
	uint64_t old_bytes;
	uint64_t new_bytes;
};

void patch_header_format(const struct patch_header *h, uint8_t ret[PATCH_HEADER_BYTES]);
/* -EBADMSG for what is no header, -EPROTONOSUPPORT for another version, -EFBIG for sizes over the
 * limits above. */
_must_check_ int patch_header_parse(const uint8_t bytes[PATCH_HEADER_BYTES],
				    struct patch_header *ret);

/* Reads a varint at *pos and moves *pos behind it. -EBADMSG if it does not end before end, is not in
 * its shortest form, or is larger than max. */
_must_check_ int patch_varint_read(const uint8_t **pos, const uint8_t *end, uint64_t max,
				   uint64_t *ret);
size_t patch_varint_write(uint8_t ret[PATCH_VARINT_MAX_BYTES], uint64_t value);

/* A signed number as an unsigned one with small values for small magnitudes. */
static inline uint64_t patch_zigzag(int64_t value)
{
	return value < 0 ? ((uint64_t)(-(value + 1)) << 1) + 1 : (uint64_t)value << 1;
}

static inline int64_t patch_unzigzag(uint64_t value)
{
	int64_t magnitude = (int64_t)(value >> 1);

	return value & 1 ? -magnitude - 1 : magnitude;
}

#endif
