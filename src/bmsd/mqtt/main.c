/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <string.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "bmsd/conf.h"
#include "bmsd/mqtt.h"
#include "bmsd/release_version.h"
#include "bmsd/stop_signals.h"
#include "common/json.h"
#include "common/log.h"

/* A bmsd that is being replaced is away for a moment; that is no news for a home. */
#define SILENT_AT_MOST 3

struct bridge {
	struct mqtt_conf *conf;
	struct mqtt_session *session;
	struct mqtt_reader *reader;
	char availability[MQTT_TOPIC_BYTES];
	unsigned silent; /* looks in a row that bmsd did not answer */
	bool is_online;	 /* as was said to this connection */
	uint64_t discovered[BMSD_MAX_PACKS];
};

static const char help[] =
	"Usage: bmsd-mqtt [OPTION…]\n"
	"\n"
	"Publishes what bmsd says of the battery packs to an MQTT broker, in the foreground.\n"
	"\n"
	"      --check-config   read the configuration and say what is wrong with it\n"
	"      --config FILE    instead of " MQTT_CONF_PATH "\n"
	"      --help           this text\n"
	"      --version        the release, and the project's version\n";

static void say_availability(struct bridge *b, bool online)
{
	if (b->is_online == online)
		return;
	if (mqtt_session_say(b->session, b->availability, online ? "online" : "offline") < 0)
		return;
	b->is_online = online;
}

/* A broker that was away may have forgotten everything. */
static void on_connected(void *userdata)
{
	struct bridge *b = userdata;

	memset(b->discovered, 0, sizeof b->discovered);
	b->is_online = false;
	if (b->silent == 0)
		say_availability(b, true);
	(void)sd_notifyf(0, "STATUS=connected to %s", b->conf->host);
}

static int say_document(const char *topic, const char *payload, void *userdata)
{
	struct bridge *b = userdata;

	return mqtt_session_say(b->session, topic, payload);
}

static void discover(struct bridge *b, size_t index, const char *version, const cJSON *pack)
{
	const struct mqtt_discovery d = {
		.prefix = b->conf->discovery_prefix,
		.topic = b->conf->topic,
		.node = b->conf->client_id,
		.version = version,
	};
	uint64_t hash;

	if (!d.prefix || index >= BMSD_MAX_PACKS ||
	    !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(pack, "present")))
		return;
	hash = mqtt_discovery_hash(&d, pack);
	if (hash != b->discovered[index] && mqtt_discover(&d, pack, say_document, b) == 0)
		b->discovered[index] = hash;
}

static void publish_state(struct bridge *b, const cJSON *pack)
{
	_cleanup_free_ char *payload = NULL;
	char key[16], topic[MQTT_TOPIC_BYTES];

	if (!mqtt_pack_key(pack, key, sizeof key) ||
	    mqtt_state_payload(pack, (uint64_t)time(NULL), &payload) < 0)
		return;
	(void)snprintf(topic, sizeof topic, "%s/%s/state", b->conf->topic, key);
	if (mqtt_session_publish(b->session, topic, payload, true) < 0)
		log_debug("state of %s: no room", key);
}

static void on_status(const cJSON *status, void *userdata)
{
	struct bridge *b = userdata;
	const cJSON *packs = NULL, *pack;
	size_t index = 0;

	if (!status) {
		if (++b->silent == SILENT_AT_MOST)
			log_warning("bmsd does not answer");
		if (b->silent >= SILENT_AT_MOST)
			say_availability(b, false);
		return;
	}
	if (b->silent >= SILENT_AT_MOST)
		log_notice("bmsd answers again");
	b->silent = 0;
	say_availability(b, true);
	if (json_get_array(status, "packs", &packs, NULL) < 0)
		return;
	cJSON_ArrayForEach (pack, packs) {
		discover(b, index++, json_text_or(status, "version", ""), pack);
		publish_state(b, pack);
	}
}

static void on_event(const char *line, void *userdata)
{
	struct bridge *b = userdata;
	char topic[MQTT_TOPIC_BYTES];

	(void)snprintf(topic, sizeof topic, "%s/event", b->conf->topic);
	if (mqtt_session_publish(b->session, topic, line, false) < 0)
		log_debug("event: no room");
}

static int serve(struct bridge *b, sd_event *event)
{
	static const struct mqtt_reader_calls calls = { .status = on_status, .event = on_event };
	int r;

	(void)snprintf(b->availability, sizeof b->availability, "%s/availability", b->conf->topic);
	/* Before the session's thread is there: it inherits the mask. */
	r = stop_signals_watch(event);
	if (r < 0)
		return r;
	r = mqtt_session_new(event, b->conf, on_connected, b, &b->session);
	if (r < 0)
		return r;
	r = mqtt_reader_new(event, b->conf->interval_msec, &calls, b, &b->reader);
	if (r < 0)
		return r;
	(void)sd_notify(0, "READY=1\nSTATUS=connecting");
	r = sd_event_loop(event);
	(void)sd_notify(0, "STOPPING=1");
	return r;
}

static int run(struct mqtt_conf *conf)
{
	_cleanup_(sd_event_unrefp) sd_event *event = NULL;
	struct bridge b = { .conf = conf };
	int r;

	r = sd_event_default(&event);
	if (r >= 0)
		r = serve(&b, event);
	if (r < 0)
		log_error("cannot go on: %s", strerror(-r));
	(void)mqtt_reader_free(b.reader);
	(void)mqtt_session_free(b.session);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int load(const char *path, struct mqtt_conf **ret)
{
	_cleanup_free_ char *error = NULL;
	char hostname[65] = "gateway";
	int r;

	(void)gethostname(hostname, sizeof hostname - 1);
	r = mqtt_conf_load(path, hostname, ret, &error);
	if (r < 0)
		log_error("%s", error ? error : "out of memory");
	return r;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, const char **ret_path, bool *ret_check)
{
	static const struct option options[] = {
		{ "check-config", no_argument, NULL, 'c' },
		{ "config", required_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'c': *ret_check = true; break;
		case 'f': *ret_path = optarg; break;
		case 'h': return fputs(help, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
		case 'v':
			(void)printf("bmsd-mqtt %s (bms-gateway %s)\n", bmsd_release_version,
				     PROJECT_VERSION);
			return EXIT_SUCCESS;
		default: return EX_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	log_error("what is '%s'? See bmsd-mqtt --help", argv[optind]);
	return EX_USAGE;
}

int main(int argc, char **argv)
{
	_cleanup_(mqtt_conf_freep) struct mqtt_conf *conf = NULL;
	const char *path = MQTT_CONF_PATH;
	bool only_check = false;
	int status;

	log_set_name("bmsd-mqtt");
	status = parse(argc, argv, &path, &only_check);
	if (status >= 0)
		return status;
	if (load(path, &conf) < 0)
		return EX_CONFIG;
	return only_check ? EXIT_SUCCESS : run(conf);
}
