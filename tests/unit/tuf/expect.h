/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests of the TUF client expect of it, over a repository in memory (tuf_repo.h): *state is a
 * struct repo, made by setup.
 */
#ifndef TESTS_UNIT_TUF_EXPECT_H
#define TESTS_UNIT_TUF_EXPECT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/reason.h"
#include "tuf/client.h"
#include "tuf_repo.h"

static inline int setup(void **state)
{
	*state = repo_new();
	return 0;
}

static inline int teardown(void **state)
{
	repo_free(*state);
	return 0;
}

static inline void expect_failure(struct tuf_client *c, int r, int error, enum reason reason,
				  const char *text)
{
	if (r != error || tuf_client_reason(c) != reason || !strstr(tuf_client_error(c), text))
		fail_msg("%d %s '%s', not %d %s '%s'", r, reason_name(tuf_client_reason(c)),
			 tuf_client_error(c), error, reason_name(reason), text);
}

static inline void refresh_at(struct repo *r, int64_t now_sec)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client_at(r, now_sec);
	int result = tuf_client_refresh(c);

	if (result < 0)
		fail_msg("refresh: %d %s", result, tuf_client_error(c));
}

static inline void refresh(struct repo *r)
{
	refresh_at(r, REPO_NOW_SEC);
}

static inline void expect_refused_at(struct repo *r, int64_t now_sec, int error, enum reason reason,
				     const char *text)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client_at(r, now_sec);

	expect_failure(c, tuf_client_refresh(c), error, reason, text);
}

static inline void expect_refused(struct repo *r, int error, enum reason reason, const char *text)
{
	expect_refused_at(r, REPO_NOW_SEC, error, reason, text);
}

static inline void expect_stored(struct repo *r, const char *local, const char *served)
{
	if (!files_equal(files_get(&r->local, local), files_get(&r->files, served)))
		fail_msg("%s is not what the server has as %s", local, served);
}

static inline void expect_not_stored(struct repo *r, const char *name)
{
	char line[160];

	(void)snprintf(line, sizeof line, "store %s\n", name);
	if (strstr(r->log, line))
		fail_msg("%s was stored", name);
}

static inline int find(struct tuf_client *c, const char *path, struct tuf_target *ret)
{
	int r = tuf_client_refresh(c);

	if (r < 0)
		fail_msg("refresh: %d %s", r, tuf_client_error(c));
	return tuf_client_find_target(c, path, ret);
}

static inline void expect_role(struct repo *r, const char *path, const char *role)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);
	struct tuf_target target;
	int result = find(c, path, &target);

	if (result < 0)
		fail_msg("%s: %d %s", path, result, tuf_client_error(c));
	assert_string_equal(target.path, path);
	assert_string_equal(target.role, role);
}

static inline void expect_not_found(struct repo *r, const char *path)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);
	struct tuf_target target;

	expect_failure(c, find(c, path, &target), -ENOENT, REASON_NO_TARGET, path);
}

static inline void expect_find_refused(struct repo *r, const char *path, int error,
				       enum reason reason, const char *text)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);
	struct tuf_target target;

	expect_failure(c, find(c, path, &target), error, reason, text);
}

#define repo_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
