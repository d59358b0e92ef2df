/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results that the query server has not archived yet: agent_dir/outbox/<txid>.json, each the body of
 * its PUT, written atomically. If we die anywhere, a result is sent once more, and the server keeps
 * the first.
 */
#ifndef UPDATERD_OUTBOX_H
#define UPDATERD_OUTBOX_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/txid.h"

#include "common/cleanup.h"

#define OUTBOX_MAX_RESULTS	64u
#define OUTBOX_MAX_RESULT_BYTES (16u << 10)

/* A new random one (UUID version 4). */
_must_check_ int txid_new(char ret[TXID_LENGTH + 1]);

/* Puts a result in: its txid member names it. One that is there, or was rejected, is left as it is
 * (returns 0; 1 if it was put in). The oldest is dropped when there are OUTBOX_MAX_RESULTS. */
_must_check_ int outbox_put(int outbox_fd, const cJSON *result);

enum delivery {
	DELIVERY_ARCHIVED,
	DELIVERY_LATER,	   /* no answer, or one that may change: keep it */
	DELIVERY_REJECTED, /* the server will never take it */
};

struct outbox_ops {
	void *userdata;
	/* Sends one. */
	enum delivery (*send)(void *userdata, const char *txid, const char *body, size_t size);
	/* It was archived (and is still there; removed when this returns). */
	void (*archived)(void *userdata, const char *txid);
	/* It was rejected; it is kept as <txid>.rejected. Called once for each. */
	void (*rejected)(void *userdata, const char *txid);
};

/* Sends all, oldest first, until one has to wait. Returns how many are left, or the error of one that
 * could not be read or removed, after the others. */
_must_check_ int outbox_flush(int outbox_fd, const struct outbox_ops *ops);

/* What an answer to PUT /v1/results/{txid} means. body may be NULL. */
enum delivery outbox_judge(long status, const char *body, size_t size);

#endif
