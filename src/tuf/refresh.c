/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client_private.h"
#include "common/log.h"

struct file {
	char *bytes;
	size_t size;
};

static void file_done(struct file *f)
{
	free(f->bytes);
}
#define _cleanup_file_bytes_ _cleanup_(file_done)

/* ---- files ---- */

static int file_name(struct tuf_client *c, uint64_t version, const char *role,
		     char ret[TUF_FILE_NAME_BYTES])
{
	int r = tuf_file_name(version, role, ret);

	return r < 0 ? refuse(c, -EBADMSG, REASON_BAD_METADATA,
			      "role '%.64s…': its name is too long", role)
		     : 0;
}

/* -ENOENT is an answer here, not a failure. */
static int fetch_optional(struct tuf_client *c, const char *name, size_t max_bytes,
			  struct file *ret)
{
	int r = c->source->fetch(c->source->userdata, name, max_bytes, &ret->bytes, &ret->size);

	if (r >= 0 || r == -ENOENT)
		return r < 0 ? r : 0;
	if (r == -EFBIG)
		return refuse(c, -EBADMSG, REASON_BAD_METADATA, "%s: larger than %zu bytes", name,
			      max_bytes);
	return refuse(c, r, REASON_NETWORK, "%s: %s", name, strerror(-r));
}

static int fetch(struct tuf_client *c, const char *name, size_t max_bytes, struct file *ret)
{
	int r = fetch_optional(c, name, max_bytes, ret);

	if (r == -ENOENT)
		return refuse(c, -EBADMSG, REASON_BAD_METADATA, "%s: not in the repository", name);
	return r;
}

static int store(struct tuf_client *c, const char *name, const void *bytes, size_t size)
{
	int r;

	if (!c->source->store)
		return 0;
	r = c->source->store(c->source->userdata, name, bytes, size);
	if (r < 0)
		return refuse(c, r, reason_from_errno(r), "%s: cannot be kept: %s", name,
			      strerror(-r));
	return 0;
}

/* 1, or 0 if there is no local copy that can be read. What is only out of reach for now must not count
 * as if nothing had been trusted before: that fails. */
static int load(struct tuf_client *c, const char *name, size_t max_bytes, struct file *ret)
{
	int r = c->source->load ? c->source->load(c->source->userdata, name, max_bytes, &ret->bytes,
						  &ret->size)
				: -ENOENT;

	if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return refuse(c, r, reason_from_errno(r), "%s: cannot be read: %s", name,
			      strerror(-r));
	return r >= 0;
}

/* ---- the checks of one file, each named once ---- */

static int parse(struct tuf_client *c, const char *name, enum tuf_type type,
		 const struct file *file, struct tuf_metadata **ret)
{
	struct json_error error = {};
	int r;

	r = tuf_metadata_parse(file->bytes, file->size, type, ret, &error);
	if (r == -ENOMEM)
		return refuse(c, r, REASON_NO_MEMORY, "%s: no memory", name);
	if (r < 0)
		return refuse(c, -EBADMSG, REASON_BAD_METADATA, "%s: malformed: %s%s%s", name,
			      error.field, error.field[0] ? ": " : "", error.text);
	return 0;
}

static int check_signed(struct tuf_client *c, const char *name, const struct tuf_metadata *m,
			const struct tuf_roles *roles, const struct tuf_role *role)
{
	unsigned n;
	int r = tuf_role_verify(roles, role, m, &n);

	if (r == 0)
		return 0;
	if (r == -ENOMEM)
		return refuse(c, r, REASON_NO_MEMORY, "%s: no memory", name);
	return refuse(c, -EKEYREJECTED, REASON_BAD_SIGNATURE,
		      "%s (version %" PRIu64 "): signed by %u of %" PRIu64 " needed keys", name,
		      m->version, n, role->threshold);
}

static int check_not_expired(struct tuf_client *c, const char *name, const struct tuf_metadata *m)
{
	if (c->now_sec < m->expires_sec)
		return 0;
	return refuse(c, -ESTALE, REASON_EXPIRED, "%s (version %" PRIu64 "): expired at %s", name,
		      m->version, m->expires);
}

static int check_not_older(struct tuf_client *c, const char *name, const char *what,
			   uint64_t version, uint64_t trusted)
{
	if (version >= trusted)
		return 0;
	return refuse(c, -ESTALE, REASON_METADATA_ROLLBACK,
		      "%s: %s version %" PRIu64 " is older than %" PRIu64 ", trusted before", name,
		      what, version, trusted);
}

/* ---- 5.3.2 … 5.3.11: the root ---- */

/* Recovery from a fast-forward attack (5.3.11): who held the old keys may have signed any version
 * number, so what they signed must not count against what the new keys sign. */
static int drop_local(struct tuf_client *c)
{
	int r;

	c->local_is_dropped = true;
	r = store(c, "timestamp.json", "", 0);
	return r < 0 ? r : store(c, "snapshot.json", "", 0);
}

/* Signed by the keys of both, and exactly one version up (5.3.4, 5.3.5). */
static int check_root(struct tuf_client *c, const char *name, const struct tuf_metadata *m)
{
	const struct tuf_roles *old = &c->root->roles;
	int r;

	r = check_signed(c, name, m, old, tuf_roles_find(old, "root"));
	if (r == 0)
		r = check_signed(c, name, m, &m->roles, tuf_roles_find(&m->roles, "root"));
	if (r < 0)
		return r;
	if (m->version != c->root->version + 1)
		return refuse(c, -ESTALE, REASON_METADATA_ROLLBACK,
			      "%s: has version %" PRIu64 ", trusted before is %" PRIu64, name,
			      m->version, c->root->version);
	return 0;
}

/* A rotation is kept as N.root.json before the local copies are dropped, and trusted from root.json
 * on after that. If we die in between, the next run finds N.root.json here: nobody can keep it from us
 * and serve what the old keys signed, now that nothing is left to compare it with. */
static int keep_root(struct tuf_client *c, const char *name, const struct tuf_metadata *m,
		     const struct file *file)
{
	int rotated, r;

	rotated = tuf_role_rotated(&c->root->roles, &m->roles, "timestamp");
	if (rotated == 0)
		rotated = tuf_role_rotated(&c->root->roles, &m->roles, "snapshot");
	if (rotated < 0)
		return refuse(c, rotated, REASON_NO_MEMORY, "%s: no memory", name);
	r = store(c, name, file->bytes, file->size);
	if (r == 0 && rotated)
		r = drop_local(c);
	return r < 0 ? r : store(c, "root.json", file->bytes, file->size);
}

static int adopt_root(struct tuf_client *c, const char *name, const struct file *file)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *m = NULL;
	int r;

	r = parse(c, name, TUF_ROOT, file, &m);
	if (r >= 0)
		r = check_root(c, name, m);
	if (r >= 0)
		r = keep_root(c, name, m, file);
	if (r < 0)
		return r;
	(void)tuf_metadata_free(c->root);
	c->root = TAKE_PTR(m);
	return 0;
}

/* The one that an interrupted run kept but did not come to trust. 1 if it is good. */
static int adopt_kept_root(struct tuf_client *c, const char *name)
{
	_cleanup_file_bytes_ struct file file = {};
	int r;

	r = load(c, name, c->limits.root_bytes, &file);
	if (r <= 0)
		return r;
	r = adopt_root(c, name, &file);
	if (r == -EBADMSG || r == -EKEYREJECTED || r == -ESTALE) {
		log_debug("local copy not used: %s", c->error);
		tuf_client_forgive(c);
		return 0;
	}
	return r < 0 ? r : 1;
}

/* 1 if there was one, 0 at the end of the chain. */
static int adopt_next_root(struct tuf_client *c)
{
	_cleanup_file_bytes_ struct file file = {};
	char name[TUF_FILE_NAME_BYTES];
	int r;

	(void)snprintf(name, sizeof name, "%" PRIu64 ".root.json", c->root->version + 1);
	r = adopt_kept_root(c, name);
	if (r != 0)
		return r;
	r = fetch_optional(c, name, c->limits.root_bytes, &file);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = adopt_root(c, name, &file);
	return r < 0 ? r : 1;
}

static int update_root(struct tuf_client *c)
{
	int r = 1;

	for (unsigned i = 0; i < c->limits.root_rotations && r == 1; i++)
		r = adopt_next_root(c);
	return r < 0 ? r : check_not_expired(c, "root.json", c->root);
}

/* ---- local copies ---- */

/* A local timestamp or snapshot as far as it counts against a rollback: signed by today's keys,
 * expired or not. Anything else is as if it were not there: NULL. */
static int load_previous(struct tuf_client *c, const char *name, enum tuf_type type,
			 const char *role, size_t max_bytes, struct tuf_metadata **ret)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *m = NULL;
	_cleanup_file_bytes_ struct file file = {};
	const struct tuf_roles *roles = &c->root->roles;
	int r = c->local_is_dropped ? 0 : load(c, name, max_bytes, &file);

	if (r <= 0)
		return r;
	r = parse(c, name, type, &file, &m);
	if (r == 0)
		r = check_signed(c, name, m, roles, tuf_roles_find(roles, role));
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		log_debug("local copy ignored: %s", c->error);
		tuf_client_forgive(c);
		return 0;
	}
	*ret = TAKE_PTR(m);
	return 0;
}

/* ---- 5.4: the timestamp ---- */

static int check_timestamp(struct tuf_client *c, const struct tuf_metadata *m,
			   const struct tuf_metadata *previous)
{
	static const char name[] = "timestamp.json";
	int r;

	if (!previous)
		return 0;
	r = check_not_older(c, name, "its", m->version, previous->version);
	if (r < 0)
		return r;
	return check_not_older(c, name, "snapshot.json",
			       tuf_metadata_find_meta(m, "snapshot.json")->version,
			       tuf_metadata_find_meta(previous, "snapshot.json")->version);
}

static int fetch_timestamp(struct tuf_client *c, struct file *ret_file, struct tuf_metadata **ret)
{
	const struct tuf_roles *roles = &c->root->roles;
	int r;

	r = fetch(c, "timestamp.json", c->limits.timestamp_bytes, ret_file);
	if (r < 0)
		return r;
	r = parse(c, "timestamp.json", TUF_TIMESTAMP, ret_file, ret);
	if (r < 0)
		return r;
	return check_signed(c, "timestamp.json", *ret, roles, tuf_roles_find(roles, "timestamp"));
}

static int update_timestamp(struct tuf_client *c)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *previous = NULL, *m = NULL;
	_cleanup_file_bytes_ struct file file = {};
	static const char name[] = "timestamp.json";
	int r;

	r = load_previous(c, name, TUF_TIMESTAMP, "timestamp", c->limits.timestamp_bytes,
			  &previous);
	if (r < 0)
		return r;
	r = fetch_timestamp(c, &file, &m);
	if (r < 0)
		return r;
	if (previous && m->version == previous->version) {
		r = check_not_expired(c, name, previous);
		if (r == 0)
			c->timestamp = TAKE_PTR(previous);
		return r;
	}
	r = check_timestamp(c, m, previous);
	if (r >= 0)
		r = check_not_expired(c, name, m);
	if (r >= 0)
		r = store(c, name, file.bytes, file.size);
	if (r == 0)
		c->timestamp = TAKE_PTR(m);
	return r;
}

/* ---- 5.5, 5.6: files that another file describes ---- */

struct described {
	char name[TUF_FILE_NAME_BYTES]; /* "B.json" */
	enum tuf_type type;
	size_t max_bytes;
	const struct tuf_meta *meta;
	const struct tuf_roles *roles; /* who signs for it */
	const struct tuf_role *role;
	const struct tuf_metadata *previous; /* of the snapshot; may be NULL */
};

static int check_snapshot_not_older(struct tuf_client *c, const struct tuf_metadata *m,
				    const struct tuf_metadata *previous)
{
	int r;

	for (size_t i = 0; i < previous->n_meta; i++) {
		const struct tuf_meta *before = &previous->meta[i];
		const struct tuf_meta *now = tuf_metadata_find_meta(m, before->name);

		if (!now)
			return refuse(c, -EBADMSG, REASON_BAD_METADATA,
				      "snapshot.json (version %" PRIu64 "): %s has disappeared",
				      m->version, before->name);
		r = check_not_older(c, "snapshot.json", before->name, now->version,
				    before->version);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_described(struct tuf_client *c, const struct described *d, const struct file *file,
			   struct tuf_metadata **ret)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *m = NULL;
	int r;

	r = tuf_meta_check(d->meta, file->bytes, file->size);
	if (r < 0)
		return refuse(c, -EBADMSG, REASON_BAD_METADATA,
			      "%s: not the file that is meant (length or hash differ)", d->name);
	r = parse(c, d->name, d->type, file, &m);
	if (r >= 0)
		r = check_signed(c, d->name, m, d->roles, d->role);
	if (r < 0)
		return r;
	if (m->version != d->meta->version)
		return refuse(c, -EBADMSG, REASON_BAD_METADATA,
			      "%s: has version %" PRIu64 ", meant is %" PRIu64, d->name, m->version,
			      d->meta->version);
	if (d->previous) {
		r = check_snapshot_not_older(c, m, d->previous);
		if (r < 0)
			return r;
	}
	r = check_not_expired(c, d->name, m);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(m);
	return 0;
}

static int use_local(struct tuf_client *c, const struct described *d, struct tuf_metadata **ret)
{
	_cleanup_file_bytes_ struct file file = {};
	int r;

	r = load(c, d->name, d->max_bytes, &file);
	if (r == 0)
		return -ENOENT;
	if (r > 0)
		r = check_described(c, d, &file, ret);
	if (r < 0) {
		log_debug("local copy not used: %s", c->error);
		tuf_client_forgive(c);
	}
	return r;
}

static int obtain(struct tuf_client *c, const struct described *d, struct tuf_metadata **ret)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *m = NULL;
	_cleanup_file_bytes_ struct file file = {};
	size_t max_bytes = d->max_bytes;
	char name[TUF_FILE_NAME_BYTES];
	int r;

	r = file_name(c, c->root->consistent_snapshot ? d->meta->version : 0, d->role->name, name);
	if (r < 0)
		return r;
	if (use_local(c, d, ret) == 0)
		return 0;
	if (d->meta->has_length && d->meta->length_bytes < max_bytes)
		max_bytes = (size_t)d->meta->length_bytes;

	r = fetch(c, name, max_bytes, &file);
	if (r >= 0)
		r = check_described(c, d, &file, &m);
	if (r >= 0)
		r = store(c, d->name, file.bytes, file.size);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(m);
	return 0;
}

static int update_snapshot(struct tuf_client *c)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *previous = NULL;
	struct described d = {
		.name = "snapshot.json",
		.type = TUF_SNAPSHOT,
		.max_bytes = c->limits.snapshot_bytes,
		.meta = tuf_metadata_find_meta(c->timestamp, "snapshot.json"),
		.roles = &c->root->roles,
		.role = tuf_roles_find(&c->root->roles, "snapshot"),
	};
	int r = load_previous(c, d.name, d.type, "snapshot", d.max_bytes, &previous);

	d.previous = previous;
	return r < 0 ? r : obtain(c, &d, &c->snapshot);
}

/* What the snapshot says of a role: by its name as it is, not by that of its file. */
static const struct tuf_meta *find_role_meta(const struct tuf_metadata *snapshot, const char *role)
{
	const size_t length = strlen(role);

	for (size_t i = 0; i < snapshot->n_meta; i++) {
		const struct tuf_meta *meta = &snapshot->meta[i];

		if (strncmp(meta->name, role, length) == 0 &&
		    strcmp(meta->name + length, ".json") == 0)
			return meta;
	}
	return NULL;
}

static int obtain_targets(struct tuf_client *c, const struct tuf_roles *roles,
			  const struct tuf_role *role, struct tuf_metadata **ret)
{
	struct described d = {
		.type = TUF_TARGETS,
		.max_bytes = c->limits.targets_bytes,
		.roles = roles,
		.role = role,
	};
	int r;

	r = file_name(c, 0, role->name, d.name);
	if (r < 0)
		return r;
	d.meta = find_role_meta(c->snapshot, role->name);
	if (!d.meta)
		return refuse(c, -EBADMSG, REASON_BAD_METADATA,
			      "snapshot.json (version %" PRIu64 "): does not list %s",
			      c->snapshot->version, d.name);
	return obtain(c, &d, ret);
}

static int update_targets(struct tuf_client *c)
{
	const struct tuf_roles *roles = &c->root->roles;

	return obtain_targets(c, roles, tuf_roles_find(roles, "targets"), &c->targets);
}

/* ---- delegated roles ---- */

struct tuf_metadata *tuf_client_find_delegated(const struct tuf_client *c, const char *name)
{
	for (size_t i = 0; i < c->n_delegated; i++)
		if (strcmp(c->delegated[i].role->name, name) == 0)
			return c->delegated[i].metadata;
	return NULL;
}

/* Loaded for this delegation, and verified: not again for each target that is looked for. */
static const struct tuf_metadata *find_verified(const struct tuf_client *c,
						const struct tuf_role *role)
{
	for (size_t i = 0; i < c->n_delegated; i++)
		if (c->delegated[i].role == role)
			return c->delegated[i].metadata;
	return NULL;
}

static int verify_again(struct tuf_client *c, const struct tuf_roles *roles,
			const struct tuf_role *role, const struct tuf_metadata *m)
{
	char file[TUF_FILE_NAME_BYTES];
	int r;

	r = file_name(c, 0, role->name, file);
	return r < 0 ? r : check_signed(c, file, m, roles, role);
}

int tuf_client_get_delegated(struct tuf_client *c, const struct tuf_metadata *delegator,
			     const struct tuf_role *role, const struct tuf_metadata **ret)
{
	const struct tuf_metadata *verified = find_verified(c, role);
	struct tuf_metadata *m = tuf_client_find_delegated(c, role->name);
	const bool is_again = m;
	struct delegated *longer;
	int r;

	if (verified) {
		*ret = verified;
		return 0;
	}
	longer = realloc(c->delegated, (c->n_delegated + 1) * sizeof *longer);
	if (!longer)
		return refuse(c, -ENOMEM, REASON_NO_MEMORY, "%s.json: no memory", role->name);
	c->delegated = longer;
	r = is_again ? verify_again(c, &delegator->roles, role, m)
		     : obtain_targets(c, &delegator->roles, role, &m);
	if (r < 0)
		return r;
	c->delegated[c->n_delegated++] = (struct delegated){ role, m, is_again };
	*ret = m;
	return 0;
}

/* ---- the story ---- */

int tuf_client_refresh(struct tuf_client *c)
{
	int r;

	tuf_client_forget(c);
	if (c->source->store)
		c->local_is_dropped = false; /* what is there now was stored after the drop */
	r = update_root(c);
	if (r >= 0)
		r = update_timestamp(c);
	if (r >= 0)
		r = update_snapshot(c);
	if (r >= 0)
		r = update_targets(c);
	return r;
}
