/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/probe.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "bmsd/client.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"

#define BASELINE_MAX_BYTES 65536
#define CALL_TIMEOUT_MSEC  1000
/* The first sample of a good release is there by then; if not, updaterd asks again. */
#define WAIT_MSEC	   4000
#define PAUSE_MSEC	   200
#define NUMBER_MAX	   ((UINT64_C(1) << 53) - 1)

/* ---- reading what may be missing ---- */

static int64_t number_or(const cJSON *object, const char *key, int64_t otherwise)
{
	uint64_t value = 0;

	return json_get_u64(object, key, NUMBER_MAX, &value, NULL) < 0 ? otherwise : (int64_t)value;
}

static bool flag_or(const cJSON *object, const char *key, bool otherwise)
{
	bool value = otherwise;

	return json_get_bool(object, key, &value, NULL) < 0 ? otherwise : value;
}

static const cJSON *packs_of(const cJSON *health)
{
	const cJSON *packs = NULL;

	return json_get_array(health, "packs", &packs, NULL) < 0 ? NULL : packs;
}

static const cJSON *find_pack(const cJSON *health, const char *name)
{
	const cJSON *pack;

	cJSON_ArrayForEach (pack, packs_of(health))
		if (strcmp(json_text_or(pack, "name", ""), name) == 0)
			return pack;
	return NULL;
}

/* Why a pack is left out, or what comes first where pack is negative; "" without a reason. */
static const char *refusal_of(const cJSON *health, int64_t pack)
{
	const cJSON *refusal;

	cJSON_ArrayForEach (refusal, cJSON_GetObjectItemCaseSensitive(health, "config_refused"))
		if (pack < 0 || number_or(refusal, "pack", -1) == pack)
			return json_text_or(refusal, "text", "");
	return "";
}

/* ---- judging ---- */

struct judgement {
	enum probe_verdict verdict;
	cJSON *reasons;
	const char *pack;
	bool is_same_process; /* nothing was restarted, so nothing had to be restored */
};

static void _printf_(3, 4)
	object(struct judgement *j, enum probe_verdict v, const char *format, ...)
{
	char text[200];
	int used = j->pack ? snprintf(text, sizeof text, "pack %.32s: ", j->pack) : 0;
	cJSON *item;
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text + used, sizeof text - (size_t)used, format, args);
	va_end(args);
	item = cJSON_CreateString(text);
	if (item)
		(void)cJSON_AddItemToArray(j->reasons, item);
	if (v > j->verdict)
		j->verdict = v;
}

/* Whether it would measure is then not to be told, whatever was before. */
static void judge_configuration(struct judgement *j, const cJSON *health)
{
	const cJSON *packs = packs_of(health);
	const char *refusal = refusal_of(health, -1);

	if (packs && cJSON_GetArraySize(packs) == 0 && refusal[0])
		object(j, PROBE_BAD, "no pack is left: %s", refusal);
}

enum probe_verdict probe_judge_before(const cJSON *health, cJSON *reasons)
{
	struct judgement j = { .reasons = reasons };
	const cJSON *reason;

	judge_configuration(&j, health);
	if (j.verdict != PROBE_WELL)
		return j.verdict;
	if (flag_or(health, "update_ok", true))
		return PROBE_WELL;
	cJSON_ArrayForEach (reason, cJSON_GetObjectItemCaseSensitive(health, "update_reasons"))
		if (cJSON_IsString(reason))
			object(&j, PROBE_NOT_NOW, "%s", reason->valuestring);
	return PROBE_NOT_NOW;
}

static void judge_identity(struct judgement *j, const cJSON *was, const cJSON *is)
{
	const char *model_was = json_text_or(was, "model", ""),
		   *model_is = json_text_or(is, "model", "");
	int64_t cells_was = number_or(was, "cells", -1), cells_is = number_or(is, "cells", -1);

	if (model_was[0] && !model_is[0])
		object(j, PROBE_NOT_YET, "the board has not said its model yet");
	else if (model_was[0] && strcmp(model_was, model_is) != 0)
		object(j, PROBE_BAD, "the board was '%.64s' and is now '%.64s'", model_was,
		       model_is);
	if (cells_was >= 0 && cells_was != cells_is)
		object(j, PROBE_BAD, "it had %" PRId64 " cells and has now %" PRId64, cells_was,
		       cells_is);
}

static void judge_error_rate(struct judgement *j, const cJSON *was, const cJSON *is)
{
	int64_t rate_was = number_or(was, "error_rate_permille", 0);
	int64_t rate_is = number_or(is, "error_rate_permille", 0);
	int64_t polls = number_or(is, "recent_polls", 0);
	int64_t limit = rate_was * 2 > PROBE_RATE_FLOOR_PERMILLE ? rate_was * 2
								 : PROBE_RATE_FLOOR_PERMILLE;

	if (rate_is <= limit)
		return;
	object(j, polls < PROBE_RATE_POLLS ? PROBE_NOT_YET : PROBE_BAD,
	       "%" PRId64 " of 1000 of the last %" PRId64 " polls failed, %" PRId64 " before",
	       rate_is, polls, rate_was);
}

static void judge_charge(struct judgement *j, const cJSON *was, const cJSON *is)
{
	int64_t soc_was = number_or(was, "soc_percent", -1);
	int64_t soc_is = number_or(is, "soc_percent", -1);

	if (soc_was < 0)
		return;
	if (soc_is < 0)
		object(j, PROBE_NOT_YET, "the state of charge is unknown, it was %" PRId64 " %%",
		       soc_was);
	else if (llabs(soc_is - soc_was) > PROBE_SOC_TOLERANCE_PERCENT)
		object(j, PROBE_BAD,
		       "the state of charge was %" PRId64 " %% and is now %" PRId64 " %%", soc_was,
		       soc_is);
}

/* What bmsd itself counts, and must have kept. Absent in an older one's Health: not judged. */
static void judge_own_charge(struct judgement *j, const cJSON *was, const cJSON *is)
{
	int64_t soc_was = number_or(was, "soc_centipercent", -1);
	int64_t soc_is = number_or(is, "soc_centipercent", -1);
	int64_t cycles_was = number_or(was, "cycles_milli", -1);
	int64_t cycles_is = number_or(is, "cycles_milli", -1);

	if (soc_was >= 0 && soc_is >= 0 &&
	    llabs(soc_is - soc_was) > PROBE_OWN_SOC_TOLERANCE_CENTIPERCENT)
		object(j, PROBE_BAD,
		       "bmsd's own state of charge was %.2f %% and is now %.2f %% (from %.32s)",
		       (double)soc_was / 100, (double)soc_is / 100,
		       json_text_or(is, "soc_source", "an unknown source"));
	if (cycles_was >= 0 && cycles_is >= 0 && cycles_is < cycles_was)
		object(j, PROBE_BAD, "it had %.3f full cycles and has now %.3f",
		       (double)cycles_was / 1000, (double)cycles_is / 1000);
}

static void judge_state(struct judgement *j, const cJSON *was, const cJSON *is)
{
	const cJSON *state_was = NULL, *state_is = NULL;

	if (json_get_object(was, "state", &state_was, NULL) < 0 ||
	    json_get_object(is, "state", &state_is, NULL) < 0)
		return;
	if (!j->is_same_process && flag_or(state_was, "on_disk", false) &&
	    !flag_or(state_is, "restored", true))
		object(j, PROBE_BAD, "its saved state was not restored");
}

static void judge_pack(struct judgement *j, const cJSON *was, const cJSON *is)
{
	judge_state(j, was, is);
	if (strcmp(json_text_or(was, "link", "down"), "up") != 0)
		return;
	if (strcmp(json_text_or(is, "link", "down"), "up") != 0) {
		object(j, PROBE_NOT_YET, "the link was up before: %s",
		       json_text_or(is, "detail", "it is down now"));
		return;
	}
	if (!flag_or(was, "present", false))
		return;
	if (!flag_or(is, "present", false)) {
		object(j, PROBE_NOT_YET, "no fresh plausible sample: %s",
		       json_text_or(is, "detail", "none yet"));
		return;
	}
	judge_identity(j, was, is);
	judge_error_rate(j, was, is);
	judge_charge(j, was, is);
	judge_own_charge(j, was, is);
}

static bool is_same_process(const cJSON *baseline, const cJSON *health)
{
	int64_t pid = number_or(baseline, "pid", -1);

	return pid >= 0 && pid == number_or(health, "pid", -1) &&
	       number_or(health, "uptime_msec", -1) >= number_or(baseline, "uptime_msec", 0);
}

/* A number that was shown once must never be given again. */
static void judge_events(struct judgement *j, const cJSON *baseline, const cJSON *health)
{
	int64_t was = number_or(baseline, "event_sequence", -1);
	int64_t is = number_or(health, "event_sequence", -1);

	if (was >= 0 && is >= 0 && is < was)
		object(j, PROBE_BAD,
		       "the last event was number %" PRId64 " and is now number %" PRId64, was, is);
}

enum probe_verdict probe_judge_after(const cJSON *baseline, const cJSON *health,
				     const char *expected_version, cJSON *reasons)
{
	struct judgement j = { .reasons = reasons,
			       .is_same_process = is_same_process(baseline, health) };
	const char *version = json_text_or(health, "version", "");
	const cJSON *was;

	if (expected_version && strcmp(version, expected_version) != 0) {
		object(&j, PROBE_OTHER_VERSION, "'%.32s' answers, expected is '%.32s'", version,
		       expected_version);
		return j.verdict;
	}
	if (!flag_or(health, "ready", false))
		object(&j, PROBE_NOT_YET, "the daemon is not ready");
	judge_configuration(&j, health);
	judge_events(&j, baseline, health);
	cJSON_ArrayForEach (was, packs_of(baseline)) {
		const char *name = json_text_or(was, "name", "");
		int64_t number = number_or(was, "number", INT64_MAX);
		const cJSON *is = find_pack(health, name);

		j.pack = name;
		if (is)
			judge_pack(&j, was, is);
		else
			object(&j, PROBE_BAD, "it was served before and is not now%s%s",
			       refusal_of(health, number)[0] ? ": " : "",
			       refusal_of(health, number));
	}
	return j.verdict;
}

/* ---- the command ---- */

/* Health of the running daemon, parsed. On failure *ret_error is a sentence; caller frees. */
static int ask(cJSON **ret, char **ret_error)
{
	_cleanup_free_ char *text = NULL;
	struct json_error why = {};
	int r;

	r = client_call("Health", CALL_TIMEOUT_MSEC, &text, ret_error);
	if (r < 0)
		return r;
	r = json_parse(text, strlen(text), NULL, ret, &why);
	if (r < 0 && asprintf(ret_error, "bmsd's answer: %s", why.text) < 0)
		*ret_error = NULL;
	return r;
}

static void print(const cJSON *json)
{
	_cleanup_free_ char *text = json_print(json);

	if (text)
		(void)puts(text);
}

static enum probe_verdict run_before(void)
{
	_cleanup_json_ cJSON *health = NULL;
	_cleanup_free_ char *error = NULL;
	enum probe_verdict verdict;
	cJSON *reasons;

	if (ask(&health, &error) < 0) {
		log_error("%s", error ? error : "out of memory");
		return PROBE_NOT_YET;
	}
	reasons = cJSON_CreateArray();
	if (!reasons)
		return PROBE_NOT_YET;
	verdict = probe_judge_before(health, reasons);
	cJSON_DeleteItemFromObjectCaseSensitive(health, "reasons");
	if (!cJSON_AddItemToObject(health, "reasons", reasons))
		cJSON_Delete(reasons);
	print(health);
	return verdict;
}

/* One look; reasons holds this look's reasons only. */
static enum probe_verdict look_once(const cJSON *baseline, const char *version, cJSON *reasons)
{
	_cleanup_json_ cJSON *health = NULL;
	_cleanup_free_ char *error = NULL;
	struct judgement j = { .reasons = reasons };

	while (cJSON_GetArraySize(reasons) > 0)
		cJSON_DeleteItemFromArray(reasons, 0);
	if (ask(&health, &error) < 0) {
		object(&j, PROBE_NOT_YET, "%s", error ? error : "out of memory");
		return j.verdict;
	}
	return probe_judge_after(baseline, health, version, reasons);
}

/* A bounded read of standard input. 1: there is a baseline, 0: none. */
static int read_baseline(cJSON **ret, struct json_error *error)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size = 0;
	int r;

	if (isatty(STDIN_FILENO))
		return 0;
	bytes = malloc(BASELINE_MAX_BYTES + 1);
	if (!bytes)
		return -ENOMEM;
	while (size <= BASELINE_MAX_BYTES) {
		ssize_t n = read(STDIN_FILENO, bytes + size, BASELINE_MAX_BYTES + 1 - size);

		if (n < 0 && errno == EINTR)
			continue;
		/* No standard input at all is no baseline either. */
		if (n < 0 && errno != EBADF)
			return -errno;
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	if (size == 0)
		return 0;
	r = json_parse(bytes, size, NULL, ret, error);
	return r < 0 ? r : 1;
}

static void report(enum probe_verdict verdict, const char *version, const cJSON *reasons)
{
	_cleanup_json_ cJSON *out = cJSON_CreateObject();

	if (out && cJSON_AddNumberToObject(out, "verdict", verdict) &&
	    cJSON_AddStringToObject(out, "expected_version", version ? version : "") &&
	    cJSON_AddItemReferenceToObject(out, "reasons", (cJSON *)(uintptr_t)reasons))
		print(out);
}

static enum probe_verdict run_after(const char *version)
{
	_cleanup_json_ cJSON *baseline = NULL, *reasons = cJSON_CreateArray();
	const struct timespec pause = { .tv_nsec = PAUSE_MSEC * 1000000L };
	uint64_t until_msec = clock_now_msec(CLOCK_MONOTONIC) + WAIT_MSEC;
	struct judgement j = { .reasons = reasons };
	struct json_error error = {};

	if (!reasons)
		return PROBE_NOT_YET;
	if (read_baseline(&baseline, &error) < 0) {
		object(&j, PROBE_BAD, "the baseline cannot be read: %s", error.text);
		report(j.verdict, version, reasons);
		return j.verdict;
	}
	do {
		j.verdict = look_once(baseline, version, reasons);
		if (j.verdict != PROBE_NOT_YET)
			break;
		(void)nanosleep(&pause, NULL);
	} while (clock_now_msec(CLOCK_MONOTONIC) < until_msec);
	report(j.verdict, version, reasons);
	return j.verdict;
}

enum probe_verdict probe_run(void)
{
	const char *phase = getenv("UPDATERD_PHASE"), *version = getenv("UPDATERD_VERSION");

	/* By hand, without updaterd: what would be said before an upgrade. */
	if (!phase || strcmp(phase, "before") == 0)
		return run_before();
	if (strcmp(phase, "after") == 0)
		return run_after(version && version[0] ? version : NULL);
	log_error("UPDATERD_PHASE is neither 'before' nor 'after'");
	return PROBE_NOT_YET;
}
