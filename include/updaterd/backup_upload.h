/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backups on their way to the query server (docs/PROTOCOL.md): each is told of, and brought if the server
 * does not hold its bytes already. The last and least of a cycle: it has a time of its own, what has come
 * over stays there for the next run, and what fails is told, once, and is no failure of the cycle.
 */
#ifndef UPDATERD_BACKUP_UPLOAD_H
#define UPDATERD_BACKUP_UPLOAD_H

#include <stdint.h>

#include "common/cleanup.h"
#include "updaterd/context.h"
#include "updaterd/failure.h"

/* How long the server's word that it holds one is good for. It counts on hearing of a backup much more
 * often than it forgets. */
#define BACKUP_TELL_AGAIN_SEC 604800

/* As [backup] where= says; without a server or an installer there is nothing to do. */
void backup_upload(struct context *c);

/* One file, from where the server has it. Returns 1 if the server holds it now, 0 if it takes no backups,
 * -EAGAIN or another error with failure set if it does not. */
_must_check_ int backup_upload_file(struct context *c, const struct version *version,
				    const char *tar_sha256, int fd, struct failure *failure);

#endif
