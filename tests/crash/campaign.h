/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of a run have in common: its parameters, its counts, and how a finding is told. A row
 * is one scenario cut in one way; it is what passes or fails.
 */
#ifndef TESTS_CRASH_CAMPAIGN_H
#define TESTS_CRASH_CAMPAIGN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "invariants.h"
#include "scenarios.h"

struct campaign {
	const char *program;  /* how it was called, for replaying */
	const char *scenario; /* NULL: all */
	uint64_t seed;
	unsigned jobs;
	uint64_t states; /* most for a file system, or calls for the errors; 0: all there are */
	long at;	 /* one only; -1: all */
	int error;	 /* one only; -1: all */
	bool stop_at_first;
	char keep[256];	    /* where states that fail are kept; "": they are not */
	char directory[64]; /* in memory, with mounts of our own below it */
	const struct inputs *inputs;
	unsigned n_passed, n_failed; /* rows */
	uint64_t n_checked;
};

/* Of one row, shared by the processes that work on it. */
struct tally {
	uint64_t n_checked;
	uint64_t n_failed;
	bool is_skipped; /* it cannot be done here */
	double began_sec;
};

#define TOLD_FAILURES 5u /* of a row, in full; the others are counted */

struct tally *tally_new(void);
void tally_free(struct tally *t);
/* A finding: what, and how to see it again. Thread- and process-safe. */
void tally_broken(struct tally *t, const char *replay, const char *format, ...) _printf_(3, 4);
/* The line of the row. */
void campaign_row(struct campaign *c, const struct tally *t, const char *what,
		  const struct scenario *s, const char *unit);
void campaign_skip(const char *what, const char *format, ...) _printf_(2, 3);

double campaign_now_sec(void);
/* The next of a sequence that a seed stands for. */
uint64_t campaign_random(uint64_t *seed);

/* Runs work(context, job) in so many processes and waits for them. False if one did not end well. */
bool campaign_fork(unsigned n, void (*work)(void *context, unsigned job), void *context);

/* Recovers what a cut left and judges it, in a process of its own. w's machine is what it was at the
 * cut. is_off: the whole machine was. */
struct cut {
	struct world *w;
	const struct scenario *s;
	const struct before *before;
	bool is_off;
	bool has_rescue;   /* it runs before recovery, as it does at a boot */
	bool stays_full;   /* this file system gives no room back at once */
	bool has_answered; /* it was no cut: an attempt came back, with an error in its way */
};
void cut_judge(const struct cut *cut, struct verdict *verdict);
/* The same in this process. */
void cut_recover_and_judge(const struct cut *cut, struct verdict *verdict);

#endif
