/* SPDX-License-Identifier: Apache-2.0 */
/* The agent on trial; its servers and the installers are played here. */
#include "updaterd/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/json.h"
#include "common/log.h"
#include "played_client.h"
#include "scratch.h"
#include "updaterd/exit_codes.h"
#include "updaterd/query.h"
#include "updaterd/release_version.h"
#include "updaterd/trust.h"

#define OLD_B "B202108010001"

static struct play {
	struct scratch *scratch;
	enum reason query, trust, find, prove; /* REASON_NONE: well */
	const char *status;		       /* of the new installer; NULL: right */
	unsigned n_asked, n_refreshed, n_looked_up, n_proved;
	char copied[32]; /* timestamp.json as the refresh sees it */
} play;

static const char *right_status(void)
{
	static char text[256];

	(void)snprintf(text, sizeof text,
		       "{\"programs\":{\"A\":{\"current\":\"%s\"},\"B\":{\"current\":\"" OLD_B
		       "\"}}}",
		       updaterd_release_version);
	return text;
}

/* Of the old one. */
int __wrap_client_status(struct client *c, cJSON **ret, struct failure *failure);
int __wrap_client_status(struct client *c, cJSON **ret, struct failure *failure)
{
	const char *text = right_status();

	(void)c, (void)failure;
	return json_parse(text, strlen(text), NULL, ret, NULL);
}

int __wrap_client_prove(int metadata_fd, char **ret_status, struct failure *failure);
int __wrap_client_prove(int metadata_fd, char **ret_status, struct failure *failure)
{
	assert_int_equal(faccessat(metadata_fd, ".", R_OK | X_OK, 0), 0);
	play.n_proved++;
	if (play.prove != REASON_NONE)
		return failure_set(failure, -EPERM, play.prove, "as planned");
	*ret_status = strdup(play.status ? play.status : right_status());
	return 0;
}

int __wrap_query_ask(struct http *http, const struct conf *conf, const struct identity *identity,
		     const struct version *versions, size_t n_versions, struct answer *ret,
		     struct failure *failure);
int __wrap_query_ask(struct http *http, const struct conf *conf, const struct identity *identity,
		     const struct version *versions, size_t n_versions, struct answer *ret,
		     struct failure *failure)
{
	(void)http, (void)conf, (void)ret;
	assert_string_equal(identity->value, "gw");
	assert_int_equal(n_versions, 2);
	assert_string_equal(versions[0].text, updaterd_release_version);
	play.n_asked++;
	return play.query ? failure_set(failure, -EAGAIN, play.query, "as planned") : 0;
}

int __wrap_trust_refresh(const struct conf *conf, int metadata_fd, const struct update_time *time,
			 struct http *http, const char *base, struct medium *medium,
			 struct trust **ret, struct failure *failure);
int __wrap_trust_refresh(const struct conf *conf, int metadata_fd, const struct update_time *time,
			 struct http *http, const char *base, struct medium *medium,
			 struct trust **ret, struct failure *failure)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	(void)time, (void)http, (void)medium;
	play.n_refreshed++;
	assert_string_equal(base, conf->url);
	if (fs_read_file(metadata_fd, "timestamp.json", 16, &text, &size) == 0)
		(void)snprintf(play.copied, sizeof play.copied, "%s", text);
	/* Whatever it stores is its own copy. */
	assert_int_equal(fs_write_file_atomic(metadata_fd, "timestamp.json", "newer", 5, 0600), 0);
	if (play.trust != REASON_NONE)
		return failure_set(failure, -EBADMSG, play.trust, "as planned");
	*ret = (struct trust *)(void *)&dummy;
	return 0;
}

int __wrap_trust_find_target(struct trust *t, const char *path, struct tuf_target *ret,
			     struct failure *failure);
int __wrap_trust_find_target(struct trust *t, const char *path, struct tuf_target *ret,
			     struct failure *failure)
{
	char own[64];

	(void)t, (void)ret;
	(void)snprintf(own, sizeof own, "A/%s-amd64.tar.xz", updaterd_release_version);
	assert_string_equal(path, own);
	assert_int_equal(play.n_refreshed, play.n_looked_up + 1);
	play.n_looked_up++;
	if (play.find != REASON_NONE)
		return failure_set(failure, play.find == REASON_NO_TARGET ? -ENOENT : -EAGAIN,
				   play.find, "as planned");
	return 0;
}

struct trust *__wrap_trust_free(struct trust *t);
struct trust *__wrap_trust_free(struct trust *t)
{
	(void)t;
	return NULL;
}

/* ---- helpers ---- */

static char agent_dir[96], arch[] = "amd64", name[] = "name", gw[] = "gw", net[] = "4g",
			   url[] = "https://127.0.0.1:1", a[] = "updaterd", b[] = "bmsd",
			   none[] = "/nowhere";

static struct conf conf_of(char *server)
{
	return (struct conf){
		.url = server,
		.identity_type = name,
		.identity_value = gw,
		.arch = arch,
		.network_type = net,
		.agent_dir = agent_dir,
		.programs = { { .letter = 'A', .name = a, .space = none },
			      { .letter = 'B', .name = b, .space = none } },
		.n_programs = 2,
	};
}

static int setup(void **state)
{
	char path[96];

	log_set_level(LOG_CRIT);
	play = (struct play){ 0 };
	assert_int_equal(scratch_setup(state), 0);
	play.scratch = *state;
	(void)snprintf(agent_dir, sizeof agent_dir, "%s/agent", play.scratch->path);
	scratch_text(play.scratch->dirfd, "agent/metadata/timestamp.json", "kept", 0600);
	assert_int_equal(mkdirat(play.scratch->dirfd, "run", 0700), 0);
	(void)snprintf(path, sizeof path, "%s/run", play.scratch->path);
	return setenv("RUNTIME_DIRECTORY", path, 1);
}

static int try_it(void)
{
	struct conf conf = conf_of(url);

	return agent_trial(&conf);
}

/* ---- tests ---- */

static void test_proves_itself(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	(void)state;
	assert_int_equal(try_it(), EXIT_OK);
	assert_int_equal(play.n_asked, 1);
	assert_int_equal(play.n_refreshed, 1);
	assert_int_equal(play.n_looked_up, 1);
	assert_int_equal(play.n_proved, 1);
	assert_string_equal(play.copied, "kept");
	assert_int_equal(fs_read_file(play.scratch->dirfd, "agent/metadata/timestamp.json", 16,
				      &text, &size),
			 0);
	assert_string_equal(text, "kept");
}

static void test_without_old_state(void **state)
{
	(void)state;
	assert_int_equal(fs_remove_tree(play.scratch->dirfd, "agent/metadata"), 0);
	assert_int_equal(try_it(), EXIT_OK);
	assert_string_equal(play.copied, "");
}

static void test_old_state_cannot_be_read(void **state)
{
	(void)state;
	assert_int_equal(fs_remove_tree(play.scratch->dirfd, "agent/metadata"), 0);
	scratch_text(play.scratch->dirfd, "agent/metadata", "a file", 0600);
	assert_int_equal(try_it(), EXIT_FAILED);
	assert_int_equal(play.n_asked, 0);
	assert_int_equal(play.n_proved, 0);
}

/* What can be proved without a server is. */
static void test_server_not_reached(void **state)
{
	(void)state;
	play.query = REASON_NETWORK;
	assert_int_equal(try_it(), EXIT_TEMPORARY);
	assert_int_equal(play.n_refreshed, 0);
	assert_int_equal(play.n_proved, 1);
	play.query = REASON_SERVER_ERROR;
	assert_int_equal(try_it(), EXIT_TEMPORARY);
	play.query = REASON_NONE;
	play.trust = REASON_NETWORK;
	assert_int_equal(try_it(), EXIT_TEMPORARY);
	assert_int_equal(play.n_proved, 3);
	play.prove = REASON_DAMAGED;
	assert_int_equal(try_it(), EXIT_FAILED);
}

static void test_wrong_answers(void **state)
{
	(void)state;
	play.query = REASON_BAD_ANSWER;
	assert_int_equal(try_it(), EXIT_FAILED);
	play.query = REASON_NONE;
	play.trust = REASON_BAD_SIGNATURE;
	assert_int_equal(try_it(), EXIT_FAILED);
	assert_int_equal(play.n_proved, 0);
}

/* Since the old agent fetched it: what is handed over has to fit together. */
static void test_own_role_is_fetched(void **state)
{
	(void)state;
	play.find = REASON_NO_TARGET;
	assert_int_equal(try_it(), EXIT_OK);
	assert_int_equal(play.n_proved, 1);
	play.find = REASON_NETWORK;
	assert_int_equal(try_it(), EXIT_TEMPORARY);
	assert_int_equal(play.n_proved, 2);
	play.find = REASON_BAD_SIGNATURE;
	assert_int_equal(try_it(), EXIT_FAILED);
	assert_int_equal(play.n_proved, 2);
}

static void test_installer_refuses(void **state)
{
	(void)state;
	play.prove = REASON_WRONG_VERSION;
	assert_int_equal(try_it(), EXIT_FAILED);
}

static void test_installer_answers_nonsense(void **state)
{
	static const char *const answers[] = {
		"",
		"{",
		"[]",
		"{\"programs\":{}}",
		"{\"programs\":{\"A\":{\"current\":\"x\"}}}",
		"{\"programs\":{\"A\":{\"current\":\"A202001010001\"}}}",
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
		play.status = answers[i];
		assert_int_equal(try_it(), EXIT_FAILED);
	}
}

static void test_without_server(void **state)
{
	struct conf conf = conf_of(NULL);

	(void)state;
	assert_int_equal(agent_trial(&conf), EXIT_OK);
	assert_int_equal(play.n_asked, 0);
	assert_int_equal(play.n_proved, 1);
	assert_int_equal(agent_reach(&conf), EXIT_OK);
}

static void test_reach(void **state)
{
	struct conf conf = conf_of(url);

	(void)state;
	assert_int_equal(agent_reach(&conf), EXIT_OK);
	assert_int_equal(play.n_refreshed, 1);
	assert_int_equal(play.n_proved, 0);
	play.trust = REASON_NETWORK;
	assert_int_equal(agent_reach(&conf), EXIT_TEMPORARY);
	play.trust = REASON_EXPIRED;
	assert_int_equal(agent_reach(&conf), EXIT_FAILED);
}

static void test_not_by_hand(void **state)
{
	(void)state;
	assert_int_equal(unsetenv("RUNTIME_DIRECTORY"), 0);
	assert_int_equal(try_it(), EXIT_USAGE);
	assert_int_equal(play.n_asked, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, scratch_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_proves_itself),
		TEST(test_without_old_state),
		TEST(test_old_state_cannot_be_read),
		TEST(test_server_not_reached),
		TEST(test_wrong_answers),
		TEST(test_own_role_is_fetched),
		TEST(test_installer_refuses),
		TEST(test_installer_answers_nonsense),
		TEST(test_without_server),
		TEST(test_reach),
		TEST(test_not_by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
