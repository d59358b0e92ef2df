/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TUF client (The Update Framework specification, version 1.0.37, section 5): bytes in, verdict
 * out.
 * No network and no files here: whoever holds the bytes (agent: HTTPS; installer: descriptors from
 * the agent; queryd and bms-release: a directory) gives a struct tuf_source.
 *
 * Order of use:
 *	tuf_client_new → tuf_client_refresh → tuf_client_find_target (any number) → free
 *
 * What is trusted is only ever what passed: each file is handed to source->store() after its checks
 * and before the next one is asked for. A rejected file is never stored.
 */
#ifndef TUF_CLIENT_H
#define TUF_CLIENT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/reason.h"

#define TUF_ROOT_MAX_BYTES	(512u << 10)
#define TUF_TIMESTAMP_MAX_BYTES (16u << 10)
#define TUF_SNAPSHOT_MAX_BYTES	(2u << 20)
#define TUF_TARGETS_MAX_BYTES	(5u << 20)
#define TUF_MAX_ROOT_ROTATIONS	1024u
#define TUF_MAX_DELEGATED_ROLES 32u

/* What a repository may cost us. A file is never read beyond its limit. */
struct tuf_limits {
	size_t root_bytes, timestamp_bytes, snapshot_bytes, targets_bytes;
	unsigned roles;		 /* delegated roles visited in one search */
	unsigned root_rotations; /* in one refresh; the next goes on from there */
};

#define TUF_LIMITS_DEFAULT                                                                         \
	{                                                                                          \
		.root_bytes = TUF_ROOT_MAX_BYTES, .timestamp_bytes = TUF_TIMESTAMP_MAX_BYTES,      \
		.snapshot_bytes = TUF_SNAPSHOT_MAX_BYTES, .targets_bytes = TUF_TARGETS_MAX_BYTES,  \
		.roles = TUF_MAX_DELEGATED_ROLES, .root_rotations = TUF_MAX_ROOT_ROTATIONS,        \
	}

/* Where the files are. All three return 0 or a negative errno; bytes are malloc'd, the client frees
 * them. Names are single components, percent-encoded where needed (tuf/name.h): a file name as they
 * are, and part of a URL as they are: they must not be encoded again. */
struct tuf_source {
	void *userdata;
	/* A file of the repository by the name it has there: "2.root.json", "timestamp.json",
	 * "7.snapshot.json" (or "snapshot.json" without consistent snapshots), "4.B.json". -ENOENT if
	 * there is none; -EFBIG if it is larger than max_bytes (reading stops there). */
	int (*fetch)(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
		     size_t *ret_size);
	/* The local trusted copy by its plain name: "timestamp.json", "B.json"; and "N.root.json", where
	 * the chain is kept. -ENOENT if there is none. NULL: nothing is kept. Whatever it gives is
	 * checked again, and fetched anew if it does not pass. */
	int (*load)(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
		    size_t *ret_size);
	/* Keeps a file that passed, durably before it returns. For root it is called twice: with
	 * "N.root.json" (the chain is kept) and then "root.json", from which the next client starts.
	 * In between, where the root rotates their keys, timestamp.json and snapshot.json are called
	 * with size 0: the copy is void. Cut off there, the next run takes the "N.root.json" that it
	 * finds, so nobody can withhold the rotation from it. NULL: nothing is kept. */
	int (*store)(void *userdata, const char *name, const void *bytes, size_t size);
};

struct tuf_client;

/* Starts from a trusted root (the newest that the caller has). now_sec is the fixed update start
 * time, in seconds since the epoch; see DESIGN on effective time. source is borrowed; limits are
 * copied, NULL means the default ones. */
_must_check_ int tuf_client_new(const void *root_bytes, size_t root_size, int64_t now_sec,
				const struct tuf_source *source, const struct tuf_limits *limits,
				struct tuf_client **ret);
struct tuf_client *tuf_client_free(struct tuf_client *c);
DEFINE_CLEANUP(struct tuf_client *, tuf_client_free);

/* The workflow 5.3.2 … 5.6: root chain, timestamp, snapshot, top-level targets. 0, or a negative
 * errno with tuf_client_reason() and tuf_client_error() telling what was refused:
 * -EKEYREJECTED signature, -EBADMSG malformed, inconsistent, too large or a file missing that must
 * be there, -ESTALE expired or rolled back, or whatever else source->fetch or store returned. */
_must_check_ int tuf_client_refresh(struct tuf_client *c);

/* A path may be any text: who makes a file name or a URL of it asks tuf_path_is_plain() first. Every
 * hash that is there must be checked, and at least one is. */
struct tuf_target {
	const char *path; /* borrowed from the client, as everything here */
	const char *role; /* the role that signed for it */
	uint64_t length;
	bool has_sha256, has_sha512;
	uint8_t sha256[SHA256_BYTES];
	uint8_t sha512[SHA512_BYTES];
	const cJSON *custom; /* an object, or NULL */
};

/* Workflow 5.6.7: finds the target, loading delegated roles as needed: pre-order, a role by each path
 * that leads to it, at most limits->roles visits. 0; -ENOENT if nobody signs for it; -EINVAL before a refresh that
 * succeeded; else as tuf_client_refresh. */
_must_check_ int tuf_client_find_target(struct tuf_client *c, const char *path,
					struct tuf_target *ret);

/* The name a target has in the repository below "targets/": with consistent snapshots
 * "B/<hash>.file" (the SHA-256, or the SHA-512 if there is none), else the path itself. Not encoded:
 * as plain as the path is. Caller frees. */
_must_check_ int tuf_client_target_file(const struct tuf_client *c, const struct tuf_target *target,
					char **ret);

/* Calls visit for every target that tuf_client_find_target would find in a role that can be reached
 * (each delegated role is loaded), until it returns other than 0, which is returned. */
_must_check_ int tuf_client_each_target(struct tuf_client *c,
					int (*visit)(const struct tuf_target *target,
						     void *userdata),
					void *userdata);

/* What the last failure was: one of the trust reasons, and a sentence naming the file. */
enum reason tuf_client_reason(const struct tuf_client *c);
const char *tuf_client_error(const struct tuf_client *c);

/* The earliest expiry among root, timestamp, snapshot and targets; the version of a role that was
 * loaded (0 if not). For --status and warnings. */
int64_t tuf_client_expires_sec(const struct tuf_client *c);
uint64_t tuf_client_role_version(const struct tuf_client *c, const char *role);

#endif
