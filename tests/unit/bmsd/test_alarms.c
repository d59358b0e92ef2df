/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "scratch.h"

#include "bmsd/alarms.h"

#define NOW 1700000000

static struct alarms_settings nmc, lfp;

struct bench {
	struct alarms alarms;
	struct sample sample;
	struct alarm_derived derived;
	struct alarm_change changes[ALARM_COUNT];
};

/* A healthy pack at rest. */
static struct bench bench_of(const struct alarms_settings *settings)
{
	struct bench b = { .derived = { 5000, 1000 } };

	alarms_init(&b.alarms, settings, NULL);
	b.sample = (struct sample){
		.valid = UINT32_MAX,
		.n_cells = 4,
		.cells_uv = { 3700000, 3700000, 3710000, 3700000 },
		.n_temperatures = 2,
		.temperatures_decicelsius = { 200, 250 },
		.fet_temperature_decicelsius = 300,
	};
	return b;
}

static size_t step(struct bench *b, uint64_t dt_msec)
{
	return alarms_step(&b->alarms, &b->sample, &b->derived, dt_msec, NOW, b->changes);
}

static bool is_set(const struct bench *b, enum alarm_id id)
{
	return b->alarms.memory.states[id].set;
}

/* How many seconds of steps it takes until there is a change; 0: none within two minutes. */
static unsigned seconds_until_change(struct bench *b)
{
	for (unsigned i = 0; i < 120; i++)
		if (step(b, 1000) > 0)
			return i + 1;
	return 0;
}

static void test_names(void **state)
{
	enum alarm_id id;
	enum alarm_level level;

	(void)state;
	for (unsigned i = 0; i < ALARM_COUNT; i++) {
		assert_int_equal(alarm_find(alarm_name(i), &id), 0);
		assert_int_equal(id, i);
	}
	assert_int_equal(alarm_find("cell-overvoltag", &id), -ENOENT);
	assert_string_equal(alarm_name(ALARM_COUNT), "unknown");
	assert_int_equal(alarm_level_find("alarm", &level), 0);
	assert_int_equal(level, ALARM_LEVEL_ALARM);
	assert_int_equal(alarm_level_find("Alarm", &level), -ENOENT);
}

/* The values that the field has come to. */
static void test_presets(void **state)
{
	static const struct {
		enum alarm_id id;
		int64_t nmc_set, nmc_clear, lfp_set, lfp_clear;
		uint64_t delay_msec;
	} known[] = {
		{ ALARM_CELL_VOLTAGE_HIGH, 4180000, 4100000, 3580000, 3450000, 3000 },
		{ ALARM_CELL_OVERVOLTAGE, 4230000, 4100000, 3650000, 3450000, 3000 },
		{ ALARM_CELL_VOLTAGE_LOW, 3200000, 3350000, 2900000, 3050000, 5000 },
		{ ALARM_CELL_UNDERVOLTAGE, 3000000, 3350000, 2600000, 3050000, 5000 },
		{ ALARM_CELL_SPREAD, 80000, 50000, 60000, 40000, 60000 },
		{ ALARM_CELL_SPREAD_LARGE, 300000, 50000, 300000, 40000, 60000 },
		{ ALARM_CHARGE_TEMPERATURE_LOW, 50, 100, 50, 100, 10000 },
		{ ALARM_CHARGE_OVERTEMPERATURE, 450, 400, 450, 400, 10000 },
		{ ALARM_UNDERTEMPERATURE, -200, -150, -200, -150, 10000 },
		{ ALARM_FET_OVERTEMPERATURE, 850, 700, 850, 700, 10000 },
		{ ALARM_DISCHARGE_CURRENT_HIGH, 90000000, 85000000, 90000000, 85000000, 5000 },
		{ ALARM_DISCHARGE_OVERCURRENT, 100000000, 90000000, 100000000, 90000000, 5000 },
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(known); i++) {
		assert_int_equal(nmc.rules[known[i].id].set, known[i].nmc_set);
		assert_int_equal(nmc.rules[known[i].id].clear, known[i].nmc_clear);
		assert_int_equal(lfp.rules[known[i].id].set, known[i].lfp_set);
		assert_int_equal(lfp.rules[known[i].id].clear, known[i].lfp_clear);
		assert_int_equal(nmc.rules[known[i].id].set_delay_msec, known[i].delay_msec);
	}
	assert_int_equal(nmc.rules[ALARM_CHARGE_OVERCURRENT].set, 20000000);
}

static void test_an_unknown_board_limit_turns_its_rules_off(void **state)
{
	struct alarms_settings s;
	struct bench b;

	(void)state;
	alarms_preset(CHEMISTRY_NMC, 0, 0, &s);
	assert_false(s.rules[ALARM_CHARGE_OVERCURRENT].enabled);
	assert_false(s.rules[ALARM_DISCHARGE_CURRENT_HIGH].enabled);
	b = bench_of(&s);
	b.sample.current_ua = -500000000;
	b.sample.cells_uv[2] = 3700000;
	assert_int_equal(seconds_until_change(&b), 0);
}

static void test_settings_that_cannot_work(void **state)
{
	char reason[SAMPLE_REASON_BYTES];
	struct alarms_settings s = nmc;

	(void)state;
	assert_int_equal(alarms_check_settings(&nmc, reason), 0);
	assert_int_equal(alarms_check_settings(&lfp, reason), 0);
	s.rules[ALARM_CELL_OVERVOLTAGE].clear = s.rules[ALARM_CELL_OVERVOLTAGE].set;
	assert_int_equal(alarms_check_settings(&s, reason), -EINVAL);
	assert_non_null(strstr(reason, "cell-overvoltage"));
	s.rules[ALARM_CELL_OVERVOLTAGE].enabled = false;
	assert_int_equal(alarms_check_settings(&s, reason), 0);
	s.rules[ALARM_CELL_UNDERVOLTAGE].clear = 2000000;
	assert_int_equal(alarms_check_settings(&s, reason), -EINVAL);
}

static void test_a_healthy_pack_is_silent(void **state)
{
	struct bench b = bench_of(&nmc);

	(void)state;
	assert_int_equal(seconds_until_change(&b), 0);
	assert_int_equal(alarms_first(&b.alarms.memory, &nmc, ALARM_LEVEL_INFO, false),
			 ALARM_COUNT);
}

static void test_set_after_its_delay_and_cleared_after_its(void **state)
{
	struct bench b = bench_of(&nmc);

	(void)state;
	for (size_t i = 0; i < 4; i++)
		b.sample.cells_uv[i] = 4230000;
	/* Seen at 0 s, so that 3 s are over with the fourth sample; warning and alarm together. */
	assert_int_equal(seconds_until_change(&b), 4);
	assert_true(is_set(&b, ALARM_CELL_VOLTAGE_HIGH));
	assert_true(is_set(&b, ALARM_CELL_OVERVOLTAGE));
	assert_int_equal(b.changes[1].id, ALARM_CELL_OVERVOLTAGE);
	assert_int_equal(b.changes[1].level, ALARM_LEVEL_ALARM);
	assert_true(b.changes[1].set);
	assert_int_equal(b.changes[1].value, 4230000);
	assert_int_equal(b.changes[1].since_sec, NOW);
	b.sample.cells_uv[1] = 4250000;
	(void)step(&b, 1000);
	/* Between clear and set nothing happens, however long. */
	for (size_t i = 0; i < 4; i++)
		b.sample.cells_uv[i] = 4101000;
	assert_int_equal(seconds_until_change(&b), 0);
	assert_int_equal(b.alarms.memory.states[ALARM_CELL_OVERVOLTAGE].extreme, 4250000);
	for (size_t i = 0; i < 4; i++)
		b.sample.cells_uv[i] = 4100000;
	assert_int_equal(seconds_until_change(&b), 4);
	assert_false(b.changes[0].set);
	assert_false(is_set(&b, ALARM_CELL_OVERVOLTAGE));
}

static void test_a_break_starts_the_delay_anew(void **state)
{
	struct bench b = bench_of(&nmc);

	(void)state;
	for (unsigned round = 0; round < 10; round++) {
		b.sample.cells_uv[0] = 2900000;
		for (unsigned i = 0; i < 5; i++)
			assert_int_equal(step(&b, 1000), 0);
		b.sample.cells_uv[0] = 3650000;
		assert_int_equal(step(&b, 1000), 0);
	}
}

/* Not known: neither set, nor cleared, and what had lasted counts no more. */
static void test_an_unknown_value_changes_nothing(void **state)
{
	struct bench b = bench_of(&nmc);

	(void)state;
	b.sample.temperatures_decicelsius[1] = 650;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(step(&b, 1000), 0);
	b.sample.valid &= ~(1u << SAMPLE_TEMPERATURES);
	assert_int_equal(step(&b, 60000), 0);
	b.sample.valid |= 1u << SAMPLE_TEMPERATURES;
	assert_int_equal(seconds_until_change(&b), 11);
	assert_true(is_set(&b, ALARM_OVERTEMPERATURE));
	b.sample.temperatures_decicelsius[1] = 250;
	b.sample.valid &= ~(1u << SAMPLE_TEMPERATURES);
	assert_int_equal(seconds_until_change(&b), 0);
	assert_true(is_set(&b, ALARM_OVERTEMPERATURE));
}

static void test_no_data_is_an_alarm_of_its_own(void **state)
{
	struct bench b = bench_of(&nmc);
	size_t n = 0;
	unsigned seconds = 0;

	(void)state;
	while (n == 0 && seconds++ < 100)
		n = alarms_step(&b.alarms, NULL, &b.derived, 1000, NOW, b.changes);
	assert_int_equal(seconds, 60);
	assert_int_equal(n, 1);
	assert_int_equal(b.changes[0].id, ALARM_NO_DATA);
	assert_int_equal(alarms_first(&b.alarms.memory, &nmc, ALARM_LEVEL_WARNING, false),
			 ALARM_NO_DATA);
	/* A new bmsd may be what cures it. */
	assert_int_equal(alarms_first(&b.alarms.memory, &nmc, ALARM_LEVEL_WARNING, true),
			 ALARM_COUNT);
	assert_int_equal(step(&b, 1000), 1);
	assert_false(b.changes[0].set);
}

/* 90 mV between cells: too much at rest, not under load; nor where nobody knows. */
static void test_cells_may_differ_more_under_load(void **state)
{
	struct bench b = bench_of(&nmc);

	(void)state;
	b.sample.cells_uv[2] = 3790000;
	b.sample.current_ua = -30000000;
	assert_int_equal(seconds_until_change(&b), 0);
	b.sample.valid &= ~(1u << SAMPLE_CURRENT);
	assert_int_equal(seconds_until_change(&b), 0);
	b.sample.valid = UINT32_MAX;
	b.sample.current_ua = 999999;
	assert_int_equal(seconds_until_change(&b), 61);
	assert_true(is_set(&b, ALARM_CELL_SPREAD));
	b.sample.cells_uv[2] = 3860000;
	b.sample.current_ua = -30000000;
	assert_int_equal(seconds_until_change(&b), 0);
	assert_true(is_set(&b, ALARM_CELL_SPREAD));
}

/* 2 degrees: too cold to charge, not to ride. */
static void test_charging_has_its_own_temperatures(void **state)
{
	struct bench b = bench_of(&nmc);

	(void)state;
	b.sample.temperatures_decicelsius[0] = -5;
	b.sample.current_ua = -20000000;
	assert_int_equal(seconds_until_change(&b), 0);
	b.sample.current_ua = 10000000;
	assert_int_equal(seconds_until_change(&b), 11);
	assert_true(is_set(&b, ALARM_CHARGE_UNDERTEMPERATURE));
	/* The charger is taken away. */
	b.sample.current_ua = 0;
	assert_int_equal(seconds_until_change(&b), 11);
	assert_false(is_set(&b, ALARM_CHARGE_UNDERTEMPERATURE));
	assert_false(is_set(&b, ALARM_CHARGE_TEMPERATURE_LOW));
}

static void test_currents_go_their_own_way(void **state)
{
	struct bench b = bench_of(&nmc);

	(void)state;
	b.sample.current_ua = 25000000;
	assert_int_equal(seconds_until_change(&b), 6);
	assert_true(is_set(&b, ALARM_CHARGE_OVERCURRENT));
	assert_false(is_set(&b, ALARM_DISCHARGE_CURRENT_HIGH));
	b.sample.current_ua = -100000000;
	assert_int_equal(seconds_until_change(&b), 6);
	assert_true(is_set(&b, ALARM_DISCHARGE_OVERCURRENT));
	assert_false(is_set(&b, ALARM_CHARGE_OVERCURRENT));
}

static void test_what_is_derived(void **state)
{
	struct bench b = bench_of(&nmc);

	(void)state;
	b.derived = (struct alarm_derived){ -1, -1 };
	assert_int_equal(seconds_until_change(&b), 0);
	b.derived.soc_centipercent = 1500;
	b.derived.resistance_growth_permille = 2000;
	assert_int_equal(seconds_until_change(&b), 11);
	assert_true(is_set(&b, ALARM_CHARGE_LOW));
	assert_int_equal(b.changes[0].level, ALARM_LEVEL_INFO);
	assert_int_equal(seconds_until_change(&b), 50);
	assert_true(is_set(&b, ALARM_RESISTANCE_HIGH));
}

static void test_the_boards_own_protections_at_once(void **state)
{
	struct bench b = bench_of(&nmc);

	(void)state;
	b.sample.protections = 1u << PROTECTION_SHORT_CIRCUIT;
	assert_int_equal(step(&b, 1000), 1);
	assert_int_equal(b.changes[0].id, ALARM_BOARD_PROTECTION);
	b.sample.protections = 0;
	assert_int_equal(step(&b, 1000), 1);
}

static void test_latched_until_reset(void **state)
{
	struct alarms_settings s = nmc;
	struct bench b;

	(void)state;
	s.rules[ALARM_BOARD_PROTECTION].latch = true;
	b = bench_of(&s);
	b.sample.protections = 1;
	assert_int_equal(step(&b, 1000), 1);
	/* Not over yet: nothing to reset. */
	assert_int_equal(alarms_reset(&b.alarms, b.changes), 0);
	b.sample.protections = 0;
	assert_int_equal(seconds_until_change(&b), 0);
	assert_true(is_set(&b, ALARM_BOARD_PROTECTION));
	assert_true(b.alarms.memory.states[ALARM_BOARD_PROTECTION].gone);
	/* It comes back: not over. */
	b.sample.protections = 1;
	assert_int_equal(step(&b, 1000), 0);
	assert_int_equal(alarms_reset(&b.alarms, b.changes), 0);
	b.sample.protections = 0;
	assert_int_equal(step(&b, 1000), 0);
	assert_int_equal(alarms_reset(&b.alarms, b.changes), 1);
	assert_int_equal(b.changes[0].since_sec, NOW);
	assert_false(is_set(&b, ALARM_BOARD_PROTECTION));
}

static void test_a_restart_forgets_nothing(void **state)
{
	struct bench b = bench_of(&nmc), later = bench_of(&nmc);

	(void)state;
	b.sample.temperatures_decicelsius[1] = 560;
	assert_int_equal(seconds_until_change(&b), 11);
	alarms_init(&later.alarms, &nmc, &b.alarms.memory);
	assert_true(is_set(&later, ALARM_TEMPERATURE_HIGH));
	assert_int_equal(later.alarms.memory.states[ALARM_TEMPERATURE_HIGH].since_sec, NOW);
	later.sample.temperatures_decicelsius[1] = 510;
	assert_int_equal(seconds_until_change(&later), 0);
	later.sample.temperatures_decicelsius[1] = 500;
	assert_int_equal(seconds_until_change(&later), 11);
}

static void test_a_rule_that_is_turned_off_lets_go(void **state)
{
	struct alarms_settings off = nmc;
	struct bench b = bench_of(&nmc);

	(void)state;
	b.sample.protections = 1;
	assert_int_equal(step(&b, 1000), 1);
	off.rules[ALARM_BOARD_PROTECTION].enabled = false;
	alarms_init(&b.alarms, &off, &b.alarms.memory);
	assert_int_equal(step(&b, 1000), 1);
	assert_false(b.changes[0].set);
	assert_int_equal(seconds_until_change(&b), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_presets),
		cmocka_unit_test(test_an_unknown_board_limit_turns_its_rules_off),
		cmocka_unit_test(test_settings_that_cannot_work),
		cmocka_unit_test(test_a_healthy_pack_is_silent),
		cmocka_unit_test(test_set_after_its_delay_and_cleared_after_its),
		cmocka_unit_test(test_a_break_starts_the_delay_anew),
		cmocka_unit_test(test_an_unknown_value_changes_nothing),
		cmocka_unit_test(test_no_data_is_an_alarm_of_its_own),
		cmocka_unit_test(test_cells_may_differ_more_under_load),
		cmocka_unit_test(test_charging_has_its_own_temperatures),
		cmocka_unit_test(test_currents_go_their_own_way),
		cmocka_unit_test(test_what_is_derived),
		cmocka_unit_test(test_the_boards_own_protections_at_once),
		cmocka_unit_test(test_latched_until_reset),
		cmocka_unit_test(test_a_restart_forgets_nothing),
		cmocka_unit_test(test_a_rule_that_is_turned_off_lets_go),
	};

	alarms_preset(CHEMISTRY_NMC, 20000000, 100000000, &nmc);
	alarms_preset(CHEMISTRY_LFP, 20000000, 100000000, &lfp);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
