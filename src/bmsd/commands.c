/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/commands.h"

#include <inttypes.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "bmsd/client.h"
#include "bmsd/show.h"
#include "commands_parts.h"
#include "common/json.h"
#include "common/log.h"

#define DURATION_MAX_SEC UINT64_C(315360000)
#define SEQUENCE_MAX	 ((UINT64_C(1) << 53) - 1)
#define NAME_CHARACTERS	 "abcdefghijklmnopqrstuvwxyz0123456789_"

int commands_parse_duration(const char *text, uint64_t *ret_sec)
{
	static const struct {
		char suffix;
		uint64_t sec;
	} units[] = { { '\0', 1 }, { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	size_t digits = strspn(text, "0123456789");
	uint64_t value;

	if (digits == 0 || digits > 9 || (text[digits] && text[digits + 1]))
		return -EINVAL;
	value = strtoull(text, NULL, 10);
	for (size_t i = 0; i < ELEMENTSOF(units); i++) {
		if (text[digits] != units[i].suffix)
			continue;
		if (value * units[i].sec > DURATION_MAX_SEC)
			return -ERANGE;
		*ret_sec = value * units[i].sec;
		return 0;
	}
	return -EINVAL;
}

static int failed(const char *error)
{
	log_error("%s", error ? error : "out of memory");
	return EXIT_FAILURE;
}

static int unreadable(void)
{
	return failed("bmsd's answer cannot be read; --json shows it");
}

static int finish_output(void)
{
	return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int commands_status(const struct commands_options *o)
{
	_cleanup_free_ char *json = NULL, *error = NULL;

	if (client_call("Status", CLIENT_TIMEOUT_MSEC, &json, &error) < 0)
		return failed(error);
	if (o->json) {
		/* JSON has none, but who knows what that is. */
		log_mask_controls(json);
		(void)puts(json);
	} else if (client_print_status(json, stdout) < 0)
		return unreadable();
	return finish_output();
}

/* ---- history ---- */

/* A point as an object, its members named by the columns. */
static void print_point_json(const cJSON *columns, const cJSON *point)
{
	const cJSON *value, *column = columns->child;
	bool first = true;

	(void)putchar('{');
	cJSON_ArrayForEach (value, point) {
		if (!column)
			break;
		if (cJSON_IsNumber(value)) {
			(void)printf("%s\"%s\":%.0f", first ? "" : ",", column->valuestring,
				     value->valuedouble);
			first = false;
		}
		column = column->next;
	}
	(void)puts("}");
}

static double value_of(const cJSON *columns, const cJSON *point, const char *name, bool *ret_known)
{
	const cJSON *value = point->child;
	const cJSON *column;

	cJSON_ArrayForEach (column, columns) {
		if (!value)
			break;
		if (strcmp(column->valuestring, name) == 0 && cJSON_IsNumber(value)) {
			*ret_known = true;
			return value->valuedouble;
		}
		value = value->next;
	}
	*ret_known = false;
	return 0;
}

static void print_column(const cJSON *columns, const cJSON *point, const char *name, double unit,
			 int digits)
{
	bool known = false;
	double value = value_of(columns, point, name, &known);

	if (known)
		(void)printf(" %9.*f", digits, value / unit);
	else
		(void)printf(" %9s", "-");
}

static void print_point(const cJSON *columns, const cJSON *point)
{
	bool known = false;
	double sec = value_of(columns, point, "wall_sec", &known);

	(void)printf("%s", show_time((uint64_t)sec).text);
	print_column(columns, point, "voltage_avg_uv", 1e6, 2);
	print_column(columns, point, "current_min_ua", 1e6, 2);
	print_column(columns, point, "current_avg_ua", 1e6, 2);
	print_column(columns, point, "current_max_ua", 1e6, 2);
	print_column(columns, point, "soc_avg_centipercent", 100, 1);
	print_column(columns, point, "temperature_max_decicelsius", 10, 1);
	print_column(columns, point, "cell_min_uv", 1e6, 3);
	print_column(columns, point, "cell_max_uv", 1e6, 3);
	(void)putchar('\n');
}

/* They are printed as they are. */
static bool are_names(const cJSON *array)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, array)
		if (!cJSON_IsString(item) ||
		    item->valuestring[strspn(item->valuestring, NAME_CHARACTERS)])
			return false;
	return array->child;
}

/* 1: there was something; *from_sec is where the next page begins. */
static int print_page(const cJSON *page, bool json, uint64_t *from_sec)
{
	const cJSON *columns = NULL, *points = NULL, *point;
	uint64_t last = 0;
	bool known = false;

	if (json_get_array(page, "columns", &columns, NULL) < 0 ||
	    json_get_array(page, "points", &points, NULL) < 0 || !are_names(columns))
		return -EBADMSG;
	cJSON_ArrayForEach (point, points) {
		if (json)
			print_point_json(columns, point);
		else
			print_point(columns, point);
		last = (uint64_t)value_of(columns, point, "wall_sec", &known);
	}
	/* A clock that was set back must not make an endless loop of it. */
	if (!points->child || last < *from_sec)
		return 0;
	*from_sec = last + 1;
	return 1;
}

/* *away: bmsd did not answer before. Says so when it turns out. */
static int turn_to_files(bool *away, int error, const char *why)
{
	if (*away || !client_is_away(error))
		return error;
	*away = true;
	log_notice("%s; this is what it left on disk", why ? why : "bmsd does not answer");
	return 0;
}

static int ask_history(const struct commands_options *o, bool *away,
		       const struct client_range *range, cJSON **ret, char **ret_error)
{
	_cleanup_free_ char *why = NULL;
	int r;

	if (!*away) {
		r = client_history(range, ret, &why);
		if (r < 0)
			r = turn_to_files(away, r, why);
		if (r < 0)
			*ret_error = TAKE_PTR(why);
		if (!*away)
			return r;
	}
	return commands_history_files(o->config, range, ret, ret_error);
}

int commands_history(const struct commands_options *o)
{
	uint64_t now = (uint64_t)time(NULL);
	bool away = false;
	struct client_range range = {
		.pack = o->pack,
		.minutes = !o->seconds,
		.from_sec = o->since_sec < now ? now - o->since_sec : 0,
	};
	int r;

	if (!o->json)
		(void)printf("%-19s %9s %9s %9s %9s %9s %9s %9s %9s\n", "time", "volt", "ampere",
			     "average", "to", "charge %", "celsius", "cell", "to");
	do {
		_cleanup_json_ cJSON *page = NULL;
		_cleanup_free_ char *error = NULL;

		if (ask_history(o, &away, &range, &page, &error) < 0)
			return failed(error);
		r = print_page(page, o->json, &range.from_sec);
	} while (r > 0);
	return r < 0 ? unreadable() : finish_output();
}

/* ---- events ---- */

static void print_event(const cJSON *event, bool json)
{
	_cleanup_free_ char *text = json ? json_print(event) : NULL;
	char line[320];

	if (json) {
		(void)puts(text ? text : "");
		return;
	}
	show_event(event, line, sizeof line);
	(void)printf("%6" PRId64 "  %s\n", show_number(event, "sequence", 0), line);
}

static int ask_events(const struct commands_options *o, bool *away, uint64_t after, cJSON **ret,
		      char **ret_error)
{
	_cleanup_free_ char *why = NULL;
	int r;

	if (!*away) {
		r = client_events(after, 0, ret, &why);
		if (r < 0)
			r = turn_to_files(away, r, why);
		if (r < 0)
			*ret_error = TAKE_PTR(why);
		if (!*away)
			return r;
	}
	return commands_events_files(o->config, after, ret, ret_error);
}

int commands_events(const struct commands_options *o)
{
	uint64_t after = o->after, last;
	bool away = false;

	do {
		_cleanup_json_ cJSON *page = NULL;
		_cleanup_free_ char *error = NULL;
		const cJSON *events = NULL, *event;

		last = after;
		if (ask_events(o, &away, after, &page, &error) < 0)
			return failed(error);
		if (json_get_array(page, "events", &events, NULL) < 0)
			return unreadable();
		cJSON_ArrayForEach (event, events) {
			uint64_t sequence = 0;

			print_event(event, o->json);
			if (json_get_u64(event, "sequence", SEQUENCE_MAX, &sequence, NULL) == 0 &&
			    sequence > after)
				after = sequence;
		}
	} while (after > last);
	return finish_output();
}

/* ---- commands ---- */

static int split_fet(const char *text, struct client_fet *f)
{
	static const struct {
		const char *text, *which;
		bool on;
	} words[] = {
		{ "charge=on", "charge", true },
		{ "charge=off", "charge", false },
		{ "discharge=on", "discharge", true },
		{ "discharge=off", "discharge", false },
	};

	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		if (strcmp(text, words[i].text) != 0)
			continue;
		f->which = words[i].which;
		f->on = words[i].on;
		return 0;
	}
	return -EINVAL;
}

int commands_set_fet(const struct commands_options *o)
{
	struct client_fet f = { .pack = o->pack,
				.reason = o->reason ? o->reason : "given back",
				.lease_sec = (uint32_t)o->lease_sec };
	_cleanup_free_ char *error = NULL;

	if (split_fet(o->fet, &f) < 0) {
		log_error("--set-fet charge=on, charge=off, discharge=on or discharge=off");
		return EX_USAGE;
	}
	if (!f.on && (!o->reason || o->lease_sec == 0)) {
		log_error("to hold a switch off takes --reason and --lease");
		return EX_USAGE;
	}
	return client_set_fet(&f, &error) < 0 ? failed(error) : EXIT_SUCCESS;
}

int commands_reset_alarms(const struct commands_options *o)
{
	_cleanup_free_ char *error = NULL;

	return client_reset_alarms(o->pack, &error) < 0 ? failed(error) : EXIT_SUCCESS;
}

int commands_quiesce(const struct commands_options *o)
{
	_cleanup_free_ char *error = NULL;
	uint64_t sequence = 0;

	if (client_quiesce(&sequence, &error) < 0)
		return failed(error);
	(void)printf(o->json ? "{\"sequence\":%" PRIu64 "}\n"
			     : "all is written, state %" PRIu64 "\n",
		     sequence);
	return finish_output();
}
