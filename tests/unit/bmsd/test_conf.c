/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include "bmsd/conf.h"

static int load(const struct scratch *s, const char *text, struct bmsd_conf **ret, char **ret_error)
{
	char path[128];

	scratch_text(s->dirfd, "bmsd.conf", text, 0644);
	(void)snprintf(path, sizeof path, "%s/bmsd.conf", s->path);
	return bmsd_conf_load(path, NULL, NULL, ret, ret_error);
}

static void test_defaults(void **state)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = NULL;

	assert_int_equal(load(*state, "[pack 0]\ndevice=/dev/ttyUSB0\n", &c, NULL), 0);
	assert_int_equal(c->n_packs, 1);
	assert_string_equal(c->packs[0].name, "0");
	assert_string_equal(c->packs[0].driver, "jbd");
	assert_string_equal(c->packs[0].device, "/dev/ttyUSB0");
	assert_int_equal(c->packs[0].baud_rate, 9600);
	assert_int_equal(c->packs[0].poll_interval_msec, 1000);
	assert_int_equal(c->packs[0].timeout_msec, 500);
	assert_int_equal(c->packs[0].cells, 0);
	assert_string_equal(c->state_dir, "/var/lib/bmsd");
	assert_int_equal(c->save_interval_sec, 60);
	assert_int_equal(c->update_current_max_ma, 1000);
	assert_int_equal(c->stale_msec, 5000);
}

static void test_packs_are_sorted_without_gaps(void **state)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = NULL;

	assert_int_equal(load(*state,
			      "[pack 7]\ndevice=/dev/c\nbaud=115200\n[pack 3]\ndevice=/dev/b\n"
			      "name=rear\n[pack 1]\ndevice=/dev/a\ncells=17\n",
			      &c, NULL),
			 0);
	assert_int_equal(c->n_packs, 3);
	assert_int_equal(c->packs[0].number, 1);
	assert_int_equal(c->packs[0].cells, 17);
	assert_int_equal(c->packs[1].number, 3);
	assert_string_equal(c->packs[1].name, "rear");
	assert_int_equal(c->packs[2].number, 7);
	assert_int_equal(c->packs[2].baud_rate, 115200);
	assert_string_equal(c->packs[2].name, "7");
}

static void test_no_pack_is_allowed(void **state)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = NULL;

	assert_int_equal(load(*state, "# nothing yet\n", &c, NULL), 0);
	assert_int_equal(c->n_packs, 0);
}

#define X32 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void test_errors_say_what_is_wrong(void **state)
{
	static const struct {
		const char *text, *expected;
	} table[] = {
		{ "[pack 0]\nbaud=9600\n", "device" },
		{ "[pack 8]\ndevice=/dev/a\n", "pack 8" },
		{ "[pack]\ndevice=/dev/a\n", "pack" },
		{ "[pack 00]\ndevice=/dev/a\n", "pack 00" },
		{ "[pack -1]\ndevice=/dev/a\n", "pack -1" },
		{ "[pack 0]\ndevice=ttyUSB0\n", "device" },
		{ "[pack 0]\ndevice=/dev/a\nbaud=9601\n", "baud" },
		{ "[pack 0]\ndevice=/dev/a\ndriver=canbus\n", "driver" },
		{ "[pack 0]\ndevice=/dev/a\npoll_interval_msec=99\n", "poll_interval_msec" },
		{ "[pack 0]\ndevice=/dev/a\npoll_interval_msec=3000\n", "stale_msec" },
		{ "[pack 0]\ndevice=/dev/a\ncells=33\n", "cells" },
		{ "[pack 0]\ndevice=/dev/a\nname=../etc\n", "name" },
		{ "[pack 0]\ndevice=/dev/a\nname=\n", "name" },
		{ "[pack 0]\ndevice=/dev/a\n[pack 1]\ndevice=/dev/a\n", "same" },
		{ "[pack 0]\ndevice=/dev/a\nname=1\n[pack 1]\ndevice=/dev/b\n", "same" },
		{ "[limits]\ncell_min_mv=5000\n", "cell_min_mv" },
		{ "[pack 0]\ndevice=/dev/a\nchemistry=lead\n", "chemistry" },
		{ "[pack 0]\ndevice=/dev/a\ncell_full_mv=3000\ncell_empty_mv=3000\n",
		  "cell_full_mv" },
		{ "[pack 0]\ndevice=/dev/a\nocv_table=mine\n", "ocv_table" },
		{ "[pack 0]\ndevice=tcp:somewhere\n", "device" },
		{ "[pack 0]\ndevice=replay:relative\n", "device" },
		{ "[alarm nonsense]\nenabled=no\n", "alarm nonsense" },
		{ "[alarm cell-overvoltage]\nset_ma=5\n[pack 0]\ndevice=/dev/a\n", "set_ma" },
		{ "[alarm cell-overvoltage]\nset_mv=4000\nclear_mv=4100\n[pack 0]\ndevice=/dev/a\n",
		  "cell-overvoltage" },
		{ "[alarm board-protection]\nset_mv=1\n[pack 0]\ndevice=/dev/a\n", "set_mv" },
		{ "[fet]\nallowed=perhaps\n", "allowed" },
		{ "[events]\nmax_kib=1\n", "max_kib" },
		{ "[capture]\nmax_kib=65537\n", "max_kib" }, /* no more would ever be recorded */
		{ "[metrics]\nsocket=/run/" X32 X32 X32 "xxxxxxx\n", "socket" },
		{ "[limits]\ncell_min_mv=x\n", "cell_min_mv" },
		{ "[limits]\nnonsense=1\n", "nonsense" },
		{ "[state]\ndir=\n", "dir" },
		{ "[state]\nsave_interval_sec=4\n", "save_interval_sec" },
	};

	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = NULL;
		_cleanup_free_ char *error = NULL;

		assert_int_equal(load(*state, table[i].text, &c, &error), -EINVAL);
		assert_null(c);
		assert_non_null(error);
		assert_non_null(strstr(error, table[i].expected));
	}
}

static void test_presets_and_what_is_said_otherwise(void **state)
{
	static const char text[] =
		"[pack 0]\ndevice=/dev/a\nchemistry=lfp\ncapacity_mah=105000\nrest_sec=9000\n"
		"charge_max_ma=50000\ndischarge_max_ma=80000\n"
		"[pack 1]\ndevice=tcp:192.0.2.7:2000\nocv_table=p42a\nocv_verified=yes\n"
		"[alarm "
		"cell-overvoltage]\nset_mv=4199\nclear_mv=4099\nset_delay_msec=7\nlatch=yes\n"
		"level=warning\n[alarm charge-temperature-low]\nset_decicelsius=-50\n"
		"clear_decicelsius=0\n[alarm no-data]\nenabled=no\n"
		"[fet]\nallowed=yes\nopen_max_ma=200\n[events]\nmax_kib=64\n";
	const struct estimator_settings lfp = estimator_settings_default(CHEMISTRY_LFP);
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = NULL;
	_cleanup_free_ char *error = NULL;
	const struct alarm_rule *rules;

	assert_int_equal(load(*state, text, &c, &error), 0);
	assert_int_equal(c->packs[0].estimator.chemistry, CHEMISTRY_LFP);
	assert_int_equal(c->packs[0].estimator.cell_full_mv, lfp.cell_full_mv);
	assert_int_equal(c->packs[0].estimator.capacity_design_mah, 105000);
	assert_int_equal(c->packs[0].estimator.rest_sec, 9000);
	assert_int_equal(c->packs[0].estimator.current_max_ma, 80000);
	assert_int_equal(c->packs[0].limits.charge_current_max_ma, 50000);
	assert_null(c->packs[0].estimator.ocv_table);
	assert_int_equal(c->packs[1].estimator.chemistry, CHEMISTRY_NMC);
	assert_string_equal(c->packs[1].estimator.ocv_table->name, "p42a");
	assert_true(c->packs[1].estimator.ocv_verified);
	for (size_t i = 0; i < 2; i++) {
		rules = c->packs[i].alarms.rules;
		assert_int_equal(rules[ALARM_CELL_OVERVOLTAGE].set, 4199000);
		assert_int_equal(rules[ALARM_CELL_OVERVOLTAGE].clear, 4099000);
		assert_int_equal(rules[ALARM_CELL_OVERVOLTAGE].set_delay_msec, 7);
		assert_int_equal(rules[ALARM_CELL_OVERVOLTAGE].level, ALARM_LEVEL_WARNING);
		assert_true(rules[ALARM_CELL_OVERVOLTAGE].latch);
		assert_int_equal(rules[ALARM_CHARGE_TEMPERATURE_LOW].set, -50);
		assert_false(rules[ALARM_NO_DATA].enabled);
		assert_true(rules[ALARM_CELL_UNDERVOLTAGE].enabled);
	}
	assert_true(c->packs[0].alarms.rules[ALARM_CHARGE_OVERCURRENT].enabled);
	assert_true(c->fet.allowed);
	assert_int_equal(c->fet.open_max_ua, 200000);
	assert_int_equal(c->events.max_bytes, 65536);
}

static void count_unknown(const char *sentence, void *userdata)
{
	unsigned *n = userdata;

	assert_non_null(strstr(sentence, "bmsd.conf:"));
	assert_non_null(strstr(sentence, "unknown") ? sentence : strstr(sentence, "no such"));
	(*n)++;
}

/* As after a rollback: the file is of a newer bmsd. */
static void test_a_newer_file_is_read_as_far_as_it_is_known(void **state)
{
	static const char text[] = "[future]\na=1\nb=2\n[pack 0]\ndevice=/dev/a\nflux=7\n"
				   "cells=13\n[pack 42]\ndevice=/dev/b\n[alarm later]\nset_mv=1\n";
	const struct scratch *s = *state;
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = NULL, *bad = NULL;
	unsigned n = 0;
	char path[128];

	scratch_text(s->dirfd, "bmsd.conf", text, 0644);
	(void)snprintf(path, sizeof path, "%s/bmsd.conf", s->path);
	assert_int_equal(bmsd_conf_load(path, count_unknown, &n, &c, NULL), 0);
	assert_int_equal(n, 4);
	assert_int_equal(c->n_packs, 1);
	assert_int_equal(c->packs[0].cells, 13);
	assert_int_equal(bmsd_conf_load(path, NULL, NULL, &bad, NULL), -EINVAL);
	/* What is known must be right all the same. */
	scratch_text(s->dirfd, "bmsd.conf", "[pack 0]\ndevice=/dev/a\ncells=99\n", 0644);
	assert_int_equal(bmsd_conf_load(path, count_unknown, &n, &bad, NULL), -EINVAL);
}

static void test_a_missing_file(void **state)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = NULL;
	_cleanup_free_ char *error = NULL;

	(void)state;
	assert_int_equal(bmsd_conf_load("/nonexistent/bmsd.conf", NULL, NULL, &c, &error), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/bmsd.conf"));
}

/* The first releases end at a section that they do not know, and may run with this file: a package does
 * not replace what runs, and an upgrade may be rolled back. */
static void test_the_delivered_file_suits_the_first_releases(void **state)
{
	static const char *const sections[] = { "[limits]\n", "[state]\n", "[pack 0]\n" };
	_cleanup_free_ char *text = NULL;
	size_t size = 0, known = 0;

	(void)state;
	assert_int_equal(fs_read_file(AT_FDCWD, "etc/bmsd.conf", 65536, &text, &size), 0);
	for (const char *p = text; (p = strstr(p, "\n[")); known++) {
		p++;
		assert_true(known < ELEMENTSOF(sections));
		assert_int_equal(strncmp(p, sections[known], strlen(sections[known])), 0);
	}
	assert_int_equal(known, ELEMENTSOF(sections));
}

/* What is delivered must be valid, and say the defaults that the program has. */
static void test_the_delivered_file(void **state)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *delivered = NULL, *commented = NULL;
	_cleanup_free_ char *text = NULL, *error = NULL;
	size_t size = 0;

	assert_int_equal(bmsd_conf_load("etc/bmsd.conf", NULL, NULL, &delivered, &error), 0);
	assert_int_equal(delivered->n_packs, 1);
	assert_int_equal(fs_read_file(AT_FDCWD, "etc/bmsd.conf", 65536, &text, &size), 0);
	for (char *p = text; *p; p++)
		if (p[0] == '\n' && p[1] == '#' && (p[2] == '[' || (p[2] >= 'a' && p[2] <= 'z')))
			p[1] = ' ';
	for (char *p = text; (p = strstr(p, "\n ")); p++)
		memmove(p + 1, p + 2, strlen(p + 1));
	assert_int_equal(load(*state, text, &commented, &error), 0);
	assert_int_equal(commented->cell_min_mv, delivered->cell_min_mv);
	assert_int_equal(commented->cell_max_mv, delivered->cell_max_mv);
	assert_int_equal(commented->current_max_ma, delivered->current_max_ma);
	assert_int_equal(commented->update_current_max_ma, delivered->update_current_max_ma);
	assert_int_equal(commented->stale_msec, delivered->stale_msec);
	assert_int_equal(commented->save_interval_sec, delivered->save_interval_sec);
	assert_string_equal(commented->state_dir, delivered->state_dir);
	assert_string_equal(commented->packs[0].name, delivered->packs[0].name);
	assert_string_equal(commented->packs[0].driver, delivered->packs[0].driver);
	assert_int_equal(commented->packs[0].baud_rate, delivered->packs[0].baud_rate);
	assert_int_equal(commented->packs[0].poll_interval_msec,
			 delivered->packs[0].poll_interval_msec);
	assert_int_equal(commented->packs[0].timeout_msec, delivered->packs[0].timeout_msec);
	assert_int_equal(commented->packs[0].cells, delivered->packs[0].cells);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_defaults),
		TEST(test_packs_are_sorted_without_gaps),
		TEST(test_no_pack_is_allowed),
		TEST(test_errors_say_what_is_wrong),
		TEST(test_a_missing_file),
		TEST(test_the_delivered_file),
		TEST(test_the_delivered_file_suits_the_first_releases),
		TEST(test_presets_and_what_is_said_otherwise),
		TEST(test_a_newer_file_is_read_as_far_as_it_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
