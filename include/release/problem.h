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

void problem_write(struct problem *p, const char *format, ...) _printf_(2, 3);

/* Writes the sentence and is error, so that a failing path is one statement. A macro, since analyzers
 * do not follow what a variadic function returns. */
#define problem_set(p, error, ...)                                                                 \
	({                                                                                         \
		int problem_error_ = (error);                                                      \
		problem_write((p), __VA_ARGS__);                                                   \
		problem_error_;                                                                    \
	})

static inline int problem_no_memory(struct problem *p)
{
	return problem_set(p, -ENOMEM, "out of memory");
}

#endif
