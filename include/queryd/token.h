/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The administration token: the content of a file, without the newline at its end.
 */
#ifndef QUERYD_TOKEN_H
#define QUERYD_TOKEN_H

#include "common/cleanup.h"

/* Caller frees. -EINVAL if it is not 16 to 256 printable characters without blanks. */
_must_check_ int token_read(const char *path, char **ret);
/* Writes a new random one, for root and queryd's user only. */
_must_check_ int token_make(const char *path);

#endif
