/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time by which one run judges what is signed: fixed at its start, whatever happens to the clock
 * meanwhile, and never before what is known to have passed already.
 *
 *	now = max(system clock, time of the build, time of the last trust)
 *
 * The time of the last trust is raised only by metadata that passed at that very time, so it always
 * lies before the expiry of metadata that was signed for this repository. A clock that was wrong for a
 * while can therefore not leave behind a time at which what is signed later has expired: the
 * timestamp that comes next expires later than the one that was believed. It is bound to the kept
 * timestamp.json: when that becomes void, since its keys were replaced, what it vouched for does too.
 */
#ifndef UPDATERD_UPDATE_TIME_H
#define UPDATERD_UPDATE_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "updaterd/conf.h"
#include "updaterd/failure.h"

struct update_time {
	int64_t clock_sec;   /* what the system clock said */
	int64_t built_sec;   /* conf_build_time_sec() */
	int64_t trusted_sec; /* of the last trust; 0: never, or not known */
	int64_t now_sec;     /* the latest of the three */
	uint64_t began_msec; /* CLOCK_BOOTTIME */
};

struct update_time update_time_begin(int64_t trusted_sec);

/* The clock says less than is known. */
bool update_time_clock_is_behind(const struct update_time *t);
/* now_sec and what has passed since, by a clock that nobody sets. */
int64_t update_time_passing_sec(const struct update_time *t);

#define UPDATE_TIME_TEXT_BYTES 128

/* What the clock says beside what is known, for people who must decide whether it is right: "the clock
 * says …, 3650 days after metadata was last trusted: is it right?" */
void update_time_describe(const struct update_time *t, char ret[UPDATE_TIME_TEXT_BYTES]);
/* Adds that to a failure that may be the clock's; the sentence is never what is cut. Returns error. */
int update_time_explain(const struct update_time *t, int error, struct failure *failure);

/* A time of last trust that was kept somewhere, as far as the timestamp.json in dirfd, which passed
 * then, vouches for it: sec, or 0. */
int64_t update_time_vouched(int dirfd, int64_t sec, const struct tuf_limits *limits);

/* The agent's record, a file beside its trusted copies. A file that is missing or damaged gives 0. If
 * we die while it is stored, the one before stays. */
int64_t update_time_load(int dirfd, const struct tuf_limits *limits);
_must_check_ int update_time_store(int dirfd, int64_t sec);

#endif
