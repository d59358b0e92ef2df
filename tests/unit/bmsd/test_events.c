/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"

#include "bmsd/events.h"

#define BOOT_ID "0123456789abcdef0123456789abcdef"

/* Disk errors on demand. */
static int write_error, sync_error;
static unsigned syncs;

ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
	if (!write_error)
		return __real_write(fd, bytes, size);
	/* Half of it is there when the disk is full. */
	if (size > 20)
		return __real_write(fd, bytes, size / 2);
	errno = write_error;
	return -1;
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	syncs++;
	errno = sync_error;
	return sync_error ? -1 : __real_fdatasync(fd);
}

static int open_error; /* of what is to be made or written */

int __real_fs_open_beneath(int dirfd, const char *name, int flags, mode_t mode);
int __wrap_fs_open_beneath(int dirfd, const char *name, int flags, mode_t mode);
int __wrap_fs_open_beneath(int dirfd, const char *name, int flags, mode_t mode)
{
	if (open_error && flags & O_CREAT)
		return open_error;
	return __real_fs_open_beneath(dirfd, name, flags, mode);
}

static struct events *open_events(const struct scratch *s, uint64_t max_bytes, uint64_t floor)
{
	struct events_settings settings = { max_bytes };
	struct events *e = NULL;

	assert_int_equal(events_open(s->dirfd, &settings, BOOT_ID, floor, &e), 0);
	return e;
}

static int add(struct events *e, const char *name, int64_t uptime_msec)
{
	struct event_new event = { .kind = EVENT_ALARM_SET, .pack = 0, .name = name };

	return events_add(e, &event, 1700000000, uptime_msec);
}

/* Rare enough that each is synced at once. */
static void add_some(struct events *e, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(add(e, "cell-overvoltage",
				     (int64_t)(events_added(e) + 1) * EVENTS_SYNC_MSEC),
				 1);
}

struct collected {
	size_t n;
	uint64_t first, last;
	bool gap;
	char text[EVENT_LINE_BYTES];
};

static int collect(const char *line, size_t size, void *userdata)
{
	struct collected *c = userdata;
	unsigned long long sequence = 0;

	assert_int_equal(sscanf(line, "{\"sequence\":%llu,", &sequence), 1);
	assert_true(size < sizeof c->text);
	memcpy(c->text, line, size);
	c->text[size] = '\0';
	if (c->n++ == 0)
		c->first = sequence;
	else if (sequence != c->last + 1)
		c->gap = true;
	c->last = sequence;
	return 0;
}

static struct collected read_all(struct events *e, uint64_t after)
{
	struct collected c = {};

	assert_int_equal(events_read(e, after, SIZE_MAX, collect, &c), 0);
	return c;
}

static off_t size_of(const struct scratch *s, const char *name)
{
	struct stat st = {};

	return fstatat(s->dirfd, name, &st, 0) < 0 ? -1 : st.st_size;
}

static void test_what_a_line_says(void **state)
{
	_cleanup_(events_freep) struct events *e = open_events(*state, 1 << 20, 0);
	struct sample sample = { .valid = 1u << SAMPLE_VOLTAGE | 1u << SAMPLE_CELLS,
				 .voltage_uv = 48000000,
				 .n_cells = 2,
				 .cells_uv = { 3650000, 3600000 } };
	struct event_new event = { .kind = EVENT_ALARM_SET,
				   .pack = 3,
				   .name = "cell-overvoltage",
				   .level = "alarm",
				   .detail = "evil \"quote\"\n\xff",
				   .sample = &sample,
				   .soc_centipercent = 5731 };
	struct event_view view;

	assert_int_equal(events_add(e, &event, 1700000000, 123), 1);
	assert_string_equal(
		read_all(e, 0).text,
		"{\"sequence\":1,\"boot_id\":\"" BOOT_ID
		"\",\"wall_sec\":1700000000,\"uptime_msec\":123,\"pack\":3,"
		"\"event\":\"alarm-set\",\"name\":\"cell-overvoltage\",\"level\":\"alarm\","
		"\"detail\":\"evil \\\"quote\\\"??\",\"values\":{\"voltage_now\":48000000,"
		"\"cell_min\":3600000,\"cell_max\":3650000,\"soc_centipercent\":5731}}");
	assert_int_equal(events_last(e, &view, 1), 1);
	assert_int_equal(view.sequence, 1);
	assert_int_equal(view.pack, 3);
	assert_string_equal(view.kind, "alarm-set");
	assert_string_equal(view.name, "cell-overvoltage");
	assert_string_equal(view.detail, "evil \"quote\"??");
}

static void test_numbers_go_on_after_a_restart(void **state)
{
	struct events *e = open_events(*state, 1 << 20, 0);
	struct collected c;

	assert_int_equal(events_sequence(e), 0);
	add_some(e, 5);
	(void)events_free(e);
	e = open_events(*state, 1 << 20, 3);
	assert_int_equal(events_sequence(e), 5);
	add_some(e, 1);
	c = read_all(e, 2);
	assert_int_equal(c.n, 4);
	assert_int_equal(c.first, 3);
	assert_false(c.gap);
	assert_int_equal(events_read(e, 0, 2, collect, &(struct collected){}), 0);
	(void)events_free(e);
	/* The log is gone, the state files know. */
	assert_int_equal(unlinkat(((struct scratch *)*state)->dirfd, EVENTS_FILE, 0), 0);
	e = open_events(*state, 1 << 20, 900);
	add_some(e, 1);
	assert_int_equal(read_all(e, 0).first, 901);
	(void)events_free(e);
}

static void test_bounded_whatever_happens(void **state)
{
	_cleanup_(events_freep) struct events *e = open_events(*state, 16384, 0);
	struct collected c;
	off_t most = 0;

	for (unsigned i = 0; i < 500; i++) {
		off_t old = size_of(*state, EVENTS_OLD_FILE), now;

		add_some(e, 1);
		now = size_of(*state, EVENTS_FILE) + (old > 0 ? old : 0);
		most = now > most ? now : most;
	}
	assert_true(most <= 16384);
	assert_true(most > 12000);
	c = read_all(e, 0);
	assert_int_equal(c.last, 500);
	assert_true(c.n > 30);
	assert_false(c.gap);
}

/* The end of the last line may be missing: exactly that event is not there. */
static void test_a_torn_tail_at_every_byte(void **state)
{
	const struct scratch *s = *state;
	struct events *e = open_events(s, 1 << 20, 0);
	_cleanup_free_ char *text = NULL;
	size_t size = 0, line;

	add_some(e, 4);
	(void)events_free(e);
	assert_int_equal(fs_read_file(s->dirfd, EVENTS_FILE, 1 << 20, &text, &size), 0);
	for (line = 1; text[size - line - 1] != '\n'; line++)
		;
	for (size_t cut = 0; cut < line; cut++) {
		struct collected c;

		scratch_write(s->dirfd, EVENTS_FILE, text, size - line + cut, 0640);
		e = open_events(s, 1 << 20, 0);
		assert_int_equal(events_sequence(e), 3);
		assert_int_equal(size_of(s, EVENTS_FILE), (off_t)(size - line));
		add_some(e, 1);
		c = read_all(e, 0);
		assert_int_equal(c.n, 4);
		assert_false(c.gap);
		(void)events_free(e);
	}
}

/* A page of zeros, a line of junk: the others count. */
static void test_lines_that_are_no_events(void **state)
{
	const struct scratch *s = *state;
	static const char text[] = "{\"sequence\":7}\nnonsense\n\0\0\0\0\n"
				   "{\"sequence\":\"8\"}\n{\"sequence\":9,\"new\":[1]}\n";
	struct events *e;
	struct collected c;

	scratch_write(s->dirfd, EVENTS_FILE, text, sizeof text - 1, 0640);
	e = open_events(s, 1 << 20, 0);
	c = read_all(e, 0);
	assert_int_equal(c.n, 2);
	assert_int_equal(c.last, 9);
	add_some(e, 1);
	assert_int_equal(read_all(e, 9).first, 10);
	(void)events_free(e);
}

static void test_what_is_not_synced_is_not_shown(void **state)
{
	_cleanup_(events_freep) struct events *e = open_events(*state, 1 << 20, 0);
	struct event_view view;

	/* A storm: all in one moment. */
	for (unsigned i = 0; i < EVENTS_BURST; i++)
		assert_int_equal(add(e, "storm", 1000), 1);
	syncs = 0;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(add(e, "storm", 1001), 0);
	assert_int_equal(syncs, 0);
	assert_int_equal(events_added(e), EVENTS_BURST + 100);
	assert_int_equal(events_sequence(e), EVENTS_BURST);
	assert_int_equal(read_all(e, 0).last, EVENTS_BURST);
	assert_int_equal(events_last(e, &view, 1), 0);
	assert_int_equal(events_tick(e, 1000 + EVENTS_SYNC_MSEC - 1), 0);
	assert_int_equal(events_tick(e, 1000 + EVENTS_SYNC_MSEC), 1);
	assert_int_equal(syncs, 1);
	assert_int_equal(read_all(e, 0).last, EVENTS_BURST + 100);
	assert_int_equal(events_last(e, &view, 1), 1);
	assert_int_equal(view.sequence, EVENTS_BURST + 100);
}

static void test_a_full_disk_leaves_no_half_line(void **state)
{
	const struct scratch *s = *state;
	_cleanup_(events_freep) struct events *e = open_events(s, 1 << 20, 0);
	off_t size;

	add_some(e, 2);
	size = size_of(s, EVENTS_FILE);
	write_error = ENOSPC;
	assert_int_equal(add(e, "full", 1), -ENOSPC);
	write_error = 0;
	assert_int_equal(size_of(s, EVENTS_FILE), size);
	assert_int_equal(events_added(e), 2);
	add_some(e, 1);
	assert_int_equal(read_all(e, 0).last, 3);
}

/* Full or read-only when bmsd starts: the log begins as soon as it can. */
static void test_a_disk_that_is_written_later(void **state)
{
	const struct scratch *s = *state;
	struct events *e = open_events(s, 1 << 20, 0);

	add_some(e, 3);
	(void)events_free(e);
	scratch_text(s->dirfd, EVENTS_OLD_FILE, "{\"sequence\":1}\n{\"sequence\":2}\n", 0640);
	scratch_text(s->dirfd, EVENTS_FILE, "{\"sequence\":3}\n{\"sequence\":4", 0640);
	open_error = -EROFS;
	e = open_events(s, 1 << 20, 2);
	assert_int_equal(events_sequence(e), 3);
	assert_int_equal(read_all(e, 0).n, 3);
	assert_int_equal(add(e, "lost", 1), -EROFS);
	assert_int_equal(events_added(e), 3);
	open_error = 0;
	add_some(e, 1);
	assert_int_equal(read_all(e, 0).last, 4);
	assert_false(read_all(e, 0).gap);
	(void)events_free(e);
}

static void test_a_failed_sync_shows_nothing(void **state)
{
	_cleanup_(events_freep) struct events *e = open_events(*state, 1 << 20, 0);

	sync_error = EIO;
	assert_int_equal(add(e, "unsure", 1), -EIO);
	sync_error = 0;
	assert_int_equal(events_sequence(e), 0);
	assert_int_equal(read_all(e, 0).n, 0);
	assert_int_equal(events_sync(e), 1);
	assert_int_equal(read_all(e, 0).n, 1);
}

/* Says of each event, when it has been added, one byte on said_fd. */
static void write_until_killed(const struct scratch *s, int said_fd)
{
	struct events *e = open_events(s, 65536, 0);

	for (int64_t i = 0;; i++)
		if (add(e, "child", i) < 0 || write(said_fd, "", 1) != 1)
			_exit(1);
}

/*
 * Killed in the middle of it, again and again: no gap, no number twice, in both files together, and
 * nothing lost of what was said to be added. A round begins to count with what the child has done,
 * since a busy machine may not let it do anything for longer than any sleep.
 */
static void test_killed_while_writing(void **state)
{
	const struct scratch *s = *state;
	uint64_t before = 0;

	for (unsigned round = 0; round < 60; round++) {
		unsigned added = 1 + round % 5;
		struct collected c = {};
		int said[2], status = 0;
		char byte;
		pid_t child;

		assert_int_equal(pipe(said), 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0)
			write_until_killed(s, said[1]);
		close(said[1]);
		for (unsigned i = 0; i < added; i++)
			assert_int_equal(read(said[0], &byte, 1), 1);
		(void)usleep(round * 700 % 9000);
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		close(said[0]);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(events_read_files(s->dirfd, 0, SIZE_MAX, collect, &c), 0);
		assert_false(c.gap);
		assert_true(c.last >= before + added);
		before = c.last;
	}
}

int main(void)
{
#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
	const struct CMUnitTest tests[] = {
		SCRATCH_TEST(test_what_a_line_says),
		SCRATCH_TEST(test_numbers_go_on_after_a_restart),
		SCRATCH_TEST(test_bounded_whatever_happens),
		SCRATCH_TEST(test_a_torn_tail_at_every_byte),
		SCRATCH_TEST(test_lines_that_are_no_events),
		SCRATCH_TEST(test_what_is_not_synced_is_not_shown),
		SCRATCH_TEST(test_a_full_disk_leaves_no_half_line),
		SCRATCH_TEST(test_a_disk_that_is_written_later),
		SCRATCH_TEST(test_a_failed_sync_shows_nothing),
		SCRATCH_TEST(test_killed_while_writing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
