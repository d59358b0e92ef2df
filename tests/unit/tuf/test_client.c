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
#include "tuf/canonical.h"
#include "tuf/client.h"
#include "tuf_repo.h"

static int setup(void **state)
{
	*state = repo_new();
	return 0;
}

static int teardown(void **state)
{
	repo_free(*state);
	return 0;
}

/* ---- what a test expects ---- */

static void expect_failure(struct tuf_client *c, int r, int error, enum reason reason,
			   const char *text)
{
	if (r != error || tuf_client_reason(c) != reason || !strstr(tuf_client_error(c), text))
		fail_msg("%d %s '%s', not %d %s '%s'", r, reason_name(tuf_client_reason(c)),
			 tuf_client_error(c), error, reason_name(reason), text);
}

static void refresh_at(struct repo *r, int64_t now_sec)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client_at(r, now_sec);
	int result = tuf_client_refresh(c);

	if (result < 0)
		fail_msg("refresh: %d %s", result, tuf_client_error(c));
}

static void refresh(struct repo *r)
{
	refresh_at(r, REPO_NOW_SEC);
}

static void expect_refused_at(struct repo *r, int64_t now_sec, int error, enum reason reason,
			      const char *text)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client_at(r, now_sec);

	expect_failure(c, tuf_client_refresh(c), error, reason, text);
}

static void expect_refused(struct repo *r, int error, enum reason reason, const char *text)
{
	expect_refused_at(r, REPO_NOW_SEC, error, reason, text);
}

static void expect_stored(struct repo *r, const char *local, const char *served)
{
	if (!files_equal(files_get(&r->local, local), files_get(&r->files, served)))
		fail_msg("%s is not what the server has as %s", local, served);
}

static void expect_not_stored(struct repo *r, const char *name)
{
	char line[160];

	(void)snprintf(line, sizeof line, "store %s\n", name);
	if (strstr(r->log, line))
		fail_msg("%s was stored", name);
}

static int find(struct tuf_client *c, const char *path, struct tuf_target *ret)
{
	int r = tuf_client_refresh(c);

	if (r < 0)
		fail_msg("refresh: %d %s", r, tuf_client_error(c));
	return tuf_client_find_target(c, path, ret);
}

static void expect_role(struct repo *r, const char *path, const char *role)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);
	struct tuf_target target;
	int result = find(c, path, &target);

	if (result < 0)
		fail_msg("%s: %d %s", path, result, tuf_client_error(c));
	assert_string_equal(target.path, path);
	assert_string_equal(target.role, role);
}

static void expect_not_found(struct repo *r, const char *path)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);
	struct tuf_target target;

	expect_failure(c, find(c, path, &target), -ENOENT, REASON_NO_TARGET, path);
}

static void expect_find_refused(struct repo *r, const char *path, int error, enum reason reason,
				const char *text)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);
	struct tuf_target target;

	expect_failure(c, find(c, path, &target), error, reason, text);
}

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
	expect_root_refused(r, "2.root.json", -EBADMSG, REASON_BAD_METADATA, "has version 3");
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

/* ---- thresholds ---- */

static void test_threshold(void **state)
{
	struct repo *r = *state;
	struct repo_key *first = repo_role(r, "timestamp")->keys[0], *second = repo_new_key(r);

	repo_root_says(r, "timestamp", 2, 2, first, second);
	repo_next_root(r);
	expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE,
		       "timestamp.json (version 1): signed by 1 of 2 needed keys");
	repo_set_signers(r, "timestamp", 2, first, first);
	repo_publish(r);
	expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, "signed by 1 of 2");
	repo_set_signers(r, "timestamp", 2, first, repo_new_key(r));
	repo_publish(r);
	expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, "signed by 1 of 2");
	repo_set_signers(r, "timestamp", 2, second, first);
	repo_publish(r);
	refresh(r);
}

/* One key under two key ids, both of them listed and both signed with. */
static void test_one_key_with_two_ids(void **state)
{
	struct repo *r = *state;
	struct repo_key *first = repo_role(r, "timestamp")->keys[0];
	struct repo_key twin = *first;

	memset(twin.id, 'e', SHA256_HEX_LENGTH);
	repo_root_says(r, "timestamp", 2, 2, first, &twin);
	repo_next_root(r);
	repo_set_signers(r, "timestamp", 2, first, &twin);
	repo_publish(r);
	expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, "signed by 1 of 2");
}

static void test_key_id_listed_twice(void **state)
{
	struct repo *r = *state;
	struct repo_key *first = repo_role(r, "timestamp")->keys[0];

	repo_root_says(r, "timestamp", 2, 2, first, first);
	repo_next_root(r);
	expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, "signed by 1 of 2");
}

/* A bad signature before the good one of the same key does not hide it. */
static void test_bad_signature_beside_a_good_one(void **state)
{
	struct repo *r = *state;
	struct repo_key *good = repo_role(r, "timestamp")->keys[0], liar = *repo_new_key(r);

	memcpy(liar.id, good->id, sizeof liar.id);
	repo_set_signers(r, "timestamp", 2, &liar, good);
	repo_publish(r);
	refresh(r);
	files_clear(&r->local);
	repo_set_signers(r, "timestamp", 1, &liar);
	repo_publish(r);
	expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, "signed by 0 of 1");
}

/* A key of the root that the role does not list. */
static void test_key_of_another_role(void **state)
{
	static const char *const roles[] = { "timestamp", "snapshot", "targets" };
	struct repo *r = *state;

	for (size_t i = 0; i < ELEMENTSOF(roles); i++) {
		struct repo_role *role = repo_role(r, roles[i]);
		struct repo_key *own = role->keys[0];
		char text[64];

		role->keys[0] = repo_role(r, "root")->keys[0];
		repo_publish(r);
		(void)snprintf(text, sizeof text,
			       "%s.json (version 1): signed by 0 of 1 needed keys", roles[i]);
		expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, text);
		(void)snprintf(text, sizeof text, "%s.json", roles[i]);
		expect_not_stored(r, text);
		role->keys[0] = own;
		files_clear(&r->local);
	}
}

static void test_other_kinds_of_keys(void **state)
{
	struct repo *r = *state;
	struct repo_key *p256 = repo_key_new(REPO_P256), *rsa = repo_key_new(REPO_RSA);

	repo_root_says(r, "timestamp", 1, 1, p256);
	repo_root_says(r, "snapshot", 1, 1, rsa);
	repo_set_signers(r, "timestamp", 1, p256);
	repo_set_signers(r, "snapshot", 1, rsa);
	repo_next_root(r);
	repo_publish(r);
	refresh(r);
	repo_key_free(p256);
	repo_key_free(rsa);
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
	assert_non_null(strstr(r->log, "fetch 2.root.json\n"
				       "void timestamp.json\nvoid snapshot.json\n"
				       "store 2.root.json\nstore root.json\n"));
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
	static const char *const stores[] = { "timestamp.json", "snapshot.json", "2.root.json",
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

/* ---- local copies ---- */

static const char *const kept[] = { "timestamp.json", "snapshot.json", "targets.json", "B.json" };

static void test_damaged_local_copies(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} junk[] = { { "", 0 }, { "junk", 4 }, { "{}", 2 }, { "\0\0\0", 3 }, { "{\"signed\"", 9 } };
	struct repo *r = *state;

	expect_role(r, "B/b.tar.xz", "B");
	for (size_t i = 0; i < ELEMENTSOF(kept); i++) {
		for (size_t j = 0; j < ELEMENTSOF(junk); j++) {
			files_put(&r->local, kept[i], junk[j].bytes, junk[j].size);
			expect_role(r, "B/b.tar.xz", "B");
			assert_true(files_get(&r->local, kept[i])->size > 100);
		}
	}
}

static void test_truncated_local_copies(void **state)
{
	struct repo *r = *state;

	expect_role(r, "B/b.tar.xz", "B");
	for (size_t i = 0; i < ELEMENTSOF(kept); i++) {
		size_t whole = files_get(&r->local, kept[i])->size;

		for (size_t size = 0; size < whole; size += 97) {
			files_get(&r->local, kept[i])->size = size;
			expect_role(r, "B/b.tar.xz", "B");
			assert_int_equal(files_get(&r->local, kept[i])->size, whole);
		}
	}
}

/* Local copies that carry the right names but were signed by others are as if they were not there. */
static void test_local_copies_of_others(void **state)
{
	struct repo *r = *state, *other = repo_new();

	for (unsigned i = 0; i < 8; i++)
		repo_next(other);
	expect_role(other, "B/b.tar.xz", "B");
	for (size_t i = 0; i < ELEMENTSOF(kept); i++) {
		const struct repo_file *f = files_get(&other->local, kept[i]);

		files_put(&r->local, kept[i], f->bytes, f->size);
	}
	expect_role(r, "B/b.tar.xz", "B");
	expect_stored(r, "timestamp.json", "timestamp.json");
	repo_free(other);
}

static void test_store_fails(void **state)
{
	static const struct {
		int error;
		enum reason reason;
	} faults[] = { { -EIO, REASON_IO }, { -ENOSPC, REASON_NO_SPACE } };
	struct repo *r = *state;

	for (size_t i = 0; i < 3; i++) {
		for (size_t j = 0; j < ELEMENTSOF(faults); j++) {
			files_clear(&r->local);
			r->fail_store = kept[i];
			r->fail_errno = faults[j].error;
			expect_refused(r, faults[j].error, faults[j].reason, kept[i]);
		}
	}
}

/* ---- delegations ---- */

static void test_delegated_role_with_the_wrong_key(void **state)
{
	struct repo *r = *state;

	repo_set_signers(r, "B", 1, repo_role(r, "A")->keys[0]);
	repo_publish(r);
	expect_find_refused(r, "B/b.tar.xz", -EKEYREJECTED, REASON_BAD_SIGNATURE,
			    "B.json (version 1): signed by 0 of 1 needed keys");
	expect_not_stored(r, "B.json");
	/* It is no harm to the other program. */
	expect_role(r, "A/a.tar.xz", "A");
}

static void test_delegated_role_expired(void **state)
{
	struct repo *r = *state;

	repo_set_string(repo_role(r, "B")->body, "expires", REPO_PAST);
	repo_publish(r);
	expect_find_refused(r, "B/b.tar.xz", -ESTALE, REASON_EXPIRED, "B.json (version 1)");
	expect_not_stored(r, "B.json");
}

static void test_delegated_role_of_another_time(void **state)
{
	struct repo *r = *state;
	struct repo_file *f;

	repo_next(r);
	f = files_get(&r->files, "1.B.json");
	files_put(&r->files, "2.B.json", f->bytes, f->size);
	expect_find_refused(r, "B/b.tar.xz", -EBADMSG, REASON_BAD_METADATA, "B.json: not the file");
	expect_not_stored(r, "B.json");
}

static void test_delegated_role_not_in_snapshot(void **state)
{
	struct repo *r = *state;

	repo_role(r, "B")->is_unlisted = true;
	repo_publish(r);
	expect_find_refused(r, "B/b.tar.xz", -EBADMSG, REASON_BAD_METADATA,
			    "snapshot.json (version 1): does not list B.json");
}

/* A missing file must not be taken for a target that does not exist. */
static void test_delegated_role_missing(void **state)
{
	struct repo *r = *state;

	files_remove(&r->files, "1.B.json");
	expect_find_refused(r, "B/b.tar.xz", -EBADMSG, REASON_BAD_METADATA,
			    "1.B.json: not in the repository");
}

/* A role may list anything; it is heard only for what was delegated to it. */
static void test_role_beyond_its_paths(void **state)
{
	struct repo *r = *state;

	repo_add_target(r, "A", "B/evil", "evil");
	repo_add_target(r, "A", "evil", "evil");
	repo_add_target(r, "A", "A/deep/evil", "evil");
	repo_publish(r);
	expect_not_found(r, "B/evil");
	expect_not_found(r, "evil");
	expect_not_found(r, "A/deep/evil");
}

static void test_order_of_roles(void **state)
{
	struct repo *r = *state;

	(void)repo_delegate(r, "targets", "second", "B/*", NULL);
	repo_add_target(r, "second", "B/b.tar.xz", "usurper");
	repo_add_target(r, "second", "B/only-here", "x");
	repo_add_target(r, "targets", "A/a.tar.xz", "top");
	repo_publish(r);
	expect_role(r, "B/b.tar.xz", "B");
	expect_role(r, "B/only-here", "second");
	expect_role(r, "A/a.tar.xz", "targets");
}

static void test_terminating(void **state)
{
	struct repo *r = *state;
	cJSON *first = repo_delegate(r, "targets", "first", "C/*", NULL);

	(void)repo_delegate(r, "targets", "second", "C/*", NULL);
	(void)repo_delegate(r, "first", "child", "C/*", NULL);
	repo_add_target(r, "second", "C/x", "x");
	repo_add_target(r, "child", "C/y", "y");
	repo_publish(r);
	expect_role(r, "C/x", "second");

	cJSON_ReplaceItemInObjectCaseSensitive(first, "terminating", cJSON_CreateTrue());
	repo_next(r);
	expect_not_found(r, "C/x");
	expect_role(r, "C/y", "child");
	/* It ends the search for the paths that it matches, no others. */
	(void)repo_delegate(r, "targets", "third", "D/*", NULL);
	repo_add_target(r, "third", "D/x", "x");
	repo_next(r);
	expect_role(r, "D/x", "third");
}

static void test_terminating_below(void **state)
{
	struct repo *r = *state;
	cJSON *child;

	(void)repo_delegate(r, "targets", "first", "C/*", NULL);
	(void)repo_delegate(r, "targets", "second", "C/*", NULL);
	child = repo_delegate(r, "first", "child", "C/*", NULL);
	cJSON_ReplaceItemInObjectCaseSensitive(child, "terminating", cJSON_CreateTrue());
	repo_add_target(r, "second", "C/x", "x");
	repo_publish(r);
	expect_not_found(r, "C/x");
}

static void test_depth_first(void **state)
{
	struct repo *r = *state;

	(void)repo_delegate(r, "targets", "first", "C/*", NULL);
	(void)repo_delegate(r, "targets", "second", "C/*", NULL);
	(void)repo_delegate(r, "first", "child", "C/x*", NULL);
	repo_add_target(r, "second", "C/x", "x");
	repo_add_target(r, "second", "C/y", "x");
	repo_add_target(r, "child", "C/x", "x");
	repo_add_target(r, "child", "C/y", "x");
	repo_publish(r);
	expect_role(r, "C/x", "child");
	expect_role(r, "C/y", "second");
}

static void test_cycle(void **state)
{
	struct repo *r = *state;

	(void)repo_delegate(r, "targets", "first", "C/*", NULL);
	(void)repo_delegate(r, "first", "other", "C/*", NULL);
	(void)repo_delegate(r, "other", "first", "C/*", NULL);
	(void)repo_delegate(r, "other", "other", "C/*", NULL);
	repo_publish(r);
	expect_not_found(r, "C/x");
	repo_add_target(r, "other", "C/x", "x");
	(void)repo_delegate(r, "targets", "after", "C/*", NULL);
	repo_add_target(r, "after", "C/y", "y");
	repo_next(r);
	expect_role(r, "C/x", "other");
	expect_role(r, "C/y", "after");
}

static void test_at_most_so_many_roles(void **state)
{
	struct repo *r = *state;
	char name[16];

	for (unsigned i = 0; i < TUF_MAX_DELEGATED_ROLES + 1; i++) {
		(void)snprintf(name, sizeof name, "role%u", i);
		(void)repo_delegate(r, "targets", name, "C/*", NULL);
	}
	repo_add_target(r, name, "C/last", "x");
	(void)snprintf(name, sizeof name, "role%u", TUF_MAX_DELEGATED_ROLES - 1);
	repo_add_target(r, name, "C/last-but-one", "x");
	repo_publish(r);
	expect_role(r, "C/last-but-one", name);
	expect_not_found(r, "C/last");
	(void)snprintf(name, sizeof name, "fetch 1.role%u", TUF_MAX_DELEGATED_ROLES);
	assert_null(strstr(r->log, name));
}

/* Each of two delegating roles has named a key of its own: both must have signed. */
static void test_role_of_two_delegators(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	struct tuf_target target;

	(void)repo_delegate(r, "targets", "C", "C/*", NULL);
	(void)repo_delegate(r, "targets", "D", "D/*", NULL);
	(void)repo_delegate(r, "C", "shared", "C/*", NULL);
	(void)repo_delegate(r, "D", "shared", "D/*", repo_new_key(r));
	repo_add_target(r, "shared", "C/x", "x");
	repo_add_target(r, "shared", "D/x", "x");
	repo_publish(r);
	c = repo_client(r);
	assert_int_equal(find(c, "C/x", &target), 0);
	expect_failure(c, tuf_client_find_target(c, "D/x", &target), -EKEYREJECTED,
		       REASON_BAD_SIGNATURE, "shared.json (version 1): signed by 0 of 1");
}

static void test_hash_prefixes(void **state)
{
	struct repo *r = *state;
	cJSON *role = repo_delegate(r, "targets", "bin", "x", NULL), *prefixes;
	uint8_t sha256[SHA256_BYTES];
	char hex[SHA256_HEX_LENGTH + 1], prefix[4];

	assert_int_equal(digest_sha256("C/x", 3, sha256), 0);
	hex_encode(sha256, sizeof sha256, hex);
	memcpy(prefix, hex, 3);
	prefix[3] = '\0';
	cJSON_DeleteItemFromObjectCaseSensitive(role, "paths");
	prefixes = cJSON_AddArrayToObject(role, "path_hash_prefixes");
	cJSON_AddItemToArray(prefixes, cJSON_CreateString(prefix));
	repo_add_target(r, "bin", "C/x", "x");
	repo_add_target(r, "bin", "C/y", "x");
	repo_publish(r);
	expect_role(r, "C/x", "bin");
	expect_not_found(r, "C/y");
}

/* ---- each target ---- */

struct seen {
	char text[1024];
	int stop_after;
};

static int see(const struct tuf_target *target, void *userdata)
{
	struct seen *seen = userdata;
	size_t used = strlen(seen->text);

	(void)snprintf(seen->text + used, sizeof seen->text - used, "%s:%s ", target->role,
		       target->path);
	return --seen->stop_after == 0 ? 42 : 0;
}

static void test_each_target(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	struct seen all = {}, first = { .stop_after = 1 };

	(void)repo_delegate(r, "B", "nested", "B/n*", NULL);
	repo_add_target(r, "nested", "B/nested", "x");
	repo_add_target(r, "nested", "B/not-heard", "x");
	repo_add_target(r, "B", "B/not-heard", "x");
	repo_add_target(r, "nested", "B/x", "x");
	repo_add_target(r, "A", "B/evil", "x");
	repo_add_target(r, "targets", "top", "x");
	repo_publish(r);
	c = repo_client(r);
	expect_failure(c, tuf_client_each_target(c, see, &all), -EINVAL, REASON_INTERNAL,
		       "refresh");
	assert_int_equal(tuf_client_refresh(c), 0);
	assert_int_equal(tuf_client_each_target(c, see, &all), 0);
	assert_string_equal(all.text, "targets:top A:A/a.tar.xz B:B/b.tar.xz B:B/not-heard "
				      "nested:B/nested ");
	assert_int_equal(tuf_client_reason(c), REASON_NONE);
	assert_int_equal(tuf_client_each_target(c, see, &first), 42);
	assert_string_equal(first.text, "targets:top ");
}

static void test_each_target_with_a_bad_role(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	struct seen all = {};

	repo_set_signers(r, "B", 1, repo_role(r, "A")->keys[0]);
	repo_publish(r);
	c = repo_client(r);
	assert_int_equal(tuf_client_refresh(c), 0);
	expect_failure(c, tuf_client_each_target(c, see, &all), -EKEYREJECTED, REASON_BAD_SIGNATURE,
		       "B.json");
	assert_string_equal(all.text, "");
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

#define repo_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
		repo_test(test_threshold),
		repo_test(test_one_key_with_two_ids),
		repo_test(test_key_id_listed_twice),
		repo_test(test_bad_signature_beside_a_good_one),
		repo_test(test_key_of_another_role),
		repo_test(test_other_kinds_of_keys),
		repo_test(test_timestamp_rolled_back),
		repo_test(test_snapshot_version_rolled_back_by_timestamp),
		repo_test(test_expired_local_timestamp_counts),
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
		repo_test(test_damaged_local_copies),
		repo_test(test_truncated_local_copies),
		repo_test(test_local_copies_of_others),
		repo_test(test_store_fails),
		repo_test(test_delegated_role_with_the_wrong_key),
		repo_test(test_delegated_role_expired),
		repo_test(test_delegated_role_of_another_time),
		repo_test(test_delegated_role_not_in_snapshot),
		repo_test(test_delegated_role_missing),
		repo_test(test_role_beyond_its_paths),
		repo_test(test_order_of_roles),
		repo_test(test_terminating),
		repo_test(test_terminating_below),
		repo_test(test_depth_first),
		repo_test(test_cycle),
		repo_test(test_at_most_so_many_roles),
		repo_test(test_role_of_two_delegators),
		repo_test(test_hash_prefixes),
		repo_test(test_each_target),
		repo_test(test_each_target_with_a_bad_role),
		repo_test(test_every_byte),
		repo_test(test_every_byte_without_hashes),
		repo_test(test_every_truncation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
