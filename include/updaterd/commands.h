/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command line asks of the installer over D-Bus. Each returns an exit code and logs its
 * failure.
 */
#ifndef UPDATERD_COMMANDS_H
#define UPDATERD_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "updaterd/conf.h"
#include "updaterd/progress.h"

_must_check_ int command_status(const struct conf *conf, bool as_json);
_must_check_ int command_history(uint32_t n, bool as_json);
/* Back to the kept previous version, fetched again if it is damaged; returns at the end. */
_must_check_ int command_rollback(const struct conf *conf, char program, struct progress *progress);
/* The words of a result, explained. */
_must_check_ int command_reasons(bool as_json);

#endif
