/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a command to a simulated board. */
#ifndef BMSD_SIMWORDS_H
#define BMSD_SIMWORDS_H

#include <stddef.h>

#include "common/cleanup.h"

#define SIMWORDS_MAX   6
#define SIMWORDS_BYTES 160

struct simwords {
	char bytes[SIMWORDS_BYTES];
	size_t n;
	const char *at[SIMWORDS_MAX + 1]; /* NULL after the last */
};

/* Split at blanks. -EINVAL if there are none or too many, or they are too long. */
_must_check_ int simwords_split(const char *line, struct simwords *ret);
/* A whole decimal number in this range, else -EINVAL. */
_must_check_ int simwords_number(const char *word, long min, long max, long *ret);

#endif
