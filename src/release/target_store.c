/* SPDX-License-Identifier: Apache-2.0 */
#include "release/target_store.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "release/repository.h"
#include "release/target.h"
#include "tuf/name.h"

/* "B/<sha256>.B202109010001-amd64.tar.xz" */
static int file_of(const cJSON *entry, uint64_t *ret_length, char **ret)
{
	struct target_entry target;
	int r;

	if (!tuf_path_is_plain(entry->string))
		return -EBADMSG;
	r = target_parse(entry, &target);
	if (r < 0)
		return r;
	*ret_length = target.length;
	return target_file(entry->string, target.sha256, ret);
}

static int stat_target(int fd, const char *directory, const char *file, uint64_t length)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	if (asprintf(&path, "%s/%s", directory, file) < 0)
		return -ENOMEM;
	if (fstatat(fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && (uint64_t)st.st_size == length ? 0 : -EBADMSG;
}

/* 1: it is staged, 0: it is where it belongs already. */
static int find_file(int fd, const cJSON *entry, char **ret, struct problem *problem)
{
	_cleanup_free_ char *file = NULL;
	uint64_t length = 0;
	int r = file_of(entry, &length, &file);

	if (r < 0)
		return problem_set(problem, r, "staged metadata: '%.200s' is no target",
				   entry->string);
	r = stat_target(fd, REPOSITORY_STAGED_TARGETS, file, length);
	if (r == 0)
		r = 1;
	else if (r == -ENOENT)
		r = stat_target(fd, REPOSITORY_TARGETS, file, length);
	if (r == -ENOENT)
		return problem_set(problem, r,
				   "the file of '%s' is neither in '" REPOSITORY_STAGED_TARGETS
				   "/' nor in '" REPOSITORY_TARGETS "/'",
				   entry->string);
	if (r == -EBADMSG)
		return problem_set(problem, r, "the file of '%s' has another length than signed",
				   entry->string);
	if (r < 0)
		return problem_set(problem, r, "cannot publish '%s': %s", file, strerror(-r));
	*ret = TAKE_PTR(file);
	return r;
}

int target_store_check(int repofd, const cJSON *document, struct problem *problem)
{
	const cJSON *entry;

	cJSON_ArrayForEach (entry, cJSON_GetObjectItemCaseSensitive(document, "targets")) {
		_cleanup_free_ char *file = NULL;
		int r = find_file(repofd, entry, &file, problem);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- placing ---- */

/* Below repository/: the directory of a target file. */
static char *directory_of(const char *file)
{
	const char *slash = strrchr(file, '/');
	char *directory;

	if (asprintf(&directory, REPOSITORY_TARGETS "%s%.*s", slash ? "/" : "",
		     slash ? (int)(slash - file) : 0, file) < 0)
		return NULL;
	return directory;
}

static int move_file(int fd, const char *file, const char *directory)
{
	_cleanup_free_ char *from = NULL, *to = NULL;
	int r;

	if (asprintf(&from, REPOSITORY_STAGED_TARGETS "/%s", file) < 0)
		return -ENOMEM;
	if (asprintf(&to, REPOSITORY_TARGETS "/%s", file) < 0)
		return -ENOMEM;
	r = fs_mkdir_p(fd, directory, 0755);
	if (r < 0)
		return r;
	return renameat(fd, from, fd, to) < 0 ? -errno : 0;
}

static int sync_directory(int fd, const char *directory, struct problem *problem)
{
	int r = directory ? fs_fsync_dir(fd, directory) : 0;

	return r < 0 ? problem_set(problem, r, "cannot sync '%s': %s", directory, strerror(-r)) : 0;
}

static int place_file(int fd, const cJSON *entry, char **ret_directory, unsigned *count,
		      struct problem *problem)
{
	_cleanup_free_ char *file = NULL, *directory = NULL;
	int r = find_file(fd, entry, &file, problem);

	if (r < 0)
		return r;
	directory = directory_of(file);
	if (!directory)
		return problem_no_memory(problem);
	if (r == 1) {
		r = move_file(fd, file, directory);
		if (r < 0)
			return problem_set(problem, r, "cannot publish '%s': %s", file,
					   strerror(-r));
		*count += 1;
	}
	*ret_directory = TAKE_PTR(directory);
	return 0;
}

/* Directories are synced also where nothing was moved: that may have been done by a call that could
 * not sync them. */
int target_store_place(int repofd, const cJSON *document, unsigned *count, struct problem *problem)
{
	_cleanup_free_ char *last = NULL;
	const cJSON *entry;
	int r;

	cJSON_ArrayForEach (entry, cJSON_GetObjectItemCaseSensitive(document, "targets")) {
		char *directory = NULL;

		r = place_file(repofd, entry, &directory, count, problem);
		if (r < 0)
			return r;
		r = last && strcmp(last, directory) != 0 ? sync_directory(repofd, last, problem)
							 : 0;
		free(last);
		last = directory;
		if (r < 0)
			return r;
	}
	r = sync_directory(repofd, last, problem);
	return r < 0 ? r : last ? sync_directory(repofd, REPOSITORY_TARGETS, problem) : 0;
}

/* ---- removing ---- */

static bool names_file(const cJSON *document, const char *path, const char *file)
{
	const cJSON *entry = target_get(document, path);
	_cleanup_free_ char *other = NULL;
	uint64_t length;

	return entry && file_of(entry, &length, &other) == 0 && strcmp(other, file) == 0;
}

/* The file of an entry, if no document names it; NULL otherwise, and for what is no file of ours. */
static char *unnamed_file(const cJSON *entry, const cJSON *const *documents, size_t n)
{
	_cleanup_free_ char *file = NULL;
	uint64_t length;

	if (file_of(entry, &length, &file) < 0)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (names_file(documents[i], entry->string, file))
			return NULL;
	return TAKE_PTR(file);
}

int target_store_purge(int repofd, const cJSON *before, const cJSON *const *documents, size_t n,
		       unsigned *count, struct problem *problem)
{
	const cJSON *entry;

	cJSON_ArrayForEach (entry, cJSON_GetObjectItemCaseSensitive(before, "targets")) {
		_cleanup_free_ char *file = unnamed_file(entry, documents, n), *path = NULL;

		if (!file)
			continue;
		if (asprintf(&path, REPOSITORY_TARGETS "/%s", file) < 0)
			return problem_no_memory(problem);
		if (unlinkat(repofd, path, 0) == 0)
			*count += 1;
		else if (errno != ENOENT)
			return problem_set(problem, -errno, "cannot remove '%s': %m", path);
	}
	return 0;
}

void target_store_tell(const cJSON *before, const cJSON *const *documents, size_t n,
		       struct changes *changes)
{
	const cJSON *entry;

	cJSON_ArrayForEach (entry, cJSON_GetObjectItemCaseSensitive(before, "targets")) {
		_cleanup_free_ char *file = unnamed_file(entry, documents, n);

		if (file)
			changes_add(changes,
				    "removes the file targets/%s, which nothing names any more",
				    file);
	}
}
