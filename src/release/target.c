/* SPDX-License-Identifier: Apache-2.0 */
#include "release/target.h"

#include <string.h>

#include "common/json.h"
#include "release/metadata.h"

#define LENGTH_MAX ((UINT64_C(1) << 53) - 1)

void target_path(const struct version *version, const char *arch, char ret[TARGET_PATH_BYTES])
{
	(void)snprintf(ret, TARGET_PATH_BYTES, "%c/%s-%s.tar.xz", version->program, version->text,
		       arch);
}

void target_patch_path(const struct version *version, const char *arch, const struct version *from,
		       char ret[TARGET_PATH_BYTES])
{
	(void)snprintf(ret, TARGET_PATH_BYTES, "%c/%s-%s.from-%s.patch", version->program,
		       version->text, arch, from->text);
}

int target_file(const char *path, const uint8_t *sha256, char **ret)
{
	const char *slash = strrchr(path, '/');
	int directory = slash ? (int)(slash + 1 - path) : 0;
	char hex[SHA256_HEX_LENGTH + 1];

	hex_encode(sha256, SHA256_BYTES, hex);
	if (asprintf(ret, "%.*s%s.%s", directory, path, hex, path + directory) < 0)
		return -ENOMEM;
	return 0;
}

int target_put(cJSON *document, const char *path, uint64_t length, const uint8_t *sha256,
	       cJSON *custom)
{
	_cleanup_json_ cJSON *owned = custom;
	_cleanup_json_ cJSON *entry = NULL;
	cJSON *targets = cJSON_GetObjectItemCaseSensitive(document, "targets");
	int r;

	if (!targets || !custom)
		return -ENOMEM;
	r = metadata_describe(length, sha256, &entry);
	if (r < 0)
		return r;
	if (!cJSON_AddItemToObject(entry, "custom", custom))
		return -ENOMEM;
	owned = NULL;
	cJSON_DeleteItemFromObjectCaseSensitive(targets, path);
	if (!cJSON_AddItemToObject(targets, path, entry))
		return -ENOMEM;
	entry = NULL;
	return 0;
}

const cJSON *target_get(const cJSON *document, const char *path)
{
	const cJSON *targets = cJSON_GetObjectItemCaseSensitive(document, "targets");

	return cJSON_GetObjectItemCaseSensitive(targets, path);
}

static int get_sha256(const cJSON *object, uint8_t ret[SHA256_BYTES])
{
	const char *hex;
	int r = json_get_string(object, "sha256", &hex, NULL);

	if (r < 0 || hex_decode(hex, ret, SHA256_BYTES) < 0)
		return -EBADMSG;
	return 0;
}

int target_parse(const cJSON *entry, struct target_entry *ret)
{
	struct target_entry target = { 0 };
	const cJSON *hashes;

	if (json_get_u64(entry, "length", LENGTH_MAX, &target.length, NULL) < 0 ||
	    json_get_object(entry, "hashes", &hashes, NULL) < 0 ||
	    get_sha256(hashes, target.sha256) < 0)
		return -EBADMSG;
	target.custom = cJSON_GetObjectItemCaseSensitive(entry, "custom");
	if (target.custom && !cJSON_IsObject(target.custom))
		return -EBADMSG;
	*ret = target;
	return 0;
}

static int get_tar(const cJSON *custom, const char *key, uint64_t *ret_bytes,
		   uint8_t ret_sha256[SHA256_BYTES])
{
	const cJSON *tar;

	if (json_get_object(custom, key, &tar, NULL) < 0 ||
	    json_get_u64(tar, "length", LENGTH_MAX, ret_bytes, NULL) < 0)
		return -EBADMSG;
	return get_sha256(tar, ret_sha256);
}

/* What program files of all kinds have. */
static int parse_program_file(const cJSON *custom, const char *wanted_kind, struct full_target *ret)
{
	struct full_target full = { 0 };
	const char *kind;

	if (json_get_string(custom, "kind", &kind, NULL) < 0 || strcmp(kind, wanted_kind) != 0)
		return -ENOENT;
	if (json_get_string(custom, "version", &full.version, NULL) < 0 ||
	    json_get_string(custom, "arch", &full.arch, NULL) < 0 ||
	    get_tar(custom, "tar", &full.tar_bytes, full.tar_sha256) < 0)
		return -EBADMSG;
	if (json_get_array(custom, "model", &full.model, NULL) == -EBADMSG ||
	    json_get_array(custom, "segment_bytes", &full.segments, NULL) == -EBADMSG)
		return -EBADMSG;
	*ret = full;
	return 0;
}

int target_parse_full(const cJSON *custom, struct full_target *ret)
{
	return parse_program_file(custom, "full", ret);
}

int target_parse_patch(const cJSON *custom, struct patch_target *ret)
{
	struct patch_target patch = { .from = NULL };
	int r = parse_program_file(custom, "patch", &patch.to);

	if (r < 0)
		return r;
	if (json_get_string(custom, "from", &patch.from, NULL) < 0 ||
	    get_tar(custom, "base", &patch.base_bytes, patch.base_sha256) < 0)
		return -EBADMSG;
	*ret = patch;
	return 0;
}
