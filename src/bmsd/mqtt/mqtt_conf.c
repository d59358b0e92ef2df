/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "bmsd/mqtt.h"
#include "common/config.h"
#include "common/fsutil.h"

#define PASSWORD_MAX_BYTES 256
#define TOPIC_MAX_BYTES	   128
#define DEFAULT_CA_FILE	   "/etc/ssl/certs/ca-certificates.crt"
#define NAME_CHARACTERS	   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

#define MEMBER(member) offsetof(struct mqtt_conf, member)

static const struct config_key keys[] = {
	{ "broker", "host", CONFIG_STRING, MEMBER(host), 0, 0, NULL },
	{ "broker", "port", CONFIG_U64, MEMBER(port), 1, 65535, NULL },
	{ "broker", "tls", CONFIG_BOOL, MEMBER(tls), 0, 0, NULL },
	{ "broker", "ca_file", CONFIG_PATH, MEMBER(ca_file), 0, 0, NULL },
	{ "broker", "cert_file", CONFIG_PATH, MEMBER(cert_file), 0, 0, NULL },
	{ "broker", "key_file", CONFIG_PATH, MEMBER(key_file), 0, 0, NULL },
	{ "broker", "username", CONFIG_STRING, MEMBER(username), 0, 0, NULL },
	{ "broker", "password_file", CONFIG_PATH, MEMBER(password_file), 0, 0, NULL },
	{ "broker", "client_id", CONFIG_STRING, MEMBER(client_id), 0, 0, NULL },
	{ "broker", "keepalive_sec", CONFIG_U64, MEMBER(keepalive_sec), 5, 3600, NULL },
	{ "publish", "topic", CONFIG_STRING, MEMBER(topic), 0, 0, NULL },
	{ "publish", "discovery_prefix", CONFIG_STRING, MEMBER(discovery_prefix), 0, 0, NULL },
	{ "publish", "interval_msec", CONFIG_U64, MEMBER(interval_msec), 500, 3600000, NULL },
	{ "publish", "buffer_kib", CONFIG_U64, MEMBER(buffer_kib), 16, 16384, NULL },
};

static int _printf_(2, 3) invalid(char **ret_error, const char *format, ...)
{
	va_list args;

	if (!ret_error)
		return -EINVAL;
	va_start(args, format);
	if (vasprintf(ret_error, format, args) < 0)
		*ret_error = NULL;
	va_end(args);
	return -EINVAL;
}

/* A host name may hold what a topic or an id of Home Assistant may not. */
static int name_defaults(struct mqtt_conf *c, const char *hostname)
{
	char name[65];
	size_t length = strnlen(hostname, sizeof name - 1);

	memcpy(name, hostname, length);
	name[length] = '\0';
	for (char *at = name; *at; at++)
		if (!strchr(NAME_CHARACTERS, *at))
			*at = '-';
	if (asprintf(&c->client_id, "bmsd-%s", name) < 0) {
		c->client_id = NULL;
		return -ENOMEM;
	}
	if (asprintf(&c->topic, "bmsd/%s", name) < 0) {
		c->topic = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* Printable ASCII: what is no UTF-8 a broker would never take, and the messages behind it neither. */
static bool is_topic(const char *text)
{
	size_t length = strlen(text);

	for (const char *at = text; *at; at++)
		if (*at < ' ' || *at > '~')
			return false;
	return length > 0 && length <= TOPIC_MAX_BYTES && !strpbrk(text, "+#") && text[0] != '/' &&
	       text[0] != '$' && text[length - 1] != '/';
}

static int check(const struct mqtt_conf *c, char **ret_error)
{
	if (!c->host)
		return invalid(ret_error, "[broker]: host is missing");
	if (!c->client_id || strspn(c->client_id, NAME_CHARACTERS) != strlen(c->client_id) ||
	    strlen(c->client_id) > 80)
		return invalid(ret_error,
			       "[broker]: client_id is made of letters, digits, - and _");
	if (!c->topic || !is_topic(c->topic))
		return invalid(ret_error, "[publish]: this is no topic to publish to");
	if (c->discovery_prefix && !is_topic(c->discovery_prefix))
		return invalid(ret_error, "[publish]: discovery_prefix is no topic");
	if (c->tls && !c->ca_file)
		return invalid(ret_error, "[broker]: TLS needs a ca_file");
	if (!c->tls && (c->cert_file || c->key_file))
		return invalid(ret_error, "[broker]: a certificate needs tls=yes");
	if (!c->cert_file != !c->key_file)
		return invalid(ret_error, "[broker]: cert_file and key_file go together");
	if (c->password_file && !c->username)
		return invalid(ret_error, "[broker]: a password needs a username");
	return 0;
}

/* The first line. The file is read at start only, so it may be a credential of systemd's. */
static int read_password(struct mqtt_conf *c, char **ret_error)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size = 0;
	int r;

	if (!c->password_file)
		return 0;
	r = fs_read_file(AT_FDCWD, c->password_file, PASSWORD_MAX_BYTES, &bytes, &size);
	if (r < 0) {
		(void)invalid(ret_error, "[broker]: password_file '%s': %s", c->password_file,
			      strerror(-r));
		return r;
	}
	c->password = strndup(bytes, strcspn(bytes, "\r\n"));
	explicit_bzero(bytes, size);
	return c->password ? 0 : -ENOMEM;
}

int mqtt_conf_load(const char *path, const char *hostname, struct mqtt_conf **ret, char **ret_error)
{
	_cleanup_(mqtt_conf_freep) struct mqtt_conf *c = calloc(1, sizeof *c);
	int r;

	if (!c)
		return -ENOMEM;
	c->keepalive_sec = 60;
	c->interval_msec = 5000;
	c->buffer_kib = 256;
	c->discovery_prefix = strdup("homeassistant");
	c->ca_file = strdup(DEFAULT_CA_FILE);
	r = name_defaults(c, hostname);
	if (r < 0)
		return r;
	r = config_load(path, keys, ELEMENTSOF(keys), c, NULL, NULL, ret_error);
	if (r < 0)
		return r;
	r = check(c, ret_error);
	if (r < 0)
		return r;
	if (c->port == 0)
		c->port = c->tls ? 8883 : 1883;
	r = read_password(c, ret_error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct mqtt_conf *mqtt_conf_free(struct mqtt_conf *c)
{
	if (!c)
		return NULL;
	if (c->password)
		explicit_bzero(c->password, strlen(c->password));
	free(c->host);
	free(c->ca_file);
	free(c->cert_file);
	free(c->key_file);
	free(c->username);
	free(c->password_file);
	free(c->password);
	free(c->client_id);
	free(c->topic);
	free(c->discovery_prefix);
	free(c);
	return NULL;
}
