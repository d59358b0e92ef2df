/* SPDX-License-Identifier: Apache-2.0 */
#include "release/authority.h"

#include <string.h>

#include "common/json.h"

static cJSON *member(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* ---- names ---- */

static bool is_top_level(const char *name)
{
	return strcmp(name, "root") == 0 || strcmp(name, "targets") == 0 ||
	       strcmp(name, "snapshot") == 0 || strcmp(name, "timestamp") == 0;
}

bool authority_name_is_delegable(const char *name)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
	size_t length = strlen(name);

	/* "all" and "programs" are words of --renew and of settings.json. */
	return length > 0 && length <= AUTHORITY_NAME_MAX_LENGTH &&
	       strspn(name, letters) == length && name[0] != '-' && !is_top_level(name) &&
	       strcmp(name, "all") != 0 && strcmp(name, "programs") != 0;
}

const char *authority_of(const char *role)
{
	if (strcmp(role, "root") == 0)
		return NULL;
	return is_top_level(role) ? "root" : "targets";
}

/* ---- reading ---- */

static bool is_root(const cJSON *document)
{
	return strcmp(json_text_or(document, "_type", ""), "root") == 0;
}

static cJSON *all_keys(const cJSON *document)
{
	return member(is_root(document) ? document : member(document, "delegations"), "keys");
}

cJSON *authority_delegations(const cJSON *document)
{
	return member(member(document, "delegations"), "roles");
}

cJSON *authority_find(const cJSON *document, const char *role)
{
	cJSON *item;

	if (is_root(document))
		return member(member(document, "roles"), role);
	cJSON_ArrayForEach (item, authority_delegations(document))
		if (strcmp(json_text_or(item, "name", ""), role) == 0)
			return item;
	return NULL;
}

const cJSON *authority_key(const cJSON *document, const char *keyid)
{
	return member(all_keys(document), keyid);
}

static int index_of(const cJSON *keyids, const char *keyid)
{
	for (int i = 0; i < cJSON_GetArraySize(keyids); i++) {
		const char *text = cJSON_GetStringValue(cJSON_GetArrayItem(keyids, i));

		if (text && strcmp(text, keyid) == 0)
			return i;
	}
	return -1;
}

bool authority_lists(const cJSON *document, const char *role, const char *keyid)
{
	return index_of(member(authority_find(document, role), "keyids"), keyid) >= 0;
}

unsigned authority_count(const cJSON *document, const char *role)
{
	return (unsigned)cJSON_GetArraySize(member(authority_find(document, role), "keyids"));
}

uint64_t authority_threshold(const cJSON *document, const char *role)
{
	uint64_t threshold = 0;

	if (json_get_u64(authority_find(document, role), "threshold", UINT32_MAX, &threshold,
			 NULL) < 0)
		return 0;
	return threshold;
}

bool authority_same(const cJSON *a, const cJSON *b, const char *role)
{
	const cJSON *keyid;

	if (authority_count(a, role) != authority_count(b, role) ||
	    authority_threshold(a, role) != authority_threshold(b, role))
		return false;
	cJSON_ArrayForEach (keyid, member(authority_find(a, role), "keyids"))
		if (!authority_lists(b, role, keyid->valuestring))
			return false;
	return true;
}

/* ---- changing ---- */

/* Appends item, which is taken over also on failure. */
static bool append(cJSON *array, cJSON *item)
{
	if (array && item && cJSON_AddItemToArray(array, item))
		return true;
	cJSON_Delete(item);
	return false;
}

int authority_add_key(cJSON *document, const char *role, const char *keyid, const cJSON *object)
{
	cJSON *found = authority_find(document, role), *keys = all_keys(document);
	cJSON *copy;

	if (!found || !keys)
		return -ENOENT;
	if (authority_lists(document, role, keyid))
		return 0;
	if (!authority_key(document, keyid)) {
		copy = cJSON_Duplicate(object, true);
		if (!copy || !cJSON_AddItemToObject(keys, keyid, copy)) {
			cJSON_Delete(copy);
			return -ENOMEM;
		}
	}
	return append(member(found, "keyids"), cJSON_CreateString(keyid)) ? 1 : -ENOMEM;
}

static bool is_used(const cJSON *document, const char *keyid)
{
	const cJSON *roles = is_root(document) ? member(document, "roles")
					       : authority_delegations(document);
	const cJSON *role;

	cJSON_ArrayForEach (role, roles)
		if (index_of(member(role, "keyids"), keyid) >= 0)
			return true;
	return false;
}

/* Keys that no role lists any more. */
static void drop_unused_keys(cJSON *document)
{
	cJSON *keys = all_keys(document), *key, *next;

	for (key = keys ? keys->child : NULL; key; key = next) {
		next = key->next;
		if (!is_used(document, key->string))
			cJSON_Delete(cJSON_DetachItemViaPointer(keys, key));
	}
}

int authority_remove_key(cJSON *document, const char *role, const char *keyid)
{
	cJSON *keyids = member(authority_find(document, role), "keyids");
	int index = index_of(keyids, keyid);

	if (index < 0)
		return -ENOENT;
	cJSON_DeleteItemFromArray(keyids, index);
	drop_unused_keys(document);
	return 1;
}

int authority_set_threshold(cJSON *document, const char *role, uint64_t threshold)
{
	cJSON *found = authority_find(document, role);

	if (!found)
		return -ENOENT;
	if (authority_threshold(document, role) == threshold)
		return 0;
	cJSON_DeleteItemFromObjectCaseSensitive(found, "threshold");
	return json_add_u64(found, "threshold", threshold) ? 1 : -ENOMEM;
}

static cJSON *get_or_add(cJSON *object, const char *key, bool array)
{
	cJSON *found = member(object, key);

	if (found)
		return found;
	return array ? cJSON_AddArrayToObject(object, key) : cJSON_AddObjectToObject(object, key);
}

static int add_delegation(cJSON *targets, const char *name)
{
	cJSON *delegations = get_or_add(targets, "delegations", false);
	cJSON *roles = get_or_add(delegations, "roles", true), *role = cJSON_CreateObject();

	if (!get_or_add(delegations, "keys", false) || !append(roles, role))
		return -ENOMEM;
	if (!cJSON_AddStringToObject(role, "name", name) ||
	    !cJSON_AddArrayToObject(role, "keyids") || !json_add_u64(role, "threshold", 1))
		return -ENOMEM;
	return 0;
}

int authority_delegate(cJSON *targets, const char *name, const cJSON *paths, bool terminating)
{
	cJSON *role = authority_find(targets, name), *copy;
	int r;

	if (role && cJSON_Compare(member(role, "paths"), paths, true) &&
	    cJSON_IsTrue(member(role, "terminating")) == terminating)
		return 0;
	if (!role) {
		r = add_delegation(targets, name);
		if (r < 0)
			return r;
		role = authority_find(targets, name);
	}
	cJSON_DeleteItemFromObjectCaseSensitive(role, "paths");
	cJSON_DeleteItemFromObjectCaseSensitive(role, "terminating");
	copy = cJSON_Duplicate(paths, true);
	if (!copy || !cJSON_AddItemToObject(role, "paths", copy)) {
		cJSON_Delete(copy);
		return -ENOMEM;
	}
	return cJSON_AddBoolToObject(role, "terminating", terminating) ? 1 : -ENOMEM;
}

int authority_undelegate(cJSON *targets, const char *name)
{
	cJSON *role = authority_find(targets, name);

	if (!role)
		return -ENOENT;
	cJSON_Delete(cJSON_DetachItemViaPointer(authority_delegations(targets), role));
	drop_unused_keys(targets);
	return 1;
}
