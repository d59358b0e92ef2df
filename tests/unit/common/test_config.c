/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/config.h"
#include "common/fsutil.h"

struct program {
	char *unit;
	uint64_t timeout_sec;
};

struct conf {
	char *url;
	char *file;
	char *network_type;
	uint64_t timeout_sec, any;
	bool is_verbose;
	struct program a, b;
	unsigned n_resolved;
};

static const char *const types[] = { "2g", "4g", "ethernet", NULL };

#define CONF(member)	offsetof(struct conf, member)
#define PROGRAM(member) offsetof(struct program, member)

static const struct config_key keys[] = {
	{ "server", "url", CONFIG_STRING, CONF(url), 0, 0, NULL },
	{ "server", "ca_file", CONFIG_PATH, CONF(file), 0, 0, NULL },
	{ "network", "type", CONFIG_CHOICE, CONF(network_type), 0, 0, types },
	{ "network", "timeout_sec", CONFIG_U64, CONF(timeout_sec), 1, 3600, NULL },
	{ "network", "any", CONFIG_U64, CONF(any), 0, UINT64_MAX, NULL },
	{ "log", "verbose", CONFIG_BOOL, CONF(is_verbose), 0, 0, NULL },
	{ "program *", "unit", CONFIG_STRING, PROGRAM(unit), 0, 0, NULL },
	{ "program *", "ready_timeout_sec", CONFIG_U64, PROGRAM(timeout_sec), 1, 600, NULL },
};

static char directory[64];
static char path[128];
static struct conf conf;
static char *error;

static int setup(void **state)
{
	(void)state;
	(void)snprintf(directory, sizeof directory, "/tmp/test_config.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	(void)snprintf(path, sizeof path, "%s/x.conf", directory);
	return 0;
}

static void reset(void)
{
	free(conf.url);
	free(conf.file);
	free(conf.network_type);
	free(conf.a.unit);
	free(conf.b.unit);
	memset(&conf, 0, sizeof conf);
	free(TAKE_PTR(error));
}

static int teardown(void **state)
{
	(void)state;
	reset();
	return fs_remove_tree(AT_FDCWD, directory);
}

static void *resolve(const char *section, void *userdata)
{
	assert_ptr_equal(userdata, &conf);
	conf.n_resolved++;
	if (strcmp(section, "program A") == 0)
		return &conf.a;
	return strcmp(section, "program B") == 0 ? &conf.b : NULL;
}

static int load_bytes(const char *bytes, size_t size)
{
	reset();
	assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, bytes, size, 0600), 0);
	return config_load(path, keys, ELEMENTSOF(keys), &conf, resolve, &conf, &error);
}

static int load(const char *text)
{
	return load_bytes(text, strlen(text));
}

static void assert_loads(const char *text)
{
	if (load(text) < 0)
		fail_msg("%s", error ? error : "no sentence");
	assert_null(error);
}

/* Refused with exactly this sentence after the file's name. */
static void assert_refused(const char *text, const char *sentence)
{
	if (load(text) != -EINVAL)
		fail_msg("this was accepted: %s", text);
	assert_non_null(error);
	assert_int_equal(strncmp(error, path, strlen(path)), 0);
	assert_string_equal(error + strlen(path), sentence);
}

static void test_reads_every_type(void **state)
{
	(void)state;
	assert_loads("# a comment\n"
		     "; another\n"
		     "  # an indented one\n"
		     "\n"
		     "[server]\n"
		     "url = https://example.com/a;b?c=d#e\n"
		     "ca_file=/etc/ca.pem\n"
		     "[network] ; comment\n"
		     "type = 4g ; comment\n"
		     "timeout_sec: 3600\n"
		     "any = 18446744073709551615\n"
		     "[log]\n"
		     "verbose = yes\n"
		     "[program A]\n"
		     "unit = a.service\n"
		     "[program B]\n"
		     "unit =  b b.service \t\r\n"
		     "ready_timeout_sec = 1");
	assert_string_equal(conf.url, "https://example.com/a;b?c=d#e");
	assert_string_equal(conf.file, "/etc/ca.pem");
	assert_string_equal(conf.network_type, "4g");
	assert_int_equal(conf.timeout_sec, 3600);
	assert_true(conf.any == UINT64_MAX);
	assert_true(conf.is_verbose);
	assert_string_equal(conf.a.unit, "a.service");
	assert_string_equal(conf.b.unit, "b b.service");
	assert_int_equal(conf.b.timeout_sec, 1);
}

static void test_empty_files(void **state)
{
	(void)state;
	assert_loads("");
	assert_loads("\n\n");
	assert_loads("\xef\xbb\xbf[server]\nurl = x\n");
	assert_string_equal(conf.url, "x");
}

static void test_booleans(void **state)
{
	static const char *const yes[] = { "yes", "true", "on", "1" };
	static const char *const no[] = { "no", "false", "off", "0" };
	char text[64];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
		(void)snprintf(text, sizeof text, "[log]\nverbose = %s\n", yes[i]);
		assert_loads(text);
		assert_true(conf.is_verbose);
		(void)snprintf(text, sizeof text, "[log]\nverbose = %s\n", no[i]);
		reset();
		conf.is_verbose = true;
		assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, text, strlen(text), 0600), 0);
		assert_int_equal(config_load(path, keys, ELEMENTSOF(keys), &conf, NULL, NULL, NULL),
				 0);
		assert_false(conf.is_verbose);
	}
	assert_refused("[log]\nverbose = maybe\n", ":2: [log] verbose = maybe: must be yes or no");
	assert_refused("[log]\nverbose =\n", ":2: [log] verbose = : must be yes or no");
}

static void test_defaults_are_replaced(void **state)
{
	static const char text[] = "[server]\nurl = new\nca_file =\n";

	(void)state;
	reset();
	conf.url = strdup("old");
	conf.file = strdup("/old");
	conf.network_type = strdup("kept");
	assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, text, strlen(text), 0600), 0);
	assert_int_equal(config_load(path, keys, ELEMENTSOF(keys), &conf, NULL, NULL, &error), 0);
	assert_string_equal(conf.url, "new");
	assert_null(conf.file);
	assert_string_equal(conf.network_type, "kept");
}

static void test_values_out_of_range(void **state)
{
	static const char *const bad[] = { "0",
					   "3601",
					   "-1",
					   "+1",
					   "1.5",
					   "",
					   "5s",
					   "0x10",
					   "1 0",
					   "18446744073709551617",
					   "99999999999999999999999" };
	char text[128], sentence[128];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		(void)snprintf(text, sizeof text, "\n[network]\ntimeout_sec = %s\n", bad[i]);
		(void)snprintf(sentence, sizeof sentence,
			       ":3: [network] timeout_sec = %s: must be between 1 and 3600",
			       bad[i]);
		assert_refused(text, sentence);
		assert_int_equal(conf.timeout_sec, 0);
	}
	assert_refused("[server]\nca_file = ca.pem\n",
		       ":2: [server] ca_file = ca.pem: must be an absolute path");
	assert_refused("[network]\ntype = 5g\n",
		       ":2: [network] type = 5g: must be one of 2g, 4g, ethernet");
	assert_refused("[network]\ntype =\n",
		       ":2: [network] type = : must be one of 2g, 4g, ethernet");
}

static void test_unknown_words(void **state)
{
	(void)state;
	assert_refused("[network]\ntimeout_secs = 1\n",
		       ":2: [network] timeout_secs: unknown key; did you mean timeout_sec?");
	assert_refused("[network]\ntimeout = 1\n",
		       ":2: [network] timeout: unknown key; did you mean timeout_sec?");
	assert_refused("[network]\nTIMEOUT_SEC = 1\n",
		       ":2: [network] TIMEOUT_SEC: unknown key; did you mean timeout_sec?");
	assert_refused("[program B]\nunti = x\n",
		       ":2: [program B] unti: unknown key; did you mean unit?");
	assert_refused("[network]\nurl = x\n",
		       ":2: [network] url: unknown key here; it belongs in [server]");
	assert_refused("[network]\nelephant = x\n", ":2: [network] elephant: unknown key");
	assert_refused("[network]\n= x\n", ":2: [network] : unknown key");
	assert_refused("[netwrok]\ntype = 4g\n",
		       ":1: [netwrok]: unknown section; did you mean [network]?");
	assert_refused("[elephants]\n", ":1: [elephants]: unknown section");
	assert_refused("url = x\n", ":1: url: comes before the first [section]");
}

/* A name of any length is only looked at, never put into something smaller. */
static void test_long_unknown_key(void **state)
{
	char text[1000] = "[network]\n";

	(void)state;
	memset(text + 10, 'k', 900);
	strcpy(text + 910, "=1\n");
	assert_int_equal(load(text), -EINVAL);
	assert_non_null(strstr(error, ": unknown key"));
}

static void test_given_twice(void **state)
{
	(void)state;
	assert_refused("[server]\nurl = a\nurl = b\n", ":3: [server] url: given twice");
	assert_refused("[server]\nurl = a\n[log]\n[server]\nurl = a\n",
		       ":5: [server] url: given twice");
	assert_refused("[program A]\nunit = a\n[program A]\nunit = b\n",
		       ":4: [program A] unit: given twice");
	assert_loads("[program A]\nunit = a\n[program B]\nunit = b\n");
	assert_loads("[server]\nurl = a\n[log]\n[server]\nca_file = /a\n");
}

static void test_sections_that_stand_for_many(void **state)
{
	(void)state;
	assert_refused("[program C]\nunit = c\n", ":1: [program C]: there can be no such section");
	assert_refused("[program C]\n", ":1: [program C]: there can be no such section");
	assert_refused("[program]\nunit = c\n",
		       ":1: [program]: unknown section; did you mean [program *]?");
	/* A section without keys is a section too. */
	assert_loads("[program B]\n");
	assert_int_equal(conf.n_resolved, 1);
	reset();
	assert_int_equal(config_load(path, keys, ELEMENTSOF(keys), &conf, NULL, NULL, &error),
			 -EINVAL);
	assert_non_null(strstr(error, ":1: [program B]: there can be no such section"));
}

static void test_lines_that_are_nothing(void **state)
{
	(void)state;
	assert_refused("[server]\nurl\n", ":2: neither a [section], a comment, nor key = value");
	assert_refused("[server\nurl = x\n", ":1: this is not a [section]");
	assert_refused("[]\n", ":1: this is not a [section]");
	assert_refused("[ser/ver]\n", ":1: this is not a [section]");
	assert_refused("[server] url = x\n", ":1: something follows the [section]");
	assert_refused("[123456789012345678901234567890123456789012345678901]\n",
		       ":1: this is not a [section]");
	/* The first mistake is the one that is told. */
	assert_refused("[server]\nurl\nelephant = x\n[x\n",
		       ":2: neither a [section], a comment, nor key = value");
}

/* What inih would take as more of the value before it. */
static void test_indented_lines(void **state)
{
	static const char sentence[] =
		":3: begins with white space; a value cannot go on in the next line";

	(void)state;
	assert_refused("[server]\nurl = a\n  ca_file = /b\n", sentence);
	assert_refused("[server]\nurl = a\n\tmore\n", sentence);
	assert_refused("[server]\nurl = a\n  [log]\n", sentence);
	assert_loads("[server]\nurl = a\n   \n\t\n  ; c\n");
	assert_string_equal(conf.url, "a");
}

static void test_comment_at_the_end(void **state)
{
	(void)state;
	assert_refused("[server]\nurl = a # b\n",
		       ":2: [server] url = a # b: a comment with '#' needs a line of its own");
	assert_loads("[server]\nurl = a#b ; c\n");
	assert_string_equal(conf.url, "a#b");
}

static void test_control_characters(void **state)
{
	(void)state;
	assert_refused("[server]\nurl = a\x1b[2J\n", ":2: a control character");
	assert_refused("[server]\nurl = a\rb\n", ":2: a control character");
	assert_refused("[server]\nurl = a\x7f\n", ":2: a control character");
	assert_int_equal(load_bytes("[server]\nurl = a\0b\n", 18), -EINVAL);
	assert_loads("[server]\r\nurl = \xc3\xa4\tb\r\n");
	assert_string_equal(conf.url, "\xc3\xa4\tb");
}

static void test_long_lines(void **state)
{
	char text[2000] = "[server]\nurl=";
	size_t before = strlen(text);

	(void)state;
	memset(text + before, 'x', 1019);
	assert_loads(text);
	assert_int_equal(strlen(conf.url), 1019);
	memset(text + before, 'x', 1020);
	assert_refused(text, ":2: the line is longer than 1023 bytes");
	memset(text + before, 'x', 1900);
	assert_refused(text, ":2: the line is longer than 1023 bytes");
}

static void test_files_that_cannot_be_read(void **state)
{
	_cleanup_free_ char *large = calloc(1, (256u << 10) + 1);

	(void)state;
	reset();
	assert_int_equal(config_load("/nonexistent/x.conf", keys, ELEMENTSOF(keys), &conf, NULL,
				     NULL, &error),
			 -ENOENT);
	assert_string_equal(error, "/nonexistent/x.conf: No such file or directory");
	reset();
	assert_int_equal(config_load(directory, keys, ELEMENTSOF(keys), &conf, NULL, NULL, &error),
			 -EISDIR);
	assert_int_equal(config_load(directory, keys, ELEMENTSOF(keys), &conf, NULL, NULL, NULL),
			 -EISDIR);
	assert_int_equal(load_bytes(large, (256u << 10) + 1), -EFBIG);
}

/* ---- leniently ---- */

static char told[4096]; /* "section|key|sentence" each on a line */

static void on_refused(const struct config_refusal *refusal, void *userdata)
{
	size_t used = strlen(told);

	assert_ptr_equal(userdata, &conf);
	assert_int_equal(strncmp(refusal->sentence, path, strlen(path)), 0);
	(void)snprintf(told + used, sizeof told - used, "%s|%s|%s\n", refusal->section,
		       refusal->key ? refusal->key : "-", refusal->sentence + strlen(path));
}

/* What was there before stays for what is told. */
static void load_lenient_bytes(const char *bytes, size_t size)
{
	reset();
	told[0] = '\0';
	conf.url = strdup("kept");
	conf.timeout_sec = 7;
	assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, bytes, size, 0600), 0);
	assert_int_equal(config_load_lenient(path, keys, ELEMENTSOF(keys), &conf, resolve,
					     on_refused, &conf, &error),
			 0);
	assert_null(error);
}

static void assert_told(const char *text, const char *expected)
{
	load_lenient_bytes(text, strlen(text));
	assert_string_equal(told, expected);
}

static void test_leniently_values_are_told(void **state)
{
	(void)state;
	assert_told(
		"[network]\ntimeout_sec = 3601\ntype = 5g\nany = 3\n[log]\nverbose=maybe\n",
		"network|timeout_sec|:2: [network] timeout_sec = 3601: must be between 1 and 3600\n"
		"network|type|:3: [network] type = 5g: must be one of 2g, 4g, ethernet\n"
		"log|verbose|:6: [log] verbose = maybe: must be yes or no\n");
	assert_int_equal(conf.timeout_sec, 7);
	assert_int_equal(conf.any, 3);
	assert_null(conf.network_type);
	assert_told(
		"[server]\nurl = a # b\nca_file = b\n",
		"server|url|:2: [server] url = a # b: a comment with '#' needs a line of its own\n"
		"server|ca_file|:3: [server] ca_file = b: must be an absolute path\n");
	assert_string_equal(conf.url, "kept");
	assert_null(conf.file);
}

static void test_leniently_the_first_of_two_counts(void **state)
{
	(void)state;
	assert_told("[server]\nurl=a\nurl=b\n", "server|url|:3: [server] url: given twice\n");
	assert_string_equal(conf.url, "a");
}

static void test_leniently_unknown_words_are_told(void **state)
{
	(void)state;
	assert_told("url=a\n[elephants]\nurl=b\nurl=b\n[network]\ntrunk=1\nany=4\n"
		    "[program C]\nunit=c\n",
		    "|url|:1: url: comes before the first [section]\n"
		    "elephants|-|:2: [elephants]: unknown section\n"
		    "network|trunk|:6: [network] trunk: unknown key\n"
		    "program C|-|:8: [program C]: there can be no such section\n");
	assert_string_equal(conf.url, "kept");
	assert_int_equal(conf.any, 4);
}

static void test_leniently_lines_are_skipped(void **state)
{
	static const char zeros[] = "[server]\nurl = a\0\0\0\nca_file = /b\n\0\0\0";

	(void)state;
	assert_told("[server]\nurl\n  ca_file = /a\nurl ;= b\nurl = c\n",
		    "server|-|:2: neither a [section], a comment, nor key = value\n"
		    "server|-|:3: begins with white space; a value cannot go on in the next line\n"
		    "server|-|:4: neither a [section], a comment, nor key = value\n");
	assert_string_equal(conf.url, "c");
	assert_null(conf.file);
	load_lenient_bytes(zeros, sizeof zeros - 1);
	assert_string_equal(told, "server|-|:2: a control character\n"
				  "server|-|:4: a control character\n");
	assert_string_equal(conf.url, "kept");
	assert_string_equal(conf.file, "/b");
}

/* Keys behind what was a section must not go to the one before it. */
static void test_leniently_a_lost_section_takes_its_keys(void **state)
{
	static const char *const lost[] = { "[log",   "[log] x", "[]",	      "[l\xffog]",
					    " [log]", "\t[log]", "[log\x01]", "\x01[log]" };
	char text[1500];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(lost); i++) {
		(void)snprintf(text, sizeof text,
			       "[server]\nurl = a\n%s\nca_file = /x\n[network]\nany = 5\n",
			       lost[i]);
		load_lenient_bytes(text, strlen(text));
		if (conf.file || !conf.url || strcmp(conf.url, "a") != 0 || conf.any != 5)
			fail_msg("'%s': %s", lost[i], told);
		/* What is before it is not to blame, if that can be told. */
		assert_int_equal(told[0], lost[i][0] == '\x01' ? 's' : '|');
	}
	memset(text, 0, sizeof text);
	(void)strcpy(text, "[server]\n[");
	memset(text + strlen(text), 'l', 1100);
	(void)strcat(text, "]\nca_file = /x\n");
	assert_told(text, "|-|:2: the line is longer than 1023 bytes\n");
	assert_null(conf.file);
}

static void test_leniently_no_file_is_an_error(void **state)
{
	(void)state;
	reset();
	assert_int_equal(config_load_lenient("/nonexistent/x.conf", keys, ELEMENTSOF(keys), &conf,
					     resolve, on_refused, &conf, &error),
			 -ENOENT);
	assert_string_equal(error, "/nonexistent/x.conf: No such file or directory");
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FILE(test_reads_every_type),
		WITH_FILE(test_empty_files),
		WITH_FILE(test_booleans),
		WITH_FILE(test_defaults_are_replaced),
		WITH_FILE(test_values_out_of_range),
		WITH_FILE(test_unknown_words),
		WITH_FILE(test_long_unknown_key),
		WITH_FILE(test_given_twice),
		WITH_FILE(test_sections_that_stand_for_many),
		WITH_FILE(test_lines_that_are_nothing),
		WITH_FILE(test_indented_lines),
		WITH_FILE(test_comment_at_the_end),
		WITH_FILE(test_control_characters),
		WITH_FILE(test_long_lines),
		WITH_FILE(test_files_that_cannot_be_read),
		WITH_FILE(test_leniently_values_are_told),
		WITH_FILE(test_leniently_the_first_of_two_counts),
		WITH_FILE(test_leniently_unknown_words_are_told),
		WITH_FILE(test_leniently_lines_are_skipped),
		WITH_FILE(test_leniently_a_lost_section_takes_its_keys),
		WITH_FILE(test_leniently_no_file_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
