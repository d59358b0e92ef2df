/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/identity.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/fsutil.h"
#include "common/json.h"

#define IMEI_LENGTH	      15
#define COMMAND_MAX_BYTES     1024u
#define COMMAND_MAX_ARGUMENTS 32u

bool identity_is_imei(const char *text)
{
	unsigned sum = 0;

	if (strlen(text) != IMEI_LENGTH)
		return false;
	for (size_t i = 0; i < IMEI_LENGTH; i++) {
		unsigned digit;

		if (text[i] < '0' || text[i] > '9')
			return false;
		digit = (unsigned)(text[i] - '0');
		if (i % 2 == 1)
			digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
		sum += digit;
	}
	return sum % 10 == 0;
}

static bool consists_of(const char *text, size_t min, size_t max, const char *characters)
{
	size_t length = strlen(text);

	return length >= min && length <= max && strspn(text, characters) == length;
}

bool identity_is_valid(const char *type, const char *value)
{
	if (strcmp(type, "imei") == 0)
		return identity_is_imei(value);
	if (strcmp(type, "machine-id") == 0)
		return consists_of(value, 32, 32, "0123456789abcdef");
	if (strcmp(type, "name") == 0)
		return consists_of(value, 1, IDENTITY_MAX_LENGTH,
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				   "0123456789._:-");
	return false;
}

static int split_command(char *command, char **argv, size_t max)
{
	size_t n = 0;
	char *rest = NULL;

	for (char *word = strtok_r(command, " \t", &rest); word;
	     word = strtok_r(NULL, " \t", &rest)) {
		if (n + 1 == max)
			return -EINVAL;
		argv[n++] = word;
	}
	argv[n] = NULL;
	return n > 0 ? 0 : -EINVAL;
}

/* In a process group of its own, so that what it starts ends with it. */
static pid_t spawn_command(char **argv, int out_fd)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	pid_t pid = 0;
	int r;

	r = -posix_spawn_file_actions_init(&actions);
	if (r < 0)
		return r;
	r = -posix_spawnattr_init(&attributes);
	if (r < 0) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return r;
	}
	r = -posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = -posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
	if (r == 0)
		r = -posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null",
						      O_WRONLY, 0);
	if (r == 0)
		r = -posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
	if (r == 0)
		r = -posix_spawnp(&pid, argv[0], &actions, &attributes, argv, environ);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return r < 0 ? r : pid;
}

/* Waits until fd is readable; a pidfd is when its process has ended. */
static int wait_readable(int fd, uint64_t deadline_msec)
{
	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		uint64_t now = clock_now_msec(CLOCK_MONOTONIC);
		int n;

		if (now >= deadline_msec)
			return -ETIMEDOUT;
		n = poll(&pfd, 1, (int)(deadline_msec - now));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static int read_output(int fd, uint64_t deadline_msec, char *buffer, size_t size, size_t *ret_used)
{
	size_t used = 0;

	for (;;) {
		ssize_t n;
		int r = wait_readable(fd, deadline_msec);

		if (r < 0)
			return r;
		n = read(fd, buffer + used, size - used);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
		if (used == size)
			return -EFBIG;
	}
	*ret_used = used;
	return 0;
}

static int wait_exit(pid_t pid, uint64_t deadline_msec)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : wait_readable(fd, deadline_msec);
}

static int collect_command(pid_t pid, int fd, uint64_t limit_msec, char **ret_output)
{
	_cleanup_free_ char *buffer = calloc(1, IDENTITY_MAX_SOURCE_BYTES + 2);
	uint64_t deadline_msec = clock_now_msec(CLOCK_MONOTONIC) + limit_msec;
	size_t used = 0;
	int r = -ENOMEM, status;

	if (buffer)
		r = read_output(fd, deadline_msec, buffer, IDENTITY_MAX_SOURCE_BYTES + 1, &used);
	if (r >= 0)
		r = wait_exit(pid, deadline_msec);
	if (r < 0)
		(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (r < 0)
		return r;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return -ECHILD;
	if (strlen(buffer) != used)
		return -EINVAL;
	*ret_output = TAKE_PTR(buffer);
	return 0;
}

int identity_run_command(const char *command, uint64_t limit_msec, char **ret_output)
{
	_cleanup_close_ int read_fd = FD_NONE, write_fd = FD_NONE;
	_cleanup_free_ char *copy = NULL;
	char *argv[COMMAND_MAX_ARGUMENTS + 1];
	int fds[2], r;
	pid_t pid;

	if (strlen(command) > COMMAND_MAX_BYTES)
		return -EINVAL;
	copy = strdup(command);
	if (!copy)
		return -ENOMEM;
	r = split_command(copy, argv, ELEMENTSOF(argv));
	if (r < 0)
		return r;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	read_fd = fds[0];
	write_fd = fds[1];
	pid = spawn_command(argv, write_fd);
	if (pid < 0)
		return pid;
	close_fd(&write_fd);
	write_fd = FD_NONE;
	return collect_command(pid, read_fd, limit_msec, ret_output);
}

static char *trim(char *text)
{
	size_t length;

	while (isspace((unsigned char)*text))
		text++;
	length = strlen(text);
	while (length > 0 && isspace((unsigned char)text[length - 1]))
		text[--length] = '\0';
	return text;
}

static int read_source(const struct conf *conf, char **ret_text, const char **ret_source,
		       struct failure *failure)
{
	const char *file = conf->identity_file;
	size_t size;
	int r;

	if (conf->identity_value) {
		*ret_source = "identity_value";
		*ret_text = strdup(conf->identity_value);
		if (*ret_text)
			return 0;
		(void)failure_set_errno(failure, -ENOMEM, "identity");
		return -ENOMEM;
	}
	if (conf->identity_command) {
		*ret_source = conf->identity_command;
		r = identity_run_command(conf->identity_command, IDENTITY_COMMAND_LIMIT_MSEC,
					 ret_text);
		if (r < 0)
			(void)failure_set_errno(failure, r, "identity_command '%s'",
						conf->identity_command);
		return r;
	}
	if (!file)
		file = "/etc/machine-id";
	*ret_source = file;
	r = fs_read_file(AT_FDCWD, file, IDENTITY_MAX_SOURCE_BYTES, ret_text, &size);
	if (r < 0) {
		(void)failure_set_errno(failure, r, "identity file '%s'", file);
		return r;
	}
	if (strlen(*ret_text) != size) {
		free(TAKE_PTR(*ret_text));
		(void)failure_set(failure, -EINVAL, REASON_INTERNAL,
				  "identity file '%s' holds a NUL byte", file);
		return -EINVAL;
	}
	return 0;
}

int identity_load(const struct conf *conf, struct identity *ret, struct failure *failure)
{
	_cleanup_free_ char *text = NULL;
	struct identity identity = { 0 };
	const char *source, *value;
	int r;

	r = read_source(conf, &text, &source, failure);
	if (r < 0)
		return r;
	value = text ? trim(text) : "";
	if (!identity_is_valid(conf->identity_type, value))
		return failure_set(failure, -EINVAL, REASON_INTERNAL,
				   "'%s' holds no valid %s: '%.64s'", source, conf->identity_type,
				   value);
	(void)snprintf(identity.type, sizeof identity.type, "%s", conf->identity_type);
	(void)snprintf(identity.value, sizeof identity.value, "%s", value);
	*ret = identity;
	return 0;
}

cJSON *identity_to_json(const struct identity *identity)
{
	_cleanup_json_ cJSON *object = cJSON_CreateObject();

	if (!object || !cJSON_AddStringToObject(object, "type", identity->type) ||
	    !cJSON_AddStringToObject(object, "value", identity->value))
		return NULL;
	return TAKE_PTR(object);
}
