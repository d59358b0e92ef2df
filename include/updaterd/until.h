/* SPDX-License-Identifier: Apache-2.0 */
/* A time that a person writes: until when a program is held. */
#ifndef UPDATERD_UNTIL_H
#define UPDATERD_UNTIL_H

#include <stdint.h>

#include "common/cleanup.h"

/* One of
 *
 *	2026-12-01T08:00:00Z  2026-12-01T09:00:00+01:00   RFC 3339
 *	2026-12-01  2026-12-01 08:00  2026-12-01 08:00:00  UTC
 *	+7d  +12h  +90m  +2w                               from now_sec on
 *
 * in seconds since the epoch. -EINVAL if it is none of these, -ERANGE if it has passed already, or lies
 * beyond the year 9999. */
_must_check_ int until_parse(const char *text, uint64_t now_sec, uint64_t *ret_sec);

#define UNTIL_TEXT_BYTES sizeof "2026-12-01 08:00:00 UTC"
/* The second of these forms, for people. */
const char *until_format(uint64_t sec, char text[UNTIL_TEXT_BYTES]);

#endif
