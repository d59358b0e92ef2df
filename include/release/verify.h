/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking a published directory: by the gateways' own client from the root of trust, then what the
 * client does not look at: every target file and its content, older metadata, files that nobody
 * refers to. Reads only.
 */
#ifndef RELEASE_VERIFY_H
#define RELEASE_VERIFY_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "release/problem.h"

#define VERIFY_EXPIRY_NOTICE_SEC (INT64_C(30) * 86400)

/* The report:
 *	{"problems":["…"],"notices":["…"],
 *	 "roles":[{"role":"root","version":1,"expires_sec":…}],"targets":…,"bytes":…}
 * Problems are what a gateway could stumble over, notices are not. A negative errno only if the
 * check itself could not be made. root_file NULL: the directory's own first root. */
_must_check_ int verify_directory(const char *path, const char *root_file, int64_t now_sec,
				  cJSON **ret_report, struct problem *problem);

#endif
