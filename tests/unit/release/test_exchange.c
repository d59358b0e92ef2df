/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures that travel: what goes out is what is staged, what comes in is signatures alone, and only
 * good ones.
 */
#include <errno.h>
#include <unistd.h>

#include "common/json.h"
#include "release/exchange.h"
#include "release/request.h"
#include "release/stage.h"
#include "release_site.h"

struct fixture {
	struct site *site;
	char request[96];
	struct signer *root, *targets; /* taken out of keys/ */
};

/* The key is elsewhere from now on. */
static struct signer *take_key(const struct site *site, const char *name)
{
	struct signer_secrets secrets = { .passphrase_file = site->passphrase };
	struct signer *signer = NULL;
	struct problem problem = { 0 };
	char file[32], path[256];
	int fd;

	site_path(site, "keys", path, sizeof path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	if (signer_open(fd, name, &secrets, &signer, &problem) < 0)
		fail_msg("%s", problem.text);
	signer_secrets_done(&secrets);
	(void)snprintf(file, sizeof file, "%s.pem", name);
	assert_int_equal(unlinkat(fd, file, 0), 0);
	assert_int_equal(close(fd), 0);
	return signer;
}

/* A published repository whose offline keys are elsewhere; a new key of timestamp is staged. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct problem problem = { 0 };
	struct repository *r;

	assert_non_null(f);
	assert_int_equal(site_setup((void **)&f->site), 0);
	(void)snprintf(f->request, sizeof f->request, "%s/request.json", f->site->scratch->path);
	assert_int_equal(site_verb(f->site, verb_publish), RELEASE_OK);
	f->root = take_key(f->site, "root");
	f->targets = take_key(f->site, "targets");
	r = site_open(f->site);
	assert_int_equal(keystore_generate(repository_keys(r), "ts2", false, &problem), 0);
	assert_int_equal(keystore_generate(repository_keys(r), "B2", false, &problem), 0);
	repository_close(r);
	assert_int_equal(site_verb(f->site, verb_rotate, "timestamp", "--add", "ts2"), RELEASE_OK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	signer_free(f->root);
	signer_free(f->targets);
	assert_int_equal(site_teardown((void **)&f->site), 0);
	free(f);
	return 0;
}

static int export(const struct fixture *f)
{
	return site_verb(f->site, verb_export, f->request);
}

static int import(const struct fixture *f)
{
	return site_verb(f->site, verb_import, f->request);
}

/* Signs as the other machine does: every role that wants it. How many these were. */
static unsigned sign(const struct fixture *f, const struct signer *signer)
{
	_cleanup_(request_freep) struct request *request = NULL;
	struct problem problem = { 0 };
	struct request_role role;
	unsigned count = 0;

	if (request_read(f->request, &request, &problem) < 0)
		fail_msg("%s", problem.text);
	for (size_t i = 0; request_role(request, i, &role); i++) {
		enum request_outcome outcome;

		assert_int_equal(request_sign(request, i, signer, &outcome, &problem), 0);
		count += outcome == REQUEST_SIGNED;
	}
	assert_int_equal(request_write(request, f->request, &problem), 0);
	return count;
}

static unsigned staged_signatures(const struct fixture *f, const char *role)
{
	_cleanup_(repository_closep) struct repository *r = site_open(f->site);
	_cleanup_(role_file_unrefp) struct role_file *file = NULL;
	struct problem problem = { 0 };
	int n = repository_load_file(r, role, REPOSITORY_STAGED_ONLY, &file, &problem);

	if (n < 0)
		fail_msg("%s is not staged", role);
	return (unsigned)cJSON_GetArraySize(role_file_metadata(file)->signatures);
}

static uint64_t published(const struct fixture *f, const char *role)
{
	_cleanup_(repository_closep) struct repository *r = site_open(f->site);
	struct problem problem = { 0 };
	uint64_t version = 0;

	assert_int_equal(repository_published_version(r, role, &version, &problem), 0);
	return version;
}

/* ---- tests ---- */

static void test_round_trip(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(site_verb(f->site, verb_publish), RELEASE_FAILED);
	assert_int_equal(export(f), RELEASE_OK);
	assert_int_equal(sign(f, f->root), 1);
	assert_int_equal(import(f), RELEASE_OK);
	assert_int_equal(staged_signatures(f, "root"), 1);
	assert_int_equal(site_verb(f->site, verb_publish), RELEASE_OK);
	assert_int_equal(published(f, "root"), 2);
}

static void test_importing_twice_changes_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(export(f), RELEASE_OK);
	assert_int_equal(sign(f, f->root), 1);
	assert_int_equal(site_verb(f->site, verb_import, f->request, "--dry-run"), RELEASE_OK);
	assert_int_equal(staged_signatures(f, "root"), 0);
	assert_int_equal(import(f), RELEASE_OK);
	assert_int_equal(import(f), RELEASE_OK);
	assert_int_equal(staged_signatures(f, "root"), 1);
}

static void test_request_names_what_is_missing(void **state)
{
	struct fixture *f = *state;
	_cleanup_(request_freep) struct request *request = NULL;
	struct problem problem = { 0 };
	struct request_role role;

	assert_int_equal(site_verb(f->site, verb_rotate, "B", "--add", "B2"), RELEASE_OK);
	assert_int_equal(export(f), RELEASE_OK);
	assert_int_equal(request_read(f->request, &request, &problem), 0);
	assert_true(request_role(request, 0, &role));
	assert_string_equal(role.role, "root");
	assert_int_equal(cJSON_GetArraySize(role.needs), 1);
	assert_string_equal(json_text_or(cJSON_GetArrayItem(role.needs, 0), "keyid", ""),
			    signer_id(f->root));
	assert_string_equal(json_text_or(cJSON_GetArrayItem(role.needs, 0), "name", ""), "root");
	assert_non_null(role.previous);
	assert_int_equal(role.threshold, 1);
	assert_true(request_role(request, 1, &role));
	assert_string_equal(role.role, "targets");
	assert_non_null(
		strstr(cJSON_GetStringValue(cJSON_GetArrayItem(role.changes, 0)), "adds key B2"));
	assert_false(request_role(request, 2, &role)); /* B could be signed here */
}

static void test_only_the_roles_asked_for(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(site_verb(f->site, verb_rotate, "B", "--add", "B2"), RELEASE_OK);
	assert_int_equal(site_verb(f->site, verb_export, f->request, "targets"), RELEASE_OK);
	assert_int_equal(sign(f, f->root), 0);
	assert_int_equal(sign(f, f->targets), 1);
	assert_int_equal(import(f), RELEASE_OK);
	assert_int_equal(site_verb(f->site, verb_publish, "targets", "B"), RELEASE_OK);
	assert_int_equal(published(f, "targets"), 2);
	assert_int_equal(published(f, "root"), 1);
	assert_int_equal(site_verb(f->site, verb_export, f->request, "nobody"), RELEASE_FAILED);
}

/* What was signed is not what is staged any more. */
static void test_a_change_after_export_voids_it(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(export(f), RELEASE_OK);
	assert_int_equal(sign(f, f->root), 1);
	assert_int_equal(site_verb(f->site, verb_rotate, "timestamp", "--remove", "timestamp"),
			 RELEASE_OK);
	assert_int_equal(import(f), RELEASE_FAILED);
	assert_int_equal(staged_signatures(f, "root"), 0);
}

static void test_a_change_after_import_drops_signatures_and_says_so(void **state)
{
	struct fixture *f = *state;
	_cleanup_(changes_done) struct changes changes = { 0 };
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_(keystore_key_done) struct keystore_key key = { 0 };
	_cleanup_json_ cJSON *root = NULL;
	struct problem problem = { 0 };
	const cJSON *sentence;
	bool told = false;

	assert_int_equal(export(f), RELEASE_OK);
	assert_int_equal(sign(f, f->root), 1);
	assert_int_equal(import(f), RELEASE_OK);
	r = site_open(f->site);
	assert_int_equal(repository_load(r, "root", REPOSITORY_NEWEST, &root, &problem), 0);
	assert_int_equal(keystore_public(repository_keys(r), "ts2", &key, &problem), 0);
	assert_int_equal(authority_remove_key(root, "timestamp", key.id), 1);
	assert_int_equal(stage_put(r, "root", root, &changes, &problem), 0);
	cJSON_ArrayForEach (sentence, changes.sentences)
		told |= strstr(cJSON_GetStringValue(sentence), "the signature of root") != NULL;
	assert_true(told);
	assert_int_equal(stage_commit(r, &problem), 0);
	repository_close(TAKE_PTR(r));
	assert_int_equal(staged_signatures(f, "root"), 0);
}

/* Staging the same again keeps what was brought. */
static void test_the_same_again_keeps_signatures(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(export(f), RELEASE_OK);
	assert_int_equal(sign(f, f->root), 1);
	assert_int_equal(import(f), RELEASE_OK);
	assert_int_equal(site_verb(f->site, verb_rotate, "timestamp", "--add", "ts2"), RELEASE_OK);
	assert_int_equal(site_verb(f->site, verb_export, "--renew", "root", f->request),
			 RELEASE_OK);
	assert_int_equal(staged_signatures(f, "root"), 1);
}

/* ---- hostile requests ---- */

static cJSON *read_request(const struct fixture *f)
{
	_cleanup_free_ char *bytes = NULL;
	cJSON *json = NULL;
	size_t size;

	assert_int_equal(fs_read_file(AT_FDCWD, f->request, REQUEST_MAX_BYTES, &bytes, &size), 0);
	assert_int_equal(json_parse(bytes, size, NULL, &json, NULL), 0);
	return json;
}

static void write_request(const struct fixture *f, const cJSON *json)
{
	_cleanup_free_ char *text = json_print(json);

	assert_non_null(text);
	scratch_text(f->site->scratch->dirfd, "request.json", text, 0600);
}

static cJSON *first_file(const cJSON *request)
{
	const cJSON *roles = cJSON_GetObjectItemCaseSensitive(request, "roles");

	return cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(roles, 0), "file");
}

static void test_junk_signatures_are_refused(void **state)
{
	static const char zeros[] =
		"0000000000000000000000000000000000000000000000000000000000000000"
		"0000000000000000000000000000000000000000000000000000000000000000";
	static const char *const junk[] = { "", "00", "zz", zeros };
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(junk); i++) {
		_cleanup_json_ cJSON *json = NULL;
		cJSON *signature;

		assert_int_equal(export(f), RELEASE_OK);
		json = read_request(f);
		signature = cJSON_CreateObject();
		assert_non_null(cJSON_AddStringToObject(signature, "keyid", signer_id(f->root)));
		assert_non_null(cJSON_AddStringToObject(signature, "sig", junk[i]));
		assert_true(cJSON_AddItemToArray(
			cJSON_GetObjectItemCaseSensitive(first_file(json), "signatures"),
			signature));
		write_request(f, json);
		assert_int_equal(import(f), RELEASE_FAILED);
		assert_int_equal(staged_signatures(f, "root"), 0);
	}
}

/* Somebody on the way adds a key of his own and signs that. */
static void test_nothing_but_signatures_is_taken(void **state)
{
	struct fixture *f = *state;
	_cleanup_(signer_freep) struct signer *thief = NULL;
	_cleanup_(repository_closep) struct repository *r = NULL;
	_cleanup_json_ cJSON *json = NULL;
	_cleanup_json_ cJSON *root = NULL;
	struct problem problem = { 0 };

	assert_int_equal(signer_generate(SIGNER_ED25519, &thief), 0);
	assert_int_equal(export(f), RELEASE_OK);
	json = read_request(f);
	assert_int_equal(
		authority_add_key(cJSON_GetObjectItemCaseSensitive(first_file(json), "signed"),
				  "root", signer_id(thief), signer_public(thief)),
		1);
	write_request(f, json);
	assert_int_equal(sign(f, f->root), 1);
	assert_int_equal(import(f), RELEASE_FAILED);
	assert_int_equal(staged_signatures(f, "root"), 0);
	r = site_open(f->site);
	assert_int_equal(repository_load(r, "root", REPOSITORY_NEWEST, &root, &problem), 0);
	assert_false(authority_lists(root, "root", signer_id(thief)));
}

static void test_a_strangers_signature_is_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ cJSON *json = NULL;
	cJSON *needs;

	assert_int_equal(export(f), RELEASE_OK);
	json = read_request(f);
	needs = cJSON_GetObjectItemCaseSensitive(
		cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "roles"), 0), "needs");
	assert_true(cJSON_ReplaceItemInObjectCaseSensitive(
		cJSON_GetArrayItem(needs, 0), "keyid", cJSON_CreateString(signer_id(f->targets))));
	write_request(f, json);
	assert_int_equal(sign(f, f->targets), 1);
	assert_int_equal(import(f), RELEASE_FAILED);
	assert_int_equal(staged_signatures(f, "root"), 0);
}

static void test_requests_of_other_repositories_change_nothing(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ cJSON *json = NULL;
	cJSON *role;

	assert_int_equal(export(f), RELEASE_OK);
	json = read_request(f);
	role = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "roles"), 0);
	assert_true(cJSON_ReplaceItemInObjectCaseSensitive(role, "role",
							   cJSON_CreateString("../../root")));
	write_request(f, json);
	assert_int_equal(import(f), RELEASE_FAILED);
	assert_int_equal(site_verb(f->site, verb_import, "/nonexistent"), RELEASE_FAILED);
	assert_int_equal(staged_signatures(f, "root"), 0);
}

/* A staged file without a signature stays as it was exported: nothing to import once it is public. */
static void test_what_is_published_is_passed_over(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(export(f), RELEASE_OK);
	assert_int_equal(sign(f, f->root), 1);
	assert_int_equal(import(f), RELEASE_OK);
	assert_int_equal(site_verb(f->site, verb_publish), RELEASE_OK);
	assert_int_equal(import(f), RELEASE_OK);
	assert_int_equal(published(f, "root"), 2);
	assert_int_equal(unlink(f->request), 0);
	assert_int_equal(export(f), RELEASE_OK);
	assert_int_equal(access(f->request, F_OK), -1);
}

int main(void)
{
#define EXCHANGE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		EXCHANGE_TEST(test_round_trip),
		EXCHANGE_TEST(test_importing_twice_changes_nothing),
		EXCHANGE_TEST(test_request_names_what_is_missing),
		EXCHANGE_TEST(test_only_the_roles_asked_for),
		EXCHANGE_TEST(test_a_change_after_export_voids_it),
		EXCHANGE_TEST(test_a_change_after_import_drops_signatures_and_says_so),
		EXCHANGE_TEST(test_the_same_again_keeps_signatures),
		EXCHANGE_TEST(test_junk_signatures_are_refused),
		EXCHANGE_TEST(test_nothing_but_signatures_is_taken),
		EXCHANGE_TEST(test_a_strangers_signature_is_refused),
		EXCHANGE_TEST(test_requests_of_other_repositories_change_nothing),
		EXCHANGE_TEST(test_what_is_published_is_passed_over),
	};

	return cmocka_run_group_tests(tests, site_group_setup, site_group_teardown);
}
