/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of the D-Bus method Status (docs/PROTOCOL.md). */
#ifndef UPDATERD_STATUS_H
#define UPDATERD_STATUS_H

#include "common/cleanup.h"
#include "updaterd/conf.h"

/* What is under way, for status_format(); NULL: nothing. */
struct status_transaction {
	const char *txid;
	char program;
	const char *kind;
	const char *step;
	unsigned percent;
};

_must_check_ int status_format(const struct conf *conf, const struct status_transaction *under_way,
			       char **ret_json);

#endif
