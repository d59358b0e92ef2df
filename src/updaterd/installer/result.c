/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/result.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "common/json.h"

#define RESULTS		  "results"
#define RESULT_SUFFIX	  ".json"
#define HISTORY		  "history.jsonl"
#define HISTORY_MAX_BYTES ((size_t)RESULT_HISTORY_LINES * RESULT_MAX_BYTES)
/* More than there can be, so that the oldest are among those that are listed. */
#define MAX_WAITING	  ((size_t)2 * RESULT_OUTBOX_FILES)
#define JSON_MAX_INTEGER  ((UINT64_C(1) << 53) - 1)

/* ---- JSON ---- */

static int get_optional_u64(const cJSON *object, const char *key, uint64_t *ret,
			    struct json_error *error)
{
	int r = json_get_u64(object, key, JSON_MAX_INTEGER, ret, error);

	return r == -ENOENT ? 0 : r;
}

const char *result_file_from_name(const char *name)
{
	if (!name)
		return NULL;
	return strcmp(name, RESULT_FILE_FULL) == 0    ? RESULT_FILE_FULL
	       : strcmp(name, RESULT_FILE_PATCH) == 0 ? RESULT_FILE_PATCH
						      : NULL;
}

const char *result_kind_from_name(const char *name)
{
	return strcmp(name, RESULT_KIND_ROLLBACK) == 0 ? RESULT_KIND_ROLLBACK
	       : strcmp(name, RESULT_KIND_REPAIR) == 0 ? RESULT_KIND_REPAIR
						       : RESULT_KIND_UPGRADE;
}

int result_share_parse(const char *json, struct result_share *ret, char **ret_error)
{
	_cleanup_json_ cJSON *object = NULL;
	struct result_share share = { 0 };
	struct json_error error = { 0 };
	int r;

	r = json_parse(json, strlen(json), NULL, &object, &error);
	if (r == 0 && !cJSON_IsObject(object)) {
		(void)snprintf(error.text, sizeof error.text, "not a JSON object");
		r = -EBADMSG;
	}
	if (r == 0)
		r = get_optional_u64(object, "started_sec", &share.started_sec, &error);
	if (r == 0)
		r = get_optional_u64(object, "duration_ms", &share.duration_ms, &error);
	if (r == 0)
		r = get_optional_u64(object, "bytes_fetched", &share.bytes_fetched, &error);
	if (r == 0)
		r = get_optional_u64(object, "segments_fetched", &share.segments_fetched, &error);
	if (r == 0)
		r = get_optional_u64(object, "segments_again", &share.segments_again, &error);
	if (r == 0) {
		share.file = result_file_from_name(json_text_or(object, "file", NULL));
		share.is_from_medium = cJSON_IsTrue(
			cJSON_GetObjectItemCaseSensitive(object, "from_medium"));
	}
	if (r < 0) {
		if (ret_error && asprintf(ret_error, "%s%s%s", error.field,
					  *error.field ? ": " : "", error.text) < 0)
			*ret_error = NULL;
		return r == -ENOMEM ? r : -EBADMSG;
	}
	*ret = share;
	return 0;
}

static bool add_version(cJSON *object, const char *key, const char *version)
{
	return *version == '\0' || cJSON_AddStringToObject(object, key, version);
}

/* What failed may be told in somebody else's words, and cut within a character. */
static bool add_detail(cJSON *object, const char *text)
{
	char detail[sizeof((struct failure *)0)->text];
	size_t n = 0;

	for (; n < sizeof detail - 1 && text[n]; n++)
		detail[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
	detail[n] = '\0';
	return cJSON_AddStringToObject(object, "detail", detail);
}

static bool add_judgement(cJSON *object, const struct result *r)
{
	return cJSON_AddStringToObject(object, "outcome", outcome_name(r->outcome)) &&
	       cJSON_AddStringToObject(object, "step", step_name(r->step)) &&
	       cJSON_AddStringToObject(object, "reason", reason_name(r->failure.reason)) &&
	       add_detail(object, r->failure.text);
}

/* Some of them are what somebody else said: a number must never be why an attempt cannot end. */
static bool add_measure(cJSON *object, const char *key, uint64_t value)
{
	return json_add_u64(object, key, value < JSON_MAX_INTEGER ? value : JSON_MAX_INTEGER);
}

static bool add_measures(cJSON *object, const struct result *r)
{
	return (!r->share.file || cJSON_AddStringToObject(object, "file", r->share.file)) &&
	       add_measure(object, "started_sec", r->share.started_sec) &&
	       add_measure(object, "duration_ms", r->share.duration_ms) &&
	       add_measure(object, "downtime_ms", r->downtime_ms) &&
	       add_measure(object, "bytes_fetched", r->share.bytes_fetched) &&
	       add_measure(object, "segments_fetched", r->share.segments_fetched) &&
	       add_measure(object, "segments_again", r->share.segments_again);
}

static bool add_versions(cJSON *object, const struct result *r)
{
	cJSON *versions = cJSON_AddObjectToObject(object, "versions");

	for (size_t i = 0; versions && i < r->n_versions; i++) {
		const char letter[2] = { r->versions[i].letter, '\0' };

		if (!cJSON_AddStringToObject(versions, letter, r->versions[i].version))
			return false;
	}
	return versions;
}

int result_format(const struct result *r, char **ret_json)
{
	_cleanup_json_ cJSON *object = cJSON_CreateObject();
	const char letter[2] = { r->program, '\0' };
	char *json;

	if (!object || !cJSON_AddStringToObject(object, "txid", r->txid) ||
	    !cJSON_AddStringToObject(object, "program", letter) ||
	    !cJSON_AddStringToObject(object, "kind", r->kind) ||
	    !add_version(object, "from", r->from) || !add_version(object, "to", r->to) ||
	    !add_judgement(object, r) || !add_measures(object, r) || !add_versions(object, r))
		return -ENOMEM;
	json = json_print(object);
	if (!json)
		return -ENOMEM;
	*ret_json = json;
	return 0;
}

/* ---- the history: one result a line ---- */

/* A disk may give back something else than it was given; one such line must not spoil the others. */
static bool is_sound(const char *json, size_t size)
{
	_cleanup_json_ cJSON *object = NULL;

	return json_parse(json, size, NULL, &object, NULL) == 0 && cJSON_IsObject(object);
}

/* A history that is lost is worth less than a result that is kept, and counts as empty. */
static int read_history(int dirfd, char **ret, size_t *ret_size)
{
	int r = fs_read_file(dirfd, HISTORY, HISTORY_MAX_BYTES, ret, ret_size);

	if (r == -EIO)
		r = fs_read_file(dirfd, HISTORY, HISTORY_MAX_BYTES, ret, ret_size);
	if (r == 0 || fs_is_accident(r))
		return r;
	*ret = strdup("");
	*ret_size = 0;
	return *ret ? 0 : -ENOMEM;
}

/* The last max lines of text. */
static const char *last_lines(const char *text, size_t size, size_t max)
{
	const char *p = text + size;

	for (size_t n = 0; p > text; p--)
		if (p[-1] == '\n' && n++ == max)
			break;
	return p;
}

/* The line that begins as result_format() makes this txid's, or NULL. */
static const char *find_in_history(const char *history, const char *txid)
{
	char start[sizeof "\"txid\":\"\"" + TXID_LENGTH + 1];
	const char *line;

	(void)snprintf(start, sizeof start, "{\"txid\":\"%s\"", txid);
	line = strstr(history, start);
	return line && (line == history || line[-1] == '\n') ? line : NULL;
}

int result_find(int dirfd, const char *txid, char **ret_json)
{
	_cleanup_free_ char *history = NULL;
	const char *line;
	size_t size;
	int r;

	r = read_history(dirfd, &history, &size);
	if (r < 0)
		return r;
	line = find_in_history(history, txid);
	if (!line || !is_sound(line, strcspn(line, "\n")))
		return -ENOENT;
	*ret_json = strndup(line, strcspn(line, "\n"));
	return *ret_json ? 0 : -ENOMEM;
}

bool result_is_kept(int dirfd, const char *txid)
{
	_cleanup_free_ char *json = NULL;

	return result_find(dirfd, txid, &json) == 0;
}

static int append_to_history(int dirfd, const char *json)
{
	_cleanup_free_ char *history = NULL, *text = NULL;
	const char *kept;
	size_t size;
	int n, r;

	r = read_history(dirfd, &history, &size);
	if (r < 0)
		return r;
	kept = last_lines(history, size, RESULT_HISTORY_LINES - 1);
	n = asprintf(&text, "%s%s\n", kept, json);
	if (n < 0)
		return -ENOMEM;
	return fs_write_file_atomic(dirfd, HISTORY, text, (size_t)n, 0600);
}

int result_history(int dirfd, size_t n, char **ret_json)
{
	_cleanup_free_ char *history = NULL;
	const char *line;
	size_t size;
	char *json, *out;
	int r;

	r = read_history(dirfd, &history, &size);
	if (r < 0)
		return r;
	line = n == 0 ? history + size : last_lines(history, size, n);
	json = malloc((size_t)(history + size - line) + sizeof "[]");
	if (!json)
		return -ENOMEM;
	out = json;
	*out++ = '[';
	while (*line) {
		size_t length = strcspn(line, "\n");

		if (is_sound(line, length)) {
			out = mempcpy(out, line, length);
			*out++ = ',';
		}
		line += length + (line[length] == '\n');
	}
	if (out[-1] == ',')
		out--;
	*out++ = ']';
	*out = '\0';
	*ret_json = json;
	return 0;
}

/* ---- the files that wait for the query server ---- */

struct waiting {
	char name[TXID_LENGTH + sizeof RESULT_SUFFIX];
	struct timespec written;
};

static int oldest_first(const void *a, const void *b)
{
	const struct waiting *wa = a, *wb = b;

	if (wa->written.tv_sec != wb->written.tv_sec)
		return wa->written.tv_sec < wb->written.tv_sec ? -1 : 1;
	if (wa->written.tv_nsec != wb->written.tv_nsec)
		return wa->written.tv_nsec < wb->written.tv_nsec ? -1 : 1;
	return strcmp(wa->name, wb->name);
}

static bool parse_result_name(const char *name, char ret_txid[TXID_LENGTH + 1])
{
	if (strlen(name) != TXID_LENGTH + strlen(RESULT_SUFFIX) ||
	    strcmp(name + TXID_LENGTH, RESULT_SUFFIX) != 0)
		return false;
	(void)snprintf(ret_txid, TXID_LENGTH + 1, "%.*s", TXID_LENGTH, name);
	return txid_is_valid(ret_txid);
}

/* Reads the directory into an array of up to max entries, in any order. */
static int read_waiting(DIR *d, struct waiting *list, size_t max, size_t *ret_n)
{
	const char *name;
	size_t n = 0;

	while ((name = fs_next_name(d))) {
		char txid[TXID_LENGTH + 1];
		struct stat st;

		if (n == max || !parse_result_name(name, txid) ||
		    fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		(void)snprintf(list[n].name, sizeof list[n].name, "%s" RESULT_SUFFIX, txid);
		list[n++].written = st.st_mtim;
	}
	if (errno != 0)
		return -errno;
	*ret_n = n;
	return 0;
}

/* Opens results/ and lists it, oldest first. *ret_fd is -1 if there is no directory yet. */
static int list_waiting(int dirfd, int *ret_fd, struct waiting **ret, size_t *ret_n)
{
	_cleanup_dir_ DIR *d = NULL;
	_cleanup_free_ struct waiting *list = NULL;
	_cleanup_close_ int fd = FD_NONE;
	size_t n = 0;
	int r;

	list = calloc(MAX_WAITING, sizeof *list);
	if (!list)
		return -ENOMEM;
	fd = fs_open_beneath(dirfd, RESULTS, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (fd >= 0) {
		r = fs_open_dir(fd, ".", &d);
		if (r == 0)
			r = read_waiting(d, list, MAX_WAITING, &n);
		if (r < 0)
			return r;
		qsort(list, n, sizeof *list, oldest_first);
	}
	*ret_fd = TAKE_FD(fd);
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

/* What a crash left of a write: its name is not used again. */
static int sweep_waiting(int fd)
{
	_cleanup_dir_ DIR *d = NULL;
	const char *name;
	int r;

	r = fs_open_dir(fd, ".", &d);
	while (r == 0 && (name = fs_next_name(d)))
		if (strncmp(name, ".#", 2) == 0)
			r = fs_remove_tree(fd, name);
	return r;
}

/* A gateway that never reaches its server does not fill its disk with results. */
static int make_room(int dirfd)
{
	_cleanup_free_ struct waiting *list = NULL;
	_cleanup_close_ int fd = FD_NONE;
	size_t n = 0;
	int r;

	r = list_waiting(dirfd, &fd, &list, &n);
	if (r == 0)
		r = sweep_waiting(fd);
	if (r < 0)
		return r;
	for (size_t i = 0; i + RESULT_OUTBOX_FILES <= n; i++) {
		r = fs_remove_tree(fd, list[i].name);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- keeping ---- */

int result_reserve(int dirfd)
{
	_cleanup_close_ int fd = openat(dirfd, RESULT_RESERVE,
					O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size >= RESULT_RESERVE_BYTES)
		return 0;
	r = -posix_fallocate(fd, 0, RESULT_RESERVE_BYTES);
	if (r < 0)
		(void)unlinkat(dirfd, RESULT_RESERVE, 0);
	return r;
}

static int keep(int dirfd, const struct result *result)
{
	char name[sizeof RESULTS + 1 + TXID_LENGTH + sizeof RESULT_SUFFIX];
	_cleanup_free_ char *json = NULL, *kept = NULL;
	int r;

	r = fs_mkdir_p(dirfd, RESULTS, 0700);
	if (r < 0)
		return r;
	r = result_find(dirfd, result->txid, &kept);
	if (r == -ENOENT) {
		r = result_format(result, &json);
		if (r < 0)
			return r;
		r = append_to_history(dirfd, json);
	}
	if (r < 0)
		return r;
	r = make_room(dirfd);
	if (r < 0)
		return r;
	(void)snprintf(name, sizeof name, RESULTS "/%s" RESULT_SUFFIX, result->txid);
	if (!json)
		json = TAKE_PTR(kept);
	return fs_write_file_atomic(dirfd, name, json, strlen(json), 0600);
}

int result_keep(int dirfd, const struct result *result)
{
	int r = keep(dirfd, result);

	if ((r == -ENOSPC || r == -EDQUOT) && unlinkat(dirfd, RESULT_RESERVE, 0) == 0)
		r = keep(dirfd, result);
	return r;
}

char **result_list_free(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
	return NULL;
}

int result_list(int dirfd, char ***ret)
{
	_cleanup_(result_list_freep) char **results = NULL;
	_cleanup_free_ struct waiting *list = NULL;
	_cleanup_close_ int fd = FD_NONE;
	size_t n = 0, n_results = 0;
	int r;

	r = list_waiting(dirfd, &fd, &list, &n);
	if (r < 0)
		return r;
	results = calloc(n + 1, sizeof *results);
	if (!results)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		size_t size;

		r = fs_read_file(fd, list[i].name, RESULT_MAX_BYTES, &results[n_results], &size);
		if (r == -ENOMEM)
			return r;
		/* One that cannot be read must not hold up the others. */
		if (r == 0 && is_sound(results[n_results], size))
			n_results++;
		else
			free(TAKE_PTR(results[n_results]));
	}
	*ret = TAKE_PTR(results);
	return 0;
}

int result_archived(int dirfd, const char *txid)
{
	char name[sizeof RESULTS + 1 + TXID_LENGTH + sizeof RESULT_SUFFIX];

	if (!txid_is_valid(txid))
		return -EINVAL;
	(void)snprintf(name, sizeof name, RESULTS "/%s" RESULT_SUFFIX, txid);
	return fs_remove_tree(dirfd, name);
}
