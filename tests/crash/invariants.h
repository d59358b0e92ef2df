/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold of a gateway at any instant, and what must hold when recovery is done: I1 to I11 of
 * the design (docs/ARCHITECTURE.md), a function each.
 */
#ifndef TESTS_CRASH_INVARIANTS_H
#define TESTS_CRASH_INVARIANTS_H

#include "scenarios.h"

struct verdict {
	char text[480]; /* "": all holds; else "I1: …", the first that does not */
};

/* At the instant of the cut, before anything was recovered. */
void invariants_at_cut(const struct world *w, const struct scenario *s, const struct before *before,
		       struct verdict *verdict);

/* After recovery and, where the machine was off, after the units' start. */
void invariants_at_rest(const struct world *w, const struct scenario *s,
			const struct before *before, struct verdict *verdict);

/* After a recovery that could not do all it should, for want of room. */
void invariants_in_between(const struct world *w, const struct scenario *s,
			   const struct before *before, struct verdict *verdict);

/* After an attempt that was not cut, but had an error: what it says must be true. */
void invariants_of_answer(const struct world *w, const struct scenario *s,
			  const struct before *before, struct verdict *verdict);

#endif
