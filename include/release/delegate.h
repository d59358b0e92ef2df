/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delegated roles: making one, changing what it may sign for, taking it back. The targets metadata is
 * staged; a new role also, empty and signed by its own keys.
 *
 * A role that is taken back stays in the snapshot at its last version, because clients refuse a
 * snapshot that has lost a role (specification, 5.5.5); if it is delegated to again, its versions go
 * on from there.
 */
#ifndef RELEASE_DELEGATE_H
#define RELEASE_DELEGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "release/changes.h"
#include "release/repository.h"

#define DELEGATE_MAX_KEYS  16
#define DELEGATE_MAX_PATHS 32

struct delegate_request {
	const char *name;
	const char *path[DELEGATE_MAX_PATHS]; /* none: X/<any> for a program's letter X */
	size_t n_paths;
	const char *key[DELEGATE_MAX_KEYS]; /* names in keys/, or files of public keys */
	size_t n_keys;
	uint64_t threshold; /* 0: 1 */
	bool terminating;   /* always for a program's letter */
};

/* Both plan it (stage.h). 1, or 0 if all is so already. */
_must_check_ int delegate_plan(struct repository *r, const struct delegate_request *request,
			       struct changes *changes, struct problem *problem);
_must_check_ int undelegate_plan(struct repository *r, const char *name, struct changes *changes,
				 struct problem *problem);

#endif
