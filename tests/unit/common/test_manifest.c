/* SPDX-License-Identifier: Apache-2.0 */
#include "common/manifest.h"

#include "scratch.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_SHA256   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define HEAD                                                                                       \
	"{\"_type\":\"release\",\"spec_version\":1,\"program\":\"B\","                             \
	"\"version\":\"B202109010001\",\"arch\":\"amd64\",\"files\":["
#define FILE_OF(path, mode, size)                                                                  \
	"{\"path\":\"" path "\",\"mode\":\"" mode "\",\"size\":" size ",\"sha256\":\"" ABC_SHA256  \
	"\"}"
#define AND_FILE(path, mode, size) "," FILE_OF(path, mode, size)
#define TAIL			   "]}\n"

static const char good[] = HEAD FILE_OF("bin/bmsd", "0755", "3")
	AND_FILE("share/doc/a.txt", "0644", "3") AND_FILE("share/z", "0644", "8589934591") TAIL;

static struct manifest *parse(const char *text)
{
	_cleanup_free_ char *why = NULL;
	struct manifest *m = NULL;

	if (manifest_parse(text, strlen(text), &m, &why) < 0)
		fail_msg("refused: %s", why);
	return m;
}

static void refused_with(const char *text, size_t size, int error)
{
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	_cleanup_free_ char *why = NULL;
	int r = manifest_parse(text, size, &m, &why);

	if (r != error)
		fail_msg("%d, not %d: %s", r, error, text);
	assert_null(m);
	assert_non_null(why);
	assert_true(strlen(why) > 5);
	assert_int_equal(manifest_parse(text, size, &m, NULL), error);
}

static void refused(const char *text)
{
	refused_with(text, strlen(text), -EBADMSG);
}

/* The good one with one text replaced by another. */
static void refused_when(const char *from, const char *to)
{
	const char *place = strstr(good, from);
	char text[2048];

	assert_non_null(place);
	(void)snprintf(text, sizeof text, "%.*s%s%s", (int)(place - good), good, to,
		       place + strlen(from));
	refused(text);
}

static void test_reads_what_is_written(void **state)
{
	_cleanup_(manifest_freep) struct manifest *m = parse(good);
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	(void)state;
	assert_string_equal(m->version.text, "B202109010001");
	assert_int_equal(m->version.program, 'B');
	assert_string_equal(m->arch, "amd64");
	assert_int_equal(m->n_files, 3);
	assert_string_equal(m->files[0].path, "bin/bmsd");
	assert_int_equal(m->files[0].mode, 0755);
	assert_int_equal(m->files[1].mode, 0644);
	assert_int_equal(m->files[2].size_bytes, 8589934591);
	assert_int_equal(m->files[0].sha256[0], 0xba);
	assert_int_equal(manifest_format(m, &bytes, &size), 0);
	assert_int_equal(size, strlen(good));
	assert_memory_equal(bytes, good, size);
}

static void test_other_forms_are_refused(void **state)
{
	(void)state;
	refused("");
	refused("null\n");
	refused("[]\n");
	refused_when("]}\n", "]}");
	refused_when("]}\n", "]}\n\n");
	refused_when("]}\n", "],\"more\":1}\n");
	refused_when("{\"_type\"", "{ \"_type\"");
	refused_when("\"release\"", "\"other\"");
	refused_when("\"spec_version\":1", "\"spec_version\":2");
	refused_when("\"spec_version\":1", "\"spec_version\":0");
	refused_when("\"spec_version\":1,", "");
	refused_when("\"program\":\"B\"", "\"program\":\"A\"");
	refused_when("\"program\":\"B\",", "");
	refused_when("B202109010001", "B202113010001");
	refused_when("B202109010001", "C202109010001");
	refused_when("amd64", "");
	refused_when("amd64", "AMD64");
	refused_when("amd64", "-amd64");
	refused_when("amd64", "a/b");
	refused_when("amd64", "abcdefghijklmnopqrstuvwxyz0123456789");
	refused_when("\"files\":[", "\"files\":[3,");
	refused_when("\"files\":[", "\"files\":[{},");
	refused_when("\"mode\":\"0755\",\"size\":3", "\"size\":3,\"mode\":\"0755\"");
	refused(HEAD TAIL);
}

static void test_hostile_files_are_refused(void **state)
{
	(void)state;
	refused_when("bin/bmsd", "/bin/bmsd");
	refused_when("bin/bmsd", "../bmsd");
	refused_when("bin/bmsd", "bin/../../bmsd");
	refused_when("bin/bmsd", "bin//bmsd");
	refused_when("bin/bmsd", "./bmsd");
	refused_when("bin/bmsd", "bin/");
	refused_when("bin/bmsd", "");
	refused_when("bin/bmsd", "b\\u0069n/bmsd");
	refused_when("bin/bmsd", "bin/b msd");
	refused_when("bin/bmsd", MANIFEST_NAME);
	refused_when("bin/bmsd", MANIFEST_NAME "/x");
	refused_when("share/doc/a.txt", "bin/bmsd");
	refused_when("share/doc/a.txt", "bin/bmsd/x");
	refused_when("share/doc/a.txt", "a");
	refused_when("0755", "0777");
	refused_when("0755", "4755");
	refused_when("0755", "755");
	refused_when("\"size\":3", "\"size\":-3");
	refused_when("\"size\":3", "\"size\":3.0");
	refused_when("8589934591", "8589934592");
	refused_when(ABC_SHA256, "ba78");
	refused_when("ba7816bf", "BA7816BF");
	/* Fits fs_is_safe_path(), but no tar header. */
	refused_when("bin/bmsd", "a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
				 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
}

/* "a" sorts before "a-b" and that before "a/b": not only neighbours may collide. */
static void test_a_file_is_no_directory(void **state)
{
	_cleanup_(manifest_freep) struct manifest *m = parse(HEAD FILE_OF(
		"a-b", "0644", "1") AND_FILE("a/b", "0644", "1") AND_FILE("ab", "0644", "1") TAIL);

	(void)state;
	assert_int_equal(m->n_files, 3);
	refused(HEAD FILE_OF("a", "0644", "1") AND_FILE("a-b", "0644", "1")
			AND_FILE("a/b/c/d", "0644", "1") TAIL);
	refused(HEAD FILE_OF("x/a", "0644", "1") AND_FILE("x/a-b", "0644", "1")
			AND_FILE("x/a/b", "0644", "1") TAIL);
}

static char *many_files(size_t n)
{
	char *text = malloc(128 + n * 160), *at = text;

	assert_non_null(text);
	at = stpcpy(at, HEAD);
	for (size_t i = 0; i < n; i++)
		at += sprintf(
			at,
			"%s{\"path\":\"f%05zu\",\"mode\":\"0644\",\"size\":0,\"sha256\":\"%s\"}",
			i ? "," : "", i, EMPTY_SHA256);
	(void)strcpy(at, TAIL);
	return text;
}

static void test_limits(void **state)
{
	_cleanup_free_ char *most = many_files(MANIFEST_MAX_FILES);
	_cleanup_free_ char *too_many = many_files(MANIFEST_MAX_FILES + 1);
	_cleanup_free_ char *too_long = calloc(1, MANIFEST_MAX_BYTES + 1);
	_cleanup_(manifest_freep) struct manifest *m = parse(most);

	(void)state;
	assert_int_equal(m->n_files, MANIFEST_MAX_FILES);
	refused_with(too_many, strlen(too_many), -EFBIG);
	assert_non_null(too_long);
	memset(too_long, ' ', MANIFEST_MAX_BYTES + 1);
	refused_with(too_long, MANIFEST_MAX_BYTES + 1, -EFBIG);
}

static void test_format_refuses_what_parse_would(void **state)
{
	_cleanup_(manifest_freep) struct manifest *m = parse(good);
	char *bytes = NULL;
	size_t size, n = m->n_files;

	(void)state;
	m->files[1].mode = 04755;
	assert_int_equal(manifest_format(m, &bytes, &size), -EINVAL);
	m->files[1].mode = 0644;
	m->version.program = 'A';
	assert_int_equal(manifest_format(m, &bytes, &size), -EINVAL);
	m->version.program = 'B';
	m->n_files = 0;
	assert_int_equal(manifest_format(m, &bytes, &size), -EINVAL);
	m->n_files = n;
	m->files[0].path[0] = '"';
	assert_int_equal(manifest_format(m, &bytes, &size), -EINVAL);
	assert_null(bytes);
}

static void test_sums(void **state)
{
	_cleanup_(manifest_freep) struct manifest *m = parse(
		HEAD FILE_OF("a/b/c/1", "0644", "5") AND_FILE("a/b/d/1", "0644", "6")
			AND_FILE("a/x", "0644", "7") AND_FILE("ab/x", "0644", "0") TAIL);

	(void)state;
	assert_int_equal(manifest_total_bytes(m), 18);
	/* 4 files, release.json, the root, and a, a/b, a/b/c, a/b/d, ab */
	assert_int_equal(manifest_inodes(m), 11);
	assert_true(manifest_starts_directory(m, 0, 1));
	assert_false(manifest_starts_directory(m, 1, 3));
	assert_true(manifest_starts_directory(m, 1, 5));
	assert_false(manifest_starts_directory(m, 2, 1));
	assert_true(manifest_starts_directory(m, 3, 2));
}

/* ---- directories ---- */

static struct version version_of(const char *text)
{
	struct version v;

	assert_int_equal(version_parse(text, &v), 0);
	return v;
}

static struct manifest *describe(int dirfd)
{
	struct version v = version_of("B202109010001");
	_cleanup_free_ char *why = NULL;
	struct manifest *m = NULL;

	if (manifest_from_tree(dirfd, &v, "arm64", &m, &why) < 0)
		fail_msg("refused: %s", why);
	return m;
}

static void write_manifest(int dirfd, const struct manifest *m)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	assert_int_equal(manifest_format(m, &bytes, &size), 0);
	scratch_write(dirfd, MANIFEST_NAME, bytes, size, 0444);
}

/* A small release, with its release.json. */
static struct manifest *make_release(int dirfd)
{
	struct manifest *m;

	scratch_text(dirfd, "bin/bmsd", "abc", 0755);
	scratch_text(dirfd, "bin-extra", "", 0600);
	scratch_text(dirfd, "share/doc/readme", "abc", 0664);
	assert_int_equal(fchmodat(dirfd, "share/doc/readme", 0644, 0), 0);
	m = describe(dirfd);
	write_manifest(dirfd, m);
	return m;
}

static void test_describes_a_tree(void **state)
{
	const struct scratch *s = *state;
	_cleanup_(manifest_freep) struct manifest *m = make_release(s->dirfd);
	_cleanup_(manifest_freep) struct manifest *again = describe(s->dirfd);
	char hex[SHA256_HEX_LENGTH + 1];

	assert_int_equal(m->n_files, 3);
	assert_string_equal(m->arch, "arm64");
	assert_string_equal(m->files[0].path, "bin-extra");
	assert_int_equal(m->files[0].mode, 0644);
	assert_int_equal(m->files[0].size_bytes, 0);
	assert_string_equal(m->files[1].path, "bin/bmsd");
	assert_int_equal(m->files[1].mode, 0755);
	assert_string_equal(m->files[2].path, "share/doc/readme");
	hex_encode(m->files[1].sha256, SHA256_BYTES, hex);
	assert_string_equal(hex, ABC_SHA256);
	/* release.json was written in between and is not part of it. */
	assert_int_equal(again->n_files, 3);
}

static void tree_refused(int dirfd, const char *why_has)
{
	struct version v = version_of("B202109010001");
	_cleanup_free_ char *why = NULL;
	struct manifest *m = NULL;

	assert_int_equal(manifest_from_tree(dirfd, &v, "arm64", &m, &why), -EINVAL);
	assert_null(m);
	assert_non_null(why);
	if (!strstr(why, why_has))
		fail_msg("'%s' does not say '%s'", why, why_has);
}

static void test_refuses_what_is_no_file(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dir = scratch_dir(s->dirfd, "release");

	tree_refused(dir, "without files");
	scratch_text(dir, "ok", "x", 0644);
	assert_int_equal(symlinkat("ok", dir, "link"), 0);
	tree_refused(dir, "'link' is a symbolic link");
	assert_int_equal(unlinkat(dir, "link", 0), 0);
	assert_int_equal(mkfifoat(dir, "pipe", 0644), 0);
	tree_refused(dir, "'pipe' is not a regular file");
	assert_int_equal(unlinkat(dir, "pipe", 0), 0);
	assert_int_equal(mkdirat(dir, "empty", 0755), 0);
	tree_refused(dir, "'empty' is an empty directory");
	assert_int_equal(symlinkat("/etc", dir, "empty/etc"), 0);
	tree_refused(dir, "'empty/etc' is a symbolic link");
}

static void test_refuses_modes_and_names(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dir = scratch_dir(s->dirfd, "release");
	char name[120];

	scratch_text(dir, "sub/x", "x", 0644);
	assert_int_equal(fchmodat(dir, "sub/x", 04755, 0), 0);
	tree_refused(dir, "'sub/x' has a set-id or sticky bit");
	assert_int_equal(fchmodat(dir, "sub/x", 01755, 0), 0);
	tree_refused(dir, "'sub/x' has a set-id or sticky bit");
	assert_int_equal(fchmodat(dir, "sub/x", 0755, 0), 0);
	assert_int_equal(fchmodat(dir, "sub", 02755, 0), 0);
	tree_refused(dir, "'sub' has a set-id or sticky bit");
	assert_int_equal(fchmodat(dir, "sub", 0755, 0), 0);
	scratch_text(dir, "sub/with space", "x", 0644);
	tree_refused(dir, "unsafe name");
	assert_int_equal(unlinkat(dir, "sub/with space", 0), 0);
	memset(name, 'n', sizeof name);
	name[sizeof name - 1] = '\0';
	scratch_text(dir, name, "x", 0644);
	tree_refused(dir, "too long for a tar header");
}

static void test_accepts_its_own_tree(void **state)
{
	const struct scratch *s = *state;
	_cleanup_(manifest_freep) struct manifest *m = make_release(s->dirfd);
	_cleanup_free_ char *why = NULL;

	assert_int_equal(manifest_check_tree(m, s->dirfd, &why), 0);
	assert_int_equal(fchmodat(s->dirfd, "bin/bmsd", 0555, 0), 0);
	assert_int_equal(fchmodat(s->dirfd, "share/doc/readme", 0444, 0), 0);
	assert_int_equal(fchmodat(s->dirfd, "share/doc", 0555, 0), 0);
	assert_int_equal(manifest_check_tree(m, s->dirfd, &why), 0);
	assert_null(why);
}

static void unclean(const struct manifest *m, int dirfd, const char *why_has)
{
	_cleanup_free_ char *why = NULL;

	assert_int_equal(manifest_check_tree(m, dirfd, &why), -EUCLEAN);
	assert_non_null(why);
	if (!strstr(why, why_has))
		fail_msg("'%s' does not say '%s'", why, why_has);
	assert_int_equal(manifest_check_tree(m, dirfd, NULL), -EUCLEAN);
}

static void test_notices_other_content(void **state)
{
	const struct scratch *s = *state;
	_cleanup_(manifest_freep) struct manifest *m = make_release(s->dirfd);

	scratch_text(s->dirfd, "bin/bmsd", "abd", 0755);
	unclean(m, s->dirfd, "'bin/bmsd' has another content");
	scratch_text(s->dirfd, "bin/bmsd", "abcd", 0755);
	unclean(m, s->dirfd, "'bin/bmsd' has another size");
	scratch_text(s->dirfd, "bin/bmsd", "abc", 0644);
	unclean(m, s->dirfd, "'bin/bmsd' has another mode");
	scratch_text(s->dirfd, "bin/bmsd", "abc", 0755);
	scratch_text(s->dirfd, "bin-extra", "", 0755);
	unclean(m, s->dirfd, "'bin-extra' has another mode");
}

/* Which of the files that are read from now on cannot be: bit 0 is the next one. */
static unsigned lost;

int __real_digest_fd(int fd, uint8_t ret[SHA256_BYTES], uint64_t *ret_size);
int __wrap_digest_fd(int fd, uint8_t ret[SHA256_BYTES], uint64_t *ret_size);
int __wrap_digest_fd(int fd, uint8_t ret[SHA256_BYTES], uint64_t *ret_size)
{
	bool is_lost = lost & 1;

	lost >>= 1;
	return is_lost ? -EIO : __real_digest_fd(fd, ret, ret_size);
}

static void test_notices_a_bad_disk(void **state)
{
	const struct scratch *s = *state;
	_cleanup_(manifest_freep) struct manifest *m = make_release(s->dirfd);
	_cleanup_free_ char *why = NULL;

	/* The second file of each of two looks. */
	lost = 1u << 1 | 1u << 3;
	assert_int_equal(manifest_check_tree(m, s->dirfd, &why), -EUCLEAN);
	assert_int_equal(lost, 0);
	assert_non_null(strstr(why, "'bin/bmsd': Input/output error"));
	free(TAKE_PTR(why));
	/* An accident. */
	lost = 1u << 1;
	assert_int_equal(manifest_check_tree(m, s->dirfd, &why), 0);
	assert_int_equal(lost, 0);
	assert_null(why);
}

static void test_notices_other_files(void **state)
{
	const struct scratch *s = *state;
	_cleanup_(manifest_freep) struct manifest *m = make_release(s->dirfd);

	scratch_text(s->dirfd, "share/zz", "", 0644);
	unclean(m, s->dirfd, "'share/zz' is not in the manifest");
	assert_int_equal(unlinkat(s->dirfd, "share/zz", 0), 0);
	scratch_text(s->dirfd, "a", "", 0644);
	unclean(m, s->dirfd, "'a' is not in the manifest");
	assert_int_equal(unlinkat(s->dirfd, "a", 0), 0);
	assert_int_equal(mkdirat(s->dirfd, "left-over", 0755), 0);
	unclean(m, s->dirfd, "'left-over' is an empty directory");
	assert_int_equal(unlinkat(s->dirfd, "left-over", AT_REMOVEDIR), 0);
	assert_int_equal(manifest_check_tree(m, s->dirfd, NULL), 0);
	assert_int_equal(unlinkat(s->dirfd, "bin-extra", 0), 0);
	unclean(m, s->dirfd, "'bin-extra' is missing");
	scratch_text(s->dirfd, "bin-extra", "", 0644);
	assert_int_equal(unlinkat(s->dirfd, "share/doc/readme", 0), 0);
	assert_int_equal(symlinkat("../../bin/bmsd", s->dirfd, "share/doc/readme"), 0);
	unclean(m, s->dirfd, "'share/doc/readme' is a symbolic link");
}

static void test_notices_who_may_write(void **state)
{
	static const char *const paths[] = { "bin/bmsd", "bin", MANIFEST_NAME };
	static const mode_t modes[] = { 0775, 0757, 04755, 02755, 01755 };
	const struct scratch *s = *state;
	_cleanup_(manifest_freep) struct manifest *m = make_release(s->dirfd);

	for (size_t p = 0; p < ELEMENTSOF(paths); p++) {
		for (size_t i = 0; i < ELEMENTSOF(modes); i++) {
			assert_int_equal(fchmodat(s->dirfd, paths[p], modes[i], 0), 0);
			unclean(m, s->dirfd, modes[i] & 07000 ? "set-id" : "writable by others");
		}
		assert_int_equal(fchmodat(s->dirfd, paths[p], 0755, 0), 0);
		assert_int_equal(manifest_check_tree(m, s->dirfd, NULL), 0);
	}
}

static void test_notices_whose_it_is(void **state)
{
	const struct scratch *s = *state;
	_cleanup_(manifest_freep) struct manifest *m = make_release(s->dirfd);

	if (geteuid() != 0)
		skip();
	assert_int_equal(fchownat(s->dirfd, "bin/bmsd", 65534, 65534, AT_SYMLINK_NOFOLLOW), 0);
	unclean(m, s->dirfd, "'bin/bmsd' belongs to user 65534");
}

static void test_notices_another_manifest(void **state)
{
	const struct scratch *s = *state;
	_cleanup_(manifest_freep) struct manifest *m = make_release(s->dirfd);

	m->files[0].sha256[0] ^= 1;
	unclean(m, s->dirfd, "'release.json' has another content");
	m->files[0].sha256[0] ^= 1;
	scratch_text(s->dirfd, MANIFEST_NAME, "{}", 0644);
	unclean(m, s->dirfd, "'release.json' has another content");
	assert_int_equal(unlinkat(s->dirfd, MANIFEST_NAME, 0), 0);
	unclean(m, s->dirfd, MANIFEST_NAME);
	assert_int_equal(symlinkat("bin/bmsd", s->dirfd, MANIFEST_NAME), 0);
	unclean(m, s->dirfd, "'release.json' is a symbolic link");
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_what_is_written),
		cmocka_unit_test(test_other_forms_are_refused),
		cmocka_unit_test(test_hostile_files_are_refused),
		cmocka_unit_test(test_a_file_is_no_directory),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_format_refuses_what_parse_would),
		cmocka_unit_test(test_sums),
		IN_SCRATCH(test_describes_a_tree),
		IN_SCRATCH(test_refuses_what_is_no_file),
		IN_SCRATCH(test_refuses_modes_and_names),
		IN_SCRATCH(test_accepts_its_own_tree),
		IN_SCRATCH(test_notices_other_content),
		IN_SCRATCH(test_notices_a_bad_disk),
		IN_SCRATCH(test_notices_other_files),
		IN_SCRATCH(test_notices_who_may_write),
		IN_SCRATCH(test_notices_whose_it_is),
		IN_SCRATCH(test_notices_another_manifest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
