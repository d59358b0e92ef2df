/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/record.h"

#include <string.h>

#include "updaterd/rescue.h"

#define DETAIL "detail"

static const char *const keys[] = {
	"txid",		  "kind",	   "file",
	"program",	  "from",	   "to",
	"outcome",	  "step",	   "reason",
	DETAIL,		  "started_sec",   "duration_ms",
	"downtime_ms",	  "bytes_fetched", "segments_fetched",
	"segments_again", "tries",	   RECORD_BEFORE_PREVIOUS,
	RECORD_TARGET,	  RESCUE_KEY,
};

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

/* Where a newer updaterd has filled the journal, an end without its sentence is better than none. */
static int set_word(struct journal *j, const char *key, const char *value)
{
	int r = journal_set(j, key, value);

	if (r == -ENOSPC && strcmp(key, DETAIL) == 0)
		r = journal_set(j, DETAIL, NULL);
	return r;
}

static int set_text(struct journal *j, const struct result *r)
{
	const char letter[2] = { r->program, '\0' };
	char detail[sizeof r->failure.text];
	size_t n = 0;

	for (; r->failure.text[n]; n++)
		detail[n] = r->failure.text[n] == '\n' ? ' ' : r->failure.text[n];
	detail[n] = '\0';
	const struct {
		const char *key, *value;
	} words[] = {
		{ "txid", r->txid },
		{ "kind", r->kind },
		{ "file", r->share.file },
		{ "program", letter },
		{ "from", or_null(r->from) },
		{ "to", or_null(r->to) },
		{ "outcome", outcome_name(r->outcome) },
		{ "step", step_name(r->step) },
		{ "reason", reason_name(r->failure.reason) },
		{ DETAIL, or_null(detail) },
	};

	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		int ret = set_word(j, words[i].key, words[i].value);

		if (ret < 0)
			return ret;
	}
	return 0;
}

static int set_numbers(struct journal *j, const struct result *r)
{
	const struct {
		const char *key;
		uint64_t value;
	} numbers[] = {
		{ "started_sec", r->share.started_sec },
		{ "duration_ms", r->share.duration_ms },
		{ "downtime_ms", r->downtime_ms },
		{ "bytes_fetched", r->share.bytes_fetched },
		{ "segments_fetched", r->share.segments_fetched },
		{ "segments_again", r->share.segments_again },
	};

	for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
		int ret = journal_set_u64(j, numbers[i].key, numbers[i].value);

		if (ret < 0)
			return ret;
	}
	return 0;
}

int record_durably(struct journal *j, enum journal_state state, const struct result *r)
{
	int ret;

	ret = set_text(j, r);
	if (ret == 0)
		ret = set_numbers(j, r);
	if (ret == 0)
		ret = journal_set(j, "state", journal_state_name(state));
	return ret < 0 ? ret : journal_write(j);
}

int record_end_durably(struct journal *j)
{
	int r;

	for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
		r = journal_set(j, keys[i], NULL);
		if (r < 0)
			return r;
	}
	r = journal_set(j, "state", journal_state_name(JOURNAL_IDLE));
	return r < 0 ? r : journal_write(j);
}

static void load_version(const struct journal *j, const char *key, char ret[VERSION_LENGTH + 1])
{
	const char *text = journal_get(j, key);
	struct version version;

	if (text && version_parse(text, &version) == 0)
		memcpy(ret, version.text, VERSION_LENGTH + 1);
}

static int load_word(const struct journal *j, const char *key, int (*from_name)(const char *))
{
	const char *word = journal_get(j, key);
	int value = word ? from_name(word) : 0;

	return value < 0 ? 0 : value;
}

int record_load(const struct journal *j, struct result *ret)
{
	const char *txid = journal_get(j, "txid"), *program = journal_get(j, "program"),
		   *kind = journal_get(j, "kind"), *detail = journal_get(j, DETAIL);
	struct result r = { 0 };

	if (!txid || !txid_is_valid(txid) || !program || strlen(program) != 1 || !kind)
		return -EBADMSG;
	(void)snprintf(r.txid, sizeof r.txid, "%s", txid);
	r.program = *program;
	r.kind = result_kind_from_name(kind);
	r.share.file = result_file_from_name(journal_get(j, "file"));
	load_version(j, "from", r.from);
	load_version(j, "to", r.to);
	r.outcome = (enum outcome)load_word(j, "outcome", outcome_from_name);
	r.step = (enum step)load_word(j, "step", step_from_name);
	r.failure.reason = (enum reason)load_word(j, "reason", reason_from_name);
	(void)snprintf(r.failure.text, sizeof r.failure.text, "%s", detail ? detail : "");
	r.share.started_sec = journal_get_u64(j, "started_sec");
	r.share.duration_ms = journal_get_u64(j, "duration_ms");
	r.downtime_ms = journal_get_u64(j, "downtime_ms");
	r.share.bytes_fetched = journal_get_u64(j, "bytes_fetched");
	r.share.segments_fetched = journal_get_u64(j, "segments_fetched");
	r.share.segments_again = journal_get_u64(j, "segments_again");
	*ret = r;
	return 0;
}

int record_find(const struct state *s, const char *txid, char **ret_json)
{
	struct result result;
	int r;

	r = result_find(s->dirfd, txid, ret_json);
	if (r != -ENOENT)
		return r;
	if (record_load(s->journal, &result) < 0 || strcmp(result.txid, txid) != 0 ||
	    result.outcome == OUTCOME_NONE)
		return -ENOENT;
	record_versions(s->conf, &result);
	return result_format(&result, ret_json);
}

void record_versions(const struct conf *conf, struct result *r)
{
	r->n_versions = 0;
	for (size_t i = 0; i < conf->n_programs; i++) {
		struct version version;

		if (state_current(conf, conf->programs[i].letter, &version) < 0)
			continue;
		r->versions[r->n_versions].letter = version.program;
		memcpy(r->versions[r->n_versions++].version, version.text, VERSION_LENGTH + 1);
	}
}
