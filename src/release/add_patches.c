/* SPDX-License-Identifier: Apache-2.0 */
#include "release/add_patches.h"

#include <fcntl.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "release/patch_file.h"
#include "release/target.h"

/* A release that a patch may start from. */
struct base {
	const char *path; /* borrowed, as all of it */
	struct target_entry target;
	struct full_target full;
};

struct bases {
	struct base base[ADD_MAX_PATCHES];
	size_t n, max;
};

/* ---- which ---- */

/* The newest ones stay, newest first. */
static void keep_base(struct bases *bases, const struct base *base)
{
	size_t i = bases->n;

	while (i > 0 && strcmp(bases->base[i - 1].full.version, base->full.version) < 0)
		i--;
	if (i == bases->max)
		return;
	if (bases->n < bases->max)
		bases->n++;
	memmove(&bases->base[i + 1], &bases->base[i], (bases->n - i - 1) * sizeof *base);
	bases->base[i] = *base;
}

/* Nobody runs what was never published. */
static bool is_published(const cJSON *published, const struct base *base)
{
	struct target_entry entry;

	return target_parse(target_get(published, base->path), &entry) == 0 &&
	       memcmp(entry.sha256, base->target.sha256, SHA256_BYTES) == 0;
}

static void find_bases(const cJSON *document, const cJSON *published,
		       const struct release_id *release, struct bases *ret)
{
	const cJSON *entry;

	if (ret->max == 0)
		return;
	cJSON_ArrayForEach (entry, cJSON_GetObjectItemCaseSensitive(document, "targets")) {
		struct base base = { .path = entry->string };
		struct version version;

		if (target_parse(entry, &base.target) < 0 ||
		    target_parse_full(base.target.custom, &base.full) < 0 ||
		    version_parse(base.full.version, &version) < 0 ||
		    !version_same_program(&version, &release->version) ||
		    version_compare(&version, &release->version) >= 0 ||
		    strcmp(base.full.arch, release->arch) != 0 || !is_published(published, &base))
			continue;
		keep_base(ret, &base);
	}
}

/* ---- their tars ---- */

static int read_base(struct repository *r, const struct base *base, struct patch_tar *ret)
{
	_cleanup_free_ char *file = NULL, *path = NULL;
	_cleanup_close_ int fd = FD_NONE;
	int n = target_file(base->path, base->target.sha256, &file);

	if (n == 0 && asprintf(&path, REPOSITORY_TARGETS "/%s", file) < 0) {
		path = NULL;
		n = -ENOMEM;
	}
	if (n < 0)
		return n;
	fd = fs_open_beneath(repository_fd(r), path, O_RDONLY, 0);
	return fd < 0 ? fd : patch_tar_read(fd, base->full.tar_bytes, base->full.tar_sha256, ret);
}

static int read_new(int dirfd, const struct add_answer *answer, struct patch_tar *ret)
{
	_cleanup_free_ char *file = NULL;
	_cleanup_close_ int fd = FD_NONE;
	int n = target_file(answer->path, answer->sha256, &file);

	if (n < 0)
		return n;
	fd = fs_open_beneath(dirfd, file + strlen("B/"), O_RDONLY, 0);
	return fd < 0 ? fd : patch_tar_read(fd, answer->tar_bytes, answer->tar_sha256, ret);
}

/* ---- what is signed ---- */

/* As that of the full file, with what the patch is from. */
static int build_custom(const cJSON *document, const struct add_answer *answer,
			const struct base *base, cJSON **ret)
{
	const cJSON *full = cJSON_GetObjectItemCaseSensitive(target_get(document, answer->path),
							     "custom");
	_cleanup_json_ cJSON *custom = cJSON_Duplicate(full, true);
	char hex[SHA256_HEX_LENGTH + 1];
	cJSON *object;

	cJSON_DeleteItemFromObjectCaseSensitive(custom, "kind");
	if (!custom || !cJSON_AddStringToObject(custom, "kind", "patch") ||
	    !cJSON_AddStringToObject(custom, "from", base->full.version))
		return -ENOMEM;
	object = cJSON_AddObjectToObject(custom, "base");
	hex_encode(base->full.tar_sha256, SHA256_BYTES, hex);
	if (!object || !json_add_u64(object, "length", base->full.tar_bytes) ||
	    !cJSON_AddStringToObject(object, "sha256", hex))
		return -ENOMEM;
	*ret = TAKE_PTR(custom);
	return 0;
}

/* ---- one patch ---- */

struct making {
	struct repository *r;
	int dirfd;
	const struct add_request *request;
	cJSON *document;
	struct add_answer *answer;
	struct patch_tar tar; /* the new one */
};

static int make_patch(const struct making *m, const struct base *base, struct add_patch *patch,
		      struct made_file *ret)
{
	_cleanup_(patch_tar_done) struct patch_tar old = { .bytes = NULL };
	uint64_t max_bytes = m->answer->bytes * m->request->patch_margin / 100;
	int n = read_base(m->r, base, &old);

	/* What cannot be had is no patch, and what is too large for one is not over the margin. */
	if (n < 0)
		return n == -EFBIG ? -EOVERFLOW : n;
	return patch_file_make(m->dirfd, patch->path + strlen("B/"), &old.view, &m->tar.view,
			       max_bytes, ret);
}

static int put_patch(const struct making *m, const struct base *base, const struct add_patch *patch,
		     const struct made_file *made, struct problem *problem)
{
	cJSON *custom = NULL;

	if (build_custom(m->document, m->answer, base, &custom) < 0 ||
	    target_put(m->document, patch->path, made->bytes, made->sha256, custom) < 0)
		return problem_no_memory(problem);
	return add_segment_lists(m->dirfd, m->request, made, m->document, patch->path, problem);
}

static int add_patch(const struct making *m, const struct base *base, struct problem *problem)
{
	const struct release_id *id = &m->request->id;
	struct add_patch patch = { .error = 0 };
	struct made_file made = { 0 };

	if (version_parse(base->full.version, &patch.from) < 0)
		return problem_set(problem, -EBADMSG, "'%s' is no version", base->full.version);
	target_patch_path(&id->version, id->arch, &patch.from, patch.path);
	patch.error = make_patch(m, base, &patch, &made);
	if (patch.error == -ENOMEM || patch.error == -EIO || patch.error == -ENOSPC)
		return problem_set(problem, patch.error, "cannot make the patch from %s: %s",
				   patch.from.text, strerror(-patch.error));
	patch.bytes = made.bytes;
	memcpy(patch.sha256, made.sha256, SHA256_BYTES);
	m->answer->patches[m->answer->n_patches++] = patch;
	return patch.error < 0 ? 0 : put_patch(m, base, &patch, &made, problem);
}

/* ---- the story ---- */

/* What a base borrows must not move while targets are added. */
static int copy_newest(struct repository *r, const struct add_request *request, cJSON **ret_newest,
		       cJSON **ret_published, struct problem *problem)
{
	const char role[] = { request->id.program, 0 };
	int n = repository_load(r, role, REPOSITORY_PUBLISHED, ret_published, problem);

	return n < 0 ? n : repository_load(r, role, REPOSITORY_NEWEST, ret_newest, problem);
}

int add_patches(struct repository *r, int dirfd, const struct add_request *request, cJSON *document,
		struct add_answer *answer, struct problem *problem)
{
	struct making making = {
		.r = r, .dirfd = dirfd, .request = request, .document = document, .answer = answer
	};
	_cleanup_json_ cJSON *published = NULL;
	_cleanup_json_ cJSON *newest = NULL;
	struct bases bases = { .max = request->patches_from };
	int n = copy_newest(r, request, &newest, &published, problem);

	if (n < 0)
		return n == -ENOENT ? 0 : n;
	find_bases(newest, published, &request->id, &bases);
	if (bases.n == 0)
		return 0;
	n = read_new(dirfd, answer, &making.tar);
	if (n == -EFBIG)
		return 0;
	if (n < 0)
		return problem_set(problem, n, "cannot read '%s' again: %s", answer->path,
				   strerror(-n));
	for (size_t i = 0; n == 0 && i < bases.n; i++)
		n = add_patch(&making, &bases.base[i], problem);
	patch_tar_done(&making.tar);
	return n;
}
