/* SPDX-License-Identifier: Apache-2.0 */
/* settings.json: for how many days what is signed from now on is valid. */
#ifndef RELEASE_SETTINGS_H
#define RELEASE_SETTINGS_H

#include "common/cleanup.h"
#include "release/problem.h"

enum role_kind {
	ROLE_ROOT,
	ROLE_TARGETS,
	ROLE_PROGRAM,
	ROLE_SNAPSHOT,
	ROLE_TIMESTAMP,
	_ROLE_KIND_MAX,
};
/* By the role's name; a single letter A-Z is a program. -EINVAL for anything else, so for a delegated
 * role of another name: it lives as long as a program's. */
_must_check_ int role_kind_from_name(const char *role);

struct expiry {
	unsigned days[_ROLE_KIND_MAX];
};
unsigned expiry_days(const struct expiry *expiry, const char *role);

_must_check_ int settings_write(int dirfd, const struct expiry *expiry);
/* -ENOENT leaves problem untouched; path is the directory, for the sentence. */
_must_check_ int settings_read(int dirfd, const char *path, struct expiry *ret,
			       struct problem *problem);

#endif
