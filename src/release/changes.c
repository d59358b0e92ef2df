/* SPDX-License-Identifier: Apache-2.0 */
#include "release/changes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/json.h"
#include "release/authority.h"
#include "release/metadata.h"
#include "release/target.h"

void changes_done(struct changes *c)
{
	cJSON_Delete(c->sentences);
	c->sentences = NULL;
}

void changes_add(struct changes *c, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	cJSON *sentence;
	va_list args;
	int n;

	if (!c)
		return;
	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		text = NULL;
	if (!c->sentences)
		c->sentences = cJSON_CreateArray();
	sentence = text ? cJSON_CreateString(text) : NULL;
	if (!sentence || !cJSON_AddItemToArray(c->sentences, sentence)) {
		cJSON_Delete(sentence);
		c->out_of_memory = true;
	}
}

/* One role's sentence while it grows: "root version 2 -> 3: this; that". */
struct comparison {
	struct keystore *keys;
	const cJSON *before, *after;
	FILE *stream;
	bool any;
};

static void _printf_(2, 3) say(struct comparison *c, const char *format, ...)
{
	va_list args;

	(void)fputs(c->any ? "; " : "", c->stream);
	c->any = true;
	va_start(args, format);
	(void)vfprintf(c->stream, format, args);
	va_end(args);
}

/* ---- keys ---- */

static void say_key(struct comparison *c, const char *verb, const char *keyid,
		    const char *preposition, const char *role)
{
	char label[KEYSTORE_LABEL_BYTES];

	keystore_label(c->keys, keyid, label);
	say(c, "%s key %s %s %s", verb, label, preposition, role);
}

static const cJSON *keyids_of(const cJSON *document, const char *role)
{
	return cJSON_GetObjectItemCaseSensitive(authority_find(document, role), "keyids");
}

static void compare_keys(struct comparison *c, const char *role)
{
	uint64_t before = authority_threshold(c->before, role);
	uint64_t after = authority_threshold(c->after, role);
	const cJSON *keyid;

	cJSON_ArrayForEach (keyid, keyids_of(c->after, role))
		if (!authority_lists(c->before, role, keyid->valuestring))
			say_key(c, "adds", keyid->valuestring, "to", role);
	cJSON_ArrayForEach (keyid, keyids_of(c->before, role))
		if (!authority_lists(c->after, role, keyid->valuestring))
			say_key(c, "removes", keyid->valuestring, "from", role);
	if (before != after && before > 0)
		say(c, "threshold of %s %" PRIu64 " -> %" PRIu64, role, before, after);
	else if (after > 1 && before == 0)
		say(c, "threshold of %s %" PRIu64, role, after);
}

static void say_paths(struct comparison *c, const char *what, const cJSON *role)
{
	const char *name = json_text_or(role, "name", "?"), *separator = "";
	const cJSON *path;

	say(c, "%s %s ", name, what);
	cJSON_ArrayForEach (path, cJSON_GetObjectItemCaseSensitive(role, "paths")) {
		(void)fprintf(c->stream, "%s%s", separator, cJSON_GetStringValue(path));
		separator = ", ";
	}
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(role, "terminating")))
		(void)fputs(" (terminating)", c->stream);
}

static bool same_member(const cJSON *a, const cJSON *b, const char *key)
{
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(a, key);
	const cJSON *y = cJSON_GetObjectItemCaseSensitive(b, key);

	return (!x && !y) || cJSON_Compare(x, y, true);
}

static void compare_delegations(struct comparison *c)
{
	const cJSON *role;

	cJSON_ArrayForEach (role, authority_delegations(c->after)) {
		const char *name = json_text_or(role, "name", "?");
		const cJSON *old = authority_find(c->before, name);

		if (!old)
			say_paths(c, "is a new role, for", role);
		else if (!same_member(old, role, "paths") || !same_member(old, role, "terminating"))
			say_paths(c, "is now for", role);
		compare_keys(c, name);
	}
	cJSON_ArrayForEach (role, authority_delegations(c->before)) {
		const char *name = json_text_or(role, "name", "?");

		if (!authority_find(c->after, name))
			say(c, "%s is no role any more", name);
	}
}

/* ---- targets ---- */

/* A release as people name it; false for targets of other kinds. */
static bool find_release(const cJSON *entry, struct full_target *ret,
			 struct target_entry *ret_entry)
{
	return target_parse(entry, ret_entry) == 0 &&
	       target_parse_full(ret_entry->custom, ret) == 0;
}

/* Segment lists come with what they are of. */
static void count_other(const struct target_entry *target, unsigned *patches, unsigned *others)
{
	const char *kind = target->custom ? json_text_or(target->custom, "kind", "") : "";

	if (strcmp(kind, "patch") == 0)
		++*patches;
	else if (strcmp(kind, "segments") != 0)
		++*others;
}

/* The releases that a has and b has not, or not the same. */
static void compare_releases(struct comparison *c, const char *verb, const cJSON *a, const cJSON *b)
{
	unsigned patches = 0, others = 0;
	const cJSON *entry;

	cJSON_ArrayForEach (entry, cJSON_GetObjectItemCaseSensitive(a, "targets")) {
		const cJSON *other = target_get(b, entry->string);
		struct target_entry target;
		struct full_target full;

		if (other && cJSON_Compare(entry, other, true))
			continue;
		if (find_release(entry, &full, &target))
			say(c, "%s release %s for %s", verb, full.version, full.arch);
		else
			count_other(&target, &patches, &others);
	}
	if (patches > 0)
		say(c, "%s %u patch%s", verb, patches, patches == 1 ? "" : "es");
	if (others > 0)
		say(c, "%s %u other targets", verb, others);
}

void changes_list_releases(struct changes *c, const char *role, const cJSON *document)
{
	const cJSON *entry;
	unsigned patches = 0, others = 0;

	cJSON_ArrayForEach (entry, cJSON_GetObjectItemCaseSensitive(document, "targets")) {
		char hex[SHA256_HEX_LENGTH + 1];
		struct target_entry target = { 0 };
		struct full_target full;

		if (find_release(entry, &full, &target)) {
			hex_encode(target.sha256, SHA256_BYTES, hex);
			changes_add(c, "%s holds %s for %s: %" PRIu64 " bytes, SHA-256 %s", role,
				    full.version, full.arch, target.length, hex);
		} else {
			count_other(&target, &patches, &others);
		}
	}
	if (patches > 0)
		changes_add(c, "%s holds %u patch%s", role, patches, patches == 1 ? "" : "es");
	if (others > 0)
		changes_add(c, "%s holds %u other targets", role, others);
}

void changes_list_delegations(struct changes *c, struct keystore *k, const cJSON *targets)
{
	const cJSON *role;

	cJSON_ArrayForEach (role, authority_delegations(targets)) {
		const char *name = json_text_or(role, "name", "?");
		const cJSON *keyid;

		cJSON_ArrayForEach (keyid, keyids_of(targets, name)) {
			char label[KEYSTORE_LABEL_BYTES];

			keystore_label(k, keyid->valuestring, label);
			changes_add(c, "targets delegates to %s, key %s", name, label);
		}
	}
}

/* ---- the sentence ---- */

static void say_what_differs(struct comparison *c, const char *role)
{
	static const char *const top_roles[] = { "root", "targets", "snapshot", "timestamp" };

	if (strcmp(role, "root") == 0) {
		for (size_t i = 0; i < ELEMENTSOF(top_roles); i++)
			compare_keys(c, top_roles[i]);
		return;
	}
	compare_delegations(c);
	compare_releases(c, "adds", c->after, c->before);
	compare_releases(c, "removes", c->before, c->after);
}

static void say_versions(struct comparison *c, const char *role)
{
	uint64_t before = 0, after = 0;

	if (metadata_version(c->after, &after) < 0)
		return;
	if (c->before && metadata_version(c->before, &before) == 0 && before == after)
		(void)fprintf(c->stream, "%s version %" PRIu64 ", staged already: ", role, after);
	else if (before > 0)
		(void)fprintf(c->stream, "%s version %" PRIu64 " -> %" PRIu64 ": ", role, before,
			      after);
	else
		(void)fprintf(c->stream, "%s version %" PRIu64 ": ", role, after);
}

void changes_compare(struct changes *c, struct keystore *k, const char *role, const cJSON *before,
		     const cJSON *after)
{
	struct comparison comparison = { .keys = k, .before = before, .after = after };
	_cleanup_free_ char *text = NULL;
	size_t size;

	comparison.stream = open_memstream(&text, &size);
	if (!comparison.stream) {
		c->out_of_memory = true;
		return;
	}
	say_versions(&comparison, role);
	say_what_differs(&comparison, role);
	if (!comparison.any)
		say(&comparison, "%s, valid until %s",
		    before ? "the same content signed again" : "new, without targets",
		    json_text_or(after, "expires", "?"));
	if (fclose(comparison.stream) != 0) {
		c->out_of_memory = true;
		return;
	}
	changes_add(c, "%s", text);
}
