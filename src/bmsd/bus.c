/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/bus.h"

#include <string.h>
#include <time.h>

#include "bmsd/health.h"
#include "bmsd/records.h"
#include "common/log.h"

#define RETRY_USEC    UINT64_C(3000000)
#define ACCURACY_USEC 10000
#define UID_NOBODY    65534
#define PATH_BYTES    64
#define MAX_CHANGED   64
/* Asking the bus who calls is waited for, and packs are to be polled meanwhile. */
#define ANSWER_USEC   UINT64_C(1000000)

/* What the properties of a pack are made of. */
struct shown {
	struct pack_view pack;
	struct estimator_view estimator;
	struct limits_view limits;
	uint32_t alarms; /* 1 << enum alarm_id */
	bool fet_locked[FET_COUNT];
};

struct bus_pack {
	struct bus *bus;
	size_t index;
	unsigned number;
	char path[PATH_BYTES];
	struct shown published;
};

struct bus {
	sd_event *event;
	sd_bus *bus;
	sd_event_source *timer;
	bus_facts_fn facts;
	bus_settled_fn settled;
	void *userdata;
	const struct service *service;
	bool owned;
	bool ready_published;
	uint64_t sequence_published;
	bool is_current; /* facts are those of this very moment */
	struct facts current;
	size_t n_packs;
	struct bus_pack packs[BMSD_MAX_PACKS];
};

static const struct facts *look(struct bus *b)
{
	if (!b->is_current)
		b->facts(b->userdata, &b->current);
	return &b->current;
}

/* ---- the daemon's object ---- */

static int get_daemon(sd_bus *bus, const char *path, const char *interface, const char *property,
		      sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	const struct facts *f = look(userdata);

	(void)bus, (void)path, (void)interface, (void)error;
	if (strcmp(property, "Version") == 0)
		return sd_bus_message_append(reply, "s", f->version);
	if (strcmp(property, "EventSequence") == 0)
		return sd_bus_message_append(reply, "t", f->event_sequence);
	return sd_bus_message_append(reply, "b", (int)f->ready);
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

static int get_config_refused(sd_bus *bus, const char *path, const char *interface,
			      const char *property, sd_bus_message *reply, void *userdata,
			      sd_bus_error *error)
{
	const struct bmsd_conf *c = look(userdata)->conf;
	int r;

	(void)bus, (void)path, (void)interface, (void)property, (void)error;
	r = sd_bus_message_open_container(reply, 'a', "s");
	for (size_t i = 0; r >= 0 && c && i < c->n_refused; i++)
		r = sd_bus_message_append(reply, "s", c->refused[i].text);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

typedef int (*build_fn)(const struct facts *f, char **ret_json);

static int reply_json(struct bus *b, sd_bus_message *call, build_fn build)
{
	_cleanup_free_ char *json = NULL;
	int r;

	r = build(look(b), &json);
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

static int not_supported(sd_bus_error *error)
{
	return sd_bus_error_set(error, SD_BUS_ERROR_NOT_SUPPORTED, "not served by this daemon");
}

static int method_events(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
	const struct bus *b = userdata;
	struct events *events = b->service ? b->service->events(b->userdata) : NULL;
	_cleanup_free_ char *json = NULL;
	uint64_t after = 0;
	uint32_t max = 0;
	int r;

	if (!events)
		return not_supported(error);
	r = sd_bus_message_read(call, "tu", &after, &max);
	if (r < 0)
		return r;
	r = records_events(events, after, max, &json);
	if (r < 0)
		return sd_bus_error_set_errnof(error, r, "events: %s", strerror(-r));
	return sd_bus_reply_method_return(call, "s", json);
}

/* The bus's policy says the same; this holds where somebody has loosened it. The sender's credentials
 * are the bus's word, not the caller's. */
static int check_is_root(sd_bus_message *call, sd_bus_error *error)
{
	_cleanup_(sd_bus_creds_unrefp) sd_bus_creds *creds = NULL;
	uid_t uid = UID_NOBODY;
	int r;

	r = sd_bus_query_sender_creds(call, SD_BUS_CREDS_EUID, &creds);
	if (r >= 0)
		r = sd_bus_creds_get_euid(creds, &uid);
	if (r < 0)
		return sd_bus_error_set_errnof(error, r, "caller is not known");
	/* Outside a system bus, as in tests, the daemon's own user may, too. */
	if (uid != 0 && uid != geteuid())
		return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "only root may do this");
	return 0;
}

static int method_quiesce(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
	const struct bus *b = userdata;
	uint64_t sequence = 0;
	int r;

	r = check_is_root(call, error);
	if (r < 0)
		return r;
	if (!b->service)
		return not_supported(error);
	r = b->service->quiesce(b->userdata, &sequence);
	if (r < 0)
		return sd_bus_error_set_errnof(error, r, "not all was written: %s", strerror(-r));
	return sd_bus_reply_method_return(call, "t", sequence);
}

static const sd_bus_vtable daemon_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Version", "s", get_daemon, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Ready", "b", get_daemon, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("EventSequence", "t", get_daemon, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Packs", "ao", get_packs, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("ConfigRefused", "as", get_config_refused, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_METHOD_WITH_ARGS("Status", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_status,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Health", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_health,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Events", SD_BUS_ARGS("t", after, "u", max),
				SD_BUS_RESULT("s", json), method_events,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Quiesce", SD_BUS_NO_ARGS, SD_BUS_RESULT("t", sequence),
				method_quiesce, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

/* ---- the packs' objects ---- */

static void show(const struct pack_facts *p, struct shown *ret)
{
	ret->pack = p->pack;
	ret->estimator = p->estimator;
	ret->limits = p->limits;
	ret->alarms = 0;
	for (unsigned i = 0; p->alarms && i < ALARM_COUNT; i++)
		if (p->alarms->states[i].set)
			ret->alarms |= 1u << i;
	for (unsigned i = 0; i < FET_COUNT; i++)
		ret->fet_locked[i] = p->fet && p->fet->locks[i].locked;
}

static const struct pack_facts *look_at_pack(const struct bus_pack *p)
{
	return &look(p->bus)->packs[p->index];
}

/* Texts, flags, numbers and names by property: one table each says how it is read, and what decides
 * whether a change signal is due. */

static const char *text_model(const struct shown *s)
{
	return s->pack.model;
}
static const char *text_serial(const struct shown *s)
{
	return s->pack.sample.serial;
}
static const char *text_firmware(const struct shown *s)
{
	return s->pack.sample.firmware;
}
static const char *text_manufactured(const struct shown *s)
{
	return s->pack.sample.manufactured;
}
static const char *text_detail(const struct shown *s)
{
	return s->pack.detail;
}
static const char *text_link(const struct shown *s)
{
	return s->pack.link_up ? "up" : "down";
}
static const char *text_soc_source(const struct shown *s)
{
	return soc_source_name(s->estimator.soc_source);
}
static const char *text_soh_source(const struct shown *s)
{
	return soh_source_name(s->estimator.soh_source);
}
static const char *text_charge_reason(const struct shown *s)
{
	return limits_reason_name(s->limits.charge_reason);
}
static const char *text_discharge_reason(const struct shown *s)
{
	return limits_reason_name(s->limits.discharge_reason);
}

static const struct text_property {
	const char *name;
	const char *(*get)(const struct shown *s);
} texts[] = {
	{ "Model", text_model },
	{ "Serial", text_serial },
	{ "Firmware", text_firmware },
	{ "Manufactured", text_manufactured },
	{ "Detail", text_detail },
	{ "Link", text_link },
	{ "SocSource", text_soc_source },
	{ "SohSource", text_soh_source },
	{ "ChargeLimitReason", text_charge_reason },
	{ "DischargeLimitReason", text_discharge_reason },
};

#define FLAG(name, member)                                                                         \
	{                                                                                          \
		name, offsetof(struct shown, member)                                               \
	}
static const struct flag_property {
	const char *name;
	size_t offset;
} flags[] = {
	FLAG("Present", pack.present),
	FLAG("Asleep", pack.asleep),
	FLAG("ChargeFet", pack.sample.charge_fet),
	FLAG("DischargeFet", pack.sample.discharge_fet),
	FLAG("ChargeFetLocked", fet_locked[FET_CHARGE]),
	FLAG("DischargeFetLocked", fet_locked[FET_DISCHARGE]),
};

enum number_type {
	NUMBER_WIDE,
	NUMBER_SIGNED,
	NUMBER_UNSIGNED,
};
/* clang-format off */
#define NUMBER(name, member)                                                                       \
	{                                                                                          \
		name, offsetof(struct shown, member),                                              \
			_Generic(((struct shown *)0)->member,                                      \
				 int64_t: NUMBER_WIDE,                                             \
				 int32_t: NUMBER_SIGNED,                                           \
				 uint32_t: NUMBER_UNSIGNED)                                        \
	}
/* clang-format on */
static const struct number_property {
	const char *name;
	size_t offset;
	enum number_type type;
} numbers[] = {
	NUMBER("VoltageNow", pack.sample.voltage_uv),
	NUMBER("CurrentNow", pack.sample.current_ua),
	NUMBER("ChargeNow", pack.sample.charge_uah),
	NUMBER("ChargeFullDesign", pack.sample.charge_full_design_uah),
	NUMBER("Capacity", pack.sample.capacity_percent),
	NUMBER("CycleCount", pack.sample.cycles),
	NUMBER("Balancing", pack.sample.balancing),
	NUMBER("FetTemperature", pack.sample.fet_temperature_decicelsius),
	NUMBER("StateOfCharge", estimator.soc_centipercent),
	NUMBER("CapacityErrorMargin", estimator.margin_centipercent),
	NUMBER("EstimatedCharge", estimator.charge_now_uah),
	NUMBER("EstimatedChargeFull", estimator.charge_full_uah),
	NUMBER("ChargeCounter", estimator.charge_counter_uah),
	NUMBER("StateOfHealth", estimator.soh_centipercent),
	NUMBER("EquivalentCycles", estimator.cycles_milli),
	NUMBER("Resistance", estimator.resistance_uohm),
	NUMBER("TimeToEmptyAvg", estimator.time_to_empty_sec),
	NUMBER("TimeToFullAvg", estimator.time_to_full_sec),
	NUMBER("ConstantChargeVoltageMax", limits.constant_charge_voltage_max_uv),
	NUMBER("ChargeCurrentMax", limits.charge_current_max_ua),
	NUMBER("DischargeCurrentMax", limits.discharge_current_max_ua),
};

static bool flag_of(const struct shown *s, const struct flag_property *p)
{
	bool value;

	memcpy(&value, (const char *)s + p->offset, sizeof value);
	return value;
}

static int64_t number_of(const struct shown *s, const struct number_property *n)
{
	const char *at = (const char *)s + n->offset;
	int64_t wide = 0;
	int32_t narrow = 0;
	uint32_t bits = 0;

	switch (n->type) {
	case NUMBER_WIDE: memcpy(&wide, at, sizeof wide); return wide;
	case NUMBER_SIGNED: memcpy(&narrow, at, sizeof narrow); return narrow;
	case NUMBER_UNSIGNED: memcpy(&bits, at, sizeof bits); return bits;
	}
	return wide;
}

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property,
		    sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	const struct pack_facts *p = look_at_pack(userdata);
	struct shown s = {};

	(void)bus, (void)path, (void)interface, (void)error;
	show(p, &s);
	for (size_t i = 0; i < ELEMENTSOF(texts); i++)
		if (strcmp(property, texts[i].name) == 0)
			return sd_bus_message_append(reply, "s", texts[i].get(&s));
	return sd_bus_message_append(reply, "s", p->pack.driver);
}

static int get_flag(sd_bus *bus, const char *path, const char *interface, const char *property,
		    sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct shown s = {};
	bool value = false;

	(void)bus, (void)path, (void)interface, (void)error;
	show(look_at_pack(userdata), &s);
	for (size_t i = 0; i < ELEMENTSOF(flags); i++)
		if (strcmp(property, flags[i].name) == 0)
			value = flag_of(&s, &flags[i]);
	return sd_bus_message_append(reply, "b", (int)value);
}

static int get_number(sd_bus *bus, const char *path, const char *interface, const char *property,
		      sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct shown s = {};

	(void)bus, (void)path, (void)interface, (void)error;
	show(look_at_pack(userdata), &s);
	for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
		if (strcmp(property, numbers[i].name) == 0)
			return sd_bus_message_append(reply, "x", number_of(&s, &numbers[i]));
	return sd_bus_message_append(reply, "x", s.pack.age_msec);
}

static int get_list(sd_bus *bus, const char *path, const char *interface, const char *property,
		    sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	const struct sample *s = &look_at_pack(userdata)->pack.sample;

	(void)bus, (void)path, (void)interface, (void)error;
	if (strcmp(property, "CellVoltages") == 0)
		return sd_bus_message_append_array(reply, 'x', s->cells_uv,
						   s->n_cells * sizeof(int64_t));
	return sd_bus_message_append_array(reply, 'x', s->temperatures_decicelsius,
					   s->n_temperatures * sizeof(int64_t));
}

static int append_names(sd_bus_message *reply, uint32_t bits, unsigned n,
			const char *(*name)(unsigned))
{
	int r = sd_bus_message_open_container(reply, 'a', "s");

	for (unsigned i = 0; r >= 0 && i < n; i++)
		if (bits & 1u << i)
			r = sd_bus_message_append(reply, "s", name(i));
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_names(sd_bus *bus, const char *path, const char *interface, const char *property,
		     sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct shown s = {};

	(void)bus, (void)path, (void)interface, (void)error;
	show(look_at_pack(userdata), &s);
	if (strcmp(property, "Alarms") == 0)
		return append_names(reply, s.alarms, ALARM_COUNT, alarm_name);
	if (strcmp(property, "Warnings") == 0)
		return append_names(reply, s.pack.sample.warnings, PROTECTION_COUNT,
				    protection_name);
	return append_names(reply, s.pack.sample.protections, PROTECTION_COUNT, protection_name);
}

/* ---- their methods ---- */

static int method_history(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
	const struct bus_pack *p = userdata;
	const struct history *history = NULL;
	struct records_range range = {};
	_cleanup_free_ char *json = NULL;
	const char *resolution = "";
	int r;

	if (p->bus->service)
		history = p->bus->service->history(p->bus->userdata, p->number);
	if (!history)
		return not_supported(error);
	r = sd_bus_message_read(call, "sttu", &resolution, &range.from_sec, &range.to_sec,
				&range.max);
	if (r < 0)
		return r;
	range.minutes = strcmp(resolution, "minute") == 0;
	if (!range.minutes && strcmp(resolution, "second") != 0)
		return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
					"resolution: 'second' or 'minute'");
	r = records_history(history, &range, &json);
	if (r < 0)
		return sd_bus_error_set_errnof(error, r, "history: %s", strerror(-r));
	return sd_bus_reply_method_return(call, "s", json);
}

static int refuse(sd_bus_error *error, int r, const char *sentence)
{
	if (r == -EINVAL)
		return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, sentence);
	return sd_bus_error_set(error, BATTERY_ERROR_REFUSED, sentence);
}

static int method_set_fet(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
	const struct bus_pack *p = userdata;
	char refusal[FET_REFUSAL_BYTES] = "";
	struct fet_request request = {};
	const char *which = "";
	uint32_t lease_sec = 0;
	int on = 0, r;

	r = check_is_root(call, error);
	if (r < 0)
		return r;
	if (!p->bus->service)
		return not_supported(error);
	r = sd_bus_message_read(call, "sbsu", &which, &on, &request.reason, &lease_sec);
	if (r < 0)
		return r;
	if (strcmp(which, fet_name(FET_DISCHARGE)) == 0)
		request.which = FET_DISCHARGE;
	else if (strcmp(which, fet_name(FET_CHARGE)) != 0)
		return refuse(error, -EINVAL, "which: 'charge' or 'discharge'");
	request.on = on;
	request.lease_sec = lease_sec;
	r = p->bus->service->set_fet(p->bus->userdata, p->number, &request, refusal);
	if (r < 0)
		return refuse(error, r, refusal[0] ? refusal : strerror(-r));
	return sd_bus_reply_method_return(call, "");
}

static int method_reset_alarms(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
	const struct bus_pack *p = userdata;
	int r;

	r = check_is_root(call, error);
	if (r < 0)
		return r;
	if (!p->bus->service)
		return not_supported(error);
	r = p->bus->service->reset_alarms(p->bus->userdata, p->number);
	if (r < 0)
		return sd_bus_error_set_errnof(error, r, "alarms: %s", strerror(-r));
	return sd_bus_reply_method_return(call, "");
}

#define CHANGES	      SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define TEXT(name)    SD_BUS_PROPERTY(name, "s", get_text, 0, CHANGES)
#define FLAGGED(name) SD_BUS_PROPERTY(name, "b", get_flag, 0, CHANGES)
#define COUNTED(name) SD_BUS_PROPERTY(name, "x", get_number, 0, CHANGES)

static const sd_bus_vtable pack_vtable[] = {
	SD_BUS_VTABLE_START(0),
	TEXT("Model"),
	TEXT("Serial"),
	TEXT("Firmware"),
	TEXT("Manufactured"),
	SD_BUS_PROPERTY("Driver", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	TEXT("Link"),
	TEXT("Detail"),
	FLAGGED("Present"),
	FLAGGED("Asleep"),
	COUNTED("VoltageNow"),
	COUNTED("CurrentNow"),
	COUNTED("ChargeNow"),
	COUNTED("ChargeFullDesign"),
	COUNTED("Capacity"),
	COUNTED("CycleCount"),
	SD_BUS_PROPERTY("CellVoltages", "ax", get_list, 0, CHANGES),
	SD_BUS_PROPERTY("Temperatures", "ax", get_list, 0, CHANGES),
	COUNTED("FetTemperature"),
	COUNTED("Balancing"),
	FLAGGED("ChargeFet"),
	FLAGGED("DischargeFet"),
	FLAGGED("ChargeFetLocked"),
	FLAGGED("DischargeFetLocked"),
	SD_BUS_PROPERTY("Protections", "as", get_names, 0, CHANGES),
	SD_BUS_PROPERTY("Warnings", "as", get_names, 0, CHANGES),
	SD_BUS_PROPERTY("Alarms", "as", get_names, 0, CHANGES),
	COUNTED("StateOfCharge"),
	COUNTED("CapacityErrorMargin"),
	TEXT("SocSource"),
	COUNTED("EstimatedCharge"),
	COUNTED("EstimatedChargeFull"),
	COUNTED("ChargeCounter"),
	COUNTED("StateOfHealth"),
	TEXT("SohSource"),
	COUNTED("EquivalentCycles"),
	COUNTED("Resistance"),
	COUNTED("TimeToEmptyAvg"),
	COUNTED("TimeToFullAvg"),
	COUNTED("ConstantChargeVoltageMax"),
	COUNTED("ChargeCurrentMax"),
	COUNTED("DischargeCurrentMax"),
	TEXT("ChargeLimitReason"),
	TEXT("DischargeLimitReason"),
	SD_BUS_PROPERTY("SampleAgeMsec", "x", get_number, 0, 0),
	SD_BUS_METHOD_WITH_ARGS(
		"History", SD_BUS_ARGS("s", resolution, "t", from_sec, "t", to_sec, "u", max),
		SD_BUS_RESULT("s", json), method_history, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("SetFet",
				SD_BUS_ARGS("s", which, "b", on, "s", reason, "u", lease_sec),
				SD_BUS_NO_RESULT, method_set_fet, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("ResetAlarms", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT,
				method_reset_alarms, SD_BUS_VTABLE_UNPRIVILEGED),
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

static void compare_lists(const struct sample *s, const struct sample *t, struct changes *c)
{
	note_change(c, lists_differ(s->cells_uv, s->n_cells, t->cells_uv, t->n_cells),
		    "CellVoltages");
	note_change(c,
		    lists_differ(s->temperatures_decicelsius, s->n_temperatures,
				 t->temperatures_decicelsius, t->n_temperatures),
		    "Temperatures");
	note_change(c, s->protections != t->protections, "Protections");
	note_change(c, s->warnings != t->warnings, "Warnings");
}

static void compare(const struct shown *was, const struct shown *is, struct changes *c)
{
	for (size_t i = 0; i < ELEMENTSOF(texts); i++)
		note_change(c, strcmp(texts[i].get(was), texts[i].get(is)) != 0, texts[i].name);
	for (size_t i = 0; i < ELEMENTSOF(flags); i++)
		note_change(c, flag_of(was, &flags[i]) != flag_of(is, &flags[i]), flags[i].name);
	for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
		note_change(c, number_of(was, &numbers[i]) != number_of(is, &numbers[i]),
			    numbers[i].name);
	compare_lists(&was->pack.sample, &is->pack.sample, c);
	note_change(c, was->alarms != is->alarms, "Alarms");
}

static void publish_pack(struct bus_pack *p, const struct pack_facts *facts)
{
	struct changes c = {};
	struct shown now = {};
	int r;

	show(facts, &now);
	compare(&p->published, &now, &c);
	p->published = now;
	if (c.n == 0)
		return;
	/* The function is declared with char **, yet changes nothing. */
	r = sd_bus_emit_properties_changed_strv(p->bus->bus, p->path, BATTERY_PACK_IFACE,
						(char **)(uintptr_t)c.names);
	if (r < 0)
		log_debug("bus: change signal: %s", strerror(-r));
}

static void publish_daemon(struct bus *b)
{
	const struct facts *f = look(b);
	struct changes c = {};

	note_change(&c, f->ready != b->ready_published, "Ready");
	note_change(&c, f->event_sequence != b->sequence_published, "EventSequence");
	b->ready_published = f->ready;
	b->sequence_published = f->event_sequence;
	if (c.n > 0)
		(void)sd_bus_emit_properties_changed_strv(
			b->bus, BATTERY_BUS_PATH, BATTERY_BUS_IFACE, (char **)(uintptr_t)c.names);
}

void bus_publish(struct bus *b)
{
	if (!b->bus || !b->owned)
		return;
	/* One look for all: a signal reads each property that it carries. */
	(void)look(b);
	b->is_current = true;
	for (size_t i = 0; i < b->n_packs; i++)
		publish_pack(&b->packs[i], &b->current.packs[i]);
	publish_daemon(b);
	b->is_current = false;
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

int bus_add_objects(struct bus *b, sd_bus *connection)
{
	int r;

	r = sd_bus_add_object_vtable(connection, NULL, BATTERY_BUS_PATH, BATTERY_BUS_IFACE,
				     daemon_vtable, b);
	for (size_t i = 0; r >= 0 && i < b->n_packs; i++)
		r = sd_bus_add_object_vtable(connection, NULL, b->packs[i].path, BATTERY_PACK_IFACE,
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
	(void)sd_bus_set_method_call_timeout(b->bus, ANSWER_USEC);
	r = bus_add_objects(b, b->bus);
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
	const struct facts *f = look(b);

	b->n_packs = f->n_packs;
	for (size_t i = 0; i < f->n_packs; i++) {
		struct bus_pack *p = &b->packs[i];

		p->bus = b;
		p->index = i;
		p->number = f->packs[i].number;
		show(&f->packs[i], &p->published);
		(void)snprintf(p->path, sizeof p->path, BATTERY_BUS_PATH "/pack%u", p->number);
	}
}

void bus_set_service(struct bus *b, const struct service *service)
{
	b->service = service;
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
