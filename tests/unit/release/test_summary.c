/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/json.h"
#include "envelope.h"
#include "release/summary.h"

#define NOW_SEC INT64_C(1790000000) /* September 2026 */

static struct signer *alice, *bob;

static int group_setup(void **state)
{
	(void)state;
	return signer_generate(SIGNER_ED25519, &alice) < 0 ||
			       signer_generate(SIGNER_ED25519, &bob) < 0
		       ? -1
		       : 0;
}

static int group_teardown(void **state)
{
	(void)state;
	alice = signer_free(alice);
	bob = signer_free(bob);
	return 0;
}

/* Takes both over; previous may be NULL. */
static cJSON *summary_of(cJSON *envelope, cJSON *previous, enum tuf_type type)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *m = envelope_parse(envelope, type);
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *old = previous ? envelope_parse(previous,
											   type)
									  : NULL;
	cJSON *summary = NULL;

	assert_int_equal(summary_make(m, old, NOW_SEC, &summary), 0);
	cJSON_Delete(envelope);
	cJSON_Delete(previous);
	return summary;
}

static bool holds(const cJSON *summary, const char *list, const char *text)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(summary, list))
		if (strstr(item->valuestring, text))
			return true;
	return false;
}

static void assert_holds(const cJSON *summary, const char *list, const char *text)
{
	_cleanup_free_ char *all = cJSON_Print(summary);

	if (!holds(summary, list, text))
		fail_msg("'%s' is not among the %s of %s", text, list, all);
}

static void assert_no_warning(const cJSON *summary)
{
	_cleanup_free_ char *all = cJSON_Print(summary);

	if (cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(summary, "warnings")) != 0)
		fail_msg("warnings: %s", all);
}

static cJSON *root_by(unsigned version, unsigned threshold, bool with_bob)
{
	return envelope_root(version, threshold, (struct signer *[]){ alice, bob },
			     with_bob ? 2 : 1);
}

/* ---- root ---- */

static void test_keys_and_thresholds_are_told(void **state)
{
	_cleanup_json_ cJSON *s = summary_of(root_by(1, 2, true), NULL, TUF_ROOT);

	(void)state;
	assert_no_warning(s);
	assert_holds(s, "contents", "consistent snapshots: yes");
	assert_holds(s, "contents", "root is signed by 2 of 2 keys");
	assert_holds(s, "contents", "timestamp is signed by 2 of 2 keys");
	assert_holds(s, "contents", signer_id(alice));
	assert_holds(s, "contents", signer_id(bob));
	assert_holds(s, "contents", "ed25519");
}

static void test_lower_threshold_is_warned_of(void **state)
{
	_cleanup_json_ cJSON *s = summary_of(root_by(2, 1, true), root_by(1, 2, true), TUF_ROOT);
	_cleanup_json_ cJSON *up = summary_of(root_by(2, 2, true), root_by(1, 1, true), TUF_ROOT);

	(void)state;
	assert_holds(s, "warnings", "root: the threshold falls from 2 to 1");
	assert_holds(s, "warnings", "targets: the threshold falls");
	assert_no_warning(up);
	assert_holds(up, "differences", "root: the threshold rises from 1 to 2");
}

static void test_removed_key_is_warned_of(void **state)
{
	_cleanup_json_ cJSON *s = summary_of(root_by(2, 1, false), root_by(1, 1, true), TUF_ROOT);
	_cleanup_json_ cJSON *added = summary_of(root_by(2, 1, true), root_by(1, 1, false),
						 TUF_ROOT);

	(void)state;
	assert_holds(s, "warnings", "may sign no more");
	assert_holds(s, "warnings", signer_id(bob));
	assert_no_warning(added);
	assert_holds(added, "differences", "may sign from now on");
	assert_holds(added, "differences", signer_id(bob));
}

static void test_nothing_but_version_is_said_to_be_so(void **state)
{
	_cleanup_json_ cJSON *s = summary_of(root_by(2, 1, true), root_by(1, 1, true), TUF_ROOT);

	(void)state;
	assert_no_warning(s);
	assert_holds(s, "differences", "nothing is different");
}

static void test_missing_and_skipped_versions_are_warned_of(void **state)
{
	_cleanup_json_ cJSON *missing = summary_of(root_by(2, 1, true), NULL, TUF_ROOT);
	_cleanup_json_ cJSON *skipped = summary_of(root_by(4, 1, true), root_by(2, 1, true),
						   TUF_ROOT);

	(void)state;
	assert_holds(missing, "warnings", "is not in the request");
	assert_holds(skipped, "warnings", "version 4 does not follow on version 2");
}

static cJSON *root_with(const char *key, const char *value)
{
	cJSON *envelope = root_by(1, 1, true);

	envelope_put(envelope_signed(envelope), key, cJSON_CreateString(value));
	return envelope;
}

static void test_strange_heads_are_warned_of(void **state)
{
	_cleanup_json_ cJSON *past = summary_of(root_with("expires", "2026-01-01T00:00:00Z"), NULL,
						TUF_ROOT);
	_cleanup_json_ cJSON *far = summary_of(root_with("expires", "2037-01-01T00:00:00Z"), NULL,
					       TUF_ROOT);
	_cleanup_json_ cJSON *near = summary_of(root_with("expires", "2036-01-01T00:00:00Z"), NULL,
						TUF_ROOT);
	_cleanup_json_ cJSON *spec = summary_of(root_with("spec_version", "1.1.0"), NULL, TUF_ROOT);
	_cleanup_json_ cJSON *unknown = summary_of(root_with("x-\x1b[2J", "1"), NULL, TUF_ROOT);

	(void)state;
	assert_holds(past, "warnings", "has expired");
	assert_holds(far, "warnings", "more than 10 years");
	assert_no_warning(near);
	assert_holds(spec, "warnings", "1.1.0");
	assert_holds(unknown, "warnings", "an unknown member 'x-\\x1b[2J'");
}

static cJSON *keys_of(const cJSON *envelope)
{
	return cJSON_GetObjectItemCaseSensitive(envelope_signed(envelope), "keys");
}

static cJSON *targets_with(unsigned version, const char *path, const char *first)
{
	cJSON *envelope = envelope_targets(version, 1, &alice, 1);

	if (path)
		envelope_add_target(envelope, path, first);
	return envelope;
}

static cJSON *first_delegation(const cJSON *envelope)
{
	const cJSON *delegations = cJSON_GetObjectItemCaseSensitive(envelope_signed(envelope),
								    "delegations");

	return cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(delegations, "roles"), 0);
}

static void test_what_hides_deeper_is_warned_of(void **state)
{
	cJSON *envelope = targets_with(1, "B/a", "ab"), *root = root_by(1, 1, true);
	cJSON *document = envelope_signed(envelope);
	cJSON *delegations = cJSON_GetObjectItemCaseSensitive(document, "delegations");
	cJSON *targets = cJSON_GetObjectItemCaseSensitive(document, "targets");
	cJSON *roles = cJSON_GetObjectItemCaseSensitive(envelope_signed(root), "roles");
	_cleanup_json_ cJSON *s = NULL;

	(void)state;
	envelope_put(delegations, "deep-1", cJSON_CreateTrue());
	envelope_put(first_delegation(envelope), "deep-2", cJSON_CreateTrue());
	envelope_put(cJSON_GetObjectItemCaseSensitive(targets, "B/a"), "deep-3",
		     cJSON_CreateTrue());
	s = summary_of(envelope, NULL, TUF_TARGETS);
	assert_holds(s, "warnings", "'deep-1' of the delegations");
	assert_holds(s, "warnings", "'deep-2' of B");
	assert_holds(s, "warnings", "'deep-3' of B/a");
	cJSON_Delete(s);
	envelope_put(cJSON_GetObjectItemCaseSensitive(roles, "root"), "deep-4", cJSON_CreateTrue());
	envelope_put(cJSON_GetObjectItemCaseSensitive(keys_of(root), signer_id(bob)), "deep-5",
		     cJSON_CreateTrue());
	s = summary_of(root, NULL, TUF_ROOT);
	assert_holds(s, "warnings", "'deep-4' of root");
	assert_holds(s, "warnings", "'deep-5' of ");
}

/* Under the id that it should have. */
static void put_unknown_key(cJSON *root)
{
	cJSON *key = cJSON_Duplicate(signer_public(alice), true);
	char id[SHA256_HEX_LENGTH + 1];

	envelope_put(key, "scheme", cJSON_CreateString("rot13"));
	assert_int_equal(tuf_key_id(key, id), 0);
	envelope_put(keys_of(root), id, key);
}

static void test_keys_that_do_not_count_are_warned_of(void **state)
{
	cJSON *foreign = root_by(1, 1, true), *unknown = root_by(1, 1, true),
	      *unused = root_by(1, 1, false), *few = root_by(1, 3, true);
	_cleanup_json_ cJSON *s = NULL;

	(void)state;
	/* bob's key under alice's id: who compares ids sees nothing. */
	envelope_put(keys_of(foreign), signer_id(alice), cJSON_Duplicate(signer_public(bob), true));
	s = summary_of(foreign, NULL, TUF_ROOT);
	assert_holds(s, "warnings", "an id that is not its own");
	cJSON_Delete(s);
	put_unknown_key(unknown);
	s = summary_of(unknown, NULL, TUF_ROOT);
	assert_holds(s, "warnings", "is of a kind that does not count");
	cJSON_Delete(s);
	envelope_put(keys_of(unused), signer_id(bob), cJSON_Duplicate(signer_public(bob), true));
	s = summary_of(unused, NULL, TUF_ROOT);
	assert_holds(s, "contents", "used by no role");
	cJSON_Delete(s);
	s = summary_of(few, NULL, TUF_ROOT);
	assert_holds(s, "warnings", "could never be signed");
}

/* ---- targets ---- */

static void test_delegations_and_targets_are_told(void **state)
{
	_cleanup_json_ cJSON *s = summary_of(targets_with(1, "B/a\n", "ab"), NULL, TUF_TARGETS);

	(void)state;
	assert_no_warning(s);
	assert_holds(s, "contents", "delegated role B is signed by 1 of 1 key:");
	assert_holds(s, "contents", signer_id(alice));
	assert_holds(s, "contents", "for the paths B/*, terminating");
	assert_holds(s, "contents", "target B/a\\x0a, 5 bytes, sha256 ab00");
}

static void test_other_bytes_are_warned_of(void **state)
{
	_cleanup_json_ cJSON *other = summary_of(targets_with(2, "a", "ab"),
						 targets_with(1, "a", "cd"), TUF_TARGETS);
	_cleanup_json_ cJSON *fresh = summary_of(targets_with(2, "a", "ab"),
						 targets_with(1, NULL, NULL), TUF_TARGETS);
	_cleanup_json_ cJSON *gone = summary_of(targets_with(2, NULL, NULL),
						targets_with(1, "a", "ab"), TUF_TARGETS);

	(void)state;
	assert_holds(other, "warnings", "target a has other bytes");
	assert_no_warning(fresh);
	assert_holds(fresh, "differences", "target a is new");
	assert_no_warning(gone);
	assert_holds(gone, "differences", "target a is gone");
}

static void test_changed_delegations_are_warned_of(void **state)
{
	cJSON *wider = targets_with(2, NULL, NULL), *renamed = targets_with(2, NULL, NULL),
	      *bare = envelope_new("targets", 2);
	cJSON *paths = cJSON_GetObjectItemCaseSensitive(first_delegation(wider), "paths");
	_cleanup_json_ cJSON *s = NULL;

	(void)state;
	assert_true(cJSON_AddItemToArray(paths, cJSON_CreateString("A/*")));
	s = summary_of(wider, targets_with(1, NULL, NULL), TUF_TARGETS);
	assert_holds(s, "warnings", "B: is for other paths");
	cJSON_Delete(s);
	envelope_put(first_delegation(renamed), "name", cJSON_CreateString("C"));
	s = summary_of(renamed, targets_with(1, NULL, NULL), TUF_TARGETS);
	assert_holds(s, "warnings", "B: the role is gone");
	assert_holds(s, "differences", "C: is a new role");
	cJSON_Delete(s);
	assert_non_null(cJSON_AddObjectToObject(envelope_signed(bare), "targets"));
	s = summary_of(bare, targets_with(1, NULL, NULL), TUF_TARGETS);
	assert_holds(s, "contents", "no targets");
	assert_holds(s, "warnings", "B: the role is gone");
}

/* ---- snapshot ---- */

static cJSON *snapshot_with(unsigned version, unsigned of_targets)
{
	cJSON *envelope = envelope_new("snapshot", version);
	cJSON *meta = cJSON_AddObjectToObject(envelope_signed(envelope), "meta");

	envelope_put(cJSON_AddObjectToObject(meta, "targets.json"), "version",
		     cJSON_CreateNumber(of_targets));
	return envelope;
}

static void test_version_that_goes_back_is_warned_of(void **state)
{
	_cleanup_json_ cJSON *back = summary_of(snapshot_with(2, 3), snapshot_with(1, 4),
						TUF_SNAPSHOT);
	_cleanup_json_ cJSON *on = summary_of(snapshot_with(2, 5), snapshot_with(1, 4),
					      TUF_SNAPSHOT);

	(void)state;
	assert_holds(back, "contents", "targets.json is version 3");
	assert_holds(back, "warnings", "goes back from version 4 to 3");
	assert_no_warning(on);
}

static void test_only_plain_text_is_printed(void **state)
{
	_cleanup_free_ char *text = summary_printable("a\x1b[31mb\\\xc3\xa4\x7f~ ");

	(void)state;
	assert_string_equal(text, "a\\x1b[31mb\\x5c\\xc3\\xa4\\x7f~ ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_and_thresholds_are_told),
		cmocka_unit_test(test_lower_threshold_is_warned_of),
		cmocka_unit_test(test_removed_key_is_warned_of),
		cmocka_unit_test(test_nothing_but_version_is_said_to_be_so),
		cmocka_unit_test(test_missing_and_skipped_versions_are_warned_of),
		cmocka_unit_test(test_strange_heads_are_warned_of),
		cmocka_unit_test(test_what_hides_deeper_is_warned_of),
		cmocka_unit_test(test_keys_that_do_not_count_are_warned_of),
		cmocka_unit_test(test_delegations_and_targets_are_told),
		cmocka_unit_test(test_other_bytes_are_warned_of),
		cmocka_unit_test(test_changed_delegations_are_warned_of),
		cmocka_unit_test(test_version_that_goes_back_is_warned_of),
		cmocka_unit_test(test_only_plain_text_is_printed),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
