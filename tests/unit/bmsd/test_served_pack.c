/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pack from its samples to what is kept and told of it: real modules, but for the poller, whose place
 * the test takes, and the clocks, which it sets.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "scratch.h"

#include "bmsd/conf.h"
#include "bmsd/poller.h"
#include "bmsd/served_pack.h"
#include "common/json.h"
#include "common/log.h"

#define NOON	UINT64_C(1700000000)
#define BOOT_ID "0123456789abcdef0123456789abcdef"
#define CELLS	4
#define HOUR	3600

/* What goes on outside of the process that is killed. */
struct world {
	bool charge_fet, discharge_fet, answered;
	unsigned switched, second;
	int64_t now_msec;
};

static struct world *world;

/* ---- the clocks ---- */

static int64_t now_msec; /* since boot, too */
static uint64_t wall_sec;

int __wrap_sd_event_now(sd_event *e, clockid_t clock, uint64_t *ret);
int __wrap_sd_event_now(sd_event *e, clockid_t clock, uint64_t *ret)
{
	(void)e, (void)clock;
	*ret = (uint64_t)now_msec * 1000;
	return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	(void)clock;
	*ret = (struct timespec){ now_msec / 1000, now_msec % 1000 * 1000000 };
	return 0;
}

time_t __wrap_time(time_t *ret);
time_t __wrap_time(time_t *ret)
{
	(void)ret;
	return (time_t)wall_sec;
}

static void pass_msec(int64_t msec)
{
	now_msec += msec;
	wall_sec = NOON + (uint64_t)now_msec / 1000;
	world->now_msec = now_msec;
}

/* ---- the disk ---- */

static int disk_error; /* of everything that writes */
static unsigned n_renamed;
static unsigned kill_at, n_calls;

/* The power stays on: what was written is there, synced or not. */
static bool is_refused(void)
{
	if (++n_calls == kill_at)
		(void)raise(SIGKILL);
	errno = disk_error;
	return disk_error != 0;
}

ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
	return is_refused() ? -1 : __real_write(fd, bytes, size);
}

int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	n_renamed++;
	return is_refused() ? -1 : __real_renameat(from_dir, from, to_dir, to);
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	(void)fd;
	return is_refused() ? -1 : 0;
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	(void)fd;
	return is_refused() ? -1 : 0;
}

static bool has_history; /* of megabytes */

int __real_posix_fallocate64(int fd, off_t offset, off_t size);
int __wrap_posix_fallocate64(int fd, off_t offset, off_t size);
int __wrap_posix_fallocate64(int fd, off_t offset, off_t size)
{
	return has_history ? __real_posix_fallocate64(fd, offset, size) : ENOSPC;
}

ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
	return is_refused() ? -1 : __real_pwrite64(fd, bytes, size, offset);
}

/* ---- the log ---- */

static char said[16384];

void _printf_(2, 3) __wrap_log_write(int level, const char *format, ...);
void __wrap_log_write(int level, const char *format, ...)
{
	size_t used = strlen(said);
	va_list args;

	if (level == LOG_DEBUG)
		return;
	va_start(args, format);
	(void)vsnprintf(said + used, sizeof said - used, format, args);
	va_end(args);
	(void)strncat(said, "\n", sizeof said - strlen(said) - 1);
}

static unsigned times_said(const char *what)
{
	unsigned n = 0;

	for (const char *at = said; (at = strstr(at, what)); at++)
		n++;
	return n;
}

/* ---- the poller ---- */

static struct pack *polled;
static poller_changed_fn on_polled;
static void *on_polled_data;

int __wrap_poller_new(sd_event *event, const struct driver *driver,
		      const struct poller_settings *settings, struct pack *pack,
		      poller_changed_fn changed, void *userdata, struct poller **ret);
int __wrap_poller_new(sd_event *event, const struct driver *driver,
		      const struct poller_settings *settings, struct pack *pack,
		      poller_changed_fn changed, void *userdata, struct poller **ret)
{
	(void)event, (void)driver, (void)settings;
	polled = pack;
	on_polled = changed;
	on_polled_data = userdata;
	*ret = NULL;
	return 0;
}

struct poller *__wrap_poller_free(struct poller *p);
struct poller *__wrap_poller_free(struct poller *p)
{
	(void)p;
	return NULL;
}

int __wrap_poller_set_fet(struct poller *p, const struct poller_command *command);
int __wrap_poller_set_fet(struct poller *p, const struct poller_command *command)
{
	(void)p;
	*(command->fet == FET_CHARGE ? &world->charge_fet : &world->discharge_fet) = command->on;
	world->switched++;
	return 0;
}

/* ---- one pack ---- */

struct bench {
	struct scratch *scratch;
	struct bmsd_conf *conf;
	struct served_shared shared;
	struct served_pack *pack;
};

static void nothing(void *userdata)
{
	(void)userdata;
}

static void start(struct bench *b)
{
	b->shared = (struct served_shared){
		.conf = b->conf,
		.state_dirfd = b->scratch->dirfd,
		.running_dirfd = FD_NONE,
		.boot_id = BOOT_ID,
		.changed = nothing,
	};
	assert_int_equal(served_pack_open(&b->shared, &b->conf->packs[0], &b->pack), 0);
	assert_int_equal(events_open(b->scratch->dirfd, &b->conf->events, BOOT_ID,
				     served_pack_event_sequence(b->pack), &b->shared.events),
			 0);
	assert_int_equal(served_pack_start(b->pack), 0);
}

/* As if it was killed: nothing is saved. */
static void drop(struct bench *b)
{
	b->pack = served_pack_free(b->pack);
	b->shared.events = events_free(b->shared.events);
}

static void stop(struct bench *b)
{
	const struct event_new event = { .kind = EVENT_STOPPED, .pack = -1 };

	served_shared_event(&b->shared, &event);
	assert_true(served_pack_flush(b->pack) >= 0);
	drop(b);
}

static void configure(struct bench *b, const char *more)
{
	_cleanup_free_ char *error = NULL, *text = NULL;
	char path[96];

	(void)snprintf(path, sizeof path, "%s/bmsd.conf", b->scratch->path);
	assert_true(
		asprintf(&text,
			 "[fet]\nallowed=yes\n[limits]\nstale_msec=60000\n[pack 0]\n"
			 "device=/dev/null\ncapacity_mah=1000\ncell_full_mv=4150\nfull_hold_sec=5\n"
			 "empty_hold_sec=5\n%s",
			 more) > 0);
	scratch_text(b->scratch->dirfd, "bmsd.conf", text, 0640);
	b->conf = bmsd_conf_free(b->conf);
	if (bmsd_conf_load(path, &b->conf, &error) < 0)
		fail_msg("%s", error);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof *b);

	assert_non_null(b);
	assert_int_equal(scratch_setup((void **)&b->scratch), 0);
	*world = (struct world){ .charge_fet = true, .discharge_fet = true };
	now_msec = 0;
	pass_msec(1000000);
	disk_error = 0;
	has_history = false;
	kill_at = n_calls = n_renamed = 0;
	said[0] = '\0';
	configure(b, "");
	start(b);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	disk_error = 0;
	drop(b);
	(void)bmsd_conf_free(b->conf);
	(void)scratch_teardown((void **)&b->scratch);
	free(b);
	return 0;
}

static struct sample sample_of(int64_t current_ma, int64_t cell_mv)
{
	struct sample s = { .valid = UINT32_MAX & ~(1u << SAMPLE_COUNTERS),
			    .model = "BOARD",
			    .voltage_uv = cell_mv * 1000 * CELLS,
			    .current_ua = current_ma * 1000,
			    .charge_uah = 500000,
			    .charge_full_uah = 1000000,
			    .charge_full_design_uah = 1000000,
			    .capacity_percent = 50,
			    .charge_fet = world->charge_fet,
			    .discharge_fet = world->discharge_fet,
			    .n_cells = CELLS,
			    .n_temperatures = 1,
			    .temperatures_decicelsius = { 250 },
			    .fet_temperature_decicelsius = 300 };

	for (size_t i = 0; i < CELLS; i++)
		s.cells_uv[i] = cell_mv * 1000;
	return s;
}

/* A second, and its sample. */
static void feed(struct bench *b, const struct sample *s)
{
	pass_msec(1000);
	pack_poll_good(polled, s, now_msec);
	on_polled(on_polled_data);
	served_pack_tick(b->pack);
}

static void flow(struct bench *b, int64_t current_ma, int64_t cell_mv, unsigned sec)
{
	for (unsigned i = 0; i < sec; i++) {
		struct sample s = sample_of(current_ma, cell_mv);

		feed(b, &s);
	}
}

/* The board says nothing. */
static void silence(struct bench *b, unsigned sec)
{
	for (unsigned i = 0; i < sec; i++) {
		pass_msec(1000);
		served_pack_tick(b->pack);
	}
}

static struct pack_facts look(const struct bench *b)
{
	struct pack_facts f = {};

	served_pack_look(b->pack, now_msec, &f);
	return f;
}

/* ---- what was told ---- */

struct tally {
	const char *kind, *name; /* NULL: any */
	unsigned n;
};

static int count_line(const char *line, size_t size, void *userdata)
{
	struct tally *t = userdata;
	_cleanup_json_ cJSON *json = NULL;

	assert_int_equal(json_parse(line, size, NULL, &json, NULL), 0);
	if (strcmp(json_text_or(json, "event", ""), t->kind) == 0 &&
	    (!t->name || strcmp(json_text_or(json, "name", ""), t->name) == 0))
		t->n++;
	return 0;
}

static unsigned told(const struct bench *b, const char *kind, const char *name)
{
	struct tally t = { kind, name, 0 };

	assert_int_equal(events_read_files(b->scratch->dirfd, 0, SIZE_MAX, count_line, &t), 0);
	return t.n;
}

/* ---- the tests ---- */

static void test_a_sample_goes_through_all(void **state)
{
	struct bench *b = *state;
	struct pack_facts f;

	flow(b, -3600, 3700, 11);
	f = look(b);
	assert_true(f.pack.present);
	/* Ten seconds of 3.6 A are 10 mAh of 1 Ah. */
	assert_in_range(f.estimator.soc_centipercent, 4898, 4902);
	assert_in_range(f.lifetime->discharged_uah, 9990, 10010);
	assert_int_equal(f.lifetime->watched_sec, 10);
	assert_int_equal(f.limits.charge_current_max_ua, 20000000);
	assert_int_equal(f.state.samples_total, 11);
	assert_false(f.charge_fet_changing);
	assert_int_equal(told(b, "link-up", NULL), 1);
	assert_int_equal(told(b, "reconciled", "board"), 1);
	flow(b, 0, 4250, 4);
	assert_int_equal(told(b, "alarm-set", "cell-overvoltage"), 1);
	assert_true(look(b).alarms->states[ALARM_CELL_OVERVOLTAGE].set);
	stop(b);
	start(b);
	f = look(b);
	assert_true(f.state.restored);
	assert_true(f.alarms->states[ALARM_CELL_OVERVOLTAGE].set);
	flow(b, 0, 4250, 1);
	assert_int_equal(told(b, "reconciled", "board-delta"), 1);
	flow(b, 0, 4250, 20);
	assert_int_equal(told(b, "alarm-set", "cell-overvoltage"), 1);
}

/* A full pack, of which little more is known than what the anchor's error is. */
static void fill(struct bench *b)
{
	flow(b, 40, 4185, 10);
	assert_int_equal(look(b).estimator.soc_centipercent, 10000);
	assert_int_equal(look(b).estimator.margin_centipercent, 100);
}

/* Five hours without a word, in which the state is saved for an alarm and at the end; 0.3 Ah go. */
static void test_what_is_saved_late_is_not_taken_for_new(void **state)
{
	struct bench *b = *state;
	struct sample s;

	fill(b);
	silence(b, 5 * HOUR);
	assert_int_equal(told(b, "alarm-set", "no-data"), 1);
	stop(b);
	start(b);
	pass_msec(10000);
	s = sample_of(0, 3900);
	s.charge_uah -= 300000;
	feed(b, &s);
	/* 60 A may move 0.3 Ah in five hours, but not in ten seconds. */
	assert_int_equal(told(b, "reconciled", "board-delta"), 1);
	assert_in_range(look(b).estimator.soc_centipercent, 6990, 7010);
	/* 0.3 A that the sensor may be off make more of them than there are. */
	assert_true(look(b).estimator.margin_centipercent >= 6900);
}

/* The same, but nothing is heard after a start, and the state is saved before anything is. */
static void test_a_memory_grows_old_while_nothing_is_heard(void **state)
{
	struct bench *b = *state;
	struct sample s;

	fill(b);
	stop(b);
	for (unsigned n = 0; n < 3; n++) {
		start(b);
		silence(b, 2 * HOUR);
		stop(b);
	}
	start(b);
	s = sample_of(0, 3900);
	s.charge_uah -= 300000;
	feed(b, &s);
	assert_int_equal(told(b, "reconciled", "memory"), 0);
	assert_in_range(look(b).estimator.soc_centipercent, 6990, 7010);
	assert_true(look(b).estimator.margin_centipercent >= 6900);
}

static void test_a_glitch_is_no_other_board(void **state)
{
	struct bench *b = *state;
	struct sample glitch;
	_cleanup_free_ char *kept = NULL;
	size_t size = 0;

	fill(b);
	stop(b);
	start(b);
	flow(b, 0, 4150, 5);
	glitch = sample_of(0, 3700);
	(void)strcpy(glitch.model, "GLITCH");
	for (unsigned n = 0; n < 5; n++) {
		feed(b, &glitch);
		feed(b, &glitch);
		flow(b, 0, 4150, 1);
	}
	assert_int_equal(told(b, "other-board", NULL), 0);
	assert_int_equal(look(b).estimator.soc_centipercent, 10000);
	/* Three in a row are one. */
	feed(b, &glitch);
	feed(b, &glitch);
	feed(b, &glitch);
	assert_int_equal(told(b, "other-board", NULL), 1);
	assert_int_equal(look(b).estimator.soc_centipercent, 5000);
	assert_int_equal(look(b).lifetime->watched_sec, 0);
	/* And back: it goes on where it was. */
	flow(b, 0, 4150, 4);
	assert_int_equal(told(b, "other-board", NULL), 2);
	assert_int_equal(look(b).estimator.soc_centipercent, 10000);
	assert_in_range(look(b).lifetime->watched_sec, 10, 60);
	stop(b);
	assert_int_equal(
		fs_read_file(b->scratch->dirfd, "packs/0/state.replaced", 1 << 20, &kept, &size),
		0);
	assert_non_null(strstr(kept, "\"model\":\"GLITCH\""));
	assert_non_null(strstr(kept, "\"charge_now_uah\":500000"));
	start(b);
}

static void test_a_full_disk_is_said_once(void **state)
{
	struct bench *b = *state;

	has_history = true;
	stop(b);
	start(b);
	flow(b, 0, 3700, 5);
	disk_error = ENOSPC;
	flow(b, -3600, 4250, 2 * HOUR);
	assert_int_equal(times_said("not saved"), 1);
	assert_int_equal(times_said("not written"), 1);
	assert_int_equal(times_said("event log:"), 1);
	assert_int_equal(look(b).state.samples_total, 2 * HOUR + 5);
	disk_error = 0;
	flow(b, 0, 3700, 2 * HOUR);
	assert_int_equal(told(b, "alarm-cleared", "cell-overvoltage"), 1);
	stop(b);
	start(b);
	assert_int_equal(look(b).state.samples_total, 4 * HOUR + 5);
}

/* An alarm of three seconds that comes and goes all day. */
static void test_an_alarm_that_flutters_does_not_wear_the_flash(void **state)
{
	struct bench *b = *state;

	n_renamed = 0;
	for (unsigned i = 0; i < HOUR / 10; i++) {
		flow(b, 0, 4250, 5);
		flow(b, 0, 3700, 5);
	}
	assert_true(told(b, "alarm-set", "cell-overvoltage") >= HOUR / 10 - 1);
	/* A burst, one a minute, and what is saved anyway. */
	assert_true(n_renamed <= 20 + 60 + 60 + 5);
}

static void test_slow_polls_are_no_gaps(void **state)
{
	struct bench *b = *state;

	stop(b);
	configure(b, "poll_interval_msec=20000\n");
	start(b);
	for (unsigned i = 0; i < 10; i++) {
		pass_msec(19000);
		flow(b, -360, 3700, 1);
	}
	/* Nine times 20 s of 0.36 A are 18 mAh. */
	assert_int_equal(times_said("a gap"), 0);
	assert_in_range(look(b).estimator.soc_centipercent, 4818, 4822);
	assert_in_range(look(b).lifetime->discharged_uah, 17900, 18100);
}

static void test_what_went_in_a_gap_is_counted(void **state)
{
	struct bench *b = *state;
	struct sample s;

	flow(b, 0, 3700, 5);
	silence(b, 600);
	s = sample_of(-1000, 3700);
	s.charge_uah -= 200000;
	feed(b, &s);
	assert_int_equal(times_said("bridged by what the board counted"), 1);
	assert_in_range(look(b).estimator.soc_centipercent, 2990, 3010);
	assert_in_range(look(b).lifetime->discharged_uah, 199000, 201000);
	assert_int_equal(look(b).lifetime->watched_sec, 4);
}

static int ask_off(struct bench *b, uint64_t lease_sec)
{
	struct fet_request request = { FET_CHARGE, false, "service", lease_sec };
	char refusal[FET_REFUSAL_BYTES];

	return served_pack_set_fet(b->pack, &request, refusal);
}

static void test_the_charge_switch_is_given_back_after_a_restart(void **state)
{
	struct bench *b = *state;

	flow(b, 0, 3700, 5);
	assert_int_equal(ask_off(b, 120), 0);
	assert_false(world->charge_fet);
	flow(b, 0, 3700, 5);
	assert_true(look(b).charge_fet_changing);
	flow(b, 0, 3700, 20);
	/* The lease ends while nothing is heard; then an upgrade. */
	silence(b, 180);
	assert_int_equal(told(b, "fet-lease-over", "charge"), 1);
	assert_false(world->charge_fet);
	assert_true(look(b).charge_fet_changing);
	stop(b);
	start(b);
	flow(b, 0, 3700, 3);
	assert_true(world->charge_fet);
	assert_int_equal(world->switched, 2);
	flow(b, 0, 3700, 31);
	assert_false(look(b).charge_fet_changing);
	assert_int_equal(told(b, "fet-lease-over", "charge"), 1);
}

/* No state at all is left, but the log is. */
static void test_alarms_come_back_from_the_log(void **state)
{
	struct bench *b = *state;

	flow(b, 0, 4250, 10);
	stop(b);
	assert_int_equal(fs_remove_tree(b->scratch->dirfd, "packs"), 0);
	start(b);
	assert_true(look(b).alarms->states[ALARM_CELL_OVERVOLTAGE].set);
	assert_int_equal(look(b).alarms->states[ALARM_CELL_OVERVOLTAGE].value, 4230000);
	flow(b, 0, 4250, 20);
	assert_int_equal(told(b, "alarm-set", "cell-overvoltage"), 1);
	flow(b, 0, 3700, 10);
	assert_int_equal(told(b, "alarm-cleared", "cell-overvoltage"), 1);
}

/* ---- killed at every write ---- */

/* What a pack and its riders do: an alarm and a protection, a lease, full, empty. */
static struct sample script(unsigned second)
{
	struct sample s = sample_of(0, 3700);

	if (second >= 5 && second < 20) {
		s = sample_of(900, 4250);
		s.protections = 1u << PROTECTION_CELL_OVERVOLTAGE;
	} else if (second >= 80 && second < 100) {
		s = sample_of(40, 4140);
	} else if (second >= 105 && second < 195) {
		s = sample_of(-36000, 3400);
	} else if (second >= 195 && second < 220) {
		s = sample_of(-200, 2950);
	}
	/* Nothing is said of what it counts: a restart must not need it. */
	s.valid &= ~(1u << SAMPLE_CHARGE);
	return s;
}

#define SCRIPT_SEC   260
#define COMMANDED_AT 30

static void live(struct bench *b)
{
	start(b);
	for (; world->second < SCRIPT_SEC; world->second++) {
		struct sample s;

		if (world->second >= COMMANDED_AT && !world->answered)
			world->answered = ask_off(b, 20) == 0;
		s = script(world->second);
		feed(b, &s);
	}
	stop(b);
}

static int live_in_a_child(struct bench *b, unsigned killed_at)
{
	pid_t child;
	int status = 0;

	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (world->now_msec)
			pass_msec(world->now_msec - now_msec);
		n_calls = 0;
		kill_at = killed_at;
		live(b);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static const struct {
	const char *kind, *name;
	unsigned least, most;
} must_be_told[] = {
	{ "alarm-set", "cell-voltage-high", 1, 1 },
	{ "alarm-cleared", "cell-voltage-high", 1, 1 },
	{ "alarm-set", "cell-overvoltage", 1, 1 },
	{ "alarm-cleared", "cell-overvoltage", 1, 1 },
	{ "alarm-set", "board-protection", 1, 1 },
	{ "alarm-cleared", "board-protection", 1, 1 },
	{ "protection-set", "cell-overvoltage", 1, 1 },
	{ "protection-cleared", "cell-overvoltage", 1, 1 },
	{ "alarm-set", "cell-undervoltage", 1, 1 },
	{ "alarm-cleared", "cell-undervoltage", 1, 1 },
	{ "alarm-set", "charge-low", 1, 1 },
	{ "anchor", "full", 1, 1 },
	{ "anchor", "empty", 1, 1 },
	/* Who was not answered asks again. */
	{ "fet-command", "charge-off", 1, 2 },
	{ "fet-lease-over", "charge", 1, 1 },
	/* Between an anchor and its state, what it teaches is lost. */
	{ "capacity-learned", "", 0, 1 },
};

static void check_told(const struct bench *b, unsigned killed_at)
{
	for (size_t i = 0; i < ELEMENTSOF(must_be_told); i++) {
		unsigned n = told(b, must_be_told[i].kind, must_be_told[i].name);

		if (n < must_be_told[i].least || n > must_be_told[i].most)
			fail_msg("killed at write %u: %s %s was told %u times", killed_at,
				 must_be_told[i].kind, must_be_told[i].name, n);
	}
	assert_true(world->charge_fet);
}

/* Told is learned. */
static void check_learned(struct bench *b)
{
	struct sample s = sample_of(0, 3700);

	pass_msec((SCRIPT_SEC + 2) * 1000);
	start(b);
	feed(b, &s);
	assert_int_equal(look(b).estimator.charge_full_learned, told(b, "capacity-learned", ""));
	drop(b);
	pass_msec(-(SCRIPT_SEC + 3) * 1000);
}

static void test_killed_at_every_write(void **state)
{
	struct bench *b = *state;
	unsigned killed = 0;
	int ended = -SIGKILL;

	drop(b);
	for (unsigned at = 1; ended == -SIGKILL; at++) {
		*world = (struct world){ .charge_fet = true, .discharge_fet = true };
		assert_int_equal(fs_remove_tree(b->scratch->dirfd, "packs"), 0);
		(void)unlinkat(b->scratch->dirfd, EVENTS_FILE, 0);
		ended = live_in_a_child(b, at);
		if (ended == -SIGKILL) {
			killed++;
			assert_int_equal(live_in_a_child(b, 0), 0);
		}
		check_told(b, at);
		check_learned(b);
	}
	assert_int_equal(ended, 0);
	assert_int_equal(told(b, "capacity-learned", ""), 1);
	print_message("killed at %u writes, renames and syncs\n", killed);
	assert_true(killed > 50);
	start(b);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_sample_goes_through_all),
		TEST(test_what_is_saved_late_is_not_taken_for_new),
		TEST(test_a_memory_grows_old_while_nothing_is_heard),
		TEST(test_a_glitch_is_no_other_board),
		TEST(test_a_full_disk_is_said_once),
		TEST(test_an_alarm_that_flutters_does_not_wear_the_flash),
		TEST(test_slow_polls_are_no_gaps),
		TEST(test_what_went_in_a_gap_is_counted),
		TEST(test_the_charge_switch_is_given_back_after_a_restart),
		TEST(test_alarms_come_back_from_the_log),
		TEST(test_killed_at_every_write),
	};

	/* Shared with the children that are killed. */
	world = mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (world == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
