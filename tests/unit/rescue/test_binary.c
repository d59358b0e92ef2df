/* SPDX-License-Identifier: Apache-2.0 */
/* The program as it is built: static, small, and with a command line. */
#include "gateway_tree.h"

#include <elf.h>
#include <link.h>
#include <spawn.h>
#include <sys/wait.h>

#if defined __SANITIZE_ADDRESS__
#define IS_SANITIZED 1
#elif defined __has_feature
#define IS_SANITIZED __has_feature(address_sanitizer)
#else
#define IS_SANITIZED 0
#endif

#define MAX_BYTES (2u << 20)

/* …/test/unit/rescue/test_binary → …/bin/updaterd-rescue */
static const char *binary(void)
{
	static char path[512];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);

	assert_true(n > 0);
	path[n] = '\0';
	for (int i = 0; i < 4; i++)
		*strrchr(path, '/') = '\0';
	(void)strcpy(path + strlen(path), "/bin/updaterd-rescue");
	return path;
}

/* 1 if the value is among the tags of the dynamic section. */
static bool has_tag(const char *bytes, const ElfW(Phdr) * header, ElfW(Sxword) tag)
{
	const char *at = bytes + header->p_offset;

	for (size_t i = 0; i < header->p_filesz / sizeof(ElfW(Dyn)); i++) {
		ElfW(Dyn) entry;

		memcpy(&entry, at + i * sizeof entry, sizeof entry);
		if (entry.d_tag == tag)
			return true;
	}
	return false;
}

static void test_is_no_dynamic_executable(void **state)
{
	_cleanup_free_ char *bytes = NULL;
	ElfW(Ehdr) elf;
	size_t size;

	(void)state;
	if (IS_SANITIZED)
		skip();
	assert_int_equal(fs_read_file(AT_FDCWD, binary(), 8 * MAX_BYTES, &bytes, &size), 0);
	assert_true(size < MAX_BYTES);
	assert_true(size > sizeof elf);
	memcpy(&elf, bytes, sizeof elf);
	assert_memory_equal(elf.e_ident, ELFMAG, SELFMAG);
	for (size_t i = 0; i < elf.e_phnum; i++) {
		ElfW(Phdr) header;

		memcpy(&header, bytes + elf.e_phoff + i * sizeof header, sizeof header);
		assert_int_not_equal(header.p_type, PT_INTERP);
		if (header.p_type == PT_DYNAMIC)
			assert_false(has_tag(bytes, &header, DT_NEEDED));
	}
}

/* Its exit code. */
static int call(const char *first, const char *second, const char *third, const char *fourth)
{
	char *const argv[] = { strdupa("updaterd-rescue"),	strdupa(first),
			       second ? strdupa(second) : NULL, third ? strdupa(third) : NULL,
			       fourth ? strdupa(fourth) : NULL, NULL };
	char *const environment[] = { NULL };
	int status = 0;
	pid_t pid;

	assert_int_equal(posix_spawn(&pid, binary(), NULL, NULL, argv, environment), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_refuses_what_it_does_not_know(void **state)
{
	(void)state;
	assert_int_equal(call("--help", NULL, NULL, NULL), 0);
	assert_int_equal(call("--version", NULL, NULL, NULL), 0);
	assert_int_equal(call("--rollback", NULL, NULL, NULL), 2);
	assert_int_equal(call("--rollback", "", NULL, NULL), 2);
	assert_int_equal(call("--rollback", "AB", NULL, NULL), 2);
	assert_int_equal(call("--rollback", "A", "B", NULL), 2);
	assert_int_equal(call("--force", NULL, NULL, NULL), 2);
	assert_int_equal(call("--forward", NULL, NULL, NULL), 2);
	assert_int_equal(call("boot", NULL, NULL, NULL), 2);
}

static void test_does_as_the_command_line_says(void **state)
{
	struct scratch *s = *state;
	char dir[256];

	if (geteuid() != 0)
		skip();
	/* No unit, so that systemd of this machine is left alone. */
	(void)snprintf(dir, sizeof dir, "A %s/a -\nB %s/b -\n", s->path, s->path);
	scratch_text(s->dirfd, "installer/programs", dir, 0600);
	(void)snprintf(dir, sizeof dir, "--installer-dir=%s/installer", s->path);
	assert_int_equal(call(dir, NULL, NULL, NULL), 0);
	assert_string_equal(target(s, "b/current"), "releases/" B3);
	assert_int_equal(call(dir, "--rollback", "B", NULL), 0);
	assert_string_equal(target(s, "b/current"), "releases/" B2);
	assert_int_equal(call(dir, "--rollback", "C", NULL), 1);
	assert_int_equal(fs_remove_tree(s->dirfd, "a/current"), 0);
	assert_int_equal(call(dir, NULL, NULL, NULL), 0);
	assert_string_equal(target(s, "a/current"), "releases/" A2);
	assert_int_equal(fs_remove_tree(s->dirfd, "a/releases"), 0);
	assert_int_equal(call(dir, NULL, NULL, NULL), 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_no_dynamic_executable),
		cmocka_unit_test(test_refuses_what_it_does_not_know),
		cmocka_unit_test_setup_teardown(test_does_as_the_command_line_says, tree_setup,
						scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
