/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/served_pack.h"

#include <string.h>
#include <time.h>

#include "bmsd/driver.h"
#include "bmsd/release_version.h"
#include "common/clock.h"
#include "common/log.h"
#include "served_pack_parts.h"

/* Alarms without samples are judged this often. */
#define JUDGE_MSEC		1000
/* An alarm that comes and goes may not write more often than this. */
#define URGENT_SAVE_MSEC	1000
#define RUNNING_SAVE_MSEC	900 /* each sample, of one a second */
/* Nor more of them than a burst, and then one each so often: the log has its events all the same. */
#define URGENT_SAVES		20
#define URGENT_REFILL_MSEC	60000
/* One damaged answer is no other board. */
#define OTHER_BOARD_SAMPLES	3
/* A step of so many polls is a gap. */
#define GAP_POLLS		5
/* An upgrade waits until what follows from a switch has been seen. */
#define CHARGE_FET_SETTLES_MSEC 30000

int64_t served_shared_msec(const struct served_shared *shared)
{
	uint64_t usec = 0;

	(void)sd_event_now(shared->event, CLOCK_MONOTONIC, &usec);
	return (int64_t)(usec / 1000);
}

static uint64_t wall_clock_sec(void)
{
	time_t now = time(NULL);

	return now > 0 ? (uint64_t)now : 0;
}

struct state_stamp served_shared_stamp(const struct served_shared *shared)
{
	return (struct state_stamp){
		.writer = bmsd_release_version,
		.wall_sec = wall_clock_sec(),
		.boottime_msec = clock_now_msec(CLOCK_BOOTTIME),
		.boot_id = shared->boot_id,
	};
}

int served_pack_soc_centipercent(const struct served_pack *p)
{
	struct estimator_view v = {};

	if (!p->resumed)
		return -1;
	estimator_look(p->estimator, &v);
	return v.soc_centipercent;
}

/* The latest sample if it is fresh. */
static const struct sample *fresh_sample(const struct served_pack *p, struct pack_view *view)
{
	pack_look(p->pack, served_shared_msec(p->shared), view);
	return view->present ? &view->sample : NULL;
}

/* ---- saving ---- */

static void keep_fet(struct served_pack *p)
{
	state_keep(p->state)->fet = p->fet.memory;
}

/* A state is saved long after the last sample too, and before the first one: how old what it says of
 * the charge is then goes with it. */
static void note_age(struct served_pack *p, const struct state_stamp *stamp)
{
	struct estimator_memory *m;
	int64_t since_msec;

	if (!state_is_changed(p->state))
		return;
	m = &state_keep(p->state)->estimator;
	if (p->resumed) {
		estimator_export(p->estimator, m);
		since_msec = served_shared_msec(p->shared) - p->sample_msec;
	} else {
		since_msec = state_elapsed_msec(p->state, stamp);
	}
	if (since_msec < 0 || m->age_msec > ESTIMATOR_AGE_UNKNOWN - since_msec)
		m->age_msec = ESTIMATOR_AGE_UNKNOWN;
	else
		m->age_msec += since_msec;
}

/* All that others have of the state into it. */
static void gather(struct served_pack *p, const struct state_stamp *stamp)
{
	struct events *events = p->shared->events;

	if (events && state_kept(p->state)->event_sequence != events_added(events))
		state_keep(p->state)->event_sequence = events_added(events);
	/* Leases run without samples too. */
	if (p->fet.memory.locks[FET_CHARGE].locked || p->fet.memory.locks[FET_DISCHARGE].locked)
		keep_fet(p);
	note_age(p, stamp);
}

static int save(struct served_pack *p)
{
	struct state_stamp stamp = served_shared_stamp(p->shared);
	int r;

	gather(p, &stamp);
	p->saved_msec = served_shared_msec(p->shared);
	p->save_now = false;
	r = state_save(p->state, &stamp);
	tell_saved(p, r);
	if (r > 0)
		p->written_msec = p->saved_msec;
	return r;
}

static bool may_save_at_once(struct served_pack *p, int64_t now_msec)
{
	int64_t refills = (now_msec - p->urgent_refilled_msec) / URGENT_REFILL_MSEC;

	if (refills > 0) {
		p->urgent_refilled_msec += refills * URGENT_REFILL_MSEC;
		p->urgent_saves = refills + p->urgent_saves > URGENT_SAVES
					  ? URGENT_SAVES
					  : p->urgent_saves + (unsigned)refills;
	}
	if (p->urgent_saves == 0)
		return false;
	p->urgent_saves--;
	return true;
}

static void save_if_due(struct served_pack *p, int64_t now_msec)
{
	int64_t since_msec = now_msec - p->saved_msec;
	uint64_t interval_msec = p->shared->conf->save_interval_sec * 1000;

	if (state_is_due(p->state, (uint64_t)since_msec, interval_msec) ||
	    (p->save_now && since_msec >= URGENT_SAVE_MSEC && may_save_at_once(p, now_msec)))
		(void)!save(p);
}

/* What killing bmsd must not take, though it is not worth a write to flash. */
static void save_running(struct served_pack *p, int64_t now_msec)
{
	struct state_stamp stamp = served_shared_stamp(p->shared);
	int r;

	if (!p->resumed || now_msec - p->running_msec < RUNNING_SAVE_MSEC)
		return;
	p->running_msec = now_msec;
	gather(p, &stamp);
	r = state_save_running(p->state, &stamp);
	if (r < 0)
		log_debug("pack %u: not kept in memory: %s", p->conf->number, strerror(-r));
}

int served_pack_flush(struct served_pack *p)
{
	int r = history_flush(p->history), s;

	tell_history(p, r);
	s = save(p);
	return r < 0 ? r : s < 0 ? s : 0;
}

/* ---- what a sample goes through ---- */

/* What the old one knows stays in use if there is no memory for another. */
static int renew_estimator(struct served_pack *p)
{
	struct estimator_settings settings = p->conf->estimator;
	struct estimator *fresh = NULL;
	int r;

	if (settings.gap_msec < GAP_POLLS * p->conf->poll_interval_msec)
		settings.gap_msec = GAP_POLLS * p->conf->poll_interval_msec;
	p->gap_msec = settings.gap_msec;
	r = estimator_new(&settings, &fresh);
	if (r < 0)
		return r;
	(void)estimator_free(p->estimator);
	p->estimator = fresh;
	return 0;
}

/* What was set on a board that is gone is cleared: nothing will ever clear it there. */
static void forget_board(struct served_pack *p, const struct sample *s)
{
	for (unsigned id = 0; id < ALARM_COUNT; id++) {
		const struct alarm_state *state = &p->alarms.memory.states[id];
		struct alarm_change change = {
			.id = (enum alarm_id)id,
			.level = p->conf->alarms.rules[id].level,
			.value = state->value,
			.since_sec = state->since_sec,
		};

		if (state->set)
			tell_alarm(p, &change, s, "another board");
	}
	alarms_init(&p->alarms, &p->conf->alarms, NULL);
	fet_init(&p->fet, &p->shared->conf->fet, NULL, 0);
	p->resumed = renew_estimator(p) < 0;
	p->save_now = true;
}

static bool is_settled(struct served_pack *p, const struct sample *s)
{
	p->others = state_is_of_other(p->state, s) ? p->others + 1 : 0;
	return p->others == 0 || p->others >= OTHER_BOARD_SAMPLES;
}

/* True if it is another one. */
static bool note_board(struct served_pack *p, const struct pack_view *v)
{
	if (!state_note(p->state, &v->sample))
		return false;
	tell_other_board(p, v);
	forget_board(p, &v->sample);
	return true;
}

/* What the board counted while nobody looked has been through the pack too. */
static void count_outage(struct lifetime *l, const struct estimator_memory *before,
			 const struct estimator_memory *after, int64_t voltage_uv)
{
	int64_t out_uah = (int64_t)(after->discharged_uah - before->discharged_uah);
	int64_t in_uah = after->charge_counter_uah - before->charge_counter_uah + out_uah;

	if (out_uah > 0) {
		l->discharged_uah += (uint64_t)out_uah;
		l->discharged_uwh += (uint64_t)(out_uah * (voltage_uv / 1000) / 1000);
	}
	if (in_uah > 0) {
		l->charged_uah += (uint64_t)in_uah;
		l->charged_uwh += (uint64_t)(in_uah * (voltage_uv / 1000) / 1000);
	}
}

static void resume(struct served_pack *p, const struct sample *s)
{
	struct state_stamp stamp = served_shared_stamp(p->shared);
	struct estimator_memory after;
	enum soc_source source;

	source = estimator_resume(p->estimator, &state_kept(p->state)->estimator, s,
				  state_elapsed_msec(p->state, &stamp));
	if (source == SOC_SOURCE_NONE)
		return;
	estimator_export(p->estimator, &after);
	if (source == SOC_SOURCE_BOARD_DELTA)
		count_outage(&state_keep(p->state)->lifetime, &state_kept(p->state)->estimator,
			     &after, s->voltage_uv);
	p->resumed = true;
	p->save_now = true;
	tell_resumed(p, source, s);
}

static void estimate(struct served_pack *p, const struct sample *s, uint64_t dt_msec)
{
	struct estimator_memory before, after;
	unsigned happened;

	if (!p->resumed) {
		resume(p, s);
		return;
	}
	estimator_export(p->estimator, &before);
	happened = estimator_step(p->estimator, s, dt_msec);
	if (happened & ESTIMATOR_GAP_BOARD) {
		estimator_export(p->estimator, &after);
		count_outage(&state_keep(p->state)->lifetime, &before, &after, s->voltage_uv);
	}
	if (happened & (ESTIMATOR_ANCHORED | ESTIMATOR_REST_CORRECTED | ESTIMATOR_CAPACITY_LEARNED))
		p->save_now = true;
	tell_estimated(p, happened, s);
}

static void judge(struct served_pack *p, const struct sample *s, int64_t now_msec)
{
	struct alarm_change changes[ALARM_COUNT];
	struct estimator_view v = {};
	struct alarm_derived derived = { -1, -1 };
	uint64_t dt_msec = (uint64_t)(now_msec - p->judged_msec);
	size_t n;

	if (p->resumed) {
		estimator_look(p->estimator, &v);
		derived = (struct alarm_derived){ v.soc_centipercent,
						  v.resistance_growth_permille };
	}
	p->judged_msec = now_msec;
	n = alarms_step(&p->alarms, s, &derived, dt_msec, wall_clock_sec(), changes);
	for (size_t i = 0; i < n; i++)
		tell_alarm(p, &changes[i], s, NULL);
	if (n > 0) {
		state_keep(p->state)->alarms = p->alarms.memory;
		p->save_now = true;
	}
}

static void keep(struct served_pack *p)
{
	struct state_kept *kept = state_keep(p->state);

	if (p->resumed)
		estimator_export(p->estimator, &kept->estimator);
	kept->alarms = p->alarms.memory;
	kept->fet = p->fet.memory;
}

static void note_charge_fet(struct served_pack *p, const struct sample *s, int64_t now_msec)
{
	if (!sample_has(s, SAMPLE_CHARGE_FET))
		return;
	if (p->charge_fet_known && s->charge_fet != p->charge_fet)
		p->charge_fet_msec = now_msec;
	p->charge_fet_known = true;
	p->charge_fet = s->charge_fet;
}

static void take_sample(struct served_pack *p, const struct pack_view *v, int64_t now_msec)
{
	const struct sample *s = &v->sample;
	uint64_t dt_msec = p->sample_msec < 0 ? 0 : (uint64_t)(now_msec - p->sample_msec);
	int soc;

	if (!is_settled(p, s))
		return;
	p->sample_msec = now_msec;
	if (note_board(p, v))
		dt_msec = 0;
	note_charge_fet(p, s, now_msec);
	estimate(p, s, dt_msec);
	soc = served_pack_soc_centipercent(p);
	lifetime_step(&state_keep(p->state)->lifetime, s, soc, dt_msec > p->gap_msec ? 0 : dt_msec);
	limits_step(p->limits, s, soc, dt_msec);
	judge(p, s, now_msec);
	tell_protections(p, s);
	tell_history(p, history_add(p->history, s, soc, wall_clock_sec(), now_msec));
	keep(p);
}

static void on_changed(void *userdata)
{
	struct served_pack *p = userdata;
	int64_t now_msec = served_shared_msec(p->shared);
	struct pack_view v = {};

	pack_look(p->pack, now_msec, &v);
	if (v.samples_ok != p->noted_samples && v.present) {
		p->noted_samples = v.samples_ok;
		take_sample(p, &v, now_msec);
	}
	tell_link(p, &v);
	save_if_due(p, now_msec);
	save_running(p, now_msec);
	p->shared->changed(p->shared->userdata);
}

/* ---- switches ---- */

/* Nobody gave it back meanwhile, and no current flows that did not when it was asked for. */
static bool may_switch(void *userdata, enum fet fet, bool on, const struct sample *s)
{
	const struct served_pack *p = userdata;

	if (p->fet.memory.locks[fet].locked == on)
		return false;
	return on || fet_may_open(&p->fet, fet, s);
}

static void on_switched(void *userdata, enum fet fet, int error)
{
	struct served_pack *p = userdata;

	if (error == 0)
		return;
	log_debug("pack %u: switching: %s", p->conf->number, strerror(-error));
	if (error != -ETIMEDOUT && error != -EREMOTEIO)
		fet_unsent(&p->fet, fet);
}

/* A line that cannot take it now: the next step tries again. */
static void send_switch(struct served_pack *p, enum fet fet, bool on)
{
	const struct poller_command command = {
		.fet = fet, .on = on, .may = may_switch, .done = on_switched, .userdata = p
	};
	int r = poller_set_fet(p->poller, &command);

	if (r < 0)
		on_switched(p, fet, r);
}

static void step_fet(struct served_pack *p, const struct sample *s, uint64_t dt_msec)
{
	struct fet_action action = fet_step(&p->fet, s, dt_msec);

	for (; action.send || action.change; action = fet_step(&p->fet, s, 0)) {
		if (action.change) {
			tell_fet_changed(p, action.changed, action.change);
			keep_fet(p);
			p->save_now = true;
		}
		if (action.send)
			send_switch(p, action.which, action.on);
	}
}

int served_pack_set_fet(struct served_pack *p, const struct fet_request *request,
			char ret_refusal[FET_REFUSAL_BYTES])
{
	struct pack_view v = {};
	const struct sample *s = fresh_sample(p, &v);
	int r;

	r = fet_request(&p->fet, request, s, p->driver->capabilities & DRIVER_CAN_FET,
			wall_clock_sec(), ret_refusal);
	tell_fet_requested(p, request, r, ret_refusal, s);
	if (r < 0)
		return r;
	keep_fet(p);
	/* On the medium before the switch moves: a lock must outlive us. */
	r = save(p);
	if (r < 0)
		log_warning("pack %u: the lock will not outlive a restart", p->conf->number);
	step_fet(p, s, 0);
	return 0;
}

int served_pack_reset_alarms(struct served_pack *p)
{
	struct alarm_change changes[ALARM_COUNT];
	size_t n = alarms_reset(&p->alarms, changes);

	for (size_t i = 0; i < n; i++)
		tell_alarm(p, &changes[i], NULL, "reset");
	if (n > 0) {
		state_keep(p->state)->alarms = p->alarms.memory;
		p->save_now = true;
	}
	return (int)n;
}

void served_pack_tick(struct served_pack *p)
{
	int64_t now_msec = served_shared_msec(p->shared);
	uint64_t dt_msec = (uint64_t)(now_msec - p->ticked_msec);
	struct pack_view v = {};
	const struct sample *s = fresh_sample(p, &v);

	p->ticked_msec = now_msec;
	if (!s && now_msec - p->judged_msec >= JUDGE_MSEC)
		judge(p, NULL, now_msec);
	step_fet(p, s, dt_msec);
	tell_history(p, history_tick(p->history, wall_clock_sec(), now_msec));
	save_if_due(p, now_msec);
}

/* ---- beginning and end ---- */

static struct poller_settings settings_of(const struct served_pack *p)
{
	const struct bmsd_conf *c = p->shared->conf;

	return (struct poller_settings){
		.device = p->conf->device,
		.baud = p->conf->baud_rate,
		.interval_msec = p->conf->poll_interval_msec,
		.timeout_msec = p->conf->timeout_msec,
		.capture = p->capture,
		.limits = {
			.cell_min_uv = (int64_t)c->cell_min_mv * 1000,
			.cell_max_uv = (int64_t)c->cell_max_mv * 1000,
			.current_max_ua = (int64_t)c->current_max_ma * 1000,
			.cells = p->conf->cells,
		},
	};
}

static int open_kept(struct served_pack *p)
{
	bool damaged = false;
	int r, error = 0;
	char name[160];

	(void)snprintf(name, sizeof name, "packs/%s", p->conf->name);
	r = state_open(p->shared->state_dirfd, name, &p->state);
	if (r < 0) {
		log_error("state of pack %u in '%s/%s': %s", p->conf->number,
			  p->shared->conf->state_dir, name, strerror(-r));
		return r;
	}
	if (p->shared->running_dirfd >= 0) {
		r = state_keep_running(p->state, p->shared->running_dirfd);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			log_warning("pack %u: its state is not kept in memory between saves: %s",
				    p->conf->number, strerror(-r));
	}
	r = history_open(state_dirfd(p->state), &p->history, &damaged, &error);
	if (r < 0)
		return r;
	if (damaged)
		log_warning("history of pack %u: damaged, kept as '%s.damaged'; it starts anew",
			    p->conf->number, HISTORY_FILE);
	if (error < 0)
		log_warning("history of pack %u: %s; it is kept in memory alone", p->conf->number,
			    strerror(-error));
	return 0;
}

/* A session that cannot be recorded is polled all the same. */
static void open_capture(struct served_pack *p)
{
	const struct bmsd_conf *c = p->shared->conf;
	_cleanup_free_ char *path = NULL;
	int r;

	if (!c->capture_dir)
		return;
	if (asprintf(&path, "%s/%s.jsonl", c->capture_dir, p->conf->name) < 0) {
		path = NULL;
		r = -ENOMEM;
	} else {
		r = capture_open(path, c->capture_max_bytes, &p->capture);
	}
	if (r < 0)
		log_warning("pack %u: not recorded in '%s': %s", p->conf->number, c->capture_dir,
			    strerror(-r));
}

int served_pack_open(struct served_shared *shared, const struct bmsd_conf_pack *conf,
		     struct served_pack **ret)
{
	_cleanup_(served_pack_freep) struct served_pack *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return -ENOMEM;
	p->shared = shared;
	p->conf = conf;
	p->driver = driver_find(conf->driver);
	p->sample_msec = p->written_msec = p->charge_fet_msec = -1;
	p->judged_msec = p->ticked_msec = p->saved_msec = served_shared_msec(shared);
	p->urgent_saves = URGENT_SAVES;
	p->urgent_refilled_msec = p->saved_msec;
	if (!p->driver)
		return -EINVAL;
	r = pack_new(conf->name, conf->driver, shared->conf->stale_msec, &p->pack);
	if (r == 0)
		r = open_kept(p);
	if (r < 0)
		return r;
	open_capture(p);
	*ret = TAKE_PTR(p);
	return 0;
}

static uint64_t elapsed_sec(const struct served_pack *p)
{
	struct state_stamp stamp = served_shared_stamp(p->shared);
	int64_t msec = state_elapsed_msec(p->state, &stamp);

	return msec > 0 ? (uint64_t)msec / 1000 : 0;
}

int served_pack_start(struct served_pack *p)
{
	struct poller_settings settings = settings_of(p);
	const struct state_kept *kept = state_kept(p->state);
	int r;

	replay_events(p);
	alarms_init(&p->alarms, &p->conf->alarms, &kept->alarms);
	fet_init(&p->fet, &p->shared->conf->fet, &kept->fet, elapsed_sec(p));
	r = renew_estimator(p);
	if (r == 0)
		r = limits_new(&p->conf->limits, &p->limits);
	if (r < 0)
		return r;
	tell_restored(p);
	return poller_new(p->shared->event, p->driver, &settings, p->pack, on_changed, p,
			  &p->poller);
}

struct served_pack *served_pack_free(struct served_pack *p)
{
	if (!p)
		return NULL;
	(void)poller_free(p->poller);
	(void)limits_free(p->limits);
	(void)estimator_free(p->estimator);
	(void)history_free(p->history);
	(void)state_free(p->state);
	(void)pack_free(p->pack);
	(void)capture_free(p->capture);
	free(p);
	return NULL;
}

/* ---- what others want to know ---- */

/* What holds at this moment, and what others act on, is known while a fresh sample says so. What was
 * learned stays. */
static void forget_the_moment(struct pack_facts *f)
{
	struct estimator_view *e = &f->estimator;

	e->soc_centipercent = e->margin_centipercent = -1;
	e->charge_now_uah = e->time_to_empty_sec = e->time_to_full_sec = -1;
	e->learning = false;
	f->limits = (struct limits_view){
		.constant_charge_voltage_max_uv = -1,
		.charge_current_max_ua = -1,
		.discharge_current_max_ua = -1,
		.regeneration_current_max_ua = -1,
		.charge_reason = LIMITS_REASON_UNKNOWN,
		.regeneration_reason = LIMITS_REASON_UNKNOWN,
		.discharge_reason = LIMITS_REASON_UNKNOWN,
	};
}

/* The board has just switched it, or is to. */
static bool is_charge_fet_changing(const struct served_pack *p, int64_t now_msec)
{
	if (p->charge_fet_msec >= 0 && now_msec - p->charge_fet_msec < CHARGE_FET_SETTLES_MSEC)
		return true;
	return p->fet.memory.give_back[FET_CHARGE] ||
	       (p->fet.memory.locks[FET_CHARGE].locked && p->charge_fet_known && p->charge_fet);
}

void served_pack_look(const struct served_pack *p, int64_t now_msec, struct pack_facts *ret)
{
	ret->number = p->conf->number;
	pack_look(p->pack, now_msec, &ret->pack);
	state_look(p->state, &ret->state);
	ret->alarms = &p->alarms.memory;
	ret->alarm_settings = &p->conf->alarms;
	ret->fet = &p->fet.memory;
	ret->fet_allowed = p->shared->conf->fet.allowed && p->driver->capabilities & DRIVER_CAN_FET;
	ret->charge_fet_changing = is_charge_fet_changing(p, now_msec);
	estimator_look(p->estimator, &ret->estimator);
	limits_look(p->limits, &ret->limits);
	if (!ret->pack.present)
		forget_the_moment(ret);
	ret->lifetime = &state_kept(p->state)->lifetime;
}

unsigned served_pack_number(const struct served_pack *p)
{
	return p->conf->number;
}

uint64_t served_pack_event_sequence(const struct served_pack *p)
{
	return state_kept(p->state)->event_sequence;
}

int64_t served_pack_saved_msec(const struct served_pack *p)
{
	return p->written_msec;
}

int64_t served_pack_progress_msec(const struct served_pack *p)
{
	return poller_progress_msec(p->poller);
}

bool served_pack_is_stuck(const struct served_pack *p, int64_t now_msec)
{
	return poller_is_stuck(p->poller, now_msec);
}

const struct history *served_pack_history(const struct served_pack *p)
{
	return p->history;
}
