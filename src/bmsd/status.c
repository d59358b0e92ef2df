/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/health.h"

#include <string.h>

#include "bmsd/cells.h"
#include "bmsd/facts_json.h"
#include "common/json.h"

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

/* ---- what the board says ---- */

/* Numbers by the bit that vouches for them. */
static const struct number {
	enum sample_field field;
	const char *key;
	size_t offset; /* of an int64_t */
} numbers[] = {
	{ SAMPLE_VOLTAGE, "voltage_now_uv", offsetof(struct sample, voltage_uv) },
	{ SAMPLE_CURRENT, "current_now_ua", offsetof(struct sample, current_ua) },
	{ SAMPLE_CHARGE, "charge_now_uah", offsetof(struct sample, charge_uah) },
	{ SAMPLE_CHARGE_FULL, "charge_full_uah", offsetof(struct sample, charge_full_uah) },
	{ SAMPLE_CHARGE_FULL_DESIGN, "charge_full_design_uah",
	  offsetof(struct sample, charge_full_design_uah) },
	{ SAMPLE_FET_TEMPERATURE, "fet_temperature_decicelsius",
	  offsetof(struct sample, fet_temperature_decicelsius) },
};

static bool add_sample_numbers(cJSON *pack, const struct sample *s)
{
	bool ok = true;

	for (size_t i = 0; ok && i < ELEMENTSOF(numbers); i++) {
		int64_t value;

		memcpy(&value, (const char *)s + numbers[i].offset, sizeof value);
		if (sample_has(s, numbers[i].field))
			ok = facts_add_number(pack, numbers[i].key, value);
	}
	if (sample_has(s, SAMPLE_VOLTAGE) && sample_has(s, SAMPLE_CURRENT))
		ok = ok && facts_add_number(pack, "power_now_uw",
					    s->voltage_uv / 1000 * (s->current_ua / 1000));
	if (sample_has(s, SAMPLE_CYCLES))
		ok = ok && facts_add_number(pack, "cycle_count", s->cycles);
	return ok && facts_add_known(pack, "capacity_percent", s->capacity_percent);
}

static bool add_cells(cJSON *pack, const struct sample *s)
{
	struct cells_summary c = {};

	if (!cells_summarize(s, &c))
		return true;
	return add_numbers(pack, "cell_voltages_uv", s->cells_uv, s->n_cells) &&
	       facts_add_number(pack, "cell_min_uv", c.min_uv) &&
	       facts_add_number(pack, "cell_max_uv", c.max_uv) &&
	       facts_add_number(pack, "cell_avg_uv", c.mean_uv) &&
	       facts_add_number(pack, "cell_spread_uv", c.max_uv - c.min_uv) &&
	       facts_add_number(pack, "cell_min_number", c.min_number) &&
	       facts_add_number(pack, "cell_max_number", c.max_number);
}

static bool add_switches(cJSON *pack, const struct sample *s)
{
	bool ok = true;

	if (sample_has(s, SAMPLE_CHARGE_FET))
		ok = cJSON_AddBoolToObject(pack, "charge_fet", s->charge_fet);
	if (sample_has(s, SAMPLE_DISCHARGE_FET))
		ok = ok && cJSON_AddBoolToObject(pack, "discharge_fet", s->discharge_fet);
	if (sample_has(s, SAMPLE_BALANCING))
		ok = ok && facts_add_number(pack, "balancing", s->balancing);
	return ok;
}

static bool add_counters(cJSON *pack, const struct sample *s)
{
	cJSON *counters;
	bool ok;

	if (!sample_has(s, SAMPLE_COUNTERS))
		return true;
	ok = facts_add_known(pack, "counters_age_msec", s->counters_age_msec);
	counters = cJSON_AddObjectToObject(pack, "counters");
	ok = ok && counters;
	for (unsigned i = 0; ok && i < PROTECTION_COUNT; i++)
		if (s->counters_known & 1u << i)
			ok = json_add_u64(counters, protection_name(i), s->counters[i]);
	return ok;
}

static bool add_sample(cJSON *pack, const struct sample *s)
{
	return facts_add_words(pack, "serial", s->serial) &&
	       facts_add_words(pack, "manufactured", s->manufactured) &&
	       facts_add_words(pack, "firmware", s->firmware) && add_sample_numbers(pack, s) &&
	       add_cells(pack, s) &&
	       add_numbers(pack, "temperatures_decicelsius", s->temperatures_decicelsius,
			   s->n_temperatures) &&
	       add_switches(pack, s) &&
	       facts_add_protections(pack, "protections", s->protections) &&
	       facts_add_protections(pack, "warnings", s->warnings) && add_counters(pack, s);
}

/* ---- what bmsd makes of it ---- */

static bool add_capacity(cJSON *o, const struct estimator_view *e)
{
	return facts_add_known(o, "charge_now_uah", e->charge_now_uah) &&
	       facts_add_known(o, "charge_full_uah", e->charge_full_uah) &&
	       facts_add_known(o, "charge_full_design_uah", e->charge_full_design_uah) &&
	       facts_add_number(o, "charge_full_learned", e->charge_full_learned) &&
	       facts_add_known(o, "charge_full_error_permille", e->charge_full_error_permille) &&
	       facts_add_number(o, "charge_counter_uah", e->charge_counter_uah) &&
	       facts_add_known(o, "soh_centipercent", e->soh_centipercent) &&
	       cJSON_AddStringToObject(o, "soh_source", soh_source_name(e->soh_source)) &&
	       facts_add_known(o, "cycles_milli", e->cycles_milli);
}

static bool add_resistance(cJSON *o, const struct estimator_view *e)
{
	return facts_add_known(o, "resistance_uohm", e->resistance_uohm) &&
	       facts_add_known(o, "resistance_growth_permille", e->resistance_growth_permille) &&
	       (e->n_cells == 0 ||
		add_numbers(o, "cell_resistances_uohm", e->cells_uohm, e->n_cells));
}

static bool add_estimate(cJSON *pack, const struct estimator_view *e)
{
	cJSON *o = cJSON_AddObjectToObject(pack, "estimate");

	return o && facts_add_known(o, "soc_centipercent", e->soc_centipercent) &&
	       facts_add_known(o, "margin_centipercent", e->margin_centipercent) &&
	       cJSON_AddStringToObject(o, "soc_source", soc_source_name(e->soc_source)) &&
	       cJSON_AddStringToObject(o, "anchor", soc_anchor_name(e->anchor)) &&
	       facts_add_known(o, "anchor_age_sec", e->anchor_age_sec) && add_capacity(o, e) &&
	       add_resistance(o, e) && facts_add_number(o, "offset_ua", e->offset_ua) &&
	       cJSON_AddBoolToObject(o, "offset_learned", e->offset_learned) &&
	       facts_add_known(o, "time_to_empty_avg_sec", e->time_to_empty_sec) &&
	       facts_add_known(o, "time_to_full_avg_sec", e->time_to_full_sec) &&
	       cJSON_AddBoolToObject(o, "learning", e->learning);
}

static bool add_limits(cJSON *pack, const struct limits_view *l)
{
	cJSON *o = cJSON_AddObjectToObject(pack, "limits");

	return o &&
	       facts_add_known(o, "constant_charge_voltage_max_uv",
			       l->constant_charge_voltage_max_uv) &&
	       facts_add_known(o, "charge_current_max_ua", l->charge_current_max_ua) &&
	       facts_add_known(o, "discharge_current_max_ua", l->discharge_current_max_ua) &&
	       cJSON_AddStringToObject(o, "charge_reason", limits_reason_name(l->charge_reason)) &&
	       cJSON_AddStringToObject(o, "discharge_reason",
				       limits_reason_name(l->discharge_reason));
}

static bool add_extremes(cJSON *o, const struct lifetime *l)
{
	bool ok = true;

	if (l->seen & LIFETIME_SEEN_CELLS)
		ok = facts_add_number(o, "cell_min_uv", l->cell_min_uv) &&
		     facts_add_number(o, "cell_max_uv", l->cell_max_uv);
	if (l->seen & LIFETIME_SEEN_TEMPERATURES)
		ok = ok &&
		     facts_add_number(o, "temperature_min_decicelsius",
				      l->temperature_min_decicelsius) &&
		     facts_add_number(o, "temperature_max_decicelsius",
				      l->temperature_max_decicelsius);
	if (l->seen & LIFETIME_SEEN_CURRENT)
		ok = ok && facts_add_number(o, "charge_current_max_ua", l->charge_current_max_ua) &&
		     facts_add_number(o, "discharge_current_max_ua", l->discharge_current_max_ua);
	return ok;
}

static bool add_lifetime(cJSON *pack, const struct lifetime *l)
{
	cJSON *o;

	if (!l)
		return true;
	o = cJSON_AddObjectToObject(pack, "lifetime");
	return o && json_add_u64(o, "charged_uah", l->charged_uah) &&
	       json_add_u64(o, "discharged_uah", l->discharged_uah) &&
	       json_add_u64(o, "charged_uwh", l->charged_uwh) &&
	       json_add_u64(o, "discharged_uwh", l->discharged_uwh) &&
	       json_add_u64(o, "watched_sec", l->watched_sec) && add_extremes(o, l);
}

static bool add_fet_locks(cJSON *pack, const struct pack_facts *p)
{
	cJSON *locks = cJSON_AddArrayToObject(pack, "fet_locks");
	bool ok = locks && cJSON_AddBoolToObject(pack, "fet_allowed", p->fet_allowed);

	for (unsigned i = 0; ok && p->fet && i < FET_COUNT; i++) {
		const struct fet_lock *lock = &p->fet->locks[i];
		cJSON *o;

		if (!lock->locked)
			continue;
		o = facts_append_object(locks);
		ok = o && cJSON_AddStringToObject(o, "which", fet_name(i)) &&
		     cJSON_AddStringToObject(o, "reason", lock->reason) &&
		     json_add_u64(o, "since_sec", lock->since_sec) &&
		     (lock->endless || json_add_u64(o, "lease_left_msec", lock->lease_left_msec));
	}
	return ok;
}

static bool add_pack(cJSON *pack, const struct pack_facts *p)
{
	return facts_add_pack_head(pack, p) && facts_add_line(pack, &p->pack) &&
	       (!p->pack.present || add_sample(pack, &p->pack.sample)) &&
	       add_estimate(pack, &p->estimator) && add_limits(pack, &p->limits) &&
	       add_lifetime(pack, p->lifetime) && facts_add_alarms(pack, p) &&
	       add_fet_locks(pack, p);
}

static bool add_events(cJSON *root, const struct facts *f)
{
	cJSON *events = cJSON_AddArrayToObject(root, "events");
	bool ok = events;

	for (size_t i = 0; ok && i < f->n_events; i++) {
		const struct event_view *e = &f->events[i];
		cJSON *o = facts_append_object(events);

		ok = o && json_add_u64(o, "sequence", e->sequence) &&
		     json_add_u64(o, "wall_sec", e->wall_sec) &&
		     facts_add_known(o, "pack", e->pack) &&
		     cJSON_AddStringToObject(o, "event", e->kind) &&
		     facts_add_words(o, "name", e->name) && facts_add_words(o, "level", e->level) &&
		     facts_add_words(o, "detail", e->detail);
	}
	return ok;
}

int status_build(const struct facts *f, char **ret_json)
{
	_cleanup_json_ cJSON *root = cJSON_CreateObject();
	cJSON *packs = NULL;
	bool ok;

	ok = root && facts_add_head(root, f) && facts_add_config(root, f) &&
	     (packs = cJSON_AddArrayToObject(root, "packs"));
	for (size_t i = 0; ok && i < f->n_packs; i++) {
		cJSON *pack = facts_append_object(packs);

		ok = pack && add_pack(pack, &f->packs[i]);
	}
	ok = ok && add_events(root, f);
	return ok ? facts_print(root, ret_json) : -ENOMEM;
}

/* ---- one line ---- */

static void pack_line(const struct pack_facts *p, char *ret, size_t size)
{
	const struct sample *s = &p->pack.sample;
	int percent = p->estimator.soc_centipercent < 0 ? s->capacity_percent
							: p->estimator.soc_centipercent / 100;

	if (p->pack.present)
		(void)snprintf(ret, size, "pack %u: %.2f V, %.1f A, %d %%", p->number,
			       (double)s->voltage_uv / 1e6, (double)s->current_ua / 1e6, percent);
	else
		(void)snprintf(ret, size, "pack %u: %s", p->number,
			       p->pack.detail[0] ? p->pack.detail : "no fresh sample");
}

/* Packs that are left out, or why there may be none. */
static void config_line(const struct bmsd_conf *c, char *ret, size_t size)
{
	size_t used = strlen(ret);

	for (size_t i = 0; i < c->n_refused && used + 4 < size; i++)
		if (c->refused[i].pack >= 0 || c->n_packs == 0)
			used += (size_t)snprintf(ret + used, size - used, "; %s",
						 c->refused[i].text);
}

void status_line(const struct facts *f, char *ret, size_t size)
{
	size_t used = 0;

	(void)snprintf(ret, size, "%s",
		       f->conf && bmsd_conf_has_lost_all(f->conf) ? "no pack is left"
								  : "no pack is configured");
	for (size_t i = 0; i < f->n_packs && used + 4 < size; i++) {
		if (i > 0)
			used += (size_t)snprintf(ret + used, size - used, "; ");
		pack_line(&f->packs[i], ret + used, size - used);
		used += strlen(ret + used);
	}
	if (f->conf)
		config_line(f->conf, ret, size);
}
