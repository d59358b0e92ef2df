/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/records.h"

#include <inttypes.h>

/* The texts are put together by hand: lines of the event log are JSON already, and a page of history
 * as a tree of objects would take a megabyte. */

struct page {
	FILE *to;
	uint32_t n, max;
};

/* Ends a reading that has all it wants. */
#define PAGE_FULL 1

static int finish(struct page *p, int r, char **text, char **ret_json)
{
	int failed = ferror(p->to);

	if (fclose(p->to) != 0 || failed)
		r = -ENOMEM;
	if (r < 0)
		return r;
	*ret_json = TAKE_PTR(*text);
	return 0;
}

static uint32_t clamp(uint32_t max, uint32_t most)
{
	return max == 0 || max > most ? most : max;
}

/* ---- events ---- */

static int put_event(const char *line, size_t size, void *userdata)
{
	struct page *p = userdata;

	(void)fprintf(p->to, "%s%.*s", p->n++ ? "," : "", (int)size, line);
	return 0;
}

/* Of a log that is open, or of the files in dirfd. */
static int page_of_events(struct events *e, int dirfd, uint64_t after, uint32_t max,
			  char **ret_json)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	struct page p = { .to = open_memstream(&text, &size) };
	int r;

	if (!p.to)
		return -ENOMEM;
	max = clamp(max, RECORDS_MAX_EVENTS);
	(void)fputs("{\"events\":[", p.to);
	r = e ? events_read(e, after, max, put_event, &p)
	      : events_read_files(dirfd, after, max, put_event, &p);
	(void)fputs("]}", p.to);
	return finish(&p, r, &text, ret_json);
}

int records_events(struct events *e, uint64_t after, uint32_t max, char **ret_json)
{
	return page_of_events(e, FD_NONE, after, max, ret_json);
}

int records_events_files(int dirfd, uint64_t after, uint32_t max, char **ret_json)
{
	return page_of_events(NULL, dirfd, after, max, ret_json);
}

/* ---- history ---- */

/* In the units of the rest of the JSON. */
static const struct column {
	const char *name, *unit;
	int64_t factor;
} columns[HISTORY_FIELDS] = {
	[HISTORY_VOLTAGE] = { "voltage", "uv", 1000 },
	[HISTORY_CURRENT] = { "current", "ua", 1000 },
	[HISTORY_SOC] = { "soc", "centipercent", 1 },
	[HISTORY_TEMPERATURE] = { "temperature", "decicelsius", 1 },
	[HISTORY_CELLS] = { "cell", "uv", 1000 },
};

static void put_columns(FILE *to)
{
	(void)fputs("{\"columns\":[\"wall_sec\",\"samples\"", to);
	for (size_t i = 0; i < HISTORY_FIELDS; i++) {
		const struct column *c = &columns[i];

		(void)fprintf(to, ",\"%s_min_%s\",\"%s_avg_%s\",\"%s_max_%s\"", c->name, c->unit,
			      c->name, c->unit, c->name, c->unit);
	}
	(void)fputs("],\"points\":[", to);
}

static void put_range(FILE *to, const struct history_point *point, size_t field)
{
	const struct history_range *r = &point->fields[field];
	int64_t factor = columns[field].factor;

	if (point->valid & 1u << field)
		(void)fprintf(to, ",%" PRId64 ",%" PRId64 ",%" PRId64, r->min * factor,
			      r->avg * factor, r->max * factor);
	else
		(void)fputs(",null,null,null", to);
}

static int put_point(const struct history_point *point, void *userdata)
{
	struct page *p = userdata;

	if (p->n == p->max)
		return PAGE_FULL;
	(void)fprintf(p->to, "%s[%" PRIu64 ",%" PRIu32, p->n++ ? "," : "", point->wall_sec,
		      point->samples);
	for (size_t i = 0; i < HISTORY_FIELDS; i++)
		put_range(p->to, point, i);
	(void)fputc(']', p->to);
	return 0;
}

static int read_range(const struct history *h, int dirfd, const struct records_range *range,
		      struct page *p)
{
	uint64_t to_sec = range->to_sec ? range->to_sec : UINT64_MAX;

	if (!h)
		return history_read_file(dirfd, range->from_sec, to_sec, put_point, p);
	return range->minutes ? history_read_minutes(h, range->from_sec, to_sec, put_point, p)
			      : history_read_seconds(h, range->from_sec, to_sec, put_point, p);
}

/* Of a history that is open, or of the file in dirfd. */
static int page_of_history(const struct history *h, int dirfd, const struct records_range *range,
			   char **ret_json)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	struct page p = { .to = open_memstream(&text, &size),
			  .max = clamp(range->max, RECORDS_MAX_POINTS) };
	int r;

	if (!p.to)
		return -ENOMEM;
	put_columns(p.to);
	r = read_range(h, dirfd, range, &p);
	(void)fputs("]}", p.to);
	return finish(&p, r, &text, ret_json);
}

int records_history(const struct history *h, const struct records_range *range, char **ret_json)
{
	return page_of_history(h, FD_NONE, range, ret_json);
}

int records_history_file(int dirfd, const struct records_range *range, char **ret_json)
{
	/* The seconds are in memory alone. */
	return range->minutes ? page_of_history(NULL, dirfd, range, ret_json) : -EOPNOTSUPP;
}
