/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backups as a gateway sends them, through the router: by reference, in parts, wrong in every way; and what a
 * crash leaves.
 */
#include "fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "common/fsutil.h"

#define OTHER_IMEI "356938035643809"
#define VERSION	   "B202108010001"
#define PATH	   "/v1/backups/imei/" IMEI "/" VERSION
#define OTHER_PATH "/v1/backups/imei/" OTHER_IMEI "/" VERSION
#define TAR	   "1111111111111111111111111111111111111111111111111111111111111111"
#define OTHER_TAR  "2222222222222222222222222222222222222222222222222222222222222222"
#define SIZE	   10000
#define DAY	   86400

static char bytes[SIZE];
static char sha256[SHA256_HEX_LENGTH + 1];

static int setup(void **state)
{
	uint8_t digest[SHA256_BYTES];
	struct fixture *f;

	assert_int_equal(fixture_setup(state), 0);
	f = *state;
	f->conf->backup_path = in_scratch(f, "backups");
	assert_int_equal(backups_open(f->conf, f->service.store, f->service.catalog,
				      &f->service.backups, NULL),
			 0);
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (char)(i * 7 + i / 256);
	assert_int_equal(digest_sha256(bytes, SIZE, digest), 0);
	hex_encode(digest, sizeof digest, sha256);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	f->service.backups = backups_close(f->service.backups);
	return fixture_teardown(state);
}

static void reopen(struct fixture *f)
{
	f->service.backups = backups_close(f->service.backups);
	assert_int_equal(backups_open(f->conf, f->service.store, f->service.catalog,
				      &f->service.backups, NULL),
			 0);
}

static unsigned tell(struct fixture *f, const char *path, const char *tar, const char *sha,
		     unsigned long length)
{
	char body[256];

	(void)snprintf(body, sizeof body,
		       "{\"tar_sha256\":\"%s\",\"sha256\":\"%s\",\"length\":%lu}", tar, sha,
		       length);
	return call(f, METHOD_PUT, path, body);
}

static unsigned tell_ours(struct fixture *f, const char *path)
{
	return tell(f, path, TAR, sha256, SIZE);
}

/* Of the last answer; UINT64_MAX if it has none. */
static uint64_t offset_of(const struct fixture *f)
{
	_cleanup_json_ cJSON *json = parsed_json(f->answer.body);
	uint64_t offset = UINT64_MAX;

	(void)!json_get_u64(json, "offset", SIZE, &offset, NULL);
	return offset;
}

static bool is_held(const struct fixture *f)
{
	return strstr(f->answer.body, "\"state\":\"held\"");
}

static unsigned put_as(struct fixture *f, const char *path, const char *content_range,
		       const char *content_length, const void *body, size_t size)
{
	struct backup_upload *upload = NULL;
	_cleanup_free_ char *whole = NULL;
	struct request request = { .method = METHOD_PUT,
				   .body = "",
				   .announced_body = true,
				   .content_range = content_range,
				   .content_length = content_length };
	int r, error = 0;

	assert_true(asprintf(&whole, "%s/bytes", path) > 0);
	request.path = whole;
	answer_done(&f->answer);
	r = service_begin_upload(&f->service, &request, &upload, &f->answer);
	if (r < 0)
		return f->answer.status;
	assert_int_equal(r, 1);
	/* In two pieces, as a body comes. */
	error = backups_write(upload, body, size / 2);
	if (error == 0)
		error = backups_write(upload, (const char *)body + size / 2, size - size / 2);
	service_end_upload(&f->service, upload, error, &f->answer);
	return f->answer.status;
}

static unsigned put(struct fixture *f, const char *path, size_t first, size_t size)
{
	char range[64];

	(void)snprintf(range, sizeof range, "bytes %zu-%zu/%d", first, first + size - 1, SIZE);
	return put_as(f, path, range, NULL, bytes + first, size);
}

static void bring(struct fixture *f, const char *path)
{
	assert_int_equal(tell_ours(f, path), 202);
	assert_int_equal(put(f, path, 0, SIZE), 201);
	assert_true(is_held(f));
}

static char *file_path(const struct fixture *f, const char *directory, const char *name)
{
	char *path = NULL;

	assert_true(asprintf(&path, "%s/%s/%s", f->conf->backup_path, directory, name) > 0);
	return path;
}

static bool has_file(const struct fixture *f)
{
	_cleanup_free_ char *path = file_path(f, "files", sha256);

	return access(path, F_OK) == 0;
}

static unsigned count_parts(const struct fixture *f)
{
	_cleanup_free_ char *path = file_path(f, "parts", ".");
	_cleanup_dir_ DIR *dir = NULL;
	unsigned n = 0;

	dir = opendir(path);
	assert_non_null(dir);
	while (fs_next_name(dir))
		n++;
	return n;
}

/* ---- bytes ---- */

static void test_in_parts(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(offset_of(f), 0);
	assert_int_equal(put(f, PATH, 0, 4096), 202);
	assert_int_equal(offset_of(f), 4096);
	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(offset_of(f), 4096);
	assert_int_equal(put(f, PATH, 4096, 4096), 202);
	assert_false(has_file(f));
	assert_int_equal(put(f, PATH, 8192, SIZE - 8192), 201);
	assert_true(is_held(f));
	assert_true(has_file(f));
	assert_int_equal(count_parts(f), 0);
	assert_int_equal(tell_ours(f, PATH), 200);
	assert_true(is_held(f));
	/* Once held, more bytes are welcome to be thrown away. */
	assert_int_equal(put(f, PATH, 0, 10), 200);
}

static void test_read(void **state)
{
	struct request part = {
		.method = METHOD_GET, .path = PATH "/bytes", .body = "", .range = "bytes=5000-5099"
	};
	struct fixture *f = *state;
	char got[100];
	size_t n = 0;

	assert_int_equal(call(f, METHOD_GET, PATH, NULL), 404);
	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(call(f, METHOD_GET, PATH, NULL), 200);
	assert_int_equal(offset_of(f), 0);
	assert_int_equal(call(f, METHOD_GET, PATH "/bytes", NULL), 404);
	assert_int_equal(put(f, PATH, 0, SIZE), 201);
	assert_int_equal(call(f, METHOD_GET, PATH, NULL), 200);
	assert_non_null(strstr(f->answer.body, sha256));
	assert_int_equal(call(f, METHOD_GET, PATH "/bytes", NULL), 200);
	assert_int_equal(f->answer.length, SIZE);
	assert_int_equal(handle(f, &part), 206);
	assert_int_equal(f->answer.offset, 5000);
	assert_int_equal(f->answer.length, 100);
	assert_int_equal(fs_pread_upto(f->answer.fd, got, sizeof got, 5000, &n), 0);
	assert_memory_equal(got, bytes + 5000, sizeof got);
}

static void test_wrong_ranges(void **state)
{
	static const struct {
		const char *range, *length;
		unsigned status;
	} wrong[] = {
		{ NULL, NULL, 400 },
		{ "", NULL, 400 },
		{ "bytes 0-9", NULL, 400 },
		{ "bytes 0-9/*", NULL, 400 },
		{ "bytes */10000", NULL, 400 },
		{ "bytes=0-9/10000", NULL, 400 },
		{ "bytes -9/10000", NULL, 400 },
		{ "bytes 9-0/10000", NULL, 400 },
		{ "bytes 0-9/10000 ", NULL, 400 },
		{ "bytes 0-9/10001", NULL, 400 },
		{ "bytes 0-9/9999", NULL, 400 },
		{ "bytes 0-10000/10000", NULL, 400 },
		{ "bytes 0-99999999999999999999999/10000", NULL, 400 },
		{ "bytes 18446744073709551616-18446744073709551617/10000", NULL, 400 },
		{ "bytes 0-9/10000", "11", 400 },
		{ "bytes 0-9/10000", "9", 400 },
		{ "bytes 0-9/10000", "0x0a", 400 },
		{ "bytes 4096-4105/10000", "10", 409 },
	};
	struct fixture *f = *state;

	assert_int_equal(tell_ours(f, PATH), 202);
	for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
		assert_int_equal(put_as(f, PATH, wrong[i].range, wrong[i].length, bytes, 10),
				 wrong[i].status);
		assert_int_equal(count_parts(f), 0);
	}
	assert_int_equal(offset_of(f), 0);
}

static void test_bodies_of_another_length(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(put_as(f, PATH, "bytes 0-99/10000", NULL, bytes, 60), 400);
	/* What came is as good as any. */
	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(offset_of(f), 60);
	assert_int_equal(put_as(f, PATH, "bytes 60-99/10000", NULL, bytes + 60, 41), 400);
	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(offset_of(f), 80);
	assert_int_equal(put(f, PATH, 80, SIZE - 80), 201);
}

static void test_wrong_bytes_begin_anew(void **state)
{
	char wrong[SIZE];
	struct fixture *f = *state;

	memcpy(wrong, bytes, SIZE);
	wrong[SIZE - 1] ^= 1;
	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(put_as(f, PATH, "bytes 0-9999/10000", NULL, wrong, SIZE), 422);
	assert_false(has_file(f));
	assert_int_equal(count_parts(f), 0);
	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(offset_of(f), 0);
	assert_int_equal(put(f, PATH, 0, SIZE), 201);
}

static void test_one_at_a_time(void **state)
{
	struct request request = { .method = METHOD_PUT,
				   .path = PATH "/bytes",
				   .body = "",
				   .content_range = "bytes 0-9999/10000" };
	struct backup_upload *upload = NULL;
	struct fixture *f = *state;

	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(service_begin_upload(&f->service, &request, &upload, &f->answer), 1);
	assert_int_equal(backups_write(upload, bytes, 5000), 0);
	assert_int_equal(put(f, PATH, 0, SIZE), 409);
	assert_int_equal(put(f, PATH, 5000, SIZE - 5000), 409);
	assert_int_equal(offset_of(f), 5000);
	assert_string_equal(header(f, "Retry-After"), "30");
	assert_int_equal(call(f, METHOD_DELETE, "/v1/admin/backups/" VERSION "/imei:" IMEI, NULL),
			 409);
	assert_int_equal(tell(f, PATH, OTHER_TAR, sha256, SIZE), 409);
	assert_int_equal(backups_tidy(f->service.backups, time(NULL) + 10000 * DAY), 0);
	/* It is cut. */
	assert_null(backups_abort(upload));
	assert_int_equal(put(f, PATH, 5000, SIZE - 5000), 201);
}

/* ---- telling ---- */

static void test_same_bytes_come_once(void **state)
{
	struct fixture *f = *state;

	bring(f, PATH);
	assert_int_equal(tell_ours(f, OTHER_PATH), 201);
	assert_true(is_held(f));
	/* Who tells of the same tar with other bytes has to bring them: a tar is only a word. */
	assert_int_equal(
		tell(f, "/v1/backups/imei/" OTHER_IMEI "/B202108010002", TAR, OTHER_TAR, SIZE),
		202);
	assert_int_equal(tell(f, "/v1/backups/imei/" OTHER_IMEI "/B202108010003", OTHER_TAR, sha256,
			      SIZE + 1),
			 202);
	assert_int_equal(call(f, METHOD_DELETE, "/v1/admin/backups/" VERSION "/imei:" IMEI, NULL),
			 200);
	assert_true(has_file(f));
	assert_int_equal(
		call(f, METHOD_DELETE, "/v1/admin/backups/" VERSION "/imei:" OTHER_IMEI, NULL),
		200);
	assert_false(has_file(f));
}

static void test_what_is_held_stays(void **state)
{
	struct fixture *f = *state;

	bring(f, PATH);
	assert_int_equal(tell(f, PATH, OTHER_TAR, OTHER_TAR, 5), 409);
	assert_string_equal(named_field(f), "tar_sha256");
	/* The same release, compressed in another way. */
	assert_int_equal(tell(f, PATH, TAR, OTHER_TAR, 5), 200);
	assert_int_equal(tell_ours(f, PATH), 200);
}

static void test_what_is_wanted_may_change(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(tell(f, PATH, OTHER_TAR, OTHER_TAR, SIZE), 202);
	assert_int_equal(put(f, PATH, 0, 100), 202);
	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(offset_of(f), 0);
	assert_int_equal(count_parts(f), 0);
}

static void use_release(struct fixture *f, const char *tar)
{
	struct releases *l = new_releases();
	uint8_t digest[SHA256_BYTES] = { 0xab };
	char custom[512];

	(void)snprintf(custom, sizeof custom,
		       "{\"kind\":\"full\",\"program\":\"B\",\"version\":\"" VERSION
		       "\",\"arch\":\"amd64\",\"tar\":{\"length\":1,\"sha256\":\"%s\"}}",
		       tar);
	assert_int_equal(add_release(l, "B/" VERSION "-amd64.tar.xz", custom), 1);
	releases_note_sha256(l, digest);
	catalog_use(f->service.catalog, l);
}

static void test_by_reference(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *repository = NULL, *path = NULL;

	use_release(f, TAR);
	f->conf->backup_max_file_bytes = 0;
	assert_int_equal(tell(f, PATH, OTHER_TAR, sha256, SIZE), 413);
	assert_int_equal(tell(f, PATH, TAR, sha256, SIZE), 201);
	assert_true(is_held(f));
	assert_int_equal(call(f, METHOD_GET, PATH, NULL), 200);
	assert_non_null(strstr(f->answer.body, "\"sha256\":\"ab00"));
	assert_non_null(strstr(f->answer.body, "\"length\":1000"));
	/* The file is where the repository has it. */
	assert_int_equal(call(f, METHOD_GET, PATH "/bytes", NULL), 404);
	assert_int_equal(fs_mkdir_p(AT_FDCWD, f->conf->repository, 0755), 0);
	assert_true(asprintf(&repository, "%s/targets/B", f->conf->repository) > 0);
	assert_int_equal(fs_mkdir_p(AT_FDCWD, repository, 0755), 0);
	assert_true(asprintf(&path, "%s/ab%062d." VERSION "-amd64.tar.xz", repository, 0) > 0);
	assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, "program", 7, 0644), 0);
	assert_int_equal(call(f, METHOD_GET, PATH "/bytes", NULL), 200);
	assert_int_equal(f->answer.length, 7);
}

static void test_repository_that_forgets(void **state)
{
	struct fixture *f = *state;

	use_release(f, TAR);
	assert_int_equal(tell_ours(f, PATH), 201);
	/* One that cannot be read has forgotten nothing. */
	catalog_use(f->service.catalog, new_releases());
	assert_int_equal(tell_ours(f, PATH), 200);
	use_release(f, OTHER_TAR);
	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(put(f, PATH, 0, SIZE), 201);
}

static void test_asking_whether_it_is_held(void **state)
{
	static const char asked[] = "{\"tar_sha256\":\"" TAR "\"}";
	struct fixture *f = *state;

	assert_int_equal(call(f, METHOD_PUT, PATH, asked), 404);
	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(call(f, METHOD_PUT, PATH, asked), 404);
	assert_int_equal(put(f, PATH, 0, SIZE), 201);
	assert_int_equal(call(f, METHOD_PUT, PATH, asked), 200);
	assert_int_equal(call(f, METHOD_PUT, PATH, "{\"tar_sha256\":\"" OTHER_TAR "\"}"), 409);
}

static void test_malformed(void **state)
{
	static const char *const paths[] = {
		"/v1/backups/imei/" IMEI,
		"/v1/backups/imei/" IMEI "/",
		"/v1/backups/imei/" IMEI "/" VERSION "/",
		"/v1/backups/imei/" IMEI "/" VERSION "/byte",
		"/v1/backups/imei/" IMEI "/" VERSION "/bytes/",
		"/v1/backups/imei/" IMEI "/../../" VERSION,
		"/v1/backups/imei/490154203237519/" VERSION,
		"/v1/backups/serial/1/" VERSION,
		"/v1/backups/name/../" VERSION "/x",
		"/v1/backups/name/a b/" VERSION,
		"/v1/backups/name/x/B20210801000",
		"/v1/backups/name/x/B202102300001",
		"/v1/backups/name/x/..",
		"/v1/backups//" IMEI "/" VERSION,
		"/v1/backups/imei//" VERSION,
	};
	static const char *const bodies[] = {
		"",
		"[]",
		"{}",
		"{\"tar_sha256\":1}",
		"{\"tar_sha256\":\"" TAR "1\"}",
		"{\"tar_sha256\":\"" TAR "\",\"sha256\":\"" TAR "\"}",
		"{\"tar_sha256\":\"" TAR "\",\"length\":5}",
		"{\"tar_sha256\":\"" TAR "\",\"sha256\":\"" TAR "\",\"length\":0}",
		"{\"tar_sha256\":\"" TAR "\",\"sha256\":\"" TAR "\",\"length\":-5}",
		"{\"tar_sha256\":\"" TAR "\",\"sha256\":\"" TAR "\",\"length\":9007199254740993}",
		"{\"tar_sha256\":\"" TAR "\",\"sha256\":\"../../etc/passwd\",\"length\":5}",
		"{\"tar_sha256\":\"" TAR "\",\"sha256\":\"" TAR "\",\"length\":5,\"more\":1}",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
		assert_int_equal(tell_ours(f, paths[i]), 400);
		assert_int_equal(put(f, paths[i], 0, 10), 400);
	}
	for (size_t i = 0; i < ELEMENTSOF(bodies); i++)
		assert_int_equal(call(f, METHOD_PUT, PATH, bodies[i]), 400);
	assert_int_equal(call(f, METHOD_PUT, PATH, NULL), 411);
	assert_int_equal(put(f, PATH, 0, 10), 404);
	assert_int_equal(call(f, METHOD_GET, "/v1/admin/backups", NULL), 200);
	assert_string_equal(f->answer.body, "{\"backups\":[]}");
}

/* ---- limits ---- */

static void test_limits(void **state)
{
	struct fixture *f = *state;

	f->conf->backup_max_file_bytes = SIZE - 1;
	assert_int_equal(tell_ours(f, PATH), 413);
	assert_string_equal(named_field(f), "length");
	f->conf->backup_max_file_bytes = SIZE;
	f->conf->backup_max_total_bytes = SIZE;
	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(tell(f, OTHER_PATH, OTHER_TAR, OTHER_TAR, 5000), 202);
	assert_int_equal(put(f, PATH, 0, SIZE - 5), 202);
	/* Whoever comes first: the other has no room any more. */
	assert_int_equal(put_as(f, OTHER_PATH, "bytes 0-5/5000", NULL, bytes, 6), 507);
	assert_int_equal(put_as(f, OTHER_PATH, "bytes 0-4/5000", NULL, bytes, 5), 202);
	assert_int_equal(tell(f, "/v1/backups/name/x/" VERSION, OTHER_TAR, TAR, 1), 507);
	assert_non_null(header(f, "Retry-After"));
	assert_int_equal(put(f, PATH, SIZE - 5, 5), 507);
	assert_int_equal(
		call(f, METHOD_DELETE, "/v1/admin/backups/" VERSION "/imei:" OTHER_IMEI, NULL),
		200);
	assert_int_equal(put(f, PATH, SIZE - 5, 5), 201);
	/* A limit that was lowered meanwhile. */
	assert_int_equal(call(f, METHOD_DELETE, "/v1/admin/backups/" VERSION "/imei:" IMEI, NULL),
			 200);
	assert_int_equal(tell_ours(f, PATH), 202);
	f->conf->backup_max_file_bytes = 1;
	assert_int_equal(put(f, PATH, 0, 10), 413);
}

static struct backup_upload *begin_upload(struct fixture *f, const char *path)
{
	struct backup_upload *upload = NULL;
	_cleanup_free_ char *whole = NULL;
	struct request request = { .method = METHOD_PUT,
				   .body = "",
				   .announced_body = true,
				   .content_range = "bytes 0-4999/5000" };

	assert_true(asprintf(&whole, "%s/bytes", path) > 0);
	request.path = whole;
	answer_done(&f->answer);
	(void)!service_begin_upload(&f->service, &request, &upload, &f->answer);
	return upload;
}

/* Those that are under way have the room that they were promised, and nobody else has it. */
static void test_limit_of_many_at_once(void **state)
{
	struct fixture *f = *state;
	struct backup_upload *one, *other;

	f->conf->backup_max_total_bytes = 9999;
	assert_int_equal(tell(f, PATH, TAR, TAR, 5000), 202);
	assert_int_equal(tell(f, OTHER_PATH, OTHER_TAR, OTHER_TAR, 5000), 202);
	one = begin_upload(f, PATH);
	assert_non_null(one);
	other = begin_upload(f, OTHER_PATH);
	assert_null(other);
	assert_int_equal(f->answer.status, 507);
	/* It goes away, and has sent nothing. */
	assert_null(backups_abort(one));
	other = begin_upload(f, OTHER_PATH);
	assert_non_null(other);
	assert_null(backups_abort(other));
}

static void test_oldest_makes_room(void **state)
{
	struct fixture *f = *state;

	f->conf->backup_max_per_gateway = 2;
	bring(f, PATH);
	assert_int_equal(tell_ours(f, "/v1/backups/imei/" IMEI "/B202108010002"), 201);
	/* Of this one its gateway has told again since. */
	{
		struct store_backup b;

		assert_int_equal(store_get_backup(f->service.store, "imei:" IMEI, VERSION, &b), 0);
		assert_int_equal(store_tell_backup(f->service.store, b.id, time(NULL) + 9), 1);
	}
	assert_int_equal(tell_ours(f, OTHER_PATH), 201);
	assert_int_equal(tell_ours(f, "/v1/backups/imei/" IMEI "/B202108010003"), 201);
	assert_int_equal(call(f, METHOD_GET, PATH, NULL), 200);
	assert_int_equal(call(f, METHOD_GET, "/v1/backups/imei/" IMEI "/B202108010002", NULL), 404);
	assert_int_equal(call(f, METHOD_GET, OTHER_PATH, NULL), 200);
}

/* ---- tidying up ---- */

static void test_retention(void **state)
{
	struct fixture *f = *state;
	int64_t now = time(NULL);

	f->conf->backup_keep_days = 100;
	bring(f, PATH);
	assert_int_equal(tell(f, OTHER_PATH, OTHER_TAR, OTHER_TAR, SIZE), 202);
	assert_int_equal(put(f, OTHER_PATH, 0, 10), 202);
	assert_int_equal(backups_tidy(f->service.backups, now + 20 * DAY), 0);
	assert_int_equal(count_parts(f), 1);
	assert_int_equal(backups_tidy(f->service.backups, now + 40 * DAY), 1);
	assert_int_equal(count_parts(f), 0);
	assert_int_equal(backups_tidy(f->service.backups, now + 99 * DAY), 0);
	assert_true(has_file(f));
	assert_int_equal(backups_tidy(f->service.backups, now + 101 * DAY), 1);
	assert_false(has_file(f));
	f->conf->backup_keep_days = 0;
	bring(f, PATH);
	assert_int_equal(backups_tidy(f->service.backups, now + 10000 * DAY), 0);
	assert_true(has_file(f));
}

static void test_what_a_crash_leaves(void **state)
{
	_cleanup_free_ char *file = NULL, *litter = NULL, *part = NULL, *foreign = NULL;
	struct fixture *f = *state;
	struct store_backup b;

	bring(f, PATH);
	/* Between the file's name and the row's word for it. */
	assert_int_equal(store_get_backup(f->service.store, "imei:" IMEI, VERSION, &b), 0);
	assert_int_equal(store_set_backup_state(f->service.store, b.id, STORE_BACKUP_WANTED), 1);
	litter = file_path(f, "files", OTHER_TAR);
	part = file_path(f, "parts", "4711");
	foreign = file_path(f, "parts", "007");
	assert_int_equal(fs_write_file_atomic(AT_FDCWD, litter, "x", 1, 0600), 0);
	assert_int_equal(fs_write_file_atomic(AT_FDCWD, part, "x", 1, 0600), 0);
	assert_int_equal(fs_write_file_atomic(AT_FDCWD, foreign, "x", 1, 0600), 0);
	reopen(f);
	assert_int_equal(tell_ours(f, PATH), 200);
	assert_int_equal(access(litter, F_OK), -1);
	assert_int_equal(access(part, F_OK), -1);
	assert_int_equal(access(foreign, F_OK), 0);
	/* A file that is gone is asked for again. */
	file = file_path(f, "files", sha256);
	assert_int_equal(unlink(file), 0);
	reopen(f);
	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(put(f, PATH, 0, 10), 202);
	reopen(f);
	assert_int_equal(tell_ours(f, PATH), 202);
	assert_int_equal(offset_of(f), 10);
}

/* ---- the list ---- */

static void test_list(void **state)
{
	_cleanup_json_ cJSON *json = NULL;
	struct fixture *f = *state;

	bring(f, PATH);
	assert_int_equal(tell(f, OTHER_PATH, OTHER_TAR, OTHER_TAR, SIZE), 202);
	assert_int_equal(put(f, OTHER_PATH, 0, 10), 202);
	assert_int_equal(call(f, METHOD_GET, "/v1/admin/backups", NULL), 200);
	json = parsed_json(f->answer.body);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "backups")), 2);
	assert_non_null(strstr(f->answer.body, "\"state\":\"wanted\",\"offset\":10"));
	assert_int_equal(call_with(f, "/v1/admin/backups", "identity", "imei:" OTHER_IMEI), 200);
	assert_null(strstr(f->answer.body, IMEI));
	assert_int_equal(call_with(f, "/v1/admin/backups", "identity", "imei:1"), 400);
	assert_int_equal(call_with(f, "/v1/admin/backups", "after", "2"), 200);
	assert_string_equal(f->answer.body, "{\"backups\":[]}");
	assert_int_equal(call(f, METHOD_DELETE, "/v1/admin/backups/" VERSION "/name:x", NULL), 404);
}

static void test_without_backups(void **state)
{
	struct fixture *f = *state;

	f->service.backups = backups_close(f->service.backups);
	assert_int_equal(tell_ours(f, PATH), 404);
	assert_int_equal(put(f, PATH, 0, 10), 404);
	assert_int_equal(call(f, METHOD_GET, "/v1/admin/backups", NULL), 404);
	assert_int_equal(call(f, METHOD_DELETE, "/v1/admin/backups/" VERSION "/name:x", NULL), 404);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_in_parts),
		TEST(test_read),
		TEST(test_wrong_ranges),
		TEST(test_bodies_of_another_length),
		TEST(test_wrong_bytes_begin_anew),
		TEST(test_one_at_a_time),
		TEST(test_same_bytes_come_once),
		TEST(test_what_is_held_stays),
		TEST(test_what_is_wanted_may_change),
		TEST(test_by_reference),
		TEST(test_repository_that_forgets),
		TEST(test_asking_whether_it_is_held),
		TEST(test_malformed),
		TEST(test_limits),
		TEST(test_limit_of_many_at_once),
		TEST(test_oldest_makes_room),
		TEST(test_retention),
		TEST(test_what_a_crash_leaves),
		TEST(test_list),
		TEST(test_without_backups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
