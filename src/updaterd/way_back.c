/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/way_back.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fsutil.h"
#include "updaterd/agent.h"
#include "updaterd/agent_user.h"
#include "updaterd/exit_codes.h"
#include "updaterd/swap.h"

#define LINE_BYTES 512 /* what the helper says: "<sha256> <target>", "<sha256> -" for a backup */

void way_back_done(struct way_back *w)
{
	free(w->target);
	close_fd(&w->file_fd);
	close_fd(&w->metadata_fd);
}

/* ---- the helper ---- */

static void __attribute__((noreturn))
be_helper(const struct conf *conf, const struct version *version, struct progress *progress, int fd)
{
	struct agent_fetched fetched = { .target = NULL };
	char line[LINE_BYTES], hex[SHA256_HEX_LENGTH + 1];
	int n, code = agent_user_become(conf);

	if (code == EXIT_OK)
		code = agent_fetch_previous(conf, version, progress, &fetched);
	if (code == EXIT_OK) {
		hex_encode(fetched.sha256, sizeof fetched.sha256, hex);
		n = snprintf(line, sizeof line, "%s %s", hex,
			     fetched.target ? fetched.target : "-");
		if (n >= (int)sizeof line || fs_write_all(fd, line, (size_t)n) < 0)
			code = EXIT_FAILED;
	}
	(void)fflush(stdout);
	_exit(code);
}

static int run_helper(const struct conf *conf, const struct version *version,
		      struct progress *progress, char line[LINE_BYTES])
{
	int fds[2], status = 0;
	ssize_t n, used = 0;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0)
		be_helper(conf, version, progress, fds[1]);
	(void)close(fds[1]);
	while (pid > 0 && used < LINE_BYTES - 1 &&
	       ((n = read(fds[0], line + used, (size_t)(LINE_BYTES - 1 - used))) > 0 ||
		(n < 0 && errno == EINTR)))
		used += n > 0 ? n : 0;
	line[used] = '\0';
	(void)close(fds[0]);
	if (pid < 0)
		return -EAGAIN;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK ? 0 : -ENODATA;
}

/* ---- root ---- */

static int find_previous(const struct conf *conf, char program, struct version *ret)
{
	const struct conf_program *p = conf_program(conf, program);
	_cleanup_close_ int fd = FD_NONE;

	if (!p)
		return -ENOENT;
	fd = open(p->space, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : swap_read_text(fd, SWAP_PREVIOUS, ret);
}

/* The inbox is the agent's: a name of it is a name, and never a link. */
static int open_fetched(const struct conf *conf, const uint8_t sha256[SHA256_BYTES],
			struct way_back *w)
{
	_cleanup_close_ int dirfd = open(conf->agent_dir,
					 O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	char hex[SHA256_HEX_LENGTH + 1], name[sizeof "inbox/.part" + SHA256_HEX_LENGTH];

	if (dirfd < 0)
		return -errno;
	hex_encode(sha256, SHA256_BYTES, hex);
	(void)snprintf(name, sizeof name, "inbox/%s.part", hex);
	w->file_fd = fs_open_regular(dirfd, name, NULL);
	if (w->file_fd < 0)
		return w->file_fd;
	w->metadata_fd = fs_open_beneath(dirfd, "metadata", O_RDONLY | O_DIRECTORY, 0);
	return w->metadata_fd < 0 ? w->metadata_fd : 0;
}

static int take_line(const struct conf *conf, char *line, struct way_back *w)
{
	char *target = strchr(line, ' ');
	uint8_t sha256[SHA256_BYTES];

	if (!target)
		return -EPROTO;
	*target++ = '\0';
	if (hex_decode(line, sha256, sizeof sha256) < 0)
		return -EPROTO;
	if (strcmp(target, "-") != 0) {
		if (!fs_is_safe_path(target))
			return -EPROTO;
		w->target = strdup(target);
		if (!w->target)
			return -ENOMEM;
	}
	return open_fetched(conf, sha256, w);
}

int way_back_fetch(const struct conf *conf, char program, struct progress *progress,
		   struct way_back *ret, struct failure *failure)
{
	struct way_back w = { .file_fd = FD_NONE, .metadata_fd = FD_NONE };
	char line[LINE_BYTES];
	int r;

	r = find_previous(conf, program, &w.version);
	if (r < 0)
		return failure_set(failure, r, REASON_NO_PREVIOUS,
				   "program %c has no previous release", program);
	r = run_helper(conf, &w.version, progress, line);
	if (r == -ENODATA)
		return failure_set(failure, r, REASON_DAMAGED,
				   "%s is damaged, and it cannot be fetched", w.version.text);
	if (r == 0)
		r = take_line(conf, line, &w);
	if (r < 0) {
		way_back_done(&w);
		return failure_set_errno(failure, r, "what was fetched of %s", w.version.text);
	}
	*ret = w;
	return 0;
}
