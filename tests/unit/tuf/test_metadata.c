/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "tuf/metadata.h"
#include "tuf_repo.h"

#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static int setup(void **state)
{
	*state = repo_new();
	return 0;
}

static int teardown(void **state)
{
	repo_free(*state);
	return 0;
}

static enum tuf_type type_of(const char *role)
{
	if (strcmp(role, "root") == 0)
		return TUF_ROOT;
	if (strcmp(role, "timestamp") == 0)
		return TUF_TIMESTAMP;
	return strcmp(role, "snapshot") == 0 ? TUF_SNAPSHOT : TUF_TARGETS;
}

static int parse_body(const cJSON *body, enum tuf_type type, struct tuf_metadata **ret,
		      struct json_error *error)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	bytes = repo_sign(body, NULL, 0, &size);
	return tuf_metadata_parse(bytes, size, type, ret, error);
}

static struct tuf_metadata *parse_role(struct repo *r, const char *role)
{
	struct json_error error = {};
	struct tuf_metadata *m = NULL;

	if (parse_body(repo_role(r, role)->body, type_of(role), &m, &error) < 0)
		fail_msg("%s: %s: %s", role, error.field, error.text);
	return m;
}

static void expect_malformed(const cJSON *body, enum tuf_type type, const char *field)
{
	struct json_error error = {};
	struct tuf_metadata *m = NULL;

	assert_int_equal(parse_body(body, type, &m, &error), -EBADMSG);
	assert_null(m);
	if (!strstr(error.field, field))
		fail_msg("the error names '%s' (%s), not '%s'", error.field, error.text, field);
}

static void test_reads_all_roles(void **state)
{
	static const char *const roles[] = { "root", "timestamp", "snapshot", "targets", "B" };
	struct repo *r = *state;

	for (size_t i = 0; i < ELEMENTSOF(roles); i++) {
		_cleanup_(tuf_metadata_freep) struct tuf_metadata *m = parse_role(r, roles[i]);

		assert_int_equal(m->version, 1);
		assert_int_equal(m->expires_sec, 1798761600);
		assert_string_equal(m->expires, REPO_EXPIRES);
		assert_int_equal(m->signed_size, strlen(m->signed_bytes));
	}
}

static void test_root(void **state)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *m = parse_role(*state, "root");

	assert_true(m->consistent_snapshot);
	assert_int_equal(m->roles.n_keys, 4);
	assert_int_equal(m->roles.n_roles, 4);
	assert_int_equal(tuf_roles_find(&m->roles, "snapshot")->threshold, 1);
	assert_null(tuf_roles_find(&m->roles, "mirrors"));
}

static void test_meta(void **state)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *m = parse_role(*state, "snapshot");
	const struct tuf_meta *meta = tuf_metadata_find_meta(m, "B.json");

	assert_int_equal(m->n_meta, 3);
	assert_non_null(meta);
	assert_true(meta->has_length && meta->has_sha256 && !meta->has_sha512);
	assert_null(tuf_metadata_find_meta(m, "C.json"));
}

static void test_targets(void **state)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *m = parse_role(*state, "B");
	const struct tuf_target *target = tuf_metadata_find_target(m, "B/b.tar.xz");

	assert_non_null(target);
	assert_int_equal(target->length, strlen("program B"));
	assert_true(cJSON_IsObject(target->custom));
	assert_null(tuf_metadata_find_target(m, "B/c.tar.xz"));
}

static void test_common_members(void **state)
{
	static const struct {
		const char *member, *text;
	} bad[] = {
		{ "_type", "root" },
		{ "spec_version", "2.0.0" },
		{ "spec_version", "10.0" },
		{ "spec_version", "1" },
		{ "spec_version", "1.0.0-rc1" },
		{ "spec_version", "" },
		{ "version", "1" },
		{ "expires", "" },
		{ "expires", "2030-01-01" },
		{ "expires", "2030-01-01T00:00:00" },
		{ "expires", "2030-01-01T00:00:00+00:00" },
		{ "expires", "2030-01-01 00:00:00Z" },
		{ "expires", "2030-01-01T00:00:00Zx" },
		{ "expires", "2030-02-30T00:00:00Z" },
		{ "expires", "2030-13-01T00:00:00Z" },
		{ "expires", "2030-00-01T00:00:00Z" },
		{ "expires", "2030-01-01T24:00:00Z" },
		{ "expires", "2030-01-01T00:60:00Z" },
		{ "expires", "2030-01-01T00:00:60Z" },
		{ "expires", "2030- 1-01T00:00:00Z" },
	};
	struct repo *r = *state;
	const cJSON *good = repo_role(r, "B")->body;

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_json_ cJSON *body = cJSON_Duplicate(good, true);

		repo_set_string(body, bad[i].member, bad[i].text);
		expect_malformed(body, TUF_TARGETS, bad[i].member);
		cJSON_DeleteItemFromObjectCaseSensitive(body, bad[i].member);
		expect_malformed(body, TUF_TARGETS, bad[i].member);
	}
}

static void test_version_from_one(void **state)
{
	struct repo *r = *state;

	repo_set_version(r, "B", 0);
	expect_malformed(repo_role(r, "B")->body, TUF_TARGETS, "version");
	repo_set_number(repo_role(r, "B")->body, "version", -1);
	expect_malformed(repo_role(r, "B")->body, TUF_TARGETS, "version");
}

static void test_leap_day(void **state)
{
	struct repo *r = *state;
	struct tuf_metadata *m;

	repo_set_string(repo_role(r, "B")->body, "expires", "2028-02-29T23:59:59Z");
	m = parse_role(r, "B");
	assert_int_equal(m->expires_sec, 1835481599);
	(void)tuf_metadata_free(m);
	repo_set_string(repo_role(r, "B")->body, "expires", "2027-02-29T23:59:59Z");
	expect_malformed(repo_role(r, "B")->body, TUF_TARGETS, "expires");
}

/* Extra members, an unknown key type: tolerated, but never counted. */
static void test_unknown_is_tolerated(void **state)
{
	struct repo *r = *state;
	cJSON *body = repo_role(r, "root")->body;
	cJSON *keys = cJSON_GetObjectItemCaseSensitive(body, "keys"), *key;
	const struct tuf_key *counted;
	struct tuf_metadata *m;

	cJSON_AddStringToObject(body, "x-note", "hello");
	cJSON_AddObjectToObject(cJSON_GetObjectItemCaseSensitive(body, "roles"), "mirrors");
	key = cJSON_AddObjectToObject(keys, "ffff");
	cJSON_AddStringToObject(key, "keytype", "sphincs+");
	cJSON_AddStringToObject(key, "scheme", "sphincs+");
	cJSON_AddStringToObject(cJSON_AddObjectToObject(key, "keyval"), "public", "?");
	m = parse_role(r, "root");
	assert_int_equal(m->roles.n_keys, 5);
	assert_int_equal(tuf_roles_key(&m->roles, "ffff", &counted), 0);
	assert_null(counted);
	(void)tuf_metadata_free(m);
	cJSON_DeleteItemFromObjectCaseSensitive(body, "consistent_snapshot");
	m = parse_role(r, "root");
	assert_false(m->consistent_snapshot);
	(void)tuf_metadata_free(m);
}

static void expect_bytes(const char *text)
{
	struct json_error error = {};
	struct tuf_metadata *m = NULL;

	assert_true(tuf_metadata_parse(text, strlen(text), TUF_ROOT, &m, &error) < 0);
	assert_null(m);
}

static void test_not_metadata_at_all(void **state)
{
	(void)state;
	expect_bytes("");
	expect_bytes("junk");
	expect_bytes("[]");
	expect_bytes("null");
	expect_bytes("{}");
	expect_bytes("{\"signed\":{}}");
	expect_bytes("{\"signatures\":[]}");
	expect_bytes("{\"signed\":[],\"signatures\":[]}");
	expect_bytes("{\"signed\":{},\"signatures\":{}}");
	expect_bytes("{\"signed\":{},\"signatures\":[],\"signed\":{}}");
}

static void test_signature_entries(void **state)
{
	static const char *const bad[] = {
		"7",
		"{}",
		"{\"keyid\":\"a\"}",
		"{\"sig\":\"a\"}",
		"{\"keyid\":1,\"sig\":\"a\"}",
		"{\"keyid\":\"a\",\"sig\":null}",
	};
	struct repo *r = *state;
	_cleanup_free_ char *body = json_print(repo_role(r, "B")->body);

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_free_ char *text = NULL;
		struct json_error error = {};
		struct tuf_metadata *m = NULL;

		assert_true(asprintf(&text, "{\"signed\":%s,\"signatures\":[%s]}", body, bad[i]) >
			    0);
		assert_int_equal(tuf_metadata_parse(text, strlen(text), TUF_TARGETS, &m, &error),
				 -EBADMSG);
		assert_non_null(strstr(error.field, "signatures"));
	}
}

/* Puts a JSON text in the place of a member that a path of names leads to, and expects it refused. */
static void expect_bad(const cJSON *good, enum tuf_type type, const char *parent,
		       const char *member, const char *text, const char *field)
{
	_cleanup_json_ cJSON *body = cJSON_Duplicate(good, true);
	cJSON *at = body;
	char names[128], *rest = names, *name;

	(void)snprintf(names, sizeof names, "%s", parent);
	while ((name = strsep(&rest, ",")))
		if (*name)
			at = *name == '0' ? cJSON_GetArrayItem(at, 0)
					  : cJSON_GetObjectItemCaseSensitive(at, name);
	assert_non_null(at);
	cJSON_DeleteItemFromObjectCaseSensitive(at, member);
	if (text)
		cJSON_AddItemToObject(at, member, cJSON_Parse(text));
	expect_malformed(body, type, field);
}

static void test_bad_root(void **state)
{
	struct repo *r = *state;
	const cJSON *good = repo_role(r, "root")->body;
	static const char *const roles[] = { "root", "timestamp", "snapshot", "targets" };

	for (size_t i = 0; i < ELEMENTSOF(roles); i++)
		expect_bad(good, TUF_ROOT, "roles", roles[i], NULL, "roles");
	expect_bad(good, TUF_ROOT, "", "roles", "[]", "roles");
	expect_bad(good, TUF_ROOT, "", "keys", "[]", "keys");
	expect_bad(good, TUF_ROOT, "", "consistent_snapshot", "1", "consistent_snapshot");
	expect_bad(good, TUF_ROOT, "roles,root", "threshold", "0", "threshold");
	expect_bad(good, TUF_ROOT, "roles,root", "threshold", "-1", "threshold");
	expect_bad(good, TUF_ROOT, "roles,root", "threshold", "\"1\"", "threshold");
	expect_bad(good, TUF_ROOT, "roles,root", "threshold", NULL, "threshold");
	expect_bad(good, TUF_ROOT, "roles,root", "keyids", "[1]", "keyids");
	expect_bad(good, TUF_ROOT, "roles,root", "keyids", NULL, "keyids");
	expect_bad(good, TUF_ROOT, "keys", "abc", "1", "keys");
	expect_bad(good, TUF_ROOT, "keys", "abc", "{}", "keys");
	expect_bad(good, TUF_ROOT, "keys", "abc", "{\"keytype\":\"x\",\"scheme\":\"x\"}", "keyval");
	expect_bad(good, TUF_ROOT, "keys", "abc", "{\"keytype\":\"x\",\"keyval\":{}}", "scheme");
	expect_bad(good, TUF_ROOT, "keys", "abc", "{\"keytype\":1,\"scheme\":\"x\",\"keyval\":{}}",
		   "keytype");
}

static void test_too_many_key_ids(void **state)
{
	struct repo *r = *state;
	cJSON *root = repo_role(r, "root")->body;
	cJSON *keyids = cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(root, "roles"),
						 "targets"),
		"keyids");

	while (cJSON_GetArraySize(keyids) < (int)TUF_MAX_ROLE_KEYS)
		cJSON_AddItemToArray(keyids, cJSON_CreateString("x"));
	(void)tuf_metadata_free(parse_role(r, "root"));
	cJSON_AddItemToArray(keyids, cJSON_CreateString("x"));
	expect_malformed(root, TUF_ROOT, "keyids");
}

static void test_bad_meta(void **state)
{
	struct repo *r = *state;
	const cJSON *snapshot = repo_role(r, "snapshot")->body;
	const cJSON *timestamp = repo_role(r, "timestamp")->body;

	expect_bad(timestamp, TUF_TIMESTAMP, "", "meta", NULL, "meta");
	expect_bad(timestamp, TUF_TIMESTAMP, "meta", "snapshot.json", NULL, "meta");
	expect_bad(snapshot, TUF_SNAPSHOT, "meta", "targets.json", NULL, "meta");
	expect_bad(snapshot, TUF_SNAPSHOT, "meta", "A.json", "1", "meta");
	expect_bad(snapshot, TUF_SNAPSHOT, "meta,B.json", "version", NULL, "B.json.version");
	expect_bad(snapshot, TUF_SNAPSHOT, "meta,B.json", "version", "0", "B.json.version");
	expect_bad(snapshot, TUF_SNAPSHOT, "meta,B.json", "length", "-1", "B.json.length");
	expect_bad(snapshot, TUF_SNAPSHOT, "meta,B.json", "length", "\"1\"", "B.json.length");
	expect_bad(snapshot, TUF_SNAPSHOT, "meta,B.json", "hashes", "[]", "B.json.hashes");
	expect_bad(snapshot, TUF_SNAPSHOT, "meta,B.json", "hashes", "{}", "B.json.hashes");
	expect_bad(snapshot, TUF_SNAPSHOT, "meta,B.json", "hashes", "{\"md5\":0}", "hashes");
	expect_bad(snapshot, TUF_SNAPSHOT, "meta,B.json,hashes", "sha256", "\"00\"", "sha256");
	expect_bad(snapshot, TUF_SNAPSHOT, "meta,B.json,hashes", "sha256", "1", "hashes");
	expect_bad(snapshot, TUF_SNAPSHOT, "meta,B.json,hashes", "sha512", "\"" HASH_A "\"",
		   "sha512");
}

static void test_bad_targets(void **state)
{
	struct repo *r = *state;
	const cJSON *good = repo_role(r, "B")->body;
	static const char *const odd[] = {
		"/etc/passwd", "..", "a//b", "a\\b", "a\nb", "\xc3\xa9"
	};

	expect_bad(good, TUF_TARGETS, "", "targets", "[]", "targets");
	expect_bad(good, TUF_TARGETS, "targets", "x", "1", "targets");
	expect_bad(good, TUF_TARGETS, "targets,B/b.tar.xz", "length", NULL, "length");
	expect_bad(good, TUF_TARGETS, "targets,B/b.tar.xz", "length", "-1", "length");
	expect_bad(good, TUF_TARGETS, "targets,B/b.tar.xz", "hashes", NULL, "hashes");
	expect_bad(good, TUF_TARGETS, "targets,B/b.tar.xz", "hashes", "{}", "hashes");
	expect_bad(good, TUF_TARGETS, "targets,B/b.tar.xz", "hashes", "{\"sha256\":\"zz\"}",
		   "sha256");
	expect_bad(good, TUF_TARGETS, "targets,B/b.tar.xz", "custom", "[]", "custom");
	expect_bad(good, TUF_TARGETS, "targets", "",
		   "{\"length\":1,\"hashes\":{\"sha256\":\"" HASH_A "\"}}", "targets");
	/* What may hurt outside is not the format's to refuse: tuf_path_is_plain(). */
	for (size_t i = 0; i < ELEMENTSOF(odd); i++)
		repo_add_target(r, "B", odd[i], "x");
	(void)tuf_metadata_free(parse_role(r, "B"));
}

static void test_bad_delegations(void **state)
{
	static const char *const names[] = {
		"\"root\"",   "\"timestamp\"", "\"snapshot\"", "\"targets\"",
		"\"1.root\"", "\"\"",	       "\"B\"",	       "7",
	};
	struct repo *r = *state;
	const cJSON *good = repo_role(r, "targets")->body;
	const char *role = "delegations,roles,0";

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		expect_bad(good, TUF_TARGETS, role, "name", names[i], "delegations.roles.name");
	expect_bad(good, TUF_TARGETS, role, "name", NULL, "name");
	expect_bad(good, TUF_TARGETS, role, "paths", "\"*\"", "paths");
	expect_bad(good, TUF_TARGETS, role, "paths", "[1]", "paths");
	expect_bad(good, TUF_TARGETS, role, "path_hash_prefixes", "[\"0\"]", "paths");
	expect_bad(good, TUF_TARGETS, role, "threshold", "0", "threshold");
	expect_bad(good, TUF_TARGETS, role, "keyids", NULL, "keyids");
	expect_bad(good, TUF_TARGETS, role, "terminating", "0", "terminating");
	expect_bad(good, TUF_TARGETS, "delegations", "roles", "{}", "roles");
	expect_bad(good, TUF_TARGETS, "delegations", "roles", "[1]", "roles");
	expect_bad(good, TUF_TARGETS, "delegations", "keys", NULL, "keys");
	expect_bad(good, TUF_TARGETS, "", "delegations", "[]", "delegations");
	expect_bad(good, TUF_TARGETS, "delegations", "succinct_roles", "{}", "succinct_roles");
}

/* "OPTIONAL": a role without either speaks for nothing. */
static void test_delegation_without_paths(void **state)
{
	struct repo *r = *state;
	cJSON *delegations = cJSON_GetObjectItemCaseSensitive(repo_role(r, "targets")->body,
							      "delegations");
	cJSON *role = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(delegations, "roles"), 0);
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *m = NULL;

	cJSON_DeleteItemFromObjectCaseSensitive(role, "paths");
	m = parse_role(r, "targets");
	assert_false(tuf_role_matches(tuf_roles_find(&m->roles, "A"), "A/x", HASH_A));
}

static void test_spec_versions(void **state)
{
	static const char *const good[] = { "1.0", "1.0.31", "1.99.99", "1.0.0" };
	static const char *const bad[] = { "",	      "1",	 "1.",	   "1..0",
					   "1.0.",    "1.0.0.0", "2.0.0",  "11.0",
					   "1.0.0-x", "1.0.0+x", " 1.0.0", "01.0" };
	struct repo *r = *state;
	cJSON *body = repo_role(r, "B")->body;

	for (size_t i = 0; i < ELEMENTSOF(good); i++) {
		repo_set_string(body, "spec_version", good[i]);
		(void)tuf_metadata_free(parse_role(r, "B"));
	}
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		repo_set_string(body, "spec_version", bad[i]);
		expect_malformed(body, TUF_TARGETS, "spec_version");
	}
}

static void test_many_names(void **state)
{
	struct repo *r = *state;
	char name[16];

	for (unsigned i = 0; i < 40; i++) {
		(void)snprintf(name, sizeof name, "role%u", i);
		(void)repo_delegate(r, "B", name, "B/*", NULL);
	}
	(void)tuf_metadata_free(parse_role(r, "B"));
	(void)repo_delegate(r, "B", "role0", "B/*", NULL);
	expect_malformed(repo_role(r, "B")->body, TUF_TARGETS, "delegations.roles.name");
}

static void test_bad_hash_prefixes(void **state)
{
	static const char *const bad[] = { "[\"\"]", "[\"A\"]", "[\"g\"]",
					   "[7]",    "7",	"[\"" HASH_A "a\"]" };
	struct repo *r = *state;
	cJSON *body = repo_role(r, "targets")->body;
	cJSON *role = cJSON_GetArrayItem(
		cJSON_GetObjectItemCaseSensitive(
			cJSON_GetObjectItemCaseSensitive(body, "delegations"), "roles"),
		0);

	cJSON_DeleteItemFromObjectCaseSensitive(role, "paths");
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		expect_bad(body, TUF_TARGETS, "delegations,roles,0", "path_hash_prefixes", bad[i],
			   "path_hash_prefixes");
	cJSON_AddItemToObject(role, "path_hash_prefixes", cJSON_Parse("[\"0a\",\"" HASH_A "\"]"));
	(void)tuf_metadata_free(parse_role(r, "targets"));
}

/* ---- matching ---- */

static bool matches(const char *pattern, const char *path)
{
	_cleanup_json_ cJSON *paths = cJSON_CreateArray();
	const struct tuf_role role = { .paths = paths };

	cJSON_AddItemToArray(paths, cJSON_CreateString("never/this"));
	cJSON_AddItemToArray(paths, cJSON_CreateString(pattern));
	return tuf_role_matches(&role, path, HASH_A);
}

static void test_path_patterns(void **state)
{
	(void)state;
	/* The examples of the specification. */
	assert_true(matches("targets/*.tgz", "targets/foo.tgz"));
	assert_false(matches("targets/*.tgz", "targets/foo.txt"));
	assert_true(matches("foo-version-?.tgz", "foo-version-2.tgz"));
	assert_false(matches("foo-version-?.tgz", "foo-version-alpha.tgz"));
	assert_true(matches("*.tgz", "foo.tgz"));
	assert_false(matches("*.tgz", "targets/foo.tgz"));
	assert_true(matches("foo.tgz", "foo.tgz"));
	assert_false(matches("foo.tgz", "foo.tgz2"));

	assert_true(matches("B/*", "B/x"));
	assert_true(matches("B/*", "B/"));
	assert_false(matches("B/*", "B"));
	assert_false(matches("B/*", "A/x"));
	assert_false(matches("B/*", "B/x/y"));
	assert_false(matches("B?x", "B/x"));
	assert_false(matches("*", "a/b"));
	assert_true(matches("*/*", "a/b"));
	assert_true(matches("a*/*b", "axx/xxb"));
	assert_false(matches("a*/*b", "axx/xxc"));
	assert_false(matches("a*b", "a/b"));
	assert_true(matches("*a*b*", "xxaxxbxx"));
	assert_true(matches("*ab", "aab"));
	assert_true(matches("a**b", "ab"));
	assert_false(matches("", "a"));
	assert_false(matches("?", ""));
	assert_false(matches("[ab]", "a"));
	assert_true(matches("[ab]", "[ab]"));
	assert_false(matches("\\*", "*"));
}

/* Would take longer than the universe with a matcher that goes back to every '*'. */
static void test_hostile_pattern(void **state)
{
	char pattern[801], path[1001];

	(void)state;
	for (size_t i = 0; i < 400; i++)
		memcpy(pattern + 2 * i, "*a", 2);
	pattern[799] = 'b';
	pattern[800] = '\0';
	memset(path, 'a', 1000);
	path[1000] = '\0';
	assert_false(matches(pattern, path));
}

static void test_path_hash_prefixes(void **state)
{
	_cleanup_json_ cJSON *prefixes = cJSON_Parse("[\"0\",\"aab\",\"bc\"]");
	const struct tuf_role role = { .path_hash_prefixes = prefixes };

	(void)state;
	assert_false(tuf_role_matches(&role, "x", HASH_A));
	assert_true(tuf_role_matches(&role, "x", "bcd"));
	assert_true(tuf_role_matches(&role, "x", "0cd"));
	assert_false(tuf_role_matches(&role, "x", "b"));
}

static void test_meta_check(void **state)
{
	struct tuf_meta meta = { .has_length = true, .length_bytes = 3 };

	(void)state;
	assert_int_equal(tuf_meta_check(&meta, "abc", 3), 0);
	assert_int_equal(tuf_meta_check(&meta, "abc", 2), -EBADMSG);
	assert_int_equal(digest_sha256("abc", 3, meta.sha256), 0);
	assert_int_equal(digest_sha512("abc", 3, meta.sha512), 0);
	meta.has_sha256 = meta.has_sha512 = true;
	assert_int_equal(tuf_meta_check(&meta, "abc", 3), 0);
	assert_int_equal(tuf_meta_check(&meta, "abd", 3), -EBADMSG);
	meta.sha512[63] ^= 1;
	assert_int_equal(tuf_meta_check(&meta, "abc", 3), -EBADMSG);
	meta.sha512[63] ^= 1;
	meta.sha256[0] ^= 1;
	assert_int_equal(tuf_meta_check(&meta, "abc", 3), -EBADMSG);
	meta.has_length = meta.has_sha256 = meta.has_sha512 = false;
	assert_int_equal(tuf_meta_check(&meta, "anything", 8), 0);
	meta.has_hashes = true;
	assert_int_equal(tuf_meta_check(&meta, "anything", 8), -EBADMSG);
}

#define repo_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		repo_test(test_reads_all_roles),
		repo_test(test_root),
		repo_test(test_meta),
		repo_test(test_targets),
		repo_test(test_common_members),
		repo_test(test_version_from_one),
		repo_test(test_leap_day),
		repo_test(test_unknown_is_tolerated),
		cmocka_unit_test(test_not_metadata_at_all),
		repo_test(test_signature_entries),
		repo_test(test_bad_root),
		repo_test(test_too_many_key_ids),
		repo_test(test_bad_meta),
		repo_test(test_bad_targets),
		repo_test(test_bad_delegations),
		repo_test(test_delegation_without_paths),
		repo_test(test_spec_versions),
		repo_test(test_many_names),
		repo_test(test_bad_hash_prefixes),
		cmocka_unit_test(test_path_patterns),
		cmocka_unit_test(test_hostile_pattern),
		cmocka_unit_test(test_path_hash_prefixes),
		cmocka_unit_test(test_meta_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
