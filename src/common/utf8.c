/* SPDX-License-Identifier: Apache-2.0 */
#include "common/utf8.h"

size_t utf8_character(const uint8_t *at, size_t size, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint8_t lead = size > 0 ? *at : 0xff;
	size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
	uint32_t c = lead & (0x7fu >> length);

	if (lead < 0x80) {
		*ret = lead;
		return 1;
	}
	if (lead < 0xc2 || lead > 0xf4 || size < length)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (at[i] & 0x3fu);
	}
	if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return length;
}
