/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The patches that come with a new release: from the newest published versions before it, of the same
 * program and architecture, as long as they are worth it.
 */
#ifndef RELEASE_ADD_PATCHES_H
#define RELEASE_ADD_PATCHES_H

#include "release/add.h"
#include "release/program_file.h"

/* Makes them in dirfd, puts them into document with segment lists, and notes in answer what became of
 * each. The program file is in document and dirfd already. An old program file that is missing or
 * damaged only means that there is no patch from it. */
_must_check_ int add_patches(struct repository *r, int dirfd, const struct add_request *request,
			     cJSON *document, struct add_answer *answer, struct problem *problem);

/* Segment lists in every size of the request, for the file of this target that is in dirfd. In add.c. */
_must_check_ int add_segment_lists(int dirfd, const struct add_request *request,
				   const struct made_file *file, cJSON *document, const char *path,
				   struct problem *problem);

#endif
