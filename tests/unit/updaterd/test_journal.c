/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/journal.h"

#include "scratch.h"

#include <errno.h>
#include <stdio.h>

/* ---- faults ---- */

static int fail_pwrite, fail_fdatasync;
static unsigned n_syncs;

ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
	if (fail_pwrite) {
		/* Half of it reaches the disk all the same. */
		(void)!__real_pwrite64(fd, bytes, size / 64, offset);
		errno = fail_pwrite;
		return -1;
	}
	return __real_pwrite64(fd, bytes, size, offset);
}

/* So many reads pass, so many fail then; negative: all. */
static int good_preads, bad_preads;

ssize_t __real_pread64(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset)
{
	if (bad_preads && good_preads-- <= 0) {
		bad_preads -= bad_preads > 0;
		errno = EIO;
		return -1;
	}
	return __real_pread64(fd, bytes, size, offset);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	n_syncs++;
	if (fail_fdatasync) {
		errno = fail_fdatasync;
		return -1;
	}
	return __real_fdatasync(fd);
}

static int setup(void **state)
{
	fail_pwrite = fail_fdatasync = good_preads = bad_preads = 0;
	n_syncs = 0;
	return scratch_setup(state);
}

/* ---- helpers ---- */

static struct journal *reopen(struct scratch *s, struct journal *j)
{
	(void)journal_close(j);
	assert_int_equal(journal_open(s->dirfd, &j), 0);
	return j;
}

static void write_value(struct journal *j, const char *key, const char *value)
{
	assert_int_equal(journal_set(j, key, value), 0);
	assert_int_equal(journal_write(j), 0);
}

static void read_slot(struct scratch *s, const char *name, char ret[JOURNAL_SLOT_BYTES])
{
	int fd = openat(s->dirfd, name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, ret, JOURNAL_SLOT_BYTES, 0), JOURNAL_SLOT_BYTES);
	assert_int_equal(close(fd), 0);
}

/* ---- tests ---- */

static void test_is_empty_at_first(void **state)
{
	struct scratch *s = *state;
	struct journal *j = NULL;
	struct stat st;

	assert_int_equal(journal_open(s->dirfd, &j), 0);
	assert_int_equal(journal_state(j), JOURNAL_IDLE);
	assert_null(journal_get(j, "state"));
	assert_false(journal_is_damaged(j));
	assert_int_equal(fstatat(s->dirfd, "journal.a", &st, 0), 0);
	assert_int_equal(st.st_size, JOURNAL_SLOT_BYTES);
	assert_true(st.st_blocks > 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fstatat(s->dirfd, "journal.b", &st, 0), 0);
	j = reopen(s, j);
	assert_false(journal_is_damaged(j));
	(void)journal_close(j);
}

/* The bytes are a contract: the rescue program and later releases read them. */
static void test_has_exactly_these_bytes(void **state)
{
	static const char expected[] = "bms-journal 1 0000000000000001 0021 7e3d709f\n"
				       "state=idle\nfloor_B=B202109010001\n";
	struct scratch *s = *state;
	char bytes[JOURNAL_SLOT_BYTES];
	struct journal *j = NULL;

	assert_int_equal(journal_open(s->dirfd, &j), 0);
	assert_int_equal(journal_set(j, "state", "idle"), 0);
	write_value(j, "floor_B", "B202109010001");
	assert_int_equal(n_syncs, 1);
	(void)journal_close(j);
	read_slot(s, "journal.a", bytes);
	assert_memory_equal(bytes, expected, strlen(expected));
	for (size_t i = strlen(expected); i < sizeof bytes; i++)
		assert_int_equal(bytes[i], 0);
}

static void test_keeps_what_was_written(void **state)
{
	struct scratch *s = *state;
	struct journal *j = NULL;

	assert_int_equal(journal_open(s->dirfd, &j), 0);
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(journal_set_u64(j, "tries", i), 0);
		write_value(j, "state", i % 2 ? "trial" : "staging");
		assert_int_equal(journal_sequence(j), i);
		j = reopen(s, j);
		assert_int_equal(journal_get_u64(j, "tries"), i);
		assert_int_equal(journal_state(j), i % 2 ? JOURNAL_TRIAL : JOURNAL_STAGING);
		assert_int_equal(journal_sequence(j), i);
	}
	(void)journal_close(j);
}

static void test_sets_replaces_and_removes(void **state)
{
	struct scratch *s = *state;
	struct journal *j = NULL;

	assert_int_equal(journal_open(s->dirfd, &j), 0);
	assert_int_equal(journal_set(j, "a", "1"), 0);
	assert_int_equal(journal_set(j, "ab", "2"), 0);
	assert_int_equal(journal_set(j, "a", "longer"), 0);
	assert_string_equal(journal_get(j, "a"), "longer");
	assert_string_equal(journal_get(j, "ab"), "2");
	assert_int_equal(journal_set(j, "a", NULL), 0);
	assert_null(journal_get(j, "a"));
	assert_int_equal(journal_set(j, "a", NULL), 0);
	assert_int_equal(journal_set(j, "empty", ""), 0);
	assert_string_equal(journal_get(j, "empty"), "");
	assert_string_equal(journal_get(j, "ab"), "2");
	(void)journal_close(j);
}

static void test_refuses_what_is_no_line(void **state)
{
	struct scratch *s = *state;
	char big[JOURNAL_SLOT_BYTES];
	struct journal *j = NULL;

	memset(big, 'x', sizeof big);
	big[sizeof big - 1] = '\0';
	assert_int_equal(journal_open(s->dirfd, &j), 0);
	assert_int_equal(journal_set(j, "", "x"), -EINVAL);
	assert_int_equal(journal_set(j, "a=b", "x"), -EINVAL);
	assert_int_equal(journal_set(j, "a b", "x"), -EINVAL);
	assert_int_equal(journal_set(j, "a", "x\ny"), -EINVAL);
	assert_int_equal(journal_set(j, "keep", "me"), 0);
	assert_int_equal(journal_set(j, "big", big), -ENOSPC);
	assert_string_equal(journal_get(j, "keep"), "me");
	assert_null(journal_get(j, "big"));
	(void)journal_close(j);
}

static void test_fills_a_slot_to_the_brim(void **state)
{
	struct scratch *s = *state;
	char value[JOURNAL_SLOT_BYTES];
	struct journal *j = NULL;
	size_t n = sizeof value - 1;

	memset(value, 'x', sizeof value);
	assert_int_equal(journal_open(s->dirfd, &j), 0);
	do
		value[n] = '\0';
	while (journal_set(j, "big", value) == -ENOSPC && n-- > 0);
	assert_true(n > 3900);
	assert_int_equal(journal_write(j), 0);
	j = reopen(s, j);
	assert_string_equal(journal_get(j, "big"), value);
	(void)journal_close(j);
}

/* Any byte of the newest slot, changed: the state before it stands. */
static void test_falls_back_from_a_torn_slot(void **state)
{
	struct scratch *s = *state;
	char good[JOURNAL_SLOT_BYTES];
	struct journal *j = NULL;
	unsigned n = 0;

	assert_int_equal(journal_open(s->dirfd, &j), 0);
	write_value(j, "state", "ready");
	write_value(j, "state", "trial");
	(void)journal_close(j);
	read_slot(s, "journal.b", good);
	for (size_t i = 0; i < 60 && good[i]; i++) {
		char bad[JOURNAL_SLOT_BYTES];

		memcpy(bad, good, sizeof bad);
		bad[i] ^= 0x04;
		scratch_write(s->dirfd, "journal.b", bad, sizeof bad, 0600);
		assert_int_equal(journal_open(s->dirfd, &j), 0);
		/* The format number may be any. */
		if (i != strlen("bms-journal ")) {
			assert_int_equal(journal_state(j), JOURNAL_READY);
			n++;
		}
		assert_false(journal_is_damaged(j));
		(void)journal_close(j);
	}
	assert_true(n > 50);
}

static void test_falls_back_from_a_short_slot(void **state)
{
	struct scratch *s = *state;
	char good[JOURNAL_SLOT_BYTES];
	struct journal *j = NULL;

	assert_int_equal(journal_open(s->dirfd, &j), 0);
	write_value(j, "state", "ready");
	write_value(j, "state", "trial");
	(void)journal_close(j);
	read_slot(s, "journal.b", good);
	for (size_t size = 0; size < 57; size++) {
		scratch_write(s->dirfd, "journal.b", good, size, 0600);
		assert_int_equal(journal_open(s->dirfd, &j), 0);
		assert_int_equal(journal_state(j), JOURNAL_READY);
		(void)journal_close(j);
	}
}

static void test_tells_damage(void **state)
{
	struct scratch *s = *state;
	struct journal *j = NULL;

	scratch_text(s->dirfd, "journal.a", "bms-journal 1 what is this", 0600);
	scratch_text(s->dirfd, "journal.b", "", 0600);
	assert_int_equal(journal_open(s->dirfd, &j), 0);
	assert_true(journal_is_damaged(j));
	assert_int_equal(journal_state(j), JOURNAL_IDLE);
	write_value(j, "state", "ready");
	j = reopen(s, j);
	assert_false(journal_is_damaged(j));
	assert_int_equal(journal_state(j), JOURNAL_READY);
	(void)journal_close(j);
}

/* A bad block: recovery at boot must have something to go by. */
static void test_falls_back_from_a_slot_that_cannot_be_read(void **state)
{
	struct scratch *s = *state;
	struct journal *j = NULL;

	assert_int_equal(journal_open(s->dirfd, &j), 0);
	write_value(j, "state", "ready");
	write_value(j, "state", "trial");
	(void)journal_close(j);
	/* The older one, twice. */
	bad_preads = 2;
	assert_int_equal(journal_open(s->dirfd, &j), 0);
	assert_int_equal(journal_state(j), JOURNAL_TRIAL);
	assert_false(journal_is_damaged(j));
	(void)journal_close(j);
	/* The newer one, once: an accident. Twice: it is lost. */
	good_preads = 1;
	bad_preads = 1;
	assert_int_equal(journal_open(s->dirfd, &j), 0);
	assert_int_equal(journal_state(j), JOURNAL_TRIAL);
	(void)journal_close(j);
	good_preads = 1;
	bad_preads = 2;
	assert_int_equal(journal_open(s->dirfd, &j), 0);
	assert_int_equal(journal_state(j), JOURNAL_READY);
	assert_false(journal_is_damaged(j));
	(void)journal_close(j);
	bad_preads = -1;
	assert_int_equal(journal_open(s->dirfd, &j), 0);
	assert_true(journal_is_damaged(j));
	bad_preads = 0;
	write_value(j, "state", "ready");
	(void)journal_close(j);
}

/* A newer updaterd wrote it and was rolled back. */
static void test_carries_the_future_through(void **state)
{
	/* CRC-32 computed by zlib. */
	static const char future[] = "bms-journal 7 00000000000000aa 0031 5d641cba\n"
				     "state=hovering\nno line of ours\nfuture-key=?=?\nx=\n";
	struct scratch *s = *state;
	char bytes[JOURNAL_SLOT_BYTES];
	struct journal *j = NULL;

	scratch_text(s->dirfd, "journal.b", future, 0600);
	assert_int_equal(journal_open(s->dirfd, &j), 0);
	assert_int_equal(journal_sequence(j), 0xaa);
	assert_int_equal(journal_state(j), JOURNAL_UNKNOWN);
	assert_string_equal(journal_get(j, "x"), "");
	write_value(j, "state", "idle");
	(void)journal_close(j);
	read_slot(s, "journal.a", bytes);
	assert_non_null(strstr(bytes, "\nno line of ours\nfuture-key=?=?\nx=\nstate=idle\n"));
	assert_non_null(strstr(bytes, "bms-journal 1 00000000000000ab "));
}

static void fail_once(struct scratch *s, int *fault)
{
	struct journal *j = NULL;

	assert_int_equal(journal_open(s->dirfd, &j), 0);
	write_value(j, "state", "ready");
	write_value(j, "state", "trial");
	*fault = EIO;
	assert_int_equal(journal_set(j, "state", "confirmed"), 0);
	assert_int_equal(journal_write(j), -EIO);
	*fault = EIO;
	assert_int_equal(journal_set(j, "state", "rolled-back"), 0);
	assert_int_equal(journal_write(j), -EIO);
	*fault = 0;
	/* The good slot must not have been touched by the second try. */
	scratch_text(s->dirfd, "journal.a", "", 0600);
	j = reopen(s, j);
	assert_int_equal(journal_state(j), JOURNAL_TRIAL);
	(void)journal_close(j);
}

static void test_a_failed_write_leaves_the_last_good_slot(void **state)
{
	fail_once(*state, &fail_pwrite);
}

static void test_a_failed_sync_leaves_the_last_good_slot(void **state)
{
	fail_once(*state, &fail_fdatasync);
	assert_int_equal(n_syncs, 4);
}

/* The slot of a failed write may hold it all the same: what is written next must win over it. */
static void test_wins_over_a_write_that_seemed_to_fail(void **state)
{
	struct scratch *s = *state;
	struct journal *j = NULL;

	assert_int_equal(journal_open(s->dirfd, &j), 0);
	write_value(j, "state", "trial");
	fail_fdatasync = EIO;
	assert_int_equal(journal_set(j, "state", "confirmed"), 0);
	assert_int_equal(journal_write(j), -EIO);
	fail_fdatasync = 0;
	write_value(j, "state", "rolled-back");
	j = reopen(s, j);
	assert_int_equal(journal_state(j), JOURNAL_ROLLED_BACK);
	(void)journal_close(j);
}

static void test_a_reader_makes_and_writes_nothing(void **state)
{
	struct scratch *s = *state;
	struct journal *j = NULL;
	struct stat st;

	assert_int_equal(journal_load(s->dirfd, &j), 0);
	assert_int_equal(journal_state(j), JOURNAL_IDLE);
	assert_int_equal(fstatat(s->dirfd, "journal.a", &st, 0), -1);
	(void)journal_close(j);
	assert_int_equal(journal_open(s->dirfd, &j), 0);
	write_value(j, "state", "ready");
	(void)journal_close(j);
	assert_int_equal(journal_load(s->dirfd, &j), 0);
	assert_int_equal(journal_state(j), JOURNAL_READY);
	assert_int_equal(journal_write(j), -EBADF);
	(void)journal_close(j);
}

/* Every block of a slot is there, written to, before anything depends on it. */
static void test_has_its_blocks_from_the_beginning(void **state)
{
	struct scratch *s = *state;
	struct journal *j = NULL;

	assert_int_equal(journal_open(s->dirfd, &j), 0);
	(void)journal_close(j);
	for (int i = 0; i < 2; i++) {
		int fd = openat(s->dirfd, i ? JOURNAL_SLOT_B : JOURNAL_SLOT_A, O_RDONLY);
		struct stat st;

		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, JOURNAL_SLOT_BYTES);
		assert_true(st.st_blocks * 512 >= JOURNAL_SLOT_BYTES);
		(void)close(fd);
	}
	/* No room for them: no journal, rather than one that fails later. */
	assert_int_equal(unlinkat(s->dirfd, JOURNAL_SLOT_B, 0), 0);
	fail_pwrite = ENOSPC;
	assert_int_equal(journal_open(s->dirfd, &j), -ENOSPC);
	fail_pwrite = 0;
}

static void test_follows_no_link(void **state)
{
	struct scratch *s = *state;
	struct journal *j = NULL;

	scratch_text(s->dirfd, "elsewhere", "precious", 0600);
	assert_int_equal(symlinkat("elsewhere", s->dirfd, "journal.a"), 0);
	assert_int_equal(journal_open(s->dirfd, &j), -ELOOP);
	assert_null(j);
}

static void test_reads_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} cases[] = {
		{ "0", 0 },  { "18446744073709551615", UINT64_MAX },
		{ "-1", 0 }, { "18446744073709551616", 0 },
		{ "1x", 0 }, { "", 0 },
		{ " 1", 0 }, { "0x10", 0 },
	};
	struct scratch *s = *state;
	struct journal *j = NULL;

	assert_int_equal(journal_open(s->dirfd, &j), 0);
	assert_int_equal(journal_get_u64(j, "n"), 0);
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		assert_int_equal(journal_set(j, "n", cases[i].text), 0);
		assert_true(journal_get_u64(j, "n") == cases[i].value);
	}
	assert_int_equal(journal_set_u64(j, "n", UINT64_MAX), 0);
	assert_true(journal_get_u64(j, "n") == UINT64_MAX);
	(void)journal_close(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, scratch_teardown)
		TEST(test_is_empty_at_first),
		TEST(test_has_exactly_these_bytes),
		TEST(test_keeps_what_was_written),
		TEST(test_sets_replaces_and_removes),
		TEST(test_refuses_what_is_no_line),
		TEST(test_fills_a_slot_to_the_brim),
		TEST(test_falls_back_from_a_torn_slot),
		TEST(test_falls_back_from_a_short_slot),
		TEST(test_tells_damage),
		TEST(test_falls_back_from_a_slot_that_cannot_be_read),
		TEST(test_carries_the_future_through),
		TEST(test_a_failed_write_leaves_the_last_good_slot),
		TEST(test_a_failed_sync_leaves_the_last_good_slot),
		TEST(test_wins_over_a_write_that_seemed_to_fail),
		TEST(test_a_reader_makes_and_writes_nothing),
		TEST(test_has_its_blocks_from_the_beginning),
		TEST(test_follows_no_link),
		TEST(test_reads_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
