/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The .xz format by liblzma, streaming, with bounds: the one codec for everything that travels.
 * The decoder refuses to use more than XZ_MEMORY_LIMIT_BYTES and to give more than max_out bytes.
 */
#ifndef COMMON_XZ_H
#define COMMON_XZ_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"

/* Decodes everything up to preset 9 (64 MiB dictionary). */
#define XZ_MEMORY_LIMIT_BYTES (72u << 20)

/* Where bytes come from and go to. read: number of bytes, 0 at the end, or negative errno. write:
 * takes all or fails with a negative errno. */
typedef ssize_t (*stream_read_fn)(void *userdata, void *buffer, size_t size);
typedef int (*stream_write_fn)(void *userdata, const void *bytes, size_t size);

/* preset: 0 … 9, add LZMA_PRESET_EXTREME by extreme. Integrity check: CRC64. */
_must_check_ int xz_compress(stream_read_fn read, void *read_data, stream_write_fn write,
			     void *write_data, unsigned preset, int extreme);

/* One .xz stream and nothing after it. -EBADMSG (corrupt, truncated, bytes after the end), -EFBIG
 * (more than max_out), -ENOMEM (over the memory limit), or what read or write returned. */
_must_check_ int xz_decompress(stream_read_fn read, void *read_data, stream_write_fn write,
			       void *write_data, uint64_t max_out);

/* For the common cases: a descriptor read from its beginning by pread, advancing *offset. */
struct fd_stream {
	int fd;
	uint64_t offset;
};
ssize_t fd_stream_read(void *fd_stream, void *buffer, size_t size);
int fd_stream_write(void *fd_stream, const void *bytes, size_t size); /* pwrite, advances offset */

#endif
