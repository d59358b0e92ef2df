/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe as a transient unit, as `systemd-run --pipe --wait` would: nothing of the installer's
 * rights or files is near it. Type=oneshot, so that its start job ends when the process does.
 */
#include "updaterd/systemd.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "common/fsutil.h"

#define PLACE_OF_RELEASE   "{release}"
#define PROBE_TIMEOUT_MSEC UINT64_C(10000)
#define MAX_WORDS	   64
/* systemd's own time limit comes first; this is for a systemd that does not answer. */
#define GRACE_MSEC	   UINT64_C(5000)
/* siginfo_t's CLD_EXITED, as ExecMainCode has it. */
#define CODE_EXITED	   1

/* ---- the command line ---- */

char **probe_words_free(char **words)
{
	for (char **p = words; p && *p; p++)
		free(*p);
	free(words);
	return NULL;
}

static int append(char **text, const char *bytes, size_t size)
{
	size_t used = *text ? strlen(*text) : 0;
	char *longer = realloc(*text, used + size + 1);

	if (!longer)
		return -ENOMEM;
	memcpy(longer + used, bytes, size);
	longer[used + size] = '\0';
	*text = longer;
	return 0;
}

/* Takes one word from *p; it may hold quoted parts. */
static int next_word(const char **p, const char *release, char **ret)
{
	_cleanup_free_ char *word = NULL;
	bool is_quoted = false;
	int r;

	r = append(&word, "", 0);
	while (r == 0 && **p && (is_quoted || !strchr(" \t", **p))) {
		if (**p == '"') {
			is_quoted = !is_quoted;
			(*p)++;
		} else if (strncmp(*p, PLACE_OF_RELEASE, strlen(PLACE_OF_RELEASE)) == 0) {
			r = append(&word, release, strlen(release));
			*p += strlen(PLACE_OF_RELEASE);
		} else {
			r = append(&word, (*p)++, 1);
		}
	}
	if (r == 0 && is_quoted)
		r = -EINVAL;
	if (r < 0)
		return r;
	*ret = TAKE_PTR(word);
	return 0;
}

int probe_split(const char *command, const char *release, char ***ret)
{
	_cleanup_(probe_words_freep) char **words = calloc(MAX_WORDS + 1, sizeof *words);
	size_t n = 0;

	if (!words)
		return -ENOMEM;
	for (;;) {
		int r;

		command += strspn(command, " \t");
		if (*command == '\0')
			break;
		if (n == MAX_WORDS)
			return -EINVAL;
		r = next_word(&command, release, &words[n]);
		if (r < 0)
			return r;
		n++;
	}
	if (n == 0 || words[0][0] != '/')
		return -EINVAL;
	*ret = TAKE_PTR(words);
	return 0;
}

/* ---- the transient unit ---- */

struct probe_unit {
	char name[64];
	char **words;
	int input_fd;
	int output_fd; /* the unit's end of the pipe */
};

static int append_environment(sd_bus_message *m, const struct probe_request *request)
{
	char program[32], phase[32], version[64];
	char *environment[] = { program, phase, version, NULL };
	int r;

	(void)snprintf(program, sizeof program, "UPDATERD_PROGRAM=%c", request->program);
	(void)snprintf(phase, sizeof phase, "UPDATERD_PHASE=%s",
		       request->phase == PROBE_BEFORE ? "before" : "after");
	(void)snprintf(version, sizeof version, "UPDATERD_VERSION=%s", request->version);
	r = sd_bus_message_open_container(m, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", "Environment");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "as");
	if (r >= 0)
		r = sd_bus_message_append_strv(m, environment);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* ExecStart is "a(sasb)": path, arguments with the first, and whether a failure is ignored. */
static int append_command(sd_bus_message *m, char **words)
{
	int r;

	r = sd_bus_message_open_container(m, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", "ExecStart");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "a(sasb)");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sasb)");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'r', "sasb");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", words[0]);
	if (r >= 0)
		r = sd_bus_message_append_strv(m, words);
	if (r >= 0)
		r = sd_bus_message_append(m, "b", 0);
	for (int i = 0; r >= 0 && i < 4; i++)
		r = sd_bus_message_close_container(m);
	return r;
}

static int append_properties(sd_bus_message *m, const struct probe_unit *unit,
			     const struct probe_request *request)
{
	int r;

	r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)(sv)(sv)(sv)", "Description", "s",
				  "updaterd: is the program well?", "Type", "s", "oneshot",
				  "TimeoutStartUSec", "t", PROBE_TIMEOUT_MSEC * 1000, "CollectMode",
				  "s", "inactive-or-failed", "AddRef", "b", 1, "NoNewPrivileges",
				  "b", 1, "ProtectSystem", "s", "strict",
				  "StandardInputFileDescriptor", "h", unit->input_fd,
				  "StandardOutputFileDescriptor", "h", unit->output_fd);
	if (r >= 0 && request->user)
		r = sd_bus_message_append(m, "(sv)", "User", "s", request->user);
	if (r >= 0)
		r = append_environment(m, request);
	return r < 0 ? r : append_command(m, unit->words);
}

static int start_unit(struct systemd *s, const struct probe_unit *unit,
		      const struct probe_request *request)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
	int r;

	r = sd_bus_message_new_method_call(s->bus, &m, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER,
					   "StartTransientUnit");
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", unit->name, "replace");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = append_properties(m, unit, request);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 0);
	if (r >= 0)
		r = sd_bus_call(s->bus, m, 0, NULL, &reply);
	return r < 0 ? r : systemd_follow_job(s, reply);
}

/* Reads what is there. 0 at the end of it, or when there is more than a probe may say. */
static int read_output(int fd, struct probe_answer *answer)
{
	size_t room = PROBE_MAX_OUTPUT_BYTES - answer->output_size;
	ssize_t n;

	if (room == 0)
		return 0;
	n = read(fd, answer->output + answer->output_size, room);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 1 : 0;
	answer->output_size += (size_t)n;
	return n > 0;
}

/* Until the process ended. Its last words may still be in the pipe then. */
static int wait_unit(struct systemd *s, int *output_fd, struct probe_answer *answer)
{
	uint64_t deadline_msec = systemd_now_msec() + PROBE_TIMEOUT_MSEC + GRACE_MSEC;

	while (!s->job_result[0]) {
		const int fds[2] = { *output_fd, -1 };
		unsigned ready;
		int r;

		if (systemd_now_msec() >= deadline_msec)
			return -ETIMEDOUT;
		r = systemd_wait(s, fds, deadline_msec, &ready);
		if (r < 0)
			return r;
		if ((ready & 1u) && read_output(*output_fd, answer) == 0) {
			close_fd(output_fd);
			*output_fd = FD_NONE;
		}
	}
	for (size_t before = SIZE_MAX; *output_fd >= 0 && before != answer->output_size;) {
		before = answer->output_size;
		if (read_output(*output_fd, answer) == 0)
			break;
	}
	answer->output[answer->output_size] = '\0';
	return 0;
}

static enum probe_verdict verdict_of_exit(uint32_t code, uint32_t status)
{
	return code == CODE_EXITED && status <= PROBE_WRONG_VERSION ? (enum probe_verdict)status
								    : PROBE_NO_ANSWER;
}

static int read_verdict(struct systemd *s, const char *unit, enum probe_verdict *ret)
{
	_cleanup_free_ char *path = NULL;
	uint32_t code = 0, status = 0;
	int r;

	r = systemd_load_unit(s, unit, &path);
	if (r >= 0)
		r = systemd_get_u32(s, path, SYSTEMD_SERVICE, "ExecMainCode", 'i', &code);
	if (r >= 0)
		r = systemd_get_u32(s, path, SYSTEMD_SERVICE, "ExecMainStatus", 'i', &status);
	if (r >= 0)
		*ret = verdict_of_exit(code, status);
	(void)sd_bus_call_method(s->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "UnrefUnit",
				 NULL, NULL, "s", unit);
	return r;
}

static int make_input(const char *baseline)
{
	_cleanup_close_ int fd = FD_NONE;
	int r;

	if (!baseline) {
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		return fd < 0 ? -errno : TAKE_FD(fd);
	}
	fd = memfd_create("baseline", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fs_write_all(fd, baseline, strlen(baseline));
	if (r < 0)
		return r;
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : TAKE_FD(fd);
}

static int run_unit(struct systemd *s, const struct probe_request *request, char **words,
		    struct probe_answer *answer)
{
	_cleanup_close_ int input_fd = FD_NONE, read_fd = FD_NONE, write_fd = FD_NONE;
	struct probe_unit unit = { .words = words };
	uint64_t unique;
	int fds[2], r;

	if (getrandom(&unique, sizeof unique, 0) != (ssize_t)sizeof unique)
		return -errno;
	(void)snprintf(unit.name, sizeof unit.name, "updaterd-probe-%016llx.service",
		       (unsigned long long)unique);
	input_fd = make_input(request->baseline);
	if (input_fd < 0)
		return input_fd;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	read_fd = fds[0];
	write_fd = fds[1];
	if (fcntl(read_fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	unit.input_fd = input_fd;
	unit.output_fd = write_fd;
	r = start_unit(s, &unit, request);
	if (r < 0)
		return r;
	/* From here on only the unit holds it, so the pipe ends when the unit does. */
	close_fd(&write_fd);
	write_fd = FD_NONE;
	r = wait_unit(s, &read_fd, answer);
	return r < 0 ? r : read_verdict(s, unit.name, &answer->verdict);
}

int probe_run(void *systemd, const struct probe_request *request, struct probe_answer *ret_answer,
	      struct failure *failure)
{
	_cleanup_(probe_words_freep) char **words = NULL;
	struct systemd *s = systemd;
	int r;

	ret_answer->verdict = PROBE_NO_ANSWER;
	ret_answer->output_size = 0;
	ret_answer->output[0] = '\0';
	r = probe_split(request->command, request->release, &words);
	if (r == -EINVAL)
		return failure_set(failure, -EIO, REASON_PROBE_FAILED,
				   "'%s' is no command with an absolute path", request->command);
	if (r == 0)
		r = systemd_connect(s);
	if (r >= 0)
		r = run_unit(s, request, words, ret_answer);
	if (r < 0)
		return failure_set(failure, -EIO, REASON_PROBE_FAILED,
				   "the probe could not be run: %s", strerror(-r));
	return 0;
}
