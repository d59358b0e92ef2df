/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The deterministic tar of a release. One release, one sequence of bytes: release.json, then the
 * files of the manifest in its order; POSIX ustar headers with owner and group 0, no names, time 0;
 * contents padded to 512; two zero blocks at the end and nothing more. So a gateway can make again,
 * from the release it runs, the exact bytes that were published.
 *
 * Reading is as strict as writing: after the few fields that matter (path, mode, size) are taken
 * from a header, the header is made again from them and must be the same 512 bytes. Links, devices,
 * directories, extended headers, set-id bits, other owners all fail this way; the usual attacks are
 * named in the reason.
 */
#ifndef COMMON_RELTAR_H
#define COMMON_RELTAR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/manifest.h"

#define RELTAR_BLOCK_BYTES 512u

/* ---- the view: any byte of the tar by pread, without the tar being anywhere ---- */

struct reltar_view;

/* A view over the release in dirfd (duplicated; the caller keeps its own). The directory's
 * release.json must describe it; file contents are not hashed here. */
_must_check_ int reltar_view_open(int dirfd, struct reltar_view **ret);
struct reltar_view *reltar_view_close(struct reltar_view *v);
DEFINE_CLEANUP(struct reltar_view *, reltar_view_close);
uint64_t reltar_view_size(const struct reltar_view *v);
const struct manifest *reltar_view_manifest(const struct reltar_view *v);
/* Up to size bytes from offset; 0 at the end. -EUCLEAN if a file is shorter or longer than its
 * manifest says. */
ssize_t reltar_view_pread(struct reltar_view *v, void *buffer, size_t size, uint64_t offset);
/* The SHA-256 of the whole. */
_must_check_ int reltar_view_sha256(struct reltar_view *v, uint8_t ret[SHA256_BYTES]);

/* stream_read_fn over a view. */
struct reltar_reader {
	struct reltar_view *view;
	uint64_t offset;
};
ssize_t reltar_reader_read(void *reltar_reader, void *buffer, size_t size);

/* ---- unpacking: tar bytes in, as they come; files out below a directory ---- */

/* What may go wrong with hostile bytes; each has a reason of its own in the result. */
enum reltar_fault {
	RELTAR_OK = 0,
	RELTAR_FAULT_MALFORMED, /* no ustar of ours: checksum, padding, trailing bytes, order */
	RELTAR_FAULT_ESCAPE,	/* absolute path, '..', empty component, over 255 bytes */
	RELTAR_FAULT_LINK,	/* symbolic or hard link */
	RELTAR_FAULT_SPECIAL,	/* device, fifo, directory, extended header */
	RELTAR_FAULT_SETID,	/* set-user-id, set-group-id, sticky */
	RELTAR_FAULT_TOO_BIG,	/* more bytes or files than allowed */
	RELTAR_FAULT_CONTENT,	/* differs from release.json (hash, size, mode, extra, missing) */
};
const char *reltar_fault_name(enum reltar_fault fault);

struct reltar_unpack;

/* Unpacks below dirfd (duplicated), an empty directory. Files are made with O_EXCL through openat2
 * beneath dirfd, hashed while they are written, fchmod'ed (0444/0555), fsync'ed and closed with the
 * result checked. max_bytes bounds the whole tar. */
_must_check_ int reltar_unpack_new(int dirfd, uint64_t max_bytes, struct reltar_unpack **ret);
struct reltar_unpack *reltar_unpack_free(struct reltar_unpack *u);
DEFINE_CLEANUP(struct reltar_unpack *, reltar_unpack_free);
/* Feeds the next bytes, any number (a stream_write_fn). -EBADMSG for hostile bytes (see
 * reltar_unpack_fault), or the errno of the file operation that failed. */
int reltar_unpack_write(void *unpack, const void *bytes, size_t size);
/* The end: fails if the tar is not complete. fsyncs the directories, deepest first, and dirfd. Gives
 * the SHA-256 and length of the tar and the manifest (borrowed until free). */
_must_check_ int reltar_unpack_finish(struct reltar_unpack *u, uint8_t ret_sha256[SHA256_BYTES],
				      uint64_t *ret_size, const struct manifest **ret_manifest);
enum reltar_fault reltar_unpack_fault(const struct reltar_unpack *u);

#endif
