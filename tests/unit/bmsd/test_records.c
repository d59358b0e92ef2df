/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include "bmsd/records.h"
#include "common/json.h"

#define NOON UINT64_C(1700000040)

struct kept {
	struct scratch *scratch;
	struct events *events;
	struct history *history;
};

static int setup(void **state)
{
	static const struct events_settings settings = { 1 << 20 };
	struct kept *k = calloc(1, sizeof *k);
	bool damaged = false;
	int error = 0;

	assert_non_null(k);
	assert_int_equal(scratch_setup((void **)&k->scratch), 0);
	assert_int_equal(history_open(k->scratch->dirfd, &k->history, &damaged, &error), 0);
	assert_int_equal(events_open(k->scratch->dirfd, &settings,
				     "0123456789abcdef0123456789abcdef", 0, &k->events),
			 0);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kept *k = *state;

	(void)history_free(k->history);
	(void)events_free(k->events);
	assert_int_equal(scratch_teardown((void **)&k->scratch), 0);
	free(k);
	return 0;
}

static cJSON *parse(const char *text)
{
	static const struct json_limits limits = { .max_bytes = 1 << 20 };
	cJSON *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), &limits, &json, NULL), 0);
	return json;
}

static int size_of(const char *text, const char *name)
{
	_cleanup_json_ cJSON *json = parse(text);
	const cJSON *array = NULL;

	assert_int_equal(json_get_array(json, name, &array, NULL), 0);
	return cJSON_GetArraySize(array);
}

static void test_a_page_of_events(void **state)
{
	const struct event_new event = { .kind = EVENT_LINK_UP, .pack = 0, .detail = "a \"b\"" };
	const struct kept *k = *state;
	_cleanup_free_ char *page = NULL, *next = NULL, *last = NULL;

	for (unsigned i = 0; i < RECORDS_MAX_EVENTS + 5; i++)
		assert_true(events_add(k->events, &event, NOON, i) >= 0);
	assert_true(events_sync(k->events) >= 0);
	assert_int_equal(records_events(k->events, 0, 0, &page), 0);
	assert_int_equal(size_of(page, "events"), RECORDS_MAX_EVENTS);
	assert_int_equal(records_events(k->events, RECORDS_MAX_EVENTS, 3, &next), 0);
	assert_int_equal(size_of(next, "events"), 3);
	assert_int_equal(records_events(k->events, RECORDS_MAX_EVENTS + 5, UINT32_MAX, &last), 0);
	assert_string_equal(last, "{\"events\":[]}");
}

static void test_a_page_of_events_of_a_bmsd_that_is_gone(void **state)
{
	const struct event_new event = { .kind = EVENT_STOPPED, .pack = -1 };
	struct kept *k = *state;
	_cleanup_free_ char *page = NULL, *again = NULL, *none = NULL;

	for (unsigned i = 0; i < 10; i++)
		assert_true(events_add(k->events, &event, NOON, i) >= 0);
	assert_true(events_sync(k->events) >= 0);
	assert_int_equal(records_events(k->events, 4, 0, &page), 0);
	k->events = events_free(k->events);
	assert_int_equal(records_events_files(k->scratch->dirfd, 4, 0, &again), 0);
	assert_int_equal(size_of(again, "events"), 6);
	assert_string_equal(again, page);
	assert_int_equal(records_events_files(k->scratch->dirfd, 10, 0, &none), 0);
	assert_string_equal(none, "{\"events\":[]}");
}

static void fill(struct history *h, unsigned minutes)
{
	const struct sample s = { .valid = 1u << SAMPLE_VOLTAGE, .voltage_uv = 50000000 };

	for (unsigned i = 0; i <= minutes; i++)
		assert_true(history_add(h, &s, -1, NOON + 60 * i, 60000 * i) >= 0);
}

static void test_a_page_of_history(void **state)
{
	const struct records_range minutes = { .minutes = true },
				   few = { .minutes = true, .max = 5 };
	const struct records_range seconds = { .from_sec = NOON + 60, .to_sec = NOON + 60 };
	const struct records_range later = { .minutes = true, .from_sec = NOON + 60000 };
	const struct kept *k = *state;
	_cleanup_free_ char *all = NULL, *five = NULL, *one = NULL, *none = NULL;

	fill(k->history, RECORDS_MAX_POINTS + 5);
	assert_int_equal(records_history(k->history, &minutes, &all), 0);
	assert_int_equal(size_of(all, "points"), RECORDS_MAX_POINTS);
	assert_int_equal(size_of(all, "columns"), 2 + 3 * HISTORY_FIELDS);
	assert_non_null(strstr(all, "\"points\":[[1700000040,1,50000000,50000000,50000000,null,"));
	assert_int_equal(records_history(k->history, &few, &five), 0);
	assert_int_equal(size_of(five, "points"), 5);
	assert_int_equal(records_history(k->history, &seconds, &one), 0);
	assert_int_equal(size_of(one, "points"), 1);
	assert_int_equal(records_history(k->history, &later, &none), 0);
	assert_int_equal(size_of(none, "points"), 0);
}

static void test_a_page_of_history_of_a_bmsd_that_is_gone(void **state)
{
	const struct records_range minutes = { .minutes = true, .from_sec = NOON + 120 };
	const struct records_range seconds = {};
	struct kept *k = *state;
	_cleanup_free_ char *page = NULL, *again = NULL, *none = NULL;

	fill(k->history, 10);
	assert_true(history_flush(k->history) >= 0);
	assert_int_equal(records_history(k->history, &minutes, &page), 0);
	k->history = history_free(k->history);
	assert_int_equal(records_history_file(k->scratch->dirfd, &minutes, &again), 0);
	assert_int_equal(size_of(again, "points"), 9);
	assert_string_equal(again, page);
	assert_int_equal(records_history_file(k->scratch->dirfd, &seconds, &none), -EOPNOTSUPP);
	assert_int_equal(unlinkat(k->scratch->dirfd, HISTORY_FILE, 0), 0);
	assert_int_equal(records_history_file(k->scratch->dirfd, &minutes, &none), -ENOENT);
	assert_null(none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_page_of_events),
		TEST(test_a_page_of_events_of_a_bmsd_that_is_gone),
		TEST(test_a_page_of_history),
		TEST(test_a_page_of_history_of_a_bmsd_that_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
