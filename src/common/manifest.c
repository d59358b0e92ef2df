/* SPDX-License-Identifier: Apache-2.0 */
#include "common/manifest.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "manifest_private.h"
#include "reltar_header.h"

struct manifest *manifest_free(struct manifest *m)
{
	if (!m)
		return NULL;
	for (size_t i = 0; i < m->n_files; i++)
		free(m->files[i].path);
	free(m->files);
	free(m);
	return NULL;
}

int manifest_refuse(char **ret_error, int error, const char *format, ...)
{
	va_list args;

	if (!ret_error)
		return error;
	va_start(args, format);
	if (vasprintf(ret_error, format, args) < 0)
		*ret_error = NULL;
	va_end(args);
	return error;
}

/* ---- rules ---- */

static bool arch_is_valid(const char *arch)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t length = strnlen(arch, ARCH_MAX_LENGTH + 1);

	return length > 0 && length <= ARCH_MAX_LENGTH && arch[0] != '-' &&
	       strspn(arch, allowed) == length;
}

/* Is there a file whose path is exactly these bytes? The files are sorted. */
static bool lists_file(const struct manifest *m, const char *path, size_t length)
{
	size_t low = 0, high = m->n_files;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const char *other = m->files[middle].path;
		int order = strncmp(path, other, length);

		if (order == 0 && other[length] == '\0')
			return true;
		if (order > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static bool lies_below_a_file(const struct manifest *m, const char *path)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		size_t length = (size_t)(slash - path);

		if (lists_file(m, path, length))
			return true;
		if (length == strlen(MANIFEST_NAME) && memcmp(path, MANIFEST_NAME, length) == 0)
			return true;
	}
	return false;
}

static int validate_file(const struct manifest *m, size_t index, char **ret_error)
{
	const struct manifest_file *f = &m->files[index];
	size_t prefix_length;

	if (!f->path || !fs_is_safe_path(f->path))
		return manifest_refuse(ret_error, -EBADMSG, "files[%zu]: unsafe path", index);
	if (reltar_split_path(f->path, &prefix_length) < 0)
		return manifest_refuse(ret_error, -EBADMSG, "'%s': path too long for a tar header",
				       f->path);
	if (strcmp(f->path, MANIFEST_NAME) == 0)
		return manifest_refuse(ret_error, -EBADMSG, "'%s' lists itself", f->path);
	if (f->mode != 0644 && f->mode != 0755)
		return manifest_refuse(ret_error, -EBADMSG, "'%s': mode is not 0644 or 0755",
				       f->path);
	if (f->size_bytes > MANIFEST_MAX_FILE_BYTES)
		return manifest_refuse(ret_error, -EFBIG, "'%s': too large", f->path);
	if (index > 0 && strcmp(m->files[index - 1].path, f->path) >= 0)
		return manifest_refuse(ret_error, -EBADMSG, "'%s': out of order or twice", f->path);
	return 0;
}

int manifest_validate(const struct manifest *m, char **ret_error)
{
	struct version version;

	if (version_parse(m->version.text, &version) < 0 || version.program != m->version.program)
		return manifest_refuse(ret_error, -EBADMSG, "not a version of this program");
	if (!arch_is_valid(m->arch))
		return manifest_refuse(ret_error, -EBADMSG, "arch: not a name of an architecture");
	if (m->n_files == 0)
		return manifest_refuse(ret_error, -EBADMSG, "a release without files");
	if (m->n_files > MANIFEST_MAX_FILES)
		return manifest_refuse(ret_error, -EFBIG, "more than %u files", MANIFEST_MAX_FILES);
	for (size_t i = 0; i < m->n_files; i++) {
		int r = validate_file(m, i, ret_error);

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < m->n_files; i++)
		if (lies_below_a_file(m, m->files[i].path))
			return manifest_refuse(ret_error, -EBADMSG, "'%s' lies below a file",
					       m->files[i].path);
	return 0;
}

/* ---- writing ---- */

static void write_json(FILE *out, const struct manifest *m)
{
	/* Nothing in a valid manifest needs escaping. */
	(void)fprintf(out,
		      "{\"_type\":\"release\",\"spec_version\":1,\"program\":\"%c\","
		      "\"version\":\"%s\",\"arch\":\"%s\",\"files\":[",
		      m->version.program, m->version.text, m->arch);
	for (size_t i = 0; i < m->n_files; i++) {
		const struct manifest_file *f = &m->files[i];
		char hex[SHA256_HEX_LENGTH + 1];

		hex_encode(f->sha256, sizeof f->sha256, hex);
		(void)fprintf(out,
			      "%s{\"path\":\"%s\",\"mode\":\"%04o\",\"size\":%" PRIu64
			      ",\"sha256\":\"%s\"}",
			      i > 0 ? "," : "", f->path, (unsigned)f->mode, f->size_bytes, hex);
	}
	(void)fputs("]}\n", out);
}

int manifest_format(const struct manifest *m, char **ret_bytes, size_t *ret_size)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size = 0;
	FILE *out;
	int r;

	r = manifest_validate(m, NULL);
	if (r < 0)
		return r == -EBADMSG ? -EINVAL : r;
	out = open_memstream(&bytes, &size);
	if (!out)
		return -ENOMEM;
	write_json(out, m);
	if (fclose(out) != 0)
		return -ENOMEM;
	if (size > MANIFEST_MAX_BYTES)
		return -EFBIG;
	*ret_bytes = TAKE_PTR(bytes);
	*ret_size = size;
	return 0;
}

/* ---- reading ---- */

static int parse_mode(const char *text, mode_t *ret)
{
	if (strcmp(text, "0644") == 0)
		*ret = 0644;
	else if (strcmp(text, "0755") == 0)
		*ret = 0755;
	else
		return -EBADMSG;
	return 0;
}

static int parse_file(const cJSON *json, struct manifest_file *file, struct json_error *error)
{
	const char *path, *mode, *sha256;
	int r;

	r = json_get_string(json, "path", &path, error);
	if (r < 0)
		return r;
	r = json_get_string(json, "mode", &mode, error);
	if (r < 0)
		return r;
	r = json_get_u64(json, "size", MANIFEST_MAX_FILE_BYTES, &file->size_bytes, error);
	if (r < 0)
		return r;
	r = json_get_string(json, "sha256", &sha256, error);
	if (r < 0)
		return r;
	if (parse_mode(mode, &file->mode) < 0) {
		*error = (struct json_error){ "mode", "not 0644 or 0755" };
		return -EBADMSG;
	}
	if (hex_decode(sha256, file->sha256, sizeof file->sha256) < 0) {
		*error = (struct json_error){ "sha256", "not a SHA-256 in lower-case hex" };
		return -EBADMSG;
	}
	file->path = strdup(path);
	return file->path ? 0 : -ENOMEM;
}

static int parse_files(const cJSON *json, struct manifest *m, struct json_error *error)
{
	const cJSON *array, *item;
	size_t n = 0;
	int r;

	r = json_get_array(json, "files", &array, error);
	if (r < 0)
		return r;
	cJSON_ArrayForEach (item, array)
		n++;
	if (n > MANIFEST_MAX_FILES) {
		*error = (struct json_error){ "files", "too many" };
		return -EFBIG;
	}
	m->files = calloc(n ? n : 1, sizeof *m->files);
	if (!m->files)
		return -ENOMEM;
	cJSON_ArrayForEach (item, array) {
		char place[32];

		(void)snprintf(place, sizeof place, "files[%zu]", m->n_files);
		r = cJSON_IsObject(item) ? parse_file(item, &m->files[m->n_files], error)
					 : -EBADMSG;
		if (r < 0) {
			json_error_prefix(error, place);
			return r;
		}
		m->n_files++;
	}
	return 0;
}

static int parse_head(const cJSON *json, struct manifest *m, struct json_error *error)
{
	const char *type, *program, *version, *arch;
	uint64_t spec_version;
	int r;

	r = json_get_string(json, "_type", &type, error);
	if (r < 0)
		return r;
	r = json_get_u64(json, "spec_version", 1, &spec_version, error);
	if (r < 0)
		return r;
	r = json_get_string(json, "program", &program, error);
	if (r < 0)
		return r;
	r = json_get_string(json, "version", &version, error);
	if (r < 0)
		return r;
	r = json_get_string(json, "arch", &arch, error);
	if (r < 0)
		return r;
	if (version_parse(version, &m->version) < 0) {
		*error = (struct json_error){ "version", "not a version" };
		return -EBADMSG;
	}
	if (strlen(arch) > ARCH_MAX_LENGTH) {
		*error = (struct json_error){ "arch", "too long" };
		return -EBADMSG;
	}
	(void)snprintf(m->arch, sizeof m->arch, "%s", arch);
	return 0;
}

static int read_json(const void *bytes, size_t size, struct manifest *m, struct json_error *error)
{
	static const struct json_limits limits = {
		.max_bytes = MANIFEST_MAX_BYTES,
		.max_depth = 8,
		/* An object, four keys and four values for each file. */
		.max_tokens = (size_t)9 * (MANIFEST_MAX_FILES + 16),
	};
	_cleanup_json_ cJSON *json = NULL;
	int r;

	r = json_parse(bytes, size, &limits, &json, error);
	if (r < 0)
		return r;
	if (!cJSON_IsObject(json)) {
		*error = (struct json_error){ "release.json", "not an object" };
		return -EBADMSG;
	}
	r = parse_head(json, m, error);
	if (r < 0)
		return r;
	return parse_files(json, m, error);
}

/* Members that were not read, their order and the spaces between them are all checked by writing
 * it again. */
static int check_canonical(const struct manifest *m, const void *bytes, size_t size,
			   char **ret_error)
{
	_cleanup_free_ char *canonical = NULL;
	size_t canonical_size;
	int r;

	r = manifest_format(m, &canonical, &canonical_size);
	if (r < 0)
		return r == -EINVAL ? -EBADMSG : r;
	if (canonical_size != size || memcmp(canonical, bytes, size) != 0)
		return manifest_refuse(ret_error, -EBADMSG, "not in its one canonical form");
	return 0;
}

int manifest_parse(const void *bytes, size_t size, struct manifest **ret, char **ret_error)
{
	_cleanup_(manifest_freep) struct manifest *m = NULL;
	struct json_error error = { "", "" };
	int r;

	m = calloc(1, sizeof *m);
	if (!m)
		return -ENOMEM;
	r = read_json(bytes, size, m, &error);
	if (r == -ENOENT)
		r = -EBADMSG;
	if (r < 0)
		return manifest_refuse(ret_error, r, "%s: %s", error.field, error.text);
	r = manifest_validate(m, ret_error);
	if (r < 0)
		return r;
	r = check_canonical(m, bytes, size, ret_error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(m);
	return 0;
}

/* ---- sums ---- */

uint64_t manifest_total_bytes(const struct manifest *m)
{
	uint64_t total = 0;

	for (size_t i = 0; i < m->n_files; i++)
		total += m->files[i].size_bytes;
	return total;
}

bool manifest_starts_directory(const struct manifest *m, size_t file, size_t length)
{
	/* Sorted, so all files of one directory follow one another. */
	return file == 0 || strncmp(m->files[file - 1].path, m->files[file].path, length + 1) != 0;
}

size_t manifest_inodes(const struct manifest *m)
{
	size_t n = m->n_files + 2;

	for (size_t i = 0; i < m->n_files; i++) {
		const char *path = m->files[i].path;

		for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/'))
			n += manifest_starts_directory(m, i, (size_t)(p - path));
	}
	return n;
}
