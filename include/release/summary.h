/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person signs, in sentences: made from the metadata itself, not from what somebody says of it.
 * Everything that metadata can hold is told; what is not known is named in a warning.
 */
#ifndef RELEASE_SUMMARY_H
#define RELEASE_SUMMARY_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "tuf/metadata.h"

#define SUMMARY_FAR_EXPIRY_SEC (INT64_C(3653) * 86400)

/* {"contents":["…"],"differences":["…"],"warnings":["…"]}. previous: an older version of the same role
 * to tell the differences from, or NULL. Texts hold printable ASCII only: whatever else was in the
 * metadata is written \xNN. */
_must_check_ int summary_make(const struct tuf_metadata *m, const struct tuf_metadata *previous,
			      int64_t now_sec, cJSON **ret);
/* For other texts of strangers that are printed. Caller frees; NULL when out of memory. */
char *summary_printable(const char *text);

#endif
