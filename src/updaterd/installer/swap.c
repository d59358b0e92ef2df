/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/swap.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"

#define CURRENT_NEW   SWAP_CURRENT ".new"
#define CURRENT_BACK  SWAP_CURRENT ".back"
#define PREVIOUS_NEW  SWAP_PREVIOUS ".new"
#define PREVIOUS_BACK SWAP_PREVIOUS ".back"
#define TARGET_DIR    "releases/"

struct link_target {
	char text[sizeof TARGET_DIR + VERSION_LENGTH];
};

static struct link_target target_of(const struct version *version)
{
	struct link_target t;

	(void)snprintf(t.text, sizeof t.text, TARGET_DIR "%s", version->text);
	return t;
}

int swap_read_text(int space_fd, const char *link, struct version *ret)
{
	_cleanup_free_ char *target = NULL;
	int r;

	r = fs_read_link(space_fd, link, &target);
	if (r == -EINVAL || r == -ENAMETOOLONG)
		return -EUCLEAN;
	if (r < 0)
		return r;
	if (strncmp(target, TARGET_DIR, strlen(TARGET_DIR)) != 0 ||
	    version_parse(target + strlen(TARGET_DIR), ret) < 0)
		return -EUCLEAN;
	return 0;
}

static int read_link(int space_fd, const char *link, struct version *ret)
{
	struct link_target target;
	struct version version;
	struct stat st;
	int r;

	r = swap_read_text(space_fd, link, &version);
	if (r < 0)
		return r;
	target = target_of(&version);
	if (fstatat(space_fd, target.text, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || errno == ENOTDIR ? -EUCLEAN : -errno;
	if (!S_ISDIR(st.st_mode))
		return -EUCLEAN;
	*ret = version;
	return 0;
}

int swap_read(int space_fd, const char *link, struct version *ret)
{
	int r = read_link(space_fd, link, ret);

	return r == -EIO ? read_link(space_fd, link, ret) : r;
}

/* 1 if a link leads to this version, 0 if it does not. */
static int leads_to(int space_fd, const char *link, const struct version *version)
{
	struct version found;
	int r = swap_read_text(space_fd, link, &found);

	if (r < 0)
		return r == -ENOENT || r == -EUCLEAN ? 0 : r;
	return strcmp(found.text, version->text) == 0;
}

/* ---- the way forth ---- */

static int unlink_if_there(int space_fd, const char *name)
{
	if (unlinkat(space_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	return errno == EISDIR ? fs_remove_tree(space_fd, name) : -errno;
}

/* Nothing can be renamed onto a directory, whoever has put that in the place of a link. */
static int rename_link(int space_fd, const char *from, const char *to)
{
	int r;

	if (renameat(space_fd, from, space_fd, to) == 0)
		return 0;
	r = errno == EISDIR ? fs_remove_tree(space_fd, to) : -errno;
	if (r == 0 && renameat(space_fd, from, space_fd, to) < 0)
		r = -errno;
	return r;
}

static int make_link(int space_fd, const char *name, const struct version *version)
{
	struct link_target target;
	int r;

	r = unlink_if_there(space_fd, name);
	if (r < 0)
		return r;
	target = target_of(version);
	return symlinkat(target.text, space_fd, name) < 0 ? -errno : 0;
}

int swap_prepare(int space_fd, const struct version *to, const struct version *from,
		 const struct version *before)
{
	const struct {
		const char *name;
		const struct version *version;
	} links[] = {
		{ CURRENT_BACK, from },
		{ PREVIOUS_BACK, before },
		{ PREVIOUS_NEW, from },
		{ CURRENT_NEW, to },
	};

	for (size_t i = 0; i < ELEMENTSOF(links); i++) {
		const struct version *version = links[i].version;
		int r = version ? make_link(space_fd, links[i].name, version)
				: unlink_if_there(space_fd, links[i].name);

		if (r < 0)
			return r;
	}
	return syncfs(space_fd) < 0 ? -errno : 0;
}

static int rename_durably(int space_fd, const char *from, const char *to)
{
	int r = rename_link(space_fd, from, to);

	if (r < 0)
		return r;
	return fsync(space_fd) < 0 ? -errno : 0;
}

int swap_previous(int space_fd)
{
	return rename_durably(space_fd, PREVIOUS_NEW, SWAP_PREVIOUS);
}

int swap_current(int space_fd)
{
	return rename_link(space_fd, CURRENT_NEW, SWAP_CURRENT);
}

int swap_settle(int space_fd, const struct version *current)
{
	struct version found;
	int r;

	if (fsync(space_fd) < 0)
		return -errno;
	r = swap_read(space_fd, SWAP_CURRENT, &found);
	if (r < 0)
		return r == -ENOENT ? -EUCLEAN : r;
	return strcmp(found.text, current->text) == 0 ? 0 : -EUCLEAN;
}

int swap_point_at(int space_fd, const char *target)
{
	_cleanup_free_ char *found = NULL;
	int r;

	r = unlink_if_there(space_fd, CURRENT_NEW);
	if (r < 0)
		return r;
	if (symlinkat(target, space_fd, CURRENT_NEW) < 0 || syncfs(space_fd) < 0)
		return -errno;
	r = swap_current(space_fd);
	if (r < 0)
		return r;
	if (fsync(space_fd) < 0)
		return -errno;
	r = fs_read_link(space_fd, SWAP_CURRENT, &found);
	if (r < 0)
		return r == -ENOENT ? -EUCLEAN : r;
	return strcmp(found, target) == 0 ? 0 : -EUCLEAN;
}

int swap_point(int space_fd, const struct version *current)
{
	struct link_target target = target_of(current);
	struct version found;
	int r;

	r = swap_point_at(space_fd, target.text);
	if (r < 0)
		return r;
	r = swap_read(space_fd, SWAP_CURRENT, &found);
	return r == -ENOENT ? -EUCLEAN : r;
}

/* ---- the way back ---- */

/* 1 if link has to be renamed to lead to version again; its .back link is there then. *are_durable is
 * cleared if that had to be made. */
static int prepare_back(int space_fd, const char *link, const char *back,
			const struct version *version, bool *are_durable)
{
	int r;

	r = leads_to(space_fd, link, version);
	if (r != 0)
		return r < 0 ? r : 0;
	r = leads_to(space_fd, back, version);
	if (r < 0)
		return r;
	if (r == 0) {
		*are_durable = false;
		r = make_link(space_fd, back, version);
	}
	return r < 0 ? r : 1;
}

static int drop_previous(int space_fd)
{
	int r = unlink_if_there(space_fd, SWAP_PREVIOUS);

	if (r < 0)
		return r;
	return fsync(space_fd) < 0 ? -errno : 0;
}

static int put_back(int space_fd, const struct version *current, const struct version *previous,
		    bool are_durable)
{
	int r, moves_current, moves_previous = 0;

	r = moves_current = prepare_back(space_fd, SWAP_CURRENT, CURRENT_BACK, current,
					 &are_durable);
	if (r >= 0 && previous)
		r = moves_previous = prepare_back(space_fd, SWAP_PREVIOUS, PREVIOUS_BACK, previous,
						  &are_durable);
	if (r < 0)
		return r;
	if (!are_durable && (moves_current || moves_previous) && syncfs(space_fd) < 0)
		return -errno;
	r = moves_current ? rename_link(space_fd, CURRENT_BACK, SWAP_CURRENT) : 0;
	if (r == 0)
		r = swap_settle(space_fd, current);
	if (r < 0)
		return r;
	if (!previous)
		return drop_previous(space_fd);
	return moves_previous ? rename_durably(space_fd, PREVIOUS_BACK, SWAP_PREVIOUS) : 0;
}

/* Only if that is certain: a link to what is not there is nothing worse than no link. */
static bool is_gone(int space_fd, const struct version *version)
{
	struct link_target target = target_of(version);

	return faccessat(space_fd, target.text, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

int swap_undo(int space_fd, const struct version *current, const struct version *previous)
{
	return put_back(space_fd, current, previous, true);
}

int swap_back(int space_fd, const struct version *current, const struct version *previous)
{
	return put_back(space_fd, current,
			previous && is_gone(space_fd, previous) ? NULL : previous, false);
}

int swap_clear(int space_fd)
{
	static const char *const left_over[] = { CURRENT_NEW, PREVIOUS_NEW, CURRENT_BACK,
						 PREVIOUS_BACK };

	for (size_t i = 0; i < ELEMENTSOF(left_over); i++) {
		int r = unlink_if_there(space_fd, left_over[i]);

		if (r < 0)
			return r;
	}
	return 0;
}
