/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the running daemon, of whatever version, over D-Bus. Blocks for at most the given time. */
#ifndef BMSD_CLIENT_H
#define BMSD_CLIENT_H

#include <stdint.h>

#include "common/cleanup.h"

/* Calls a method without arguments that answers with a string ("Status", "Health"). On failure
 * *ret_error (may be NULL) is a sentence; caller frees both. */
_must_check_ int client_call(const char *method, uint64_t timeout_msec, char **ret_answer,
			     char **ret_error);

/* What Status answered, for people. -EBADMSG if it is not what it should be. */
_must_check_ int client_print_status(const char *json, FILE *to);

#endif
