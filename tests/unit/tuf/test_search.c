/* SPDX-License-Identifier: Apache-2.0 */
#include "expect.h"
#include "tuf/key.h"

static unsigned n_verified;

int __real_tuf_key_verify(const struct tuf_key *k, const uint8_t *signature, size_t signature_size,
			  const void *bytes, size_t size);
int __wrap_tuf_key_verify(const struct tuf_key *k, const uint8_t *signature, size_t signature_size,
			  const void *bytes, size_t size);
int __wrap_tuf_key_verify(const struct tuf_key *k, const uint8_t *signature, size_t signature_size,
			  const void *bytes, size_t size)
{
	n_verified++;
	return __real_tuf_key_verify(k, signature, signature_size, bytes, size);
}

/* ---- delegated roles ---- */

static void test_delegated_role_with_the_wrong_key(void **state)
{
	struct repo *r = *state;

	repo_set_signers(r, "B", 1, repo_role(r, "A")->keys[0]);
	repo_publish(r);
	expect_find_refused(r, "B/b.tar.xz", -EKEYREJECTED, REASON_BAD_SIGNATURE,
			    "B.json (version 1): signed by 0 of 1 needed keys");
	expect_not_stored(r, "B.json");
	/* It is no harm to the other program. */
	expect_role(r, "A/a.tar.xz", "A");
}

static void test_delegated_role_expired(void **state)
{
	struct repo *r = *state;

	repo_set_string(repo_role(r, "B")->body, "expires", REPO_PAST);
	repo_publish(r);
	expect_find_refused(r, "B/b.tar.xz", -ESTALE, REASON_EXPIRED, "B.json (version 1)");
	expect_not_stored(r, "B.json");
}

static void test_delegated_role_of_another_time(void **state)
{
	struct repo *r = *state;
	struct repo_file *f;

	repo_next(r);
	f = files_get(&r->files, "1.B.json");
	files_put(&r->files, "2.B.json", f->bytes, f->size);
	expect_find_refused(r, "B/b.tar.xz", -EBADMSG, REASON_BAD_METADATA, "B.json: not the file");
	expect_not_stored(r, "B.json");
}

static void test_delegated_role_not_in_snapshot(void **state)
{
	struct repo *r = *state;

	repo_role(r, "B")->is_unlisted = true;
	repo_publish(r);
	expect_find_refused(r, "B/b.tar.xz", -EBADMSG, REASON_BAD_METADATA,
			    "snapshot.json (version 1): does not list B.json");
}

/* A missing file must not be taken for a target that does not exist. */
static void test_delegated_role_missing(void **state)
{
	struct repo *r = *state;

	files_remove(&r->files, "1.B.json");
	expect_find_refused(r, "B/b.tar.xz", -EBADMSG, REASON_BAD_METADATA,
			    "1.B.json: not in the repository");
}

/* A role may list anything; it is heard only for what was delegated to it. */
static void test_role_beyond_its_paths(void **state)
{
	struct repo *r = *state;

	repo_add_target(r, "A", "B/evil", "evil");
	repo_add_target(r, "A", "evil", "evil");
	repo_add_target(r, "A", "A/deep/evil", "evil");
	repo_publish(r);
	expect_not_found(r, "B/evil");
	expect_not_found(r, "evil");
	expect_not_found(r, "A/deep/evil");
}

static void test_order_of_roles(void **state)
{
	struct repo *r = *state;

	(void)repo_delegate(r, "targets", "second", "B/*", NULL);
	repo_add_target(r, "second", "B/b.tar.xz", "usurper");
	repo_add_target(r, "second", "B/only-here", "x");
	repo_add_target(r, "targets", "A/a.tar.xz", "top");
	repo_publish(r);
	expect_role(r, "B/b.tar.xz", "B");
	expect_role(r, "B/only-here", "second");
	expect_role(r, "A/a.tar.xz", "targets");
}

static void test_terminating(void **state)
{
	struct repo *r = *state;
	cJSON *first = repo_delegate(r, "targets", "first", "C/*", NULL);

	(void)repo_delegate(r, "targets", "second", "C/*", NULL);
	(void)repo_delegate(r, "first", "child", "C/*", NULL);
	repo_add_target(r, "second", "C/x", "x");
	repo_add_target(r, "child", "C/y", "y");
	repo_publish(r);
	expect_role(r, "C/x", "second");

	cJSON_ReplaceItemInObjectCaseSensitive(first, "terminating", cJSON_CreateTrue());
	repo_next(r);
	expect_not_found(r, "C/x");
	expect_role(r, "C/y", "child");
	/* It ends the search for the paths that it matches, no others. */
	(void)repo_delegate(r, "targets", "third", "D/*", NULL);
	repo_add_target(r, "third", "D/x", "x");
	repo_next(r);
	expect_role(r, "D/x", "third");
}

static void test_terminating_below(void **state)
{
	struct repo *r = *state;
	cJSON *child;

	(void)repo_delegate(r, "targets", "first", "C/*", NULL);
	(void)repo_delegate(r, "targets", "second", "C/*", NULL);
	child = repo_delegate(r, "first", "child", "C/*", NULL);
	cJSON_ReplaceItemInObjectCaseSensitive(child, "terminating", cJSON_CreateTrue());
	repo_add_target(r, "second", "C/x", "x");
	repo_publish(r);
	expect_not_found(r, "C/x");
}

static void test_depth_first(void **state)
{
	struct repo *r = *state;

	(void)repo_delegate(r, "targets", "first", "C/*", NULL);
	(void)repo_delegate(r, "targets", "second", "C/*", NULL);
	(void)repo_delegate(r, "first", "child", "C/x*", NULL);
	repo_add_target(r, "second", "C/x", "x");
	repo_add_target(r, "second", "C/y", "x");
	repo_add_target(r, "child", "C/x", "x");
	repo_add_target(r, "child", "C/y", "x");
	repo_publish(r);
	expect_role(r, "C/x", "child");
	expect_role(r, "C/y", "second");
}

static void test_cycle(void **state)
{
	struct repo *r = *state;

	(void)repo_delegate(r, "targets", "first", "C/*", NULL);
	(void)repo_delegate(r, "first", "other", "C/*", NULL);
	(void)repo_delegate(r, "other", "first", "C/*", NULL);
	(void)repo_delegate(r, "other", "other", "C/*", NULL);
	repo_publish(r);
	expect_not_found(r, "C/x");
	repo_add_target(r, "other", "C/x", "x");
	(void)repo_delegate(r, "targets", "after", "C/*", NULL);
	repo_add_target(r, "after", "C/y", "y");
	repo_next(r);
	expect_role(r, "C/x", "other");
	expect_role(r, "C/y", "after");
}

static void test_at_most_so_many_roles(void **state)
{
	struct repo *r = *state;
	char name[16];

	for (unsigned i = 0; i < TUF_MAX_DELEGATED_ROLES + 1; i++) {
		(void)snprintf(name, sizeof name, "role%u", i);
		(void)repo_delegate(r, "targets", name, "C/*", NULL);
	}
	repo_add_target(r, name, "C/last", "x");
	(void)snprintf(name, sizeof name, "role%u", TUF_MAX_DELEGATED_ROLES - 1);
	repo_add_target(r, name, "C/last-but-one", "x");
	repo_publish(r);
	expect_role(r, "C/last-but-one", name);
	expect_not_found(r, "C/last");
	(void)snprintf(name, sizeof name, "fetch 1.role%u", TUF_MAX_DELEGATED_ROLES);
	assert_null(strstr(r->log, name));
}

/* Each of two delegating roles has named a key of its own: both must have signed. */
static void test_role_of_two_delegators(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	struct tuf_target target;

	(void)repo_delegate(r, "targets", "C", "C/*", NULL);
	(void)repo_delegate(r, "targets", "D", "D/*", NULL);
	(void)repo_delegate(r, "C", "shared", "C/*", NULL);
	(void)repo_delegate(r, "D", "shared", "D/*", repo_new_key(r));
	repo_add_target(r, "shared", "C/x", "x");
	repo_add_target(r, "shared", "D/x", "x");
	repo_publish(r);
	c = repo_client(r);
	assert_int_equal(find(c, "C/x", &target), 0);
	expect_failure(c, tuf_client_find_target(c, "D/x", &target), -EKEYREJECTED,
		       REASON_BAD_SIGNATURE, "shared.json (version 1): signed by 0 of 1");
}

static void test_hash_prefixes(void **state)
{
	struct repo *r = *state;
	cJSON *role = repo_delegate(r, "targets", "bin", "x", NULL), *prefixes;
	uint8_t sha256[SHA256_BYTES];
	char hex[SHA256_HEX_LENGTH + 1], prefix[4];

	assert_int_equal(digest_sha256("C/x", 3, sha256), 0);
	hex_encode(sha256, sizeof sha256, hex);
	memcpy(prefix, hex, 3);
	prefix[3] = '\0';
	cJSON_DeleteItemFromObjectCaseSensitive(role, "paths");
	prefixes = cJSON_AddArrayToObject(role, "path_hash_prefixes");
	cJSON_AddItemToArray(prefixes, cJSON_CreateString(prefix));
	repo_add_target(r, "bin", "C/x", "x");
	repo_add_target(r, "bin", "C/y", "x");
	repo_publish(r);
	expect_role(r, "C/x", "bin");
	expect_not_found(r, "C/y");
}

/* ---- each target ---- */

struct seen {
	char text[1024];
	int stop_after;
};

static int see(const struct tuf_target *target, void *userdata)
{
	struct seen *seen = userdata;
	size_t used = strlen(seen->text);

	(void)snprintf(seen->text + used, sizeof seen->text - used, "%s:%s ", target->role,
		       target->path);
	return --seen->stop_after == 0 ? 42 : 0;
}

static void test_each_target(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	struct seen all = {}, first = { .stop_after = 1 };

	(void)repo_delegate(r, "B", "nested", "B/n*", NULL);
	repo_add_target(r, "nested", "B/nested", "x");
	repo_add_target(r, "nested", "B/not-heard", "x");
	repo_add_target(r, "B", "B/not-heard", "x");
	repo_add_target(r, "nested", "B/x", "x");
	repo_add_target(r, "A", "B/evil", "x");
	repo_add_target(r, "targets", "top", "x");
	repo_publish(r);
	c = repo_client(r);
	expect_failure(c, tuf_client_each_target(c, see, &all), -EINVAL, REASON_INTERNAL,
		       "refresh");
	assert_int_equal(tuf_client_refresh(c), 0);
	assert_int_equal(tuf_client_each_target(c, see, &all), 0);
	assert_string_equal(all.text, "targets:top A:A/a.tar.xz B:B/b.tar.xz B:B/not-heard "
				      "nested:B/nested ");
	assert_int_equal(tuf_client_reason(c), REASON_NONE);
	assert_int_equal(tuf_client_each_target(c, see, &first), 42);
	assert_string_equal(first.text, "targets:top ");
}

/* A role that two delegate to, and that delegates back, is gone through once. */
/* A role with many targets, which costs a hash over all of it for each signature: once is enough. */
static void test_each_target_is_verified_once(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	struct seen all = {};

	for (char path[] = "B/a"; path[2] <= 'z'; path[2]++)
		repo_add_target(r, "B", path, "x");
	/* By two ways: each of them has a say, once. */
	(void)repo_delegate(r, "A", "shared", "B/*", NULL);
	(void)repo_delegate(r, "B", "shared", "B/*", NULL);
	repo_add_target(r, "shared", "B/shared", "x");
	repo_publish(r);
	c = repo_client(r);
	assert_int_equal(tuf_client_refresh(c), 0);
	n_verified = 0;
	assert_int_equal(tuf_client_each_target(c, see, &all), 0);
	assert_non_null(strstr(all.text, "B:B/z "));
	assert_non_null(strstr(all.text, "shared:B/shared "));
	assert_int_equal(n_verified, 4);
}

static void test_each_target_of_a_cycle(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	struct seen all = {};

	(void)repo_delegate(r, "A", "shared", "A/s*", NULL);
	(void)repo_delegate(r, "B", "shared", "B/s*", NULL);
	(void)repo_delegate(r, "shared", "A", "*/s*", repo_role(r, "A")->keys[0]);
	repo_add_target(r, "shared", "A/s", "x");
	repo_add_target(r, "shared", "B/s", "x");
	repo_publish(r);
	c = repo_client(r);
	assert_int_equal(tuf_client_refresh(c), 0);
	assert_int_equal(tuf_client_each_target(c, see, &all), 0);
	assert_string_equal(all.text, "A:A/a.tar.xz shared:A/s shared:B/s B:B/b.tar.xz ");
}

/* Found on the way to a target, after every role was read: one path's key did not sign. */
static void test_each_target_of_a_bad_path(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	struct seen all = {};

	(void)repo_delegate(r, "A", "shared", "A/s*", NULL);
	(void)repo_delegate(r, "B", "shared", "B/s*", repo_new_key(r));
	repo_add_target(r, "shared", "A/s", "x");
	repo_add_target(r, "shared", "B/s", "x");
	repo_publish(r);
	c = repo_client(r);
	assert_int_equal(tuf_client_refresh(c), 0);
	expect_failure(c, tuf_client_each_target(c, see, &all), -EKEYREJECTED, REASON_BAD_SIGNATURE,
		       "shared.json");
	assert_string_equal(all.text, "A:A/a.tar.xz shared:A/s ");
}

static void test_each_target_with_a_bad_role(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	struct seen all = {};

	repo_set_signers(r, "B", 1, repo_role(r, "A")->keys[0]);
	repo_publish(r);
	c = repo_client(r);
	assert_int_equal(tuf_client_refresh(c), 0);
	expect_failure(c, tuf_client_each_target(c, see, &all), -EKEYREJECTED, REASON_BAD_SIGNATURE,
		       "B.json");
	assert_string_equal(all.text, "");
}

/* ---- the order of visits ---- */

struct graph {
	const char *edges[12]; /* "targets A", a trailing '!' for terminating */
	const char *order;     /* roles asked for, one after another */
};

static void expect_order(const struct graph *g)
{
	struct repo *r = repo_new();
	char order[256] = "";

	for (size_t i = 0; g->edges[i]; i++) {
		char from[16], to[16];
		bool terminating = strchr(g->edges[i], '!') != NULL;
		cJSON *entry;

		assert_int_equal(sscanf(g->edges[i], "%15s %15[a-z]", from, to), 2);
		entry = repo_delegate(r, from, to, strchr(g->edges[i], '-') ? "C/-" : "C/*", NULL);
		cJSON_ReplaceItemInObjectCaseSensitive(entry, "terminating",
						       cJSON_CreateBool(terminating));
	}
	repo_publish(r);
	expect_not_found(r, "C/x");
	for (const char *line = strstr(r->log, "fetch 1.targets.json\n");
	     (line = strstr(line + 1, "fetch 1."));) {
		char role[16];

		assert_int_equal(sscanf(line, "fetch 1.%15[a-z]", role), 1);
		(void)snprintf(order + strlen(order), sizeof order - strlen(order), "%s ", role);
	}
	if (strcmp(order, g->order) != 0)
		fail_msg("visited %snot %s", order, g->order);
	repo_free(r);
}

static void test_orders(void **state)
{
	static const struct graph graphs[] = {
		{ { "targets p", "targets q" }, "p q " },
		{ { "targets p", "targets q", "p s", "p t" }, "p s t q " },
		{ { "targets p", "targets q", "p s", "s t" }, "p s t q " },
		{ { "targets p", "targets q", "q s", "p s" }, "p s q " },
		{ { "targets p", "targets q", "q s", "p s-" }, "p q s " },
		{ { "targets p-", "targets q", "p s" }, "q " },
		{ { "targets p", "targets q", "p s!", "p t" }, "p s " },
		{ { "targets p", "targets q", "p s!", "s t" }, "p s t " },
		{ { "targets p!", "targets q", "p s" }, "p s " },
		{ { "targets p", "targets q", "q s", "s t", "t q" }, "p q s t " },
		{ { "targets p", "p p", "targets q" }, "p q " },
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(graphs); i++)
		expect_order(&graphs[i]);
}

/* "visited before in the delegation path": by another path it is visited again, as that path trusts
 * it. */
static void test_visited_by_each_path(void **state)
{
	struct repo *r = *state;

	(void)repo_delegate(r, "targets", "first", "C/*", NULL);
	(void)repo_delegate(r, "targets", "second", "C/*", NULL);
	(void)repo_delegate(r, "first", "shared", "C/*", NULL);
	(void)repo_delegate(r, "second", "shared", "C/*", repo_new_key(r));
	repo_add_target(r, "shared", "C/x", "x");
	repo_publish(r);
	expect_role(r, "C/x", "shared");
	expect_find_refused(r, "C/y", -EKEYREJECTED, REASON_BAD_SIGNATURE,
			    "shared.json (version 1): signed by 0 of 1");
}

/* Each role of a level delegates to both of the next: 2^12 paths. */
static void test_paths_are_bounded(void **state)
{
	struct repo *r = *state;
	char from[2][16] = { "targets", "targets" }, to[2][16];

	for (unsigned level = 0; level < 12; level++) {
		for (unsigned i = 0; i < 2; i++)
			(void)snprintf(to[i], sizeof to[i], "l%u-%u", level, i);
		for (unsigned i = 0; i < (level ? 2 : 1); i++)
			for (unsigned j = 0; j < 2; j++)
				(void)repo_delegate(r, from[i], to[j], "C/*", NULL);
		memcpy(from, to, sizeof from);
	}
	repo_publish(r);
	expect_not_found(r, "C/x");
}

static void test_limit_of_roles(void **state)
{
	struct repo *r = *state;
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	const struct repo_file *root;
	struct tuf_limits limits = TUF_LIMITS_DEFAULT;
	struct tuf_target target;
	struct seen all = {};

	limits.roles = 1;
	(void)repo_delegate(r, "A", "below", "A/*", NULL);
	repo_add_target(r, "below", "A/x", "x");
	repo_publish(r);
	root = files_get(&r->files, "1.root.json");
	assert_int_equal(
		tuf_client_new(root->bytes, root->size, REPO_NOW_SEC, &r->source, &limits, &c), 0);
	assert_int_equal(find(c, "A/a.tar.xz", &target), 0);
	assert_int_equal(find(c, "A/x", &target), -ENOENT);
	assert_int_equal(tuf_client_each_target(c, see, &all), 0);
	assert_string_equal(all.text, "A:A/a.tar.xz ");
}

/* ---- odd names ---- */

static void test_odd_role_names(void **state)
{
	static const struct {
		const char *role, *file;
	} names[] = {
		{ "?", "%3F" },	    { "#", "%23" },
		{ "/x", "%2Fx" },   { "../x", "..%2Fx" },
		{ "..", ".." },	    { "a%2Fb", "a%252Fb" },
		{ "a b", "a%20b" }, { "\xc3\xa9", "%C3%A9" },
		{ "1.B", "1.B" },   { "root.json", "root.json" },
	};
	struct repo *r = *state;
	char pattern[16], path[16], line[64];

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		(void)snprintf(pattern, sizeof pattern, "%zu/*", i);
		(void)snprintf(path, sizeof path, "%zu/x", i);
		(void)repo_delegate(r, "targets", names[i].role, pattern, NULL);
		repo_add_target(r, names[i].role, path, "x");
	}
	repo_publish(r);
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		(void)snprintf(path, sizeof path, "%zu/x", i);
		expect_role(r, path, names[i].role);
		(void)snprintf(line, sizeof line, "fetch 1.%s.json\nstore %s.json\n", names[i].file,
			       names[i].file);
		if (!strstr(r->log, line))
			fail_msg("'%s' was not: %s", names[i].role, line);
	}
	/* The second time from the local copies. */
	r->log[0] = '\0';
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		(void)snprintf(path, sizeof path, "%zu/x", i);
		expect_role(r, path, names[i].role);
	}
	assert_null(strstr(r->log, "fetch 1."));
}

static void test_role_name_too_long(void **state)
{
	struct repo *r = *state;
	char name[300];

	memset(name, 'a', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	repo_set_string(repo_delegate(r, "targets", "long", "C/*", NULL), "name", name);
	repo_publish(r);
	expect_find_refused(r, "C/x", -EBADMSG, REASON_BAD_METADATA, "its name is too long");
	expect_role(r, "A/a.tar.xz", "A");
}

static void test_odd_paths(void **state)
{
	static const char *const paths[] = { "/etc/passwd", "../x", "a//b", ".",
					     "a\\b",	    "a\nb", "%2e",  "\xc3\xa9" };
	struct repo *r = *state;

	for (size_t i = 0; i < ELEMENTSOF(paths); i++)
		repo_add_target(r, "targets", paths[i], "x");
	repo_publish(r);
	for (size_t i = 0; i < ELEMENTSOF(paths); i++)
		expect_role(r, paths[i], "targets");
}

/* ---- hashes of a target ---- */

static cJSON *hashes_of(struct repo *r, const char *role, const char *path)
{
	cJSON *targets = cJSON_GetObjectItemCaseSensitive(repo_role(r, role)->body, "targets");

	return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(targets, path),
						"hashes");
}

static void test_hashes_of_targets(void **state)
{
	struct repo *r = *state;
	cJSON *hashes = hashes_of(r, "B", "B/b.tar.xz");
	_cleanup_(tuf_client_freep) struct tuf_client *both = NULL, *one = NULL;
	_cleanup_free_ char *file = NULL;
	struct tuf_target target;
	char hex[2 * SHA512_BYTES + 1], expected[200];

	memset(hex, 'e', sizeof hex - 1);
	hex[sizeof hex - 1] = '\0';
	repo_set_string(hashes, "sha512", hex);
	repo_publish(r);
	both = repo_client(r);
	assert_int_equal(find(both, "B/b.tar.xz", &target), 0);
	assert_true(target.has_sha256 && target.has_sha512);
	assert_int_equal(target.sha512[63], 0xee);

	cJSON_DeleteItemFromObjectCaseSensitive(hashes, "sha256");
	repo_next(r);
	one = repo_client(r);
	assert_int_equal(find(one, "B/b.tar.xz", &target), 0);
	assert_true(!target.has_sha256 && target.has_sha512);
	assert_int_equal(tuf_client_target_file(one, &target, &file), 0);
	(void)snprintf(expected, sizeof expected, "B/%s.b.tar.xz", hex);
	assert_string_equal(file, expected);
}

/* Such a target cannot be had; the others can. */
static void test_hash_of_unknown_kind_alone(void **state)
{
	struct repo *r = *state;
	cJSON *hashes = hashes_of(r, "B", "B/b.tar.xz");
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	struct seen all = {};

	cJSON_DeleteItemFromObjectCaseSensitive(hashes, "sha256");
	repo_set_string(hashes, "blake3", "00");
	repo_add_target(r, "B", "B/other", "x");
	repo_publish(r);
	expect_find_refused(r, "B/b.tar.xz", -EBADMSG, REASON_BAD_METADATA,
			    "B/b.tar.xz: has no hash that can be checked here");
	c = repo_client(r);
	assert_int_equal(tuf_client_refresh(c), 0);
	assert_int_equal(tuf_client_each_target(c, see, &all), 0);
	assert_string_equal(all.text, "A:A/a.tar.xz B:B/other ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		repo_test(test_delegated_role_with_the_wrong_key),
		repo_test(test_delegated_role_expired),
		repo_test(test_delegated_role_of_another_time),
		repo_test(test_delegated_role_not_in_snapshot),
		repo_test(test_delegated_role_missing),
		repo_test(test_role_beyond_its_paths),
		repo_test(test_order_of_roles),
		repo_test(test_terminating),
		repo_test(test_terminating_below),
		repo_test(test_depth_first),
		repo_test(test_cycle),
		repo_test(test_at_most_so_many_roles),
		repo_test(test_role_of_two_delegators),
		repo_test(test_hash_prefixes),
		repo_test(test_each_target),
		repo_test(test_each_target_is_verified_once),
		repo_test(test_each_target_of_a_cycle),
		repo_test(test_each_target_of_a_bad_path),
		repo_test(test_each_target_with_a_bad_role),
		repo_test(test_orders),
		repo_test(test_visited_by_each_path),
		repo_test(test_paths_are_bounded),
		repo_test(test_limit_of_roles),
		repo_test(test_odd_role_names),
		repo_test(test_role_name_too_long),
		repo_test(test_odd_paths),
		repo_test(test_hashes_of_targets),
		repo_test(test_hash_of_unknown_kind_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
