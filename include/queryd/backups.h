/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backups of gateways: which are wanted, which are held and how much of each there may be. A gateway tells
 * of a backup; if the repository has a program file of the same tar, or a file of just these bytes is here
 * already, it is held at once, by reference. Else its bytes are wanted, and come in order.
 *
 * A backup that is held stays what it is: what a gateway, or who says that it is that gateway, tells
 * later cannot replace it. Any thread may call. If we die inside a call, what it was about is as it was, or
 * done, or put right by the next backups_tidy().
 *
 * Errors beside those of the store and of the file system: -EFBIG, -EDQUOT (over a limit of [backup]),
 * -EEXIST (other bytes are held), -ENOENT, -EBUSY (another request brings bytes of it right now), -ESTALE
 * (not the next bytes), -ERANGE (not a range of it), -EBADMSG (not the bytes that it was told to be).
 */
#ifndef QUERYD_BACKUPS_H
#define QUERYD_BACKUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "queryd/catalog.h"
#include "queryd/conf.h"
#include "queryd/store_backups.h"

/* A backup that nobody goes on to bring is given up after so long. */
#define BACKUPS_WANTED_DAYS 30

struct backups;

/* Opens the directory, and tidies up. store and catalog are borrowed. On failure *ret_error is a sentence;
 * caller frees. */
_must_check_ int backups_open(const struct queryd_conf *conf, struct store *store,
			      struct catalog *catalog, struct backups **ret, char **ret_error);
struct backups *backups_close(struct backups *b);
DEFINE_CLEANUP(struct backups *, backups_close);

/* What a gateway tells. sha256 "" if it has the file no more, and asks only whether it is held. */
struct backup_told {
	const char *identity, *version;
	const char *tar_sha256, *sha256;
	uint64_t length_bytes;
	int64_t now_sec;
};

struct backup_state {
	bool is_held;
	bool is_by_reference;		    /* held as a program file of the repository */
	char sha256[SHA256_HEX_LENGTH + 1]; /* of what is held or wanted; "" if that is elsewhere */
	uint64_t length_bytes;
	uint64_t offset_bytes; /* of what is wanted: so much is here */
};

/* 1 if it is new, 0 if it was known. -ENOENT only where sha256 is "". */
_must_check_ int backups_tell(struct backups *b, const struct backup_told *told,
			      struct backup_state *ret);
_must_check_ int backups_get(struct backups *b, const char *identity, const char *version,
			     struct store_backup *ret_backup, struct backup_state *ret);
/* The state of a row. */
_must_check_ int backups_describe(struct backups *b, const struct store_backup *backup,
				  struct backup_state *ret);
/* Returns a descriptor of what is held; -ENOENT if it is not, or on another file server. */
_must_check_ int backups_open_file(struct backups *b, const struct store_backup *backup);
_must_check_ int backups_remove(struct backups *b, const char *identity, const char *version);

struct backup_upload;

/* Bytes first … last of total are about to come. -EALREADY if it is held; with -ESTALE and -EBUSY, too,
 * *ret_state tells how it is. Only one at a time brings bytes of a backup. */
_must_check_ int backups_begin(struct backups *b, const char *identity, const char *version,
			       uint64_t first, uint64_t last, uint64_t total,
			       struct backup_upload **ret, struct backup_state *ret_state);
_must_check_ int backups_write(struct backup_upload *u, const void *bytes, size_t size);
/* All have come: they are on the disk, and with the last one the backup is held. Releases u. */
_must_check_ int backups_end(struct backup_upload *u, struct backup_state *ret);
/* They were cut: what came is kept. Releases u. */
struct backup_upload *backups_abort(struct backup_upload *u);
DEFINE_CLEANUP(struct backup_upload *, backups_abort);

/* Removes what is kept for too long and what belongs to nothing; puts right what a crash left. Once a
 * day. How many backups went. */
_must_check_ int backups_tidy(struct backups *b, int64_t now_sec);

#endif
