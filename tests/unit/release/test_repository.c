/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>

#include "common/json.h"
#include "release/metadata.h"
#include "release/publish.h"
#include "release_site.h"

static mode_t mode_of(const struct site *site, const char *name)
{
	char path[256];
	struct stat st;

	site_path(site, name, path, sizeof path);
	return stat(path, &st) < 0 ? 0 : st.st_mode & 07777;
}

static bool exists(const struct site *site, const char *name)
{
	char path[256];

	site_path(site, name, path, sizeof path);
	return access(path, F_OK) == 0;
}

static int open_fails(const struct site *site, struct problem *problem)
{
	const struct repository_options options = { .now_sec = SITE_NOW_SEC };
	struct repository *r = NULL;
	int n = repository_open(site->repo, &options, &r, problem);

	assert_null(r);
	return n;
}

static void publish(const struct site *site)
{
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
}

/* ---- init ---- */

static void test_init_makes_keys_of_the_right_kind(void **state)
{
	struct site *site = *state;
	_cleanup_(repository_closep) struct repository *r = site_open(site);
	static const struct {
		const char *role;
		bool encrypted;
	} roles[] = { { "root", true },	      { "targets", true }, { "snapshot", false },
		      { "timestamp", false }, { "A", false },	   { "B", false } };

	assert_int_equal(mode_of(site, "keys"), 0700);
	assert_int_equal(mode_of(site, "keys/root.pem"), 0600);
	assert_int_equal(mode_of(site, "keys/B.pem"), 0600);
	for (size_t i = 0; i < ELEMENTSOF(roles); i++) {
		_cleanup_(keystore_key_done) struct keystore_key key = { 0 };
		struct problem problem = { 0 };

		assert_int_equal(keystore_public(repository_keys(r), roles[i].role, &key, &problem),
				 0);
		assert_true(key.has_private);
		assert_int_equal(key.encrypted, roles[i].encrypted);
	}
}

static void test_init_encrypts_all_when_told(void **state)
{
	struct site *site = *state;
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_(keystore_key_done) struct keystore_key key = { 0 };
	struct problem problem = { 0 };

	assert_int_equal(site_verb(site, verb_init, "--programs", "B", "--encrypt-all"),
			 RELEASE_OK);
	r = site_open(site);
	assert_int_equal(keystore_public(repository_keys(r), "timestamp", &key, &problem), 0);
	assert_true(key.encrypted);
}

static void test_init_never_touches_a_repository(void **state)
{
	struct site *site = *state;
	_cleanup_free_ char *before = NULL, *after = NULL;
	size_t before_size, after_size;
	char path[256];

	site_path(site, "keys/root.pem", path, sizeof path);
	assert_int_equal(fs_read_file(AT_FDCWD, path, 4096, &before, &before_size), 0);
	assert_int_equal(site_verb(site, verb_init, "--programs", "A,B"), RELEASE_FAILED);
	assert_int_equal(fs_read_file(AT_FDCWD, path, 4096, &after, &after_size), 0);
	assert_int_equal(before_size, after_size);
	assert_memory_equal(before, after, before_size);
}

static void test_init_that_fails_leaves_nothing(void **state)
{
	struct site *site = *state;

	scratch_text(site->scratch->dirfd, "pass", "short\n", 0600);
	assert_int_equal(site_verb(site, verb_init, "--programs", "A,B"), RELEASE_FAILED);
	assert_false(exists(site, "keys"));
	assert_false(exists(site, "repository"));
	assert_false(exists(site, "staged"));
	assert_false(exists(site, "settings.json"));
}

static void test_init_refuses_bad_programs(void **state)
{
	static const char *const lists[] = { "", "a", "A,", "A,,B", "AB", "A,A", "A;B", "A, B" };
	struct site *site = *state;

	for (size_t i = 0; i < ELEMENTSOF(lists); i++)
		assert_int_equal(site_verb(site, verb_init, "--programs", lists[i]), RELEASE_USAGE);
	assert_int_equal(site_verb(site, verb_init), RELEASE_USAGE);
	assert_int_equal(site_verb(site, verb_init, "--programs", "A", "--expires-days-root", "0"),
			 RELEASE_USAGE);
	assert_false(exists(site, "keys"));
}

/* ---- opening ---- */

static void test_open_refuses_keys_that_others_can_read(void **state)
{
	struct site *site = *state;
	struct problem problem = { 0 };
	char path[256];

	site_path(site, "keys", path, sizeof path);
	assert_int_equal(chmod(path, 0750), 0);
	assert_int_equal(open_fails(site, &problem), -EPERM);
	assert_non_null(strstr(problem.text, "chmod"));
}

static void test_open_refuses_what_is_no_repository(void **state)
{
	static const char *const settings[] = {
		"",
		"{}",
		"{\"expires_days\":{\"root\":365}}",
		"{\"expires_days\":{\"root\":-1,\"targets\":1,\"programs\":1,\"snapshot\":1,"
		"\"timestamp\":1}}",
		"{\"expires_days\":{\"root\":1,\"targets\":1,\"programs\":1,\"snapshot\":1,"
		"\"timestamp\":99999999}}",
	};
	struct site *site = *state;
	struct problem problem = { 0 };

	assert_int_equal(open_fails(site, &problem), -ENOENT);
	assert_int_equal(mkdir(site->repo, 0755), 0);
	assert_int_equal(open_fails(site, &problem), -ENOENT);
	assert_non_null(strstr(problem.text, "bms-release init"));
	for (size_t i = 0; i < ELEMENTSOF(settings); i++) {
		scratch_text(site->scratch->dirfd, "repo/settings.json", settings[i], 0644);
		assert_int_equal(open_fails(site, &problem), -EBADMSG);
	}
}

/* ---- what a public directory holds counts only with our signature ---- */

static int load(const struct site *site, const char *role, enum repository_which which, cJSON **ret,
		struct problem *problem)
{
	_cleanup_(repository_closep) struct repository *r = site_open(site);

	return repository_load(r, role, which, ret, problem);
}

static void test_changed_metadata_is_never_built_upon(void **state)
{
	static const char *const files[] = {
		"repository/metadata/timestamp.json",
		"repository/metadata/1.snapshot.json",
		"repository/metadata/1.B.json",
	};
	struct site *site = *state;
	_cleanup_json_ cJSON *document = NULL;
	struct problem problem = { 0 };

	publish(site);
	for (size_t i = 0; i < ELEMENTSOF(files); i++) {
		site_flip(site, files[i], 200);
		assert_true(load(site, "B", REPOSITORY_NEWEST, &document, &problem) < 0);
		assert_null(document);
		assert_non_null(strstr(problem.text, strrchr(files[i], '/') + 1));
		assert_int_equal(site_add(site, "B202109010001", site->tree), RELEASE_FAILED);
		site_flip(site, files[i], 200);
	}
	assert_int_equal(load(site, "B", REPOSITORY_NEWEST, &document, &problem), 0);
}

/* Signed by the right key, but for another version: an old file put in the place of a new one. */
static void test_replayed_metadata_is_refused(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *document = NULL;
	struct problem problem = { 0 };
	char old[256], new[256];

	publish(site);
	assert_int_equal(site_verb(site, verb_publish, "--renew", "B"), RELEASE_OK);
	site_path(site, "repository/metadata/1.B.json", old, sizeof old);
	site_path(site, "repository/metadata/2.B.json", new, sizeof new);
	assert_int_equal(rename(old, new), 0);
	assert_int_equal(load(site, "B", REPOSITORY_NEWEST, &document, &problem), -EBADMSG);
	assert_null(document);
}

static void read_repo_file(const struct site *site, const char *name, char **ret, size_t *ret_size)
{
	char path[256];

	site_path(site, name, path, sizeof path);
	assert_int_equal(fs_read_file(AT_FDCWD, path, 65536, ret, ret_size), 0);
}

/* Of one version two documents may have been signed, one never published: they are told apart by the
 * hash in the snapshot. */
static void test_unpublished_document_of_the_same_version_is_refused(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *document = NULL;
	_cleanup_free_ char *bytes = NULL;
	struct problem problem = { 0 };
	size_t size;

	assert_int_equal(site_add(site, "B202109010001", site->tree), RELEASE_OK);
	read_repo_file(site, "staged/B.json", &bytes, &size);
	assert_int_equal(site_add(site, "B202109020001", site->tree), RELEASE_OK);
	publish(site);
	scratch_write(site->scratch->dirfd, "repo/" REPOSITORY_METADATA "/1.B.json", bytes, size,
		      0644);
	assert_int_equal(load(site, "B", REPOSITORY_NEWEST, &document, &problem), -EBADMSG);
	assert_null(document);
}

static void test_missing_metadata_is_an_error_not_a_fresh_start(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *document = NULL;
	struct problem problem = { 0 };
	char path[256];

	publish(site);
	site_path(site, "repository/metadata/1.B.json", path, sizeof path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(load(site, "B", REPOSITORY_NEWEST, &document, &problem), -EBADMSG);
	assert_int_equal(site_add(site, "B202109010001", site->tree), RELEASE_FAILED);
}

/* ---- staging ---- */

static uint64_t version_of(const struct site *site, const char *role, enum repository_which which)
{
	_cleanup_json_ cJSON *document = NULL;
	struct problem problem = { 0 };
	uint64_t version = 0;
	int n = load(site, role, which, &document, &problem);

	if (n == -ENOENT)
		return 0;
	assert_int_equal(n, 0);
	assert_int_equal(metadata_version(document, &version), 0);
	return version;
}

static void stage(const struct site *site, const char *role)
{
	_cleanup_(repository_closep) struct repository *r = site_open(site);
	struct problem problem = { 0 };

	if (publish_renew(r, role, false, NULL, &problem) < 0)
		fail_msg("%s", problem.text);
}

static void test_staging_twice_is_one_version(void **state)
{
	struct site *site = *state;

	publish(site);
	assert_int_equal(version_of(site, "B", REPOSITORY_STAGED_ONLY), 0);
	stage(site, "B");
	stage(site, "B");
	assert_int_equal(version_of(site, "B", REPOSITORY_STAGED_ONLY), 2);
	assert_int_equal(version_of(site, "B", REPOSITORY_NEWEST), 2);
	assert_int_equal(version_of(site, "B", REPOSITORY_PUBLISHED), 1);
	publish(site);
	assert_int_equal(version_of(site, "B", REPOSITORY_PUBLISHED), 2);
}

/* A crash between publishing and cleaning up leaves a staged file that is published already. */
static void test_left_over_staged_file_is_ignored(void **state)
{
	struct site *site = *state;
	_cleanup_free_ char *bytes = NULL;
	size_t size;
	char path[256];

	publish(site);
	site_path(site, "repository/metadata/1.B.json", path, sizeof path);
	assert_int_equal(fs_read_file(AT_FDCWD, path, 65536, &bytes, &size), 0);
	scratch_write(site->scratch->dirfd, "repo/staged/B.json", bytes, size, 0644);
	assert_int_equal(version_of(site, "B", REPOSITORY_STAGED_ONLY), 0);
	stage(site, "B");
	assert_int_equal(version_of(site, "B", REPOSITORY_STAGED_ONLY), 2);
}

static void test_same_time_gives_same_bytes(void **state)
{
	struct site *site = *state;
	_cleanup_free_ char *first = NULL, *second = NULL;
	size_t size;
	char path[256];

	site_path(site, "staged/B.json", path, sizeof path);
	stage(site, "B");
	assert_int_equal(fs_read_file(AT_FDCWD, path, 65536, &first, &size), 0);
	stage(site, "B");
	assert_int_equal(fs_read_file(AT_FDCWD, path, 65536, &second, &size), 0);
	assert_string_equal(first, second);
}

static int64_t expiry_of(const struct site *site, const char *role)
{
	_cleanup_json_ cJSON *document = NULL;
	struct problem problem = { 0 };
	int64_t sec;

	assert_int_equal(load(site, role, REPOSITORY_NEWEST, &document, &problem), 0);
	assert_int_equal(metadata_expires_sec(document, &sec), 0);
	return sec;
}

static void test_expiry_is_as_set(void **state)
{
	struct site *site = *state;

	assert_int_equal(site_verb(site, verb_init, "--programs", "B", "--expires-days-root",
				   "1000", "--expires-days-timestamp", "2"),
			 RELEASE_OK);
	publish(site);
	assert_int_equal(expiry_of(site, "root"), SITE_NOW_SEC + 1000 * SITE_DAY_SEC);
	assert_int_equal(expiry_of(site, "targets"), SITE_NOW_SEC + 365 * SITE_DAY_SEC);
	assert_int_equal(expiry_of(site, "B"), SITE_NOW_SEC + 365 * SITE_DAY_SEC);
	assert_int_equal(expiry_of(site, "snapshot"), SITE_NOW_SEC + 30 * SITE_DAY_SEC);
	assert_int_equal(expiry_of(site, "timestamp"), SITE_NOW_SEC + 2 * SITE_DAY_SEC);
	assert_int_equal(
		site_verb(site, verb_publish, "--renew", "timestamp", "--expires-sec", "1000"),
		RELEASE_OK);
	assert_int_equal(expiry_of(site, "timestamp"), 1000);
}

/* ---- keys that are not there ---- */

static void test_missing_key_is_named(void **state)
{
	struct site *site = *state;
	_cleanup_(repository_closep) struct repository *r = NULL;
	struct problem problem = { 0 };
	char path[256];

	site_path(site, "keys/B.pem", path, sizeof path);
	assert_int_equal(unlink(path), 0);
	r = site_open(site);
	assert_int_equal(publish_renew(r, "B", false, NULL, &problem), -ENOENT);
	assert_non_null(strstr(problem.text, "keys/B.pem"));
}

static void test_wrong_passphrase_signs_nothing(void **state)
{
	struct site *site = *state;
	_cleanup_(repository_closep) struct repository *r = NULL;
	struct problem problem = { 0 };

	scratch_text(site->scratch->dirfd, "pass", "wrong passphrase\n", 0600);
	r = site_open(site);
	assert_int_equal(publish_renew(r, "targets", false, NULL, &problem), -EKEYREJECTED);
	assert_non_null(strstr(problem.text, "wrong passphrase"));
}

static void test_key_of_another_role_is_refused(void **state)
{
	struct site *site = *state;
	_cleanup_(repository_closep) struct repository *r = NULL;
	struct problem problem = { 0 };
	char from[256], to[256];

	site_path(site, "keys/A.pem", from, sizeof from);
	site_path(site, "keys/B.pem", to, sizeof to);
	assert_int_equal(rename(from, to), 0);
	r = site_open(site);
	assert_int_equal(publish_renew(r, "B", false, NULL, &problem), -EKEYREJECTED);
}

static void test_role_names(void **state)
{
	(void)state;
	assert_int_equal(role_kind_from_name("root"), ROLE_ROOT);
	assert_int_equal(role_kind_from_name("timestamp"), ROLE_TIMESTAMP);
	assert_int_equal(role_kind_from_name("A"), ROLE_PROGRAM);
	assert_int_equal(role_kind_from_name("Z"), ROLE_PROGRAM);
	assert_int_equal(role_kind_from_name(""), -EINVAL);
	assert_int_equal(role_kind_from_name("AB"), -EINVAL);
	assert_int_equal(role_kind_from_name("a"), -EINVAL);
	assert_int_equal(role_kind_from_name("programs"), -EINVAL);
	assert_int_equal(role_kind_from_name("../root"), -EINVAL);
}

int main(void)
{
#define EMPTY_TEST(f) cmocka_unit_test_setup_teardown(f, site_setup_empty, site_teardown)
#define SITE_TEST(f)  cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)
	const struct CMUnitTest tests[] = {
		SITE_TEST(test_init_makes_keys_of_the_right_kind),
		EMPTY_TEST(test_init_encrypts_all_when_told),
		SITE_TEST(test_init_never_touches_a_repository),
		EMPTY_TEST(test_init_that_fails_leaves_nothing),
		EMPTY_TEST(test_init_refuses_bad_programs),
		SITE_TEST(test_open_refuses_keys_that_others_can_read),
		EMPTY_TEST(test_open_refuses_what_is_no_repository),
		SITE_TEST(test_changed_metadata_is_never_built_upon),
		SITE_TEST(test_replayed_metadata_is_refused),
		SITE_TEST(test_unpublished_document_of_the_same_version_is_refused),
		SITE_TEST(test_missing_metadata_is_an_error_not_a_fresh_start),
		SITE_TEST(test_staging_twice_is_one_version),
		SITE_TEST(test_left_over_staged_file_is_ignored),
		SITE_TEST(test_same_time_gives_same_bytes),
		EMPTY_TEST(test_expiry_is_as_set),
		SITE_TEST(test_missing_key_is_named),
		SITE_TEST(test_wrong_passphrase_signs_nothing),
		SITE_TEST(test_key_of_another_role_is_refused),
		cmocka_unit_test(test_role_names),
	};

	return cmocka_run_group_tests(tests, site_group_setup, site_group_teardown);
}
