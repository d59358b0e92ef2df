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
#define JBD_WRITE_BYTES	   9

enum jbd_register {
	JBD_BASIC = 0x03,
	JBD_CELLS = 0x04,
	JBD_MODEL = 0x05,
	JBD_ERROR_COUNTERS = 0xaa,
	JBD_SWITCHES = 0xe1, /* written only, and outside "factory mode", which is never entered */
};

/* Data of JBD_SWITCHES, two bytes of which the first is 0. A bit that is set forces its FET off: the
 * opposite of the bits in JBD_BASIC. */
#define JBD_FORCE_CHARGE_OFF	0x01
#define JBD_FORCE_DISCHARGE_OFF 0x02

/* Of JBD_ERROR_COUNTERS: eleven counters of 16 bits, and one that no document explains. */
#define JBD_COUNTERS	       11
#define JBD_COUNTERS_MIN_BYTES (2 * JBD_COUNTERS)

/* Of register 0x03; the temperatures follow, then what newer firmware appends: humidity (1 byte),
 * alarms (2), full capacity (2), residual capacity (2), balancing current (2).
 *
 * Bit 0 of the first word of balance bits is cell 1, bit 0 of the second one cell 17, as by nearly all who
 * read these boards. One peer counts from the highest of the pack's bits, one took both words for a number
 * of 32 bits. The frames of real boards that are known to us (the test has one: bit 3 of the first word, of
 * four cells) rule out the latter and an order from the top of the word; none came with the cells' voltages,
 * which would tell the former. So there is no key for it: nobody could say for which board it is right. */
#define JBD_BASIC_BYTES	 23
#define JBD_APPEND_BYTES 9

uint16_t jbd_checksum(const uint8_t *bytes, size_t size);
/* A read request; always JBD_REQUEST_BYTES. */
size_t jbd_build_request(uint8_t reg, uint8_t ret_frame[JBD_REQUEST_BYTES]);
/* A write of two bytes; always JBD_WRITE_BYTES. */
size_t jbd_build_write(uint8_t reg, uint16_t value, uint8_t ret_frame[JBD_WRITE_BYTES]);
size_t jbd_build_answer(uint8_t reg, uint8_t status, const uint8_t *data, uint8_t size,
			uint8_t ret_frame[JBD_FRAME_BYTES]);

#endif
