/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/trust.h"

#include <inttypes.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"
#include "tuf/name.h"
#include "updaterd/root_chain.h"

#define FULL_ENDING ".tar.xz"

struct trust {
	const struct conf *conf; /* all borrowed */
	int metadata_fd;
	const struct update_time *time;
	struct http *http;
	const char *base;
	struct medium *medium;

	struct tuf_limits limits;
	struct tuf_source source;
	struct tuf_client *client;
	bool unreachable; /* the last fetch failed on the way, not by what came */
	struct failure transport;
};

/* ---- where the bytes are ---- */

static int fetch_from_medium(struct trust *t, const char *path, size_t max_bytes, char **ret_bytes,
			     size_t *ret_size)
{
	_cleanup_close_ int fd = medium_open_file(t->medium, path);

	if (fd < 0)
		return fd;
	return fs_read_fd(fd, max_bytes, ret_bytes, ret_size);
}

static int fetch_from_server(struct trust *t, const char *url, const char *path, size_t max_bytes,
			     char **ret_bytes, size_t *ret_size)
{
	_cleanup_(http_response_done) struct http_response response = { 0 };
	int r;

	r = http_get(t->http, url, max_bytes, &response);
	/* Too large is a judgement about the file, which is the client's to make. */
	if (r == -EFBIG)
		return r;
	if (r < 0) {
		t->unreachable = true;
		(void)failure_set_http(&t->transport, r, t->http, path);
		return r;
	}
	/* Object stores answer 403 for what does not exist. */
	if (response.status == 404 || response.status == 403)
		return -ENOENT;
	if (response.status != 200) {
		t->unreachable = true;
		(void)failure_set(&t->transport, -EAGAIN, REASON_SERVER_ERROR,
				  "the file server answered %ld for '%s'", response.status, path);
		t->transport.retry_after_sec = response.retry_after_sec;
		return -EAGAIN;
	}
	if (!response.body)
		return -EBADMSG;
	*ret_size = response.body_size;
	*ret_bytes = TAKE_PTR(response.body);
	return 0;
}

static int fetch_target_file(struct trust *t, const char *path, size_t max_bytes, char **ret_bytes,
			     size_t *ret_size)
{
	_cleanup_free_ char *url = NULL;
	int r;

	t->unreachable = false;
	if (t->medium)
		return fetch_from_medium(t, path, max_bytes, ret_bytes, ret_size);
	r = http_join_url(t->base, path, &url);
	return r < 0 ? r : fetch_from_server(t, url, path, max_bytes, ret_bytes, ret_size);
}

/* name is encoded already, as tuf/client.h says: it is put behind the URL as it is. */
static int source_fetch(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
			size_t *ret_size)
{
	struct trust *t = userdata;
	_cleanup_free_ char *path = NULL, *directory = NULL, *url = NULL;
	int r;

	t->unreachable = false;
	if (asprintf(&path, "metadata/%s", name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	if (t->medium)
		return fetch_from_medium(t, path, max_bytes, ret_bytes, ret_size);
	r = http_join_url(t->base, "metadata", &directory);
	if (r < 0)
		return r;
	if (asprintf(&url, "%s/%s", directory, name) < 0) {
		url = NULL;
		return -ENOMEM;
	}
	return fetch_from_server(t, url, path, max_bytes, ret_bytes, ret_size);
}

static int source_load(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
		       size_t *ret_size)
{
	const struct trust *t = userdata;

	return fs_read_file(t->metadata_fd, name, max_bytes, ret_bytes, ret_size);
}

static int source_store(void *userdata, const char *name, const void *bytes, size_t size)
{
	const struct trust *t = userdata;

	return fs_write_file_atomic(t->metadata_fd, name, bytes, size, 0644);
}

/* ---- where trust starts ---- */

static int load_root(const struct trust *t, struct root_start *ret, struct failure *failure)
{
	const char *file = t->conf->root_file;
	int r;

	r = root_chain_start(t->metadata_fd, file, &t->limits, ret);
	if (r == -EBADMSG || r == -EKEYREJECTED)
		return failure_set(failure, r, REASON_BAD_METADATA,
				   "[trust] root_file '%s' is not usable: %s; put the repository's "
				   "root.json there",
				   file,
				   r == -EBADMSG ? "no root metadata" : "not signed by itself");
	if (r < 0)
		return failure_set_errno(failure, r, "[trust] root_file '%s'", file);
	if (ret->file_error < 0)
		log_warning("[trust] root_file '%s' is not usable (%s); root version %" PRIu64
			    ", kept from before, stands in for it",
			    file, strerror(-ret->file_error), ret->version);
	if (ret->n_removed > 0)
		log_notice("%u of the kept roots do not follow from version %" PRIu64 " of '%s' "
			   "and are dropped: another file was put there, or a copy was damaged",
			   ret->n_removed, ret->version, file);
	return 0;
}

static int fail_trust(const struct trust *t, int error, struct failure *failure)
{
	if (t->unreachable) {
		*failure = t->transport;
		return error == -EKEYEXPIRED ? update_time_explain(t->time, error, failure) : error;
	}
	if (error == -ENOMEM || error == -ENOSPC || error == -EIO || error == -EROFS)
		return failure_set_errno(failure, error, "metadata");
	(void)failure_set(failure, error, tuf_client_reason(t->client), "%s",
			  tuf_client_error(t->client));
	return failure->reason == REASON_EXPIRED ? update_time_explain(t->time, error, failure)
						 : error;
}

static int run_workflow(struct trust *t, struct failure *failure)
{
	_cleanup_(root_start_done) struct root_start start = { 0 };
	int r;

	r = load_root(t, &start, failure);
	if (r < 0)
		return r;
	r = tuf_client_new(start.bytes, start.size, t->time->now_sec, &t->source, &t->limits,
			   &t->client);
	if (r < 0)
		return failure_set_errno(failure, r, "metadata");
	r = tuf_client_refresh(t->client);
	return r < 0 ? fail_trust(t, r, failure) : 0;
}

int trust_refresh(const struct conf *conf, int metadata_fd, const struct update_time *time,
		  struct http *http, const char *base, struct medium *medium, struct trust **ret,
		  struct failure *failure)
{
	_cleanup_(trust_freep) struct trust *t = calloc(1, sizeof *t);
	int r;

	if (!t)
		return failure_set_errno(failure, -ENOMEM, "metadata");
	*t = (struct trust){ .conf = conf,
			     .metadata_fd = metadata_fd,
			     .time = time,
			     .http = http,
			     .base = base,
			     .medium = medium,
			     .limits = conf_tuf_limits(conf) };
	t->source = (struct tuf_source){
		.userdata = t, .fetch = source_fetch, .load = source_load, .store = source_store
	};
	if (http)
		http_limit_time(http, conf->metadata_timeout_sec);
	r = run_workflow(t, failure);
	if (r < 0)
		return r;
	r = update_time_store(metadata_fd, time->now_sec);
	if (r < 0)
		return failure_set_errno(failure, r, "metadata");
	*ret = TAKE_PTR(t);
	return 0;
}

struct trust *trust_free(struct trust *t)
{
	if (!t)
		return NULL;
	tuf_client_free(t->client);
	free(t);
	return NULL;
}

/* ---- program files ---- */

void program_file_done(struct program_file *f)
{
	free(f->path);
	free(f->file);
	memset(f, 0, sizeof *f);
}

static bool fits_model(const struct conf *conf, const cJSON *custom)
{
	const cJSON *models, *model;

	if (json_get_array(custom, "model", &models, NULL) < 0 || cJSON_GetArraySize(models) == 0)
		return true;
	cJSON_ArrayForEach (model, models)
		if (conf->model && cJSON_IsString(model) &&
		    strcmp(model->valuestring, conf->model) == 0)
			return true;
	return false;
}

static bool fits_arch(const struct conf *conf, const cJSON *custom)
{
	const char *arch;

	return json_get_string(custom, "arch", &arch, NULL) >= 0 &&
	       (strcmp(arch, conf->arch) == 0 || strcmp(arch, "all") == 0);
}

/* Files and URLs are made of its path, and what is fetched is kept and found again by its SHA-256. */
static bool is_usable(const struct tuf_target *target)
{
	return tuf_path_is_plain(target->path) && target->has_sha256;
}

/* The version that a target is a program file of this kind of; -EBADMSG if it is none. */
static int target_version(const struct tuf_target *target, const char *wanted_kind,
			  struct version *ret)
{
	const char *kind, *program, *version;
	struct version v;

	if (!is_usable(target) || !target->custom ||
	    json_get_string(target->custom, "kind", &kind, NULL) < 0 ||
	    strcmp(kind, wanted_kind) != 0 ||
	    json_get_string(target->custom, "program", &program, NULL) < 0 ||
	    json_get_string(target->custom, "version", &version, NULL) < 0 ||
	    version_parse(version, &v) < 0 || program[0] != v.program || program[1] != '\0')
		return -EBADMSG;
	*ret = v;
	return 0;
}

static void read_segment_sizes(const cJSON *custom, struct program_file *f)
{
	const cJSON *sizes, *size;

	f->n_segment_bytes = 0;
	if (json_get_array(custom, "segment_bytes", &sizes, NULL) < 0)
		return;
	cJSON_ArrayForEach (size, sizes) {
		if (f->n_segment_bytes == TRUST_MAX_SEGMENT_SIZES)
			break;
		if (cJSON_IsNumber(size) && size->valuedouble >= 1 && size->valuedouble <= 1 << 20)
			f->segment_bytes[f->n_segment_bytes++] = (uint32_t)size->valuedouble;
	}
}

static int read_tar(const cJSON *custom, const char *key, uint64_t *ret_bytes,
		    uint8_t ret_sha256[SHA256_BYTES])
{
	const char *sha256;
	const cJSON *tar;

	if (json_get_object(custom, key, &tar, NULL) < 0 ||
	    json_get_u64(tar, "length", INT64_MAX >> 10, ret_bytes, NULL) < 0 ||
	    json_get_string(tar, "sha256", &sha256, NULL) < 0 ||
	    hex_decode(sha256, ret_sha256, SHA256_BYTES) < 0)
		return -EBADMSG;
	return 0;
}

/* What is malformed there is for the installer to refuse. */
static void read_requires(const cJSON *custom, struct program_file *f)
{
	const cJSON *requires, *member;

	if (json_get_object(custom, "requires", &requires, NULL) < 0)
		return;
	cJSON_ArrayForEach (member, requires)
		if (f->n_requires < TRUST_MAX_REQUIRES && cJSON_IsString(member) &&
		    version_parse(member->valuestring, &f->requires[f->n_requires]) == 0)
			f->n_requires++;
}

static int take_program_file(const struct trust *t, const struct tuf_target *target,
			     const struct version *version, struct program_file *ret)
{
	struct program_file f = { .version = *version, .length_bytes = target->length };
	int r;

	memcpy(f.sha256, target->sha256, sizeof f.sha256);
	read_segment_sizes(target->custom, &f);
	read_requires(target->custom, &f);
	/* Without it there is no patch; what else it means is for the installer to say. */
	(void)!read_tar(target->custom, "tar", &f.tar_bytes, f.tar_sha256);
	r = tuf_client_target_file(t->client, target, &f.file);
	if (r >= 0) {
		f.path = strdup(target->path);
		r = f.path ? 0 : -ENOMEM;
	}
	if (r < 0) {
		program_file_done(&f);
		return r;
	}
	*ret = f;
	return 0;
}

int trust_find_target(struct trust *t, const char *path, struct tuf_target *ret,
		      struct failure *failure)
{
	int r;

	t->unreachable = false;
	r = tuf_client_find_target(t->client, path, ret);
	if (r == -ENOENT && !t->unreachable)
		return failure_set(failure, r, REASON_NO_TARGET, "nobody has signed for '%s'",
				   path);
	if (r < 0)
		return fail_trust(t, r, failure);
	if (!is_usable(ret))
		return failure_set(failure, -EBADMSG, REASON_BAD_METADATA,
				   "'%s' has no plain path or no SHA-256", path);
	return 0;
}

int trust_find_program_file(struct trust *t, const char *path, const struct version *version,
			    struct program_file *ret, struct failure *failure)
{
	struct tuf_target target;
	struct version v;
	int r;

	r = trust_find_target(t, path, &target, failure);
	if (r < 0)
		return r;
	if (target_version(&target, "full", &v) < 0)
		return failure_set(failure, -EBADMSG, REASON_BAD_METADATA,
				   "'%s' is not signed as a program file", path);
	if (v.program != version->program)
		return failure_set(failure, -EBADMSG, REASON_WRONG_PROGRAM,
				   "'%s' is signed as a file of program %c", path, v.program);
	if (strcmp(v.text, version->text) != 0)
		return failure_set(failure, -EBADMSG, REASON_NO_TARGET,
				   "'%s' is signed as version %s, not %s", path, v.text,
				   version->text);
	if (!fits_arch(t->conf, target.custom))
		return failure_set(failure, -EBADMSG, REASON_WRONG_ARCH,
				   "'%s' is not for architecture %s", path, t->conf->arch);
	if (!fits_model(t->conf, target.custom))
		return failure_set(failure, -EBADMSG, REASON_WRONG_MODEL,
				   "'%s' is not for model '%s'", path,
				   t->conf->model ? t->conf->model : "");
	r = take_program_file(t, &target, &v, ret);
	return r < 0 ? failure_set_errno(failure, r, "'%s'", path) : 0;
}

/* "B/B2-arm64.tar.xz" → "B/B2-arm64.from-B1.patch"; NULL if it is not called so. */
static int patch_path(const char *full_path, const struct version *from, char **ret)
{
	size_t length = strlen(full_path), ending = strlen(FULL_ENDING);

	if (length <= ending || strcmp(full_path + length - ending, FULL_ENDING) != 0)
		return -ENOENT;
	return asprintf(ret, "%.*s.from-%s.patch", (int)(length - ending), full_path, from->text) <
			       0
		       ? -ENOMEM
		       : 0;
}

static int take_patch(const struct trust *t, const struct tuf_target *target,
		      const struct program_file *full, const struct version *from,
		      struct program_file *ret, struct failure *failure)
{
	struct program_file patch = { .path = NULL };
	struct version version;
	const char *text;
	int r;

	if (target_version(target, "patch", &version) < 0 ||
	    strcmp(version.text, full->version.text) != 0 ||
	    json_get_string(target->custom, "from", &text, NULL) < 0 ||
	    strcmp(text, from->text) != 0 || !fits_arch(t->conf, target->custom) ||
	    !fits_model(t->conf, target->custom))
		return failure_set(failure, -EBADMSG, REASON_BAD_METADATA,
				   "'%s' is not signed as the patch from %s", target->path,
				   from->text);
	r = take_program_file(t, target, &version, &patch);
	if (r < 0)
		return failure_set_errno(failure, r, "'%s'", target->path);
	patch.is_patch = true;
	if (read_tar(target->custom, "base", &patch.base_bytes, patch.base_sha256) < 0 ||
	    patch.tar_bytes == 0 || patch.tar_bytes != full->tar_bytes ||
	    memcmp(patch.tar_sha256, full->tar_sha256, SHA256_BYTES) != 0) {
		program_file_done(&patch);
		return failure_set(failure, -EBADMSG, REASON_BAD_METADATA,
				   "'%s' does not make the tar of the full file", target->path);
	}
	*ret = patch;
	return 0;
}

int trust_find_patch(struct trust *t, const struct program_file *full, const struct version *from,
		     struct program_file *ret, struct failure *failure)
{
	_cleanup_free_ char *path = NULL;
	struct tuf_target target;
	int r;

	r = patch_path(full->path, from, &path);
	if (r < 0)
		return failure_set(failure, r, REASON_NO_TARGET, "no patch belongs to '%s'",
				   full->path);
	r = trust_find_target(t, path, &target, failure);
	return r < 0 ? r : take_patch(t, &target, full, from, ret, failure);
}

struct newest {
	const struct trust *t;
	char program;
	const struct version *wanted;
	bool found;
	struct program_file file;
};

static int consider(const struct tuf_target *target, void *userdata)
{
	struct newest *n = userdata;
	struct version v;
	struct program_file file;
	int r;

	if (target_version(target, "full", &v) < 0 || v.program != n->program ||
	    (n->wanted && strcmp(v.text, n->wanted->text) != 0) ||
	    (n->found && version_compare(&v, &n->file.version) <= 0) ||
	    !fits_arch(n->t->conf, target->custom) || !fits_model(n->t->conf, target->custom))
		return 0;
	r = take_program_file(n->t, target, &v, &file);
	if (r < 0)
		return r;
	program_file_done(&n->file);
	n->file = file;
	n->found = true;
	return 0;
}

int trust_find_newest(struct trust *t, char program, const struct version *version,
		      struct program_file *ret, struct failure *failure)
{
	struct newest n = { .t = t, .program = program, .wanted = version };
	int r;

	t->unreachable = false;
	r = tuf_client_each_target(t->client, consider, &n);
	if (r < 0) {
		program_file_done(&n.file);
		return fail_trust(t, r, failure);
	}
	if (!n.found)
		return failure_set(failure, -ENOENT, REASON_NO_TARGET,
				   "there is no %s for program %c, architecture %s",
				   version ? version->text : "release", program, t->conf->arch);
	*ret = n.file;
	return 0;
}

int trust_fetch_target(struct trust *t, const char *path, size_t max_bytes, char **ret_bytes,
		       size_t *ret_size, struct failure *failure)
{
	_cleanup_free_ char *file = NULL, *full = NULL, *bytes = NULL;
	uint8_t sha256[SHA256_BYTES];
	struct tuf_target target;
	size_t size;
	int r;

	r = trust_find_target(t, path, &target, failure);
	if (r < 0)
		return r;
	if (target.length > max_bytes)
		return failure_set(failure, -EFBIG, REASON_LENGTH, "'%s' is too large", path);
	r = tuf_client_target_file(t->client, &target, &file);
	if (r >= 0 && asprintf(&full, "targets/%s", file) < 0) {
		full = NULL;
		r = -ENOMEM;
	}
	if (r < 0)
		return failure_set_errno(failure, r, "'%s'", path);
	if (t->http)
		http_limit_time(t->http, t->conf->metadata_timeout_sec);
	r = fetch_target_file(t, full, (size_t)target.length, &bytes, &size);
	if (r < 0 && t->unreachable) {
		*failure = t->transport;
		return r;
	}
	if (r < 0 && r != -EFBIG)
		return failure_set(failure, r, REASON_SERVER_ERROR,
				   "the repository does not give '%s': %s", full, strerror(-r));
	if (r == -EFBIG)
		return failure_set(failure, -EBADMSG, REASON_LENGTH,
				   "'%s' has more than the %ju bytes that are signed", path,
				   (uintmax_t)target.length);
	if (size != target.length)
		return failure_set(failure, -EBADMSG, REASON_LENGTH,
				   "'%s' has %zu bytes, %ju are signed", path, size,
				   (uintmax_t)target.length);
	r = digest_sha256(bytes, size, sha256);
	if (r < 0 || memcmp(sha256, target.sha256, sizeof sha256) != 0)
		return failure_set(failure, -EBADMSG, REASON_HASH,
				   "'%s' is not the file that was signed", path);
	*ret_bytes = TAKE_PTR(bytes);
	*ret_size = size;
	return 0;
}
