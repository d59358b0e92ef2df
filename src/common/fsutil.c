/* SPDX-License-Identifier: Apache-2.0 */
#include "common/fsutil.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define SAFE_NAME_MAX_BYTES 128
#define SAFE_PATH_MAX_BYTES 255
#define OPENAT2_RETRIES	    8

bool fs_is_accident(int error)
{
	static const int accidents[] = { -ENOMEM, -EMFILE, -ENFILE, -EINTR,  -EAGAIN,
					 -EACCES, -EPERM,  -ENOSPC, -EDQUOT, -EROFS };

	for (size_t i = 0; i < ELEMENTSOF(accidents); i++)
		if (error == accidents[i])
			return true;
	return false;
}

/* ---- opening ---- */

static bool is_link(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISLNK(st.st_mode);
}

/* The mount that a descriptor lies on; a bind mount has the device number of what it shows. */
static int mount_of(int fd, uint64_t *ret)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
		return -errno;
	if (!(sx.stx_mask & STATX_MNT_ID))
		return -EOPNOTSUPP;
	*ret = sx.stx_mnt_id;
	return 0;
}

/* One component below dirfd, which no link can lead away from. mount: the one to stay on, NULL: any. */
static int open_component(int dirfd, const char *name, int flags, mode_t mode,
			  const uint64_t *mount)
{
	_cleanup_close_ int fd = FD_NONE;
	struct stat st;
	uint64_t id = 0;
	int r;

	if (strcmp(name, "..") == 0)
		return -EXDEV;
	fd = openat(dirfd, *name ? name : ".", flags | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return errno == ENOTDIR && is_link(dirfd, name) ? -ELOOP : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode)) /* with O_PATH the link itself is opened */
		return -ELOOP;
	if (mount) {
		r = mount_of(fd, &id);
		if (r < 0)
			return r;
		if (id != *mount)
			return -EXDEV;
	}
	return TAKE_FD(fd);
}

/* What openat2() does, component by component, for where it is not to be had: RestrictSUIDSGID= of
 * systemd answers it with ENOSYS, since a filter cannot look into its structure. Stricter in one
 * point: a name may not hold ".." at all. */
static int open_walking(int dirfd, const char *name, int flags, mode_t mode, uint64_t resolve)
{
	_cleanup_close_ int at = FD_NONE;
	_cleanup_free_ char *copy = strdup(name);
	char *rest = copy, *component;
	const uint64_t *mount = NULL;
	uint64_t id = 0;
	int r;

	if (!copy)
		return -ENOMEM;
	if (*name == '\0' || *name == '/')
		return *name ? -EXDEV : -ENOENT;
	at = openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	if (resolve & RESOLVE_NO_XDEV) {
		r = mount_of(at, &id);
		if (r < 0)
			return r;
		mount = &id;
	}
	while ((component = strsep(&rest, "/")) && rest) {
		int next = open_component(at, component, O_PATH | O_DIRECTORY, 0, mount);

		if (next < 0)
			return next;
		close_fd(&at);
		at = next;
	}
	return open_component(at, component ? component : ".", flags, mode, mount);
}

static int open_resolved(int dirfd, const char *name, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = (unsigned)(flags | O_CLOEXEC), .resolve = resolve };
	long fd = -1;

	/* The system call, unlike open(), refuses what it would not use. */
	if (!(flags & O_PATH))
		how.flags |= O_LARGEFILE;
	if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE)
		how.mode = mode & 07777;
	/* EAGAIN: something was renamed while the kernel walked the path. */
	for (int i = 0; i < OPENAT2_RETRIES; i++) {
		fd = syscall(SYS_openat2, dirfd, name, &how, sizeof how);
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	if (fd < 0 && errno == ENOSYS)
		return open_walking(dirfd, name, flags, mode, resolve);
	return fd < 0 ? -errno : (int)fd;
}

int fs_open_beneath(int dirfd, const char *name, int flags, mode_t mode)
{
	return open_resolved(dirfd, name, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* Splits path at its last slash and opens the directory part; *ret_base points into path. */
static int open_parent(int dirfd, const char *path, int *ret_fd, const char **ret_base)
{
	_cleanup_free_ char *directory = NULL;
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	int fd;

	if (*base == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return -EINVAL;
	if (!slash)
		directory = strdup(".");
	else
		directory = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (!directory)
		return -ENOMEM;
	fd = openat(dirfd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	*ret_base = base;
	return 0;
}

int fs_open_regular(int dirfd, const char *name, uint64_t *ret_size_bytes)
{
	_cleanup_close_ int fd = FD_NONE;
	struct stat st;

	fd = fs_open_beneath(dirfd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (ret_size_bytes)
		*ret_size_bytes = (uint64_t)st.st_size;
	return TAKE_FD(fd);
}

/* The descriptor becomes the stream's. Of a directory that is open for reading, nothing but memory
 * can be missing. */
static int make_stream(int *fd, DIR **ret)
{
	DIR *dir = fdopendir(*fd);

	if (!dir)
		return -ENOMEM;
	*fd = FD_NONE;
	*ret = dir;
	return 0;
}

int fs_open_dir(int dirfd, const char *name, DIR **ret)
{
	_cleanup_close_ int fd = fs_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY, 0);

	return fd < 0 ? fd : make_stream(&fd, ret);
}

const char *fs_next_name(DIR *dir)
{
	const struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(dir);
	} while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	return entry ? entry->d_name : NULL;
}

/* ---- reading and writing ---- */

static int check_regular(int fd, struct stat *ret)
{
	if (fstat(fd, ret) < 0)
		return -errno;
	if (S_ISDIR(ret->st_mode))
		return -EISDIR;
	return S_ISREG(ret->st_mode) ? 0 : -EINVAL;
}

int fs_read_fd(int fd, size_t max_bytes, char **ret_bytes, size_t *ret_size)
{
	_cleanup_free_ char *bytes = NULL;
	size_t capacity, more, used = 0;
	struct stat st;
	int r;

	if (max_bytes >= SSIZE_MAX)
		return -EINVAL;
	r = check_regular(fd, &st);
	if (r < 0)
		return r;
	/* The size is only a first guess: files of sysfs and procfs have more or fewer bytes. */
	capacity = (uint64_t)st.st_size < max_bytes ? (size_t)st.st_size + 1 : max_bytes + 1;
	for (;;) {
		char *bigger = realloc(bytes, capacity + 1);

		if (!bigger)
			return -ENOMEM;
		(void)TAKE_PTR(bytes);
		bytes = bigger;
		r = fs_pread_upto(fd, bytes + used, capacity - used, used, &more);
		if (r < 0)
			return r;
		used += more;
		if (used > max_bytes)
			return -EFBIG;
		if (used < capacity)
			break;
		capacity = capacity <= max_bytes / 2 ? capacity * 2 : max_bytes + 1;
	}
	bytes[used] = '\0';
	*ret_bytes = TAKE_PTR(bytes);
	*ret_size = used;
	return 0;
}

int fs_read_file(int dirfd, const char *name, size_t max_bytes, char **ret_bytes, size_t *ret_size)
{
	/* O_NONBLOCK: a FIFO in the file's place must not hold us up. */
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return errno == ENXIO ? -EINVAL : -errno;
	return fs_read_fd(fd, max_bytes, ret_bytes, ret_size);
}

int fs_write_all(int fd, const void *bytes, size_t size)
{
	const char *p = bytes;

	while (size > 0) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

static int check_range(size_t size, uint64_t offset)
{
	return offset > INT64_MAX || size > INT64_MAX - offset ? -EOVERFLOW : 0;
}

int fs_pwrite_all(int fd, const void *bytes, size_t size, uint64_t offset)
{
	const char *p = bytes;
	int r = check_range(size, offset);

	if (r < 0)
		return r;
	while (size > 0) {
		ssize_t n = pwrite(fd, p, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int fs_pread_upto(int fd, void *bytes, size_t size, uint64_t offset, size_t *ret_size)
{
	size_t done = 0;
	int r = check_range(size, offset);

	if (r < 0)
		return r;
	while (done < size) {
		ssize_t n = pread(fd, (char *)bytes + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret_size = done;
	return 0;
}

int fs_pread_all(int fd, void *bytes, size_t size, uint64_t offset)
{
	size_t there = 0;
	int r = fs_pread_upto(fd, bytes, size, offset, &there);

	if (r < 0)
		return r;
	return there < size ? -ENODATA : 0;
}

/* ---- durability ---- */

/* fsync and close, both checked; the descriptor is gone whatever happens. */
static int sync_and_close(int fd)
{
	int r = fsync(fd) < 0 ? -errno : 0;

	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

static int write_new_file(int dirfd, const char *name, const void *bytes, size_t size, mode_t mode)
{
	_cleanup_close_ int fd = openat(dirfd, name,
					O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = fs_write_all(fd, bytes, size);
	if (r < 0)
		return r;
	if (fchmod(fd, mode & 07777) < 0)
		return -errno;
	return sync_and_close(TAKE_FD(fd));
}

int fs_write_file_atomic(int dirfd, const char *name, const void *bytes, size_t size, mode_t mode)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_close_ int parent = FD_NONE;
	const char *base = name;
	int r;

	r = open_parent(dirfd, name, &parent, &base);
	if (r < 0)
		return r;
	if (asprintf(&temporary, ".#%s", base) < 0)
		return -ENOMEM;
	/* One that a crash left would otherwise block every later call. */
	if (unlinkat(parent, temporary, 0) < 0 && errno != ENOENT)
		return -errno;
	r = write_new_file(parent, temporary, bytes, size, mode);
	if (r == 0 && renameat(parent, temporary, parent, base) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(parent, temporary, 0);
		return r;
	}
	return sync_and_close(TAKE_FD(parent));
}

int fs_fsync_dir(int dirfd, const char *name)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return sync_and_close(TAKE_FD(fd));
}

/* ---- directories ---- */

/* Makes (unless it is there) and opens one component, not following a link. */
static int enter_made_dir(int dirfd, const char *name, mode_t mode)
{
	int fd;

	if (strcmp(name, "..") == 0)
		return -EINVAL;
	if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int fs_mkdir_p(int dirfd, const char *path, mode_t mode)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_close_ int at = FD_NONE;
	char *rest = copy, *component;

	if (!copy)
		return -ENOMEM;
	if (*path == '\0')
		return -EINVAL;
	at = openat(dirfd, *path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	while ((component = strsep(&rest, "/"))) {
		int next;

		if (*component == '\0' || strcmp(component, ".") == 0)
			continue;
		next = enter_made_dir(at, component, mode);
		if (next < 0)
			return next;
		close_fd(&at);
		at = next;
	}
	return 0;
}

/* Opens a directory that is about to be emptied: not through a link, not across a mount point, and
 * writable for its owner. */
static int open_doomed_dir(int dirfd, const char *name)
{
	const uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
	_cleanup_close_ int fd = FD_NONE;
	struct stat st;

	fd = open_resolved(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, resolve);
	if (fd == -EACCES) {
		if (fchmodat(dirfd, name, 0700, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		fd = open_resolved(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, resolve);
	}
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_mode & 0700) != 0700 && fchmod(fd, (st.st_mode & 07777) | 0700) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int remove_entry(int dirfd, const char *name);

/* One pass over a directory; the number of entries that were removed. Entries may be passed over
 * when others are removed meanwhile, so the caller goes on until a pass finds none. */
static int remove_entries(DIR *d)
{
	const char *name;
	int removed = 0;

	rewinddir(d);
	while ((name = fs_next_name(d))) {
		int r = remove_entry(dirfd(d), name);

		if (r < 0)
			return r;
		removed = 1;
	}
	return errno ? -errno : removed;
}

static int empty_dir(int parent, const char *name)
{
	_cleanup_close_ int fd = open_doomed_dir(parent, name);
	_cleanup_dir_ DIR *d = NULL;
	int r;

	if (fd < 0)
		return fd;
	r = make_stream(&fd, &d);
	if (r < 0)
		return r;
	do
		r = remove_entries(d);
	while (r > 0);
	return r;
}

static int remove_entry(int dirfd, const char *name)
{
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(st.st_mode))
		return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	r = empty_dir(dirfd, name);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int fs_remove_tree(int dirfd, const char *name)
{
	_cleanup_close_ int parent = FD_NONE;
	const char *base = name;
	int r;

	r = open_parent(dirfd, name, &parent, &base);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return remove_entry(parent, base);
}

/* ---- names ---- */

#define ALPHANUMERIC "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static bool is_safe_component(const char *name, size_t length, const char *first)
{
	return length >= 1 && length <= SAFE_NAME_MAX_BYTES && strchr(first, *name) &&
	       strspn(name, ALPHANUMERIC "._+-") >= length;
}

bool fs_is_safe_name(const char *name)
{
	return is_safe_component(name, strnlen(name, SAFE_NAME_MAX_BYTES + 1), ALPHANUMERIC);
}

bool fs_is_safe_path(const char *path)
{
	if (strnlen(path, SAFE_PATH_MAX_BYTES + 1) > SAFE_PATH_MAX_BYTES)
		return false;
	for (;;) {
		size_t length = strcspn(path, "/");

		if (!is_safe_component(path, length, ALPHANUMERIC "._"))
			return false;
		if ((length == 1 && *path == '.') || (length == 2 && strncmp(path, "..", 2) == 0))
			return false;
		if (path[length] == '\0')
			return true;
		path += length + 1;
	}
}

int fs_read_link(int dirfd, const char *name, char **ret_target)
{
	for (size_t capacity = 256; capacity <= 65536; capacity *= 2) {
		_cleanup_free_ char *target = malloc(capacity);
		ssize_t n;

		if (!target)
			return -ENOMEM;
		n = readlinkat(dirfd, name, target, capacity);
		if (n < 0)
			return -errno;
		if ((size_t)n < capacity) {
			target[n] = '\0';
			*ret_target = TAKE_PTR(target);
			return 0;
		}
	}
	return -ENAMETOOLONG;
}
