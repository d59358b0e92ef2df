/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/bus.h"

#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "bmsd/health.h"
#include "common/log.h"

#define RETRY_USEC    UINT64_C(3000000)
#define ACCURACY_USEC 10000
#define PATH_BYTES    64
#define MAX_CHANGED   24

struct bus_pack {
	struct bus *bus;
	size_t index;
	char path[PATH_BYTES];
	struct pack_view published;
};

struct bus {
	sd_event *event;
	sd_bus *bus;
	sd_event_source *timer;
	bus_facts_fn facts;
	bus_settled_fn settled;
	void *userdata;
	bool owned;
	bool ready_published;
	size_t n_packs;
	struct bus_pack packs[BMSD_MAX_PACKS];
};

/* ---- the daemon's object ---- */

static int get_version(sd_bus *bus, const char *path, const char *interface, const char *property,
		       sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	struct facts f = {};

	(void)bus, (void)path, (void)interface, (void)property, (void)error;
	b->facts(b->userdata, &f);
	return sd_bus_message_append(reply, "s", f.version);
}

static int get_ready(sd_bus *bus, const char *path, const char *interface, const char *property,
		     sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	struct facts f = {};

	(void)bus, (void)path, (void)interface, (void)property, (void)error;
	b->facts(b->userdata, &f);
	return sd_bus_message_append(reply, "b", (int)f.ready);
}

static int get_packs(sd_bus *bus, const char *path, const char *interface, const char *property,
		     sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	int r;

	(void)bus, (void)path, (void)interface, (void)property, (void)error;
	r = sd_bus_message_open_container(reply, 'a', "o");
	for (size_t i = 0; r >= 0 && i < b->n_packs; i++)
		r = sd_bus_message_append(reply, "o", b->packs[i].path);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

typedef int (*build_fn)(const struct facts *f, char **ret_json);

static int reply_json(struct bus *b, sd_bus_message *call, build_fn build)
{
	_cleanup_free_ char *json = NULL;
	struct facts f = {};
	int r;

	b->facts(b->userdata, &f);
	r = build(&f, &json);
	if (r < 0)
		return r;
	return sd_bus_reply_method_return(call, "s", json);
}

static int method_status(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
	(void)error;
	return reply_json(userdata, call, status_build);
}

static int method_health(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
	(void)error;
	return reply_json(userdata, call, health_build);
}

static const sd_bus_vtable daemon_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Ready", "b", get_ready, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Packs", "ao", get_packs, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_METHOD_WITH_ARGS("Status", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_status,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Health", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_health,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

/* ---- the packs' objects ---- */

static void look(const struct bus_pack *p, struct pack_view *ret)
{
	struct facts f = {};

	p->bus->facts(p->bus->userdata, &f);
	*ret = f.packs[p->index].pack;
}

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property,
		    sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct pack_view v = {};

	(void)bus, (void)path, (void)interface, (void)error;
	look(userdata, &v);
	if (strcmp(property, "Model") == 0)
		return sd_bus_message_append(reply, "s", v.model);
	if (strcmp(property, "Driver") == 0)
		return sd_bus_message_append(reply, "s", v.driver);
	return sd_bus_message_append(reply, "s", v.link_up ? "up" : "down");
}

static int get_flag(sd_bus *bus, const char *path, const char *interface, const char *property,
		    sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct pack_view v = {};

	(void)bus, (void)path, (void)interface, (void)error;
	look(userdata, &v);
	if (strcmp(property, "Present") == 0)
		return sd_bus_message_append(reply, "b", (int)v.present);
	if (strcmp(property, "ChargeFet") == 0)
		return sd_bus_message_append(reply, "b", (int)v.sample.charge_fet);
	return sd_bus_message_append(reply, "b", (int)v.sample.discharge_fet);
}

/* Numbers by name; also what decides whether a change signal is due. */
static const struct number_property {
	const char *name;
	size_t offset;
	bool is_wide; /* int64_t; else 32 bits */
} numbers[] = {
	{ "VoltageNow", offsetof(struct sample, voltage_uv), true },
	{ "CurrentNow", offsetof(struct sample, current_ua), true },
	{ "ChargeNow", offsetof(struct sample, charge_uah), true },
	{ "ChargeFullDesign", offsetof(struct sample, charge_full_design_uah), true },
	{ "Capacity", offsetof(struct sample, capacity_percent), false },
	{ "CycleCount", offsetof(struct sample, cycles), false },
};

static int64_t number_of(const struct sample *s, const struct number_property *n)
{
	const char *at = (const char *)s + n->offset;
	int64_t wide;
	int32_t narrow;

	if (n->is_wide) {
		memcpy(&wide, at, sizeof wide);
		return wide;
	}
	memcpy(&narrow, at, sizeof narrow);
	return narrow;
}

static int get_number(sd_bus *bus, const char *path, const char *interface, const char *property,
		      sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct pack_view v = {};

	(void)bus, (void)path, (void)interface, (void)error;
	look(userdata, &v);
	for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
		if (strcmp(property, numbers[i].name) == 0)
			return sd_bus_message_append(reply, "x", number_of(&v.sample, &numbers[i]));
	return sd_bus_message_append(reply, "x", v.age_msec);
}

static int get_list(sd_bus *bus, const char *path, const char *interface, const char *property,
		    sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct pack_view v = {};

	(void)bus, (void)path, (void)interface, (void)error;
	look(userdata, &v);
	if (strcmp(property, "CellVoltages") == 0)
		return sd_bus_message_append_array(reply, 'x', v.sample.cells_uv,
						   v.sample.n_cells * sizeof(int64_t));
	return sd_bus_message_append_array(reply, 'x', v.sample.temperatures_decicelsius,
					   v.sample.n_temperatures * sizeof(int64_t));
}

static int get_protections(sd_bus *bus, const char *path, const char *interface,
			   const char *property, sd_bus_message *reply, void *userdata,
			   sd_bus_error *error)
{
	struct pack_view v = {};
	int r;

	(void)bus, (void)path, (void)interface, (void)property, (void)error;
	look(userdata, &v);
	r = sd_bus_message_open_container(reply, 'a', "s");
	for (unsigned i = 0; r >= 0 && i < PROTECTION_COUNT; i++)
		if (v.sample.protections & 1u << i)
			r = sd_bus_message_append(reply, "s", protection_name(i));
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

static const sd_bus_vtable pack_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Model", "s", get_text, 0, CHANGES),
	SD_BUS_PROPERTY("Driver", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Link", "s", get_text, 0, CHANGES),
	SD_BUS_PROPERTY("Present", "b", get_flag, 0, CHANGES),
	SD_BUS_PROPERTY("VoltageNow", "x", get_number, 0, CHANGES),
	SD_BUS_PROPERTY("CurrentNow", "x", get_number, 0, CHANGES),
	SD_BUS_PROPERTY("ChargeNow", "x", get_number, 0, CHANGES),
	SD_BUS_PROPERTY("ChargeFullDesign", "x", get_number, 0, CHANGES),
	SD_BUS_PROPERTY("Capacity", "x", get_number, 0, CHANGES),
	SD_BUS_PROPERTY("CycleCount", "x", get_number, 0, CHANGES),
	SD_BUS_PROPERTY("CellVoltages", "ax", get_list, 0, CHANGES),
	SD_BUS_PROPERTY("Temperatures", "ax", get_list, 0, CHANGES),
	SD_BUS_PROPERTY("ChargeFet", "b", get_flag, 0, CHANGES),
	SD_BUS_PROPERTY("DischargeFet", "b", get_flag, 0, CHANGES),
	SD_BUS_PROPERTY("Protections", "as", get_protections, 0, CHANGES),
	SD_BUS_PROPERTY("SampleAgeMsec", "x", get_number, 0, 0),
	SD_BUS_VTABLE_END,
};

/* ---- change signals ---- */

struct changes {
	const char *names[MAX_CHANGED];
	size_t n;
};

static void note_change(struct changes *c, bool differs, const char *name)
{
	if (differs && c->n < MAX_CHANGED - 1)
		c->names[c->n++] = name;
}

static bool lists_differ(const int64_t *a, size_t n_a, const int64_t *b, size_t n_b)
{
	return n_a != n_b || memcmp(a, b, n_a * sizeof *a) != 0;
}

static void compare(const struct pack_view *was, const struct pack_view *is, struct changes *c)
{
	const struct sample *s = &was->sample, *t = &is->sample;

	note_change(c, strcmp(was->model, is->model) != 0, "Model");
	note_change(c, was->link_up != is->link_up, "Link");
	note_change(c, was->present != is->present, "Present");
	for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
		note_change(c, number_of(s, &numbers[i]) != number_of(t, &numbers[i]),
			    numbers[i].name);
	note_change(c, lists_differ(s->cells_uv, s->n_cells, t->cells_uv, t->n_cells),
		    "CellVoltages");
	note_change(c,
		    lists_differ(s->temperatures_decicelsius, s->n_temperatures,
				 t->temperatures_decicelsius, t->n_temperatures),
		    "Temperatures");
	note_change(c, s->charge_fet != t->charge_fet, "ChargeFet");
	note_change(c, s->discharge_fet != t->discharge_fet, "DischargeFet");
	note_change(c, s->protections != t->protections, "Protections");
}

static void publish_pack(struct bus_pack *p, const struct pack_view *now)
{
	struct changes c = {};
	int r;

	compare(&p->published, now, &c);
	p->published = *now;
	if (c.n == 0)
		return;
	/* The function is declared with char **, yet changes nothing. */
	r = sd_bus_emit_properties_changed_strv(p->bus->bus, p->path, BATTERY_PACK_IFACE,
						(char **)(uintptr_t)c.names);
	if (r < 0)
		log_debug("bus: change signal: %s", strerror(-r));
}

void bus_publish(struct bus *b)
{
	struct facts f = {};

	if (!b->bus || !b->owned)
		return;
	b->facts(b->userdata, &f);
	for (size_t i = 0; i < b->n_packs; i++)
		publish_pack(&b->packs[i], &f.packs[i].pack);
	if (f.ready == b->ready_published)
		return;
	b->ready_published = f.ready;
	(void)sd_bus_emit_properties_changed(b->bus, BATTERY_BUS_PATH, BATTERY_BUS_IFACE, "Ready",
					     NULL);
}

/* ---- the connection ---- */

static void disconnect(struct bus *b)
{
	b->owned = false;
	b->bus = sd_bus_close_unref(b->bus);
}

static void try_again_later(struct bus *b)
{
	(void)sd_event_source_set_time_relative(b->timer, RETRY_USEC);
	(void)sd_event_source_set_enabled(b->timer, SD_EVENT_ONESHOT);
}

static int on_name(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	uint32_t answer = 0;
	int r = -sd_bus_message_get_errno(reply);

	(void)error;
	if (r == 0)
		r = sd_bus_message_read(reply, "u", &answer);
	/* 1: DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER */
	if (r >= 0 && answer != 1)
		r = -EEXIST;
	b->owned = r >= 0;
	if (r < 0)
		try_again_later(b);
	b->settled(b->userdata, r < 0 ? r : 0);
	bus_publish(b);
	return 0;
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;

	(void)message, (void)error;
	b->owned = false;
	try_again_later(b);
	return 0;
}

static int add_objects(struct bus *b)
{
	int r;

	r = sd_bus_add_object_vtable(b->bus, NULL, BATTERY_BUS_PATH, BATTERY_BUS_IFACE,
				     daemon_vtable, b);
	for (size_t i = 0; r >= 0 && i < b->n_packs; i++)
		r = sd_bus_add_object_vtable(b->bus, NULL, b->packs[i].path, BATTERY_PACK_IFACE,
					     pack_vtable, &b->packs[i]);
	return r;
}

static int connect_bus(struct bus *b)
{
	int r;

	disconnect(b);
	r = sd_bus_open_system_with_description(&b->bus, "bmsd");
	if (r < 0)
		return r;
	(void)sd_bus_set_exit_on_disconnect(b->bus, 0);
	r = add_objects(b);
	if (r < 0)
		return r;
	r = sd_bus_match_signal_async(b->bus, NULL, "org.freedesktop.DBus.Local", NULL,
				      "org.freedesktop.DBus.Local", "Disconnected", on_disconnected,
				      NULL, b);
	if (r < 0)
		return r;
	r = sd_bus_request_name_async(b->bus, NULL, BATTERY_BUS_NAME, 0, on_name, b);
	if (r < 0)
		return r;
	return sd_bus_attach_event(b->bus, b->event, SD_EVENT_PRIORITY_NORMAL);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct bus *b = userdata;
	int r;

	(void)source, (void)usec;
	r = connect_bus(b);
	if (r >= 0)
		return 0;
	disconnect(b);
	try_again_later(b);
	b->settled(b->userdata, r);
	return 0;
}

static void name_objects(struct bus *b)
{
	struct facts f = {};

	b->facts(b->userdata, &f);
	b->n_packs = f.n_packs;
	for (size_t i = 0; i < f.n_packs; i++) {
		struct bus_pack *p = &b->packs[i];

		p->bus = b;
		p->index = i;
		p->published = f.packs[i].pack;
		(void)snprintf(p->path, sizeof p->path, BATTERY_BUS_PATH "/pack%u",
			       f.packs[i].number);
	}
}

int bus_new(sd_event *event, bus_facts_fn facts, bus_settled_fn settled, void *userdata,
	    struct bus **ret)
{
	_cleanup_(bus_freep) struct bus *b = calloc(1, sizeof *b);
	int r;

	if (!b)
		return -ENOMEM;
	b->event = sd_event_ref(event);
	b->facts = facts;
	b->settled = settled;
	b->userdata = userdata;
	name_objects(b);
	r = sd_event_add_time(event, &b->timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC, on_timer, b);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(b);
	return 0;
}

struct bus *bus_free(struct bus *b)
{
	if (!b)
		return NULL;
	disconnect(b);
	sd_event_source_disable_unref(b->timer);
	sd_event_unref(b->event);
	free(b);
	return NULL;
}
