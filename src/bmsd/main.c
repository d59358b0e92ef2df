/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <string.h>
#include <sysexits.h>

#include "bmsd/commands.h"
#include "bmsd/conf.h"
#include "bmsd/daemon.h"
#include "bmsd/probe.h"
#include "bmsd/release_version.h"
#include "bmsd/watch.h"
#include "common/log.h"

enum verb {
	VERB_DAEMON,
	VERB_STATUS,
	VERB_WATCH,
	VERB_HISTORY,
	VERB_EVENTS,
	VERB_SET_FET,
	VERB_RESET_ALARMS,
	VERB_QUIESCE,
	VERB_PROBE,
	VERB_CHECK_CONFIG,
};

enum option_id {
	OPT_VERB = 256, /* and the verbs behind it */
	OPT_FIRST = OPT_VERB + VERB_CHECK_CONFIG + 1,
	OPT_JSON = OPT_FIRST,
	OPT_CONFIG,
	OPT_PACK,
	OPT_SECONDS,
	OPT_SINCE,
	OPT_AFTER,
	OPT_REASON,
	OPT_LEASE,
	OPT_HELP,
	OPT_VERSION,
};

struct arguments {
	enum verb verb;
	const char *config;
	struct commands_options options;
};

static const char help[] =
	"Usage: bmsd [OPTION…]\n"
	"\n"
	"Polls battery packs and serves what they say over D-Bus. Without an option: runs as the\n"
	"daemon, in the foreground.\n"
	"\n"
	"      --status            show what the running daemon knows of the packs\n"
	"      --watch             the same on this terminal, live\n"
	"      --history           how a pack fared, minute by minute\n"
	"        --seconds           second by second, for the last hour\n"
	"        --since DURATION    from so long ago on: 90s, 30m, 24h, 7d (default: 1h)\n"
	"      --events            what happened, oldest first\n"
	"        --after NUMBER      only what came after this event\n"
	"      --set-fet WHICH=STATE  charge or discharge, on or off (root)\n"
	"        --reason TEXT       why, for the record\n"
	"        --lease DURATION    for so long at most\n"
	"      --reset-alarms      clear the latched alarms that are over (root)\n"
	"      --quiesce           write all that is only in memory (root)\n"
	"      --probe             is the running daemon well? (what updaterd calls; see bmsd(8))\n"
	"      --check-config      read the configuration and say what is wrong with it\n"
	"\n"
	"      --pack NUMBER       which pack, for --history and the commands (default: 0)\n"
	"      --json              for programs: one JSON object, or one a line\n"
	"      --config FILE       instead of " BMSD_CONF_PATH "\n"
	"      --help              this text\n"
	"      --version           the release, and the project's version\n";

/* ---- the daemon ---- */

static int run_daemon(const struct arguments *a)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *conf = NULL;

	if (bmsd_conf_load_tolerant(a->config, &conf) < 0) {
		log_error("out of memory");
		return EXIT_FAILURE;
	}
	return daemon_run(conf) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_check_config(const struct arguments *a)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *conf = NULL;
	_cleanup_free_ char *error = NULL;

	if (bmsd_conf_load(a->config, &conf, &error) == 0)
		return EXIT_SUCCESS;
	log_error("%s", error ? error : "out of memory");
	return EX_CONFIG;
}

/* ---- the command line ---- */

static const struct option long_options[] = {
	{ "status", no_argument, NULL, OPT_VERB + VERB_STATUS },
	{ "watch", no_argument, NULL, OPT_VERB + VERB_WATCH },
	{ "history", no_argument, NULL, OPT_VERB + VERB_HISTORY },
	{ "events", no_argument, NULL, OPT_VERB + VERB_EVENTS },
	{ "set-fet", required_argument, NULL, OPT_VERB + VERB_SET_FET },
	{ "reset-alarms", no_argument, NULL, OPT_VERB + VERB_RESET_ALARMS },
	{ "quiesce", no_argument, NULL, OPT_VERB + VERB_QUIESCE },
	{ "probe", no_argument, NULL, OPT_VERB + VERB_PROBE },
	{ "check-config", no_argument, NULL, OPT_VERB + VERB_CHECK_CONFIG },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "pack", required_argument, NULL, OPT_PACK },
	{ "seconds", no_argument, NULL, OPT_SECONDS },
	{ "since", required_argument, NULL, OPT_SINCE },
	{ "after", required_argument, NULL, OPT_AFTER },
	{ "reason", required_argument, NULL, OPT_REASON },
	{ "lease", required_argument, NULL, OPT_LEASE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{},
};

static int parse_number(const char *text, uint64_t *ret)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 15 || text[digits])
		return -EINVAL;
	*ret = strtoull(text, NULL, 10);
	return 0;
}

static int parse_pack(const char *text, unsigned *ret)
{
	if (text[0] < '0' || text[0] >= '0' + BMSD_MAX_PACKS || text[1])
		return -EINVAL;
	*ret = (unsigned)(text[0] - '0');
	return 0;
}

/* 0, or -EINVAL for an argument that is not one. */
static int take_option(int option, struct arguments *a)
{
	struct commands_options *o = &a->options;

	switch (option) {
	case OPT_JSON: o->json = true; return 0;
	case OPT_CONFIG: a->config = optarg; return 0;
	case OPT_PACK: return parse_pack(optarg, &o->pack);
	case OPT_SECONDS: o->seconds = true; return 0;
	case OPT_SINCE: return commands_parse_duration(optarg, &o->since_sec);
	case OPT_AFTER: return parse_number(optarg, &o->after);
	case OPT_REASON: o->reason = optarg; return 0;
	case OPT_LEASE: return commands_parse_duration(optarg, &o->lease_sec);
	default: break;
	}
	a->verb = (enum verb)(option - OPT_VERB);
	if (a->verb == VERB_SET_FET)
		o->fet = optarg;
	return 0;
}

static int print_version(void)
{
	return printf("bmsd %s (bms-gateway %s)\n", bmsd_release_version, PROJECT_VERSION) < 0
		       ? EXIT_FAILURE
		       : EXIT_SUCCESS;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct arguments *a)
{
	int option, at = 0;

	while ((option = getopt_long(argc, argv, "", long_options, &at)) >= 0) {
		if (option == '?')
			return EX_USAGE;
		if (option == OPT_HELP)
			return fputs(help, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
		if (option == OPT_VERSION)
			return print_version();
		if (take_option(option, a) < 0) {
			log_error("--%s: what is '%s'? See bmsd --help", long_options[at].name,
				  optarg);
			return EX_USAGE;
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
	struct arguments a = { .verb = VERB_DAEMON,
			       .config = BMSD_CONF_PATH,
			       .options = { .since_sec = 3600 } };
	int status;

	log_set_name("bmsd");
	status = parse(argc, argv, &a);
	if (status >= 0)
		return status;
	a.options.config = a.config;
	switch (a.verb) {
	case VERB_STATUS: return commands_status(&a.options);
	case VERB_WATCH: return watch_run();
	case VERB_HISTORY: return commands_history(&a.options);
	case VERB_EVENTS: return commands_events(&a.options);
	case VERB_SET_FET: return commands_set_fet(&a.options);
	case VERB_RESET_ALARMS: return commands_reset_alarms(&a.options);
	case VERB_QUIESCE: return commands_quiesce(&a.options);
	case VERB_PROBE: return (int)probe_run();
	case VERB_CHECK_CONFIG: return run_check_config(&a);
	case VERB_DAEMON: break;
	}
	return run_daemon(&a);
}
