/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of backups, in a directory of their own:
 *
 *	files/<sha256>	complete, named by what they are, so that what many gateways have is there once
 *	parts/<id>	arriving; as long as what has arrived
 *
 * A part only grows. It is synced at the end of each request that brings some of it, and becomes a file by a
 * rename when it has been read again and is what it was announced to be. If we die anywhere, a part is as
 * long as its bytes that reached the disk; bytes that a power cut made wrong are found out at its end, and
 * it begins anew.
 *
 * Any thread may call; who writes a part is the caller's to settle. Errors are those of the file system.
 */
#ifndef QUERYD_BACKUP_FILES_H
#define QUERYD_BACKUP_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct backup_files;

/* Makes the directories that are missing, and counts what is there. On failure *ret_error is a sentence;
 * caller frees. */
_must_check_ int backup_files_open(const char *path, struct backup_files **ret, char **ret_error);
struct backup_files *backup_files_close(struct backup_files *f);
DEFINE_CLEANUP(struct backup_files *, backup_files_close);

/* All files and parts together. */
uint64_t backup_files_used_bytes(const struct backup_files *f);

/* How much of a part has arrived; 0 if there is none. */
_must_check_ int backup_files_arrived(const struct backup_files *f, uint64_t id,
				      uint64_t *ret_bytes);
/* Opens it to go on at offset, which must be its end: -ESTALE if it is not. Returns the descriptor. */
_must_check_ int backup_files_begin(struct backup_files *f, uint64_t id, uint64_t offset);
/* Appends. After a failure the part is as long as before. */
_must_check_ int backup_files_write(struct backup_files *f, int fd, uint64_t offset,
				    const void *bytes, size_t size);
/* Syncs a part that is complete, and reads it. -EBADMSG if it is not what sha256 says: then it is gone. */
_must_check_ int backup_files_check(struct backup_files *f, uint64_t id, int fd,
				    const char *sha256);
/* Gives it its name, durably. */
_must_check_ int backup_files_name(struct backup_files *f, uint64_t id, const char *sha256);
_must_check_ int backup_files_remove_part(struct backup_files *f, uint64_t id);

/* Returns a descriptor for reading; -ENOENT. */
_must_check_ int backup_files_open_file(const struct backup_files *f, const char *sha256,
					uint64_t *ret_size_bytes);
/* One that is not there is success. */
_must_check_ int backup_files_remove_file(struct backup_files *f, const char *sha256);

/* Walks over the names. What is named otherwise than above is passed over. A visitor may remove what it is
 * called with; it stops the walk with a negative errno. */
_must_check_ int backup_files_each_file(struct backup_files *f,
					int (*visit)(const char *sha256, void *userdata),
					void *userdata);
_must_check_ int backup_files_each_part(struct backup_files *f,
					int (*visit)(uint64_t id, void *userdata), void *userdata);

#endif
