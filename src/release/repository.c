/* SPDX-License-Identifier: Apache-2.0 */
#include "release/repository.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/digest.h"
#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"
#include "release/metadata.h"
#include "tuf/client.h"

#define SETTINGS_MAX_BYTES (64u << 10)
#define DAY_SEC		   86400
#define MAX_DAYS	   36500

struct repository {
	int fd;
	struct repository_options options;
	struct keystore *keys;
	struct expiry expiry;
	/* What clients see, read when it is first asked for; NULL if nothing was published. */
	cJSON *timestamp, *snapshot;
	bool loaded;
};

static const char *const kind_names[_ROLE_KIND_MAX] = {
	[ROLE_ROOT] = "root",	      [ROLE_TARGETS] = "targets",     [ROLE_PROGRAM] = "programs",
	[ROLE_SNAPSHOT] = "snapshot", [ROLE_TIMESTAMP] = "timestamp",
};

int role_kind_from_name(const char *role)
{
	if (role[0] >= 'A' && role[0] <= 'Z' && !role[1])
		return ROLE_PROGRAM;
	for (int i = 0; i < _ROLE_KIND_MAX; i++)
		if (i != ROLE_PROGRAM && strcmp(role, kind_names[i]) == 0)
			return i;
	return -EINVAL;
}

/* ---- making one ---- */

static int format_settings(const struct expiry *expiry, char **ret)
{
	_cleanup_json_ cJSON *settings = cJSON_CreateObject();
	cJSON *days = cJSON_AddObjectToObject(settings, "expires_days");
	_cleanup_free_ char *text = NULL;

	for (int i = 0; i < _ROLE_KIND_MAX; i++)
		if (!days || !json_add_u64(days, kind_names[i], expiry->days[i]))
			return -ENOMEM;
	text = json_print(settings);
	if (!text || asprintf(ret, "%s\n", text) < 0)
		return -ENOMEM;
	return 0;
}

static const char *const parts[] = { REPOSITORY_KEYS, REPOSITORY_STAGED, REPOSITORY_PUBLIC,
				     REPOSITORY_SETTINGS };

static int check_is_new(int fd, const char *path, struct problem *problem)
{
	struct stat st;

	for (size_t i = 0; i < ELEMENTSOF(parts); i++)
		if (fstatat(fd, parts[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			return problem_set(problem, -EEXIST,
					   "'%s' has a '%s' already; init makes a new repository "
					   "only where there is none",
					   path, parts[i]);
	return 0;
}

static int make_parts(int fd, const struct expiry *expiry)
{
	static const struct {
		const char *path;
		mode_t mode;
	} directories[] = {
		{ REPOSITORY_KEYS, 0700 },
		{ REPOSITORY_STAGED_TARGETS, 0755 },
		{ REPOSITORY_METADATA, 0755 },
		{ REPOSITORY_TARGETS, 0755 },
	};
	_cleanup_free_ char *settings = NULL;
	int r;

	for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
		r = fs_mkdir_p(fd, directories[i].path, directories[i].mode);
		if (r < 0)
			return r;
	}
	r = format_settings(expiry, &settings);
	if (r < 0)
		return r;
	return fs_write_file_atomic(fd, REPOSITORY_SETTINGS, settings, strlen(settings), 0644);
}

int repository_create(const char *path, const struct expiry *expiry, struct problem *problem)
{
	_cleanup_close_ int fd = FD_NONE;
	int r;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return problem_set(problem, -errno, "cannot make the directory '%s': %m", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return problem_set(problem, -errno, "cannot open the directory '%s': %m", path);
	r = check_is_new(fd, path, problem);
	if (r < 0)
		return r;
	r = make_parts(fd, expiry);
	if (r < 0) {
		repository_discard(path);
		return problem_set(problem, r, "cannot make a repository in '%s': %s", path,
				   strerror(-r));
	}
	return 0;
}

void repository_discard(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < ELEMENTSOF(parts); i++) {
		int r = fs_remove_tree(fd, parts[i]);

		if (r < 0)
			log_debug("cannot remove '%s': %s", parts[i], strerror(-r));
	}
}

/* ---- opening ---- */

static int parse_settings(const char *text, size_t size, struct expiry *ret,
			  struct json_error *error)
{
	_cleanup_json_ cJSON *settings = NULL;
	const cJSON *days;
	struct expiry expiry;
	int r;

	r = json_parse(text, size, NULL, &settings, error);
	if (r < 0)
		return r;
	r = json_get_object(settings, "expires_days", &days, error);
	if (r < 0)
		return r;
	for (int i = 0; i < _ROLE_KIND_MAX; i++) {
		uint64_t value;

		r = json_get_u64(days, kind_names[i], MAX_DAYS, &value, error);
		if (r < 0) {
			json_error_prefix(error, "expires_days");
			return r;
		}
		expiry.days[i] = (unsigned)value;
	}
	*ret = expiry;
	return 0;
}

static int no_repository(const char *path, struct problem *problem)
{
	return problem_set(problem, -ENOENT,
			   "'%s' is no release repository; name one with --repo, or make one with "
			   "'bms-release init'",
			   path);
}

static int read_settings(struct repository *r, const char *path, struct problem *problem)
{
	struct json_error error = { 0 };
	_cleanup_free_ char *text = NULL;
	size_t size;
	int n;

	n = fs_read_file(r->fd, REPOSITORY_SETTINGS, SETTINGS_MAX_BYTES, &text, &size);
	if (n == -ENOENT)
		return no_repository(path, problem);
	if (n < 0)
		return problem_set(problem, n, "cannot read '%s/" REPOSITORY_SETTINGS "': %s", path,
				   strerror(-n));
	n = parse_settings(text, size, &r->expiry, &error);
	if (n < 0)
		return problem_set(problem, -EBADMSG, "'%s/" REPOSITORY_SETTINGS "': %s %s", path,
				   error.field, error.text);
	return 0;
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
	n = read_settings(r, path, problem);
	if (n < 0)
		return n;
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
	keystore_close(r->keys);
	cJSON_Delete(r->timestamp);
	cJSON_Delete(r->snapshot);
	close_fd(&r->fd);
	free(r);
	return NULL;
}

void repository_reload(struct repository *r)
{
	cJSON_Delete(TAKE_PTR(r->timestamp));
	cJSON_Delete(TAKE_PTR(r->snapshot));
	r->loaded = false;
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

/* ---- reading ---- */

/* The verified signed part of a file. -ENOENT leaves problem untouched. sha256_hex, if not NULL, is
 * what the file must have. */
static int load_file(struct repository *r, const char *role, const char *name,
		     const char *sha256_hex, cJSON **ret, struct problem *problem)
{
	_cleanup_(keystore_key_done) struct keystore_key key = { 0 };
	_cleanup_free_ char *bytes = NULL;
	struct problem inner = { 0 };
	size_t size;
	int n;

	n = fs_read_file(r->fd, name, TUF_TARGETS_MAX_BYTES, &bytes, &size);
	if (n == -ENOENT)
		return n;
	if (n < 0)
		return problem_set(problem, n, "cannot read '%s': %s", name, strerror(-n));
	if (sha256_hex) {
		uint8_t sha256[SHA256_BYTES];
		char hex[SHA256_HEX_LENGTH + 1];

		n = digest_sha256(bytes, size, sha256);
		if (n < 0)
			return problem_no_memory(problem);
		hex_encode(sha256, sizeof sha256, hex);
		if (strcmp(hex, sha256_hex) != 0)
			return problem_set(problem, -EBADMSG,
					   "'%s' was changed: its hash is not the signed one",
					   name);
	}
	n = keystore_public(r->keys, role, &key, problem);
	if (n < 0)
		return n;
	n = metadata_open(bytes, size, key.object, ret, &inner);
	return n < 0 ? problem_set(problem, n, "'%s' %s", name, inner.text) : 0;
}

/* What timestamp or snapshot metadata says of another file; -ENOENT if nothing. */
struct meta {
	uint64_t version;
	const char *sha256_hex; /* borrowed */
};

static int find_meta(const cJSON *document, const char *role, struct meta *ret)
{
	char name[REPOSITORY_NAME_BYTES];
	const cJSON *metas, *meta, *hashes;
	struct meta found = { 0 };
	int n;

	(void)snprintf(name, sizeof name, "%s.json", role);
	if (json_get_object(document, "meta", &metas, NULL) < 0)
		return -EBADMSG;
	n = json_get_object(metas, name, &meta, NULL);
	if (n < 0)
		return n;
	if (metadata_version(meta, &found.version) < 0 ||
	    json_get_object(meta, "hashes", &hashes, NULL) < 0 ||
	    json_get_string(hashes, "sha256", &found.sha256_hex, NULL) < 0)
		return -EBADMSG;
	*ret = found;
	return 0;
}

static int load_described(struct repository *r, const char *role, const cJSON *by, cJSON **ret,
			  struct problem *problem)
{
	_cleanup_json_ cJSON *document = NULL;
	char name[REPOSITORY_NAME_BYTES];
	struct meta meta = { 0 };
	uint64_t version;
	int n;

	n = find_meta(by, role, &meta);
	if (n == -ENOENT)
		return n;
	if (n < 0)
		return problem_set(problem, n, "published metadata describes '%s' wrongly", role);
	(void)snprintf(name, sizeof name, REPOSITORY_METADATA "/%" PRIu64 ".%s.json", meta.version,
		       role);
	n = load_file(r, role, name, meta.sha256_hex, &document, problem);
	if (n == -ENOENT)
		return problem_set(problem, -EBADMSG, "'%s' is missing", name);
	if (n < 0)
		return n;
	if (metadata_version(document, &version) < 0 || version != meta.version)
		return problem_set(problem, -EBADMSG, "'%s' holds another version", name);
	*ret = TAKE_PTR(document);
	return 0;
}

static int load_published_state(struct repository *r, struct problem *problem)
{
	int n;

	if (r->loaded)
		return 0;
	n = load_file(r, "timestamp", REPOSITORY_METADATA "/timestamp.json", NULL, &r->timestamp,
		      problem);
	if (n == 0) {
		n = load_described(r, "snapshot", r->timestamp, &r->snapshot, problem);
		if (n == -ENOENT)
			return problem_set(problem, -EBADMSG, "timestamp.json names no snapshot");
	}
	if (n < 0 && n != -ENOENT)
		return n;
	r->loaded = true;
	return 0;
}

static int load_root(struct repository *r, cJSON **ret, struct problem *problem)
{
	_cleanup_json_ cJSON *newest = NULL;
	char name[REPOSITORY_NAME_BYTES];
	uint64_t version;
	int n;

	for (unsigned i = 1; i <= TUF_MAX_ROOT_ROTATIONS; i++) {
		_cleanup_json_ cJSON *document = NULL;

		(void)snprintf(name, sizeof name, REPOSITORY_METADATA "/%u.root.json", i);
		n = load_file(r, "root", name, NULL, &document, problem);
		if (n == -ENOENT)
			break;
		if (n < 0)
			return n;
		if (metadata_version(document, &version) < 0 || version != i)
			return problem_set(problem, -EBADMSG, "'%s' holds another version", name);
		cJSON_Delete(newest);
		newest = TAKE_PTR(document);
	}
	if (!newest)
		return -ENOENT;
	*ret = TAKE_PTR(newest);
	return 0;
}

static int load_published(struct repository *r, const char *role, cJSON **ret,
			  struct problem *problem)
{
	const cJSON *held;
	int n;

	if (strcmp(role, "root") == 0)
		return load_root(r, ret, problem);
	n = load_published_state(r, problem);
	if (n < 0)
		return n;
	if (!r->timestamp)
		return -ENOENT;
	if (strcmp(role, "timestamp") != 0 && strcmp(role, "snapshot") != 0)
		return load_described(r, role, r->snapshot, ret, problem);
	held = strcmp(role, "timestamp") == 0 ? r->timestamp : r->snapshot;
	*ret = cJSON_Duplicate(held, true);
	return *ret ? 0 : problem_no_memory(problem);
}

int repository_published_version(struct repository *r, const char *role, uint64_t *ret,
				 struct problem *problem)
{
	_cleanup_json_ cJSON *document = NULL;
	int n = load_published(r, role, &document, problem);

	if (n == -ENOENT) {
		*ret = 0;
		return 0;
	}
	if (n < 0)
		return n;
	n = metadata_version(document, ret);
	return n < 0 ? problem_set(problem, -EBADMSG, "the published %s has no version", role) : 0;
}

/* A staged version that is not above the published one was published already: a crash came between
 * the publishing and the cleaning up. */
static int load_staged(struct repository *r, const char *role, cJSON **ret, struct problem *problem)
{
	_cleanup_json_ cJSON *document = NULL;
	char name[REPOSITORY_NAME_BYTES];
	uint64_t published = 0, version;
	int n;

	(void)snprintf(name, sizeof name, REPOSITORY_STAGED "/%s.json", role);
	n = load_file(r, role, name, NULL, &document, problem);
	if (n < 0)
		return n;
	n = repository_published_version(r, role, &published, problem);
	if (n < 0)
		return n;
	if (metadata_version(document, &version) < 0)
		return problem_set(problem, -EBADMSG, "'%s' has no version", name);
	if (version <= published)
		return -ENOENT;
	*ret = TAKE_PTR(document);
	return 0;
}

int repository_load(struct repository *r, const char *role, enum repository_which which,
		    cJSON **ret, struct problem *problem)
{
	int n = -ENOENT;

	if (which != REPOSITORY_PUBLISHED)
		n = load_staged(r, role, ret, problem);
	if (n == -ENOENT && which != REPOSITORY_STAGED_ONLY)
		n = load_published(r, role, ret, problem);
	return n;
}

int repository_programs(struct repository *r, char ret[REPOSITORY_MAX_PROGRAMS + 1],
			struct problem *problem)
{
	_cleanup_json_ cJSON *targets = NULL;
	const cJSON *delegations, *roles = NULL, *role;
	unsigned count = 0;
	int n;

	n = repository_load(r, "targets", REPOSITORY_NEWEST, &targets, problem);
	if (n == -ENOENT)
		return problem_set(problem, n, "the repository has no targets metadata");
	if (n < 0)
		return n;
	n = json_get_object(targets, "delegations", &delegations, NULL);
	if (n == 0)
		n = json_get_array(delegations, "roles", &roles, NULL);
	if (n < 0)
		return problem_set(problem, n, "the targets metadata delegates to no program");
	cJSON_ArrayForEach (role, roles) {
		const char *name;

		if (json_get_string(role, "name", &name, NULL) == 0 &&
		    role_kind_from_name(name) == ROLE_PROGRAM && count < REPOSITORY_MAX_PROGRAMS)
			ret[count++] = name[0];
	}
	ret[count] = 0;
	return 0;
}

/* ---- signing ---- */

static unsigned valid_days(const struct repository *r, const char *role)
{
	int kind = role_kind_from_name(role);

	return kind < 0 ? 0 : r->expiry.days[kind];
}

int repository_is_due(struct repository *r, const char *role, bool *ret, struct problem *problem)
{
	_cleanup_json_ cJSON *document = NULL;
	int64_t expires_sec, half_life_sec = (int64_t)valid_days(r, role) * DAY_SEC / 2;
	int n;

	n = load_published(r, role, &document, problem);
	if (n < 0 && n != -ENOENT)
		return n;
	*ret = n == -ENOENT || metadata_expires_sec(document, &expires_sec) < 0 ||
	       expires_sec - r->options.now_sec < half_life_sec;
	return 0;
}

int repository_sign(struct repository *r, const char *role, cJSON *document, uint64_t version,
		    char **ret_bytes, size_t *ret_size, struct problem *problem)
{
	_cleanup_(signer_freep) struct signer *signer = NULL;
	int64_t expires_sec = r->options.expires_sec;
	int n;

	if (!expires_sec)
		expires_sec = r->options.now_sec + (int64_t)valid_days(r, role) * DAY_SEC;
	n = keystore_signer(r->keys, role, &signer, problem);
	if (n < 0)
		return n;
	n = metadata_sign(document, version, expires_sec, signer, ret_bytes, ret_size);
	return n < 0 ? problem_set(problem, n, "cannot sign %s: %s", role, strerror(-n)) : 0;
}

int repository_stage(struct repository *r, const char *role, cJSON *document,
		     struct problem *problem)
{
	_cleanup_free_ char *bytes = NULL;
	char name[REPOSITORY_NAME_BYTES];
	uint64_t published = 0;
	size_t size;
	int n;

	n = repository_published_version(r, role, &published, problem);
	if (n < 0)
		return n;
	n = repository_sign(r, role, document, published + 1, &bytes, &size, problem);
	if (n < 0)
		return n;
	if (size > TUF_TARGETS_MAX_BYTES)
		return problem_set(problem, -EFBIG,
				   "the metadata of %s would be larger than clients accept", role);
	(void)snprintf(name, sizeof name, REPOSITORY_STAGED "/%s.json", role);
	n = fs_write_file_atomic(r->fd, name, bytes, size, 0644);
	return n < 0 ? problem_set(problem, n, "cannot write '%s': %s", name, strerror(-n)) : 0;
}
