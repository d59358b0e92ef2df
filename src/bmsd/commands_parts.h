/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to commands*.c: a page of what a bmsd that does not run has left on disk, in the form that it
 * answers. config is its configuration. On failure *ret_error is a sentence.
 */
#ifndef BMSD_COMMANDS_PARTS_H
#define BMSD_COMMANDS_PARTS_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "bmsd/client.h"
#include "common/cleanup.h"

_must_check_ int commands_events_files(const char *config, uint64_t after, cJSON **ret,
				       char **ret_error);
_must_check_ int commands_history_files(const char *config, const struct client_range *range,
					cJSON **ret, char **ret_error);

#endif
