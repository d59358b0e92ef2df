/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The installer's own directory while it is held: the lock, the journal, and what they know of each
 * program. One holder at a time (flock); readers take no lock.
 *
 *	lock  journal.a  journal.b  trust/  results/  history.jsonl  programs  proof  reserve
 */
#ifndef UPDATERD_STATE_H
#define UPDATERD_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/version.h"
#include "updaterd/conf.h"
#include "updaterd/journal.h"
#include "updaterd/store.h"

/* A version that failed this often on trial is not tried again. */
#define STATE_MAX_FAILURES   3u
/* So many versions of a program are remembered for what they did; after that the lowest goes. */
#define STATE_MAX_REMEMBERED 8u

struct state {
	const struct conf *conf; /* borrowed */
	int dirfd;
	int lock_fd;
	struct journal *journal;
};

enum state_mode {
	STATE_READ, /* no lock, the journal can not be written */
	STATE_TRY,  /* -EBUSY if somebody else holds the lock */
	STATE_WAIT,
};

/* Makes the directory if needed (except STATE_READ: -ENOENT). -EPERM if others could write to it. */
_must_check_ int state_open(const struct conf *conf, enum state_mode mode, struct state **ret);
struct state *state_close(struct state *s);
DEFINE_CLEANUP(struct state *, state_close);

/* The version that `current` of a program points to; as swap_read(), and -ENOENT without a space. */
_must_check_ int state_current(const struct conf *conf, char letter, struct version *ret);

/* What is known of a program; -ENOENT if nothing. */
_must_check_ int state_floor(const struct state *s, char letter, struct version *ret);
/* The quarantined versions of a program; returns how many. */
size_t state_quarantined(const struct state *s, char letter,
			 struct version ret[STATE_MAX_REMEMBERED]);
bool state_is_quarantined(const struct state *s, const struct version *version);
/* How often this version failed on trial. */
unsigned state_failures(const struct state *s, const struct version *version);

/* In memory, until the next journal_write(). Raising a floor to an older version does nothing. */
_must_check_ int state_raise_floor(struct state *s, const struct version *version);
_must_check_ int state_set_quarantine(struct state *s, const struct version *version);
/* What a person left by the rescue program: 1 if there was any. */
_must_check_ int state_quarantine_left(struct state *s, char letter);
/* A person wants it back: neither quarantine nor failures. */
_must_check_ int state_pardon(struct state *s, const struct version *version);
/* A version was confirmed: failures and quarantine of versions not newer are history. */
_must_check_ int state_clear_failures(struct state *s, const struct version *confirmed);
/* Counts one more; *ret_quarantined tells that this was one too many. */
_must_check_ int state_count_failure(struct state *s, const struct version *version,
				     bool *ret_quarantined);

/* A person holds a program: no upgrade until then. */
#define STATE_FOREVER UINT64_MAX
/* until_sec 0: not any more. */
_must_check_ int state_hold(struct state *s, char letter, uint64_t until_sec);
/* Until when; STATE_FOREVER; 0: it is not held. */
uint64_t state_held_until(const struct state *s, char letter, uint64_t now_sec);
/* The program said "not now" for the first time since an upgrade went ahead; later times change nothing. */
_must_check_ int state_note_postponed(struct state *s, char letter, uint64_t now_sec);
_must_check_ int state_clear_postponed(struct state *s, char letter);
/* When that was; 0: it is not postponed. */
uint64_t state_postponed_since(const struct state *s, char letter);

/* Everything known of a program goes. */
_must_check_ int state_forget(struct state *s, char letter);

/* What is known of a program, to be put back when it could not be written down. */
struct state_known {
	char *values[5];
};
_must_check_ int state_save(const struct state *s, char letter, struct state_known *ret);
_must_check_ int state_restore(struct state *s, char letter, const struct state_known *saved);
void state_known_done(struct state_known *saved);

/* Tells the rescue program where the spaces are (updaterd/programs.h), if it does not know already. */
_must_check_ int state_write_programs(const struct state *s);

/* Nothing is under way any more: record_end_durably(), and what else goes with an attempt. */
_must_check_ int state_end_attempt(struct state *s);

/* Removes from the space what the invariants do not need: keeps `current`, `previous` and extra (may
 * be NULL). */
_must_check_ int state_prune(struct store *store, const struct version *extra);

#endif
