/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of bmsd(8) that ask or command the running daemon. Each prints what it got to standard
 * output, says once what went wrong, and returns the exit status.
 */
#ifndef BMSD_COMMANDS_H
#define BMSD_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

struct commands_options {
	const char *config; /* says where the files are that are read while no bmsd runs */
	bool json;
	unsigned pack; /* its number */
	/* --history */
	bool seconds;
	uint64_t since_sec; /* so long ago */
	/* --events */
	uint64_t after;
	/* --set-fet */
	const char *fet; /* "charge=off" */
	const char *reason;
	uint64_t lease_sec;
};

/* "90", "90s", "30m", "24h", "7d"; at most ten years. */
_must_check_ int commands_parse_duration(const char *text, uint64_t *ret_sec);

int commands_status(const struct commands_options *o);
int commands_history(const struct commands_options *o);
int commands_events(const struct commands_options *o);
int commands_set_fet(const struct commands_options *o);
int commands_reset_alarms(const struct commands_options *o);
int commands_quiesce(const struct commands_options *o);

#endif
