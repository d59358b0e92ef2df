/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/choose.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/manifest.h"
#include "common/reltar.h"
#include "updaterd/checkpoint.h"
#include "updaterd/fetch.h"

/* ---- what runs; the agent only reads it ---- */

static int open_running(const struct conf_program *program, const struct version *current)
{
	_cleanup_free_ char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/releases/%s", program->space, current->text) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int damaged(char **ret_error, const char *sentence)
{
	if (ret_error && !*ret_error)
		*ret_error = strdup(sentence);
	return -EUCLEAN;
}

int choose_check_running(const struct conf_program *program, const struct version *current,
			 char **ret_error)
{
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	_cleanup_close_ int fd = open_running(program, current);
	_cleanup_free_ char *bytes = NULL;
	size_t size;
	int r;

	if (fd < 0)
		return fd;
	r = fs_read_file(fd, MANIFEST_NAME, MANIFEST_MAX_BYTES, &bytes, &size);
	if (r >= 0)
		r = manifest_parse(bytes, size, &manifest, NULL);
	if (r == -ENOENT || r == -EBADMSG || r == -EFBIG || r == -EIO)
		return damaged(ret_error, "it has no release.json that can be read");
	if (r < 0)
		return r;
	if (strcmp(manifest->version.text, current->text) != 0)
		return damaged(ret_error, "it is another version by its release.json");
	return manifest_check_tree(manifest, fd, ret_error);
}

static int hash_running(const struct choice *c, uint64_t *ret_bytes, uint8_t ret[SHA256_BYTES])
{
	_cleanup_(reltar_view_closep) struct reltar_view *view = NULL;
	_cleanup_close_ int fd = open_running(c->program, c->current);
	int r;

	if (fd < 0)
		return fd;
	r = reltar_view_open(fd, &view);
	if (r < 0)
		return r;
	*ret_bytes = reltar_view_size(view);
	return reltar_view_sha256(view, ret);
}

/* ---- is it the base? ---- */

static int check_base(const struct choice *c, const struct program_file *patch, struct failure *why)
{
	_cleanup_free_ char *error = NULL;
	uint8_t sha256[SHA256_BYTES];
	uint64_t bytes = 0;
	int r = hash_running(c, &bytes, sha256);

	if (r == 0 && bytes == patch->base_bytes &&
	    memcmp(sha256, patch->base_sha256, sizeof sha256) == 0)
		return 0;
	if (r < 0 && r != -EUCLEAN)
		return failure_set_errno(why, r, "reading %s", c->current->text);
	r = choose_check_running(c->program, c->current, &error);
	if (r == -EUCLEAN)
		return failure_set(why, r, REASON_DAMAGED, "%s is damaged: %s", c->current->text,
				   error ? error : "");
	return failure_set(why, -ESTALE, REASON_BASE_DIFFERS,
			   "%s is here with other bytes than the patch is from", c->current->text);
}

/* ---- is it smaller? ---- */

static int cost(const struct choice *c, const struct program_file *file, uint64_t *ret_bytes)
{
	uint32_t bytes = fetch_choose_segment_bytes(file->segment_bytes, file->n_segment_bytes,
						    c->segment_bytes);
	_cleanup_free_ char *path = NULL;
	struct failure ignored;
	struct tuf_target list;
	int r;

	if (asprintf(&path, "%s.seg%" PRIu32, file->path, bytes) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = trust_find_target(c->trust, path, &list, &ignored);
	if (r < 0 || __builtin_add_overflow(file->length_bytes, list.length, ret_bytes))
		return -ENOENT;
	return 0;
}

static int check_size(const struct choice *c, const struct program_file *full,
		      const struct program_file *patch, struct failure *why)
{
	uint64_t full_bytes, patch_bytes;

	if (cost(c, patch, &patch_bytes) < 0)
		return failure_set(why, -ENOENT, REASON_NO_TARGET, "the patch has no segment list");
	if (cost(c, full, &full_bytes) < 0 || patch_bytes < full_bytes)
		return 0;
	return failure_set(why, -EFBIG, REASON_LENGTH, "the patch is not smaller");
}

static int check_not_begun(const struct choice *c, const struct program_file *full,
			   struct failure *why)
{
	_cleanup_close_ int fd = checkpoint_open_file(c->inbox_fd, full->sha256, "part", O_RDONLY);

	return fd < 0 ? 0
		      : failure_set(why, -EALREADY, REASON_NONE, "a part of it has arrived before");
}

int choose_patch(const struct choice *c, const struct program_file *full, struct program_file *ret,
		 struct failure *why)
{
	struct program_file patch = { .path = NULL };
	struct failure failure;
	int r;

	r = trust_find_patch(c->trust, full, c->current, &patch, &failure);
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		*why = failure;
		return 0;
	}
	r = check_not_begun(c, full, why);
	if (r == 0)
		r = check_size(c, full, &patch, why);
	if (r == 0)
		r = check_base(c, &patch, why);
	if (r < 0) {
		program_file_done(&patch);
		return 0;
	}
	*ret = patch;
	return 1;
}

bool choose_falls_back(int error, enum reason reason)
{
	switch ((int)reason) {
	/* A server that is overloaded or down has no full file either. */
	case REASON_SERVER_ERROR: return error != -EAGAIN;
	case REASON_FILE_CHANGED:
	case REASON_SEGMENT_HASH:
	case REASON_BAD_METADATA:
	case REASON_NO_TARGET:
	case REASON_HASH:
	case REASON_LENGTH:
	case REASON_BASE_DIFFERS:
	case REASON_BAD_PATCH:
	case REASON_DAMAGED: return true;
	default: return false;
	}
}
