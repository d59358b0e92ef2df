/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"

#include "bmsd/history.h"

#define FILE_BYTES ((off_t)HISTORY_RECORD_BYTES * (HISTORY_RECORDS + 1))
/* A round minute. */
#define NOON	   UINT64_C(1700000040)

static int write_error, room_error;
static unsigned syncs;

ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off64_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off64_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
	errno = write_error;
	return write_error ? -1 : __real_pwrite64(fd, bytes, size, offset);
}

int __real_posix_fallocate64(int fd, off64_t offset, off64_t size);
int __wrap_posix_fallocate64(int fd, off64_t offset, off64_t size);
int __wrap_posix_fallocate64(int fd, off64_t offset, off64_t size)
{
	return room_error ? room_error : __real_posix_fallocate64(fd, offset, size);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	syncs++;
	return __real_fdatasync(fd);
}

static struct history *open_history(const struct scratch *s)
{
	struct history *h = NULL;
	bool damaged = true;
	int error = -1;

	assert_int_equal(history_open(s->dirfd, &h, &damaged, &error), 0);
	assert_false(damaged);
	assert_int_equal(error, 0);
	return h;
}

static struct sample sample_of(int64_t volt, int64_t milliampere)
{
	return (struct sample){ .valid = UINT32_MAX,
				.voltage_uv = volt * 1000000,
				.current_ua = milliampere * 1000,
				.n_cells = 2,
				.cells_uv = { 3600000, 3700000 },
				.n_temperatures = 2,
				.temperatures_decicelsius = { -105, 215 } };
}

static void add(struct history *h, int64_t volt, uint64_t wall_sec, int64_t uptime_sec)
{
	struct sample s = sample_of(volt, -1000 * volt);

	assert_true(history_add(h, &s, 5000, wall_sec, uptime_sec * 1000) >= 0);
}

struct collected {
	size_t n;
	struct history_point first, last;
	bool backwards;
};

static int collect(const struct history_point *p, void *userdata)
{
	struct collected *c = userdata;

	if (c->n++ == 0)
		c->first = *p;
	else if (p->wall_sec < c->last.wall_sec)
		c->backwards = true;
	c->last = *p;
	return 0;
}

static struct collected minutes(const struct history *h, uint64_t from_sec, uint64_t to_sec)
{
	struct collected c = {};

	assert_int_equal(history_read_minutes(h, from_sec, to_sec, collect, &c), 0);
	return c;
}

static struct collected seconds(const struct history *h)
{
	struct collected c = {};

	assert_int_equal(history_read_seconds(h, 0, UINT64_MAX, collect, &c), 0);
	return c;
}

static off_t size_of(const struct scratch *s, const char *name)
{
	struct stat st = {};

	return fstatat(s->dirfd, name, &st, 0) < 0 ? -1 : st.st_size;
}

static void write_at(const struct scratch *s, off_t offset, const void *bytes, size_t size)
{
	int fd = openat(s->dirfd, HISTORY_FILE, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(__real_pwrite64(fd, bytes, size, offset), size);
	(void)close(fd);
}

static void test_a_minute_is_min_avg_max(void **state)
{
	_cleanup_(history_freep) struct history *h = open_history(*state);
	struct history_point p;

	add(h, 40, NOON, 100);
	add(h, 50, NOON + 1, 101);
	add(h, 45, NOON + 59, 159);
	assert_int_equal(minutes(h, 0, UINT64_MAX).n, 0);
	add(h, 99, NOON + 60, 160);
	assert_int_equal(minutes(h, 0, UINT64_MAX).n, 1);
	p = minutes(h, 0, UINT64_MAX).first;
	assert_int_equal(p.wall_sec, NOON);
	assert_int_equal(p.samples, 3);
	assert_int_equal(p.valid, (1 << HISTORY_FIELDS) - 1);
	assert_int_equal(p.fields[HISTORY_VOLTAGE].min, 40000);
	assert_int_equal(p.fields[HISTORY_VOLTAGE].avg, 45000);
	assert_int_equal(p.fields[HISTORY_VOLTAGE].max, 50000);
	assert_int_equal(p.fields[HISTORY_CURRENT].min, -50000);
	assert_int_equal(p.fields[HISTORY_CURRENT].max, -40000);
	assert_int_equal(p.fields[HISTORY_SOC].avg, 5000);
	assert_int_equal(p.fields[HISTORY_TEMPERATURE].min, -105);
	assert_int_equal(p.fields[HISTORY_TEMPERATURE].avg, 55);
	assert_int_equal(p.fields[HISTORY_TEMPERATURE].max, 215);
	assert_int_equal(p.fields[HISTORY_CELLS].min, 3600);
	assert_int_equal(p.fields[HISTORY_CELLS].max, 3700);
}

static void test_what_is_not_known_is_not_there(void **state)
{
	_cleanup_(history_freep) struct history *h = open_history(*state);
	struct sample s = sample_of(40, 0);
	struct history_point p;

	s.valid = 1u << SAMPLE_CURRENT;
	assert_int_equal(history_add(h, &s, -1, NOON, 1000), 0);
	p = seconds(h).first;
	assert_int_equal(p.valid, 1 << HISTORY_CURRENT);
	assert_int_equal(history_flush(h), 1);
	p = minutes(h, 0, UINT64_MAX).first;
	assert_int_equal(p.valid, 1 << HISTORY_CURRENT);
}

static void test_an_hour_of_seconds(void **state)
{
	_cleanup_(history_freep) struct history *h = open_history(*state);
	struct collected c;

	for (int i = 0; i < 4000; i++) {
		add(h, 40, NOON + (uint64_t)i, 100 + i);
		if (i % 2)
			add(h, 41, NOON + (uint64_t)i, 100 + i);
	}
	c = seconds(h);
	assert_int_equal(c.n, HISTORY_SECONDS);
	assert_int_equal(c.first.wall_sec, NOON + 400);
	assert_int_equal(c.last.wall_sec, NOON + 3999);
	assert_int_equal(c.last.fields[HISTORY_VOLTAGE].avg, 41000);
	assert_int_equal(c.last.fields[HISTORY_TEMPERATURE].min, -105);
	assert_false(c.backwards);
	c = (struct collected){};
	assert_int_equal(history_read_seconds(h, NOON + 3000, NOON + 3009, collect, &c), 0);
	assert_int_equal(c.n, 10);
}

/* Thirty days and a bit: the oldest make room, the file stays as it is; and after a restart. */
static void test_the_ring_goes_round(void **state)
{
	struct history *h = open_history(*state);
	struct collected c;
	uint64_t n = HISTORY_RECORDS + 1000;

	assert_int_equal(size_of(*state, HISTORY_FILE), FILE_BYTES);
	for (uint64_t i = 0; i <= n; i++)
		add(h, 40, NOON + i * 60, (int64_t)i * 60 + 1);
	assert_int_equal(size_of(*state, HISTORY_FILE), FILE_BYTES);
	for (int round = 0; round < 2; round++) {
		c = minutes(h, 0, UINT64_MAX);
		assert_int_equal(c.n, HISTORY_RECORDS);
		assert_int_equal(c.first.wall_sec, NOON + 1000 * 60);
		assert_int_equal(c.last.wall_sec, NOON + (n - 1) * 60);
		assert_false(c.backwards);
		assert_int_equal(minutes(h, NOON + 2000 * 60, NOON + 2009 * 60).n, 10);
		(void)history_free(h);
		h = open_history(*state);
	}
	add(h, 40, NOON + n * 60, 1);
	add(h, 40, NOON + (n + 1) * 60, 61);
	c = minutes(h, 0, UINT64_MAX);
	assert_int_equal(c.first.wall_sec, NOON + 1001 * 60);
	assert_int_equal(c.last.wall_sec, NOON + n * 60);
	(void)history_free(h);
}

static void test_a_torn_record_is_skipped(void **state)
{
	const struct scratch *s = *state;
	struct history *h = open_history(s);
	struct collected c;

	for (uint64_t i = 0; i <= 10; i++)
		add(h, 40, NOON + i * 60, (int64_t)i * 60 + 1);
	(void)history_free(h);
	/* Every byte of the fifth record, one at a time. */
	for (off_t byte = 0; byte < HISTORY_RECORD_BYTES; byte++) {
		off_t at = 5 * HISTORY_RECORD_BYTES + byte;
		char good = 0, bad;
		int fd = openat(s->dirfd, HISTORY_FILE, O_RDONLY);

		assert_int_equal(pread(fd, &good, 1, at), 1);
		(void)close(fd);
		bad = (char)(good ^ 0x41);
		write_at(s, at, &bad, 1);
		c = (struct collected){};
		assert_int_equal(history_read_file(s->dirfd, 0, UINT64_MAX, collect, &c), 0);
		assert_int_equal(c.n, 9);
		write_at(s, at, &good, 1);
	}
	/* The last one torn: its place is used again. */
	write_at(s, 10 * HISTORY_RECORD_BYTES + 3, "\xff", 1);
	h = open_history(s);
	add(h, 41, NOON + 11 * 60, 1);
	add(h, 41, NOON + 12 * 60, 61);
	c = minutes(h, 0, UINT64_MAX);
	assert_int_equal(c.n, 10);
	assert_int_equal(c.last.wall_sec, NOON + 11 * 60);
	(void)history_free(h);
}

/* A gateway without a clock starts in 1970, then is told the time; then somebody sets it back. */
static void test_a_clock_that_is_set(void **state)
{
	_cleanup_(history_freep) struct history *h = open_history(*state);
	struct collected c;

	for (int i = 0; i < 120; i++)
		add(h, 40, 1000 + (uint64_t)i, i + 1);
	for (int i = 0; i < 120; i++)
		add(h, 41, NOON + (uint64_t)i, i + 121);
	for (int i = 0; i < 121; i++)
		add(h, 42, NOON - 600 + (uint64_t)i, i + 241);
	c = minutes(h, 0, UINT64_MAX);
	assert_int_equal(c.first.fields[HISTORY_VOLTAGE].avg, 40000);
	assert_int_equal(c.last.fields[HISTORY_VOLTAGE].avg, 42000);
	assert_true(c.backwards);
	assert_int_equal(minutes(h, NOON, NOON + 119).n, 2);
	/* The clock stands still: a minute is over after a minute all the same. */
	for (int i = 0; i < 121; i++)
		add(h, 43, NOON, i + 400);
	assert_true(minutes(h, 0, UINT64_MAX).n > c.n + 1);
}

static void test_synced_every_ten_minutes_at_most(void **state)
{
	_cleanup_(history_freep) struct history *h = open_history(*state);

	syncs = 0;
	for (int i = 0; i < 86400; i += 10) {
		add(h, 40, NOON + (uint64_t)i, 100 + i);
		assert_true(history_tick(h, NOON + (uint64_t)i, 1000 * (100 + i)) >= 0);
	}
	assert_true(syncs > 100);
	assert_true(syncs <= 144);
	syncs = 0;
	assert_int_equal(history_flush(h), 1);
	assert_int_equal(history_flush(h), 0);
	assert_int_equal(syncs, 1);
}

static void test_silence_ends_a_minute_too(void **state)
{
	_cleanup_(history_freep) struct history *h = open_history(*state);

	add(h, 40, NOON, 1);
	assert_int_equal(history_tick(h, NOON + 30, 31000), 0);
	assert_int_equal(minutes(h, 0, UINT64_MAX).n, 0);
	assert_int_equal(history_tick(h, NOON + 60, 61000), 1);
	assert_int_equal(minutes(h, 0, UINT64_MAX).n, 1);
	/* Nothing to write, but to sync. */
	assert_int_equal(history_tick(h, NOON + 600, 601000), 1);
	assert_int_equal(minutes(h, 0, UINT64_MAX).n, 1);
}

static void test_a_file_that_is_not_ours(void **state)
{
	const struct scratch *s = *state;
	struct history *h = open_history(s);
	bool damaged = false;
	int error = -1;

	(void)history_free(h);
	write_at(s, 3, "X", 1);
	assert_int_equal(history_open(s->dirfd, &h, &damaged, &error), 0);
	assert_true(damaged);
	assert_int_equal(error, 0);
	assert_int_equal(size_of(s, "history.ring.damaged"), FILE_BYTES);
	add(h, 40, NOON, 1);
	assert_int_equal(history_flush(h), 1);
	assert_int_equal(minutes(h, 0, UINT64_MAX).n, 1);
	(void)history_free(h);
	scratch_text(s->dirfd, HISTORY_FILE, "short", 0640);
	damaged = false;
	assert_int_equal(history_open(s->dirfd, &h, &damaged, &error), 0);
	assert_true(damaged);
	(void)history_free(h);
}

static void test_without_room_there_is_memory(void **state)
{
	const struct scratch *s = *state;
	_cleanup_(history_freep) struct history *h = NULL;
	bool damaged = true;
	int error = 0;

	room_error = ENOSPC;
	assert_int_equal(history_open(s->dirfd, &h, &damaged, &error), 0);
	room_error = 0;
	assert_int_equal(error, -ENOSPC);
	assert_int_equal(size_of(s, HISTORY_FILE), -1);
	assert_int_equal(size_of(s, ".#history.ring"), -1);
	add(h, 40, NOON, 1);
	add(h, 40, NOON + 60, 61);
	assert_int_equal(seconds(h).n, 2);
	assert_int_equal(minutes(h, 0, UINT64_MAX).n, 0);
	assert_int_equal(history_flush(h), 0);
}

static void test_a_write_that_fails_is_said(void **state)
{
	_cleanup_(history_freep) struct history *h = open_history(*state);
	struct sample s = sample_of(40, 0);

	add(h, 40, NOON, 1);
	write_error = EIO;
	assert_int_equal(history_add(h, &s, -1, NOON + 60, 61000), -EIO);
	write_error = 0;
	add(h, 40, NOON + 120, 121);
	assert_int_equal(minutes(h, 0, UINT64_MAX).n, 1);
	assert_int_equal(seconds(h).n, 3);
}

int main(void)
{
#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
	const struct CMUnitTest tests[] = {
		SCRATCH_TEST(test_a_minute_is_min_avg_max),
		SCRATCH_TEST(test_what_is_not_known_is_not_there),
		SCRATCH_TEST(test_an_hour_of_seconds),
		SCRATCH_TEST(test_the_ring_goes_round),
		SCRATCH_TEST(test_a_torn_record_is_skipped),
		SCRATCH_TEST(test_a_clock_that_is_set),
		SCRATCH_TEST(test_synced_every_ten_minutes_at_most),
		SCRATCH_TEST(test_silence_ends_a_minute_too),
		SCRATCH_TEST(test_a_file_that_is_not_ours),
		SCRATCH_TEST(test_without_room_there_is_memory),
		SCRATCH_TEST(test_a_write_that_fails_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
