/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/health.h"

#include <string.h>

#include "common/json.h"

#define REASON_BYTES 160

static bool add_number(cJSON *object, const char *key, int64_t value)
{
	return cJSON_AddNumberToObject(object, key, (double)value);
}

/* Unknown is absent. */
static bool add_known(cJSON *object, const char *key, int64_t value)
{
	return value < 0 || add_number(object, key, value);
}

static bool add_text(cJSON *array, const char *text)
{
	cJSON *item = cJSON_CreateString(text);

	return item && cJSON_AddItemToArray(array, item);
}

static bool add_protections(cJSON *object, uint32_t protections)
{
	cJSON *names = cJSON_AddArrayToObject(object, "protections");
	bool ok = names;

	for (unsigned i = 0; i < PROTECTION_COUNT; i++)
		if (protections & 1u << i)
			ok = ok && add_text(names, protection_name(i));
	return ok;
}

static bool add_errors(cJSON *object, const struct link_errors *errors)
{
	cJSON *kinds = cJSON_AddObjectToObject(object, "errors");
	bool ok = kinds;

	for (unsigned i = 0; i < LINK_ERROR_COUNT; i++)
		ok = ok && json_add_u64(kinds, link_error_name(i), errors->n[i]);
	return ok;
}

static bool add_state(cJSON *object, const struct state_view *v)
{
	cJSON *state = cJSON_AddObjectToObject(object, "state");

	return state && cJSON_AddBoolToObject(state, "on_disk", v->on_disk) &&
	       cJSON_AddBoolToObject(state, "restored", v->restored) &&
	       add_number(state, "damaged", v->damaged) &&
	       add_known(state, "soc_saved_percent", v->soc_restored_percent) &&
	       json_add_u64(state, "samples_total", v->samples_total) &&
	       json_add_u64(state, "saved_sec", v->saved_sec) &&
	       cJSON_AddStringToObject(state, "writer", v->writer);
}

/* What Health and Status both begin a pack with. */
static bool add_pack_head(cJSON *pack, const struct pack_facts *p)
{
	const struct pack_view *v = &p->pack;

	return add_number(pack, "number", p->number) &&
	       cJSON_AddStringToObject(pack, "name", v->name) &&
	       cJSON_AddStringToObject(pack, "driver", v->driver) &&
	       cJSON_AddStringToObject(pack, "link", v->link_up ? "up" : "down") &&
	       cJSON_AddStringToObject(pack, "detail", v->detail) &&
	       cJSON_AddStringToObject(pack, "model", v->model) &&
	       cJSON_AddBoolToObject(pack, "present", v->present) &&
	       add_known(pack, "last_age_msec", v->age_msec);
}

static bool add_pack_health(cJSON *pack, const struct facts *f, const struct pack_facts *p)
{
	const struct pack_view *v = &p->pack;
	int64_t first = v->first_sample_msec < 0 ? -1 : v->first_sample_msec - f->started_msec;

	return add_pack_head(pack, p) &&
	       add_known(pack, "cells", v->present ? (int64_t)v->sample.n_cells : -1) &&
	       json_add_u64(pack, "polls", v->polls) &&
	       json_add_u64(pack, "polls_failed", v->polls_failed) &&
	       json_add_u64(pack, "samples_ok", v->samples_ok) &&
	       add_number(pack, "recent_polls", v->recent_polls) &&
	       add_number(pack, "recent_failed", v->recent_failed) &&
	       add_number(pack, "error_rate_permille", pack_error_rate_permille(v)) &&
	       add_errors(pack, &v->errors) && add_known(pack, "first_sample_msec", first) &&
	       add_known(pack, "soc_percent", v->sample.capacity_percent) &&
	       add_protections(pack, v->sample.protections) && add_state(pack, &p->state);
}

static bool add_update_reasons(cJSON *reasons, const struct facts *f, const struct pack_facts *p)
{
	int64_t current_ua = llabs(p->pack.sample.current_ua);
	char text[REASON_BYTES];
	bool ok = true;

	if (current_ua > f->update_current_max_ua) {
		(void)snprintf(text, sizeof text, "pack %u: %.1f A is flowing", p->number,
			       (double)current_ua / 1e6);
		ok = add_text(reasons, text);
	}
	for (unsigned i = 0; i < PROTECTION_COUNT; i++) {
		if (!(p->pack.sample.protections & 1u << i))
			continue;
		(void)snprintf(text, sizeof text, "pack %u: protection %s is active", p->number,
			       protection_name(i));
		ok = ok && add_text(reasons, text);
	}
	return ok;
}

static bool add_update_ok(cJSON *root, const struct facts *f)
{
	cJSON *reasons = cJSON_AddArrayToObject(root, "update_reasons");
	bool ok = reasons;

	for (size_t i = 0; i < f->n_packs; i++)
		ok = ok && add_update_reasons(reasons, f, &f->packs[i]);
	return ok && cJSON_AddBoolToObject(root, "update_ok", cJSON_GetArraySize(reasons) == 0);
}

static bool add_head(cJSON *root, const struct facts *f)
{
	return add_number(root, "schema", 1) &&
	       cJSON_AddStringToObject(root, "version", f->version) &&
	       add_number(root, "pid", getpid()) &&
	       add_number(root, "uptime_msec", f->now_msec - f->started_msec) &&
	       cJSON_AddBoolToObject(root, "ready", f->ready);
}

static bool add_watchdog(cJSON *root, const struct facts *f)
{
	cJSON *watchdog = cJSON_AddObjectToObject(root, "watchdog");

	return watchdog && cJSON_AddBoolToObject(watchdog, "enabled", f->watchdog_msec > 0) &&
	       json_add_u64(watchdog, "interval_msec", f->watchdog_msec);
}

static cJSON *append_object(cJSON *array)
{
	cJSON *object = cJSON_CreateObject();

	if (object && !cJSON_AddItemToArray(array, object)) {
		cJSON_Delete(object);
		return NULL;
	}
	return object;
}

static int finish(cJSON *root, bool ok, char **ret_json)
{
	char *text = ok ? json_print(root) : NULL;

	if (!text)
		return -ENOMEM;
	*ret_json = text;
	return 0;
}

int health_build(const struct facts *f, char **ret_json)
{
	_cleanup_json_ cJSON *root = cJSON_CreateObject();
	cJSON *packs = NULL;
	bool ok;

	ok = root && add_head(root, f) && add_number(root, "loop_age_msec", f->loop_age_msec) &&
	     add_watchdog(root, f) && add_update_ok(root, f) &&
	     (packs = cJSON_AddArrayToObject(root, "packs"));
	for (size_t i = 0; ok && i < f->n_packs; i++) {
		cJSON *pack = append_object(packs);

		ok = pack && add_pack_health(pack, f, &f->packs[i]);
	}
	return finish(root, ok, ret_json);
}

static bool add_numbers(cJSON *object, const char *key, const int64_t *values, size_t n)
{
	cJSON *array = cJSON_AddArrayToObject(object, key);
	bool ok = array;

	for (size_t i = 0; ok && i < n; i++) {
		cJSON *item = cJSON_CreateNumber((double)values[i]);

		ok = item && cJSON_AddItemToArray(array, item);
	}
	return ok;
}

static bool add_sample(cJSON *pack, const struct sample *s)
{
	return add_number(pack, "voltage_now_uv", s->voltage_uv) &&
	       add_number(pack, "current_now_ua", s->current_ua) &&
	       add_number(pack, "charge_now_uah", s->charge_uah) &&
	       add_number(pack, "charge_full_design_uah", s->charge_full_design_uah) &&
	       add_known(pack, "capacity_percent", s->capacity_percent) &&
	       add_number(pack, "cycle_count", s->cycles) &&
	       add_numbers(pack, "cell_voltages_uv", s->cells_uv, s->n_cells) &&
	       add_numbers(pack, "temperatures_decicelsius", s->temperatures_decicelsius,
			   s->n_temperatures) &&
	       cJSON_AddBoolToObject(pack, "charge_fet", s->charge_fet) &&
	       cJSON_AddBoolToObject(pack, "discharge_fet", s->discharge_fet) &&
	       add_number(pack, "balancing", s->balancing) && add_protections(pack, s->protections);
}

int status_build(const struct facts *f, char **ret_json)
{
	_cleanup_json_ cJSON *root = cJSON_CreateObject();
	cJSON *packs = NULL;
	bool ok;

	ok = root && add_head(root, f) && (packs = cJSON_AddArrayToObject(root, "packs"));
	for (size_t i = 0; ok && i < f->n_packs; i++) {
		const struct pack_facts *p = &f->packs[i];
		cJSON *pack = append_object(packs);

		ok = pack && add_pack_head(pack, p) &&
		     (!p->pack.present || add_sample(pack, &p->pack.sample));
	}
	return finish(root, ok, ret_json);
}

static void pack_line(const struct pack_facts *p, char *ret, size_t size)
{
	const struct sample *s = &p->pack.sample;

	if (p->pack.present)
		(void)snprintf(ret, size, "pack %u: %.2f V, %.1f A, %d %%", p->number,
			       (double)s->voltage_uv / 1e6, (double)s->current_ua / 1e6,
			       s->capacity_percent);
	else
		(void)snprintf(ret, size, "pack %u: %s", p->number,
			       p->pack.detail[0] ? p->pack.detail : "no fresh sample");
}

void status_line(const struct facts *f, char *ret, size_t size)
{
	size_t used = 0;

	(void)snprintf(ret, size, "no pack is configured");
	for (size_t i = 0; i < f->n_packs && used + 4 < size; i++) {
		if (i > 0)
			used += (size_t)snprintf(ret + used, size - used, "; ");
		pack_line(&f->packs[i], ret + used, size - used);
		used += strlen(ret + used);
	}
}
