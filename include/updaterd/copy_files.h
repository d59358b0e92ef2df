/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of what one half of updaterd has kept, for a trial that must not change it.
 */
#ifndef UPDATERD_COPY_FILES_H
#define UPDATERD_COPY_FILES_H

#include <stddef.h>

#include "common/cleanup.h"

#define COPY_FILES_MAX 4096u

/* Copies the regular files of one directory, without those below it and without what begins with a
 * dot, to another. -EFBIG if one is larger than max_bytes, -E2BIG if there are too many. */
_must_check_ int copy_files(int from_dirfd, int to_dirfd, size_t max_bytes);

#endif
