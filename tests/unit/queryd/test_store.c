/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define IDENTITY "imei:" IMEI

struct opened {
	struct scratch *dir;
	char *path;
	struct store *store;
};

static int setup(void **state)
{
	struct opened *o = calloc(1, sizeof *o);
	void *dir = NULL;

	assert_non_null(o);
	assert_int_equal(scratch_setup(&dir), 0);
	o->dir = dir;
	assert_true(asprintf(&o->path, "%s/queryd.db", o->dir->path) > 0);
	assert_int_equal(store_open(o->path, &o->store, NULL), 0);
	*state = o;
	return 0;
}

static int teardown(void **state)
{
	struct opened *o = *state;
	void *dir = o->dir;

	(void)store_close(o->store);
	free(o->path);
	free(o);
	return scratch_teardown(&dir);
}

static void reopen(struct opened *o)
{
	o->store = store_close(o->store);
	assert_int_equal(store_open(o->path, &o->store, NULL), 0);
}

static void format_txid(unsigned n, char txid[37])
{
	(void)snprintf(txid, 37, "00000000-0000-4000-8000-%012x", n);
}

static int archive_as(struct store *s, unsigned n, const char *identity, const char *program,
		      const char *body)
{
	char txid[37];
	struct store_result result = {
		.received_sec = 1000 + n,
		.txid = txid,
		.identity = identity,
		.program = program,
		.from = "B202108010001",
		.to = "B202109010001",
		.outcome = "confirmed",
		.step = "confirm",
		.reason = "none",
		.body = body,
	};

	format_txid(n, txid);
	return store_archive_result(s, &result);
}

static int archive(struct store *s, unsigned n, const char *body)
{
	return archive_as(s, n, IDENTITY, "B", body);
}

/* "1:first 2:second " */
struct listing {
	char text[4096];
	size_t n;
};

static int list_result(const struct store_result *result, void *userdata)
{
	struct listing *l = userdata;
	size_t n = strlen(l->text);

	if (n < sizeof l->text - 64)
		(void)snprintf(l->text + n, sizeof l->text - n, "%ju:%s ", (uintmax_t)result->id,
			       result->body);
	l->n++;
	return 0;
}

static struct listing results(struct store *s, struct store_result_filter filter)
{
	struct listing l = { "", 0 };

	if (!filter.limit)
		filter.limit = 1000000;
	assert_int_equal(store_each_result(s, &filter, list_result, &l), 0);
	return l;
}

#define RESULTS(s, ...) results(s, (struct store_result_filter){ __VA_ARGS__ })

/* ---- results ---- */

static void test_first_result_stays(void **state)
{
	struct opened *o = *state;

	assert_int_equal(archive(o->store, 1, "first"), 1);
	assert_int_equal(archive(o->store, 1, "first"), 0);
	assert_int_equal(archive(o->store, 1, "another"), 0);
	assert_int_equal(archive(o->store, 2, "second"), 1);
	reopen(o);
	assert_int_equal(archive(o->store, 1, "another"), 0);
	assert_string_equal(RESULTS(o->store, .limit = 10).text, "1:first 2:second ");
}

static void test_pages_and_filters(void **state)
{
	struct opened *o = *state;
	struct store *s = o->store;

	for (unsigned i = 1; i <= 6; i++)
		assert_int_equal(
			archive_as(s, i, i % 2 ? IDENTITY : "name:x", i <= 3 ? "A" : "B", "r"), 1);
	assert_string_equal(RESULTS(s, .limit = 2).text, "1:r 2:r ");
	assert_string_equal(RESULTS(s, .limit = 2, .after = 2).text, "3:r 4:r ");
	assert_string_equal(RESULTS(s, .after = 6).text, "");
	assert_string_equal(RESULTS(s, .after = UINT64_MAX).text, "");
	assert_string_equal(RESULTS(s, .limit = 2, .newest = true).text, "5:r 6:r ");
	assert_string_equal(RESULTS(s, .limit = 2, .newest = true, .before = 5).text, "3:r 4:r ");
	assert_string_equal(RESULTS(s, .before = 3).text, "1:r 2:r ");
	assert_string_equal(RESULTS(s, .after = 2, .before = 5).text, "3:r 4:r ");
	assert_string_equal(RESULTS(s, .identity = "name:x").text, "2:r 4:r 6:r ");
	assert_string_equal(RESULTS(s, .program = "A").text, "1:r 2:r 3:r ");
	assert_string_equal(
		RESULTS(s, .identity = IDENTITY, .program = "B", .newest = true, .limit = 1).text,
		"5:r ");
	assert_string_equal(RESULTS(s, .identity = "' OR 1=1 --").text, "");
	assert_string_equal(RESULTS(s, .limit = UINT64_MAX).text, "1:r 2:r 3:r 4:r 5:r 6:r ");
}

static int stop_at_once(const struct store_result *result, void *userdata)
{
	(void)result;
	++*(int *)userdata;
	return -ECANCELED;
}

static void test_visitor_stops(void **state)
{
	struct store_result_filter filter = { .limit = 10 };
	struct opened *o = *state;
	int n = 0;

	assert_int_equal(archive(o->store, 1, "a"), 1);
	assert_int_equal(archive(o->store, 2, "b"), 1);
	assert_int_equal(store_each_result(o->store, &filter, stop_at_once, &n), -ECANCELED);
	assert_int_equal(n, 1);
	assert_int_equal(RESULTS(o->store, .limit = 10).n, 2);
}

/* A writer is killed while it writes; it told us about each row only after the call returned. All of
 * those are there, each whole, and so is the database. */
static void write_until_killed(const char *path, int acknowledge)
{
	struct store *s = NULL;

	if (store_open(path, &s, NULL) < 0)
		_exit(1);
	for (unsigned i = 1;; i++)
		if (archive(s, i, "a body that is whole") != 1 || write(acknowledge, "", 1) != 1)
			_exit(1);
}

static void test_killed_while_writing(void **state)
{
	struct opened *o = *state;
	char acknowledged[64];
	struct listing l;
	size_t n = 0;
	int pipefd[2];
	pid_t pid;

	assert_int_equal(pipe(pipefd), 0);
	o->store = store_close(o->store);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		write_until_killed(o->path, pipefd[1]);
	assert_int_equal(close(pipefd[1]), 0);
	while (n < 40) {
		ssize_t got = read(pipefd[0], acknowledged, sizeof acknowledged);

		assert_true(got > 0);
		n += (size_t)got;
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	for (ssize_t got; (got = read(pipefd[0], acknowledged, sizeof acknowledged)) > 0;)
		n += (size_t)got;
	assert_int_equal(close(pipefd[0]), 0);
	assert_int_equal(store_open(o->path, &o->store, NULL), 0);
	l = RESULTS(o->store, .limit = 1000000);
	assert_true(l.n == n || l.n == n + 1);
	assert_int_equal(archive(o->store, 1, "again"), 0);
	assert_string_equal(RESULTS(o->store, .limit = 1).text, "1:a body that is whole ");
}

static off_t size_of(const struct opened *o, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(o->dir->dirfd, name, &st, 0), 0);
	return st.st_size;
}

/* The disk is full (no file may grow): the call fails, nothing of it stays, and later it works. */
static void test_full_disk(void **state)
{
	struct store_blacklist_entry entry = { "B202109010001", "name:x", "", 1 };
	struct opened *o = *state;
	struct rlimit unlimited, full;
	int new_result, old_result, blacklisted;

	assert_int_equal(archive(o->store, 1, "before"), 1);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
	full = unlimited;
	full.rlim_cur = (rlim_t)size_of(o, "queryd.db-wal");
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
		new_result = archive(o->store, 2, "while full");
		old_result = archive(o->store, 1, "x");
		blacklisted = store_blacklist_add(o->store, &entry);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
		assert_true(new_result < 0);
		assert_int_equal(old_result, 0);
		assert_true(blacklisted < 0);
	}
	assert_string_equal(RESULTS(o->store, .limit = 9).text, "1:before ");
	assert_int_equal(store_is_blacklisted(o->store, "B202109010001", "name:x"), 0);
	assert_int_equal(archive(o->store, 2, "after"), 1);
	reopen(o);
	assert_string_equal(RESULTS(o->store, .limit = 9).text, "1:before 2:after ");
}

/* ---- gateways ---- */

static int list_gateway(const struct store_gateway *g, void *userdata)
{
	struct listing *l = userdata;
	size_t n = strlen(l->text);

	(void)snprintf(l->text + n, sizeof l->text - n, "%s %s '%s' %s %jd-%jd\n", g->identity,
		       g->arch, g->model, g->versions, (intmax_t)g->first_seen_sec,
		       (intmax_t)g->last_seen_sec);
	l->n++;
	return 0;
}

static struct listing gateways(struct store *s, const char *after, uint64_t limit)
{
	struct listing l = { "", 0 };

	assert_int_equal(store_each_gateway(s, after, limit, list_gateway, &l), 0);
	return l;
}

static void see(struct store *s, const char *identity, const char *model, const char *versions,
		int64_t now_sec)
{
	struct store_gateway g = { identity, "arm64", model, versions, now_sec, now_sec };

	assert_int_equal(store_record_gateway(s, &g), 0);
}

static void test_gateways(void **state)
{
	struct opened *o = *state;

	see(o->store, "name:b", "gw1", "{\"A\":1}", 100);
	see(o->store, "name:a", "", "{}", 150);
	see(o->store, "name:b", "gw2", "{\"A\":2}", 200);
	reopen(o);
	assert_string_equal(gateways(o->store, "", 10).text,
			    "name:a arm64 '' {} 150-150\nname:b arm64 'gw2' {\"A\":2} 100-200\n");
	assert_int_equal(gateways(o->store, "", 1).n, 1);
	assert_string_equal(gateways(o->store, "name:a", 10).text,
			    "name:b arm64 'gw2' {\"A\":2} 100-200\n");
	assert_int_equal(gateways(o->store, "name:b", 10).n, 0);
}

static void test_result_updates_versions(void **state)
{
	struct store_result result = {
		.received_sec = 300,
		.txid = "t1",
		.identity = "name:a",
		.program = "B",
		.from = "",
		.to = "",
		.outcome = "",
		.step = "",
		.reason = "",
		.versions = "{\"B\":2}",
		.body = "{}",
	};
	struct opened *o = *state;

	see(o->store, "name:a", "", "{\"B\":1}", 100);
	assert_int_equal(store_archive_result(o->store, &result), 1);
	assert_string_equal(gateways(o->store, "", 10).text, "name:a arm64 '' {\"B\":2} 100-300\n");
	/* The same result, again and late, changes nothing. */
	see(o->store, "name:a", "", "{\"B\":3}", 400);
	assert_int_equal(store_archive_result(o->store, &result), 0);
	assert_string_equal(gateways(o->store, "", 10).text, "name:a arm64 '' {\"B\":3} 100-400\n");
	/* One that never asked is not made up. */
	result.txid = "t2";
	result.identity = "name:b";
	assert_int_equal(store_archive_result(o->store, &result), 1);
	assert_int_equal(gateways(o->store, "", 10).n, 1);
}

/* ---- blacklist ---- */

static int list_entry(const struct store_blacklist_entry *e, void *userdata)
{
	struct listing *l = userdata;
	size_t n = strlen(l->text);

	(void)snprintf(l->text + n, sizeof l->text - n, "%s %s '%s' %jd\n", e->version, e->identity,
		       e->note, (intmax_t)e->added_sec);
	return 0;
}

static int add(struct store *s, const char *version, const char *identity, const char *note,
	       int64_t sec)
{
	struct store_blacklist_entry entry = { version, identity, note, sec };

	return store_blacklist_add(s, &entry);
}

static void expect_blacklist(struct store *s, const char *version, const char *text)
{
	struct listing l = { "", 0 };

	assert_int_equal(store_each_blacklist(s, version, list_entry, &l), 0);
	assert_string_equal(l.text, text);
}

static void test_blacklist(void **state)
{
	struct opened *o = *state;
	struct store *s = o->store;

	assert_int_equal(add(s, "B2", "name:b", "note", 5), 1);
	assert_int_equal(add(s, "B2", "name:a", "", 6), 1);
	assert_int_equal(add(s, "B1", "name:a", "", 7), 1);
	assert_int_equal(add(s, "B2", "name:b", "", 8), 0);
	expect_blacklist(s, "B2", "B2 name:a '' 6\nB2 name:b 'note' 5\n");
	assert_int_equal(add(s, "B2", "name:b", "other", 9), 0);
	expect_blacklist(s, NULL, "B1 name:a '' 7\nB2 name:a '' 6\nB2 name:b 'other' 5\n");
	expect_blacklist(s, "B3", "");
	assert_int_equal(store_is_blacklisted(s, "B2", "name:b"), 1);
	assert_int_equal(store_is_blacklisted(s, "B1", "name:b"), 0);
	assert_int_equal(store_is_blacklisted(s, "B2", "name:c"), 0);
	assert_int_equal(store_blacklist_remove(s, "B2", "name:c"), 0);
	assert_int_equal(store_blacklist_remove(s, "B2", "name:b"), 1);
	assert_int_equal(store_blacklist_remove(s, "B2", "name:b"), 0);
	reopen(o);
	assert_int_equal(store_is_blacklisted(o->store, "B2", "name:b"), 0);
	assert_int_equal(store_is_blacklisted(o->store, "B2", "name:a"), 1);
}

/* ---- opening ---- */

static void test_no_database(void **state)
{
	_cleanup_free_ char *error = NULL;
	struct opened *o = *state;
	struct store *s = NULL;

	o->store = store_close(o->store);
	scratch_text(o->dir->dirfd, "queryd.db", "this is no database, whatever its name is", 0644);
	assert_int_equal(store_open(o->path, &s, &error), -EUCLEAN);
	assert_non_null(strstr(error, "queryd.db: "));
	assert_null(s);
	free(TAKE_PTR(error));
	assert_true(store_open("/nonexistent/queryd.db", &s, &error) < 0);
	assert_non_null(error);
}

static void test_newer_schema(void **state)
{
	_cleanup_free_ char *error = NULL;
	struct opened *o = *state;
	struct store *s = NULL;
	uint8_t version[4] = { 0, 0, 0, 99 }; /* user_version is at offset 60 of the file */
	int fd;

	assert_int_equal(archive(o->store, 1, "a"), 1);
	o->store = store_close(o->store);
	fd = openat(o->dir->dirfd, "queryd.db", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, version, sizeof version, 60), sizeof version);
	assert_int_equal(close(fd), 0);
	assert_int_equal(store_open(o->path, &s, &error), -EPROTONOSUPPORT);
	assert_non_null(strstr(error, "newer"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_first_result_stays),
		TEST(test_pages_and_filters),
		TEST(test_visitor_stops),
		TEST(test_killed_while_writing),
		TEST(test_full_disk),
		TEST(test_gateways),
		TEST(test_result_updates_versions),
		TEST(test_blacklist),
		TEST(test_no_database),
		TEST(test_newer_schema),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
