/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/report.h"

#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "updaterd/exit_codes.h"
#include "updaterd/result.h"

#define ANSWER_MAX_BYTES (16u << 10)

int attempt_begin(struct attempt *a, const struct version *version, const struct update_time *time)
{
	*a = (struct attempt){ .version = *version,
			       .kind = RESULT_KIND_UPGRADE,
			       .step = STEP_TRUST,
			       .started_sec = (uint64_t)update_time_passing_sec(time),
			       .started_msec = clock_now_msec(CLOCK_BOOTTIME) };
	return txid_new(a->txid);
}

int attempt_share(const struct attempt *a, char **ret_json)
{
	_cleanup_json_ cJSON *share = cJSON_CreateObject();
	char *text;

	if (!share || !cJSON_AddStringToObject(share, "kind", a->kind) ||
	    (a->file && !cJSON_AddStringToObject(share, "file", a->file)) ||
	    (a->is_from_medium && !cJSON_AddTrueToObject(share, "from_medium")) ||
	    !json_add_u64(share, "started_sec", a->started_sec) ||
	    !json_add_u64(share, "duration_ms", clock_now_msec(CLOCK_BOOTTIME) - a->started_msec) ||
	    !json_add_u64(share, "bytes_fetched", a->bytes_fetched) ||
	    !json_add_u64(share, "segments_fetched", a->segments_fetched) ||
	    !json_add_u64(share, "segments_again", a->segments_again))
		return -ENOMEM;
	text = json_print(share);
	if (!text)
		return -ENOMEM;
	*ret_json = text;
	return 0;
}

/* The reasons stand in groups (common/reason.h): trust, policy and content are judgements. */
enum outcome report_outcome(enum reason reason)
{
	if (reason == REASON_NOT_NOW)
		return OUTCOME_POSTPONED;
	return reason >= REASON_BAD_SIGNATURE && reason <= REASON_TAR_CONTENT ? OUTCOME_REFUSED
									      : OUTCOME_FAILED;
}

/* What may be different the next time without anybody doing anything. */
static int exit_code_of(enum reason reason)
{
	return reason == REASON_NETWORK || reason == REASON_SERVER_ERROR || reason == REASON_BUSY ||
			       reason == REASON_NOT_NOW
		       ? EXIT_TEMPORARY
		       : EXIT_FAILED;
}

/* ---- results ---- */

static int keep(struct context *c, cJSON *result)
{
	if (!c->identity.type[0])
		return -ENODATA;
	if (!cJSON_HasObjectItem(result, "identity") &&
	    !cJSON_AddItemToObject(result, "identity", identity_to_json(&c->identity)))
		return -ENOMEM;
	return outbox_put(c->outbox_fd, result);
}

static int make_result(const struct context *c, const struct attempt *a,
		       const struct failure *failure, cJSON **ret)
{
	const struct version *from = context_version(c, a->version.program);
	struct result result = { .program = a->version.program,
				 .kind = a->kind,
				 .outcome = report_outcome(failure->reason),
				 .step = a->step,
				 .failure = *failure,
				 .share = { .started_sec = a->started_sec,
					    .duration_ms = clock_now_msec(CLOCK_BOOTTIME) -
							   a->started_msec,
					    .bytes_fetched = a->bytes_fetched,
					    .segments_fetched = a->segments_fetched,
					    .segments_again = a->segments_again,
					    .file = a->file } };
	_cleanup_free_ char *json = NULL;
	int r;

	memcpy(result.txid, a->txid, sizeof result.txid);
	memcpy(result.to, a->version.text, sizeof result.to);
	if (from)
		memcpy(result.from, from->text, sizeof result.from);
	for (size_t i = 0; i < c->n_versions; i++) {
		result.versions[i].letter = c->versions[i].program;
		memcpy(result.versions[i].version, c->versions[i].text, VERSION_LENGTH + 1);
	}
	result.n_versions = c->n_versions;
	r = result_format(&result, &json);
	return r < 0 ? r : json_parse(json, strlen(json), NULL, ret, NULL);
}

void report_failure(struct context *c, const struct attempt *a, const struct failure *failure)
{
	_cleanup_json_ cJSON *result = NULL;
	int r;

	if (c->progress)
		progress_end(c->progress, "failed");
	log_error("'%s': %s: %s (%s)", a->version.text, step_name(a->step), failure->text,
		  reason_name(failure->reason));
	context_worsen(c, exit_code_of(failure->reason));
	c->is_cut_off |= failure->reason == REASON_NETWORK;
	r = make_result(c, a, failure, &result);
	if (r >= 0 && c->progress)
		progress_result(c->progress, result, true);
	if (r >= 0)
		r = keep(c, result);
	if (r < 0)
		log_warning("'%s': the result cannot be kept: %s", a->version.text, strerror(-r));
}

void report_finished(struct context *c, const cJSON *result)
{
	const char *outcome = "", *reason = "", *detail = "", *to = "";
	bool good;
	int which;

	(void)!json_get_string(result, "outcome", &outcome, NULL);
	(void)!json_get_string(result, "reason", &reason, NULL);
	(void)!json_get_string(result, "detail", &detail, NULL);
	(void)!json_get_string(result, "to", &to, NULL);
	which = outcome_from_name(outcome);
	good = which == OUTCOME_CONFIRMED;
	if (!good) {
		/* For how long it may be put off is the installer's to judge, and to complain of. */
		log_write(which == OUTCOME_POSTPONED ? LOG_NOTICE : LOG_ERR, "'%s': %s (%s)%s%s",
			  to, outcome, reason, detail[0] ? ": " : "", detail);
		context_worsen(c, which == OUTCOME_POSTPONED ? EXIT_TEMPORARY : EXIT_FAILED);
	}
	if (c->progress)
		progress_result(c->progress, result, !good);
}

/* ---- delivery ---- */

static void collect(struct context *c)
{
	_cleanup_json_ cJSON *results = NULL;
	struct failure failure = { 0 };
	cJSON *result;
	int r;

	/* Without identity they stay where they are. */
	if (!c->client || !c->identity.type[0])
		return;
	r = client_results(c->client, &results, &failure);
	if (r < 0) {
		log_warning("the installer's results: %s", failure.text);
		return;
	}
	cJSON_ArrayForEach (result, results) {
		r = keep(c, result);
		if (r < 0)
			log_warning("a result of the installer cannot be kept: %s", strerror(-r));
	}
}

static enum delivery send_result(void *userdata, const char *txid, const char *body, size_t size)
{
	_cleanup_(http_response_done) struct http_response response = { 0 };
	_cleanup_free_ char *path = NULL, *url = NULL;
	struct context *c = userdata;
	enum delivery delivery;
	int r;

	if (asprintf(&path, "v1/results/%s", txid) < 0) {
		path = NULL;
		return DELIVERY_LATER;
	}
	r = http_join_url(c->conf->url, path, &url);
	if (r < 0)
		return DELIVERY_LATER;
	r = http_send(c->http, "PUT", url, body, size, ANSWER_MAX_BYTES, &response);
	if (r < 0) {
		log_warning("results: %s: %s", c->conf->url, http_error(c->http));
		return DELIVERY_LATER;
	}
	delivery = outbox_judge(response.status, response.body, response.body_size);
	if (delivery == DELIVERY_LATER) {
		log_warning("results: the query server answered %ld", response.status);
		context_ask_patience(c, response.retry_after_sec);
	}
	if (delivery == DELIVERY_REJECTED)
		log_error("results: the query server rejects '%s' (%ld): %.200s", txid,
			  response.status, response.body ? response.body : "");
	return delivery;
}

/* One that was never the installer's is unknown to it, which is as good. */
static void archived(void *userdata, const char *txid)
{
	struct context *c = userdata;
	struct failure failure = { 0 };

	if (c->client && client_archived(c->client, txid, &failure) < 0)
		log_debug("results: Archived '%s': %s", txid, failure.text);
}

/* The installer need not keep it as well. */
static void rejected(void *userdata, const char *txid)
{
	archived(userdata, txid);
	log_notice("results: '%s' is kept as %s.rejected", txid, txid);
}

int report_deliver(struct context *c)
{
	const struct outbox_ops ops = {
		.userdata = c, .send = send_result, .archived = archived, .rejected = rejected
	};
	int left;

	collect(c);
	if (!c->http)
		return 0;
	http_limit_time(c->http, c->conf->result_timeout_sec);
	left = outbox_flush(c->outbox_fd, &ops);
	if (left < 0)
		log_warning("outbox: %s", strerror(-left));
	else if (left > 0)
		log_notice("%d result%s not archived yet", left, left == 1 ? " is" : "s are");
	return left;
}
