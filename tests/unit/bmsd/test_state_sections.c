/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "scratch.h"

#include "bmsd/state.h"
#include "common/crc32.h"

#define BOOT_ID	 "0123456789abcdef0123456789abcdef"
#define OTHER_ID "ffffffffffffffffffffffffffffffff"
#define DAY_SEC	 UINT64_C(86400)
#define NOON	 (20000 * DAY_SEC)

/* Thousands of damaged files: that each copy is asked for is enough. */
static bool count_only;

int __real_fs_write_file_atomic(int dirfd, const char *name, const void *bytes, size_t size,
				mode_t mode);
int __wrap_fs_write_file_atomic(int dirfd, const char *name, const void *bytes, size_t size,
				mode_t mode);
int __wrap_fs_write_file_atomic(int dirfd, const char *name, const void *bytes, size_t size,
				mode_t mode)
{
	if (count_only)
		return 0;
	return __real_fs_write_file_atomic(dirfd, name, bytes, size, mode);
}

static int teardown(void **state)
{
	count_only = false;
	return scratch_teardown(state);
}

static struct state *open_state(const struct scratch *s)
{
	struct state *state = NULL;

	assert_int_equal(state_open(s->dirfd, "packs/0", &state), 0);
	return state;
}

static struct state_view look(const struct state *s)
{
	struct state_view v;

	state_look(s, &v);
	return v;
}

static void save(struct state *s, uint64_t wall_sec)
{
	struct sample sample = { .valid = UINT32_MAX,
				 .model = "BOARD",
				 .serial = "S1",
				 .capacity_percent = 50,
				 .n_cells = 13 };
	struct state_stamp stamp = { "B202108010001", wall_sec, wall_sec * 1000, BOOT_ID };

	(void)state_note(s, &sample);
	assert_int_equal(state_save(s, &stamp), 1);
}

/* Every member of its own value. */
static struct state_kept everything(uint64_t salt)
{
	struct state_kept k = {
		.estimator = {
			.valid = true,
			.charge_now_uah = 20000000 + salt,
			.margin_centipercent = 311,
			.reference_soc_centipercent = 5001,
			.reference_error_centipercent = 52,
			.reference_error_uah = 1234,
			.charge_counter_uah = -7654321,
			.error_uah = 98765,
			.charge_full_uah = 38000000,
			.charge_full_error_permille = 27,
			.charge_full_learned = 3,
			.charge_full_design_uah = 40000000,
			.discharged_uah = 500000000,
			.offset_ua = -45000,
			.offset_error_ua = 20000,
			.resistance_uohm = 31000,
			.resistance_reference_uohm = 29000,
			.anchor = SOC_ANCHOR_FULL,
			.anchor_age_sec = 77,
			.anchors = { { true, 10000, 50, 4711, 12, false },
				     { true, 0, 100, -4711, 13, true },
				     { false, 0, 0, 0, 0, false } },
			.board_valid = true,
			.board_charge_uah = 21000000,
			.board_cycles = 42,
		},
		.lifetime = {
			.charged_uah = 600000000,
			.discharged_uah = 500000001,
			.charged_uwh = 30000000000,
			.discharged_uwh = 29000000000,
			.watched_sec = 1000000,
			.seen = LIFETIME_SEEN_CELLS | LIFETIME_SEEN_TEMPERATURES |
				LIFETIME_SEEN_CURRENT,
			.cell_min_uv = 3011000,
			.cell_max_uv = 4201000,
			.temperature_min_decicelsius = -51,
			.temperature_max_decicelsius = 493,
			.charge_current_max_ua = 20000000,
			.discharge_current_max_ua = 88000000,
		},
		.protections = 1u << PROTECTION_CELL_OVERVOLTAGE,
		.event_sequence = 4321,
	};

	for (unsigned t = 0; t < LIFETIME_TEMPERATURE_BINS; t++)
		for (unsigned s = 0; s < LIFETIME_SOC_BINS; s++)
			k.lifetime.in_bin_sec[t][s] = t * 100 + s;
	k.alarms.states[ALARM_CELL_OVERVOLTAGE] = (struct alarm_state){ true, true, NOON, 4231000,
									4240000 };
	k.alarms.states[ALARM_UNDERTEMPERATURE] = (struct alarm_state){ true, false, 5, -201,
									-250 };
	k.fet.locks[FET_DISCHARGE] = (struct fet_lock){ true, "in the workshop", NOON, false,
							9000 };
	k.fet.locks[FET_CHARGE] = (struct fet_lock){ true, "theft", 7, true, 0 };
	return k;
}

/* Structs with padding: members that matter, section by section. */
static void assert_kept(const struct state *s, const struct state_kept *want)
{
	const struct state_kept *k = state_kept(s);

	assert_memory_equal(&k->estimator.charge_counter_uah, &want->estimator.charge_counter_uah,
			    offsetof(struct estimator_memory, anchors) -
				    offsetof(struct estimator_memory, charge_counter_uah));
	assert_int_equal(k->estimator.valid, want->estimator.valid);
	assert_int_equal(k->estimator.charge_now_uah, want->estimator.charge_now_uah);
	assert_int_equal(k->estimator.margin_centipercent, want->estimator.margin_centipercent);
	assert_int_equal(k->estimator.reference_error_uah, want->estimator.reference_error_uah);
	for (unsigned i = 0; i < ESTIMATOR_MEMORY_ANCHORS; i++) {
		assert_int_equal(k->estimator.anchors[i].valid, want->estimator.anchors[i].valid);
		assert_int_equal(k->estimator.anchors[i].cold, want->estimator.anchors[i].cold);
		assert_int_equal(k->estimator.anchors[i].counter_uah,
				 want->estimator.anchors[i].counter_uah);
	}
	assert_int_equal(k->estimator.board_charge_uah, want->estimator.board_charge_uah);
	assert_int_equal(k->estimator.board_cycles, want->estimator.board_cycles);
	assert_memory_equal(&k->lifetime, &want->lifetime, offsetof(struct lifetime, seen));
	assert_int_equal(k->lifetime.cell_min_uv, want->lifetime.cell_min_uv);
	assert_int_equal(k->lifetime.temperature_min_decicelsius,
			 want->lifetime.temperature_min_decicelsius);
	assert_int_equal(k->lifetime.discharge_current_max_ua,
			 want->lifetime.discharge_current_max_ua);
	for (unsigned i = 0; i < ALARM_COUNT; i++) {
		assert_int_equal(k->alarms.states[i].set, want->alarms.states[i].set);
		assert_int_equal(k->alarms.states[i].gone, want->alarms.states[i].gone);
		assert_int_equal(k->alarms.states[i].since_sec, want->alarms.states[i].since_sec);
		assert_int_equal(k->alarms.states[i].value, want->alarms.states[i].value);
		assert_int_equal(k->alarms.states[i].extreme, want->alarms.states[i].extreme);
	}
	for (unsigned i = 0; i < FET_COUNT; i++) {
		assert_int_equal(k->fet.locks[i].locked, want->fet.locks[i].locked);
		assert_int_equal(k->fet.locks[i].endless, want->fet.locks[i].endless);
		assert_int_equal(k->fet.locks[i].lease_left_msec,
				 want->fet.locks[i].lease_left_msec);
		assert_string_equal(k->fet.locks[i].reason, want->fet.locks[i].reason);
	}
	assert_int_equal(k->protections, want->protections);
	assert_int_equal(k->event_sequence, want->event_sequence);
}

/* state.a holds everything(0), state.b, newer, everything(1). */
static void fill_both(const struct scratch *scratch)
{
	struct state *s = open_state(scratch);

	for (uint64_t salt = 0; salt < 2; salt++) {
		*state_keep(s) = everything(salt);
		save(s, NOON + salt);
	}
	(void)state_free(s);
}

static char *read_text(const struct scratch *s, const char *name, size_t *ret_size)
{
	char *text = NULL;

	assert_int_equal(fs_read_file(s->dirfd, name, 1 << 20, &text, ret_size), 0);
	return text;
}

static void write_slot(const struct scratch *s, const char *name, const char *json)
{
	char text[8192];

	(void)snprintf(text, sizeof text, "bmsd-state 1 %zu %08" PRIx32 "\n%s\n", strlen(json),
		       crc32_update(0, json, strlen(json)), json);
	scratch_text(s->dirfd, name, text, 0640);
}

static void test_everything_comes_back(void **state)
{
	struct state_kept want = everything(1);
	struct state *s;

	fill_both(*state);
	s = open_state(*state);
	assert_kept(s, &want);
	assert_null(look(s).refused);
	assert_false(look(s).copy_used);
	assert_int_equal(look(s).sequence, 2);
	assert_int_equal(look(s).soc_restored_centipercent, 5263);
	/* What is over is taken out again. */
	state_keep(s)->alarms = (struct alarms_memory){};
	state_keep(s)->fet = (struct fet_memory){};
	save(s, NOON + 2);
	(void)state_free(s);
	s = open_state(*state);
	want.alarms = (struct alarms_memory){};
	want.fet = (struct fet_memory){};
	assert_kept(s, &want);
	(void)state_free(s);
}

/* One damaged slot of the full schema: the other one, whole. */
static void hold_against_the_other(const struct scratch *scratch, const struct state_kept *want)
{
	struct state *s = open_state(scratch);

	assert_int_equal(look(s).damaged, 1);
	assert_true(look(s).restored);
	assert_kept(s, want);
	(void)state_free(s);
}

static void damage_every_byte(const struct scratch *scratch, const char *slot,
			      const struct state_kept *want)
{
	_cleanup_free_ char *good = NULL;
	size_t size = 0;

	good = read_text(scratch, slot, &size);
	assert_true(size > 1500);
	for (size_t at = 0; at < size; at++) {
		char flip = (char)(1 << at % 8);

		good[at] ^= flip;
		scratch_write(scratch->dirfd, slot, good, size, 0640);
		good[at] ^= flip;
		hold_against_the_other(scratch, want);
		scratch_write(scratch->dirfd, slot, good, at, 0640);
		hold_against_the_other(scratch, want);
	}
	scratch_write(scratch->dirfd, slot, good, size, 0640);
}

static void test_every_byte_of_both_slots(void **state)
{
	struct state_kept older = everything(0), newer = everything(1);

	fill_both(*state);
	count_only = true;
	damage_every_byte(*state, "packs/0/state.b", &older);
	damage_every_byte(*state, "packs/0/state.a", &newer);
}

/* A newer bmsd's members, deep inside, outlive an older one that runs after a roll back. */
static void test_nested_unknown_members_are_carried(void **state)
{
	static const char *const kept[] = {
		"\"model\":\"kalman\"",	 "\"order\":[1,2]",
		"\"worn\":{\"x\":-1}",	 "\"water-inside\":{\"since_sec\":3}",
		"\"seen_by\":\"x\"",	 "\"who\":\"joe\"",
		"\"future\":{\"a\":[]}",
	};
	_cleanup_free_ char *text = NULL;
	struct state *s;
	size_t size = 0;

	write_slot(*state, "packs/0/state.a",
		   "{\"sequence\":1,\"identity\":{\"model\":\"BOARD\",\"serial\":\"S1\"},"
		   "\"estimator\":{\"model\":\"kalman\",\"charge_full_uah\":39000000,"
		   "\"charge_full_design_uah\":40000000,"
		   "\"anchors\":{\"full\":{\"order\":[1,2]}}},"
		   "\"lifetime\":{\"worn\":{\"x\":-1},\"watched_sec\":5},"
		   "\"alarms\":{\"water-inside\":{\"since_sec\":3},"
		   "\"cell-overvoltage\":{\"since_sec\":4,\"seen_by\":\"x\"}},"
		   "\"fet\":{\"charge\":{\"endless\":true,\"who\":\"joe\"}},"
		   "\"future\":{\"a\":[]}}");
	s = open_state(*state);
	assert_null(look(s).refused);
	assert_int_equal(state_kept(s)->estimator.charge_full_uah, 39000000);
	assert_true(state_kept(s)->alarms.states[ALARM_CELL_OVERVOLTAGE].set);
	assert_true(state_kept(s)->fet.locks[FET_CHARGE].locked);
	state_keep(s)->lifetime.watched_sec = 6;
	save(s, NOON);
	save(s, NOON + 1);
	(void)state_free(s);
	text = read_text(*state, "packs/0/state.a", &size);
	for (size_t i = 0; i < ELEMENTSOF(kept); i++)
		assert_non_null(strstr(text, kept[i]));
	assert_non_null(strstr(text, "\"watched_sec\":6"));
}

static void test_a_section_that_cannot_be_is_not_believed(void **state)
{
	static const struct {
		const char *json, *refused;
	} cases[] = {
		{ "{\"sequence\":1,\"lifetime\":{\"charged_uah\":-1}}", "charged_uah" },
		{ "{\"sequence\":1,\"lifetime\":{\"seen\":4294967296}}", "seen" },
		{ "{\"sequence\":1,\"lifetime\":{\"in_bin_sec\":[[1]]}}", "in_bin_sec" },
		{ "{\"sequence\":1,\"lifetime\":{\"in_bin_sec\":7}}", "in_bin_sec" },
		{ "{\"sequence\":1,\"estimator\":{\"valid\":1}}", "valid" },
		{ "{\"sequence\":1,\"estimator\":{\"anchors\":{\"full\":{\"cold\":\"\"}}}}",
		  "cold" },
		{ "{\"sequence\":1,\"alarms\":{\"cell-overvoltage\":true}}", "alarms" },
		{ "{\"sequence\":1,\"fet\":{\"charge\":[]}}", "fet" },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct state_kept nothing = {};
		struct state *s;

		write_slot(*state, "packs/0/state.a", cases[i].json);
		s = open_state(*state);
		assert_true(look(s).restored);
		assert_string_equal(look(s).refused, cases[i].refused);
		assert_kept(s, &nothing);
		(void)state_free(s);
	}
}

static void test_numbers_are_cut_at_what_json_holds(void **state)
{
	struct state *s = open_state(*state);

	state_keep(s)->lifetime.discharged_uah = UINT64_MAX;
	state_keep(s)->event_sequence = UINT64_MAX;
	save(s, NOON);
	(void)state_free(s);
	s = open_state(*state);
	assert_true(look(s).restored);
	assert_int_equal(state_kept(s)->event_sequence, (UINT64_C(1) << 53) - 1);
	(void)state_free(s);
}

static void lose_both(const struct scratch *s)
{
	scratch_text(s->dirfd, "packs/0/state.a", "junk", 0640);
	scratch_text(s->dirfd, "packs/0/state.b", "junk", 0640);
}

static void test_what_was_learned_outlives_both_slots(void **state)
{
	struct state_kept want = everything(0);
	struct state *s;

	fill_both(*state);
	lose_both(*state);
	s = open_state(*state);
	assert_false(look(s).restored);
	assert_true(look(s).copy_used);
	assert_int_equal(look(s).damaged, 2);
	assert_int_equal(look(s).soc_restored_centipercent, -1);
	assert_memory_equal(&state_kept(s)->lifetime, &want.lifetime,
			    offsetof(struct lifetime, seen));
	assert_int_equal(state_kept(s)->estimator.charge_full_uah, 38000000);
	assert_int_equal(state_kept(s)->estimator.discharged_uah, 500000000);
	assert_int_equal(state_kept(s)->event_sequence, 4321);
	assert_string_equal(state_kept(s)->fet.locks[FET_DISCHARGE].reason, "in the workshop");
	/* Where it stands has changed since. */
	assert_false(state_kept(s)->estimator.valid);
	assert_false(state_kept(s)->estimator.anchors[0].valid);
	/* What became of them the log says. */
	assert_true(state_kept(s)->alarms.states[ALARM_CELL_OVERVOLTAGE].set);
	save(s, NOON + 9);
	(void)state_free(s);
	s = open_state(*state);
	assert_true(look(s).restored);
	assert_int_equal(look(s).sequence, 2);
	(void)state_free(s);
}

/* An old slot, put back by somebody: counters never come back as less than the copy says. */
static void test_counters_never_fall(void **state)
{
	struct state *s;

	fill_both(*state);
	write_slot(
		*state, "packs/0/state.b",
		"{\"sequence\":9,\"identity\":{\"model\":\"BOARD\",\"serial\":\"S1\",\"cells\":13},"
		"\"lifetime\":{\"charged_uah\":700000000,\"discharged_uah\":1}}");
	s = open_state(*state);
	assert_true(look(s).restored);
	assert_true(look(s).copy_used);
	assert_int_equal(state_kept(s)->lifetime.charged_uah, 700000000);
	assert_int_equal(state_kept(s)->lifetime.discharged_uah, 500000001);
	assert_int_equal(state_kept(s)->estimator.discharged_uah, 500000000);
	assert_int_equal(state_kept(s)->event_sequence, 4321);
	(void)state_free(s);
	/* The copy is of another board: not its counters. */
	write_slot(
		*state, "packs/0/state.b",
		"{\"sequence\":9,\"identity\":{\"model\":\"BOARD\",\"serial\":\"S2\",\"cells\":13},"
		"\"lifetime\":{\"discharged_uah\":1}}");
	s = open_state(*state);
	assert_false(look(s).copy_used);
	assert_int_equal(state_kept(s)->lifetime.discharged_uah, 1);
	(void)state_free(s);
}

static void test_the_copy_is_of_a_day(void **state)
{
	_cleanup_free_ char *first = NULL, *same = NULL, *next = NULL;
	struct state *s = open_state(*state);
	size_t size = 0;

	save(s, NOON);
	first = read_text(*state, "packs/0/state.daily", &size);
	save(s, NOON + 100);
	same = read_text(*state, "packs/0/state.daily", &size);
	assert_string_equal(first, same);
	(void)state_free(s);
	s = open_state(*state);
	save(s, NOON + DAY_SEC);
	next = read_text(*state, "packs/0/state.daily", &size);
	assert_string_not_equal(first, next);
	(void)state_free(s);
}

static void test_another_serial_number_starts_anew(void **state)
{
	struct sample other = {
		.valid = UINT32_MAX, .model = "BOARD", .serial = "S2", .n_cells = 13
	};
	struct sample silent = { .valid = UINT32_MAX, .n_cells = 13 };
	struct state *s;

	fill_both(*state);
	s = open_state(*state);
	assert_false(state_note(s, &silent));
	assert_true(state_note(s, &other));
	assert_false(state_kept(s)->estimator.valid);
	assert_int_equal(state_kept(s)->lifetime.discharged_uah, 0);
	assert_false(state_kept(s)->fet.locks[FET_CHARGE].locked);
	assert_int_equal(state_kept(s)->event_sequence, 4321);
	(void)state_free(s);
}

static void test_how_long_ago(void **state)
{
	struct state *s = open_state(*state);
	struct state_stamp now = { "B", NOON + 70, NOON * 1000 + 50000, BOOT_ID };

	assert_int_equal(state_elapsed_msec(s, &now), -1);
	save(s, NOON);
	(void)state_free(s);
	s = open_state(*state);
	/* The same boot: its own clock, whatever the other one was set to. */
	assert_int_equal(state_elapsed_msec(s, &now), 50000);
	now.wall_sec = 5;
	assert_int_equal(state_elapsed_msec(s, &now), 50000);
	now.boot_id = OTHER_ID;
	assert_int_equal(state_elapsed_msec(s, &now), -1);
	/* Fifty seconds of uptime and two minutes at least of being off. */
	now.wall_sec = NOON + 169;
	assert_int_equal(state_elapsed_msec(s, &now), -1);
	now.wall_sec = NOON + 170;
	assert_int_equal(state_elapsed_msec(s, &now), -1);
	now.boottime_msec = 50000;
	assert_int_equal(state_elapsed_msec(s, &now), 170000);
	now.wall_sec = NOON + 169;
	assert_int_equal(state_elapsed_msec(s, &now), -1);
	(void)state_free(s);
}

/* After a roll back an older release saved, for which the sections are only something to be kept. */
static void test_how_long_ago_by_another_writer(void **state)
{
	struct state_stamp now = { "B", NOON + 190, 1000, OTHER_ID };
	_cleanup_free_ char *text = NULL;
	struct state *s;
	int n;

	n = asprintf(&text,
		     "{\"sequence\":1,\"saved_sec\":%" PRIu64 ",\"sections_sec\":%" PRIu64
		     ",\"boottime_msec\":7,"
		     "\"boot_id\":\"%s\"}",
		     NOON + 80, NOON + 10, BOOT_ID);
	assert_true(n > 0);
	write_slot(*state, "packs/0/state.a", text);
	s = open_state(*state);
	assert_int_equal(state_elapsed_msec(s, &now), 180000);
	save(s, NOON + 190);
	(void)state_free(s);
	now.wall_sec = NOON + 400;
	s = open_state(*state);
	assert_int_equal(state_elapsed_msec(s, &now), 210000);
	(void)state_free(s);
}

static void test_when_a_save_is_worth_it(void **state)
{
	struct state *s = open_state(*state);
	struct estimator_memory *m;

	assert_false(state_is_due(s, UINT64_MAX / 2, 60000));
	*state_keep(s) = everything(0);
	assert_true(state_is_due(s, 15000, 60000));
	save(s, NOON);
	assert_false(state_is_due(s, 600000, 60000));
	m = &state_keep(s)->estimator;
	/* 0.1 % of 38 Ah is 38 mAh. */
	m->charge_now_uah -= 37999;
	assert_false(state_is_due(s, 599999, 60000));
	assert_true(state_is_due(s, 600000, 60000));
	m->charge_now_uah -= 1;
	assert_false(state_is_due(s, 59999, 60000));
	assert_true(state_is_due(s, 60000, 60000));
	m->charge_now_uah = 38000000 / 1000 * 149;
	assert_false(state_is_due(s, 14999, 60000));
	assert_true(state_is_due(s, 15000, 60000));
	(void)state_free(s);
}

int main(void)
{
#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, teardown)
	const struct CMUnitTest tests[] = {
		SCRATCH_TEST(test_everything_comes_back),
		SCRATCH_TEST(test_every_byte_of_both_slots),
		SCRATCH_TEST(test_nested_unknown_members_are_carried),
		SCRATCH_TEST(test_a_section_that_cannot_be_is_not_believed),
		SCRATCH_TEST(test_numbers_are_cut_at_what_json_holds),
		SCRATCH_TEST(test_what_was_learned_outlives_both_slots),
		SCRATCH_TEST(test_counters_never_fall),
		SCRATCH_TEST(test_the_copy_is_of_a_day),
		SCRATCH_TEST(test_another_serial_number_starts_anew),
		SCRATCH_TEST(test_how_long_ago),
		SCRATCH_TEST(test_how_long_ago_by_another_writer),
		SCRATCH_TEST(test_when_a_save_is_worth_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
