/* SPDX-License-Identifier: Apache-2.0 */
#include "expect.h"

/* ---- local copies ---- */

static const char *const kept[] = { "timestamp.json", "snapshot.json", "targets.json", "B.json" };

static void test_damaged_local_copies(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} junk[] = { { "", 0 }, { "junk", 4 }, { "{}", 2 }, { "\0\0\0", 3 }, { "{\"signed\"", 9 } };
	struct repo *r = *state;

	expect_role(r, "B/b.tar.xz", "B");
	for (size_t i = 0; i < ELEMENTSOF(kept); i++) {
		for (size_t j = 0; j < ELEMENTSOF(junk); j++) {
			files_put(&r->local, kept[i], junk[j].bytes, junk[j].size);
			expect_role(r, "B/b.tar.xz", "B");
			assert_true(files_get(&r->local, kept[i])->size > 100);
		}
	}
}

static void test_truncated_local_copies(void **state)
{
	struct repo *r = *state;

	expect_role(r, "B/b.tar.xz", "B");
	for (size_t i = 0; i < ELEMENTSOF(kept); i++) {
		size_t whole = files_get(&r->local, kept[i])->size;

		for (size_t size = 0; size < whole; size++) {
			files_get(&r->local, kept[i])->size = size;
			expect_role(r, "B/b.tar.xz", "B");
			assert_int_equal(files_get(&r->local, kept[i])->size, whole);
		}
	}
}

/* Local copies that carry the right names but were signed by others are as if they were not there. */
static void test_local_copies_of_others(void **state)
{
	struct repo *r = *state, *other = repo_new();

	for (unsigned i = 0; i < 8; i++)
		repo_next(other);
	expect_role(other, "B/b.tar.xz", "B");
	for (size_t i = 0; i < ELEMENTSOF(kept); i++) {
		const struct repo_file *f = files_get(&other->local, kept[i]);

		files_put(&r->local, kept[i], f->bytes, f->size);
	}
	expect_role(r, "B/b.tar.xz", "B");
	expect_stored(r, "timestamp.json", "timestamp.json");
	repo_free(other);
}

static void test_store_fails(void **state)
{
	static const struct {
		int error;
		enum reason reason;
	} faults[] = { { -EIO, REASON_IO }, { -ENOSPC, REASON_NO_SPACE } };
	struct repo *r = *state;

	for (size_t i = 0; i < 3; i++) {
		for (size_t j = 0; j < ELEMENTSOF(faults); j++) {
			files_clear(&r->local);
			r->fail_store = kept[i];
			r->fail_errno = faults[j].error;
			expect_refused(r, faults[j].error, faults[j].reason, kept[i]);
		}
	}
}

/* "No such directory" is no end of the chain of roots. */
static void test_store_finds_nothing(void **state)
{
	static const char *const names[] = { "2.root.json", "root.json", "timestamp.json" };
	struct repo *r = *state;

	repo_next_root(r);
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);

		r->fail_store = names[i];
		r->fail_errno = -ENOENT;
		assert_int_equal(tuf_client_refresh(c), -ENOENT);
		assert_non_null(strstr(tuf_client_error(c), "cannot be kept"));
	}
}

/* ---- cut off between two stores ---- */

static struct tuf_source whole; /* the repository's own */
static int stores_left;

static int store_until_cut(void *userdata, const char *name, const void *bytes, size_t size)
{
	if (stores_left <= 0)
		return -EIO;
	stores_left--;
	return whole.store(userdata, name, bytes, size);
}

/* Everything that one refresh can store: two roots, of which the second rotates, and all else. */
static struct repo *repo_with_news(void)
{
	struct repo *r = repo_new();
	struct repo_key *timestamp, *snapshot;

	expect_role(r, "B/b.tar.xz", "B");
	repo_next_root(r);
	timestamp = repo_new_key(r);
	snapshot = repo_new_key(r);
	repo_root_says(r, "timestamp", 1, 1, timestamp);
	repo_set_signers(r, "timestamp", 1, timestamp);
	repo_root_says(r, "snapshot", 1, 1, snapshot);
	repo_set_signers(r, "snapshot", 1, snapshot);
	repo_next_root(r);
	repo_next(r);
	return r;
}

/* 1 if the client came to the end before the cut. */
static int run_cut(struct repo *r, int stores)
{
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	struct tuf_target target;
	int n;

	whole = r->source;
	r->source.store = store_until_cut;
	stores_left = stores;
	c = repo_client(r);
	n = tuf_client_refresh(c);
	if (n == 0)
		n = tuf_client_find_target(c, "B/b.tar.xz", &target);
	r->source = whole;
	if (n < 0 && n != -EIO)
		fail_msg("%d %s", n, tuf_client_error(c));
	return n == 0;
}

static void test_cut_between_stores(void **state)
{
	int stores = 0;
	bool is_whole;

	(void)state;
	do {
		struct repo *r = repo_with_news();
		_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;

		is_whole = run_cut(r, stores++);
		expect_role(r, "B/b.tar.xz", "B");
		c = repo_client(r);
		assert_int_equal(tuf_client_refresh(c), 0);
		assert_int_equal(tuf_client_role_version(c, "root"), 3);
		assert_int_equal(tuf_client_role_version(c, "timestamp"), 2);
		assert_int_equal(tuf_client_role_version(c, "targets"), 2);
		repo_free(r);
	} while (!is_whole);
	assert_int_equal(stores, 2 * 2 + 2 + 4 + 1);
}

/* Cut off twice, anywhere. */
static void test_cut_twice(void **state)
{
	(void)state;
	for (int first = 0; first < 10; first++) {
		for (int second = 0; second < 10; second++) {
			struct repo *r = repo_with_news();

			(void)run_cut(r, first);
			(void)run_cut(r, second);
			expect_role(r, "B/b.tar.xz", "B");
			repo_free(r);
		}
	}
}

/* The rotation makes the local copies void: nothing is left to compare old metadata with. Cut off
 * there, a client must not take what the old keys signed from whoever withholds the new root. */
static void test_old_metadata_after_a_cut_in_rotation(void **state)
{
	(void)state;
	for (int stores = 3; stores < 6; stores++) {
		struct repo *r = repo_new();
		const struct repo_file *f = files_get(&r->files, "timestamp.json");
		_cleanup_free_ char *old = strndup(f->bytes, f->size);
		struct repo_key *new = repo_new_key(r);

		repo_next(r);
		expect_role(r, "B/b.tar.xz", "B");
		repo_next_root(r);
		repo_root_says(r, "timestamp", 1, 1, new);
		repo_next_root(r);
		assert_int_equal(run_cut(r, stores), 0);
		files_remove(&r->files, "3.root.json");
		files_put(&r->files, "timestamp.json", old, strlen(old));
		expect_refused(r, -EKEYREJECTED, REASON_BAD_SIGNATURE, "timestamp.json");
		repo_free(r);
	}
}

/* The kept root is checked like any other. */
static void test_kept_root_of_others(void **state)
{
	static const char *const files[] = { "1.root.json", "1.targets.json", "2.root.json" };
	struct repo *r = *state, *other = repo_new();

	repo_next_root(other);
	repo_next_root(r);
	for (size_t i = 0; i < ELEMENTSOF(files); i++) {
		const struct repo_file *f = files_get(&other->files, files[i]);

		files_clear(&r->local);
		files_put(&r->local, "2.root.json", f->bytes, f->size);
		refresh(r);
		expect_stored(r, "2.root.json", "2.root.json");
		expect_stored(r, "root.json", "2.root.json");
	}
	repo_free(other);
}

/* A rejected file leaves no trace, and does not come back. */
static void test_rejected_is_not_kept(void **state)
{
	static const char *const names[] = { "timestamp.json", "2.snapshot.json", "2.targets.json",
					     "2.B.json" };
	struct repo *r = *state;

	expect_role(r, "B/b.tar.xz", "B");
	repo_next(r);
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		struct repo_file *f = files_get(&r->files, names[i]);
		_cleanup_(tuf_client_freep) struct tuf_client *c = repo_client(r);
		const struct repo_file *local;
		struct tuf_target target;
		int n;

		f->bytes[f->size / 2] ^= 1;
		n = tuf_client_refresh(c);
		if (n == 0)
			n = tuf_client_find_target(c, "B/b.tar.xz", &target);
		assert_true(n < 0);
		for (size_t j = 0; j < r->local.n; j++)
			assert_false(files_equal(&r->local.list[j], f));
		local = files_get(&r->local, strchr(names[i], '2') ? names[i] + 2 : names[i]);
		assert_non_null(local);
		f->bytes[f->size / 2] ^= 1;
	}
	expect_role(r, "B/b.tar.xz", "B");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		repo_test(test_damaged_local_copies),
		repo_test(test_truncated_local_copies),
		repo_test(test_local_copies_of_others),
		repo_test(test_store_fails),
		repo_test(test_store_finds_nothing),
		repo_test(test_cut_between_stores),
		repo_test(test_cut_twice),
		repo_test(test_old_metadata_after_a_cut_in_rotation),
		repo_test(test_kept_root_of_others),
		repo_test(test_rejected_is_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
