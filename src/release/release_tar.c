/* SPDX-License-Identifier: Apache-2.0 */
#include "release/release_tar.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/reltar.h"

#define SCRATCH_NAME ".tree"
#define COPY_BYTES   (256u << 10)

struct release_tar {
	uint64_t bytes;
	uint8_t sha256[SHA256_BYTES];
	/* one of the two */
	struct reltar_reader reader;
	struct fd_stream file;
	int scratch_dirfd; /* where the copy of the tree is; FD_NONE if there is none */
};

static struct release_tar *tar_new(void)
{
	struct release_tar *t = calloc(1, sizeof *t);

	if (t) {
		t->file.fd = FD_NONE;
		t->scratch_dirfd = FD_NONE;
	}
	return t;
}

struct release_tar *release_tar_close(struct release_tar *t)
{
	if (!t)
		return NULL;
	reltar_view_close(t->reader.view);
	close_fd(&t->file.fd);
	if (t->scratch_dirfd >= 0) {
		int r = fs_remove_tree(t->scratch_dirfd, SCRATCH_NAME);

		if (r < 0)
			log_debug("cannot remove the scratch copy: %s", strerror(-r));
	}
	close_fd(&t->scratch_dirfd);
	free(t);
	return NULL;
}

uint64_t release_tar_bytes(const struct release_tar *t)
{
	return t->bytes;
}

const uint8_t *release_tar_sha256(const struct release_tar *t)
{
	return t->sha256;
}

ssize_t release_tar_read(void *release_tar, void *buffer, size_t size)
{
	struct release_tar *t = release_tar;

	if (t->reader.view)
		return reltar_reader_read(&t->reader, buffer, size);
	return fd_stream_read(&t->file, buffer, size);
}

/* ---- from a directory ---- */

static int copy_bytes(int from, int to)
{
	_cleanup_free_ char *buffer = malloc(COPY_BYTES);
	ssize_t n;

	if (!buffer)
		return -ENOMEM;
	while ((n = read(from, buffer, COPY_BYTES)) > 0) {
		int r = fs_write_all(to, buffer, (size_t)n);

		if (r < 0)
			return r;
	}
	return n < 0 ? -errno : 0;
}

static int copy_file(int from_dirfd, int to_dirfd, const struct manifest_file *file)
{
	_cleanup_close_ int from = fs_open_beneath(from_dirfd, file->path, O_RDONLY, 0);
	_cleanup_close_ int to = FD_NONE;
	const char *slash = strrchr(file->path, '/');
	int r;

	if (from < 0)
		return from;
	if (slash) {
		_cleanup_free_ char *parent = strndup(file->path, (size_t)(slash - file->path));

		if (!parent)
			return -ENOMEM;
		r = fs_mkdir_p(to_dirfd, parent, 0755);
		if (r < 0)
			return r;
	}
	to = fs_open_beneath(to_dirfd, file->path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (to < 0)
		return to;
	r = copy_bytes(from, to);
	if (r < 0)
		return r;
	if (fchmod(to, file->mode) < 0)
		return -errno;
	return close(TAKE_FD(to)) < 0 ? -errno : 0;
}

static int copy_tree(const struct manifest *m, int from_dirfd, int to_dirfd,
		     struct problem *problem)
{
	for (size_t i = 0; i < m->n_files; i++) {
		int r = copy_file(from_dirfd, to_dirfd, &m->files[i]);

		if (r < 0)
			return problem_set(problem, r, "cannot copy '%s': %s", m->files[i].path,
					   strerror(-r));
	}
	return 0;
}

static int describe_tree(int dirfd, const struct version *version, const char *arch,
			 struct manifest **ret, struct problem *problem)
{
	_cleanup_free_ char *error = NULL;
	int r = manifest_from_tree(dirfd, version, arch, ret, &error);

	if (r < 0)
		return problem_set(problem, r, "cannot make a release of this directory: %s",
				   error ? error : strerror(-r));
	return 0;
}

/* release.json of the tree, into its root. */
static int write_manifest(const struct manifest *m, int dirfd, struct problem *problem)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size;
	int r = manifest_format(m, &bytes, &size);

	if (r == 0)
		r = fs_write_file_atomic(dirfd, MANIFEST_NAME, bytes, size, 0644);
	return r < 0 ? problem_set(problem, r, "cannot write " MANIFEST_NAME ": %s", strerror(-r))
		     : 0;
}

static int open_scratch(int dirfd, int *ret, struct problem *problem)
{
	int fd = FD_NONE;
	int r = fs_remove_tree(dirfd, SCRATCH_NAME);

	if (r == 0)
		r = fs_mkdir_p(dirfd, SCRATCH_NAME, 0700);
	if (r == 0)
		fd = r = fs_open_beneath(dirfd, SCRATCH_NAME, O_RDONLY | O_DIRECTORY, 0);
	if (r < 0)
		return problem_set(problem, r, "cannot make a scratch directory: %s", strerror(-r));
	*ret = fd;
	return 0;
}

/* Copies what the tree holds and describes the copy, which nobody else changes. */
static int copy_and_describe(int tree, int scratch, const struct version *version, const char *arch,
			     struct problem *problem)
{
	_cleanup_(manifest_freep) struct manifest *original = NULL;
	_cleanup_(manifest_freep) struct manifest *copy = NULL;
	int r;

	r = describe_tree(tree, version, arch, &original, problem);
	if (r < 0)
		return r;
	if (original->n_files == 0)
		return problem_set(problem, -EINVAL, "the directory holds no file");
	r = copy_tree(original, tree, scratch, problem);
	if (r < 0)
		return r;
	r = describe_tree(scratch, version, arch, &copy, problem);
	if (r < 0)
		return r;
	return write_manifest(copy, scratch, problem);
}

int release_tar_from_tree(int dirfd, const char *path, const struct version *version,
			  const char *arch, struct release_tar **ret, struct problem *problem)
{
	_cleanup_(release_tar_closep) struct release_tar *t = tar_new();
	_cleanup_close_ int tree = FD_NONE, scratch = FD_NONE;
	int r;

	if (!t)
		return problem_no_memory(problem);
	tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tree < 0)
		return problem_set(problem, -errno, "cannot open the directory '%s': %m", path);
	t->scratch_dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	if (t->scratch_dirfd < 0)
		return problem_set(problem, -errno, "cannot duplicate a descriptor: %m");
	r = open_scratch(dirfd, &scratch, problem);
	if (r < 0)
		return r;
	r = copy_and_describe(tree, scratch, version, arch, problem);
	if (r < 0)
		return r;
	r = reltar_view_open(scratch, &t->reader.view);
	if (r == 0)
		r = reltar_view_sha256(t->reader.view, t->sha256);
	if (r < 0)
		return problem_set(problem, r, "cannot make the tar of '%s': %s", path,
				   strerror(-r));
	t->bytes = reltar_view_size(t->reader.view);
	*ret = TAKE_PTR(t);
	return 0;
}

/* ---- from a file ---- */

int release_tar_from_file(const char *path, struct release_tar **ret, struct problem *problem)
{
	_cleanup_(release_tar_closep) struct release_tar *t = tar_new();
	struct stat st;
	int r;

	if (!t)
		return problem_no_memory(problem);
	t->file.fd = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
	if (t->file.fd < 0 || fstat(t->file.fd, &st) < 0)
		return problem_set(problem, -errno, "cannot open '%s': %m", path);
	if (!S_ISREG(st.st_mode))
		return problem_set(problem, -EINVAL, "'%s' is no regular file", path);
	r = digest_fd(t->file.fd, t->sha256, &t->bytes);
	if (r < 0)
		return problem_set(problem, r, "cannot read '%s': %s", path, strerror(-r));
	*ret = TAKE_PTR(t);
	return 0;
}
