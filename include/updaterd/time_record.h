/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A point of time in a small file, "<sec> <CRC-32 of that>\n". Whoever can write the directory can make
 * one; the checksum is for what a disk or a careless hand does to it.
 */
#ifndef UPDATERD_TIME_RECORD_H
#define UPDATERD_TIME_RECORD_H

#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"

/* 0 if there is none: it is missing, no regular file, damaged, or no time before the year 10000. */
int64_t time_record_load(int dirfd, const char *name);
/* If we die while it is stored, the one before stays. */
_must_check_ int time_record_store(int dirfd, const char *name, int64_t sec, mode_t mode);

#endif
