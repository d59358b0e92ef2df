/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "served_pack_parts.h"

#define NUMBER_MAX ((UINT64_C(1) << 53) - 1)

struct told {
	const char *name;
	uint64_t wall_sec;
	int64_t ago_msec;    /* -1: nobody knows */
	const cJSON *values; /* NULL: none */
};

static uint64_t number_or_none(const cJSON *object, const char *key)
{
	uint64_t value = 0;

	return object && json_get_u64(object, key, NUMBER_MAX, &value, NULL) == 0 ? value : 0;
}

static uint32_t protection_bit(const char *name)
{
	for (unsigned i = 0; i < PROTECTION_COUNT; i++)
		if (strcmp(name, protection_name(i)) == 0)
			return UINT32_C(1) << i;
	return 0;
}

static void protection_set(struct served_pack *p, const struct told *t)
{
	state_keep(p->state)->protections |= protection_bit(t->name);
}

static void protection_cleared(struct served_pack *p, const struct told *t)
{
	state_keep(p->state)->protections &= ~protection_bit(t->name);
}

/* Of its value nothing is known but that it reached the rule's. */
static void alarm_set(struct served_pack *p, const struct told *t)
{
	enum alarm_id id;
	int64_t value;

	if (alarm_find(t->name, &id) < 0)
		return;
	value = p->conf->alarms.rules[id].set;
	state_keep(p->state)->alarms.states[id] = (struct alarm_state){
		.set = true, .since_sec = t->wall_sec, .value = value, .extreme = value
	};
}

static void alarm_cleared(struct served_pack *p, const struct told *t)
{
	enum alarm_id id;

	if (alarm_find(t->name, &id) == 0)
		state_keep(p->state)->alarms.states[id] = (struct alarm_state){};
}

/* What is now said of the charge was true when it was told, and not when the state was saved. */
static void date_back(struct served_pack *p, struct estimator_memory *m, int64_t ago_msec)
{
	struct state_stamp now = served_shared_stamp(p->shared);
	int64_t since_save_msec = state_elapsed_msec(p->state, &now);

	if (ago_msec >= 0 && since_save_msec >= 0)
		m->age_msec = ago_msec - since_save_msec;
}

/* The charge is what the anchor said; it teaches no capacity, since what was counted up to it is not
 * known. */
static void anchored(struct served_pack *p, const struct told *t)
{
	const struct estimator_settings *s = &p->conf->estimator;
	struct estimator_memory *m = &state_keep(p->state)->estimator;
	bool full = strcmp(t->name, soc_anchor_name(SOC_ANCHOR_FULL)) == 0;
	unsigned anchor = full ? SOC_ANCHOR_FULL : SOC_ANCHOR_EMPTY;
	uint32_t soc = full ? 10000 : 0;

	/* After a rest the next one corrects as well. */
	if (!m->valid || strcmp(t->name, soc_anchor_name(anchor)) != 0)
		return;
	m->charge_now_uah = full ? m->charge_full_uah : 0;
	m->margin_centipercent = (uint32_t)(full ? s->full_error_centipercent
						 : s->empty_error_centipercent);
	m->reference_soc_centipercent = soc;
	m->reference_error_centipercent = m->margin_centipercent;
	m->reference_error_uah = m->error_uah;
	m->anchor = anchor;
	m->anchor_age_sec = 0;
	date_back(p, m, t->ago_msec);
	m->anchors[anchor - SOC_ANCHOR_FULL] = (struct estimator_memory_anchor){
		.valid = true,
		.soc_centipercent = soc,
		.error_centipercent = m->margin_centipercent,
		.counter_uah = m->charge_counter_uah,
		.error_uah = m->error_uah,
		.cold = true,
	};
}

static void capacity_learned(struct served_pack *p, const struct told *t)
{
	struct estimator_memory *m = &state_keep(p->state)->estimator;
	uint64_t full_uah = number_or_none(t->values, "charge_full");
	uint64_t error = number_or_none(t->values, "charge_full_error_permille");
	struct estimator_memory learned = *m;
	const char *member;

	if (!m->valid || m->charge_full_uah == 0 || full_uah == 0 || error == 0 || error > 1000)
		return;
	learned.charge_now_uah = (uint64_t)((double)m->charge_now_uah * (double)full_uah /
					    (double)m->charge_full_uah);
	learned.charge_full_uah = full_uah;
	learned.charge_full_error_permille = (uint32_t)error;
	learned.charge_full_learned++;
	if (estimator_memory_check(&learned, &member) == 0)
		*m = learned;
}

static void other_board(struct served_pack *p, const struct told *t)
{
	(void)t;
	state_forget(p->state);
}

static void lease_over(struct served_pack *p, const struct told *t)
{
	struct fet_memory *m = &state_keep(p->state)->fet;

	for (unsigned i = 0; i < FET_COUNT; i++) {
		if (strcmp(t->name, fet_name(i)) != 0)
			continue;
		m->locks[i] = (struct fet_lock){};
		m->give_back[i] = true;
	}
}

/* A command that was told and not saved was not obeyed either, nor answered: who gave it knows. What it
 * took back stays taken back. */
static void fet_command(struct served_pack *p, const struct told *t)
{
	struct fet_memory *m = &state_keep(p->state)->fet;
	char on[EVENT_NAME_BYTES], off[EVENT_NAME_BYTES];

	for (unsigned i = 0; i < FET_COUNT; i++) {
		(void)snprintf(on, sizeof on, "%s-on", fet_name(i));
		(void)snprintf(off, sizeof off, "%s-off", fet_name(i));
		if (strcmp(t->name, on) == 0)
			m->locks[i] = (struct fet_lock){};
		if (strcmp(t->name, on) == 0 || strcmp(t->name, off) == 0)
			m->give_back[i] = strcmp(t->name, on) == 0;
	}
}

/* Given up, as far as it was to be given back. */
static void fet_failed(struct served_pack *p, const struct told *t)
{
	for (unsigned i = 0; i < FET_COUNT; i++)
		if (strcmp(t->name, fet_name(i)) == 0)
			state_keep(p->state)->fet.give_back[i] = false;
}

static const struct {
	enum event_kind kind;
	void (*replay)(struct served_pack *p, const struct told *t);
} kinds[] = {
	{ EVENT_PROTECTION_SET, protection_set },
	{ EVENT_PROTECTION_CLEARED, protection_cleared },
	{ EVENT_ALARM_SET, alarm_set },
	{ EVENT_ALARM_CLEARED, alarm_cleared },
	{ EVENT_ANCHOR, anchored },
	{ EVENT_CAPACITY_LEARNED, capacity_learned },
	{ EVENT_OTHER_BOARD, other_board },
	{ EVENT_FET_COMMAND, fet_command },
	{ EVENT_FET_LEASE_OVER, lease_over },
	{ EVENT_FET_FAILED, fet_failed },
};

/* By the time since boot if it was this boot, else by the wall clock. */
static int64_t ago_msec(const struct served_pack *p, const cJSON *event)
{
	struct state_stamp now = served_shared_stamp(p->shared);
	int64_t uptime_msec = (int64_t)number_or_none(event, "uptime_msec");
	uint64_t wall_sec = number_or_none(event, "wall_sec");

	if (strcmp(json_text_or(event, "boot_id", ""), now.boot_id) == 0)
		return served_shared_msec(p->shared) - uptime_msec;
	return wall_sec && now.wall_sec >= wall_sec ? (int64_t)(now.wall_sec - wall_sec) * 1000
						    : -1;
}

static int on_line(const char *line, size_t size, void *userdata)
{
	struct served_pack *p = userdata;
	_cleanup_json_ cJSON *event = NULL;
	struct told told = {};
	uint64_t pack = 0;
	const char *kind;

	if (json_parse(line, size, NULL, &event, NULL) < 0 ||
	    json_get_u64(event, "pack", BMSD_MAX_PACKS, &pack, NULL) < 0 || pack != p->conf->number)
		return 0;
	kind = json_text_or(event, "event", "");
	told.name = json_text_or(event, "name", "");
	told.wall_sec = number_or_none(event, "wall_sec");
	told.ago_msec = ago_msec(p, event);
	if (json_get_object(event, "values", &told.values, NULL) < 0)
		told.values = NULL;
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
		if (strcmp(kind, event_kind_name(kinds[i].kind)) != 0)
			continue;
		kinds[i].replay(p, &told);
		p->save_now = true;
	}
	return 0;
}

void replay_events(struct served_pack *p)
{
	int r;

	if (!p->shared->events)
		return;
	r = events_read(p->shared->events, state_kept(p->state)->event_sequence, SIZE_MAX, on_line,
			p);
	if (r < 0)
		log_debug("event log: not read: %s", strerror(-r));
}
