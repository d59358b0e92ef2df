/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include "bmsd/driver.h"

struct attribute {
	const char *name, *value;
};

struct gauge {
	struct link_errors errors;
	struct sample sample;
};

static void put(void **state, const char *name, const char *value)
{
	const struct scratch *s = *state;

	scratch_write(s->dirfd, name, value, strlen(value), 0644);
}

static enum driver_step poll_gauge(void **state, struct gauge *ret)
{
	const struct scratch *s = *state;
	void *driver = calloc(1, driver_power_supply.state_bytes);
	enum driver_step step;
	int r;

	assert_non_null(driver);
	*ret = (struct gauge){};
	driver_power_supply.init(driver);
	assert_int_equal(driver_power_supply.commit(driver, &ret->sample), -ENODATA);
	step = driver_power_supply.read_directory(driver, s->dirfd, &ret->errors);
	r = driver_power_supply.commit(driver, &ret->sample);
	assert_int_equal(r, step == DRIVER_DONE ? 0 : -ENODATA);
	free(driver);
	return step;
}

static void test_a_gauge_that_knows_everything(void **state)
{
	static const struct attribute attributes[] = {
		{ "type", "Battery\n" },
		{ "present", "1\n" },
		{ "status", "Discharging\n" },
		{ "health", "Good\n" },
		{ "technology", "Li-ion\n" },
		{ "voltage_now", "51500000\n" },
		{ "current_now", "-12345678\n" },
		{ "charge_now", "30000000\n" },
		{ "charge_full", "38000000\n" },
		{ "charge_full_design", "40000000\n" },
		{ "capacity", "79\n" },
		{ "cycle_count", "117\n" },
		{ "temp", "-15\n" },
		{ "manufacturer", "ACME\n" },
		{ "model_name", "Gauge 9000\n" },
		{ "serial_number", "  0042 \n" },
		{ "manufacture_year", "2021\n" },
		{ "manufacture_month", "8\n" },
		{ "manufacture_day", "1\n" },
	};
	const struct sample_limits limits = { 1000000, 5000000, 100000000, 14 };
	char reason[SAMPLE_REASON_BYTES] = "";
	struct gauge g;

	for (size_t i = 0; i < ELEMENTSOF(attributes); i++)
		put(state, attributes[i].name, attributes[i].value);
	assert_int_equal(poll_gauge(state, &g), DRIVER_DONE);
	assert_int_equal(g.sample.valid,
			 1u << SAMPLE_VOLTAGE | 1u << SAMPLE_CURRENT | 1u << SAMPLE_CHARGE |
				 1u << SAMPLE_CHARGE_FULL | 1u << SAMPLE_CHARGE_FULL_DESIGN |
				 1u << SAMPLE_CAPACITY | 1u << SAMPLE_CYCLES |
				 1u << SAMPLE_TEMPERATURES | 1u << SAMPLE_PROTECTIONS);
	assert_int_equal(g.sample.voltage_uv, 51500000);
	assert_int_equal(g.sample.current_ua, -12345678);
	assert_int_equal(g.sample.charge_uah, 30000000);
	assert_int_equal(g.sample.charge_full_uah, 38000000);
	assert_int_equal(g.sample.charge_full_design_uah, 40000000);
	assert_int_equal(g.sample.capacity_percent, 79);
	assert_int_equal(g.sample.cycles, 117);
	assert_int_equal(g.sample.n_temperatures, 1);
	assert_int_equal(g.sample.temperatures_decicelsius[0], -15);
	assert_int_equal(g.sample.warnings, 0);
	assert_string_equal(g.sample.model, "ACME Gauge 9000");
	assert_string_equal(g.sample.serial, "  0042");
	assert_string_equal(g.sample.manufactured, "2021-08-01");
	assert_int_equal(sample_check(&g.sample, &limits, reason), 0);
	for (size_t i = 0; i < LINK_ERROR_COUNT; i++)
		assert_int_equal(g.errors.n[i], 0);
}

static void test_a_gauge_that_knows_little(void **state)
{
	const struct sample_limits limits = { 1000000, 5000000, 100000000, 0 };
	char reason[SAMPLE_REASON_BYTES] = "";
	struct gauge g;

	put(state, "capacity", "42");
	assert_int_equal(poll_gauge(state, &g), DRIVER_DONE);
	assert_int_equal(g.sample.valid, 1u << SAMPLE_CAPACITY);
	assert_int_equal(g.sample.capacity_percent, 42);
	assert_string_equal(g.sample.model, "");
	assert_int_equal(sample_check(&g.sample, &limits, reason), 0);
}

static void test_a_gauge_that_knows_nothing_is_refused_by_the_gates(void **state)
{
	const struct sample_limits limits = { 1000000, 5000000, 100000000, 0 };
	char reason[SAMPLE_REASON_BYTES] = "";
	struct gauge g;

	put(state, "type", "Battery\n");
	assert_int_equal(poll_gauge(state, &g), DRIVER_DONE);
	assert_int_equal(g.sample.valid, 0);
	assert_int_equal(g.sample.capacity_percent, -1);
	assert_int_equal(sample_check(&g.sample, &limits, reason), -ERANGE);
}

/* What is left of one that was unplugged. */
static void test_an_empty_directory_is_no_gauge(void **state)
{
	struct gauge g;

	assert_int_equal(poll_gauge(state, &g), DRIVER_FAILED);
	assert_int_equal(g.errors.n[LINK_ERROR_IO], 1);
}

static void test_garbage_is_unknown(void **state)
{
	static const char *const values[] = {
		"",
		"\n",
		"abc",
		"12abc",
		"1.5",
		"0x10",
		"+5",
		" 5",
		"\t5",
		"1e3",
		"--1",
		"-",
		"99999999999999999999",
		"1000000000001",
		"-1000000000001",
		"5 5",
		"Unknown",
		"\xff\xfe",
		NULL,
	};
	struct gauge g;

	put(state, "capacity", "42\n");
	for (size_t i = 0; values[i]; i++) {
		put(state, "voltage_now", values[i]);
		put(state, "temp", values[i]);
		put(state, "cycle_count", values[i]);
		assert_int_equal(poll_gauge(state, &g), DRIVER_DONE);
		assert_int_equal(g.sample.valid, 1u << SAMPLE_CAPACITY);
		assert_int_equal(g.sample.voltage_uv, 0);
		assert_int_equal(g.sample.n_temperatures, 0);
		assert_int_equal(g.errors.n[LINK_ERROR_MALFORMED], i < 2 ? 0 : 3);
	}
	put(state, "cycle_count", "-1\n");
	put(state, "capacity", "101\n");
	assert_int_equal(poll_gauge(state, &g), DRIVER_DONE);
	assert_false(sample_has(&g.sample, SAMPLE_CYCLES));
	/* What cannot be is not hidden from the gates. */
	assert_int_equal(g.sample.capacity_percent, 101);
	put(state, "capacity", "-3\n");
	assert_int_equal(poll_gauge(state, &g), DRIVER_DONE);
	assert_true(g.sample.capacity_percent > 100);
}

static void test_charges_that_cannot_be(void **state)
{
	static const char *const names[] = { "charge_now", "charge_full", "charge_full_design" };
	struct gauge g;

	put(state, "voltage_now", "12000000\n");
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		put(state, names[i], i % 2 ? "-1\n" : "10000000001\n");
	assert_int_equal(poll_gauge(state, &g), DRIVER_DONE);
	assert_int_equal(g.sample.valid, 1u << SAMPLE_VOLTAGE);
	assert_int_equal(g.errors.n[LINK_ERROR_MALFORMED], 3);
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		put(state, names[i], i % 2 ? "0\n" : "10000000000\n");
	assert_int_equal(poll_gauge(state, &g), DRIVER_DONE);
	assert_int_equal(g.sample.charge_uah, INT64_C(10000000000));
	assert_int_equal(g.errors.n[LINK_ERROR_MALFORMED], 0);
}

static void test_long_values_and_odd_names(void **state)
{
	char text[4096];
	struct gauge g;

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	put(state, "model_name", text);
	put(state, "manufacturer", "A\x1b[0mB\xc3\xa4\n");
	put(state, "serial_number", text);
	put(state, "manufacture_year", "2021");
	put(state, "manufacture_month", "13");
	put(state, "manufacture_day", "1");
	memset(text, '1', 200);
	text[200] = '\0';
	put(state, "voltage_now", text);
	assert_int_equal(poll_gauge(state, &g), DRIVER_DONE);
	assert_int_equal(strlen(g.sample.model), SAMPLE_MODEL_BYTES - 1);
	assert_memory_equal(g.sample.model, "A[0mB xxx", 9);
	assert_int_equal(strlen(g.sample.serial), SAMPLE_SERIAL_BYTES - 1);
	assert_string_equal(g.sample.manufactured, "");
	assert_false(sample_has(&g.sample, SAMPLE_VOLTAGE));
}

static void test_the_sign_is_that_of_the_status(void **state)
{
	static const struct {
		const char *status, *current;
		int64_t expected;
	} table[] = {
		{ "Charging", "500000", 500000 },
		{ "Discharging", "-500000", -500000 },
		/* Gauges that always say a magnitude. */
		{ "Discharging", "500000", -500000 },
		{ "Charging", "-500000", 500000 },
		{ "Full", "-500000", -500000 },
		{ "Not charging", "1000", 1000 },
		{ "Unknown", "-1000", -1000 },
		{ "", "-1000", -1000 },
		{ "charging", "-1000", -1000 },
	};
	struct gauge g;

	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		put(state, "status", table[i].status);
		put(state, "current_now", table[i].current);
		assert_int_equal(poll_gauge(state, &g), DRIVER_DONE);
		assert_int_equal(g.sample.current_ua, table[i].expected);
	}
	put(state, "current_now", "nonsense");
	put(state, "status", "Discharging");
	assert_int_equal(poll_gauge(state, &g), DRIVER_DONE);
	assert_false(sample_has(&g.sample, SAMPLE_CURRENT));
}

static void test_health_is_a_warning(void **state)
{
	static const struct {
		const char *health;
		int warning; /* -1: none */
		bool known;
	} table[] = {
		{ "Good", -1, true },
		{ "Unknown", -1, false },
		{ "", -1, false },
		{ "Over voltage", PROTECTION_PACK_OVERVOLTAGE, true },
		{ "Over current", PROTECTION_DISCHARGE_OVERCURRENT, true },
		{ "Overheat", PROTECTION_DISCHARGE_OVERTEMPERATURE, true },
		{ "Cold", PROTECTION_CHARGE_UNDERTEMPERATURE, true },
		{ "Dead", PROTECTION_OTHER, true },
		{ "Unspecified failure", PROTECTION_OTHER, true },
	};
	struct gauge g;

	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		put(state, "health", table[i].health);
		assert_int_equal(poll_gauge(state, &g), DRIVER_DONE);
		assert_int_equal(sample_has(&g.sample, SAMPLE_PROTECTIONS), table[i].known);
		assert_int_equal(g.sample.warnings,
				 table[i].warning < 0 ? 0 : 1u << table[i].warning);
		assert_int_equal(g.sample.protections, 0);
	}
}

static void test_what_is_no_battery(void **state)
{
	struct gauge g;

	put(state, "capacity", "42\n");
	put(state, "present", "0\n");
	assert_int_equal(poll_gauge(state, &g), DRIVER_FAILED);
	put(state, "present", "1\n");
	assert_int_equal(poll_gauge(state, &g), DRIVER_DONE);
	put(state, "type", "Mains\n");
	assert_int_equal(poll_gauge(state, &g), DRIVER_FAILED);
	put(state, "type", "Battery\n");
	assert_int_equal(poll_gauge(state, &g), DRIVER_DONE);
}

static void test_a_gauge_that_breaks_off_gives_no_half_sample(void **state)
{
	const struct scratch *s = *state;
	struct gauge g;

	put(state, "voltage_now", "12000000\n");
	/* What is read gives EISDIR: no word for "I do not have that". */
	assert_int_equal(mkdirat(s->dirfd, "temp", 0755), 0);
	assert_int_equal(poll_gauge(state, &g), DRIVER_FAILED);
	assert_int_equal(g.errors.n[LINK_ERROR_IO], 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_gauge_that_knows_everything),
		TEST(test_a_gauge_that_knows_little),
		TEST(test_a_gauge_that_knows_nothing_is_refused_by_the_gates),
		TEST(test_an_empty_directory_is_no_gauge),
		TEST(test_garbage_is_unknown),
		TEST(test_charges_that_cannot_be),
		TEST(test_long_values_and_odd_names),
		TEST(test_the_sign_is_that_of_the_status),
		TEST(test_health_is_a_warning),
		TEST(test_what_is_no_battery),
		TEST(test_a_gauge_that_breaks_off_gives_no_half_sample),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
