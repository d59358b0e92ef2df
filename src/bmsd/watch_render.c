/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "bmsd/show.h"
#include "bmsd/watch.h"
#include "common/json.h"

#define LINE_BYTES    512
#define CELL_COLUMNS  19
#define BAR_COLUMNS   8
/* The scale of the bars is at least so wide, so that a good pack does not look like a bad one. */
#define SCALE_MIN_UV  100000
#define SCALE_STEP_UV 50000

enum style {
	PLAIN,
	BOLD,
	DIM,
	GOOD,
	WARNING,
	BAD,
	REVERSE,
};

struct canvas {
	FILE *to;
	const struct watch_screen *screen;
	unsigned row, column;
};

/* ---- drawing ---- */

static const char *style_sequence(enum style style)
{
	switch (style) {
	case BOLD: return "\x1b[1m";
	case DIM: return "\x1b[2m";
	case GOOD: return "\x1b[32m";
	case WARNING: return "\x1b[33m";
	case BAD: return "\x1b[1;31m";
	case REVERSE: return "\x1b[7m";
	case PLAIN: break;
	}
	return "";
}

/* Text of our own or others': what is no printable ASCII counts as one column and is shown as '?'. */
static void put(struct canvas *c, enum style style, const char *format, ...) _printf_(3, 4);

static void put(struct canvas *c, enum style style, const char *format, ...)
{
	bool styled = c->screen->colour && style != PLAIN;
	char text[LINE_BYTES];
	va_list args;

	if (c->row >= c->screen->rows)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (styled)
		(void)fputs(style_sequence(style), c->to);
	for (const char *at = text; *at && c->column < c->screen->columns; at++, c->column++)
		(void)fputc(*at < ' ' || *at > '~' ? '?' : *at, c->to);
	if (styled)
		(void)fputs("\x1b[0m", c->to);
}

/* Fills up to a column. */
static void tab(struct canvas *c, unsigned column)
{
	while (c->row < c->screen->rows && c->column < column && c->column < c->screen->columns) {
		(void)fputc(' ', c->to);
		c->column++;
	}
}

static void end_line(struct canvas *c)
{
	if (c->row >= c->screen->rows)
		return;
	(void)fputs("\x1b[K", c->to);
	if (++c->row < c->screen->rows)
		(void)fputs("\r\n", c->to);
	c->column = 0;
}

/* part of whole, in eighths of a column where the terminal has them. */
static void put_bar(struct canvas *c, enum style style, int64_t part, int64_t whole, unsigned width)
{
	static const char *const eighths[] = { " ",
					       "\xe2\x96\x8f",
					       "\xe2\x96\x8e",
					       "\xe2\x96\x8d",
					       "\xe2\x96\x8c",
					       "\xe2\x96\x8b",
					       "\xe2\x96\x8a",
					       "\xe2\x96\x89",
					       "\xe2\x96\x88" };
	int64_t filled;

	if (c->row >= c->screen->rows || c->column + width > c->screen->columns)
		return;
	part = part < 0 ? 0 : part > whole ? whole : part;
	filled = whole > 0 ? part * width * 8 / whole : 0;
	if (c->screen->colour)
		(void)fputs(style_sequence(style), c->to);
	for (unsigned i = 0; i < width; i++, filled -= 8) {
		int64_t here = filled < 0 ? 0 : filled > 8 ? 8 : filled;

		if (c->screen->utf8)
			(void)fputs(here ? eighths[here] : "\xc2\xb7", c->to);
		else
			(void)fputc(here >= 4 ? '#' : '.', c->to);
	}
	if (c->screen->colour)
		(void)fputs("\x1b[0m", c->to);
	c->column += width;
}

/* ---- the list of packs ---- */

static bool has_trouble(const cJSON *pack)
{
	return cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(pack, "alarms")) > 0 ||
	       cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(pack, "protections")) > 0;
}

static void draw_listed(struct canvas *c, const cJSON *pack, bool selected)
{
	const cJSON *estimate = show_object(pack, "estimate");

	put(c, selected ? REVERSE : PLAIN, "%c%" PRId64 " %-14.14s", selected ? '>' : ' ',
	    show_number(pack, "number", 0), json_text_or(pack, "model", ""));
	if (!show_flag(pack, "present")) {
		put(c, WARNING, "  %s", json_text_or(pack, "detail", "no fresh sample"));
		end_line(c);
		return;
	}
	put(c, BOLD, " %8s", show_value(estimate, "soc_centipercent", 100, 1, " %").text);
	put(c, PLAIN, " %9s %9s", show_value(pack, "voltage_now_uv", 1000000, 2, " V").text,
	    show_value(pack, "current_now_ua", 1000000, 1, " A").text);
	put(c, PLAIN, "  %s-%s", show_value(pack, "cell_min_uv", 1000, 0, "").text,
	    show_value(pack, "cell_max_uv", 1000, 0, " mV").text);
	if (has_trouble(pack))
		put(c, BAD, "  ALARM");
	end_line(c);
}

/* ---- the selected pack ---- */

static void draw_charge(struct canvas *c, const cJSON *pack)
{
	const cJSON *estimate = show_object(pack, "estimate");
	int64_t soc = show_number(estimate, "soc_centipercent", -1);
	int64_t empty = show_number(estimate, "time_to_empty_avg_sec", -1);
	int64_t full = show_number(estimate, "time_to_full_avg_sec", -1);

	put(c, PLAIN, " charge ");
	put_bar(c, soc < 1500 ? BAD : GOOD, soc, 10000, 20);
	put(c, BOLD, " %s", show_value(estimate, "soc_centipercent", 100, 1, " %").text);
	put(c, PLAIN, " +-%s  board %s",
	    show_value(estimate, "margin_centipercent", 100, 1, "").text,
	    show_value(pack, "capacity_percent", 1, 0, " %").text);
	if (empty >= 0)
		put(c, PLAIN, "  empty in %s", show_duration(empty).text);
	if (full >= 0)
		put(c, PLAIN, "  full in %s", show_duration(full).text);
	end_line(c);
}

static void draw_electric(struct canvas *c, const cJSON *pack)
{
	const cJSON *estimate = show_object(pack, "estimate"),
		    *limits = show_object(pack, "limits");

	put(c, BOLD, " %s  %s  %s", show_value(pack, "voltage_now_uv", 1000000, 2, " V").text,
	    show_value(pack, "current_now_ua", 1000000, 2, " A").text,
	    show_value(pack, "power_now_uw", 1000000, 0, " W").text);
	tab(c, 34);
	put(c, PLAIN, " limits: charge %s, discharge %s",
	    show_value(limits, "charge_current_max_ua", 1000000, 1, " A").text,
	    show_value(limits, "discharge_current_max_ua", 1000000, 1, " A").text);
	end_line(c);
	put(c, PLAIN, " %s of %s, health %s, %s cycles, %s",
	    show_value(estimate, "charge_now_uah", 1000000, 2, "").text,
	    show_value(estimate, "charge_full_uah", 1000000, 2, " Ah").text,
	    show_value(estimate, "soh_centipercent", 100, 1, " %").text,
	    show_value(estimate, "cycles_milli", 1000, 1, "").text,
	    show_value(estimate, "resistance_uohm", 1000, 1, " mOhm").text);
	end_line(c);
}

static void draw_switch(struct canvas *c, const cJSON *pack, const char *key, const char *name)
{
	bool known = cJSON_IsBool(cJSON_GetObjectItemCaseSensitive(pack, key));
	bool on = show_flag(pack, key);

	put(c, PLAIN, "  %s ", name);
	put(c, !known ? DIM : on ? GOOD : BAD, "%s", !known ? "?" : on ? "on" : "OFF");
}

static void draw_temperatures(struct canvas *c, const cJSON *pack)
{
	const cJSON *item;

	put(c, PLAIN, " temp.");
	cJSON_ArrayForEach (item,
			    cJSON_GetObjectItemCaseSensitive(pack, "temperatures_decicelsius"))
		put(c, PLAIN, " %.1f", item->valuedouble / 10);
	put(c, PLAIN, " C");
	if (show_has(pack, "fet_temperature_decicelsius"))
		put(c, PLAIN, ", switches %s",
		    show_value(pack, "fet_temperature_decicelsius", 10, 1, " C").text);
	draw_switch(c, pack, "charge_fet", "charge");
	draw_switch(c, pack, "discharge_fet", "discharge");
	if (cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(pack, "fet_locks")) > 0)
		put(c, WARNING, "  held off by an operator");
	end_line(c);
}

static void draw_line(struct canvas *c, const cJSON *pack)
{
	const cJSON *errors = show_object(pack, "errors"), *item;
	int64_t rate = show_number(pack, "error_rate_permille", 0);

	put(c, PLAIN, " link %s (%s)", json_text_or(pack, "link", "?"),
	    json_text_or(pack, "driver", "?"));
	put(c, rate > 50 ? WARNING : PLAIN, "  %.1f %% of polls fail", (double)rate / 10);
	put(c, PLAIN, "  sample %s old", show_value(pack, "last_age_msec", 1000, 1, " s").text);
	cJSON_ArrayForEach (item, errors)
		if (item->valuedouble > 0)
			put(c, DIM, "  %s %.0f", item->string, item->valuedouble);
	end_line(c);
}

static void draw_words(struct canvas *c, const cJSON *pack, const char *key, enum style style)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(pack, key)) {
		const char *word = cJSON_IsObject(item) ? json_text_or(item, "name", "?")
							: cJSON_GetStringValue(item);
		bool is_mild = cJSON_IsObject(item) &&
			       strcmp(json_text_or(item, "level", ""), "alarm") != 0;

		put(c, is_mild ? WARNING : style, " %s", word ? word : "?");
	}
}

static void draw_trouble(struct canvas *c, const cJSON *pack)
{
	if (has_trouble(pack)) {
		draw_words(c, pack, "protections", BAD);
		draw_words(c, pack, "alarms", BAD);
	} else {
		put(c, GOOD, " no alarm");
	}
	end_line(c);
}

/* ---- cells ---- */

struct scale {
	int64_t low_uv, high_uv;
};

static struct scale scale_of(const cJSON *pack)
{
	int64_t low = show_number(pack, "cell_min_uv", 0),
		high = show_number(pack, "cell_max_uv", 0);
	struct scale s = { .low_uv = low / SCALE_STEP_UV * SCALE_STEP_UV };

	s.high_uv = (high / SCALE_STEP_UV + 1) * SCALE_STEP_UV;
	if (s.high_uv - s.low_uv < SCALE_MIN_UV)
		s.low_uv = s.high_uv - SCALE_MIN_UV;
	return s;
}

static void draw_cell(struct canvas *c, const cJSON *pack, const struct scale *s, int cell)
{
	const cJSON *item = cJSON_GetArrayItem(
		cJSON_GetObjectItemCaseSensitive(pack, "cell_voltages_uv"), cell);
	bool is_min = show_number(pack, "cell_min_number", 0) == cell + 1;
	bool is_max = show_number(pack, "cell_max_number", 0) == cell + 1;
	bool balanced = cell < 64 && (uint64_t)show_number(pack, "balancing", 0) >> cell & 1u;
	enum style style = is_min ? WARNING : is_max ? BOLD : PLAIN;
	int64_t uv = cJSON_IsNumber(item) ? (int64_t)item->valuedouble : 0;

	put(c, style, " %2d%c%.3f ", cell + 1,
	    balanced ? '*'
	    : is_min ? 'v'
	    : is_max ? '^'
		     : ' ',
	    (double)uv / 1e6);
	put_bar(c, style, uv - s->low_uv, s->high_uv - s->low_uv, BAR_COLUMNS);
}

static void draw_cells(struct canvas *c, const cJSON *pack)
{
	const cJSON *cells = cJSON_GetObjectItemCaseSensitive(pack, "cell_voltages_uv");
	int n = cJSON_GetArraySize(cells);
	int across = (int)(c->screen->columns / CELL_COLUMNS), down;
	struct scale s = scale_of(pack);

	if (n == 0 || across == 0)
		return;
	down = (n + across - 1) / across;
	put(c, DIM, " cells %s (%s) to %s (%s), spread %s; bars %.2f to %.2f V",
	    show_value(pack, "cell_min_uv", 1000, 0, "").text,
	    show_value(pack, "cell_min_number", 1, 0, "").text,
	    show_value(pack, "cell_max_uv", 1000, 0, " mV").text,
	    show_value(pack, "cell_max_number", 1, 0, "").text,
	    show_value(pack, "cell_spread_uv", 1000, 0, " mV").text, (double)s.low_uv / 1e6,
	    (double)s.high_uv / 1e6);
	end_line(c);
	for (int line = 0; line < down && c->row < c->screen->rows; line++) {
		for (int cell = line; cell < n; cell += down)
			draw_cell(c, pack, &s, cell);
		end_line(c);
	}
}

static void draw_pack(struct canvas *c, const cJSON *pack)
{
	put(c, BOLD, " pack %" PRId64 " %s", show_number(pack, "number", 0),
	    json_text_or(pack, "model", ""));
	put(c, DIM, "  %s %s", json_text_or(pack, "serial", ""),
	    json_text_or(pack, "firmware", ""));
	end_line(c);
	if (show_flag(pack, "present")) {
		draw_charge(c, pack);
		draw_electric(c, pack);
		draw_temperatures(c, pack);
	} else {
		put(c, WARNING, " %s", json_text_or(pack, "detail", "no fresh sample"));
		end_line(c);
	}
	draw_line(c, pack);
	draw_trouble(c, pack);
	draw_cells(c, pack);
}

/* ---- the screen ---- */

static void draw_head(struct canvas *c, const cJSON *status, const char *error)
{
	char head[LINE_BYTES];

	if (status)
		(void)snprintf(head, sizeof head, " bmsd %s, up for %s",
			       json_text_or(status, "version", "?"),
			       show_duration(show_number(status, "uptime_msec", 0) / 1000).text);
	else
		(void)snprintf(head, sizeof head, " %s", error ? error : "bmsd does not answer");
	put(c, REVERSE, "%-*s", (int)c->screen->columns - 24, head);
	put(c, REVERSE, "%24s", "tab: next pack  q: quit ");
	end_line(c);
}

static void draw_events(struct canvas *c, const cJSON *status)
{
	const cJSON *event;
	char line[LINE_BYTES];

	cJSON_ArrayForEach (event, cJSON_GetObjectItemCaseSensitive(status, "events")) {
		show_event(event, line, sizeof line);
		put(c, DIM, " %s", line);
		end_line(c);
	}
}

static void draw_left_out(struct canvas *c, const cJSON *status)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(status, "config_refused")) {
		if (!show_has(item, "pack"))
			continue;
		put(c, WARNING, " %s", json_text_or(item, "text", "?"));
		end_line(c);
	}
}

static void draw(struct canvas *c, const cJSON *status, const char *error)
{
	const cJSON *packs = NULL, *pack;
	unsigned index = 0, n;

	draw_head(c, status, error);
	if (!status || json_get_array(status, "packs", &packs, NULL) < 0)
		return;
	n = (unsigned)cJSON_GetArraySize(packs);
	cJSON_ArrayForEach (pack, packs) {
		draw_listed(c, pack, index == c->screen->selected % n);
		index++;
	}
	draw_left_out(c, status);
	end_line(c);
	if (n > 0)
		draw_pack(c, cJSON_GetArrayItem(packs, (int)(c->screen->selected % n)));
	end_line(c);
	draw_events(c, status);
}

int watch_render(const struct watch_screen *screen, const cJSON *status, const char *error,
		 char **ret_text)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	struct canvas c = { .to = open_memstream(&text, &size), .screen = screen };
	int failed;

	if (!c.to)
		return -ENOMEM;
	draw(&c, status, error);
	failed = ferror(c.to);
	if (fclose(c.to) != 0 || failed)
		return -ENOMEM;
	*ret_text = TAKE_PTR(text);
	return 0;
}
