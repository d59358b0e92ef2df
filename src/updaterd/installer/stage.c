/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/stage.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "common/xz.h"
#include "delta/apply.h"

static enum reason reason_of_fault(enum reltar_fault fault)
{
	switch (fault) {
	case RELTAR_FAULT_MALFORMED: return REASON_TAR_MALFORMED;
	case RELTAR_FAULT_ESCAPE: return REASON_TAR_ESCAPE;
	case RELTAR_FAULT_LINK: return REASON_TAR_LINK;
	case RELTAR_FAULT_SPECIAL: return REASON_TAR_SPECIAL;
	case RELTAR_FAULT_SETID: return REASON_TAR_SETID;
	case RELTAR_FAULT_TOO_BIG: return REASON_TAR_TOO_BIG;
	case RELTAR_FAULT_CONTENT: return REASON_TAR_CONTENT;
	case RELTAR_OK: break;
	}
	return REASON_TAR_MALFORMED;
}

static int unpack_failure(struct failure *failure, int error, const struct reltar_unpack *unpack)
{
	enum reltar_fault fault = reltar_unpack_fault(unpack);

	if (fault != RELTAR_OK)
		return failure_set(failure, -EBADMSG, reason_of_fault(fault),
				   "the release's tar: %s", reltar_fault_name(fault));
	if (error == -EBADMSG)
		return failure_set(failure, error, REASON_TAR_MALFORMED,
				   "the program file is no sound .xz file");
	if (error == -EFBIG)
		return failure_set(failure, error, REASON_TAR_TOO_BIG,
				   "the tar is longer than was signed");
	return failure_set_errno(failure, error, "unpacking");
}

/* ---- the program file ---- */

/* Reads what was signed and no more, and hashes what it gives. */
struct program_reader {
	struct fd_stream stream;
	struct digest *digest;
	uint64_t length_bytes;
	const struct stage_progress *progress;
};

static ssize_t program_read(void *userdata, void *buffer, size_t size)
{
	struct program_reader *p = userdata;
	uint64_t left = p->length_bytes - p->stream.offset;
	ssize_t n;
	int r;

	if (size > left)
		size = (size_t)left;
	if (size == 0)
		return 0;
	n = fd_stream_read(&p->stream, buffer, size);
	if (n <= 0)
		return n;
	r = digest_update(p->digest, buffer, (size_t)n);
	if (r < 0)
		return r;
	if (p->progress)
		p->progress->report(p->progress->userdata, p->stream.offset, p->length_bytes);
	return n;
}

/* Whoever handed it over may still write to it, and may make it longer than anybody can read. */
static int hash_program_file(int program_fd, uint64_t length_bytes, uint8_t ret[SHA256_BYTES])
{
	_cleanup_(digest_freep) struct digest *digest = NULL;
	struct program_reader reader = { .stream = { .fd = program_fd },
					 .length_bytes = length_bytes };
	char buffer[16384];
	ssize_t n;
	int r;

	r = digest_new(&digest);
	if (r < 0)
		return r;
	reader.digest = digest;
	do
		n = program_read(&reader, buffer, sizeof buffer);
	while (n > 0);
	return n < 0 ? (int)n : digest_final(digest, ret);
}

/* Nothing of it reaches a parser before this passed. */
static int check_program_file(int program_fd, const struct release_target *target,
			      struct failure *failure)
{
	uint8_t sha256[SHA256_BYTES];
	struct stat st;
	int r;

	if (fstat(program_fd, &st) < 0)
		return failure_set_errno(failure, -errno, "the program file");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != target->length_bytes)
		return failure_set(failure, -EBADMSG, REASON_LENGTH,
				   "the program file does not have the length that was signed");
	r = hash_program_file(program_fd, target->length_bytes, sha256);
	if (r < 0)
		return failure_set_errno(failure, r, "reading the program file");
	if (memcmp(sha256, target->sha256, sizeof sha256) != 0)
		return failure_set(failure, -EBADMSG, REASON_HASH,
				   "the program file is not the one that was signed");
	return 0;
}

static int check_program_read(struct program_reader *p, const struct release_target *target,
			      struct failure *failure)
{
	uint8_t sha256[SHA256_BYTES];
	int r;

	r = digest_final(p->digest, sha256);
	if (r < 0)
		return failure_set_errno(failure, r, "hashing the program file");
	if (p->stream.offset != target->length_bytes ||
	    memcmp(sha256, target->sha256, sizeof sha256) != 0)
		return failure_set(failure, -EBADMSG, REASON_HASH,
				   "the program file changed while it was read");
	return 0;
}

/* A program file while it becomes files below the stage. */
struct unpacking {
	const struct release_target *target;
	struct program_reader reader;
	struct digest *digest;
	struct reltar_unpack *unpack;
};

static void unpacking_done(struct unpacking *u)
{
	(void)reltar_unpack_free(u->unpack);
	(void)digest_free(u->digest);
}

static int begin_unpacking(struct unpacking *u, int program_fd, const struct release_target *target,
			   int stage_fd, const struct stage_progress *progress,
			   struct failure *failure)
{
	int r = check_program_file(program_fd, target, failure);

	if (r < 0)
		return r;
	u->target = target;
	r = digest_new(&u->digest);
	if (r == 0)
		r = reltar_unpack_new(stage_fd, target->tar_length_bytes, &u->unpack);
	if (r < 0)
		return failure_set_errno(failure, r, "unpacking");
	u->reader = (struct program_reader){ .stream = { .fd = program_fd },
					     .digest = u->digest,
					     .length_bytes = target->length_bytes,
					     .progress = progress };
	return 0;
}

static int patch_failure(struct failure *failure, int error, const struct unpacking *u)
{
	enum reltar_fault fault = reltar_unpack_fault(u->unpack);

	if (fault != RELTAR_OK)
		return failure_set(failure, -EBADMSG, REASON_BAD_PATCH,
				   "the tar that the patch makes: %s", reltar_fault_name(fault));
	if (error == -EBADMSG || error == -EPROTONOSUPPORT || error == -ESTALE || error == -EFBIG)
		return failure_set(failure, -EBADMSG, REASON_BAD_PATCH,
				   "the program file is no sound patch from %s",
				   u->target->from.text);
	return failure_set_errno(failure, error, "applying the patch");
}

static int making_failure(struct failure *failure, int error, const struct unpacking *u)
{
	return u->target->is_patch ? patch_failure(failure, error, u)
				   : unpack_failure(failure, error, u->unpack);
}

static int finish_unpack(const struct unpacking *u, struct failure *failure)
{
	const struct release_target *target = u->target;
	const struct manifest *manifest;
	uint8_t sha256[SHA256_BYTES];
	uint64_t size;
	int r;

	r = reltar_unpack_finish(u->unpack, sha256, &size, &manifest);
	if (r < 0)
		return making_failure(failure, r, u);
	if (size != target->tar_length_bytes ||
	    memcmp(sha256, target->tar_sha256, sizeof sha256) != 0)
		return failure_set(
			failure, -EBADMSG, target->is_patch ? REASON_BAD_PATCH : REASON_TAR_CONTENT,
			"the tar that the program file gives is not the one that was signed");
	if (strcmp(manifest->version.text, target->version.text) != 0)
		return failure_set(failure, -EBADMSG, REASON_TAR_CONTENT,
				   "release.json is of %s, not of %s", manifest->version.text,
				   target->version.text);
	return 0;
}

static int end_unpacking(struct unpacking *u, struct failure *failure)
{
	int r = check_program_read(&u->reader, u->target, failure);

	return r < 0 ? r : finish_unpack(u, failure);
}

int stage_unpack(int program_fd, const struct release_target *target, int stage_fd,
		 const struct stage_progress *progress, struct failure *failure)
{
	_cleanup_(unpacking_done) struct unpacking u = { .target = NULL };
	int r = begin_unpacking(&u, program_fd, target, stage_fd, progress, failure);

	if (r < 0)
		return r;
	r = xz_decompress(program_read, &u.reader, reltar_unpack_write, u.unpack,
			  target->tar_length_bytes);
	if (r < 0)
		return unpack_failure(failure, r, u.unpack);
	return end_unpacking(&u, failure);
}

/* ---- a patch ---- */

/* It is another one: because it was built so, or because something has changed it since? */
static int base_failure(struct failure *failure, const struct reltar_view *base, int base_fd,
			const struct release_target *target)
{
	_cleanup_free_ char *error = NULL;
	int r = manifest_check_tree(reltar_view_manifest(base), base_fd, &error);

	if (r == -EUCLEAN)
		return failure_set(failure, r, REASON_DAMAGED, "%s is damaged: %s",
				   target->from.text, error ? error : "");
	if (r < 0)
		return failure_set_errno(failure, r, "reading %s", target->from.text);
	return failure_set(failure, -ESTALE, REASON_BASE_DIFFERS,
			   "%s is here with other bytes than the patch is from", target->from.text);
}

static int open_base(const struct release_target *target, int base_fd, struct reltar_view **ret,
		     struct failure *failure)
{
	_cleanup_(reltar_view_closep) struct reltar_view *base = NULL;
	uint8_t sha256[SHA256_BYTES] = { 0 };
	int r;

	r = reltar_view_open(base_fd, &base);
	if (r < 0)
		return failure_set_errno(failure, r, "reading %s", target->from.text);
	if (reltar_view_size(base) == target->base_length_bytes)
		r = reltar_view_sha256(base, sha256);
	else
		r = -EUCLEAN;
	if (r < 0 && r != -EUCLEAN)
		return failure_set_errno(failure, r, "reading %s", target->from.text);
	if (r < 0 || memcmp(sha256, target->base_sha256, sizeof sha256) != 0)
		return base_failure(failure, base, base_fd, target);
	*ret = TAKE_PTR(base);
	return 0;
}

static ssize_t read_base(void *view, void *buffer, size_t size, uint64_t offset)
{
	return reltar_view_pread(view, buffer, size, offset);
}

static int apply_patch(struct unpacking *u, struct reltar_view *base)
{
	_cleanup_(patch_apply_freep) struct patch_apply *p = NULL;
	uint64_t max_bytes = u->target->tar_length_bytes, made_bytes;
	char buffer[16384];
	ssize_t n;
	int r;

	r = patch_apply_new(read_base, base, reltar_view_size(base), reltar_unpack_write, u->unpack,
			    max_bytes, &p);
	if (r < 0)
		return r;
	while ((n = program_read(&u->reader, buffer, sizeof buffer)) > 0) {
		r = patch_apply_write(p, buffer, (size_t)n);
		if (r < 0)
			return r;
	}
	return n < 0 ? (int)n : patch_apply_finish(p, &made_bytes);
}

int stage_patch(int program_fd, const struct release_target *target, int base_fd, int stage_fd,
		const struct stage_progress *progress, struct failure *failure)
{
	_cleanup_(unpacking_done) struct unpacking u = { .target = NULL };
	_cleanup_(reltar_view_closep) struct reltar_view *base = NULL;
	int r;

	r = begin_unpacking(&u, program_fd, target, stage_fd, progress, failure);
	if (r < 0)
		return r;
	r = open_base(target, base_fd, &base, failure);
	if (r < 0)
		return r;
	r = apply_patch(&u, base);
	if (r < 0)
		return patch_failure(failure, r, &u);
	return end_unpacking(&u, failure);
}

/* ---- a backup ---- */

static int restore_failure(struct failure *failure, int error, const struct reltar_unpack *unpack)
{
	if (reltar_unpack_fault(unpack) != RELTAR_OK || error == -EBADMSG || error == -EFBIG)
		return failure_set(failure, -EBADMSG, REASON_DAMAGED, "the backup is damaged");
	return failure_set_errno(failure, error, "unpacking the backup");
}

int stage_restore(int backup_fd, const struct version *version,
		  const uint8_t tar_sha256[SHA256_BYTES], uint64_t max_tar_bytes, int stage_fd,
		  struct failure *failure)
{
	_cleanup_(reltar_unpack_freep) struct reltar_unpack *unpack = NULL;
	struct fd_stream stream = { .fd = backup_fd };
	const struct manifest *manifest;
	uint8_t sha256[SHA256_BYTES];
	uint64_t size;
	int r;

	r = reltar_unpack_new(stage_fd, max_tar_bytes, &unpack);
	if (r < 0)
		return failure_set_errno(failure, r, "unpacking the backup");
	r = xz_decompress(fd_stream_read, &stream, reltar_unpack_write, unpack, max_tar_bytes);
	if (r == 0)
		r = reltar_unpack_finish(unpack, sha256, &size, &manifest);
	if (r == 0 && (memcmp(sha256, tar_sha256, sizeof sha256) != 0 ||
		       strcmp(manifest->version.text, version->text) != 0))
		r = -EBADMSG;
	return r < 0 ? restore_failure(failure, r, unpack) : 0;
}

/* ---- a directory ---- */

static int copy_tar(struct reltar_view *view, struct reltar_unpack *unpack)
{
	struct reltar_reader reader = { .view = view };
	char buffer[16384];

	for (;;) {
		ssize_t n = reltar_reader_read(&reader, buffer, sizeof buffer);
		int r;

		if (n <= 0)
			return (int)n;
		r = reltar_unpack_write(unpack, buffer, (size_t)n);
		if (r < 0)
			return r;
	}
}

int stage_copy(int release_fd, int stage_fd, struct failure *failure)
{
	_cleanup_(reltar_unpack_freep) struct reltar_unpack *unpack = NULL;
	_cleanup_(reltar_view_closep) struct reltar_view *view = NULL;
	const struct manifest *manifest;
	uint8_t sha256[SHA256_BYTES];
	uint64_t size;
	int r;

	r = reltar_view_open(release_fd, &view);
	if (r < 0)
		return failure_set_errno(failure, r, "reading the release to copy");
	r = reltar_unpack_new(stage_fd, reltar_view_size(view), &unpack);
	if (r < 0)
		return failure_set_errno(failure, r, "copying");
	r = copy_tar(view, unpack);
	if (r == 0)
		r = reltar_unpack_finish(unpack, sha256, &size, &manifest);
	return r < 0 ? unpack_failure(failure, r, unpack) : 0;
}

/* ---- the last look ---- */

static int make_directory_readonly(int stage_fd, const char *path)
{
	_cleanup_close_ int fd = fs_open_beneath(stage_fd, path, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return fd;
	if (fchmod(fd, 0555) < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

/* Every directory that a file of the manifest lies in, and the stage itself. */
static int make_readonly(const struct manifest *m, int stage_fd)
{
	for (size_t i = 0; i < m->n_files; i++) {
		_cleanup_free_ char *path = strdup(m->files[i].path);
		char *slash;

		if (!path)
			return -ENOMEM;
		while ((slash = strrchr(path, '/'))) {
			int r;

			*slash = '\0';
			/* Files are sorted, so the file before has often done this one already. */
			if (i > 0 && strncmp(m->files[i - 1].path, path, strlen(path)) == 0 &&
			    m->files[i - 1].path[strlen(path)] == '/')
				break;
			r = make_directory_readonly(stage_fd, path);
			if (r < 0)
				return r;
		}
	}
	return make_directory_readonly(stage_fd, ".");
}

static int check_tar(int stage_fd, const uint8_t *tar_sha256, struct failure *failure)
{
	_cleanup_(reltar_view_closep) struct reltar_view *view = NULL;
	uint8_t sha256[SHA256_BYTES];
	int r;

	r = reltar_view_open(stage_fd, &view);
	if (r == 0)
		r = reltar_view_sha256(view, sha256);
	if (r < 0)
		return failure_set_errno(failure, r, "reading the stage again");
	if (memcmp(sha256, tar_sha256, sizeof sha256) != 0)
		return failure_set(failure, -EUCLEAN, REASON_IO,
				   "what was written does not make the tar that was signed");
	return 0;
}

int stage_check(int stage_fd, const uint8_t *tar_sha256, struct failure *failure)
{
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	_cleanup_free_ char *error = NULL;
	int r;

	r = store_read_manifest(stage_fd, &manifest, &error);
	if (r == 0)
		r = manifest_check_tree(manifest, stage_fd, &error);
	if (r == -EUCLEAN || r == -EBADMSG)
		return failure_set(failure, -EUCLEAN, REASON_IO,
				   "what was written reads differently: %s", error ? error : "");
	if (r < 0)
		return failure_set_errno(failure, r, "reading the stage again");
	if (tar_sha256) {
		r = check_tar(stage_fd, tar_sha256, failure);
		if (r < 0)
			return r;
	}
	r = make_readonly(manifest, stage_fd);
	return r < 0 ? failure_set_errno(failure, r, "making the stage read-only") : 0;
}
