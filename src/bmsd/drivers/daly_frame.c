/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/daly.h"

#include <string.h>

uint8_t daly_checksum(const uint8_t *bytes, size_t size)
{
	unsigned sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += bytes[i];
	return (uint8_t)(sum & 0xff);
}

size_t daly_build(uint8_t address, uint8_t command, const uint8_t *data,
		  uint8_t ret_frame[DALY_FRAME_BYTES])
{
	static const uint8_t fill[DALY_DATA_BYTES] = { 0xaa, 0x55, 0xaa, 0x55,
						       0xaa, 0x55, 0xaa, 0x55 };

	ret_frame[0] = DALY_START;
	ret_frame[1] = address;
	ret_frame[2] = command;
	ret_frame[3] = DALY_DATA_BYTES;
	memcpy(ret_frame + 4, data ? data : fill, DALY_DATA_BYTES);
	ret_frame[DALY_FRAME_BYTES - 1] = daly_checksum(ret_frame, DALY_FRAME_BYTES - 1);
	return DALY_FRAME_BYTES;
}

bool daly_frame_is_good(const uint8_t frame[DALY_FRAME_BYTES])
{
	return frame[0] == DALY_START && frame[3] == DALY_DATA_BYTES &&
	       frame[DALY_FRAME_BYTES - 1] == daly_checksum(frame, DALY_FRAME_BYTES - 1);
}
