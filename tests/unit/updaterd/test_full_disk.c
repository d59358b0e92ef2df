/* SPDX-License-Identifier: Apache-2.0 */
/* The installer on a small file system of its own (FULL_DISK_FS, ext4 by default) that is full. Skipped
 * without root, mkfs or loop devices. */
#include "updaterd/transaction.h"

#include "gateway.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include "updaterd/record.h"
#include "updaterd/recover.h"
#include "updaterd/swap.h"

#define MIB	    (1u << 20)
#define BLOB_BYTES  (2 * MIB)
#define FILL_NAME   "fill"
#define FILL_INODES "inodes"
#define COMMAND_FMT                                                                                \
	"truncate -s %u %s && mkfs.%s -q %s >/dev/null 2>&1 && mount -o loop %s %s 2>/dev/null"
#define IMAGE_BYTES  (72 * MIB)
#define OTHERS_BYTES (320 * MIB) /* what xfs and btrfs need at least */

int64_t __wrap_conf_effective_time_sec(int64_t last_trusted_sec);
int64_t __wrap_conf_effective_time_sec(int64_t last_trusted_sec)
{
	(void)last_trusted_sec;
	return REPO_NOW_SEC;
}

/* ---- the disk ---- */

static char mount_point[] = "/tmp/full-disk-XXXXXX";
static bool is_mounted;
/* The others make inodes out of bytes. */
static bool has_inode_table;

/* In a mount namespace of its own, so that it goes with the process. */
static bool make_disk(void)
{
	const char *fs = getenv("FULL_DISK_FS");
	char image[64], command[512];

	if (!fs)
		fs = "ext4";
	has_inode_table = strcmp(fs, "ext4") == 0;
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    !mkdtemp(mount_point))
		return false;
	(void)snprintf(image, sizeof image, "%s.img", mount_point);
	(void)snprintf(command, sizeof command, COMMAND_FMT,
		       has_inode_table ? IMAGE_BYTES : OTHERS_BYTES, image, fs, image, image,
		       mount_point);
	is_mounted = system(command) == 0;
	/* The loop device holds it, and goes with the mount. */
	(void)unlink(image);
	return is_mounted;
}

static void drop_disk(void)
{
	if (is_mounted)
		(void)umount2(mount_point, MNT_DETACH);
	(void)rmdir(mount_point);
}

/* Somebody else's file takes all but left_bytes of what anybody may have; 0: really all. */
static void fill(struct gateway *g, uint64_t left_bytes)
{
	int fd = openat(g->scratch->dirfd, FILL_NAME, O_WRONLY | O_CREAT | O_APPEND, 0600);
	char chunk[512] = { 1 };
	uint64_t free_bytes;
	struct statvfs fs;
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(syncfs(fd), 0);
	assert_int_equal(fstatvfs(fd, &fs), 0);
	assert_int_equal(fstat(fd, &st), 0);
	free_bytes = (uint64_t)(left_bytes ? fs.f_bavail : fs.f_bfree) * fs.f_frsize;
	if (free_bytes > left_bytes)
		(void)posix_fallocate(fd, st.st_size, (off_t)(free_bytes - left_bytes));
	while (left_bytes == 0 && write(fd, chunk, sizeof chunk) > 0)
		;
	(void)fsync(fd);
	(void)close(fd);
}

/* Not a byte, and not an inode. */
static void fill_to_the_brim(struct gateway *g)
{
	char name[32];

	fill(g, 0);
	if (!has_inode_table)
		return;
	assert_true(mkdirat(g->scratch->dirfd, FILL_INODES, 0700) == 0 || errno == ENOSPC ||
		    errno == EEXIST);
	for (unsigned i = 0; i < 200000; i++) {
		int fd;

		(void)snprintf(name, sizeof name, FILL_INODES "/%u", i);
		fd = openat(g->scratch->dirfd, name, O_WRONLY | O_CREAT, 0600);
		if (fd < 0)
			break;
		(void)close(fd);
	}
	fill(g, 0);
}

static void make_room(struct gateway *g)
{
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, FILL_NAME), 0);
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, FILL_INODES), 0);
	sync();
}

/* Filled as soon as the links are made: from there on nothing may need room. */
static struct gateway *to_fill;
static bool is_reserve_taken;

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	if (to_fill && strcmp(to, SWAP_PREVIOUS) == 0) {
		struct gateway *g = to_fill;

		to_fill = NULL;
		if (is_reserve_taken)
			(void)unlinkat(g->scratch->dirfd, "installer/" RESULT_RESERVE, 0);
		fill_to_the_brim(g);
	}
	return __real_renameat(from_fd, from, to_fd, to);
}

/* ---- releases that have a size ---- */

static void make_big(struct gateway *g, const char *version)
{
	char *bytes = malloc(BLOB_BYTES), path[64];
	unsigned x = 1;

	assert_non_null(bytes);
	/* Nothing that could be compressed. */
	for (size_t i = 0; i < BLOB_BYTES; i++) {
		x = x * 1664525u + 1013904223u + (unsigned char)version[8];
		bytes[i] = (char)(x >> 24);
	}
	(void)snprintf(path, sizeof path, "trees/%s/lib/blob", version);
	scratch_write(g->scratch->dirfd, path, bytes, BLOB_BYTES, 0644);
	free(bytes);
}

static void publish(struct gateway *g, const char *version)
{
	make_big(g, version);
	gateway_publish(g, version, NULL);
}

static void expect_outcome(const struct result *r, enum outcome outcome)
{
	if (r->outcome != outcome)
		fail_msg("%s %s %s %s", outcome_name(r->outcome), step_name(r->step),
			 reason_name(r->failure.reason), r->failure.text);
}

static void upgrade_well(struct gateway *g, const char *version)
{
	struct result r;

	assert_int_equal(gateway_upgrade(g, version, &r), 0);
	expect_outcome(&r, OUTCOME_CONFIRMED);
}

static int setup(void **state)
{
	struct gateway *g;

	to_fill = NULL;
	is_reserve_taken = false;
	if (!is_mounted) {
		*state = NULL;
		return 0;
	}
	*state = g = gateway_new();
	/* ext4 is done with a removal when it is over. */
	g->is_real_time = !has_inode_table;
	publish(g, NEW_B);
	publish(g, NEXT_B);
	upgrade_well(g, NEW_B);
	return 0;
}

static int teardown(void **state)
{
	if (*state)
		gateway_free(*state);
	return 0;
}

static struct gateway *gateway_of(void **state)
{
	if (!*state) {
		print_message("no small file system can be made here\n");
		skip();
	}
	return *state;
}

static void expect_found(struct gateway *g, const char *txid, const char *what)
{
	_cleanup_(state_closep) struct state *s = NULL;
	_cleanup_free_ char *json = NULL;

	assert_int_equal(state_open(&g->conf, STATE_READ, &s), 0);
	assert_int_equal(record_find(s, txid, &json), 0);
	if (!strstr(json, what))
		fail_msg("%s: no %s", json, what);
}

/* ---- tests ---- */

/* What crashes and earlier attempts left is enough. */
static void test_litter_makes_room(void **state)
{
	struct gateway *g = gateway_of(state);

	fill(g, 22 * MIB);
	{
		char *bytes = calloc(1, 4 * MIB);

		assert_non_null(bytes);
		scratch_write(g->scratch->dirfd, "b/releases/.stage-x/a", bytes, 4 * MIB, 0444);
		scratch_write(g->scratch->dirfd, "b/backups/.new-x", bytes, 4 * MIB, 0444);
		free(bytes);
	}
	upgrade_well(g, NEXT_B);
	gateway_expect_links(g, 'B', NEXT_B, NEW_B);
	gateway_expect_order(g);
}

/* The release before the one that runs is as large as what comes. */
static void test_the_older_release_makes_room(void **state)
{
	struct gateway *g = gateway_of(state);

	upgrade_well(g, NEXT_B);
	gateway_expect_links(g, 'B', NEXT_B, NEW_B);
	publish(g, "B202111010001");
	/* 2.2 x 2 + 16 MiB are asked for; its backup alone would not be enough. */
	fill(g, 35 * MIB / 2);
	upgrade_well(g, "B202111010001");
	gateway_expect_links(g, 'B', "B202111010001", NEXT_B);
	gateway_expect_order(g);
}

static void test_what_no_pruning_helps_is_said(void **state)
{
	struct gateway *g = gateway_of(state);
	struct result r;

	fill(g, 4 * MIB);
	assert_int_equal(gateway_upgrade(g, NEXT_B, &r), 0);
	assert_int_equal(r.outcome, OUTCOME_FAILED);
	assert_int_equal(r.failure.reason, REASON_NO_SPACE);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	gateway_expect_order(g);
	make_room(g);
	upgrade_well(g, NEXT_B);
}

/* A person goes back on a disk without a byte and an inode, and is told that it worked. */
static void test_a_person_goes_back_on_a_full_disk(void **state)
{
	struct gateway *g = gateway_of(state);
	struct result r;

	upgrade_well(g, NEXT_B);
	fill_to_the_brim(g);
	assert_int_equal(gateway_rollback(g, 'B', &r), 0);
	expect_outcome(&r, OUTCOME_CONFIRMED);
	gateway_expect_links(g, 'B', NEW_B, NEXT_B);
	expect_found(g, r.txid, "\"outcome\":\"confirmed\"");
	make_room(g);
}

/* Even the reserve is gone: the result stays in the journal until there is room. */
static void test_a_result_waits_in_the_journal(void **state)
{
	struct gateway *g = gateway_of(state);
	_cleanup_(state_closep) struct state *s = NULL;
	_cleanup_free_ char *json = NULL;
	struct result r;

	is_reserve_taken = true;
	to_fill = g;
	assert_int_equal(gateway_rollback(g, 'B', &r), -ENOSPC);
	expect_outcome(&r, OUTCOME_CONFIRMED);
	gateway_expect_links(g, 'B', OLD_B, NEW_B);
	expect_found(g, r.txid, "\"outcome\":\"confirmed\"");
	/* Recovery cannot keep it either, and takes nothing back. */
	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(recover(s, gateway_service(g), false), -ENOSPC);
	gateway_expect_links(g, 'B', OLD_B, NEW_B);
	make_room(g);
	assert_int_equal(recover(s, gateway_service(g), false), 0);
	assert_int_equal(result_find(s->dirfd, r.txid, &json), 0);
	assert_non_null(strstr(json, "\"outcome\":\"confirmed\""));
	gateway_expect_links(g, 'B', OLD_B, NEW_B);
	gateway_expect_order(g);
}

/* From the links on nothing can run out of space: on the way forth … */
static void test_the_swap_needs_no_room(void **state)
{
	struct gateway *g = gateway_of(state);
	struct result r;

	to_fill = g;
	assert_int_equal(gateway_upgrade(g, NEXT_B, &r), 0);
	assert_null(to_fill);
	expect_outcome(&r, OUTCOME_CONFIRMED);
	gateway_expect_links(g, 'B', NEXT_B, NEW_B);
	gateway_expect_order(g);
	make_room(g);
}

/* … and on the way back. */
static void test_the_way_back_needs_no_room(void **state)
{
	struct gateway *g = gateway_of(state);
	struct result r;

	g->odd_version = NEXT_B;
	g->odd = EXITS_AT_ONCE;
	to_fill = g;
	assert_int_equal(gateway_upgrade(g, NEXT_B, &r), 0);
	assert_null(to_fill);
	expect_outcome(&r, OUTCOME_ROLLED_BACK);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	gateway_expect_order(g);
	assert_string_equal(g->last_started, NEW_B);
	make_room(g);
}

/* What a crash leaves in the middle is undone on a full disk as well. */
static void test_recovery_needs_no_room(void **state)
{
	struct gateway *g = gateway_of(state);
	_cleanup_(state_closep) struct state *s = NULL;
	struct version from = gateway_version(NEW_B), to = gateway_version(NEXT_B),
		       before = gateway_version(OLD_B);
	_cleanup_close_ int space_fd = gateway_open(g, "b", O_RDONLY | O_DIRECTORY);
	struct result r = { .program = 'B',
			    .kind = RESULT_KIND_UPGRADE,
			    .from = NEW_B,
			    .to = NEXT_B,
			    .step = STEP_SWAP };

	assert_int_equal(txid_new(r.txid), 0);
	assert_int_equal(mkdirat(space_fd, "releases/" NEXT_B, 0755), 0);
	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(journal_set(s->journal, RECORD_BEFORE_PREVIOUS, OLD_B), 0);
	assert_int_equal(swap_prepare(space_fd, &to, &from, &before), 0);
	assert_int_equal(swap_previous(space_fd), 0);
	assert_int_equal(record_durably(s->journal, JOURNAL_TRIAL, &r), 0);
	assert_int_equal(swap_current(space_fd), 0);
	fill_to_the_brim(g);
	assert_int_equal(recover(s, gateway_service(g), true), 0);
	gateway_expect_links(g, 'B', NEW_B, OLD_B);
	gateway_expect_order(g);
	expect_found(g, r.txid, "\"outcome\":\"rolled_back\"");
	make_room(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(test_litter_makes_room),
		TEST(test_the_older_release_makes_room),
		TEST(test_what_no_pruning_helps_is_said),
		TEST(test_a_person_goes_back_on_a_full_disk),
		TEST(test_a_result_waits_in_the_journal),
		TEST(test_the_swap_needs_no_room),
		TEST(test_the_way_back_needs_no_room),
		TEST(test_recovery_needs_no_room),
	};
	int failed;

	if (make_disk())
		(void)setenv("GATEWAY_DIR", mount_point, 1);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	drop_disk();
	return failed;
}
