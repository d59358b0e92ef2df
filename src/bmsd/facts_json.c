/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/facts_json.h"

#include <string.h>

#include "common/json.h"
#include "common/utf8.h"

int facts_print(const cJSON *root, char **ret_json)
{
	char *text = json_print(root);

	if (!text)
		return -ENOMEM;
	for (uint8_t *at = (uint8_t *)text, *end = at + strlen(text); at < end;) {
		uint32_t c;
		size_t size = utf8_character(at, (size_t)(end - at), &c);

		if (size == 0)
			*at = '?';
		at += size ? size : 1;
	}
	*ret_json = text;
	return 0;
}

bool facts_add_number(cJSON *object, const char *key, int64_t value)
{
	return cJSON_AddNumberToObject(object, key, (double)value);
}

bool facts_add_known(cJSON *object, const char *key, int64_t value)
{
	return value < 0 || facts_add_number(object, key, value);
}

bool facts_add_text(cJSON *array, const char *text)
{
	cJSON *item = cJSON_CreateString(text);

	return item && cJSON_AddItemToArray(array, item);
}

bool facts_add_words(cJSON *object, const char *key, const char *text)
{
	return !text[0] || cJSON_AddStringToObject(object, key, text);
}

bool facts_add_protections(cJSON *object, const char *key, uint32_t bits)
{
	cJSON *names = cJSON_AddArrayToObject(object, key);
	bool ok = names;

	for (unsigned i = 0; i < PROTECTION_COUNT; i++)
		if (bits & 1u << i)
			ok = ok && facts_add_text(names, protection_name(i));
	return ok;
}

cJSON *facts_append_object(cJSON *array)
{
	cJSON *object = cJSON_CreateObject();

	if (object && !cJSON_AddItemToArray(array, object)) {
		cJSON_Delete(object);
		return NULL;
	}
	return object;
}

bool facts_add_head(cJSON *root, const struct facts *f)
{
	return facts_add_number(root, "schema", 1) &&
	       cJSON_AddStringToObject(root, "version", f->version) &&
	       facts_add_number(root, "pid", getpid()) &&
	       facts_add_number(root, "uptime_msec", f->now_msec - f->started_msec) &&
	       cJSON_AddBoolToObject(root, "ready", f->ready) &&
	       json_add_u64(root, "event_sequence", f->event_sequence) &&
	       facts_add_known(root, "saved_age_msec", f->saved_age_msec);
}

bool facts_add_config(cJSON *root, const struct facts *f)
{
	cJSON *refused = cJSON_AddArrayToObject(root, "config_refused");
	bool ok = refused;

	for (size_t i = 0; ok && f->conf && i < f->conf->n_refused; i++) {
		const struct bmsd_conf_refusal *refusal = &f->conf->refused[i];
		cJSON *o = facts_append_object(refused);

		ok = o && facts_add_known(o, "pack", refusal->pack) &&
		     cJSON_AddStringToObject(o, "text", refusal->text);
	}
	if (f->conf && f->conf->n_refused_more > 0)
		ok = ok && json_add_u64(root, "config_refused_more", f->conf->n_refused_more);
	return ok;
}

bool facts_add_pack_head(cJSON *pack, const struct pack_facts *p)
{
	const struct pack_view *v = &p->pack;

	return facts_add_number(pack, "number", p->number) &&
	       cJSON_AddStringToObject(pack, "name", v->name) &&
	       cJSON_AddStringToObject(pack, "driver", v->driver) &&
	       cJSON_AddStringToObject(pack, "link", v->link_up ? "up" : "down") &&
	       cJSON_AddBoolToObject(pack, "line_open", v->line_open) &&
	       cJSON_AddBoolToObject(pack, "asleep", v->asleep) &&
	       cJSON_AddStringToObject(pack, "detail", v->detail) &&
	       cJSON_AddStringToObject(pack, "model", v->model) &&
	       cJSON_AddBoolToObject(pack, "present", v->present) &&
	       facts_add_known(pack, "last_age_msec", v->age_msec);
}

static bool add_errors(cJSON *object, const struct link_errors *errors)
{
	cJSON *kinds = cJSON_AddObjectToObject(object, "errors");
	bool ok = kinds;

	for (unsigned i = 0; i < LINK_ERROR_COUNT; i++)
		ok = ok && json_add_u64(kinds, link_error_name(i), errors->n[i]);
	return ok;
}

static bool add_gates(cJSON *object, const struct gate_counts *gates)
{
	cJSON *kinds = cJSON_AddObjectToObject(object, "refused");
	bool ok = kinds;

	for (unsigned i = 0; i < SAMPLE_GATE_COUNT; i++)
		ok = ok && json_add_u64(kinds, sample_gate_name(i), gates->n[i]);
	return ok;
}

bool facts_add_line(cJSON *pack, const struct pack_view *v)
{
	return json_add_u64(pack, "polls", v->polls) &&
	       json_add_u64(pack, "polls_failed", v->polls_failed) &&
	       json_add_u64(pack, "samples_ok", v->samples_ok) &&
	       json_add_u64(pack, "lines_lost", v->lines_lost) &&
	       facts_add_number(pack, "recent_polls", v->recent_polls) &&
	       facts_add_number(pack, "recent_failed", v->recent_failed) &&
	       facts_add_number(pack, "error_rate_permille", pack_error_rate_permille(v)) &&
	       add_errors(pack, &v->errors) && add_gates(pack, &v->gates);
}

static bool add_alarm(cJSON *alarms, const struct pack_facts *p, unsigned id)
{
	const struct alarm_state *s = &p->alarms->states[id];
	cJSON *alarm = facts_append_object(alarms);

	return alarm && cJSON_AddStringToObject(alarm, "name", alarm_name(id)) &&
	       cJSON_AddStringToObject(alarm, "level",
				       alarm_level_name(p->alarm_settings->rules[id].level)) &&
	       facts_add_number(alarm, "value", s->value) &&
	       json_add_u64(alarm, "since_sec", s->since_sec) &&
	       cJSON_AddBoolToObject(alarm, "gone", s->gone);
}

bool facts_add_alarms(cJSON *pack, const struct pack_facts *p)
{
	cJSON *alarms = cJSON_AddArrayToObject(pack, "alarms");
	bool ok = alarms;

	if (!p->alarms || !p->alarm_settings)
		return ok;
	for (unsigned id = 0; ok && id < ALARM_COUNT; id++)
		if (p->alarms->states[id].set)
			ok = add_alarm(alarms, p, id);
	return ok;
}
