/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/backup_files.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "common/digest.h"
#include "common/fsutil.h"

struct backup_files {
	int files_fd, parts_fd;
	atomic_uint_fast64_t used_bytes;
};

struct part_name {
	char text[24];
};

static struct part_name name_of(uint64_t id)
{
	struct part_name name;

	(void)snprintf(name.text, sizeof name.text, "%ju", (uintmax_t)id);
	return name;
}

static bool is_file_name(const char *name)
{
	uint8_t sha256[SHA256_BYTES];

	return hex_decode(name, sha256, sizeof sha256) == 0;
}

/* What name_of() made, to the letter. */
static bool parse_part_name(const char *name, uint64_t *ret)
{
	uint64_t id;

	if (!*name || strlen(name) > 19 || name[strspn(name, "0123456789")])
		return false;
	id = strtoull(name, NULL, 10);
	if (strcmp(name_of(id).text, name) != 0)
		return false;
	*ret = id;
	return true;
}

/* ---- the directories ---- */

static int each_name(int dirfd, int (*visit)(const char *name, void *userdata), void *userdata)
{
	_cleanup_dir_ DIR *dir = NULL;
	const char *name;
	int r;

	r = fs_open_dir(dirfd, ".", &dir);
	if (r < 0)
		return r;
	while ((name = fs_next_name(dir))) {
		r = visit(name, userdata);
		if (r < 0)
			return r;
	}
	return -errno;
}

struct count {
	int dirfd;
	uint64_t bytes;
};

static int count_file(const char *name, void *userdata)
{
	struct count *count = userdata;
	struct stat st;

	if (fstatat(count->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISREG(st.st_mode))
		count->bytes += (uint64_t)st.st_size;
	return 0;
}

static int open_directory(int dirfd, const char *name)
{
	int fd, r = fs_mkdir_p(dirfd, name, 0700);

	if (r < 0)
		return r;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_all(struct backup_files *f, const char *path)
{
	_cleanup_close_ int dirfd = open_directory(AT_FDCWD, path);
	struct count count = { 0 };
	int r;

	if (dirfd < 0)
		return dirfd;
	f->files_fd = open_directory(dirfd, "files");
	f->parts_fd = open_directory(dirfd, "parts");
	if (f->files_fd < 0 || f->parts_fd < 0)
		return f->files_fd < 0 ? f->files_fd : f->parts_fd;
	r = fs_fsync_dir(dirfd, ".");
	count.dirfd = f->files_fd;
	if (r == 0)
		r = each_name(f->files_fd, count_file, &count);
	count.dirfd = f->parts_fd;
	if (r == 0)
		r = each_name(f->parts_fd, count_file, &count);
	atomic_store(&f->used_bytes, count.bytes);
	return r;
}

int backup_files_open(const char *path, struct backup_files **ret, char **ret_error)
{
	_cleanup_(backup_files_closep) struct backup_files *f = calloc(1, sizeof *f);
	int r;

	if (!f)
		return -ENOMEM;
	f->files_fd = f->parts_fd = FD_NONE;
	r = open_all(f, path);
	if (r < 0) {
		if (ret_error && asprintf(ret_error, "%s: %s", path, strerror(-r)) < 0)
			*ret_error = NULL;
		return r;
	}
	*ret = TAKE_PTR(f);
	return 0;
}

struct backup_files *backup_files_close(struct backup_files *f)
{
	if (f) {
		close_fd(&f->files_fd);
		close_fd(&f->parts_fd);
		free(f);
	}
	return NULL;
}

uint64_t backup_files_used_bytes(const struct backup_files *f)
{
	return atomic_load(&f->used_bytes);
}

/* ---- parts ---- */

int backup_files_arrived(const struct backup_files *f, uint64_t id, uint64_t *ret_bytes)
{
	struct stat st;

	if (fstatat(f->parts_fd, name_of(id).text, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			return -errno;
		st.st_size = 0;
	}
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

int backup_files_begin(struct backup_files *f, uint64_t id, uint64_t offset)
{
	_cleanup_close_ int fd = FD_NONE;
	struct part_name name = name_of(id);
	struct stat st;

	fd = fs_open_beneath(f->parts_fd, name.text, O_RDWR | O_NOFOLLOW, 0);
	if (fd == -ENOENT)
		fd = fs_open_beneath(f->parts_fd, name.text, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != offset)
		return -ESTALE;
	return TAKE_FD(fd);
}

int backup_files_write(struct backup_files *f, int fd, uint64_t offset, const void *bytes,
		       size_t size)
{
	int r = fs_pwrite_all(fd, bytes, size, offset);

	if (r < 0) {
		/* What was written of it is as good as not sent. */
		(void)!ftruncate(fd, (off_t)offset);
		return r;
	}
	atomic_fetch_add(&f->used_bytes, size);
	return 0;
}

static int remove_counted(struct backup_files *f, int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || unlinkat(dirfd, name, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	atomic_fetch_sub(&f->used_bytes, (uint64_t)st.st_size);
	return fs_fsync_dir(dirfd, ".");
}

int backup_files_remove_part(struct backup_files *f, uint64_t id)
{
	return remove_counted(f, f->parts_fd, name_of(id).text);
}

int backup_files_check(struct backup_files *f, uint64_t id, int fd, const char *sha256)
{
	char hex[SHA256_HEX_LENGTH + 1];
	uint8_t digest[SHA256_BYTES];
	int r;

	if (fsync(fd) < 0)
		return -errno;
	r = digest_fd(fd, digest, NULL);
	if (r < 0)
		return r;
	hex_encode(digest, sizeof digest, hex);
	if (strcmp(hex, sha256) == 0)
		return 0;
	r = backup_files_remove_part(f, id);
	return r < 0 ? r : -EBADMSG;
}

/* Another gateway may have brought the same bytes meanwhile: then there is nothing to rename. */
int backup_files_name(struct backup_files *f, uint64_t id, const char *sha256)
{
	struct part_name name = name_of(id);

	if (renameat2(f->parts_fd, name.text, f->files_fd, sha256, RENAME_NOREPLACE) < 0)
		return errno == EEXIST ? remove_counted(f, f->parts_fd, name.text) : -errno;
	return fs_fsync_dir(f->files_fd, ".");
}

/* ---- files ---- */

int backup_files_open_file(const struct backup_files *f, const char *sha256,
			   uint64_t *ret_size_bytes)
{
	return fs_open_regular(f->files_fd, sha256, ret_size_bytes);
}

int backup_files_remove_file(struct backup_files *f, const char *sha256)
{
	return remove_counted(f, f->files_fd, sha256);
}

/* ---- walks ---- */

struct walk {
	int (*file)(const char *sha256, void *userdata);
	int (*part)(uint64_t id, void *userdata);
	void *userdata;
};

static int visit_file(const char *name, void *userdata)
{
	const struct walk *walk = userdata;

	return is_file_name(name) ? walk->file(name, walk->userdata) : 0;
}

static int visit_part(const char *name, void *userdata)
{
	const struct walk *walk = userdata;
	uint64_t id;

	return parse_part_name(name, &id) ? walk->part(id, walk->userdata) : 0;
}

int backup_files_each_file(struct backup_files *f, int (*visit)(const char *sha256, void *userdata),
			   void *userdata)
{
	struct walk walk = { .file = visit, .userdata = userdata };

	return each_name(f->files_fd, visit_file, &walk);
}

int backup_files_each_part(struct backup_files *f, int (*visit)(uint64_t id, void *userdata),
			   void *userdata)
{
	struct walk walk = { .part = visit, .userdata = userdata };

	return each_name(f->parts_fd, visit_part, &walk);
}
