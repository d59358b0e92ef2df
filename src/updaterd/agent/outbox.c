/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/outbox.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"

#define NAME_MAX_BYTES 64

struct entry {
	char txid[TXID_LENGTH + 1];
	struct timespec put;
};

struct list {
	struct entry entries[OUTBOX_MAX_RESULTS * 2]; /* a few too many are dealt with, not lost */
	size_t n;
};

int txid_new(char ret[TXID_LENGTH + 1])
{
	sd_id128_t id;
	int r = sd_id128_randomize(&id);

	if (r < 0)
		return r;
	(void)snprintf(ret, TXID_LENGTH + 1, SD_ID128_UUID_FORMAT_STR, SD_ID128_FORMAT_VAL(id));
	return 0;
}

static void name_of(char ret[NAME_MAX_BYTES], const char *txid, const char *suffix)
{
	(void)snprintf(ret, NAME_MAX_BYTES, "%s%s", txid, suffix);
}

static bool has_suffix(const char *name, const char *suffix, char ret_txid[TXID_LENGTH + 1])
{
	if (strlen(name) < TXID_LENGTH || strcmp(name + TXID_LENGTH, suffix) != 0)
		return false;
	memcpy(ret_txid, name, TXID_LENGTH);
	ret_txid[TXID_LENGTH] = '\0';
	return txid_is_valid(ret_txid);
}

static int by_time(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->put.tv_sec != y->put.tv_sec)
		return x->put.tv_sec < y->put.tv_sec ? -1 : 1;
	if (x->put.tv_nsec != y->put.tv_nsec)
		return x->put.tv_nsec < y->put.tv_nsec ? -1 : 1;
	return strcmp(x->txid, y->txid);
}

/* The results with this suffix, oldest first. */
static int list_entries(int outbox_fd, const char *suffix, struct list *ret)
{
	_cleanup_dir_ DIR *dir = NULL;
	const char *name;
	int r;

	ret->n = 0;
	r = fs_open_dir(outbox_fd, ".", &dir);
	if (r < 0)
		return r;
	while (ret->n < ELEMENTSOF(ret->entries) && (name = fs_next_name(dir))) {
		struct entry *e = &ret->entries[ret->n];
		struct stat st;

		if (!has_suffix(name, suffix, e->txid) ||
		    fstatat(outbox_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		e->put = st.st_mtim;
		ret->n++;
	}
	qsort(ret->entries, ret->n, sizeof ret->entries[0], by_time);
	return 0;
}

static int remove_entry(int outbox_fd, const char *txid, const char *suffix)
{
	char name[NAME_MAX_BYTES];

	name_of(name, txid, suffix);
	return fs_remove_tree(outbox_fd, name);
}

/* Makes room for one more with this suffix. */
static int drop_oldest(int outbox_fd, const char *suffix)
{
	struct list list;
	int r = list_entries(outbox_fd, suffix, &list);

	for (size_t i = 0; r >= 0 && i + OUTBOX_MAX_RESULTS <= list.n; i++)
		r = remove_entry(outbox_fd, list.entries[i].txid, suffix);
	return r;
}

static bool exists(int outbox_fd, const char *txid, const char *suffix)
{
	char name[NAME_MAX_BYTES];

	name_of(name, txid, suffix);
	return faccessat(outbox_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int outbox_put(int outbox_fd, const cJSON *result)
{
	_cleanup_free_ char *text = NULL;
	char name[NAME_MAX_BYTES];
	const char *txid;
	int r;

	r = json_get_string(result, "txid", &txid, NULL);
	if (r < 0 || !txid_is_valid(txid))
		return -EBADMSG;
	if (exists(outbox_fd, txid, ".json") || exists(outbox_fd, txid, ".rejected"))
		return 0;
	text = json_print(result);
	if (!text)
		return -ENOMEM;
	if (strlen(text) > OUTBOX_MAX_RESULT_BYTES)
		return -EFBIG;
	r = drop_oldest(outbox_fd, ".json");
	if (r < 0)
		return r;
	name_of(name, txid, ".json");
	r = fs_write_file_atomic(outbox_fd, name, text, strlen(text), 0600);
	return r < 0 ? r : 1;
}

static int set_aside(int outbox_fd, const char *txid, const char *body, size_t size)
{
	char name[NAME_MAX_BYTES];
	int r;

	r = drop_oldest(outbox_fd, ".rejected");
	if (r < 0)
		return r;
	name_of(name, txid, ".rejected");
	r = fs_write_file_atomic(outbox_fd, name, body, size, 0600);
	return r < 0 ? r : remove_entry(outbox_fd, txid, ".json");
}

/* 1 if it is dealt with, 0 if it has to wait. */
static int deliver(int outbox_fd, const char *txid, const struct outbox_ops *ops)
{
	_cleanup_free_ char *body = NULL;
	char name[NAME_MAX_BYTES];
	size_t size;
	int r;

	name_of(name, txid, ".json");
	r = fs_read_file(outbox_fd, name, OUTBOX_MAX_RESULT_BYTES, &body, &size);
	if (r == -EFBIG) /* nothing of ours */
		return remove_entry(outbox_fd, txid, ".json");
	if (r < 0)
		return r;
	switch (ops->send(ops->userdata, txid, body, size)) {
	case DELIVERY_ARCHIVED:
		ops->archived(ops->userdata, txid);
		r = remove_entry(outbox_fd, txid, ".json");
		break;
	case DELIVERY_REJECTED:
		r = set_aside(outbox_fd, txid, body, size);
		if (r >= 0)
			ops->rejected(ops->userdata, txid);
		break;
	case DELIVERY_LATER:
	default: return 0;
	}
	return r < 0 ? r : 1;
}

/* What a crash left of a write: its name is not used again. */
static void sweep(int outbox_fd)
{
	_cleanup_dir_ DIR *dir = NULL;
	const char *name;

	if (fs_open_dir(outbox_fd, ".", &dir) < 0)
		return;
	while ((name = fs_next_name(dir)))
		if (strncmp(name, ".#", 2) == 0 && fs_remove_tree(outbox_fd, name) < 0)
			log_debug("outbox: '%s' cannot be removed", name);
}

int outbox_flush(int outbox_fd, const struct outbox_ops *ops)
{
	struct list list;
	int first = 0, r;

	sweep(outbox_fd);
	r = list_entries(outbox_fd, ".json", &list);

	if (r < 0)
		return r;
	for (size_t i = 0; i < list.n; i++) {
		r = deliver(outbox_fd, list.entries[i].txid, ops);
		/* One that cannot be read must not hold up the others. */
		if (r < 0)
			first = first ? first : r;
		if (r == 0)
			return first ? first : (int)(list.n - i);
	}
	return first;
}

/* The query server says what is wrong with a body; something in between has a page of its own. */
static bool is_the_servers_word(const char *body, size_t size)
{
	_cleanup_json_ cJSON *object = NULL;
	const char *error;

	return body && json_parse(body, size, NULL, &object, NULL) == 0 &&
	       json_get_string(object, "error", &error, NULL) == 0;
}

/* The protocol knows two ways of saying that it is archived; a 204 is somebody else's. Only what is about
 * the body itself is for ever: the rest may be a server that is being set up. */
enum delivery outbox_judge(long status, const char *body, size_t size)
{
	if (status == 200 || status == 201)
		return DELIVERY_ARCHIVED;
	if (status != 400 && status != 409 && status != 413 && status != 415 && status != 422)
		return DELIVERY_LATER;
	return is_the_servers_word(body, size) ? DELIVERY_REJECTED : DELIVERY_LATER;
}
