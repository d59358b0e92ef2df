/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt to change what a program's `current` is, from the request to its result. The order of
 * the steps is the safety argument; it is on one screen in transaction.c.
 */
#ifndef UPDATERD_TRANSACTION_H
#define UPDATERD_TRANSACTION_H

#include "common/cleanup.h"
#include "updaterd/result.h"
#include "updaterd/service.h"
#include "updaterd/state.h"

struct transaction_request {
	char txid[TXID_LENGTH + 1];
	char program;
	/* To the kept previous version, asked for by a person. Without a program file (-1) it is the release that
	 * is kept, or its backup; where both are damaged the request is refused with REASON_DAMAGED before it
	 * is recorded. With one, its full file, signed as any other, takes the place of both. */
	bool is_rollback;
	int metadata_fd; /* borrowed, as all of it; -1 for a rollback, as below */
	int program_fd;
	const char *target; /* "B/B202109010001-arm64.tar.xz" */
	struct result_share share;
};

struct transaction_hooks {
	/* The attempt is in the journal: from here on it will have a result, whatever happens. */
	void (*recorded)(void *userdata);
	void (*progress)(void *userdata, enum step step, unsigned percent);
	/* Asked before each step and during the trial: REASON_NONE, or why the attempt is to end now. Once it is
	 * confirmed that is too late. */
	enum reason (*called_off)(void *userdata);
	void *userdata;
};

/* Runs it to its end. 0 when the result is kept (whatever the outcome is: see *ret). Negative: it
 * could not be recorded, with *ret->failure telling why (-EBUSY: another one is under way,
 * REASON_NO_PREVIOUS, …); or its end could not be written down, and recovery has to. The state must
 * be held (STATE_TRY or STATE_WAIT) and recovered. */
_must_check_ int transaction_run(struct state *s, struct service service,
				 const struct transaction_request *request,
				 const struct transaction_hooks *hooks, struct result *ret);

#endif
