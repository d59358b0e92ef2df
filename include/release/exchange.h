/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures by keys that are elsewhere: what lacks them goes out as a signing request (request.h) and
 * what comes back is taken in, signature by signature. Only signatures come in: what is signed is what
 * is staged here, to the byte, and each signature is verified before it is kept.
 */
#ifndef RELEASE_EXCHANGE_H
#define RELEASE_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "release/changes.h"
#include "release/repository.h"

/* Writes a request for the staged roles that lack signatures (n_roles not 0: for those of them). How
 * many these are; 0: none, and nothing is written. */
_must_check_ int exchange_export(struct repository *r, const char *const *roles, size_t n_roles,
				 const char *path, struct changes *changes,
				 struct problem *problem);

struct exchange_outcome {
	unsigned added, known, refused; /* signatures */
};
/* The sentences tell of each signature. Good ones are kept also where others are refused. */
_must_check_ int exchange_import(struct repository *r, const char *path, bool dry_run,
				 struct exchange_outcome *ret, struct changes *changes,
				 struct problem *problem);

#endif
