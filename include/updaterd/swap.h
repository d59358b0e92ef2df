/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flip of `current` and `previous` in a space, and nothing else.
 *
 * Both are symbolic links "releases/<version>". All that the flip renames, and all that its undoing would,
 * is made beside them first (current.new, previous.new; current.back, previous.back), and the whole file
 * system is synced BEFORE anything is renamed: an fsync of the directory after the rename does not make a
 * link's content durable on every file system, and an empty `current` would be the end. From then on
 * neither way takes space. If we die anywhere in here, `current` is the old link or the new one, and a
 * left-over .new or .back is replaced by the next flip.
 *
 * Depends on libc, fsutil and version alone, so that the rescue program can use it.
 */
#ifndef UPDATERD_SWAP_H
#define UPDATERD_SWAP_H

#include "common/cleanup.h"
#include "common/version.h"

#define SWAP_CURRENT  "current"
#define SWAP_PREVIOUS "previous"

/* Where a link points. -ENOENT if there is none; -EUCLEAN if it is not a link to a directory
 * releases/<version>; -EIO if it cannot be read, also not at a second look. Other errors say nothing about
 * the link. */
_must_check_ int swap_read(int space_fd, const char *link, struct version *ret);
/* The same of the link's text alone: what it names may be gone. */
_must_check_ int swap_read_text(int space_fd, const char *link, struct version *ret);

/* Prepares the flip from `from` to `to`, which makes `from` the previous one, and the way back: to `from`,
 * and to before as the previous one (NULL: there was none). Durable on return. */
_must_check_ int swap_prepare(int space_fd, const struct version *to, const struct version *from,
			      const struct version *before);
/* previous.new becomes `previous`, durably. */
_must_check_ int swap_previous(int space_fd);
/* current.new becomes `current`: THE COMMIT POINT. Durable only after swap_settle(). */
_must_check_ int swap_current(int space_fd);
/* Makes the flip durable and reads it back; -EUCLEAN if `current` is not this version. */
_must_check_ int swap_settle(int space_fd, const struct version *current);

/* Undoes a flip, `current` first, also one that came only half way; previous NULL: there was none.
 * Idempotent. For the process whose swap_prepare() returned 0: only renames, and an fsync after each. */
_must_check_ int swap_undo(int space_fd, const struct version *current,
			   const struct version *previous);
/* The same for who comes later: it trusts no link to be durable, and makes those that are gone. A previous
 * release that is gone is none. */
_must_check_ int swap_back(int space_fd, const struct version *current,
			   const struct version *previous);
/* Makes `current` lead to this version, whatever it is now. `previous` stays. */
_must_check_ int swap_point(int space_fd, const struct version *current);
/* The same for any directory, by its path: the rescue program's last resort. */
_must_check_ int swap_point_at(int space_fd, const char *target);
/* Removes left-over .new and .back links. */
_must_check_ int swap_clear(int space_fd);

#endif
