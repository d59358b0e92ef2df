/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/swap.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"

#define CURRENT_NEW  SWAP_CURRENT ".new"
#define PREVIOUS_NEW SWAP_PREVIOUS ".new"
#define TARGET_DIR   "releases/"

struct link_target {
	char text[sizeof TARGET_DIR + VERSION_LENGTH];
};

static struct link_target target_of(const struct version *version)
{
	struct link_target t;

	(void)snprintf(t.text, sizeof t.text, TARGET_DIR "%s", version->text);
	return t;
}

int swap_read(int space_fd, const char *link, struct version *ret)
{
	_cleanup_free_ char *target = NULL;
	struct version version;
	struct stat st;
	int r;

	r = fs_read_link(space_fd, link, &target);
	if (r == -ENOENT || r == -ENOMEM)
		return r;
	if (r < 0 || strncmp(target, TARGET_DIR, strlen(TARGET_DIR)) != 0 ||
	    version_parse(target + strlen(TARGET_DIR), &version) < 0)
		return -EUCLEAN;
	if (fstatat(space_fd, target, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return -EUCLEAN;
	*ret = version;
	return 0;
}

static int unlink_if_there(int space_fd, const char *name)
{
	if (unlinkat(space_fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

static int make_link(int space_fd, const char *name, const struct version *version)
{
	struct link_target target = target_of(version);
	int r;

	r = unlink_if_there(space_fd, name);
	if (r < 0)
		return r;
	return symlinkat(target.text, space_fd, name) < 0 ? -errno : 0;
}

int swap_prepare(int space_fd, const struct version *current, const struct version *previous)
{
	int r;

	r = make_link(space_fd, CURRENT_NEW, current);
	if (r < 0)
		return r;
	if (previous) {
		r = make_link(space_fd, PREVIOUS_NEW, previous);
		if (r < 0)
			return r;
	}
	return syncfs(space_fd) < 0 ? -errno : 0;
}

int swap_previous(int space_fd)
{
	if (renameat(space_fd, PREVIOUS_NEW, space_fd, SWAP_PREVIOUS) < 0)
		return -errno;
	return fsync(space_fd) < 0 ? -errno : 0;
}

int swap_current(int space_fd)
{
	return renameat(space_fd, CURRENT_NEW, space_fd, SWAP_CURRENT) < 0 ? -errno : 0;
}

int swap_settle(int space_fd, const struct version *current)
{
	struct version found;
	int r;

	if (fsync(space_fd) < 0)
		return -errno;
	r = swap_read(space_fd, SWAP_CURRENT, &found);
	if (r < 0)
		return r == -ENOMEM ? r : -EUCLEAN;
	return strcmp(found.text, current->text) == 0 ? 0 : -EUCLEAN;
}

int swap_back(int space_fd, const struct version *current, const struct version *previous)
{
	int r;

	r = swap_prepare(space_fd, current, previous);
	if (r < 0)
		return r;
	r = swap_current(space_fd);
	if (r < 0)
		return r;
	r = swap_settle(space_fd, current);
	if (r < 0)
		return r;
	if (previous)
		return swap_previous(space_fd);
	r = unlink_if_there(space_fd, SWAP_PREVIOUS);
	if (r < 0)
		return r;
	return fsync(space_fd) < 0 ? -errno : 0;
}

int swap_clear(int space_fd)
{
	int r;

	r = unlink_if_there(space_fd, CURRENT_NEW);
	if (r < 0)
		return r;
	return unlink_if_there(space_fd, PREVIOUS_NEW);
}
