/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backup of this gateway comes back from the query server that holds it, into the inbox. Whether it is
 * what was brought there the installer tells by its own note; here it is only known to be what the server
 * said that it would send.
 */
#ifndef UPDATERD_BACKUP_FETCH_H
#define UPDATERD_BACKUP_FETCH_H

#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "updaterd/context.h"
#include "updaterd/failure.h"

/* It is then in the inbox as <sha256>.part. */
_must_check_ int backup_fetch(struct context *c, const struct version *version,
			      uint8_t ret_sha256[SHA256_BYTES], struct failure *failure);

#endif
