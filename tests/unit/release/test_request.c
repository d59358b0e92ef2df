/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "common/json.h"
#include "envelope.h"
#include "release/request.h"
#include "scratch.h"

struct fixture {
	struct scratch *scratch;
	char path[96];
	struct signer *alice, *bob;
	cJSON *root; /* version 2, by alice and bob */
};

/* A third type of key, asked for nothing; RSA takes long to make, so it is made once. */
static struct signer *carol;

static int make_carol(void **state)
{
	(void)state;
	return signer_generate(SIGNER_RSA_PSS, &carol);
}

static int free_carol(void **state)
{
	(void)state;
	signer_free(carol);
	return 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	void *scratch;

	assert_non_null(f);
	(void)scratch_setup(&scratch);
	f->scratch = scratch;
	(void)snprintf(f->path, sizeof f->path, "%s/request.json", f->scratch->path);
	assert_int_equal(signer_generate(SIGNER_ED25519, &f->alice), 0);
	assert_int_equal(signer_generate(SIGNER_ECDSA_P256, &f->bob), 0);
	f->root = envelope_root(2, 2, (struct signer *[]){ f->alice, f->bob }, 2);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *scratch = f->scratch;

	signer_free(f->alice);
	signer_free(f->bob);
	cJSON_Delete(f->root);
	(void)scratch_teardown(&scratch);
	free(f);
	return 0;
}

static cJSON *need(const struct signer *s, const char *name)
{
	cJSON *object = cJSON_CreateObject();

	envelope_put(object, "keyid", cJSON_CreateString(signer_id(s)));
	envelope_put(object, "name", cJSON_CreateString(name));
	return object;
}

/* {"role":"root","file":…,"needs":[alice, bob],"threshold":2} */
static void add_root(const struct fixture *f, struct request *r)
{
	_cleanup_json_ cJSON *needs = cJSON_CreateArray();
	struct request_role role = {
		.role = "root", .file = f->root, .needs = needs, .threshold = 2
	};
	struct problem problem = { 0 };

	assert_true(cJSON_AddItemToArray(needs, need(f->alice, "alice")));
	assert_true(cJSON_AddItemToArray(needs, need(f->bob, "bob")));
	if (request_add_role(r, &role, &problem) < 0)
		fail_msg("%s", problem.text);
}

static void write_request(const struct fixture *f)
{
	_cleanup_(request_freep) struct request *r = NULL;
	struct problem problem = { 0 };

	assert_int_equal(request_new(&r), 0);
	add_root(f, r);
	assert_int_equal(request_write(r, f->path, &problem), 0);
}

/* One person's turn with the file. */
static enum request_outcome pass_by(const struct fixture *f, const struct signer *signer)
{
	_cleanup_(request_freep) struct request *r = NULL;
	enum request_outcome outcome = REQUEST_NOT_NEEDED;
	struct problem problem = { 0 };

	assert_int_equal(request_read(f->path, &r, &problem), 0);
	assert_int_equal(request_sign(r, 0, signer, &outcome, &problem), 0);
	assert_int_equal(request_write(r, f->path, &problem), 0);
	return outcome;
}

/* How many of root's own keys signed it, by the code of the gateways. */
static unsigned count_signatures(const struct fixture *f, bool enough)
{
	_cleanup_(request_freep) struct request *r = NULL;
	const struct tuf_metadata *m;
	struct problem problem = { 0 };
	unsigned n = 0;

	assert_int_equal(request_read(f->path, &r, &problem), 0);
	m = request_metadata(r, 0);
	assert_int_equal(tuf_role_verify(&m->roles, tuf_roles_find(&m->roles, "root"), m, &n),
			 enough ? 0 : -EKEYREJECTED);
	return n;
}

static void test_signatures_gather_from_hand_to_hand(void **state)
{
	const struct fixture *f = *state;

	write_request(f);
	assert_int_equal(count_signatures(f, false), 0);
	assert_int_equal(pass_by(f, f->alice), REQUEST_SIGNED);
	assert_int_equal(count_signatures(f, false), 1);
	assert_int_equal(pass_by(f, f->bob), REQUEST_SIGNED);
	assert_int_equal(count_signatures(f, true), 2);
}

static void test_signing_again_changes_nothing(void **state)
{
	const struct fixture *f = *state;
	_cleanup_free_ char *first = NULL, *second = NULL;
	size_t first_size, second_size;

	write_request(f);
	assert_int_equal(pass_by(f, f->bob), REQUEST_SIGNED);
	assert_int_equal(fs_read_file(AT_FDCWD, f->path, REQUEST_MAX_BYTES, &first, &first_size),
			 0);
	assert_int_equal(pass_by(f, f->bob), REQUEST_SIGNED_BEFORE);
	assert_int_equal(fs_read_file(AT_FDCWD, f->path, REQUEST_MAX_BYTES, &second, &second_size),
			 0);
	assert_string_equal(first, second);
}

static void test_key_that_is_not_asked_for_does_not_sign(void **state)
{
	const struct fixture *f = *state;

	write_request(f);
	assert_int_equal(pass_by(f, carol), REQUEST_NOT_NEEDED);
	assert_int_equal(count_signatures(f, false), 0);
}

static void test_bad_signature_of_ours_is_replaced(void **state)
{
	struct fixture *f = *state;
	cJSON *signatures = cJSON_GetObjectItemCaseSensitive(f->root, "signatures");
	cJSON *bad = cJSON_CreateObject();

	envelope_put(bad, "keyid", cJSON_CreateString(signer_id(f->alice)));
	envelope_put(bad, "sig", cJSON_CreateString("00ff"));
	assert_true(cJSON_AddItemToArray(signatures, bad));
	write_request(f);
	assert_int_equal(pass_by(f, f->alice), REQUEST_SIGNED);
	assert_int_equal(count_signatures(f, false), 1);
}

/* White space and the order of members are not signed; the content is. */
static void test_canonical_form_is_signed(void **state)
{
	const struct fixture *f = *state;
	_cleanup_free_ char *bytes = NULL, *pretty = NULL;
	_cleanup_json_ cJSON *json = NULL;
	cJSON *document;
	size_t size;

	write_request(f);
	assert_int_equal(fs_read_file(AT_FDCWD, f->path, REQUEST_MAX_BYTES, &bytes, &size), 0);
	assert_int_equal(json_parse(bytes, size, NULL, &json, NULL), 0);
	document = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "roles"), 0);
	document = envelope_signed(cJSON_GetObjectItemCaseSensitive(document, "file"));
	envelope_put(document, "_type", cJSON_CreateString("root")); /* now the last */
	pretty = cJSON_Print(json);
	scratch_text(f->scratch->dirfd, "request.json", pretty, 0644);
	assert_int_equal(pass_by(f, f->alice), REQUEST_SIGNED);
	assert_int_equal(count_signatures(f, false), 1);
}

/* ---- what is refused ---- */

/* The request as JSON, for a test to spoil. */
static cJSON *load_json(const struct fixture *f)
{
	_cleanup_free_ char *bytes = NULL;
	cJSON *json = NULL;
	size_t size;

	write_request(f);
	assert_int_equal(fs_read_file(AT_FDCWD, f->path, REQUEST_MAX_BYTES, &bytes, &size), 0);
	assert_int_equal(json_parse(bytes, size, NULL, &json, NULL), 0);
	return json;
}

static cJSON *first_role(const cJSON *json)
{
	return cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "roles"), 0);
}

/* Takes json over. */
static void assert_refused(cJSON *json, int expected, const char *says)
{
	_cleanup_(request_freep) struct request *r = NULL;
	_cleanup_free_ char *text = cJSON_PrintUnformatted(json);
	struct problem problem = { 0 };

	cJSON_Delete(json);
	assert_non_null(text);
	assert_int_equal(request_parse(text, strlen(text), &r, &problem), expected);
	assert_null(r);
	if (!strstr(problem.text, says))
		fail_msg("'%s' does not say '%s'", problem.text, says);
}

static void refuse_head(const struct fixture *f, const char *key, cJSON *value, const char *says)
{
	cJSON *json = load_json(f);

	envelope_put(json, key, value);
	assert_refused(json, -EBADMSG, says);
}

static void refuse_role(const struct fixture *f, const char *key, cJSON *value, const char *says)
{
	cJSON *json = load_json(f);

	envelope_put(first_role(json), key, value);
	assert_refused(json, -EBADMSG, says);
}

static void test_what_is_no_request_is_refused(void **state)
{
	const struct fixture *f = *state;

	assert_refused(cJSON_CreateNull(), -EBADMSG, "no signing request");
	assert_refused(cJSON_CreateArray(), -EBADMSG, "no signing request");
	assert_refused(cJSON_Duplicate(f->root, true), -EBADMSG, "no signing request");
	refuse_head(f, "_type", cJSON_CreateString("root"), "_type");
	refuse_head(f, "version", cJSON_CreateNumber(2), "newer");
	refuse_head(f, "roles", cJSON_CreateArray(), "empty");
	refuse_head(f, "roles", cJSON_CreateObject(), "roles");
	refuse_head(f, "more", cJSON_CreateTrue(), "more");
}

static void test_role_of_wrong_form_is_refused(void **state)
{
	const struct fixture *f = *state;
	cJSON *list = cJSON_CreateArray();

	refuse_role(f, "role", cJSON_CreateString(""), "role");
	refuse_role(f, "role", cJSON_CreateNumber(1), "role");
	refuse_role(f, "more", cJSON_CreateTrue(), "more");
	refuse_role(f, "file", cJSON_CreateArray(), "file");
	refuse_role(f, "threshold", cJSON_CreateNumber(0), "threshold");
	refuse_role(f, "threshold", cJSON_CreateString("1"), "threshold");
	refuse_role(f, "needs", cJSON_CreateObject(), "needs");
	refuse_role(f, "changes", cJSON_CreateString("a"), "changes");
	refuse_role(f, "previous", cJSON_CreateArray(), "previous");
	assert_true(cJSON_AddItemToArray(list, cJSON_CreateNumber(1)));
	refuse_role(f, "needs", cJSON_Duplicate(list, true), "needs");
	refuse_role(f, "changes", cJSON_Duplicate(list, true), "changes");
	cJSON_Delete(list);
}

static void test_need_without_key_id_is_refused(void **state)
{
	const struct fixture *f = *state;
	cJSON *needs = cJSON_CreateArray(), *object = cJSON_CreateObject();

	envelope_put(object, "name", cJSON_CreateString("alice"));
	assert_true(cJSON_AddItemToArray(needs, object));
	refuse_role(f, "needs", cJSON_Duplicate(needs, true), "keyid");
	envelope_put(object, "keyid", cJSON_CreateString("ab"));
	envelope_put(object, "secret", cJSON_CreateString("x"));
	refuse_role(f, "needs", needs, "secret");
}

static void test_metadata_of_another_type_is_refused(void **state)
{
	const struct fixture *f = *state;
	cJSON *targets = envelope_targets(1, 1, &f->alice, 1);

	refuse_role(f, "file", targets, "_type");
	refuse_role(f, "role", cJSON_CreateString("targets"), "_type");
	refuse_role(f, "role", cJSON_CreateString("snapshot"), "_type");
}

static void test_envelope_holds_nothing_unsigned(void **state)
{
	const struct fixture *f = *state;
	cJSON *file = cJSON_Duplicate(f->root, true);

	envelope_put(file, "note", cJSON_CreateString("looks official"));
	refuse_role(f, "file", file, "note");
	file = cJSON_Duplicate(f->root, true);
	cJSON_DeleteItemFromObjectCaseSensitive(file, "signatures");
	refuse_role(f, "file", file, "signatures");
	file = cJSON_Duplicate(f->root, true);
	cJSON_DeleteItemFromObjectCaseSensitive(envelope_signed(file), "expires");
	refuse_role(f, "file", file, "expires");
}

static void test_previous_must_be_older(void **state)
{
	const struct fixture *f = *state;

	refuse_role(f, "previous", cJSON_Duplicate(f->root, true), "older");
	refuse_role(f, "previous", envelope_root(3, 1, &f->alice, 1), "older");
	refuse_role(f, "previous", envelope_targets(1, 1, &f->alice, 1), "_type");
}

static void test_role_twice_is_refused(void **state)
{
	const struct fixture *f = *state;
	cJSON *json = load_json(f);
	cJSON *roles = cJSON_GetObjectItemCaseSensitive(json, "roles");

	assert_true(cJSON_AddItemToArray(roles, cJSON_Duplicate(first_role(json), true)));
	assert_refused(json, -EEXIST, "twice");
}

static void test_bytes_that_are_no_json_are_refused(void **state)
{
	const struct fixture *f = *state;
	static const char twice[] = "{\"_type\":\"bms-signing-request\",\"_type\":\"x\"}";
	_cleanup_(request_freep) struct request *r = NULL;
	_cleanup_free_ char *large = malloc(REQUEST_MAX_BYTES + 1);
	struct problem problem = { 0 };

	assert_int_equal(request_parse("", 0, &r, &problem), -EBADMSG);
	assert_int_equal(request_parse(twice, strlen(twice), &r, &problem), -EBADMSG);
	assert_non_null(large);
	memset(large, ' ', REQUEST_MAX_BYTES + 1);
	assert_int_equal(request_parse(large, REQUEST_MAX_BYTES + 1, &r, &problem), -EFBIG);
	assert_int_equal(request_read(f->path, &r, &problem), -ENOENT);
	assert_null(r);
}

/* ---- the sender ---- */

static void test_sender_cannot_make_what_the_reader_refuses(void **state)
{
	const struct fixture *f = *state;
	_cleanup_(request_freep) struct request *r = NULL;
	_cleanup_json_ cJSON *needs = cJSON_CreateArray();
	struct request_role role = {
		.role = "targets", .file = f->root, .needs = needs, .threshold = 1
	};
	struct request_role first;
	struct problem problem = { 0 };

	assert_int_equal(request_new(&r), 0);
	assert_int_equal(request_add_role(r, &role, &problem), -EBADMSG);
	assert_false(request_role(r, 0, &first));
	add_root(f, r);
	role.role = "root";
	assert_int_equal(request_add_role(r, &role, &problem), -EEXIST);
	assert_true(request_role(r, 0, &first));
	assert_string_equal(first.role, "root");
	assert_int_equal(first.threshold, 2);
	assert_false(request_role(r, 1, &first));
	assert_null(request_metadata(r, 1));
	assert_int_equal(request_write(r, f->path, &problem), 0);
	assert_int_equal(count_signatures(f, false), 0);
}

static void test_failed_write_leaves_the_old_file(void **state)
{
	const struct fixture *f = *state;
	_cleanup_(request_freep) struct request *r = NULL;
	struct problem problem = { 0 };

	assert_int_equal(request_new(&r), 0);
	add_root(f, r);
	assert_int_equal(request_write(r, "/nonexistent/request.json", &problem), -ENOENT);
	assert_non_null(strstr(problem.text, "/nonexistent/request.json"));
}

static void test_who_signed_is_told(void **state)
{
	const struct fixture *f = *state;
	_cleanup_(request_freep) struct request *r = NULL;
	struct problem problem = { 0 };

	write_request(f);
	assert_int_equal(pass_by(f, f->alice), REQUEST_SIGNED);
	assert_int_equal(request_read(f->path, &r, &problem), 0);
	assert_true(request_signed_by(request_metadata(r, 0), f->alice));
	assert_false(request_signed_by(request_metadata(r, 0), f->bob));
}

int main(void)
{
#define FIXTURE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_signatures_gather_from_hand_to_hand),
		FIXTURE_TEST(test_signing_again_changes_nothing),
		FIXTURE_TEST(test_key_that_is_not_asked_for_does_not_sign),
		FIXTURE_TEST(test_bad_signature_of_ours_is_replaced),
		FIXTURE_TEST(test_canonical_form_is_signed),
		FIXTURE_TEST(test_what_is_no_request_is_refused),
		FIXTURE_TEST(test_role_of_wrong_form_is_refused),
		FIXTURE_TEST(test_need_without_key_id_is_refused),
		FIXTURE_TEST(test_metadata_of_another_type_is_refused),
		FIXTURE_TEST(test_envelope_holds_nothing_unsigned),
		FIXTURE_TEST(test_previous_must_be_older),
		FIXTURE_TEST(test_role_twice_is_refused),
		FIXTURE_TEST(test_bytes_that_are_no_json_are_refused),
		FIXTURE_TEST(test_sender_cannot_make_what_the_reader_refuses),
		FIXTURE_TEST(test_failed_write_leaves_the_old_file),
		FIXTURE_TEST(test_who_signed_is_told),
	};

	return cmocka_run_group_tests(tests, make_carol, free_carol);
}
