/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated pack against what can be calculated by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "bmsd/plant.h"
#include "bmsd/simload.h"
#include "common/cleanup.h"

#define US06 "tests/data/us06-current-profile.csv"

/* The same voltage everywhere, so that only resistances show. */
static const struct plant_point flat_points[] = { { 0, 3600 }, { 100, 3600 } };
static const struct plant_table flat = { "flat", 4200, 2900, 0, 2, flat_points };
/* A millivolt for each hundredth of a percent. */
static const struct plant_point straight_points[] = { { 0, 3000 }, { 50, 3500 }, { 100, 4000 } };
static const struct plant_table straight = { "straight", 4000, 3000, 0, 3, straight_points };
static const struct plant_table leaning = { "leaning", 4000, 3000, 10, 3, straight_points };

static struct plant_settings settings_of(const struct plant_table *table)
{
	return (struct plant_settings){
		.table = table,
		.cells = 4,
		.capacity_ah = 40,
		.soc = 0.5,
		.ambient_c = 25,
		.seed = 7,
		.dcir_ohm = 0.01,
	};
}

static struct plant *make(const struct plant_settings *s)
{
	struct plant *p = NULL;

	assert_int_equal(plant_new(s, &p), 0);
	return p;
}

static struct plant_truth look(const struct plant *p)
{
	struct plant_truth t;

	plant_look(p, &t);
	return t;
}

static void about(double got, double want, double tolerance)
{
	if (fabs(got - want) > tolerance)
		fail_msg("%.9g is not %.9g +- %.2g", got, want, tolerance);
}

static void test_step_response(void **state)
{
	struct plant_settings s = settings_of(&flat);
	_cleanup_(plant_freep) struct plant *p = NULL;

	(void)state;
	s.capacity_ah = 1e5; /* so that the state of charge stays, and R with it */
	s.mass_kg = 1e6;
	p = make(&s);
	for (unsigned second = 1; second <= 120; second++) {
		double part = 0.4 + 0.6 * (1 - exp(-(double)second / 30));

		plant_advance(p, -20, 1);
		about(look(p).cells_volt[0], 3.6 - 20 * 0.01 * part, 1e-4);
		about(look(p).voltage_volt, 4 * look(p).cells_volt[0], 1e-9);
	}
	/* Without current R0's part is gone at once, the other by and by. */
	plant_advance(p, 0, 30);
	about(look(p).cells_volt[0], 3.6 - 20 * 0.006 * (1 - exp(-4.0)) * exp(-1.0), 1e-4);
}

static void test_time_in_any_pieces(void **state)
{
	struct plant_settings s = settings_of(&straight);
	_cleanup_(plant_freep) struct plant *a = NULL, *b = NULL;

	(void)state;
	a = make(&s);
	b = make(&s);
	plant_advance(a, -30, 600);
	for (unsigned i = 0; i < 2400; i++)
		plant_advance(b, -30, 0.25);
	about(look(a).time_sec, 600, 1e-9);
	about(look(b).time_sec, 600, 1e-9);
	about(look(a).charge_ah, look(b).charge_ah, 1e-9);
	about(look(a).voltage_volt, look(b).voltage_volt, 1e-3);
	about(look(a).temperature_c, look(b).temperature_c, 5e-3);
}

static void test_charge_is_kept(void **state)
{
	struct plant_settings s = settings_of(&straight);
	_cleanup_(plant_freep) struct plant *p = NULL;

	(void)state;
	p = make(&s);
	about(look(p).charge_ah, 20, 1e-9);
	about(look(p).capacity_ah, 40, 1e-9);
	plant_advance(p, -10, 3600);
	about(look(p).charge_ah, 10, 1e-6);
	about(look(p).soc, 0.25, 1e-6);
	plant_advance(p, 16, 1800);
	about(look(p).charge_ah, 18, 1e-6);
	about(look(p).discharged_ah, 10, 1e-6);
	about(look(p).charged_ah, 8, 1e-6);
	assert_true(look(p).discharged_wh > 10 * 4 * 3.0 && look(p).discharged_wh < 10 * 4 * 3.5);
}

static void test_efficiency_of_charging_only(void **state)
{
	struct plant_settings s = settings_of(&straight);
	_cleanup_(plant_freep) struct plant *p = NULL;

	(void)state;
	s.efficiency = 0.9;
	p = make(&s);
	plant_advance(p, 10, 3600);
	about(look(p).charge_ah, 29, 1e-6);
	plant_advance(p, -10, 3600);
	about(look(p).charge_ah, 19, 1e-6);
}

static void test_temperature(void **state)
{
	struct plant_settings s = settings_of(&flat);
	_cleanup_(plant_freep) struct plant *p = NULL;
	double final_k, watt;

	(void)state;
	s.capacity_ah = 1e5;
	s.mass_kg = 1;
	s.cooling_w_per_k = 0.9; /* a time constant of 1000 s */
	s.ambient_c = 25;
	p = make(&s);
	plant_advance(p, -30, 1000);
	/* 4 * 900 A^2 * 10 mOhm, less in the first seconds and with the heat; colder when warm. */
	watt = 4 * 900 * 0.01;
	final_k = watt / 0.9;
	assert_true(look(p).temperature_c - 25 < final_k * (1 - exp(-1.0)));
	assert_true(look(p).temperature_c - 25 > final_k * (1 - exp(-1.0)) * 0.6);
	plant_advance(p, 0, 1000000);
	about(look(p).temperature_c, 25, 1e-3);
	plant_set_ambient(p, -10);
	plant_advance(p, 0, 1000);
	about(look(p).temperature_c, -10 + 35 * exp(-1.0), 0.01);
}

static void test_cold_and_empty_cells_resist(void **state)
{
	struct plant_settings s = settings_of(&flat);
	double at[3];
	const double celsius[] = { 25, 0, 25 }, soc[] = { 0.5, 0.5, 0 };

	(void)state;
	s.capacity_ah = 1e5;
	s.mass_kg = 1e6;
	for (size_t i = 0; i < 3; i++) {
		_cleanup_(plant_freep) struct plant *p = NULL;

		s.ambient_c = celsius[i];
		s.soc = soc[i];
		p = make(&s);
		plant_advance(p, -10, 10000);
		at[i] = (3.6 - look(p).cells_volt[0]) / 10;
	}
	about(at[0], 0.01, 1e-6);
	about(at[1] / at[0], exp(20000 / 8.314 * (1 / 273.15 - 1 / 298.15)), 1e-3);
	about(at[2] / at[0], 1.2, 1e-3);
}

static void test_hysteresis_has_the_sign_of_the_last_current(void **state)
{
	struct plant_settings s = settings_of(&leaning);
	_cleanup_(plant_freep) struct plant *p = NULL;

	(void)state;
	s.capacity_ah = 1e6 - 1;
	p = make(&s);
	about(look(p).cells_volt[0], 3.5, 1e-6);
	plant_advance(p, -1, 1);
	plant_advance(p, 0, 3600);
	about(look(p).cells_volt[0], 3.49, 1e-5);
	plant_advance(p, 0.1, 1); /* too little to turn it */
	plant_advance(p, 0, 3600);
	about(look(p).cells_volt[0], 3.49, 1e-5);
	plant_advance(p, 1, 1);
	plant_advance(p, 0, 3600);
	about(look(p).cells_volt[0], 3.51, 1e-5);
}

static void test_cells_differ(void **state)
{
	struct plant_settings s = settings_of(&straight);
	_cleanup_(plant_freep) struct plant *a = NULL, *b = NULL, *c = NULL;
	struct plant_truth ta, tb;
	double least = 1, most = 0;

	(void)state;
	s.spread = 1;
	s.cells = 32;
	a = make(&s);
	b = make(&s);
	s.seed++;
	c = make(&s);
	ta = look(a);
	tb = look(b);
	assert_memory_equal(&ta, &tb, sizeof ta);
	tb = look(c);
	assert_memory_not_equal(&ta, &tb, sizeof ta);
	for (unsigned i = 0; i < ta.cells; i++) {
		least = fmin(least, ta.cells_soc[i]);
		most = fmax(most, ta.cells_soc[i]);
	}
	assert_true(least >= 0.495 && most <= 0.505 && most - least > 0.004);
	/* A pack of unlike cells holds less than each of them. */
	assert_true(ta.capacity_ah < 40 && ta.capacity_ah > 38.8);
}

static void test_one_cell_can_go_its_way(void **state)
{
	struct plant_settings s = settings_of(&straight);
	_cleanup_(plant_freep) struct plant *p = NULL;

	(void)state;
	p = make(&s);
	plant_drift(p, 2, -0.03);
	plant_drift(p, 99, -1);
	about(look(p).cells_volt[2], 3.47, 1e-9);
	about(look(p).voltage_volt, 4 * 3.5 - 0.03, 1e-9);
	plant_bleed(p, 1u << 1, 0.5);
	plant_advance(p, 0, 3600);
	about(look(p).cells_soc[0], 0.5, 1e-9);
	about(look(p).cells_soc[1], 0.5 - 0.5 / 40, 1e-9);
}

static void test_current_that_holds_a_voltage(void **state)
{
	struct plant_settings s = settings_of(&straight);
	_cleanup_(plant_freep) struct plant *p = NULL;
	double highest = 0, current_a;

	(void)state;
	s.spread = 1;
	s.soc = 0.9;
	p = make(&s);
	current_a = plant_current_at(p, 4.0);
	assert_true(current_a > 0);
	plant_advance(p, current_a, 1e-6);
	for (unsigned i = 0; i < 4; i++)
		highest = fmax(highest, look(p).cells_volt[i]);
	about(highest, 4.0, 1e-4);
}

static void test_sensors(void **state)
{
	struct plant_settings s = settings_of(&straight);
	_cleanup_(plant_freep) struct plant *p = NULL;
	struct plant_sensors exact = {}, coarse = { .pack_lsb_volt = 0.01,
						    .cell_lsb_volt = 0.001,
						    .current_lsb_a = 0.01,
						    .temperature_lsb_c = 0.1,
						    .current_gain_error = 0.01,
						    .current_offset_a = 0.1 };
	struct plant_reading r;

	(void)state;
	s.soc = 0.51234;
	s.ambient_c = 21.26;
	p = make(&s);
	plant_advance(p, -20, 1e-9);
	plant_measure(p, &exact, &r);
	assert_int_equal(r.current_ua, -20000000);
	about((double)r.cells_uv[3], look(p).cells_volt[3] * 1e6, 1);
	assert_int_equal(r.n_cells, 4);
	plant_measure(p, &coarse, &r);
	assert_int_equal(r.current_ua, -20100000);
	assert_int_equal(r.voltage_uv % 10000, 0);
	assert_int_equal(r.cells_uv[0] % 1000, 0);
	assert_int_equal(r.temperature_decicelsius, 213);
}

static void test_noise_has_its_size(void **state)
{
	struct plant_settings s = settings_of(&straight);
	struct plant_sensors noisy = { .current_noise_a = 0.5 };
	_cleanup_(plant_freep) struct plant *p = NULL;
	double sum = 0, squares = 0;
	struct plant_reading r;
	const unsigned n = 20000;

	(void)state;
	p = make(&s);
	for (unsigned i = 0; i < n; i++) {
		plant_measure(p, &noisy, &r);
		sum += (double)r.current_ua / 1e6;
		squares += (double)r.current_ua / 1e6 * (double)r.current_ua / 1e6;
	}
	about(sum / n, 0, 0.02);
	about(sqrt(squares / n), 0.5, 0.02);
}

static void test_tables(void **state)
{
	(void)state;
	for (size_t i = 0; plant_table_names[i]; i++) {
		const struct plant_table *t = plant_table_find(plant_table_names[i]);

		assert_non_null(t);
		about(t->points[0].soc_percent, 0, 0);
		about(t->points[t->n_points - 1].soc_percent, 100, 0);
		for (size_t j = 1; j < t->n_points; j++) {
			assert_true(t->points[j].soc_percent > t->points[j - 1].soc_percent);
			assert_true(t->points[j].mv > t->points[j - 1].mv);
			about(plant_table_volt(t, t->points[j].soc_percent / 100),
			      t->points[j].mv / 1000, 1e-9);
		}
		assert_true(t->empty_mv < t->full_mv);
	}
	assert_null(plant_table_find("NMC"));
	about(plant_table_volt(&straight, 0.25), 3.25, 1e-9);
	about(plant_table_volt(&straight, 1.01), 4.01, 1e-9);
	about(plant_table_volt(&straight, -0.01), 2.99, 1e-9);
	/* What the research has of its example cell, and of another maker's at the same voltage. */
	about(plant_table_volt(plant_table_find("p42a"), 0.43), 3.684, 0.004);
}

static void test_settings_that_no_pack_has(void **state)
{
	struct plant_settings s;
	struct plant *p = NULL;

	(void)state;
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		s = settings_of(&flat);                                                            \
		change;                                                                            \
		assert_int_equal(plant_new(&s, &p), -EINVAL);                                      \
		assert_null(p);                                                                    \
	} while (0)
	REFUSED(s.cells = 0);
	REFUSED(s.cells = 33);
	REFUSED(s.table = NULL);
	REFUSED(s.capacity_ah = 0);
	REFUSED(s.capacity_ah = NAN);
	REFUSED(s.soc = 1.01);
	REFUSED(s.soc = NAN);
	REFUSED(s.efficiency = 1.1);
	REFUSED(s.dcir_ohm = -1);
	REFUSED(s.ambient_c = -300);
}

/* ---- loads ---- */

static void test_drive_cycle(void **state)
{
	_cleanup_(simload_profile_freep) struct simload_profile *us06 = NULL;
	double sum = 0, least = 0, most = 0;

	(void)state;
	assert_int_equal(simload_profile_load(US06, 1, &us06), 0);
	assert_int_equal(us06->n, 601);
	for (size_t i = 0; i < us06->n; i++) {
		sum += us06->current_a[i];
		least = fmin(least, us06->current_a[i]);
		most = fmax(most, us06->current_a[i]);
	}
	about(sum / 3600, -0.1403, 1e-4);
	about(least, -8.1, 1e-9);
	about(most, 4.2071, 1e-9);
}

static int load_text(const char *text, struct simload_profile **ret)
{
	char path[] = "/tmp/test_plant.XXXXXX";
	int fd = mkstemp(path), r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
	r = simload_profile_load(path, 2, ret);
	(void)unlink(path);
	return r;
}

static void test_profiles(void **state)
{
	static const char *const bad[] = {
		"",	  "# nothing\n", "1\n",	    "1,\n",    "1,0\nx,1\n", "1,5\n1,4\n",
		"1,-1\n", "1,1e9\n",	 "nan,0\n", "inf,0\n", "1,0;2\n",    "1,nan\n",
	};
	_cleanup_(simload_profile_freep) struct simload_profile *p = NULL;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_int_equal(load_text(bad[i], &p), -EINVAL);
	assert_null(p);
	assert_int_equal(load_text("# c\ncurrent,s\n1.5,0\n-2,3\r\n", &p), 0);
	assert_int_equal(p->n, 4);
	about(p->current_a[0], -3, 0);
	about(p->current_a[2], -3, 0);
	about(p->current_a[3], 4, 0);
	assert_int_equal(simload_profile_load("/nonexistent", 1, &p), -ENOENT);
}

static void test_a_whole_cycle(void **state)
{
	struct plant_settings s = settings_of(&straight);
	_cleanup_(plant_freep) struct plant *p = NULL;
	struct simload l = { .mode = SIMLOAD_CYCLE, .current_a = -40 };
	double least = 1, most = 0, rested = 0;

	(void)state;
	p = make(&s);
	simload_init(&l, 40);
	for (unsigned i = 0; i < 8 * 3600; i++) {
		double current_a = simload_step(&l, p, s.table, 1);

		plant_advance(p, current_a, 1);
		rested += current_a == 0;
		least = fmin(least, look(p).soc);
		most = fmax(most, look(p).soc);
		assert_true(look(p).cells_volt[0] < s.table->full_mv / 1000 + 0.005);
	}
	about(least, 0.15, 0.001);
	assert_true(most > 0.97 && most <= 1);
	assert_true(rested >= 3600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_step_response),
		cmocka_unit_test(test_time_in_any_pieces),
		cmocka_unit_test(test_charge_is_kept),
		cmocka_unit_test(test_efficiency_of_charging_only),
		cmocka_unit_test(test_temperature),
		cmocka_unit_test(test_cold_and_empty_cells_resist),
		cmocka_unit_test(test_hysteresis_has_the_sign_of_the_last_current),
		cmocka_unit_test(test_cells_differ),
		cmocka_unit_test(test_one_cell_can_go_its_way),
		cmocka_unit_test(test_current_that_holds_a_voltage),
		cmocka_unit_test(test_sensors),
		cmocka_unit_test(test_noise_has_its_size),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_settings_that_no_pack_has),
		cmocka_unit_test(test_drive_cycle),
		cmocka_unit_test(test_profiles),
		cmocka_unit_test(test_a_whole_cycle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
