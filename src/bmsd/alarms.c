/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/alarms.h"

#include <inttypes.h>
#include <string.h>

#define LOAD_MIN_UA	    INT64_C(1000000)
#define LOAD_FACTOR_PERCENT 200
#define NO_DATA_MSEC	    60000

enum quantity {
	QUANTITY_CELL_MAX,
	QUANTITY_CELL_MIN,
	QUANTITY_CELL_SPREAD,
	QUANTITY_TEMPERATURE_MAX,
	QUANTITY_TEMPERATURE_MIN,
	QUANTITY_FET_TEMPERATURE,
	QUANTITY_CHARGE_CURRENT,
	QUANTITY_DISCHARGE_CURRENT,
	QUANTITY_SOC,
	QUANTITY_RESISTANCE_GROWTH,
	QUANTITY_PROTECTIONS,
	QUANTITY_NO_DATA,
};

enum when {
	WHEN_ALWAYS,
	WHEN_CHARGING,
	WHEN_NOT_CHARGING,
};

enum verdict {
	VERDICT_UNKNOWN,
	VERDICT_MEANT_FOR_ANOTHER, /* the rule does not apply now: as good as cleared */
	VERDICT_VALUE,
};

struct threshold {
	int64_t set, clear;
};

/* The presets are those of the field: see bmsd.conf(5). Current rules have none: the board's limit,
 * in percent, stands in their place. */
struct definition {
	enum alarm_level level;
	enum quantity quantity;
	enum when when;
	enum alarm_unit unit;
	bool low;
	uint64_t delay_msec;
	struct threshold nmc, lfp;
};

/* clang-format off */
#define ROW(id, level, quantity, when, unit, low, delay, ...) \
	[ALARM_##id] = { ALARM_LEVEL_##level, QUANTITY_##quantity, WHEN_##when, ALARM_UNIT_##unit, low, delay, __VA_ARGS__ }
#define SAME(set, clear) { set, clear }, { set, clear }

static const struct definition definitions[ALARM_COUNT] = {
	ROW(CELL_VOLTAGE_HIGH, WARNING, CELL_MAX, ALWAYS, UV, false, 3000, { 4180000, 4100000 }, { 3580000, 3450000 }),
	ROW(CELL_OVERVOLTAGE, ALARM, CELL_MAX, ALWAYS, UV, false, 3000, { 4230000, 4100000 }, { 3650000, 3450000 }),
	ROW(CELL_VOLTAGE_LOW, WARNING, CELL_MIN, ALWAYS, UV, true, 5000, { 3200000, 3350000 }, { 2900000, 3050000 }),
	ROW(CELL_UNDERVOLTAGE, ALARM, CELL_MIN, ALWAYS, UV, true, 5000, { 3000000, 3350000 }, { 2600000, 3050000 }),
	ROW(CELL_SPREAD, WARNING, CELL_SPREAD, ALWAYS, UV, false, 60000, { 80000, 50000 }, { 60000, 40000 }),
	ROW(CELL_SPREAD_LARGE, ALARM, CELL_SPREAD, ALWAYS, UV, false, 60000, { 300000, 50000 }, { 300000, 40000 }),
	ROW(CHARGE_TEMPERATURE_LOW, WARNING, TEMPERATURE_MIN, CHARGING, DECICELSIUS, true, 10000, SAME(50, 100)),
	ROW(CHARGE_UNDERTEMPERATURE, ALARM, TEMPERATURE_MIN, CHARGING, DECICELSIUS, true, 10000, SAME(0, 50)),
	ROW(CHARGE_TEMPERATURE_HIGH, WARNING, TEMPERATURE_MAX, CHARGING, DECICELSIUS, false, 10000, SAME(420, 370)),
	ROW(CHARGE_OVERTEMPERATURE, ALARM, TEMPERATURE_MAX, CHARGING, DECICELSIUS, false, 10000, SAME(450, 400)),
	ROW(TEMPERATURE_LOW, WARNING, TEMPERATURE_MIN, NOT_CHARGING, DECICELSIUS, true, 10000, SAME(-100, -50)),
	ROW(UNDERTEMPERATURE, ALARM, TEMPERATURE_MIN, NOT_CHARGING, DECICELSIUS, true, 10000, SAME(-200, -150)),
	ROW(TEMPERATURE_HIGH, WARNING, TEMPERATURE_MAX, NOT_CHARGING, DECICELSIUS, false, 10000, SAME(550, 500)),
	ROW(OVERTEMPERATURE, ALARM, TEMPERATURE_MAX, NOT_CHARGING, DECICELSIUS, false, 10000, SAME(600, 550)),
	ROW(FET_TEMPERATURE_HIGH, WARNING, FET_TEMPERATURE, ALWAYS, DECICELSIUS, false, 10000, SAME(750, 700)),
	ROW(FET_OVERTEMPERATURE, ALARM, FET_TEMPERATURE, ALWAYS, DECICELSIUS, false, 10000, SAME(850, 700)),
	ROW(CHARGE_CURRENT_HIGH, WARNING, CHARGE_CURRENT, ALWAYS, UA, false, 5000, SAME(90, 85)),
	ROW(CHARGE_OVERCURRENT, ALARM, CHARGE_CURRENT, ALWAYS, UA, false, 5000, SAME(100, 90)),
	ROW(DISCHARGE_CURRENT_HIGH, WARNING, DISCHARGE_CURRENT, ALWAYS, UA, false, 5000, SAME(90, 85)),
	ROW(DISCHARGE_OVERCURRENT, ALARM, DISCHARGE_CURRENT, ALWAYS, UA, false, 5000, SAME(100, 90)),
	ROW(CHARGE_LOW, INFO, SOC, ALWAYS, CENTIPERCENT, true, 10000, SAME(1500, 1800)),
	ROW(RESISTANCE_HIGH, WARNING, RESISTANCE_GROWTH, ALWAYS, CENTIPERCENT, false, 60000, SAME(20000, 18000)),
	ROW(BOARD_PROTECTION, ALARM, PROTECTIONS, ALWAYS, COUNT, false, 0, SAME(1, 0)),
	ROW(NO_DATA, WARNING, NO_DATA, ALWAYS, MSEC, false, 0, SAME(NO_DATA_MSEC, 0)),
};

static const char *const names[ALARM_COUNT] = {
	[ALARM_CELL_VOLTAGE_HIGH] = "cell-voltage-high",
	[ALARM_CELL_OVERVOLTAGE] = "cell-overvoltage",
	[ALARM_CELL_VOLTAGE_LOW] = "cell-voltage-low",
	[ALARM_CELL_UNDERVOLTAGE] = "cell-undervoltage",
	[ALARM_CELL_SPREAD] = "cell-spread",
	[ALARM_CELL_SPREAD_LARGE] = "cell-spread-large",
	[ALARM_CHARGE_TEMPERATURE_LOW] = "charge-temperature-low",
	[ALARM_CHARGE_UNDERTEMPERATURE] = "charge-undertemperature",
	[ALARM_CHARGE_TEMPERATURE_HIGH] = "charge-temperature-high",
	[ALARM_CHARGE_OVERTEMPERATURE] = "charge-overtemperature",
	[ALARM_TEMPERATURE_LOW] = "temperature-low",
	[ALARM_UNDERTEMPERATURE] = "undertemperature",
	[ALARM_TEMPERATURE_HIGH] = "temperature-high",
	[ALARM_OVERTEMPERATURE] = "overtemperature",
	[ALARM_FET_TEMPERATURE_HIGH] = "fet-temperature-high",
	[ALARM_FET_OVERTEMPERATURE] = "fet-overtemperature",
	[ALARM_CHARGE_CURRENT_HIGH] = "charge-current-high",
	[ALARM_CHARGE_OVERCURRENT] = "charge-overcurrent",
	[ALARM_DISCHARGE_CURRENT_HIGH] = "discharge-current-high",
	[ALARM_DISCHARGE_OVERCURRENT] = "discharge-overcurrent",
	[ALARM_CHARGE_LOW] = "charge-low",
	[ALARM_RESISTANCE_HIGH] = "resistance-high",
	[ALARM_BOARD_PROTECTION] = "board-protection",
	[ALARM_NO_DATA] = "no-data",
};
/* clang-format on */

static const char *const level_names[ALARM_LEVEL_COUNT] = { "info", "warning", "alarm" };

const char *alarm_name(unsigned id)
{
	return id < ALARM_COUNT ? names[id] : "unknown";
}

int alarm_find(const char *name, enum alarm_id *ret)
{
	for (unsigned id = 0; id < ALARM_COUNT; id++) {
		if (strcmp(names[id], name) != 0)
			continue;
		*ret = (enum alarm_id)id;
		return 0;
	}
	return -ENOENT;
}

const char *alarm_level_name(unsigned level)
{
	return level < ALARM_LEVEL_COUNT ? level_names[level] : "unknown";
}

int alarm_level_find(const char *name, enum alarm_level *ret)
{
	for (unsigned level = 0; level < ALARM_LEVEL_COUNT; level++) {
		if (strcmp(level_names[level], name) != 0)
			continue;
		*ret = (enum alarm_level)level;
		return 0;
	}
	return -ENOENT;
}

enum alarm_unit alarm_unit_of(enum alarm_id id)
{
	return definitions[id].unit;
}

bool alarm_is_low(enum alarm_id id)
{
	return definitions[id].low;
}

static int64_t board_limit_ua(enum quantity quantity, int64_t charge_max_ua,
			      int64_t discharge_max_ua)
{
	return quantity == QUANTITY_CHARGE_CURRENT ? charge_max_ua : discharge_max_ua;
}

void alarms_preset(enum chemistry chemistry, int64_t charge_max_ua, int64_t discharge_max_ua,
		   struct alarms_settings *ret)
{
	*ret = (struct alarms_settings){
		.load_min_ua = LOAD_MIN_UA,
		.load_factor_percent = LOAD_FACTOR_PERCENT,
	};
	for (unsigned id = 0; id < ALARM_COUNT; id++) {
		const struct definition *d = &definitions[id];
		const struct threshold *t = chemistry == CHEMISTRY_LFP ? &d->lfp : &d->nmc;
		struct alarm_rule *rule = &ret->rules[id];

		*rule = (struct alarm_rule){
			.enabled = true,
			.level = d->level,
			.set = t->set,
			.clear = t->clear,
			.set_delay_msec = d->delay_msec,
			.clear_delay_msec = d->delay_msec,
		};
		if (d->unit != ALARM_UNIT_UA)
			continue;
		rule->enabled = board_limit_ua(d->quantity, charge_max_ua, discharge_max_ua) > 0;
		rule->set *= board_limit_ua(d->quantity, charge_max_ua, discharge_max_ua) / 100;
		rule->clear *= board_limit_ua(d->quantity, charge_max_ua, discharge_max_ua) / 100;
	}
}

int alarms_check_settings(const struct alarms_settings *s, char ret_reason[SAMPLE_REASON_BYTES])
{
	for (unsigned id = 0; id < ALARM_COUNT; id++) {
		const struct alarm_rule *rule = &s->rules[id];
		bool low = definitions[id].low;

		if (!rule->enabled || (low ? rule->clear > rule->set : rule->clear < rule->set))
			continue;
		(void)snprintf(ret_reason, SAMPLE_REASON_BYTES,
			       "alarm %s: it must be cleared %s the value that sets it", names[id],
			       low ? "above" : "below");
		return -EINVAL;
	}
	return 0;
}

void alarms_init(struct alarms *a, const struct alarms_settings *settings,
		 const struct alarms_memory *memory)
{
	struct alarms_memory none = {};

	*a = (struct alarms){ .settings = settings, .memory = memory ? *memory : none };
}

/* ---- what a sample says of a quantity ---- */

static int64_t lowest(const int64_t *values, size_t n)
{
	int64_t low = values[0];

	for (size_t i = 1; i < n; i++)
		low = values[i] < low ? values[i] : low;
	return low;
}

static int64_t highest(const int64_t *values, size_t n)
{
	int64_t high = values[0];

	for (size_t i = 1; i < n; i++)
		high = values[i] > high ? values[i] : high;
	return high;
}

static bool measure_cells(enum quantity quantity, const struct sample *s, int64_t *ret)
{
	if (!sample_has(s, SAMPLE_CELLS) || s->n_cells == 0)
		return false;
	if (quantity == QUANTITY_CELL_MAX)
		*ret = highest(s->cells_uv, s->n_cells);
	else if (quantity == QUANTITY_CELL_MIN)
		*ret = lowest(s->cells_uv, s->n_cells);
	else
		*ret = highest(s->cells_uv, s->n_cells) - lowest(s->cells_uv, s->n_cells);
	return true;
}

static bool measure_temperature(enum quantity quantity, const struct sample *s, int64_t *ret)
{
	if (quantity == QUANTITY_FET_TEMPERATURE) {
		*ret = s->fet_temperature_decicelsius;
		return sample_has(s, SAMPLE_FET_TEMPERATURE);
	}
	if (!sample_has(s, SAMPLE_TEMPERATURES) || s->n_temperatures == 0)
		return false;
	*ret = quantity == QUANTITY_TEMPERATURE_MAX
		       ? highest(s->temperatures_decicelsius, s->n_temperatures)
		       : lowest(s->temperatures_decicelsius, s->n_temperatures);
	return true;
}

static bool measure_current(enum quantity quantity, const struct sample *s, int64_t *ret)
{
	*ret = quantity == QUANTITY_CHARGE_CURRENT ? s->current_ua : -s->current_ua;
	return sample_has(s, SAMPLE_CURRENT);
}

static bool measure_derived(enum quantity quantity, const struct alarm_derived *d, int64_t *ret)
{
	if (quantity == QUANTITY_SOC) {
		*ret = d->soc_centipercent;
		return d->soc_centipercent >= 0;
	}
	*ret = (int64_t)d->resistance_growth_permille * 10;
	return d->resistance_growth_permille >= 0;
}

static bool measure(const struct alarms *a, enum quantity quantity, const struct sample *s,
		    const struct alarm_derived *derived, int64_t *ret)
{
	if (quantity == QUANTITY_NO_DATA) {
		*ret = (int64_t)a->no_data_msec;
		return true;
	}
	if (!s)
		return false;
	if (quantity <= QUANTITY_CELL_SPREAD)
		return measure_cells(quantity, s, ret);
	if (quantity <= QUANTITY_FET_TEMPERATURE)
		return measure_temperature(quantity, s, ret);
	if (quantity <= QUANTITY_DISCHARGE_CURRENT)
		return measure_current(quantity, s, ret);
	if (quantity <= QUANTITY_RESISTANCE_GROWTH)
		return measure_derived(quantity, derived, ret);
	*ret = __builtin_popcount(s->protections);
	return sample_has(s, SAMPLE_PROTECTIONS);
}

static enum verdict judge(const struct alarms *a, const struct definition *d,
			  const struct sample *s, const struct alarm_derived *derived, int64_t *ret)
{
	if (!measure(a, d->quantity, s, derived, ret))
		return VERDICT_UNKNOWN;
	if (d->when == WHEN_ALWAYS || !s)
		return VERDICT_VALUE;
	if (!sample_has(s, SAMPLE_CURRENT))
		return VERDICT_UNKNOWN;
	return (s->current_ua >= a->settings->load_min_ua) == (d->when == WHEN_CHARGING)
		       ? VERDICT_VALUE
		       : VERDICT_MEANT_FOR_ANOTHER;
}

/* Cells differ more while current flows. Where nobody knows whether it does, it may. */
static struct threshold threshold_of(const struct alarms *a, enum alarm_id id,
				     const struct sample *s)
{
	const struct alarm_rule *rule = &a->settings->rules[id];
	struct threshold t = { rule->set, rule->clear };

	if (definitions[id].quantity == QUANTITY_CELL_SPREAD && s &&
	    (!sample_has(s, SAMPLE_CURRENT) || llabs(s->current_ua) >= a->settings->load_min_ua)) {
		t.set = t.set * a->settings->load_factor_percent / 100;
		t.clear = t.clear * a->settings->load_factor_percent / 100;
	}
	return t;
}

/* ---- setting and clearing ---- */

static void note_value(struct alarm_state *state, int64_t value, bool low)
{
	state->value = value;
	if (low ? value < state->extreme : value > state->extreme)
		state->extreme = value;
}

static bool has_lasted(struct alarms *a, enum alarm_id id, uint64_t delay_msec, uint64_t dt_msec)
{
	a->lasted_msec[id] = a->pending[id] ? a->lasted_msec[id] + dt_msec : 0;
	a->pending[id] = true;
	return a->lasted_msec[id] >= delay_msec;
}

static void forget_pending(struct alarms *a, enum alarm_id id)
{
	a->pending[id] = false;
	a->lasted_msec[id] = 0;
}

static struct alarm_change turn(struct alarms *a, enum alarm_id id, bool set, uint64_t now_sec)
{
	struct alarm_state *state = &a->memory.states[id];
	struct alarm_change change = {
		.id = id,
		.level = a->settings->rules[id].level,
		.set = set,
		.value = state->value,
		.since_sec = set ? now_sec : state->since_sec,
	};

	state->set = set;
	state->gone = false;
	state->since_sec = set ? now_sec : 0;
	state->extreme = state->value;
	forget_pending(a, id);
	return change;
}

/* True if the alarm is to be turned over. */
static bool step_rule(struct alarms *a, enum alarm_id id, const struct sample *s,
		      const struct alarm_derived *derived, uint64_t dt_msec)
{
	const struct alarm_rule *rule = &a->settings->rules[id];
	const struct threshold t = threshold_of(a, id, s);
	struct alarm_state *state = &a->memory.states[id];
	bool low = definitions[id].low, beyond;
	enum verdict verdict;
	int64_t value = 0;

	if (!rule->enabled)
		return state->set;
	verdict = judge(a, &definitions[id], s, derived, &value);
	if (verdict == VERDICT_UNKNOWN) {
		forget_pending(a, id);
		return false;
	}
	note_value(state, value, low);
	if (state->set)
		beyond = verdict == VERDICT_MEANT_FOR_ANOTHER ||
			 (low ? value >= t.clear : value <= t.clear);
	else
		beyond = verdict == VERDICT_VALUE && (low ? value <= t.set : value >= t.set);
	if (!beyond || state->gone) {
		state->gone = state->gone &&
			      (verdict != VERDICT_VALUE || (low ? value > t.set : value < t.set));
		forget_pending(a, id);
		return false;
	}
	if (!has_lasted(a, id, state->set ? rule->clear_delay_msec : rule->set_delay_msec, dt_msec))
		return false;
	state->gone = state->set && rule->latch;
	return !state->gone;
}

size_t alarms_step(struct alarms *a, const struct sample *sample,
		   const struct alarm_derived *derived, uint64_t dt_msec, uint64_t now_sec,
		   struct alarm_change ret_changes[ALARM_COUNT])
{
	size_t n = 0;

	a->no_data_msec = sample ? 0 : a->no_data_msec + dt_msec;
	for (unsigned i = 0; i < ALARM_COUNT; i++) {
		enum alarm_id id = (enum alarm_id)i;

		if (step_rule(a, id, sample, derived, dt_msec))
			ret_changes[n++] = turn(a, id, !a->memory.states[id].set, now_sec);
	}
	return n;
}

size_t alarms_reset(struct alarms *a, struct alarm_change ret_changes[ALARM_COUNT])
{
	size_t n = 0;

	for (unsigned id = 0; id < ALARM_COUNT; id++)
		if (a->memory.states[id].set && a->memory.states[id].gone)
			ret_changes[n++] = turn(a, (enum alarm_id)id, false, 0);
	return n;
}

enum alarm_id alarms_first(const struct alarms_memory *m, const struct alarms_settings *s,
			   enum alarm_level at_least, bool for_upgrade)
{
	for (unsigned id = 0; id < ALARM_COUNT; id++) {
		if (!m->states[id].set || s->rules[id].level < at_least)
			continue;
		if (!for_upgrade || id != ALARM_NO_DATA)
			return (enum alarm_id)id;
	}
	return ALARM_COUNT;
}
