/* SPDX-License-Identifier: Apache-2.0 */
#include "tuf/name.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS		     "0123456789"
#define PLAIN_PATH_MAX_BYTES 1024

const char *const tuf_top_level_roles[] = { "root", "timestamp", "snapshot", "targets" };

static bool is_unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

int tuf_file_name(uint64_t version, const char *role, char ret[TUF_FILE_NAME_BYTES])
{
	static const char hex[] = "0123456789ABCDEF", extension[] = ".json";
	char name[TUF_FILE_NAME_BYTES];
	size_t n = 0;

	if (version > 0)
		n = (size_t)snprintf(name, sizeof name, "%" PRIu64 ".", version);
	for (; *role; role++) {
		unsigned char c = (unsigned char)*role;
		bool is_plain = is_unreserved(*role);

		if (n + (is_plain ? 1 : 3) + sizeof extension > sizeof name)
			return -ENAMETOOLONG;
		if (is_plain) {
			name[n++] = *role;
		} else {
			name[n++] = '%';
			name[n++] = hex[c >> 4];
			name[n++] = hex[c & 15];
		}
	}
	memcpy(name + n, extension, sizeof extension);
	memcpy(ret, name, n + sizeof extension);
	return 0;
}

bool tuf_role_name_is_free(const char *name)
{
	size_t digits = strspn(name, DIGITS);

	for (size_t i = 0; i < TUF_TOP_LEVEL_ROLES; i++)
		if (strcmp(name, tuf_top_level_roles[i]) == 0)
			return false;
	return *name && !(digits > 0 && strcmp(name + digits, ".root") == 0);
}

static int compare_names(const void *a, const void *b)
{
	const char *const *left = a, *const *right = b;

	return strcmp(*left, *right);
}

bool tuf_names_repeat(const char **names, size_t n)
{
	if (n < 2)
		return false;
	qsort(names, n, sizeof *names, compare_names);
	for (size_t i = 1; i < n; i++)
		if (strcmp(names[i - 1], names[i]) == 0)
			return true;
	return false;
}

bool tuf_path_is_plain(const char *path)
{
	if (strnlen(path, PLAIN_PATH_MAX_BYTES + 1) > PLAIN_PATH_MAX_BYTES)
		return false;
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == '\\')
			return false;
	for (const char *part = path;; part++) {
		size_t length = strcspn(part, "/");

		if (length == 0 || (length == 1 && part[0] == '.') ||
		    (length == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part += length;
		if (*part == '\0')
			return true;
	}
}
