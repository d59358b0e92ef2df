/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/agent.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"
#include "updaterd/answered.h"
#include "updaterd/backup_fetch.h"
#include "updaterd/backup_upload.h"
#include "updaterd/choose.h"
#include "updaterd/context.h"
#include "updaterd/exit_codes.h"
#include "updaterd/fetch.h"
#include "updaterd/network.h"
#include "updaterd/query.h"
#include "updaterd/report.h"
#include "updaterd/result.h"
#include "updaterd/trust.h"
#include "updaterd/until.h"
#include "updaterd/waiting.h"

#define LIST_MAX_BYTES	 (64u << 20)
#define TOLD_NAME	 "quarantined"
#define TOLD_MAX_BYTES	 512u
#define FETCH_RETRY_MSEC 1000
/* The installer has limits of its own for each step; this one is for an installer that has lost its
 * mind. */
#define FOLLOW_LIMIT_SEC UINT64_C(14400)

/* One attempt at one program, and where its bytes come from. */
struct upgrade {
	struct context *c;
	const char *base;      /* the repository's URL, or … */
	struct medium *medium; /* … a directory */
	struct trust **trust;  /* shared by the attempts of a run */
	struct attempt attempt;
	struct program_file file; /* what is fetched */
	struct program_file
		full;	     /* if that is a patch: what is fetched where the patch is of no use */
	bool is_full_wanted; /* it was of no use */
	bool is_repair;	     /* of what runs */
	int fd;		     /* the program file, complete */
	bool is_recorded;    /* the installer will have a result */
};

/* At a program in a run: to repair it, by patch, by full file. */
#define ATTEMPTS_MAX 3

/* What of the inbox the next run may go on with. */
struct wanted {
	uint8_t sha256[CONF_MAX_PROGRAMS * ATTEMPTS_MAX][SHA256_BYTES];
	size_t n;
	bool is_unknown; /* an attempt ended before it knew its file */
};

static void upgrade_done(struct upgrade *u)
{
	program_file_done(&u->file);
	program_file_done(&u->full);
	close_fd(&u->fd);
}

/* ---- trust ---- */

static int step_trust(struct upgrade *u, struct failure *failure)
{
	struct context *c = u->c;

	u->attempt.step = STEP_TRUST;
	if (*u->trust)
		return 0;
	progress_begin(c->progress, STEP_TRUST, u->attempt.version.text, 0, 0);
	return trust_refresh(c->conf, c->metadata_fd, &c->time, c->http, u->base, u->medium,
			     u->trust, failure);
}

/* ---- patch or full file ---- */

static void use_file(struct upgrade *u, const struct program_file *file)
{
	u->file = *file;
	u->attempt.file = file->is_patch ? RESULT_FILE_PATCH : RESULT_FILE_FULL;
}

/* From a medium the full file costs nothing more. */
static void step_choose(struct upgrade *u)
{
	struct context *c = u->c;
	const struct version *current = context_version(c, u->file.version.program);
	const struct choice choice = { .trust = *u->trust,
				       .program = conf_program(c->conf, u->file.version.program),
				       .current = current,
				       .inbox_fd = c->inbox_fd,
				       .segment_bytes = (uint32_t)c->conf->segment_bytes };
	struct program_file patch = { .path = NULL }, full = u->file;
	struct failure why = { 0 };

	use_file(u, &full);
	if (u->is_full_wanted || u->is_repair || u->medium || !current || !choice.program)
		return;
	if (choose_patch(&choice, &full, &patch, &why) > 0) {
		log_info("'%s': by patch from '%s', %ju bytes instead of %ju", full.version.text,
			 current->text, (uintmax_t)patch.length_bytes,
			 (uintmax_t)full.length_bytes);
		u->full = full;
		use_file(u, &patch);
	} else if (why.text[0]) {
		log_notice("'%s': the full file, not the patch from '%s': %s", full.version.text,
			   current->text, why.text);
	}
}

static void give_up_patch(struct upgrade *u)
{
	if (fetch_remove(u->c->inbox_fd, u->file.sha256) < 0)
		log_debug("inbox: '%s' cannot be removed", u->file.path);
	program_file_done(&u->file);
	use_file(u, &u->full);
	u->full = (struct program_file){ .path = NULL };
}

/* ---- fetch ---- */

static int on_fetched(void *userdata, uint64_t done_bytes)
{
	progress_update(userdata, done_bytes);
	return 0;
}

static void list_name(char *ret, size_t size, const struct program_file *file, uint32_t bytes)
{
	char hex[SHA256_HEX_LENGTH + 1];

	hex_encode(file->sha256, SHA256_BYTES, hex);
	(void)snprintf(ret, size, "%s.seg%u", hex, bytes);
}

/* The list as an earlier run kept it, if it is the one that is signed. */
static int load_kept_list(struct upgrade *u, const char *name, const struct tuf_target *target,
			  char **ret_bytes, size_t *ret_size)
{
	_cleanup_free_ char *bytes = NULL;
	uint8_t sha256[SHA256_BYTES];
	size_t size;
	int r;

	r = fs_read_file(u->c->inbox_fd, name, LIST_MAX_BYTES, &bytes, &size);
	if (r >= 0)
		r = digest_sha256(bytes, size, sha256);
	if (r < 0)
		return r;
	if (size != target->length || memcmp(sha256, target->sha256, sizeof sha256) != 0)
		return -ENOENT;
	*ret_bytes = TAKE_PTR(bytes);
	*ret_size = size;
	return 0;
}

static int get_list(struct upgrade *u, const char *path, uint32_t segment_bytes, char **ret_bytes,
		    size_t *ret_size, struct failure *failure)
{
	char name[SHA256_HEX_LENGTH + 16];
	struct tuf_target target;
	int r;

	r = trust_find_target(*u->trust, path, &target, failure);
	if (r < 0)
		return r;
	list_name(name, sizeof name, &u->file, segment_bytes);
	if (load_kept_list(u, name, &target, ret_bytes, ret_size) >= 0)
		return 0;
	r = trust_fetch_target(*u->trust, path, LIST_MAX_BYTES, ret_bytes, ret_size, failure);
	if (r < 0)
		return r;
	r = fs_write_file_atomic(u->c->inbox_fd, name, *ret_bytes, *ret_size, 0600);
	if (r < 0)
		return failure_set_errno(failure, r, "inbox");
	return 0;
}

static int get_segments(struct upgrade *u, struct segments **ret, struct failure *failure)
{
	const struct conf *conf = u->c->conf;
	uint32_t bytes;
	_cleanup_(segments_freep) struct segments *segments = NULL;
	_cleanup_free_ char *path = NULL, *list = NULL;
	size_t size;
	int r;

	bytes = fetch_choose_segment_bytes(u->file.segment_bytes, u->file.n_segment_bytes,
					   (uint32_t)conf->segment_bytes);
	if (bytes == 0)
		return failure_set(failure, -ENOENT, REASON_NO_TARGET, "'%s' has no segment list",
				   u->file.path);
	if (asprintf(&path, "%s.seg%u", u->file.path, bytes) < 0) {
		path = NULL;
		return failure_set_errno(failure, -ENOMEM, "segment list");
	}
	r = get_list(u, path, bytes, &list, &size, failure);
	if (r < 0)
		return r;
	if (segments_parse(list, size, &segments) < 0 || segments->segment_bytes != bytes ||
	    segments->file_bytes != u->file.length_bytes)
		return failure_set(failure, -EBADMSG, REASON_BAD_METADATA,
				   "'%s' is no segment list of the program file", path);
	*ret = TAKE_PTR(segments);
	return 0;
}

static int target_path(const struct upgrade *u, char **ret, struct failure *failure)
{
	if (asprintf(ret, "targets/%s", u->file.file) >= 0)
		return 0;
	*ret = NULL;
	return failure_set_errno(failure, -ENOMEM, "program file");
}

static int fetch_from_server(struct upgrade *u, struct failure *failure)
{
	const struct conf *conf = u->c->conf;
	_cleanup_(segments_freep) struct segments *segments = NULL;
	_cleanup_free_ char *path = NULL, *url = NULL;
	struct fetch fetch;
	int r;

	r = network_admit(conf, u->file.length_bytes, failure);
	if (r >= 0)
		r = get_segments(u, &segments, failure);
	if (r >= 0)
		r = target_path(u, &path, failure);
	if (r < 0)
		return r;
	r = http_join_url(u->base, path, &url);
	if (r < 0)
		return failure_set_errno(failure, r, "'%s'", u->base);
	fetch = (struct fetch){
		.http = u->c->http,
		.url = url,
		.inbox_fd = u->c->inbox_fd,
		.sha256 = u->file.sha256,
		.segments = segments,
		/* The rate is kept from one request to the next: none may be for more than a
		 * second's worth, and those in flight do not share it. */
		.request_bytes = conf->rate_limit_bytes_per_sec,
		.in_flight = conf->rate_limit_bytes_per_sec > 0 ? 1 : (unsigned)conf->in_flight,
		.timeout_sec = conf->fetch_timeout_sec,
		.attempts = (unsigned)conf->attempts,
		.retry_wait_msec = FETCH_RETRY_MSEC,
		.progress = on_fetched,
		.userdata = u->c->progress,
	};
	r = fetch_run(&fetch, failure);
	u->attempt.segments_fetched += fetch.segments_fetched;
	u->attempt.segments_again += fetch.segments_again;
	return r;
}

static int fetch_from_medium(struct upgrade *u, struct failure *failure)
{
	_cleanup_close_ int fd = FD_NONE;
	_cleanup_free_ char *path = NULL;
	int r;

	r = target_path(u, &path, failure);
	if (r < 0)
		return r;
	fd = medium_open_file(u->medium, path);
	if (fd < 0)
		return failure_set_errno(failure, fd, "'%s'", path);
	return fetch_copy(fd, u->c->inbox_fd, u->file.length_bytes, u->file.sha256, on_fetched,
			  u->c->progress, failure);
}

/* Where there is no room, this file is worth more than what was begun of another one. */
static int check_room(struct upgrade *u, struct failure *failure)
{
	const struct context *c = u->c;
	uint8_t keep[1][SHA256_BYTES];
	int r;

	r = fetch_check_room(c->inbox_fd, u->file.length_bytes, c->conf->max_program_bytes,
			     u->file.sha256, failure);
	if (r != -ENOSPC)
		return r;
	memcpy(keep[0], u->file.sha256, sizeof keep[0]);
	r = fetch_clean(c->inbox_fd, keep, 1);
	if (r < 0)
		log_warning("inbox: leftovers cannot be removed: %s", strerror(-r));
	return fetch_check_room(c->inbox_fd, u->file.length_bytes, c->conf->max_program_bytes,
				u->file.sha256, failure);
}

static int fetch_file(struct upgrade *u, struct failure *failure)
{
	struct context *c = u->c;
	uint64_t before = c->http ? http_received_bytes(c->http) : 0;
	int r;

	u->attempt.step = STEP_FETCH;
	r = check_room(u, failure);
	if (r < 0)
		return r;
	progress_begin(c->progress, STEP_FETCH, u->attempt.version.text, u->file.length_bytes, 1);
	r = u->medium ? fetch_from_medium(u, failure) : fetch_from_server(u, failure);
	if (c->http)
		u->attempt.bytes_fetched += http_received_bytes(c->http) - before;
	if (r < 0)
		return r;
	u->fd = r;
	progress_end(c->progress, NULL);
	return 0;
}

static int step_fetch(struct upgrade *u, struct failure *failure)
{
	int r = fetch_file(u, failure);

	if (r >= 0 || !u->file.is_patch || !choose_falls_back(r, failure->reason))
		return r;
	log_notice("'%s': the full file, since the patch cannot be had: %s (%s)",
		   u->attempt.version.text, failure->text, reason_name(failure->reason));
	give_up_patch(u);
	return fetch_file(u, failure);
}

/* ---- install ---- */

static void on_installer_progress(void *userdata, char program, enum step step, unsigned percent)
{
	(void)program;
	progress_step(userdata, step, percent);
}

/* The trial of the updater waits for a server that nobody reaches. */
static uint64_t follow_limit_sec(const struct upgrade *u)
{
	const struct conf_program *p = conf_program(u->c->conf, u->attempt.version.program);

	return FOLLOW_LIMIT_SEC + (p && p->trial_unit ? p->trial_extend_max_sec : 0);
}

static int step_install(struct upgrade *u, cJSON **ret_result, struct failure *failure)
{
	struct context *c = u->c;
	_cleanup_free_ char *share = NULL;
	int r;

	u->attempt.step = STEP_CHECK;
	u->attempt.is_from_medium = u->medium;
	if (!c->client)
		return failure_set(failure, -ECONNREFUSED, REASON_IO,
				   "the installer does not answer");
	progress_begin(c->progress, STEP_CHECK, u->attempt.version.text, 100, 0);
	r = attempt_share(&u->attempt, &share);
	if (r < 0)
		return failure_set_errno(failure, r, "installer");
	r = client_install(c->client, c->metadata_fd, u->fd, u->file.path, u->attempt.txid, share,
			   failure);
	/* It may be the answer that was lost, not the call. */
	if (r < 0 && (r != -ECONNREFUSED || !client_knows(c->client, u->attempt.txid)))
		return r;
	u->is_recorded = true;
	return client_follow(c->client, u->attempt.txid, follow_limit_sec(u), on_installer_progress,
			     c->progress, ret_result, failure);
}

/* ---- quarantine ---- */

/* At notice the first time, then only for those who debug: every night would be noise. */
static void tell_quarantined(struct context *c, const struct version *version)
{
	_cleanup_free_ char *told = NULL, *text = NULL;
	size_t size = 0;
	int r;

	r = fs_read_file(c->dir_fd, TOLD_NAME, TOLD_MAX_BYTES, &told, &size);
	if (r >= 0 && strstr(told, version->text)) {
		log_debug("'%s' is offered, but quarantined", version->text);
		return;
	}
	log_notice("'%s' is offered, but quarantined: it failed before, or was rolled back; "
		   "it is not tried again",
		   version->text);
	if (asprintf(&text, "%s%s\n", r >= 0 && size + VERSION_LENGTH < TOLD_MAX_BYTES ? told : "",
		     version->text) < 0) {
		text = NULL;
		return;
	}
	r = fs_write_file_atomic(c->dir_fd, TOLD_NAME, text, strlen(text), 0600);
	if (r < 0)
		log_debug("'%s' cannot be written: %s", TOLD_NAME, strerror(-r));
}

/* ---- one attempt ---- */

/* What runs, or something older, is not offered by an honest server: that is worth a result. */
static int step_admit(struct upgrade *u, struct failure *failure)
{
	const struct version *version = &u->attempt.version;
	const struct version *current = context_version(u->c, version->program);

	u->attempt.step = STEP_QUERY;
	if (!current || u->is_repair || version_compare(version, current) > 0)
		return 0;
	return failure_set(failure, -ESTALE, REASON_OLDER_VERSION,
			   "it is not newer than %s, which runs", current->text);
}

/* Before anything is fetched for nothing, night after night. What has arrived of it stays. */
static int step_requires(const struct upgrade *u, struct failure *failure)
{
	for (size_t i = 0; i < u->file.n_requires; i++) {
		const struct version *needed = &u->file.requires[i];
		const struct version *runs = context_version(u->c, needed->program);

		if (runs && version_compare(runs, needed) >= 0)
			continue;
		waiting_add(&u->c->waiting, &u->file.version, needed);
		return failure_set(failure, -EAGAIN, REASON_REQUIRES,
				   "%s needs %s or newer of program %c", u->file.version.text,
				   needed->text, needed->program);
	}
	return 0;
}

static int run_steps(struct upgrade *u, const char *target, cJSON **ret_result,
		     struct failure *failure)
{
	int r;

	r = step_admit(u, failure);
	if (r >= 0)
		r = step_trust(u, failure);
	if (r >= 0 && !u->file.path)
		r = trust_find_program_file(*u->trust, target, &u->attempt.version, &u->file,
					    failure);
	if (r >= 0)
		r = step_requires(u, failure);
	if (r >= 0)
		step_choose(u);
	if (r >= 0)
		r = step_fetch(u, failure);
	if (r >= 0)
		r = step_install(u, ret_result, failure);
	return r;
}

/* What has been fetched is of no more use once the installer has judged it. */
static bool is_judged(int r, const cJSON *result)
{
	const char *outcome;

	if (r < 0)
		return r == -EPERM;
	return json_get_string(result, "outcome", &outcome, NULL) < 0 ||
	       outcome_from_name(outcome) != OUTCOME_POSTPONED;
}

/* The installer has judged the patch, and a full file may do better. */
static bool is_patch_refused(const struct upgrade *u, int r, const cJSON *result)
{
	const char *outcome, *reason;
	int which;

	if (r < 0 || !u->file.is_patch || json_get_string(result, "outcome", &outcome, NULL) < 0 ||
	    json_get_string(result, "reason", &reason, NULL) < 0)
		return false;
	which = outcome_from_name(outcome);
	if (which != OUTCOME_REFUSED && which != OUTCOME_FAILED)
		return false;
	which = reason_from_name(reason);
	return which >= 0 && choose_falls_back(0, (enum reason)which);
}

/* Its result is archived as any other; but this run is not over. */
static void report_patch(const struct upgrade *u, const cJSON *result)
{
	if (u->c->progress)
		progress_end(u->c->progress, "patch refused");
	log_notice("'%s': the full file, since the patch was refused: %s (%s)",
		   u->attempt.version.text, json_text_or(result, "detail", ""),
		   json_text_or(result, "reason", ""));
}

/* The installer goes on by itself. The result of the attempt is its, whatever it will be: one of our own
 * would come before it, and the first one stays. */
static void report_lost(const struct upgrade *u, const struct failure *failure)
{
	if (u->c->progress)
		progress_end(u->c->progress, "lost sight of it");
	log_error("'%s': lost sight of the attempt: %s; its result will be sent by a later run",
		  u->attempt.version.text, failure->text);
	context_worsen(u->c, EXIT_FAILED);
}

static void end_attempt(struct upgrade *u, int r, const cJSON *result,
			const struct failure *failure)
{
	struct context *c = u->c;

	if (r < 0)
		context_ask_patience(c, failure->retry_after_sec);
	if (is_patch_refused(u, r, result)) {
		report_patch(u, result);
	} else if (r >= 0) {
		report_finished(c, result);
	} else if (u->is_recorded) {
		report_lost(u, failure);
	} else if (r == -EBUSY) {
		progress_end(c->progress, "busy");
		log_notice("'%s': %s", u->attempt.version.text, failure->text);
		context_worsen(c, EXIT_TEMPORARY);
	} else if (r == -EPERM && failure->reason == REASON_QUARANTINED) {
		progress_end(c->progress, "quarantined");
		tell_quarantined(c, &u->attempt.version);
	} else {
		report_failure(c, &u->attempt, failure);
	}
	context_refresh_versions(c);
}

static void clean_inbox(struct upgrade *u, bool is_judged, struct wanted *wanted)
{
	if (!u->file.path) {
		wanted->is_unknown = true;
	} else if (!is_judged) {
		memcpy(wanted->sha256[wanted->n++], u->file.sha256, SHA256_BYTES);
	} else if (fetch_remove(u->c->inbox_fd, u->file.sha256) < 0) {
		log_debug("inbox: '%s' cannot be removed", u->file.path);
	}
}

static bool is_confirmed(int r, const cJSON *result)
{
	return r >= 0 &&
	       outcome_from_name(json_text_or(result, "outcome", "")) == OUTCOME_CONFIRMED;
}

/* True if a patch was refused and the full file is to be tried. */
static bool run_attempt(struct upgrade *u, const char *target, struct wanted *wanted)
{
	_cleanup_json_ cJSON *result = NULL;
	struct failure failure = { 0 };
	int r = run_steps(u, target, &result, &failure);

	end_attempt(u, r, result, &failure);
	if (u->attempt.version.program == CONF_OWN_LETTER && is_confirmed(r, result))
		u->c->is_replaced = true;
	clean_inbox(u, is_judged(r, result), wanted);
	return is_patch_refused(u, r, result);
}

/* A person said so (updaterd --hold), and it is not theirs to be told every night. */
static bool is_held(const struct context *c, const struct version *version)
{
	if (!c->status || !client_status_is_held(c->status, version->program, c->time.now_sec))
		return false;
	log_info("'%s' is offered, but program %c is held", version->text, version->program);
	return true;
}

/* Is this something to try at all? */
static bool is_wanted(struct context *c, const struct version *version)
{
	if (!conf_program(c->conf, version->program) || !context_version(c, version->program)) {
		log_error("'%s' is offered, but there is no program %c here", version->text,
			  version->program);
		context_worsen(c, EXIT_FAILED);
		return false;
	}
	if (c->status && client_status_is_quarantined(c->status, version)) {
		tell_quarantined(c, version);
		return false;
	}
	return !is_held(c, version);
}

/* Where there is none, nobody knows which of the files in the inbox it would have gone on with. */
static int begin_attempt(struct upgrade *u, const struct version *version, struct wanted *wanted)
{
	bool is_put_off = !u->medium && context_is_put_off(u->c);

	if (!is_put_off && attempt_begin(&u->attempt, version, &u->c->time) >= 0)
		return 0;
	if (!is_put_off)
		log_error("'%s': no random numbers", version->text);
	context_worsen(u->c, is_put_off ? EXIT_TEMPORARY : EXIT_FAILED);
	wanted->is_unknown = true;
	return -EAGAIN;
}

static bool try_offer(struct context *c, const struct offer *offer, const char *base,
		      struct trust **trust, bool is_full_wanted, struct wanted *wanted)
{
	_cleanup_(upgrade_done) struct upgrade u = { .c = c,
						     .base = base,
						     .trust = trust,
						     .is_full_wanted = is_full_wanted,
						     .fd = FD_NONE };

	return begin_attempt(&u, &offer->version, wanted) >= 0 &&
	       run_attempt(&u, offer->target, wanted);
}

static void follow_offer(struct context *c, const struct offer *offer, const char *base,
			 struct trust **trust, struct wanted *wanted)
{
	if (!is_wanted(c, &offer->version))
		return;
	if (try_offer(c, offer, base, trust, false, wanted))
		(void)try_offer(c, offer, base, trust, true, wanted);
}

/* ---- repair ---- */

static int find_repair(struct upgrade *u, const char *damage, struct failure *failure)
{
	const struct version *version = &u->attempt.version;
	int r = step_trust(u, failure);

	if (r < 0)
		return r;
	r = trust_find_newest(*u->trust, version->program, version, &u->file, failure);
	if (r == -ENOENT)
		return failure_set(failure, r, REASON_DAMAGED,
				   "it is damaged (%s), and its program file is not there any more",
				   damage);
	return r;
}

/* A program whose files have changed on the disk gets the same release again, whole. True if there was an
 * attempt at that. */
static bool repair_running(struct context *c, char program, const char *base, struct medium *medium,
			   struct trust **trust, struct wanted *wanted)
{
	_cleanup_(upgrade_done) struct upgrade u = { .c = c,
						     .base = base,
						     .medium = medium,
						     .trust = trust,
						     .is_repair = true,
						     .fd = FD_NONE };
	const struct version *version = context_version(c, program);
	_cleanup_free_ char *damage = NULL;
	struct failure failure = { 0 };
	int r;

	if (!version)
		return false;
	r = choose_check_running(conf_program(c->conf, program), version, &damage);
	if (r < 0 && r != -EUCLEAN)
		log_warning("program %c: whether '%s', which runs, is damaged cannot be told: %s",
			    program, version->text, strerror(-r));
	if (r != -EUCLEAN)
		return false;
	log_error("program %c: '%s', which runs, is damaged: %s", program, version->text,
		  damage ? damage : "");
	if (begin_attempt(&u, version, wanted) < 0)
		return false;
	u.attempt.kind = RESULT_KIND_REPAIR;
	r = find_repair(&u, damage ? damage : "", &failure);
	if (r >= 0) {
		(void)run_attempt(&u, u.file.path, wanted);
		return true;
	}
	report_failure(c, &u.attempt, &failure);
	context_ask_patience(c, failure.retry_after_sec);
	wanted->is_unknown |= r != -ENOENT;
	return true;
}

/* ---- the way back ---- */

static int fetch_release(struct upgrade *u, struct failure *failure)
{
	const struct version *version = &u->attempt.version;
	int r = step_trust(u, failure);

	if (r >= 0)
		r = trust_find_newest(*u->trust, version->program, version, &u->file, failure);
	return r < 0 ? r : fetch_file(u, failure);
}

static int fetch_previous(struct upgrade *u, struct agent_fetched *ret, struct failure *failure)
{
	int r = fetch_release(u, failure);

	if (r == -ENOENT) {
		log_notice("'%s': %s; its backup is asked for", u->attempt.version.text,
			   failure->text);
		return backup_fetch(u->c, &u->attempt.version, ret->sha256, failure);
	}
	if (r < 0)
		return r;
	ret->target = strdup(u->file.path);
	if (!ret->target)
		return failure_set_errno(failure, -ENOMEM, "program file");
	memcpy(ret->sha256, u->file.sha256, sizeof ret->sha256);
	return 0;
}

/* ---- the entrances ---- */

static void tell_waiting(const struct context *c)
{
	int r = waiting_store(c->dir_fd, &c->waiting);

	if (r < 0)
		log_debug("'%s' cannot be written: %s", WAITING_FILE, strerror(-r));
}

/* The query server is not asked for what does not run: "nothing new" would be no answer. */
static void tell_missing(struct context *c)
{
	for (size_t i = 0; i < c->conf->n_programs; i++) {
		const struct conf_program *p = &c->conf->programs[i];

		if (context_version(c, p->letter) ||
		    faccessat(AT_FDCWD, p->space, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		log_error("program %c: nothing is current in '%s'; updaterd --recover looks for "
			  "what can be",
			  p->letter, p->space);
		context_worsen(c, EXIT_FAILED);
	}
}

static int ask(struct context *c, struct answer *ret)
{
	struct failure failure = { 0 };
	int r;

	if (context_is_put_off(c))
		return EXIT_TEMPORARY;
	r = query_ask(c->http, c->conf, &c->identity, c->versions, c->n_versions, ret, &failure);
	if (r >= 0)
		return EXIT_OK;
	context_ask_patience(c, failure.retry_after_sec);
	if (r == -EKEYEXPIRED)
		(void)update_time_explain(&c->time, r, &failure);
	if (c->progress)
		progress_end(c->progress, "failed");
	log_error("query: %s (%s)", failure.text, reason_name(failure.reason));
	return r == -EAGAIN || failure.reason == REASON_NETWORK ? EXIT_TEMPORARY : EXIT_FAILED;
}

/* A new updater that goes on with the run asks again, and notes it. */
static void note_answered(const struct context *c, int64_t answered_sec)
{
	int r = c->is_replaced || c->is_cut_off ? 0 : answered_store(c->dir_fd, answered_sec);

	if (r < 0)
		log_warning("that the query server answered cannot be kept: %s", strerror(-r));
}

/* Repairs and upgrades. True if there may be results to deliver. */
static bool follow_answer(struct context *c, const struct answer *answer)
{
	const char *base = answer->file_server ? answer->file_server : c->conf->url;
	_cleanup_(trust_freep) struct trust *trust = NULL;
	struct wanted wanted = { .n = 0 };
	bool has_results = answer->n_offers > 0;

	for (size_t i = 0; i < c->conf->n_programs && !c->is_replaced; i++)
		has_results |= repair_running(c, c->conf->programs[i].letter, base, NULL, &trust,
					      &wanted);
	/* In order, so the updater comes first. */
	for (size_t i = 0; i < answer->n_offers && !c->is_replaced; i++)
		follow_offer(c, &answer->offers[i], base, &trust, &wanted);
	if (c->is_replaced || wanted.is_unknown)
		return has_results;
	tell_waiting(c);
	if (fetch_clean(c->inbox_fd, wanted.sha256, wanted.n) < 0)
		log_debug("inbox: leftovers cannot be removed");
	return has_results;
}

int agent_run_once(const struct conf *conf, struct progress *progress)
{
	_cleanup_(context_closep) struct context *c = NULL;
	_cleanup_(answer_done) struct answer answer = { 0 };
	int64_t answered_sec;
	int code, left;

	code = context_open(conf, CONTEXT_DIRECTORIES | CONTEXT_SERVER | CONTEXT_RETRIES, progress,
			    &c);
	if (code != EXIT_OK)
		return code;
	tell_missing(c);
	if (context_is_put_off(c))
		return EXIT_TEMPORARY;
	left = report_deliver(c);
	progress_begin(progress, STEP_QUERY, c->identity.value, 0, 0);
	code = ask(c, &answer);
	if (code != EXIT_OK)
		return code;
	answered_sec = time(NULL);
	progress_end(progress, NULL);
	if (answer.n_offers == 0)
		progress_say(progress, "nothing new");
	if (follow_answer(c, &answer))
		left = report_deliver(c);
	/* Results come first; a server that cannot be told them is not sent a backup. */
	if (!c->is_replaced && left <= 0)
		backup_upload(c);
	note_answered(c, answered_sec);
	return c->is_replaced ? AGENT_REPLACED : c->exit_code;
}

/* Who the query server would name as file server is worth asking; not to be told is no obstacle. */
int agent_fetch_previous(const struct conf *conf, const struct version *version,
			 struct progress *progress, struct agent_fetched *ret)
{
	_cleanup_(context_closep) struct context *c = NULL;
	_cleanup_(trust_freep) struct trust *trust = NULL;
	_cleanup_(answer_done) struct answer answer = { 0 };
	_cleanup_(upgrade_done) struct upgrade u = { .trust = &trust,
						     .is_repair = true,
						     .fd = FD_NONE };
	struct failure failure = { 0 };
	int code;

	code = context_open(conf, CONTEXT_DIRECTORIES | CONTEXT_SERVER, progress, &c);
	if (code != EXIT_OK)
		return code;
	(void)ask(c, &answer);
	u.c = c;
	u.base = answer.file_server ? answer.file_server : conf->url;
	/* A person waits for the way back: that a server asks to be left alone is no obstacle either. */
	if (attempt_begin(&u.attempt, version, &c->time) < 0) {
		log_error("'%s': no random numbers", version->text);
		return EXIT_FAILED;
	}
	if (fetch_previous(&u, ret, &failure) >= 0)
		return EXIT_OK;
	progress_end(progress, "failed");
	log_error("'%s': %s: %s (%s)", version->text, step_name(u.attempt.step), failure.text,
		  reason_name(failure.reason));
	return EXIT_FAILED;
}

int agent_look_whether_missed(const struct conf *conf)
{
	int64_t answered_sec = answered_load_from(conf->agent_dir);
	bool is_missed = answered_is_missed(answered_sec, time(NULL));
	char when[UNTIL_TEXT_BYTES];

	if (!conf->url)
		return EXIT_NOTHING_NEW;
	if (answered_sec > 0)
		log_info("the query server last answered at %s: %s",
			 until_format((uint64_t)answered_sec, when),
			 is_missed ? "a run was missed" : "no run was missed");
	else
		log_info("nobody knows when the query server last answered: a run was missed");
	return is_missed ? EXIT_OK : EXIT_NOTHING_NEW;
}

static void print_new(const struct offer *offer, bool as_json)
{
	if (as_json)
		(void)printf("{\"program\":\"%c\",\"version\":\"%s\"}\n", offer->version.program,
			     offer->version.text);
	else
		(void)printf("%s\n", offer->version.text);
}

int agent_check(const struct conf *conf, bool as_json)
{
	_cleanup_(context_closep) struct context *c = NULL;
	_cleanup_(answer_done) struct answer answer = { 0 };
	size_t n_new = 0;
	int code;

	code = context_open(conf, CONTEXT_SERVER, NULL, &c);
	if (code == EXIT_OK)
		code = ask(c, &answer);
	if (code != EXIT_OK)
		return code;
	for (size_t i = 0; i < answer.n_offers; i++) {
		const struct version *v = &answer.offers[i].version;
		const struct version *current = context_version(c, v->program);

		if (!current || version_compare(v, current) <= 0) {
			log_notice("'%s' is offered, but is not newer than what runs", v->text);
			continue;
		}
		if (c->status && client_status_is_quarantined(c->status, v)) {
			log_notice("'%s' is offered, but quarantined", v->text);
			continue;
		}
		if (c->status && client_status_is_held(c->status, v->program, c->time.now_sec)) {
			log_notice("'%s' is offered, but program %c is held", v->text, v->program);
			continue;
		}
		print_new(&answer.offers[i], as_json);
		n_new++;
	}
	if (n_new > 0)
		return EXIT_OK;
	log_info("nothing new");
	return EXIT_NOTHING_NEW;
}

int agent_deliver(const struct conf *conf)
{
	_cleanup_(context_closep) struct context *c = NULL;
	int code = context_open(conf, CONTEXT_DIRECTORIES | CONTEXT_SERVER, NULL, &c);

	if (code != EXIT_OK)
		return -EIO;
	return context_is_put_off(c) ? -EAGAIN : report_deliver(c);
}

/* ---- from a medium ---- */

/* 0: nothing to do for this program. */
static int choose_from_medium(struct upgrade *u, char program, const struct version *version,
			      struct failure *failure)
{
	const struct version *current = context_version(u->c, program);
	int r;

	r = step_trust(u, failure);
	if (r < 0)
		return r;
	r = trust_find_newest(*u->trust, program, version, &u->file, failure);
	if (r == -ENOENT && !version) {
		progress_say(u->c->progress, "%s", failure->text);
		return 0;
	}
	if (r < 0)
		return r;
	u->attempt.version = u->file.version;
	if (!version && current && version_compare(&u->file.version, current) <= 0) {
		progress_say(u->c->progress, "program %c: '%s' runs, the medium has '%s'", program,
			     current->text, u->file.version.text);
		return 0;
	}
	return 1;
}

/* Until a file is chosen the attempt is at what runs, or at the version that was asked for. */
static int begin_from_medium(struct upgrade *u, char program, const struct version *version)
{
	const struct version *current = context_version(u->c, program);

	if (!version && !current) {
		log_error("program %c has no version that runs", program);
		return -ENOENT;
	}
	return attempt_begin(&u->attempt, version ? version : current, &u->c->time);
}

static bool is_current(const struct context *c, const struct version *version)
{
	const struct version *current = context_version(c, version->program);

	return current && version_compare(current, version) == 0;
}

static void install_program(struct context *c, struct medium *medium, struct trust **trust,
			    char program, const struct version *version)
{
	_cleanup_(upgrade_done) struct upgrade u = {
		.c = c, .medium = medium, .trust = trust, .fd = FD_NONE
	};
	struct failure failure = { 0 };
	struct wanted ignored = { .n = 0 };
	int r;

	if (repair_running(c, program, NULL, medium, trust, &ignored) && version &&
	    is_current(c, version))
		return;
	if (begin_from_medium(&u, program, version) < 0) {
		context_worsen(c, EXIT_FAILED);
		return;
	}
	r = choose_from_medium(&u, program, version, &failure);
	if (r < 0)
		report_failure(c, &u.attempt, &failure);
	if (r > 0)
		(void)run_attempt(&u, u.file.path, &ignored);
}

int agent_install_from(const struct conf *conf, struct medium *medium, char program,
		       const struct version *version, struct progress *progress)
{
	_cleanup_(context_closep) struct context *c = NULL;
	_cleanup_(trust_freep) struct trust *trust = NULL;
	int code;

	code = context_open(conf, CONTEXT_DIRECTORIES, progress, &c);
	if (code != EXIT_OK)
		return code;
	for (size_t i = 0; i < conf->n_programs; i++) {
		char letter = conf->programs[i].letter;

		if ((program && letter != program) || (version && letter != version->program))
			continue;
		install_program(c, medium, &trust, letter, version);
	}
	if (!context_is_put_off(c))
		(void)report_deliver(c);
	return c->exit_code;
}
