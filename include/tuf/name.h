/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that come out of metadata. A role may have any name and a target any path: what a file, a
 * URL or a message is made of is decided here.
 */
#ifndef TUF_NAME_H
#define TUF_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

/* With its NUL. A file system allows for 255 bytes; two are left for a temporary name beside it. */
#define TUF_FILE_NAME_BYTES 254

/* "<version>.<role>.json", or "<role>.json" if version is 0. Every byte of the role but A-Z a-z 0-9
 * '-' '.' '_' '~' is percent-encoded (RFC 3986, upper-case hex), so that the name is at once a single
 * component of a URL, not to be encoded again, and a safe file name. Two roles never share a name.
 * -ENAMETOOLONG. */
_must_check_ int tuf_file_name(uint64_t version, const char *role, char ret[TUF_FILE_NAME_BYTES]);

/* "root", "timestamp", "snapshot", "targets". */
#define TUF_TOP_LEVEL_ROLES 4u
extern const char *const tuf_top_level_roles[TUF_TOP_LEVEL_ROLES];

/* Whether a delegated role may have this name: not empty, none of the four top-level ones, and no
 * "<digits>.root", whose copy would take the place of a root's. */
bool tuf_role_name_is_free(const char *name);

/* Whether two of them are the same. Sorts them. */
bool tuf_names_repeat(const char **names, size_t n);

/* For who makes a file name or a URL of a target's path: relative, at most 1024 bytes, neither empty
 * nor '.' nor '..' components, no control character, no backslash. Metadata may hold other paths. */
bool tuf_path_is_plain(const char *path);

#endif
