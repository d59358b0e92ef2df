/* SPDX-License-Identifier: Apache-2.0 */
#include "common/manifest.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "manifest_private.h"

/* What a directory holds, before anything is hashed; mode is st_mode as found. */
struct walk {
	struct manifest *found;
	size_t allocated;
	bool installed; /* nobody but root (or us, in a test) may be able to write */
	char **ret_error;
};

static int refuse_type(struct walk *w, const char *path, mode_t mode)
{
	return manifest_refuse(w->ret_error, -EINVAL, "'%s' is %s", path,
			       S_ISLNK(mode) ? "a symbolic link" : "not a regular file");
}

static int check_owner_and_mode(struct walk *w, const char *path, const struct stat *st)
{
	if (st->st_mode & 07000)
		return manifest_refuse(w->ret_error, -EINVAL, "'%s' has a set-id or sticky bit",
				       path);
	if (!w->installed)
		return 0;
	if (st->st_mode & 0022)
		return manifest_refuse(w->ret_error, -EINVAL, "'%s' is writable by others", path);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return manifest_refuse(w->ret_error, -EINVAL, "'%s' belongs to user %u", path,
				       st->st_uid);
	return 0;
}

static int add_file(struct walk *w, const char *path, const struct stat *st)
{
	struct manifest *m = w->found;
	struct manifest_file *f;

	if (m->n_files == MANIFEST_MAX_FILES)
		return manifest_refuse(w->ret_error, -EINVAL, "more than %u files",
				       MANIFEST_MAX_FILES);
	if (m->n_files == w->allocated) {
		size_t n = w->allocated ? 2 * w->allocated : 64;

		f = reallocarray(m->files, n, sizeof *f);
		if (!f)
			return -ENOMEM;
		m->files = f;
		w->allocated = n;
	}
	f = &m->files[m->n_files];
	*f = (struct manifest_file){ .mode = st->st_mode, .size_bytes = (uint64_t)st->st_size };
	f->path = strdup(path);
	if (!f->path)
		return -ENOMEM;
	m->n_files++;
	return 0;
}

static int walk_directory(struct walk *w, int parent, const char *name, const char *path);

static int visit(struct walk *w, int dirfd, const char *name, const char *path)
{
	struct stat st;
	int r;

	if (!fs_is_safe_path(path))
		return manifest_refuse(w->ret_error, -EINVAL, "'%s': unsafe name", path);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return refuse_type(w, path, st.st_mode);
	r = check_owner_and_mode(w, path, &st);
	if (r < 0)
		return r;
	return S_ISDIR(st.st_mode) ? walk_directory(w, dirfd, name, path) : add_file(w, path, &st);
}

/* path is "" for the root. Safe paths are at most 255 bytes, which bounds the recursion. */
static int walk_directory(struct walk *w, int parent, const char *name, const char *path)
{
	_cleanup_dir_ DIR *d = NULL;
	size_t n_entries = 0;
	const char *entry;
	int r;

	r = fs_open_dir(parent, name, &d);
	if (r < 0)
		return r;
	while ((entry = fs_next_name(d))) {
		char below[512 + 1];

		n_entries++;
		if (!*path && strcmp(entry, MANIFEST_NAME) == 0)
			continue;
		(void)snprintf(below, sizeof below, "%s%s%s", path, *path ? "/" : "", entry);
		r = visit(w, dirfd(d), entry, below);
		if (r < 0)
			return r;
	}
	if (errno != 0)
		return -errno;
	if (*path && n_entries == 0)
		return manifest_refuse(w->ret_error, -EINVAL, "'%s' is an empty directory", path);
	return 0;
}

static int compare_paths(const void *a, const void *b)
{
	const struct manifest_file *fa = a, *fb = b;

	return strcmp(fa->path, fb->path);
}

static int list_tree(int dirfd, bool installed, struct manifest **ret, char **ret_error)
{
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	struct walk w = { .installed = installed, .ret_error = ret_error };
	int r;

	m = calloc(1, sizeof *m);
	if (!m)
		return -ENOMEM;
	w.found = m;
	r = walk_directory(&w, dirfd, ".", "");
	if (r < 0)
		return r;
	if (m->n_files > 0)
		qsort(m->files, m->n_files, sizeof *m->files, compare_paths);
	*ret = TAKE_PTR(m);
	return 0;
}

/* from_disk: do not let the page cache vouch for the disk. */
static int hash_file(int dirfd, const char *path, bool from_disk, uint8_t ret[SHA256_BYTES],
		     uint64_t *ret_size)
{
	_cleanup_close_ int fd = fs_open_regular(dirfd, path, NULL);

	if (fd < 0)
		return fd;
	if (from_disk)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return digest_fd(fd, ret, ret_size);
}

int manifest_from_tree(int dirfd, const struct version *version, const char *arch,
		       struct manifest **ret, char **ret_error)
{
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	int r;

	r = list_tree(dirfd, false, &m, ret_error);
	if (r < 0)
		return r;
	m->version = *version;
	if (strlen(arch) > ARCH_MAX_LENGTH)
		return manifest_refuse(ret_error, -EINVAL, "arch: too long");
	(void)snprintf(m->arch, sizeof m->arch, "%s", arch);
	for (size_t i = 0; i < m->n_files; i++) {
		struct manifest_file *f = &m->files[i];

		f->mode = f->mode & S_IXUSR ? 0755 : 0644;
		r = hash_file(dirfd, f->path, false, f->sha256, &f->size_bytes);
		if (r < 0)
			return manifest_refuse(ret_error, r, "'%s': %s", f->path, strerror(-r));
	}
	r = manifest_validate(m, ret_error);
	if (r < 0)
		return -EINVAL;
	*ret = TAKE_PTR(m);
	return 0;
}

static int check_file(int dirfd, const struct manifest_file *want,
		      const struct manifest_file *found, char **ret_error)
{
	uint8_t sha256[SHA256_BYTES];
	uint64_t size_bytes = 0;
	int r;

	if (!(want->mode & S_IXUSR) != !(found->mode & S_IXUSR))
		return manifest_refuse(ret_error, -EUCLEAN, "'%s' has another mode", want->path);
	if (found->size_bytes != want->size_bytes)
		return manifest_refuse(ret_error, -EUCLEAN, "'%s' has another size", want->path);
	r = hash_file(dirfd, want->path, true, sha256, &size_bytes);
	if (r < 0)
		return manifest_refuse(ret_error, r, "'%s': %s", want->path, strerror(-r));
	if (size_bytes != want->size_bytes || memcmp(sha256, want->sha256, sizeof sha256) != 0)
		return manifest_refuse(ret_error, -EUCLEAN, "'%s' has another content", want->path);
	return 0;
}

static int refuse_missing(const struct manifest_file *want, char **ret_error)
{
	return manifest_refuse(ret_error, -EUCLEAN, "'%s' is missing", want->path);
}

static int refuse_extra(const struct manifest_file *found, char **ret_error)
{
	return manifest_refuse(ret_error, -EUCLEAN, "'%s' is not in the manifest", found->path);
}

static int compare_trees(const struct manifest *m, const struct manifest *found, int dirfd,
			 char **ret_error)
{
	size_t i;

	for (i = 0; i < m->n_files && i < found->n_files; i++) {
		int order = strcmp(m->files[i].path, found->files[i].path);
		int r;

		if (order < 0)
			return refuse_missing(&m->files[i], ret_error);
		if (order > 0)
			return refuse_extra(&found->files[i], ret_error);
		r = check_file(dirfd, &m->files[i], &found->files[i], ret_error);
		if (r < 0)
			return r;
	}
	if (i < m->n_files)
		return refuse_missing(&m->files[i], ret_error);
	if (i < found->n_files)
		return refuse_extra(&found->files[i], ret_error);
	return 0;
}

/* The list itself must lie in the tree as it was signed. */
static int check_manifest_file(const struct manifest *m, int dirfd, struct walk *w)
{
	_cleanup_free_ char *want = NULL, *bytes = NULL;
	_cleanup_close_ int fd = FD_NONE;
	size_t want_size, size;
	struct stat st;
	int r;

	r = manifest_format(m, &want, &want_size);
	if (r < 0)
		return r;
	if (fstatat(dirfd, MANIFEST_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return manifest_refuse(w->ret_error, errno == ENOENT ? -EINVAL : -errno, "'%s': %m",
				       MANIFEST_NAME);
	if (!S_ISREG(st.st_mode))
		return refuse_type(w, MANIFEST_NAME, st.st_mode);
	r = check_owner_and_mode(w, MANIFEST_NAME, &st);
	if (r < 0)
		return r;
	fd = fs_open_beneath(dirfd, MANIFEST_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	r = fs_read_fd(fd, MANIFEST_MAX_BYTES, &bytes, &size);
	if (r < 0 && r != -EFBIG)
		return r;
	if (r == -EFBIG || size != want_size || memcmp(bytes, want, size) != 0)
		return manifest_refuse(w->ret_error, -EINVAL, "'%s' has another content",
				       MANIFEST_NAME);
	return 0;
}

/* A block that the disk does not give back is the damage that is to be expected most. */
static int unclean(int error)
{
	return error == -EINVAL || error == -EIO ? -EUCLEAN : error;
}

static int check_tree(const struct manifest *m, int dirfd, char **ret_error)
{
	_cleanup_(manifest_freep) struct manifest *found = NULL;
	struct walk w = { .installed = true, .ret_error = ret_error };
	int r;

	r = check_manifest_file(m, dirfd, &w);
	if (r < 0)
		return r;
	r = list_tree(dirfd, true, &found, ret_error);
	if (r < 0)
		return r;
	return compare_trees(m, found, dirfd, ret_error);
}

int manifest_check_tree(const struct manifest *m, int dirfd, char **ret_error)
{
	_cleanup_free_ char *error = NULL;
	int r = check_tree(m, dirfd, &error);

	/* A block that is lost stays lost; an accident does not happen twice. */
	if (r == -EIO) {
		free(TAKE_PTR(error));
		r = check_tree(m, dirfd, &error);
	}
	if (ret_error && error)
		*ret_error = TAKE_PTR(error);
	return unclean(r);
}
