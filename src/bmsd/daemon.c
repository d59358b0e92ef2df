/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/daemon.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>

#include "bmsd/bus.h"
#include "bmsd/health.h"
#include "bmsd/metrics.h"
#include "bmsd/release_version.h"
#include "bmsd/served_pack.h"
#include "bmsd/service.h"
#include "bmsd/stop_signals.h"
#include "bmsd/watchdog.h"
#include "common/fsutil.h"
#include "common/log.h"

#define TICK_USEC	   UINT64_C(500000)
#define TICK_ACCURACY	   50000
/* A bus that does not answer may not keep the packs' service from being ready. */
#define READY_AT_MOST_MSEC 2000
#define STATUS_EVERY_MSEC  10000

struct daemon {
	const struct bmsd_conf *conf;
	sd_event *event;
	struct bus *bus;
	struct metrics *metrics;
	struct events *events;
	struct watchdog watchdog;
	struct served_shared shared;
	int64_t started_msec;
	int64_t status_msec;
	bool ready;
	bool bus_failure_said, events_failure_said;
	size_t n_packs;
	struct served_pack *packs[BMSD_MAX_PACKS];
};

static int64_t now_msec(const struct daemon *d)
{
	return served_shared_msec(&d->shared);
}

/* ---- what is true now ---- */

static int64_t loop_age_msec(const struct daemon *d, int64_t now)
{
	int64_t latest = d->started_msec;

	for (size_t i = 0; i < d->n_packs; i++) {
		int64_t at = served_pack_progress_msec(d->packs[i]);

		latest = at > latest ? at : latest;
	}
	return now - latest;
}

/* The oldest of what is on disk. */
static int64_t saved_age_msec(const struct daemon *d, int64_t now)
{
	int64_t oldest = now;

	for (size_t i = 0; i < d->n_packs; i++) {
		int64_t at = served_pack_saved_msec(d->packs[i]);

		if (at < 0)
			return -1;
		oldest = at < oldest ? at : oldest;
	}
	return d->n_packs ? now - oldest : -1;
}

static void collect_facts(void *userdata, struct facts *ret)
{
	struct daemon *d = userdata;
	int64_t now = now_msec(d);

	*ret = (struct facts){
		.version = bmsd_release_version,
		.ready = d->ready,
		.started_msec = d->started_msec,
		.now_msec = now,
		.loop_age_msec = loop_age_msec(d, now),
		.watchdog_msec = d->watchdog.interval_msec,
		.conf = d->conf,
		.update_current_max_ua = (int64_t)d->conf->update_current_max_ma * 1000,
		.saved_age_msec = saved_age_msec(d, now),
		.n_packs = d->n_packs,
	};
	if (d->events) {
		ret->event_sequence = events_sequence(d->events);
		ret->n_events = events_last(d->events, ret->events, FACTS_LAST_EVENTS);
	}
	for (size_t i = 0; i < d->n_packs; i++)
		served_pack_look(d->packs[i], now, &ret->packs[i]);
}

/* ---- telling systemd ---- */

static void tell_status(struct daemon *d)
{
	struct facts f = {};
	char line[512];

	collect_facts(d, &f);
	status_line(&f, line, sizeof line);
	(void)sd_notifyf(0, "STATUS=%s", line);
	d->status_msec = f.now_msec;
}

static void become_ready(struct daemon *d)
{
	if (d->ready)
		return;
	d->ready = true;
	tell_status(d);
	(void)sd_notify(0, "READY=1");
	log_info("%s is ready, %zu packs configured", bmsd_release_version, d->n_packs);
	if (d->bus)
		bus_publish(d->bus);
}

static void on_bus_settled(void *userdata, int error)
{
	struct daemon *d = userdata;

	if (error < 0 && !d->bus_failure_said)
		log_warning("D-Bus: %s; packs are polled without it", strerror(-error));
	if (error == 0 && d->bus_failure_said)
		log_notice("D-Bus: back");
	d->bus_failure_said = error < 0;
	become_ready(d);
}

/* ---- what interfaces may ask for ---- */

static struct served_pack *find_pack(const struct daemon *d, unsigned number)
{
	for (size_t i = 0; i < d->n_packs; i++)
		if (served_pack_number(d->packs[i]) == number)
			return d->packs[i];
	return NULL;
}

static int on_set_fet(void *userdata, unsigned pack, const struct fet_request *request,
		      char ret_refusal[FET_REFUSAL_BYTES])
{
	struct served_pack *p = find_pack(userdata, pack);

	if (p)
		return served_pack_set_fet(p, request, ret_refusal);
	(void)snprintf(ret_refusal, FET_REFUSAL_BYTES, "there is no pack %u", pack);
	return -ENOENT;
}

static int on_reset_alarms(void *userdata, unsigned pack)
{
	struct served_pack *p = find_pack(userdata, pack);

	return p ? served_pack_reset_alarms(p) : -ENOENT;
}

static const struct history *on_history(void *userdata, unsigned pack)
{
	const struct served_pack *p = find_pack(userdata, pack);

	return p ? served_pack_history(p) : NULL;
}

static struct events *on_events(void *userdata)
{
	const struct daemon *d = userdata;

	return d->events;
}

/* All to the medium; the first error, each was logged. */
static int flush_all(struct daemon *d, uint64_t *ret_sequence)
{
	uint64_t highest = 0;
	int r = 0, s;

	for (size_t i = 0; i < d->n_packs; i++) {
		struct pack_facts facts = {};

		s = served_pack_flush(d->packs[i]);
		r = r < 0 ? r : s;
		served_pack_look(d->packs[i], now_msec(d), &facts);
		if (facts.state.sequence > highest)
			highest = facts.state.sequence;
	}
	s = d->events ? events_sync(d->events) : 0;
	if (s < 0)
		log_error("event log: not synced: %s", strerror(-s));
	if (s < 0 || r < 0)
		return r < 0 ? r : s;
	*ret_sequence = highest;
	return 0;
}

static void record(struct daemon *d, enum event_kind kind, const char *detail)
{
	struct event_new event = { .kind = kind, .pack = -1, .detail = detail };

	served_shared_event(&d->shared, &event);
}

static int on_quiesce(void *userdata, uint64_t *ret_sequence)
{
	struct daemon *d = userdata;

	record(d, EVENT_QUIESCED, NULL);
	return flush_all(d, ret_sequence);
}

static const struct service service = {
	.facts = collect_facts,
	.set_fet = on_set_fet,
	.quiesce = on_quiesce,
	.reset_alarms = on_reset_alarms,
	.history = on_history,
	.events = on_events,
};

/* ---- what is kept ---- */

static int open_state_dir(struct daemon *d)
{
	int r;

	d->shared.state_dirfd = open(d->conf->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->shared.state_dirfd < 0) {
		r = -errno;
		log_error("state directory '%s': %s", d->conf->state_dir, strerror(-r));
		return r;
	}
	if (flock(d->shared.state_dirfd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
		log_error("state directory '%s': %s", d->conf->state_dir,
			  r == -EBUSY ? "another bmsd uses it" : strerror(-r));
		return r;
	}
	return 0;
}

/* Of systemd's RuntimeDirectory=. Only in memory: what is written there is written each second. */
static void open_running_dir(struct daemon *d)
{
	const char *path = getenv("RUNTIME_DIRECTORY");
	_cleanup_close_ int fd = FD_NONE;
	struct statfs fs;

	if (!path)
		return;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstatfs(fd, &fs) < 0) {
		log_warning("runtime directory '%s': %s", path, strerror(errno));
		return;
	}
	if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
		log_warning("runtime directory '%s' is not in memory: not used", path);
	else
		d->shared.running_dirfd = TAKE_FD(fd);
}

static void on_changed(void *userdata)
{
	struct daemon *d = userdata;

	if (d->bus)
		bus_publish(d->bus);
}

static void set_up_shared(struct daemon *d)
{
	sd_id128_t boot_id;
	int r = sd_id128_get_boot(&boot_id);

	if (r < 0)
		boot_id = SD_ID128_NULL;
	(void)sd_id128_to_string(boot_id, d->shared.boot_id);
	d->shared.conf = d->conf;
	d->shared.event = d->event;
	d->shared.changed = on_changed;
	d->shared.userdata = d;
}

/* The states know how far events were numbered. Without a log the packs are served all the same. */
static int open_events(struct daemon *d)
{
	uint64_t floor = 0;
	int r;

	for (size_t i = 0; i < d->n_packs; i++) {
		uint64_t sequence = served_pack_event_sequence(d->packs[i]);

		floor = sequence > floor ? sequence : floor;
	}
	r = events_open(d->shared.state_dirfd, &d->conf->events, d->shared.boot_id, floor,
			&d->events);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		log_error("event log in '%s': %s; there is none", d->conf->state_dir, strerror(-r));
	d->shared.events = d->events;
	record(d, EVENT_STARTED, bmsd_release_version);
	return 0;
}

static int start_packs(struct daemon *d)
{
	int r;

	for (size_t i = 0; i < d->conf->n_packs; i++) {
		r = served_pack_open(&d->shared, &d->conf->packs[i], &d->packs[i]);
		if (r < 0)
			return r;
		d->n_packs++;
	}
	r = open_events(d);
	for (size_t i = 0; i < d->n_packs && r == 0; i++)
		r = served_pack_start(d->packs[i]);
	return r;
}

/* An event for each pack that is left out, and one for all else: more would use up those that are
 * synced, and shown, at once. */
static void tell_config(struct daemon *d)
{
	const struct bmsd_conf *c = d->conf;
	bool others = false;

	for (size_t i = 0; i < c->n_refused; i++) {
		const struct bmsd_conf_refusal *refusal = &c->refused[i];
		struct event_new event = { .kind = EVENT_CONFIG_REFUSED,
					   .pack = refusal->pack,
					   .detail = refusal->text };

		log_warning("%s", refusal->text);
		if (refusal->pack >= 0 || !others)
			served_shared_event(&d->shared, &event);
		others = others || refusal->pack < 0;
	}
	if (c->n_refused_more > 0)
		log_warning("and %zu more that are not taken", c->n_refused_more);
	if (bmsd_conf_has_lost_all(c))
		log_error("no pack is left of the configuration; see bmsd --check-config");
}

/* ---- the loop ---- */

static bool is_polling(const struct daemon *d, int64_t now)
{
	for (size_t i = 0; i < d->n_packs; i++)
		if (served_pack_is_stuck(d->packs[i], now))
			return false;
	return true;
}

static void sync_events(struct daemon *d, int64_t now)
{
	int r = d->events ? events_tick(d->events, now) : 0;

	if (r < 0 && !d->events_failure_said)
		log_error("event log: not synced: %s", strerror(-r));
	if (r != 0)
		d->events_failure_said = r < 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct daemon *d = userdata;
	int64_t now = now_msec(d);

	(void)usec;
	(void)watchdog_feed(&d->watchdog, now, is_polling(d, now));
	if (now - d->started_msec >= READY_AT_MOST_MSEC)
		become_ready(d);
	/* Samples also change by growing old. */
	bus_publish(d->bus);
	for (size_t i = 0; i < d->n_packs; i++)
		served_pack_tick(d->packs[i]);
	sync_events(d, now);
	if (d->ready && now - d->status_msec >= STATUS_EVERY_MSEC)
		tell_status(d);
	(void)sd_event_source_set_time_relative(source, TICK_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int start_interfaces(struct daemon *d)
{
	int r;

	r = bus_new(d->event, collect_facts, on_bus_settled, d, &d->bus);
	if (r < 0)
		return r;
	bus_set_service(d->bus, &service);
	r = metrics_new(d->event, &service, d, &d->metrics);
	if (r < 0)
		return r;
	r = metrics_add_from_systemd(d->metrics);
	if (r >= 0 && d->conf->metrics_socket)
		r = metrics_add_path(d->metrics, d->conf->metrics_socket);
	if (r < 0) /* nobody rides on them */
		log_warning("metrics: %s; some are not offered", strerror(-r));
	return 0;
}

static int start(struct daemon *d)
{
	int r;

	r = open_state_dir(d);
	if (r < 0)
		return r;
	open_running_dir(d);
	r = sd_event_default(&d->event);
	if (r < 0)
		return r;
	r = stop_signals_watch(d->event);
	if (r < 0)
		return r;
	watchdog_init(&d->watchdog);
	set_up_shared(d);
	d->started_msec = now_msec(d);
	r = start_packs(d);
	if (r < 0)
		return r;
	tell_config(d);
	r = start_interfaces(d);
	if (r < 0)
		return r;
	return sd_event_add_time_relative(d->event, NULL, CLOCK_MONOTONIC, TICK_USEC, TICK_ACCURACY,
					  on_tick, d);
}

static void stop(struct daemon *d)
{
	d->bus = bus_free(d->bus);
	d->metrics = metrics_free(d->metrics);
	for (size_t i = 0; i < d->n_packs; i++)
		(void)served_pack_free(d->packs[i]);
	(void)events_free(d->events);
	sd_event_unref(d->event);
	close_fd(&d->shared.state_dirfd);
	close_fd(&d->shared.running_dirfd);
}

int daemon_run(const struct bmsd_conf *conf)
{
	_cleanup_(stop) struct daemon d = {
		.conf = conf, .shared = { .state_dirfd = FD_NONE, .running_dirfd = FD_NONE }
	};
	uint64_t sequence = 0;
	int r;

	r = start(&d);
	if (r < 0) {
		log_error("cannot start: %s", strerror(-r));
		return r;
	}
	r = sd_event_loop(d.event);
	(void)sd_notify(0, "STOPPING=1");
	record(&d, EVENT_STOPPED, NULL);
	(void)!flush_all(&d, &sequence);
	return r;
}
