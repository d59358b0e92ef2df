/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the JBD ("Xiaoxiang", "LLT", "Overkill") general protocol V4, as driver and simulated
 * board both build and check them:
 *
 *	request   DD A5 reg len data… ck ck 77      checksum over reg, len, data
 *	answer    DD reg status len data… ck ck 77  checksum over status, len, data
 *
 * The checksum is 0x10000 less the sum, big-endian like everything. In an answer it does not cover
 * the register: that must be compared with what was asked.
 */
#ifndef BMSD_JBD_H
#define BMSD_JBD_H

#include <stddef.h>
#include <stdint.h>

#define JBD_START	   0xdd
#define JBD_END		   0x77
#define JBD_READ	   0xa5
#define JBD_WRITE	   0x5a
#define JBD_STATUS_OK	   0x00
#define JBD_STATUS_ERROR   0x80
#define JBD_OVERHEAD_BYTES 7 /* of a frame beside its data */
#define JBD_FRAME_BYTES	   (255 + JBD_OVERHEAD_BYTES)
#define JBD_REQUEST_BYTES  7

enum jbd_register {
	JBD_BASIC = 0x03,
	JBD_CELLS = 0x04,
	JBD_MODEL = 0x05,
	JBD_ERROR_COUNTERS = 0xaa,
};

/* Of register 0x03; the temperatures follow, then what newer firmware appends. */
#define JBD_BASIC_BYTES 23

uint16_t jbd_checksum(const uint8_t *bytes, size_t size);
/* A read request; always JBD_REQUEST_BYTES. */
size_t jbd_build_request(uint8_t reg, uint8_t ret_frame[JBD_REQUEST_BYTES]);
size_t jbd_build_answer(uint8_t reg, uint8_t status, const uint8_t *data, uint8_t size,
			uint8_t ret_frame[JBD_FRAME_BYTES]);

#endif
