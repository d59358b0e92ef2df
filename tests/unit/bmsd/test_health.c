/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bmsd/client.h"
#include "bmsd/health.h"
#include "common/json.h"

static struct facts facts_of_one_good_pack(void)
{
	static const char name[] = "0", driver[] = "jbd";
	struct facts f = {
		.version = "B202108010001",
		.ready = true,
		.started_msec = 10000,
		.now_msec = 25000,
		.loop_age_msec = 210,
		.watchdog_msec = 30000,
		.update_current_max_ua = 1000000,
		.n_packs = 1,
	};
	struct pack_view *v = &f.packs[0].pack;

	v->name = name;
	v->driver = driver;
	v->link_up = v->present = true;
	v->age_msec = 310;
	v->first_sample_msec = 10640;
	v->samples_ok = 14;
	v->polls = 15;
	v->polls_failed = v->recent_failed = 1;
	v->recent_polls = 15;
	v->errors.n[LINK_ERROR_TIMEOUT] = 1;
	(void)strcpy(v->model, "BOARD");
	v->line_open = true;
	f.packs[0].estimator = (struct estimator_view){ .soc_centipercent = 7234,
							.margin_centipercent = 210,
							.cycles_milli = 9500,
							.soh_centipercent = -1,
							.time_to_empty_sec = -1,
							.time_to_full_sec = 600,
							.soc_source = SOC_SOURCE_BOARD_DELTA };
	f.packs[0].limits.discharge_current_max_ua = 40000000;
	f.event_sequence = 41;
	v->sample = (struct sample){ .valid = (1u << SAMPLE_FIELD_COUNT) - 1 -
					      (1u << SAMPLE_COUNTERS) -
					      (1u << SAMPLE_FET_TEMPERATURE),
				     .voltage_uv = 7800000,
				     .current_ua = -990000,
				     .charge_uah = 28800000,
				     .charge_full_design_uah = 40000000,
				     .capacity_percent = 72,
				     .cycles = 9,
				     .discharge_fet = true,
				     .n_cells = 2,
				     .cells_uv = { 3900000, 3901000 },
				     .n_temperatures = 1,
				     .temperatures_decicelsius = { -52 } };
	f.packs[0].state = (struct state_view){ .restored = true,
						.on_disk = true,
						.soc_percent = 72,
						.soc_restored_percent = 73,
						.samples_total = 1000,
						.saved_sec = 1700000000,
						.writer = "B202108010001" };
	return f;
}

typedef int (*build_fn)(const struct facts *f, char **ret_json);

/* Also shows that what is written passes our own strict reader. */
static cJSON *build(build_fn fn, const struct facts *f)
{
	_cleanup_free_ char *text = NULL;
	cJSON *json = NULL;

	assert_int_equal(fn(f, &text), 0);
	assert_int_equal(json_parse(text, strlen(text), NULL, &json, NULL), 0);
	return json;
}

static const cJSON *member(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	assert_non_null(item);
	return item;
}

static int64_t number(const cJSON *object, const char *key)
{
	assert_true(cJSON_IsNumber(member(object, key)));
	return (int64_t)member(object, key)->valuedouble;
}

static const char *text(const cJSON *object, const char *key)
{
	assert_true(cJSON_IsString(member(object, key)));
	return member(object, key)->valuestring;
}

static const cJSON *pack_of(const cJSON *root)
{
	return cJSON_GetArrayItem(member(root, "packs"), 0);
}

static void test_health_of_a_good_pack(void **state)
{
	struct facts f = facts_of_one_good_pack();
	_cleanup_json_ cJSON *h = build(health_build, &f);
	const cJSON *pack = pack_of(h), *s = member(pack, "state");

	(void)state;
	assert_int_equal(number(h, "schema"), 1);
	assert_string_equal(text(h, "version"), "B202108010001");
	assert_int_equal(number(h, "uptime_msec"), 15000);
	assert_int_equal(number(h, "loop_age_msec"), 210);
	assert_true(cJSON_IsTrue(member(h, "ready")));
	assert_true(cJSON_IsTrue(member(h, "update_ok")));
	assert_int_equal(cJSON_GetArraySize(member(h, "update_reasons")), 0);
	assert_true(cJSON_IsTrue(member(member(h, "watchdog"), "enabled")));
	assert_int_equal(number(member(h, "watchdog"), "interval_msec"), 30000);
	assert_string_equal(text(pack, "link"), "up");
	assert_string_equal(text(pack, "model"), "BOARD");
	assert_int_equal(number(pack, "cells"), 2);
	assert_int_equal(number(pack, "first_sample_msec"), 640);
	assert_int_equal(number(pack, "last_age_msec"), 310);
	assert_int_equal(number(pack, "samples_ok"), 14);
	assert_int_equal(number(pack, "error_rate_permille"), 66);
	assert_int_equal(number(member(pack, "errors"), "timeout"), 1);
	assert_int_equal(number(member(pack, "errors"), "checksum"), 0);
	assert_int_equal(number(pack, "soc_percent"), 72);
	assert_int_equal(number(pack, "soc_centipercent"), 7234);
	assert_int_equal(number(pack, "soc_margin_centipercent"), 210);
	assert_string_equal(text(pack, "soc_source"), "board-delta");
	assert_int_equal(number(pack, "cycles_milli"), 9500);
	assert_int_equal(number(h, "event_sequence"), 41);
	assert_int_equal(number(s, "soc_saved_percent"), 73);
	assert_true(cJSON_IsTrue(member(s, "restored")));
	assert_int_equal(number(s, "samples_total"), 1000);
}

static void test_unknown_is_absent(void **state)
{
	static const char *const absent[] = { "cells", "first_sample_msec", "last_age_msec",
					      "soc_percent" };
	struct facts f = facts_of_one_good_pack();
	struct pack_view *v = &f.packs[0].pack;
	_cleanup_json_ cJSON *h = NULL, *s = NULL;

	(void)state;
	v->present = v->link_up = false;
	v->age_msec = v->first_sample_msec = -1;
	v->sample = (struct sample){ .capacity_percent = -1 };
	f.packs[0].estimator.soc_centipercent = -1;
	f.packs[0].state.soc_restored_percent = -1;
	h = build(health_build, &f);
	for (size_t i = 0; i < ELEMENTSOF(absent); i++)
		assert_null(cJSON_GetObjectItemCaseSensitive(pack_of(h), absent[i]));
	assert_null(
		cJSON_GetObjectItemCaseSensitive(member(pack_of(h), "state"), "soc_saved_percent"));
	assert_string_equal(text(pack_of(h), "link"), "down");
	/* A pack that is not there keeps nobody from upgrading. */
	assert_true(cJSON_IsTrue(member(h, "update_ok")));
	s = build(status_build, &f);
	assert_null(cJSON_GetObjectItemCaseSensitive(pack_of(s), "voltage_now_uv"));
	assert_true(cJSON_IsFalse(member(pack_of(s), "present")));
}

static void test_riding_charging_and_protections_are_no_time_for_it(void **state)
{
	static const struct {
		int64_t current_ua;
		uint32_t protections;
		int reasons;
		const char *first;
	} table[] = {
		{ 1000000, 0, 0, NULL },
		{ -1000000, 0, 0, NULL },
		{ 1000001, 0, 1, "pack 0: 1.0 A is flowing" },
		{ -18240000, 0, 1, "pack 0: 18.2 A is flowing" },
		{ 0, 1u << PROTECTION_CELL_UNDERVOLTAGE, 1,
		  "pack 0: protection cell-undervoltage is active" },
		{ -2000000, 1u << PROTECTION_OTHER | 1u, 3, "pack 0: 2.0 A is flowing" },
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		struct facts f = facts_of_one_good_pack();
		_cleanup_json_ cJSON *h = NULL;
		const cJSON *reasons;

		f.packs[0].pack.sample.current_ua = table[i].current_ua;
		f.packs[0].pack.sample.protections = table[i].protections;
		h = build(health_build, &f);
		reasons = member(h, "update_reasons");
		assert_int_equal(cJSON_GetArraySize(reasons), table[i].reasons);
		assert_int_equal(cJSON_IsTrue(member(h, "update_ok")), table[i].reasons == 0);
		if (table[i].first)
			assert_string_equal(cJSON_GetArrayItem(reasons, 0)->valuestring,
					    table[i].first);
	}
}

static int refusals(const struct facts *f, const char *sentence)
{
	_cleanup_json_ cJSON *h = build(health_build, f);
	const cJSON *reasons = member(h, "update_reasons");

	if (cJSON_GetArraySize(reasons) > 0)
		assert_string_equal(cJSON_GetArrayItem(reasons, 0)->valuestring, sentence);
	return cJSON_GetArraySize(reasons);
}

static void test_what_bmsd_knows_itself_is_a_reason_too(void **state)
{
	struct facts f = facts_of_one_good_pack();
	struct alarms_settings settings = {};
	struct alarms_memory alarms = {};

	(void)state;
	alarms_preset(CHEMISTRY_NMC, 0, 0, &settings);
	f.packs[0].alarms = &alarms;
	f.packs[0].alarm_settings = &settings;
	assert_int_equal(refusals(&f, ""), 0);
	alarms.states[ALARM_CELL_OVERVOLTAGE].set = true;
	assert_int_equal(refusals(&f, "pack 0: alarm cell-overvoltage is set"), 1);
	/* A new bmsd may be what cures that. */
	alarms = (struct alarms_memory){ .states[ALARM_NO_DATA] = { .set = true } };
	assert_int_equal(refusals(&f, ""), 0);
	f.packs[0].estimator.soc_centipercent = 1499;
	assert_int_equal(refusals(&f, "pack 0: low charge: 14 %"), 1);
	f.packs[0].estimator.soc_centipercent = 1500;
	assert_int_equal(refusals(&f, ""), 0);
	/* Without one of our own the board's counts. */
	f.packs[0].estimator.soc_centipercent = -1;
	f.packs[0].pack.sample.capacity_percent = 3;
	assert_int_equal(refusals(&f, "pack 0: low charge: 3 %"), 1);
	f.packs[0].pack.sample.capacity_percent = 72;
	f.packs[0].pack.sample.balancing = 4;
	assert_int_equal(refusals(&f, "pack 0: cells are being balanced"), 1);
	f.packs[0].pack.sample.balancing = 0;
	f.packs[0].charge_fet_changing = true;
	assert_int_equal(refusals(&f, "pack 0: its charge switch is changing"), 1);
	f.packs[0].charge_fet_changing = false;
	f.packs[0].estimator.learning = true;
	assert_int_equal(refusals(&f, "pack 0: its capacity is about to be learned"), 1);
}

static void test_status_says_what_is_derived(void **state)
{
	struct facts f = facts_of_one_good_pack();
	struct lifetime lifetime = { .discharged_uwh = 7000000 };
	struct fet_memory fet = { .locks[FET_CHARGE] = { .locked = true, .reason = "service" } };
	_cleanup_json_ cJSON *s = NULL;
	const cJSON *pack, *estimate;

	(void)state;
	f.packs[0].lifetime = &lifetime;
	f.packs[0].fet = &fet;
	s = build(status_build, &f);
	pack = pack_of(s);
	estimate = member(pack, "estimate");
	assert_int_equal(number(estimate, "soc_centipercent"), 7234);
	assert_int_equal(number(estimate, "time_to_full_avg_sec"), 600);
	assert_null(cJSON_GetObjectItemCaseSensitive(estimate, "time_to_empty_avg_sec"));
	assert_int_equal(number(pack, "cell_max_number"), 2);
	assert_int_equal(number(pack, "cell_spread_uv"), 1000);
	assert_int_equal(number(pack, "power_now_uw"), -7722000);
	assert_int_equal(number(member(pack, "limits"), "discharge_current_max_ua"), 40000000);
	assert_int_equal(number(member(pack, "lifetime"), "discharged_uwh"), 7000000);
	assert_string_equal(text(cJSON_GetArrayItem(member(pack, "fet_locks"), 0), "which"),
			    "charge");
	assert_null(cJSON_GetObjectItemCaseSensitive(pack, "fet_temperature_decicelsius"));
	assert_null(cJSON_GetObjectItemCaseSensitive(pack, "counters"));
}

static struct bmsd_conf refused_conf(size_t n_packs)
{
	return (struct bmsd_conf){
		.n_packs = n_packs,
		.refused = { { -1, "bmsd.conf:1: [future]: unknown section; left out" },
			     { 3, "[pack 3] is left out: driver = canbus" } },
		.n_refused = 2,
		.n_refused_more = 7,
	};
}

static void test_what_of_the_configuration_is_not_taken(void **state)
{
	struct facts f = facts_of_one_good_pack();
	const struct bmsd_conf conf = refused_conf(1), lost = refused_conf(0);
	const build_fn builds[] = { health_build, status_build };
	char line[256];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(builds); i++) {
		_cleanup_json_ cJSON *none = build(builds[i], &f), *some = NULL;
		const cJSON *refused;

		assert_int_equal(cJSON_GetArraySize(member(none, "config_refused")), 0);
		f.conf = &conf;
		some = build(builds[i], &f);
		f.conf = NULL;
		refused = member(some, "config_refused");
		assert_int_equal(cJSON_GetArraySize(refused), 2);
		assert_null(
			cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(refused, 0), "pack"));
		assert_string_equal(text(cJSON_GetArrayItem(refused, 0), "text"),
				    conf.refused[0].text);
		assert_int_equal(number(cJSON_GetArrayItem(refused, 1), "pack"), 3);
		assert_int_equal(number(some, "config_refused_more"), 7);
	}
	f.conf = &conf;
	status_line(&f, line, sizeof line);
	assert_non_null(strstr(line, " %; [pack 3] is left out: driver = canbus"));
	assert_null(strstr(line, "future"));
	f.conf = &lost;
	f.n_packs = 0;
	status_line(&f, line, sizeof line);
	assert_string_equal(line,
			    "no pack is left; bmsd.conf:1: [future]: unknown section; left out; "
			    "[pack 3] is left out: driver = canbus");
	for (size_t size = 1; size < 100; size++) {
		char small[128];

		memset(small, 'X', sizeof small);
		status_line(&f, small, size);
		assert_true(strlen(small) < size);
		assert_int_equal(small[size], 'X');
	}
}

static void test_no_packs(void **state)
{
	struct facts f = facts_of_one_good_pack();
	_cleanup_json_ cJSON *h = NULL;
	char line[64];

	(void)state;
	f.n_packs = 0;
	h = build(health_build, &f);
	assert_int_equal(cJSON_GetArraySize(member(h, "packs")), 0);
	status_line(&f, line, sizeof line);
	assert_string_equal(line, "no pack is configured");
}

static void test_the_largest_health_fits_the_protocol(void **state)
{
	struct facts f = facts_of_one_good_pack();
	struct bmsd_conf conf = { .n_packs = 1, .n_refused = BMSD_CONF_REFUSALS };
	_cleanup_free_ char *json = NULL;

	(void)state;
	for (size_t i = 0; i < BMSD_CONF_REFUSALS; i++)
		memset(conf.refused[i].text, '\\', BMSD_CONF_REFUSAL_BYTES - 1);
	f.conf = &conf;
	f.n_packs = BMSD_MAX_PACKS;
	for (size_t i = 1; i < BMSD_MAX_PACKS; i++)
		f.packs[i] = f.packs[0];
	for (size_t i = 0; i < BMSD_MAX_PACKS; i++) {
		struct pack_view *v = &f.packs[i].pack;

		f.packs[i].number = (unsigned)i;
		memset(v->model, '"', sizeof v->model - 1);
		memset(v->detail, '\\', sizeof v->detail - 1);
		v->sample.protections = UINT32_MAX;
		v->sample.n_cells = SAMPLE_MAX_CELLS;
		v->sample.n_temperatures = SAMPLE_MAX_TEMPERATURES;
		v->sample.current_ua = INT32_MIN;
	}
	assert_int_equal(health_build(&f, &json), 0);
	assert_true(strlen(json) < 65536);
	free(TAKE_PTR(json));
	assert_int_equal(status_build(&f, &json), 0);
	assert_true(strlen(json) < 65536);
}

static void test_status_has_the_sample(void **state)
{
	struct facts f = facts_of_one_good_pack();
	_cleanup_json_ cJSON *s = build(status_build, &f);
	const cJSON *pack = pack_of(s);

	(void)state;
	assert_int_equal(number(pack, "voltage_now_uv"), 7800000);
	assert_int_equal(number(pack, "current_now_ua"), -990000);
	assert_int_equal(number(pack, "charge_now_uah"), 28800000);
	assert_int_equal(number(pack, "capacity_percent"), 72);
	assert_int_equal(cJSON_GetArraySize(member(pack, "cell_voltages_uv")), 2);
	assert_int_equal(cJSON_GetArrayItem(member(pack, "temperatures_decicelsius"), 0)->valueint,
			 -52);
	assert_true(cJSON_IsFalse(member(pack, "charge_fet")));
	assert_true(cJSON_IsTrue(member(pack, "discharge_fet")));
}

static void test_status_line(void **state)
{
	struct facts f = facts_of_one_good_pack();
	char line[128];

	(void)state;
	f.n_packs = 2;
	f.packs[1] = f.packs[0];
	f.packs[1].number = 3;
	f.packs[1].pack.present = false;
	(void)strcpy(f.packs[1].pack.detail, "the board does not answer");
	status_line(&f, line, sizeof line);
	assert_string_equal(line, "pack 0: 7.80 V, -1.0 A, 72 %; "
				  "pack 3: the board does not answer");
	for (size_t size = 1; size < sizeof line; size++) {
		char *small = malloc(size);

		assert_non_null(small);
		status_line(&f, small, size);
		assert_true(strlen(small) < size);
		free(small);
	}
}

/* Neither can be said on the bus then, of no pack. */
static void test_no_word_silences_all_of_them(void **state)
{
	static const char *const words[] = { "\xff",	     "\xc3",
					     "\xe2\x82",     "\xed\xa0\x80",
					     "\xc0\xaf",     "\xf5\x80",
					     "\x80\xe2\x82", "\xf0\x80\x80\xaf" };
	struct facts f = facts_of_one_good_pack();

	(void)state;
	f.n_events = 1;
	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		_cleanup_json_ cJSON *status = NULL, *health = NULL;

		(void)snprintf(f.events[0].detail, sizeof f.events[0].detail, "caf\xc3\xa9 %s",
			       words[i]);
		(void)snprintf(f.packs[0].state.writer, sizeof f.packs[0].state.writer, "%s",
			       words[i]);
		status = build(status_build, &f);
		assert_true(strncmp(text(cJSON_GetArrayItem(member(status, "events"), 0), "detail"),
				    "caf\xc3\xa9 ?", 7) == 0);
		health = build(health_build, &f);
	}
}

/* Freed by the caller. */
static char *print_status(const struct facts *f)
{
	_cleanup_free_ char *json = NULL;
	char *out = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&out, &size);

	assert_non_null(to);
	assert_int_equal(status_build(f, &json), 0);
	assert_int_equal(client_print_status(json, to), 0);
	assert_int_equal(fclose(to), 0);
	return out;
}

static void test_a_lock_without_end(void **state)
{
	struct fet_memory fet = { .locks[FET_CHARGE] = { .locked = true, .endless = true } };
	struct facts f = facts_of_one_good_pack();
	_cleanup_free_ char *out = NULL;

	(void)state;
	f.packs[0].fet = &fet;
	out = print_status(&f);
	assert_non_null(strstr(out, "charge held off: ; until it is given back\n"));
}

static void test_status_for_people(void **state)
{
	const struct bmsd_conf conf = refused_conf(1);
	struct facts f = facts_of_one_good_pack();
	_cleanup_free_ char *out = NULL;

	(void)state;
	f.conf = &conf;
	out = print_status(&f);
	assert_non_null(strstr(out, "\nthe configuration is not taken whole\n"
				    "  bmsd.conf:1: [future]: unknown section; left out\n"
				    "  [pack 3] is left out: driver = canbus\n  and 7 more\n"));
	free(TAKE_PTR(out));
	f.conf = NULL;
	out = print_status(&f);
	assert_null(strstr(out, "configuration"));
	assert_non_null(strstr(out, "bmsd B202108010001, up for 15 s\n"));
	assert_non_null(strstr(out, "pack 0 (jbd, link up) BOARD\n"));
	assert_non_null(strstr(out, "7.80 V\n"));
	assert_non_null(strstr(out, "-0.99 A, -8 W\n"));
	assert_non_null(strstr(out, " 3.900 3.901\n"));
	assert_non_null(strstr(out, " -5.2 C\n"));
	assert_int_equal(client_print_status("{}", stderr), -EBADMSG);
	assert_int_equal(client_print_status("{\"packs\":[1,2]", stderr), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_health_of_a_good_pack),
		cmocka_unit_test(test_unknown_is_absent),
		cmocka_unit_test(test_riding_charging_and_protections_are_no_time_for_it),
		cmocka_unit_test(test_what_bmsd_knows_itself_is_a_reason_too),
		cmocka_unit_test(test_status_says_what_is_derived),
		cmocka_unit_test(test_no_packs),
		cmocka_unit_test(test_what_of_the_configuration_is_not_taken),
		cmocka_unit_test(test_the_largest_health_fits_the_protocol),
		cmocka_unit_test(test_status_has_the_sample),
		cmocka_unit_test(test_status_line),
		cmocka_unit_test(test_no_word_silences_all_of_them),
		cmocka_unit_test(test_a_lock_without_end),
		cmocka_unit_test(test_status_for_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
