/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 512-byte header of one member, in both directions; shared by the view, the unpacker and the
 * manifest (a path that no header can hold is no path of a release).
 */
#ifndef COMMON_RELTAR_HEADER_H
#define COMMON_RELTAR_HEADER_H

#include "common/reltar.h"

#define RELTAR_MAX_PATH_BYTES 255u
#define RELTAR_END_BYTES      ((uint64_t)2 * RELTAR_BLOCK_BYTES)
/* release.json is not in its own list, so its mode is fixed here. */
#define RELTAR_MANIFEST_MODE  0644

struct reltar_member {
	char path[RELTAR_MAX_PATH_BYTES + 2]; /* room to see that one is too long */
	mode_t mode;
	uint64_t size_bytes;
};

/* Up to 100 bytes the whole path is the header's name. Above, it is cut at the last slash that
 * leaves at most 155 bytes before it: those are the prefix, the rest is the name. 0 means no prefix.
 * -ENAMETOOLONG if the rest does not fit its 100 bytes. */
_must_check_ int reltar_split_path(const char *path, size_t *ret_prefix_length);

/* -ENAMETOOLONG or -EFBIG if ustar cannot express it. */
_must_check_ int reltar_header_make(const char *path, mode_t mode, uint64_t size_bytes,
				    uint8_t ret[RELTAR_BLOCK_BYTES]);

/* Takes a header apart and proves that it is the one that reltar_header_make() makes. The path it
 * gives is fs_is_safe_path(). */
enum reltar_fault reltar_header_read(const uint8_t block[RELTAR_BLOCK_BYTES],
				     struct reltar_member *ret);

/* Bytes of zeros that follow size_bytes of content. */
static inline size_t reltar_padding(uint64_t size_bytes)
{
	return (size_t)((RELTAR_BLOCK_BYTES - size_bytes % RELTAR_BLOCK_BYTES) %
			RELTAR_BLOCK_BYTES);
}

static inline size_t reltar_at_most(size_t size, uint64_t bound)
{
	return size < bound ? size : (size_t)bound;
}

#endif
