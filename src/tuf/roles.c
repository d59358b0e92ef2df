/* SPDX-License-Identifier: Apache-2.0 */
#include "tuf/roles.h"

#include <string.h>

#include "common/digest.h"
#include "tuf/metadata.h"
#include "tuf/name.h"

#define MAX_SIGNATURE_BYTES 1024u

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

/* ---- keys ---- */

/* The three members that the specification gives to a key. */
static int basic_key_id(const cJSON *object, char ret_hex[SHA256_HEX_LENGTH + 1])
{
	static const char *const members[] = { "keytype", "keyval", "scheme" };
	_cleanup_json_ cJSON *basic = cJSON_CreateObject();

	for (size_t i = 0; i < ELEMENTSOF(members); i++) {
		cJSON *item = cJSON_GetObjectItemCaseSensitive(object, members[i]);

		if (!cJSON_AddItemReferenceToObject(basic, members[i], item))
			return -ENOMEM;
	}
	return tuf_key_id(basic, ret_hex);
}

/* 1 if the object is the key of this id. */
static int is_key_id(const cJSON *object, const char *id)
{
	char hex[SHA256_HEX_LENGTH + 1];
	int r;

	r = tuf_key_id(object, hex);
	if (r == 0 && strcmp(hex, id) != 0)
		r = basic_key_id(object, hex);
	return r < 0 ? r : strcmp(hex, id) == 0;
}

static int check_key_shape(const cJSON *object, struct json_error *error)
{
	const cJSON *keyval;
	const char *text;
	int r;

	if (!cJSON_IsObject(object))
		return json_refuse(error, "keys", "must hold only objects");
	r = json_get_string(object, "keytype", &text, error);
	if (r >= 0)
		r = json_get_string(object, "scheme", &text, error);
	if (r >= 0)
		r = json_get_object(object, "keyval", &keyval, error);
	if (r < 0)
		json_error_prefix(error, "keys");
	return r;
}

static int parse_keys(const cJSON *keys, struct tuf_roles *roles, struct json_error *error)
{
	const cJSON *item;
	int r;

	roles->keys = calloc((size_t)cJSON_GetArraySize(keys) + 1, sizeof *roles->keys);
	if (!roles->keys)
		return -ENOMEM;
	cJSON_ArrayForEach (item, keys) {
		r = check_key_shape(item, error);
		if (r < 0)
			return r;
		roles->keys[roles->n_keys++] = (struct tuf_named_key){ .id = item->string,
								       .object = item };
	}
	return 0;
}

static struct tuf_named_key *find_key(const struct tuf_roles *roles, const char *id)
{
	for (size_t i = 0; i < roles->n_keys; i++)
		if (strcmp(roles->keys[i].id, id) == 0)
			return &roles->keys[i];
	return NULL;
}

static int read_key(struct tuf_named_key *k)
{
	int r = is_key_id(k->object, k->id);

	/* What the key says has no part in this: it is want of memory, however it shows. */
	if (r < 0)
		return -ENOMEM;
	if (r > 0)
		r = tuf_key_parse(k->object, &k->key);
	if (r == -ENOMEM)
		return r;
	k->is_read = true;
	return 0;
}

int tuf_roles_key(const struct tuf_roles *roles, const char *id, const struct tuf_key **ret)
{
	struct tuf_named_key *k = find_key(roles, id);
	int r = k && !k->is_read ? read_key(k) : 0;

	if (r == 0)
		*ret = k ? k->key : NULL;
	return r;
}

/* ---- roles ---- */

static int parse_role(const cJSON *object, struct tuf_role *role, struct json_error *error)
{
	int r;

	r = get_strings(object, "keyids", &role->keyids, error);
	if (r < 0)
		return r;
	if ((unsigned)cJSON_GetArraySize(role->keyids) > TUF_MAX_ROLE_KEYS)
		return json_refuse(error, "keyids", "has more than %u entries", TUF_MAX_ROLE_KEYS);
	r = json_get_u64(object, "threshold", TUF_MAX_INTEGER, &role->threshold, error);
	if (r < 0)
		return r;
	if (role->threshold == 0)
		return json_refuse(error, "threshold", "must be at least 1");
	return 0;
}

static int parse_top_level_role(const cJSON *roles, const char *name, struct tuf_role *role,
				struct json_error *error)
{
	const cJSON *object;
	int r;

	role->name = name;
	r = json_get_object(roles, name, &object, error);
	if (r >= 0)
		r = parse_role(object, role, error);
	if (r < 0)
		json_error_prefix(error, "roles");
	return r;
}

int tuf_roles_parse_root(const cJSON *object, struct tuf_roles *roles, struct json_error *error)
{
	const cJSON *keys, *top_level;
	int r;

	r = json_get_object(object, "keys", &keys, error);
	if (r >= 0)
		r = parse_keys(keys, roles, error);
	if (r >= 0)
		r = json_get_object(object, "roles", &top_level, error);
	if (r < 0)
		return r;
	roles->roles = calloc(TUF_TOP_LEVEL_ROLES, sizeof *roles->roles);
	if (!roles->roles)
		return -ENOMEM;
	for (size_t i = 0; i < TUF_TOP_LEVEL_ROLES; i++) {
		r = parse_top_level_role(top_level, tuf_top_level_roles[i],
					 &roles->roles[roles->n_roles], error);
		if (r < 0)
			return r;
		roles->n_roles++;
	}
	return 0;
}

/* ---- delegated roles ---- */

static int parse_prefixes(const cJSON *object, struct tuf_role *role, struct json_error *error)
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

/* "OPTIONAL, if used, exactly one of them should be set" (4.5). */
static int parse_targets_of_role(const cJSON *object, struct tuf_role *role,
				 struct json_error *error)
{
	int paths, prefixes;

	paths = get_strings(object, "paths", &role->paths, error);
	if (paths < 0 && paths != -ENOENT)
		return paths;
	prefixes = parse_prefixes(object, role, error);
	if (prefixes < 0 && prefixes != -ENOENT)
		return prefixes;
	if (paths == 0 && prefixes == 0)
		return json_refuse(error, "paths", "and path_hash_prefixes exclude each other");
	return 0;
}

static int parse_delegated_role(const cJSON *object, struct tuf_role *role,
				struct json_error *error)
{
	int r;

	if (!cJSON_IsObject(object))
		return json_refuse(error, "", "must hold only objects");
	r = json_get_string(object, "name", &role->name, error);
	if (r < 0)
		return r;
	if (!tuf_role_name_is_free(role->name))
		return json_refuse(error, "name", "cannot be a delegated role's name");
	r = parse_role(object, role, error);
	if (r < 0)
		return r;
	r = json_get_bool(object, "terminating", &role->terminating, error);
	if (r < 0 && r != -ENOENT)
		return r;
	return parse_targets_of_role(object, role, error);
}

static int check_names_differ(const struct tuf_roles *roles, struct json_error *error)
{
	_cleanup_free_ const char **names = calloc(roles->n_roles + 1, sizeof *names);

	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < roles->n_roles; i++)
		names[i] = roles->roles[i].name;
	if (tuf_names_repeat(names, roles->n_roles))
		return json_refuse(error, "roles.name", "is there twice");
	return 0;
}

static int parse_delegated_roles(const cJSON *array, struct tuf_roles *roles,
				 struct json_error *error)
{
	const cJSON *item;
	int r;

	roles->roles = calloc((size_t)cJSON_GetArraySize(array) + 1, sizeof *roles->roles);
	if (!roles->roles)
		return -ENOMEM;
	cJSON_ArrayForEach (item, array) {
		r = parse_delegated_role(item, &roles->roles[roles->n_roles], error);
		if (r < 0) {
			json_error_prefix(error, "roles");
			return r;
		}
		roles->n_roles++;
	}
	return check_names_differ(roles, error);
}

int tuf_roles_parse_delegations(const cJSON *object, struct tuf_roles *roles,
				struct json_error *error)
{
	const cJSON *keys, *array;
	int r;

	if (cJSON_GetObjectItemCaseSensitive(object, "succinct_roles"))
		return json_refuse(error, "succinct_roles", "is not in the specification 1.0");
	r = json_get_object(object, "keys", &keys, error);
	if (r >= 0)
		r = parse_keys(keys, roles, error);
	if (r >= 0)
		r = json_get_array(object, "roles", &array, error);
	return r < 0 ? r : parse_delegated_roles(array, roles, error);
}

void tuf_roles_done(struct tuf_roles *roles)
{
	for (size_t i = 0; i < roles->n_keys; i++)
		(void)tuf_key_free(roles->keys[i].key);
	free(roles->keys);
	free(roles->roles);
	*roles = (struct tuf_roles){ 0 };
}

const struct tuf_role *tuf_roles_find(const struct tuf_roles *roles, const char *name)
{
	for (size_t i = 0; i < roles->n_roles; i++)
		if (strcmp(roles->roles[i].name, name) == 0)
			return &roles->roles[i];
	return NULL;
}

/* ---- signatures ---- */

/* Keyids are told apart when the file is read: there is one at most. */
static const cJSON *find_signature(const struct tuf_metadata *m, const char *key_id)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, m->signatures)
		if (strcmp(cJSON_GetObjectItemCaseSensitive(item, "keyid")->valuestring, key_id) ==
		    0)
			return item;
	return NULL;
}

static bool is_signed_by(const struct tuf_metadata *m, const cJSON *item, const struct tuf_key *key)
{
	const char *hex = cJSON_GetObjectItemCaseSensitive(item, "sig")->valuestring;
	uint8_t signature[MAX_SIGNATURE_BYTES];
	size_t size = strlen(hex) / 2;

	return size <= sizeof signature && hex_decode(hex, signature, size) == 0 &&
	       tuf_key_verify(key, signature, size, m->signed_bytes, m->signed_size) == 0;
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

	*ret_signed = 0;
	cJSON_ArrayForEach (id, role->keyids) {
		const cJSON *signature = find_signature(m, id->valuestring);
		const struct tuf_key *key = NULL;
		int r = signature ? tuf_roles_key(roles, id->valuestring, &key) : 0;

		if (r < 0)
			return r;
		if (key && !has_key(counted, n, key) && is_signed_by(m, signature, key))
			counted[n++] = key;
	}
	*ret_signed = n;
	return n >= role->threshold ? 0 : -EKEYREJECTED;
}

/* ---- rotation ---- */

/* 1 if it has. */
static int role_has_key(const struct tuf_roles *roles, const char *name, const struct tuf_key *key)
{
	const cJSON *id;

	cJSON_ArrayForEach (id, tuf_roles_find(roles, name)->keyids) {
		const struct tuf_key *other;
		int r = tuf_roles_key(roles, id->valuestring, &other);

		if (r < 0)
			return r;
		if (other && tuf_key_equal(other, key))
			return 1;
	}
	return 0;
}

int tuf_role_rotated(const struct tuf_roles *a, const struct tuf_roles *b, const char *name)
{
	const cJSON *id;

	cJSON_ArrayForEach (id, tuf_roles_find(a, name)->keyids) {
		const struct tuf_key *key;
		int r = tuf_roles_key(a, id->valuestring, &key);

		if (r == 0 && key) {
			r = role_has_key(b, name, key);
			if (r == 0)
				return 1;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- which targets ---- */

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
