/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>

#include "common/json.h"
#include "common/segments.h"
#include "release/patch_file.h"
#include "release/revoke.h"
#include "release/stage.h"
#include "release/target.h"
#include "release/verify.h"
#include "release_site.h"

#define V1	     "B202109010001"
#define V2	     "B202109020001"
#define V3	     "B202109030001"
#define PATCH(from)  "B/" V3 "-amd64.from-" from ".patch"
#define FULL(v)	     "B/" v "-amd64.tar.xz"
#define PROGRAM_SIZE 20000u

/* A program that does not compress, of which each version changes some bytes. */
static void write_program(const struct site *site, unsigned version)
{
	_cleanup_free_ char *text = malloc(PROGRAM_SIZE + 1);
	uint32_t x = 1;

	assert_non_null(text);
	for (size_t i = 0; i < PROGRAM_SIZE; i++) {
		x = x * 1664525u + 1013904223u;
		text[i] = (char)('!' + (x >> 16) % 90);
	}
	for (size_t i = 0; i < 5; i++)
		text[1000 * (version + 1) + 700 * i] = (char)('a' + version);
	text[PROGRAM_SIZE] = '\0';
	scratch_text(site->scratch->dirfd, "tree/bin/bmsd", text, 0755);
}

static int version_number(const char *version)
{
	return version[8] - '0';
}

#define add(site, version, ...)                                                                    \
	(write_program(site, (unsigned)version_number(version)),                                   \
	 site_add(site, version, ##__VA_ARGS__, (site)->tree))
#define publish(site) assert_int_equal(site_verb(site, verb_publish), RELEASE_OK)

/* Two published versions. */
static int setup(void **state)
{
	struct site *site;

	assert_int_equal(site_setup(state), 0);
	site = *state;
	publish(site);
	assert_int_equal(add(site, V1), RELEASE_OK);
	publish(site);
	assert_int_equal(add(site, V2), RELEASE_OK);
	publish(site);
	return 0;
}

static cJSON *load(const struct site *site)
{
	_cleanup_(repository_closep) struct repository *r = site_open(site);
	struct problem problem = { 0 };
	cJSON *document = NULL;

	if (repository_load(r, "B", REPOSITORY_NEWEST, &document, &problem) < 0)
		fail_msg("%s", problem.text);
	return document;
}

static bool has(const struct site *site, const char *path)
{
	_cleanup_json_ cJSON *document = load(site);

	return target_get(document, path) != NULL;
}

static int open_file(const struct site *site, const cJSON *document, const char *path)
{
	char name[512], absolute[640];
	_cleanup_free_ char *file = NULL;
	struct target_entry entry;
	int fd;

	assert_int_equal(target_parse(target_get(document, path), &entry), 0);
	assert_int_equal(target_file(path, entry.sha256, &file), 0);
	(void)snprintf(name, sizeof name, REPOSITORY_TARGETS "/%s", file);
	site_path(site, name, absolute, sizeof absolute);
	fd = open(absolute, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static struct full_target full_of(const cJSON *document, const char *path)
{
	struct full_target full;
	struct target_entry entry;

	assert_int_equal(target_parse(target_get(document, path), &entry), 0);
	assert_int_equal(target_parse_full(entry.custom, &full), 0);
	return full;
}

/* ---- what is made ---- */

static void test_patch_makes_the_tar_of_its_base(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *document = NULL;
	_cleanup_(patch_tar_done) struct patch_tar old = { .bytes = NULL };
	_cleanup_close_ int base_fd = FD_NONE, fd = FD_NONE;
	struct target_entry entry, full_entry;
	struct full_target base, full;
	struct patch_target patch;

	assert_int_equal(add(site, V3, "--model", "gw1", "--requires", "A=A202108010001"),
			 RELEASE_OK);
	publish(site);
	document = load(site);
	assert_int_equal(target_parse(target_get(document, PATCH(V1)), &entry), 0);
	assert_int_equal(target_parse(target_get(document, FULL(V3)), &full_entry), 0);
	assert_int_equal(target_parse_patch(entry.custom, &patch), 0);
	assert_int_equal(target_parse_full(entry.custom, &full), -ENOENT);
	base = full_of(document, FULL(V1));
	full = full_of(document, FULL(V3));
	assert_string_equal(patch.from, V1);
	assert_string_equal(patch.to.version, V3);
	assert_memory_equal(patch.base_sha256, base.tar_sha256, SHA256_BYTES);
	assert_int_equal(patch.base_bytes, base.tar_bytes);
	assert_memory_equal(patch.to.tar_sha256, full.tar_sha256, SHA256_BYTES);
	assert_int_equal(patch.to.tar_bytes, full.tar_bytes);
	assert_true(cJSON_Compare(patch.to.model, full.model, true));
	assert_true(cJSON_Compare(patch.to.segments, full.segments, true));
	assert_true(cJSON_HasObjectItem(entry.custom, "requires"));
	assert_true(entry.length * 20 < full_entry.length);

	base_fd = open_file(site, document, FULL(V1));
	fd = open_file(site, document, PATCH(V1));
	assert_int_equal(patch_tar_read(base_fd, base.tar_bytes, base.tar_sha256, &old), 0);
	assert_int_equal(patch_file_check(fd, &old.view, full.tar_bytes, full.tar_sha256), 0);
	assert_int_equal(patch_file_check(fd, &old.view, full.tar_bytes, base.tar_sha256),
			 -EBADMSG);
	assert_int_equal(patch_file_check(base_fd, &old.view, full.tar_bytes, full.tar_sha256),
			 -EBADMSG);
}

static void test_patch_has_segment_lists(void **state)
{
	struct site *site = *state;
	_cleanup_(segments_freep) struct segments *segments = NULL;
	_cleanup_json_ cJSON *document = NULL;
	_cleanup_close_ int fd = FD_NONE;
	_cleanup_free_ char *list = NULL;
	struct target_entry entry;
	size_t size;

	assert_int_equal(add(site, V3, "--segment-bytes", "512"), RELEASE_OK);
	publish(site);
	document = load(site);
	assert_int_equal(target_parse(target_get(document, PATCH(V2)), &entry), 0);
	fd = open_file(site, document, PATCH(V2) ".seg512");
	assert_int_equal(fs_read_fd(fd, 65536, &list, &size), 0);
	assert_int_equal(segments_parse(list, size, &segments), 0);
	assert_int_equal(segments->file_bytes, entry.length);
	assert_null(target_get(document, PATCH(V2) ".seg4096"));
}

static void test_same_input_gives_the_same_patches(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *first = NULL;
	_cleanup_json_ cJSON *second = NULL;
	char saved[128];

	(void)snprintf(saved, sizeof saved, "%s/saved", site->scratch->path);
	site_copy(site->repo, saved);
	assert_int_equal(add(site, V3), RELEASE_OK);
	first = load(site);
	site_copy(saved, site->repo);
	assert_int_equal(add(site, V3), RELEASE_OK);
	second = load(site);
	assert_true(cJSON_Compare(first, second, true));
}

/* ---- from which ---- */

static void test_patches_are_from_the_newest_published_versions(void **state)
{
	struct site *site = *state;

	assert_int_equal(add(site, V3, "--patches-from", "1"), RELEASE_OK);
	assert_true(has(site, PATCH(V2)));
	assert_false(has(site, PATCH(V1)));
}

static void test_no_patches_are_made_from(void **state)
{
	struct site *site = *state;

	/* … newer versions, … */
	assert_int_equal(add(site, "B202109010009"), RELEASE_OK);
	assert_false(has(site, "B/B202109010009-amd64.from-" V2 ".patch"));
	assert_true(has(site, "B/B202109010009-amd64.from-" V1 ".patch"));
	/* … what is not published yet, … */
	assert_int_equal(add(site, V3), RELEASE_OK);
	assert_false(has(site, PATCH("B202109010009")));
	assert_true(has(site, PATCH(V2)));
	/* … other architectures, … */
	assert_int_equal(site_verb(site, verb_add, "--program", "B", "--version", V3, "--arch",
				   "arm64", site->tree),
			 RELEASE_OK);
	assert_false(has(site, "B/" V3 "-arm64.from-" V2 ".patch"));
	/* … or if nobody wants them. */
	assert_int_equal(add(site, "B202109040001", "--patches-from", "0"), RELEASE_OK);
	assert_false(has(site, "B/B202109040001-amd64.from-" V2 ".patch"));
}

static void test_patches_over_the_margin_are_dropped(void **state)
{
	struct site *site = *state;
	char text[1001] = { 0 };

	for (size_t i = 0; i < sizeof text - 1; i++)
		text[i] = (char)('!' + (i * i * 7919 >> 5) % 90);
	scratch_text(site->scratch->dirfd, "tree/etc/new", text, 0644);
	assert_int_equal(add(site, V3, "--patch-margin", "1"), RELEASE_OK);
	assert_false(has(site, PATCH(V1)));
	assert_false(has(site, PATCH(V2)));
	assert_true(has(site, FULL(V3)));
}

static void test_numbers_out_of_bounds_are_refused(void **state)
{
	struct site *site = *state;

	assert_int_equal(add(site, V3, "--patch-margin", "0"), RELEASE_USAGE);
	assert_int_equal(add(site, V3, "--patch-margin", "101"), RELEASE_USAGE);
	assert_int_equal(add(site, V3, "--patches-from", "33"), RELEASE_USAGE);
	assert_int_equal(add(site, V3, "--patches-from", "-1"), RELEASE_USAGE);
	assert_int_equal(add(site, V3, "--patches-from", "32", "--patch-margin", "100"),
			 RELEASE_OK);
}

static void file_name(const cJSON *document, const char *path, char *ret, size_t size)
{
	_cleanup_free_ char *file = NULL;
	struct target_entry entry;

	assert_int_equal(target_parse(target_get(document, path), &entry), 0);
	assert_int_equal(target_file(path, entry.sha256, &file), 0);
	(void)snprintf(ret, size, REPOSITORY_TARGETS "/%s", file);
}

static void test_damaged_base_costs_only_its_patch(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *document = load(site);
	char name[512], path[640];

	file_name(document, FULL(V1), name, sizeof name);
	site_flip(site, name, 5000);
	assert_int_equal(add(site, V3), RELEASE_OK);
	assert_true(has(site, PATCH(V2)));
	assert_false(has(site, PATCH(V1)));

	file_name(document, FULL(V2), name, sizeof name);
	site_path(site, name, path, sizeof path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(add(site, "B202109040001"), RELEASE_OK);
	assert_true(has(site, FULL("B202109040001")));
	assert_false(has(site, "B/B202109040001-amd64.from-" V2 ".patch"));
}

/* ---- revoke ---- */

static void test_revoke_takes_patches_from_the_version(void **state)
{
	struct site *site = *state;

	assert_int_equal(add(site, V3), RELEASE_OK);
	publish(site);
	assert_int_equal(site_verb(site, verb_revoke, V1), RELEASE_OK);
	assert_false(has(site, PATCH(V1)));
	assert_false(has(site, PATCH(V1) ".seg4096"));
	assert_true(has(site, PATCH(V2)));
	assert_true(has(site, PATCH(V2) ".seg4096"));
	assert_true(has(site, FULL(V3)));
}

static void test_revoke_takes_patches_to_the_version(void **state)
{
	struct site *site = *state;

	assert_int_equal(add(site, V3), RELEASE_OK);
	publish(site);
	assert_int_equal(site_verb(site, verb_revoke, V3, "--arch", "arm64"), RELEASE_FAILED);
	assert_true(has(site, PATCH(V1)));
	assert_int_equal(site_verb(site, verb_revoke, V3), RELEASE_OK);
	assert_false(has(site, PATCH(V1)));
	assert_false(has(site, PATCH(V2)));
	assert_true(has(site, "B/" V2 "-amd64.from-" V1 ".patch"));
}

/* ---- verify ---- */

static void expect(const struct site *site, const char *list, const char *part)
{
	struct problem problem = { 0 };
	_cleanup_json_ cJSON *report = NULL;
	const cJSON *item;
	char path[256];

	site_path(site, REPOSITORY_PUBLIC, path, sizeof path);
	if (verify_directory(path, NULL, site->now_sec, &report, &problem) < 0)
		fail_msg("%s", problem.text);
	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(report, list))
		if (part && strstr(cJSON_GetStringValue(item), part))
			return;
	if (!part && cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(report, list)) == 0)
		return;
	fail_msg("expected in %s: '%s'; the report is %s", list, part ? part : "nothing",
		 cJSON_PrintUnformatted(report));
}

/* Signs the role again after a member of the patch's custom part was replaced. */
static void sign_changed(const struct site *site, const char *object, const char *key, cJSON *value)
{
	_cleanup_(repository_closep) struct repository *r = site_open(site);
	struct problem problem = { 0 };
	cJSON *document = NULL, *custom;

	if (repository_load(r, "B", REPOSITORY_NEWEST, &document, &problem) < 0)
		fail_msg("%s", problem.text);
	custom = cJSON_GetObjectItem(
		cJSON_GetObjectItem(cJSON_GetObjectItem(document, "targets"), PATCH(V2)), "custom");
	assert_non_null(custom);
	if (object)
		custom = cJSON_GetObjectItem(custom, object);
	assert_true(cJSON_ReplaceItemInObjectCaseSensitive(custom, key, value));
	if (stage_role(r, "B", document, &problem) < 0)
		fail_msg("%s", problem.text);
	cJSON_Delete(document);
}

static void test_verify_tries_each_patch(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *document = NULL;
	char hex[SHA256_HEX_LENGTH + 1];
	struct full_target v1;

	assert_int_equal(add(site, V3), RELEASE_OK);
	publish(site);
	expect(site, "problems", NULL);
	document = load(site);
	v1 = full_of(document, FULL(V1));
	hex_encode(v1.tar_sha256, SHA256_BYTES, hex);

	/* Said to be from V1, but made from V2. */
	sign_changed(site, NULL, "from", cJSON_CreateString(V1));
	sign_changed(site, "base", "sha256", cJSON_CreateString(hex));
	sign_changed(site, "base", "length", cJSON_CreateNumber((double)v1.tar_bytes));
	publish(site);
	expect(site, "problems", "does not give its tar");
}

static void test_verify_compares_patch_and_program_file(void **state)
{
	struct site *site = *state;
	char hex[SHA256_HEX_LENGTH + 1];

	assert_int_equal(add(site, V3), RELEASE_OK);
	hex_encode((const uint8_t[SHA256_BYTES]){ 1 }, SHA256_BYTES, hex);
	sign_changed(site, "tar", "sha256", cJSON_CreateString(hex));
	publish(site);
	expect(site, "problems", "makes another tar than the program file");
}

static void test_verify_tells_what_it_cannot_try(void **state)
{
	struct site *site = *state;
	char hex[SHA256_HEX_LENGTH + 1];

	assert_int_equal(add(site, V3), RELEASE_OK);
	hex_encode((const uint8_t[SHA256_BYTES]){ 1 }, SHA256_BYTES, hex);
	sign_changed(site, "base", "sha256", cJSON_CreateString(hex));
	publish(site);
	expect(site, "problems", NULL);
	expect(site, "notices", "cannot be tried");
}

static void test_verify_refuses_a_malformed_patch(void **state)
{
	struct site *site = *state;

	assert_int_equal(add(site, V3), RELEASE_OK);
	sign_changed(site, "base", "sha256", cJSON_CreateString("no"));
	publish(site);
	expect(site, "problems", "malformed");
}

int main(void)
{
#define SITE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, site_teardown)
	const struct CMUnitTest tests[] = {
		SITE_TEST(test_patch_makes_the_tar_of_its_base),
		SITE_TEST(test_patch_has_segment_lists),
		SITE_TEST(test_same_input_gives_the_same_patches),
		SITE_TEST(test_patches_are_from_the_newest_published_versions),
		SITE_TEST(test_no_patches_are_made_from),
		SITE_TEST(test_patches_over_the_margin_are_dropped),
		SITE_TEST(test_numbers_out_of_bounds_are_refused),
		SITE_TEST(test_damaged_base_costs_only_its_patch),
		SITE_TEST(test_revoke_takes_patches_from_the_version),
		SITE_TEST(test_revoke_takes_patches_to_the_version),
		SITE_TEST(test_verify_tries_each_patch),
		SITE_TEST(test_verify_compares_patch_and_program_file),
		SITE_TEST(test_verify_tells_what_it_cannot_try),
		SITE_TEST(test_verify_refuses_a_malformed_patch),
	};

	return cmocka_run_group_tests(tests, site_group_setup, site_group_teardown);
}
