/* SPDX-License-Identifier: Apache-2.0 */
/* What people and monitoring are shown: metrics, the live view, records, durations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bmsd/cells.h"
#include "bmsd/client.h"
#include "bmsd/commands.h"
#include "bmsd/metrics.h"
#include "bmsd/show.h"
#include "bmsd/watch.h"
#include "common/json.h"

/* ---- metrics ---- */

static void fill_pack(struct pack_facts *p, const char *name)
{
	static const char driver[] = "jbd";

	p->pack = (struct pack_view){ .name = name, .driver = driver, .present = true };
	p->pack.age_msec = 500;
	(void)strcpy(p->pack.model, "A\"B\\C\nD\x80");
	p->pack.sample = (struct sample){
		.valid = 1u << SAMPLE_VOLTAGE | 1u << SAMPLE_CELLS | 1u << SAMPLE_CAPACITY,
		.voltage_uv = 7400000,
		.capacity_percent = 72,
		.n_cells = 2,
		.cells_uv = { 3690000, 3710000 },
	};
	p->estimator = (struct estimator_view){ .soc_centipercent = -1,
						.margin_centipercent = 250,
						.charge_now_uah = 1000000 };
}

static bool has_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	return at && (at == text || at[-1] == '\n') && at[strlen(line)] == '\n';
}

static void test_metrics(void **state)
{
	const struct bmsd_conf conf = { .n_refused = 2, .n_refused_more = 7 };
	struct facts *f = calloc(1, sizeof *f);
	_cleanup_free_ char *text = NULL;

	(void)state;
	assert_non_null(f);
	f->conf = &conf;
	f->version = "B1";
	f->n_packs = 2;
	f->now_msec = 1500;
	fill_pack(&f->packs[0], "0");
	fill_pack(&f->packs[1], "side");
	f->packs[1].pack.present = false;
	assert_int_equal(metrics_build(f, &text), 0);
	free(f);
	assert_true(has_line(text, "bmsd_uptime_seconds 1.500"));
	assert_true(has_line(text, "bmsd_config_refused 9"));
	assert_true(has_line(text, "bmsd_pack_voltage_volts{pack=\"0\"} 7.4"));
	assert_true(has_line(text, "bmsd_cell_voltage_volts{pack=\"0\",cell=\"2\"} 3.71"));
	assert_true(has_line(text, "bmsd_pack_board_state_of_charge_ratio{pack=\"0\"} 0.72"));
	assert_true(has_line(text, "bmsd_pack_state_of_charge_margin_ratio{pack=\"0\"} 0.025"));
	assert_true(has_line(text, "bmsd_pack_charge_coulombs{pack=\"0\"} 3600"));
	assert_true(has_line(text, "bmsd_pack_up{pack=\"side\"} 0"));
	assert_true(has_line(
		text, "bmsd_pack_info{pack=\"0\",driver=\"jbd\",model=\"A\\\"B\\\\C?D?\"} 1"));
	/* Not known, or stale. */
	assert_null(strstr(text, "bmsd_pack_state_of_charge_ratio"));
	assert_null(strstr(text, "bmsd_pack_current_amperes"));
	assert_null(strstr(text, "bmsd_pack_voltage_volts{pack=\"side\"}"));
}

static void test_cells(void **state)
{
	struct sample s = { .n_cells = 3, .cells_uv = { 5, 3, 3 } };
	struct cells_summary c = {};

	(void)state;
	assert_false(cells_summarize(&s, &c));
	s.valid = 1u << SAMPLE_CELLS;
	assert_true(cells_summarize(&s, &c));
	assert_int_equal(c.min_number, 2);
	assert_int_equal(c.max_number, 1);
	assert_int_equal(c.mean_uv, 3);
	s.n_cells = 0;
	assert_false(cells_summarize(&s, &c));
}

/* ---- the live view ---- */

static cJSON *status_of(unsigned packs, unsigned cells)
{
	cJSON *root = cJSON_CreateObject(), *array = cJSON_AddArrayToObject(root, "packs");

	assert_non_null(cJSON_AddStringToObject(root, "version", "B1"));
	for (unsigned i = 0; i < packs; i++) {
		cJSON *pack = cJSON_CreateObject(), *voltages;

		assert_non_null(cJSON_AddNumberToObject(pack, "number", i));
		assert_non_null(cJSON_AddStringToObject(pack, "model", "\x1b[31mEVIL\xff"));
		assert_non_null(cJSON_AddBoolToObject(pack, "present", true));
		assert_non_null(cJSON_AddNumberToObject(pack, "cell_min_uv", 3600000));
		assert_non_null(cJSON_AddNumberToObject(pack, "cell_max_uv", 3700000));
		voltages = cJSON_AddArrayToObject(pack, "cell_voltages_uv");
		for (unsigned n = 0; n < cells; n++)
			assert_true(cJSON_AddItemToArray(voltages, cJSON_CreateNumber(3650000)));
		assert_true(cJSON_AddItemToArray(array, pack));
	}
	return root;
}

/* Lines, and the columns of the widest one, escape sequences not counted. */
static void measure(const char *text, unsigned *ret_rows, unsigned *ret_columns)
{
	unsigned column = 0;

	*ret_rows = 1;
	*ret_columns = 0;
	for (const char *at = text; *at; at++) {
		if (*at == '\x1b') {
			at += strcspn(at, "mK");
			continue;
		}
		if (*at == '\n') {
			(*ret_rows)++;
			column = 0;
		} else if (*at != '\r' && ((unsigned char)*at & 0xc0) != 0x80) {
			column++;
		}
		*ret_columns = column > *ret_columns ? column : *ret_columns;
	}
}

static void test_every_screen_fits(void **state)
{
	static const struct {
		unsigned columns, rows, packs, cells;
	} table[] = { { 80, 24, 1, 13 },
		      { 80, 24, 8, 32 },
		      { 40, 10, 8, 32 },
		      { 400, 200, 2, 20 },
		      { 80, 24, 0, 0 } };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(table) * 4; i++) {
		const struct watch_screen screen = { .columns = table[i / 4].columns,
						     .rows = table[i / 4].rows,
						     .utf8 = i & 1,
						     .colour = i & 2,
						     .selected = 7 };
		_cleanup_json_ cJSON *status = status_of(table[i / 4].packs, table[i / 4].cells);
		_cleanup_free_ char *text = NULL;
		unsigned rows = 0, columns = 0;

		assert_int_equal(watch_render(&screen, status, NULL, &text), 0);
		measure(text, &rows, &columns);
		assert_true(rows <= screen.rows);
		assert_true(columns <= screen.columns);
		/* What a board calls itself moves no cursor. */
		assert_null(strstr(text, "\x1b[31mEVIL"));
		if (table[i / 4].packs)
			assert_non_null(strstr(text, "?[31mEVIL?"));
	}
}

static void test_a_pack_that_is_left_out_is_seen(void **state)
{
	static const char status[] =
		"{\"packs\":[],\"config_refused\":[{\"text\":\"[future]\"},"
		"{\"pack\":1,\"text\":\"[pack 1] is left out: \\u001b[2J\"},1,{\"pack\":2}]}";
	const struct watch_screen screen = { .columns = 80, .rows = 24 };
	_cleanup_json_ cJSON *json = NULL;
	_cleanup_free_ char *text = NULL;

	(void)state;
	assert_int_equal(json_parse(status, strlen(status), NULL, &json, NULL), 0);
	assert_int_equal(watch_render(&screen, json, NULL, &text), 0);
	assert_non_null(strstr(text, "[pack 1] is left out: ?[2J"));
	assert_null(strstr(text, "[future]"));
}

static void test_a_daemon_that_does_not_answer(void **state)
{
	const struct watch_screen screen = { .columns = 80, .rows = 24 };
	_cleanup_free_ char *text = NULL;

	(void)state;
	assert_int_equal(watch_render(&screen, NULL, "bmsd: no such name", &text), 0);
	assert_non_null(strstr(text, "bmsd: no such name"));
}

static void test_answers_of_any_shape_are_drawn(void **state)
{
	static const char *const odd[] = {
		"{}",
		"{\"packs\":{}}",
		"{\"packs\":[1,null,\"x\",[]]}",
		"{\"packs\":[{\"present\":true,\"estimate\":7,\"cell_voltages_uv\":[\"a\",null],"
		"\"alarms\":[3],\"protections\":[{}],\"balancing\":-1,\"errors\":[1]}],\"events\":["
		"1,{}]}",
		"{\"packs\":[{\"cell_voltages_uv\":\"none\",\"alarms\":{}}],\"events\":\"no\"}",
	};
	const struct watch_screen screen = { .columns = 80, .rows = 24, .utf8 = true };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(odd); i++) {
		_cleanup_json_ cJSON *status = NULL;
		_cleanup_free_ char *text = NULL;

		assert_int_equal(json_parse(odd[i], strlen(odd[i]), NULL, &status, NULL), 0);
		assert_int_equal(watch_render(&screen, status, NULL, &text), 0);
	}
}

static void test_more_cells_than_there_can_be(void **state)
{
	const struct watch_screen screen = { .columns = 80, .rows = 24 };
	_cleanup_json_ cJSON *status = status_of(1, 5000);
	_cleanup_free_ char *text = NULL;
	cJSON *pack = cJSON_GetArrayItem(cJSON_GetObjectItem(status, "packs"), 0);

	(void)state;
	assert_non_null(cJSON_AddNumberToObject(pack, "balancing", 4294967295.0));
	assert_int_equal(watch_render(&screen, status, NULL, &text), 0);
}

/* ---- bmsd --status ---- */

static void test_no_word_moves_the_cursor(void **state)
{
	static const char status[] =
		"{\"version\":\"\\u001b[2J\",\"packs\":[{\"number\":0,\"driver\":\"\\u001b]0;"
		"x\\u0007\","
		"\"link\":\"\\u009b2J\",\"present\":true,\"model\":\"\\u001b[1m\",\"detail\":"
		"\"\\u001b[1m\","
		"\"protections\":[\"\\u001b[1m\"],\"limits\":{\"charge_reason\":\"\\u001b[1m\"},"
		"\"fet_locks\":[{\"which\":\"\\u001b[1m\",\"reason\":\"\\u001b[1m\"}],"
		"\"estimate\":{\"soh_source\":\"\\u001b[1m\"},"
		"\"alarms\":[{\"name\":\"\\u001b[1m\",\"level\":\"\\u007f\"}]}],"
		"\"events\":[{\"event\":\"\\u001b[1m\",\"detail\":\"\\u001b[1m\"}]}";
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	(void)state;
	assert_non_null(to);
	assert_int_equal(client_print_status(status, to), 0);
	assert_int_equal(fclose(to), 0);
	assert_true(size > 100);
	for (size_t i = 0; i < size; i++)
		assert_true(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
}

/* ---- words ---- */

static void test_durations(void **state)
{
	static const char *const bad[] = { "",	   "s",	  "5x",	    "5 m",	 "-5",
					   "1.5h", "5mm", "99999d", "9999999999" };
	uint64_t sec = 1;

	(void)state;
	assert_int_equal(commands_parse_duration("90", &sec), 0);
	assert_int_equal(sec, 90);
	assert_int_equal(commands_parse_duration("30m", &sec), 0);
	assert_int_equal(sec, 1800);
	assert_int_equal(commands_parse_duration("7d", &sec), 0);
	assert_int_equal(sec, 604800);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_true(commands_parse_duration(bad[i], &sec) < 0);
	assert_int_equal(sec, 604800);
	assert_string_equal(show_duration(59).text, "59 s");
	assert_string_equal(show_duration(3599).text, "59 min");
	assert_string_equal(show_duration(7380).text, "2 h 3 min");
	assert_string_equal(show_duration(90000).text, "1 d 1 h");
	assert_string_equal(show_duration(-1).text, "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_every_screen_fits),
		cmocka_unit_test(test_a_pack_that_is_left_out_is_seen),
		cmocka_unit_test(test_a_daemon_that_does_not_answer),
		cmocka_unit_test(test_answers_of_any_shape_are_drawn),
		cmocka_unit_test(test_more_cells_than_there_can_be),
		cmocka_unit_test(test_no_word_moves_the_cursor),
		cmocka_unit_test(test_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
