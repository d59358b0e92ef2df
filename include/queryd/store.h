/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What queryd remembers, in SQLite: gateways, results, blacklist. The only module that knows SQL.
 * Any thread may call; calls take turns.
 *
 * Journal mode WAL. Results and blacklist are written with synchronous=FULL: when the call returns,
 * the row is on the disk. What gateways say of themselves at each query is written with
 * synchronous=NORMAL: a power cut may lose the last of it, the next query brings it again. If we die
 * inside any call, a row is there as a whole or not at all.
 *
 * Errors: -ENOSPC, -EIO, -EBUSY, -EROFS, -ENOMEM, -EUCLEAN (the database is damaged).
 */
#ifndef QUERYD_STORE_H
#define QUERYD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct store;

/* Makes the file if it is missing. -EPROTONOSUPPORT if a newer queryd made it. On failure
 * *ret_error is a sentence; caller frees. */
_must_check_ int store_open(const char *path, struct store **ret, char **ret_error);
struct store *store_close(struct store *s);
DEFINE_CLEANUP(struct store *, store_close);

/* ---- gateways ---- */

struct store_gateway {
	const char *identity; /* "imei:490154203237518" */
	const char *arch;
	const char *model;    /* "" if none */
	const char *versions; /* JSON object: {"A":"A202108010001"} */
	int64_t first_seen_sec;
	int64_t last_seen_sec;
};

/* Adds or updates; first_seen_sec is taken only when it is new. */
_must_check_ int store_record_gateway(struct store *s, const struct store_gateway *gateway);
/* At most limit gateways after this identity ("" for the first), in the order of their identities.
 * What visit gets is valid in the call only; it must not call the store. It stops the walk by
 * returning other than 0, which is returned. */
_must_check_ int store_each_gateway(struct store *s, const char *after, uint64_t limit,
				    int (*visit)(const struct store_gateway *gateway,
						 void *userdata),
				    void *userdata);

/* ---- results ---- */

struct store_result {
	uint64_t id; /* given by the store, rising */
	int64_t received_sec;
	const char *txid;
	const char *identity;
	const char *program; /* "B" */
	const char *from, *to;
	const char *outcome, *step, *reason;
	const char *versions; /* JSON of what runs after it, NULL if it was not told */
	const char *body;     /* as it came */
};

/* Archives it, once for each txid: 1 if it is new, 0 if there was one (which stays as it is). A new
 * result with versions also updates those of its gateway. */
_must_check_ int store_archive_result(struct store *s, const struct store_result *result);

struct store_result_filter {
	const char *identity; /* NULL: any */
	const char *program;  /* NULL: any */
	uint64_t after;	      /* ids above this */
	uint64_t before;      /* ids below this; 0: no bound */
	bool newest;	      /* where more than limit match, the newest of them, not the oldest */
	uint64_t limit;
};
/* Only id, received_sec and body are filled. Always in rising order of id. */
_must_check_ int store_each_result(struct store *s, const struct store_result_filter *filter,
				   int (*visit)(const struct store_result *result, void *userdata),
				   void *userdata);

/* ---- blacklist ---- */

struct store_blacklist_entry {
	const char *version;
	const char *identity;
	const char *note;
	int64_t added_sec;
};

/* 1 if it is, 0 if not. */
_must_check_ int store_is_blacklisted(struct store *s, const char *version, const char *identity);
/* 1 if added, 0 if it was there (a note that is not empty replaces the old one). */
_must_check_ int store_blacklist_add(struct store *s, const struct store_blacklist_entry *entry);
/* 1 if removed, 0 if there was none. */
_must_check_ int store_blacklist_remove(struct store *s, const char *version, const char *identity);
/* Of one version, or of all if version is NULL; by version, then identity. */
_must_check_ int store_each_blacklist(struct store *s, const char *version,
				      int (*visit)(const struct store_blacklist_entry *entry,
						   void *userdata),
				      void *userdata);

#endif
