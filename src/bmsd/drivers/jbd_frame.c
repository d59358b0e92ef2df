/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/jbd.h"

#include <string.h>

uint16_t jbd_checksum(const uint8_t *bytes, size_t size)
{
	unsigned sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += bytes[i];
	return (uint16_t)(0x10000u - (sum & 0xffffu));
}

/* frame holds the four bytes of the header and size bytes of data. */
static size_t seal(uint8_t *frame, size_t size)
{
	uint16_t sum = jbd_checksum(frame + 2, size + 2);

	frame[4 + size] = (uint8_t)(sum >> 8);
	frame[5 + size] = (uint8_t)(sum & 0xff);
	frame[6 + size] = JBD_END;
	return size + JBD_OVERHEAD_BYTES;
}

size_t jbd_build_request(uint8_t reg, uint8_t ret_frame[JBD_REQUEST_BYTES])
{
	ret_frame[0] = JBD_START;
	ret_frame[1] = JBD_READ;
	ret_frame[2] = reg;
	ret_frame[3] = 0;
	return seal(ret_frame, 0);
}

size_t jbd_build_write(uint8_t reg, uint16_t value, uint8_t ret_frame[JBD_WRITE_BYTES])
{
	ret_frame[0] = JBD_START;
	ret_frame[1] = JBD_WRITE;
	ret_frame[2] = reg;
	ret_frame[3] = 2;
	ret_frame[4] = (uint8_t)(value >> 8);
	ret_frame[5] = (uint8_t)(value & 0xff);
	return seal(ret_frame, 2);
}

size_t jbd_build_answer(uint8_t reg, uint8_t status, const uint8_t *data, uint8_t size,
			uint8_t ret_frame[JBD_FRAME_BYTES])
{
	ret_frame[0] = JBD_START;
	ret_frame[1] = reg;
	ret_frame[2] = status;
	ret_frame[3] = size;
	if (size)
		memcpy(ret_frame + 4, data, size);
	return seal(ret_frame, size);
}
