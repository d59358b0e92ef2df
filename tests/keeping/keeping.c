/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power is cut at a block write while bmsd keeps what it keeps: states, events, history. On the disk of
 * tests/crash, which logs what is written to it, the real modules write; then the machine boots from
 * the disk as it was at each write of the log, or with some of the writes missing that no flush had
 * confirmed, and must find what had been promised by then.
 *
 *	keeping [--fs=ext4] [--states=N] [--seed=N]
 *		0 states: at every write; exit 77: no such disk can be had here
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../crash/disk.h"
#include "../crash/filesystem.h"
#include "bmsd/events.h"
#include "bmsd/history.h"
#include "bmsd/state.h"
#include "common/fsutil.h"

#define STEPS	   40
#define NOON	   UINT64_C(1700000040)
#define BOOT_ID	   "0123456789abcdef0123456789abcdef"
#define PACK	   "packs/0"
#define VOLTAGE_UV INT64_C(48000000)
/* So that the log goes over into its second file. */
#define LONG_ENOUGH                                                                                \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"         \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SKIPPED 77
#define NANO	1000000000.0
#define TOLD	10u

/* What must be there once the log was so long. */
struct promise {
	uint64_t position;
	uint64_t state, event;
	size_t minutes;
	bool has_history;
};

struct keeping {
	const struct filesystem *fs;
	struct disk disk;
	char directory[64], mountpoint[96];
	uint8_t *base, *now;
	struct promise promises[STEPS * 4];
	size_t n_promises;
	uint64_t seed, random;
	struct timespec began;
	unsigned n_states, n_failed;
};

static uint64_t next_random(struct keeping *k)
{
	k->random ^= k->random << 13;
	k->random ^= k->random >> 7;
	k->random ^= k->random << 17;
	return k->random;
}

static void _printf_(1, 2) give_up(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	exit(2);
}

static void must(int r, const char *what)
{
	if (r < 0)
		give_up("%s: %s", what, strerror(-r));
}

/* ---- what is cut ---- */

static void promise(struct keeping *k, struct promise p)
{
	p.position = k->disk.log->n;
	k->promises[k->n_promises++] = p;
}

static void keep_one(struct keeping *k, struct state *s, struct events *e, struct history *h,
		     unsigned step, struct promise *p)
{
	struct sample sample = { .valid = UINT32_MAX,
				 .model = "BOARD",
				 .capacity_percent = 50,
				 .voltage_uv = VOLTAGE_UV,
				 .n_cells = 13 };
	struct event_new event = {
		.kind = EVENT_ALARM_SET, .pack = 0, .name = "cell-spread", .detail = LONG_ENOUGH
	};
	uint64_t wall_sec = NOON + step * 60;
	struct state_stamp stamp = { "B202108010001", wall_sec, wall_sec * 1000, BOOT_ID };

	must(events_add(e, &event, wall_sec, (int64_t)step * EVENTS_SYNC_MSEC), "event");
	p->event = events_sequence(e);
	promise(k, *p);
	(void)state_note(s, &sample);
	state_keep(s)->lifetime.watched_sec = step + 1;
	state_keep(s)->event_sequence = events_added(e);
	must(state_save(s, &stamp), "state");
	p->state = step + 1;
	promise(k, *p);
	must(history_add(h, &sample, 5000, wall_sec, (int64_t)step * 60000 + 1), "history");
	if (step % 5 == 4) {
		must(history_flush(h), "history");
		p->minutes = step + 1;
		promise(k, *p);
	}
}

static void keep_all(struct keeping *k)
{
	_cleanup_close_ int dirfd = open(k->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct events_settings settings = { 16384 };
	struct promise p = {};
	struct state *s = NULL;
	struct events *e = NULL;
	struct history *h = NULL;
	bool damaged;
	int error;

	must(state_open(dirfd, PACK, &s), "state");
	must(events_open(dirfd, &settings, BOOT_ID, 0, &e), "events");
	must(history_open(state_dirfd(s), &h, &damaged, &error), "history");
	must(error, "history");
	p.has_history = true;
	promise(k, p);
	for (unsigned step = 0; step < STEPS; step++)
		keep_one(k, s, e, h, step, &p);
	if (faccessat(dirfd, EVENTS_OLD_FILE, F_OK, 0) < 0)
		give_up("the log did not become two");
	(void)history_free(h);
	(void)events_free(e);
	(void)state_free(s);
}

/* ---- what must be there ---- */

struct found {
	uint64_t last;
	size_t n;
	bool wrong;
};

static int look_at_line(const char *line, size_t size, void *userdata)
{
	struct found *f = userdata;
	uint64_t sequence = 0;

	(void)size;
	if (sscanf(line, "{\"sequence\":%" SCNu64 ",", &sequence) != 1 ||
	    (f->n > 0 && sequence != f->last + 1))
		f->wrong = true;
	f->last = sequence;
	f->n++;
	return 0;
}

static int look_at_minute(const struct history_point *p, void *userdata)
{
	struct found *f = userdata;

	if (p->fields[HISTORY_VOLTAGE].avg != VOLTAGE_UV / 1000 || p->wall_sec < NOON)
		f->wrong = true;
	f->n++;
	return 0;
}

static const char *judge_state(int dirfd, const struct promise *p)
{
	_cleanup_(state_freep) struct state *s = NULL;
	struct state_view v = {};

	if (state_open(dirfd, PACK, &s) < 0)
		return "the state cannot be opened";
	state_look(s, &v);
	if (v.damaged || v.refused)
		return "a state file is damaged though it was renamed into its place";
	if (p->state && !v.restored)
		return "no state is left";
	if (v.sequence < p->state)
		return "the state is older than the one that was saved";
	if (v.restored && state_kept(s)->lifetime.watched_sec != v.sequence)
		return "the state is wrong";
	return NULL;
}

static const char *judge_events(int dirfd, const struct promise *p)
{
	_cleanup_(events_freep) struct events *e = NULL;
	struct events_settings settings = { 16384 };
	struct found found = {};

	if (events_open(dirfd, &settings, BOOT_ID, 0, &e) < 0)
		return "the event log cannot be opened";
	if (events_sequence(e) < p->event)
		return "an event that was shown is lost";
	if (events_read(e, 0, SIZE_MAX, look_at_line, &found) < 0 || found.wrong)
		return "events have a gap";
	return NULL;
}

static const char *judge_history(int dirfd, const struct promise *p)
{
	_cleanup_close_ int pack = openat(dirfd, PACK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(history_freep) struct history *h = NULL;
	struct found found = {};
	bool damaged = false;
	int error = 0;

	if (pack < 0 || history_open(pack, &h, &damaged, &error) < 0 || error < 0)
		return "the history cannot be opened";
	if (damaged)
		return "the history's file is not whole";
	if (history_read_minutes(h, 0, UINT64_MAX, look_at_minute, &found) < 0 || found.wrong)
		return "the history is wrong";
	return found.n < p->minutes ? "minutes are lost that were synced" : NULL;
}

static const char *judge(struct keeping *k, const struct promise *p)
{
	_cleanup_close_ int dirfd = open(k->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *wrong = judge_state(dirfd, p);

	if (!wrong)
		wrong = judge_events(dirfd, p);
	return wrong ? wrong : judge_history(dirfd, p);
}

/* ---- the states of the disk ---- */

static const struct promise *promised_at(const struct keeping *k, uint64_t at)
{
	static const struct promise nothing;
	const struct promise *last = &nothing;

	for (size_t i = 0; i < k->n_promises && k->promises[i].position <= at; i++)
		last = &k->promises[i];
	return last;
}

static void boot(struct keeping *k, uint64_t at, const char *kind)
{
	const char *wrong = "it cannot be mounted";

	disk_forget_cache(k->disk.device);
	if (filesystem_mount(k->fs, k->disk.device, k->mountpoint, 0) == 0) {
		wrong = judge(k, promised_at(k, at));
		if (umount2(k->mountpoint, 0) < 0)
			give_up("'%s' cannot be unmounted", k->mountpoint);
	}
	k->n_states++;
	if (!wrong)
		return;
	if (k->n_failed++ < TOLD)
		printf("NOT OK  keeping %s %s at write %" PRIu64 ": %s\n", k->fs->name, kind, at,
		       wrong);
}

static void apply(const struct keeping *k, const struct disk_log *log, uint64_t at, uint8_t *image)
{
	const struct disk_entry *e = &log->entries[at];

	(void)k;
	if (!e->is_flush)
		memcpy(image + e->offset, log->data + e->data, e->size);
}

static uint64_t epoch_of(const struct disk_log *log, uint64_t at)
{
	while (at > 0 && !log->entries[at - 1].is_flush)
		at--;
	return at;
}

/* Some of what no flush had confirmed is not there. */
static void boot_subset(struct keeping *k, const struct disk_log *log, uint64_t at,
			const uint8_t *confirmed)
{
	memcpy(k->disk.image, confirmed, k->disk.size);
	for (uint64_t i = epoch_of(log, at); i < at; i++)
		if (next_random(k) & 1)
			apply(k, log, i, k->disk.image);
	boot(k, at, "subset");
}

static void boot_all(struct keeping *k, const struct disk_log *log, uint64_t states)
{
	uint64_t every = states && log->n > states / 2 ? log->n * 2 / states : 1;
	uint8_t *confirmed = malloc(k->disk.size);

	if (!confirmed)
		give_up("no memory");
	memcpy(k->now, k->base, k->disk.size);
	memcpy(confirmed, k->base, k->disk.size);
	for (uint64_t at = 0; at <= log->n; at++) {
		if (at == log->n || next_random(k) % every == 0) {
			memcpy(k->disk.image, k->now, k->disk.size);
			boot(k, at, "prefix");
			boot_subset(k, log, at, confirmed);
		}
		if (at == log->n)
			break;
		apply(k, log, at, k->now);
		if (log->entries[at].is_flush)
			memcpy(confirmed, k->now, k->disk.size);
	}
	free(confirmed);
}

/* The log is used again by what the boots write. */
static struct disk_log copy_log(const struct disk *d)
{
	struct disk_log log = *d->log;

	log.entries = malloc((log.n + 1) * sizeof *log.entries);
	log.data = malloc(log.n_data + 1);
	if (!log.entries || !log.data || log.is_full)
		give_up("the log has no room");
	memcpy(log.entries, d->log->entries, log.n * sizeof *log.entries);
	memcpy(log.data, d->log->data, log.n_data);
	return log;
}

static int set_up(struct keeping *k)
{
	char disk[96];

	/* Its mounts are nobody else's, and gone with it. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	(void)strcpy(k->directory, "/tmp/keeping-XXXXXX");
	if (!mkdtemp(k->directory))
		return -errno;
	(void)snprintf(disk, sizeof disk, "%s/disk", k->directory);
	(void)snprintf(k->mountpoint, sizeof k->mountpoint, "%s/mount", k->directory);
	if (mkdir(k->mountpoint, 0700) < 0)
		return -errno;
	return disk_open(&k->disk, disk, k->fs->bytes, NULL);
}

static double seconds_since(const struct timespec *began)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - began->tv_sec) + (double)(now.tv_nsec - began->tv_nsec) / NANO;
}

static void report(const struct keeping *k, uint64_t writes)
{
	double sec = seconds_since(&k->began);

	printf("%s  keeping %-5s %6u boots after cuts of %" PRIu64
	       " writes, %u failed; %.0f s, %.0f a second; seed %" PRIu64 "\n",
	       k->n_failed ? "NOT OK" : "ok    ", k->fs->name, k->n_states, writes, k->n_failed,
	       sec, k->n_states / sec, k->seed);
}

static void run(struct keeping *k, uint64_t states)
{
	struct disk_log log;

	if (filesystem_run(k->fs->make, k->disk.device) != 0)
		give_up("%s failed", k->fs->make[0]);
	k->base = malloc(k->disk.size);
	k->now = malloc(k->disk.size);
	if (!k->base || !k->now)
		give_up("no memory");
	memcpy(k->base, k->disk.image, k->disk.size);
	disk_log_start(&k->disk);
	must(filesystem_mount(k->fs, k->disk.device, k->mountpoint, 0), "mount");
	keep_all(k);
	if (umount2(k->mountpoint, 0) < 0)
		give_up("umount failed");
	disk_log_stop(&k->disk);
	log = copy_log(&k->disk);
	boot_all(k, &log, states);
	report(k, log.n);
	free(log.entries);
	free(log.data);
	free(k->base);
	free(k->now);
}

int main(int argc, char **argv)
{
	struct keeping k = { .seed = 1 };
	uint64_t states = 400;
	char fs[8] = "ext4";
	int r;

	for (int i = 1; i < argc; i++)
		if (sscanf(argv[i], "--states=%" SCNu64, &states) != 1 &&
		    sscanf(argv[i], "--seed=%" SCNu64, &k.seed) != 1 &&
		    sscanf(argv[i], "--fs=%7s", fs) != 1)
			give_up("%s [--fs=ext4] [--states=N] [--seed=N]", argv[0]);
	k.fs = filesystem_find(fs);
	if (!k.fs)
		give_up("there is no file system '%s'", fs);
	k.random = k.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	(void)clock_gettime(CLOCK_MONOTONIC, &k.began);
	r = set_up(&k);
	if (r < 0) {
		printf("skip    keeping %s: no disk that logs can be had here: %s\n", fs,
		       strerror(-r));
		return SKIPPED;
	}
	run(&k, states);
	disk_close(&k.disk);
	(void)rmdir(k.mountpoint);
	(void)rmdir(k.directory);
	return k.n_failed > 0 || k.n_states == 0;
}
