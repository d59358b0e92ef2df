/* SPDX-License-Identifier: Apache-2.0 */
/* Making a patch, for the release tool. */
#ifndef DELTA_MAKE_H
#define DELTA_MAKE_H

#include "common/cleanup.h"
#include "common/xz.h"
#include "delta/align.h"
#include "delta/patch.h"

/* Writes the patch that makes new_file of old_file. The dictionary is PATCH_DICT_DEFAULT_BYTES, or the
 * smallest larger one (up to PATCH_DICT_MAX_BYTES) that makes the patch at least 2 % smaller than the
 * next smaller choice did: memory on the gateway is spent only where it pays. The same input gives
 * the same bytes. -EFBIG for files over PATCH_MAX_FILE_BYTES, -ENOMEM, or what write returned. */
_must_check_ int patch_make(const struct bytes_view *old_file, const struct bytes_view *new_file,
			    stream_write_fn write, void *userdata);

#endif
