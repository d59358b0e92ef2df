/* SPDX-License-Identifier: Apache-2.0 */
#include "tracer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "common/cleanup.h"

#define MAX_CALLS   20000u
#define MAX_SECONDS 60u
#define JOURNAL_MAX 4096u

const int trace_errors[TRACE_ERRORS] = { EIO, ENOSPC, EDQUOT, EROFS, EMFILE, ENOMEM, EINTR };

const char *trace_error_name(unsigned error)
{
	static const char *const names[TRACE_KINDS] = {
		"EIO",	 "ENOSPC", "EDQUOT", "EROFS", "EMFILE",	 "ENOMEM",
		"EINTR", "unused", "short",  "lost",  "planted",
	};

	return names[error];
}

/* ---- the calls ---- */

enum { E_IO = 1, E_NOSPC = 2, E_DQUOT = 4, E_ROFS = 8, E_MFILE = 16, E_NOMEM = 32, E_INTR = 64 };
#define E_CHANGE  (E_IO | E_NOSPC | E_DQUOT | E_ROFS | E_NOMEM)
#define E_SHORT	  (1u << TRACE_SHORT)
#define E_LOST	  (1u << TRACE_LOST)
#define E_PLANTED (1u << TRACE_PLANTED)

/* Where the object's name is among the arguments. */
enum object { NO_OBJECT, NAME_0, NAME_1, NAME_2, NAMES_1_3, FD_0 };

struct rule {
	long number;
	const char *name;
	enum object object;
	bool is_mutating; /* opens: by their flags */
	bool is_retried;
	unsigned errors;
};

static const struct rule rules[] = {
#ifdef SYS_open
	{ SYS_open, "open", NAME_0, false, false, E_IO | E_MFILE | E_NOMEM },
	{ SYS_mkdir, "mkdir", NAME_0, true, false, E_CHANGE },
	{ SYS_rename, "rename", NAME_1, true, false, E_CHANGE },
	{ SYS_symlink, "symlink", NAME_1, true, false, E_CHANGE },
	{ SYS_unlink, "unlink", NAME_0, true, false, E_IO | E_ROFS | E_NOMEM },
	{ SYS_rmdir, "rmdir", NAME_0, true, false, E_IO | E_ROFS | E_NOMEM },
	{ SYS_chmod, "chmod", NAME_0, true, false, E_IO | E_ROFS | E_NOMEM },
	{ SYS_readlink, "readlink", NAME_0, false, false, E_IO | E_NOMEM },
#endif
#ifdef SYS_renameat
	{ SYS_renameat, "renameat", NAMES_1_3, true, false, E_CHANGE },
#endif
	{ SYS_openat, "openat", NAME_1, false, false, E_IO | E_MFILE | E_NOMEM | E_INTR },
	{ SYS_openat2, "openat2", NAME_1, false, false, E_IO | E_MFILE | E_NOMEM | E_INTR },
	{ SYS_renameat2, "renameat2", NAMES_1_3, true, false, E_CHANGE },
	{ SYS_mkdirat, "mkdirat", NAME_1, true, false, E_CHANGE },
	{ SYS_symlinkat, "symlinkat", NAME_2, true, false, E_CHANGE },
	{ SYS_linkat, "linkat", NAMES_1_3, true, false, E_CHANGE },
	{ SYS_unlinkat, "unlinkat", NAME_1, true, false, E_IO | E_ROFS | E_NOMEM },
	{ SYS_fchmodat, "fchmodat", NAME_1, true, false, E_IO | E_ROFS | E_NOMEM },
	{ SYS_fchmod, "fchmod", FD_0, true, false, E_IO | E_ROFS | E_NOMEM },
	{ SYS_fchown, "fchown", FD_0, true, false, E_IO | E_ROFS | E_DQUOT | E_NOMEM },
	{ SYS_ftruncate, "ftruncate", FD_0, true, false, E_CHANGE | E_INTR },
	{ SYS_fallocate, "fallocate", FD_0, true, false, E_CHANGE | E_INTR },
	{ SYS_utimensat, "utimensat", NAME_1, true, false, E_IO | E_ROFS | E_NOMEM },
	{ SYS_write, "write", FD_0, true, true, E_IO | E_NOSPC | E_DQUOT | E_INTR | E_SHORT },
	{ SYS_pwrite64, "pwrite", FD_0, true, true, E_IO | E_NOSPC | E_DQUOT | E_INTR | E_SHORT },
	{ SYS_fsync, "fsync", FD_0, true, false, E_IO | E_NOSPC | E_DQUOT | E_ROFS | E_INTR },
	{ SYS_fdatasync, "fdatasync", FD_0, true, false,
	  E_IO | E_NOSPC | E_DQUOT | E_ROFS | E_INTR },
	{ SYS_syncfs, "syncfs", FD_0, true, false, E_IO | E_NOSPC | E_DQUOT | E_ROFS },
	{ SYS_close, "close", FD_0, false, false, E_IO | E_NOSPC | E_DQUOT | E_INTR },
	{ SYS_read, "read", FD_0, false, true, E_IO | E_NOMEM | E_INTR | E_SHORT },
	{ SYS_pread64, "pread", FD_0, false, true, E_IO | E_NOMEM | E_INTR | E_SHORT },
	{ SYS_getdents64, "getdents", FD_0, false, false, E_IO | E_NOMEM },
	{ SYS_readlinkat, "readlinkat", NAME_1, false, false, E_IO | E_NOMEM },
	{ SYS_newfstatat, "fstatat", NAME_1, false, false, E_IO | E_NOMEM },
	{ SYS_fstat, "fstat", FD_0, false, false, E_IO | E_NOMEM },
	{ SYS_statx, "statx", NAME_1, false, false, E_IO | E_NOMEM },
	{ SYS_statfs, "statfs", NAME_0, false, false, E_IO | E_NOMEM },
	{ SYS_fstatfs, "fstatfs", FD_0, false, false, E_IO | E_NOMEM },
	{ SYS_flock, "flock", FD_0, false, true, E_NOMEM | E_INTR },
	{ SYS_dup, "dup", FD_0, false, false, E_MFILE },
	{ SYS_fcntl, "fcntl", FD_0, false, false, E_MFILE },
};

#define MAX_FILTER (2 * ELEMENTSOF(rules) + 4)

/* Stops at the calls of the table, or at those only that may change the disk. */
static int install_filter(bool all_calls)
{
	struct sock_filter code[MAX_FILTER];
	struct sock_fprog program = { .filter = code };
	unsigned short n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ELEMENTSOF(rules); i++) {
		if (!all_calls && !rules[i].is_mutating && strncmp(rules[i].name, "open", 4) != 0)
			continue;
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							 (unsigned)rules[i].number, 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			    &program);
}

/* ---- one call ---- */

struct tracee {
	pid_t pid;
	int pidfd, listener;
	bool has_flipped, has_ended; /* for I11 */
};

static size_t read_memory(const struct tracee *c, uint64_t address, void *buffer, size_t size)
{
	struct iovec local = { .iov_base = buffer, .iov_len = size };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)address, .iov_len = size };
	ssize_t n = process_vm_readv(c->pid, &local, 1, &remote, 1, 0);

	return n < 0 ? 0 : (size_t)n;
}

/* A string may end just before memory that is not there. */
static void read_string(const struct tracee *c, uint64_t address, char *buffer, size_t size)
{
	size_t done = 0;

	while (done < size - 1) {
		size_t page = 4096 - (size_t)((address + done) % 4096);
		size_t want = size - 1 - done < page ? size - 1 - done : page;
		size_t got = read_memory(c, address + done, buffer + done, want);

		done += got;
		if (got < want || memchr(buffer, '\0', done))
			break;
	}
	buffer[done] = '\0';
}

static void describe(const struct tracee *c, const struct seccomp_data *data,
		     const struct rule *rule, struct trace_call *call)
{
	char link[64], one[40], two[40];
	ssize_t n;

	switch (rule->object) {
	case NAME_0:
	case NAME_1:
	case NAME_2:
		read_string(c, data->args[rule->object - NAME_0], call->object,
			    sizeof call->object);
		break;
	case NAMES_1_3:
		read_string(c, data->args[1], one, sizeof one);
		read_string(c, data->args[3], two, sizeof two);
		(void)snprintf(call->object, sizeof call->object, "%s %s", one, two);
		break;
	case FD_0:
		(void)snprintf(link, sizeof link, "/proc/%d/fd/%d", c->pid, (int)data->args[0]);
		n = readlink(link, call->object, sizeof call->object - 1);
		call->object[n < 0 ? 0 : n] = '\0';
		break;
	case NO_OBJECT: break;
	}
}

static int open_flags(const struct tracee *c, const struct seccomp_data *data,
		      const struct rule *rule)
{
	struct open_how how = { 0 };

	if (rule->number == SYS_openat2) {
		(void)read_memory(c, data->args[2], &how, sizeof how);
		return (int)how.flags;
	}
	return (int)data->args[rule->object == NAME_0 ? 1 : 2];
}

static bool is_open(const struct rule *rule)
{
	return strncmp(rule->name, "open", 4) == 0;
}

static bool is_named(const struct trace_call *call, const char *end)
{
	size_t n = strlen(call->object), m = strlen(end);

	return n >= m && strcmp(call->object + n - m, end) == 0;
}

/* Between the flip of `previous` (or of `current`, if that is the first) and the terminal word in the
 * journal nothing may ask for room on the disk. */
static void note_order(struct tracee *c, const struct seccomp_data *data, const struct rule *rule,
		       struct trace_call *call)
{
	char slot[JOURNAL_MAX + 1];

	call->is_after_links = c->has_flipped && !c->has_ended;
	call->is_before_end = !c->has_ended;
	if (strncmp(rule->name, "rename", 6) == 0 &&
	    (is_named(call, ".new previous") || is_named(call, ".new current")))
		c->has_flipped = true;
	if (rule->number != SYS_pwrite64 || !strstr(call->object, "/journal."))
		return;
	slot[read_memory(c, data->args[1], slot, JOURNAL_MAX)] = '\0';
	if (strstr(slot, "\nstate=confirmed\n") || strstr(slot, "\nstate=rolled-back\n"))
		c->has_ended = true;
}

/* What a disk may lose and the installer finds out, since it reads it again. */
static bool is_read_back(const struct trace_call *call)
{
	if (strncmp(call->name, "rename", 6) == 0)
		return strcmp(call->object, "current.new current") == 0;
	return strstr(call->name, "write") &&
	       (strstr(call->object, "/.stage-") || strstr(call->object, "/.new-"));
}

/* Without flags the C library takes the older of the two. */
static bool is_rename(const struct seccomp_data *data)
{
#ifdef SYS_renameat
	if (data->nr == SYS_renameat)
		return true;
#endif
	return data->nr == SYS_renameat2;
}

/* What must not be there before, whether the call says so or not. */
static bool is_new(const struct tracee *c, const struct seccomp_data *data, const struct rule *rule,
		   const struct trace_call *call)
{
	static const char *const kept[] = { "lock", "journal.a", "journal.b", "reserve" };

	if (is_rename(data))
		return !(data->nr == SYS_renameat2 && data->args[4] & RENAME_EXCHANGE) &&
		       strncmp(call->object, ".stage-", strlen(".stage-")) == 0;
	if (!is_open(rule))
		return false;
	for (size_t i = 0; i < ELEMENTSOF(kept); i++)
		if (strcmp(call->object, kept[i]) == 0)
			return false;
	return open_flags(c, data, rule) & O_CREAT;
}

/* That a file cannot be closed counts where what was written to it is only now on its way. */
static bool is_written(const struct tracee *c, int fd, const struct trace_call *call)
{
	char path[64], text[256] = "";
	_cleanup_close_ int info = FD_NONE;
	const char *flags;

	if (!strstr(call->object, "/.stage-") && !strstr(call->object, "/.#") &&
	    !strstr(call->object, "/.new-"))
		return false;
	(void)snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", c->pid, fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0 || read(info, text, sizeof text - 1) <= 0)
		return false;
	flags = strstr(text, "flags:");
	return flags && (strtoul(flags + strlen("flags:"), NULL, 8) & O_ACCMODE) != O_RDONLY;
}

static void classify(struct tracee *c, const struct seccomp_data *data, struct trace_call *call)
{
	const struct rule *rule = rules;

	while (rule < rules + ELEMENTSOF(rules) - 1 && rule->number != data->nr)
		rule++;
	memset(call, 0, sizeof *call);
	(void)snprintf(call->name, sizeof call->name, "%s", rule->name);
	describe(c, data, rule, call);
	call->is_mutating = rule->is_mutating;
	call->is_retried = rule->is_retried;
	call->errors = rule->errors;
	if (is_open(rule)) {
		int flags = open_flags(c, data, rule);

		call->is_mutating = flags & (O_CREAT | O_TRUNC);
		if (call->is_mutating)
			call->errors |= E_NOSPC | E_DQUOT;
		if ((flags & O_ACCMODE) != O_RDONLY)
			call->errors |= E_ROFS;
	}
	if (is_read_back(call))
		call->errors |= E_LOST;
	if (is_new(c, data, rule, call))
		call->errors |= E_PLANTED;
	if (rule->number == SYS_close)
		call->is_mutating = is_written(c, (int)data->args[0], call);
	if (rule->number == SYS_fcntl && data->args[1] != F_DUPFD_CLOEXEC)
		call->errors = 0;
	note_order(c, data, rule, call);
}

/* ---- the process ---- */

static void tracee_main(struct world *w, int (*run)(struct world *w), bool all_calls)
{
	int listener;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)alarm(MAX_SECONDS);
	listener = install_filter(all_calls);
	__atomic_store_n(&w->machine->listener, listener < 0 ? -2 : listener, __ATOMIC_SEQ_CST);
	if (listener < 0)
		_exit(127);
	_exit(run(w) < 0 ? 1 : 0);
}

static int start(struct tracee *c, struct world *w, int (*run)(struct world *w), bool all_calls)
{
	int remote;

	w->machine->listener = -1;
	c->pid = fork();
	if (c->pid < 0)
		return -errno;
	if (c->pid == 0)
		tracee_main(w, run, all_calls);
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	while ((remote = __atomic_load_n(&w->machine->listener, __ATOMIC_SEQ_CST)) == -1)
		(void)sched_yield();
	c->listener = remote < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, c->pidfd, remote, 0);
	return c->listener < 0 ? -EOPNOTSUPP : 0;
}

/* The half of a write is done in the place of the process, with its descriptor and from its memory. */
static int64_t transfer_half(const struct tracee *c, const struct seccomp_data *data)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_getfd, c->pidfd, (int)data->args[0], 0);
	size_t size = (size_t)data->args[2] / 2;
	_cleanup_free_ char *bytes = malloc(size + 1);
	bool is_read = data->nr == SYS_read || data->nr == SYS_pread64;
	struct iovec local = { .iov_base = bytes, .iov_len = size };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)data->args[1], .iov_len = size };
	ssize_t n;

	if (fd < 0 || !bytes || size == 0)
		return -EIO;
	if (is_read) {
		n = data->nr == SYS_read ? read(fd, bytes, size)
					 : pread(fd, bytes, size, (off_t)data->args[3]);
		local.iov_len = n > 0 ? (size_t)n : 0;
		remote.iov_len = local.iov_len;
		if (n > 0 && process_vm_writev(c->pid, &local, 1, &remote, 1, 0) != n)
			return -EIO;
		return n;
	}
	if (read_memory(c, data->args[1], bytes, size) != size)
		return -EIO;
	return data->nr == SYS_write ? write(fd, bytes, size)
				     : pwrite(fd, bytes, size, (off_t)data->args[3]);
}

static bool is_transfer(const struct seccomp_data *data)
{
	return data->nr == SYS_write || data->nr == SYS_pwrite64;
}

/* An empty directory where a release is to get its name, or an empty file, which whoever made it may
 * still write to. */
static void plant(const struct tracee *c, const struct seccomp_data *data)
{
	bool of_directory = is_rename(data);
	char name[PATH_MAX], path[PATH_MAX + 64];
	_cleanup_close_ int fd = FD_NONE;

	read_string(c, data->args[of_directory ? 3 : 1], name, sizeof name);
	(void)snprintf(path, sizeof path, "/proc/%d/fd/%d/%s", c->pid,
		       (int)data->args[of_directory ? 2 : 0], name);
	if (of_directory)
		(void)mkdir(path, 0755);
	else
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static void answer(const struct trace *t, const struct tracee *c, bool is_due,
		   const struct seccomp_notif *ask)
{
	struct seccomp_notif_resp reply = { .id = ask->id };

	if (is_due && t->error == TRACE_PLANTED)
		plant(c, &ask->data);
	if (!is_due || t->error == TRACE_PLANTED)
		reply.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else if (t->error == TRACE_LOST)
		reply.val = is_transfer(&ask->data) ? (int64_t)ask->data.args[2] : 0;
	else if (t->error == TRACE_SHORT && ask->data.args[2] > 1)
		reply.val = transfer_half(c, &ask->data);
	else if (t->error == TRACE_SHORT)
		reply.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else
		reply.error = -trace_errors[t->error];
	(void)ioctl(c->listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
}

static void keep_call(struct trace *t, const struct trace_call *call)
{
	if (t->plan == TRACE_COUNT) {
		if (!t->calls)
			t->calls = calloc(MAX_CALLS, sizeof *t->calls);
		if (t->calls && t->n_calls < MAX_CALLS)
			t->calls[t->n_calls] = *call;
	}
	if (t->n_calls == t->at) {
		t->hit = *call;
		t->was_hit = true;
	}
	t->n_calls++;
}

/* What is said on standard error is no change of the disk. */
static bool is_log_line(const struct seccomp_data *data)
{
	return data->nr == SYS_write && data->args[0] == STDERR_FILENO;
}

/* Returns false when it was killed. */
static bool handle(struct trace *t, struct tracee *c, const struct machine *m,
		   const struct seccomp_notif *ask)
{
	struct trace_call call;
	bool is_due;

	if (m->is_outside) {
		answer(t, c, false, ask);
		return true;
	}
	classify(c, &ask->data, &call);
	if (is_log_line(&ask->data) || (!t->all_calls && !call.is_mutating)) {
		answer(t, c, false, ask);
		return true;
	}
	is_due = t->plan != TRACE_COUNT && t->n_calls == t->at;
	keep_call(t, &call);
	if (is_due && t->plan == TRACE_KILL) {
		(void)kill(c->pid, SIGKILL);
		return false;
	}
	answer(t, c, is_due, ask);
	return true;
}

static void follow(struct trace *t, struct tracee *c, const struct machine *m)
{
	struct pollfd polls[] = { { .fd = c->listener, .events = POLLIN },
				  { .fd = c->pidfd, .events = POLLIN } };
	struct seccomp_notif ask;

	for (;;) {
		if (poll(polls, 2, -1) < 0 && errno != EINTR)
			return;
		if (polls[1].revents)
			return;
		if (!(polls[0].revents & POLLIN))
			continue;
		memset(&ask, 0, sizeof ask);
		if (ioctl(c->listener, SECCOMP_IOCTL_NOTIF_RECV, &ask) < 0)
			continue;
		if (!handle(t, c, m, &ask))
			return;
	}
}

int trace_run(struct trace *t, struct world *w, int (*run)(struct world *w))
{
	struct tracee c = { .pidfd = -1, .listener = -1 };
	int r = start(&c, w, run, t->all_calls);

	if (r == 0)
		follow(t, &c, w->machine);
	if (c.pid > 0)
		(void)waitpid(c.pid, &t->status, 0);
	w->machine->is_outside = false;
	close_fd(&c.listener);
	close_fd(&c.pidfd);
	return r;
}
