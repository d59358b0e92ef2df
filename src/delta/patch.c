/* SPDX-License-Identifier: Apache-2.0 */
#include "delta/patch.h"

#include <string.h>

#define LC_MAX	  4u
#define LP_MAX	  4u
#define PB_MAX	  4u
#define MAGIC_LEN (sizeof PATCH_MAGIC - 1)

static void put_le(uint8_t *to, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_le(const uint8_t *from, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)from[i] << (8 * i);
	return value;
}

void patch_header_format(const struct patch_header *h, uint8_t ret[PATCH_HEADER_BYTES])
{
	memcpy(ret, PATCH_MAGIC, MAGIC_LEN);
	ret[8] = PATCH_VERSION;
	ret[9] = (uint8_t)((h->pb * 5 + h->lp) * 9 + h->lc);
	put_le(ret + 10, h->dict_bytes, 4);
	put_le(ret + 14, h->old_bytes, 8);
	put_le(ret + 22, h->new_bytes, 8);
}

int patch_header_parse(const uint8_t bytes[PATCH_HEADER_BYTES], struct patch_header *ret)
{
	struct patch_header h = {
		.lc = bytes[9] % 9u,
		.lp = bytes[9] / 9u % 5u,
		.pb = bytes[9] / 45u,
		.dict_bytes = (uint32_t)get_le(bytes + 10, 4),
		.old_bytes = get_le(bytes + 14, 8),
		.new_bytes = get_le(bytes + 22, 8),
	};

	if (memcmp(bytes, PATCH_MAGIC, MAGIC_LEN) != 0)
		return -EBADMSG;
	if (bytes[8] != PATCH_VERSION)
		return -EPROTONOSUPPORT;
	/* liblzma takes no more than four bits of context in all. */
	if (h.pb > PB_MAX || h.lc + h.lp > LC_MAX)
		return -EBADMSG;
	if (h.dict_bytes < PATCH_DICT_MIN_BYTES || h.dict_bytes > PATCH_DICT_MAX_BYTES ||
	    h.old_bytes > PATCH_MAX_FILE_BYTES || h.new_bytes > PATCH_MAX_FILE_BYTES)
		return -EFBIG;
	*ret = h;
	return 0;
}

int patch_varint_read(const uint8_t **pos, const uint8_t *end, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;
	const uint8_t *p = *pos;

	for (unsigned i = 0; i < PATCH_VARINT_MAX_BYTES && p < end; i++, p++) {
		value |= (uint64_t)(*p & 0x7f) << (7 * i);
		if (*p & 0x80)
			continue;
		if ((*p == 0 && i > 0) || value > max)
			return -EBADMSG;
		*pos = p + 1;
		*ret = value;
		return 0;
	}
	return -EBADMSG;
}

size_t patch_varint_write(uint8_t ret[PATCH_VARINT_MAX_BYTES], uint64_t value)
{
	size_t n = 0;

	while (value >= 0x80) {
		ret[n++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	ret[n++] = (uint8_t)value;
	return n;
}
