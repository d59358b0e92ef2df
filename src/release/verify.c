/* SPDX-License-Identifier: Apache-2.0 */
#include "release/verify.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "common/digest.h"
#include "common/fsutil.h"
#include "common/json.h"
#include "common/segments.h"
#include "release/patch_file.h"
#include "release/program_file.h"
#include "release/repository.h"
#include "release/target.h"
#include "tuf/client.h"
#include "tuf/name.h"

#define FIRST_ROOT "1.root.json"
#define MAX_DEPTH  8
#define DAY_SEC	   86400

struct found_target {
	char *path;
	char *file; /* below targets/ */
	uint64_t length;
	uint8_t sha256[SHA256_BYTES];
	const cJSON *custom; /* borrowed from the client */
};

struct verifier {
	int metadata_fd, targets_fd;
	int64_t now_sec;
	struct tuf_client *client;
	struct found_target *targets;
	size_t n_targets;
	cJSON *report, *problems, *notices;
	bool out_of_memory; /* of the report; looked at once, at the end */
};

static void verifier_done(struct verifier *v)
{
	for (size_t i = 0; i < v->n_targets; i++) {
		free(v->targets[i].path);
		free(v->targets[i].file);
	}
	free(v->targets);
	tuf_client_free(v->client);
	close_fd(&v->metadata_fd);
	close_fd(&v->targets_fd);
	cJSON_Delete(v->report);
}

static void _printf_(3, 0) say(struct verifier *v, cJSON *list, const char *format, va_list args)
{
	_cleanup_free_ char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	if (!text || !cJSON_AddItemToArray(list, cJSON_CreateString(text)))
		v->out_of_memory = true;
}

static void add_problem(struct verifier *v, const char *format, ...) _printf_(2, 3);
static void add_problem(struct verifier *v, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(v, v->problems, format, args);
	va_end(args);
}

static void add_notice(struct verifier *v, const char *format, ...) _printf_(2, 3);
static void add_notice(struct verifier *v, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(v, v->notices, format, args);
	va_end(args);
}

/* ---- the client, over a directory ---- */

static int fetch(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
		 size_t *ret_size)
{
	const struct verifier *v = userdata;

	return fs_read_file(v->metadata_fd, name, max_bytes, ret_bytes, ret_size);
}

static int collect(const struct tuf_target *target, void *userdata)
{
	struct verifier *v = userdata;
	struct found_target *grown, *t;
	int r;

	if (!tuf_path_is_plain(target->path) || !target->has_sha256) {
		add_problem(v, "a target of role %s has no plain path or no SHA-256", target->role);
		return 0;
	}
	grown = reallocarray(v->targets, v->n_targets + 1, sizeof *v->targets);
	if (!grown)
		return -ENOMEM;
	v->targets = grown;
	t = &v->targets[v->n_targets];
	*t = (struct found_target){ .length = target->length, .custom = target->custom };
	memcpy(t->sha256, target->sha256, SHA256_BYTES);
	t->path = strdup(target->path);
	if (!t->path)
		return -ENOMEM;
	r = tuf_client_target_file(v->client, target, &t->file);
	if (r < 0) {
		free(t->path);
		return r;
	}
	v->n_targets++;
	return 0;
}

static int read_root(const struct verifier *v, const char *root_file, char **ret_bytes,
		     size_t *ret_size, struct problem *problem)
{
	int dirfd = root_file ? AT_FDCWD : v->metadata_fd;
	const char *name = root_file ? root_file : FIRST_ROOT;
	int r = fs_read_file(dirfd, name, TUF_ROOT_MAX_BYTES, ret_bytes, ret_size);

	return r < 0 ? problem_set(problem, r, "cannot read the root of trust '%s': %s", name,
				   strerror(-r))
		     : 0;
}

/* True if the whole chain of metadata is good; else the problem is noted. */
static int check_chain(struct verifier *v, const char *root_file, bool *ret_good,
		       struct problem *problem)
{
	const struct tuf_source source = { .userdata = v, .fetch = fetch };
	_cleanup_free_ char *root = NULL;
	size_t size;
	int r;

	*ret_good = false;
	r = read_root(v, root_file, &root, &size, problem);
	if (r < 0)
		return r;
	r = tuf_client_new(root, size, v->now_sec, &source, NULL, &v->client);
	if (r == -ENOMEM)
		return problem_no_memory(problem);
	if (r < 0) {
		add_problem(v, "the root of trust is no root metadata");
		return 0;
	}
	r = tuf_client_refresh(v->client);
	if (r == 0)
		r = tuf_client_each_target(v->client, collect, v);
	if (r == -ENOMEM)
		return problem_no_memory(problem);
	if (r < 0)
		add_problem(v, "%s", tuf_client_error(v->client));
	*ret_good = r == 0;
	return 0;
}

/* ---- target files ---- */

static const struct found_target *find_target(const struct verifier *v, const char *path)
{
	for (size_t i = 0; i < v->n_targets; i++)
		if (strcmp(v->targets[i].path, path) == 0)
			return &v->targets[i];
	return NULL;
}

/* The list of segments in list_fd must be the one of the program file in fd. */
static int compare_segments(int fd, int list_fd, uint32_t segment_bytes)
{
	_cleanup_(segments_freep) struct segments *segments = NULL;
	_cleanup_free_ char *expected = NULL, *bytes = NULL;
	size_t expected_size, size;
	int r;

	r = segments_from_fd(fd, segment_bytes, &segments);
	if (r < 0)
		return r;
	r = segments_format(segments, &expected, &expected_size);
	if (r < 0)
		return r;
	r = fs_read_fd(list_fd, expected_size, &bytes, &size);
	if (r < 0)
		return r;
	return size == expected_size && memcmp(bytes, expected, size) == 0 ? 0 : -EBADMSG;
}

static void check_segments(struct verifier *v, const struct found_target *t, int fd,
			   uint32_t segment_bytes)
{
	_cleanup_close_ int list_fd = FD_NONE;
	_cleanup_free_ char *path = NULL;
	const struct found_target *list;

	if (asprintf(&path, "%s.seg%" PRIu32, t->path, segment_bytes) < 0) {
		v->out_of_memory = true;
		return;
	}
	list = find_target(v, path);
	if (!list) {
		add_problem(v, "%s: there is no list of its %" PRIu32 "-byte segments", t->path,
			    segment_bytes);
		return;
	}
	list_fd = fs_open_beneath(v->targets_fd, list->file, O_RDONLY, 0);
	if (list_fd < 0)
		return; /* a problem of the list itself */
	if (compare_segments(fd, list_fd, segment_bytes) < 0)
		add_problem(v, "%s: is not the segment list of its program file", path);
}

static void check_program_file(struct verifier *v, const struct found_target *t, int fd,
			       const struct full_target *full)
{
	uint8_t sha256[SHA256_BYTES];
	uint64_t bytes;
	int r;

	r = program_file_tar_sha256(fd, full->tar_bytes, sha256, &bytes);
	if (r == -ENOMEM)
		add_problem(v, "%s: needs more memory to decompress than a gateway grants",
			    t->path);
	else if (r < 0)
		add_problem(v, "%s: does not decompress to its tar: %s", t->path, strerror(-r));
	else if (bytes != full->tar_bytes || memcmp(sha256, full->tar_sha256, SHA256_BYTES) != 0)
		add_problem(v, "%s: decompresses to another tar than the signed one", t->path);
}

static void check_segment_lists(struct verifier *v, const struct found_target *t, int fd,
				const cJSON *sizes)
{
	const cJSON *size;

	cJSON_ArrayForEach (size, sizes) {
		double value = cJSON_GetNumberValue(size);

		if (value >= SEGMENT_MIN_BYTES && value <= SEGMENT_MAX_BYTES)
			check_segments(v, t, fd, (uint32_t)value);
		else
			add_problem(v, "%s: a segment size is out of bounds", t->path);
	}
}

/* ---- patches ---- */

/* The program file of this version with this tar. */
static const struct found_target *find_full(const struct verifier *v, const char *version,
					    const char *arch, uint64_t tar_bytes,
					    const uint8_t *tar_sha256)
{
	for (size_t i = 0; i < v->n_targets; i++) {
		struct full_target full;

		if (target_parse_full(v->targets[i].custom, &full) == 0 &&
		    strcmp(full.version, version) == 0 && strcmp(full.arch, arch) == 0 &&
		    full.tar_bytes == tar_bytes &&
		    memcmp(full.tar_sha256, tar_sha256, SHA256_BYTES) == 0)
			return &v->targets[i];
	}
	return NULL;
}

static void check_patch(struct verifier *v, const struct found_target *t, int fd,
			const struct patch_target *patch)
{
	_cleanup_(patch_tar_done) struct patch_tar old = { .bytes = NULL };
	_cleanup_close_ int base_fd = FD_NONE;
	const struct found_target *base;
	int r;

	if (!find_full(v, patch->to.version, patch->to.arch, patch->to.tar_bytes,
		       patch->to.tar_sha256))
		add_problem(v, "%s: makes another tar than the program file of %s", t->path,
			    patch->to.version);
	base = find_full(v, patch->from, patch->to.arch, patch->base_bytes, patch->base_sha256);
	if (!base) {
		add_notice(v, "%s: the program file of %s is not there, so it cannot be tried",
			   t->path, patch->from);
		return;
	}
	base_fd = fs_open_beneath(v->targets_fd, base->file, O_RDONLY, 0);
	if (base_fd < 0 || patch_tar_read(base_fd, patch->base_bytes, patch->base_sha256, &old) < 0)
		return; /* a problem of the base itself */
	r = patch_file_check(fd, &old.view, patch->to.tar_bytes, patch->to.tar_sha256);
	if (r < 0)
		add_problem(v, "%s: applied to %s it does not give its tar: %s", t->path,
			    patch->from, strerror(-r));
}

static void check_target(struct verifier *v, const struct found_target *t)
{
	_cleanup_close_ int fd = fs_open_beneath(v->targets_fd, t->file, O_RDONLY, 0);
	uint8_t sha256[SHA256_BYTES];
	struct patch_target patch;
	struct full_target full;
	uint64_t length;
	int r;

	if (fd < 0) {
		add_problem(v, "targets/%s: cannot be opened: %s", t->file, strerror(-fd));
		return;
	}
	r = digest_fd(fd, sha256, &length);
	if (r < 0) {
		add_problem(v, "targets/%s: cannot be read: %s", t->file, strerror(-r));
		return;
	}
	if (length != t->length || memcmp(sha256, t->sha256, SHA256_BYTES) != 0) {
		add_problem(v, "targets/%s: is not the file that was signed", t->file);
		return;
	}
	r = target_parse_full(t->custom, &full);
	if (r == 0) {
		check_program_file(v, t, fd, &full);
		check_segment_lists(v, t, fd, full.segments);
		return;
	}
	if (r == -ENOENT)
		r = target_parse_patch(t->custom, &patch);
	if (r == 0) {
		check_patch(v, t, fd, &patch);
		check_segment_lists(v, t, fd, patch.to.segments);
	} else if (r == -EBADMSG) {
		add_problem(v, "%s: its custom part is malformed", t->path);
	}
}

/* ---- what the client does not read ---- */

static bool is_referenced(const struct verifier *v, const char *file)
{
	for (size_t i = 0; i < v->n_targets; i++)
		if (strcmp(v->targets[i].file, file) == 0)
			return true;
	return false;
}

/* A file that is not referred to should at least be what its name says. */
static void check_unreferenced(struct verifier *v, int dirfd, const char *name, const char *path)
{
	_cleanup_close_ int fd = fs_open_beneath(dirfd, name, O_RDONLY, 0);
	uint8_t sha256[SHA256_BYTES];
	char hex[SHA256_HEX_LENGTH + 1];

	if (fd < 0 || digest_fd(fd, sha256, NULL) < 0) {
		add_problem(v, "targets/%s: cannot be read", path);
		return;
	}
	hex_encode(sha256, sizeof sha256, hex);
	if (strncmp(name, hex, SHA256_HEX_LENGTH) != 0 || name[SHA256_HEX_LENGTH] != '.')
		add_problem(v, "targets/%s: is not what its name says, and no metadata names it",
			    path);
	else
		add_notice(v, "targets/%s: no metadata names it", path);
}

static int walk_targets(struct verifier *v, int dirfd, const char *prefix, unsigned depth);

static int walk_entry(struct verifier *v, int dirfd, const char *name, const char *path,
		      unsigned depth)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH) {
		_cleanup_close_ int fd = fs_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY, 0);

		return fd < 0 ? fd : walk_targets(v, fd, path, depth + 1);
	}
	if (!S_ISREG(st.st_mode))
		add_problem(v, "targets/%s: is no regular file", path);
	else if (!is_referenced(v, path))
		check_unreferenced(v, dirfd, name, path);
	return 0;
}

static int walk_targets(struct verifier *v, int dirfd, const char *prefix, unsigned depth)
{
	_cleanup_dir_ DIR *d = NULL;
	const char *name;
	int r;

	r = fs_open_dir(dirfd, ".", &d);
	if (r < 0)
		return r;
	while ((name = fs_next_name(d))) {
		_cleanup_free_ char *path = NULL;

		if (asprintf(&path, "%s%s%s", prefix, *prefix ? "/" : "", name) < 0)
			return -ENOMEM;
		r = walk_entry(v, dirfd, name, path, depth);
		if (r < 0)
			return r;
	}
	return -errno;
}

/* ---- metadata files, one by one ---- */

/* "12.B.json" → 12 and "B"; "timestamp.json" → 0 and "timestamp". */
static int parse_metadata_name(const char *name, uint64_t *ret_version,
			       char ret_role[REPOSITORY_NAME_BYTES])
{
	uint64_t version = 0;
	const char *role = name, *end;

	if (*name >= '1' && *name <= '9') {
		char *dot;

		errno = 0;
		version = strtoull(name, &dot, 10);
		if (errno || *dot != '.')
			return -EINVAL;
		role = dot + 1;
	}
	end = strchr(role, '.');
	if (!end || strcmp(end, ".json") != 0 || end - role >= REPOSITORY_NAME_BYTES)
		return -EINVAL;
	(void)snprintf(ret_role, REPOSITORY_NAME_BYTES, "%.*s", (int)(end - role), role);
	if ((role_kind_from_name(ret_role) < 0 && !authority_name_is_delegable(ret_role)) ||
	    (version == 0) != (strcmp(ret_role, "timestamp") == 0))
		return -EINVAL;
	*ret_version = version;
	return 0;
}

/* Those that name keys, of all versions: an older file was signed by the keys of its time. */
struct authors {
	struct role_file **file;
	size_t n;
};

static void authors_done(struct authors *a)
{
	for (size_t i = 0; i < a->n; i++)
		role_file_unref(a->file[i]);
	free(a->file);
}

static int add_author(struct authors *a, struct role_file *file)
{
	struct role_file **grown = reallocarray(a->file, a->n + 1, sizeof(struct role_file *));

	if (!grown)
		return -ENOMEM;
	a->file = grown;
	a->file[a->n++] = role_file_ref(file);
	return 0;
}

static int read_metadata(const struct verifier *v, const char *name, const char *role,
			 struct role_file **ret, struct problem *problem)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size;
	int r = fs_read_file(v->metadata_fd, name, TUF_TARGETS_MAX_BYTES, &bytes, &size);

	if (r < 0)
		return problem_set(problem, r, "cannot be read: %s", strerror(-r));
	return role_file_parse(bytes, size, role_file_type(role), ret, problem);
}

static int collect_authors(const struct verifier *v, struct authors *ret)
{
	_cleanup_dir_ DIR *d = NULL;
	const char *name;
	int r = fs_open_dir(v->metadata_fd, ".", &d);

	if (r < 0)
		return r;
	while ((name = fs_next_name(d))) {
		_cleanup_(role_file_unrefp) struct role_file *file = NULL;
		char role[REPOSITORY_NAME_BYTES];
		struct problem ignored;
		uint64_t version;

		if (parse_metadata_name(name, &version, role) < 0 ||
		    (strcmp(role, "root") != 0 && strcmp(role, "targets") != 0))
			continue;
		r = read_metadata(v, name, role, &file, &ignored);
		if (r == 0)
			r = add_author(ret, file);
		if (r == -ENOMEM)
			return r;
	}
	return -errno;
}

/* By any version of who names the role's keys. A root must be signed by its own keys; the chain from
 * one to the next is the client's to check. */
static bool is_signed(const struct role_file *file, const char *role, const struct authors *authors)
{
	const char *by = authority_of(role);
	struct role_signatures signatures;

	if (!by)
		return role_file_verify(file, file, role, &signatures) == 0;
	for (size_t i = 0; i < authors->n; i++)
		if (role_file_metadata(authors->file[i])->type == role_file_type(by) &&
		    role_file_verify(file, authors->file[i], role, &signatures) == 0)
			return true;
	return false;
}

static void check_metadata_file(struct verifier *v, const char *name, const struct authors *authors)
{
	_cleanup_(role_file_unrefp) struct role_file *file = NULL;
	char role[REPOSITORY_NAME_BYTES];
	struct problem problem = { 0 };
	uint64_t version;

	if (parse_metadata_name(name, &version, role) < 0) {
		add_notice(v, "metadata/%s: is no metadata", name);
		return;
	}
	if (read_metadata(v, name, role, &file, &problem) < 0)
		add_problem(v, "metadata/%s: %s", name, problem.text);
	else if (!is_signed(file, role, authors) &&
		 version > tuf_client_role_version(v->client, role) && strcmp(role, "root") != 0)
		add_notice(v,
			   "metadata/%s: is not visible yet, nor signed by present keys: its "
			   "publishing was interrupted",
			   name);
	else if (!is_signed(file, role, authors))
		add_problem(v, "metadata/%s: is not signed by the keys of its role", name);
	else if (version && role_file_version(file) != version)
		add_problem(v, "metadata/%s: holds another version", name);
}

static int walk_metadata(struct verifier *v)
{
	_cleanup_(authors_done) struct authors authors = { 0 };
	_cleanup_dir_ DIR *d = NULL;
	const char *name;
	int r = collect_authors(v, &authors);

	if (r == 0)
		r = fs_open_dir(v->metadata_fd, ".", &d);
	if (r < 0)
		return r;
	while ((name = fs_next_name(d)))
		check_metadata_file(v, name, &authors);
	return -errno;
}

/* ---- expiry and thresholds ---- */

/* The one that the client has found good. */
static int load_current(const struct verifier *v, const char *role, struct role_file **ret)
{
	char name[REPOSITORY_NAME_BYTES];
	struct problem ignored;

	if (strcmp(role, "timestamp") == 0)
		(void)snprintf(name, sizeof name, "timestamp.json");
	else
		(void)snprintf(name, sizeof name, "%" PRIu64 ".%.80s.json",
			       tuf_client_role_version(v->client, role), role);
	return read_metadata(v, name, role, ret, &ignored);
}

static int report_role(struct verifier *v, cJSON *roles, const char *role)
{
	_cleanup_(role_file_unrefp) struct role_file *file = NULL;
	cJSON *object = cJSON_CreateObject();
	int64_t expires_sec;
	int r;

	if (!object || !cJSON_AddItemToArray(roles, object)) {
		cJSON_Delete(object);
		return -ENOMEM;
	}
	r = load_current(v, role, &file);
	if (r < 0)
		return r;
	expires_sec = role_file_metadata(file)->expires_sec;
	if (!cJSON_AddStringToObject(object, "role", role) ||
	    !json_add_u64(object, "version", role_file_version(file)) ||
	    !json_add_u64(object, "expires_sec", (uint64_t)expires_sec))
		return -ENOMEM;
	if (expires_sec - v->now_sec <= VERIFY_EXPIRY_NOTICE_SEC)
		add_notice(v, "%s expires in %" PRId64 " days (%s)", role,
			   (expires_sec - v->now_sec) / DAY_SEC, role_file_metadata(file)->expires);
	return 0;
}

/* A threshold that cannot be met any more, or not after the next loss of a key. */
static void check_thresholds(struct verifier *v, const struct role_file *by)
{
	const struct tuf_roles *roles = &role_file_metadata(by)->roles;

	for (size_t i = 0; i < roles->n_roles; i++) {
		const struct tuf_role *role = &roles->roles[i];
		unsigned keys = role_file_count_keys(by, role->name);

		if (keys < role->threshold)
			add_problem(v,
				    "%s: has %u usable keys and a threshold of %" PRIu64
				    ": nobody can sign for it",
				    role->name, keys, role->threshold);
		else if (keys > 1 && keys == role->threshold)
			add_notice(v,
				   "%s: all of its %u keys are needed to sign, so none may be "
				   "lost",
				   role->name, keys);
	}
}

static int report_delegated(struct verifier *v, cJSON *list)
{
	_cleanup_(role_file_unrefp) struct role_file *targets = NULL;
	int r = load_current(v, "targets", &targets);

	if (r < 0)
		return r;
	check_thresholds(v, targets);
	for (size_t i = 0; r == 0 && i < role_file_metadata(targets)->roles.n_roles; i++) {
		const char *name = role_file_metadata(targets)->roles.roles[i].name;

		if (tuf_client_role_version(v->client, name) > 0)
			r = report_role(v, list, name);
	}
	return r;
}

static int report_roles(struct verifier *v)
{
	static const char *const top_roles[] = { "root", "targets", "snapshot", "timestamp" };
	_cleanup_(role_file_unrefp) struct role_file *root = NULL;
	cJSON *roles = cJSON_AddArrayToObject(v->report, "roles");
	int r = roles ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ELEMENTSOF(top_roles); i++)
		r = report_role(v, roles, top_roles[i]);
	if (r == 0)
		r = load_current(v, "root", &root);
	if (r < 0)
		return r;
	check_thresholds(v, root);
	return report_delegated(v, roles);
}

/* ---- the story ---- */

static int open_directory(struct verifier *v, const char *path, struct problem *problem)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return problem_set(problem, -errno, "cannot open the directory '%s': %m", path);
	v->metadata_fd = openat(fd, "metadata", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	v->targets_fd = openat(fd, "targets", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (v->metadata_fd < 0 || v->targets_fd < 0)
		return problem_set(problem, -ENOENT,
				   "'%s' has no metadata/ or targets/: it is no published "
				   "repository",
				   path);
	return 0;
}

static int start_report(struct verifier *v)
{
	v->report = cJSON_CreateObject();
	v->problems = cJSON_AddArrayToObject(v->report, "problems");
	v->notices = cJSON_AddArrayToObject(v->report, "notices");
	return v->problems && v->notices ? 0 : -ENOMEM;
}

static int check_everything(struct verifier *v)
{
	uint64_t bytes = 0;
	int r;

	for (size_t i = 0; i < v->n_targets; i++) {
		check_target(v, &v->targets[i]);
		bytes += v->targets[i].length;
	}
	r = walk_targets(v, v->targets_fd, "", 0);
	if (r == 0)
		r = walk_metadata(v);
	if (r == 0)
		r = report_roles(v);
	if (r < 0)
		return r;
	if (!json_add_u64(v->report, "targets", v->n_targets) ||
	    !json_add_u64(v->report, "bytes", bytes))
		return -ENOMEM;
	return 0;
}

int verify_directory(const char *path, const char *root_file, int64_t now_sec, cJSON **ret_report,
		     struct problem *problem)
{
	_cleanup_(verifier_done) struct verifier v = {
		.metadata_fd = FD_NONE,
		.targets_fd = FD_NONE,
		.now_sec = now_sec,
	};
	bool good;
	int r;

	r = open_directory(&v, path, problem);
	if (r < 0)
		return r;
	if (start_report(&v) < 0)
		return problem_no_memory(problem);
	r = check_chain(&v, root_file, &good, problem);
	if (r < 0)
		return r;
	if (good) {
		r = check_everything(&v);
		if (r < 0)
			return problem_set(problem, r, "cannot check '%s': %s", path, strerror(-r));
	}
	if (v.out_of_memory)
		return problem_no_memory(problem);
	*ret_report = TAKE_PTR(v.report);
	return 0;
}
