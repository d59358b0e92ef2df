/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event log that a bmsd finds: events.jsonl.1 up to the first byte 1 of the input, events.jsonl after
 * it. Whatever is in them, the log can be opened, read and added to: a new event is the last one, and its
 * number is higher than all that are read, also after the next start.
 */
#include "directory.h"

#include <string.h>

#include "bmsd/events.h"
#include "common/json.h"

#define BOOT_ID	   "0123456789abcdef0123456789abcdef"
#define FUZZ_VIEWS 4
#define SEQUENCES  (UINT64_C(1) << 51)

static int root_fd;

struct seen {
	uint64_t highest, last;
	size_t n;
};

static int look(const char *line, size_t size, void *userdata)
{
	struct seen *seen = userdata;
	_cleanup_json_ cJSON *json = NULL;

	check(!memchr(line, '\n', size));
	check(json_parse(line, size, NULL, &json, NULL) == 0);
	check(json_get_u64(json, "sequence", UINT64_MAX >> 11, &seen->last, NULL) == 0);
	seen->highest = seen->last > seen->highest ? seen->last : seen->highest;
	seen->n++;
	return 0;
}

static struct seen read_all(struct events *e)
{
	struct seen seen = { 0 };

	check(events_read(e, 0, SIZE_MAX, look, &seen) == 0);
	check(seen.highest <= events_sequence(e));
	return seen;
}

static struct events *open_log(uint64_t floor)
{
	const struct events_settings settings = { 16384 };
	struct events *e = NULL;

	check(events_open(root_fd, &settings, BOOT_ID, floor, &e) == 0);
	check(events_sequence(e) >= floor && events_sequence(e) == events_added(e));
	return e;
}

/* It may be the first one of another file, and what was in the first of two is gone then. */
static void add(struct events *e, const char *detail)
{
	const struct event_new event = { .kind = EVENT_ALARM_SET, .pack = 1, .detail = detail };
	struct seen before = read_all(e), after;
	uint64_t sequence = events_sequence(e);
	struct event_view views[FUZZ_VIEWS];

	check(events_add(e, &event, 1, 60000) == 1);
	check(events_sequence(e) == sequence + 1);
	after = read_all(e);
	check(after.last == sequence + 1 && after.highest == after.last);
	check(after.n <= before.n + 1);
	check(events_last(e, views, FUZZ_VIEWS) >= 1 && views[0].sequence == sequence + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, 1, size);
	size_t old = end ? (size_t)(end - data) : 0;
	struct events *e;
	char detail[32] = "";
	uint64_t sequence;

	root_fd = directory_open();
	directory_put(root_fd, EVENTS_OLD_FILE, data, old);
	old += end != NULL;
	directory_put(root_fd, EVENTS_FILE, data + old, size - old);
	(void)snprintf(detail, sizeof detail, "%.*s", (int)(size < 20 ? size : 20),
		       (const char *)data);
	e = open_log(size);
	/* A number that nobody comes to. */
	if (events_sequence(e) > SEQUENCES) {
		(void)events_free(e);
		return 0;
	}
	add(e, detail);
	add(e, "two");
	sequence = events_sequence(e);
	(void)events_free(e);
	e = open_log(0);
	check(events_sequence(e) == sequence);
	add(e, "three");
	(void)events_free(e);
	return 0;
}
