/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may be asked of bmsd on the bus: the objects at one end of a pair of sockets, and at the other
 * somebody who calls methods and properties, of ours or none, with arguments of the right types or others.
 * Each call is answered, by what the interface promises or by an error; JSON is JSON; and no request
 * opens a switch that the current forbids.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "bmsd/bus.h"
#include "bmsd/records.h"
#include "common/fsutil.h"
#include "common/json.h"

#define TURNS	     1000
#define ANSWER_BYTES (1u << 20)
#define TEXT_BYTES   120

struct game {
	sd_bus *server, *client;
	struct bus *bus;
	char dir[32];
	int dirfd;
	struct history *history;
	struct events *events;
	struct fet_settings fet_settings;
	struct fet_control fet;
	struct sample sample;
	bool has_events;
};

static struct game game;

/* ---- the daemon behind it ---- */

static void on_facts(void *userdata, struct facts *ret)
{
	static const char driver[] = "jbd";
	const struct game *g = userdata;

	*ret = (struct facts){ .version = "B202108010001", .ready = true, .n_packs = 2 };
	for (unsigned i = 0; i < 2; i++) {
		struct pack_facts *p = &ret->packs[i];

		p->number = i * 3;
		p->pack = (struct pack_view){ .name = i ? "rear" : "0", .driver = driver };
		p->pack.present = true;
		p->pack.sample = g->sample;
		p->fet = &g->fet.memory;
	}
}

static int on_set_fet(void *userdata, unsigned pack, const struct fet_request *request,
		      char ret_refusal[FET_REFUSAL_BYTES])
{
	struct game *g = userdata;
	bool flows = llabs(g->sample.current_ua) > g->fet_settings.open_max_ua;
	struct fet_action action;
	int r;

	check((pack == 0 || pack == 3) && (unsigned)request->which < FET_COUNT && request->reason);
	r = fet_request(&g->fet, request, &g->sample, true, 1, ret_refusal);
	check(r == 0 || (r < 0 && ret_refusal[0] && strlen(ret_refusal) < FET_REFUSAL_BYTES));
	check(r < 0 || request->on || request->which == FET_CHARGE || !flows);
	for (action = fet_step(&g->fet, &g->sample, 0); action.send || action.change;
	     action = fet_step(&g->fet, &g->sample, 0))
		check(!action.send || action.on || action.which == FET_CHARGE || !flows);
	return r;
}

static int on_quiesce(void *userdata, uint64_t *ret_sequence)
{
	const struct game *g = userdata;

	*ret_sequence = 7;
	return g->has_events ? 0 : -EIO;
}

static int on_reset_alarms(void *userdata, unsigned pack)
{
	(void)userdata;
	check(pack == 0 || pack == 3);
	return pack ? -ENOENT : 0;
}

static const struct history *on_history(void *userdata, unsigned pack)
{
	const struct game *g = userdata;

	return pack ? NULL : g->history;
}

static struct events *on_events(void *userdata)
{
	const struct game *g = userdata;

	return g->has_events ? g->events : NULL;
}

static const struct service service = {
	.facts = on_facts,
	.set_fet = on_set_fet,
	.quiesce = on_quiesce,
	.reset_alarms = on_reset_alarms,
	.history = on_history,
	.events = on_events,
};

/* ---- once ---- */

static void on_settled(void *userdata, int error)
{
	(void)userdata, (void)error;
}

static void fill_records(struct game *g)
{
	static const struct events_settings settings = { 65536 };
	bool damaged = false;
	int error = 0;

	(void)snprintf(g->dir, sizeof g->dir, "/tmp/fuzz-bus-XXXXXX");
	check(mkdtemp(g->dir));
	g->dirfd = open(g->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(g->dirfd >= 0 && history_open(g->dirfd, &g->history, &damaged, &error) == 0);
	check(events_open(g->dirfd, &settings, "0123456789abcdef0123456789abcdef", 0, &g->events) ==
	      0);
	for (unsigned i = 0; i < 300; i++) {
		const struct event_new event = { .kind = EVENT_ANCHOR, .pack = 0, .name = "full" };

		check(history_add(g->history, &g->sample, 5000, 1000000 + 30 * i, 30000 * i) >= 0);
		check(events_add(g->events, &event, 1000000 + i, i) >= 0);
	}
	check(events_sync(g->events) >= 0);
}

static void clean_up(void)
{
	(void)bus_free(game.bus);
	sd_bus_close_unref(game.server);
	sd_bus_close_unref(game.client);
	(void)history_free(game.history);
	(void)events_free(game.events);
	close_fd(&game.dirfd);
	(void)!fs_remove_tree(AT_FDCWD, game.dir);
}

static void connect_ends(struct game *g)
{
	sd_id128_t id = SD_ID128_MAKE(01, 02, 03, 04, 05, 06, 07, 08, 09, 0a, 0b, 0c, 0d, 0e, 0f,
				      10);
	int fds[2];

	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
	check(sd_bus_new(&g->server) == 0 && sd_bus_set_fd(g->server, fds[0], fds[0]) >= 0);
	check(sd_bus_set_server(g->server, 1, id) >= 0 && sd_bus_start(g->server) >= 0);
	check(sd_bus_new(&g->client) == 0 && sd_bus_set_fd(g->client, fds[1], fds[1]) >= 0);
	check(sd_bus_start(g->client) >= 0);
	check(bus_add_objects(g->bus, g->server) >= 0);
	for (unsigned i = 0; sd_bus_is_ready(g->client) <= 0; i++) {
		check(i < TURNS);
		check(sd_bus_process(g->server, NULL) >= 0);
		check(sd_bus_process(g->client, NULL) >= 0);
	}
}

static void set_up(struct game *g)
{
	_cleanup_(sd_event_unrefp) sd_event *event = NULL;

	g->sample = (struct sample){
		.valid = 1u << SAMPLE_CURRENT | 1u << SAMPLE_VOLTAGE | 1u << SAMPLE_CHARGE_FET |
			 1u << SAMPLE_DISCHARGE_FET,
		.voltage_uv = 50000000,
		.charge_fet = true,
		.discharge_fet = true,
	};
	fill_records(g);
	check(sd_event_new(&event) == 0);
	check(bus_new(event, on_facts, on_settled, g, &g->bus) == 0);
	bus_set_service(g->bus, &service);
	connect_ends(g);
	check(atexit(clean_up) == 0);
}

/* ---- who calls ---- */

#define PROPERTIES "org.freedesktop.DBus.Properties"
static const struct member {
	const char *interface, *name, *arguments, *answer; /* NULL: anything */
} members[] = {
	{ BATTERY_BUS_IFACE, "Status", "", "s" },
	{ BATTERY_BUS_IFACE, "Health", "", "s" },
	{ BATTERY_BUS_IFACE, "Events", "tu", "s" },
	{ BATTERY_BUS_IFACE, "Quiesce", "", "t" },
	{ BATTERY_PACK_IFACE, "History", "sttu", "s" },
	{ BATTERY_PACK_IFACE, "SetFet", "sbsu", "" },
	{ BATTERY_PACK_IFACE, "ResetAlarms", "", "" },
	{ PROPERTIES, "Get", "ss", "v" },
	{ PROPERTIES, "Set", "ssv", "" },
	{ PROPERTIES, "GetAll", "s", "a{sv}" },
	{ "org.freedesktop.DBus.Introspectable", "Introspect", "", "s" },
	{ "org.example.None", "None", "s", NULL },
};
static const char *const paths[] = { BATTERY_BUS_PATH, BATTERY_BUS_PATH "/pack0",
				     BATTERY_BUS_PATH "/pack3", BATTERY_BUS_PATH "/pack1", "/" };
static const char *const words[] = {
	"charge",	"discharge",  "second",		 "minute",	     "",
	"because",	"VoltageNow", "Balancing",	 "CellVoltages",     "Packs",
	"Version",	"Alarms",     BATTERY_BUS_IFACE, BATTERY_PACK_IFACE, "SampleAgeMsec",
	"Temperatures",
};

static const char *take_text(struct input *in, char text[TEXT_BYTES])
{
	size_t length;

	if (take_byte(in) % 4)
		return words[take_below(in, ELEMENTSOF(words))];
	length = take_below(in, TEXT_BYTES);
	for (size_t i = 0; i < length; i++)
		text[i] = (char)take_byte(in);
	text[length] = '\0';
	return text;
}

static uint64_t take_number(struct input *in)
{
	uint64_t value = 0;

	for (size_t n = take_byte(in) % 9; n > 0; n--)
		value = value << 8 | take_byte(in);
	return value;
}

/* False: this cannot be sent, as text that is no UTF-8. */
static bool append(struct input *in, sd_bus_message *m, char type)
{
	char text[TEXT_BYTES];
	uint64_t number;

	switch (type) {
	case 's':
	case 'o':
	case 'g': return sd_bus_message_append_basic(m, type, take_text(in, text)) >= 0;
	case 'v': return sd_bus_message_append(m, "v", "u", (uint32_t)take_number(in)) >= 0;
	case 'b': return sd_bus_message_append(m, "b", (int)take_byte(in) & 1) >= 0;
	default:
		number = take_number(in);
		return sd_bus_message_append_basic(m, type, &number) >= 0;
	}
}

static sd_bus_message *make_call(struct game *g, struct input *in, const struct member *member)
{
	static const char types[] = "sogvbutyxdi";
	const char *path = paths[take_below(in, ELEMENTSOF(paths))];
	sd_bus_message *m = NULL;
	bool ok = true;

	check(sd_bus_message_new_method_call(g->client, &m, NULL, path, member->interface,
					     member->name) >= 0);
	if (take_byte(in) % 8) {
		for (const char *type = member->arguments; ok && *type; type++)
			ok = append(in, m, *type);
	} else {
		for (size_t n = take_below(in, 6); ok && n > 0; n--)
			ok = append(in, m, types[take_below(in, sizeof types - 1)]);
	}
	return ok ? m : sd_bus_message_unref(m);
}

static sd_bus_message *converse(struct game *g, sd_bus_message *call)
{
	uint64_t cookie = 0, answered = 0;

	check(sd_bus_send(g->client, call, &cookie) >= 0);
	for (unsigned i = 0; i < TURNS; i++) {
		sd_bus_message *m = NULL;

		check(sd_bus_process(g->server, NULL) >= 0);
		check(sd_bus_process(g->client, &m) >= 0);
		if (m && sd_bus_message_get_reply_cookie(m, &answered) >= 0 && answered == cookie)
			return m;
		sd_bus_message_unref(m);
	}
	check(false);
	return NULL;
}

static void judge_text(const struct member *member, sd_bus_message *reply)
{
	static const struct json_limits limits = { .max_bytes = ANSWER_BYTES };
	_cleanup_json_ cJSON *json = NULL;
	const cJSON *array = NULL;
	const char *text = NULL;

	check(sd_bus_message_read(reply, "s", &text) > 0);
	if (strcmp(member->name, "Introspect") == 0)
		return;
	check(json_parse(text, strlen(text), &limits, &json, NULL) == 0);
	if (json_get_array(json, "events", &array, NULL) == 0)
		check(cJSON_GetArraySize(array) <= RECORDS_MAX_EVENTS);
	if (json_get_array(json, "points", &array, NULL) == 0)
		check(cJSON_GetArraySize(array) <= RECORDS_MAX_POINTS);
}

static void judge(const struct member *member, sd_bus_message *reply)
{
	const sd_bus_error *error = sd_bus_message_get_error(reply);

	if (error) {
		check(strncmp(error->name, "org.freedesktop.DBus.Error.", 27) == 0 ||
		      strncmp(error->name, "System.Error.", 13) == 0 ||
		      strcmp(error->name, BATTERY_ERROR_REFUSED) == 0);
		check(error->message && error->message[0]);
		return;
	}
	check(strcmp(member->name, "Set") != 0); /* nothing can be set */
	check(member->answer &&
	      strcmp(sd_bus_message_get_signature(reply, true), member->answer) == 0);
	if (strcmp(member->answer, "s") == 0)
		judge_text(member, reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	struct game *g = &game;

	if (!g->bus)
		set_up(g);
	g->fet_settings = (struct fet_settings){ take_byte(&in) % 4 != 0, 500000, 86400 };
	fet_init(&g->fet, &g->fet_settings, NULL, 0);
	while (!input_is_empty(&in)) {
		const struct member *member = &members[take_below(&in, ELEMENTSOF(members))];
		_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
		unsigned what = take_byte(&in);

		g->sample.current_ua = ((int64_t)(what % 5) - 2) * 400000;
		g->sample.balancing = what * 0x01010101u;
		g->has_events = what % 8;
		call = make_call(g, &in, member);
		if (!call)
			continue;
		reply = converse(g, call);
		judge(member, reply);
	}
	return 0;
}
