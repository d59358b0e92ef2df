/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include "queryd/conf.h"
#include "queryd/token.h"

static int load(struct scratch *dir, const char *text, struct queryd_conf **ret, char **ret_error)
{
	char path[96];

	scratch_text(dir->dirfd, "queryd.conf", text, 0644);
	(void)snprintf(path, sizeof path, "%s/queryd.conf", dir->path);
	return queryd_conf_load(path, ret, ret_error);
}

static void test_empty_is_the_default(void **state)
{
	_cleanup_(queryd_conf_freep) struct queryd_conf *c = NULL;

	assert_int_equal(load(*state, "", &c, NULL), 0);
	assert_string_equal(c->address, "*");
	assert_int_equal(c->port, 8443);
	assert_null(c->cert);
	assert_false(c->allow_plain_loopback);
	assert_string_equal(c->unix_socket, "/run/queryd/queryd.sock");
	assert_true(c->serve);
	assert_int_equal(c->body_bytes, 16384);
	assert_int_equal(c->threads, 2);
	assert_string_equal(c->backup_path, "/var/lib/queryd/backups");
	assert_int_equal(c->backup_max_per_gateway, 8);
	assert_int_equal(c->backup_keep_days, 365);
}

/* They are beside the database unless said otherwise. */
static void test_backups(void **state)
{
	_cleanup_(queryd_conf_freep) struct queryd_conf *beside = NULL, *c = NULL;

	assert_int_equal(load(*state, "[store]\npath=/srv/q/db\n", &beside, NULL), 0);
	assert_string_equal(beside->backup_path, "/srv/q/backups");
	assert_int_equal(load(*state,
			      "[backup]\npath=/b\nmax_file_bytes=0\nmax_per_gateway=1\n"
			      "max_total_bytes=5\nkeep_days=0\n",
			      &c, NULL),
			 0);
	assert_string_equal(c->backup_path, "/b");
	assert_int_equal(c->backup_max_file_bytes, 0);
	assert_int_equal(c->backup_max_total_bytes, 5);
	assert_int_equal(c->backup_keep_days, 0);
}

static void test_all_keys(void **state)
{
	_cleanup_(queryd_conf_freep) struct queryd_conf *c = NULL;

	assert_int_equal(load(*state,
			      "[listen]\naddress=127.0.0.1\nport=443\ncert=/c\nkey=/k\n"
			      "unix_socket=\nallow_plain_loopback=no\n"
			      "[repository]\npath=/r\ntrusted_root=/t\n"
			      "file_server=https://f.example:8443/a-b/c\nserve=no\n"
			      "[store]\npath=/s\n[admin]\ntoken_file=\n"
			      "[limits]\nbody_bytes=1024\nconnections=64\n"
			      "connections_per_address=5\ntimeout_sec=1\ndrain_sec=0\nthreads=1\n",
			      &c, NULL),
			 0);
	assert_string_equal(c->cert, "/c");
	assert_null(c->unix_socket);
	assert_null(c->token_file);
	assert_string_equal(c->file_server, "https://f.example:8443/a-b/c");
	assert_false(c->serve);
	assert_int_equal(c->connections_per_address, 5);
	assert_int_equal(c->drain_sec, 0);
}

static void test_contradictions(void **state)
{
	static const struct {
		const char *text, *word;
	} bad[] = {
		{ "[listen]\ncert=/c\n", "cert" },
		{ "[listen]\nkey=/k\n", "key" },
		{ "[listen]\naddress=\n", "address" },
		{ "[listen]\nallow_plain_loopback=yes\n", "loopback" },
		{ "[listen]\nallow_plain_loopback=yes\naddress=10.0.0.1\n", "loopback" },
		{ "[listen]\nallow_plain_loopback=yes\naddress=127.0.0.1\ncert=/c\nkey=/k\n",
		  "allow_plain_loopback" },
		{ "[listen]\nunix_socket=\n", "listen" },
		{ "[listen]\nport=65536\n", "port" },
		{ "[repository]\npath=\n", "path" },
		{ "[repository]\nfile_server=http://f.example\n", "file_server" },
		{ "[repository]\nfile_server=https://\n", "file_server" },
		{ "[repository]\nfile_server=https://f/\"x\n", "file_server" },
		{ "[repository]\nserve=no\n", "file_server" },
		{ "[store]\npath=\n", "path" },
		{ "[backup]\nkeep_days=13\n", "keep_days" },
		{ "[backup]\nmax_per_gateway=0\n", "max_per_gateway" },
		{ "[backup]\nmax_file_bytes=4294967297\n", "max_file_bytes" },
		{ "[backup]\npath=relative\n", "path" },
		{ "[limits]\nbody_bytes=16385\n", "body_bytes" },
		{ "[limits]\nbodybytes=1024\n", "bodybytes" },
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_(queryd_conf_freep) struct queryd_conf *c = NULL;
		_cleanup_free_ char *error = NULL;

		assert_int_equal(load(*state, bad[i].text, &c, &error), -EINVAL);
		assert_null(c);
		assert_non_null(error);
		assert_non_null(strstr(error, bad[i].word));
		assert_non_null(strstr(error, "queryd.conf"));
	}
}

static void test_plain_on_loopback(void **state)
{
	_cleanup_(queryd_conf_freep) struct queryd_conf *c = NULL;

	assert_int_equal(
		load(*state, "[listen]\nallow_plain_loopback=yes\naddress=::1\n", &c, NULL), 0);
	assert_true(queryd_conf_is_loopback("127.0.0.1"));
	assert_false(queryd_conf_is_loopback("127.0.0.1.example.com"));
	assert_false(queryd_conf_is_loopback("*"));
	assert_false(queryd_conf_is_loopback("0.0.0.0"));
}

static void test_missing(void **state)
{
	_cleanup_(queryd_conf_freep) struct queryd_conf *c = NULL;

	(void)state;
	assert_int_equal(queryd_conf_load("/nonexistent/queryd.conf", &c, NULL), -ENOENT);
}

/* ---- the token ---- */

static void test_token_is_made_once_and_read(void **state)
{
	_cleanup_free_ char *first = NULL, *second = NULL;
	struct scratch *dir = *state;
	struct stat st;
	char path[96];

	(void)snprintf(path, sizeof path, "%s/token", dir->path);
	assert_int_equal(token_read(path, &first), -ENOENT);
	assert_int_equal(token_make(path), 0);
	assert_int_equal(fstatat(dir->dirfd, "token", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(token_read(path, &first), 0);
	assert_int_equal(strlen(first), 64);
	assert_int_equal(token_make(path), 0);
	assert_int_equal(token_read(path, &second), 0);
	assert_string_not_equal(first, second);
}

static void test_token_contents(void **state)
{
	static const char *const bad[] = { "",
					   "\n",
					   "short\n",
					   "with a blank in it\n",
					   "two lines of it\nand more text\n",
					   "0123456789abcde",
					   "0123456789abcde\x01",
					   "0123456789abcde\xe4" };
	_cleanup_free_ char *token = NULL, *large = NULL;
	struct scratch *dir = *state;
	char path[96];

	(void)snprintf(path, sizeof path, "%s/token", dir->path);
	scratch_text(dir->dirfd, "token", "0123456789abcdef\r\n\n", 0600);
	assert_int_equal(token_read(path, &token), 0);
	assert_string_equal(token, "0123456789abcdef");
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		scratch_text(dir->dirfd, "token", bad[i], 0600);
		assert_int_equal(token_read(path, &large), -EINVAL);
	}
	scratch_write(dir->dirfd, "token", "0123456789abcdef\0x", 18, 0600);
	assert_int_equal(token_read(path, &large), -EINVAL);
	large = malloc(1000);
	memset(large, 'x', 1000);
	scratch_write(dir->dirfd, "token", large, 1000, 0600);
	free(TAKE_PTR(large));
	assert_true(token_read(path, &large) < 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_empty_is_the_default),
		TEST(test_all_keys),
		TEST(test_backups),
		TEST(test_contradictions),
		TEST(test_plain_on_loopback),
		TEST(test_missing),
		TEST(test_token_is_made_once_and_read),
		TEST(test_token_contents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
