/* SPDX-License-Identifier: Apache-2.0 */
#include "release/publish.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "common/digest.h"
#include "common/fsutil.h"
#include "common/json.h"
#include "release/metadata.h"
#include "release/target.h"
#include "tuf/client.h"

/* A role's new version: what is signed and what is written. */
struct fresh_role {
	char name[16];
	uint64_t version;
	cJSON *document;
	char *bytes;
	size_t size;
};

struct fresh_roles {
	struct fresh_role role[2 + REPOSITORY_MAX_PROGRAMS];
	unsigned n;
};

static void fresh_roles_done(struct fresh_roles *fresh)
{
	for (unsigned i = 0; i < fresh->n; i++) {
		cJSON_Delete(fresh->role[i].document);
		free(fresh->role[i].bytes);
	}
}

/* ---- what is staged ---- */

static int collect_role(struct repository *r, const char *name, struct fresh_roles *fresh,
			struct problem *problem)
{
	struct fresh_role *role = &fresh->role[fresh->n];
	_cleanup_json_ cJSON *document = NULL;
	char file[REPOSITORY_NAME_BYTES];
	int n;

	n = repository_load(r, name, REPOSITORY_STAGED_ONLY, &document, problem);
	if (n == -ENOENT)
		return 0;
	if (n < 0)
		return n;
	(void)snprintf(file, sizeof file, REPOSITORY_STAGED "/%s.json", name);
	n = fs_read_file(repository_fd(r), file, TUF_TARGETS_MAX_BYTES, &role->bytes, &role->size);
	if (n == 0)
		n = metadata_version(document, &role->version);
	if (n < 0)
		return problem_set(problem, n, "cannot read '%s': %s", file, strerror(-n));
	(void)snprintf(role->name, sizeof role->name, "%s", name);
	role->document = TAKE_PTR(document);
	fresh->n++;
	return 0;
}

static int collect_staged(struct repository *r, const char *programs, struct fresh_roles *fresh,
			  struct problem *problem)
{
	int n;

	n = collect_role(r, "root", fresh, problem);
	if (n == 0)
		n = collect_role(r, "targets", fresh, problem);
	for (; n == 0 && *programs; programs++)
		n = collect_role(r, (const char[]){ *programs, 0 }, fresh, problem);
	return n;
}

/* ---- target files ---- */

static int stat_target(int fd, const char *directory, const char *file, uint64_t length)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	if (asprintf(&path, "%s/%s", directory, file) < 0)
		return -ENOMEM;
	if (fstatat(fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && (uint64_t)st.st_size == length ? 0 : -EBADMSG;
}

static int move_target(int fd, const char *file)
{
	_cleanup_free_ char *from = NULL, *to = NULL, *directory = NULL;
	int r;

	if (asprintf(&from, REPOSITORY_STAGED_TARGETS "/%s", file) < 0)
		return -ENOMEM;
	if (asprintf(&to, REPOSITORY_TARGETS "/%s", file) < 0)
		return -ENOMEM;
	directory = strndup(to, (size_t)(strrchr(to, '/') - to));
	if (!directory)
		return -ENOMEM;
	r = fs_mkdir_p(fd, directory, 0755);
	if (r < 0)
		return r;
	return renameat(fd, from, fd, to) < 0 ? -errno : 1;
}

/* 1 if it was moved, 0 if it is where it belongs already. */
static int place_target(int fd, const cJSON *entry, struct problem *problem)
{
	struct target_entry target = { 0 };
	_cleanup_free_ char *file = NULL;
	int r = target_parse(entry, &target);

	if (r == 0)
		r = target_file(entry->string, target.sha256, &file);
	if (r < 0)
		return problem_set(problem, r, "staged metadata: '%s' is no target", entry->string);
	r = stat_target(fd, REPOSITORY_STAGED_TARGETS, file, target.length);
	if (r == 0)
		r = move_target(fd, file);
	else if (r == -ENOENT)
		r = stat_target(fd, REPOSITORY_TARGETS, file, target.length);
	if (r == -ENOENT)
		return problem_set(problem, r,
				   "the file of '%s' is neither in '" REPOSITORY_STAGED_TARGETS
				   "/' nor in '" REPOSITORY_TARGETS "/'",
				   entry->string);
	if (r == -EBADMSG)
		return problem_set(problem, r, "the file of '%s' has another length than signed",
				   entry->string);
	return r < 0 ? problem_set(problem, r, "cannot publish '%s': %s", file, strerror(-r)) : r;
}

static int place_targets(int fd, const struct fresh_role *role, unsigned *count,
			 struct problem *problem)
{
	const cJSON *entry;
	char directory[REPOSITORY_NAME_BYTES];
	unsigned moved = 0;
	int r;

	cJSON_ArrayForEach (entry, cJSON_GetObjectItemCaseSensitive(role->document, "targets")) {
		r = place_target(fd, entry, problem);
		if (r < 0)
			return r;
		moved += (unsigned)r;
	}
	if (moved == 0)
		return 0;
	(void)snprintf(directory, sizeof directory, REPOSITORY_TARGETS "/%s", role->name);
	r = fs_fsync_dir(fd, directory);
	if (r == 0)
		r = fs_fsync_dir(fd, REPOSITORY_TARGETS);
	if (r < 0)
		return problem_set(problem, r, "cannot sync '%s': %s", directory, strerror(-r));
	*count += moved;
	return 0;
}

/* ---- metadata ---- */

static int write_public(int fd, const char *name, const char *bytes, size_t size,
			struct problem *problem)
{
	char path[REPOSITORY_NAME_BYTES];
	int r;

	(void)snprintf(path, sizeof path, REPOSITORY_METADATA "/%s", name);
	r = fs_write_file_atomic(fd, path, bytes, size, 0644);
	return r < 0 ? problem_set(problem, r, "cannot write '%s': %s", path, strerror(-r)) : 0;
}

static int write_versioned(int fd, const char *role, uint64_t version, const char *bytes,
			   size_t size, struct problem *problem)
{
	char name[REPOSITORY_NAME_BYTES];

	(void)snprintf(name, sizeof name, "%" PRIu64 ".%s.json", version, role);
	return write_public(fd, name, bytes, size, problem);
}

/* What timestamp and snapshot say of a file: {"version":…,"length":…,"hashes":…}. */
static int describe_file(const char *bytes, size_t size, uint64_t version, cJSON **ret)
{
	_cleanup_json_ cJSON *meta = NULL;
	uint8_t sha256[SHA256_BYTES];
	int r;

	r = digest_sha256(bytes, size, sha256);
	if (r < 0)
		return r;
	r = metadata_describe(size, sha256, &meta);
	if (r < 0)
		return r;
	if (!json_add_u64(meta, "version", version))
		return -ENOMEM;
	*ret = TAKE_PTR(meta);
	return 0;
}

/* The entry of a role in the new snapshot: of its fresh version, or as it was. */
static int snapshot_entry(const char *role, const struct fresh_roles *fresh, const cJSON *old_metas,
			  cJSON **ret)
{
	char name[REPOSITORY_NAME_BYTES];
	const cJSON *old;

	for (unsigned i = 0; i < fresh->n; i++)
		if (strcmp(fresh->role[i].name, role) == 0)
			return describe_file(fresh->role[i].bytes, fresh->role[i].size,
					     fresh->role[i].version, ret);
	(void)snprintf(name, sizeof name, "%s.json", role);
	old = cJSON_GetObjectItemCaseSensitive(old_metas, name);
	if (!old)
		return -ENOENT;
	*ret = cJSON_Duplicate(old, true);
	return *ret ? 0 : -ENOMEM;
}

/* A document of type holding "meta":{"<role>.json":entry}. Takes entry over. */
static int add_meta(cJSON *document, const char *role, cJSON *entry)
{
	char name[REPOSITORY_NAME_BYTES];
	cJSON *metas = cJSON_GetObjectItemCaseSensitive(document, "meta");

	if (!metas)
		metas = cJSON_AddObjectToObject(document, "meta");
	(void)snprintf(name, sizeof name, "%s.json", role);
	if (metas && cJSON_AddItemToObject(metas, name, entry))
		return 0;
	cJSON_Delete(entry);
	return -ENOMEM;
}

static int build_snapshot(struct repository *r, const char *programs,
			  const struct fresh_roles *fresh, cJSON **ret, struct problem *problem)
{
	_cleanup_json_ cJSON *snapshot = NULL;
	_cleanup_json_ cJSON *old = NULL;
	const cJSON *old_metas;
	char role[16] = "targets";
	int n;

	n = repository_load(r, "snapshot", REPOSITORY_PUBLISHED, &old, problem);
	if (n < 0 && n != -ENOENT)
		return n;
	old_metas = cJSON_GetObjectItemCaseSensitive(old, "meta");
	if (metadata_new("snapshot", &snapshot) < 0)
		return problem_no_memory(problem);
	for (;;) {
		cJSON *entry = NULL;

		n = snapshot_entry(role, fresh, old_metas, &entry);
		if (n == 0)
			n = add_meta(snapshot, role, entry);
		if (n < 0)
			return problem_set(problem, n, "no metadata of %s to publish", role);
		if (!*programs)
			break;
		(void)snprintf(role, sizeof role, "%c", *programs++);
	}
	*ret = TAKE_PTR(snapshot);
	return 0;
}

/* Signs the next version of snapshot or timestamp. */
static int sign_next(struct repository *r, const char *role, cJSON *document,
		     struct fresh_role *ret, struct problem *problem)
{
	uint64_t published;
	int n;

	n = repository_published_version(r, role, &published, problem);
	if (n < 0)
		return n;
	ret->version = published + 1;
	return repository_sign(r, role, document, ret->version, &ret->bytes, &ret->size, problem);
}

static int write_snapshot(struct repository *r, const char *programs,
			  const struct fresh_roles *fresh, cJSON **ret_meta, uint64_t *ret_version,
			  struct problem *problem)
{
	_cleanup_json_ cJSON *document = NULL;
	struct fresh_role snapshot = { 0 };
	_cleanup_free_ char *bytes = NULL;
	int n;

	n = build_snapshot(r, programs, fresh, &document, problem);
	if (n < 0)
		return n;
	n = sign_next(r, "snapshot", document, &snapshot, problem);
	if (n < 0)
		return n;
	bytes = snapshot.bytes;
	n = write_versioned(repository_fd(r), "snapshot", snapshot.version, bytes, snapshot.size,
			    problem);
	if (n < 0)
		return n;
	if (describe_file(bytes, snapshot.size, snapshot.version, ret_meta) < 0)
		return problem_no_memory(problem);
	*ret_version = snapshot.version;
	return 0;
}

/* The entry of the snapshot in the timestamp that clients see. */
static int published_snapshot_meta(struct repository *r, cJSON **ret_meta, uint64_t *ret_version,
				   struct problem *problem)
{
	_cleanup_json_ cJSON *timestamp = NULL;
	const cJSON *meta;
	int n;

	n = repository_load(r, "timestamp", REPOSITORY_PUBLISHED, &timestamp, problem);
	if (n < 0)
		return n == -ENOENT ? problem_set(problem, n, "nothing is published yet") : n;
	meta = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(timestamp, "meta"),
						"snapshot.json");
	if (metadata_version(meta, ret_version) < 0)
		return problem_set(problem, -EBADMSG, "timestamp.json names no snapshot");
	*ret_meta = cJSON_Duplicate(meta, true);
	return *ret_meta ? 0 : problem_no_memory(problem);
}

/* Takes meta over. Its rename is the moment at which everything new becomes visible. */
static int write_timestamp(struct repository *r, cJSON *meta, uint64_t *ret_version,
			   struct problem *problem)
{
	_cleanup_json_ cJSON *document = NULL;
	struct fresh_role timestamp = { 0 };
	_cleanup_free_ char *bytes = NULL;
	int n;

	if (metadata_new("timestamp", &document) < 0) {
		cJSON_Delete(meta);
		return problem_no_memory(problem);
	}
	if (add_meta(document, "snapshot", meta) < 0)
		return problem_no_memory(problem);
	n = sign_next(r, "timestamp", document, &timestamp, problem);
	if (n < 0)
		return n;
	bytes = timestamp.bytes;
	n = write_public(repository_fd(r), "timestamp.json", bytes, timestamp.size, problem);
	if (n < 0)
		return n;
	*ret_version = timestamp.version;
	return 0;
}

/* ---- the story ---- */

static int clean_staged(struct repository *r, const char *programs, struct problem *problem)
{
	int fd = repository_fd(r);
	char name[REPOSITORY_NAME_BYTES];
	int n;

	n = fs_remove_tree(fd, REPOSITORY_STAGED "/root.json");
	if (n == 0)
		n = fs_remove_tree(fd, REPOSITORY_STAGED "/targets.json");
	for (; n == 0 && *programs; programs++) {
		(void)snprintf(name, sizeof name, REPOSITORY_STAGED "/%c.json", *programs);
		n = fs_remove_tree(fd, name);
	}
	if (n == 0)
		n = fs_remove_tree(fd, REPOSITORY_STAGED_TARGETS);
	return n < 0 ? problem_set(problem, n, "cannot clean '" REPOSITORY_STAGED "/': %s",
				   strerror(-n))
		     : 0;
}

static int place_roles(struct repository *r, const struct fresh_roles *fresh, unsigned *files,
		       struct problem *problem)
{
	int fd = repository_fd(r);
	int n;

	for (unsigned i = 0; i < fresh->n; i++) {
		n = place_targets(fd, &fresh->role[i], files, problem);
		if (n < 0)
			return n;
	}
	for (unsigned i = 0; i < fresh->n; i++) {
		const struct fresh_role *role = &fresh->role[i];

		n = write_versioned(fd, role->name, role->version, role->bytes, role->size,
				    problem);
		if (n < 0)
			return n;
	}
	return 0;
}

/* The root is no part of the snapshot: a new one alone needs no new snapshot. */
static bool has_snapshot_role(const struct fresh_roles *fresh)
{
	for (unsigned i = 0; i < fresh->n; i++)
		if (strcmp(fresh->role[i].name, "root") != 0)
			return true;
	return false;
}

static int sign_online_roles(struct repository *r, const char *programs,
			     const struct fresh_roles *fresh, bool new_snapshot,
			     struct publish_outcome *outcome, struct problem *problem)
{
	cJSON *meta = NULL;
	int n;

	if (new_snapshot)
		n = write_snapshot(r, programs, fresh, &meta, &outcome->snapshot_version, problem);
	else
		n = published_snapshot_meta(r, &meta, &outcome->snapshot_version, problem);
	if (n < 0)
		return n;
	return write_timestamp(r, meta, &outcome->timestamp_version, problem);
}

int publish_run(struct repository *r, bool renew_snapshot, bool renew_timestamp,
		struct publish_outcome *ret, struct problem *problem)
{
	_cleanup_(fresh_roles_done) struct fresh_roles fresh = { 0 };
	struct publish_outcome outcome = { 0 };
	char programs[REPOSITORY_MAX_PROGRAMS + 1];
	bool snapshot_due, timestamp_due;
	int n;

	n = repository_programs(r, programs, problem);
	if (n < 0)
		return n;
	n = collect_staged(r, programs, &fresh, problem);
	if (n < 0)
		return n;
	n = repository_is_due(r, "snapshot", &snapshot_due, problem);
	if (n < 0)
		return n;
	n = repository_is_due(r, "timestamp", &timestamp_due, problem);
	if (n < 0)
		return n;
	n = place_roles(r, &fresh, &outcome.files, problem);
	if (n < 0)
		return n;
	snapshot_due |= renew_snapshot || has_snapshot_role(&fresh);
	outcome.roles = fresh.n;
	outcome.timestamp = snapshot_due || timestamp_due || renew_timestamp;
	if (outcome.timestamp) {
		n = sign_online_roles(r, programs, &fresh, snapshot_due, &outcome, problem);
		if (n < 0)
			return n;
	}
	repository_reload(r);
	n = clean_staged(r, programs, problem);
	if (n < 0)
		return n;
	*ret = outcome;
	return 0;
}

int publish_renew(struct repository *r, const char *role, struct problem *problem)
{
	_cleanup_json_ cJSON *document = NULL;
	int n = repository_load(r, role, REPOSITORY_NEWEST, &document, problem);

	if (n == -ENOENT)
		return problem_set(problem, n, "the repository has no role '%s'", role);
	if (n < 0)
		return n;
	return repository_stage(r, role, document, problem);
}
