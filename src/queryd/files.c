/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The repository as any static web server would serve it: GET and HEAD of regular files below
 * metadata/ and targets/, with one Range.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/fsutil.h"
#include "queryd/range.h"
#include "queryd/service.h"

#define ETAG_BYTES 48
#define DATE_BYTES 32

struct file {
	int fd;
	uint64_t size;
	char etag[ETAG_BYTES];
	char last_modified[DATE_BYTES];
};

static void file_close(struct file *f)
{
	close_fd(&f->fd);
}

/* Published files are replaced by rename and never written in place, so size and time of a file
 * tell its content apart; a strong validator. */
static int describe(struct file *f)
{
	struct stat st;
	struct tm tm;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOENT;
	f->size = (uint64_t)st.st_size;
	(void)snprintf(f->etag, sizeof f->etag, "\"%jx-%jx%08lx\"", (uintmax_t)st.st_size,
		       (uintmax_t)st.st_mtim.tv_sec, (unsigned long)st.st_mtim.tv_nsec);
	if (!gmtime_r(&st.st_mtim.tv_sec, &tm) ||
	    strftime(f->last_modified, sizeof f->last_modified, "%a, %d %b %Y %H:%M:%S GMT", &tm) ==
		    0)
		return -EOVERFLOW;
	return 0;
}

/* Hidden files are none of the repository: a temporary file of whoever publishes is one. */
static bool is_public(const char *path)
{
	return fs_is_safe_path(path) && path[0] != '.' && !strstr(path, "/.");
}

static int open_file(const char *repository, const char *directory, const char *path,
		     struct file *ret)
{
	_cleanup_close_ int root = FD_NONE, dir = FD_NONE;
	_cleanup_(file_close) struct file f = { .fd = FD_NONE };
	int r;

	if (!is_public(path))
		return -ENOENT;
	root = open(repository, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	dir = fs_open_beneath(root, directory, O_PATH | O_DIRECTORY, 0);
	if (dir < 0)
		return dir;
	/* Not blocking, should somebody have put a fifo there. */
	f.fd = fs_open_beneath(dir, path, O_RDONLY | O_NONBLOCK, 0);
	if (f.fd < 0)
		return f.fd;
	r = describe(&f);
	if (r < 0)
		return r;
	*ret = f;
	f.fd = FD_NONE;
	return 0;
}

/* RFC 9110, 13.1.5: a range is asked for only of this very file. A weak tag never matches. */
static bool if_range_holds(const char *if_range, const struct file *f)
{
	return !if_range || strcmp(if_range, f->etag) == 0 ||
	       strcmp(if_range, f->last_modified) == 0;
}

static bool if_none_match_hits(const char *list, const struct file *f)
{
	if (!list)
		return false;
	return strcmp(list, "*") == 0 || strstr(list, f->etag);
}

static void answer_file(const struct request *request, struct file *f, struct answer *ret)
{
	enum range_kind kind = RANGE_WHOLE;
	uint64_t first = 0, last = 0;

	if (request->method == METHOD_GET && if_range_holds(request->if_range, f))
		kind = range_parse(request->range, f->size, &first, &last);
	if (kind == RANGE_UNSATISFIABLE) {
		answer_error(ret, 416, NULL, "the range is beyond the end of the file");
		answer_header(ret, "Content-Range", "bytes */%ju", (uintmax_t)f->size);
		return;
	}
	ret->status = kind == RANGE_PART ? 206 : 200;
	ret->offset = first;
	ret->length = kind == RANGE_PART ? last - first + 1 : f->size;
	if (kind == RANGE_PART)
		answer_header(ret, "Content-Range", "bytes %ju-%ju/%ju", (uintmax_t)first,
			      (uintmax_t)last, (uintmax_t)f->size);
	ret->fd = TAKE_FD(f->fd);
}

static void answer_open_file(const struct request *request, struct file *f,
			     const char *content_type, struct answer *ret)
{
	if (if_none_match_hits(request->if_none_match, f))
		ret->status = 304;
	else
		answer_file(request, f, ret);
	if (ret->status != 416)
		answer_header(ret, "Content-Type", "%s", content_type);
	answer_header(ret, "Accept-Ranges", "bytes");
	answer_header(ret, "ETag", "%s", f->etag);
	answer_header(ret, "Last-Modified", "%s", f->last_modified);
}

static void answer_no_file(int error, struct answer *ret)
{
	if (error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -EIO) {
		answer_error(ret, 503, NULL, "%s", strerror(-error));
		answer_header(ret, "Retry-After", "60");
	} else {
		answer_error(ret, 404, NULL, "no such file");
	}
}

void files_answer_fd(const struct request *request, int fd, struct answer *ret)
{
	_cleanup_(file_close) struct file f = { .fd = fd };
	int r = fd < 0 ? fd : describe(&f);

	if (r < 0)
		answer_no_file(r, ret);
	else
		answer_open_file(request, &f, "application/octet-stream", ret);
}

static void serve(struct service *s, const char *directory, const char *content_type,
		  const struct request *request, struct answer *ret)
{
	_cleanup_(file_close) struct file f = { .fd = FD_NONE };
	int r = -ENOENT;

	if (s->conf->serve)
		r = open_file(s->conf->repository, directory, request->rest, &f);
	if (r < 0)
		answer_no_file(r, ret);
	else
		answer_open_file(request, &f, content_type, ret);
}

void files_handle_metadata(struct service *s, const struct request *request, struct answer *ret)
{
	serve(s, "metadata", "application/json", request, ret);
	/* A cache in between must not give yesterday's timestamp.json. */
	if (ret->status < 300)
		answer_header(ret, "Cache-Control", "no-cache");
}

void files_handle_targets(struct service *s, const struct request *request, struct answer *ret)
{
	serve(s, "targets", "application/octet-stream", request, ret);
}
