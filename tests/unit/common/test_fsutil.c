/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/fsutil.h"

/* ---- system calls that fail when told to, and tell in which order they came ---- */

enum call {
	CALL_WRITE,
	CALL_FCHMOD,
	CALL_FSYNC,
	CALL_CLOSE,
	CALL_RENAME,
	_CALL_MAX,
};

static struct {
	char calls[64]; /* a letter for each call */
	size_t n;
	enum call failing;
	unsigned at; /* this call of its kind fails, from 1; 0: none */
	int error;
	unsigned counts[_CALL_MAX];
	size_t write_at_most; /* 0: no limit */
	unsigned interrupts;  /* so many writes are interrupted first */
} trace;

static void trace_reset(void)
{
	memset(&trace, 0, sizeof trace);
}

static void fail_call(enum call call, unsigned at, int error)
{
	trace_reset();
	trace.failing = call;
	trace.at = at;
	trace.error = error;
}

static bool note_call(enum call call, char letter)
{
	if (trace.n < sizeof trace.calls - 1)
		trace.calls[trace.n++] = letter;
	trace.counts[call]++;
	if (trace.at == 0 || call != trace.failing || trace.counts[call] != trace.at)
		return false;
	errno = trace.error;
	return true;
}

ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
	if (note_call(CALL_WRITE, 'w'))
		return -1;
	if (trace.interrupts > 0) {
		trace.interrupts--;
		errno = EINTR;
		return -1;
	}
	if (trace.write_at_most > 0 && size > trace.write_at_most)
		size = trace.write_at_most;
	return __real_write(fd, bytes, size);
}

int __wrap_fchmod(int fd, mode_t mode)
{
	return note_call(CALL_FCHMOD, 'm') ? -1 : __real_fchmod(fd, mode);
}

int __wrap_fsync(int fd)
{
	return note_call(CALL_FSYNC, 's') ? -1 : __real_fsync(fd);
}

int __wrap_close(int fd)
{
	bool fails = note_call(CALL_CLOSE, 'c');
	int error = errno, r = __real_close(fd);

	if (!fails)
		return r;
	errno = error;
	return -1;
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return note_call(CALL_RENAME, 'r') ? -1 : __real_renameat(from_dir, from, to_dir, to);
}

/* ---- fixture: an empty directory ---- */

static char root_path[64];
static int root = FD_NONE;

static int setup(void **state)
{
	(void)state;
	(void)snprintf(root_path, sizeof root_path, "/tmp/test_fsutil.XXXXXX");
	if (!mkdtemp(root_path))
		return -1;
	root = open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	trace_reset();
	return root < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	trace_reset();
	(void)close(TAKE_FD(root));
	return fs_remove_tree(AT_FDCWD, root_path);
}

static void put(const char *name, const char *text)
{
	int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(__real_write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(__real_close(fd), 0);
}

static void assert_content(const char *name, const char *expected)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	assert_int_equal(fs_read_file(root, name, 1000, &bytes, &size), 0);
	assert_int_equal(size, strlen(expected));
	assert_string_equal(bytes, expected);
}

static bool exists(const char *name)
{
	return faccessat(root, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

/* ---- opening beneath ---- */

static void test_open_beneath(void **state)
{
	_cleanup_close_ int fd = FD_NONE, made = FD_NONE, path = FD_NONE;

	(void)state;
	assert_int_equal(mkdirat(root, "d", 0755), 0);
	put("d/f", "x");
	fd = fs_open_beneath(root, "d/f", O_RDONLY, 0);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	made = fs_open_beneath(root, "d/new", O_WRONLY | O_CREAT | O_EXCL, 0640);
	assert_true(made >= 0);
	assert_int_equal(mode_of("d/new") & ~022u, 0640);
	assert_int_equal(fs_open_beneath(root, "d/new", O_WRONLY | O_CREAT | O_EXCL, 0640),
			 -EEXIST);
	path = fs_open_beneath(root, "d", O_PATH | O_DIRECTORY, 0);
	assert_true(path >= 0);
	assert_int_equal(fs_open_beneath(root, "none", O_RDONLY, 0), -ENOENT);
}

static void test_open_beneath_stays_beneath(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(root, "d", 0755), 0);
	put("f", "x");
	assert_int_equal(symlinkat("../f", root, "d/up"), 0);
	assert_int_equal(symlinkat("/etc", root, "etc"), 0);
	assert_int_equal(symlinkat("f", root, "inside"), 0);
	assert_int_equal(fs_open_beneath(root, "/etc/passwd", O_RDONLY, 0), -EXDEV);
	assert_int_equal(fs_open_beneath(root, "..", O_RDONLY, 0), -EXDEV);
	assert_int_equal(fs_open_beneath(root, "d/../../x", O_RDONLY, 0), -EXDEV);
	assert_int_equal(fs_open_beneath(root, "d/up", O_RDONLY, 0), -ELOOP);
	assert_int_equal(fs_open_beneath(root, "etc/passwd", O_RDONLY, 0), -ELOOP);
	assert_int_equal(fs_open_beneath(root, "inside", O_RDONLY, 0), -ELOOP);
}

/* ---- reading ---- */

static void test_read_file_bounds(void **state)
{
	_cleanup_free_ char *bytes = NULL, *none = NULL;
	size_t size = 7;

	(void)state;
	put("f", "12345");
	put("empty", "");
	assert_int_equal(fs_read_file(root, "f", 4, &none, &size), -EFBIG);
	assert_int_equal(fs_read_file(root, "f", 0, &none, &size), -EFBIG);
	assert_null(none);
	assert_int_equal(size, 7);
	assert_int_equal(fs_read_file(root, "f", 5, &bytes, &size), 0);
	assert_int_equal(size, 5);
	assert_memory_equal(bytes, "12345", 6);
	free(TAKE_PTR(bytes));
	assert_int_equal(fs_read_file(root, "empty", 0, &bytes, &size), 0);
	assert_int_equal(size, 0);
	assert_string_equal(bytes, "");
	assert_int_equal(fs_read_file(root, "f", SIZE_MAX, &none, &size), -EINVAL);
}

/* Files of procfs say that they have 0 bytes, those of sysfs 4096. */
static void test_read_file_whose_size_is_not_true(void **state)
{
	_cleanup_free_ char *proc = NULL, *again = NULL, *sys = NULL;
	size_t size;

	(void)state;
	assert_int_equal(fs_read_file(AT_FDCWD, "/proc/self/status", 65536, &proc, &size), 0);
	assert_true(size > 100);
	assert_int_equal(fs_read_file(AT_FDCWD, "/proc/self/status", 100, &again, &size), -EFBIG);
	if (access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) == 0)
		assert_int_equal(fs_read_file(AT_FDCWD,
					      "/sys/kernel/mm/transparent_hugepage/enabled", 100,
					      &sys, &size),
				 0);
}

static void test_read_only_regular_files(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	(void)state;
	assert_int_equal(mkfifoat(root, "fifo", 0644), 0);
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", root_path);
	assert_int_equal(bind(s, (const struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(fs_read_file(root, ".", 10, &bytes, &size), -EISDIR);
	assert_int_equal(fs_read_file(root, "fifo", 10, &bytes, &size), -EINVAL);
	assert_int_equal(fs_read_file(root, "socket", 10, &bytes, &size), -EINVAL);
	assert_int_equal(fs_read_file(AT_FDCWD, "/dev/null", 10, &bytes, &size), -EINVAL);
	assert_int_equal(fs_read_file(root, "none", 10, &bytes, &size), -ENOENT);
	assert_null(bytes);
}

static void test_read_fd_from_the_beginning(void **state)
{
	_cleanup_free_ char *bytes = NULL;
	_cleanup_close_ int fd = FD_NONE;
	size_t size;

	(void)state;
	put("f", "12345");
	fd = openat(root, "f", O_RDONLY | O_CLOEXEC);
	assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
	assert_int_equal(fs_read_fd(fd, 10, &bytes, &size), 0);
	assert_string_equal(bytes, "12345");
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 3);
}

static void test_pread_all(void **state)
{
	_cleanup_close_ int fd = FD_NONE;
	char bytes[8] = "";

	(void)state;
	put("f", "12345");
	fd = openat(root, "f", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fs_pread_all(fd, bytes, 3, 2), 0);
	assert_string_equal(bytes, "345");
	assert_int_equal(fs_pread_all(fd, bytes, 4, 2), -ENODATA);
	assert_int_equal(fs_pread_all(fd, bytes, 1, 5), -ENODATA);
	assert_int_equal(fs_pread_all(fd, bytes, 0, 5), 0);
	assert_int_equal(fs_pread_all(fd, bytes, 1, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(fs_pread_all(fd, bytes, 2, INT64_MAX - 1), -EOVERFLOW);
}

static void test_pread_upto(void **state)
{
	_cleanup_close_ int fd = FD_NONE;
	char bytes[8] = "";
	size_t n = 99;

	(void)state;
	put("f", "12345");
	fd = openat(root, "f", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fs_pread_upto(fd, bytes, sizeof bytes - 1, 2, &n), 0);
	assert_int_equal(n, 3);
	assert_string_equal(bytes, "345");
	assert_int_equal(fs_pread_upto(fd, bytes, 2, 0, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(bytes, "125");
	assert_int_equal(fs_pread_upto(fd, bytes, 1, 5, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(fs_pread_upto(fd, bytes, 1, UINT64_MAX, &n), -EOVERFLOW);
	assert_int_equal(fs_pread_upto(root, bytes, 1, 0, &n), -EISDIR);
	assert_int_equal(n, 0);
}

static void test_open_regular(void **state)
{
	_cleanup_close_ int fd = FD_NONE;
	uint64_t size_bytes = 99;
	char bytes[8] = "";

	(void)state;
	put("f", "12345");
	assert_int_equal(symlinkat("f", root, "link"), 0);
	assert_int_equal(mkdirat(root, "d", 0755), 0);
	assert_int_equal(mknodat(root, "fifo", S_IFIFO | 0644, 0), 0);
	assert_int_equal(fs_open_regular(root, "d", &size_bytes), -EINVAL);
	assert_int_equal(fs_open_regular(root, "fifo", &size_bytes), -EINVAL);
	assert_int_equal(fs_open_regular(root, "link", &size_bytes), -ELOOP);
	assert_int_equal(fs_open_regular(root, "none", &size_bytes), -ENOENT);
	assert_int_equal(fs_open_regular(root, "d/../../f", &size_bytes), -EXDEV);
	assert_int_equal(size_bytes, 99);
	fd = fs_open_regular(root, "f", &size_bytes);
	assert_true(fd >= 0);
	assert_int_equal(size_bytes, 5);
	assert_int_equal(read(fd, bytes, sizeof bytes), 5);
	assert_string_equal(bytes, "12345");
}

/* ---- listing ---- */

static void test_names(void **state)
{
	unsigned seen[3] = { 0 };
	const char *name;

	(void)state;
	put("0", "");
	put("1", "");
	put(".2", "");
	for (unsigned pass = 1; pass <= 2; pass++) {
		_cleanup_dir_ DIR *d = NULL;

		assert_int_equal(fs_open_dir(root, ".", &d), 0);
		while ((name = fs_next_name(d)))
			seen[name[strlen(name) - 1] - '0']++;
		assert_int_equal(errno, 0);
		for (size_t i = 0; i < ELEMENTSOF(seen); i++)
			assert_int_equal(seen[i], pass);
	}
}

static void test_open_dir_refuses(void **state)
{
	DIR *d = NULL;

	(void)state;
	put("f", "");
	assert_int_equal(symlinkat(".", root, "link"), 0);
	assert_int_equal(fs_open_dir(root, "f", &d), -ENOTDIR);
	assert_int_equal(fs_open_dir(root, "none", &d), -ENOENT);
	assert_int_equal(fs_open_dir(root, "..", &d), -EXDEV);
	assert_true(fs_open_dir(root, "link", &d) < 0);
	assert_null(d);
}

/* ---- writing ---- */

static void test_write_all_goes_on(void **state)
{
	_cleanup_close_ int fd = FD_NONE;

	(void)state;
	fd = openat(root, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	trace.write_at_most = 2;
	trace.interrupts = 3;
	assert_int_equal(fs_write_all(fd, "12345", 5), 0);
	assert_int_equal(trace.counts[CALL_WRITE], 3 + 3);
	assert_content("f", "12345");
	fail_call(CALL_WRITE, 1, ENOSPC);
	assert_int_equal(fs_write_all(fd, "12345", 5), -ENOSPC);
}

static void test_pwrite_all(void **state)
{
	_cleanup_close_ int fd = FD_NONE;

	(void)state;
	put("f", "12345");
	fd = openat(root, "f", O_WRONLY | O_CLOEXEC);
	assert_int_equal(fs_pwrite_all(fd, "xy", 2, 1), 0);
	assert_content("f", "1xy45");
	assert_int_equal(fs_pwrite_all(fd, "x", 1, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(fs_pwrite_all(FD_NONE, "x", 1, 0), -EBADF);
}

static void test_atomic_write(void **state)
{
	mode_t saved = umask(077);

	(void)state;
	assert_int_equal(fs_write_file_atomic(root, "f", "one", 3, 0644), 0);
	umask(saved);
	assert_content("f", "one");
	assert_int_equal(mode_of("f"), 0644);
	assert_int_equal(fs_write_file_atomic(root, "f", "", 0, 0400), 0);
	assert_content("f", "");
	assert_int_equal(mode_of("f"), 0400);
	assert_false(exists(".#f"));
	assert_int_equal(mkdirat(root, "d", 0755), 0);
	assert_int_equal(fs_write_file_atomic(root, "d/g", "two", 3, 0600), 0);
	assert_content("d/g", "two");
}

/* The bytes are on the disk before the name leads to them, and the name before we say so. */
static void test_atomic_write_order(void **state)
{
	(void)state;
	put("f", "old");
	trace_reset();
	assert_int_equal(fs_write_file_atomic(root, "f", "new", 3, 0644), 0);
	assert_string_equal(trace.calls, "wmscrsc");
}

static void test_atomic_write_after_a_crash(void **state)
{
	(void)state;
	put("f", "old");
	put(".#f", "what a crash left, longer than the new content");
	assert_int_equal(fs_write_file_atomic(root, "f", "new", 3, 0644), 0);
	assert_content("f", "new");
	assert_false(exists(".#f"));
}

static void test_atomic_write_follows_no_link(void **state)
{
	(void)state;
	put("victim", "safe");
	assert_int_equal(symlinkat("victim", root, ".#f"), 0);
	assert_int_equal(symlinkat("victim", root, "f"), 0);
	assert_int_equal(fs_write_file_atomic(root, "f", "new", 3, 0644), 0);
	assert_content("victim", "safe");
	assert_content("f", "new");
}

/* Whatever fails before the rename: an error, the old bytes, nothing left over, and never a second
 * try of an fsync. */
static void test_atomic_write_failures(void **state)
{
	static const struct {
		enum call call;
		unsigned at;
		int error;
		bool is_old;
		unsigned fsyncs;
	} cases[] = {
		{ CALL_WRITE, 1, ENOSPC, true, 0 }, { CALL_FCHMOD, 1, EPERM, true, 0 },
		{ CALL_FSYNC, 1, EIO, true, 1 },    { CALL_CLOSE, 1, EDQUOT, true, 1 },
		{ CALL_RENAME, 1, EROFS, true, 1 }, { CALL_FSYNC, 2, EIO, false, 2 },
		{ CALL_CLOSE, 2, EIO, false, 2 },
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		put("f", "old");
		fail_call(cases[i].call, cases[i].at, cases[i].error);
		assert_int_equal(fs_write_file_atomic(root, "f", "new", 3, 0644), -cases[i].error);
		assert_true(trace.counts[cases[i].call] >= cases[i].at);
		assert_int_equal(trace.counts[CALL_FSYNC], cases[i].fsyncs);
		trace_reset();
		assert_content("f", cases[i].is_old ? "old" : "new");
		assert_false(exists(".#f"));
	}
}

static void test_atomic_write_bad_names(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(root, "d", 0755), 0);
	assert_int_equal(fs_write_file_atomic(root, "", "x", 1, 0644), -EINVAL);
	assert_int_equal(fs_write_file_atomic(root, ".", "x", 1, 0644), -EINVAL);
	assert_int_equal(fs_write_file_atomic(root, "d/..", "x", 1, 0644), -EINVAL);
	assert_int_equal(fs_write_file_atomic(root, "d/", "x", 1, 0644), -EINVAL);
	assert_int_equal(fs_write_file_atomic(root, "none/f", "x", 1, 0644), -ENOENT);
	assert_int_equal(fs_write_file_atomic(root, "d", "x", 1, 0644), -EISDIR);
	assert_false(exists(".#d"));
}

/* ---- directories ---- */

static void test_mkdir_p(void **state)
{
	char absolute[128];

	(void)state;
	assert_int_equal(fs_mkdir_p(root, "a/b/c", 0700), 0);
	assert_int_equal(mode_of("a/b/c"), 0700);
	assert_int_equal(fs_mkdir_p(root, "a/b/c", 0755), 0);
	assert_int_equal(mode_of("a/b/c"), 0700);
	assert_int_equal(fs_mkdir_p(root, "./a//d/", 0700), 0);
	assert_int_equal(mode_of("a/d"), 0700);
	(void)snprintf(absolute, sizeof absolute, "%s/e/f", root_path);
	assert_int_equal(fs_mkdir_p(AT_FDCWD, absolute, 0700), 0);
	assert_int_equal(mode_of("e/f"), 0700);
}

static void test_mkdir_p_refuses(void **state)
{
	(void)state;
	put("f", "x");
	assert_int_equal(mkdirat(root, "d", 0755), 0);
	assert_int_equal(symlinkat("d", root, "link"), 0);
	assert_int_equal(symlinkat("nowhere", root, "dangling"), 0);
	assert_int_equal(fs_mkdir_p(root, "f", 0755), -ENOTDIR);
	assert_int_equal(fs_mkdir_p(root, "f/x", 0755), -ENOTDIR);
	assert_int_equal(fs_mkdir_p(root, "link", 0755), -ENOTDIR);
	assert_int_equal(fs_mkdir_p(root, "link/x", 0755), -ENOTDIR);
	assert_false(exists("d/x"));
	assert_int_equal(fs_mkdir_p(root, "dangling/x", 0755), -ENOTDIR);
	assert_int_equal(fs_mkdir_p(root, "d/../../x", 0755), -EINVAL);
	assert_int_equal(fs_mkdir_p(root, "", 0755), -EINVAL);
}

static void test_fsync_dir(void **state)
{
	(void)state;
	put("f", "x");
	assert_int_equal(mkdirat(root, "d", 0755), 0);
	trace_reset();
	assert_int_equal(fs_fsync_dir(root, "."), 0);
	assert_int_equal(fs_fsync_dir(root, "d"), 0);
	assert_string_equal(trace.calls, "scsc");
	assert_int_equal(fs_fsync_dir(root, "none"), -ENOENT);
	assert_int_equal(fs_fsync_dir(root, "f"), -ENOTDIR);
	fail_call(CALL_FSYNC, 1, EIO);
	assert_int_equal(fs_fsync_dir(root, "."), -EIO);
	assert_string_equal(trace.calls, "sc");
	fail_call(CALL_CLOSE, 1, EIO);
	assert_int_equal(fs_fsync_dir(root, "."), -EIO);
}

static void test_remove_tree(void **state)
{
	char name[32];

	(void)state;
	assert_int_equal(fs_remove_tree(root, "none"), 0);
	assert_int_equal(fs_remove_tree(root, "none/none"), 0);
	put("f", "x");
	assert_int_equal(fs_remove_tree(root, "f"), 0);
	assert_false(exists("f"));

	assert_int_equal(fs_mkdir_p(root, "d/e/f", 0755), 0);
	for (int i = 0; i < 500; i++) {
		(void)snprintf(name, sizeof name, "d/e/file%d", i);
		put(name, "x");
	}
	assert_int_equal(mkfifoat(root, "d/fifo", 0644), 0);
	put("d/.hidden", "x");
	put("beside", "x");
	assert_int_equal(fs_remove_tree(root, "d/e"), 0);
	assert_true(exists("d/fifo"));
	assert_int_equal(fs_remove_tree(root, "d"), 0);
	assert_false(exists("d"));
	assert_true(exists("beside"));
}

static void test_remove_tree_follows_no_link(void **state)
{
	(void)state;
	assert_int_equal(fs_mkdir_p(root, "victim/d", 0755), 0);
	put("victim/d/f", "safe");
	assert_int_equal(fs_mkdir_p(root, "tree/e", 0755), 0);
	assert_int_equal(symlinkat("../victim", root, "tree/link"), 0);
	assert_int_equal(symlinkat("../../victim/d/f", root, "tree/e/link"), 0);
	assert_int_equal(symlinkat("victim", root, "toplink"), 0);
	assert_int_equal(fs_remove_tree(root, "tree"), 0);
	assert_int_equal(fs_remove_tree(root, "toplink"), 0);
	assert_false(exists("tree"));
	assert_false(exists("toplink"));
	assert_content("victim/d/f", "safe");
}

static void test_remove_tree_bad_names(void **state)
{
	(void)state;
	put("f", "x");
	assert_int_equal(fs_remove_tree(root, ""), -EINVAL);
	assert_int_equal(fs_remove_tree(root, "."), -EINVAL);
	assert_int_equal(fs_remove_tree(root, ".."), -EINVAL);
	assert_int_equal(fs_remove_tree(root, "x/.."), -EINVAL);
	assert_int_equal(fs_remove_tree(AT_FDCWD, "/"), -EINVAL);
	assert_int_equal(fs_remove_tree(root, "f/x"), -ENOTDIR);
	assert_true(exists("f"));
}

/* Runs check in a child that is nobody (if we are root) or in a mount namespace of its own; its exit
 * code: 0 good, 77 not possible here. */
static void in_child(int (*check)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(check());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int remove_read_only_tree(void)
{
	if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		return 77;
	if (mkdirat(root, "t", 0755) < 0 || mkdirat(root, "t/a", 0755) < 0 ||
	    mkdirat(root, "t/a/b", 0755) < 0)
		return 1;
	put("t/a/f", "x");
	if (fchmodat(root, "t/a/b", 0000, 0) < 0 || fchmodat(root, "t/a", 0555, 0) < 0 ||
	    fchmodat(root, "t", 0555, 0) < 0)
		return 2;
	/* Without help it cannot be done. */
	if (unlinkat(root, "t/a/f", 0) == 0)
		return 3;
	return fs_remove_tree(root, "t") < 0 || exists("t") ? 4 : 0;
}

static void test_remove_tree_read_only(void **state)
{
	(void)state;
	assert_int_equal(fchmod(root, 0777), 0);
	in_child(remove_read_only_tree);
	assert_false(exists("t"));
}

/* A bind mount of the same file system has the same device number: only the kernel can tell. */
static int remove_tree_with_mount(void)
{
	char target[128], source[128];

	(void)snprintf(target, sizeof target, "%s/tree/mount", root_path);
	(void)snprintf(source, sizeof source, "%s/victim", root_path);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(source, target, NULL, MS_BIND, NULL) < 0)
		return 77;
	/* The descriptor of the fixture still sees the file system without the mount. */
	root = open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fs_remove_tree(root, "tree") != -EXDEV)
		return 1;
	return fs_remove_tree(root, "tree/mount") == -EXDEV ? 0 : 2;
}

static void test_remove_tree_stays_on_the_file_system(void **state)
{
	(void)state;
	assert_int_equal(fs_mkdir_p(root, "tree/mount", 0755), 0);
	assert_int_equal(fs_mkdir_p(root, "victim", 0755), 0);
	put("victim/f", "safe");
	in_child(remove_tree_with_mount);
	assert_content("victim/f", "safe");
}

/* ---- names ---- */

static void test_safe_names(void **state)
{
	static const char *const good[] = { "a", "B202109010001", "x.tar.xz", "a_b-c+d", "0" };
	static const char *const bad[] = { "",	  ".",	      "..",  "a/b", "/",   ".a",
					   "_a",  "-a",	      "+a",  "a b", "a\n", "a#",
					   "a:b", "\xc3\xa4", "a\\", "a*" };
	char longest[130];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		assert_true(fs_is_safe_name(good[i]));
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		if (fs_is_safe_name(bad[i]))
			fail_msg("'%s' was accepted", bad[i]);
	memset(longest, 'a', sizeof longest);
	longest[128] = '\0';
	assert_true(fs_is_safe_name(longest));
	longest[128] = 'a';
	longest[129] = '\0';
	assert_false(fs_is_safe_name(longest));
}

static void test_safe_paths(void **state)
{
	static const char *const good[] = { "a", "bin/bmsd", "share/.config/_x", "a/...",
					    "a/b/c.d" };
	static const char *const bad[] = { "",	    "/",     "/a",     "a/",	"a//b",
					   "..",    "a/..",  "a/../b", "./a",	"a/.",
					   "a/./b", "a b/c", "a/-b",   "a/b\n", "../a" };
	char longest[257];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		if (!fs_is_safe_path(good[i]))
			fail_msg("'%s' was refused", good[i]);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		if (fs_is_safe_path(bad[i]))
			fail_msg("'%s' was accepted", bad[i]);
	memset(longest, 'a', sizeof longest);
	longest[100] = longest[200] = '/';
	longest[255] = '\0';
	assert_true(fs_is_safe_path(longest));
	longest[255] = 'a';
	longest[256] = '\0';
	assert_false(fs_is_safe_path(longest));
	memset(longest, 'a', 129);
	longest[129] = '\0';
	assert_false(fs_is_safe_path(longest));
}

static void test_read_link(void **state)
{
	_cleanup_free_ char *target = NULL, *again = NULL, *none = NULL;
	char longer[600];

	(void)state;
	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	put("f", "x");
	assert_int_equal(symlinkat("releases/B202108010001", root, "current"), 0);
	assert_int_equal(symlinkat(longer, root, "longer"), 0);
	assert_int_equal(fs_read_link(root, "current", &target), 0);
	assert_string_equal(target, "releases/B202108010001");
	assert_int_equal(fs_read_link(root, "longer", &again), 0);
	assert_string_equal(again, longer);
	assert_int_equal(fs_read_link(root, "f", &none), -EINVAL);
	assert_int_equal(fs_read_link(root, "none", &none), -ENOENT);
	assert_null(none);
}

#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* As RestrictSUIDSGID= of systemd does it: openat2() is not there. */
static int forbid_openat2(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { ELEMENTSOF(code), code };
	struct open_how how = { 0 };

	if (geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		return -errno;
	return syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how) < 0 && errno == ENOSYS
		       ? 0
		       : -ENOTRECOVERABLE;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROOT(test_open_beneath),
		WITH_ROOT(test_open_beneath_stays_beneath),
		WITH_ROOT(test_read_file_bounds),
		WITH_ROOT(test_read_file_whose_size_is_not_true),
		WITH_ROOT(test_read_only_regular_files),
		WITH_ROOT(test_read_fd_from_the_beginning),
		WITH_ROOT(test_pread_all),
		WITH_ROOT(test_pread_upto),
		WITH_ROOT(test_open_regular),
		WITH_ROOT(test_names),
		WITH_ROOT(test_open_dir_refuses),
		WITH_ROOT(test_write_all_goes_on),
		WITH_ROOT(test_pwrite_all),
		WITH_ROOT(test_atomic_write),
		WITH_ROOT(test_atomic_write_order),
		WITH_ROOT(test_atomic_write_after_a_crash),
		WITH_ROOT(test_atomic_write_follows_no_link),
		WITH_ROOT(test_atomic_write_failures),
		WITH_ROOT(test_atomic_write_bad_names),
		WITH_ROOT(test_mkdir_p),
		WITH_ROOT(test_mkdir_p_refuses),
		WITH_ROOT(test_fsync_dir),
		WITH_ROOT(test_remove_tree),
		WITH_ROOT(test_remove_tree_follows_no_link),
		WITH_ROOT(test_remove_tree_bad_names),
		WITH_ROOT(test_remove_tree_read_only),
		WITH_ROOT(test_remove_tree_stays_on_the_file_system),
		cmocka_unit_test(test_safe_names),
		cmocka_unit_test(test_safe_paths),
		WITH_ROOT(test_read_link),
	};

	int failed = cmocka_run_group_tests_name("openat2", tests, NULL, NULL);

	/* All of it again, by the other way. */
	if (forbid_openat2() < 0)
		return 1;
	return failed + cmocka_run_group_tests_name("without openat2", tests, NULL, NULL);
}
