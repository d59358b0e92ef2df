/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the repository's signed metadata allows: the TUF client fed by HTTPS or by a medium, with the
 * trusted copies kept in agent_dir/metadata, durably, in the form that the installer reads
 * (docs/PROTOCOL.md): plain names, and the chain of roots by number.
 */
#ifndef UPDATERD_TRUST_H
#define UPDATERD_TRUST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/http.h"
#include "common/version.h"
#include "tuf/client.h"
#include "updaterd/conf.h"
#include "updaterd/failure.h"
#include "updaterd/medium.h"
#include "updaterd/update_time.h"

struct trust;

/* base is the repository's URL; or NULL, then medium is read. metadata_fd is the directory of the
 * trusted copies. All borrowed. Starts from the newest root that descends from conf->root_file, and
 * runs the whole workflow: what is found later was signed, fresh and not older than what was seen
 * before. That it passed becomes the time of the last trust. */
_must_check_ int trust_refresh(const struct conf *conf, int metadata_fd,
			       const struct update_time *time, struct http *http, const char *base,
			       struct medium *medium, struct trust **ret, struct failure *failure);
struct trust *trust_free(struct trust *t);
DEFINE_CLEANUP(struct trust *, trust_free);

#define TRUST_MAX_SEGMENT_SIZES 8
#define TRUST_MAX_REQUIRES	4

/* A program file, as its role signed it. */
struct program_file {
	struct version version;
	char *path; /* the target's path: "B/B202109010001-arm64.tar.xz" */
	char *file; /* its name below targets/ */
	uint64_t length_bytes;
	uint8_t sha256[SHA256_BYTES];
	uint32_t segment_bytes[TRUST_MAX_SEGMENT_SIZES]; /* sizes there are segment lists for */
	size_t n_segment_bytes;
	/* Other programs that it needs, of these versions at least. A hint, to fetch nothing in vain: the
	 * installer has the word. */
	struct version requires[TRUST_MAX_REQUIRES];
	size_t n_requires;
	/* The tar that it gives; and what a patch makes it of. */
	uint64_t tar_bytes;
	uint8_t tar_sha256[SHA256_BYTES];
	bool is_patch;
	uint64_t base_bytes;
	uint8_t base_sha256[SHA256_BYTES];
};
void program_file_done(struct program_file *f);

/* Finds a target and judges it: a full program file of this program and version for this
 * architecture and model, within the limits. */
_must_check_ int trust_find_program_file(struct trust *t, const char *path,
					 const struct version *version, struct program_file *ret,
					 struct failure *failure);

/* The patch from a version to the release of a full file, for the same tar. -ENOENT if there is none. */
_must_check_ int trust_find_patch(struct trust *t, const struct program_file *full,
				  const struct version *from, struct program_file *ret,
				  struct failure *failure);

/* The newest program file for this gateway; only version if it is not NULL. -ENOENT if there is
 * none (failure says so as well). */
_must_check_ int trust_find_newest(struct trust *t, char program, const struct version *version,
				   struct program_file *ret, struct failure *failure);

/* A small target, such as a segment list: found, fetched, length and hash checked. Caller frees. */
_must_check_ int trust_fetch_target(struct trust *t, const char *path, size_t max_bytes,
				    char **ret_bytes, size_t *ret_size, struct failure *failure);
/* Only found: its length and hash, for a copy kept from before. */
_must_check_ int trust_find_target(struct trust *t, const char *path, struct tuf_target *ret,
				   struct failure *failure);

#endif
