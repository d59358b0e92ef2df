/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who this gateway is, as it tells the query server: its IMEI, its machine-id, or a name, from the
 * configuration, a file, or the output of a command. Surrounding white space is dropped, the rest
 * must be exactly of the form that docs/PROTOCOL.md gives.
 */
#ifndef UPDATERD_IDENTITY_H
#define UPDATERD_IDENTITY_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "updaterd/conf.h"
#include "updaterd/failure.h"

#define IDENTITY_MAX_LENGTH	    64
#define IDENTITY_MAX_SOURCE_BYTES   4096u
#define IDENTITY_COMMAND_LIMIT_MSEC 10000u

struct identity {
	char type[16];
	char value[IDENTITY_MAX_LENGTH + 1];
};

/* 15 digits, the last one the Luhn check digit. */
bool identity_is_imei(const char *text);
/* Does value fit type ("imei", "machine-id", "name")? */
bool identity_is_valid(const char *type, const char *value);

_must_check_ int identity_load(const struct conf *conf, struct identity *ret,
			       struct failure *failure);

/* Runs a command, split at white space, without shell, standard input and error at /dev/null, and
 * gives what it printed. -ETIMEDOUT after limit_msec, -EFBIG over IDENTITY_MAX_SOURCE_BYTES (the
 * process is killed in both cases), -ECHILD if it failed, -EINVAL for an empty or overlong command.
 * Caller frees. */
_must_check_ int identity_run_command(const char *command, uint64_t limit_msec, char **ret_output);

/* {"type":…,"value":…}; NULL when out of memory. */
cJSON *identity_to_json(const struct identity *identity);

#endif
