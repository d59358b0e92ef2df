/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A repository in a directory, as `updaterd --install DIR` is given: a USB stick, say. Opened as root
 * a small helper process stays root and opens files of the directory, read-only and nothing but
 * regular files beneath it, for the process that has become the agent's user. So permissions on the
 * stick do not matter, and what is on it is parsed without privileges.
 */
#ifndef UPDATERD_MEDIUM_H
#define UPDATERD_MEDIUM_H

#include "common/cleanup.h"

struct medium;

/* Call before dropping privileges. -ENOTDIR if path is no directory. */
_must_check_ int medium_open(const char *path, struct medium **ret);
/* Ends the helper. */
struct medium *medium_close(struct medium *m);
DEFINE_CLEANUP(struct medium *, medium_close);

/* Opens a regular file beneath the directory (tuf_path_is_plain()), read-only. Returns the
 * descriptor; -ENOENT if there is none. */
_must_check_ int medium_open_file(struct medium *m, const char *path);

#endif
