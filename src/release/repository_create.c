/* SPDX-License-Identifier: Apache-2.0 */
/* The empty directories of a new repository. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "release/repository.h"

static const char *const parts[] = { REPOSITORY_KEYS, REPOSITORY_STAGED, REPOSITORY_PUBLIC,
				     REPOSITORY_SETTINGS, REPOSITORY_ROOT };

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

	for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
		int r = fs_mkdir_p(fd, directories[i].path, directories[i].mode);

		if (r < 0)
			return r;
	}
	return settings_write(fd, expiry);
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
