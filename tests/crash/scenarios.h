/* SPDX-License-Identifier: Apache-2.0 */
/* What is cut, and what was there before it. */
#ifndef TESTS_CRASH_SCENARIOS_H
#define TESTS_CRASH_SCENARIOS_H

#include "world.h"

/* The attempt that is cut; those before it count from 1. */
#define SCENARIO_ATTEMPT 100u

struct scenario {
	const char *name;
	const char *what;
	int (*prepare)(struct world *w); /* on an adopted gateway, unless it is bare */
	int (*run)(struct world *w);	 /* this is cut */
	char program;			 /* whose attempt it is; '\0': none is made */
	const char *to;			 /* where it leads, if it goes well */
	const char *odd_version;
	enum play odd;
	bool is_bare;	    /* no program is installed before */
	bool is_damaged;    /* what B runs is damaged before */
	bool ends_badly;    /* the attempt must not be confirmed */
	bool fills_disk;    /* needs a small file system of its own */
	bool is_boot;	    /* no program runs yet */
	bool is_by_rescue;  /* the attempt is the rescue program's */
	bool is_cut_before; /* the attempt is under way when it begins */
};

extern const struct scenario scenarios[];
extern const size_t n_scenarios;
/* NULL: there is none. */
const struct scenario *scenario_find(const char *name);

/* What was known of a program when the scenario began; "": nothing. */
struct known {
	char current[VERSION_LENGTH + 1];
	char previous[VERSION_LENGTH + 1];
	char floor[VERSION_LENGTH + 1];
};

struct before {
	struct known programs[CONF_MAX_PROGRAMS];
	unsigned n_results;
};

/* Makes everything below the root of w, and notes it. */
int scenario_prepare(const struct scenario *s, struct world *w, struct before *ret);

#endif
