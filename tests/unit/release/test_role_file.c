/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "common/json.h"
#include "release/authority.h"
#include "release/metadata.h"
#include "release/role_file.h"
#include "scratch.h"

/* A root with three keys for every role, threshold 2, signed by the first two. */
struct fixture {
	struct signer *signer[3];
	struct role_file *root;
};

static const char *const top_roles[] = { "root", "targets", "snapshot", "timestamp" };

static cJSON *new_root(void)
{
	cJSON *root = NULL, *roles, *role;

	assert_int_equal(metadata_new("root", &root), 0);
	assert_int_equal(metadata_set(root, 1, 1795305600), 0);
	assert_non_null(cJSON_AddTrueToObject(root, "consistent_snapshot"));
	assert_non_null(cJSON_AddObjectToObject(root, "keys"));
	roles = cJSON_AddObjectToObject(root, "roles");
	for (size_t i = 0; i < ELEMENTSOF(top_roles); i++) {
		role = cJSON_AddObjectToObject(roles, top_roles[i]);
		assert_non_null(cJSON_AddArrayToObject(role, "keyids"));
		assert_true(json_add_u64(role, "threshold", 1));
	}
	return root;
}

static void sign(struct role_file **file, const struct signer *signer)
{
	const struct tuf_metadata *m = role_file_metadata(*file);
	_cleanup_free_ char *sig = NULL;
	struct problem problem = { 0 };

	assert_int_equal(signer_sign(signer, m->signed_bytes, m->signed_size, &sig), 0);
	assert_int_equal(role_file_add_signature(file, signer_id(signer), sig, &problem), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	_cleanup_json_ cJSON *root = new_root();
	struct problem problem = { 0 };

	assert_non_null(f);
	for (size_t i = 0; i < ELEMENTSOF(f->signer); i++) {
		assert_int_equal(signer_generate(SIGNER_ED25519, &f->signer[i]), 0);
		for (size_t j = 0; j < ELEMENTSOF(top_roles); j++)
			assert_int_equal(authority_add_key(root, top_roles[j],
							   signer_id(f->signer[i]),
							   signer_public(f->signer[i])),
					 1);
	}
	assert_int_equal(authority_set_threshold(root, "root", 2), 1);
	assert_int_equal(role_file_new(root, TUF_ROOT, &f->root, &problem), 0);
	sign(&f->root, f->signer[0]);
	sign(&f->root, f->signer[1]);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(f->signer); i++)
		signer_free(f->signer[i]);
	role_file_unref(f->root);
	free(f);
	return 0;
}

static unsigned count(const struct role_file *file)
{
	struct role_signatures signatures = { 0 };
	int r = role_file_verify(file, file, "root", &signatures);

	assert_int_equal(signatures.threshold, 2);
	assert_int_equal(r, signatures.have >= 2 ? 0 : -EKEYREJECTED);
	return signatures.have;
}

static void test_threshold_counts_keys(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(count(f->root), 2);
	sign(&f->root, f->signer[1]);
	assert_int_equal(count(f->root), 2);
	assert_false(role_file_signed_by(f->root, f->root, "root", signer_id(f->signer[2])));
	sign(&f->root, f->signer[2]);
	assert_int_equal(count(f->root), 3);
	assert_true(role_file_signed_by(f->root, f->root, "root", signer_id(f->signer[2])));
}

static void test_a_strangers_signature_does_not_count(void **state)
{
	struct fixture *f = *state;
	_cleanup_(signer_freep) struct signer *stranger = NULL;

	assert_int_equal(signer_generate(SIGNER_ED25519, &stranger), 0);
	sign(&f->root, stranger);
	assert_int_equal(count(f->root), 2);
	assert_false(role_file_signed_by(f->root, f->root, "root", signer_id(stranger)));
	assert_false(role_file_was_changed(f->root, f->root, "root"));
}

static void test_a_key_of_another_role_does_not_count(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ cJSON *document = cJSON_Duplicate(role_file_document(f->root), true);
	_cleanup_(role_file_unrefp) struct role_file *root = NULL;
	struct problem problem = { 0 };

	assert_int_equal(authority_remove_key(document, "root", signer_id(f->signer[0])), 1);
	assert_int_equal(role_file_new(document, TUF_ROOT, &root, &problem), 0);
	sign(&root, f->signer[0]);
	assert_int_equal(count(root), 0);
	sign(&root, f->signer[1]);
	sign(&root, f->signer[2]);
	assert_int_equal(count(root), 2);
}

/* What is read is what was written; and a script finds the signed bytes as a literal part of it. */
static void test_file_is_canonical(void **state)
{
	const struct fixture *f = *state;
	_cleanup_(role_file_unrefp) struct role_file *again = NULL;
	struct problem problem = { 0 };
	size_t size;
	const char *bytes = role_file_bytes(f->root, &size);
	const struct tuf_metadata *m = role_file_metadata(f->root);

	assert_int_equal(strncmp(bytes, "{\"signatures\":[{\"keyid\":\"", 25), 0);
	assert_true(size > m->signed_size + 1);
	assert_memory_equal(bytes + size - 1 - m->signed_size, m->signed_bytes, m->signed_size);
	assert_int_equal(role_file_parse(bytes, size, TUF_ROOT, &again, &problem), 0);
	assert_true(role_file_same(again, f->root));
	assert_int_equal(count(again), 2);
}

static void test_every_changed_bit_is_noticed(void **state)
{
	const struct fixture *f = *state;
	size_t size;
	const char *bytes = role_file_bytes(f->root, &size);
	_cleanup_free_ char *copy = malloc(size);

	assert_non_null(copy);
	memcpy(copy, bytes, size);
	for (size_t i = 0; i < size * 8; i += 5) {
		_cleanup_(role_file_unrefp) struct role_file *changed = NULL;
		struct problem problem = { 0 };

		copy[i / 8] ^= (char)(1 << i % 8);
		if (role_file_parse(copy, size, TUF_ROOT, &changed, &problem) == 0)
			assert_true(count(changed) < 2);
		else
			assert_true(*problem.text);
		copy[i / 8] ^= (char)(1 << i % 8);
	}
}

static void test_a_change_after_signing_is_told_from_a_missing_signature(void **state)
{
	const struct fixture *f = *state;
	_cleanup_json_ cJSON *envelope = cJSON_Duplicate(role_file_envelope(f->root), true);
	_cleanup_(role_file_unrefp) struct role_file *changed = NULL;
	_cleanup_free_ char *text = NULL;
	struct problem problem = { 0 };

	assert_false(role_file_was_changed(f->root, f->root, "root"));
	assert_int_equal(
		metadata_set(cJSON_GetObjectItemCaseSensitive(envelope, "signed"), 2, 1795305600),
		0);
	text = json_print(envelope);
	assert_int_equal(role_file_parse(text, strlen(text), TUF_ROOT, &changed, &problem), 0);
	assert_true(role_file_was_changed(changed, changed, "root"));
	assert_false(role_file_same(changed, f->root));
}

static void test_keys_are_counted_once(void **state)
{
	const struct fixture *f = *state;

	assert_int_equal(role_file_count_keys(f->root, "root"), 3);
	assert_int_equal(role_file_count_keys(f->root, "nobody"), 0);
}

static void test_hostile_files_are_refused(void **state)
{
	static const char *const files[] = {
		"",
		"{}",
		"[]",
		"{\"signed\":{}}",
		"{\"signatures\":[]}",
		"{\"signatures\":{},\"signed\":{}}",
		"{\"signatures\":[],\"signed\":[]}",
		"{\"signatures\":[1,null,{}],\"signed\":{}}",
		"{\"signatures\":[],\"signed\":{},\"signed\":{}}",
		"{\"signatures\":[],\"signed\":{\"version\":1e3}}",
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(files); i++) {
		struct role_file *file = NULL;
		struct problem problem = { 0 };

		assert_true(role_file_parse(files[i], strlen(files[i]), TUF_TARGETS, &file,
					    &problem) < 0);
		assert_null(file);
		assert_true(*problem.text);
	}
}

int main(void)
{
#define SIGNED_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		SIGNED_TEST(test_threshold_counts_keys),
		SIGNED_TEST(test_a_strangers_signature_does_not_count),
		SIGNED_TEST(test_a_key_of_another_role_does_not_count),
		SIGNED_TEST(test_file_is_canonical),
		SIGNED_TEST(test_every_changed_bit_is_noticed),
		SIGNED_TEST(test_a_change_after_signing_is_told_from_a_missing_signature),
		SIGNED_TEST(test_keys_are_counted_once),
		cmocka_unit_test(test_hostile_files_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
