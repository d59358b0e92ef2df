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

static void test_a_missing_file(void **state)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *c = NULL;
	_cleanup_free_ char *error = NULL;

	(void)state;
	assert_int_equal(bmsd_conf_load("/nonexistent/bmsd.conf", &c, &error), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/bmsd.conf"));
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
		if (p[0] == '\n' && p[1] == '#' && p[2] >= 'a' && p[2] <= 'z')
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
		TEST(test_defaults),	       TEST(test_packs_are_sorted_without_gaps),
		TEST(test_no_pack_is_allowed), TEST(test_errors_say_what_is_wrong),
		TEST(test_a_missing_file),     TEST(test_the_delivered_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
