/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the running daemon, of whatever version, over D-Bus. Blocks for at most the given time. */
#ifndef BMSD_CLIENT_H
#define BMSD_CLIENT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

#define CLIENT_TIMEOUT_MSEC	3000
#define CLIENT_ANSWER_MAX_BYTES (1u << 20)

/* Calls a method without arguments that answers with a string ("Status", "Health"). On failure
 * *ret_error (may be NULL) is a sentence; caller frees both. */
_must_check_ int client_call(const char *method, uint64_t timeout_msec, char **ret_answer,
			     char **ret_error);
/* The same, parsed by the strict reader. */
_must_check_ int client_ask(const char *method, cJSON **ret, char **ret_error);

/* What a failed call returned means that no bmsd runs, or none that answers. */
bool client_is_away(int error);

/* Events after a number, a page at a time: {"events":[…]}. */
_must_check_ int client_events(uint64_t after, uint32_t max, cJSON **ret, char **ret_error);

struct client_range {
	unsigned pack; /* its number */
	bool minutes;
	uint64_t from_sec, to_sec;
};
/* A page of history. */
_must_check_ int client_history(const struct client_range *range, cJSON **ret, char **ret_error);

struct client_fet {
	unsigned pack;
	const char *which;
	bool on;
	const char *reason;
	uint32_t lease_sec;
};
_must_check_ int client_set_fet(const struct client_fet *command, char **ret_error);
_must_check_ int client_reset_alarms(unsigned pack, char **ret_error);
_must_check_ int client_quiesce(uint64_t *ret_sequence, char **ret_error);

/* What Status answered, for people. -EBADMSG if it is not what it should be. */
_must_check_ int client_print_status(const char *json, FILE *to);

#endif
