/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went wrong, in one sentence that says what to do where something can be done. Modules of the
 * release tool fill it and return the errno; the verb prints it once.
 */
#ifndef RELEASE_PROBLEM_H
#define RELEASE_PROBLEM_H

#include "common/cleanup.h"

struct problem {
	char text[1024];
};

/* Writes the sentence and returns error, so that a failing path is one statement. */
int problem_set(struct problem *p, int error, const char *format, ...) _printf_(3, 4);
int problem_no_memory(struct problem *p);

#endif
