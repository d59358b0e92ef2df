/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two halves of the manifest share: manifest.c (text) and manifest_tree.c (directories).
 */
#ifndef COMMON_MANIFEST_PRIVATE_H
#define COMMON_MANIFEST_PRIVATE_H

#include "common/manifest.h"

/* Puts a sentence into *ret_error (which may be NULL) and returns error. */
_must_check_ int manifest_refuse(char **ret_error, int error, const char *format, ...)
	_printf_(3, 4);

/* The rules of manifest.h that hold for any manifest, however it was made: -EBADMSG or -EFBIG. */
_must_check_ int manifest_validate(const struct manifest *m, char **ret_error);

#endif
