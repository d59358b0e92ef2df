/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signed part of TUF metadata as a cJSON tree, while it is made or changed. The whole file, with
 * signatures, is release/role_file.h's.
 */
#ifndef RELEASE_METADATA_H
#define RELEASE_METADATA_H

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "release/problem.h"

#define METADATA_SPEC_VERSION "1.0.31"
#define METADATA_TIME_LENGTH  20 /* 2026-11-22T11:34:00Z */
#define METADATA_MAX_VERSION  (UINT64_C(1) << 31)

/* A signed part with _type and spec_version. */
_must_check_ int metadata_new(const char *type, cJSON **ret);
_must_check_ int metadata_set(cJSON *document, uint64_t version, int64_t expires_sec);

/* The signed part, without a look at the signatures. -EBADMSG with a sentence that has no subject
 * ("is no TUF metadata"). */
_must_check_ int metadata_parse(const void *bytes, size_t size, cJSON **ret,
				struct problem *problem);
_must_check_ int metadata_version(const cJSON *document, uint64_t *ret);
_must_check_ int metadata_expires_sec(const cJSON *document, int64_t *ret);

/* -ERANGE outside the years 1970 … 9999. */
_must_check_ int metadata_format_time(int64_t sec, char ret[METADATA_TIME_LENGTH + 1]);
_must_check_ int metadata_parse_time(const char *text, int64_t *ret_sec);

/* {"length":…,"hashes":{"sha256":…}}, how metadata and targets are described. */
_must_check_ int metadata_describe(uint64_t length, const uint8_t *sha256, cJSON **ret);

#endif
