/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's files as a newer updaterd may have left them before it was rolled back: what is not known is
 * carried through, or what is in the file is done again. Never is it an error.
 */
#include <errno.h>
#include <stdio.h>

#include "common/json.h"
#include "common/segments.h"
#include "scratch.h"
#include "updaterd/checkpoint.h"
#include "updaterd/client.h"
#include "updaterd/outbox.h"
#include "updaterd/update_time.h"

#define TXID "6b1f0f0e-1111-4222-8333-444455556666"

/* ---- the outbox ---- */

static char sent[1024];
static unsigned n_archived;

static enum delivery send_it(void *userdata, const char *txid, const char *body, size_t size)
{
	(void)userdata, (void)txid;
	(void)snprintf(sent, sizeof sent, "%.*s", (int)size, body);
	return DELIVERY_ARCHIVED;
}

static void note_archived(void *userdata, const char *txid)
{
	(void)userdata, (void)txid;
	n_archived++;
}

static void test_result(void **state)
{
	static const char newer[] = "{\"format\":7,\"txid\":\"" TXID
				    "\",\"outcome\":\"teleported\",\"facts\":{\"x\":[1]}}";
	const struct outbox_ops ops = { .send = send_it,
					.archived = note_archived,
					.rejected = note_archived };
	struct scratch *s = *state;

	n_archived = 0;
	scratch_text(s->dirfd, TXID ".json", newer, 0600);
	scratch_text(s->dirfd, "index.v2", "of a newer one", 0600);
	assert_int_equal(outbox_flush(s->dirfd, &ops), 0);
	assert_string_equal(sent, newer);
	assert_int_equal(n_archived, 1);
	assert_int_equal(faccessat(s->dirfd, "index.v2", F_OK, 0), 0);
}

/* ---- the checkpoint ---- */

#define CONTENT "the first segment, which is longer than the least that there may be"

static struct segments *make_segments(void)
{
	static uint8_t hashes[1][SHA256_BYTES];
	static struct segments segments = { .segment_bytes = 1024,
					    .file_bytes = sizeof CONTENT - 1,
					    .count = 1,
					    .sha256 = hashes };

	assert_int_equal(digest_sha256(CONTENT, sizeof CONTENT - 1, hashes[0]), 0);
	return &segments;
}

static unsigned missing_with_map(struct scratch *s, const char *header)
{
	const struct segments *segments = make_segments();
	_cleanup_(checkpoint_closep) struct checkpoint *c = NULL;
	uint8_t sha256[SHA256_BYTES] = { 1 };
	char name[SHA256_HEX_LENGTH + 8], map[129] = "";

	hex_encode(sha256, sizeof sha256, name);
	(void)strcpy(name + SHA256_HEX_LENGTH, ".part");
	assert_int_equal(fs_remove_tree(s->dirfd, name), 0);
	scratch_text(s->dirfd, name, CONTENT, 0600);
	(void)strcpy(name + SHA256_HEX_LENGTH, ".map");
	assert_int_equal(fs_remove_tree(s->dirfd, name), 0);
	memcpy(map, header, strlen(header));
	map[128] = 1;
	scratch_write(s->dirfd, name, map, sizeof map, 0600);
	assert_int_equal(checkpoint_open(s->dirfd, sha256, segments, &c), 0);
	assert_int_equal(checkpoint_place(c, 0, CONTENT), 0);
	return checkpoint_missing(c);
}

static void test_checkpoint(void **state)
{
	assert_int_equal(missing_with_map(*state, "bms-fetch 2 of a newer updaterd\n"), 0);
	assert_int_equal(missing_with_map(*state, ""), 0);
}

/* ---- the time ---- */

static void test_time(void **state)
{
	const struct tuf_limits limits = TUF_LIMITS_DEFAULT;
	static const char *const records[] = { "1795305600 00000000 v2\n", "v2 1795305600\n", "" };
	struct scratch *s = *state;

	assert_int_equal(update_time_store(s->dirfd, 1), 0);
	for (size_t i = 0; i < ELEMENTSOF(records); i++) {
		_cleanup_dir_ DIR *dir = NULL;
		const char *name;

		assert_int_equal(fs_open_dir(s->dirfd, ".", &dir), 0);
		name = fs_next_name(dir);
		assert_non_null(name);
		assert_int_equal(
			fs_write_file_atomic(s->dirfd, name, records[i], strlen(records[i]), 0644),
			0);
		assert_int_equal(update_time_load(s->dirfd, &limits), 0);
		assert_int_equal(update_time_store(s->dirfd, 1), 0);
	}
}

/* ---- what the installer answers ---- */

static void test_status(void **state)
{
	static const char newer[] =
		"{\"format\":2,\"programs\":{\"A\":{\"current\":\"A202109010001\","
		"\"trust\":{\"level\":3},\"held\":{\"by\":\"bob\"},"
		"\"quarantined\":[{\"version\":\"x\"},\"A202109020001\"]}}}";
	_cleanup_json_ cJSON *status = NULL;
	struct version version;

	(void)state;
	assert_int_equal(json_parse(newer, strlen(newer), NULL, &status, NULL), 0);
	assert_int_equal(client_status_current(status, 'A', &version), 0);
	assert_string_equal(version.text, "A202109010001");
	assert_true(client_status_is_held(status, 'A', 0));
	assert_false(client_status_is_held(status, 'B', 0));
	assert_false(client_status_is_quarantined(status, &version));
	assert_int_equal(version_parse("A202109020001", &version), 0);
	assert_true(client_status_is_quarantined(status, &version));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_result),
		TEST(test_checkpoint),
		TEST(test_time),
		TEST(test_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
