/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/verify.h"

#include <fcntl.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"
#include "tuf/client.h"
#include "tuf/name.h"
#include "updaterd/root_chain.h"
#include "updaterd/store.h"
#include "updaterd/update_time.h"

#define TRUST		 "trust"
#define ROOT_NAME	 "root.json"
#define LAST_TRUSTED_SEC "last_trusted_sec"

/* ---- where the metadata is: the agent's directory in, our own out ---- */

struct metadata {
	int agent_fd; /* not trusted */
	int trust_fd;
};

/* The TUF client gives no other names; what is opened and written rests on it, so it is seen to here. */
static bool is_file_name(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* Reads name below dirfd, which may be in the hands of somebody hostile: no link, no FIFO. */
static int read_beneath(int dirfd, const char *name, size_t max_bytes, char **ret_bytes,
			size_t *ret_size)
{
	_cleanup_close_ int fd = FD_NONE;

	if (!is_file_name(name))
		return -EINVAL;
	fd = fs_open_beneath(dirfd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW, 0);
	return fd < 0 ? fd : fs_read_fd(fd, max_bytes, ret_bytes, ret_size);
}

/* "7.snapshot.json" → "snapshot.json"; NULL if there is no version before it. */
static const char *plain_name(const char *name)
{
	size_t digits = strspn(name, "0123456789");

	return digits > 0 && name[digits] == '.' ? name + digits + 1 : NULL;
}

/* The agent keeps all but root by plain name: only the root chain is asked for by number. The plain
 * one comes first, since a role may be called "7.B" and have a copy of its own. */
static int metadata_fetch(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
			  size_t *ret_size)
{
	const struct metadata *m = userdata;
	const char *plain = plain_name(name);
	int r = -ENOENT;

	if (plain && strcmp(plain, ROOT_NAME) != 0)
		r = read_beneath(m->agent_fd, plain, max_bytes, ret_bytes, ret_size);
	if (r == -ENOENT)
		r = read_beneath(m->agent_fd, name, max_bytes, ret_bytes, ret_size);
	return r;
}

static int metadata_load(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
			 size_t *ret_size)
{
	const struct metadata *m = userdata;

	return read_beneath(m->trust_fd, name, max_bytes, ret_bytes, ret_size);
}

static int metadata_store(void *userdata, const char *name, const void *bytes, size_t size)
{
	const struct metadata *m = userdata;

	if (!is_file_name(name))
		return -EINVAL;
	return fs_write_file_atomic(m->trust_fd, name, bytes, size, 0600);
}

struct update_time verify_time(const struct state *s)
{
	_cleanup_close_ int trust_fd = fs_open_beneath(s->dirfd, TRUST, O_RDONLY | O_DIRECTORY, 0);
	const struct tuf_limits limits = conf_tuf_limits(s->conf);
	uint64_t kept_sec = journal_get_u64(s->journal, LAST_TRUSTED_SEC);

	if (trust_fd < 0)
		return update_time_begin(0);
	return update_time_begin(
		update_time_vouched(trust_fd, (int64_t)(kept_sec & INT64_MAX), &limits));
}

static int open_trust(const struct state *s)
{
	int r = fs_mkdir_p(s->dirfd, TRUST, 0700);

	return r < 0 ? r : fs_open_beneath(s->dirfd, TRUST, O_RDONLY | O_DIRECTORY, 0);
}

/* ---- the TUF workflow ---- */

struct session {
	struct metadata metadata;
	struct tuf_source source;
	struct tuf_limits limits;
	struct update_time time;
	struct tuf_client *client;
};

static void session_done(struct session *session)
{
	(void)tuf_client_free(session->client);
	close_fd(&session->metadata.trust_fd);
}

static int start_client(struct session *session, const char *root_file, struct failure *failure)
{
	_cleanup_(root_start_done) struct root_start start = { 0 };
	int r;

	r = root_chain_start(session->metadata.trust_fd, root_file, &session->limits, &start);
	if (r >= 0)
		r = tuf_client_new(start.bytes, start.size, session->time.now_sec, &session->source,
				   &session->limits, &session->client);
	if (r >= 0)
		return 0;
	return failure_set(failure, r, r == -ENOMEM ? REASON_NO_MEMORY : REASON_BAD_METADATA,
			   "no root of trust in '%s': %s", root_file, strerror(-r));
}

static int tuf_failure(struct failure *failure, const struct session *session, int error)
{
	enum reason reason = tuf_client_reason(session->client);

	/* There is no network here: a file that is missing or no file is the agent's doing. */
	if (reason == REASON_NONE || reason == REASON_NETWORK)
		reason = error == -ENOMEM || error == -ENOSPC ? reason_from_errno(error)
							      : REASON_BAD_METADATA;
	(void)failure_set(failure, error, reason, "%s", tuf_client_error(session->client));
	return reason == REASON_EXPIRED ? update_time_explain(&session->time, error, failure)
					: error;
}

/* ---- what the target says of itself ---- */

static int bad_custom(struct failure *failure, const struct json_error *error)
{
	return failure_set(failure, -EBADMSG, REASON_BAD_METADATA, "custom: %s%s%s", error->field,
			   *error->field ? ": " : "", error->text);
}

static int parse_tar(const cJSON *custom, const char *key, uint64_t *ret_length_bytes,
		     uint8_t ret_sha256[SHA256_BYTES], struct json_error *error)
{
	const cJSON *tar;
	const char *sha256;
	int r;

	r = json_get_object(custom, key, &tar, error);
	if (r < 0)
		return r;
	r = json_get_u64(tar, "length", INT64_MAX >> 10, ret_length_bytes, error);
	if (r == 0)
		r = json_get_string(tar, "sha256", &sha256, error);
	if (r == 0) {
		r = hex_decode(sha256, ret_sha256, SHA256_BYTES);
		if (r < 0)
			*error = (struct json_error){ "sha256", "not 64 hex digits" };
	}
	if (r < 0)
		json_error_prefix(error, key);
	return r;
}

static int parse_base(const cJSON *custom, struct release_target *t, struct json_error *error)
{
	const char *from;
	int r;

	if (!t->is_patch)
		return 0;
	r = json_get_string(custom, "from", &from, error);
	if (r == 0 &&
	    (version_parse(from, &t->from) < 0 || !version_same_program(&t->from, &t->version))) {
		*error = (struct json_error){ "from", "not a version of the program" };
		r = -EBADMSG;
	}
	if (r < 0)
		return r;
	return parse_tar(custom, "base", &t->base_length_bytes, t->base_sha256, error);
}

static int parse_requires(const cJSON *custom, struct release_target *t, struct json_error *error)
{
	const cJSON *requires, *member;
	int r;

	r = json_get_object(custom, "requires", &requires, error);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	cJSON_ArrayForEach (member, requires) {
		struct version version;

		if (t->n_requires == VERIFY_MAX_REQUIRES || !cJSON_IsString(member) ||
		    version_parse(member->valuestring, &version) < 0 ||
		    strlen(member->string) != 1 || member->string[0] != version.program) {
			*error = (struct json_error){ "requires", "not a version of each program" };
			return -EBADMSG;
		}
		t->requires[t->n_requires++] = version;
	}
	return 0;
}

static int check_model(const cJSON *custom, const char *ours, struct failure *failure)
{
	struct json_error error = { 0 };
	const cJSON *models, *model;
	int r;

	r = json_get_array(custom, "model", &models, &error);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return bad_custom(failure, &error);
	cJSON_ArrayForEach (model, models) {
		if (!cJSON_IsString(model))
			return failure_set(failure, -EBADMSG, REASON_BAD_METADATA,
					   "custom: model: not an array of strings");
		if (ours && strcmp(model->valuestring, ours) == 0)
			return 0;
	}
	if (cJSON_GetArraySize(models) == 0)
		return 0;
	return failure_set(failure, -EPERM, REASON_WRONG_MODEL, "the release is not for model '%s'",
			   ours ? ours : "");
}

static int check_kind_and_arch(const cJSON *custom, const struct conf *conf, bool *ret_is_patch,
			       struct failure *failure)
{
	struct json_error error = { 0 };
	const char *kind, *arch;

	if (json_get_string(custom, "kind", &kind, &error) < 0 ||
	    json_get_string(custom, "arch", &arch, &error) < 0)
		return bad_custom(failure, &error);
	*ret_is_patch = strcmp(kind, "patch") == 0;
	if (strcmp(kind, "full") != 0 && !*ret_is_patch)
		return failure_set(failure, -EBADMSG, REASON_BAD_METADATA,
				   "custom: kind '%s' is not a program file", kind);
	if (strcmp(arch, conf->arch) != 0 && strcmp(arch, "all") != 0)
		return failure_set(failure, -EPERM, REASON_WRONG_ARCH,
				   "the release is for '%s', this gateway is '%s'", arch,
				   conf->arch);
	return 0;
}

/* The letter must be the same everywhere: path, role, program and version; so the team that signs one
 * program cannot sign for another. */
static int check_program(const cJSON *custom, const struct tuf_target *target,
			 const struct conf *conf, struct version *ret, struct failure *failure)
{
	struct json_error error = { 0 };
	const char *program, *version;
	const char letter[2] = { target->path[0], '\0' };

	if (json_get_string(custom, "program", &program, &error) < 0 ||
	    json_get_string(custom, "version", &version, &error) < 0)
		return bad_custom(failure, &error);
	if (!tuf_path_is_plain(target->path))
		return failure_set(failure, -EBADMSG, REASON_BAD_METADATA,
				   "the target's path is not plain and relative");
	if (version_parse(version, ret) < 0)
		return failure_set(failure, -EBADMSG, REASON_BAD_METADATA,
				   "custom: version: '%s' is none", version);
	if (strcmp(program, letter) != 0 || ret->program != letter[0] || target->path[1] != '/' ||
	    !conf_program(conf, letter[0]))
		return failure_set(failure, -EPERM, REASON_WRONG_PROGRAM,
				   "'%s' is %s of program '%s'", target->path, version, program);
	if (strcmp(target->role, letter) != 0 && strcmp(target->role, "targets") != 0)
		return failure_set(failure, -EPERM, REASON_NO_TARGET, "'%s' is signed by role '%s'",
				   target->path, target->role);
	return 0;
}

static int check_lengths(const struct release_target *t, const struct conf *conf,
			 struct failure *failure)
{
	if (t->length_bytes > conf->max_program_bytes ||
	    t->tar_length_bytes > conf->max_program_bytes ||
	    t->base_length_bytes > conf->max_program_bytes)
		return failure_set(failure, -EFBIG, REASON_TAR_TOO_BIG,
				   "%s is larger than max_program_bytes", t->version.text);
	return 0;
}

static int parse_target(const struct tuf_target *target, const struct conf *conf,
			struct release_target *ret, struct failure *failure)
{
	struct release_target t = { .length_bytes = target->length };
	struct json_error error = { 0 };
	int r;

	if (!target->custom)
		return failure_set(failure, -EBADMSG, REASON_BAD_METADATA,
				   "'%s' has no custom part", target->path);
	if (!target->has_sha256)
		return failure_set(failure, -EBADMSG, REASON_BAD_METADATA, "'%s' has no SHA-256",
				   target->path);
	memcpy(t.sha256, target->sha256, sizeof t.sha256);
	r = check_program(target->custom, target, conf, &t.version, failure);
	if (r < 0)
		return r;
	r = check_kind_and_arch(target->custom, conf, &t.is_patch, failure);
	if (r < 0)
		return r;
	r = check_model(target->custom, conf->model, failure);
	if (r < 0)
		return r;
	r = parse_tar(target->custom, "tar", &t.tar_length_bytes, t.tar_sha256, &error);
	if (r == 0)
		r = parse_base(target->custom, &t, &error);
	if (r == 0)
		r = parse_requires(target->custom, &t, &error);
	if (r < 0)
		return bad_custom(failure, &error);
	r = check_lengths(&t, conf, failure);
	if (r < 0)
		return r;
	*ret = t;
	return 0;
}

static int refresh(struct state *s, struct session *session, struct failure *failure)
{
	int r;

	session->metadata.trust_fd = open_trust(s);
	if (session->metadata.trust_fd < 0)
		return failure_set_errno(failure, session->metadata.trust_fd, "cannot open '%s'",
					 TRUST);
	session->source = (struct tuf_source){ .userdata = &session->metadata,
					       .fetch = metadata_fetch,
					       .load = metadata_load,
					       .store = metadata_store };
	session->limits = conf_tuf_limits(s->conf);
	session->time = verify_time(s);
	r = start_client(session, s->conf->root_file, failure);
	if (r < 0)
		return r;
	r = tuf_client_refresh(session->client);
	if (r < 0)
		return tuf_failure(failure, session, r);
	r = journal_set_u64(s->journal, LAST_TRUSTED_SEC, (uint64_t)session->time.now_sec);
	return r < 0 ? failure_set_errno(failure, r, "journal") : 0;
}

int verify_target(struct state *s, int metadata_fd, const char *target_path,
		  struct release_target *ret, struct failure *failure)
{
	_cleanup_(session_done) struct session session = { .metadata = { .agent_fd = metadata_fd,
									 .trust_fd = FD_NONE } };
	struct tuf_target target;
	int r;

	r = refresh(s, &session, failure);
	if (r < 0)
		return r;
	r = tuf_client_find_target(session.client, target_path, &target);
	if (r == -ENOENT)
		return failure_set(failure, r, REASON_NO_TARGET, "nobody signs for '%s'",
				   target_path);
	if (r < 0)
		return tuf_failure(failure, &session, r);
	return parse_target(&target, s->conf, ret, failure);
}

/* ---- policy ---- */

static int admit_requires(const struct state *s, const struct release_target *t,
			  struct failure *failure)
{
	for (size_t i = 0; i < t->n_requires; i++) {
		const struct version *needed = &t->requires[i];
		struct version runs;

		if (state_current(s->conf, needed->program, &runs) < 0 ||
		    version_compare(&runs, needed) < 0)
			return failure_set(failure, -EPERM, REASON_REQUIRES,
					   "%s needs %s or newer of program %c", t->version.text,
					   needed->text, needed->program);
	}
	return 0;
}

/* Reads all of the release that runs. 1 or 0. */
static int is_damaged(const struct state *s, const struct version *version)
{
	const struct conf_program *program = conf_program(s->conf, version->program);
	_cleanup_(store_closep) struct store *store = NULL;
	int r;

	if (!program)
		return 0;
	r = store_open(program->space, &store);
	if (r == 0)
		r = store_check_release(store, version, NULL);
	return r == -EUCLEAN ? 1 : r;
}

static int admit_base(const struct release_target *t, const struct version *current,
		      struct failure *failure)
{
	if (!t->is_patch || strcmp(t->from.text, current->text) == 0)
		return 0;
	return failure_set(failure, -ESTALE, REASON_BASE_DIFFERS, "the patch is from %s, %s runs",
			   t->from.text, current->text);
}

int verify_admit(const struct state *s, const struct release_target *target,
		 struct failure *failure)
{
	const struct version *version = &target->version;
	struct version current, floor;
	int r;

	r = state_current(s->conf, version->program, &current);
	if (r < 0)
		return failure_set(failure, r, r == -ENOMEM ? REASON_NO_MEMORY : REASON_DAMAGED,
				   "program %c has no current release", version->program);
	/* The same bytes again lead nowhere back: neither the floor nor a quarantine is in the way. */
	if (version_compare(version, &current) == 0 && !target->is_patch) {
		r = is_damaged(s, version);
		if (r != 0)
			return r > 0 ? 1
				     : failure_set_errno(failure, r, "reading %s", version->text);
	}
	if (version_compare(version, &current) <= 0)
		return failure_set(failure, -ESTALE, REASON_OLDER_VERSION,
				   "%s is not newer than %s, which runs", version->text,
				   current.text);
	if (state_floor(s, version->program, &floor) == 0 && version_compare(version, &floor) < 0)
		return failure_set(failure, -ESTALE, REASON_OLDER_VERSION,
				   "%s is older than %s, which was confirmed here", version->text,
				   floor.text);
	if (state_is_quarantined(s, version))
		return failure_set(failure, -EPERM, REASON_QUARANTINED, "%s is quarantined",
				   version->text);
	r = admit_base(target, &current, failure);
	return r < 0 ? r : admit_requires(s, target, failure);
}
