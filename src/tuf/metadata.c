/* SPDX-License-Identifier: Apache-2.0 */
#include "tuf/metadata.h"

#include <string.h>
#include <time.h>

#include "tuf/canonical.h"
#include "tuf/name.h"

#define MIN_JSON_TOKENS	     (64u << 10)
#define BYTES_PER_JSON_TOKEN 16
#define MAX_JSON_DEPTH	     32u
#define MAX_INTEGER	     ((UINT64_C(1) << 53) - 1)
#define MAX_SIGNATURE_BYTES  1024u

static const char *const type_names[] = {
	[TUF_ROOT] = "root",
	[TUF_TIMESTAMP] = "timestamp",
	[TUF_SNAPSHOT] = "snapshot",
	[TUF_TARGETS] = "targets",
};

/* An array that holds only strings. */
static int get_strings(const cJSON *object, const char *key, const cJSON **ret,
		       struct json_error *error)
{
	const cJSON *array, *item;
	int r;

	r = json_get_array(object, key, &array, error);
	if (r < 0)
		return r;
	cJSON_ArrayForEach (item, array)
		if (!cJSON_IsString(item))
			return json_refuse(error, key, "must hold only strings");
	*ret = array;
	return 0;
}

/* ---- what all types have ---- */

/* "1.0.31" or "1.0": only the first number says whether it can be read. */
static int check_spec_version(const cJSON *object, struct json_error *error)
{
	const char *text;
	int r;

	r = json_get_string(object, "spec_version", &text, error);
	if (r < 0)
		return r;
	if (strncmp(text, "1.", 2) != 0 || text[strspn(text, "0123456789.")] != '\0')
		return json_refuse(error, "spec_version", "is not a 1.x version");
	return 0;
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
	if (strcmp(type, type_names[m->type]) != 0)
		return json_refuse(error, "_type", "is not '%s'", type_names[m->type]);
	r = check_spec_version(object, error);
	if (r < 0)
		return r;
	r = json_get_u64(object, "version", MAX_INTEGER, &m->version, error);
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

static int check_signatures(const cJSON *signatures, struct json_error *error)
{
	const cJSON *item;
	const char *text;
	int r = 0;

	cJSON_ArrayForEach (item, signatures) {
		if (!cJSON_IsObject(item))
			return json_refuse(error, "signatures", "must hold only objects");
		r = json_get_string(item, "keyid", &text, error);
		if (r >= 0)
			r = json_get_string(item, "sig", &text, error);
		if (r < 0) {
			json_error_prefix(error, "signatures");
			return r;
		}
	}
	return 0;
}

/* ---- keys and roles ---- */

static int parse_keys(struct tuf_roles *roles, const cJSON *keys, struct json_error *error)
{
	const cJSON *item;
	int r;

	roles->keys = calloc((size_t)cJSON_GetArraySize(keys) + 1, sizeof *roles->keys);
	if (!roles->keys)
		return -ENOMEM;
	cJSON_ArrayForEach (item, keys) {
		struct tuf_named_key *k = &roles->keys[roles->n_keys];

		if (!cJSON_IsObject(item))
			return json_refuse(error, "keys", "must hold only objects");
		r = tuf_key_parse(item, &k->key);
		if (r == -ENOMEM)
			return r;
		if (r < 0 && r != -ENOTSUP)
			return json_refuse(error, "keys", "key %.16s is malformed", item->string);
		k->id = item->string;
		roles->n_keys++;
	}
	return 0;
}

static int parse_role(struct tuf_role *role, const cJSON *object, struct json_error *error)
{
	int r;

	r = get_strings(object, "keyids", &role->keyids, error);
	if (r < 0)
		return r;
	if ((unsigned)cJSON_GetArraySize(role->keyids) > TUF_MAX_ROLE_KEYS)
		return json_refuse(error, "keyids", "has more than %u entries", TUF_MAX_ROLE_KEYS);
	r = json_get_u64(object, "threshold", MAX_INTEGER, &role->threshold, error);
	if (r < 0)
		return r;
	if (role->threshold == 0)
		return json_refuse(error, "threshold", "must be at least 1");
	return 0;
}

static int parse_root(struct tuf_metadata *m, const cJSON *object, struct json_error *error)
{
	const cJSON *keys, *roles, *entry;
	int r;

	r = json_get_bool(object, "consistent_snapshot", &m->consistent_snapshot, error);
	if (r < 0 && r != -ENOENT)
		return r;
	r = json_get_object(object, "keys", &keys, error);
	if (r >= 0)
		r = parse_keys(&m->roles, keys, error);
	if (r >= 0)
		r = json_get_object(object, "roles", &roles, error);
	if (r < 0)
		return r;
	m->roles.roles = calloc(ELEMENTSOF(type_names), sizeof *m->roles.roles);
	if (!m->roles.roles)
		return -ENOMEM;
	for (size_t i = 0; i < ELEMENTSOF(type_names); i++) {
		struct tuf_role *role = &m->roles.roles[m->roles.n_roles];

		role->name = type_names[i];
		r = json_get_object(roles, role->name, &entry, error);
		if (r >= 0)
			r = parse_role(role, entry, error);
		if (r < 0) {
			json_error_prefix(error, "roles");
			return r;
		}
		m->roles.n_roles++;
	}
	return 0;
}

static int parse_prefixes(struct tuf_role *role, const cJSON *object, struct json_error *error)
{
	const cJSON *item;
	int r;

	r = get_strings(object, "path_hash_prefixes", &role->path_hash_prefixes, error);
	if (r < 0)
		return r;
	cJSON_ArrayForEach (item, role->path_hash_prefixes) {
		size_t length = strlen(item->valuestring);

		if (length == 0 || length > SHA256_HEX_LENGTH ||
		    strspn(item->valuestring, "0123456789abcdef") != length)
			return json_refuse(error, "path_hash_prefixes", "must be lower-case hex");
	}
	return 0;
}

static int parse_delegated_role(const struct tuf_roles *roles, struct tuf_role *role,
				const cJSON *object, struct json_error *error)
{
	bool has_paths = cJSON_GetObjectItemCaseSensitive(object, "paths") != NULL;
	bool has_prefixes = cJSON_GetObjectItemCaseSensitive(object, "path_hash_prefixes") != NULL;
	int r;

	r = json_get_string(object, "name", &role->name, error);
	if (r < 0)
		return r;
	if (!tuf_role_name_is_free(role->name))
		return json_refuse(error, "name", "cannot be a role's name");
	if (tuf_roles_find(roles, role->name))
		return json_refuse(error, "name", "role %s is there twice", role->name);
	r = parse_role(role, object, error);
	if (r < 0)
		return r;
	r = json_get_bool(object, "terminating", &role->terminating, error);
	if (r < 0 && r != -ENOENT)
		return r;
	if (has_paths == has_prefixes)
		return json_refuse(error, "paths",
				   "or path_hash_prefixes must be there, one of them");
	return has_paths ? get_strings(object, "paths", &role->paths, error)
			 : parse_prefixes(role, object, error);
}

static int parse_delegations(struct tuf_roles *ret, const cJSON *object, struct json_error *error)
{
	const cJSON *keys, *roles, *item;
	int r;

	r = json_get_object(object, "keys", &keys, error);
	if (r >= 0)
		r = parse_keys(ret, keys, error);
	if (r >= 0)
		r = json_get_array(object, "roles", &roles, error);
	if (r < 0)
		return r;
	ret->roles = calloc((size_t)cJSON_GetArraySize(roles) + 1, sizeof *ret->roles);
	if (!ret->roles)
		return -ENOMEM;
	cJSON_ArrayForEach (item, roles) {
		if (!cJSON_IsObject(item))
			return json_refuse(error, "roles", "must hold only objects");
		r = parse_delegated_role(ret, &ret->roles[ret->n_roles], item, error);
		if (r < 0) {
			json_error_prefix(error, "roles");
			return r;
		}
		ret->n_roles++;
	}
	return 0;
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
	r = json_get_u64(item, "version", MAX_INTEGER, &meta->version, error);
	if (r < 0)
		return r;
	if (meta->version == 0)
		return json_refuse(error, "version", "must be at least 1");
	r = json_get_u64(item, "length", MAX_INTEGER, &meta->length_bytes, error);
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
	r = json_get_u64(item, "length", MAX_INTEGER, &target->length, error);
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
		r = parse_delegations(&m->roles, delegations, error);
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
	for (size_t i = 0; i < m->roles.n_keys; i++)
		(void)tuf_key_free(m->roles.keys[i].key);
	free(m->roles.keys);
	free(m->roles.roles);
	free(m->meta);
	free(m->targets);
	free(m->signed_bytes);
	cJSON_Delete(m->json);
	free(m);
	return NULL;
}

/* ---- questions ---- */

const struct tuf_role *tuf_roles_find(const struct tuf_roles *roles, const char *name)
{
	for (size_t i = 0; i < roles->n_roles; i++)
		if (strcmp(roles->roles[i].name, name) == 0)
			return &roles->roles[i];
	return NULL;
}

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

static const struct tuf_key *find_key(const struct tuf_roles *roles, const char *id)
{
	for (size_t i = 0; i < roles->n_keys; i++)
		if (strcmp(roles->keys[i].id, id) == 0)
			return roles->keys[i].key;
	return NULL;
}

static bool is_signed_by(const struct tuf_metadata *m, const char *key_id,
			 const struct tuf_key *key)
{
	uint8_t signature[MAX_SIGNATURE_BYTES];
	const cJSON *item;

	cJSON_ArrayForEach (item, m->signatures) {
		const char *id = cJSON_GetObjectItemCaseSensitive(item, "keyid")->valuestring;
		const char *hex = cJSON_GetObjectItemCaseSensitive(item, "sig")->valuestring;
		size_t size = strlen(hex) / 2;

		if (strcmp(id, key_id) == 0 && size <= sizeof signature &&
		    hex_decode(hex, signature, size) == 0 &&
		    tuf_key_verify(key, signature, size, m->signed_bytes, m->signed_size) == 0)
			return true;
	}
	return false;
}

static bool has_key(const struct tuf_key *const *keys, size_t n, const struct tuf_key *key)
{
	for (size_t i = 0; i < n; i++)
		if (tuf_key_equal(keys[i], key))
			return true;
	return false;
}

int tuf_role_verify(const struct tuf_roles *roles, const struct tuf_role *role,
		    const struct tuf_metadata *m, unsigned *ret_signed)
{
	const struct tuf_key *counted[TUF_MAX_ROLE_KEYS];
	const cJSON *id;
	unsigned n = 0;

	cJSON_ArrayForEach (id, role->keyids) {
		const struct tuf_key *key = find_key(roles, id->valuestring);

		if (key && !has_key(counted, n, key) && is_signed_by(m, id->valuestring, key))
			counted[n++] = key;
	}
	*ret_signed = n;
	return n >= role->threshold ? 0 : -EKEYREJECTED;
}

static bool role_has_key(const struct tuf_roles *roles, const char *name, const struct tuf_key *key)
{
	const cJSON *id;

	cJSON_ArrayForEach (id, tuf_roles_find(roles, name)->keyids) {
		const struct tuf_key *other = find_key(roles, id->valuestring);

		if (other && tuf_key_equal(other, key))
			return true;
	}
	return false;
}

bool tuf_role_rotated(const struct tuf_roles *a, const struct tuf_roles *b, const char *name)
{
	const cJSON *id;

	cJSON_ArrayForEach (id, tuf_roles_find(a, name)->keyids) {
		const struct tuf_key *key = find_key(a, id->valuestring);

		if (key && !role_has_key(b, name, key))
			return true;
	}
	return false;
}

/* Goes back to the last '*' only, so the time is bounded by the product of the lengths. */
static bool glob_matches(const char *pattern, const char *path)
{
	const char *star = NULL, *retry = NULL;

	while (*path) {
		if (*pattern == '*') {
			star = ++pattern;
			retry = path;
		} else if (*pattern == *path || (*pattern == '?' && *path != '/')) {
			pattern++;
			path++;
		} else if (star && *retry != '/') {
			pattern = star;
			path = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

bool tuf_role_matches(const struct tuf_role *role, const char *path, const char *sha256_hex)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, role->paths)
		if (glob_matches(item->valuestring, path))
			return true;
	cJSON_ArrayForEach (item, role->path_hash_prefixes)
		if (strncmp(sha256_hex, item->valuestring, strlen(item->valuestring)) == 0)
			return true;
	return false;
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
