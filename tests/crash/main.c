/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cuts the installer where it can be cut, lets it recover, and looks whether all invariants hold.
 *
 *	crash death|errors|blocks|double [--scenario=NAME] [--fs=ext4] [--seed=N] [--states=N] …
 *	crash image FILE --fs=ext4 --scenario=NAME …	one kept state of a disk again
 *	crash list [--scenario=NAME]			the calls of a scenario, or the scenarios
 */
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>

#include "blocks.h"
#include "campaign.h"
#include "common/fsutil.h"
#include "common/log.h"
#include "process.h"
#include "tracer.h"

struct options {
	struct campaign campaign;
	const char *fs;
	struct image_facts image;
};

static int usage(void)
{
	(void)fprintf(stderr,
		      "crash death|errors|blocks|double|list|image FILE\n"
		      "  --scenario=NAME  one only        --seed=N    of what is random\n"
		      "  --fs=NAME        ext4 xfs btrfs  --states=N  of each file system; calls\n"
		      "  --at=N           one cut only    --error=E   one error only\n"
		      "  --jobs=N --keep=DIRECTORY --stop-at-first\n");
	return 2;
}

static int error_of(const char *name)
{
	for (unsigned e = 0; e < TRACE_KINDS; e++)
		if (strcmp(trace_error_name(e), name) == 0)
			return (int)e;
	return -1;
}

enum option_word {
	OPT_SCENARIO,
	OPT_SEED,
	OPT_STATES,
	OPT_FS,
	OPT_AT,
	OPT_ERROR,
	OPT_JOBS,
	OPT_KEEP,
	OPT_STOP,
	OPT_RECORDED,
	OPT_ENDED,
	OPT_RESCUE,
};

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option words[] = {
		{ "scenario", required_argument, NULL, OPT_SCENARIO },
		{ "seed", required_argument, NULL, OPT_SEED },
		{ "states", required_argument, NULL, OPT_STATES },
		{ "fs", required_argument, NULL, OPT_FS },
		{ "at", required_argument, NULL, OPT_AT },
		{ "error", required_argument, NULL, OPT_ERROR },
		{ "jobs", required_argument, NULL, OPT_JOBS },
		{ "keep", required_argument, NULL, OPT_KEEP },
		{ "stop-at-first", no_argument, NULL, OPT_STOP },
		{ "recorded", no_argument, NULL, OPT_RECORDED },
		{ "ended", required_argument, NULL, OPT_ENDED },
		{ "rescue", no_argument, NULL, OPT_RESCUE },
		{ 0 },
	};
	struct campaign *c = &o->campaign;
	int word;

	while ((word = getopt_long(argc, argv, "", words, NULL)) != -1)
		switch (word) {
		case OPT_SCENARIO: c->scenario = optarg; break;
		case OPT_SEED: c->seed = strtoull(optarg, NULL, 0); break;
		case OPT_STATES: c->states = strtoull(optarg, NULL, 0); break;
		case OPT_FS: o->fs = optarg; break;
		case OPT_AT: c->at = strtol(optarg, NULL, 0); break;
		case OPT_ERROR: c->error = error_of(optarg); break;
		case OPT_JOBS: c->jobs = (unsigned)strtoul(optarg, NULL, 0); break;
		case OPT_KEEP: (void)snprintf(c->keep, sizeof c->keep, "%s", optarg); break;
		case OPT_STOP: c->stop_at_first = true; break;
		case OPT_RECORDED: o->image.is_recorded = true; break;
		case OPT_RESCUE: o->image.has_rescue = true; break;
		case OPT_ENDED: o->image.ended = outcome_from_name(optarg); break;
		default: return -EINVAL;
		}
	return c->jobs > 0 && (!c->scenario || scenario_find(c->scenario)) ? 0 : -EINVAL;
}

/* ---- a machine of our own ---- */

static int write_text(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fs_write_all(fd, text, strlen(text));
}

/* Who is not root becomes it here, for the files of this run only. */
static int enter_namespaces(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int r;

	if (uid == 0 && unshare(CLONE_NEWNS) == 0)
		return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
	if (uid == 0)
		return 0;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return -errno;
	(void)snprintf(map, sizeof map, "0 %u 1\n", (unsigned)uid);
	r = write_text("/proc/self/uid_map", map);
	if (r == 0)
		r = write_text("/proc/self/setgroups", "deny");
	(void)snprintf(map, sizeof map, "0 %u 1\n", (unsigned)gid);
	return r < 0 ? r : write_text("/proc/self/gid_map", map);
}

static int make_directory(char *ret, size_t size)
{
	(void)snprintf(ret, size, "/dev/shm/crash-XXXXXX");
	if (mkdtemp(ret))
		return 0;
	(void)snprintf(ret, size, "/tmp/crash-XXXXXX");
	return mkdtemp(ret) ? 0 : -errno;
}

static void for_each(struct campaign *c, void (*run)(struct campaign *c, const struct scenario *s))
{
	for (size_t i = 0; i < n_scenarios; i++)
		if (!c->scenario || strcmp(c->scenario, scenarios[i].name) == 0)
			if (!c->stop_at_first || c->n_failed == 0)
				run(c, &scenarios[i]);
}

static void list_scenarios(void)
{
	for (size_t i = 0; i < n_scenarios; i++)
		(void)printf("%-16s %s\n", scenarios[i].name, scenarios[i].what);
}

static int run(struct options *o, const char *what, const char *file)
{
	struct campaign *c = &o->campaign;

	if (strcmp(what, "death") == 0)
		for_each(c, process_death);
	else if (strcmp(what, "errors") == 0)
		for_each(c, process_errors);
	else if (strcmp(what, "list") == 0 && c->scenario)
		for_each(c, process_list);
	else if (strcmp(what, "list") == 0)
		list_scenarios();
	else if (strcmp(what, "blocks") == 0)
		blocks_run(c, o->fs, false);
	else if (strcmp(what, "double") == 0)
		blocks_run(c, o->fs, true);
	else if (strcmp(what, "image") == 0 && file && c->scenario)
		blocks_again(c, o->fs, file, &o->image);
	else
		return usage();
	return c->n_failed > 0;
}

static bool is_of_blocks(const char *what)
{
	return strcmp(what, "blocks") == 0 || strcmp(what, "double") == 0;
}

int main(int argc, char **argv)
{
	struct options o = { .campaign = { .at = -1, .error = -1, .jobs = 2 }, .fs = "ext4" };
	struct campaign *c = &o.campaign;
	struct inputs *inputs;
	double began = campaign_now_sec();
	int r;

	c->program = argv[0];
	c->seed = (uint64_t)time(NULL);
	log_set_level(LOG_CRIT);
	if (parse_options(argc, argv, &o) < 0 || optind >= argc)
		return usage();
	r = enter_namespaces();
	if (r < 0 || make_directory(c->directory, sizeof c->directory) < 0) {
		campaign_skip(argv[optind], "neither root nor a user namespace: %s", strerror(-r));
		return 77;
	}
	/* What fails while a disk is full fails by itself, not by a signal. */
	(void)signal(SIGXFSZ, SIG_IGN);
	inputs = inputs_new();
	log_set_level(getenv("DEBUG") ? LOG_DEBUG : LOG_EMERG);
	c->inputs = inputs;
	r = run(&o, argv[optind], argv[optind + 1]);
	inputs_free(inputs);
	(void)!fs_remove_tree(AT_FDCWD, c->directory);
	if (c->n_passed + c->n_failed > 0)
		(void)printf("%s%s%s: %" PRIu64 " in %.0f s, %.1f/s, seed %" PRIu64
			     ": %u passed, %u failed\n",
			     argv[optind], is_of_blocks(argv[optind]) ? " " : "",
			     is_of_blocks(argv[optind]) ? o.fs : "", c->n_checked,
			     campaign_now_sec() - began,
			     (double)c->n_checked / (campaign_now_sec() - began), c->seed,
			     c->n_passed, c->n_failed);
	return r;
}
