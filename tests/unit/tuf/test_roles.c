/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json.h"
#include "expect.h"
#include "tuf/key.h"

static unsigned n_parsed;

int __real_tuf_key_parse(const cJSON *object, struct tuf_key **ret);
int __wrap_tuf_key_parse(const cJSON *object, struct tuf_key **ret);
int __wrap_tuf_key_parse(const cJSON *object, struct tuf_key **ret)
{
	n_parsed++;
	return __real_tuf_key_parse(object, ret);
}

/* ---- thresholds ---- */

static void test_threshold(void **state)
{
	struct repo *r = *state;
	struct repo_key *first = repo_role(r, "timestamp")->keys[0], *second = repo_new_key(r);

	repo_root_says(r, "timestamp", 2, 2, first, second);
	repo_next_root(r);
	expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE,
		       "timestamp.json (version 1): signed by 1 of 2 needed keys");
	repo_set_signers(r, "timestamp", 2, first, repo_new_key(r));
	repo_publish(r);
	expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, "signed by 1 of 2");
	repo_set_signers(r, "timestamp", 2, second, first);
	repo_publish(r);
	refresh(r);
}

static void test_key_id_listed_twice(void **state)
{
	struct repo *r = *state;
	struct repo_key *first = repo_role(r, "timestamp")->keys[0];

	repo_root_says(r, "timestamp", 2, 2, first, first);
	repo_next_root(r);
	expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, "signed by 1 of 2");
}

/* A key of the root that the role does not list. */
static void test_key_of_another_role(void **state)
{
	static const char *const roles[] = { "timestamp", "snapshot", "targets" };
	struct repo *r = *state;

	for (size_t i = 0; i < ELEMENTSOF(roles); i++) {
		struct repo_role *role = repo_role(r, roles[i]);
		struct repo_key *own = role->keys[0];
		char text[64];

		role->keys[0] = repo_role(r, "root")->keys[0];
		repo_publish(r);
		(void)snprintf(text, sizeof text,
			       "%s.json (version 1): signed by 0 of 1 needed keys", roles[i]);
		expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, text);
		(void)snprintf(text, sizeof text, "%s.json", roles[i]);
		expect_not_stored(r, text);
		role->keys[0] = own;
		files_clear(&r->local);
	}
}

static void test_other_kinds_of_keys(void **state)
{
	struct repo *r = *state;
	struct repo_key *p256 = repo_key_new(REPO_P256), *rsa = repo_key_new(REPO_RSA);

	repo_root_says(r, "timestamp", 1, 1, p256);
	repo_root_says(r, "snapshot", 1, 1, rsa);
	repo_set_signers(r, "timestamp", 1, p256);
	repo_set_signers(r, "snapshot", 1, rsa);
	repo_next_root(r);
	repo_publish(r);
	refresh(r);
	repo_key_free(p256);
	repo_key_free(rsa);
}

/* ---- key ids ---- */

static void set_id(struct repo_key *k)
{
	assert_int_equal(tuf_key_id(k->object, k->id), 0);
}

/* One key under two key ids that are both right, since its object differs: listed and signed with. */
static void test_one_key_with_two_ids(void **state)
{
	struct repo *r = *state;
	struct repo_key *first = repo_role(r, "timestamp")->keys[0];
	struct repo_key twin = *first;

	twin.object = cJSON_Duplicate(first->object, true);
	repo_set_string(twin.object, "x-owner", "twin");
	set_id(&twin);
	assert_string_not_equal(twin.id, first->id);
	repo_root_says(r, "timestamp", 2, 2, first, &twin);
	repo_next_root(r);
	repo_set_signers(r, "timestamp", 2, first, &twin);
	repo_publish(r);
	expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, "signed by 1 of 2");
	/* Either will do where one is enough. */
	repo_root_says(r, "timestamp", 1, 2, first, &twin);
	repo_next_root(r);
	repo_set_signers(r, "timestamp", 1, &twin);
	repo_publish(r);
	refresh(r);
	cJSON_Delete(twin.object);
}

static void test_key_under_a_wrong_id(void **state)
{
	struct repo *r = *state;
	struct repo_key wrong = *repo_role(r, "timestamp")->keys[0];

	wrong.id[5] = wrong.id[5] == '0' ? '1' : '0';
	repo_root_says(r, "timestamp", 1, 1, &wrong);
	repo_next_root(r);
	repo_set_signers(r, "timestamp", 1, &wrong);
	repo_publish(r);
	expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, "signed by 0 of 1");
}

/* The key of another, put where the id of the right one stands. */
static void test_key_under_the_id_of_another(void **state)
{
	struct repo *r = *state;
	struct repo_key *victim = repo_role(r, "timestamp")->keys[0], thief = *repo_new_key(r);

	memcpy(thief.id, victim->id, sizeof thief.id);
	cJSON_DeleteItemFromObjectCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(repo_role(r, "root")->body, "keys"), victim->id);
	repo_root_says(r, "timestamp", 1, 1, &thief);
	repo_next_root(r);
	repo_set_signers(r, "timestamp", 1, &thief);
	repo_publish(r);
	expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, "signed by 0 of 1");
}

/* With a member of its own a key has one id with it and one without: both are in use. */
static void test_key_with_a_member_of_its_own(void **state)
{
	struct repo *r = *state;
	struct repo_key *own = repo_role(r, "timestamp")->keys[0];
	struct repo_key with = *own, without = *own;

	with.object = without.object = cJSON_Duplicate(own->object, true);
	repo_set_string(with.object, "keyid_hash_algorithms", "md5");
	set_id(&with);
	cJSON_DeleteItemFromObjectCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(repo_role(r, "root")->body, "keys"), own->id);
	repo_root_says(r, "timestamp", 1, 1, &with);
	repo_next_root(r);
	repo_set_signers(r, "timestamp", 1, &with);
	repo_publish(r);
	refresh(r);
	repo_root_says(r, "timestamp", 1, 1, &without);
	repo_next_root(r);
	repo_set_signers(r, "timestamp", 1, &without);
	repo_publish(r);
	refresh(r);
	cJSON_Delete(with.object);
}

/* ---- keys that never count ---- */

static struct repo_key add_unused_key(struct repo *r, const char *text)
{
	struct repo_key k = { .object = cJSON_Parse(text) };

	assert_non_null(k.object);
	set_id(&k);
	cJSON_AddItemToObject(cJSON_GetObjectItemCaseSensitive(repo_role(r, "root")->body, "keys"),
			      k.id, k.object);
	return k;
}

static void add_key_text(struct repo *r, const char *text)
{
	struct repo_key k = add_unused_key(r, text);

	cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(
				     cJSON_GetObjectItemCaseSensitive(
					     cJSON_GetObjectItemCaseSensitive(
						     repo_role(r, "root")->body, "roles"),
					     "timestamp"),
				     "keyids"),
			     cJSON_CreateString(k.id));
}

static void test_keys_that_never_count(void **state)
{
	struct repo *r = *state;

	add_key_text(r, "{\"keytype\":\"sphincs\",\"scheme\":\"sphincs\",\"keyval\":{}}");
	add_key_text(r,
		     "{\"keytype\":\"ed25519\",\"scheme\":\"ed448\",\"keyval\":{\"public\":\"\"}}");
	add_key_text(
		r,
		"{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"00\"}}");
	add_key_text(
		r,
		"{\"keytype\":\"rsa\",\"scheme\":\"rsassa-pss-sha256\",\"keyval\":{\"public\":1}}");
	repo_next_root(r);
	refresh(r);
}

/* A stranger may put any number of keys into a file: those that no signature needs cost nothing. */
static void test_keys_are_read_when_needed(void **state)
{
	struct repo *r = *state;
	char text[160];

	for (int i = 0; i < 500; i++) {
		(void)snprintf(text, sizeof text,
			       "{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\","
			       "\"keyval\":{\"public\":\"%064d\"}}",
			       i + 10);
		if (i < 60)
			add_key_text(r, text);
		else
			(void)add_unused_key(r, text);
	}
	repo_next_root(r);
	n_parsed = 0;
	refresh(r);
	assert_in_range(n_parsed, 1, 100);
}

static void test_keyid_without_a_key(void **state)
{
	struct repo *r = *state;
	struct repo_key *own = repo_role(r, "timestamp")->keys[0];
	struct repo_key *unknown = repo_new_key(r);

	repo_root_says(r, "timestamp", 2, 2, own, unknown);
	cJSON_DeleteItemFromObjectCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(repo_role(r, "root")->body, "keys"), unknown->id);
	repo_next_root(r);
	repo_set_signers(r, "timestamp", 2, own, unknown);
	repo_publish(r);
	expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, "signed by 1 of 2");
}

/* ---- signatures ---- */

/* "multiple signatures with the same keyid are not allowed", enough of them or not. */
static void test_signature_twice(void **state)
{
	struct repo *r = *state;
	struct repo_key *own = repo_role(r, "snapshot")->keys[0];

	repo_set_signers(r, "snapshot", 2, own, own);
	repo_publish(r);
	expect_refused(r, -EBADMSG, REASON_BAD_METADATA,
		       "snapshot.json: malformed: signatures: has two of one keyid");
	expect_not_stored(r, "snapshot.json");
}

static void set_signature(struct repo *r, const char *file, int index, const char *text)
{
	const struct repo_file *f = files_get(&r->files, file);
	_cleanup_json_ cJSON *json = cJSON_Parse(f->bytes);
	_cleanup_free_ char *bytes = NULL;

	repo_set_string(
		cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "signatures"), index),
		"sig", text);
	bytes = json_print(json);
	files_put(&r->files, file, bytes, strlen(bytes));
}

/* What is no signature, beside one that is: it counts for nothing and does no harm. */
static void test_bad_signature_beside_a_good_one(void **state)
{
	static char long_hex[4097];
	static const char *const bad[] = { "", "00", "0", "zz", "AB", "not hex", long_hex };
	struct repo *r = *state;
	struct repo_key *first = repo_role(r, "timestamp")->keys[0], *second = repo_new_key(r);

	memset(long_hex, 'a', sizeof long_hex - 1);
	repo_root_says(r, "timestamp", 1, 2, first, second);
	repo_next_root(r);
	repo_set_signers(r, "timestamp", 2, first, second);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		for (int j = 0; j < 2; j++) {
			repo_publish(r);
			set_signature(r, "timestamp.json", j, bad[i]);
			files_clear(&r->local);
			refresh(r);
			set_signature(r, "timestamp.json", 1 - j, bad[i]);
			files_clear(&r->local);
			expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, "signed by 0 of 1");
		}
	}
}

static void test_more_signatures_than_keys(void **state)
{
	struct repo *r = *state;
	struct repo_key *own = repo_role(r, "timestamp")->keys[0];

	repo_set_signers(r, "timestamp", 4, repo_new_key(r), own, repo_role(r, "root")->keys[0],
			 repo_new_key(r));
	repo_publish(r);
	refresh(r);
}

/* ---- thresholds of a root chain ---- */

struct link {
	unsigned threshold;
	const char *keys, *signers; /* digits */
	bool is_good;
};

static void add_link(struct repo *r, struct repo_key *const *keys, const struct link *link,
		     bool is_first)
{
	struct repo_role *root = repo_role(r, "root");
	struct repo_key *own[4] = { NULL };
	size_t n = strlen(link->keys);

	assert_true(n <= 4 && strlen(link->signers) <= 4);
	for (size_t i = 0; i < n; i++)
		own[i] = keys[link->keys[i] - '0'];
	repo_root_says(r, "root", link->threshold, n, own[0], own[1], own[2], own[3]);
	root->n_keys = 0;
	for (const char *signer = link->signers; *signer; signer++)
		root->keys[root->n_keys++] = keys[*signer - '0'];
	if (is_first)
		repo_write(r, "root");
	else
		repo_next_root(r);
}

static void check_chain(const struct link *links, size_t n)
{
	struct repo *r = repo_new();
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	struct repo_key *keys[8];
	unsigned good = 0;

	for (size_t i = 0; i < ELEMENTSOF(keys); i++)
		keys[i] = repo_new_key(r);
	for (size_t i = 0; i < n; i++)
		add_link(r, keys, &links[i], i == 0);
	while (good < n && links[good].is_good)
		good++;
	c = repo_client(r);
	if (good == n)
		assert_int_equal(tuf_client_refresh(c), 0);
	else
		expect_failure(c, tuf_client_refresh(c), -EKEYREJECTED, REASON_BAD_SIGNATURE,
			       "root.json");
	assert_int_equal(tuf_client_role_version(c, "root"), good);
	repo_free(r);
}

static void test_chains(void **state)
{
	static const struct link chains[][3] = {
		{ { 1, "1", "1", true }, { 1, "2", "21", true }, { 1, "2", "2", true } },
		{ { 1, "1", "314", true }, { 1, "2", "3214", true }, { 1, "2", "342", true } },
		{ { 2, "0123", "02", true },
		  { 2, "0123", "13", true },
		  { 2, "0145", "0145", true } },
		{ { 2, "012", "02", true }, { 2, "345", "0234", true }, { 2, "345", "45", true } },
		{ { 1, "123", "1", true }, { 2, "123", "23", true }, { 1, "123", "12", true } },
		{ { 1, "1", "1", true }, { 1, "2", "234", false }, { 1, "2", "2", true } },
		{ { 1, "1", "1", true }, { 1, "2", "134", false }, { 1, "2", "2", true } },
		{ { 2, "012", "02", true }, { 2, "345", "034", false }, { 2, "345", "34", true } },
		{ { 2, "012", "02", true }, { 2, "345", "023", false }, { 2, "345", "34", true } },
		{ { 1, "123", "1", true }, { 2, "123", "2", false }, { 1, "123", "1", true } },
		{ { 2, "123", "12", true }, { 1, "123", "3", false }, { 1, "123", "1", true } },
		{ { 1, "12", "1", true }, { 3, "12", "12", false }, { 1, "12", "1", true } },
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(chains); i++)
		check_chain(chains[i], ELEMENTSOF(chains[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		repo_test(test_threshold),
		repo_test(test_key_id_listed_twice),
		repo_test(test_key_of_another_role),
		repo_test(test_other_kinds_of_keys),
		repo_test(test_one_key_with_two_ids),
		repo_test(test_key_under_a_wrong_id),
		repo_test(test_key_under_the_id_of_another),
		repo_test(test_key_with_a_member_of_its_own),
		repo_test(test_keys_that_never_count),
		repo_test(test_keys_are_read_when_needed),
		repo_test(test_keyid_without_a_key),
		repo_test(test_signature_twice),
		repo_test(test_bad_signature_beside_a_good_one),
		repo_test(test_more_signatures_than_keys),
		repo_test(test_chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
