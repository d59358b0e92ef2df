/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing who signs for a role, and what must be signed again because of it:
 *
 *	root			root
 *	snapshot, timestamp	root; they themselves when it is published
 *	targets			root, and targets
 *	a delegated role	targets, and the role
 *
 * Versions go on. A client that had seen higher ones, made with a stolen key of timestamp or
 * snapshot, drops what it has of the two when it takes the new root (specification, 5.3.11).
 */
#ifndef RELEASE_ROTATE_H
#define RELEASE_ROTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "release/changes.h"
#include "release/repository.h"

#define ROTATE_MAX_KEYS 16

struct rotate_request {
	const char *role;
	const char *add[ROTATE_MAX_KEYS]; /* names in keys/, or files of public keys */
	size_t n_add;
	const char *remove[ROTATE_MAX_KEYS]; /* names in keys/, or (the beginnings of) key ids */
	size_t n_remove;
	uint64_t threshold; /* 0: as it is */
	bool reset;	    /* a delegated role's content is that of an older version of it */
	uint64_t reset_to;  /* 0: of none, so it is empty */
};

/* Plans it (stage.h). 1, or 0 if all is so already. */
_must_check_ int rotate_plan(struct repository *r, const struct rotate_request *request,
			     struct changes *changes, struct problem *problem);

#endif
