/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bmsd/ocv.h"

#define NEAR(a, b, by) assert_true(fabs((a) - (b)) <= (by))

static void test_tables_ascend(void **state)
{
	(void)state;
	for (size_t n = 0; ocv_names[n]; n++) {
		const struct ocv_table *t = ocv_find(ocv_names[n]);

		assert_non_null(t);
		assert_string_equal(t->name, ocv_names[n]);
		assert_true(t->n_points >= 2);
		NEAR(t->points[0].soc_percent, 0, 0);
		NEAR(t->points[t->n_points - 1].soc_percent, 100, 0);
		for (size_t i = 1; i < t->n_points; i++) {
			assert_true(t->points[i].soc_percent > t->points[i - 1].soc_percent);
			assert_true(t->points[i].mv > t->points[i - 1].mv);
		}
	}
	assert_null(ocv_find("p42b"));
}

/* Between (29.15 %, 3574 mV) and (45.73 %, 3702 mV) of the P42A. */
static void test_reads_between_the_points(void **state)
{
	const struct ocv_table *t = ocv_find("p42a");

	(void)state;
	NEAR(ocv_mv(t, 37.44), 3638, 0.01);
	NEAR(ocv_soc_percent(t, 3638), 37.44, 0.01);
	NEAR(ocv_mv(t, -5), 2506, 0);
	NEAR(ocv_mv(t, 105), 4193, 0);
	NEAR(ocv_soc_percent(t, 2000), 0, 0);
	NEAR(ocv_soc_percent(t, 5000), 100, 0);
}

/* One voltage, three cells. */
static void test_makers_differ(void **state)
{
	(void)state;
	NEAR(ocv_soc_percent(ocv_find("p42a"), 3684), 43.4, 0.1);
	NEAR(ocv_soc_percent(ocv_find("libresolar-nmc"), 3684), 10, 0.1);
}

static void test_interval_is_wide_where_the_curve_is_flat(void **state)
{
	/* 74 mV over 68.61 %: 30 mV are 27.8 %. */
	struct ocv_interval lfp = ocv_invert(ocv_find("apr18650"), 3314, 15);
	/* 128 mV over 16.58 %: 10 mV are 1.3 %. */
	struct ocv_interval nmc = ocv_invert(ocv_find("p42a"), 3638, 5);

	(void)state;
	NEAR(lfp.high_percent - lfp.low_percent, 27.81, 0.05);
	NEAR(nmc.high_percent - nmc.low_percent, 1.295, 0.01);
	NEAR((nmc.high_percent + nmc.low_percent) / 2, 37.44, 0.01);
}

static void test_chemistries_have_names(void **state)
{
	enum chemistry c = CHEMISTRY_NMC;

	(void)state;
	assert_int_equal(chemistry_parse("lfp", &c), 0);
	assert_int_equal(c, CHEMISTRY_LFP);
	assert_int_equal(chemistry_parse("lead", &c), -EINVAL);
	assert_int_equal(c, CHEMISTRY_LFP);
	assert_string_equal(chemistry_name(CHEMISTRY_NMC), "nmc");
	assert_string_equal(chemistry_name(17), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables_ascend),
		cmocka_unit_test(test_reads_between_the_points),
		cmocka_unit_test(test_makers_differ),
		cmocka_unit_test(test_interval_is_wide_where_the_curve_is_flat),
		cmocka_unit_test(test_chemistries_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
