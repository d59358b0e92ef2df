/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include <string.h>

#include "bmsd/mqtt.h"
#include "common/json.h"

/* ---- the buffer ---- */

static void push(struct mqtt_buffer *b, const char *payload)
{
	assert_int_equal(mqtt_buffer_push(b, "t", payload, false), 0);
}

static void test_messages_leave_in_order(void **state)
{
	struct mqtt_buffer b = { .max_bytes = 4096 };
	struct mqtt_message *m;

	(void)state;
	assert_null(mqtt_buffer_next(&b, 8));
	push(&b, "one");
	push(&b, "two");
	push(&b, "three");
	m = mqtt_buffer_next(&b, 2);
	assert_string_equal(m->payload, "one");
	m->id = 1;
	m = mqtt_buffer_next(&b, 2);
	assert_string_equal(m->payload, "two");
	m->id = 2;
	/* Two are under way, and no more may be. */
	assert_null(mqtt_buffer_next(&b, 2));
	mqtt_buffer_arrived(&b, 2);
	assert_string_equal(mqtt_buffer_next(&b, 2)->payload, "three");
	/* The connection went: what did not arrive begins anew, what did does not. */
	mqtt_buffer_rewind(&b);
	m = mqtt_buffer_next(&b, 2);
	assert_string_equal(m->payload, "one");
	m->id = 7;
	assert_string_equal(mqtt_buffer_next(&b, 2)->payload, "three");
	mqtt_buffer_arrived(&b, 99);
	mqtt_buffer_arrived(&b, 7);
	assert_string_equal(b.first->payload, "three");
	mqtt_buffer_clear(&b);
	assert_int_equal(b.bytes, 0);
	assert_null(b.last);
}

static void test_the_oldest_make_room(void **state)
{
	struct mqtt_buffer b = { .max_bytes = 1000 };
	char payload[945];

	(void)state;
	memset(payload, 'x', sizeof payload - 1);
	payload[sizeof payload - 1] = '\0';
	for (char text[] = "0"; text[0] <= '9'; text[0]++)
		push(&b, text);
	assert_true(b.bytes <= b.max_bytes);
	assert_int_equal(b.dropped, 0);
	for (int i = 0; i < 40; i++)
		push(&b, "more");
	assert_true(b.bytes <= b.max_bytes);
	assert_true(b.dropped > 20);
	assert_string_equal(b.last->payload, "more");
	push(&b, payload);
	assert_ptr_equal(b.first, b.last);
	/* What can never fit costs nobody anything. */
	b.max_bytes = b.bytes;
	assert_int_equal(mqtt_buffer_push(&b, "longer", payload, false), -EMSGSIZE);
	assert_string_equal(b.first->payload, payload);
	mqtt_buffer_clear(&b);
}

/* ---- what is published ---- */

static const char status_text[] =
	"{\"number\":3,\"name\":\"side\",\"model\":\"BO\\\"ARD\",\"present\":true,\"link\":\"up\","
	"\"voltage_now_uv\":51500000,\"cell_voltages_uv\":[3700000,3710000],"
	"\"temperatures_decicelsius\":[251],\"errors\":{\"timeout\":1},\"protections\":[],"
	"\"estimate\":{\"soc_centipercent\":7234,\"cell_resistances_uohm\":[1]},"
	"\"limits\":{\"charge_current_max_ua\":20000000},\"lifetime\":{\"charged_uwh\":5},"
	"\"alarms\":[{\"name\":\"cell-overvoltage\",\"level\":\"alarm\"}]}";

static cJSON *parse(const char *text)
{
	cJSON *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), NULL, &json, NULL), 0);
	return json;
}

static void test_the_state_is_flat(void **state)
{
	_cleanup_json_ cJSON *pack = parse(status_text), *out = NULL;
	_cleanup_free_ char *payload = NULL;
	uint64_t value = 0;
	char key[16];

	(void)state;
	assert_true(mqtt_pack_key(pack, key, sizeof key));
	assert_string_equal(key, "pack3");
	assert_int_equal(mqtt_state_payload(pack, 1796000000, &payload), 0);
	out = parse(payload);
	assert_int_equal(json_get_u64(out, "wall_sec", UINT64_MAX, &value, NULL), 0);
	assert_int_equal(value, 1796000000);
	assert_int_equal(json_get_u64(out, "estimate_soc_centipercent", 10000, &value, NULL), 0);
	assert_int_equal(value, 7234);
	assert_int_equal(json_get_u64(out, "limit_charge_current_max_ua", UINT64_MAX, &value, NULL),
			 0);
	assert_int_equal(json_get_u64(out, "lifetime_charged_uwh", 10, &value, NULL), 0);
	assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(out, "alarms"), 0)->valuestring,
			    "cell-overvoltage");
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(out, "cell_voltages_uv")), 2);
	assert_null(cJSON_GetObjectItem(out, "errors"));
	assert_null(cJSON_GetObjectItem(out, "estimate"));
}

static void test_a_pack_without_number_has_no_topic(void **state)
{
	static const char *const bad[] = { "{}", "{\"number\":-1}", "{\"number\":\"0\"}",
					   "{\"number\":1000}" };
	char key[16];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_json_ cJSON *pack = parse(bad[i]);

		assert_false(mqtt_pack_key(pack, key, sizeof key));
	}
}

struct seen {
	unsigned n, cells;
	char ids[64][160];
};

static int look_at_document(const char *topic, const char *payload, void *userdata)
{
	_cleanup_json_ cJSON *doc = parse(payload);
	struct seen *s = userdata;
	const char *id = json_text_or(doc, "unique_id", "");
	const cJSON *device = NULL;

	assert_true(strncmp(topic, "ha/sensor/gw/pack3_", 19) == 0 ||
		    strncmp(topic, "ha/binary_sensor/gw/pack3_", 26) == 0);
	assert_string_equal(topic + strlen(topic) - 7, "/config");
	assert_string_equal(json_text_or(doc, "state_topic", ""), "site/pack3/state");
	assert_string_equal(json_text_or(doc, "availability_topic", ""), "site/availability");
	assert_non_null(strstr(json_text_or(doc, "value_template", ""), "value_json."));
	assert_int_equal(json_get_object(doc, "device", &device, NULL), 0);
	assert_string_equal(json_text_or(device, "model", ""), "BO\"ARD");
	for (unsigned i = 0; i < s->n; i++)
		assert_string_not_equal(s->ids[i], id);
	(void)snprintf(s->ids[s->n++], sizeof s->ids[0], "%s", id);
	s->cells += strstr(topic, "pack3_cell_1/") || strstr(topic, "pack3_cell_2/");
	return 0;
}

static int fail_third(const char *topic, const char *payload, void *userdata)
{
	unsigned *n = userdata;

	(void)topic, (void)payload;
	return ++*n == 3 ? -ENOTCONN : 0;
}

static void test_discovery(void **state)
{
	const struct mqtt_discovery d = {
		.prefix = "ha", .topic = "site", .node = "gw", .version = "B1"
	};
	_cleanup_json_ cJSON *pack = parse(status_text);
	struct seen seen = {};
	unsigned n = 0;

	(void)state;
	assert_int_equal(mqtt_discover(&d, pack, look_at_document, &seen), 0);
	assert_true(seen.n > 25);
	assert_int_equal(seen.cells, 2);
	assert_int_equal(mqtt_discover(&d, pack, fail_third, &n), -ENOTCONN);
	assert_int_equal(n, 3);
}

static int look_at_topic(const char *topic, const char *payload, void *userdata)
{
	unsigned *n = userdata;

	(void)payload;
	++*n;
	assert_true(strlen(topic) < MQTT_TOPIC_BYTES);
	assert_string_equal(topic + strlen(topic) - 7, "/config");
	return 0;
}

static void test_the_longest_topics_are_whole(void **state)
{
	char prefix[129] = "", node[81] = "";
	const struct mqtt_discovery d = {
		.prefix = prefix, .topic = prefix, .node = node, .version = "B1"
	};
	_cleanup_json_ cJSON *pack = parse(status_text);
	unsigned n = 0;

	(void)state;
	memset(prefix, 'p', sizeof prefix - 1);
	memset(node, 'n', sizeof node - 1);
	cJSON_SetNumberValue(cJSON_GetObjectItem(pack, "number"), 999);
	assert_int_equal(mqtt_discover(&d, pack, look_at_topic, &n), 0);
	assert_true(n > 25);
}

static void test_discovery_again_only_when_it_would_differ(void **state)
{
	struct mqtt_discovery d = {
		.prefix = "ha", .topic = "site", .node = "gw", .version = "B1"
	};
	_cleanup_json_ cJSON *pack = parse(status_text);
	uint64_t hash = mqtt_discovery_hash(&d, pack);

	(void)state;
	cJSON_SetNumberValue(cJSON_GetObjectItem(pack, "voltage_now_uv"), 5);
	assert_true(mqtt_discovery_hash(&d, pack) == hash);
	cJSON_DeleteItemFromArray(cJSON_GetObjectItem(pack, "cell_voltages_uv"), 0);
	assert_false(mqtt_discovery_hash(&d, pack) == hash);
	hash = mqtt_discovery_hash(&d, pack);
	d.version = "B2";
	assert_false(mqtt_discovery_hash(&d, pack) == hash);
}

/* ---- the configuration ---- */

static int load(const struct scratch *s, const char *text, struct mqtt_conf **ret, char **ret_error)
{
	char path[128];

	scratch_text(s->dirfd, "mqtt.conf", text, 0644);
	(void)snprintf(path, sizeof path, "%s/mqtt.conf", s->path);
	return mqtt_conf_load(path, "gate way+#1.example", ret, ret_error);
}

static void test_configuration(void **state)
{
	const struct scratch *s = *state;
	_cleanup_(mqtt_conf_freep) struct mqtt_conf *c = NULL, *tls = NULL;
	char text[256];

	assert_int_equal(load(s, "[broker]\nhost=b\n", &c, NULL), 0);
	assert_int_equal(c->port, 1883);
	assert_string_equal(c->client_id, "bmsd-gate-way--1-example");
	assert_string_equal(c->topic, "bmsd/gate-way--1-example");
	assert_string_equal(c->discovery_prefix, "homeassistant");
	assert_null(c->password);
	scratch_text(s->dirfd, "secret", "a b\xc3\xa9\r\nthe broker in the cellar\n", 0600);
	(void)snprintf(text, sizeof text,
		       "[broker]\nhost=b\ntls=yes\nusername=u\npassword_file=%s/secret\n"
		       "[publish]\ndiscovery_prefix=\n",
		       s->path);
	assert_int_equal(load(s, text, &tls, NULL), 0);
	assert_int_equal(tls->port, 8883);
	assert_string_equal(tls->password, "a b\xc3\xa9");
	assert_null(tls->discovery_prefix);
}

static void test_configuration_errors(void **state)
{
	static const struct {
		const char *text, *expected;
	} table[] = {
		{ "", "host" },
		{ "[broker]\nhost=b\nport=0\n", "port" },
		{ "[broker]\nhost=b\nnonsense=1\n", "nonsense" },
		{ "[broker]\nhost=b\nclient_id=a/b\n", "client_id" },
		{ "[broker]\nhost=b\ntls=yes\ncert_file=/a\n", "key_file" },
		{ "[broker]\nhost=b\ntls=yes\nca_file=\n", "ca_file" },
		{ "[broker]\nhost=b\ncert_file=/a\nkey_file=/b\n", "tls" },
		{ "[broker]\nhost=b\npassword_file=/a\n", "username" },
		{ "[broker]\nhost=b\n[publish]\ntopic=a/+/b\n", "topic" },
		{ "[broker]\nhost=b\n[publish]\ntopic=/a\n", "topic" },
		{ "[broker]\nhost=b\n[publish]\ntopic=a\xff\n", "topic" },
		{ "[broker]\nhost=b\n[publish]\ndiscovery_prefix=a/#\n", "discovery_prefix" },
	};

	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		_cleanup_(mqtt_conf_freep) struct mqtt_conf *c = NULL;
		_cleanup_free_ char *error = NULL;

		assert_int_equal(load(*state, table[i].text, &c, &error), -EINVAL);
		assert_null(c);
		assert_non_null(strstr(error, table[i].expected));
	}
}

static void test_the_delivered_file_lacks_only_the_host(void **state)
{
	_cleanup_(mqtt_conf_freep) struct mqtt_conf *c = NULL;
	_cleanup_free_ char *error = NULL;

	(void)state;
	assert_int_equal(mqtt_conf_load("etc/bmsd-mqtt.conf", "h", &c, &error), -EINVAL);
	assert_non_null(strstr(error, "host is missing"));
}

#define FILES(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_leave_in_order),
		cmocka_unit_test(test_the_oldest_make_room),
		cmocka_unit_test(test_the_state_is_flat),
		cmocka_unit_test(test_a_pack_without_number_has_no_topic),
		cmocka_unit_test(test_discovery),
		cmocka_unit_test(test_the_longest_topics_are_whole),
		cmocka_unit_test(test_discovery_again_only_when_it_would_differ),
		FILES(test_configuration),
		FILES(test_configuration_errors),
		cmocka_unit_test(test_the_delivered_file_lacks_only_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
