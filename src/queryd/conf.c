/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/conf.h"

#include <stddef.h>
#include <string.h>

#include "common/config.h"

#define KEY(section, name, type, member, ...)                                                      \
	{                                                                                          \
		section, name, type, offsetof(struct queryd_conf, member), __VA_ARGS__             \
	}

static const struct config_key keys[] = {
	KEY("listen", "address", CONFIG_STRING, address, 0, 0, NULL),
	KEY("listen", "port", CONFIG_U64, port, 0, 65535, NULL),
	KEY("listen", "cert", CONFIG_PATH, cert, 0, 0, NULL),
	KEY("listen", "key", CONFIG_PATH, key, 0, 0, NULL),
	KEY("listen", "allow_plain_loopback", CONFIG_BOOL, allow_plain_loopback, 0, 0, NULL),
	KEY("listen", "unix_socket", CONFIG_PATH, unix_socket, 0, 0, NULL),
	KEY("repository", "path", CONFIG_PATH, repository, 0, 0, NULL),
	KEY("repository", "trusted_root", CONFIG_PATH, trusted_root, 0, 0, NULL),
	KEY("repository", "file_server", CONFIG_STRING, file_server, 0, 0, NULL),
	KEY("repository", "serve", CONFIG_BOOL, serve, 0, 0, NULL),
	KEY("store", "path", CONFIG_PATH, store, 0, 0, NULL),
	KEY("backup", "path", CONFIG_PATH, backup_path, 0, 0, NULL),
	KEY("backup", "max_file_bytes", CONFIG_U64, backup_max_file_bytes, 0, UINT64_C(1) << 32,
	    NULL),
	KEY("backup", "max_per_gateway", CONFIG_U64, backup_max_per_gateway, 1, 1000, NULL),
	KEY("backup", "max_total_bytes", CONFIG_U64, backup_max_total_bytes, 0, UINT64_C(1) << 50,
	    NULL),
	KEY("backup", "keep_days", CONFIG_U64, backup_keep_days, 0, 36500, NULL),
	KEY("admin", "token_file", CONFIG_PATH, token_file, 0, 0, NULL),
	KEY("limits", "body_bytes", CONFIG_U64, body_bytes, 1024, 16384, NULL),
	KEY("limits", "connections", CONFIG_U64, connections, 64, 65536, NULL),
	KEY("limits", "connections_per_address", CONFIG_U64, connections_per_address, 0, 65536,
	    NULL),
	KEY("limits", "timeout_sec", CONFIG_U64, timeout_sec, 1, 600, NULL),
	KEY("limits", "drain_sec", CONFIG_U64, drain_sec, 0, 60, NULL),
	KEY("limits", "threads", CONFIG_U64, threads, 1, 64, NULL),
};

struct queryd_conf *queryd_conf_free(struct queryd_conf *c)
{
	if (!c)
		return NULL;
	free(c->address);
	free(c->cert);
	free(c->key);
	free(c->unix_socket);
	free(c->repository);
	free(c->trusted_root);
	free(c->file_server);
	free(c->store);
	free(c->backup_path);
	free(c->token_file);
	free(c);
	return NULL;
}

int queryd_conf_default(struct queryd_conf **ret)
{
	struct queryd_conf *c = calloc(1, sizeof *c);

	if (!c)
		return -ENOMEM;
	*c = (struct queryd_conf){
		.address = strdup("*"),
		.port = 8443,
		.unix_socket = strdup("/run/queryd/queryd.sock"),
		.repository = strdup("/var/lib/queryd/repository"),
		.trusted_root = strdup("/etc/queryd/root.json"),
		.serve = true,
		.store = strdup("/var/lib/queryd/queryd.db"),
		.token_file = strdup("/etc/queryd/admin-token"),
		.backup_max_file_bytes = UINT64_C(64) << 20,
		.backup_max_per_gateway = 8,
		.backup_max_total_bytes = UINT64_C(4) << 30,
		.backup_keep_days = 365,
		.body_bytes = 16384,
		.connections = 1024,
		.timeout_sec = 30,
		.drain_sec = 5,
		.threads = 2,
	};
	if (!c->address || !c->unix_socket || !c->repository || !c->trusted_root || !c->store ||
	    !c->token_file) {
		queryd_conf_free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

bool queryd_conf_is_loopback(const char *address)
{
	return strcmp(address, "127.0.0.1") == 0 || strcmp(address, "::1") == 0;
}

/* What offers may name: an https URL that survives being put into a JSON answer and a log line. */
static bool is_file_server(const char *url)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-._~:/[]%+";

	return strncmp(url, "https://", 8) == 0 && url[8] && strlen(url) <= 512 &&
	       url[strspn(url, allowed)] == '\0';
}

/* What no single key can tell. Gives the complaint, or NULL. */
static const char *contradiction(const struct queryd_conf *c)
{
	if (!c->cert != !c->key)
		return "[listen] cert and key: one is given without the other";
	if (!c->address)
		return "[listen] address: is empty; leave the key out for every address";
	if (c->cert && c->allow_plain_loopback)
		return "[listen] allow_plain_loopback: there is a cert, which serves the same port";
	if (c->allow_plain_loopback && !queryd_conf_is_loopback(c->address))
		return "[listen] allow_plain_loopback: address must be 127.0.0.1 or ::1";
	if (!c->cert && !c->allow_plain_loopback && !c->unix_socket)
		return "[listen] nothing to listen on: cert, allow_plain_loopback or unix_socket";
	if (!c->repository || !c->trusted_root)
		return "[repository] path and trusted_root: must not be empty";
	if (c->file_server && !is_file_server(c->file_server))
		return "[repository] file_server: must be an https:// URL";
	if (!c->serve && !c->file_server)
		return "[repository] serve=no needs a file_server that serves instead";
	if (!c->store)
		return "[store] path: must not be empty";
	if (c->backup_keep_days > 0 && c->backup_keep_days < QUERYD_CONF_MIN_KEEP_DAYS)
		return "[backup] keep_days: 0, or 14 at least";
	return NULL;
}

static int complete(struct queryd_conf *c)
{
	const char *slash = strrchr(c->store, '/');

	if (!c->backup_path && asprintf(&c->backup_path, "%.*s/backups",
					(int)(slash ? slash - c->store : 0), c->store) < 0) {
		c->backup_path = NULL;
		return -ENOMEM;
	}
	return 0;
}

int queryd_conf_load(const char *path, struct queryd_conf **ret, char **ret_error)
{
	_cleanup_(queryd_conf_freep) struct queryd_conf *c = NULL;
	const char *complaint;
	int r;

	r = queryd_conf_default(&c);
	if (r < 0)
		return r;
	r = config_load(path, keys, ELEMENTSOF(keys), c, NULL, NULL, ret_error);
	if (r < 0)
		return r;
	complaint = contradiction(c);
	if (complaint) {
		if (ret_error && asprintf(ret_error, "%s: %s", path, complaint) < 0)
			*ret_error = NULL;
		return -EINVAL;
	}
	r = complete(c);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}
