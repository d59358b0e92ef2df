/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The releases of a repository as the query server needs them: which is the newest for a program,
 * an architecture and a model. Filled once from signed metadata, then only read.
 */
#ifndef QUERYD_RELEASES_H
#define QUERYD_RELEASES_H

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/manifest.h"
#include "common/version.h"

struct release {
	struct version version;
	char arch[ARCH_MAX_LENGTH + 1]; /* "all": for any */
	char **models;			/* none: for any */
	size_t n_models;
	char *target; /* path of the program file */
	uint64_t length_bytes;
	/* Of the program file and of the tar in it, hex; "" where it is not known. */
	char sha256[SHA256_HEX_LENGTH + 1], tar_sha256[SHA256_HEX_LENGTH + 1];
};

struct releases;

/* Counted: made with one reference; the last releases_unref() frees it. From any thread. */
_must_check_ int releases_new(struct releases **ret);
struct releases *releases_ref(struct releases *l);
struct releases *releases_unref(struct releases *l);
DEFINE_CLEANUP(struct releases *, releases_unref);

/* Takes in a target if it is the full program file of a release: 1. Other kinds of targets: 0.
 * -EBADMSG if its custom object contradicts itself or the path (a role that signs for B must not
 * speak of A). */
_must_check_ int releases_add(struct releases *l, const char *target, uint64_t length_bytes,
			      const cJSON *custom);
/* The SHA-256 of the program file that was taken in last. */
void releases_note_sha256(struct releases *l, const uint8_t sha256[SHA256_BYTES]);
/* Newest first within each program; call once after the last releases_add(). */
void releases_sort(struct releases *l);

size_t releases_count(const struct releases *l);
const struct release *releases_at(const struct releases *l, size_t index);
/* NULL if there is none. model "" is a gateway that did not tell: only releases for any model. */
const struct release *releases_newest(const struct releases *l, char program, const char *arch,
				      const char *model);

/* One that is made of the tar with this SHA-256 (hex) and whose program file is known; NULL. */
const struct release *releases_with_tar(const struct releases *l, const char *tar_sha256);

#endif
