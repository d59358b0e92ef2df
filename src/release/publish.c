/* SPDX-License-Identifier: Apache-2.0 */
#include "release/publish.h"

#include <inttypes.h>
#include <string.h>

#include "common/digest.h"
#include "common/fsutil.h"
#include "common/json.h"
#include "release/metadata.h"
#include "release/stage.h"
#include "release/target_store.h"

/* A role as clients will see it. */
struct visible {
	char name[AUTHORITY_NAME_MAX_LENGTH + 1];
	struct role_file *file;	  /* NULL: there is none */
	struct role_file *before; /* as clients see it now; may be NULL */
	bool fresh;
};

struct publication {
	struct repository *r;
	struct publish_request request;
	bool dry_run;
	struct visible role[REPOSITORY_MAX_ROLES]; /* root, targets, the delegated ones */
	unsigned n;
	struct role_file *snapshot, *timestamp; /* NULL: they stay */
	struct publish_outcome outcome;
};

enum { ROOT_INDEX, TARGETS_INDEX, FIRST_DELEGATED };

struct publication *publication_free(struct publication *p)
{
	if (!p)
		return NULL;
	for (unsigned i = 0; i < p->n; i++) {
		role_file_unref(p->role[i].file);
		role_file_unref(p->role[i].before);
	}
	role_file_unref(p->snapshot);
	role_file_unref(p->timestamp);
	free(p);
	return NULL;
}

const struct publish_outcome *publication_outcome(const struct publication *p)
{
	return &p->outcome;
}

/* ---- what is staged ---- */

static bool is_wanted(const struct publish_request *request, const char *role)
{
	if (request->online_only)
		return false;
	for (size_t i = 0; i < request->n_roles; i++)
		if (strcmp(request->roles[i], role) == 0)
			return true;
	return request->n_roles == 0;
}

static int check_unchanged(struct repository *r, const char *role, struct role_file *file,
			   struct problem *problem)
{
	_cleanup_(authorities_done) struct authorities a = { .n = 0 };
	int n = repository_authorities(r, role, file, &a, problem);

	for (unsigned i = 0; n == 0 && i < a.n; i++)
		if (role_file_was_changed(file, a.by[i], role))
			return problem_set(problem, -EBADMSG,
					   "'" REPOSITORY_STAGED
					   "/%s.json' was changed after it was signed",
					   role);
	return n;
}

/* Keys that were put back to keys/ since the role was staged sign it now. */
static int complete(struct publication *p, const char *role, struct role_file **file,
		    struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *before = role_file_ref(*file);
	int n = stage_sign(p->r, role, file, problem);

	if (n < 0 || *file == before || p->dry_run)
		return n;
	return stage_write(p->r, role, *file, problem);
}

/* What is missing is appended to the sentence in problem; -EKEYREJECTED in the end. */
static int say_missing(const cJSON *status, struct problem *problem)
{
	_cleanup_free_ char *sentence = stage_sentence(status);
	size_t length = strlen(problem->text);

	if (!sentence)
		return problem_no_memory(problem);
	(void)snprintf(problem->text + length, sizeof problem->text - length, "%s%s",
		       length ? "; " : "", sentence);
	return 0;
}

/* 1: it is signed as it must be, 0: it is not, and problem says so. */
static int check_signatures(struct publication *p, const char *role, struct role_file **file,
			    struct problem *problem)
{
	_cleanup_json_ cJSON *status = NULL;
	struct problem inner = { 0 };
	int n = check_unchanged(p->r, role, *file, &inner);

	if (n == 0)
		n = stage_status(p->r, role, *file, &status, &inner);
	if (n == 0 && !stage_is_complete(status)) {
		cJSON_Delete(TAKE_PTR(status));
		n = complete(p, role, file, &inner);
		if (n == 0)
			n = stage_status(p->r, role, *file, &status, &inner);
	}
	if (n < 0) {
		*problem = inner;
		return n;
	}
	if (stage_is_complete(status))
		return 1;
	n = say_missing(status, problem);
	return n < 0 ? n : 0;
}

/* What is published of a delegated role may be damaged, or somebody else's; a fresh version heals it. */
static int load_before(struct publication *p, struct visible *v, struct problem *problem)
{
	int n = repository_load_file(p->r, v->name, REPOSITORY_PUBLISHED, &v->before, problem);

	return n == -ENOENT || (v->fresh && n != -ENOMEM) ? 0 : n;
}

/* 1, or 0 with what is missing in problem. */
static int collect_role(struct publication *p, const char *role, struct problem *problem)
{
	struct visible *v = &p->role[p->n];
	struct problem inner = { 0 };
	int n;

	(void)snprintf(v->name, sizeof v->name, "%s", role);
	p->n++;
	n = is_wanted(&p->request, role)
		    ? repository_load_file(p->r, role, REPOSITORY_STAGED_ONLY, &v->file, &inner)
		    : -ENOENT;
	v->fresh = n == 0;
	if (n == -ENOENT || n == 0)
		n = load_before(p, v, &inner);
	if (n < 0) {
		*problem = inner;
		return n;
	}
	if (!v->fresh) {
		v->file = role_file_ref(v->before);
		return 1;
	}
	p->outcome.roles++;
	return check_signatures(p, role, &v->file, problem);
}

static int check_wanted(struct publication *p, struct problem *problem)
{
	for (size_t i = 0; i < p->request.n_roles; i++) {
		int n = repository_check_role(p->r, p->request.roles[i], problem);

		if (n < 0)
			return n;
	}
	return 0;
}

/* The delegated roles of the targets that will be visible. */
static int collect_delegated(struct publication *p, bool *signed_all, struct problem *problem)
{
	const struct role_file *targets = p->role[TARGETS_INDEX].file;
	const struct tuf_roles *roles;

	if (!targets)
		return 0;
	roles = &role_file_metadata(targets)->roles;
	for (size_t i = 0; i < roles->n_roles; i++) {
		const char *name = roles->roles[i].name;
		int n;

		if (!authority_name_is_delegable(name) || p->n == ELEMENTSOF(p->role))
			return problem_set(problem, -EBADMSG,
					   "the targets metadata delegates to too many roles");
		n = collect_role(p, name, problem);
		if (n < 0)
			return n;
		*signed_all &= n == 1;
	}
	return 0;
}

static int collect(struct publication *p, struct problem *problem)
{
	static const char *const top[] = { "root", "targets" };
	bool signed_all = true;
	size_t length;
	int n = check_wanted(p, problem);

	if (n < 0)
		return n;
	problem->text[0] = '\0';
	for (size_t i = 0; i < ELEMENTSOF(top); i++) {
		n = collect_role(p, top[i], problem);
		if (n < 0)
			return n;
		signed_all &= n == 1;
	}
	n = collect_delegated(p, &signed_all, problem);
	if (n < 0 || signed_all)
		return n;
	length = strlen(problem->text);
	(void)snprintf(problem->text + length, sizeof problem->text - length,
		       ": put the keys into '" REPOSITORY_KEYS
		       "/', or bring the signatures with 'bms-release export' and 'import'");
	return -EKEYREJECTED;
}

/* ---- whether it holds ---- */

static int check_visible(const struct visible *v, const struct visible *by, struct problem *problem)
{
	struct role_signatures signatures = { 0 };

	if (!v->file)
		return problem_set(problem, -ENOENT, "there is no metadata of %s to publish",
				   v->name);
	if (role_file_verify(v->file, by->file, v->name, &signatures) == 0)
		return 0;
	return problem_set(problem, -EKEYREJECTED,
			   "%s version %" PRIu64 " has %u of the %" PRIu64
			   " signatures that %s version %" PRIu64
			   " demands; publish or renew the two together",
			   v->name, role_file_version(v->file), signatures.have,
			   signatures.threshold, by->name, role_file_version(by->file));
}

/* Clients take roots one after the other, without a gap. */
static int check_root(const struct visible *root, struct problem *problem)
{
	if (!root->file)
		return problem_set(problem, -ENOENT, "the repository has no root metadata");
	if (root->fresh && role_file_version(root->file) !=
				   (root->before ? role_file_version(root->before) : 0) + 1)
		return problem_set(problem, -EBADMSG,
				   "'" REPOSITORY_STAGED "/root.json' is version %" PRIu64
				   ", which is not the next one",
				   role_file_version(root->file));
	return 0;
}

static int check(const struct publication *p, struct problem *problem)
{
	int n = check_root(&p->role[ROOT_INDEX], problem);

	if (n == 0)
		n = check_visible(&p->role[TARGETS_INDEX], &p->role[ROOT_INDEX], problem);
	for (unsigned i = FIRST_DELEGATED; n == 0 && i < p->n; i++)
		n = check_visible(&p->role[i], &p->role[TARGETS_INDEX], problem);
	for (unsigned i = TARGETS_INDEX; n == 0 && i < p->n; i++)
		if (p->role[i].fresh)
			n = target_store_check(repository_fd(p->r),
					       role_file_document(p->role[i].file), problem);
	return n;
}

/* ---- snapshot and timestamp ---- */

/* What timestamp and snapshot say of a file: {"version":…,"length":…,"hashes":…}. */
static int describe_file(const struct role_file *f, cJSON **ret)
{
	_cleanup_json_ cJSON *meta = NULL;
	uint8_t sha256[SHA256_BYTES];
	size_t size;
	const char *bytes = role_file_bytes(f, &size);
	int r = digest_sha256(bytes, size, sha256);

	if (r == 0)
		r = metadata_describe(size, sha256, &meta);
	if (r < 0)
		return r;
	if (!json_add_u64(meta, "version", role_file_version(f)))
		return -ENOMEM;
	*ret = TAKE_PTR(meta);
	return 0;
}

static int put_meta(cJSON *metas, const char *role, const struct role_file *f)
{
	char name[REPOSITORY_NAME_BYTES];
	cJSON *entry = NULL;
	int r = describe_file(f, &entry);

	if (r < 0)
		return r;
	(void)snprintf(name, sizeof name, "%s.json", role);
	cJSON_DeleteItemFromObjectCaseSensitive(metas, name);
	if (metas && cJSON_AddItemToObject(metas, name, entry))
		return 0;
	cJSON_Delete(entry);
	return -ENOMEM;
}

/* Roles that are none any more keep their entries. */
static int build_snapshot(struct publication *p, cJSON **ret, struct problem *problem)
{
	_cleanup_json_ cJSON *snapshot = NULL;
	_cleanup_json_ cJSON *old = NULL;
	cJSON *metas;
	int n;

	n = repository_load(p->r, "snapshot", REPOSITORY_PUBLISHED, &old, problem);
	if (n < 0 && n != -ENOENT)
		return n;
	if (metadata_new("snapshot", &snapshot) < 0)
		return problem_no_memory(problem);
	metas = old ? cJSON_DetachItemFromObjectCaseSensitive(old, "meta") : cJSON_CreateObject();
	if (!metas || !cJSON_AddItemToObject(snapshot, "meta", metas)) {
		cJSON_Delete(metas);
		return problem_no_memory(problem);
	}
	for (unsigned i = TARGETS_INDEX; i < p->n; i++)
		if (p->role[i].fresh && put_meta(metas, p->role[i].name, p->role[i].file) < 0)
			return problem_no_memory(problem);
	*ret = TAKE_PTR(snapshot);
	return 0;
}

static int build_timestamp(const struct role_file *snapshot, cJSON **ret, struct problem *problem)
{
	_cleanup_json_ cJSON *timestamp = NULL;

	if (metadata_new("timestamp", &timestamp) < 0 ||
	    put_meta(cJSON_AddObjectToObject(timestamp, "meta"), "snapshot", snapshot) < 0)
		return problem_no_memory(problem);
	*ret = TAKE_PTR(timestamp);
	return 0;
}

/* These two are signed when they are published, so their keys must be here. */
static int sign_online(struct publication *p, const char *role, cJSON *document,
		       struct role_file **ret, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *f = NULL;
	struct role_file *root = p->role[ROOT_INDEX].file;
	struct role_signatures signatures = { 0 };
	uint64_t published;
	int n;

	n = repository_published_version(p->r, role, &published, problem);
	if (n < 0)
		return n;
	n = metadata_set(document, published + 1, repository_expires_sec(p->r, role));
	if (n < 0)
		return problem_set(problem, n, "cannot make the %s: %s", role, strerror(-n));
	n = role_file_new(document, role_file_type(role), &f, problem);
	if (n == 0)
		n = role_file_sign(&f, root, role, repository_keys(p->r), problem);
	if (n < 0)
		return n;
	if (role_file_verify(f, root, role, &signatures) < 0)
		return problem_set(problem, -EKEYREJECTED,
				   "%s needs %" PRIu64
				   " signatures and the keys in '" REPOSITORY_KEYS
				   "/' give %u; it is signed with each publishing, so its keys "
				   "must be there",
				   role, signatures.threshold, signatures.have);
	*ret = TAKE_PTR(f);
	return 0;
}

/* It would not be accepted by who has the root that will be visible, or not for long. */
static int needs_signing(struct publication *p, const char *role, bool *ret,
			 struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *f = NULL;
	const struct role_file *root = p->role[ROOT_INDEX].file, *anchor = NULL;
	struct role_signatures signatures;
	bool due;
	int n;

	n = repository_is_due(p->r, role, &due, problem);
	if (n == 0)
		n = repository_anchor(p->r, &anchor, problem);
	if (n < 0)
		return n;
	n = repository_load_file(p->r, role, REPOSITORY_PUBLISHED, &f, problem);
	if (n < 0 && n != -ENOENT)
		return n;
	*ret = due || !f || !anchor || role_file_verify(f, root, role, &signatures) < 0 ||
	       !authority_same(role_file_document(anchor), role_file_document(root), role);
	return 0;
}

static int prepare_snapshot(struct publication *p, struct problem *problem)
{
	_cleanup_json_ cJSON *document = NULL;
	bool needed;
	int n = needs_signing(p, "snapshot", &needed, problem);

	if (n < 0)
		return n;
	for (unsigned i = TARGETS_INDEX; i < p->n; i++)
		needed |= p->role[i].fresh;
	if (!(needed || p->request.renew_snapshot))
		return 0;
	n = build_snapshot(p, &document, problem);
	return n < 0 ? n : sign_online(p, "snapshot", document, &p->snapshot, problem);
}

static int prepare_timestamp(struct publication *p, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *snapshot = role_file_ref(p->snapshot);
	_cleanup_json_ cJSON *document = NULL;
	bool needed;
	int n = needs_signing(p, "timestamp", &needed, problem);

	if (n < 0)
		return n;
	if (!snapshot) {
		n = repository_load_file(p->r, "snapshot", REPOSITORY_PUBLISHED, &snapshot,
					 problem);
		if (n < 0)
			return n == -ENOENT ? problem_set(problem, n, "nothing is published yet")
					    : n;
	}
	p->outcome.snapshot_version = role_file_version(snapshot);
	if (!(needed || p->snapshot || p->request.renew_timestamp))
		return 0;
	n = build_timestamp(snapshot, &document, problem);
	if (n == 0)
		n = sign_online(p, "timestamp", document, &p->timestamp, problem);
	if (n < 0)
		return n;
	p->outcome.timestamp = true;
	p->outcome.timestamp_version = role_file_version(p->timestamp);
	return 0;
}

/* ---- preparing ---- */

static size_t visible_documents(const struct publication *p,
				const cJSON *documents[REPOSITORY_MAX_ROLES])
{
	size_t n = 0;

	for (unsigned i = TARGETS_INDEX; i < p->n; i++)
		documents[n++] = role_file_document(p->role[i].file);
	return n;
}

/* It may have waited for its signatures for long. */
static void warn_if_expired(const struct publication *p, const struct role_file *f,
			    const char *role, struct changes *changes)
{
	const struct tuf_metadata *m = role_file_metadata(f);

	if (m->expires_sec <= repository_now_sec(p->r))
		changes_add(changes,
			    "WARNING: %s version %" PRIu64 " expired at %s already: gateways "
			    "install nothing until it is signed again ('--renew %s')",
			    role, m->version, m->expires, role);
}

static void tell(const struct publication *p, struct changes *changes)
{
	const cJSON *documents[REPOSITORY_MAX_ROLES];
	size_t n = visible_documents(p, documents);

	for (unsigned i = 0; i < p->n; i++) {
		const struct visible *v = &p->role[i];
		const cJSON *before = v->before ? role_file_document(v->before) : NULL;

		if (!v->fresh)
			continue;
		changes_compare(changes, repository_keys(p->r), v->name, before,
				role_file_document(v->file));
		target_store_tell(before, documents, n, changes);
		warn_if_expired(p, v->file, v->name, changes);
	}
	if (p->snapshot)
		changes_add(changes, "snapshot version %" PRIu64 ", valid until %s",
			    role_file_version(p->snapshot),
			    role_file_metadata(p->snapshot)->expires);
	if (p->timestamp)
		changes_add(changes, "timestamp version %" PRIu64 ", valid until %s",
			    role_file_version(p->timestamp),
			    role_file_metadata(p->timestamp)->expires);
}

int publish_prepare(struct repository *r, const struct publish_request *request, bool dry_run,
		    struct publication **ret, struct changes *changes, struct problem *problem)
{
	_cleanup_(publication_freep) struct publication *p = calloc(1, sizeof *p);
	int n;

	if (!p)
		return problem_no_memory(problem);
	p->r = r;
	p->request = *request;
	p->dry_run = dry_run;
	n = collect(p, problem);
	if (n == 0)
		n = check(p, problem);
	if (n == 0)
		n = prepare_snapshot(p, problem);
	if (n == 0)
		n = prepare_timestamp(p, problem);
	if (n < 0)
		return n;
	if (changes)
		tell(p, changes);
	*ret = TAKE_PTR(p);
	return 0;
}

/* ---- writing ---- */

/* timestamp.json is the one without a version in its name. */
static int write_public(const struct publication *p, const char *role, const struct role_file *f,
			struct problem *problem)
{
	char path[REPOSITORY_NAME_BYTES];
	size_t size;
	const char *bytes = role_file_bytes(f, &size);
	int r;

	if (strcmp(role, "timestamp") == 0)
		(void)snprintf(path, sizeof path, REPOSITORY_METADATA "/timestamp.json");
	else
		(void)snprintf(path, sizeof path, REPOSITORY_METADATA "/%" PRIu64 ".%s.json",
			       role_file_version(f), role);
	r = fs_write_file_atomic(repository_fd(p->r), path, bytes, size, 0644);
	return r < 0 ? problem_set(problem, r, "cannot write '%s': %s", path, strerror(-r)) : 0;
}

/* What no client can see yet. */
static int write_hidden(struct publication *p, struct problem *problem)
{
	int n = 0;

	for (unsigned i = TARGETS_INDEX; n == 0 && i < p->n; i++)
		if (p->role[i].fresh)
			n = target_store_place(repository_fd(p->r),
					       role_file_document(p->role[i].file),
					       &p->outcome.files, problem);
	for (unsigned i = TARGETS_INDEX; n == 0 && i < p->n; i++)
		if (p->role[i].fresh)
			n = write_public(p, p->role[i].name, p->role[i].file, problem);
	if (n == 0 && p->snapshot)
		n = write_public(p, "snapshot", p->snapshot, problem);
	return n;
}

/* Its last rename is the moment at which everything new becomes visible. */
static int write_visible(const struct publication *p, struct problem *problem)
{
	const struct visible *root = &p->role[ROOT_INDEX];
	int n = root->fresh ? write_public(p, "root", root->file, problem) : 0;

	if (n == 0 && p->timestamp)
		n = write_public(p, "timestamp", p->timestamp, problem);
	return n;
}

/* After a crash the version before is found in repository/metadata/. */
static int purge_role(struct publication *p, struct visible *v, const cJSON *const *documents,
		      size_t n_documents, struct problem *problem)
{
	char name[REPOSITORY_NAME_BYTES];
	struct problem ignored;
	uint64_t version = v->file ? role_file_version(v->file) : 0;

	(void)snprintf(name, sizeof name, REPOSITORY_STAGED "/%s.json", v->name);
	if (!v->fresh && faccessat(repository_fd(p->r), name, F_OK, 0) == 0 && version > 1) {
		v->before = role_file_unref(v->before);
		if (repository_load_version(p->r, v->name, version - 1, &v->before, &ignored) < 0)
			return 0;
	}
	if (!v->before)
		return 0;
	return target_store_purge(repository_fd(p->r), role_file_document(v->before), documents,
				  n_documents, &p->outcome.removed, problem);
}

static int purge(struct publication *p, struct problem *problem)
{
	const cJSON *documents[REPOSITORY_MAX_ROLES];
	size_t n_documents = visible_documents(p, documents);
	int n = 0;

	for (unsigned i = TARGETS_INDEX; n == 0 && i < p->n; i++)
		n = purge_role(p, &p->role[i], documents, n_documents, problem);
	return n;
}

static int remember_root(struct publication *p, struct problem *problem)
{
	const struct role_file *root = p->role[ROOT_INDEX].file, *anchor = NULL;
	int n = repository_anchor(p->r, &anchor, problem);

	if (n < 0)
		return n;
	if (anchor && role_file_version(anchor) == role_file_version(root) &&
	    faccessat(repository_fd(p->r), REPOSITORY_ROOT, F_OK, 0) == 0)
		return 0;
	return repository_set_anchor(p->r, root, problem);
}

/* What is staged and not newer than what is published was published. */
static int clean_role(struct publication *p, const char *role, bool *kept, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *staged = NULL;
	char name[REPOSITORY_NAME_BYTES];
	int n;

	n = repository_load_file(p->r, role, REPOSITORY_STAGED_ONLY, &staged, problem);
	if (n != -ENOENT) {
		*kept = true;
		return n;
	}
	(void)snprintf(name, sizeof name, REPOSITORY_STAGED "/%s.json", role);
	n = fs_remove_tree(repository_fd(p->r), name);
	if (n == 0) {
		(void)snprintf(name, sizeof name, REPOSITORY_STAGED_TARGETS "/%s", role);
		n = fs_remove_tree(repository_fd(p->r), name);
	}
	return n < 0 ? problem_set(problem, n, "cannot remove '%s': %s", name, strerror(-n)) : 0;
}

static int clean_staged(struct publication *p, struct problem *problem)
{
	struct role_names names;
	bool kept = false;
	int n = repository_delegated(p->r, &names, problem);

	if (n == 0)
		n = clean_role(p, "root", &kept, problem);
	if (n == 0)
		n = clean_role(p, "targets", &kept, problem);
	for (unsigned i = 0; n == 0 && i < names.n; i++)
		n = clean_role(p, names.name[i], &kept, problem);
	if (n < 0 || kept)
		return n;
	n = fs_remove_tree(repository_fd(p->r), REPOSITORY_STAGED_TARGETS);
	return n < 0 ? problem_set(problem, n, "cannot clean '" REPOSITORY_STAGED "/': %s",
				   strerror(-n))
		     : 0;
}

int publish_write(struct publication *p, struct publish_outcome *ret, struct problem *problem)
{
	int n = write_hidden(p, problem);

	if (n == 0)
		n = write_visible(p, problem);
	if (n == 0)
		n = purge(p, problem);
	if (n == 0)
		n = remember_root(p, problem);
	if (n < 0)
		return n;
	repository_reload(p->r);
	n = clean_staged(p, problem);
	if (n < 0)
		return n;
	*ret = p->outcome;
	return 0;
}

int publish_run(struct repository *r, const struct publish_request *request,
		struct publish_outcome *ret, struct problem *problem)
{
	_cleanup_(publication_freep) struct publication *p = NULL;
	int n = publish_prepare(r, request, false, &p, NULL, problem);

	return n < 0 ? n : publish_write(p, ret, problem);
}

/* ---- renewing what is signed offline ---- */

/* Where the first missing key would be looked for. */
static const char *missing_name(const cJSON *status, const char *role)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(status, "missing"))
		if (cJSON_GetObjectItemCaseSensitive(item, "name"))
			return json_text_or(item, "name", role);
	return role;
}

static int check_renewable(struct repository *r, const char *role, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *file = NULL;
	_cleanup_free_ char *sentence = NULL;
	_cleanup_json_ cJSON *status = NULL;
	int n;

	n = repository_load_file(r, role, REPOSITORY_NEWEST, &file, problem);
	if (n == 0)
		n = stage_sign(r, role, &file, problem);
	if (n == 0)
		n = stage_status(r, role, file, &status, problem);
	if (n < 0 || stage_is_complete(status))
		return n;
	sentence = stage_sentence(status);
	return problem_set(problem, -ENOENT,
			   "%s by the keys that are here: put '" REPOSITORY_KEYS
			   "/%s.pem' back, or bring the signature with 'bms-release export "
			   "--renew %s FILE'",
			   sentence ? sentence : role, missing_name(status, role), role);
}

int publish_renew(struct repository *r, const char *role, bool unsigned_too,
		  struct changes *changes, struct problem *problem)
{
	_cleanup_json_ cJSON *document = NULL;
	int n = repository_load(r, role, REPOSITORY_NEWEST, &document, problem);

	if (n == -ENOENT)
		return problem_set(problem, n, "the repository has no role '%s'", role);
	if (n == 0)
		n = stage_put(r, role, document, changes, problem);
	if (n == 0 && !unsigned_too)
		n = check_renewable(r, role, problem);
	if (n < 0) {
		repository_forget_plan(r);
		return n;
	}
	return stage_commit(r, problem);
}
