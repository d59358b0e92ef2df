/* SPDX-License-Identifier: Apache-2.0 */
#include "common/reltar.h"

#include "scratch.h"

#define NAME_99                                                                                    \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
	"nnnnnnnnnnn"
#define DIR_50	  "dddddddddddddddddddddddddddddddddddddddddddddddddd"
#define ANY_BYTES UINT64_MAX

/* ---- a release and its tar ---- */

struct tar {
	uint8_t *bytes;
	size_t size;
};

static void tar_done(struct tar *t)
{
	free(t->bytes);
}
#define _cleanup_tar_ _cleanup_(tar_done)

static void describe(int dirfd)
{
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	_cleanup_free_ char *bytes = NULL, *why = NULL;
	struct version version;
	size_t size;

	assert_int_equal(version_parse("B202109010001", &version), 0);
	if (manifest_from_tree(dirfd, &version, "amd64", &m, &why) < 0)
		fail_msg("refused: %s", why);
	assert_int_equal(manifest_format(m, &bytes, &size), 0);
	scratch_write(dirfd, MANIFEST_NAME, bytes, size, 0644);
}

static int make_release(int parent)
{
	int dirfd = scratch_dir(parent, "release");
	char block[1024];

	for (size_t i = 0; i < sizeof block; i++)
		block[i] = (char)(i * 37 + 1);
	scratch_write(dirfd, "bin/bmsd", block, 1000, 0755);
	scratch_text(dirfd, "empty", "", 0644);
	scratch_write(dirfd, "lib/exact", block, 512, 0644);
	scratch_text(dirfd, "lib/more/one", "1", 0755);
	describe(dirfd);
	return dirfd;
}

static struct tar read_view(struct reltar_view *v)
{
	struct tar t = { .size = (size_t)reltar_view_size(v) };

	t.bytes = malloc(t.size + 1);
	assert_non_null(t.bytes);
	assert_int_equal(reltar_view_pread(v, t.bytes, t.size + 1, 0), t.size);
	return t;
}

static struct tar make_tar(int dirfd)
{
	_cleanup_(reltar_view_closep) struct reltar_view *v = NULL;

	assert_int_equal(reltar_view_open(dirfd, &v), 0);
	return read_view(v);
}

/* ---- the view ---- */

static void test_layout(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_tar_ struct tar t = make_tar(dirfd);
	static const uint8_t end[1024];

	/* release.json is under 1024 bytes here; then 1000, 0, 512 and 1 bytes */
	assert_int_equal(t.size, 512 + 1024 + 512 + 1024 + 512 + 512 + 512 + 512 + 512 + 1024);
	assert_string_equal(t.bytes, MANIFEST_NAME);
	assert_string_equal(t.bytes + 1536, "bin/bmsd");
	assert_string_equal(t.bytes + 1536 + 100, "0000755");
	assert_string_equal(t.bytes + 1536 + 108, "0000000");
	assert_string_equal(t.bytes + 1536 + 124, "00000001750");
	assert_string_equal(t.bytes + 1536 + 136, "00000000000");
	assert_memory_equal(t.bytes + 1536 + 156, "0", 2);
	assert_memory_equal(t.bytes + 1536 + 257, "ustar\00000", 9);
	assert_string_equal(t.bytes + 3072, "empty");
	assert_string_equal(t.bytes + 3584, "lib/exact");
	assert_memory_equal(t.bytes + t.size - 1024, end, 1024);
}

/* GNU tar, told to be deterministic, makes the same bytes: we did not invent a format. */
static void test_same_bytes_as_tar(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = scratch_dir(s->dirfd, "release");
	_cleanup_free_ char *theirs = NULL;
	char command[512];
	struct tar ours;
	size_t size;

	scratch_text(dirfd, "bin/bmsd", "#!/bin/sh\n", 0755);
	scratch_text(dirfd, DIR_50 "/" DIR_50 "/x/" NAME_99, "long", 0644);
	describe(dirfd);
	(void)snprintf(
		command, sizeof command,
		"cd %s/release && tar --format=ustar --blocking-factor=1 --owner=0 --group=0"
		" --numeric-owner --mtime=@0 -cf ../theirs.tar release.json bin/bmsd %s/%s/x/%s",
		s->path, DIR_50, DIR_50, NAME_99);
	assert_int_equal(system(command), 0); /* NOLINT: a fixed command in a test */
	assert_int_equal(fs_read_file(s->dirfd, "theirs.tar", 1u << 20, &theirs, &size), 0);
	ours = make_tar(dirfd);
	assert_int_equal(ours.size, size);
	assert_memory_equal(ours.bytes, theirs, size);
	tar_done(&ours);
}

static void test_any_byte_by_pread(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_(reltar_view_closep) struct reltar_view *v = NULL;
	static const size_t sizes[] = { 1, 3, 511, 512, 513, 2000 };
	_cleanup_tar_ struct tar t = make_tar(dirfd);
	uint8_t piece[2000];

	assert_int_equal(reltar_view_open(dirfd, &v), 0);
	assert_int_equal(reltar_view_size(v), t.size);
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		for (size_t at = 0; at <= t.size; at++) {
			size_t expected = t.size - at < sizes[i] ? t.size - at : sizes[i];

			if (reltar_view_pread(v, piece, sizes[i], at) != (ssize_t)expected ||
			    memcmp(piece, t.bytes + at, expected) != 0)
				fail_msg("%zu bytes at %zu", sizes[i], at);
		}
	}
	assert_int_equal(reltar_view_pread(v, piece, 1, t.size + 1), 0);
	assert_int_equal(reltar_view_pread(v, piece, 1, UINT64_MAX), 0);
}

static void test_hash_and_reader(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_(reltar_view_closep) struct reltar_view *v = NULL;
	_cleanup_tar_ struct tar t = make_tar(dirfd);
	uint8_t of_view[SHA256_BYTES], of_bytes[SHA256_BYTES], piece[700];
	struct reltar_reader reader = { 0 };
	size_t at = 0;
	ssize_t n;

	assert_int_equal(reltar_view_open(dirfd, &v), 0);
	assert_int_equal(reltar_view_sha256(v, of_view), 0);
	assert_int_equal(digest_sha256(t.bytes, t.size, of_bytes), 0);
	assert_memory_equal(of_view, of_bytes, SHA256_BYTES);
	assert_string_equal(reltar_view_manifest(v)->version.text, "B202109010001");
	reader.view = v;
	while ((n = reltar_reader_read(&reader, piece, sizeof piece)) > 0) {
		assert_memory_equal(piece, t.bytes + at, (size_t)n);
		at += (size_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(at, t.size);
}

/* On disk a release is read-only; in the tar its modes are the published ones. */
static void test_modes_come_from_the_manifest(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_tar_ struct tar before = make_tar(dirfd), after = { 0 };

	assert_int_equal(fchmodat(dirfd, "bin/bmsd", 0555, 0), 0);
	assert_int_equal(fchmodat(dirfd, MANIFEST_NAME, 0444, 0), 0);
	after = make_tar(dirfd);
	assert_memory_equal(before.bytes, after.bytes, before.size);
}

static void view_unclean(int dirfd)
{
	_cleanup_(reltar_view_closep) struct reltar_view *v = NULL;
	uint8_t hash[SHA256_BYTES];

	assert_int_equal(reltar_view_open(dirfd, &v), 0);
	assert_int_equal(reltar_view_sha256(v, hash), -EUCLEAN);
}

static void test_view_of_a_damaged_release(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_(reltar_view_closep) struct reltar_view *v = NULL;

	scratch_text(dirfd, "lib/more/one", "", 0755);
	view_unclean(dirfd);
	scratch_text(dirfd, "lib/more/one", "12", 0755);
	view_unclean(dirfd);
	assert_int_equal(unlinkat(dirfd, "lib/more/one", 0), 0);
	view_unclean(dirfd);
	assert_int_equal(symlinkat("../exact", dirfd, "lib/more/one"), 0);
	view_unclean(dirfd);
	assert_int_equal(unlinkat(dirfd, "lib/more/one", 0), 0);
	assert_int_equal(mkfifoat(dirfd, "lib/more/one", 0644), 0);
	view_unclean(dirfd);
	assert_int_equal(unlinkat(dirfd, MANIFEST_NAME, 0), 0);
	assert_int_equal(reltar_view_open(dirfd, &v), -ENOENT);
	assert_null(v);
}

static void test_file_that_shrinks_while_read(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_(reltar_view_closep) struct reltar_view *v = NULL;
	_cleanup_close_ int fd = openat(dirfd, "bin/bmsd", O_RDWR | O_CLOEXEC);
	uint8_t piece[100];

	assert_int_equal(reltar_view_open(dirfd, &v), 0);
	assert_int_equal(reltar_view_pread(v, piece, 100, 2048), 100);
	assert_int_equal(ftruncate(fd, 150), 0);
	assert_int_equal(reltar_view_pread(v, piece, 100, 2048), 100);
	assert_int_equal(reltar_view_pread(v, piece, 100, 2148), -EUCLEAN);
}

static void test_view_wants_the_canonical_manifest(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_(reltar_view_closep) struct reltar_view *v = NULL;
	_cleanup_free_ char *json = NULL;
	size_t size;

	assert_int_equal(fs_read_file(dirfd, MANIFEST_NAME, 1u << 20, &json, &size), 0);
	json[size - 1] = ' '; /* the same JSON, other bytes */
	scratch_write(dirfd, MANIFEST_NAME, json, size, 0644);
	assert_int_equal(reltar_view_open(dirfd, &v), -EUCLEAN);
	assert_null(v);
}

/* ---- unpacking ---- */

struct unpacked {
	int dirfd;
	int error;
	enum reltar_fault fault;
	uint8_t sha256[SHA256_BYTES];
	uint64_t size;
};

/* Into a new directory, piece by piece; the result of the first call that failed. */
static struct unpacked unpack_in(int dirfd, const struct tar *t, size_t piece, uint64_t max_bytes)
{
	_cleanup_(reltar_unpack_freep) struct reltar_unpack *u = NULL;
	struct unpacked result = { .dirfd = dirfd };
	const struct manifest *m = NULL;

	assert_int_equal(reltar_unpack_new(dirfd, max_bytes, &u), 0);
	for (size_t at = 0; at < t->size && result.error == 0; at += piece) {
		size_t n = t->size - at < piece ? t->size - at : piece;

		result.error = reltar_unpack_write(u, t->bytes + at, n);
	}
	if (result.error == 0) {
		result.error = reltar_unpack_finish(u, result.sha256, &result.size, &m);
		if (result.error == 0)
			assert_int_equal(m->n_files > 0, 1);
	} else {
		/* An attempt that failed stays failed. */
		assert_int_equal(reltar_unpack_write(u, "", 1), result.error);
		assert_int_equal(reltar_unpack_finish(u, result.sha256, &result.size, &m),
				 result.error);
	}
	result.fault = reltar_unpack_fault(u);
	assert_int_equal(result.fault != RELTAR_OK, result.error == -EBADMSG);
	return result;
}

static struct unpacked unpack(int parent, const struct tar *t, size_t piece, uint64_t max_bytes)
{
	assert_int_equal(fs_remove_tree(parent, "out"), 0);
	return unpack_in(scratch_dir(parent, "out"), t, piece, max_bytes);
}

static void test_what_goes_in_comes_out(void **state)
{
	const struct scratch *s = *state;
	static const size_t pieces[] = { 1, 7, 511, 512, 513, 100000 };
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_tar_ struct tar t = make_tar(dirfd);
	uint8_t hash[SHA256_BYTES];

	assert_int_equal(digest_sha256(t.bytes, t.size, hash), 0);
	for (size_t i = 0; i < ELEMENTSOF(pieces); i++) {
		struct unpacked out = unpack(s->dirfd, &t, pieces[i], t.size);
		_cleanup_close_ int out_fd = out.dirfd;
		_cleanup_(reltar_view_closep) struct reltar_view *v = NULL;
		_cleanup_tar_ struct tar again = { 0 };

		assert_int_equal(out.error, 0);
		assert_int_equal(out.size, t.size);
		assert_memory_equal(out.sha256, hash, SHA256_BYTES);
		assert_int_equal(reltar_view_open(out_fd, &v), 0);
		assert_int_equal(manifest_check_tree(reltar_view_manifest(v), out_fd, NULL), 0);
		again = read_view(v);
		assert_int_equal(again.size, t.size);
		assert_memory_equal(again.bytes, t.bytes, t.size);
	}
}

static mode_t mode_of(int dirfd, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

static void test_modes_on_disk(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_tar_ struct tar t = make_tar(dirfd);
	mode_t saved = umask(0077);
	struct unpacked out = unpack(s->dirfd, &t, 1000, ANY_BYTES);

	umask(saved);
	assert_int_equal(out.error, 0);
	assert_int_equal(mode_of(out.dirfd, "bin/bmsd"), 0555);
	assert_int_equal(mode_of(out.dirfd, "empty"), 0444);
	assert_int_equal(mode_of(out.dirfd, "lib/more/one"), 0555);
	assert_int_equal(mode_of(out.dirfd, MANIFEST_NAME), 0444);
	assert_int_equal(mode_of(out.dirfd, "bin"), 0755);
	assert_int_equal(mode_of(out.dirfd, "lib"), 0755);
	assert_int_equal(mode_of(out.dirfd, "lib/more"), 0755);
	(void)close(out.dirfd);
}

static void test_long_paths(void **state)
{
	static const char *const paths[] = {
		NAME_99 "x",				     /* 100: fits the name */
		"d/" NAME_99,				     /* 101: has to be cut */
		DIR_50 "/" DIR_50 "/" DIR_50 "/dd/" NAME_99, /* 255: a prefix of 155 */
		NAME_99 "/" DIR_50 "/x/" DIR_50,	     /* cut at the last slash that may be */
	};
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = scratch_dir(s->dirfd, "release");
	_cleanup_tar_ struct tar t = { 0 };
	struct unpacked out;

	for (size_t i = 0; i < ELEMENTSOF(paths); i++)
		scratch_text(dirfd, paths[i], paths[i], 0644);
	describe(dirfd);
	t = make_tar(dirfd);
	out = unpack(s->dirfd, &t, 4096, ANY_BYTES);
	assert_int_equal(out.error, 0);
	for (size_t i = 0; i < ELEMENTSOF(paths); i++)
		assert_int_equal(mode_of(out.dirfd, paths[i]), 0444);
	(void)close(out.dirfd);
}

static void test_every_truncation_is_refused(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_tar_ struct tar t = make_tar(dirfd);

	for (size_t cut = 0; cut < t.size; cut += cut % 512 == 0 ? 1 : 511) {
		struct tar part = { t.bytes, cut };
		struct unpacked out = unpack(s->dirfd, &part, 100000, ANY_BYTES);

		(void)close(out.dirfd);
		assert_int_equal(out.error, -EBADMSG);
		assert_int_equal(out.fault, RELTAR_FAULT_MALFORMED);
	}
}

/* ---- hostile tars, made from a good one ---- */

static void fix_checksum(uint8_t *header)
{
	unsigned sum = 0;
	char digits[8];

	memset(header + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += header[i];
	(void)snprintf(digits, sizeof digits, "%06o", sum & 0777777u);
	memcpy(header + 148, digits, 7);
}

static void put(struct tar *t, size_t header, size_t offset, const void *bytes, size_t size)
{
	memcpy(t->bytes + header + offset, bytes, size);
	fix_checksum(t->bytes + header);
}

/* In the tar of make_release(). */
#define HEADER_BMSD  1536u
#define CONTENT_BMSD 2048u
#define HEADER_EMPTY 3072u
#define HEADER_EXACT 3584u
#define HEADER_ONE   4608u

static void expect(int parent, const struct tar *t, enum reltar_fault fault)
{
	struct unpacked out = unpack(parent, t, 512, ANY_BYTES);

	(void)close(out.dirfd);
	if (out.fault != fault)
		fail_msg("%s, not %s", reltar_fault_name(out.fault), reltar_fault_name(fault));
}

static void spoil(int parent, size_t header, size_t offset, const char *bytes, size_t size,
		  enum reltar_fault fault)
{
	_cleanup_close_ int dirfd = openat(parent, "release", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_tar_ struct tar t = make_tar(dirfd);

	put(&t, header, offset, bytes, size);
	expect(parent, &t, fault);
}

static void spoil_name(int parent, const char *name, enum reltar_fault fault)
{
	char field[100] = "";

	memcpy(field, name, strlen(name));
	spoil(parent, HEADER_BMSD, 0, field, sizeof field, fault);
}

static void test_paths_that_escape(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	char outside[256];

	spoil_name(s->dirfd, "/etc/passwd", RELTAR_FAULT_ESCAPE);
	spoil_name(s->dirfd, "../escaped", RELTAR_FAULT_ESCAPE);
	spoil_name(s->dirfd, "bin/../../escaped", RELTAR_FAULT_ESCAPE);
	spoil_name(s->dirfd, "bin/..", RELTAR_FAULT_ESCAPE);
	spoil_name(s->dirfd, "..", RELTAR_FAULT_ESCAPE);
	spoil_name(s->dirfd, "bin//bmsd", RELTAR_FAULT_ESCAPE);
	spoil_name(s->dirfd, "bin/bmsd/", RELTAR_FAULT_ESCAPE);
	spoil_name(s->dirfd, "", RELTAR_FAULT_ESCAPE);
	/* By way of the prefix */
	spoil(s->dirfd, HEADER_BMSD, 345, "..", 2, RELTAR_FAULT_ESCAPE);
	spoil(s->dirfd, HEADER_BMSD, 345, "/etc", 4, RELTAR_FAULT_ESCAPE);
	/* 155 + 1 + 100 bytes */
	{
		_cleanup_tar_ struct tar t = make_tar(dirfd);

		memset(t.bytes + HEADER_BMSD, 'n', 100);
		memset(t.bytes + HEADER_BMSD + 345, 'p', 155);
		fix_checksum(t.bytes + HEADER_BMSD);
		expect(s->dirfd, &t, RELTAR_FAULT_ESCAPE);
	}
	(void)snprintf(outside, sizeof outside, "%s/escaped", s->path);
	assert_int_equal(access(outside, F_OK), -1);
	/* Unwelcome, but not an attack */
	spoil_name(s->dirfd, "./bin/bmsd", RELTAR_FAULT_MALFORMED);
	spoil_name(s->dirfd, "bin/b msd", RELTAR_FAULT_MALFORMED);
}

static void test_types(void **state)
{
	static const char special[] = "34567xgLKSVDZ";
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);

	spoil(s->dirfd, HEADER_BMSD, 156, "1", 1, RELTAR_FAULT_LINK);
	spoil(s->dirfd, HEADER_BMSD, 156, "2", 1, RELTAR_FAULT_LINK);
	for (const char *p = special; *p; p++)
		spoil(s->dirfd, HEADER_BMSD, 156, p, 1, RELTAR_FAULT_SPECIAL);
	spoil(s->dirfd, HEADER_BMSD, 156, "\0", 1, RELTAR_FAULT_MALFORMED);
	{
		_cleanup_tar_ struct tar t = make_tar(dirfd);

		/* As tar(1) writes a directory, at the very start too */
		put(&t, 0, 0, "release/\0json", 13);
		put(&t, 0, 156, "5", 1);
		expect(s->dirfd, &t, RELTAR_FAULT_SPECIAL);
	}
}

static void test_modes(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);

	(void)dirfd;
	spoil(s->dirfd, HEADER_BMSD, 100, "0004755", 8, RELTAR_FAULT_SETID);
	spoil(s->dirfd, HEADER_BMSD, 100, "0002755", 8, RELTAR_FAULT_SETID);
	spoil(s->dirfd, HEADER_BMSD, 100, "0001755", 8, RELTAR_FAULT_SETID);
	spoil(s->dirfd, HEADER_BMSD, 100, "004755 ", 8, RELTAR_FAULT_SETID);
	spoil(s->dirfd, HEADER_BMSD, 100, "0000777", 8, RELTAR_FAULT_CONTENT);
	spoil(s->dirfd, HEADER_BMSD, 100, "0000644", 8, RELTAR_FAULT_CONTENT);
	spoil(s->dirfd, HEADER_BMSD, 100, "0100755", 8, RELTAR_FAULT_CONTENT);
	spoil(s->dirfd, HEADER_BMSD, 100, "000755 ", 8, RELTAR_FAULT_MALFORMED);
	spoil(s->dirfd, HEADER_BMSD, 100, "       ", 8, RELTAR_FAULT_MALFORMED);
	spoil(s->dirfd, HEADER_BMSD, 100, "\x80\0\0\0\0\0\1\355", 8, RELTAR_FAULT_MALFORMED);
	spoil(s->dirfd, 0, 100, "0000755", 8, RELTAR_FAULT_MALFORMED);
}

static void test_other_fields(void **state)
{
	static const size_t offsets[] = {
		108 + 6, 116 + 6, 136 + 10, 157,     257, 262, 263,
		265,	 297,	  329 + 6,  337 + 6, 500, 511,
	};
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_tar_ struct tar t = make_tar(dirfd);

	for (size_t i = 0; i < ELEMENTSOF(offsets); i++)
		spoil(s->dirfd, HEADER_BMSD, offsets[i], "1", 1, RELTAR_FAULT_MALFORMED);
	t.bytes[HEADER_BMSD + 148] ^= 1;
	expect(s->dirfd, &t, RELTAR_FAULT_MALFORMED);
	t.bytes[HEADER_BMSD + 148] ^= 1;
	/* A name spoiled by the line is no attack: the checksum tells. */
	t.bytes[HEADER_BMSD] = '/';
	expect(s->dirfd, &t, RELTAR_FAULT_MALFORMED);
	spoil(s->dirfd, HEADER_BMSD, 124, "0000000175 ", 12, RELTAR_FAULT_MALFORMED);
	spoil(s->dirfd, HEADER_BMSD, 124, "\x80\0\0\0\0\0\0\0\0\0\3\350", 12,
	      RELTAR_FAULT_MALFORMED);
}

/* Header by header, every single bit: never accepted, never a crash. */
static void test_every_flipped_header_bit(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_tar_ struct tar t = make_tar(dirfd);

	for (size_t bit = 0; bit < 512 * 8; bit++) {
		struct tar head = { t.bytes, HEADER_EMPTY };
		struct unpacked out;

		t.bytes[HEADER_BMSD + bit / 8] ^= (uint8_t)(1u << bit % 8);
		fix_checksum(t.bytes + HEADER_BMSD);
		if (bit / 8 >= 148 && bit / 8 < 156)
			t.bytes[HEADER_BMSD + bit / 8] ^= (uint8_t)(1u << bit % 8);
		out = unpack(s->dirfd, &head, 4096, ANY_BYTES);
		(void)close(out.dirfd);
		assert_int_equal(out.error, -EBADMSG);
		t.bytes[HEADER_BMSD + bit / 8] ^= (uint8_t)(1u << bit % 8);
		fix_checksum(t.bytes + HEADER_BMSD);
	}
	expect(s->dirfd, &t, RELTAR_OK);
}

static void test_other_content(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_tar_ struct tar t = make_tar(dirfd);

	t.bytes[CONTENT_BMSD + 999] ^= 1;
	expect(s->dirfd, &t, RELTAR_FAULT_CONTENT);
	t.bytes[CONTENT_BMSD + 999] ^= 1;
	t.bytes[CONTENT_BMSD + 1000] = 1;
	expect(s->dirfd, &t, RELTAR_FAULT_MALFORMED);
	t.bytes[CONTENT_BMSD + 1000] = 0;
	t.bytes[512 + 20] ^= 1;
	expect(s->dirfd, &t, RELTAR_FAULT_MALFORMED);
	t.bytes[512 + 20] ^= 1;
	expect(s->dirfd, &t, RELTAR_OK);
	spoil(s->dirfd, HEADER_BMSD, 124, "00000001747", 12, RELTAR_FAULT_CONTENT);
	/* Known from the header alone: not a byte of it is written. */
	put(&t, HEADER_BMSD, 124, "00000001747", 12);
	expect(s->dirfd, &(struct tar){ t.bytes, CONTENT_BMSD }, RELTAR_FAULT_CONTENT);
	spoil_name(s->dirfd, "bin/other", RELTAR_FAULT_CONTENT);
	spoil_name(s->dirfd, MANIFEST_NAME, RELTAR_FAULT_MALFORMED);
}

/* The good tar, put together from parts of itself: each part is a range of its bytes. */
static struct tar put_together(const struct tar *t, const size_t (*parts)[2], size_t n)
{
	struct tar made = { .bytes = malloc(4 * t->size) };

	assert_non_null(made.bytes);
	for (size_t i = 0; i < n; i++) {
		memcpy(made.bytes + made.size, t->bytes + parts[i][0], parts[i][1] - parts[i][0]);
		made.size += parts[i][1] - parts[i][0];
	}
	return made;
}

static void expect_spliced(int parent, const struct tar *t, const size_t (*parts)[2], size_t n,
			   enum reltar_fault fault)
{
	_cleanup_tar_ struct tar made = put_together(t, parts, n);

	expect(parent, &made, fault);
}
#define EXPECT_SPLICED(parent, t, fault, ...)                                                      \
	do {                                                                                       \
		const size_t parts_[][2] = { __VA_ARGS__ };                                        \
		expect_spliced(parent, t, parts_, ELEMENTSOF(parts_), fault);                      \
	} while (0)

static void test_order_and_number(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_tar_ struct tar t = make_tar(dirfd);
	const size_t end = t.size - 1024;

	/* Without release.json, and without anything */
	EXPECT_SPLICED(s->dirfd, &t, RELTAR_FAULT_MALFORMED, { HEADER_BMSD, t.size });
	EXPECT_SPLICED(s->dirfd, &t, RELTAR_FAULT_MALFORMED, { end, t.size });
	/* A file missing, first, in the middle, last */
	EXPECT_SPLICED(s->dirfd, &t, RELTAR_FAULT_CONTENT, { 0, HEADER_BMSD },
		       { HEADER_EMPTY, t.size });
	EXPECT_SPLICED(s->dirfd, &t, RELTAR_FAULT_CONTENT, { 0, HEADER_EMPTY },
		       { HEADER_EXACT, t.size });
	EXPECT_SPLICED(s->dirfd, &t, RELTAR_FAULT_CONTENT, { 0, HEADER_ONE }, { end, t.size });
	EXPECT_SPLICED(s->dirfd, &t, RELTAR_FAULT_CONTENT, { 0, HEADER_BMSD }, { end, t.size });
	/* One twice */
	EXPECT_SPLICED(s->dirfd, &t, RELTAR_FAULT_MALFORMED, { 0, HEADER_EMPTY },
		       { HEADER_BMSD, t.size });
	EXPECT_SPLICED(s->dirfd, &t, RELTAR_FAULT_MALFORMED, { 0, end }, { HEADER_ONE, t.size });
	EXPECT_SPLICED(s->dirfd, &t, RELTAR_FAULT_MALFORMED, { 0, HEADER_BMSD }, { 0, t.size });
	/* One block of zeros, three of them, or something after two */
	EXPECT_SPLICED(s->dirfd, &t, RELTAR_FAULT_MALFORMED, { 0, end + 512 }, { 0, 512 });
	EXPECT_SPLICED(s->dirfd, &t, RELTAR_FAULT_MALFORMED, { 0, t.size }, { end, end + 1 });
	EXPECT_SPLICED(s->dirfd, &t, RELTAR_FAULT_MALFORMED, { 0, t.size }, { 0, t.size });
	EXPECT_SPLICED(s->dirfd, &t, RELTAR_OK, { 0, t.size });
}

static void test_limits(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_tar_ struct tar t = make_tar(dirfd);

	for (size_t max = 0; max < t.size; max += 100) {
		struct unpacked out = unpack(s->dirfd, &t, 512, max);

		(void)close(out.dirfd);
		assert_int_equal(out.fault, RELTAR_FAULT_TOO_BIG);
	}
	put(&t, 0, 124, "00010000001", 12); /* a release.json of 2 MiB and one byte */
	expect(s->dirfd, &t, RELTAR_FAULT_TOO_BIG);
}

/* The directory is ours alone, but if it were not: nothing is overwritten and no link followed. */
static void test_does_not_overwrite_or_follow(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int dirfd = make_release(s->dirfd);
	_cleanup_close_ int out = scratch_dir(s->dirfd, "out");
	_cleanup_close_ int target = scratch_dir(s->dirfd, "target");
	_cleanup_tar_ struct tar t = make_tar(dirfd);

	scratch_text(out, "empty", "", 0644);
	assert_int_equal(unpack_in(out, &t, 512, ANY_BYTES).error, -EEXIST);
	assert_int_equal(fs_remove_tree(s->dirfd, "out/empty"), 0);
	assert_int_equal(fs_remove_tree(s->dirfd, "out/bin"), 0);
	assert_int_equal(fs_remove_tree(s->dirfd, "out/" MANIFEST_NAME), 0);
	assert_int_equal(symlinkat("../target", out, "bin"), 0);
	assert_true(unpack_in(out, &t, 512, ANY_BYTES).error < 0);
	assert_int_equal(faccessat(target, "bmsd", F_OK, 0), -1);
}

static void test_empty_writes(void **state)
{
	const struct scratch *s = *state;
	_cleanup_close_ int out = scratch_dir(s->dirfd, "out");
	_cleanup_(reltar_unpack_freep) struct reltar_unpack *u = NULL;
	const struct manifest *m = NULL;
	uint8_t hash[SHA256_BYTES];
	uint64_t size;

	assert_int_equal(reltar_unpack_new(out, ANY_BYTES, &u), 0);
	assert_int_equal(reltar_unpack_write(u, NULL, 0), 0);
	assert_int_equal(reltar_unpack_fault(u), RELTAR_OK);
	assert_int_equal(reltar_unpack_finish(u, hash, &size, &m), -EBADMSG);
	assert_int_equal(reltar_unpack_fault(u), RELTAR_FAULT_MALFORMED);
	assert_null(m);
}

static void test_faults_have_names(void **state)
{
	(void)state;
	for (int f = RELTAR_OK; f <= RELTAR_FAULT_CONTENT; f++)
		assert_string_not_equal(reltar_fault_name((enum reltar_fault)f), "unknown");
	assert_string_equal(reltar_fault_name(RELTAR_FAULT_TOO_BIG), "too-big");
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(test_layout),
		IN_SCRATCH(test_same_bytes_as_tar),
		IN_SCRATCH(test_any_byte_by_pread),
		IN_SCRATCH(test_hash_and_reader),
		IN_SCRATCH(test_modes_come_from_the_manifest),
		IN_SCRATCH(test_view_of_a_damaged_release),
		IN_SCRATCH(test_file_that_shrinks_while_read),
		IN_SCRATCH(test_view_wants_the_canonical_manifest),
		IN_SCRATCH(test_what_goes_in_comes_out),
		IN_SCRATCH(test_modes_on_disk),
		IN_SCRATCH(test_long_paths),
		IN_SCRATCH(test_every_truncation_is_refused),
		IN_SCRATCH(test_paths_that_escape),
		IN_SCRATCH(test_types),
		IN_SCRATCH(test_modes),
		IN_SCRATCH(test_other_fields),
		IN_SCRATCH(test_every_flipped_header_bit),
		IN_SCRATCH(test_other_content),
		IN_SCRATCH(test_order_and_number),
		IN_SCRATCH(test_limits),
		IN_SCRATCH(test_does_not_overwrite_or_follow),
		IN_SCRATCH(test_empty_writes),
		cmocka_unit_test(test_faults_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
