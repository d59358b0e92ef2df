/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "served_pack_parts.h"

void served_shared_event(struct served_shared *shared, const struct event_new *event)
{
	time_t now = time(NULL);
	int r;

	if (!shared->events)
		return;
	r = events_add(shared->events, event, now > 0 ? (uint64_t)now : 0,
		       served_shared_msec(shared));
	if (r < 0 && !shared->events_failure_said)
		log_error("event log: '%s' of pack %d: %s", event_kind_name(event->kind),
			  event->pack, strerror(-r));
	shared->events_failure_said = r < 0;
}

static void _printf_(6, 7)
	record(struct served_pack *p, enum event_kind kind, const char *name, const char *level,
	       const struct sample *s, const char *format, ...)
{
	char detail[EVENT_DETAIL_BYTES];
	struct event_new event = {
		.kind = kind,
		.pack = (int)p->conf->number,
		.name = name,
		.level = level,
		.detail = detail,
		.sample = s,
		.soc_centipercent = served_pack_soc_centipercent(p),
	};
	va_list args;

	va_start(args, format);
	(void)vsnprintf(detail, sizeof detail, format, args);
	va_end(args);
	served_shared_event(p->shared, &event);
}

/* With the numbers themselves, to be replayed from. */
static void record_learned(struct served_pack *p, const struct sample *s)
{
	char detail[EVENT_DETAIL_BYTES];
	struct estimator_memory m;
	struct event_new event = {
		.kind = EVENT_CAPACITY_LEARNED,
		.pack = (int)p->conf->number,
		.detail = detail,
		.sample = s,
		.soc_centipercent = served_pack_soc_centipercent(p),
	};

	estimator_export(p->estimator, &m);
	event.charge_full_uah = m.charge_full_uah;
	event.charge_full_error_permille = m.charge_full_error_permille;
	(void)snprintf(detail, sizeof detail, "%.2f Ah", (double)m.charge_full_uah / 1e6);
	served_shared_event(p->shared, &event);
}

void tell_restored(struct served_pack *p)
{
	struct state_view v = {};

	state_look(p->state, &v);
	if (v.damaged) {
		log_warning("state of pack %u: %d of 2 files damaged, kept as '*.damaged'; %s",
			    p->conf->number, v.damaged,
			    v.restored	  ? "the other one is used"
			    : v.copy_used ? "its counters come from the daily copy"
					  : "its counters start anew");
		record(p, v.restored ? EVENT_STATE_DAMAGED : EVENT_STATE_LOST, NULL, NULL, NULL,
		       "%d of 2 files%s", v.damaged,
		       v.copy_used ? ", counters from the daily copy" : "");
	}
	if (v.refused) {
		log_warning("state of pack %u: '%s' cannot be, its section starts anew",
			    p->conf->number, v.refused);
		record(p, EVENT_STATE_DAMAGED, v.refused, NULL, NULL, "not believed");
	}
	if (v.restored)
		log_info("state of pack %u restored: %d %%, as %s %s it", p->conf->number,
			 v.soc_percent, v.writer, v.running_used ? "left" : "saved");
}

void tell_link(struct served_pack *p, const struct pack_view *v)
{
	struct said *said = &p->said;

	if (v->link_up && !said->up) {
		log_notice("pack %u: link up%s%s", p->conf->number, v->model[0] ? ": " : "",
			   v->model);
		record(p, EVENT_LINK_UP, NULL, NULL, NULL, "%s", v->model);
	} else if (!v->link_up && (said->up || strcmp(said->detail, v->detail) != 0)) {
		log_warning("pack %u: link down: %s", p->conf->number, v->detail);
		if (said->up)
			record(p, EVENT_LINK_DOWN, NULL, NULL, NULL, "%s", v->detail);
	} else if (v->refused && !said->refused) {
		log_warning("pack %u: sample refused: %s", p->conf->number, v->detail);
	}
	said->refused = v->refused;
	said->up = v->link_up;
	memcpy(said->detail, v->detail, sizeof said->detail);
}

void tell_protections(struct served_pack *p, const struct sample *s)
{
	uint32_t changed = s->protections ^ state_kept(p->state)->protections;

	if (!sample_has(s, SAMPLE_PROTECTIONS))
		return;
	for (unsigned i = 0; i < PROTECTION_COUNT; i++) {
		bool set = s->protections & 1u << i;

		if (!(changed & 1u << i))
			continue;
		if (set)
			log_warning("pack %u: the board has switched off for %s", p->conf->number,
				    protection_name(i));
		else
			log_notice("pack %u: the board's %s is over", p->conf->number,
				   protection_name(i));
		record(p, set ? EVENT_PROTECTION_SET : EVENT_PROTECTION_CLEARED, protection_name(i),
		       NULL, s, "%s", "");
	}
	if (changed) {
		state_keep(p->state)->protections = s->protections;
		p->save_now = true; /* or a kill has it told twice */
	}
}

void tell_other_board(struct served_pack *p, const struct pack_view *v)
{
	log_notice("pack %u: another board: '%s'; its counters start anew", p->conf->number,
		   v->model);
	record(p, EVENT_OTHER_BOARD, NULL, NULL, &v->sample, "%s", v->model);
}

void tell_resumed(struct served_pack *p, enum soc_source source, const struct sample *s)
{
	struct estimator_view v = {};
	struct state_view state = {};
	char saved[40] = "";

	estimator_look(p->estimator, &v);
	state_look(p->state, &state);
	if (state.soc_restored_centipercent >= 0)
		(void)snprintf(saved, sizeof saved, ", saved as %.2f %%",
			       state.soc_restored_centipercent / 100.0);
	log_info("pack %u: state of charge %.2f %% (margin %.2f %%%s), from %s", p->conf->number,
		 v.soc_centipercent / 100.0, v.margin_centipercent / 100.0, saved,
		 soc_source_name(source));
	record(p, EVENT_RECONCILED, soc_source_name(source), NULL, s, "%.2f %%%s",
	       v.soc_centipercent / 100.0, saved);
}

void tell_estimated(struct served_pack *p, unsigned happened, const struct sample *s)
{
	struct estimator_view v = {};

	if (!happened)
		return;
	estimator_look(p->estimator, &v);
	if (happened & (ESTIMATOR_ANCHORED | ESTIMATOR_REST_CORRECTED)) {
		log_info("pack %u: anchored at %s", p->conf->number, soc_anchor_name(v.anchor));
		record(p, EVENT_ANCHOR, soc_anchor_name(v.anchor), NULL, s, "%.2f %%",
		       v.soc_centipercent / 100.0);
	}
	if (happened & ESTIMATOR_CAPACITY_LEARNED) {
		log_info("pack %u: full charge learned: %.2f Ah", p->conf->number,
			 (double)v.charge_full_uah / 1e6);
		record_learned(p, s);
	}
	if (happened & (ESTIMATOR_GAP_BOARD | ESTIMATOR_GAP_BLIND))
		log_info("pack %u: a gap in the samples, %s", p->conf->number,
			 happened & ESTIMATOR_GAP_BOARD ? "bridged by what the board counted"
							: "bridged by nothing");
}

static void format_value(enum alarm_id id, int64_t value, char *ret, size_t size)
{
	double number = (double)value;

	switch (alarm_unit_of(id)) {
	case ALARM_UNIT_UV: (void)snprintf(ret, size, "%.3f V", number / 1e6); break;
	case ALARM_UNIT_UA: (void)snprintf(ret, size, "%.1f A", number / 1e6); break;
	case ALARM_UNIT_DECICELSIUS: (void)snprintf(ret, size, "%.1f degrees", number / 10); break;
	case ALARM_UNIT_CENTIPERCENT: (void)snprintf(ret, size, "%.1f %%", number / 100); break;
	case ALARM_UNIT_MSEC: (void)snprintf(ret, size, "%.0f s", number / 1000); break;
	case ALARM_UNIT_COUNT:
	default: (void)snprintf(ret, size, "%" PRId64, value); break;
	}
}

void tell_alarm(struct served_pack *p, const struct alarm_change *change, const struct sample *s,
		const char *why)
{
	const char *name = alarm_name(change->id), *level = alarm_level_name(change->level);
	char value[40];

	format_value(change->id, change->value, value, sizeof value);
	if (change->set) {
		log_write(change->level == ALARM_LEVEL_INFO ? LOG_NOTICE : LOG_WARNING,
			  "pack %u: %s %s: %s", p->conf->number, level, name, value);
		record(p, EVENT_ALARM_SET, name, level, s, "%s", value);
		return;
	}
	log_notice("pack %u: %s %s is over: %s", p->conf->number, level, name, why ? why : value);
	record(p, EVENT_ALARM_CLEARED, name, level, s, "%s, set since %" PRIu64, why ? why : value,
	       change->since_sec);
}

void tell_fet_requested(struct served_pack *p, const struct fet_request *request, int error,
			const char *refusal, const struct sample *s)
{
	const char *reason = request->reason ? request->reason : "";
	char name[EVENT_NAME_BYTES];

	(void)snprintf(name, sizeof name, "%s-%s", fet_name(request->which),
		       request->on ? "on" : "off");
	if (error < 0) {
		log_warning("pack %u: switching %s refused: %s", p->conf->number, name, refusal);
		record(p, EVENT_FET_REFUSED, name, NULL, s, "%s", refusal);
		return;
	}
	log_notice("pack %u: switching %s: %s", p->conf->number, name, reason);
	record(p, EVENT_FET_COMMAND, name, NULL, s, "%s (for %" PRIu64 " s)", reason,
	       request->lease_sec);
}

void tell_fet_changed(struct served_pack *p, enum fet fet, enum fet_change change)
{
	bool over = change == FET_CHANGE_LEASE_OVER;

	log_notice("pack %u: %s switch: %s", p->conf->number, fet_name(fet),
		   over ? "the lease is over, it is given back"
			: "the board does not do as it was told");
	record(p, over ? EVENT_FET_LEASE_OVER : EVENT_FET_FAILED, fet_name(fet), NULL, NULL, "%s",
	       "");
}

void tell_saved(struct served_pack *p, int error)
{
	if (error < 0 && !p->said.save_failure)
		log_error("state of pack %u: not saved: %s", p->conf->number, strerror(-error));
	if (error != 0)
		p->said.save_failure = error < 0;
}

void tell_history(struct served_pack *p, int error)
{
	if (error < 0 && !p->said.history_failure)
		log_warning("history of pack %u: not written: %s", p->conf->number,
			    strerror(-error));
	if (error != 0)
		p->said.history_failure = error < 0;
}
