/* SPDX-License-Identifier: Apache-2.0 */
/* The story of a run: its servers, its trust and the installer are played here. */
#include "updaterd/agent.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/json.h"
#include "common/log.h"
#include "common/segments.h"
#include "played_client.h"
#include "scratch.h"
#include "updaterd/answered.h"
#include "updaterd/backup_fetch.h"
#include "updaterd/backup_upload.h"
#include "updaterd/choose.h"
#include "updaterd/exit_codes.h"
#include "updaterd/fetch.h"
#include "updaterd/query.h"
#include "updaterd/trust.h"

#define OLD_A	"A202108010001"
#define OLD_B	"B202108010001"
#define NEW_A	"A202109010001"
#define NEW_B	"B202109010001"
#define CONTENT "the program file"
#define PATCH	"the patch"

/* ---- the play ---- */

static struct play {
	struct scratch *scratch;
	const char *offers[2]; /* versions */
	bool fetch_fails;
	int ask; /* what query_ask() returns if it is no answer */
	unsigned n_asked, n_fetched;
	uint64_t retry_after_sec; /* with the failure that is planned */
	int64_t later_sec;	  /* the clock goes so much ahead */
	int send_status;	  /* of a result; 0: 201 */
	int refresh;		  /* what trust_refresh() returns */
	int install, follow;	  /* what these return */
	bool knows;
	const char *outcome;
	unsigned n_installed, n_sent;
	bool is_b_missing;	 /* from the Status */
	const char *requires;	 /* what the file of B requires; NULL: nothing */
	const char *held;	 /* what the Status says of B; NULL: nothing */
	const char *quarantined; /* the same */
	uint64_t rate_limit;	 /* [network] */
	struct fetch asked_for;	 /* the last one */
	bool has_patch, is_b_damaged, is_gone;
	int patch_fetch; /* what fetching the patch gives, for … */
	enum reason patch_reason;
	const char *patch_outcome, *patch_judged; /* by the installer */
	char installed[256];			  /* the targets, each with a space */
	char share[512];			  /* of the last one */
	char kept_at_installer[4096];		  /* a result that it hands out; "": none */
	unsigned n_uploads,
		n_sent_before; /* how often backups had their turn, and after how many results */
	unsigned n_backups_fetched;
} play;

static int fail_as_planned(struct failure *failure, int error, enum reason reason)
{
	(void)failure_set(failure, error, reason, "as planned");
	failure->retry_after_sec = play.retry_after_sec;
	return error;
}

time_t __real_time(time_t *ret);
time_t __wrap_time(time_t *ret);
time_t __wrap_time(time_t *ret)
{
	time_t now = __real_time(NULL) + (time_t)play.later_sec;

	if (ret)
		*ret = now;
	return now;
}

static int parse(const char *text, cJSON **ret)
{
	assert_int_equal(json_parse(text, strlen(text), NULL, ret, NULL), 0);
	return 0;
}

/* With a member of B's: key and value, "" for none. */
static int parse_b_with(const char *member, const char *value, const char *end, cJSON **ret)
{
	char text[256];

	(void)snprintf(text, sizeof text,
		       "{\"programs\":{\"A\":{\"current\":\"" OLD_A
		       "\"},\"B\":{\"current\":\"" OLD_B "\"%s%s%s}}}",
		       member, value, end);
	return parse(text, ret);
}

int __wrap_client_status(struct client *c, cJSON **ret, struct failure *failure);
int __wrap_client_status(struct client *c, cJSON **ret, struct failure *failure)
{
	(void)c, (void)failure;
	if (play.is_b_missing)
		return parse("{\"programs\":{\"A\":{\"current\":\"" OLD_A "\"},\"B\":{}}}", ret);
	if (play.held)
		return parse_b_with(",\"held\":", play.held, "", ret);
	if (play.quarantined)
		return parse_b_with(",\"quarantined\":[\"", play.quarantined, "\"]", ret);
	return parse_b_with("", "", "", ret);
}

int __wrap_client_results(struct client *c, cJSON **ret, struct failure *failure);
int __wrap_client_results(struct client *c, cJSON **ret, struct failure *failure)
{
	char text[sizeof play.kept_at_installer + 2];

	(void)c, (void)failure;
	(void)snprintf(text, sizeof text, "[%s]", play.kept_at_installer);
	return parse(text, ret);
}

int __wrap_client_archived(struct client *c, const char *txid, struct failure *failure);
int __wrap_client_archived(struct client *c, const char *txid, struct failure *failure)
{
	(void)c, (void)failure;
	if (strstr(play.kept_at_installer, txid))
		play.kept_at_installer[0] = '\0';
	return 0;
}

int __wrap_client_install(struct client *c, int metadata_fd, int file_fd, const char *target,
			  const char *txid, const char *share, struct failure *failure);
int __wrap_client_install(struct client *c, int metadata_fd, int file_fd, const char *target,
			  const char *txid, const char *share, struct failure *failure)
{
	(void)c, (void)metadata_fd, (void)file_fd, (void)txid;
	(void)snprintf(play.share, sizeof play.share, "%s", share);
	(void)strcat(strcat(play.installed, target), " ");
	play.n_installed++;
	return play.install < 0 ? failure_set(failure, play.install, REASON_IO, "as planned") : 0;
}

bool __wrap_client_knows(struct client *c, const char *txid);
bool __wrap_client_knows(struct client *c, const char *txid)
{
	(void)c, (void)txid;
	return play.knows;
}

int __wrap_client_follow(struct client *c, const char *txid, uint64_t limit_sec,
			 client_progress_fn progress, void *userdata, cJSON **ret,
			 struct failure *failure);
int __wrap_client_follow(struct client *c, const char *txid, uint64_t limit_sec,
			 client_progress_fn progress, void *userdata, cJSON **ret,
			 struct failure *failure)
{
	bool is_patch;

	(void)c, (void)limit_sec, (void)progress, (void)userdata;
	if (play.follow < 0)
		return failure_set(failure, play.follow, REASON_INTERNAL, "as planned");
	is_patch = strstr(play.share, "\"file\":\"patch\"") != NULL;
	(void)snprintf(play.kept_at_installer, sizeof play.kept_at_installer,
		       "{\"txid\":\"%s\",\"program\":\"B\",\"to\":\"" NEW_B "\",\"outcome\":\"%s\","
		       "\"reason\":\"%s\"}",
		       txid, is_patch && play.patch_outcome ? play.patch_outcome : play.outcome,
		       is_patch && play.patch_judged ? play.patch_judged : "none");
	return parse(play.kept_at_installer, ret);
}

int __wrap_query_ask(struct http *http, const struct conf *conf, const struct identity *identity,
		     const struct version *versions, size_t n_versions, struct answer *ret,
		     struct failure *failure);
int __wrap_query_ask(struct http *http, const struct conf *conf, const struct identity *identity,
		     const struct version *versions, size_t n_versions, struct answer *ret,
		     struct failure *failure)
{
	(void)http, (void)conf, (void)identity, (void)versions, (void)n_versions;
	play.n_asked++;
	if (play.ask < 0)
		return fail_as_planned(failure, play.ask, REASON_NETWORK);
	for (size_t i = 0; i < ELEMENTSOF(play.offers) && play.offers[i]; i++)
		assert_int_equal(
			version_parse(play.offers[i], &ret->offers[ret->n_offers++].version), 0);
	return 0;
}

int __wrap_trust_refresh(const struct conf *conf, int metadata_fd, const struct update_time *time,
			 struct http *http, const char *base, struct medium *medium,
			 struct trust **ret, struct failure *failure);
int __wrap_trust_refresh(const struct conf *conf, int metadata_fd, const struct update_time *time,
			 struct http *http, const char *base, struct medium *medium,
			 struct trust **ret, struct failure *failure)
{
	(void)conf, (void)metadata_fd, (void)http, (void)base, (void)medium, (void)failure;
	assert_true(time->now_sec > 0);
	if (play.refresh < 0)
		return fail_as_planned(failure, play.refresh, REASON_SERVER_ERROR);
	*ret = (struct trust *)(void *)&dummy;
	return 0;
}

struct trust *__wrap_trust_free(struct trust *t);
struct trust *__wrap_trust_free(struct trust *t)
{
	(void)t;
	return NULL;
}

int __wrap_trust_find_program_file(struct trust *t, const char *path, const struct version *version,
				   struct program_file *ret, struct failure *failure);
int __wrap_trust_find_program_file(struct trust *t, const char *path, const struct version *version,
				   struct program_file *ret, struct failure *failure)
{
	(void)t, (void)path, (void)failure;
	*ret = (struct program_file){ .version = *version,
				      .path = strdup(version->text),
				      .file = strdup(version->text),
				      .length_bytes = strlen(CONTENT),
				      .segment_bytes = { 1024 },
				      .n_segment_bytes = 1 };
	if (play.requires && version->program == 'B')
		assert_int_equal(version_parse(play.requires, &ret->requires[ret->n_requires++]),
				 0);
	assert_int_equal(digest_sha256(CONTENT, strlen(CONTENT), ret->sha256), 0);
	/* Another file for each program; that of B is the one on the medium. */
	if (version->program != 'B')
		ret->sha256[0] = (uint8_t)~ret->sha256[0];
	return 0;
}

int __wrap_trust_find_newest(struct trust *t, char program, const struct version *version,
			     struct program_file *ret, struct failure *failure);
int __wrap_trust_find_newest(struct trust *t, char program, const struct version *version,
			     struct program_file *ret, struct failure *failure)
{
	struct version newest;

	if (play.is_gone)
		return failure_set(failure, -ENOENT, REASON_NO_TARGET, "as planned");
	if (version)
		return __wrap_trust_find_program_file(t, NULL, version, ret, failure);
	assert_int_equal(version_parse(program == 'A' ? NEW_A : NEW_B, &newest), 0);
	return __wrap_trust_find_program_file(t, NULL, &newest, ret, failure);
}

void __wrap_backup_upload(struct context *c);
void __wrap_backup_upload(struct context *c)
{
	(void)c;
	play.n_uploads++;
	play.n_sent_before = play.n_sent;
}

int __wrap_backup_fetch(struct context *c, const struct version *version,
			uint8_t ret_sha256[SHA256_BYTES], struct failure *failure);
int __wrap_backup_fetch(struct context *c, const struct version *version,
			uint8_t ret_sha256[SHA256_BYTES], struct failure *failure)
{
	(void)c, (void)version, (void)failure;
	play.n_backups_fetched++;
	memset(ret_sha256, 0xcd, SHA256_BYTES);
	return 0;
}

int __wrap_choose_patch(const struct choice *c, const struct program_file *full,
			struct program_file *ret, struct failure *why);
int __wrap_choose_patch(const struct choice *c, const struct program_file *full,
			struct program_file *ret, struct failure *why)
{
	(void)why;
	assert_int_equal(c->program->letter, c->current->program);
	if (!play.has_patch || c->program->letter != 'B')
		return 0;
	assert_string_equal(c->current->text, OLD_B);
	*ret = *full;
	ret->path = strdup("patch");
	ret->file = strdup("patch");
	ret->is_patch = true;
	assert_int_equal(digest_sha256(PATCH, strlen(PATCH), ret->sha256), 0);
	return 1;
}

int __wrap_choose_check_running(const struct conf_program *program, const struct version *current,
				char **ret_error);
int __wrap_choose_check_running(const struct conf_program *program, const struct version *current,
				char **ret_error)
{
	(void)current;
	if (program->letter != 'B' || !play.is_b_damaged)
		return 0;
	*ret_error = strdup("as planned");
	return -EUCLEAN;
}

static void make_list(char **ret, size_t *ret_size)
{
	uint8_t sha256[1][SHA256_BYTES] = { { 0 } };
	const struct segments segments = { 1024, strlen(CONTENT), 1, sha256 };

	assert_int_equal(segments_format(&segments, ret, ret_size), 0);
}

int __wrap_trust_find_target(struct trust *t, const char *path, struct tuf_target *ret,
			     struct failure *failure);
int __wrap_trust_find_target(struct trust *t, const char *path, struct tuf_target *ret,
			     struct failure *failure)
{
	(void)t, (void)path, (void)failure;
	*ret = (struct tuf_target){ .length = 1 }; /* never what was kept */
	return 0;
}

int __wrap_trust_fetch_target(struct trust *t, const char *path, size_t max_bytes, char **ret_bytes,
			      size_t *ret_size, struct failure *failure);
int __wrap_trust_fetch_target(struct trust *t, const char *path, size_t max_bytes, char **ret_bytes,
			      size_t *ret_size, struct failure *failure)
{
	(void)t, (void)path, (void)max_bytes, (void)failure;
	make_list(ret_bytes, ret_size);
	return 0;
}

int __wrap_fetch_run(struct fetch *f, struct failure *failure);
int __wrap_fetch_run(struct fetch *f, struct failure *failure)
{
	char name[SHA256_HEX_LENGTH + 8];
	uint8_t patch_sha256[SHA256_BYTES];

	assert_int_equal(digest_sha256(PATCH, strlen(PATCH), patch_sha256), 0);
	hex_encode(f->sha256, SHA256_BYTES, name);
	(void)strcat(name, ".part");
	scratch_text(f->inbox_fd, name, CONTENT, 0600);
	f->segments_fetched = 1;
	play.asked_for = *f;
	play.n_fetched++;
	if (play.patch_fetch < 0 && memcmp(f->sha256, patch_sha256, SHA256_BYTES) == 0)
		return failure_set(failure, play.patch_fetch, play.patch_reason, "as planned");
	if (play.fetch_fails)
		return fail_as_planned(failure, -EAGAIN, REASON_NETWORK);
	return openat(f->inbox_fd, name, O_RDONLY | O_CLOEXEC);
}

int __wrap_medium_open_file(struct medium *m, const char *path);
int __wrap_medium_open_file(struct medium *m, const char *path)
{
	(void)m, (void)path;
	return openat(play.scratch->dirfd, "file", O_RDONLY | O_CLOEXEC);
}

int __wrap_http_send(struct http *h, const char *method, const char *url, const void *body,
		     size_t size, size_t max_bytes, struct http_response *ret);
int __wrap_http_send(struct http *h, const char *method, const char *url, const void *body,
		     size_t size, size_t max_bytes, struct http_response *ret)
{
	(void)h, (void)method, (void)url, (void)body, (void)size, (void)max_bytes;
	play.n_sent++;
	*ret = (struct http_response){ .status = play.send_status ? play.send_status : 201,
				       .retry_after_sec = play.send_status ? play.retry_after_sec
									   : 0 };
	return 0;
}

/* ---- helpers ---- */

static char agent_dir[96], space_b[96], arch[] = "amd64", name[] = "name", gw[] = "gw",
					net[] = "4g", url[] = "https://127.0.0.1:1",
					a[] = "updaterd", b[] = "bmsd", none[] = "/nowhere";

static struct conf conf_of(char *server)
{
	return (struct conf){
		.url = server,
		.identity_type = name,
		.identity_value = gw,
		.arch = arch,
		.network_type = net,
		.in_flight = 2,
		.rate_limit_bytes_per_sec = play.rate_limit,
		.agent_dir = agent_dir,
		.max_program_bytes = 1 << 20,
		.programs = { { .letter = 'A', .name = a, .space = none },
			      { .letter = 'B', .name = b, .space = space_b } },
		.n_programs = 2,
	};
}

static int setup(void **state)
{
	log_set_level(LOG_CRIT);
	play = (struct play){ .outcome = "confirmed" };
	assert_int_equal(scratch_setup(state), 0);
	play.scratch = *state;
	(void)strcpy(space_b, none);
	(void)snprintf(agent_dir, sizeof agent_dir, "%s/agent", play.scratch->path);
	scratch_text(play.scratch->dirfd, "file", CONTENT, 0600);
	return 0;
}

static int run_once(void)
{
	_cleanup_(progress_freep) struct progress *progress = NULL;
	struct conf conf = conf_of(url);

	assert_int_equal(progress_new(PROGRESS_QUIET, stdout, &progress), 0);
	return agent_run_once(&conf, progress);
}

static int install_from_medium(const struct conf *conf)
{
	_cleanup_(progress_freep) struct progress *progress = NULL;

	assert_int_equal(progress_new(PROGRESS_QUIET, stdout, &progress), 0);
	return agent_install_from(conf, (struct medium *)(void *)&dummy, 'B', NULL, progress);
}

static unsigned count(const char *path)
{
	_cleanup_dir_ DIR *dir = NULL;
	unsigned n = 0;

	assert_int_equal(fs_open_dir(play.scratch->dirfd, path, &dir), 0);
	while (fs_next_name(dir))
		n++;
	return n;
}

/* ---- tests ---- */

static void test_upgrades_and_delivers(void **state)
{
	(void)state;
	play.offers[0] = NEW_B;
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(play.n_installed, 1);
	assert_int_equal(play.n_sent, 1);
	assert_string_equal(play.kept_at_installer, "");
	assert_int_equal(count("agent/outbox"), 0);
	assert_int_equal(count("agent/inbox"), 0);
	assert_int_equal(play.n_uploads, 1);
	assert_int_equal(play.n_sent_before, 1);
}

static void test_sends_no_backup_where_no_result_gets_through(void **state)
{
	(void)state;
	play.offers[0] = NEW_B;
	play.send_status = 407;
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(play.n_installed, 1);
	assert_int_equal(count("agent/outbox"), 1);
	assert_int_equal(play.n_uploads, 0);
	play.offers[0] = NULL;
	play.send_status = 0;
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(count("agent/outbox"), 0);
	assert_int_equal(play.n_uploads, 1);
}

static int fetch_previous(struct agent_fetched *ret)
{
	_cleanup_(progress_freep) struct progress *progress = NULL;
	struct conf conf = conf_of(url);
	struct version old;

	assert_int_equal(progress_new(PROGRESS_QUIET, stdout, &progress), 0);
	assert_int_equal(version_parse(OLD_B, &old), 0);
	return agent_fetch_previous(&conf, &old, progress, ret);
}

static void test_fetches_what_to_go_back_to(void **state)
{
	struct agent_fetched fetched = { .target = NULL };

	(void)state;
	assert_int_equal(fetch_previous(&fetched), EXIT_OK);
	assert_non_null(fetched.target);
	free(TAKE_PTR(fetched.target));
	assert_int_equal(play.n_backups_fetched, 0);
	assert_int_equal(play.n_installed, 0);
	/* Without a query server's word, too. */
	play.ask = -EAGAIN;
	assert_int_equal(fetch_previous(&fetched), EXIT_OK);
	free(TAKE_PTR(fetched.target));
	play.is_gone = true;
	assert_int_equal(fetch_previous(&fetched), EXIT_OK);
	assert_null(fetched.target);
	assert_int_equal(fetched.sha256[0], 0xcd);
	assert_int_equal(play.n_backups_fetched, 1);
	play.is_gone = false;
	play.fetch_fails = true;
	assert_int_equal(fetch_previous(&fetched), EXIT_FAILED);
}

/* What else is new comes with the new updater, and its own result goes out before. */
static void test_goes_on_as_the_new_updater(void **state)
{
	(void)state;
	play.offers[0] = NEW_A;
	play.offers[1] = NEW_B;
	assert_int_equal(run_once(), AGENT_REPLACED);
	assert_int_equal(play.n_uploads, 0);
	assert_string_equal(play.installed, NEW_A " ");
	assert_int_equal(play.n_sent, 1);
}

static void test_bad_updater_does_not_hold_up_the_other_program(void **state)
{
	(void)state;
	play.offers[0] = NEW_A;
	play.offers[1] = NEW_B;
	play.outcome = "rolled_back";
	assert_int_equal(run_once(), EXIT_FAILED);
	assert_string_equal(play.installed, NEW_A " " NEW_B " ");
}

static void expect_waiting(const char *expected)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r = fs_read_file(play.scratch->dirfd, "agent/waiting", 256, &text, &size);

	assert_int_equal(r, *expected ? 0 : -ENOENT);
	assert_string_equal(r == 0 ? text : "", expected);
}

/* It is archived; but nothing is fetched for it. */
static void test_requires(void **state)
{
	(void)state;
	play.offers[0] = NEW_B;
	play.requires = NEW_A;
	assert_int_equal(run_once(), EXIT_FAILED);
	assert_int_equal(play.n_installed, 0);
	assert_int_equal(play.n_sent, 1);
	assert_int_equal(count("agent/inbox"), 0);
	expect_waiting(NEW_B " " NEW_A "\n");
	play.requires = "C202101010001"; /* which there is not */
	assert_int_equal(run_once(), EXIT_FAILED);
	assert_int_equal(play.n_installed, 0);
	expect_waiting(NEW_B " C202101010001\n");
	play.requires = OLD_A;
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(play.n_installed, 1);
	expect_waiting("");
}

static void test_held_program_is_not_fetched(void **state)
{
	static const char *const held[] = { "\"forever\"", "9007199254740991", "true",
					    "\"until further notice\"" };

	(void)state;
	play.offers[0] = NEW_B;
	for (size_t i = 0; i < ELEMENTSOF(held); i++) {
		play.held = held[i];
		assert_int_equal(run_once(), EXIT_OK);
		assert_int_equal(play.n_installed, 0);
		assert_int_equal(play.n_sent, 0);
		assert_int_equal(count("agent/inbox"), 0);
	}
	/* The time is over. */
	play.held = "1000000000";
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(play.n_installed, 1);
}

static void test_held_program_is_repaired(void **state)
{
	(void)state;
	play.held = "\"forever\"";
	play.is_b_damaged = true;
	assert_int_equal(run_once(), EXIT_OK);
	assert_string_equal(play.installed, OLD_B " ");
}

static void test_check_leaves_held_programs_out(void **state)
{
	struct conf conf = conf_of(url);

	(void)state;
	play.offers[0] = NEW_B;
	assert_int_equal(agent_check(&conf, false), EXIT_OK);
	play.held = "\"forever\"";
	assert_int_equal(agent_check(&conf, false), EXIT_NOTHING_NEW);
}

/* What it logged. */
static void run_listened(char *ret, size_t size)
{
	int kept = dup(STDERR_FILENO);
	int log = openat(play.scratch->dirfd, "log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n;

	assert_true(kept >= 0 && log >= 0);
	assert_int_equal(dup2(log, STDERR_FILENO), STDERR_FILENO);
	log_set_level(LOG_NOTICE);
	assert_int_equal(run_once(), EXIT_OK);
	log_set_level(LOG_CRIT);
	assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
	n = pread(log, ret, size - 1, 0);
	assert_true(n >= 0);
	ret[n] = '\0';
	assert_int_equal(close(kept), 0);
	assert_int_equal(close(log), 0);
}

/* Not every night; but another one is, and so is the next run with it. */
static void test_a_quarantine_is_told_once(void **state)
{
	static const char *const versions[] = { NEW_B, "B202109020001" };
	char log[1024];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(versions); i++) {
		play.offers[0] = play.quarantined = versions[i];
		run_listened(log, sizeof log);
		assert_non_null(strstr(log, versions[i]));
		assert_null(strchr(strchr(log, '\n') + 1, '\n'));
		run_listened(log, sizeof log);
		assert_string_equal(log, "");
	}
	assert_int_equal(play.n_fetched, 0);
	assert_int_equal(play.n_sent, 0);
}

static void test_nothing_new(void **state)
{
	(void)state;
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(play.n_installed, 0);
	assert_int_equal(play.n_sent, 0);
}

/* A request is never for more than a second, and alone: the rate is kept between them. */
static void test_a_rate_limit_makes_requests_short(void **state)
{
	(void)state;
	play.offers[0] = NEW_B;
	play.fetch_fails = true;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(play.asked_for.request_bytes, 0);
	assert_int_equal(play.asked_for.in_flight, 2);
	play.rate_limit = 10000;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(play.asked_for.request_bytes, 10000);
	assert_int_equal(play.asked_for.in_flight, 1);
}

/* A program that should run and does not is not up to date. */
static void test_a_space_without_current_is_said(void **state)
{
	struct scratch *s = *state;

	play.is_b_missing = true;
	assert_int_equal(run_once(), EXIT_OK); /* it is not installed */
	(void)snprintf(space_b, sizeof space_b, "%s", s->path);
	assert_int_equal(run_once(), EXIT_FAILED);
}

/* It was the answer that was lost, not the attempt. */
static void test_a_lost_answer_is_no_failure(void **state)
{
	(void)state;
	play.offers[0] = NEW_B;
	play.install = -ECONNREFUSED;
	play.knows = true;
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(play.n_sent, 1);
}

static void test_an_installer_that_is_not_there_is_archived(void **state)
{
	(void)state;
	play.offers[0] = NEW_B;
	play.install = -ECONNREFUSED;
	assert_int_equal(run_once(), EXIT_FAILED);
	assert_int_equal(play.n_sent, 1);
	/* What was fetched is of use the next time. */
	assert_int_equal(count("agent/inbox"), 2);
}

/* The installer's result is the only one of an attempt that it took on, however late it comes. */
static void test_no_result_before_the_installers(void **state)
{
	static const int lost[] = { -ETIMEDOUT, -ECONNREFUSED, -EPROTO };

	(void)state;
	play.offers[0] = NEW_B;
	for (size_t i = 0; i < ELEMENTSOF(lost); i++) {
		play.follow = lost[i];
		assert_int_equal(run_once(), EXIT_FAILED);
		assert_int_equal(play.n_sent, 0);
		assert_int_equal(count("agent/outbox"), 0);
	}
}

/* Two programs over a poor link: neither takes from the other what has come. */
static void test_parts_of_both_are_kept(void **state)
{
	(void)state;
	play.offers[0] = NEW_A;
	play.offers[1] = NEW_B;
	play.fetch_fails = true;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(count("agent/inbox"), 4); /* a part and a list for each */
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(count("agent/inbox"), 4);
	/* And what nobody offers any more goes. */
	play.offers[1] = NULL;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(count("agent/inbox"), 2);
	play.offers[0] = NULL;
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(count("agent/inbox"), 0);
}

/* Cut while it fetched, at the installer, or on the way from there: what is not confirmed is new. */
static void test_what_was_interrupted_is_still_new(void **state)
{
	struct conf conf = conf_of(url);

	(void)state;
	play.offers[0] = NEW_B;
	play.fetch_fails = true;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(agent_check(&conf, false), EXIT_OK);
	play.fetch_fails = false;
	play.follow = -ECONNREFUSED;
	assert_int_equal(run_once(), EXIT_FAILED);
	assert_int_equal(agent_check(&conf, false), EXIT_OK);
	play.follow = 0;
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(play.n_installed, 2);
}

static void test_what_is_postponed_is_kept(void **state)
{
	(void)state;
	play.offers[0] = NEW_B;
	play.outcome = "postponed";
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(count("agent/inbox"), 2);
}

static void test_an_offer_of_what_runs_is_not_installed(void **state)
{
	(void)state;
	play.offers[0] = OLD_B;
	assert_int_equal(run_once(), EXIT_FAILED);
	assert_int_equal(play.n_installed, 0);
	assert_int_equal(play.n_sent, 1);
}

/* ---- patches ---- */

static void test_upgrades_by_patch(void **state)
{
	(void)state;
	play.offers[0] = NEW_B;
	play.has_patch = true;
	assert_int_equal(run_once(), EXIT_OK);
	assert_string_equal(play.installed, "patch ");
	assert_non_null(strstr(play.share, "\"kind\":\"upgrade\",\"file\":\"patch\""));
	assert_null(strstr(play.share, "from_medium"));
	assert_int_equal(count("agent/inbox"), 0);
}

/* In the same attempt: there is one result. */
static void test_a_patch_that_cannot_be_had(void **state)
{
	static const struct {
		int error;
		enum reason reason;
	} cases[] = {
		{ -EPROTO, REASON_SERVER_ERROR },  { -EBADMSG, REASON_SEGMENT_HASH },
		{ -ESTALE, REASON_FILE_CHANGED },  { -EBADMSG, REASON_HASH },
		{ -EBADMSG, REASON_BAD_METADATA }, { -EBADMSG, REASON_LENGTH },
	};

	(void)state;
	play.offers[0] = NEW_B;
	play.has_patch = true;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		play.patch_fetch = cases[i].error;
		play.patch_reason = cases[i].reason;
		play.installed[0] = '\0';
		play.n_sent = 0;
		assert_int_equal(run_once(), EXIT_OK);
		assert_string_equal(play.installed, NEW_B " ");
		assert_int_equal(play.n_sent, 1);
		assert_non_null(strstr(play.share, "\"file\":\"full\""));
		assert_non_null(strstr(play.share, "\"segments_fetched\":2"));
		assert_int_equal(count("agent/inbox"), 0);
	}
}

/* The next run goes on with the patch. */
static void test_a_link_that_breaks_is_not_the_patchs_fault(void **state)
{
	(void)state;
	play.offers[0] = NEW_B;
	play.has_patch = true;
	play.patch_fetch = -EAGAIN;
	play.patch_reason = REASON_NETWORK;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_string_equal(play.installed, "");
	assert_int_equal(count("agent/inbox"), 2);
	play.patch_reason = REASON_SERVER_ERROR; /* 503 */
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_string_equal(play.installed, "");
	play.patch_fetch = 0;
	assert_int_equal(run_once(), EXIT_OK);
	assert_string_equal(play.installed, "patch ");
}

/* Two attempts, and a result of each. */
static void test_a_patch_that_the_installer_refuses(void **state)
{
	static const char *const reasons[] = { "bad-patch", "base-differs", "bad-metadata" };

	(void)state;
	play.offers[0] = NEW_B;
	play.has_patch = true;
	play.patch_outcome = "refused";
	for (size_t i = 0; i < ELEMENTSOF(reasons); i++) {
		play.patch_judged = reasons[i];
		play.installed[0] = '\0';
		assert_int_equal(run_once(), EXIT_OK);
		assert_string_equal(play.installed, "patch " NEW_B " ");
		assert_int_equal(count("agent/inbox"), 0);
	}
	play.patch_outcome = "failed";
	play.patch_judged = "damaged";
	play.installed[0] = '\0';
	assert_int_equal(run_once(), EXIT_OK);
	assert_string_equal(play.installed, "patch " NEW_B " ");
}

/* What a patch brought is what the full file would bring. */
static void test_a_release_that_came_by_patch_and_is_bad(void **state)
{
	(void)state;
	play.offers[0] = NEW_B;
	play.has_patch = true;
	play.patch_outcome = "rolled_back";
	play.patch_judged = "unhealthy";
	assert_int_equal(run_once(), EXIT_FAILED);
	assert_string_equal(play.installed, "patch ");
	play.patch_outcome = "postponed";
	play.patch_judged = "not-now";
	play.installed[0] = '\0';
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_string_equal(play.installed, "patch ");
	assert_int_equal(count("agent/inbox"), 2);
}

/* ---- repair ---- */

static void test_repairs_what_runs(void **state)
{
	(void)state;
	play.is_b_damaged = true;
	play.has_patch = true;
	assert_int_equal(run_once(), EXIT_OK);
	assert_string_equal(play.installed, OLD_B " ");
	assert_non_null(strstr(play.share, "\"kind\":\"repair\",\"file\":\"full\""));
	assert_int_equal(play.n_sent, 1);
	assert_int_equal(count("agent/inbox"), 0);
}

static void test_repairs_before_it_upgrades(void **state)
{
	(void)state;
	play.offers[0] = NEW_B;
	play.is_b_damaged = true;
	play.has_patch = true;
	assert_int_equal(run_once(), EXIT_OK);
	assert_string_equal(play.installed, OLD_B " patch ");
}

static void test_upgrades_where_nothing_can_be_repaired(void **state)
{
	(void)state;
	play.offers[0] = NEW_B;
	play.is_b_damaged = true;
	play.is_gone = true;
	assert_int_equal(run_once(), EXIT_FAILED);
	assert_string_equal(play.installed, NEW_B " ");
	assert_int_equal(play.n_sent, 2);
}

static void test_repairs_from_a_medium(void **state)
{
	struct conf conf = conf_of(NULL);

	(void)state;
	play.is_b_damaged = true;
	play.has_patch = true;
	assert_int_equal(install_from_medium(&conf), EXIT_OK);
	assert_non_null(strstr(play.share, "\"from_medium\":true"));
	assert_string_equal(play.installed, OLD_B " " NEW_B " ");
}

/* ---- servers that want to be left alone ---- */

static void test_a_query_server_that_asks_for_patience(void **state)
{
	(void)state;
	play.ask = -EAGAIN;
	play.retry_after_sec = 3600;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(play.n_asked, 1);
	play.ask = 0;
	play.offers[0] = NEW_B;
	play.later_sec = 3590;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(play.n_asked, 1);
	assert_int_equal(play.n_sent, 0);
	play.later_sec = 3610;
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(play.n_installed, 1);
}

/* A result that must wait is a wish as well: the question would come right after it. */
static void test_results_that_come_too_soon(void **state)
{
	(void)state;
	play.offers[0] = NEW_B;
	play.fetch_fails = true;
	play.send_status = 503;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(play.n_asked, 1);
	play.retry_after_sec = 60;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(play.n_asked, 1);
	assert_int_equal(play.n_sent, 2);
	play.send_status = 0;
	play.fetch_fails = false;
	play.later_sec = 61;
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(play.n_asked, 2);
}

/* The next program is not asked for either, and what has come of both is kept. */
static void test_a_file_server_that_asks_for_patience(void **state)
{
	(void)state;
	play.offers[0] = NEW_A;
	play.offers[1] = NEW_B;
	play.fetch_fails = true;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(count("agent/inbox"), 4);
	play.retry_after_sec = 60;
	play.n_fetched = 0;
	play.n_sent = 0;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(play.n_fetched, 1);
	assert_int_equal(play.n_sent, 1); /* the query server did not ask for anything */
	assert_int_equal(count("agent/inbox"), 4);
	play.later_sec = 61;
	play.refresh = -EAGAIN;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(play.n_asked, 3);
	play.later_sec = 120;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(play.n_asked, 3);
	assert_int_equal(count("agent/inbox"), 4);
}

/* A clock that is set back does not make an hour of a year. */
static void test_patience_ends_with_a_clock_that_is_set_back(void **state)
{
	(void)state;
	play.ask = -EAGAIN;
	play.retry_after_sec = 3600;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	play.ask = 0;
	play.later_sec = -60;
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(play.n_asked, 2);
}

/* ---- a night that was missed ---- */

static int look_whether_missed(void)
{
	struct conf conf = conf_of(url);

	return agent_look_whether_missed(&conf);
}

static void test_a_night_is_missed(void **state)
{
	struct conf offline = conf_of(NULL);

	(void)state;
	assert_int_equal(look_whether_missed(), EXIT_OK);
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(look_whether_missed(), EXIT_NOTHING_NEW);
	play.later_sec = ANSWERED_MAX_AGE_SEC - 60;
	assert_int_equal(look_whether_missed(), EXIT_NOTHING_NEW);
	play.later_sec = ANSWERED_MAX_AGE_SEC + 60;
	assert_int_equal(look_whether_missed(), EXIT_OK);
	assert_int_equal(agent_look_whether_missed(&offline), EXIT_NOTHING_NEW);
	assert_int_equal(play.n_asked, 1);
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(look_whether_missed(), EXIT_NOTHING_NEW);
	/* It was ahead when it asked. */
	play.later_sec = 0;
	assert_int_equal(look_whether_missed(), EXIT_OK);
}

static void test_a_night_without_an_answer_is_missed(void **state)
{
	struct conf conf = conf_of(url);

	(void)state;
	play.ask = -EAGAIN;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(look_whether_missed(), EXIT_OK);
	/* Nobody's question but that of a run counts. */
	play.ask = 0;
	assert_int_equal(agent_check(&conf, false), EXIT_NOTHING_NEW);
	assert_int_equal(look_whether_missed(), EXIT_OK);
}

/* It goes on where the line was cut; what was judged, or is not wanted now, waits for the night. */
static void test_a_run_that_the_line_cut_off_is_missed(void **state)
{
	(void)state;
	play.offers[0] = NEW_B;
	play.fetch_fails = true;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(look_whether_missed(), EXIT_OK);
	play.fetch_fails = false;
	play.outcome = "postponed";
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(look_whether_missed(), EXIT_NOTHING_NEW);
	play.outcome = "rolled_back";
	play.later_sec = ANSWERED_MAX_AGE_SEC + 60;
	assert_int_equal(run_once(), EXIT_FAILED);
	assert_int_equal(look_whether_missed(), EXIT_NOTHING_NEW);
}

static void test_the_new_updater_notes_the_answer(void **state)
{
	(void)state;
	play.offers[0] = NEW_A;
	assert_int_equal(run_once(), AGENT_REPLACED);
	assert_int_equal(look_whether_missed(), EXIT_OK);
}

/* What a person brings has nothing to do with the server. */
static void test_a_medium_needs_no_patience(void **state)
{
	struct conf conf = conf_of(url);

	(void)state;
	play.ask = -EAGAIN;
	play.retry_after_sec = 3600;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(install_from_medium(&conf), EXIT_OK);
	assert_int_equal(play.n_installed, 1);
	assert_int_equal(play.n_sent, 0);
	assert_int_equal(agent_deliver(&conf), -EAGAIN);
	assert_int_equal(agent_check(&conf, false), EXIT_TEMPORARY);
	assert_int_equal(play.n_asked, 1);
}

/* A repair goes on with what has come of it, also where trust cannot be refreshed for a night. */
static void test_a_part_of_a_repair_is_kept(void **state)
{
	(void)state;
	play.is_b_damaged = true;
	play.fetch_fails = true;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(count("agent/inbox"), 2);
	play.refresh = -ENETUNREACH;
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(count("agent/inbox"), 2);
	play.refresh = 0;
	play.is_gone = true;
	assert_int_equal(run_once(), EXIT_FAILED);
	assert_int_equal(count("agent/inbox"), 0);
}

static void test_check_names_only_what_is_new(void **state)
{
	struct conf conf = conf_of(url);

	(void)state;
	play.offers[0] = OLD_B;
	assert_int_equal(agent_check(&conf, false), EXIT_NOTHING_NEW);
	play.offers[0] = NEW_B;
	assert_int_equal(agent_check(&conf, false), EXIT_OK);
	assert_int_equal(play.n_installed, 0);
}

/* A clock ten years ahead: nothing is lost, and the next run may find it right. */
static void test_an_expired_certificate(void **state)
{
	struct conf conf = conf_of(url);

	(void)state;
	play.offers[0] = NEW_B;
	play.ask = -EKEYEXPIRED;
	assert_int_equal(agent_check(&conf, false), EXIT_TEMPORARY);
	assert_int_equal(run_once(), EXIT_TEMPORARY);
	assert_int_equal(play.n_installed, 0);
	assert_int_equal(count("agent/outbox"), 0);
	play.ask = 0;
	assert_int_equal(run_once(), EXIT_OK);
	assert_int_equal(play.n_installed, 1);
}

static void test_from_a_medium(void **state)
{
	struct conf conf = conf_of(NULL);

	(void)state;
	assert_int_equal(install_from_medium(&conf), EXIT_OK);
	assert_int_equal(play.n_installed, 1);
	assert_int_equal(count("agent/outbox"), 1);
	assert_int_equal(count("agent/inbox"), 0);
}

/* The modem that would tell the IMEI is dead: just then a stick must do. */
static void test_from_a_medium_without_identity(void **state)
{
	struct conf conf = conf_of(NULL);

	(void)state;
	conf.identity_value = NULL;
	conf.identity_file = none;
	assert_int_equal(install_from_medium(&conf), EXIT_OK);
	assert_int_equal(play.n_installed, 1);
	/* Its result stays with the installer until there is one. */
	assert_int_equal(count("agent/outbox"), 0);
	assert_string_not_equal(play.kept_at_installer, "");
	conf = conf_of(url);
	conf.identity_value = NULL;
	conf.identity_file = none;
	assert_int_equal(agent_check(&conf, false), EXIT_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, scratch_teardown)
		TEST(test_upgrades_and_delivers),
		TEST(test_sends_no_backup_where_no_result_gets_through),
		TEST(test_fetches_what_to_go_back_to),
		TEST(test_goes_on_as_the_new_updater),
		TEST(test_bad_updater_does_not_hold_up_the_other_program),
		TEST(test_requires),
		TEST(test_held_program_is_not_fetched),
		TEST(test_held_program_is_repaired),
		TEST(test_check_leaves_held_programs_out),
		TEST(test_a_quarantine_is_told_once),
		TEST(test_nothing_new),
		TEST(test_a_query_server_that_asks_for_patience),
		TEST(test_results_that_come_too_soon),
		TEST(test_a_file_server_that_asks_for_patience),
		TEST(test_patience_ends_with_a_clock_that_is_set_back),
		TEST(test_a_night_is_missed),
		TEST(test_a_night_without_an_answer_is_missed),
		TEST(test_a_run_that_the_line_cut_off_is_missed),
		TEST(test_the_new_updater_notes_the_answer),
		TEST(test_a_medium_needs_no_patience),
		TEST(test_a_part_of_a_repair_is_kept),
		TEST(test_a_rate_limit_makes_requests_short),
		TEST(test_a_space_without_current_is_said),
		TEST(test_a_lost_answer_is_no_failure),
		TEST(test_an_installer_that_is_not_there_is_archived),
		TEST(test_no_result_before_the_installers),
		TEST(test_parts_of_both_are_kept),
		TEST(test_what_was_interrupted_is_still_new),
		TEST(test_what_is_postponed_is_kept),
		TEST(test_an_offer_of_what_runs_is_not_installed),
		TEST(test_upgrades_by_patch),
		TEST(test_a_patch_that_cannot_be_had),
		TEST(test_a_link_that_breaks_is_not_the_patchs_fault),
		TEST(test_a_patch_that_the_installer_refuses),
		TEST(test_a_release_that_came_by_patch_and_is_bad),
		TEST(test_repairs_what_runs),
		TEST(test_repairs_before_it_upgrades),
		TEST(test_upgrades_where_nothing_can_be_repaired),
		TEST(test_repairs_from_a_medium),
		TEST(test_check_names_only_what_is_new),
		TEST(test_an_expired_certificate),
		TEST(test_from_a_medium),
		TEST(test_from_a_medium_without_identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
