/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets of a program's role: names, entries, and releases as people see them.
 */
#ifndef RELEASE_TARGET_H
#define RELEASE_TARGET_H

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/version.h"

#define TARGET_PATH_BYTES 128

/* "B/B202109010001-amd64.tar.xz". */
void target_path(const struct version *version, const char *arch, char ret[TARGET_PATH_BYTES]);
/* "B/B202109010001-amd64.from-B202108010001.patch". */
void target_patch_path(const struct version *version, const char *arch, const struct version *from,
		       char ret[TARGET_PATH_BYTES]);
/* "B/<sha256>.B202109010001-amd64.tar.xz", what a target is called below targets/. */
_must_check_ int target_file(const char *path, const uint8_t *sha256, char **ret);

/* Adds or replaces an entry of a targets document. custom is taken over, also on failure. */
_must_check_ int target_put(cJSON *document, const char *path, uint64_t length,
			    const uint8_t *sha256, cJSON *custom);
/* NULL if there is none. */
const cJSON *target_get(const cJSON *document, const char *path);

/* An entry of a targets document, as far as it is needed here. -EBADMSG if it is none. */
struct target_entry {
	uint64_t length;
	uint8_t sha256[SHA256_BYTES];
	const cJSON *custom; /* NULL if absent; borrowed */
};
_must_check_ int target_parse(const cJSON *entry, struct target_entry *ret);

/* custom.kind is "full" and its tar is described. */
struct full_target {
	const char *version; /* borrowed */
	const char *arch;
	const cJSON *model;    /* an array, or NULL */
	const cJSON *segments; /* segment_bytes, or NULL */
	uint64_t tar_bytes;
	uint8_t tar_sha256[SHA256_BYTES];
};
/* -ENOENT if it is of another kind, -EBADMSG if it is malformed. */
_must_check_ int target_parse_full(const cJSON *custom, struct full_target *ret);

/* custom.kind is "patch", and both tars are described. */
struct patch_target {
	struct full_target to;
	const char *from; /* a version; borrowed */
	uint64_t base_bytes;
	uint8_t base_sha256[SHA256_BYTES];
};
_must_check_ int target_parse_patch(const cJSON *custom, struct patch_target *ret);

#endif
