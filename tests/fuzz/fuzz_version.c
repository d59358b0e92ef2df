/* SPDX-License-Identifier: Apache-2.0 */
/* Versions, and names that come out of metadata. */
#include "fuzz.h"

#include <ctype.h>
#include <string.h>

#include "common/version.h"
#include "tuf/name.h"

static void check_version(const char *text)
{
	struct version v, next;

	if (version_parse(text, &v) < 0)
		return;
	check(strlen(text) == VERSION_LENGTH && strcmp(v.text, text) == 0);
	check(v.program == text[0] && v.serial >= 1 && v.serial <= 9999);
	check(version_compare(&v, &v) == 0);
	next = v;
	next.serial++;
	check(version_compare(&v, &next) < 0 && version_compare(&next, &v) > 0);
}

static size_t encoded_length(const char *role)
{
	size_t n = 0;

	for (; *role; role++)
		n += isalnum((unsigned char)*role) || strchr("-._~", *role) ? 1 : 3;
	return n;
}

/* A component of a URL and a file name at once, of which the role can be told again. */
static void check_file_name(uint64_t version, const char *role)
{
	char name[TUF_FILE_NAME_BYTES], again[3 * TUF_FILE_NAME_BYTES];
	size_t n = 0;
	int digits = 0;

	if (tuf_file_name(version, role, name) < 0) {
		check((version ? 21 : 0) + encoded_length(role) + sizeof ".json" > sizeof name);
		return;
	}
	check(strlen(name) < sizeof name && !strchr(name, '/') && name[0]);
	if (version > 0)
		check(sscanf(name, "%*u.%n", &digits) == 0 && digits > 1);
	for (const char *p = name + digits; *p; p++) {
		unsigned value = (unsigned char)*p;

		check(isalnum((int)value) || strchr("-._~%", *p));
		if (*p == '%') {
			check(sscanf(p + 1, "%2X", &value) == 1);
			p += 2;
		}
		again[n++] = (char)value;
	}
	check(n >= 5 && memcmp(again + n - 5, ".json", 5) == 0);
	check(n - 5 == strlen(role) && memcmp(again, role, n - 5) == 0);
}

static void check_path(const char *path)
{
	if (!tuf_path_is_plain(path))
		return;
	check(path[0] && path[0] != '/' && path[strlen(path) - 1] != '/');
	check(!strstr(path, "//") && !strstr(path, "/../") && !strchr(path, '\\'));
	check(strncmp(path, "../", 3) != 0 && strcmp(path, "..") != 0);
	check(!strpbrk(path, "\n\r\t\x7f"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = strndup((const char *)data, size);

	check(text);
	check_version(text);
	check_file_name(0, text);
	check_file_name(UINT64_MAX, text);
	check_path(text);
	if (tuf_role_name_is_free(text))
		check(text[0] && strcmp(text, "root") != 0 && strcmp(text, "1.root") != 0);
	return 0;
}
