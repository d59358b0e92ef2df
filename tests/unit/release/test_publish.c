/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing with every fsync() and renameat() failing in turn: what is on the disk then is what a
 * crash at that point leaves. A reader must always find a whole repository, and publishing again must
 * bring the new state.
 */
#include <errno.h>
#include <unistd.h>

#include "common/json.h"
#include "release/metadata.h"
#include "release/publish.h"
#include "release/verify.h"
#include "release_site.h"

static int calls, fail_at; /* fail_at 0: never */
static char last_rename[256];

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to);
int __wrap_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to);

static bool fails(void)
{
	if (++calls != fail_at)
		return false;
	errno = EIO;
	return true;
}

int __wrap_fsync(int fd)
{
	return fails() ? -1 : __real_fsync(fd);
}

int __wrap_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	if (fails())
		return -1;
	(void)snprintf(last_rename, sizeof last_rename, "%s", to);
	return __real_renameat(from_dirfd, from, to_dirfd, to);
}

/* How many targets clients see; fails unless the published directory is without a fault. */
static int published_targets(const struct site *site)
{
	_cleanup_json_ cJSON *report = NULL;
	struct problem problem = { 0 };
	const cJSON *problems;
	uint64_t targets;
	char path[256];

	site_path(site, REPOSITORY_PUBLIC, path, sizeof path);
	assert_int_equal(verify_directory(path, NULL, site->now_sec, &report, &problem), 0);
	assert_int_equal(json_get_array(report, "problems", &problems, NULL), 0);
	if (cJSON_GetArraySize(problems) > 0)
		fail_msg("%s", cJSON_GetStringValue(cJSON_GetArrayItem(problems, 0)));
	assert_int_equal(json_get_u64(report, "targets", UINT32_MAX, &targets, NULL), 0);
	return (int)targets;
}

static void save(const struct site *site, char *ret, size_t size)
{
	(void)snprintf(ret, size, "%s/saved", site->scratch->path);
	site_copy(site->repo, ret);
}

static void test_every_failure_leaves_a_whole_repository(void **state)
{
	struct site *site = *state;
	char saved[256];
	int n, r;

	assert_int_equal(site_add(site, "B202109010001", site->tree), RELEASE_OK);
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	assert_int_equal(site_add(site, "B202109020001", site->tree), RELEASE_OK);
	save(site, saved, sizeof saved);
	for (n = 1;; n++) {
		int seen;

		calls = 0;
		fail_at = n;
		r = site_verb(site, verb_publish);
		fail_at = 0;
		seen = published_targets(site);
		if (r == RELEASE_OK)
			break;
		assert_int_equal(r, RELEASE_FAILED);
		assert_true(seen == 4 || seen == 12);
		assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
		assert_int_equal(published_targets(site), 12);
		site_copy(saved, site->repo);
	}
	/* 8 files moved, three documents written: fewer failures would mean that none was injected. */
	assert_true(n > 15);
	assert_int_equal(published_targets(site), 12);
}

static int count_problems(const struct site *site)
{
	_cleanup_json_ cJSON *report = NULL;
	struct problem problem = { 0 };
	char path[256];

	site_path(site, REPOSITORY_PUBLIC, path, sizeof path);
	assert_int_equal(verify_directory(path, NULL, site->now_sec, &report, &problem), 0);
	return cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(report, "problems"));
}

/* Every key is new. A reader is refused only between the last two renames, of the root and of the
 * timestamp, and whatever failed, the same call brings it to an end. */
static void test_every_failure_of_a_rotation_is_recovered_from(void **state)
{
	static const char *const roles[] = { "root", "targets", "snapshot", "timestamp", "B" };
	struct site *site = *state;
	int n, r, refused = 0;
	char saved[256];

	assert_int_equal(site_add(site, "B202109010001", site->tree), RELEASE_OK);
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	for (size_t i = 0; i < ELEMENTSOF(roles); i++) {
		_cleanup_(repository_closep) struct repository *repository = site_open(site);
		struct problem problem = { 0 };
		char name[32];

		(void)snprintf(name, sizeof name, "%s2", roles[i]);
		assert_int_equal(
			keystore_generate(repository_keys(repository), name, false, &problem), 0);
		repository_close(TAKE_PTR(repository));
		assert_int_equal(
			site_verb(site, verb_rotate, roles[i], "--add", name, "--remove", roles[i]),
			RELEASE_OK);
	}
	save(site, saved, sizeof saved);
	for (n = 1;; n++) {
		calls = 0;
		fail_at = n;
		r = site_verb(site, verb_publish);
		fail_at = 0;
		refused += count_problems(site) > 0;
		if (r == RELEASE_OK)
			break;
		assert_int_equal(r, RELEASE_FAILED);
		assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
		assert_int_equal(published_targets(site), 4);
		site_copy(saved, site->repo);
	}
	assert_true(n > 15);
	/* The root's directory could not be synced, or the timestamp not be written and renamed. */
	assert_int_equal(refused, 3);
	assert_int_equal(published_targets(site), 4);
}

/* Also the change of keys itself: what is half staged is staged whole by the same call. */
static void test_every_failure_of_staging_is_recovered_from(void **state)
{
	struct site *site = *state;
	_cleanup_(repository_closep) struct repository *repository = site_open(site);
	struct problem problem = { 0 };
	char saved[256];
	int n, r;

	assert_int_equal(keystore_generate(repository_keys(repository), "t2", false, &problem), 0);
	repository_close(TAKE_PTR(repository));
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	save(site, saved, sizeof saved);
	for (n = 1;; n++) {
		calls = 0;
		fail_at = n;
		r = site_verb(site, verb_rotate, "targets", "--add", "t2", "--remove", "targets");
		fail_at = 0;
		if (r == RELEASE_OK)
			break;
		/* It may have been done but for a sync at the end. */
		r = site_verb(site, verb_rotate, "targets", "--add", "t2");
		assert_int_equal(r, RELEASE_OK);
		assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
		assert_int_equal(published_targets(site), 0);
		site_copy(saved, site->repo);
	}
	assert_true(n > 4);
}

static void test_failures_while_adding_leave_the_repository_usable(void **state)
{
	struct site *site = *state;
	char saved[256];
	int n, r;

	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	save(site, saved, sizeof saved);
	for (n = 1;; n++) {
		calls = 0;
		fail_at = n;
		r = site_add(site, "B202109010001", site->tree);
		fail_at = 0;
		if (r == RELEASE_OK)
			break;
		assert_int_equal(published_targets(site), 0);
		assert_int_equal(site_add(site, "B202109010001", site->tree), RELEASE_OK);
		assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
		assert_int_equal(published_targets(site), 4);
		site_copy(saved, site->repo);
	}
	assert_true(n > 10);
}

static void test_timestamp_is_renamed_last(void **state)
{
	struct site *site = *state;

	assert_int_equal(site_add(site, "B202109010001", site->tree), RELEASE_OK);
	*last_rename = 0;
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	assert_non_null(strstr(last_rename, "timestamp.json"));
}

static struct publish_outcome run(const struct site *site)
{
	_cleanup_(repository_closep) struct repository *r = site_open(site);
	const struct publish_request request = { 0 };
	struct publish_outcome outcome = { 0 };
	struct problem problem = { 0 };

	if (publish_run(r, &request, &outcome, &problem) < 0)
		fail_msg("%s", problem.text);
	return outcome;
}

static void test_publishing_again_changes_nothing(void **state)
{
	struct site *site = *state;
	struct publish_outcome outcome = run(site);

	assert_int_equal(outcome.roles, 3);
	assert_true(outcome.timestamp);
	assert_int_equal(outcome.snapshot_version, 1);
	outcome = run(site);
	assert_int_equal(outcome.roles, 0);
	assert_false(outcome.timestamp);
}

static void test_snapshot_and_timestamp_are_renewed_at_half_life(void **state)
{
	struct site *site = *state;
	struct publish_outcome outcome;

	run(site);
	site->now_sec += 15 * SITE_DAY_SEC;
	outcome = run(site);
	assert_false(outcome.timestamp);
	site->now_sec += 1;
	outcome = run(site);
	assert_true(outcome.timestamp);
	assert_int_equal(outcome.roles, 0);
	assert_int_equal(outcome.snapshot_version, 2);
	assert_int_equal(outcome.timestamp_version, 2);
	assert_int_equal(published_targets(site), 0);
}

static void test_renewing_all_renews_the_root_too(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *root = NULL;
	_cleanup_(repository_closep) struct repository *r = NULL;
	struct problem problem = { 0 };
	int64_t expires_sec;
	uint64_t version;

	run(site);
	site->now_sec += 300 * SITE_DAY_SEC;
	assert_int_equal(site_verb(site, verb_publish, "--renew", "all"), RELEASE_OK);
	r = site_open(site);
	assert_int_equal(repository_load(r, "root", REPOSITORY_PUBLISHED, &root, &problem), 0);
	assert_int_equal(metadata_version(root, &version), 0);
	assert_int_equal(version, 2);
	assert_int_equal(metadata_expires_sec(root, &expires_sec), 0);
	assert_int_equal(expires_sec, site->now_sec + 365 * SITE_DAY_SEC);
	assert_int_equal(published_targets(site), 0);
}

static void test_renewing_a_stranger_is_refused(void **state)
{
	struct site *site = *state;

	assert_int_equal(site_verb(site, verb_publish, "--renew", "C"), RELEASE_FAILED);
	assert_int_equal(site_verb(site, verb_publish, "--renew", "programs"), RELEASE_USAGE);
}

/* A file that was signed must be there before anything points at it. */
static void test_missing_file_stops_publishing(void **state)
{
	struct site *site = *state;

	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	assert_int_equal(site_add(site, "B202109010001", site->tree), RELEASE_OK);
	assert_int_equal(fs_remove_tree(site->scratch->dirfd, "repo/staged/targets/B"), 0);
	assert_int_equal(site_verb(site, verb_publish), RELEASE_FAILED);
	assert_int_equal(published_targets(site), 0);
}

static void test_file_of_another_length_stops_publishing(void **state)
{
	struct site *site = *state;
	char command[256];

	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	assert_int_equal(site_add(site, "B202109010001", site->tree), RELEASE_OK);
	(void)snprintf(command, sizeof command, "truncate -s +1 %s/staged/targets/B/*.tar.xz",
		       site->repo);
	assert_int_equal(system(command), 0);
	assert_int_equal(site_verb(site, verb_publish), RELEASE_FAILED);
	assert_int_equal(published_targets(site), 0);
}

int main(void)
{
#define SITE_TEST(f) cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)
	const struct CMUnitTest tests[] = {
		SITE_TEST(test_every_failure_leaves_a_whole_repository),
		SITE_TEST(test_every_failure_of_a_rotation_is_recovered_from),
		SITE_TEST(test_every_failure_of_staging_is_recovered_from),
		SITE_TEST(test_failures_while_adding_leave_the_repository_usable),
		SITE_TEST(test_timestamp_is_renamed_last),
		SITE_TEST(test_publishing_again_changes_nothing),
		SITE_TEST(test_snapshot_and_timestamp_are_renewed_at_half_life),
		SITE_TEST(test_renewing_all_renews_the_root_too),
		SITE_TEST(test_renewing_a_stranger_is_refused),
		SITE_TEST(test_missing_file_stops_publishing),
		SITE_TEST(test_file_of_another_length_stops_publishing),
	};

	return cmocka_run_group_tests(tests, site_group_setup, site_group_teardown);
}
