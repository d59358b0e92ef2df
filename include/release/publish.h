/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing: what is staged becomes what gateways see, if everything that will be visible is signed
 * by the thresholds of those who will be visible. Target files come first, then the versioned metadata,
 * snapshot included, then a new root, and timestamp.json last, by rename; each durable before the next.
 * Whoever reads before the last rename sees the old state whole, after it the new one; only where a new
 * root brings new keys for timestamp or snapshot, a reader between the last two renames is refused and
 * comes again. If we die inside, the next call does the same again.
 *
 * A delegated role that is no role any more stays in the snapshot, at its last version: clients refuse a
 * snapshot from which a role has disappeared (specification, 5.5.5).
 */
#ifndef RELEASE_PUBLISH_H
#define RELEASE_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "release/changes.h"
#include "release/repository.h"

struct publish_request {
	const char *const *roles; /* only these of what is staged; n_roles 0: everything */
	size_t n_roles;
	bool online_only; /* nothing that is staged: snapshot and timestamp alone */
	bool renew_snapshot, renew_timestamp; /* even if nothing changed */
};

struct publish_outcome {
	unsigned roles;	  /* versions of root, targets and delegated roles that became visible */
	unsigned files;	  /* target files moved */
	unsigned removed; /* target files that nothing names any more */
	bool timestamp;	  /* false: nothing was to do */
	uint64_t snapshot_version, timestamp_version;
};

struct publication;

/* Everything that can fail without a disk: collects what is staged, adds the signatures of keys that
 * are here, checks that the result holds, signs snapshot and timestamp. -EKEYREJECTED with a sentence
 * that names what is missing if a threshold is not met. Writes nothing but signatures to staged/, and
 * not even these if dry_run. changes may be NULL. */
_must_check_ int publish_prepare(struct repository *r, const struct publish_request *request,
				 bool dry_run, struct publication **ret, struct changes *changes,
				 struct problem *problem);
struct publication *publication_free(struct publication *p);
DEFINE_CLEANUP(struct publication *, publication_free);
/* What it will have been when it is written; files and removed are still 0. */
const struct publish_outcome *publication_outcome(const struct publication *p);
_must_check_ int publish_write(struct publication *p, struct publish_outcome *ret,
			       struct problem *problem);

/* Both in one. */
_must_check_ int publish_run(struct repository *r, const struct publish_request *request,
			     struct publish_outcome *ret, struct problem *problem);

/* Stages a role (root, targets, a delegated one) again with a new expiry. Unless unsigned_too, only if
 * the keys that are here meet its threshold; -ENOENT otherwise, and nothing is staged. */
_must_check_ int publish_renew(struct repository *r, const char *role, bool unsigned_too,
			       struct changes *changes, struct problem *problem);

#endif
