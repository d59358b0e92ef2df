/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/stage.h"

#include "gateway.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/wait.h>

#include "common/xz.h"

/* What its owner does to the program file meanwhile. */
static enum {
	LEAVES_IT,
	LENGTHENS_IT, /* right after its length was looked at */
	CHANGES_IT,   /* right after it was judged as a whole */
} owner;
static int owners_fd;

int __real_digest_new(struct digest **ret);
int __wrap_digest_new(struct digest **ret);
int __wrap_digest_new(struct digest **ret)
{
	if (owner == LENGTHENS_IT) {
		owner = LEAVES_IT;
		assert_int_equal(ftruncate(owners_fd, 1 << 20), 0);
	}
	return __real_digest_new(ret);
}

int __real_digest_final(struct digest *d, uint8_t ret[SHA256_BYTES]);
int __wrap_digest_final(struct digest *d, uint8_t ret[SHA256_BYTES]);
int __wrap_digest_final(struct digest *d, uint8_t ret[SHA256_BYTES])
{
	int r = __real_digest_final(d, ret);
	char byte;

	if (owner != CHANGES_IT)
		return r;
	owner = LEAVES_IT;
	assert_int_equal(pread(owners_fd, &byte, 1, 20), 1);
	byte ^= 1;
	assert_int_equal(pwrite(owners_fd, &byte, 1, 20), 1);
	return r;
}

static int setup(void **state)
{
	owner = LEAVES_IT;
	return gateway_setup(state);
}

/* ---- helpers ---- */

static struct release_target target_of(struct gateway *g, const char *version)
{
	struct release_target t = { .version = gateway_version(version) };
	_cleanup_close_ int fd = open(gateway_make_tree(g, version), O_RDONLY | O_CLOEXEC);
	_cleanup_(reltar_view_closep) struct reltar_view *view = NULL;
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	bytes = gateway_pack(g, version, &size);
	assert_int_equal(reltar_view_open(fd, &view), 0);
	assert_int_equal(reltar_view_sha256(view, t.tar_sha256), 0);
	t.tar_length_bytes = reltar_view_size(view);
	t.length_bytes = size;
	assert_int_equal(digest_sha256(bytes, size, t.sha256), 0);
	scratch_write(g->scratch->dirfd, "file", bytes, size, 0644);
	return t;
}

static int unpack(struct gateway *g, const struct release_target *t, struct failure *failure)
{
	_cleanup_close_ int fd = gateway_open(g, "file", O_RDWR), stage_fd = FD_NONE;

	owners_fd = fd;
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "stage"), 0);
	stage_fd = scratch_dir(g->scratch->dirfd, "stage");
	*failure = (struct failure){ 0 };
	return stage_unpack(fd, t, stage_fd, NULL, failure);
}

static void expect_refused(struct gateway *g, const struct release_target *t, enum reason reason)
{
	struct failure failure;

	assert_true(unpack(g, t, &failure) < 0);
	if (failure.reason != reason)
		fail_msg("%s '%s', not %s", reason_name(failure.reason), failure.text,
			 reason_name(reason));
}

static int check(struct gateway *g, const uint8_t *tar_sha256, struct failure *failure)
{
	_cleanup_close_ int fd = gateway_open(g, "stage", O_RDONLY | O_DIRECTORY);

	*failure = (struct failure){ 0 };
	return stage_check(fd, tar_sha256, failure);
}

static mode_t mode_of(struct gateway *g, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(g->scratch->dirfd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

/* ---- the program file ---- */

static void test_unpacks_and_makes_readonly(void **state)
{
	struct gateway *g = *state;
	struct release_target t = target_of(g, NEW_B);
	struct failure failure;

	assert_int_equal(unpack(g, &t, &failure), 0);
	assert_int_equal(check(g, t.tar_sha256, &failure), 0);
	assert_int_equal(mode_of(g, "stage"), 0555);
	assert_int_equal(mode_of(g, "stage/bin"), 0555);
	assert_int_equal(mode_of(g, "stage/bin/program"), 0555);
	assert_int_equal(mode_of(g, "stage/share"), 0555);
	assert_int_equal(mode_of(g, "stage/share/doc"), 0555);
	assert_int_equal(mode_of(g, "stage/share/doc/readme"), 0444);
	assert_int_equal(mode_of(g, "stage/release.json"), 0444);
}

static uint64_t reported_bytes;

static void report(void *userdata, uint64_t done_bytes, uint64_t total_bytes)
{
	(void)userdata;
	assert_true(done_bytes > reported_bytes && done_bytes <= total_bytes);
	reported_bytes = done_bytes;
}

static void test_tells_how_far_it_is(void **state)
{
	const struct stage_progress progress = { .report = report };
	struct gateway *g = *state;
	struct release_target t = target_of(g, NEW_B);
	_cleanup_close_ int stage_fd = scratch_dir(g->scratch->dirfd, "stage");
	_cleanup_close_ int fd = gateway_open(g, "file", O_RDONLY);
	struct failure failure;

	reported_bytes = 0;
	assert_int_equal(stage_unpack(fd, &t, stage_fd, &progress, &failure), 0);
	assert_int_equal(reported_bytes, t.length_bytes);
}

/* Nothing that is not what was signed is even unpacked. */
static void test_refuses_another_file(void **state)
{
	struct gateway *g = *state;
	struct release_target t = target_of(g, NEW_B);
	char byte;
	int fd;

	fd = gateway_open(g, "file", O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, 30), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, 30), 1);
	expect_refused(g, &t, REASON_HASH);
	assert_int_equal(gateway_count(g, "stage"), 0);
	assert_int_equal(ftruncate(fd, (off_t)t.length_bytes - 1), 0);
	expect_refused(g, &t, REASON_LENGTH);
	assert_int_equal(ftruncate(fd, (off_t)t.length_bytes + 1), 0);
	expect_refused(g, &t, REASON_LENGTH);
	(void)close(fd);
}

static void test_notices_a_file_that_changes_meanwhile(void **state)
{
	struct gateway *g = *state;
	struct release_target t = target_of(g, NEW_B);
	struct failure failure;

	owner = CHANGES_IT;
	assert_true(unpack(g, &t, &failure) < 0);
	assert_int_equal(owner, LEAVES_IT);
}

/* A sparse file of 8 EiB would be read for years. */
static void test_reads_no_more_than_was_signed(void **state)
{
	struct gateway *g = *state;
	struct release_target t = target_of(g, NEW_B);
	struct failure failure;

	owner = LENGTHENS_IT;
	assert_int_equal(unpack(g, &t, &failure), 0);
	assert_int_equal(owner, LEAVES_IT);
}

static void test_refuses_what_is_no_file(void **state)
{
	struct gateway *g = *state;
	struct release_target t = target_of(g, NEW_B);
	_cleanup_close_ int fd = gateway_open(g, "trees", O_RDONLY | O_DIRECTORY);
	_cleanup_close_ int stage_fd = scratch_dir(g->scratch->dirfd, "stage");
	struct failure failure = { 0 };

	assert_true(stage_unpack(fd, &t, stage_fd, NULL, &failure) < 0);
	assert_int_equal(failure.reason, REASON_LENGTH);
}

/* Signed, but with other content than the same signature says. */
static void test_compares_the_tar(void **state)
{
	struct gateway *g = *state;
	struct release_target t = target_of(g, NEW_B);

	t.tar_sha256[5] ^= 1;
	expect_refused(g, &t, REASON_TAR_CONTENT);
	t = target_of(g, NEW_B);
	t.tar_length_bytes -= 512;
	expect_refused(g, &t, REASON_TAR_TOO_BIG);
	t = target_of(g, NEW_B);
	t.tar_length_bytes += 512;
	expect_refused(g, &t, REASON_TAR_CONTENT);
	t = target_of(g, NEW_B);
	t.version = gateway_version(NEXT_B);
	expect_refused(g, &t, REASON_TAR_CONTENT);
}

static void sign_bytes(struct gateway *g, struct release_target *t, const void *bytes, size_t size)
{
	t->length_bytes = size;
	assert_int_equal(digest_sha256(bytes, size, t->sha256), 0);
	scratch_write(g->scratch->dirfd, "file", bytes, size, 0644);
}

static void test_names_what_is_no_xz_or_tar(void **state)
{
	struct gateway *g = *state;
	struct release_target t = target_of(g, NEW_B);
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	sign_bytes(g, &t, "not xz at all", 13);
	expect_refused(g, &t, REASON_TAR_MALFORMED);
	bytes = gateway_pack(g, NEW_B, &size);
	sign_bytes(g, &t, bytes, size - 4);
	expect_refused(g, &t, REASON_TAR_MALFORMED);
}

struct source {
	const char *bytes;
	size_t size;
};

static ssize_t read_source(void *userdata, void *buffer, size_t size)
{
	struct source *s = userdata;

	if (size > s->size)
		size = s->size;
	memcpy(buffer, s->bytes, size);
	s->bytes += size;
	s->size -= size;
	return (ssize_t)size;
}

/* The tar of NEW_B with one byte of a header changed, signed and compressed as if it were right. */
static void expect_tar_refused(struct gateway *g, size_t offset, char byte, enum reason reason)
{
	struct release_target t = target_of(g, NEW_B);
	_cleanup_close_ int tree_fd = open(gateway_make_tree(g, NEW_B), O_RDONLY | O_CLOEXEC);
	_cleanup_(reltar_view_closep) struct reltar_view *view = NULL;
	_cleanup_free_ char *tar = malloc(t.tar_length_bytes);
	_cleanup_close_ int fd = FD_NONE;
	struct source source = { tar, t.tar_length_bytes };
	struct fd_stream stream;
	unsigned sum = 0;
	char *header;

	assert_int_equal(reltar_view_open(tree_fd, &view), 0);
	assert_int_equal(reltar_view_pread(view, tar, source.size, 0), source.size);
	tar[offset] = byte;
	header = tar + offset / 512 * 512;
	memset(header + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += (unsigned char)header[i];
	(void)snprintf(header + 148, 8, "%06o", sum);
	assert_int_equal(digest_sha256(tar, source.size, t.tar_sha256), 0);
	fd = openat(g->scratch->dirfd, "file", O_RDWR | O_TRUNC | O_CLOEXEC);
	stream = (struct fd_stream){ .fd = fd };
	assert_int_equal(xz_compress(read_source, &source, fd_stream_write, &stream, 0, 0), 0);
	assert_int_equal(digest_fd(fd, t.sha256, &t.length_bytes), 0);
	expect_refused(g, &t, reason);
}

static void test_names_the_usual_attacks(void **state)
{
	struct gateway *g = *state;
	_cleanup_close_ int fd = open(gateway_make_tree(g, NEW_B), O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t first;

	/* The header of bin/program follows release.json. */
	assert_int_equal(fstatat(fd, MANIFEST_NAME, &st, 0), 0);
	first = 512 + ((size_t)st.st_size + 511) / 512 * 512;
	expect_tar_refused(g, first + 156, '2', REASON_TAR_LINK);
	expect_tar_refused(g, first + 156, '1', REASON_TAR_LINK);
	expect_tar_refused(g, first + 156, '3', REASON_TAR_SPECIAL);
	expect_tar_refused(g, first + 103, '4', REASON_TAR_SETID);
	expect_tar_refused(g, first, '/', REASON_TAR_ESCAPE);
	expect_tar_refused(g, first, 'x', REASON_TAR_CONTENT);
}

/* ---- the last look ---- */

static void test_rereads_every_byte(void **state)
{
	struct gateway *g = *state;
	struct release_target t = target_of(g, NEW_B);
	struct failure failure;

	assert_int_equal(unpack(g, &t, &failure), 0);
	scratch_text(g->scratch->dirfd, "stage/share/doc/readme", "this is B202109010002\n", 0444);
	assert_int_equal(check(g, t.tar_sha256, &failure), -EUCLEAN);
	assert_int_equal(failure.reason, REASON_IO);
	assert_non_null(strstr(failure.text, "readme"));

	assert_int_equal(unpack(g, &t, &failure), 0);
	scratch_text(g->scratch->dirfd, "stage/more", "", 0444);
	assert_int_equal(check(g, t.tar_sha256, &failure), -EUCLEAN);
	assert_int_equal(unpack(g, &t, &failure), 0);
	t.tar_sha256[0] ^= 1;
	assert_int_equal(check(g, t.tar_sha256, &failure), -EUCLEAN);
}

static void test_copies_a_directory(void **state)
{
	struct gateway *g = *state;
	_cleanup_close_ int fd = open(gateway_make_tree(g, NEW_B), O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int stage_fd = scratch_dir(g->scratch->dirfd, "stage");
	struct release_target t = target_of(g, NEW_B);
	struct failure failure;

	assert_int_equal(stage_copy(fd, stage_fd, &failure), 0);
	assert_int_equal(stage_check(stage_fd, t.tar_sha256, &failure), 0);
	assert_int_equal(mode_of(g, "stage/share/doc"), 0555);
}

static void test_copies_no_directory_that_is_not_as_it_says(void **state)
{
	struct gateway *g = *state;
	_cleanup_close_ int fd = open(gateway_make_tree(g, NEW_B), O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int stage_fd = scratch_dir(g->scratch->dirfd, "stage");
	struct failure failure = { 0 };

	scratch_text(fd, "share/doc/readme", "this is B202109010002\n", 0644);
	assert_true(stage_copy(fd, stage_fd, &failure) < 0);
	assert_int_equal(failure.reason, REASON_TAR_CONTENT);
	assert_int_equal(unlinkat(fd, MANIFEST_NAME, 0), 0);
	assert_true(stage_copy(fd, stage_fd, &failure) < 0);
}

/* ---- patches ---- */

/* Between OLD_B and NEW_B; base/ is a tree of OLD_B. */
static struct release_target patch_of(struct gateway *g, const void *bytes, size_t size)
{
	struct release_target t = target_of(g, NEW_B), base = target_of(g, OLD_B);
	_cleanup_free_ char *made = NULL;
	char command[512];

	t.is_patch = true;
	t.from = base.version;
	t.base_length_bytes = base.tar_length_bytes;
	memcpy(t.base_sha256, base.tar_sha256, sizeof t.base_sha256);
	if (!bytes)
		bytes = made = gateway_make_patch(g, OLD_B, NEW_B, &size);
	t.length_bytes = size;
	assert_int_equal(digest_sha256(bytes, size, t.sha256), 0);
	scratch_write(g->scratch->dirfd, "file", bytes, size, 0644);
	(void)snprintf(command, sizeof command, "rm -rf %s/base && cp -a %s %s/base",
		       g->scratch->path, gateway_make_tree(g, OLD_B), g->scratch->path);
	assert_int_equal(system(command), 0);
	return t;
}

static int apply(struct gateway *g, const struct release_target *t, struct failure *failure)
{
	_cleanup_close_ int fd = gateway_open(g, "file", O_RDWR), stage_fd = FD_NONE,
			    base_fd = gateway_open(g, "base", O_RDONLY | O_DIRECTORY);

	owners_fd = fd;
	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "stage"), 0);
	stage_fd = scratch_dir(g->scratch->dirfd, "stage");
	*failure = (struct failure){ 0 };
	return stage_patch(fd, t, base_fd, stage_fd, NULL, failure);
}

static void expect_patch_refused(struct gateway *g, const struct release_target *t,
				 enum reason reason)
{
	struct failure failure;

	assert_true(apply(g, t, &failure) < 0);
	if (failure.reason != reason)
		fail_msg("%s '%s', not %s", reason_name(failure.reason), failure.text,
			 reason_name(reason));
}

static void test_applies_a_patch(void **state)
{
	struct gateway *g = *state;
	struct release_target t = patch_of(g, NULL, 0);
	struct failure failure;

	assert_int_equal(apply(g, &t, &failure), 0);
	assert_int_equal(check(g, t.tar_sha256, &failure), 0);
	assert_int_equal(mode_of(g, "stage/bin/program"), 0555);
}

static void test_a_patch_needs_its_base(void **state)
{
	struct gateway *g = *state;
	struct release_target t = patch_of(g, NULL, 0), other;

	other = t;
	other.base_sha256[0] ^= 1;
	expect_patch_refused(g, &other, REASON_BASE_DIFFERS);
	other = t;
	other.base_length_bytes++;
	expect_patch_refused(g, &other, REASON_BASE_DIFFERS);
	/* Bytes changed in their place, and a file that grew. */
	scratch_text(g->scratch->dirfd, "base/bin/program", "#!/bin/sh\necho B202108010002\n",
		     0755);
	expect_patch_refused(g, &t, REASON_DAMAGED);
	scratch_text(g->scratch->dirfd, "base/bin/program", "longer than it was, by far", 0755);
	expect_patch_refused(g, &t, REASON_DAMAGED);
	assert_int_equal(unlinkat(g->scratch->dirfd, "base/bin/program", 0), 0);
	expect_patch_refused(g, &t, REASON_DAMAGED);
}

static void test_bad_patches_fail(void **state)
{
	struct gateway *g = *state;
	struct release_target t;
	_cleanup_free_ char *bytes = NULL, *other = NULL;
	size_t size, other_size;

	/* Signed, every one of them. */
	t = patch_of(g, "no patch at all, but long enough to be one", 42);
	expect_patch_refused(g, &t, REASON_BAD_PATCH);
	bytes = gateway_make_patch(g, OLD_B, NEW_B, &size);
	for (size_t cut = 1; cut < size; cut += 7) {
		t = patch_of(g, bytes, size - cut);
		expect_patch_refused(g, &t, REASON_BAD_PATCH);
	}
	for (size_t at = 0; at < size; at++) {
		struct failure failure;

		/* The size of the dictionary, for one, may be another one. */
		bytes[at] ^= 0x10;
		t = patch_of(g, bytes, size);
		if (apply(g, &t, &failure) == 0)
			assert_int_equal(check(g, t.tar_sha256, &failure), 0);
		else
			assert_string_equal(reason_name(failure.reason), "bad-patch");
		bytes[at] ^= 0x10;
	}
	/* A sound patch, to another release. */
	other = gateway_make_patch(g, OLD_B, NEXT_B, &other_size);
	t = patch_of(g, other, other_size);
	expect_patch_refused(g, &t, REASON_BAD_PATCH);
	/* A program file that says that it is a patch. */
	free(TAKE_PTR(other));
	other = gateway_pack(g, NEW_B, &other_size);
	t = patch_of(g, other, other_size);
	expect_patch_refused(g, &t, REASON_BAD_PATCH);
}

static void test_a_patch_is_what_was_signed(void **state)
{
	struct gateway *g = *state;
	struct release_target t = patch_of(g, NULL, 0), other = t;

	other.sha256[0] ^= 1;
	expect_patch_refused(g, &other, REASON_HASH);
	other = t;
	other.length_bytes++;
	expect_patch_refused(g, &other, REASON_LENGTH);
	other = t;
	other.tar_sha256[0] ^= 1;
	expect_patch_refused(g, &other, REASON_BAD_PATCH);
	other = t;
	other.tar_length_bytes--;
	expect_patch_refused(g, &other, REASON_BAD_PATCH);
	other.tar_length_bytes += 2;
	expect_patch_refused(g, &other, REASON_BAD_PATCH);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
#define BIG_BYTES (4u << 20)

/* What does not compress, with some bytes of each 4096 changed. */
static void add_big_file(struct gateway *g, const char *version, uint8_t change)
{
	_cleanup_free_ uint8_t *bytes = malloc(BIG_BYTES);
	uint32_t x = 1;
	char name[96];

	assert_non_null(bytes);
	for (size_t i = 0; i < BIG_BYTES; i++) {
		x = x * 1664525u + 1013904223u;
		bytes[i] = (uint8_t)((x >> 24) + (i % 4096 < 8 ? change : 0));
	}
	(void)snprintf(name, sizeof name, "trees/%s/share/big", version);
	scratch_write(g->scratch->dirfd, name, bytes, BIG_BYTES, 0644);
}

static long status_kb(const char *key)
{
	char line[256];
	long kb = -1;
	FILE *f = fopen("/proc/self/status", "re");

	assert_non_null(f);
	while (kb < 0 && fgets(line, sizeof line, f))
		if (strncmp(line, key, strlen(key)) == 0)
			kb = atol(line + strlen(key));
	(void)fclose(f);
	return kb;
}

/* In a process of its own, in kB. */
static int peak_of_applying(struct gateway *g, const struct release_target *t)
{
	int status, fd;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct failure failure;
		long before_kb;

		/* Once before, so that all code is there; it is data that is measured. */
		(void)mallopt(M_MMAP_THRESHOLD, 64 << 10);
		if (apply(g, t, &failure) < 0)
			_exit(254);
		(void)malloc_trim(0);
		fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "5", 1) != 1)
			_exit(255);
		before_kb = status_kb("VmRSS:");
		if (apply(g, t, &failure) < 0)
			_exit(254);
		fd = (int)(status_kb("VmHWM:") - before_kb) / 16;
		_exit(fd < 250 ? fd : 250);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 254);
	return WEXITSTATUS(status) * 16;
}

/* Whatever the size of the releases. */
static void test_applying_takes_little_memory(void **state)
{
	struct gateway *g = *state;
	struct release_target t, base;
	_cleanup_free_ char *patch = NULL;
	char command[512];
	size_t size;
	int kb;

	add_big_file(g, NEW_B, 0);
	add_big_file(g, NEXT_B, 3);
	base = target_of(g, NEW_B);
	t = target_of(g, NEXT_B);
	t.is_patch = true;
	t.from = base.version;
	t.base_length_bytes = base.tar_length_bytes;
	memcpy(t.base_sha256, base.tar_sha256, sizeof t.base_sha256);
	patch = gateway_make_patch(g, NEW_B, NEXT_B, &size);
	assert_true(size < BIG_BYTES / 50);
	t.length_bytes = size;
	assert_int_equal(digest_sha256(patch, size, t.sha256), 0);
	scratch_write(g->scratch->dirfd, "file", patch, size, 0644);
	(void)snprintf(command, sizeof command, "cp -a %s %s/base", gateway_make_tree(g, NEW_B),
		       g->scratch->path);
	assert_int_equal(system(command), 0);
	kb = peak_of_applying(g, &t);
	print_message("applying a patch to %u bytes: %d kB at its peak\n", BIG_BYTES, kb);
	assert_true(kb <= 1024);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, gateway_teardown)
		TEST(test_unpacks_and_makes_readonly),
		TEST(test_tells_how_far_it_is),
		TEST(test_refuses_another_file),
		TEST(test_notices_a_file_that_changes_meanwhile),
		TEST(test_reads_no_more_than_was_signed),
		TEST(test_refuses_what_is_no_file),
		TEST(test_compares_the_tar),
		TEST(test_names_what_is_no_xz_or_tar),
		TEST(test_names_the_usual_attacks),
		TEST(test_rereads_every_byte),
		TEST(test_copies_a_directory),
		TEST(test_copies_no_directory_that_is_not_as_it_says),
		TEST(test_applies_a_patch),
		TEST(test_a_patch_needs_its_base),
		TEST(test_bad_patches_fail),
		TEST(test_a_patch_is_what_was_signed),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
		TEST(test_applying_takes_little_memory),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
