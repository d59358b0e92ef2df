/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queryctl: looks into a running queryd, keeps its blacklist and its backups.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "common/json.h"
#include "common/log.h"
#include "common/version.h"
#include "queryd/conf.h"
#include "queryd/ctl.h"
#include "queryd/identity.h"

#define EXIT_USAGE	2
#define DEFAULT_RESULTS 20

static const char help[] =
	"Usage: queryctl [OPTIONS] COMMAND\n"
	"Looks into a running queryd, keeps its blacklist and its backups.\n"
	"\n"
	"  blacklist add VERSION TYPE:VALUE [--note TEXT]\n"
	"                            this gateway is not offered this version\n"
	"  blacklist remove VERSION TYPE:VALUE\n"
	"  blacklist list [VERSION]\n"
	"  results list [--identity TYPE:VALUE] [--program LETTER] [--limit N]\n"
	"                            the newest 20, newest last; --limit 0: all\n"
	"  gateways list [--limit N]\n"
	"  releases list\n"
	"  backups list [--identity TYPE:VALUE] [--limit N]\n"
	"  backups get VERSION TYPE:VALUE FILE\n"
	"                            into a file that is not there yet\n"
	"  backups remove VERSION TYPE:VALUE\n"
	"\n"
	"TYPE is imei, machine-id or name, as in imei:490154203237518.\n"
	"\n"
	"  --json           one JSON object instead of a table\n"
	"  --config FILE    queryd's configuration, instead of " QUERYD_CONF_PATH "\n"
	"  --socket PATH    queryd's socket, instead of the one in the configuration\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong usage. See queryctl(1).\n";

struct options {
	const char *config;
	const char *socket;
	const char *note;
	const char *identity;
	const char *program;
	const char *limit_text;
	uint64_t limit;
	bool json;
	struct ctl *ctl;
};

_printf_(1, 2) static int usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fputs("queryctl: ", stderr);
	(void)vfprintf(stderr, format, args);
	(void)fputs("; see queryctl --help\n", stderr);
	va_end(args);
	return EXIT_USAGE;
}

static int failed(const struct options *o)
{
	log_error("%s", ctl_error(o->ctl));
	return EXIT_FAILURE;
}

/* ---- showing ---- */

/* Members of an answer that are not what they should be are shown as '?': a table is for people. */
static const char *string_of(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsString(item) ? item->valuestring : item ? "?" : "-";
}

static uint64_t number_of(const cJSON *object, const char *key)
{
	struct json_error error;
	uint64_t n = 0;

	return json_get_u64(object, key, UINT64_C(1) << 53, &n, &error) < 0 ? 0 : n;
}

static void identity_cell(struct table *t, const cJSON *object)
{
	const cJSON *identity = cJSON_GetObjectItemCaseSensitive(object, "identity");

	table_cell(t, "%s:%s", string_of(identity, "type"), string_of(identity, "value"));
}

static void time_cell(struct table *t, const cJSON *object, const char *key)
{
	time_t sec = (time_t)number_of(object, key);
	char text[32] = "?";
	struct tm tm;

	if (gmtime_r(&sec, &tm))
		(void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%SZ", &tm);
	table_cell(t, "%s", text);
}

/* "gw1 gw2" or "A202108010001 B202108010001"; all of a list's or object's strings. */
static void strings_cell(struct table *t, const cJSON *list, const char *if_none)
{
	char text[256] = "";
	const cJSON *item;

	cJSON_ArrayForEach (item, list) {
		size_t n = strlen(text);

		if (cJSON_IsString(item))
			(void)snprintf(text + n, sizeof text - n, "%s%s", n ? " " : "",
				       item->valuestring);
	}
	table_cell(t, "%s", *text ? text : if_none);
}

static void release_row(struct table *t, const cJSON *release)
{
	table_cell(t, "%s", string_of(release, "version"));
	table_cell(t, "%s", string_of(release, "arch"));
	strings_cell(t, cJSON_GetObjectItemCaseSensitive(release, "models"), "any");
	table_cell(t, "%ju", (uintmax_t)number_of(release, "length"));
	table_cell(t, "%s", string_of(release, "target"));
}

static void gateway_row(struct table *t, const cJSON *gateway)
{
	identity_cell(t, gateway);
	table_cell(t, "%s", string_of(gateway, "arch"));
	table_cell(t, "%s", string_of(gateway, "model"));
	strings_cell(t, cJSON_GetObjectItemCaseSensitive(gateway, "versions"), "-");
	time_cell(t, gateway, "first_seen_sec");
	time_cell(t, gateway, "last_seen_sec");
}

static void result_row(struct table *t, const cJSON *result)
{
	uint64_t duration_ms = number_of(result, "duration_ms");

	table_cell(t, "%ju", (uintmax_t)number_of(result, "id"));
	time_cell(t, result, "received_sec");
	identity_cell(t, result);
	table_cell(t, "%s", string_of(result, "from"));
	table_cell(t, "%s", string_of(result, "to"));
	table_cell(t, "%s", string_of(result, "kind"));
	table_cell(t, "%s", string_of(result, "outcome"));
	table_cell(t, "%s", string_of(result, "step"));
	table_cell(t, "%s", string_of(result, "reason"));
	table_cell(t, "%ju.%ju s", (uintmax_t)(duration_ms / 1000),
		   (uintmax_t)(duration_ms % 1000 / 100));
	table_cell(t, "%s", string_of(result, "detail"));
}

static void blacklist_row(struct table *t, const cJSON *entry)
{
	table_cell(t, "%s", string_of(entry, "version"));
	identity_cell(t, entry);
	time_cell(t, entry, "added_sec");
	table_cell(t, "%s", string_of(entry, "note"));
}

static void backup_row(struct table *t, const cJSON *backup)
{
	uint64_t length = number_of(backup, "length");

	identity_cell(t, backup);
	table_cell(t, "%s", string_of(backup, "version"));
	if (cJSON_HasObjectItem(backup, "offset"))
		table_cell(t, "%ju of %ju", (uintmax_t)number_of(backup, "offset"),
			   (uintmax_t)length);
	else
		table_cell(t, "%s", string_of(backup, "state"));
	table_cell(t, "%ju", (uintmax_t)length);
	time_cell(t, backup, "made_sec");
	time_cell(t, backup, "told_sec");
}

static const char *const release_headings[] = {
	"VERSION", "ARCH", "MODELS", "BYTES", "TARGET", NULL
};
static const char *const gateway_headings[] = { "IDENTITY",   "ARCH",	   "MODEL", "VERSIONS",
						"FIRST SEEN", "LAST SEEN", NULL };
static const char *const result_headings[] = { "ID",	 "RECEIVED", "IDENTITY", "FROM",
					       "TO",	 "KIND",     "OUTCOME",	 "STEP",
					       "REASON", "TOOK",     "DETAIL",	 NULL };
static const char *const blacklist_headings[] = { "VERSION", "IDENTITY", "ADDED", "NOTE", NULL };

static const char *const backup_headings[] = { "IDENTITY", "VERSION", "STATE", "BYTES",
					       "SINCE",	   "TOLD",    NULL };

static int show_json(const cJSON *json)
{
	_cleanup_free_ char *text = json_print(json);

	if (!text || puts(text) < 0 || fflush(stdout) != 0) {
		log_error("cannot print");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

/* json is {name: […]}. */
static int show_list(const struct options *o, const cJSON *json, const char *const *headings,
		     void (*row)(struct table *t, const cJSON *entry))
{
	_cleanup_(table_freep) struct table *t = NULL;
	const cJSON *entry;

	if (o->json)
		return show_json(json);
	if (table_new(headings, &t) < 0)
		return EXIT_FAILURE;
	cJSON_ArrayForEach (entry, json->child)
		row(t, entry);
	if (table_print(t, stdout, isatty(STDOUT_FILENO) == 1) < 0 || fflush(stdout) != 0) {
		log_error("cannot print");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

/* ---- commands ---- */

static int releases_list(struct options *o, char **arguments)
{
	_cleanup_json_ cJSON *json = NULL;

	(void)arguments;
	if (ctl_get_list(o->ctl, "releases", "", &json) < 0)
		return failed(o);
	return show_list(o, json, release_headings, release_row);
}

static int gateways_list(struct options *o, char **arguments)
{
	_cleanup_json_ cJSON *json = NULL;

	(void)arguments;
	if (ctl_get_gateways(o->ctl, o->limit_text ? o->limit : 0, &json) < 0)
		return failed(o);
	return show_list(o, json, gateway_headings, gateway_row);
}

static int results_list(struct options *o, char **arguments)
{
	uint64_t limit = o->limit_text ? o->limit : DEFAULT_RESULTS;
	_cleanup_json_ cJSON *json = NULL;
	struct json_error error = { 0 };
	struct identity identity;
	char query[160] = "";

	(void)arguments;
	if (o->identity) {
		if (identity_parse(o->identity, &identity, &error) < 0)
			return usage("--identity: %s", error.text);
		(void)snprintf(query, sizeof query, "&identity=%s", identity.text);
	}
	if (o->program) {
		size_t n = strlen(query);

		if (o->program[0] < 'A' || o->program[0] > 'Z' || o->program[1])
			return usage("--program must be a letter A to Z");
		(void)snprintf(query + n, sizeof query - n, "&program=%s", o->program);
	}
	if (ctl_get_results(o->ctl, query, limit, &json) < 0)
		return failed(o);
	return show_list(o, json, result_headings, result_row);
}

static int blacklist_list(struct options *o, char **arguments)
{
	_cleanup_json_ cJSON *json = NULL;
	struct version version;
	char query[32] = "";

	if (arguments[0]) {
		if (version_parse(arguments[0], &version) < 0)
			return usage("'%s' is not a version (like B202109010001)", arguments[0]);
		(void)snprintf(query, sizeof query, "?version=%s", version.text);
	}
	if (ctl_get_list(o->ctl, "blacklist", query, &json) < 0)
		return failed(o);
	return show_list(o, json, blacklist_headings, blacklist_row);
}

/* The path of an entry from VERSION and TYPE:VALUE; an exit code other than 0 when they are wrong. */
static int entry_path(const char *list, char **arguments, char *path, size_t size)
{
	struct json_error error = { 0 };
	struct identity identity;
	struct version version;

	if (version_parse(arguments[0], &version) < 0)
		return usage("'%s' is not a version (like B202109010001)", arguments[0]);
	if (identity_parse(arguments[1], &identity, &error) < 0)
		return usage("'%s': %s", arguments[1], error.text);
	(void)snprintf(path, size, "%s/%s/%s", list, version.text, identity.text);
	return EXIT_SUCCESS;
}

/* arguments: the version and the identity */
static int show_change(const struct options *o, bool changed, char **arguments,
		       const char *sentence)
{
	_cleanup_json_ cJSON *json = NULL;

	if (!o->json) {
		(void)printf("%s %s to %s\n", arguments[0], sentence, arguments[1]);
		return EXIT_SUCCESS;
	}
	json = cJSON_CreateObject();
	(void)cJSON_AddBoolToObject(json, "changed", changed);
	return show_json(json);
}

static int blacklist_add(struct options *o, char **arguments)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();
	_cleanup_free_ char *body = NULL;
	char path[160];
	int r;

	r = entry_path("blacklist", arguments, path, sizeof path);
	if (r != EXIT_SUCCESS)
		return r;
	if (o->note && !cJSON_AddStringToObject(json, "note", o->note))
		return EXIT_FAILURE;
	body = json_print(json);
	if (!body)
		return EXIT_FAILURE;
	r = ctl_call(o->ctl, "PUT", path, body, NULL);
	if (r < 0)
		return failed(o);
	return show_change(o, r == 201, arguments,
			   r == 201 ? "is no longer offered" : "was not offered before, either,");
}

static int blacklist_remove(struct options *o, char **arguments)
{
	char path[160];
	int r;

	r = entry_path("blacklist", arguments, path, sizeof path);
	if (r != EXIT_SUCCESS)
		return r;
	if (ctl_call(o->ctl, "DELETE", path, NULL, NULL) < 0)
		return failed(o);
	return show_change(o, true, arguments, "may be offered again");
}

static int backups_list(struct options *o, char **arguments)
{
	_cleanup_json_ cJSON *json = NULL;
	struct json_error error = { 0 };
	struct identity identity;
	char query[96] = "";

	(void)arguments;
	if (o->identity) {
		if (identity_parse(o->identity, &identity, &error) < 0)
			return usage("--identity: %s", error.text);
		(void)snprintf(query, sizeof query, "&identity=%s", identity.text);
	}
	if (ctl_get_backups(o->ctl, query, o->limit_text ? o->limit : 0, &json) < 0)
		return failed(o);
	return show_list(o, json, backup_headings, backup_row);
}

static int backups_remove(struct options *o, char **arguments)
{
	char path[160];
	int r;

	r = entry_path("backups", arguments, path, sizeof path);
	if (r != EXIT_SUCCESS)
		return r;
	if (ctl_call(o->ctl, "DELETE", path, NULL, NULL) < 0)
		return failed(o);
	if (o->json)
		return show_change(o, true, arguments, "");
	(void)printf("the backup of %s of %s is gone\n", arguments[0], arguments[1]);
	return EXIT_SUCCESS;
}

/* What is not whole and right does not stay. */
static int get_into(struct options *o, const char *path, const char *file)
{
	_cleanup_close_ int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0) {
		log_error("'%s': %s", file, strerror(errno));
		return EXIT_FAILURE;
	}
	if (ctl_get_backup(o->ctl, path, fd) == 0)
		return EXIT_SUCCESS;
	(void)unlink(file);
	return failed(o);
}

static int backups_get(struct options *o, char **arguments)
{
	struct json_error error = { 0 };
	struct identity identity;
	struct version version;
	char path[160];

	if (version_parse(arguments[0], &version) < 0)
		return usage("'%s' is not a version (like B202109010001)", arguments[0]);
	if (identity_parse(arguments[1], &identity, &error) < 0)
		return usage("'%s': %s", arguments[1], error.text);
	*strchr(identity.text, ':') = '/';
	(void)snprintf(path, sizeof path, "%s/%s", identity.text, version.text);
	return get_into(o, path, arguments[2]);
}

static const struct {
	const char *object, *verb;
	int min_arguments, max_arguments;
	int (*run)(struct options *o, char **arguments); /* an exit code */
} commands[] = {
	{ "blacklist", "add", 2, 2, blacklist_add },
	{ "blacklist", "remove", 2, 2, blacklist_remove },
	{ "blacklist", "list", 0, 1, blacklist_list },
	{ "results", "list", 0, 0, results_list },
	{ "gateways", "list", 0, 0, gateways_list },
	{ "releases", "list", 0, 0, releases_list },
	{ "backups", "list", 0, 0, backups_list },
	{ "backups", "get", 3, 3, backups_get },
	{ "backups", "remove", 2, 2, backups_remove },
};

/* ---- options ---- */

static bool parse_limit(struct options *o)
{
	const char *p = o->limit_text;

	if (!p)
		return true;
	if (!*p || strlen(p) > 9 || p[strspn(p, "0123456789")] != '\0')
		return false;
	o->limit = strtoull(p, NULL, 10);
	return true;
}

/* Returns an exit code, or -1 to go on. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option long_options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "socket", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "note", required_argument, NULL, 'n' },
		{ "identity", required_argument, NULL, 'i' },
		{ "program", required_argument, NULL, 'p' },
		{ "limit", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) >= 0) {
		switch (c) {
		case 'c': o->config = optarg; break;
		case 's': o->socket = optarg; break;
		case 'j': o->json = true; break;
		case 'n': o->note = optarg; break;
		case 'i': o->identity = optarg; break;
		case 'p': o->program = optarg; break;
		case 'l': o->limit_text = optarg; break;
		case 'h': (void)fputs(help, stdout); return EXIT_SUCCESS;
		case 'V': (void)puts("queryctl " PROJECT_VERSION); return EXIT_SUCCESS;
		default: (void)fputs("queryctl: see queryctl --help\n", stderr); return EXIT_USAGE;
		}
	}
	return parse_limit(o) ? -1 : usage("--limit must be a number of at most 9 digits");
}

/* Without a configuration file the defaults hold; a file that was named must be there. */
static int load_conf(const struct options *o, struct queryd_conf **ret)
{
	_cleanup_free_ char *error = NULL;
	int r;

	r = queryd_conf_load(o->config ? o->config : QUERYD_CONF_PATH, ret, &error);
	if (r == -ENOENT && !o->config)
		r = queryd_conf_default(ret);
	if (r < 0)
		log_error("%s", error ? error : strerror(-r));
	return r;
}

static int connect_server(struct options *o)
{
	_cleanup_(queryd_conf_freep) struct queryd_conf *conf = NULL;
	_cleanup_free_ char *error = NULL;
	const char *socket;
	int r;

	r = load_conf(o, &conf);
	if (r < 0)
		return r;
	socket = o->socket ? o->socket : conf->unix_socket;
	if (!socket || !conf->token_file) {
		log_error("queryd is configured without unix_socket or token_file");
		return -EINVAL;
	}
	r = ctl_open(socket, conf->token_file, &o->ctl, &error);
	if (r < 0)
		log_error("%s", error ? error : strerror(-r));
	return r;
}

static int run(struct options *o, int n, char **words)
{
	if (n < 2)
		return usage("a command is needed");
	for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
		if (strcmp(commands[i].object, words[0]) != 0 ||
		    strcmp(commands[i].verb, words[1]) != 0)
			continue;
		if (n - 2 < commands[i].min_arguments || n - 2 > commands[i].max_arguments)
			return usage("%s %s: wrong number of arguments", words[0], words[1]);
		if (connect_server(o) < 0)
			return EXIT_FAILURE;
		return commands[i].run(o, words + 2);
	}
	return usage("there is no command '%s %s'", words[0], words[1]);
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	int r;

	log_set_name("queryctl");
	r = parse_options(argc, argv, &options);
	if (r < 0)
		r = run(&options, argc - optind, argv + optind);
	options.ctl = ctl_close(options.ctl);
	return r;
}
