/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "bmsd/client.h"
#include "bmsd/show.h"
#include "common/json.h"
#include "common/log.h"

#define CELLS_A_LINE 8

/* Whatever a board calls itself must not move the cursor. */
static void put_text(FILE *to, const char *text)
{
	char masked[320];

	(void)snprintf(masked, sizeof masked, "%s", text);
	log_mask_controls(masked);
	(void)fputs(masked, to);
}

static void put_words(FILE *to, const cJSON *array, const char *none)
{
	const cJSON *item;
	bool any = false;

	cJSON_ArrayForEach (item, array) {
		const char *word = cJSON_IsObject(item) ? json_text_or(item, "name", "?")
							: cJSON_GetStringValue(item);

		(void)fprintf(to, "%s%s", any ? ", " : "", word ? word : "?");
		if (cJSON_IsObject(item))
			(void)fprintf(to, " (%s, since %s%s)", json_text_or(item, "level", "?"),
				      show_time((uint64_t)show_number(item, "since_sec", 0)).text,
				      show_flag(item, "gone") ? "; over, latched" : "");
		any = true;
	}
	(void)fprintf(to, "%s\n", any ? "" : none);
}

static void put_charge(FILE *to, const cJSON *pack, const cJSON *estimate)
{
	(void)fprintf(to, "  charge         %s",
		      show_value(estimate, "soc_centipercent", 100, 1, " %").text);
	if (show_has(estimate, "margin_centipercent"))
		(void)fprintf(to, " within %s",
			      show_value(estimate, "margin_centipercent", 100, 1, " %").text);
	(void)fprintf(to, ", %s of %s; the board says %s\n",
		      show_value(estimate, "charge_now_uah", 1000000, 2, "").text,
		      show_value(estimate, "charge_full_uah", 1000000, 2, " Ah").text,
		      show_value(pack, "capacity_percent", 1, 0, " %").text);
	if (show_number(estimate, "time_to_empty_avg_sec", -1) >= 0)
		(void)fprintf(
			to, "  empty in       %s\n",
			show_duration(show_number(estimate, "time_to_empty_avg_sec", -1)).text);
	if (show_number(estimate, "time_to_full_avg_sec", -1) >= 0)
		(void)fprintf(
			to, "  full in        %s\n",
			show_duration(show_number(estimate, "time_to_full_avg_sec", -1)).text);
}

static void put_health(FILE *to, const cJSON *pack, const cJSON *estimate)
{
	(void)fprintf(to, "  health         %s (%s), %s full cycles; the board counts %s\n",
		      show_value(estimate, "soh_centipercent", 100, 1, " %").text,
		      json_text_or(estimate, "soh_source", "none"),
		      show_value(estimate, "cycles_milli", 1000, 1, "").text,
		      show_value(pack, "cycle_count", 1, 0, "").text);
	if (show_has(estimate, "resistance_uohm"))
		(void)fprintf(to, "  resistance     %s at 25 C\n",
			      show_value(estimate, "resistance_uohm", 1000, 1, " mOhm").text);
}

static void put_cells(FILE *to, const cJSON *pack)
{
	const cJSON *cell, *cells = cJSON_GetObjectItemCaseSensitive(pack, "cell_voltages_uv");
	int n = 0;

	if (!cells)
		return;
	(void)fprintf(to, "  cells          %s (cell %s) to %s (cell %s), spread %s\n",
		      show_value(pack, "cell_min_uv", 1000000, 3, "").text,
		      show_value(pack, "cell_min_number", 1, 0, "").text,
		      show_value(pack, "cell_max_uv", 1000000, 3, " V").text,
		      show_value(pack, "cell_max_number", 1, 0, "").text,
		      show_value(pack, "cell_spread_uv", 1000, 0, " mV").text);
	cJSON_ArrayForEach (cell, cells) {
		if (n % CELLS_A_LINE == 0)
			(void)fprintf(to, "%s    %2d - %-2d      ", n ? "\n" : "", n + 1,
				      n + CELLS_A_LINE < cJSON_GetArraySize(cells)
					      ? n + CELLS_A_LINE
					      : cJSON_GetArraySize(cells));
		(void)fprintf(to, " %.3f", cell->valuedouble / 1e6);
		n++;
	}
	(void)fputc('\n', to);
}

static void put_temperatures(FILE *to, const cJSON *pack)
{
	const cJSON *item;

	(void)fputs("  temperatures  ", to);
	cJSON_ArrayForEach (item,
			    cJSON_GetObjectItemCaseSensitive(pack, "temperatures_decicelsius"))
		(void)fprintf(to, " %.1f", item->valuedouble / 10);
	(void)fputs(" C", to);
	if (show_has(pack, "fet_temperature_decicelsius"))
		(void)fprintf(to, ", switches %s",
			      show_value(pack, "fet_temperature_decicelsius", 10, 1, " C").text);
	(void)fputc('\n', to);
}

static const char *switch_text(const cJSON *pack, const char *key)
{
	if (!cJSON_IsBool(cJSON_GetObjectItemCaseSensitive(pack, key)))
		return "unknown";
	return show_flag(pack, key) ? "on" : "off";
}

static void put_switches(FILE *to, const cJSON *pack)
{
	const cJSON *lock;

	(void)fprintf(to, "  switches       charge %s, discharge %s%s\n",
		      switch_text(pack, "charge_fet"), switch_text(pack, "discharge_fet"),
		      show_number(pack, "balancing", 0) ? ", balancing" : "");
	cJSON_ArrayForEach (lock, cJSON_GetObjectItemCaseSensitive(pack, "fet_locks")) {
		(void)fprintf(to, "    %s held off: ", json_text_or(lock, "which", "?"));
		put_text(to, json_text_or(lock, "reason", ""));
		if (show_has(lock, "lease_left_msec"))
			(void)fprintf(
				to, "; for another %s\n",
				show_duration(show_number(lock, "lease_left_msec", 0) / 1000).text);
		else
			(void)fputs("; until it is given back\n", to);
	}
}

static void put_limits(FILE *to, const cJSON *pack)
{
	const cJSON *limits = show_object(pack, "limits");

	if (!limits)
		return;
	(void)fprintf(to, "  limits         charge %s (%s) to %s, discharge %s (%s)\n",
		      show_value(limits, "charge_current_max_ua", 1000000, 1, " A").text,
		      json_text_or(limits, "charge_reason", "?"),
		      show_value(limits, "constant_charge_voltage_max_uv", 1000000, 1, " V").text,
		      show_value(limits, "discharge_current_max_ua", 1000000, 1, " A").text,
		      json_text_or(limits, "discharge_reason", "?"));
}

static void put_sample(FILE *to, const cJSON *pack)
{
	const cJSON *estimate = show_object(pack, "estimate");

	(void)fprintf(to, "  voltage        %s\n",
		      show_value(pack, "voltage_now_uv", 1000000, 2, " V").text);
	(void)fprintf(to, "  current        %s, %s\n",
		      show_value(pack, "current_now_ua", 1000000, 2, " A").text,
		      show_value(pack, "power_now_uw", 1000000, 0, " W").text);
	put_charge(to, pack, estimate);
	put_health(to, pack, estimate);
	put_cells(to, pack);
	put_temperatures(to, pack);
	put_switches(to, pack);
	(void)fputs("  protections    ", to);
	put_words(to, cJSON_GetObjectItemCaseSensitive(pack, "protections"), "none");
	put_limits(to, pack);
}

static void put_pack(FILE *to, const cJSON *pack)
{
	const char *detail = json_text_or(pack, "detail", "");

	(void)fprintf(to, "\npack %" PRId64 " (%s, link %s) ", show_number(pack, "number", 0),
		      json_text_or(pack, "driver", ""), json_text_or(pack, "link", ""));
	put_text(to, json_text_or(pack, "model", ""));
	if (json_text_or(pack, "serial", "")[0]) {
		(void)fputs(", serial ", to);
		put_text(to, json_text_or(pack, "serial", ""));
	}
	(void)fputc('\n', to);
	if (detail[0]) {
		(void)fputs("  ", to);
		put_text(to, detail);
		(void)fputc('\n', to);
	}
	if (show_flag(pack, "present"))
		put_sample(to, pack);
	(void)fputs("  alarms         ", to);
	put_words(to, cJSON_GetObjectItemCaseSensitive(pack, "alarms"), "none");
}

static void put_config(FILE *to, const cJSON *root)
{
	const cJSON *refused = cJSON_GetObjectItemCaseSensitive(root, "config_refused"), *item;
	int64_t more = show_number(root, "config_refused_more", 0);

	if (cJSON_GetArraySize(refused) > 0)
		(void)fputs("\nthe configuration is not taken whole\n", to);
	cJSON_ArrayForEach (item, refused) {
		(void)fputs("  ", to);
		put_text(to, json_text_or(item, "text", "?"));
		(void)fputc('\n', to);
	}
	if (more > 0)
		(void)fprintf(to, "  and %" PRId64 " more\n", more);
}

static void put_status(FILE *to, const cJSON *root, const cJSON *packs)
{
	const cJSON *pack, *event;
	char line[320];

	(void)fprintf(to, "bmsd %s, up for %s%s\n", json_text_or(root, "version", ""),
		      show_duration(show_number(root, "uptime_msec", 0) / 1000).text,
		      show_flag(root, "ready") ? "" : ", not ready");
	put_config(to, root);
	cJSON_ArrayForEach (pack, packs)
		put_pack(to, pack);
	if (cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "events")) > 0)
		(void)fputs("\nlast events\n", to);
	cJSON_ArrayForEach (event, cJSON_GetObjectItemCaseSensitive(root, "events")) {
		show_event(event, line, sizeof line);
		(void)fprintf(to, "  %s\n", line);
	}
}

/* Words of bmsd's own are no better than those of a board, if it is not bmsd that answers. */
static void put_masked(FILE *to, char *text)
{
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		log_mask_controls(line);
		(void)fprintf(to, "%s\n", line);
	}
}

int client_print_status(const char *json, FILE *to)
{
	static const struct json_limits limits = { .max_bytes = CLIENT_ANSWER_MAX_BYTES };
	_cleanup_json_ cJSON *root = NULL;
	_cleanup_free_ char *text = NULL;
	const cJSON *packs = NULL;
	size_t size = 0;
	FILE *memory;
	int r;

	r = json_parse(json, strlen(json), &limits, &root, NULL);
	if (r < 0)
		return r;
	r = json_get_array(root, "packs", &packs, NULL);
	if (r < 0)
		return -EBADMSG;
	memory = open_memstream(&text, &size);
	if (!memory)
		return -ENOMEM;
	put_status(memory, root, packs);
	if (fclose(memory) != 0)
		return -ENOMEM;
	put_masked(to, text);
	return 0;
}
