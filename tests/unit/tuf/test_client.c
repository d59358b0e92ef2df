/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "expect.h"
#include "tuf/canonical.h"

/* ---- the happy path ---- */

static void test_first_refresh(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);

	assert_int_equal(tuf_client_refresh(c), 0);
	assert_string_equal(r->log, "fetch 2.root.json\n"
				    "fetch timestamp.json\nstore timestamp.json\n"
				    "fetch 1.snapshot.json\nstore snapshot.json\n"
				    "fetch 1.targets.json\nstore targets.json\n");
	expect_stored(r, "timestamp.json", "timestamp.json");
	expect_stored(r, "snapshot.json", "1.snapshot.json");
	expect_stored(r, "targets.json", "1.targets.json");
	assert_int_equal(tuf_client_reason(c), REASON_NONE);
	assert_string_equal(tuf_client_error(c), "");
	assert_int_equal(tuf_client_role_version(c, "root"), 1);
	assert_int_equal(tuf_client_role_version(c, "targets"), 1);
	assert_int_equal(tuf_client_role_version(c, "B"), 0);
}

static void test_find_target(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);
	struct tuf_target target;
	uint8_t sha256[SHA256_BYTES];

	assert_int_equal(find(c, "B/b.tar.xz", &target), 0);
	assert_string_equal(target.path, "B/b.tar.xz");
	assert_string_equal(target.role, "B");
	assert_int_equal(target.length, 9);
	assert_int_equal(digest_sha256("program B", 9, sha256), 0);
	assert_memory_equal(target.sha256, sha256, sizeof sha256);
	assert_non_null(cJSON_GetObjectItemCaseSensitive(target.custom, "kind"));
	assert_int_equal(tuf_client_role_version(c, "B"), 1);
	expect_stored(r, "B.json", "1.B.json");
	assert_null(strstr(r->log, "A.json"));

	expect_failure(c, tuf_client_find_target(c, "B/none", &target), -ENOENT, REASON_NO_TARGET,
		       "B/none");
	expect_failure(c, tuf_client_find_target(c, "", &target), -ENOENT, REASON_NO_TARGET, "");
	assert_int_equal(tuf_client_find_target(c, "A/a.tar.xz", &target), 0);
}

static void test_second_refresh_uses_local(void **state)
{
	struct repo *r = *state;

	expect_role(r, "B/b.tar.xz", "B");
	expect_role(r, "B/b.tar.xz", "B");
	assert_string_equal(r->log, "fetch 2.root.json\nfetch timestamp.json\n");
}

/* One client, twice: what it keeps in memory is made anew. */
static void test_refresh_twice(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);
	struct tuf_target target;

	assert_int_equal(find(c, "B/b.tar.xz", &target), 0);
	repo_next(r);
	assert_int_equal(find(c, "B/b.tar.xz", &target), 0);
	assert_int_equal(tuf_client_role_version(c, "B"), 2);
	assert_int_equal(tuf_client_role_version(c, "timestamp"), 2);
}

static void test_nothing_kept(void **state)
{
	struct repo *r = *state;
	struct tuf_target target;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;

	r->source.load = NULL;
	r->source.store = NULL;
	c = repo_client(r);
	assert_int_equal(find(c, "B/b.tar.xz", &target), 0);
	assert_int_equal(r->local.n, 0);
}

static void test_without_consistent_snapshot(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	_cleanup_free_ char *name = NULL;
	struct tuf_target target;

	cJSON_DeleteItemFromObjectCaseSensitive(repo_role(r, "root")->body, "consistent_snapshot");
	r->is_consistent = false;
	files_clear(&r->files);
	repo_write(r, "root");
	repo_publish(r);
	c = repo_client(r);
	assert_int_equal(find(c, "B/b.tar.xz", &target), 0);
	assert_string_equal(r->log, "fetch 2.root.json\n"
				    "fetch timestamp.json\nstore timestamp.json\n"
				    "fetch snapshot.json\nstore snapshot.json\n"
				    "fetch targets.json\nstore targets.json\n"
				    "fetch B.json\nstore B.json\n");
	assert_int_equal(tuf_client_target_file(c, &target, &name), 0);
	assert_string_equal(name, "B/b.tar.xz");
}

static void test_target_file_names(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);
	_cleanup_free_ char *nested = NULL, *plain = NULL;
	struct tuf_target target = { .path = "B/x/b.tar.xz", .has_sha256 = true };
	char hex[] = "0000000000000000000000000000000000000000000000000000000000000000";
	char expected[128];

	assert_int_equal(tuf_client_target_file(c, &target, &nested), 0);
	(void)snprintf(expected, sizeof expected, "B/x/%s.b.tar.xz", hex);
	assert_string_equal(nested, expected);
	target.path = "b";
	assert_int_equal(tuf_client_target_file(c, &target, &plain), 0);
	(void)snprintf(expected, sizeof expected, "%s.b", hex);
	assert_string_equal(plain, expected);
}

static void test_without_hashes(void **state)
{
	struct repo *r = *state;

	r->has_hashes = false;
	repo_publish(r);
	expect_role(r, "B/b.tar.xz", "B");
}

static void test_new_versions(void **state)
{
	struct repo *r = *state;

	expect_role(r, "B/b.tar.xz", "B");
	repo_add_target(r, "B", "B/new", "new");
	repo_next(r);
	expect_role(r, "B/new", "B");
	expect_stored(r, "timestamp.json", "timestamp.json");
	expect_stored(r, "snapshot.json", "2.snapshot.json");
	expect_stored(r, "B.json", "2.B.json");
}

static void test_expires(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;

	repo_set_string(repo_role(r, "snapshot")->body, "expires", "2026-12-31T00:00:00Z");
	repo_publish(r);
	c = repo_client(r);
	assert_int_equal(tuf_client_expires_sec(c), 1798761600);
	assert_int_equal(tuf_client_refresh(c), 0);
	assert_int_equal(tuf_client_expires_sec(c), 1798675200);
}

static void test_find_needs_a_refresh(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);
	struct tuf_target target;

	expect_failure(c, tuf_client_find_target(c, "B/b.tar.xz", &target), -EINVAL,
		       REASON_INTERNAL, "refresh");
	assert_int_equal(tuf_client_refresh(c), 0);
	r->fail_fetch = "timestamp.json";
	r->fail_errno = -ETIMEDOUT;
	assert_int_equal(tuf_client_refresh(c), -ETIMEDOUT);
	expect_failure(c, tuf_client_find_target(c, "B/b.tar.xz", &target), -EINVAL,
		       REASON_INTERNAL, "refresh");
}

/* ---- the trusted root ---- */

static int client_from(struct repo *r, const char *bytes, size_t size)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;

	return tuf_client_new(bytes, size, REPO_NOW_SEC, &r->source, NULL, &c);
}

static void test_bad_trusted_root(void **state)
{
	struct repo *r = *state;
	const struct repo_file *root = files_get(&r->files, "1.root.json");
	const struct repo_file *targets = files_get(&r->files, "1.targets.json");
	_cleanup_free_ char *unsigned_root = NULL, *foreign = NULL;
	struct repo_key *other = repo_new_key(r);
	size_t size;

	assert_int_equal(client_from(r, root->bytes, root->size), 0);
	assert_int_equal(client_from(r, "", 0), -EBADMSG);
	assert_int_equal(client_from(r, "junk", 4), -EBADMSG);
	assert_int_equal(client_from(r, root->bytes, root->size - 1), -EBADMSG);
	assert_int_equal(client_from(r, targets->bytes, targets->size), -EBADMSG);
	unsigned_root = repo_sign(repo_role(r, "root")->body, NULL, 0, &size);
	assert_int_equal(client_from(r, unsigned_root, size), -EKEYREJECTED);
	foreign = repo_sign(repo_role(r, "root")->body, &other, 1, &size);
	assert_int_equal(client_from(r, foreign, size), -EKEYREJECTED);
}

/* ---- the root chain ---- */

static void test_root_chain_with_rotation(void **state)
{
	struct repo *r = *state;
	struct repo_key *old = repo_role(r, "root")->keys[0], *new = repo_new_key(r);
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;

	repo_root_says(r, "root", 1, 1, new);
	repo_set_signers(r, "root", 2, old, new);
	repo_next_root(r);
	repo_set_signers(r, "root", 1, new);
	repo_next_root(r);
	c = repo_client(r);
	assert_int_equal(tuf_client_refresh(c), 0);
	assert_int_equal(tuf_client_role_version(c, "root"), 3);
	assert_non_null(strstr(r->log, "fetch 2.root.json\n"
				       "store 2.root.json\nstore root.json\n"
				       "fetch 3.root.json\n"
				       "store 3.root.json\nstore root.json\n"
				       "fetch 4.root.json\nfetch timestamp.json\n"));
	expect_stored(r, "2.root.json", "2.root.json");
	expect_stored(r, "3.root.json", "3.root.json");
	expect_stored(r, "root.json", "3.root.json");
}

static void expect_root_refused(struct repo *r, const char *name, int error, enum reason reason,
				const char *text)
{
	expect_refused(r, error, reason, text);
	expect_not_stored(r, name);
}

static void test_root_not_signed_by_the_old(void **state)
{
	struct repo *r = *state;
	struct repo_key *new = repo_new_key(r);

	repo_root_says(r, "root", 1, 1, new);
	repo_set_signers(r, "root", 1, new);
	repo_next_root(r);
	expect_root_refused(r, "2.root.json", -EKEYREJECTED, REASON_BAD_SIGNATURE,
			    "2.root.json (version 2): signed by 0 of 1 needed keys");
	expect_not_stored(r, "root.json");
}

static void test_root_not_signed_by_itself(void **state)
{
	struct repo *r = *state;

	repo_root_says(r, "root", 1, 1, repo_new_key(r));
	repo_next_root(r);
	expect_root_refused(r, "2.root.json", -EKEYREJECTED, REASON_BAD_SIGNATURE,
			    "2.root.json (version 2): signed by 0 of 1 needed keys");
	expect_not_stored(r, "root.json");
}

static void test_root_skips_a_version(void **state)
{
	struct repo *r = *state;
	struct repo_file *f;

	repo_set_version(r, "root", 3);
	repo_write(r, "root");
	f = files_get(&r->files, "3.root.json");
	files_put(&r->files, "2.root.json", f->bytes, f->size);
	expect_root_refused(r, "2.root.json", -ESTALE, REASON_METADATA_ROLLBACK,
			    "2.root.json: has version 3, trusted before is 1");
}

static void test_root_replayed(void **state)
{
	struct repo *r = *state;
	struct repo_file *f = files_get(&r->files, "1.root.json");

	files_put(&r->files, "2.root.json", f->bytes, f->size);
	expect_root_refused(r, "2.root.json", -ESTALE, REASON_METADATA_ROLLBACK, "2.root.json");
}

static void test_root_malformed_or_unreachable(void **state)
{
	static char big[TUF_ROOT_MAX_BYTES + 1];
	struct repo *r = *state;

	files_put(&r->files, "2.root.json", "junk", 4);
	expect_root_refused(r, "2.root.json", -EBADMSG, REASON_BAD_METADATA, "2.root.json");
	files_put(&r->files, "2.root.json", big, sizeof big);
	expect_root_refused(r, "2.root.json", -EBADMSG, REASON_BAD_METADATA, "larger than");
	r->fail_fetch = "2.root.json";
	r->fail_errno = -ECONNREFUSED;
	expect_root_refused(r, "2.root.json", -ECONNREFUSED, REASON_NETWORK, "2.root.json");
}

static void test_root_expired(void **state)
{
	struct repo *r = *state;
	cJSON *body = repo_role(r, "root")->body;

	repo_set_string(body, "expires", REPO_PAST);
	repo_next_root(r);
	expect_refused(r, -ESTALE, REASON_EXPIRED, "root.json (version 2): expired at " REPO_PAST);
	/* One that has expired on the way to one that has not does no harm. */
	repo_set_string(body, "expires", REPO_EXPIRES);
	repo_next_root(r);
	refresh(r);
}

static void test_root_chain_interrupted(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;

	repo_next_root(r);
	repo_next_root(r);
	repo_next_root(r);
	r->fail_store = "3.root.json";
	r->fail_errno = -EIO;
	expect_refused(r, -EIO, REASON_IO, "3.root.json");
	assert_null(strstr(r->log, "fetch 4.root.json"));
	expect_stored(r, "root.json", "2.root.json");
	r->fail_store = NULL;
	c = repo_client(r);
	assert_int_equal(tuf_client_role_version(c, "root"), 2);
	assert_int_equal(tuf_client_refresh(c), 0);
	assert_int_equal(tuf_client_role_version(c, "root"), 4);
	assert_null(strstr(r->log, "fetch 2.root.json"));
}

/* ---- timestamp ---- */

static void test_timestamp_rolled_back(void **state)
{
	struct repo *r = *state;
	struct repo_file *f;

	repo_next(r);
	refresh(r);
	repo_set_version(r, "timestamp", 1);
	repo_write(r, "timestamp");
	expect_refused(r, -ESTALE, REASON_METADATA_ROLLBACK, "timestamp.json");
	expect_not_stored(r, "timestamp.json");
	f = files_get(&r->local, "timestamp.json");
	assert_non_null(strstr(f->bytes, "\"version\":2"));
}

static void test_snapshot_version_rolled_back_by_timestamp(void **state)
{
	struct repo *r = *state;

	repo_next(r);
	refresh(r);
	repo_set_version(r, "snapshot", 1);
	repo_set_version(r, "timestamp", 3);
	repo_publish(r);
	expect_refused(r, -ESTALE, REASON_METADATA_ROLLBACK, "snapshot.json version 1");
	expect_not_stored(r, "timestamp.json");
}

/* An expired local timestamp still counts against a rollback. */
static void test_expired_local_timestamp_counts(void **state)
{
	struct repo *r = *state;

	repo_set_string(repo_role(r, "timestamp")->body, "expires", "2026-09-22T00:00:00Z");
	repo_next(r);
	refresh(r);
	repo_set_string(repo_role(r, "timestamp")->body, "expires", REPO_EXPIRES);
	repo_set_version(r, "timestamp", 1);
	repo_write(r, "timestamp");
	expect_refused_at(r, REPO_NOW_SEC + 86400 * 10, -ESTALE, REASON_METADATA_ROLLBACK,
			  "timestamp.json");
}

/* Off for two months: all that is kept has expired, but for the root, and what is served has not. */
static void test_off_for_months(void **state)
{
	static const char *const roles[] = { "timestamp", "snapshot", "targets", "B" };
	struct repo *r = *state;

	for (size_t i = 0; i < ELEMENTSOF(roles); i++)
		repo_set_string(repo_role(r, roles[i])->body, "expires", "2026-09-22T00:00:00Z");
	repo_next(r);
	refresh(r);
	expect_refused_at(r, REPO_NOW_SEC + 86400 * 60, -ESTALE, REASON_EXPIRED, "timestamp.json");
	for (size_t i = 0; i < ELEMENTSOF(roles); i++)
		repo_set_string(repo_role(r, roles[i])->body, "expires", REPO_EXPIRES);
	repo_next(r);
	refresh_at(r, REPO_NOW_SEC + 86400 * 60);
}

/* The same version with another content: the one kept stands. */
static void test_timestamp_of_equal_version(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;

	refresh(r);
	repo_set_version(r, "snapshot", 2);
	repo_publish(r);
	c = repo_client(r);
	assert_int_equal(tuf_client_refresh(c), 0);
	assert_int_equal(tuf_client_role_version(c, "snapshot"), 1);
	expect_not_stored(r, "timestamp.json");
}

static void test_freeze(void **state)
{
	struct repo *r = *state;

	refresh(r);
	/* 1798761600 is REPO_EXPIRES: valid until the second before. */
	refresh_at(r, 1798761599);
	repo_set_string(repo_role(r, "root")->body, "expires", "2030-01-01T00:00:00Z");
	repo_next_root(r);
	expect_refused_at(r, 1798761600, -ESTALE, REASON_EXPIRED,
			  "timestamp.json (version 1): expired at " REPO_EXPIRES);
}

static void test_timestamp_expired(void **state)
{
	struct repo *r = *state;

	repo_set_string(repo_role(r, "timestamp")->body, "expires", REPO_PAST);
	repo_publish(r);
	expect_refused(r, -ESTALE, REASON_EXPIRED, "timestamp.json (version 1): expired");
	expect_not_stored(r, "timestamp.json");
}

static void test_timestamp_missing_large_unreachable(void **state)
{
	static char big[TUF_TIMESTAMP_MAX_BYTES + 1];
	struct repo *r = *state;

	files_put(&r->files, "timestamp.json", big, sizeof big);
	expect_refused(r, -EBADMSG, REASON_BAD_METADATA, "timestamp.json: larger than 16384 bytes");
	files_remove(&r->files, "timestamp.json");
	expect_refused(r, -EBADMSG, REASON_BAD_METADATA, "timestamp.json: not in the repository");
	r->fail_fetch = "timestamp.json";
	r->fail_errno = -ETIMEDOUT;
	expect_refused(r, -ETIMEDOUT, REASON_NETWORK, "timestamp.json: Connection timed out");
	assert_int_equal(r->local.n, 0);
}

/* ---- snapshot ---- */

static void test_snapshot_of_another_time(void **state)
{
	struct repo *r = *state;
	struct repo_file *f;

	repo_next(r);
	f = files_get(&r->files, "1.snapshot.json");
	files_put(&r->files, "2.snapshot.json", f->bytes, f->size);
	expect_refused(r, -EBADMSG, REASON_BAD_METADATA, "snapshot.json: not the file");
	expect_not_stored(r, "snapshot.json");
}

/* The same where the timestamp gives no hash: the version inside tells. */
static void test_snapshot_of_another_time_without_hashes(void **state)
{
	struct repo *r = *state;
	struct repo_file *f;

	r->has_hashes = false;
	repo_next(r);
	f = files_get(&r->files, "1.snapshot.json");
	files_put(&r->files, "2.snapshot.json", f->bytes, f->size);
	expect_refused(r, -EBADMSG, REASON_BAD_METADATA, "has version 1, meant is 2");
	expect_not_stored(r, "snapshot.json");
}

static void test_snapshot_longer_than_said(void **state)
{
	struct repo *r = *state;
	struct repo_file *f = files_get(&r->files, "1.snapshot.json");
	_cleanup_free_ char *longer = calloc(1, f->size + 1);

	assert_non_null(longer);
	memcpy(longer, f->bytes, f->size);
	longer[f->size] = '\n';
	files_put(&r->files, "1.snapshot.json", longer, f->size + 1);
	expect_refused(r, -EBADMSG, REASON_BAD_METADATA, "1.snapshot.json: larger than");
}

static void test_snapshot_expired(void **state)
{
	struct repo *r = *state;

	repo_set_string(repo_role(r, "snapshot")->body, "expires", REPO_PAST);
	repo_publish(r);
	expect_refused(r, -ESTALE, REASON_EXPIRED, "snapshot.json (version 1): expired");
	expect_not_stored(r, "snapshot.json");
}

static void check_rolled_back_in_snapshot(struct repo *r, const char *role)
{
	char text[64];

	repo_next(r);
	refresh(r);
	repo_next(r);
	repo_set_version(r, role, 1);
	repo_publish(r);
	(void)snprintf(text, sizeof text, "snapshot.json: %s.json version 1 is older than 2", role);
	expect_refused(r, -ESTALE, REASON_METADATA_ROLLBACK, text);
	expect_not_stored(r, "snapshot.json");
}

static void test_targets_rolled_back(void **state)
{
	check_rolled_back_in_snapshot(*state, "targets");
}

static void test_delegated_role_rolled_back(void **state)
{
	check_rolled_back_in_snapshot(*state, "B");
}

static void test_role_disappears(void **state)
{
	struct repo *r = *state;

	refresh(r);
	repo_role(r, "A")->is_unlisted = true;
	repo_next(r);
	expect_refused(r, -EBADMSG, REASON_BAD_METADATA, "A.json has disappeared");
	expect_not_stored(r, "snapshot.json");
}

/* An expired snapshot still counts against a rollback. */
static void test_expired_local_snapshot_counts(void **state)
{
	struct repo *r = *state;

	repo_set_string(repo_role(r, "snapshot")->body, "expires", "2026-09-22T00:00:00Z");
	repo_next(r);
	refresh(r);
	repo_set_string(repo_role(r, "snapshot")->body, "expires", REPO_EXPIRES);
	repo_next(r);
	repo_set_version(r, "B", 1);
	repo_publish(r);
	expect_refused_at(r, REPO_NOW_SEC + 86400 * 10, -ESTALE, REASON_METADATA_ROLLBACK,
			  "B.json version 1");
}

/* ---- targets ---- */

static void test_targets_of_another_time(void **state)
{
	struct repo *r = *state;
	struct repo_file *f;

	repo_next(r);
	f = files_get(&r->files, "1.targets.json");
	files_put(&r->files, "2.targets.json", f->bytes, f->size);
	expect_refused(r, -EBADMSG, REASON_BAD_METADATA, "targets.json: not the file");
	r->has_hashes = false;
	repo_publish(r);
	f = files_get(&r->files, "1.targets.json");
	files_put(&r->files, "2.targets.json", f->bytes, f->size);
	repo_set_version(r, "timestamp", 3);
	repo_write(r, "timestamp");
	files_clear(&r->local);
	expect_refused(r, -EBADMSG, REASON_BAD_METADATA, "targets.json: has version 1, meant is 2");
	expect_not_stored(r, "targets.json");
}

static void test_targets_expired(void **state)
{
	struct repo *r = *state;

	repo_set_string(repo_role(r, "targets")->body, "expires", REPO_PAST);
	repo_publish(r);
	expect_refused(r, -ESTALE, REASON_EXPIRED, "targets.json (version 1): expired");
	expect_not_stored(r, "targets.json");
}

static void test_targets_missing(void **state)
{
	struct repo *r = *state;

	files_remove(&r->files, "1.targets.json");
	expect_refused(r, -EBADMSG, REASON_BAD_METADATA, "1.targets.json: not in the repository");
}

/* A file of another role, well signed: the type tells. */
static void test_role_served_for_another(void **state)
{
	struct repo *r = *state;
	struct repo_key *shared = repo_new_key(r);
	struct repo_file *f;

	r->has_hashes = false;
	repo_root_says(r, "timestamp", 1, 1, shared);
	repo_root_says(r, "snapshot", 1, 1, shared);
	repo_set_signers(r, "timestamp", 1, shared);
	repo_set_signers(r, "snapshot", 1, shared);
	repo_next_root(r);
	repo_publish(r);
	f = files_get(&r->files, "timestamp.json");
	files_put(&r->files, "1.snapshot.json", f->bytes, f->size);
	expect_refused(r, -EBADMSG, REASON_BAD_METADATA, "_type");
}

/* ---- recovery from a fast-forward attack ---- */

/* Whoever held the online keys has signed versions that the repository will never reach. */
static void fast_forward(struct repo *r)
{
	repo_set_version(r, "timestamp", 100000);
	repo_set_version(r, "snapshot", 100000);
	repo_publish(r);
	refresh(r);
	repo_set_version(r, "timestamp", 2);
	repo_set_version(r, "snapshot", 2);
}

static void rotate(struct repo *r, const char *role)
{
	struct repo_key *new = repo_new_key(r);

	repo_root_says(r, role, 1, 1, new);
	repo_set_signers(r, role, 1, new);
}

static void test_fast_forward_without_rotation(void **state)
{
	struct repo *r = *state;

	fast_forward(r);
	repo_publish(r);
	expect_refused(r, -ESTALE, REASON_METADATA_ROLLBACK, "timestamp.json");
	repo_next_root(r);
	expect_refused(r, -ESTALE, REASON_METADATA_ROLLBACK, "timestamp.json");
}

static void check_recovery(struct repo *r)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;

	repo_next_root(r);
	repo_publish(r);
	c = repo_client(r);
	if (tuf_client_refresh(c) < 0)
		fail_msg("%s", tuf_client_error(c));
	assert_int_equal(tuf_client_role_version(c, "timestamp"), 2);
	assert_int_equal(tuf_client_role_version(c, "snapshot"), 2);
	assert_non_null(strstr(r->log, "fetch 2.root.json\nstore 2.root.json\n"
				       "void timestamp.json\nvoid snapshot.json\n"
				       "store root.json\n"));
}

static void test_fast_forward_recovery(void **state)
{
	fast_forward(*state);
	rotate(*state, "timestamp");
	rotate(*state, "snapshot");
	check_recovery(*state);
}

static void test_fast_forward_recovery_by_snapshot_key(void **state)
{
	fast_forward(*state);
	rotate(*state, "snapshot");
	check_recovery(*state);
}

static void test_fast_forward_recovery_by_timestamp_key(void **state)
{
	fast_forward(*state);
	rotate(*state, "timestamp");
	check_recovery(*state);
}

/* Cut off anywhere between the rotation and the new timestamp, the next run recovers. */
static void test_fast_forward_recovery_interrupted(void **state)
{
	static const char *const stores[] = { "2.root.json", "timestamp.json", "snapshot.json",
					      "root.json" };
	struct repo *r = *state;

	fast_forward(r);
	rotate(r, "snapshot");
	repo_next_root(r);
	repo_publish(r);
	for (size_t i = 0; i < ELEMENTSOF(stores); i++) {
		r->fail_store = stores[i];
		r->fail_errno = -EIO;
		expect_refused(r, -EIO, REASON_IO, stores[i]);
	}
	r->fail_store = NULL;
	r->fail_fetch = "timestamp.json";
	r->fail_errno = -ETIMEDOUT;
	expect_refused(r, -ETIMEDOUT, REASON_NETWORK, "timestamp.json");
	expect_stored(r, "root.json", "2.root.json");
	r->fail_fetch = NULL;
	refresh(r);
}

/* Where local copies can be read but not voided they are passed over. */
static void test_fast_forward_recovery_without_store(void **state)
{
	struct repo *r = *state;

	fast_forward(r);
	rotate(r, "snapshot");
	repo_next_root(r);
	repo_publish(r);
	r->source.store = NULL;
	refresh(r);
}

/* What was stored after the rotation counts again, in the same client too. */
static void test_rollback_after_recovery(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;

	rotate(r, "timestamp");
	repo_next_root(r);
	repo_next(r);
	c = repo_client(r);
	assert_int_equal(tuf_client_refresh(c), 0);
	repo_set_version(r, "timestamp", 1);
	repo_write(r, "timestamp");
	expect_failure(c, tuf_client_refresh(c), -ESTALE, REASON_METADATA_ROLLBACK,
		       "timestamp.json: its version 1 is older than 2");
}

/* A key added is no rotation. */
static void test_key_added_drops_nothing(void **state)
{
	struct repo *r = *state;
	struct repo_key *own = repo_role(r, "timestamp")->keys[0];

	fast_forward(r);
	repo_root_says(r, "timestamp", 1, 2, own, repo_new_key(r));
	repo_next_root(r);
	repo_publish(r);
	expect_refused(r, -ESTALE, REASON_METADATA_ROLLBACK, "timestamp.json");
	assert_null(strstr(r->log, "void"));
}

/* ---- what the conformance of a client is about ---- */

/* What passed before a failure is kept, what comes after it is not asked for. */
static void test_failure_keeps_what_passed(void **state)
{
	static const struct {
		const char *missing, *last;
		bool has_timestamp, has_snapshot;
	} cases[] = {
		{ "timestamp.json", "fetch timestamp.json\n", false, false },
		{ "1.snapshot.json", "fetch 1.snapshot.json\n", true, false },
		{ "1.targets.json", "fetch 1.targets.json\n", true, true },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct repo *r = *state;
		const struct repo_file *f = files_get(&r->files, cases[i].missing);
		_cleanup_free_ char *bytes = strndup(f->bytes, f->size);
		size_t size = f->size;

		files_remove(&r->files, cases[i].missing);
		files_clear(&r->local);
		r->log[0] = '\0';
		expect_refused(r, -EBADMSG, REASON_BAD_METADATA, "not in the repository");
		assert_string_equal(r->log + strlen(r->log) - strlen(cases[i].last), cases[i].last);
		assert_int_equal(!!files_get(&r->local, "timestamp.json"), cases[i].has_timestamp);
		assert_int_equal(!!files_get(&r->local, "snapshot.json"), cases[i].has_snapshot);
		assert_null(files_get(&r->local, "targets.json"));
		files_put(&r->files, cases[i].missing, bytes, size);
	}
}

/* A snapshot with every sign of a timestamp but its type. */
static void test_snapshot_passed_off_as_timestamp(void **state)
{
	struct repo *r = *state;
	cJSON *body = cJSON_Duplicate(repo_role(r, "timestamp")->body, true);
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	repo_set_string(body, "_type", "snapshot");
	bytes = repo_sign(body, repo_role(r, "timestamp")->keys, 1, &size);
	files_put(&r->files, "timestamp.json", bytes, size);
	expect_refused(r, -EBADMSG, REASON_BAD_METADATA, "timestamp.json: malformed: signed._type");
	expect_not_stored(r, "timestamp.json");
	cJSON_Delete(body);
}

/* To the byte as served, not as we would write it: hashes are of those bytes. */
static void test_kept_as_served(void **state)
{
	struct repo *r = *state;
	const struct repo_file *f = files_get(&r->files, "timestamp.json");
	_cleanup_free_ char *padded = NULL;

	assert_true(asprintf(&padded, " %s \n", f->bytes) > 0);
	files_put(&r->files, "timestamp.json", padded, strlen(padded));
	refresh(r);
	expect_stored(r, "timestamp.json", "timestamp.json");
}

static void test_root_expired_is_kept(void **state)
{
	struct repo *r = *state;

	refresh(r);
	repo_set_string(repo_role(r, "root")->body, "expires", REPO_PAST);
	repo_next_root(r);
	repo_next(r);
	r->log[0] = '\0';
	expect_refused(r, -ESTALE, REASON_EXPIRED, "root.json (version 2)");
	expect_stored(r, "root.json", "2.root.json");
	assert_null(strstr(r->log, "timestamp"));
}

/* An old root, long expired, leads to one that is not. */
static void test_expired_trusted_root(void **state)
{
	struct repo *r = *state;

	repo_set_string(repo_role(r, "root")->body, "expires", REPO_PAST);
	repo_write(r, "root");
	expect_refused(r, -ESTALE, REASON_EXPIRED, "root.json (version 1)");
	repo_set_string(repo_role(r, "root")->body, "expires", REPO_EXPIRES);
	repo_next_root(r);
	refresh(r);
}

static void test_time_is_fixed(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *early = NULL, *late = NULL;

	repo_set_string(repo_role(r, "timestamp")->body, "expires", "2026-09-22T00:00:00Z");
	repo_publish(r);
	early = repo_client_at(r, REPO_NOW_SEC);
	late = repo_client_at(r, REPO_NOW_SEC + 2 * 86400);
	assert_int_equal(tuf_client_refresh(early), 0);
	expect_failure(late, tuf_client_refresh(late), -ESTALE, REASON_EXPIRED, "timestamp.json");
	assert_int_equal(tuf_client_refresh(early), 0);
}

static void test_hash_of_unknown_kind(void **state)
{
	struct repo *r = *state;
	cJSON *meta = cJSON_GetObjectItemCaseSensitive(repo_role(r, "snapshot")->body, "meta");
	cJSON *entry = cJSON_GetObjectItemCaseSensitive(meta, "targets.json");
	cJSON *hashes = cJSON_GetObjectItemCaseSensitive(entry, "hashes");

	r->has_hashes = false;
	repo_set_string(hashes, "blake3", "00");
	repo_write(r, "snapshot");
	repo_set_version(r, "timestamp", 2);
	cJSON_DeleteItemFromObjectCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(repo_role(r, "timestamp")->body, "meta"),
		"snapshot.json");
	repo_set_number(cJSON_AddObjectToObject(cJSON_GetObjectItemCaseSensitive(
							repo_role(r, "timestamp")->body, "meta"),
						"snapshot.json"),
			"version", 1);
	repo_write(r, "timestamp");
	refresh(r); /* beside one that is known */
	files_clear(&r->local);
	cJSON_DeleteItemFromObjectCaseSensitive(hashes, "sha256");
	repo_write(r, "snapshot");
	expect_refused(r, -EBADMSG, REASON_BAD_METADATA, "targets.json: not the file");
}

/* ---- limits ---- */

static struct tuf_client *limited(struct repo *r, const struct tuf_limits *limits)
{
	const struct repo_file *root = files_get(&r->local, "root.json");
	struct tuf_client *c = NULL;

	if (!root)
		root = files_get(&r->files, "1.root.json");
	assert_int_equal(
		tuf_client_new(root->bytes, root->size, REPO_NOW_SEC, &r->source, limits, &c), 0);
	return c;
}

static void test_limits_of_bytes(void **state)
{
	static const char *const names[] = { "2.root.json", "timestamp.json", "1.snapshot.json",
					     "1.targets.json" };
	struct repo *r = *state;

	r->has_hashes = false;
	repo_publish(r);
	repo_next_root(r);
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		struct tuf_limits limits = TUF_LIMITS_DEFAULT;
		size_t *const bytes[] = { &limits.root_bytes, &limits.timestamp_bytes,
					  &limits.snapshot_bytes, &limits.targets_bytes };
		_cleanup_(tuf_client_freep) struct tuf_client *tight = NULL, *exact = NULL;

		files_clear(&r->local);
		*bytes[i] = files_get(&r->files, names[i])->size - 1;
		tight = limited(r, &limits);
		expect_failure(tight, tuf_client_refresh(tight), -EBADMSG, REASON_BAD_METADATA,
			       names[i]);
		++*bytes[i];
		exact = limited(r, &limits);
		assert_int_equal(tuf_client_refresh(exact), 0);
	}
}

/* Those that were too many today are read at the next refresh. */
static void test_limit_of_rotations(void **state)
{
	struct repo *r = *state;
	struct tuf_limits limits = TUF_LIMITS_DEFAULT;

	limits.root_rotations = 2;
	for (unsigned i = 0; i < 3; i++)
		repo_next_root(r);
	for (unsigned version = 3; version <= 4; version++) {
		_cleanup_(tuf_client_freep) struct tuf_client *c = limited(r, &limits);

		assert_int_equal(tuf_client_refresh(c), 0);
		assert_int_equal(tuf_client_role_version(c, "root"), version);
	}
}

/* What an error tells goes to logs and results: no stranger's bytes in it. */
static void test_errors_are_printable(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);
	struct tuf_target target;

	assert_int_equal(find(c, "C/\n\x1b[2J\xc3\xa9\x7f", &target), -ENOENT);
	assert_string_equal(tuf_client_error(c), "C/??[2J???: no role signs for it");
}

/* ---- every byte ---- */

static cJSON *parse_json(const char *bytes, size_t size)
{
	cJSON *json = NULL;

	if (json_parse(bytes, size, NULL, &json, NULL) < 0)
		fail_msg("what was accepted is no JSON");
	return json;
}

/* What is signed and the signatures are the same: the change means nothing. */
static bool means_the_same(const char *before, const char *after, size_t size)
{
	_cleanup_json_ cJSON *a = parse_json(before, size), *b = parse_json(after, size);
	static const char *const members[] = { "signed", "signatures" };
	bool same = true;

	for (size_t i = 0; i < ELEMENTSOF(members); i++) {
		_cleanup_free_ char *left = NULL, *right = NULL;
		size_t n;

		assert_int_equal(
			tuf_canonical(cJSON_GetObjectItemCaseSensitive(a, members[i]), &left, &n),
			0);
		assert_int_equal(
			tuf_canonical(cJSON_GetObjectItemCaseSensitive(b, members[i]), &right, &n),
			0);
		same = same && strcmp(left, right) == 0;
	}
	return same;
}

static bool is_accepted(struct repo *r)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);
	struct tuf_target target;

	return tuf_client_refresh(c) == 0 && tuf_client_find_target(c, "B/b.tar.xz", &target) == 0;
}

/* Changes each byte in turn: its lowest bit, the bit of upper and lower case, the highest bit. */
static unsigned sweep(struct repo *r, const char *name)
{
	static const int masks[] = { 0x01, 0x20, 0x80 };
	struct repo_file *f = files_get(&r->files, name);
	_cleanup_free_ char *good = malloc(f->size);
	unsigned n_accepted = 0;

	assert_non_null(good);
	memcpy(good, f->bytes, f->size);
	for (size_t i = 0; i < f->size; i++) {
		for (size_t j = 0; j < ELEMENTSOF(masks); j++) {
			f->bytes[i] = (char)(good[i] ^ masks[j]);
			files_clear(&r->local);
			if (!is_accepted(r))
				continue;
			if (!means_the_same(good, f->bytes, f->size))
				fail_msg("%s: byte %zu ^ 0x%02x was accepted", name, i,
					 (unsigned)masks[j]);
			n_accepted++;
		}
		f->bytes[i] = good[i];
	}
	return n_accepted;
}

/* Puts white space and a member that is neither signed nor a signature around what there is. */
static void loosen(struct repo *r, const char *name)
{
	const struct repo_file *f = files_get(&r->files, name);
	_cleanup_free_ char *text = NULL;

	assert_true(asprintf(&text, "{ \"note\":\"ab\",%.*s\n", (int)f->size - 1, f->bytes + 1) >
		    0);
	files_put(&r->files, name, text, strlen(text));
}

static void test_every_byte(void **state)
{
	struct repo *r = *state;

	repo_next_root(r);
	loosen(r, "2.root.json");
	loosen(r, "timestamp.json");
	assert_true(is_accepted(r));
	/* Only in these two, which no other file vouches for, can a change be without meaning. */
	assert_true(sweep(r, "2.root.json") > 0);
	assert_true(sweep(r, "timestamp.json") > 0);
	assert_int_equal(sweep(r, "1.snapshot.json"), 0);
	assert_int_equal(sweep(r, "1.targets.json"), 0);
	assert_int_equal(sweep(r, "1.B.json"), 0);
	files_clear(&r->local);
	assert_true(is_accepted(r));
}

/* Without hashes in snapshot and timestamp the signatures alone must do. */
static void test_every_byte_without_hashes(void **state)
{
	struct repo *r = *state;

	r->has_hashes = false;
	repo_publish(r);
	assert_true(is_accepted(r));
	assert_int_equal(sweep(r, "1.snapshot.json"), 0);
	assert_int_equal(sweep(r, "1.targets.json"), 0);
	assert_int_equal(sweep(r, "1.B.json"), 0);
}

static void test_every_truncation(void **state)
{
	static const char *const names[] = { "timestamp.json", "1.snapshot.json", "1.targets.json",
					     "1.B.json" };
	struct repo *r = *state;

	r->has_hashes = false;
	repo_publish(r);
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		struct repo_file *f = files_get(&r->files, names[i]);
		size_t whole = f->size;

		for (f->size = 0; f->size < whole; f->size++) {
			files_clear(&r->local);
			assert_false(is_accepted(r));
		}
	}
	files_clear(&r->local);
	assert_true(is_accepted(r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		repo_test(test_first_refresh),
		repo_test(test_find_target),
		repo_test(test_second_refresh_uses_local),
		repo_test(test_refresh_twice),
		repo_test(test_nothing_kept),
		repo_test(test_without_consistent_snapshot),
		repo_test(test_target_file_names),
		repo_test(test_without_hashes),
		repo_test(test_new_versions),
		repo_test(test_expires),
		repo_test(test_find_needs_a_refresh),
		repo_test(test_bad_trusted_root),
		repo_test(test_root_chain_with_rotation),
		repo_test(test_root_not_signed_by_the_old),
		repo_test(test_root_not_signed_by_itself),
		repo_test(test_root_skips_a_version),
		repo_test(test_root_replayed),
		repo_test(test_root_malformed_or_unreachable),
		repo_test(test_root_expired),
		repo_test(test_root_chain_interrupted),
		repo_test(test_timestamp_rolled_back),
		repo_test(test_snapshot_version_rolled_back_by_timestamp),
		repo_test(test_expired_local_timestamp_counts),
		repo_test(test_off_for_months),
		repo_test(test_timestamp_of_equal_version),
		repo_test(test_freeze),
		repo_test(test_timestamp_expired),
		repo_test(test_timestamp_missing_large_unreachable),
		repo_test(test_snapshot_of_another_time),
		repo_test(test_snapshot_of_another_time_without_hashes),
		repo_test(test_snapshot_longer_than_said),
		repo_test(test_snapshot_expired),
		repo_test(test_targets_rolled_back),
		repo_test(test_delegated_role_rolled_back),
		repo_test(test_role_disappears),
		repo_test(test_expired_local_snapshot_counts),
		repo_test(test_targets_of_another_time),
		repo_test(test_targets_expired),
		repo_test(test_targets_missing),
		repo_test(test_role_served_for_another),
		repo_test(test_fast_forward_without_rotation),
		repo_test(test_fast_forward_recovery),
		repo_test(test_fast_forward_recovery_by_snapshot_key),
		repo_test(test_fast_forward_recovery_by_timestamp_key),
		repo_test(test_fast_forward_recovery_interrupted),
		repo_test(test_fast_forward_recovery_without_store),
		repo_test(test_rollback_after_recovery),
		repo_test(test_key_added_drops_nothing),
		repo_test(test_failure_keeps_what_passed),
		repo_test(test_snapshot_passed_off_as_timestamp),
		repo_test(test_kept_as_served),
		repo_test(test_root_expired_is_kept),
		repo_test(test_expired_trusted_root),
		repo_test(test_time_is_fixed),
		repo_test(test_hash_of_unknown_kind),
		repo_test(test_limits_of_bytes),
		repo_test(test_limit_of_rotations),
		repo_test(test_errors_are_printable),
		repo_test(test_every_byte),
		repo_test(test_every_byte_without_hashes),
		repo_test(test_every_truncation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
