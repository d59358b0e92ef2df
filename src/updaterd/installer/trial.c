/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/trial.h"

#include <string.h>

#include "common/json.h"
#include "common/log.h"

#define PAUSE_MSEC 500u

/* ---- downtime ---- */

static void note_down(struct downtime *d, uint64_t at_msec)
{
	if (d->is_down)
		return;
	d->is_down = true;
	d->since_msec = at_msec;
}

static void note_ready(struct downtime *d, uint64_t at_msec)
{
	if (!d->is_down)
		return;
	d->is_down = false;
	d->total_msec += at_msec - d->since_msec;
}

/* ---- the probe ---- */

static int ask(struct trial *t, enum probe_phase phase, const char *version,
	       struct probe_answer *answer, struct failure *failure)
{
	const struct probe_request request = {
		.command = t->program->probe,
		.user = t->program->probe_user,
		.release = t->probe_release,
		.program = t->program->letter,
		.phase = phase,
		.version = version,
		.baseline = phase == PROBE_AFTER ? t->baseline : NULL,
	};

	return t->service.ops->probe(t->service.userdata, &request, answer, failure);
}

static int parse_answer(const struct probe_answer *answer, cJSON **ret)
{
	_cleanup_json_ cJSON *json = NULL;
	int r;

	r = json_parse(answer->output, answer->output_size, NULL, &json, NULL);
	if (r < 0)
		return r;
	if (!cJSON_IsObject(json))
		return -EBADMSG;
	*ret = TAKE_PTR(json);
	return 0;
}

/* "what it means: the probe's reasons; one after the other" */
static int judged(struct failure *failure, int error, enum reason reason, const char *meaning,
		  const struct probe_answer *answer)
{
	char text[sizeof failure->text] = "";
	_cleanup_json_ cJSON *json = NULL;
	const cJSON *reasons, *one;
	size_t used = 0;

	if (parse_answer(answer, &json) == 0 &&
	    json_get_array(json, "reasons", &reasons, NULL) == 0) {
		cJSON_ArrayForEach (one, reasons) {
			if (!cJSON_IsString(one) || used >= sizeof text)
				continue;
			used += (size_t)snprintf(text + used, sizeof text - used, "%s%s",
						 used ? "; " : ": ", one->valuestring);
		}
	}
	return failure_set(failure, error, reason, "%s%s", meaning, text);
}

static bool is_updater_on_trial(const struct trial *t)
{
	return t->program->trial_unit && t->updater.txid;
}

int trial_ask_before(struct trial *t, const char *running_version, struct failure *failure)
{
	_cleanup_free_ struct probe_answer *answer = NULL;
	_cleanup_json_ cJSON *json = NULL;
	struct failure no_answer;
	int r;

	/* Now, while nothing depends on there being room. */
	r = is_updater_on_trial(t) ? updater_trial_prepare(t->updater.installer_fd) : 0;
	if (r < 0)
		return failure_set_errno(failure, r, "preparing the trial");
	if (!t->program->probe)
		return 0;
	answer = calloc(1, sizeof *answer);
	if (!answer)
		return failure_set_errno(failure, -ENOMEM, "asking the probe");
	if (ask(t, PROBE_BEFORE, running_version, answer, &no_answer) < 0) {
		log_debug("%s", no_answer.text);
		return 0;
	}
	t->had_answer = answer->verdict != PROBE_NO_ANSWER;
	if (answer->verdict == PROBE_NOT_NOW)
		return judged(failure, -EAGAIN, REASON_NOT_NOW, "the program asks to wait", answer);
	if (answer->verdict != PROBE_GOOD || parse_answer(answer, &json) < 0)
		return 0;
	t->baseline = strdup(answer->output);
	return t->baseline ? 0 : failure_set_errno(failure, -ENOMEM, "asking the probe");
}

/* 1: well. 0: not yet, with *failure saying what is missing. Negative: bad. */
static int ask_after(struct trial *t, struct probe_answer *answer, struct failure *failure)
{
	int r;

	r = ask(t, PROBE_AFTER, t->version, answer, failure);
	if (r < 0)
		return 0;
	switch (answer->verdict) {
	case PROBE_GOOD: return 1;
	case PROBE_NOT_YET:
		(void)judged(failure, 0, REASON_UNHEALTHY, "the probe did not say yes in time",
			     answer);
		return 0;
	case PROBE_BAD: return judged(failure, -EIO, REASON_UNHEALTHY, "the probe says no", answer);
	case PROBE_WRONG_VERSION:
		return judged(failure, -EIO, REASON_WRONG_VERSION, "another version answers",
			      answer);
	case PROBE_NOT_NOW:
	case PROBE_NO_ANSWER: break;
	}
	(void)judged(failure, 0, REASON_PROBE_FAILED, "the probe gave no answer", answer);
	return 0;
}

/* ---- the unit ---- */

int trial_restart(struct trial *t, struct service_start *ret, struct failure *failure)
{
	const struct service_ops *ops = t->service.ops;
	struct service_start start = { 0 };
	int r;

	if (!t->program->unit) {
		start.ready_at_msec = ops->now_msec(t->service.userdata);
		*ret = start;
		return 0;
	}
	r = ops->restart(t->service.userdata, t->program->unit, t->program->ready_timeout_sec,
			 &start, failure);
	note_down(&t->downtime, start.down_at_msec);
	if (r < 0)
		return r;
	note_ready(&t->downtime, start.ready_at_msec);
	*ret = start;
	return 0;
}

static int check_unit(struct trial *t, const struct service_start *start, struct failure *failure)
{
	const struct service_ops *ops = t->service.ops;
	int r;

	if (!t->program->unit)
		return 0;
	r = ops->check(t->service.userdata, t->program->unit, start, failure);
	if (r < 0)
		note_down(&t->downtime, ops->now_msec(t->service.userdata));
	return r;
}

static int check_call_off(const struct trial *t, struct failure *failure)
{
	enum reason reason = t->called_off ? t->called_off(t->userdata) : REASON_NONE;

	if (reason == REASON_NONE)
		return 0;
	return failure_set(failure, -ECANCELED, reason, "the trial was called off");
}

int trial_judge(struct trial *t, const struct service_start *start, struct failure *failure)
{
	const struct conf_program *p = t->program;
	const struct service_ops *ops = t->service.ops;
	uint64_t settled_msec = start->ready_at_msec + p->settle_sec * 1000;
	uint64_t deadline_msec = start->ready_at_msec + p->probe_timeout_sec * 1000;
	_cleanup_free_ struct probe_answer *answer = NULL;
	bool is_well = !p->probe;

	if (p->trial_unit)
		return t->updater.txid ? updater_trial_run(&t->updater, p, t->service, failure) : 0;
	answer = calloc(1, sizeof *answer);
	if (!answer)
		return failure_set_errno(failure, -ENOMEM, "asking the probe");
	for (;;) {
		uint64_t now_msec;
		int r;

		r = check_call_off(t, failure);
		if (r == 0)
			r = check_unit(t, start, failure);
		if (r < 0)
			return r;
		if (!is_well) {
			r = ask_after(t, answer, failure);
			if (r < 0)
				return r;
			is_well = r > 0;
		}
		now_msec = ops->now_msec(t->service.userdata);
		if (is_well && now_msec >= settled_msec)
			return 0;
		if (!is_well && now_msec >= deadline_msec)
			return -EIO;
		ops->pause(t->service.userdata, PAUSE_MSEC);
	}
}

void trial_done(struct trial *t)
{
	free(t->baseline);
	t->baseline = NULL;
	if (t->program && is_updater_on_trial(t) &&
	    updater_trial_forget(t->updater.installer_fd) < 0)
		log_warning("'%s' cannot be removed", UPDATER_TRIAL_PROOF);
}
