/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A release repository for one test, made by the verbs of bms-release themselves: programs A and B,
 * the clock fixed at SITE_NOW_SEC. `site_verb(site, verb_add, "--program", "B", …)` runs a verb as the
 * command line would.
 */
#ifndef TESTS_RELEASE_SITE_H
#define TESTS_RELEASE_SITE_H

#include <stdio.h>

#include "release/options.h"
#include "release/repository.h"
#include "scratch.h"

#define SITE_NOW_SEC	INT64_C(1795305600) /* 2026-11-22 */
#define SITE_PASSPHRASE "correct horse battery staple"
#define SITE_DAY_SEC	86400

struct site {
	struct scratch *scratch;
	char repo[96];
	char tree[96];	     /* a small program: bin/bmsd, etc/bmsd.conf */
	char passphrase[96]; /* a file */
	int64_t now_sec;
};

/* Runs a verb; the arguments end with NULL. What it prints is thrown away. */
static inline int site_run(const struct site *site,
			   int (*verb)(struct options *o, int argc, char **argv),
			   const char *const *arguments)
{
	char *argv[32] = { (char[]){ "verb" } };
	const struct verb self = { .name = "verb", .help = "" };
	struct options o;
	int argc = 1, r, saved, null;

	for (; *arguments; arguments++) {
		assert_true(argc < 31);
		argv[argc++] = strdup(*arguments);
		assert_non_null(argv[argc - 1]);
	}
	options_init(&o);
	o.verb = &self;
	o.repo = site->repo;
	o.passphrase_file = site->passphrase;
	o.time_sec = site->now_sec;
	optind = 0;
	(void)fflush(stdout);
	saved = dup(STDOUT_FILENO);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert_true(saved >= 0 && null >= 0 && dup2(null, STDOUT_FILENO) >= 0);
	r = verb(&o, argc, argv);
	(void)fflush(stdout);
	assert_true(dup2(saved, STDOUT_FILENO) >= 0);
	(void)close(saved);
	(void)close(null);
	while (argc > 1)
		free(argv[--argc]);
	return r;
}

#define site_verb(site, verb, ...)                                                                 \
	site_run(site, verb, (const char *const[]){ "--repo", (site)->repo, ##__VA_ARGS__, NULL })

#define site_add(site, version, ...)                                                               \
	site_verb(site, verb_add, "--program", (const char[]){ *(version), 0 }, "--version",       \
		  version, "--arch", "amd64", ##__VA_ARGS__)

static inline void site_path(const struct site *site, const char *name, char *ret, size_t size)
{
	int n = snprintf(ret, size, "%s/%s", site->repo, name);

	assert_true(n > 0 && (size_t)n < size);
}

/* Without a repository yet. */
static inline int site_setup_empty(void **state)
{
	struct site *site = calloc(1, sizeof *site);

	assert_non_null(site);
	assert_int_equal(scratch_setup((void **)&site->scratch), 0);
	site->now_sec = SITE_NOW_SEC;
	(void)snprintf(site->repo, sizeof site->repo, "%s/repo", site->scratch->path);
	(void)snprintf(site->tree, sizeof site->tree, "%s/tree", site->scratch->path);
	(void)snprintf(site->passphrase, sizeof site->passphrase, "%s/pass", site->scratch->path);
	scratch_text(site->scratch->dirfd, "pass", SITE_PASSPHRASE "\n", 0600);
	scratch_text(site->scratch->dirfd, "tree/bin/bmsd", "#!/bin/sh\necho 1\n", 0755);
	scratch_text(site->scratch->dirfd, "tree/etc/bmsd.conf", "[bmsd]\n", 0644);
	*state = site;
	return 0;
}

/* Deriving the keys' encryption takes a third of a second each, on purpose: init runs once for all
 * tests of a program, and each gets a copy. */
static struct site *site_template;

static inline int site_group_setup(void **state)
{
	(void)state;
	assert_int_equal(site_setup_empty((void **)&site_template), 0);
	assert_int_equal(site_verb(site_template, verb_init, "--programs", "A,B"), RELEASE_OK);
	return 0;
}

static inline void site_copy(const char *from, const char *to)
{
	char command[1024];

	(void)snprintf(command, sizeof command, "rm -rf %s && cp -a %s %s", to, from, to);
	assert_int_equal(system(command), 0);
}

static inline int site_setup(void **state)
{
	struct site *site;

	assert_int_equal(site_setup_empty(state), 0);
	site = *state;
	site_copy(site_template->repo, site->repo);
	return 0;
}

static inline int site_teardown(void **state)
{
	struct site *site = *state;

	assert_int_equal(scratch_teardown((void **)&site->scratch), 0);
	free(site);
	return 0;
}

static inline int site_group_teardown(void **state)
{
	(void)state;
	return site_teardown((void **)&site_template);
}

/* Opens the site's repository; every failure fails the test. */
static inline struct repository *site_open(const struct site *site)
{
	const struct repository_options options = {
		.exclusive = true,
		.now_sec = site->now_sec,
		.passphrase_file = site->passphrase,
	};
	struct repository *r = NULL;
	struct problem problem = { 0 };

	if (repository_open(site->repo, &options, &r, &problem) < 0)
		fail_msg("%s", problem.text);
	return r;
}

/* Changes one byte of a file in the repository's directory. */
static inline void site_flip(const struct site *site, const char *name, off_t offset)
{
	char path[512];
	unsigned char byte;
	int fd;

	site_path(site, name, path, sizeof path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
	assert_int_equal(close(fd), 0);
}

#endif
