/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/json.h"
#include "common/log.h"
#include "range_server.h"
#include "scratch.h"
#include "tuf_repo.h"
#include "updaterd/medium.h"
#include "updaterd/trust.h"

#define OLD		     "B202109010001"
#define NEW		     "B202110010001"
#define CONTENT		     "the program"
#define LIST		     "the list"
#define TARGET(v)	     "B/" v "-arm64.tar.xz"
#define FAR_FUTURE	     "2190-01-01T00:00:00Z"
#define AFTER_FAR_FUTURE_SEC 7000000000
#define BUILT_SEC	     INT64_C(1627689600) /* 2021-07-31 */
#define YEAR_SEC	     INT64_C(31536000)

struct online {
	struct range_server server;
	struct http *http;
	char base[128];
};

struct fixture {
	struct online *online; /* NULL: only the medium */
	struct scratch *scratch;
	struct repo *repo;
	struct conf conf;
	char root_file[128], repository[128];
	char arch[16], model[16];
	int repository_fd, metadata_fd;
	struct medium *medium;
	struct trust *trust;
	int64_t clock_sec;
	struct update_time time;
	struct failure failure;
};

static cJSON *custom_of(struct fixture *f, const char *role, const char *path)
{
	const cJSON *targets = cJSON_GetObjectItemCaseSensitive(repo_role(f->repo, role)->body,
								"targets");

	return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(targets, path),
						"custom");
}

static cJSON *add_program_file(struct fixture *f, const char *path, const char *version,
			       const char *arch)
{
	static const int sizes[] = { 1024, 4096 };
	const char letter[2] = { version[0], '\0' };
	cJSON *custom;

	repo_add_target(f->repo, letter, path, CONTENT);
	custom = custom_of(f, letter, path);
	cJSON_AddStringToObject(custom, "program", letter);
	cJSON_AddStringToObject(custom, "version", version);
	cJSON_AddStringToObject(custom, "arch", arch);
	cJSON_AddItemToObject(custom, "segment_bytes", cJSON_CreateIntArray(sizes, 2));
	return custom;
}

/* What the repository has now, as files of a medium. */
static void lay_out(struct fixture *f)
{
	assert_int_equal(fs_remove_tree(f->repository_fd, "metadata"), 0);
	for (size_t i = 0; i < f->repo->files.n; i++) {
		const struct repo_file *file = &f->repo->files.list[i];
		char path[256];

		(void)snprintf(path, sizeof path, "metadata/%s", file->name);
		scratch_write(f->repository_fd, path, file->bytes, file->size, 0600);
	}
}

static void lay_out_target(struct fixture *f, const char *path, const char *signed_content,
			   const char *content)
{
	uint8_t sha256[SHA256_BYTES];
	char hex[SHA256_HEX_LENGTH + 1], name[512];

	assert_int_equal(digest_sha256(signed_content, strlen(signed_content), sha256), 0);
	hex_encode(sha256, sizeof sha256, hex);
	(void)snprintf(name, sizeof name, "targets/B/%s.%s", hex, strrchr(path, '/') + 1);
	scratch_text(f->repository_fd, name, content, 0600);
}

static void new_repository(struct fixture *f)
{
	static const char *const roles[] = { "root", "timestamp", "snapshot", "targets", "A", "B" };

	f->repo = repo_new();
	for (size_t i = 0; i < ELEMENTSOF(roles); i++)
		repo_set_string(repo_role(f->repo, roles[i])->body, "expires", FAR_FUTURE);
	repo_write(f->repo, "root");
	(void)add_program_file(f, TARGET(OLD), OLD, "arm64");
	(void)add_program_file(f, TARGET(NEW), NEW, "arm64");
	(void)add_program_file(f, "B/" NEW "-amd64.tar.xz", NEW, "amd64");
	repo_add_target(f->repo, "B", TARGET(NEW) ".seg1024", LIST);
	cJSON_ReplaceItemInObject(custom_of(f, "B", TARGET(NEW) ".seg1024"), "kind",
				  cJSON_CreateString("segments"));
	repo_publish(f->repo);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	const struct repo_file *root;
	void *scratch;

	assert_non_null(f);
	assert_int_equal(scratch_setup(&scratch), 0);
	f->scratch = scratch;
	f->repository_fd = scratch_dir(f->scratch->dirfd, "repository");
	f->metadata_fd = scratch_dir(f->scratch->dirfd, "kept");
	new_repository(f);
	lay_out(f);
	root = files_get(&f->repo->files, "1.root.json");
	scratch_write(f->scratch->dirfd, "root.json", root->bytes, root->size, 0644);
	(void)snprintf(f->root_file, sizeof f->root_file, "%s/root.json", f->scratch->path);
	(void)snprintf(f->repository, sizeof f->repository, "%s/repository", f->scratch->path);
	(void)strcpy(f->arch, "arm64");
	(void)strcpy(f->model, "gw1");
	f->conf = (struct conf){ .root_file = f->root_file, .arch = f->arch, .model = f->model };
	assert_int_equal(medium_open(f->repository, &f->medium), 0);
	f->clock_sec = REPO_NOW_SEC;
	log_set_level(LOG_CRIT);
	*state = f;
	return 0;
}

static void go_offline(struct fixture *f)
{
	if (!f->online)
		return;
	http_free(f->online->http);
	range_server_stop(&f->online->server);
	free(f->online);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *scratch = f->scratch;

	trust_free(f->trust);
	go_offline(f);
	medium_close(f->medium);
	repo_free(f->repo);
	(void)close(f->repository_fd);
	(void)close(f->metadata_fd);
	assert_int_equal(scratch_teardown(&scratch), 0);
	free(f);
	return 0;
}

/* As a run does at its start. */
static void begin_run(struct fixture *f)
{
	const struct tuf_limits limits = conf_tuf_limits(&f->conf);

	f->trust = trust_free(f->trust);
	memset(&f->failure, 0, sizeof f->failure);
	f->time = (struct update_time){ .clock_sec = f->clock_sec,
					.built_sec = BUILT_SEC,
					.trusted_sec = update_time_load(f->metadata_fd, &limits),
					.now_sec = BUILT_SEC };
	if (f->time.now_sec < f->time.clock_sec)
		f->time.now_sec = f->time.clock_sec;
	if (f->time.now_sec < f->time.trusted_sec)
		f->time.now_sec = f->time.trusted_sec;
}

static int refresh(struct fixture *f)
{
	begin_run(f);
	return trust_refresh(&f->conf, f->metadata_fd, &f->time, NULL, NULL, f->medium, &f->trust,
			     &f->failure);
}

static void assert_refreshed(struct fixture *f)
{
	if (refresh(f) < 0)
		fail_msg("%s", f->failure.text);
}

static void assert_refused(struct fixture *f, enum reason reason)
{
	assert_true(refresh(f) < 0);
	assert_null(f->trust);
	if (f->failure.reason != reason)
		fail_msg("%s, not %s: %s", reason_name(f->failure.reason), reason_name(reason),
			 f->failure.text);
	assert_true(f->failure.text[0]);
}

static bool is_kept(struct fixture *f, const char *name)
{
	return faccessat(f->metadata_fd, name, F_OK, 0) == 0;
}

/* ---- refresh ---- */

static void test_refresh(void **state)
{
	struct fixture *f = *state;
	struct program_file file = { 0 };
	struct version v;

	assert_refreshed(f);
	assert_true(is_kept(f, "timestamp.json") && is_kept(f, "snapshot.json") &&
		    is_kept(f, "targets.json"));
	assert_int_equal(version_parse(NEW, &v), 0);
	assert_int_equal(trust_find_program_file(f->trust, TARGET(NEW), &v, &file, &f->failure), 0);
	/* The installer finds everything that it has to check again. */
	assert_true(is_kept(f, "B.json"));
	assert_string_equal(file.path, TARGET(NEW));
	assert_string_equal(file.version.text, NEW);
	assert_int_equal(file.length_bytes, strlen(CONTENT));
	assert_int_equal(file.n_segment_bytes, 2);
	assert_int_equal(file.segment_bytes[1], 4096);
	assert_int_equal(strlen(file.file), 2 + SHA256_HEX_LENGTH + 1 + strlen(TARGET(NEW)) - 2);
	program_file_done(&file);
	assert_null(file.path);
}

static void test_refresh_again(void **state)
{
	struct fixture *f = *state;

	assert_refreshed(f);
	repo_next(f->repo);
	lay_out(f);
	assert_refreshed(f);
}

static void test_older_metadata(void **state)
{
	struct fixture *f = *state;
	struct repo_files old = { 0 };

	for (size_t i = 0; i < f->repo->files.n; i++)
		files_put(&old, f->repo->files.list[i].name, f->repo->files.list[i].bytes,
			  f->repo->files.list[i].size);
	repo_next(f->repo);
	lay_out(f);
	assert_refreshed(f);
	files_clear(&f->repo->files);
	f->repo->files = old;
	lay_out(f);
	assert_refused(f, REASON_METADATA_ROLLBACK);
}

static void test_wrong_signature(void **state)
{
	struct fixture *f = *state;

	repo_set_signers(f->repo, "timestamp", 1, repo_new_key(f->repo));
	repo_next(f->repo);
	lay_out(f);
	assert_refused(f, REASON_BAD_SIGNATURE);
	assert_false(is_kept(f, "timestamp.json"));
}

static void test_expired(void **state)
{
	struct fixture *f = *state;

	repo_set_string(repo_role(f->repo, "timestamp")->body, "expires", "2021-07-01T00:00:00Z");
	repo_publish(f->repo);
	lay_out(f);
	assert_refused(f, REASON_EXPIRED);
}

/* When something was trusted last it was at least so late, whatever the clock says now. */
static void test_time_does_not_go_back(void **state)
{
	struct fixture *f = *state;

	assert_refreshed(f);
	f->clock_sec = 60;
	assert_refreshed(f);
	assert_int_equal(f->time.now_sec, REPO_NOW_SEC);
	repo_set_string(repo_role(f->repo, "timestamp")->body, "expires", REPO_PAST);
	repo_next(f->repo);
	lay_out(f);
	assert_refused(f, REASON_EXPIRED);
	assert_non_null(strstr(f->failure.text, "the clock says 1970-01-01"));
}

/* A gateway that never knew the time: what is signed is judged by the day of its own release. */
static void test_clock_at_1970(void **state)
{
	struct fixture *f = *state;

	f->clock_sec = 0;
	assert_refreshed(f);
	assert_int_equal(f->time.now_sec, BUILT_SEC);
}

static void test_clock_ten_years_ahead(void **state)
{
	struct fixture *f = *state;

	repo_set_string(repo_role(f->repo, "timestamp")->body, "expires", REPO_EXPIRES);
	repo_publish(f->repo);
	lay_out(f);
	assert_refreshed(f);
	repo_next(f->repo);
	lay_out(f);
	f->clock_sec = REPO_NOW_SEC + 10 * YEAR_SEC;
	assert_refused(f, REASON_EXPIRED);
	assert_non_null(strstr(f->failure.text, "3650 days after metadata was last trusted"));
	/* As soon as the clock is right: nothing that was learnt meanwhile stands in the way. */
	f->clock_sec = REPO_NOW_SEC + 5;
	assert_refreshed(f);
	assert_int_equal(f->time.now_sec, REPO_NOW_SEC + 5);
}

static void write_record(struct fixture *f, int64_t sec)
{
	assert_int_equal(update_time_store(f->metadata_fd, sec), 0);
}

/* Nobody has signed anything that was to be believed so late. */
static void test_a_record_that_nothing_vouches_for(void **state)
{
	struct fixture *f = *state;

	assert_refreshed(f);
	write_record(f, AFTER_FAR_FUTURE_SEC);
	assert_refreshed(f);
	assert_int_equal(f->time.now_sec, REPO_NOW_SEC);
	write_record(f, REPO_NOW_SEC + 100);
	assert_refreshed(f);
	assert_int_equal(f->time.now_sec, REPO_NOW_SEC + 100);
}

/* A copy that a rotation of keys made void: what it vouched for is void too. */
static void test_a_void_copy_tells_no_time(void **state)
{
	struct fixture *f = *state;

	assert_refreshed(f);
	write_record(f, REPO_NOW_SEC + 100);
	scratch_text(f->metadata_fd, "timestamp.json", "", 0644);
	assert_refreshed(f);
	assert_int_equal(f->time.now_sec, REPO_NOW_SEC);
}

static void test_too_large(void **state)
{
	struct fixture *f = *state;
	char *big = malloc(TUF_TIMESTAMP_MAX_BYTES + 1);

	assert_non_null(big);
	memset(big, ' ', TUF_TIMESTAMP_MAX_BYTES + 1);
	scratch_write(f->repository_fd, "metadata/timestamp.json", big, TUF_TIMESTAMP_MAX_BYTES + 1,
		      0600);
	free(big);
	assert_true(refresh(f) < 0);
	assert_true(f->failure.reason >= REASON_BAD_SIGNATURE &&
		    f->failure.reason <= REASON_LENGTH);
}

static void test_no_root(void **state)
{
	struct fixture *f = *state;

	scratch_text(f->scratch->dirfd, "root.json", "{}", 0644);
	assert_refused(f, REASON_BAD_METADATA);
	assert_int_equal(unlinkat(f->scratch->dirfd, "root.json", 0), 0);
	assert_true(refresh(f) < 0);
	assert_non_null(strstr(f->failure.text, "root_file"));
}

static void test_starts_from_the_kept_root(void **state)
{
	struct fixture *f = *state;

	struct repo_key *key = repo_new_key(f->repo);

	/* Only the second root knows the key that signs from now on. */
	repo_root_says(f->repo, "timestamp", 1, 1, key);
	repo_set_signers(f->repo, "timestamp", 1, key);
	repo_next_root(f->repo);
	repo_next(f->repo);
	lay_out(f);
	assert_refreshed(f);
	assert_true(is_kept(f, "root.json"));
	assert_true(is_kept(f, "2.root.json"));
	/* The chain is gone from the server; what was kept is trusted still. */
	assert_int_equal(unlinkat(f->repository_fd, "metadata/2.root.json", 0), 0);
	assert_refreshed(f);
	/* A damaged copy of it is passed over. */
	scratch_text(f->metadata_fd, "root.json", "{\"signed\":", 0644);
	lay_out(f);
	assert_refreshed(f);
}

static void test_limits_are_configured(void **state)
{
	struct fixture *f = *state;
	struct program_file file = { 0 };
	struct version v;

	f->conf.max_timestamp_bytes = files_get(&f->repo->files, "timestamp.json")->size;
	assert_refreshed(f);
	f->conf.max_timestamp_bytes--;
	assert_refused(f, REASON_BAD_METADATA);
	assert_non_null(strstr(f->failure.text, "timestamp.json: larger than"));
	f->conf.max_timestamp_bytes = 0;
	f->conf.max_root_bytes = 100;
	assert_true(refresh(f) < 0);
	f->conf.max_root_bytes = 0;
	f->conf.max_targets_bytes = files_get(&f->repo->files, "1.targets.json")->size;
	assert_true(files_get(&f->repo->files, "1.B.json")->size > f->conf.max_targets_bytes);
	assert_refreshed(f);
	assert_int_equal(version_parse(NEW, &v), 0);
	assert_true(trust_find_program_file(f->trust, TARGET(NEW), &v, &file, &f->failure) < 0);
	assert_non_null(strstr(f->failure.text, "B.json: larger than"));
	f->conf.max_targets_bytes = 0;
	f->conf.max_snapshot_bytes = 16;
	assert_int_equal(unlinkat(f->metadata_fd, "snapshot.json", 0), 0);
	assert_refused(f, REASON_BAD_METADATA);
}

/* ---- the kept copies ---- */

static void assert_finds(struct fixture *f, const char *what, size_t at)
{
	struct program_file file = { 0 };
	struct version v;

	assert_int_equal(version_parse(NEW, &v), 0);
	if (refresh(f) < 0 ||
	    trust_find_program_file(f->trust, TARGET(NEW), &v, &file, &f->failure) < 0)
		fail_msg("%s, byte %zu: %s", what, at, f->failure.text);
	program_file_done(&file);
}

/* Three roots, the second and the third kept; every other file as well. */
static void keep_everything(struct fixture *f)
{
	repo_next_root(f->repo);
	repo_next_root(f->repo);
	lay_out(f);
	assert_finds(f, "all of it", 0);
	assert_true(is_kept(f, "2.root.json") && is_kept(f, "3.root.json") &&
		    is_kept(f, "root.json") && is_kept(f, "B.json") && is_kept(f, "last-trusted"));
}

static const char *const kept_names[] = { "2.root.json",    "3.root.json",   "root.json",
					  "timestamp.json", "snapshot.json", "targets.json",
					  "B.json",	    "last-trusted" };

/* Each byte takes a whole run: all of them with CHECK_BYTES=all, else a part. */
static size_t bytes_apart(void)
{
	const char *which = getenv("CHECK_BYTES");

	return which && strcmp(which, "all") == 0 ? 1 : 17;
}

static void for_each_kept_byte(struct fixture *f, void (*try)(struct fixture *f, const char *name,
							      char *bytes, size_t size, size_t at))
{
	keep_everything(f);
	for (size_t i = 0; i < ELEMENTSOF(kept_names); i++) {
		_cleanup_free_ char *bytes = NULL;
		size_t size;

		assert_int_equal(
			fs_read_file(f->metadata_fd, kept_names[i], 1 << 20, &bytes, &size), 0);
		for (size_t at = 0; at < size; at += at < 24 ? 1 : bytes_apart()) {
			try(f, kept_names[i], bytes, size, at);
			assert_finds(f, kept_names[i], at);
		}
	}
}

static void cut(struct fixture *f, const char *name, char *bytes, size_t size, size_t at)
{
	(void)size;
	scratch_write(f->metadata_fd, name, bytes, at, 0644);
}

static void flip_a_bit(struct fixture *f, const char *name, char *bytes, size_t size, size_t at)
{
	char right = bytes[at];

	bytes[at] = (char)(right ^ (1 << (at % 8)));
	scratch_write(f->metadata_fd, name, bytes, size, 0644);
	bytes[at] = right;
}

/* However a copy was cut or changed, the next run is none the worse. */
static void test_kept_copies_cut_anywhere(void **state)
{
	for_each_kept_byte(*state, cut);
}

static void test_kept_copies_with_a_wrong_byte(void **state)
{
	for_each_kept_byte(*state, flip_a_bit);
}

/* A copy that was cut is fetched again, and counts as before: the chain, and what was seen last. */
static void test_what_was_cut_is_made_whole(void **state)
{
	struct fixture *f = *state;

	keep_everything(f);
	scratch_text(f->metadata_fd, "2.root.json", "{}", 0644);
	assert_refreshed(f);
	assert_true(is_kept(f, "2.root.json") && is_kept(f, "3.root.json"));
	/* A server that has no chain any more is no reason to forget it. */
	assert_int_equal(unlinkat(f->repository_fd, "metadata/2.root.json", 0), 0);
	assert_int_equal(unlinkat(f->repository_fd, "metadata/3.root.json", 0), 0);
	assert_refreshed(f);
	assert_true(is_kept(f, "3.root.json"));
}

static void test_a_kept_chain_that_skips_one(void **state)
{
	struct fixture *f = *state;

	keep_everything(f);
	assert_int_equal(unlinkat(f->metadata_fd, "2.root.json", 0), 0);
	assert_int_equal(unlinkat(f->repository_fd, "metadata/2.root.json", 0), 0);
	assert_refreshed(f);
	assert_false(is_kept(f, "3.root.json"));
}

/* ---- another root_file ---- */

static void install_root_file(struct fixture *f, struct repo *repo, const char *name)
{
	const struct repo_file *root = files_get(&repo->files, name);

	assert_non_null(root);
	scratch_write(f->scratch->dirfd, "root.json", root->bytes, root->size, 0644);
}

/* The operator's word: a gateway that goes over to another repository, and back again. */
static void test_an_unrelated_root_file(void **state)
{
	struct fixture *f = *state;
	struct repo *first = f->repo;

	keep_everything(f);
	new_repository(f);
	install_root_file(f, f->repo, "1.root.json");
	/* The server is still the old one: nothing that it has counts, nor what was kept. */
	assert_refused(f, REASON_BAD_SIGNATURE);
	assert_false(is_kept(f, "2.root.json") || is_kept(f, "3.root.json"));
	lay_out(f);
	assert_finds(f, "the new repository", 0);
	repo_next_root(f->repo);
	lay_out(f);
	assert_refreshed(f);
	assert_true(is_kept(f, "2.root.json"));
	repo_free(f->repo);
	f->repo = first;
	install_root_file(f, first, "1.root.json");
	lay_out(f);
	assert_finds(f, "the old repository", 0);
	assert_true(is_kept(f, "3.root.json"));
}

static void test_a_newer_root_file_of_the_same_chain(void **state)
{
	struct fixture *f = *state;

	keep_everything(f);
	install_root_file(f, f->repo, "2.root.json");
	assert_refreshed(f);
	assert_true(is_kept(f, "3.root.json"));
	install_root_file(f, f->repo, "3.root.json");
	assert_refreshed(f);
}

/* What was kept descended from it once. */
static void test_a_root_file_that_is_lost(void **state)
{
	struct fixture *f = *state;

	keep_everything(f);
	scratch_text(f->scratch->dirfd, "root.json", "{\"signatures", 0644);
	assert_finds(f, "damaged", 0);
	assert_int_equal(unlinkat(f->scratch->dirfd, "root.json", 0), 0);
	assert_finds(f, "gone", 0);
	assert_int_equal(unlinkat(f->metadata_fd, "root.json", 0), 0);
	assert_true(refresh(f) < 0);
	assert_non_null(strstr(f->failure.text, "root_file"));
}

/* ---- what a target is allowed to be ---- */

static void assert_not_found(struct fixture *f, const char *path, const char *version,
			     enum reason reason)
{
	struct program_file file = { 0 };
	struct version v;

	assert_int_equal(version_parse(version, &v), 0);
	memset(&f->failure, 0, sizeof f->failure);
	assert_true(trust_find_program_file(f->trust, path, &v, &file, &f->failure) < 0);
	if (f->failure.reason != reason)
		fail_msg("%s: %s, not %s", path, reason_name(f->failure.reason),
			 reason_name(reason));
	assert_null(file.path);
}

static void test_judged(void **state)
{
	struct fixture *f = *state;

	assert_refreshed(f);
	assert_not_found(f, "B/nobody-signed-this", NEW, REASON_NO_TARGET);
	assert_not_found(f, TARGET(OLD), NEW, REASON_NO_TARGET);
	assert_not_found(f, "B/" NEW "-amd64.tar.xz", NEW, REASON_WRONG_ARCH);
	assert_not_found(f, TARGET(NEW), "A202110010001", REASON_WRONG_PROGRAM);
	assert_not_found(f, TARGET(NEW) ".seg1024", NEW, REASON_BAD_METADATA);
	/* Signed, but by the helper without what makes a program file. */
	assert_not_found(f, "B/b.tar.xz", NEW, REASON_BAD_METADATA);
}

/* Signed for, but no file and no URL is made of such a path, nor found by another hash. */
static void test_unusable_targets(void **state)
{
	static const char *const paths[] = { "B/\\B202110010001", "B/..", "B/", "B/\n" };
	struct fixture *f = *state;
	char sha512[2 * SHA512_BYTES + 1] = "";
	struct program_file file = { 0 };
	struct tuf_target target;
	cJSON *hashes;

	for (size_t i = 0; i < ELEMENTSOF(paths); i++)
		(void)add_program_file(f, paths[i], "B202112310001", "arm64");
	(void)add_program_file(f, "B/512", "B202112310001", "arm64");
	hashes = cJSON_GetObjectItem(
		cJSON_GetObjectItem(cJSON_GetObjectItem(repo_role(f->repo, "B")->body, "targets"),
				    "B/512"),
		"hashes");
	cJSON_DeleteItemFromObjectCaseSensitive(hashes, "sha256");
	memset(sha512, 'e', sizeof sha512 - 1);
	repo_set_string(hashes, "sha512", sha512);
	repo_publish(f->repo);
	lay_out(f);
	assert_refreshed(f);
	for (size_t i = 0; i < ELEMENTSOF(paths); i++)
		assert_not_found(f, paths[i], "B202112310001", REASON_BAD_METADATA);
	assert_not_found(f, "B/512", "B202112310001", REASON_BAD_METADATA);
	assert_int_equal(trust_find_target(f->trust, "B/..", &target, &f->failure), -EBADMSG);
	assert_int_equal(trust_find_newest(f->trust, 'B', NULL, &file, &f->failure), 0);
	assert_string_equal(file.path, TARGET(NEW));
	program_file_done(&file);
}

static void test_models(void **state)
{
	struct fixture *f = *state;
	struct program_file file = { 0 };
	const char *models[] = { "gw2", "gw3" };
	struct version v;

	cJSON_AddItemToObject(custom_of(f, "B", TARGET(NEW)), "model",
			      cJSON_CreateStringArray(models, 2));
	repo_publish(f->repo);
	lay_out(f);
	assert_refreshed(f);
	assert_not_found(f, TARGET(NEW), NEW, REASON_WRONG_MODEL);
	f->conf.model = NULL;
	assert_not_found(f, TARGET(NEW), NEW, REASON_WRONG_MODEL);
	f->conf.model = f->model;
	(void)strcpy(f->model, "gw3");
	assert_int_equal(version_parse(NEW, &v), 0);
	assert_int_equal(trust_find_program_file(f->trust, TARGET(NEW), &v, &file, &f->failure), 0);
	program_file_done(&file);
}

/* What makes no sense there is left for the installer to refuse. */
static void test_requires(void **state)
{
	static const char *const needed[] = { "A202101010001", "nonsense",	"C202101010001",
					      "D202101010001", "E202101010001", "F202101010001" };
	struct fixture *f = *state;
	struct program_file file = { 0 };
	struct version v;
	cJSON *requires;

	requires = cJSON_AddObjectToObject(custom_of(f, "B", TARGET(NEW)), "requires");
	for (size_t i = 0; i < ELEMENTSOF(needed); i++)
		cJSON_AddStringToObject(requires, (const char[]){ needed[i][0], '\0' }, needed[i]);
	repo_publish(f->repo);
	lay_out(f);
	assert_refreshed(f);
	assert_int_equal(version_parse(NEW, &v), 0);
	assert_int_equal(trust_find_program_file(f->trust, TARGET(NEW), &v, &file, &f->failure), 0);
	assert_int_equal(file.n_requires, TRUST_MAX_REQUIRES);
	assert_string_equal(file.requires[0].text, needed[0]);
	assert_string_equal(file.requires[1].text, needed[2]);
	program_file_done(&file);
}

/* Program B's role may not sign for A. */
/* ---- patches ---- */

#define PATCH(from) "B/" NEW "-arm64.from-" from ".patch"

static cJSON *tar_of(const char *first_byte)
{
	cJSON *tar = cJSON_CreateObject();
	char hex[SHA256_HEX_LENGTH + 1];

	(void)snprintf(hex, sizeof hex, "%s%062d", first_byte, 0);
	cJSON_AddNumberToObject(tar, "length", 10240);
	cJSON_AddStringToObject(tar, "sha256", hex);
	return tar;
}

static cJSON *add_patch(struct fixture *f)
{
	cJSON *targets = cJSON_GetObjectItem(repo_role(f->repo, "B")->body, "targets"), *custom;

	cJSON_DeleteItemFromObjectCaseSensitive(targets, PATCH(OLD));
	custom = add_program_file(f, PATCH(OLD), NEW, "arm64");

	cJSON_ReplaceItemInObject(custom, "kind", cJSON_CreateString("patch"));
	cJSON_AddStringToObject(custom, "from", OLD);
	cJSON_AddItemToObject(custom, "tar", tar_of("aa"));
	cJSON_AddItemToObject(custom, "base", tar_of("bb"));
	custom = custom_of(f, "B", TARGET(NEW));
	if (!cJSON_HasObjectItem(custom, "tar"))
		cJSON_AddItemToObject(custom, "tar", tar_of("aa"));
	return custom_of(f, "B", PATCH(OLD));
}

/* Publishes what the test made of it, and looks for the patch. */
static int find_patch(struct fixture *f, const char *from, struct program_file *ret)
{
	struct program_file full = { .path = NULL };
	struct version version, from_version;
	int r;

	repo_next(f->repo);
	lay_out(f);
	assert_int_equal(refresh(f), 0);
	assert_int_equal(version_parse(NEW, &version), 0);
	assert_int_equal(version_parse(from, &from_version), 0);
	assert_int_equal(
		trust_find_program_file(f->trust, TARGET(NEW), &version, &full, &f->failure), 0);
	r = trust_find_patch(f->trust, &full, &from_version, ret, &f->failure);
	program_file_done(&full);
	return r;
}

static void test_finds_a_patch(void **state)
{
	struct fixture *f = *state;
	struct program_file patch = { .path = NULL };

	(void)add_patch(f);
	assert_int_equal(find_patch(f, OLD, &patch), 0);
	assert_string_equal(patch.path, PATCH(OLD));
	assert_true(patch.is_patch);
	assert_int_equal(patch.base_bytes, 10240);
	assert_int_equal(patch.base_sha256[0], 0xbb);
	assert_int_equal(patch.tar_sha256[0], 0xaa);
	assert_int_equal(patch.n_segment_bytes, 2);
	assert_int_equal(patch.length_bytes, strlen(CONTENT));
	program_file_done(&patch);
	assert_int_equal(find_patch(f, "B202108010001", &patch), -ENOENT);
	assert_null(patch.path);
}

/* A patch is never what is offered or newest. */
static void test_a_patch_is_no_program_file(void **state)
{
	struct fixture *f = *state;
	struct program_file file = { .path = NULL };
	struct version version;

	(void)add_patch(f);
	assert_int_equal(find_patch(f, OLD, &file), 0);
	program_file_done(&file);
	assert_int_equal(version_parse(NEW, &version), 0);
	assert_true(trust_find_program_file(f->trust, PATCH(OLD), &version, &file, &f->failure) <
		    0);
	assert_int_equal(trust_find_newest(f->trust, 'B', NULL, &file, &f->failure), 0);
	assert_string_equal(file.path, TARGET(NEW));
	program_file_done(&file);
}

static void test_patches_that_are_none(void **state)
{
	static const struct {
		const char *member, *value;
	} cases[] = {
		{ "kind", "\"full\"" },
		{ "kind", "\"segments\"" },
		{ "version", "\"" OLD "\"" },
		{ "from", "\"" NEW "\"" },
		{ "from", "7" },
		{ "arch", "\"amd64\"" },
		{ "base", "{}" },
		{ "base", "{\"length\":-1,\"sha256\":\"00\"}" },
		{ "tar", "{}" },
		{ "tar", "{\"length\":10240,\"sha256\":\"cc00000000000000000000000000000000000000"
			 "00000000000000000000000000\"}" },
		{ "model", "[\"gw2\"]" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct program_file patch = { .path = NULL };
		cJSON *custom = add_patch(f);

		cJSON_DeleteItemFromObject(custom, cases[i].member);
		cJSON_AddItemToObject(custom, cases[i].member, cJSON_Parse(cases[i].value));
		if (find_patch(f, OLD, &patch) != -EBADMSG)
			fail_msg("%s: %s", cases[i].member, cases[i].value);
		assert_int_equal(f->failure.reason, REASON_BAD_METADATA);
		assert_null(patch.path);
	}
}

static void test_role_of_another_program(void **state)
{
	struct fixture *f = *state;

	(void)add_program_file(f, "B/A202110010001-arm64.tar.xz", "A202110010001", "arm64");
	cJSON_AddItemToObject(
		cJSON_GetObjectItem(repo_role(f->repo, "B")->body, "targets"),
		"A/A202110010001-arm64.tar.xz",
		cJSON_Duplicate(
			cJSON_GetObjectItem(
				cJSON_GetObjectItem(repo_role(f->repo, "B")->body, "targets"),
				TARGET(NEW)),
			true));
	repo_publish(f->repo);
	lay_out(f);
	assert_refreshed(f);
	assert_not_found(f, "A/A202110010001-arm64.tar.xz", "A202110010001", REASON_NO_TARGET);
}

static void test_newest(void **state)
{
	struct fixture *f = *state;
	struct program_file file = { 0 };
	struct version v;

	assert_refreshed(f);
	assert_int_equal(trust_find_newest(f->trust, 'B', NULL, &file, &f->failure), 0);
	assert_string_equal(file.path, TARGET(NEW));
	program_file_done(&file);
	assert_int_equal(version_parse(OLD, &v), 0);
	assert_int_equal(trust_find_newest(f->trust, 'B', &v, &file, &f->failure), 0);
	assert_string_equal(file.path, TARGET(OLD));
	program_file_done(&file);
	assert_int_equal(version_parse("B202101010001", &v), 0);
	assert_int_equal(trust_find_newest(f->trust, 'B', &v, &file, &f->failure), -ENOENT);
	assert_int_equal(trust_find_newest(f->trust, 'C', NULL, &file, &f->failure), -ENOENT);
	assert_int_equal(f->failure.reason, REASON_NO_TARGET);
}

/* ---- small targets ---- */

static void test_fetch_target(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	assert_refreshed(f);
	lay_out_target(f, TARGET(NEW) ".seg1024", LIST, LIST);
	assert_int_equal(trust_fetch_target(f->trust, TARGET(NEW) ".seg1024", 4096, &bytes, &size,
					    &f->failure),
			 0);
	assert_int_equal(size, strlen(LIST));
	assert_memory_equal(bytes, LIST, size);
	assert_int_equal(trust_fetch_target(f->trust, TARGET(NEW) ".seg1024", strlen(LIST) - 1,
					    &bytes, &size, &f->failure),
			 -EFBIG);
}

static void assert_target_refused(struct fixture *f, enum reason reason)
{
	char *bytes = NULL;
	size_t size;

	assert_true(trust_fetch_target(f->trust, TARGET(NEW) ".seg1024", 4096, &bytes, &size,
				       &f->failure) < 0);
	assert_int_equal(f->failure.reason, reason);
	assert_null(bytes);
}

static void test_fetch_target_refused(void **state)
{
	struct fixture *f = *state;

	assert_refreshed(f);
	assert_target_refused(f, REASON_SERVER_ERROR);
	lay_out_target(f, TARGET(NEW) ".seg1024", LIST, "the lisT");
	assert_target_refused(f, REASON_HASH);
	lay_out_target(f, TARGET(NEW) ".seg1024", LIST, "the lis");
	assert_target_refused(f, REASON_LENGTH);
	lay_out_target(f, TARGET(NEW) ".seg1024", LIST, "the list and more");
	assert_target_refused(f, REASON_LENGTH);
}

/* ---- over HTTPS ---- */

static struct online *go_online(struct fixture *f)
{
	struct http_options options = { .connect_timeout_sec = 10,
					.request_timeout_sec = 30,
					.low_speed_bytes_per_sec = 1,
					.low_speed_sec = 30 };
	struct online *o = calloc(1, sizeof *o);

	assert_non_null(o);
	for (size_t i = 0; i < f->repo->files.n; i++) {
		char path[160];

		(void)snprintf(path, sizeof path, "/bms/metadata/%s", f->repo->files.list[i].name);
		range_server_add(&o->server, path, f->repo->files.list[i].bytes,
				 f->repo->files.list[i].size);
	}
	range_server_start(&o->server, f->scratch->path);
	f->online = o;
	options.ca_file = o->server.ca_file;
	assert_int_equal(http_new(&options, &o->http), 0);
	(void)snprintf(o->base, sizeof o->base, "%s/bms", o->server.base);
	return o;
}

static int refresh_online(struct fixture *f, struct online *o)
{
	begin_run(f);
	return trust_refresh(&f->conf, f->metadata_fd, &f->time, o->http, o->base, NULL, &f->trust,
			     &f->failure);
}

static void test_online(void **state)
{
	struct fixture *f = *state;
	struct online *o = go_online(f);

	if (refresh_online(f, o) < 0)
		fail_msg("%s", f->failure.text);
	/* 2.root.json was asked for; that it is not there ends the chain. */
	assert_string_equal(o->server.shared->log[0].path, "/bms/metadata/2.root.json");
	assert_int_equal(o->server.shared->connections, 1);
}

/* A role's name is encoded once on its way into a URL. */
static void test_online_with_an_odd_role(void **state)
{
	struct fixture *f = *state;
	struct tuf_target target;
	struct online *o;
	bool seen = false;

	(void)repo_delegate(f->repo, "targets", "a/b %", "C/*", NULL);
	repo_set_string(repo_role(f->repo, "a/b %")->body, "expires", FAR_FUTURE);
	repo_add_target(f->repo, "a/b %", "C/x", CONTENT);
	repo_publish(f->repo);
	o = go_online(f);
	if (refresh_online(f, o) < 0 ||
	    trust_find_target(f->trust, "C/x", &target, &f->failure) < 0)
		fail_msg("%s", f->failure.text);
	for (size_t i = 0; i < ELEMENTSOF(o->server.shared->log); i++)
		if (strcmp(o->server.shared->log[i].path, "/bms/metadata/1.a%2Fb%20%25.json") == 0)
			seen = true;
	assert_true(seen);
}

/* What goes wrong on the way is no judgement about the repository. */
static void test_online_trouble(void **state)
{
	struct fixture *f = *state;
	struct online *o = go_online(f);

	o->server.shared->fail_times = 100;
	o->server.shared->fail_status = 503;
	o->server.shared->retry_after_sec = 300;
	assert_int_equal(refresh_online(f, o), -EAGAIN);
	assert_int_equal(f->failure.reason, REASON_SERVER_ERROR);
	assert_int_equal(f->failure.retry_after_sec, 300);
	o->server.shared->fail_times = 0;
	(void)strcpy(o->base, "https://127.0.0.1:1");
	assert_true(refresh_online(f, o) < 0);
	assert_int_equal(f->failure.reason, REASON_NETWORK);
}

static void test_online_403_is_not_there(void **state)
{
	struct fixture *f = *state;
	struct online *o = go_online(f);

	o->server.shared->fail_times = 1;
	o->server.shared->fail_status = 403;
	if (refresh_online(f, o) < 0)
		fail_msg("%s", f->failure.text);
}

/* ---- the medium ---- */

static void test_medium(void **state)
{
	struct fixture *f = *state;
	int fd;

	scratch_text(f->scratch->dirfd, "outside", "secret", 0644);
	scratch_text(f->repository_fd, "inside/file", "x", 0644);
	assert_int_equal(symlinkat("../outside", f->repository_fd, "link"), 0);
	assert_int_equal(symlinkat("inside", f->repository_fd, "linked"), 0);
	assert_int_equal(mkfifoat(f->repository_fd, "fifo", 0644), 0);
	fd = medium_open_file(f->medium, "inside/file");
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "y", 1), -1);
	assert_int_equal(close(fd), 0);
	assert_int_equal(medium_open_file(f->medium, "none"), -ENOENT);
	assert_int_equal(medium_open_file(f->medium, "../outside"), -EINVAL);
	assert_int_equal(medium_open_file(f->medium, "/etc/passwd"), -EINVAL);
	assert_int_equal(medium_open_file(f->medium, "link"), -ELOOP);
	assert_int_equal(medium_open_file(f->medium, "linked/file"), -ELOOP);
	assert_int_equal(medium_open_file(f->medium, "fifo"), -EINVAL);
	assert_int_equal(medium_open_file(f->medium, "inside"), -EINVAL);
	/* And it goes on after all that. */
	fd = medium_open_file(f->medium, "inside/file");
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}

static void test_medium_is_a_directory(void **state)
{
	struct fixture *f = *state;
	struct medium *m = NULL;

	assert_int_equal(medium_open(f->root_file, &m), -ENOTDIR);
	assert_int_equal(medium_open("/nonexistent", &m), -ENOENT);
	assert_null(m);
}

/* Opened as root, read by somebody who may not. */
static void test_medium_without_permission(void **state)
{
	struct fixture *f = *state;
	int status, fd;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	scratch_text(f->repository_fd, "secret", "x", 0600);
	assert_int_equal(fchmod(f->repository_fd, 0700), 0);
	pid = fork();
	if (pid == 0) {
		char byte;

		if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
		    setresuid(65534, 65534, 65534) < 0)
			_exit(1);
		if (openat(f->repository_fd, "secret", O_RDONLY | O_CLOEXEC) >= 0)
			_exit(2);
		fd = medium_open_file(f->medium, "secret");
		_exit(fd >= 0 && read(fd, &byte, 1) == 1 && byte == 'x' ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Nothing here depends on a disk, and the sweeps make much of it. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	assert_true(fd >= 0);
	return 0;
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_refresh),
		WITH_FIXTURE(test_refresh_again),
		WITH_FIXTURE(test_older_metadata),
		WITH_FIXTURE(test_wrong_signature),
		WITH_FIXTURE(test_expired),
		WITH_FIXTURE(test_time_does_not_go_back),
		WITH_FIXTURE(test_clock_at_1970),
		WITH_FIXTURE(test_clock_ten_years_ahead),
		WITH_FIXTURE(test_a_record_that_nothing_vouches_for),
		WITH_FIXTURE(test_a_void_copy_tells_no_time),
		WITH_FIXTURE(test_too_large),
		WITH_FIXTURE(test_no_root),
		WITH_FIXTURE(test_starts_from_the_kept_root),
		WITH_FIXTURE(test_limits_are_configured),
		WITH_FIXTURE(test_kept_copies_cut_anywhere),
		WITH_FIXTURE(test_kept_copies_with_a_wrong_byte),
		WITH_FIXTURE(test_what_was_cut_is_made_whole),
		WITH_FIXTURE(test_a_kept_chain_that_skips_one),
		WITH_FIXTURE(test_an_unrelated_root_file),
		WITH_FIXTURE(test_a_newer_root_file_of_the_same_chain),
		WITH_FIXTURE(test_a_root_file_that_is_lost),
		WITH_FIXTURE(test_judged),
		WITH_FIXTURE(test_unusable_targets),
		WITH_FIXTURE(test_models),
		WITH_FIXTURE(test_requires),
		WITH_FIXTURE(test_finds_a_patch),
		WITH_FIXTURE(test_a_patch_is_no_program_file),
		WITH_FIXTURE(test_patches_that_are_none),
		WITH_FIXTURE(test_role_of_another_program),
		WITH_FIXTURE(test_newest),
		WITH_FIXTURE(test_fetch_target),
		WITH_FIXTURE(test_fetch_target_refused),
		WITH_FIXTURE(test_online),
		WITH_FIXTURE(test_online_with_an_odd_role),
		WITH_FIXTURE(test_online_trouble),
		WITH_FIXTURE(test_online_403_is_not_there),
		WITH_FIXTURE(test_medium),
		WITH_FIXTURE(test_medium_is_a_directory),
		WITH_FIXTURE(test_medium_without_permission),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
