/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the programs and their spaces are, for those who do without the configuration: the file `programs`
 * in the installer's directory, which the installer writes (updaterd/state.h). Lines, one for each program:
 *
 *	<letter> <space> <factory directory, or -> [<unit>]
 *
 * What follows in a line is a newer updaterd's. Depends on libc, fsutil and log alone.
 */
#ifndef UPDATERD_PROGRAMS_H
#define UPDATERD_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"

#define PROGRAMS_FILE "programs"
#define PROGRAMS_MAX  26

struct program {
	char letter;
	const char *space;
	const char *factory; /* NULL: none */
	const char *unit;    /* NULL: none */
	bool is_changed;     /* for whoever changes it */
};

struct programs {
	char *text; /* what the programs' strings are parts of */
	struct program list[PROGRAMS_MAX];
	size_t n;
};

/* The file in dirfd (negative: there is none), if each line of it is well formed; else defaults, a text of
 * the same form. */
_must_check_ int programs_load(int dirfd, const char *defaults, struct programs *ret);
void programs_done(struct programs *p);
/* NULL if there is none of this letter. */
struct program *programs_find(struct programs *p, char letter);

#endif
