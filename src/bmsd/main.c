/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdbool.h>
#include <sysexits.h>

#include "bmsd/client.h"
#include "bmsd/conf.h"
#include "bmsd/daemon.h"
#include "bmsd/probe.h"
#include "bmsd/release_version.h"
#include "common/log.h"

#define STATUS_TIMEOUT_MSEC 3000

enum verb {
	VERB_DAEMON,
	VERB_STATUS,
	VERB_PROBE,
	VERB_CHECK_CONFIG,
};

struct arguments {
	enum verb verb;
	bool json;
	const char *config;
};

static const char help[] =
	"Usage: bmsd [OPTION…]\n"
	"\n"
	"Polls battery packs and serves what they say over D-Bus. Without an option: runs as the\n"
	"daemon, in the foreground.\n"
	"\n"
	"      --status         show what the running daemon knows of the packs\n"
	"      --json           with --status: one JSON object\n"
	"      --probe          is the running daemon well? (what updaterd calls; see bmsd(8))\n"
	"      --check-config   read the configuration and say what is wrong with it\n"
	"      --config FILE    instead of " BMSD_CONF_PATH "\n"
	"      --help           this text\n"
	"      --version        the release, and the project's version\n";

/* The daemon starts with the file of a newer one, as after a rollback; what it does not know it says. */
static void warn_unknown(const char *sentence, void *userdata)
{
	(void)userdata;
	log_warning("%s; left out", sentence);
}

static int load_conf(const char *path, bmsd_conf_unknown_fn unknown, struct bmsd_conf **ret)
{
	_cleanup_free_ char *error = NULL;
	int r = bmsd_conf_load(path, unknown, NULL, ret, &error);

	if (r < 0)
		log_error("%s", error ? error : "out of memory");
	return r;
}

static int run_daemon(const struct arguments *a)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *conf = NULL;

	if (load_conf(a->config, warn_unknown, &conf) < 0)
		return EX_CONFIG;
	return daemon_run(conf) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_check_config(const struct arguments *a)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *conf = NULL;

	return load_conf(a->config, NULL, &conf) < 0 ? EX_CONFIG : EXIT_SUCCESS;
}

static int run_status(const struct arguments *a)
{
	_cleanup_free_ char *json = NULL, *error = NULL;

	if (client_call("Status", STATUS_TIMEOUT_MSEC, &json, &error) < 0) {
		log_error("%s", error ? error : "out of memory");
		return EXIT_FAILURE;
	}
	if (a->json)
		return puts(json) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	if (client_print_status(json, stdout) < 0) {
		log_error("bmsd's answer cannot be read; --json shows it");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct arguments *a)
{
	enum {
		OPT_STATUS = 256,
		OPT_JSON,
		OPT_PROBE,
		OPT_CHECK,
		OPT_CONFIG,
		OPT_HELP,
		OPT_VERSION
	};
	static const struct option options[] = {
		{ "status", no_argument, NULL, OPT_STATUS },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "probe", no_argument, NULL, OPT_PROBE },
		{ "check-config", no_argument, NULL, OPT_CHECK },
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "help", no_argument, NULL, OPT_HELP },
		{ "version", no_argument, NULL, OPT_VERSION },
		{},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case OPT_STATUS: a->verb = VERB_STATUS; break;
		case OPT_JSON: a->json = true; break;
		case OPT_PROBE: a->verb = VERB_PROBE; break;
		case OPT_CHECK: a->verb = VERB_CHECK_CONFIG; break;
		case OPT_CONFIG: a->config = optarg; break;
		case OPT_HELP: return fputs(help, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
		case OPT_VERSION:
			(void)printf("bmsd %s (bms-gateway %s)\n", bmsd_release_version,
				     PROJECT_VERSION);
			return EXIT_SUCCESS;
		default: return EX_USAGE;
		}
	}
	if (optind < argc) {
		log_error("what is '%s'? See bmsd --help", argv[optind]);
		return EX_USAGE;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct arguments a = { .verb = VERB_DAEMON, .config = BMSD_CONF_PATH };
	int status;

	log_set_name("bmsd");
	status = parse(argc, argv, &a);
	if (status >= 0)
		return status;
	switch (a.verb) {
	case VERB_STATUS: return run_status(&a);
	case VERB_PROBE: return (int)probe_run();
	case VERB_CHECK_CONFIG: return run_check_config(&a);
	case VERB_DAEMON: break;
	}
	return run_daemon(&a);
}
