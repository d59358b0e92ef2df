/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/capture.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "common/json.h"

static const char *const directions[] = {
	[CAPTURE_OPEN] = "open",
	[CAPTURE_TX] = "tx",
	[CAPTURE_RX] = "rx",
};

struct capture {
	int fd;
	bool started;
	int64_t started_msec;
	uint64_t used_bytes;
	uint64_t max_bytes;
};

/* What a power cut left of the last line would spoil the next one. Longer than a line it cannot be. */
static int cut_torn_line(struct capture *c)
{
	char tail[CAPTURE_LINE_BYTES];
	uint64_t from = c->used_bytes > sizeof tail ? c->used_bytes - sizeof tail : 0;
	ssize_t n = pread(c->fd, tail, sizeof tail, (off_t)from);
	const char *newline;

	if (n < 0)
		return -errno;
	newline = memrchr(tail, '\n', (size_t)n);
	if (!newline && from > 0)
		return -EBADMSG;
	c->used_bytes = newline ? from + (uint64_t)(newline - tail) + 1 : 0;
	return ftruncate(c->fd, (off_t)c->used_bytes) < 0 ? -errno : 0;
}

int capture_open(const char *path, uint64_t max_bytes, struct capture **ret)
{
	_cleanup_(capture_freep) struct capture *c = calloc(1, sizeof *c);
	struct stat st;
	int r;

	if (!c)
		return -ENOMEM;
	c->max_bytes = max_bytes < CAPTURE_MAX_BYTES ? max_bytes : CAPTURE_MAX_BYTES;
	c->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
	if (c->fd < 0)
		return -errno;
	if (fstat(c->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	c->used_bytes = (uint64_t)st.st_size;
	r = cut_torn_line(c);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct capture *capture_free(struct capture *c)
{
	if (!c)
		return NULL;
	close_fd(&c->fd);
	free(c);
	return NULL;
}

static size_t format_hex(const uint8_t *bytes, size_t size, char *ret)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++) {
		ret[2 * i] = digits[bytes[i] >> 4];
		ret[2 * i + 1] = digits[bytes[i] & 15];
	}
	return 2 * size;
}

static void stop(struct capture *c)
{
	c->max_bytes = 0;
}

static void note_one(struct capture *c, enum capture_direction dir, const uint8_t *bytes,
		     size_t size, int64_t t_msec)
{
	char line[CAPTURE_LINE_BYTES];
	size_t n;

	n = (size_t)snprintf(line, sizeof line, "{\"t_msec\":%lld,\"dir\":\"%s\",\"hex\":\"",
			     (long long)t_msec, directions[dir]);
	n += format_hex(bytes, size, line + n);
	memcpy(line + n, "\"}\n", 3);
	n += 3;
	if (c->used_bytes + n > c->max_bytes || fs_write_all(c->fd, line, n) < 0) {
		stop(c);
		return;
	}
	c->used_bytes += n;
}

void capture_note(struct capture *c, enum capture_direction dir, const void *bytes, size_t size,
		  int64_t now_msec)
{
	const uint8_t *at = bytes;

	if (!c || c->max_bytes == 0)
		return;
	if (!c->started) {
		c->started = true;
		c->started_msec = now_msec;
	}
	do {
		size_t n = size < CAPTURE_RECORD_BYTES ? size : CAPTURE_RECORD_BYTES;

		note_one(c, dir, at, n, now_msec - c->started_msec);
		at += n;
		size -= n;
	} while (size > 0 && c->max_bytes > 0);
}

/* ---- reading one again ---- */

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_hex(const char *text, struct capture_record *r)
{
	size_t size = strlen(text);

	if (size % 2 || size / 2 > sizeof r->bytes)
		return -EBADMSG;
	for (size_t i = 0; i < size; i += 2) {
		int high = digit_of(text[i]), low = digit_of(text[i + 1]);

		if (high < 0 || low < 0)
			return -EBADMSG;
		r->bytes[i / 2] = (uint8_t)(high << 4 | low);
	}
	r->size = size / 2;
	return 0;
}

static int parse_direction(const char *text, enum capture_direction *ret)
{
	for (unsigned i = 0; i < ELEMENTSOF(directions); i++) {
		if (strcmp(directions[i], text) != 0)
			continue;
		*ret = (enum capture_direction)i;
		return 0;
	}
	return -EBADMSG;
}

int capture_parse(const char *line, size_t size, struct capture_record *ret)
{
	static const struct json_limits limits = { .max_bytes = CAPTURE_LINE_BYTES,
						   .max_depth = 1 };
	_cleanup_json_ cJSON *json = NULL;
	struct capture_record r = {};
	const char *dir = NULL, *hex = NULL;
	uint64_t t_msec = 0;

	if (json_parse(line, size, &limits, &json, NULL) < 0)
		return -EBADMSG;
	if (json_get_u64(json, "t_msec", INT64_MAX, &t_msec, NULL) < 0 ||
	    json_get_string(json, "dir", &dir, NULL) < 0 ||
	    json_get_string(json, "hex", &hex, NULL) < 0)
		return -EBADMSG;
	if (parse_direction(dir, &r.dir) < 0 || parse_hex(hex, &r) < 0)
		return -EBADMSG;
	r.t_msec = (int64_t)t_msec;
	*ret = r;
	return 0;
}
