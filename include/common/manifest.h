/* SPDX-License-Identifier: Apache-2.0 */
/*
 * release.json: what a release consists of. It lies in the root of the release's directory and is
 * the first member of its tar. It lists every other file; it does not list itself.
 *
 *	{"_type":"release","spec_version":1,"program":"B","version":"B202109010001","arch":"amd64",
 *	 "files":[{"path":"bin/bmsd","mode":"0755","size":81234,"sha256":"…"}, …]}
 *
 * A release has regular files only, mode 0644 or 0755, and the directories that their paths imply.
 * Files are sorted by path (byte order). Written as one line of compact JSON and a newline, members
 * in the order above, so the same content always gives the same bytes.
 */
#ifndef COMMON_MANIFEST_H
#define COMMON_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/version.h"

#define MANIFEST_NAME		"release.json"
#define MANIFEST_MAX_BYTES	(2u << 20)
#define MANIFEST_MAX_FILES	8192u
/* What the size field of a tar header can hold. */
#define MANIFEST_MAX_FILE_BYTES UINT64_C(077777777777)
#define ARCH_MAX_LENGTH		31

struct manifest_file {
	char *path; /* fs_is_safe_path(), and short enough for a ustar header (reltar_header.h) */
	mode_t mode;
	uint64_t size_bytes;
	uint8_t sha256[SHA256_BYTES];
};

struct manifest {
	struct version version;
	char arch[ARCH_MAX_LENGTH + 1]; /* as dpkg names it, or "all" */
	struct manifest_file *files;	/* sorted by path, no path twice, none below another file */
	size_t n_files;
};

struct manifest *manifest_free(struct manifest *m);
DEFINE_CLEANUP(struct manifest *, manifest_free);

/* -EBADMSG with a sentence in *ret_error (may be NULL; caller frees) when it is not exactly the form
 * above, canonical bytes included; -EFBIG if it is more than the limits. */
_must_check_ int manifest_parse(const void *bytes, size_t size, struct manifest **ret,
				char **ret_error);
/* The bytes of release.json. -EINVAL if m is not as described above. Caller frees. */
_must_check_ int manifest_format(const struct manifest *m, char **ret_bytes, size_t *ret_size);

/* Walks a directory and describes it: hashes every file. A release.json in its root is left out.
 * Refuses links, devices, set-id and sticky bits, empty directories and unsafe names with -EINVAL and
 * a sentence. Modes become 0755 where the owner may execute, 0644 otherwise. */
_must_check_ int manifest_from_tree(int dirfd, const struct version *version, const char *arch,
				    struct manifest **ret, char **ret_error);

/* Compares a directory with its manifest: the same files, modes, sizes and hashes (read again from
 * the disk), no more and no fewer, nothing writable by others than root's owner bit. 0, or
 * -EUCLEAN with a sentence; what the disk does not give back (-EIO), asked twice, is as bad. Other
 * errors say nothing of the tree. */
_must_check_ int manifest_check_tree(const struct manifest *m, int dirfd, char **ret_error);

/* Sum of all file sizes, without release.json. */
uint64_t manifest_total_bytes(const struct manifest *m);
/* Inodes of the unpacked release: files, release.json, directories and the root. */
size_t manifest_inodes(const struct manifest *m);
/* True if files[file] is the first one in the directory that the first length bytes of its path
 * name: so each directory is visited once, in order or (backwards) the deepest first. */
bool manifest_starts_directory(const struct manifest *m, size_t file, size_t length);

#endif
