/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs that change who signs for what have in common: they tell what will change, stop there
 * with --dry-run, stage it, and tell what is still to be signed.
 */
#ifndef RELEASE_CHANGING_H
#define RELEASE_CHANGING_H

#include <cjson/cJSON.h>

#include "release/changes.h"
#include "release/options.h"
#include "release/repository.h"

/* n is what the planning returned: negative, 0 for nothing to do, 1 for something to stage. Prints,
 * stages, prints again; the exit code. */
int changing_finish(const struct options *o, struct repository *r, struct changes *changes, int n,
		    struct problem *problem);
/* The sentences, a line each. */
void changing_print(const struct changes *changes);
/* What of it lacks signatures, and what to do. */
void changing_print_incomplete(const cJSON *staged);
/* {"changes":[…],"dry_run":false,"staged":[…]}; both arrays are taken over. */
_must_check_ int changing_json(const struct options *o, struct changes *changes, cJSON *staged,
			       cJSON **ret);

/* A key of the command line: a name in keys/, or the file of a public key, which is remembered. */
_must_check_ int changing_resolve_key(struct repository *r, const char *name_or_file,
				      struct keystore_key *ret, struct problem *problem);

#endif
