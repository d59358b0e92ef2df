/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/verify.h"

#include "gateway.h"

#include <errno.h>
#include <stdio.h>

#include "common/json.h"

/* The repository's dates are fixed, so the clock has to be. */
static int64_t now_sec, asked_with_sec;

int64_t __wrap_conf_effective_time_sec(int64_t last_trusted_sec);
int64_t __wrap_conf_effective_time_sec(int64_t last_trusted_sec)
{
	asked_with_sec = last_trusted_sec;
	return now_sec > last_trusted_sec ? now_sec : last_trusted_sec;
}

static int setup(void **state)
{
	now_sec = REPO_NOW_SEC;
	return gateway_setup(state);
}

static int verify(struct gateway *g, const char *version, struct release_target *ret,
		  struct failure *failure)
{
	_cleanup_(state_closep) struct state *s = NULL;
	_cleanup_close_ int fd = gateway_open(g, "metadata", O_RDONLY | O_DIRECTORY);
	int r;

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	r = verify_target(s, fd, gateway_target(version), ret, failure);
	assert_int_equal(journal_write(s->journal), 0);
	return r;
}

static void expect_accepted(struct gateway *g, const char *version)
{
	struct release_target target = { 0 };
	struct failure failure = { 0 };

	if (verify(g, version, &target, &failure) < 0)
		fail_msg("%s", failure.text);
	assert_string_equal(target.version.text, version);
}

static void expect_refused(struct gateway *g, const char *version, enum reason reason)
{
	struct release_target target = { 0 };
	struct failure failure = { 0 };

	if (verify(g, version, &target, &failure) == 0)
		fail_msg("accepted");
	if (failure.reason != reason)
		fail_msg("%s '%s', not %s", reason_name(failure.reason), failure.text,
			 reason_name(reason));
	assert_true(failure.text[0]);
	assert_int_equal(target.length_bytes, 0);
}

static cJSON *body_of(struct gateway *g, const char *role)
{
	return repo_role(g->repo, role)->body;
}

/* ---- trust ---- */

static void test_takes_what_is_signed(void **state)
{
	struct gateway *g = *state;
	struct release_target target;
	struct failure failure;
	_cleanup_free_ char *bytes = NULL;
	uint8_t sha256[SHA256_BYTES];
	size_t size;

	gateway_publish(g, NEW_B, NULL);
	assert_int_equal(verify(g, NEW_B, &target, &failure), 0);
	bytes = gateway_pack(g, NEW_B, &size);
	assert_int_equal(digest_sha256(bytes, size, sha256), 0);
	assert_int_equal(target.length_bytes, size);
	assert_memory_equal(target.sha256, sha256, sizeof sha256);
	assert_true(target.tar_length_bytes % 512 == 0 && target.tar_length_bytes > 0);
	assert_int_equal(target.n_requires, 0);
	/* Its own copies: root, timestamp, snapshot, targets, B. */
	assert_int_equal(gateway_count(g, "installer/trust"), 5);
	gateway_publish(g, NEXT_B, NULL);
	expect_accepted(g, NEXT_B);
}

static void test_refuses_what_nobody_signs(void **state)
{
	struct gateway *g = *state;

	gateway_publish(g, NEW_B, NULL);
	expect_refused(g, NEXT_B, REASON_NO_TARGET);
}

static void test_refuses_a_wrong_signature(void **state)
{
	struct gateway *g = *state;

	gateway_publish(g, NEW_B, NULL);
	repo_set_signers(g->repo, "B", 1, repo_new_key(g->repo));
	repo_next(g->repo);
	gateway_write_metadata(g);
	expect_refused(g, NEW_B, REASON_BAD_SIGNATURE);
}

/* An agent that was taken over hands over what it had last month. */
static void test_refuses_metadata_older_than_its_own(void **state)
{
	struct gateway *g = *state;

	gateway_publish(g, NEW_B, NULL);
	assert_int_equal(renameat(g->scratch->dirfd, "metadata", g->scratch->dirfd, "old"), 0);
	gateway_publish(g, NEXT_B, NULL);
	expect_accepted(g, NEXT_B);
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "metadata"), 0);
	assert_int_equal(renameat(g->scratch->dirfd, "old", g->scratch->dirfd, "metadata"), 0);
	expect_refused(g, NEW_B, REASON_METADATA_ROLLBACK);
}

static void test_refuses_expired_metadata(void **state)
{
	struct gateway *g = *state;

	gateway_publish(g, NEW_B, NULL);
	now_sec = INT64_C(1800000000); /* 2027-01-15 */
	expect_refused(g, NEW_B, REASON_EXPIRED);
}

static void set_last_trusted(struct gateway *g, uint64_t sec)
{
	_cleanup_(state_closep) struct state *s = NULL;

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(journal_set_u64(s->journal, "last_trusted_sec", sec), 0);
	assert_int_equal(journal_write(s->journal), 0);
}

/* Nothing that was signed vouches for it: it must not make the gateway refuse for ever. */
static void test_a_time_that_nothing_vouches_for(void **state)
{
	struct gateway *g = *state;

	set_last_trusted(g, 7000000000);
	gateway_publish(g, NEW_B, NULL);
	expect_accepted(g, NEW_B);
	assert_int_equal(asked_with_sec, 0);
	expect_accepted(g, NEW_B);
	assert_true(asked_with_sec == REPO_NOW_SEC);
	set_last_trusted(g, 7000000000);
	expect_accepted(g, NEW_B);
	assert_int_equal(asked_with_sec, 0);
	set_last_trusted(g, UINT64_MAX);
	expect_accepted(g, NEW_B);
	/* What a rotation of the timestamp's key made void vouches for nothing either. */
	set_last_trusted(g, REPO_NOW_SEC + 1000);
	scratch_text(g->scratch->dirfd, "installer/trust/timestamp.json", "", 0600);
	expect_accepted(g, NEW_B);
	assert_int_equal(asked_with_sec, 0);
}

/* A clock that falls back to 1970 does not make old metadata fresh again. */
static void test_time_does_not_go_back(void **state)
{
	struct gateway *g = *state;

	gateway_publish(g, NEW_B, NULL);
	expect_accepted(g, NEW_B);
	assert_int_equal(asked_with_sec, 0);
	now_sec = 0;
	repo_set_string(body_of(g, "timestamp"), "expires", REPO_PAST);
	repo_next(g->repo);
	gateway_write_metadata(g);
	expect_refused(g, NEW_B, REASON_EXPIRED);
	assert_true(asked_with_sec == REPO_NOW_SEC);
}

static void test_follows_a_new_root(void **state)
{
	struct gateway *g = *state;
	struct stat st;

	gateway_publish(g, NEW_B, NULL);
	expect_accepted(g, NEW_B);
	repo_next_root(g->repo);
	gateway_publish(g, NEXT_B, NULL);
	expect_accepted(g, NEXT_B);
	assert_int_equal(fstatat(g->scratch->dirfd, "installer/trust/2.root.json", &st, 0), 0);
	/* What was kept stands in for a root_file that is lost. */
	scratch_text(g->scratch->dirfd, "root.json", "gone", 0644);
	expect_accepted(g, NEXT_B);
}

static void test_a_damaged_own_root_is_not_the_end(void **state)
{
	struct gateway *g = *state;

	gateway_publish(g, NEW_B, NULL);
	expect_accepted(g, NEW_B);
	scratch_text(g->scratch->dirfd, "installer/trust/root.json", "{\"sig", 0600);
	expect_accepted(g, NEW_B);
	scratch_text(g->scratch->dirfd, "installer/trust/root.json", "", 0600);
	scratch_text(g->scratch->dirfd, "root.json", "", 0644);
	expect_refused(g, NEW_B, REASON_BAD_METADATA);
}

/* Each byte takes a whole refresh: all of them with CHECK_BYTES=all, else a part. */
static size_t bytes_apart(void)
{
	const char *which = getenv("CHECK_BYTES");

	return which && strcmp(which, "all") == 0 ? 1 : 37;
}

static const char *const own_names[] = { "2.root.json",	   "3.root.json",   "root.json",
					 "timestamp.json", "snapshot.json", "targets.json",
					 "B.json" };

/* However one of its own copies was cut or changed, the next attempt is none the worse. */
static void test_damaged_own_copies(void **state)
{
	struct gateway *g = *state;
	int trust_fd;

	repo_next_root(g->repo);
	repo_next_root(g->repo);
	gateway_publish(g, NEW_B, NULL);
	expect_accepted(g, NEW_B);
	trust_fd = gateway_open(g, "installer/trust", O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < ELEMENTSOF(own_names); i++) {
		_cleanup_free_ char *bytes = NULL;
		size_t size;

		assert_int_equal(fs_read_file(trust_fd, own_names[i], 1 << 20, &bytes, &size), 0);
		for (size_t at = 0; at < size; at += bytes_apart()) {
			scratch_write(trust_fd, own_names[i], bytes, at, 0600);
			expect_accepted(g, NEW_B);
			bytes[at] = (char)(bytes[at] ^ (1 << (at % 8)));
			scratch_write(trust_fd, own_names[i], bytes, size, 0600);
			expect_accepted(g, NEW_B);
			bytes[at] = (char)(bytes[at] ^ (1 << (at % 8)));
		}
	}
	(void)close(trust_fd);
}

static void install_root_file(struct gateway *g, struct repo *repo)
{
	const struct repo_file *root = files_get(&repo->files, "1.root.json");

	scratch_write(g->scratch->dirfd, "root.json", root->bytes, root->size, 0644);
}

/* The operator's word: what was kept does not descend from it and does not count. */
static void test_an_unrelated_root_file(void **state)
{
	struct gateway *g = *state;
	struct repo *first = g->repo;

	repo_next_root(g->repo);
	gateway_publish(g, NEW_B, NULL);
	expect_accepted(g, NEW_B);
	g->repo = repo_new();
	install_root_file(g, g->repo);
	expect_refused(g, NEW_B, REASON_BAD_SIGNATURE);
	assert_true(faccessat(g->scratch->dirfd, "installer/trust/2.root.json", F_OK, 0) < 0);
	gateway_publish(g, NEW_B, NULL);
	expect_accepted(g, NEW_B);
	repo_free(first);
}

/* ---- a directory in hostile hands ---- */

static void copy_root_as(struct gateway *g, unsigned from, unsigned number)
{
	char name[64];
	const struct repo_file *root;

	(void)snprintf(name, sizeof name, "%u.root.json", from);
	root = files_get(&g->repo->files, name);
	assert_non_null(root);
	(void)snprintf(name, sizeof name, "metadata/%u.root.json", number);
	scratch_write(g->scratch->dirfd, name, root->bytes, root->size, 0644);
}

/* The chain ends where it has a gap: what the root after it allows is not allowed yet. */
static void test_a_chain_that_skips_a_root(void **state)
{
	struct gateway *g = *state;
	struct repo_key *key = repo_new_key(g->repo);

	repo_next_root(g->repo);
	repo_root_says(g->repo, "timestamp", 1, 1, key);
	repo_set_signers(g->repo, "timestamp", 1, key);
	repo_next_root(g->repo);
	gateway_publish(g, NEW_B, NULL);
	assert_int_equal(unlinkat(g->scratch->dirfd, "metadata/2.root.json", 0), 0);
	expect_refused(g, NEW_B, REASON_BAD_SIGNATURE);
	copy_root_as(g, 3, 2);
	expect_refused(g, NEW_B, REASON_METADATA_ROLLBACK);
	copy_root_as(g, 1, 2);
	expect_refused(g, NEW_B, REASON_METADATA_ROLLBACK);
	copy_root_as(g, 2, 2);
	expect_accepted(g, NEW_B);
}

static void test_thousands_of_roots(void **state)
{
	struct gateway *g = *state;

	gateway_publish(g, NEW_B, NULL);
	for (unsigned i = 2; i < 3000; i++)
		copy_root_as(g, 1, i);
	expect_refused(g, NEW_B, REASON_METADATA_ROLLBACK);
	assert_int_equal(gateway_count(g, "installer/trust"), 1);
}

static void test_files_without_end(void **state)
{
	static const char *const names[] = { "2.root.json", "timestamp.json", "snapshot.json",
					     "targets.json", "B.json" };
	struct gateway *g = *state;

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		char path[64];
		int fd;

		gateway_publish(g, NEW_B, NULL);
		(void)snprintf(path, sizeof path, "metadata/%s", names[i]);
		fd = openat(g->scratch->dirfd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, INT64_C(1) << 40), 0);
		expect_refused(g, NEW_B, REASON_BAD_METADATA);
		(void)close(fd);
	}
}

static void test_what_is_no_file(void **state)
{
	static const char *const names[] = { "2.root.json", "snapshot.json", "B.json" };
	struct gateway *g = *state;
	int dirfd = g->scratch->dirfd;

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		char path[64];

		gateway_publish(g, NEW_B, NULL);
		(void)snprintf(path, sizeof path, "metadata/%s", names[i]);
		(void)unlinkat(dirfd, path, 0);
		assert_int_equal(mkfifoat(dirfd, path, 0644), 0);
		expect_refused(g, NEW_B, REASON_BAD_METADATA);
		assert_int_equal(unlinkat(dirfd, path, 0), 0);
		assert_int_equal(symlinkat("/dev/zero", dirfd, path), 0);
		expect_refused(g, NEW_B, REASON_BAD_METADATA);
		assert_int_equal(unlinkat(dirfd, path, 0), 0);
		assert_int_equal(mkdirat(dirfd, path, 0755), 0);
		expect_refused(g, NEW_B, REASON_BAD_METADATA);
		assert_int_equal(unlinkat(dirfd, path, AT_REMOVEDIR), 0);
	}
}

/* Roles that a search visits on its way, named so that their files could be mistaken for others. */
static void test_odd_role_names(void **state)
{
	static const char *const odd[] = {
		"../B", "7.B", "B.json", "%42", "a b/\xc3\xa4", ".", ".."
	};
	struct gateway *g = *state;
	cJSON *delegations = cJSON_GetObjectItemCaseSensitive(body_of(g, "targets"), "delegations");
	cJSON *roles = cJSON_GetObjectItemCaseSensitive(delegations, "roles");

	for (size_t i = 0; i < ELEMENTSOF(odd); i++) {
		repo_delegate(g->repo, "targets", odd[i], "B/*", NULL);
		/* Before B, so that each is looked into first. */
		cJSON_InsertItemInArray(
			roles, 0, cJSON_DetachItemFromArray(roles, cJSON_GetArraySize(roles) - 1));
	}
	for (int i = 0; i < 8; i++)
		gateway_publish(g, NEW_B, NULL);
	expect_accepted(g, NEW_B);
	assert_int_equal(gateway_count(g, "installer/trust"), 5 + ELEMENTSOF(odd));
	assert_int_equal(gateway_count(g, "installer"), 4);
}

/* The directory is the agent's: nothing in it may lead elsewhere or hold us up. */
static void test_takes_only_files_from_the_agent(void **state)
{
	struct gateway *g = *state;
	int dirfd = g->scratch->dirfd;

	gateway_publish(g, NEW_B, NULL);
	assert_int_equal(renameat(dirfd, "metadata/timestamp.json", dirfd, "timestamp.json"), 0);
	assert_int_equal(symlinkat("../timestamp.json", dirfd, "metadata/timestamp.json"), 0);
	expect_refused(g, NEW_B, REASON_BAD_METADATA);
	assert_int_equal(unlinkat(dirfd, "metadata/timestamp.json", 0), 0);
	assert_int_equal(mkfifoat(dirfd, "metadata/timestamp.json", 0644), 0);
	expect_refused(g, NEW_B, REASON_BAD_METADATA);
	assert_int_equal(unlinkat(dirfd, "metadata/timestamp.json", 0), 0);
	assert_int_equal(renameat(dirfd, "timestamp.json", dirfd, "metadata/timestamp.json"), 0);
	expect_accepted(g, NEW_B);
}

/* ---- what the target says of itself ---- */

static cJSON *custom_with(struct gateway *g, const char *key, cJSON *value)
{
	cJSON *custom = gateway_custom(g, NEW_B);

	cJSON_DeleteItemFromObjectCaseSensitive(custom, key);
	if (value)
		cJSON_AddItemToObject(custom, key, value);
	return custom;
}

static void expect_custom(struct gateway *g, const char *key, cJSON *value, enum reason reason)
{
	gateway_publish(g, NEW_B, custom_with(g, key, value));
	if (reason == REASON_NONE)
		expect_accepted(g, NEW_B);
	else
		expect_refused(g, NEW_B, reason);
}

static void test_judges_the_custom_part(void **state)
{
	struct gateway *g = *state;
	const char *models[] = { "gw2", "gw1" };

	expect_custom(g, "program", cJSON_CreateString("A"), REASON_WRONG_PROGRAM);
	expect_custom(g, "program", NULL, REASON_BAD_METADATA);
	expect_custom(g, "version", cJSON_CreateString("A202109010001"), REASON_WRONG_PROGRAM);
	expect_custom(g, "version", cJSON_CreateString("newest"), REASON_BAD_METADATA);
	expect_custom(g, "kind", cJSON_CreateString("patch"), REASON_BAD_METADATA);
	expect_custom(g, "kind", NULL, REASON_BAD_METADATA);
	expect_custom(g, "arch", cJSON_CreateString("arm64"), REASON_WRONG_ARCH);
	expect_custom(g, "arch", cJSON_CreateString("all"), REASON_NONE);
	expect_custom(g, "arch", cJSON_CreateNumber(1), REASON_BAD_METADATA);
	expect_custom(g, "model", cJSON_CreateStringArray(models, 2), REASON_NONE);
	expect_custom(g, "model", cJSON_CreateStringArray(models, 1), REASON_WRONG_MODEL);
	expect_custom(g, "model", cJSON_CreateStringArray(models, 0), REASON_NONE);
	expect_custom(g, "model", cJSON_CreateString("gw1"), REASON_BAD_METADATA);
	expect_custom(g, "tar", NULL, REASON_BAD_METADATA);
	expect_custom(g, "tar", cJSON_CreateObject(), REASON_BAD_METADATA);
	expect_custom(g, "requires", cJSON_CreateString("A"), REASON_BAD_METADATA);
	expect_custom(g, "later", cJSON_CreateString("unknown to us"), REASON_NONE);
}

static void test_judges_lengths(void **state)
{
	struct gateway *g = *state;
	cJSON *custom = gateway_custom(g, NEW_B);
	cJSON *tar = cJSON_GetObjectItemCaseSensitive(custom, "tar");

	cJSON_ReplaceItemInObjectCaseSensitive(
		tar, "length", cJSON_CreateNumber((double)g->conf.max_program_bytes + 1));
	gateway_publish(g, NEW_B, custom);
	expect_refused(g, NEW_B, REASON_TAR_TOO_BIG);
	gateway_publish(g, NEW_B, NULL);
	g->conf.max_program_bytes = 16;
	expect_refused(g, NEW_B, REASON_TAR_TOO_BIG);
}

static void test_a_gateway_without_model_takes_what_is_for_any(void **state)
{
	const char *models[] = { "gw1" };
	struct gateway *g = *state;

	g->conf.model = NULL;
	expect_custom(g, "model", cJSON_CreateStringArray(models, 1), REASON_WRONG_MODEL);
	expect_custom(g, "model", NULL, REASON_NONE);
}

/* The team that signs A must not be able to sign for B. */
static void test_each_role_signs_its_own_program_only(void **state)
{
	struct gateway *g = *state;
	cJSON *targets, *moved;

	gateway_publish(g, NEW_B, NULL);
	targets = cJSON_GetObjectItemCaseSensitive(body_of(g, "B"), "targets");
	moved = cJSON_DetachItemFromObjectCaseSensitive(targets, gateway_target(NEW_B));
	targets = cJSON_GetObjectItemCaseSensitive(body_of(g, "A"), "targets");
	cJSON_AddItemToObject(targets, gateway_target(NEW_B), moved);
	repo_next(g->repo);
	gateway_write_metadata(g);
	expect_refused(g, NEW_B, REASON_NO_TARGET);
	/* Not even if a careless delegation lets it. */
	repo_delegate(g->repo, "targets", "C", "B/*", NULL);
	moved = cJSON_DetachItemFromObjectCaseSensitive(targets, gateway_target(NEW_B));
	targets = cJSON_GetObjectItemCaseSensitive(body_of(g, "C"), "targets");
	cJSON_AddItemToObject(targets, gateway_target(NEW_B), moved);
	repo_next(g->repo);
	gateway_write_metadata(g);
	expect_refused(g, NEW_B, REASON_NO_TARGET);
}

/* ---- patches ---- */

static int verify_patch(struct gateway *g, struct release_target *ret, struct failure *failure)
{
	_cleanup_close_ int metadata_fd = gateway_open(g, "metadata", O_RDONLY | O_DIRECTORY);
	_cleanup_(state_closep) struct state *s = NULL;

	*failure = (struct failure){ 0 };
	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	return verify_target(s, metadata_fd, "B/" NEW_B "-amd64.from-" OLD_B ".patch", ret,
			     failure);
}

static void test_takes_a_patch(void **state)
{
	struct gateway *g = *state;
	struct release_target t, base;
	struct failure failure;

	gateway_publish(g, OLD_B, NULL);
	gateway_publish_patch(g, OLD_B, NEW_B, NULL, 0, NULL);
	assert_int_equal(verify(g, OLD_B, &base, &failure), 0);
	assert_false(base.is_patch);
	assert_int_equal(verify_patch(g, &t, &failure), 0);
	assert_true(t.is_patch);
	assert_string_equal(t.version.text, NEW_B);
	assert_string_equal(t.from.text, OLD_B);
	assert_int_equal(t.base_length_bytes, base.tar_length_bytes);
	assert_memory_equal(t.base_sha256, base.tar_sha256, SHA256_BYTES);
}

static void refuse_patch(struct gateway *g, const char *member, cJSON *value, enum reason reason)
{
	cJSON *custom = gateway_patch_custom(g, OLD_B, NEW_B);
	struct release_target t;
	struct failure failure;

	cJSON_DeleteItemFromObject(custom, member);
	if (value)
		cJSON_AddItemToObject(custom, member, value);
	gateway_publish_patch(g, OLD_B, NEW_B, NULL, 0, custom);
	assert_true(verify_patch(g, &t, &failure) < 0);
	assert_string_equal(reason_name(failure.reason), reason_name(reason));
}

static void test_judges_a_patch(void **state)
{
	struct gateway *g = *state;

	refuse_patch(g, "from", NULL, REASON_BAD_METADATA);
	refuse_patch(g, "from", cJSON_CreateString(OLD_A), REASON_BAD_METADATA);
	refuse_patch(g, "from", cJSON_CreateString("yesterday"), REASON_BAD_METADATA);
	refuse_patch(g, "base", NULL, REASON_BAD_METADATA);
	refuse_patch(g, "base", cJSON_CreateObject(), REASON_BAD_METADATA);
	refuse_patch(g, "base", cJSON_Parse("{\"length\":512,\"sha256\":\"12\"}"),
		     REASON_BAD_METADATA);
	refuse_patch(g, "base",
		     cJSON_Parse("{\"length\":1073741824,\"sha256\":\"0000000000000000000000000000"
				 "000000000000000000000000000000000000\"}"),
		     REASON_TAR_TOO_BIG);
	refuse_patch(g, "tar", NULL, REASON_BAD_METADATA);
	refuse_patch(g, "kind", cJSON_CreateString("patches"), REASON_BAD_METADATA);
	refuse_patch(g, "arch", cJSON_CreateString("arm64"), REASON_WRONG_ARCH);
}

/* ---- policy ---- */

static void admit(struct gateway *g, const char *version, const char *requires, enum reason reason)
{
	_cleanup_(state_closep) struct state *s = NULL;
	struct release_target target = { .version = gateway_version(version) };
	struct failure failure = { 0 };
	int r;

	if (requires)
	target.requires[target.n_requires++] = gateway_version(requires);
	assert_int_equal(state_open(&g->conf, STATE_READ, &s), 0);
	r = verify_admit(s, &target, &failure);
	assert_int_equal(r == 0, reason == REASON_NONE);
	assert_string_equal(reason_name(failure.reason), reason_name(reason));
}

static void remember(struct gateway *g, const char *key, const char *value)
{
	_cleanup_(state_closep) struct state *s = NULL;

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(journal_set(s->journal, key, value), 0);
	assert_int_equal(journal_write(s->journal), 0);
}

static void test_admits_only_what_is_newer(void **state)
{
	struct gateway *g = *state;

	remember(g, "state", "idle");
	admit(g, NEW_B, NULL, REASON_NONE);
	admit(g, OLD_B, NULL, REASON_OLDER_VERSION);
	admit(g, "B202107010001", NULL, REASON_OLDER_VERSION);
	admit(g, "C202109010001", NULL, REASON_DAMAGED);
}

static void test_admits_a_patch_from_what_runs(void **state)
{
	struct gateway *g = *state;
	_cleanup_(state_closep) struct state *s = NULL;
	struct release_target t = { .version = gateway_version(NEW_B), .is_patch = true };
	struct failure failure = { 0 };

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	t.from = gateway_version(OLD_B);
	assert_int_equal(verify_admit(s, &t, &failure), 0);
	t.from = gateway_version("B202107010001");
	assert_true(verify_admit(s, &t, &failure) < 0);
	assert_int_equal(failure.reason, REASON_BASE_DIFFERS);
}

static void test_admits_what_runs_only_to_repair_it(void **state)
{
	struct gateway *g = *state;
	_cleanup_(state_closep) struct state *s = NULL;
	struct release_target t = { .version = gateway_version(OLD_B) };
	struct failure failure = { 0 };

	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(verify_admit(s, &t, &failure), -ESTALE);
	scratch_text(g->scratch->dirfd, "b/releases/" OLD_B "/bin/program", "changed", 0555);
	assert_int_equal(verify_admit(s, &t, &failure), 1);
	t.is_patch = true;
	t.from = t.version;
	assert_int_equal(verify_admit(s, &t, &failure), -ESTALE);
	t = (struct release_target){ .version = gateway_version("B202107010001") };
	assert_int_equal(verify_admit(s, &t, &failure), -ESTALE);
}

static void test_admits_nothing_below_the_floor(void **state)
{
	struct gateway *g = *state;

	remember(g, "floor_B", NEXT_B);
	admit(g, NEW_B, NULL, REASON_OLDER_VERSION);
	admit(g, NEXT_B, NULL, REASON_NONE);
	admit(g, NEW_A, NULL, REASON_NONE);
}

static void test_admits_nothing_quarantined(void **state)
{
	struct gateway *g = *state;

	remember(g, "quarantine_B", NEW_B);
	admit(g, NEW_B, NULL, REASON_QUARANTINED);
	admit(g, NEXT_B, NULL, REASON_NONE);
	admit(g, "B202108310001", NULL, REASON_NONE);
}

static void test_admits_only_what_has_what_it_requires(void **state)
{
	struct gateway *g = *state;

	remember(g, "state", "idle");
	admit(g, NEW_B, OLD_A, REASON_NONE);
	admit(g, NEW_B, NEW_A, REASON_REQUIRES);
	admit(g, NEW_B, "C202101010001", REASON_REQUIRES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, gateway_teardown)
		TEST(test_takes_what_is_signed),
		TEST(test_refuses_what_nobody_signs),
		TEST(test_refuses_a_wrong_signature),
		TEST(test_refuses_metadata_older_than_its_own),
		TEST(test_refuses_expired_metadata),
		TEST(test_time_does_not_go_back),
		TEST(test_a_time_that_nothing_vouches_for),
		TEST(test_follows_a_new_root),
		TEST(test_a_damaged_own_root_is_not_the_end),
		TEST(test_damaged_own_copies),
		TEST(test_an_unrelated_root_file),
		TEST(test_a_chain_that_skips_a_root),
		TEST(test_thousands_of_roots),
		TEST(test_files_without_end),
		TEST(test_what_is_no_file),
		TEST(test_odd_role_names),
		TEST(test_takes_only_files_from_the_agent),
		TEST(test_judges_the_custom_part),
		TEST(test_judges_lengths),
		TEST(test_a_gateway_without_model_takes_what_is_for_any),
		TEST(test_each_role_signs_its_own_program_only),
		TEST(test_admits_only_what_is_newer),
		TEST(test_takes_a_patch),
		TEST(test_judges_a_patch),
		TEST(test_admits_a_patch_from_what_runs),
		TEST(test_admits_what_runs_only_to_repair_it),
		TEST(test_admits_nothing_below_the_floor),
		TEST(test_admits_nothing_quarantined),
		TEST(test_admits_only_what_has_what_it_requires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
