/* SPDX-License-Identifier: Apache-2.0 */
#include "release/summary.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/json.h"

struct summary {
	const struct tuf_metadata *m;
	const struct tuf_metadata *previous;
	const cJSON *document; /* the signed part */
	int64_t now_sec;
	cJSON *contents, *differences, *warnings;
	bool failed; /* out of memory */
};

char *summary_printable(const char *text)
{
	char *out = malloc(4 * strlen(text) + 1);
	size_t n = 0;

	if (!out)
		return NULL;
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= ' ' && c < 0x7f && c != '\\')
			out[n++] = *text;
		else
			n += (size_t)snprintf(out + n, 5, "\\x%02x", c);
	}
	out[n] = 0;
	return out;
}

static void say(struct summary *s, cJSON *list, const char *format, ...) _printf_(3, 4);

static void say(struct summary *s, cJSON *list, const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *printable = NULL;
	cJSON *item = NULL;
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(&text, format, args);
	va_end(args);
	if (r < 0)
		text = NULL;
	printable = text ? summary_printable(text) : NULL;
	item = printable ? cJSON_CreateString(printable) : NULL;
	if (!item || !cJSON_AddItemToArray(list, item)) {
		cJSON_Delete(item);
		s->failed = true;
	}
}

/* ---- keys and roles, of a root or of delegations ---- */

static const cJSON *key_objects(const cJSON *document)
{
	const cJSON *delegations = cJSON_GetObjectItemCaseSensitive(document, "delegations");

	return cJSON_GetObjectItemCaseSensitive(delegations ? delegations : document, "keys");
}

static void tell_key(struct summary *s, const char *id)
{
	const cJSON *object = cJSON_GetObjectItemCaseSensitive(key_objects(s->document), id);

	say(s, s->contents, "  key %s, %s", id, json_text_or(object, "scheme", "not described"));
	if (!object)
		say(s, s->warnings, "key %s is not there and does not count", id);
}

/* Who compares ids must find the key that he knows. */
static void warn_of_keys(struct summary *s)
{
	const cJSON *object;

	cJSON_ArrayForEach (object, key_objects(s->document)) {
		const struct tuf_key *key = NULL;
		char computed[SHA256_HEX_LENGTH + 1];

		if (tuf_key_id(object, computed) < 0 || strcmp(computed, object->string) != 0)
			say(s, s->warnings, "key %s stands under an id that is not its own",
			    object->string);
		else if (tuf_roles_key(&s->m->roles, object->string, &key) < 0)
			s->failed = true;
		else if (!key)
			say(s, s->warnings, "key %s is of a kind that does not count",
			    object->string);
	}
}

static char *join_strings(const cJSON *array)
{
	const cJSON *item;
	char *joined = strdup("");

	cJSON_ArrayForEach (item, array) {
		_cleanup_free_ char *shorter = TAKE_PTR(joined);

		if (!shorter || asprintf(&joined, "%s%s%s", shorter, *shorter ? " " : "",
					 cJSON_IsString(item) ? item->valuestring : "?") < 0)
			return NULL;
	}
	return joined;
}

static void tell_scope(struct summary *s, const struct tuf_role *role)
{
	const cJSON *patterns = role->paths ? role->paths : role->path_hash_prefixes;
	_cleanup_free_ char *joined = patterns ? join_strings(patterns) : NULL;

	if (patterns)
		say(s, s->contents, "  for %s %s%s", role->paths ? "the paths" : "path hashes",
		    joined ? joined : "?", role->terminating ? ", terminating" : "");
}

static void tell_role(struct summary *s, const struct tuf_role *role)
{
	int n = cJSON_GetArraySize(role->keyids);
	const cJSON *id;

	say(s, s->contents, "%s%s is signed by %" PRIu64 " of %d key%s:",
	    s->m->type == TUF_ROOT ? "" : "delegated role ", role->name, role->threshold, n,
	    n == 1 ? "" : "s");
	cJSON_ArrayForEach (id, role->keyids)
		if (cJSON_IsString(id))
			tell_key(s, id->valuestring);
	tell_scope(s, role);
	if (role->threshold > (uint64_t)n)
		say(s, s->warnings,
		    "%s could never be signed: it has fewer keys than its threshold", role->name);
}

static bool has_string(const cJSON *array, const char *text)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, array)
		if (cJSON_IsString(item) && strcmp(item->valuestring, text) == 0)
			return true;
	return false;
}

/* Either may be missing. */
static bool differ(const cJSON *a, const cJSON *b)
{
	return (a || b) && !cJSON_Compare(a, b, true);
}

static void compare_role(struct summary *s, const struct tuf_role *old, const struct tuf_role *role)
{
	const cJSON *id;

	if (old->threshold != role->threshold)
		say(s, role->threshold < old->threshold ? s->warnings : s->differences,
		    "%s: the threshold %s from %" PRIu64 " to %" PRIu64, role->name,
		    role->threshold < old->threshold ? "falls" : "rises", old->threshold,
		    role->threshold);
	cJSON_ArrayForEach (id, old->keyids)
		if (cJSON_IsString(id) && !has_string(role->keyids, id->valuestring))
			say(s, s->warnings, "%s: key %s may sign no more", role->name,
			    id->valuestring);
	cJSON_ArrayForEach (id, role->keyids)
		if (cJSON_IsString(id) && !has_string(old->keyids, id->valuestring))
			say(s, s->differences, "%s: key %s may sign from now on", role->name,
			    id->valuestring);
	if (differ(old->paths, role->paths) ||
	    differ(old->path_hash_prefixes, role->path_hash_prefixes))
		say(s, s->warnings, "%s: is for other paths than before", role->name);
	if (old->terminating != role->terminating)
		say(s, s->differences, "%s: is %sterminating now", role->name,
		    role->terminating ? "" : "not ");
}

static void compare_roles(struct summary *s)
{
	const struct tuf_roles *old = &s->previous->roles, *new = &s->m->roles;

	for (size_t i = 0; i < new->n_roles; i++) {
		const struct tuf_role *before = tuf_roles_find(old, new->roles[i].name);

		if (before)
			compare_role(s, before, &new->roles[i]);
		else
			say(s, s->differences, "%s: is a new role", new->roles[i].name);
	}
	for (size_t i = 0; i < old->n_roles; i++)
		if (!tuf_roles_find(new, old->roles[i].name))
			say(s, s->warnings, "%s: the role is gone", old->roles[i].name);
}

/* ---- targets ---- */

/* ", sha256 …, sha512 …": those that are there. */
static char *hashes_text(const uint8_t *sha256, const uint8_t *sha512)
{
	char hex256[2 * SHA256_BYTES + 1] = "", hex512[2 * SHA512_BYTES + 1] = "";
	char *text;

	if (sha256)
		hex_encode(sha256, SHA256_BYTES, hex256);
	if (sha512)
		hex_encode(sha512, SHA512_BYTES, hex512);
	if (asprintf(&text, "%s%s%s%s", sha256 ? ", sha256 " : "", hex256,
		     sha512 ? ", sha512 " : "", hex512) < 0)
		return NULL;
	return text;
}

static void tell_target(struct summary *s, const struct tuf_target *t)
{
	_cleanup_free_ char *custom = t->custom ? json_print(t->custom) : NULL;
	_cleanup_free_ char *hashes = hashes_text(t->has_sha256 ? t->sha256 : NULL,
						  t->has_sha512 ? t->sha512 : NULL);

	if (!hashes || (t->custom && !custom))
		s->failed = true;
	else
		say(s, s->contents, "target %s, %" PRIu64 " bytes%s%s%s", t->path, t->length,
		    hashes, custom ? ", " : "", custom ? custom : "");
}

static bool same_bytes(const struct tuf_target *a, const struct tuf_target *b)
{
	return a->length == b->length && a->has_sha256 == b->has_sha256 &&
	       a->has_sha512 == b->has_sha512 &&
	       (!a->has_sha256 || memcmp(a->sha256, b->sha256, sizeof a->sha256) == 0) &&
	       (!a->has_sha512 || memcmp(a->sha512, b->sha512, sizeof a->sha512) == 0);
}

static void compare_targets(struct summary *s)
{
	const struct tuf_metadata *old = s->previous;

	for (size_t i = 0; i < s->m->n_targets; i++) {
		const struct tuf_target *t = &s->m->targets[i];
		const struct tuf_target *before = tuf_metadata_find_target(old, t->path);

		if (!before)
			say(s, s->differences, "target %s is new", t->path);
		else if (!same_bytes(before, t))
			say(s, s->warnings, "target %s has other bytes than before", t->path);
		else if (differ(before->custom, t->custom))
			say(s, s->differences, "target %s is described differently", t->path);
	}
	for (size_t i = 0; i < old->n_targets; i++)
		if (!tuf_metadata_find_target(s->m, old->targets[i].path))
			say(s, s->differences, "target %s is gone", old->targets[i].path);
}

/* ---- timestamp and snapshot ---- */

static void tell_meta(struct summary *s, const struct tuf_meta *meta)
{
	const struct tuf_meta *before = s->previous
						? tuf_metadata_find_meta(s->previous, meta->name)
						: NULL;

	_cleanup_free_ char *hashes = hashes_text(meta->has_sha256 ? meta->sha256 : NULL,
						  meta->has_sha512 ? meta->sha512 : NULL);

	if (!hashes)
		s->failed = true;
	else if (meta->has_length)
		say(s, s->contents, "%s is version %" PRIu64 ", %" PRIu64 " bytes%s", meta->name,
		    meta->version, meta->length_bytes, hashes);
	else
		say(s, s->contents, "%s is version %" PRIu64 "%s", meta->name, meta->version,
		    hashes);
	if (before && before->version > meta->version)
		say(s, s->warnings, "%s goes back from version %" PRIu64 " to %" PRIu64, meta->name,
		    before->version, meta->version);
}

/* ---- the whole ---- */

/* Members that are tolerated in metadata, and signed, but say nothing to us. */
static void warn_of_members(struct summary *s, const cJSON *object, const char *where,
			    const char *const *known)
{
	const cJSON *member;

	cJSON_ArrayForEach (member, object) {
		size_t i = 0;

		while (known[i] && strcmp(known[i], member->string) != 0)
			i++;
		if (!known[i])
			say(s, s->warnings, "an unknown member '%s' of %s would be signed too",
			    member->string, where);
	}
}

/* The same for each object of a list or of a map. */
static void warn_of_each(struct summary *s, const cJSON *objects, const char *const *known)
{
	const cJSON *object;

	cJSON_ArrayForEach (object, objects)
		warn_of_members(s, object,
				object->string ? object->string : json_text_or(object, "name", "?"),
				known);
}

static void warn_of_unknown_members(struct summary *s)
{
	static const char *const top[][10] = {
		[TUF_ROOT] = { "_type", "spec_version", "version", "expires", "consistent_snapshot",
			       "keys", "roles" },
		[TUF_TIMESTAMP] = { "_type", "spec_version", "version", "expires", "meta" },
		[TUF_SNAPSHOT] = { "_type", "spec_version", "version", "expires", "meta" },
		[TUF_TARGETS] = { "_type", "spec_version", "version", "expires", "targets",
				  "delegations" },
	};
	static const char *const key[] = { "keytype", "scheme", "keyval", NULL };
	static const char *const role[] = { "name",	   "keyids", "threshold",
					    "terminating", "paths",  "path_hash_prefixes",
					    NULL };
	static const char *const delegations[] = { "keys", "roles", NULL };
	static const char *const target[] = { "length", "hashes", "custom", NULL };
	static const char *const meta[] = { "version", "length", "hashes", NULL };
	const cJSON *d = cJSON_GetObjectItemCaseSensitive(s->document, "delegations");
	const cJSON *roles_of = d ? d : s->document;

	warn_of_members(s, s->document, "the whole", top[s->m->type]);
	warn_of_members(s, d, "the delegations", delegations);
	warn_of_each(s, key_objects(s->document), key);
	warn_of_each(s, cJSON_GetObjectItemCaseSensitive(roles_of, "roles"), role);
	warn_of_each(s, cJSON_GetObjectItemCaseSensitive(s->document, "targets"), target);
	warn_of_each(s, cJSON_GetObjectItemCaseSensitive(s->document, "meta"), meta);
}

static void warn_of_head(struct summary *s)
{
	const char *spec = json_text_or(s->document, "spec_version", "");

	if (strncmp(spec, "1.0", 3) != 0 || (spec[3] && spec[3] != '.'))
		say(s, s->warnings, "the version %s of the specification is not known here", spec);
	if (s->m->expires_sec <= s->now_sec)
		say(s, s->warnings, "it has expired: %s", s->m->expires);
	else if (s->m->expires_sec - s->now_sec > SUMMARY_FAR_EXPIRY_SEC)
		say(s, s->warnings, "it expires more than 10 years from now: %s", s->m->expires);
	if (s->previous && s->m->version != s->previous->version + 1)
		say(s, s->m->type == TUF_ROOT ? s->warnings : s->differences,
		    "version %" PRIu64 " does not follow on version %" PRIu64, s->m->version,
		    s->previous->version);
	if (!s->previous && s->m->version > 1)
		say(s, s->warnings,
		    "the version before it is not in the request: what changes cannot be told");
}

/* A key that nobody uses does nothing, but it is signed. */
static void tell_unused_keys(struct summary *s)
{
	const struct tuf_roles *roles = &s->m->roles;

	for (size_t i = 0; i < roles->n_keys; i++) {
		bool used = false;

		for (size_t j = 0; j < roles->n_roles; j++)
			used |= has_string(roles->roles[j].keyids, roles->keys[i].id);
		if (!used)
			say(s, s->contents, "key %s is there and used by no role",
			    roles->keys[i].id);
	}
}

static void tell_contents(struct summary *s)
{
	if (s->m->type == TUF_ROOT)
		say(s, s->contents, "consistent snapshots: %s",
		    s->m->consistent_snapshot ? "yes" : "no");
	for (size_t i = 0; i < s->m->roles.n_roles; i++)
		tell_role(s, &s->m->roles.roles[i]);
	tell_unused_keys(s);
	warn_of_keys(s);
	for (size_t i = 0; i < s->m->n_targets; i++)
		tell_target(s, &s->m->targets[i]);
	for (size_t i = 0; i < s->m->n_meta; i++)
		tell_meta(s, &s->m->meta[i]);
	if (cJSON_GetArraySize(s->contents) == 0)
		say(s, s->contents, "no targets");
}

static void compare(struct summary *s)
{
	int warnings = cJSON_GetArraySize(s->warnings);

	compare_roles(s);
	compare_targets(s);
	if (s->m->consistent_snapshot != s->previous->consistent_snapshot)
		say(s, s->warnings, "consistent snapshots are turned %s",
		    s->m->consistent_snapshot ? "on" : "off");
	if (cJSON_GetArraySize(s->differences) == 0 && cJSON_GetArraySize(s->warnings) == warnings)
		say(s, s->differences, "nothing is different but version and expiry%s",
		    s->m->n_meta ? ", and the versions of other files" : "");
}

int summary_make(const struct tuf_metadata *m, const struct tuf_metadata *previous, int64_t now_sec,
		 cJSON **ret)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();
	struct summary s = {
		.m = m,
		.previous = previous,
		.document = cJSON_GetObjectItemCaseSensitive(m->json, "signed"),
		.now_sec = now_sec,
		.contents = cJSON_AddArrayToObject(json, "contents"),
		.differences = cJSON_AddArrayToObject(json, "differences"),
		.warnings = cJSON_AddArrayToObject(json, "warnings"),
	};

	if (!s.contents || !s.differences || !s.warnings)
		return -ENOMEM;
	warn_of_head(&s);
	warn_of_unknown_members(&s);
	tell_contents(&s);
	if (previous)
		compare(&s);
	if (s.failed)
		return -ENOMEM;
	*ret = TAKE_PTR(json);
	return 0;
}
