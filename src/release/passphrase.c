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

/* The two kinds of secret that people know. */
struct kind {
	const char *name;
	const char *option;
	size_t min_length, max_length;
};

static const struct kind passphrases = { "passphrase", "--passphrase-file", PASSPHRASE_MIN_LENGTH,
					 PASSPHRASE_MAX_LENGTH };
static const struct kind pins = { "PIN", "--pin-file", PIN_MIN_LENGTH, PIN_MAX_LENGTH };

static int check(const struct kind *kind, const char *secret, const char *where,
		 struct problem *problem)
{
	size_t length = strlen(secret);

	if (length < kind->min_length)
		return problem_set(problem, -EINVAL,
				   "%s: a %s has at least %zu characters; this one has %zu", where,
				   kind->name, kind->min_length, length);
	if (length > kind->max_length)
		return problem_set(problem, -EINVAL, "%s: the %s is too long", where, kind->name);
	return 0;
}

static int read_from_file(const struct kind *kind, const char *file, char **ret,
			  struct problem *problem)
{
	_cleanup_(passphrase_freep) char *bytes = NULL;
	size_t size;
	int r;

	r = fs_read_file(AT_FDCWD, file, BUFFER_BYTES, &bytes, &size);
	if (r < 0)
		return problem_set(problem, r, "cannot read the %s file '%s': %s", kind->name, file,
				   strerror(-r));
	if (strlen(bytes) != size)
		return problem_set(problem, -EINVAL, "'%s' is no text", file);
	bytes[strcspn(bytes, "\r\n")] = 0;
	r = check(kind, bytes, file, problem);
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

static int ask(const struct kind *kind, int tty, const char *prompt, char **ret,
	       struct problem *problem)
{
	char line[BUFFER_BYTES];
	ssize_t n;
	int r;

	n = read_line_without_echo(tty, prompt, line, sizeof line - 1);
	if (n <= 0)
		return problem_set(problem, n < 0 ? (int)n : -ECANCELED, "no %s given", kind->name);
	line[n] = 0;
	line[strcspn(line, "\r\n")] = 0;
	r = check(kind, line, "terminal", problem);
	if (r == 0) {
		*ret = strdup(line);
		if (!*ret)
			r = problem_no_memory(problem);
	}
	explicit_bzero(line, sizeof line);
	return r;
}

static int read_from_terminal(const struct kind *kind, const char *prompt, bool twice, char **ret,
			      struct problem *problem)
{
	_cleanup_close_ int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	_cleanup_(passphrase_freep) char *first = NULL;
	_cleanup_(passphrase_freep) char *second = NULL;
	int r;

	if (tty < 0)
		return problem_set(problem, -ENOKEY,
				   "a %s is needed and there is no terminal to ask at; "
				   "give one with %s",
				   kind->name, kind->option);
	r = ask(kind, tty, prompt, &first, problem);
	if (!first)
		return r;
	if (twice) {
		r = ask(kind, tty, "The same again: ", &second, problem);
		if (!second)
			return r;
		if (strcmp(first, second) != 0)
			return problem_set(problem, -EINVAL, "the two %ss differ", kind->name);
	}
	*ret = TAKE_PTR(first);
	return 0;
}

int passphrase_read(const char *file, const char *key, bool twice, char **ret,
		    struct problem *problem)
{
	_cleanup_free_ char *prompt = NULL;

	if (file)
		return read_from_file(&passphrases, file, ret, problem);
	if (asprintf(&prompt, "Passphrase of %s: ", key) < 0)
		return problem_no_memory(problem);
	return read_from_terminal(&passphrases, prompt, twice, ret, problem);
}

int passphrase_read_pin(const char *file, const char *token, char **ret, struct problem *problem)
{
	_cleanup_free_ char *prompt = NULL;

	if (file)
		return read_from_file(&pins, file, ret, problem);
	if (asprintf(&prompt, "PIN of the token '%s': ", token) < 0)
		return problem_no_memory(problem);
	return read_from_terminal(&pins, prompt, false, ret, problem);
}
