/* SPDX-License-Identifier: Apache-2.0 */
#include "common/crc32.h"

/* Bit by bit, without a table: it runs over a few KiB a few times a night. */
uint32_t crc32_update(uint32_t crc, const void *bytes, size_t size)
{
	const uint8_t *p = bytes;

	crc = ~crc;
	for (size_t i = 0; i < size; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
	}
	return ~crc;
}
