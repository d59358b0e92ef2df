/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>

#include "common/json.h"
#include "common/segments.h"
#include "release/program_file.h"
#include "release/release_tar.h"
#include "release/target.h"
#include "release_site.h"

#define VERSION "B202109010001"
#define TARGET	"B/" VERSION "-amd64.tar.xz"

/* ---- the tar ---- */

static struct release_tar *make_tar(const struct site *site, const char *directory,
				    const char *version_text)
{
	struct release_tar *tar = NULL;
	struct problem problem = { 0 };
	struct version version;

	assert_int_equal(version_parse(version_text, &version), 0);
	if (release_tar_from_tree(site->scratch->dirfd, directory, &version, "amd64", &tar,
				  &problem) < 0)
		fail_msg("%s", problem.text);
	return tar;
}

static char *read_tar(struct release_tar *tar)
{
	size_t size = (size_t)release_tar_bytes(tar), have = 0;
	char *bytes = malloc(size + 1);
	ssize_t n;

	assert_non_null(bytes);
	while ((n = release_tar_read(tar, bytes + have, size + 1 - have)) > 0)
		have += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(have, size);
	return bytes;
}

/* Other times, other owners' modes, another umask and a stale release.json: the same bytes. */
static void test_tar_depends_on_content_and_version_alone(void **state)
{
	struct site *site = *state;
	_cleanup_(release_tar_closep) struct release_tar *a = NULL;
	_cleanup_(release_tar_closep) struct release_tar *b = NULL;
	_cleanup_free_ char *a_bytes = NULL, *b_bytes = NULL;
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 2 } };
	char other[96];
	mode_t saved;

	a = make_tar(site, site->tree, VERSION);
	a_bytes = read_tar(a);
	/* One scratch copy at a time: it has one name. */
	release_tar_close(TAKE_PTR(a));

	(void)snprintf(other, sizeof other, "%s/other", site->scratch->path);
	scratch_text(site->scratch->dirfd, "other/etc/bmsd.conf", "[bmsd]\n", 0600);
	scratch_text(site->scratch->dirfd, "other/bin/bmsd", "#!/bin/sh\necho 1\n", 0700);
	scratch_text(site->scratch->dirfd, "other/release.json", "{}", 0644);
	assert_int_equal(utimensat(site->scratch->dirfd, "other/bin/bmsd", times, 0), 0);
	saved = umask(077);
	b = make_tar(site, other, VERSION);
	(void)umask(saved);
	b_bytes = read_tar(b);
	assert_int_equal(strncmp(a_bytes, "release.json", 12), 0);
	assert_memory_equal(a_bytes, b_bytes, (size_t)release_tar_bytes(b));
}

static void test_other_version_is_another_tar(void **state)
{
	struct site *site = *state;
	_cleanup_(release_tar_closep) struct release_tar *tar = NULL;
	uint8_t first[SHA256_BYTES];

	tar = make_tar(site, site->tree, VERSION);
	memcpy(first, release_tar_sha256(tar), sizeof first);
	release_tar_close(TAKE_PTR(tar));
	tar = make_tar(site, site->tree, "B202109010002");
	assert_memory_not_equal(first, release_tar_sha256(tar), sizeof first);
}

/* ---- what is signed ---- */

static cJSON *load_role(const struct site *site)
{
	_cleanup_(repository_closep) struct repository *r = site_open(site);
	struct problem problem = { 0 };
	cJSON *document = NULL;

	if (repository_load(r, "B", REPOSITORY_NEWEST, &document, &problem) < 0)
		fail_msg("%s", problem.text);
	return document;
}

static struct target_entry get_target(const cJSON *document, const char *path)
{
	struct target_entry entry;

	assert_int_equal(target_parse(target_get(document, path), &entry), 0);
	return entry;
}

static void test_target_says_what_the_protocol_says(void **state)
{
	static const char expected[] =
		"{\"program\":\"B\",\"version\":\"" VERSION "\",\"arch\":\"amd64\","
		"\"kind\":\"full\",\"model\":[\"gw1\",\"gw2\"],\"segment_bytes\":[512,4096],"
		"\"requires\":{\"A\":\"A202108010001\"}}";
	struct site *site = *state;
	_cleanup_(release_tar_closep) struct release_tar *tar = make_tar(site, site->tree, VERSION);
	_cleanup_json_ cJSON *document = NULL;
	_cleanup_json_ cJSON *custom = NULL;
	_cleanup_json_ cJSON *wanted = cJSON_Parse(expected);
	struct target_entry target;
	struct full_target full;

	assert_int_equal(site_add(site, VERSION, "--model", "gw1", "--model", "gw2", "--requires",
				  "A=A202108010001", "--segment-bytes", "4096,512", site->tree),
			 RELEASE_OK);
	document = load_role(site);
	target = get_target(document, TARGET);
	assert_int_equal(target_parse_full(target.custom, &full), 0);
	assert_int_equal(full.tar_bytes, release_tar_bytes(tar));
	assert_memory_equal(full.tar_sha256, release_tar_sha256(tar), SHA256_BYTES);
	custom = cJSON_Duplicate(target.custom, true);
	cJSON_DeleteItemFromObject(custom, "tar");
	assert_true(cJSON_Compare(custom, wanted, true));
}

static int open_staged(const struct site *site, const char *path, const uint8_t *sha256)
{
	_cleanup_free_ char *file = NULL;
	char absolute[512], name[400];
	int fd;

	assert_int_equal(target_file(path, sha256, &file), 0);
	(void)snprintf(name, sizeof name, REPOSITORY_STAGED_TARGETS "/%s", file);
	site_path(site, name, absolute, sizeof absolute);
	fd = open(absolute, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void test_files_are_what_is_signed(void **state)
{
	struct site *site = *state;
	_cleanup_(segments_freep) struct segments *segments = NULL;
	_cleanup_json_ cJSON *document = NULL;
	_cleanup_close_ int fd = FD_NONE, list_fd = FD_NONE;
	_cleanup_free_ char *list = NULL;
	struct target_entry target, list_target;
	uint8_t sha256[SHA256_BYTES];
	struct full_target full;
	uint64_t bytes;
	size_t size;

	assert_int_equal(site_add(site, VERSION, "--segment-bytes", "512", site->tree), RELEASE_OK);
	document = load_role(site);
	target = get_target(document, TARGET);
	fd = open_staged(site, TARGET, target.sha256);
	assert_int_equal(digest_fd(fd, sha256, &bytes), 0);
	assert_int_equal(bytes, target.length);
	assert_memory_equal(sha256, target.sha256, SHA256_BYTES);

	assert_int_equal(target_parse_full(target.custom, &full), 0);
	assert_int_equal(program_file_tar_sha256(fd, full.tar_bytes, sha256, &bytes), 0);
	assert_int_equal(bytes, full.tar_bytes);
	assert_memory_equal(sha256, full.tar_sha256, SHA256_BYTES);
	assert_int_equal(program_file_tar_sha256(fd, full.tar_bytes - 1, sha256, &bytes), -EFBIG);

	list_target = get_target(document, TARGET ".seg512");
	list_fd = open_staged(site, TARGET ".seg512", list_target.sha256);
	assert_int_equal(fs_read_fd(list_fd, 65536, &list, &size), 0);
	assert_int_equal(segments_parse(list, size, &segments), 0);
	assert_int_equal(segments->file_bytes, target.length);
	assert_int_equal(segments->segment_bytes, 512);
	assert_null(target_get(document, TARGET ".seg4096"));
}

/* ---- the same version again ---- */

static void test_same_again_is_nothing_to_do(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *first = NULL;
	_cleanup_json_ cJSON *second = NULL;

	assert_int_equal(site_add(site, VERSION, site->tree), RELEASE_OK);
	first = load_role(site);
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	site->now_sec += 100;
	assert_int_equal(site_add(site, VERSION, site->tree), RELEASE_OK);
	second = load_role(site);
	assert_true(cJSON_Compare(first, second, true));
}

static void test_same_version_with_other_content_is_refused(void **state)
{
	struct site *site = *state;
	_cleanup_json_ cJSON *first = NULL;
	_cleanup_json_ cJSON *second = NULL;

	assert_int_equal(site_add(site, VERSION, site->tree), RELEASE_OK);
	first = load_role(site);
	scratch_text(site->scratch->dirfd, "tree/bin/bmsd", "#!/bin/sh\necho 2\n", 0755);
	assert_int_equal(site_add(site, VERSION, site->tree), RELEASE_FAILED);
	assert_int_equal(site_verb(site, verb_publish), RELEASE_OK);
	assert_int_equal(site_add(site, VERSION, site->tree), RELEASE_FAILED);
	second = load_role(site);
	assert_true(cJSON_Compare(first, second, true));
	assert_int_equal(site_add(site, "B202109010002", site->tree), RELEASE_OK);
}

static void test_same_version_for_other_models_is_refused(void **state)
{
	struct site *site = *state;

	assert_int_equal(site_add(site, VERSION, site->tree), RELEASE_OK);
	assert_int_equal(site_add(site, VERSION, "--model", "gw1", site->tree), RELEASE_FAILED);
	assert_int_equal(site_add(site, VERSION, "--segment-bytes", "512", site->tree),
			 RELEASE_FAILED);
	assert_int_equal(site_add(site, VERSION, "--requires", "A=A202108010001", site->tree),
			 RELEASE_FAILED);
}

/* ---- what is refused ---- */

static void test_bad_command_lines_are_refused(void **state)
{
	struct site *site = *state;
	const char *tree = site->tree;
#define ADD(...) site_verb(site, verb_add, ##__VA_ARGS__)
	assert_int_equal(ADD(tree), RELEASE_USAGE);
	assert_int_equal(ADD("--program", "B", "--version", VERSION, tree), RELEASE_USAGE);
	assert_int_equal(ADD("--program", "B", "--arch", "amd64", tree), RELEASE_USAGE);
	assert_int_equal(ADD("--program", "A", "--version", VERSION, "--arch", "amd64", tree),
			 RELEASE_USAGE);
	assert_int_equal(ADD("--program", "b", "--version", VERSION, "--arch", "amd64", tree),
			 RELEASE_USAGE);
	assert_int_equal(ADD("--program", "B", "--version", VERSION, "--arch", "../x", tree),
			 RELEASE_USAGE);
	assert_int_equal(site_add(site, "B20210901001", tree), RELEASE_USAGE);
	assert_int_equal(site_add(site, "B202113010001", tree), RELEASE_USAGE);
	assert_int_equal(site_add(site, VERSION), RELEASE_USAGE);
	assert_int_equal(site_add(site, VERSION, tree, tree), RELEASE_USAGE);
	assert_int_equal(site_add(site, VERSION, "--tar", "x", tree), RELEASE_USAGE);
	assert_int_equal(site_add(site, VERSION, "--bogus", tree), RELEASE_USAGE);
	assert_int_equal(site_add(site, VERSION, "--segment-bytes", "511", tree), RELEASE_USAGE);
	assert_int_equal(site_add(site, VERSION, "--segment-bytes", "1048577", tree),
			 RELEASE_USAGE);
	assert_int_equal(site_add(site, VERSION, "--segment-bytes", "1024,1024", tree),
			 RELEASE_USAGE);
	assert_int_equal(site_add(site, VERSION, "--segment-bytes", "1024,", tree), RELEASE_USAGE);
	assert_int_equal(site_add(site, VERSION, "--segment-bytes", " 1024", tree), RELEASE_USAGE);
	assert_int_equal(site_add(site, VERSION, "--requires", "A", tree), RELEASE_USAGE);
	assert_int_equal(site_add(site, VERSION, "--requires", "A=B202108010001", tree),
			 RELEASE_USAGE);
	assert_int_equal(site_add(site, VERSION, "--requires", "B=B202108010001", tree),
			 RELEASE_USAGE);
	assert_int_equal(site_add(site, VERSION, "--model", "", tree), RELEASE_USAGE);
	assert_int_equal(site_add(site, "C202109010001", tree), RELEASE_FAILED);
	assert_int_equal(site_add(site, VERSION, "/nonexistent"), RELEASE_FAILED);
}

static void test_trees_that_are_no_release_are_refused(void **state)
{
	struct site *site = *state;
	int dirfd = site->scratch->dirfd;

	assert_int_equal(symlinkat("bmsd", dirfd, "tree/bin/link"), 0);
	assert_int_equal(site_add(site, VERSION, site->tree), RELEASE_FAILED);
	assert_int_equal(unlinkat(dirfd, "tree/bin/link", 0), 0);

	assert_int_equal(fchmodat(dirfd, "tree/bin/bmsd", 04755, 0), 0);
	assert_int_equal(site_add(site, VERSION, site->tree), RELEASE_FAILED);
	assert_int_equal(fchmodat(dirfd, "tree/bin/bmsd", 0755, 0), 0);

	assert_int_equal(mkfifoat(dirfd, "tree/fifo", 0644), 0);
	assert_int_equal(site_add(site, VERSION, site->tree), RELEASE_FAILED);
	assert_int_equal(unlinkat(dirfd, "tree/fifo", 0), 0);

	assert_int_equal(fs_remove_tree(dirfd, "tree/bin"), 0);
	assert_int_equal(fs_remove_tree(dirfd, "tree/etc"), 0);
	assert_int_equal(site_add(site, VERSION, site->tree), RELEASE_FAILED);
}

/* ---- --tar ---- */

static void test_given_tar_is_published_as_it_is(void **state)
{
	static const char bytes[] = "no tar at all";
	struct site *site = *state;
	_cleanup_json_ cJSON *document = NULL;
	uint8_t sha256[SHA256_BYTES];
	struct full_target full;
	char path[96];

	(void)snprintf(path, sizeof path, "%s/x.tar", site->scratch->path);
	scratch_text(site->scratch->dirfd, "x.tar", bytes, 0644);
	assert_int_equal(site_add(site, VERSION, "--tar", path), RELEASE_OK);
	document = load_role(site);
	assert_int_equal(target_parse_full(get_target(document, TARGET).custom, &full), 0);
	assert_int_equal(digest_sha256(bytes, strlen(bytes), sha256), 0);
	assert_int_equal(full.tar_bytes, strlen(bytes));
	assert_memory_equal(full.tar_sha256, sha256, SHA256_BYTES);
	assert_int_equal(site_add(site, VERSION, "--tar", site->tree), RELEASE_FAILED);
	assert_int_equal(site_add(site, VERSION, "--tar", "/dev/zero"), RELEASE_FAILED);
}

/* ---- the verb manifest ---- */

static void test_manifest_is_written_into_the_directory(void **state)
{
	struct site *site = *state;
	_cleanup_free_ char *bytes = NULL;
	_cleanup_(release_tar_closep) struct release_tar *tar = NULL;
	_cleanup_free_ char *tar_bytes = NULL;
	size_t size;

	assert_int_equal(site_verb(site, verb_manifest, "--program", "B", "--version", VERSION,
				   "--arch", "amd64", site->tree),
			 RELEASE_OK);
	assert_int_equal(
		fs_read_file(site->scratch->dirfd, "tree/release.json", 65536, &bytes, &size), 0);
	tar = make_tar(site, site->tree, VERSION);
	tar_bytes = read_tar(tar);
	assert_memory_equal(tar_bytes + 512, bytes, size);
	assert_int_equal(site_verb(site, verb_manifest, "--program", "A", "--version", VERSION,
				   "--arch", "amd64", site->tree),
			 RELEASE_USAGE);
}

/* ---- names ---- */

static void test_target_names(void **state)
{
	const uint8_t sha256[SHA256_BYTES] = { 0xab };
	_cleanup_free_ char *file = NULL, *flat = NULL;
	struct version version;
	char path[TARGET_PATH_BYTES];

	(void)state;
	assert_int_equal(version_parse(VERSION, &version), 0);
	target_path(&version, "amd64", path);
	assert_string_equal(path, TARGET);
	assert_int_equal(target_file(path, sha256, &file), 0);
	assert_string_equal(file,
			    "B/ab00000000000000000000000000000000000000000000000000000000000000"
			    "." VERSION "-amd64.tar.xz");
	assert_int_equal(target_file("x", sha256, &flat), 0);
	assert_string_equal(flat,
			    "ab00000000000000000000000000000000000000000000000000000000000000.x");
}

int main(void)
{
#define SITE_TEST(f) cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)
	const struct CMUnitTest tests[] = {
		SITE_TEST(test_tar_depends_on_content_and_version_alone),
		SITE_TEST(test_other_version_is_another_tar),
		SITE_TEST(test_target_says_what_the_protocol_says),
		SITE_TEST(test_files_are_what_is_signed),
		SITE_TEST(test_same_again_is_nothing_to_do),
		SITE_TEST(test_same_version_with_other_content_is_refused),
		SITE_TEST(test_same_version_for_other_models_is_refused),
		SITE_TEST(test_bad_command_lines_are_refused),
		SITE_TEST(test_trees_that_are_no_release_are_refused),
		SITE_TEST(test_given_tar_is_published_as_it_is),
		SITE_TEST(test_manifest_is_written_into_the_directory),
		cmocka_unit_test(test_target_names),
	};

	return cmocka_run_group_tests(tests, site_group_setup, site_group_teardown);
}
