/* SPDX-License-Identifier: Apache-2.0 */
#include "common/segments.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"

#define HEADER_PREFIX	 "bms-segments 1 "
#define HEADER_MAX_BYTES 64

/* Sets the counts from the sizes and makes room for the hashes. */
static int segments_new(uint64_t segment_bytes, uint64_t file_bytes, struct segments **ret)
{
	_cleanup_(segments_freep) struct segments *s = NULL;
	uint64_t count;

	if (segment_bytes < SEGMENT_MIN_BYTES || segment_bytes > SEGMENT_MAX_BYTES ||
	    file_bytes == 0)
		return -EINVAL;
	count = (file_bytes - 1) / segment_bytes + 1;
	if (count > UINT32_MAX)
		return -EFBIG;
	s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	s->segment_bytes = (uint32_t)segment_bytes;
	s->file_bytes = file_bytes;
	s->count = (uint32_t)count;
	s->sha256 = calloc(s->count, sizeof *s->sha256);
	if (!s->sha256)
		return -ENOMEM;
	*ret = TAKE_PTR(s);
	return 0;
}

struct segments *segments_free(struct segments *s)
{
	if (!s)
		return NULL;
	free(s->sha256);
	free(s);
	return NULL;
}

static size_t format_header(uint64_t segment_bytes, uint64_t file_bytes, char ret[HEADER_MAX_BYTES])
{
	return (size_t)snprintf(ret, HEADER_MAX_BYTES, HEADER_PREFIX "%" PRIu64 " %" PRIu64 "\n",
				segment_bytes, file_bytes);
}

/* Takes the digits at *text; too many of them wrap, which the comparison of the whole header with
 * what it should be notices. */
static uint64_t take_number(const char **text)
{
	uint64_t value = 0;

	while (**text >= '0' && **text <= '9')
		value = value * 10 + (uint64_t)(*(*text)++ - '0');
	return value;
}

/* Only the one way of writing the two sizes is accepted: the header is made again from them and
 * must be the same bytes. */
static int parse_header(const void *bytes, size_t size, uint64_t *ret_segment_bytes,
			uint64_t *ret_file_bytes, size_t *ret_header_bytes)
{
	const size_t prefix_length = strlen(HEADER_PREFIX);
	char text[HEADER_MAX_BYTES] = "", again[HEADER_MAX_BYTES];
	uint64_t segment_bytes, file_bytes;
	const char *p = text + prefix_length;
	size_t length;

	memcpy(text, bytes, size < sizeof text - 1 ? size : sizeof text - 1);
	segment_bytes = take_number(&p);
	p += *p == ' ';
	file_bytes = take_number(&p);
	length = format_header(segment_bytes, file_bytes, again);
	if (length > size || memcmp(bytes, again, length) != 0)
		return -EBADMSG;
	*ret_segment_bytes = segment_bytes;
	*ret_file_bytes = file_bytes;
	*ret_header_bytes = length;
	return 0;
}

int segments_parse(const void *bytes, size_t size, struct segments **ret)
{
	_cleanup_(segments_freep) struct segments *s = NULL;
	uint64_t segment_bytes, file_bytes;
	size_t header_bytes, hash_bytes;
	int r;

	r = parse_header(bytes, size, &segment_bytes, &file_bytes, &header_bytes);
	if (r < 0)
		return r;
	hash_bytes = size - header_bytes;
	/* Before anything is allocated: a short list may claim any number of segments. */
	if (segment_bytes == 0 || file_bytes == 0 || hash_bytes % SHA256_BYTES != 0 ||
	    (file_bytes - 1) / segment_bytes + 1 != hash_bytes / SHA256_BYTES)
		return -EBADMSG;
	r = segments_new(segment_bytes, file_bytes, &s);
	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	memcpy(s->sha256, (const char *)bytes + header_bytes, hash_bytes);
	*ret = TAKE_PTR(s);
	return 0;
}

int segments_from_fd(int fd, uint32_t segment_bytes, struct segments **ret)
{
	_cleanup_(segments_freep) struct segments *s = NULL;
	_cleanup_free_ uint8_t *buffer = NULL;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	r = segments_new(segment_bytes, (uint64_t)st.st_size, &s);
	if (r < 0)
		return r;
	buffer = malloc(segment_bytes);
	if (!buffer)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->count; i++) {
		uint32_t length = segments_length(s, i);

		r = fs_pread_all(fd, buffer, length, segments_offset(s, i));
		if (r < 0)
			return r;
		r = digest_sha256(buffer, length, s->sha256[i]);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(s);
	return 0;
}

int segments_format(const struct segments *s, char **ret_bytes, size_t *ret_size)
{
	char header[HEADER_MAX_BYTES];
	size_t header_bytes = format_header(s->segment_bytes, s->file_bytes, header);
	size_t hash_bytes = (size_t)s->count * SHA256_BYTES;
	char *bytes = malloc(header_bytes + hash_bytes);

	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, header, header_bytes);
	memcpy(bytes + header_bytes, s->sha256, hash_bytes);
	*ret_bytes = bytes;
	*ret_size = header_bytes + hash_bytes;
	return 0;
}

uint64_t segments_offset(const struct segments *s, uint32_t index)
{
	return (uint64_t)index * s->segment_bytes;
}

uint32_t segments_length(const struct segments *s, uint32_t index)
{
	uint64_t offset = segments_offset(s, index);

	if (offset >= s->file_bytes)
		return 0;
	return s->file_bytes - offset < s->segment_bytes ? (uint32_t)(s->file_bytes - offset)
							 : s->segment_bytes;
}

int segments_check(const struct segments *s, uint32_t index, const void *bytes, size_t size)
{
	uint8_t sha256[SHA256_BYTES];
	int r;

	if (index >= s->count || size != segments_length(s, index))
		return -EBADMSG;
	r = digest_sha256(bytes, size, sha256);
	if (r < 0)
		return r;
	return memcmp(sha256, s->sha256[index], sizeof sha256) == 0 ? 0 : -EBADMSG;
}
