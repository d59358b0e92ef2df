/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical JSON as securesystemslib makes it (OLPC canonical form): members sorted by the UTF-8
 * bytes of their keys, no white space, strings with only '"' and '\' escaped, integers only. What a
 * TUF signature covers.
 */
#ifndef TUF_CANONICAL_H
#define TUF_CANONICAL_H

#include <cjson/cJSON.h>
#include <stddef.h>

#include "common/cleanup.h"

/* -EBADMSG for values that canonical JSON cannot hold (fractions). Caller frees; a NUL that is not
 * counted follows the bytes. */
_must_check_ int tuf_canonical(const cJSON *json, char **ret_bytes, size_t *ret_size);

#endif
