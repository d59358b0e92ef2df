/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts of the process: it dies before a call, or a call fails. Both in memory, without root's help. */
#ifndef TESTS_CRASH_PROCESS_H
#define TESTS_CRASH_PROCESS_H

#include "campaign.h"

/* SIGKILL before each call that changes the disk. */
void process_death(struct campaign *c, const struct scenario *s);
/* Each error, and short counts, at each call that can return it. With c->states, as many of these as
 * that, evenly over the calls, the errors in turn. */
void process_errors(struct campaign *c, const struct scenario *s);
/* Prints the calls of a scenario. */
void process_list(struct campaign *c, const struct scenario *s);

#endif
