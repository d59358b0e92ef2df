/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/result.h"

#include "scratch.h"

#include <errno.h>
#include <stdio.h>

#include "common/json.h"

#define TXID_1 "6b1f0c1e-0000-4000-8000-000000000001"
#define TXID_2 "6b1f0c1e-0000-4000-8000-000000000002"

/* The next file that is read whole. */
static int fail_read;

int __real_fs_read_file(int dirfd, const char *name, size_t max_bytes, char **ret_bytes,
			size_t *ret_size);
int __wrap_fs_read_file(int dirfd, const char *name, size_t max_bytes, char **ret_bytes,
			size_t *ret_size);
int __wrap_fs_read_file(int dirfd, const char *name, size_t max_bytes, char **ret_bytes,
			size_t *ret_size)
{
	int error = -fail_read;

	fail_read = 0;
	return error ? error : __real_fs_read_file(dirfd, name, max_bytes, ret_bytes, ret_size);
}

static struct result make_result(const char *txid)
{
	struct result r = {
		.program = 'B',
		.kind = RESULT_KIND_UPGRADE,
		.from = "B202108010001",
		.to = "B202109010001",
		.outcome = OUTCOME_CONFIRMED,
		.step = STEP_CONFIRM,
		.share = { .started_sec = 1795305600,
			   .duration_ms = 48211,
			   .bytes_fetched = 482113,
			   .segments_fetched = 121,
			   .segments_again = 2 },
		.downtime_ms = 412,
		.versions = { { 'A', "A202108010001" }, { 'B', "B202109010001" } },
		.n_versions = 2,
	};

	(void)snprintf(r.txid, sizeof r.txid, "%s", txid);
	return r;
}

static void keep(struct scratch *s, const char *txid)
{
	struct result r = make_result(txid);

	assert_int_equal(result_keep(s->dirfd, &r), 0);
}

static size_t count_waiting(struct scratch *s)
{
	_cleanup_(result_list_freep) char **list = NULL;
	size_t n = 0;

	assert_int_equal(result_list(s->dirfd, &list), 0);
	while (list[n])
		n++;
	return n;
}

/* ---- tests ---- */

static void test_is_what_the_protocol_says(void **state)
{
	_cleanup_free_ char *json = NULL;
	struct result r = make_result(TXID_1);

	(void)state;
	assert_int_equal(result_format(&r, &json), 0);
	assert_string_equal(
		json,
		"{\"txid\":\"" TXID_1 "\",\"program\":\"B\",\"kind\":\"upgrade\","
		"\"from\":\"B202108010001\",\"to\":\"B202109010001\",\"outcome\":\"confirmed\","
		"\"step\":\"confirm\",\"reason\":\"none\",\"detail\":\"\","
		"\"started_sec\":1795305600,\"duration_ms\":48211,\"downtime_ms\":412,"
		"\"bytes_fetched\":482113,\"segments_fetched\":121,\"segments_again\":2,"
		"\"versions\":{\"A\":\"A202108010001\",\"B\":\"B202109010001\"}}");
}

/* What failed may be told in a hostile file's words. */
static void test_is_valid_json_whatever_failed(void **state)
{
	struct result r = make_result(TXID_1);
	_cleanup_free_ char *json = NULL;
	_cleanup_json_ cJSON *parsed = NULL;
	const char *detail;

	(void)state;
	memset(r.failure.text, 'x', sizeof r.failure.text - 1);
	(void)memcpy(r.failure.text, "\"a\n\x1b[31m\\\xc3", 10);
	assert_int_equal(result_format(&r, &json), 0);
	assert_int_equal(json_parse(json, strlen(json), NULL, &parsed, NULL), 0);
	assert_int_equal(json_get_string(parsed, "detail", &detail, NULL), 0);
	assert_memory_equal(detail, "\"a??[31m\\?x", 11);
	assert_true(strlen(detail) <= 500);
}

static void test_keeps_until_archived(void **state)
{
	_cleanup_(result_list_freep) char **list = NULL;
	struct scratch *s = *state;

	assert_int_equal(count_waiting(s), 0);
	keep(s, TXID_1);
	keep(s, TXID_2);
	assert_int_equal(result_list(s->dirfd, &list), 0);
	assert_non_null(strstr(list[0], TXID_1));
	assert_non_null(strstr(list[1], TXID_2));
	assert_null(list[2]);
	assert_int_equal(result_archived(s->dirfd, TXID_1), 0);
	assert_int_equal(result_archived(s->dirfd, TXID_1), 0);
	assert_int_equal(count_waiting(s), 1);
	assert_int_equal(result_archived(s->dirfd, "../history.jsonl"), -EINVAL);
	assert_true(result_is_kept(s->dirfd, TXID_1));
	assert_false(result_is_kept(s->dirfd, "6b1f0c1e-0000-4000-8000-000000000003"));
}

/* One terminal record for each attempt: after a crash the first one stands. */
static void test_the_first_result_stands(void **state)
{
	_cleanup_free_ char *json = NULL, *history = NULL;
	struct result other = make_result(TXID_1);
	struct scratch *s = *state;

	keep(s, TXID_1);
	/* A crash between the history and the file. */
	assert_int_equal(result_archived(s->dirfd, TXID_1), 0);
	other.outcome = OUTCOME_ROLLED_BACK;
	assert_int_equal(result_keep(s->dirfd, &other), 0);
	assert_int_equal(count_waiting(s), 1);
	assert_int_equal(result_find(s->dirfd, TXID_1, &json), 0);
	assert_non_null(strstr(json, "\"confirmed\""));
	assert_int_equal(result_history(s->dirfd, 10, &history), 0);
	assert_null(strstr(history, "rolled_back"));
}

static void numbered_txid(char ret[TXID_LENGTH + 1], unsigned n)
{
	(void)snprintf(ret, TXID_LENGTH + 1, "6b1f0c1e-0000-4000-8000-%012u", n);
}

static void expect_history(struct scratch *s, size_t n, unsigned first, unsigned last)
{
	_cleanup_free_ char *json = NULL;
	_cleanup_json_ cJSON *array = NULL;
	char txid[TXID_LENGTH + 1];
	unsigned i = first;
	const cJSON *one;

	assert_int_equal(result_history(s->dirfd, n, &json), 0);
	assert_int_equal(json_parse(json, strlen(json),
				    &(struct json_limits){ .max_bytes = 1u << 20 }, &array, NULL),
			 0);
	assert_true(cJSON_IsArray(array));
	cJSON_ArrayForEach (one, array) {
		const char *found;

		numbered_txid(txid, i++);
		assert_int_equal(json_get_string(one, "txid", &found, NULL), 0);
		assert_string_equal(found, txid);
	}
	assert_int_equal(i, last + 1);
}

static void test_history_and_outbox_are_bounded(void **state)
{
	struct scratch *s = *state;
	_cleanup_free_ char *empty = NULL;
	char txid[TXID_LENGTH + 1];

	assert_int_equal(result_history(s->dirfd, 5, &empty), 0);
	assert_string_equal(empty, "[]");
	for (unsigned i = 1; i <= RESULT_HISTORY_LINES + 5; i++) {
		numbered_txid(txid, i);
		keep(s, txid);
	}
	expect_history(s, 1000, 6, RESULT_HISTORY_LINES + 5);
	expect_history(s, 3, RESULT_HISTORY_LINES + 3, RESULT_HISTORY_LINES + 5);
	expect_history(s, 0, 1, 0);
	assert_int_equal(count_waiting(s), RESULT_OUTBOX_FILES);
	numbered_txid(txid, 5);
	assert_false(result_is_kept(s->dirfd, txid));
}

static void test_other_files_are_no_results(void **state)
{
	struct scratch *s = *state;

	keep(s, TXID_1);
	scratch_text(s->dirfd, "results/.#" TXID_2 ".json", "{", 0600);
	scratch_text(s->dirfd, "results/notes.json", "{", 0600);
	scratch_dir(s->dirfd, "results/" TXID_2 ".json");
	assert_int_equal(count_waiting(s), 1);
}

/* The agent may say what it likes; the attempt must have an end. */
static void test_no_number_is_too_large(void **state)
{
	_cleanup_free_ char *json = NULL;
	struct result r = make_result(TXID_1);

	(void)state;
	r.share.duration_ms = (UINT64_C(1) << 53) + 5;
	r.share.bytes_fetched = UINT64_MAX;
	assert_int_equal(result_format(&r, &json), 0);
	assert_non_null(strstr(json, "\"duration_ms\":9007199254740991,"));
	assert_non_null(strstr(json, "\"bytes_fetched\":9007199254740991,"));
}

static void write_history(struct scratch *s, const char *text, size_t size)
{
	scratch_write(s->dirfd, "history.jsonl", text, size, 0600);
}

/* A line that the disk changed, whether it is the last or this attempt's. */
static void test_a_damaged_history_is_read_around(void **state)
{
	static const char damaged[] = "{\"txid\":\"" TXID_1 "\",\"program\":\"B\n";
	_cleanup_free_ char *json = NULL, *found = NULL;
	_cleanup_json_ cJSON *array = NULL;
	struct scratch *s = *state;

	write_history(s, damaged, sizeof damaged - 1);
	assert_int_equal(result_history(s->dirfd, 10, &json), 0);
	assert_string_equal(json, "[]");
	assert_false(result_is_kept(s->dirfd, TXID_1));
	keep(s, TXID_1);
	keep(s, TXID_2);
	assert_int_equal(result_find(s->dirfd, TXID_2, &found), 0);
	free(json);
	assert_int_equal(result_history(s->dirfd, 10, &json), 0);
	assert_int_equal(json_parse(json, strlen(json), NULL, &array, NULL), 0);
	assert_int_equal(cJSON_GetArraySize(array), 2);
}

/* Not for the moment is not for ever. */
static void test_an_accident_throws_no_history_away(void **state)
{
	struct result r = make_result(TXID_2);
	struct scratch *s = *state;
	_cleanup_free_ char *json = NULL;

	keep(s, TXID_1);
	fail_read = EMFILE;
	assert_int_equal(result_keep(s->dirfd, &r), -EMFILE);
	fail_read = EIO;
	assert_int_equal(result_keep(s->dirfd, &r), 0);
	assert_int_equal(result_find(s->dirfd, TXID_1, &json), 0);
	assert_true(result_is_kept(s->dirfd, TXID_2));
}

static void test_a_history_that_cannot_be_read_holds_up_nothing(void **state)
{
	const size_t size = ((size_t)RESULT_HISTORY_LINES * RESULT_MAX_BYTES) + 1;
	char *huge = calloc(1, size);
	struct scratch *s = *state;

	assert_non_null(huge);
	write_history(s, huge, size);
	free(huge);
	keep(s, TXID_1);
	assert_int_equal(count_waiting(s), 1);
	assert_true(result_is_kept(s->dirfd, TXID_1));
}

static void test_a_damaged_result_holds_up_no_other(void **state)
{
	_cleanup_(result_list_freep) char **list = NULL;
	struct scratch *s = *state;

	keep(s, TXID_1);
	keep(s, TXID_2);
	scratch_text(s->dirfd, "results/" TXID_1 ".json", "{\"txid\":", 0600);
	assert_int_equal(result_list(s->dirfd, &list), 0);
	assert_non_null(list[0]);
	assert_non_null(strstr(list[0], TXID_2));
	assert_null(list[1]);
}

static void test_leaves_nothing_of_a_cut_write(void **state)
{
	struct scratch *s = *state;

	scratch_text(s->dirfd, "results/.#" TXID_2 ".json", "{", 0600);
	keep(s, TXID_1);
	assert_int_equal(faccessat(s->dirfd, "results/.#" TXID_2 ".json", F_OK, 0), -1);
}

static void test_reads_the_agents_share(void **state)
{
	_cleanup_free_ char *error = NULL;
	struct result_share share = { .bytes_fetched = 7 };

	(void)state;
	assert_int_equal(result_share_parse("{\"kind\":\"upgrade\",\"started_sec\":12,"
					    "\"bytes_fetched\":34,\"segments_fetched\":5,"
					    "\"segments_again\":1,\"later\":[1]}",
					    &share, NULL),
			 0);
	assert_true(share.started_sec == 12 && share.bytes_fetched == 34);
	assert_true(share.segments_fetched == 5 && share.segments_again == 1);
	assert_true(share.duration_ms == 0);
	/* Only its own word counts: nothing fetched in this run may all have come in the one before. */
	assert_false(share.is_from_medium);
	assert_int_equal(result_share_parse("{\"bytes_fetched\":0}", &share, NULL), 0);
	assert_false(share.is_from_medium);
	assert_int_equal(
		result_share_parse("{\"from_medium\":true,\"bytes_fetched\":34}", &share, NULL), 0);
	assert_true(share.is_from_medium);
	assert_int_equal(result_share_parse("{\"bytes_fetched\":-1}", &share, &error), -EBADMSG);
	assert_non_null(strstr(error, "bytes_fetched"));
	assert_true(share.bytes_fetched == 34);
	assert_int_equal(result_share_parse("[]", &share, NULL), -EBADMSG);
	assert_int_equal(result_share_parse("{\"a\":1,\"a\":2}", &share, NULL), -EBADMSG);
	assert_int_equal(result_share_parse("", &share, NULL), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
		TEST(test_is_what_the_protocol_says),
		TEST(test_is_valid_json_whatever_failed),
		TEST(test_keeps_until_archived),
		TEST(test_the_first_result_stands),
		TEST(test_history_and_outbox_are_bounded),
		TEST(test_other_files_are_no_results),
		TEST(test_reads_the_agents_share),
		TEST(test_no_number_is_too_large),
		TEST(test_a_damaged_history_is_read_around),
		TEST(test_an_accident_throws_no_history_away),
		TEST(test_a_history_that_cannot_be_read_holds_up_nothing),
		TEST(test_a_damaged_result_holds_up_no_other),
		TEST(test_leaves_nothing_of_a_cut_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
