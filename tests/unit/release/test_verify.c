/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>

#include "common/json.h"
#include "release/stage.h"
#include "release/target.h"
#include "release/verify.h"
#include "release_site.h"

/* A published repository with one release and renewed metadata, so that old files lie about. */
static int setup(void **state)
{
	struct site *site;

	assert_int_equal(site_setup(state), 0);
	site = *state;
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	assert_int_equal(site_add(site, "B202109010001", site->tree), RELEASE_OK);
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	return 0;
}

static cJSON *verify(const struct site *site, const char *root_file)
{
	struct problem problem = { 0 };
	cJSON *report = NULL;
	char path[256];

	site_path(site, REPOSITORY_PUBLIC, path, sizeof path);
	if (verify_directory(path, root_file, site->now_sec, &report, &problem) < 0)
		fail_msg("%s", problem.text);
	return report;
}

static int count(const cJSON *report, const char *list)
{
	return cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(report, list));
}

static int problems(const struct site *site)
{
	_cleanup_json_ cJSON *report = verify(site, NULL);

	return count(report, "problems");
}

static void assert_problem(const struct site *site, const char *part)
{
	_cleanup_json_ cJSON *report = verify(site, NULL);
	const cJSON *item;

	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(report, "problems"))
		if (strstr(cJSON_GetStringValue(item), part))
			return;
	fail_msg("no problem mentions '%s'", part);
}

static void test_good_repository_is_good(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *report = verify(site, NULL);
	uint64_t targets;

	assert_int_equal(count(report, "problems"), 0);
	assert_int_equal(count(report, "roles"), 6);
	assert_int_equal(json_get_u64(report, "targets", 100, &targets, NULL), 0);
	assert_int_equal(targets, 4);
}

static const char *const metadata_files[] = {
	"1.root.json", "1.targets.json",  "1.A.json",	     "1.B.json",
	"2.B.json",    "1.snapshot.json", "2.snapshot.json", "timestamp.json",
};

/* Every byte would take a minute; a stride of 11 meets every part of every file. */
static void test_changed_metadata_is_a_problem(void **state)
{
	struct site *site = *state;

	for (size_t i = 0; i < ELEMENTSOF(metadata_files); i++) {
		char name[128], path[256];
		struct stat st;

		(void)snprintf(name, sizeof name, REPOSITORY_METADATA "/%s", metadata_files[i]);
		site_path(site, name, path, sizeof path);
		assert_int_equal(stat(path, &st), 0);
		for (off_t offset = 0; offset < st.st_size; offset += 11) {
			site_flip(site, name, offset);
			if (problems(site) == 0)
				fail_msg("%s, byte %ld", name, (long)offset);
			site_flip(site, name, offset);
		}
	}
	assert_int_equal(problems(site), 0);
}

static void test_missing_metadata_is_a_problem(void **state)
{
	static const char *const needed[] = { "1.targets.json", "1.A.json", "2.B.json",
					      "2.snapshot.json", "timestamp.json" };
	struct site *site = *state;

	for (size_t i = 0; i < ELEMENTSOF(needed); i++) {
		char name[128], path[256], aside[256];

		(void)snprintf(name, sizeof name, REPOSITORY_METADATA "/%s", needed[i]);
		site_path(site, name, path, sizeof path);
		site_path(site, "aside", aside, sizeof aside);
		assert_int_equal(rename(path, aside), 0);
		assert_int_not_equal(problems(site), 0);
		assert_int_equal(rename(aside, path), 0);
	}
}

/* ---- target files ---- */

#define TARGET "B/B202109010001-amd64.tar.xz"

static cJSON *load_role(const struct site *site)
{
	_cleanup_(repository_closep) struct repository *r = site_open(site);
	struct problem problem = { 0 };
	cJSON *document = NULL;

	if (repository_load(r, "B", REPOSITORY_NEWEST, &document, &problem) < 0)
		fail_msg("%s", problem.text);
	return document;
}

/* Signs the document and publishes it. */
static void publish_role(const struct site *site, cJSON *document)
{
	_cleanup_(repository_closep) struct repository *r = site_open(site);
	struct problem problem = { 0 };

	if (stage_role(r, "B", document, &problem) < 0)
		fail_msg("%s", problem.text);
	repository_close(TAKE_PTR(r));
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
}

static void target_name(const cJSON *document, const char *target, char *ret, size_t size)
{
	_cleanup_free_ char *file = NULL;
	struct target_entry entry;

	assert_int_equal(target_parse(target_get(document, target), &entry), 0);
	assert_int_equal(target_file(target, entry.sha256, &file), 0);
	(void)snprintf(ret, size, REPOSITORY_TARGETS "/%s", file);
}

static void test_changed_target_is_a_problem(void **state)
{
	static const char *const targets[] = { TARGET, TARGET ".seg1024", TARGET ".seg10240" };
	struct site *site = *state;
	_cleanup_json_ cJSON *document = load_role(site);
	char saved[96];

	(void)snprintf(saved, sizeof saved, "%s/saved", site->scratch->path);
	site_copy(site->repo, saved);
	for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
		char name[256], path[512];
		struct stat st;

		target_name(document, targets[i], name, sizeof name);
		site_path(site, name, path, sizeof path);
		site_flip(site, name, 20);
		assert_problem(site, "is not the file that was signed");
		site_flip(site, name, 20);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(truncate(path, st.st_size + 1), 0);
		assert_problem(site, "is not the file that was signed");
		assert_int_equal(truncate(path, st.st_size), 0);
		assert_int_equal(problems(site), 0);
		assert_int_equal(unlink(path), 0);
		assert_problem(site, "cannot be opened");
		site_copy(saved, site->repo);
	}
}

/* Properly signed, but no gateway could use it. */
static void test_untrue_tar_hash_is_a_problem(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *document = load_role(site);
	struct target_entry entry;
	cJSON *tar;

	assert_int_equal(target_parse(target_get(document, TARGET), &entry), 0);
	tar = cJSON_GetObjectItemCaseSensitive(entry.custom, "tar");
	assert_true(cJSON_ReplaceItemInObjectCaseSensitive(
		tar, "sha256",
		cJSON_CreateString(
			"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")));
	publish_role(site, document);
	assert_problem(site, "decompresses to another tar");
}

static void test_untrue_tar_length_is_a_problem(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *document = load_role(site);
	struct target_entry entry;
	cJSON *tar;

	assert_int_equal(target_parse(target_get(document, TARGET), &entry), 0);
	tar = cJSON_GetObjectItemCaseSensitive(entry.custom, "tar");
	assert_true(cJSON_ReplaceItemInObjectCaseSensitive(tar, "length", cJSON_CreateNumber(512)));
	publish_role(site, document);
	assert_problem(site, "does not decompress to its tar");
}

static void test_wrong_segment_list_is_a_problem(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *document = load_role(site);
	const cJSON *other = target_get(document, TARGET ".seg1024");
	cJSON *targets = cJSON_GetObjectItemCaseSensitive(document, "targets");
	char from[256], to[256], from_path[512], to_path[512];

	assert_true(cJSON_ReplaceItemInObjectCaseSensitive(targets, TARGET ".seg4096",
							   cJSON_Duplicate(other, true)));
	target_name(document, TARGET ".seg1024", from, sizeof from);
	target_name(document, TARGET ".seg4096", to, sizeof to);
	site_path(site, from, from_path, sizeof from_path);
	site_path(site, to, to_path, sizeof to_path);
	assert_int_equal(link(from_path, to_path), 0);
	publish_role(site, document);
	assert_problem(site, "is not the segment list of its program file");
}

static void test_absent_segment_list_is_a_problem(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *document = load_role(site);

	cJSON_DeleteItemFromObjectCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(document, "targets"), TARGET ".seg4096");
	publish_role(site, document);
	assert_problem(site, "there is no list of its 4096-byte segments");
}

/* ---- time and trust ---- */

static void test_expired_metadata_is_a_problem(void **state)
{
	struct site *site = *state;

	site->now_sec += 30 * SITE_DAY_SEC - 1;
	assert_int_equal(problems(site), 0);
	site->now_sec += 2;
	assert_problem(site, "timestamp");
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	assert_int_equal(problems(site), 0);
	site->now_sec += 400 * SITE_DAY_SEC;
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	assert_problem(site, "root");
}

static void test_what_expires_soon_is_noted(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *report = NULL;

	site->now_sec += 340 * SITE_DAY_SEC;
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	report = verify(site, NULL);
	assert_int_equal(count(report, "problems"), 0);
	assert_int_equal(count(report, "notices"), 6);
}

/* The first root may have been replaced together with all the rest: gateways have their own. */
static void test_foreign_root_is_a_problem(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *own = NULL;
	_cleanup_json_ cJSON *foreign = NULL;
	char root[256];
	struct site other = *site;

	(void)snprintf(other.repo, sizeof other.repo, "%s/other", site->scratch->path);
	assert_int_equal(site_verb(&other, verb_init, "--programs", "A,B"), RELEASE_OK);
	site_path(&other, REPOSITORY_METADATA "/1.root.json", root, sizeof root);
	foreign = verify(site, root);
	assert_int_not_equal(count(foreign, "problems"), 0);
	site_path(site, REPOSITORY_METADATA "/1.root.json", root, sizeof root);
	own = verify(site, root);
	assert_int_equal(count(own, "problems"), 0);
}

static void test_strange_files_are_told(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *report = NULL;
	int before, dirfd = site->scratch->dirfd;

	report = verify(site, NULL);
	before = count(report, "notices");
	cJSON_Delete(TAKE_PTR(report));
	/* Its name says what it holds: harmless. */
	scratch_text(dirfd,
		     "repo/repository/targets/B/"
		     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.x",
		     "", 0644);
	scratch_text(dirfd, "repo/repository/metadata/README", "hello", 0644);
	report = verify(site, NULL);
	assert_int_equal(count(report, "problems"), 0);
	assert_int_equal(count(report, "notices"), before + 2);
	scratch_text(dirfd, "repo/repository/targets/B/index.html", "hello", 0644);
	assert_problem(site, "index.html");
	assert_int_equal(unlinkat(dirfd, "repo/repository/targets/B/index.html", 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", dirfd, "repo/repository/targets/B/link"), 0);
	assert_problem(site, "link");
}

static void test_no_repository_is_an_error(void **state)
{
	struct site *site = *state;
	struct problem problem = { 0 };
	cJSON *report = NULL;

	assert_int_equal(verify_directory(site->tree, NULL, site->now_sec, &report, &problem),
			 -ENOENT);
	assert_int_equal(verify_directory("/nonexistent", NULL, site->now_sec, &report, &problem),
			 -ENOENT);
	assert_null(report);
}

int main(void)
{
#define SITE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, site_teardown)
	const struct CMUnitTest tests[] = {
		SITE_TEST(test_good_repository_is_good),
		SITE_TEST(test_changed_metadata_is_a_problem),
		SITE_TEST(test_missing_metadata_is_a_problem),
		SITE_TEST(test_changed_target_is_a_problem),
		SITE_TEST(test_untrue_tar_hash_is_a_problem),
		SITE_TEST(test_untrue_tar_length_is_a_problem),
		SITE_TEST(test_wrong_segment_list_is_a_problem),
		SITE_TEST(test_absent_segment_list_is_a_problem),
		SITE_TEST(test_expired_metadata_is_a_problem),
		SITE_TEST(test_what_expires_soon_is_noted),
		SITE_TEST(test_foreign_root_is_a_problem),
		SITE_TEST(test_strange_files_are_told),
		SITE_TEST(test_no_repository_is_an_error),
	};

	return cmocka_run_group_tests(tests, site_group_setup, site_group_teardown);
}
