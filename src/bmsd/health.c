/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/health.h"

#include <stdarg.h>

#include "bmsd/facts_json.h"
#include "common/json.h"

#define REASON_BYTES 160

/* Below this much charge an upgrade waits: the gateway may live off the pack. */
#define LOW_CHARGE_CENTIPERCENT 1500

static bool add_state(cJSON *object, const struct state_view *v)
{
	cJSON *state = cJSON_AddObjectToObject(object, "state");

	return state && cJSON_AddBoolToObject(state, "on_disk", v->on_disk) &&
	       cJSON_AddBoolToObject(state, "restored", v->restored) &&
	       facts_add_number(state, "damaged", v->damaged) &&
	       cJSON_AddBoolToObject(state, "copy_used", v->copy_used) &&
	       facts_add_words(state, "refused", v->refused ? v->refused : "") &&
	       json_add_u64(state, "sequence", v->sequence) &&
	       facts_add_known(state, "soc_saved_percent", v->soc_restored_percent) &&
	       facts_add_known(state, "soc_saved_centipercent", v->soc_restored_centipercent) &&
	       json_add_u64(state, "samples_total", v->samples_total) &&
	       json_add_u64(state, "saved_sec", v->saved_sec) &&
	       cJSON_AddStringToObject(state, "writer", v->writer);
}

static bool add_estimate(cJSON *pack, const struct estimator_view *e)
{
	return facts_add_known(pack, "soc_centipercent", e->soc_centipercent) &&
	       facts_add_known(pack, "soc_margin_centipercent", e->margin_centipercent) &&
	       cJSON_AddStringToObject(pack, "soc_source", soc_source_name(e->soc_source)) &&
	       facts_add_known(pack, "cycles_milli", e->cycles_milli);
}

static bool add_pack_health(cJSON *pack, const struct facts *f, const struct pack_facts *p)
{
	const struct pack_view *v = &p->pack;
	int64_t first = v->first_sample_msec < 0 ? -1 : v->first_sample_msec - f->started_msec;
	bool has_cells = v->present && sample_has(&v->sample, SAMPLE_CELLS);

	return facts_add_pack_head(pack, p) &&
	       facts_add_known(pack, "cells", has_cells ? (int64_t)v->sample.n_cells : -1) &&
	       facts_add_line(pack, v) && facts_add_known(pack, "first_sample_msec", first) &&
	       facts_add_known(pack, "soc_percent", v->sample.capacity_percent) &&
	       add_estimate(pack, &p->estimator) &&
	       facts_add_protections(pack, "protections", v->sample.protections) &&
	       facts_add_alarms(pack, p) && add_state(pack, &p->state);
}

/* ---- is now a good time for an upgrade? ---- */

static bool add_reason(cJSON *reasons, const struct pack_facts *p, const char *format, ...)
	_printf_(3, 4);

static bool add_reason(cJSON *reasons, const struct pack_facts *p, const char *format, ...)
{
	char text[REASON_BYTES];
	int used = snprintf(text, sizeof text, "pack %u: ", p->number);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text + used, sizeof text - (size_t)used, format, args);
	va_end(args);
	return facts_add_text(reasons, text);
}

static int charge_centipercent(const struct pack_facts *p)
{
	if (p->estimator.soc_centipercent >= 0)
		return p->estimator.soc_centipercent;
	return p->pack.sample.capacity_percent < 0 ? -1 : p->pack.sample.capacity_percent * 100;
}

static bool add_board_reasons(cJSON *reasons, const struct facts *f, const struct pack_facts *p)
{
	const struct sample *s = &p->pack.sample;
	int64_t current_ua = llabs(s->current_ua);
	bool ok = true;

	if (current_ua > f->update_current_max_ua)
		ok = add_reason(reasons, p, "%.1f A is flowing", (double)current_ua / 1e6);
	for (unsigned i = 0; i < PROTECTION_COUNT; i++)
		if (s->protections & 1u << i)
			ok = ok &&
			     add_reason(reasons, p, "protection %s is active", protection_name(i));
	if (s->balancing)
		ok = ok && add_reason(reasons, p, "cells are being balanced");
	return ok;
}

static bool add_own_reasons(cJSON *reasons, const struct pack_facts *p)
{
	int charge = charge_centipercent(p);
	enum alarm_id alarm = ALARM_COUNT;
	bool ok = true;

	if (p->alarms && p->alarm_settings)
		alarm = alarms_first(p->alarms, p->alarm_settings, ALARM_LEVEL_WARNING, true);
	if (alarm != ALARM_COUNT)
		ok = add_reason(reasons, p, "%s %s is set",
				alarm_level_name(p->alarm_settings->rules[alarm].level),
				alarm_name(alarm));
	if (p->pack.present && charge >= 0 && charge < LOW_CHARGE_CENTIPERCENT)
		ok = ok && add_reason(reasons, p, "low charge: %d %%", charge / 100);
	if (p->pack.present && p->charge_fet_changing)
		ok = ok && add_reason(reasons, p, "its charge switch is changing");
	if (p->pack.present && p->estimator.learning)
		ok = ok && add_reason(reasons, p, "its capacity is about to be learned");
	return ok;
}

static bool add_update_ok(cJSON *root, const struct facts *f)
{
	cJSON *reasons = cJSON_AddArrayToObject(root, "update_reasons");
	bool ok = reasons;

	for (size_t i = 0; i < f->n_packs; i++)
		ok = ok && add_board_reasons(reasons, f, &f->packs[i]) &&
		     add_own_reasons(reasons, &f->packs[i]);
	return ok && cJSON_AddBoolToObject(root, "update_ok", cJSON_GetArraySize(reasons) == 0);
}

static bool add_watchdog(cJSON *root, const struct facts *f)
{
	cJSON *watchdog = cJSON_AddObjectToObject(root, "watchdog");

	return watchdog && cJSON_AddBoolToObject(watchdog, "enabled", f->watchdog_msec > 0) &&
	       json_add_u64(watchdog, "interval_msec", f->watchdog_msec);
}

int health_build(const struct facts *f, char **ret_json)
{
	_cleanup_json_ cJSON *root = cJSON_CreateObject();
	cJSON *packs = NULL;
	bool ok;

	ok = root && facts_add_head(root, f) &&
	     facts_add_number(root, "loop_age_msec", f->loop_age_msec) && add_watchdog(root, f) &&
	     add_update_ok(root, f) && facts_add_config(root, f) &&
	     (packs = cJSON_AddArrayToObject(root, "packs"));
	for (size_t i = 0; ok && i < f->n_packs; i++) {
		cJSON *pack = facts_append_object(packs);

		ok = pack && add_pack_health(pack, f, &f->packs[i]);
	}
	return ok ? facts_print(root, ret_json) : -ENOMEM;
}
