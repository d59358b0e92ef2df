/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing who signs: each kind of role, and what clients see of it afterwards. After every publishing
 * the directory is judged by the client's own code, from the first root on, so the whole chain is
 * walked.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "release/delegate.h"
#include "release/publish.h"
#include "release/revoke.h"
#include "release/rotate.h"
#include "release/stage.h"
#include "release/verify.h"
#include "release_site.h"

/* ---- words ---- */

static void new_key(const struct site *site, const char *name)
{
	_cleanup_(repository_closep) struct repository *r = site_open(site);
	struct problem problem = { 0 };

	assert_int_equal(keystore_generate(repository_keys(r), name, false, &problem), 0);
}

static struct role_file *load(struct repository *r, const char *role, enum repository_which which)
{
	struct role_file *file = NULL;
	struct problem problem = { 0 };

	if (repository_load_file(r, role, which, &file, &problem) < 0)
		fail_msg("%s: %s", role, problem.text);
	return file;
}

static uint64_t published(const struct site *site, const char *role)
{
	_cleanup_(repository_closep) struct repository *r = site_open(site);
	struct problem problem = { 0 };
	uint64_t version = 0;

	assert_int_equal(repository_published_version(r, role, &version, &problem), 0);
	return version;
}

static int problems(const struct site *site)
{
	_cleanup_json_ cJSON *report = NULL;
	struct problem problem = { 0 };
	const cJSON *list, *item;
	char path[256];

	site_path(site, REPOSITORY_PUBLIC, path, sizeof path);
	assert_int_equal(verify_directory(path, NULL, site->now_sec, &report, &problem), 0);
	assert_int_equal(json_get_array(report, "problems", &list, NULL), 0);
	cJSON_ArrayForEach (item, list)
		print_message("problem: %s\n", cJSON_GetStringValue(item));
	return cJSON_GetArraySize(list);
}

static void publish(const struct site *site)
{
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	assert_int_equal(problems(site), 0);
}

static bool staged(const struct site *site, const char *role)
{
	_cleanup_(repository_closep) struct repository *r = site_open(site);
	_cleanup_(role_file_unrefp) struct role_file *file = NULL;
	struct problem problem = { 0 };
	int n = repository_load_file(r, role, REPOSITORY_STAGED_ONLY, &file, &problem);

	assert_true(n == 0 || n == -ENOENT);
	return n == 0;
}

#define rotate(site, role, ...) site_verb(site, verb_rotate, role, __VA_ARGS__)

/* A published repository with the release B202109010001. */
static int setup(void **state)
{
	struct site *site;

	assert_int_equal(site_setup(state), 0);
	site = *state;
	assert_int_equal(site_add(site, "B202109010001", site->tree), RELEASE_OK);
	publish(site);
	return 0;
}

/* Which key ids signed the published file of a role. */
static bool is_signed_by(const struct site *site, const char *role, const char *name)
{
	_cleanup_(repository_closep) struct repository *r = site_open(site);
	_cleanup_(role_file_unrefp) struct role_file *file = load(r, role, REPOSITORY_PUBLISHED);
	_cleanup_(keystore_key_done) struct keystore_key key = { 0 };
	struct problem problem = { 0 };
	const cJSON *signature;

	assert_int_equal(keystore_public(repository_keys(r), name, &key, &problem), 0);
	cJSON_ArrayForEach (signature, role_file_metadata(file)->signatures)
		if (strcmp(json_text_or(signature, "keyid", ""), key.id) == 0)
			return true;
	return false;
}

/* ---- each kind of role ---- */

static void test_new_timestamp_key_signs_the_next_timestamp(void **state)
{
	struct site *site = *state;
	uint64_t timestamp = published(site, "timestamp"), snapshot = published(site, "snapshot");

	new_key(site, "ts2");
	assert_int_equal(rotate(site, "timestamp", "--add", "ts2", "--remove", "timestamp"),
			 RELEASE_OK);
	assert_true(staged(site, "root"));
	publish(site);
	assert_int_equal(published(site, "root"), 2);
	assert_int_equal(published(site, "timestamp"), timestamp + 1);
	assert_int_equal(published(site, "snapshot"), snapshot);
	assert_true(is_signed_by(site, "timestamp", "ts2"));
	assert_false(is_signed_by(site, "timestamp", "timestamp"));
}

static void test_new_snapshot_key_signs_both(void **state)
{
	struct site *site = *state;
	uint64_t timestamp = published(site, "timestamp"), snapshot = published(site, "snapshot");

	new_key(site, "sn2");
	assert_int_equal(rotate(site, "snapshot", "--add", "sn2", "--remove", "snapshot"),
			 RELEASE_OK);
	publish(site);
	assert_int_equal(published(site, "snapshot"), snapshot + 1);
	assert_int_equal(published(site, "timestamp"), timestamp + 1);
	assert_true(is_signed_by(site, "snapshot", "sn2"));
}

/* The signature that is there would do, but a thief's key should not be seen on it. */
static void test_taking_a_key_away_signs_again(void **state)
{
	struct site *site = *state;

	new_key(site, "ts2");
	assert_int_equal(rotate(site, "timestamp", "--add", "ts2"), RELEASE_OK);
	publish(site);
	assert_true(is_signed_by(site, "timestamp", "timestamp"));
	assert_true(is_signed_by(site, "timestamp", "ts2"));
	assert_int_equal(rotate(site, "timestamp", "--remove", "timestamp"), RELEASE_OK);
	publish(site);
	assert_false(is_signed_by(site, "timestamp", "timestamp"));
}

static void test_new_targets_key_signs_targets_again(void **state)
{
	struct site *site = *state;

	new_key(site, "t2");
	assert_int_equal(rotate(site, "targets", "--add", "t2", "--remove", "targets"), RELEASE_OK);
	assert_true(staged(site, "root"));
	assert_true(staged(site, "targets"));
	publish(site);
	assert_int_equal(published(site, "root"), 2);
	assert_int_equal(published(site, "targets"), 2);
	assert_true(is_signed_by(site, "targets", "t2"));
}

static void test_new_program_key_signs_the_program_again(void **state)
{
	struct site *site = *state;
	uint64_t before = published(site, "B");

	new_key(site, "B2");
	assert_int_equal(rotate(site, "B", "--add", "B2", "--remove", "B"), RELEASE_OK);
	assert_false(staged(site, "root"));
	assert_true(staged(site, "targets"));
	publish(site);
	assert_int_equal(published(site, "B"), before + 1);
	assert_true(is_signed_by(site, "B", "B2"));
	assert_false(is_signed_by(site, "B", "B"));
	assert_int_equal(site_add(site, "B202109020001", site->tree), RELEASE_OK);
	publish(site);
}

static void test_new_root_is_signed_by_old_and_new(void **state)
{
	struct site *site = *state;

	new_key(site, "r2");
	assert_int_equal(rotate(site, "root", "--add", "r2", "--remove", "root"), RELEASE_OK);
	publish(site);
	assert_true(is_signed_by(site, "root", "r2"));
	assert_true(is_signed_by(site, "root", "root"));
	new_key(site, "r3");
	assert_int_equal(rotate(site, "root", "--add", "r3", "--remove", "r2"), RELEASE_OK);
	publish(site);
	assert_int_equal(published(site, "root"), 3);
	assert_false(is_signed_by(site, "root", "root"));
}

static void test_thresholds_are_met_by_keys_that_are_here(void **state)
{
	struct site *site = *state;

	new_key(site, "r2");
	new_key(site, "B2");
	new_key(site, "ts2");
	assert_int_equal(rotate(site, "root", "--add", "r2", "--threshold", "2"), RELEASE_OK);
	assert_int_equal(rotate(site, "B", "--add", "B2", "--threshold", "2"), RELEASE_OK);
	assert_int_equal(rotate(site, "timestamp", "--add", "ts2", "--threshold", "2"), RELEASE_OK);
	publish(site);
	assert_int_equal(published(site, "root"), 2);
	assert_true(is_signed_by(site, "B", "B"));
	assert_true(is_signed_by(site, "B", "B2"));
	assert_true(is_signed_by(site, "timestamp", "ts2"));
}

/* ---- what is refused ---- */

static void test_threshold_above_the_keys_is_refused(void **state)
{
	struct site *site = *state;

	assert_int_equal(rotate(site, "root", "--threshold", "2"), RELEASE_FAILED);
	assert_int_equal(rotate(site, "root", "--remove", "root"), RELEASE_FAILED);
	assert_int_equal(rotate(site, "B", "--threshold", "0"), RELEASE_USAGE);
	new_key(site, "r2");
	assert_int_equal(rotate(site, "root", "--add", "r2", "--threshold", "2"), RELEASE_OK);
	assert_int_equal(rotate(site, "root", "--remove", "r2"), RELEASE_FAILED);
	assert_int_equal(rotate(site, "root", "--remove", "r2", "--threshold", "1"), RELEASE_OK);
}

static void test_same_key_twice_is_nothing_to_do(void **state)
{
	struct site *site = *state;
	char file[256];

	site_path(site, "keys/B.pub.pem", file, sizeof file);
	assert_int_equal(rotate(site, "B", "--add", "B"), RELEASE_OK);
	assert_int_equal(rotate(site, "B", "--add", file, "--threshold", "1"), RELEASE_OK);
	assert_false(staged(site, "targets"));
	assert_false(staged(site, "B"));
}

/* It would be in the root, and never count: who trusts in it loses the root's last key. */
static void test_key_that_gateways_refuse_is_refused(void **state)
{
	/* RSA of 1024 bits. */
	static const char pem[] =
		"-----BEGIN PUBLIC KEY-----\n"
		"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDRiZaklRdCdyn6xGYI6RNUV4fH\n"
		"Rwcazk+qCGYRG27amWsYoMzvUPTW4jASQOZxLkjkJx9vHVd9HHhlhNigiHZQJEn2\n"
		"OiszpjkAc+3C3czGkJ82SeUKr3x/WSygWe7+lJpUWXkizSszC5v1nsIOjDFD+kQU\n"
		"pMPKzkBgtvzP4zrmJQIDAQAB\n"
		"-----END PUBLIC KEY-----\n";
	struct site *site = *state;
	char file[256];

	site_path(site, "short.pub.pem", file, sizeof file);
	assert_int_equal(fs_write_file_atomic(AT_FDCWD, file, pem, strlen(pem), 0644), 0);
	assert_int_equal(rotate(site, "root", "--add", file), RELEASE_FAILED);
	assert_false(staged(site, "root"));
}

static void test_unknown_names_are_refused(void **state)
{
	struct site *site = *state;

	assert_int_equal(rotate(site, "C", "--add", "B"), RELEASE_FAILED);
	assert_int_equal(rotate(site, "../root", "--add", "B"), RELEASE_FAILED);
	assert_int_equal(rotate(site, "B", "--add", "nobody"), RELEASE_FAILED);
	assert_int_equal(rotate(site, "B", "--remove", "A"), RELEASE_FAILED);
	assert_int_equal(rotate(site, "B", "--remove", "012345"), RELEASE_FAILED);
	assert_int_equal(rotate(site, "B", "--add", "/nonexistent.pem"), RELEASE_FAILED);
	assert_int_equal(site_verb(site, verb_rotate, "B"), RELEASE_USAGE);
	assert_false(staged(site, "targets"));
}

static void test_dry_run_writes_nothing(void **state)
{
	struct site *site = *state;

	new_key(site, "B2");
	assert_int_equal(rotate(site, "B", "--add", "B2", "--dry-run"), RELEASE_OK);
	assert_int_equal(site_verb(site, verb_revoke, "B202109010001", "--dry-run"), RELEASE_OK);
	assert_int_equal(site_verb(site, verb_undelegate, "A", "--dry-run"), RELEASE_OK);
	assert_false(staged(site, "targets"));
	assert_false(staged(site, "B"));
	assert_int_equal(rotate(site, "B", "--add", "B2"), RELEASE_OK);
	assert_int_equal(site_verb(site, verb_publish, "--dry-run"), RELEASE_OK);
	assert_int_equal(published(site, "targets"), 1);
	assert_true(staged(site, "targets"));
}

/* ---- several at once ---- */

static void test_several_changes_are_one_version(void **state)
{
	struct site *site = *state;

	new_key(site, "r2");
	new_key(site, "t2");
	new_key(site, "ts2");
	assert_int_equal(rotate(site, "root", "--add", "r2"), RELEASE_OK);
	assert_int_equal(rotate(site, "targets", "--add", "t2"), RELEASE_OK);
	assert_int_equal(rotate(site, "timestamp", "--add", "ts2", "--remove", "timestamp"),
			 RELEASE_OK);
	assert_int_equal(site_verb(site, verb_delegate, "C", "--key", "B"), RELEASE_OK);
	publish(site);
	assert_int_equal(published(site, "root"), 2);
	assert_int_equal(published(site, "targets"), 2);
	assert_int_equal(published(site, "C"), 1);
}

/* One of two roles that belong together is not published alone. */
static void test_half_of_a_change_is_not_published(void **state)
{
	struct site *site = *state;

	new_key(site, "t2");
	assert_int_equal(rotate(site, "targets", "--add", "t2", "--remove", "targets"), RELEASE_OK);
	assert_int_equal(site_verb(site, verb_publish, "root"), RELEASE_FAILED);
	assert_int_equal(site_verb(site, verb_publish, "targets"), RELEASE_FAILED);
	assert_int_equal(problems(site), 0);
	assert_int_equal(published(site, "root"), 1);
	assert_int_equal(site_verb(site, verb_publish, "root", "targets"), RELEASE_OK);
	assert_int_equal(problems(site), 0);
	assert_int_equal(published(site, "root"), 2);
}

static void test_what_waits_for_keys_holds_nothing_else_up(void **state)
{
	struct site *site = *state;
	char key[256], aside[256];

	site_path(site, "keys/root.pem", key, sizeof key);
	site_path(site, "aside", aside, sizeof aside);
	new_key(site, "r2");
	assert_int_equal(rename(key, aside), 0);
	assert_int_equal(rotate(site, "root", "--add", "r2"), RELEASE_OK);
	assert_int_equal(site_add(site, "B202109020001", site->tree), RELEASE_OK);
	assert_int_equal(site_verb(site, verb_publish), RELEASE_FAILED);
	assert_int_equal(site_verb(site, verb_publish, "B"), RELEASE_OK);
	assert_int_equal(problems(site), 0);
	assert_int_equal(published(site, "root"), 1);
	assert_true(staged(site, "root"));
	/* The key comes back, and the same call goes through. */
	assert_int_equal(rename(aside, key), 0);
	publish(site);
	assert_int_equal(published(site, "root"), 2);
	assert_false(staged(site, "root"));
}

static void test_staged_file_that_was_changed_is_refused(void **state)
{
	struct site *site = *state;
	char path[256], command[600];

	new_key(site, "B2");
	assert_int_equal(rotate(site, "B", "--add", "B2"), RELEASE_OK);
	site_path(site, "staged/targets.json", path, sizeof path);
	(void)snprintf(command, sizeof command,
		       "sed -i 's/\"terminating\":true/\"terminating\":false/' %s", path);
	assert_int_equal(system(command), 0);
	assert_int_equal(site_verb(site, verb_publish), RELEASE_FAILED);
	assert_int_equal(published(site, "targets"), 1);
}

/* ---- delegated roles ---- */

static void test_a_role_taken_back_stays_in_the_snapshot(void **state)
{
	struct site *site = *state;
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_(role_file_unrefp) struct role_file *snapshot = NULL;
	_cleanup_(role_file_unrefp) struct role_file *again = NULL;
	const struct tuf_meta *meta;

	assert_int_equal(site_verb(site, verb_undelegate, "B"), RELEASE_OK);
	publish(site);
	r = site_open(site);
	snapshot = load(r, "snapshot", REPOSITORY_PUBLISHED);
	meta = tuf_metadata_find_meta(role_file_metadata(snapshot), "B.json");
	assert_non_null(meta);
	assert_int_equal(meta->version, 1);
	repository_close(TAKE_PTR(r));

	/* Its versions go on, and what it held is gone. */
	assert_int_equal(site_verb(site, verb_delegate, "B", "--key", "A"), RELEASE_OK);
	publish(site);
	assert_int_equal(published(site, "B"), 2);
	assert_true(is_signed_by(site, "B", "A"));
	r = site_open(site);
	again = load(r, "B", REPOSITORY_PUBLISHED);
	assert_int_equal(role_file_metadata(again)->n_targets, 0);
}

static void test_delegating(void **state)
{
	struct site *site = *state;

	assert_int_equal(site_verb(site, verb_delegate, "C"), RELEASE_FAILED);
	assert_int_equal(site_verb(site, verb_delegate, "docs", "--key", "A"), RELEASE_FAILED);
	assert_int_equal(site_verb(site, verb_delegate, "docs", "--path", "docs/*", "--key", "A",
				   "--threshold", "2"),
			 RELEASE_FAILED);
	assert_int_equal(site_verb(site, verb_delegate, "docs", "--path", "docs/*", "--key", "A"),
			 RELEASE_OK);
	assert_int_equal(site_verb(site, verb_delegate, "docs", "--path", "docs/*", "--key", "B"),
			 RELEASE_FAILED);
	publish(site);
	assert_int_equal(published(site, "docs"), 1);
	/* Another path: the role itself need not sign. */
	assert_int_equal(site_verb(site, verb_delegate, "docs", "--path", "d/*", "--terminating"),
			 RELEASE_OK);
	assert_false(staged(site, "docs"));
	publish(site);
	assert_int_equal(published(site, "targets"), 3);
	assert_int_equal(site_verb(site, verb_publish, "--renew", "docs"), RELEASE_OK);
	assert_int_equal(published(site, "docs"), 2);
}

static void test_names_of_roles(void **state)
{
	static const char *const bad[] = { "",
					   "root",
					   "targets",
					   "snapshot",
					   "timestamp",
					   "all",
					   "programs",
					   "a/b",
					   "..",
					   "1.root",
					   "a b",
					   "-x",
					   "abcdefghijklmnopqrstuvwxyz0123456" };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_false(authority_name_is_delegable(bad[i]));
	assert_true(authority_name_is_delegable("A"));
	assert_true(authority_name_is_delegable("_x-1"));
	assert_true(authority_name_is_delegable("abcdefghijklmnopqrstuvwxyz012345"));
}

/* ---- revoking ---- */

static int count_files(const struct site *site, const char *directory)
{
	_cleanup_dir_ DIR *d = NULL;
	char path[256];
	int n = 0;

	site_path(site, directory, path, sizeof path);
	d = opendir(path);
	assert_non_null(d);
	while (fs_next_name(d))
		n++;
	return n;
}

static void test_revoked_release_is_gone_with_its_files(void **state)
{
	struct site *site = *state;

	assert_int_equal(site_add(site, "B202109020001", site->tree), RELEASE_OK);
	publish(site);
	assert_int_equal(count_files(site, "repository/targets/B"), 12);
	assert_int_equal(site_verb(site, verb_revoke, "B202109020001", "--arch", "arm64"),
			 RELEASE_FAILED);
	assert_int_equal(site_verb(site, verb_revoke, "B202109020001", "--arch", "amd64"),
			 RELEASE_OK);
	assert_int_equal(count_files(site, "repository/targets/B"), 12);
	publish(site);
	assert_int_equal(count_files(site, "repository/targets/B"), 4);
	assert_int_equal(site_verb(site, verb_revoke, "B202109020001"), RELEASE_FAILED);
	assert_int_equal(site_verb(site, verb_revoke, "Z202109020001"), RELEASE_FAILED);
	assert_int_equal(site_verb(site, verb_revoke, "B"), RELEASE_USAGE);
}

/* ---- a thief's content ---- */

static void test_reset_takes_the_content_of_an_older_version(void **state)
{
	struct site *site = *state;
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_(role_file_unrefp) struct role_file *file = NULL;

	/* Version 2 is the thief's. */
	assert_int_equal(site_add(site, "B202109090001", site->tree), RELEASE_OK);
	publish(site);
	new_key(site, "B2");
	assert_int_equal(rotate(site, "B", "--add", "B2", "--remove", "B", "--reset-to", "9"),
			 RELEASE_FAILED);
	assert_int_equal(rotate(site, "root", "--reset-to", "1"), RELEASE_FAILED);
	assert_int_equal(rotate(site, "B", "--add", "B2", "--remove", "B", "--reset-to", "1"),
			 RELEASE_OK);
	publish(site);
	assert_int_equal(published(site, "B"), 3);
	assert_int_equal(count_files(site, "repository/targets/B"), 4);
	r = site_open(site);
	file = load(r, "B", REPOSITORY_PUBLISHED);
	assert_non_null(
		tuf_metadata_find_target(role_file_metadata(file), "B/B202109010001-amd64.tar.xz"));
	assert_null(
		tuf_metadata_find_target(role_file_metadata(file), "B/B202109090001-amd64.tar.xz"));
}

static void test_damaged_role_is_healed(void **state)
{
	struct site *site = *state;

	site_flip(site, "repository/metadata/1.B.json", 300);
	assert_int_not_equal(problems(site), 0);
	assert_int_equal(rotate(site, "B", "--threshold", "1", "--reset-to", "1"), RELEASE_FAILED);
	assert_int_equal(rotate(site, "B", "--reset-to", "0"), RELEASE_OK);
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	assert_int_equal(published(site, "B"), 2);
	site_flip(site, "repository/metadata/1.B.json", 300);
	assert_int_equal(problems(site), 0);
}

int main(void)
{
#define SITE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, site_teardown)
	const struct CMUnitTest tests[] = {
		SITE_TEST(test_new_timestamp_key_signs_the_next_timestamp),
		SITE_TEST(test_new_snapshot_key_signs_both),
		SITE_TEST(test_taking_a_key_away_signs_again),
		SITE_TEST(test_new_targets_key_signs_targets_again),
		SITE_TEST(test_new_program_key_signs_the_program_again),
		SITE_TEST(test_new_root_is_signed_by_old_and_new),
		SITE_TEST(test_thresholds_are_met_by_keys_that_are_here),
		SITE_TEST(test_threshold_above_the_keys_is_refused),
		SITE_TEST(test_same_key_twice_is_nothing_to_do),
		SITE_TEST(test_key_that_gateways_refuse_is_refused),
		SITE_TEST(test_unknown_names_are_refused),
		SITE_TEST(test_dry_run_writes_nothing),
		SITE_TEST(test_several_changes_are_one_version),
		SITE_TEST(test_half_of_a_change_is_not_published),
		SITE_TEST(test_what_waits_for_keys_holds_nothing_else_up),
		SITE_TEST(test_staged_file_that_was_changed_is_refused),
		SITE_TEST(test_a_role_taken_back_stays_in_the_snapshot),
		SITE_TEST(test_delegating),
		cmocka_unit_test(test_names_of_roles),
		SITE_TEST(test_revoked_release_is_gone_with_its_files),
		SITE_TEST(test_reset_takes_the_content_of_an_older_version),
		SITE_TEST(test_damaged_role_is_healed),
	};

	return cmocka_run_group_tests(tests, site_group_setup, site_group_teardown);
}
