/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/store.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/fsutil.h"
#include "updaterd/swap.h"

#define RELEASES       "releases"
#define BACKUPS	       "backups"
#define STAGE_PREFIX   ".stage-"
#define DROP_PREFIX    ".drop-"
#define NEW_PREFIX     ".new-"
#define BACKUP_SUFFIX  ".tar.xz"
#define NOTE_SUFFIX    ".sha256"
#define TOLD_SUFFIX    ".server"
#define TOLD_MAX_BYTES 24u
#define NOTE_REST      "  -\n" /* for sha256sum -c: standard input */

#define RESERVE_BYTES	(16u << 20)
#define RESERVE_INODES	64u
/* A release is rarely made of smaller files than this on average. */
#define BYTES_PER_INODE 2048u

struct store {
	char *path;
	int dirfd;
	int releases_fd;
	int backups_fd;
};

struct name {
	char text[128];
};

static struct name name_of(const char *prefix, const char *middle, const char *suffix)
{
	struct name n;

	(void)snprintf(n.text, sizeof n.text, "%s%s%s", prefix, middle, suffix);
	return n;
}

static int open_subdirectory(int dirfd, const char *name)
{
	return fs_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

int store_open(const char *path, struct store **ret)
{
	_cleanup_(store_closep) struct store *s = NULL;

	s = malloc(sizeof *s);
	if (!s)
		return -ENOMEM;
	*s = (struct store){ .dirfd = FD_NONE, .releases_fd = FD_NONE, .backups_fd = FD_NONE };
	s->path = strdup(path);
	if (!s->path)
		return -ENOMEM;
	s->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dirfd < 0)
		return -errno;
	s->releases_fd = open_subdirectory(s->dirfd, RELEASES);
	if (s->releases_fd < 0)
		return s->releases_fd;
	s->backups_fd = open_subdirectory(s->dirfd, BACKUPS);
	if (s->backups_fd < 0)
		return s->backups_fd;
	*ret = TAKE_PTR(s);
	return 0;
}

int store_create(const char *path, struct store **ret)
{
	static const char *const directories[] = { RELEASES, BACKUPS };
	_cleanup_close_ int fd = FD_NONE;
	int r;

	r = fs_mkdir_p(AT_FDCWD, path, 0755);
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
		r = fs_mkdir_p(fd, directories[i], 0755);
		if (r < 0)
			return r;
	}
	r = fs_fsync_dir(fd, ".");
	if (r < 0)
		return r;
	return store_open(path, ret);
}

struct store *store_close(struct store *s)
{
	if (s) {
		close_fd(&s->backups_fd);
		close_fd(&s->releases_fd);
		close_fd(&s->dirfd);
		free(s->path);
		free(s);
	}
	return NULL;
}

int store_destroy(const char *path)
{
	static const char *const ours[] = { SWAP_CURRENT, SWAP_PREVIOUS, RELEASES, BACKUPS };
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = swap_clear(fd);
	for (size_t i = 0; i < ELEMENTSOF(ours) && r == 0; i++)
		r = fs_remove_tree(fd, ours[i]);
	if (r < 0)
		return r;
	if (unlinkat(AT_FDCWD, path, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY && errno != EBUSY)
		return -errno;
	return 0;
}

int store_dirfd(const struct store *s)
{
	return s->dirfd;
}

const char *store_path(const struct store *s)
{
	return s->path;
}

struct room {
	uint64_t bytes, inodes;
};

static int check_room(const struct store *s, uint64_t unpacked_bytes, struct room more)
{
	uint64_t needed_bytes, needed_inodes, free_bytes;
	struct statvfs fs;

	if (unpacked_bytes > UINT64_MAX / 4)
		return -ENOSPC;
	needed_bytes = 2 * unpacked_bytes + unpacked_bytes / 5 + RESERVE_BYTES;
	needed_inodes = unpacked_bytes / BYTES_PER_INODE + RESERVE_INODES;
	if (fstatvfs(s->releases_fd, &fs) < 0)
		return -errno;
	if (__builtin_mul_overflow((uint64_t)fs.f_bavail, (uint64_t)fs.f_frsize, &free_bytes) ||
	    __builtin_add_overflow(free_bytes, more.bytes, &free_bytes))
		free_bytes = UINT64_MAX;
	if (free_bytes < needed_bytes)
		return -ENOSPC;
	/* A file system without a table of inodes says 0 of 0. */
	if (fs.f_files > 0 && fs.f_favail + more.inodes < needed_inodes)
		return -ENOSPC;
	return 0;
}

int store_check_space(const struct store *s, uint64_t unpacked_bytes)
{
	return check_room(s, unpacked_bytes, (struct room){ 0 });
}

/* At least; its blocks are whole ones, and its directories count as well. */
static int room_of_release(const struct store *s, const struct version *version, struct room *ret)
{
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	_cleanup_close_ int fd = store_open_release(s, version);
	struct room room = { 0 };
	int r;

	r = fd < 0 ? fd : store_read_manifest(fd, &m, NULL);
	if (r < 0)
		return r;
	for (size_t i = 0; i < m->n_files; i++)
		room.bytes += m->files[i].size_bytes;
	room.inodes = m->n_files;
	*ret = room;
	return 0;
}

int store_would_free_enough(const struct store *s, const struct version *version,
			    uint64_t unpacked_bytes)
{
	struct room room;
	int r;

	r = room_of_release(s, version, &room);
	if (r == 0)
		r = check_room(s, unpacked_bytes, room);
	return r == -ENOSPC ? 0 : r < 0 ? r : 1;
}

/* ---- stages and releases ---- */

int store_stage_begin(struct store *s, const char *name)
{
	struct name stage = name_of(STAGE_PREFIX, name, "");
	int r;

	r = fs_remove_tree(s->releases_fd, stage.text);
	if (r < 0)
		return r;
	if (mkdirat(s->releases_fd, stage.text, 0700) < 0)
		return -errno;
	return open_subdirectory(s->releases_fd, stage.text);
}

int store_stage_seal(struct store *s, const char *name, const struct version *version)
{
	struct name stage = name_of(STAGE_PREFIX, name, "");

	if (renameat2(s->releases_fd, stage.text, s->releases_fd, version->text, RENAME_NOREPLACE) <
	    0)
		return -errno;
	return fs_fsync_dir(s->releases_fd, ".");
}

int store_stage_replace(struct store *s, const char *name, const struct version *version)
{
	struct name stage = name_of(STAGE_PREFIX, name, "");
	int r;

	if (renameat2(s->releases_fd, stage.text, s->releases_fd, version->text, RENAME_EXCHANGE) <
	    0)
		return -errno;
	r = fs_fsync_dir(s->releases_fd, ".");
	return r < 0 ? r : fs_remove_tree(s->releases_fd, stage.text);
}

/* Calls visit with each name in a directory; visit may remove what it is called with. */
static int each_name(int dirfd, int (*visit)(void *userdata, const char *name), void *userdata)
{
	_cleanup_dir_ DIR *d = NULL;
	const char *name;
	int r;

	r = fs_open_dir(dirfd, ".", &d);
	if (r < 0)
		return r;
	while ((name = fs_next_name(d))) {
		r = visit(userdata, name);
		if (r < 0)
			return r;
	}
	return -errno;
}

struct version_list {
	struct version *versions;
	size_t n;
};

static int collect_version(void *userdata, const char *name)
{
	struct version_list *list = userdata;
	struct version version;

	if (version_parse(name, &version) < 0)
		return 0;
	if (list->n == STORE_MAX_RELEASES)
		return -E2BIG;
	list->versions[list->n++] = version;
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct version *va = a, *vb = b;

	return strcmp(vb->text, va->text);
}

static int list_versions(int dirfd, int (*collect)(void *userdata, const char *name),
			 struct version **ret, size_t *ret_n)
{
	_cleanup_free_ struct version *versions = NULL;
	struct version_list list;
	int r;

	versions = calloc(STORE_MAX_RELEASES, sizeof *versions);
	if (!versions)
		return -ENOMEM;
	list = (struct version_list){ .versions = versions };
	r = each_name(dirfd, collect, &list);
	if (r < 0)
		return r;
	qsort(versions, list.n, sizeof *versions, newest_first);
	*ret = TAKE_PTR(versions);
	*ret_n = list.n;
	return 0;
}

int store_list(const struct store *s, struct version **ret, size_t *ret_n)
{
	return list_versions(s->releases_fd, collect_version, ret, ret_n);
}

int store_open_release(const struct store *s, const struct version *version)
{
	return open_subdirectory(s->releases_fd, version->text);
}

int store_read_manifest(int release_fd, struct manifest **ret, char **ret_error)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size;
	int r;

	r = fs_read_file(release_fd, MANIFEST_NAME, MANIFEST_MAX_BYTES, &bytes, &size);
	if (r < 0)
		return r;
	return manifest_parse(bytes, size, ret, ret_error);
}

/* Does an error tell of a release, or of the machine that reads it? */
static bool is_about_content(int error)
{
	return error != -EIO && !fs_is_accident(error);
}

static int has_release(const struct store *s, const struct version *version)
{
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	_cleanup_close_ int fd = store_open_release(s, version);

	return fd < 0 ? fd : store_read_manifest(fd, &m, NULL);
}

int store_has_release(const struct store *s, const struct version *version)
{
	int r = has_release(s, version);

	/* A block that is lost stays lost; an accident does not happen twice. */
	if (r == -EIO)
		r = has_release(s, version);
	return r == 0 ? 1 : fs_is_accident(r) ? r : 0;
}

static int unclean(char **ret_error, const char *sentence)
{
	if (ret_error && !*ret_error)
		*ret_error = strdup(sentence);
	return -EUCLEAN;
}

static int check_release(const struct store *s, const struct version *version, char **ret_error)
{
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	_cleanup_close_ int fd = FD_NONE;
	int r;

	fd = store_open_release(s, version);
	if (fd < 0)
		return fd == -ENOTDIR || fd == -ELOOP ? unclean(ret_error, "is no directory") : fd;
	r = store_read_manifest(fd, &m, ret_error);
	if (r < 0)
		return is_about_content(r)
			       ? unclean(ret_error, "has no release.json that can be read")
			       : r;
	if (strcmp(m->version.text, version->text) != 0)
		return unclean(ret_error, "is another version by its release.json");
	r = manifest_check_tree(m, fd, ret_error);
	return r < 0 && is_about_content(r) ? unclean(ret_error, "is not whole") : r;
}

int store_check_release(const struct store *s, const struct version *version, char **ret_error)
{
	_cleanup_free_ char *error = NULL;
	int r = check_release(s, version, &error);

	if (r == -EIO) {
		free(TAKE_PTR(error));
		r = check_release(s, version, &error);
	}
	if (ret_error)
		*ret_error = TAKE_PTR(error);
	return r;
}

/* The rename takes it out of sight as a whole, so a removal that is cut leaves no half release. */
static int drop_release(struct store *s, const struct version *version)
{
	struct name drop = name_of(DROP_PREFIX, version->text, "");
	int r;

	r = fs_remove_tree(s->releases_fd, drop.text);
	if (r < 0)
		return r;
	if (renameat(s->releases_fd, version->text, s->releases_fd, drop.text) < 0)
		return errno == ENOENT ? 0 : -errno;
	r = fs_fsync_dir(s->releases_fd, ".");
	if (r < 0)
		return r;
	return fs_remove_tree(s->releases_fd, drop.text);
}

/* 1 or 0. Not to know is no reason to remove what it may lead to. */
static int link_leads_to(const struct store *s, const char *link, const struct version *version)
{
	struct version found;
	int r = swap_read_text(s->dirfd, link, &found);

	if (r < 0)
		return r == -ENOENT || r == -EUCLEAN ? 0 : r;
	return strcmp(found.text, version->text) == 0;
}

int store_remove_release(struct store *s, const struct version *version)
{
	int r;

	r = link_leads_to(s, SWAP_CURRENT, version);
	if (r != 0)
		return r < 0 ? r : -EBUSY;
	r = link_leads_to(s, SWAP_PREVIOUS, version);
	if (r < 0)
		return r;
	if (r > 0) {
		if (unlinkat(s->dirfd, SWAP_PREVIOUS, 0) < 0)
			return -errno;
		r = fs_fsync_dir(s->dirfd, ".");
		if (r < 0)
			return r;
	}
	return drop_release(s, version);
}

/* ---- backups ---- */

int store_backup_begin(struct store *s, const struct version *version)
{
	struct name temporary = name_of(NEW_PREFIX, version->text, "");
	int r;

	r = fs_remove_tree(s->backups_fd, temporary.text);
	if (r < 0)
		return r;
	return fs_open_beneath(s->backups_fd, temporary.text,
			       O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

int store_backup_commit(struct store *s, const struct version *version)
{
	struct name temporary = name_of(NEW_PREFIX, version->text, "");
	struct name name = name_of("", version->text, BACKUP_SUFFIX);

	if (renameat(s->backups_fd, temporary.text, s->backups_fd, name.text) < 0)
		return -errno;
	return fs_fsync_dir(s->backups_fd, ".");
}

int store_backup_open(const struct store *s, const struct version *version)
{
	struct name name = name_of("", version->text, BACKUP_SUFFIX);

	return fs_open_beneath(s->backups_fd, name.text, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
}

int store_backup_note(struct store *s, const struct version *version,
		      const uint8_t tar_sha256[SHA256_BYTES])
{
	struct name name = name_of("", version->text, NOTE_SUFFIX);
	char hex[SHA256_HEX_LENGTH + 1], text[SHA256_HEX_LENGTH + sizeof NOTE_REST];

	hex_encode(tar_sha256, SHA256_BYTES, hex);
	(void)snprintf(text, sizeof text, "%s%s", hex, NOTE_REST);
	return fs_write_file_atomic(s->backups_fd, name.text, text, strlen(text), 0644);
}

int store_backup_noted(const struct store *s, const struct version *version,
		       uint8_t ret_tar_sha256[SHA256_BYTES])
{
	struct name name = name_of("", version->text, NOTE_SUFFIX);
	_cleanup_close_ int fd = fs_open_regular(s->backups_fd, name.text, NULL);
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	if (fd < 0)
		return fd;
	r = fs_read_fd(fd, SHA256_HEX_LENGTH + strlen(NOTE_REST), &text, &size);
	if (r < 0)
		return r == -EFBIG ? -EBADMSG : r;
	if (size <= SHA256_HEX_LENGTH || strcmp(text + SHA256_HEX_LENGTH, NOTE_REST) != 0)
		return -EBADMSG;
	text[SHA256_HEX_LENGTH] = '\0';
	return hex_decode(text, ret_tar_sha256, SHA256_BYTES) < 0 ? -EBADMSG : 0;
}

int store_backup_remove(struct store *s, const struct version *version)
{
	struct name backup = name_of("", version->text, BACKUP_SUFFIX);
	struct name note = name_of("", version->text, NOTE_SUFFIX);
	struct name told = name_of("", version->text, TOLD_SUFFIX);
	int r;

	r = fs_remove_tree(s->backups_fd, told.text);
	if (r == 0)
		r = fs_remove_tree(s->backups_fd, backup.text);
	return r < 0 ? r : fs_remove_tree(s->backups_fd, note.text);
}

int store_backup_drop(struct store *s, const struct version *version)
{
	struct name backup = name_of("", version->text, BACKUP_SUFFIX);

	return fs_remove_tree(s->backups_fd, backup.text);
}

int store_backup_tell(struct store *s, const struct version *version, int64_t sec)
{
	struct name name = name_of("", version->text, TOLD_SUFFIX);
	char text[TOLD_MAX_BYTES];

	(void)snprintf(text, sizeof text, "%lld\n", (long long)sec);
	return fs_write_file_atomic(s->backups_fd, name.text, text, strlen(text), 0644);
}

int64_t store_backup_told(const struct store *s, const struct version *version)
{
	struct name name = name_of("", version->text, TOLD_SUFFIX);
	_cleanup_close_ int fd = fs_open_regular(s->backups_fd, name.text, NULL);
	_cleanup_free_ char *text = NULL;
	size_t size, digits;

	if (fd < 0 || fs_read_fd(fd, TOLD_MAX_BYTES, &text, &size) < 0)
		return 0;
	digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 15 || strcmp(text + digits, "\n") != 0)
		return 0;
	return strtoll(text, NULL, 10);
}

/* By its note, which is written before the backup and stays when that goes. */
static int collect_noted(void *userdata, const char *name)
{
	char text[VERSION_LENGTH + 1];

	if (strlen(name) <= VERSION_LENGTH || strcmp(name + VERSION_LENGTH, NOTE_SUFFIX) != 0)
		return 0;
	(void)snprintf(text, sizeof text, "%.*s", VERSION_LENGTH, name);
	return collect_version(userdata, text);
}

int store_backup_list(const struct store *s, struct version **ret, size_t *ret_n)
{
	return list_versions(s->backups_fd, collect_noted, ret, ret_n);
}

/* ---- pruning ---- */

struct prune {
	struct store *store;
	const struct version *keep;
	size_t n_keep;
};

static bool is_kept(const struct prune *p, const struct version *version)
{
	for (size_t i = 0; i < p->n_keep; i++)
		if (strcmp(p->keep[i].text, version->text) == 0)
			return true;
	return false;
}

static int sweep_entry(void *userdata, const char *name)
{
	const int *dirfd = userdata;

	return name[0] == '.' ? fs_remove_tree(*dirfd, name) : 0;
}

static int prune_release(void *userdata, const char *name)
{
	struct prune *p = userdata;
	struct version version;

	if (version_parse(name, &version) < 0 || is_kept(p, &version))
		return 0;
	return store_remove_release(p->store, &version);
}

static int prune_backup(void *userdata, const char *name)
{
	struct prune *p = userdata;
	struct version version;
	char text[VERSION_LENGTH + 1];

	if (strlen(name) <= VERSION_LENGTH || (strcmp(name + VERSION_LENGTH, BACKUP_SUFFIX) != 0 &&
					       strcmp(name + VERSION_LENGTH, NOTE_SUFFIX) != 0 &&
					       strcmp(name + VERSION_LENGTH, TOLD_SUFFIX) != 0))
		return 0;
	(void)snprintf(text, sizeof text, "%.*s", VERSION_LENGTH, name);
	if (version_parse(text, &version) < 0 || is_kept(p, &version))
		return 0;
	return fs_remove_tree(p->store->backups_fd, name);
}

int store_sweep(struct store *s)
{
	int r;

	r = each_name(s->releases_fd, sweep_entry, &s->releases_fd);
	if (r < 0)
		return r;
	return each_name(s->backups_fd, sweep_entry, &s->backups_fd);
}

int store_prune(struct store *s, const struct version *keep, size_t n_keep)
{
	struct prune p = { .store = s, .keep = keep, .n_keep = n_keep };
	int r;

	r = store_sweep(s);
	if (r < 0)
		return r;
	r = each_name(s->releases_fd, prune_release, &p);
	if (r < 0)
		return r;
	return each_name(s->backups_fd, prune_backup, &p);
}
