/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/catalog.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "tuf/client.h"
#include "tuf/name.h"

/* What tells one timestamp.json from another. */
struct file_mark {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

struct catalog {
	char *repository;
	char *trusted_root;
	char error[512];
	char warning[512];
	struct file_mark mark;
	int64_t retry_sec; /* when to try again what failed; 0: nothing failed */
	int64_t expires_sec;

	pthread_mutex_t lock; /* for current only */
	struct releases *current;
};

int catalog_new(const char *repository, const char *trusted_root, struct catalog **ret)
{
	_cleanup_(catalog_freep) struct catalog *c = calloc(1, sizeof *c);
	int r;

	if (!c)
		return -ENOMEM;
	if (pthread_mutex_init(&c->lock, NULL) != 0)
		return -ENOMEM;
	c->repository = strdup(repository);
	c->trusted_root = strdup(trusted_root);
	if (!c->repository || !c->trusted_root)
		return -ENOMEM;
	r = releases_new(&c->current);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct catalog *catalog_free(struct catalog *c)
{
	if (!c)
		return NULL;
	(void)releases_unref(c->current);
	(void)pthread_mutex_destroy(&c->lock);
	free(c->trusted_root);
	free(c->repository);
	free(c);
	return NULL;
}

struct releases *catalog_acquire(struct catalog *c)
{
	struct releases *releases;

	(void)pthread_mutex_lock(&c->lock);
	releases = releases_ref(c->current);
	(void)pthread_mutex_unlock(&c->lock);
	return releases;
}

void catalog_use(struct catalog *c, struct releases *releases)
{
	struct releases *old;

	(void)pthread_mutex_lock(&c->lock);
	old = c->current;
	c->current = releases;
	(void)pthread_mutex_unlock(&c->lock);
	(void)releases_unref(old);
}

const char *catalog_error(const struct catalog *c)
{
	return c->error;
}

const char *catalog_warning(const struct catalog *c)
{
	return c->warning;
}

int64_t catalog_expires_sec(const struct catalog *c)
{
	return c->expires_sec;
}

/* ---- reading ---- */

_printf_(3, 4) static int fail(struct catalog *c, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(c->error, sizeof c->error, format, args);
	va_end(args);
	return error;
}

/* tuf_source.fetch from the metadata directory; userdata is its descriptor. */
static int fetch_metadata(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
			  size_t *ret_size)
{
	const int *dirfd = userdata;
	_cleanup_close_ int fd = fs_open_beneath(*dirfd, name, O_RDONLY | O_NONBLOCK, 0);

	if (fd < 0)
		return fd;
	return fs_read_fd(fd, max_bytes, ret_bytes, ret_size);
}

struct collect {
	struct releases *releases;
	struct catalog *catalog;
};

/* A gateway makes a file name and a URL of the path, and finds the file by its SHA-256. */
static int add_target(struct releases *releases, const struct tuf_target *target)
{
	int r;

	if (!tuf_path_is_plain(target->path) || !target->has_sha256)
		return -EBADMSG;
	r = releases_add(releases, target->path, target->length, target->custom);
	if (r > 0)
		releases_note_sha256(releases, target->sha256);
	return r;
}

/* One target that makes no sense must not keep the other programs from their upgrades. */
static int collect_target(const struct tuf_target *target, void *userdata)
{
	struct collect *collect = userdata;
	char *warning = collect->catalog->warning;
	int r = add_target(collect->releases, target);

	if (r != -EBADMSG)
		return r < 0 ? r : 0;
	if (!*warning)
		(void)snprintf(
			warning, sizeof collect->catalog->warning,
			"target '%s' is passed over: its path, its hashes or its custom data are "
			"not those of a release",
			target->path);
	return 0;
}

static int collect_releases(struct catalog *c, struct tuf_client *client, struct releases **ret)
{
	_cleanup_(releases_unrefp) struct releases *releases = NULL;
	struct collect collect = { .catalog = c };
	int r;

	r = releases_new(&releases);
	if (r < 0)
		return r;
	collect.releases = releases;
	c->warning[0] = '\0';
	r = tuf_client_each_target(client, collect_target, &collect);
	if (r < 0)
		return fail(c, r, "%s", tuf_client_error(client));
	releases_sort(releases);
	*ret = TAKE_PTR(releases);
	return 0;
}

static int read_repository(struct catalog *c, int metadata_dir, int64_t now_sec,
			   struct releases **ret)
{
	struct tuf_source source = { .userdata = &metadata_dir, .fetch = fetch_metadata };
	_cleanup_(tuf_client_freep) struct tuf_client *client = NULL;
	_cleanup_free_ char *root = NULL;
	size_t root_size = 0;
	int r;

	r = fs_read_file(AT_FDCWD, c->trusted_root, TUF_ROOT_MAX_BYTES, &root, &root_size);
	if (r < 0)
		return fail(c, r, "trusted root '%s': %s", c->trusted_root, strerror(-r));
	r = tuf_client_new(root, root_size, now_sec, &source, NULL, &client);
	if (r < 0)
		return fail(c, r, "trusted root '%s' is no valid root metadata", c->trusted_root);
	r = tuf_client_refresh(client);
	if (r < 0)
		return fail(c, r, "%s", tuf_client_error(client));
	r = collect_releases(c, client, ret);
	if (r == 0)
		c->expires_sec = tuf_client_expires_sec(client);
	return r;
}

/* ---- when to read ---- */

static bool is_same_file(const struct file_mark *a, const struct file_mark *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static int open_metadata(struct catalog *c, struct file_mark *ret_mark)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = FD_NONE;
	struct stat st;

	if (asprintf(&path, "%s/metadata", c->repository) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstatat(fd, "timestamp.json", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	*ret_mark = (struct file_mark){ st.st_dev, st.st_ino, st.st_size, st.st_mtim };
	return TAKE_FD(fd);
}

int catalog_refresh(struct catalog *c, bool force, int64_t now_sec)
{
	_cleanup_close_ int metadata_dir = FD_NONE;
	struct releases *releases = NULL;
	struct file_mark mark = { 0 };
	bool due = force || (c->retry_sec != 0 && now_sec >= c->retry_sec);
	int r;

	metadata_dir = open_metadata(c, &mark);
	if (!due && is_same_file(&mark, &c->mark))
		return 0;
	c->mark = mark;
	if (metadata_dir < 0)
		r = fail(c, metadata_dir, "metadata/timestamp.json: %s", strerror(-metadata_dir));
	else
		r = read_repository(c, metadata_dir, now_sec, &releases);
	if (r < 0) {
		c->retry_sec = now_sec + CATALOG_RETRY_SEC;
		return r;
	}
	c->retry_sec = 0;
	c->error[0] = '\0';
	catalog_use(c, releases);
	return 1;
}
