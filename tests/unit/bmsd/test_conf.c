/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include "bmsd/conf.h"

static int load(const struct scratch *s, const char *text, struct bmsd_conf **ret, char **ret_error)
{
	char path[128];

	scratch_text(s->dirfd, "bmsd.conf", text, 0644);
	(void)snprintf(path, sizeof path, "%s/bmsd.conf", s->path);
	return bmsd_conf_load(path, ret, ret_error);
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

/* ---- as the daemon reads it ---- */

static struct bmsd_conf *load_tolerant(const struct scratch *s, const void *bytes, size_t size)
{
	struct bmsd_conf *c = NULL;
	char path[128];

	scratch_write(s->dirfd, "bmsd.conf", bytes, size, 0644);
	(void)snprintf(path, sizeof path, "%s/bmsd.conf", s->path);
	assert_int_equal(bmsd_conf_load_tolerant(path, &c), 0);
	assert_int_equal(c->read_error, 0);
	return c;
}

static struct bmsd_conf *tolerate(const struct scratch *s, const char *text)
{
	return load_tolerant(s, text, strlen(text));
}

static const char *reason_of(const struct bmsd_conf *c, int pack)
{
	for (size_t i = 0; i < c->n_refused; i++)
		if (c->refused[i].pack == pack)
			return c->refused[i].text;
	return NULL;
}

/* As after a roll back: the file is of a newer bmsd. */
static void test_a_newer_file_is_read_as_far_as_it_is_known(void **state)
{
	static const char text[] = "[future]\na=1\nb=2\n[pack 0]\ndevice=/dev/a\nflux=7\n"
				   "cells=13\n[pack 42]\ndevice=/dev/b\n[alarm later]\nset_mv=1\n";
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = tolerate(*state, text), *bad = NULL;

	assert_int_equal(c->n_refused, 4);
	assert_int_equal(c->n_refused_more, 0);
	for (size_t i = 0; i < c->n_refused; i++) {
		assert_int_equal(c->refused[i].pack, -1);
		assert_non_null(strstr(c->refused[i].text, "; left out"));
		assert_non_null(strstr(c->refused[i].text, "bmsd.conf:"));
	}
	assert_non_null(strstr(c->refused[0].text, "bmsd.conf:1: [future]: unknown section"));
	assert_int_equal(c->n_packs, 1);
	assert_int_equal(c->packs[0].cells, 13);
	assert_false(bmsd_conf_has_lost_all(c));
	assert_int_equal(load(*state, text, &bad, NULL), -EINVAL);
}

/* What only says how bmsd goes about it: the default holds, and the packs are served. */
static void test_defaults_hold_for_what_is_not_taken(void **state)
{
	static const char *const lines[] = {
		"[limits]\ncell_min_mv=99\n",
		"[limits]\ncell_min_mv=4000\ncell_max_mv=3000\n",
		"[limits]\nstale_msec=600001\n",
		"[limits]\nstale_msec=4000\nstale_msec=9000\n[pack 0]\n",
		"[limits]\nstale_msec\n",
		"[limits]\nupdate_current_max_ma=5A\n",
		"[state]\ndir=relative\n",
		"[state]\ndir=\n",
		"[state]\nsave_interval_sec=4\n",
		"[events]\nmax_kib=1\n",
		"[fet]\nallowed=by-app\n",
		"[fet]\nopen_max_ma=5001\n",
		"[capture]\ndir=x\n",
		"[metrics]\nsocket=/run/" X32 X32 X32 "xxxxxxx\n",
		"[alarms]\nload_factor_percent=99\n",
		"[alarm cell-overvoltage]\nlevel=page\n",
		"[alarm cell-overvoltage]\nset_mv=9000\n",
		"[alarm cell-overvoltage]\nset_ma=5\n",
		"[alarm cell-overvoltage]\nset_mv=4000\nclear_mv=4100\n",
		"[alarm board-protection]\nset_mv=1\n",
		"[pack 0]\npoll_interval_msec=99\n",
		"[pack 0]\npoll_interval_msec=3000\n",
		"[pack 0]\ntimeout_msec=9999\n",
		"[pack 0]\nocv_table=newer\n",
		"[pack 0]\nocv_verified=surely\n",
		"[pack 0]\nrest_sec=1\n",
	};
	static const char packs[] = "[pack 0]\ndevice=/dev/a\n[pack 3]\ndevice=/dev/b\n"
				    "chemistry=lfp\n";
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *good = tolerate(*state, packs);
	char text[512];

	assert_int_equal(good->n_refused, 0);
	for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
		_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = NULL, *bad = NULL;

		(void)snprintf(text, sizeof text, "%s%s", lines[i], packs);
		assert_int_equal(load(*state, text, &bad, NULL), -EINVAL);
		c = tolerate(*state, text);
		if (c->n_packs != 2 || c->n_refused == 0 || reason_of(c, 0) || reason_of(c, 3))
			fail_msg("%s: %zu packs: %s", lines[i], c->n_packs, c->refused[0].text);
		assert_int_equal(c->cell_min_mv, 1000);
		assert_int_equal(c->cell_max_mv, 5000);
		assert_true(c->stale_msec == 5000 || c->stale_msec == 4000);
		assert_int_equal(c->update_current_max_ma, 1000);
		assert_string_equal(c->state_dir, "/var/lib/bmsd");
		assert_int_equal(c->save_interval_sec, 60);
		assert_int_equal(c->events.max_bytes, 1 << 20);
		assert_memory_equal(&c->fet, &good->fet, sizeof c->fet);
		assert_null(c->capture_dir);
		assert_null(c->metrics_socket);
		assert_true(c->packs[0].poll_interval_msec == 1000 ||
			    c->packs[0].poll_interval_msec == 2500);
		assert_int_equal(c->packs[0].timeout_msec, 500);
		for (size_t n = 0; n < 2; n++) {
			assert_memory_equal(&c->packs[n].estimator, &good->packs[n].estimator,
					    sizeof c->packs[n].estimator);
			assert_memory_equal(&c->packs[n].alarms, &good->packs[n].alarms,
					    sizeof c->packs[n].alarms);
		}
	}
}

/* Of the alarm whose values do not fit this pack, and of no other. */
static void test_an_alarm_that_does_not_fit_goes_by_its_preset(void **state)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = tolerate(
		*state, "[alarm cell-overvoltage]\nclear_mv=3900\nset_delay_msec=7\n"
			"[alarm no-data]\nenabled=no\n"
			"[pack 0]\ndevice=/dev/a\n[pack 1]\ndevice=/dev/b\n"
			"chemistry=lfp\n");
	const struct alarm_rule *nmc = &c->packs[0].alarms.rules[ALARM_CELL_OVERVOLTAGE];
	const struct alarm_rule *lfp = &c->packs[1].alarms.rules[ALARM_CELL_OVERVOLTAGE];

	assert_int_equal(c->n_packs, 2);
	assert_int_equal(nmc->clear, 3900000);
	assert_int_equal(nmc->set_delay_msec, 7);
	assert_true(lfp->clear < lfp->set && lfp->clear < 3900000);
	assert_int_not_equal(lfp->set_delay_msec, 7);
	assert_int_equal(c->n_refused, 1);
	assert_non_null(strstr(c->refused[0].text, "[pack 1]: alarm cell-overvoltage"));
	assert_false(c->packs[1].alarms.rules[ALARM_NO_DATA].enabled);
}

/* What says which pack it is has no substitute: the pack is left out, and the other one is served. */
static void test_packs_without_a_substitute_are_left_out(void **state)
{
	static const struct {
		const char *lines, *expected;
	} table[] = {
		{ "driver=canbus\n", "driver = canbus: must be one of" },
		{ "driver=\n", "driver" },
		{ "baud=250000\n", "baud = 250000" },
		{ "cells=96\n", "cells = 96: must be between 0 and 32" },
		{ "cells=12\ncells=13\n", "given twice" },
		{ "chemistry=lto\n", "chemistry = lto" },
		{ "capacity_mah=1\n", "capacity_mah" },
		{ "charge_max_ma=9999999\n", "charge_max_ma" },
		{ "discharge_max_ma=lots\n", "discharge_max_ma" },
		{ "cell_charge_max_mv=5001\n", "cell_charge_max_mv" },
		{ "cell_full_mv=9\n", "cell_full_mv" },
		{ "cell_empty_mv=9\n", "cell_empty_mv" },
		{ "cell_full_mv=3000\ncell_empty_mv=3000\n", "cell_full_mv" },
		{ "name=../x\n", "name is not a file name" },
		{ "name=\n", "may not be empty" },
		{ "device=can:can0\n", "device" },
		{ "device=\n", "device is missing" },
		{ "device=/dev/other\n", "same as of [pack 0]" },
		{ "cells 13\n", "neither a [section]" },
		{ "cells=13\x01\n", "a control character" },
		{ " cells=13\n", "white space" },
		{ "cells=13 # in series\n", "a comment" },
	};
	char text[256];

	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = NULL, *bad = NULL;
		bool has_device = strncmp(table[i].lines, "device", 6) == 0;

		(void)snprintf(text, sizeof text, "[pack 0]\ndevice=/dev/other\n[pack 5]\n%s%s",
			       has_device ? "" : "device=/dev/b\n", table[i].lines);
		assert_int_equal(load(*state, text, &bad, NULL), -EINVAL);
		c = tolerate(*state, text);
		if (c->n_packs != 1 || !reason_of(c, 5) ||
		    !strstr(reason_of(c, 5), table[i].expected))
			fail_msg("%s: %zu packs, %s", table[i].lines, c->n_packs, reason_of(c, 5));
		assert_int_equal(strncmp(reason_of(c, 5), "[pack 5] is left out: ", 22), 0);
		assert_int_equal(c->packs[0].number, 0);
		assert_false(bmsd_conf_has_lost_all(c));
	}
}

/* The one before it that cannot be served holds no device. */
static void test_a_pack_that_is_left_out_takes_nothing_from_others(void **state)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = tolerate(
		*state, "[pack 0]\ndevice=/dev/a\ndriver=x\nbaud=y\n"
			"[pack 1]\ndevice=/dev/a\nname=0\n");

	assert_int_equal(c->n_packs, 1);
	assert_int_equal(c->packs[0].number, 1);
	assert_int_equal(c->n_refused, 2);
	assert_non_null(strstr(reason_of(c, 0), "driver = x"));
	assert_non_null(strstr(reason_of(c, -1), "baud = y"));
}

static void test_all_packs_may_be_left_out(void **state)
{
	char text[4096] = "[limits]\n", line[64];
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = NULL, *empty = NULL;

	for (int i = 0; i < 40; i++) {
		(void)snprintf(line, sizeof line, "newer%d=1\n", i);
		(void)strcat(text, line);
	}
	for (int i = 0; i < BMSD_MAX_PACKS; i++) {
		(void)snprintf(line, sizeof line, "[pack %d]\ndevice=/dev/a\ndriver=x%d\n", i, i);
		(void)strcat(text, line);
	}
	c = tolerate(*state, text);
	assert_int_equal(c->n_packs, 0);
	assert_true(bmsd_conf_has_lost_all(c));
	/* Each pack has its place, however much else there is. */
	for (int i = 0; i < BMSD_MAX_PACKS; i++)
		assert_non_null(reason_of(c, i));
	assert_int_equal(c->n_refused, BMSD_CONF_REFUSALS);
	assert_int_equal(c->n_refused + c->n_refused_more, 40 + BMSD_MAX_PACKS);
	/* None was meant. */
	empty = tolerate(*state, "# nothing yet\n");
	assert_false(bmsd_conf_has_lost_all(empty));
}

/* Half of it lost in a power cut, or no file of ours at all. */
static void test_any_bytes_leave_a_configuration(void **state)
{
	static const char zeros[] = "[pack 0]\ndevice=/dev/a\n[pack 1]\ndevice=/dev/b\nce\0\0\0\0";
	static const char elf[] = "\x7f"
				  "ELF\2\1\1\0\n[pack 0]\xff\ndevice=/dev/a\n";
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *cut = load_tolerant(*state, zeros,
									 sizeof zeros - 1);
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *other = load_tolerant(*state, elf,
									   sizeof elf - 1);

	assert_int_equal(cut->n_packs, 1);
	assert_int_equal(cut->packs[0].number, 0);
	assert_non_null(strstr(reason_of(cut, 1), "a control character"));
	assert_int_equal(other->n_packs, 0);
	assert_true(bmsd_conf_has_lost_all(other));
}

/* It goes to the bus, which takes UTF-8 alone, and to terminals. */
static void test_what_is_told_is_printable(void **state)
{
	char text[1200] = "[pack 0]\ndevice=/dev/a\nflux\xff\xc3=1\nchemistry=";
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = NULL;

	memset(text + strlen(text), 0xe9, 900);
	c = tolerate(*state, text);
	assert_int_equal(c->n_refused, 2);
	for (size_t i = 0; i < c->n_refused; i++) {
		assert_true(strlen(c->refused[i].text) < BMSD_CONF_REFUSAL_BYTES);
		for (const char *at = c->refused[i].text; *at; at++)
			assert_true(*at >= ' ' && *at <= '~');
	}
	assert_non_null(strstr(reason_of(c, -1), "; left out"));
}

static void test_no_file_leaves_the_defaults(void **state)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = NULL, *d = NULL;
	const struct scratch *s = *state;

	assert_int_equal(bmsd_conf_load_tolerant("/nonexistent/bmsd.conf", &c), 0);
	assert_int_equal(c->read_error, -ENOENT);
	assert_int_equal(c->n_packs, 0);
	assert_true(bmsd_conf_has_lost_all(c));
	assert_non_null(
		strstr(c->refused[0].text, "/nonexistent/bmsd.conf: No such file or directory"));
	assert_string_equal(c->state_dir, "/var/lib/bmsd");
	assert_int_equal(bmsd_conf_load_tolerant(s->path, &d), 0);
	assert_int_equal(d->read_error, -EISDIR);
}

static void test_a_missing_file(void **state)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = NULL;
	_cleanup_free_ char *error = NULL;

	(void)state;
	assert_int_equal(bmsd_conf_load("/nonexistent/bmsd.conf", &c, &error), -ENOENT);
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

	assert_int_equal(bmsd_conf_load("etc/bmsd.conf", &delivered, &error), 0);
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
		TEST(test_defaults_hold_for_what_is_not_taken),
		TEST(test_an_alarm_that_does_not_fit_goes_by_its_preset),
		TEST(test_packs_without_a_substitute_are_left_out),
		TEST(test_a_pack_that_is_left_out_takes_nothing_from_others),
		TEST(test_all_packs_may_be_left_out),
		TEST(test_any_bytes_leave_a_configuration),
		TEST(test_what_is_told_is_printable),
		TEST(test_no_file_leaves_the_defaults),
		TEST(test_a_missing_file),
		TEST(test_the_delivered_file),
		TEST(test_the_delivered_file_suits_the_first_releases),
		TEST(test_presets_and_what_is_said_otherwise),
		TEST(test_a_newer_file_is_read_as_far_as_it_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
