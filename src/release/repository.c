/* SPDX-License-Identifier: Apache-2.0 */
#include "release/repository.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"
#include "release/metadata.h"
#include "tuf/client.h"

#define DAY_SEC 86400

struct repository {
	int fd;
	struct repository_options options;
	struct keystore *keys;
	struct expiry expiry;
	struct repository_plan plan;
	/* What clients see, read when it is first asked for; NULL if nothing was published. */
	struct role_file *anchor, *root;
	struct role_file *timestamp, *snapshot, *targets;
	bool roots_are_loaded, is_loaded;
};

/* ---- opening ---- */

static int no_repository(const char *path, struct problem *problem)
{
	return problem_set(problem, -ENOENT,
			   "'%s' is no release repository; name one with --repo, or make one with "
			   "'bms-release init'",
			   path);
}

static int lock(int fd, bool exclusive, struct problem *problem)
{
	int how = exclusive ? LOCK_EX : LOCK_SH;

	if (flock(fd, how | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK) {
		log_notice("waiting for another bms-release that works in this repository");
		if (flock(fd, how) == 0)
			return 0;
	}
	return problem_set(problem, -errno, "cannot lock the repository: %m");
}

int repository_open(const char *path, const struct repository_options *options,
		    struct repository **ret, struct problem *problem)
{
	_cleanup_(repository_closep) struct repository *r = calloc(1, sizeof *r);
	int n;

	if (!r)
		return problem_no_memory(problem);
	r->options = *options;
	r->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->fd < 0)
		return errno == ENOENT ? no_repository(path, problem)
				       : problem_set(problem, -errno,
						     "cannot open the directory '%s': %m", path);
	n = lock(r->fd, options->exclusive, problem);
	if (n < 0)
		return n;
	n = settings_read(r->fd, path, &r->expiry, problem);
	if (n < 0)
		return n == -ENOENT ? no_repository(path, problem) : n;
	n = keystore_open(r->fd, options->passphrase_file, options->pin_file, &r->keys, problem);
	if (n < 0)
		return n;
	*ret = TAKE_PTR(r);
	return 0;
}

struct repository *repository_close(struct repository *r)
{
	if (!r)
		return NULL;
	repository_reload(r);
	repository_forget_plan(r);
	keystore_close(r->keys);
	close_fd(&r->fd);
	free(r);
	return NULL;
}

void repository_reload(struct repository *r)
{
	struct role_file **const files[] = { &r->anchor, &r->root, &r->timestamp, &r->snapshot,
					     &r->targets };

	for (size_t i = 0; i < ELEMENTSOF(files); i++)
		*files[i] = role_file_unref(*files[i]);
	r->roots_are_loaded = r->is_loaded = false;
}

int repository_fd(const struct repository *r)
{
	return r->fd;
}

struct keystore *repository_keys(struct repository *r)
{
	return r->keys;
}

int64_t repository_now_sec(const struct repository *r)
{
	return r->options.now_sec;
}

int64_t repository_expires_sec(const struct repository *r, const char *role)
{
	if (r->options.expires_sec)
		return r->options.expires_sec;
	return r->options.now_sec + (int64_t)expiry_days(&r->expiry, role) * DAY_SEC;
}

struct repository_plan *repository_plan(struct repository *r)
{
	return &r->plan;
}

void repository_forget_plan(struct repository *r)
{
	for (unsigned i = 0; i < r->plan.n; i++)
		role_file_unref(r->plan.entry[i].file);
	r->plan.n = 0;
}

/* ---- files ---- */

static int read_file(const struct repository *r, const char *name, char **ret_bytes,
		     size_t *ret_size, struct problem *problem)
{
	int n = fs_read_file(r->fd, name, TUF_TARGETS_MAX_BYTES, ret_bytes, ret_size);

	if (n < 0 && n != -ENOENT)
		return problem_set(problem, n, "cannot read '%s': %s", name, strerror(-n));
	return n;
}

static int parse_file(const char *name, const char *bytes, size_t size, const char *role,
		      struct role_file **ret, struct problem *problem)
{
	struct problem inner = { 0 };
	int n = role_file_parse(bytes, size, role_file_type(role), ret, &inner);

	return n < 0 ? problem_set(problem, n, "'%s' %s", name, inner.text) : 0;
}

/* -ENOENT leaves problem untouched. Nothing is verified. */
static int load_file(const struct repository *r, const char *role, const char *name,
		     struct role_file **ret, struct problem *problem)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size;
	int n = read_file(r, name, &bytes, &size, problem);

	return n < 0 ? n : parse_file(name, bytes, size, role, ret, problem);
}

static void public_name(const char *role, uint64_t version, char ret[REPOSITORY_NAME_BYTES])
{
	(void)snprintf(ret, REPOSITORY_NAME_BYTES, REPOSITORY_METADATA "/%" PRIu64 ".%s.json",
		       version, role);
}

static int not_signed(const char *name, const char *role, struct problem *problem)
{
	return problem_set(problem, -EKEYREJECTED,
			   "'%s' is not signed by the keys of %s, so nothing is built on it", name,
			   role);
}

/* ---- the chain of roots ---- */

static bool is_signed(const struct role_file *f, const struct role_file *by, const char *role)
{
	struct role_signatures signatures;

	return by && role_file_verify(f, by, role, &signatures) == 0;
}

static bool knows_a_key_of(struct keystore *k, const struct role_file *root)
{
	const struct tuf_role *role = tuf_roles_find(&role_file_metadata(root)->roles, "root");
	const cJSON *keyid;

	cJSON_ArrayForEach (keyid, role->keyids)
		if (keystore_find(k, keyid->valuestring))
			return true;
	return false;
}

/* A repository of before there was root.json: its first root is known by its key, in keys/. */
static int load_first_root(struct repository *r, struct role_file **ret, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *first = NULL;
	char name[REPOSITORY_NAME_BYTES];
	int n;

	public_name("root", 1, name);
	n = load_file(r, "root", name, &first, problem);
	if (n < 0)
		return n;
	if (role_file_version(first) != 1 || !is_signed(first, first, "root") ||
	    !knows_a_key_of(r->keys, first))
		return not_signed(name, "root", problem);
	*ret = TAKE_PTR(first);
	return 0;
}

/* The root after this one in repository/, as a client would take it. -ENOENT at the end. */
static int load_next_root(struct repository *r, const struct role_file *root,
			  struct role_file **ret, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *next = NULL;
	char name[REPOSITORY_NAME_BYTES];
	int n;

	public_name("root", role_file_version(root) + 1, name);
	n = load_file(r, "root", name, &next, problem);
	if (n < 0)
		return n;
	if (role_file_version(next) != role_file_version(root) + 1)
		return problem_set(problem, -EBADMSG, "'%s' holds another version", name);
	if (!is_signed(next, root, "root") || !is_signed(next, next, "root"))
		return not_signed(name, "root", problem);
	*ret = TAKE_PTR(next);
	return 0;
}

static int load_roots(struct repository *r, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *anchor = NULL;
	_cleanup_(role_file_unrefp) struct role_file *root = NULL;
	int n;

	if (r->roots_are_loaded)
		return 0;
	n = load_file(r, "root", REPOSITORY_ROOT, &anchor, problem);
	if (n == -ENOENT)
		n = load_first_root(r, &anchor, problem);
	if (n < 0 && n != -ENOENT)
		return n;
	root = role_file_ref(anchor);
	for (unsigned i = 0; root && i < TUF_MAX_ROOT_ROTATIONS; i++) {
		struct role_file *next = NULL;

		n = load_next_root(r, root, &next, problem);
		if (n == -ENOENT)
			break;
		if (n < 0)
			return n;
		role_file_unref(root);
		root = next;
	}
	r->anchor = TAKE_PTR(anchor);
	r->root = TAKE_PTR(root);
	r->roots_are_loaded = true;
	return 0;
}

int repository_anchor(struct repository *r, const struct role_file **ret, struct problem *problem)
{
	int n = load_roots(r, problem);

	if (n < 0)
		return n;
	*ret = r->anchor;
	return 0;
}

int repository_set_anchor(struct repository *r, const struct role_file *root,
			  struct problem *problem)
{
	size_t size;
	const char *bytes = role_file_bytes(root, &size);
	int n = fs_write_file_atomic(r->fd, REPOSITORY_ROOT, bytes, size, 0644);

	return n < 0 ? problem_set(problem, n, "cannot write '" REPOSITORY_ROOT "': %s",
				   strerror(-n))
		     : 0;
}

/* ---- what is published ---- */

static const struct tuf_meta *find_meta(const struct role_file *by, const char *role)
{
	char name[REPOSITORY_NAME_BYTES];

	(void)snprintf(name, sizeof name, "%s.json", role);
	return tuf_metadata_find_meta(role_file_metadata(by), name);
}

/* A file that another one describes: the one that is meant, not merely one that is signed. -ENOENT if
 * it is not described. */
static int load_described(struct repository *r, const char *role, const struct role_file *by,
			  struct role_file **ret, char ret_name[REPOSITORY_NAME_BYTES],
			  struct problem *problem)
{
	const struct tuf_meta *meta = find_meta(by, role);
	_cleanup_(role_file_unrefp) struct role_file *f = NULL;
	_cleanup_free_ char *bytes = NULL;
	size_t size;
	int n;

	if (!meta)
		return -ENOENT;
	public_name(role, meta->version, ret_name);
	n = read_file(r, ret_name, &bytes, &size, problem);
	if (n == -ENOENT)
		return problem_set(problem, -EBADMSG, "'%s' is missing", ret_name);
	if (n < 0)
		return n;
	if (tuf_meta_check(meta, bytes, size) < 0)
		return problem_set(problem, -EBADMSG,
				   "'%s' was changed: its hash or length is not the signed one",
				   ret_name);
	n = parse_file(ret_name, bytes, size, role, &f, problem);
	if (n < 0)
		return n;
	if (role_file_version(f) != meta->version)
		return problem_set(problem, -EBADMSG, "'%s' holds another version", ret_name);
	*ret = TAKE_PTR(f);
	return 0;
}

static bool is_signed_top_level(const struct repository *r, const struct role_file *f,
				const char *role)
{
	return is_signed(f, r->root, role) || is_signed(f, r->anchor, role);
}

static int load_timestamp(struct repository *r, struct problem *problem)
{
	static const char name[] = REPOSITORY_METADATA "/timestamp.json";
	int n = load_file(r, "timestamp", name, &r->timestamp, problem);

	if (n == 0 && !is_signed_top_level(r, r->timestamp, "timestamp"))
		return not_signed(name, "timestamp", problem);
	return n;
}

static int load_top_level(struct repository *r, const char *role, const struct role_file *by,
			  struct role_file **ret, struct problem *problem)
{
	char name[REPOSITORY_NAME_BYTES];
	int n = load_described(r, role, by, ret, name, problem);

	if (n == -ENOENT)
		return problem_set(problem, -EBADMSG, "published metadata does not name %s", role);
	if (n == 0 && !is_signed_top_level(r, *ret, role))
		return not_signed(name, role, problem);
	return n;
}

static int load_published_state(struct repository *r, struct problem *problem)
{
	int n;

	if (r->is_loaded)
		return 0;
	repository_reload(r);
	n = load_roots(r, problem);
	if (n < 0)
		return n;
	n = r->root ? load_timestamp(r, problem) : -ENOENT;
	if (n == 0)
		n = load_top_level(r, "snapshot", r->timestamp, &r->snapshot, problem);
	if (n == 0)
		n = load_top_level(r, "targets", r->snapshot, &r->targets, problem);
	if (n < 0 && n != -ENOENT)
		return n;
	r->is_loaded = true;
	return 0;
}

static int load_published_delegated(struct repository *r, const char *role, struct role_file **ret,
				    struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *f = NULL;
	char name[REPOSITORY_NAME_BYTES];
	int n;

	if (!tuf_roles_find(&role_file_metadata(r->targets)->roles, role))
		return -ENOENT;
	n = load_described(r, role, r->snapshot, &f, name, problem);
	if (n < 0)
		return n;
	if (!is_signed(f, r->targets, role))
		return not_signed(name, role, problem);
	*ret = TAKE_PTR(f);
	return 0;
}

static struct role_file *published_top_level(const struct repository *r, const char *role)
{
	if (strcmp(role, "timestamp") == 0)
		return r->timestamp;
	return strcmp(role, "snapshot") == 0 ? r->snapshot : r->targets;
}

static int load_published(struct repository *r, const char *role, struct role_file **ret,
			  struct problem *problem)
{
	struct role_file *f;
	int n;

	if (strcmp(role, "root") == 0) {
		n = load_roots(r, problem);
		f = r->root;
	} else {
		n = load_published_state(r, problem);
		if (n == 0 && r->targets && strcmp(authority_of(role), "targets") == 0)
			return load_published_delegated(r, role, ret, problem);
		f = n == 0 ? published_top_level(r, role) : NULL;
	}
	if (n < 0)
		return n;
	if (!f)
		return -ENOENT;
	*ret = role_file_ref(f);
	return 0;
}

int repository_published_version(struct repository *r, const char *role, uint64_t *ret,
				 struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *f = NULL;
	const struct tuf_meta *meta;
	int n;

	if (strcmp(role, "root") != 0) {
		n = load_published_state(r, problem);
		if (n < 0)
			return n;
		meta = r->snapshot ? find_meta(r->snapshot, role) : NULL;
		if (meta) {
			*ret = meta->version;
			return 0;
		}
		if (strcmp(authority_of(role), "targets") == 0) {
			*ret = 0;
			return 0;
		}
	}
	n = load_published(r, role, &f, problem);
	if (n < 0 && n != -ENOENT)
		return n;
	*ret = f ? role_file_version(f) : 0;
	return 0;
}

/* ---- what is staged ---- */

/* A staged version that is not above the published one was published already: a crash came between
 * the publishing and the cleaning up. */
static int load_staged(struct repository *r, const char *role, struct role_file **ret,
		       struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *f = NULL;
	char name[REPOSITORY_NAME_BYTES];
	uint64_t published;
	int n;

	(void)snprintf(name, sizeof name, REPOSITORY_STAGED "/%s.json", role);
	n = load_file(r, role, name, &f, problem);
	if (n < 0)
		return n;
	n = repository_published_version(r, role, &published, problem);
	if (n < 0)
		return n;
	if (role_file_version(f) <= published)
		return -ENOENT;
	*ret = TAKE_PTR(f);
	return 0;
}

/* 1: *ret is what is planned, or NULL if the role is to have nothing staged; 0: no plan for it. */
static int find_planned(const struct repository *r, const char *role, struct role_file **ret)
{
	for (unsigned i = 0; i < r->plan.n; i++)
		if (strcmp(r->plan.entry[i].role, role) == 0) {
			*ret = role_file_ref(r->plan.entry[i].file);
			return 1;
		}
	return 0;
}

static int load_newest(struct repository *r, const char *role, struct role_file **ret,
		       struct problem *problem)
{
	struct role_file *planned = NULL;
	int n = find_planned(r, role, &planned);

	if (planned) {
		*ret = planned;
		return 0;
	}
	n = n == 1 ? -ENOENT : load_staged(r, role, ret, problem);
	return n == -ENOENT ? load_published(r, role, ret, problem) : n;
}

int repository_load_file(struct repository *r, const char *role, enum repository_which which,
			 struct role_file **ret, struct problem *problem)
{
	switch (which) {
	case REPOSITORY_PUBLISHED: return load_published(r, role, ret, problem);
	case REPOSITORY_STAGED_ONLY: return load_staged(r, role, ret, problem);
	case REPOSITORY_NEWEST: return load_newest(r, role, ret, problem);
	}
	return -EINVAL;
}

int repository_load(struct repository *r, const char *role, enum repository_which which,
		    cJSON **ret, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *f = NULL;
	cJSON *document;
	int n = repository_load_file(r, role, which, &f, problem);

	if (n < 0)
		return n;
	document = cJSON_Duplicate(role_file_document(f), true);
	if (!document)
		return problem_no_memory(problem);
	*ret = document;
	return 0;
}

int repository_load_version(struct repository *r, const char *role, uint64_t version,
			    struct role_file **ret, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *f = NULL;
	_cleanup_(role_file_unrefp) struct role_file *newest = NULL;
	char name[REPOSITORY_NAME_BYTES];
	int n;

	public_name(role, version, name);
	n = load_file(r, role, name, &f, problem);
	if (n < 0)
		return n == -ENOENT ? problem_set(problem, n, "there is no '%s'", name) : n;
	if (role_file_version(f) != version)
		return problem_set(problem, -EBADMSG, "'%s' holds another version", name);
	n = load_published_state(r, problem);
	if (n < 0)
		return n;
	n = load_newest(r, "targets", &newest, problem);
	if (n < 0)
		return n == -ENOENT ? problem_set(problem, n, "there is no targets metadata") : n;
	if (!is_signed(f, r->targets, role) && !is_signed(f, newest, role))
		return not_signed(name, role, problem);
	*ret = TAKE_PTR(f);
	return 0;
}

/* ---- roles ---- */

int repository_delegated(struct repository *r, struct role_names *ret, struct problem *problem)
{
	_cleanup_(role_file_unrefp) struct role_file *targets = NULL;
	struct role_names names = { .n = 0 };
	const struct tuf_roles *roles;
	int n;

	n = repository_load_file(r, "targets", REPOSITORY_NEWEST, &targets, problem);
	if (n == -ENOENT)
		return problem_set(problem, n, "the repository has no targets metadata");
	if (n < 0)
		return n;
	roles = &role_file_metadata(targets)->roles;
	for (size_t i = 0; i < roles->n_roles; i++) {
		const char *name = roles->roles[i].name;

		if (!authority_name_is_delegable(name) || names.n == AUTHORITY_MAX_DELEGATIONS)
			return problem_set(problem, -EBADMSG,
					   "the targets metadata delegates to '%.40s', which is "
					   "more than this tool can handle",
					   name);
		(void)snprintf(names.name[names.n++], sizeof names.name[0], "%s", name);
	}
	*ret = names;
	return 0;
}

int repository_programs(struct repository *r, char ret[REPOSITORY_MAX_PROGRAMS + 1],
			struct problem *problem)
{
	struct role_names names;
	unsigned count = 0;
	int n = repository_delegated(r, &names, problem);

	if (n < 0)
		return n;
	for (unsigned i = 0; i < names.n; i++)
		if (role_kind_from_name(names.name[i]) == ROLE_PROGRAM &&
		    count < REPOSITORY_MAX_PROGRAMS)
			ret[count++] = names.name[i][0];
	ret[count] = 0;
	return 0;
}

int repository_check_role(struct repository *r, const char *role, struct problem *problem)
{
	struct role_names names;
	int n, kind = role_kind_from_name(role);

	if (kind >= 0 && kind != ROLE_PROGRAM)
		return 0;
	n = repository_delegated(r, &names, problem);
	if (n < 0)
		return n;
	for (unsigned i = 0; i < names.n; i++)
		if (strcmp(names.name[i], role) == 0)
			return 0;
	return problem_set(problem, -ENOENT, "this repository has no role '%s'", role);
}

/* ---- whose signatures are needed ---- */

void authorities_done(struct authorities *a)
{
	for (unsigned i = 0; i < a->n; i++)
		role_file_unref(a->by[i]);
	a->n = 0;
}

static int root_authorities(struct repository *r, struct role_file *file, struct authorities *ret,
			    struct problem *problem)
{
	struct role_file *published = NULL;
	int n = load_published(r, "root", &published, problem);

	if (n < 0 && n != -ENOENT)
		return n;
	*ret = (struct authorities){ .by = { role_file_ref(file), published },
				     .n = published ? 2 : 1 };
	return 0;
}

int repository_authorities(struct repository *r, const char *role, struct role_file *file,
			   struct authorities *ret, struct problem *problem)
{
	const char *by = authority_of(role);
	struct role_file *newest = NULL;
	int n;

	if (!by)
		return root_authorities(r, file, ret, problem);
	n = load_newest(r, by, &newest, problem);
	if (n < 0)
		return n == -ENOENT ? problem_set(problem, n, "there is no %s metadata", by) : n;
	if (!tuf_roles_find(&role_file_metadata(newest)->roles, role)) {
		role_file_unref(newest);
		return problem_set(problem, -ENOENT, "the %s metadata knows no role '%s'", by,
				   role);
	}
	*ret = (struct authorities){ .by = { newest }, .n = 1 };
	return 0;
}

int repository_is_due(struct repository *r, const char *role, bool *ret, struct problem *problem)
{
	int64_t half_life_sec = (int64_t)expiry_days(&r->expiry, role) * DAY_SEC / 2;
	_cleanup_(role_file_unrefp) struct role_file *f = NULL;
	int n = load_published(r, role, &f, problem);

	if (n < 0 && n != -ENOENT)
		return n;
	*ret = !f || role_file_metadata(f)->expires_sec - r->options.now_sec < half_life_sec;
	return 0;
}
