/* SPDX-License-Identifier: Apache-2.0 */
/* The objects at one end of a pair of sockets, and who asks at the other. */
#include "scratch.h"

#include <sys/socket.h>

#include "bmsd/bus.h"
#include "bmsd/records.h"

#define TURNS	    1000
#define NOBODY	    1234
#define PACK0	    BATTERY_BUS_PATH "/pack0"
#define PACK3	    BATTERY_BUS_PATH "/pack3"
#define PROPERTIES  "org.freedesktop.DBus.Properties"
#define ERROR(name) "org.freedesktop.DBus.Error." name

struct fixture {
	struct scratch *scratch;
	const struct bmsd_conf *conf;
	sd_bus *server, *client;
	struct bus *bus;
	struct events *events;
	struct history *history;
	struct sample sample;
	struct fet_request request; /* the last one */
	char reason[128];
	unsigned asked, pack;
	int answer;
	const char *refusal;
	sd_bus_message *reply;
};

/* ---- who calls ---- */

static uid_t caller;

int __real_sd_bus_creds_get_euid(sd_bus_creds *creds, uid_t *uid);
int __wrap_sd_bus_creds_get_euid(sd_bus_creds *creds, uid_t *uid);
int __wrap_sd_bus_creds_get_euid(sd_bus_creds *creds, uid_t *uid)
{
	int r = __real_sd_bus_creds_get_euid(creds, uid);

	if (caller)
		*uid = caller;
	return r;
}

/* ---- the daemon ---- */

static void on_facts(void *userdata, struct facts *ret)
{
	const struct fixture *f = userdata;

	*ret = (struct facts){
		.version = "B1", .ready = true, .n_packs = 2, .event_sequence = 9, .conf = f->conf
	};
	for (unsigned i = 0; i < 2; i++) {
		ret->packs[i].number = 3 * i;
		ret->packs[i].pack = (struct pack_view){
			.name = "x", .driver = "jbd", .present = true, .sample = f->sample
		};
	}
}

static int on_set_fet(void *userdata, unsigned pack, const struct fet_request *request,
		      char ret_refusal[FET_REFUSAL_BYTES])
{
	struct fixture *f = userdata;

	f->asked++;
	f->pack = pack;
	f->request = *request;
	(void)snprintf(f->reason, sizeof f->reason, "%s", request->reason);
	(void)snprintf(ret_refusal, FET_REFUSAL_BYTES, "%s", f->refusal);
	return f->answer;
}

static int on_quiesce(void *userdata, uint64_t *ret_sequence)
{
	struct fixture *f = userdata;

	f->asked++;
	*ret_sequence = 42;
	return f->answer;
}

static int on_reset_alarms(void *userdata, unsigned pack)
{
	struct fixture *f = userdata;

	f->asked++;
	f->pack = pack;
	return f->answer;
}

static const struct history *on_history(void *userdata, unsigned pack)
{
	const struct fixture *f = userdata;

	return pack ? NULL : f->history;
}

static struct events *on_events(void *userdata)
{
	const struct fixture *f = userdata;

	return f->events;
}

static const struct service service = {
	.facts = on_facts,
	.set_fet = on_set_fet,
	.quiesce = on_quiesce,
	.reset_alarms = on_reset_alarms,
	.history = on_history,
	.events = on_events,
};

static void on_settled(void *userdata, int error)
{
	(void)userdata, (void)error;
}

/* ---- both ends ---- */

static void connect_ends(struct fixture *f)
{
	sd_id128_t id = SD_ID128_MAKE(01, 02, 03, 04, 05, 06, 07, 08, 09, 0a, 0b, 0c, 0d, 0e, 0f,
				      10);
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	assert_int_equal(sd_bus_new(&f->server), 0);
	assert_true(sd_bus_set_fd(f->server, fds[0], fds[0]) >= 0);
	assert_true(sd_bus_set_server(f->server, 1, id) >= 0);
	assert_true(sd_bus_start(f->server) >= 0);
	assert_int_equal(sd_bus_new(&f->client), 0);
	assert_true(sd_bus_set_fd(f->client, fds[1], fds[1]) >= 0);
	assert_true(sd_bus_start(f->client) >= 0);
	assert_true(bus_add_objects(f->bus, f->server) >= 0);
}

static int setup(void **state)
{
	static const struct events_settings settings = { 1 << 20 };
	struct fixture *f = calloc(1, sizeof *f);
	sd_event *event = NULL;
	bool damaged = false;
	int error = 0;

	assert_non_null(f);
	caller = 0;
	f->refusal = "";
	assert_int_equal(scratch_setup((void **)&f->scratch), 0);
	assert_int_equal(history_open(f->scratch->dirfd, &f->history, &damaged, &error), 0);
	assert_int_equal(events_open(f->scratch->dirfd, &settings,
				     "0123456789abcdef0123456789abcdef", 0, &f->events),
			 0);
	assert_int_equal(sd_event_new(&event), 0);
	assert_int_equal(bus_new(event, on_facts, on_settled, f, &f->bus), 0);
	sd_event_unref(event);
	bus_set_service(f->bus, &service);
	connect_ends(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sd_bus_message_unref(f->reply);
	(void)bus_free(f->bus);
	sd_bus_close_unref(f->server);
	sd_bus_close_unref(f->client);
	(void)history_free(f->history);
	(void)events_free(f->events);
	assert_int_equal(scratch_teardown((void **)&f->scratch), 0);
	free(f);
	return 0;
}

/* The name of the error, or NULL; what was answered is in f->reply. */
static const char *converse(struct fixture *f, sd_bus_message *call)
{
	uint64_t cookie = 0, answered = 0;

	f->reply = sd_bus_message_unref(f->reply);
	assert_true(sd_bus_send(f->client, call, &cookie) >= 0);
	sd_bus_message_unref(call);
	for (unsigned i = 0; i < TURNS; i++) {
		sd_bus_message *m = NULL;

		assert_true(sd_bus_process(f->server, NULL) >= 0);
		assert_true(sd_bus_process(f->client, &m) >= 0);
		if (m && sd_bus_message_get_reply_cookie(m, &answered) >= 0 && answered == cookie) {
			const sd_bus_error *error = sd_bus_message_get_error(m);

			f->reply = m;
			return error ? error->name : NULL;
		}
		sd_bus_message_unref(m);
	}
	fail_msg("no answer");
	return NULL;
}

static const char *call(struct fixture *f, const char *path, const char *interface,
			const char *member, const char *types, ...)
{
	sd_bus_message *m = NULL;
	va_list args;

	assert_true(sd_bus_message_new_method_call(f->client, &m, NULL, path, interface, member) >=
		    0);
	va_start(args, types);
	assert_true(sd_bus_message_appendv(m, types, args) >= 0);
	va_end(args);
	return converse(f, m);
}

static int64_t number(struct fixture *f, const char *property)
{
	int64_t value = 0;

	assert_null(call(f, PACK0, PROPERTIES, "Get", "ss", BATTERY_PACK_IFACE, property));
	assert_true(sd_bus_message_read(f->reply, "v", "x", &value) > 0);
	return value;
}

static const char *answer(struct fixture *f)
{
	const char *text = NULL;

	assert_true(sd_bus_message_read(f->reply, "s", &text) > 0);
	return text;
}

/* ---- what is read ---- */

static void test_numbers_keep_their_sign(void **state)
{
	struct fixture *f = *state;

	f->sample.current_ua = -1500000;
	f->sample.capacity_percent = -1;
	f->sample.balancing = UINT32_C(1) << 31; /* cell 32 */
	f->sample.cycles = UINT32_MAX;
	assert_int_equal(number(f, "CurrentNow"), -1500000);
	assert_int_equal(number(f, "Capacity"), -1);
	assert_int_equal(number(f, "Balancing"), INT64_C(1) << 31);
	assert_int_equal(number(f, "CycleCount"), UINT32_MAX);
}

static void test_everybody_may_read(void **state)
{
	struct fixture *f = *state;

	caller = NOBODY;
	assert_null(call(f, BATTERY_BUS_PATH, BATTERY_BUS_IFACE, "Status", ""));
	assert_non_null(strstr(answer(f), "\"version\":\"B1\""));
	assert_null(call(f, BATTERY_BUS_PATH, BATTERY_BUS_IFACE, "Health", ""));
	assert_null(call(f, BATTERY_BUS_PATH, BATTERY_BUS_IFACE, "Events", "tu", UINT64_C(0), 0));
	assert_null(call(f, PACK0, BATTERY_PACK_IFACE, "History", "sttu", "minute", UINT64_C(0),
			 UINT64_C(0), 0));
	assert_null(call(f, PACK3, PROPERTIES, "GetAll", "s", BATTERY_PACK_IFACE));
}

static void test_what_of_the_configuration_is_not_taken(void **state)
{
	static const struct bmsd_conf conf = {
		.n_refused = 2, .refused = { { -1, "[future]" }, { 0, "[pack 0]" } }
	};
	struct fixture *f = *state;
	const char *first = NULL, *second = NULL;

	assert_null(call(f, BATTERY_BUS_PATH, PROPERTIES, "Get", "ss", BATTERY_BUS_IFACE,
			 "ConfigRefused"));
	assert_true(sd_bus_message_read(f->reply, "v", "as", 0) > 0);
	f->conf = &conf;
	assert_null(call(f, BATTERY_BUS_PATH, PROPERTIES, "Get", "ss", BATTERY_BUS_IFACE,
			 "ConfigRefused"));
	assert_true(sd_bus_message_read(f->reply, "v", "as", 2, &first, &second) > 0);
	assert_string_equal(first, "[future]");
	assert_string_equal(second, "[pack 0]");
}

static void test_a_page_and_no_more(void **state)
{
	const struct event_new event = { .kind = EVENT_STOPPED, .pack = -1 };
	struct fixture *f = *state;
	unsigned n = 0;

	for (unsigned i = 0; i < RECORDS_MAX_EVENTS + 5; i++)
		assert_true(events_add(f->events, &event, 1, i) >= 0);
	assert_true(events_sync(f->events) >= 0);
	assert_null(call(f, BATTERY_BUS_PATH, BATTERY_BUS_IFACE, "Events", "tu", UINT64_C(0),
			 UINT32_MAX));
	for (const char *at = answer(f); (at = strstr(at, "sequence")); at++)
		n++;
	assert_int_equal(n, RECORDS_MAX_EVENTS);
	assert_null(call(f, BATTERY_BUS_PATH, BATTERY_BUS_IFACE, "Events", "tu", UINT64_MAX, 1));
	assert_string_equal(answer(f), "{\"events\":[]}");
}

static void test_arguments_that_are_none(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(call(f, PACK0, BATTERY_PACK_IFACE, "History", "sttu", "hour",
				 UINT64_C(0), UINT64_C(0), 0),
			    ERROR("InvalidArgs"));
	assert_string_equal(call(f, PACK0, BATTERY_PACK_IFACE, "History", "s", "minute"),
			    ERROR("InvalidArgs"));
	assert_string_equal(call(f, PACK0, BATTERY_PACK_IFACE, "SetFet", "sbsu", "both", 0, "x", 1),
			    ERROR("InvalidArgs"));
	assert_string_equal(call(f, PACK0, BATTERY_PACK_IFACE, "SetFet", "sbs", "charge", 0, "x"),
			    ERROR("InvalidArgs"));
	assert_string_equal(call(f, PACK3, BATTERY_PACK_IFACE, "History", "sttu", "minute",
				 UINT64_C(0), UINT64_C(0), 0),
			    ERROR("NotSupported"));
	assert_string_equal(
		call(f, BATTERY_BUS_PATH "/pack1", BATTERY_PACK_IFACE, "ResetAlarms", ""),
		ERROR("UnknownObject"));
	assert_non_null(
		call(f, PACK0, PROPERTIES, "Set", "ssv", BATTERY_PACK_IFACE, "ChargeFet", "b", 0));
	assert_int_equal(f->asked, 0);
}

/* ---- what is commanded ---- */

static void test_a_switch(void **state)
{
	struct fixture *f = *state;

	assert_null(call(f, PACK3, BATTERY_PACK_IFACE, "SetFet", "sbsu", "discharge", 0, "because",
			 60));
	assert_int_equal(f->pack, 3);
	assert_int_equal(f->request.which, FET_DISCHARGE);
	assert_false(f->request.on);
	assert_int_equal(f->request.lease_sec, 60);
	assert_string_equal(f->reason, "because");
	assert_null(call(f, PACK0, BATTERY_PACK_IFACE, "SetFet", "sbsu", "charge", 1, "", 0));
	assert_int_equal(f->pack, 0);
	assert_int_equal(f->request.which, FET_CHARGE);
	assert_true(f->request.on);
}

static void test_refusals(void **state)
{
	static const struct {
		int answer;
		const char *refusal, *name, *message;
	} table[] = {
		{ -EBUSY, "20 A flow", BATTERY_ERROR_REFUSED, "20 A flow" },
		{ -EPERM, "no", BATTERY_ERROR_REFUSED, "no" },
		{ -EINVAL, "a reason is needed", ERROR("InvalidArgs"), "a reason is needed" },
		{ -EIO, "", BATTERY_ERROR_REFUSED, "Input/output error" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		f->answer = table[i].answer;
		f->refusal = table[i].refusal;
		assert_string_equal(
			call(f, PACK0, BATTERY_PACK_IFACE, "SetFet", "sbsu", "charge", 0, "x", 1),
			table[i].name);
		assert_string_equal(sd_bus_message_get_error(f->reply)->message, table[i].message);
	}
}

static void test_only_root_commands(void **state)
{
	struct fixture *f = *state;

	caller = NOBODY;
	assert_string_equal(
		call(f, PACK0, BATTERY_PACK_IFACE, "SetFet", "sbsu", "charge", 0, "x", 1),
		ERROR("AccessDenied"));
	assert_string_equal(call(f, PACK0, BATTERY_PACK_IFACE, "ResetAlarms", ""),
			    ERROR("AccessDenied"));
	assert_string_equal(call(f, BATTERY_BUS_PATH, BATTERY_BUS_IFACE, "Quiesce", ""),
			    ERROR("AccessDenied"));
	assert_int_equal(f->asked, 0);
	caller = 0;
	assert_null(call(f, PACK0, BATTERY_PACK_IFACE, "ResetAlarms", ""));
	assert_null(call(f, BATTERY_BUS_PATH, BATTERY_BUS_IFACE, "Quiesce", ""));
	assert_int_equal(f->asked, 2);
}

static void test_a_daemon_that_serves_nothing_more(void **state)
{
	struct fixture *f = *state;

	bus_set_service(f->bus, NULL);
	assert_string_equal(
		call(f, PACK0, BATTERY_PACK_IFACE, "SetFet", "sbsu", "charge", 0, "x", 1),
		ERROR("NotSupported"));
	assert_string_equal(call(f, BATTERY_BUS_PATH, BATTERY_BUS_IFACE, "Quiesce", ""),
			    ERROR("NotSupported"));
	assert_string_equal(
		call(f, BATTERY_BUS_PATH, BATTERY_BUS_IFACE, "Events", "tu", UINT64_C(0), 0),
		ERROR("NotSupported"));
	assert_null(call(f, BATTERY_BUS_PATH, BATTERY_BUS_IFACE, "Status", ""));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_numbers_keep_their_sign),
		TEST(test_everybody_may_read),
		TEST(test_what_of_the_configuration_is_not_taken),
		TEST(test_a_page_and_no_more),
		TEST(test_arguments_that_are_none),
		TEST(test_a_switch),
		TEST(test_refusals),
		TEST(test_only_root_commands),
		TEST(test_a_daemon_that_serves_nothing_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
