/* SPDX-License-Identifier: Apache-2.0 */
/* What can run in a space. An error always says that this could not be found out; 0 that it is not so. */
#ifndef UPDATERD_RESCUE_SPACE_H
#define UPDATERD_RESCUE_SPACE_H

#include "common/cleanup.h"
#include "common/version.h"
#include "updaterd/programs.h"

/* Returns the space's descriptor. One that is gone is made again if there is a factory release; else
 * -ENOENT. */
_must_check_ int space_open(const struct program *p);

/* 1 if it can be run, by what is quickly seen: to read all of it is recovery's. */
_must_check_ int space_is_complete(int fd, const struct version *version);
/* The same of what `current` leads to, which has to be a release of the program. */
_must_check_ int space_is_sound(int fd, const struct program *p);
/* 1 and what can take its place: `previous`, else the newest release, but only what is older than limit
 * (NULL: any); else program '\0', which stands for the factory's. 0: there is nothing. */
_must_check_ int space_choose(int fd, const struct program *p, const struct version *limit,
			      struct version *ret);

/* Nothing can be renamed onto a directory: those in the places of our links go. */
_must_check_ int space_make_way(int fd);

#endif
