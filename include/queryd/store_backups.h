/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store knows of backups: one row for each version of each gateway. The bytes are elsewhere
 * (queryd/backup_files.h). As in queryd/store.h: any thread, and durable when the call returns.
 */
#ifndef QUERYD_STORE_BACKUPS_H
#define QUERYD_STORE_BACKUPS_H

#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/version.h"
#include "queryd/identity.h"
#include "queryd/store.h"

/* Kept in the database: add, never renumber. */
enum store_backup_state {
	STORE_BACKUP_WANTED = 0, /* bytes are to come, or on their way */
	STORE_BACKUP_FILE = 1,	 /* held, as a file of our own */
	STORE_BACKUP_TARGET = 2, /* held, as a program file of the repository */
};

struct store_backup {
	uint64_t id; /* given by the store, rising, never used again */
	char identity[IDENTITY_TEXT_BYTES];
	char version[VERSION_LENGTH + 1];
	char tar_sha256[SHA256_HEX_LENGTH + 1];
	char sha256[SHA256_HEX_LENGTH + 1]; /* of the gateway's file … */
	uint64_t length_bytes;		    /* … and its length */
	enum store_backup_state state;
	int64_t made_sec;
	int64_t told_sec; /* when its gateway last told of it */
};

/* -ENOENT if there is none. */
_must_check_ int store_get_backup(struct store *s, const char *identity, const char *version,
				  struct store_backup *ret);
/* Adds it, in the place of what there is of this gateway and version; sets its id. */
_must_check_ int store_put_backup(struct store *s, struct store_backup *backup);
/* 1, or 0 if it is not there any more. */
_must_check_ int store_set_backup_state(struct store *s, uint64_t id,
					enum store_backup_state state);
_must_check_ int store_tell_backup(struct store *s, uint64_t id, int64_t told_sec);
_must_check_ int store_remove_backup(struct store *s, uint64_t id);

/* 1 if a backup has these bytes as its file, 0 if none has. */
_must_check_ int store_has_backup_file(struct store *s, const char *sha256);
/* How many backups a gateway has. */
_must_check_ int store_count_backups(struct store *s, const char *identity);
/* The one it has not told of for the longest time. -ENOENT. */
_must_check_ int store_oldest_backup(struct store *s, const char *identity,
				     struct store_backup *ret);

struct store_backup_filter {
	const char *identity; /* NULL: any */
	uint64_t after;	      /* ids above this */
	int64_t told_before;  /* not told of since then; 0: any */
	uint64_t limit;
};
/* In rising order of id; as store_each_result(). */
_must_check_ int store_each_backup(struct store *s, const struct store_backup_filter *filter,
				   int (*visit)(const struct store_backup *backup, void *userdata),
				   void *userdata);

#endif
