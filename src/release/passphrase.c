/* SPDX-License-Identifier: Apache-2.0 */
#include "release/passphrase.h"

#include <fcntl.h>
#include <string.h>
#include <termios.h>

#include "common/fsutil.h"

#define BUFFER_BYTES (PASSPHRASE_MAX_LENGTH + 24)

char *passphrase_free(char *passphrase)
{
	if (passphrase)
		explicit_bzero(passphrase, strlen(passphrase));
	free(passphrase);
	return NULL;
}

static int check(const char *passphrase, const char *where, struct problem *problem)
{
	size_t length = strlen(passphrase);

	if (length < PASSPHRASE_MIN_LENGTH)
		return problem_set(problem, -EINVAL,
				   "%s: a passphrase has at least %d characters; this one has %zu",
				   where, PASSPHRASE_MIN_LENGTH, length);
	if (length > PASSPHRASE_MAX_LENGTH)
		return problem_set(problem, -EINVAL, "%s: the passphrase is too long", where);
	return 0;
}

static int read_from_file(const char *file, char **ret, struct problem *problem)
{
	_cleanup_(passphrase_freep) char *bytes = NULL;
	size_t size;
	int r;

	r = fs_read_file(AT_FDCWD, file, BUFFER_BYTES, &bytes, &size);
	if (r < 0)
		return problem_set(problem, r, "cannot read the passphrase file '%s': %s", file,
				   strerror(-r));
	if (strlen(bytes) != size)
		return problem_set(problem, -EINVAL, "'%s' is no text", file);
	bytes[strcspn(bytes, "\r\n")] = 0;
	r = check(bytes, file, problem);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(bytes);
	return 0;
}

static ssize_t read_line_without_echo(int tty, const char *prompt, char *buffer, size_t size)
{
	struct termios saved, silent;
	ssize_t n;

	if (tcgetattr(tty, &saved) < 0)
		return -errno;
	silent = saved;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	silent.c_lflag |= ECHONL;
	if (tcsetattr(tty, TCSAFLUSH, &silent) < 0)
		return -errno;
	(void)dprintf(tty, "%s", prompt);
	n = read(tty, buffer, size);
	if (n < 0)
		n = -errno;
	(void)tcsetattr(tty, TCSAFLUSH, &saved);
	return n;
}

static int ask(int tty, const char *prompt, char **ret, struct problem *problem)
{
	char line[BUFFER_BYTES];
	ssize_t n;
	int r;

	n = read_line_without_echo(tty, prompt, line, sizeof line - 1);
	if (n <= 0)
		return problem_set(problem, n < 0 ? (int)n : -ECANCELED, "no passphrase given");
	line[n] = 0;
	line[strcspn(line, "\r\n")] = 0;
	r = check(line, "terminal", problem);
	if (r == 0) {
		*ret = strdup(line);
		if (!*ret)
			r = problem_no_memory(problem);
	}
	explicit_bzero(line, sizeof line);
	return r;
}

static int read_from_terminal(bool twice, char **ret, struct problem *problem)
{
	_cleanup_close_ int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	_cleanup_(passphrase_freep) char *first = NULL;
	_cleanup_(passphrase_freep) char *second = NULL;
	int r;

	if (tty < 0)
		return problem_set(problem, -ENOKEY,
				   "a passphrase is needed and there is no terminal to ask at; "
				   "give one with --passphrase-file");
	r = ask(tty, "Passphrase of the signing keys: ", &first, problem);
	if (!first)
		return r;
	if (twice) {
		r = ask(tty, "The same again: ", &second, problem);
		if (!second)
			return r;
		if (strcmp(first, second) != 0)
			return problem_set(problem, -EINVAL, "the two passphrases differ");
	}
	*ret = TAKE_PTR(first);
	return 0;
}

int passphrase_read(const char *file, bool twice, char **ret, struct problem *problem)
{
	return file ? read_from_file(file, ret, problem) : read_from_terminal(twice, ret, problem);
}
