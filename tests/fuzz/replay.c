/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the kept inputs of one fuzz target, as a unit test. With arguments: only these files. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fuzz.h"

#define CORPUS "tests/fuzz/corpus/" FUZZ_TARGET

static int n_arguments;
static char **arguments;

/* Exactly as long as the file: reading past its end is seen by AddressSanitizer. */
static void replay_file(const char *path)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	uint8_t *bytes;
	size_t size;

	if (!f || fstat(fileno(f), &st) < 0)
		fail_msg("%s: cannot be read", path);
	size = (size_t)st.st_size;
	bytes = malloc(size ? size : 1);
	assert_non_null(bytes);
	assert_int_equal(fread(bytes, 1, size, f), size);
	(void)fclose(f);
	/* Before it is run: so that the one which ends the program is known. */
	(void)fprintf(stderr, "input %s\n", path);
	assert_int_equal(LLVMFuzzerTestOneInput(bytes, size), 0);
	free(bytes);
}

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void test_corpus(void **state)
{
	struct dirent **entries;
	int n = scandir(CORPUS, &entries, is_input, alphasort);

	(void)state;
	assert_true(n > 0);
	for (int i = 0; i < n; i++) {
		char path[4096];

		(void)snprintf(path, sizeof path, "%s/%s", CORPUS, entries[i]->d_name);
		replay_file(path);
		free(entries[i]);
	}
	free(entries);
	print_message("%d inputs of %s\n", n, CORPUS);
}

static void test_arguments(void **state)
{
	(void)state;
	for (int i = 0; i < n_arguments; i++)
		replay_file(arguments[i]);
}

/* What no corpus needs to hold. */
static void test_empty(void **state)
{
	(void)state;
	assert_int_equal(LLVMFuzzerTestOneInput((const uint8_t *)"", 0), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest corpus[] = { cmocka_unit_test(test_empty),
					     cmocka_unit_test(test_corpus) };
	const struct CMUnitTest given[] = { cmocka_unit_test(test_arguments) };

	n_arguments = argc - 1;
	arguments = argv + 1;
	return argc > 1 ? cmocka_run_group_tests(given, NULL, NULL)
			: cmocka_run_group_tests(corpus, NULL, NULL);
}
