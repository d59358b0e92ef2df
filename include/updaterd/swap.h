/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flip of `current` and `previous` in a space, and nothing else.
 *
 * Both are symbolic links "releases/<version>". New ones are made beside them (current.new,
 * previous.new) and the whole file system is synced BEFORE they are renamed into place: an fsync of
 * the directory after the rename does not make a link's content durable on every file system, and an
 * empty `current` would be the end. If we die anywhere in here, `current` is the old link or the new
 * one, and a left-over .new is replaced by the next flip.
 */
#ifndef UPDATERD_SWAP_H
#define UPDATERD_SWAP_H

#include "common/cleanup.h"
#include "common/version.h"

#define SWAP_CURRENT  "current"
#define SWAP_PREVIOUS "previous"

/* Where a link points. -ENOENT if there is none; -EUCLEAN if it is not a link to a directory
 * releases/<version>. */
_must_check_ int swap_read(int space_fd, const char *link, struct version *ret);

/* Makes current.new, and previous.new unless previous is NULL; durable on return. */
_must_check_ int swap_prepare(int space_fd, const struct version *current,
			      const struct version *previous);
/* previous.new becomes `previous`, durably. */
_must_check_ int swap_previous(int space_fd);
/* current.new becomes `current`: THE COMMIT POINT. Durable only after swap_settle(). */
_must_check_ int swap_current(int space_fd);
/* Makes the flip durable and reads it back; -EUCLEAN if `current` is not this version. */
_must_check_ int swap_settle(int space_fd, const struct version *current);

/* Puts both links back, `current` first. previous NULL: there was none. Idempotent. */
_must_check_ int swap_back(int space_fd, const struct version *current,
			   const struct version *previous);
/* Removes left-over .new links. */
_must_check_ int swap_clear(int space_fd);

#endif
