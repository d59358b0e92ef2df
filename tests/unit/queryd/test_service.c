/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routes, who may administrate, the blacklist's calls, and the files of the repository.
 */
#include "fixture.h"

#define ENTRY "/v1/admin/blacklist/B202109010001/imei:" IMEI

/* ---- routes ---- */

static void test_unknown_paths(void **state)
{
	static const char *const paths[] = {
		"",
		"/",
		"/v1",
		"/v1/query/",
		"/v1/queryx",
		"/v1/results",
		"/v1/results/",
		"/metadata",
		"/metadata/",
		"/v2/query",
		"//v1/query",
		"/v1/admin",
		"/v1/admin/",
		"/v1/admin/tokens",
		"v1/query",
		"/v1/admin/blacklist/",
		"/V1/QUERY",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
		assert_int_equal(call(f, METHOD_GET, paths[i], NULL), 404);
		assert_string_equal(named_field(f), "");
	}
}

static void test_wrong_methods(void **state)
{
	static const struct {
		const char *path, *allow;
		enum method method;
	} wrong[] = {
		{ "/v1/query", "POST", METHOD_GET },
		{ "/v1/query", "POST", METHOD_PUT },
		{ "/v1/query", "POST", METHOD_OTHER },
		{ "/v1/results/x", "PUT", METHOD_POST },
		{ "/v1/results/x", "PUT", METHOD_DELETE },
		{ "/metadata/x", "GET, HEAD", METHOD_PUT },
		{ "/targets/x", "GET, HEAD", METHOD_DELETE },
		{ "/v1/admin/results", "GET", METHOD_PUT },
		{ ENTRY, "PUT, DELETE", METHOD_GET },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
		assert_int_equal(call(f, wrong[i].method, wrong[i].path, "{}"), 405);
		assert_string_equal(header(f, "Allow"), wrong[i].allow);
	}
}

static void test_length_is_required(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(call(f, METHOD_POST, "/v1/query", NULL), 411);
	assert_int_equal(call(f, METHOD_PUT, "/v1/results/x", NULL), 411);
	assert_int_equal(call(f, METHOD_PUT, ENTRY, NULL), 201);
}

/* ---- administration ---- */

static unsigned call_as(struct fixture *f, const char *authorization)
{
	struct request request = { .method = METHOD_GET,
				   .path = "/v1/admin/gateways",
				   .body = "",
				   .authorization = authorization };

	return handle(f, &request);
}

static void test_token(void **state)
{
	static const char *const wrong[] = {
		"",
		"Bearer",
		"Bearer ",
		TOKEN,
		"Basic " TOKEN,
		"Bearer  " TOKEN,
		"Bearer " TOKEN " ",
		"Bearer " TOKEN "0",
		"Bearer 0123456789abcdef0123456789abcde",
		"Bearer 0123456789abcdef0123456789abcdeF",
		"Bearer 1123456789abcdef0123456789abcdef",
	};
	struct fixture *f = *state;

	assert_int_equal(call_as(f, "Bearer " TOKEN), 200);
	assert_int_equal(call_as(f, "bearer " TOKEN), 200);
	assert_int_equal(call_as(f, NULL), 401);
	assert_string_equal(header(f, "WWW-Authenticate"), "Bearer");
	for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
		assert_int_equal(call_as(f, wrong[i]), 401);
	f->service.admin_token = NULL;
	assert_int_equal(call_as(f, "Bearer " TOKEN), 403);
	assert_int_equal(call_as(f, NULL), 403);
}

/* No admin call is reachable without the token. */
static void test_every_admin_call_needs_the_token(void **state)
{
	static const struct {
		const char *path;
		enum method method;
	} calls[] = {
		{ "/v1/admin/releases", METHOD_GET },
		{ "/v1/admin/backups", METHOD_GET },
		{ "/v1/admin/backups/B202109010001/imei:" IMEI, METHOD_DELETE },
		{ "/v1/admin/gateways", METHOD_GET },
		{ "/v1/admin/results", METHOD_GET },
		{ "/v1/admin/blacklist", METHOD_GET },
		{ ENTRY, METHOD_PUT },
		{ ENTRY, METHOD_DELETE },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
		struct request request = { .method = calls[i].method,
					   .path = calls[i].path,
					   .body = "" };

		assert_int_equal(handle(f, &request), 401);
	}
	assert_int_equal(store_is_blacklisted(f->service.store, "B202109010001", "imei:" IMEI), 0);
}

static void test_blacklist_calls(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(call(f, METHOD_PUT, ENTRY, "{\"note\":\"prototype\"}"), 201);
	assert_int_equal(call(f, METHOD_PUT, ENTRY, ""), 200);
	assert_int_equal(call(f, METHOD_PUT, "/v1/admin/blacklist/B202109020001/name:a:b", "{}"),
			 201);
	assert_int_equal(call_with(f, "/v1/admin/blacklist", "version", "B202109010001"), 200);
	assert_non_null(strstr(f->answer.body,
			       "{\"blacklist\":[{\"version\":\"B202109010001\",\"identity\":"
			       "{\"type\":\"imei\",\"value\":\"" IMEI "\"},\"added_sec\":"));
	assert_non_null(strstr(f->answer.body, "\"note\":\"prototype\"}]}"));
	assert_int_equal(call(f, METHOD_GET, "/v1/admin/blacklist", NULL), 200);
	assert_non_null(strstr(f->answer.body, "{\"type\":\"name\",\"value\":\"a:b\"}"));
	assert_int_equal(call(f, METHOD_DELETE, ENTRY, NULL), 200);
	assert_int_equal(call(f, METHOD_DELETE, ENTRY, NULL), 404);
	assert_int_equal(call_with(f, "/v1/admin/blacklist", "version", "B20210901"), 400);
	assert_string_equal(named_field(f), "version");
}

static void test_blacklist_refuses(void **state)
{
	static const struct {
		const char *path, *body, *field;
	} bad_calls[] = {
		{ "/v1/admin/blacklist/B202109010001", "", "version" },
		{ "/v1/admin/blacklist/B202109010001/", "", "identity" },
		{ "/v1/admin/blacklist/B20210901000/imei:" IMEI, "", "version" },
		{ "/v1/admin/blacklist/B202113010001/imei:" IMEI, "", "version" },
		{ "/v1/admin/blacklist/B202109010001/imei:490154203237519", "", "identity" },
		{ "/v1/admin/blacklist/B202109010001/" IMEI, "", "identity" },
		{ "/v1/admin/blacklist/B202109010001/imei:" IMEI "/x", "", "identity" },
		{ ENTRY, "{\"note\":1}", "note" },
		{ ENTRY, "{\"notes\":\"\"}", "notes" },
		{ ENTRY, "[]", "" },
		{ ENTRY, "{", "" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(bad_calls); i++) {
		assert_int_equal(call(f, METHOD_PUT, bad_calls[i].path, bad_calls[i].body), 400);
		if (*bad_calls[i].field)
			assert_string_equal(named_field(f), bad_calls[i].field);
	}
	assert_int_equal(call(f, METHOD_GET, "/v1/admin/blacklist", NULL), 200);
	assert_string_equal(f->answer.body, "{\"blacklist\":[]}");
}

static void test_releases_call(void **state)
{
	struct fixture *f = *state;
	struct releases *l = new_releases();

	add_full(l, "B202109010001", "amd64", "[\"gw1\"]");
	catalog_use(f->service.catalog, l);
	assert_int_equal(call(f, METHOD_GET, "/v1/admin/releases", NULL), 200);
	assert_string_equal(f->answer.body,
			    "{\"releases\":[{\"program\":\"B\",\"version\":\"B202109010001\","
			    "\"arch\":\"amd64\",\"models\":[\"gw1\"],"
			    "\"target\":\"B/B202109010001-amd64.tar.xz\",\"length\":1000}]}");
}

/* ---- files ---- */

#define CONTENT "0123456789abcdef"

static void put_file(struct fixture *f, const char *path)
{
	scratch_text(f->dir->dirfd, path, CONTENT, 0644);
}

static unsigned get(struct fixture *f, const char *path, const char *range, const char *if_range)
{
	struct request request = {
		.method = METHOD_GET, .path = path, .body = "", .range = range, .if_range = if_range
	};

	return handle(f, &request);
}

static void expect_bytes(struct fixture *f, uint64_t offset, const char *text)
{
	char got[64] = "";

	assert_true(f->answer.fd >= 0);
	assert_int_equal(f->answer.offset, offset);
	assert_int_equal(f->answer.length, strlen(text));
	assert_int_equal(fs_pread_all(f->answer.fd, got, f->answer.length, offset), 0);
	assert_string_equal(got, text);
}

static void test_files_whole_and_in_part(void **state)
{
	struct fixture *f = *state;

	put_file(f, "repository/metadata/timestamp.json");
	put_file(f, "repository/targets/B/aa.B202109010001-amd64.tar.xz");
	assert_int_equal(get(f, "/metadata/timestamp.json", NULL, NULL), 200);
	expect_bytes(f, 0, CONTENT);
	assert_string_equal(header(f, "Cache-Control"), "no-cache");
	assert_string_equal(header(f, "Content-Type"), "application/json");
	assert_string_equal(header(f, "Accept-Ranges"), "bytes");
	assert_int_equal(get(f, "/targets/B/aa.B202109010001-amd64.tar.xz", "bytes=4-7", NULL),
			 206);
	expect_bytes(f, 4, "4567");
	assert_string_equal(header(f, "Content-Range"), "bytes 4-7/16");
	assert_null(header(f, "Cache-Control"));
	assert_int_equal(get(f, "/metadata/timestamp.json", "bytes=-3", NULL), 206);
	expect_bytes(f, 13, "def");
	assert_int_equal(get(f, "/metadata/timestamp.json", "bytes=16-", NULL), 416);
	assert_string_equal(header(f, "Content-Range"), "bytes */16");
	assert_int_equal(get(f, "/metadata/timestamp.json", "bytes=1-2,4-5", NULL), 200);
	expect_bytes(f, 0, CONTENT);
}

static void test_if_range(void **state)
{
	char etag[ANSWER_HEADER_MAX_BYTES], date[ANSWER_HEADER_MAX_BYTES],
		weak[ANSWER_HEADER_MAX_BYTES + 2];
	struct fixture *f = *state;
	struct timespec later[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

	put_file(f, "repository/metadata/x");
	assert_int_equal(get(f, "/metadata/x", NULL, NULL), 200);
	(void)strcpy(etag, header(f, "ETag"));
	(void)strcpy(date, header(f, "Last-Modified"));
	(void)snprintf(weak, sizeof weak, "W/%s", etag);
	assert_int_equal(get(f, "/metadata/x", "bytes=0-0", etag), 206);
	assert_int_equal(get(f, "/metadata/x", "bytes=0-0", date), 206);
	assert_int_equal(get(f, "/metadata/x", "bytes=0-0", weak), 200);
	assert_int_equal(get(f, "/metadata/x", "bytes=0-0", "\"other\""), 200);
	assert_int_equal(get(f, "/metadata/x", "bytes=99-", "\"other\""), 200);
	assert_int_equal(get(f, "/metadata/x", "bytes=0-0", ""), 200);
	assert_int_equal(utimensat(f->dir->dirfd, "repository/metadata/x", later, 0), 0);
	assert_int_equal(get(f, "/metadata/x", "bytes=0-0", etag), 200);
	assert_string_not_equal(header(f, "ETag"), etag);
	assert_string_equal(header(f, "Last-Modified"), "Thu, 01 Jan 1970 00:00:01 GMT");
}

static void test_head_and_if_none_match(void **state)
{
	struct request request = {
		.method = METHOD_HEAD, .path = "/metadata/x", .body = "", .range = "bytes=0-0"
	};
	char etag[ANSWER_HEADER_MAX_BYTES];
	struct fixture *f = *state;

	put_file(f, "repository/metadata/x");
	assert_int_equal(handle(f, &request), 200);
	assert_int_equal(f->answer.length, 16);
	(void)strcpy(etag, header(f, "ETag"));
	request.method = METHOD_GET;
	request.if_none_match = etag;
	assert_int_equal(handle(f, &request), 304);
	assert_true(f->answer.fd < 0);
	request.if_none_match = "\"x\"";
	assert_int_equal(handle(f, &request), 206);
}

static void test_paths_stay_in_the_repository(void **state)
{
	static const char *const outside[] = {
		"/metadata/../secret", "/metadata/../../secret", "/metadata/a/../../../secret",
		"/metadata//secret",   "/metadata/./x",		 "/metadata/link",
		"/metadata/dirlink/x", "/metadata/directory",	 "/metadata/directory/",
		"/metadata/.#x",       "/metadata/directory/.x", "/targets/x",
		"/metadata/fifo",      "/metadata/missing",	 "/metadata//etc/passwd",
		"/metadata/x/",	       "/metadata/a b",		 "/targets/../metadata/x",
	};
	struct fixture *f = *state;

	put_file(f, "secret");
	put_file(f, "repository/secret");
	put_file(f, "repository/metadata/x");
	put_file(f, "repository/metadata/.#x");
	put_file(f, "repository/metadata/directory/.x");
	assert_int_equal(symlinkat("x", f->dir->dirfd, "repository/metadata/link"), 0);
	assert_int_equal(symlinkat(".", f->dir->dirfd, "repository/metadata/dirlink"), 0);
	assert_int_equal(mkfifoat(f->dir->dirfd, "repository/metadata/fifo", 0644), 0);
	assert_int_equal(get(f, "/metadata/x", NULL, NULL), 200);
	for (size_t i = 0; i < ELEMENTSOF(outside); i++)
		assert_int_equal(get(f, outside[i], NULL, NULL), 404);
	f->conf->serve = false;
	assert_int_equal(get(f, "/metadata/x", NULL, NULL), 404);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_unknown_paths),
		TEST(test_wrong_methods),
		TEST(test_length_is_required),
		TEST(test_token),
		TEST(test_every_admin_call_needs_the_token),
		TEST(test_blacklist_calls),
		TEST(test_blacklist_refuses),
		TEST(test_releases_call),
		TEST(test_files_whole_and_in_part),
		TEST(test_if_range),
		TEST(test_head_and_if_none_match),
		TEST(test_paths_stay_in_the_repository),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
