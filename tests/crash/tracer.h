/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a function in a process of its own whose system calls on files are counted, and ends the
 * process before one of them, or lets one of them fail or write less than it should.
 *
 * By seccomp's user notification: the kernel asks us before each of these calls. Unlike ptrace this
 * does not depend on the processor, and what it costs is two switches for a call that is asked for.
 */
#ifndef TESTS_CRASH_TRACER_H
#define TESTS_CRASH_TRACER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "world.h"

#define TRACE_ERRORS  7 /* EIO ENOSPC EDQUOT EROFS EMFILE ENOMEM EINTR */
/* Beside these, each a bit more in trace_call.errors: */
#define TRACE_SHORT   8	 /* a short write or read */
#define TRACE_LOST    9	 /* it says that all went well, and nothing was done */
#define TRACE_PLANTED 10 /* somebody was there before: what is to be new has its name taken */
#define TRACE_KINDS   11

enum trace_plan { TRACE_COUNT, TRACE_KILL, TRACE_FAIL };

/* What a call is. */
struct trace_call {
	char name[20];
	char object[84];  /* the name or descriptor that it is about */
	bool is_mutating; /* it changes the disk, or makes a change durable */
	bool is_retried;  /* EINTR or a short count are no errors here */
	unsigned errors;  /* a bit for each of trace_errors[] that it can return, and TRACE_SHORT */
	bool is_after_links; /* I11: between the links' sync and the end in the journal */
	bool is_before_end;  /* before the journal has how the attempt ended */
};

struct trace {
	enum trace_plan plan;
	bool all_calls; /* also those that change nothing */
	size_t at;	/* the n-th call, from 0 */
	unsigned error; /* index into trace_errors, or TRACE_SHORT */

	size_t n_calls;
	struct trace_call *calls; /* TRACE_COUNT: of n_calls. Caller frees. */
	struct trace_call hit;	  /* what happened to the call `at`, if it was reached */
	bool was_hit;
	int status; /* of the process, as of waitpid() */
};

extern const int trace_errors[TRACE_ERRORS];
const char *trace_error_name(unsigned error);

/* -EOPNOTSUPP: the kernel does not let us. */
int trace_run(struct trace *t, struct world *w, int (*run)(struct world *w));

#endif
