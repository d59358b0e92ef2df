/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "bmsd/bus.h"
#include "bmsd/mqtt.h"
#include "common/json.h"
#include "common/log.h"

#define ACCURACY_USEC	 20000
#define CALL_USEC	 3000000
#define ANSWER_MAX_BYTES (1u << 20)
#define EVENTS_AT_ONCE	 50u
#define SEQUENCE_MAX	 ((UINT64_C(1) << 53) - 1)

struct mqtt_reader {
	sd_event *event;
	sd_event_source *timer;
	sd_bus *bus;
	sd_bus_slot *status_call, *events_call;
	uint64_t interval_msec;
	bool knows_sequence;
	uint64_t sequence; /* of the last event that was handed on */
	struct mqtt_reader_calls calls;
	void *userdata;
};

static void disconnect(struct mqtt_reader *r)
{
	r->status_call = sd_bus_slot_unref(r->status_call);
	r->events_call = sd_bus_slot_unref(r->events_call);
	r->bus = sd_bus_close_unref(r->bus);
}

static int parse_answer(sd_bus_message *reply, cJSON **ret)
{
	static const struct json_limits limits = { .max_bytes = ANSWER_MAX_BYTES };
	const char *text = NULL;
	int r;

	if (sd_bus_message_is_method_error(reply, NULL))
		return -sd_bus_message_get_errno(reply);
	r = sd_bus_message_read(reply, "s", &text);
	if (r < 0)
		return r;
	return json_parse(text, strlen(text), &limits, ret, NULL);
}

/* ---- events ---- */

static void hand_on(struct mqtt_reader *r, const cJSON *event)
{
	_cleanup_free_ char *line = NULL;
	uint64_t sequence = 0;

	if (json_get_u64(event, "sequence", SEQUENCE_MAX, &sequence, NULL) < 0 ||
	    sequence <= r->sequence)
		return;
	line = json_print(event);
	if (!line)
		return;
	r->sequence = sequence;
	r->calls.event(line, r->userdata);
}

static int on_events(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	_cleanup_json_ cJSON *answer = NULL;
	struct mqtt_reader *r = userdata;
	const cJSON *events = NULL, *event;

	(void)error;
	r->events_call = sd_bus_slot_unref(r->events_call);
	if (parse_answer(reply, &answer) < 0 || json_get_array(answer, "events", &events, NULL) < 0)
		return 0;
	cJSON_ArrayForEach (event, events)
		hand_on(r, event);
	return 0;
}

/* A daemon whose log begins anew starts with low numbers again. */
static void follow_events(struct mqtt_reader *r, const cJSON *status)
{
	uint64_t newest = 0;

	if (json_get_u64(status, "event_sequence", SEQUENCE_MAX, &newest, NULL) < 0)
		return;
	if (!r->knows_sequence || newest < r->sequence)
		r->sequence = newest;
	r->knows_sequence = true;
	if (newest == r->sequence || r->events_call)
		return;
	if (sd_bus_call_method_async(r->bus, &r->events_call, BATTERY_BUS_NAME, BATTERY_BUS_PATH,
				     BATTERY_BUS_IFACE, "Events", on_events, r, "tu", r->sequence,
				     EVENTS_AT_ONCE) < 0)
		log_debug("bus: Events");
}

/* ---- status ---- */

static int on_status(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	_cleanup_json_ cJSON *status = NULL;
	struct mqtt_reader *r = userdata;

	(void)error;
	r->status_call = sd_bus_slot_unref(r->status_call);
	if (parse_answer(reply, &status) < 0) {
		r->calls.status(NULL, r->userdata);
		return 0;
	}
	r->calls.status(status, r->userdata);
	follow_events(r, status);
	return 0;
}

static int connect_bus(struct mqtt_reader *r)
{
	int error;

	if (r->bus && sd_bus_is_open(r->bus) > 0)
		return 0;
	disconnect(r);
	error = sd_bus_open_system_with_description(&r->bus, "bmsd-mqtt");
	if (error < 0)
		return error;
	(void)sd_bus_set_exit_on_disconnect(r->bus, 0);
	(void)sd_bus_set_method_call_timeout(r->bus, CALL_USEC);
	return sd_bus_attach_event(r->bus, r->event, SD_EVENT_PRIORITY_NORMAL);
}

static int ask_status(struct mqtt_reader *r)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	int error;

	if (r->status_call)
		return 0;
	error = connect_bus(r);
	if (error >= 0)
		error = sd_bus_message_new_method_call(r->bus, &call, BATTERY_BUS_NAME,
						       BATTERY_BUS_PATH, BATTERY_BUS_IFACE,
						       "Status");
	if (error >= 0)
		error = sd_bus_message_set_auto_start(call, 0);
	if (error >= 0)
		error = sd_bus_call_async(r->bus, &r->status_call, call, on_status, r, CALL_USEC);
	return error;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct mqtt_reader *r = userdata;

	(void)usec;
	if (ask_status(r) < 0) {
		disconnect(r);
		r->calls.status(NULL, r->userdata);
	}
	(void)sd_event_source_set_time_relative(source, r->interval_msec * 1000);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int mqtt_reader_new(sd_event *event, uint64_t interval_msec, const struct mqtt_reader_calls *calls,
		    void *userdata, struct mqtt_reader **ret)
{
	_cleanup_(mqtt_reader_freep) struct mqtt_reader *r = calloc(1, sizeof *r);
	int error;

	if (!r)
		return -ENOMEM;
	r->event = sd_event_ref(event);
	r->interval_msec = interval_msec;
	r->calls = *calls;
	r->userdata = userdata;
	error = sd_event_add_time(event, &r->timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC, on_timer, r);
	if (error < 0)
		return error;
	*ret = TAKE_PTR(r);
	return 0;
}

struct mqtt_reader *mqtt_reader_free(struct mqtt_reader *r)
{
	if (!r)
		return NULL;
	disconnect(r);
	sd_event_source_disable_unref(r->timer);
	sd_event_unref(r->event);
	free(r);
	return NULL;
}
