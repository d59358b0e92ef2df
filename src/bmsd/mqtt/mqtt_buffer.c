/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "bmsd/mqtt.h"

static size_t size_of(const struct mqtt_message *m)
{
	return sizeof *m + strlen(m->topic) + strlen(m->payload) + 2;
}

static void message_free(struct mqtt_message *m)
{
	free(m->topic);
	free(m->payload);
	free(m);
}

static void drop_first(struct mqtt_buffer *b)
{
	struct mqtt_message *m = b->first;

	b->first = m->next;
	if (!b->first)
		b->last = NULL;
	b->bytes -= size_of(m);
	message_free(m);
}

static void drop_arrived(struct mqtt_buffer *b)
{
	while (b->first && b->first->arrived)
		drop_first(b);
}

static struct mqtt_message *message_new(const char *topic, const char *payload, bool retain)
{
	struct mqtt_message *m = calloc(1, sizeof *m);

	if (!m)
		return NULL;
	m->topic = strdup(topic);
	m->payload = strdup(payload);
	m->retain = retain;
	if (m->topic && m->payload)
		return m;
	message_free(m);
	return NULL;
}

static void append(struct mqtt_buffer *b, struct mqtt_message *m)
{
	if (b->last)
		b->last->next = m;
	else
		b->first = m;
	b->last = m;
	b->bytes += size_of(m);
}

int mqtt_buffer_push(struct mqtt_buffer *b, const char *topic, const char *payload, bool retain)
{
	struct mqtt_message *m = message_new(topic, payload, retain);
	size_t size;

	if (!m)
		return -ENOMEM;
	size = size_of(m);
	if (size > b->max_bytes) {
		message_free(m);
		return -EMSGSIZE;
	}
	while (b->bytes + size > b->max_bytes) {
		b->dropped += !b->first->arrived;
		drop_first(b);
	}
	append(b, m);
	return 0;
}

struct mqtt_message *mqtt_buffer_next(struct mqtt_buffer *b, unsigned window)
{
	unsigned under_way = 0;

	for (struct mqtt_message *m = b->first; m; m = m->next) {
		if (m->arrived)
			continue;
		if (m->id == 0)
			return m;
		if (++under_way >= window)
			return NULL;
	}
	return NULL;
}

void mqtt_buffer_arrived(struct mqtt_buffer *b, int id)
{
	for (struct mqtt_message *m = b->first; m; m = m->next) {
		if (m->id != id || m->arrived)
			continue;
		m->arrived = true;
		break;
	}
	drop_arrived(b);
}

void mqtt_buffer_rewind(struct mqtt_buffer *b)
{
	for (struct mqtt_message *m = b->first; m; m = m->next)
		m->id = 0;
}

void mqtt_buffer_clear(struct mqtt_buffer *b)
{
	while (b->first)
		drop_first(b);
}
