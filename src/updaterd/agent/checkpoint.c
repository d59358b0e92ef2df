/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/checkpoint.h"

#include <fcntl.h>
#include <string.h>

#include "common/fsutil.h"

#define MAP_HEADER_BYTES 128

struct checkpoint {
	const struct segments *segments;
	int part_fd, map_fd;
	char header[MAP_HEADER_BYTES];
	uint8_t *has; /* a byte for each segment */
	uint32_t missing;
	uint64_t done_bytes;
};

int checkpoint_open_file(int inbox_fd, const uint8_t *sha256, const char *suffix, int flags)
{
	char hex[SHA256_HEX_LENGTH + 1], name[SHA256_HEX_LENGTH + 8];

	hex_encode(sha256, SHA256_BYTES, hex);
	(void)snprintf(name, sizeof name, "%s.%s", hex, suffix);
	return fs_open_beneath(inbox_fd, name, flags, 0600);
}

bool checkpoint_has(const struct checkpoint *c, uint32_t index)
{
	return c->has[index];
}

uint32_t checkpoint_missing(const struct checkpoint *c)
{
	return c->missing;
}

uint64_t checkpoint_done_bytes(const struct checkpoint *c)
{
	return c->done_bytes;
}

int checkpoint_fd(const struct checkpoint *c)
{
	return c->part_fd;
}

static uint32_t map_bytes(const struct checkpoint *c)
{
	return (c->segments->count + 7) / 8;
}

static void take(struct checkpoint *c, uint32_t index)
{
	c->has[index] = 1;
	c->missing--;
	c->done_bytes += segments_length(c->segments, index);
}

static int mark(struct checkpoint *c, uint32_t index)
{
	uint32_t byte = index / 8;
	uint8_t bits = 0;

	for (uint32_t i = 0; i < 8 && byte * 8 + i < c->segments->count; i++)
		if (c->has[byte * 8 + i])
			bits = (uint8_t)(bits | (1u << i));
	return fs_pwrite_all(c->map_fd, &bits, 1, MAP_HEADER_BYTES + byte);
}

int checkpoint_place(struct checkpoint *c, uint32_t index, const void *bytes)
{
	uint32_t length = segments_length(c->segments, index);
	int r;

	r = segments_check(c->segments, index, bytes, length);
	if (r >= 0)
		r = fs_pwrite_all(c->part_fd, bytes, length, segments_offset(c->segments, index));
	if (r < 0)
		return r;
	if (!c->has[index])
		take(c, index);
	return mark(c, index);
}

int checkpoint_sync(struct checkpoint *c)
{
	return fdatasync(c->part_fd) < 0 || fdatasync(c->map_fd) < 0 ? -errno : 0;
}

/* ---- taking up ---- */

static int write_empty_map(struct checkpoint *c)
{
	if (ftruncate(c->map_fd, 0) < 0 ||
	    ftruncate(c->map_fd, (off_t)MAP_HEADER_BYTES + map_bytes(c)) < 0)
		return -errno;
	return fs_pwrite_all(c->map_fd, c->header, sizeof c->header, 0);
}

static bool is_marked(const char *bits, uint32_t index)
{
	return (uint8_t)bits[index / 8] & (1u << index % 8);
}

static int take_up_segment(struct checkpoint *c, uint32_t index, void *buffer)
{
	uint32_t length = segments_length(c->segments, index);
	int r;

	r = fs_pread_all(c->part_fd, buffer, length, segments_offset(c->segments, index));
	if (r == -EIO)
		return 0;
	if (r < 0)
		return r;
	if (segments_check(c->segments, index, buffer, length) >= 0)
		take(c, index);
	return 0;
}

/* A map that is true stays as it is, so that a kill meanwhile costs nothing of it; of one that is not,
 * the marks that are wrong go. */
static int take_up_marked(struct checkpoint *c, const char *bits)
{
	_cleanup_free_ void *buffer = malloc(c->segments->segment_bytes);
	int r = buffer ? 0 : -ENOMEM;

	for (uint32_t i = 0; r >= 0 && i < c->segments->count; i++)
		if (is_marked(bits, i))
			r = take_up_segment(c, i, buffer);
	for (uint32_t i = 0; r >= 0 && i < c->segments->count; i++)
		if (is_marked(bits, i) && !c->has[i])
			r = mark(c, i);
	return r;
}

/* What an earlier run left, as far as it is true. */
static int take_up(struct checkpoint *c)
{
	size_t size, expected = MAP_HEADER_BYTES + map_bytes(c);
	_cleanup_free_ char *map = NULL;
	int r;

	r = fs_read_fd(c->map_fd, expected, &map, &size);
	if (r < 0 && r != -EFBIG)
		return r;
	if (r >= 0 && size == expected && memcmp(map, c->header, sizeof c->header) == 0)
		return take_up_marked(c, map + MAP_HEADER_BYTES);
	return write_empty_map(c);
}

static void format_header(struct checkpoint *c, const uint8_t *sha256)
{
	char hex[SHA256_HEX_LENGTH + 1];

	hex_encode(sha256, SHA256_BYTES, hex);
	(void)snprintf(c->header, sizeof c->header, "updaterd-map 1 %s %u %ju\n", hex,
		       c->segments->segment_bytes, (uintmax_t)c->segments->file_bytes);
}

int checkpoint_open(int inbox_fd, const uint8_t *sha256, const struct segments *segments,
		    struct checkpoint **ret)
{
	_cleanup_(checkpoint_closep) struct checkpoint *c = calloc(1, sizeof *c);
	int r;

	if (!c)
		return -ENOMEM;
	c->segments = segments;
	c->missing = segments->count;
	c->part_fd = c->map_fd = FD_NONE;
	c->has = calloc((size_t)segments->count + 1, 1);
	if (!c->has)
		return -ENOMEM;
	format_header(c, sha256);
	c->part_fd = checkpoint_open_file(inbox_fd, sha256, "part", O_RDWR | O_CREAT);
	if (c->part_fd < 0)
		return c->part_fd;
	c->map_fd = checkpoint_open_file(inbox_fd, sha256, "map", O_RDWR | O_CREAT);
	if (c->map_fd < 0)
		return c->map_fd;
	if (ftruncate(c->part_fd, (off_t)segments->file_bytes) < 0)
		return -errno;
	r = take_up(c);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct checkpoint *checkpoint_close(struct checkpoint *c)
{
	if (!c)
		return NULL;
	close_fd(&c->part_fd);
	close_fd(&c->map_fd);
	free(c->has);
	free(c);
	return NULL;
}
