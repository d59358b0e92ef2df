/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applying a patch while it arrives: patch bytes in, new bytes out, old bytes asked for where they are
 * needed. Memory is bounded by the format (about 0.4 MB, up to 0.9 MB with the largest dictionary)
 * whatever the sizes of the files; nothing in the patch is believed before it is checked. That the
 * result is the right one is for its hash to say, which is the caller's.
 */
#ifndef DELTA_APPLY_H
#define DELTA_APPLY_H

#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/xz.h"

/* Bytes of the old file: number of bytes, 0 at the end, or negative errno. */
typedef ssize_t (*patch_old_fn)(void *userdata, void *buffer, size_t size, uint64_t offset);

struct patch_apply;

/* old_bytes is the length of the old file and max_new_bytes what the new one may have: a patch that
 * says otherwise is refused. */
_must_check_ int patch_apply_new(patch_old_fn read_old, void *old_data, uint64_t old_bytes,
				 stream_write_fn write, void *write_data, uint64_t max_new_bytes,
				 struct patch_apply **ret);
struct patch_apply *patch_apply_free(struct patch_apply *p);
DEFINE_CLEANUP(struct patch_apply *, patch_apply_free);

/* Takes the next bytes of the patch, any number (a stream_write_fn). -EBADMSG for what is no patch,
 * -EPROTONOSUPPORT for another version of the format, -ESTALE for a patch of another old file (by
 * length), -EFBIG for one that would make more than it may, -EUCLEAN if the old file ends early,
 * -ENOMEM, or what read_old or write returned. After a failure it gives the same again. */
int patch_apply_write(void *patch_apply, const void *bytes, size_t size);
/* The end: -EBADMSG if the patch was not complete. */
_must_check_ int patch_apply_finish(struct patch_apply *p, uint64_t *ret_new_bytes);

#endif
