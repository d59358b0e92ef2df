/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line of a recorded session: to each request it gives what the board answered to the next
 * request of the same bytes in the recording, after the same time or at once. Requests that are not
 * asked any more are skipped, so many of them that other packs need not wait. The end of the recording
 * is the end of the line; opened anew it begins from its start.
 *
 * The descriptor is a timer that is due with the next bytes.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>

#include "bmsd/capture.h"
#include "link_ops.h"

/* Takes some ten milliseconds. */
#define SKIPPED_RECORDS 5000

struct replay {
	FILE *file;
	bool at_once;
	bool has_next;
	struct capture_record next; /* the record that is looked at */
	size_t given_bytes;	    /* of next */
	int64_t lag_msec;	    /* our clock less that of the recording */
};

static int64_t clock_msec(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Looks at the next record. -ENODATA at the end; a last line that is torn is the end too. */
static int advance(struct replay *p)
{
	char line[CAPTURE_LINE_BYTES + 1];
	int r;

	p->has_next = false;
	p->given_bytes = 0;
	if (!fgets(line, sizeof line, p->file))
		return -ENODATA;
	r = capture_parse(line, strlen(line), &p->next);
	if (r < 0)
		return feof(p->file) ? -ENODATA : r;
	p->has_next = true;
	return 0;
}

static bool answer_waits(const struct replay *p)
{
	return p->has_next && p->next.dir == CAPTURE_RX;
}

static int set_timer(const struct link *l)
{
	const struct replay *p = l->priv;
	struct itimerspec when = {};

	if (answer_waits(p)) {
		int64_t due = p->at_once ? 1 : p->next.t_msec + p->lag_msec;

		/* Zero would disarm it. */
		due = due > 0 ? due : 1;
		when.it_value.tv_sec = due / 1000;
		when.it_value.tv_nsec = due % 1000 * 1000000;
	}
	return timerfd_settime(l->fd, TFD_TIMER_ABSTIME, &when, NULL) < 0 ? -errno : 0;
}

static int replay_check(const char *address, const char **ret_error)
{
	if (address[0] == '/')
		return 0;
	*ret_error = "replay: must be followed by an absolute path";
	return -EINVAL;
}

static int open_recording(const char *path, FILE **ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > CAPTURE_MAX_BYTES)
		return -EFBIG;
	*ret = fdopen(fd, "re");
	if (!*ret)
		return -errno;
	(void)TAKE_FD(fd);
	return 0;
}

static int replay_open(struct link *l, const char *address, unsigned baud)
{
	struct replay *p;
	int r;

	(void)baud;
	l->priv = p = calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	r = open_recording(address, &p->file);
	if (r < 0)
		return r;
	l->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	return l->fd < 0 ? -errno : 0;
}

static int replay_open_fast(struct link *l, const char *address, unsigned baud)
{
	int r = replay_open(l, address, baud);

	if (r >= 0)
		((struct replay *)l->priv)->at_once = true;
	return r;
}

static void replay_close(struct link *l)
{
	struct replay *p = l->priv;

	if (!p)
		return;
	close_file(&p->file);
	free(p);
}

static bool is_request(const struct replay *p, const void *bytes, size_t size)
{
	return p->has_next && p->next.dir == CAPTURE_TX && p->next.size == size &&
	       memcmp(p->next.bytes, bytes, size) == 0;
}

static ssize_t replay_write(struct link *l, const void *bytes, size_t size)
{
	struct replay *p = l->priv;
	unsigned skipped = 0;
	int r;

	while (!is_request(p, bytes, size)) {
		r = skipped++ < SKIPPED_RECORDS ? advance(p) : -ENODATA;
		if (r < 0)
			return r;
	}
	p->lag_msec = clock_msec() - p->next.t_msec;
	r = advance(p);
	if (r < 0 && r != -ENODATA)
		return r;
	r = set_timer(l);
	return r < 0 ? r : (ssize_t)size;
}

static ssize_t replay_read(struct link *l, void *bytes, size_t size)
{
	struct replay *p = l->priv;
	uint64_t ticks;
	size_t n;
	int r;

	if (read(l->fd, &ticks, sizeof ticks) < 0)
		return -errno;
	if (!answer_waits(p))
		return -EAGAIN;
	n = p->next.size - p->given_bytes;
	n = n < size ? n : size;
	memcpy(bytes, p->next.bytes + p->given_bytes, n);
	p->given_bytes += n;
	if (p->given_bytes == p->next.size) {
		r = advance(p);
		if (r < 0 && r != -ENODATA)
			return r;
	}
	r = set_timer(l);
	if (r < 0)
		return r;
	return n > 0 ? (ssize_t)n : -EAGAIN;
}

const struct link_ops link_ops_replay = {
	.prefix = "replay:",
	.check = replay_check,
	.open = replay_open,
	.read = replay_read,
	.write = replay_write,
	.close = replay_close,
};

const struct link_ops link_ops_replay_fast = {
	.prefix = "replay-fast:",
	.check = replay_check,
	.open = replay_open_fast,
	.read = replay_read,
	.write = replay_write,
	.close = replay_close,
};
