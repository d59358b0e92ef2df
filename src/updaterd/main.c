/* SPDX-License-Identifier: Apache-2.0 */
/* updaterd(8): the command line of both halves. */
#include <getopt.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/version.h"
#include "updaterd/agent.h"
#include "updaterd/agent_user.h"
#include "updaterd/commands.h"
#include "updaterd/conf.h"
#include "updaterd/exit_codes.h"
#include "updaterd/installer.h"
#include "updaterd/medium.h"
#include "updaterd/progress.h"
#include "updaterd/prove.h"
#include "updaterd/release_version.h"
#include "updaterd/until.h"

#define HISTORY_DEFAULT 10u
#define HISTORY_MAX	200u

/* How often a run has gone on as another updater. */
#define REPLACED_VARIABLE "UPDATERD_REPLACED"
#define REPLACED_MAX	  2

enum command {
	COMMAND_CYCLE = 0,
	COMMAND_CHECK,
	COMMAND_ROLLBACK,
	COMMAND_STATUS,
	COMMAND_HISTORY,
	COMMAND_INSTALL,
	COMMAND_REASONS,
	COMMAND_HELP,
	COMMAND_VERSION,
	COMMAND_INSTALLER,
	COMMAND_TRIAL,
	COMMAND_REACH,
	COMMAND_MISSED,
	COMMAND_ADOPT,
	COMMAND_DISOWN,
	COMMAND_RECOVER,
	COMMAND_CLEAR_QUARANTINE,
	COMMAND_HOLD,
	COMMAND_UNHOLD,
};

struct arguments {
	enum command command;
	const char *config;
	const char *directory;
	const char *until;
	char program; /* 0: not given */
	struct version version;
	bool has_version, json, quiet;
	bool is_trial; /* of the agent; with --installer, of that */
	char **argv;
	uint32_t history;
};

enum {
	OPTION_CHECK = 256,
	OPTION_ROLLBACK,
	OPTION_STATUS,
	OPTION_HISTORY,
	OPTION_INSTALL,
	OPTION_REASONS,
	OPTION_PROGRAM,
	OPTION_CONFIG,
	OPTION_JSON,
	OPTION_QUIET,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_INSTALLER,
	OPTION_TRIAL,
	OPTION_REACH,
	OPTION_MISSED,
	OPTION_ADOPT,
	OPTION_DISOWN,
	OPTION_RECOVER,
	OPTION_CLEAR_QUARANTINE,
	OPTION_HOLD,
	OPTION_UNHOLD,
	OPTION_UNTIL,
};

static const struct option options[] = {
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "rollback", optional_argument, NULL, OPTION_ROLLBACK },
	{ "status", no_argument, NULL, OPTION_STATUS },
	{ "history", optional_argument, NULL, OPTION_HISTORY },
	{ "install", required_argument, NULL, OPTION_INSTALL },
	{ "reasons", no_argument, NULL, OPTION_REASONS },
	{ "program", required_argument, NULL, OPTION_PROGRAM },
	{ "config", required_argument, NULL, OPTION_CONFIG },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "quiet", no_argument, NULL, OPTION_QUIET },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", optional_argument, NULL, OPTION_VERSION },
	{ "installer", no_argument, NULL, OPTION_INSTALLER },
	{ "trial", no_argument, NULL, OPTION_TRIAL },
	{ "reach", no_argument, NULL, OPTION_REACH },
	{ "missed", no_argument, NULL, OPTION_MISSED },
	{ "adopt", required_argument, NULL, OPTION_ADOPT },
	{ "disown", required_argument, NULL, OPTION_DISOWN },
	{ "recover", no_argument, NULL, OPTION_RECOVER },
	{ "clear-quarantine", optional_argument, NULL, OPTION_CLEAR_QUARANTINE },
	{ "unquarantine", required_argument, NULL, OPTION_CLEAR_QUARANTINE }, /* as it was called */
	{ "hold", optional_argument, NULL, OPTION_HOLD },
	{ "unhold", optional_argument, NULL, OPTION_UNHOLD },
	{ "until", required_argument, NULL, OPTION_UNTIL },
	{ 0 },
};

static const char help[] =
	"updaterd - upgrades the programs of a gateway, itself included\n"
	"\n"
	"  updaterd                  one cycle: ask, fetch, verify, install, prove, report\n"
	"  updaterd --check          print the new versions, install nothing\n"
	"  updaterd --rollback [A|B] back to the kept previous version (default B)\n"
	"  updaterd --status         what runs, what is kept, what is under way\n"
	"  updaterd --history [N]    the last N results (default 10)\n"
	"  updaterd --install DIR    install from a repository in a directory, such as a USB "
	"stick\n"
	"      --program A|B         only this program\n"
	"      --version=VERSION     this version instead of the newest\n"
	"  updaterd --hold [A|B]     no upgrade of it, or of any program\n"
	"      --until TIME          only until then: 2026-12-01, \"2026-12-01 08:00\" (UTC), +7d\n"
	"  updaterd --unhold [A|B]   upgrades again\n"
	"  updaterd --clear-quarantine [VERSION]\n"
	"                            lets a version in again that failed, or was rolled back\n"
	"  updaterd --reasons        the words of a result, explained\n"
	"  updaterd --version        the version of this program\n"
	"\n"
	"      --config FILE         instead of " CONF_PATH "\n"
	"      --json                one JSON object a line\n"
	"      --quiet               only warnings and errors\n"
	"\n"
	"Exit codes: 0 done or nothing to do, 1 failed, refused or rolled back, 2 usage,\n"
	"3 nothing new (--check), 75 try again later, 77 not permitted, 78 configuration.\n"
	"See updaterd(8) and updaterd.conf(5).\n";

/* ---- arguments ---- */

static int usage(const char *text, const char *what)
{
	log_error("%s%s%s (see updaterd --help)", text, what ? ": " : "", what ? what : "");
	return EXIT_USAGE;
}

/* An optional argument may stand after a space too, which getopt does not look for. */
static const char *optional(char **argv)
{
	if (!optarg && argv[optind] && argv[optind][0] != '-')
		return argv[optind++];
	return optarg;
}

static bool is_letter(const char *text)
{
	return text[0] >= 'A' && text[0] <= 'Z' && text[1] == '\0';
}

static int set_command(struct arguments *a, enum command command)
{
	if (a->command != COMMAND_CYCLE && a->command != command)
		return usage("one command at a time", NULL);
	a->command = command;
	return EXIT_OK;
}

static int set_program(struct arguments *a, const char *letter)
{
	if (letter && !is_letter(letter))
		return usage("not a program's letter", letter);
	if (letter)
		a->program = letter[0];
	return EXIT_OK;
}

static int set_program_command(struct arguments *a, enum command command, const char *letter)
{
	int code = set_command(a, command);

	return code == EXIT_OK ? set_program(a, letter) : code;
}

static int set_version(struct arguments *a, const char *text)
{
	if (!text)
		return set_command(a, COMMAND_VERSION);
	if (version_parse(text, &a->version) < 0)
		return usage("not a version", text);
	a->has_version = true;
	return EXIT_OK;
}

static int set_clear_quarantine(struct arguments *a, const char *text)
{
	int code = text ? set_version(a, text) : EXIT_OK;

	return code == EXIT_OK ? set_command(a, COMMAND_CLEAR_QUARANTINE) : code;
}

/* What it means is up to the time that the installer goes by. */
static int set_until(struct arguments *a, const char *text)
{
	uint64_t sec;

	if (until_parse(text, 0, &sec) < 0)
		return usage("not a time", text);
	a->until = text;
	return EXIT_OK;
}

static int set_history(struct arguments *a, const char *text)
{
	char *end = NULL;
	unsigned long n;

	if (text) {
		errno = 0;
		n = strtoul(text, &end, 10);
		if (errno || *end || n < 1 || n > HISTORY_MAX)
			return usage("--history takes a number from 1 to 200", text);
		a->history = (uint32_t)n;
	}
	return set_command(a, COMMAND_HISTORY);
}

static int take_option(struct arguments *a, int option, char **argv)
{
	switch (option) {
	case OPTION_CHECK: return set_command(a, COMMAND_CHECK);
	case OPTION_ROLLBACK: return set_program_command(a, COMMAND_ROLLBACK, optional(argv));
	case OPTION_STATUS: return set_command(a, COMMAND_STATUS);
	case OPTION_HISTORY: return set_history(a, optional(argv));
	case OPTION_INSTALL: a->directory = optarg; return set_command(a, COMMAND_INSTALL);
	case OPTION_REASONS: return set_command(a, COMMAND_REASONS);
	case OPTION_PROGRAM: return set_program(a, optarg);
	case OPTION_CONFIG: a->config = optarg; return EXIT_OK;
	case OPTION_JSON: a->json = true; return EXIT_OK;
	case OPTION_QUIET: a->quiet = true; return EXIT_OK;
	case OPTION_HELP: return set_command(a, COMMAND_HELP);
	case OPTION_VERSION: return set_version(a, optional(argv));
	case OPTION_INSTALLER: return set_command(a, COMMAND_INSTALLER);
	case OPTION_TRIAL: a->is_trial = true; return EXIT_OK;
	case OPTION_REACH: return set_command(a, COMMAND_REACH);
	case OPTION_MISSED: return set_command(a, COMMAND_MISSED);
	case OPTION_ADOPT: return set_program_command(a, COMMAND_ADOPT, optarg);
	case OPTION_DISOWN: return set_program_command(a, COMMAND_DISOWN, optarg);
	case OPTION_RECOVER: return set_command(a, COMMAND_RECOVER);
	case OPTION_CLEAR_QUARANTINE: return set_clear_quarantine(a, optional(argv));
	case OPTION_HOLD: return set_program_command(a, COMMAND_HOLD, optional(argv));
	case OPTION_UNHOLD: return set_program_command(a, COMMAND_UNHOLD, optional(argv));
	case OPTION_UNTIL: return set_until(a, optarg);
	default: return EXIT_USAGE; /* getopt has said why */
	}
}

static bool takes_program(enum command command)
{
	return command == COMMAND_INSTALL || command == COMMAND_ROLLBACK ||
	       command == COMMAND_ADOPT || command == COMMAND_DISOWN || command == COMMAND_HOLD ||
	       command == COMMAND_UNHOLD;
}

static int check_combination(const struct arguments *a)
{
	if (a->has_version && a->command != COMMAND_INSTALL &&
	    a->command != COMMAND_CLEAR_QUARANTINE)
		return usage("a version goes with --install only", a->version.text);
	if (a->program && !takes_program(a->command))
		return usage("a program goes with --install, --rollback, --hold and --unhold only",
			     NULL);
	if (a->until && a->command != COMMAND_HOLD)
		return usage("--until goes with --hold only", a->until);
	return EXIT_OK;
}

static int parse_arguments(int argc, char **argv, struct arguments *a)
{
	int option, code;

	a->config = CONF_PATH;
	a->history = HISTORY_DEFAULT;
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		code = take_option(a, option, argv);
		if (code != EXIT_OK)
			return code;
	}
	a->argv = argv;
	if (a->is_trial && a->command != COMMAND_INSTALLER) {
		code = set_command(a, COMMAND_TRIAL);
		if (code != EXIT_OK)
			return code;
	}
	if (optind < argc)
		return usage("not understood", argv[optind]);
	return check_combination(a);
}

/* ---- commands ---- */

static enum progress_style progress_style(const struct arguments *a)
{
	const char *terminal = getenv("TERM");

	if (a->quiet)
		return PROGRESS_QUIET;
	if (a->json)
		return PROGRESS_JSON;
	return isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb") != 0 ? PROGRESS_BAR
										  : PROGRESS_LINES;
}

/* A release that says it was just replaced, again and again, must come to an end: each run leaves one
 * letter more. */
static bool may_go_on_anew(void)
{
	const char *before = getenv(REPLACED_VARIABLE);
	char marks[REPLACED_MAX + 1];

	if (before && strlen(before) >= REPLACED_MAX)
		return false;
	(void)snprintf(marks, sizeof marks, "%sx", before ? before : "");
	return setenv(REPLACED_VARIABLE, marks, 1) == 0;
}

/* The same run, by the updater that is `current` now: what else is new comes with that one. */
static int go_on_anew(const struct conf *conf, const struct arguments *a)
{
	const struct conf_program *own = conf_program(conf, CONF_OWN_LETTER);
	_cleanup_free_ char *path = NULL;

	if (!own || !may_go_on_anew())
		return EXIT_OK;
	if (asprintf(&path, "%s/current/bin/updaterd", own->space) < 0) {
		path = NULL;
		log_error("out of memory");
		return EXIT_FAILED;
	}
	log_info("going on as the new updater");
	(void)execv(path, a->argv);
	log_error("cannot go on as '%s': %s", path, strerror(errno));
	return EXIT_FAILED;
}

static int run_cycle(const struct conf *conf, const struct arguments *a, struct progress *progress)
{
	int code = agent_user_become(conf);

	if (code == EXIT_OK)
		code = agent_run_once(conf, progress);
	return code == AGENT_REPLACED ? go_on_anew(conf, a) : code;
}

static int run_as_agent(const struct conf *conf, int (*agent)(const struct conf *conf))
{
	int code = agent_user_become(conf);

	return code == EXIT_OK ? agent(conf) : code;
}

static int run_check(const struct conf *conf, const struct arguments *a)
{
	int code = agent_user_become(conf);

	return code == EXIT_OK ? agent_check(conf, a->json) : code;
}

static int run_install(const struct conf *conf, const struct arguments *a,
		       struct progress *progress)
{
	_cleanup_(medium_closep) struct medium *medium = NULL;
	int code, r;

	if (a->program && a->has_version && a->version.program != a->program)
		return usage("--program and --version do not agree", a->version.text);
	r = medium_open(a->directory, &medium);
	if (r < 0) {
		log_error("'%s': %s", a->directory, strerror(-r));
		return EXIT_FAILED;
	}
	code = agent_user_become(conf);
	if (code != EXIT_OK)
		return code;
	return agent_install_from(conf, medium, a->program, a->has_version ? &a->version : NULL,
				  progress);
}

/* The roll back counts, not whether its result arrives at once: the next cycle sends it too. */
static int run_rollback(const struct conf *conf, const struct arguments *a,
			struct progress *progress)
{
	int code = command_rollback(conf, a->program ? a->program : 'B', progress);

	if ((code == EXIT_OK || code == EXIT_FAILED) && conf->url && geteuid() == 0 &&
	    agent_user_become(conf) == EXIT_OK && agent_deliver(conf) < 0)
		log_notice("the result will be sent with the next cycle");
	return code;
}

static int run(const struct arguments *a, const struct conf *conf)
{
	_cleanup_(progress_freep) struct progress *progress = NULL;

	if (progress_new(progress_style(a), stdout, &progress) < 0) {
		log_error("out of memory");
		return EXIT_FAILED;
	}
	switch (a->command) {
	case COMMAND_CYCLE: return run_cycle(conf, a, progress);
	case COMMAND_TRIAL: return run_as_agent(conf, agent_trial);
	case COMMAND_REACH: return run_as_agent(conf, agent_reach);
	case COMMAND_MISSED: return run_as_agent(conf, agent_look_whether_missed);
	case COMMAND_CHECK: return run_check(conf, a);
	case COMMAND_ROLLBACK: return run_rollback(conf, a, progress);
	case COMMAND_STATUS: return command_status(conf, a->json);
	case COMMAND_HISTORY: return command_history(a->history, a->json);
	case COMMAND_INSTALL: return run_install(conf, a, progress);
	case COMMAND_INSTALLER: return a->is_trial ? prove_serve(conf) : installer_serve(conf);
	case COMMAND_ADOPT: return installer_adopt(conf, a->program);
	case COMMAND_DISOWN: return installer_disown(conf, a->program);
	case COMMAND_RECOVER: return installer_recover(conf);
	case COMMAND_CLEAR_QUARANTINE:
		return installer_clear_quarantine(conf, a->has_version ? &a->version : NULL);
	case COMMAND_HOLD: return installer_hold(conf, a->program, a->until);
	case COMMAND_UNHOLD: return installer_unhold(conf, a->program);
	case COMMAND_REASONS:
	case COMMAND_HELP:
	case COMMAND_VERSION:
	default: return EXIT_USAGE;
	}
}

/* Commands that need no configuration. */
static bool run_simple(const struct arguments *a, int *ret_code)
{
	*ret_code = EXIT_OK;
	if (a->command == COMMAND_HELP)
		(void)fputs(help, stdout);
	else if (a->command == COMMAND_VERSION)
		(void)printf(a->json ? "{\"version\":\"%s\",\"project\":\"%s\"}\n"
				     : "updaterd %s (bms-gateway %s)\n",
			     updaterd_release_version, PROJECT_VERSION);
	else if (a->command == COMMAND_REASONS)
		*ret_code = command_reasons(a->json);
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	_cleanup_(conf_freep) struct conf *conf = NULL;
	_cleanup_free_ char *error = NULL;
	struct arguments arguments = { 0 };
	int code, r;

	log_set_name("updaterd");
	(void)umask(022);
	code = parse_arguments(argc, argv, &arguments);
	if (code != EXIT_OK)
		return code;
	if (arguments.quiet)
		log_set_level(LOG_WARNING);
	if (run_simple(&arguments, &code))
		return code;
	r = conf_load(arguments.config, &conf, &error);
	if (r < 0) {
		log_error("%s", error ? error : strerror(-r));
		return EXIT_CONFIG;
	}
	if (arguments.program && !conf_program(conf, arguments.program)) {
		log_error("there is no [program %c] in '%s'", arguments.program, arguments.config);
		return EXIT_CONFIG;
	}
	return run(&arguments, conf);
}
