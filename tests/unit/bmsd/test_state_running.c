/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept between saves, for a bmsd that is killed. */
#include <unistd.h>

#include "scratch.h"

#include "bmsd/state.h"

#define BOOT_ID "0123456789abcdef0123456789abcdef"
#define FILE_IN "run/packs/0/state.running"

static struct state *open_state(const struct scratch *s)
{
	struct state *state = NULL;

	assert_int_equal(state_open(s->dirfd, "packs/0", &state), 0);
	return state;
}

/* As the daemon does; what state_keep_running() gave. */
static struct state *start(const struct scratch *s, int *ret_taken)
{
	struct state *state = open_state(s);
	_cleanup_close_ int fd = scratch_dir(s->dirfd, "run");

	*ret_taken = state_keep_running(state, fd);
	return state;
}

static struct sample sample_of(const char *serial)
{
	struct sample s = {
		.valid = UINT32_MAX, .model = "BOARD", .capacity_percent = 50, .n_cells = 13
	};

	(void)strcpy(s.serial, serial);
	return s;
}

static struct state_stamp stamp_at(uint64_t sec)
{
	return (struct state_stamp){ "B202108010001", 1796000000 + sec, sec * 1000, BOOT_ID };
}

/* A sample of a board, and charge that has flowed. */
static void step(struct state *s, const char *serial, uint64_t discharged_uah)
{
	struct sample sample = sample_of(serial);

	(void)state_note(s, &sample);
	state_keep(s)->lifetime.discharged_uah = discharged_uah;
	state_keep(s)->estimator = (struct estimator_memory){
		.valid = true,
		.charge_now_uah = 20000000 - discharged_uah,
		.charge_full_uah = 40000000,
		.charge_full_design_uah = 40000000,
		.margin_centipercent = 100,
		.reference_soc_centipercent = 5000,
	};
}

static void save(struct state *s, uint64_t sec)
{
	struct state_stamp stamp = stamp_at(sec);

	assert_int_equal(state_save(s, &stamp), 1);
}

static void save_running(struct state *s, uint64_t sec)
{
	struct state_stamp stamp = stamp_at(sec);

	assert_int_equal(state_save_running(s, &stamp), 0);
}

/* Saved with 100, killed with 150. */
static void save_and_kill(const struct scratch *scratch)
{
	int taken;
	struct state *s = start(scratch, &taken);

	step(s, "S1", 100);
	save(s, 10);
	step(s, "S1", 150);
	save_running(s, 20);
	(void)state_free(s);
}

static uint64_t discharged(const struct state *s)
{
	return state_kept(s)->lifetime.discharged_uah;
}

static void test_goes_on_after_a_kill(void **state)
{
	struct state_stamp now = stamp_at(23);
	struct state_view v;
	struct state *s;
	int taken;

	save_and_kill(*state);
	s = start(*state, &taken);
	state_look(s, &v);
	assert_int_equal(taken, 1);
	assert_true(v.running_used);
	assert_int_equal(discharged(s), 150);
	assert_int_equal(v.samples_total, 2);
	assert_int_equal(state_elapsed_msec(s, &now), 3000);
	/* It is not on disk yet, and its number is that of the disk. */
	assert_int_equal(v.sequence, 1);
	assert_true(state_is_changed(s));
	save(s, 24);
	(void)state_free(s);
	s = open_state(*state);
	assert_int_equal(discharged(s), 150);
	(void)state_free(s);
}

static void test_goes_on_after_many_kills(void **state)
{
	struct state *s;
	int taken;

	save_and_kill(*state);
	for (uint64_t n = 0; n < 5; n++) {
		s = start(*state, &taken);
		assert_int_equal(taken, 1);
		assert_int_equal(discharged(s), 150 + n);
		step(s, "S1", 151 + n);
		save_running(s, 30 + n);
		(void)state_free(s);
	}
}

static void test_a_save_makes_it_old(void **state)
{
	struct state *s;
	int taken;

	save_and_kill(*state);
	s = open_state(*state); /* an older release */
	step(s, "S1", 101);
	save(s, 40);
	(void)state_free(s);
	s = start(*state, &taken);
	assert_int_equal(taken, 0);
	assert_int_equal(discharged(s), 101);
	(void)state_free(s);
}

static void test_is_nothing_without_a_save(void **state)
{
	struct scratch *scratch = *state;
	struct state *s;
	int taken;

	s = start(scratch, &taken);
	assert_int_equal(taken, 0);
	step(s, "S1", 50);
	save_running(s, 5);
	assert_int_equal(faccessat(scratch->dirfd, FILE_IN, F_OK, 0), -1);
	(void)state_free(s);
	save_and_kill(scratch);
	assert_int_equal(unlinkat(scratch->dirfd, "packs/0/state.a", 0), 0);
	(void)unlinkat(scratch->dirfd, "packs/0/state.b", 0);
	s = start(scratch, &taken);
	assert_int_equal(taken, 0);
	(void)state_free(s);
}

/* What was of the first board is on its way to state.replaced, which a kill must not prevent. */
static void test_another_board_is_saved_first(void **state)
{
	struct scratch *scratch = *state;
	struct state *s;
	int taken;

	save_and_kill(scratch);
	s = start(scratch, &taken);
	step(s, "S2", 3);
	save_running(s, 30);
	(void)state_free(s);
	s = start(scratch, &taken);
	assert_int_equal(taken, 1);
	assert_int_equal(discharged(s), 150);
	step(s, "S2", 3);
	save(s, 31);
	step(s, "S2", 4);
	save_running(s, 32);
	(void)state_free(s);
	s = start(scratch, &taken);
	assert_int_equal(discharged(s), 4);
	step(s, "S1", 151);
	assert_int_equal(state_kept(s)->lifetime.discharged_uah, 151);
	(void)state_free(s);
}

static void assert_taken(const struct scratch *scratch, const char *bytes, size_t size, int want)
{
	struct state *s;
	int taken;

	scratch_write(scratch->dirfd, FILE_IN, bytes, size, 0640);
	s = start(scratch, &taken);
	assert_int_equal(taken, want);
	assert_int_equal(discharged(s), want ? 150 : 100);
	(void)state_free(s);
}

static void test_every_byte_of_it(void **state)
{
	struct scratch *scratch = *state;
	_cleanup_free_ char *bytes = NULL;
	size_t size = 0;

	save_and_kill(scratch);
	assert_int_equal(fs_read_file(scratch->dirfd, FILE_IN, 65536, &bytes, &size), 0);
	assert_taken(scratch, bytes, size, 1);
	for (size_t at = 0; at < size; at++) {
		char flip = (char)(1 << at % 8);

		bytes[at] ^= flip;
		assert_taken(scratch, bytes, size, 0);
		bytes[at] ^= flip;
		assert_taken(scratch, bytes, at, 0);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_goes_on_after_a_kill),	 TEST(test_goes_on_after_many_kills),
		TEST(test_a_save_makes_it_old),		 TEST(test_is_nothing_without_a_save),
		TEST(test_another_board_is_saved_first), TEST(test_every_byte_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
