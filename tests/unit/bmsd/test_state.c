/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "scratch.h"

#include "bmsd/state.h"

#define WRITER	"B202108010001"
#define BOOT_ID "0123456789abcdef0123456789abcdef"

/* Disk errors on demand: a save goes through this one function. */
static int write_error;
/* Thousands of damaged files: that each copy is asked for is enough. */
static bool count_only;
static unsigned writes;

int __real_fs_write_file_atomic(int dirfd, const char *name, const void *bytes, size_t size,
				mode_t mode);
int __wrap_fs_write_file_atomic(int dirfd, const char *name, const void *bytes, size_t size,
				mode_t mode);
int __wrap_fs_write_file_atomic(int dirfd, const char *name, const void *bytes, size_t size,
				mode_t mode)
{
	writes++;
	if (write_error)
		return write_error;
	if (count_only)
		return 0;
	return __real_fs_write_file_atomic(dirfd, name, bytes, size, mode);
}

static int mkdir_error;

int __real_mkdirat(int dirfd, const char *name, mode_t mode);
int __wrap_mkdirat(int dirfd, const char *name, mode_t mode);
int __wrap_mkdirat(int dirfd, const char *name, mode_t mode)
{
	errno = mkdir_error;
	return mkdir_error ? -1 : __real_mkdirat(dirfd, name, mode);
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

static struct sample sample_of(const char *model, size_t cells, int soc_percent)
{
	struct sample s = { .valid = UINT32_MAX,
			    .charge_uah = soc_percent * INT64_C(400000),
			    .capacity_percent = soc_percent,
			    .cycles = 42,
			    .n_cells = cells };

	(void)snprintf(s.model, sizeof s.model, "%s", model);
	return s;
}

static int save_at(struct state *s, uint64_t wall_sec)
{
	struct state_stamp stamp = { .writer = WRITER,
				     .wall_sec = wall_sec,
				     .boottime_msec = wall_sec * 1000,
				     .boot_id = BOOT_ID };

	return state_save(s, &stamp);
}

/* One more sample, saved. */
static void save(struct state *s, int soc_percent, uint64_t now_sec)
{
	struct sample sample = sample_of("BOARD", 13, soc_percent);

	assert_false(state_note(s, &sample));
	assert_int_equal(save_at(s, now_sec), 1);
}

static char *read_text(const struct scratch *s, const char *name, size_t *ret_size)
{
	char *text = NULL;

	assert_int_equal(fs_read_file(s->dirfd, name, 1 << 20, &text, ret_size), 0);
	return text;
}

static bool exists(const struct scratch *s, const char *name)
{
	return faccessat(s->dirfd, name, F_OK, 0) == 0;
}

static uint32_t crc32_of(const char *bytes, size_t size)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < size; i++) {
		crc ^= (uint8_t)bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
	}
	return ~crc;
}

/* A file as another version of bmsd may have written it. */
static void write_slot(const struct scratch *s, const char *name, const char *json)
{
	char text[4096];

	(void)snprintf(text, sizeof text, "bmsd-state 1 %zu %08" PRIx32 "\n%s\n", strlen(json),
		       crc32_of(json, strlen(json)), json);
	scratch_text(s->dirfd, name, text, 0640);
}

static void test_checksum_is_the_common_one(void **state)
{
	(void)state;
	assert_int_equal(crc32_of("123456789", 9), 0xcbf43926);
}

static void test_first_start(void **state)
{
	_cleanup_(state_freep) struct state *s = open_state(*state);
	struct state_view v = look(s);

	assert_false(v.restored);
	assert_false(v.on_disk);
	assert_int_equal(v.damaged, 0);
	assert_int_equal(v.soc_percent, -1);
	assert_int_equal(v.soc_restored_percent, -1);
	assert_int_equal(v.samples_total, 0);
	/* Nothing noted, nothing to write. */
	assert_int_equal(save_at(s, 1), 0);
	assert_false(exists(*state, "packs/0/state.a"));
}

static void test_saved_and_restored(void **state)
{
	struct state *s = open_state(*state);
	struct state_view v;

	save(s, 72, 1000);
	assert_true(look(s).on_disk);
	assert_int_equal(save_at(s, 1001), 0);
	(void)state_free(s);
	s = open_state(*state);
	v = look(s);
	assert_true(v.restored);
	assert_true(v.on_disk);
	assert_int_equal(v.soc_percent, 72);
	assert_int_equal(v.soc_restored_percent, 72);
	assert_int_equal(v.charge_uah, 28800000);
	assert_int_equal(v.cycles, 42);
	assert_int_equal(v.samples_total, 1);
	assert_int_equal(v.saved_sec, 1000);
	assert_int_equal(v.cells, 13);
	assert_string_equal(v.model, "BOARD");
	assert_string_equal(v.writer, WRITER);
	save(s, 71, 1060);
	v = look(s);
	assert_int_equal(v.samples_total, 2);
	assert_int_equal(v.soc_restored_percent, 72);
	(void)state_free(s);
}

static void test_slots_take_turns(void **state)
{
	struct state *s = open_state(*state);
	_cleanup_free_ char *a = NULL, *again = NULL;
	size_t size = 0, again_size = 0;

	save(s, 72, 1);
	assert_true(exists(*state, "packs/0/state.a"));
	assert_false(exists(*state, "packs/0/state.b"));
	a = read_text(*state, "packs/0/state.a", &size);
	save(s, 71, 2);
	assert_true(exists(*state, "packs/0/state.b"));
	again = read_text(*state, "packs/0/state.a", &again_size);
	assert_int_equal(size, again_size);
	assert_memory_equal(a, again, size);
	(void)state_free(s);
	/* The turn is remembered over a restart: the newer one is never written over. */
	s = open_state(*state);
	assert_int_equal(look(s).soc_percent, 71);
	save(s, 70, 3);
	(void)state_free(s);
	assert_int_equal(unlinkat(((struct scratch *)*state)->dirfd, "packs/0/state.a", 0), 0);
	s = open_state(*state);
	assert_int_equal(look(s).soc_percent, 71);
	(void)state_free(s);
}

static void test_unknown_members_are_carried_through(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct state *s;
	size_t size = 0;

	write_slot(*state, "packs/0/state.a",
		   "{\"sequence\":7,\"learned\":{\"full_uah\":39500000,\"table\":[1,-2,\"x\"]},"
		   "\"soc_percent\":55,\"identity\":{\"model\":\"BOARD\",\"serial\":\"77\"},"
		   "\"samples_total\":9}");
	s = open_state(*state);
	assert_int_equal(look(s).soc_percent, 55);
	save(s, 54, 5);
	save(s, 53, 6);
	(void)state_free(s);
	text = read_text(*state, "packs/0/state.a", &size);
	assert_non_null(strstr(text, "\"learned\":{\"full_uah\":39500000,\"table\":[1,-2,\"x\"]}"));
	assert_non_null(strstr(text, "\"serial\":\"77\""));
	assert_non_null(strstr(text, "\"sequence\":9"));
	assert_non_null(strstr(text, "\"samples_total\":11"));
	assert_non_null(strstr(text, "\"soc_percent\":53"));
}

static void test_every_flipped_byte_is_noticed(void **state)
{
	_cleanup_free_ char *good = NULL;
	struct scratch *scratch = *state;
	struct state *s = open_state(scratch);
	size_t size = 0;

	save(s, 72, 1);
	save(s, 71, 2);
	(void)state_free(s);
	good = read_text(scratch, "packs/0/state.b", &size);
	count_only = true;
	for (size_t at = 0; at < size; at++) {
		for (unsigned flip = 1; flip < 256; flip += 60) {
			good[at] ^= (char)flip;
			scratch_write(scratch->dirfd, "packs/0/state.b", good, size, 0640);
			good[at] ^= (char)flip;
			writes = 0;
			s = open_state(scratch);
			assert_true(look(s).restored);
			assert_int_equal(look(s).damaged, 1);
			assert_int_equal(look(s).soc_percent, 72);
			assert_int_equal(writes, 1);
			(void)state_free(s);
		}
	}
}

static void test_every_truncation_is_noticed(void **state)
{
	_cleanup_free_ char *good = NULL;
	struct scratch *scratch = *state;
	struct state *s = open_state(scratch);
	char longer[4096];
	size_t size = 0;

	save(s, 72, 1);
	save(s, 71, 2);
	(void)state_free(s);
	good = read_text(scratch, "packs/0/state.b", &size);
	count_only = true;
	for (size_t n = 0; n < size; n++) {
		scratch_write(scratch->dirfd, "packs/0/state.b", good, n, 0640);
		s = open_state(scratch);
		assert_int_equal(look(s).damaged, 1);
		assert_int_equal(look(s).soc_percent, 72);
		(void)state_free(s);
	}
	count_only = false;
	(void)snprintf(longer, sizeof longer, "%s\n", good);
	scratch_text(scratch->dirfd, "packs/0/state.b", longer, 0640);
	s = open_state(scratch);
	assert_int_equal(look(s).damaged, 1);
	(void)state_free(s);
}

static void test_both_damaged_is_said_and_survived(void **state)
{
	_cleanup_free_ char *kept = NULL;
	struct scratch *scratch = *state;
	struct state *s;
	size_t size = 0;

	scratch_text(scratch->dirfd, "packs/0/state.a", "junk", 0640);
	scratch_write(scratch->dirfd, "packs/0/state.b", "\0\0\0", 3, 0640);
	s = open_state(scratch);
	assert_false(look(s).restored);
	assert_int_equal(look(s).damaged, 2);
	assert_int_equal(look(s).soc_percent, -1);
	save(s, 50, 9);
	(void)state_free(s);
	kept = read_text(scratch, "packs/0/state.a.damaged", &size);
	assert_string_equal(kept, "junk");
	s = open_state(scratch);
	assert_int_equal(look(s).soc_percent, 50);
	(void)state_free(s);
}

static void test_hostile_slots(void **state)
{
	static const char *const hostile[] = {
		"{}",
		"[]",
		"{\"sequence\":-1}",
		"{\"sequence\":1,\"sequence\":2}",
		"{\"sequence\":1.5}",
		"{\"sequence\":9007199254740993}",
		"{\"sequence\":4503599627370497}",
		"{\"sequence\":\"1\"}",
		"\"x\"",
	};
	struct scratch *scratch = *state;

	for (size_t i = 0; i < ELEMENTSOF(hostile); i++) {
		struct state *s;

		write_slot(scratch, "packs/0/state.a", hostile[i]);
		s = open_state(scratch);
		assert_false(look(s).restored);
		assert_int_equal(look(s).damaged, 1);
		(void)state_free(s);
	}
}

static void test_members_of_wrong_type_are_unknown(void **state)
{
	struct state *s;

	write_slot(*state, "packs/0/state.a",
		   "{\"sequence\":3,\"soc_percent\":101,\"identity\":[],\"cycles\":\"x\"}");
	s = open_state(*state);
	assert_true(look(s).restored);
	assert_int_equal(look(s).soc_percent, -1);
	assert_int_equal(look(s).cycles, 0);
	save(s, 12, 1);
	(void)state_free(s);
	s = open_state(*state);
	assert_int_equal(look(s).soc_percent, 12);
	assert_int_equal(look(s).cells, 13);
	(void)state_free(s);
}

static void test_an_oversized_slot_is_damaged(void **state)
{
	struct scratch *scratch = *state;
	_cleanup_free_ char *big = calloc(1, 100000);
	struct state *s;

	assert_non_null(big);
	scratch_write(scratch->dirfd, "packs/0/state.a", big, 100000, 0640);
	assert_int_equal(fs_mkdir_p(scratch->dirfd, "packs/0/state.b", 0755), 0);
	s = open_state(scratch);
	assert_int_equal(look(s).damaged, 2);
	/* Neither is in the way, nor lost. */
	assert_true(exists(scratch, "packs/0/state.a.damaged"));
	assert_true(exists(scratch, "packs/0/state.b.damaged"));
	save(s, 50, 1);
	save(s, 51, 2);
	(void)state_free(s);
	s = open_state(scratch);
	assert_int_equal(look(s).damaged, 0);
	assert_int_equal(look(s).soc_percent, 51);
	(void)state_free(s);
}

/* What cannot be copied is kept itself. */
static void test_no_room_to_keep_what_is_damaged(void **state)
{
	struct scratch *scratch = *state;
	_cleanup_free_ char *kept = NULL;
	struct state *s;
	size_t size = 0;

	scratch_text(scratch->dirfd, "packs/0/state.a", "junk", 0640);
	write_error = -ENOSPC;
	s = open_state(scratch);
	write_error = 0;
	assert_int_equal(look(s).damaged, 1);
	save(s, 50, 1);
	(void)state_free(s);
	kept = read_text(scratch, "packs/0/state.a.damaged", &size);
	assert_string_equal(kept, "junk");
}

static void test_no_room_for_the_directory(void **state)
{
	static const int errors[] = { ENOSPC, EROFS, EDQUOT };
	struct sample sample = sample_of("BOARD", 13, 60);
	struct state *s = NULL;

	for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
		mkdir_error = errors[i];
		s = open_state(*state);
		assert_true(state_dirfd(s) < 0);
		assert_false(state_note(s, &sample));
		assert_int_equal(save_at(s, 1), -errors[i]);
		if (i < 2)
			(void)state_free(s);
	}
	mkdir_error = 0;
	assert_int_equal(save_at(s, 2), 1);
	(void)state_free(s);
	s = open_state(*state);
	assert_int_equal(look(s).soc_percent, 60);
	(void)state_free(s);
	mkdir_error = EACCES;
	assert_int_equal(state_open(((struct scratch *)*state)->dirfd, "packs/1", &s), -EACCES);
}

static void test_a_failed_save_is_tried_again(void **state)
{
	struct sample sample = sample_of("BOARD", 13, 60);
	struct state *s = open_state(*state);

	save(s, 62, 1);
	save(s, 61, 2);
	assert_false(state_note(s, &sample));
	write_error = -EIO;
	assert_int_equal(save_at(s, 3), -EIO);
	assert_int_equal(look(s).saved_sec, 2);
	write_error = 0;
	assert_int_equal(save_at(s, 4), 1);
	(void)state_free(s);
	s = open_state(*state);
	assert_int_equal(look(s).soc_percent, 60);
	assert_int_equal(look(s).damaged, 0);
	(void)state_free(s);
}

static void test_another_board_starts_anew(void **state)
{
	struct sample other = sample_of("OTHER", 13, 33), silent = sample_of("", 13, 34);
	struct sample wider = sample_of("OTHER", 14, 35);
	_cleanup_free_ char *kept = NULL;
	struct state *s = open_state(*state);
	size_t size = 0;

	save(s, 72, 1);
	save(s, 71, 2);
	assert_true(state_note(s, &other));
	assert_int_equal(look(s).samples_total, 1);
	assert_string_equal(look(s).model, "OTHER");
	assert_int_equal(save_at(s, 3), 1);
	kept = read_text(*state, "packs/0/state.replaced", &size);
	assert_non_null(strstr(kept, "\"BOARD\""));
	assert_non_null(strstr(kept, "\"samples_total\":2"));
	/* Not to have said its model does not make it another one. */
	assert_false(state_note(s, &silent));
	assert_string_equal(look(s).model, "OTHER");
	assert_true(state_note(s, &wider));
	(void)state_free(s);
}

/* Two packs that take turns: each goes on where it was, over restarts too. */
static void test_a_board_that_comes_back(void **state)
{
	struct sample one = sample_of("BOARD", 13, 60), two = sample_of("BOARD", 13, 30);
	struct state *s = open_state(*state);

	(void)strcpy(one.manufactured, "2018-04-17");
	(void)strcpy(two.manufactured, "2021-01-05");
	assert_false(state_note(s, &one));
	state_keep(s)->lifetime.watched_sec = 1111;
	assert_int_equal(save_at(s, 1), 1);
	assert_true(state_is_of_other(s, &two));
	assert_true(state_note(s, &two));
	assert_int_equal(state_kept(s)->lifetime.watched_sec, 0);
	state_keep(s)->lifetime.watched_sec = 22;
	state_keep(s)->event_sequence = 7;
	/* Before it was saved. */
	assert_true(state_note(s, &one));
	assert_int_equal(state_kept(s)->lifetime.watched_sec, 1111);
	assert_int_equal(state_kept(s)->event_sequence, 7);
	assert_int_equal(look(s).samples_total, 2);
	assert_int_equal(save_at(s, 2), 1);
	(void)state_free(s);
	s = open_state(*state);
	assert_true(state_note(s, &two));
	assert_int_equal(state_kept(s)->lifetime.watched_sec, 22);
	assert_int_equal(save_at(s, 3), 1);
	(void)state_free(s);
	s = open_state(*state);
	assert_false(state_is_of_other(s, &two));
	assert_true(state_note(s, &one));
	assert_int_equal(state_kept(s)->lifetime.watched_sec, 1111);
	(void)state_free(s);
}

/* Of three in a row, what had been kept is not given up for what was there for a moment. */
static void test_a_board_in_between(void **state)
{
	struct sample one = sample_of("ONE", 13, 60), two = sample_of("TWO", 13, 30);
	struct sample three = sample_of("THREE", 13, 30);
	struct state *s = open_state(*state);

	assert_false(state_note(s, &one));
	state_keep(s)->lifetime.watched_sec = 1111;
	assert_true(state_note(s, &two));
	assert_true(state_note(s, &three));
	assert_int_equal(save_at(s, 3), 1);
	assert_true(state_note(s, &one));
	assert_int_equal(state_kept(s)->lifetime.watched_sec, 1111);
	/* Nobody knows who comes next, and what was is kept. */
	state_forget(s);
	assert_int_equal(state_kept(s)->lifetime.watched_sec, 0);
	assert_false(state_note(s, &two));
	assert_true(state_note(s, &one));
	assert_int_equal(state_kept(s)->lifetime.watched_sec, 1111);
	(void)state_free(s);
}

static void test_a_directory_that_cannot_be_made(void **state)
{
	struct scratch *scratch = *state;
	struct state *s = NULL;

	scratch_text(scratch->dirfd, "packs", "a file", 0644);
	assert_true(state_open(scratch->dirfd, "packs/0", &s) < 0);
	assert_null(s);
}

static int setup(void **state)
{
	write_error = mkdir_error = 0;
	count_only = false;
	return scratch_setup(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_checksum_is_the_common_one),
		TEST(test_first_start),
		TEST(test_saved_and_restored),
		TEST(test_slots_take_turns),
		TEST(test_unknown_members_are_carried_through),
		TEST(test_every_flipped_byte_is_noticed),
		TEST(test_every_truncation_is_noticed),
		TEST(test_both_damaged_is_said_and_survived),
		TEST(test_hostile_slots),
		TEST(test_members_of_wrong_type_are_unknown),
		TEST(test_an_oversized_slot_is_damaged),
		TEST(test_no_room_to_keep_what_is_damaged),
		TEST(test_no_room_for_the_directory),
		TEST(test_a_failed_save_is_tried_again),
		TEST(test_another_board_starts_anew),
		TEST(test_a_board_that_comes_back),
		TEST(test_a_board_in_between),
		TEST(test_a_directory_that_cannot_be_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
