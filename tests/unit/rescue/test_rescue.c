/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/rescue.h"

#include "gateway_tree.h"

#include <sys/file.h>
#include <time.h>

#include "common/crc32.h"
#include "common/txid.h"

static int pauses, fail_fdatasync;

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
	(void)time;
	(void)rest;
	pauses++;
	return 0;
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	if (!fail_fdatasync)
		return __real_fdatasync(fd);
	errno = EIO;
	return -1;
}

static int run(const struct scratch *s)
{
	const struct rescue r = rescue_of(s);

	return rescue_run(&r);
}

static int roll_back(const struct scratch *s, char letter)
{
	const struct rescue r = rescue_of(s);

	return rescue_rollback(&r, letter);
}

static void expect_b(const struct scratch *s, const char *current, const char *previous)
{
	assert_string_equal(target(s, "b/current"), current);
	assert_string_equal(target(s, "b/previous"), previous);
}

/* ---- every state of `current` ---- */

#define R3 "b/releases/" B3

static void current_gone(const struct scratch *s)
{
	assert_int_equal(fs_remove_tree(s->dirfd, "b/current"), 0);
}

static void current_empty_file(const struct scratch *s)
{
	scratch_text(s->dirfd, "b/current", "", 0644);
}

static void current_file(const struct scratch *s)
{
	scratch_text(s->dirfd, "b/current", "releases/" B3, 0644);
}

static void current_fifo(const struct scratch *s)
{
	current_gone(s);
	assert_int_equal(mkfifoat(s->dirfd, "b/current", 0644), 0);
}

static void current_directory(const struct scratch *s)
{
	current_gone(s);
	scratch_text(s->dirfd, "b/current/bin/program", "x", 0755);
	scratch_text(s->dirfd, "b/current.new/x", "x", 0644);
	scratch_text(s->dirfd, "b/current.back/x", "x", 0644);
	assert_int_equal(fs_mkdir_p(s->dirfd, "b/previous.new", 0755), 0);
}

static void current_loop(const struct scratch *s)
{
	point(s, "b/current", "current");
}

static void current_loop_of_two(const struct scratch *s)
{
	point(s, "b/current", "other");
	point(s, "b/other", "current");
}

static void current_dangling(const struct scratch *s)
{
	point(s, "b/current", "releases/B209901010001");
}

static void current_elsewhere(const struct scratch *s)
{
	point(s, "b/current", "/usr");
}

static void current_outside(const struct scratch *s)
{
	put_release(s->dirfd, "elsewhere", B3);
	point(s, "b/current", "../elsewhere/" B3);
}

static void current_winding(const struct scratch *s)
{
	point(s, "b/current", "releases/../releases/" B3);
}

static void current_slash(const struct scratch *s)
{
	point(s, "b/current", "releases/" B3 "/");
}

static void current_stage(const struct scratch *s)
{
	put_release(s->dirfd, "b/releases", ".stage-1");
	point(s, "b/current", "releases/.stage-1");
}

static void current_other_program(const struct scratch *s)
{
	put_release(s->dirfd, "b/releases", A3);
	point(s, "b/current", "releases/" A3);
}

static void current_no_version(const struct scratch *s)
{
	put_release(s->dirfd, "b/releases", "B202113010001");
	point(s, "b/current", "releases/B202113010001");
}

static void release_empty(const struct scratch *s)
{
	assert_int_equal(fs_remove_tree(s->dirfd, R3), 0);
	assert_int_equal(fs_mkdir_p(s->dirfd, R3, 0755), 0);
}

static void release_file(const struct scratch *s)
{
	assert_int_equal(fs_remove_tree(s->dirfd, R3), 0);
	scratch_text(s->dirfd, R3, "", 0644);
}

static void release_link(const struct scratch *s)
{
	put_release(s->dirfd, "elsewhere", B3);
	assert_int_equal(fs_remove_tree(s->dirfd, R3), 0);
	point(s, R3, "../../elsewhere/" B3);
}

static void manifest_gone(const struct scratch *s)
{
	assert_int_equal(fs_remove_tree(s->dirfd, R3 "/release.json"), 0);
}

static void manifest_empty(const struct scratch *s)
{
	scratch_text(s->dirfd, R3 "/release.json", "", 0644);
}

static void manifest_zeros(const struct scratch *s)
{
	scratch_write(s->dirfd, R3 "/release.json", "\0\0\0\0\0\0\0", 8, 0644);
}

static void manifest_directory(const struct scratch *s)
{
	manifest_gone(s);
	assert_int_equal(fs_mkdir_p(s->dirfd, R3 "/release.json", 0755), 0);
}

static void manifest_fifo(const struct scratch *s)
{
	manifest_gone(s);
	assert_int_equal(mkfifoat(s->dirfd, R3 "/release.json", 0644), 0);
}

static void manifest_link(const struct scratch *s)
{
	manifest_gone(s);
	point(s, R3 "/release.json", "../" B2 "/release.json");
}

static void bin_gone(const struct scratch *s)
{
	assert_int_equal(fs_remove_tree(s->dirfd, R3 "/bin"), 0);
}

static void bin_empty(const struct scratch *s)
{
	assert_int_equal(fs_remove_tree(s->dirfd, R3 "/bin/program"), 0);
}

static void program_empty(const struct scratch *s)
{
	scratch_text(s->dirfd, R3 "/bin/program", "", 0755);
}

static void program_not_executable(const struct scratch *s)
{
	scratch_text(s->dirfd, R3 "/bin/program", "x", 0644);
}

static void program_link(const struct scratch *s)
{
	point(s, R3 "/bin/program", "../../" B2 "/bin/program");
}

#define DAMAGE(f)                                                                                  \
	{                                                                                          \
#f, f                                                                              \
	}
static const struct damage {
	const char *name;
	void (*damage)(const struct scratch *s);
} damages[] = {
	DAMAGE(current_gone),	   DAMAGE(current_empty_file),
	DAMAGE(current_file),	   DAMAGE(current_fifo),
	DAMAGE(current_directory), DAMAGE(current_loop),
	DAMAGE(current_elsewhere), DAMAGE(current_loop_of_two),
	DAMAGE(current_dangling),  DAMAGE(current_outside),
	DAMAGE(current_winding),   DAMAGE(current_slash),
	DAMAGE(current_stage),	   DAMAGE(current_other_program),
	DAMAGE(release_empty),	   DAMAGE(current_no_version),
	DAMAGE(release_file),	   DAMAGE(release_link),
	DAMAGE(manifest_gone),	   DAMAGE(manifest_empty),
	DAMAGE(manifest_zeros),	   DAMAGE(manifest_directory),
	DAMAGE(manifest_fifo),	   DAMAGE(manifest_link),
	DAMAGE(bin_gone),	   DAMAGE(bin_empty),
	DAMAGE(program_empty),	   DAMAGE(program_not_executable),
	DAMAGE(program_link),
};

static void test_leaves_what_is_in_order(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(run(s), 0);
	expect_b(s, "releases/" B3, "releases/" B2);
	assert_string_equal(target(s, "a/current"), "releases/" A3);
	assert_string_equal(restarted, "");
	assert_int_equal(journal_writes(s), 0);
}

static void test_goes_to_previous(void **state)
{
	struct scratch *s = *state;

	for (size_t i = 0; i < ELEMENTSOF(damages); i++) {
		renew_tree(s);
		damages[i].damage(s);
		if (run(s) != 1 || strcmp(target(s, "b/current"), "releases/" B2) != 0)
			fail_msg("%s", damages[i].name);
		assert_string_equal(target(s, "b/previous"), "releases/" B2);
		assert_string_equal(target(s, "a/current"), "releases/" A3);
		assert_string_equal(restarted, "bmsd.service ");
		assert_int_equal(run(s), 0);
	}
}

static const char *const rubbish[] = { "B209913010001",	 "B20990101000",  "b209901010001",
				       "B2099010100011", "B209901010000", "B209901010001.bak",
				       "B-99901010001",	 ".stage-x",	  "A209901010001",
				       "B20990101\n001", "\xff\xfe" };

static void put_rubbish(const struct scratch *s)
{
	char name[256 + 16] = "b/releases/";

	for (size_t i = 0; i < ELEMENTSOF(rubbish); i++)
		put_release(s->dirfd, "b/releases", rubbish[i]);
	memset(name + 11, 'B', 255);
	assert_int_equal(mkdirat(s->dirfd, name, 0755), 0);
	scratch_text(s->dirfd, "b/releases/B209801010001", "a file", 0755);
	point(s, "b/releases/B209701010001", "/usr");
	point(s, "b/releases/B209601010001", "B209601010001");
	point(s, "b/releases/B209501010001", B1);
	for (int i = 1; i < 300; i++) {
		(void)snprintf(name, sizeof name, "b/releases/B20940101%04d", i);
		assert_int_equal(mkdirat(s->dirfd, name, 0755), 0);
	}
}

static void test_goes_to_the_newest_that_is_complete(void **state)
{
	struct scratch *s = *state;

	put_rubbish(s);
	current_gone(s);
	assert_int_equal(fs_remove_tree(s->dirfd, "b/releases/" B2 "/bin"), 0);
	assert_int_equal(run(s), 1);
	expect_b(s, "releases/" B3, "releases/" B2);

	manifest_gone(s);
	assert_int_equal(run(s), 1);
	expect_b(s, "releases/" B1, "releases/" B2);
}

static void test_goes_to_the_next_newest_each_time(void **state)
{
	struct scratch *s = *state;
	char version[16], path[128], expected[64];

	assert_int_equal(fs_remove_tree(s->dirfd, "b/previous"), 0);
	for (unsigned i = 0; i < 20; i++) {
		(void)snprintf(version, sizeof version, "B20210910%04u", i * 7 % 20 + 1);
		put_release(s->dirfd, "b/releases", version);
	}
	current_gone(s);
	for (unsigned i = 20; i > 0; i--) {
		assert_int_equal(run(s), 1);
		(void)snprintf(expected, sizeof expected, "releases/B20210910%04u", i);
		expect_b(s, expected, "");
		(void)snprintf(path, sizeof path, "b/%s/release.json", expected);
		assert_int_equal(fs_remove_tree(s->dirfd, path), 0);
	}
	assert_int_equal(run(s), 1);
	expect_b(s, "releases/" B3, "");
}

static void expect_factory(const struct scratch *s)
{
	char factory[128];

	(void)snprintf(factory, sizeof factory, "%s/factory/b", s->path);
	assert_int_equal(run(s), 1);
	assert_string_equal(target(s, "b/current"), factory);
	/* And there it stays, until recovery has adopted it. */
	assert_int_equal(run(s), 0);
	assert_string_equal(target(s, "b/current"), factory);
}

static void test_goes_to_the_factory(void **state)
{
	struct scratch *s = *state;

	put_rubbish(s);
	for (const char *const *v = (const char *[]){ B1, B2, B3, NULL }; *v; v++) {
		char path[64];

		(void)snprintf(path, sizeof path, "b/releases/%s", *v);
		assert_int_equal(fs_remove_tree(s->dirfd, path), 0);
	}
	expect_factory(s);

	renew_tree(s);
	assert_int_equal(fs_remove_tree(s->dirfd, "b/releases"), 0);
	expect_factory(s);

	renew_tree(s);
	assert_int_equal(fs_remove_tree(s->dirfd, "b"), 0);
	expect_factory(s);

	renew_tree(s);
	assert_int_equal(fs_remove_tree(s->dirfd, "b/releases"), 0);
	scratch_text(s->dirfd, "b/releases", "", 0644);
	expect_factory(s);
}

/* What cannot be helped in one space is no reason to leave the other. */
static void test_every_space_gets_its_turn(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(fs_remove_tree(s->dirfd, "a/releases"), 0);
	assert_int_equal(fs_remove_tree(s->dirfd, "factory/a/release.json"), 0);
	current_gone(s);
	assert_int_equal(run(s), -ENOENT);
	assert_string_equal(target(s, "a/current"), "releases/" A3);
	expect_b(s, "releases/" B2, "releases/" B2);
	assert_string_equal(restarted, "bmsd.service ");
}

static void test_a_program_that_is_not_installed(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(fs_remove_tree(s->dirfd, "b"), 0);
	assert_int_equal(fs_remove_tree(s->dirfd, "factory/b"), 0);
	assert_int_equal(run(s), 0);
	assert_int_equal(faccessat(s->dirfd, "b", F_OK, 0), -1);
}

/* What a newer release.json has in it is its own. */
static void test_leaves_what_it_does_not_understand(void **state)
{
	struct scratch *s = *state;

	scratch_text(s->dirfd, R3 "/release.json", "{\"spec_version\":9,\"what\":[[[", 0644);
	assert_int_equal(run(s), 0);
	expect_b(s, "releases/" B3, "releases/" B2);
}

/* ---- where the spaces are ---- */

static void expect_defaults(const struct scratch *s)
{
	struct rescue r = rescue_of(s);
	char defaults[128];

	(void)snprintf(defaults, sizeof defaults, "B %s/b -\n", s->path);
	r.defaults = defaults;
	current_gone(s);
	assert_int_equal(fs_remove_tree(s->dirfd, "a/current"), 0);
	assert_int_equal(rescue_run(&r), 1);
	assert_string_equal(target(s, "b/current"), "releases/" B2);
	assert_string_equal(target(s, "a/current"), "");
}

static void test_programs_that_are_damaged(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"A /a -",
		"A /a\n",
		"A  /a -\n",
		"a /a -\n",
		"AA /a -\n",
		" /a -\n",
		"A a -\n",
		"A /a/../b -\n",
		"A /a//b -\n",
		"A / -\n",
		"A /a -\nA /b -\n",
		"A /a -\n\nB /b -\n",
		"A /a -\nB",
		"A /a\t-\n",
	};
	struct scratch *s = *state;

	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		renew_tree(s);
		scratch_text(s->dirfd, "installer/programs", texts[i], 0600);
		expect_defaults(s);
	}
	renew_tree(s);
	scratch_write(s->dirfd, "installer/programs", "A /a -\n\0B /b -\n", 15, 0600);
	expect_defaults(s);
	renew_tree(s);
	assert_int_equal(fs_remove_tree(s->dirfd, "installer/programs"), 0);
	assert_int_equal(fs_mkdir_p(s->dirfd, "installer/programs", 0755), 0);
	expect_defaults(s);
}

static void test_programs_that_are_too_many_bytes(void **state)
{
	struct scratch *s = *state;
	char *text = malloc(20000);

	assert_non_null(text);
	memset(text, 'x', 20000);
	memcpy(text, "A /a - ", 7);
	text[19999] = '\n';
	scratch_write(s->dirfd, "installer/programs", text, 20000, 0600);
	free(text);
	expect_defaults(s);
}

static void test_without_the_directory(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(fs_remove_tree(s->dirfd, "installer"), 0);
	expect_defaults(s);
	assert_int_equal(faccessat(s->dirfd, "installer", F_OK, 0), -1);
}

static void test_a_directory_that_others_can_write(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(fchmodat(s->dirfd, "installer", 0777, 0), 0);
	expect_defaults(s);
	renew_tree(s);
	if (geteuid() == 0) {
		assert_int_equal(fchownat(s->dirfd, "installer", 1, 1, 0), 0);
		expect_defaults(s);
	}
}

/* ---- every state of the journal ---- */

static void test_leaves_an_attempt_that_is_not_on_trial(void **state)
{
	static const char *const words[] = { "idle",  "accepted",  "staging",
					     "ready", "confirmed", "rolled-back" };
	struct scratch *s = *state;

	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		renew_tree(s);
		put_attempt(s, words[i]);
		assert_int_equal(run(s), 0);
		expect_b(s, "releases/" B3, "releases/" B2);
		assert_string_equal(journaled(s, "state"), words[i]);
		assert_string_equal(journaled(s, "rescued"), "");
	}
}

static void expect_undone(const struct scratch *s)
{
	expect_b(s, "releases/" B2, "releases/" B1);
	assert_string_equal(journaled(s, "state"), "rolled-back");
	assert_string_equal(journaled(s, "rescued"), "1");
	assert_string_equal(journaled(s, "from"), B2);
	assert_string_equal(journaled(s, "to"), B3);
	assert_string_equal(journaled(s, "zeta"), "of a newer one");
	assert_string_equal(restarted, "bmsd.service ");
}

static void test_undoes_a_trial(void **state)
{
	static const char *const words[] = { "trial", "confirming", "", "TRIAL", "trial " };
	struct scratch *s = *state;

	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		renew_tree(s);
		put_attempt(s, words[i]);
		assert_int_equal(run(s), 1);
		expect_undone(s);
		assert_string_equal(journaled(s, "reason"), "none");
		assert_int_equal(run(s), 0);
		expect_b(s, "releases/" B2, "releases/" B1);
	}
}

static void test_undoes_a_trial_whatever_current_is(void **state)
{
	struct scratch *s = *state;

	for (size_t i = 0; i < ELEMENTSOF(damages); i++) {
		renew_tree(s);
		damages[i].damage(s);
		put_attempt(s, "trial");
		assert_int_equal(run(s), 1);
		expect_undone(s);
	}
}

static void test_keeps_why_a_trial_was_judged(void **state)
{
	struct scratch *s = *state;

	put_attempt(s, "trial");
	put_journal(s, (const char *[]){ "reason", "unhealthy", NULL });
	assert_int_equal(run(s), 1);
	expect_undone(s);
	assert_string_equal(journaled(s, "reason"), "unhealthy");
}

/* Nothing was flipped, so nothing was tried: recovery has to know. */
static void test_leaves_a_trial_before_its_flip(void **state)
{
	struct scratch *s = *state;
	uint64_t writes;

	put_attempt(s, "trial");
	point(s, "b/current", "releases/" B2);
	writes = journal_writes(s);
	assert_int_equal(run(s), 0);
	assert_int_equal(journal_writes(s), writes);
	assert_string_equal(target(s, "b/current"), "releases/" B2);
}

/* But after our own flip it was. */
static void test_goes_on_where_it_was_cut(void **state)
{
	struct scratch *s = *state;

	put_attempt(s, "trial");
	put_journal(s, (const char *[]){ "rescued", "1", NULL });
	point(s, "b/current", "releases/" B2);
	assert_int_equal(run(s), 1);
	expect_undone(s);
}

static void test_there_was_no_previous(void **state)
{
	struct scratch *s = *state;

	put_attempt(s, "trial");
	put_journal(s, (const char *[]){ "before_previous", NULL, NULL });
	assert_int_equal(run(s), 1);
	expect_b(s, "releases/" B2, "");

	renew_tree(s);
	put_attempt(s, "trial");
	assert_int_equal(fs_remove_tree(s->dirfd, "b/releases/" B1), 0);
	assert_int_equal(run(s), 1);
	expect_b(s, "releases/" B2, "");
}

/* It has its backup, perhaps; to look for that is not the rescue's. */
static void test_previous_is_damaged(void **state)
{
	struct scratch *s = *state;

	put_attempt(s, "trial");
	assert_int_equal(fs_remove_tree(s->dirfd, "b/releases/" B1 "/release.json"), 0);
	assert_int_equal(run(s), 1);
	expect_undone(s);
}

static void test_what_it_was_before_is_gone(void **state)
{
	struct scratch *s = *state;

	put_attempt(s, "trial");
	assert_int_equal(fs_remove_tree(s->dirfd, "b/releases/" B2), 0);
	assert_int_equal(run(s), 0);
	assert_string_equal(target(s, "b/current"), "releases/" B3);
	assert_string_equal(journaled(s, "state"), "trial");

	manifest_gone(s);
	assert_int_equal(run(s), 1);
	assert_string_equal(target(s, "b/current"), "releases/" B1);
}

static void test_wild_values(void **state)
{
	static const char *const wild[][2] = {
		{ "program", NULL },
		{ "program", "" },
		{ "program", "BB" },
		{ "program", "Z" },
		{ "program", "b" },
		{ "program", "../B" },
		{ "program", "A" },
		{ "from", NULL },
		{ "from", "" },
		{ "from", A2 },
		{ "from", "../../../etc" },
		{ "from", "." },
		{ "from", B2 "/" },
		{ "from", B2 " " },
		{ "from", "B202102300001" },
		{ "from", "B999999999999" },
	};
	struct scratch *s = *state;

	for (size_t i = 0; i < ELEMENTSOF(wild); i++) {
		uint64_t writes;

		renew_tree(s);
		put_attempt(s, "trial");
		put_release(s->dirfd, "b/releases", A2);
		{
			_cleanup_close_ int fd = scratch_dir(s->dirfd, "installer");
			_cleanup_(journal_closep) struct journal *j = NULL;

			assert_int_equal(journal_open(fd, &j), 0);
			assert_int_equal(journal_set(j, wild[i][0], wild[i][1]), 0);
			assert_int_equal(journal_write(j), 0);
		}
		writes = journal_writes(s);
		assert_int_equal(run(s), 0);
		expect_b(s, "releases/" B3, "releases/" B2);
		assert_int_equal(journal_writes(s), writes);
	}
}

static void test_wild_before_previous(void **state)
{
	static const char *const wild[] = { "", "x", "../..", A1, "B209901010001", B1 "x" };
	struct scratch *s = *state;

	for (size_t i = 0; i < ELEMENTSOF(wild); i++) {
		renew_tree(s);
		put_attempt(s, "trial");
		put_journal(s, (const char *[]){ "before_previous", wild[i], NULL });
		assert_int_equal(run(s), 1);
		expect_b(s, "releases/" B2, "");
	}
}

static void test_a_journal_of_a_newer_format(void **state)
{
	static const char payload[] = "novel=1\nprogram=B\nfrom=" B2 "\nto=" B3
				      "\nbefore_previous=" B1
				      "\nno equals sign\nzeta=of a newer one\nstate=judging\n";
	char slot[JOURNAL_SLOT_BYTES] = "";
	struct scratch *s = *state;
	int n;

	n = snprintf(slot, sizeof slot, "bms-journal 7 %016x %04zx ", 9u, strlen(payload));
	(void)snprintf(slot + n, sizeof slot - (size_t)n, "%08x\n%s",
		       crc32_update(crc32_update(0, slot, (size_t)n), payload, strlen(payload)),
		       payload);
	scratch_write(s->dirfd, "installer/" JOURNAL_SLOT_A, slot, sizeof slot, 0600);
	assert_int_equal(run(s), 1);
	expect_undone(s);
	assert_string_equal(journaled(s, "novel"), "1");
}

static void test_a_journal_that_is_lost(void **state)
{
	char slot[JOURNAL_SLOT_BYTES];
	struct scratch *s = *state;

	memset(slot, 0xa5, sizeof slot);
	scratch_write(s->dirfd, "installer/" JOURNAL_SLOT_A, slot, sizeof slot, 0600);
	scratch_write(s->dirfd, "installer/" JOURNAL_SLOT_B, slot, sizeof slot, 0600);
	current_gone(s);
	assert_int_equal(run(s), 1);
	expect_b(s, "releases/" B2, "releases/" B2);

	renew_tree(s);
	assert_int_equal(fs_mkdir_p(s->dirfd, "installer/" JOURNAL_SLOT_A, 0755), 0);
	current_gone(s);
	assert_int_equal(run(s), 1);
	expect_b(s, "releases/" B2, "releases/" B2);
}

/* The links matter more than the record. */
static void test_a_journal_that_cannot_be_written(void **state)
{
	struct scratch *s = *state;

	put_attempt(s, "trial");
	fail_fdatasync = 1;
	assert_int_equal(run(s), 1);
	fail_fdatasync = 0;
	expect_b(s, "releases/" B2, "releases/" B1);
}

/* ---- the lock ---- */

static int holder = FD_NONE;

static void hold(const struct scratch *s)
{
	holder = openat(s->dirfd, "installer/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(holder >= 0);
	assert_int_equal(flock(holder, LOCK_EX), 0);
	pauses = 0;
}

static void let_go(void)
{
	close_fd(&holder);
	holder = FD_NONE;
}

static void test_does_nothing_while_the_installer_works(void **state)
{
	struct scratch *s = *state;

	put_attempt(s, "trial");
	assert_int_equal(fs_remove_tree(s->dirfd, "a/current"), 0);
	hold(s);
	assert_int_equal(run(s), -EBUSY);
	assert_int_equal(roll_back(s, 'B'), -EBUSY);
	assert_in_range(pauses, 2 * 40, 2 * 50);
	let_go();
	expect_b(s, "releases/" B3, "releases/" B2);
	assert_string_equal(target(s, "a/current"), "");
	assert_string_equal(restarted, "");
	assert_int_equal(run(s), 1);
	expect_b(s, "releases/" B2, "releases/" B1);
}

/* ---- a person's way back ---- */

static void test_rolls_back(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(roll_back(s, 'B'), 1);
	expect_b(s, "releases/" B2, "releases/" B3);
	assert_true(txid_is_valid(journaled(s, "txid")));
	assert_string_equal(journaled(s, "kind"), "rollback");
	assert_string_equal(journaled(s, "program"), "B");
	assert_string_equal(journaled(s, "from"), B3);
	assert_string_equal(journaled(s, "to"), B2);
	assert_string_equal(journaled(s, "state"), "confirmed");
	assert_string_equal(journaled(s, "reason"), "operator");
	assert_string_equal(journaled(s, "rescued"), "1");
	assert_true(atoll(journaled(s, "started_sec")) > 1600000000);
	assert_string_equal(journaled(s, "left_B"), B3 " ");
	assert_string_equal(restarted, "bmsd.service ");
	assert_string_equal(target(s, "a/current"), "releases/" A3);
	assert_int_equal(run(s), 0);
	expect_b(s, "releases/" B2, "releases/" B3);
}

static void test_goes_further_back_each_time(void **state)
{
	struct scratch *s = *state;
	char factory[128];

	(void)snprintf(factory, sizeof factory, "%s/factory/b", s->path);
	assert_int_equal(roll_back(s, 'B'), 1);
	assert_int_equal(roll_back(s, 'B'), 1);
	expect_b(s, "releases/" B1, "releases/" B2);
	assert_string_equal(journaled(s, "left_B"), B2 " " B3 " ");
	/* Of two the first has its result. */
	assert_string_equal(journaled(s, "to"), B2);
	assert_int_equal(roll_back(s, 'B'), 1);
	assert_string_equal(target(s, "b/current"), factory);
	assert_int_equal(roll_back(s, 'B'), -ENOENT);
	assert_string_equal(target(s, "b/current"), factory);
}

static void test_rolls_back_past_what_is_damaged(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(fs_remove_tree(s->dirfd, "b/releases/" B2 "/release.json"), 0);
	assert_int_equal(roll_back(s, 'B'), 1);
	expect_b(s, "releases/" B1, "releases/" B3);
}

static void test_there_is_nothing_to_go_back_to(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(fs_remove_tree(s->dirfd, "b/releases/" B2), 0);
	assert_int_equal(fs_remove_tree(s->dirfd, "b/releases/" B1), 0);
	assert_int_equal(fs_remove_tree(s->dirfd, "factory/b"), 0);
	assert_int_equal(roll_back(s, 'B'), -ENOENT);
	assert_string_equal(target(s, "b/current"), "releases/" B3);
	assert_string_equal(journaled(s, "state"), "");
	assert_string_equal(journaled(s, "left_B"), "");
	assert_int_equal(roll_back(s, 'C'), -EINVAL);
	assert_string_equal(restarted, "");
}

/* The trial is what a person wants to be over. */
static void test_rolls_back_a_trial(void **state)
{
	struct scratch *s = *state;

	put_attempt(s, "trial");
	assert_int_equal(roll_back(s, 'B'), 1);
	expect_undone(s);
	assert_string_equal(journaled(s, "reason"), "operator");
	assert_string_equal(journaled(s, "kind"), "upgrade");
	assert_string_equal(journaled(s, "left_B"), B3 " ");
}

/* A trial of another program is undone as ever, and stays in the journal. */
static void test_rolls_back_beside_a_trial(void **state)
{
	struct scratch *s = *state;

	put_attempt(s, "trial");
	assert_int_equal(roll_back(s, 'A'), 1);
	expect_undone(s);
	assert_string_equal(journaled(s, "reason"), "none");
	assert_string_equal(target(s, "a/current"), "releases/" A2);
	assert_string_equal(journaled(s, "left_A"), A3 " ");
	assert_string_equal(journaled(s, "left_B"), "");
}

/* It ends before, or recovery would take `current` back to where it came from. */
static void test_rolls_back_under_an_attempt(void **state)
{
	static const char *const words[] = { "accepted", "staging", "ready", "trial", "novel" };
	struct scratch *s = *state;

	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		renew_tree(s);
		put_attempt(s, words[i]);
		point(s, "b/current", "releases/" B2);
		point(s, "b/previous", "releases/" B1);
		assert_int_equal(roll_back(s, 'B'), 1);
		expect_b(s, "releases/" B1, "releases/" B2);
		assert_string_equal(journaled(s, "state"), "rolled-back");
		assert_string_equal(journaled(s, "kind"), "upgrade");
		assert_string_equal(journaled(s, "reason"), "operator");
		assert_string_equal(journaled(s, "left_B"), B2 " ");
		assert_int_equal(run(s), 0);
		expect_b(s, "releases/" B1, "releases/" B2);
	}
}

static void test_rolls_back_after_an_attempt(void **state)
{
	static const char *const words[] = { "confirmed", "rolled-back" };
	struct scratch *s = *state;

	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		renew_tree(s);
		put_attempt(s, words[i]);
		assert_int_equal(roll_back(s, 'B'), 1);
		expect_b(s, "releases/" B2, "releases/" B3);
		assert_string_equal(journaled(s, "state"), words[i]);
		assert_string_equal(journaled(s, "from"), B2);
		assert_string_equal(journaled(s, "left_B"), B3 " ");
	}
}

static void test_rolls_back_without_a_record(void **state)
{
	struct scratch *s = *state;

	fail_fdatasync = 1;
	assert_int_equal(roll_back(s, 'B'), 1);
	fail_fdatasync = 0;
	expect_b(s, "releases/" B2, "releases/" B3);
}

static void test_rolls_back_from_what_leads_nowhere(void **state)
{
	struct scratch *s = *state;

	for (size_t i = 0; i < ELEMENTSOF(damages); i++) {
		renew_tree(s);
		damages[i].damage(s);
		if (roll_back(s, 'B') != 1 || strcmp(target(s, "b/current"), "releases/" B2) != 0)
			fail_msg("%s", damages[i].name);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, tree_setup, scratch_teardown)
int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_leaves_what_is_in_order),
		T(test_goes_to_previous),
		T(test_goes_to_the_newest_that_is_complete),
		T(test_goes_to_the_next_newest_each_time),
		T(test_goes_to_the_factory),
		T(test_every_space_gets_its_turn),
		T(test_a_program_that_is_not_installed),
		T(test_leaves_what_it_does_not_understand),
		T(test_programs_that_are_damaged),
		T(test_programs_that_are_too_many_bytes),
		T(test_without_the_directory),
		T(test_a_directory_that_others_can_write),
		T(test_leaves_an_attempt_that_is_not_on_trial),
		T(test_undoes_a_trial),
		T(test_undoes_a_trial_whatever_current_is),
		T(test_keeps_why_a_trial_was_judged),
		T(test_leaves_a_trial_before_its_flip),
		T(test_goes_on_where_it_was_cut),
		T(test_there_was_no_previous),
		T(test_previous_is_damaged),
		T(test_what_it_was_before_is_gone),
		T(test_wild_values),
		T(test_wild_before_previous),
		T(test_a_journal_of_a_newer_format),
		T(test_a_journal_that_is_lost),
		T(test_a_journal_that_cannot_be_written),
		T(test_does_nothing_while_the_installer_works),
		T(test_rolls_back),
		T(test_goes_further_back_each_time),
		T(test_rolls_back_past_what_is_damaged),
		T(test_there_is_nothing_to_go_back_to),
		T(test_rolls_back_a_trial),
		T(test_rolls_back_beside_a_trial),
		T(test_rolls_back_under_an_attempt),
		T(test_rolls_back_after_an_attempt),
		T(test_rolls_back_without_a_record),
		T(test_rolls_back_from_what_leads_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
