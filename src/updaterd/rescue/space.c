/* SPDX-License-Identifier: Apache-2.0 */
#include "space.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "common/manifest.h"
#include "updaterd/swap.h"

static int open_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int space_open(const struct program *p)
{
	int r, fd = open_path(p->space);

	if (fd != -ENOENT || !p->factory || faccessat(AT_FDCWD, p->factory, F_OK, 0) < 0)
		return fd;
	r = fs_mkdir_p(AT_FDCWD, p->space, 0755);
	return r < 0 ? r : open_path(p->space);
}

/* We have too little of something; the disk holds what it holds. */
static bool is_shortage(int error)
{
	return error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

static int has_executable(int release_fd)
{
	_cleanup_dir_ DIR *d = NULL;
	const char *name;
	struct stat st;
	int r = fs_open_dir(release_fd, "bin", &d);

	while (r == 0 && (name = fs_next_name(d)))
		if (fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		    (st.st_mode & S_IXUSR) && st.st_size > 0)
			return 1;
	return r;
}

/* What a lost block or a careless hand takes first: release.json, or the executables that it names. It is
 * not parsed: what we do not understand must not be the reason to leave what runs. */
static int is_complete(int release_fd)
{
	static const char bin[] = "\"path\":\"bin/";
	_cleanup_free_ char *bytes = NULL;
	_cleanup_close_ int fd = FD_NONE;
	size_t size;
	int r = release_fd;

	if (r >= 0)
		r = fd = fs_open_regular(release_fd, MANIFEST_NAME, NULL);
	if (r >= 0)
		r = fs_read_fd(fd, MANIFEST_MAX_BYTES, &bytes, &size);
	if (r == 0 && bytes[0] == '{')
		r = memmem(bytes, size, bin, strlen(bin)) ? has_executable(release_fd) : 1;
	return r >= 0 || is_shortage(r) ? r : 0;
}

int space_is_complete(int space_fd, const struct version *version)
{
	char path[sizeof "releases/" + VERSION_LENGTH];
	_cleanup_close_ int fd = FD_NONE;

	(void)snprintf(path, sizeof path, "releases/%s", version->text);
	fd = fs_open_beneath(space_fd, path, O_RDONLY | O_DIRECTORY, 0);
	return is_complete(fd);
}

static int is_factory_complete(const struct program *p)
{
	_cleanup_close_ int fd = p->factory ? open_path(p->factory) : -ENOENT;

	return is_complete(fd);
}

static bool leads_to_factory(int fd, const struct program *p)
{
	_cleanup_free_ char *target = NULL;

	return p->factory && fs_read_link(fd, SWAP_CURRENT, &target) == 0 &&
	       strcmp(target, p->factory) == 0;
}

int space_is_sound(int fd, const struct program *p)
{
	struct version current;
	int r;

	if (leads_to_factory(fd, p))
		return is_factory_complete(p);
	r = swap_read(fd, SWAP_CURRENT, &current);
	if (r < 0)
		return r == -ENOENT || r == -EUCLEAN ? 0 : r;
	return current.program == p->letter ? space_is_complete(fd, &current) : 0;
}

static int judge(int fd, const struct program *p, const struct version *limit,
		 const struct version *version)
{
	if (version->program != p->letter || (limit && version_compare(version, limit) >= 0))
		return 0;
	return space_is_complete(fd, version);
}

static int find_newest(int fd, const struct program *p, const struct version *limit,
		       struct version *ret)
{
	struct version version, best = { .program = '\0' };
	_cleanup_dir_ DIR *d = NULL;
	const char *name;
	int r = fs_open_dir(fd, "releases", &d);

	while (r >= 0 && (name = fs_next_name(d))) {
		if (version_parse(name, &version) < 0 ||
		    (best.program && strcmp(version.text, best.text) <= 0))
			continue;
		r = judge(fd, p, limit, &version);
		if (r > 0)
			best = version;
	}
	if (best.program)
		*ret = best;
	return best.program ? 1 : is_shortage(r) ? r : 0;
}

int space_choose(int fd, const struct program *p, const struct version *limit, struct version *ret)
{
	struct version version;
	int r = swap_read(fd, SWAP_PREVIOUS, &version);

	r = r < 0 ? 0 : judge(fd, p, limit, &version);
	if (r == 0)
		r = find_newest(fd, p, limit, &version);
	if (r == 0 && !leads_to_factory(fd, p)) {
		version.program = '\0';
		r = is_factory_complete(p);
	}
	if (r > 0)
		*ret = version;
	return r;
}

int space_make_way(int fd)
{
	static const char *const names[] = { "current",	     "previous",     "current.new",
					     "previous.new", "current.back", "previous.back" };
	struct stat st;

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		bool is_directory = fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
				    S_ISDIR(st.st_mode);
		int r = is_directory ? fs_remove_tree(fd, names[i]) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}
