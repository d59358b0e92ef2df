/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the query server last answered a run. A gateway that was off at its moment of the night, or whose
 * line was down then, finds by it that it missed the night.
 *
 *	agent_dir/answered	"<sec> <CRC-32 of that>\n", by the system clock
 *
 * It is written when the run ends: one that the power or the line cut off is to be gone on with, so
 * it counts as none. A clock may lie in both directions, and a record that it made must not keep a
 * gateway from asking: what cannot be right is as good as none. If we die while it is stored, the one
 * before stays.
 */
#ifndef UPDATERD_ANSWERED_H
#define UPDATERD_ANSWERED_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

/* A day, and the hour by which updaterd.timer may be late. */
#define ANSWERED_MAX_AGE_SEC INT64_C(90000)

/* 0: never, or nobody knows. */
int64_t answered_load(int dirfd);
/* The same from the directory of that name. */
int64_t answered_load_from(const char *agent_dir);
_must_check_ int answered_store(int dirfd, int64_t sec);

/* Older than ANSWERED_MAX_AGE_SEC, later than now, from before this release was built, or none. */
bool answered_is_missed(int64_t answered_sec, int64_t now_sec);

#endif
