/* SPDX-License-Identifier: Apache-2.0 */
/* The network half never runs as root. */
#ifndef UPDATERD_AGENT_USER_H
#define UPDATERD_AGENT_USER_H

#include "common/cleanup.h"
#include "updaterd/conf.h"

/* Run by root: becomes the agent's user, for good. An exit code; what is wrong was logged. */
_must_check_ int agent_user_become(const struct conf *conf);

#endif
