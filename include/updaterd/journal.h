/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of the installer: what is under way, and the few facts that must outlive everything
 * (floors, quarantine, trusted time).
 *
 * On disk: two slots, journal.a and journal.b, 4096 bytes each, which have their blocks from the beginning
 * and keep them, written in turn by one pwrite() and one fdatasync(). A slot is
 *
 *	bms-journal <format> <sequence, 16 hex> <payload length, 4 hex> <CRC-32, 8 hex>\n
 *	key=value\n …
 *
 * and zeros. The CRC covers the header before it and the payload. The valid slot with the highest
 * sequence counts; the other one is overwritten next, so a write that is cut leaves the state before
 * it. This shape is for ever: a higher <format> only means more keys, and lines that are not known
 * here are carried through.
 *
 * Depends on libc, fsutil and crc32 alone, so that the rescue program can use it.
 */
#ifndef UPDATERD_JOURNAL_H
#define UPDATERD_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

#define JOURNAL_SLOT_BYTES 4096u
#define JOURNAL_SLOT_A	   "journal.a"
#define JOURNAL_SLOT_B	   "journal.b"

/* The key "state". What recovery does in each: updaterd/recover.h. */
enum journal_state {
	JOURNAL_IDLE = 0,    /* nothing is under way */
	JOURNAL_ACCEPTED,    /* an attempt is recorded, nothing was written for it */
	JOURNAL_STAGING,     /* a stage may exist */
	JOURNAL_READY,	     /* the new release is complete; `current` is not touched */
	JOURNAL_TRIAL,	     /* `current` may point to the new release */
	JOURNAL_CONFIRMED,   /* the new release is kept; the result may be missing */
	JOURNAL_ROLLED_BACK, /* the old release is back; the result may be missing */
	_JOURNAL_STATE_MAX,
	JOURNAL_UNKNOWN = _JOURNAL_STATE_MAX, /* the word of a newer updaterd */
};

struct journal;

/* Opens the slots in dirfd (borrowed until close), makes them if needed. No valid slot gives an
 * empty journal. */
_must_check_ int journal_open(int dirfd, struct journal **ret);
/* The same for a reader: makes nothing, and journal_write() will fail with -EBADF. */
_must_check_ int journal_load(int dirfd, struct journal **ret);
struct journal *journal_close(struct journal *j);
DEFINE_CLEANUP(struct journal *, journal_close);

/* True if there were bytes in the slots but none of them valid: what was known is lost. */
bool journal_is_damaged(const struct journal *j);
/* The sequence of the state in memory as it was last written; 0: never. */
uint64_t journal_sequence(const struct journal *j);

/* NULL if there is no such key. Borrowed, valid until the next journal_set() on this journal. */
const char *journal_get(const struct journal *j, const char *key);
/* In memory only. NULL removes. -EINVAL for a key or value that cannot be a line, -ENOSPC if the slot
 * would overflow. */
_must_check_ int journal_set(struct journal *j, const char *key, const char *value);
_must_check_ int journal_set_u64(struct journal *j, const char *key, uint64_t value);
/* 0 if it is missing or no number. */
uint64_t journal_get_u64(const struct journal *j, const char *key);

enum journal_state journal_state(const struct journal *j);
const char *journal_state_name(enum journal_state state);

/* Makes the state in memory durable. On failure the disk holds either the state before or this one,
 * and the next write goes to the same slot, so the last good one stays. */
_must_check_ int journal_write(struct journal *j);

#endif
