/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/events.h"

#include <fcntl.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"

#define EVENTS_MODE	0640
#define MIN_BYTES	(UINT64_C(16) * 1024)
#define READ_MAX_BYTES	(UINT64_C(16) * 1024 * 1024)
#define LINE_READ_BYTES 8192 /* of a newer bmsd's event */
#define NUMBER_MAX	((UINT64_C(1) << 53) - 1)
#define SEQUENCE_MAX	(UINT64_C(1) << 52) /* so that there is always a next one */
#define LAST_EVENTS	16

static const char *const kind_names[EVENT_KIND_COUNT] = {
	[EVENT_STARTED] = "started",
	[EVENT_STOPPED] = "stopped",
	[EVENT_QUIESCED] = "quiesced",
	[EVENT_ALARM_SET] = "alarm-set",
	[EVENT_ALARM_CLEARED] = "alarm-cleared",
	[EVENT_PROTECTION_SET] = "protection-set",
	[EVENT_PROTECTION_CLEARED] = "protection-cleared",
	[EVENT_LINK_UP] = "link-up",
	[EVENT_LINK_DOWN] = "link-down",
	[EVENT_ANCHOR] = "anchor",
	[EVENT_RECONCILED] = "reconciled",
	[EVENT_CAPACITY_LEARNED] = "capacity-learned",
	[EVENT_FET_COMMAND] = "fet-command",
	[EVENT_FET_REFUSED] = "fet-refused",
	[EVENT_FET_LEASE_OVER] = "fet-lease-over",
	[EVENT_FET_FAILED] = "fet-failed",
	[EVENT_STATE_DAMAGED] = "state-damaged",
	[EVENT_STATE_LOST] = "state-lost",
	[EVENT_OTHER_BOARD] = "other-board",
	[EVENT_CONFIG_REFUSED] = "config-refused",
};

struct events {
	int dirfd;
	int fd;
	uint64_t max_bytes;
	uint64_t size;
	bool torn; /* half a line is at the end, and could not be cut off */
	char boot_id[EVENT_BOOT_ID_BYTES];
	uint64_t added, shown;
	unsigned tokens; /* syncs that may be done at once */
	int64_t refilled_msec, synced_msec;
	uint64_t n_views;
	struct event_view views[LAST_EVENTS];
};

const char *event_kind_name(unsigned kind)
{
	return kind < EVENT_KIND_COUNT ? kind_names[kind] : "unknown";
}

/* ---- reading ---- */

static void copy_text(char *ret, size_t size, const char *text)
{
	(void)snprintf(ret, size, "%s", text);
}

/* -EBADMSG if a line is no event. */
static int parse_line(const char *line, size_t size, struct event_view *ret)
{
	static const struct json_limits limits = { .max_bytes = LINE_READ_BYTES };
	_cleanup_json_ cJSON *json = NULL;
	uint64_t sequence = 0, wall_sec = 0, pack = 0;
	int r;

	r = json_parse(line, size, &limits, &json, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	r = json_get_u64(json, "sequence", SEQUENCE_MAX, &sequence, NULL);
	if (r < 0)
		return -EBADMSG;
	*ret = (struct event_view){ .sequence = sequence, .pack = -1 };
	if (json_get_u64(json, "wall_sec", NUMBER_MAX, &wall_sec, NULL) == 0)
		ret->wall_sec = wall_sec;
	if (json_get_u64(json, "pack", INT16_MAX, &pack, NULL) == 0)
		ret->pack = (int)pack;
	copy_text(ret->kind, sizeof ret->kind, json_text_or(json, "event", "unknown"));
	copy_text(ret->name, sizeof ret->name, json_text_or(json, "name", ""));
	copy_text(ret->level, sizeof ret->level, json_text_or(json, "level", ""));
	copy_text(ret->detail, sizeof ret->detail, json_text_or(json, "detail", ""));
	return 0;
}

typedef int (*view_fn)(const char *line, size_t size, const struct event_view *view,
		       void *userdata);

/* Every event of a text; what is none is skipped. ret_whole: bytes up to the last '\n'. */
static int scan_text(const char *text, size_t size, view_fn fn, void *userdata, size_t *ret_whole)
{
	const char *line = text, *end;

	for (; (end = memchr(line, '\n', size - (size_t)(line - text))); line = end + 1) {
		struct event_view view;
		int r = parse_line(line, (size_t)(end - line), &view);

		if (r == -EBADMSG)
			continue;
		if (r == 0)
			r = fn(line, (size_t)(end - line), &view, userdata);
		if (r != 0)
			return r;
	}
	if (ret_whole)
		*ret_whole = (size_t)(line - text);
	return 0;
}

static int scan_file(int dirfd, const char *name, view_fn fn, void *userdata, size_t *ret_whole)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int r;

	r = fs_read_file(dirfd, name, READ_MAX_BYTES, &text, &size);
	if (r == -ENOENT) {
		if (ret_whole)
			*ret_whole = 0;
		return 0;
	}
	return r < 0 ? r : scan_text(text, size, fn, userdata, ret_whole);
}

static void remember(struct events *e, const struct event_view *view)
{
	e->views[e->n_views++ % LAST_EVENTS] = *view;
	e->added = view->sequence > e->added ? view->sequence : e->added;
}

static int remember_line(const char *line, size_t size, const struct event_view *view,
			 void *userdata)
{
	(void)line, (void)size;
	remember(userdata, view);
	return 0;
}

struct reading {
	uint64_t after, last;
	size_t max;
	events_line_fn fn;
	void *userdata;
};

static int hand_out(const char *line, size_t size, const struct event_view *view, void *userdata)
{
	struct reading *reading = userdata;

	if (view->sequence <= reading->after || view->sequence > reading->last || !reading->max)
		return 0;
	reading->max--;
	return reading->fn(line, size, reading->userdata);
}

static int read_both(int dirfd, struct reading *reading)
{
	int r = scan_file(dirfd, EVENTS_OLD_FILE, hand_out, reading, NULL);

	return r != 0 ? r : scan_file(dirfd, EVENTS_FILE, hand_out, reading, NULL);
}

int events_read(struct events *e, uint64_t after, size_t max, events_line_fn fn, void *userdata)
{
	struct reading reading = { after, e->shown, max, fn, userdata };

	return read_both(e->dirfd, &reading);
}

int events_read_files(int dirfd, uint64_t after, size_t max, events_line_fn fn, void *userdata)
{
	struct reading reading = { after, NUMBER_MAX, max, fn, userdata };

	return read_both(dirfd, &reading);
}

size_t events_last(const struct events *e, struct event_view *ret, size_t max)
{
	size_t n = 0;

	for (uint64_t i = e->n_views; i > 0 && e->n_views - i < LAST_EVENTS && n < max; i--) {
		const struct event_view *view = &e->views[(i - 1) % LAST_EVENTS];

		if (view->sequence <= e->shown)
			ret[n++] = *view;
	}
	return n;
}

/* ---- the file ---- */

static int open_file(struct events *e)
{
	int r;

	e->fd = fs_open_beneath(e->dirfd, EVENTS_FILE, O_RDWR | O_CREAT | O_APPEND, EVENTS_MODE);
	if (e->fd < 0)
		return e->fd;
	r = fs_fsync_dir(e->dirfd, ".");
	if (r < 0) {
		close_fd(&e->fd);
		e->fd = FD_NONE;
	}
	return r;
}

static int cut_off(struct events *e)
{
	e->torn = ftruncate(e->fd, (off_t)e->size) < 0;
	return e->torn ? -errno : 0;
}

static int rotate(struct events *e)
{
	int r = events_sync(e);

	if (r < 0)
		return r;
	if (renameat(e->dirfd, EVENTS_FILE, e->dirfd, EVENTS_OLD_FILE) < 0)
		return -errno;
	close_fd(&e->fd);
	e->fd = FD_NONE;
	e->size = 0;
	return open_file(e);
}

/* What the last bmsd left: a half line is cut off, what was not synced is. A disk that does not let us
 * is tried again with the next event. */
static int take_over(struct events *e)
{
	size_t whole = 0;
	int r;

	r = scan_file(e->dirfd, EVENTS_OLD_FILE, remember_line, e, NULL);
	if (r != -ENOMEM)
		r = scan_file(e->dirfd, EVENTS_FILE, remember_line, e, &whole);
	if (r == -ENOMEM)
		return r;
	/* Too long for any of ours, or not readable: out of the way. */
	if (r < 0)
		(void)renameat(e->dirfd, EVENTS_FILE, e->dirfd, EVENTS_OLD_FILE);
	e->size = whole;
	e->torn = true;
	if (open_file(e) == 0 && cut_off(e) == 0)
		(void)fdatasync(e->fd);
	return 0;
}

int events_open(int dirfd, const struct events_settings *settings, const char *boot_id,
		uint64_t floor, struct events **ret)
{
	_cleanup_(events_freep) struct events *e = calloc(1, sizeof *e);
	int r;

	if (!e)
		return -ENOMEM;
	e->dirfd = e->fd = FD_NONE;
	e->tokens = EVENTS_BURST;
	e->max_bytes = settings->max_bytes > MIN_BYTES ? settings->max_bytes : MIN_BYTES;
	copy_text(e->boot_id, sizeof e->boot_id, boot_id);
	e->dirfd = fs_open_beneath(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (e->dirfd < 0)
		return e->dirfd;
	r = take_over(e);
	if (r < 0)
		return r;
	e->added = e->added > floor ? e->added : floor;
	e->shown = e->added;
	*ret = TAKE_PTR(e);
	return 0;
}

struct events *events_free(struct events *e)
{
	if (!e)
		return NULL;
	close_fd(&e->fd);
	close_fd(&e->dirfd);
	free(e);
	return NULL;
}

/* ---- adding ---- */

/* Texts come from boards too: only what JSON and a terminal take as it is. */
static bool add_text(cJSON *object, const char *key, const char *text, size_t size)
{
	char clean[EVENT_DETAIL_BYTES];

	if (!text || !text[0])
		return true;
	(void)snprintf(clean, size, "%s", text);
	for (char *c = clean; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return cJSON_AddStringToObject(object, key, clean);
}

static bool add_number(cJSON *object, const char *key, int64_t value)
{
	return cJSON_AddNumberToObject(object, key, (double)value);
}

static int64_t extreme_of(const int64_t *values, size_t n, bool high)
{
	int64_t found = values[0];

	for (size_t i = 1; i < n; i++)
		if (high ? values[i] > found : values[i] < found)
			found = values[i];
	return found;
}

static bool add_cells(cJSON *values, const struct sample *s)
{
	return !sample_has(s, SAMPLE_CELLS) || s->n_cells == 0 ||
	       (add_number(values, "cell_min", extreme_of(s->cells_uv, s->n_cells, false)) &&
		add_number(values, "cell_max", extreme_of(s->cells_uv, s->n_cells, true)));
}

static bool add_values(cJSON *object, const struct event_new *event)
{
	const struct sample *s = event->sample;
	cJSON *values = s ? cJSON_AddObjectToObject(object, "values") : NULL;

	if (!s)
		return true;
	return values &&
	       (!sample_has(s, SAMPLE_VOLTAGE) ||
		add_number(values, "voltage_now", s->voltage_uv)) &&
	       (!sample_has(s, SAMPLE_CURRENT) ||
		add_number(values, "current_now", s->current_ua)) &&
	       (!sample_has(s, SAMPLE_TEMPERATURES) || s->n_temperatures == 0 ||
		add_number(values, "temp",
			   extreme_of(s->temperatures_decicelsius, s->n_temperatures, true))) &&
	       add_cells(values, s) &&
	       (event->soc_centipercent < 0 ||
		add_number(values, "soc_centipercent", event->soc_centipercent)) &&
	       (event->charge_full_uah == 0 ||
		(json_add_u64(values, "charge_full", event->charge_full_uah) &&
		 add_number(values, "charge_full_error_permille",
			    event->charge_full_error_permille)));
}

static char *make_line(const struct events *e, const struct event_new *event, uint64_t wall_sec,
		       int64_t uptime_msec)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();

	if (json && json_add_u64(json, "sequence", e->added + 1) &&
	    add_text(json, "boot_id", e->boot_id, sizeof e->boot_id) &&
	    json_add_u64(json, "wall_sec", wall_sec) &&
	    add_number(json, "uptime_msec", uptime_msec) &&
	    (event->pack < 0 || add_number(json, "pack", event->pack)) &&
	    add_text(json, "event", event_kind_name(event->kind), EVENT_NAME_BYTES) &&
	    add_text(json, "name", event->name, EVENT_NAME_BYTES) &&
	    add_text(json, "level", event->level, 16) &&
	    add_text(json, "detail", event->detail, EVENT_DETAIL_BYTES) && add_values(json, event))
		return json_print(json);
	return NULL;
}

static int prepare(struct events *e, size_t size)
{
	int r = e->fd < 0 ? open_file(e) : 0;

	if (r == 0 && e->torn)
		r = cut_off(e);
	if (r == 0 && e->size > 0 && e->size + size > e->max_bytes / 2)
		r = rotate(e);
	return r;
}

static bool may_sync_now(struct events *e, int64_t uptime_msec)
{
	int64_t refills = (uptime_msec - e->refilled_msec) / EVENTS_SYNC_MSEC;

	if (refills > 0) {
		e->tokens = refills + e->tokens > EVENTS_BURST ? EVENTS_BURST
							       : e->tokens + (unsigned)refills;
		e->refilled_msec = uptime_msec;
	}
	if (e->tokens == 0)
		return false;
	e->tokens--;
	return true;
}

int events_add(struct events *e, const struct event_new *event, uint64_t wall_sec,
	       int64_t uptime_msec)
{
	_cleanup_free_ char *line = make_line(e, event, wall_sec, uptime_msec);
	struct event_view view = {};
	size_t size;
	int r;

	if (!line)
		return -ENOMEM;
	size = strlen(line);
	r = parse_line(line, size, &view);
	if (r == 0)
		r = prepare(e, size + 1);
	if (r < 0)
		return r;
	line[size] = '\n';
	r = fs_write_all(e->fd, line, size + 1);
	line[size] = '\0';
	if (r < 0) {
		(void)cut_off(e);
		return r;
	}
	e->size += size + 1;
	remember(e, &view);
	if (!may_sync_now(e, uptime_msec))
		return 0;
	e->synced_msec = uptime_msec;
	return events_sync(e);
}

int events_sync(struct events *e)
{
	if (e->shown == e->added)
		return 0;
	if (e->fd < 0 || fdatasync(e->fd) < 0)
		return e->fd < 0 ? -EBADF : -errno;
	e->shown = e->added;
	return 1;
}

int events_tick(struct events *e, int64_t uptime_msec)
{
	if (e->shown == e->added || uptime_msec - e->synced_msec < EVENTS_SYNC_MSEC)
		return 0;
	e->synced_msec = uptime_msec;
	return events_sync(e);
}

uint64_t events_sequence(const struct events *e)
{
	return e->shown;
}

uint64_t events_added(const struct events *e)
{
	return e->added;
}
