/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A space: the storage tree of one program (the layout is in docs/ARCHITECTURE.md).
 *
 *	releases/<version>/     complete, or not there: it appears and goes by one rename
 *	releases/.stage-<txid>/ being built, never run
 *	releases/.drop-…        being removed
 *	backups/<version>.tar.xz, <version>.sha256   its tar, and what that hashes to
 *	backups/<version>.server when the query server last said that it holds it too
 *	backups/.new-<version>  being written
 *
 * All that begins with a dot is left-over after a crash and goes with store_sweep(). `current` and
 * `previous` belong to updaterd/swap.h.
 */
#ifndef UPDATERD_STORE_H
#define UPDATERD_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/manifest.h"
#include "common/version.h"

#define STORE_MAX_RELEASES 256u

struct store;

/* -ENOENT if there is no space at path. */
_must_check_ int store_open(const char *path, struct store **ret);
/* Makes what is missing, then opens. */
_must_check_ int store_create(const char *path, struct store **ret);
struct store *store_close(struct store *s);
DEFINE_CLEANUP(struct store *, store_close);
/* Removes a space; what is not of it stays, and its directory then as well. A missing one is success. */
_must_check_ int store_destroy(const char *path);

/* The directory of the space, borrowed: for updaterd/swap.h. */
int store_dirfd(const struct store *s);
const char *store_path(const struct store *s);

/* -ENOSPC unless 2 x unpacked_bytes + 10 % + 16 MiB and enough inodes are free. */
_must_check_ int store_check_space(const struct store *s, uint64_t unpacked_bytes);
/* Would that be so if this release were removed? 0 or 1, or a negative errno. */
_must_check_ int store_would_free_enough(const struct store *s, const struct version *version,
					 uint64_t unpacked_bytes);

/* An empty directory releases/.stage-<name>, mode 0700; one left from before is replaced. Returns its
 * descriptor. */
_must_check_ int store_stage_begin(struct store *s, const char *name);
/* Renames the stage to its version, durably. -EEXIST if there is one already. */
_must_check_ int store_stage_seal(struct store *s, const char *name, const struct version *version);

/* The same in the place of a damaged release, which goes: by an exchange, so `current` may lead to it. */
_must_check_ int store_stage_replace(struct store *s, const char *name,
				     const struct version *version);

/* Versions in releases/, newest first. Caller frees. */
_must_check_ int store_list(const struct store *s, struct version **ret, size_t *ret_n);
/* Returns the descriptor of a release's directory, -ENOENT if there is none. */
_must_check_ int store_open_release(const struct store *s, const struct version *version);
/* Reads and parses a release's release.json. */
_must_check_ int store_read_manifest(int release_fd, struct manifest **ret, char **ret_error);
/* 1 if the release is there and has a release.json; 0 if not. What its files are is not looked at.
 * Errors are accidents (fs_is_accident()) alone. */
_must_check_ int store_has_release(const struct store *s, const struct version *version);
/* 0 if the release is there and every file of it matches; -EUCLEAN with a sentence (may be NULL;
 * caller frees) if not, -ENOENT if there is none, -EIO if it cannot be read, also not at a second
 * look. Accidents (fs_is_accident()) say nothing about the release. */
_must_check_ int store_check_release(const struct store *s, const struct version *version,
				     char **ret_error);
/* Removes a release: out of sight first, by a rename. -EBUSY if `current` points to it. If `previous`
 * points to it, that link goes before. */
_must_check_ int store_remove_release(struct store *s, const struct version *version);

/* A backup file being written, read and write; the old left-over is replaced. Returns the
 * descriptor. */
_must_check_ int store_backup_begin(struct store *s, const struct version *version);
/* Renames it to its name, durably. Its bytes must have been synced. */
_must_check_ int store_backup_commit(struct store *s, const struct version *version);
/* Returns a descriptor for reading; -ENOENT. */
_must_check_ int store_backup_open(const struct store *s, const struct version *version);
/* The SHA-256 of its tar beside it, in the form of sha256sum(1): written before the commit. */
_must_check_ int store_backup_note(struct store *s, const struct version *version,
				   const uint8_t tar_sha256[SHA256_BYTES]);
/* -ENOENT, -EBADMSG. */
_must_check_ int store_backup_noted(const struct store *s, const struct version *version,
				    uint8_t ret_tar_sha256[SHA256_BYTES]);
/* The versions of which there is such a note, newest first. Caller frees. */
_must_check_ int store_backup_list(const struct store *s, struct version **ret, size_t *ret_n);
/* The query server holds it, it said then. 0: it never did. */
_must_check_ int store_backup_tell(struct store *s, const struct version *version, int64_t sec);
int64_t store_backup_told(const struct store *s, const struct version *version);
/* The file alone: what it hashes to is still known. */
_must_check_ int store_backup_drop(struct store *s, const struct version *version);
/* All that is of it; none is success. */
_must_check_ int store_backup_remove(struct store *s, const struct version *version);

/* Removes stages, half-removed releases and half-written backups. Nothing else. */
_must_check_ int store_sweep(struct store *s);
/* Sweeps, and removes every release and backup whose version is not in keep. */
_must_check_ int store_prune(struct store *s, const struct version *keep, size_t n_keep);

#endif
