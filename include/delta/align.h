/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which stretches of a new file resemble which of an old one: the search of bsdiff (C. Percival,
 * "Naive Differences of Executable Code", 2003), with a suffix array by libdivsufsort. For the
 * release tool only: memory is 5 times the old file beside the two files.
 */
#ifndef DELTA_ALIGN_H
#define DELTA_ALIGN_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct bytes_view {
	const uint8_t *bytes;
	size_t size;
};

/* The new file is made of these, one after another: similar_bytes that resemble the old file's at
 * old_offset, then extra_bytes that resemble nothing. */
struct stretch {
	size_t old_offset;
	size_t similar_bytes;
	size_t extra_bytes;
};

/* Calls visit for each stretch in order, until it returns other than 0, which is returned. Both files
 * are at most PATCH_MAX_FILE_BYTES; else -EFBIG. */
_must_check_ int align(const struct bytes_view *old_file, const struct bytes_view *new_file,
		       int (*visit)(void *userdata, const struct stretch *stretch), void *userdata);

#endif
