/* SPDX-License-Identifier: Apache-2.0 */
#include "release/options.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"
#include "common/manifest.h"

static const char common_help[] =
	"\n"
	"Options of every verb:\n"
	"      --repo DIR             the release repository (default: '.')\n"
	"      --passphrase-file FILE the passphrase of encrypted keys is the first line of FILE;\n"
	"                             without it, it is asked for on the terminal\n"
	"      --pin-file FILE        the same for the PIN of a token\n"
	"      --json                 the answer as one line of JSON\n"
	"      --time SEC             take SEC (since 1970, UTC) for the present time; for tests "
	"and\n"
	"                             for metadata that can be made again byte for byte\n"
	"      --expires-sec SEC      everything signed by this run expires at SEC (since 1970, "
	"UTC),\n"
	"                             even if that is in the past; for tests\n"
	"      --help\n";

void options_init(struct options *o)
{
	*o = (struct options){ .repo = ".", .time_sec = -1 };
}

int options_usage(const struct options *o, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	log_error("%s; 'bms-release%s%s --help' tells more", text, o->verb ? " " : "",
		  o->verb ? o->verb->name : "");
	return RELEASE_USAGE;
}

int options_number(const char *option, const char *text, int64_t min, int64_t max, int64_t *ret)
{
	bool negative = *text == '-';
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || end == text || *end || !strchr("-0123456789", *text) ||
	    (negative && value == 0) || value < min || value > max) {
		log_error("--%s: '%s' is no number from %lld to %lld", option, text, (long long)min,
			  (long long)max);
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

static int take_number(const char *option, int64_t *ret, int *exit_code)
{
	if (options_number(option, optarg, 0, INT64_C(253402300799), ret) == 0)
		return 0;
	*exit_code = RELEASE_USAGE;
	return OPTION_STOP;
}

/* 0 to go on, OPTION_STOP, or OPTION_HELP where that is the caller's. */
static int take_common(struct options *o, int option, int *exit_code)
{
	*exit_code = RELEASE_OK;
	switch (option) {
	case OPTION_REPO: o->repo = optarg; return 0;
	case OPTION_PASSPHRASE_FILE: o->passphrase_file = optarg; return 0;
	case OPTION_PIN_FILE: o->pin_file = optarg; return 0;
	case OPTION_JSON: o->json = true; return 0;
	case OPTION_DRY_RUN: o->dry_run = true; return 0;
	case OPTION_TIME: return take_number("time", &o->time_sec, exit_code);
	case OPTION_EXPIRES_SEC: return take_number("expires-sec", &o->expires_sec, exit_code);
	case OPTION_VERSION: (void)puts("bms-release " PROJECT_VERSION); return OPTION_STOP;
	default:
		if (!o->verb)
			return OPTION_HELP;
		(void)printf("%s%s", o->verb->help, common_help);
		return OPTION_STOP;
	}
}

int options_next(struct options *o, int argc, char **argv, const char *short_options,
		 const struct option *table, int *exit_code)
{
	opterr = 0;
	for (;;) {
		int option = getopt_long(argc, argv, short_options, table, NULL);
		int r;

		if (option == -1)
			return OPTION_END;
		if (option == '?' || option == ':') {
			*exit_code = options_usage(
				o, option == ':' ? "'%s' needs an argument" : "unknown option '%s'",
				argv[optind - 1]);
			return OPTION_STOP;
		}
		if (option < OPTION_COMMON_FIRST || option >= OPTION_OWN)
			return option;
		r = take_common(o, option, exit_code);
		if (r != 0)
			return r;
	}
}

int64_t options_now_sec(const struct options *o)
{
	return o->time_sec >= 0 ? o->time_sec : (int64_t)time(NULL);
}

int options_open(const struct options *o, bool exclusive, struct repository **ret)
{
	struct repository_options options = {
		.exclusive = exclusive,
		.now_sec = options_now_sec(o),
		.expires_sec = o->expires_sec,
		.passphrase_file = o->passphrase_file,
		.pin_file = o->pin_file,
	};
	struct problem problem = { 0 };
	int r = repository_open(o->repo, &options, ret, &problem);

	if (r < 0)
		log_error("%s", problem.text);
	return r;
}

int options_print_json(const cJSON *json)
{
	_cleanup_free_ char *text = json ? json_print(json) : NULL;

	if (!text) {
		log_error("out of memory");
		return -ENOMEM;
	}
	(void)puts(text);
	return 0;
}

int options_release_id(const struct options *o, int option, struct release_id *id)
{
	switch (option) {
	case OPTION_PROGRAM:
		if (role_kind_from_name(optarg) != ROLE_PROGRAM)
			return options_usage(o, "--program: '%s' is no letter A to Z", optarg);
		id->program = optarg[0];
		return RELEASE_OK;
	case OPTION_RELEASE_VERSION:
		if (version_parse(optarg, &id->version) < 0)
			return options_usage(o,
					     "--version: '%s' is not a letter, a date and four "
					     "digits, like B202109010001",
					     optarg);
		return RELEASE_OK;
	default:
		if (!fs_is_safe_name(optarg) || strlen(optarg) > ARCH_MAX_LENGTH)
			return options_usage(o, "--arch: '%s' is no architecture", optarg);
		id->arch = optarg;
		return RELEASE_OK;
	}
}

int options_check_release_id(const struct options *o, const struct release_id *id)
{
	if (!id->program || !id->version.program || !id->arch)
		return options_usage(o, "--%s is missing",
				     !id->program	    ? "program"
				     : !id->version.program ? "version"
							    : "arch");
	if (id->version.program != id->program)
		return options_usage(o, "%s is no version of program %c: its letter is %c",
				     id->version.text, id->program, id->version.program);
	return RELEASE_OK;
}
