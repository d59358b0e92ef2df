/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "bmsd/mqtt.h"
#include "common/json.h"

/* What a member of the state is to Home Assistant (its "MQTT discovery"). Values are integers with
 * their units in the names; a template makes the unit that people read of them. */
static const struct entity {
	const char *key;  /* of the state; also its id */
	const char *name; /* for people */
	unsigned divisor;
	unsigned digits;
	const char *unit, *device_class;
	const char *state_class; /* NULL: none */
	bool diagnostic;
} sensors[] = {
	{ "voltage_now_uv", "Voltage", 1000000, 2, "V", "voltage", "measurement", false },
	{ "current_now_ua", "Current", 1000000, 2, "A", "current", "measurement", false },
	{ "power_now_uw", "Power", 1000000, 0, "W", "power", "measurement", false },
	{ "estimate_soc_centipercent", "State of charge", 100, 1, "%", "battery", "measurement",
	  false },
	{ "estimate_margin_centipercent", "State of charge margin", 100, 1, "%", NULL,
	  "measurement", true },
	{ "capacity_percent", "State of charge (board)", 1, 0, "%", "battery", "measurement",
	  true },
	{ "estimate_soh_centipercent", "State of health", 100, 1, "%", NULL, "measurement", true },
	{ "estimate_charge_now_uah", "Charge", 1000000, 2, "Ah", NULL, "measurement", false },
	{ "estimate_charge_full_uah", "Capacity", 1000000, 2, "Ah", NULL, "measurement", true },
	{ "estimate_cycles_milli", "Equivalent full cycles", 1000, 1, NULL, NULL,
	  "total_increasing", true },
	{ "estimate_resistance_uohm", "Resistance", 1000, 2, "m\xce\xa9", NULL, "measurement",
	  true },
	{ "estimate_time_to_empty_avg_sec", "Time to empty", 60, 0, "min", "duration",
	  "measurement", false },
	{ "estimate_time_to_full_avg_sec", "Time to full", 60, 0, "min", "duration", "measurement",
	  false },
	{ "limit_charge_current_max_ua", "Charge current limit", 1000000, 1, "A", "current",
	  "measurement", true },
	{ "limit_discharge_current_max_ua", "Discharge current limit", 1000000, 1, "A", "current",
	  "measurement", true },
	{ "limit_constant_charge_voltage_max_uv", "Charge voltage limit", 1000000, 2, "V",
	  "voltage", "measurement", true },
	{ "cell_min_uv", "Lowest cell", 1000000, 3, "V", "voltage", "measurement", false },
	{ "cell_max_uv", "Highest cell", 1000000, 3, "V", "voltage", "measurement", false },
	{ "cell_spread_uv", "Cell spread", 1000, 0, "mV", "voltage", "measurement", false },
	{ "fet_temperature_decicelsius", "Switch temperature", 10, 1,
	  "\xc2\xb0"
	  "C",
	  "temperature", "measurement", true },
	{ "cycle_count", "Cycles (board)", 1, 0, NULL, NULL, "total_increasing", true },
	{ "lifetime_charged_uwh", "Energy charged", 1000000, 1, "Wh", "energy", "total_increasing",
	  true },
	{ "lifetime_discharged_uwh", "Energy discharged", 1000000, 1, "Wh", "energy",
	  "total_increasing", true },
};

static const struct flag {
	const char *key, *name, *device_class, *on;
} flags[] = {
	{ "present", "Sample", "connectivity", "value_json.present" },
	{ "charge_fet", "Charging possible", NULL, "value_json.charge_fet" },
	{ "discharge_fet", "Discharging possible", NULL, "value_json.discharge_fet" },
	{ "protections", "Protection", "problem", "value_json.protections" },
	{ "alarms", "Alarm", "problem", "value_json.alarms" },
};

/* ---- the state ---- */

bool mqtt_pack_key(const cJSON *pack, char *ret, size_t size)
{
	uint64_t number = 0;

	if (json_get_u64(pack, "number", 999, &number, NULL) < 0)
		return false;
	(void)snprintf(ret, size, "pack%u", (unsigned)number);
	return true;
}

static bool add_copy(cJSON *to, const char *prefix, const cJSON *item)
{
	cJSON *copy = cJSON_Duplicate(item, true);
	char key[96];

	(void)snprintf(key, sizeof key, "%s%s", prefix, item->string);
	if (copy && cJSON_AddItemToObject(to, key, copy))
		return true;
	cJSON_Delete(copy);
	return false;
}

static bool is_plain(const cJSON *item)
{
	return cJSON_IsNumber(item) || cJSON_IsBool(item) || cJSON_IsString(item);
}

/* Plain members of an inner object, under its name. */
static bool add_inner(cJSON *to, const cJSON *pack, const char *name, const char *prefix)
{
	const cJSON *item, *inner = NULL;

	if (json_get_object(pack, name, &inner, NULL) < 0)
		return true;
	cJSON_ArrayForEach (item, inner)
		if (is_plain(item) && !add_copy(to, prefix, item))
			return false;
	return true;
}

static bool add_alarm_names(cJSON *to, const cJSON *pack)
{
	cJSON *names = cJSON_AddArrayToObject(to, "alarms");
	const cJSON *alarm, *alarms = NULL;

	if (!names || json_get_array(pack, "alarms", &alarms, NULL) < 0)
		return names;
	cJSON_ArrayForEach (alarm, alarms) {
		cJSON *name = cJSON_CreateString(json_text_or(alarm, "name", ""));

		if (!name || !cJSON_AddItemToArray(names, name))
			return false;
	}
	return true;
}

int mqtt_state_payload(const cJSON *pack, uint64_t wall_sec, char **ret)
{
	static const char *const arrays[] = { "cell_voltages_uv", "temperatures_decicelsius",
					      "protections", "warnings" };
	_cleanup_json_ cJSON *out = cJSON_CreateObject();
	bool ok = out && json_add_u64(out, "wall_sec", wall_sec);
	const cJSON *item;

	cJSON_ArrayForEach (item, pack)
		ok = ok && (!is_plain(item) || add_copy(out, "", item));
	for (size_t i = 0; ok && i < ELEMENTSOF(arrays); i++) {
		item = cJSON_GetObjectItemCaseSensitive(pack, arrays[i]);
		ok = !item || add_copy(out, "", item);
	}
	ok = ok && add_inner(out, pack, "estimate", "estimate_") &&
	     add_inner(out, pack, "limits", "limit_") &&
	     add_inner(out, pack, "lifetime", "lifetime_") && add_alarm_names(out, pack);
	*ret = ok ? json_print(out) : NULL;
	return *ret ? 0 : -ENOMEM;
}

/* ---- discovery documents ---- */

struct discovering {
	const struct mqtt_discovery *d;
	const cJSON *pack;
	char key[16];
	mqtt_document_fn fn;
	void *userdata;
};

static bool add_device(cJSON *doc, const struct discovering *g)
{
	cJSON *device = cJSON_AddObjectToObject(doc, "device"), *identifiers;
	const char *model = json_text_or(g->pack, "model", ""),
		   *serial = json_text_or(g->pack, "serial", "");
	char id[MQTT_TOPIC_BYTES], name[160];
	cJSON *item;

	(void)snprintf(id, sizeof id, "%s_%s", g->d->node, g->key);
	(void)snprintf(name, sizeof name, "Battery %.64s", json_text_or(g->pack, "name", g->key));
	identifiers = device ? cJSON_AddArrayToObject(device, "identifiers") : NULL;
	item = cJSON_CreateString(id);
	if (!identifiers || !item || !cJSON_AddItemToArray(identifiers, item)) {
		cJSON_Delete(item);
		return false;
	}
	return cJSON_AddStringToObject(device, "name", name) &&
	       (!model[0] || cJSON_AddStringToObject(device, "model", model)) &&
	       (!serial[0] || cJSON_AddStringToObject(device, "serial_number", serial)) &&
	       cJSON_AddStringToObject(device, "sw_version", g->d->version);
}

static bool add_topics(cJSON *doc, const struct discovering *g, const char *object)
{
	char state[MQTT_TOPIC_BYTES], availability[MQTT_TOPIC_BYTES], id[MQTT_TOPIC_BYTES];

	(void)snprintf(state, sizeof state, "%s/%s/state", g->d->topic, g->key);
	(void)snprintf(availability, sizeof availability, "%s/availability", g->d->topic);
	(void)snprintf(id, sizeof id, "%s_%s_%s", g->d->node, g->key, object);
	return cJSON_AddStringToObject(doc, "unique_id", id) &&
	       cJSON_AddStringToObject(doc, "object_id", id) &&
	       cJSON_AddStringToObject(doc, "state_topic", state) &&
	       cJSON_AddStringToObject(doc, "availability_topic", availability);
}

/* Takes doc; ok is false if it could not be made whole. */
static int hand_out(const struct discovering *g, const char *component, const char *object,
		    cJSON *made, bool ok)
{
	_cleanup_json_ cJSON *doc = made;
	_cleanup_free_ char *payload = NULL;
	char topic[MQTT_TOPIC_BYTES];

	ok = ok && add_topics(doc, g, object) && add_device(doc, g);
	payload = ok ? json_print(doc) : NULL;
	if (!payload)
		return -ENOMEM;
	(void)snprintf(topic, sizeof topic, "%s/%s/%s/%s_%s/config", g->d->prefix, component,
		       g->d->node, g->key, object);
	return g->fn(topic, payload, g->userdata);
}

static bool add_if(cJSON *doc, const char *key, const char *value)
{
	return !value || cJSON_AddStringToObject(doc, key, value);
}

static int discover_sensor(const struct discovering *g, const struct entity *e)
{
	cJSON *doc = cJSON_CreateObject();
	char template[256];
	bool ok;

	(void)snprintf(template, sizeof template,
		       "{{ (value_json.%s / %u) | round(%u) if value_json.%s is defined else none "
		       "}}",
		       e->key, e->divisor, e->digits, e->key);
	ok = doc && cJSON_AddStringToObject(doc, "name", e->name) &&
	     cJSON_AddStringToObject(doc, "value_template", template) &&
	     add_if(doc, "unit_of_measurement", e->unit) &&
	     add_if(doc, "device_class", e->device_class) &&
	     add_if(doc, "state_class", e->state_class) &&
	     add_if(doc, "entity_category", e->diagnostic ? "diagnostic" : NULL);
	return hand_out(g, "sensor", e->key, doc, ok);
}

static int discover_flag(const struct discovering *g, const struct flag *f)
{
	cJSON *doc = cJSON_CreateObject();
	char template[128];
	bool ok;

	(void)snprintf(template, sizeof template,
		       "{{ ('ON' if %s else 'OFF') if %s is defined else none }}", f->on, f->on);
	ok = doc && cJSON_AddStringToObject(doc, "name", f->name) &&
	     cJSON_AddStringToObject(doc, "value_template", template) &&
	     add_if(doc, "device_class", f->device_class);
	return hand_out(g, "binary_sensor", f->key, doc, ok);
}

/* One of a list: a cell, a temperature sensor. Cells are many, so they start out hidden. */
struct list {
	const char *key, *object, *name;
	unsigned divisor, digits;
	const char *unit, *device_class;
	bool hidden;
};

static int discover_item(const struct discovering *g, const struct list *l, unsigned i)
{
	cJSON *doc = cJSON_CreateObject();
	char template[256], name[64], object[64];
	bool ok;

	(void)snprintf(name, sizeof name, "%s %u", l->name, i + 1);
	(void)snprintf(object, sizeof object, "%s_%u", l->object, i + 1);
	(void)snprintf(template, sizeof template,
		       "{{ (value_json.%s[%u] / %u) | round(%u) if value_json.%s is defined and "
		       "value_json.%s | length > %u else none }}",
		       l->key, i, l->divisor, l->digits, l->key, l->key, i);
	ok = doc && cJSON_AddStringToObject(doc, "name", name) &&
	     cJSON_AddStringToObject(doc, "value_template", template) &&
	     cJSON_AddStringToObject(doc, "unit_of_measurement", l->unit) &&
	     cJSON_AddStringToObject(doc, "device_class", l->device_class) &&
	     cJSON_AddStringToObject(doc, "state_class", "measurement") &&
	     (!l->hidden || cJSON_AddFalseToObject(doc, "enabled_by_default"));
	return hand_out(g, "sensor", object, doc, ok);
}

static const struct list lists[] = {
	{ "cell_voltages_uv", "cell", "Cell", 1000000, 3, "V", "voltage", true },
	{ "temperatures_decicelsius", "temperature", "Temperature", 10, 1,
	  "\xc2\xb0"
	  "C",
	  "temperature", false },
};

static unsigned length_of(const cJSON *pack, const char *key)
{
	const cJSON *array = NULL;

	return json_get_array(pack, key, &array, NULL) < 0 ? 0
							   : (unsigned)cJSON_GetArraySize(array);
}

int mqtt_discover(const struct mqtt_discovery *d, const cJSON *pack, mqtt_document_fn fn,
		  void *userdata)
{
	struct discovering g = { .d = d, .pack = pack, .fn = fn, .userdata = userdata };
	int r = 0;

	if (!mqtt_pack_key(pack, g.key, sizeof g.key))
		return -EBADMSG;
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(sensors); i++)
		r = discover_sensor(&g, &sensors[i]);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(flags); i++)
		r = discover_flag(&g, &flags[i]);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(lists); i++)
		for (unsigned n = 0; r == 0 && n < length_of(pack, lists[i].key); n++)
			r = discover_item(&g, &lists[i], n);
	return r;
}

/* FNV-1a. */
static uint64_t mix(uint64_t hash, const char *text)
{
	do
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	while (*text++);
	return hash;
}

uint64_t mqtt_discovery_hash(const struct mqtt_discovery *d, const cJSON *pack)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	char counts[32];

	hash = mix(mix(mix(mix(hash, d->prefix), d->topic), d->node), d->version);
	hash = mix(mix(hash, json_text_or(pack, "model", "")), json_text_or(pack, "name", ""));
	hash = mix(hash, json_text_or(pack, "serial", ""));
	(void)snprintf(counts, sizeof counts, "%u %u", length_of(pack, lists[0].key),
		       length_of(pack, lists[1].key));
	return mix(hash, counts);
}
