/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver speaks one kind of board. It is a state machine over bytes: it makes requests and is
 * given what arrives, byte by byte; it knows neither descriptors nor time. One poll is
 *
 *	size = begin(state, request)          send it
 *	rx(state, byte) …                     DRIVER_WAIT: more bytes; DRIVER_SEND: next() and send
 *	                                      DRIVER_DONE: commit(); DRIVER_FAILED: poll again later
 *	timeout(state)                        nothing came in time; as rx(), but never DRIVER_WAIT
 *
 * Who the board is, and its counters, are asked for within a poll when they are due; a board that
 * does not say is polled all the same. A sample is atomic: commit() hands out what this very poll
 * brought, or nothing.
 *
 * A driver without bytes (DRIVER_CAN_READ_DIRECTORY) has read_directory() in the place of begin(),
 * next(), rx() and timeout(), which are NULL.
 *
 * A new board is a file in src/bmsd/drivers/ and a line in the table of src/bmsd/driver.c.
 */
#ifndef BMSD_DRIVER_H
#define BMSD_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bmsd/fet.h"
#include "bmsd/sample.h"
#include "common/cleanup.h"

#define DRIVER_REQUEST_BYTES 32

enum driver_step {
	DRIVER_WAIT,
	DRIVER_SEND,
	DRIVER_DONE,
	DRIVER_FAILED,
	DRIVER_ASLEEP, /* as DRIVER_FAILED: the board is there, but does not measure */
};

/* What a driver can do beside reading. */
enum driver_capability {
	DRIVER_CAN_FET = 1 << 0,
	DRIVER_CAN_BALANCE = 1 << 1,  /* says which cells it balances */
	DRIVER_CAN_COUNTERS = 1 << 2, /* of protections, over the board's life */
	DRIVER_CAN_READ_DIRECTORY = 1 << 3,
};

/* What went wrong on a line, counted by kind. Junk and echo alone do not fail a poll. */
enum link_error {
	LINK_ERROR_TIMEOUT,	/* silence, or never a whole frame */
	LINK_ERROR_CHECKSUM,	/* a whole frame, but damaged */
	LINK_ERROR_STATUS,	/* the board refused the request */
	LINK_ERROR_REGISTER,	/* the answer to another question */
	LINK_ERROR_MALFORMED,	/* good checksum, impossible lengths */
	LINK_ERROR_ECHO,	/* our own request came back */
	LINK_ERROR_JUNK,	/* bytes that belong to no frame */
	LINK_ERROR_IMPLAUSIBLE, /* refused by sample_check() */
	LINK_ERROR_IO,		/* read, write or open failed */
	LINK_ERROR_ASLEEP,	/* an echo alone, or nothing but zeros */
	LINK_ERROR_COUNT,
};

struct link_errors {
	uint64_t n[LINK_ERROR_COUNT];
};

/* "timeout", "checksum" …; the names used in JSON. */
const char *link_error_name(unsigned error);

struct driver {
	const char *name;
	unsigned capabilities; /* enum driver_capability */
	uint64_t quiet_msec;   /* what the board needs between an answer and the next request */
	size_t state_bytes;
	/* Forgets everything, also what board it was: the link was opened anew. */
	void (*init)(void *state);
	size_t (*begin)(void *state, uint8_t ret_request[DRIVER_REQUEST_BYTES]);
	size_t (*next)(void *state, uint8_t ret_request[DRIVER_REQUEST_BYTES]);
	/* errors is counted up; never reset here. */
	enum driver_step (*rx)(void *state, uint8_t byte, struct link_errors *errors);
	enum driver_step (*timeout)(void *state, struct link_errors *errors);
	/* One poll of a directory that is already open. Never DRIVER_WAIT or DRIVER_SEND. */
	enum driver_step (*read_directory)(void *state, int dirfd, struct link_errors *errors);
	/* -EBADMSG if the frames of the poll do not fit each other, -ENODATA before DRIVER_DONE. */
	int (*commit)(void *state, struct sample *ret);
	/* Instead of begin(), between polls; then rx() and timeout() as in a poll, and DRIVER_DONE
	 * means that the board took the command (there is nothing to commit). Returns the size, or
	 * -ENODATA before the first poll has told how the switches are. May be NULL. */
	ssize_t (*set_fet)(void *state, enum fet fet, bool on,
			   uint8_t ret_request[DRIVER_REQUEST_BYTES]);
};

extern const struct driver driver_jbd;
extern const struct driver driver_daly;
extern const struct driver driver_power_supply;

/* By its name in bmsd.conf; NULL if there is none. */
const struct driver *driver_find(const char *name);
/* The names, NULL-terminated. */
extern const char *const driver_names[];

#endif
