/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a fetch has come, on disk:
 *
 *	inbox/<sha256>.part	the file, segments in their places
 *	inbox/<sha256>.map	which of them have arrived: a header that names the file, then a bit each
 *
 * A segment is written when it is known to be right, and marked after that; both are handed to the
 * kernel at once, so a kill costs nothing that was placed. The map is a hint, not a proof: when a
 * fetch is taken up again each marked segment is read back and checked, so no order between the two
 * files matters, and a power cut costs what came after the last checkpoint_sync().
 */
#ifndef UPDATERD_CHECKPOINT_H
#define UPDATERD_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/segments.h"

struct checkpoint;

/* Makes both files, or takes up what is true of them. segments is borrowed, sha256 is of the whole
 * file. A block of the disk that is lost counts as missing. */
_must_check_ int checkpoint_open(int inbox_fd, const uint8_t *sha256,
				 const struct segments *segments, struct checkpoint **ret);
struct checkpoint *checkpoint_close(struct checkpoint *c);
DEFINE_CLEANUP(struct checkpoint *, checkpoint_close);

bool checkpoint_has(const struct checkpoint *c, uint32_t index);
uint32_t checkpoint_missing(const struct checkpoint *c); /* segments */
uint64_t checkpoint_done_bytes(const struct checkpoint *c);
int checkpoint_fd(const struct checkpoint *c); /* of the .part, borrowed */

/* bytes are the segment's: -EBADMSG, and nothing is written, if they are not. */
_must_check_ int checkpoint_place(struct checkpoint *c, uint32_t index, const void *bytes);
_must_check_ int checkpoint_sync(struct checkpoint *c);

/* A file of the inbox: "<sha256>.<suffix>". */
_must_check_ int checkpoint_open_file(int inbox_fd, const uint8_t *sha256, const char *suffix,
				      int flags);

#endif
