/* SPDX-License-Identifier: Apache-2.0 */
#include "tuf/metadata.h"

#include <string.h>
#include <time.h>

#include "tuf/canonical.h"
#include "tuf/name.h"

#define MIN_JSON_TOKENS	     (64u << 10)
#define BYTES_PER_JSON_TOKEN 16
#define MAX_JSON_DEPTH	     32u

/* ---- what all types have ---- */

/* "1.0.31" or "1.0": only the first number says whether it can be read. */
static bool is_spec_version(const char *text)
{
	unsigned n_parts = 0;

	for (const char *part = text;; part++) {
		size_t digits = strspn(part, "0123456789");

		n_parts++;
		part += digits;
		if (digits == 0 || (*part != '.' && *part != '\0'))
			return false;
		if (*part == '\0')
			return strncmp(text, "1.", 2) == 0 && n_parts <= 3;
	}
}

static int check_spec_version(const cJSON *object, struct json_error *error)
{
	const char *text;
	int r;

	r = json_get_string(object, "spec_version", &text, error);
	if (r < 0)
		return r;
	return is_spec_version(text) ? 0
				     : json_refuse(error, "spec_version", "is not a 1.x version");
}

static bool has_shape(const char *text, const char *shape)
{
	for (; *shape; text++, shape++)
		if (*shape == '0' ? (*text < '0' || *text > '9') : *text != *shape)
			return false;
	return *text == '\0';
}

static int parse_time(const char *text, int64_t *ret_sec)
{
	struct tm tm = {}, back;
	time_t t;

	if (!has_shape(text, "0000-00-00T00:00:00Z") ||
	    sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return -EBADMSG;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	back = tm;
	t = timegm(&back);
	/* timegm() makes a date of anything: 30 February would become 2 March. */
	if (back.tm_mon != tm.tm_mon || back.tm_mday != tm.tm_mday || back.tm_hour != tm.tm_hour ||
	    back.tm_min != tm.tm_min || back.tm_sec != tm.tm_sec)
		return -EBADMSG;
	*ret_sec = t;
	return 0;
}

static int parse_common(struct tuf_metadata *m, const cJSON *object, struct json_error *error)
{
	const char *type;
	int r;

	r = json_get_string(object, "_type", &type, error);
	if (r < 0)
		return r;
	if (strcmp(type, tuf_top_level_roles[m->type]) != 0)
		return json_refuse(error, "_type", "is not '%s'", tuf_top_level_roles[m->type]);
	r = check_spec_version(object, error);
	if (r < 0)
		return r;
	r = json_get_u64(object, "version", TUF_MAX_INTEGER, &m->version, error);
	if (r < 0)
		return r;
	if (m->version == 0)
		return json_refuse(error, "version", "must be at least 1");
	r = json_get_string(object, "expires", &m->expires, error);
	if (r < 0)
		return r;
	if (parse_time(m->expires, &m->expires_sec) < 0)
		return json_refuse(error, "expires", "is not a time like 2030-01-01T00:00:00Z");
	return 0;
}

static int check_signature(const cJSON *item, const char **id, struct json_error *error)
{
	const char *text;
	int r;

	if (!cJSON_IsObject(item))
		return json_refuse(error, "", "must hold only objects");
	r = json_get_string(item, "keyid", id, error);
	return r < 0 ? r : json_get_string(item, "sig", &text, error);
}

static int check_signatures(const cJSON *signatures, struct json_error *error)
{
	_cleanup_free_ const char **ids = calloc((size_t)cJSON_GetArraySize(signatures) + 1,
						 sizeof *ids);
	const cJSON *item;
	size_t n = 0;
	int r;

	if (!ids)
		return -ENOMEM;
	cJSON_ArrayForEach (item, signatures) {
		r = check_signature(item, &ids[n++], error);
		if (r < 0) {
			json_error_prefix(error, "signatures");
			return r;
		}
	}
	if (tuf_names_repeat(ids, n))
		return json_refuse(error, "signatures", "has two of one keyid");
	return 0;
}

/* ---- root ---- */

static int parse_root(struct tuf_metadata *m, const cJSON *object, struct json_error *error)
{
	int r;

	r = json_get_bool(object, "consistent_snapshot", &m->consistent_snapshot, error);
	if (r < 0 && r != -ENOENT)
		return r;
	return tuf_roles_parse_root(object, &m->roles, error);
}

/* ---- timestamp and snapshot ---- */

static int get_hash(const cJSON *hashes, const char *algorithm, uint8_t *ret, size_t size,
		    bool *ret_is_there, struct json_error *error)
{
	const char *hex;
	int r;

	r = json_get_string(hashes, algorithm, &hex, error);
	if (r == -ENOENT) {
		*ret_is_there = false;
		return 0;
	}
	if (r < 0)
		return r;
	if (hex_decode(hex, ret, size) < 0)
		return json_refuse(error, algorithm, "is not a hash in lower-case hex");
	*ret_is_there = true;
	return 0;
}

struct hashes {
	uint8_t sha256[SHA256_BYTES];
	uint8_t sha512[SHA512_BYTES];
	bool has_sha256, has_sha512;
};

/* The member "hashes": one or more, of which some may not be known here. */
static int get_hashes(const cJSON *object, struct hashes *ret, struct json_error *error)
{
	const cJSON *hashes, *item;
	int r;

	r = json_get_object(object, "hashes", &hashes, error);
	if (r < 0)
		return r;
	if (!hashes->child)
		return json_refuse(error, "hashes", "is empty");
	cJSON_ArrayForEach (item, hashes)
		if (!cJSON_IsString(item))
			return json_refuse(error, "hashes", "must hold only strings");
	r = get_hash(hashes, "sha256", ret->sha256, sizeof ret->sha256, &ret->has_sha256, error);
	if (r < 0)
		return r;
	return get_hash(hashes, "sha512", ret->sha512, sizeof ret->sha512, &ret->has_sha512, error);
}

static int parse_meta_hashes(struct tuf_meta *meta, const cJSON *object, struct json_error *error)
{
	struct hashes hashes = {};
	int r;

	r = get_hashes(object, &hashes, error);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	memcpy(meta->sha256, hashes.sha256, sizeof meta->sha256);
	memcpy(meta->sha512, hashes.sha512, sizeof meta->sha512);
	meta->has_hashes = true;
	meta->has_sha256 = hashes.has_sha256;
	meta->has_sha512 = hashes.has_sha512;
	return 0;
}

static int parse_meta_entry(struct tuf_meta *meta, const cJSON *item, struct json_error *error)
{
	int r;

	meta->name = item->string;
	if (!cJSON_IsObject(item))
		return json_refuse(error, "meta", "must hold only objects");
	r = json_get_u64(item, "version", TUF_MAX_INTEGER, &meta->version, error);
	if (r < 0)
		return r;
	if (meta->version == 0)
		return json_refuse(error, "version", "must be at least 1");
	r = json_get_u64(item, "length", TUF_MAX_INTEGER, &meta->length_bytes, error);
	if (r < 0 && r != -ENOENT)
		return r;
	meta->has_length = r == 0;
	return parse_meta_hashes(meta, item, error);
}

static int compare_meta(const void *a, const void *b)
{
	const struct tuf_meta *left = a, *right = b;

	return strcmp(left->name, right->name);
}

static int parse_meta(struct tuf_metadata *m, const cJSON *object, struct json_error *error)
{
	const char *needed = m->type == TUF_TIMESTAMP ? "snapshot.json" : "targets.json";
	const cJSON *meta, *item;
	int r;

	r = json_get_object(object, "meta", &meta, error);
	if (r < 0)
		return r;
	m->meta = calloc((size_t)cJSON_GetArraySize(meta) + 1, sizeof *m->meta);
	if (!m->meta)
		return -ENOMEM;
	cJSON_ArrayForEach (item, meta) {
		r = parse_meta_entry(&m->meta[m->n_meta], item, error);
		if (r < 0) {
			json_error_prefix(error, item->string);
			return r;
		}
		m->n_meta++;
	}
	qsort(m->meta, m->n_meta, sizeof *m->meta, compare_meta);
	if (!tuf_metadata_find_meta(m, needed))
		return json_refuse(error, "meta", "does not list %s", needed);
	return 0;
}

/* ---- targets ---- */

static int parse_target(struct tuf_target *target, const cJSON *item, struct json_error *error)
{
	struct hashes hashes = {};
	int r;

	if (!cJSON_IsObject(item))
		return json_refuse(error, "targets", "must hold only objects");
	if (!*item->string)
		return json_refuse(error, "targets", "has an empty path");
	target->path = item->string;
	r = json_get_u64(item, "length", TUF_MAX_INTEGER, &target->length, error);
	if (r >= 0)
		r = get_hashes(item, &hashes, error);
	if (r < 0)
		return r;
	memcpy(target->sha256, hashes.sha256, sizeof target->sha256);
	memcpy(target->sha512, hashes.sha512, sizeof target->sha512);
	target->has_sha256 = hashes.has_sha256;
	target->has_sha512 = hashes.has_sha512;
	r = json_get_object(item, "custom", &target->custom, error);
	return r == -ENOENT ? 0 : r;
}

static int compare_targets(const void *a, const void *b)
{
	const struct tuf_target *left = a, *right = b;

	return strcmp(left->path, right->path);
}

static int parse_targets(struct tuf_metadata *m, const cJSON *object, struct json_error *error)
{
	const cJSON *targets, *delegations, *item;
	int r;

	r = json_get_object(object, "targets", &targets, error);
	if (r < 0)
		return r;
	m->targets = calloc((size_t)cJSON_GetArraySize(targets) + 1, sizeof *m->targets);
	if (!m->targets)
		return -ENOMEM;
	cJSON_ArrayForEach (item, targets) {
		r = parse_target(&m->targets[m->n_targets], item, error);
		if (r < 0) {
			json_error_prefix(error, item->string);
			return r;
		}
		m->n_targets++;
	}
	qsort(m->targets, m->n_targets, sizeof *m->targets, compare_targets);

	r = json_get_object(object, "delegations", &delegations, error);
	if (r == -ENOENT)
		return 0;
	if (r >= 0)
		r = tuf_roles_parse_delegations(delegations, &m->roles, error);
	if (r < 0)
		json_error_prefix(error, "delegations");
	return r;
}

/* ---- the file ---- */

static int parse_signed(struct tuf_metadata *m, const cJSON *object, struct json_error *error)
{
	int r;

	r = parse_common(m, object, error);
	if (r < 0)
		return r;
	switch (m->type) {
	case TUF_ROOT: return parse_root(m, object, error);
	case TUF_TIMESTAMP:
	case TUF_SNAPSHOT: return parse_meta(m, object, error);
	case TUF_TARGETS: return parse_targets(m, object, error);
	}
	return -EINVAL;
}

static int parse_file(struct tuf_metadata *m, struct json_error *error)
{
	const cJSON *object;
	int r;

	if (!cJSON_IsObject(m->json))
		return json_refuse(error, "", "is not an object");
	r = json_get_object(m->json, "signed", &object, error);
	if (r >= 0)
		r = json_get_array(m->json, "signatures", &m->signatures, error);
	if (r >= 0)
		r = check_signatures(m->signatures, error);
	if (r < 0)
		return r;
	r = parse_signed(m, object, error);
	if (r < 0) {
		json_error_prefix(error, "signed");
		return r;
	}
	return tuf_canonical(object, &m->signed_bytes, &m->signed_size);
}

int tuf_metadata_parse(const void *bytes, size_t size, enum tuf_type type,
		       struct tuf_metadata **ret, struct json_error *error)
{
	/* The caller has bounded size; a token costs memory of its own, whatever it takes in the file. */
	const struct json_limits limits = { size ? size : 1, MAX_JSON_DEPTH,
					    MIN_JSON_TOKENS + size / BYTES_PER_JSON_TOKEN };
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *m = calloc(1, sizeof *m);
	int r;

	if (!m)
		return -ENOMEM;
	m->type = type;
	r = json_parse(bytes, size, &limits, &m->json, error);
	if (r < 0)
		return r;
	r = parse_file(m, error);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	*ret = TAKE_PTR(m);
	return 0;
}

struct tuf_metadata *tuf_metadata_free(struct tuf_metadata *m)
{
	if (!m)
		return NULL;
	tuf_roles_done(&m->roles);
	free(m->meta);
	free(m->targets);
	free(m->signed_bytes);
	cJSON_Delete(m->json);
	free(m);
	return NULL;
}

/* ---- questions ---- */

const struct tuf_meta *tuf_metadata_find_meta(const struct tuf_metadata *m, const char *name)
{
	const struct tuf_meta wanted = { .name = name };

	return m->n_meta ? bsearch(&wanted, m->meta, m->n_meta, sizeof wanted, compare_meta) : NULL;
}

const struct tuf_target *tuf_metadata_find_target(const struct tuf_metadata *m, const char *path)
{
	const struct tuf_target wanted = { .path = path };

	return m->n_targets
		       ? bsearch(&wanted, m->targets, m->n_targets, sizeof wanted, compare_targets)
		       : NULL;
}

int tuf_meta_check(const struct tuf_meta *meta, const void *bytes, size_t size)
{
	uint8_t sha256[SHA256_BYTES], sha512[SHA512_BYTES];
	int r;

	if (meta->has_length && meta->length_bytes != size)
		return -EBADMSG;
	if (meta->has_hashes && !meta->has_sha256 && !meta->has_sha512)
		return -EBADMSG;
	if (meta->has_sha256) {
		r = digest_sha256(bytes, size, sha256);
		if (r < 0)
			return r;
		if (memcmp(sha256, meta->sha256, sizeof sha256) != 0)
			return -EBADMSG;
	}
	if (meta->has_sha512) {
		r = digest_sha512(bytes, size, sha512);
		if (r < 0)
			return r;
		if (memcmp(sha512, meta->sha512, sizeof sha512) != 0)
			return -EBADMSG;
	}
	return 0;
}
