/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking a release back: its program file, the patches to and from it, and their segment lists leave the
 * program's role, which is staged. publish removes the files that nothing names any more.
 */
#ifndef RELEASE_REVOKE_H
#define RELEASE_REVOKE_H

#include "common/version.h"
#include "release/changes.h"
#include "release/repository.h"

/* arch NULL: for all architectures. Plans it (stage.h); 1. -ENOENT if there is no such release. */
_must_check_ int revoke_plan(struct repository *r, const struct version *version, const char *arch,
			     struct changes *changes, struct problem *problem);

#endif
