/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/client.h"

#include <inttypes.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "bmsd/bus.h"
#include "common/json.h"

#define ANSWER_MAX_BYTES 65536

static int explain(char **ret_error, const char *what, int error, const sd_bus_error *bus_error)
{
	const char *text = bus_error && bus_error->message ? bus_error->message : strerror(-error);

	if (ret_error && asprintf(ret_error, "%s: %s", what, text) < 0)
		*ret_error = NULL;
	return error;
}

int client_call(const char *method, uint64_t timeout_msec, char **ret_answer, char **ret_error)
{
	_cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	const char *answer = NULL;
	char *copy;
	int r;

	r = sd_bus_open_system(&bus);
	if (r < 0)
		return explain(ret_error, "system bus", r, NULL);
	r = sd_bus_message_new_method_call(bus, &call, BATTERY_BUS_NAME, BATTERY_BUS_PATH,
					   BATTERY_BUS_IFACE, method);
	if (r >= 0)
		r = sd_bus_message_set_auto_start(call, 0);
	if (r >= 0)
		r = sd_bus_call(bus, call, timeout_msec * 1000, &error, &reply);
	if (r < 0)
		return explain(ret_error, "bmsd", r, &error);
	r = sd_bus_message_read(reply, "s", &answer);
	if (r < 0)
		return explain(ret_error, "bmsd", r, NULL);
	if (strlen(answer) > ANSWER_MAX_BYTES)
		return explain(ret_error, "bmsd", -EFBIG, NULL);
	copy = strdup(answer);
	if (!copy)
		return -ENOMEM;
	*ret_answer = copy;
	return 0;
}

/* ---- status for people ---- */

static int64_t number_of(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : 0;
}

static bool flag_of(const cJSON *object, const char *key)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static void print_list(FILE *to, const cJSON *pack, const char *key, int64_t unit, int digits)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(pack, key)) {
		if (cJSON_IsString(item))
			(void)fprintf(to, " %s", item->valuestring);
		else
			(void)fprintf(to, " %.*f", digits, item->valuedouble / (double)unit);
	}
	(void)fputc('\n', to);
}

static void print_sample(FILE *to, const cJSON *pack)
{
	double full = (double)number_of(pack, "charge_full_design_uah") / 1e6;

	(void)fprintf(to, "  voltage      %.2f V\n",
		      (double)number_of(pack, "voltage_now_uv") / 1e6);
	(void)fprintf(to, "  current      %.2f A\n",
		      (double)number_of(pack, "current_now_ua") / 1e6);
	(void)fprintf(to, "  charge       %" PRId64 " %%, %.2f of %.2f Ah, %" PRId64 " cycles\n",
		      number_of(pack, "capacity_percent"),
		      (double)number_of(pack, "charge_now_uah") / 1e6, full,
		      number_of(pack, "cycle_count"));
	(void)fprintf(to, "  cells (V)   ");
	print_list(to, pack, "cell_voltages_uv", 1000000, 3);
	(void)fprintf(to, "  temp. (C)   ");
	print_list(to, pack, "temperatures_decicelsius", 10, 1);
	(void)fprintf(to, "  switches     charge %s, discharge %s\n",
		      flag_of(pack, "charge_fet") ? "on" : "off",
		      flag_of(pack, "discharge_fet") ? "on" : "off");
	(void)fprintf(to, "  protections ");
	print_list(to, pack, "protections", 1, 0);
}

int client_print_status(const char *json, FILE *to)
{
	_cleanup_json_ cJSON *root = NULL;
	const cJSON *packs = NULL, *pack;
	int r;

	r = json_parse(json, strlen(json), NULL, &root, NULL);
	if (r < 0)
		return r;
	r = json_get_array(root, "packs", &packs, NULL);
	if (r < 0)
		return -EBADMSG;
	(void)fprintf(to, "bmsd %s, up for %" PRId64 " s%s\n", json_text_or(root, "version", ""),
		      number_of(root, "uptime_msec") / 1000,
		      flag_of(root, "ready") ? "" : ", not ready");
	cJSON_ArrayForEach (pack, packs) {
		(void)fprintf(to, "\npack %" PRId64 " (%s, link %s) %s\n",
			      number_of(pack, "number"), json_text_or(pack, "driver", ""),
			      json_text_or(pack, "link", ""), json_text_or(pack, "model", ""));
		if (json_text_or(pack, "detail", "")[0])
			(void)fprintf(to, "  %s\n", json_text_or(pack, "detail", ""));
		if (flag_of(pack, "present"))
			print_sample(to, pack);
	}
	return 0;
}
