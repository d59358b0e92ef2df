/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bmsd-mqtt: publishes what bmsd says on the bus to an MQTT broker. A program of its own, so that bmsd
 * needs no network; it may read, and command nothing.
 *
 *	<topic>/availability        online, offline (the last will); retained
 *	<topic>/<pack>/state        a JSON object, see mqtt_state_payload(); retained
 *	<topic>/event               each new event as it is in the log
 *	<prefix>/<component>/<node>/<object>/config     for Home Assistant; retained
 *
 * While the broker is away, states and events wait in a buffer of fixed size; the oldest go first.
 */
#ifndef BMSD_MQTT_H
#define BMSD_MQTT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"

#define MQTT_CONF_PATH	 "/etc/bmsd/mqtt.conf"
/* A discovery document's: two configured words of 128 and 80 bytes at most, and ours. */
#define MQTT_TOPIC_BYTES 320

/* ---- configuration ---- */

struct mqtt_conf {
	/* [broker] */
	char *host;
	uint64_t port;
	bool tls;
	char *ca_file, *cert_file, *key_file;
	char *username, *password_file;
	char *password; /* what is in the file */
	char *client_id;
	uint64_t keepalive_sec;
	/* [publish] */
	char *topic;
	char *discovery_prefix; /* NULL: no discovery */
	uint64_t interval_msec;
	uint64_t buffer_kib;
};

/* hostname makes the defaults of client_id and topic. -EINVAL, -ENOENT with a sentence. */
_must_check_ int mqtt_conf_load(const char *path, const char *hostname, struct mqtt_conf **ret,
				char **ret_error);
struct mqtt_conf *mqtt_conf_free(struct mqtt_conf *c);
DEFINE_CLEANUP(struct mqtt_conf *, mqtt_conf_free);

/* ---- messages that wait for the broker, oldest first ---- */

struct mqtt_message {
	char *topic;
	char *payload;
	bool retain;
	int id; /* while it is under way; 0: not sent */
	bool arrived;
	struct mqtt_message *next;
};

struct mqtt_buffer {
	size_t max_bytes, bytes;
	struct mqtt_message *first, *last;
	uint64_t dropped; /* for want of room */
};

/* Makes room by dropping the oldest. -EMSGSIZE if one message is larger than all of the buffer. */
_must_check_ int mqtt_buffer_push(struct mqtt_buffer *b, const char *topic, const char *payload,
				  bool retain);
/* The first one that is not under way, if fewer than window are; else NULL. */
struct mqtt_message *mqtt_buffer_next(struct mqtt_buffer *b, unsigned window);
/* The broker has it. Unknown ids mean nothing: it was dropped meanwhile. */
void mqtt_buffer_arrived(struct mqtt_buffer *b, int id);
/* The connection is gone: all that has not arrived is to be sent again. */
void mqtt_buffer_rewind(struct mqtt_buffer *b);
void mqtt_buffer_clear(struct mqtt_buffer *b);

/* ---- what is published of a pack; pack is an object of Status ---- */

/* "pack0", of its number; false if it has none. */
_must_check_ bool mqtt_pack_key(const cJSON *pack, char *ret, size_t size);
/* The numbers of a pack in one flat object, units in the members' names, with wall_sec. */
_must_check_ int mqtt_state_payload(const cJSON *pack, uint64_t wall_sec, char **ret);

typedef int (*mqtt_document_fn)(const char *topic, const char *payload, void *userdata);
struct mqtt_discovery {
	const char *prefix, *topic, *node;
	const char *version; /* of bmsd */
};
/* Home Assistant's discovery documents of a pack, one call each; non-zero from it ends it and is
 * returned. To be called with a pack that is present: its cells and sensors are counted. */
_must_check_ int mqtt_discover(const struct mqtt_discovery *d, const cJSON *pack,
			       mqtt_document_fn fn, void *userdata);
/* What the documents depend on: if it is another, they are to be sent again. */
uint64_t mqtt_discovery_hash(const struct mqtt_discovery *d, const cJSON *pack);

/* ---- the connection ---- */

struct mqtt_session;

/* conf is borrowed. Connects, and goes on trying; on_connected is called each time it is. */
_must_check_ int mqtt_session_new(sd_event *event, const struct mqtt_conf *conf,
				  void (*on_connected)(void *userdata), void *userdata,
				  struct mqtt_session **ret);
/* Says "offline" and ends; waits half a second at most for the broker to hear it. */
struct mqtt_session *mqtt_session_free(struct mqtt_session *s);
DEFINE_CLEANUP(struct mqtt_session *, mqtt_session_free);
/* Into the buffer, and on its way. */
_must_check_ int mqtt_session_publish(struct mqtt_session *s, const char *topic,
				      const char *payload, bool retain);
/* At once and past the buffer, if connected; else -ENOTCONN. */
_must_check_ int mqtt_session_say(struct mqtt_session *s, const char *topic, const char *payload);

/* ---- the bus ---- */

struct mqtt_reader;

struct mqtt_reader_calls {
	/* The whole of Status, every interval. NULL: bmsd does not answer. */
	void (*status)(const cJSON *status, void *userdata);
	/* Each event after those that were there at first. */
	void (*event)(const char *line, void *userdata);
};
_must_check_ int mqtt_reader_new(sd_event *event, uint64_t interval_msec,
				 const struct mqtt_reader_calls *calls, void *userdata,
				 struct mqtt_reader **ret);
struct mqtt_reader *mqtt_reader_free(struct mqtt_reader *r);
DEFINE_CLEANUP(struct mqtt_reader *, mqtt_reader_free);

#endif
