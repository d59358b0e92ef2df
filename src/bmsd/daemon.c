/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "bmsd/bus.h"
#include "bmsd/health.h"
#include "bmsd/poller.h"
#include "bmsd/release_version.h"
#include "bmsd/watchdog.h"
#include "common/fsutil.h"
#include "common/log.h"

#define TICK_USEC	   UINT64_C(500000)
#define TICK_ACCURACY	   50000
/* A bus that does not answer may not keep the packs' service from being ready. */
#define READY_AT_MOST_MSEC 2000
#define STATUS_EVERY_MSEC  10000

struct served_pack {
	const struct bmsd_conf_pack *conf;
	struct daemon *daemon;
	struct pack *pack;
	struct poller *poller;
	struct state *state;
	bool was_up;
	bool was_refused;
	uint64_t noted_samples;
	char said[PACK_DETAIL_BYTES]; /* the reason that was logged last */
};

struct daemon {
	const struct bmsd_conf *conf;
	sd_event *event;
	struct bus *bus;
	struct watchdog watchdog;
	int state_dirfd;
	int64_t started_msec;
	int64_t saved_msec;
	int64_t status_msec;
	bool ready;
	bool bus_was_up, bus_failure_said, save_failure_said;
	size_t n_packs;
	struct served_pack packs[BMSD_MAX_PACKS];
};

static int64_t now_msec(const struct daemon *d)
{
	uint64_t usec = 0;

	(void)sd_event_now(d->event, CLOCK_MONOTONIC, &usec);
	return (int64_t)(usec / 1000);
}

static uint64_t wall_clock_sec(void)
{
	time_t now = time(NULL);

	return now > 0 ? (uint64_t)now : 0;
}

/* ---- what is true now ---- */

static int64_t loop_age_msec(const struct daemon *d, int64_t now)
{
	int64_t latest = d->started_msec;

	for (size_t i = 0; i < d->n_packs; i++) {
		int64_t at = poller_progress_msec(d->packs[i].poller);

		latest = at > latest ? at : latest;
	}
	return now - latest;
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
		.update_current_max_ua = (int64_t)d->conf->update_current_max_ma * 1000,
		.n_packs = d->n_packs,
	};
	for (size_t i = 0; i < d->n_packs; i++) {
		ret->packs[i].number = d->packs[i].conf->number;
		pack_look(d->packs[i].pack, now, &ret->packs[i].pack);
		state_look(d->packs[i].state, &ret->packs[i].state);
	}
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

/* ---- state ---- */

static void save_all(struct daemon *d)
{
	d->saved_msec = now_msec(d);
	for (size_t i = 0; i < d->n_packs; i++) {
		int r = state_save(d->packs[i].state, bmsd_release_version, wall_clock_sec());

		if (r < 0 && !d->save_failure_said)
			log_error("state of pack %u: not saved: %s", d->packs[i].conf->number,
				  strerror(-r));
		if (r != 0)
			d->save_failure_said = r < 0;
	}
}

static int open_state_dir(struct daemon *d)
{
	int r;

	d->state_dirfd = open(d->conf->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->state_dirfd < 0) {
		r = -errno;
		log_error("state directory '%s': %s", d->conf->state_dir, strerror(-r));
		return r;
	}
	if (flock(d->state_dirfd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
		log_error("state directory '%s': %s", d->conf->state_dir,
			  r == -EBUSY ? "another bmsd uses it" : strerror(-r));
		return r;
	}
	return 0;
}

static int restore_state(struct daemon *d, struct served_pack *p)
{
	struct state_view v = {};
	char name[160];
	int r;

	(void)snprintf(name, sizeof name, "packs/%s", p->conf->name);
	r = state_open(d->state_dirfd, name, &p->state);
	if (r < 0) {
		log_error("state of pack %u in '%s/%s': %s", p->conf->number, d->conf->state_dir,
			  name, strerror(-r));
		return r;
	}
	state_look(p->state, &v);
	if (v.damaged)
		log_warning("state of pack %u: %d of 2 files damaged, kept as '*.damaged'; %s",
			    p->conf->number, v.damaged,
			    v.restored ? "the other one is used" : "its counters start anew");
	if (v.restored)
		log_info("state of pack %u restored: %d %%, as %s saved it", p->conf->number,
			 v.soc_percent, v.writer);
	return 0;
}

/* ---- packs ---- */

static void tell_link(struct served_pack *p, const struct pack_view *v)
{
	if (v->link_up && !p->was_up)
		log_notice("pack %u: link up%s%s", p->conf->number, v->model[0] ? ": " : "",
			   v->model);
	else if (!v->link_up && (p->was_up || strcmp(p->said, v->detail) != 0))
		log_warning("pack %u: link down: %s", p->conf->number, v->detail);
	else if (v->refused && !p->was_refused)
		log_warning("pack %u: sample refused: %s", p->conf->number, v->detail);
	p->was_refused = v->refused;
	p->was_up = v->link_up;
	memcpy(p->said, v->detail, sizeof p->said);
}

static void on_pack_changed(void *userdata)
{
	struct served_pack *p = userdata;
	struct pack_view v = {};

	pack_look(p->pack, now_msec(p->daemon), &v);
	if (v.samples_ok != p->noted_samples && v.present) {
		p->noted_samples = v.samples_ok;
		if (state_note(p->state, &v.sample))
			log_notice("pack %u: another board: '%s'; its counters start anew",
				   p->conf->number, v.model);
	}
	tell_link(p, &v);
	if (p->daemon->bus)
		bus_publish(p->daemon->bus);
}

static struct poller_settings settings_of(const struct bmsd_conf *c, const struct bmsd_conf_pack *p)
{
	return (struct poller_settings){
		.device = p->device,
		.baud = p->baud_rate,
		.interval_msec = p->poll_interval_msec,
		.timeout_msec = p->timeout_msec,
		.limits = {
			.cell_min_uv = (int64_t)c->cell_min_mv * 1000,
			.cell_max_uv = (int64_t)c->cell_max_mv * 1000,
			.current_max_ua = (int64_t)c->current_max_ma * 1000,
			.cells = p->cells,
		},
	};
}

static int start_pack(struct daemon *d, const struct bmsd_conf_pack *conf)
{
	struct served_pack *p = &d->packs[d->n_packs];
	struct poller_settings settings = settings_of(d->conf, conf);
	const struct driver *driver = driver_find(conf->driver);
	int r;

	if (!driver)
		return -EINVAL;
	p->daemon = d;
	p->conf = conf;
	d->n_packs++;
	r = pack_new(conf->name, conf->driver, d->conf->stale_msec, &p->pack);
	if (r < 0)
		return r;
	r = restore_state(d, p);
	if (r < 0)
		return r;
	return poller_new(d->event, driver, &settings, p->pack, on_pack_changed, p, &p->poller);
}

/* ---- the loop ---- */

static bool is_polling(const struct daemon *d, int64_t now)
{
	for (size_t i = 0; i < d->n_packs; i++)
		if (poller_is_stuck(d->packs[i].poller, now))
			return false;
	return true;
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
	if (now - d->saved_msec >= (int64_t)d->conf->save_interval_sec * 1000)
		save_all(d);
	if (d->ready && now - d->status_msec >= STATUS_EVERY_MSEC)
		tell_status(d);
	(void)sd_event_source_set_time_relative(source, TICK_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int watch_signals(struct daemon *d)
{
	sigset_t mask;
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	/* No handler: the loop ends with 0. */
	r = sd_event_add_signal(d->event, NULL, SIGTERM, NULL, NULL);
	if (r < 0)
		return r;
	return sd_event_add_signal(d->event, NULL, SIGINT, NULL, NULL);
}

static int start(struct daemon *d)
{
	int r;

	r = open_state_dir(d);
	if (r < 0)
		return r;
	r = sd_event_default(&d->event);
	if (r < 0)
		return r;
	r = watch_signals(d);
	if (r < 0)
		return r;
	watchdog_init(&d->watchdog);
	d->started_msec = d->saved_msec = now_msec(d);
	for (size_t i = 0; i < d->conf->n_packs; i++) {
		r = start_pack(d, &d->conf->packs[i]);
		if (r < 0)
			return r;
	}
	r = bus_new(d->event, collect_facts, on_bus_settled, d, &d->bus);
	if (r < 0)
		return r;
	return sd_event_add_time_relative(d->event, NULL, CLOCK_MONOTONIC, TICK_USEC, TICK_ACCURACY,
					  on_tick, d);
}

static void stop(struct daemon *d)
{
	d->bus = bus_free(d->bus);
	for (size_t i = 0; i < d->n_packs; i++) {
		(void)poller_free(d->packs[i].poller);
		(void)state_free(d->packs[i].state);
		(void)pack_free(d->packs[i].pack);
	}
	sd_event_unref(d->event);
	close_fd(&d->state_dirfd);
}

int daemon_run(const struct bmsd_conf *conf)
{
	_cleanup_(stop) struct daemon d = { .conf = conf, .state_dirfd = FD_NONE };
	int r;

	r = start(&d);
	if (r < 0) {
		log_error("cannot start: %s", strerror(-r));
		return r;
	}
	r = sd_event_loop(d.event);
	(void)sd_notify(0, "STOPPING=1");
	save_all(&d);
	return r;
}
