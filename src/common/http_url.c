/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http.h"

#include <ctype.h>
#include <string.h>

static bool is_unreserved(char c)
{
	return isalnum((unsigned char)c) || strchr("-._~", c);
}

/* A component that is empty or leads elsewhere would not name what the caller means. */
static bool is_plain_component(const char *component, size_t length)
{
	return length > 0 && !(length == 1 && component[0] == '.') &&
	       !(length == 2 && component[0] == '.' && component[1] == '.');
}

static int check_url_path(const char *path)
{
	for (;;) {
		size_t length = strcspn(path, "/");

		if (!is_plain_component(path, length))
			return -EINVAL;
		if (!path[length])
			return 0;
		path += length + 1;
	}
}

int http_join_url(const char *base, const char *path, char **ret)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t base_length = strlen(base);
	char *url, *out;

	while (base_length > 0 && base[base_length - 1] == '/')
		base_length--;
	if (*path == '/')
		path++;
	if (base_length == 0 || strpbrk(base, "?#") || check_url_path(path) < 0)
		return -EINVAL;
	url = malloc(base_length + 1 + 3 * strlen(path) + 1);
	if (!url)
		return -ENOMEM;
	memcpy(url, base, base_length);
	out = url + base_length;
	*out++ = '/';
	for (; *path; path++) {
		unsigned char c = (unsigned char)*path;

		if (*path == '/' || is_unreserved(*path)) {
			*out++ = *path;
			continue;
		}
		*out++ = '%';
		*out++ = hex[c >> 4];
		*out++ = hex[c & 15];
	}
	*out = '\0';
	*ret = url;
	return 0;
}
