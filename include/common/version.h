/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions: a letter naming the program, a date, a serial of the day: B202109010001 is program B,
 * 2021-09-01, serial 0001. Thirteen characters, always. Ordered within one letter only.
 */
#ifndef COMMON_VERSION_H
#define COMMON_VERSION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

#define VERSION_LENGTH 13

struct version {
	char program;	 /* 'A' … 'Z' */
	uint32_t date;	 /* yyyymmdd, a date of the Gregorian calendar, 2000 … 2199 */
	uint32_t serial; /* 1 … 9999 */
	char text[VERSION_LENGTH + 1];
};

/* Exactly the form above and nothing around it. -EINVAL otherwise; ret is untouched. */
_must_check_ int version_parse(const char *text, struct version *ret);

/* <0, 0, >0 as a is older than, the same as, newer than b. Both must be of one program
 * (version_same_program); an assertion guards it, since a comparison across programs is our bug. */
int version_compare(const struct version *a, const struct version *b);
bool version_same_program(const struct version *a, const struct version *b);

#endif
