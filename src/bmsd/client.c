/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/client.h"

#include <string.h>
#include <systemd/sd-bus.h>

#include "bmsd/bus.h"
#include "common/json.h"

static int explain(char **ret_error, const char *what, int error, const sd_bus_error *bus_error)
{
	const char *text = bus_error && bus_error->message ? bus_error->message : strerror(-error);

	if (ret_error && asprintf(ret_error, "%s: %s", what, text) < 0)
		*ret_error = NULL;
	return error;
}

/* A call under way: what is opened here is closed by conversation_done(). */
struct conversation {
	sd_bus *bus;
	sd_bus_message *call, *reply;
	char **ret_error;
};

static void conversation_done(struct conversation *c)
{
	sd_bus_message_unref(c->call);
	sd_bus_message_unref(c->reply);
	sd_bus_flush_close_unref(c->bus);
}

/* pack: negative for the daemon itself. */
static int begin(struct conversation *c, int pack, const char *method)
{
	char path[64] = BATTERY_BUS_PATH;
	int r;

	if (pack >= 0)
		(void)snprintf(path, sizeof path, BATTERY_BUS_PATH "/pack%d", pack);
	r = sd_bus_open_system(&c->bus);
	if (r < 0)
		return explain(c->ret_error, "system bus", r, NULL);
	r = sd_bus_message_new_method_call(c->bus, &c->call, BATTERY_BUS_NAME, path,
					   pack >= 0 ? BATTERY_PACK_IFACE : BATTERY_BUS_IFACE,
					   method);
	if (r >= 0)
		r = sd_bus_message_set_auto_start(c->call, 0);
	return r < 0 ? explain(c->ret_error, "bmsd", r, NULL) : 0;
}

static int converse(struct conversation *c, uint64_t timeout_msec)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	r = sd_bus_call(c->bus, c->call, timeout_msec * 1000, &error, &c->reply);
	return r < 0 ? explain(c->ret_error, "bmsd", r, &error) : 0;
}

static int take_text(struct conversation *c, char **ret)
{
	const char *answer = NULL;
	char *copy;
	int r;

	r = sd_bus_message_read(c->reply, "s", &answer);
	if (r < 0)
		return explain(c->ret_error, "bmsd", r, NULL);
	if (strlen(answer) > CLIENT_ANSWER_MAX_BYTES)
		return explain(c->ret_error, "bmsd", -EFBIG, NULL);
	copy = strdup(answer);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

static int parse_text(const char *text, cJSON **ret, char **ret_error)
{
	static const struct json_limits limits = { .max_bytes = CLIENT_ANSWER_MAX_BYTES };
	struct json_error why = {};
	int r;

	r = json_parse(text, strlen(text), &limits, ret, &why);
	if (r < 0 && ret_error && asprintf(ret_error, "bmsd's answer: %s", why.text) < 0)
		*ret_error = NULL;
	return r;
}

int client_call(const char *method, uint64_t timeout_msec, char **ret_answer, char **ret_error)
{
	_cleanup_(conversation_done) struct conversation c = { .ret_error = ret_error };
	int r;

	r = begin(&c, -1, method);
	if (r >= 0)
		r = converse(&c, timeout_msec);
	return r < 0 ? r : take_text(&c, ret_answer);
}

int client_ask(const char *method, cJSON **ret, char **ret_error)
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = client_call(method, CLIENT_TIMEOUT_MSEC, &text, ret_error);
	return r < 0 ? r : parse_text(text, ret, ret_error);
}

bool client_is_away(int error)
{
	static const int errors[] = {
		EHOSTUNREACH, EHOSTDOWN,    ENXIO,     /* nobody has the name */
		ENOENT,	      ECONNREFUSED, ENOMEDIUM, /* no bus */
		ETIMEDOUT,    ECONNRESET,   ENOTCONN,
	};

	for (size_t i = 0; i < ELEMENTSOF(errors); i++)
		if (error == -errors[i])
			return true;
	return false;
}

/* What is left when the arguments are in. */
static int ask_json(struct conversation *c, int appended, cJSON **ret)
{
	_cleanup_free_ char *text = NULL;
	int r = appended;

	if (r < 0)
		return explain(c->ret_error, "bmsd", r, NULL);
	r = converse(c, CLIENT_TIMEOUT_MSEC);
	if (r < 0)
		return r;
	r = take_text(c, &text);
	return r < 0 ? r : parse_text(text, ret, c->ret_error);
}

int client_events(uint64_t after, uint32_t max, cJSON **ret, char **ret_error)
{
	_cleanup_(conversation_done) struct conversation c = { .ret_error = ret_error };
	int r;

	r = begin(&c, -1, "Events");
	if (r < 0)
		return r;
	return ask_json(&c, sd_bus_message_append(c.call, "tu", after, max), ret);
}

int client_history(const struct client_range *range, cJSON **ret, char **ret_error)
{
	_cleanup_(conversation_done) struct conversation c = { .ret_error = ret_error };
	int r;

	r = begin(&c, (int)range->pack, "History");
	if (r < 0)
		return r;
	r = sd_bus_message_append(c.call, "sttu", range->minutes ? "minute" : "second",
				  range->from_sec, range->to_sec, (uint32_t)0);
	return ask_json(&c, r, ret);
}

static int command(struct conversation *c, int appended)
{
	if (appended < 0)
		return explain(c->ret_error, "bmsd", appended, NULL);
	return converse(c, CLIENT_TIMEOUT_MSEC);
}

int client_set_fet(const struct client_fet *f, char **ret_error)
{
	_cleanup_(conversation_done) struct conversation c = { .ret_error = ret_error };
	int r;

	r = begin(&c, (int)f->pack, "SetFet");
	if (r < 0)
		return r;
	return command(&c, sd_bus_message_append(c.call, "sbsu", f->which, (int)f->on, f->reason,
						 f->lease_sec));
}

int client_reset_alarms(unsigned pack, char **ret_error)
{
	_cleanup_(conversation_done) struct conversation c = { .ret_error = ret_error };
	int r;

	r = begin(&c, (int)pack, "ResetAlarms");
	return r < 0 ? r : command(&c, 0);
}

int client_quiesce(uint64_t *ret_sequence, char **ret_error)
{
	_cleanup_(conversation_done) struct conversation c = { .ret_error = ret_error };
	uint64_t sequence = 0;
	int r;

	r = begin(&c, -1, "Quiesce");
	if (r >= 0)
		r = command(&c, 0);
	if (r < 0)
		return r;
	r = sd_bus_message_read(c.reply, "t", &sequence);
	if (r < 0)
		return explain(ret_error, "bmsd", r, NULL);
	*ret_sequence = sequence;
	return 0;
}
