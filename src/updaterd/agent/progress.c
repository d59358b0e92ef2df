/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/progress.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <systemd/sd-daemon.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"

#define REDRAW_MSEC   100
#define DEFAULT_WIDTH 80u
#define BAR_MIN	      10u
#define BAR_MAX	      40u
#define TEXT_BYTES    512

struct progress {
	enum progress_style style;
	FILE *out;
	bool open;
	enum step step;
	char object[64];
	uint64_t total, done;
	bool total_is_bytes;
	uint64_t began_msec, drawn_msec;
	unsigned told_percent; /* the last one that was told */
	bool line_is_open;     /* the cursor stands behind a bar */
};

/* ---- pure ---- */

static unsigned percent_of(uint64_t done, uint64_t total)
{
	if (total == 0 || done >= total)
		return 100;
	return (unsigned)((double)done * 100 / (double)total);
}

void progress_format_bytes(char *ret_text, size_t size, uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB" };
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		(void)snprintf(ret_text, size, "%u B", (unsigned)bytes);
		return;
	}
	while (value >= 1024 && unit + 1 < ELEMENTSOF(units)) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(ret_text, size, "%.1f %s", value, units[unit]);
}

/* "  50 %  1.2 MiB  40.0 KiB/s  00:31 left" */
static void format_figures(char *ret, size_t size, uint64_t done, uint64_t total,
			   int total_is_bytes, uint64_t elapsed_msec)
{
	char amount[32], rate[32];
	uint64_t per_sec = elapsed_msec > 0 ? done * 1000 / elapsed_msec : 0;
	uint64_t left_sec;

	if (!total_is_bytes) {
		(void)snprintf(ret, size, "%3u %%", percent_of(done, total));
		return;
	}
	progress_format_bytes(amount, sizeof amount, done);
	progress_format_bytes(rate, sizeof rate, per_sec);
	if (per_sec == 0) {
		(void)snprintf(ret, size, "%3u %%  %s", percent_of(done, total), amount);
		return;
	}
	left_sec = done < total ? (total - done + per_sec - 1) / per_sec : 0;
	if (left_sec > 359999)
		left_sec = 359999;
	(void)snprintf(ret, size, "%3u %%  %s  %s/s  %02u:%02u left", percent_of(done, total),
		       amount, rate, (unsigned)(left_sec / 60), (unsigned)(left_sec % 60));
}

void progress_format_bar(char *ret_text, size_t size, unsigned width, uint64_t done, uint64_t total,
			 int total_is_bytes, uint64_t elapsed_msec)
{
	char figures[128], bar[BAR_MAX + 1];
	unsigned room, cells, full;

	format_figures(figures, sizeof figures, done, total, total_is_bytes, elapsed_msec);
	room = width > strlen(figures) + 4 ? width - (unsigned)strlen(figures) - 4 : 0;
	if (room < BAR_MIN) {
		(void)snprintf(ret_text, size, "%.*s", (int)width, figures);
		return;
	}
	cells = room < BAR_MAX ? room : BAR_MAX;
	full = cells * percent_of(done, total) / 100;
	memset(bar, '-', cells);
	memset(bar, '#', full);
	bar[cells] = '\0';
	(void)snprintf(ret_text, size, "[%s]  %s", bar, figures);
}

/* ---- output ---- */

int progress_new(enum progress_style style, FILE *out, struct progress **ret)
{
	struct progress *p = calloc(1, sizeof *p);

	if (!p)
		return -ENOMEM;
	p->style = style;
	p->out = out;
	*ret = p;
	return 0;
}

struct progress *progress_free(struct progress *p)
{
	if (!p)
		return NULL;
	if (p->line_is_open)
		(void)fputc('\n', p->out);
	free(p);
	return NULL;
}

static void notify_status(const struct progress *p)
{
	const char *space = p->object[0] ? " " : "";

	if (p->total > 0)
		(void)sd_notifyf(0, "STATUS=%s%s%s, %u %%", step_name(p->step), space, p->object,
				 percent_of(p->done, p->total));
	else
		(void)sd_notifyf(0, "STATUS=%s%s%s", step_name(p->step), space, p->object);
}

static unsigned terminal_width(const struct progress *p)
{
	struct winsize size;

	if (ioctl(fileno(p->out), TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return DEFAULT_WIDTH;
	return size.ws_col;
}

static void draw_bar(struct progress *p)
{
	char label[96], text[256];
	unsigned width = terminal_width(p);

	(void)snprintf(label, sizeof label, "%-8s %s  ", step_name(p->step), p->object);
	text[0] = '\0';
	if (p->total > 0 && width > strlen(label) + 1)
		progress_format_bar(text, sizeof text, width - (unsigned)strlen(label) - 1, p->done,
				    p->total, p->total_is_bytes,
				    clock_now_msec(CLOCK_MONOTONIC) - p->began_msec);
	(void)fprintf(p->out, "\r%s%s\033[K", label, text);
	(void)fflush(p->out);
	p->line_is_open = true;
	p->drawn_msec = clock_now_msec(CLOCK_MONOTONIC);
}

static void close_line(struct progress *p)
{
	if (p->line_is_open)
		(void)fputc('\n', p->out);
	p->line_is_open = false;
}

static void print_json(const struct progress *p, const cJSON *object)
{
	_cleanup_free_ char *text = json_print(object);

	if (text)
		(void)fprintf(p->out, "%s\n", text);
	(void)fflush(p->out);
}

static void print_event(const struct progress *p, const char *event, const char *text)
{
	_cleanup_json_ cJSON *object = cJSON_CreateObject();
	bool ok = object && cJSON_AddStringToObject(object, "event", event) &&
		  cJSON_AddStringToObject(object, "step", step_name(p->step)) &&
		  cJSON_AddStringToObject(object, "object", p->object);

	if (ok && p->total > 0 && p->total_is_bytes)
		ok = json_add_u64(object, "done_bytes", p->done) &&
		     json_add_u64(object, "total_bytes", p->total);
	if (ok && p->total > 0)
		ok = json_add_u64(object, "percent", percent_of(p->done, p->total));
	if (ok && strcmp(event, "end") == 0)
		ok = cJSON_AddBoolToObject(object, "ok", !text);
	if (ok && text)
		ok = cJSON_AddStringToObject(object, "text", text);
	if (ok)
		print_json(p, object);
}

static void begin_line(const struct progress *p)
{
	char bytes[32];

	if (p->total_is_bytes && p->total > 0) {
		progress_format_bytes(bytes, sizeof bytes, p->total);
		(void)fprintf(p->out, "%s %s: %s\n", step_name(p->step), p->object, bytes);
	} else {
		(void)fprintf(p->out, "%s %s\n", step_name(p->step), p->object);
	}
	(void)fflush(p->out);
}

void progress_begin(struct progress *p, enum step step, const char *object, uint64_t total,
		    int total_is_bytes)
{
	if (p->open)
		progress_end(p, NULL);
	p->open = true;
	p->step = step;
	(void)snprintf(p->object, sizeof p->object, "%s", object);
	p->total = total;
	p->total_is_bytes = total_is_bytes;
	p->done = 0;
	p->told_percent = 0;
	p->began_msec = clock_now_msec(CLOCK_MONOTONIC);
	notify_status(p);
	switch (p->style) {
	case PROGRESS_LINES: begin_line(p); break;
	case PROGRESS_BAR: draw_bar(p); break;
	case PROGRESS_JSON: print_event(p, "begin", NULL); break;
	case PROGRESS_QUIET:
	default: break;
	}
}

/* A bar moves with the time, all else with the percent. */
static bool is_due(const struct progress *p, unsigned percent)
{
	switch (p->style) {
	case PROGRESS_BAR:
		return p->done >= p->total ||
		       clock_now_msec(CLOCK_MONOTONIC) - p->drawn_msec >= REDRAW_MSEC;
	case PROGRESS_LINES:
		/* How far the installer is between two of its steps is nothing for a log. */
		return p->total_is_bytes && percent / 10 > p->told_percent / 10;
	case PROGRESS_JSON:
	case PROGRESS_QUIET:
	default: return percent > p->told_percent;
	}
}

static void tell_update(struct progress *p)
{
	notify_status(p);
	switch (p->style) {
	case PROGRESS_LINES:
		(void)fprintf(p->out, "%s %s: %u %%\n", step_name(p->step), p->object,
			      p->told_percent);
		(void)fflush(p->out);
		break;
	case PROGRESS_BAR: draw_bar(p); break;
	case PROGRESS_JSON: print_event(p, "update", NULL); break;
	case PROGRESS_QUIET:
	default: break;
	}
}

void progress_update(struct progress *p, uint64_t done)
{
	unsigned percent = percent_of(done, p->total);

	if (!p->open || p->total == 0)
		return;
	p->done = done;
	if (!is_due(p, percent))
		return;
	p->told_percent = percent;
	tell_update(p);
}

void progress_step(struct progress *p, enum step step, uint64_t done)
{
	if (!p->open || p->step == step) {
		progress_update(p, done);
		return;
	}
	p->step = step;
	p->done = done;
	p->told_percent = percent_of(done, p->total);
	if (p->style == PROGRESS_LINES)
		begin_line(p);
	else
		tell_update(p);
}

void progress_end(struct progress *p, const char *text)
{
	if (!p->open)
		return;
	p->open = false;
	switch (p->style) {
	case PROGRESS_BAR:
		if (!text && p->total > 0) {
			p->done = p->total;
			draw_bar(p);
		}
		close_line(p);
		break;
	case PROGRESS_JSON: print_event(p, "end", text); return;
	case PROGRESS_LINES:
	case PROGRESS_QUIET:
	default: break;
	}
	(void)fflush(p->out);
}

static void notify_text(const char *text)
{
	(void)sd_notifyf(0, "STATUS=%s", text);
}

void progress_say(struct progress *p, const char *format, ...)
{
	_cleanup_json_ cJSON *object = NULL;
	char text[TEXT_BYTES];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	/* It may hold what a server or a probe said. */
	log_mask_controls(text);
	notify_text(text);
	if (p->style == PROGRESS_QUIET)
		return;
	if (p->style == PROGRESS_JSON) {
		object = cJSON_CreateObject();
		if (object && cJSON_AddStringToObject(object, "event", "message") &&
		    cJSON_AddStringToObject(object, "text", text))
			print_json(p, object);
		return;
	}
	close_line(p);
	(void)fprintf(p->out, "%s\n", text);
	(void)fflush(p->out);
}

static uint64_t number_of(const cJSON *result, const char *key)
{
	uint64_t number;

	return json_get_u64(result, key, UINT64_MAX, &number, NULL) < 0 ? 0 : number;
}

static void format_result(char *ret, size_t size, const cJSON *result)
{
	const char *outcome = json_text_or(result, "outcome", "");
	const char *reason = json_text_or(result, "reason", "");
	const char *detail = json_text_or(result, "detail", "");
	char fetched[32];

	progress_format_bytes(fetched, sizeof fetched, number_of(result, "bytes_fetched"));
	if (strcmp(outcome, outcome_name(OUTCOME_CONFIRMED)) == 0)
		(void)snprintf(ret, size, "%s -> %s: %s in %.1f s, %s was down %.3f s, %s fetched",
			       json_text_or(result, "from", ""), json_text_or(result, "to", ""),
			       outcome, (double)number_of(result, "duration_ms") / 1000,
			       json_text_or(result, "program", ""),
			       (double)number_of(result, "downtime_ms") / 1000, fetched);
	else
		(void)snprintf(ret, size, "%s -> %s: %s at step %s (%s)%s%s",
			       json_text_or(result, "from", ""), json_text_or(result, "to", ""),
			       outcome, json_text_or(result, "step", ""), reason,
			       *detail ? ": " : "", detail);
	log_mask_controls(ret);
}

void progress_result(struct progress *p, const cJSON *result, int is_logged)
{
	_cleanup_json_ cJSON *object = NULL;
	char text[TEXT_BYTES];

	if (p->open)
		progress_end(p, NULL);
	format_result(text, sizeof text, result);
	/* What systemd shows is the end, and not how far it was. */
	notify_text(text);
	if (p->style != PROGRESS_JSON) {
		if (!is_logged)
			progress_say(p, "%s", text);
		return;
	}
	object = cJSON_CreateObject();
	if (object && cJSON_AddStringToObject(object, "event", "result") &&
	    cJSON_AddItemToObject(object, "result", cJSON_Duplicate(result, true)))
		print_json(p, object);
}
