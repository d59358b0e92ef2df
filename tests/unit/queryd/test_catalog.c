/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "tuf_repo.h"

struct published {
	struct scratch *dir;
	struct repo *repo;
	struct catalog *catalog;
	char *metadata; /* directory */
	char *root;
};

/* A target of B with the custom object that bms-release gives it. */
static void add_target(struct published *p, const char *version, const char *custom)
{
	cJSON *targets = cJSON_GetObjectItemCaseSensitive(repo_role(p->repo, "B")->body, "targets");
	cJSON *target;
	char path[96];

	(void)snprintf(path, sizeof path, "B/%s-amd64.tar.xz", version);
	repo_add_target(p->repo, "B", path, "content");
	target = cJSON_GetObjectItemCaseSensitive(targets, path);
	assert_true(cJSON_ReplaceItemInObjectCaseSensitive(target, "custom", parsed_json(custom)));
}

static void add_version(struct published *p, const char *version)
{
	char custom[256];

	(void)snprintf(
		custom, sizeof custom,
		"{\"kind\":\"full\",\"program\":\"B\",\"version\":\"%s\",\"arch\":\"amd64\"}",
		version);
	add_target(p, version, custom);
}

/* What the repository has in memory goes to the directory; timestamp.json last, as it should be. */
static void write_files(struct published *p)
{
	const struct repo_file *timestamp = files_get(&p->repo->files, "timestamp.json");

	for (size_t i = 0; i < p->repo->files.n; i++) {
		const struct repo_file *file = &p->repo->files.list[i];
		char path[128];

		if (file == timestamp)
			continue;
		(void)snprintf(path, sizeof path, "repository/metadata/%s", file->name);
		scratch_write(p->dir->dirfd, path, file->bytes, file->size, 0644);
	}
	assert_int_equal(fs_write_file_atomic(p->dir->dirfd, "repository/metadata/timestamp.json",
					      timestamp->bytes, timestamp->size, 0644),
			 0);
}

static void make_catalog(struct published *p)
{
	char repository[96], root[96];

	(void)snprintf(repository, sizeof repository, "%s/repository", p->dir->path);
	(void)snprintf(root, sizeof root, "%s/root.json", p->dir->path);
	p->catalog = catalog_free(p->catalog);
	assert_int_equal(catalog_new(repository, root, &p->catalog), 0);
}

/* Those that every test repository has are no releases. */
static void remove_target(struct published *p, const char *role, const char *path)
{
	cJSON *body = repo_role(p->repo, role)->body;

	cJSON_DeleteItemFromObjectCaseSensitive(cJSON_GetObjectItemCaseSensitive(body, "targets"),
						path);
}

static int setup(void **state)
{
	struct published *p = calloc(1, sizeof *p);
	const struct repo_file *root;
	void *dir = NULL;

	assert_non_null(p);
	assert_int_equal(scratch_setup(&dir), 0);
	p->dir = dir;
	p->repo = repo_new();
	root = files_get(&p->repo->files, "1.root.json");
	scratch_write(p->dir->dirfd, "root.json", root->bytes, root->size, 0644);
	remove_target(p, "A", "A/a.tar.xz");
	remove_target(p, "B", "B/b.tar.xz");
	add_version(p, "B202109010001");
	repo_publish(p->repo);
	write_files(p);
	make_catalog(p);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct published *p = *state;
	void *dir = p->dir;

	(void)catalog_free(p->catalog);
	repo_free(p->repo);
	free(p);
	return scratch_teardown(&dir);
}

static const char *newest(struct published *p)
{
	_cleanup_(releases_unrefp) struct releases *l = catalog_acquire(p->catalog);
	const struct release *release = releases_newest(l, 'B', "amd64", "");
	static char version[VERSION_LENGTH + 1];

	(void)snprintf(version, sizeof version, "%s", release ? release->version.text : "none");
	return version;
}

static int refresh(struct published *p)
{
	return catalog_refresh(p->catalog, false, REPO_NOW_SEC);
}

static void test_starts_empty(void **state)
{
	struct published *p = *state;

	assert_string_equal(newest(p), "none");
	assert_int_equal(catalog_expires_sec(p->catalog), 0);
	assert_string_equal(catalog_error(p->catalog), "");
}

static void test_reads_when_changed(void **state)
{
	struct published *p = *state;

	assert_int_equal(refresh(p), 1);
	assert_string_equal(newest(p), "B202109010001");
	assert_string_equal(catalog_warning(p->catalog), "");
	assert_true(catalog_expires_sec(p->catalog) > REPO_NOW_SEC);
	assert_int_equal(refresh(p), 0);
	add_version(p, "B202109020001");
	repo_next(p->repo);
	write_files(p);
	assert_int_equal(refresh(p), 1);
	assert_string_equal(newest(p), "B202109020001");
	assert_int_equal(refresh(p), 0);
	assert_int_equal(catalog_refresh(p->catalog, true, REPO_NOW_SEC), 1);
}

static void test_follows_the_root(void **state)
{
	struct published *p = *state;

	repo_next_root(p->repo);
	add_version(p, "B202109020001");
	repo_next(p->repo);
	write_files(p);
	assert_int_equal(refresh(p), 1);
	assert_string_equal(newest(p), "B202109020001");
}

/* Any file that is not what was signed: the last good releases stay, and the sentence tells it. */
static void test_keeps_the_last_good(void **state)
{
	static const char *const names[] = { "timestamp.json", "2.snapshot.json", "2.targets.json",
					     "2.B.json" };
	struct published *p = *state;

	assert_int_equal(refresh(p), 1);
	add_version(p, "B202109020001");
	repo_next(p->repo);
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		char path[96];
		int fd;

		write_files(p);
		(void)snprintf(path, sizeof path, "repository/metadata/%s", names[i]);
		fd = openat(p->dir->dirfd, path, O_WRONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(pwrite(fd, "\"X", 2, 40), 2);
		assert_int_equal(close(fd), 0);
		assert_true(refresh(p) < 0);
		assert_string_not_equal(catalog_error(p->catalog), "");
		assert_string_equal(newest(p), "B202109010001");
	}
	write_files(p);
	assert_int_equal(refresh(p), 1);
	assert_string_equal(catalog_error(p->catalog), "");
	assert_string_equal(newest(p), "B202109020001");
}

static void test_expired(void **state)
{
	struct published *p = *state;

	assert_int_equal(refresh(p), 1);
	assert_true(catalog_refresh(p->catalog, true, catalog_expires_sec(p->catalog) + 1) < 0);
	assert_string_equal(newest(p), "B202109010001");
}

static void test_other_trusted_root(void **state)
{
	struct published *p = *state;
	struct repo *other = repo_new();
	const struct repo_file *root = files_get(&other->files, "1.root.json");

	scratch_write(p->dir->dirfd, "root.json", root->bytes, root->size, 0644);
	assert_true(refresh(p) < 0);
	assert_string_equal(newest(p), "none");
	repo_free(other);
}

static void test_missing_is_tried_again(void **state)
{
	struct published *p = *state;

	assert_int_equal(unlinkat(p->dir->dirfd, "root.json", 0), 0);
	assert_int_equal(refresh(p), -ENOENT);
	assert_non_null(strstr(catalog_error(p->catalog), "root.json"));
	/* Not at every look, but after a while. */
	assert_int_equal(refresh(p), 0);
	scratch_write(p->dir->dirfd, "root.json", files_get(&p->repo->files, "1.root.json")->bytes,
		      files_get(&p->repo->files, "1.root.json")->size, 0644);
	assert_int_equal(refresh(p), 0);
	assert_int_equal(catalog_refresh(p->catalog, false, REPO_NOW_SEC + CATALOG_RETRY_SEC), 1);
	assert_string_equal(newest(p), "B202109010001");
}

static void test_no_repository(void **state)
{
	struct published *p = *state;

	assert_int_equal(refresh(p), 1);
	assert_int_equal(fs_remove_tree(p->dir->dirfd, "repository"), 0);
	assert_int_equal(refresh(p), -ENOENT);
	assert_string_equal(newest(p), "B202109010001");
}

static void test_contradicting_custom_is_passed_over(void **state)
{
	struct published *p = *state;

	add_target(p, "B202109020001",
		   "{\"kind\":\"full\",\"program\":\"A\",\"version\":\"A202109020001\","
		   "\"arch\":\"amd64\"}");
	repo_next(p->repo);
	write_files(p);
	assert_int_equal(refresh(p), 1);
	assert_non_null(strstr(catalog_warning(p->catalog), "B/B202109020001-amd64.tar.xz"));
	assert_string_equal(newest(p), "B202109010001");
}

/* The specification lets a path be anything and a hash be of any kind; a gateway cannot use it. */
static void test_unusable_target_is_passed_over(void **state)
{
	struct published *p = *state;
	cJSON *targets = cJSON_GetObjectItemCaseSensitive(repo_role(p->repo, "B")->body, "targets");
	cJSON *odd, *hashes;

	add_version(p, "B202109020001");
	add_version(p, "B202109030001");
	odd = cJSON_DetachItemFromObjectCaseSensitive(targets, "B/B202109020001-amd64.tar.xz");
	cJSON_AddItemToObject(targets, "B/\\B202109020001-amd64.tar.xz", odd);
	hashes = cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(targets, "B/B202109030001-amd64.tar.xz"),
		"hashes");
	cJSON_DeleteItemFromObjectCaseSensitive(hashes, "sha256");
	repo_set_string(hashes, "blake3", "00");
	repo_next(p->repo);
	write_files(p);
	assert_int_equal(refresh(p), 1);
	assert_non_null(strstr(catalog_warning(p->catalog), "is passed over"));
	assert_string_equal(newest(p), "B202109010001");
}

/* A link out of the repository is not followed, whoever made it. */
static void test_links_are_not_followed(void **state)
{
	struct published *p = *state;

	assert_int_equal(
		renameat(p->dir->dirfd, "repository/metadata/1.B.json", p->dir->dirfd, "elsewhere"),
		0);
	assert_int_equal(
		symlinkat("../../elsewhere", p->dir->dirfd, "repository/metadata/1.B.json"), 0);
	assert_true(refresh(p) < 0);
}

static void test_acquired_outlives_refresh(void **state)
{
	struct published *p = *state;
	_cleanup_(releases_unrefp) struct releases *held = NULL;

	assert_int_equal(refresh(p), 1);
	held = catalog_acquire(p->catalog);
	add_version(p, "B202109020001");
	repo_next(p->repo);
	write_files(p);
	assert_int_equal(refresh(p), 1);
	assert_int_equal(releases_count(held), 1);
	p->catalog = catalog_free(p->catalog);
	assert_string_equal(releases_at(held, 0)->version.text, "B202109010001");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_starts_empty),
		TEST(test_reads_when_changed),
		TEST(test_follows_the_root),
		TEST(test_keeps_the_last_good),
		TEST(test_expired),
		TEST(test_other_trusted_root),
		TEST(test_missing_is_tried_again),
		TEST(test_no_repository),
		TEST(test_contradicting_custom_is_passed_over),
		TEST(test_unusable_target_is_passed_over),
		TEST(test_links_are_not_followed),
		TEST(test_acquired_outlives_refresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
