/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of Daly boards ("A5" protocol on UART and RS485), as driver and simulated board both build
 * and check them. Always 13 bytes, both ways:
 *
 *	A5 address command 08 data[8] sum      sum: of the bytes before it, modulo 256
 *
 * The host's address is 40 for board 1, the board answers with its number. Values are big-endian.
 * What a board does not fill in are leftovers of earlier frames: reserved bytes mean nothing. A
 * sleeping board echoes the request.
 */
#ifndef BMSD_DALY_H
#define BMSD_DALY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DALY_START	 0xa5
#define DALY_HOST	 0x40
#define DALY_BOARD	 0x01
#define DALY_DATA_BYTES	 8
#define DALY_FRAME_BYTES 13

#define DALY_CELLS_PER_FRAME	    3
#define DALY_TEMPERATURES_PER_FRAME 7
#define DALY_CODE_FRAMES	    5
#define DALY_CURRENT_ZERO	    30000 /* tenths of an ampere; more is discharge */
#define DALY_CELSIUS_ZERO	    40

enum daly_command {
	DALY_RATED = 0x50,	/* u32 mAh, 2 bytes, u16 mV of a cell */
	DALY_DATE = 0x53,	/* 2 bytes, year - 2000, month, day */
	DALY_CODE = 0x57,	/* five frames: number, 7 characters */
	DALY_BASIC = 0x90,	/* u16 0.1 V, u16, u16 0.1 A above zero, u16 0.1 % */
	DALY_CELL_RANGE = 0x91, /* u16 mV, cell, u16 mV, cell: highest, lowest */
	DALY_TEMPERATURE_RANGE = 0x92,
	DALY_SWITCHES = 0x93,	       /* state, charge FET, discharge FET, life, u32 mAh */
	DALY_STATUS = 0x94,	       /* cells, sensors, charger, load, I/O, u16 cycles */
	DALY_CELLS = 0x95,	       /* frames: number from 1, 3 times u16 mV */
	DALY_TEMPERATURES = 0x96,      /* frames: number from 1, 7 times u8 */
	DALY_BALANCING = 0x97,	       /* 48 bits, cell 1 is bit 0 of the first byte */
	DALY_ALARMS = 0x98,	       /* 7 bytes of bits, fault code */
	DALY_SET_DISCHARGE_FET = 0xd9, /* data[0]: 1 on, 0 off */
	DALY_SET_CHARGE_FET = 0xda,
};

uint8_t daly_checksum(const uint8_t *bytes, size_t size);
/* data may be NULL, as in requests that have none: the fill that boards find their place by. Always
 * DALY_FRAME_BYTES. */
size_t daly_build(uint8_t address, uint8_t command, const uint8_t *data,
		  uint8_t ret_frame[DALY_FRAME_BYTES]);
/* Start, length and sum are right. */
bool daly_frame_is_good(const uint8_t frame[DALY_FRAME_BYTES]);

#endif
