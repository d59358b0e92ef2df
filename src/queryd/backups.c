/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/backups.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "queryd/backup_files.h"

#define DAY_SEC	    INT64_C(86400)
#define MAX_UPLOADS 64 /* at a time */

struct backups {
	const struct queryd_conf *conf;
	struct store *store;
	struct catalog *catalog;
	struct backup_files *files;
	pthread_mutex_t lock;	       /* from what is decided to what is done */
	uint64_t uploads[MAX_UPLOADS]; /* ids; 0: free */
	uint64_t coming_bytes;	       /* of their parts: room that is promised */
};

struct backup_upload {
	struct backups *backups;
	struct store_backup backup;
	int fd;
	uint64_t offset, end, promised_bytes;
};

int backups_open(const struct queryd_conf *conf, struct store *store, struct catalog *catalog,
		 struct backups **ret, char **ret_error)
{
	_cleanup_(backups_closep) struct backups *b = calloc(1, sizeof *b);
	int r;

	if (!b || pthread_mutex_init(&b->lock, NULL) != 0)
		return -ENOMEM;
	b->conf = conf;
	b->store = store;
	b->catalog = catalog;
	r = backup_files_open(conf->backup_path, &b->files, ret_error);
	if (r < 0)
		return r;
	r = backups_tidy(b, (int64_t)time(NULL));
	if (r < 0) {
		if (ret_error && asprintf(ret_error, "%s: %s", conf->backup_path, strerror(-r)) < 0)
			*ret_error = NULL;
		return r;
	}
	*ret = TAKE_PTR(b);
	return 0;
}

struct backups *backups_close(struct backups *b)
{
	if (!b)
		return NULL;
	(void)backup_files_close(b->files);
	(void)pthread_mutex_destroy(&b->lock);
	free(b);
	return NULL;
}

static int unlock(struct backups *b, int r)
{
	(void)pthread_mutex_unlock(&b->lock);
	return r;
}

/* ---- the repository's program files ---- */

/* 1 and the release's file, 0 if there is none. -EAGAIN while the repository cannot be read. */
static int find_release(struct backups *b, const char *tar_sha256, struct backup_state *ret,
			char **ret_path)
{
	_cleanup_(releases_unrefp) struct releases *releases = catalog_acquire(b->catalog);
	const struct release *release = releases_with_tar(releases, tar_sha256);
	const char *name;

	if (!release)
		return releases_count(releases) > 0 ? 0 : -EAGAIN;
	if (ret) {
		(void)snprintf(ret->sha256, sizeof ret->sha256, "%s", release->sha256);
		ret->length_bytes = release->length_bytes;
	}
	if (!ret_path)
		return 1;
	name = strrchr(release->target, '/');
	name = name ? name + 1 : release->target;
	if (asprintf(ret_path, "targets/%.*s%s.%s", (int)(name - release->target), release->target,
		     release->sha256, name) < 0)
		return -ENOMEM;
	return 1;
}

/* ---- looking ---- */

int backups_describe(struct backups *b, const struct store_backup *backup, struct backup_state *ret)
{
	*ret = (struct backup_state){ .is_held = backup->state != STORE_BACKUP_WANTED,
				      .is_by_reference = backup->state == STORE_BACKUP_TARGET };
	if (ret->is_by_reference)
		return find_release(b, backup->tar_sha256, ret, NULL) == -ENOMEM ? -ENOMEM : 0;
	memcpy(ret->sha256, backup->sha256, sizeof ret->sha256);
	ret->length_bytes = backup->length_bytes;
	return ret->is_held ? 0 : backup_files_arrived(b->files, backup->id, &ret->offset_bytes);
}

int backups_get(struct backups *b, const char *identity, const char *version,
		struct store_backup *ret_backup, struct backup_state *ret)
{
	int r = store_get_backup(b->store, identity, version, ret_backup);

	return r < 0 ? r : backups_describe(b, ret_backup, ret);
}

static int open_target(struct backups *b, const struct store_backup *backup)
{
	_cleanup_close_ int repository = FD_NONE;
	_cleanup_free_ char *path = NULL;
	int r = find_release(b, backup->tar_sha256, NULL, &path);

	if (r <= 0)
		return r == -ENOMEM ? r : -ENOENT;
	repository = open(b->conf->repository, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return repository < 0 ? -errno : fs_open_regular(repository, path, NULL);
}

int backups_open_file(struct backups *b, const struct store_backup *backup)
{
	if (backup->state == STORE_BACKUP_TARGET)
		return open_target(b, backup);
	if (backup->state == STORE_BACKUP_WANTED)
		return -ENOENT;
	return backup_files_open_file(b->files, backup->sha256, NULL);
}

/* ---- removing ---- */

static int find_upload(const struct backups *b, uint64_t id)
{
	for (int i = 0; i < MAX_UPLOADS; i++)
		if (b->uploads[i] == id)
			return i;
	return -EBUSY;
}

/* The row first: a file without a row is litter, a row without a file would be a lie. */
static int remove_backup(struct backups *b, const struct store_backup *backup)
{
	int r;

	if (find_upload(b, backup->id) >= 0)
		return -EBUSY;
	r = store_remove_backup(b->store, backup->id);
	if (r <= 0)
		return r;
	if (backup->state == STORE_BACKUP_WANTED)
		return backup_files_remove_part(b->files, backup->id);
	if (backup->state == STORE_BACKUP_TARGET)
		return 0;
	r = store_has_backup_file(b->store, backup->sha256);
	return r != 0 ? r : backup_files_remove_file(b->files, backup->sha256);
}

int backups_remove(struct backups *b, const char *identity, const char *version)
{
	struct store_backup backup;
	int r;

	(void)pthread_mutex_lock(&b->lock);
	r = store_get_backup(b->store, identity, version, &backup);
	if (r == 0)
		r = remove_backup(b, &backup);
	return unlock(b, r < 0 ? r : 0);
}

/* ---- telling ---- */

static bool is_file_here(struct backups *b, const char *sha256, uint64_t length_bytes)
{
	uint64_t size = 0;
	_cleanup_close_ int fd = backup_files_open_file(b->files, sha256, &size);

	return fd >= 0 && size == length_bytes && store_has_backup_file(b->store, sha256) > 0;
}

/* Whose bytes need not come. A tar is known by what is signed; for what gateways say of theirs, only the
 * bytes speak. */
static int find_state(struct backups *b, const struct backup_told *told)
{
	int r = find_release(b, told->tar_sha256, NULL, NULL);

	if (r < 0 && r != -EAGAIN)
		return r;
	if (r > 0)
		return STORE_BACKUP_TARGET;
	return is_file_here(b, told->sha256, told->length_bytes) ? STORE_BACKUP_FILE
								 : STORE_BACKUP_WANTED;
}

static int check_limits(struct backups *b, uint64_t length_bytes)
{
	uint64_t used = backup_files_used_bytes(b->files);

	if (length_bytes > b->conf->backup_max_file_bytes)
		return -EFBIG;
	if (used + length_bytes > b->conf->backup_max_total_bytes)
		return -EDQUOT;
	return 0;
}

/* The one that its gateway has not told of for the longest time makes room. */
static int make_room(struct backups *b, const char *identity)
{
	int n;

	while ((n = store_count_backups(b->store, identity)) > 0 &&
	       (uint64_t)n >= b->conf->backup_max_per_gateway) {
		struct store_backup oldest;
		int r = store_oldest_backup(b->store, identity, &oldest);

		if (r == 0)
			r = remove_backup(b, &oldest);
		if (r < 0)
			return r;
		log_info("backup of %s: %s went for a newer one", identity, oldest.version);
	}
	return n < 0 ? n : 0;
}

static int add(struct backups *b, const struct backup_told *told, struct store_backup *ret)
{
	struct store_backup backup = { .length_bytes = told->length_bytes,
				       .made_sec = told->now_sec,
				       .told_sec = told->now_sec };
	int r = find_state(b, told);

	if (r == STORE_BACKUP_WANTED)
		r = check_limits(b, told->length_bytes);
	else if (r > 0)
		backup.state = (enum store_backup_state)r;
	if (r >= 0)
		r = make_room(b, told->identity);
	if (r < 0)
		return r;
	(void)snprintf(backup.identity, sizeof backup.identity, "%s", told->identity);
	(void)snprintf(backup.version, sizeof backup.version, "%s", told->version);
	(void)snprintf(backup.tar_sha256, sizeof backup.tar_sha256, "%s", told->tar_sha256);
	(void)snprintf(backup.sha256, sizeof backup.sha256, "%s", told->sha256);
	r = store_put_backup(b->store, &backup);
	if (r == 0)
		*ret = backup;
	return r;
}

/* Is what was held still there? The repository may have lost it. */
static bool is_held_still(struct backups *b, const struct store_backup *backup)
{
	if (backup->state == STORE_BACKUP_TARGET)
		return find_release(b, backup->tar_sha256, NULL, NULL) != 0;
	return backup->state == STORE_BACKUP_FILE;
}

/* 1: it goes on as it is; 0: it begins anew. */
static int compare(struct backups *b, const struct backup_told *told,
		   const struct store_backup *backup)
{
	bool is_same_tar = strcmp(told->tar_sha256, backup->tar_sha256) == 0;

	if (is_held_still(b, backup))
		return is_same_tar ? 1 : -EEXIST;
	return backup->state == STORE_BACKUP_WANTED && is_same_tar &&
	       strcmp(told->sha256, backup->sha256) == 0 &&
	       told->length_bytes == backup->length_bytes && find_state(b, told) == 0;
}

static int tell_known(struct backups *b, const struct backup_told *told,
		      struct store_backup *backup)
{
	int r = compare(b, told, backup);

	if (r < 0)
		return r;
	if (r > 0) {
		backup->told_sec = told->now_sec;
		r = store_tell_backup(b->store, backup->id, told->now_sec);
		return r < 0 ? r : 0;
	}
	if (!*told->sha256)
		return -ENOENT;
	r = remove_backup(b, backup);
	if (r >= 0)
		r = add(b, told, backup);
	return r < 0 ? r : 1;
}

static int tell(struct backups *b, const struct backup_told *told, struct store_backup *ret)
{
	int r = store_get_backup(b->store, told->identity, told->version, ret);

	if (r == 0)
		return tell_known(b, told, ret);
	if (r == -ENOENT && *told->sha256) {
		r = add(b, told, ret);
		return r < 0 ? r : 1;
	}
	return r;
}

int backups_tell(struct backups *b, const struct backup_told *told, struct backup_state *ret)
{
	struct store_backup backup;
	int r, described;

	(void)pthread_mutex_lock(&b->lock);
	r = tell(b, told, &backup);
	if (r >= 0) {
		described = backups_describe(b, &backup, ret);
		if (described < 0)
			r = described;
	}
	return unlock(b, r);
}

/* ---- bytes ---- */

static int claim(struct backup_upload *u, uint64_t bytes)
{
	struct backups *b = u->backups;
	int i = find_upload(b, 0);

	if (i < 0 || find_upload(b, u->backup.id) >= 0)
		return -EBUSY;
	b->uploads[i] = u->backup.id;
	b->coming_bytes += bytes;
	u->promised_bytes = bytes;
	return 0;
}

static void release(struct backup_upload *u)
{
	struct backups *b = u->backups;
	int i = find_upload(b, u->backup.id);

	if (i >= 0)
		b->uploads[i] = 0;
	b->coming_bytes -= u->promised_bytes;
}

/* What has come of a part counts twice while more of it comes: it may be a little less, and is never more. */
static bool is_room(struct backups *b, uint64_t bytes)
{
	return backup_files_used_bytes(b->files) + b->coming_bytes + bytes <=
	       b->conf->backup_max_total_bytes;
}

static int begin(struct backup_upload *u, uint64_t first, uint64_t last, uint64_t total,
		 const struct backup_state *state)
{
	struct backups *b = u->backups;
	int r;

	if (state->is_held)
		return -EALREADY;
	if (total != state->length_bytes || first > last || last >= total)
		return -ERANGE;
	if (first != state->offset_bytes)
		return find_upload(b, u->backup.id) >= 0 ? -EBUSY : -ESTALE;
	if (total > b->conf->backup_max_file_bytes)
		return -EFBIG;
	if (!is_room(b, last - first + 1))
		return -EDQUOT;
	r = claim(u, last - first + 1);
	if (r < 0)
		return r;
	u->fd = backup_files_begin(b->files, u->backup.id, first);
	if (u->fd < 0)
		release(u);
	u->offset = first;
	u->end = last + 1;
	return u->fd < 0 ? u->fd : 0;
}

int backups_begin(struct backups *b, const char *identity, const char *version, uint64_t first,
		  uint64_t last, uint64_t total, struct backup_upload **ret,
		  struct backup_state *ret_state)
{
	_cleanup_free_ struct backup_upload *u = calloc(1, sizeof *u);
	int r;

	if (!u)
		return -ENOMEM;
	u->backups = b;
	(void)pthread_mutex_lock(&b->lock);
	r = backups_get(b, identity, version, &u->backup, ret_state);
	if (r == 0)
		r = begin(u, first, last, total, ret_state);
	if (r == 0)
		*ret = TAKE_PTR(u);
	return unlock(b, r);
}

int backups_write(struct backup_upload *u, const void *bytes, size_t size)
{
	int r;

	if (size > u->end - u->offset)
		return -ERANGE;
	r = backup_files_write(u->backups->files, u->fd, u->offset, bytes, size);
	if (r == 0)
		u->offset += size;
	return r;
}

struct backup_upload *backups_abort(struct backup_upload *u)
{
	struct backups *b;

	if (!u)
		return NULL;
	b = u->backups;
	close_fd(&u->fd);
	(void)pthread_mutex_lock(&b->lock);
	release(u);
	(void)unlock(b, 0);
	free(u);
	return NULL;
}

static int finish(struct backup_upload *u)
{
	struct backups *b = u->backups;
	int r;

	r = backup_files_check(b->files, u->backup.id, u->fd, u->backup.sha256);
	if (r < 0)
		return r;
	/* Between the two nobody may take the file for litter. */
	(void)pthread_mutex_lock(&b->lock);
	r = backup_files_name(b->files, u->backup.id, u->backup.sha256);
	if (r == 0)
		r = store_set_backup_state(b->store, u->backup.id, STORE_BACKUP_FILE);
	return unlock(b, r < 0 ? r : 0);
}

static int end_upload(struct backup_upload *u, struct backup_state *ret)
{
	bool is_complete = u->offset == u->backup.length_bytes;
	int r;

	if (u->offset != u->end)
		return -ENODATA;
	if (!is_complete && fsync(u->fd) < 0)
		return -errno;
	r = is_complete ? finish(u) : 0;
	if (r < 0)
		return r;
	*ret = (struct backup_state){ .is_held = is_complete,
				      .length_bytes = u->backup.length_bytes,
				      .offset_bytes = is_complete ? 0 : u->offset };
	memcpy(ret->sha256, u->backup.sha256, sizeof ret->sha256);
	return 0;
}

int backups_end(struct backup_upload *u, struct backup_state *ret)
{
	int r = end_upload(u, ret);

	(void)backups_abort(u);
	return r;
}

/* ---- tidying up ---- */

#define TIDY_PAGE 256

struct tidy {
	struct backups *backups;
	struct store_backup rows[TIDY_PAGE];
	size_t n;
};

static int take_row(const struct store_backup *backup, void *userdata)
{
	struct tidy *t = userdata;

	t->rows[t->n++] = *backup;
	return 0;
}

/* Calls each for every row; it may remove its own. Returns the sum of what each gives. */
static int each_row(struct tidy *t, int64_t told_before,
		    int (*each)(struct backups *b, const struct store_backup *backup))
{
	struct store_backup_filter filter = { .told_before = told_before, .limit = TIDY_PAGE };
	int sum = 0;

	do {
		int r;

		t->n = 0;
		r = store_each_backup(t->backups->store, &filter, take_row, t);
		for (size_t i = 0; i < t->n && r >= 0; i++) {
			filter.after = t->rows[i].id;
			r = each(t->backups, &t->rows[i]);
			sum += r > 0;
		}
		if (r < 0)
			return r;
	} while (t->n == TIDY_PAGE);
	return sum;
}

static int drop_old(struct backups *b, const struct store_backup *backup)
{
	int r = remove_backup(b, backup);

	if (r == -EBUSY)
		return 0;
	return r < 0 ? r : 1;
}

static int drop_abandoned(struct backups *b, const struct store_backup *backup)
{
	return backup->state == STORE_BACKUP_WANTED ? drop_old(b, backup) : 0;
}

/* A crash between the file's name and the row's word for it; or a file that somebody has removed. */
static int put_right(struct backups *b, const struct store_backup *backup)
{
	_cleanup_close_ int fd = FD_NONE;
	enum store_backup_state state;
	uint64_t size = 0;
	int r;

	if (backup->state == STORE_BACKUP_TARGET)
		return 0;
	fd = backup_files_open_file(b->files, backup->sha256, &size);
	if (fd < 0 && fd != -ENOENT)
		return fd;
	state = fd >= 0 && size == backup->length_bytes ? STORE_BACKUP_FILE : STORE_BACKUP_WANTED;
	if (state == backup->state)
		return 0;
	r = store_set_backup_state(b->store, backup->id, state);
	return r < 0 ? r : 0;
}

static int drop_file(const char *sha256, void *userdata)
{
	struct backups *b = userdata;
	int r = store_has_backup_file(b->store, sha256);

	return r != 0 ? r : backup_files_remove_file(b->files, sha256);
}

struct part_search {
	struct backups *backups;
	uint64_t id;
};

static int find_part(const struct store_backup *backup, void *userdata)
{
	const struct part_search *search = userdata;

	return backup->id == search->id && backup->state == STORE_BACKUP_WANTED;
}

static int drop_part(uint64_t id, void *userdata)
{
	struct part_search search = { .backups = userdata, .id = id };
	const struct store_backup_filter filter = { .after = id - 1, .limit = 1 };
	int r;

	r = id == 0 ? 0 : store_each_backup(search.backups->store, &filter, find_part, &search);
	return r != 0 ? (r < 0 ? r : 0) : backup_files_remove_part(search.backups->files, id);
}

static int tidy(struct tidy *t, int64_t now_sec)
{
	struct backups *b = t->backups;
	uint64_t keep_days = b->conf->backup_keep_days;
	int n = 0, r = 0;

	if (keep_days > 0)
		n = r = each_row(t, now_sec - (int64_t)keep_days * DAY_SEC, drop_old);
	if (r >= 0)
		r = each_row(t, now_sec - BACKUPS_WANTED_DAYS * DAY_SEC, drop_abandoned);
	n += r;
	if (r >= 0)
		r = each_row(t, 0, put_right);
	if (r >= 0)
		r = backup_files_each_file(b->files, drop_file, b);
	if (r >= 0)
		r = backup_files_each_part(b->files, drop_part, b);
	return r < 0 ? r : n;
}

int backups_tidy(struct backups *b, int64_t now_sec)
{
	_cleanup_free_ struct tidy *t = calloc(1, sizeof *t);
	int r;

	if (!t)
		return -ENOMEM;
	t->backups = b;
	(void)pthread_mutex_lock(&b->lock);
	r = tidy(t, now_sec);
	return unlock(b, r);
}
