/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "served_pack_parts.h"

/* More than can come between two saves. */
#define REPLAY_EVENTS 4096

static uint32_t protection_bit(const char *name)
{
	for (unsigned i = 0; i < PROTECTION_COUNT; i++)
		if (strcmp(name, protection_name(i)) == 0)
			return UINT32_C(1) << i;
	return 0;
}

static int on_line(const char *line, size_t size, void *userdata)
{
	struct served_pack *p = userdata;
	_cleanup_json_ cJSON *event = NULL;
	uint64_t pack = 0;
	const char *kind;
	uint32_t bit;

	if (json_parse(line, size, NULL, &event, NULL) < 0 ||
	    json_get_u64(event, "pack", BMSD_MAX_PACKS, &pack, NULL) < 0 || pack != p->conf->number)
		return 0;
	kind = json_text_or(event, "event", "");
	bit = protection_bit(json_text_or(event, "name", ""));
	if (strcmp(kind, event_kind_name(EVENT_PROTECTION_SET)) == 0)
		state_keep(p->state)->protections |= bit;
	else if (strcmp(kind, event_kind_name(EVENT_PROTECTION_CLEARED)) == 0)
		state_keep(p->state)->protections &= ~bit;
	return 0;
}

void replay_events(struct served_pack *p)
{
	int r;

	if (!p->shared->events)
		return;
	r = events_read(p->shared->events, state_kept(p->state)->event_sequence, REPLAY_EVENTS,
			on_line, p);
	if (r < 0)
		log_debug("event log: not read: %s", strerror(-r));
}
