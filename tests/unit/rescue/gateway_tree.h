/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway as the rescue sees it, below a scratch directory: the installer's directory, the spaces of A
 * and B with three releases each, their factory releases, and the file that says where all that is.
 *
 *	releases V1 V2 V3   current -> V3   previous -> V2   factory: V1
 */
#ifndef TESTS_RESCUE_GATEWAY_TREE_H
#define TESTS_RESCUE_GATEWAY_TREE_H

#include "scratch.h"

#include <stdio.h>

#include "updaterd/journal.h"
#include "updaterd/rescue.h"

#define B1 "B202107010001"
#define B2 "B202108010001"
#define B3 "B202109010001"
#define A1 "A202107010001"
#define A2 "A202108010001"
#define A3 "A202109010001"

#define MANIFEST                                                                                   \
	"{\"_type\":\"release\",\"files\":[{\"path\":\"bin/program\",\"mode\":\"0755\"}]}\n"

static char restarted[256];

static inline void note_restart(const char *unit)
{
	size_t used = strlen(restarted);

	(void)snprintf(restarted + used, sizeof restarted - used, "%s ", unit);
}

static inline void put_release(int dirfd, const char *space, const char *version)
{
	char path[512];

	(void)snprintf(path, sizeof path, "%s/%s/release.json", space, version);
	scratch_text(dirfd, path, MANIFEST, 0644);
	(void)snprintf(path, sizeof path, "%s/%s/bin/program", space, version);
	scratch_text(dirfd, path, "#!/bin/true\n", 0755);
}

static inline void put_space(int dirfd, const char *space, const char *const versions[3])
{
	static const char *const links[] = { NULL, "previous", "current" };
	char releases[16], link[32], to[64];

	(void)snprintf(releases, sizeof releases, "%s/releases", space);
	for (size_t i = 0; i < 3; i++) {
		put_release(dirfd, releases, versions[i]);
		if (!links[i])
			continue;
		(void)snprintf(link, sizeof link, "%s/%s", space, links[i]);
		(void)snprintf(to, sizeof to, "releases/%s", versions[i]);
		assert_int_equal(symlinkat(to, dirfd, link), 0);
	}
}

static inline void put_tree(struct scratch *s)
{
	char text[512];

	assert_int_equal(mkdirat(s->dirfd, "installer", 0700), 0);
	put_space(s->dirfd, "a", (const char *[]){ A1, A2, A3 });
	put_space(s->dirfd, "b", (const char *[]){ B1, B2, B3 });
	put_release(s->dirfd, "factory", "a");
	put_release(s->dirfd, "factory", "b");
	(void)snprintf(text, sizeof text,
		       "A %s/a %s/factory/a\nB %s/b %s/factory/b bmsd.service and=more\n", s->path,
		       s->path, s->path, s->path);
	scratch_text(s->dirfd, "installer/programs", text, 0600);
	restarted[0] = '\0';
}

static inline int tree_setup(void **state)
{
	(void)scratch_setup(state);
	put_tree(*state);
	return 0;
}

/* Everything of a tree but its directory goes, and a new one is put. */
static inline void renew_tree(struct scratch *s)
{
	static const char *const names[] = { "installer", "a", "b", "factory", "elsewhere" };

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		assert_int_equal(fs_remove_tree(s->dirfd, names[i]), 0);
	put_tree(s);
}

/* Where a link of the tree leads, "" if it is none. */
static inline const char *target(const struct scratch *s, const char *link)
{
	static char text[4][256];
	static unsigned next;
	char *ret = text[next++ % 4];
	ssize_t n = readlinkat(s->dirfd, link, ret, sizeof text[0] - 1);

	ret[n < 0 ? 0 : n] = '\0';
	return ret;
}

static inline void point(const struct scratch *s, const char *link, const char *to)
{
	assert_int_equal(fs_remove_tree(s->dirfd, link), 0);
	assert_int_equal(symlinkat(to, s->dirfd, link), 0);
}

static inline struct rescue rescue_of(const struct scratch *s)
{
	static char dir[128];

	(void)snprintf(dir, sizeof dir, "%s/installer", s->path);
	return (struct rescue){ .installer_dir = dir,
				.defaults = "Q /nonexistent/space -\n",
				.restart = note_restart };
}

/* The journal gets these keys, NULL-terminated pairs. */
static inline void put_journal(const struct scratch *s, const char *const pairs[])
{
	_cleanup_close_ int fd = openat(s->dirfd, "installer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct journal *j = NULL;

	assert_int_equal(journal_open(fd, &j), 0);
	for (size_t i = 0; pairs[i]; i += 2)
		assert_int_equal(journal_set(j, pairs[i], pairs[i + 1]), 0);
	assert_int_equal(journal_write(j), 0);
	(void)journal_close(j);
}

/* A value of the journal as it is on the disk, "" if there is none. */
static inline const char *journaled(const struct scratch *s, const char *key)
{
	static char text[4][256];
	static unsigned next;
	char *ret = text[next++ % 4];
	_cleanup_close_ int fd = openat(s->dirfd, "installer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(journal_closep) struct journal *j = NULL;

	assert_int_equal(journal_load(fd, &j), 0);
	(void)snprintf(ret, sizeof text[0], "%s", journal_get(j, key) ? journal_get(j, key) : "");
	return ret;
}

static inline uint64_t journal_writes(const struct scratch *s)
{
	_cleanup_close_ int fd = openat(s->dirfd, "installer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(journal_closep) struct journal *j = NULL;

	assert_int_equal(journal_load(fd, &j), 0);
	return journal_sequence(j);
}

/* B's upgrade from B2 to B3 as the journal has it, in this state. */
static inline void put_attempt(const struct scratch *s, const char *state)
{
	const char *const pairs[] = { "txid",
				      "6b1f0f8e-0000-4000-8000-000000000000",
				      "kind",
				      "upgrade",
				      "program",
				      "B",
				      "from",
				      B2,
				      "to",
				      B3,
				      "reason",
				      "none",
				      "zeta",
				      "of a newer one",
				      "state",
				      state,
				      "before_previous",
				      B1,
				      NULL };

	put_journal(s, pairs);
}

#endif
