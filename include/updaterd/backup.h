/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backup file of a release: its deterministic tar, compressed, read again and compared before it
 * gets its name. If we die inside there is none, or a left-over that store_sweep() removes.
 */
#ifndef UPDATERD_BACKUP_H
#define UPDATERD_BACKUP_H

#include "common/cleanup.h"
#include "common/digest.h"
#include "updaterd/failure.h"
#include "updaterd/store.h"

#define BACKUP_XZ_PRESET 2u

/* A backup that is there and right is left as it is. The release itself is checked first: a damaged
 * one is no backup (REASON_DAMAGED). */
_must_check_ int backup_make(struct store *store, const struct version *version,
			     uint64_t max_tar_bytes, struct failure *failure);

/* 0 if there is a backup file, and it holds exactly the tar that it was made of. -ENOENT, -EBADMSG. */
_must_check_ int backup_find(const struct store *store, const struct version *version,
			     uint64_t max_tar_bytes, uint8_t ret_tar_sha256[SHA256_BYTES]);

/* 0 if the backup file holds exactly the tar of this SHA-256. -EBADMSG if not, -ENOENT. */
_must_check_ int backup_check(const struct store *store, const struct version *version,
			      const uint8_t tar_sha256[SHA256_BYTES], uint64_t max_tar_bytes);

/* In Backups and in Status (docs/PROTOCOL.md). */
#define BACKUP_WHERE_LOCAL  "local"
#define BACKUP_WHERE_SERVER "server"
#define BACKUP_WHERE_BOTH   "both"
/* Where the backup of a version is, one of these; NULL: nowhere. */
const char *backup_where(const struct store *store, const struct version *version);

/* Puts one back that is kept elsewhere: from any file, which must hold exactly the tar that the note of its
 * version names (REASON_HASH), and is read once only. -ENOENT if there is no such note. */
_must_check_ int backup_put_back(struct store *store, const struct version *version, int from_fd,
				 uint64_t max_bytes, struct failure *failure);

#endif
