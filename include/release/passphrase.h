/* SPDX-License-Identifier: Apache-2.0 */
/* Where a passphrase or PIN comes from: the first line of a file, or a terminal without echo. */
#ifndef RELEASE_PASSPHRASE_H
#define RELEASE_PASSPHRASE_H

#include <stdbool.h>

#include "common/cleanup.h"
#include "release/problem.h"

#define PASSPHRASE_MIN_LENGTH 8
#define PASSPHRASE_MAX_LENGTH 1000
#define PIN_MIN_LENGTH	      4
#define PIN_MAX_LENGTH	      32

/* file may be NULL: asks at /dev/tty, a second time if twice; key is for the prompt, as it is to stand
 * there: "the key 'root.pem'". Free with passphrase_free(). */
_must_check_ int passphrase_read(const char *file, const char *key, bool twice, char **ret,
				 struct problem *problem);
/* The PIN of a token, whose name is for the prompt. */
_must_check_ int passphrase_read_pin(const char *file, const char *token, char **ret,
				     struct problem *problem);
/* Overwrites it first. */
char *passphrase_free(char *passphrase);
DEFINE_CLEANUP(char *, passphrase_free);

#endif
